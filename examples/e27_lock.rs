//! **Lesson.** A lock is a queue of tasks; giving it back names the next.
//!
//! **Predict.** Three tasks want the lock, and each keeps it for a second. When does the last one have it? The first wants it a
//! second time, at once: does it get it before those who wait?
//!
//! **Shows** V4 (who ran in between), V5 (what made it ready, and how many stood before it).
//! **Covers** A6, B9, D14, D21, the second half.
//!
//! Run `cargo run --example e27_lock`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Builder, Mutex, now, say, scope, secs, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let start = now();
    let counter = Mutex::new(0);
    let add = |name: &str| {
        let mut counter = counter.lock()?;
        say!("{name} has the lock at {}", (now() - start).as_secs());
        let seen = *counter;
        sleep(secs(1))?; // the others wait
        *counter = seen + 1;
        Ok::<_, io::Error>(()) // here the guard is dropped, and the next one has the lock
    };
    scope(|s| {
        for (name, times) in [("Ada", 2), ("Grace", 1), ("Barbara", 1)] {
            let add = &add;
            Builder::new().name(name).spawn_scoped(s, move || (0..times).try_for_each(|_| add(name)))?;
        }
        Ok(())
    })?;
    say!("the counter is {}", counter.into_inner());
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
