//! The loop from outside: calls from other threads, the end of a run, and what counts as hope.
//!
//! Ids in comments: Bx, Dx are rows of the table of faults, Rx rules of the design, LOOP-xx behaviours of asyncio.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use common::{Finally, Log, in_child, logged, only, panic_text, watchdog};
use corio::net::{TcpListener, TcpStream};
use corio::{
    LoopHandle, Runner, aio, all_tasks, call_later, call_soon, current, is_cancelled, millis, now, run, scope, secs,
    sleep, spawn, timeout, try_current, yield_now,
};

fn virtually<T>(main: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    Runner::new().virtual_clock().run(main)
}

// ---- calls from other threads ---------------------------------------------------------------------------------------

#[test]
fn loop22_a_sleeping_loop_wakes_and_calls_in_the_order_of_posting() -> io::Result<()> {
    let _watchdog = watchdog();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = heard.clone();
    run(move || {
        let home = thread::current().id();
        let handle = LoopHandle::current()?;
        let main = current();
        thread_local!(static MAIN: RefCell<Option<corio::Task>> = const { RefCell::new(None) });
        MAIN.set(Some(main));
        thread::spawn(move || {
            for n in 0..3 {
                let heard = heard.clone();
                handle
                    .call_soon(move || {
                        assert_eq!(thread::current().id(), home);
                        heard.lock().unwrap().push(n);
                    })
                    .unwrap();
            }
            handle.call_soon(|| assert!(MAIN.take().unwrap().cancel())).unwrap();
        });
        assert!(is_cancelled(&sleep(secs(3_600)).unwrap_err()));
        Ok(())
    })?;
    assert_eq!(*listener.lock().unwrap(), [0, 1, 2]);
    Ok(())
}

/// B12, LOOP-23: nothing lost, first in first out for each sender, and meanwhile timers and sockets are served.
#[test]
fn b12_a_storm_of_calls_loses_nothing_and_starves_nobody() -> io::Result<()> {
    let _watchdog = watchdog();
    const SENDERS: usize = 4;
    const CALLS: usize = 10_000;
    let seen = Arc::new(Mutex::new(vec![Vec::new(); SENDERS]));
    let served = run(|| {
        let handle = LoopHandle::current()?;
        let go = Arc::new(Barrier::new(SENDERS));
        let arrived = Arc::new(AtomicUsize::new(0));
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (handle, go, seen, arrived) = (handle.clone(), go.clone(), seen.clone(), arrived.clone());
                thread::spawn(move || {
                    go.wait();
                    for n in 0..CALLS {
                        let (seen, count) = (seen.clone(), arrived.clone());
                        let call = move || {
                            seen.lock().unwrap()[sender].push(n);
                            count.fetch_add(1, Ordering::SeqCst);
                        };
                        handle.call_soon(call).unwrap();
                        // Never far ahead of the loop: the storm lasts.
                        while n > arrived.load(Ordering::SeqCst) + 2_000 {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let served = Cell::new((0, 0));
        scope(|s| {
            let ticker = s.spawn(|| -> io::Result<()> {
                loop {
                    sleep(millis(1))?;
                    served.set((served.get().0 + 1, served.get().1));
                }
            });
            let echo = s.spawn(|| {
                let (stream, _) = listener.accept()?;
                io::copy(&mut &stream, &mut &stream).map(drop)
            });
            let mut stream = TcpStream::connect(address)?;
            while arrived.load(Ordering::SeqCst) < SENDERS * CALLS || served.get().1 < 3 || served.get().0 < 1 {
                stream.write_all(b"ping")?;
                stream.read_exact(&mut [0; 4])?;
                served.set((served.get().0, served.get().1 + 1));
            }
            drop(stream);
            echo.join()?;
            ticker.cancel();
            Ok(())
        })?;
        for sender in senders {
            sender.join().unwrap();
        }
        Ok(served.get())
    })?;
    assert!(served.0 >= 1 && served.1 >= 3, "{served:?}");
    for calls in &*seen.lock().unwrap() {
        assert!(calls.len() == CALLS && calls.is_sorted());
    }
    Ok(())
}

#[test]
fn a_call_may_spawn_what_waits_and_may_call_again() -> io::Result<()> {
    let _watchdog = watchdog();
    run(|| {
        let handle = LoopHandle::current()?;
        let (said, heard) = channel();
        let again = handle.clone();
        thread::spawn(move || {
            handle.call_soon(move || {
                assert!(try_current().is_none());
                drop(spawn(move || {
                    sleep(millis(1))?;
                    again.call_soon(move || said.send("through a task").unwrap())
                }));
            })
        });
        while heard.try_recv().is_err() {
            sleep(millis(1))?;
        }
        Ok(())
    })
}

#[test]
fn a_call_that_panics_is_logged_and_the_next_one_runs() -> io::Result<()> {
    let _watchdog = watchdog();
    let main = || {
        let handle = LoopHandle::current()?;
        let done = Arc::new(AtomicBool::new(false));
        let said = done.clone();
        thread::spawn(move || {
            handle.call_soon(|| panic!("on the loop")).unwrap();
            handle.call_soon(move || said.store(true, Ordering::SeqCst)).unwrap();
        });
        while !done.load(Ordering::SeqCst) {
            sleep(millis(1))?;
        }
        Ok(())
    };
    let (result, lines) = logged(|| run(main));
    only(&lines, "ERROR", &["on the loop", "tests/loop_handle.rs"]);
    result
}

/// A16, LOOP-17: afterwards a call is refused, and what it holds is dropped where it was made.
#[test]
fn a16_a_handle_of_a_loop_that_is_gone_says_so() -> io::Result<()> {
    let handle = run(|| {
        let handle = LoopHandle::current()?;
        assert!(!handle.is_closed());
        Ok(handle)
    })?;
    assert!(handle.is_closed());
    let dropped = Arc::new(AtomicBool::new(false));
    let said = dropped.clone();
    let captured = Finally(move || said.store(true, Ordering::SeqCst));
    let error = handle.call_soon(move || drop(captured)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert!(dropped.load(Ordering::SeqCst));
    let clone = handle.clone();
    drop(handle);
    thread::spawn(move || assert!(clone.call_soon(|| ()).is_err())).join().unwrap();
    assert_eq!(LoopHandle::current().unwrap_err().kind(), io::ErrorKind::NotFound);
    Ok(())
}

/// What came too late is dropped with the run. A destructor that panics there must not end the process.
#[test]
fn a_call_that_comes_too_late_is_dropped_uncalled() {
    let output = in_child("a_call_that_comes_too_late_is_dropped_uncalled", || {
        let dropped = Arc::new(AtomicUsize::new(0));
        let said = dropped.clone();
        let handle = run(move || {
            let handle = LoopHandle::current()?;
            for n in 0..3 {
                let said = said.clone();
                let captured = Finally(move || {
                    said.fetch_add(1, Ordering::SeqCst);
                    assert!(n != 1, "a destructor's own");
                });
                handle.call_soon(move || {
                    let _captured = &captured;
                    panic!("called");
                })?;
            }
            Ok(handle)
        })
        .unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), 3);
        assert!(handle.is_closed());
    });
    output.succeeded();
}

/// B12: what is posted is taken in by and by, however much it is.
#[test]
fn b12_a_heap_of_calls_is_done_in_several_turns() -> io::Result<()> {
    const CALLS: usize = 10_000;
    let done = Arc::new(AtomicUsize::new(0));
    run(|| {
        let (handle, count) = (LoopHandle::current()?, done.clone());
        let post = move || {
            for _ in 0..CALLS {
                let count = count.clone();
                handle.call_soon(move || _ = count.fetch_add(1, Ordering::SeqCst)).unwrap();
            }
        };
        thread::spawn(post).join().unwrap(); // the loop stands still meanwhile
        let mut before = 0;
        for turns in 0.. {
            yield_now()?;
            let now = done.load(Ordering::SeqCst);
            assert!(now - before <= 1_000, "{} calls between two turns of a task", now - before);
            before = now;
            if now == CALLS {
                assert!(turns >= 10);
                break;
            }
        }
        Ok(())
    })
}

/// B12: what other threads go on posting does not hold up the end of a run. It is the next one's.
#[test]
fn b12_a_run_ends_under_a_flood_of_calls() -> io::Result<()> {
    const AHEAD: usize = 2_000;
    let _watchdog = watchdog();
    let (made, gone) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut runner = Runner::new();
    let (thread, gone_by_then) = runner.run(|| {
        let (handle, posted, dropped) = (LoopHandle::current()?, made.clone(), gone.clone());
        let thread = thread::spawn(move || {
            for n in 0.. {
                let count = dropped.clone();
                let captured = Finally(move || _ = count.fetch_add(1, Ordering::SeqCst));
                posted.fetch_add(1, Ordering::SeqCst);
                if handle.call_soon(move || drop(captured)).is_err() {
                    break;
                }
                while n > dropped.load(Ordering::SeqCst) + AHEAD {
                    thread::yield_now();
                }
            }
        });
        sleep(millis(1))?;
        while made.load(Ordering::SeqCst) < AHEAD {
            yield_now()?;
        }
        Ok((thread, gone.load(Ordering::SeqCst)))
    })?;
    let after_main = gone.load(Ordering::SeqCst) - gone_by_then;
    runner.close();
    thread.join().unwrap();
    assert!(after_main <= 3 * AHEAD, "{after_main} calls were dropped before the run ended");
    assert_eq!(made.load(Ordering::SeqCst), gone.load(Ordering::SeqCst));
    Ok(())
}

#[test]
fn threads_that_post_while_the_run_ends_either_reach_it_or_are_refused() -> io::Result<()> {
    let _watchdog = watchdog();
    for _ in 0..30 {
        let (made, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, gone) = (made.clone(), ended.clone());
        let thread = run(move || {
            let handle = LoopHandle::current()?;
            let thread = thread::spawn(move || {
                loop {
                    count.fetch_add(1, Ordering::SeqCst);
                    let gone = gone.clone();
                    let captured = Finally(move || _ = gone.fetch_add(1, Ordering::SeqCst));
                    if handle.call_soon(move || drop(captured)).is_err() {
                        break;
                    }
                }
            });
            sleep(millis(1))?;
            Ok(thread)
        })?;
        thread.join().unwrap();
        assert_eq!(made.load(Ordering::SeqCst), ended.load(Ordering::SeqCst));
    }
    Ok(())
}

// ---- running --------------------------------------------------------------------------------------------------------

#[test]
fn loop12_run_gives_the_value_the_error_or_the_panic_of_main() {
    assert_eq!(run(|| Ok(7)).unwrap(), 7);
    assert_eq!(run(|| -> io::Result<()> { Err(io::Error::other("no")) }).unwrap_err().to_string(), "no");
    let payload = std::panic::catch_unwind(|| run(|| -> io::Result<()> { panic!("main's own") })).unwrap_err();
    assert_eq!(panic_text(&*payload), "main's own");
    assert!(is_cancelled(
        &run(|| {
            current().cancel();
            yield_now()
        })
        .unwrap_err()
    ));
}

#[test]
fn loop15_a_run_inside_a_run_is_refused_and_the_outer_one_goes_on() -> io::Result<()> {
    run(|| {
        assert_eq!(run(|| Ok(())).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let inner = spawn(|| run(|| Ok(())));
        assert_eq!(inner.join().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let elsewhere = thread::spawn(|| run(|| sleep(millis(1))));
        while !elsewhere.is_finished() {
            sleep(millis(1))?;
        }
        elsewhere.join().unwrap()?;
        assert_eq!(all_tasks().len(), 1);
        sleep(millis(1))
    })
}

#[test]
fn r05_a_run_while_the_thread_panics_is_refused() {
    let payload = std::panic::catch_unwind(|| {
        let _guard = Finally(|| {
            assert_eq!(run(|| Ok(())).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        });
        panic!("first");
    })
    .unwrap_err();
    assert_eq!(panic_text(&*payload), "first");
    run(|| sleep(millis(1))).unwrap();
}

#[test]
fn a_hundred_runs_leave_no_descriptor_behind() -> io::Result<()> {
    let output = in_child("a_hundred_runs_leave_no_descriptor_behind", || {
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let one = || {
            run(|| {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                let _client = TcpStream::connect(listener.local_addr()?)?;
                listener.accept().map(drop)
            })
            .unwrap();
        };
        one();
        let before = open();
        (0..100).for_each(|_| one());
        assert_eq!(open(), before);
    });
    if cfg!(target_os = "linux") {
        output.succeeded();
    }
    Ok(())
}

// ---- hope (D6, R18) -------------------------------------------------------------------------------------------------

fn is_deadlock<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::Deadlock)
}

#[test]
fn d06_two_tasks_that_wait_for_each_other_are_a_deadlock() {
    let trace = Log::default();
    let inside = trace.clone();
    let result = virtually(move || {
        let main = current();
        let said = inside.clone();
        let other = spawn(move || {
            let _local = said.at_drop("other");
            main.wait().inspect_err(|e| said.say(format!("cancelled: {}", is_cancelled(e))))
        });
        other.join()
    });
    assert!(is_deadlock(result));
    assert_eq!(trace.lines(), ["cancelled: true", "other"]);
}

#[test]
fn d06_the_report_names_the_tasks_and_where_they_wait() {
    let error = virtually(|| {
        let main = current();
        let philosopher = spawn(move || main.wait());
        philosopher.set_name("philosopher");
        philosopher.join()
    })
    .unwrap_err();
    let text = error.to_string();
    for word in ["main", "philosopher", "loop_handle.rs"] {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn d06_three_in_a_circle_and_bystanders() {
    let result = virtually(|| {
        let main = current();
        let first = spawn(move || main.wait());
        let first_task = first.task();
        let second = spawn(move || first_task.wait());
        drop(first);
        let done = spawn(|| sleep(secs(1)));
        done.join()?;
        second.join()
    });
    assert!(is_deadlock(result));
}

#[test]
fn work_of_its_own_that_a_loop_waits_for_does_not_hold_its_virtual_clock() {
    let _watchdog = watchdog();
    let elapsed = virtually(|| {
        let start = now();
        let here = LoopHandle::current()?;
        let joined = here.spawn(|| sleep(secs(3_600)));
        let awaited = here.spawn(|| sleep(secs(7_200)));
        drop(here);
        let joining = spawn(|| joined.join());
        aio::spawn_local(awaited.into_future()).join()?;
        joining.join()?;
        Ok(now() - start)
    });
    assert_eq!(elapsed.unwrap(), secs(7_200));
}

#[test]
fn d06_on_the_real_clock_it_is_found_at_once_as_well() {
    let _watchdog = watchdog();
    let result = run(|| {
        let main = current();
        spawn(move || main.wait()).join()
    });
    assert!(is_deadlock(result));
}

#[test]
fn d06_a_socket_that_nobody_waits_for_is_no_hope() {
    let _watchdog = watchdog();
    let result = run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let _ = timeout(millis(1), || listener.accept()); // registered from now on
        let main = current();
        spawn(move || main.wait()).join()
    });
    assert!(is_deadlock(result));
}

#[test]
fn d06_no_false_alarm_while_a_timer_runs() -> io::Result<()> {
    virtually(|| {
        let sleeper = spawn(|| sleep(secs(3_600)));
        sleeper.join()?;
        let flag = Rc::new(Cell::new(None));
        let (late, waiting) = (flag.clone(), spawn(|| sleep(secs(1 << 30))));
        let victim = waiting.task();
        call_later(secs(5), move || late.set(Some(victim.cancel())));
        assert!(is_cancelled(&waiting.join().unwrap_err()));
        assert_eq!(flag.get(), Some(true));
        Ok(())
    })
}

#[test]
fn d06_no_false_alarm_while_a_socket_is_waited_for() -> io::Result<()> {
    let _watchdog = watchdog();
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let peer = thread::spawn(move || {
            thread::sleep(millis(10));
            std::net::TcpStream::connect(address).map(drop)
        });
        listener.accept()?;
        peer.join().unwrap()
    })
}

#[test]
fn d06_no_false_alarm_while_a_name_is_looked_up() -> io::Result<()> {
    let _watchdog = watchdog();
    for _ in 0..20 {
        run(|| {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let port = listener.local_addr()?.port();
            TcpStream::connect(("localhost", port)).map(drop)
        })?;
        virtually(|| TcpListener::bind("localhost:0").map(drop))?;
    }
    Ok(())
}

/// While another thread holds a handle it may still speak; when the last handle is dropped, there is no hope left.
#[test]
fn d06_a_live_handle_is_hope_and_the_end_of_the_last_one_ends_it() {
    let _watchdog = watchdog();
    for virtual_clock in [false, true] {
        let mut runner = if virtual_clock { Runner::new().virtual_clock() } else { Runner::new() };
        let gone = Arc::new(AtomicBool::new(false));
        let said = gone.clone();
        let result = runner.run(move || {
            let handle = LoopHandle::current()?;
            thread::spawn(move || {
                thread::sleep(millis(10));
                let another = handle.clone();
                drop(handle);
                thread::sleep(millis(10));
                said.store(true, Ordering::SeqCst);
                drop(another);
            });
            let main = current();
            spawn(move || main.wait()).join()
        });
        assert!(is_deadlock(result));
        assert!(gone.load(Ordering::SeqCst), "a false alarm: a handle was alive");
    }
}

#[test]
fn d06_a_call_that_is_under_way_when_the_last_handle_is_dropped_is_hope() -> io::Result<()> {
    let _watchdog = watchdog();
    thread_local!(static VICTIM: RefCell<Option<corio::Task>> = const { RefCell::new(None) });
    for _ in 0..50 {
        run(|| {
            let handle = LoopHandle::current()?;
            let main = current();
            let waiting = spawn(move || main.wait());
            VICTIM.set(Some(waiting.task()));
            thread::spawn(move || handle.call_soon(|| assert!(VICTIM.take().unwrap().cancel())).unwrap());
            assert!(is_cancelled(&waiting.join().unwrap_err()));
            Ok(())
        })?;
    }
    Ok(())
}

/// The grace of a shutdown is no hope: what cannot end by itself is ended at once.
#[test]
fn d06_what_is_stuck_after_main_does_not_use_the_grace_up() -> io::Result<()> {
    let _watchdog = watchdog();
    let start = std::time::Instant::now();
    let trace = Log::default();
    let inside = trace.clone();
    Runner::new().grace(secs(3_600)).run(move || {
        let said = inside.clone();
        drop(spawn(move || {
            let _local = said.at_drop("deaf");
            let me = spawn(|| sleep(secs(3_600)));
            // Waits for a task that waits for nobody, in a shield: cancelled, but not told.
            corio::shield(secs(1), || me.wait())
        }));
        yield_now()?;
        yield_now()
    })?;
    assert!(start.elapsed() < secs(60));
    assert_eq!(trace.lines(), ["deaf"]);
    Ok(())
}

// ---- turns ----------------------------------------------------------------------------------------------------------

#[test]
fn r15_what_becomes_ready_in_a_turn_runs_in_the_next() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        for n in 0..3 {
            let said = inside.clone();
            drop(spawn(move || {
                said.say(format!("first {n}"));
                let later = said.clone();
                drop(spawn(move || later.say(format!("child {n}"))));
                let called = said.clone();
                call_soon(move || called.say(format!("call {n}")));
                yield_now()?;
                said.say(format!("second {n}"));
                Ok(())
            }));
        }
        sleep(secs(1))
    })?;
    let mut expected = Vec::new();
    expected.extend((0..3).map(|n| format!("first {n}")));
    for n in 0..3 {
        expected.extend([format!("child {n}"), format!("call {n}"), format!("second {n}")]);
    }
    assert_eq!(trace.lines(), expected);
    Ok(())
}

/// D2: tasks that are always ready let timers and sockets through.
#[test]
fn d02_tasks_that_are_always_ready_starve_neither_timers_nor_sockets() -> io::Result<()> {
    let _watchdog = watchdog();
    run(|| {
        let stop = Rc::new(Cell::new(false));
        for _ in 0..3 {
            let stop = stop.clone();
            drop(spawn(move || {
                while !stop.get() {
                    yield_now()?;
                }
                Ok(())
            }));
        }
        let start = now();
        sleep(millis(5))?;
        assert!(now() - start >= millis(5));
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let client = thread::spawn(move || std::net::TcpStream::connect(address)?.write_all(b"hello"));
        let mut text = String::new();
        listener.accept()?.0.read_to_string(&mut text)?;
        assert_eq!(text, "hello");
        client.join().unwrap()?;
        stop.set(true);
        Ok(())
    })
}

#[test]
fn d05_two_that_wake_each_other_let_a_third_run() -> io::Result<()> {
    virtually(|| {
        let stop = Rc::new(Cell::new(false));
        let stopped = stop.clone();
        // Each turn of this spawns a task and waits for it: two that wake each other without end.
        let pair = spawn(move || {
            while !stopped.get() {
                spawn(|| Ok(())).join()?;
            }
            Ok(())
        });
        for _ in 0..100 {
            yield_now()?;
        }
        let start = now();
        stop.set(true);
        pair.join()?;
        assert_eq!(now(), start);
        Ok(())
    })
}
