//! The network for those who await: the sockets of [`corio::net`](crate::net), with the same attempts on the same reactor.
//!
//! Each type has its counterpart inside, from which it is made with `from`, and which [`get_ref`](TcpStream::get_ref) lends: for
//! addresses, options, and whatever else does not wait. `into_direct` gives it back to a coroutine. Time limits of the socket's
//! own do not count here: there is [`timeout`](crate::aio::timeout).
//!
//! A stream stays on its thread, because it keeps waits of its loop; the direct one that it is made from may go to another.
//!
//! ```compile_fail
//! fn is_send<T: Send>() {}
//! is_send::<corio::aio::net::TcpStream>(); // with whatever features
//! ```
//!
//! With the feature `futures-io`, streams are `AsyncRead` and `AsyncWrite` as well; with the feature `hyper`, they are what hyper
//! reads and writes.

#[cfg(any(feature = "futures-io", feature = "hyper"))]
mod polled;
/// Without those features nothing is polled. But a feature that somebody else asks for must not take away what a type could
/// do: a stream does not go to another thread here either.
#[cfg(not(any(feature = "futures-io", feature = "hyper")))]
mod polled {
    use std::marker::PhantomData;
    use std::rc::Rc;

    pub(super) struct Waits<D>(PhantomData<(Rc<()>, D)>);

    impl<D> Default for Waits<D> {
        fn default() -> Waits<D> {
            Waits(PhantomData)
        }
    }

    impl<D> Waits<D> {
        pub(super) fn leave(&mut self) {}
    }
}
mod stream;
mod tcp;
mod udp;
mod unix;

use std::io;
use std::net::SocketAddr;

pub use self::tcp::{TcpListener, TcpStream};
pub use self::udp::UdpSocket;
pub use self::unix::{UnixDatagram, UnixListener, UnixStream};
use super::attempt::{checkpoint, retry};
use crate::event_loop::EventLoop;
use crate::net::attempts::{Gate, Question, Verdict};
use crate::observe::event::{Direction, Place};

/// The addresses behind a name, which a helper thread asks for.
async fn resolve(question: io::Result<Question>, at: Place) -> io::Result<Vec<SocketAddr>> {
    match question? {
        Question::Answered(addresses) => Ok(addresses),
        Question::Name(ask) => {
            checkpoint(at).await?;
            let asked = EventLoop::with_current(|lp| lp.map(|lp| crate::executor::begin_look_up(lp, at, ask)));
            asked.expect("whoever was at a checkpoint is on a loop").await?
        }
    }
}

/// Waits for what `attempt` accepts; see `Gate::accept`.
async fn accept<T>(gate: &Gate, at: Place, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        let accepted = retry(&gate.source, Direction::Read, at, &mut attempt, |_| false).await;
        match gate.judge(accepted)? {
            Verdict::Accepted(connection) => return Ok(connection),
            Verdict::Again => {}
            Verdict::Later(pause) => super::sleep(pause).await?,
        }
    }
}
