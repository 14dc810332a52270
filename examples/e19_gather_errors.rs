//! **Lesson.** The first error ends the others, and comes out when they have ended; or errors are results like any other.
//!
//! **Predict.** Of three jobs the second fails after two seconds. When does `gather` return, and does the third job reach its
//! end? And with `gather_all`? (Tutorials say that asyncio's `gather` stops at the first error. It returns, and leaves the
//! others running.)
//!
//! **Shows** V4 (who ran in between), V7 (how it ended).
//! **Covers** A3, B5.
//!
//! Run `cargo run --example e19_gather_errors`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::observe::mark;
use corio::{gather, gather_all, now, say, secs, sleep};

mod common;

fn job(seconds: u64) -> io::Result<u64> {
    sleep(secs(seconds)).inspect_err(|_| say!("job {seconds} is told to end"))?;
    if seconds == 2 {
        return Err(io::Error::other("job 2 is out of luck"));
    }
    say!("job {seconds} is done");
    Ok(seconds * 10)
}

pub(crate) fn program() -> io::Result<()> {
    let start = now();
    match gather([1, 2, 3], job) {
        Ok(results) => say!("{results:?}"),
        Err(e) => say!("after {} seconds: {e}", (now() - start).as_secs()),
    }

    mark("all of them");
    let start = now();
    for result in gather_all([1, 2, 3], job)? {
        match result {
            Ok(result) => say!("a result: {result}"),
            Err(e) => say!("an error: {e}"),
        }
    }
    say!("after {} seconds", (now() - start).as_secs());
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
