//! **Lesson.** Between two pauses a task runs undisturbed; at a pause anybody may run.
//!
//! **Predict.** "Tasks run in parallel", it is often said. Each of these two workers counts to three, and pauses after every
//! number. Can one of them be two numbers ahead of the other? Can a line of one stand between the two lines that the other
//! prints without a pause?
//!
//! **Shows** V4 (who ran in between), V5 (what made it ready, and how many stood before it).
//! **Covers** B6, D7.
//!
//! Run `cargo run --example e12_taking_turns`, and add `-- --quiet` or `-- --detail 2`.

use std::io;

use corio::{Builder, say, scope, yield_now};

mod common;

fn count(name: &str) -> io::Result<()> {
    for n in 1..=3 {
        say!("{name} begins with {n}");
        say!("{name} is done with {n}"); // nobody comes between these two
        yield_now()?; // to the end of the queue
    }
    Ok(())
}

pub(crate) fn program() -> io::Result<()> {
    scope(|s| {
        for name in ["left", "right"] {
            Builder::new().name(name).spawn_scoped(s, move || count(name))?;
        }
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
