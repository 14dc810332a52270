//! **Lesson.** Many addresses, a time limit for each, and one failure hurts nobody else.
//!
//! **Predict.** Four pages are asked for at once. One comes after a second, one never, one is at a host where nobody listens, and one
//! is large. In which order are the results, and when are all of them there?
//!
//! **Shows** V4, V7: who ran in between, and how each ended.
//! **Covers** C17, D22.
//!
//! Run `cargo run --example e46_scraper`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` for real sockets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use corio::net::{TcpListener, TcpStream};
use corio::{Builder, gather, now, say, scope, secs, sleep, timeout};

mod common;

fn fetch(host: SocketAddr, page: &str) -> io::Result<usize> {
    let mut stream = TcpStream::connect(host)?;
    stream.write_all(page.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)
}

/// Sends a page of a thousand bytes, for each second that its name asks for.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let seconds = page.trim_start_matches('/').parse().map_err(io::Error::other)?;
    sleep(secs(seconds))?;
    stream.write_all(&vec![b'.'; 1000 * seconds as usize])
}

pub(crate) fn program() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (host, nobody) = (listener.local_addr()?, SocketAddr::from(([127, 0, 0, 1], 1)));
    scope(|s| {
        let accept = || {
            for stream in listener.incoming() {
                let stream = stream?;
                s.spawn(|| serve(stream));
            }
            Ok(())
        };
        drop(Builder::new().name("server").spawn_scoped(s, accept)?);
        let start = now();
        let pages = [(host, "/1"), (host, "/86400"), (nobody, "/1"), (host, "/3")];
        // An error of a function would end them all, so each gives its own as a value.
        let results = gather(pages, |(host, page)| Ok(timeout(secs(5), || fetch(host, page))))?;
        for ((_, page), result) in pages.iter().zip(results) {
            match result {
                Ok(size) => say!("{page}: {size} bytes"),
                Err(error) => say!("{page}: {:?}", error.kind()),
            }
        }
        say!("all after {:.0} s", (now() - start).as_secs_f64());
        s.cancel();
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
