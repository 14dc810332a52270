//! **Lesson.** Two locks in two orders are a circle, and the report names everybody in it.
//!
//! **Predict.** Each of two tasks takes a fork, thinks for a second, and wants the other fork. What does each of them hold, and
//! what does it wait for? The end of the run then takes one of them away: who eats after all? Which line would you change?
//!
//! **Shows** V5 (what made it ready: nothing), V7 (how it ended).
//! **Covers** what lies behind D12: a deadlock that is a circle.
//!
//! Run `cargo run --example e29b_lock_cycle`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Builder, Mutex, say, scope, secs, sleep};

mod common;

fn dine(name: &str, first: &Mutex<&str>, second: &Mutex<&str>) -> io::Result<()> {
    let first = first.lock()?;
    say!("{name} has the {}", *first);
    sleep(secs(1))?;
    let second = second.lock()?;
    say!("{name} eats with the {} and the {}", *first, *second);
    Ok(())
}

pub(crate) fn program() -> io::Result<()> {
    let (left, right) = (Mutex::new("left fork"), Mutex::new("right fork"));
    scope(|s| {
        Builder::new().name("Plato").spawn_scoped(s, || dine("Plato", &left, &right))?;
        Builder::new().name("Hypatia").spawn_scoped(s, || dine("Hypatia", &right, &left))?;
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
