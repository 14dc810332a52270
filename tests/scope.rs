//! Scopes: tasks that borrow, and a region that does not end before them.
//!
//! `TG-..` are behaviours of asyncio's task groups, `R..` rules of the design, `A..` faults that must be survived. The
//! rest are attacks: ways in which a child could outlive what it borrows.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::panic::catch_unwind;
use std::rc::Rc;
use std::thread;

use common::{Finally, Log, child, logged, only, panic_of, plays, runner, sim, since};
use corio::{
    Builder, Cause, Generator, Scope, ScopedJoinHandle, Task, cancel_cause, current, errors, is_cancelled,
    is_timed_out, now, scope, secs, shield, sleep, spawn, timeout, typed, yield_now,
};

fn fail(text: &'static str) -> io::Result<()> {
    Err(io::Error::other(text))
}

/// The texts of an error's members.
fn texts(error: &io::Error) -> Vec<String> {
    errors(error).map(ToString::to_string).collect()
}

// ---- what asyncio's groups do ------------------------------------------------------------------------

#[test]
fn tg_01_02_the_end_waits_for_all_children_also_for_those_that_children_spawn() {
    let log = Log::default();
    sim(|| {
        let total = scope(|s| {
            let a = s.spawn(|| {
                sleep(secs(1))?;
                s.spawn(|| {
                    sleep(secs(1))?;
                    s.spawn(|| log.say("grandchild"));
                    Ok(())
                });
                Ok(1)
            });
            let b = s.spawn(|| Ok(2));
            assert_eq!(s.len(), 2);
            Ok(a.join()? + b.join()?)
        })?;
        log.say(total);
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "grandchild 3");
}

#[test]
fn children_borrow_and_change_what_lies_around_the_scope() {
    sim(|| {
        let mut left = vec![3, 1, 2];
        let mut right = String::from("x");
        let shared = Cell::new(0);
        scope(|s| {
            s.spawn(|| left.sort());
            s.spawn(|| right.push('y'));
            for n in 0..3 {
                let shared = &shared;
                s.spawn(move || {
                    yield_now()?;
                    shared.set(shared.get() + n);
                    Ok(())
                });
            }
            Ok(())
        })?;
        assert_eq!((left, right.as_str(), shared.get()), (vec![1, 2, 3], "xy", 3));
        Ok(())
    })
    .unwrap();
}

#[test]
fn tg_03_a_failure_cancels_the_siblings_and_the_body_and_is_returned_alone() {
    let log = Log::default();
    sim(|| {
        let error = scope(|s| {
            s.spawn(|| {
                let result = sleep(secs(60));
                assert_eq!(cancel_cause(), Some(Cause::Sibling));
                log.say("sibling");
                result
            });
            s.spawn(|| {
                sleep(secs(1))?;
                fail("first")
            });
            let result = sleep(secs(60));
            log.say("body");
            assert!(s.cancelled() && yield_now().is_err());
            result
        })
        .unwrap_err();
        assert_eq!(texts(&error), ["first"]);
        assert_eq!((current().cancelling(), cancel_cause()), (0, None));
        yield_now()
    })
    .unwrap();
    assert_eq!(log.take(), "sibling body");
}

#[test]
fn tg_04_slow_clean_up_is_waited_for_before_anything_is_reported() {
    sim(|| {
        let start = now();
        let result = scope(|s| {
            s.spawn(|| {
                let result = sleep(secs(60));
                shield(secs(10), || sleep(secs(5)))?;
                result
            });
            sleep(secs(1))?;
            fail("body")
        });
        assert_eq!((texts(&result.unwrap_err()), since(start)), (vec!["body".to_owned()], 6.0));
        Ok(())
    })
    .unwrap();
}

#[test]
fn tg_05_06_17_a_cancelled_owner_cancels_the_children_and_waits_for_them_however_often() {
    sim(|| {
        let start = now();
        for at_the_end in [true, false] {
            let owner = spawn(move || {
                scope(|s| {
                    s.spawn(|| {
                        let result = sleep(secs(600));
                        shield(secs(50), || sleep(secs(5)))?;
                        result
                    });
                    if at_the_end { Ok(()) } else { sleep(secs(600)) }
                })?;
                yield_now() // met here, if the body ended well
            });
            sleep(secs(1))?;
            owner.cancel();
            sleep(secs(1))?;
            owner.cancel();
            owner.cancel();
            assert_eq!(owner.cancelling(), 3);
            assert!(is_cancelled(&owner.join().unwrap_err()));
        }
        assert_eq!(since(start), 12.0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn tg_07_08_a_failure_wins_over_a_cancel_from_outside_which_is_met_at_the_next_wait() {
    sim(|| {
        let owner = spawn(|| {
            let result = scope(|s| {
                s.spawn(|| sleep(secs(60)).map_err(|_| io::Error::other("never")));
                s.spawn(|| {
                    sleep(secs(1))?;
                    fail("child")
                });
                sleep(secs(60))
            });
            assert_eq!(texts(&result.unwrap_err())[0], "child");
            assert_eq!(current().cancelling(), 1);
            assert!(is_cancelled(&yield_now().unwrap_err()));
            Ok(())
        });
        let watched = owner.task();
        corio::call_later(secs(1), move || assert!(watched.cancel()));
        owner.join()
    })
    .unwrap();
}

#[test]
fn tg_09_10_11_nested_scopes_end_from_within() {
    sim(|| {
        // The outer one's child fails while the body sits in the inner one.
        let error = scope(|outer| {
            outer.spawn(|| {
                sleep(secs(1))?;
                fail("outer")
            });
            let inner = scope(|inner| {
                inner.spawn(|| sleep(secs(60)));
                sleep(secs(60))
            });
            assert!(is_cancelled(inner.as_ref().unwrap_err()));
            inner
        })
        .unwrap_err();
        assert_eq!(texts(&error), ["outer"]);
        // The inner one's error, unhandled, is one of the outer one's.
        let error = scope(|outer| {
            outer.spawn(|| sleep(secs(60)).map_err(|_| io::Error::other("unused")));
            scope(|inner| {
                inner.spawn(|| fail("inner"));
                inner.spawn(|| sleep(secs(60)));
                Ok(())
            })
        })
        .unwrap_err();
        assert!(texts(&error).contains(&"inner".to_owned()), "{error}");
        assert!(cancel_cause().is_none());
        yield_now()
    })
    .unwrap();
}

#[test]
fn tg_12_13_several_failures_are_listed_in_the_order_in_which_they_happened_the_body_last() {
    sim(|| {
        let error = scope(|s| {
            for (delay, text) in [(3, "three"), (1, "one"), (2, "two")] {
                s.spawn(move || {
                    let _ = shield(secs(9), || sleep(secs(delay)));
                    if delay == 1 { Err(io::Error::new(ErrorKind::NotFound, text)) } else { fail(text) }
                });
            }
            sleep(secs(60)).map_err(|_| io::Error::other("body"))
        })
        .unwrap_err();
        assert_eq!(texts(&error)[0], "one");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(texts(&error).last().unwrap(), "body");
        let text = error.to_string();
        assert!(text.contains("tasks failed: one; "), "{text}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn tg_14_a_child_that_is_cancelled_alone_is_no_failure() {
    let log = Log::default();
    sim(|| {
        scope(|s| {
            let one = s.spawn(|| sleep(secs(60)));
            s.spawn(|| {
                sleep(secs(2))?;
                log.say("other");
                Ok(())
            });
            sleep(secs(1))?;
            assert!(one.cancel());
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(log.take(), "other");
}

#[test]
fn tg_15_in_a_scope_that_is_cancelled_a_new_child_never_runs() {
    let log = Log::default();
    sim(|| {
        let never = |s: &Scope<'_, '_>| -> bool { s.cancelled() };
        scope(|s| {
            s.cancel();
            assert!(never(s));
            let capture = log.at_drop("dropped");
            let child = s.spawn(move || -> io::Result<()> { unreachable!("{:p}", &capture) });
            assert!(is_cancelled(&child.join().unwrap_err()));
            Ok(())
        })?;
        assert_eq!(log.take(), "dropped");
        // The same if it is the owner, or a limit around the scope, that was cancelled.
        let start = now();
        let limited: io::Result<()> = timeout(secs(1), || {
            scope(|s| {
                let _ = sleep(secs(60));
                s.spawn(|| log.say("never"));
                scope(|inner| {
                    inner.spawn(|| sleep(secs(600)));
                    Ok(())
                })
            })
        });
        // What was to be done was not done.
        assert!(is_timed_out(&limited.unwrap_err()));
        let owner = spawn(|| {
            scope(|s| {
                let _ = sleep(secs(60));
                s.spawn(|| sleep(secs(600)));
                // A shield around the spawn protects the body, and not the child.
                shield(secs(9), || {
                    s.spawn(|| sleep(secs(600)));
                    scope(|inner| {
                        inner.spawn(|| sleep(secs(1))); // this one is inside
                        Ok(())
                    })
                })
            })
        });
        sleep(secs(1))?;
        owner.cancel();
        assert!(is_cancelled(&owner.join().unwrap_err()));
        assert_eq!(since(start), 3.0);
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "");
}

#[test]
fn tg_16_swallowing_the_interruption_hides_no_failure() {
    sim(|| {
        let error = scope(|s| {
            s.spawn(|| fail("child"));
            let _ = sleep(secs(60));
            Ok(7)
        })
        .unwrap_err();
        assert_eq!(texts(&error), ["child"]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn tg_19_a_failure_that_was_joined_still_ends_the_scope() {
    sim(|| {
        let error = scope(|s| {
            let child = s.spawn(|| fail("child"));
            assert_eq!(child.join().unwrap_err().to_string(), "child");
            assert!(s.cancelled());
            Ok(7)
        })
        .unwrap_err();
        assert!(error.to_string().contains("taken by `join`"), "{error}");
        let error = scope(|s| s.spawn(|| fail("child")).join()).unwrap_err();
        assert_eq!(texts(&error), ["child"], "passed on by the body, it is there once");
        Ok(())
    })
    .unwrap();
}

#[test]
fn tg_21_a_scope_that_is_cancelled_ends_early_and_well() {
    sim(|| {
        let start = now();
        let value = scope(|s| {
            s.spawn(|| sleep(secs(60)));
            s.spawn(|| {
                sleep(secs(1))?;
                s.cancel(); // by a child
                s.cancel();
                Ok(())
            });
            let error = sleep(secs(60)).unwrap_err();
            assert!(is_cancelled(&error) && cancel_cause() == Some(Cause::Requested(None)));
            Ok(7)
        })?;
        assert_eq!((value, since(start)), (7, 1.0));
        yield_now()
    })
    .unwrap();
}

#[test]
fn a_scope_can_wait_before_its_end_and_no_child_can_wait_for_it() {
    sim(|| {
        let start = now();
        scope(|s| {
            s.spawn(|| sleep(secs(2)));
            assert!(is_timed_out(&timeout(secs(1), || s.wait()).unwrap_err()));
            assert_eq!(s.len(), 1, "the limit was around the wait, and not around the children");
            s.wait()?;
            assert!(s.is_empty() && since(start) == 2.0);
            s.spawn(|| {
                assert_eq!(s.wait().unwrap_err().kind(), ErrorKind::Deadlock);
                // Nor can what is below a child: the child waits for it.
                scope(|below| {
                    below.spawn(|| {
                        assert_eq!(s.wait().unwrap_err().kind(), ErrorKind::Deadlock);
                        below.spawn(|| assert_eq!(s.wait().unwrap_err().kind(), ErrorKind::Deadlock));
                        Ok(())
                    });
                    below.wait()
                })
            });
            // A stranger can: another task of ours, which the scope does not wait for.
            scope(|other| {
                other.spawn(|| s.wait());
                Ok(())
            })
        })
    })
    .unwrap();
}

#[test]
fn typed_scopes_return_the_first_error_and_log_the_others() {
    #[derive(Debug)]
    enum App {
        Io,
        Own(u32),
    }
    impl From<io::Error> for App {
        fn from(_: io::Error) -> App {
            App::Io
        }
    }
    let (result, lines) = logged(|| {
        typed::run(|| {
            typed::scope(|s| {
                s.spawn(|| {
                    yield_now()?;
                    Err::<(), _>(App::Own(1))
                });
                s.spawn(|| sleep(secs(60)).map_err(|_| App::Own(2)));
                Ok(sleep(secs(60))?)
            })
        })
    });
    assert!(matches!(result, Err(App::Own(1))), "{result:?}");
    only(&lines, "DEBUG", &["Own(2)"]);
}

// ---- panics ------------------------------------------------------------------------------------------

#[test]
fn a13_r2_a_body_that_panics_waits_for_its_children_before_the_panic_goes_on() {
    let log = Log::default();
    let text = panic_of(|| {
        sim(|| {
            let lent = [1, 2, 3];
            scope(|s| {
                s.spawn(|| {
                    let _end = Finally(|| {
                        assert!(!thread::panicking());
                        log.say(lent.len());
                    });
                    let result = sleep(secs(60));
                    shield(secs(9), || sleep(secs(5)))?;
                    result
                });
                yield_now()?;
                assert_eq!(lent[0], 9, "the body");
                Ok(())
            })
        })
    });
    assert!(text.contains("the body"), "{text}");
    assert_eq!(log.take(), "3");
}

#[test]
fn a7_a_child_that_panics_ends_the_siblings_and_the_scope_panics() {
    let log = Log::default();
    sim(|| {
        let text = panic_of(|| {
            scope(|s| {
                s.spawn(|| {
                    let _end = log.at_drop("sibling");
                    sleep(secs(60))
                });
                s.spawn(|| -> io::Result<()> { panic!("child") });
                let result = sleep(secs(60));
                log.say("body");
                result
            })
        });
        assert_eq!((text.as_str(), log.take().as_str()), ("child", "sibling body"));
        assert!(cancel_cause().is_none());
        yield_now() // main works on
    })
    .unwrap();
}

#[test]
fn of_several_panics_the_first_goes_on_and_the_others_are_logged() {
    let ((), lines) = logged(|| {
        sim(|| {
            let text = panic_of(|| {
                scope(|s| {
                    s.spawn(|| -> io::Result<()> {
                        let _ = sleep(secs(60));
                        panic!("two")
                    });
                    s.spawn(|| -> io::Result<()> { panic!("one") });
                    sleep(secs(60))
                })
            });
            assert_eq!(text, "one");
            Ok(())
        })
        .unwrap();
    });
    only(&lines, "ERROR", &["panicked too", "two"]);
}

#[test]
fn a7_a_childs_panic_that_is_joined_is_the_joiners() {
    sim(|| {
        let error = scope(|s| {
            let bad = s.spawn(|| -> io::Result<()> { panic!("child") });
            assert_eq!(panic_of(|| bad.join()), "child");
            assert!(s.cancelled());
            Ok(())
        });
        assert!(error.is_err());
        Ok(())
    })
    .unwrap();
}

#[test]
fn r5_a_scope_in_a_destructor_while_its_task_panics_drops_its_children_unrun() {
    let log = Log::default();
    let text = panic_of(|| {
        sim(|| {
            let _end = Finally(|| {
                let result = scope(|s| {
                    let capture = log.at_drop("dropped");
                    let child = s.spawn(move || -> io::Result<()> { unreachable!("{:p}", &capture) });
                    assert!(s.is_empty() && child.is_done() && child.cancelled());
                    s.wait()?;
                    assert!(is_cancelled(&child.join().unwrap_err()));
                    Ok(())
                });
                log.say(result.is_ok());
            });
            scope(|_| -> io::Result<()> { panic!("first") })
        })
    });
    assert_eq!((text.as_str(), log.take().as_str()), ("first", "dropped (panicking) true"));
}

// ---- attacks -------------------------------------------------------------------------------------------

#[test]
fn forgotten_handles_change_nothing() {
    let log = Log::default();
    sim(|| {
        let lent = log.clone();
        scope(|s| {
            for n in 0..10 {
                let lent = &lent;
                std::mem::forget(s.spawn(move || {
                    yield_now()?;
                    lent.say(n);
                    Ok(())
                }));
            }
            Ok(())
        })?;
        lent.say("end");
        let error = scope(|s| {
            std::mem::forget(s.spawn(|| fail("lost with its handle")));
            Ok(())
        });
        assert!(error.is_err(), "the failure itself is known");
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "0 1 2 3 4 5 6 7 8 9 end");
}

#[test]
fn a_handle_in_a_cycle_of_rcs_changes_nothing() {
    type Cycle<'scope> = Rc<RefCell<Option<(ScopedJoinHandle<'scope, u32>, Rc<dyn std::any::Any>)>>>;
    sim(|| {
        let lent = Cell::new(0);
        scope(|s| {
            let cycle: Cycle<'_> = Rc::default();
            let child = s.spawn(|| {
                yield_now()?;
                lent.set(7);
                Ok(5)
            });
            let myself = cycle.clone();
            *cycle.borrow_mut() = Some((child, Rc::new(())));
            std::mem::forget(myself);
            Ok(())
        })?;
        assert_eq!(lent.get(), 7);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_forgotten_handles_borrowed_result_is_never_touched_again() {
    /// Reads what it borrows when it is dropped.
    struct Reads<'a>(&'a RefCell<Vec<String>>);
    impl Drop for Reads<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut().push("dropped".into());
        }
    }
    let kept: (Task, Task) = sim(|| {
        let kept = {
            let lent = RefCell::new(Vec::new());
            let kept = scope(|s| {
                let forgotten = s.spawn(|| Ok(Reads(&lent)));
                let watched = forgotten.task();
                std::mem::forget(forgotten);
                let failed = s.spawn(|| {
                    let _ = sleep(secs(1));
                    Ok(Reads(&lent))
                });
                let second = failed.task();
                std::mem::forget(failed);
                Ok((watched, second))
            })?;
            assert!(lent.borrow().is_empty(), "the results are leaked with their handles");
            kept
        };
        // What was lent is gone; the tickets look at their tasks, and at nothing else.
        assert!(kept.0.is_done() && !kept.0.cancel());
        kept.0.wait()?;
        kept.0.set_name("still there");
        assert_eq!(kept.0.clone().name(), "still there");
        Ok(kept)
    })
    .unwrap();
    assert!(format!("{kept:?}").contains("still there"));
    drop(kept);
}

#[test]
fn a_result_that_spawns_when_it_is_dropped_is_waited_for() {
    struct Spawns<'scope, 'env>(&'scope Scope<'scope, 'env>, &'env Log);
    impl Drop for Spawns<'_, '_> {
        fn drop(&mut self) {
            let log = self.1;
            self.0.spawn(move || {
                yield_now()?;
                log.say("from a destructor");
                Ok(())
            });
        }
    }
    let log = Log::default();
    sim(|| {
        scope(|s| {
            s.spawn(|| Ok(Spawns(s, &log))); // dropped where the child ends
            let kept = s.spawn(|| Ok(Spawns(s, &log)));
            yield_now()?;
            drop(kept); // dropped here
            let spawns = Spawns(s, &log);
            let never = s.spawn(move || {
                let _spawns = &spawns;
                Ok(())
            });
            never.cancel(); // a capture, dropped unrun by the loop
            Ok(())
        })?;
        log.say("end");
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "from a destructor from a destructor from a destructor end");
}

#[test]
fn a_destructor_of_a_child_may_wait_and_the_scope_waits_for_it() {
    let log = Log::default();
    sim(|| {
        let start = now();
        scope(|s| {
            let log = &log;
            s.spawn(move || {
                let _end = Finally(|| {
                    let result = shield(secs(9), || sleep(secs(3)));
                    log.say(format_args!("{}@{}", result.is_ok(), since(start)));
                });
                sleep(secs(1))
            });
            // Its result is dropped after it has ended, and waits as well.
            s.spawn(move || {
                Ok(Finally(move || {
                    let result = sleep(secs(2));
                    log.say(format_args!("{}@{}", result.is_ok(), since(start)));
                }))
            });
            Ok(())
        })?;
        log.say("end");
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "true@2 true@4 end");
}

#[test]
fn a_child_that_ignores_the_first_cancels_is_waited_for_all_the_same() {
    let log = Log::default();
    sim(|| {
        let owner = spawn({
            let log = log.clone();
            move || {
                let lent = log;
                scope(|s| {
                    s.spawn(|| {
                        for n in 0..5 {
                            assert!(sleep(secs(60)).is_err());
                            lent.say(n);
                        }
                        Ok(())
                    });
                    sleep(secs(60))
                })
            }
        });
        yield_now()?;
        yield_now()?;
        owner.cancel();
        assert!(is_cancelled(&owner.join().unwrap_err()));
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "0 1 2 3 4");
}

/// One level of a nest in which everybody ignores every cancellation.
fn stubborn(log: &Log, depth: u32) -> io::Result<()> {
    let _end = log.at_drop(format!("level{depth}"));
    scope(|s| {
        if depth < 3 {
            s.spawn(move || stubborn(log, depth + 1));
        }
        for _ in 0_u64.. {
            let _ = sleep(secs(60));
        }
        Ok(())
    })
}

#[test]
fn three_nested_levels_that_ignore_everything_are_unwound_at_shutdown_children_first() {
    let log = Log::default();
    let l = log.clone();
    runner()
        .grace(secs(1))
        .run(move || {
            drop(spawn(move || stubborn(&l, 1)));
            for _ in 0..5 {
                yield_now()?;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(log.take(), "level3 (panicking) level2 (panicking) level1 (panicking)");
}

/// To return from the scope would free what the child borrows.
#[test]
fn r2_a12_a_child_that_catches_every_throw_is_named_and_ends_the_process_before_its_scope() {
    const NAME: &str = "r2_a12_a_child_that_catches_every_throw_is_named_and_ends_the_process_before_its_scope";
    if plays(NAME) {
        let _ = runner().grace(secs(1)).run(|| {
            drop(Builder::new().name("owner").spawn(|| {
                let lent = Finally(|| println!("what was lent is gone"));
                scope(|s| {
                    let hydra = Builder::new().name("hydra").spawn_scoped(s, || {
                        let _lent = &lent;
                        for _ in 0_u64.. {
                            let _ = catch_unwind(|| sleep(secs(60)));
                        }
                        Ok(())
                    });
                    hydra.map(drop)
                })
            })?);
            yield_now()?;
            yield_now() // now both have begun
        });
        println!("went on");
        return;
    }
    let ended = child(NAME);
    ended.aborted(&["fatal", "\"hydra\"", "spawned at tests/scope.rs:", "it waits at tests/scope.rs:"]);
    assert!(!ended.stdout.contains("gone") && !ended.stdout.contains("went on"), "{ended:#?}");
}

/// Its siblings and its owner are unwound like all others, when it has ended.
#[test]
fn r2_a12_a_child_that_catches_some_throws_is_waited_for_by_its_scope() {
    let log = Log::default();
    let l = log.clone();
    runner()
        .grace(secs(1))
        .run(move || {
            drop(spawn(move || {
                let lent = l.at_drop("owner");
                scope(|s| {
                    s.spawn(|| {
                        let _end = l.at_drop("sibling");
                        for _ in 0_u64.. {
                            let _ = sleep(secs(60));
                        }
                        Ok(())
                    });
                    s.spawn(|| {
                        let _lent = &lent;
                        let _end = l.at_drop("child");
                        let mut caught = 0;
                        while caught < 50 {
                            caught += u32::from(catch_unwind(|| sleep(secs(60))).is_err());
                        }
                        Ok(())
                    });
                    for _ in 0_u64.. {
                        let _ = sleep(secs(60));
                    }
                    Ok(())
                })
            }));
            yield_now()?;
            yield_now()
        })
        .unwrap();
    assert_eq!(log.take(), "child sibling (panicking) owner (panicking)");
}

#[test]
fn a_loop_that_is_left_early_ends_the_tasks_of_nested_scopes_in_order() {
    let log = Log::default();
    let l = log.clone();
    runner()
        .run(move || {
            drop(spawn(move || {
                let _end = l.at_drop("outer");
                scope(|s| {
                    s.spawn(|| {
                        let _end = l.at_drop("middle");
                        scope(|inner| {
                            inner.spawn(|| {
                                let _end = l.at_drop("inner");
                                sleep(secs(60))
                            });
                            Ok(())
                        })
                    });
                    Ok(())
                })
            }));
            sleep(secs(1))
        })
        .unwrap();
    assert_eq!(log.take(), "inner middle outer");
}

#[test]
fn two_scopes_of_one_task_may_end_in_any_order_inside_a_third() {
    let log = Log::default();
    sim(|| {
        scope(|outer| {
            let log = &log;
            scope(|inner| {
                // A child of the outer scope, spawned in the inner one's body, by name.
                outer.spawn(move || {
                    sleep(secs(2))?;
                    log.say("outer's");
                    Ok(())
                });
                inner.spawn(move || {
                    sleep(secs(1))?;
                    log.say("inner's");
                    Ok(())
                });
                Ok(())
            })?;
            log.say("|");
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(log.take(), "inner's | outer's");
}

#[test]
fn a_scope_inside_a_generator_that_is_handed_to_a_younger_task_is_closed_before_it_yields() {
    // The generator would be unwound by the younger task while its child, which borrows from its stack, lives on. So
    // it cannot yield out of the scope, and the panic closes the scope first.
    let log = Log::default();
    let l = log.clone();
    sim(move || {
        let mut generator = Generator::<u32>::new(move |y| {
            let lent = String::from("lent");
            scope(|s| {
                s.spawn(|| {
                    let result = sleep(secs(60));
                    l.say(&lent);
                    result
                });
                yield_now()?;
                y.yield_(1)?;
                Ok(())
            })
        });
        let text = panic_of(|| generator.next());
        assert!(text.contains("while a scope"), "{text}");
        let younger = spawn(move || Ok(generator.next().is_none()));
        assert!(younger.join()?);
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "lent");
}

#[test]
fn a_generator_of_an_older_task_may_be_finished_by_a_younger_one_and_its_scopes_with_it() {
    let log = Log::default();
    let l = log.clone();
    sim(move || {
        let mut generator = Generator::<u32>::new(move |y| {
            for n in 0..3 {
                scope(|s| {
                    s.spawn(|| {
                        sleep(secs(1))?;
                        l.say(n);
                        Ok(())
                    });
                    Ok(())
                })?;
                y.yield_(n)?;
            }
            Ok(())
        });
        assert_eq!(generator.next().unwrap()?, 0);
        let younger = spawn(move || {
            let second = generator.next().unwrap()?;
            drop(generator); // half-way, in another task than the one that began it
            Ok(second)
        });
        assert_eq!(younger.join()?, 1);
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "0 1");
}

#[test]
fn a_forgotten_generator_leaves_no_child_behind() {
    let log = Log::default();
    let l = log.clone();
    sim(move || {
        let mut generator = Generator::<u32>::new(move |y| {
            let lent = l.at_drop("never dropped: its stack is leaked");
            scope(|s| {
                s.spawn(|| {
                    sleep(secs(1))?;
                    lent_says(&lent, &l);
                    Ok(())
                });
                Ok(())
            })?;
            y.yield_(1)?;
            Ok(())
        });
        assert_eq!(generator.next().unwrap()?, 1);
        std::mem::forget(generator);
        assert_eq!(corio::all_tasks().len(), 1);
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "child");

    fn lent_says(_: &common::AtDrop, log: &Log) {
        log.say("child");
    }
}

#[test]
fn ten_thousand_children_end_in_one_scope() {
    sim(|| {
        let count = Cell::new(0);
        scope(|s| {
            for _ in 0..10_000 {
                s.spawn(|| {
                    yield_now()?;
                    count.set(count.get() + 1);
                    Ok(())
                });
            }
            Ok(())
        })?;
        assert_eq!(count.get(), 10_000);
        Ok(())
    })
    .unwrap();
}
