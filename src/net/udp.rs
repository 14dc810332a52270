//! UDP.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use socket2::Socket;

use super::address::{ToSocketAddrs, each, inet};
use super::datagram::{Datagrams, datagram_socket};
use super::endpoint::{Endpoint, network_here};
use crate::observe::event::Direction;
use crate::reactor::source::releasable;
use crate::task::caller;

/// A socket for datagrams. The counterpart of [`std::net::UdpSocket`]; asyncio: `create_datagram_endpoint`.
///
/// Datagrams keep their boundaries, and an empty one is a datagram too. A send waits only while the kernel's buffer is
/// full. That a peer's machine has refused a datagram is an error of a later call on the same connected socket, which goes
/// on to work.
///
/// ```
/// use corio::{net::UdpSocket, run};
///
/// run(|| {
///     let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
///     one.send_to(b"ping", other.local_addr()?)?;
///     let mut buffer = [0; 16];
///     let (n, from) = other.recv_from(&mut buffer)?;
///     assert_eq!((&buffer[..n], from), (&b"ping"[..], one.local_addr()?));
///     Ok(())
/// })
/// # .unwrap()
/// ```
///
/// With one peer only, and with a limit:
///
/// ```
/// use corio::{millis, net::UdpSocket, run};
/// use std::io::ErrorKind;
///
/// run(|| {
///     let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
///     one.connect(other.local_addr()?)?;
///     other.connect(one.local_addr()?)?;
///     assert_eq!(one.peer_addr()?, other.local_addr()?);
///     one.send(b"ping")?;
///     let mut buffer = [0; 16];
///     assert_eq!(other.peek(&mut buffer)?, 4); // it is still there
///     assert_eq!(other.peek_from(&mut buffer)?, (4, one.local_addr()?));
///     assert_eq!(other.recv(&mut buffer)?, 4);
///
///     other.set_read_timeout(Some(millis(5)))?;
///     other.set_write_timeout(Some(millis(5)))?;
///     assert_eq!((other.read_timeout()?, other.write_timeout()?), (Some(millis(5)), Some(millis(5))));
///     assert_eq!(other.recv(&mut buffer).unwrap_err().kind(), ErrorKind::TimedOut);
///     let second = other.try_clone()?; // of the same socket, without a limit
///     second.set_nonblocking(true)?;
///     assert_eq!(second.recv(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
///     assert!(other.take_error()?.is_none());
///     other.close(); // whoever waits for it is told
///     assert_eq!(other.recv(&mut buffer).unwrap_err().kind(), ErrorKind::BrokenPipe);
///
///     let of_std: std::net::UdpSocket = one.into_std()?;
///     UdpSocket::from_std(of_std)?.set_ttl(8)
/// })
/// # .unwrap()
/// ```
///
/// To many at once:
///
/// ```
/// use corio::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
///
/// # fn example() -> std::io::Result<()> {
/// let socket = UdpSocket::bind("0.0.0.0:0")?;
/// socket.set_broadcast(true)?;
/// socket.set_multicast_loop_v4(true)?; // this machine hears it too
/// socket.set_multicast_ttl_v4(4)?;
/// assert_eq!((socket.broadcast()?, socket.multicast_loop_v4()?, socket.multicast_ttl_v4()?), (true, true, 4));
/// assert!(socket.ttl()? > 0);
/// let group = Ipv4Addr::new(239, 1, 2, 3);
/// if socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_ok() { // not on every system
///     socket.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
/// }
///
/// if let Ok(socket) = UdpSocket::bind("[::]:0") { // where there is IPv6
///     socket.set_multicast_loop_v6(false)?;
///     assert!(!socket.multicast_loop_v6()?);
///     let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 3);
///     if socket.join_multicast_v6(&group, 0).is_ok() {
///         socket.leave_multicast_v6(&group, 0)?;
///     }
/// }
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
pub struct UdpSocket {
    datagrams: Datagrams,
}

datagram_socket!(UdpSocket);

/// A datagram that was received; from [`UdpSocket::recv_msg`].
///
/// ```
/// use corio::net::{Received, UdpSocket};
///
/// corio::run(|| {
///     let socket = UdpSocket::bind("127.0.0.1:0")?;
///     socket.send_to(b"to myself", socket.local_addr()?)?;
///     let Received { len, from, truncated, .. } = socket.recv_msg(&mut [0; 64])?;
///     assert_eq!((len, from, truncated), (9, socket.local_addr()?, false));
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// How many bytes are in the buffer.
    pub len: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// It was longer than the buffer, and the rest is lost.
    pub truncated: bool,
}

impl UdpSocket {
    /// A socket with the first address that can be bound. Port 0 asks for a free one; see
    /// [`local_addr`](Self::local_addr).
    ///
    /// # Errors
    ///
    /// If none can be had, one of the last one's kind that tells of all.
    ///
    /// # Suspends
    ///
    /// While a name is looked up, if the address is one.
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        each(address, caller(), |address| match network_here() {
            Some(network) => {
                let endpoint = Endpoint::datagrams(network, Some(address.into()))?;
                Ok(UdpSocket { datagrams: Datagrams::simulated(endpoint) })
            }
            None => UdpSocket::from_std(std::net::UdpSocket::bind(address)?),
        })
    }

    /// Takes a socket of std's over; it is put into non-blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        Ok(UdpSocket { datagrams: Datagrams::adopt(socket.into())? })
    }

    /// Turns it into a socket of std's, in blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        Ok(self.datagrams.into_blocking()?.into())
    }

    /// Connects it to the first address that the system takes: from then on it sends there and hears from there only.
    /// Nothing is sent.
    ///
    /// # Errors
    ///
    /// If none can be had, one of the last one's kind that tells of all.
    ///
    /// # Suspends
    ///
    /// While a name is looked up, if the address is one.
    #[track_caller]
    pub fn connect(&self, address: impl ToSocketAddrs) -> io::Result<()> {
        each(address, caller(), |address| self.datagrams.connect(&address.into()))
    }

    /// Sends a datagram to the first of the addresses.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no address. What the system says; a cancellation.
    ///
    /// # Suspends
    ///
    /// While the kernel's buffer is full; before, while a name is looked up.
    #[track_caller]
    pub fn send_to(&self, datagram: &[u8], address: impl ToSocketAddrs) -> io::Result<usize> {
        let at = caller();
        match address.resolve(at)?.first() {
            Some(address) => self.datagrams.send_to(datagram, &(*address).into(), at),
            None => Err(crate::error::misuse("no address to send the datagram to")),
        }
    }

    /// Waits for a datagram, and says how long it is and who sent it. One that is longer than the buffer is cut, and the
    /// rest is lost: [`recv_msg`](Self::recv_msg) tells.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Suspends
    ///
    /// Until a datagram has come.
    #[track_caller]
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, from) = self.datagrams.recv_from(buffer, 0, caller())?;
        Ok((n, inet(&from)?))
    }

    /// Waits for a datagram, and says also whether it was longer than the buffer.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Suspends
    ///
    /// Until a datagram has come.
    ///
    /// ```
    /// use corio::{net::UdpSocket, run};
    ///
    /// run(|| {
    ///     let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    ///     one.send_to(b"too long", other.local_addr()?)?;
    ///     let received = other.recv_msg(&mut [0; 3])?;
    ///     assert!(received.len == 3 && received.truncated);
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    #[track_caller]
    pub fn recv_msg(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let (len, from, truncated) = self.datagrams.recv_whole(buffer, caller())?;
        Ok(Received { len, from: inet(&from)?, truncated })
    }

    /// As [`recv_from`](Self::recv_from), but leaves the datagram where it is.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Suspends
    ///
    /// Until a datagram has come.
    #[track_caller]
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, from) = self.datagrams.recv_from(buffer, libc::MSG_PEEK, caller())?;
        Ok((n, inet(&from)?))
    }

    /// The address of this socket.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(&self.datagrams.local_addr()?)
    }

    /// The address that it is connected to.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet(&self.datagrams.peer_addr()?)
    }
}

macro_rules! options {
    ($($(#[$doc:meta])* $set:ident $get:ident: $type:ty => $of_set:ident $of_get:ident, $simulated:expr;)*) => {
        impl UdpSocket {$(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn $set(&self, value: $type) -> io::Result<()> {
                self.datagrams.set_option($simulated, value, |socket| socket.$of_set(value))
            }

            #[doc = concat!("What [`", stringify!($set), "`](Self::", stringify!($set), ") sets.")]
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn $get(&self) -> io::Result<$type> {
                self.datagrams.option($simulated, Socket::$of_get)
            }
        )*}
    };
}

options! {
    /// Whether it may send to broadcast addresses.
    set_broadcast broadcast: bool => set_broadcast broadcast, None;
    /// The time to live of its datagrams.
    set_ttl ttl: u32 => set_ttl_v4 ttl_v4, Some(|options| &mut options.ttl);
    /// Whether what it sends to a group of IPv4 comes back to this machine.
    set_multicast_loop_v4 multicast_loop_v4: bool => set_multicast_loop_v4 multicast_loop_v4, None;
    /// How many routers what it sends to a group of IPv4 may pass.
    set_multicast_ttl_v4 multicast_ttl_v4: u32 => set_multicast_ttl_v4 multicast_ttl_v4, None;
    /// Whether what it sends to a group of IPv6 comes back to this machine.
    set_multicast_loop_v6 multicast_loop_v6: bool => set_multicast_loop_v6 multicast_loop_v6, None;
}

impl UdpSocket {
    /// Joins a group of IPv4 on the interface with that address; `0.0.0.0` leaves the choice to the system.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.datagrams.set_option(None, (), |socket| socket.join_multicast_v4(group, interface))
    }

    /// Leaves it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.datagrams.set_option(None, (), |socket| socket.leave_multicast_v4(group, interface))
    }

    /// Joins a group of IPv6 on the interface with that number; 0 leaves the choice to the system.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.datagrams.set_option(None, (), |socket| socket.join_multicast_v6(group, interface))
    }

    /// Leaves it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.datagrams.set_option(None, (), |socket| socket.leave_multicast_v6(group, interface))
    }
}

releasable!(UdpSocket: datagrams.source);
