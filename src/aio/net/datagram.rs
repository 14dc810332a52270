//! What sockets of datagrams have in common.

use std::io;

use socket2::SockAddr;

use crate::aio::attempt::retry;
use crate::net::attempts::Datagrams;
use crate::observe::event::{Direction, Place};

pub(super) async fn send(datagrams: &Datagrams, datagram: &[u8], at: Place) -> io::Result<usize> {
    retry(&datagrams.source, Direction::Write, at, || datagrams.try_send(datagram), |_| false).await
}

pub(super) async fn send_to(datagrams: &Datagrams, datagram: &[u8], to: &SockAddr, at: Place) -> io::Result<usize> {
    retry(&datagrams.source, Direction::Write, at, || datagrams.try_send_to(datagram, to), |_| false).await
}

pub(super) async fn recv(datagrams: &Datagrams, buffer: &mut [u8], flags: libc::c_int, at: Place) -> io::Result<usize> {
    retry(&datagrams.source, Direction::Read, at, || datagrams.try_recv(buffer, flags), |_| false).await
}

pub(super) async fn recv_from(
    datagrams: &Datagrams,
    buffer: &mut [u8],
    flags: libc::c_int,
    at: Place,
) -> io::Result<(usize, SockAddr)> {
    retry(&datagrams.source, Direction::Read, at, || datagrams.try_recv_from(buffer, flags), |_| false).await
}

/// What every socket of datagrams that is awaited has, over one of the direct style.
macro_rules! datagram_socket {
    ($socket:ident, $direct:path) => {
        impl $socket {
            fn new(socket: Arc<$direct>) -> $socket {
                $socket { socket }
            }

            /// Sends a datagram to the peer that the socket is connected to.
            ///
            /// # Errors
            ///
            /// What the system says: also that an earlier datagram was refused, which this socket survives. Cancellation.
            ///
            /// # Suspends
            ///
            /// While there is no room for it.
            ///
            /// # Cancellation
            ///
            /// If it is dropped, nothing was sent: a datagram goes as a whole or not at all.
            #[track_caller]
            pub fn send(&self, datagram: &[u8]) -> impl Future<Output = io::Result<usize>> {
                send(self.socket.datagrams(), datagram, caller())
            }

            /// Waits for a datagram and returns its length. One that is longer than the buffer is cut, and the rest is lost.
            /// On a connected socket only those of its peer come.
            ///
            /// # Errors
            ///
            /// What the system says: also that a datagram was refused, which this socket survives. A cancellation, which
            /// takes nothing.
            ///
            /// # Suspends
            ///
            /// Until there is one.
            ///
            /// # Cancellation
            ///
            /// If it is dropped, it has taken nothing.
            #[track_caller]
            pub fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                recv(self.socket.datagrams(), buffer, 0, caller())
            }

            /// Receives, but leaves the datagram where it is.
            ///
            /// # Errors
            ///
            /// As [`recv`](Self::recv).
            ///
            /// # Suspends
            ///
            /// Until there is one.
            #[track_caller]
            pub fn peek(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                recv(self.socket.datagrams(), buffer, libc::MSG_PEEK, caller())
            }

        }

        handle!($socket, socket: $direct, socket => socket.datagrams().source);
    };
}

pub(super) use datagram_socket;
