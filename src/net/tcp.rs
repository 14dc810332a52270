//! TCP.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::address::{ToSocketAddrs, each, inet, not_cancelled};
use super::connection::{Connection, stream};
use super::endpoint::{Endpoint, network_here, unsupported};
use super::gate::Gate;
use super::options::ListenOptions;
use crate::error::misuse;
use crate::observe::event::{Direction, Place};
use crate::reactor::simulated::Options;
use crate::reactor::source::{releasable, set_nonblocking};
use crate::task::caller;

/// A TCP connection. The counterpart of [`std::net::TcpStream`].
///
/// It can be read and written through a shared reference, also by two tasks at once. Two tasks that wait for the same
/// direction are both woken, in the order in which they came, and each tries again. A read into an empty buffer gives nothing and
/// waits for nobody.
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
///
/// What else a socket can do:
///
/// ```
/// use corio::net::{Shutdown, TcpListener, TcpStream};
/// use corio::{millis, run, secs};
/// use std::io::{ErrorKind, Read, Write};
///
/// run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let mut client = TcpStream::connect_timeout(&listener.local_addr()?, secs(5))?;
///     let (mut server, from) = listener.accept()?;
///     assert_eq!((from, client.peer_addr()?), (client.local_addr()?, server.local_addr()?));
///
///     client.set_nodelay(true)?;
///     client.set_ttl(32)?;
///     client.set_keepalive(Some(secs(60)))?;
///     client.set_linger(Some(secs(0)))?; // a close resets the connection, as a test may want it
///     assert_eq!((client.nodelay()?, client.ttl()?, client.linger()?), (true, 32, Some(secs(0))));
///
///     client.set_read_timeout(Some(millis(5)))?;
///     assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
///     server.write_all(b"hello")?;
///     let mut other = client.try_clone()?; // of the same connection, with limits of its own
///     assert_eq!((client.read_timeout()?, other.read_timeout()?), (Some(millis(5)), None));
///     let mut bytes = [0; 5];
///     assert!(client.peek(&mut bytes)? > 0); // it is still to be read
///     other.read_exact(&mut bytes)?;
///     assert_eq!(&bytes, b"hello");
///     other.set_nonblocking(true)?;
///     assert_eq!(other.read(&mut bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
///
///     client.set_write_timeout(Some(secs(1)))?;
///     assert_eq!(client.write_timeout()?, Some(secs(1)));
///     client.shutdown(Shutdown::Write)?;
///     assert_eq!(server.read(&mut bytes)?, 0); // the end; the other direction goes on
///     assert!(client.take_error()?.is_none());
///
///     let of_std: std::net::TcpStream = server.into_std()?; // for a library that blocks
///     TcpStream::from_std(of_std)?.write_all(b"!") // and back
/// })
/// # .unwrap()
/// ```
pub struct TcpStream {
    connection: Connection,
}

stream!(TcpStream);

impl TcpStream {
    /// Connects to the first address that answers. The kernel's own time limit is minutes: see
    /// [`timeout`](crate::timeout()). asyncio: `open_connection`.
    ///
    /// # Errors
    ///
    /// If no address answers, one of the last one's kind that tells of all; a cancellation.
    ///
    /// # Suspends
    ///
    /// Until an address has answered, or none will; before, while a name is looked up.
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
    ///
    /// # Suspends
    ///
    /// Until it has answered, or the limit is met.
    #[track_caller]
    pub fn connect_timeout(address: &SocketAddr, limit: Duration) -> io::Result<TcpStream> {
        TcpStream::connect_one(*address, Some(limit), caller())
    }

    fn connect_one(address: SocketAddr, limit: Option<Duration>, at: Place) -> io::Result<TcpStream> {
        // Before anything is sent: a call that cannot succeed, and a cancelled task, reach nobody.
        if limit.is_some_and(|limit| limit.is_zero()) {
            return Err(misuse("a time limit of zero"));
        }
        not_cancelled(at)?;
        TcpStream::connect_by(None, None, address, limit, at)
    }

    /// Connects a socket that is bound already, if one was made; on a network in memory, from that address.
    pub(super) fn connect_by(
        socket: Option<Socket>,
        from: Option<SocketAddr>,
        address: SocketAddr,
        limit: Option<Duration>,
        at: Place,
    ) -> io::Result<TcpStream> {
        let connection = TcpStream::begin(socket, from, address)?.when_connected(limit, at)?;
        Ok(TcpStream { connection })
    }

    fn begin(socket: Option<Socket>, from: Option<SocketAddr>, address: SocketAddr) -> io::Result<Connection> {
        if let Some(network) = network_here() {
            return Connection::begin_simulated(network, from, address.into());
        }
        let new = || Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
        Connection::begin(socket.map_or_else(new, Ok)?, &address.into())
    }

    /// A stream that is about to be connected, as by [`connect_by`](Self::connect_by).
    pub(super) fn connecting(
        socket: Option<Socket>,
        from: Option<SocketAddr>,
        address: SocketAddr,
    ) -> io::Result<TcpStream> {
        Ok(TcpStream { connection: TcpStream::begin(socket, from, address)? })
    }

    pub(super) fn option<R>(
        &self,
        simulated: impl FnOnce(&mut Options) -> R,
        f: impl FnOnce(&Socket) -> io::Result<R>,
    ) -> io::Result<R> {
        self.connection.option(simulated, f)
    }

    /// Takes a stream of std's over; it is put into non-blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn from_std(socket: std::net::TcpStream) -> io::Result<TcpStream> {
        Ok(TcpStream { connection: Connection::adopt(socket.into())? })
    }

    /// Turns it into a stream of std's, in blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        Ok(self.connection.into_blocking()?.into())
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet(&self.connection.peer_addr()?)
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(&self.connection.local_addr()?)
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.connection.option(|options| options.nodelay = nodelay, |socket| socket.set_tcp_nodelay(nodelay))
    }

    /// The value of `TCP_NODELAY`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.connection.option(|options| options.nodelay, Socket::tcp_nodelay)
    }

    /// Sets the time to live of packets.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.connection.option(|options| options.ttl = ttl, |socket| socket.set_ttl_v4(ttl))
    }

    /// The time to live of packets.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn ttl(&self) -> io::Result<u32> {
        self.connection.option(|options| options.ttl, Socket::ttl_v4)
    }
}

impl std::fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("TcpStream");
        if let Ok(address) = self.local_addr() {
            text.field("addr", &address);
        }
        if let Ok(address) = self.peer_addr() {
            text.field("peer", &address);
        }
        text.field("fd", &self.as_raw_fd()).finish()
    }
}

/// A socket that accepts TCP connections. The counterpart of [`std::net::TcpListener`].
///
/// ```
/// use corio::net::{TcpListener, TcpStream};
/// use corio::{run, scope};
/// use std::io::{ErrorKind, Read, Write};
///
/// run(|| {
///     let listener = TcpListener::bind_with_backlog("127.0.0.1:0", 16)?;
///     let address = listener.local_addr()?; // with the port that the system has chosen
///     scope(|s| {
///         s.spawn(|| {
///             for stream in listener.incoming().take(2) {
///                 let stream = stream?;
///                 s.spawn(move || (&stream).write_all(b"hello")); // a task for each connection
///             }
///             Ok(())
///         });
///         for _ in 0..2 {
///             let mut text = String::new();
///             TcpStream::connect(address)?.read_to_string(&mut text)?;
///             assert_eq!(text, "hello");
///         }
///         Ok(())
///     })?;
///
///     let second = listener.try_clone()?; // accepts from the same queue
///     second.set_nonblocking(true)?;
///     assert_eq!(second.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
///     assert!(second.take_error()?.is_none());
///     let of_std = std::net::TcpListener::bind("127.0.0.1:0")?; // as a service manager hands one over
///     let listener = TcpListener::from_std(of_std)?;
///     listener.set_ttl(8)?;
///     assert_eq!((listener.ttl()?, listener.into_std()?.ttl()?), (8, 8)); // and back again
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct TcpListener {
    // Before the socket, so that it is deregistered before it is closed.
    gate: Gate,
    door: Door,
}

/// What brings the connections.
enum Door {
    /// mio's accept gives a connection in non-blocking mode with one system call.
    Kernel(mio::net::TcpListener),
    Simulated(Endpoint),
}
use Door::{Kernel, Simulated};

impl TcpListener {
    /// Listens on the first address that can be bound, for 1,024 waiting connections. Port 0 asks for a free one; see
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
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        ListenOptions::new().bind(address)
    }

    /// Listens with room for `backlog` connections that wait to be accepted. The kernel may allow fewer
    /// (`net.core.somaxconn`).
    ///
    /// # Errors
    ///
    /// If none can be had, one of the last one's kind that tells of all.
    ///
    /// # Suspends
    ///
    /// While a name is looked up, if the address is one.
    #[track_caller]
    pub fn bind_with_backlog(address: impl ToSocketAddrs, backlog: u32) -> io::Result<TcpListener> {
        ListenOptions::new().backlog(backlog).bind(address)
    }

    pub(super) fn simulated(endpoint: Endpoint) -> TcpListener {
        TcpListener::over(endpoint.id, Simulated(endpoint))
    }

    /// Takes a listener of std's over; it is put into non-blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn from_std(socket: std::net::TcpListener) -> io::Result<TcpListener> {
        set_nonblocking(socket.as_fd())?;
        let socket = mio::net::TcpListener::from_std(socket);
        Ok(TcpListener::over(socket.as_raw_fd(), Kernel(socket)))
    }

    /// Turns it into a listener of std's, in blocking mode.
    ///
    /// # Errors
    ///
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) while there is a second handle: the mode is the socket's, so that one would
    /// block its loop. Then only this handle is gone. On a simulated network [`Unsupported`](io::ErrorKind::Unsupported); what the system says.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        let TcpListener { gate, door } = self;
        gate.give_up()?;
        match door {
            Kernel(socket) => {
                let socket = std::net::TcpListener::from(socket);
                socket.set_nonblocking(false)?;
                Ok(socket)
            }
            Simulated(_) => Err(unsupported("a listener of a simulated network is none of std's")),
        }
    }

    fn over(number: RawFd, door: Door) -> TcpListener {
        // SAFETY: the socket stands behind the source in this struct, and is in non-blocking mode; what is simulated goes
        // by a number that no descriptor has.
        TcpListener { gate: unsafe { Gate::new(number) }, door }
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Waits for the next connection.
    ///
    /// A connection that fails before it could be accepted is passed over. When the process has no descriptors left, the
    /// listener says so in the log, once, and tries again ten times a second.
    ///
    /// # Errors
    ///
    /// A cancellation; [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the listener was closed; what the system says about it.
    ///
    /// # Suspends
    ///
    /// Until a client has connected.
    #[track_caller]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept_at(|| Ok(()), caller()).map(|((), stream, from)| (stream, from))
    }

    /// The same; each attempt is made with a place for the connection only.
    pub(super) fn accept_at<P>(
        &self,
        mut place: impl FnMut() -> io::Result<P>,
        at: Place,
    ) -> io::Result<(P, TcpStream, SocketAddr)> {
        self.gate.accept(at, || {
            let place = place()?;
            self.try_accept().map(|(stream, from)| (place, stream, from))
        })
    }

    /// One attempt, which does not wait.
    pub(crate) fn try_accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.gate.check()?;
        let (connection, from) = match &self.door {
            Kernel(socket) => {
                let (socket, from) = socket.accept()?;
                (Connection::new(std::net::TcpStream::from(socket).into()), from)
            }
            Simulated(endpoint) => {
                let (end, from) = endpoint.accept()?;
                (Connection::simulated(end), inet(&from)?)
            }
        };
        Ok((TcpStream { connection }, from))
    }

    /// Ends it for good, for all who share this handle: whoever waits for a connection is told so, on any thread, and so is
    /// whoever asks later. New clients are refused. Connections that were accepted are not concerned.
    ///
    /// A listener that nobody waits on may just as well be dropped. asyncio: `Server.close`.
    ///
    /// ```
    /// use corio::{net::TcpListener, run, spawn, yield_now};
    /// use std::sync::Arc;
    ///
    /// run(|| {
    ///     let listener = Arc::new(TcpListener::bind("127.0.0.1:0")?);
    ///     let server = spawn({
    ///         let listener = listener.clone();
    ///         move || Ok(listener.incoming().count())
    ///     });
    ///     yield_now()?;
    ///     listener.close();
    ///     assert_eq!(server.join()?, 1); // the error that says so
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    pub fn close(&self) {
        self.gate.close();
        match &self.door {
            Kernel(socket) => drop(SockRef::from(socket).shutdown(Shutdown::Both)),
            Simulated(endpoint) => endpoint.stop_listening(),
        }
    }

    /// Connections as they come: an endless iterator, which ends after the error of a cancellation,
    /// or of [`close`](Self::close).
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self, ended: false }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.door {
            Kernel(socket) => socket.local_addr(),
            Simulated(endpoint) => inet(&endpoint.local_addr()?),
        }
    }

    /// A second handle of the same socket; each connection is accepted by one of them.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        let mut second = match &self.door {
            Kernel(_) => TcpListener::from_std(self.as_fd().try_clone_to_owned()?.into())?,
            Simulated(endpoint) => {
                let second = endpoint.second();
                TcpListener::over(second.id, Simulated(second))
            }
        };
        second.gate = second.gate.beside(&self.gate);
        Ok(second)
    }

    /// Whether [`accept`](Self::accept) fails with [`WouldBlock`](io::ErrorKind::WouldBlock) where it would wait.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.gate.source.set_impatient(nonblocking);
        Ok(())
    }

    /// Sets the time to live of the packets of connections that will be accepted.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        match &self.door {
            Kernel(socket) => socket.set_ttl(ttl),
            Simulated(endpoint) => {
                endpoint.with_options(|options| options.ttl = ttl);
                Ok(())
            }
        }
    }

    /// The time to live of the packets of connections that will be accepted.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn ttl(&self) -> io::Result<u32> {
        match &self.door {
            Kernel(socket) => socket.ttl(),
            Simulated(endpoint) => Ok(endpoint.with_options(|options| options.ttl)),
        }
    }

    /// The error that is pending on the socket, which is cleared.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.door {
            Kernel(socket) => socket.take_error(),
            Simulated(endpoint) => Ok(endpoint.take_error()),
        }
    }
}

/// Connections as they come; from [`TcpListener::incoming`].
///
/// ```
/// use corio::net::{Incoming, TcpListener, TcpStream};
/// use std::io;
///
/// /// The first client that says where it comes from, and is still there.
/// fn first(mut clients: Incoming<'_>) -> io::Result<TcpStream> {
///     clients.find(|client| client.as_ref().is_ok_and(|client| client.peer_addr().is_ok())).unwrap()
/// }
///
/// corio::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let client = TcpStream::connect(listener.local_addr()?)?;
///     assert_eq!(first(listener.incoming())?.peer_addr()?, client.local_addr()?);
///     Ok(())
/// })
/// # .unwrap()
/// ```
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
        self.ended = self.listener.gate.is_last(&result);
        Some(result)
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.door {
            // SAFETY: the socket is open for as long as it is borrowed.
            Kernel(socket) => unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) },
            Simulated(_) => panic!("a listener of a simulated network has no descriptor"),
        }
    }
}

impl AsRawFd for TcpListener {
    /// On a simulated network, a number that no descriptor has.
    fn as_raw_fd(&self) -> RawFd {
        self.gate.source.as_raw_fd()
    }
}

impl std::fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("TcpListener");
        if let Ok(address) = self.local_addr() {
            text.field("addr", &address);
        }
        text.field("fd", &self.as_raw_fd()).finish()
    }
}

releasable!(TcpStream: connection.source);
releasable!(TcpListener: gate.source);
