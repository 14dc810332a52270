//! The other way to pause: `async` and `await`, on the same loop.
//!
//! A future is a function that the compiler has cut at its pauses into a state machine. To go on, the loop calls it from the
//! top, and it finds its place by itself; a coroutine goes on where its stack stands. Everything else is shared: the loop, its
//! queue, its timers, its reactor, and tasks with their names, handles and records. So what differs between two programs, one
//! in either style, comes from the way of pausing alone. The loop is what tokio calls a `LocalSet` with its runtime: nothing here
//! need be `Send`. Chapter: `docs/book/async-await.md`.
//!
//! | Direct style | Here |
//! |---|---|
//! | [`run`](crate::run) | [`block_on`] |
//! | [`spawn`](crate::spawn()), a closure | [`spawn_local`], a future |
//! | [`JoinHandle::join`](crate::JoinHandle::join) | `handle.await` |
//! | [`sleep`](crate::sleep), [`interval`](crate::interval()) | [`sleep`], [`interval`] |
//! | [`yield_now`](crate::yield_now) | [`yield_now`] |
//! | [`timeout`](crate::timeout()), [`shield`](crate::shield()), around a closure | [`timeout`], [`shield`], around a future |
//! | [`scope`](crate::scope()), [`Scope::spawn`](crate::Scope::spawn) | [`Scope::spawn_local`](crate::Scope::spawn_local) |
//! | [`select`](crate::select()) and the waits that it takes | [`ready`] |
//! | [`mpsc::Sender::send`](crate::channel::mpsc::Sender::send) | [`send`]; a place in a queue by `ready(queue.reserving())` |
//! | [`net`](crate::net): TCP, UDP, Unix sockets | [`net`] |
//! | [`RemoteHandle::join`](crate::RemoteHandle::join), for work elsewhere | `handle.await`, also in a future that is `Send` |
//!
//! Both kinds of task live in one loop and wait for each other: a future awaits the handle of a coroutine's task, and a
//! coroutine waits for a future with [`wait_on`].
//!
//! To combine futures, use a crate that does so, such as `futures-util` or `futures-lite`: `join_all`, `select`, streams. What a
//! framework asks to be `Send` goes into a [`SendWrapper`].
//!
//! # What has no counterpart here, and what to use
//!
//! What does not wait is called as it is: [`spawn`](crate::spawn()), [`now`](crate::now), [`call_soon`](crate::call_soon), a
//! [`TaskLocal`](crate::TaskLocal), everything that begins with `try_`. For the rest:
//!
//! | Direct style | Here |
//! |---|---|
//! | [`to_thread`](crate::to_thread) | `Executor::current()?.spawn(f).await?`; `f` may not borrow, and is left behind if this is dropped |
//! | [`fs`](crate::fs), [`process`](crate::process), [pipes](crate::io::pipe), standard streams | a coroutine: `spawn(\|\| fs::read(path)).await?` |
//! | [`gather`](crate::gather()) | `futures_util::future::try_join_all`, `try_join`; they may borrow |
//! | [`select`](crate::select()) | `futures_util::future::select`, of what [`ready`] makes |
//! | [`race`](crate::race()) | `futures_util::future::select_ok` |
//! | opening a [`scope`](crate::scope()) | one task that awaits several futures: these may borrow |
//! | [signals](crate::signal), locks, [channels](crate::channel) | `ready(&signals).await?` |
//! | [`readable`](crate::readable), [`writable`](crate::writable) | `ready(until_readable(&socket)).await??` |
//! | another loop | `loop_handle.spawn(\|\| aio::wait_on(f())?).await?`; what is made there need not be `Send` |
//! | [`net::Server`](crate::net::Server) | a loop around `listener.accept()`, and [`spawn_local`] |
//! | [`io`](crate::io): readers of lines, copying | `futures_util::io`, by the feature `futures-io` |
//!
//! ```
//! use corio::signal::{Signal, Signals};
//! use corio::{Executor, LoopHandle, aio, fs, is_timed_out, millis, secs, spawn, until_readable};
//! use futures_util::future::{Either, select, select_ok, try_join_all};
//! use std::{io::{self, Write}, os::unix::net::UnixStream, pin::pin};
//!
//! async fn length(text: &str) -> io::Result<usize> {
//!     aio::sleep(millis(1)).await?;
//!     Ok(text.len())
//! }
//!
//! aio::block_on(async {
//!     assert_eq!(Executor::current()?.spawn(|| (1..=100).sum::<u32>()).await?, 5050);
//!     assert!(spawn(|| fs::read_to_string("Cargo.toml")).await?.contains("corio"));
//!
//!     let texts = [String::from("gather"), String::from("and scope")];
//!     assert_eq!(try_join_all(texts.iter().map(|text| length(text))).await?, [6, 9]);
//!     let (first, _others) = select_ok(texts.iter().map(|text| Box::pin(length(text)))).await?;
//!     assert_eq!(first, 6);
//!     let (short, long) = (pin!(aio::sleep(millis(1))), pin!(aio::sleep(secs(60))));
//!     assert!(matches!(select(short, long).await, Either::Left((Ok(()), _))));
//!
//!     let signals = Signals::new([Signal::User2])?;
//!     assert!(is_timed_out(&aio::timeout(millis(1), aio::ready(&signals)).await.unwrap_err()));
//!     let (one, mut other) = UnixStream::pair()?;
//!     other.write_all(b"!")?;
//!     aio::ready(until_readable(&one)).await??;
//!
//!     let there = LoopHandle::current()?; // or that of any other loop
//!     assert_eq!(there.spawn(|| aio::wait_on(async { length("elsewhere").await })?).await?, 9);
//!     Ok(())
//! })
//! # .unwrap()
//! ```
//!
//! # Features
//!
//! Each brings the traits of one crate, so that others' code runs here unmodified; without them nothing is compiled for it.
//!
//! - `futures-io`: the streams of [`net`] are `AsyncRead` and `AsyncWrite`, for TLS, WebSockets, and by an adapter whatever asks
//!   for tokio's traits of the same name.
//! - `futures-core`: queues and channels as `Stream`s, by `stream`.
//! - `hyper`: the streams of [`net`] are hyper's `Read` and `Write`, and `aio::hyper` has its `Executor` and `Timer`.
//!
//! # Cancellation
//!
//! A future is cancelled by dropping it, wherever it waits; that is what [`timeout`] does. A *task* is cancelled as any other,
//! by [`Task::cancel`](crate::Task::cancel) or with the run: everything of corio's that it awaits fails from then on, so it
//! can clean up and return; what has to wait for that goes into a [`shield`]. Where it awaits something that is not corio's, and so
//! cannot fail, its future is dropped.
//!
//! A wait that fails by a cancellation leaves everything as one that is dropped does, except that an awaited handle passes it on.
//! As everywhere, success wins: what has its result gives it, and the cancellation is met at the next wait.
//!
//! # Panics
//!
//! A future that is polled again after its end panics.
//!
//! # In dumps and records
//!
//! A [`Resume`](crate::observe::event::Event::Resume) is one poll of the task's own future, from the top. How many polls that
//! took, one inside the other, [`Polled`](crate::observe::event::Event::Polled) tells: it counts the futures of this module, and
//! those around which somebody has put [`counted`].
//!
//! The place where such a task stands is not that of the `.await`, which nobody tells the library. It is where the future was
//! *made*: the call of `aio::sleep`, of `stream.read`, of [`ready`]. Mostly that is the same line. A handle is made a future by
//! `.await`, so there it is. Through the traits of `futures-io` it is a line of whatever adapter calls them. For a future of
//! another crate it is the line where the task was spawned, and what is waited for is "a future". The `async fn`s in between are
//! in no dump: a suspended one has no frame. Where several were polled, it is what the last of them said. A coroutine in
//! [`wait_on`] is told to wait for "a future", at its call, and of its polls nothing is told.
//!
//! # Where a call may wait
//!
//! A task without a stack cannot be paused by a call: [`corio::sleep`](crate::sleep) in an `async` block fails with
//! [`InvalidInput`](std::io::ErrorKind::InvalidInput). What blocks the thread stops the loop, here as there.

mod attempt;
mod counted;
#[cfg(feature = "hyper")]
pub mod hyper;
mod join;
pub mod net;
mod pause;
mod remote;
mod send;
mod send_wrapper;
mod shield;
#[cfg(feature = "futures-core")]
mod stream;
mod time;
mod wait_on;

use std::io;

pub use self::counted::counted;
pub use self::join::Join;
use self::pause::{Checkpoint, Pass};
pub use self::pause::{Ready, ready};
pub use self::remote::Remote;
pub use self::send::send;
pub use self::send_wrapper::SendWrapper;
pub use self::shield::shield;
#[cfg(feature = "futures-core")]
pub use self::stream::{Items, Sequence, stream};
pub use self::time::{Interval, Sleep, interval, sleep, sleep_until, timeout, timeout_at};
pub use self::wait_on::wait_on;
use crate::task::caller;
use crate::{Builder, IntoResult, JoinHandle, Runner, Scope, ScopedJoinHandle};

/// Runs a future on a loop of this thread, and returns when it and all tasks have ended. [`run`](crate::run) is the same for a
/// closure. asyncio: `run`; tokio: `Runtime::block_on`, of a runtime of one thread.
///
/// The thread blocks, as in `run`; on a coroutine there is [`wait_on`], which pauses.
///
/// # Errors
///
/// The future's own, and those of [`run`](crate::run): inside of another run, for instance, it is refused.
///
/// # Panics
///
/// If the future does.
///
/// ```
/// use corio::{aio, millis};
///
/// let sum = aio::block_on(async {
///     let two = aio::spawn_local(async {
///         aio::sleep(millis(1)).await?;
///         Ok(2)
///     });
///     Ok(1 + two.await?)
/// })?;
/// assert_eq!(sum, 3);
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn block_on<F: Future<Output: IntoResult>>(future: F) -> io::Result<<F::Output as IntoResult>::Value> {
    Runner::new().block_on(future)
}

/// Spawns a task that has no stack and polls this future. It begins in the next turn, and need not be `Send`.
///
/// Whatever a task has, this one has: a name, locals, callbacks at its end, a place in every dump. One allocation holds all
/// of it and the future; to poll it allocates nothing. See [`spawn`](crate::spawn()) for what happens to an error that nobody
/// takes, and while the run is ending. asyncio: `create_task`; tokio: `spawn_local`, where the `LocalSet` is the loop.
///
/// # Panics
///
/// Outside a loop.
///
/// ```
/// use corio::{aio, run};
///
/// run(|| {
///     let task = aio::spawn_local(async { Ok(6 * 7) });
///     assert_eq!(task.join()?, 42); // on a coroutine
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<<F::Output as IntoResult>::Value>
where
    F: Future<Output: IntoResult> + 'static,
    F::Output: 'static,
{
    match Builder::new().spawn_future(future, caller()) {
        Ok(handle) => handle,
        Err(error) => panic!("cannot spawn a task: {error}"),
    }
}

impl Builder {
    /// Spawns a task that polls a future, with these settings; see [`aio::spawn_local`](spawn_local).
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for settings that only a task with a stack can have: its size, and an
    /// eager start.
    ///
    /// # Panics
    ///
    /// Outside a loop.
    ///
    /// ```
    /// use corio::{Builder, aio, current};
    ///
    /// aio::block_on(async {
    ///     let task = Builder::new().name("poet").spawn_local(async { Ok(current().name()) })?;
    ///     assert_eq!(task.await?, "poet");
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    #[track_caller]
    pub fn spawn_local<F>(self, future: F) -> io::Result<JoinHandle<<F::Output as IntoResult>::Value>>
    where
        F: Future<Output: IntoResult> + 'static,
        F::Output: 'static,
    {
        self.spawn_future(future, caller())
    }

    /// The same in a scope; see [`Scope::spawn_local`].
    ///
    /// # Errors
    ///
    /// As [`spawn_local`](Self::spawn_local).
    ///
    /// ```
    /// use corio::{Builder, current, run, scope};
    ///
    /// run(|| {
    ///     let greeting = String::from("Hello");
    ///     scope(|s| {
    ///         let task = Builder::new().name("Ada").spawn_local_scoped(s, async {
    ///             Ok(format!("{greeting}, {}!", current().name()))
    ///         })?;
    ///         assert_eq!(task.join()?, "Hello, Ada!");
    ///         Ok(())
    ///     })
    /// })
    /// # .unwrap()
    /// ```
    #[track_caller]
    pub fn spawn_local_scoped<'scope, F, R, E>(
        self,
        scope: &'scope Scope<'scope, '_, E>,
        future: F,
    ) -> io::Result<ScopedJoinHandle<'scope, R::Value, E>>
    where
        F: Future<Output = R> + 'scope,
        R: IntoResult<E> + 'scope,
        E: From<io::Error> + 'scope,
    {
        scope.spawn_future_with(self, future, caller())
    }
}

impl<'scope, E> Scope<'scope, '_, E> {
    /// [`spawn`](Self::spawn) for a future: a task without a stack, which may borrow whatever outlives the scope.
    ///
    /// It is cancelled as all children are, and the scope waits for it. A scope is opened by a coroutine: a future that opened one
    /// could be forgotten in the middle of it, with tasks that borrow from it.
    ///
    /// # Panics
    ///
    /// Never but by a lack of memory: there is no stack to be had.
    ///
    /// ```
    /// use corio::{Runner, aio, is_cancelled, millis, now, scope, secs, sleep};
    /// use std::cell::Cell;
    ///
    /// Runner::new().virtual_clock().run(|| {
    ///     let (ticks, start) = (Cell::new(0), now());
    ///     scope(|s| {
    ///         let clock = s.spawn_local(async {
    ///             loop {
    ///                 aio::sleep(secs(1)).await?; // fails when the scope is cancelled
    ///                 ticks.set(ticks.get() + 1);
    ///             }
    ///             #[allow(unreachable_code)]
    ///             Ok(())
    ///         });
    ///         s.spawn(|| sleep(secs(3))); // of the other kind
    ///         sleep(millis(4_500))?;
    ///         s.cancel();
    ///         assert!(is_cancelled(&clock.join().unwrap_err()));
    ///         Ok(())
    ///     })?;
    ///     assert_eq!((ticks.get(), now() - start), (4, millis(4_500)));
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    #[track_caller]
    pub fn spawn_local<F, R>(&'scope self, future: F) -> ScopedJoinHandle<'scope, R::Value, E>
    where
        F: Future<Output = R> + 'scope,
        R: IntoResult<E> + 'scope,
        E: From<io::Error> + 'scope,
    {
        match self.spawn_future_with(Builder::new(), future, caller()) {
            Ok(handle) => handle,
            Err(error) => panic!("cannot spawn a task: {error}"),
        }
    }
}

/// Gives up the turn once: all that are ready now run first. asyncio: `sleep(0)`; tokio: `yield_now`.
///
/// # Errors
///
/// Only cancellation.
///
/// # Suspends
///
/// Always, until the next turn. (A combinator that polls it once more in the same turn, because another of its futures was
/// ready, finds that it has ended.)
///
/// ```
/// use corio::aio;
///
/// aio::block_on(async {
///     let other = aio::spawn_local(async {});
///     aio::yield_now().await?;
///     assert!(other.is_done());
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn yield_now() -> impl Future<Output = io::Result<()>> {
    Pass::new(Checkpoint::of_a_rest(), caller())
}
