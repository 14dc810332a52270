//! **Lesson.** A thread for each client cures that, and now every client that waits costs a whole thread.
//!
//! **Predict.** Ada is connected and says nothing. Is Grace answered? How many threads has the server when nobody asks anything, and
//! what are they doing?
//!
//! **Shows** V6 (what the loop did), by contrast: the loop is the kernel's, and what waits there is a thread.
//! **Covers** C3, C4: what a thread costs is measured in `e48_ten_thousand`.
//!
//! Run `cargo run --example e02_thread_server`, and add `-- --quiet`. A server of this kind to talk to is
//! `cargo run --example hex_server -- --mode threads`.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

use corio::say;

mod common;
#[path = "hex_server.rs"]
#[allow(dead_code)]
mod hex_server;

// ANCHOR: server
/// The accepting thread does nothing but accept; each client has one that waits for it alone.
fn server(listener: &TcpListener, threads: &AtomicU32) -> io::Result<()> {
    thread::scope(|s| {
        for stream in listener.incoming().take(2) {
            let stream = stream?;
            s.spawn(move || {
                threads.fetch_add(1, SeqCst);
                let end = hex_server::serve(stream); // reads a line, answers it, and reads the next
                threads.fetch_sub(1, SeqCst);
                end
            });
        }
        Ok(())
    })
}
// ANCHOR_END: server

pub(crate) fn program() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let threads = AtomicU32::new(0);
    thread::scope(|s| {
        let server = s.spawn(|| server(&listener, &threads));
        let ada = TcpStream::connect(address)?;
        let grace = TcpStream::connect(address)?;
        say!("Ada says nothing");
        say!("Grace asks {}", common::ask(&grace, "1234")?);
        say!("Ada asks {}", common::ask(&ada, "4312")?);
        say!("now both say nothing, and {} threads wait for that", threads.load(SeqCst));
        drop((ada, grace));
        server.join().expect("it does not panic")?;
        say!("both have hung up, and {} threads are left", threads.load(SeqCst));
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
