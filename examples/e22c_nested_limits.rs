//! **Lesson.** Limits nest; the one that is over answers, and a limit can be moved.
//!
//! **Predict.** The inner limit is five seconds, the outer one two. Which of them says "timed out", and what does the inner one
//! return? The second limit is moved each time that something arrives: when does it strike?
//!
//! **Shows** V5 (what made it ready), V7 (how it ended).
//! **Covers** what A4 and D10 leave open: which limit was it, and `reschedule`.
//!
//! Run `cargo run --example e22c_nested_limits`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::observe::mark;
use corio::{CancelScope, is_cancelled, is_timed_out, now, say, secs, sleep, timeout};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let outer = timeout(secs(2), || {
        let inner = timeout(secs(5), || sleep(secs(60)));
        say!(
            "the inner one passes a cancellation on: {}",
            inner.as_ref().is_err_and(|e| is_cancelled(e) && !is_timed_out(e))
        );
        inner
    });
    say!("the outer one says: {}", outer.unwrap_err());

    mark("moving");
    let start = now();
    let patience = CancelScope::after(secs(3));
    let result = patience.run(|| {
        for pause in [1, 2, 2, 4] {
            sleep(secs(pause))?;
            say!("something arrives at {}", (now() - start).as_secs());
            patience.reschedule(Some(now() + secs(3)));
        }
        Ok(())
    });
    let cancelled = result.is_err_and(|e| is_cancelled(&e));
    say!("at {}: cancelled: {cancelled}, expired: {}", (now() - start).as_secs(), patience.expired());
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
