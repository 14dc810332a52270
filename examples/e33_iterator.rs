//! **Lesson.** In direct style an ordinary `Iterator` may pause inside `next`; `for` needs no new keyword.
//!
//! **Predict.** Each number takes half a second to come. Does `zip` know that it waits? Does the second task stand still while the
//! first one is inside `next`?
//!
//! **Shows** V1 (where it stopped), V3 (its locals, and its callers, were still there).
//! **Covers** C19.
//!
//! Run `cargo run --example e33_iterator`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Builder, millis, say, sleep};

mod common;

// ANCHOR: fibonacci
/// The Fibonacci numbers below a limit, each after half a second. In Python: a class with `__aiter__` and `__anext__`.
struct Fibonacci {
    next: (u32, u32),
    below: u32,
}

impl Iterator for Fibonacci {
    type Item = io::Result<u32>;

    fn next(&mut self) -> Option<io::Result<u32>> {
        let (a, b) = self.next;
        if a >= self.below {
            return None;
        }
        if let Err(e) = sleep(millis(500)) {
            self.below = 0; // whoever goes on after an error gets to the end, and not into a circle
            return Some(Err(e));
        }
        self.next = (b, a + b);
        Some(Ok(a))
    }
}
// ANCHOR_END: fibonacci

pub(crate) fn program() -> io::Result<()> {
    let sum = Builder::new().name("sum").spawn(|| Fibonacci { next: (0, 1), below: 10 }.sum::<io::Result<u32>>())?;
    for (letter, number) in ('a'..).zip(Fibonacci { next: (0, 1), below: 6 }) {
        say!("{letter}: {}", number?);
    }
    say!("the sum is {}", sum.join()?);
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
