//! **Lesson.** Debug mode is a set of questions that the loop asks about you: who is slow, what never ran, what was left behind.
//!
//! **Predict.** This program ends well, and prints one line. What would you like to be told about it?
//!
//! **Shows** V7 (how it ended).
//! **Covers** D18, D19, D23.
//!
//! Run `cargo run --example e49_debug_mode`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.
//! `CORIO_LOG=warn cargo run --example e49_debug_mode -- --quiet` shows what debug mode says.

use std::io;
use std::thread;

use corio::{Builder, Generator, millis, say, secs, set_debug, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    set_debug(true); // or `Runner::debug`, or CORIO_DEBUG=1 in the environment
    let slow = Builder::new().name("slow").spawn(|| {
        thread::sleep(millis(150)); // of std: it blocks the thread, and every task with it
        Ok(())
    })?;
    slow.join()?;

    // Built, and never run.
    drop(Generator::new(|y| y.yield_("unheard")));

    // Spawned, and never joined: the end of the run cancels it.
    drop(Builder::new().name("forgotten").spawn(|| sleep(secs(3_600)))?);
    sleep(millis(10))?;
    say!("all is well");
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
