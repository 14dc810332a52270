//! Stream sockets of the machine itself, which go by paths.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use socket2::SockAddr;

use super::connection::{connected, peek, read, read_exact, read_vectored, stream, write, write_all, write_vectored};
use super::gate::{accept, listener};
use super::handle::handle;
use crate::aio::attempt::checkpoint;
use crate::aio::time::Sleep;
use crate::net;
use crate::net::attempts::{FULL_QUEUE, sock_addr};
use crate::observe::event::Place;
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
    /// Connects to whoever listens at that path. While his queue is full, it waits and tries again.
    /// asyncio: `open_unix_connection`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if nothing is there,
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nobody listens; cancellation.
    ///
    /// # Suspends
    ///
    /// While the listener's queue is full.
    ///
    /// # Cancellation
    ///
    /// If it is dropped, there is no connection.
    #[track_caller]
    pub fn connect(path: impl AsRef<Path>) -> impl Future<Output = io::Result<UnixStream>> {
        let (at, address) = (caller(), SockAddr::unix(path));
        async move { UnixStream::connect_to(&address?, at).await }
    }

    /// Connects to an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    #[track_caller]
    pub fn connect_addr(address: &SocketAddr) -> impl Future<Output = io::Result<UnixStream>> {
        let (at, address) = (caller(), sock_addr(address));
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
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Sleep::from_now(pause, at).await?,
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
///     UnixStream::connect_addr(&listener.get_ref().local_addr()?).await?; // the same by its address
///     listener.into_direct()?.close(); // as a coroutine would
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct UnixListener {
    listener: Arc<net::UnixListener>,
}

listener!(UnixListener, net::UnixListener, UnixStream, SocketAddr);

impl UnixListener {
    /// Listens at a path; see [`net::UnixListener::bind`] for what becomes of the file.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        net::UnixListener::bind(path).map(UnixListener::from)
    }
}
