//! LOOP: callbacks, timers, and other threads. More in `tests/time.rs` and `tests/loop_handle.rs`.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Instant;

use crate::common::{Log, logged, only, panic_of, runner, sim, since};
use corio::{
    Builder, LoopHandle, call_at, call_later, call_soon, current, millis, now, run, secs, sleep, spawn, yield_now,
};

/// LOOP-05: deadlines that are past run in the next turn, behind what was ready, by deadline and not by registration.
#[test]
fn past_deadlines_run_next_in_the_order_of_the_deadlines() {
    let log = Log::default();
    sim(|| {
        sleep(secs(10))?; // so that there is a past
        let say = |name: &'static str| {
            let log = log.clone();
            move || log.say(name)
        };
        call_soon(say("soon"));
        call_at(now() - secs(1), say("a"));
        call_at(now() - secs(2), say("b"));
        call_later(secs(0), say("zero"));
        let start = now();
        sleep(millis(1))?;
        assert_eq!(since(start), 0.001);
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "soon b a zero");
}

/// LOOP-17: what schedules something needs a loop that is not gone; a handle of one that is gone says so.
#[test]
fn without_a_loop_nothing_is_scheduled() {
    let handle = sim(LoopHandle::current).unwrap();
    assert_eq!(handle.call_soon(|| ()).unwrap_err().kind(), ErrorKind::BrokenPipe);
    for text in [
        panic_of(|| call_soon(|| ())),
        panic_of(|| call_later(secs(1), || ())),
        panic_of(|| call_at(now(), || ())),
        panic_of(|| spawn(|| ())),
        panic_of(|| Builder::new().spawn(|| ())),
    ] {
        assert!(text.contains("loop"), "{text}");
    }
}

/// LOOP-18: the running loop is found in tasks and callbacks, and not outside a run; its handle tells when it is gone.
#[test]
fn the_running_loop_is_found_inside_the_run_only() {
    assert_eq!(LoopHandle::current().unwrap_err().kind(), ErrorKind::NotFound);
    let handle = sim(|| {
        let seen = Rc::new(Cell::new(false));
        let s = seen.clone();
        call_soon(move || s.set(LoopHandle::current().is_ok_and(|lp| !lp.is_closed())));
        yield_now()?;
        assert!(seen.get());
        LoopHandle::current()
    })
    .unwrap();
    assert!(handle.is_closed());
    assert_eq!(LoopHandle::current().unwrap_err().kind(), ErrorKind::NotFound);
}

/// LOOP-25: the clock never goes back and counts seconds; it is not the time of day: a virtual one stands still.
#[test]
fn the_clock_is_monotonic_and_not_the_time_of_day() {
    run(|| {
        let mut last = now();
        for _ in 0..1_000 {
            yield_now()?;
            let this = now();
            assert!(this >= last);
            last = this;
        }
        Ok(())
    })
    .unwrap();
    let real = Instant::now();
    sim(|| {
        let start = now();
        sleep(secs(1_000_000))?;
        assert_eq!(since(start), 1e6);
        assert!(real.elapsed() < secs(1_000));
        call_at(start, || ()); // long past, and legal
        sleep(millis(1))
    })
    .unwrap();
}

/// LOOP-27: a delay of years, or without end, overflows nothing and does not fire meanwhile.
#[test]
fn a_delay_of_years_does_not_fire_meanwhile() {
    sim(|| {
        let fired = Rc::new(Cell::new(0));
        let late: Vec<_> = [secs(u64::MAX), secs(1 << 40), std::time::Duration::MAX, secs(100 * 365 * 86_400)]
            .map(|delay| {
                let fired = fired.clone();
                call_later(delay, move || fired.set(fired.get() + 1))
            })
            .into();
        sleep(secs(3_600))?;
        assert_eq!(fired.get(), 0);
        assert!(late.iter().all(|handle| !handle.is_done() && handle.cancel()));
        Ok(())
    })
    .unwrap();
}

/// LOOP-31: there is no error that ends the loop from inside a callback: a panic is logged, and the loop goes on. What
/// asyncio does for Ctrl-C is the interrupt of main here.
#[test]
fn a_callbacks_panic_does_not_leave_the_run() {
    let (result, lines) = logged(|| {
        runner().run(|| {
            call_soon(|| panic!("fatal"));
            sleep(secs(1))?;
            Ok(current().id())
        })
    });
    assert_eq!(result.unwrap(), 1);
    only(&lines, "ERROR", &["callback", "fatal", "tests/conformance/event_loop.rs"]);
}
