//! Streams of bytes: readers with limits, writers that do not wait, copying, splitting, and a stream in memory.
//!
//! The streams of [`net`](crate::net) are `Read` and `Write`, so most of what std has for these works: `BufReader`, `write!`,
//! `read_to_end`. Here is what asyncio's streams have besides. All of it is written against `Read` and `Write`, and waits
//! where the stream below it waits. Chapter: `docs/book/bytes.md`.

mod copy;
mod duplex;
mod reader;
mod split;
mod writer;

use std::io::{self, Read};
use std::time::Duration;

pub use self::copy::{copy, copy_bidirectional};
pub use self::duplex::{Duplex, duplex};
pub use self::reader::{IncompleteRead, LimitOverrun, Lines, Separators, StreamReader};
pub use self::split::{ReadHalf, WriteHalf, split};
pub use self::writer::StreamWriter;
pub use crate::pipe::{PipeReader, PipeWriter, pipe};
pub use crate::stdio::{Stderr, Stdin, Stdout, stderr, stdin, stdout};

/// A stream whose writing half can be ended while the other goes on: the peer reads the end, and may still answer.
///
/// ```
/// use corio::io::{HalfClose, duplex};
/// use corio::{net::UnixStream, run};
/// use std::io::{self, Read, Write};
///
/// /// Sends a request on any such stream: its end is how the peer knows that it is complete.
/// fn request<S: HalfClose>(stream: &S, text: &str) -> io::Result<()>
/// where
///     for<'a> &'a S: Write,
/// {
///     { stream }.write_all(text.as_bytes())?;
///     stream.end_writing()
/// }
///
/// run(|| {
///     let (mut text, (near, mut far)) = (String::new(), duplex(16));
///     request(&near, "memory ")?;
///     far.read_to_string(&mut text)?;
///     let (near, mut far) = UnixStream::pair()?;
///     request(&near, "and sockets")?;
///     far.read_to_string(&mut text)?;
///     assert_eq!(text, "memory and sockets");
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub trait HalfClose {
    /// Ends the writing half. What was written before is delivered first. A second time does nothing.
    ///
    /// # Errors
    ///
    /// What the stream says; a connection that is gone already has ended.
    fn end_writing(&self) -> io::Result<()>;
}

macro_rules! half_close {
    ($($stream:ty),*) => {$(
        impl HalfClose for $stream {
            fn end_writing(&self) -> io::Result<()> {
                match self.shutdown(std::net::Shutdown::Write) {
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                    result => result,
                }
            }
        }
    )*};
}

half_close!(crate::net::TcpStream, crate::net::UnixStream);

impl<T: HalfClose + ?Sized> HalfClose for &T {
    fn end_writing(&self) -> io::Result<()> {
        (**self).end_writing()
    }
}

impl<T: HalfClose + ?Sized> HalfClose for std::sync::Arc<T> {
    fn end_writing(&self) -> io::Result<()> {
        (**self).end_writing()
    }
}

/// Closes a connection so that the last answer arrives: ends the writing half, then reads and throws away what the peer
/// still sends, for `limit` and `most` bytes at most.
///
/// A socket that is closed while bytes are unread resets its connection, and the reset may overtake the answer. A server
/// that refuses a request without having read all of it ends with this. `true`: the peer has closed as well.
///
/// # Errors
///
/// Cancellation. [`InvalidInput`](io::ErrorKind::InvalidInput) outside a task, where nothing is done. That the peer is gone,
/// or slow, is none.
///
/// # Suspends
///
/// Until the peer closes, or one of the limits is met.
///
/// ```
/// use corio::io::{duplex, linger};
/// use corio::{Runner, secs, spawn};
/// use std::io::{Read, Write};
///
/// Runner::new().virtual_clock().run(|| {
///     let (server, mut client) = duplex(64);
///     let refused = spawn(move || {
///         (&server).write_all(b"too large")?;
///         linger(&server, secs(5), 1 << 20)
///     });
///     client.write_all(b"a very long request")?;
///     let mut answer = String::new();
///     client.read_to_string(&mut answer)?;
///     assert_eq!(answer, "too large");
///     drop(client);
///     assert!(refused.join()?);
///     Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn linger<S: HalfClose>(stream: &S, limit: Duration, most: usize) -> io::Result<bool>
where
    for<'a> &'a S: Read,
{
    let closed = crate::timeout(limit, || {
        let _ = stream.end_writing();
        let mut left = most;
        let mut waste = [0; 4096];
        while left > 0 {
            let room = left.min(waste.len());
            match { stream }.read(&mut waste[..room]) {
                Ok(0) => return Ok(true),
                Ok(n) => left -= n,
                Err(error) if crate::cancel_cause().is_some() => return Err(error),
                Err(_) => return Ok(false),
            }
        }
        Ok(false)
    });
    match closed {
        Err(error) if crate::is_timed_out(&error) && crate::cancel_cause().is_none() => Ok(false),
        result => result,
    }
}
