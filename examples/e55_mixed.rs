//! **Lesson.** A direct-style task waits for a future, an async task waits for a direct one.
//!
//! **Predict.** The kitchen is `async`, the waiter is not. Who of them can be stopped in the middle of an ordinary function,
//! and what do they hand each other?
//!
//! **Shows** V2 (what it handed out and was handed), V8 (the same as a state machine).
//! **Covers** what lies behind B7: who waits for whom.
//!
//! Run `cargo run --example e55_mixed`, and add `-- --quiet` or `-- --detail 2`.

use std::io;
use std::rc::Rc;

use corio::{Queue, aio, say, secs, sleep, spawn};

mod common;

/// A future, from whatever crate.
async fn boil(what: &str, seconds: u64) -> io::Result<String> {
    aio::sleep(secs(seconds)).await?;
    Ok(format!("boiled {what}"))
}

/// Direct style, and called by nobody in particular.
fn set_the_table() -> io::Result<u32> {
    sleep(secs(2))?;
    Ok(4)
}

// ANCHOR: mixed
pub(crate) fn program() -> io::Result<()> {
    let orders = Rc::new(Queue::new());
    let kitchen = aio::spawn_local({
        let orders = orders.clone();
        async move {
            let table = spawn(set_the_table); // a coroutine
            while let Ok(order) = aio::ready(&*orders).await? {
                say!("kitchen: {}", boil(order, 1).await?);
            }
            say!("kitchen: a table for {}", table.await?); // awaited like any future
            Ok("closed")
        }
    });
    let waiter = spawn(move || {
        orders.put("rice")?;
        say!("waiter: a {}", aio::wait_on(boil("egg", 2))??); // a future, waited for like any call
        orders.put("tea")?;
        orders.shutdown();
        Ok(())
    });
    waiter.join()?;
    say!("kitchen: {}", kitchen.join()?);
    Ok(())
}
// ANCHOR_END: mixed

fn main() -> io::Result<()> {
    common::watch(program)
}
