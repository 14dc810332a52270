//! **Lesson.** Readiness is not a message: one read may bring half a number or two.
//!
//! **Predict.** The sender writes 255 in two pieces and 16 and 7 in one. What does a receiver get that takes each read for a
//! number? And one that reads lines?
//!
//! **Shows** V2 (what it waits for: bytes, not numbers).
//! **Covers** C1, C5, whose servers take one `recv` for one number.
//!
//! Run `cargo run --example e42_framing`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` for real sockets.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use corio::io::StreamReader;
use corio::net::{TcpListener, TcpStream};
use corio::observe::mark;
use corio::{Builder, millis, say, scope, sleep};

mod common;

fn send(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    for piece in ["25", "5\n", "16\n7\n"] {
        stream.write_all(piece.as_bytes())?;
        sleep(millis(50))?;
    }
    Ok(())
}

/// Each read is a number, or so it seems.
fn by_reads(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 64];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => say!("a read: {:?}", str::from_utf8(&buffer[..n]).unwrap_or("?")),
        }
    }
}

/// Each line is a number, however it comes.
fn by_lines(stream: TcpStream) -> io::Result<()> {
    for line in StreamReader::new(stream).lines() {
        say!("a line: {:?}", line?);
    }
    Ok(())
}

pub(crate) fn program() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    for (name, receive) in [("by-reads", by_reads as fn(TcpStream) -> io::Result<()>), ("by-lines", by_lines)] {
        mark(name);
        scope(|s| {
            drop(Builder::new().name("sender").spawn_scoped(s, || send(address))?);
            receive(listener.accept()?.0)
        })?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
