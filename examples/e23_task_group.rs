//! **Lesson.** A group does not end before its members; one failure ends the rest.
//!
//! **Predict.** The first scope ends when the slowest of three is done: who waits for them, without a `join` in sight? In the
//! second, one child fails after a second: what happens to the other, and what does the scope return?
//!
//! **Shows** V4 (who ran in between), V7 (how it ended).
//! **Covers** A10.
//!
//! Run `cargo run --example e23_task_group`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::cell::Cell;
use std::io;

use corio::observe::mark;
use corio::{say, scope, secs, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let visits = Cell::new(0); // children may borrow what was there before the scope
    scope(|s| {
        for seconds in [1, 3, 2] {
            let visits = &visits;
            s.spawn(move || {
                sleep(secs(seconds))?;
                visits.set(visits.get() + 1);
                say!("visit {} took {seconds} seconds", visits.get());
                Ok(())
            });
        }
        say!("all have been sent on their way");
        Ok(())
    })?;
    say!("{} visits", visits.get());

    mark("one fails");
    let result = scope(|s| {
        s.spawn(|| sleep(secs(10)).inspect_err(|_| say!("the patient one is told to end")));
        s.spawn(|| {
            sleep(secs(1))?;
            Err::<(), _>(io::Error::other("the door is locked"))
        });
        Ok(())
    });
    say!("the scope says: {}", result.unwrap_err());
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
