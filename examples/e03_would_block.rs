//! **Lesson.** A read that does not block answers "not yet" at once, and asking again in a circle burns the processor.
//!
//! **Predict.** Nothing has been sent yet. What does a read from a descriptor that does not block return: nothing, no bytes, or an
//! error? How often must one ask until there is something, and what could the thread do between two questions?
//!
//! **Shows** nothing of the loop yet: only the question that one is built on.
//! **Covers** C7.
//!
//! Run `cargo run --example e03_would_block`, and add `-- --quiet`.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

use corio::say;

mod common;

pub(crate) fn program() -> io::Result<()> {
    let (mut near, mut far) = UnixStream::pair()?;
    let mut buffer = [0; 64];
    near.set_nonblocking(true)?; // the flag O_NONBLOCK of the descriptor, which C sets by `fcntl`
    say!("nothing was sent, and a read returns {:?}", near.read(&mut buffer).map_err(|error| error.kind()));

    let asked = AtomicU32::new(1);
    thread::scope(|s| {
        s.spawn(|| {
            while asked.load(SeqCst) < 1000 {
                thread::yield_now();
            }
            far.write_all(b"here I am")
        });
        // ANCHOR: circle
        let n = loop {
            match near.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => asked.fetch_add(1, SeqCst),
                result => break result?,
            };
        };
        // ANCHOR_END: circle
        say!("at last a read returns {:?}", String::from_utf8_lossy(&buffer[..n]));
        say!("that took a thousand questions or more: {}", asked.load(SeqCst) >= 1000);
        io::Result::Ok(())
    })?;

    near.set_nonblocking(false)?;
    thread::scope(|s| {
        s.spawn(|| far.write_all(b"and here again"));
        let n = near.read(&mut buffer)?; // one question, and the kernel keeps the thread until there is an answer
        say!("a read that blocks is one question, and returns {:?}", String::from_utf8_lossy(&buffer[..n]));
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
