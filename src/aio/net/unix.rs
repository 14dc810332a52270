//! Sockets of the machine itself, which go by paths.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use socket2::SockAddr;

use super::accept;
use super::stream::{connected, has_clones, peek, read, read_exact, stream, write, write_all};
use super::udp::datagram_socket;
use crate::aio::attempt::{checkpoint, retry};
use crate::net;
use crate::net::attempts::{FULL_QUEUE, unix_addr};
use crate::observe::event::{Direction, Place};
use crate::task::caller;

/// A connection within the machine whose calls are awaited. The counterpart of [`net::UnixStream`].
///
/// ```
/// use corio::aio::{self, net::UnixStream};
///
/// aio::block_on(async {
///     let (here, there) = UnixStream::pair()?;
///     here.write_all(b"hello").await?;
///     let mut buffer = [0; 5];
///     there.read_exact(&mut buffer).await?;
///     assert_eq!(&buffer, b"hello");
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct UnixStream {
    pub(super) stream: Arc<net::UnixStream>,
    pub(super) waits: super::polled::Waits<net::UnixStream>,
}

stream!(UnixStream, net::UnixStream);

impl UnixStream {
    /// Connects to whoever listens at that path.
    ///
    /// # Errors
    ///
    /// Cancellation; what the system says.
    #[track_caller]
    pub fn connect(path: impl AsRef<Path>) -> impl Future<Output = io::Result<UnixStream>> {
        let (at, address) = (caller(), SockAddr::unix(path));
        async move { UnixStream::connect_to(&address?, at).await }
    }

    async fn connect_to(address: &SockAddr, at: Place) -> io::Result<UnixStream> {
        let (mut pause, longest) = FULL_QUEUE;
        loop {
            checkpoint(at).await?;
            match net::UnixStream::connecting(address) {
                Ok(stream) => {
                    connected(stream.connection(), at).await?;
                    return Ok(UnixStream::from(stream));
                }
                // The kernel tells nobody when the queue is no longer full.
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => crate::aio::sleep(pause).await?,
                Err(error) => return Err(error),
            }
            pause = (pause * 2).min(longest);
        }
    }

    /// Two ends of a connection.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = net::UnixStream::pair()?;
        Ok((UnixStream::from(one), UnixStream::from(other)))
    }
}

/// A socket that accepts connections at a path, and is awaited. The counterpart of [`net::UnixListener`].
///
/// ```
/// use corio::aio::{self, net::{UnixListener, UnixStream}};
///
/// let path = std::env::temp_dir().join(format!("corio-doc-{}", std::process::id()));
/// aio::block_on(async {
///     let listener = UnixListener::bind(&path)?;
///     let client = UnixStream::connect(&path).await?;
///     let (server, _) = listener.accept().await?;
///     server.write_all(b"hello").await?;
///     let mut buffer = [0; 5];
///     client.read_exact(&mut buffer).await?;
///     assert_eq!(listener.get_ref().local_addr()?.as_pathname(), Some(&*path));
///     listener.into_direct().close(); // as a coroutine would
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[derive(Debug)]
pub struct UnixListener {
    listener: net::UnixListener,
}

impl UnixListener {
    /// Listens at a path; see [`net::UnixListener::bind`] for what becomes of the file.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        net::UnixListener::bind(path).map(UnixListener::from)
    }

    /// Waits for the next connection; see [`net::TcpListener::accept`] for what it does about faults.
    ///
    /// # Errors
    ///
    /// Cancellation; [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the listener was closed; what the system says about it.
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = io::Result<(UnixStream, SocketAddr)>> {
        let (at, listener) = (caller(), &self.listener);
        async move {
            let (stream, from) = accept(listener.gate(), at, || listener.try_accept()).await?;
            Ok((UnixStream::from(stream), from))
        }
    }

    /// The listener of the direct style: for addresses, options, and [`close`](net::UnixListener::close).
    pub fn get_ref(&self) -> &net::UnixListener {
        &self.listener
    }

    /// The listener of the direct style, for coroutines.
    pub fn into_direct(self) -> net::UnixListener {
        self.listener
    }
}

/// Takes it over from the direct style.
impl From<net::UnixListener> for UnixListener {
    fn from(listener: net::UnixListener) -> UnixListener {
        listener.gate().source.set_impatient(false);
        UnixListener { listener }
    }
}

/// A socket of datagrams within the machine, whose calls are awaited. The counterpart of [`net::UnixDatagram`].
///
/// ```
/// use corio::aio::{self, net::UnixDatagram};
///
/// let path = std::env::temp_dir().join(format!("corio-doc-datagram-{}", std::process::id()));
/// aio::block_on(async {
///     let (server, client) = (UnixDatagram::bind(&path)?, UnixDatagram::unbound()?);
///     client.send_to(b"hello", &path).await?;
///     assert_eq!(server.recv_from(&mut [0; 16]).await?.0, 5);
///     std::fs::remove_file(&path)?;
///
///     let (here, there) = UnixDatagram::pair()?;
///     here.send(b"hello").await?;
///     assert_eq!(there.recv(&mut [0; 16]).await?, 5);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[derive(Debug)]
pub struct UnixDatagram {
    socket: net::UnixDatagram,
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

    /// Sends a datagram to whoever is found at that path.
    ///
    /// # Errors
    ///
    /// Cancellation; what the system says.
    #[track_caller]
    pub fn send_to(&self, datagram: &[u8], path: impl AsRef<Path>) -> impl Future<Output = io::Result<usize>> {
        let (at, address) = (caller(), SockAddr::unix(path));
        async move { self.send_there(datagram, &address?, at).await }
    }

    async fn send_there(&self, datagram: &[u8], to: &SockAddr, at: Place) -> io::Result<usize> {
        let (mut pause, longest) = FULL_QUEUE;
        let datagrams = self.socket.datagrams();
        loop {
            if !datagrams.has_to_ask_again() {
                let attempt = || datagrams.try_send_to(datagram, to);
                return retry(&datagrams.source, Direction::Write, at, attempt, |_| false).await;
            }
            checkpoint(at).await?;
            match datagrams.try_send_to(datagram, to) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => crate::aio::sleep(pause).await?,
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
            let attempt = || datagrams.try_recv_from(buffer, 0);
            let (n, from) = retry(&datagrams.source, Direction::Read, at, attempt, |_| false).await?;
            Ok((n, unix_addr(&from)?))
        }
    }
}
