//! Regions inside regions: what a cancellation reaches.

use std::cell::Cell;
use std::io;

use corio::{Runner, is_cancelled, scope, secs, shield, sleep, timeout, yield_now};

fn simulated<T>(body: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    Runner::new().virtual_clock().run(body)
}

/// R2, R10: the owner waits for the children of an inner scope when a child of the outer one fails.
#[test]
fn a_failure_in_the_outer_scope_ends_the_children_of_the_inner_one() {
    let cancelled_at = Cell::new(None);
    let result = simulated(|| {
        let start = corio::now();
        let result: io::Result<()> = scope(|outer| {
            outer.spawn(|| {
                sleep(secs(1))?;
                Err::<(), _>(io::Error::other("the outer child"))
            });
            scope(|inner| {
                inner.spawn(|| {
                    let end = sleep(secs(3600));
                    cancelled_at.set(Some((corio::now() - start).as_secs()));
                    end
                });
                Ok(())
            })
        });
        assert_eq!(corio::now() - start, secs(1));
        result
    });
    assert_eq!(result.unwrap_err().to_string(), "the outer child");
    assert_eq!(cancelled_at.get(), Some(1));
}

/// R10: what lies inside a shield is not reached, what lies around it is.
#[test]
fn a_shield_protects_the_scopes_inside_it_only() {
    let (inside, around) = (Cell::new(false), Cell::new(false));
    let result = simulated(|| {
        timeout(secs(1), || {
            scope(|s| {
                s.spawn(|| sleep(secs(5)).inspect_err(|e| around.set(is_cancelled(e))));
                shield(secs(60), || {
                    scope(|s| {
                        s.spawn(|| {
                            sleep(secs(5))?;
                            inside.set(true);
                            Ok(())
                        });
                        Ok(())
                    })
                })?;
                yield_now()
            })
        })
    });
    assert!(corio::is_timed_out(&result.unwrap_err()));
    assert!(inside.get() && around.get());
}

/// R10: a child whose unclaimed result takes its time to be dropped is still a child.
#[test]
fn a_limit_reaches_a_child_whose_result_waits_while_it_is_dropped() {
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            let _ = sleep(secs(100));
        }
    }
    let passed = simulated(|| {
        let start = corio::now();
        let result = timeout(secs(1), || {
            scope(|s| {
                drop(s.spawn(|| Ok(Slow)));
                Ok(())
            })
        });
        // The child had returned its result, and the body its own: nothing was left undone.
        result.map(|()| corio::now() - start)
    });
    assert_eq!(passed.unwrap(), secs(1));
}

/// R5: a destructor that opens a scope while its task unwinds from `no_suspend` does no harm.
#[test]
fn a_scope_in_a_destructor_inside_no_suspend_does_not_panic_again() {
    struct Opens;
    impl Drop for Opens {
        fn drop(&mut self) {
            let _: io::Result<()> = scope(|_| Ok(()));
        }
    }
    let panicked = simulated(|| {
        let task = corio::spawn(|| {
            corio::no_suspend(|| -> io::Result<()> {
                let _opens = Opens;
                panic!("on purpose");
            })
        });
        Ok(matches!(task.outcome(), corio::Outcome::Panicked(_)))
    });
    assert!(panicked.unwrap());
}

/// A scope that was left cannot be cancelled any more.
#[test]
fn cancelling_a_scope_that_was_left_changes_nothing() {
    simulated(|| {
        let region = corio::CancelScope::new();
        region.run(|| Ok(()))?;
        region.cancel();
        assert!(!region.cancelled());
        Ok(())
    })
    .unwrap();
}

/// A join that is refused says so as a failure: nobody was cancelled.
#[test]
fn a_refused_join_is_a_failure() {
    simulated(|| {
        let slot = std::rc::Rc::new(std::cell::RefCell::new(None::<corio::JoinHandle<()>>));
        let inside = slot.clone();
        let task = corio::spawn(move || {
            let myself = inside.borrow_mut().take().expect("put there before the first turn");
            match myself.outcome() {
                corio::Outcome::Failed(e) => assert_eq!(e.kind(), io::ErrorKind::Deadlock),
                other => panic!("{other:?}"),
            }
            Ok(())
        });
        let watch = task.task();
        *slot.borrow_mut() = Some(task);
        watch.wait()
    })
    .unwrap();
}

/// TG-05: a scope whose owner is cancelled while it waits has not done its work.
#[test]
fn tg_05_a_scope_that_is_cancelled_at_its_exit_says_so() {
    let ends = Cell::new(0);
    simulated(|| {
        let owner = corio::spawn({
            // A plain task owns what it uses.
            let counter = std::rc::Rc::new(Cell::new(0));
            move || {
                let inner = &counter;
                scope(|s| {
                    for n in 1..=2 {
                        s.spawn(move || {
                            let result = sleep(secs(60));
                            shield(secs(9), || sleep(secs(n)))?;
                            inner.set(inner.get() + 1);
                            result
                        });
                    }
                    Ok(())
                })
                .inspect_err(|e| assert!(is_cancelled(e) && inner.get() == 2))
            }
        });
        sleep(secs(1))?;
        owner.cancel();
        let result = owner.outcome();
        assert!(matches!(result, corio::Outcome::Cancelled(_)), "{result:?}");
        ends.set(1);
        Ok(())
    })
    .unwrap();
    assert_eq!(ends.get(), 1);
}

/// R13, TG-14: what had succeeded counts, and so does a child that was cancelled by itself.
#[test]
fn tg_14_a_child_that_was_cancelled_directly_does_not_fail_its_scope() {
    simulated(|| {
        scope(|s| {
            let child = s.spawn(|| sleep(secs(60)));
            yield_now()?;
            child.cancel();
            Ok(())
        })?;
        // Cancelled too late: every child had done its work.
        let late = corio::spawn(|| {
            let result = scope(|s| {
                s.spawn(|| corio::current().cancel().then_some(()).ok_or_else(|| io::Error::other("done")));
                Ok(7)
            });
            corio::current().cancel();
            result
        });
        assert_eq!(late.join()?, 7);
        Ok(())
    })
    .unwrap();
}
