//! Datagrams of the machine itself, which go by paths.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use socket2::SockAddr;

use super::address::not_cancelled;
use super::datagram::{Datagrams, datagram_socket};
use super::endpoint::{Endpoint, network_here};
use super::unix::{FULL_QUEUE, sock_addr, unix_addr};
use crate::observe::event::{Direction, Place};
use crate::reactor::Network;
use crate::reactor::source::releasable;
use crate::task::caller;

/// A socket for datagrams between processes of this machine. The counterpart of [`std::os::unix::net::UnixDatagram`].
///
/// Nothing is lost and the order is kept: a send waits while the receiver's queue is full. The file that
/// [`bind`](Self::bind) makes stays, as in std; on a [simulated network](crate::testing::Network) it makes none, and the name
/// goes with the socket.
///
/// ```
/// use corio::{net::UnixDatagram, run};
///
/// run(|| {
///     let (one, other) = UnixDatagram::pair()?;
///     one.send(b"ping")?;
///     let mut buffer = [0; 16];
///     assert_eq!(other.recv(&mut buffer)?, 4);
///     Ok(())
/// })
/// # .unwrap()
/// ```
///
/// ```
/// use corio::{millis, net::{Shutdown, UnixDatagram}, run};
/// use std::{io::ErrorKind, os::unix::net::SocketAddr};
///
/// let path = std::env::temp_dir().join(format!("corio-datagrams-{}", std::process::id()));
/// let answers = path.with_extension("answers");
/// run(|| {
///     let (log, client) = (UnixDatagram::bind(&path)?, UnixDatagram::bind(&answers)?);
///     let nobody = UnixDatagram::unbound()?; // cannot be answered
///     nobody.send_to(b"one", &path)?;
///     client.send_to_addr(b"two", &log.local_addr()?)?;
///     client.connect(&path)?;
///     client.send(b"three")?;
///     nobody.connect_addr(&log.local_addr()?)?;
///     nobody.send(b"four")?;
///
///     let mut buffer = [0; 16];
///     assert_eq!(log.peek(&mut buffer)?, 3); // it is still there
///     assert!(log.recv_from(&mut buffer)?.1.is_unnamed());
///     let (n, from) = log.recv_from(&mut buffer)?;
///     assert_eq!((&buffer[..n], from.as_pathname()), (&b"two"[..], Some(answers.as_path())));
///     assert_eq!((log.recv(&mut buffer)?, log.recv(&mut buffer)?), (5, 4)); // in order, and none was lost
///     assert_eq!(client.peer_addr()?.as_pathname(), Some(path.as_path()));
///
///     log.set_read_timeout(Some(millis(5)))?;
///     log.set_write_timeout(Some(millis(5)))?;
///     assert_eq!((log.read_timeout()?, log.write_timeout()?), (Some(millis(5)), Some(millis(5))));
///     assert_eq!(log.recv(&mut buffer).unwrap_err().kind(), ErrorKind::TimedOut);
///     let second = log.try_clone()?; // of the same socket, without a limit
///     second.set_nonblocking(true)?;
///     assert_eq!(second.recv(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
///     assert!(log.take_error()?.is_none());
///     client.shutdown(Shutdown::Both)?;
///
///     let of_std: std::os::unix::net::UnixDatagram = nobody.into_std()?;
///     UnixDatagram::from_std(of_std)?;
///     [&path, &answers].into_iter().try_for_each(std::fs::remove_file)?; // unlike a listener's, the files stay
///     UnixDatagram::bind_addr(&SocketAddr::from_pathname(&path)?)?;
///     std::fs::remove_file(&path)
/// })
/// # .unwrap()
/// ```
pub struct UnixDatagram {
    datagrams: Datagrams,
}

datagram_socket!(UnixDatagram);

impl UnixDatagram {
    /// A socket at a path, where it makes a file.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if anything is there.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        match network_here() {
            Some(network) => UnixDatagram::simulated(network, Some(SockAddr::unix(path)?)),
            None => UnixDatagram::from_std(std::os::unix::net::UnixDatagram::bind(path)?),
        }
    }

    /// A socket at an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        match network_here() {
            Some(network) => UnixDatagram::simulated(network, Some(sock_addr(address)?)),
            None => UnixDatagram::from_std(std::os::unix::net::UnixDatagram::bind_addr(address)?),
        }
    }

    fn simulated(network: Network, address: Option<SockAddr>) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { datagrams: Datagrams::simulated(Endpoint::datagrams(network, address)?) })
    }

    /// A socket without an address, which can send and not be answered.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn unbound() -> io::Result<UnixDatagram> {
        match network_here() {
            Some(network) => UnixDatagram::simulated(network, None),
            None => UnixDatagram::from_std(std::os::unix::net::UnixDatagram::unbound()?),
        }
    }

    /// Two sockets that are connected with each other.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        if let Some(network) = network_here() {
            let (one, other) = Endpoint::pair_of_datagrams(network)?;
            let simulated = |end| UnixDatagram { datagrams: Datagrams::simulated(end) };
            return Ok((simulated(one), simulated(other)));
        }
        let (one, other) = std::os::unix::net::UnixDatagram::pair()?;
        Ok((UnixDatagram::from_std(one)?, UnixDatagram::from_std(other)?))
    }

    /// Takes a socket of std's over; it is put into non-blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { datagrams: Datagrams::adopt(socket.into())? })
    }

    /// Turns it into a socket of std's, in blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixDatagram> {
        Ok(self.datagrams.into_blocking()?.into())
    }

    /// Connects it to the socket at a path: from then on [`send`](Self::send) sends there.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if nothing is there,
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nobody has it.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.datagrams.connect(&SockAddr::unix(path)?)
    }

    /// The same with an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        self.datagrams.connect(&sock_addr(address)?)
    }

    /// Sends a datagram to the socket at a path.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect); a cancellation.
    ///
    /// # Suspends
    ///
    /// While the receiver's queue is full.
    #[track_caller]
    pub fn send_to(&self, datagram: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        self.send_there(datagram, &SockAddr::unix(path)?, caller())
    }

    /// The same with an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    ///
    /// # Suspends
    ///
    /// As [`send_to`](Self::send_to).
    #[track_caller]
    pub fn send_to_addr(&self, datagram: &[u8], address: &SocketAddr) -> io::Result<usize> {
        self.send_there(datagram, &sock_addr(address)?, caller())
    }

    /// The kernel tells nobody but those who are connected to a receiver that there is room in its queue again; to others it
    /// says at each attempt that they may write. So they wait a while, and try again.
    fn send_there(&self, datagram: &[u8], to: &SockAddr, at: Place) -> io::Result<usize> {
        let (mut pause, longest) = FULL_QUEUE;
        let (start, limit) = (crate::now(), self.datagrams.source.limit(Direction::Write));
        loop {
            not_cancelled(at)?;
            if !self.datagrams.has_to_ask_again() {
                return self.datagrams.send_to(datagram, to, at);
            }
            match self.datagrams.try_send_to(datagram, to) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.datagrams.source.is_impatient() => {}
                result => return result,
            }
            let left = limit.map_or(longest, |limit| limit.saturating_sub(crate::now() - start));
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            crate::sleep(pause.min(left))?;
            pause = (pause * 2).min(longest);
        }
    }

    /// Waits for a datagram, and says how long it is and who sent it.
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
        Ok((n, unix_addr(&from)?))
    }

    /// Ends one direction, or both. Tasks that wait for it are woken.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.datagrams.shutdown(how)
    }

    /// The address of this socket.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        unix_addr(&self.datagrams.local_addr()?)
    }

    /// The address that it is connected to.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        unix_addr(&self.datagrams.peer_addr()?)
    }
}

releasable!(UnixDatagram: datagrams.source);
