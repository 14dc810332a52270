//! The same program on every backend.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::watchdog;
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
    let _watchdog = watchdog();
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

/// The same, awaited.
pub(crate) async fn awaited_pair() -> io::Result<(aio::net::TcpStream, aio::net::TcpStream)> {
    let listener = aio::net::TcpListener::bind("127.0.0.1:0").await?;
    let client = aio::net::TcpStream::connect(listener.get_ref().local_addr()?).await?;
    Ok((client, listener.accept().await?.0))
}

/// A name that stands for two addresses on the network of [`two_homes`], where nobody listens yet.
pub(crate) const HOME: &str = "two.example:80";

/// A network where what is sent takes 200 ms, so that an address that nobody has says so after 400, and the addresses of
/// [`HOME`]: the second is tried first.
pub(crate) fn two_homes() -> (Network, SocketAddr, SocketAddr) {
    let (one, other): (SocketAddr, SocketAddr) = ("10.0.0.1:80".parse().unwrap(), "[fd00::1]:80".parse().unwrap());
    let network = Network::new().latency(millis(200)..=millis(200));
    (network.host("two.example", [other.ip(), one.ip()]), one, other)
}

/// Runs a program on that network.
pub(crate) fn at_home(network: &Network, program: impl FnOnce() -> io::Result<()>) {
    let mut runner = Runner::new().virtual_clock().backend(Backend::Simulated(network.clone()));
    runner.run(program).unwrap();
    assert_eq!(network.open(), 0, "sockets are left");
}

/// A socket that listens on a path and has no room for clients that nobody has taken yet, or for one.
pub(crate) fn without_a_queue(path: &Path) -> OwnedFd {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    socket.into()
}

/// Makes the stream wait once, so that it is registered with the loop from now on.
pub(crate) fn register(stream: &TcpStream) -> io::Result<()> {
    use std::io::Read;
    assert!(is_timed_out(&timeout(millis(1), || (&*stream).read(&mut [0])).unwrap_err()));
    yield_now()
}

/// More than fits into any buffer on the way.
pub(crate) fn too_much(stream: &TcpStream) -> Vec<u8> {
    bytes(much(stream))
}

/// How many bytes that is.
pub(crate) fn much(stream: &TcpStream) -> usize {
    if is_simulated(stream) { 100_000 } else { 8 << 20 }
}

pub(crate) fn bytes(n: usize) -> Vec<u8> {
    // Copied from a first part, whose length is prime: one by one, without optimisation, megabytes take seconds.
    let part: Vec<u8> = (0..n.min(65_521)).map(|n| (n * 7 + n / 251) as u8).collect();
    let mut all = part.repeat(n.div_ceil(65_521));
    all.truncate(n);
    all
}

/// A path for a socket, which the test of that name has for itself.
pub(crate) fn path(test: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("corio-{}-{test}-{n}", std::process::id()))
}
