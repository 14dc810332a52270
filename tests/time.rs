//! Time: order, precision, intervals, the virtual clock, and durations of all sizes.
//!
//! Ids in comments: Cx are rows of the table of faults, LOOP-xx and TASK-xx behaviours of asyncio.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{Log, watchdog};
use corio::net::{TcpListener, TcpStream};
use corio::observe::Names;
use corio::observe::event::{Event, Record};
use corio::{
    CancelScope, LoopHandle, MissedTicks, Runner, call_at, call_later, call_soon, interval, is_cancelled, is_timed_out,
    millis, now, run, secs, shield, sleep, sleep_until, spawn, timeout, timeout_at, yield_now,
};

fn virtually<T>(main: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    Runner::new().virtual_clock().run(main)
}

// ---- sleeping -------------------------------------------------------------------------------------------------------

#[test]
fn c02_a_sleep_is_never_early_on_the_real_clock() -> io::Result<()> {
    let _watchdog = watchdog();
    run(|| {
        let tasks: Vec<_> = (0..200_u64)
            .map(|n| {
                spawn(move || {
                    let d = Duration::from_micros(n * 37 % 5_000);
                    let start = Instant::now();
                    sleep(d)?;
                    assert!(start.elapsed() >= d, "{:?} < {d:?}", start.elapsed());
                    let deadline = now() + d;
                    sleep_until(deadline)?;
                    assert!(now() >= deadline);
                    Ok(())
                })
            })
            .collect();
        tasks.into_iter().try_for_each(corio::JoinHandle::join)
    })
}

/// LOOP-26: rounding goes up. A poll or two per sleep, not a spin.
#[test]
fn loop26_tiny_sleeps_end_after_a_handful_of_polls() -> io::Result<()> {
    let _watchdog = watchdog();
    let polls = Rc::new(Cell::new(0));
    let seen = polls.clone();
    let observer = move |record: &Record, _: &Names| {
        seen.set(seen.get() + u32::from(matches!(record.event, Event::PollEnter { .. })));
    };
    Runner::new().ctrl_c(false).observer(observer).run(move || {
        for nanos in [1, 10, 100, 999, 1_000, 999_999, 1_000_001] {
            let before = polls.get();
            let start = now();
            sleep(Duration::from_nanos(nanos))?;
            assert!(now() - start >= Duration::from_nanos(nanos));
            yield_now()?;
            assert!(polls.get() - before < 10, "{} polls for {nanos} ns", polls.get() - before);
        }
        Ok(())
    })
}

#[test]
fn c02_equal_deadlines_go_on_in_the_order_in_which_they_were_set() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let deadline = now() + secs(5);
        let tasks: Vec<_> = (0..50)
            .map(|n| {
                let trace = inside.clone();
                spawn(move || {
                    if n % 2 == 0 {
                        sleep(secs(5))?
                    } else {
                        sleep_until(deadline)?
                    }
                    trace.say(n.to_string());
                    Ok(())
                })
            })
            .collect();
        tasks.into_iter().try_for_each(corio::JoinHandle::join)
    })?;
    assert_eq!(trace.lines(), (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn c02_sleepers_wake_in_the_order_of_their_deadlines() -> io::Result<()> {
    let order = Rc::new(RefCell::new(Vec::new()));
    let inside = order.clone();
    virtually(move || {
        let start = now();
        let tasks: Vec<_> = (0..300_u64)
            .map(|n| {
                let order = inside.clone();
                spawn(move || {
                    // From nanoseconds to hours.
                    let d = Duration::from_nanos((n * 7_919 % 300 + 1).pow(5));
                    sleep(d)?;
                    assert_eq!(now() - start, d);
                    order.borrow_mut().push(d);
                    Ok(())
                })
            })
            .collect();
        tasks.into_iter().try_for_each(corio::JoinHandle::join)
    })?;
    let order = order.take();
    assert_eq!(order.len(), 300);
    assert!(order.is_sorted());
    Ok(())
}

#[test]
fn task03_a_sleep_of_nothing_gives_up_the_turn_exactly_once() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let tasks: Vec<_> = ["a", "b", "c"]
            .map(|name| {
                let trace = inside.clone();
                spawn(move || {
                    for n in 0..3 {
                        trace.say(format!("{name}{n}"));
                        sleep(Duration::ZERO)?;
                    }
                    Ok(())
                })
            })
            .into();
        tasks.into_iter().try_for_each(corio::JoinHandle::join)
    })?;
    assert_eq!(trace.lines(), ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]);
    Ok(())
}

#[test]
fn a_moment_in_the_past_lets_others_run_and_costs_no_time() -> io::Result<()> {
    let _watchdog = watchdog();
    for virtual_clock in [false, true] {
        let mut runner = if virtual_clock { Runner::new().virtual_clock() } else { Runner::new() };
        runner.run(|| {
            let ran = Rc::new(Cell::new(false));
            let other = ran.clone();
            drop(spawn(move || other.set(true)));
            let before = now();
            sleep_until(before)?;
            assert!(ran.get());
            if let Some(long_ago) = before.checked_sub(secs(1)) {
                sleep_until(long_ago)?;
                assert!(is_timed_out(&timeout_at(long_ago, yield_now).unwrap_err()));
            }
            if virtual_clock {
                assert_eq!(now(), before);
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn task05_a_cancelled_sleep_takes_its_timer_with_it() -> io::Result<()> {
    let timers = Rc::new(RefCell::new(Vec::new()));
    let seen = timers.clone();
    let observer = move |record: &Record, _: &Names| match record.event {
        Event::TimerArm { .. } => seen.borrow_mut().push("armed"),
        Event::TimerDrop { .. } => seen.borrow_mut().push("given up"),
        Event::TimerFire { .. } => seen.borrow_mut().push("fired"),
        _ => {}
    };
    Runner::new().virtual_clock().observer(observer).run(|| {
        let start = now();
        let sleeper = spawn(|| sleep(secs(3_600)));
        yield_now()?;
        sleeper.cancel();
        assert!(is_cancelled(&sleeper.join().unwrap_err()));
        assert_eq!(now(), start);
        Ok(())
    })?;
    assert_eq!(timers.take(), ["armed", "given up"]);
    Ok(())
}

// ---- enormous durations ---------------------------------------------------------------------------------------------

/// C1, LOOP-27: too long to count means never, in every call that takes time.
#[test]
fn c01_enormous_durations_mean_never_everywhere() -> io::Result<()> {
    let _watchdog = watchdog();
    let enormous =
        [Duration::MAX, secs(u64::MAX), Duration::from_nanos(u64::MAX), secs(u64::MAX / 1_000), secs(1 << 40)];
    for virtual_clock in [false, true] {
        for d in enormous {
            let runner = if virtual_clock { Runner::new().virtual_clock() } else { Runner::new() };
            runner.grace(d).run(|| {
                let start = now();
                assert!(is_timed_out(&timeout(millis(1), || sleep(d)).unwrap_err()));
                timeout(d, || sleep(millis(1)))?;
                shield(d, || sleep(millis(1)))?;
                let region = CancelScope::after(d);
                region.run(|| {
                    assert!(region.when().is_none_or(|when| when > start + secs(1 << 30)));
                    sleep(millis(1))
                })?;
                assert!(!region.expired());
                let late = call_later(d, || panic!("never"));
                sleep(millis(1))?;
                assert!(late.cancel());
                let mut ticks = interval(d);
                let first = ticks.next().unwrap()?;
                assert!(first >= start);
                assert!(is_timed_out(&timeout(millis(1), || ticks.next().unwrap()).unwrap_err()));
                for policy in [MissedTicks::Skip, MissedTicks::Burst, MissedTicks::Delay] {
                    let mut ticks = interval(d).missed(policy);
                    ticks.next().unwrap()?;
                    sleep(millis(1))?;
                    assert!(is_timed_out(&timeout(millis(1), || ticks.next().unwrap()).unwrap_err()));
                }
                if let Some(far) = start.checked_add(d) {
                    assert!(is_timed_out(&timeout(millis(1), || sleep_until(far)).unwrap_err()));
                    timeout_at(far, || sleep(millis(1)))?;
                    assert!(call_at(far, || panic!("never")).cancel());
                    let region = CancelScope::new();
                    region.run(|| {
                        region.reschedule(Some(far));
                        region.reschedule(None);
                        region.reschedule(Some(far));
                        sleep(millis(1))
                    })?;
                }
                assert!(now() - start < secs(60));
                Ok(())
            })?;
        }
    }
    Ok(())
}

#[test]
fn c01_the_virtual_clock_may_go_to_the_end_of_time() -> io::Result<()> {
    let age = Duration::from_nanos(u64::MAX - 1);
    virtually(move || {
        sleep(age)?;
        // Nothing can be later than this, so nothing that waits for later can end.
        let sleeper = spawn(|| sleep(secs(1)));
        yield_now()?;
        yield_now()?;
        assert!(!sleeper.is_done());
        sleeper.cancel();
        assert!(is_cancelled(&sleeper.join().unwrap_err()));
        yield_now()
    })
}

// ---- intervals ------------------------------------------------------------------------------------------------------

/// At which second the ticks come if the second one is followed by `busy` of work, and what each item says.
fn ticks(policy: MissedTicks, busy: Duration) -> io::Result<Vec<(u128, u128)>> {
    virtually(move || {
        let start = now();
        let mut seen = Vec::new();
        for tick in interval(secs(1)).missed(policy).take(7) {
            seen.push(((tick? - start).as_millis(), (now() - start).as_millis()));
            if seen.len() == 2 {
                sleep(busy)?;
            }
        }
        Ok(seen)
    })
}

#[test]
fn c05_an_interval_that_is_late_follows_its_policy() -> io::Result<()> {
    let on_time = |times: &[u128]| times.iter().map(|t| (*t, *t)).collect::<Vec<_>>();
    let steady = on_time(&[0, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000]);
    for policy in [MissedTicks::Skip, MissedTicks::Burst, MissedTicks::Delay] {
        assert_eq!(ticks(policy, millis(0))?, steady);
        assert_eq!(ticks(policy, millis(999))?, steady);
        assert_eq!(ticks(policy, millis(1_000))?, steady, "{policy:?}: exactly on time is not late");
    }
    let skipped = on_time(&[0, 1_000, 4_000, 5_000, 6_000, 7_000, 8_000]);
    assert_eq!(ticks(MissedTicks::Skip, millis(2_500))?, skipped);
    // Three seconds of work end exactly at a tick: that one is not missed.
    assert_eq!(ticks(MissedTicks::Skip, millis(3_000))?, skipped);
    let burst =
        [(0, 0), (1_000, 1_000), (2_000, 3_500), (3_000, 3_500), (4_000, 4_000), (5_000, 5_000), (6_000, 6_000)];
    assert_eq!(ticks(MissedTicks::Burst, millis(2_500))?, burst);
    let delayed = on_time(&[0, 1_000, 4_500, 5_500, 6_500, 7_500, 8_500]);
    assert_eq!(ticks(MissedTicks::Delay, millis(2_500))?, delayed);
    Ok(())
}

#[test]
fn a_cancelled_interval_gives_one_error_and_then_ends() -> io::Result<()> {
    virtually(|| {
        let ticker = spawn(|| {
            let mut errors = 0;
            for tick in interval(secs(1)) {
                errors += u32::from(tick.is_err()); // ignores what it is told
            }
            Ok(errors)
        });
        sleep(millis(3_500))?;
        ticker.cancel();
        assert_eq!(ticker.join()?, 1);
        Ok(())
    })
}

#[test]
#[should_panic(expected = "longer than nothing")]
fn an_interval_of_nothing_is_refused() {
    let _ = interval(Duration::ZERO);
}

#[test]
fn off_the_loop_sleeps_and_intervals_take_the_threads_time() -> io::Result<()> {
    let start = Instant::now();
    sleep(millis(3))?;
    sleep_until(start + millis(6))?;
    sleep_until(start)?;
    assert!(start.elapsed() >= millis(6));
    let ticks = interval(millis(2)).missed(MissedTicks::Burst).take(3).collect::<io::Result<Vec<_>>>()?;
    assert_eq!(ticks[2] - ticks[0], millis(4));
    assert!(ticks[2] <= Instant::now());
    Ok(())
}

// ---- the virtual clock ----------------------------------------------------------------------------------------------

#[test]
fn c03_the_virtual_clock_jumps_from_timer_to_timer_and_stands_still_in_between() -> io::Result<()> {
    let real = Instant::now();
    virtually(|| {
        let start = now();
        for _ in 0..1_000 {
            yield_now()?;
        }
        assert_eq!(now(), start);
        sleep(secs(86_400 * 365))?;
        assert_eq!(now() - start, secs(86_400 * 365));
        timeout(secs(5), || sleep(secs(3)))?;
        assert!(is_timed_out(&timeout(secs(5), || sleep(secs(7))).unwrap_err()));
        assert_eq!(now() - start, secs(86_400 * 365 + 8));
        Ok(())
    })?;
    assert!(real.elapsed() < secs(60));
    Ok(())
}

#[test]
fn c03_after_a_jump_everything_that_is_due_runs_in_order() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        for n in [3_u64, 1, 2] {
            let trace = inside.clone();
            call_later(secs(n), move || trace.say(format!("call {n}")));
            let trace = inside.clone();
            drop(spawn(move || {
                sleep(secs(n))?;
                trace.say(format!("task {n}"));
                Ok(())
            }));
        }
        sleep(secs(10))
    })?;
    assert_eq!(trace.lines(), ["call 1", "task 1", "call 2", "task 2", "call 3", "task 3"]);
    Ok(())
}

/// While somebody waits for a socket, the answer may still come: then time passes as it really does.
#[test]
fn the_virtual_clock_waits_for_real_sockets() -> io::Result<()> {
    let _watchdog = watchdog();
    let real = Instant::now();
    virtually(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let peer = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(address)?;
            std::thread::sleep(millis(30));
            stream.write_all(b"late")
        });
        let (mut stream, _) = listener.accept()?;
        // The limit is not reached: the clock does not jump over the peer.
        let mut word = [0; 4];
        timeout(secs(3_600), || stream.read_exact(&mut word))?;
        assert_eq!(&word, b"late");
        peer.join().unwrap()?;

        // Nobody waits for the socket any more: an hour takes no time.
        let before = now();
        sleep(secs(3_600))?;
        assert_eq!(now() - before, secs(3_600));
        Ok(())
    })?;
    assert!(real.elapsed() >= millis(30) && real.elapsed() < secs(60));
    Ok(())
}

#[test]
fn the_virtual_clock_waits_for_a_limit_on_a_real_socket() -> io::Result<()> {
    let _watchdog = watchdog();
    let real = Instant::now();
    virtually(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let _client = TcpStream::connect(listener.local_addr()?)?;
        let (mut stream, _) = listener.accept()?;
        let before = now();
        stream.set_read_timeout(Some(millis(20)))?;
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(now() - before >= millis(20));
        Ok(())
    })?;
    assert!(real.elapsed() >= millis(20));
    Ok(())
}

/// A handle on another thread may speak at any moment; when the last one is gone, the clock jumps again.
#[test]
fn the_virtual_clock_waits_for_other_threads() -> io::Result<()> {
    let _watchdog = watchdog();
    virtually(|| {
        let handle = LoopHandle::current()?;
        let heard = Rc::new(Cell::new(false));
        thread_local!(static HEARD: RefCell<Option<Rc<Cell<bool>>>> = const { RefCell::new(None) });
        HEARD.set(Some(heard.clone()));
        let thread = std::thread::spawn(move || {
            std::thread::sleep(millis(10));
            handle.call_soon(|| HEARD.with_borrow(|heard| heard.as_ref().unwrap().set(true)))
        });
        let start = now();
        sleep(secs(3_600))?;
        assert!(heard.get(), "the clock jumped over a thread that had something to say");
        assert!(now() - start >= secs(3_600));
        thread.join().unwrap()?;
        HEARD.take();
        Ok(())
    })
}

#[test]
fn a_run_on_the_virtual_clock_is_the_same_each_time() -> io::Result<()> {
    let once = || -> io::Result<Vec<String>> {
        let trace = Log::default();
        let inside = trace.clone();
        virtually(move || {
            let start = now();
            let tasks: Vec<_> = (0..40_u64)
                .map(|n| {
                    let trace = inside.clone();
                    spawn(move || {
                        for round in 0..5 {
                            let result = timeout(millis(n * 13 % 50 + 1), || sleep(millis(n * 29 % 61 + round)));
                            trace.say(format!("{n}.{round} {} {:?}", result.is_ok(), now() - start));
                        }
                        Ok(())
                    })
                })
                .collect();
            tasks.into_iter().try_for_each(corio::JoinHandle::join)
        })?;
        Ok(trace.lines())
    };
    let first = once()?;
    assert_eq!(first.len(), 200);
    assert_eq!(once()?, first);
    Ok(())
}

// ---- callbacks ------------------------------------------------------------------------------------------------------

#[test]
fn loop01_callbacks_run_in_order_and_what_they_schedule_runs_a_turn_later() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        for n in 0..3 {
            let trace = inside.clone();
            call_soon(move || {
                trace.say(format!("call {n}"));
                let later = trace.clone();
                call_soon(move || later.say(format!("nested {n}")));
            });
        }
        yield_now()?;
        inside.say("task");
        yield_now()?;
        inside.say("task again");
        Ok(())
    })?;
    let expected =
        ["call 0", "call 1", "call 2", "task", "nested 0", "nested 1", "nested 2", "task again"].map(String::from);
    assert_eq!(trace.lines(), expected);
    Ok(())
}

#[test]
fn loop03_timers_that_are_due_come_behind_what_was_ready_and_in_the_order_of_their_deadlines() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        sleep(secs(10))?; // so that there is a past
        let at = now();
        let say = |what: &'static str| {
            let trace = inside.clone();
            move || trace.say(what)
        };
        call_at(at, say("now"));
        call_at(at - secs(1), say("a second ago"));
        call_at(at - secs(2), say("two seconds ago"));
        call_later(Duration::ZERO, say("in no time"));
        call_soon(say("soon"));
        sleep(millis(1))
    })?;
    assert_eq!(trace.lines(), ["soon", "two seconds ago", "a second ago", "now", "in no time"]);
    Ok(())
}

#[test]
fn loop04_a_callback_is_never_early_and_its_handle_tells() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let start = now();
        let said = inside.clone();
        let handle = call_later(millis(1_500), move || said.say(format!("{:?}", now() - start)));
        sleep(millis(1_499))?;
        assert!(!handle.is_done());
        sleep(millis(2))?;
        assert!(handle.is_done() && !handle.cancel());
        Ok(())
    })?;
    assert_eq!(trace.lines(), ["1.5s"]);
    Ok(())
}

#[test]
fn loop06_equal_deadlines_call_in_the_order_of_registration() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let at = now() + secs(1);
        for n in 0..100 {
            let trace = inside.clone();
            call_at(at, move || trace.say(n.to_string()));
        }
        sleep(secs(2))
    })?;
    assert_eq!(trace.lines(), (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn loop07_a_callback_that_is_cancelled_is_never_called_even_if_its_turn_has_come() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let victims: Rc<RefCell<Vec<corio::TimerHandle>>> = Rc::default();
        let (killer, said) = (victims.clone(), inside.clone());
        // All three are due at the same moment: the first takes the others back while they are ready.
        call_later(secs(1), move || {
            for victim in killer.borrow().iter() {
                assert!(victim.cancel() && victim.is_done() && !victim.cancel());
            }
            said.say("cancelled");
        });
        for n in 0..2 {
            let (said, captured) = (inside.clone(), inside.at_drop(format!("captures {n}")));
            victims.borrow_mut().push(call_later(secs(1), move || {
                let _captured = &captured;
                said.say("called");
            }));
        }
        let soon = call_soon(|| panic!("never"));
        assert!(soon.cancel());
        sleep(secs(2))
    })?;
    assert_eq!(trace.lines(), ["captures 0", "captures 1", "cancelled"]);
    Ok(())
}

#[test]
fn loop08_a_cancelled_timer_does_not_hold_the_clock_up() -> io::Result<()> {
    virtually(|| {
        let start = now();
        let early = call_later(secs(1), || panic!("never"));
        assert!(early.cancel());
        sleep(secs(5))?;
        assert_eq!(now() - start, secs(5));
        Ok(())
    })
}

#[test]
fn c04_a_hundred_thousand_timers_most_of_them_cancelled() -> io::Result<()> {
    let _watchdog = watchdog();
    virtually(|| {
        let fired = Rc::new(Cell::new(0));
        for round in 0..10_u64 {
            let handles: Vec<_> = (0..10_000_u64)
                .map(|n| {
                    let fired = fired.clone();
                    call_later(millis(n * 7 % 5_000 + round), move || fired.set(fired.get() + 1))
                })
                .collect();
            let cancelled = handles.iter().enumerate().filter(|(n, _)| n % 10 != 0).filter(|(_, h)| h.cancel()).count();
            assert_eq!(cancelled, 9_000);
        }
        sleep(secs(6))?;
        assert_eq!(fired.get(), 10_000);
        Ok(())
    })
}

#[test]
fn loop19_a_callback_that_panics_is_logged_and_the_loop_goes_on() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let (before, after) = (inside.clone(), inside.clone());
        call_soon(move || before.say("before"));
        call_soon(|| panic!("a callback's"));
        call_later(millis(1), || std::panic::panic_any(7));
        call_later(millis(1), move || after.say("after"));
        sleep(millis(2))
    })?;
    assert_eq!(trace.lines(), ["before", "after"]);
    Ok(())
}

/// PORT-02, PORT-03: a callback runs on the loop; nobody could wait there.
#[test]
fn port02_waiting_in_a_callback_is_a_clear_error() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let said = inside.clone();
        let task = spawn(|| sleep(secs(1)));
        let watched = task.task();
        call_soon(move || {
            type Wait = fn() -> io::Result<()>;
            let waits: [(&str, Wait); 6] = [
                ("sleep", || sleep(secs(1))),
                ("sleep nothing", || sleep(Duration::ZERO)),
                ("sleep until", || sleep_until(now())),
                ("yield", yield_now),
                ("scope", || corio::scope(|_| Ok(()))),
                ("timeout", || timeout(secs(1), || Ok(()))),
            ];
            for (name, wait) in waits {
                let error = wait().unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}: {error}");
            }
            assert_eq!(watched.wait().unwrap_err().kind(), io::ErrorKind::InvalidInput);
            assert!(interval(secs(1)).next().unwrap().is_err());
            assert!(run(|| Ok(())).is_err());
            assert!(corio::try_current().is_none() && corio::cancel_cause().is_none());
            // But it may spawn, and time passes for what it spawned.
            let ran = said.clone();
            drop(spawn(move || {
                sleep(secs(2))?;
                ran.say("spawned");
                Ok(())
            }));
            said.say("callback");
        });
        task.join()?;
        sleep(secs(2))
    })?;
    assert_eq!(trace.lines(), ["callback", "spawned"]);
    Ok(())
}

#[test]
fn loop24_an_endless_chain_of_callbacks_starves_neither_timers_nor_sockets() -> io::Result<()> {
    let _watchdog = watchdog();
    fn chain(stop: Rc<Cell<bool>>) {
        if !stop.get() {
            call_soon(move || chain(stop));
        }
    }
    run(|| {
        let stop = Rc::new(Cell::new(false));
        chain(stop.clone());
        sleep(millis(5))?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let client = std::thread::spawn(move || std::net::TcpStream::connect(address)?.write_all(b"hello"));
        let mut text = String::new();
        listener.accept()?.0.read_to_string(&mut text)?;
        assert_eq!(text, "hello");
        client.join().unwrap()?;
        stop.set(true);
        Ok(())
    })
}

/// LOOP-16: what was never called is dropped with the run; its destructor may do what it likes.
#[test]
fn loop16_callbacks_that_are_left_are_dropped_uncalled_with_the_run() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    let kept = virtually(move || {
        let captured = inside.at_drop("dropped");
        call_later(secs(60), move || drop(captured));
        let held = inside.at_drop("held by a handle");
        Ok(call_later(secs(60), move || drop(held)))
    })?;
    let mut dropped = trace.lines();
    dropped.sort();
    assert_eq!(dropped, ["dropped", "held by a handle"]);
    assert!(kept.is_done() && !kept.cancel());
    Ok(())
}

/// A handle of an earlier run names a timer of that run, and no other.
#[test]
fn a_handle_of_an_earlier_run_takes_nothing_from_this_one() -> io::Result<()> {
    let kept: Vec<_> = virtually(|| Ok((1..=8).map(|n| call_later(secs(n), || ())).collect()))?;
    virtually(move || {
        let sleeper = spawn(|| sleep(secs(1)));
        let fired = Rc::new(Cell::new(0));
        for n in 1..=4 {
            let fired = fired.clone();
            call_later(secs(n), move || fired.set(fired.get() + 1));
        }
        yield_now()?;
        for handle in &kept {
            handle.cancel();
        }
        sleep(secs(9))?;
        assert_eq!(fired.get(), 4);
        sleeper.join()
    })
}

#[test]
#[should_panic(expected = "needs a running loop")]
fn loop17_a_callback_outside_a_loop_is_refused() {
    let _ = call_soon(|| ());
}
