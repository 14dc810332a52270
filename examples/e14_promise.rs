//! **Lesson.** A future is an empty box with a list of sleepers; filling it wakes them.
//!
//! **Predict.** Two tasks wait for one answer. Does the one who sets it run on, or the first of those who waited? What becomes
//! of somebody who waits for an answer that nobody owes any more?
//!
//! **Shows** V2 (what it wanted, and what came back), V5 (what made it ready).
//! **Covers** B7, D8. The box is a `Promise`, because a `Future` is something else in Rust.
//!
//! Run `cargo run --example e14_promise`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Builder, Promise, say, secs, sleep, spawn};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let (resolver, answer) = Promise::pair();
    let mut askers = Vec::new();
    for name in ["Ada", "Grace"] {
        let answer = answer.clone(); // a second ticket for the same box
        askers.push(Builder::new().name(name).spawn(move || {
            say!("{name} was told {}", answer.get()?);
            Ok(())
        })?);
    }
    sleep(secs(1))?;
    resolver.set(42).expect("nobody has set it before");
    say!("the answer is set");
    for asker in askers {
        asker.join()?;
    }
    assert_eq!(resolver.set(43), Err(43), "once");

    let (resolver, answer) = Promise::<u32>::pair();
    spawn(move || {
        sleep(secs(1))?;
        drop(resolver); // it goes without an answer
        Ok(())
    });
    if let Err(e) = answer.take() {
        say!("no answer: {e}");
    }
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
