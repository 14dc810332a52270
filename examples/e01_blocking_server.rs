//! **Lesson.** A read that blocks stops the whole thread, so the second client waits until the first hangs up.
//!
//! **Predict.** Ada is connected, and has had an answer. Grace connects and asks as well, and then Ada asks something else. Who is
//! answered, and in which line of the server does it stand when Grace asks? What would Ada have to do for her?
//!
//! **Shows** V6 (what the loop did), by contrast: there is none, and nobody else has a turn.
//! **Covers** A11, C1, C2.
//!
//! Run `cargo run --example e01_blocking_server`, and add `-- --quiet`. A server of this kind to talk to is
//! `cargo run --example hex_server -- --mode blocking`.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use corio::say;

mod common;
#[path = "hex_server.rs"]
#[allow(dead_code)]
mod hex_server;

// ANCHOR: server
/// A line with a number comes in, the number in hexadecimal goes back.
fn server(listener: &TcpListener) -> io::Result<()> {
    for stream in listener.incoming().take(2) {
        let stream = stream?;
        // Each turn begins with a read. There the kernel stops this thread until the client says something, or has gone.
        for line in BufReader::new(&stream).lines() {
            writeln!(&stream, "{}", hex_server::answer(line?.as_bytes()))?;
        }
    }
    Ok(())
}
// ANCHOR_END: server

pub(crate) fn program() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::scope(|s| {
        let server = s.spawn(|| server(&listener));
        let ada = TcpStream::connect(address)?;
        say!("Ada asks {}", common::ask(&ada, "4312")?);
        let grace = TcpStream::connect(address)?; // by the kernel, which keeps her until the server accepts
        let grace = s.spawn(move || common::ask(&grace, "1234"));
        say!("Ada asks {}", common::ask(&ada, "what about Grace?")?);
        say!("Grace has an answer: {}", grace.is_finished());
        drop(ada);
        say!("Ada has hung up");
        say!("Grace asks {}", grace.join().expect("it does not panic")?);
        server.join().expect("it does not panic")
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
