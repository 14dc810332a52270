//! Work on other threads, and other threads' work on a loop.
//!
//! `EXEC-..`, `FUT-..`, `LOOP-..`, `PORT-..` are behaviours of asyncio or of the port, `R..` rules of the design, `D..` and
//! `E..` faults that must be survived.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use common::{Finally, Log, child, logged, only, panic_of, plays, runner, sim};
use corio::{
    Executor, LoopHandle, RemoteHandle, Runner, call_soon, current, is_cancelled, is_timed_out, millis, now, run,
    scope, secs, sleep, spawn, timeout, to_thread, yield_now,
};

/// A job's two signals: it has begun, and it may end.
struct Gate {
    begun: Receiver<()>,
    release: Sender<()>,
}

/// A job that says when it begins and ends when it is let.
fn gate() -> (Gate, impl FnOnce() + Send + 'static) {
    let ((begin, begun), (release, released)) = (channel(), channel::<()>());
    let job = move || {
        let _ = begin.send(()); // nobody may want to know
        let _ = released.recv();
    };
    (Gate { begun, release }, job)
}

impl Gate {
    /// Lets others run until the job has begun.
    fn begun(&self) -> io::Result<()> {
        while self.begun.try_recv().is_err() {
            sleep(millis(1))?;
        }
        Ok(())
    }
}

fn never() {
    unreachable!("it was refused");
}

// ---- to_thread -----------------------------------------------------------------------------------------------

#[test]
fn exec_01_a_function_runs_on_another_thread_and_may_borrow() -> io::Result<()> {
    run(|| {
        let home = thread::current().id();
        let (words, mut lengths) = (vec!["ant", "beetle"], Vec::new());
        let there = to_thread(|| {
            lengths.extend(words.iter().map(|word| word.len()));
            thread::current().id()
        })?;
        assert_ne!(there, home);
        assert_eq!((words.len(), lengths), (2, vec![3, 6]));
        let first: &&str = to_thread(|| &words[0])?;
        assert_eq!(*first, "ant");
        let failed: io::Result<()> = to_thread(|| Err(io::Error::other("no")))?;
        assert_eq!(failed.unwrap_err().to_string(), "no");
        Ok(())
    })
}

#[test]
fn exec_01_the_loop_goes_on_meanwhile() -> io::Result<()> {
    run(|| {
        let (gate, job) = gate();
        let ticks = Cell::new(0);
        scope(|s| {
            s.spawn(|| {
                gate.begun()?;
                for _ in 0..5 {
                    sleep(millis(1))?;
                    ticks.set(ticks.get() + 1);
                }
                gate.release.send(()).unwrap();
                Ok(())
            });
            to_thread(job)?;
            assert_eq!(ticks.get(), 5);
            Ok(())
        })
    })
}

#[test]
fn exec_03_a_job_that_is_cancelled_before_it_begins_never_runs() -> io::Result<()> {
    let log = Log::default();
    run(|| {
        let pool = &Executor::new(1)?;
        let (gate, job) = gate();
        let ran = &AtomicBool::new(false);
        scope(|s| {
            s.spawn(|| pool.run(job));
            gate.begun()?;
            let queued = s.spawn(|| {
                pool.run(|| ran.store(true, Ordering::SeqCst)).inspect_err(|error| {
                    log.say(error.kind());
                    assert!(is_cancelled(error));
                })
            });
            yield_now()?;
            assert!(format!("{pool:?}").contains("queued: 1"), "{pool:?}");
            queued.cancel();
            assert!(is_cancelled(&queued.join().unwrap_err()));
            assert!(format!("{pool:?}").contains("queued: 0"), "{pool:?}");
            gate.release.send(()).unwrap();
            Ok(())
        })?;
        pool.run(|| ())?;
        assert!(!ran.load(Ordering::SeqCst));
        Ok(())
    })
}

/// What a job that never ran had captured is dropped by the task that gave it.
#[test]
fn exec_03_the_captures_of_a_job_that_is_taken_back_are_dropped_before_the_call_returns() -> io::Result<()> {
    struct Guest<'a>(&'a AtomicUsize, thread::ThreadId);
    impl Drop for Guest<'_> {
        fn drop(&mut self) {
            assert_eq!(thread::current().id(), self.1);
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    run(|| {
        let pool = &Executor::new(1)?;
        let (gate, job) = gate();
        scope(|s| {
            s.spawn(|| pool.run(job));
            gate.begun()?;
            for _ in 0..100 {
                let task = s.spawn(|| {
                    let dropped = AtomicUsize::new(0);
                    let guest = Guest(&dropped, thread::current().id());
                    let result = timeout(millis(0), || pool.run(move || drop(guest)));
                    assert_eq!(dropped.load(Ordering::SeqCst), 1);
                    assert!(is_timed_out(&result.unwrap_err()));
                });
                task.join()?;
            }
            gate.release.send(()).unwrap();
            Ok(())
        })
    })
}

/// EXEC-02 is another rule in asyncio: here the job may borrow, so the caller waits (R10).
#[test]
fn r10_a_cancelled_caller_waits_for_a_job_that_runs_and_gets_its_value() -> io::Result<()> {
    run(|| {
        let (gate, job) = gate();
        let log = Log::default();
        scope(|s| {
            let task = s.spawn(|| {
                let lent = 42;
                let value = to_thread(|| {
                    job();
                    &lent
                })?;
                log.say(value);
                log.say(is_cancelled(&sleep(secs(1)).unwrap_err()));
                Ok(*value)
            });
            gate.begun()?;
            task.cancel();
            task.cancel();
            sleep(millis(5))?;
            assert!(!task.is_done());
            gate.release.send(()).unwrap();
            assert_eq!(task.join()?, 42);
            Ok(())
        })?;
        assert_eq!(log.take(), "42 true");
        Ok(())
    })
}

#[test]
fn r13_a_job_that_has_ended_when_its_caller_is_cancelled_gives_its_value() -> io::Result<()> {
    run(|| {
        let handle = LoopHandle::current()?;
        let task = spawn(move || {
            let me = current().id();
            // The cancellation comes in the same turn as the end of the job, and before it.
            to_thread(move || {
                handle
                    .call_soon(move || {
                        corio::all_tasks().iter().filter(|task| task.id() == me).for_each(|task| {
                            task.cancel();
                        });
                    })
                    .unwrap();
                7
            })
        });
        assert_eq!(task.join()?, 7);
        Ok(())
    })
}

#[test]
fn a_cancelled_task_starts_no_job() -> io::Result<()> {
    run(|| {
        current().cancel();
        let refused = to_thread(|| unreachable!());
        assert!(is_cancelled(&refused.unwrap_err()));
        current().uncancel();
        to_thread(|| ())
    })
}

/// EXEC-04: each of the two waits for the other.
#[test]
fn exec_04_jobs_run_in_parallel() -> io::Result<()> {
    let both = Barrier::new(2);
    run(|| {
        scope(|s| {
            s.spawn(|| to_thread(|| both.wait()).map(drop));
            s.spawn(|| to_thread(|| both.wait()).map(drop));
            Ok(())
        })
    })
}

#[test]
fn exec_12_a_panic_reaches_the_caller_and_the_pool_survives() -> io::Result<()> {
    run(|| {
        let pool = Executor::new(1)?;
        for n in 0..3 {
            let text = panic_of(|| pool.run(|| std::panic::resume_unwind(Box::new(format!("job {n}")))));
            assert_eq!(text, format!("job {n}"));
            assert_eq!(pool.run(|| n)?, n);
        }
        let task = spawn(|| to_thread(|| -> () { std::panic::resume_unwind(Box::new("on a thread")) }));
        assert_eq!(panic_of(|| task.join()), "on a thread");
        let detached = Executor::current()?.spawn(|| -> () { std::panic::resume_unwind(Box::new("handed over")) });
        assert_eq!(panic_of(|| detached.join()), "handed over");
        Ok(())
    })
}

#[test]
fn where_nothing_can_wait_a_job_is_refused_and_on_a_bare_thread_it_runs_right_there() -> io::Result<()> {
    let here = thread::current().id();
    assert_eq!(to_thread(|| thread::current().id())?, here);
    let said = Arc::new(Mutex::new(Vec::new()));
    let hear = said.clone();
    run(move || {
        call_soon(move || {
            let error = to_thread(never).unwrap_err();
            hear.lock().unwrap().push(error.kind());
            // Handing over does not wait, so it may be done anywhere.
            drop(Executor::current().unwrap().spawn(|| 1));
        });
        yield_now()?;
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _end = Finally(|| assert!(is_cancelled(&to_thread(never).unwrap_err())));
            std::panic::resume_unwind(Box::new("x"));
        }));
        assert!(caught.is_err());
        Ok(())
    })?;
    assert_eq!(*said.lock().unwrap(), [ErrorKind::InvalidInput]);
    Ok(())
}

/// EXEC-13: what belongs to the loop says so on a helper thread.
#[test]
fn exec_13_what_belongs_to_a_loop_is_refused_on_a_helper_thread() -> io::Result<()> {
    run(|| {
        let text = panic_of(|| to_thread(|| drop(spawn(|| ()))));
        assert!(text.contains("needs a running loop"), "{text}");
        assert!(to_thread(|| corio::try_current().is_none())?);
        assert_eq!(to_thread(|| LoopHandle::current().unwrap_err().kind())?, ErrorKind::NotFound);
        assert_eq!(to_thread(|| Executor::current().unwrap_err().kind())?, ErrorKind::NotFound);
        // A loop of its own is another matter.
        assert_eq!(to_thread(|| run(|| spawn(|| Ok(5)).join()))??, 5);
        Ok(())
    })
}

// ---- the end of a run ---------------------------------------------------------------------------------------

/// R2, R3, R10: a frame that a running job borrows from does not go before the job.
#[test]
fn r10_a_shutdown_that_unwinds_a_task_waits_for_the_job_that_borrows_from_it() {
    struct Owned {
        text: String,
        job_has_ended: Arc<AtomicBool>,
    }
    impl Drop for Owned {
        fn drop(&mut self) {
            assert!(self.job_has_ended.load(Ordering::SeqCst), "the job would read what is gone");
        }
    }
    let ended = Arc::new(AtomicBool::new(false));
    let unwound = Arc::new(AtomicBool::new(false));
    let ((signal, unwinding), (tell, begun)) = (channel::<()>(), channel());
    let unwinding = Mutex::new(unwinding);
    Runner::new()
        .grace(Duration::ZERO)
        .run(|| {
            let (ended, unwound) = (ended.clone(), unwound.clone());
            spawn(move || {
                let _seen = Finally(|| unwound.store(thread::panicking(), Ordering::SeqCst));
                let owned = Owned { text: "still here".to_owned(), job_has_ended: ended.clone() };
                to_thread(|| {
                    tell.send(()).unwrap();
                    let _ = unwinding.lock().unwrap().recv(); // until the other task is unwound, which is just before this one
                    thread::sleep(millis(100));
                    assert_eq!(owned.text, "still here");
                    ended.store(true, Ordering::SeqCst);
                })
            });
            // Younger, so it is unwound first.
            spawn(move || {
                let _signal = Finally(|| _ = signal.send(()));
                while !thread::panicking() {
                    let _ = sleep(secs(60));
                }
            });
            while begun.try_recv().is_err() {
                sleep(millis(1))?;
            }
            Ok(())
        })
        .unwrap();
    assert!(ended.load(Ordering::SeqCst) && unwound.load(Ordering::SeqCst));
}

/// R3: a job that never ends, and that borrows, ends the process: by name.
#[test]
fn r3_a_borrowing_job_that_never_ends_is_named_and_ends_the_process() {
    const NAME: &str = "r3_a_borrowing_job_that_never_ends_is_named_and_ends_the_process";
    if plays(NAME) {
        let (gate, _) = gate();
        let (tell, begun) = channel();
        let _ = Runner::new().grace(Duration::ZERO).run(|| {
            let task = spawn(move || {
                let lent = 1;
                to_thread(|| {
                    tell.send(lent).unwrap();
                    loop {
                        thread::park();
                    }
                })
            });
            task.set_name("endless");
            while begun.try_recv().is_err() {
                sleep(millis(1))?;
            }
            drop(gate);
            Ok(())
        });
        return;
    }
    child(NAME).aborted(&["endless", "tests/threads.rs", "did not end"]);
}

/// E10: what borrows nothing may outlive its caller, and the run: for that it is named.
#[test]
fn e10_a_job_that_outlives_the_run_is_left_behind_and_its_result_dropped() {
    let (gate, job) = gate();
    let dropped = Arc::new(AtomicUsize::new(0));
    let value = Finally({
        let dropped = dropped.clone();
        move || _ = dropped.fetch_add(1, Ordering::SeqCst)
    });
    let (handle, lines) = logged(|| {
        Runner::new().grace(millis(10)).run(|| {
            let handle = Executor::current()?.spawn(move || {
                job();
                value
            });
            gate.begun()?;
            Ok(handle)
        })
    });
    only(&lines, "WARN", &["1 thread(s)", "left behind"]);
    let handle: RemoteHandle<_> = handle.unwrap();
    assert!(!handle.is_done());
    drop(handle);
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    gate.release.send(()).unwrap();
    while dropped.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
}

/// E10: the handle of such a job stays good, also on a thread without a loop.
#[test]
fn e10_a_job_that_outlives_the_run_can_still_be_joined() -> io::Result<()> {
    let (gate, job) = gate();
    let handle = Runner::new().grace(Duration::ZERO).run(|| {
        let handle = Executor::current()?.spawn(move || {
            job();
            5
        });
        gate.begun()?;
        Ok(handle)
    })?;
    gate.release.send(()).unwrap();
    assert_eq!(handle.join()?, 5);
    Ok(())
}

/// EXEC-05: the end of the run waits for jobs that run, within the grace.
#[test]
fn exec_05_the_end_of_the_run_waits_for_jobs_that_run() -> io::Result<()> {
    let done = Arc::new(AtomicUsize::new(0));
    run(|| {
        for _ in 0..50 {
            let done = done.clone();
            drop(Executor::current()?.spawn(move || {
                thread::sleep(millis(1));
                done.fetch_add(1, Ordering::SeqCst);
            }));
        }
        Ok(())
    })?;
    assert_eq!(done.load(Ordering::SeqCst), 50);
    Ok(())
}

#[test]
fn exec_06_after_its_shutdown_an_executor_takes_nothing() -> io::Result<()> {
    run(|| {
        to_thread(|| ())?;
        let pool = Executor::current()?;
        pool.shutdown()?;
        pool.shutdown()?;
        let refused = |error: io::Error| {
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            assert!(error.to_string().contains("shut down"), "{error}");
        };
        refused(to_thread(never).unwrap_err());
        refused(pool.run(never).unwrap_err());
        refused(pool.spawn(|| 1).join().unwrap_err());
        refused(corio::net::TcpStream::connect("localhost:1").map(drop).unwrap_err());
        Ok(())
    })
}

/// E10: no thread can be started: an error, and no hang. It works again when one can.
#[test]
fn e10_a_thread_that_cannot_be_started_is_an_error() {
    const NAME: &str = "e10_a_thread_that_cannot_be_started_is_an_error";
    if plays(NAME) {
        let limit = |bytes: Option<u64>| {
            let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: plain calls with valid structures.
            unsafe {
                libc::getrlimit(libc::RLIMIT_AS, &raw mut limits);
                limits.rlim_cur = bytes.unwrap_or(limits.rlim_max);
                assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &raw const limits), 0);
            }
        };
        run(|| {
            let pages: u64 =
                std::fs::read_to_string("/proc/self/statm")?.split(' ').next().unwrap().parse().expect("a number");
            let dropped = Cell::new(false);
            limit(Some(pages * 4096 + 64 * 1024));
            let first = to_thread(|| 1);
            let handed = Executor::current()?.spawn(|| 2).join();
            limit(None);
            for error in [first.unwrap_err(), handed.unwrap_err()] {
                assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
                assert!(error.to_string().contains("no thread can be started"), "{error}");
            }
            dropped.set(true);
            assert_eq!(to_thread(|| 3)?, 3);
            println!("played to the end");
            Ok(())
        })
        .unwrap();
        return;
    }
    let ended = child(NAME);
    assert!(ended.succeeded().stdout.contains("played to the end"), "{ended:#?}");
}

// ---- executors ----------------------------------------------------------------------------------------------

#[test]
fn exec_11_a_pool_of_three_runs_a_hundred_jobs_three_at_once() -> io::Result<()> {
    let (running, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let pool = Executor::named("three", 3)?;
    run(|| {
        scope(|s| {
            for _ in 0..100 {
                s.spawn(|| {
                    pool.run(|| {
                        assert!(thread::current().name().unwrap().starts_with("three-"));
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                    })
                });
            }
            Ok(())
        })
    })?;
    assert_eq!(done.load(Ordering::SeqCst), 100);
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    Ok(())
}

#[test]
fn jobs_of_one_thread_begin_in_the_order_in_which_they_came() -> io::Result<()> {
    let order = Mutex::new(Vec::new());
    let pool = Executor::new(1)?;
    run(|| {
        scope(|s| {
            for n in 0..20 {
                let (pool, order) = (&pool, &order);
                s.spawn(move || pool.run(|| order.lock().unwrap().push(n)));
            }
            Ok(())
        })
    })?;
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn a_shutdown_finishes_what_was_taken_and_a_cancelled_one_does_too() -> io::Result<()> {
    let pool = Executor::new(1)?;
    let done = Arc::new(AtomicUsize::new(0));
    let (gate, job) = gate();
    let mut handles = vec![pool.spawn(job)];
    for _ in 0..9 {
        let done = done.clone();
        handles.push(pool.spawn(move || _ = done.fetch_add(1, Ordering::SeqCst)));
    }
    run(|| {
        gate.begun()?;
        let cancelled = timeout(millis(5), || pool.shutdown());
        assert!(is_timed_out(&cancelled.unwrap_err()));
        assert_eq!(pool.spawn(|| ()).join().unwrap_err().kind(), ErrorKind::BrokenPipe);
        gate.release.send(()).unwrap();
        pool.shutdown()
    })?;
    assert_eq!(done.load(Ordering::SeqCst), 9);
    pool.shutdown()?; // on a thread without a loop as well
    for handle in handles {
        handle.join()?;
    }
    Ok(())
}

/// D7: nobody waits for itself, or for what would have to wait for it.
#[test]
fn d7_a_job_that_needs_its_own_pool_does_not_wait_for_itself() -> io::Result<()> {
    let pool = Executor::new(1)?;
    let own = pool.clone();
    let inside = pool.run(move || {
        let here = thread::current().id();
        assert_eq!(own.run(|| thread::current().id()).unwrap(), here);
        let sibling = own.spawn(|| thread::current().id());
        assert_eq!(sibling.join().unwrap(), here);
        own.shutdown().unwrap_err().kind()
    })?;
    assert_eq!(inside, ErrorKind::Deadlock);
    Ok(())
}

#[test]
fn the_last_ticket_that_is_dropped_closes_the_pool_and_what_it_has_taken_is_done() -> io::Result<()> {
    let (gate, job) = gate();
    let pool = Executor::new(1)?;
    let (first, second) = (pool.spawn(job), pool.spawn(|| 2));
    drop(pool);
    assert!(!first.is_done() && !second.is_done());
    gate.release.send(()).unwrap();
    assert_eq!(second.join()?, 2);
    first.join()
}

#[test]
fn an_executor_without_threads_is_refused() {
    assert_eq!(Executor::new(0).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(Executor::named("a\0b", 1).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_runner_takes_an_executor_which_stays_when_the_run_ends() -> io::Result<()> {
    let pool = Executor::named("given", 1)?;
    for _ in 0..3 {
        let name = Runner::new().executor(pool.clone()).run(|| {
            Executor::current()?;
            to_thread(|| thread::current().name().map(str::to_owned))
        })?;
        assert_eq!(name.as_deref(), Some("given-1"));
    }
    pool.run(|| ())
}

/// R18: a job that is out counts as hope, and holds a virtual clock back.
#[test]
fn r18_a_job_that_is_out_is_hope_and_holds_the_virtual_clock_back() -> io::Result<()> {
    sim(|| {
        let start = now();
        timeout(secs(3_600), || to_thread(|| thread::sleep(millis(20))))?;
        let handed = Executor::current()?.spawn(|| thread::sleep(millis(20)));
        timeout(secs(3_600), || handed.join())?;
        assert!(now() - start < secs(3_600));
        Ok(())
    })?;
    // Without any timer: no deadlock either.
    sim(|| to_thread(|| thread::sleep(millis(5))))
}

#[test]
fn exec_02_who_waits_for_a_handed_job_and_is_cancelled_leaves_at_once() -> io::Result<()> {
    let (gate, job) = gate();
    let (tell, told) = channel();
    run(|| {
        let handle = Executor::current()?.spawn(move || {
            job();
            tell.send(()).unwrap();
        });
        gate.begun()?;
        let waiter = spawn(move || handle.join());
        yield_now()?;
        waiter.cancel();
        assert!(is_cancelled(&waiter.join().unwrap_err()));
        gate.release.send(()).unwrap();
        Ok(())
    })?;
    told.recv().unwrap(); // it was not interrupted
    Ok(())
}

#[test]
fn fut_17_a_handed_job_that_has_not_begun_can_be_taken_back_and_one_that_runs_cannot() -> io::Result<()> {
    let pool = Executor::new(1)?;
    let (gate, job) = gate();
    let running = pool.spawn(job);
    gate.begun.recv().unwrap();
    let queued = pool.spawn(|| unreachable!("it was taken back"));
    assert!(queued.cancel() && queued.is_done() && !queued.cancel());
    assert!(is_cancelled(&queued.join().unwrap_err()));
    assert!(running.cancel() && !running.is_done());
    gate.release.send(()).unwrap();
    running.join()
}

#[test]
fn a_panic_that_nobody_joins_is_logged() -> io::Result<()> {
    let (result, lines) = logged(|| {
        run(|| {
            let pool = Executor::new(1)?;
            let handle = pool.spawn(|| -> () { std::panic::resume_unwind(Box::new("unseen")) });
            pool.run(|| ())?;
            drop(handle);
            Ok(())
        })
    });
    only(&lines, "ERROR", &["panicked and nobody joined it", "unseen", "tests/threads.rs"]);
    result
}

/// D8: a std lock that a job waits for stops the job, not the loop. (A task that waits for one stops the loop.)
#[test]
fn d8_a_std_lock_is_waited_for_on_a_helper_thread() -> io::Result<()> {
    let lock = Mutex::new(0);
    run(|| {
        scope(|s| {
            let (mut held, (gate, job)) = (lock.lock().unwrap(), gate());
            s.spawn(|| {
                to_thread(|| {
                    job();
                    *lock.lock().unwrap() += 1;
                })
            });
            gate.begun()?;
            gate.release.send(()).unwrap();
            for _ in 0..5 {
                sleep(millis(1))?; // with the lock held: the loop goes on
            }
            assert_eq!(*held, 0);
            *held = 10;
            Ok(())
        })
    })?;
    assert_eq!(*lock.lock().unwrap(), 11);
    Ok(())
}

/// LOOP-32: a name is looked up on a thread of the executor, and a time limit leaves the look-up behind.
#[test]
fn loop_32_a_name_is_looked_up_on_the_executor() -> io::Result<()> {
    let pool = Executor::new(1)?;
    let (gate, job) = gate();
    let blocker = pool.spawn(job);
    gate.begun.recv().unwrap();
    Runner::new().executor(pool.clone()).run(|| {
        let late = timeout(millis(5), || corio::net::TcpListener::bind("localhost:0"));
        assert!(is_timed_out(&late.unwrap_err()), "the only thread is busy");
        assert!(format!("{pool:?}").contains("queued: 0"), "{pool:?}");
        gate.release.send(()).unwrap();
        corio::net::TcpListener::bind("localhost:0").map(drop)
    })?;
    blocker.join()
}

#[test]
fn a_hundred_runs_leave_no_thread_behind() -> io::Result<()> {
    const NAME: &str = "a_hundred_runs_leave_no_thread_behind";
    if plays(NAME) {
        let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        let before = threads();
        for _ in 0..100 {
            run(|| to_thread(|| ()))?;
        }
        // The system takes a moment to forget a thread that was joined.
        while threads() != before {
            thread::sleep(millis(1));
        }
        return Ok(());
    }
    child(NAME).succeeded();
    Ok(())
}

// ---- tasks that other threads spawn -------------------------------------------------------------------------

/// A loop on a thread of its own, until it is dropped.
struct Elsewhere {
    handle: LoopHandle,
    main: u64,
    thread: Option<thread::JoinHandle<io::Result<()>>>,
}

fn elsewhere() -> Elsewhere {
    let (tell, told) = channel();
    let thread = thread::spawn(move || {
        Runner::new().ctrl_c(false).grace(millis(10)).run(|| {
            tell.send((LoopHandle::current()?, current().id())).unwrap();
            let _ = sleep(Duration::MAX);
            Ok(())
        })
    });
    let (handle, main) = told.recv().unwrap();
    Elsewhere { handle, main, thread: Some(thread) }
}

impl Elsewhere {
    fn handle(&self) -> &LoopHandle {
        &self.handle
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            let main = self.main;
            let cancel =
                move || corio::all_tasks().iter().filter(|task| task.id() == main).for_each(|task| _ = task.cancel());
            self.handle.call_soon(cancel).unwrap();
            thread.join().unwrap().unwrap();
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn exec_07_a_thread_gets_the_value_the_error_and_the_panic_of_a_task() {
    let there = elsewhere();
    let handle = there.handle();
    assert_eq!(handle.spawn(|| Ok(5)).join().unwrap(), 5);
    handle.spawn(|| ()).join().unwrap();
    assert_eq!(handle.spawn(|| spawn(|| Ok("a task's"))).join().unwrap(), "a task's");
    let waits = handle.spawn(|| {
        sleep(millis(2))?;
        Ok(current().id())
    });
    assert!(waits.join().unwrap() > 1);
    let fails: io::Result<()> = handle.spawn(|| Err(io::Error::from(ErrorKind::AddrInUse))).join();
    assert_eq!(fails.unwrap_err().kind(), ErrorKind::AddrInUse);
    let panics = handle.spawn(|| -> io::Result<()> { std::panic::resume_unwind(Box::new("there")) });
    assert_eq!(panic_of(|| panics.join()), "there");
    assert_eq!(handle.spawn(|| Ok(6)).join().unwrap(), 6, "the loop goes on");
}

#[test]
fn exec_07_cancelling_the_handle_cancels_the_task() {
    let there = elsewhere();
    let (tell, told) = channel();
    let task = there.handle().spawn(move || {
        tell.send(()).unwrap();
        let error = sleep(secs(3_600)).unwrap_err();
        tell.send(()).unwrap();
        Err::<(), _>(error)
    });
    told.recv().unwrap();
    assert!(!task.is_done() && task.cancel());
    told.recv().unwrap();
    assert!(is_cancelled(&task.join().unwrap_err()));
}

#[test]
fn exec_03_a_task_that_is_cancelled_before_it_begins_never_runs() {
    let there = elsewhere();
    let (gate, block) = gate();
    let blocker = there.handle().spawn(block); // it blocks the whole loop
    gate.begun.recv().unwrap();
    let (dropped, capture) = (Arc::new(()), Arc::new(()));
    let (weak, held) = (Arc::downgrade(&dropped), capture.clone());
    let task = there.handle().spawn(move || -> io::Result<()> { unreachable!("{dropped:?} {held:?}") });
    assert!(task.cancel());
    gate.release.send(()).unwrap();
    assert!(is_cancelled(&task.join().unwrap_err()));
    assert!(weak.upgrade().is_none());
    blocker.join().unwrap();
}

#[test]
fn exec_09_a_limit_on_the_wait_leaves_the_task_alone() {
    let there = elsewhere();
    let (gate, block) = gate();
    let mut task = there.handle().spawn(move || {
        to_thread(block)?;
        Ok(9)
    });
    assert_eq!(task.join_timeout(millis(5)).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(task.join_timeout(Duration::ZERO).unwrap_err().kind(), ErrorKind::TimedOut);
    gate.release.send(()).unwrap();
    assert_eq!(task.join_timeout(Duration::MAX).unwrap(), 9);
    assert_eq!(task.join_timeout(millis(5)).unwrap_err().kind(), ErrorKind::InvalidInput, "it was taken");
}

#[test]
fn exec_09_on_a_loop_the_limit_is_one_of_the_loop_s_clock() -> io::Result<()> {
    let there = elsewhere();
    let (gate, block) = gate();
    let mut task = there.handle().spawn(move || to_thread(block));
    run(|| {
        let others = spawn(|| {
            sleep(millis(1))?;
            gate.begun()?;
            Ok(gate)
        });
        assert!(is_timed_out(&task.join_timeout(millis(5)).unwrap_err()));
        others.join()?.release.send(()).unwrap();
        task.join_timeout(secs(3_600))
    })
}

#[test]
fn exec_10_a16_a_loop_that_is_gone_takes_nothing_and_the_body_is_dropped() {
    let mut there = elsewhere();
    let handle = there.handle().clone();
    there.end();
    assert!(handle.is_closed());
    let capture = Arc::new(());
    let seen = Arc::downgrade(&capture);
    let task = handle.spawn(move || -> io::Result<()> { unreachable!("{capture:?}") });
    assert!(seen.upgrade().is_none() && task.is_done() && !task.cancel());
    let error = task.join().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    run(|| {
        assert_eq!(handle.spawn(|| ()).join().unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
    .unwrap();
}

#[test]
fn exec_10_what_comes_too_late_for_the_run_is_dropped_and_its_handle_told() -> io::Result<()> {
    let late = run(|| {
        let handle = LoopHandle::current()?;
        Ok(thread::spawn(move || handle.spawn(|| -> io::Result<()> { unreachable!() })).join().unwrap())
    })?;
    assert_eq!(late.join().unwrap_err().kind(), ErrorKind::BrokenPipe);
    Ok(())
}

/// A task that the end of the run cancels, or unwinds, ends for its handle too.
#[test]
fn exec_07_the_end_of_the_run_reaches_the_handles() {
    let (late, _) = logged(|| {
        Runner::new().grace(millis(1)).run(|| {
            let handle = LoopHandle::current()?;
            let reacts = handle.spawn(|| sleep(secs(3_600)));
            let stubborn = handle.spawn(|| {
                loop {
                    let _ = corio::shield(secs(3_600), || sleep(secs(3_600)));
                    if false {
                        break Ok(());
                    }
                }
            });
            sleep(millis(1))?;
            Ok([reacts, stubborn])
        })
    });
    for task in late.unwrap() {
        assert!(is_cancelled(&task.join().unwrap_err()));
    }
}

#[test]
fn exec_08_a_failure_that_nobody_joins_is_logged_on_the_loop() -> io::Result<()> {
    let (result, lines) = logged(|| {
        run(|| {
            let handle = LoopHandle::current()?;
            drop(handle.spawn(|| Err::<(), _>(io::Error::other("lost error"))));
            drop(handle.spawn(|| -> io::Result<()> { std::panic::resume_unwind(Box::new("lost panic")) }));
            let kept = handle.spawn(|| Err::<(), _>(io::Error::other("taken")));
            assert_eq!(kept.join().unwrap_err().to_string(), "taken");
            let late = handle.spawn(|| Err::<(), _>(io::Error::other("dropped late")));
            while !late.is_done() {
                yield_now()?;
            }
            drop(late);
            Ok(())
        })
    });
    only(&lines, "ERROR", &["nobody joined it", "lost error"]);
    only(&lines, "ERROR", &["nobody joined it", "lost panic"]);
    only(&lines, "ERROR", &["nobody joined it", "dropped late"]);
    assert!(!lines.iter().any(|line| line.contains("taken")), "{lines:#?}");
    result
}

/// FUT-16: waiting for what belongs to another loop: the handle is made for it, and the waiting loop goes on.
#[test]
fn fut_16_a_task_of_one_loop_waits_for_a_task_of_another() -> io::Result<()> {
    let there = elsewhere();
    run(|| {
        let (gate, block) = gate();
        let ticks = Cell::new(0);
        scope(|s| {
            let task = there.handle().spawn(move || {
                to_thread(block)?;
                Ok(3)
            });
            s.spawn(|| {
                gate.begun()?;
                for n in 1..4 {
                    sleep(millis(1))?;
                    ticks.set(n);
                }
                gate.release.send(()).unwrap();
                Ok(())
            });
            assert_eq!(task.join()?, ticks.get());
            Ok(())
        })
    })
}

#[test]
fn fut_17_cancelling_the_waiter_cancels_the_remote_task_and_does_not_wait_for_it() -> io::Result<()> {
    let there = elsewhere();
    let (tell, told) = channel();
    let (begins, begun) = channel();
    run(|| {
        let task = there.handle().spawn(move || {
            begins.send(()).unwrap();
            let result = sleep(secs(3_600));
            tell.send(is_cancelled(result.as_ref().unwrap_err())).unwrap();
            result
        });
        begun.recv().unwrap(); // the other loop goes on meanwhile; cancelled before its begin it would tell nothing
        assert!(is_timed_out(&timeout(millis(10), || task.join()).unwrap_err()));
        Ok(())
    })?;
    assert!(told.recv().unwrap());
    Ok(())
}

/// FUT-18: nobody is there any more when the work ends: its result is dropped, and nothing else happens.
#[test]
fn fut_18_work_that_ends_after_its_waiter_and_its_loop_is_ignored() -> io::Result<()> {
    let (gate, job) = gate();
    let pool = Executor::new(1)?;
    let (handed, told) = channel();
    let result = Arc::new(());
    let kept = Arc::downgrade(&result);
    run(|| {
        let task = spawn({
            let pool = pool.clone();
            move || {
                let work = pool.spawn(move || {
                    job();
                    let _ = handed.send(());
                    result
                });
                work.join().map(drop)
            }
        });
        gate.begun()?;
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()));
        Ok(())
    })?;
    gate.release.send(()).unwrap();
    told.recv().unwrap();
    pool.shutdown()?;
    assert!(kept.upgrade().is_none());
    Ok(())
}

/// D7: for a task that waits for itself.
#[test]
fn d7_a_task_that_joins_its_own_handle_is_told_at_once() -> io::Result<()> {
    run(|| {
        thread_local!(static OWN: RefCell<Option<RemoteHandle<ErrorKind>>> = const { RefCell::new(None) });
        let (tell, told) = channel();
        let task = LoopHandle::current()?.spawn(move || {
            let own = OWN.take().expect("it was put there before the first turn");
            let kind = own.join().unwrap_err().kind();
            tell.send(kind).unwrap();
            Ok(kind)
        });
        OWN.set(Some(task));
        sleep(millis(1))?;
        assert_eq!(told.try_recv(), Ok(ErrorKind::Deadlock));
        Ok(())
    })
}

#[test]
fn a_callback_that_joins_is_told_that_it_cannot_wait() -> io::Result<()> {
    let there = elsewhere();
    let (gate, block) = gate();
    let task = there.handle().spawn(move || to_thread(block));
    gate.begun.recv().unwrap();
    let (tell, told) = channel();
    run(move || {
        call_soon(move || tell.send(task.join().unwrap_err()).unwrap());
        yield_now()?;
        let error = told.recv().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("callback"), "{error}");
        gate.release.send(()).unwrap();
        Ok(())
    })
}

/// PORT-09: the handle may go to any thread, which a task's own handle may not.
#[test]
fn port_09_handles_for_other_threads_are_send_and_sync() {
    fn goes_anywhere<T: Send + Sync>() {}
    goes_anywhere::<LoopHandle>();
    goes_anywhere::<Executor>();
    goes_anywhere::<RemoteHandle<Cell<u8>>>();
}

/// LOOP-23: ten thousand from several threads; each runs once, its result reaches whoever spawned it, and timers and
/// other tasks go on.
#[test]
fn loop_23_ten_thousand_tasks_from_several_threads() -> io::Result<()> {
    const THREADS: usize = 4;
    const EACH: usize = 2_500;
    run(|| {
        let ran = Arc::new(AtomicUsize::new(0));
        let handle = LoopHandle::current()?;
        let threads: Vec<_> = (0..THREADS)
            .map(|t| {
                let (handle, ran) = (handle.clone(), ran.clone());
                thread::spawn(move || {
                    for round in 0..EACH / 50 {
                        let spawn = |n| {
                            let ran = ran.clone();
                            handle.spawn(move || {
                                yield_now()?;
                                ran.fetch_add(1, Ordering::SeqCst);
                                Ok((t, round, n))
                            })
                        };
                        let tasks: Vec<_> = (0..50).map(spawn).collect();
                        for (n, task) in tasks.into_iter().enumerate() {
                            assert_eq!(task.join().unwrap(), (t, round, n));
                        }
                    }
                })
            })
            .collect();
        let mut ticks = 0;
        while ran.load(Ordering::SeqCst) < THREADS * EACH {
            sleep(millis(1))?;
            ticks += 1;
        }
        assert!(ticks > 0);
        to_thread(|| threads.into_iter().for_each(|thread| thread.join().unwrap()))
    })
}

/// LOOP-17: the loop ends while threads spawn on it: everything is either run or refused, and every handle ends.
#[test]
fn loop_17_threads_that_spawn_while_the_run_ends_are_served_or_refused() {
    for _ in 0..20 {
        let (tell, told) = channel();
        let ran = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (ran, told) = (ran.clone(), {
                    let (sender, receiver) = channel::<LoopHandle>();
                    tell.send(sender).unwrap();
                    receiver
                });
                thread::spawn(move || {
                    let handle = told.recv().unwrap();
                    let mut done = 0;
                    loop {
                        let ran = ran.clone();
                        match handle.spawn(move || Ok(ran.fetch_add(1, Ordering::SeqCst))).join() {
                            Ok(_) => done += 1,
                            Err(error) if is_cancelled(&error) => {}
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                                return done;
                            }
                        }
                    }
                })
            })
            .collect();
        runner()
            .run(|| {
                for sender in told.try_iter() {
                    sender.send(LoopHandle::current()?).unwrap();
                }
                while ran.load(Ordering::SeqCst) < 10 {
                    yield_now()?;
                }
                Ok(())
            })
            .unwrap();
        let done: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(done, ran.load(Ordering::SeqCst));
    }
}

/// R13: what has happened is not undone by a cancellation that comes with it.
#[test]
fn r13_a_shutdown_that_is_through_is_no_failure_of_whoever_was_cancelled_meanwhile() {
    let executor = Executor::new(1).unwrap();
    let (gate, job) = gate();
    runner()
        .run(|| {
            let running = executor.spawn(job);
            gate.begun.recv().unwrap();
            let waits = spawn({
                let executor = executor.clone();
                move || executor.shutdown()
            });
            yield_now()?;
            // The loop stands still until the last thread has gone, and cancels before it looks.
            gate.release.send(()).unwrap();
            while format!("{executor:?}").contains("threads: 1") {
                thread::yield_now();
            }
            waits.cancel();
            waits.join()?;
            running.join()
        })
        .unwrap();
}
