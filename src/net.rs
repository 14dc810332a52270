//! The network, in the shapes of [`std::net`].
//!
//! A call that would block suspends its task, and the loop runs others. On a thread without a loop the same call blocks
//! the thread, so a function that is written against these types, or against `Read + Write`, works in both places. The
//! types are `Send` and `Sync`: a stream may move to another thread and be used by the loop there.
//!
//! An operation that was cancelled has had no effect, and one that has had an effect reports it: a read that took bytes
//! returns them. Helpers of several steps, such as `write_all`, may have done some of the steps when they fail.
//!
//! Names are looked up on a helper thread, never on the loop.

mod address;
mod connection;
mod datagram;
mod endpoint;
mod gate;
mod options;
mod server;
mod shared;
mod tcp;
mod udp;
mod unix;
mod unix_datagram;

/// What the futures of `corio::aio` are made of: attempts, which do not wait.
pub(crate) mod attempts {
    pub(crate) use super::address::{all_failed, inet, sealed::Question};
    pub(crate) use super::connection::{Connection, drained, filled};
    pub(crate) use super::datagram::Datagrams;
    pub(crate) use super::gate::{Gate, Verdict};
    pub(crate) use super::options::{HEAD_START, in_turns};
    pub(crate) use super::unix::{FULL_QUEUE, sock_addr, unix_addr};
}

pub use self::address::ToSocketAddrs;
pub use self::options::{ConnectOptions, ListenOptions};
pub(crate) use self::server::sealed;
pub use self::server::{Listener, Server, ServerHandle};
pub use self::tcp::{Incoming, TcpListener, TcpStream};
pub use self::udp::{Received, UdpSocket};
pub use self::unix::{UnixIncoming, UnixListener, UnixStream};
pub use self::unix_datagram::UnixDatagram;
pub use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6};
