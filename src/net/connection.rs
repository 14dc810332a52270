//! A connected stream socket: all that TCP and Unix streams have in common.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

use socket2::{MaybeUninitSlice, SockAddr, SockRef, Socket};

use crate::observe::event::{Direction, Place};
use crate::reactor::source::{Source, set_nonblocking};

/// How an attempt to write asks not to wait, nor to raise SIGPIPE; Apple's sockets have an option for that, which is set.
#[cfg(not(target_vendor = "apple"))]
pub(super) const SEND: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(super) const SEND: libc::c_int = libc::MSG_DONTWAIT;

/// How many slices the kernel takes at once. What it leaves over is no sign of a socket that is full, or empty.
const MOST_SLICES: usize = 1_024;

pub(super) struct Connection {
    // Before the socket, so that it is deregistered before it is closed.
    pub(super) source: Source,
    pub(super) socket: Socket,
}

impl Connection {
    /// Takes over a socket that is in non-blocking mode.
    pub(super) fn new(socket: Socket) -> Connection {
        // SAFETY: the socket stands behind the source in this struct, and is in non-blocking mode.
        Connection { source: unsafe { Source::new(socket.as_raw_fd()) }, socket }
    }

    /// Takes over a socket in any mode.
    pub(super) fn adopt(socket: Socket) -> io::Result<Connection> {
        set_nonblocking(socket.as_fd())?;
        Ok(Connection::new(socket))
    }

    /// Connects a new socket. The time limit may not be zero.
    pub(super) fn connect(socket: Socket, to: &SockAddr, limit: Option<Duration>, at: Place) -> io::Result<Connection> {
        socket.set_nonblocking(true)?;
        match socket.connect(to) {
            Ok(()) => {}
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {}
            Err(error) => return Err(error),
        }
        let connection = Connection::new(socket);
        connection.source.set_limit(Direction::Write, limit)?;
        // Writable means decided: either the error or the peer is there now.
        connection.source.retry(
            Direction::Write,
            at,
            || match connection.socket.take_error()? {
                Some(error) => Err(error),
                None => match connection.socket.peer_addr() {
                    Err(e) if e.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
                    result => result.map(drop),
                },
            },
            |()| false,
        )?;
        connection.source.set_limit(Direction::Write, None)?;
        Ok(connection)
    }

    /// The socket, in blocking mode and unknown to any loop.
    pub(super) fn into_blocking(self) -> io::Result<Socket> {
        let Connection { source, socket } = self;
        drop(source);
        socket.set_nonblocking(false)?;
        Ok(socket)
    }

    pub(super) fn try_clone(&self) -> io::Result<Connection> {
        Ok(Connection::new(self.socket.try_clone()?))
    }

    #[inline]
    pub(super) fn read(&self, buffer: &mut [u8], at: Place) -> io::Result<usize> {
        let room = buffer.len();
        self.source.retry(Direction::Read, at, || recv(&self.socket, buffer, 0), drained(room))
    }

    pub(super) fn peek(&self, buffer: &mut [u8], at: Place) -> io::Result<usize> {
        self.source.retry(Direction::Read, at, || recv(&self.socket, buffer, libc::MSG_PEEK), |_| false)
    }

    pub(super) fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>], at: Place) -> io::Result<usize> {
        let count = buffers.len().min(MOST_SLICES);
        let buffers = &mut buffers[..count];
        let room = buffers.iter().map(|buffer| buffer.len()).sum();
        let attempt = || {
            // SAFETY: both types are an `iovec` each, the kernel writes nothing but initialised bytes.
            let buffers = unsafe { &mut *(ptr::from_mut(buffers) as *mut [MaybeUninitSlice<'_>]) };
            SockRef::from(&self.socket).recv_vectored_with_flags(buffers, libc::MSG_DONTWAIT).map(|(n, _)| n)
        };
        self.source.retry(Direction::Read, at, attempt, drained(room))
    }

    #[inline]
    pub(super) fn write(&self, bytes: &[u8], at: Place) -> io::Result<usize> {
        let attempt = || self.socket.send_with_flags(bytes, SEND);
        self.source.retry(Direction::Write, at, attempt, filled(bytes.len()))
    }

    pub(super) fn write_vectored(&self, slices: &[IoSlice<'_>], at: Place) -> io::Result<usize> {
        let slices = &slices[..slices.len().min(MOST_SLICES)];
        let length = slices.iter().map(|slice| slice.len()).sum();
        let attempt = || self.socket.send_vectored_with_flags(slices, SEND);
        self.source.retry(Direction::Write, at, attempt, filled(length))
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
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
fn drained(room: usize) -> impl Fn(&usize) -> bool {
    move |&n| 0 < n && n < room
}

/// A write that took less than it was given has filled the socket.
fn filled(length: usize) -> impl Fn(&usize) -> bool {
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
                self.connection.socket.take_error()
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
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }
    };
}

pub(super) use stream;
