//! **Lesson.** One turn: run what is ready, poll for as long as the nearest timer allows, let timers fire, and again.
//!
//! **Predict.** Three delays, of 2, 1 and 1 seconds, are begun in this order. In which order do they end? How often does the
//! loop poll, and for how long each time? Who goes first of the two that are due in the same moment?
//!
//! **Shows** V5 (what made it ready), V6 (what the loop did when nothing was ready).
//! **Covers** C9, D6.
//!
//! Run `cargo run --example e13_one_turn`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Builder, now, say, scope, secs, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let start = now();
    let delay = |name: &str, seconds| {
        sleep(secs(seconds))?;
        say!("{name} ends at {}", (now() - start).as_secs());
        Ok(())
    };
    scope(|s| {
        for (name, seconds) in [("slow", 2), ("quick", 1), ("brisk", 1)] {
            Builder::new().name(name).spawn_scoped(s, move || delay(name, seconds))?;
        }
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
