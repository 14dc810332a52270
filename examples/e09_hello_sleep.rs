//! **Lesson.** Sleeping is handing out a timer, and being resumed when it is due.
//!
//! **Predict.** Between "Hello" and "world" a second passes. Who is running in that second, and what is the loop doing?
//!
//! **Shows** V1 (where it stopped), V2 (what it wanted), V6 (what the loop did when nothing was ready).
//! **Covers** C6.
//!
//! Run `cargo run --example e09_hello_sleep`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{say, secs, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    say!("Hello …");
    sleep(secs(1))?;
    say!("… world!");
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
