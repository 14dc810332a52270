//! The clients of the servers.
//!
//! [`run`] is a closed loop of small requests over many connections: edge-triggered readiness and two system calls per
//! request, so that it is never the slower side on its own core. [`idle`] has connections and does nothing with them.
//! Both read the server's clock or its memory themselves, around exactly what counts: connecting, warming up and
//! closing stay outside.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::figures::{self, Stopwatch};
use crate::histogram::Histogram;
use crate::http;

/// The size of one message to an echo server.
pub const MESSAGE: usize = 64;

/// What is sent, again and again, and what has to come back.
#[derive(Debug)]
pub struct Exchange {
    request: Vec<u8>,
    answer: Vec<u8>,
    /// How many requests that are.
    requests: u64,
}

impl Exchange {
    /// A message and its echo.
    pub fn echo() -> Exchange {
        Exchange { request: vec![b'x'; MESSAGE], answer: vec![b'x'; MESSAGE], requests: 1 }
    }

    /// A number and its hexadecimal form, a line each.
    pub fn hex() -> Exchange {
        Exchange { request: b"3735928559\n".to_vec(), answer: b"0xdeadbeef\n".to_vec(), requests: 1 }
    }

    /// So many HTTP requests at once.
    pub fn http(pipelined: usize) -> Exchange {
        let (request, answer) = (http::REQUEST.repeat(pipelined), http::ANSWER.repeat(pipelined));
        Exchange { request, answer, requests: pipelined as u64 }
    }
}

/// Makes `requests` requests over `connections` connections, each its next as soon as the answer is complete.
///
/// Given the server's process id (0 for none), `cpu_ns_op` is the server's CPU time; its own is `load_cpu_ns_op`.
///
/// `p50_ns` and `p99_ns` are of the times from before a request is sent until its answer has been read. In a closed loop
/// a server that pauses gets no requests meanwhile: that compares servers, and is not what clients who do not wait for
/// each other would see.
pub fn run(port: u16, connections: usize, requests: u64, server: i32, exchange: &Exchange) -> io::Result<()> {
    let server = if server == 0 { None } else { Some(figures::cpu_clock_of(server)?) };
    let server_ns = || server.map_or(0, figures::cpu_ns);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut clients = Vec::with_capacity(connections);
    for (index, stream) in connect(port, connections, exchange)?.into_iter().enumerate() {
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
        clients.push(Client { stream, heard: 0, sent: Instant::now() });
    }
    for client in &mut clients {
        client.send(exchange, Instant::now())?;
    }

    let exchanges = requests / exchange.requests;
    let warm = connections as u64 + exchanges / 10;
    let (mut answered, mut busy) = (0, connections);
    let mut start = (Stopwatch::start(), server_ns());
    let mut latencies = Histogram::default();
    let mut taken = None;
    let mut buffer = vec![0; 2 * exchange.answer.len()]; // larger than an answer: a short read tells that nothing is left
    while busy > 0 {
        poll.poll(&mut events, Some(Duration::from_secs(10)))?;
        if events.is_empty() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer"));
        }
        for event in &events {
            let client = &mut clients[event.token().0];
            if !client.answered(exchange, &mut buffer)? {
                continue;
            }
            answered += 1;
            let now = Instant::now();
            if taken.is_none() {
                latencies.record(now.duration_since(client.sent).as_nanos() as u64);
            }
            if answered == warm {
                start = (Stopwatch::start(), server_ns());
                latencies = Histogram::default();
            } else if answered == warm + exchanges {
                taken = Some((start.0.per(exchanges * exchange.requests), server_ns() - start.1));
            }
            if taken.is_none() { client.send(exchange, now)? } else { busy -= 1 }
        }
    }
    hang_up(clients.into_iter().map(|client| std::net::TcpStream::from(client.stream)))?;
    let (own, server_ns) = taken.expect("the loop ends after the last request");
    figures::print(
        "load",
        &[
            ("total", (answered * exchange.requests) as f64),
            own[0],
            ("ops_s", 1e9 / own[0].1),
            ("cpu_ns_op", server_ns as f64 / (exchanges * exchange.requests) as f64),
            ("load_cpu_ns_op", own[1].1),
            ("p50_ns", latencies.quantile(0.5)),
            ("p99_ns", latencies.quantile(0.99)),
        ],
    );
    Ok(())
}

/// The memory, in the process of the server, of `connections` connections to an echo server over which one message went.
/// The memory of the kernel is not in it, but for the process's page tables.
pub fn idle(port: u16, connections: usize, server: i32) -> io::Result<()> {
    let first = connect(port, 100, &Exchange::echo())?; // touches what there is once, or by chunks
    let before = figures::memory_of(server)?;
    let others = connect(port, connections, &Exchange::echo())?;
    let after = figures::memory_of(server)?;
    hang_up(first.into_iter().chain(others))?;
    let each = |before: f64, after: f64| (after - before) / connections as f64;
    figures::print(
        "idle",
        &[("rss_b", each(before.resident, after.resident)), ("pte_b", each(before.page_tables, after.page_tables))],
    );
    Ok(())
}

/// One connection after the other, so that accepting them costs the same system calls each time; an exchange on each, so
/// that the server has begun to serve it.
fn connect(port: u16, connections: usize, exchange: &Exchange) -> io::Result<Vec<std::net::TcpStream>> {
    figures::allow_many_files()?;
    let mut answer = vec![0; exchange.answer.len()];
    let connected = (0..connections).map(|_| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.write_all(&exchange.request)?;
        stream.read_exact(&mut answer)?;
        Ok(stream)
    });
    connected.collect()
}

/// The same for their ends: gone only when the server has closed its side.
fn hang_up(streams: impl Iterator<Item = std::net::TcpStream>) -> io::Result<()> {
    for mut stream in streams {
        stream.set_nonblocking(false)?;
        stream.shutdown(Shutdown::Write)?;
        let _ = stream.read(&mut [0])?;
    }
    Ok(())
}

struct Client {
    stream: TcpStream,
    /// Bytes of the answer that have arrived.
    heard: usize,
    sent: Instant,
}

impl Client {
    /// Sends a request. It fits: the answer to the one before has come back.
    fn send(&mut self, exchange: &Exchange, now: Instant) -> io::Result<()> {
        (self.heard, self.sent) = (0, now);
        self.stream.write_all(&exchange.request)
    }

    /// Takes what has arrived; true if that completes the answer.
    fn answered(&mut self, exchange: &Exchange, buffer: &mut [u8]) -> io::Result<bool> {
        match self.stream.read(buffer) {
            Ok(0) => Err(io::Error::other("the server hung up")),
            Ok(n) if exchange.answer[self.heard..].starts_with(&buffer[..n]) => {
                self.heard += n;
                Ok(self.heard == exchange.answer.len())
            }
            Ok(_) => Err(io::Error::other("the server answered something else, or too much")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
