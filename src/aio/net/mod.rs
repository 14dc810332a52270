//! The network for those who await: the sockets of [`corio::net`](crate::net), with the same attempts on the same reactor.
//!
//! Each type has its counterpart inside, from which it is made with `from`, and which [`get_ref`](TcpStream::get_ref) lends: for
//! addresses, options, and whatever else does not wait. `into_direct` gives it back to a coroutine. What waits has the same name
//! here as there, but for two: [`ConnectOptions::connect`](crate::net::ConnectOptions::connect) is
//! [`TcpStream::connect_with`], and for whatever takes addresses and does not wait otherwise, such as
//! [`ListenOptions::bind_all`](crate::net::ListenOptions::bind_all), [`to_socket_addrs`] looks the name up first. Time limits of
//! the socket's own do not count here: there is [`timeout`](crate::aio::timeout).
//!
//! Handles are cloned, and all calls take `&self`: clones are of one socket, for as many tasks of the loop as there are.
//!
//! A stream stays on its thread, because it keeps waits of its loop; the direct one that it is made from may go to another.
//!
//! ```compile_fail
//! fn is_send<T: Send>() {}
//! is_send::<corio::aio::net::TcpStream>(); // with whatever features
//! ```
//!
//! Calls borrow their socket, so that several may be under way at once. Of two that wait for the same direction both are woken,
//! and each tries again. tokio's types of the same names are used alike; here everything takes `&self`, and the methods of
//! `AsyncReadExt` and `AsyncWriteExt` that streams have are their own.
//!
//! # Cancellation
//!
//! To drop one of these futures is to give its call up, at a wait and nowhere else: a call that is one attempt (`read`, `write`,
//! `accept`, `send`, `recv` and their like) has then done nothing, and the socket is as it was. One that is several
//! (`read_exact`, `write_all`) may have done some of them.
//!
//! # Others' traits
//!
//! With the feature `futures-io`, streams are `AsyncRead` and `AsyncWrite` as well; with the feature `hyper`, they are what hyper
//! reads and writes. Functions that are polled keep their wait in the handle, one for each direction. So a direction of a handle
//! is for one task at a time there: the last that asked is told. A task for each direction has a clone each.
//!
//! Nobody tells the handle that such a wait was given up, since what is dropped is the adapter's future. It is kept until the
//! next call in that direction, or the end of the handle. As long as it is, [`release`](crate::net::TcpStream::release) says
//! [`ResourceBusy`](std::io::ErrorKind::ResourceBusy), and no other loop can take the socket over.

mod address;
mod connection;
mod datagram;
mod gate;
mod handle;
mod options;
#[cfg(any(feature = "futures-io", feature = "hyper"))]
mod polled;
/// Without those features nothing is polled. But a feature that somebody else asks for must not take away what a type could
/// do: a stream does not go to another thread here either.
#[cfg(not(any(feature = "futures-io", feature = "hyper")))]
mod polled {
    pub(super) type Waits<D> = std::marker::PhantomData<(std::rc::Rc<()>, D)>;
}
mod tcp;
mod udp;
mod unix;
mod unix_datagram;

pub use self::address::to_socket_addrs;
pub use self::tcp::{TcpListener, TcpStream};
pub use self::udp::UdpSocket;
pub use self::unix::{UnixListener, UnixStream};
pub use self::unix_datagram::UnixDatagram;
