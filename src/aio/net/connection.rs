//! A connected stream socket: all that TCP and Unix streams have in common.

use std::io::{self, IoSlice, IoSliceMut};

use crate::aio::attempt::{checkpoint, retry};
use crate::net::attempts::{Connection, drained, filled};
use crate::observe::event::{Direction, Place};

pub(super) async fn read(connection: &Connection, buffer: &mut [u8], at: Place) -> io::Result<usize> {
    if buffer.is_empty() {
        return nothing(at).await;
    }
    let room = buffer.len();
    retry(&connection.source, Direction::Read, at, || connection.try_read(buffer), drained(room)).await
}

pub(super) async fn peek(connection: &Connection, buffer: &mut [u8], at: Place) -> io::Result<usize> {
    if buffer.is_empty() {
        return nothing(at).await;
    }
    retry(&connection.source, Direction::Read, at, || connection.try_peek(buffer), |_| false).await
}

pub(super) async fn read_vectored(
    connection: &Connection,
    buffers: &mut [IoSliceMut<'_>],
    at: Place,
) -> io::Result<usize> {
    if buffers.iter().all(|buffer| buffer.is_empty()) {
        return nothing(at).await;
    }
    let room = connection.room(buffers);
    let attempt = || connection.try_read_vectored(buffers);
    retry(&connection.source, Direction::Read, at, attempt, drained(room)).await
}

/// What a read into a buffer without room brings: nobody waits for that.
async fn nothing(at: Place) -> io::Result<usize> {
    checkpoint(at).await?;
    Ok(0)
}

pub(super) async fn read_exact(connection: &Connection, mut buffer: &mut [u8], at: Place) -> io::Result<()> {
    while !buffer.is_empty() {
        match read(connection, buffer, at).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => buffer = &mut buffer[n..],
        }
    }
    Ok(())
}

pub(super) async fn write(connection: &Connection, bytes: &[u8], at: Place) -> io::Result<usize> {
    retry(&connection.source, Direction::Write, at, || connection.try_write(bytes), filled(bytes.len())).await
}

pub(super) async fn write_vectored(connection: &Connection, slices: &[IoSlice<'_>], at: Place) -> io::Result<usize> {
    let length = connection.length(slices);
    let attempt = || connection.try_write_vectored(slices);
    retry(&connection.source, Direction::Write, at, attempt, filled(length)).await
}

pub(super) async fn write_all(connection: &Connection, mut bytes: &[u8], at: Place) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(connection, bytes, at).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => bytes = &bytes[n..],
        }
    }
    Ok(())
}

/// Waits until a connection that has begun has come about.
pub(super) async fn connected(connection: &Connection, at: Place) -> io::Result<()> {
    retry(&connection.source, Direction::Write, at, || connection.try_connected(), |()| false).await
}

/// What every stream that is awaited has, over one of the direct style.
macro_rules! stream {
    ($stream:ident, $direct:path) => {
        impl $stream {
            fn new(stream: Arc<$direct>) -> $stream {
                $stream { stream, waits: Default::default() }
            }

            /// Reads some bytes; 0: the end, or a buffer without room. tokio: `AsyncReadExt::read`.
            ///
            /// # Errors
            ///
            /// Cancellation; what the system says. A read that took bytes returns them.
            ///
            /// # Suspends
            ///
            /// Until there is a byte, or the end.
            ///
            /// # Cancellation
            ///
            /// A read that is dropped has taken nothing.
            #[track_caller]
            pub fn read(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                read(self.stream.connection(), buffer, caller())
            }

            /// Reads until the buffer is full. tokio: `AsyncReadExt::read_exact`; asyncio: `readexactly`.
            ///
            /// # Errors
            ///
            /// As [`read`](Self::read), and [`UnexpectedEof`](io::ErrorKind::UnexpectedEof); some bytes may have been taken then.
            ///
            /// # Suspends
            ///
            /// Until the buffer is full.
            ///
            /// # Cancellation
            ///
            /// If it is dropped, some bytes may have been taken. They are in the buffer, and nobody knows how many: a
            /// [`timeout`](crate::aio::timeout) around it ends the use of the stream.
            #[track_caller]
            pub fn read_exact(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<()>> {
                read_exact(self.stream.connection(), buffer, caller())
            }

            /// Reads some bytes into several buffers, one after the other; 0: the end, or buffers without room.
            ///
            /// # Errors
            ///
            /// As [`read`](Self::read).
            #[track_caller]
            pub fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> impl Future<Output = io::Result<usize>> {
                read_vectored(self.stream.connection(), buffers, caller())
            }

            /// Reads, but leaves the bytes where they are.
            ///
            /// # Errors
            ///
            /// As [`read`](Self::read).
            ///
            /// # Suspends
            ///
            /// Until there is a byte, or the end.
            #[track_caller]
            pub fn peek(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                peek(self.stream.connection(), buffer, caller())
            }

            /// Writes some of the bytes, and says how many. tokio: `AsyncWriteExt::write`.
            ///
            /// # Errors
            ///
            /// Cancellation; what the system says. A write that wrote bytes says so.
            ///
            /// # Suspends
            ///
            /// Until there is room for a byte.
            ///
            /// # Cancellation
            ///
            /// A write that is dropped has written nothing.
            #[track_caller]
            pub fn write(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
                write(self.stream.connection(), bytes, caller())
            }

            /// Writes some of the bytes of several slices, one slice after the other, and says how many.
            ///
            /// # Errors
            ///
            /// As [`write`](Self::write).
            #[track_caller]
            pub fn write_vectored(&self, slices: &[IoSlice<'_>]) -> impl Future<Output = io::Result<usize>> {
                write_vectored(self.stream.connection(), slices, caller())
            }

            /// Writes all of the bytes. tokio: `AsyncWriteExt::write_all`; asyncio: `write` and `drain`.
            ///
            /// # Errors
            ///
            /// As [`write`](Self::write); some bytes may have been written then.
            ///
            /// # Suspends
            ///
            /// While there is no room for those that are left. It waits for the system to take them, not for the peer to read
            /// them.
            ///
            /// # Cancellation
            ///
            /// If it is dropped, some of the bytes may have been written, and nobody knows how many; a
            /// [`timeout`](crate::aio::timeout) around it ends the use of the stream.
            #[track_caller]
            pub fn write_all(&self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> {
                write_all(self.stream.connection(), bytes, caller())
            }

            /// Ends one direction, or both. Whoever waits for it is woken.
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.stream.shutdown(how)
            }
        }

        handle!($stream, stream: $direct, stream => stream.connection().source);
    };
}

pub(super) use stream;
