//! TASK: what tasks do when nobody cancels them. More in `tests/tasks.rs`.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use crate::common::{Log, logged, sim, since};
use corio::{call_soon, is_cancelled, now, scope, secs, sleep, sleep_until, spawn, yield_now};

/// TASK-03: a sleep of nothing lets exactly one turn pass, and the callbacks that were queued before it have run.
#[test]
fn a_sleep_of_nothing_lets_one_turn_pass() {
    sim(|| {
        let turns = Rc::new(Cell::new(0));
        fn count(turns: Rc<Cell<u32>>) {
            turns.set(turns.get() + 1);
            if turns.get() < 10 {
                call_soon(move || count(turns)); // one a turn
            }
        }
        let t = turns.clone();
        call_soon(move || count(t));
        for n in 1..5 {
            sleep(secs(0))?;
            assert_eq!(turns.get(), n);
        }
        Ok(())
    })
    .unwrap();
}

/// TASK-04: a sleep into the past is like one of nothing: time does not pass, others run. A negative or undefined length
/// cannot be written down: a `Duration` has neither.
#[test]
fn a_sleep_into_the_past_takes_no_time() {
    let log = Log::default();
    sim(|| {
        sleep(secs(10))?;
        let start = now();
        let l = log.clone();
        let other = spawn(move || l.say("other"));
        sleep_until(start - secs(5))?;
        log.say("sleeper");
        assert_eq!(since(start), 0.0);
        other.join()
    })
    .unwrap();
    assert_eq!(log.take(), "other sleeper");
}

/// TASK-25: an error that says "cancelled" does not make a task cancelled: nobody asked it to end, so it has failed, and
/// that is reported. The state decides, and not the error.
#[test]
fn a_task_that_was_not_cancelled_is_not_cancelled_by_its_error() {
    let ((), lines) = logged(|| {
        sim(|| {
            let victim = spawn(|| sleep(secs(60)));
            victim.cancel();
            let messenger = victim.join().unwrap_err();
            let task = spawn(move || Err::<(), _>(messenger));
            let watched = task.task();
            yield_now()?;
            assert_eq!((watched.is_done(), watched.cancelled(), watched.cancelling()), (true, false, 0));
            assert!(is_cancelled(&task.join().unwrap_err()));
            drop(spawn(|| {
                let victim = spawn(|| sleep(secs(60)));
                victim.cancel();
                victim.join()
            }));
            sleep(secs(1))
        })
        .unwrap();
    });
    assert_eq!(lines.iter().filter(|line| line.contains("nobody joined it")).count(), 1, "{lines:#?}");
}

/// TASK-28: a task that waits for itself gets an error at once, by `join`'s sibling `wait`; its own handle it cannot have.
#[test]
fn a_task_cannot_wait_for_itself() {
    sim(|| {
        let error = corio::current().wait().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Deadlock);
        assert!(error.to_string().contains("itself"), "{error}");
        yield_now()
    })
    .unwrap();
}

/// TASK-30: no task is destroyed while it waits: what is left when main has returned is cancelled, named in the log, and
/// awaited. A scope's tasks end with their scope and are not named.
#[test]
fn no_pending_task_is_destroyed() {
    let log = Log::default();
    let l = log.clone();
    let ((), lines) = logged(|| {
        sim(move || {
            let left = spawn(move || {
                let result = sleep(secs(60));
                l.say(is_cancelled(result.as_ref().unwrap_err()));
                result
            });
            left.set_name("left");
            scope(|s| {
                s.spawn(|| Ok(())).set_name("ended");
                Ok(())
            })?;
            drop(left);
            Ok(())
        })
        .unwrap();
    });
    assert_eq!(log.take(), "true");
    let ending: Vec<_> = lines.iter().filter(|line| line.contains("the run is ending")).collect();
    assert!(ending.len() == 1 && ending[0].contains("\"left\"") && !ending[0].contains("\"ended\""), "{lines:#?}");
}
