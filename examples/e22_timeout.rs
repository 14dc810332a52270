//! **Lesson.** A timeout is a timer whose job is to cancel.
//!
//! **Predict.** The first call has all the time it needs; what becomes of its timer? In the second, who is told first that
//! the time is over: the inner function, or the one that set the limit?
//!
//! **Shows** V5 (what made it ready), V7 (how it ended).
//! **Covers** A4, D10.
//!
//! Run `cargo run --example e22_timeout`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{is_cancelled, is_timed_out, say, secs, sleep, timeout};

mod common;

fn fetch(page: &str, seconds: u64) -> io::Result<String> {
    sleep(secs(seconds)).inspect_err(|e| say!("fetch: cancelled? {}", is_cancelled(e)))?;
    Ok(format!("text of {page}"))
}

pub(crate) fn program() -> io::Result<()> {
    for (page, seconds) in [("a short page", 1), ("a long page", 3)] {
        match timeout(secs(2), || fetch(page, seconds)) {
            Ok(text) => say!("got the {text}"),
            Err(e) if is_timed_out(&e) => say!("{page}: {e}"),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
