//! **Lesson.** Groups nest like brackets: what happens in an inner one stays there, unless its owner passes it on.
//!
//! **Predict.** Two departments of two workers each. One worker in the first department fails. Who else has to stop: his
//! colleague, the other department? And when the manager does not handle the error?
//!
//! **Shows** V4 (who ran in between), V7 (how it ended).
//! **Covers** what lies behind A10: a tree of tasks.
//!
//! Run `cargo run --example e23b_nested_groups`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::observe::mark;
use corio::{Builder, Scope, errors, say, scope, secs, sleep};

mod common;

fn worker(name: &str, seconds: u64, fails: bool) -> io::Result<()> {
    sleep(secs(seconds)).inspect_err(|_| say!("{name} stops"))?;
    if fails {
        return Err(io::Error::other(format!("{name} has broken the machine")));
    }
    say!("{name} is done");
    Ok(())
}

fn department<'s>(s: &'s Scope<'s, '_>, name: &'static str, fails: bool, handles: bool) -> io::Result<()> {
    Builder::new().name(name).spawn_scoped(s, move || {
        let result = scope(|s| {
            s.spawn(move || worker(&format!("{name}'s first"), 2, false));
            s.spawn(move || worker(&format!("{name}'s second"), 1, fails));
            Ok(())
        });
        result.or_else(|e| {
            say!("{name}: {e}");
            if handles { Ok(()) } else { Err(e) }
        })
    })?;
    Ok(())
}

pub(crate) fn program() -> io::Result<()> {
    for handles in [true, false] {
        mark(if handles { "handled" } else { "passed on" });
        let result = scope(|s| {
            department(s, "tools", true, handles)?;
            department(s, "toys", false, handles)
        });
        match result {
            Ok(()) => say!("the factory is well"),
            Err(e) => say!("the factory stands still, for {} reason: {e}", errors(&e).len()),
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
