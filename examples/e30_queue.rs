//! **Lesson.** A queue joins two speeds: an empty one parks the taker, a full one the giver.
//!
//! **Predict.** The producer makes five items as fast as it can, the two consumers need a second for each, and the queue has room
//! for two. Where does the producer wait first? And how does each consumer learn that nothing more will come?
//!
//! **Shows** V4 (who ran in between), V5 (what made it ready).
//! **Covers** A8, D12 put right.
//!
//! Run `cargo run --example e30_queue`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Builder, Queue, say, scope, secs, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let queue = Queue::bounded(2);
    scope(|s| {
        Builder::new().name("producer").spawn_scoped(s, || {
            for item in 1..=5 {
                queue.put(item)?; // waits for room
                say!("put {item}, {} in the queue", queue.len());
            }
            queue.shutdown(); // tells all who get, once the queue is empty
            Ok(())
        })?;
        for name in ["left", "right"] {
            let queue = &queue;
            Builder::new().name(name).spawn_scoped(s, move || {
                for item in queue {
                    say!("{name} takes {}", item?);
                    sleep(secs(1))?;
                }
                say!("{name} is done");
                Ok(())
            })?;
        }
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
