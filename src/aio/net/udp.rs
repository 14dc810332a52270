//! UDP, and what it has in common with the datagrams of the machine itself.

use std::io;
use std::net::SocketAddr;

use super::resolve;
use crate::aio::attempt::retry;
use crate::error::misuse;
use crate::net;
use crate::net::ToSocketAddrs;
use crate::net::attempts::{Datagrams, all_failed, inet};
use crate::observe::event::{Direction, Place};
use crate::task::caller;

pub(super) async fn send(datagrams: &Datagrams, datagram: &[u8], at: Place) -> io::Result<usize> {
    retry(&datagrams.source, Direction::Write, at, || datagrams.try_send(datagram), |_| false).await
}

pub(super) async fn recv(datagrams: &Datagrams, buffer: &mut [u8], flags: libc::c_int, at: Place) -> io::Result<usize> {
    retry(&datagrams.source, Direction::Read, at, || datagrams.try_recv(buffer, flags), |_| false).await
}

/// What every socket of datagrams that is awaited has, over one of the direct style.
macro_rules! datagram_socket {
    ($socket:ident, $direct:path) => {
        impl $socket {
            /// Sends a datagram to the peer that the socket is connected to.
            ///
            /// # Errors
            ///
            /// What the system says: also that an earlier datagram was refused, which this socket survives. Cancellation.
            #[track_caller]
            pub fn send(&self, datagram: &[u8]) -> impl Future<Output = io::Result<usize>> {
                $crate::aio::net::udp::send(self.socket.datagrams(), datagram, caller())
            }

            /// Waits for a datagram and returns its length. One that is longer than the buffer is cut, and the rest is lost.
            ///
            /// # Errors
            ///
            /// What the system says: also that a datagram was refused, which this socket survives. A cancellation, which
            /// takes nothing.
            #[track_caller]
            pub fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                $crate::aio::net::udp::recv(self.socket.datagrams(), buffer, 0, caller())
            }

            /// Receives, but leaves the datagram where it is.
            ///
            /// # Errors
            ///
            /// As [`recv`](Self::recv).
            #[track_caller]
            pub fn peek(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                $crate::aio::net::udp::recv(self.socket.datagrams(), buffer, libc::MSG_PEEK, caller())
            }

            /// The socket of the direct style: for addresses, options, connecting it, and whatever else does not wait.
            pub fn get_ref(&self) -> &$direct {
                &self.socket
            }

            /// The socket of the direct style, for coroutines.
            pub fn into_direct(self) -> $direct {
                self.socket
            }
        }

        /// Takes it over from the direct style, without its time limits.
        impl From<$direct> for $socket {
            fn from(socket: $direct) -> $socket {
                socket.datagrams().source.set_impatient(false);
                $socket { socket }
            }
        }
    };
}

pub(super) use datagram_socket;

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
///     let (n, from) = server.recv_from(&mut buffer).await?;
///     server.send_to(&buffer[..n], from).await?;
///     assert_eq!(client.peek(&mut buffer).await?, 5); // it is still to be received
///     assert_eq!(client.recv(&mut buffer).await?, 5);
///     let direct: corio::net::UdpSocket = client.into_direct(); // for coroutines
///     assert_eq!(direct.local_addr()?, from);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    socket: net::UdpSocket,
}

datagram_socket!(UdpSocket, net::UdpSocket);

impl UdpSocket {
    /// A socket with the first address that can be had.
    ///
    /// # Errors
    ///
    /// If none can be had, one of the last one's kind that tells of all.
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> impl Future<Output = io::Result<UdpSocket>> {
        let (at, question) = (caller(), address.question());
        async move { Ok(UdpSocket::from(net::UdpSocket::bind(&resolve(question, at).await?[..])?)) }
    }

    /// Connects it to one peer: datagrams go to it, and come from it alone. Nothing is sent.
    ///
    /// # Errors
    ///
    /// What the system says.
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
    /// As [`send`](Self::send).
    #[track_caller]
    pub fn send_to(&self, datagram: &[u8], address: impl ToSocketAddrs) -> impl Future<Output = io::Result<usize>> {
        let (at, question, datagrams) = (caller(), address.question(), self.socket.datagrams());
        async move {
            let addresses = resolve(question, at).await?;
            let to = addresses.first().ok_or_else(|| misuse("no address to send the datagram to"))?;
            let to = (*to).into();
            let attempt = || datagrams.try_send_to(datagram, &to);
            retry(&datagrams.source, Direction::Write, at, attempt, |_| false).await
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
            let attempt = || datagrams.try_recv_from(buffer, 0);
            let (n, from) = retry(&datagrams.source, Direction::Read, at, attempt, |_| false).await?;
            Ok((n, inet(&from)?))
        }
    }
}
