//! **Lesson.** To wait for the first of several *things*, select: exactly one of them happens, and nothing is lost.
//!
//! **Predict.** Two queues fill at the same moment. Which item is taken first, and is the other still there afterwards? What
//! ends the loop?
//!
//! **Shows** V2 (what it wanted, and what came back), V5 (what made it ready).
//! **Covers** the other half of D17: the first of several, and the rest untouched.
//!
//! Run `cargo run --example e20c_select`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Event, Queue, Which, after, say, scope, secs, select, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let (urgent, normal, closing) = (Queue::new(), Queue::new(), Event::new());
    scope(|s| {
        s.spawn(|| {
            sleep(secs(1))?;
            normal.put("water the plants")?;
            urgent.put("put out the fire")?;
            sleep(secs(5))?;
            closing.set();
            Ok(())
        });
        loop {
            match select((&urgent, &normal, &closing, after(secs(3))))? {
                Which::A(job) => say!("at once: {}", job?),
                Which::B(job) => say!("in time: {}", job?),
                Which::C(()) => break say!("closing time"),
                Which::D(()) => say!("three seconds without a job"),
            }
        }
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
