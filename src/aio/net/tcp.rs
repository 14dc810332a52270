//! TCP.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use super::address::resolve;
use super::connection::{peek, read, read_exact, read_vectored, stream, write, write_all, write_vectored};
use super::gate::{accept, listener};
use super::handle::handle;
use super::options::connect;
use crate::net;
use crate::net::{ConnectOptions, ToSocketAddrs};
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
/// use std::io::{IoSlice, IoSliceMut, Read};
///
/// aio::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.get_ref().local_addr()?).await?;
///     let (server, _) = listener.accept().await?;
///     assert!(client.write(b"h").await? > 0);
///     assert!(server.peek(&mut [0; 5]).await? > 0); // it is still to be read
///     let (mut one, mut four) = ([0], [0; 4]);
///     let n = server.read_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut four)]).await?;
///     assert_eq!((n, &one), (1, b"h"));
///     client.write_vectored(&[IoSlice::new(b"el"), IoSlice::new(b"lo")]).await?; // or some of it
///     drop(client);
///     let mut direct = server.into_direct()?;
///     let coroutine = spawn(move || {
///         let mut text = String::new();
///         direct.read_to_string(&mut text)?;
///         Ok(text)
///     });
///     assert!("ello".starts_with(&coroutine.await?));
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
    ///
    /// # Suspends
    ///
    /// Until an address has answered, or none will; before, while a name is looked up.
    ///
    /// # Cancellation
    ///
    /// If it is dropped, the connection that was under way is closed. A look-up that has begun is left behind.
    #[track_caller]
    pub fn connect(address: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpStream>> {
        let (at, question) = (caller(), address.question());
        async move { connect(&ConnectOptions::new(), question, at).await }
    }

    /// Connects as the options say: from an address, within a limit, or to several addresses at once, which are all the task's and
    /// need no others. The counterpart of [`ConnectOptions::connect`].
    ///
    /// # Errors
    ///
    /// If no address answers, one of the last one's kind that tells of all; [`TimedOut`](io::ErrorKind::TimedOut); a
    /// cancellation. Nothing is left open.
    ///
    /// # Suspends
    ///
    /// While a name is looked up, and until one of the addresses answers.
    ///
    /// # Cancellation
    ///
    /// As [`connect`](Self::connect).
    ///
    /// ```
    /// use corio::aio::{self, net::{TcpListener, TcpStream}};
    /// use corio::{net::ConnectOptions, secs};
    ///
    /// aio::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let address = listener.get_ref().local_addr()?;
    ///     let options = ConnectOptions::new().limit(secs(5)).happy_eyeballs(true);
    ///     let stream = TcpStream::connect_with(&options, &["[::1]:1".parse().unwrap(), address][..]).await?;
    ///     assert_eq!(stream.get_ref().peer_addr()?, address);
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    #[track_caller]
    pub fn connect_with(
        options: &ConnectOptions,
        address: impl ToSocketAddrs,
    ) -> impl Future<Output = io::Result<TcpStream>> {
        connect(options, address.question(), caller())
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
///     let direct: net::TcpListener = listener.into_direct()?; // for coroutines
///     assert_eq!(direct.local_addr()?, address);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct TcpListener {
    listener: Arc<net::TcpListener>,
}

listener!(TcpListener, net::TcpListener, TcpStream, SocketAddr);

impl TcpListener {
    /// Listens on the first address that can be bound. For other settings make a listener by
    /// [`ListenOptions`](net::ListenOptions), and this one from it.
    ///
    /// # Errors
    ///
    /// If none can be had, one of the last one's kind that tells of all; what the system says of a name; a cancellation.
    ///
    /// # Suspends
    ///
    /// While a name is looked up, if the address is one.
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpListener>> {
        let (at, question) = (caller(), address.question());
        async move { Ok(TcpListener::from(net::TcpListener::bind(&resolve(question, at).await?[..])?)) }
    }
}
