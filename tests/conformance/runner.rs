//! RUNNER: the run as a whole. More in `tests/shutdown.rs` and `tests/signals.rs`.

use std::io::ErrorKind;

use crate::common::{child, plays, runner, sim};
use corio::{all_tasks, current, is_cancelled, run, secs, sleep, spawn};

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
