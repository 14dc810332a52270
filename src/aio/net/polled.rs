//! Streams for whoever polls functions and does not await futures: the traits of other crates.

#[cfg(feature = "futures-io")]
use std::io::IoSliceMut;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::tcp::TcpStream;
use super::unix::UnixStream;
use crate::aio::attempt::{Arrival, HasSource, try_once};
use crate::aio::pause::{Checkpoint, Pause, on_task};
use crate::net;
use crate::net::attempts::{Connection, drained, filled};
use crate::observe::event::{Direction, Place};
use crate::reactor::source::Source;
use crate::select::Only;
use crate::task::caller;

/// A stream of the direct style.
pub(super) trait Direct {
    fn connection(&self) -> &Connection;
}

impl<D: Direct> HasSource for Arc<D> {
    fn source(&self) -> &Source {
        &self.connection().source
    }
}

/// The waits of a handle, one for each direction.
pub(super) struct Waits<D: Direct> {
    reading: Polled<D>,
    writing: Polled<D>,
}

impl<D: Direct> Default for Waits<D> {
    fn default() -> Waits<D> {
        Waits { reading: Polled::new(Direction::Read), writing: Polled::new(Direction::Write) }
    }
}

type ArrivalOf<D> = Pause<Only<Arrival<Arc<D>>>>;

/// The same for functions that are polled, and so cannot keep their wait in a future of their own. It is for one task at a time:
/// the last one that asked is told.
struct Polled<D: Direct> {
    direction: Direction,
    checkpoint: Checkpoint,
    /// Made for the first wait, and used again for the next.
    wait: Option<Pin<Box<Option<ArrivalOf<D>>>>>,
}

impl<D: Direct> Polled<D> {
    fn new(direction: Direction) -> Polled<D> {
        Polled { direction, checkpoint: Checkpoint::default(), wait: None }
    }

    fn retry<T>(
        &mut self,
        of: &Arc<D>,
        at: Place,
        context: &mut Context<'_>,
        attempt: impl FnMut() -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> Poll<io::Result<T>> {
        let result = self.advance(of, at, context, attempt, drained);
        if result.is_ready() {
            self.checkpoint = Checkpoint::default();
            self.leave();
        }
        result
    }

    fn advance<T>(
        &mut self,
        of: &Arc<D>,
        at: Place,
        context: &mut Context<'_>,
        mut attempt: impl FnMut() -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> Poll<io::Result<T>> {
        ready!(self.pass(at, context))?;
        loop {
            if let Some(wait) = self.wait.as_mut().and_then(|wait| wait.as_mut().as_pin_mut()) {
                ready!(wait.poll(context))?;
                self.leave();
            }
            if let Poll::Ready(result) = try_once(of.source(), self.direction, &mut attempt, &drained) {
                return Poll::Ready(result);
            }
            let pause = Pause::new(Only(Arrival::new(of.clone(), self.direction)), at).without_checkpoint();
            self.wait.get_or_insert_with(|| Box::pin(None)).set(Some(pause));
        }
    }

    fn pass(&mut self, at: Place, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_task(|lp, task| {
            lp.count_poll();
            self.checkpoint.poll(lp, task, at, context)
        })
    }

    /// What a read into a buffer without room brings: nobody waits for that.
    fn nothing(&mut self, at: Place, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(self.pass(at, context));
        self.checkpoint = Checkpoint::default();
        Poll::Ready(result)
    }

    fn leave(&mut self) {
        if let Some(wait) = &mut self.wait {
            wait.set(None);
        }
    }
}

macro_rules! polled {
    ($stream:ident) => {
        impl Direct for net::$stream {
            fn connection(&self) -> &Connection {
                self.connection()
            }
        }

        impl $stream {
            fn poll_write_at(&mut self, context: &mut Context<'_>, bytes: &[u8], at: Place) -> Poll<io::Result<usize>> {
                let connection = self.stream.connection();
                self.waits.writing.retry(&self.stream, at, context, || connection.try_write(bytes), filled(bytes.len()))
            }

            fn poll_write_vectored_at(
                &mut self,
                context: &mut Context<'_>,
                slices: &[IoSlice<'_>],
                at: Place,
            ) -> Poll<io::Result<usize>> {
                let connection = self.stream.connection();
                let length = connection.length(slices);
                let attempt = || connection.try_write_vectored(slices);
                self.waits.writing.retry(&self.stream, at, context, attempt, filled(length))
            }

            /// Whoever has closed it already is not told again.
            fn end_writing(&self) -> Poll<io::Result<()>> {
                Poll::Ready(match self.stream.shutdown(Shutdown::Write) {
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                    result => result,
                })
            }
        }

        #[cfg(feature = "futures-io")]
        impl futures_io::AsyncRead for $stream {
            #[track_caller]
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let (this, at, room) = (self.get_mut(), caller(), buffer.len());
                if room == 0 {
                    return this.waits.reading.nothing(at, context).map_ok(|()| 0);
                }
                let connection = this.stream.connection();
                this.waits.reading.retry(&this.stream, at, context, || connection.try_read(buffer), drained(room))
            }

            #[track_caller]
            fn poll_read_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffers: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let (this, at) = (self.get_mut(), caller());
                if buffers.iter().all(|buffer| buffer.is_empty()) {
                    return this.waits.reading.nothing(at, context).map_ok(|()| 0);
                }
                let connection = this.stream.connection();
                let room = connection.room(buffers);
                let attempt = || connection.try_read_vectored(buffers);
                this.waits.reading.retry(&this.stream, at, context, attempt, drained(room))
            }
        }

        #[cfg(feature = "futures-io")]
        impl futures_io::AsyncWrite for $stream {
            #[track_caller]
            fn poll_write(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_at(context, bytes, caller())
            }

            #[track_caller]
            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_vectored_at(context, slices, caller())
            }

            /// Nothing: the kernel sends what it was given by itself.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            /// Ends the writing direction.
            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.end_writing()
            }
        }

        #[cfg(feature = "hyper")]
        impl hyper::rt::Read for $stream {
            #[track_caller]
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                mut buffer: hyper::rt::ReadBufCursor<'_>,
            ) -> Poll<io::Result<()>> {
                let (this, at) = (self.get_mut(), caller());
                let connection = this.stream.connection();
                // SAFETY: an attempt takes nothing away that was initialised.
                let room = unsafe { buffer.as_mut() };
                if room.is_empty() {
                    return this.waits.reading.nothing(at, context);
                }
                let drained = drained(room.len());
                let attempt = || connection.try_read_uninit(room);
                let n = ready!(this.waits.reading.retry(&this.stream, at, context, attempt, drained))?;
                // SAFETY: so many bytes were written.
                unsafe { buffer.advance(n) };
                Poll::Ready(Ok(()))
            }
        }

        #[cfg(feature = "hyper")]
        impl hyper::rt::Write for $stream {
            #[track_caller]
            fn poll_write(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_at(context, bytes, caller())
            }

            #[track_caller]
            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_vectored_at(context, slices, caller())
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            /// Nothing: the kernel sends what it was given by itself.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            /// Ends the writing direction.
            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.end_writing()
            }
        }
    };
}

polled!(TcpStream);
polled!(UnixStream);
