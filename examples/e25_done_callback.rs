//! **Lesson.** A task can call you when it is done, instead of you waiting.
//!
//! **Predict.** Is the callback called inside `cook`, at its last line, or later? Before or after `join` returns? And one that is
//! added when the task is over?
//!
//! **Shows** V5 (what made it ready).
//! **Covers** C23.
//!
//! Run `cargo run --example e25_done_callback`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Builder, say, secs, sleep};

mod common;

fn cook() -> io::Result<&'static str> {
    sleep(secs(2))?;
    say!("the soup is ready");
    Ok("soup")
}

pub(crate) fn program() -> io::Result<()> {
    let task = Builder::new().name("cook").spawn(cook)?;
    task.on_done(|task| say!("callback: {} is done; was it cancelled? {}", task.name(), task.cancelled()));
    let ticket = task.task(); // a second ticket, for after the join
    say!("join brings {}", task.join()?);
    ticket.on_done(|task| say!("callback: {} has been done for a while", task.name()));
    sleep(secs(1))
}

fn main() -> io::Result<()> {
    common::watch(program)
}
