//! Datagrams of the machine itself, which go by paths.

use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use socket2::SockAddr;

use super::datagram::{datagram_socket, recv, recv_from, send, send_to};
use super::handle::handle;
use crate::aio::attempt::checkpoint;
use crate::aio::time::Sleep;
use crate::net;
use crate::net::attempts::{FULL_QUEUE, sock_addr, unix_addr};
use crate::observe::event::Place;
use crate::task::caller;

/// A socket of datagrams within the machine, whose calls are awaited. The counterpart of [`net::UnixDatagram`].
///
/// ```
/// use corio::aio::{self, net::UnixDatagram};
///
/// let path = std::env::temp_dir().join(format!("corio-doc-datagram-{}", std::process::id()));
/// aio::block_on(async {
///     let (server, client) = (UnixDatagram::bind(&path)?, UnixDatagram::unbound()?);
///     client.send_to(b"hello", &path).await?;
///     client.send_to_addr(b"again", &server.get_ref().local_addr()?).await?;
///     for _ in 0..2 {
///         assert_eq!(server.recv_from(&mut [0; 16]).await?.0, 5);
///     }
///     std::fs::remove_file(&path)?;
///
///     let (here, there) = UnixDatagram::pair()?;
///     here.send(b"hello").await?;
///     assert_eq!(there.recv(&mut [0; 16]).await?, 5);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct UnixDatagram {
    socket: Arc<net::UnixDatagram>,
}

datagram_socket!(UnixDatagram, net::UnixDatagram);

impl UnixDatagram {
    /// A socket that is found at that path.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        net::UnixDatagram::bind(path).map(UnixDatagram::from)
    }

    /// One without an address.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn unbound() -> io::Result<UnixDatagram> {
        net::UnixDatagram::unbound().map(UnixDatagram::from)
    }

    /// Two that are connected with each other.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = net::UnixDatagram::pair()?;
        Ok((UnixDatagram::from(one), UnixDatagram::from(other)))
    }

    /// Sends a datagram to whoever is found at that path. While his queue is full, it waits.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if nothing is there,
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nobody has it; cancellation.
    ///
    /// # Suspends
    ///
    /// While there is no room in that queue. The kernel tells nobody when there is again, so it is asked now and then.
    ///
    /// # Cancellation
    ///
    /// If it is dropped, nothing was sent.
    #[track_caller]
    pub fn send_to(&self, datagram: &[u8], path: impl AsRef<Path>) -> impl Future<Output = io::Result<usize>> {
        let (at, address) = (caller(), SockAddr::unix(path));
        async move { self.send_there(datagram, &address?, at).await }
    }

    /// The same with an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    #[track_caller]
    pub fn send_to_addr(&self, datagram: &[u8], address: &SocketAddr) -> impl Future<Output = io::Result<usize>> {
        let (at, address) = (caller(), sock_addr(address));
        async move { self.send_there(datagram, &address?, at).await }
    }

    /// As for coroutines: whoever is not connected to a receiver is not told when there is room in its queue again.
    async fn send_there(&self, datagram: &[u8], to: &SockAddr, at: Place) -> io::Result<usize> {
        let (mut pause, longest) = FULL_QUEUE;
        let datagrams = self.socket.datagrams();
        loop {
            if !datagrams.has_to_ask_again() {
                return send_to(datagrams, datagram, to, at).await;
            }
            checkpoint(at).await?;
            match datagrams.try_send_to(datagram, to) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sleep::from_now(pause, at).await?,
                result => return result,
            }
            pause = (pause * 2).min(longest);
        }
    }

    /// Waits for a datagram, and says how long it was and where it came from.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    #[track_caller]
    pub fn recv_from(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        let (at, datagrams) = (caller(), self.socket.datagrams());
        async move {
            let (n, from) = recv_from(datagrams, buffer, 0, at).await?;
            Ok((n, unix_addr(&from)?))
        }
    }
}
