//! The functions of the crate for error types of one's own.
//!
//! Each is the function of the same name with `E` for [`io::Error`], for any `E` that can be made from one. They are a
//! module of their own because of type inference: where the error is fixed, no closure needs an annotation.
//!
//! ```
//! use corio::typed::{run, timeout};
//! use corio::{millis, secs, sleep};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     run(|| {
//!         let n: u32 = "7".parse()?;
//!         timeout(secs(1), || {
//!             sleep(millis(1))?;
//!             Ok(println!("{n}"))
//!         })
//!     })
//! }
//! ```
//!
//! They compose as those do:
//!
//! ```
//! use corio::{Runner, secs, sleep, typed};
//! use std::io;
//!
//! #[derive(Debug, PartialEq)]
//! enum Error {
//!     TooLarge(u64),
//!     Io(io::ErrorKind),
//! }
//! impl From<io::Error> for Error {
//!     fn from(error: io::Error) -> Error {
//!         Error::Io(error.kind())
//!     }
//! }
//!
//! fn squared(n: u64) -> Result<u64, Error> {
//!     sleep(secs(n))?;
//!     if n < 10 { Ok(n * n) } else { Err(Error::TooLarge(n)) }
//! }
//!
//! Runner::new().virtual_clock().run(|| {
//!     let task = typed::spawn(|| squared(2));
//!     let sum = typed::scope(|s| {
//!         let three = s.spawn(|| squared(3));
//!         Ok(three.join()? + task.join()?)
//!     });
//!     assert_eq!(sum, Ok(13));
//!
//!     assert_eq!(typed::gather!(squared(1), squared(2)), Ok((1, 4))); // the macros are here too
//!     assert_eq!(typed::gather([1, 12], squared), Err(Error::TooLarge(12)));
//!     assert_eq!(typed::gather_all([1, 12], squared), Ok(vec![Ok(1), Err(Error::TooLarge(12))]));
//!     assert_eq!(typed::race([3, 12], squared), Ok(9));
//!     assert_eq!(typed::shield(secs(5), || squared(1)), Ok(1));
//!     Ok(())
//! })
//! # .unwrap()
//! ```

use std::error::Error as StdError;
use std::fmt::Debug;
use std::io;
use std::time::{Duration, Instant};

use crate::cancel::{self, CancelScope};
use crate::gather::{each, each_all, first_of};
use crate::run::Runner;
use crate::scope::{self, Scope};
use crate::task::body::debug_text;
use crate::task::{Builder, IntoResult, JoinHandle, caller};

/// [`run`](crate::run()) for any error.
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
#[track_caller]
pub fn run<R, E>(main: impl FnOnce() -> R) -> Result<R::Value, E>
where
    R: IntoResult<E>,
    E: From<io::Error> + Debug,
{
    Runner::new().run_typed(main, caller())
}

/// [`spawn`](crate::spawn()) for any error.
///
/// # Panics
///
/// As there.
#[track_caller]
pub fn spawn<F, R, E>(f: F) -> JoinHandle<R::Value, E>
where
    F: FnOnce() -> R + 'static,
    R: IntoResult<E> + 'static,
    E: From<io::Error> + Debug + 'static,
{
    match Builder::new().spawn_detached(f, caller()) {
        Ok(handle) => handle,
        Err(error) => panic!("cannot spawn a task: {error}"),
    }
}

/// [`aio::block_on`](crate::aio::block_on) for any error.
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
///
/// ```
/// use corio::typed;
///
/// type Error = Box<dyn std::error::Error + Send + Sync>;
/// let n: Result<u32, Error> = typed::block_on(async { Ok::<_, Error>("7".parse()?) });
/// assert_eq!(n.unwrap(), 7);
/// ```
#[track_caller]
pub fn block_on<R, E>(main: impl Future<Output = R>) -> Result<R::Value, E>
where
    R: IntoResult<E>,
    E: From<io::Error> + Debug,
{
    Runner::new().run_future(main, caller())
}

/// [`aio::spawn_local`](crate::aio::spawn_local) for any error.
///
/// # Panics
///
/// As there.
///
/// ```
/// use corio::typed;
///
/// type Error = Box<dyn std::error::Error + Send + Sync>;
/// typed::block_on(async {
///     let task = typed::spawn_local(async { Ok::<u32, Error>("7".parse()?) });
///     assert_eq!(task.await?, 7);
///     Ok::<_, Error>(())
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn spawn_local<F, R, E>(future: F) -> JoinHandle<R::Value, E>
where
    F: Future<Output = R> + 'static,
    R: IntoResult<E> + 'static,
    E: From<io::Error> + Debug + 'static,
{
    match Builder::new().spawn_future(future, caller()) {
        Ok(handle) => handle,
        Err(error) => panic!("cannot spawn a task: {error}"),
    }
}

/// [`scope`](crate::scope()) for any error. If several tasks fail, the first error is returned and the others are
/// logged: at level debug, because after a cancellation they may be no more than its echo.
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
///
/// # Suspends
///
/// As there.
#[track_caller]
pub fn scope<'env, R, E, F>(f: F) -> Result<R::Value, E>
where
    R: IntoResult<E>,
    E: From<io::Error> + Debug,
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env, E>) -> R,
{
    scope::open(f, echo, first, caller())
}

/// An error of a task that had been cancelled, or of a body whose scope had been: it is taken for the answer to that.
fn echo<E: Debug>(error: &E) -> bool {
    log::debug!(target: "corio::scope", "after the scope was cancelled, a part of it ended with: {}", debug_text(error));
    true
}

/// The first error; the others go to the log.
fn first<E: Debug>(errors: Vec<E>) -> Option<E> {
    let mut errors = errors.into_iter();
    let first = errors.next();
    for other in errors {
        log::error!(target: "corio::scope", "another task of the scope failed too: {}", debug_text(&other));
    }
    first
}

/// [`timeout`](crate::timeout()) for any error.
///
/// # Errors
///
/// As there; the time limit's error carries the body's as its source.
pub fn timeout<R, E>(d: Duration, f: impl FnOnce() -> R) -> Result<R::Value, E>
where
    R: IntoResult<E>,
    E: From<io::Error> + Into<Box<dyn StdError + Send + Sync>>,
{
    cancel::limit(CancelScope::after(d), f)
}

/// [`timeout_at`](crate::timeout_at()) for any error.
///
/// # Errors
///
/// As there; the time limit's error carries the body's as its source.
///
/// ```
/// use corio::{is_timed_out, millis, now, secs, sleep, typed};
///
/// type Error = Box<dyn std::error::Error + Send + Sync>;
/// let end: Result<(), Error> = typed::run(|| {
///     let deadline = now() + millis(5);
///     typed::timeout_at(deadline, || Ok::<_, Error>(sleep(secs(60))?))
/// });
/// assert!(is_timed_out(&*end.unwrap_err()));
/// ```
pub fn timeout_at<R, E>(deadline: Instant, f: impl FnOnce() -> R) -> Result<R::Value, E>
where
    R: IntoResult<E>,
    E: From<io::Error> + Into<Box<dyn StdError + Send + Sync>>,
{
    cancel::limit(CancelScope::at(deadline), f)
}

/// [`shield`](crate::shield()) for any error.
///
/// # Errors
///
/// As there.
pub fn shield<R, E>(limit: Duration, f: impl FnOnce() -> R) -> Result<R::Value, E>
where
    R: IntoResult<E>,
    E: From<io::Error>,
{
    cancel::shield_typed(limit, f)
}

/// [`gather`](crate::gather()) for any error; of several, the first is returned and the others are logged.
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
///
/// # Suspends
///
/// As there.
#[track_caller]
pub fn gather<I, F, R, E>(items: I, f: F) -> Result<Vec<R::Value>, E>
where
    I: IntoIterator,
    F: Fn(I::Item) -> R,
    R: IntoResult<E>,
    E: From<io::Error> + Debug,
{
    each(items, f, echo, first, caller())
}

/// [`gather_all`](crate::gather_all()) for any error.
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
///
/// # Suspends
///
/// As there.
#[track_caller]
pub fn gather_all<I, F, R, E>(items: I, f: F) -> Result<Vec<Result<R::Value, E>>, E>
where
    I: IntoIterator,
    F: Fn(I::Item) -> R,
    R: IntoResult<E>,
    E: From<io::Error> + Debug,
{
    each_all(items, f, echo, first, caller())
}

/// [`race`](crate::race()) for any error; if all fail, the first error is returned and the others are logged.
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
///
/// # Suspends
///
/// As there.
#[track_caller]
pub fn race<I, F, R, E>(items: I, f: F) -> Result<R::Value, E>
where
    I: IntoIterator,
    F: Fn(I::Item) -> R,
    R: IntoResult<E>,
    E: From<io::Error> + Debug,
{
    first_of(items, f, echo, first, caller())
}

/// The functions behind the macros.
#[doc(hidden)]
pub mod of {
    use super::{Debug, IntoResult, caller, echo, first, first_of, io};
    use crate::gather::Functions;

    #[track_caller]
    pub fn gather<F: Functions<E>, E: From<io::Error> + Debug>(functions: F) -> Result<F::Values, E> {
        functions.gather(echo, first, caller())
    }

    #[track_caller]
    pub fn gather_all<F: Functions<E>, E: From<io::Error> + Debug>(functions: F) -> Result<F::Results, E> {
        functions.gather_all(echo, first, caller())
    }

    #[track_caller]
    pub fn race<R, E>(functions: Vec<Box<dyn FnOnce() -> R + '_>>) -> Result<R::Value, E>
    where
        R: IntoResult<E>,
        E: From<io::Error> + Debug,
    {
        first_of(functions, |function| function(), echo, first, caller())
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __typed_gather {
    ($($function:expr),+ $(,)?) => { $crate::typed::of::gather(($(|| $function,)+)) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __typed_gather_all {
    ($($function:expr),+ $(,)?) => { $crate::typed::of::gather_all(($(|| $function,)+)) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __typed_race {
    ($($function:expr),+ $(,)?) => { $crate::typed::of::race(vec![$(Box::new(|| $function)),+]) };
}

#[doc(inline)]
pub use crate::{__typed_gather as gather, __typed_gather_all as gather_all, __typed_race as race};
