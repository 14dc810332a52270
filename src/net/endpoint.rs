//! A socket or listener on a network in memory, as its loop sees it.

use std::io;
use std::net::{Shutdown, SocketAddr};

use socket2::SockAddr;

use crate::event_loop::EventLoop;
use crate::reactor::Network;
use crate::reactor::simulated::{Claim, Id, Options};
use crate::timer::Nanos;

/// A handle; the last one that is dropped closes.
pub(super) struct Endpoint {
    network: Network,
    pub(super) id: Id,
}

/// The network in memory that carries the sockets of the running loop, if one does.
pub(super) fn network_here() -> Option<Network> {
    EventLoop::with_current(|lp| lp.and_then(|lp| lp.reactor.network().cloned()))
}

impl Endpoint {
    /// A call that sends something: it begins now. From an address, or one that the network chooses.
    pub(super) fn connect(network: Network, from: Option<SocketAddr>, to: SockAddr) -> io::Result<Endpoint> {
        let id = at_home(&network, |now| network.connect(now, from, to))?;
        Ok(Endpoint { network, id })
    }

    pub(super) fn bind(network: Network, address: SockAddr, backlog: usize, claim: Claim) -> io::Result<Endpoint> {
        let id = network.bind(address, backlog, claim)?;
        Ok(Endpoint { network, id })
    }

    /// Two ends of a connection.
    pub(super) fn pair(network: Network) -> (Endpoint, Endpoint) {
        let (one, other) = network.pair();
        (Endpoint { network: network.clone(), id: one }, Endpoint { network, id: other })
    }

    /// A socket of datagrams with that address, or without one.
    pub(super) fn datagrams(network: Network, address: Option<SockAddr>) -> io::Result<Endpoint> {
        let id = network.bind_datagrams(address)?;
        Ok(Endpoint { network, id })
    }

    /// Two sockets of datagrams that are connected with each other.
    pub(super) fn pair_of_datagrams(network: Network) -> io::Result<(Endpoint, Endpoint)> {
        let (one, other) = network.pair_of_datagrams()?;
        Ok((Endpoint { network: network.clone(), id: one }, Endpoint { network, id: other }))
    }

    /// A second handle, with news of its own.
    pub(super) fn second(&self) -> Endpoint {
        Endpoint { network: self.network.clone(), id: self.network.retain(self.id) }
    }

    fn at_home<R>(&self, f: impl FnOnce(Nanos) -> io::Result<R>) -> io::Result<R> {
        at_home(&self.network, f)
    }

    pub(super) fn connected(&self) -> io::Result<()> {
        self.at_home(|now| self.network.connected(now, self.id))
    }

    pub(super) fn accept(&self) -> io::Result<(Endpoint, SockAddr)> {
        let (id, from) = self.at_home(|now| self.network.accept(now, self.id))?;
        Ok((Endpoint { network: self.network.clone(), id }, from))
    }

    pub(super) fn read(&self, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
        self.at_home(|now| self.network.read(now, self.id, buffer, peek))
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.at_home(|now| self.network.write(now, self.id, bytes))
    }

    pub(super) fn connect_datagrams(&self, to: &SockAddr) -> io::Result<()> {
        is_one_address(to)?;
        self.at_home(|_| self.network.connect_datagrams(self.id, to.clone()))
    }

    pub(super) fn send(&self, bytes: &[u8], to: Option<&SockAddr>) -> io::Result<usize> {
        to.map_or(Ok(()), is_one_address)?;
        self.at_home(|now| self.network.send_datagram(now, self.id, bytes, to.cloned()))
    }

    /// The next datagram, cut to the buffer: how much that is, from whom, and whether there was more.
    pub(super) fn receive(&self, buffer: &mut [u8], peek: bool) -> io::Result<(usize, SockAddr, bool)> {
        self.at_home(|now| self.network.receive(now, self.id, buffer, peek))
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.at_home(|now| self.network.shutdown(now, self.id, how))
    }

    pub(super) fn stop_listening(&self) {
        self.network.stop_listening(self.id);
    }

    /// What it remembers and does nothing with.
    pub(super) fn with_options<R>(&self, f: impl FnOnce(&mut Options) -> R) -> R {
        self.network.with_options(self.id, f)
    }

    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.network.take_error(self.id)
    }

    pub(super) fn local_addr(&self) -> io::Result<SockAddr> {
        self.network.local_addr(self.id)
    }

    pub(super) fn peer_addr(&self) -> io::Result<SockAddr> {
        self.network.peer_addr(self.id)
    }
}

/// Hands out the loop's time, on a loop that the network carries: elsewhere nobody would wake up for its news.
fn at_home<R>(network: &Network, f: impl FnOnce(Nanos) -> io::Result<R>) -> io::Result<R> {
    EventLoop::with_current(|lp| match lp {
        Some(lp) if lp.reactor.network().is_some_and(|here| here.is(network)) => f(lp.clock.now()),
        _ => Err(unsupported("a socket of a simulated network works on the loop of that network only")),
    })
}

/// Refuses what would reach many.
fn is_one_address(to: &SockAddr) -> io::Result<()> {
    let is_broadcast = to.as_socket_ipv4().is_some_and(|to| to.ip().is_broadcast());
    if is_broadcast || to.as_socket().is_some_and(|to| to.ip().is_multicast()) { Err(of_one_only()) } else { Ok(()) }
}

pub(super) fn of_one_only() -> io::Error {
    unsupported("a simulated network has no broadcasts and no multicast groups")
}

pub(super) fn unsupported(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let now = self.at_home(Ok).ok();
        self.network.release(now, self.id);
    }
}
