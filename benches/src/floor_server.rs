//! The floor of the servers: one hand-written state machine for all connections.
//!
//! On demand it touches some lines of a page that is the connection's own, for each request, and makes no use of them. So
//! one sees what memory for each connection costs, apart from what is done with it.

use std::io::{self, Read, Write};
use std::sync::atomic::Ordering;

use corosensei::stack::Stack;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::figures::{self, REQUESTS};
use crate::floor::ColouredStack;
use crate::http;

/// Echoes.
pub fn echo(port: u16, lines: usize) -> io::Result<()> {
    serve("floor-echo", port, lines, Echo)
}

/// Answers HTTP requests.
pub fn http(port: u16, lines: usize) -> io::Result<()> {
    serve("floor-http", port, lines, Http { output: Vec::new() })
}

/// What to answer. One for all connections.
trait Protocol {
    /// How much to read at once.
    const BUFFER: usize;

    /// The answer to what has arrived. `rest` is the connection's: the beginning of a request whose end has not arrived.
    fn answer<'a>(&'a mut self, rest: &mut Vec<u8>, input: &'a [u8]) -> io::Result<&'a [u8]>;
}

struct Echo;

impl Protocol for Echo {
    const BUFFER: usize = 1024;

    fn answer<'a>(&'a mut self, _: &mut Vec<u8>, input: &'a [u8]) -> io::Result<&'a [u8]> {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        Ok(input)
    }
}

struct Http {
    output: Vec<u8>,
}

impl Protocol for Http {
    const BUFFER: usize = http::BUFFER;

    fn answer<'a>(&'a mut self, rest: &mut Vec<u8>, input: &'a [u8]) -> io::Result<&'a [u8]> {
        self.output.clear();
        if rest.is_empty() {
            let taken = http::answer(input, &mut self.output)?;
            rest.extend_from_slice(&input[taken..]);
        } else {
            rest.extend_from_slice(input);
            let taken = http::answer(rest, &mut self.output)?;
            rest.drain(..taken);
        }
        if rest.len() < http::BUFFER { Ok(&self.output) } else { Err(io::ErrorKind::FileTooLarge.into()) }
    }
}

fn serve<P: Protocol>(workload: &'static str, port: u16, lines: usize, mut protocol: P) -> io::Result<()> {
    let mut buffer = vec![0; P::BUFFER]; // one for all: nothing stays in it between two events
    let count = if lines > 0 { MOST_PAGES } else { 0 };
    let mut pages = (0..count).map(ColouredStack::new).collect::<io::Result<Vec<_>>>()?;
    let open = |stream, _| Ok(Connection::new(stream));
    event_loop(workload, port, open, |connection, number, news| {
        if lines > 0 {
            touch(&mut pages[number % MOST_PAGES], lines);
        }
        connection.readable |= news.readable;
        connection.hung_up |= news.hung_up;
        connection.advance(&mut buffer, &mut protocol).unwrap_or(false)
    })
}

/// What the kernel says of a connection.
#[derive(Clone, Copy)]
pub(crate) struct News {
    pub(crate) readable: bool,
    pub(crate) hung_up: bool,
}

/// The loop over all connections. `open` makes one of a stream and its number; `go_on` hears what is new, and says whether
/// there is more to come.
pub(crate) fn event_loop<C>(
    workload: &'static str,
    port: u16,
    mut open: impl FnMut(TcpStream, usize) -> io::Result<C>,
    mut go_on: impl FnMut(&mut C, usize, News) -> bool,
) -> io::Result<()> {
    figures::end_with_figures(workload);
    let mut listener = TcpListener::bind(([127, 0, 0, 1], port).into())?;
    let listening = Token(usize::MAX);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, listening, Interest::READABLE)?;
    println!("listening={}", listener.local_addr()?.port());

    let mut events = Events::with_capacity(1024);
    let mut connections: Slab<C> = Slab::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() != listening {
                let number = event.token().0;
                let hung_up = event.is_read_closed() || event.is_error();
                let news = News { readable: event.is_readable(), hung_up };
                if !go_on(&mut connections[number], number, news) {
                    connections.remove(number);
                }
                continue;
            }
            loop {
                match listener.accept() {
                    Ok((mut stream, _)) => {
                        stream.set_nodelay(true)?;
                        let entry = connections.vacant_entry();
                        let both = Interest::READABLE | Interest::WRITABLE;
                        poll.registry().register(&mut stream, Token(entry.key()), both)?;
                        let connection = open(stream, entry.key())?;
                        entry.insert(connection);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// One connection of the state machine, registered once, edge-triggered, for both directions.
struct Connection {
    stream: TcpStream,
    /// There may be something to read. A short read ends that without asking again …
    readable: bool,
    /// … unless the other side has hung up: the same edge may have carried data and the end, and comes only once.
    hung_up: bool,
    /// Taken from the buffer because it is no whole request.
    rest: Vec<u8>,
    /// An answer, or its end, that the socket would not take.
    unsent: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream) -> Connection {
        Connection { stream, readable: false, hung_up: false, rest: Vec::new(), unsent: Vec::new() }
    }

    /// Answers all there is; false at the end.
    fn advance(&mut self, buffer: &mut [u8], protocol: &mut impl Protocol) -> io::Result<bool> {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.send(&unsent)?;
        }
        while (self.readable || self.hung_up) && self.unsent.is_empty() {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    self.readable = n == buffer.len();
                    let answer = protocol.answer(&mut self.rest, &buffer[..n])?;
                    self.send(answer)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unsent = bytes.to_vec();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// More connections than any row of the table has.
const MOST_PAGES: usize = 10_000;

/// Touches the first lines below the top of a stack on which nobody stands.
fn touch(page: &mut ColouredStack, lines: usize) {
    for line in 1..=lines {
        let line = std::ptr::with_exposed_provenance_mut::<u64>(page.base().get() - line * 64);
        // SAFETY: a page or more below the base is the stack's own, and nobody else uses it.
        unsafe { line.write_volatile(line.read_volatile() + 1) };
    }
}
