//! How to listen, and how to connect, when the defaults do not do.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::address::{ToSocketAddrs, all_failed, each, not_cancelled};
use super::endpoint::{Endpoint, network_here};
use super::gate::BACKLOG;
use super::tcp::{TcpListener, TcpStream};
use crate::observe::event::Place;
use crate::reactor::simulated::Claim;
use crate::task::caller;
use crate::{is_timed_out, millis, scope, timeout};

/// How to listen for TCP connections.
///
/// ```
/// use corio::net::ListenOptions;
///
/// let listeners = ListenOptions::new().backlog(64).bind_all("localhost:0")?; // IPv4 and IPv6, as the name has them
/// assert!(!listeners.is_empty());
///
/// let one = ListenOptions::new().reuse_port(true).only_v6(true).bind("127.0.0.1:0")?;
/// let other = ListenOptions::new().reuse_port(true).bind(one.local_addr()?)?; // in this process, or in another one
/// assert_eq!(one.local_addr()?, other.local_addr()?);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct ListenOptions {
    backlog: u32,
    reuse_port: bool,
    only_v6: Option<bool>,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions::new()
    }
}

impl ListenOptions {
    /// Those of [`TcpListener::bind`].
    pub fn new() -> ListenOptions {
        ListenOptions { backlog: BACKLOG, reuse_port: false, only_v6: None }
    }

    /// How many connections may wait to be accepted. 1,024 if not set; the kernel may allow fewer (`net.core.somaxconn`).
    pub fn backlog(mut self, connections: u32) -> ListenOptions {
        self.backlog = connections;
        self
    }

    /// Whether several listeners, also of several processes of one user, may have the address: the kernel gives each
    /// connection to one of them (`SO_REUSEPORT`).
    pub fn reuse_port(mut self, reuse: bool) -> ListenOptions {
        self.reuse_port = reuse;
        self
    }

    /// Whether a listener on an address of IPv6 leaves IPv4 alone. Without this it is as the system has it.
    pub fn only_v6(mut self, only: bool) -> ListenOptions {
        self.only_v6 = Some(only);
        self
    }

    /// Listens on the first address that can be bound.
    ///
    /// # Errors
    ///
    /// If none can be had, one of the last one's kind that tells of all. It names the address.
    ///
    /// # Suspends
    ///
    /// While a name is looked up, if the address is one.
    #[track_caller]
    pub fn bind(&self, address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        each(address, caller(), |address| self.bind_one(address))
    }

    /// Listens on every address, for a name that has several. With port 0 they get ports of their own.
    ///
    /// # Errors
    ///
    /// That of the first address that cannot be had, with its name; the others are closed again.
    ///
    /// # Suspends
    ///
    /// While a name is looked up, if the address is one.
    #[track_caller]
    pub fn bind_all(&self, address: impl ToSocketAddrs) -> io::Result<Vec<TcpListener>> {
        address.resolve(caller())?.into_iter().map(|address| self.bind_one(address)).collect()
    }

    fn bind_one(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
        if let Some(network) = network_here() {
            let claim = Claim { shared: self.reuse_port, only_v6: self.only_v6 == Some(true) };
            let endpoint = Endpoint::bind(network, address.into(), self.backlog as usize, claim);
            return endpoint.map(TcpListener::simulated).map_err(named);
        }
        let bind = || {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
            // As std does: a server that restarts need not wait for its old connections to be forgotten.
            socket.set_reuse_address(true)?;
            if self.reuse_port {
                socket.set_reuse_port(true)?;
            }
            if let (Some(only), true) = (self.only_v6, address.is_ipv6()) {
                socket.set_only_v6(only)?;
            }
            socket.bind(&address.into())?;
            socket.listen(i32::try_from(self.backlog).unwrap_or(i32::MAX))?;
            TcpListener::from_std(socket.into())
        };
        bind().map_err(named)
    }
}

/// How to connect by TCP.
///
/// ```
/// use corio::net::{ConnectOptions, TcpListener};
/// use corio::{run, secs};
///
/// run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let mut options = ConnectOptions::new().limit(secs(5)).happy_eyeballs(true);
///     let stream = options.connect(listener.local_addr()?)?;
///     assert_eq!(stream.peer_addr()?, listener.local_addr()?);
///
///     options = options.limit_of_each(secs(1)).local("127.0.0.1:0".parse().unwrap()); // out by this interface
///     assert!(options.connect(listener.local_addr()?)?.local_addr()?.ip().is_loopback());
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    pub(crate) limit: Option<Duration>,
    pub(crate) limit_of_each: Option<Duration>,
    local: Option<SocketAddr>,
    pub(crate) happy_eyeballs: bool,
}

/// How long an address has before the next one is tried beside it.
pub(crate) const HEAD_START: Duration = millis(250);

impl ConnectOptions {
    /// Those of [`TcpStream::connect`]: one address after the other, for as long as the system is patient.
    pub fn new() -> ConnectOptions {
        ConnectOptions::default()
    }

    /// How long all of it may take, from the end of the look-up of the name.
    pub fn limit(mut self, limit: Duration) -> ConnectOptions {
        self.limit = Some(limit);
        self
    }

    /// How long each address may take.
    pub fn limit_of_each(mut self, limit: Duration) -> ConnectOptions {
        self.limit_of_each = Some(limit);
        self
    }

    /// The address of this end: the interface that it goes out by, and the port, if that is not 0.
    pub fn local(mut self, address: SocketAddr) -> ConnectOptions {
        self.local = Some(address);
        self
    }

    /// Whether the next address is tried when one has not answered for 250 ms, or has failed, while the others go on: the first
    /// that answers wins. The families take turns, beginning with that of the first address (RFC 8305). Only in a task.
    /// asyncio: `happy_eyeballs_delay`.
    pub fn happy_eyeballs(mut self, happy: bool) -> ConnectOptions {
        self.happy_eyeballs = happy;
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// If no address answers, one of the last one's kind that tells of all; [`TimedOut`](io::ErrorKind::TimedOut); a
    /// cancellation. Nothing is left open.
    ///
    /// # Suspends
    ///
    /// Until one has answered, or none will.
    #[track_caller]
    pub fn connect(&self, address: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let at = caller();
        let addresses = address.resolve(at)?;
        let connect = || {
            if self.happy_eyeballs && addresses.len() > 1 {
                self.race(in_turns(&addresses), at)
            } else {
                each(&addresses[..], at, |address| self.connect_one(address, at))
            }
        };
        match self.limit {
            Some(limit) => timeout(limit, connect),
            None => connect(),
        }
    }

    fn connect_one(&self, address: SocketAddr, at: Place) -> io::Result<TcpStream> {
        not_cancelled(at)?;
        TcpStream::connect_by(self.socket(address)?, self.local, address, self.limit_of_each, at)
    }

    /// A stream that is about to be connected, for whoever sees to the limits himself.
    pub(crate) fn connecting(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connecting(self.socket(address)?, self.local, address)
    }

    /// A socket that is bound where it is to be; on a network in memory there is none.
    fn socket(&self, address: SocketAddr) -> io::Result<Option<Socket>> {
        if network_here().is_some() {
            return Ok(None);
        }
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(local) = self.local {
            socket.bind(&local.into())?;
        }
        Ok(Some(socket))
    }

    /// Each address in a task of its own, begun when the one before has failed or had its head start.
    fn race(&self, addresses: Vec<SocketAddr>, at: Place) -> io::Result<TcpStream> {
        let winner = std::cell::Cell::new(None);
        let failures = std::cell::RefCell::new(Vec::new());
        let ended = scope(|s| {
            for address in addresses {
                let (winner, failures) = (&winner, &failures);
                let attempt = s.spawn(move || {
                    match self.connect_one(address, at) {
                        Ok(stream) => {
                            winner.set(Some(stream));
                            s.cancel();
                        }
                        Err(error) => failures.borrow_mut().push((address, error)),
                    }
                    Ok(())
                });
                match timeout(HEAD_START, || attempt.wait()) {
                    Err(error) if is_timed_out(&error) => {}
                    result => result?,
                }
            }
            s.wait()
        });
        match (winner.into_inner(), ended) {
            (Some(stream), _) => Ok(stream),
            (None, Err(error)) => Err(error),
            (None, Ok(())) if crate::cancel_cause().is_some() => Err(crate::error::cancelled()),
            (None, Ok(())) => Err(all_failed(failures.into_inner())),
        }
    }
}

/// The addresses with their families in turn.
pub(crate) fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_family = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (Vec<_>, Vec<_>) =
        addresses.iter().rev().partition(|address| address.is_ipv6() == first_family);
    let mut turns = Vec::new();
    while let Some(address) = one.pop() {
        turns.push(address);
        turns.extend(other.pop());
    }
    other.reverse();
    turns.extend(other);
    turns
}

impl TcpStream {
    /// What a `close` does with bytes that are not yet sent: `None`, sends them in the background; a duration, waits for them as
    /// long, which blocks the thread; zero, drops them and resets the connection.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.option(|options| options.linger = linger, |socket| socket.set_linger(linger))
    }

    /// What [`set_linger`](Self::set_linger) sets.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.option(|options| options.linger, Socket::linger)
    }

    /// Asks the peer, when nothing was heard of it for so long, whether it is still there; `None`: never. The rest of the options of
    /// a socket is `socket2::SockRef::from(&stream)`'s.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        let set = |socket: &Socket| match idle {
            Some(idle) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle)),
            None => socket.set_keepalive(false),
        };
        self.option(|_| (), set)
    }
}
