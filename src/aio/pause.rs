//! A wait as a future: the counterpart of the wait in `select.rs`, for anything that can stand in a `select`.

use std::io;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{cancelled, misuse};
use crate::event_loop::EventLoop;
use crate::observe::event::{Event, Place, Want};
use crate::select::{Arms, Cx, Only, Told, Wait};
use crate::task::wait::{Patience, Waiter, report_ignored};
use crate::task::waker::Foreign;
use crate::task::{TaskRef, Who, caller, no_suspend};

/// Runs `f` on the task that polls.
pub(super) fn on_task<T>(f: impl FnOnce(&EventLoop, &TaskRef) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    EventLoop::with_current(|lp| match lp.and_then(|lp| Some((lp, lp.running()?))) {
        // What is the user's in it, such as the clone of a waker, may not pause, nor yield out of a coroutine.
        Some((lp, task)) => no_suspend(|| f(lp, task)),
        None => Poll::Ready(Err(polled_by_nobody())),
    })
}

pub(super) fn polled_by_nobody() -> io::Error {
    misuse(
        "what `corio::aio` has is polled by a task of a loop: `await` it inside `aio::block_on`, `aio::spawn_local` or \
         `aio::wait_on`",
    )
}

/// Ends the turn of the task: it is polled again in the next.
pub(super) fn rest(lp: &EventLoop, at: Place, context: &Context<'_>) {
    lp.say(Want::Turn, at);
    context.waker().wake_by_ref();
}

/// What every future does first; see `checkpoint` in `wait.rs`.
#[derive(Default)]
pub(super) struct Checkpoint {
    rests_always: bool,
    rested: bool,
    over: bool,
}

impl Checkpoint {
    /// One at which others always have their turn.
    pub(super) fn of_a_rest() -> Checkpoint {
        Checkpoint { rests_always: true, ..Checkpoint::default() }
    }

    /// Fails in a cancelled task, after others have had their turn, and lets them have it when this one was long.
    pub(super) fn poll(
        &mut self,
        lp: &EventLoop,
        task: &TaskRef,
        at: Place,
        context: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.over {
            return Poll::Ready(Ok(()));
        }
        if !self.rested && lp.is_in_the_lab() {
            lp.show_to_the_lab(at);
        }
        let is_cancelled = task.core.is_cancelled();
        if self.rested {
            self.over = true;
            return Poll::Ready(if is_cancelled { Err(cancelled()) } else { Ok(()) });
        }
        if !is_cancelled && !self.rests_always && lp.spend_budget() {
            self.over = true;
            return Poll::Ready(Ok(()));
        }
        if is_cancelled {
            report_ignored(task, at);
        }
        self.rested = true;
        rest(lp, at, context);
        Poll::Pending
    }
}

/// A checkpoint alone, as a future.
pub(super) struct Pass {
    checkpoint: Checkpoint,
    at: Place,
    over: bool,
}

impl Pass {
    pub(super) fn new(checkpoint: Checkpoint, at: Place) -> Pass {
        Pass { checkpoint, at, over: false }
    }
}

impl Future for Pass {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        refuse_to_go_on(this.over, this.at);
        let result = on_task(|lp, task| {
            lp.count_poll();
            this.checkpoint.poll(lp, task, this.at, context)
        });
        this.over = result.is_ready();
        result
    }
}

/// What is over may not be polled again.
pub(super) fn refuse_to_go_on(over: bool, at: Place) {
    assert!(!over, "the future made at {at} was polled after it had ended");
}

/// A run of a loop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) on: u32,
    run: u64,
}

impl Home {
    pub(super) fn of(lp: &EventLoop) -> Home {
        Home { on: lp.remote.id, run: lp.run.get() }
    }
}

/// Where a [`Pause`] is in the lists, and who is told.
struct Registration {
    home: Home,
    waiter: Waiter,
}

/// Waits for what has several parts, or one.
///
/// While it is registered it lies in the lists of what it waits for: it is pinned, and leaves them when it is dropped (R4).
pub(crate) struct Pause<A: Arms> {
    arms: A,
    at: Place,
    checkpoint: Checkpoint,
    registered: Option<Registration>,
    spots: A::Spots,
    over: bool,
    patience: Patience,
    _pinned: PhantomPinned,
}

impl<A: Arms> Pause<A> {
    pub(crate) fn new(arms: A, at: Place) -> Pause<A> {
        Pause {
            arms,
            at,
            checkpoint: Checkpoint::default(),
            registered: None,
            spots: A::Spots::default(),
            over: false,
            patience: Patience::Cancellable,
            _pinned: PhantomPinned,
        }
    }

    /// As a part of an operation that was at its checkpoint.
    pub(crate) fn without_checkpoint(mut self) -> Pause<A> {
        self.checkpoint.over = true;
        self
    }

    /// What it waits for, when it does not wait.
    pub(super) fn arms(self: Pin<&mut Self>) -> &mut A {
        // SAFETY: nothing is moved: what is pinned are the registration and its spots.
        unsafe { &mut self.get_unchecked_mut().arms }
    }

    /// For a wait that goes on when the task is cancelled.
    pub(crate) fn with_patience(mut self, patience: Patience) -> Pause<A> {
        self.patience = patience;
        self
    }

    /// Tells it from the other waits of its task: it is pinned.
    fn number(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Leaves the lists, on the loop where it is in them. What was granted and not taken goes to the next (R13).
    fn leave(&mut self, taken: bool) {
        let number = self.number();
        let Some(Registration { home, waiter, .. }) = &self.registered else { return };
        EventLoop::with_current(|lp| {
            // If that run is over, so are its timers and registrations, and nobody is woken any more.
            if let Some(lp) = lp.filter(|lp| Home::of(lp) == *home) {
                let cx = Cx { lp, task: waiter.task(), told: Told::Nobody };
                self.arms.unregister(&cx, &self.spots);
                if waiter.foreign().is_some() {
                    lp.seats.forget_wait(waiter.task().core.id(), number);
                }
            } else {
                self.arms.desert(&self.spots);
            }
        });
        let granted = waiter.granted();
        // It is in no list any more.
        self.registered = None;
        if let Some(arm) = granted
            && !taken
        {
            self.arms.refuse(arm);
        }
    }

    /// It waits on, and says so.
    fn say(&self, cx: &Cx<'_>) {
        if self.patience != Patience::Limit {
            cx.lp.say(self.arms.want(cx, &self.spots), self.at);
        }
        if self.patience == Patience::Owned
            && cx.task.core.is_cancelled()
            && let Some(foreign) = self.registered.as_ref().and_then(|registered| registered.waiter.foreign())
        {
            foreign.goes_on();
        }
    }
}

impl<A: Arms> Future for Pause<A> {
    type Output = io::Result<A::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out of it, and what is registered stays registered until `leave`.
        let this = unsafe { self.get_unchecked_mut() };
        refuse_to_go_on(this.over, this.at);
        let result = on_task(|lp, task| {
            lp.count_poll();
            this.advance(lp, task, context)
        });
        this.over = result.is_ready();
        result
    }
}

impl<A: Arms> Pause<A> {
    fn advance(&mut self, lp: &EventLoop, task: &TaskRef, context: &Context<'_>) -> Poll<io::Result<A::Output>> {
        let (me, at) = (Who::task(lp, task), self.at);
        if self.registered.as_ref().is_some_and(|registered| registered.home != Home::of(lp)) {
            // It comes from another loop, or from a run that is over.
            self.leave(false);
        }
        let mut cx = Cx { lp, task, told: Told::Future { waker: context.waker(), foreign: None } };
        match &self.registered {
            None => {
                std::task::ready!(self.checkpoint.poll(lp, task, at, context))?;
                if let Some(output) = self.arms.poll(me, &self.spots) {
                    lp.emit(|| Event::NoPause { task: task.core.id(), want: self.arms.want(&cx, &self.spots), at });
                    return Poll::Ready(Ok(output));
                }
            }
            Some(Registration { waiter, .. }) => {
                if let Some(arm) = waiter.granted() {
                    let output = self.arms.take(me, &self.spots, arm);
                    self.leave(true);
                    return Poll::Ready(Ok(output));
                }
                let handed = if A::LOOKS_AGAIN { self.arms.poll_handed(me, &self.spots) } else { None };
                if let Some(output) = handed.or_else(|| self.arms.poll(me, &self.spots)) {
                    self.leave(false);
                    return Poll::Ready(Ok(output));
                }
                if self.patience == Patience::Cancellable && task.core.is_cancelled() {
                    self.leave(false);
                    return Poll::Ready(Err(cancelled()));
                }
                if waiter.is_for(lp, task, context.waker()) && self.arms.has_its_place(&self.spots) {
                    self.say(&cx);
                    return Poll::Pending;
                }
                // Somebody else polls it now, or its place was used up by a call for nothing: to the end of the line.
                self.leave(false);
            }
        }
        // The waker may be somebody's: to clone it is the user's code, and comes before anything is counted.
        let foreign = Foreign::behind(lp, task, context.waker());
        cx.told = Told::Future { waker: context.waker(), foreign: foreign.as_ref() };
        self.arms.prepare(&cx)?;
        let number = self.number();
        let waiter = Waiter::told_by(task, foreign.clone());
        let Registration { waiter, .. } = self.registered.insert(Registration { home: Home::of(lp), waiter });
        if let Some(foreign) = &foreign {
            lp.seats.note_wait(number, foreign);
        }
        // SAFETY: waiter and spots lie in this future, which is pinned, until `leave` has unlinked them; a destructor calls that, and
        // whoever forgets a pinned future leaves it where it is. Lists look at both through shared references only, and so does
        // this while they are linked: what is in them is in cells. (A `&mut` of the whole does not claim to be alone, because the
        // type is not `Unpin`.)
        unsafe { self.arms.register(&cx, &self.spots, waiter) };
        if A::LOOKS_AGAIN
            && let Some(output) = self.arms.poll(me, &self.spots)
        {
            self.leave(false);
            return Poll::Ready(Ok(output));
        }
        self.say(&cx);
        Poll::Pending
    }
}

impl<A: Arms> Drop for Pause<A> {
    fn drop(&mut self) {
        self.leave(false);
    }
}

/// Waits for anything that [`select`](crate::select()) waits for; from [`ready`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Ready<W: Wait>(Pause<Only<W>>);

/// Waits for anything that [`select`](crate::select()) waits for, and takes it: a message of a queue, a permit, a lock, the end
/// of a task, a signal, a value from another thread. What the wait itself can fail with, such as the end of a queue, comes as its
/// value.
///
/// # Errors
///
/// Cancellation. [`Deadlock`](io::ErrorKind::Deadlock) for a wait that could only wait for itself, such as one for the own
/// task's end. Where a descriptor has to be watched first, what the system says of that.
///
/// # Suspends
///
/// If it is not there.
///
/// # Cancellation
///
/// A future that is dropped has taken nothing: what was granted to it goes to the next who waits. Its place in the line is lost.
///
/// ```
/// use corio::{Queue, aio, run, spawn};
/// use std::rc::Rc;
///
/// async fn next(queue: &Queue<&'static str>) -> std::io::Result<&'static str> {
///     let item: aio::Ready<&Queue<_>> = aio::ready(queue);
///     item.await?
/// }
///
/// run(|| {
///     let queue = Rc::new(Queue::new());
///     let reader = aio::spawn_local({
///         let queue = queue.clone();
///         async move { next(&queue).await }
///     });
///     spawn(move || queue.put("from a coroutine"));
///     assert_eq!(reader.join()?, "from a coroutine");
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn ready<W: Wait>(wait: W) -> Ready<W> {
    Ready(Pause::new(Only(wait), caller()))
}

impl<W: Wait> Future for Ready<W> {
    type Output = io::Result<<W as Wait>::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the one field is pinned with the whole.
        unsafe { self.map_unchecked_mut(|this| &mut this.0) }.poll(context)
    }
}

impl<W: Wait> std::fmt::Debug for Ready<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready").field("at", &self.0.at).finish_non_exhaustive()
    }
}
