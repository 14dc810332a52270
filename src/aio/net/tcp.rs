//! TCP.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use super::stream::{connected, has_clones, peek, read, read_exact, stream, write, write_all};
use super::{accept, resolve};
use crate::aio::attempt::checkpoint;
use crate::net;
use crate::net::ToSocketAddrs;
use crate::net::attempts::all_failed;
use crate::observe::event::Place;
use crate::task::caller;

/// A TCP connection whose calls are awaited. The counterpart of [`net::TcpStream`].
///
/// ```
/// use corio::aio::{self, net::{TcpListener, TcpStream}};
/// use std::net::Shutdown;
///
/// aio::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let address = listener.get_ref().local_addr()?;
///     let server = aio::spawn_local(async move {
///         let (stream, _) = listener.accept().await?;
///         let mut buffer = [0; 16];
///         let n = stream.read(&mut buffer).await?;
///         stream.write_all(&buffer[..n]).await
///     });
///     let client = TcpStream::connect(address).await?;
///     client.get_ref().set_nodelay(true)?;
///     client.write_all(b"hello").await?;
///     client.shutdown(Shutdown::Write)?;
///     let mut answer = [0; 5];
///     client.read_exact(&mut answer).await?;
///     assert_eq!(&answer, b"hello");
///     server.await
/// })
/// # .unwrap()
/// ```
///
/// Calls take `&self`, so that one task can read while another writes, each with a clone. To a coroutine the stream goes in the
/// direct style:
///
/// ```
/// use corio::aio::{self, net::{TcpListener, TcpStream}};
/// use corio::spawn;
/// use std::io::Read;
///
/// aio::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.get_ref().local_addr()?).await?;
///     let (server, _) = listener.accept().await?;
///     assert!(client.write(b"hello").await? > 0);
///     assert!(server.peek(&mut [0; 5]).await? > 0); // it is still to be read
///     drop(client);
///     let mut direct = server.into_direct()?;
///     let coroutine = spawn(move || {
///         let mut text = String::new();
///         direct.read_to_string(&mut text)?;
///         Ok(text)
///     });
///     assert!("hello".starts_with(&coroutine.await?));
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct TcpStream {
    pub(super) stream: Arc<net::TcpStream>,
    pub(super) waits: super::polled::Waits<net::TcpStream>,
}

stream!(TcpStream, net::TcpStream);

impl TcpStream {
    /// Connects to the first address that answers; see [`net::TcpStream::connect`]. asyncio: `open_connection`.
    ///
    /// # Errors
    ///
    /// If no address answers, one of the last one's kind that tells of all; a cancellation.
    #[track_caller]
    pub fn connect(address: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpStream>> {
        let (at, question) = (caller(), address.question());
        async move {
            let mut failures = Vec::new();
            for address in resolve(question, at).await? {
                match TcpStream::connect_one(address, at).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) if crate::is_cancelled(&error) => return Err(error),
                    Err(error) => failures.push((address, error)),
                }
            }
            Err(all_failed(failures))
        }
    }

    async fn connect_one(address: SocketAddr, at: Place) -> io::Result<TcpStream> {
        checkpoint(at).await?;
        let stream = net::TcpStream::connecting(address)?;
        connected(stream.connection(), at).await?;
        Ok(TcpStream::from(stream))
    }
}

/// A socket that accepts TCP connections, and is awaited. The counterpart of [`net::TcpListener`].
///
/// ```
/// use corio::aio::{self, net::{TcpListener, TcpStream}};
/// use corio::net;
///
/// aio::block_on(async {
///     let direct = net::ListenOptions::new().backlog(16).bind("127.0.0.1:0")?;
///     let listener = TcpListener::from(direct);
///     let address = listener.get_ref().local_addr()?;
///     let client = aio::spawn_local(TcpStream::connect(address));
///     let (_stream, from) = listener.accept().await?;
///     assert_eq!(from, client.await?.get_ref().local_addr()?);
///     let direct: net::TcpListener = listener.into_direct(); // for coroutines
///     assert_eq!(direct.local_addr()?, address);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[derive(Debug)]
pub struct TcpListener {
    listener: net::TcpListener,
}

impl TcpListener {
    /// Listens on the first address that can be bound. For other settings make a listener by
    /// [`ListenOptions`](net::ListenOptions), and this one from it.
    ///
    /// # Errors
    ///
    /// If none can be had, one of the last one's kind that tells of all.
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpListener>> {
        let (at, question) = (caller(), address.question());
        async move { Ok(TcpListener::from(net::TcpListener::bind(&resolve(question, at).await?[..])?)) }
    }

    /// Waits for the next connection; see [`net::TcpListener::accept`] for what it does about faults.
    ///
    /// # Errors
    ///
    /// Cancellation; [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the listener was closed; what the system says about it.
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> {
        let (at, listener) = (caller(), &self.listener);
        async move {
            let (stream, from) = accept(listener.gate(), at, || listener.try_accept()).await?;
            Ok((TcpStream::from(stream), from))
        }
    }

    /// The listener of the direct style: for addresses, options, and [`close`](net::TcpListener::close).
    pub fn get_ref(&self) -> &net::TcpListener {
        &self.listener
    }

    /// The listener of the direct style, for coroutines.
    pub fn into_direct(self) -> net::TcpListener {
        self.listener
    }
}

/// Takes it over from the direct style.
impl From<net::TcpListener> for TcpListener {
    fn from(listener: net::TcpListener) -> TcpListener {
        listener.gate().source.set_impatient(false);
        TcpListener { listener }
    }
}
