//! Waiting: the one place where a function stops, and the list that finds it again.
//!
//! A task with a stack stops in [`park`] only; one without returns `Pending` from its poll. Waking it never runs it: the wake puts it into the ready queue, and it looks for
//! itself whether what it wanted is there. So a wake may be spurious, and none may be lost.
//!
//! [`WaitList`] is a queue of parked tasks, first in first out. Its nodes live in the frames of the tasks that wait: a
//! wait allocates nothing. That is sound because a frame on a task's stack goes away only by returning or unwinding
//! (R1, R4), and both run the guard that takes the node out of the list. Those of what is awaited live in pinned futures, whose
//! destructors do the same.

use std::cell::Cell;
use std::rc::Rc;
use std::{io, ptr};

use super::TaskRef;
use super::waker::{Foreign, is_own};
use crate::error::{Shutdown, cancelled};
use crate::event_loop::EventLoop;
use crate::observe::event::{By, Place, Want};
use crate::task::Input;

/// Where a suspending call was made.
pub(crate) enum Context<'a> {
    /// On a task: it can wait.
    Task(&'a EventLoop, &'a TaskRef),
    /// On a task that is unwinding. Nothing may switch now (R5): try once, then fail.
    Unwinding(&'a EventLoop, &'a TaskRef),
    /// On a loop's thread, but in a callback: nobody could wait here.
    Callback,
    /// On a thread without a loop: the thread itself may block.
    Outside,
}

/// Finds out where the caller stands and hands it to `f`.
#[inline(always)]
pub(crate) fn in_context<R>(f: impl FnOnce(Context<'_>) -> R) -> R {
    EventLoop::with_current(
        #[inline(always)]
        |lp| {
            let Some(lp) = lp else { return f(Context::Outside) };
            let Some(task) = lp.current() else { return f(Context::Callback) };
            if std::thread::panicking() {
                return f(Context::Unwinding(lp, task));
            }
            f(Context::Task(lp, task))
        },
    )
}

/// The error of a suspending call that was made in a callback.
#[cold]
pub(crate) fn not_in_a_callback() -> io::Error {
    if EventLoop::with_current(|lp| lp.is_some_and(|lp| lp.running().is_some())) {
        return crate::error::misuse(
            "a task without a stack cannot be paused by a call: `await` what `corio::aio` has for it, or spawn a task with \
             `corio::spawn` and await its handle",
        );
    }
    crate::error::misuse("a callback cannot wait: it runs on the loop itself; spawn a task that waits instead")
}

/// The error of a suspending call that was made while its task unwinds (R5).
///
/// Nothing can be switched to, so a destructor that tries for ever would hang the thread in silence. It is counted,
/// named early and ended late.
#[cold]
#[track_caller]
pub(crate) fn refuse_while_unwinding() -> io::Error {
    const WARN_AT: u32 = 100;
    const ABORT_AT: u32 = 10_000_000;
    EventLoop::with_current(|lp| {
        let Some(lp) = lp else { return };
        let Some(task) = lp.current() else { return };
        let refused = lp.refused.get() + 1;
        lp.refused.set(refused);
        let at = std::panic::Location::caller();
        if refused == WARN_AT {
            log::warn!(target: "corio::task",
                "{task} is unwinding, so it cannot wait, and was refused {refused} waits; the last one at {at}");
        }
        if refused >= ABORT_AT {
            crate::fatal(format_args!(
                "{task} is unwinding and does not stop trying to wait, which nothing can end; the wait is at {at}"
            ));
        }
    });
    cancelled()
}

/// What every suspending call does first: it fails in a cancelled scope, and lets others run when its turn was long.
///
/// A call that fails here still goes once round the loop, so code that ignores the error cannot starve the others (R14).
#[inline(always)]
// ANCHOR: checkpoint
pub(crate) fn checkpoint(lp: &EventLoop, task: &TaskRef, at: Place) -> io::Result<()> {
    lp.assert_may_suspend(at);
    if task.core.is_cancelled() {
        return Err(fail_cancelled(lp, task, at));
    }
    if lp.spend_budget() {
        return Ok(());
    }
    rest(lp, task, at)
}
// ANCHOR_END: checkpoint

/// What a call does that cannot fail, or has its result already: it lets others run when its turn was long. A cancellation
/// is left to the next call (R13).
#[inline(always)]
pub(crate) fn give_way(lp: &EventLoop, task: &TaskRef, at: Place) {
    lp.assert_may_suspend(at);
    if !lp.spend_budget() {
        lp.note_unfailing(&task.core);
        park(lp, task, Want::Turn, at);
    }
}

/// The turn was long: to the end of the queue.
#[cold]
#[inline(never)]
fn rest(lp: &EventLoop, task: &TaskRef, at: Place) -> io::Result<()> {
    park(lp, task, Want::Turn, at);
    if task.core.is_cancelled() { Err(cancelled()) } else { Ok(()) }
}

#[cold]
#[inline(never)]
fn fail_cancelled(lp: &EventLoop, task: &TaskRef, at: Place) -> io::Error {
    report_ignored(task, at);
    park(lp, task, Want::Turn, at);
    cancelled()
}

/// The task goes on although it was cancelled. Code that does so for long is named, once.
#[cold]
pub(crate) fn report_ignored(task: &TaskRef, at: Place) {
    const REPORT_AT: u16 = 1_000;
    let fruitless = task.core.count_fruitless();
    if fruitless == REPORT_AT {
        log::warn!(target: "corio::task",
            "{task} was cancelled and has ignored it {fruitless} times, the last time at {at}; \
             a cancelled call fails until its scope ends, so leave with the error or call `uncancel`");
    }
}

/// Suspends the running task until somebody wakes it, perhaps for nothing.
///
/// The caller has made sure that the thread is not panicking, and has put itself where the waker will look.
#[inline(always)]
pub(crate) fn park(_lp: &EventLoop, task: &TaskRef, want: Want, at: Place) {
    match task.core.suspend(want, at) {
        Input::Go => {}
        Input::Throw => Shutdown::throw(),
        #[cfg(feature = "backtrace")]
        Input::Report => unreachable!("answered where the task is suspended"),
    }
}

/// A task that waits, for one thing or for several at once. Lies in the frame of the wait, or in its future.
///
/// At most one of the things that it waits for is *granted* to it: handed over by whoever had it, so that nobody can take
/// it in between. What was granted belongs to the task, even if it is cancelled before it runs (R13).
pub(crate) struct Waiter {
    task: TaskRef,
    /// The arm of the wait that was granted.
    granted: Cell<Option<u32>>,
    /// Who is told in the task's place.
    foreign: Option<Rc<Foreign>>,
}

impl Waiter {
    #[inline]
    pub(crate) fn new(task: &TaskRef) -> Waiter {
        Waiter { task: task.clone(), granted: Cell::new(None), foreign: None }
    }

    pub(crate) fn told_by(task: &TaskRef, foreign: Option<Rc<Foreign>>) -> Waiter {
        Waiter { foreign, ..Waiter::new(task) }
    }

    #[inline]
    pub(crate) fn granted(&self) -> Option<u32> {
        self.granted.get()
    }

    pub(crate) fn task(&self) -> &TaskRef {
        &self.task
    }

    pub(crate) fn foreign(&self) -> Option<&Rc<Foreign>> {
        self.foreign.as_ref()
    }

    /// Whether it tells whoever polls with that waker, and is that task's.
    pub(crate) fn is_for(&self, lp: &EventLoop, task: &TaskRef, waker: &std::task::Waker) -> bool {
        // An executor that was handed on has the same waker in the next task.
        self.task.ptr_eq(task)
            && match &self.foreign {
                None => is_own(lp, task, waker),
                Some(foreign) => foreign.is_behind(waker),
            }
    }

    #[inline(always)]
    fn wake(&self, lp: &EventLoop, by: By) {
        match &self.foreign {
            None => lp.wake(&self.task, by),
            Some(foreign) => foreign.tell(lp),
        }
    }
}

/// The place of a [`Waiter`] in one list.
pub(crate) struct Node {
    /// Null until it is linked for the first time.
    waiter: Cell<*const Waiter>,
    /// Which of the things that the waiter waits for this list has.
    arm: Cell<u32>,
    /// What the list's owner wants to know of its waiters: a reader is no writer.
    pub(crate) tag: Cell<u32>,
    /// What a waiter brings for whoever grants, if anything; in its frame, like the node.
    pub(crate) brings: Cell<*const ()>,
    next: Cell<*const Node>,
    prev: Cell<*const Node>,
}

impl Default for Node {
    #[inline]
    fn default() -> Node {
        Node {
            waiter: Cell::new(ptr::null()),
            arm: Cell::new(0),
            tag: Cell::new(0),
            brings: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
        }
    }
}

impl Node {
    /// The task that waits here; only of a linked node.
    #[inline]
    pub(crate) fn task(&self) -> &TaskRef {
        self.waiter().task()
    }

    /// Who waits here; only of a linked node.
    #[inline]
    fn waiter(&self) -> &Waiter {
        // SAFETY: set by `link`, whose caller keeps the waiter until the node is unlinked (R4).
        unsafe { &*self.waiter.get() }
    }
}

/// Tasks that wait for the same thing, in the order in which they came.
///
/// A circle of nodes; `first` is the one that came first, its `prev` the one that came last.
pub(crate) struct WaitList {
    first: Cell<*const Node>,
}

/// Whether a wait may be given up when its task is cancelled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It fails with the cancellation.
    Cancellable,
    /// It waits for what the task owns: the cancellation is passed on, and the end awaited.
    Owned,
    /// It is the limit of another wait, which is to say what comes of a cancellation.
    Limit,
}

impl WaitList {
    pub(crate) const fn new() -> WaitList {
        WaitList { first: Cell::new(ptr::null()) }
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.get().is_null()
    }

    /// Parks the task until it is notified. A notification that has come wins over a cancellation (R13).
    #[inline(always)]
    pub(crate) fn wait(
        &self,
        lp: &EventLoop,
        task: &TaskRef,
        want: Want,
        at: Place,
        patience: Patience,
    ) -> io::Result<()> {
        self.wait_unless(lp, task, want, at, patience, || false)
    }

    /// The same, but a wait that `too_late` ends with `TimedOut`.
    #[inline(always)]
    pub(crate) fn wait_unless(
        &self,
        lp: &EventLoop,
        task: &TaskRef,
        want: Want,
        at: Place,
        patience: Patience,
        too_late: impl Fn() -> bool,
    ) -> io::Result<()> {
        // A cancellation that came while the task was ready, woken for nothing, has used its wake up.
        if patience == Patience::Cancellable && task.core.is_cancelled() {
            return Err(cancelled());
        }
        let (waiter, node) = (Waiter::new(task), Node::default());
        // SAFETY: both are declared before the guard, so it is dropped before them, also when the wait unwinds.
        unsafe { self.link(&node, &waiter, 0) };
        let _linked = Linked { list: self, node: &node };
        // ANCHOR: wait
        loop {
            park(lp, task, want, at);
            if waiter.granted().is_some() {
                return Ok(());
            }
            if patience == Patience::Cancellable && task.core.is_cancelled() {
                return Err(cancelled());
            }
            if too_late() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        // ANCHOR_END: wait
    }

    /// Puts a waiter at the end.
    ///
    /// # Safety
    ///
    /// Node and waiter stay where they are until the node is [unlinked](Self::unlink).
    #[inline]
    pub(crate) unsafe fn link(&self, node: &Node, waiter: &Waiter, arm: u32) {
        node.waiter.set(waiter);
        node.arm.set(arm);
        self.push(node);
    }

    /// The first that still waits: one that was granted something else meanwhile does not.
    #[inline]
    pub(crate) fn first(&self) -> Option<&Node> {
        loop {
            // SAFETY: a linked node is alive: it lies in the frame of a suspended wait, whose guard unlinks it first (R4).
            let node = unsafe { self.first.get().as_ref() }?;
            if node.waiter().granted().is_none() {
                return Some(node);
            }
            self.unlink(node);
        }
    }

    /// Grants to the first that still waits what it waits for, and tells who that is; `None` if nobody waits.
    #[inline]
    pub(crate) fn grant(&self, lp: &EventLoop, by: By) -> Option<&TaskRef> {
        let node = self.first()?;
        Some(self.grant_to(node, lp, by))
    }

    /// Grants to this one, who is in the list, what it waits for.
    #[inline]
    pub(crate) fn grant_to<'a>(&self, node: &'a Node, lp: &EventLoop, by: By) -> &'a TaskRef {
        self.unlink(node);
        let waiter = node.waiter();
        waiter.granted.set(Some(node.arm.get()));
        lp.note_given(&waiter.task.core);
        waiter.wake(lp, by);
        &waiter.task
    }

    /// Grants it to all who wait now.
    #[inline(always)]
    pub(crate) fn notify_all(&self, lp: &EventLoop, by: By) {
        while let Some(node) = self.first() {
            self.grant_to(node, lp, by);
        }
    }

    /// Wakes all who wait now, without granting anything: they are to look again, and keep their places.
    pub(crate) fn wake_all(&self, lp: &EventLoop, by: By) {
        let first = self.first.get();
        let mut next = first;
        // SAFETY: linked nodes are alive, see `first`; waking runs nobody.
        while let Some(node) = unsafe { next.as_ref() } {
            node.waiter().wake(lp, by);
            next = node.next.get();
            if ptr::eq(next, first) {
                break;
            }
        }
    }

    /// Lets the processor fetch what waking the first will touch.
    pub(crate) fn fetch_ahead(&self) {
        if let Some(node) = self.first() {
            let task = &node.waiter().task.core;
            crate::sys::prefetch(std::ptr::from_ref(task).addr(), size_of_val(task));
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        let first = self.first.get();
        let (mut next, mut len) = (first, 0);
        // SAFETY: linked nodes are alive, see `first`.
        while let Some(node) = unsafe { next.as_ref() } {
            len += usize::from(node.waiter().granted().is_none());
            next = node.next.get();
            if ptr::eq(next, first) {
                break;
            }
        }
        len
    }

    fn push(&self, node: &Node) {
        let new = ptr::from_ref(node);
        // SAFETY: linked nodes are alive, see `first`.
        match unsafe { self.first.get().as_ref() } {
            None => {
                node.next.set(new);
                node.prev.set(new);
                self.first.set(new);
            }
            Some(first) => {
                let last = first.prev.replace(new);
                node.prev.set(last);
                node.next.set(first);
                // SAFETY: as above; `last` is linked.
                unsafe { (*last).next.set(new) };
            }
        }
    }

    /// Takes a node out; one that is out already stays out.
    pub(crate) fn unlink(&self, node: &Node) {
        let (next, prev) = (node.next.replace(ptr::null()), node.prev.replace(ptr::null()));
        if next.is_null() {
            return;
        }
        if ptr::eq(next, node) {
            self.first.set(ptr::null());
            return;
        }
        // SAFETY: linked nodes are alive, see `first`.
        unsafe {
            (*next).prev.set(prev);
            (*prev).next.set(next);
        }
        if ptr::eq(self.first.get(), node) {
            self.first.set(next);
        }
    }
}

struct Linked<'a> {
    list: &'a WaitList,
    node: &'a Node,
}

impl Drop for Linked<'_> {
    fn drop(&mut self) {
        self.list.unlink(self.node);
    }
}
