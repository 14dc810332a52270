//! **Lesson.** Below tasks there are only callbacks, now and later.
//!
//! **Predict.** In which order are the five lines printed? May a callback sleep?
//!
//! **Shows** V5 (what made it ready), V6 (what the loop did when nothing was ready).
//! **Covers** D26: callbacks on the loop, on which tasks are built.
//!
//! Run `cargo run --example e17_call_soon_later`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{call_later, call_soon, say, secs, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    call_later(secs(2), || say!("in two seconds"));
    call_later(secs(1), || {
        say!("in one second");
        call_soon(|| say!("right after that, in the next turn"));
    });
    let never = call_later(secs(1), || say!("this is not printed"));
    call_soon(|| {
        // A callback has no stack of its own that could be put aside.
        say!("soon; may a callback sleep? {}", sleep(secs(1)).unwrap_err());
    });
    say!("first");
    never.cancel();
    sleep(secs(3))
}

fn main() -> io::Result<()> {
    common::watch(program)
}
