//! **Lesson.** An event loop is a queue of paused functions, and a rule for whose turn it is.
//!
//! **Predict.** `tick` sleeps one second three times, `tock` two seconds twice. At second 2 both are due. Whose turn is it
//! first, and which line of the loop decides it?
//!
//! **Shows** V4 (who ran in between, in which order), V5 (what made it ready, and when).
//! **Covers** what lies behind C9 and C12: a loop, by hand.
//!
//! Run `cargo run --example e08_tiny_loop`, and add `-- --quiet` or `-- --detail 2`.

use std::io;

use corio::{Coroutine, State, say};

mod common;

/// A coroutine that hands out for how many seconds it wants to sleep.
type Task = Coroutine<(), u64>;

// ANCHOR: loop
/// The whole event loop: pick the task that is due first, move the clock, resume the task, ask when it wants to go on.
fn run(tasks: impl IntoIterator<Item = Task>) -> io::Result<()> {
    let mut now = 0;
    let mut queue: Vec<(u64, Task)> = tasks.into_iter().map(|task| (now, task)).collect();
    while !queue.is_empty() {
        queue.sort_by_key(|(due, _)| *due); // a stable sort: of those due together, who came first is first
        let (due, mut task) = queue.remove(0);
        if due > now {
            now = due; // a loop on the real clock would wait here, in a poll
            say!("it is second {now}");
        }
        let state = if task.is_started() { task.send(())? } else { task.start()? };
        if let State::Yielded(seconds) = state {
            queue.push((now + seconds, task));
        }
    }
    Ok(())
}
// ANCHOR_END: loop

fn counter(name: &'static str, times: u32, pause: u64) -> Task {
    Coroutine::new(move |y| {
        for n in 1..=times {
            y.yield_(pause)?;
            say!("{name} {n}");
        }
        Ok(())
    })
}

pub(crate) fn program() -> io::Result<()> {
    run([counter("tick", 3, 1), counter("tock", 2, 2)])
}

fn main() -> io::Result<()> {
    common::watch(program)
}
