//! Stream sockets of the machine itself, which go by paths.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::address::not_cancelled;
use super::connection::{Connection, stream};
use super::endpoint::{Endpoint, network_here, unsupported};
use super::gate::{BACKLOG, Gate};
use crate::millis;
use crate::observe::event::{Direction, Place};
use crate::reactor::Network;
use crate::reactor::simulated::Claim;
use crate::reactor::source::{releasable, set_nonblocking};
use crate::task::caller;

/// How long a client waits, at first and at most, before it tries again somebody whose queue is full.
pub(crate) const FULL_QUEUE: (Duration, Duration) = (millis(1), millis(100));

/// A connection between two processes of this machine. The counterpart of [`std::os::unix::net::UnixStream`]; for waiting,
/// sharing and time limits as [`TcpStream`](super::TcpStream).
///
/// ```
/// use corio::{net::UnixStream, run};
/// use std::io::{Read, Write};
///
/// run(|| {
///     let (mut near, mut far) = UnixStream::pair()?;
///     near.write_all(b"hello")?;
///     drop(near);
///     let mut text = String::new();
///     far.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     Ok(())
/// })
/// # .unwrap()
/// ```
///
/// ```
/// use corio::{millis, net::{Shutdown, UnixListener, UnixStream}, run};
/// use std::io::{ErrorKind, Read, Write};
///
/// let path = std::env::temp_dir().join(format!("corio-unix-{}", std::process::id()));
/// run(|| {
///     let listener = UnixListener::bind(&path)?;
///     let mut client = UnixStream::connect(&path)?;
///     let (mut server, _) = listener.accept()?;
///     assert_eq!(client.peer_addr()?.as_pathname(), Some(path.as_path()));
///     assert!(client.local_addr()?.is_unnamed());
///     UnixStream::connect_addr(&listener.local_addr()?)?; // the same by its address
///
///     client.set_read_timeout(Some(millis(5)))?;
///     client.set_write_timeout(Some(millis(5)))?;
///     assert_eq!((client.read_timeout()?, client.write_timeout()?), (Some(millis(5)), Some(millis(5))));
///     assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
///     server.write_all(b"hi")?;
///     let second = client.try_clone()?; // of the same connection, without limits
///     let mut bytes = [0; 8];
///     assert_eq!((second.peek(&mut bytes)?, client.read(&mut bytes)?), (2, 2));
///     second.set_nonblocking(true)?;
///     assert_eq!((&second).read(&mut bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
///     server.shutdown(Shutdown::Write)?;
///     assert_eq!(client.read(&mut bytes)?, 0);
///     assert!(client.take_error()?.is_none());
///
///     let of_std: std::os::unix::net::UnixStream = client.into_std()?;
///     UnixStream::from_std(of_std).map(drop)
/// })
/// # .unwrap();
/// assert!(!path.exists()); // the listener has removed it
/// ```
pub struct UnixStream {
    connection: Connection,
}

stream!(UnixStream);

impl UnixStream {
    /// Connects to the socket at a path. While its listener's queue is full, it waits and tries again.
    /// asyncio: `open_unix_connection`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if nothing is there,
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nobody listens; a cancellation.
    ///
    /// # Suspends
    ///
    /// While the listener's queue is full.
    #[track_caller]
    pub fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        UnixStream::connect_to(&SockAddr::unix(path)?, caller())
    }

    /// Connects to an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Suspends
    ///
    /// As [`connect`](Self::connect).
    #[track_caller]
    pub fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        UnixStream::connect_to(&sock_addr(address)?, caller())
    }

    /// A stream that is about to be connected.
    pub(crate) fn connecting(address: &SockAddr) -> io::Result<UnixStream> {
        let connection = match network_here() {
            Some(network) => Connection::begin_simulated(network, None, address.clone())?,
            None => Connection::begin(Socket::new(Domain::UNIX, Type::STREAM, None)?, address)?,
        };
        Ok(UnixStream { connection })
    }

    fn connect_to(address: &SockAddr, at: Place) -> io::Result<UnixStream> {
        let (mut pause, longest) = FULL_QUEUE;
        loop {
            not_cancelled(at)?;
            let connected = UnixStream::connecting(address)
                .and_then(|UnixStream { connection }| connection.when_connected(None, at));
            match connected {
                Ok(connection) => return Ok(UnixStream { connection }),
                // The kernel tells nobody when the queue is no longer full.
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => crate::sleep(pause)?,
                Err(error) => return Err(error),
            }
            pause = (pause * 2).min(longest);
        }
    }

    /// Two streams that are connected with each other.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        if let Some(network) = network_here() {
            let (one, other) = Endpoint::pair(network);
            let simulated = |end| UnixStream { connection: Connection::simulated(end) };
            return Ok((simulated(one), simulated(other)));
        }
        let (one, other) = std::os::unix::net::UnixStream::pair()?;
        Ok((UnixStream::from_std(one)?, UnixStream::from_std(other)?))
    }

    /// Takes a stream of std's over; it is put into non-blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn from_std(socket: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
        Ok(UnixStream { connection: Connection::adopt(socket.into())? })
    }

    /// Turns it into a stream of std's, in blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        Ok(self.connection.into_blocking()?.into())
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        unix_addr(&self.connection.peer_addr()?)
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        unix_addr(&self.connection.local_addr()?)
    }
}

impl std::fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("UnixStream");
        if let Ok(address) = self.local_addr() {
            text.field("local", &address);
        }
        if let Ok(address) = self.peer_addr() {
            text.field("peer", &address);
        }
        text.field("fd", &self.as_raw_fd()).finish()
    }
}

/// A socket that accepts connections of this machine. The counterpart of [`std::os::unix::net::UnixListener`].
///
/// The file that [`bind`](Self::bind) makes is removed when the listener is dropped, if it is still the one that it made. On a
/// [simulated network](crate::testing::Network) it makes none: a name is the network's, and goes with the listener.
/// asyncio: `start_unix_server`.
///
/// ```
/// use corio::net::{UnixIncoming, UnixListener, UnixStream};
/// use corio::{run, scope};
/// use std::io::ErrorKind;
/// # #[cfg(target_os = "linux")]
/// use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
///
/// # #[cfg(target_os = "linux")]
/// # fn example() -> std::io::Result<()> {
/// let path = std::env::temp_dir().join(format!("corio-listen-{}", std::process::id()));
/// run(|| {
///     let listener = UnixListener::bind(&path)?;
///     assert_eq!(listener.local_addr()?.as_pathname(), Some(path.as_path()));
///     assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse); // somebody listens
///     scope(|s| {
///         let clients: UnixIncoming<'_> = listener.incoming();
///         let count = s.spawn(move || Ok(clients.take_while(Result::is_ok).count()));
///         UnixStream::connect(&path)?;
///         corio::testing::wait_all_tasks_blocked()?;
///         listener.close(); // the iterator ends with an error that says so
///         assert_eq!(count.join()?, 1); // the client: that a `bind` looked whether somebody listens is not seen
///         Ok(())
///     })?;
///     listener.keep_file(true);
///     drop(listener);
///     assert!(path.exists());
///     let successor = UnixListener::bind(&path)?; // nobody listens there any more: it is replaced
///     successor.set_nonblocking(true)?;
///     assert_eq!(successor.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
///     assert!(successor.take_error()?.is_none());
///
///     let name = SocketAddr::from_abstract_name(format!("corio-{}", std::process::id()))?; // no file at all
///     let hidden = UnixListener::bind_addr(&name)?;
///     UnixStream::connect_addr(&name)?;
///     assert!(hidden.accept()?.1.is_unnamed());
///     drop(hidden);
///     let of_std = std::os::unix::net::UnixListener::bind_addr(&name)?;
///     let second = UnixListener::from_std(of_std)?.try_clone()?;
///     UnixStream::connect_addr(&name)?;
///     let of_std = second.into_std()?;
///     corio::to_thread(move || of_std.accept().map(drop))? // it is in blocking mode again
/// })
/// # }
/// # #[cfg(target_os = "linux")]
/// # example().unwrap();
/// ```
pub struct UnixListener {
    // Before the socket, so that it is deregistered before it is closed.
    gate: Gate,
    door: Door,
    file: Option<SocketFile>,
}

enum Door {
    Kernel(mio::net::UnixListener),
    Simulated(Endpoint),
}
use Door::{Kernel, Simulated};

/// The file of a listener's socket.
struct SocketFile {
    path: PathBuf,
    /// Device and inode: what has the path later may be another.
    identity: (u64, u64),
    keep: AtomicBool,
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<SocketFile> {
        // Absolute: the process may change its directory.
        let path = std::path::absolute(path)?;
        let metadata = std::fs::symlink_metadata(&path)?;
        Ok(SocketFile { path, identity: (metadata.dev(), metadata.ino()), keep: AtomicBool::new(false) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if is_ours && !self.keep.load(Ordering::Relaxed) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl UnixListener {
    /// Listens at a path, where it makes a socket file.
    ///
    /// A socket file that is there already and that no socket is bound to, because a server died, is replaced. Whoever does
    /// listen there does not notice that he was looked for.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse), with the path, if somebody listens there, or if what is there is no socket.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        let path = path.as_ref();
        let address = SockAddr::unix(path)?;
        let in_use = |error: io::Error| {
            let text = format!("{} is in use: {error}", path.display());
            if error.kind() == io::ErrorKind::AddrInUse {
                io::Error::new(io::ErrorKind::AddrInUse, text)
            } else {
                error
            }
        };
        if let Some(network) = network_here() {
            return UnixListener::simulated(network, address).map_err(in_use);
        }
        let socket = match listening_socket(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if !is_abandoned(path, &address)? {
                    return Err(in_use(error));
                }
                std::fs::remove_file(path)?;
                listening_socket(&address)?
            }
            result => result?,
        };
        let mut listener = UnixListener::from_std(socket.into())?;
        listener.file = Some(SocketFile::new(path)?);
        Ok(listener)
    }

    /// Listens at an address, which may be an abstract one. No file is replaced or removed.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        let address = sock_addr(address)?;
        match network_here() {
            Some(network) => UnixListener::simulated(network, address),
            None => UnixListener::from_std(listening_socket(&address)?.into()),
        }
    }

    fn simulated(network: Network, address: SockAddr) -> io::Result<UnixListener> {
        let endpoint = Endpoint::bind(network, address, BACKLOG as usize, Claim::default())?;
        Ok(UnixListener::over(endpoint.id, Simulated(endpoint)))
    }

    /// Takes a listener of std's over; it is put into non-blocking mode. Its file is not removed.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn from_std(socket: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
        set_nonblocking(socket.as_fd())?;
        let socket = mio::net::UnixListener::from_std(socket);
        Ok(UnixListener::over(socket.as_raw_fd(), Kernel(socket)))
    }

    /// Turns it into a listener of std's, in blocking mode. Its file is not removed.
    ///
    /// # Errors
    ///
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) while there is a second handle: the mode is the socket's, so that one would
    /// block its loop. Then only this handle is gone. On a simulated network [`Unsupported`](io::ErrorKind::Unsupported); what the system says.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixListener> {
        self.keep_file(true);
        let UnixListener { gate, door, .. } = self;
        gate.give_up()?;
        match door {
            Kernel(socket) => {
                let socket = std::os::unix::net::UnixListener::from(socket);
                socket.set_nonblocking(false)?;
                Ok(socket)
            }
            Simulated(_) => Err(unsupported("a listener of a simulated network is none of std's")),
        }
    }

    /// A second handle of the same socket; each connection is accepted by one of them. The file is removed with the first.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn try_clone(&self) -> io::Result<UnixListener> {
        let mut second = match &self.door {
            Kernel(_) => UnixListener::from_std(self.as_fd().try_clone_to_owned()?.into())?,
            Simulated(endpoint) => {
                let second = endpoint.second();
                UnixListener::over(second.id, Simulated(second))
            }
        };
        second.gate = second.gate.beside(&self.gate);
        Ok(second)
    }

    fn over(number: RawFd, door: Door) -> UnixListener {
        // SAFETY: the socket stands behind the source in this struct, and is in non-blocking mode; what is simulated goes
        // by a number that no descriptor has.
        UnixListener { gate: unsafe { Gate::new(number) }, door, file: None }
    }

    /// Whether the file stays when the listener is dropped.
    pub fn keep_file(&self, keep: bool) {
        if let Some(file) = &self.file {
            file.keep.store(keep, Ordering::Relaxed);
        }
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Waits for the next connection; for what it does about faults see [`TcpListener`](super::TcpListener::accept).
    ///
    /// # Errors
    ///
    /// A cancellation; [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the listener was closed; what the system says about it.
    ///
    /// # Suspends
    ///
    /// Until a client has connected.
    #[track_caller]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        self.accept_at(|| Ok(()), caller()).map(|((), stream, from)| (stream, from))
    }

    /// The same; each attempt is made with a place for the connection only.
    pub(super) fn accept_at<P>(
        &self,
        mut place: impl FnMut() -> io::Result<P>,
        at: Place,
    ) -> io::Result<(P, UnixStream, SocketAddr)> {
        self.gate.accept(at, || {
            let place = place()?;
            self.try_accept().map(|(stream, from)| (place, stream, from))
        })
    }

    /// One attempt, which does not wait.
    pub(crate) fn try_accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        self.gate.check()?;
        let (connection, from) = match &self.door {
            Kernel(socket) => {
                let (socket, from) = socket.accept()?;
                (Connection::new(std::os::unix::net::UnixStream::from(socket).into()), from)
            }
            Simulated(endpoint) => {
                let (end, from) = endpoint.accept()?;
                (Connection::simulated(end), unix_addr(&from)?)
            }
        };
        Ok((UnixStream { connection }, from))
    }

    /// Connections as they come: an endless iterator, which ends after the error of a cancellation, or of
    /// [`close`](Self::close).
    pub fn incoming(&self) -> UnixIncoming<'_> {
        UnixIncoming { listener: self, ended: false }
    }

    /// Ends it for good; see [`TcpListener::close`](super::TcpListener::close).
    pub fn close(&self) {
        self.gate.close();
        match &self.door {
            Kernel(socket) => drop(SockRef::from(socket).shutdown(Shutdown::Both)),
            Simulated(endpoint) => endpoint.stop_listening(),
        }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.door {
            Kernel(socket) => socket.local_addr(),
            Simulated(endpoint) => unix_addr(&endpoint.local_addr()?),
        }
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

fn listening_socket(address: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(address)?;
    socket.listen(BACKLOG as i32)?;
    Ok(socket)
}

/// Whether a path is that of a socket that is no more.
///
/// A stream would have to be accepted by whoever listens there, so a datagram socket asks: to it he is of the wrong type, and an
/// empty place refuses everybody.
fn is_abandoned(path: &Path, address: &SockAddr) -> io::Result<bool> {
    if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    let probe = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    Ok(probe.connect(address).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.door {
            Kernel(socket) => socket.as_fd(),
            Simulated(_) => panic!("a listener of a simulated network has no descriptor"),
        }
    }
}

impl AsRawFd for UnixListener {
    /// On a simulated network, a number that no descriptor has.
    fn as_raw_fd(&self) -> RawFd {
        self.gate.source.as_raw_fd()
    }
}

impl std::fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("UnixListener");
        if let Ok(address) = self.local_addr() {
            text.field("addr", &address);
        }
        text.field("fd", &self.as_raw_fd()).finish()
    }
}

/// Connections as they come; from [`UnixListener::incoming`].
#[derive(Debug)]
pub struct UnixIncoming<'a> {
    listener: &'a UnixListener,
    ended: bool,
}

impl Iterator for UnixIncoming<'_> {
    type Item = io::Result<UnixStream>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        if self.ended {
            return None;
        }
        let result = self.listener.accept().map(|(stream, _)| stream);
        self.ended = self.listener.gate.is_last(&result);
        Some(result)
    }
}

/// An address for the kernel, from one of std's.
pub(crate) fn sock_addr(address: &SocketAddr) -> io::Result<SockAddr> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    use std::os::linux::net::SocketAddrExt;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = address.as_abstract_name() {
        use std::os::unix::ffi::OsStrExt;
        return SockAddr::unix(std::ffi::OsStr::from_bytes(&[b"\0", name].concat()));
    }
    match address.as_pathname() {
        Some(path) => SockAddr::unix(path),
        None => Err(crate::error::misuse("an address without a name: nobody can be reached there")),
    }
}

/// The address of a socket of this family. One without a name has an address too, which says so.
pub(crate) fn unix_addr(address: &SockAddr) -> io::Result<SocketAddr> {
    if let Some(address) = address.as_unix() {
        return Ok(address);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = address.as_abstract_namespace() {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    // For the sender of a datagram the kernel leaves even the family out.
    if address.is_unix() || address.len() == 0 {
        return SocketAddr::from_pathname("");
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket is of another family"))
}

releasable!(UnixStream: connection.source);
releasable!(UnixListener: gate.source);
