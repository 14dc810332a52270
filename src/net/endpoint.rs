//! A socket or listener on a network in memory, as its loop sees it.

use std::io;
use std::net::{Shutdown, SocketAddr};

use crate::event_loop::EventLoop;
use crate::reactor::Network;
use crate::reactor::simulated::Id;
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
    /// A call that sends something: it begins now.
    pub(super) fn connect(network: Network, to: SocketAddr) -> io::Result<Endpoint> {
        let id = at_home(&network, |now| Ok(network.connect(now, to)))?;
        Ok(Endpoint { network, id })
    }

    pub(super) fn bind(network: Network, address: SocketAddr, backlog: usize) -> io::Result<Endpoint> {
        let (id, _) = network.bind(address, backlog)?;
        Ok(Endpoint { network, id })
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

    pub(super) fn accept(&self) -> io::Result<(Endpoint, SocketAddr)> {
        let (id, from) = self.at_home(|now| self.network.accept(now, self.id))?;
        Ok((Endpoint { network: self.network.clone(), id }, from))
    }

    pub(super) fn read(&self, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
        self.at_home(|now| self.network.read(now, self.id, buffer, peek))
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.at_home(|now| self.network.write(now, self.id, bytes))
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.at_home(|now| self.network.shutdown(now, self.id, how))
    }

    pub(super) fn stop_listening(&self) {
        self.network.stop_listening(self.id);
    }

    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.network.take_error(self.id)
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.network.local_addr(self.id)
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
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

pub(super) fn unsupported(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let now = self.at_home(Ok).ok();
        self.network.release(now, self.id);
    }
}
