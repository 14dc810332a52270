//! Addresses, and looking them up without stopping the loop.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::observe::event::Place;
use crate::task::caller;
use crate::task::wait::{Context, checkpoint, in_context};

/// What can be turned into socket addresses: the types of [`std::net::ToSocketAddrs`].
///
/// A literal address is parsed on the spot. A name is looked up on a thread of the loop's executor
/// ([`Executor::current`](crate::Executor::current)) while the task waits; a cancelled wait leaves the thread to finish by
/// itself. The trait is sealed.
pub trait ToSocketAddrs: sealed::Sealed {
    /// The addresses. What connects and binds asks by itself; this is for libraries that look names up on their own.
    ///
    /// asyncio: `loop.getaddrinfo`.
    ///
    /// # Errors
    ///
    /// What the system says of the name; [`InvalidInput`](io::ErrorKind::InvalidInput) for a text that is no address; a
    /// cancellation.
    ///
    /// # Suspends
    ///
    /// If it is a name.
    ///
    /// ```
    /// use corio::{net::ToSocketAddrs, run};
    ///
    /// run(|| {
    ///     let mut addresses = ("localhost", 80).to_socket_addrs()?;
    ///     assert!(addresses.all(|address| address.ip().is_loopback() && address.port() == 80));
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    #[doc(alias = "getaddrinfo")]
    #[doc(alias = "lookup_host")]
    #[track_caller]
    fn to_socket_addrs(&self) -> io::Result<std::vec::IntoIter<SocketAddr>> {
        let at = caller();
        not_cancelled(at)?;
        Ok(self.resolve(at)?.into_iter())
    }

    #[doc(hidden)]
    fn resolve(&self, at: Place) -> io::Result<Vec<SocketAddr>>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! known {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {}
        impl ToSocketAddrs for $type {
            fn resolve(&self, _: Place) -> io::Result<Vec<SocketAddr>> {
                Ok(vec![SocketAddr::from(*self)])
            }
        }
    )*};
}

known!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl sealed::Sealed for &[SocketAddr] {}
impl ToSocketAddrs for &[SocketAddr] {
    fn resolve(&self, _: Place) -> io::Result<Vec<SocketAddr>> {
        Ok(self.to_vec())
    }
}

impl sealed::Sealed for (&str, u16) {}
impl ToSocketAddrs for (&str, u16) {
    fn resolve(&self, at: Place) -> io::Result<Vec<SocketAddr>> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
            Err(_) => look_up(host, port, at),
        }
    }
}

impl sealed::Sealed for (String, u16) {}
impl ToSocketAddrs for (String, u16) {
    fn resolve(&self, at: Place) -> io::Result<Vec<SocketAddr>> {
        (self.0.as_str(), self.1).resolve(at)
    }
}

impl sealed::Sealed for str {}
impl ToSocketAddrs for str {
    fn resolve(&self, at: Place) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.parse() {
            return Ok(vec![address]);
        }
        let parts = self.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let Some((host, port)) = parts else {
            let text = format!("{self:?} is no socket address: write `address:port` or `name:port`");
            return Err(crate::error::misuse(text));
        };
        look_up(host, port, at)
    }
}

impl sealed::Sealed for String {}
impl ToSocketAddrs for String {
    fn resolve(&self, at: Place) -> io::Result<Vec<SocketAddr>> {
        self.as_str().resolve(at)
    }
}

impl<T: sealed::Sealed + ?Sized> sealed::Sealed for &T {}
impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn resolve(&self, at: Place) -> io::Result<Vec<SocketAddr>> {
        (**self).resolve(at)
    }
}

fn look_up(host: &str, port: u16, at: Place) -> io::Result<Vec<SocketAddr>> {
    if let Some(network) = super::endpoint::network_here() {
        let addresses = network.look_up(host).ok_or_else(|| {
            let text = format!("no host {host:?} on the simulated network: `Network::host` makes one");
            io::Error::new(io::ErrorKind::NotFound, text)
        })?;
        return Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect());
    }
    let host = host.to_owned();
    crate::executor::look_up(at, move || {
        std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port)).map(Iterator::collect)
    })?
}

/// Tries an operation on each address in turn. If all fail, the error is of the last one's kind and tells of all.
pub(super) fn each<T>(
    addresses: impl ToSocketAddrs,
    at: Place,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut failures = Vec::new();
    for address in addresses.resolve(at)? {
        match attempt(address) {
            Ok(value) => return Ok(value),
            // Cancelled: the other addresses would only be refused as well.
            Err(error) if crate::is_cancelled(&error) => return Err(error),
            Err(error) => failures.push((address, error)),
        }
    }
    Err(all_failed(failures))
}

/// The error of an operation that has failed on each of some addresses.
pub(super) fn all_failed(mut failures: Vec<(SocketAddr, io::Error)>) -> io::Error {
    match (failures.len(), failures.pop()) {
        (_, None) => io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
        (1, Some((_, error))) => error,
        (_, Some(last)) => {
            let kind = last.1.kind();
            failures.push(last);
            let texts: Vec<String> = failures.iter().map(|(address, error)| format!("{address}: {error}")).collect();
            io::Error::new(kind, texts.join("; "))
        }
    }
}

/// The address of a socket of the internet families.
pub(super) fn inet(address: &socket2::SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the socket is of another family"))
}

/// A call that will have an effect elsewhere is not begun by a task that was cancelled.
pub(super) fn not_cancelled(at: Place) -> io::Result<()> {
    in_context(|context| match context {
        Context::Task(lp, task) => checkpoint(lp, task, at),
        _ => Ok(()),
    })
}
