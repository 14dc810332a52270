//! The same program on every backend.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use corio::net::{TcpListener, TcpStream};
use corio::testing::{Ledger, Network};
use corio::{Backend, Runner, aio, is_timed_out, millis, timeout, yield_now};

/// Networks that differ in what a program must not rely on.
fn networks() -> Vec<Network> {
    let slow = |seed| Network::new().seed(seed).latency(millis(1)..=millis(30));
    vec![
        Network::new(),
        Network::new().capacity(16),
        slow(1).short_reads(1).short_writes(1),
        slow(2).short_reads(700).short_writes(900).capacity(1_500),
    ]
}

/// Runs a program on each backend, and looks whether it leaves anything: mio, `poll(2)`, and networks in memory, on which
/// time is virtual.
pub(crate) fn everywhere(program: impl Fn() -> io::Result<()>) {
    let whole = || {
        program()?;
        Ledger::now().assert_empty();
        Ok(())
    };
    for backend in [Backend::Mio, Backend::Poll] {
        let name = format!("{backend:?}");
        Runner::new().backend(backend).run(whole).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for (n, network) in networks().into_iter().enumerate() {
        let backend = Backend::Simulated(network.clone());
        let end = Runner::new().virtual_clock().backend(backend).run(whole);
        end.unwrap_or_else(|error| panic!("network {n}: {error}"));
        assert_eq!(network.open(), 0, "network {n}: sockets are left");
    }
}

/// The same with a program that is awaited.
pub(crate) fn everywhere_awaited<F: Future<Output = io::Result<()>> + 'static>(program: impl Fn() -> F) {
    everywhere(|| aio::spawn_local(program()).join());
}

/// Whether it is a socket of a network in memory.
pub(crate) fn is_simulated(socket: &impl AsRawFd) -> bool {
    socket.as_raw_fd() < 0
}

pub(crate) fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Two ends of a connection.
pub(crate) fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let (listener, address) = listen()?;
    let far = TcpStream::connect(address)?;
    Ok((listener.accept()?.0, far))
}

/// Makes the stream wait once, so that it is registered with the loop from now on.
pub(crate) fn register(stream: &TcpStream) -> io::Result<()> {
    use std::io::Read;
    assert!(is_timed_out(&timeout(millis(1), || (&*stream).read(&mut [0])).unwrap_err()));
    yield_now()
}

/// More than fits into any buffer on the way.
pub(crate) fn too_much(stream: &TcpStream) -> Vec<u8> {
    bytes(if is_simulated(stream) { 100_000 } else { 8 << 20 })
}

pub(crate) fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|n| (n * 7 + n / 251) as u8).collect()
}

/// A path for a socket, which the test of that name has for itself.
pub(crate) fn path(test: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("corio-{}-{test}-{n}", std::process::id()))
}
