//! The client of the servers: a closed loop of questions and answers over many connections.
//!
//! Edge-triggered readiness and two system calls per request, so that it is never the slower side on its own core.
//! It reads the server's CPU clock itself, around exactly the requests that count: connecting, warming up and
//! closing stay outside.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::figures::{self, Stopwatch};

/// What the client says, and what it is told.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    question: &'static [u8],
    answer: usize,
}

/// 64 bytes, and the same again.
pub const ECHO: Talk = Talk { question: &[b'x'; 64], answer: 64 };
/// A page.
pub const HTTP: Talk = Talk { question: crate::http::REQUEST, answer: crate::http::RESPONSE.len() };

/// Sends `requests` messages over `connections` connections, each its next as soon as the answer is complete.
///
/// Given the server's process id (0 for none), `cpu_ns_op` is the server's CPU time; its own is `load_cpu_ns_op`.
pub fn run(talk: Talk, port: u16, connections: usize, requests: u64, server: i32) -> io::Result<()> {
    let server = if server == 0 { None } else { Some(figures::cpu_clock_of(server)?) };
    let server_ns = || server.map_or(0, figures::cpu_ns);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut clients = Vec::with_capacity(connections);
    for index in 0..connections {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        // One after the other, so that accepting them costs the same system calls each time.
        stream.write_all(talk.question)?;
        stream.read_exact(&mut vec![0; talk.answer])?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
        clients.push(Client { stream, talk, missing: 0 });
    }
    for client in &mut clients {
        client.send()?;
    }

    let warm = connections as u64 + requests / 10;
    let (mut answered, mut busy) = (0, connections);
    let mut start = (Stopwatch::start(), server_ns());
    let mut taken = None;
    while busy > 0 {
        poll.poll(&mut events, Some(Duration::from_secs(10)))?;
        if events.is_empty() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer"));
        }
        for event in &events {
            let client = &mut clients[event.token().0];
            if !client.answered()? {
                continue;
            }
            answered += 1;
            if answered == warm {
                start = (Stopwatch::start(), server_ns());
            } else if answered == warm + requests {
                taken = Some((start.0.per(requests), server_ns() - start.1));
            }
            if taken.is_none() { client.send()? } else { busy -= 1 }
        }
    }
    for client in clients {
        // The same for their ends: gone only when the server has closed its side.
        let mut stream = std::net::TcpStream::from(client.stream);
        stream.set_nonblocking(false)?;
        stream.shutdown(Shutdown::Write)?;
        let _ = stream.read(&mut [0])?;
    }
    let (own, server_ns) = taken.expect("the loop ends after the last request");
    let cpu_ns_op = server_ns as f64 / requests as f64;
    figures::print(
        "load",
        &[("total", answered as f64), own[0], ("cpu_ns_op", cpu_ns_op), ("load_cpu_ns_op", own[1].1)],
    );
    Ok(())
}

struct Client {
    stream: TcpStream,
    talk: Talk,
    /// Bytes of the answer that have not arrived.
    missing: usize,
}

impl Client {
    /// Sends a message. It fits: the answer to the one before has come back.
    fn send(&mut self) -> io::Result<()> {
        self.missing = self.talk.answer;
        self.stream.write_all(self.talk.question)
    }

    /// Takes what has arrived; true if that completes the answer.
    fn answered(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 1024]; // larger than an answer: a short read tells that nothing is left
        match self.stream.read(&mut buffer) {
            Ok(n) if n > 0 && n <= self.missing => {
                self.missing -= n;
                Ok(self.missing == 0)
            }
            Ok(_) => Err(io::Error::other("the server hung up or answered too much")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
