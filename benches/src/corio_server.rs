//! The contender's servers: the library as a user would call it.

use std::io::{self, Read};

use corio::io::copy_bidirectional;
use corio::net::{TcpListener, TcpStream};
use corio::{Builder, Workers};

use crate::figures;
use crate::{compute, hex_server, http};

/// A task per connection, reading and writing back; `stack` in bytes, or 0 for the library's default.
pub fn echo(port: u16, stack: usize) -> io::Result<()> {
    serve("echo", port, stack, |stream| answer(stream, || ()))
}

/// An echo that is work, on so many loops.
pub fn workers(port: u16, count: usize) -> io::Result<()> {
    figures::end_with_figures("workers");
    let workers = Workers::builder().count(count).start()?;
    let server = workers.serve(("127.0.0.1", port), |stream| answer(stream, compute))?;
    println!("listening={}", server.local_addr().port());
    workers.join()
}

/// A task per connection, answering HTTP requests.
pub fn http(port: u16, stack: usize) -> io::Result<()> {
    serve("http", port, stack, |stream| {
        stream.set_nodelay(true)?;
        http::serve(stream)
    })
}

/// A task per connection, answering numbers in hexadecimal: the handler of the example.
pub fn hex(port: u16) -> io::Result<()> {
    serve("hex", port, 0, hex_server::serve)
}

/// A task per connection, passing everything on in both directions. Where to, says [`crate::transfer`].
pub fn proxy(port: u16) -> io::Result<()> {
    serve("proxy", port, 0, |mut near| {
        let mut port = [0; 2];
        near.read_exact(&mut port)?;
        let far = TcpStream::connect(("127.0.0.1", u16::from_be_bytes(port)))?;
        copy_bidirectional(&near, &far).map(|_| ())
    })
}

fn serve(
    workload: &'static str,
    port: u16,
    stack: usize,
    connection: fn(TcpStream) -> io::Result<()>,
) -> io::Result<()> {
    figures::end_with_figures(workload);
    corio::run(|| {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        println!("listening={}", listener.local_addr()?.port());
        for stream in listener.incoming() {
            let stream = stream?;
            let builder = if stack == 0 { Builder::new() } else { Builder::new().stack_size(stack) };
            drop(builder.spawn(move || connection(stream))?);
        }
        Ok(())
    })
}

fn answer(stream: TcpStream, work: impl Fn()) -> io::Result<()> {
    stream.set_nodelay(true)?;
    crate::echo(stream, work)
}
