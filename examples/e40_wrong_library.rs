//! **Lesson.** A library that blocks is still blocking inside a task: the same call, two sockets, two timelines.
//!
//! **Predict.** A library asks a question over whatever can be read and written, and the answer takes a while. Beside it a ticker
//! ticks. How often does it tick until the answer is there, if the library is given a socket of std's? And one of corio's?
//!
//! **Shows** V4: who else has a turn, or nobody.
//! **Covers** C28, D20: a driver that blocks, such as `requests` inside an asyncio task.
//!
//! Run `cargo run --example e40_wrong_library`, and add `-- --quiet`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::{cell::Cell, thread, time::Duration};

use corio::{Runner, millis, say, scope, sleep, to_thread};

mod common;

/// From a library that knows nothing of tasks, and need not.
fn ask(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(b"?")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A peer who thinks before it answers.
fn slow_peer() -> io::Result<UnixStream> {
    let (near, mut far) = UnixStream::pair()?;
    thread::spawn(move || {
        far.read_exact(&mut [0])?;
        thread::sleep(Duration::from_millis(50));
        far.write_all(b"forty-two")
    });
    Ok(near)
}

/// How often others had a turn while somebody asked.
fn ticks_while(ask: impl FnOnce() -> io::Result<String>) -> io::Result<(u32, String)> {
    let ticks = Cell::new(0);
    scope(|s| {
        s.spawn(|| -> io::Result<()> {
            loop {
                sleep(millis(1))?;
                ticks.set(ticks.get() + 1);
            }
        });
        sleep(millis(5))?;
        ticks.set(0);
        let answer = ask()?;
        let ticked = ticks.get();
        s.cancel();
        Ok((ticked, answer))
    })
}

pub(crate) fn program() -> io::Result<()> {
    let peer = slow_peer()?;
    let (ticks, answer) = to_thread(|| Runner::new().run(|| ticks_while(|| ask(peer))))??;
    say!("std's socket: {answer}, and the ticker ticked: {}", ticks > 0);
    let peer = slow_peer()?;
    let ours = || ticks_while(|| ask(corio::net::UnixStream::from_std(peer)?));
    let (ticks, answer) = to_thread(|| Runner::new().run(ours))??;
    say!("corio's socket: {answer}, and the ticker ticked: {}", ticks > 0);
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
