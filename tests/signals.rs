//! Ctrl-C and SIGTERM, each in a process of its own.
#![cfg(unix)]

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{Finally, child_command, in_a_fork, in_child, leave, plays, watchdog};
use corio::signal::{self, Signal, Signals, add_signal_handler, remove_signal_handler};
use corio::{
    Backend, Cause, LoopHandle, Queue, Runner, Which, after, cancel_cause, is_cancelled, millis, now, run, scope, secs,
    select, shield, sleep, spawn, timeout,
};

fn raise(signal: i32) {
    // SAFETY: signals this thread, so the handler has run when this returns.
    unsafe { libc::raise(signal) };
}

fn handler_of(signal: i32) -> libc::sighandler_t {
    // SAFETY: asks; all zeros is a valid structure.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, std::ptr::null(), &mut action), 0);
        action.sa_sigaction
    }
}

/// Runs `body` in a child that prints "ready" when it can be signalled; sends it `signals`, the second when it has
/// printed "again". Returns how it ended and what else it printed.
fn signalled(name: &str, signals: &[i32], body: impl FnOnce()) -> (ExitStatus, String) {
    if plays(name) {
        let _watchdog = watchdog();
        body();
        leave();
    }
    let mut child = child_command(name).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (mut text, mut rest) = (String::new(), signals.iter());
    for expected in ["ready", "again"] {
        let Some(signal) = rest.next() else { break };
        loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the child ended before it said {expected:?}: {text}");
            // The test program's own output stands before it, without an end of line.
            if line.trim_end().ends_with(expected) {
                break;
            }
            text += &line;
        }
        // SAFETY: the child has not been waited for, so the number is still its own.
        unsafe { libc::kill(child.id() as i32, *signal) };
    }
    lines.read_to_string(&mut text).unwrap();
    (child.wait().unwrap(), text)
}

fn check(result: &io::Result<()>, word: &str) {
    let error = result.as_ref().unwrap_err();
    assert!(is_cancelled(error), "{error}");
    assert!(error.to_string().contains(word), "{error}");
}

#[test]
fn h06_the_first_signal_cancels_main_and_run_says_which_it_was() {
    for (name, signal, word) in [
        ("h06_the_first_signal_cancels_main_and_run_says_which_it_was", libc::SIGINT, "SIGINT"),
        ("h06_the_first_signal_cancels_main_and_run_says_which_it_was", libc::SIGTERM, "SIGTERM"),
    ] {
        let (status, text) = signalled(name, &[signal], || {
            let result = run(|| {
                let child = spawn(|| sleep(secs(60)).inspect_err(|_| println!("the child was cancelled")));
                println!("ready");
                let result = child.join();
                println!("{:?}", cancel_cause());
                shield(secs(5), || sleep(millis(1)))?;
                println!("cleaned up");
                result
            });
            println!("{}", is_cancelled(result.as_ref().unwrap_err()));
            println!("{}", result.unwrap_err());
        });
        assert!(status.success(), "{status}: {text}");
        let lines: Vec<_> = text.lines().rev().take(5).collect();
        assert_eq!(lines[4], "the child was cancelled");
        assert_eq!(lines[3], "Some(Interrupt)");
        assert_eq!(lines[2], "cleaned up");
        assert_eq!(lines[1], "true");
        assert!(lines[0].contains(word), "{text}");
    }
}

#[test]
fn h06_the_second_signal_ends_the_process() {
    for (first, second) in [(libc::SIGINT, libc::SIGINT), (libc::SIGTERM, libc::SIGINT), (libc::SIGINT, libc::SIGTERM)]
    {
        let (status, text) = signalled("h06_the_second_signal_ends_the_process", &[first, second], || {
            let _ = run(|| {
                println!("ready");
                let _ = sleep(secs(60));
                println!("again");
                // Deaf to the first.
                shield(secs(3_600), || sleep(secs(3_600)))
            });
        });
        assert_eq!(status.signal(), Some(second), "{text}");
    }
}

/// The second comes while nothing can run: the thread hangs in a computation.
#[test]
fn h06_the_second_signal_ends_a_process_that_does_not_even_look() {
    let (status, text) = signalled(
        "h06_the_second_signal_ends_a_process_that_does_not_even_look",
        &[libc::SIGINT, libc::SIGINT],
        || {
            let _ = run(|| {
                println!("ready");
                let _ = sleep(secs(60));
                println!("again");
                loop {
                    std::hint::spin_loop();
                }
                #[allow(unreachable_code)]
                Ok(())
            });
        },
    );
    assert_eq!(status.signal(), Some(libc::SIGINT), "{text}");
}

#[test]
fn a_signal_that_the_program_ignores_stays_ignored() {
    let output = in_child("a_signal_that_the_program_ignores_stays_ignored", || {
        // SAFETY: as `nohup` does it.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
        run(|| {
            assert_eq!(handler_of(libc::SIGINT), libc::SIG_IGN);
            raise(libc::SIGINT);
            sleep(millis(5))
        })
        .unwrap();
        assert_eq!(handler_of(libc::SIGINT), libc::SIG_IGN);
        // The other one is still watched.
        check(
            &run(|| {
                raise(libc::SIGTERM);
                sleep(secs(60))
            }),
            "SIGTERM",
        );
    });
    output.succeeded();
}

#[test]
fn the_handlers_that_were_there_are_there_again_after_the_run() {
    let output = in_child("the_handlers_that_were_there_are_there_again_after_the_run", || {
        static MINE: AtomicU32 = AtomicU32::new(0);
        extern "C" fn mine(_: i32) {
            MINE.fetch_add(1, Ordering::SeqCst);
        }
        let mine = mine as extern "C" fn(i32) as libc::sighandler_t;
        // SAFETY: the handler only counts.
        unsafe { libc::signal(libc::SIGINT, mine) };
        let default = handler_of(libc::SIGTERM);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGINT] {
            let result = run(|| {
                assert_ne!(handler_of(libc::SIGINT), mine);
                raise(signal);
                sleep(secs(60))
            });
            check(&result, if signal == libc::SIGINT { "SIGINT" } else { "SIGTERM" });
            assert_eq!(handler_of(libc::SIGINT), mine);
            assert_eq!(handler_of(libc::SIGTERM), default);
        }
        assert_eq!(MINE.load(Ordering::SeqCst), 0);
        raise(libc::SIGINT);
        assert_eq!(MINE.load(Ordering::SeqCst), 1);

        // Also when the run ends by a panic, and not at all when it does not watch.
        let _ = std::panic::catch_unwind(|| run(|| -> io::Result<()> { panic!("main's own") }));
        assert_eq!(handler_of(libc::SIGINT), mine);
        Runner::new()
            .ctrl_c(false)
            .run(|| {
                raise(libc::SIGINT);
                sleep(millis(1))
            })
            .unwrap();
        assert_eq!(MINE.load(Ordering::SeqCst), 2);
    });
    output.succeeded();
}

/// R10: main may take note of it and go on; it is told once.
#[test]
fn main_may_acknowledge_the_signal_and_go_on() {
    let output = in_child("main_may_acknowledge_the_signal_and_go_on", || {
        let value = run(|| {
            raise(libc::SIGINT);
            assert!(is_cancelled(&sleep(secs(60)).unwrap_err()));
            assert_eq!(cancel_cause(), Some(Cause::Interrupt));
            assert_eq!(corio::current().uncancel(), 0);
            for _ in 0..10 {
                sleep(millis(1))?;
            }
            Ok(7)
        });
        assert_eq!(value.unwrap(), 7);
    });
    output.succeeded();
}

#[test]
fn a_signal_ends_time_limits_and_scopes_in_order() {
    let output = in_child("a_signal_ends_time_limits_and_scopes_in_order", || {
        let result = run(|| {
            timeout(secs(60), || {
                scope(|s| {
                    s.spawn(|| sleep(secs(60)));
                    s.spawn(|| {
                        raise(libc::SIGTERM);
                        Ok(())
                    });
                    sleep(secs(60))
                })
            })
        });
        check(&result, "SIGTERM");
    });
    output.succeeded();
}

/// B3: poll is interrupted again and again; timers are on time all the same, and nothing spins or fails.
#[test]
fn b03_a_stream_of_signals_does_not_disturb_the_timers() {
    let output = in_child("b03_a_stream_of_signals_does_not_disturb_the_timers", || {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        extern "C" fn tick(_: i32) {
            COUNT.fetch_add(1, Ordering::SeqCst);
        }
        // SAFETY: the handler only counts; without SA_RESTART every call is interrupted; the timer is a valid one.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = tick as extern "C" fn(i32) as libc::sighandler_t;
            libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut());
            let every = libc::timeval { tv_sec: 0, tv_usec: 500 };
            let timer = libc::itimerval { it_interval: every, it_value: every };
            libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut());
        }
        run(|| {
            let start = now();
            let tasks: Vec<_> = (1..=20_u64)
                .map(|n| {
                    spawn(move || {
                        sleep(millis(n * 5))?;
                        assert!(now() - start >= millis(n * 5));
                        Ok(())
                    })
                })
                .collect();
            let listener = corio::net::TcpListener::bind("127.0.0.1:0")?;
            assert!(timeout(millis(20), || listener.accept()).is_err());
            tasks.into_iter().try_for_each(corio::JoinHandle::join)
        })
        .unwrap();
        assert!(COUNT.load(Ordering::SeqCst) > 10);
    });
    output.succeeded();
}

#[test]
fn h04_only_one_run_of_a_process_watches() {
    let output = in_child("h04_only_one_run_of_a_process_watches", || {
        let result = run(|| {
            let watched = handler_of(libc::SIGINT);
            std::thread::spawn(move || {
                run(|| {
                    assert_eq!(handler_of(libc::SIGINT), watched);
                    Ok(())
                })
                .unwrap();
                // The end of the second run must not end the watch of the first.
                assert_eq!(handler_of(libc::SIGINT), watched);
            })
            .join()
            .unwrap();
            raise(libc::SIGINT);
            sleep(secs(60))
        });
        check(&result, "SIGINT");
    });
    output.succeeded();
}

/// C1, D6: a sleep that is longer than all time is no deadlock.
#[test]
fn c01_a_sleep_without_end_ends_by_a_signal() {
    let (status, _) = signalled("c01_a_sleep_without_end_ends_by_a_signal", &[libc::SIGINT], || {
        let result = run(|| {
            println!("ready");
            sleep(std::time::Duration::MAX)
        });
        check(&result, "SIGINT");
    });
    assert!(status.success());
}

/// The `write` of this program, and so of the handler: one that is told to stops short of the system call.
#[cfg(target_os = "linux")]
mod slow_bell {
    use std::sync::atomic::{AtomicBool, Ordering};

    pub(super) static ARMED: AtomicBool = AtomicBool::new(false);
    pub(super) static STOPPED: AtomicBool = AtomicBool::new(false);
    pub(super) static HELD: AtomicBool = AtomicBool::new(false);

    /// # Safety
    ///
    /// That of `write`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn write(fd: i32, bytes: *const u8, n: usize) -> isize {
        // SAFETY: by the caller.
        unsafe {
            if n == 1 && ARMED.load(Ordering::SeqCst) && *bytes == b'!' {
                STOPPED.store(true, Ordering::SeqCst);
                libc::usleep(100_000);
                while HELD.load(Ordering::SeqCst) {
                    libc::usleep(1_000);
                }
            }
            libc::syscall(libc::SYS_write, fd, bytes, n) as isize
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_handler_that_is_late_on_another_thread_writes_into_nothing_of_ours() {
    use slow_bell::{ARMED, STOPPED};
    use std::os::unix::net::UnixStream;

    let output = in_child("a_handler_that_is_late_on_another_thread_writes_into_nothing_of_ours", || {
        let start = std::sync::Arc::new(std::sync::Barrier::new(2));
        let late = {
            let start = start.clone();
            std::thread::spawn(move || {
                start.wait();
                raise(libc::SIGINT);
            })
        };
        ARMED.store(true, Ordering::SeqCst);
        let _ = run(|| {
            start.wait();
            while !STOPPED.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Ok(())
        });
        // The run is over, and its descriptors' numbers go to these.
        let pairs: Vec<_> = (0..6).map(|_| UnixStream::pair().unwrap()).collect();
        late.join().unwrap();
        for mut end in pairs.iter().flat_map(|(a, b)| [a, b]) {
            end.set_nonblocking(true).unwrap();
            assert_eq!(end.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    });
    output.succeeded();
}

/// How often a loop that has nothing to do but to sleep asks the kernel what has happened.
#[cfg(feature = "observe")]
fn polls_of_a_sleep(recording: &corio::observe::Recording) -> io::Result<usize> {
    use corio::observe::event::Event;
    let so_far = recording.records().len();
    sleep(millis(100))?;
    let since = recording.records().into_iter().skip(so_far);
    Ok(since.filter(|record| matches!(record.event, Event::PollEnter { .. })).count())
}

/// A bell that rings after its signal was seen is heard once, and does not keep the loop from sleeping for the rest of the run.
#[test]
#[cfg(all(target_os = "linux", feature = "observe"))]
fn a_handler_that_is_late_does_not_keep_the_loop_awake() {
    use slow_bell::{ARMED, HELD, STOPPED};

    let output = in_child("a_handler_that_is_late_does_not_keep_the_loop_awake", || {
        for backend in [Backend::Mio, Backend::Poll] {
            let recording = corio::observe::Recording::new();
            let mut runner = Runner::new().backend(backend.clone()).observer(recording.clone());
            let polls = runner.run(|| {
                [&ARMED, &HELD].into_iter().for_each(|flag| flag.store(true, Ordering::SeqCst));
                let late = std::thread::spawn(|| raise(libc::SIGINT));
                while cancel_cause() != Some(Cause::Interrupt) {
                    let _ = corio::yield_now();
                }
                assert!(STOPPED.load(Ordering::SeqCst), "the handler has not rung yet");
                corio::current().uncancel();
                [&ARMED, &HELD, &STOPPED].into_iter().for_each(|flag| flag.store(false, Ordering::SeqCst));
                late.join().unwrap();
                polls_of_a_sleep(&recording)
            });
            assert!((1..=3).contains(polls.as_ref().unwrap()), "{backend:?}: {polls:?}");
        }
    });
    output.succeeded();
}

/// The `read` of this program: when it is told to, a signal comes just before the bell's is read, which asks for so many bytes.
#[cfg(target_os = "linux")]
mod read_with_a_signal {
    use std::sync::atomic::{AtomicBool, Ordering};

    pub(super) static ARMED: AtomicBool = AtomicBool::new(false);

    /// # Safety
    ///
    /// That of `read`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn read(fd: i32, bytes: *mut u8, n: usize) -> isize {
        if n == 64 && ARMED.swap(false, Ordering::SeqCst) {
            super::raise(libc::SIGINT);
        }
        // SAFETY: by the caller.
        unsafe { libc::syscall(libc::SYS_read, fd, bytes, n) as isize }
    }
}

/// The bell is still being heard for a handler that was late in the run before, and so it is emptied: with the byte of a signal
/// that comes right then. That one is seen all the same.
#[test]
#[cfg(target_os = "linux")]
fn a_signal_that_comes_while_an_old_bell_is_heard_is_seen() {
    use slow_bell::{ARMED, HELD, STOPPED};

    let output = in_child("a_signal_that_comes_while_an_old_bell_is_heard_is_seen", || {
        for backend in [Backend::Mio, Backend::Poll] {
            let mut late = None;
            [&ARMED, &HELD].into_iter().for_each(|flag| flag.store(true, Ordering::SeqCst));
            let first = run(|| {
                late = Some(std::thread::spawn(|| raise(libc::SIGINT)));
                while !STOPPED.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                sleep(secs(60))
            });
            check(&first, "SIGINT");
            let start = std::time::Instant::now();
            let second = Runner::new().backend(backend).run(|| {
                [&ARMED, &HELD, &STOPPED].into_iter().for_each(|flag| flag.store(false, Ordering::SeqCst));
                late.take().unwrap().join().unwrap(); // it has rung
                read_with_a_signal::ARMED.store(true, Ordering::SeqCst);
                sleep(secs(20))
            });
            check(&second, "SIGINT");
            assert!(start.elapsed() < secs(10), "it was seen when something else woke the loop");
        }
    });
    output.succeeded();
}

// ---- listeners -----------------------------------------------------------------------------------------------------------

/// SIG-01 and SIG-04: a callback on the loop's thread, outside any task; the old one, then the new one, which has what it captures.
#[test]
fn sig_01_04_a_handler_is_a_callback_and_can_be_replaced_and_removed() {
    const NAME: &str = "sig_01_04_a_handler_is_a_callback_and_can_be_replaced_and_removed";
    let output = in_child(NAME, || {
        let calls = Rc::new(RefCell::new(Vec::new()));
        let before = handler_of(libc::SIGUSR1);
        run(|| {
            let here = std::thread::current().id();
            let handler = |name: &'static str| {
                let calls = calls.clone();
                move || {
                    assert_eq!(std::thread::current().id(), here);
                    assert!(corio::try_current().is_none());
                    calls.borrow_mut().push(name);
                }
            };
            let until = |n: usize| {
                while calls.borrow().len() < n {
                    sleep(millis(1))?;
                }
                Ok::<(), io::Error>(())
            };
            add_signal_handler(Signal::User1, handler("old"))?;
            raise(libc::SIGUSR1);
            until(1)?;
            add_signal_handler(Signal::User1, handler("new"))?;
            raise(libc::SIGUSR1);
            until(2)?;
            assert!(remove_signal_handler(Signal::User1));
            assert!(!remove_signal_handler(Signal::User1));
            assert_eq!(handler_of(libc::SIGUSR1), before);
            Ok(())
        })
        .unwrap();
        assert_eq!(*calls.borrow(), ["old", "new"]);
    });
    output.succeeded();
}

/// SIG-02: it ends a poll that would have lasted.
#[test]
fn sig_02_a_signal_wakes_a_loop_that_sleeps() {
    const NAME: &str = "sig_02_a_signal_wakes_a_loop_that_sleeps";
    let (status, text) = signalled(NAME, &[libc::SIGHUP], || {
        run(|| {
            let signals = Signals::new([Signal::Hangup])?;
            println!("ready");
            println!("{:?}", signals.recv()?); // no timer, and no other task
            Ok(())
        })
        .unwrap();
    });
    assert!(status.success() && text.contains("Hangup"), "{text}");
}

/// SIG-03: what cannot be caught, what is none, and what is the program's own fault.
#[test]
fn sig_03_what_cannot_be_listened_for_is_refused() {
    for number in [0, -1, 65, 10_000, libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV] {
        let error = Signals::new([Signal::Other(number)]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{number}");
    }
    assert!(Signals::new([]).is_err());
    run(|| {
        assert!(add_signal_handler(Signal::Other(libc::SIGKILL), || ()).is_err());
        assert!(!remove_signal_handler(Signal::Other(libc::SIGKILL)));
        Ok(())
    })
    .unwrap();
    assert_eq!(Signal::of_number(libc::SIGTERM), Signal::Terminate);
    assert_eq!(Signal::of_number(Signal::Other(40).number()), Signal::Other(40));
    assert!(Signal::Hangup.to_string().contains("Hangup"));
}

/// SIG-05: on any thread that has a loop, each its own.
#[test]
fn sig_05_loops_on_several_threads_hear_the_same_signal() {
    const NAME: &str = "sig_05_loops_on_several_threads_hear_the_same_signal";
    let output = in_child(NAME, || {
        let ready = Arc::new(std::sync::Barrier::new(4));
        let threads: Vec<_> = (0..3)
            .map(|n| {
                let ready = ready.clone();
                std::thread::spawn(move || {
                    let signals = Signals::new([Signal::User2]).unwrap();
                    ready.wait();
                    // The last one is a thread without a loop.
                    if n < 2 { run(|| signals.recv()) } else { signals.recv() }
                })
            })
            .collect();
        ready.wait();
        raise(libc::SIGUSR2);
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap(), Signal::User2);
        }
    });
    output.succeeded();
}

/// SIG-06: the end of a run removes its handlers and puts back what was there.
#[test]
fn sig_06_the_end_of_a_run_puts_back_what_was_there() {
    const NAME: &str = "sig_06_the_end_of_a_run_puts_back_what_was_there";
    let output = in_child(NAME, || {
        let before = handler_of(libc::SIGUSR1);
        let dropped = Rc::new(Cell::new(false));
        let flag = dropped.clone();
        let tell = Finally(move || flag.set(true));
        run(|| {
            add_signal_handler(Signal::User1, move || _ = &tell)?;
            assert_ne!(handler_of(libc::SIGUSR1), before);
            Ok(())
        })
        .unwrap();
        assert!(dropped.get());
        assert_eq!(handler_of(libc::SIGUSR1), before);
        let (one, other) = (Signals::new([Signal::User1]).unwrap(), Signals::new([Signal::User1]).unwrap());
        drop(one);
        assert_ne!(handler_of(libc::SIGUSR1), before);
        drop(other);
        assert_eq!(handler_of(libc::SIGUSR1), before);
    });
    output.succeeded();
}

/// SIG-07: a burst of one kind is heard, and no kind is lost.
#[test]
fn h4_sig_07_a_storm_loses_no_kind() {
    const NAME: &str = "h4_sig_07_a_storm_loses_no_kind";
    let output = in_child(NAME, || {
        run(|| {
            let kinds = [Signal::User1, Signal::User2, Signal::WindowChange];
            let (first, second) = (Signals::new(kinds)?, Signals::new(kinds)?);
            // SAFETY: the error number of this thread, which a handler must leave as it was.
            unsafe { *libc::__errno_location() = 77 };
            for _ in 0..1_000 {
                kinds.iter().for_each(|kind| raise(kind.number()));
            }
            assert_eq!(io::Error::last_os_error().raw_os_error(), Some(77));
            for signals in [&first, &second] {
                let mut heard = std::collections::BTreeSet::new();
                while heard.len() < 3 {
                    heard.insert(signals.recv()?);
                }
            }
            // Nothing is counted: what is left is one of each at most.
            sleep(millis(20))?;
            assert!(std::iter::from_fn(|| first.try_recv()).count() <= 3);
            Ok(())
        })
        .unwrap();
    });
    output.succeeded();
}

#[test]
fn h6_a_program_that_listens_to_ctrl_c_takes_it_over_for_as_long() {
    const NAME: &str = "h6_a_program_that_listens_to_ctrl_c_takes_it_over_for_as_long";
    let (status, text) = signalled(NAME, &[libc::SIGINT, libc::SIGINT], || {
        let end = run(|| {
            let listening = spawn(signal::ctrl_c);
            corio::yield_now()?; // from now on it is the task's
            println!("ready");
            listening.join()?;
            println!("heard it");
            println!("again");
            sleep(secs(60)) // nobody listens: the run's own watch is in force
        });
        check(&end, "SIGINT");
        println!("and was ended by the second");
    });
    assert!(status.success() && text.contains("heard it") && text.contains("ended by the second"), "{text}");
}

#[test]
fn a_listener_that_is_cancelled_takes_nothing() {
    const NAME: &str = "a_listener_that_is_cancelled_takes_nothing";
    let output = in_child(NAME, || {
        run(|| {
            let signals = Rc::new(Signals::new([Signal::User1])?);
            let two: Vec<_> = (0..2)
                .map(|_| {
                    let signals = signals.clone();
                    spawn(move || signals.recv())
                })
                .collect();
            corio::yield_now()?;
            raise(libc::SIGUSR1);
            let mut tasks = two.into_iter();
            let (first, second) = (tasks.next().unwrap(), tasks.next().unwrap());
            first.cancel();
            match first.join() {
                // It had it already; the next signal is for the other one.
                Ok(signal) => {
                    assert_eq!(signal, Signal::User1);
                    raise(libc::SIGUSR1);
                }
                Err(error) => assert!(is_cancelled(&error)),
            }
            assert_eq!(second.join()?, Signal::User1);
            assert_eq!((&*signals).into_iter().size_hint().1, None);
            Ok(())
        })
        .unwrap();
    });
    output.succeeded();
}

#[test]
fn a_signal_is_an_arm_of_select() {
    const NAME: &str = "a_signal_is_an_arm_of_select";
    let output = in_child(NAME, || {
        run(|| {
            let (signals, jobs) = (Signals::new([Signal::User1])?, Queue::new());
            assert_eq!(select((&signals, after(millis(1))))?, Which::B(()));
            spawn({
                let handle = LoopHandle::current()?;
                move || handle.call_soon(|| raise(libc::SIGUSR1))
            });
            let Which::A(signal) = select((&signals, &jobs))? else { panic!("a job") };
            assert_eq!(signal, Signal::User1);
            // One that loses leaves the signal to the next wait.
            jobs.put("first")?;
            raise(libc::SIGUSR1);
            let Which::A(job) = select((&jobs, &signals))? else { panic!("the signal") };
            assert_eq!(job?, "first");
            assert_eq!(signals.recv()?, Signal::User1);
            assert_eq!(signals.try_recv(), None);
            Ok(())
        })
        .unwrap();
    });
    output.succeeded();
}

// ---- forks ---------------------------------------------------------------------------------------------------------------

/// The thread that tells the listeners is the parent's, and so is the pipe: a fork has its own.
#[test]
fn a_fork_listens_for_itself() {
    let output = in_child("a_fork_listens_for_itself", || {
        let before = handler_of(libc::SIGUSR1);
        let mut listener = Some(Signals::new([Signal::User1]).unwrap());
        raise(libc::SIGUSR1);
        assert_eq!(listener.as_ref().unwrap().recv().unwrap(), Signal::User1);
        let status = in_a_fork(|| {
            assert_eq!(handler_of(libc::SIGUSR1), before);
            let own = Signals::new([Signal::User1, Signal::User2]).unwrap();
            raise(libc::SIGUSR1);
            assert_eq!(own.recv().unwrap(), Signal::User1); // on a thread without a loop
            run(|| {
                raise(libc::SIGUSR2);
                assert_eq!(own.recv()?, Signal::User2);
                raise(libc::SIGUSR1);
                assert_eq!(select((&own, after(secs(60))))?, Which::A(Signal::User1));
                Ok(())
            })
            .unwrap();
            // What it has inherited hears nothing, and says so.
            let inherited = listener.take().unwrap();
            assert_eq!(inherited.try_recv(), None);
            assert_eq!(inherited.recv().unwrap_err().kind(), io::ErrorKind::InvalidInput);
            run(|| {
                assert_eq!(inherited.recv().unwrap_err().kind(), io::ErrorKind::InvalidInput);
                let refused = select((&inherited, after(secs(60)))).unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
                Ok(())
            })
            .unwrap();
            // To drop it takes nothing away from the fork's own.
            drop(inherited);
            raise(libc::SIGUSR1);
            assert_eq!(own.recv().unwrap(), Signal::User1);
            drop(own);
            assert_eq!(handler_of(libc::SIGUSR1), before);
            0
        });
        assert_eq!(status, 0);
        let listener = listener.unwrap();
        assert_eq!(listener.try_recv(), None, "the parent has heard what the fork got");
        raise(libc::SIGUSR1);
        assert_eq!(listener.recv().unwrap(), Signal::User1);
    });
    output.succeeded();
}

/// A fork of a fork, and a callback.
#[test]
fn a_fork_of_a_fork_listens_for_itself() {
    fn listen() {
        run(|| {
            let called = Rc::new(Cell::new(false));
            let calls = called.clone();
            add_signal_handler(Signal::Hangup, move || calls.set(true))?;
            raise(libc::SIGHUP);
            while !called.get() {
                sleep(millis(1))?;
            }
            Ok(())
        })
        .unwrap();
    }
    let output = in_child("a_fork_of_a_fork_listens_for_itself", || {
        listen();
        let status = in_a_fork(|| {
            listen();
            let status = in_a_fork(|| {
                listen();
                0
            });
            listen();
            status
        });
        assert_eq!(status, 0);
        listen();
    });
    output.succeeded();
}

#[test]
#[cfg(feature = "observe")]
fn a_fork_dumps_its_tasks_on_a_signal() {
    let output = in_child("a_fork_dumps_its_tasks_on_a_signal", || {
        use std::os::fd::AsRawFd;
        let directory = common::Directory::new();
        Runner::new()
            .dump_on(Signal::User1)
            .run(|| {
                raise(libc::SIGUSR1);
                sleep(millis(1))
            })
            .unwrap();
        let status = in_a_fork(|| {
            let path = directory.path("dump");
            let file = std::fs::File::create(&path).unwrap();
            // SAFETY: two descriptors, and nobody else writes to the second.
            assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), libc::STDERR_FILENO) }, libc::STDERR_FILENO);
            let said = |text: &str| std::fs::read_to_string(&path).unwrap().contains(text);
            let result = Runner::new().dump_on(Signal::User1).run(|| {
                let _task = corio::Builder::new().name("only in the fork").spawn(|| sleep(secs(3_600)))?;
                corio::yield_now()?;
                raise(libc::SIGUSR1);
                while !said("only in the fork") {
                    sleep(millis(1))?;
                }
                Ok(())
            });
            i32::from(result.is_err())
        });
        assert_eq!(status, 0);
    });
    output.succeeded();
}

/// Nobody watches or listens in a fork that has just begun.
#[test]
fn a_signal_does_in_a_fork_what_it_did_before_anybody_asked() {
    let output = in_child("a_signal_does_in_a_fork_what_it_did_before_anybody_asked", || {
        static MINE: AtomicU32 = AtomicU32::new(0);
        extern "C" fn mine(_: i32) {
            MINE.fetch_add(1, Ordering::SeqCst);
        }
        extern "C" fn theirs(_: i32) {}
        let [mine, theirs] = [mine, theirs as extern "C" fn(i32)].map(|handler| handler as libc::sighandler_t);
        // SAFETY: the handler only counts. Whoever started this may have had some signals ignored, as `nohup` does.
        unsafe {
            libc::signal(libc::SIGINT, mine);
            libc::signal(libc::SIGUSR2, libc::SIG_IGN);
            libc::signal(libc::SIGTERM, libc::SIG_DFL);
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
        }
        let result = run(|| {
            let _signals = Signals::new([Signal::Hangup, Signal::User2, Signal::Alarm])?;
            // SAFETY: the handler does nothing. It is put over that of the listener.
            unsafe { libc::signal(libc::SIGALRM, theirs) };
            for signal in [libc::SIGTERM, libc::SIGHUP] {
                let status = in_a_fork(|| {
                    raise(signal);
                    0
                });
                assert_eq!(libc::WTERMSIG(status), signal);
            }
            let status = in_a_fork(|| {
                raise(libc::SIGINT);
                assert_eq!(MINE.load(Ordering::SeqCst), 1);
                assert_eq!(handler_of(libc::SIGUSR2), libc::SIG_IGN);
                assert_eq!(handler_of(libc::SIGALRM), theirs, "what the program has put over ours");
                0
            });
            assert_eq!(status, 0);
            // The watch is still there, and so is the parent's own idea of what to put back.
            raise(libc::SIGTERM);
            sleep(secs(60))
        });
        check(&result, "SIGTERM");
        assert_eq!(handler_of(libc::SIGINT), mine);
        assert_eq!(handler_of(libc::SIGTERM), libc::SIG_DFL);
    });
    output.succeeded();
}

/// A fork inside a run, with a run of its own on a thread: the signal is the fork's, and its parent sleeps.
#[test]
#[cfg(feature = "observe")]
fn a_signal_that_a_fork_gets_does_not_wake_its_parent() {
    let output = in_child("a_signal_that_a_fork_gets_does_not_wake_its_parent", || {
        for backend in [Backend::Mio, Backend::Poll] {
            let recording = corio::observe::Recording::new();
            let mut runner = Runner::new().backend(backend.clone()).observer(recording.clone());
            let polls = runner.run(|| {
                sleep(millis(1))?;
                let status = in_a_fork(|| {
                    let main = || {
                        raise(libc::SIGTERM);
                        sleep(secs(60))
                    };
                    let own = std::thread::spawn(move || run(main));
                    check(&own.join().unwrap(), "SIGTERM");
                    0
                });
                assert_eq!(status, 0);
                polls_of_a_sleep(&recording)
            });
            assert_eq!(polls.unwrap(), 1, "{backend:?}");
        }
    });
    output.succeeded();
}

/// A fork that returns from the main function of its parent's run leaves the watch there alone.
#[test]
fn a_fork_that_ends_its_copy_of_a_run_does_not_end_the_watch_of_its_parent() {
    const NAME: &str = "a_fork_that_ends_its_copy_of_a_run_does_not_end_the_watch_of_its_parent";
    let output = in_child(NAME, || {
        for backend in [Backend::Mio, Backend::Poll] {
            let mut fork = -1;
            let result = Runner::new().backend(backend).run(|| {
                // SAFETY: no other thread of this process has locks that the fork needs.
                fork = unsafe { libc::fork() };
                if fork == 0 {
                    // SAFETY: a number. It ends a fork that hangs.
                    unsafe { libc::alarm(common::PATIENCE.as_secs() as u32) };
                    return Ok(());
                }
                let mut status = -1;
                // SAFETY: room for the number.
                assert_eq!(unsafe { libc::waitpid(fork, &mut status, 0) }, fork);
                assert_eq!(status, 0);
                let late = std::thread::spawn(|| {
                    std::thread::sleep(millis(50));
                    raise(libc::SIGTERM);
                });
                let slept = sleep(secs(60));
                late.join().unwrap();
                slept
            });
            if fork == 0 {
                // SAFETY: it ends without destructors.
                unsafe { libc::_exit(i32::from(result.is_err())) };
            }
            check(&result, "SIGTERM");
        }
    });
    output.succeeded();
}
