//! **Lesson.** One thread does not prevent a race: a pause between reading and writing is enough.
//!
//! **Predict.** Ten tasks add one to a counter, with a short sleep between reading and writing. A tutorial says that it ends at
//! "about 5". At what does it end? And in the next run?
//!
//! **Shows** V3 (its locals were still there), V4 (who ran in between).
//! **Covers** D21, the first half.
//!
//! Run `cargo run --example e26_lost_update`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::cell::Cell;
use std::io;

use corio::{gather, millis, say, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let counter = Cell::new(0);
    gather(0..10, |_| {
        let seen = counter.get();
        sleep(millis(100))?; // meanwhile the others read the same
        counter.set(seen + 1);
        Ok(())
    })?;
    say!("ten increments make {}", counter.get());

    counter.set(0);
    gather(0..10, |_| {
        sleep(millis(100))?;
        counter.set(counter.get() + 1); // no pause in between: no lock is needed
        Ok(())
    })?;
    say!("and without a pause in the middle {}", counter.get());
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
