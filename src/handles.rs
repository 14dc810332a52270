//! Waiting for some of many tasks: whichever is done first, the first that fails, all of them.
//!
//! These functions look at tasks and leave them alone. Which results are taken is up to whoever has the handles.
//! Chapter: `docs/book/waiting-for-several.md`.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::nanos;
use crate::error::cancelled;
use crate::event_loop::EventLoop;
use crate::observe::event::{End, Place, Want};
use crate::queue::Queue;
use crate::task::wait::{Context, Node, Waiter, checkpoint, in_context, park, refuse_while_unwinding};
use crate::task::{
    JoinHandle, ScopedJoinHandle, Task, TaskRef, caller, not_in_a_callback, pass_on_and_wait, refuse_circle,
};
use crate::time::Alarm;

/// The handle of a task: [`JoinHandle`], [`ScopedJoinHandle`], or a [`Task`] for those who only look. Sealed.
///
/// ```
/// use corio::{Handle, Until, run, spawn, wait_timeout, secs};
///
/// /// What has ended by now, of handles of whatever kind.
/// fn ended<H: Handle>(handles: &mut Vec<H>) -> std::io::Result<Vec<H>> {
///     wait_timeout(handles, Until::AllCompleted, secs(0))
/// }
///
/// run(|| {
///     let mut tasks = vec![spawn(|| Ok(1)), spawn(|| Ok(2))];
///     corio::yield_now()?;
///     assert_eq!(ended(&mut tasks)?.len(), 2);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub trait Handle: sealed::Sealed {
    #[doc(hidden)]
    fn watched(&self) -> &Task;
}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for Task {}
impl Handle for Task {
    fn watched(&self) -> &Task {
        self
    }
}

impl<T, E> sealed::Sealed for JoinHandle<T, E> {}
impl<T, E> Handle for JoinHandle<T, E> {
    fn watched(&self) -> &Task {
        self
    }
}

impl<T, E> sealed::Sealed for ScopedJoinHandle<'_, T, E> {}
impl<T, E> Handle for ScopedJoinHandle<'_, T, E> {
    fn watched(&self) -> &Task {
        self
    }
}

/// What [`wait`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// One of the tasks is done. asyncio: `FIRST_COMPLETED`.
    FirstCompleted,
    /// One has failed or panicked, or all are done. A task that was cancelled has not failed. asyncio: `FIRST_EXCEPTION`.
    FirstError,
    /// All are done. asyncio: `ALL_COMPLETED`.
    AllCompleted,
}

impl Until {
    fn is_met<H: Handle>(self, handles: &[H]) -> bool {
        let mut all = handles.iter().map(Handle::watched);
        match self {
            Until::FirstCompleted => all.any(Task::is_done),
            Until::AllCompleted => all.all(Task::is_done),
            Until::FirstError => handles.iter().any(|handle| has_failed(handle.watched())) || all.all(Task::is_done),
        }
    }
}

fn has_failed(task: &Task) -> bool {
    task.is_done() && matches!(task.cell.core.end(), End::Failed | End::Panicked)
}

/// Waits until some of the tasks are done, and moves the handles of *all* that are done out of `handles`; those that are
/// not stay there. In both, handles keep their order.
///
/// The tasks are left alone: none is cancelled, no result is taken, and no task's failure is an error here. If the wait
/// itself is cancelled, no handle is moved.
///
/// asyncio: `asyncio.wait(tasks, return_when=..)`, which returns two sets.
///
/// # Errors
///
/// Cancellation. [`InvalidInput`](io::ErrorKind::InvalidInput) if there are no handles, as nothing could ever be met.
/// [`Deadlock`](io::ErrorKind::Deadlock) if the caller would wait for itself, or for a task in whose scope it runs.
///
/// # Suspends
///
/// Unless the condition is met already.
///
/// ```
/// use corio::{Runner, Until, secs, sleep, spawn, wait};
///
/// Runner::new().virtual_clock().run(|| {
///     let mut tasks: Vec<_> = [2, 1, 3].map(|n| spawn(move || sleep(secs(n)).map(|()| n))).into();
///     let first = wait(&mut tasks, Until::FirstCompleted)?;
///     assert_eq!((first.len(), tasks.len()), (1, 2));
///     for task in first {
///         assert_eq!(task.join()?, 1);
///     }
///     assert_eq!(wait(&mut tasks, Until::AllCompleted)?.len(), 2);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn wait<H: Handle>(handles: &mut Vec<H>, until: Until) -> io::Result<Vec<H>> {
    watch(handles, until, None, caller())?;
    Ok(take_done(handles))
}

/// [`wait`] for `limit` at most: then it returns what is done so far, perhaps nothing. That the time was up is no error.
///
/// asyncio: `asyncio.wait(.., timeout=..)`.
///
/// # Errors
///
/// As [`wait`].
///
/// # Suspends
///
/// Unless the condition is met already, or the limit is zero.
///
/// ```
/// use corio::{Runner, Until, secs, sleep, spawn, wait_timeout};
///
/// Runner::new().virtual_clock().run(|| {
///     let mut tasks: Vec<_> = [1, 2, 60].map(|n| spawn(move || sleep(secs(n)).map(|()| n))).into();
///     for task in wait_timeout(&mut tasks, Until::AllCompleted, secs(5))? {
///         assert!(task.join()? <= 2);
///     }
///     assert_eq!(tasks.len(), 1); // it runs on; this one is not waited for
///     tasks[0].cancel();
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn wait_timeout<H: Handle>(handles: &mut Vec<H>, until: Until, limit: Duration) -> io::Result<Vec<H>> {
    watch(handles, until, Some(limit), caller())?;
    Ok(take_done(handles))
}

fn take_done<H: Handle>(handles: &mut Vec<H>) -> Vec<H> {
    handles.extract_if(.., |handle| handle.watched().is_done()).collect()
}

fn watch<H: Handle>(handles: &[H], until: Until, limit: Option<Duration>, at: Place) -> io::Result<()> {
    if handles.is_empty() {
        return Err(crate::error::misuse("there are no tasks to wait for"));
    }
    in_context(|context| match context {
        Context::Task(lp, me) => {
            checkpoint(lp, me, at)?;
            if until.is_met(handles) || limit.is_some_and(|limit| limit.is_zero()) {
                return Ok(());
            }
            let alarm = limit.map(|limit| Alarm::wake(lp, me, lp.clock.now().saturating_add(nanos(limit))));
            let late = || alarm.as_ref().is_some_and(Alarm::has_fired);
            while !until.is_met(handles) && !late() {
                let mut pending =
                    handles.iter().map(|handle| &handle.watched().cell).filter(|task| !task.core.is_done());
                let pending: Vec<&TaskRef> = match until {
                    // One after the other: it needs all of them.
                    Until::AllCompleted => pending.next().into_iter().collect(),
                    Until::FirstCompleted | Until::FirstError => pending.collect(),
                };
                park_until_one_is_done(lp, me, &pending, at, &late)?;
            }
            Ok(())
        }
        _ if until.is_met(handles) => Ok(()),
        Context::Unwinding(..) => Err(refuse_while_unwinding()),
        Context::Callback | Context::Outside => Err(not_in_a_callback()),
    })
}

/// Returns too when `late` says so.
fn park_until_one_is_done(
    lp: &EventLoop,
    me: &TaskRef,
    tasks: &[&TaskRef],
    at: Place,
    late: &dyn Fn() -> bool,
) -> io::Result<()> {
    struct Linked<'a> {
        tasks: &'a [&'a TaskRef],
        nodes: &'a [Node],
    }
    impl Drop for Linked<'_> {
        fn drop(&mut self) {
            for (task, node) in self.tasks.iter().zip(self.nodes) {
                task.core.joiners.unlink(node);
            }
        }
    }
    for task in tasks {
        refuse_circle(me, task)?;
    }
    // A cancellation that came while the task was ready, woken for another end, has used its wake up.
    if me.core.is_cancelled() {
        return Err(cancelled());
    }
    let waiter = Waiter::new(me);
    let nodes: Box<[Node]> = tasks.iter().map(|_| Node::default()).collect();
    // Declared after what it points to, so dropped before it, also when the wait is unwound.
    let _linked = Linked { tasks, nodes: &nodes };
    for (task, node) in tasks.iter().zip(&nodes) {
        // SAFETY: as said; the guard unlinks.
        unsafe { task.core.joiners.link(node, &waiter, 0) };
    }
    let want = match tasks {
        [only] => Want::Join { task: only.core.id() },
        several => Want::Any { of: several.len() as u32 },
    };
    loop {
        park(lp, me, want, at);
        if waiter.granted().is_some() || late() {
            return Ok(());
        }
        if me.core.is_cancelled() {
            return Err(cancelled());
        }
    }
}

/// The tasks in the order in which they end: an iterator that waits for the next one to be done and moves its handle out
/// of `handles`. The handles that it has not come to stay there.
///
/// A failure of a task is in its handle and ends nothing. A cancellation of the caller is one item that is an error, and
/// then the end; so is a [`Deadlock`](io::ErrorKind::Deadlock), as in [`wait`]. Each call asks every task anew to be told
/// of its end, so it is for a set of tasks; where others join them all the time, use [`wait`]. asyncio: `as_completed`.
///
/// ```
/// use corio::{Runner, as_completed, secs, sleep, spawn};
///
/// Runner::new().virtual_clock().run(|| {
///     let mut tasks: Vec<_> = [2, 1, 3].map(|n| spawn(move || sleep(secs(n)).map(|()| n))).into();
///     let mut order = Vec::new();
///     for task in as_completed(&mut tasks) {
///         order.push(task?.join()?);
///     }
///     assert_eq!(order, [1, 2, 3]);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn as_completed<H: Handle>(handles: &mut Vec<H>) -> AsCompleted<'_, H> {
    let done = Rc::new(Queue::new());
    for handle in &*handles {
        let done = done.clone();
        handle.watched().on_done(move |task| {
            // It has no bound and is not shut down.
            let _ = done.try_put(task.clone());
        });
    }
    AsCompleted { left: handles.len(), handles, done }
}

/// Tasks in the order in which they end; see [`as_completed`].
///
/// ```
/// use corio::{AsCompleted, JoinHandle, Runner, as_completed, secs, sleep, spawn};
///
/// Runner::new().virtual_clock().run(|| {
///     let mut tasks: Vec<JoinHandle<u64>> = [2, 1, 3].map(|n| spawn(move || sleep(secs(n)).map(|()| n))).into();
///     let mut ended: AsCompleted<'_, _> = as_completed(&mut tasks);
///     let first = ended.next().unwrap()?;
///     assert_eq!(first.join()?, 1);
///     assert_eq!(tasks.len(), 2); // one may stop in between: the others are still here
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[must_use = "it waits for nothing until `next`"]
pub struct AsCompleted<'a, H> {
    handles: &'a mut Vec<H>,
    /// Those that are done.
    done: Rc<Queue<Task>>,
    left: usize,
}

impl<H: Handle> AsCompleted<'_, H> {
    /// Before it waits.
    fn refuse_circles(&self) -> io::Result<()> {
        in_context(|context| match context {
            Context::Task(_, me) if self.done.is_empty() => {
                self.handles.iter().try_for_each(|handle| refuse_circle(me, &handle.watched().cell))
            }
            _ => Ok(()),
        })
    }
}

impl<H: Handle> Iterator for AsCompleted<'_, H> {
    type Item = io::Result<H>;

    /// # Suspends
    ///
    /// Until one more task is done.
    #[track_caller]
    fn next(&mut self) -> Option<io::Result<H>> {
        self.left = self.left.checked_sub(1)?;
        // No closure: it would be the place that waits, for all that narration and dumps can see.
        let next = match self.refuse_circles() {
            Ok(()) => self.done.get(),
            Err(circle) => Err(circle),
        };
        match next {
            Ok(task) => {
                let place = self.handles.iter().position(|handle| *handle.watched() == task);
                Some(Ok(self.handles.remove(place.expect("nobody else can take handles out"))))
            }
            Err(error) => {
                self.left = 0;
                Some(Err(error))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl<H: Handle> std::iter::FusedIterator for AsCompleted<'_, H> {}

impl<H> std::fmt::Debug for AsCompleted<'_, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.left).finish()
    }
}

/// Joins several tasks and returns their values in the order of the handles.
///
/// The first that ends badly ends the wait: its error is returned, or its panic goes on, and the other tasks run on,
/// detached. If the caller is cancelled, it cancels all of them and waits for their ends, like
/// [`join`](JoinHandle::join).
///
/// asyncio: `gather(*tasks)`. To run functions, and to have them cancelled by the first failure, use
/// [`gather`](crate::gather()).
///
/// # Errors
///
/// The first failure, of whichever task it comes from; a cancellation if a task was cancelled.
///
/// # Panics
///
/// If a task panicked.
///
/// # Suspends
///
/// Until all are done, or one ends badly.
///
/// ```
/// use corio::{join_all, run, spawn};
///
/// run(|| {
///     let tasks = (1..4).map(|n| spawn(move || Ok(n * n)));
///     assert_eq!(join_all(tasks)?, [1, 4, 9]);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn join_all<T, E>(handles: impl IntoIterator<Item = JoinHandle<T, E>>) -> Result<Vec<T>, E>
where
    E: From<io::Error>,
{
    let at = caller();
    let mut handles: Vec<JoinHandle<T, E>> = handles.into_iter().collect();
    wait_for_all(&handles, at)?;
    if let Some(bad) = handles.iter().position(|handle| ended_badly(handle)) {
        handles.swap_remove(bad).ticket.join(at)?;
    }
    handles.into_iter().map(|handle| handle.ticket.join(at)).collect()
}

fn ended_badly(task: &Task) -> bool {
    task.is_done() && task.cell.core.end() != End::Returned
}

/// Waits until all are done, or one has ended badly; if the caller is cancelled, until all that it has cancelled are.
fn wait_for_all<T, E>(handles: &[JoinHandle<T, E>], at: Place) -> io::Result<()> {
    in_context(|context| {
        // Elsewhere nothing can wait: whoever joins what is not done is told so.
        let Context::Task(lp, me) = context else { return Ok(()) };
        let is_over = |pending: &[&TaskRef]| pending.is_empty() || handles.iter().any(|handle| ended_badly(handle));
        let pending = || -> Vec<&TaskRef> { handles.iter().map(|h| &h.cell).filter(|t| !t.core.is_done()).collect() };
        while !is_over(&pending()) {
            let go_on = checkpoint(lp, me, at);
            // That may have let others run: who is waited for is found out after it.
            let pending = pending();
            let ended = go_on.and_then(|()| {
                if is_over(&pending) { Ok(()) } else { park_until_one_is_done(lp, me, &pending, at, &|| false) }
            });
            if ended.is_err() && me.core.is_cancelled() {
                return pass_on_and_wait(lp, me, &pending, at);
            }
            ended?;
        }
        Ok(())
    })
}
