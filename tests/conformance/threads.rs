//! EXEC: work on other threads, and tasks for them. More in `tests/threads.rs`.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use crate::common::{logged, panic_of, runner, sim};
use corio::{
    Executor, LoopHandle, Runner, call_soon, current, is_cancelled, millis, secs, sleep, spawn, to_thread, yield_now,
};

/// Waits without blocking the loop until a thread has said something.
fn heard<T>(from: &mpsc::Receiver<T>) -> io::Result<T> {
    loop {
        match from.try_recv() {
            Ok(value) => return Ok(value),
            Err(mpsc::TryRecvError::Empty) => sleep(millis(1))?,
            Err(gone) => return Err(io::Error::other(gone)),
        }
    }
}

/// EXEC-01: the function runs on another thread, and its value, or its error, comes back.
#[test]
fn what_a_thread_returns_comes_back() {
    sim(|| {
        let here = thread::current().id();
        assert_ne!(to_thread(|| thread::current().id())?, here);
        let lent = [1, 2, 3];
        assert_eq!(to_thread(|| lent.iter().sum::<i32>())?, 6);
        let error = to_thread(|| Err::<(), _>(io::Error::other("own")))?.unwrap_err();
        assert_eq!(error.to_string(), "own");
        assert_eq!(Executor::new(1)?.run(|| 7)?, 7);
        assert_eq!(Executor::current()?.spawn(|| 8).join()?, 8);
        Ok(())
    })
    .unwrap();
}

/// EXEC-02 and FUT-17: who waits for a job of its own, which borrows nothing, and is cancelled leaves at once; the job runs
/// to its end and its value is dropped. A job that borrows is waited for, and its value comes.
#[test]
fn a_cancelled_waiter_leaves_a_job_behind_if_it_borrows_nothing() {
    let dropped = Arc::new(AtomicBool::new(false));
    struct Value(Arc<AtomicBool>);
    impl Drop for Value {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    sim(|| {
        let (go, wait) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let value = Value(dropped.clone());
        let job = Executor::current()?.spawn(move || {
            begun.send(()).unwrap();
            let _ = wait.recv();
            value
        });
        heard(&has_begun)?;
        let waiter = spawn(move || job.join());
        yield_now()?;
        waiter.cancel();
        assert!(is_cancelled(&waiter.join().map(drop).unwrap_err()));
        assert!(!dropped.load(Ordering::SeqCst), "the job still runs");
        go.send(()).unwrap();
        while !dropped.load(Ordering::SeqCst) {
            sleep(millis(1))?;
        }

        let (go, wait) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let waiter = spawn(move || {
            let lent = 7;
            let lent = &lent;
            let value = to_thread(move || {
                begun.send(()).unwrap();
                let _ = wait.recv();
                *lent
            })?;
            assert_eq!(current().cancelling(), 1);
            assert!(yield_now().is_err());
            Ok(value)
        });
        heard(&has_begun)?;
        waiter.cancel();
        yield_now()?;
        assert!(!waiter.is_done());
        go.send(()).unwrap();
        assert_eq!(waiter.join()?, 7);
        Ok(())
    })
    .unwrap();
}

/// FUT-18: a job that ends when nobody waits for it any more, or when the loop is gone, is no failure.
#[test]
fn a_job_that_ends_after_the_loop_is_no_failure() {
    let executor = Executor::new(1).unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let (ended, has_ended) = mpsc::channel();
    let ((), lines) = logged(|| {
        sim(|| {
            let job = executor.spawn(move || {
                begun.send(()).unwrap();
                let _ = wait.recv();
                ended.send(()).unwrap();
                5
            });
            heard(&has_begun)?;
            spawn(move || job.join());
            yield_now()
        })
        .unwrap();
    });
    go.send(()).unwrap();
    has_ended.recv().unwrap();
    executor.shutdown().unwrap();
    assert!(!lines.iter().any(|line| line.starts_with("ERROR")), "{lines:#?}");
}

/// EXEC-03: a job that is cancelled before it has begun never runs.
#[test]
fn a_job_that_has_not_begun_never_runs() {
    sim(|| {
        let one = Executor::new(1)?;
        let (go, wait) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let first = one.spawn(move || {
            begun.send(()).unwrap();
            let _ = wait.recv();
        });
        heard(&has_begun)?;
        let ran = Arc::new(AtomicUsize::new(0));
        let (a, b) = (ran.clone(), ran.clone());
        let second = one.spawn(move || a.fetch_add(1, Ordering::SeqCst));
        assert!(second.cancel());
        assert!(is_cancelled(&second.join().unwrap_err()));
        let pool = one.clone();
        let borrowing = spawn(move || pool.run(|| b.fetch_add(1, Ordering::SeqCst)));
        yield_now()?;
        borrowing.cancel();
        assert!(is_cancelled(&borrowing.join().unwrap_err()));
        go.send(()).unwrap();
        first.join()?;
        one.shutdown()?;
        assert_eq!(ran.load(Ordering::SeqCst), 0);
        Ok(())
    })
    .unwrap();
}

/// EXEC-04: what the closure has captured goes along; calls at the same time run at the same time: these meet.
#[test]
fn jobs_run_at_the_same_time() {
    sim(|| {
        let meeting = Arc::new(Barrier::new(2));
        let tasks = [1, 2].map(|n| {
            let meeting = meeting.clone();
            spawn(move || {
                to_thread(move || {
                    meeting.wait();
                    n * 10
                })
            })
        });
        let [a, b] = tasks;
        assert_eq!((a.join()?, b.join()?), (10, 20));
        Ok(())
    })
    .unwrap();
}

/// EXEC-05: the default executor is the loop's own, made when it is first used, or one that the runner was given, which
/// stays. The end of the run waits for the jobs of its own one, for the grace at most, and then says so.
#[test]
fn the_default_executor_ends_with_the_run() {
    let name = || thread::current().name().unwrap_or_default().to_owned();
    let mine = Executor::named("mine", 1).unwrap();
    let ran_on = Runner::new().virtual_clock().executor(mine.clone()).run(|| to_thread(name)).unwrap();
    assert!(ran_on.starts_with("mine"), "{ran_on}");
    assert!(mine.run(name).unwrap().starts_with("mine"), "it has outlived the run");

    let done = Arc::new(AtomicBool::new(false));
    let d = done.clone();
    let (begun, has_begun) = mpsc::channel();
    sim(|| {
        let executor = Executor::current()?;
        drop(executor.spawn(move || {
            begun.send(()).unwrap();
            thread::sleep(millis(20));
            d.store(true, Ordering::SeqCst);
        }));
        heard(&has_begun)
    })
    .unwrap();
    assert!(done.load(Ordering::SeqCst), "the run has waited for the job");

    let (go, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let (result, lines) = logged(|| {
        runner().grace(millis(10)).run(|| {
            drop(Executor::current()?.spawn(move || {
                begun.send(()).unwrap();
                let _ = wait.recv();
            }));
            heard(&has_begun)
        })
    });
    result.unwrap();
    drop(go);
    assert!(lines.iter().any(|line| line.starts_with("WARN") && line.contains("executor")), "{lines:#?}");
}

/// EXEC-06: an executor that was shut down takes no jobs.
#[test]
fn an_executor_that_was_shut_down_takes_no_jobs() {
    sim(|| {
        let executor = Executor::new(2)?;
        assert_eq!(executor.run(|| 1)?, 1);
        executor.shutdown()?;
        assert_eq!(executor.run(|| 2).unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(executor.spawn(|| 3).join().unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
    .unwrap();
}

/// EXEC-07: what a thread spawns on the loop, it can wait for: its value, its error, its cancellation, and its cancel
/// cancels the task.
#[test]
fn a_thread_waits_for_a_task_of_the_loop() {
    sim(|| {
        let handle = LoopHandle::current()?;
        let ended = Arc::new(AtomicBool::new(false));
        let e = ended.clone();
        to_thread(move || {
            let value = handle.spawn(|| {
                yield_now()?;
                Ok(7)
            });
            assert_eq!(value.join().unwrap(), 7);
            let error = handle.spawn(|| Err::<(), _>(io::Error::other("own")));
            assert_eq!(error.join().unwrap_err().to_string(), "own");
            let cancelled = handle.spawn(|| {
                current().cancel();
                yield_now()
            });
            assert!(is_cancelled(&cancelled.join().unwrap_err()));
            let (begun, has_begun) = mpsc::channel();
            let endless = handle.spawn(move || {
                begun.send(()).unwrap();
                let result = sleep(secs(1 << 40));
                e.store(true, Ordering::SeqCst);
                result
            });
            has_begun.recv().unwrap();
            assert!(endless.cancel());
            assert!(is_cancelled(&endless.join().unwrap_err()));
        })?;
        assert!(ended.load(Ordering::SeqCst));
        Ok(())
    })
    .unwrap();
}

/// EXEC-08: a body that panics on the loop panics at whoever joins it on the thread, and is not logged as well; one that
/// nobody joins is logged.
#[test]
fn a_panic_on_the_loop_reaches_the_thread_or_the_log() {
    let ((), lines) = logged(|| {
        sim(|| {
            let handle = LoopHandle::current()?;
            let text = to_thread(|| panic_of(|| handle.spawn(|| -> io::Result<()> { panic!("joined") }).join()))?;
            assert_eq!(text, "joined");
            drop(handle.spawn(|| -> io::Result<()> { panic!("alone") }));
            sleep(millis(1))
        })
        .unwrap();
    });
    let errors: Vec<_> = lines.iter().filter(|line| line.starts_with("ERROR")).collect();
    assert!(errors.len() == 1 && errors[0].contains("alone"), "{errors:#?}");
}

/// EXEC-09: a thread may wait with a limit: if that is met, the task goes on, and can be waited for again or cancelled.
#[test]
fn a_thread_may_wait_with_a_limit() {
    sim(|| {
        let handle = LoopHandle::current()?;
        let (go, may_go) = mpsc::channel::<()>();
        to_thread(move || {
            let mut task = handle.spawn(move || {
                heard(&may_go)?;
                Ok(7)
            });
            let late = task.join_timeout(millis(5)).unwrap_err();
            assert_eq!(late.kind(), ErrorKind::TimedOut);
            assert!(!task.is_done());
            go.send(()).unwrap();
            assert_eq!(task.join().unwrap(), 7);
        })
    })
    .unwrap();
}

/// EXEC-10: to spawn on a loop that is gone is an error at the join, and the body is dropped.
#[test]
fn to_spawn_on_a_loop_that_is_gone_is_an_error() {
    let handle = sim(LoopHandle::current).unwrap();
    let captured = Arc::new(());
    let kept = captured.clone();
    let task = handle.spawn(move || {
        drop(kept);
        Ok(())
    });
    assert_eq!(Arc::strong_count(&captured), 1);
    assert_eq!(task.join().unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// EXEC-11: a hundred jobs on a pool of four: all are done, never more than four at once.
#[test]
fn a_pool_runs_no_more_than_it_has_threads() {
    sim(|| {
        let four = Executor::new(4)?;
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs: Vec<_> = (0..100)
            .map(|n| {
                let (now, most) = (now.clone(), most.clone());
                four.spawn(move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                    n
                })
            })
            .collect();
        let done = jobs.into_iter().map(|job| job.join()).collect::<io::Result<Vec<_>>>()?;
        assert!(done.into_iter().eq(0..100));
        assert!((1..=4).contains(&most.load(Ordering::SeqCst)));
        four.shutdown()
    })
    .unwrap();
}

/// EXEC-12: the panic of a job reaches whoever waits for it, and the pool survives it.
#[test]
fn the_panic_of_a_job_reaches_its_waiter() {
    sim(|| {
        let one = Executor::new(1)?;
        assert_eq!(panic_of(|| one.run(|| panic!("in the job"))), "in the job");
        assert_eq!(panic_of(|| one.spawn(|| -> u32 { panic!("in another") }).join()), "in another");
        assert_eq!(one.run(|| 7)?, 7);
        assert_eq!(panic_of(|| to_thread(|| panic!("lent"))), "lent");
        assert_eq!(to_thread(|| 8)?, 8);
        Ok(())
    })
    .unwrap();
}

/// EXEC-13: what belongs to the loop is refused on a worker's thread: there is no loop. Handles of tasks and promises do
/// not get there at all, which the compiler checks.
#[test]
fn a_worker_thread_has_no_loop() {
    sim(|| {
        to_thread(|| {
            assert!(LoopHandle::current().is_err() && corio::try_current().is_none());
            for text in [panic_of(|| spawn(|| ())), panic_of(|| call_soon(|| ())), panic_of(|| current().id())] {
                assert!(text.contains("corio::run"), "{text}");
            }
            assert!(corio::scope(|_| Ok(())).is_err());
        })?;
        // The loop is not disturbed.
        let turned = std::rc::Rc::new(Cell::new(false));
        let t = turned.clone();
        call_soon(move || t.set(true));
        yield_now()?;
        assert!(turned.get());
        Ok(())
    })
    .unwrap();
}
