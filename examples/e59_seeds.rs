//! **Lesson.** A bug that needs another order of events has a number: the seed of the schedule that shows it.
//!
//! **Predict.** The reader does not wait for the writer, but is spawned after it. Does the test find the bug in the usual order? Does
//! the same seed find it again?
//!
//! **Shows** V4 (who ran in between), in a loop that is not narrated.
//! **Covers** what lies behind D21: a test that finds it.
//!
//! Run `cargo run --example e59_seeds`, and add `-- --quiet` or `-- --detail 2`.

use std::cell::Cell;
use std::io;
use std::thread;

use corio::testing::Options;
use corio::{Promise, say, scope, spawn};

mod common;

/// Right, as long as tasks begin in the order in which they were spawned.
fn hurried() -> io::Result<u32> {
    let shelf = Cell::new(0);
    scope(|s| {
        s.spawn(|| shelf.set(42));
        s.spawn(|| Ok(shelf.get())).join()
    })
}

/// Right.
fn patient() -> io::Result<u32> {
    let (resolver, promise) = Promise::pair();
    let writer = spawn(move || resolver.set(42).map_err(|_| io::ErrorKind::AlreadyExists.into()));
    let reader = spawn(move || promise.take());
    writer.join()?;
    reader.join()
}

/// The results under several schedules. In a test: `testing::explore`, which names the first seed that fails.
fn explore(seeds: u64, body: fn() -> io::Result<u32>) -> Vec<u32> {
    let run = move || (0..seeds).map(|seed| Options::new().seed(seed).run(body)).collect();
    thread::spawn(run).join().expect("it does not panic") // a loop of its own: `run` does not nest
}

pub(crate) fn program() -> io::Result<()> {
    say!("in the usual order: {}", hurried()?);
    let results = explore(8, hurried);
    say!("under eight schedules: {results:?}");
    say!("once more, the same: {}", results == explore(8, hurried));
    say!("the patient one is right under a hundred: {}", explore(100, patient) == [42; 100]);
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
