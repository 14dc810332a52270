//! **Lesson.** A shield keeps a cancellation out for a while; and to wait for a task is not to own it.
//!
//! **Predict.** The order takes three seconds, and the customer has patience for one. Is the order finished? Who gets its result?
//! The clean-up at the end takes two seconds inside a limit that is already over: does it come to its end?
//!
//! **Shows** V5 (what made it ready), V7 (how it ended).
//! **Covers** what A5 and D16 leave open: asyncio's `shield`, and clean-up that waits.
//!
//! Run `cargo run --example e22b_shield`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::observe::mark;
use corio::{Builder, is_timed_out, say, secs, shield, sleep, timeout};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let order = Builder::new().name("order").spawn(|| {
        sleep(secs(3))?;
        Ok("one cake")
    })?;
    // `join` would pass the cancellation on to the task; `wait` only looks at it.
    match timeout(secs(1), || order.wait()) {
        Err(e) if is_timed_out(&e) => say!("the customer is out of patience"),
        other => say!("surprise: {other:?}"),
    }
    say!("the kitchen delivers {}", order.join()?);

    mark("cleaning up");
    let result = timeout(secs(1), || {
        let result = sleep(secs(60));
        say!("to sleep now fails at once: {}", sleep(secs(1)).is_err());
        shield(secs(5), || sleep(secs(2)))?;
        say!("under a shield it does not");
        result
    });
    say!("and the limit says: {}", result.unwrap_err());
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
