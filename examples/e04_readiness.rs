//! **Lesson.** The kernel can wait on many descriptors for you, and says which of them are worth trying.
//!
//! **Predict.** One thread serves two clients, and no read of it ever blocks. In which line does it wait, and for whom? What does
//! it have to keep for each client that `e01_blocking_server` kept in its locals?
//!
//! **Shows** V6 (what the loop did when nothing was ready): this is that poll, by hand. The library's loop has no part in it.
//! **Covers** C8, by way of mio, which is epoll on Linux.
//!
//! Run `cargo run --example e04_readiness`, and add `-- --quiet`.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::{mem, net, thread};

use corio::say;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

mod common;
#[path = "hex_server.rs"]
#[allow(dead_code)]
mod hex_server;

// ANCHOR: server
const LISTENER: Token = Token(0);

/// What the kernel does not keep: how far this one has come.
type Client = (TcpStream, hex_server::Lines);

fn server(mut listener: TcpListener) -> io::Result<()> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut clients, mut met) = (BTreeMap::new(), 0);
    while met == 0 || !clients.is_empty() {
        poll.poll(&mut events, None)?; // waits for all of them at once
        for token in events.iter().map(|event| event.token()) {
            if token != LISTENER {
                let not_yet = |error: io::Error| error.kind() == ErrorKind::WouldBlock;
                clients.retain(|id, client| *id != token || serve(token, client).is_err_and(not_yet));
                continue;
            }
            // Who is ready is told once. So all that is there is taken, up to the "not yet".
            while let Ok((mut stream, _)) = listener.accept() {
                met += 1;
                say!("the listener is ready: client {met} is there");
                poll.registry().register(&mut stream, Token(met), Interest::READABLE)?;
                clients.insert(Token(met), (stream, hex_server::Lines::default()));
            }
        }
    }
    Ok(())
}

/// Answers what is there, and ends when the client has gone. A "not yet" is an error like any other.
fn serve(Token(id): Token, (stream, lines): &mut Client) -> io::Result<()> {
    let (mut buffer, mut answers) = ([0; 1024], Vec::new());
    while let n @ 1.. = stream.read(&mut buffer)? {
        say!("client {id} is ready: it has sent {n} bytes");
        lines.take(&buffer[..n], &mut answers)?;
        stream.write_all(&mem::take(&mut answers))?; // were it long, there would be a "not yet" here as well
    }
    Ok(())
}
// ANCHOR_END: server

pub(crate) fn program() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address"))?;
    let address = listener.local_addr()?;
    let clients = thread::spawn(move || {
        let ada = net::TcpStream::connect(address)?;
        common::ask(&ada, "4312")?;
        let grace = net::TcpStream::connect(address)?;
        common::ask(&grace, "1234")?;
        common::ask(&ada, "255")
    });
    server(listener)?;
    say!("and the last is told {}", clients.join().expect("it does not panic")?);
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
