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
    fn question(&self) -> io::Result<Question>;

    #[doc(hidden)]
    fn resolve(&self, at: Place) -> io::Result<Vec<SocketAddr>> {
        match self.question()? {
            Question::Answered(addresses) => Ok(addresses),
            Question::Name(ask) => crate::executor::look_up(at, ask)?,
        }
    }
}

pub(crate) mod sealed {
    use std::io;
    use std::net::SocketAddr;

    pub trait Sealed {}

    /// What there is to be done for the addresses.
    pub enum Question {
        Answered(Vec<SocketAddr>),
        /// A name: asking blocks the thread.
        Name(Box<dyn FnOnce() -> io::Result<Vec<SocketAddr>> + Send>),
    }
}
use sealed::Question;

macro_rules! known {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {}
        impl ToSocketAddrs for $type {
            fn question(&self) -> io::Result<Question> {
                Ok(Question::Answered(vec![SocketAddr::from(*self)]))
            }
        }
    )*};
}

known!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl sealed::Sealed for &[SocketAddr] {}
impl ToSocketAddrs for &[SocketAddr] {
    fn question(&self) -> io::Result<Question> {
        Ok(Question::Answered(self.to_vec()))
    }
}

impl sealed::Sealed for (&str, u16) {}
impl ToSocketAddrs for (&str, u16) {
    fn question(&self) -> io::Result<Question> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(Question::Answered(vec![SocketAddr::new(ip, port)])),
            Err(_) => look_up(host, port),
        }
    }
}

impl sealed::Sealed for (String, u16) {}
impl ToSocketAddrs for (String, u16) {
    fn question(&self) -> io::Result<Question> {
        (self.0.as_str(), self.1).question()
    }
}

impl sealed::Sealed for str {}
impl ToSocketAddrs for str {
    fn question(&self) -> io::Result<Question> {
        if let Ok(address) = self.parse() {
            return Ok(Question::Answered(vec![address]));
        }
        let parts = self.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let Some((host, port)) = parts else {
            let text = format!("{self:?} is no socket address: write `address:port` or `name:port`");
            return Err(crate::error::misuse(text));
        };
        look_up(host, port)
    }
}

impl sealed::Sealed for String {}
impl ToSocketAddrs for String {
    fn question(&self) -> io::Result<Question> {
        self.as_str().question()
    }
}

impl<T: sealed::Sealed + ?Sized> sealed::Sealed for &T {}
impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn question(&self) -> io::Result<Question> {
        (**self).question()
    }
}

fn look_up(host: &str, port: u16) -> io::Result<Question> {
    if let Some(network) = super::endpoint::network_here() {
        let addresses = network.look_up(host).ok_or_else(|| {
            let text = format!("no host {host:?} on the simulated network: `Network::host` makes one");
            io::Error::new(io::ErrorKind::NotFound, text)
        })?;
        let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, port));
        return Ok(Question::Answered(addresses.collect()));
    }
    let host = host.to_owned();
    Ok(Question::Name(Box::new(move || {
        std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port)).map(Iterator::collect)
    })))
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
pub(crate) fn all_failed(mut failures: Vec<(SocketAddr, io::Error)>) -> io::Error {
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
pub(crate) fn inet(address: &socket2::SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the socket is of another family"))
}

/// A call that will have an effect elsewhere is not begun by a task that was cancelled.
pub(super) fn not_cancelled(at: Place) -> io::Result<()> {
    in_context(|context| match context {
        Context::Task(lp, task) => checkpoint(lp, task, at),
        _ => Ok(()),
    })
}
