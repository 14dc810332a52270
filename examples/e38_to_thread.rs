//! **Lesson.** A call that blocks is handed to a helper thread, and its task is parked until that one reports back.
//!
//! **Predict.** Does the metronome get a turn while the slow answer is worked out? May the closure, on its other thread, borrow the
//! question from here?
//!
//! **Shows** V5 (what made it ready: a helper thread), V6.
//! **Covers** C15.
//!
//! Run `cargo run --example e38_to_thread`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::cell::Cell;
use std::{io, thread};

use corio::{millis, say, scope, sleep, to_thread};

mod common;

/// Of a library that knows nothing of tasks: it stops the thread that calls it.
fn slow_answer(question: &str) -> String {
    thread::sleep(millis(50));
    format!("{question} 42.")
}

fn metronome(turns: &Cell<u32>) -> io::Result<()> {
    loop {
        sleep(millis(10))?;
        turns.set(turns.get() + 1);
    }
}

pub(crate) fn program() -> io::Result<()> {
    let (question, turns) = (String::from("What do you get?"), Cell::new(0));
    scope(|s| {
        s.spawn(|| metronome(&turns));
        let here = thread::current().id();
        let (answer, there) = to_thread(|| (slow_answer(&question), thread::current().id()))?;
        say!("{answer}");
        say!("on another thread: {}; others had turns: {}", here != there, turns.take() > 0);
        let answer = slow_answer(&question);
        say!("{answer}");
        say!("on this one: others had turns: {}", turns.get() > 0);
        s.cancel();
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
