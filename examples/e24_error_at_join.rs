//! **Lesson.** An error travels to whoever waits for the task, and only there; and so does a panic.
//!
//! **Predict.** The task fails after one second, and `main` joins it after two. Where is the error in between? Does the panic of
//! the second task end the program? Who is told of the error that nobody joins?
//!
//! **Shows** V7 (how it ended).
//! **Covers** B8, D11, D23: an error that nobody has looked at.
//!
//! Run `cargo run --example e24_error_at_join`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;
use std::rc::Rc;

use corio::{Failure, JoinHandle, Outcome, say, secs, set_exception_handler, sleep, spawn};

mod common;

fn number(text: &'static str) -> JoinHandle<u32> {
    spawn(move || {
        sleep(secs(1))?;
        text.parse().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    })
}

pub(crate) fn program() -> io::Result<()> {
    let task = number("four");
    sleep(secs(2))?;
    match task.join() {
        Err(e) if e.kind() == io::ErrorKind::InvalidData => say!("no number: {e}"),
        other => say!("surprise: {other:?}"),
    }

    let task = spawn(|| Ok("six".parse::<u32>().unwrap()));
    match task.outcome() {
        Outcome::Panicked(_) => say!("it panicked; `join` would let the panic go on here"),
        other => say!("surprise: {other:?}"),
    }

    // Without a handler of one's own it is logged.
    set_exception_handler(Some(Rc::new(|failure: &Failure| say!("nobody waits: {}", failure.text()))));
    drop(number("five"));
    sleep(secs(2))
}

fn main() -> io::Result<()> {
    common::watch(program)
}
