//! Where connections come in: what all listeners have in common.

use std::io;

use crate::aio::attempt::retry;
use crate::aio::time::Sleep;
use crate::net::attempts::{Gate, Verdict};
use crate::observe::event::{Direction, Place};

/// Waits for what `attempt` accepts; see `Gate::accept`.
pub(super) async fn accept<T>(gate: &Gate, at: Place, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        let accepted = retry(&gate.source, Direction::Read, at, &mut attempt, |_| false).await;
        match gate.judge(accepted)? {
            Verdict::Accepted(connection) => return Ok(connection),
            Verdict::Again => {}
            Verdict::Later(pause) => Sleep::from_now(pause, at).await?,
        }
    }
}

/// What every listener that is awaited has, over one of the direct style.
macro_rules! listener {
    ($listener:ident, $direct:path, $stream:ident, $address:path) => {
        impl $listener {
            fn new(listener: Arc<$direct>) -> $listener {
                $listener { listener }
            }

            /// Waits for the next connection. A connection that fails before it could be accepted is passed over. When the process
            /// has no descriptors left, the listener says so in the log, once, and tries again ten times a second.
            ///
            /// # Errors
            ///
            /// Cancellation; [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the listener was closed; what the system says about it.
            ///
            /// # Suspends
            ///
            /// Until there is one.
            ///
            /// # Cancellation
            ///
            /// A future that is dropped has accepted nobody.
            #[track_caller]
            pub fn accept(&self) -> impl Future<Output = io::Result<($stream, $address)>> {
                let (at, listener) = (caller(), &*self.listener);
                async move {
                    let (stream, from) = accept(listener.gate(), at, || listener.try_accept()).await?;
                    Ok(($stream::from(stream), from))
                }
            }
        }

        handle!($listener, listener: $direct, listener => listener.gate().source);
    };
}

pub(super) use listener;
