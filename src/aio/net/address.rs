//! Looking addresses up without stopping the loop.

use std::io;
use std::net::SocketAddr;

use crate::aio::attempt::checkpoint;
use crate::aio::pause::{Checkpoint, Pass};
use crate::aio::remote::Remote;
use crate::event_loop::EventLoop;
use crate::net::ToSocketAddrs;
use crate::net::attempts::Question;
use crate::observe::event::Place;
use crate::task::caller;

/// The addresses behind a name. What connects and binds asks by itself; this is for whatever takes addresses and does not wait.
/// The counterpart of [`to_socket_addrs`](ToSocketAddrs::to_socket_addrs). asyncio: `loop.getaddrinfo`.
///
/// # Errors
///
/// What the system says of the name; [`InvalidInput`](io::ErrorKind::InvalidInput) for a text that is no address; cancellation.
///
/// # Cancellation
///
/// A future that is dropped takes its question back; a helper thread that is asking already finishes by itself.
///
/// ```
/// use corio::aio::{self, net::{TcpListener, to_socket_addrs}};
/// use corio::net::ListenOptions;
///
/// aio::block_on(async {
///     let addresses: Vec<_> = to_socket_addrs("localhost:0").await?.collect();
///     let all = ListenOptions::new().bind_all(&addresses[..])?.into_iter().map(TcpListener::from);
///     assert_eq!(all.count(), addresses.len());
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[doc(alias = "getaddrinfo")]
#[doc(alias = "lookup_host")]
#[track_caller]
pub fn to_socket_addrs(
    address: impl ToSocketAddrs,
) -> impl Future<Output = io::Result<std::vec::IntoIter<SocketAddr>>> {
    let (at, question) = (caller(), address.question());
    async move {
        checkpoint(at).await?;
        Ok(resolve(question, at).await?.into_iter())
    }
}

/// The addresses behind a name, which a helper thread asks for.
pub(super) async fn resolve(question: io::Result<Question>, at: Place) -> io::Result<Vec<SocketAddr>> {
    match question? {
        Question::Answered(addresses) => Ok(addresses),
        Question::Name(ask) => {
            checkpoint(at).await?;
            let asked = EventLoop::with_current(|lp| lp.map(|lp| crate::executor::begin_look_up(lp, at, ask)));
            // Whoever goes away takes back what nobody has begun to ask.
            let asked = Remote::new(asked.expect("whoever was at a checkpoint is on a loop"), at).cancel_on_drop();
            // Others run meanwhile, also when the thread is quick: whether it is must not change their order.
            Pass::new(Checkpoint::of_a_rest(), at).await?;
            asked.await?
        }
    }
}
