//! TIMEOUT and WAITFOR. More in `tests/cancellation.rs`.

use std::io::{self, ErrorKind};
use std::rc::Rc;

use crate::common::{Log, runner, sim, since};
use corio::{
    CancelScope, cancel_cause, current, is_cancelled, is_timed_out, millis, now, scope, secs, shield, sleep, spawn,
    timeout, yield_now,
};

/// TIMEOUT-05 and WAITFOR-08: a task that was cancelled from outside as well is cancelled, and not too late.
#[test]
fn a_cancel_from_outside_takes_precedence_over_the_deadline() {
    sim(|| {
        // The limit is met first, then the request comes, while the body cleans up; and the other way round.
        for (asked, limit) in [(2, 1), (1, 2)] {
            let task = spawn(move || {
                timeout(secs(limit), || {
                    let result = sleep(secs(60));
                    shield(secs(9), || sleep(secs(5)))?;
                    result
                })
            });
            sleep(secs(asked))?;
            task.cancel();
            let watched = task.task();
            let error = task.join().unwrap_err();
            assert!(is_cancelled(&error) && !is_timed_out(&error), "{asked} {limit}: {error}");
            assert!(watched.cancelled());
        }
        Ok(())
    })
    .unwrap();
}

/// TIMEOUT-06: of limits that are met together only the outermost reports it.
#[test]
fn of_nested_limits_that_are_met_together_only_the_outermost_reports() {
    sim(|| {
        let outer = timeout(secs(1), || {
            let inner = timeout(secs(1), || sleep(secs(60)));
            let error = inner.as_ref().unwrap_err();
            assert!(is_cancelled(error) && !is_timed_out(error), "{error}");
            inner
        });
        assert_eq!(outer.unwrap_err().kind(), ErrorKind::TimedOut);
        yield_now()
    })
    .unwrap();
}

/// TIMEOUT-14: a deadline that is moved to the past is met at the next call that may wait. Moving it before the scope is
/// entered sets it; when it has been met it stays met; when the scope is left it means nothing. None of it is an error.
#[test]
fn a_deadline_may_be_moved_at_any_time() {
    sim(|| {
        let limit = CancelScope::new();
        limit.reschedule(Some(now() + secs(1)));
        let start = now();
        let result = limit.run(|| {
            let _ = sleep(secs(60));
            assert_eq!((since(start), limit.expired()), (1.0, true));
            limit.reschedule(Some(now() + secs(60)));
            yield_now()
        });
        assert!(result.is_err() && limit.expired());
        limit.reschedule(None);
        yield_now()?;

        let limit = CancelScope::after(secs(5));
        let result = limit.run(|| {
            limit.reschedule(Some(now() - secs(1)));
            assert_eq!(current().name(), "main"); // what cannot wait goes on
            sleep(secs(60))
        });
        assert!(is_cancelled(&result.unwrap_err()));
        assert_eq!(since(start), 1.0);
        Ok(())
    })
    .unwrap();
}

/// TIMEOUT-16: the children of a group are cancelled by the limit around it. An error of theirs in the clean-up does not
/// hide that it was too late: it is what the time-out carries.
#[test]
fn a_limit_around_a_group_carries_the_errors_of_its_children() {
    sim(|| {
        let error = timeout(secs(1), || {
            scope(|s| {
                s.spawn(|| sleep(secs(60)).map_err(|_| io::Error::other("in the clean-up")));
                sleep(secs(60))
            })
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let carried = error.get_ref().unwrap().source().unwrap().to_string();
        assert!(carried.contains("in the clean-up"), "{carried}");
        Ok(())
    })
    .unwrap();
}

/// TIMEOUT-18: a limit without end adds nothing that could wake the loop: with nothing else to hope for the run is over.
#[test]
fn an_enormous_limit_is_no_hope_of_its_own() {
    let error = runner()
        .run(|| {
            let main = current();
            let circle = spawn(move || main.wait());
            CancelScope::new().run(|| circle.join())
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
}

/// WAITFOR-01: what ends in time gives its value, and the limit's timer is gone: an hour later nothing has happened.
#[test]
fn what_is_in_time_leaves_no_timer() {
    let log = Log::default();
    let l = log.clone();
    let error = runner()
        .run(move || {
            let start = now();
            let task = spawn(|| {
                sleep(secs(1))?;
                Ok(7)
            });
            assert_eq!(timeout(secs(3_600), || task.join())?, 7);
            let main = current();
            let stuck = spawn(move || {
                let result = main.wait();
                l.say(since(start)); // the deadlock is found at once: no timer is left to wait for
                result
            });
            stuck.join()
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
    assert_eq!(log.take(), "1");
}

/// WAITFOR-05: with no time at all only a task that is done gives its value; any other is cancelled and waited for.
#[test]
fn with_no_time_only_what_is_done_succeeds() {
    sim(|| {
        let done = spawn(|| Ok(5));
        yield_now()?;
        assert_eq!(timeout(secs(0), || done.join())?, 5);
        let start = now();
        let running = spawn(|| {
            let result = sleep(secs(60));
            shield(secs(9), || sleep(secs(2)))?;
            result
        });
        yield_now()?;
        let watched = running.task();
        assert_eq!(timeout(secs(0), || running.join()).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!((watched.cancelled(), since(start)), (true, 2.0));
        Ok(())
    })
    .unwrap();
}

/// WAITFOR-06: a cancel that comes when the inner task has its result is not lost: the caller gets the value, and the
/// cancel at its next wait.
#[test]
fn a_cancel_that_meets_a_result_is_not_lost() {
    sim(|| {
        let inner = spawn(|| {
            sleep(secs(1))?;
            Ok(7)
        });
        let caller = spawn(move || {
            assert_eq!(timeout(secs(60), || inner.join())?, 7);
            assert_eq!(current().cancelling(), 1);
            yield_now()
        });
        yield_now()?;
        let victim = caller.task();
        // Behind the end of the inner task, and before the caller goes on.
        corio::call_later(secs(1), move || assert!(victim.cancel()));
        let watched = caller.task();
        assert!(is_cancelled(&caller.join().unwrap_err()));
        assert!(watched.cancelled());
        Ok(())
    })
    .unwrap();
}

/// WAITFOR-07: a caller that is cancelled waits for the clean-up of the inner task, and is never told that it was too
/// late; if the inner one swallows the cancel and returns a value, the caller has the value.
#[test]
fn a_cancelled_caller_waits_for_the_inner_tasks_end() {
    sim(|| {
        let start = now();
        let caller = spawn(|| {
            let inner = spawn(|| {
                let result = sleep(secs(60));
                shield(secs(9), || sleep(secs(5)))?;
                result
            });
            timeout(secs(2), || inner.join())
        });
        sleep(secs(1))?;
        caller.cancel();
        let error = caller.join().unwrap_err();
        assert!(is_cancelled(&error) && !is_timed_out(&error), "{error}");
        assert_eq!(since(start), 6.0, "the clean-up was longer than the limit");

        let caller = spawn(|| {
            let inner = spawn(|| {
                let _ = sleep(secs(60));
                Ok(7)
            });
            timeout(secs(2), || inner.join())
        });
        sleep(secs(1))?;
        caller.cancel();
        assert_eq!(caller.join()?, 7);
        Ok(())
    })
    .unwrap();
}

/// WAITFOR-09: a limit around a shielded wait ends at once, and the task goes on.
#[test]
fn a_limit_around_a_shielded_wait_leaves_the_task_alone() {
    sim(|| {
        let start = now();
        let task = spawn(|| {
            sleep(secs(5))?;
            Ok(7)
        });
        assert_eq!(timeout(millis(500), || task.wait()).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!((since(start), task.cancelling()), (0.5, 0));
        assert_eq!((task.join()?, since(start)), (7, 5.0));
        Ok(())
    })
    .unwrap();
}

/// TIMEOUT-11: a limit works in the clean-up of a cancelled task too, in a shield: the earlier request is not its own.
#[test]
fn a_limit_in_the_clean_up_knows_its_own_deadline() {
    sim(|| {
        let expired = Rc::new(std::cell::Cell::new(0));
        let e = expired.clone();
        let task = spawn(move || {
            let result = sleep(secs(60));
            let slow = shield(secs(60), || timeout(secs(1), || sleep(secs(60))));
            e.set(e.get() + u32::from(is_timed_out(&slow.unwrap_err())));
            let quick = shield(secs(60), || timeout(secs(2), || sleep(secs(1))));
            e.set(e.get() + 10 * u32::from(quick.is_ok()));
            assert!(cancel_cause().is_some());
            result
        });
        yield_now()?;
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()));
        assert_eq!(expired.get(), 11);
        Ok(())
    })
    .unwrap();
}
