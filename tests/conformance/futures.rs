//! FUT: a value that is set once. asyncio's `Future` is `Promise`. Those of other threads stand in `threads`.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use crate::common::{Log, logged, only, sim};
use corio::{Promise, call_soon, current, is_cancelled, millis, secs, sleep, spawn, timeout, yield_now};

fn own() -> io::Error {
    io::Error::other("own")
}

/// FUT-01: a new promise is neither done nor cancelled, and has neither a value nor an error.
#[test]
fn a_new_promise_has_nothing() {
    sim(|| {
        let promise = Promise::<u32>::new();
        assert!(!promise.is_done() && !promise.cancelled());
        assert!(promise.try_take().is_none() && promise.error().is_none());
        Ok(())
    })
    .unwrap();
}

/// FUT-02: a value is there as often as it is asked for, and there is no error.
#[test]
fn a_value_can_be_read_again_and_again() {
    sim(|| {
        let promise = Promise::new();
        promise.set(5).unwrap();
        assert!(promise.is_done() && !promise.cancelled() && promise.error().is_none());
        assert_eq!((promise.get()?, promise.get()?), (5, 5));
        // Who takes it takes it away: for values that cannot be copied.
        assert_eq!(promise.take()?, 5);
        assert_eq!(promise.take().unwrap_err().kind(), ErrorKind::InvalidInput);
        Ok(())
    })
    .unwrap();
}

/// FUT-03: a promise that failed is done and not cancelled; the error is what every read gives.
#[test]
fn an_error_is_what_every_read_gives() {
    sim(|| {
        let promise = Promise::<u32>::new();
        promise.fail(io::Error::new(ErrorKind::NotFound, "own")).unwrap();
        assert!(promise.is_done() && !promise.cancelled());
        for error in [promise.get().unwrap_err(), promise.take().unwrap_err(), promise.error().unwrap()] {
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::NotFound, "own"));
        }
        assert!(promise.try_take().unwrap().is_err());
        Ok(())
    })
    .unwrap();
}

/// FUT-04: what comes second is given back, and changes nothing.
#[test]
fn the_first_outcome_stays() {
    sim(|| {
        let promise = Promise::new();
        promise.set(1).unwrap();
        assert_eq!(promise.set(2), Err(2));
        assert_eq!(promise.fail(own()).unwrap_err().to_string(), "own");
        assert_eq!(promise.get()?, 1);
        let failed = Promise::new();
        failed.fail(own()).unwrap();
        assert_eq!(failed.set(3), Err(3));
        assert_eq!(failed.get().unwrap_err().to_string(), "own");
        Ok(())
    })
    .unwrap();
}

/// FUT-05 and FUT-06: cancelling a promise that is not done makes it so: its value and its error are a cancellation. A
/// promise that is done cannot be cancelled.
#[test]
fn only_what_is_not_done_can_be_cancelled() {
    sim(|| {
        let promise = Promise::<u32>::new();
        assert!(promise.cancel());
        assert!(promise.is_done() && promise.cancelled());
        assert!(is_cancelled(&promise.get().unwrap_err()) && is_cancelled(&promise.error().unwrap()));
        assert!(!promise.cancel());
        assert_eq!(current().cancelling(), 0, "the promise was cancelled, and not the task");
        let kept = Promise::new();
        kept.set(1).unwrap();
        assert!(!kept.cancel() && !kept.cancelled());
        assert_eq!(kept.get()?, 1);
        Ok(())
    })
    .unwrap();
}

/// FUT-07: whoever sets a promise that was cancelled gets the value back, and may ignore that.
#[test]
fn setting_a_cancelled_promise_gives_the_value_back() {
    sim(|| {
        let promise = Promise::new();
        promise.cancel();
        assert_eq!(promise.set(1), Err(1));
        assert!(promise.fail(own()).is_err());
        assert!(promise.cancelled());
        Ok(())
    })
    .unwrap();
}

/// FUT-08, FUT-09 and FUT-10: no callback runs inside `set`. Those that were added are queued then, in their order; one
/// that is added later is queued later, behind what was queued in between; and never is one called at once.
#[test]
fn callbacks_are_queued_in_their_order() {
    let log = Log::default();
    sim(|| {
        let promise = Promise::new();
        let say = |line: &'static str| {
            let log = log.clone();
            move |promise: &Promise<u32>| {
                assert!(promise.is_done());
                log.say(line);
            }
        };
        promise.on_done(say("one"));
        promise.on_done(say("two"));
        promise.set(1).unwrap();
        let l = log.clone();
        call_soon(move || l.say("between"));
        promise.on_done(say("three"));
        assert_eq!(log.take(), "");
        yield_now()?;
        assert_eq!(log.take(), "one two between three");
        Ok(())
    })
    .unwrap();
}

/// FUT-12: a callback that fails is reported, and the others run.
#[test]
fn a_callback_that_fails_does_not_concern_the_others() {
    let log = Log::default();
    let ((), lines) = logged(|| {
        sim(|| {
            let promise = Promise::new();
            for n in 0..3 {
                let log = log.clone();
                promise.on_done(move |_| {
                    assert!(n != 1, "the second callback");
                    log.say(n);
                });
            }
            promise.set(()).unwrap();
            yield_now()
        })
        .unwrap();
    });
    assert_eq!(log.take(), "0 2");
    only(&lines, "ERROR", &["callback", "the second callback"]);
}

/// FUT-13: waiting for a promise that is done does not pause: a callback that is due runs only at the next real pause.
#[test]
fn a_promise_that_is_done_is_passed_at_once() {
    sim(|| {
        let promise = Promise::new();
        promise.set(1).unwrap();
        let called = Rc::new(Cell::new(false));
        let c = called.clone();
        call_soon(move || c.set(true));
        assert_eq!((promise.get()?, promise.get()?, called.get()), (1, 1, false));
        yield_now()?;
        assert!(called.get());
        Ok(())
    })
    .unwrap();
}

/// FUT-14: all who wait go on, in the order in which they came, each with the outcome.
#[test]
fn all_who_wait_go_on_in_order() {
    for fails in [false, true] {
        let log = Log::default();
        sim(|| {
            let promise = Promise::new();
            let waiters: Vec<_> = (0..4)
                .map(|n| {
                    let (promise, log) = (promise.clone(), log.clone());
                    spawn(move || {
                        match promise.get() {
                            Ok(value) => log.say(format_args!("{n}:{value}")),
                            Err(error) => log.say(format_args!("{n}:{error}")),
                        }
                        Ok(())
                    })
                })
                .collect();
            yield_now()?;
            if fails {
                promise.fail(own()).unwrap()
            } else {
                promise.set("value").unwrap()
            }
            waiters.into_iter().try_for_each(corio::JoinHandle::join)
        })
        .unwrap();
        let what = if fails { "own" } else { "value" };
        assert_eq!(log.take(), (0..4).map(|n| format!("{n}:{what}")).collect::<Vec<_>>().join(" "));
    }
}

/// FUT-15: an error that nobody looked at is reported once, when the promise is dropped; a look, or giving the promise up,
/// silences it.
#[test]
fn an_error_that_nobody_saw_is_reported_once() {
    let ((), lines) = logged(|| {
        sim(|| {
            let failed = |text: &'static str| {
                let promise = Promise::<u32>::new();
                promise.fail(io::Error::other(text)).unwrap();
                promise
            };
            drop(failed("unseen"));
            assert!(failed("read").get().is_err());
            assert!(failed("asked for").error().is_some());
            assert!(failed("taken").try_take().unwrap().is_err());
            assert!(!failed("given up").cancel());
            let cancelled = Promise::<u32>::new();
            cancelled.cancel();
            Ok(())
        })
        .unwrap();
    });
    only(&lines, "ERROR", &["unseen", "tests/conformance/futures.rs"]);
    assert_eq!(lines.iter().filter(|line| line.starts_with("ERROR")).count(), 1, "{lines:#?}");
}

/// FUT-16: a promise belongs to no loop: it may outlive a run, and be waited for and set in the next. It never leaves its
/// thread, so two loops cannot have waiters for it at the same time.
#[test]
fn a_promise_may_go_from_run_to_run() {
    let promise = Promise::new();
    assert!(sim(|| timeout(secs(1), || promise.get())).is_err());
    let value = sim(|| {
        let p = promise.clone();
        spawn(move || p.set(7).map_err(|_| own()));
        promise.get()
    });
    assert_eq!(value.unwrap(), 7);
    assert_eq!(promise.get().unwrap(), 7, "also where no loop runs: it is there");
}

/// FUT-19: a promise that failed with a cancellation has failed: it was not cancelled.
#[test]
fn a_promise_that_failed_with_a_cancellation_was_not_cancelled() {
    sim(|| {
        let victim = spawn(|| sleep(secs(60)));
        victim.cancel();
        let promise = Promise::<u32>::new();
        promise.fail(victim.join().unwrap_err()).unwrap();
        assert!(is_cancelled(&promise.get().unwrap_err()) && !promise.cancelled());
        Ok(())
    })
    .unwrap();
}

/// FUT-20: when the last of those who owe the value is gone, all who wait are told, instead of waiting for ever.
#[test]
fn a_broken_promise_is_told() {
    sim(|| {
        let (resolver, promise) = Promise::<u32>::pair();
        let second = resolver.clone();
        let waiters = [0, 1].map(|_| {
            let promise = promise.clone();
            spawn(move || promise.get())
        });
        yield_now()?;
        drop(resolver);
        sleep(millis(1))?;
        assert!(waiters.iter().all(|waiter| !waiter.is_done()), "there is still one");
        drop(second);
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap_err().kind(), ErrorKind::BrokenPipe);
        }
        Ok(())
    })
    .unwrap();
}

/// A waiter that is cancelled leaves the promise alone, for the others.
#[test]
fn a_cancelled_waiter_leaves_the_promise_alone() {
    sim(|| {
        let promise = Promise::new();
        let (a, b) = (promise.clone(), promise.clone());
        let (one, two) = (spawn(move || a.get()), spawn(move || b.get()));
        yield_now()?;
        one.cancel();
        assert!(is_cancelled(&one.join().unwrap_err()));
        assert!(!promise.is_done());
        promise.set(3).unwrap();
        assert_eq!(two.join()?, 3);
        Ok(())
    })
    .unwrap();
}
