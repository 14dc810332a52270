//! **Lesson.** A router and a reply in JSON are ordinary functions, once pausing is ordinary.
//!
//! **Predict.** One client asks for a page that takes a second, and another one for two that take no time. In which order are they
//! answered? In which of the functions `route`, `serve` and `ask` would `async` and `await` have to be written elsewhere?
//!
//! **Shows** V4 (who ran in between): while one request is being answered, others come and go.
//! **Covers** A12, C18. With a framework that others wrote, axum, it is in `examples/apps`.
//!
//! Run `cargo run --example e45_web_server`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` for real sockets. With
//! `-- --listen 127.0.0.1:8080` it serves until Ctrl-C: `curl 127.0.0.1:8080/hex -d 255`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use corio::io::StreamReader;
use corio::net::{Server, TcpListener, TcpStream};
use corio::{Builder, is_cancelled, run, say, scope, secs, sleep};
use serde_json::{Value, json};

mod common;

// ANCHOR: route
fn route(request: &str, body: &str) -> io::Result<(&'static str, Value)> {
    Ok(match request.strip_suffix(" HTTP/1.1").unwrap_or(request) {
        "GET /slow" => {
            sleep(secs(1))?; // for a database, say
            ("200 OK", json!({ "seconds": 1 }))
        }
        "POST /hex" => match body.parse::<u64>() {
            Ok(n) => ("200 OK", json!({ "number": n, "hex": format!("{n:#x}") })),
            Err(error) => ("400 Bad Request", json!({ "error": error.to_string() })),
        },
        other => ("404 Not Found", json!({ "error": format!("{other} is not here") })),
    })
}
// ANCHOR_END: route

/// One request after the other, until the client hangs up.
pub(crate) fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut reader = StreamReader::new(stream.try_clone()?);
    loop {
        let next = || reader.lines().next().filter(|line| line.as_ref().map_or(true, |line| !line.is_empty()));
        let head = std::iter::from_fn(next).collect::<io::Result<Vec<String>>>()?;
        let Some(request) = head.first() else { return Ok(()) };
        let length = |line: &String| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok();
        let body = reader.read_exactly(head.iter().find_map(length).unwrap_or(0))?;
        let (status, reply) = route(request, &String::from_utf8_lossy(&body))?;
        let (reply, kind) = (format!("{reply}\n"), "application/json");
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", reply.len());
        stream.write_all((head + &reply).as_bytes())?;
    }
}

fn ask(host: SocketAddr, request: &str, body: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(host)?;
    let head = format!("{request} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    say!("{request}: {}", answer.lines().last().unwrap_or("nothing"));
    Ok(())
}

pub(crate) fn program() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?;
    scope(|s| {
        let mut clients = std::iter::from_fn(|| listener.incoming().next());
        let server = move || clients.try_for_each(|stream| stream.map(|stream| drop(s.spawn(|| serve(stream)))));
        drop(Builder::new().name("server").spawn_scoped(s, server)?);
        let slow = Builder::new().name("slow").spawn_scoped(s, || ask(host, "GET /slow", ""))?;
        ask(host, "POST /hex", "255")?;
        ask(host, "GET /nothing", "")?;
        slow.join().inspect(|()| s.cancel())
    })
}

fn main() -> io::Result<()> {
    match std::env::args().skip_while(|arg| arg != "--listen").nth(1) {
        Some(address) => run(|| Server::new([TcpListener::bind(address)?]).serve(serve))
            .or_else(|error| if is_cancelled(&error) { Ok(()) } else { Err(error) }), // Ctrl-C
        None => common::watch(program),
    }
}
