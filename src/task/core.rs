//! A task from the inside: what the loop keeps of it.
//!
//! ```text
//!            spawn            first turn          suspends
//!   (made) ────────► READY ──────────► RUNNING ──────────► PARKED
//!                      ▲                 │  │  gives up its turn │
//!                      │                 │  └──────► READY       │
//!                      └─────────────────┼───────────────────────┘
//!                              wake      │ returns, or was cancelled before its first turn
//!                                        ▼
//!                                      DONE
//! ```
//!
//! A task is running, or queued once, or parked with a reason; never two of these. Two things make a task: this
//! cell, with the function and later its result, and from its first turn to its end a stack, with an [`Activation`] at its
//! top. So a task that has not begun costs less than 200 bytes. A task without a stack has its activation beside its future.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::ManuallyDrop;
use std::task::{Context, Poll};

use super::cell::TaskRef;
use super::table::Links;
use super::wait::WaitList;
use super::waker;
use super::who::Who;
use crate::cancel::{Cause, Frame};
use crate::event_loop::EventLoop;
use crate::observe::event::{End, Event, Place, Want};
use crate::scope::Group;
use crate::snapshot::Snapshot;
use crate::stack::{HEAD, Owner, OwnerKind, StackSize};
use crate::switch::{Fiber, Suspender, Switched};

/// What the loop hands to a task: Python's `send(None)`, or `throw(..)`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Go,
    /// The last resort of a shutdown.
    Throw,
    /// Nothing that it should notice: it says in which calls it stands, and is parked as before.
    #[cfg(feature = "backtrace")]
    Report,
}

/// What a task hands to the loop. What it waits for, and where, it has written down in its activation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It gives up its turn and is ready for the next.
    Turn,
    /// It waits until somebody wakes it.
    Parked,
}

/// The function of a task and, later, its result, with the types forgotten.
pub(crate) trait Body {
    /// Runs the function to its end and keeps the result; called once, on the task's own stack. Does not unwind.
    fn run(&self, task: &TaskCore);
    /// Drops the function unrun; the result is a cancellation.
    fn refuse(&self, task: &TaskCore);
    /// Disposes of a result that nobody will take.
    fn discard(&self, task: &TaskCore);
    /// Moves the result out, into an `Option<Finished<T, E>>` of the body's own types.
    ///
    /// # Safety
    ///
    /// `into` points to such an option, which is `None`.
    unsafe fn take(&self, into: *mut ());

    /// Where a task without a stack has its activation; one with a stack has it there.
    fn place(&self) -> *mut Activation {
        unreachable!("a function has a stack")
    }

    /// Polls the future of a task without a stack, and keeps the result when it is there. Does not unwind.
    fn poll(&self, _: &TaskCore, _: &mut Context<'_>) -> Poll<()> {
        unreachable!("a function has a stack and is not polled")
    }

    /// Drops the future of such a task where it stands; the result is a cancellation.
    fn abandon(&self, _: &TaskCore) {
        unreachable!("a function ends by itself")
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Ready,
    Running,
    Parked,
    Done,
}

/// Single bits of a task's life.
pub(super) mod flag {
    /// A `JoinHandle` exists: the result is kept for it.
    pub(in crate::task) const HANDLE: u8 = 1;
    /// The innermost scope is cancelled: suspending calls fail.
    pub(in crate::task) const CANCELLED: u8 = 2;
    /// Woken while it was running: the next park ends at once.
    pub(in crate::task) const NOTIFIED: u8 = 4;
    /// Its function has ended.
    pub(in crate::task) const ENDED: u8 = 8;
    // Notes for who watches, see `told`.
    /// It was granted what it waits for.
    pub(in crate::task) const GIVEN: u8 = 16;
    /// It was woken by something else than a cancellation.
    pub(in crate::task) const PROMPTED: u8 = 32;
    /// It has paused in a call that a cancellation does not make fail.
    pub(in crate::task) const UNFAILING: u8 = 64;
}

pub(crate) struct TaskCore {
    /// Id, name and spawn site, in the form in which a signal handler can read them.
    pub(crate) owner: Owner,
    /// Its places in the loop's lists.
    pub(super) links: Links,
    state: Cell<State>,
    flags: Cell<u8>,
    /// How its function ended, when it is done.
    end: Cell<End>,
    /// How often `cancel` was called, less `uncancel`.
    requests: Cell<u32>,
    pub(crate) stack_size: StackSize,
    /// Null before its first turn and after its end.
    activation: Cell<*const Activation>,
    /// The scope that it is a child of, or null. It outlives the task (R2).
    pub(crate) group: Cell<*const Group>,
    /// Its place among that scope's children.
    pub(crate) place_in_group: Cell<u32>,
    /// Who waits for its end.
    pub(crate) joiners: WaitList,
    rare: Cell<Option<Box<Rare>>>,
}

pub(super) type OnDone = Box<dyn FnOnce(&super::Task)>;

/// What few tasks have.
#[derive(Default)]
struct Rare {
    name: Option<Box<str>>,
    cause: Option<Cause>,
    /// What is to be called, and where that was asked for.
    on_done: Vec<(OnDone, Place)>,
    locals: Snapshot,
}

/// What a task has while its function is on a stack. It lies at the top of that stack, in its head. That of a task without a
/// stack lies beside its future.
pub(crate) struct Activation {
    /// The task, not counted: it lives longer. A reference that stays where it is while the task is suspended.
    task: ManuallyDrop<TaskRef>,
    /// `None`: it has no stack, and is polled.
    fiber: UnsafeCell<Option<Fiber<Input, Pause, ()>>>,
    suspender: Cell<*const Suspender<Input, Pause>>,
    /// What it waits for, or waited for last.
    want: Cell<Want>,
    /// Where; `None` before its first pause.
    at: Cell<Option<Place>>,
    /// While it waits for a thing that a task has: where it stands which one.
    holder: Cell<*const Cell<Who>>,
    /// The innermost open region.
    frames: Cell<*const Frame>,
    resumes: Cell<u32>,
    throws: Cell<u32>,
    /// How far below this its stack stood when it paused; a hint.
    depth: Cell<u32>,
    /// Where its wakers find it, if it is polled.
    seat: Cell<u32>,
    /// How many cancelled calls it has ignored.
    fruitless: Cell<u16>,
    /// A future of ours, in the poll that goes on, has said what it waits for.
    has_said: Cell<bool>,
}

impl TaskCore {
    #[inline]
    pub(crate) fn new(id: u64, stack_size: StackSize, group: *const Group, at: Place) -> TaskCore {
        TaskCore {
            owner: Owner::new(OwnerKind::Task, id, at),
            links: Links::new(),
            state: Cell::new(State::Ready),
            flags: Cell::new(flag::HANDLE),
            end: Cell::new(End::Returned),
            requests: Cell::new(0),
            stack_size,
            activation: Cell::new(std::ptr::null()),
            group: Cell::new(group),
            place_in_group: Cell::new(0),
            joiners: WaitList::new(),
            rare: Cell::new(None),
        }
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.owner.id()
    }

    pub(crate) fn spawned_at(&self) -> Place {
        self.owner.place()
    }

    #[inline(always)]
    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    #[inline(always)]
    pub(crate) fn set_state(&self, state: State) {
        self.state.set(state);
    }

    #[inline(always)]
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags.get() & flag != 0
    }

    #[inline(always)]
    pub(super) fn put(&self, flag: u8, on: bool) {
        let flags = self.flags.get();
        self.flags.set(if on { flags | flag } else { flags & !flag });
    }

    #[inline(always)]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.has(flag::CANCELLED)
    }

    pub(crate) fn set_cancelled(&self, on: bool) {
        self.put(flag::CANCELLED, on);
    }

    #[inline]
    pub(crate) fn has_handle(&self) -> bool {
        self.has(flag::HANDLE)
    }

    #[inline]
    pub(crate) fn drop_handle(&self) {
        self.put(flag::HANDLE, false);
    }

    #[inline]
    pub(crate) fn notify(&self) {
        self.put(flag::NOTIFIED, true);
    }

    #[inline(always)]
    pub(crate) fn take_notified(&self) -> bool {
        let notified = self.has(flag::NOTIFIED);
        if notified {
            self.put(flag::NOTIFIED, false);
        }
        notified
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.state() == State::Done
    }

    /// Whether its function has ended, even if its stack is not yet taken down.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.has(flag::ENDED)
    }

    #[inline]
    pub(crate) fn end(&self) -> End {
        self.end.get()
    }

    #[inline]
    pub(crate) fn set_end(&self, end: End) {
        self.put(flag::ENDED, true);
        self.end.set(end);
    }

    #[inline]
    pub(crate) fn ended_cancelled(&self) -> bool {
        self.end() == End::Cancelled
    }

    #[inline]
    pub(crate) fn requests(&self) -> u32 {
        self.requests.get()
    }

    pub(crate) fn set_requests(&self, n: u32) {
        self.requests.set(n);
    }

    /// The innermost open timeout, shield or scope of this task.
    #[inline]
    pub(crate) fn frames(&self) -> *const Frame {
        self.activation().map_or(std::ptr::null(), |activation| activation.frames.get())
    }

    pub(crate) fn set_frames(&self, innermost: *const Frame) {
        self.activation().expect("a task that opens a region is active").frames.set(innermost);
    }

    pub(crate) fn count_fruitless(&self) -> u16 {
        let Some(activation) = self.activation() else { return 0 };
        activation.fruitless.set(activation.fruitless.get().saturating_add(1));
        activation.fruitless.get()
    }

    /// Whether it has any of what few tasks have.
    #[inline]
    pub(crate) fn has_rare(&self) -> bool {
        let rare = self.rare.take();
        let has = rare.is_some();
        self.rare.set(rare);
        has
    }

    fn with_rare<R>(&self, f: impl FnOnce(&mut Rare) -> R) -> R {
        // Taken out while it is used: nothing that `f` calls can meet it half-changed.
        let mut rare = self.rare.take().unwrap_or_default();
        let result = f(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    fn read_rare<R>(&self, f: impl FnOnce(Option<&Rare>) -> R) -> R {
        let rare = self.rare.take();
        let result = f(rare.as_deref());
        self.rare.set(rare);
        result
    }

    pub(crate) fn name(&self) -> String {
        let given = self.read_rare(|rare| rare.and_then(|rare| rare.name.as_deref().map(str::to_owned)));
        given.unwrap_or_else(|| format!("task-{}", self.id()))
    }

    pub(crate) fn set_name(&self, name: String) {
        let old = self.with_rare(|rare| {
            // SAFETY: no name is always there.
            unsafe { self.owner.set_name(None) };
            let old = rare.name.replace(name.into_boxed_str());
            // SAFETY: `Rare` is on the heap and stays there until the task is freed, which is after its stack was given
            // back; and the name in it changes only here.
            unsafe { self.owner.set_name(rare.name.as_ref()) };
            old
        });
        // Freed only now: until here the overflow report could have read it.
        drop(old);
    }

    pub(crate) fn cause(&self) -> Option<Cause> {
        self.read_rare(|rare| rare.and_then(|rare| rare.cause.clone()))
    }

    pub(crate) fn set_cause(&self, cause: Option<Cause>) {
        self.with_rare(|rare| rare.cause = cause);
    }

    pub(crate) fn add_on_done(&self, f: OnDone, at: Place) {
        self.with_rare(|rare| rare.on_done.push((f, at)));
    }

    pub(crate) fn take_on_done(&self) -> Vec<(OnDone, Place)> {
        match self.rare.take() {
            None => Vec::new(),
            Some(mut rare) => {
                let callbacks = std::mem::take(&mut rare.on_done);
                self.rare.set(Some(rare));
                callbacks
            }
        }
    }

    pub(crate) fn locals(&self) -> Snapshot {
        self.read_rare(|rare| rare.map(|rare| rare.locals.clone())).unwrap_or_default()
    }

    /// What a new task begins with.
    pub(crate) fn set_locals(&self, locals: Snapshot) {
        if !locals.is_empty() {
            self.with_rare(|rare| rare.locals = locals);
        }
    }

    /// Changes the task-locals; `f` runs no user code.
    pub(crate) fn update_locals<R>(&self, f: impl FnOnce(&mut Snapshot) -> R) -> R {
        self.with_rare(|rare| f(&mut rare.locals))
    }

    pub(crate) fn take_locals(&self) -> Snapshot {
        if self.has_rare() { self.with_rare(|rare| std::mem::take(&mut rare.locals)) } else { Snapshot::new() }
    }

    #[inline(always)]
    pub(crate) fn activation(&self) -> Option<&Activation> {
        // SAFETY: set by `activate`; it is there until `deactivate` gives its stack back, which also clears the pointer.
        unsafe { self.activation.get().as_ref() }
    }

    /// Whether its function has begun.
    #[inline(always)]
    pub(crate) fn is_active(&self) -> bool {
        !self.activation.get().is_null()
    }

    /// Puts the function onto a stack. The stack was reserved when the task was made, so this cannot fail.
    #[inline]
    pub(crate) fn activate<'a>(task: &'a TaskRef, lp: &EventLoop) -> &'a Activation {
        if !task.core.stack_size.is_some() {
            return TaskCore::activate_without_stack(task, lp);
        }
        let stack = lp.stacks.take(task.core.stack_size, &task.core.owner);
        let activation = stack.head().cast::<Activation>();
        let root = move |suspender: &Suspender<Input, Pause>, _: Input| {
            // SAFETY: written below, before the first resume, and there until this function has returned.
            let activation = unsafe { &*activation };
            activation.suspender.set(suspender);
            let task = activation.task();
            task.body().run(&task.core);
        };
        // SAFETY: `run` does not unwind; what the function borrows outlives the task, which is the duty of
        // whoever erased its lifetime (`scope`, `run`).
        let fiber = unsafe { Fiber::new(stack, root) };
        // SAFETY: the head of the stack, which is the task's alone, large and aligned enough; the loop's table holds the
        // task for longer.
        unsafe {
            activation.write(Activation::new(task.uncounted(), Some(fiber)));
            task.core.activation.set(activation);
            &*activation
        }
    }

    /// Lets the future of a task be polled.
    #[inline(never)]
    fn activate_without_stack<'a>(task: &'a TaskRef, lp: &EventLoop) -> &'a Activation {
        let place = task.body().place();
        let activation = Activation::new(task.uncounted(), None);
        activation.seat.set(lp.seats.enter(task));
        activation.at.set(Some(task.core.spawned_at()));
        // SAFETY: it lies in the task's own allocation, for nothing else.
        unsafe {
            place.write(activation);
            task.core.activation.set(place);
            &*place
        }
    }

    /// Takes the stack of a function that has returned.
    #[inline]
    pub(crate) fn deactivate(&self, lp: &EventLoop) {
        let activation = self.activation.replace(std::ptr::null());
        // SAFETY: the task was active, and this was the one pointer to its activation, of which nothing is used any more.
        // `into_stack` checks that the function has returned.
        unsafe {
            match (*activation).fiber.get().read() {
                Some(fiber) => lp.stacks.give(fiber.into_stack()),
                None => lp.seats.leave((*activation).seat.get()),
            }
        }
    }

    /// Goes back to the loop; only for the running task.
    #[inline(always)]
    pub(crate) fn suspend(&self, want: Want, at: Place) -> Input {
        debug_assert_eq!(self.state(), State::Running);
        // SAFETY: the task is running, so it has an activation, and its root frame, which set the pointer, is alive.
        let (activation, suspender) = unsafe {
            let activation = &*self.activation.get();
            (activation, &*activation.suspender.get())
        };
        activation.want.set(want);
        activation.at.set(Some(at));
        activation.depth.set(self.activation.get().addr().wrapping_sub(crate::sys::stack_pointer()) as u32);
        let pause = if want == Want::Turn { Pause::Turn } else { Pause::Parked };
        let input = suspender.suspend(pause);
        #[cfg(feature = "backtrace")]
        let input = super::report::answer(input, || suspender.suspend(pause));
        input
    }

    /// It will run after the next one: asks the processor for the top of its stack.
    #[inline]
    pub(crate) fn fetch_top(&self) {
        crate::sys::prefetch(self.activation.get().addr(), size_of::<Activation>());
    }

    /// It will run next: asks for the innermost frames, as many as a wait for a socket has and what that goes back to.
    #[inline]
    pub(crate) fn fetch_frames(&self) {
        const FRAMES: usize = 768;
        if let Some(activation) = self.activation() {
            let top = std::ptr::from_ref(activation).addr();
            crate::sys::prefetch(top.wrapping_sub(activation.depth.get() as usize), FRAMES);
        }
    }

    /// What it waits for and where, or waited for last; `None` before its first pause and after its end.
    pub(crate) fn waits(&self) -> Option<(Want, Place)> {
        let activation = self.activation()?;
        Some((activation.want.get(), activation.at.get()?))
    }

    /// The same, as it is now: a lock may have passed from hand to hand since the wait began.
    pub(crate) fn waits_now(&self, lp: &EventLoop) -> Option<(Want, Place)> {
        let (mut want, at) = self.waits()?;
        if let Want::Thing { holder, .. } = &mut want
            && let Some(now) = self.holder()
        {
            *holder = now.on(lp);
        }
        Some((want, at))
    }

    /// Says where it stands who has what the task waits for; whoever says so takes it back before the wait is over.
    pub(crate) fn set_holder(&self, holder: Option<&Cell<Who>>) {
        if let Some(activation) = self.activation() {
            activation.holder.set(holder.map_or(std::ptr::null(), std::ptr::from_ref));
        }
    }

    /// Who has what this one waits for, if that is a lock and it waits on its stack.
    fn holder(&self) -> Option<Who> {
        // SAFETY: the guard of the wait, in a frame of this task's stack, takes the pointer back before the frame goes (R4).
        let holder = unsafe { self.activation()?.holder.get().as_ref() };
        holder.map(Cell::get)
    }

    pub(crate) fn resumes(&self) -> u32 {
        self.activation().map_or(0, |activation| activation.resumes.get())
    }

    pub(crate) fn count_throw(&self) -> u32 {
        let Some(activation) = self.activation() else { return 0 };
        activation.throws.set(activation.throws.get() + 1);
        activation.throws.get()
    }

    /// Bytes between the top of its stack and the lowest page that was touched.
    pub(crate) fn stack_used(&self) -> Option<usize> {
        if !self.stack_size.is_some() {
            return None;
        }
        crate::stack::high_water_at(std::ptr::from_ref(self.activation()?).addr())
    }
}

impl Activation {
    /// A reference to the task that may be held across its suspensions: it lies in no frame of the loop.
    #[inline(always)]
    pub(crate) fn task(&self) -> &TaskRef {
        &self.task
    }

    /// Runs the function until it pauses; `None`: it has returned.
    // ANCHOR: send
    #[inline(always)]
    pub(crate) fn send(&self, input: Input) -> Option<Pause> {
        self.resumes.set(self.resumes.get().wrapping_add(1));
        // SAFETY: only `step` calls this, and never for a task that is running, so the fiber is not in use. While the
        // function runs it touches the other fields only.
        let Some(fiber) = (unsafe { &mut *self.fiber.get() }) else { return self.poll(input) };
        match fiber.resume(input) {
            Switched::Suspended(pause) => Some(pause),
            Switched::Returned(()) => None,
        }
    }
    // ANCHOR_END: send

    /// Has the function say in which calls it stands; `false` if it is a future, which stands in none.
    #[cfg(feature = "backtrace")]
    pub(crate) fn report(&self) -> bool {
        // SAFETY: as in `send`: whoever calls this has seen that the task has paused, so the fiber is not in use.
        let Some(fiber) = (unsafe { &mut *self.fiber.get() }) else { return false };
        let switched = fiber.resume(Input::Report);
        assert!(matches!(switched, Switched::Suspended(_)), "a task that reports stays where it is");
        true
    }

    /// Polls the future, from the top: the `send` of a task without a stack.
    // ANCHOR: poll
    #[inline(never)]
    fn poll(&self, input: Input) -> Option<Pause> {
        let (task, body) = (&*self.task, self.task.body());
        EventLoop::with_current(|lp| {
            let lp = lp.expect("a task runs on its loop");
            if task.core.is_cancelled() {
                // It may have been ready already: who stands between it and its waits has to be told first.
                lp.seats.tell_who_is_due(lp);
            }
            let _polling = lp.begin_to_poll(task);
            if input == Input::Throw {
                body.abandon(&task.core);
                return None;
            }
            let waker = waker::of_seat(lp, self.seat.get());
            // What says nothing of itself is a future of somebody's.
            self.want.set(Want::Future);
            self.at.set(Some(task.core.spawned_at()));
            self.has_said.set(false);
            lp.take_polls();
            let polled = body.poll(&task.core, &mut Context::from_waker(&waker));
            let polls = 1 + lp.take_polls();
            lp.emit(|| Event::Polled { task: task.core.id(), polls });
            match polled {
                Poll::Ready(()) => None,
                Poll::Pending if task.core.is_cancelled() && self.waits_for_others_only(lp) => {
                    body.abandon(&task.core);
                    None
                }
                Poll::Pending if self.want.get() == Want::Turn => Some(Pause::Turn),
                Poll::Pending => Some(Pause::Parked),
            }
        })
    }
    // ANCHOR_END: poll

    /// A future that the task polls says what it waits for, and where. On a coroutine that holds until its next pause.
    pub(crate) fn say(&self, want: Want, at: Place) {
        self.want.set(want);
        self.at.set(Some(at));
        self.has_said.set(true);
    }

    /// Asks anew whether something is said. Returns what [`ask_as`](Self::ask_as) takes to go back to the former question.
    pub(crate) fn ask(&self) -> bool {
        self.has_said.replace(false)
    }

    pub(crate) fn ask_as(&self, before: bool) {
        self.has_said.set(before);
    }

    /// Whether nothing of ours could fail in the future that was polled, nor has to be waited for, so that it waits for those
    /// only who know of no cancellation.
    pub(crate) fn waits_for_others_only(&self, lp: &EventLoop) -> bool {
        !self.has_said.get() && !lp.seats.go_on_for(&self.task)
    }

    #[inline]
    fn new(task: ManuallyDrop<TaskRef>, fiber: Option<Fiber<Input, Pause, ()>>) -> Activation {
        Activation {
            task,
            fiber: UnsafeCell::new(fiber),
            suspender: Cell::new(std::ptr::null()),
            want: Cell::new(Want::Turn),
            at: Cell::new(None),
            holder: Cell::new(std::ptr::null()),
            frames: Cell::new(std::ptr::null()),
            resumes: Cell::new(0),
            throws: Cell::new(0),
            depth: Cell::new(0),
            seat: Cell::new(0),
            fruitless: Cell::new(0),
            has_said: Cell::new(false),
        }
    }
}

const _: () = assert!(size_of::<Activation>() <= HEAD && align_of::<Activation>() <= 64);

impl fmt::Display for TaskRef {
    /// As log lines name a task: `task "reader" (4, spawned at src/main.rs:7:13)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {:?} ({}, spawned at {})", self.core.name(), self.core.id(), self.core.spawned_at())
    }
}
