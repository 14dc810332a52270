//! **Lesson.** A paused function hands a value out and takes a value in, at the same line.
//!
//! **Predict.** `echo` is built, and then a line is printed. Does "echo begins" stand before it or after it? And what does
//! sending an empty string do: does it end the conversation, as it would in the Python original?
//!
//! **Shows** V1 (where it stopped), V2 (what went out and in), V7 (how it ended).
//! **Covers** C11.
//!
//! Run `cargo run --example e05_generator`, and add `-- --quiet` or `-- --detail 2`.

use std::io;

use corio::{Coroutine, State, say};

mod common;

// ANCHOR: echo
/// Takes an `Option<&str>` at each pause, hands a `String` out, and returns how many texts it was sent.
fn echo() -> Coroutine<Option<&'static str>, String, u32> {
    Coroutine::new(|y| {
        say!("echo begins");
        let mut count = 0;
        let mut heard = y.yield_("ready".to_owned())?;
        while let Some(text) = heard {
            say!("echo hears {text:?}");
            count += 1;
            heard = y.yield_(format!("you said {text}"))?;
        }
        Ok(count)
    })
}
// ANCHOR_END: echo

pub(crate) fn program() -> io::Result<()> {
    let mut echo = echo();
    say!("echo is built");
    tell(echo.start()?);
    tell(echo.send(Some("hello"))?);
    tell(echo.send(Some(""))?); // in Python, `while data` would end here; nothing is special about None, or about ""
    tell(echo.send(None)?); // and this ends it, because our `while let` says so
    assert!(echo.send(None).is_err(), "nothing can be sent to a coroutine that has ended");
    Ok(())
}

fn tell(state: State<String, u32>) {
    match state {
        State::Yielded(text) => say!("echo hands out {text:?}"),
        State::Returned(count) => say!("echo returned: it was sent {count} texts"),
    }
}

fn main() -> io::Result<()> {
    common::watch(program)
}
