//! Where connections come in: what all listeners have in common.

use std::io;

use crate::aio::attempt::retry;
use crate::aio::sleep;
use crate::net::attempts::{Gate, Verdict};
use crate::observe::event::{Direction, Place};

/// Waits for what `attempt` accepts; see `Gate::accept`.
pub(super) async fn accept<T>(gate: &Gate, at: Place, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        let accepted = retry(&gate.source, Direction::Read, at, &mut attempt, |_| false).await;
        match gate.judge(accepted)? {
            Verdict::Accepted(connection) => return Ok(connection),
            Verdict::Again => {}
            Verdict::Later(pause) => sleep(pause).await?,
        }
    }
}

/// What every listener that is awaited has, over one of the direct style.
macro_rules! listener {
    ($listener:ident, $direct:path, $stream:ident, $address:path) => {
        impl $listener {
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

            /// The listener of the direct style: for addresses, options, and to close it.
            pub fn get_ref(&self) -> &$direct {
                &self.listener
            }

            /// The listener of the direct style, for coroutines.
            ///
            /// # Errors
            ///
            /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) while it has clones; then only this one is gone.
            pub fn into_direct(self) -> io::Result<$direct> {
                Arc::into_inner(self.listener).ok_or_else(super::connection::has_clones)
            }
        }

        /// Takes it over from the direct style.
        impl From<$direct> for $listener {
            fn from(listener: $direct) -> $listener {
                listener.gate().source.set_impatient(false);
                $listener { listener: Arc::new(listener) }
            }
        }

        /// Another handle of the same socket; each connection is accepted by one of them.
        impl Clone for $listener {
            fn clone(&self) -> $listener {
                $listener { listener: self.listener.clone() }
            }
        }

        impl std::fmt::Debug for $listener {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.listener, f)
            }
        }
    };
}

pub(super) use listener;
