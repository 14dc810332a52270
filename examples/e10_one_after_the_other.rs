//! **Lesson.** Waiting for each in turn adds the times; starting all first takes only the longest.
//!
//! **Predict.** Three fetches of one, two and three seconds: how long do they take one after the other, how long together?
//! And in which order do the pages of the second half stand?
//!
//! **Shows** V4 (who ran in between), V6 (what the loop did when nothing was ready).
//! **Covers** B2, B3, D1, D2, D5.
//!
//! Run `cargo run --example e10_one_after_the_other`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::observe::mark;
use corio::{gather, now, say, secs, sleep};

mod common;

/// Looks as if it blocked. It does, but only the task that calls it.
fn fetch(seconds: u64) -> io::Result<String> {
    sleep(secs(seconds))?;
    Ok(format!("page {seconds}"))
}

pub(crate) fn program() -> io::Result<()> {
    let start = now();
    let mut pages = Vec::new();
    for seconds in [3, 1, 2] {
        pages.push(fetch(seconds)?);
    }
    say!("{pages:?} after {:.1} seconds", (now() - start).as_secs_f64());

    mark("together");
    let start = now();
    let pages = gather([3, 1, 2], fetch)?;
    say!("{pages:?} after {:.1} seconds", (now() - start).as_secs_f64());
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
