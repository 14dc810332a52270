//! TASK and SHIELD: asking a task to end. More in `tests/cancellation.rs`.

use std::io;

use crate::common::{Log, logged, only, sim, since};
use corio::{Cause, call_soon, cancel_cause, current, is_cancelled, now, secs, sleep, spawn, yield_now};

/// TASK-07: a body that has returned cannot be cancelled any more, although who joins it has not gone on yet.
#[test]
fn a_body_that_has_returned_cannot_be_cancelled_before_its_joiner_goes_on() {
    let log = Log::default();
    sim(|| {
        let inner = spawn(|| {
            yield_now()?;
            yield_now()?;
            Ok(5)
        });
        let watched = inner.task();
        let l = log.clone();
        let joiner = spawn(move || {
            let value = inner.join()?;
            l.say(format_args!("joined {value}"));
            Ok(())
        });
        // It runs behind the inner task in each turn, and before the joiner, which is woken to the next.
        while !watched.is_done() {
            yield_now()?;
        }
        assert_eq!(log.take(), "");
        assert!(!watched.cancel());
        assert_eq!((watched.cancelling(), watched.cancelled()), (0, false));
        joiner.join()
    })
    .unwrap();
    assert_eq!(log.take(), "joined 5");
}

/// TASK-11: a cancel that has been passed on to what the task joins is not undone by `uncancel`: the task goes on
/// uncancelled, but its join brings the other's end.
#[test]
fn what_was_passed_on_is_not_taken_back() {
    sim(|| {
        let inner = spawn(|| sleep(secs(60)));
        let seen = inner.task();
        let outer = spawn(move || {
            let result = inner.join();
            assert_eq!(cancel_cause(), None);
            result
        });
        yield_now()?;
        yield_now()?;
        outer.cancel();
        while seen.cancelling() == 0 {
            yield_now()?; // it is the outer task that passes it on
        }
        assert_eq!(outer.uncancel(), 0);
        assert!(is_cancelled(&outer.join().unwrap_err()));
        assert!(seen.cancelled());
        Ok(())
    })
    .unwrap();
}

/// TASK-22: a cancelled `join` cancels the task that it waits for, which everybody else who waits for it sees; a
/// cancelled `wait` leaves it alone.
#[test]
fn a_cancelled_join_ends_the_task_for_all_its_waiters() {
    let log = Log::default();
    sim(|| {
        let inner = spawn(|| sleep(secs(60)));
        let (one, two) = (inner.task(), inner.task());
        let l = log.clone();
        let bystander = spawn(move || {
            one.wait()?;
            l.say(format_args!("cancelled: {}", one.cancelled()));
            Ok(())
        });
        let only_looks = spawn(move || two.wait());
        let joiner = spawn(move || inner.join());
        sleep(secs(1))?;
        only_looks.cancel();
        assert!(is_cancelled(&only_looks.join().unwrap_err()));
        assert_eq!(log.take(), "", "the wait has changed nothing");
        joiner.cancel();
        assert!(is_cancelled(&joiner.join().unwrap_err()));
        bystander.join()
    })
    .unwrap();
    assert_eq!(log.take(), "cancelled: true");
}

/// TASK-23: if what a task joins is cancelled directly, the task sees that error and is not cancelled itself. If it lets
/// the error out it has failed: nobody asked it to end.
#[test]
fn the_error_of_a_cancelled_task_is_a_failure_of_who_passes_it_on() {
    sim(|| {
        let inner = spawn(|| sleep(secs(60)));
        let watched = inner.task();
        let outer = spawn(move || {
            let result = inner.join();
            assert_eq!((current().cancelling(), cancel_cause()), (0, None));
            result
        });
        sleep(secs(1))?;
        watched.cancel();
        let seen = outer.task();
        assert!(is_cancelled(&outer.join().unwrap_err()));
        assert!(watched.cancelled() && !seen.cancelled());
        Ok(())
    })
    .unwrap();
}

/// TASK-26: `uncancel` tells what is left, never goes below none, and means nothing for a task that is done.
#[test]
fn uncancel_counts_down_to_none() {
    sim(|| {
        let task = spawn(|| sleep(secs(1)));
        assert_eq!(task.uncancel(), 0);
        for _ in 0..3 {
            task.cancel();
        }
        assert_eq!([task.uncancel(), task.uncancel(), task.uncancel(), task.uncancel()], [2, 1, 0, 0]);
        yield_now()?;
        let watched = task.task();
        task.join()?;
        assert_eq!((watched.uncancel(), watched.cancelling(), watched.cancelled()), (0, 0, false));
        let gone = spawn(|| sleep(secs(1)));
        gone.cancel();
        let watched = gone.task();
        assert!(gone.join().is_err());
        watched.uncancel();
        assert!(watched.cancelled(), "how it ended stays");
        Ok(())
    })
    .unwrap();
}

/// TASK-27: the reason reaches the body and, where a join passes the cancel on, what is joined. Of several requests the
/// first one's reason counts, whether the task waits or has not begun. Who joins is told that it was cancelled, not why.
#[test]
fn the_first_reason_counts() {
    sim(|| {
        let why = || {
            let _ = sleep(secs(60));
            Ok(cancel_cause())
        };
        let inner = spawn(why);
        let outer = spawn(move || inner.join());
        yield_now()?;
        yield_now()?;
        outer.cancel_because("first");
        outer.cancel_because("second");
        assert_eq!(outer.join()?, Some(Cause::Requested(Some("first".into()))));

        let itself = spawn(|| {
            current().cancel_because("one");
            current().cancel_because("two");
            Ok(cancel_cause())
        });
        assert_eq!(itself.join()?, Some(Cause::Requested(Some("one".into()))));

        let silent = spawn(|| sleep(secs(60)));
        silent.cancel_because("why");
        let error = silent.join().unwrap_err();
        assert!(is_cancelled(&error) && !error.to_string().contains("why"), "{error}");
        Ok(())
    })
    .unwrap();
}

/// TASK-33: tasks that one callback cancels go on in the order in which it cancels them.
#[test]
fn what_one_callback_cancels_goes_on_in_its_order() {
    let log = Log::default();
    sim(|| {
        let tasks = ["a", "b", "c"].map(|name| {
            let log = log.clone();
            spawn(move || {
                let result = sleep(secs(60));
                log.say(name);
                result
            })
        });
        yield_now()?;
        let [a, b, c] = tasks.each_ref().map(|task| task.task());
        call_soon(move || assert!(c.cancel() && a.cancel() && b.cancel()));
        yield_now()?;
        assert_eq!(log.take(), "", "they go on in the turn after it");
        yield_now()?;
        assert_eq!(log.take(), "c a b");
        Ok(())
    })
    .unwrap();
}

// ---- asyncio's shield: `task.wait()?; task.join()` -------------------------------------------------------------------

fn shielded<T>(task: corio::JoinHandle<T>) -> io::Result<T> {
    task.wait()?;
    task.join()
}

/// SHIELD-01: the inner task's value, or its error, comes through.
#[test]
fn a_shielded_tasks_result_comes_through() {
    sim(|| {
        assert_eq!(
            shielded(spawn(|| {
                sleep(secs(1))?;
                Ok(5)
            }))?,
            5
        );
        let error = shielded(spawn(|| Err::<(), _>(io::Error::other("own")))).unwrap_err();
        assert_eq!(error.to_string(), "own");
        Ok(())
    })
    .unwrap();
}

/// SHIELD-02: who waits in a shield and is cancelled gets the error at once; the inner task goes on, unasked, and its
/// value can be taken later.
#[test]
fn a_shielded_task_survives_its_waiter() {
    sim(|| {
        let start = now();
        let inner = spawn(|| {
            sleep(secs(5))?;
            Ok(7)
        });
        let watched = inner.task();
        let waiter = spawn(move || watched.wait());
        sleep(secs(1))?;
        waiter.cancel();
        assert!(is_cancelled(&waiter.join().unwrap_err()));
        assert_eq!((since(start), inner.cancelling(), inner.is_done()), (1.0, 0, false));
        assert_eq!((inner.join()?, since(start)), (7, 5.0));
        Ok(())
    })
    .unwrap();
}

/// SHIELD-03: a shielded task that fails when its waiter is gone is reported.
#[test]
fn a_shielded_failure_is_not_lost() {
    let ((), lines) = logged(|| {
        sim(|| {
            let inner = spawn(|| {
                sleep(secs(5))?;
                Err::<(), _>(io::Error::other("unheard"))
            });
            let waiter = spawn(move || shielded(inner));
            sleep(secs(1))?;
            waiter.cancel();
            assert!(waiter.join().is_err());
            sleep(secs(10))
        })
        .unwrap();
    });
    only(&lines, "ERROR", &["nobody joined it", "unheard"]);
}

/// SHIELD-04: the inner task is cancelled by somebody: its waiter gets that error, is not asked to end, and may go on.
#[test]
fn a_waiter_of_a_cancelled_task_may_go_on() {
    sim(|| {
        let inner = spawn(|| sleep(secs(60)));
        let victim = inner.task();
        let waiter = spawn(move || {
            assert!(is_cancelled(&shielded(inner).unwrap_err()));
            assert_eq!(current().cancelling(), 0);
            sleep(secs(1))?;
            Ok(3)
        });
        yield_now()?;
        yield_now()?;
        victim.cancel();
        assert_eq!(waiter.join()?, 3);
        Ok(())
    })
    .unwrap();
}

/// SHIELD-05: a task that is done is waited for without a pause.
#[test]
fn a_shield_of_what_is_done_does_not_suspend() {
    let log = Log::default();
    sim(|| {
        let inner = spawn(|| Ok(4));
        yield_now()?;
        let l = log.clone();
        call_soon(move || l.say("a turn has passed"));
        assert_eq!(shielded(inner)?, 4);
        assert_eq!(log.take(), "");
        Ok(())
    })
    .unwrap();
}

/// SHIELD-06: a cancelled waiter leaves nothing behind on the task: when that ends, nobody is woken who does not wait.
#[test]
fn a_cancelled_wait_leaves_no_waiter() {
    sim(|| {
        let start = now();
        let inner = spawn(|| sleep(secs(5)));
        let watched = inner.task();
        let waiter = spawn(move || {
            for _ in 0..100 {
                current().cancel();
                assert!(watched.wait().is_err());
                current().uncancel();
                let limited = corio::timeout(corio::millis(1), || watched.wait());
                assert!(limited.is_err());
            }
            // A registration that was left would end this sleep at second 5.
            sleep(secs(60))?;
            Ok(since(start))
        });
        inner.join()?;
        assert!(waiter.join()? > 60.0);
        Ok(())
    })
    .unwrap();
}
