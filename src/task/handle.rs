//! Tickets: [`Task`] watches a task and can cancel it, [`JoinHandle`] is also the right to its result.

use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::resume_unwind;

use super::body::{Finished, Payload};
use super::core::State;
use super::wait::{
    Context, Patience, checkpoint, give_way, in_context, not_in_a_callback, refuse_while_unwinding, report_ignored,
};
use super::{TaskRef, caller};
use crate::cancel::{self, Cause};
use crate::event_loop::{EventLoop, bound};
use crate::observe::event::{Event, Place, Want};

/// A view of a task: its name, its state, and the way to cancel it, but not its result.
///
/// A `Task` is a ticket: cloning, dropping or forgetting it does nothing to the task. It stays valid when the task is
/// done and when its loop is gone. It does not leave its thread: to cancel a task from another one, send a closure with
/// [`LoopHandle::call_soon`](crate::LoopHandle::call_soon).
///
/// asyncio: `asyncio.Task`, without `result()`.
///
/// ```
/// use corio::{run, secs, sleep, spawn};
///
/// run(|| {
///     let reader = spawn(|| sleep(secs(60)));
///     reader.set_name("reader");
///     let task = reader.task(); // a second ticket
///     assert_eq!((task.name().as_str(), task.id()), ("reader", 2)); // the main task is 1
///     assert_eq!(task.spawned_at().file(), file!());
///     assert!(task.cancel());
///     let _ = reader.join();
///     assert!(task.is_done() && task.cancelled());
///     assert!(!task.cancel()); // too late to ask
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[derive(Clone)]
pub struct Task {
    pub(crate) cell: TaskRef,
}

impl Task {
    /// Its number: tasks of a loop count from 1, in the order in which they were spawned. The main task is 1.
    pub fn id(&self) -> u64 {
        self.cell.core.id()
    }

    /// Its name; without one of its own it is `task-` and the id, and `main` for the main task. asyncio: `get_name`.
    pub fn name(&self) -> String {
        self.cell.core.name()
    }

    /// Gives it a name, for logs, dumps and the report of a stack overflow. asyncio: `set_name`.
    pub fn set_name(&self, name: impl Into<String>) {
        self.cell.core.set_name(name.into());
        crate::observe::named(&self.cell.core);
    }

    /// Where it was spawned.
    pub fn spawned_at(&self) -> Place {
        self.cell.core.spawned_at()
    }

    /// Asks it to end: every suspending call in it fails from now on, until its function returns or calls
    /// [`uncancel`](Self::uncancel). `false` if it is done already.
    ///
    /// A task that has not begun never runs. An operation that has succeeded already still reports success; the
    /// cancellation is met at the next call that may suspend. Regions under [`shield`](crate::shield()) go on.
    /// asyncio: `Task.cancel`, but delivered at every call and not once.
    pub fn cancel(&self) -> bool {
        cancel::cancel_task(&self.cell, Cause::Requested(None))
    }

    /// The same, with a reason that [`cancel_cause`](crate::cancel_cause) tells inside the task. Whoever joins it is not
    /// told. asyncio: `cancel(msg)`.
    ///
    /// ```
    /// use corio::{Cause, cancel_cause, run, secs, sleep, spawn, yield_now};
    ///
    /// run(|| {
    ///     let worker = spawn(|| {
    ///         let _ = sleep(secs(60));
    ///         Ok(cancel_cause())
    ///     });
    ///     yield_now()?; // now it sleeps
    ///     worker.cancel_because("the disk is full");
    ///     assert_eq!(worker.join()?, Some(Cause::Requested(Some("the disk is full".to_owned()))));
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    pub fn cancel_because(&self, why: impl Into<String>) -> bool {
        cancel::cancel_task(&self.cell, Cause::Requested(Some(why.into())))
    }

    /// Whether its function has ended. asyncio: `done`.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.cell.core.state() == State::Done
    }

    /// Whether it ended with an error after it had been cancelled, or was cancelled before it began.
    /// asyncio: `cancelled`.
    pub fn cancelled(&self) -> bool {
        self.is_done() && self.cell.core.ended_cancelled()
    }

    /// How many requests to cancel it are outstanding. asyncio: `cancelling`.
    pub fn cancelling(&self) -> usize {
        self.cell.core.requests() as usize
    }

    /// Takes one request to cancel back and returns how many are left: at none, suspending calls work again. For code
    /// that has met the cancellation and decided to go on. asyncio: `uncancel`.
    ///
    /// ```
    /// use corio::{Runner, current, secs, sleep, spawn, yield_now};
    ///
    /// Runner::new().virtual_clock().run(|| {
    ///     let stubborn = spawn(|| {
    ///         assert!(sleep(secs(60)).is_err());
    ///         assert_eq!((current().cancelling(), current().uncancel()), (1, 0));
    ///         sleep(secs(1))?; // waits again
    ///         Ok("still here")
    ///     });
    ///     yield_now()?;
    ///     stubborn.cancel();
    ///     assert_eq!(stubborn.join()?, "still here");
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    pub fn uncancel(&self) -> usize {
        cancel::uncancel_task(&self.cell) as usize
    }

    /// Waits until it is done, and leaves it alone: a cancelled wait does not cancel it, and its result stays for its
    /// handle. `t.wait()?; t.join()` is asyncio's `await shield(t)`.
    ///
    /// # Errors
    ///
    /// Only cancellation, and [`Deadlock`](io::ErrorKind::Deadlock) if the caller would wait for itself or for a task
    /// in whose scope it runs.
    ///
    /// # Suspends
    ///
    /// Unless it is done.
    ///
    /// ```
    /// use corio::{Runner, is_timed_out, secs, sleep, spawn, timeout};
    ///
    /// Runner::new().virtual_clock().run(|| {
    ///     let work = spawn(|| sleep(secs(3)).map(|()| "done"));
    ///     // A limit around `join` would cancel the work. This one only says that it takes long.
    ///     let late = timeout(secs(1), || work.wait());
    ///     assert!(is_timed_out(&late.unwrap_err()));
    ///     assert_eq!(work.join()?, "done");
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    #[track_caller]
    pub fn wait(&self) -> io::Result<()> {
        let at = caller();
        in_context(|context| match context {
            Context::Task(lp, me) => {
                checkpoint(lp, me, at)?;
                if self.is_done() {
                    return Ok(());
                }
                refuse_circle(me, &self.cell)?;
                let want = Want::Join { task: self.id() };
                self.cell.core.joiners.wait(lp, me, want, at, Patience::Cancellable)
            }
            _ if self.is_done() => Ok(()),
            Context::Unwinding(..) => Err(refuse_while_unwinding()),
            Context::Callback | Context::Outside => Err(not_in_a_callback()),
        })
    }

    /// Calls `f` when the task is done, in a later turn of the loop; at once in the next turn if it is done already.
    /// Callbacks run in the order in which they were added. They cannot wait. asyncio: `add_done_callback`.
    ///
    /// ```
    /// use corio::{Runner, secs, sleep, spawn};
    /// use std::{cell::RefCell, rc::Rc};
    ///
    /// Runner::new().virtual_clock().run(|| {
    ///     let ended = Rc::new(RefCell::new(Vec::new()));
    ///     for (name, time) in [("slow", 2), ("quick", 1)] {
    ///         let task = spawn(move || sleep(secs(time)));
    ///         task.set_name(name);
    ///         let ended = ended.clone();
    ///         task.on_done(move |task| ended.borrow_mut().push(task.name())); // and nobody joins it
    ///     }
    ///     sleep(secs(3))?;
    ///     assert_eq!(*ended.borrow(), ["quick", "slow"]);
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    #[track_caller]
    pub fn on_done(&self, f: impl FnOnce(&Task) + 'static) {
        let (f, at) = (bound(f), caller());
        if !self.is_done() {
            return self.cell.core.add_on_done(f, at);
        }
        let task = self.clone();
        EventLoop::with_current(|lp| match lp {
            Some(lp) => {
                lp.call_soon(Box::new(move || f(&task)), at);
            }
            None => f(&task),
        });
    }

    /// How much of its stack it has used so far, in bytes, to the page; `None` if it is not on a stack now. The figure
    /// may include what an earlier task left on a recycled stack: read it as "at most".
    ///
    /// ```
    /// use corio::{Builder, current, run};
    ///
    /// run(|| {
    ///     let task = Builder::new().stack_size(256 * 1024).spawn(|| {
    ///         std::hint::black_box([0u8; 100_000]); // a big frame, gone again
    ///         Ok(current().stack_used())
    ///     })?;
    ///     let used = task.join()?.unwrap();
    ///     assert!((100_000..256 * 1024).contains(&used)); // so 256 KiB are enough here
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    pub fn stack_used(&self) -> Option<usize> {
        self.cell.core.stack_used()
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Task) -> bool {
        self.cell.ptr_eq(&other.cell)
    }
}

impl Eq for Task {}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("Task");
        text.field("id", &self.id()).field("name", &self.name()).field("state", &self.cell.core.state());
        text.field("spawned_at", &format_args!("{}", self.spawned_at()));
        if let Some((want, at)) = self.cell.core.waits().filter(|_| self.cell.core.state() == State::Parked) {
            text.field("waits_for", &want).field("at", &format_args!("{at}"));
        }
        if self.cancelling() > 0 {
            text.field("cancelling", &self.cancelling());
        }
        text.finish()
    }
}

/// A wait that could never end is refused before it changes anything: for oneself, or for a task in whose scope one
/// runs, because that scope waits for us.
#[inline(always)]
pub(crate) fn refuse_circle(me: &TaskRef, target: &TaskRef) -> io::Result<()> {
    let concerns_only_others = me.core.group.get().is_null() && !me.ptr_eq(target);
    if concerns_only_others { Ok(()) } else { look_for_circle(me, target) }
}

#[inline(never)]
fn look_for_circle(me: &TaskRef, target: &TaskRef) -> io::Result<()> {
    let mut task: *const super::TaskCore = &me.core;
    let sought: *const super::TaskCore = &target.core;
    loop {
        if std::ptr::eq(task, sought) {
            let text = if std::ptr::eq(sought, &me.core) {
                format!("{me} would wait for itself")
            } else {
                format!("{me} would wait for {target}, in whose scope it runs, and which cannot end before it")
            };
            return Err(io::Error::new(io::ErrorKind::Deadlock, text));
        }
        // SAFETY: `task` is `me` or the owner of a scope that `me` runs in; both outlive this call, and so does the
        // group, which lies in its owner's frame until all children are gone (R2).
        match unsafe { (*task).group.get().as_ref() } {
            None => return Ok(()),
            Some(group) => task = group.owner(),
        }
    }
}

/// The waiter was cancelled: it cancels the tasks that it waits for, and waits for their ends all the same.
#[cold]
#[inline(never)]
pub(crate) fn pass_on_and_wait(lp: &EventLoop, me: &TaskRef, targets: &[&TaskRef], at: Place) -> io::Result<()> {
    targets.iter().try_for_each(|target| refuse_circle(me, target))?;
    report_ignored(me, at);
    let cause = cancel::cause_of(me).unwrap_or(Cause::Requested(None));
    for target in targets {
        cancel::cancel_task(target, cause.clone());
    }
    for target in targets.iter().filter(|target| !target.core.is_done()) {
        let want = Want::Join { task: target.core.id() };
        target.core.joiners.wait(lp, me, want, at, Patience::Owned)?;
    }
    Ok(())
}

/// The right to a task's result.
pub(crate) struct Ticket<T, E> {
    task: Task,
    result: PhantomData<Result<T, E>>,
}

impl<T, E> Ticket<T, E> {
    pub(crate) fn task(&self) -> &Task {
        &self.task
    }
}

impl<T, E: From<io::Error>> Ticket<T, E> {
    /// # Safety
    ///
    /// The task's body is of these types.
    #[inline]
    pub(crate) unsafe fn new(cell: TaskRef) -> Self {
        Ticket { task: Task { cell }, result: PhantomData }
    }

    /// Waits for the end. A cancellation meanwhile is passed on, and the end awaited all the same.
    #[inline(always)]
    fn wait_for_end(&self, at: Place) -> io::Result<()> {
        let target = &self.task.cell;
        in_context(
            #[inline(always)]
            |context| match context {
                Context::Task(lp, me) if self.task.is_done() => {
                    lp.emit(|| Event::NoPause { task: me.core.id(), want: Want::Join { task: self.task.id() }, at });
                    give_way(lp, me, at);
                    Ok(())
                }
                _ if self.task.is_done() => Ok(()),
                Context::Task(lp, me) => {
                    lp.assert_may_suspend(at);
                    refuse_circle(me, target)?;
                    let want = Want::Join { task: self.task.id() };
                    if !me.core.is_cancelled() {
                        let end = target.core.joiners.wait(lp, me, want, at, Patience::Cancellable);
                        if end.is_ok() || self.task.is_done() {
                            return Ok(());
                        }
                    }
                    pass_on_and_wait(lp, me, &[target], at)
                }
                Context::Unwinding(..) => Err(refuse_while_unwinding()),
                Context::Callback | Context::Outside => Err(not_in_a_callback()),
            },
        )
    }

    /// What came of a task that has ended.
    #[inline(always)]
    fn take(self) -> (Finished<T, E>, Task) {
        let mut finished: Option<Finished<T, E>> = None;
        // SAFETY: the body is of these types, as `new` was promised. The ticket is used up: its destructor, which would
        // look for the result once more, need not run, and the task is moved out of it.
        let task = unsafe {
            self.task.cell.body().take((&raw mut finished).cast());
            std::ptr::read(&ManuallyDrop::new(self).task)
        };
        (finished.expect("a result is kept for its handle"), task)
    }

    /// The result of a task that has ended.
    #[inline(always)]
    pub(crate) fn result(self) -> Result<T, E> {
        match self.take().0 {
            Finished::Returned(result) => result,
            Finished::Panicked(payload) => resume_unwind(payload),
        }
    }

    #[inline(always)]
    pub(crate) fn join(self, at: Place) -> Result<T, E> {
        self.wait_for_end(at)?;
        self.result()
    }

    fn outcome(self, at: Place) -> Outcome<T, E> {
        if let Err(error) = self.wait_for_end(at) {
            // It was never waited for: the task goes on.
            return Outcome::Failed(error.into());
        }
        match self.take() {
            (Finished::Returned(Ok(value)), _) => Outcome::Returned(value),
            (Finished::Returned(Err(error)), task) if task.cell.core.ended_cancelled() => Outcome::Cancelled(error),
            (Finished::Returned(Err(error)), _) => Outcome::Failed(error),
            (Finished::Panicked(payload), _) => Outcome::Panicked(payload),
        }
    }
}

impl<T, E> Drop for Ticket<T, E> {
    fn drop(&mut self) {
        let cell = &self.task.cell;
        cell.core.drop_handle();
        if cell.core.state() == State::Done {
            cell.body().discard(&cell.core);
        }
    }
}

/// A task's handle: [`join`](Self::join) waits for its end and gives its result.
///
/// Dropping the handle *detaches* the task: it runs on. An error that nobody takes is logged, and so is a panic.
/// Forgetting the handle leaks the result and does nothing else. A handle derefs to [`Task`].
///
/// asyncio: the `asyncio.Task` that `create_task` returns, awaited once; std: `std::thread::JoinHandle`.
///
/// ```
/// use corio::{JoinHandle, Outcome, Runner, secs, sleep, spawn};
/// use std::{cell::Cell, rc::Rc};
///
/// fn squared(n: u64) -> JoinHandle<u64> {
///     spawn(move || sleep(secs(n)).map(|()| n * n))
/// }
///
/// Runner::new().virtual_clock().run(|| {
///     let (two, three) = (squared(2), squared(3)); // both run
///     let view = two.task(); // for a look at it when the handle is gone
///     assert_eq!((three.join()?, two.join()?), (9, 4));
///     assert!(view.is_done() && !view.cancelled());
///
///     let five = squared(5);
///     five.cancel(); // a handle derefs to `Task`
///     assert!(matches!(five.outcome(), Outcome::Cancelled(_))); // as a value, where `join` returns the error
///
///     let said = Rc::new(Cell::new(false));
///     let detached = said.clone();
///     drop(spawn(move || detached.set(true)));
///     sleep(secs(1))?;
///     assert!(said.get()); // it ran all the same
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct JoinHandle<T = (), E = io::Error> {
    pub(crate) ticket: Ticket<T, E>,
}

/// The handle of a task in a [`scope`](crate::scope()); like [`JoinHandle`], but it cannot leave the scope.
///
/// It may be dropped: the scope waits for the task and reports its error.
///
/// ```
/// use corio::{ScopedJoinHandle, run, scope};
///
/// run(|| {
///     let words = ["ant".to_owned(), "beetle".to_owned()];
///     let longest = scope(|s| {
///         let handles = words.iter().map(|word| s.spawn(move || Ok(word)));
///         let handles: Vec<ScopedJoinHandle<'_, &String>> = handles.collect();
///         let mut longest = "";
///         for handle in handles {
///             let word = handle.join()?; // borrowed from `words`, so it may leave the scope
///             longest = if word.len() > longest.len() { word } else { longest };
///         }
///         Ok(longest)
///     })?;
///     assert_eq!(longest, "beetle");
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct ScopedJoinHandle<'scope, T = (), E = io::Error> {
    pub(crate) ticket: Ticket<T, E>,
    pub(crate) scope: PhantomData<&'scope mut &'scope ()>,
}

macro_rules! handle {
    ($handle:ident $(<$lifetime:lifetime>)?) => {
        impl<T, E: From<io::Error>> $handle<$($lifetime,)? T, E> {
            /// Waits until the task is done and returns what its function returned.
            ///
            /// If the caller is cancelled meanwhile, it cancels the task and still waits for its end, so nothing is
            /// lost. A task that is done is joined without a pause, unless the caller's turn has been long: then others run
            /// first. asyncio: `await task`.
            ///
            /// # Errors
            ///
            /// The function's own error; a cancellation if the task was cancelled;
            /// [`Deadlock`](io::ErrorKind::Deadlock) if the task would wait for itself or for a task in whose scope it
            /// runs. In a callback, where nothing can wait, or while the caller unwinds from a panic, joining a task
            /// that is not done fails.
            ///
            /// # Panics
            ///
            /// If the task panicked: with the same payload.
            ///
            /// # Suspends
            ///
            /// Until the task is done.
            #[inline(always)]
            #[track_caller]
            pub fn join(self) -> Result<T, E> {
                self.ticket.join(caller())
            }

            /// Waits like [`join`](Self::join), and tells how the task ended, without resuming its panic: for
            /// supervisors. That the caller was cancelled meanwhile is not told here: before it tries again, a
            /// supervisor asks [`cancel_cause`](crate::cancel_cause), or its loop never ends.
            ///
            /// # Suspends
            ///
            /// As [`join`](Self::join).
            #[track_caller]
            pub fn outcome(self) -> Outcome<T, E> {
                self.ticket.outcome(caller())
            }
        }

        impl<T, E> $handle<$($lifetime,)? T, E> {
            /// A second ticket, without the right to the result.
            pub fn task(&self) -> Task {
                self.ticket.task.clone()
            }
        }

        impl<T, E> Deref for $handle<$($lifetime,)? T, E> {
            type Target = Task;

            fn deref(&self) -> &Task {
                &self.ticket.task
            }
        }

        impl<T, E> std::fmt::Debug for $handle<$($lifetime,)? T, E> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($handle)).field(&self.ticket.task).finish()
            }
        }
    };
}

handle!(JoinHandle);
handle!(ScopedJoinHandle<'_>);

/// How a task ended; from [`JoinHandle::outcome`].
///
/// ```
/// use corio::{Outcome, Runner, secs, sleep, spawn};
///
/// Runner::new().virtual_clock().run(|| {
///     for attempt in 1.. {
///         let worker = spawn(move || {
///             sleep(secs(1))?;
///             assert!(attempt == 3, "attempt {attempt} went wrong"); // a bug that comes and goes
///             Ok(attempt)
///         });
///         match worker.outcome() {
///             Outcome::Returned(attempts) => return Ok(assert_eq!(attempts, 3)),
///             Outcome::Panicked(payload) => println!("{}", payload.downcast_ref::<String>().unwrap()), // once more
///             Outcome::Failed(error) | Outcome::Cancelled(error) => return Err(error), // not to be tried again
///         }
///     }
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[derive(Debug)]
pub enum Outcome<T, E = io::Error> {
    /// Its function returned a value, whether or not it had been cancelled.
    Returned(T),
    /// Its function returned an error.
    Failed(E),
    /// It was cancelled, and its function returned this error, or never ran.
    Cancelled(E),
    /// Its function panicked; [`std::panic::resume_unwind`] passes the panic on.
    Panicked(Payload),
}
