//! **Lesson.** A dump says of every task what it does, where it stands, what it waits for, and who has that.
//!
//! **Predict.** Five tasks wait for a timer, a lock, an item, each other. Who is below whom in the tree? Which of them would you
//! look at first, if the program stood still?
//!
//! **Shows** V1 (where it stopped), V5 (what would make it ready).
//! **Covers** what lies behind D23: the call graphs of later Pythons.
//!
//! Run `cargo run --example e51_where_is_everyone`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::observe::dump;
use corio::{Builder, Mutex, Queue, say, scope, secs, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let (printer, jobs) = (Mutex::new("printer"), Queue::<&str>::new());
    scope(|s| {
        Builder::new().name("slow").spawn_scoped(s, || {
            let _printer = printer.lock()?;
            sleep(secs(5))
        })?;
        Builder::new().name("eager").spawn_scoped(s, || {
            sleep(secs(1))?;
            let _printer = printer.lock()?;
            Ok(())
        })?;
        Builder::new().name("office").spawn_scoped(s, || {
            scope(|s| {
                let jobs = &jobs;
                Builder::new().name("clerk").spawn_scoped(s, move || jobs.get())?;
                sleep(secs(3))?;
                jobs.put("a form")
            })
        })?;
        sleep(secs(2))?;
        say!("{}", dump());
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
