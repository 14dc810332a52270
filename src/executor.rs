//! Work on other threads: what blocks, and what computes for long.
//!
//! [`to_thread`] takes a function to a helper thread and waits for it. The function may borrow, because the caller does
//! not go on before the function has ended, whatever happens to the caller (R10): cancelled before the job has begun, it
//! takes the job back, and afterwards it waits. Thrown through by a shutdown, it has nothing left but to block its thread,
//! because the frame that the job looks into is about to go; `src/loan.rs` does all that.
//!
//! Jobs that borrow nothing may be left behind: [`Executor::spawn`]. Chapter: `docs/book/blocking-work.md`.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;
use std::{fmt, io, thread};

use crate::error::{self, cancelled};
use crate::event_loop::{EventLoop, LETTERS_AT_ONCE};
use crate::loan::{Loan, Seat, Taker, lend};
use crate::observe::event::{Place, Want};
use crate::pool::{Pool, Refused, Weight};
use crate::remote::{Expecting, Waker};
use crate::remote_handle::RemoteHandle;
use crate::task::wait::{Context, checkpoint, in_context, park, refuse_while_unwinding};
use crate::task::{caller, not_in_a_callback};

/// Runs `f` on a helper thread while the task waits, and returns what it returned: for calls that block, and for long
/// computations. Other tasks of the loop run meanwhile.
///
/// `f` may borrow, because the task waits for it. On a thread without a loop, `f` runs right there. The threads are those
/// of the loop's default executor: as many as the machine has cores, and four, but not more than 32, each started when
/// it is needed; [`Runner::executor`](crate::Runner::executor) sets another. Jobs begin in the order in which they came.
///
/// If the task is cancelled before `f` has begun, `f` never runs. Afterwards the task waits for its end all the same, and
/// gets its value; the cancellation is met at the next call. What runs on a thread cannot be interrupted: a long `f` looks
/// for itself whether it is still wanted, at an atomic flag or a [channel](crate::channel).
///
/// asyncio: `to_thread`, `run_in_executor(None, ..)`; but there the waiter leaves at once, see [`Executor::spawn`].
///
/// # Errors
///
/// `f` has not run: cancellation; [`OutOfMemory`](io::ErrorKind::OutOfMemory) if no thread can be started;
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the executor was shut down; [`InvalidInput`](io::ErrorKind::InvalidInput)
/// in a callback. If `f` itself returns a result, there are two question marks: `to_thread(|| read(path))??`.
///
/// # Suspends
///
/// Until `f` has returned.
///
/// # Panics
///
/// If `f` panics: with the same payload.
///
/// ```
/// use corio::{run, to_thread};
///
/// let words = vec!["ant", "beetle", "bee"];
/// let longest = run(|| to_thread(|| words.iter().map(|word| word.len()).max()));
/// assert_eq!(longest.unwrap(), Some(6));
/// ```
#[doc(alias = "run_in_executor")]
#[doc(alias = "spawn_blocking")]
#[track_caller]
pub fn to_thread<T: Send>(f: impl FnOnce() -> T + Send) -> io::Result<T> {
    let at = caller();
    in_context(|context| match context {
        Context::Task(lp, task) => {
            checkpoint(lp, task, at)?;
            lend_to(&default_pool(lp), Seat::Task(lp, task), at, f)
        }
        Context::Unwinding(..) => Err(refuse_while_unwinding()),
        Context::Callback => Err(not_in_a_callback()),
        Context::Outside => Ok(f()),
    })
}

/// A pool of threads: for work that is to have threads of its own, and not too many.
///
/// An `Executor` is a ticket to its pool: clones share it, and it may go to any thread. A pool keeps its threads until it
/// is [shut down](Self::shutdown) or the last ticket is dropped; then it finishes what it has taken, and its threads end.
///
/// asyncio: `ThreadPoolExecutor`.
///
/// ```
/// use corio::{Executor, run, scope};
///
/// let databases = Executor::named("db", 2)?; // never more than two at once
/// let total = run(|| {
///     scope(|s| {
///         let parts = [1, 2, 3].map(|n| s.spawn({ let db = &databases; move || db.run(|| n * 10) }));
///         let mut total = 0;
///         for part in parts {
///             total += part.join()?;
///         }
///         Ok(total)
///     })
/// })?;
/// assert_eq!(total, 60);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
#[doc(alias = "ThreadPoolExecutor")]
pub struct Executor {
    pool: Arc<Pool>,
}

impl Executor {
    /// A pool of at most `threads` threads. None is started before there is a job for it.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for none at all.
    pub fn new(threads: usize) -> io::Result<Executor> {
        Executor::named("corio-pool", threads)
    }

    /// The same, with threads that are called `name-1`, `name-2` and so on. The system may show the first 15 bytes only.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); also for a name that no thread can have, because it contains a zero.
    pub fn named(name: &str, threads: usize) -> io::Result<Executor> {
        if threads == 0 || name.contains('\0') {
            return Err(error::misuse("an executor needs one thread at least, and a name without zeros"));
        }
        Ok(Executor { pool: Arc::new(Pool::new(name, threads)) })
    }

    /// The one that [`to_thread`] uses on this loop. If it is the loop's own, it is shut down when the run ends: jobs that
    /// still run get what is left of the grace, are then named in the log, and left behind.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) on a thread without a running loop.
    pub fn current() -> io::Result<Executor> {
        EventLoop::with_current(|lp| match lp {
            Some(lp) => Ok(Executor { pool: default_pool(lp) }),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "no event loop runs on this thread, so there is no default executor",
            )),
        })
    }

    /// Runs `f` on one of the pool's threads and waits for it: [`to_thread`] with this pool. On a thread without a loop it
    /// blocks that thread; on a thread of this very pool it runs `f` right there, since nobody else might ever be free.
    ///
    /// # Errors
    ///
    /// As [`to_thread`].
    ///
    /// # Panics
    ///
    /// If `f` panics: with the same payload. The pool survives it.
    ///
    /// # Suspends
    ///
    /// Until `f` has returned. A thread without a loop blocks.
    #[track_caller]
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> io::Result<T> {
        let at = caller();
        in_context(|context| match context {
            Context::Task(lp, task) => {
                checkpoint(lp, task, at)?;
                lend_to(&self.pool, Seat::Task(lp, task), at, f)
            }
            Context::Unwinding(..) => Err(refuse_while_unwinding()),
            Context::Callback => Err(not_in_a_callback()),
            Context::Outside if self.pool.is_here() => Ok(f()),
            Context::Outside => lend_to(&self.pool, Seat::Thread, at, f),
        })
    }

    /// Hands `f` to the pool and goes on. It never waits, so it may be called anywhere, also in a callback.
    ///
    /// The handle gets the value. Whoever waits for it and is cancelled leaves at once: a job that has not begun is taken
    /// back and never runs, one that runs is not interrupted, and its value is dropped. asyncio: `run_in_executor`,
    /// `Executor.submit`.
    ///
    /// If the pool was shut down, or no thread can be started, `f` is dropped and `join` says so.
    ///
    /// ```
    /// use corio::{Executor, run};
    ///
    /// run(|| {
    ///     let sum = Executor::current()?.spawn(|| (1..=100).sum::<u32>());
    ///     // ... something else meanwhile ...
    ///     assert_eq!(sum.join()?, 5050);
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    #[track_caller]
    pub fn spawn<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> RemoteHandle<T> {
        spawn_on(&self.pool, Weight::Full, caller(), f)
    }

    /// Takes no more jobs, and waits until those that it has taken are done and its threads have ended. For all its
    /// tickets: jobs that come later are refused with [`BrokenPipe`](io::ErrorKind::BrokenPipe).
    /// asyncio: `shutdown_default_executor`, `ThreadPoolExecutor.shutdown`.
    ///
    /// # Errors
    ///
    /// Cancellation, which ends the wait and not the shutting down; [`Deadlock`](io::ErrorKind::Deadlock) on a thread of
    /// this pool, which would wait for itself.
    ///
    /// # Suspends
    ///
    /// Until the last thread has ended. A thread without a loop blocks.
    ///
    /// ```
    /// use corio::{Executor, millis, run};
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// static WRITTEN: AtomicBool = AtomicBool::new(false);
    ///
    /// run(|| {
    ///     let disk = Executor::new(1)?;
    ///     drop(disk.spawn(|| {
    ///         std::thread::sleep(millis(5));
    ///         WRITTEN.store(true, Ordering::SeqCst);
    ///     }));
    ///     disk.shutdown()?; // it finishes what it has taken
    ///     assert!(WRITTEN.load(Ordering::SeqCst));
    ///     assert_eq!(disk.run(|| ()).unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    #[track_caller]
    pub fn shutdown(&self) -> io::Result<()> {
        let at = caller();
        self.pool.close();
        if self.pool.is_here() {
            let text = "a job that waits for the end of its own executor would wait for itself";
            return Err(io::Error::new(io::ErrorKind::Deadlock, text));
        }
        in_context(|context| match context {
            Context::Task(lp, task) => {
                checkpoint(lp, task, at)?;
                let _expecting = Expecting::work(lp, task);
                while self.pool.threads_left(Weight::None, || Waker::of_task(lp, task)) > 0 {
                    if task.core.is_cancelled() {
                        return Err(cancelled());
                    }
                    park(lp, task, Want::Worker, at);
                }
                Ok(())
            }
            Context::Unwinding(..) => Err(refuse_while_unwinding()),
            Context::Callback => Err(not_in_a_callback()),
            Context::Outside => {
                while self.pool.threads_left(Weight::None, Waker::of_this_thread) > 0 {
                    thread::park();
                }
                Ok(())
            }
        })
    }

    pub(crate) fn pool(&self) -> Arc<Pool> {
        self.pool.clone()
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Executor").field(&self.pool).finish()
    }
}

fn default_pool(lp: &EventLoop) -> Arc<Pool> {
    let mut pool = lp.pool.borrow_mut();
    let made = || {
        lp.owns_pool.set(true);
        Arc::new(Pool::of_default_size())
    };
    pool.get_or_insert_with(made).clone()
}

/// The end of a run: no task is left, so nobody waits for a job any more. What still runs borrows nothing. `false` if the
/// loop had no pool of its own.
pub(crate) fn close_default(lp: &EventLoop, deadline: Option<Instant>) -> bool {
    if !lp.owns_pool.replace(false) {
        return false;
    }
    let Some(pool) = lp.pool.borrow_mut().take() else { return false };
    pool.close();
    let left = loop {
        // Where a job waits for what it asked the loop for, it hears that the loop will not do it.
        lp.drop_letters(LETTERS_AT_ONCE);
        let left = pool.threads_left(Weight::Full, || Waker::of_loop(lp));
        if left == 0 || !lp.wait_for_letters(deadline) {
            break left;
        }
    };
    if left > 0 {
        log::warn!(target: "corio::executor",
            "the grace is over, and {left} thread(s) of the default executor still run a job: they are left behind");
    }
    true
}

/// Runs what owns all that it uses on a helper thread, for its result only: a cancelled wait leaves it behind, and so does
/// the end of the run. On a thread without a loop it runs right here.
pub(crate) fn look_up<T: Send + 'static>(at: Place, f: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    in_context(|context| match context {
        Context::Outside => Ok(f()),
        Context::Callback => Err(not_in_a_callback()),
        Context::Unwinding(..) => Err(refuse_while_unwinding()),
        Context::Task(lp, task) => {
            checkpoint(lp, task, at)?;
            let handle = begin_look_up(lp, at, f);
            // Others run meanwhile, also when the thread is quick: whether it is must not change their order.
            lp.note_unfailing(&task.core);
            park(lp, task, Want::Turn, at);
            handle.join_at(at)
        }
    })
}

/// The same for whoever waits in another way.
pub(crate) fn begin_look_up<T: Send + 'static>(
    lp: &EventLoop,
    at: Place,
    f: impl FnOnce() -> T + Send + 'static,
) -> RemoteHandle<T> {
    spawn_on(&default_pool(lp), Weight::None, at, f)
}

fn spawn_on<T: Send + 'static>(
    pool: &Arc<Pool>,
    weight: Weight,
    at: Place,
    f: impl FnOnce() -> T + Send + 'static,
) -> RemoteHandle<T> {
    let (work, mut handle) = RemoteHandle::of_job(f, at);
    match pool.submit(Box::new(move || work.run()), weight) {
        Ok(number) => handle.is_job(pool, number),
        Err(Refused { error, job }) => {
            handle.fails(error);
            drop(job);
        }
    }
    handle
}

/// Runs a function that may borrow on a thread of the pool, and waits for its end.
fn lend_to<T: Send>(pool: &Arc<Pool>, seat: Seat<'_>, at: Place, f: impl FnOnce() -> T + Send) -> io::Result<T> {
    let queue = Queue { pool, number: Cell::new(None) };
    lend(&queue, seat, at, f).map(|value| value.expect("a pool calls what it has taken"))
}

/// A pool, and the number that a borrowed job has in its queue.
struct Queue<'a> {
    pool: &'a Pool,
    number: Cell<Option<u64>>,
}

impl Taker for Queue<'_> {
    const WANT: Want = Want::Worker;

    fn take(&self, loan: Loan) -> io::Result<()> {
        match self.pool.submit(Box::new(move || loan.call()), Weight::Full) {
            Ok(number) => self.number.set(Some(number)),
            Err(Refused { error, job }) => {
                drop(job);
                return Err(error);
            }
        }
        Ok(())
    }

    fn recall(&self) -> bool {
        let job = self.number.get().and_then(|number| self.pool.withdraw(number));
        job.map(drop).is_some()
    }
}
