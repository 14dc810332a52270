//! asyncio for Rust in direct style: an event loop that schedules stackful coroutines.
//!
//! A function that waits looks like a function that blocks. It suspends its coroutine, and the loop runs others. There
//! is no `async`, no function colour, and no `'static` or `Send` tax; ordinary synchronous code that is generic over
//! `Read + Write` becomes concurrent unchanged.
//!
//! ```
//! use corio::{millis, run, sleep, spawn};
//!
//! fn greet(name: &str) -> std::io::Result<()> {
//!     println!("Hello, {name}!");
//!     sleep(millis(10))?;
//!     println!("Goodbye, {name}!");
//!     Ok(())
//! }
//!
//! run(|| {
//!     let tasks = ["Ada", "Grace", "Barbara"].map(|name| spawn(move || greet(name)));
//!     for task in tasks {
//!         task.join()?;
//!     }
//!     Ok(())
//! })
//! # .unwrap()
//! ```
//!
//! # Five sentences to learn
//!
//! 1. Whatever waits returns [`io::Result`](std::io::Result): `?` stands where Python has `await`.
//! 2. A *body*, the closure given to [`run`], [`spawn`](spawn()), [`scope`](scope()), [`timeout`], returns
//!    `io::Result<T>`, or nothing, or a handle; what it returns comes back flat.
//! 3. For an error type of your own there are the functions of the same names in [`typed`].
//! 4. A cancellation is a state: in a cancelled scope every call that waits fails, until the scope ends. Pass the error
//!    on; clean-up that waits goes into a [`shield`].
//! 5. Handles are tickets: dropping one detaches. An error that nobody took is logged; a panic reaches whoever joins.
//!    The log is that of the crate `log`: a program that installs no logger, such as `env_logger`, does not see it.
//!    Warnings are below what `env_logger` shows by itself: `RUST_LOG=warn`.
//!
//! # Where things are
//!
//! | For | Look at |
//! |---|---|
//! | running a program | [`run`], [`Runner`] |
//! | tasks | [`spawn`](spawn()), [`Builder`], [`JoinHandle`], [`Task`], [`current`], [`all_tasks`], [`yield_now`] |
//! | values of one task, inherited by its children | [`TaskLocal`] |
//! | several at once | [`scope`](scope()), [`gather`](gather()), [`race`](race()), [`select`](select()), [`wait`], [`as_completed`] |
//! | sharing | [`Mutex`], [`RwLock`], [`Event`], [`Condvar`], [`Semaphore`], [`Barrier`], [`Queue`], [`Promise`], [`TaskLocal`] |
//! | time | [`sleep`], [`sleep_until`], [`interval`], [`timeout`], [`timeout_at`], [`now`] |
//! | cancelling | [`Task::cancel`], [`CancelScope`], [`shield`], [`cancel_cause`], [`is_cancelled`] |
//! | functions that pause, without a loop | [`Coroutine`], [`Generator`] |
//! | the network | [`net`] |
//! | streams of bytes: limits, copying, pipes, in memory | [`io`] |
//! | `async` and `await` on the same loop; a coroutine that waits for a future | [`aio`] |
//! | files | [`fs`] |
//! | other programs, and signals | [`process`], [`signal`] |
//! | descriptors of other libraries | [`readable`], [`writable`], [`add_reader`], [`add_writer`] |
//! | callbacks | [`call_soon`], [`call_later`] |
//! | work that blocks, and other threads | [`to_thread`], [`Executor`], [`LoopHandle`], [`RemoteHandle`], [`channel`] |
//! | more cores: one loop on each | [`Workers`], [`workers`] |
//! | who is slow, and what was forgotten | [`Runner::debug`] |
//! | seeing what happens | [`observe`] |
//! | a program that runs, looked at from another terminal | [`live`], [`Runner::live_view`], [`Runner::dump_on`] |
//! | the last events before a panic or a deadlock | [`observe::FlightRecorder`] |
//! | tests: other schedules, cancellation everywhere, leaks | [`testing`] |
//!
//! # Environment
//!
//! | Variable | What it asks for |
//! |---|---|
//! | `CORIO_DEBUG` | [debug mode](Runner::debug): `1`, or `strict`; empty or `0`: no |
//! | `CORIO_LOG` | what of the log goes to standard error, where the feature `env_logger` has installed a logger; `warn` if not set |
//! | `CORIO_LIVE` | a [live view](live) of every loop; empty or `0`: no |
//! | `CORIO_FLIGHT` | a [flight recorder](observe::FlightRecorder) of so many events for every loop; empty or `0`: none |
//! | `CORIO_BACKEND` | `mio` or `poll`: see [`Backend`] |
//! | `CORIO_CHILD_WATCH` | `thread`: the ends of child processes are waited for by a thread, as where the system has no better way |
//! | `CORIO_STACK_GUARD` | `light` or `mprotect`: how stacks are guarded |
//! | `RUST_MIN_STACK` | the size of a task's stack, in bytes |
//! | `CORIO_SEED`, `CORIO_SCHEDULES`, `CORIO_POINT` | which runs of a test: see [`testing`] |
//!
//! # Where a call may wait
//!
//! | In | a call that may wait |
//! |---|---|
//! | a task | pauses the task |
//! | a callback ([`call_soon`], [`Task::on_done`] and their like) | fails with [`InvalidInput`](std::io::ErrorKind::InvalidInput), even if it would not have had to wait; a [`channel`], a socket of [`net`] and a `join` look first. A `try_` form works, and so does [`spawn`](spawn()) |
//! | a thread without a loop | blocks the thread, if a thread can wait for it: [`sleep`], [`net`], [`channel`], [`to_thread`], [`RemoteHandle::join`]. What tasks bring to tasks is had if it is there, and else it is an `InvalidInput`. So is a [`scope`](scope()), and what is made of one |
//! | a destructor, while a panic unwinds | has what is there, and fails if that is nothing |
//! | a region under [`no_suspend`] | panics |
//!
//! Where a page says that a call fails by cancellation only, it speaks of a call in a task.
//!
//! # What safe code can still get wrong
//!
//! Suspension adds one new behaviour to safe code: calls on one thread interleave without nesting. Three things rely on
//! nesting, and no library can protect them: a lazy `thread_local!` initialiser that suspends, `scoped_tls::set` around
//! a suspension, and a suspended generator that is kept in a `thread_local!` until the thread ends. Do none of the three;
//! [`no_suspend`] guards a region, and [`Runner::strict`] finds the first two in tests. Less dangerous, but as surprising: a
//! `RefCell` borrow, or the guard of a std lock, held across a suspension is still held while other tasks run.

#[cfg(not(all(unix, any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("corio runs on Unix systems on x86-64 and AArch64: it needs their stacks, guard pages and readiness");

pub mod aio;
mod callbacks;
mod cancel;
pub mod channel;
mod clock;
mod coroutine;
mod debug;
mod error;
mod event_loop;
mod executor;
mod failure;
pub mod fs;
mod gather;
mod handles;
pub mod io;
mod lab;
pub mod live;
mod loan;
mod local;
#[cfg(feature = "env_logger")]
mod logger;
pub mod net;
pub mod observe;
mod pipe;
mod pool;
pub mod process;
mod promise;
mod provided;
pub mod queue;
mod random;
mod reactor;
mod remote;
mod remote_handle;
mod run;
mod scope;
mod select;
pub mod signal;
mod snapshot;
mod stack;
mod stdio;
mod strict;
mod switch;
pub mod sync;
mod sys;
mod task;
pub mod testing;
mod time;
mod timer;
pub mod typed;
pub mod workers;

pub use crate::cancel::{CancelScope, Cause, cancel_cause, shield, timeout, timeout_at};
pub use crate::coroutine::{Coroutine, Generator, State, Yielder};
pub use crate::error::{Shutdown, errors, is_cancelled, is_timed_out};
pub use crate::event_loop::Switch;
pub use crate::executor::{Executor, to_thread};
pub use crate::failure::{ExceptionHandler, Failure};
#[doc(hidden)]
pub use crate::gather::of as __of;
pub use crate::gather::{gather, gather_all, race};
pub use crate::handles::{AsCompleted, Handle, Until, as_completed, join_all, wait, wait_timeout};
pub use crate::local::{LocalToken, TaskLocal};
pub use crate::promise::{Promise, Resolver};
#[doc(inline)]
pub use crate::queue::{LifoQueue, PriorityQueue, Queue, TryGetError, TryPutError};
pub use crate::reactor::{Backend, add_reader, add_writer, readable, remove_reader, remove_writer, writable};
pub use crate::remote::LoopHandle;
pub use crate::remote_handle::RemoteHandle;
pub use crate::run::{Runner, is_debug, run, set_debug, set_exception_handler, stop};
pub use crate::scope::{Scope, scope};
pub use crate::select::{After, Never, Readiness, Select, Wait, Which, after, select, until_readable, until_writable};
#[doc(inline)]
pub use crate::sync::{
    Barrier, BoundedSemaphore, Condvar, Event, Mutex, MutexGuard, Permit, RwLock, RwLockReadGuard, RwLockWriteGuard,
    Semaphore, is_broken_barrier,
};
pub use crate::task::{
    Builder, IntoResult, JoinHandle, Outcome, ScopedJoinHandle, Task, all_tasks, current, no_suspend, spawn,
    try_current, yield_now,
};
pub use crate::time::{
    Interval, MissedTicks, TimerHandle, call_at, call_later, call_soon, interval, millis, now, secs, sleep, sleep_until,
};
#[doc(inline)]
pub use crate::workers::Workers;

/// The end, where going on would be undefined behaviour: says why, and aborts the process.
#[cold]
fn fatal(why: std::fmt::Arguments<'_>) -> ! {
    use std::io::Write;
    /// Not even a logger that panics gets past this.
    struct Abort;
    impl Drop for Abort {
        fn drop(&mut self) {
            std::process::abort();
        }
    }
    let _abort = Abort;
    // To the error stream first: what the logger does is the user's code.
    let _ = writeln!(std::io::stderr(), "corio: fatal: {why}");
    log::error!(target: "corio", "fatal: {why}");
    log::logger().flush();
    std::process::abort()
}

/// The programs in the README and in the book, as tests.
#[cfg(doctest)]
mod documents {
    macro_rules! documents {
        ($($name:ident: $path:literal,)*) => {
            $(#[doc = include_str!(concat!("../", $path))] struct $name;)*
        };
    }

    documents! {
        Readme: "README.md",
        AsyncAwait: "docs/book/async-await.md",
        BlockingWork: "docs/book/blocking-work.md",
        Bytes: "docs/book/bytes.md",
        Cancellation: "docs/book/cancellation.md",
        Coroutine: "docs/book/coroutine.md",
        Debugging: "docs/book/debugging.md",
        Decisions: "docs/book/decisions.md",
        Ecosystem: "docs/book/ecosystem.md",
        FromPython: "docs/book/from-python.md",
        Groups: "docs/book/groups.md",
        Loop: "docs/book/loop.md",
        MoreCores: "docs/book/more-cores.md",
        Processes: "docs/book/processes.md",
        Reactor: "docs/book/reactor.md",
        Seeing: "docs/book/seeing.md",
        Sharing: "docs/book/sharing.md",
        Stacks: "docs/book/stacks.md",
        Testing: "docs/book/testing.md",
        Time: "docs/book/time.md",
        TwoWaysToPause: "docs/book/two-ways-to-pause.md",
        WaitingForSeveral: "docs/book/waiting-for-several.md",
        WhatCanGoWrong: "docs/book/what-can-go-wrong.md",
    }
}
