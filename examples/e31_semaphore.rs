//! **Lesson.** A semaphore is a lock with several keys.
//!
//! **Predict.** Five jobs of a second each, two keys: how long does it take? How many jobs begin in the same moment? (It limits
//! how many there are *at once*. How many per second, it does not.)
//!
//! **Shows** V5 (what made it ready, and how many stood before it).
//! **Covers** A7, B9, D13.
//!
//! Run `cargo run --example e31_semaphore`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Semaphore, gather, now, say, secs, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let (keys, start) = (Semaphore::new(2), now());
    let at = || (now() - start).as_secs();
    let results = gather(1..=5, |job| {
        let _key = keys.acquire()?; // given back at the end, on every way out
        say!("job {job} begins at {}", at());
        sleep(secs(1))?;
        Ok(job * job)
    })?;
    say!("{results:?} at {}", at());
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
