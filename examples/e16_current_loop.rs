//! **Lesson.** Inside, the loop is always at hand; outside there is none, and asking for it says so.
//!
//! **Predict.** What does a second `run` do, inside the first? And what does another thread see of this loop?
//!
//! **Shows** none of the pauses: nothing here waits.
//! **Covers** B1.
//!
//! Run `cargo run --example e16_current_loop`, and add `-- --quiet` or `-- --detail 2`.

use std::io;

use corio::{LoopHandle, current, run, say, try_current};

mod common;

pub(crate) fn program() -> io::Result<()> {
    say!("here runs {}", current().name());
    let handle = LoopHandle::current()?;
    say!("its loop is open: {}", !handle.is_closed());
    if let Err(e) = run(|| ()) {
        say!("a second loop in the first: {e}");
    }

    // Nothing else runs on this thread until `join` returns: an example may do that, a server may not.
    let outside = std::thread::spawn(|| (try_current().is_some(), LoopHandle::current().map(|_| ())));
    let (task, no_loop) = outside.join().expect("it does not panic");
    say!("elsewhere, is there a task? {task}");
    say!("elsewhere, is there a loop? {}", no_loop.unwrap_err());
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
