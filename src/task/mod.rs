//! Tasks: functions that the loop has been told about.
//!
//! A task is a coroutine of the loop's: [`spawn`] puts it into the ready queue, and from then on the loop resumes it
//! whenever what it waits for is there. The loop owns its stack; all that a program holds are tickets (R1).
//!
//! | File | Tells |
//! |---|---|
//! | `cell.rs` | the allocation, and counted references to it |
//! | `core.rs` | what the loop keeps of a task, and its states |
//! | `body.rs` | what it runs, and where the result goes |
//! | `future.rs` | what it runs if it has no stack |
//! | `table.rs` | all tasks of a loop, and those that are ready |
//! | `wait.rs` | how it stops, and how it is found again |
//! | `handle.rs` | the tickets |
//! | `waker.rs` | how futures are woken, and what their wakers are |
//! | `who.rs` | how a thing notes which task has it |

pub(crate) mod body;
mod cell;
mod core;
pub(crate) mod future;
mod handle;
#[cfg(feature = "backtrace")]
pub(crate) mod report;
mod table;
mod told;
pub(crate) mod wait;
pub(crate) mod waker;
mod who;

use std::fmt::Debug;
use std::io;
use std::panic::Location;

pub use self::body::IntoResult;
use self::body::{Detached, Function, Sink};
pub(crate) use self::cell::{Blocks, TaskRef};
pub(crate) use self::core::{Activation, Body, Input, Pause, State, TaskCore};
pub(crate) use self::future::Polled;
pub use self::handle::{JoinHandle, Outcome, ScopedJoinHandle, Task};
pub(crate) use self::handle::{Ticket, pass_on_and_wait, refuse_circle};
pub(crate) use self::table::{Ready, ReadyQueue, TaskTable};
pub(crate) use self::wait::not_in_a_callback;
use self::wait::{Context, checkpoint, in_context, park, refuse_while_unwinding};
pub(crate) use self::who::Who;
use crate::cancel;
use crate::event_loop::{EventLoop, Phase};
use crate::observe::event::{Event, Place, Want};
use crate::scope::{Group, Scope};
use crate::stack::StackSize;

/// The caller's caller, in functions that are themselves `#[track_caller]`.
#[inline(always)]
#[track_caller]
pub(crate) fn caller() -> Place {
    Location::caller()
}

/// Spawns a task on the running loop.
///
/// The task begins in the next turn. Its function may return `io::Result<T>`, or nothing; an error that nobody joins is
/// logged. The closure may hold anything `'static`, also what is not `Send`: tasks do not leave their thread. To borrow,
/// spawn in a [`scope`](crate::scope()).
///
/// While the run is ending, or while the caller unwinds from a panic, nothing is spawned any more: the closure is
/// dropped, and the handle is that of a cancelled task.
///
/// asyncio: `create_task`; std: [`std::thread::spawn`].
///
/// # Panics
///
/// Outside a loop, and if no stack can be had for it ([`Builder::spawn`] returns an error instead).
///
/// ```
/// use corio::{run, spawn, yield_now};
///
/// run(|| {
///     let task = spawn(|| Ok(6 * 7));
///     assert!(!task.is_done()); // not yet begun
///     assert_eq!(task.join()?, 42);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn spawn<F, R>(f: F) -> JoinHandle<R::Value>
where
    F: FnOnce() -> R + 'static,
    R: IntoResult + 'static,
{
    match Builder::new().spawn_detached(f, caller()) {
        Ok(handle) => handle,
        Err(error) => panic!("cannot spawn a task: {error}"),
    }
}

/// What a task is to be: its name and the size of its stack. std: [`std::thread::Builder`].
///
/// ```
/// use corio::{Builder, run};
///
/// run(|| {
///     let task = Builder::new().name("small").stack_size(64 * 1024).spawn(|| Ok(corio::current().name()))?;
///     assert_eq!(task.join()?, "small");
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[derive(Debug, Default, Clone)]
#[must_use = "a builder builds nothing until `spawn`"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
    pub(crate) eager: bool,
}

impl Builder {
    /// A task without a name, with a stack of the default size.
    #[inline]
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Its name, for logs, dumps and the report of a stack overflow.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// How many bytes of stack it can use, 32 KiB at least, rounded up to whole pages.
    ///
    /// The default is 8 MiB, or what the environment variable `RUST_MIN_STACK` says. It is address space:
    /// memory is used by what the task touches, a page at least. Small stacks save page tables where there are very many
    /// tasks: 64 KiB is the smallest that is sensible.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Runs the task at once, inside `spawn`, up to its first pause or to its end; then the spawner goes on. Without this
    /// it begins in the next turn.
    ///
    /// For tasks that mostly have nothing to wait for. Until it pauses it is the running task, with a turn and
    /// [task-locals](crate::TaskLocal) of its own; the spawner waits on its own stack meanwhile, as if it had called a
    /// function. One that fails or panics has done so as a task: `spawn` returns its handle all the same. In a scope that
    /// is cancelled it never runs. asyncio: `create_task(.., eager_start=True)`.
    ///
    /// ```
    /// use corio::{Builder, run};
    ///
    /// run(|| {
    ///     let task = Builder::new().eager().spawn(|| Ok(6 * 7))?;
    ///     assert!(task.is_done());
    ///     assert_eq!(task.join()?, 42);
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    pub fn eager(mut self) -> Builder {
        self.eager = true;
        self
    }

    /// Spawns the task; see [`spawn`](crate::spawn()).
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a size that no stack can have, and
    /// [`OutOfMemory`](io::ErrorKind::OutOfMemory) if no stack can be had: the text names the limit or the sysctl that
    /// was met. The closure is dropped. It works again when tasks have ended.
    ///
    /// # Panics
    ///
    /// Outside a loop.
    #[track_caller]
    pub fn spawn<F, R>(self, f: F) -> io::Result<JoinHandle<R::Value>>
    where
        F: FnOnce() -> R + 'static,
        R: IntoResult + 'static,
    {
        self.spawn_detached(f, caller())
    }

    /// Spawns the task in a scope; see [`Scope::spawn`](crate::Scope::spawn).
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// ```
    /// use corio::{Builder, run, scope};
    ///
    /// run(|| {
    ///     let text = String::from("borrowed");
    ///     scope(|s| {
    ///         let task = Builder::new().name("counter").spawn_scoped(s, || Ok(text.len()))?;
    ///         assert_eq!(task.name(), "counter");
    ///         assert_eq!(task.join()?, 8);
    ///         Ok(())
    ///     })
    /// })
    /// # .unwrap()
    /// ```
    #[track_caller]
    pub fn spawn_scoped<'scope, F, R, E>(
        self,
        scope: &'scope Scope<'scope, '_, E>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, R::Value, E>>
    where
        F: FnOnce() -> R + 'scope,
        R: IntoResult<E> + 'scope,
        E: From<io::Error> + 'scope,
    {
        scope.spawn_with(self, f, caller())
    }

    /// A task without a stack, which is polled.
    pub(crate) fn spawn_future<F, R, E>(self, future: F, at: Place) -> io::Result<JoinHandle<R::Value, E>>
    where
        F: Future<Output = R> + 'static,
        R: IntoResult<E> + 'static,
        E: From<io::Error> + Debug + 'static,
    {
        self.check_that_it_needs_no_stack()?;
        let make = move |lp: &EventLoop, core: TaskCore| {
            let body = move || Polled::<F, R::Value, E, _>::new(future, Detached);
            // SAFETY: the body borrows nothing.
            unsafe { TaskRef::new(lp, core, body) }
        };
        let cell = self.launch(StackSize::NONE, std::ptr::null(), at, make)?;
        // SAFETY: the body above is of these types.
        Ok(JoinHandle { ticket: unsafe { Ticket::new(cell) } })
    }

    pub(crate) fn check_that_it_needs_no_stack(&self) -> io::Result<()> {
        if self.stack_size.is_some() || self.eager {
            return Err(crate::error::misuse(
                "a task that polls a future has no stack, and begins in its turn: give it no size, and no eager start",
            ));
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn spawn_detached<F, R, E>(self, f: F, at: Place) -> io::Result<JoinHandle<R::Value, E>>
    where
        F: FnOnce() -> R + 'static,
        R: IntoResult<E> + 'static,
        E: From<io::Error> + Debug + 'static,
    {
        self.spawn_with_sink(f, Detached, at)
    }

    /// The same, with another place for the failure that nobody joins.
    #[inline]
    pub(crate) fn spawn_with_sink<F, R, E, S>(self, f: F, sink: S, at: Place) -> io::Result<JoinHandle<R::Value, E>>
    where
        F: FnOnce() -> R + 'static,
        R: IntoResult<E> + 'static,
        E: From<io::Error> + 'static,
        S: Sink<E> + 'static,
    {
        let make = move |lp: &EventLoop, core: TaskCore| {
            let body = move || Function::<F, R::Value, E, S>::new(f, sink);
            // SAFETY: the body borrows nothing.
            unsafe { TaskRef::new(lp, core, body) }
        };
        let eager = self.eager;
        let size = self.size()?;
        let cell = self.launch(size, std::ptr::null(), at, make)?;
        if eager {
            start_now(&cell);
        }
        // SAFETY: the body above is of these types.
        Ok(JoinHandle { ticket: unsafe { Ticket::new(cell) } })
    }

    /// Of its stack.
    #[inline]
    pub(crate) fn size(&self) -> io::Result<StackSize> {
        match self.stack_size {
            None => Ok(StackSize::default_size()),
            Some(bytes) => StackSize::new(bytes),
        }
    }

    /// Makes a task and puts it into the ready queue.
    ///
    /// The right to a stack is taken here, the stack itself at the first turn: so a million tasks that run one after the
    /// other share one warm stack, and exhaustion shows where it can be reported.
    #[inline]
    pub(crate) fn launch(
        self,
        size: StackSize,
        group: *const Group,
        at: Place,
        make: impl FnOnce(&EventLoop, TaskCore) -> TaskRef,
    ) -> io::Result<TaskRef> {
        EventLoop::with_current(move |lp| {
            let lp = lp.expect("`spawn` needs a running loop: call it inside `corio::run`");
            let special = !lp.spawns_plainly() || std::thread::panicking();
            let refused = special && (lp.phase() != Phase::Running || std::thread::panicking());
            if !refused && size.is_some() {
                lp.stacks.reserve(size)?;
            }
            let group = if refused { std::ptr::null() } else { group };
            let task = make(lp, TaskCore::new(lp.next_task_id(), size, group, at));
            if let Some(name) = self.name {
                task.core.set_name(name);
            }
            if refused {
                log::debug!(target: "corio::task", "not spawned, because the run or the caller is ending: {task}");
                task.core.set_state(State::Done);
                task.body().refuse(&task.core);
                return Ok(task);
            }
            if special {
                task.core.set_locals(lp.locals());
            }
            if self.eager {
                lp.admit_to_run_now(&task);
            } else {
                lp.admit(&task);
            }
            // SAFETY: a group outlives its children.
            let in_group = unsafe { group.as_ref() };
            lp.emit(|| Event::Spawn {
                task: task.core.id(),
                by: lp.current_id(),
                group: in_group.map_or(0, |group| group.id),
                at,
            });
            lp.emit_name(&task.core);
            if let Some(group) = in_group {
                group.add(&task);
            }
            Ok(task)
        })
    }
}

/// The first step of an eager task, on its spawner's turn.
#[cold]
#[inline(never)]
pub(crate) fn start_now(task: &TaskRef) {
    EventLoop::with_current(|lp| {
        if let Some(lp) = lp.filter(|_| task.core.state() == State::Ready) {
            lp.start_now(task);
        }
    });
}

/// The running task. asyncio: `current_task`.
///
/// # Panics
///
/// Outside a task; [`try_current`] tells instead.
///
/// ```
/// use corio::{current, run, spawn};
///
/// run(|| {
///     current().set_name("the first");
///     let child = spawn(|| Ok(current().id()));
///     assert_eq!((current().name().as_str(), current().id(), child.join()?), ("the first", 1, 2));
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn current() -> Task {
    try_current().expect("no task runs here: call `corio::current` inside `corio::run`, and not in a callback")
}

/// The running task, or `None` outside a loop and in callbacks.
///
/// ```
/// use corio::{run, try_current};
///
/// fn who() -> String {
///     try_current().map_or("nobody".to_owned(), |task| task.name())
/// }
/// assert_eq!(who(), "nobody");
/// assert_eq!(run(|| Ok(who())).unwrap(), "main");
/// ```
pub fn try_current() -> Option<Task> {
    EventLoop::with_current(|lp| lp.and_then(|lp| lp.running().map(|cell| Task { cell: cell.clone() })))
}

/// All tasks of this thread's loop that have not ended, oldest first; none outside a loop. asyncio: `all_tasks`.
///
/// ```
/// use corio::{all_tasks, current, run, secs, sleep, spawn};
///
/// run(|| {
///     for _ in 0..3 {
///         spawn(|| sleep(secs(60))); // detached
///     }
///     for task in all_tasks().iter().filter(|task| **task != current()) {
///         task.cancel();
///         task.wait()?;
///     }
///     assert_eq!(all_tasks(), [current()]);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub fn all_tasks() -> Vec<Task> {
    EventLoop::with_current(|lp| {
        lp.map_or_else(Vec::new, |lp| lp.all_tasks().into_iter().map(|cell| Task { cell }).collect())
    })
}

/// Gives up the turn: every task that is ready now runs before this one goes on. asyncio: `sleep(0)`.
///
/// # Errors
///
/// Only cancellation. In a callback, [`InvalidInput`](io::ErrorKind::InvalidInput). On a thread without a loop it yields
/// the thread.
///
/// # Suspends
///
/// Always, for one turn.
///
/// ```
/// use corio::{run, spawn, yield_now};
///
/// run(|| {
///     let task = spawn(|| Ok(()));
///     yield_now()?;
///     assert!(task.is_done());
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[inline(always)]
#[track_caller]
pub fn yield_now() -> io::Result<()> {
    let at = caller();
    in_context(
        #[inline(always)]
        |context| match context {
            Context::Task(lp, task) => {
                checkpoint(lp, task, at)?;
                park(lp, task, Want::Turn, at);
                if task.core.is_cancelled() { Err(crate::error::cancelled()) } else { Ok(()) }
            }
            context => yield_elsewhere(context),
        },
    )
}

#[cold]
#[inline(never)]
fn yield_elsewhere(context: Context<'_>) -> io::Result<()> {
    match context {
        Context::Outside => {
            std::thread::yield_now();
            Ok(())
        }
        Context::Unwinding(..) => Err(refuse_while_unwinding()),
        _ => Err(not_in_a_callback()),
    }
}

/// Runs `f` and makes sure that it does not suspend: for code that relies on nothing else running in between, such as a
/// lazy initialiser of a thread-local.
///
/// asyncio needs none: there every pause is seen as an `await`.
///
/// # Panics
///
/// A suspending call inside `f` panics at its own line, whether or not it would have had to wait.
///
/// ```should_panic
/// corio::run(|| {
///     corio::no_suspend(|| corio::yield_now()) // panics
/// }).unwrap();
/// ```
pub fn no_suspend<R>(f: impl FnOnce() -> R) -> R {
    struct Restore<'a>(&'a EventLoop, usize);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            self.0.no_suspend.set(self.1);
        }
    }
    EventLoop::with_current(|lp| {
        let Some(lp) = lp else { return f() };
        let outer = lp.no_suspend.replace(crate::sys::stack_pointer());
        let _restore = Restore(lp, outer);
        f()
    })
}

pub(crate) fn cancel_all(lp: &EventLoop, cause: &cancel::Cause) {
    for task in lp.all_tasks() {
        cancel::cancel_task(&task, cause.clone());
    }
}
