//! Waiting for one of several things, and the engine under every wait for something that is handed over.
//!
//! What can be waited for implements [`Arm`]: try at once; take a place in a list; collect what was granted; pass on
//! what was granted and cannot be collected. One engine drives it, [`wait_for`] with one arm and [`select`] with several.
//! It looks once, registers once, and parks. A grant goes to one arm only: the lists skip a waiter that has got something
//! elsewhere. So of all arms exactly one happens, and nothing is taken and thrown away.
//!
//! What other threads bring, through channels and signals, is granted by nobody: there the arm is an
//! [`Attempt`] that stands in the channel's own line, with a waker. The waker makes the task look at all arms, and an arm
//! that leaves its line passes on what was handed to it. Chapter: `docs/book/waiting-for-several.md`.

use std::cell::{Cell, OnceCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::wait::Attempt;
use crate::channel::{broadcast, mpsc, oneshot, watch};
use crate::error::cancelled;
use crate::event_loop::{EventLoop, TimerAction};
use crate::observe::event::{Direction, Event, Place, Want};
use crate::reactor::{Slot, Watched, is_ready};
use crate::remote::Waker;
use crate::signal::{Signal, Signals};
use crate::task::wait::{
    Context, Node, Patience, WaitList, Waiter, checkpoint, in_context, park, refuse_while_unwinding,
};
use crate::task::waker::{self, Foreign};
use crate::task::{JoinHandle, ScopedJoinHandle, Task, TaskRef, Who, caller, not_in_a_callback, refuse_circle};
use crate::timer::TimerKey;

/// Something that can be waited for, alone by its own method, or together with others by [`select`].
///
/// Waits are the things themselves, by reference: `&Queue` (the next item), `&Mutex` (the guard), `&Semaphore` (a
/// permit), `&Event`, `&Promise` (its value), `&JoinHandle` and `&Task` (the end of the task, whose result can then be
/// joined); the receivers of [channels](crate::channel), `&mpsc::Receiver`, `&mut oneshot::Receiver`,
/// `&mut broadcast::Receiver` and `&mut watch::Receiver` (what their `recv` returns); [`&Signals`](crate::signal::Signals)
/// (the next signal); and what these return: [`after`], [`until_readable`], [`until_writable`],
/// [`Queue::reserving`](crate::Queue::reserving), [`RwLock::reading`](crate::RwLock::reading) and
/// [`writing`](crate::RwLock::writing). The trait is sealed.
///
/// An `Rc` is not one of them: `&*queue`, and not `&queue`. Nor is a [`RemoteHandle`](crate::RemoteHandle): a task that joins
/// it has a handle that is. For a limit in time alone there is [`timeout`](crate::timeout).
///
/// ```
/// use corio::{Queue, Runner, Wait, Which, after, secs, select};
/// use std::{io, time::Duration};
///
/// /// Whatever it is, but not for longer than this.
/// fn within<W: Wait>(limit: Duration, what: W) -> io::Result<Option<W::Output>> {
///     match select((what, after(limit)))? {
///         Which::A(it) => Ok(Some(it)),
///         Which::B(()) => Ok(None),
///     }
/// }
///
/// Runner::new().virtual_clock().run(|| {
///     let queue = Queue::new();
///     assert!(within(secs(1), &queue)?.is_none());
///     queue.put("an item")?;
///     assert_eq!(within(secs(1), &queue)?.unwrap()?, "an item");
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that `select` can wait for",
    note = "pass the thing itself by reference, such as `&queue` or `&handle` (`&*queue`, if it is in an `Rc`), \
            `&receiver` of an `mpsc` channel and `&mut receiver` of another, or `after(duration)`; a function that waits \
            goes into a task, and its handle into `select`"
)]
#[expect(
    private_bounds,
    reason = "sealed; and taking what was not granted would be unsound, so nobody else may drive it"
)]
pub trait Wait: Arm<Brings = <Self as Wait>::Output> {
    /// What it brings.
    type Output;
}

/// A wait from the inside: what the engine drives.
pub(crate) trait Arm {
    /// What it brings.
    type Brings;

    /// What else is kept in the waiting frame.
    type Hook: Default;

    /// It is looked for once more when the wait has begun: another thread may bring it, and so at any moment, or only then is it
    /// known where to look.
    const LOOKS_AGAIN: bool = false;

    /// Takes it if it is there. `me` is who asks.
    fn poll(&mut self, me: Who, spot: &Spot<Self::Hook>) -> Option<Self::Brings>;

    /// Whether waiting for this alone makes sense.
    fn check(&self, _: &Cx<'_>) -> io::Result<()> {
        Ok(())
    }

    /// What can fail before the wait begins.
    fn prepare(&self, _: &Cx<'_>) -> io::Result<()> {
        Ok(())
    }

    /// The list of those who wait for it, if somebody grants it.
    fn list(&self) -> Option<&WaitList>;

    /// The wait begins: it is about to be put into the list.
    fn enter(&mut self, _: &Cx<'_>, _: &Spot<Self::Hook>) {}

    /// The wait is over, however it ended: it is in the list no more.
    fn leave(&mut self, _: &Cx<'_>, _: &Spot<Self::Hook>) {}

    /// The same when the loop is gone, or another's, with all that was the loop's own.
    fn desert(&mut self, _: &Spot<Self::Hook>) {}

    /// Whether something was handed to it during the wait that would go back if it were not taken.
    fn was_handed(&self, _: &Spot<Self::Hook>) -> bool {
        false
    }

    /// Whether a wait that goes on has its place still, and with it whoever is to be told.
    fn has_its_place(&self, _: &Spot<Self::Hook>) -> bool {
        true
    }

    /// Collects what was granted.
    fn take(&mut self, me: Who, spot: &Spot<Self::Hook>) -> Self::Brings;

    /// It was granted, and nobody is there to take it: passes it on.
    fn refuse(&mut self) {}

    /// What the task waits for, in the words of dumps and events.
    fn want(&self, cx: &Cx<'_>, spot: &Spot<Self::Hook>) -> Want;

    /// Where it stands, at any moment of the wait, which task has what is waited for.
    fn holder(&self) -> Option<&Cell<Who>> {
        None
    }
}

mod sealed {
    pub trait Several {}
}

/// Who waits.
#[derive(Clone, Copy)]
pub(crate) struct Cx<'a> {
    pub(crate) lp: &'a EventLoop,
    pub(crate) task: &'a TaskRef,
    pub(crate) told: Told<'a>,
}

/// Who is told of what comes.
#[derive(Clone, Copy)]
pub(crate) enum Told<'a> {
    /// The task, which parks.
    Task,
    /// Whoever polls the future that the wait is, by this waker; if that is none of the task's own, it stands behind it.
    Future { waker: &'a std::task::Waker, foreign: Option<&'a Rc<Foreign>> },
    /// Nobody any more: the future's wait is over.
    Nobody,
}

impl<'a> Cx<'a> {
    pub(crate) fn new(lp: &'a EventLoop, task: &'a TaskRef) -> Cx<'a> {
        Cx { lp, task, told: Told::Task }
    }

    /// Whether the wait is a future, of which its task may have several.
    pub(crate) fn is_future(&self) -> bool {
        !matches!(self.told, Told::Task)
    }

    /// What a timer of the wait does.
    pub(crate) fn alarm(&self) -> TimerAction {
        match self.told {
            Told::Future { foreign: Some(foreign), .. } => TimerAction::Tell(foreign.clone()),
            _ => TimerAction::Wake(self.task.clone()),
        }
    }
}

/// What a wait keeps in its frame: its place in the list, and what it needs besides.
#[derive(Default)]
pub(crate) struct Spot<H> {
    pub(crate) node: Node,
    pub(crate) hook: H,
}

/// Puts a wait where it is found.
///
/// # Safety
///
/// Spot and waiter stay where they are until [`unregister`].
#[inline(always)]
unsafe fn register<W: Arm>(wait: &mut W, cx: &Cx<'_>, spot: &Spot<W::Hook>, waiter: &Waiter, arm: u32) {
    wait.enter(cx, spot);
    if let Some(list) = wait.list() {
        // SAFETY: the caller's promise is the same.
        unsafe { list.link(&spot.node, waiter, arm) };
    }
}

/// Takes the registration back.
#[inline(always)]
fn unregister<W: Arm>(wait: &mut W, cx: &Cx<'_>, spot: &Spot<W::Hook>) {
    if let Some(list) = wait.list() {
        list.unlink(&spot.node);
    }
    wait.leave(cx, spot);
}

fn desert<W: Arm>(wait: &mut W, spot: &Spot<W::Hook>) {
    if let Some(list) = wait.list() {
        list.unlink(&spot.node);
    }
    wait.desert(spot);
}

/// Several waits as one: what the engine drives.
pub(crate) trait Arms {
    type Output;
    type Spots: Default;
    const LOOKS_AGAIN: bool;

    fn poll(&mut self, me: Who, spots: &Self::Spots) -> Option<Self::Output>;
    /// What was handed over, whichever arm has it: as what was granted, it goes before what stands first.
    fn poll_handed(&mut self, _: Who, _: &Self::Spots) -> Option<Self::Output> {
        None
    }
    /// Whether a wait that goes on has its place still.
    fn has_its_place(&self, spots: &Self::Spots) -> bool;
    fn prepare(&self, cx: &Cx<'_>) -> io::Result<()>;
    /// # Safety
    ///
    /// As [`register`].
    unsafe fn register(&mut self, cx: &Cx<'_>, spots: &Self::Spots, waiter: &Waiter);
    fn unregister(&mut self, cx: &Cx<'_>, spots: &Self::Spots);
    /// The same when the loop is gone.
    fn desert(&mut self, spots: &Self::Spots);
    fn take(&mut self, me: Who, spots: &Self::Spots, arm: u32) -> Self::Output;
    fn refuse(&mut self, arm: u32);
    fn want(&self, cx: &Cx<'_>, spots: &Self::Spots) -> Want;
    fn holder(&self) -> Option<&Cell<Who>>;
}

/// One wait alone.
pub(crate) struct Only<W>(pub(crate) W);

impl<W: Arm> Arms for Only<W> {
    type Output = W::Brings;
    type Spots = Spot<W::Hook>;
    const LOOKS_AGAIN: bool = W::LOOKS_AGAIN;

    #[inline(always)]
    fn poll(&mut self, me: Who, spot: &Self::Spots) -> Option<W::Brings> {
        self.0.poll(me, spot)
    }

    fn has_its_place(&self, spot: &Self::Spots) -> bool {
        self.0.has_its_place(spot)
    }

    fn prepare(&self, cx: &Cx<'_>) -> io::Result<()> {
        self.0.check(cx)?;
        self.0.prepare(cx)
    }

    #[inline(always)]
    unsafe fn register(&mut self, cx: &Cx<'_>, spot: &Self::Spots, waiter: &Waiter) {
        // SAFETY: the caller's promise is the same.
        unsafe { register(&mut self.0, cx, spot, waiter, 0) }
    }

    #[inline(always)]
    fn unregister(&mut self, cx: &Cx<'_>, spot: &Self::Spots) {
        unregister(&mut self.0, cx, spot);
    }

    fn desert(&mut self, spot: &Self::Spots) {
        desert(&mut self.0, spot);
    }

    #[inline(always)]
    fn take(&mut self, me: Who, spot: &Self::Spots, _: u32) -> W::Brings {
        self.0.take(me, spot)
    }

    fn refuse(&mut self, _: u32) {
        self.0.refuse();
    }

    #[inline(always)]
    fn want(&self, cx: &Cx<'_>, spot: &Self::Spots) -> Want {
        self.0.want(cx, spot)
    }

    fn holder(&self) -> Option<&Cell<Who>> {
        self.0.holder()
    }
}

/// Waits for one thing.
#[inline(always)]
pub(crate) fn wait_for<W: Arm>(wait: W, at: Place) -> io::Result<W::Brings> {
    wait_for_any(Only(wait), at)
}

/// Waits for one thing that the task must have, cancelled or not.
pub(crate) fn wait_patiently<W: Arm>(lp: &EventLoop, task: &TaskRef, wait: W, at: Place) -> io::Result<W::Brings> {
    pause(lp, task, Only(wait), at, Patience::Owned)
}

/// Looks, and waits if there is nothing.
#[inline(always)]
fn wait_for_any<A: Arms>(mut arms: A, at: Place) -> io::Result<A::Output> {
    in_context(
        #[inline(always)]
        |context| match context {
            Context::Task(lp, task) => {
                checkpoint(lp, task, at)?;
                match arms.poll(Who::task(lp, task), &A::Spots::default()) {
                    Some(output) => {
                        lp.emit(|| Event::NoPause {
                            task: task.core.id(),
                            want: arms.want(&Cx::new(lp, task), &A::Spots::default()),
                            at,
                        });
                        Ok(output)
                    }
                    None => pause(lp, task, arms, at, Patience::Cancellable),
                }
            }
            context => look_once(context, arms),
        },
    )
}

/// Where nothing can wait: what is there is taken.
#[cold]
#[inline(never)]
#[track_caller]
fn look_once<A: Arms>(context: Context<'_>, mut arms: A) -> io::Result<A::Output> {
    match context {
        Context::Unwinding(lp, task) => {
            arms.poll(Who::task(lp, task), &A::Spots::default()).ok_or_else(refuse_while_unwinding)
        }
        Context::Outside => arms.poll(Who::NO_TASK, &A::Spots::default()).ok_or_else(|| {
            crate::error::misuse("waiting needs a running loop: no task could ever bring what is waited for; call it inside `corio::run`")
        }),
        _ => Err(not_in_a_callback()),
    }
}

/// Ends the registrations, and passes on what was granted and not taken: a wait that is unwound.
struct Registered<'a, A: Arms> {
    cx: Cx<'a>,
    arms: A,
    spots: &'a A::Spots,
    waiter: &'a Waiter,
    taken: bool,
}

impl<A: Arms> Drop for Registered<'_, A> {
    #[inline]
    fn drop(&mut self) {
        self.arms.unregister(&self.cx, self.spots);
        if self.arms.holder().is_some() {
            self.cx.task.core.set_holder(None);
        }
        if let Some(arm) = self.waiter.granted()
            && !self.taken
        {
            self.arms.refuse(arm);
        }
    }
}

#[inline(always)]
fn pause<A: Arms>(lp: &EventLoop, task: &TaskRef, arms: A, at: Place, patience: Patience) -> io::Result<A::Output> {
    let (cx, me) = (Cx::new(lp, task), Who::task(lp, task));
    let (waiter, spots) = (Waiter::new(task), A::Spots::default());
    // Declared after what it points to, so dropped before it, also when the wait is unwound.
    let mut registered = Registered { cx, arms, spots: &spots, waiter: &waiter, taken: false };
    registered.arms.prepare(&cx)?;
    // SAFETY: as said; the guard takes the registration back.
    unsafe { registered.arms.register(&cx, &spots, &waiter) };
    if let Some(holder) = registered.arms.holder() {
        task.core.set_holder(Some(holder));
    }
    if A::LOOKS_AGAIN
        && let Some(output) = registered.arms.poll(me, &spots)
    {
        return Ok(output);
    }
    let want = registered.arms.want(&cx, &spots);
    // ANCHOR: pause
    loop {
        if patience == Patience::Owned {
            lp.note_unfailing(&task.core);
        }
        park(lp, task, want, at);
        if let Some(arm) = waiter.granted() {
            registered.taken = true;
            return Ok(registered.arms.take(me, &spots, arm));
        }
        if A::LOOKS_AGAIN
            && let Some(output) = registered.arms.poll_handed(me, &spots)
        {
            return Ok(output);
        }
        if let Some(output) = registered.arms.poll(me, &spots) {
            return Ok(output);
        }
        if patience == Patience::Cancellable && task.core.is_cancelled() {
            return Err(cancelled());
        }
    }
    // ANCHOR_END: pause
}

/// Waits until one of several things happens, and makes exactly that one happen.
///
/// It takes a tuple of two to eight [waits](Wait) and returns a [`Which`]. If several are ready, the one that stands
/// first is taken: put first what must not be starved. Only what was handed to this very wait, while it waited, goes before: to
/// give it back could put it out of order. The others are as if they had never been asked: no item, permit
/// or byte is lost, and places in queues are given up.
///
/// To run *functions* against each other, use [`race`](crate::race()); `select` is for things.
/// Go: `select`; asyncio: `wait(.., return_when=FIRST_COMPLETED)`, without tasks.
///
/// # Errors
///
/// Only cancellation, [in a task](crate#where-a-call-may-wait).
///
/// # Suspends
///
/// If none of the things is there.
///
/// ```
/// use corio::{Queue, Event, Runner, Which, after, secs, select, sleep, spawn};
/// use std::rc::Rc;
///
/// Runner::new().virtual_clock().run(|| {
///     let (jobs, stop) = (Rc::new(Queue::new()), Rc::new(Event::new()));
///     let producer = {
///         let (jobs, stop) = (jobs.clone(), stop.clone());
///         spawn(move || {
///             jobs.put("a job")?;
///             sleep(secs(3))?;
///             stop.set();
///             Ok(())
///         })
///     };
///     let mut log = Vec::new();
///     loop {
///         match select((&*jobs, &*stop, after(secs(2))))? {
///             Which::A(job) => log.push(job?),
///             Which::B(()) => break,
///             Which::C(()) => log.push("idle"),
///         }
///     }
///     assert_eq!(log, ["a job", "idle"]);
///     producer.join()
/// })
/// # .unwrap()
/// ```
#[doc(alias = "wait")]
#[track_caller]
pub fn select<S: Select>(waits: S) -> io::Result<S::Output> {
    waits.select(caller())
}

/// A tuple of [waits](Wait); see [`select`]. The trait is sealed.
///
/// ```
/// use corio::{Event, Runner, Select, after, now, secs, select};
/// use std::{io, time::Duration};
///
/// /// `select`, and how long it took.
/// fn timed<S: Select>(waits: S) -> io::Result<(S::Output, Duration)> {
///     let start = now();
///     Ok((select(waits)?, now() - start))
/// }
///
/// Runner::new().virtual_clock().run(|| {
///     assert_eq!(timed((&Event::new(), after(secs(2))))?.1, secs(2));
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[diagnostic::on_unimplemented(
    message = "`select` takes a tuple of two to eight waits, not `{Self}`",
    note = "such as `select((&queue, &event, after(duration)))`"
)]
pub trait Select: sealed::Several {
    /// Which of the waits happened, and what it brought: a [`Which`].
    type Output;

    #[doc(hidden)]
    fn select(self, at: Place) -> io::Result<Self::Output>;
}

/// No value: an arm that a [`select`] does not have.
///
/// ```
/// use corio::{Never, Which};
///
/// /// For a function that takes the outcome of any `select` of two: the third arm cannot be.
/// fn either<T>(which: Which<T, T, Never>) -> T {
///     match which {
///         Which::A(value) | Which::B(value) => value,
///     }
/// }
/// assert_eq!(either(Which::A(1)) + either(Which::B(2)), 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {}

/// Which wait of a [`select`] happened, by its position.
///
/// The type of an arm that is not there has no value, so a `match` on the arms that are is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<A, B, C = Never, D = Never, E = Never, F = Never, G = Never, H = Never> {
    /// The first.
    A(A),
    /// The second.
    B(B),
    /// The third.
    C(C),
    /// The fourth.
    D(D),
    /// The fifth.
    E(E),
    /// The sixth.
    F(F),
    /// The seventh.
    G(G),
    /// The eighth.
    H(H),
}

macro_rules! tuple {
    ($count:literal: $($arm:ident $n:tt),+) => {
        impl<$($arm: Arm),+> Arms for ($($arm,)+) {
            type Output = Which<$($arm::Brings),+>;
            type Spots = ($(Spot<$arm::Hook>,)+);
            const LOOKS_AGAIN: bool = $($arm::LOOKS_AGAIN)||+;

            fn poll(&mut self, me: Who, spots: &Self::Spots) -> Option<<Self as Arms>::Output> {
                $(if let Some(output) = self.$n.poll(me, &spots.$n) {
                    return Some(Which::$arm(output));
                })+
                None
            }

            fn poll_handed(&mut self, me: Who, spots: &Self::Spots) -> Option<<Self as Arms>::Output> {
                $(if self.$n.was_handed(&spots.$n)
                    && let Some(output) = self.$n.poll(me, &spots.$n)
                {
                    return Some(Which::$arm(output));
                })+
                None
            }

            fn has_its_place(&self, spots: &Self::Spots) -> bool {
                $(self.$n.has_its_place(&spots.$n))&&+
            }

            /// No checks: what could never happen alone may stand beside what can.
            fn prepare(&self, cx: &Cx<'_>) -> io::Result<()> {
                $(self.$n.prepare(cx)?;)+
                Ok(())
            }

            unsafe fn register(&mut self, cx: &Cx<'_>, spots: &Self::Spots, waiter: &Waiter) {
                // SAFETY: the caller's promise is the same.
                unsafe { $(register(&mut self.$n, cx, &spots.$n, waiter, $n);)+ }
            }

            fn unregister(&mut self, cx: &Cx<'_>, spots: &Self::Spots) {
                $(unregister(&mut self.$n, cx, &spots.$n);)+
            }

            fn desert(&mut self, spots: &Self::Spots) {
                $(desert(&mut self.$n, &spots.$n);)+
            }

            fn take(&mut self, me: Who, spots: &Self::Spots, arm: u32) -> <Self as Arms>::Output {
                match arm {
                    $($n => Which::$arm(self.$n.take(me, &spots.$n)),)+
                    _ => unreachable!("a wait is granted through an arm that it has"),
                }
            }

            fn refuse(&mut self, arm: u32) {
                match arm {
                    $($n => self.$n.refuse(),)+
                    _ => unreachable!("a wait is granted through an arm that it has"),
                }
            }

            fn want(&self, _: &Cx<'_>, _: &Self::Spots) -> Want {
                Want::Any { of: $count }
            }

            fn holder(&self) -> Option<&Cell<Who>> {
                None
            }
        }

        impl<$($arm: Wait),+> sealed::Several for ($($arm,)+) {}

        impl<$($arm: Wait),+> Select for ($($arm,)+) {
            type Output = Which<$($arm::Output),+>;

            fn select(self, at: Place) -> io::Result<<Self as Select>::Output> {
                wait_for_any(self, at)
            }
        }
    };
}

tuple!(2: A 0, B 1);
tuple!(3: A 0, B 1, C 2);
tuple!(4: A 0, B 1, C 2, D 3);
tuple!(5: A 0, B 1, C 2, D 3, E 4);
tuple!(6: A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(7: A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

/// A moment, as a wait for [`select`]; see [`after`].
///
/// ```
/// use corio::{After, Queue, Runner, Which, after, now, secs, select, sleep, spawn};
/// use std::rc::Rc;
///
/// Runner::new().virtual_clock().run(|| {
///     let (queue, start) = (Rc::new(Queue::new()), now());
///     let items = queue.clone();
///     let producer = spawn(move || {
///         for n in 1..=3 {
///             sleep(secs(2))?;
///             items.put(n)?;
///         }
///         Ok(())
///     });
///     let end: After = after(secs(5)); // one limit for all the rounds
///     let mut got = Vec::new();
///     while let Which::B(item) = select((end, &*queue))? {
///         got.push(item?);
///     }
///     assert_eq!((got, now() - start), (vec![1, 2], secs(5)));
///     producer.join()
/// })
/// # .unwrap()
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "it waits for nothing until `select`"]
pub struct After {
    deadline: Instant,
}

/// A wait for [`select`] that is over when `d` has passed from now on, on the loop's clock. It may be used again: it is
/// then over at once.
///
/// ```
/// use corio::{Event, Runner, Which, after, secs, select};
///
/// Runner::new().virtual_clock().run(|| {
///     let never = Event::new();
///     assert_eq!(select((&never, after(secs(1))))?, Which::B(()));
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub fn after(d: Duration) -> After {
    let now = crate::now();
    // Further away than the clock can tell is never.
    After { deadline: now.checked_add(d).unwrap_or_else(|| now + Duration::from_secs(1 << 33)) }
}

/// The timer of a wait.
#[derive(Default)]
pub(crate) struct Armed(Cell<Option<TimerKey>>);

impl Wait for After {
    type Output = ();
}

impl Arm for After {
    type Brings = ();
    type Hook = Armed;

    fn poll(&mut self, _: Who, spot: &Spot<Armed>) -> Option<()> {
        match spot.hook.0.get() {
            // A timer is the authority on its own time.
            Some(key) => EventLoop::with_current(|lp| lp?.timer_due(key).is_none().then_some(())),
            None => (crate::now() >= self.deadline).then_some(()),
        }
    }

    fn list(&self) -> Option<&WaitList> {
        None
    }

    fn enter(&mut self, cx: &Cx<'_>, spot: &Spot<Armed>) {
        let due = cx.lp.clock.nanos_at(self.deadline);
        spot.hook.0.set(Some(cx.lp.arm_timer(due, cx.alarm(), cx.task.core.id())));
    }

    fn leave(&mut self, cx: &Cx<'_>, spot: &Spot<Armed>) {
        if let Some(key) = spot.hook.0.take() {
            cx.lp.drop_timer(key);
        }
    }

    fn desert(&mut self, spot: &Spot<Armed>) {
        spot.hook.0.take();
    }

    fn take(&mut self, _: Who, _: &Spot<Armed>) {}

    fn want(&self, _: &Cx<'_>, spot: &Spot<Armed>) -> Want {
        spot.hook.0.get().map_or(Want::Turn, |timer| Want::Sleep { timer: timer.id() })
    }
}

/// The readiness of a descriptor, as a wait for [`select`]; see [`until_readable`].
#[must_use = "it waits for nothing until `select`"]
pub struct Readiness<'a> {
    fd: BorrowedFd<'a>,
    direction: Direction,
    watched: OnceCell<(Watched, Rc<Slot>)>,
}

/// [`readable`](crate::readable) as a wait for [`select`]: for a task that reads from a socket and writes to it what
/// others put into a queue.
///
/// The stream is to be in non-blocking mode, and a read that would block is tried again after the next wait.
///
/// ```
/// use corio::{Queue, Which, net::{TcpListener, TcpStream}, run, select, spawn, until_readable};
/// use std::io::{Read, Write};
///
/// run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     let peer = spawn(move || TcpStream::connect(address)?.write_all(b"hello"));
///     let (mut stream, _) = listener.accept()?;
///     let outbox = Queue::<String>::new();
///     match select((until_readable(&stream), &outbox))? {
///         Which::A(ready) => ready?,
///         Which::B(line) => stream.write_all(line?.as_bytes())?,
///     }
///     let mut text = String::new();
///     stream.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     peer.join()
/// })
/// # .unwrap()
/// ```
pub fn until_readable(fd: &impl AsFd) -> Readiness<'_> {
    Readiness { fd: fd.as_fd(), direction: Direction::Read, watched: OnceCell::new() }
}

/// [`writable`](crate::writable) as a wait for [`select`]; see [`until_readable`].
///
/// ```
/// use corio::{Event, Readiness, Which, run, select, until_writable};
/// use std::os::unix::net::UnixStream;
///
/// run(|| {
///     let (stream, _peer) = UnixStream::pair()?; // of std: a descriptor of somebody else
///     stream.set_nonblocking(true)?;
///     let stop = Event::new();
///     let ready: Readiness<'_> = until_writable(&stream);
///     match select((&stop, ready))? {
///         Which::A(()) => unreachable!("nobody sets it"),
///         Which::B(ready) => ready,
///     }
/// })
/// # .unwrap()
/// ```
pub fn until_writable(fd: &impl AsFd) -> Readiness<'_> {
    Readiness { fd: fd.as_fd(), direction: Direction::Write, watched: OnceCell::new() }
}

impl Wait for Readiness<'_> {
    type Output = io::Result<()>;
}

impl Arm for Readiness<'_> {
    /// An error: what the system says to watching the descriptor. A regular file is always ready.
    type Brings = io::Result<()>;
    type Hook = ();

    fn poll(&mut self, _: Who, _: &Spot<()>) -> Option<io::Result<()>> {
        is_ready(&self.fd, self.direction).then_some(Ok(()))
    }

    fn prepare(&self, cx: &Cx<'_>) -> io::Result<()> {
        let watched = Watched::new(cx.lp, self.fd)?;
        let slot = watched.slot(cx.lp);
        cx.lp.reactor.add_waiter();
        let _ = self.watched.set((watched, slot));
        Ok(())
    }

    fn list(&self) -> Option<&WaitList> {
        self.watched.get().map(|(_, slot)| slot.waiters(self.direction))
    }

    fn leave(&mut self, cx: &Cx<'_>, _: &Spot<()>) {
        if let Some((watched, _)) = self.watched.take() {
            cx.lp.reactor.remove_waiter();
            watched.give_up();
        }
    }

    fn desert(&mut self, _: &Spot<()>) {
        if let Some((watched, _)) = self.watched.take() {
            watched.give_up();
        }
    }

    fn take(&mut self, _: Who, _: &Spot<()>) -> io::Result<()> {
        Ok(())
    }

    fn want(&self, _: &Cx<'_>, _: &Spot<Self::Hook>) -> Want {
        self.watched.get().map_or(Want::Turn, |(_, slot)| Want::Io { source: slot.id(), direction: self.direction })
    }
}

impl std::fmt::Debug for Readiness<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readiness").field("fd", &self.fd).field("direction", &self.direction).finish()
    }
}

/// What comes through a channel, and whatever else has a line with wakers in it and not a list of waiters. Nobody grants it:
/// the waker makes the task look. What was handed to the place in line and not looked for goes to the next when it leaves.
impl<A: Attempt> Arm for A {
    type Brings = A::Output;
    type Hook = Cell<Option<usize>>;

    const LOOKS_AGAIN: bool = true;

    fn poll(&mut self, _: Who, spot: &Spot<Self::Hook>) -> Option<A::Output> {
        if spot.hook.get().is_some() { self.look(&spot.hook) } else { self.now() }
    }

    fn prepare(&self, _: &Cx<'_>) -> io::Result<()> {
        Attempt::check(self)
    }

    fn list(&self) -> Option<&WaitList> {
        None
    }

    fn enter(&mut self, cx: &Cx<'_>, spot: &Spot<Self::Hook>) {
        let waker = match cx.told {
            Told::Future { waker, .. } => {
                cx.lp.expecting.set(cx.lp.expecting.get() + 1);
                Waker::Future(waker::copy(waker))
            }
            _ => {
                cx.lp.begin_to_expect(cx.task);
                Waker::of_task(cx.lp, cx.task)
            }
        };
        spot.hook.set(Some(self.enlist(waker)));
    }

    fn leave(&mut self, cx: &Cx<'_>, spot: &Spot<Self::Hook>) {
        self.desert(spot);
        match cx.is_future() {
            true => cx.lp.expecting.set(cx.lp.expecting.get() - 1),
            false => cx.lp.expect_no_more(cx.task),
        }
    }

    fn desert(&mut self, spot: &Spot<Self::Hook>) {
        if let Some(place) = spot.hook.take() {
            self.give_up(place);
        }
    }

    fn has_its_place(&self, spot: &Spot<Self::Hook>) -> bool {
        spot.hook.get().is_some_and(|place| self.is_in_line(place))
    }

    fn was_handed(&self, spot: &Spot<Self::Hook>) -> bool {
        spot.hook.get().is_some_and(|place| Attempt::was_handed(self, place))
    }

    fn take(&mut self, _: Who, _: &Spot<Self::Hook>) -> A::Output {
        unreachable!("what has no list is not granted")
    }

    fn want(&self, _: &Cx<'_>, _: &Spot<Self::Hook>) -> Want {
        Attempt::want(self)
    }
}

impl<T> Wait for &mpsc::Receiver<T> {
    type Output = io::Result<T>;
}

impl<T> Wait for &mut oneshot::Receiver<T> {
    type Output = io::Result<T>;
}

impl<T: Clone> Wait for &mut broadcast::Receiver<T> {
    type Output = Result<T, broadcast::RecvError>;
}

impl<T> Wait for &mut watch::Receiver<T> {
    type Output = io::Result<Arc<T>>;
}

impl Wait for &Signals {
    type Output = Signal;
}

/// Waits for the end of a task; its result is still there to be joined.
macro_rules! task {
    ($($task:ty $(, $parameter:ident)*;)+) => {$(
        impl<$($parameter),*> Arm for $task {
            type Brings = ();
            type Hook = ();

            fn poll(&mut self, _: Who, _: &Spot<()>) -> Option<()> {
                self.is_done().then_some(())
            }

            fn check(&self, cx: &Cx<'_>) -> io::Result<()> {
                refuse_circle(cx.task, &self.cell)
            }

            fn list(&self) -> Option<&WaitList> {
                Some(&self.cell.core.joiners)
            }

            fn take(&mut self, _: Who, _: &Spot<()>) {}

            fn want(&self, _: &Cx<'_>, _: &Spot<Self::Hook>) -> Want {
                Want::Join { task: self.id() }
            }
        }
    )+};
}

task! {
    Task;
    &Task;
    &JoinHandle<T, E>, T, E;
    &ScopedJoinHandle<'_, T, E>, T, E;
}

impl Wait for &Task {
    type Output = ();
}

impl<T, E> Wait for &JoinHandle<T, E> {
    type Output = ();
}

impl<T, E> Wait for &ScopedJoinHandle<'_, T, E> {
    type Output = ();
}
