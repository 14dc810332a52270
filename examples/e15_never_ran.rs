//! **Lesson.** Calling a function runs it; what is only built has done nothing, and who drops it has lost nothing.
//!
//! **Predict.** In Python `greet("Ada")` without `await` does nothing, and that is a common mistake. Which of the three greetings
//! below are heard? What does the one who waits for the cancelled one get?
//!
//! **Shows** V7 (how it ended).
//! **Covers** B6, C10, D4, D18.
//!
//! Run `cargo run --example e15_never_ran`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Coroutine, Outcome, say, secs, sleep, spawn};

mod common;

fn greet(name: &str) -> io::Result<()> {
    sleep(secs(1))?;
    say!("Hello, {name}!");
    Ok(())
}

pub(crate) fn program() -> io::Result<()> {
    // A call is the call: there is nothing that could be forgotten but the error, and the compiler warns of that.
    greet("Ada")?;

    // A coroutine is only built, until somebody starts it.
    let lazy: Coroutine<(), ()> = Coroutine::new(|_| greet("Grace"));
    say!("has Grace's begun? {}", lazy.is_started());
    drop(lazy);

    // A task begins in the next turn. One that is cancelled before that never runs.
    let task = spawn(|| greet("Barbara"));
    task.cancel();
    match task.outcome() {
        Outcome::Cancelled(_) => say!("Barbara's was cancelled before it began"),
        other => say!("surprise: {other:?}"),
    }
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
