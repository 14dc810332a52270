//! **Lesson.** The blocking server's text, almost unchanged, now serves everyone.
//!
//! **Predict.** Ada connects first, sends half a number, and the rest two seconds later. Grace connects after a second. In
//! which order are they answered, and how often does the server pause to wait for a client?
//!
//! **Shows** V1 to V6: a task for each client, and each parked at the line where it reads.
//! **Covers** A11, B9, C1, C5: the text is that of `e01_blocking_server`. A program with limits is `examples/hex_server.rs`.
//!
//! Run `cargo run --example e41_hex_server`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` for real sockets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use corio::io::StreamReader;
use corio::net::{TcpListener, TcpStream};
use corio::{Builder, millis, say, scope, secs, sleep};

mod common;
#[path = "hex_server.rs"]
#[allow(dead_code)]
mod hex_server;

/// A line with a number comes in, the number in hexadecimal goes back.
fn serve(stream: TcpStream) -> io::Result<()> {
    // Each turn begins with a read. There this task is put aside until the client says something, or has gone.
    for line in StreamReader::new(&stream).lines() {
        writeln!(&stream, "{}", hex_server::answer(line?.as_bytes()))?;
    }
    Ok(())
}

fn client(name: &str, address: SocketAddr, start: u64, parts: &[&str]) -> io::Result<()> {
    sleep(secs(start))?;
    let mut stream = TcpStream::connect(address)?;
    for (n, part) in parts.iter().enumerate() {
        sleep(secs(2 * n as u64))?;
        stream.write_all(part.as_bytes())?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    say!("{name} is told {}", answer.trim());
    Ok(())
}

pub(crate) fn program() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    scope(|s| {
        let server = Builder::new().name("server").spawn_scoped(s, || {
            for stream in listener.incoming() {
                let stream = stream?;
                // The one line that differs from a server for one client: serve(stream) in a task.
                drop(Builder::new().name("handler").spawn_scoped(s, || serve(stream))?);
            }
            Ok(())
        })?;
        let ada = || client("Ada", address, 0, &["25", "5\n"]);
        let grace = || client("Grace", address, 1, &["16\n"]);
        let clients =
            [Builder::new().name("Ada").spawn_scoped(s, ada)?, Builder::new().name("Grace").spawn_scoped(s, grace)?];
        for client in clients {
            client.join()?;
        }
        sleep(millis(100))?;
        server.cancel();
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
