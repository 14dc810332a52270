//! TG: groups of tasks. More in `tests/scope.rs` and `tests/nesting.rs`.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use crate::common::{Log, sim, since};
use corio::{
    call_soon, cancel_cause, current, errors, is_cancelled, is_timed_out, now, scope, secs, shield, sleep, spawn,
    timeout, yield_now,
};

fn fail(text: &'static str) -> io::Result<()> {
    Err(io::Error::other(text))
}

/// TG-05: the owner is cancelled when it waits at the end: all children are cancelled, and it goes on, cancelled once,
/// when the last of them has ended.
#[test]
fn a_cancelled_owner_goes_on_after_the_last_child() {
    let log = Log::default();
    sim(|| {
        let l = log.clone();
        let start = now();
        let owner = spawn(move || {
            let result = scope(|s| {
                for n in [3, 1, 2] {
                    let l = &l;
                    s.spawn(move || {
                        let result = sleep(secs(60));
                        shield(secs(9), || sleep(secs(n)))?;
                        l.say(n);
                        result
                    });
                }
                Ok(())
            });
            l.say(format_args!("owner@{} {}", since(start), current().cancelling()));
            result
        });
        sleep(secs(1))?;
        owner.cancel();
        assert!(is_cancelled(&owner.join().unwrap_err()));
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "1 2 3 owner@4 1");
}

/// TG-06: the owner is cancelled while the body waits: the body sees it, the children are cancelled, and it is passed on.
#[test]
fn a_cancel_in_the_body_reaches_the_children_and_is_passed_on() {
    let log = Log::default();
    sim(|| {
        let l = log.clone();
        let owner = spawn(move || {
            scope(|s| {
                s.spawn(|| {
                    let result = sleep(secs(60));
                    l.say("child");
                    result
                });
                let result = sleep(secs(60));
                l.say("body");
                result
            })
        });
        yield_now()?;
        yield_now()?;
        owner.cancel();
        let watched = owner.task();
        assert!(is_cancelled(&owner.join().unwrap_err()));
        assert!(watched.cancelled());
        Ok(())
    })
    .unwrap();
    let said = log.take();
    assert!(said == "child body" || said == "body child", "{said}");
}

/// TG-08: a child's failure and a cancel from outside in the same turn are both honoured: the error first, the cancel at
/// the next wait; in both orders.
#[test]
fn a_failure_and_a_cancel_in_one_turn_are_both_honoured() {
    for cancel_first in [true, false] {
        sim(|| {
            let owner = spawn(|| {
                let result = scope(|s| {
                    s.spawn(|| {
                        let _ = sleep(secs(1)); // whatever it is told meanwhile
                        fail("child")
                    });
                    sleep(secs(60))
                });
                assert_eq!(result.unwrap_err().to_string(), "child");
                assert!(is_cancelled(&yield_now().unwrap_err()));
                assert_eq!(current().cancelling(), 1);
                Ok(())
            });
            yield_now()?;
            yield_now()?;
            let victim = owner.task();
            if cancel_first {
                sleep(secs(1))?;
                victim.cancel();
            } else {
                corio::call_later(secs(1), move || {
                    call_soon(move || assert!(victim.cancel()));
                });
            }
            owner.join()
        })
        .unwrap();
    }
}

/// TG-09: a group that ends takes back the request that it made and no other: a limit's, an outer group's or somebody's
/// stays what it was.
#[test]
fn each_group_takes_back_its_own_request() {
    sim(|| {
        let error = scope(|outer| {
            let inner = scope(|inner| {
                inner.spawn(|| fail("inner"));
                sleep(secs(60))
            });
            assert_eq!(inner.unwrap_err().to_string(), "inner");
            assert!(cancel_cause().is_none() && !outer.cancelled());
            sleep(secs(1))?; // the outer group goes on
            outer.spawn(|| fail("outer"));
            sleep(secs(60))
        })
        .unwrap_err();
        assert_eq!(error.to_string(), "outer");
        assert_eq!((current().cancelling(), cancel_cause()), (0, None));
        sleep(secs(1))
    })
    .unwrap();
}

/// TG-10 and TG-12: an inner group's error that nobody handles is a member of the outer one's; the children stand in the
/// order in which they ended, the body last. A group with one failure is that failure, not a group of one.
#[test]
fn an_inner_error_is_a_member_of_the_outer_one() {
    sim(|| {
        let error = scope(|outer| {
            outer.spawn(|| {
                let _ = sleep(secs(60));
                fail("sibling")
            });
            scope(|inner| {
                for text in ["one", "two"] {
                    inner.spawn(move || {
                        let _ = sleep(secs(if text == "one" { 1 } else { 60 }));
                        fail(text)
                    });
                }
                Ok(())
            })
        })
        .unwrap_err();
        let members: Vec<_> = errors(&error).map(ToString::to_string).collect();
        assert_eq!(members.len(), 2, "{members:?}");
        assert_eq!(members[0], "sibling");
        let nested = errors(&error).last().unwrap();
        assert_eq!(errors(nested).map(ToString::to_string).collect::<Vec<_>>(), ["one", "two"]);

        let single = scope(|outer| {
            outer.spawn(|| scope(|inner| inner.spawn(|| fail("alone")).join()));
            Ok(())
        });
        let single = single.unwrap_err();
        assert_eq!((single.to_string().as_str(), errors(&single).count()), ("alone", 1));
        Ok(())
    })
    .unwrap();
}

/// TG-13: the failures stand in the order in which the children ended, whatever order they were spawned in.
#[test]
fn failures_stand_in_the_order_in_which_they_happened() {
    sim(|| {
        let error = scope(|s| {
            for (delay, text) in [(3, "three"), (1, "one"), (2, "two")] {
                s.spawn(move || {
                    let _ = shield(secs(9), || sleep(secs(delay)));
                    fail(text)
                });
            }
            Ok(())
        })
        .unwrap_err();
        assert_eq!(errors(&error).map(ToString::to_string).collect::<Vec<_>>(), ["one", "two", "three"]);
        Ok(())
    })
    .unwrap();
}

/// TG-15: a child may add children while the owner waits at the end, and they are waited for.
#[test]
fn children_may_be_added_while_the_owner_waits_at_the_end() {
    let log = Log::default();
    sim(|| {
        scope(|s| {
            s.spawn(|| {
                sleep(secs(1))?;
                s.spawn(|| {
                    sleep(secs(1))?;
                    log.say("grandchild");
                    Ok(())
                });
                Ok(())
            });
            Ok(())
        })?;
        log.say("end");
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "grandchild end");
}

/// TG-17: further cancels of an owner that waits at the end do not cut the children's clean-up short.
#[test]
fn clean_up_is_not_cut_short_by_further_cancels() {
    sim(|| {
        let start = now();
        let cleaned = Rc::new(Cell::new(false));
        let c = cleaned.clone();
        let owner = spawn(move || {
            scope(|s| {
                s.spawn(|| {
                    let result = sleep(secs(60));
                    shield(secs(30), || sleep(secs(10)))?;
                    c.set(true);
                    result
                });
                Ok(())
            })
        });
        for _ in 0..5 {
            sleep(secs(1))?;
            owner.cancel();
        }
        assert!(is_cancelled(&owner.join().unwrap_err()));
        assert_eq!((cleaned.get(), since(start)), (true, 11.0));
        Ok(())
    })
    .unwrap();
}

/// TG-18: a group needs a task that waits for it; there is no object that could be entered twice.
#[test]
fn a_group_needs_a_task() {
    assert_eq!(scope(|_| Ok(())).unwrap_err().kind(), ErrorKind::InvalidInput);
    sim(|| {
        call_soon(|| assert_eq!(scope(|_| Ok(())).unwrap_err().kind(), ErrorKind::InvalidInput));
        yield_now()
    })
    .unwrap();
}

/// TG-20: no child outlives its group, not even if the body panics or is unwound: it has ended before its owner.
#[test]
fn no_child_fails_after_its_owner() {
    let log = Log::default();
    let l = log.clone();
    sim(|| {
        let owner = spawn(move || {
            let _end = l.at_drop("owner");
            scope(|s| {
                s.spawn(|| {
                    let _ = sleep(secs(60));
                    l.say("child");
                    fail("late")
                });
                yield_now()?;
                panic!("the body");
                #[allow(unreachable_code)]
                Ok(())
            })
        });
        assert!(matches!(owner.outcome(), corio::Outcome::Panicked(_)));
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "child owner (panicking)");
}

/// TG-21: a group that is cancelled, by its owner or by a child, ends early and well: no error, no cancel left. A second
/// call changes nothing.
#[test]
fn a_cancelled_group_is_a_success() {
    sim(|| {
        let start = now();
        for by_child in [false, true] {
            scope(|s| {
                let one = s.spawn(|| sleep(secs(60)));
                if by_child {
                    s.spawn(|| s.cancel());
                    let _ = sleep(secs(60));
                }
                s.cancel();
                s.cancel();
                assert!(s.cancelled() && one.cancelling() == 1);
                Ok(())
            })?;
        }
        assert_eq!((since(start), current().cancelling(), cancel_cause()), (0.0, 0, None));
        yield_now()
    })
    .unwrap();
}

/// TG-22: a limit around a group reports that it was met; one inside the body makes the body fail, which is the group's
/// error.
#[test]
fn limits_around_and_inside_a_group() {
    sim(|| {
        let around = timeout(secs(1), || {
            scope(|s| {
                s.spawn(|| sleep(secs(60)));
                Ok(())
            })
        });
        assert_eq!(around.unwrap_err().kind(), ErrorKind::TimedOut);
        let inside = scope(|s| {
            let child = s.spawn(|| sleep(secs(60)));
            let result = timeout(secs(1), || sleep(secs(60)));
            assert_eq!(child.cancelling(), 0, "the limit is not around the children");
            result
        })
        .unwrap_err();
        assert!(errors(&inside).any(|error| is_timed_out(error)));
        Ok(())
    })
    .unwrap();
}
