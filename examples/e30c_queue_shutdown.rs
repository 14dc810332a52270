//! **Lesson.** To shut a queue down is to tell everybody who waits at either end; what is in it may still be taken, or not.
//!
//! **Predict.** A producer waits for room, and the queue is shut down. Is its item in the queue, lost, or still its own? What do
//! the consumers get after `shutdown`, and what after `shutdown_now`?
//!
//! **Shows** V5 (what made it ready), V7 (how it ended).
//! **Covers** what A8 and D12 do with end markers.
//!
//! Run `cargo run --example e30c_queue_shutdown`, and add `-- --quiet` or `-- --detail 2`.

use std::io;

use corio::{Queue, say, scope, yield_now};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let queue = Queue::bounded(2);
    scope(|s| {
        let producer = s.spawn(|| {
            for item in ["one", "two", "three"] {
                match queue.reserve() {
                    Ok(place) => place.put(item),
                    // An item that waits for its place is not in the queue yet: it is still here.
                    Err(e) => say!("{item:?} could not be put: {e}"),
                }
            }
            Ok(())
        });
        yield_now()?;
        say!("{} in the queue", queue.len());
        queue.shutdown();
        producer.join()?;
        say!("got {:?}", queue.get()?);
        queue.shutdown_now();
        say!("and then: {}", queue.get().unwrap_err());
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
