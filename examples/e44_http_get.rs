//! **Lesson.** A client is the same thing from the other end: it writes, and is parked until the answer is there.
//!
//! **Predict.** Two pages are fetched over one connection, and the server takes a second for each. When is the second one there? What
//! tells the client where the first answer ends, if the connection stays open?
//!
//! **Shows** V1, V2: the line where each side is parked, and what for.
//! **Covers** C16, C17, D26: a session is a connection that is kept. A whole client is `ureq`, in `examples/apps`.
//!
//! Run `cargo run --example e44_http_get`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` for real sockets.

use std::io::{self, Write};

use corio::io::StreamReader;
use corio::net::{TcpListener, TcpStream};
use corio::{Builder, say, scope, secs, sleep};

mod common;

/// One request, and its answer: a head up to an empty line, and as many bytes as that says.
fn get(mut stream: &TcpStream, reader: &mut StreamReader<&TcpStream>, path: &str) -> io::Result<String> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let status = reader.lines().next().transpose()?.unwrap_or_default();
    let mut length = 0;
    while let Some(line) = reader.lines().next().transpose()?.filter(|line| !line.is_empty()) {
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.parse().map_err(io::Error::other)?;
        }
    }
    let body = reader.read_exactly(length)?;
    Ok(format!("{status}: {}", String::from_utf8_lossy(&body)))
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut reader = StreamReader::new(stream.try_clone()?);
    while let Some(request) = reader.lines().next().transpose()? {
        while reader.lines().next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        sleep(secs(1))?;
        let body = format!("a page for {request}");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes())?;
    }
    Ok(())
}

pub(crate) fn program() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    scope(|s| {
        drop(Builder::new().name("server").spawn_scoped(s, || serve(listener.accept()?.0))?);
        let stream = TcpStream::connect(address)?;
        let mut reader = StreamReader::new(&stream);
        for path in ["/one", "/two"] {
            say!("{}", get(&stream, &mut reader, path)?);
        }
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
