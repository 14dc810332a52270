//! Scoped parallelism: children on other loops that borrow from a frame of this one. Most of these tests attack the
//! promise that the frame does not go before its children (R2), in every way in which a frame can go.

mod common;

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;
use std::{mem, thread};

use common::{Finally, child, panic_of, plays, runner, watchdog};
use corio::{
    Runner, Workers, cancel_cause, errors, is_cancelled, millis, run, secs, shield, sleep, spawn, timeout, yield_now,
};

fn workers(count: usize) -> Workers {
    Workers::builder().count(count).start().unwrap()
}

/// Ends the set, and checks that it ended well.
fn end(workers: Workers) {
    workers.stop();
    workers.join().unwrap();
}

/// Sleeps for ever on a loop, and says so.
fn sleeps(begun: &AtomicUsize) -> io::Result<()> {
    begun.fetch_add(1, SeqCst);
    sleep(secs(3_600))
}

/// Lets others run until it is so.
fn until(f: impl Fn() -> bool) -> io::Result<()> {
    while !f() {
        sleep(millis(1))?;
    }
    Ok(())
}

// ---- what it is for ------------------------------------------------------------------------------------------

#[test]
fn children_run_at_the_same_time_on_other_threads_and_borrow() {
    let _watchdog = watchdog();
    let workers = workers(2);
    let (both, ids) = (Barrier::new(2), Mutex::new(Vec::new()));
    let ticks = Cell::new(0);
    let lengths = run(|| {
        let words = vec!["ant".to_owned(), "beetle".to_owned()];
        let metronome = AtomicBool::new(true);
        workers.scope(|s| {
            // On its own loop the parent goes on.
            s.here().spawn(|| {
                while metronome.load(SeqCst) {
                    ticks.set(ticks.get() + 1);
                    sleep(millis(1))?;
                }
                Ok(())
            });
            let mut parts = Vec::new();
            for word in &words {
                let (both, ids, metronome) = (&both, &ids, &metronome);
                parts.push(s.spawn(move || {
                    both.wait(); // blocks its thread: neither could pass alone
                    ids.lock().unwrap().push(thread::current().id());
                    sleep(millis(5))?; // a task: it may wait as any other
                    both.wait();
                    metronome.store(false, SeqCst);
                    Ok(word.len())
                }));
            }
            parts.into_iter().map(|part| part.join()).collect::<io::Result<Vec<_>>>()
        })
    })
    .unwrap();
    assert_eq!(lengths, [3, 6]);
    assert!(ticks.get() > 0);
    let ids = ids.into_inner().unwrap();
    assert!(ids[0] != ids[1] && !ids.contains(&thread::current().id()));
    end(workers);
}

#[test]
fn a_child_begins_before_its_parent_waits() {
    let _watchdog = watchdog();
    let workers = workers(1);
    run(|| {
        let (tell, told) = channel();
        workers.scope(|s| {
            s.spawn(move || tell.send(7).map_err(io::Error::other));
            assert_eq!(told.recv(), Ok(7)); // the parent's loop is blocked here
            Ok(())
        })
    })
    .unwrap();
    end(workers);
}

#[test]
fn a_thread_without_a_loop_may_be_the_parent() {
    let _watchdog = watchdog();
    let workers = workers(2);
    let numbers: Vec<u64> = (1..=1_000).collect();
    let sum = AtomicUsize::new(0);
    let answer = workers.scope(|s| {
        for part in numbers.chunks(100) {
            let sum = &sum;
            s.spawn(move || {
                sum.fetch_add(part.iter().sum::<u64>() as usize, SeqCst);
                Ok(())
            });
        }
        Ok(42)
    });
    assert_eq!((answer.unwrap(), sum.into_inner()), (42, 500_500));
    assert!(corio::try_current().is_none());
    end(workers);
}

/// Children of the set's own tasks, on the loop of the parent and on others, and again.
#[test]
fn scopes_nest_across_loops_and_back() {
    fn fib(workers: &Workers, n: u32) -> io::Result<u64> {
        if n < 2 {
            return Ok(n.into());
        }
        workers.scope(|s| {
            let (a, b) = (s.spawn(move || fib(workers, n - 1)), s.spawn(move || fib(workers, n - 2)));
            Ok(a.join()? + b.join()?)
        })
    }
    let _watchdog = watchdog();
    let workers = workers(3);
    assert_eq!(run(|| fib(&workers, 10)).unwrap(), 55);
    assert_eq!(fib(&workers, 7).unwrap(), 13);
    end(workers);
}

#[test]
fn each_has_its_turn_and_spawn_on_chooses() {
    let _watchdog = watchdog();
    let workers = Workers::builder().count(3).name("w").start().unwrap();
    let name = || Ok(thread::current().name().unwrap_or_default().to_owned());
    let names = workers.scope(|s| {
        let (in_turn, chosen) = ([(); 4].map(|()| s.spawn(name)), [2, 0].map(|n| s.spawn_on(n, name)));
        in_turn.into_iter().chain(chosen).map(|task| task.join()).collect::<io::Result<Vec<_>>>()
    });
    assert_eq!(names.unwrap(), ["w-0", "w-1", "w-2", "w-0", "w-2", "w-0"]);
    let text = panic_of(|| workers.scope(|s| s.spawn_on(3, name).join().map(drop)));
    assert!(text.contains("no worker 3"), "{text}");
    end(workers);
}

#[test]
fn a_virtual_clock_waits_for_its_children() {
    let _watchdog = watchdog();
    let workers = workers(1);
    runner()
        .run(|| {
            let alarm = spawn(|| sleep(secs(36_000)));
            workers.scope(|s| s.spawn(|| sleep(millis(20))).join())?;
            assert!(!alarm.is_done());
            Ok(())
        })
        .unwrap();
    end(workers);
}

// ---- failures ------------------------------------------------------------------------------------------------

#[test]
fn the_first_error_cancels_the_others_and_is_returned_when_all_have_ended() {
    let _watchdog = watchdog();
    let workers = workers(2);
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for off_the_loop in [false, true] {
        begun.store(0, SeqCst);
        ended.store(0, SeqCst);
        let body = || {
            workers.scope(|s| {
                for _ in 0..6 {
                    s.spawn(|| {
                        let _ended = Finally(|| _ = ended.fetch_add(1, SeqCst));
                        sleeps(&begun)
                    });
                }
                s.spawn(|| -> io::Result<()> {
                    until(|| begun.load(SeqCst) == 6)?;
                    Err(io::Error::other("no disk"))
                });
                sleep(secs(3_600)) // the body is cancelled too
            })
        };
        let error = if off_the_loop { body() } else { run(body) }.unwrap_err();
        assert_eq!(error.to_string(), "no disk");
        assert_eq!(errors(&error).count(), 1);
        assert_eq!(ended.load(SeqCst), 6);
    }
    end(workers);
}

#[test]
fn a_panic_goes_on_in_the_parent_when_all_have_ended() {
    let _watchdog = watchdog();
    let workers = workers(2);
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let text = panic_of(|| {
        run(|| {
            workers.scope(|s| {
                s.spawn(|| {
                    let _ended = Finally(|| _ = ended.fetch_add(1, SeqCst));
                    sleeps(&begun)
                });
                s.spawn(|| -> io::Result<()> {
                    until(|| begun.load(SeqCst) == 1)?;
                    panic!("at sea")
                });
                Ok(())
            })
        })
    });
    assert_eq!((&*text, ended.load(SeqCst)), ("at sea", 1));
    // The body's own.
    let text = panic_of(|| {
        run(|| {
            workers.scope(|s| -> io::Result<()> {
                s.spawn(|| {
                    let _ended = Finally(|| _ = ended.fetch_add(1, SeqCst));
                    sleeps(&begun)
                });
                while begun.load(SeqCst) < 2 {
                    thread::yield_now();
                }
                panic!("in the harbour")
            })
        })
    });
    assert_eq!((&*text, ended.load(SeqCst)), ("in the harbour", 2));
    // The worker's loop has survived, and so has the child's handle.
    workers
        .scope(|s| {
            let child = s.spawn(|| -> io::Result<()> { panic!("joined") });
            assert_eq!(panic_of(|| child.join()), "joined");
            Ok(())
        })
        .unwrap_err();
    end(workers);
}

#[test]
fn a_cancelled_parent_passes_it_on_and_waits_for_the_clean_up() {
    let _watchdog = watchdog();
    let workers = workers(2);
    let (begun, cleaned) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let limited = run(|| {
        timeout(millis(50), || {
            workers.scope(|s| {
                for _ in 0..4 {
                    s.spawn(|| {
                        let ended = sleeps(&begun);
                        assert!(cancel_cause().is_some());
                        shield(secs(60), || sleep(millis(30)))?;
                        cleaned.fetch_add(1, SeqCst);
                        ended
                    });
                }
                Ok(())
            })
        })
    });
    assert!(corio::is_timed_out(&limited.unwrap_err()));
    assert_eq!(cleaned.load(SeqCst), begun.load(SeqCst));
    end(workers);
}

/// A cancellation that comes before the child's loop has looked into its letter box: the child never runs, and its
/// captures go before the scope does.
#[test]
fn what_was_not_begun_is_dropped_before_the_scope_ends() {
    let _watchdog = watchdog();
    let workers = workers(1);
    let ((free, blocked), (tell, told)) = (channel::<()>(), channel());
    let busy = workers.spawn(move || {
        tell.send(()).unwrap();
        let _ = blocked.recv(); // the loop looks at nothing
    });
    told.recv().unwrap();
    let dropped = AtomicUsize::new(0);
    run(|| {
        let ended = workers.scope(|s| {
            let capture = Finally(|| _ = dropped.fetch_add(1, SeqCst));
            let child = s.spawn(move || -> io::Result<()> {
                let _capture = capture;
                unreachable!("it was cancelled before it could begin")
            });
            s.here().spawn(|| {
                child.cancel();
                for _ in 0..10 {
                    yield_now()?;
                }
                drop(free); // only now the worker can see both letters
                assert!(is_cancelled(&child.join().unwrap_err()));
                Ok(())
            });
            Ok(())
        });
        assert_eq!(dropped.load(SeqCst), 1);
        ended
    })
    .unwrap();
    busy.join().unwrap();
    end(workers);
}

/// Captures and results are user code, with destructors that look into the frame, and panic now and then.
#[test]
fn captures_and_results_are_gone_before_the_frame() {
    struct Looks<'a>(&'a AtomicUsize, &'a str);
    impl Drop for Looks<'_> {
        fn drop(&mut self) {
            thread::sleep(millis(2));
            assert_eq!(self.1, "the frame");
            assert!(!self.0.fetch_add(1, SeqCst).is_multiple_of(3), "in a destructor");
        }
    }
    let _watchdog = watchdog();
    let workers = workers(2);
    let (dropped, mut panics, mut round) = (AtomicUsize::new(0), 0, 0);
    // Which of the two is dropped first is chance, and the panic of a result that nobody wants is no one's.
    while round < 10 || panics == 0 {
        round += 1;
        run(|| {
            let frame = "the frame".to_owned();
            let ended = catch_unwind(AssertUnwindSafe(|| {
                workers.scope(|s| {
                    // Both made here: if one panics before the other has begun, that one is dropped uncalled.
                    let (result, capture) = (Looks(&dropped, &frame), Looks(&dropped, &frame));
                    s.spawn(move || Ok(result)); // nobody joins it
                    s.spawn(move || drop(capture));
                    Ok(())
                })
            }));
            assert_eq!(dropped.load(SeqCst), 2 * round);
            panics += usize::from(ended.is_err());
            Ok(())
        })
        .unwrap();
    }
    end(workers);
}

#[test]
fn handles_that_are_forgotten_change_nothing() {
    let _watchdog = watchdog();
    let workers = workers(2);
    run(|| {
        let ended = AtomicUsize::new(0);
        workers.scope(|s| {
            for _ in 0..8 {
                mem::forget(s.spawn(|| {
                    sleep(millis(10))?;
                    ended.fetch_add(1, SeqCst);
                    Ok(vec![0; 100]) // leaked with its handle
                }));
            }
            Ok(())
        })?;
        assert_eq!(ended.into_inner(), 8);
        Ok(())
    })
    .unwrap();
    end(workers);
}

// ---- the end of loops ----------------------------------------------------------------------------------------

/// Stopped by the set, and by a task of the loop itself, while children are alive there.
#[test]
fn a_worker_that_stops_ends_its_children_and_the_scope_goes_on() {
    let _watchdog = watchdog();
    for by_itself in [false, true] {
        let workers = workers(2);
        let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let error = run(|| {
            workers.scope(|s| {
                for _ in 0..4 {
                    s.spawn(|| {
                        let _ended = Finally(|| _ = ended.fetch_add(1, SeqCst));
                        sleeps(&begun)
                    });
                }
                until(|| begun.load(SeqCst) == 4)?;
                match by_itself {
                    true => drop(workers.spawn_on(0, corio::stop)),
                    false => workers.stop(),
                }
                Ok(())
            })
        })
        .unwrap_err();
        assert!(is_cancelled(&error), "{error}");
        assert_eq!(ended.load(SeqCst), 4);
        match workers.join() {
            Ok(()) => assert!(!by_itself),
            Err(error) => assert!(by_itself && error.to_string().contains("worker 0 has ended"), "{error}"),
        }
        let late = workers.scope(|s| s.spawn(|| Ok(())).join()).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::BrokenPipe);
    }
}

/// A child that ignores its cancellation, on a loop that ends: it is unwound there, and that is no unwinding here.
#[test]
fn a_child_that_is_unwound_by_its_loop_is_a_cancelled_one() {
    let _watchdog = watchdog();
    let workers = Workers::builder().count(1).runner(|_| Runner::new().grace(Duration::ZERO)).start().unwrap();
    let (begun, unwound) = (AtomicUsize::new(0), AtomicBool::new(false));
    let error = run(|| {
        workers.scope(|s| {
            s.spawn(|| -> io::Result<()> {
                let _seen = Finally(|| unwound.store(thread::panicking(), SeqCst));
                loop {
                    let _ = sleeps(&begun);
                }
            });
            until(|| begun.load(SeqCst) > 0)?;
            workers.stop();
            Ok(())
        })
    })
    .unwrap_err();
    assert!(is_cancelled(&error), "{error}");
    assert!(unwound.load(SeqCst));
    workers.join().unwrap();
}

/// What a parent owns and its child looks at. It must not be dropped while it is looked at.
struct Frame {
    text: String,
    looked_at: Arc<AtomicBool>,
}

impl Drop for Frame {
    fn drop(&mut self) {
        assert!(!self.looked_at.load(SeqCst), "the child would read what is gone");
    }
}

/// The parent's own loop is shut down by force, and the child is in the middle of a computation that looks into the
/// parent's frame: the frame stays until it has ended.
#[test]
fn r10_a_shutdown_that_unwinds_the_parent_waits_for_its_children_elsewhere() {
    let _watchdog = watchdog();
    let workers = Arc::new(workers(1));
    let (ended, unwound) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let looked_at = Arc::new(AtomicBool::new(false));
    let ((signal, unwinding), (tell, begun)) = (channel::<()>(), channel());
    let unwinding = Mutex::new(unwinding);
    Runner::new()
        .grace(Duration::ZERO)
        .run(|| {
            let (workers, ended, unwound) = (workers.clone(), ended.clone(), unwound.clone());
            let frame = Frame { text: "still here".to_owned(), looked_at: looked_at.clone() };
            spawn(move || {
                let _seen = Finally(|| unwound.store(thread::panicking(), SeqCst));
                let frame = frame;
                workers.scope(|s| {
                    s.spawn(|| {
                        frame.looked_at.store(true, SeqCst);
                        tell.send(()).unwrap();
                        let _ = unwinding.lock().unwrap().recv(); // nothing of the loop's: it cannot be cut short
                        thread::sleep(millis(100));
                        assert_eq!(frame.text, "still here");
                        frame.looked_at.store(false, SeqCst);
                        ended.store(true, SeqCst);
                    });
                    Ok(())
                })
            });
            yield_now()?; // so that the next one is younger than the child's proxy, and is unwound first
            spawn(move || {
                let _signal = Finally(|| _ = signal.send(()));
                while !thread::panicking() {
                    let _ = sleep(secs(60));
                }
            });
            until(|| begun.try_recv().is_ok())
        })
        .unwrap();
    assert!(ended.load(SeqCst) && unwound.load(SeqCst) && !looked_at.load(SeqCst));
    drop(workers);
}

/// While a thread blocks for a child that may use what is on it, the child lends something to that very thread's loop.
/// The letter is dropped: otherwise they would wait for each other.
#[test]
fn r10_a_letter_to_a_loop_that_waits_while_it_is_unwound_comes_back() {
    let _watchdog = watchdog();
    let home = Workers::builder().count(1).runner(|_| Runner::new().grace(Duration::ZERO)).start().unwrap();
    let (home, away) = (Arc::new(home), Arc::new(workers(1)));
    let ((signal, unwinding), (tell, begun)) = (channel::<()>(), channel());
    let unwinding = Mutex::new(unwinding);
    let answer = Arc::new(Mutex::new(None));
    let (to, from, told) = (away.clone(), home.clone(), answer.clone());
    drop(home.spawn(move || {
        let frame = vec![7; 1_000];
        to.scope(|s| {
            s.spawn(|| {
                tell.send(()).unwrap();
                let _ = unwinding.lock().unwrap().recv();
                thread::sleep(millis(50));
                let sent = shield(secs(60), || from.scope(|s| s.spawn(|| Ok(frame[999])).join()));
                *told.lock().unwrap() = Some(sent);
            });
            Ok(())
        })
    }));
    begun.recv().unwrap();
    let (tell, begun) = channel();
    drop(home.spawn(move || {
        let _signal = Finally(|| _ = signal.send(()));
        while !thread::panicking() {
            let _ = tell.send(());
            let _ = sleep(secs(60));
        }
    }));
    begun.recv().unwrap();
    home.stop();
    home.join().unwrap();
    let answer = answer.lock().unwrap().take().unwrap();
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::BrokenPipe);
    away.stop();
    away.join().unwrap();
}

/// Two loops are shut down by force at the same time, and each has a child of the other.
#[test]
fn r10_loops_that_are_unwound_together_do_not_wait_for_each_other() {
    let _watchdog = watchdog();
    let make = || Workers::builder().count(2).runner(|_| Runner::new().grace(Duration::ZERO)).start().unwrap();
    for _ in 0..20 {
        let workers = Arc::new(make());
        let begun = Arc::new(AtomicUsize::new(0));
        for n in 0..2 {
            let (set, begun) = (workers.clone(), begun.clone());
            drop(workers.spawn_on(n, move || {
                let frame = vec![n; 1_000];
                set.scope(|s| {
                    s.spawn_on(1 - n, || {
                        begun.fetch_add(1, SeqCst);
                        while !thread::panicking() {
                            let _ = sleep(secs(60));
                            assert_eq!(frame[999], n);
                            // Its grandchildren go to a loop that may be about to block.
                            let _ = set.scope(|s| s.spawn_on(n, || Ok(frame[0])).join().map(drop));
                        }
                    });
                    Ok(())
                })
            }));
        }
        while begun.load(SeqCst) < 2 {
            thread::yield_now();
        }
        workers.stop();
        workers.join().unwrap();
    }
}

/// R3: one that never ends, and that borrows, ends the process: by name.
#[test]
fn r3_a_child_elsewhere_that_never_ends_is_named_and_ends_the_process() {
    const NAME: &str = "r3_a_child_elsewhere_that_never_ends_is_named_and_ends_the_process";
    if plays(NAME) {
        let workers = Arc::new(workers(1));
        let (tell, begun) = channel();
        let _ = Runner::new().grace(Duration::ZERO).run(|| {
            spawn(move || {
                let lent = 1;
                workers.scope(|s| {
                    s.spawn(|| -> io::Result<()> {
                        tell.send(lent).unwrap();
                        loop {
                            thread::park();
                        }
                    });
                    Ok(())
                })
            });
            until(|| begun.try_recv().is_ok())
        });
        return;
    }
    child(NAME).aborted(&["tests/workers_scope.rs", "did not end"]);
}

// ---- all at once ---------------------------------------------------------------------------------------------

/// Many scopes at the same time, whose children sleep, compute, fail, panic, nest, and are cancelled at any moment;
/// each looks into the frames above it. AddressSanitizer sees what these assertions do not.
#[test]
fn frames_outlive_their_children_whatever_happens() {
    struct Canary(Box<[u64; 32]>);
    impl Canary {
        fn new(seed: u64) -> Canary {
            Canary(Box::new([seed; 32]))
        }
        fn sings(&self) {
            assert!(self.0.iter().all(|n| *n == self.0[0] && *n != 0), "a frame has gone");
        }
    }
    impl Drop for Canary {
        fn drop(&mut self) {
            *self.0 = [0; 32];
        }
    }
    struct Sings<'a>(&'a Canary);
    impl Drop for Sings<'_> {
        fn drop(&mut self) {
            self.0.sings();
        }
    }
    fn next(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        *seed >> 33
    }
    fn storm(workers: &Workers, above: &[&Canary], mut seed: u64) -> io::Result<u64> {
        let canary = Canary::new(seed | 1);
        let all: Vec<&Canary> = above.iter().copied().chain([&canary]).collect();
        let limit = Duration::from_micros(next(&mut seed) % 3_000);
        timeout(limit, || {
            workers.scope(|s| {
                for n in 0..1 + next(&mut seed) % 4 {
                    let (all, mut seed) = (&all, seed.wrapping_add(n));
                    let capture = Sings(all[0]);
                    let handle = s.spawn(move || {
                        let _capture = capture;
                        for _ in 0..1 + next(&mut seed) % 4 {
                            all.iter().for_each(|canary| canary.sings());
                            match next(&mut seed) % 8 {
                                0 => return Err(io::Error::other("a failure")),
                                1 => std::panic::resume_unwind(Box::new("a panic")),
                                2 | 3 if all.len() < 4 => drop(storm(workers, all, seed)?),
                                4 => thread::sleep(Duration::from_micros(50)),
                                5 => yield_now()?,
                                _ => sleep(Duration::from_micros(next(&mut seed) % 500))?,
                            }
                        }
                        Ok(Sings(all[all.len() - 1]))
                    });
                    match next(&mut seed) % 4 {
                        0 => handle.join()?.0.sings(),
                        1 => mem::forget(handle),
                        2 => drop(handle.cancel()),
                        _ => {}
                    }
                }
                Ok(1)
            })
        })
    }
    let _watchdog = watchdog();
    let (workers, survived) = (workers(3), AtomicU32::new(0));
    let rounds = if cfg!(feature = "sanitizer") { 100 } else { 300 };
    thread::scope(|s| {
        for n in 0..3 {
            let (workers, survived) = (&workers, &survived);
            s.spawn(move || {
                for round in 0..rounds {
                    let seed = (n * 1_000 + round + 1) as u64;
                    let ended = catch_unwind(AssertUnwindSafe(|| run(|| storm(workers, &[], seed))));
                    survived.fetch_add(u32::from(matches!(ended, Ok(Ok(_)))), SeqCst);
                }
            });
        }
    });
    assert!(survived.into_inner() > 0);
    end(workers);
}
