//! RUNNER: the run as a whole. More in `tests/shutdown.rs` and `tests/signals.rs`.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, mpsc};

use crate::common::{child, plays, runner, sim};
use corio::{Executor, Generator, LoopHandle, all_tasks, current, is_cancelled, run, secs, sleep, spawn, yield_now};

/// RUNNER-02: a run inside a run is refused, before its main task is made.
#[test]
fn a_run_inside_a_run_makes_no_task() {
    sim(|| {
        let error = run(|| -> std::io::Result<()> { unreachable!() }).unwrap_err();
        assert_eq!((error.kind(), all_tasks().len()), (ErrorKind::InvalidInput, 1));
        assert_eq!(spawn(|| Ok(7)).join()?, 7);
        Ok(())
    })
    .unwrap();
}

/// RUNNER-07: main was interrupted and cancelled by somebody as well: the run was cancelled, and does not say that it was
/// interrupted.
#[test]
fn an_interrupt_does_not_hide_another_cancel() {
    const NAME: &str = "runner::an_interrupt_does_not_hide_another_cancel";
    // SAFETY: sends a signal to this thread.
    let interrupt = || unsafe { libc::raise(libc::SIGINT) };
    if plays(NAME) {
        for cancelled_too in [false, true] {
            let error = runner()
                .ctrl_c(true)
                .run(|| {
                    if cancelled_too {
                        let main = current();
                        drop(spawn(move || assert!(main.cancel())));
                    }
                    interrupt();
                    let result = sleep(secs(60));
                    assert_eq!(current().cancelling(), 1 + usize::from(cancelled_too));
                    result
                })
                .unwrap_err();
            assert!(is_cancelled(&error));
            assert_eq!(error.to_string().contains("SIGINT"), !cancelled_too, "{error}");
        }
        return;
    }
    child(NAME).succeeded();
}

/// RUNNER-04: the end of a run has an order: tasks are cancelled and awaited, with the generators that they hold; then the
/// executor's jobs are waited for; then the loop is closed. It is the same when main has failed.
#[test]
fn the_end_of_a_run_has_an_order() {
    for fails in [false, true] {
        let said = Arc::new(Mutex::new(Vec::new()));
        let (by_job, by_task, by_generator) = (said.clone(), said.clone(), said.clone());
        let (go, wait) = mpsc::channel::<()>();
        let result = sim(move || {
            let handle = LoopHandle::current()?;
            drop(Executor::current()?.spawn(move || {
                let _ = wait.recv(); // until the task below is gone
                by_job.lock().unwrap().push(if handle.is_closed() { "closed" } else { "job, the loop is open" });
            }));
            drop(spawn(move || {
                let _go = go;
                let mut generator = Generator::<()>::new(move |y| {
                    let result = y.yield_(());
                    by_generator.lock().unwrap().push("generator");
                    result
                });
                generator.next();
                let result = sleep(secs(60));
                by_task.lock().unwrap().push("task");
                drop(generator);
                result
            }));
            yield_now()?;
            if fails { Err(io::Error::other("main")) } else { Ok(()) }
        });
        assert_eq!(result.is_err(), fails);
        assert_eq!(*said.lock().unwrap(), ["task", "generator", "job, the loop is open"]);
    }
}
