//! **Lesson.** Cancelling throws an error in at the line where the task is paused; it may clean up on the way out.
//!
//! **Predict.** The job has ten steps of a second each, and is cancelled after three and a half. Which line does the error
//! come out of? Is the note written? What does `join` return to the one who cancelled?
//!
//! **Shows** V1 (where it stopped), V2 (an error came back instead of nothing), V7 (how it ended).
//! **Covers** A5, D16.
//!
//! Run `cargo run --example e21_cancel`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::observe::mark;
use corio::{Builder, is_cancelled, millis, say, secs, shield, sleep};

mod common;

// ANCHOR: job
/// Ten steps, of a second each.
fn job() -> io::Result<()> {
    let _desk = Desk;
    for step in 1..=10 {
        say!("step {step}");
        sleep(secs(1)).inspect_err(|_| say!("no further than step {step}"))?;
    }
    Ok(())
}

/// What is put away whichever way the job ends: dropping it does not wait.
struct Desk;

impl Drop for Desk {
    fn drop(&mut self) {
        say!("the desk is tidy");
    }
}
// ANCHOR_END: job

/// Clean-up that has to wait is protected, five seconds at most, from the cancellation that caused it.
fn job_with_a_note() -> io::Result<()> {
    let result = job();
    shield(secs(5), || {
        sleep(millis(250))?;
        say!("the note is written");
        Ok(())
    })?;
    result
}

pub(crate) fn program() -> io::Result<()> {
    let task = Builder::new().name("job").spawn(job_with_a_note)?;
    sleep(millis(3_500))?;
    mark("cancelling");
    task.cancel();
    match task.join() {
        Err(e) if is_cancelled(&e) => say!("the job was cancelled"),
        other => say!("surprise: {other:?}"),
    }
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
