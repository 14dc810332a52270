//! **Lesson.** A barrier lets nobody go before all have come.
//!
//! **Predict.** Three walkers need one, two and three seconds for each stage. When does the quickest begin the second stage? And if
//! one of them gives up, how long do the others wait?
//!
//! **Shows** V4 (who ran in between), V5 (what made it ready).
//! **Covers** what lies behind A9: the barrier.
//!
//! Run `cargo run --example e32c_barrier`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Barrier, gather_all, is_broken_barrier, now, say, secs, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let (hut, start) = (Barrier::new(3), now());
    let results = gather_all([1, 2, 3], |pace| {
        for stage in 1..=2 {
            sleep(secs(pace))?;
            if (pace, stage) == (2, 2) {
                hut.abort();
                return Err(io::Error::other("walker 2 has sore feet"));
            }
            hut.wait()?;
            say!("walker {pace} leaves hut {stage} at {}", (now() - start).as_secs());
        }
        Ok(())
    })?;
    for (walker, result) in (1..).zip(results) {
        match result {
            Err(e) if is_broken_barrier(&e) => say!("walker {walker} turns back, because the barrier is broken"),
            result => say!("walker {walker}: {result:?}"),
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
