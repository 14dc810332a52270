//! **Lesson.** One end marker for two consumers leaves one waiting for ever, and the loop can prove it.
//!
//! **Predict.** A producer, two consumers, one `None` at the end, as a tutorial has it. asyncio runs it silently for ever. Who
//! waits for whom here, and how does the loop know that nothing will come?
//!
//! **Shows** V5 (what made it ready: nothing), V7 (how it ended).
//! **Covers** D12, as it was printed. `e30_queue` does it right.
//!
//! Run `cargo run --example e29_queue_hang`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::observe::mark;
use corio::{Builder, Queue, millis, say, scope, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let queue = Queue::new();
    scope(|s| {
        Builder::new().name("producer").spawn_scoped(s, || {
            for item in 0..2 {
                sleep(millis(500))?;
                queue.put(Some(item))?;
            }
            queue.put(None)?; // the end, for one of the two
            mark("no-more");
            Ok(())
        })?;
        for name in ["left", "right"] {
            let queue = &queue;
            Builder::new().name(name).spawn_scoped(s, move || {
                while let Some(item) = queue.get()? {
                    say!("{name} takes {item}");
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
