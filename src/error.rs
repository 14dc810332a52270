//! What can go wrong, as values of [`io::Error`].
//!
//! Whatever waits returns [`io::Result`]. Three errors are corio's own: *cancelled*, *timed out* and the error of a
//! group. They travel inside `io::Error`, because nearly every error type that has to do with I/O can be made from
//! one, so `?` works in functions with error types of their own.
//!
//! A cancellation must survive third-party code. It is never [`Interrupted`](io::ErrorKind::Interrupted) (std retries
//! that for ever), never [`WouldBlock`](io::ErrorKind::WouldBlock) (handshakes take it for "come back later") and
//! never a read of zero bytes (that is the end of the stream): it is `ECANCELED`.

use std::error::Error as StdError;
use std::sync::Arc;
use std::{fmt, io, slice};

/// The error of a suspending call in a cancelled scope; no allocation.
pub(crate) fn cancelled() -> io::Error {
    io::Error::from_raw_os_error(libc::ECANCELED)
}

/// A cancellation that says why, for the few places where nobody else can.
pub(crate) fn cancelled_because(why: &'static str) -> io::Error {
    io::Error::other(Cancelled(why))
}

/// A call that makes no sense where it was made.
pub(crate) fn misuse(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.into())
}

/// The deadline was met; `cause` is what the body ended with.
pub(crate) fn timed_out(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, TimedOut(cause.into()))
}

/// It was closed, by way of this handle or of another.
pub(crate) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "it was closed by this program")
}

/// What was to be put into another mode has a second handle, which relies on the one that it has.
pub(crate) fn still_shared() -> io::Error {
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        "there is another handle of this, and its loop would block if the mode changed: drop that one first",
    )
}

/// Whether `error` is a cancellation or was caused by one.
///
/// It looks at the messenger, through [`source`](StdError::source), so it also fits enums and boxes. To learn whether
/// *this* task or scope was cancelled ask [`cancel_cause`](crate::cancel_cause), which reads the scope's state:
/// third-party code may have turned the error into a string on the way.
///
/// asyncio: `isinstance(e, CancelledError)`.
///
/// ```
/// use corio::{is_cancelled, run, sleep, secs, spawn};
///
/// run(|| {
///     let task = spawn(|| sleep(secs(60)));
///     task.cancel();
///     assert!(is_cancelled(&task.join().unwrap_err()));
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub fn is_cancelled(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|e| {
        e.is::<Cancelled>() || e.downcast_ref::<io::Error>().is_some_and(|e| e.raw_os_error() == Some(libc::ECANCELED))
    })
}

/// Whether `error` says that a time limit was met ([`io::ErrorKind::TimedOut`]), itself or as the cause of another.
///
/// asyncio: `isinstance(e, TimeoutError)`.
///
/// ```
/// use corio::{Runner, is_timed_out, secs, sleep, timeout};
/// use std::io;
///
/// let error = Runner::new().virtual_clock().run(|| timeout(secs(1), || sleep(secs(60)))).unwrap_err();
/// assert!(is_timed_out(&error));
/// assert!(is_timed_out(&io::Error::other(error))); // also when it was wrapped on the way
/// ```
pub fn is_timed_out(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|e| {
        e.is::<TimedOut>() || e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::TimedOut)
    })
}

/// Whether `error` or anything below it is a `T`.
pub(crate) fn contains<T: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|e| e.is::<T>())
}

/// `error`, what is inside it, and everything below by `source`.
///
/// An `io::Error` does not name the error it carries as its source, but that one's source, and so does an `Arc`: what they
/// carry is visited here.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let this = next?;
        next = carried(this).or_else(|| this.source());
        Some(this)
    })
}

fn carried<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return error.get_ref().map(|inner| inner as &(dyn StdError + 'static));
    }
    // What can be cloned often keeps its source so.
    if let Some(shared) = error.downcast_ref::<Arc<dyn StdError + Send + Sync>>() {
        return Some(&**shared);
    }
    error.downcast_ref::<Arc<io::Error>>().map(|shared| &**shared as &(dyn StdError + 'static))
}

/// The members of a group's error, in the order in which they happened; for any other error, that error alone.
///
/// [`scope`](crate::scope()) returns the first failure. Where several children failed, it is an error of the first one's
/// kind that carries them all. asyncio: `ExceptionGroup.exceptions`.
///
/// ```
/// use corio::{errors, race, run};
/// use std::io;
///
/// let mirrors = ["no route", "no such name"];
/// let error = run(|| race(mirrors, |text| Err::<(), _>(io::Error::other(text)))).unwrap_err();
/// let texts: Vec<String> = errors(&error).map(ToString::to_string).collect();
/// assert_eq!(texts, mirrors);
/// ```
pub fn errors(error: &io::Error) -> slice::Iter<'_, io::Error> {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<GroupError>()) {
        Some(group) => group.0.iter(),
        None => slice::from_ref(error).iter(),
    }
}

/// An error that several are told.
pub(crate) fn shared(error: &Arc<io::Error>) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), Shared(error.clone())),
    }
}

#[derive(Debug)]
struct Shared(Arc<io::Error>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Shared {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

/// Several failures as one error: a single one stays itself.
pub(crate) fn group(mut failures: Vec<io::Error>) -> Option<io::Error> {
    if failures.len() < 2 {
        return failures.pop();
    }
    Some(io::Error::new(failures[0].kind(), GroupError(failures)))
}

#[derive(Debug)]
struct Cancelled(&'static str);

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cancelled: {}", self.0)
    }
}

impl StdError for Cancelled {}

#[derive(Debug)]
struct TimedOut(Box<dyn StdError + Send + Sync>);

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl StdError for TimedOut {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

#[derive(Debug)]
struct GroupError(Vec<io::Error>);

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tasks failed", self.0.len())?;
        let mut separator = ": ";
        for error in &self.0 {
            write!(f, "{separator}{error}")?;
            separator = "; ";
        }
        Ok(())
    }
}

impl StdError for GroupError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.first().map(|first| first as &(dyn StdError + 'static))
    }
}

/// The payload that the last resort of a shutdown throws through a task that would not end.
///
/// It is seen only by code that catches every panic ([`std::panic::catch_unwind`]). Such code should look for it and
/// throw it on with [`std::panic::resume_unwind`]; a task that keeps catching it is named and ends the process.
///
/// ```
/// use std::panic::{catch_unwind, resume_unwind};
///
/// fn contain<T>(f: impl FnOnce() -> T + std::panic::UnwindSafe) -> Option<T> {
///     match catch_unwind(f) {
///         Ok(value) => Some(value),
///         Err(payload) if payload.is::<corio::Shutdown>() => resume_unwind(payload),
///         Err(_) => None,
///     }
/// }
/// assert_eq!(contain(|| 7), Some(7));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Shutdown;

impl Shutdown {
    pub(crate) fn throw() -> ! {
        std::panic::resume_unwind(Box::new(Shutdown))
    }
}
