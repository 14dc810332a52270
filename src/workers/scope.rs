//! Scoped parallelism: children on other loops that borrow from a task of this one.
//!
//! There is no second kind of scope. Each child that goes to another loop has a task in an ordinary
//! [`scope`](crate::scope()) here, its *proxy*, and all that the proxy does is to lend the child's function
//! (`src/loan.rs`) to a task of that loop and to wait for it. So errors, panics, joining and cancelling are those of
//! any scope; and a frame that children borrow from does not go before them, because their proxies do not.

use std::cell::{Cell, OnceCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::{Workers, is_here};
use crate::error::{self, Shutdown, cancelled};
use crate::loan::{Loan, Seat, Taker, lend};
use crate::observe::event::{Place, Want};
use crate::remote::LoopHandle;
use crate::remote_handle::RemoteHandle;
use crate::run::Runner;
use crate::scope::{self, Scope};
use crate::task::wait::{Context, checkpoint, in_context, refuse_while_unwinding};
use crate::task::{Builder, IntoResult, ScopedJoinHandle, caller, not_in_a_callback};

/// A region for tasks on other loops that borrow; see [`Workers::scope`].
#[derive(Clone, Copy, Debug)]
pub struct WorkersScope<'scope, 'env: 'scope> {
    scope: &'scope Scope<'scope, 'env>,
    workers: &'scope Workers,
}

impl Workers {
    /// Runs `f` with a scope whose tasks run on the loops of the set, and may borrow whatever outlives the scope. It
    /// returns when all of them have ended. Meanwhile the caller's own loop goes on.
    ///
    /// It is an ordinary [`scope`](crate::scope()) in all but where its tasks run: the first failure cancels the others
    /// and is returned, a panic goes on when all have ended, a cancellation of the caller is passed on to the tasks,
    /// and their ends are awaited. On a thread without a loop it makes one for the time of the call.
    ///
    /// What the tasks share must be `Sync`: atomics and locks of std, not cells. Task-locals do not go along.
    ///
    /// std: [`std::thread::scope`], which has a thread for each; here each is a task.
    ///
    /// # Errors
    ///
    /// As [`scope`](crate::scope()). A task whose loop has ended fails with [`BrokenPipe`](io::ErrorKind::BrokenPipe),
    /// and one whose set is stopped with a cancellation.
    ///
    /// # Panics
    ///
    /// If the body or a task panicked.
    ///
    /// # Suspends
    ///
    /// When the body has ended, until the last task has.
    ///
    /// ```
    /// use corio::Workers;
    /// use std::io;
    ///
    /// let workers = Workers::builder().count(2).start()?;
    /// let words = ["ant", "beetle", "bee", "moth"];
    /// let longest = workers.scope(|s| {
    ///     let halves = words.chunks(2).map(|half| s.spawn(move || Ok(half.iter().map(|w| w.len()).max())));
    ///     halves.collect::<Vec<_>>().into_iter().map(|half| half.join()).collect::<io::Result<Vec<_>>>()
    /// })?;
    /// assert_eq!(longest, [Some(6), Some(4)]);
    /// # io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn scope<'env, R, F>(&'env self, f: F) -> io::Result<R::Value>
    where
        R: IntoResult,
        F: for<'scope> FnOnce(WorkersScope<'scope, 'env>) -> R,
    {
        let at = caller();
        let open = || {
            let is_echo = |e: &io::Error| error::is_cancelled(e);
            scope::open(|scope| f(WorkersScope { scope, workers: self }), is_echo, error::group, at)
        };
        let is_outside = in_context(|context| matches!(context, Context::Outside));
        if is_outside { Runner::new().ctrl_c(false).run(open) } else { open() }
    }
}

impl<'scope, 'env> WorkersScope<'scope, 'env> {
    /// Spawns a task on one of the loops, on each in turn. It begins there at once, also if the caller does not wait
    /// yet.
    ///
    /// In a scope that is cancelled the task never runs.
    ///
    /// # Panics
    ///
    /// If no stack can be had on this loop for the task that waits for it.
    #[track_caller]
    pub fn spawn<F, R>(self, f: F) -> ScopedJoinHandle<'scope, R::Value>
    where
        F: FnOnce() -> R + Send + 'scope,
        R: IntoResult + 'scope,
        R::Value: Send + 'scope,
    {
        self.spawn_at(self.workers.whose_turn(), f, caller())
    }

    /// The same, on the loop with this number. If that is the caller's own, the task begins in the next turn.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn), and if there is no such worker.
    ///
    /// ```
    /// use corio::Workers;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let workers = Workers::builder().count(2).start()?;
    /// let sum = AtomicU32::new(0); // borrowed by tasks of both loops
    /// workers.scope(|s| {
    ///     for n in 0..2 {
    ///         s.spawn_on(n, || Ok(sum.fetch_add(21, Ordering::Relaxed)));
    ///     }
    ///     Ok(())
    /// })?;
    /// assert_eq!(sum.into_inner(), 42);
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn spawn_on<F, R>(self, worker: usize, f: F) -> ScopedJoinHandle<'scope, R::Value>
    where
        F: FnOnce() -> R + Send + 'scope,
        R: IntoResult + 'scope,
        R::Value: Send + 'scope,
    {
        self.spawn_at(worker, f, caller())
    }

    #[track_caller]
    fn spawn_at<F, R>(self, worker: usize, f: F, at: Place) -> ScopedJoinHandle<'scope, R::Value>
    where
        F: FnOnce() -> R + Send + 'scope,
        R: IntoResult + 'scope,
        R::Value: Send + 'scope,
    {
        let (scope, workers) = (self.scope, self.workers);
        let handle = workers.handle(worker);
        let spawned = if is_here(handle) {
            scope.spawn_with(workers.task.clone(), f, at)
        } else {
            // At once, up to its wait: by then the function is on its way.
            let proxy = move || run_on(handle, workers.task.clone(), at, f);
            scope.spawn_with(Builder::new().eager(), proxy, at)
        };
        spawned.unwrap_or_else(|error| panic!("cannot spawn a task: {error}"))
    }

    /// The ordinary scope below: for tasks on the caller's own loop, which may borrow what is not `Sync`, and to cancel
    /// or await all.
    ///
    /// ```
    /// use corio::{Workers, run};
    /// use std::cell::Cell;
    ///
    /// run(|| {
    ///     let workers = Workers::builder().count(1).start()?;
    ///     let (here, answer) = (Cell::new(0), 42);
    ///     workers.scope(|s| {
    ///         let task = s.spawn(|| Ok(answer)); // over there
    ///         s.here().spawn(|| { // a task of this loop
    ///             here.set(task.join()?);
    ///             Ok(())
    ///         });
    ///         Ok(())
    ///     })?;
    ///     assert_eq!(here.get(), 42);
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    pub fn here(self) -> &'scope Scope<'scope, 'env> {
        self.scope
    }
}

/// Runs a function that may borrow as a task of another thread's loop, and waits for its end: what a proxy does.
fn run_on<F, R>(handle: &LoopHandle, builder: Builder, at: Place, f: F) -> io::Result<R::Value>
where
    F: FnOnce() -> R + Send,
    R: IntoResult,
    R::Value: Send,
{
    let f = || match catch_unwind(AssertUnwindSafe(|| f().into_result())) {
        Ok(result) => result,
        // That was the end of the other run, not of this one.
        Err(payload) if payload.is::<Shutdown>() => Err(error::cancelled_because("the worker has ended")),
        Err(payload) => resume_unwind(payload),
    };
    in_context(|context| match context {
        Context::Task(lp, task) => {
            checkpoint(lp, task, at)?;
            let there = Elsewhere { handle, builder, at, task: OnceCell::new(), told: Cell::new(false) };
            match lend(&there, Seat::Task(lp, task), at, f)? {
                Some(result) => result,
                None => there.why_not(),
            }
        }
        Context::Unwinding(..) => Err(refuse_while_unwinding()),
        Context::Callback | Context::Outside => Err(not_in_a_callback()),
    })
}

/// The loop of another thread, and the task there that calls the function.
struct Elsewhere<'a> {
    handle: &'a LoopHandle,
    builder: Builder,
    at: Place,
    task: OnceCell<RemoteHandle<()>>,
    /// It has been told that it is not wanted any more.
    told: Cell<bool>,
}

impl Taker for Elsewhere<'_> {
    const WANT: Want = Want::Remote;

    fn take(&self, loan: Loan) -> io::Result<()> {
        match self.handle.send_task(self.builder.clone(), move || loan.call(), self.at) {
            Ok(task) => {
                let _ = self.task.set(task);
                Ok(())
            }
            // The loop is gone, and so is the loan.
            Err(told) => told.join_at(self.at),
        }
    }

    /// A task that has not begun yet never does; only its loop can say so.
    fn recall(&self) -> bool {
        if !self.told.replace(true)
            && let Some(task) = self.task.get()
        {
            task.cancel();
        }
        false
    }
}

impl Elsewhere<'_> {
    /// Why the function was dropped uncalled.
    fn why_not<T>(self) -> io::Result<T> {
        let at = self.at;
        self.task.into_inner().map_or(Ok(()), |task| task.join_at(at))?;
        Err(cancelled())
    }
}
