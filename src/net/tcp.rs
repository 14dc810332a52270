//! TCP.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, MaybeUninitSlice, Protocol, SockRef, Socket, Type};

use super::address::{ToSocketAddrs, each};
use crate::error::misuse;
use crate::observe::event::{Direction, Place};
use crate::reactor::source::{Source, set_nonblocking};
use crate::task::caller;
use crate::task::wait::{Context, checkpoint, in_context};
use crate::{millis, sleep};

/// How many connections may wait to be accepted, unless the program says otherwise. The kernel may allow fewer.
const BACKLOG: u32 = 1_024;
/// How long an accept waits when there are no descriptors left, before it tries again.
const OUT_OF_DESCRIPTORS: Duration = millis(100);

/// A TCP connection. The counterpart of [`std::net::TcpStream`].
///
/// It can be read and written through a shared reference, also by two tasks at once. Two tasks that wait for the same
/// direction are both woken, in the order in which they came, and each tries again.
///
/// ```
/// use corio::net::{TcpListener, TcpStream};
/// use corio::{run, scope};
/// use std::io::{Read, Write};
///
/// run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     scope(|s| {
///         let server = s.spawn(|| {
///             let (mut stream, _) = listener.accept()?;
///             let mut text = String::new();
///             stream.read_to_string(&mut text)?;
///             Ok(text)
///         });
///         TcpStream::connect(listener.local_addr()?)?.write_all(b"hello")?;
///         assert_eq!(server.join()?, "hello");
///         Ok(())
///     })
/// })
/// # .unwrap()
/// ```
pub struct TcpStream {
    // Before the socket, so that it is deregistered before it is closed.
    source: Source,
    socket: std::net::TcpStream,
}

impl TcpStream {
    /// Connects to the first address that answers. The kernel's own time limit is minutes: see
    /// [`timeout`](crate::timeout()).
    ///
    /// # Errors
    ///
    /// That of the last address; a cancellation.
    #[track_caller]
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let at = caller();
        each(address, at, |address| TcpStream::connect_one(address, None, at))
    }

    /// Connects to one address, with a time limit.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut); what the peer or the network says; a cancellation.
    #[track_caller]
    pub fn connect_timeout(address: &SocketAddr, limit: Duration) -> io::Result<TcpStream> {
        TcpStream::connect_one(*address, Some(limit), caller())
    }

    fn connect_one(address: SocketAddr, limit: Option<Duration>, at: Place) -> io::Result<TcpStream> {
        // Before anything is sent: a call that cannot succeed, and a cancelled task, reach nobody.
        if limit.is_some_and(|limit| limit.is_zero()) {
            return Err(misuse("a time limit of zero"));
        }
        in_context(|context| match context {
            Context::Task(lp, task) => checkpoint(lp, task, at),
            _ => Ok(()),
        })?;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {}
            Err(error) => return Err(error),
        }
        let stream = TcpStream::from_nonblocking(socket.into());
        stream.source.set_limit(Direction::Write, limit)?;
        // Writable means decided: either the error or the peer is there now.
        stream.source.retry(
            Direction::Write,
            at,
            || match stream.socket.take_error()? {
                Some(error) => Err(error),
                None => match stream.socket.peer_addr() {
                    Err(e) if e.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
                    result => result.map(drop),
                },
            },
            |()| false,
        )?;
        stream.source.set_limit(Direction::Write, None)?;
        Ok(stream)
    }

    fn from_nonblocking(socket: std::net::TcpStream) -> TcpStream {
        // SAFETY: the socket stands behind the source in this struct, and is in non-blocking mode.
        TcpStream { source: unsafe { Source::new(socket.as_raw_fd()) }, socket }
    }

    /// Takes a stream of std's over; it is put into non-blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn from_std(socket: std::net::TcpStream) -> io::Result<TcpStream> {
        set_nonblocking(socket.as_fd())?;
        Ok(TcpStream::from_nonblocking(socket))
    }

    /// Turns it into a stream of std's, in blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        let TcpStream { source, socket } = self;
        drop(source);
        socket.set_nonblocking(false)?;
        Ok(socket)
    }

    /// A second handle of the same connection. Time limits are each handle's own.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream::from_nonblocking(self.socket.try_clone()?))
    }

    /// Reads, but leaves the bytes where they are.
    ///
    /// # Errors
    ///
    /// As a read.
    #[track_caller]
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.retry(Direction::Read, caller(), || recv(&self.socket, buffer, libc::MSG_PEEK), |_| false)
    }

    /// Ends one direction, or both. Tasks that wait for it are woken.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// How long one read may wait; it fails with [`TimedOut`](io::ErrorKind::TimedOut) then. `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a limit of zero, as in std.
    pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.source.set_limit(Direction::Read, limit)
    }

    /// How long one write may wait; it fails with [`TimedOut`](io::ErrorKind::TimedOut) then. `None`: for ever.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a limit of zero, as in std.
    pub fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.source.set_limit(Direction::Write, limit)
    }

    /// The time limit of reads.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.source.limit(Direction::Read))
    }

    /// The time limit of writes.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.source.limit(Direction::Write))
    }

    /// Whether calls fail with [`WouldBlock`](io::ErrorKind::WouldBlock) where they would wait.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.source.set_impatient(nonblocking);
        Ok(())
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.set_nodelay(nodelay)
    }

    /// The value of `TCP_NODELAY`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.nodelay()
    }

    /// Sets the time to live of packets.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.set_ttl(ttl)
    }

    /// The time to live of packets.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.ttl()
    }

    /// The error that is pending on the socket, which is cleared.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }
}

/// One attempt to read.
///
/// It asks not to wait, whatever the socket's mode: that is shared with clones, and one that [`TcpStream::into_std`] gave
/// away is in blocking mode.
#[inline]
fn recv(socket: &std::net::TcpStream, buffer: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: the kernel writes nothing but initialised bytes.
    let buffer = unsafe { &mut *(ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) };
    SockRef::from(socket).recv_with_flags(buffer, flags | libc::MSG_DONTWAIT)
}

/// How an attempt to write asks not to wait, nor to raise SIGPIPE; Apple's sockets have an option for that, which is set.
#[cfg(not(target_vendor = "apple"))]
const SEND: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND: libc::c_int = libc::MSG_DONTWAIT;

/// How many slices the kernel takes at once. What it leaves over is no sign of a socket that is full, or empty.
const MOST_SLICES: usize = 1_024;

/// A read that gave something, but less than there was room for, has emptied the socket.
fn drained(room: usize) -> impl Fn(&usize) -> bool {
    move |&n| 0 < n && n < room
}

/// A write that took less than it was given has filled the socket.
fn filled(length: usize) -> impl Fn(&usize) -> bool {
    move |&n| n < length
}

impl Read for &TcpStream {
    #[inline]
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        self.source.retry(Direction::Read, caller(), || recv(&self.socket, buffer, 0), drained(room))
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let count = buffers.len().min(MOST_SLICES);
        let buffers = &mut buffers[..count];
        let room = buffers.iter().map(|buffer| buffer.len()).sum();
        let attempt = || {
            // SAFETY: both types are an `iovec` each, the kernel writes nothing but initialised bytes.
            let buffers = unsafe { &mut *(ptr::from_mut(buffers) as *mut [MaybeUninitSlice<'_>]) };
            SockRef::from(&self.socket).recv_vectored_with_flags(buffers, libc::MSG_DONTWAIT).map(|(n, _)| n)
        };
        self.source.retry(Direction::Read, caller(), attempt, drained(room))
    }
}

impl Write for &TcpStream {
    #[inline]
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let attempt = || SockRef::from(&self.socket).send_with_flags(bytes, SEND);
        self.source.retry(Direction::Write, caller(), attempt, filled(bytes.len()))
    }

    #[track_caller]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let slices = &slices[..slices.len().min(MOST_SLICES)];
        let length = slices.iter().map(|slice| slice.len()).sum();
        let attempt = || SockRef::from(&self.socket).send_vectored_with_flags(slices, SEND);
        self.source.retry(Direction::Write, caller(), attempt, filled(length))
    }

    /// Nothing: the kernel sends what it was given by itself.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
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

impl Write for TcpStream {
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

/// A socket that accepts TCP connections. The counterpart of [`std::net::TcpListener`].
pub struct TcpListener {
    // Before the socket, so that it is deregistered before it is closed.
    source: Source,
    socket: mio::net::TcpListener,
    /// The process is out of descriptors, and has said so.
    starving: AtomicBool,
}

impl TcpListener {
    /// Listens on the first address that can be bound, for 1,024 waiting connections. Port 0 asks for a free one; see
    /// [`local_addr`](Self::local_addr).
    ///
    /// # Errors
    ///
    /// That of the last address.
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        TcpListener::bind_with_backlog(address, BACKLOG)
    }

    /// Listens with room for `backlog` connections that wait to be accepted. The kernel may allow fewer
    /// (`net.core.somaxconn`).
    ///
    /// # Errors
    ///
    /// That of the last address.
    #[track_caller]
    pub fn bind_with_backlog(address: impl ToSocketAddrs, backlog: u32) -> io::Result<TcpListener> {
        each(address, caller(), |address| {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
            // As std does: a server that restarts need not wait for its old connections to be forgotten.
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
            TcpListener::from_std(socket.into())
        })
    }

    /// Takes a listener of std's over; it is put into non-blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn from_std(socket: std::net::TcpListener) -> io::Result<TcpListener> {
        set_nonblocking(socket.as_fd())?;
        // mio's accept gives a connection in non-blocking mode with one system call.
        let socket = mio::net::TcpListener::from_std(socket);
        // SAFETY: the socket stands behind the source in this struct, and is in non-blocking mode.
        let source = unsafe { Source::new(socket.as_raw_fd()) };
        Ok(TcpListener { source, socket, starving: AtomicBool::new(false) })
    }

    /// Waits for the next connection.
    ///
    /// A connection that fails before it could be accepted is passed over. When the process has no descriptors left, the
    /// listener says so in the log, once, and tries again ten times a second.
    ///
    /// # Errors
    ///
    /// A cancellation; what the system says about the listener itself.
    #[track_caller]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let at = caller();
        loop {
            let error = match self.source.retry(Direction::Read, at, || self.socket.accept(), |_| false) {
                Ok((socket, address)) => {
                    self.starving.store(false, Ordering::Relaxed);
                    return Ok((TcpStream::from_nonblocking(socket.into()), address));
                }
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::ECONNABORTED | libc::EPROTO | libc::EPERM) => {}
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) if !self.source.is_impatient() => {
                    if !self.starving.swap(true, Ordering::Relaxed) {
                        log::error!(target: "corio::net",
                            "cannot accept connections: {error}; trying again until it works");
                    }
                    // The clients that wait will not be announced again.
                    sleep(OUT_OF_DESCRIPTORS)?;
                }
                _ => return Err(error),
            }
        }
    }

    /// Connections as they come: an endless iterator, which ends after the error of a cancellation.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self, ended: false }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// A second handle of the same socket; each connection is accepted by one of them.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        TcpListener::from_std(self.as_fd().try_clone_to_owned()?.into())
    }

    /// Whether [`accept`](Self::accept) fails with [`WouldBlock`](io::ErrorKind::WouldBlock) where it would wait.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.source.set_impatient(nonblocking);
        Ok(())
    }

    /// The error that is pending on the socket, which is cleared.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }
}

/// Connections as they come; from [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
    ended: bool,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        if self.ended {
            return None;
        }
        let result = self.listener.accept().map(|(stream, _)| stream);
        // A loop that ignores errors would otherwise be refused for ever.
        self.ended = result.is_err() && crate::cancel_cause().is_some();
        Some(result)
    }
}

macro_rules! descriptor {
    ($type:ident) => {
        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                // SAFETY: the socket is open for as long as it is borrowed.
                unsafe { BorrowedFd::borrow_raw(self.as_raw_fd()) }
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                self.socket.as_raw_fd()
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.socket.fmt(f)
            }
        }
    };
}

descriptor!(TcpStream);
descriptor!(TcpListener);
