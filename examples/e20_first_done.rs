//! **Lesson.** Waiting for the first leaves you with the done and the pending, and the pending are yours to cancel.
//!
//! **Predict.** Three fetches of three, one and two seconds. Which handles are in `done` after the first wait, and which are left?
//! At what time have these ended, once they are cancelled? In which order does `as_completed` hand them out?
//!
//! **Shows** V5 (what made it ready), V7 (how it ended).
//! **Covers** C25, D17.
//!
//! Run `cargo run --example e20_first_done`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::observe::mark;
use corio::{Builder, JoinHandle, Until, as_completed, say, secs, sleep, wait};

mod common;

fn fetch(seconds: u64) -> io::Result<JoinHandle<String>> {
    Builder::new().name(format!("fetch-{seconds}")).spawn(move || {
        sleep(secs(seconds))?;
        Ok(format!("page {seconds}"))
    })
}

pub(crate) fn program() -> io::Result<()> {
    let mut pending = vec![fetch(3)?, fetch(1)?, fetch(2)?];
    for task in wait(&mut pending, Until::FirstCompleted)? {
        say!("first comes {}", task.join()?);
    }
    for task in pending {
        say!("{} is cancelled", task.name());
        task.cancel();
        assert!(task.join().is_err());
    }

    mark("one by one");
    let mut tasks = vec![fetch(3)?, fetch(1)?, fetch(2)?];
    for task in as_completed(&mut tasks) {
        say!("then comes {}", task?.join()?);
    }
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
