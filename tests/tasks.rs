//! Tasks: their order, their handles, their panics, and what the loop promises them.
//!
//! `TASK-..`, `LOOP-..` are behaviours of asyncio, `R..` rules of the design, `A..` and `D..` faults that must be
//! survived.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::thread;

use common::{Finally, Log, child, child_with, logged, only, panic_of, plays, runner, shown_in, sim, since};
use corio::{
    Builder, Generator, JoinHandle, LoopHandle, Outcome, Task, Yielder, all_tasks, call_later, call_soon, current,
    errors, is_cancelled, millis, now, run, say, scope, secs, sleep, sleep_until, spawn, timeout, try_current, typed,
    yield_now,
};

// ---- order -------------------------------------------------------------------------------------

#[test]
fn task_01_a_body_begins_when_the_spawner_suspends_and_in_the_order_of_spawning() {
    let log = Log::default();
    let (l, seen) = (log.clone(), log.clone());
    sim(move || {
        let tasks = ["a", "b", "c"].map(|name| {
            let l = l.clone();
            spawn(move || l.say(name))
        });
        l.say("spawner");
        assert!(tasks.iter().all(|task| !task.is_done()));
        yield_now()?;
        assert!(tasks.iter().all(|task| task.is_done()));
        l.say("again");
        Ok(())
    })
    .unwrap();
    assert_eq!(seen.take(), "spawner a b c again");
}

#[test]
fn task_02_tasks_that_give_up_their_turn_alternate() {
    let log = Log::default();
    sim(|| {
        let tasks = ["a", "b"].map(|name| {
            let log = log.clone();
            spawn(move || {
                for n in 0..3 {
                    log.say(format_args!("{name}{n}"));
                    yield_now()?;
                }
                Ok(())
            })
        });
        for task in tasks {
            task.join()?;
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "a0 b0 a1 b1 a2 b2");
}

#[test]
fn task_03_04_a_sleep_of_nothing_or_into_the_past_lets_the_queue_pass_once() {
    let log = Log::default();
    sim(|| {
        let l = log.clone();
        call_soon(move || l.say("callback"));
        sleep(secs(0))?;
        log.say("zero");
        let l = log.clone();
        call_soon(move || l.say("callback"));
        sleep_until(now())?;
        log.say("past");
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "callback zero callback past");
}

#[test]
fn loop_01_02_what_becomes_ready_in_a_turn_runs_in_the_next_r15() {
    let log = Log::default();
    sim(|| {
        for name in ["a", "b", "c"] {
            let log = log.clone();
            call_soon(move || {
                log.say(name);
                let inner = log.clone();
                call_soon(move || inner.say(format_args!("{name}'")));
            });
        }
        yield_now()?;
        log.say("|");
        yield_now()
    })
    .unwrap();
    assert_eq!(log.take(), "a b c | a' b' c'");
}

#[test]
fn loop_05_06_timers_run_in_the_order_of_their_deadlines_and_equal_ones_as_they_were_armed() {
    let log = Log::default();
    sim(|| {
        for (delay, name) in [(3, "c"), (1, "a1"), (2, "b"), (1, "a2")] {
            let log = log.clone();
            call_later(secs(delay), move || log.say(name));
        }
        let start = now();
        sleep(secs(4))?;
        assert_eq!(since(start), 4.0);
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "a1 a2 b c");
}

#[test]
fn task_35_a_thousand_waiters_of_one_task_go_on_once_and_in_order() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let seen = order.clone();
    sim(move || {
        let one = spawn(|| sleep(secs(1)));
        let waiters: Vec<_> = (0..1000)
            .map(|n| {
                let (one, order) = (one.task(), order.clone());
                spawn(move || {
                    one.wait()?;
                    order.borrow_mut().push(n);
                    Ok(())
                })
            })
            .collect();
        for waiter in waiters {
            waiter.join()?;
        }
        one.join()
    })
    .unwrap();
    assert!(seen.borrow().iter().copied().eq(0..1000));
}

#[test]
fn a_task_that_is_resumed_by_another_frame_of_the_loop_still_knows_itself_r7() {
    // What is left when main returns is resumed from the shutdown, not from where it was suspended.
    let log = Log::default();
    let l = log.clone();
    sim(move || {
        let say = move |name: &str, result: io::Result<()>| l.say(format_args!("{name}:{}", result.is_err()));
        let (a, b, c, d) = (say.clone(), say.clone(), say.clone(), say);
        drop(spawn(move || a("sleep", sleep(secs(60)))));
        drop(spawn(move || b("wait", spawn(|| sleep(secs(60))).task().wait())));
        drop(spawn(move || c("join", spawn(|| sleep(secs(60))).join())));
        drop(spawn(move || {
            d("limit", timeout(secs(50), || sleep(secs(60))));
        }));
        sleep(secs(1))
    })
    .unwrap();
    assert_eq!(log.take(), "sleep:true wait:true limit:true join:true");
}

// ---- handles -----------------------------------------------------------------------------------

#[test]
fn task_31_a_dropped_handle_detaches_and_a_forgotten_one_does_nothing_r1() {
    let log = Log::default();
    sim(|| {
        let (a, b) = (log.clone(), log.clone());
        drop(spawn(move || {
            sleep(secs(1))?;
            a.say("dropped");
            Ok(())
        }));
        std::mem::forget(spawn(move || {
            sleep(secs(2))?;
            b.say("forgotten");
            Ok(b.at_drop("never"))
        }));
        sleep(secs(3))
    })
    .unwrap();
    assert_eq!(log.take(), "dropped forgotten");
}

#[test]
fn task_32_names_are_unique_and_can_be_set() {
    sim(|| {
        assert_eq!(current().name(), "main");
        let (a, b) = (spawn(|| ()), spawn(|| Ok(current().name())));
        assert_eq!((a.id(), b.id()), (2, 3));
        assert_eq!(a.name(), "task-2");
        b.set_name("first");
        b.set_name("second");
        assert!(format!("{b:?}").contains("second"), "{b:?}");
        let c = Builder::new().name("third").spawn(|| Ok(current().name()))?;
        assert_eq!((b.join()?, c.join()?), ("second".into(), "third".into()));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_result_goes_to_whoever_joins_and_is_dropped_once_if_nobody_does() {
    let log = Log::default();
    sim(|| {
        let give = |name: &'static str| {
            let log = log.clone();
            spawn(move || Ok(log.at_drop(name)))
        };
        let taken = give("taken").join()?;
        log.say("joined");
        drop(taken);
        drop(give("early")); // its handle goes before it has begun
        let late = give("late");
        yield_now()?;
        log.say("done");
        drop(late); // its handle goes after it has ended
        log.say("end");
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "joined taken early done late end");
}

#[test]
fn a_handle_is_a_body_that_joins() {
    let sum = sim(|| {
        let inner = spawn(|| Ok(40));
        let outer = spawn(|| inner);
        let both = scope(|s| s.spawn(move || outer).join())?;
        assert_eq!(timeout(secs(1), || spawn(|| Ok(2)))?, 2);
        Ok(both + 2)
    });
    assert_eq!(sum.unwrap(), 42);
}

#[test]
fn outcomes_tell_apart_what_join_merges() {
    sim(|| {
        assert!(matches!(spawn(|| Ok(1)).outcome(), Outcome::Returned(1)));
        assert!(matches!(spawn(|| Err::<(), _>(io::Error::other("no"))).outcome(), Outcome::Failed(_)));
        let cancelled = spawn(|| sleep(secs(1)));
        cancelled.cancel();
        assert!(matches!(cancelled.outcome(), Outcome::Cancelled(e) if is_cancelled(&e)));
        match spawn(|| -> io::Result<()> { panic!("boom") }).outcome() {
            Outcome::Panicked(payload) => assert_eq!(*payload.downcast_ref::<&str>().unwrap(), "boom"),
            other => panic!("{other:?}"),
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn on_done_calls_back_in_a_later_turn_in_order_and_a_panic_there_is_only_logged() {
    let log = Log::default();
    let ((), lines) = logged(|| {
        sim(|| {
            let task = spawn(|| Ok(()));
            for n in 0..4 {
                let log = log.clone();
                task.on_done(move |task| {
                    assert!(task.is_done() && try_current().is_none());
                    log.say(n);
                    assert!(n != 1, "the second one panics");
                });
            }
            let watched = task.task();
            task.join()?;
            log.say("joined");
            yield_now()?;
            let l = log.clone();
            watched.on_done(move |_| l.say("late"));
            log.say("not inline");
            yield_now()
        })
        .unwrap();
    });
    assert_eq!(log.take(), "joined 0 1 2 3 not inline late");
    only(&lines, "ERROR", &["callback", "panicked", "the second one panics"]);
}

// ---- failures ----------------------------------------------------------------------------------

#[test]
fn task_29_a_failure_that_nobody_takes_is_logged_once_and_one_that_is_taken_never() {
    let ((), lines) = logged(|| {
        sim(|| {
            let fail = |text: &'static str| spawn(move || Err::<(), _>(io::Error::other(text)));
            drop(fail("detached"));
            let unread = fail("unread");
            assert!(fail("joined").join().is_err());
            drop(unread);
            let cancelled = spawn(|| sleep(secs(1)));
            yield_now()?;
            cancelled.cancel();
            drop(cancelled);
            yield_now()
        })
        .unwrap();
    });
    only(&lines, "ERROR", &["task-2", "detached", "nobody joined", "tests/tasks.rs"]);
    only(&lines, "ERROR", &["task-3", "unread"]);
    assert_eq!(lines.iter().filter(|line| line.starts_with("ERROR")).count(), 2, "{lines:#?}");
}

#[test]
fn a7_a_panic_reaches_the_joiner_once_r19() {
    let log = Log::default();
    let text = panic_of(|| {
        sim(|| {
            let l = log.clone();
            let stranger = spawn(move || {
                sleep(secs(1))?;
                assert!(!thread::panicking());
                l.say("stranger");
                Ok(())
            });
            let l = log.clone();
            let bad = spawn(move || -> io::Result<()> {
                let _a = l.at_drop("unwound");
                sleep(millis(1))?;
                panic_any("boom".to_owned())
            });
            let task = bad.task();
            task.wait()?; // seeing that it ended takes nothing
            assert!(task.is_done() && !task.cancelled());
            let payload = catch_unwind(AssertUnwindSafe(|| bad.join())).unwrap_err();
            assert_eq!(payload.downcast_ref::<String>().unwrap(), "boom");
            stranger.join()?;
            spawn(|| -> io::Result<()> { panic!("the last") }).join()
        })
        .unwrap();
    });
    assert_eq!(text, "the last", "a panic that main does not catch goes on out of `run`");
    assert_eq!(log.take(), "unwound (panicking) stranger");
    assert!(!thread::panicking());
    sim(|| yield_now()).unwrap();
}

#[test]
fn a7_task_34_a_panic_that_nobody_joins_is_logged_and_the_loop_goes_on() {
    let ((), lines) = logged(|| {
        sim(|| {
            drop(Builder::new().name("bad").spawn(|| -> io::Result<()> { panic!("boom") })?);
            let kept = spawn(|| -> io::Result<()> { panic!("bang") });
            sleep(secs(1))?;
            drop(kept);
            spawn(|| sleep(secs(1))).join()
        })
        .unwrap();
    });
    only(&lines, "ERROR", &["\"bad\"", "tests/tasks.rs", "panicked and nobody joined it", "boom"]);
    only(&lines, "ERROR", &["task-3", "bang"]);
}

/// std's hook knows the thread and not the task; one of the program's own can ask.
#[test]
fn a7_a_panic_hook_can_name_the_task_that_panics() {
    const NAME: &str = "a7_a_panic_hook_can_name_the_task_that_panics";
    if plays(NAME) {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            match try_current() {
                Some(task) => eprintln!("in {:?} ({}):", task.name(), task.id()),
                None => eprintln!("in no task:"),
            }
            default(info);
        }));
        run(|| {
            let reader = Builder::new().name("reader").spawn(|| -> io::Result<()> { panic!("of a task") })?;
            assert_eq!(panic_of(|| reader.join()), "of a task");
            let caller = Builder::new().name("caller").spawn(|| {
                // A generator has a stack of its own, and the name of whoever resumes it.
                Generator::<u32>::new(|_| panic!("of a generator")).next();
                Ok(())
            })?;
            assert_eq!(panic_of(|| caller.join()), "of a generator");
            scope(|s| {
                let child =
                    Builder::new().name("child").spawn_scoped(s, || -> io::Result<()> { panic!("of a child") })?;
                assert_eq!(panic_of(|| child.join()), "of a child");
                Ok(())
            })
            .unwrap_err();
            call_soon(|| panic!("of a callback"));
            yield_now()
        })
        .unwrap();
        assert_eq!(panic_of(|| panic!("of nobody")), "of nobody");
        return;
    }
    let ended = child(NAME);
    let said = ended.succeeded().stderr.lines().filter(|line| line.starts_with("in ") || line.starts_with("of "));
    let wanted = [
        "in \"reader\" (2):",
        "of a task",
        "in \"caller\" (3):",
        "of a generator",
        "in \"child\" (4):",
        "of a child",
        "in no task:",
        "of a callback",
        "in no task:",
        "of nobody",
    ];
    assert_eq!(said.collect::<Vec<_>>(), wanted);
}

#[test]
fn a7_a_panic_after_the_task_was_cancelled_is_a_panic() {
    let text = panic_of(|| {
        sim(|| {
            let task = spawn(|| {
                let _ = sleep(secs(1));
                panic!("in the clean-up");
                #[allow(unreachable_code)]
                Ok(())
            });
            yield_now()?;
            task.cancel();
            task.join()
        })
    });
    assert_eq!(text, "in the clean-up");
}

#[test]
fn a7_the_panic_of_main_is_passed_on_when_all_tasks_have_ended() {
    let log = Log::default();
    let l = log.clone();
    let text = panic_of(|| {
        sim(move || {
            drop(spawn(move || {
                let _a = l.at_drop("ended");
                sleep(secs(60))
            }));
            yield_now()?;
            assert!(all_tasks().is_empty(), "main");
            Ok(())
        })
    });
    assert!(text.contains("main"), "{text}");
    assert_eq!(log.take(), "ended");
}

#[test]
fn a8_a_payload_whose_destructor_panics_is_contained() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("in the payload");
        }
    }
    let ((), lines) = logged(|| {
        sim(|| {
            drop(spawn(|| -> io::Result<()> { panic_any(Bad) }));
            call_soon(|| panic_any(Bad));
            scope(|s| {
                s.spawn(|| Ok(()));
                Ok(())
            })?;
            sleep(secs(1))
        })
        .unwrap();
    });
    assert_eq!(lines.iter().filter(|line| line.contains("in the payload")).count(), 2, "{lines:#?}");
}

#[test]
fn a8_an_observer_that_panics_is_not_called_again_and_its_payload_may_panic_as_well() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("in the payload");
        }
    }
    use corio::observe::{Names, event::Record};
    let ((), lines) = logged(|| {
        runner().observer(|_: &Record, _: &Names| panic_any(Bad)).run(|| sleep(secs(1))).unwrap();
    });
    if cfg!(feature = "observe") {
        only(&lines, "ERROR", &["an observer panicked"]);
        only(&lines, "ERROR", &["in the payload"]);
    }
}

#[test]
fn a8_an_observer_that_panics_may_panic_when_it_is_dropped_as_well() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("in the observer's destructor");
        }
    }
    use corio::observe::{Names, event::Record};
    let bad = Bad;
    let ((), lines) = logged(|| {
        let observer = move |_: &Record, _: &Names| {
            let _ = &bad;
            panic!("in the observer");
        };
        let _ = catch_unwind(AssertUnwindSafe(|| runner().observer(observer).run(|| sleep(secs(1))).unwrap()));
    });
    if cfg!(feature = "observe") {
        only(&lines, "ERROR", &["an observer panicked", "in the observer"]);
        only(&lines, "ERROR", &["in the observer's destructor"]);
    }
}

#[test]
fn printing_may_yield_out_of_a_coroutine_that_outlives_its_run_r2() {
    struct Yields<'a>(&'a Yielder<(), u32>);
    impl std::fmt::Display for Yields<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.yield_(7).map_err(|_| std::fmt::Error)?;
            f.write_str("printed")
        }
    }
    use corio::observe::{Names, event::Record};
    let mut kept = runner()
        .observer(|_: &Record, _: &Names| ())
        .run(|| {
            let mut generator = Generator::<u32>::new(|y| {
                say!("{}", Yields(y));
                Ok(())
            });
            assert_eq!(generator.next().unwrap()?, 7);
            Ok(generator)
        })
        .unwrap();
    assert!(kept.next().is_none(), "the rest of it runs without the loop");
}

#[test]
fn a8_the_users_code_of_an_error_may_panic_wherever_it_is_called() {
    struct Bad;
    impl std::fmt::Debug for Bad {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("in Debug")
        }
    }
    impl From<io::Error> for Bad {
        fn from(_: io::Error) -> Bad {
            panic!("in From")
        }
    }
    impl Drop for Bad {
        fn drop(&mut self) {
            if !thread::panicking() {
                panic!("in Drop");
            }
        }
    }
    let ((), lines) = logged(|| {
        sim(|| {
            drop(typed::spawn(|| Err::<(), _>(Bad))); // printed, and dropped
            let refused = typed::spawn(|| Ok::<(), Bad>(()));
            refused.cancel(); // its error is made by `From`
            assert!(matches!(refused.outcome(), Outcome::Panicked(_)));
            sleep(secs(1))
        })
        .unwrap();
    });
    only(&lines, "ERROR", &["task-2", "nobody joined", "an error that panicked when it was printed"]);
    only(&lines, "ERROR", &["a task's error panicked in its destructor", "in Drop"]);
}

#[test]
fn a8_destructors_of_captures_and_results_may_panic_on_the_loops_own_stack() {
    struct Bad(&'static str);
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("{}", self.0);
        }
    }
    let ((), lines) = logged(|| {
        sim(|| {
            let bad = Bad("of a capture");
            let never = spawn(move || {
                let _bad = &bad;
                Ok(())
            });
            never.cancel();
            assert!(is_cancelled(&never.join().unwrap_err()));
            drop(spawn(|| Ok(Bad("of a result"))));
            for name in ["of a callback", "of another"] {
                let bad = Bad(name);
                call_later(secs(9), move || drop(bad));
            }
            let bad = Bad("of a letter");
            sleep(secs(1))?;
            LoopHandle::current()?.call_soon(move || drop(bad))
        })
        .unwrap();
    });
    for name in ["of a capture", "of a result", "of a callback", "of another", "of a letter"] {
        only(&lines, "ERROR", &["panicked in its destructor", name]);
    }
}

#[test]
fn a9_a_destructor_that_panics_after_a_cancellation_is_the_tasks_panic_and_the_rest_unwinds() {
    let log = Log::default();
    let text = panic_of(|| {
        sim(|| {
            let l = log.clone();
            let task = spawn(move || {
                let _first = l.at_drop("first");
                let _second = Finally(|| panic!("a destructor"));
                let _third = l.at_drop("third");
                sleep(secs(60))
            });
            yield_now()?;
            task.cancel();
            task.join()
        })
    });
    assert_eq!((text.as_str(), log.take().as_str()), ("a destructor", "third first (panicking)"));
}

// ---- circles -----------------------------------------------------------------------------------

/// A place for a handle that a task needs before it exists.
type Slot<T> = Rc<RefCell<Option<JoinHandle<T>>>>;

#[test]
fn a14_task_28_a_task_that_waits_for_itself_is_refused_at_once() {
    sim(|| {
        assert_eq!(current().wait().unwrap_err().kind(), ErrorKind::Deadlock);
        let slot: Slot<()> = Slot::default();
        let its = slot.clone();
        let task = spawn(move || {
            let error = its.take().unwrap().join().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Deadlock);
            assert!(error.to_string().contains("itself"), "{error}");
            sleep(secs(1))
        });
        let watched = task.task();
        *slot.borrow_mut() = Some(task);
        watched.wait()?; // the loop works on, and so does the task
        assert!(!watched.cancelled());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a14_a_task_that_waits_for_an_ancestor_in_whose_scope_it_runs_is_refused_at_once() {
    sim(|| {
        let slot: Slot<()> = Slot::default();
        let its = slot.clone();
        let parent = spawn(move || {
            scope(|s| {
                s.spawn(move || {
                    scope(|inner| {
                        inner.spawn(move || {
                            let error = its.take().unwrap().join().unwrap_err();
                            assert_eq!(error.kind(), ErrorKind::Deadlock);
                            assert!(error.to_string().contains("in whose scope it runs"), "{error}");
                            Ok(())
                        });
                        Ok(())
                    })
                });
                Ok(())
            })
        });
        let watched = parent.task();
        *slot.borrow_mut() = Some(parent);
        watched.wait()
    })
    .unwrap();
}

#[test]
fn d6_r18_tasks_that_join_each_other_end_the_run_with_a_report() {
    let slot: Slot<()> = Slot::default();
    let (result, _) = logged(|| {
        let slot = slot.clone();
        sim(move || {
            let second = slot.clone();
            let a = Builder::new().name("hen").spawn(move || {
                yield_now()?;
                second.take().unwrap().join()
            })?;
            let b = Builder::new().name("egg").spawn(move || a.join())?;
            let watched = b.task();
            *slot.borrow_mut() = Some(b);
            watched.wait()
        })
    });
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
    let text = error.to_string();
    for part in ["main (1)", "tasks.rs:", "cycle: ", "egg waits for hen", "hen waits for egg"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn d6_r18_what_still_has_a_timer_is_no_deadlock() {
    sim(|| {
        // For an hour nothing can run, and nobody says anything.
        let waiter = spawn(|| current().wait());
        assert!(waiter.join().is_err());
        let task = spawn(|| sleep(secs(3600)));
        let other = task.task();
        spawn(move || other.wait()).join()?;
        task.join()
    })
    .unwrap();
    // A callback is hope as well.
    sim(|| {
        let task = spawn(|| sleep(secs(9_999_999)));
        let other = task.task();
        call_later(secs(5), move || assert!(other.cancel()));
        assert!(task.join().is_err());
        Ok(())
    })
    .unwrap();
}

/// A task that nobody will ever wake: it waits for one that waits for it.
fn hopeless() -> Task {
    let slot: Slot<()> = Slot::default();
    let its = slot.clone();
    let a = spawn(move || {
        yield_now()?;
        its.take().unwrap().join()
    });
    let watched = a.task();
    *slot.borrow_mut() = Some(spawn(move || a.join()));
    watched
}

#[test]
fn d6_a_live_loop_handle_is_hope_and_the_last_one_to_go_takes_it_along() {
    // Real time: another thread is involved.
    let result = run(|| {
        let handle = LoopHandle::current()?;
        let helper = thread::spawn(move || {
            thread::sleep(millis(20));
            handle.call_soon(|| drop(spawn(|| ()))).unwrap();
            handle
        });
        let watched = hopeless();
        call_later(millis(40), move || drop(helper.join()));
        watched.wait()
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Deadlock);
}

#[test]
fn d6_after_a_deadlock_every_stack_has_unwound_and_the_thread_can_run_again() {
    let log = Log::default();
    let l = log.clone();
    let result = sim(move || {
        let _main = l.at_drop("main");
        let l2 = l.clone();
        drop(spawn(move || {
            let _other = l2.at_drop("other");
            hopeless().wait()
        }));
        hopeless().wait()
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Deadlock);
    assert_eq!(log.take(), "main other");
    sim(|| yield_now()).unwrap();
}

// ---- fairness ----------------------------------------------------------------------------------

#[test]
fn d5_tasks_that_wake_each_other_in_a_circle_let_a_third_run() {
    let turns = Rc::new(Cell::new(0));
    let seen = turns.clone();
    sim(move || {
        fn round(turns: Rc<Cell<u32>>) {
            turns.set(turns.get() + 1);
            if turns.get() < 100_000 {
                call_soon(move || round(turns));
            }
        }
        call_soon(move || round(turns));
        for _ in 0..10 {
            yield_now()?;
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(seen.get(), 10);
}

#[test]
fn d2_loop_24_timers_are_served_while_something_is_always_ready() {
    let done = Rc::new(Cell::new(false));
    let rounds = Rc::new(Cell::new(0_u64));
    let (d, r) = (done.clone(), rounds.clone());
    run(move || {
        let busy = spawn(move || {
            while !d.get() {
                yield_now()?;
                r.set(r.get() + 1);
            }
            Ok(())
        });
        let result = sleep(millis(1));
        done.set(true);
        busy.join()?;
        result
    })
    .unwrap();
    assert!(rounds.get() > 0);
}

#[test]
fn d3_calls_that_never_need_to_wait_let_others_run_all_the_same() {
    let others = Rc::new(Cell::new(0));
    let seen = others.clone();
    sim(move || {
        let done = spawn(|| Ok(())).task();
        done.wait()?;
        drop(spawn(move || {
            loop {
                others.set(others.get() + 1);
                yield_now()?;
            }
            #[allow(unreachable_code)]
            Ok(())
        }));
        for _ in 0..100_000 {
            done.wait()?; // done already: never a reason to pause
        }
        Ok(())
    })
    .unwrap();
    assert!(seen.get() >= 100, "the other task ran {} times", seen.get());
}

#[test]
fn r14_a_loop_that_ignores_cancellation_does_not_starve_the_others_and_is_named() {
    let ((), lines) = logged(|| {
        sim(|| {
            let stubborn = Builder::new().name("stubborn").spawn(|| {
                for _ in 0..5_000 {
                    let _ = sleep(secs(1));
                }
                Ok(())
            })?;
            let ran = Rc::new(Cell::new(0));
            let r = ran.clone();
            let other = spawn(move || {
                for _ in 0..1_000 {
                    r.set(r.get() + 1);
                    yield_now()?;
                }
                Ok(())
            });
            yield_now()?;
            stubborn.cancel();
            other.join()?;
            assert!(!stubborn.is_done(), "they took turns");
            stubborn.join()
        })
        .unwrap();
    });
    only(&lines, "WARN", &["stubborn", "ignored", "tests/tasks.rs"]);
}

/// R14: a supervisor that does not notice that its own region is over is named as well.
#[test]
fn r14_a_supervisor_in_a_cancelled_scope_is_named() {
    let ((), lines) = logged(|| {
        let result: io::Result<()> = sim(|| {
            scope(|s| {
                for _ in 0..5_000 {
                    let _ = s.spawn(|| Err::<(), _>(io::Error::other("no luck"))).outcome();
                }
                Ok(())
            })
        });
        assert!(result.is_err());
    });
    only(&lines, "WARN", &["main", "ignored", "tests/tasks.rs"]);
}

// ---- no borrow across user code (R7) -------------------------------------------------------------

#[test]
fn r7_every_call_may_be_made_from_every_place_where_the_loop_calls_back() {
    /// Touches all there is to touch.
    fn poke() {
        for task in all_tasks() {
            let _ = (task.name(), task.cancelling(), format!("{task:?}"), task.stack_used(), task.is_done());
            task.set_name(task.name());
        }
        let task = spawn(|| ());
        task.on_done(|_| ());
        task.cancel_because("poked");
        let _ = task.uncancel();
        call_later(secs(1), || ()).cancel();
        call_soon(|| ());
        let _ = (now(), try_current(), LoopHandle::current().unwrap().is_closed());
        assert!(run(|| Ok(())).is_err());
        let _ = scope(|s| {
            s.spawn(|| ());
            Ok(())
        });
        let _ = timeout(secs(1), || sleep(secs(2)));
    }
    let pokes = || Finally(poke);
    sim(|| {
        let (a, b, c, d) = (pokes(), pokes(), pokes(), pokes());
        let cancelled = spawn(move || {
            let _a = &a;
            Ok(())
        });
        cancelled.cancel(); // its captures are dropped on the loop's stack
        drop(spawn(move || Ok(b))); // its result on its own
        let kept = spawn(move || Ok(c));
        kept.on_done(|_| poke());
        call_soon(poke);
        call_later(secs(1), poke);
        call_later(secs(100), move || drop(d)); // dropped when the run ends
        sleep(secs(2))?;
        drop(kept);
        drop(spawn(|| {
            let _e = Finally(poke);
            sleep(secs(60)) // cancelled by the end of the run
        }));
        let f = pokes();
        let result = catch_unwind(AssertUnwindSafe(move || {
            let _f = f;
            panic!("poked while unwinding");
        }));
        assert!(result.is_err());
        yield_now()
    })
    .unwrap();
}

// ---- stacks ------------------------------------------------------------------------------------

#[test]
fn a3_a_stack_of_absurd_size_is_an_error_and_the_closure_is_dropped_once() {
    let log = Log::default();
    sim(|| {
        for bytes in [0, 1, 4096, 32 * 1024 - 1, usize::MAX / 2, usize::MAX] {
            let capture = log.at_drop("dropped");
            let spawned = Builder::new().stack_size(bytes).spawn(move || drop(capture));
            assert_eq!(spawned.unwrap_err().kind(), ErrorKind::InvalidInput);
            assert_eq!(log.take(), "dropped");
            let refused = scope(|s| {
                let capture = log.at_drop("dropped");
                Builder::new().stack_size(bytes).spawn_scoped(s, move || drop(capture)).map(|_| ())
            });
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
            assert_eq!(log.take(), "dropped");
        }
        Builder::new().stack_size(32 * 1024).spawn(|| Ok(()))?.join()
    })
    .unwrap();
}

/// Spawns sleepers until there is no stack for another; checks all that row A4 promises.
fn exhaust(limit: &str, size: Option<usize>) {
    let builder = || size.map_or(Builder::new(), |bytes| Builder::new().stack_size(bytes));
    sim(|| {
        let mut tasks = Vec::new();
        let error = loop {
            match builder().spawn(|| sleep(secs(60))) {
                Ok(task) => tasks.push(task),
                Err(error) => break error,
            }
        };
        println!("{} tasks, then: {error}", tasks.len());
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains(limit), "{error}");
        let log = Log::default();
        let capture = log.at_drop("dropped");
        assert!(builder().spawn(move || drop(capture)).is_err());
        assert_eq!(log.take(), "dropped");
        if size.is_none() {
            let capture = log.at_drop("dropped");
            let text = panic_of(move || spawn(move || drop(capture)));
            assert!(text.contains("cannot spawn a task") && text.contains(limit), "{text}");
            assert_eq!(log.take(), "dropped");
        }
        yield_now()?; // all of them have a stack, and use it
        for task in tasks.drain(..) {
            task.cancel();
            assert!(task.join().is_err());
        }
        for _ in 0..100 {
            tasks.push(builder().spawn(|| yield_now())?); // it works again
        }
        tasks.into_iter().try_for_each(JoinHandle::join)
    })
    .unwrap();
}

/// Spawns until a limit of the process is met, in a process of its own.
fn exhaust_under(resource: Resource, named: &str, test: &str) {
    if plays(test) {
        let limit = libc::rlimit { rlim_cur: 3 << 30, rlim_max: 3 << 30 };
        // SAFETY: reads the structure it is given.
        assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
        return exhaust(named, None);
    }
    child(test).succeeded();
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "the sanitizer needs terabytes itself")]
fn a4_when_address_space_runs_out_spawn_says_so_and_works_again_later() {
    let test = "a4_when_address_space_runs_out_spawn_says_so_and_works_again_later";
    exhaust_under(libc::RLIMIT_AS, "RLIMIT_AS", test);
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "the sanitizer needs terabytes itself")]
fn a4_when_memory_is_limited_spawn_names_the_limit_and_works_again_later() {
    let test = "a4_when_memory_is_limited_spawn_names_the_limit_and_works_again_later";
    exhaust_under(libc::RLIMIT_DATA, "RLIMIT_DATA", test);
}

#[test]
fn a4_when_mappings_run_out_spawn_names_the_sysctl_and_works_again_later() {
    const NAME: &str = "a4_when_mappings_run_out_spawn_names_the_sysctl_and_works_again_later";
    if plays(NAME) {
        return exhaust("vm.max_map_count", Some(64 * 1024));
    }
    child_with(NAME, &[("CORIO_STACK_GUARD", "mprotect")]).succeeded();
}

#[test]
fn forty_thousand_guarded_tasks_wait_at_the_same_time() {
    let sum = sim(|| {
        let tasks: Vec<_> = (0..40_000_u64)
            .map(|n| {
                Builder::new().stack_size(64 * 1024).spawn(move || {
                    sleep(secs(1))?;
                    Ok(n)
                })
            })
            .collect::<io::Result<_>>()?;
        let mut sum = 0;
        for task in tasks {
            sum += task.join()?;
        }
        Ok(sum)
    });
    assert_eq!(sum.unwrap(), 40_000 * 39_999 / 2);
}

#[inline(never)]
fn deep(n: u64) -> u64 {
    let frame = std::hint::black_box([n; 64]);
    if n == u64::MAX { 0 } else { deep(n + 1) + frame[1] }
}

/// PORT-07: deep recursion meets the guard page and no other memory; how deep is settled for each task.
#[test]
fn a1_r9_an_overflow_names_the_task_its_id_its_place_its_stack_and_the_remedy() {
    const NAME: &str = "a1_r9_an_overflow_names_the_task_its_id_its_place_its_stack_and_the_remedy";
    if plays(NAME) {
        let _ = sim(|| {
            drop(spawn(|| sleep(secs(60))));
            let task = Builder::new().name("digger").stack_size(128 * 1024).spawn(|| {
                yield_now()?;
                Ok(deep(0))
            })?;
            task.join()
        });
        return;
    }
    let ended = child(NAME);
    let remedy = ["Builder::stack_size", "RUST_MIN_STACK"];
    ended.aborted(&["\"digger\"", "id 3", "overflowed its stack of 128 KiB", "tests/tasks.rs:", remedy[0], remedy[1]]);

    let said = ended.stderr.lines().find(|line| line.starts_with("corio: task")).expect("the report");
    let (at, _) = said.split_once("tests/tasks.rs:").and_then(|(_, rest)| rest.split_once(')')).expect("the place");
    let said = said.replace("digger", "reader").replace("id 3", "id 4").replace("128 KiB", "8192 KiB");
    let said = said.replace(&format!("tests/tasks.rs:{at}"), "src/main.rs:7:13");
    assert_eq!(said, shown_in("docs/book/stacks.md", "corio: task").replace('\n', " "), "what the book shows");
}

/// Writes to the far end of a frame of 40 KiB and to nothing in between, as C code does that was built without probes.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(never)]
fn touch_the_end_of_a_large_frame() {
    // SAFETY: moves the stack pointer down, writes a byte where no frame lies yet, and moves it back. Where the stack
    // has less room than that, the byte lies in the guard, and the write faults.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("sub rsp, 40960", "mov byte ptr [rsp], 0", "add rsp, 40960");
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("sub sp, sp, #10, lsl #12", "strb wzr, [sp]", "add sp, sp, #10, lsl #12");
    }
}

#[test]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn a5_a_large_frame_without_probes_cannot_step_over_the_guard() {
    const NAME: &str = "a5_a_large_frame_without_probes_cannot_step_over_the_guard";
    let with_stack = |kib: usize| {
        Builder::new().name("legacy").stack_size(kib * 1024).spawn(|| {
            touch_the_end_of_a_large_frame();
            Ok(())
        })
    };
    if plays(NAME) {
        sim(|| {
            with_stack(128)?.join()?;
            println!("in 128 KiB there is room");
            // Of 32 KiB nothing is left 40 KiB down, nor is that in the first page below.
            with_stack(32)?.join()
        })
        .unwrap();
        println!("went on");
        return;
    }
    for kind in [&[] as &[_], &[("CORIO_STACK_GUARD", "mprotect")]] {
        let ended = child_with(NAME, kind);
        ended.aborted(&["\"legacy\"", "overflowed its stack of 32 KiB", "tests/tasks.rs:"]);
        assert!(ended.stdout.contains("there is room") && !ended.stdout.contains("went on"), "{ended:#?}");
    }
}

/// A loop keeps some stacks warm, so that what it takes from the kernel does not depend on how many tasks there were.
#[test]
#[cfg_attr(feature = "sanitizer", ignore = "nothing is trimmed then")]
fn a6_a_burst_of_tasks_leaves_a_bounded_pool_of_stacks_behind() {
    const NAME: &str = "a6_a_burst_of_tasks_leaves_a_bounded_pool_of_stacks_behind";
    const STACK: usize = 64 * 1024;
    if plays(NAME) {
        // Bytes of address space, and of memory.
        let used = || {
            let text = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages: Vec<usize> = text.split(' ').take(2).map(|number| number.parse().unwrap()).collect();
            (pages[0] * 4096, pages[1] * 4096)
        };
        let burst = || {
            let tasks = (0..6_000).map(|_| {
                Builder::new().stack_size(STACK).spawn(|| {
                    let mut frame = [std::hint::black_box(1_u8); 40 * 1024];
                    std::hint::black_box(&mut frame);
                    sleep(secs(1))
                })
            });
            let tasks = tasks.collect::<io::Result<Vec<_>>>()?;
            sleep(millis(500))?;
            let peak = used();
            tasks.into_iter().try_for_each(JoinHandle::join)?;
            sleep(secs(1))?; // however long the loop sleeps, it gives back first what it has too much of
            io::Result::Ok((peak, used()))
        };
        sim(|| {
            let before = used();
            let (peak, after) = burst()?;
            println!("before {before:?}, at the peak {peak:?}, after {after:?}");
            assert!(peak.1 - before.1 > 6_000 * 40 * 1024);
            // 1,024 are kept, and the tasks themselves took some memory too.
            assert!(after.1 < before.1 + 1_024 * STACK + (16 << 20));
            for _ in 0..3 {
                let (_, again) = burst()?;
                println!("again {again:?}");
                assert!(again.0 < after.0 + (16 << 20) && again.1 < after.1 + (16 << 20), "the pool does not grow");
            }
            Ok(())
        })
        .unwrap();
        return;
    }
    child(NAME).succeeded();
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "the sanitizer has its own handler")]
fn a1_a_fault_that_is_not_ours_is_left_to_whoever_was_there_before() {
    const NAME: &str = "a1_a_fault_that_is_not_ours_is_left_to_whoever_was_there_before";
    if plays(NAME) {
        let _ = sim(|| {
            spawn(|| {
                let nowhere = std::hint::black_box(std::ptr::without_provenance::<u8>(8));
                // SAFETY: none: this is the crash that the test wants, in a process of its own.
                Ok(unsafe { nowhere.read_volatile() })
            })
            .join()
        });
        return;
    }
    use std::os::unix::process::ExitStatusExt;
    let ended = child(NAME);
    assert_eq!(ended.status.signal(), Some(libc::SIGSEGV), "{ended:#?}");
    assert!(!ended.stderr.contains("overflowed"), "{ended:#?}");
}

// ---- after the loop is gone ----------------------------------------------------------------------

#[test]
fn a16_tickets_outlive_their_loop_and_do_nothing_then() {
    let log = Log::default();
    let (task, handle, parked, unread) = sim(|| {
        let l = log.clone();
        let done = spawn(move || Ok(l.at_drop("result")));
        let parked = spawn(|| sleep(secs(60)));
        let failed = spawn(|| Err::<(), _>(io::Error::other("unread")));
        yield_now()?;
        Ok((current(), done, parked, failed))
    })
    .unwrap();
    assert!(task.is_done() && !task.cancel() && !task.cancelled());
    assert_eq!((task.name().as_str(), task.id()), ("main", 1));
    task.wait().unwrap();
    let l = log.clone();
    task.on_done(move |_| l.say("called at once"));
    assert!(parked.cancelled() && is_cancelled(&parked.join().unwrap_err()));
    drop(handle.join().unwrap());
    assert_eq!(log.take(), "called at once result");
    // In the next run the same tickets mean the same.
    sim(|| {
        assert!(!task.cancel() && task != current());
        task.wait()?;
        assert_eq!(unread.join().unwrap_err().to_string(), "unread");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a16_a_loop_handle_of_a_loop_that_is_gone_is_an_error_on_every_thread() {
    let handle = sim(LoopHandle::current).unwrap();
    assert!(handle.is_closed());
    let (other, dropped) = (handle.clone(), std::sync::Arc::new(()));
    let capture = dropped.clone();
    let kind = thread::spawn(move || other.call_soon(move || drop(capture)).unwrap_err().kind()).join().unwrap();
    assert_eq!(kind, ErrorKind::BrokenPipe);
    assert_eq!(std::sync::Arc::strong_count(&dropped), 1, "the closure was dropped");
    sim(|| {
        assert_eq!(handle.call_soon(|| ()).unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
    .unwrap();
}

#[test]
fn outside_a_loop_every_call_is_an_error_or_says_what_is_missing_port_02() {
    assert!(try_current().is_none() && all_tasks().is_empty());
    assert_eq!(LoopHandle::current().unwrap_err().kind(), ErrorKind::NotFound);
    assert!(panic_of(|| spawn(|| ())).contains("corio::run"));
    assert!(panic_of(current).contains("corio::run"));
    assert!(panic_of(|| call_soon(|| ())).contains("corio::run"));
    assert_eq!(scope(|_| Ok(())).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(timeout(secs(1), || Ok(())).unwrap_err().kind(), ErrorKind::InvalidInput);
    sleep(millis(1)).unwrap(); // blocks the thread
    yield_now().unwrap();
    assert!(errors(&io::Error::other("one")).count() == 1);
}

#[test]
fn in_a_callback_nothing_can_wait_and_everything_says_so_port_03() {
    let checked = Rc::new(Cell::new(false));
    let seen = checked.clone();
    sim(move || {
        let task = spawn(|| sleep(secs(5)));
        call_soon(move || {
            let kind = |result: io::Result<()>| result.unwrap_err().kind();
            assert!(try_current().is_none());
            assert_eq!(kind(sleep(secs(1))), ErrorKind::InvalidInput);
            assert_eq!(kind(yield_now()), ErrorKind::InvalidInput);
            assert_eq!(kind(task.task().wait()), ErrorKind::InvalidInput);
            assert_eq!(kind(task.join()), ErrorKind::InvalidInput);
            assert_eq!(kind(scope(|_| Ok(()))), ErrorKind::InvalidInput);
            assert_eq!(kind(timeout(secs(1), || Ok(()))), ErrorKind::InvalidInput);
            drop(spawn(move || checked.set(true)));
        });
        sleep(secs(1))
    })
    .unwrap();
    assert!(seen.get());
}

// ---- what is left at the end ---------------------------------------------------------------------

#[test]
fn d9_tasks_that_are_left_are_cancelled_and_listed_with_their_places() {
    let ((), lines) = logged(|| {
        runner()
            .run(|| {
                drop(Builder::new().name("left").spawn(|| sleep(secs(60)))?);
                yield_now()
            })
            .unwrap();
    });
    only(&lines, "INFO", &["the run is ending", "\"left\"", "tests/tasks.rs:"]);
}
