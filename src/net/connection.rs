//! A connected stream socket: all that TCP and Unix streams have in common.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::time::Duration;

use socket2::{MaybeUninitSlice, SockAddr, Socket};

use super::address::not_cancelled;
use super::endpoint::{Endpoint, unsupported};
use crate::observe::event::{Direction, Place};
use crate::reactor::Network;
use crate::reactor::simulated::Options;
use crate::reactor::source::{Source, set_nonblocking};

/// How an attempt to write asks not to wait, nor to raise SIGPIPE; Apple's sockets have an option for that, which is set.
#[cfg(not(target_vendor = "apple"))]
pub(super) const SEND: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(super) const SEND: libc::c_int = libc::MSG_DONTWAIT;

/// How many slices the kernel takes at once. What it leaves over is no sign of a socket that is full, or empty.
const MOST_SLICES: usize = 1_024;

pub(crate) struct Connection {
    // Before the socket, so that it is deregistered before it is closed.
    pub(crate) source: Source,
    wire: Wire,
}

/// What carries the bytes.
enum Wire {
    Kernel(Socket),
    Simulated(Endpoint),
}
use Wire::{Kernel, Simulated};

impl Connection {
    /// Takes over a socket that is in non-blocking mode.
    pub(super) fn new(socket: Socket) -> Connection {
        Connection::over(socket.as_raw_fd(), Kernel(socket))
    }

    /// Takes over a socket of a network in memory.
    pub(super) fn simulated(endpoint: Endpoint) -> Connection {
        Connection::over(endpoint.id, Simulated(endpoint))
    }

    fn over(number: RawFd, wire: Wire) -> Connection {
        // SAFETY: the socket stands behind the source in this struct, and is in non-blocking mode; what is simulated goes
        // by a number that no descriptor has.
        Connection { source: unsafe { Source::new(number) }, wire }
    }

    /// Takes over a socket in any mode.
    pub(super) fn adopt(socket: Socket) -> io::Result<Connection> {
        set_nonblocking(socket.as_fd())?;
        Ok(Connection::new(socket))
    }

    /// A connection that is about to come about; [`try_connected`](Self::try_connected) tells.
    pub(super) fn begin(socket: Socket, to: &SockAddr) -> io::Result<Connection> {
        socket.set_nonblocking(true)?;
        match socket.connect(to) {
            Err(e) if !matches!(e.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => Err(e),
            _ => Ok(Connection::new(socket)),
        }
    }

    /// The same on a network in memory, from that address, if one was chosen.
    pub(super) fn begin_simulated(network: Network, from: Option<SocketAddr>, to: SockAddr) -> io::Result<Connection> {
        Ok(Connection::simulated(Endpoint::connect(network, from, to)?))
    }

    /// Waits until it has come about. The time limit may not be zero.
    pub(super) fn when_connected(self, limit: Option<Duration>, at: Place) -> io::Result<Connection> {
        self.source.set_limit(Direction::Write, limit)?;
        self.source.retry(Direction::Write, at, || self.try_connected(), |()| false)?;
        self.source.set_limit(Direction::Write, None)?;
        Ok(self)
    }

    /// Whether it has come about. Writable means decided: either the error or the peer is there then.
    pub(crate) fn try_connected(&self) -> io::Result<()> {
        match &self.wire {
            Simulated(endpoint) => endpoint.connected(),
            Kernel(socket) => match socket.take_error()? {
                Some(error) => Err(error),
                None => match socket.peer_addr() {
                    Err(e) if e.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
                    result => result.map(drop),
                },
            },
        }
    }

    /// An option, on the socket, or as a network in memory remembers it.
    pub(super) fn option<R>(
        &self,
        simulated: impl FnOnce(&mut Options) -> R,
        f: impl FnOnce(&Socket) -> io::Result<R>,
    ) -> io::Result<R> {
        match &self.wire {
            Kernel(socket) => f(socket),
            Simulated(endpoint) => Ok(endpoint.with_options(simulated)),
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<SockAddr> {
        match &self.wire {
            Kernel(socket) => socket.local_addr(),
            Simulated(endpoint) => endpoint.local_addr(),
        }
    }

    pub(super) fn peer_addr(&self) -> io::Result<SockAddr> {
        match &self.wire {
            Kernel(socket) => socket.peer_addr(),
            Simulated(endpoint) => endpoint.peer_addr(),
        }
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.wire {
            Kernel(socket) => socket.take_error(),
            Simulated(endpoint) => Ok(endpoint.take_error()),
        }
    }

    /// The socket, in blocking mode and unknown to any loop.
    pub(super) fn into_blocking(self) -> io::Result<Socket> {
        let Connection { source, wire } = self;
        drop(source);
        match wire {
            Kernel(socket) => {
                socket.set_nonblocking(false)?;
                Ok(socket)
            }
            Simulated(_) => Err(unsupported("a socket of a simulated network is none of std's")),
        }
    }

    pub(super) fn try_clone(&self) -> io::Result<Connection> {
        match &self.wire {
            Kernel(socket) => Ok(Connection::new(socket.try_clone()?)),
            Simulated(endpoint) => Ok(Connection::simulated(endpoint.second())),
        }
    }

    #[inline]
    pub(super) fn read(&self, buffer: &mut [u8], at: Place) -> io::Result<usize> {
        if buffer.is_empty() {
            return nothing(at);
        }
        let room = buffer.len();
        self.source.retry(Direction::Read, at, || self.try_read(buffer), drained(room))
    }

    pub(super) fn peek(&self, buffer: &mut [u8], at: Place) -> io::Result<usize> {
        if buffer.is_empty() {
            return nothing(at);
        }
        self.source.retry(Direction::Read, at, || self.try_peek(buffer), |_| false)
    }

    pub(super) fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>], at: Place) -> io::Result<usize> {
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return nothing(at);
        }
        let room = self.room(buffers);
        self.source.retry(Direction::Read, at, || self.try_read_vectored(buffers), drained(room))
    }

    #[inline]
    pub(super) fn write(&self, bytes: &[u8], at: Place) -> io::Result<usize> {
        self.source.retry(Direction::Write, at, || self.try_write(bytes), filled(bytes.len()))
    }

    pub(super) fn write_vectored(&self, slices: &[IoSlice<'_>], at: Place) -> io::Result<usize> {
        let length = self.length(slices);
        self.source.retry(Direction::Write, at, || self.try_write_vectored(slices), filled(length))
    }

    // Attempts, which do not wait.

    #[inline(always)]
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.wire {
            Kernel(socket) => recv(socket, buffer, 0),
            Simulated(endpoint) => endpoint.read(buffer, false),
        }
    }

    /// The same into memory that need not be initialised.
    #[cfg(feature = "hyper")]
    pub(crate) fn try_read_uninit(&self, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        match &self.wire {
            Kernel(socket) => socket.recv_with_flags(buffer, libc::MSG_DONTWAIT),
            Simulated(endpoint) => {
                buffer.fill(MaybeUninit::new(0));
                // SAFETY: it is initialised now.
                endpoint.read(unsafe { &mut *(ptr::from_mut(buffer) as *mut [u8]) }, false)
            }
        }
    }

    pub(crate) fn try_peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.wire {
            Kernel(socket) => recv(socket, buffer, libc::MSG_PEEK),
            Simulated(endpoint) => endpoint.read(buffer, true),
        }
    }

    pub(crate) fn try_read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match &self.wire {
            Kernel(socket) => {
                let count = buffers.len().min(MOST_SLICES);
                let buffers = &mut buffers[..count];
                // SAFETY: both types are an `iovec` each, the kernel writes nothing but initialised bytes.
                let buffers = unsafe { &mut *(ptr::from_mut(buffers) as *mut [MaybeUninitSlice<'_>]) };
                socket.recv_vectored_with_flags(buffers, libc::MSG_DONTWAIT).map(|(n, _)| n)
            }
            Simulated(endpoint) => match buffers.iter_mut().find(|buffer| !buffer.is_empty()) {
                Some(buffer) => endpoint.read(buffer, false),
                None => Ok(0),
            },
        }
    }

    #[inline(always)]
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.wire {
            Kernel(socket) => socket.send_with_flags(bytes, SEND),
            Simulated(endpoint) => endpoint.write(bytes),
        }
    }

    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.wire {
            Kernel(socket) => socket.send_vectored_with_flags(&slices[..slices.len().min(MOST_SLICES)], SEND),
            Simulated(endpoint) => match slices.iter().find(|slice| !slice.is_empty()) {
                Some(slice) => endpoint.write(slice),
                None => Ok(0),
            },
        }
    }

    /// How many bytes a read into these buffers tries to move.
    pub(crate) fn room(&self, buffers: &[IoSliceMut<'_>]) -> usize {
        self.most(buffers.iter().take(MOST_SLICES).map(|buffer| buffer.len()).sum())
    }

    /// How many bytes a write of these slices tries to move.
    pub(crate) fn length(&self, slices: &[IoSlice<'_>]) -> usize {
        self.most(slices.iter().take(MOST_SLICES).map(|slice| slice.len()).sum())
    }

    /// On a network in memory it is one slice at a time, so that moving less says nothing about what is left.
    fn most(&self, bytes: usize) -> usize {
        if matches!(self.wire, Simulated(_)) { 0 } else { bytes }
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match &self.wire {
            Kernel(socket) => socket.shutdown(how),
            Simulated(endpoint) => endpoint.shutdown(how),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.wire {
            Kernel(socket) => socket.as_fd(),
            Simulated(_) => panic!("a socket of a simulated network has no descriptor"),
        }
    }
}

/// A read into nothing: the kernel would let it wait for bytes that it does not take.
#[cold]
fn nothing(at: Place) -> io::Result<usize> {
    not_cancelled(at).map(|()| 0)
}

/// One attempt to read.
///
/// It asks not to wait, whatever the socket's mode: that is shared with clones, and one that was given away in blocking
/// mode changes it for all.
#[inline]
fn recv(socket: &Socket, buffer: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: the kernel writes nothing but initialised bytes.
    let buffer = unsafe { &mut *(ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) };
    socket.recv_with_flags(buffer, flags | libc::MSG_DONTWAIT)
}

/// A read that gave something, but less than there was room for, has emptied the socket.
pub(crate) fn drained(room: usize) -> impl Fn(&usize) -> bool {
    move |&n| 0 < n && n < room
}

/// A write that took less than it was given has filled the socket.
pub(crate) fn filled(length: usize) -> impl Fn(&usize) -> bool {
    move |&n| n < length
}

/// What a stream of std's has, for a type with a `connection`: time limits, modes, reading and writing.
macro_rules! stream {
    ($stream:ident) => {
        impl $stream {
            /// Reads, but leaves the bytes where they are.
            ///
            /// # Errors
            ///
            /// As a read.
            ///
            /// # Suspends
            ///
            /// Until there is something to read, or the end.
            #[track_caller]
            pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.connection.peek(buffer, caller())
            }

            /// Ends one direction, or both. Tasks that wait for it are woken.
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.connection.shutdown(how)
            }

            pub(crate) fn connection(&self) -> &Connection {
                &self.connection
            }

            /// A second handle of the same connection. Time limits are each handle's own.
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn try_clone(&self) -> io::Result<$stream> {
                Ok($stream { connection: self.connection.try_clone()? })
            }

            /// How long one read may wait; it fails with [`TimedOut`](io::ErrorKind::TimedOut) then. `None`: for ever.
            ///
            /// # Errors
            ///
            /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a limit of zero, as in std.
            pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
                self.connection.source.set_limit(Direction::Read, limit)
            }

            /// How long one write may wait; it fails with [`TimedOut`](io::ErrorKind::TimedOut) then. `None`: for ever.
            ///
            /// # Errors
            ///
            /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a limit of zero, as in std.
            pub fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
                self.connection.source.set_limit(Direction::Write, limit)
            }

            /// The time limit of reads.
            ///
            /// # Errors
            ///
            /// None; the signature is std's.
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.connection.source.limit(Direction::Read))
            }

            /// The time limit of writes.
            ///
            /// # Errors
            ///
            /// None; the signature is std's.
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.connection.source.limit(Direction::Write))
            }

            /// Whether calls fail with [`WouldBlock`](io::ErrorKind::WouldBlock) where they would wait.
            ///
            /// # Errors
            ///
            /// None; the signature is std's.
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.connection.source.set_impatient(nonblocking);
                Ok(())
            }

            /// The error that is pending on the socket, which is cleared.
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.connection.take_error()
            }
        }

        impl Read for &$stream {
            #[inline]
            #[track_caller]
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.connection.read(buffer, caller())
            }

            #[track_caller]
            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.connection.read_vectored(buffers, caller())
            }

            crate::provided::methods!(read_exact read_to_end read_to_string);
        }

        impl Write for &$stream {
            #[inline]
            #[track_caller]
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.connection.write(bytes, caller())
            }

            #[track_caller]
            fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                self.connection.write_vectored(slices, caller())
            }

            crate::provided::methods!(write_all);

            #[track_caller]
            fn write_fmt(&mut self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
                let at = caller();
                crate::provided::write_fmt(text, |bytes| self.connection.write(bytes, at))
            }

            /// Nothing: the kernel sends what it was given by itself.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Read for $stream {
            #[inline]
            #[track_caller]
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buffer)
            }

            #[track_caller]
            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self).read_vectored(buffers)
            }

            crate::provided::methods!(read_exact read_to_end read_to_string);
        }

        impl Write for $stream {
            #[inline]
            #[track_caller]
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                (&*self).write(bytes)
            }

            #[track_caller]
            fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(slices)
            }

            crate::provided::methods!(write_all);

            #[track_caller]
            fn write_fmt(&mut self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
                (&*self).write_fmt(text)
            }

            /// Nothing: the kernel sends what it was given by itself.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl AsFd for $stream {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.connection.as_fd()
            }
        }

        impl AsRawFd for $stream {
            /// On a simulated network, a number that no descriptor has.
            fn as_raw_fd(&self) -> RawFd {
                self.connection.source.as_raw_fd()
            }
        }
    };
}

pub(super) use stream;
