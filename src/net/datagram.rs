//! What sockets of datagrams have in common.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use socket2::{MaybeUninitSlice, MsgHdrMut, SockAddr, Socket};

use super::connection::SEND;
use super::endpoint::{Endpoint, of_one_only, unsupported};
use super::shared::Shared;
use crate::observe::event::{Direction, Place};
use crate::reactor::simulated::Options;
use crate::reactor::source::{Source, set_nonblocking};

pub(crate) struct Datagrams {
    // Before the socket, so that it is deregistered before it is closed.
    pub(crate) source: Source,
    carrier: Carrier,
    shared: Shared,
}

/// What carries the datagrams.
enum Carrier {
    Kernel(Socket),
    Simulated(Endpoint),
}
use Carrier::{Kernel, Simulated};

impl Datagrams {
    /// Takes over a socket in any mode.
    pub(super) fn adopt(socket: Socket) -> io::Result<Datagrams> {
        set_nonblocking(socket.as_fd())?;
        Ok(Datagrams::over(socket.as_raw_fd(), Kernel(socket)))
    }

    /// Takes over a socket of a network in memory.
    pub(super) fn simulated(endpoint: Endpoint) -> Datagrams {
        Datagrams::over(endpoint.id, Simulated(endpoint))
    }

    fn over(number: RawFd, carrier: Carrier) -> Datagrams {
        // SAFETY: the socket stands behind the source in this struct, and is in non-blocking mode; what is simulated goes
        // by a number that no descriptor has.
        Datagrams { source: unsafe { Source::new(number) }, carrier, shared: Shared::default() }
    }

    /// The socket, in blocking mode and unknown to any loop.
    pub(super) fn into_blocking(self) -> io::Result<Socket> {
        let Datagrams { source, carrier, .. } = self;
        drop(source);
        match carrier {
            Kernel(socket) => {
                socket.set_nonblocking(false)?;
                Ok(socket)
            }
            Simulated(_) => Err(unsupported("a socket of a simulated network is none of std's")),
        }
    }

    pub(super) fn try_clone(&self) -> io::Result<Datagrams> {
        let second = match &self.carrier {
            Kernel(socket) => Datagrams::adopt(socket.try_clone()?)?,
            Simulated(endpoint) => Datagrams::simulated(endpoint.second()),
        };
        Ok(Datagrams { shared: self.shared.clone(), ..second })
    }

    pub(crate) fn connect(&self, to: &SockAddr) -> io::Result<()> {
        match &self.carrier {
            Kernel(socket) => socket.connect(to),
            Simulated(endpoint) => endpoint.connect_datagrams(to),
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<SockAddr> {
        match &self.carrier {
            Kernel(socket) => socket.local_addr(),
            Simulated(endpoint) => endpoint.local_addr(),
        }
    }

    pub(super) fn peer_addr(&self) -> io::Result<SockAddr> {
        match &self.carrier {
            Kernel(socket) => socket.peer_addr(),
            Simulated(endpoint) => endpoint.peer_addr(),
        }
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.carrier {
            Kernel(socket) => socket.take_error(),
            Simulated(endpoint) => Ok(endpoint.take_error()),
        }
    }

    /// Ends every call, on every handle. The kernel wakes those who wait elsewhere, though it says that nobody is connected.
    pub(super) fn close(&self) {
        self.shared.close();
        self.source.wake_all(Direction::Read);
        self.source.wake_all(Direction::Write);
        let _ = self.shutdown(Shutdown::Both);
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match &self.carrier {
            Kernel(socket) => socket.shutdown(how),
            Simulated(endpoint) => endpoint.shutdown(how),
        }
    }

    /// An option, on the socket, or as a network in memory remembers it; without `simulated` it has no meaning there.
    pub(super) fn option<R>(
        &self,
        simulated: Option<fn(&mut Options) -> &mut R>,
        f: impl FnOnce(&Socket) -> io::Result<R>,
    ) -> io::Result<R>
    where
        R: Copy,
    {
        match &self.carrier {
            Kernel(socket) => f(socket),
            Simulated(endpoint) => {
                let place = simulated.ok_or_else(of_one_only)?;
                Ok(endpoint.with_options(|options| *place(options)))
            }
        }
    }

    /// The same, to set it.
    pub(super) fn set_option<R>(
        &self,
        simulated: Option<fn(&mut Options) -> &mut R>,
        value: R,
        f: impl FnOnce(&Socket) -> io::Result<()>,
    ) -> io::Result<()> {
        match &self.carrier {
            Kernel(socket) => f(socket),
            Simulated(endpoint) => {
                let place = simulated.ok_or_else(of_one_only)?;
                endpoint.with_options(|options| *place(options) = value);
                Ok(())
            }
        }
    }

    /// One datagram says nothing about the next: only "would block" does.
    fn retry<T>(&self, direction: Direction, at: Place, attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.source.retry(direction, at, attempt, |_| false)
    }

    pub(super) fn recv(&self, buffer: &mut [u8], flags: libc::c_int, at: Place) -> io::Result<usize> {
        self.retry(Direction::Read, at, || self.try_recv(buffer, flags))
    }

    pub(super) fn recv_from(&self, buffer: &mut [u8], flags: libc::c_int, at: Place) -> io::Result<(usize, SockAddr)> {
        self.retry(Direction::Read, at, || self.try_recv_from(buffer, flags))
    }

    /// The same, with the word of the kernel whether the datagram was longer than the buffer.
    pub(super) fn recv_whole(&self, buffer: &mut [u8], at: Place) -> io::Result<(usize, SockAddr, bool)> {
        self.retry(Direction::Read, at, || self.try_recv_whole(buffer))
    }

    pub(super) fn send(&self, bytes: &[u8], at: Place) -> io::Result<usize> {
        self.retry(Direction::Write, at, || self.try_send(bytes))
    }

    pub(super) fn send_to(&self, bytes: &[u8], to: &SockAddr, at: Place) -> io::Result<usize> {
        self.retry(Direction::Write, at, || self.try_send_to(bytes, to))
    }

    // Attempts, which do not wait.

    pub(crate) fn try_recv(&self, buffer: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
        self.shared.check()?;
        match &self.carrier {
            Kernel(socket) => socket.recv_with_flags(uninit(buffer), flags | libc::MSG_DONTWAIT),
            Simulated(endpoint) => endpoint.receive(buffer, flags != 0).map(|(n, ..)| n),
        }
    }

    pub(crate) fn try_recv_from(&self, buffer: &mut [u8], flags: libc::c_int) -> io::Result<(usize, SockAddr)> {
        self.shared.check()?;
        match &self.carrier {
            Kernel(socket) => socket.recv_from_with_flags(uninit(buffer), flags | libc::MSG_DONTWAIT),
            Simulated(endpoint) => endpoint.receive(buffer, flags != 0).map(|(n, from, _)| (n, from)),
        }
    }

    pub(crate) fn try_recv_whole(&self, buffer: &mut [u8]) -> io::Result<(usize, SockAddr, bool)> {
        self.shared.check()?;
        match &self.carrier {
            Kernel(socket) => recv_whole(socket, buffer),
            Simulated(endpoint) => endpoint.receive(buffer, false),
        }
    }

    pub(crate) fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.shared.check()?;
        match &self.carrier {
            Kernel(socket) => socket.send_with_flags(bytes, SEND),
            Simulated(endpoint) => endpoint.send(bytes, None),
        }
    }

    pub(crate) fn try_send_to(&self, bytes: &[u8], to: &SockAddr) -> io::Result<usize> {
        self.shared.check()?;
        match &self.carrier {
            Kernel(socket) => socket.send_to_with_flags(bytes, to, SEND),
            Simulated(endpoint) => endpoint.send(bytes, Some(to)),
        }
    }

    /// Whether nobody tells when there is room again: the kernel does not, of a full queue of somebody else.
    pub(crate) fn has_to_ask_again(&self) -> bool {
        matches!(self.carrier, Kernel(_))
    }
}

fn recv_whole(socket: &Socket, buffer: &mut [u8]) -> io::Result<(usize, SockAddr, bool)> {
    // SAFETY: zeroes are a valid address of no family; the kernel fills it in.
    let mut from = unsafe { SockAddr::new(std::mem::zeroed(), size_of::<libc::sockaddr_storage>() as _) };
    let mut slices = [MaybeUninitSlice::new(uninit(buffer))];
    let mut message = MsgHdrMut::new().with_addr(&mut from).with_buffers(&mut slices);
    let n = socket.recvmsg(&mut message, libc::MSG_DONTWAIT)?;
    let is_cut = message.flags().is_truncated();
    Ok((n, from, is_cut))
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.carrier {
            Kernel(socket) => socket.as_fd(),
            Simulated(_) => panic!("a socket of a simulated network has no descriptor"),
        }
    }
}

fn uninit(buffer: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the kernel writes nothing but initialised bytes.
    unsafe { &mut *(ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) }
}

/// What sockets of datagrams of std's have, for a type with `datagrams`: time limits, modes, and what goes to and comes from
/// the peer that it is connected to.
macro_rules! datagram_socket {
    ($socket:ident) => {
        impl $socket {
            pub(crate) fn datagrams(&self) -> &Datagrams {
                &self.datagrams
            }

            /// Sends a datagram to the peer that the socket is connected to.
            ///
            /// # Errors
            ///
            /// What the system says: also that an earlier datagram was refused, which this socket survives. A cancellation.
            ///
            /// # Suspends
            ///
            /// While there is no room for it.
            #[track_caller]
            pub fn send(&self, datagram: &[u8]) -> io::Result<usize> {
                self.datagrams.send(datagram, caller())
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
            /// Until a datagram has come.
            #[track_caller]
            pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.datagrams.recv(buffer, 0, caller())
            }

            /// Receives, but leaves the datagram where it is.
            ///
            /// # Errors
            ///
            /// As [`recv`](Self::recv).
            ///
            /// # Suspends
            ///
            /// As [`recv`](Self::recv).
            #[track_caller]
            pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.datagrams.recv(buffer, libc::MSG_PEEK, caller())
            }

            /// A second handle of the same socket. Time limits are each handle's own.
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn try_clone(&self) -> io::Result<$socket> {
                Ok($socket { datagrams: self.datagrams.try_clone()? })
            }

            /// How long one receive may wait; it fails with [`TimedOut`](io::ErrorKind::TimedOut) then. `None`: for ever.
            ///
            /// # Errors
            ///
            /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a limit of zero, as in std.
            pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
                self.datagrams.source.set_limit(Direction::Read, limit)
            }

            /// How long one send may wait; it fails with [`TimedOut`](io::ErrorKind::TimedOut) then. `None`: for ever.
            ///
            /// # Errors
            ///
            /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a limit of zero, as in std.
            pub fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
                self.datagrams.source.set_limit(Direction::Write, limit)
            }

            /// The time limit of receives.
            ///
            /// # Errors
            ///
            /// None; the signature is std's.
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.datagrams.source.limit(Direction::Read))
            }

            /// The time limit of sends.
            ///
            /// # Errors
            ///
            /// None; the signature is std's.
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.datagrams.source.limit(Direction::Write))
            }

            /// Ends every call, now and later and on all handles of the socket, with [`BrokenPipe`](io::ErrorKind::BrokenPipe):
            /// whoever waits is told. asyncio: `transport.close`.
            pub fn close(&self) {
                self.datagrams.close();
            }

            /// Whether calls fail with [`WouldBlock`](io::ErrorKind::WouldBlock) where they would wait.
            ///
            /// # Errors
            ///
            /// None; the signature is std's.
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.datagrams.source.set_impatient(nonblocking);
                Ok(())
            }

            /// The error that is pending on the socket, which is cleared.
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.datagrams.take_error()
            }
        }

        impl AsFd for $socket {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.datagrams.as_fd()
            }
        }

        impl AsRawFd for $socket {
            /// On a simulated network, a number that no descriptor has.
            fn as_raw_fd(&self) -> RawFd {
                self.datagrams.source.as_raw_fd()
            }
        }

        impl std::fmt::Debug for $socket {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($socket)).field("fd", &self.as_raw_fd()).finish()
            }
        }
    };
}

pub(super) use datagram_socket;
