//! Cancellation: level-triggered, in a tree of scopes; time limits and shields.
//!
//! `TASK-..`, `TIMEOUT-..`, `SHIELD-..`, `WAITFOR-..` are behaviours of asyncio, `R..` rules of the design, `C..` and
//! `E..` faults that must be survived. Where corio departs from asyncio the test says so.

mod common;

use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use common::{Log, child, logged, only, plays, runner, sim, since};
use corio::{
    Barrier, Builder, CancelScope, Cause, Event, Mutex, Promise, Queue, RwLock, Semaphore, after, call_later,
    cancel_cause, current, interval, is_cancelled, is_timed_out, millis, no_suspend, now, race, run, scope, secs,
    select, shield, signal, sleep, sleep_until, spawn, timeout, timeout_at, typed, yield_now,
};

/// Fails at once in a cancelled scope; otherwise lets others run.
fn alive() -> bool {
    yield_now().is_ok()
}

// ---- a task's own scope --------------------------------------------------------------------------

#[test]
fn task_06_a_suspended_task_meets_the_cancellation_at_its_wait() {
    sim(|| {
        let task = spawn(|| {
            let error = sleep(secs(60)).unwrap_err();
            assert!(is_cancelled(&error) && error.raw_os_error() == Some(libc::ECANCELED));
            Err::<(), _>(error)
        });
        yield_now()?;
        assert!(task.cancel());
        assert_eq!((task.cancelling(), task.cancelled(), task.is_done()), (1, false, false));
        let watched = task.task();
        assert!(is_cancelled(&task.join().unwrap_err()));
        assert!(watched.cancelled() && !watched.cancel());
        assert_eq!(since(now()), 0.0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn task_05_r13_a_cancelled_sleep_leaves_no_timer() {
    // If the timer were still there, the deadlock would be found only after an hour.
    let start = Rc::new(Cell::new(None));
    let s = start.clone();
    let result = runner().run(move || {
        s.set(Some(now()));
        let task = spawn(|| sleep(secs(3600)));
        yield_now()?;
        task.cancel();
        assert!(task.join().is_err());
        assert!(timeout(secs(1), || sleep(secs(7200))).is_err());
        let other = spawn(|| sleep(secs(5)));
        other.join()?;
        assert_eq!(since(s.get().unwrap()), 6.0);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn task_07_a_task_whose_body_has_returned_cannot_be_cancelled_any_more() {
    sim(|| {
        let task = spawn(|| Ok(5));
        yield_now()?;
        assert!(!task.cancel());
        assert_eq!((task.cancelling(), task.cancelled(), task.join()?), (0, false, 5));
        Ok(())
    })
    .unwrap();
}

#[test]
fn task_08_e4_cancelled_before_its_first_turn_it_never_runs_and_its_captures_are_dropped_once() {
    let log = Log::default();
    sim(|| {
        let capture = log.at_drop("dropped");
        let task = spawn(move || -> io::Result<()> { unreachable!("{:p}", &capture) });
        assert!(task.cancel());
        let watched = task.task();
        assert!(is_cancelled(&task.join().unwrap_err()));
        assert!(watched.cancelled());
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "dropped");
}

#[test]
fn task_10_a_request_that_is_taken_back_before_it_was_met_never_was() {
    sim(|| {
        let parked = spawn(|| sleep(secs(1)));
        let fresh = spawn(|| Ok(7));
        yield_now()?;
        let later = spawn(|| Ok(8));
        for task in [parked.task(), later.task()] {
            assert!(task.cancel());
            assert_eq!(task.uncancel(), 0);
            assert_eq!(task.uncancel(), 0, "TASK-26: never below zero");
        }
        assert_eq!((parked.join()?, fresh.join()?, later.join()?), ((), 7, 8));
        Ok(())
    })
    .unwrap();
}

#[test]
fn r10_task_15_17_18_every_call_fails_until_the_code_acknowledges() {
    sim(|| {
        let task = spawn(|| {
            assert!(sleep(secs(60)).is_err());
            // Departure from asyncio, which would let all of these wait.
            assert!(sleep(secs(1)).is_err());
            assert!(yield_now().is_err());
            assert!(sleep_until(now()).is_err());
            assert!(interval(secs(1)).next().unwrap().is_err());
            assert!(spawn(|| Ok(())).join().is_err());
            assert_eq!(current().cancelling(), 2);
            assert_eq!(current().uncancel(), 1);
            assert!(!alive());
            assert_eq!(current().uncancel(), 0);
            assert!(alive() && cancel_cause().is_none());
            let start = now();
            sleep(secs(1))?;
            assert_eq!(since(start), 1.0);
            Ok(5)
        });
        yield_now()?;
        assert!(task.cancel() && task.cancel());
        let watched = task.task();
        assert_eq!(task.join()?, 5);
        assert!(!watched.cancelled());
        Ok(())
    })
    .unwrap();
}

#[test]
fn task_16_who_swallows_the_cancellation_and_returns_a_value_has_returned_it() {
    sim(|| {
        let task = spawn(|| {
            let _ = sleep(secs(60));
            Ok(5)
        });
        yield_now()?;
        task.cancel();
        let watched = task.task();
        assert_eq!(task.join()?, 5);
        assert_eq!((watched.cancelled(), watched.cancelling()), (false, 1));
        Ok(())
    })
    .unwrap();
}

#[test]
fn task_12_r13_a_cancel_that_nobody_met_changes_no_value() {
    // Departure from asyncio, where a pending cancel makes the task end cancelled.
    sim(|| {
        let task = spawn(|| {
            current().cancel();
            Ok(5)
        });
        assert_eq!(task.join()?, 5);
        Ok(())
    })
    .unwrap();
}

#[test]
fn task_13_e4_who_cancels_itself_meets_it_at_its_next_wait() {
    sim(|| {
        let task = spawn(|| {
            assert!(current().cancel());
            assert!(yield_now().is_err());
            sleep(secs(1))
        });
        assert!(is_cancelled(&task.join().unwrap_err()));
        Ok(())
    })
    .unwrap();
}

#[test]
fn task_14_r13_a_call_that_never_waits_is_not_cancelled() {
    sim(|| {
        let task = spawn(|| {
            let _ = sleep(secs(60));
            // Departure: what may suspend fails even where it could finish at once. What cannot suspend works.
            let (_, name) = (now(), current().name());
            Ok(name)
        });
        yield_now()?;
        task.cancel();
        assert_eq!(task.join()?, "task-2");
        Ok(())
    })
    .unwrap();
}

#[test]
fn task_19_an_error_of_ones_own_after_a_cancellation_is_that_error() {
    sim(|| {
        let task = spawn(|| sleep(secs(60)).map_err(|_| io::Error::other("cleaned up badly")));
        yield_now()?;
        task.cancel();
        assert_eq!(task.join().unwrap_err().to_string(), "cleaned up badly");
        Ok(())
    })
    .unwrap();
}

#[test]
fn task_20_a_cancelled_join_passes_the_cancel_on_and_waits_for_the_end() {
    let log = Log::default();
    sim(|| {
        let (a, b) = (log.clone(), log.clone());
        let inner = spawn(move || {
            let result = sleep(secs(60));
            shield(secs(5), || sleep(secs(2)))?;
            a.say("inner");
            result
        });
        let outer = spawn(move || {
            let result = inner.join();
            b.say("outer");
            result
        });
        yield_now()?;
        yield_now()?;
        let start = now();
        outer.cancel_because("enough");
        assert!(is_cancelled(&outer.join().unwrap_err()));
        assert_eq!(since(start), 2.0);

        // One that swallows it gives its value to the joiner, who was cancelled all the same.
        let inner = spawn(|| {
            let _ = sleep(secs(60));
            assert_eq!(cancel_cause(), Some(Cause::Requested(Some("why".into()))));
            Ok(5)
        });
        let outer = spawn(move || {
            assert_eq!(inner.join()?, 5);
            assert!(!alive());
            Ok(6)
        });
        yield_now()?;
        yield_now()?;
        outer.cancel_because("why");
        assert_eq!(outer.join()?, 6);
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "inner outer");
}

#[test]
fn task_21_along_a_chain_of_joins_the_innermost_ends_first() {
    let log = Log::default();
    sim(|| {
        let mut task = spawn(|| sleep(secs(60)));
        for n in 0..5 {
            let (log, inner) = (log.clone(), task);
            task = spawn(move || {
                let watched = inner.task();
                let result = inner.join();
                assert!(watched.is_done());
                log.say(n);
                result
            });
        }
        sleep(secs(1))?;
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()));
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "0 1 2 3 4");
}

#[test]
fn task_22_shield_02_a_cancelled_wait_leaves_the_task_alone() {
    sim(|| {
        let work = spawn(|| {
            sleep(secs(5))?;
            Ok(7)
        });
        let watched = work.task();
        let waiter = spawn(move || watched.wait());
        sleep(secs(1))?;
        waiter.cancel();
        assert!(is_cancelled(&waiter.join().unwrap_err()));
        assert_eq!(work.cancelling(), 0);
        assert_eq!(work.join()?, 7);
        Ok(())
    })
    .unwrap();
}

#[test]
fn task_23_24_the_end_of_a_cancelled_task_is_no_request_to_its_joiner() {
    sim(|| {
        let inner = spawn(|| sleep(secs(60)));
        let watched = inner.task();
        let outer = spawn(move || {
            assert!(is_cancelled(&inner.join().unwrap_err()));
            assert_eq!((current().cancelling(), cancel_cause()), (0, None));
            sleep(secs(1))?;
            Ok(())
        });
        sleep(secs(1))?;
        watched.cancel();
        outer.join()
    })
    .unwrap();
}

#[test]
fn task_27_a_reason_travels_to_whoever_asks_and_the_first_one_counts() {
    sim(|| {
        let task = spawn(|| {
            let _ = sleep(secs(60));
            Ok(cancel_cause())
        });
        yield_now()?;
        task.cancel_because("first");
        task.cancel_because("second");
        assert_eq!(task.join()?, Some(Cause::Requested(Some("first".into()))));
        let task = spawn(|| {
            let _ = sleep(secs(60));
            Ok(cancel_cause())
        });
        yield_now()?;
        task.cancel();
        assert_eq!(task.join()?, Some(Cause::Requested(None)));
        assert_eq!(cancel_cause(), None);
        Ok(())
    })
    .unwrap();
}

#[test]
fn task_33_tasks_go_on_in_the_order_in_which_they_were_cancelled() {
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
        for n in [2, 0, 1] {
            tasks[n].cancel();
        }
        sleep(secs(1))
    })
    .unwrap();
    assert_eq!(log.take(), "c a b");
}

#[test]
fn c6_task_09_r13_what_has_succeeded_is_reported_and_the_cancel_met_at_the_next_wait() {
    sim(|| {
        // The sleep is over in the very turn in which the task is cancelled, before and after it was woken.
        for early in [true, false] {
            let task = spawn(move || {
                if early {
                    yield_now()?; // so that its timer is armed after the canceller's
                }
                sleep_until(now() + secs(1))?;
                assert!(current().cancelling() == 1 && !alive());
                Ok(5)
            });
            let watched = task.task();
            call_later(secs(1), move || assert!(watched.cancel()));
            assert_eq!(task.join()?, 5);
        }
        // A join whose task has ended in the same turn.
        let done = spawn(|| {
            sleep(secs(1))?;
            Ok(7)
        });
        let joiner = spawn(|| done.join());
        yield_now()?;
        let watched = joiner.task();
        call_later(secs(1), move || {
            corio::call_soon(move || assert!(watched.cancel()));
        });
        assert_eq!(joiner.join()?, 7);
        Ok(())
    })
    .unwrap();
}

#[test]
fn r12_the_error_is_none_that_third_party_code_retries() {
    struct Cancelled(Rc<Cell<u32>>);
    impl io::Read for Cancelled {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.0.set(self.0.get() + 1);
            sleep(secs(60)).map(|()| 0)
        }
    }
    sim(|| {
        let calls = Rc::new(Cell::new(0));
        let c = calls.clone();
        let task = spawn(move || io::Read::read_to_end(&mut Cancelled(c), &mut Vec::new()));
        yield_now()?;
        task.cancel();
        let error = task.join().unwrap_err();
        assert!(!matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::UnexpectedEof));
        assert!(is_cancelled(&error));
        assert_eq!(calls.get(), 1, "read_to_end did not try again");
        Ok(())
    })
    .unwrap();
}

#[derive(Debug)]
struct Wrapped(Option<Box<dyn StdError + Send + Sync>>);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("wrapped")
    }
}

impl StdError for Wrapped {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.as_deref().map(|e| e as _)
    }
}

impl From<io::Error> for Wrapped {
    fn from(e: io::Error) -> Wrapped {
        Wrapped(Some(e.into()))
    }
}

#[test]
fn the_messenger_is_recognised_through_any_number_of_wrappers() {
    sim(|| {
        let cancelled = || {
            let task = spawn(|| sleep(secs(1)));
            task.cancel();
            task.join().unwrap_err()
        };
        let wrapped = io::Error::other(Wrapped(Some(io::Error::other(Wrapped::from(cancelled())).into())));
        assert!(is_cancelled(&wrapped) && !is_timed_out(&wrapped));
        assert!(is_cancelled(&Wrapped::from(cancelled())));
        assert!(!is_cancelled(&Wrapped(None)) && !is_cancelled(&io::Error::from(ErrorKind::TimedOut)));
        // Errors that can be cloned keep what they carry in an `Arc`.
        assert!(is_cancelled(&Arc::new(cancelled())));
        let shared: Arc<dyn StdError + Send + Sync> = Arc::new(Wrapped::from(cancelled()));
        assert!(is_cancelled(&shared) && !is_timed_out(&shared));
        assert!(is_timed_out(&Wrapped(Some(Box::new(Arc::new(io::Error::from(ErrorKind::TimedOut)))))));
        let late = timeout(secs(1), || sleep(secs(2))).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert!(is_timed_out(&late) && is_cancelled(&late), "the time limit carries what it was answered with");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_tree_may_be_deeper_than_the_stack_of_whoever_cancels_it() {
    const NAME: &str = "a_tree_may_be_deeper_than_the_stack_of_whoever_cancels_it";
    const SMALLEST: usize = 32 * 1024;
    fn nest(depth: usize) -> io::Result<()> {
        if depth == 0 {
            return sleep(secs(3600));
        }
        scope(|s| {
            Builder::new().stack_size(2 * SMALLEST).spawn_scoped(s, move || nest(depth - 1))?;
            Ok(())
        })
    }
    if plays(NAME) {
        sim(|| {
            let root = spawn(|| nest(2_000));
            sleep(secs(1))?;
            assert_eq!(corio::all_tasks().len(), 2_002);
            let task = root.task();
            Builder::new().stack_size(SMALLEST).spawn(move || assert!(task.cancel()))?.join()?;
            assert!(is_cancelled(&root.join().unwrap_err()));
            assert_eq!(since(now()), 0.0);
            Ok(())
        })
        .unwrap();
        return;
    }
    child(NAME).succeeded();
}

// ---- time limits -----------------------------------------------------------------------------------

#[test]
fn timeout_01_17_a_body_that_is_in_time_gives_its_value_and_the_deadline_means_nothing_later() {
    sim(|| {
        let limit = CancelScope::after(secs(2));
        let value = limit.run(|| {
            sleep(secs(1))?;
            Ok(5)
        })?;
        assert_eq!((value, limit.expired(), limit.cancelled()), (5, false, false));
        sleep(secs(10))?;
        assert!(!limit.expired());
        assert!(timeout(secs(2), || Err::<(), _>(io::Error::other("own"))).unwrap_err().to_string() == "own");
        Ok(())
    })
    .unwrap();
}

#[test]
fn timeout_02_at_the_deadline_every_call_inside_fails_and_outside_all_is_well() {
    sim(|| {
        let start = now();
        let error = timeout(secs(1), || {
            let error = sleep(secs(60)).unwrap_err();
            assert!(is_cancelled(&error) && !is_timed_out(&error));
            assert_eq!(cancel_cause(), Some(Cause::Deadline));
            assert!(!alive());
            Err::<(), _>(error)
        })
        .unwrap_err();
        assert_eq!((error.kind(), since(start)), (ErrorKind::TimedOut, 1.0));
        assert!(is_cancelled(error.get_ref().unwrap().source().unwrap()));
        assert_eq!((current().cancelling(), cancel_cause()), (0, None));
        sleep(secs(1))
    })
    .unwrap();
}

#[test]
fn timeout_04_a_limit_of_nothing_lets_the_body_run_to_its_first_wait() {
    sim(|| {
        assert_eq!(timeout(secs(0), || Ok(5))?, 5);
        assert_eq!(timeout_at(now() - secs(5), || Ok(6))?, 6);
        let error = timeout(secs(0), yield_now).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        Ok(())
    })
    .unwrap();
}

#[test]
fn timeout_03_18_c1_a_limit_beyond_all_time_never_fires() {
    let hour = |limit: CancelScope| {
        sim(|| {
            limit.run(|| sleep(secs(3600)))?;
            assert!(!limit.expired());
            Ok(())
        })
    };
    hour(CancelScope::new()).unwrap();
    hour(CancelScope::after(Duration::MAX)).unwrap();
    hour(CancelScope::after(Duration::from_secs(u64::MAX / 1_000))).unwrap();
    sim(|| {
        let task = spawn(|| sleep(Duration::MAX));
        assert!(timeout(secs(1), || task.task().wait()).is_err());
        task.cancel();
        assert!(task.join().is_err());
        shield(Duration::MAX, || sleep(secs(1)))
    })
    .unwrap();
}

#[test]
fn timeout_05_a_cancelled_task_is_not_timed_out_before_the_deadline() {
    sim(|| {
        let task = spawn(|| {
            let result = timeout(secs(10), || sleep(secs(60)));
            assert!(is_cancelled(result.as_ref().unwrap_err()) && !is_timed_out(result.as_ref().unwrap_err()));
            result
        });
        sleep(secs(1))?;
        task.cancel();
        let watched = task.task();
        assert!(task.join().is_err() && watched.cancelled());
        Ok(())
    })
    .unwrap();
}

#[test]
fn timeout_06_of_limits_that_are_met_together_the_outermost_reports() {
    sim(|| {
        let outer = timeout(secs(1), || {
            let inner = timeout(secs(1), || sleep(secs(60)));
            assert!(is_cancelled(inner.as_ref().unwrap_err()) && !is_timed_out(inner.as_ref().unwrap_err()));
            assert!(!alive(), "the outer one was met as well");
            inner
        });
        assert_eq!(outer.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(alive());
        Ok(())
    })
    .unwrap();
}

#[test]
fn timeout_07_08_each_of_nested_limits_decides_for_itself() {
    sim(|| {
        let (outer, inner) = (CancelScope::after(secs(5)), CancelScope::after(secs(1)));
        outer.run(|| {
            assert!(inner.run(|| sleep(secs(60))).is_err());
            assert!(inner.expired() && !outer.expired());
            sleep(secs(2))
        })?;
        let (outer, inner) = (CancelScope::after(secs(1)), CancelScope::after(secs(5)));
        let result = outer.run(|| {
            let result = inner.run(|| sleep(secs(60)));
            assert!(!inner.expired() && outer.expired());
            assert!(is_cancelled(result.as_ref().unwrap_err()) && !is_timed_out(result.as_ref().unwrap_err()));
            result
        });
        assert!(result.is_err());
        Ok(())
    })
    .unwrap();
}

#[test]
fn timeout_09_waitfor_03_a_value_after_the_deadline_is_a_value() {
    sim(|| {
        let value = timeout(secs(1), || {
            let _ = sleep(secs(60));
            Ok(7)
        });
        assert_eq!((value?, current().cancelling()), (7, 0));
        assert!(alive());
        Ok(())
    })
    .unwrap();
}

#[test]
fn timeout_10_r11_any_error_after_the_deadline_is_a_time_out_that_carries_it() {
    // Departure from asyncio, which lets the body's own error through: libraries rewrap errors.
    sim(|| {
        let error = timeout(secs(1), || sleep(secs(60)).map_err(|e| io::Error::other(e.to_string()))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(!is_cancelled(&error), "the library has turned it into a text");
        let error: Result<(), Box<dyn StdError + Send + Sync>> =
            typed::timeout(secs(1), || Ok(sleep(secs(60)).map_err(|_| Wrapped(None))?));
        assert!(is_timed_out(&*error.unwrap_err()));
        Ok(())
    })
    .unwrap();
}

#[test]
fn timeout_11_a_limit_works_in_the_clean_up_after_a_cancellation() {
    sim(|| {
        let task = spawn(|| {
            assert!(sleep(secs(60)).is_err());
            let start = now();
            let result = shield(secs(30), || timeout(secs(2), || sleep(secs(60))));
            assert!(is_timed_out(&result.unwrap_err()));
            assert_eq!(since(start), 2.0);
            assert!(!alive(), "the cancellation is still there");
            Ok(5)
        });
        yield_now()?;
        task.cancel();
        assert_eq!(task.join()?, 5);
        Ok(())
    })
    .unwrap();
}

#[test]
fn c6_timeout_12_a_result_that_is_there_at_the_deadline_is_the_result() {
    // Departure from asyncio, which reports the deadline.
    sim(|| {
        timeout(secs(1), || sleep(secs(1)))?;
        let deadline = now() + secs(1);
        coincide(deadline, true)?;
        let deadline = now() + secs(1);
        coincide(deadline, false)
    })
    .unwrap();

    fn coincide(deadline: std::time::Instant, sleeper_first: bool) -> io::Result<()> {
        let limit = CancelScope::new();
        limit.run(|| {
            if !sleeper_first {
                limit.reschedule(Some(deadline));
            }
            let task = spawn(move || sleep_until(deadline));
            yield_now()?;
            if sleeper_first {
                limit.reschedule(Some(deadline));
            }
            sleep_until(deadline)?;
            assert!(limit.expired() && !alive());
            drop(task);
            Ok(())
        })
    }
}

#[test]
fn timeout_13_14_a_deadline_can_be_moved_both_ways_and_taken_away() {
    sim(|| {
        let start = now();
        let at = |n| Some(start + secs(n));
        let limit = CancelScope::after(secs(1));
        assert_eq!(limit.when(), None, "it begins when the scope is entered");
        let result = limit.run(|| {
            assert_eq!(limit.when(), at(1));
            limit.reschedule(at(5));
            assert_eq!(limit.when(), at(5));
            sleep(secs(2))?;
            limit.reschedule(None);
            assert_eq!(limit.when(), None);
            sleep(secs(10))?;
            limit.reschedule(at(20));
            limit.reschedule(at(15));
            sleep(secs(60))
        });
        assert!(result.is_err() && limit.expired());
        assert_eq!((since(start), limit.when()), (15.0, at(15)));
        // To the past: met at once, at the next call.
        let limit = CancelScope::new();
        let result = limit.run(|| {
            assert!(alive());
            limit.reschedule(Some(now() - secs(1)));
            assert!(!alive());
            limit.reschedule(Some(now() + secs(60)));
            yield_now() // what was met stays met
        });
        assert!(result.is_err() && limit.expired());
        // After the scope was left, and after the run: nothing happens.
        limit.reschedule(at(99));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_limit_can_be_moved_and_a_scope_cancelled_by_another_task() {
    sim(|| {
        let start = now();
        let shared = Rc::new(CancelScope::after(secs(5)));
        let (a, b) = (shared.clone(), shared.clone());
        drop(spawn(move || {
            sleep(secs(1))?;
            a.reschedule(Some(now() + secs(1)));
            Ok(())
        }));
        assert!(shared.run(|| sleep(secs(60))).is_err());
        assert_eq!((since(start), shared.expired()), (2.0, true));
        b.cancel(); // once it is left: nothing
        assert!(b.expired() && alive());

        let shared = Rc::new(CancelScope::new());
        let a = shared.clone();
        call_later(secs(1), move || a.cancel());
        assert!(shared.run(|| sleep(secs(60))).is_err());
        assert!(shared.cancelled() && !shared.expired() && alive());
        Ok(())
    })
    .unwrap();
}

#[test]
fn timeout_15_a_scope_runs_once_and_needs_a_task() {
    let limit = CancelScope::new();
    assert_eq!(limit.run(|| Ok(())).unwrap_err().kind(), ErrorKind::InvalidInput);
    sim(|| {
        let limit = CancelScope::new();
        limit.cancel();
        assert!(limit.run(|| Ok(alive())).is_ok_and(|alive| !alive), "cancelled before it was entered");
        assert_eq!(limit.run(|| Ok(())).unwrap_err().kind(), ErrorKind::InvalidInput);
        let limit = CancelScope::new();
        limit.run(|| {
            assert_eq!(limit.run(|| Ok(())).unwrap_err().kind(), ErrorKind::InvalidInput);
            yield_now()
        })
    })
    .unwrap();
}

#[test]
fn timeout_16_tg_22_a_limit_around_a_scope_cancels_the_children() {
    let log = Log::default();
    sim(|| {
        let start = now();
        let result = timeout(secs(1), || {
            scope(|s| {
                for name in ["a", "b"] {
                    let log = &log;
                    s.spawn(move || {
                        let result = sleep(secs(60));
                        assert_eq!(cancel_cause(), Some(Cause::Deadline));
                        log.say(name);
                        result
                    });
                }
                Ok(())
            })
        });
        // The body had its value, but the children were cut short.
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!((since(start), log.take().as_str()), (1.0, "a b"));
        let result = timeout(secs(1), || {
            scope(|s| {
                s.spawn(|| sleep(secs(60)).map_err(|_| io::Error::other("in the clean-up")));
                sleep(secs(60))
            })
        });
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        Ok(())
    })
    .unwrap();
}

#[test]
fn waitfor_02_07_a_limit_waits_for_what_it_has_cancelled() {
    sim(|| {
        let start = now();
        let slow = spawn(|| {
            let result = sleep(secs(60));
            shield(secs(9), || sleep(secs(3)))?;
            result
        });
        let error = timeout(secs(1), || slow.join()).unwrap_err();
        assert_eq!((error.kind(), since(start)), (ErrorKind::TimedOut, 4.0));
        // Cancelled from outside while it waits: never a time-out.
        let start = now();
        let task = spawn(|| {
            let slow = spawn(|| {
                let result = sleep(secs(60));
                shield(secs(9), || sleep(secs(3)))?;
                result
            });
            let result = timeout(secs(50), || slow.join());
            assert!(!is_timed_out(result.as_ref().unwrap_err()));
            result
        });
        sleep(secs(1))?;
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()));
        assert_eq!(since(start), 4.0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_panic_inside_limits_and_shields_leaves_none_of_them_behind() {
    sim(|| {
        for _ in 0..3 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                timeout(secs(1), || shield(secs(1), || timeout(secs(1), || -> io::Result<()> { panic!("out") })))
            }));
            assert!(caught.is_err());
        }
        sleep(secs(60)) // no deadline is left to be met
    })
    .unwrap();
}

#[test]
fn e6_when_a_limit_and_a_cancel_meet_both_are_known() {
    sim(|| {
        let task = spawn(|| {
            let limit = CancelScope::after(secs(1));
            let result = limit.run(|| {
                let _ = sleep(secs(60));
                sleep(secs(60))
            });
            assert!(limit.expired() && result.is_err());
            assert_eq!(cancel_cause(), Some(Cause::Requested(Some("outside".into()))));
            result
        });
        let watched = task.task();
        sleep(secs(1))?;
        watched.cancel_because("outside");
        assert!(task.join().is_err() && watched.cancelled());
        Ok(())
    })
    .unwrap();
}

// ---- shields ---------------------------------------------------------------------------------------

#[test]
fn shield_01_05_value_and_error_pass_through() {
    sim(|| {
        assert_eq!(shield(secs(1), || Ok(5))?, 5);
        assert_eq!(shield(secs(1), || Err::<(), _>(io::Error::other("own"))).unwrap_err().to_string(), "own");
        assert_eq!(typed::shield::<_, io::Error>(secs(1), || spawn(|| Ok(6)).join())?, 6);
        Ok(())
    })
    .unwrap();
}

#[test]
fn e5_r10_clean_up_that_waits_goes_into_a_shield_and_the_cancel_is_met_behind_it() {
    sim(|| {
        let task = spawn(|| {
            assert!(sleep(secs(60)).is_err());
            let start = now();
            shield(secs(10), || {
                assert!(cancel_cause().is_none());
                sleep(secs(2))
            })?;
            assert_eq!(since(start), 2.0);
            sleep(secs(1))
        });
        sleep(secs(1))?;
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()));
        // The cancel comes while the shield holds.
        let task = spawn(|| {
            shield(secs(10), || sleep(secs(2)))?;
            assert!(!alive());
            Ok(())
        });
        sleep(secs(1))?;
        task.cancel();
        task.join()
    })
    .unwrap();
}

#[test]
fn a_shield_holds_no_longer_than_its_limit() {
    sim(|| {
        let start = now();
        let task = spawn(|| shield(secs(3), || sleep(secs(60))));
        sleep(secs(1))?;
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()));
        assert_eq!(since(start), 3.0);
        let task = spawn(|| shield(secs(0), yield_now));
        task.cancel();
        assert!(task.join().is_err());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_shield_whose_limit_has_passed_cancels_nothing_by_itself() {
    sim(|| {
        let start = now();
        scope(|s| {
            let child = s.spawn(|| sleep(secs(10)));
            shield(secs(1), || {
                scope(|inner| {
                    inner.spawn(|| sleep(secs(5)));
                    sleep(secs(5))
                })
            })?;
            assert_eq!(since(start), 5.0);
            child.join()
        })?;
        assert_eq!(since(start), 10.0);
        // Nor does a limit that was met inside it reach what lies outside.
        scope(|s| {
            let child = s.spawn(|| sleep(secs(10)));
            shield(secs(2), || {
                let limited = timeout(secs(1), || {
                    let result = sleep(secs(60));
                    shield(secs(9), || sleep(secs(4)))?;
                    result
                });
                assert!(is_timed_out(&limited.unwrap_err()));
                Ok(())
            })?;
            assert_eq!(since(start), 15.0);
            child.join()
        })?;
        assert_eq!(since(start), 20.0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_a_shield_protected_meets_the_cancel_when_its_limit_has_passed() {
    let log = Log::default();
    sim(|| {
        let start = now();
        let l = log.clone();
        let task = spawn(move || {
            scope(|outer| {
                outer.spawn(|| {
                    let result = sleep(secs(60));
                    l.say(format_args!("outer@{}", since(start)));
                    result
                });
                shield(secs(5), || {
                    scope(|inner| {
                        inner.spawn(|| {
                            let result = sleep(secs(60));
                            l.say(format_args!("inner@{}", since(start)));
                            result
                        });
                        inner.spawn(|| {
                            // A shield of its own, inside: it still holds then.
                            let result = shield(secs(9), || sleep(secs(8)));
                            l.say(format_args!("shielded@{}", since(start)));
                            result
                        });
                        sleep(secs(60))
                    })
                })
            })
        });
        sleep(secs(1))?;
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()));
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "outer@1 inner@5 shielded@8");
}

#[test]
fn a_shield_protects_from_limits_around_it_and_not_from_those_inside() {
    sim(|| {
        let start = now();
        let result = timeout(secs(1), || {
            shield(secs(10), || sleep(secs(3)))?;
            assert!(!alive());
            Ok(())
        });
        result?;
        assert_eq!(since(start), 3.0);
        let start = now();
        assert!(shield(secs(10), || timeout(secs(1), || sleep(secs(60)))).is_err());
        assert_eq!(since(start), 1.0);
        Ok(())
    })
    .unwrap();
}

// ---- regions in which nothing may suspend --------------------------------------------------------------

#[test]
fn r8_no_suspend_panics_at_the_call_and_is_over_when_it_is_left() {
    sim(|| {
        for what in [|| yield_now(), || sleep(secs(1)), || scope(|_| Ok(())), || spawn(|| Ok(())).join()] {
            let caught = catch_unwind(AssertUnwindSafe(|| no_suspend(what)));
            assert!(caught.is_err());
        }
        no_suspend(|| no_suspend(|| ()));
        assert_eq!(no_suspend(|| spawn(|| ()).id()), 3);
        yield_now()
    })
    .unwrap();
    no_suspend(|| ()); // without a loop there is nothing to forbid
}

/// R8: also where it would not have had to wait. Otherwise a region would be found out only on a bad day.
#[test]
fn r8_every_call_that_may_suspend_panics_inside_no_suspend() {
    use corio::channel::{broadcast, mpsc, oneshot, watch};
    use corio::io::{StreamReader, duplex};
    use corio::net::{ConnectOptions, TcpListener, TcpStream, UdpSocket, UnixStream};
    use corio::{
        Condvar, Executor, LoopHandle, Until, as_completed, fs, gather, join_all, process, to_thread, wait,
        wait_timeout,
    };
    use std::io::{Read, Write};

    let not_refused = run(|| {
        let (lock, table, limit) = (Mutex::new(()), RwLock::new(()), Semaphore::new(1));
        let (event, barrier, queue) = (Event::new(), Barrier::new(1), Queue::new());
        event.set();
        queue.put(1)?;
        let promise = Promise::new();
        promise.set(1).unwrap();
        let done = spawn(|| ());
        done.task().wait()?;

        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let client = TcpStream::connect(address)?;
        let (server, _) = listener.accept()?;
        (&server).write_all(b"xyz")?;
        client.peek(&mut [0])?;
        let second = TcpStream::connect(address)?;
        let datagrams = UdpSocket::bind("127.0.0.1:0")?;
        datagrams.send_to(b"x", datagrams.local_addr()?)?;
        let (changed, guarded) = (Condvar::new(), Mutex::new(()));
        let (reads, writes) = corio::io::pipe()?;
        (&writes).write_all(b"x")?;
        let file = fs::File::open("/dev/zero")?;
        let (near, far) = duplex(8);
        (&far).write_all(b"x")?;

        let (sender, receiver) = mpsc::bounded(2);
        sender.send(1)?;
        let (once, receives_once) = oneshot::channel();
        once.send(1)?;
        let (casts, receives_cast) = broadcast::channel(1);
        casts.send(1)?;
        let (latest, sees) = watch::channel(0);
        latest.send(1)?;
        let (receives_once, receives_cast, sees) =
            (RefCell::new(receives_once), RefCell::new(receives_cast), RefCell::new(sees));
        let child = process::Command::new("true").spawn()?;
        child.wait()?;
        let signals = signal::Signals::new([signal::Signal::Hangup])?;

        type Call<'a> = (&'static str, &'a dyn Fn() -> io::Result<()>);
        let calls: &[Call<'_>] = &[
            ("yield_now", &|| yield_now()),
            ("sleep", &|| sleep(Duration::ZERO)),
            ("sleep_until", &|| sleep_until(now())),
            ("interval", &|| interval(millis(1)).next().unwrap().map(drop)),
            ("scope", &|| scope(|_| Ok(()))),
            ("join", &|| spawn(|| Ok(())).join()),
            ("Task::wait", &|| done.task().wait()),
            ("gather", &|| gather([1], |_| Ok(())).map(drop)),
            ("race", &|| race([1], |_| Ok(())).map(drop)),
            ("lock", &|| lock.lock().map(drop)),
            ("read", &|| table.read().map(drop)),
            ("write", &|| table.write().map(drop)),
            ("acquire", &|| limit.acquire().map(drop)),
            ("Event::wait", &|| event.wait()),
            ("Barrier::wait", &|| barrier.wait().map(drop)),
            ("put", &|| queue.put(2)),
            ("get", &|| queue.get().map(drop)),
            ("reserve", &|| queue.reserve().map(drop)),
            ("Promise::get", &|| promise.get().map(drop)),
            ("select", &|| select((&event, after(secs(1)))).map(drop)),
            ("connect", &|| TcpStream::connect(address).map(drop)),
            ("accept", &|| listener.accept().map(drop)),
            ("TcpStream::read", &|| (&client).read(&mut [0]).map(drop)),
            ("TcpStream::write", &|| (&client).write(b"x").map(drop)),
            ("peek", &|| client.peek(&mut [0]).map(drop)),
            ("recv_from", &|| datagrams.recv_from(&mut [0]).map(drop)),
            ("send_to", &|| datagrams.send_to(b"x", address).map(drop)),
            ("duplex", &|| (&near).read(&mut [0]).map(drop)),
            ("duplex", &|| (&near).write(b"x").map(drop)),
            ("readable", &|| corio::readable(&client)),
            ("writable", &|| corio::writable(&client)),
            ("mpsc send", &|| Ok(sender.send(2)?)),
            ("mpsc recv", &|| receiver.recv().map(drop)),
            ("oneshot recv", &|| receives_once.borrow_mut().recv().map(drop)),
            ("broadcast recv", &|| Ok(receives_cast.borrow_mut().recv().map(drop)?)),
            ("watch recv", &|| sees.borrow_mut().recv().map(drop)),
            ("to_thread", &|| to_thread(|| ())),
            ("fs", &|| fs::read("/dev/null").map(drop)),
            ("look-up", &|| TcpStream::connect("localhost:1").map(drop)),
            ("Child::wait", &|| child.wait().map(drop)),
            ("Signals::recv", &|| signals.recv().map(drop)),
            ("Scope::wait", &|| scope(|s| s.wait())),
            ("outcome", &|| {
                drop(spawn(|| ()).outcome());
                Ok(())
            }),
            ("wait", &|| wait(&mut vec![done.task()], Until::AllCompleted).map(drop)),
            ("wait_timeout", &|| wait_timeout(&mut vec![done.task()], Until::AllCompleted, secs(1)).map(drop)),
            ("as_completed", &|| as_completed(&mut vec![done.task()]).next().map_or(Ok(()), |task| task.map(drop))),
            ("join_all", &|| join_all([spawn(|| ())]).map(drop)),
            ("gather!", &|| gather!(Ok(()), Ok(())).map(drop)),
            ("Condvar::wait", &|| changed.wait(&mut guarded.try_lock().unwrap())),
            ("for queue", &|| (&queue).into_iter().next().unwrap().map(drop)),
            ("for incoming", &|| listener.incoming().next().unwrap().map(drop)),
            ("for mpsc", &|| receiver.iter().next().unwrap().map(drop)),
            ("for broadcast", &|| Ok(receives_cast.borrow_mut().iter().next().unwrap().map(drop)?)),
            ("for watch", &|| sees.borrow_mut().iter().next().unwrap().map(drop)),
            ("for signals", &|| signals.iter().next().unwrap().map(drop)),
            ("read_line", &|| StreamReader::new(&client).read_line().map(drop)),
            ("pipe read", &|| (&reads).read(&mut [0]).map(drop)),
            ("pipe write", &|| (&writes).write(b"x").map(drop)),
            ("File::read", &|| (&file).read(&mut [0]).map(drop)),
            ("copy", &|| corio::io::copy(&mut &client, &mut std::io::sink()).map(drop)),
            ("connect_timeout", &|| TcpStream::connect_timeout(&address, secs(1)).map(drop)),
            ("ConnectOptions", &|| ConnectOptions::new().connect(address).map(drop)),
            ("UnixStream::connect", &|| UnixStream::connect("/nowhere").map(drop)),
            ("RemoteHandle::join", &|| LoopHandle::current()?.spawn(|| Ok(())).join()),
            ("Executor::run", &|| Executor::current()?.run(|| ())),
            ("Command::output", &|| process::Command::new("true").output().map(drop)),
        ];
        let mut not_refused = Vec::new();
        for (name, call) in calls {
            // Its error says nothing here: it has to panic.
            match catch_unwind(AssertUnwindSafe(|| no_suspend(call))) {
                Ok(result) => not_refused.push(format!("{name}: {result:?}")),
                Err(payload) => {
                    // And to name the line of the call, not one of the library's own.
                    let text = payload.downcast_ref::<String>().expect("a text");
                    if !text.contains("no_suspend") || !text.contains("tests/cancellation.rs:") {
                        not_refused.push(format!("{name}: {text}"));
                    }
                }
            }
        }
        yield_now()?; // the regions are closed again
        drop(second);
        Ok(not_refused)
    });
    assert!(not_refused.as_ref().is_ok_and(Vec::is_empty), "{not_refused:#?}");
}

/// R8, the first hole: another task would find the variable without a value, and make one of its own.
#[test]
fn r8_no_suspend_turns_a_lazy_initialiser_that_waits_into_a_panic() {
    thread_local! {
        static WAITS: Cell<bool> = const { Cell::new(true) };
        static LAZY: String = no_suspend(|| {
            if WAITS.get() {
                yield_now().unwrap();
            }
            "made".to_owned()
        });
    }
    sim(|| {
        let other = spawn(|| Ok(LAZY.with(|text| text.len())));
        assert!(catch_unwind(|| LAZY.with(|text| text.len())).is_err());
        assert!(!other.is_done(), "nothing else ran meanwhile");
        WAITS.set(false);
        assert_eq!((other.join()?, LAZY.with(|text| text.len())), (4, 4));
        Ok(())
    })
    .unwrap();
}

/// R8, the second hole: a context that is set for the time of a call, and that others would find set.
#[test]
fn r8_no_suspend_keeps_a_scoped_context_from_being_seen_by_others() {
    thread_local!(static CONTEXT: Cell<Option<u32>> = const { Cell::new(None) });
    fn set<R>(value: u32, f: impl FnOnce() -> R) -> R {
        let before = CONTEXT.replace(Some(value));
        let _restore = common::Finally(move || CONTEXT.set(before));
        no_suspend(f)
    }
    sim(|| {
        let other = spawn(|| Ok(CONTEXT.get()));
        assert!(catch_unwind(|| set(1, yield_now)).is_err());
        assert_eq!(CONTEXT.get(), None);
        assert_eq!(other.join()?, None);
        assert_eq!(set(2, || CONTEXT.get()), Some(2), "a context that does not wait is as good as ever");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_cancellation_that_is_ignored_for_long_is_reported_once() {
    let (result, lines) = logged(|| {
        sim(|| {
            let log = Rc::new(RefCell::new(0_u32));
            let l = log.clone();
            let task = spawn(move || {
                for _ in 0..3_000 {
                    *l.borrow_mut() += u32::from(sleep(millis(1)).is_err());
                }
                Ok(())
            });
            yield_now()?;
            task.cancel();
            task.join()?;
            assert_eq!(*log.borrow(), 3_000);
            Ok(())
        })
    });
    result.unwrap();
    only(&lines, "WARN", &["task-2", "ignored", "tests/cancellation.rs"]);
}
