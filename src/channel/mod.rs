//! Channels: between tasks of any loops, and threads without one.
//!
//! | Module | Who hears what | asyncio, elsewhere |
//! |---|---|---|
//! | [`oneshot`] | one value, once, to one receiver | `Future` |
//! | [`mpsc`] | each value goes to one receiver | `Queue`; [`std::sync::mpsc`] |
//! | [`broadcast`] | each receiver gets every value, unless it is too slow | |
//! | [`watch`] | each receiver gets the latest value | |
//!
//! Every end may go to any thread. Where a call has to wait, a task pauses and its loop goes on, and a thread without a
//! loop blocks. Between tasks of one loop channels work as well; what is made for one loop alone is lighter.
//!
//! Receivers are arms of [`select`](crate::select()), by reference: it waits for a value beside a timer, a task, another
//! channel.
//!
//! ```
//! use corio::channel::{mpsc, oneshot};
//! use corio::{Which, after, run, secs, select};
//!
//! let (sender, receiver) = mpsc::bounded(10);
//! let (stop, mut stopped) = oneshot::channel();
//! std::thread::spawn(move || {
//!     for reading in [3, 4] {
//!         sender.send(reading)?;
//!     }
//!     std::io::Result::Ok(())
//! });
//! let sum = run(|| {
//!     let mut sum = 0;
//!     loop {
//!         match select((&receiver, &mut stopped, after(secs(60))))? {
//!             Which::A(Ok(reading)) => sum += reading,
//!             Which::A(Err(_)) => return Ok(sum), // the end is news as well
//!             Which::B(why) => return Err(why?),
//!             Which::C(()) => return Err(std::io::ErrorKind::TimedOut.into()),
//!         }
//!     }
//! });
//! assert_eq!(sum.unwrap(), 7);
//! # drop(stop);
//! ```
//!
//! All of them keep these rules:
//!
//! - **Nothing is lost.** A cancelled `recv` has taken nothing, nor has a `select` in which another arm has won; a `send`
//!   that fails gives the value back. What was handed over when the cancellation came counts as received, or sent. What was
//!   handed to an arm that does not win goes to the next who waits, or back to the front.
//! - **First come, first served.** Whoever waits longest is served first, tasks and threads alike, and nobody slips in
//!   before them.
//! - **The end is told.** When the last sender is gone, receivers get what is left, and then
//!   [`BrokenPipe`](io::ErrorKind::BrokenPipe); iterators end. When the receivers are gone, `send` gives its value back.
//!
//! A task that waits at a channel waits for somebody who may be on any thread: that cannot be seen from here. So the run
//! never calls it a deadlock, also if in truth only tasks of its own could have answered. And a
//! [virtual clock](crate::Runner::virtual_clock) does not wait for channels: simulated time passes while other threads may
//! still be about to send. A test in which time is to wait for another thread gives the work to
//! [`to_thread`](crate::to_thread), or lets the thread hold a [`LoopHandle`](crate::LoopHandle).
//!
//! Chapter: `docs/book/blocking-work.md`.

pub mod broadcast;
pub(crate) mod line;
pub mod mpsc;
pub mod oneshot;
pub(crate) mod wait;
pub mod watch;

use std::error::Error;
use std::{fmt, io};

fn no_sender() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the channel is closed: every sender is gone, and it is empty")
}

fn no_receiver() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the channel is closed: nobody receives any more")
}

/// A value that was not sent, and why: [`BrokenPipe`](io::ErrorKind::BrokenPipe), if nobody receives any more, or a
/// cancellation. `?` makes an [`io::Error`] of it and drops the value.
///
/// ```
/// use corio::channel::{SendError, oneshot};
/// use std::io;
///
/// let (sender, receiver) = oneshot::channel();
/// drop(receiver);
/// let refused: SendError<String> = sender.send("a letter".to_owned()).unwrap_err();
/// assert_eq!(refused.error().kind(), io::ErrorKind::BrokenPipe);
/// assert_eq!(refused.into_inner(), "a letter"); // not lost
/// ```
pub struct SendError<T> {
    value: T,
    error: io::Error,
}

impl<T> SendError<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Why it was not sent.
    pub fn error(&self) -> &io::Error {
        &self.error
    }
}

impl<T> From<SendError<T>> for io::Error {
    fn from(error: SendError<T>) -> io::Error {
        error.error
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not sent: {}", self.error)
    }
}

impl<T> Error for SendError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// A value that could not be sent at once.
///
/// ```
/// use corio::channel::{TrySendError, mpsc};
///
/// let (sender, receiver) = mpsc::bounded(1);
/// sender.try_send("first").unwrap();
/// assert_eq!(sender.try_send("second"), Err(TrySendError::Full("second")));
/// drop(receiver);
/// let refused = sender.try_send("third").unwrap_err();
/// assert!(matches!(refused, TrySendError::Disconnected(_)));
/// assert_eq!(refused.into_inner(), "third");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room, or others wait for it.
    Full(T),
    /// Nobody receives any more.
    Disconnected(T),
}

impl<T> TrySendError<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        match self {
            TrySendError::Full(value) | TrySendError::Disconnected(value) => value,
        }
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "not sent: the channel is full",
            TrySendError::Disconnected(_) => "not sent: nobody receives any more",
        })
    }
}

impl<T> Error for TrySendError<T> {}

/// Why nothing was received at once.
///
/// ```
/// use corio::channel::{TryRecvError, mpsc};
///
/// let (sender, receiver) = mpsc::unbounded();
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
/// sender.try_send(7).unwrap();
/// drop(sender);
/// assert_eq!(receiver.try_recv(), Ok(7)); // what is left comes before the end
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// Nothing is there yet.
    Empty,
    /// Nothing is there, and nothing will come: every sender is gone.
    Disconnected,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "nothing is there yet",
            TryRecvError::Disconnected => "every sender is gone, and nothing is left",
        })
    }
}

impl Error for TryRecvError {}
