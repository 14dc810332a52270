//! **Lesson.** The task code does not know which reactor or clock is underneath.
//!
//! **Predict.** The same function runs on epoll, on `poll(2)`, and on a network that exists in memory only, where every packet
//! takes an hour. How long does the last one take on your own clock?
//!
//! **Shows** nothing of the loop: each of the three runs is one of its own.
//! **Covers** C13 (the choice of a loop: uvloop, tornado).
//!
//! Run `cargo run --example e56_swap_the_engine`, and add `-- --quiet`.

use std::io::{self, Read, Write};
use std::thread;

use corio::net::{TcpListener, TcpStream};
use corio::testing::Network;
use corio::{Backend, Runner, now, say, scope, secs};

mod common;

/// Knows sockets, and nothing of who carries them.
fn ping() -> io::Result<u64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let start = now();
    scope(|s| {
        s.spawn(|| {
            let (mut stream, _) = listener.accept()?;
            let mut ping = [0; 4];
            stream.read_exact(&mut ping)?;
            stream.write_all(b"pong")
        });
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"ping")?;
        let mut pong = [0; 4];
        stream.read_exact(&mut pong)
    })?;
    Ok((now() - start).as_secs() / 3600)
}

pub(crate) fn program() -> io::Result<()> {
    let far_away = Network::new().latency(secs(3600)..=secs(3600));
    for (name, backend) in
        [("epoll", Backend::Mio), ("poll(2)", Backend::Poll), ("memory", Backend::Simulated(far_away))]
    {
        // A loop of its own needs a thread of its own. Where the network is real, so is the time. The loop here stands still
        // meanwhile: there is nobody else on it.
        let elsewhere = thread::spawn(|| match backend {
            Backend::Simulated(_) => Runner::new().virtual_clock().backend(backend).run(ping),
            backend => Runner::new().backend(backend).run(ping),
        });
        let hours = elsewhere.join().expect("it does not panic")?;
        say!("{name}: there and back, twice, in {hours} hours");
    }
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
