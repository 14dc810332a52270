//! A network in memory, as one more source of readiness.
//!
//! The reactor is the same: it registers, remembers what is ready, and lets an attempt decide. Only the attempts are made
//! here, on queues of bytes, and news is what these queues have to say. Every byte that is written *arrives*: after the
//! latency, in order, as an entry of [`State::under_way`]. So the network knows when it will have news next, and a virtual
//! clock can jump there.
//!
//! Datagrams and Unix sockets are here as well: the names of the latter are names of the network, and no files.
//!
//! Sockets go by negative numbers where a kernel's have descriptors: none can be taken for the other.

mod datagrams;
mod script;
mod state;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::SockAddr;

pub use self::script::{Peer, Script};
use self::state::{Arrival, Stage, State, fault, unnamed};
pub(crate) use self::state::{Claim, Options};
use super::{News, Registrar, Request, Selector, Token};
use crate::clock::nanos;
use crate::random::Random;
use crate::timer::Nanos;

/// A network in memory, for tests and for examples whose output is always the same.
///
/// Given to [`Runner::backend`](crate::Runner::backend), it carries all of the run's sockets: the program is the same as on a
/// real network. On a virtual clock nothing of it takes time, and a program that waits for what can never come is a deadlock
/// that is reported. [`Script`]s play the parts of peers of TCP that are not tasks.
///
/// - **TCP.** Any address can be listened on. What travels takes its latency and arrives in order; writes wait when the other
///   end does not read; a connection can be closed, half-closed and reset, also by a close that
///   [lingers](crate::net::TcpStream::set_linger) for no time. Other options are remembered, and change nothing.
///   Of listeners that share an address one is given each client, at random.
/// - **UDP.** Any address can be bound. Each datagram takes a latency of its own, so those that are sent soon after each other
///   may change places; some are [lost](Self::lose_one_in) or [come twice](Self::repeat_one_in), if that is asked for. One
///   for which the receiver has no room is lost. That nobody has an address is told to whoever is connected to it. There are no groups and no
///   broadcasts: what has to do with them is an error of the kind [`Unsupported`](io::ErrorKind::Unsupported).
/// - **Unix sockets.** Their names, paths or abstract ones, are names of the network: the file system has nothing to do with
///   them. A path is taken as it is written, and is free again when its socket is closed. What is sent is there at once,
///   whatever the latency of the network, and none of it is lost.
///
/// What needs a descriptor of the system ([`readable`](crate::readable), pipes, sockets that come from std) does not work on
/// it. A network belongs to one loop at a time: a second one gets an error of the kind
/// [`ResourceBusy`](io::ErrorKind::ResourceBusy). So [`Workers`](crate::Workers) cannot share one.
///
/// ```
/// use corio::net::{TcpListener, TcpStream};
/// use corio::testing::Network;
/// use corio::{Backend, Runner, millis, now, scope};
/// use std::io::{Read, Write};
///
/// let network = Network::new().latency(millis(20)..=millis(20)).short_reads(3);
/// Runner::new().virtual_clock().backend(Backend::Simulated(network)).run(|| {
///     let listener = TcpListener::bind("10.0.0.1:80")?;
///     scope(|s| {
///         s.spawn(|| {
///             let (mut stream, _) = listener.accept()?;
///             let mut text = String::new();
///             stream.read_to_string(&mut text)?;
///             stream.write_all(text.to_uppercase().as_bytes())
///         });
///         let start = now();
///         let mut stream = TcpStream::connect("10.0.0.1:80")?; // there and back: 40 ms
///         stream.write_all(b"hello")?;
///         stream.shutdown(std::net::Shutdown::Write)?;
///         let mut answer = String::new();
///         stream.read_to_string(&mut answer)?; // there and back
///         assert_eq!((answer.as_str(), now() - start), ("HELLO", millis(80)));
///         Ok(())
///     })
/// })?;
/// # std::io::Result::Ok(())
/// ```
///
/// With names, small buffers, writes in pieces, peers of whom each plays a [`Script`], and a cable that is cut:
///
/// ```
/// use corio::net::{TcpListener, TcpStream};
/// use corio::testing::{Network, Script};
/// use corio::{Backend, Runner, call_later, millis};
/// use std::io::{Read, Write};
///
/// let network = Network::new().seed(7).short_writes(3).capacity(8).host("server.test", ["10.0.0.9".parse().unwrap()]);
/// let server = network.server("10.0.0.9:80".parse().unwrap(), Script::new().receive(16).send("thanks"))?;
/// let client = network.client("10.0.0.1:7".parse().unwrap(), Script::new().wait(millis(5)).send("?"));
/// let cable = network.clone();
/// Runner::new().virtual_clock().backend(Backend::Simulated(network)).run(|| {
///     let listener = TcpListener::bind("10.0.0.1:7")?;
///     let mut stream = TcpStream::connect("server.test:80")?;
///     stream.write_all(b"sixteen bytes...")?;
///     stream.read_exact(&mut [0; 6])?;
///     assert_eq!(server.received(), b"sixteen bytes...");
///
///     let (mut asking, _) = listener.accept()?;
///     asking.read_exact(&mut [0])?;
///     assert_eq!(cable.open(), 5); // the listener, and both ends of both
///     let cut = cable.clone();
///     call_later(millis(1), move || cut.reset_all());
///     assert!(stream.read(&mut [0]).is_err() && client.saw_reset());
///     Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Network {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Whether a loop has it.
    taken: AtomicBool,
    /// For a loop on a real clock, which sleeps here.
    changed: Condvar,
}

/// Names a socket or a listener, where the kernel has descriptors. Below zero.
pub(crate) type Id = RawFd;

impl Default for Network {
    fn default() -> Network {
        Network::new()
    }
}

impl Network {
    /// A network without latency, on which reads and writes are as large as they can be.
    pub fn new() -> Network {
        Network {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new()),
                taken: AtomicBool::new(false),
                changed: Condvar::new(),
            }),
        }
    }

    fn with(self, change: impl FnOnce(&mut State)) -> Network {
        change(&mut self.state());
        self
    }

    /// The seed of what is random: latencies within their range, and the lengths of short reads and writes.
    pub fn seed(self, seed: u64) -> Network {
        self.with(|state| state.random = Random::new(seed))
    }

    /// How long everything takes to arrive. What one end of a connection sends arrives in order all the same; a datagram may
    /// overtake another.
    pub fn latency(self, range: std::ops::RangeInclusive<Duration>) -> Network {
        self.with(|state| state.latency = (nanos(*range.start()), nanos(*range.end())))
    }

    /// Lets each read give a random number of the bytes that it could, `most` at the most.
    ///
    /// # Panics
    ///
    /// If `most` is 0.
    pub fn short_reads(self, most: usize) -> Network {
        assert!(most > 0, "a read of nothing is the end of the stream");
        self.with(|state| state.short_reads = Some(most))
    }

    /// Lets each write take a random number of the bytes that it could, `most` at the most.
    ///
    /// # Panics
    ///
    /// If `most` is 0.
    pub fn short_writes(self, most: usize) -> Network {
        assert!(most > 0, "a write of nothing is an error");
        self.with(|state| state.short_writes = Some(most))
    }

    /// Loses one datagram of UDP in `n`, at random; with 1, every one.
    ///
    /// # Panics
    ///
    /// If `n` is 0.
    ///
    /// ```
    /// use corio::net::UdpSocket;
    /// use corio::testing::Network;
    /// use corio::{Backend, Runner, is_timed_out, millis, scope, timeout};
    ///
    /// let network = Network::new().seed(7).latency(millis(10)..=millis(50)).lose_one_in(2).repeat_one_in(5);
    /// Runner::new().virtual_clock().backend(Backend::Simulated(network)).run(|| {
    ///     let (client, server) = (UdpSocket::bind("10.0.0.2:0")?, UdpSocket::bind("10.0.0.1:53")?);
    ///     scope(|s| {
    ///         s.spawn(|| -> std::io::Result<()> {
    ///             let mut buffer = [0; 512];
    ///             loop {
    ///                 let (n, from) = server.recv_from(&mut buffer)?;
    ///                 server.send_to(&buffer[..n], from)?;
    ///             }
    ///         });
    ///         let mut buffer = [0; 512];
    ///         let answer = (1..=20).find_map(|_| {
    ///             client.send_to(b"question", "10.0.0.1:53").ok()?;
    ///             timeout(millis(100), || client.recv_from(&mut buffer)).ok() // asks again if there is no answer
    ///         });
    ///         assert!(answer.is_some());
    ///         s.cancel();
    ///         Ok(())
    ///     })
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn lose_one_in(self, n: u64) -> Network {
        assert!(n > 0, "one in none");
        self.with(|state| state.lost = n)
    }

    /// Lets one datagram of UDP in `n` come twice, at random; with 1, every one. Each of the two takes its own latency.
    ///
    /// # Panics
    ///
    /// If `n` is 0.
    pub fn repeat_one_in(self, n: u64) -> Network {
        assert!(n > 0, "one in none");
        self.with(|state| state.repeated = n)
    }

    /// How many bytes of one direction may be under way or unread before a write waits, and how many a receiver of datagrams
    /// keeps. 64 KiB if not set.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn capacity(self, bytes: usize) -> Network {
        assert!(bytes > 0, "nothing fits through a connection of no capacity");
        self.with(|state| state.capacity = bytes)
    }

    /// The addresses of a name. Other names are unknown here, but for `localhost`, which is 127.0.0.1 if not set.
    pub fn host(self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) -> Network {
        self.with(|state| drop(state.hosts.insert(name.to_owned(), addresses.into_iter().collect())))
    }

    /// A peer that connects to `to` and plays `script`. The script begins now; before the run, with the run.
    pub fn client(&self, to: SocketAddr, script: Script) -> Peer {
        let mut state = self.state();
        let peer = state.add_peer(script);
        state.peers[peer].calls = Some(to);
        state.schedule(0, Arrival::Step { peer });
        self.shared.changed.notify_all();
        Peer::new(self.clone(), peer)
    }

    /// A peer that listens on `at`, accepts one connection, and plays `script` on it.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse).
    pub fn server(&self, at: SocketAddr, script: Script) -> io::Result<Peer> {
        let mut state = self.state();
        let id = state.bind(at.into(), 1, Claim::default())?;
        let peer = state.add_peer(script);
        state.listeners.get_mut(&id).expect("bound just now").peer = Some(peer);
        Ok(Peer::new(self.clone(), peer))
    }

    /// Resets every connection of TCP, as a cable that was cut, and a router that says so.
    pub fn reset_all(&self) {
        let mut state = self.state();
        let far = state.sockets.iter().filter(|(_, socket)| !socket.local.is_unix());
        let all: Vec<Id> = far.map(|(id, _)| *id).collect();
        for to in all {
            state.arrive(Arrival::Reset { to });
        }
        self.shared.changed.notify_all();
    }

    /// How many sockets and listeners are open, those of scripts included.
    pub fn open(&self) -> usize {
        let state = self.state();
        state.sockets.len() + state.listeners.len() + state.mailboxes.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state at a loop's time.
    fn at(&self, now: Nanos) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.advance(now);
        state
    }

    pub(crate) fn is(&self, other: &Network) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    // ---- what a socket can do ---------------------------------------------------------------------------------------

    pub(crate) fn look_up(&self, name: &str) -> Option<Vec<IpAddr>> {
        let known = self.state().hosts.get(name).cloned();
        known.or_else(|| (name == "localhost").then(|| vec![Ipv4Addr::LOCALHOST.into()]))
    }

    pub(crate) fn bind(&self, address: SockAddr, backlog: usize, claim: Claim) -> io::Result<Id> {
        self.state().bind(address, backlog, claim)
    }

    pub(crate) fn connect(&self, now: Nanos, from: Option<SocketAddr>, to: SockAddr) -> io::Result<Id> {
        let mut state = self.at(now);
        match to.as_socket() {
            Some(to) if from.is_some_and(|from| from.is_ipv6() != to.is_ipv6()) => fault(libc::EAFNOSUPPORT),
            Some(to) => Ok(state.connect(from, to, None)),
            None => state.connect_unix(to),
        }
    }

    pub(crate) fn pair(&self) -> (Id, Id) {
        self.state().pair(unnamed())
    }

    /// A socket of datagrams with that address, or without one.
    pub(crate) fn bind_datagrams(&self, address: Option<SockAddr>) -> io::Result<Id> {
        self.state().bind_mailbox(address.unwrap_or_else(unnamed))
    }

    pub(crate) fn pair_of_datagrams(&self) -> io::Result<(Id, Id)> {
        self.state().pair_of_mailboxes()
    }

    pub(crate) fn connect_datagrams(&self, id: Id, to: SockAddr) -> io::Result<()> {
        let mut state = self.state();
        let id = state.behind(id);
        state.connect_mailbox(id, to)
    }

    pub(crate) fn send_datagram(&self, now: Nanos, id: Id, bytes: &[u8], to: Option<SockAddr>) -> io::Result<usize> {
        let mut state = self.at(now);
        let id = state.behind(id);
        let result = state.send_datagram(id, bytes, to);
        self.shared.changed.notify_all();
        result
    }

    pub(crate) fn receive(
        &self,
        now: Nanos,
        id: Id,
        buffer: &mut [u8],
        peek: bool,
    ) -> io::Result<(usize, SockAddr, bool)> {
        let mut state = self.at(now);
        let id = state.behind(id);
        state.receive(id, buffer, peek)
    }

    /// Whether the connection has come about.
    pub(crate) fn connected(&self, now: Nanos, id: Id) -> io::Result<()> {
        let mut state = self.at(now);
        let id = state.behind(id);
        let socket = state.socket(id)?;
        match (socket.error.take(), socket.stage) {
            (Some(errno), _) => fault(errno),
            (None, Stage::Connecting) => Err(io::ErrorKind::WouldBlock.into()),
            (None, Stage::Open) => Ok(()),
        }
    }

    pub(crate) fn accept(&self, now: Nanos, id: Id) -> io::Result<(Id, SockAddr)> {
        let mut state = self.at(now);
        let id = state.behind(id);
        let Some(listener) = state.listeners.get_mut(&id) else { return fault(libc::EBADF) };
        let accepted = listener.waiting.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        Ok((accepted, state.socket(accepted)?.remote.clone()))
    }

    pub(crate) fn read(&self, now: Nanos, id: Id, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
        let mut state = self.at(now);
        let id = state.behind(id);
        let result = state.read(id, buffer, peek);
        self.shared.changed.notify_all();
        result
    }

    pub(crate) fn write(&self, now: Nanos, id: Id, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.at(now);
        let id = state.behind(id);
        state.write(id, bytes)
    }

    pub(crate) fn shutdown(&self, now: Nanos, id: Id, how: Shutdown) -> io::Result<()> {
        let mut state = self.at(now);
        let id = state.behind(id);
        if state.mailboxes.contains_key(&id) { state.shut_mailbox(id, how) } else { state.shutdown(id, how) }
    }

    /// What a socket or listener remembers.
    pub(crate) fn with_options<R>(&self, id: Id, f: impl FnOnce(&mut Options) -> R) -> R {
        let mut state = self.state();
        let id = state.behind(id);
        let mut options = state.options.get(&id).copied().unwrap_or_default();
        let result = f(&mut options);
        if state.standing(id).is_some() {
            state.options.insert(id, options);
        }
        result
    }

    pub(crate) fn take_error(&self, id: Id) -> Option<io::Error> {
        let mut state = self.state();
        let id = state.behind(id);
        let error = state.sockets.get_mut(&id).and_then(|socket| socket.error.take());
        error.or_else(|| state.mailbox_error(id)).map(io::Error::from_raw_os_error)
    }

    /// One more handle of a socket or listener.
    pub(crate) fn retain(&self, handle: Id) -> Id {
        let mut state = self.state();
        let (id, new) = (state.behind(handle), state.next_id());
        state.clones.insert(new, id);
        if let Some(socket) = state.sockets.get_mut(&id) {
            socket.handles += 1;
        } else if let Some(listener) = state.listeners.get_mut(&id) {
            listener.handles += 1;
        } else if let Some(mailbox) = state.mailboxes.get_mut(&id) {
            mailbox.handles += 1;
        }
        new
    }

    /// One less; the last one closes. `None`: the loop is not at hand, and the network takes the last time that it knows.
    pub(crate) fn release(&self, now: Option<Nanos>, id: Id) {
        let mut state = self.state();
        if let Some(now) = now {
            state.advance(now);
        }
        state.release(id);
        self.shared.changed.notify_all();
    }

    pub(crate) fn stop_listening(&self, id: Id) {
        self.state().stop_listening(id);
    }

    pub(crate) fn local_addr(&self, id: Id) -> io::Result<SockAddr> {
        let mut state = self.state();
        let id = state.behind(id);
        if let Some((local, _)) = state.mailbox_addresses(id) {
            return Ok(local);
        }
        match state.listeners.get(&id) {
            Some(listener) => Ok(listener.address.clone()),
            None => state.socket(id).map(|socket| socket.local.clone()),
        }
    }

    pub(crate) fn peer_addr(&self, id: Id) -> io::Result<SockAddr> {
        let mut state = self.state();
        let id = state.behind(id);
        if let Some((_, peer)) = state.mailbox_addresses(id) {
            return peer.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOTCONN));
        }
        let socket = state.socket(id)?;
        if socket.stage == Stage::Connecting || socket.broken {
            fault(libc::ENOTCONN)
        } else {
            Ok(socket.remote.clone())
        }
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("open", &self.open()).finish()
    }
}

/// The half of a loop, which has the network for as long.
pub(super) struct SimulatedSelector(Network);

impl SimulatedSelector {
    /// News is for whoever asks first, and moments are those of one clock: two loops would take them from each other, in an
    /// order that no seed decides.
    pub(super) fn new(network: Network) -> io::Result<(SimulatedSelector, SimulatedRegistrar)> {
        if network.shared.taken.swap(true, Ordering::AcqRel) {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another loop has this simulated network, which belongs to one at a time: let the peers be tasks of that \
                 loop, or scripts, or give each loop a network of its own",
            ));
        }
        Ok((SimulatedSelector(network.clone()), SimulatedRegistrar(network)))
    }
}

impl Drop for SimulatedSelector {
    fn drop(&mut self) {
        self.0.shared.taken.store(false, Ordering::Release);
    }
}

impl Selector for SimulatedSelector {
    fn select(&mut self, request: &Request<'_>, each: &mut dyn FnMut(Token, News)) -> io::Result<()> {
        let start = (request.now)();
        let mut state = self.0.at(start);
        let until = request.timeout.map_or(Nanos::MAX, |timeout| start.saturating_add(nanos(timeout)));
        while state.news.is_empty() && !state.woken {
            let now = (request.now)();
            state.advance(now);
            let next = state.under_way.first_key_value().map_or(Nanos::MAX, |((due, _), _)| *due).min(until);
            if !state.news.is_empty() || until <= now {
                break;
            }
            let left = Duration::from_nanos(next.saturating_sub(now));
            let waited = self.0.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if waited.1.timed_out() {
                // A virtual clock has stood still meanwhile.
                state.advance((request.now)());
                break;
            }
        }
        state.woken = false;
        let news = std::mem::take(&mut state.news);
        drop(state);
        news.into_iter().for_each(|(token, news)| each(token, news));
        Ok(())
    }

    fn next(&self) -> Option<Nanos> {
        let state = self.0.state();
        if !state.news.is_empty() {
            return Some(state.now);
        }
        state.under_way.first_key_value().map(|((due, _), _)| *due)
    }

    fn network(&self) -> Option<&Network> {
        Some(&self.0)
    }
}

/// The half of everybody.
pub(super) struct SimulatedRegistrar(Network);

impl Registrar for SimulatedRegistrar {
    fn register(&self, fd: RawFd, token: Token) -> io::Result<()> {
        let mut state = self.0.state();
        let id = state.behind(fd);
        let Some(standing) = state.standing(id) else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a loop on a simulated network cannot wait for a descriptor of the system",
            ));
        };
        state.tokens(id).map(|tokens| tokens.insert(fd, token));
        if standing.is_news() {
            state.news.push_back((token, standing));
        }
        Ok(())
    }

    fn deregister(&self, fd: RawFd) -> io::Result<()> {
        let mut state = self.0.state();
        let id = state.behind(fd);
        state.tokens(id).map(|tokens| tokens.remove(&fd));
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        self.0.state().woken = true;
        self.0.shared.changed.notify_all();
        Ok(())
    }
}
