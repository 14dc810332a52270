//! Between the floor and the library: a bare coroutine for each connection, and nothing else that a task has.
//!
//! No tasks, no ready queue, no cancellation, no records: the loop looks a connection up and resumes its coroutine. What
//! this costs above the floor is the price of a stack for each connection. See also [`floor_server`](crate::floor_server),
//! which can be told to touch some lines of memory for each request, as a stack is touched, without having one.

use std::io::{self, Read, Write};

use corosensei::{Coroutine, Yielder};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::figures;
use crate::floor::ColouredStack;

type Connection = Coroutine<Ready, (), (), ColouredStack>;

/// What the kernel said of a connection.
#[derive(Clone, Copy)]
struct Ready {
    readable: bool,
    hung_up: bool,
}

/// Echoes.
pub fn echo(port: u16) -> io::Result<()> {
    serve("bare-echo", port, |stream| crate::echo(stream, || ()))
}

/// Answers HTTP requests.
pub fn http(port: u16) -> io::Result<()> {
    serve("bare-http", port, |stream| crate::http::serve(stream))
}

fn serve(workload: &'static str, port: u16, handler: fn(Stream<'_>) -> io::Result<()>) -> io::Result<()> {
    figures::end_with_figures(workload);
    let mut listener = TcpListener::bind(([127, 0, 0, 1], port).into())?;
    let listening = Token(usize::MAX);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, listening, Interest::READABLE)?;
    println!("listening={}", listener.local_addr()?.port());

    let mut events = Events::with_capacity(1024);
    let mut connections: Slab<Connection> = Slab::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() != listening {
                let connection = &mut connections[event.token().0];
                let readable = event.is_readable();
                let hung_up = event.is_read_closed() || event.is_error();
                if connection.resume(Ready { readable, hung_up }).as_return().is_some() {
                    connections.remove(event.token().0);
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
                        let stack = ColouredStack::new(entry.key())?;
                        entry.insert(Coroutine::with_stack(stack, move |yielder, ready| {
                            // An error ends the connection.
                            let _ = handler(Stream { stream, yielder, ready });
                        }));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// A stream that suspends where it would block.
struct Stream<'a> {
    stream: TcpStream,
    yielder: &'a Yielder<Ready, ()>,
    ready: Ready,
}

impl Stream<'_> {
    #[inline(always)]
    fn pause(&mut self) {
        let news = self.yielder.suspend(());
        self.ready.readable |= news.readable;
        self.ready.hung_up |= news.hung_up;
    }
}

impl Read for Stream<'_> {
    #[inline(always)]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            while !self.ready.readable && !self.ready.hung_up {
                self.pause();
            }
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.ready.readable = false,
                result => {
                    self.ready.readable = result.as_ref().is_ok_and(|&n| n == buffer.len());
                    return result;
                }
            }
        }
    }
}

impl Write for Stream<'_> {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.stream.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.pause(),
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
