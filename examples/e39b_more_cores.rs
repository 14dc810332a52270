//! **Lesson.** A loop has one core; a set of loops has several, and a scope lends them your locals.
//!
//! **Predict.** The parts are summed by tasks on two other threads, and borrow the numbers. Who sees to it that the
//! numbers are still there? In the last scope one task sleeps for an hour, on a real clock, and the other one fails:
//! how long does it take?
//!
//! **Shows** V2 (what it waits for: a task of another loop).
//! **Covers** C14, on loops instead of bare threads.
//!
//! Run `cargo run --example e39b_more_cores`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::{io, thread};

use corio::{Workers, say, secs, sleep};

mod common;

fn home() -> io::Result<String> {
    Ok(thread::current().name().unwrap_or("?").to_owned())
}

pub(crate) fn program() -> io::Result<()> {
    let workers = Workers::builder().count(2).name("core").start()?;
    let numbers: Vec<u64> = (1..=1000).collect();

    // ANCHOR: scope
    let sums: Vec<u64> = workers.scope(|s| {
        let sum = |part: &'_ [u64]| part.iter().map(|n| n * n).sum::<u64>();
        let parts: Vec<_> = numbers.chunks(250).map(|part| s.spawn(move || Ok(sum(part)))).collect();
        parts.into_iter().map(|part| part.join()).collect::<io::Result<_>>()
    })?;
    say!("four sums: {sums:?}; together {}", sums.iter().sum::<u64>());

    let homes = workers.scope(|s| Ok([s.spawn_on(0, home).join()?, s.spawn_on(1, home).join()?]))?;
    say!("they were made on {homes:?}");

    let failed = workers.scope(|s| {
        s.spawn_on(0, || sleep(secs(3_600)));
        s.spawn_on(1, || Err::<(), _>(io::Error::other("no disk")));
        Ok(())
    });
    say!("one fails and ends the other: {}", failed.unwrap_err());
    // ANCHOR_END: scope

    workers.stop();
    workers.join()
}

fn main() -> io::Result<()> {
    common::watch(program)
}
