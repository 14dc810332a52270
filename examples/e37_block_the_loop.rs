//! **Lesson.** A call that blocks the thread stops every task; a helper thread can wait in its place.
//!
//! **Predict.** The receiver knows nothing of the loop: it blocks its thread until a message comes, or for a fifth of a second. The
//! message is sent by another task. Does it come in time? And when the same call is made in `to_thread`?
//!
//! **Shows** V4 (who ran in between: nobody), V6 (what the loop did: nothing).
//! **Covers** C15, C27, C28, D19, D20: a library that blocks is still blocking inside a task.
//!
//! Run `cargo run --example e37_block_the_loop`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.
//! `CORIO_DEBUG=1 CORIO_LOG=warn` lets debug mode say who blocks the loop.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use corio::{Builder, millis, say, scope, sleep, to_thread};

mod common;

/// From some library that was written for threads.
fn blocking_call(messages: &mpsc::Receiver<&'static str>, patience: Duration) -> String {
    match messages.recv_timeout(patience) {
        Ok(message) => format!("heard {message:?}"),
        Err(_) => "heard nothing".to_owned(),
    }
}

pub(crate) fn program() -> io::Result<()> {
    for on_the_loop in [true, false] {
        let (sender, mut receiver) = mpsc::channel();
        let said = scope(|s| {
            Builder::new().name("sender").spawn_scoped(s, move || {
                sleep(millis(10))?;
                say!("sending");
                let _ = sender.send("hello"); // the receiver may be gone by now
                Ok(())
            })?;
            let receiver = &mut receiver; // a `Receiver` may go to one thread, but not be shared by two
            if on_the_loop {
                Ok(blocking_call(receiver, millis(200)))
            } else {
                to_thread(move || blocking_call(receiver, Duration::from_secs(60)))
            }
        })?;
        say!("{}: {said}", if on_the_loop { "on the loop" } else { "in a thread" });
    }
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
