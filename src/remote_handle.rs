//! Work that goes on elsewhere: a task of a loop on another thread, or a job of an executor.
//!
//! What runs there borrows nothing from here, so it may be left behind, and its handle may go to any thread. Two ends
//! share one cell: a [`Completion`] goes with the work and fills it, whatever happens to the work; a [`RemoteHandle`] is
//! the right to what is in it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use crate::cancel::{self, Cause};
use crate::clock::nanos;
use crate::error::{cancelled, is_cancelled};
use crate::event_loop::EventLoop;
use crate::observe::event::{Place, Want};
use crate::pool::Pool;
use crate::remote::{AtHome, Expecting, LoopHandle, Message, Waker};
use crate::task::body::{Detached, Payload, Sink, drop_quietly, panic_text};
use crate::task::wait::{Context, checkpoint, in_context, park, refuse_while_unwinding};
use crate::task::{Builder, IntoResult, TaskCore, TaskRef, caller, not_in_a_callback};
use crate::time::Alarm;

/// How the work ended: by a panic, or with a result.
type Ended<T> = thread::Result<io::Result<T>>;

struct Shared<T>(Mutex<Inner<T>>);

struct Inner<T> {
    ended: Option<Ended<T>>,
    is_done: bool,
    /// The handle is there.
    wanted: bool,
    waiter: Option<Waker>,
    /// Somebody asked it to end before it was a task.
    cancelled: bool,
    /// The id of the task, once it is one.
    task: Option<u64>,
}

impl<T> Shared<T> {
    fn new() -> Arc<Shared<T>> {
        let inner = Inner { ended: None, is_done: false, wanted: true, waiter: None, cancelled: false, task: None };
        Arc::new(Shared(Mutex::new(inner)))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in it, once it is done; `None` inside: it was taken.
    fn ended(&self) -> Option<Option<Ended<T>>> {
        let mut inner = self.lock();
        inner.is_done.then(|| inner.ended.take())
    }

    /// Leaves the result for the handle, or gives it back if there is none any more, or a result already.
    fn end(&self, ended: Ended<T>) -> Option<Ended<T>> {
        let waiter = {
            let mut inner = self.lock();
            let is_first = !std::mem::replace(&mut inner.is_done, true);
            if !inner.wanted || !is_first {
                return Some(ended);
            }
            inner.ended = Some(ended);
            inner.waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        None
    }
}

/// The end of the cell that goes with the work. If it is lost, the handle is told.
pub(crate) struct Completion<T> {
    shared: Option<Arc<Shared<T>>>,
    at: Place,
    /// What it means if the work is dropped undone.
    lost: fn() -> io::Error,
}

impl<T> Completion<T> {
    /// The work is done.
    pub(crate) fn end(mut self, ended: Ended<T>) {
        if let Some(unwanted) = self.shared.take().and_then(|shared| shared.end(ended)) {
            dispose(unwanted, "a job handed to an executor", self.at);
        }
    }

    /// The work begins: from here on somebody else sees to its end.
    fn begin(mut self) -> Option<Arc<Shared<T>>> {
        self.shared.take()
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            drop(shared.end(Ok(Err((self.lost)()))));
        }
    }
}

/// A function that goes elsewhere, and the way back for its result. If both are dropped unused, then the function first:
/// when the handle is told, nothing of it is left.
pub(crate) struct Work<F, T> {
    f: F,
    completion: Completion<T>,
}

impl<F: FnOnce() -> T, T> Work<F, T> {
    pub(crate) fn run(self) {
        let Work { f, completion } = self;
        completion.end(catch_unwind(AssertUnwindSafe(f)).map(Ok));
    }
}

/// What nobody wants: a failure is logged.
fn dispose<T>(ended: Ended<T>, what: &str, at: Place) {
    match ended {
        Ok(Ok(value)) => drop_quietly(value, "a result"),
        Ok(Err(error)) if is_cancelled(&error) => {
            log::debug!(target: "corio::task", "{what} at {at} was cancelled");
        }
        Ok(Err(error)) => log::error!(target: "corio::task", "{what} at {at} failed and nobody joined it: {error:?}"),
        Err(payload) => {
            log::error!(target: "corio::task",
                "{what} at {at} panicked and nobody joined it: {}", panic_text(&*payload));
            drop_quietly(payload, "the payload of a panic");
        }
    }
}

/// Where the failure of a task goes that was spawned from elsewhere: to the handle, or to the log.
struct ToHandle<T>(Arc<Shared<T>>);

impl<T> Sink<io::Error> for ToHandle<T> {
    fn failed(&self, _: &TaskCore) {}

    fn error(&self, task: &TaskCore, error: io::Error, after_cancel: bool) {
        if let Some(Ok(Err(error))) = self.0.end(Ok(Err(error))) {
            Detached.error(task, error, after_cancel);
        }
    }

    fn panic(&self, task: &TaskCore, payload: Payload) {
        if let Some(Err(payload)) = self.0.end(Err(payload)) {
            Sink::<io::Error>::panic(&Detached, task, payload);
        }
    }
}

/// Who does the work.
enum Worker {
    Task(LoopHandle),
    Job(Arc<Pool>, u64),
    Nobody,
}

/// The right to the result of work that goes on elsewhere: a task of a loop on another thread
/// ([`LoopHandle::spawn`]), or a job of an executor ([`Executor::spawn`](crate::Executor::spawn)).
///
/// It may go to any thread. Dropping it *detaches* the work: it goes on, and an error or a panic that nobody takes is
/// logged.
///
/// asyncio: `concurrent.futures.Future`, as `run_coroutine_threadsafe` and `run_in_executor` return it.
///
/// ```
/// use corio::{LoopHandle, RemoteHandle, is_cancelled, is_timed_out, millis, run, secs, sleep, to_thread};
///
/// run(|| {
///     let handle = LoopHandle::current()?;
///     to_thread(move || { // here is no loop: what waits blocks this thread
///         let mut nap: RemoteHandle<()> = handle.spawn(|| sleep(secs(60)));
///         let late = nap.join_timeout(millis(5)).unwrap_err();
///         assert!(is_timed_out(&late) && !nap.is_done()); // it goes on
///         assert!(nap.cancel());
///         assert!(is_cancelled(&nap.join().unwrap_err()));
///     })
/// })
/// # .unwrap()
/// ```
#[doc(alias = "Future")]
pub struct RemoteHandle<T> {
    shared: Arc<Shared<T>>,
    worker: Worker,
    at: Place,
}

impl<T> RemoteHandle<T> {
    fn new(at: Place, worker: Worker, lost: fn() -> io::Error) -> (Completion<T>, RemoteHandle<T>) {
        let shared = Shared::new();
        (Completion { shared: Some(shared.clone()), at, lost }, RemoteHandle { shared, worker, at })
    }

    /// The two ends for a job that is about to be handed to a pool.
    pub(crate) fn of_job<F: FnOnce() -> T>(f: F, at: Place) -> (Work<F, T>, RemoteHandle<T>) {
        let (completion, handle) = RemoteHandle::new(at, Worker::Nobody, cancelled);
        (Work { f, completion }, handle)
    }

    /// It was handed over.
    pub(crate) fn is_job(&mut self, pool: &Arc<Pool>, number: u64) {
        self.worker = Worker::Job(pool.clone(), number);
    }

    /// It could not be handed over.
    pub(crate) fn fails(&mut self, error: io::Error) {
        drop(self.shared.end(Ok(Err(error))));
    }

    /// Asks the work to end, and does not wait. `false` if it was done already.
    /// asyncio: `concurrent.futures.Future.cancel`.
    ///
    /// A task is cancelled like any other: every call in it that waits fails from now on. A job that has not begun is
    /// taken back and never runs; one that runs is not interrupted. What was not begun is joined with a cancellation.
    #[track_caller]
    pub fn cancel(&self) -> bool {
        let task = {
            let mut inner = self.shared.lock();
            if inner.is_done {
                return false;
            }
            inner.cancelled = true;
            inner.task
        };
        match (&self.worker, task) {
            (Worker::Task(handle), Some(id)) => {
                // If the loop is gone, so is the task.
                let _ = handle.call_soon(move || cancel_by_id(id));
            }
            (Worker::Job(pool, number), _) => drop(pool.withdraw(*number)),
            _ => {}
        }
        true
    }

    /// Whether the work has ended. asyncio: `concurrent.futures.Future.done`.
    pub fn is_done(&self) -> bool {
        self.shared.lock().is_done
    }

    /// Waits for the end of the work and returns its value. A task waits while others of its loop run; a thread without a
    /// loop blocks. If it is done already, nothing is waited for.
    ///
    /// If the caller is cancelled meanwhile, it passes that on by [`cancel`](Self::cancel) and leaves at once, unlike
    /// whoever joins a task of its own loop: what goes on elsewhere borrows nothing. asyncio: `Future.result()`, on a loop
    /// `await wrap_future(..)`.
    ///
    /// # Errors
    ///
    /// The error of the task; a cancellation, if it was cancelled or never began, or if the caller was cancelled;
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe), if the loop was gone, or ended before the task could be spawned, or the
    /// executor was shut down; [`OutOfMemory`](io::ErrorKind::OutOfMemory), if no stack or no thread could be had;
    /// [`Deadlock`](io::ErrorKind::Deadlock), if a task would wait for itself;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) in a callback, where nothing can wait.
    ///
    /// # Panics
    ///
    /// If the work panicked: with the same payload.
    ///
    /// # Suspends
    ///
    /// Until the work has ended. A thread without a loop blocks.
    #[track_caller]
    pub fn join(self) -> io::Result<T> {
        self.join_at(caller())
    }

    #[track_caller]
    pub(crate) fn join_at(mut self, at: Place) -> io::Result<T> {
        self.wait(None, at)
    }

    /// The same, for `limit` at most. If that is met, the work goes on, and the handle stays good.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join); [`TimedOut`](io::ErrorKind::TimedOut) at the limit, and
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the result was taken by an earlier call.
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    ///
    /// # Suspends
    ///
    /// Until the work has ended, or the limit is met. A thread without a loop blocks.
    #[track_caller]
    pub fn join_timeout(&mut self, limit: Duration) -> io::Result<T> {
        self.wait(Some(limit), caller())
    }

    /// A job that waits for another of the same pool does that one itself: nobody else may ever be free for it.
    pub(crate) fn help(&self) {
        if let Worker::Job(pool, number) = &self.worker
            && pool.is_here()
            && let Some(job) = pool.withdraw(*number)
        {
            job();
        }
    }

    /// The loop, if a task of this one does the work.
    fn own(&self, lp: &EventLoop) -> Option<&LoopHandle> {
        match &self.worker {
            Worker::Task(handle) if Arc::ptr_eq(&handle.remote, &lp.remote) => Some(handle),
            _ => None,
        }
    }

    /// For a wait, if a task of this loop does the work: then nothing holds a virtual clock back.
    pub(crate) fn at_home(&self, lp: &EventLoop) -> Option<AtHome> {
        self.own(lp).map(LoopHandle::at_home)
    }

    /// Fails if it is that very task.
    pub(crate) fn check_other(&self, lp: &EventLoop, me: &TaskRef) -> io::Result<()> {
        if self.own(lp).is_some() && self.shared.lock().task == Some(me.core.id()) {
            return Err(io::Error::new(io::ErrorKind::Deadlock, format!("{me} would wait for itself")));
        }
        Ok(())
    }

    pub(crate) fn want(&self) -> Want {
        if matches!(self.worker, Worker::Task(_)) { Want::Remote } else { Want::Worker }
    }

    /// Tells its waits from others.
    pub(crate) fn number(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    /// The result, if it is there; on a loop, or a thread, `waker` is told when it is.
    pub(crate) fn look(&self, waker: impl FnOnce() -> Option<Waker>) -> Option<io::Result<T>> {
        let ended = match self.shared.ended() {
            Some(ended) => ended,
            None => {
                // To clone a waker, and to drop one, is the user's code: nothing is locked.
                let mut waiter = waker();
                std::mem::swap(&mut self.shared.lock().waiter, &mut waiter);
                self.shared.ended()?
            }
        };
        Some(match ended {
            Some(Ok(result)) => result,
            Some(Err(payload)) => resume_unwind(payload),
            None => Err(crate::error::misuse("the result was taken by an earlier call")),
        })
    }

    fn wait(&mut self, limit: Option<Duration>, at: Place) -> io::Result<T> {
        if let Some(result) = self.look(|| None) {
            return result;
        }
        in_context(|context| match context {
            Context::Task(lp, me) => {
                checkpoint(lp, me, at).inspect_err(|_| _ = self.cancel())?;
                self.check_other(lp, me)?;
                let at_home = self.at_home(lp);
                let _expecting = if at_home.is_some() { Expecting::news(lp, me) } else { Expecting::work(lp, me) };
                let alarm = limit.map(|limit| Alarm::wake(lp, me, lp.clock.now().saturating_add(nanos(limit))));
                let want = self.want();
                let _left = Left(&self.shared);
                loop {
                    if let Some(result) = self.look(|| Some(Waker::of_task(lp, me))) {
                        return result;
                    }
                    if me.core.is_cancelled() {
                        self.cancel();
                        return Err(cancelled());
                    }
                    if alarm.as_ref().is_some_and(Alarm::has_fired) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    park(lp, me, want, at);
                }
            }
            Context::Unwinding(..) => Err(refuse_while_unwinding()),
            Context::Callback => Err(not_in_a_callback()),
            Context::Outside => {
                self.help();
                let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
                loop {
                    if let Some(result) = self.look(|| Some(Waker::of_this_thread())) {
                        return result;
                    }
                    if !crate::remote::park_thread(deadline) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
            }
        })
    }
}

/// A wait that is over, in whatever way: nobody is to be woken for it.
struct Left<'a, T>(&'a Shared<T>);

impl<T> Drop for Left<'_, T> {
    fn drop(&mut self) {
        self.0.lock().waiter = None;
    }
}

impl<T> Drop for RemoteHandle<T> {
    fn drop(&mut self) {
        let (unwanted, _waiter) = {
            let mut inner = self.shared.lock();
            inner.wanted = false;
            (inner.ended.take(), inner.waiter.take())
        };
        if let Some(unwanted) = unwanted {
            dispose(unwanted, "work handed to another thread", self.at);
        }
    }
}

impl<T> fmt::Debug for RemoteHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHandle").field("spawned_at", &self.at).field("done", &self.is_done()).finish()
    }
}

impl LoopHandle {
    /// Spawns a task on the loop, from any thread; see [`spawn`](crate::spawn()). `f` goes to the loop's thread and stays
    /// there: what it makes need not be `Send`, only what it takes along and what it returns.
    ///
    /// If the loop is gone, or goes before the task could be spawned, `f` is dropped and `join` says
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe). A handle keeps its loop hoping, as every [`LoopHandle`] does, but while a task
    /// of that loop waits for it: then a virtual clock goes on.
    ///
    /// asyncio: `run_coroutine_threadsafe`.
    ///
    /// ```
    /// use corio::{LoopHandle, millis, run, sleep, to_thread};
    ///
    /// run(|| {
    ///     let handle = LoopHandle::current()?;
    ///     let answer = to_thread(move || {
    ///         let task = handle.spawn(|| {
    ///             sleep(millis(1))?; // on the loop
    ///             Ok(42)
    ///         });
    ///         task.join() // blocks the helper thread
    ///     })??;
    ///     assert_eq!(answer, 42);
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    #[doc(alias = "run_coroutine_threadsafe")]
    #[track_caller]
    pub fn spawn<F, R>(&self, f: F) -> RemoteHandle<R::Value>
    where
        F: FnOnce() -> R + Send + 'static,
        R: IntoResult + 'static,
        R::Value: Send + 'static,
    {
        let sent = self.send_task(Builder::new(), f, caller());
        sent.unwrap_or_else(|told| told)
    }

    /// The same, for a task with settings of its own. If the loop is gone, the handle comes back as an error; it says so too.
    pub(crate) fn send_task<F, R>(
        &self,
        builder: Builder,
        f: F,
        at: Place,
    ) -> Result<RemoteHandle<R::Value>, RemoteHandle<R::Value>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: IntoResult + 'static,
        R::Value: Send + 'static,
    {
        let (completion, handle) = RemoteHandle::new(at, Worker::Task(self.clone()), loop_has_ended);
        let work = Work { f, completion };
        match self.remote.send(Message::Call(Box::new(move || begin(work, builder, at)), at)) {
            Ok(()) => Ok(handle),
            Err(letter) => {
                // With it goes the completion, which tells the handle.
                drop(letter);
                Err(handle)
            }
        }
    }
}

fn loop_has_ended() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the event loop has ended")
}

/// The work of a task that is being made. The completion is shared with [`begin`] until it is known whether there is a task,
/// so that it can tell why not. If this is dropped unused, then again the function first.
struct Prepared<F, T> {
    f: F,
    completion: Rc<Cell<Option<Completion<T>>>>,
}

impl<F, R> Prepared<F, R::Value>
where
    F: FnOnce() -> R,
    R: IntoResult,
{
    /// The failure of the function goes the way of every task's failure, into the sink.
    fn run(self) -> io::Result<()> {
        let Prepared { f, completion } = self;
        let Some(shared) = completion.take().and_then(Completion::begin) else { return Ok(()) };
        let value = f().into_result()?;
        drop(shared.end(Ok(Ok(value))));
        Ok(())
    }
}

/// On the loop: makes a task of what another thread sent.
fn begin<F, R>(mut work: Work<F, R::Value>, builder: Builder, at: Place)
where
    F: FnOnce() -> R + Send + 'static,
    R: IntoResult + 'static,
    R::Value: Send + 'static,
{
    let Some(shared) = work.completion.shared.clone() else { return };
    work.completion.lost = cancelled;
    if shared.lock().cancelled {
        return;
    }
    let Work { f, completion } = work;
    let completion = Rc::new(Cell::new(Some(completion)));
    let prepared = Prepared { f, completion: completion.clone() };
    let body = move || prepared.run();
    match builder.spawn_with_sink(body, ToHandle(shared.clone()), at) {
        Ok(task) => {
            drop(completion);
            let id = task.id();
            let mut inner = shared.lock();
            inner.task = Some(id);
            if inner.cancelled {
                drop(inner);
                cancel_by_id(id);
            }
        }
        Err(error) => {
            let text = format!("cannot spawn a task for another thread, at {at}: {error}");
            log::error!(target: "corio::task", "{text}");
            drop(completion.take().and_then(Completion::begin));
            drop(shared.end(Ok(Err(io::Error::new(error.kind(), text)))));
        }
    }
}

fn cancel_by_id(id: u64) {
    EventLoop::with_current(|lp| {
        if let Some(task) = lp.and_then(|lp| lp.find(id)) {
            cancel::cancel_task(&task, Cause::Requested(None));
        }
    });
}
