//! UDP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::address::resolve;
use super::datagram::{datagram_socket, recv, recv_from, send, send_to};
use super::handle::handle;
use crate::aio::attempt::retry;
use crate::error::misuse;
use crate::net;
use crate::net::attempts::{all_failed, inet};
use crate::net::{Received, ToSocketAddrs};
use crate::observe::event::Direction;
use crate::task::caller;

/// A socket of UDP whose calls are awaited. The counterpart of [`net::UdpSocket`].
///
/// ```
/// use corio::aio::{self, net::UdpSocket};
///
/// aio::block_on(async {
///     let server = UdpSocket::bind("127.0.0.1:0").await?;
///     let client = UdpSocket::bind("127.0.0.1:0").await?;
///     client.connect(server.get_ref().local_addr()?).await?;
///     client.send(b"hello").await?;
///     let mut buffer = [0; 16];
///     assert_eq!(server.peek_from(&mut buffer).await?.0, 5); // it is still to be received
///     let (n, from) = server.recv_from(&mut buffer).await?;
///     server.send_to(&buffer[..n], from).await?;
///     assert_eq!(client.peek(&mut buffer).await?, 5);
///     let other = client.clone(); // of the same socket, for another task
///     assert_eq!(other.recv(&mut buffer).await?, 5);
///     drop(other);
///     let direct: corio::net::UdpSocket = client.into_direct()?; // for coroutines
///     assert_eq!(direct.local_addr()?, from);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct UdpSocket {
    socket: Arc<net::UdpSocket>,
}

datagram_socket!(UdpSocket, net::UdpSocket);

impl UdpSocket {
    /// A socket with the first address that can be had.
    ///
    /// # Errors
    ///
    /// If none can be had, one of the last one's kind that tells of all; what the system says of a name; a cancellation.
    ///
    /// # Suspends
    ///
    /// While a name is looked up, if the address is one.
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> impl Future<Output = io::Result<UdpSocket>> {
        let (at, question) = (caller(), address.question());
        async move { Ok(UdpSocket::from(net::UdpSocket::bind(&resolve(question, at).await?[..])?)) }
    }

    /// Connects it to one peer: datagrams go to it, and come from it alone. Nothing is sent.
    ///
    /// # Errors
    ///
    /// If no address can be had, one of the last one's kind that tells of all; what the system says of a name; a cancellation.
    ///
    /// # Suspends
    ///
    /// While a name is looked up, if the address is one. If it is dropped there, the socket is as it was.
    #[track_caller]
    pub fn connect(&self, address: impl ToSocketAddrs) -> impl Future<Output = io::Result<()>> {
        let (at, question, datagrams) = (caller(), address.question(), self.socket.datagrams());
        async move {
            let mut failures = Vec::new();
            for address in resolve(question, at).await? {
                match datagrams.connect(&address.into()) {
                    Ok(()) => return Ok(()),
                    Err(error) => failures.push((address, error)),
                }
            }
            Err(all_failed(failures))
        }
    }

    /// Sends a datagram to the first address of those.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no address; otherwise as [`send`](Self::send).
    ///
    /// # Suspends
    ///
    /// While a name is looked up, and while there is no room for it. If it is dropped, nothing was sent.
    #[track_caller]
    pub fn send_to(&self, datagram: &[u8], address: impl ToSocketAddrs) -> impl Future<Output = io::Result<usize>> {
        let (at, question, datagrams) = (caller(), address.question(), self.socket.datagrams());
        async move {
            let addresses = resolve(question, at).await?;
            let to = addresses.first().ok_or_else(|| misuse("no address to send the datagram to"))?;
            send_to(datagrams, datagram, &(*to).into(), at).await
        }
    }

    /// Waits for a datagram, and says how long it was and where it came from. One that is longer than the buffer is cut, and the
    /// rest is lost: [`recv_msg`](Self::recv_msg) tells.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Suspends
    ///
    /// Until there is one. If it is dropped, it has taken nothing.
    #[track_caller]
    pub fn recv_from(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        let (at, datagrams) = (caller(), self.socket.datagrams());
        async move {
            let (n, from) = recv_from(datagrams, buffer, 0, at).await?;
            Ok((n, inet(&from)?))
        }
    }

    /// Waits for a datagram, and says also whether it was longer than the buffer.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// ```
    /// use corio::aio::{self, net::UdpSocket};
    ///
    /// aio::block_on(async {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").await?;
    ///     socket.send_to(b"too long", socket.get_ref().local_addr()?).await?;
    ///     let received = socket.recv_msg(&mut [0; 3]).await?;
    ///     assert!(received.len == 3 && received.truncated);
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    #[track_caller]
    pub fn recv_msg(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<Received>> {
        let (at, datagrams) = (caller(), self.socket.datagrams());
        async move {
            let attempt = || datagrams.try_recv_whole(buffer);
            let received = retry(&datagrams.source, Direction::Read, at, attempt, |_| false).await;
            let (len, from, truncated) = received?;
            Ok(Received { len, from: inet(&from)?, truncated })
        }
    }

    /// As [`recv_from`](Self::recv_from), but leaves the datagram where it is.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    #[track_caller]
    pub fn peek_from(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        let (at, datagrams) = (caller(), self.socket.datagrams());
        async move {
            let (n, from) = recv_from(datagrams, buffer, libc::MSG_PEEK, at).await?;
            Ok((n, inet(&from)?))
        }
    }
}
