//! **Lesson.** In a race the first who succeeds ends the others, and they are gone when it returns.
//!
//! **Predict.** The mirrors answer after three, one and two seconds, and the fastest answers with an error. Who wins, when, and
//! what becomes of the slowest?
//!
//! **Shows** V5 (what made it ready), V7 (how it ended).
//! **Covers** D17.
//!
//! Run `cargo run --example e20b_race`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{now, race, say, secs, sleep};

mod common;

fn mirror(seconds: u64) -> io::Result<String> {
    sleep(secs(seconds)).inspect_err(|_| say!("mirror {seconds} is no longer needed"))?;
    if seconds == 1 {
        return Err(io::Error::other("quick, and wrong"));
    }
    Ok(format!("the page, from mirror {seconds}"))
}

pub(crate) fn program() -> io::Result<()> {
    let start = now();
    let page = race([3, 1, 2], mirror)?;
    say!("{page}, after {} seconds", (now() - start).as_secs());
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
