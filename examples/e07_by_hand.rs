//! **Lesson.** Building a coroutine runs nothing; each step runs it to its next pause; the last one brings what it returns.
//!
//! **Predict.** How many steps does it take until `answer` has returned: two, three or four? In which of them is the first
//! line of its body printed?
//!
//! **Shows** V1 (where it stopped), V2 (what it handed out), V7 (how it ended).
//! **Covers** B6, C10, C12, D4.
//!
//! Run `cargo run --example e07_by_hand`, and add `-- --quiet` or `-- --detail 2`.

use std::io;

use corio::{Coroutine, State, say};

mod common;

/// What a loop would want to know at each pause.
enum Wants {
    Sleep(u64),
    Readable(&'static str),
}

fn answer() -> Coroutine<(), Wants, u32> {
    Coroutine::new(|y| {
        say!("answer begins");
        y.yield_(Wants::Sleep(1))?;
        say!("answer has slept, it thinks");
        y.yield_(Wants::Readable("socket 7"))?;
        Ok(42)
    })
}

pub(crate) fn program() -> io::Result<()> {
    let mut answer = answer();
    say!("answer is built; is it started? {}", answer.is_started());
    // Whoever drives a coroutine is its event loop. This one is impatient: it grants every wish at once.
    let mut state = answer.start()?;
    let value = loop {
        match state {
            State::Yielded(Wants::Sleep(seconds)) => say!("it wants to sleep for {seconds} s"),
            State::Yielded(Wants::Readable(what)) => say!("it wants to know when {what} is readable"),
            State::Returned(value) => break value,
        }
        state = answer.send(())?;
    };
    say!("it returned {value}");
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
