//! Structured concurrency: a region that does not end before its tasks.
//!
//! [`scope`] has the shape of [`std::thread::scope`], and is asyncio's `TaskGroup`. Its tasks may borrow from the frames
//! around it. What makes that sound (R2): the scope waits for the end of every child *after* it has caught a panic of its
//! body, it waits in no destructor, and that wait cannot be given up. A child counts as gone only when its function has
//! returned or unwound, its captures are dropped, and its result is handed over, dropped or leaked; the loop counts, not
//! the child. Chapter: `docs/book/groups.md`.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::cancel::{self, Cause, needs_a_task};
use crate::error;
use crate::event_loop::EventLoop;
use crate::failure::{Failure, Value, Whose};
use crate::observe::event::{By, Event, Place, Want};
use crate::stack::StackSize;
use crate::task::body::{Function, Payload, Sink, drop_quietly, panic_text, report};
use crate::task::wait::{Context, Patience, WaitList, checkpoint, give_way, in_context, refuse_while_unwinding};
use crate::task::{
    Body, Builder, IntoResult, Polled, ScopedJoinHandle, State, TaskCore, TaskRef, Ticket, caller, not_in_a_callback,
    start_now,
};

/// What the loop knows of a scope: its children, and whether they are to end. Lies in the frame of [`scope`].
pub(crate) struct Group {
    pub(crate) id: u64,
    /// Where the scope was opened.
    pub(crate) at: Place,
    owner: TaskRef,
    /// In no order. Each knows its place in here.
    children: RefCell<Vec<TaskRef>>,
    cause: RefCell<Option<Cause>>,
    /// A child has failed, whoever took its error.
    failed: Cell<bool>,
    /// A child was cut short by a cancellation, and nobody was there to take its error.
    cut: Cell<bool>,
    waiters: WaitList,
}

impl Group {
    pub(crate) fn owner(&self) -> &TaskCore {
        &self.owner.core
    }

    pub(crate) fn cause(&self) -> Option<Cause> {
        self.cause.borrow().clone()
    }

    fn is_cancelled(&self) -> bool {
        self.cause.borrow().is_some()
    }

    /// Cancels the region: the children, and what is left of the body.
    fn cancel(&self, cause: Cause) {
        if self.is_cancelled() {
            return;
        }
        *self.cause.borrow_mut() = Some(cause.clone());
        EventLoop::with_current(|lp| {
            if let Some(lp) = lp {
                cancel::cancel_region(lp, &self.owner, self, &cause);
            }
        });
    }

    /// Hands out the children that a cancellation of the region concerns, oldest first: all but the one whose failure is
    /// the reason, and which is about to be gone.
    pub(crate) fn each_to_be_cancelled(&self, mut each: impl FnMut(TaskRef)) {
        let mut children = self.children.borrow().clone();
        children.sort_unstable_by_key(|child| child.core.id());
        for child in children {
            let is_the_reason = child.core.has_ended() && child.core.state() == State::Running;
            if !is_the_reason {
                each(child);
            }
        }
    }

    /// A child has been put into the loop's table.
    #[inline]
    pub(crate) fn add(&self, child: &TaskRef) {
        let mut children = self.children.borrow_mut();
        child.core.place_in_group.set(children.len() as u32);
        children.push(child.clone());
    }

    /// Takes a child out, and tells whether it was the last that was left.
    #[inline]
    fn remove(&self, child: &TaskCore) -> (TaskRef, bool) {
        let mut children = self.children.borrow_mut();
        let place = child.place_in_group.get();
        let removed = children.swap_remove(place as usize);
        if let Some(moved) = children.get(place as usize) {
            moved.core.place_in_group.set(place);
        }
        (removed, children.is_empty())
    }

    /// A child is gone; only the loop says so.
    #[inline]
    pub(crate) fn gone(&self, lp: &EventLoop, child: &TaskCore) {
        if child.ended_cancelled() && !child.has_handle() {
            self.cut.set(true);
        }
        let (removed, was_last) = self.remove(child);
        if was_last {
            self.all_gone(lp, By::Task(child.id()));
        }
        drop(removed);
    }

    #[inline(never)]
    fn all_gone(&self, lp: &EventLoop, by: By) {
        self.waiters.notify_all(lp, by);
    }

    fn is_empty(&self) -> bool {
        self.children.borrow().is_empty()
    }

    /// Whether the task is a child, or below one: then the group cannot end before it.
    fn is_above(&self, task: &TaskCore) -> bool {
        let mut group = task.group.get();
        // SAFETY: a group outlives its children, and the owner outlives the group that lies in its frame (R2).
        while let Some(next) = unsafe { group.as_ref() } {
            if std::ptr::eq(next, self) {
                return true;
            }
            group = next.owner().group.get();
        }
        false
    }

    fn newest(&self) -> Option<TaskRef> {
        self.children.borrow().iter().max_by_key(|child| child.core.id()).cloned()
    }

    /// Waits until no child is left. Nothing but the throw of a shutdown ends this wait early.
    fn wait(&self, lp: &EventLoop, at: Place, patience: Patience) -> io::Result<()> {
        while !self.is_empty() {
            let me = lp.current().expect("a scope is waited for by a task");
            self.waiters.wait(lp, me, Want::Children { group: self.id }, at, patience)?;
        }
        Ok(())
    }

    /// The shutdown throws through this scope: its children go first, newest first, on top of this stack (R2). A backstop:
    /// the shutdown itself ends the newest tasks first, and so finds the children before their scope.
    fn end_by_force(&self, lp: &EventLoop) {
        while let Some(child) = self.newest() {
            lp.end_by_force(&child);
        }
    }
}

/// What a scope's tasks leave behind. Erased children point to it, so it does not move (R2).
struct Ledger<E> {
    group: Group,
    errors: RefCell<Vec<E>>,
    panics: RefCell<Vec<Payload>>,
    /// Whether an error that was met after a cancellation is only its echo.
    is_echo: fn(&E) -> bool,
}

/// A child's way to the ledger of its scope.
struct ToLedger<E>(*const Ledger<E>);

impl<E> ToLedger<E> {
    fn ledger(&self) -> &Ledger<E> {
        // SAFETY: the scope's frame, in which the ledger lies, outlives every child and every handle of one (R2). A
        // forgotten handle never calls this.
        unsafe { &*self.0 }
    }
}

impl<E> Sink<E> for ToLedger<E> {
    fn failed(&self, _: &TaskCore) {
        let ledger = self.ledger();
        ledger.group.failed.set(true);
        ledger.group.cancel(Cause::Sibling);
    }

    fn error(&self, _: &TaskCore, error: E, after_cancel: bool) {
        if !after_cancel || !(self.ledger().is_echo)(&error) {
            self.ledger().errors.borrow_mut().push(error);
        } else {
            drop_quietly(error, "a task's error");
        }
    }

    fn panic(&self, _: &TaskCore, payload: Payload) {
        self.ledger().panics.borrow_mut().push(payload);
    }
}

/// A region for tasks that borrow; see [`scope`].
///
/// ```
/// use corio::{Runner, Scope, scope, secs, sleep, timeout};
/// use std::cell::Cell;
///
/// /// A function may spawn in its caller's scope.
/// fn serve<'scope>(s: &'scope Scope<'scope, '_>, served: &'scope Cell<u32>) {
///     for client in 1..=3 {
///         s.spawn(move || {
///             sleep(secs(10 * client))?;
///             served.set(served.get() + 1);
///             Ok(())
///         });
///     }
/// }
///
/// Runner::new().virtual_clock().run(|| {
///     let served = Cell::new(0);
///     let left = scope(|s| {
///         serve(s, &served);
///         assert_eq!(s.len(), 3);
///         if timeout(secs(15), || s.wait()).is_err() {
///             s.cancel(); // patience is over, and that is no failure
///         }
///         assert!(s.cancelled() && !s.is_empty()); // they were told, and have not ended yet
///         Ok(s.len())
///     })?;
///     assert_eq!((served.get(), left), (1, 2));
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[doc(alias = "TaskGroup")]
#[doc(alias = "Nursery")]
pub struct Scope<'scope, 'env: 'scope, E = io::Error> {
    ledger: Ledger<E>,
    /// Both lifetimes are invariant, as in std: neither may shrink while children rely on it.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Runs `f` with a [`Scope`] in which it may spawn tasks that borrow, and returns when all of them have ended.
///
/// The first task that fails (or the body, by its error) cancels the others, and the region with them. When all have
/// ended, the first failure is returned; if there were several, an error of its kind that lists them all
/// ([`errors`](crate::errors)). A panic cancels the others too and goes on when they have ended. If all is well, the
/// body's value is returned.
///
/// Cancelling the task that runs the scope cancels the children; the scope still waits for their ends, and is then
/// cancelled too, unless all of them had succeeded.
///
/// Children may borrow what is declared *before* the scope, and not what its body declares. A loop variable goes in by
/// `move`, and what is shared goes along as a reference:
/// `let log = &log; for i in 0..3 { s.spawn(move || work(i, log)); }`.
///
/// A failure cancels the scope also if [`outcome`](ScopedJoinHandle::outcome) takes it, and in a cancelled scope no task
/// begins any more. Whoever tries again opens a scope for each try, and stops if [`cancel_cause`](crate::cancel_cause)
/// gives a reason.
///
/// asyncio: `asyncio.TaskGroup`; trio: a nursery; std: [`std::thread::scope`].
///
/// # Errors
///
/// The first failure of a child or of the body. If a child's error was taken by `join` and the body returned a value all
/// the same, the scope says so: the siblings were cancelled. [`InvalidInput`](io::ErrorKind::InvalidInput) outside a
/// task.
///
/// # Panics
///
/// If the body or a child panicked.
///
/// # Suspends
///
/// When the body has ended, until the last child has. That wait passes a cancellation on to the children and is not
/// ended by it. Before the body begins, if the turn was long.
///
/// ```
/// use corio::{millis, run, scope, sleep};
/// use std::cell::RefCell;
///
/// run(|| {
///     let log = RefCell::new(Vec::new());
///     scope(|s| {
///         s.spawn(|| log.borrow_mut().push("a child"));
///         s.spawn(|| {
///             sleep(millis(5))?;
///             log.borrow_mut().push("another");
///             Ok(())
///         });
///         log.borrow_mut().push("the body");
///         Ok(())
///     })?;
///     assert_eq!(*log.borrow(), ["the body", "a child", "another"]);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn scope<'env, R, F>(f: F) -> io::Result<R::Value>
where
    R: IntoResult,
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
{
    open(f, |e| error::is_cancelled(e), error::group, caller())
}

/// `scope` for any error; `merge` makes one error of several.
pub(crate) fn open<'env, R, E, F>(
    f: F,
    is_echo: fn(&E) -> bool,
    merge: fn(Vec<E>) -> Option<E>,
    at: Place,
) -> Result<R::Value, E>
where
    R: IntoResult<E>,
    E: From<io::Error>,
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env, E>) -> R,
{
    in_context(|context| match context {
        Context::Task(lp, task) | Context::Unwinding(lp, task) => {
            if !std::thread::panicking() {
                give_way(lp, task, at);
            }
            let group = Group {
                id: lp.next_group_id(),
                at,
                owner: task.clone(),
                children: RefCell::default(),
                cause: RefCell::default(),
                failed: Cell::new(false),
                cut: Cell::new(false),
                waiters: WaitList::new(),
            };
            let ledger = Ledger { group, errors: RefCell::default(), panics: RefCell::default(), is_echo };
            let scope = Scope { ledger, scope: PhantomData, env: PhantomData };
            lp.emit(|| Event::GroupOpen { group: scope.ledger.group.id, task: task.core.id(), at });
            let body = cancel::within_group(lp, task, &scope.ledger.group, || {
                let body = catch_unwind(AssertUnwindSafe(|| f(&scope).into_result()));
                close(lp, &scope.ledger, !matches!(body, Ok(Ok(_))), at);
                body
            });
            lp.emit(|| Event::GroupClose { group: scope.ledger.group.id });
            // Not by the scope itself, but from outside, and it reached a child: the work was not done.
            let group = &scope.ledger.group;
            let cut_from_outside = group.cut.get() && !group.is_cancelled() && task.core.is_cancelled();
            settle(&scope.ledger, body, cut_from_outside, merge)
        }
        Context::Callback | Context::Outside => Err(needs_a_task("a scope").into()),
    })
}

/// Waits for the children, whatever happens.
// ANCHOR: close
fn close<E>(lp: &EventLoop, ledger: &Ledger<E>, failed: bool, at: Place) {
    let group = &ledger.group;
    if failed {
        group.cancel(Cause::Sibling);
    }
    if group.is_empty() {
        return;
    }
    // A body that panicked has been caught, so this thread is not panicking and may wait.
    let waited = catch_unwind(AssertUnwindSafe(|| group.wait(lp, at, Patience::Owned)));
    if let Err(thrown) = waited {
        group.end_by_force(lp);
        lp.emit(|| Event::GroupClose { group: group.id });
        resume_unwind(thrown);
    }
}
// ANCHOR_END: close

/// What the scope returns, when all children are gone.
fn settle<T, E: From<io::Error>>(
    ledger: &Ledger<E>,
    body: Result<Result<T, E>, Box<dyn Any + Send>>,
    cut_from_outside: bool,
    merge: fn(Vec<E>) -> Option<E>,
) -> Result<T, E> {
    let mut panics = ledger.panics.take().into_iter();
    let mut errors = ledger.errors.take();
    let (body, panic) = match body {
        Ok(body) => (Some(body), panics.next()),
        Err(panic) => (None, Some(panic)),
    };
    for other in panics {
        let text = panic_text(&*other);
        report(&Failure { whose: Whose::Scope, at: ledger.group.at, text, value: Value::Panic(&*other) });
        drop_quietly(other, "the payload of a panic");
    }
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
    let failed = ledger.group.failed.get();
    match body.expect("a body that did not panic has ended") {
        Ok(_) if errors.is_empty() && !failed && cut_from_outside => return Err(error::cancelled().into()),
        Ok(value) if errors.is_empty() && !failed => return Ok(value),
        Ok(_) => {}
        // The body met the cancellation that a child's failure caused.
        Err(echo) if failed && !errors.is_empty() && (ledger.is_echo)(&echo) => {}
        Err(error) => errors.push(error),
    }
    Err(merge(errors).unwrap_or_else(|| {
        io::Error::other(
            "a task of the scope failed; its error was taken by `join` or `outcome`, and the other tasks were cancelled",
        )
        .into()
    }))
}

impl<'scope, 'env, E> Scope<'scope, 'env, E> {
    /// Spawns a task that may borrow whatever outlives the scope. It may be called from the body, from children, and
    /// from functions that are handed the scope.
    ///
    /// In a scope that is cancelled, or while the caller unwinds from a panic, the task never runs: its function is
    /// dropped, and the handle says so.
    ///
    /// # Panics
    ///
    /// If no stack can be had for it; see [`Builder::spawn_scoped`](crate::Builder::spawn_scoped).
    ///
    /// asyncio: `TaskGroup.create_task`.
    #[track_caller]
    pub fn spawn<F, R>(&'scope self, f: F) -> ScopedJoinHandle<'scope, R::Value, E>
    where
        F: FnOnce() -> R + 'scope,
        R: IntoResult<E> + 'scope,
        E: From<io::Error> + 'scope,
    {
        self.spawn_at(f, caller())
    }

    #[track_caller]
    pub(crate) fn spawn_at<F, R>(&'scope self, f: F, at: Place) -> ScopedJoinHandle<'scope, R::Value, E>
    where
        F: FnOnce() -> R + 'scope,
        R: IntoResult<E> + 'scope,
        E: From<io::Error> + 'scope,
    {
        match self.spawn_with(Builder::new(), f, at) {
            Ok(handle) => handle,
            Err(error) => panic!("cannot spawn a task: {error}"),
        }
    }

    pub(crate) fn spawn_with<F, R>(
        &'scope self,
        builder: Builder,
        f: F,
        at: Place,
    ) -> io::Result<ScopedJoinHandle<'scope, R::Value, E>>
    where
        F: FnOnce() -> R + 'scope,
        R: IntoResult<E> + 'scope,
        E: From<io::Error> + 'scope,
    {
        let (eager, size) = (builder.eager, builder.size()?);
        let body = |to_ledger| Function::<F, R::Value, E, _>::new(f, to_ledger);
        // SAFETY: the body is of these types.
        let handle = unsafe { self.launch(builder, size, at, body) }?;
        if eager {
            start_now(&handle.cell);
        }
        Ok(handle)
    }

    /// A child without a stack, which is polled.
    pub(crate) fn spawn_future_with<F, R>(
        &'scope self,
        builder: Builder,
        future: F,
        at: Place,
    ) -> io::Result<ScopedJoinHandle<'scope, R::Value, E>>
    where
        F: Future<Output = R> + 'scope,
        R: IntoResult<E> + 'scope,
        E: From<io::Error> + 'scope,
    {
        builder.check_that_it_needs_no_stack()?;
        let body = |to_ledger| Polled::<F, R::Value, E, _>::new(future, to_ledger);
        // SAFETY: the body is of these types.
        unsafe { self.launch(builder, StackSize::NONE, at, body) }
    }

    /// # Safety
    ///
    /// The body's result is of these types.
    #[inline]
    unsafe fn launch<B, T>(
        &'scope self,
        builder: Builder,
        size: StackSize,
        at: Place,
        body: impl FnOnce(ToLedger<E>) -> B,
    ) -> io::Result<ScopedJoinHandle<'scope, T, E>>
    where
        B: Body + 'scope,
        E: From<io::Error> + 'scope,
    {
        let ledger = &self.ledger;
        let make = move |lp: &EventLoop, core: TaskCore| {
            // SAFETY: what the function or the future borrows outlives the scope, and the scope does not end
            // before the loop has counted the child as gone, on return, error, panic, cancellation and shutdown alike
            // (`close`, R2); if it cannot, the process is aborted. Afterwards the cell may live on in a `Task`, but its
            // body is empty, or was leaked together with a forgotten handle, and is never looked at again.
            unsafe { TaskRef::new(lp, core, || body(ToLedger(ledger))) }
        };
        let cell = builder.launch(size, &ledger.group, at, make)?;
        if let Some(cause) = cancel::cause_for_child(&ledger.group.owner, &ledger.group) {
            cancel::cancel_task(&cell, cause);
        }
        // SAFETY: the caller's promise is the same.
        let ticket = unsafe { Ticket::new(cell) };
        Ok(ScopedJoinHandle { ticket, scope: PhantomData })
    }

    /// Cancels the region: the children, and every further wait of the body. The children's cancellation is no failure:
    /// a body that returns a value ends the scope early and well.
    pub fn cancel(&self) {
        self.ledger.group.cancel(Cause::Requested(None));
    }

    /// Whether the region was cancelled, by [`cancel`](Self::cancel) or by a failure.
    pub fn cancelled(&self) -> bool {
        self.ledger.group.is_cancelled()
    }

    /// How many children there are that have not ended.
    pub fn len(&self) -> usize {
        self.ledger.group.children.borrow().len()
    }

    /// Whether no child is left.
    pub fn is_empty(&self) -> bool {
        self.ledger.group.is_empty()
    }

    /// Waits until no child is left. The scope does so anyway; this is for a body that wants to do something then, or to
    /// limit the wait: `timeout(d, || s.wait())`.
    ///
    /// # Errors
    ///
    /// Only cancellation; and [`Deadlock`](io::ErrorKind::Deadlock) in a task of this very scope, or below one.
    ///
    /// # Suspends
    ///
    /// While a child is left.
    #[track_caller]
    pub fn wait(&self) -> io::Result<()> {
        let at = caller();
        in_context(|context| match context {
            Context::Task(lp, me) => {
                checkpoint(lp, me, at)?;
                if self.ledger.group.is_above(&me.core) {
                    return Err(io::Error::new(
                        io::ErrorKind::Deadlock,
                        "`Scope::wait` in a task of that scope: it would wait for its own end",
                    ));
                }
                self.ledger.group.wait(lp, at, Patience::Cancellable)
            }
            _ if self.is_empty() => Ok(()),
            Context::Unwinding(..) => Err(refuse_while_unwinding()),
            Context::Callback | Context::Outside => Err(not_in_a_callback()),
        })
    }
}

impl<E> std::fmt::Debug for Scope<'_, '_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope").field("children", &self.len()).field("cancelled", &self.cancelled()).finish()
    }
}
