//! **Lesson.** A task is a coroutine that the loop has been told about; creating one does not run it yet.
//!
//! **Predict.** Which is printed first: "all are created", or "Hello, Ada!"? And how long does the whole take?
//!
//! **Shows** V1 to V7.
//! **Covers** A1, B3, C23.
//!
//! Run `cargo run --example e11_tasks`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::observe::mark;
use corio::{Builder, now, say, secs, sleep};

mod common;

// ANCHOR: program
fn greet(name: &str) -> io::Result<()> {
    say!("Hello, {name}!");
    sleep(secs(1))?;
    say!("Goodbye, {name}!");
    Ok(())
}

pub(crate) fn program() -> io::Result<()> {
    let start = now();
    let mut tasks = Vec::new();
    for name in ["Ada", "Grace", "Barbara"] {
        tasks.push(Builder::new().name(name).spawn(move || greet(name))?);
    }
    say!("all are created");
    mark("joining");
    for task in tasks {
        task.join()?;
    }
    say!("{:.1} seconds have passed", (now() - start).as_secs_f64());
    Ok(())
}
// ANCHOR_END: program

fn main() -> io::Result<()> {
    common::watch(program)
}
