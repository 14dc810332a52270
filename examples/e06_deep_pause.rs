//! **Lesson.** A function can pause from any depth: its callers and their locals are all still there.
//!
//! **Predict.** `descend` calls itself three times and pauses at the bottom. The same lines of `descend` then run a second
//! time, for another coroutine, before the first goes on. Which `secret` does each level print on its way back?
//!
//! **Shows** V1 (where it stopped), V3 (its locals, and the whole chain of its callers, were still there).
//! **Covers** what lies behind C11: a pause with callers.
//!
//! Run `cargo run --example e06_deep_pause`, and add `-- --quiet` or `-- --detail 2`.

use std::io;

use corio::{Coroutine, Yielder, say};

mod common;

// ANCHOR: descend
/// An ordinary recursive function. Only the innermost call pauses; the others do not even know.
fn descend(y: &Yielder<(), &'static str>, name: &str, level: u32) -> io::Result<u32> {
    let secret = format!("{name}-{level}");
    let below = if level < 3 {
        descend(y, name, level + 1)?
    } else {
        y.yield_("at the bottom")?;
        0
    };
    say!("{name}, level {level}: my secret is still {secret}");
    Ok(below + level)
}
// ANCHOR_END: descend

pub(crate) fn program() -> io::Result<()> {
    let mut left = Coroutine::new(|y| descend(y, "left", 1));
    let mut right = Coroutine::new(|y| descend(y, "right", 1));
    say!("left  {:?}", left.start()?);
    say!("right {:?}", right.start()?);
    say!("left  {:?}", left.send(())?);
    say!("right {:?}", right.send(())?);
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
