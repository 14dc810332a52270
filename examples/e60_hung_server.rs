//! **Lesson.** A server that hangs can be asked what hangs: who waits for what, who has that, and what that one waits for.
//!
//! **Predict.** Three clients ask for a colour each. The backend has lost the one that Grace wants, and never answers. Which of the
//! three get an answer? Who waits for whom a minute later?
//!
//! **Shows** V1 (where each stands), V5 (what would make it ready: follow it to the one that everybody waits for).
//! **Covers** what lies behind D23, in a program that goes on meanwhile: `docs/learn/a-server-that-hangs.md`.
//!
//! Run `cargo run --example e60_hung_server`, and add `-- --quiet` or `-- --detail 2`. As
//! `CORIO_LIVE=1 cargo run --example e60_hung_server -- --quiet --real` it hangs for a real minute, and `cargo run --example attach`
//! looks at it from another terminal.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;

use corio::io::StreamReader;
use corio::net::{TcpListener, TcpStream};
use corio::observe::{dump, mark};
use corio::{Builder, Mutex, say, scope, secs, sleep};

mod common;

/// Asks a server for a value, and waits for the answer.
fn ask(mut stream: &TcpStream, key: &str) -> io::Result<String> {
    writeln!(stream, "{key}")?;
    StreamReader::new(stream).lines().next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))
}

fn backend(mut stream: &TcpStream) -> io::Result<()> {
    for key in StreamReader::new(stream).lines() {
        match &*key? {
            "lost" => sleep(secs(86_400))?,
            key => writeln!(stream, "the value of {key}")?,
        }
    }
    Ok(())
}

struct Cache {
    values: BTreeMap<String, String>,
    backend: TcpStream,
}

/// What Ada and Barbara ask for is known, or would soon be.
fn handle(mut client: &TcpStream, cache: &Mutex<Cache>) -> io::Result<()> {
    for key in StreamReader::new(client).lines() {
        let key = key?;
        let mut cache = cache.lock()?;
        if !cache.values.contains_key(&key) {
            let value = ask(&cache.backend, &key)?; // and meanwhile it has the lock
            cache.values.insert(key.clone(), value);
        }
        writeln!(client, "{}", cache.values[&key])?;
    }
    Ok(())
}

fn client(server: SocketAddr, key: &str) -> io::Result<()> {
    say!("got {}", ask(&TcpStream::connect(server)?, key)?);
    Ok(())
}

pub(crate) fn program() -> io::Result<()> {
    let (behind, front) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let (server, stream) = (front.local_addr()?, TcpStream::connect(behind.local_addr()?)?);
    let cache = Mutex::new(Cache { values: BTreeMap::new(), backend: stream });
    scope(|s| {
        drop(Builder::new().name("backend").spawn_scoped(s, || backend(&behind.accept()?.0))?);
        for (n, (name, key)) in (1..).zip([("Ada", "red"), ("Grace", "lost"), ("Barbara", "blue")]) {
            drop(Builder::new().name(name).spawn_scoped(s, move || client(server, key))?);
            let (stream, cache) = (front.accept()?.0, &cache);
            drop(Builder::new().name(format!("handler-{n}")).spawn_scoped(s, move || handle(&stream, cache))?);
        }
        sleep(secs(60))?;
        mark("asking");
        say!("{}", dump());
        mark("asked");
        s.cancel();
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
