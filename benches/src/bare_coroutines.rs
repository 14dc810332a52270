//! Between the floor and the library: a bare coroutine for each connection, and nothing else that a task has.
//!
//! No tasks, no ready queue, no cancellation, no records: the loop looks a connection up and resumes its coroutine. What
//! this costs above the floor is the price of a stack for each connection. See also [`floor_server`](crate::floor_server),
//! which can be told to touch some lines of memory for each request, as a stack is touched, without having one.

use std::io::{self, Read, Write};

use corosensei::{Coroutine, Yielder};
use mio::net::TcpStream;

use crate::floor::ColouredStack;
use crate::floor_server::{News, event_loop};

type Connection = Coroutine<News, (), (), ColouredStack>;

/// Echoes.
pub fn echo(port: u16) -> io::Result<()> {
    serve("bare-echo", port, |stream| crate::echo(stream, || ()))
}

/// Answers HTTP requests.
pub fn http(port: u16) -> io::Result<()> {
    serve("bare-http", port, |stream| crate::http::serve(stream))
}

fn serve(workload: &'static str, port: u16, handler: fn(Stream<'_>) -> io::Result<()>) -> io::Result<()> {
    let open = |stream, number| {
        Ok(Coroutine::with_stack(ColouredStack::new(number)?, move |yielder, news| {
            // An error ends the connection.
            let _ = handler(Stream { stream, yielder, news });
        }))
    };
    event_loop(workload, port, open, |coroutine: &mut Connection, _, news| coroutine.resume(news).as_yield().is_some())
}

/// A stream that suspends where it would block.
struct Stream<'a> {
    stream: TcpStream,
    yielder: &'a Yielder<News, ()>,
    news: News,
}

impl Stream<'_> {
    #[inline(always)]
    fn pause(&mut self) {
        let news = self.yielder.suspend(());
        self.news.readable |= news.readable;
        self.news.hung_up |= news.hung_up;
    }
}

impl Read for Stream<'_> {
    #[inline(always)]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            while !self.news.readable && !self.news.hung_up {
                self.pause();
            }
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.news.readable = false,
                result => {
                    self.news.readable = result.as_ref().is_ok_and(|&n| n == buffer.len());
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
