//! GATHER, WAIT, ASCOMP: several at once. More in `tests/gather.rs`.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use crate::common::{Log, sim, since};
use corio::{
    all_tasks, call_soon, cancel_cause, current, gather, gather_all, is_cancelled, now, secs, shield, sleep, spawn,
    yield_now,
};

/// Whether a turn of the loop passed while `f` ran.
fn paused<R>(f: impl FnOnce() -> R) -> (bool, R) {
    let turned = Rc::new(Cell::new(false));
    let t = turned.clone();
    call_soon(move || t.set(true));
    let result = f();
    (turned.get(), result)
}

fn after(n: u64) -> io::Result<u64> {
    sleep(secs(n))?;
    Ok(n)
}

fn fail(text: &'static str) -> io::Result<u64> {
    Err(io::Error::other(text))
}

// ---- gather ------------------------------------------------------------------------------------------------------------

/// GATHER-01: the values come in the order of the arguments, when the last one has ended.
#[test]
fn values_come_in_the_order_of_the_arguments() {
    sim(|| {
        let start = now();
        assert_eq!(gather([3, 1, 2], after)?, [3, 1, 2]);
        assert_eq!(since(start), 3.0);
        let text = String::from("lent");
        assert_eq!(gather!(after(2), Ok(text.len()), spawn(|| after(1)))?, (2, 4, 1));
        assert_eq!(since(start), 5.0);
        Ok(())
    })
    .unwrap();
}

/// GATHER-02: nothing is gathered at once.
#[test]
fn nothing_is_gathered_at_once() {
    sim(|| {
        let (waited, values) = paused(|| gather(Vec::new(), after));
        assert_eq!((waited, values?), (false, vec![]));
        Ok(())
    })
    .unwrap();
}

/// GATHER-04: the first failure cancels the others, which may have borrowed, and is passed on when they have ended.
#[test]
fn the_first_failure_cancels_the_others() {
    let log = Log::default();
    sim(|| {
        let start = now();
        let error = gather([1, 5], |n| {
            if n == 1 {
                sleep(secs(1))?;
                return fail("one");
            }
            let result = after(n);
            shield(secs(9), || sleep(secs(2)))?;
            log.say(result.is_err());
            result
        })
        .unwrap_err();
        assert_eq!((error.to_string().as_str(), since(start)), ("one", 3.0));
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "true");
}

/// GATHER-05: with all outcomes collected, values and errors come in the order of the arguments, when all have ended.
#[test]
fn all_outcomes_come_in_the_order_of_the_arguments() {
    sim(|| {
        let start = now();
        let all = gather_all([3, 0, 2], |n| if n == 0 { fail("none") } else { after(n) })?;
        let texts: Vec<_> = all.iter().map(|r| r.as_ref().map_err(ToString::to_string).copied()).collect();
        assert_eq!((texts, since(start)), (vec![Ok(3), Err("none".to_owned()), Ok(2)], 3.0));
        let (a, b) = gather_all!(fail("first"), after(1))?;
        assert_eq!((a.unwrap_err().to_string().as_str(), b?), ("first", 1));
        Ok(())
    })
    .unwrap();
}

/// Cancels the newest task in a second.
fn cancel_the_newest() {
    corio::call_later(secs(1), || assert!(all_tasks().iter().max_by_key(|task| task.id()).unwrap().cancel()));
}

/// GATHER-06: a call that somebody else cancels makes the gathering fail with that, but cancels nobody: the others run on,
/// and the caller was not asked to end.
#[test]
fn a_call_that_is_cancelled_alone_cancels_nobody() {
    let log = Log::default();
    sim(|| {
        cancel_the_newest();
        let error = gather([2, 60], |n| {
            let result = after(n);
            log.say(format_args!("{n}:{}", result.is_ok()));
            result
        })
        .unwrap_err();
        assert!(is_cancelled(&error));
        assert_eq!((current().cancelling(), cancel_cause()), (0, None));
        yield_now()
    })
    .unwrap();
    assert_eq!(log.take(), "60:false 2:true");
}

/// GATHER-07: with all outcomes collected, that cancellation is one of them.
#[test]
fn a_call_that_is_cancelled_alone_is_one_of_the_outcomes() {
    sim(|| {
        cancel_the_newest();
        let all = gather_all([2, 60], after)?;
        assert!(all[0].is_ok() && is_cancelled(all[1].as_ref().unwrap_err()));
        // Also one that is cancelled before it has begun.
        call_soon(|| ());
        let first = spawn(|| {
            all_tasks().iter().max_by_key(|task| task.id()).unwrap().cancel();
            Ok(())
        });
        let all = gather_all([1, 2], after)?;
        assert!(all[0].is_ok() && is_cancelled(all[1].as_ref().unwrap_err()), "{all:?}");
        first.join()
    })
    .unwrap();
}

/// GATHER-08: cancelling the caller cancels all calls; it goes on when all of them have ended.
#[test]
fn cancelling_the_caller_cancels_all_calls() {
    let log = Log::default();
    sim(|| {
        let start = now();
        let l = log.clone();
        let caller = spawn(move || {
            let result = gather([1, 2], |n| {
                let result = after(60);
                shield(secs(9), || sleep(secs(n)))?;
                l.say(n);
                result
            });
            l.say(format_args!("caller@{}", since(start)));
            result
        });
        sleep(secs(1))?;
        caller.cancel();
        assert!(is_cancelled(&caller.join().unwrap_err()));
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "1 2 caller@3");
}

/// GATHER-09 and GATHER-10: a cancelled caller waits for all calls; if any was cut short, it gets the cancellation and not
/// the list. If all of them have their values in spite of it, those are its values, and the cancel is met at the next call.
#[test]
fn a_cancelled_caller_gets_the_cancellation_unless_all_succeeded() {
    sim(|| {
        for succeed in [false, true] {
            let start = now();
            let caller = spawn(move || {
                let result = gather_all([1, 2], |n| {
                    let result = after(60);
                    shield(secs(9), || sleep(secs(n)))?;
                    if succeed { Ok(n) } else { result }
                });
                assert_eq!((since(start), current().cancelling()), (3.0, 1));
                assert!(yield_now().is_err());
                result.map(|all| all.len())
            });
            sleep(secs(1))?;
            caller.cancel();
            match caller.join() {
                Ok(n) => assert!(succeed && n == 2),
                Err(error) => assert!(!succeed && is_cancelled(&error)),
            }
            let swallowed = spawn(|| gather([1, 2], |n| Ok(after(60).unwrap_or(n))));
            yield_now()?;
            yield_now()?;
            swallowed.cancel();
            assert_eq!(swallowed.join()?, [1, 2]);
        }
        Ok(())
    })
    .unwrap();
}

/// GATHER-12: a shield around a gathering leaves the calls alone; gathering waits for tasks, cancelled, ends the waits and
/// leaves the tasks alone.
#[test]
fn shields_around_and_inside_a_gathering() {
    sim(|| {
        let around = spawn(|| {
            let values = shield(secs(60), || gather([1, 2], after))?;
            assert!(yield_now().is_err());
            Ok(values)
        });
        yield_now()?;
        yield_now()?;
        around.cancel();
        assert_eq!(around.join()?, [1, 2]);

        let tasks = [5, 6].map(|n| spawn(move || after(n)));
        let watched = tasks.each_ref().map(|task| task.task());
        let inside = spawn(move || gather(watched, |task| task.wait()));
        yield_now()?;
        yield_now()?;
        inside.cancel();
        assert!(is_cancelled(&inside.join().unwrap_err()));
        let [a, b] = tasks;
        assert_eq!((a.cancelling(), a.join()?, b.join()?), (0, 5, 6));
        Ok(())
    })
    .unwrap();
}
