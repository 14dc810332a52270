//! Cancellation: a tree of scopes, and errors as its messengers.
//!
//! Every task is a scope, and [`timeout`], [`CancelScope`], [`scope`](crate::scope()) and [`shield`] open one inside it.
//! The open ones of a task form a list of [`Frame`]s, innermost first; a `scope` frame leads on to the children, and so
//! the lists of all tasks are one tree:
//!
//! ```text
//!   task ── timeout ── scope ──┬── child ── timeout
//!                              ├── child
//!                              └── child ── shield ── timeout
//! ```
//!
//! Cancelling a scope marks it and everything below it that no shield protects. Cancellation is *level-triggered*: in a
//! marked scope every suspending call fails, until the scope ends. (asyncio delivers a cancellation once; code that
//! retries on errors swallows it, and time limits stop working.) Whether a scope was cancelled is read from the scope and
//! never guessed from an error, which third-party code may have rewrapped (R11).
//!
//! Chapter: `docs/book/cancellation.md`.

use std::cell::Cell;
use std::error::Error as StdError;
use std::time::{Duration, Instant};
use std::{io, ptr};

use crate::clock::nanos;
use crate::error;
use crate::event_loop::{EventLoop, TimerAction};
use crate::observe::event::{By, Event, Purpose, Why};
use crate::scope::Group;
use crate::task::wait::{Context, in_context};
use crate::task::{IntoResult, State, TaskRef, not_in_a_callback};
use crate::timer::{Nanos, TimerKey};

/// Why a scope was cancelled; from [`cancel_cause`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Somebody called `cancel`, perhaps with a reason.
    Requested(Option<String>),
    /// A deadline was met.
    Deadline,
    /// In a [`scope`](crate::scope()), a sibling failed, or the body did.
    Sibling,
    /// Ctrl-C, or SIGTERM.
    Interrupt,
    /// The run is ending.
    Shutdown,
}

impl Cause {
    pub(crate) fn why(&self) -> Why {
        match self {
            Cause::Requested(_) => Why::Requested,
            Cause::Deadline => Why::Deadline,
            Cause::Sibling => Why::Sibling,
            Cause::Interrupt => Why::Interrupt,
            Cause::Shutdown => Why::Shutdown,
        }
    }
}

/// One open region of a task; lies in the frame of the call that opened it.
pub(crate) struct Frame {
    outer: *const Frame,
    kind: Kind,
    /// Where the stack stood: tells on whose stack the region was opened.
    stack_pointer: usize,
    task: TaskRef,
    timer: Cell<Option<TimerKey>>,
}

enum Kind {
    Limit(*const CancelScope),
    /// Whether it still holds.
    Shield(Cell<bool>),
    Group(*const Group),
}

/// Opens a region of the running task for the time of `f`.
///
/// The frame is linked by address. It stays where it is until the guard has unlinked it, on return and on unwinding
/// alike, and a suspended task's stack does not go away before that (R4).
#[inline]
fn within<R>(lp: &EventLoop, task: &TaskRef, kind: Kind, enter: impl FnOnce(&Frame), f: impl FnOnce() -> R) -> R {
    struct Leave<'a>(&'a EventLoop, &'a Frame);
    impl Drop for Leave<'_> {
        fn drop(&mut self) {
            let Leave(lp, frame) = *self;
            if let Kind::Limit(scope) = frame.kind {
                // SAFETY: the scope is borrowed by the `run` that opened this frame.
                unsafe { (*scope).frame.set(ptr::null()) };
            }
            if let Some(timer) = frame.timer.take() {
                lp.drop_timer(timer);
            }
            debug_assert!(ptr::eq(frame.task.core.frames(), frame), "regions close in the order they opened");
            frame.task.core.set_frames(frame.outer);
            refresh(lp, &frame.task);
        }
    }
    let frame = Frame {
        outer: task.core.frames(),
        kind,
        stack_pointer: crate::sys::stack_pointer(),
        task: task.clone(),
        timer: Cell::new(None),
    };
    task.core.set_frames(&frame);
    let _leave = Leave(lp, &frame);
    enter(&frame);
    f()
}

/// Opens the region of a `scope`.
pub(crate) fn within_group<R>(lp: &EventLoop, task: &TaskRef, group: &Group, f: impl FnOnce() -> R) -> R {
    within(lp, task, Kind::Group(group), |_| {}, f)
}

impl Frame {
    fn arm(&self, lp: &EventLoop, due: Option<Nanos>) {
        if let Some(old) = self.timer.take() {
            lp.drop_timer(old);
        }
        if let Some(due) = due {
            self.timer.set(Some(lp.arm_timer(due, TimerAction::Frame(self), self.task.core.id())));
        }
    }

    pub(crate) fn task_id(&self) -> u64 {
        self.task.core.id()
    }

    /// What its timer is for.
    pub(crate) fn purpose(&self) -> Purpose {
        match self.kind {
            Kind::Shield(_) => Purpose::Shield,
            Kind::Limit(_) | Kind::Group(_) => Purpose::Limit,
        }
    }

    /// Its timer was due.
    pub(crate) fn expire(&self, lp: &EventLoop) {
        self.timer.set(None);
        match &self.kind {
            // SAFETY: the scope is borrowed by the `run` that opened this frame.
            Kind::Limit(scope) => unsafe { (**scope).meet(lp, Met::Expired) },
            Kind::Shield(holds) => {
                holds.set(false);
                // What lies inside meets what lies outside now, if there is anything to meet.
                if let Some(cause) = cause_from(&self.task, self.outer) {
                    spread(lp, &self.task, self, &cause);
                }
                deliver(lp, &self.task);
            }
            Kind::Group(_) => {}
        }
    }

    /// Whether the region itself was cancelled, and why.
    fn cause(&self) -> Option<Cause> {
        match &self.kind {
            // SAFETY: as in `expire`; a group lies in the frame of the `scope` that opened this one.
            Kind::Limit(scope) => match unsafe { (**scope).met.get() } {
                Met::Not => None,
                Met::Cancelled => Some(Cause::Requested(None)),
                Met::Expired => Some(Cause::Deadline),
            },
            Kind::Shield(_) => None,
            // SAFETY: see above.
            Kind::Group(group) => unsafe { (**group).cause() },
        }
    }
}

/// The open regions of a task, innermost first.
fn frames(task: &TaskRef) -> impl Iterator<Item = &Frame> {
    frames_from(task, task.core.frames())
}

fn frames_from(_: &TaskRef, mut next: *const Frame) -> impl Iterator<Item = &Frame> {
    std::iter::from_fn(move || {
        // SAFETY: linked frames are alive, see `within`.
        let frame = unsafe { next.as_ref() }?;
        next = frame.outer;
        Some(frame)
    })
}

/// Why the task's innermost scope is cancelled, as far as no shield is in between.
pub(crate) fn cause_of(task: &TaskRef) -> Option<Cause> {
    cause_from(task, task.core.frames())
}

/// The region of `group` was cancelled: so are its children, the regions that its owner has opened inside it, and what
/// belongs to those.
pub(crate) fn cancel_region(lp: &EventLoop, owner: &TaskRef, group: &Group, cause: &Cause) {
    let mut children = Vec::new();
    group.each_to_be_cancelled(|child| children.push(Step::Ask(child)));
    children.reverse();
    go_through(lp, children, cause);
    let region = frames(owner).find(|frame| matches!(frame.kind, Kind::Group(its) if ptr::eq(its, group)));
    if let Some(region) = region {
        spread(lp, owner, region, cause);
    }
    deliver(lp, owner);
}

/// Why a task that is spawned in `group` now is cancelled before it begins: the region, or one around it, is.
#[inline]
pub(crate) fn cause_for_child(owner: &TaskRef, group: *const Group) -> Option<Cause> {
    let is_of_group = |frame: &Frame| matches!(frame.kind, Kind::Group(its) if ptr::eq(its, group));
    // As a rule the scope is the innermost region of its owner, and then the owner's flag says it all.
    if !owner.core.is_cancelled() && frames(owner).next().is_some_and(is_of_group) {
        return None;
    }
    frames(owner).find(|frame| is_of_group(frame)).and_then(|frame| cause_from(owner, frame))
}

/// Why the region of this frame is cancelled: by itself, or by what lies around it.
fn cause_from(task: &TaskRef, frame: *const Frame) -> Option<Cause> {
    let shields_hold = EventLoop::with_current(|lp| !lp.is_some_and(EventLoop::forces));
    for frame in frames_from(task, frame) {
        if let Some(cause) = frame.cause() {
            return Some(cause);
        }
        if shields_hold && matches!(&frame.kind, Kind::Shield(holds) if holds.get()) {
            return None;
        }
    }
    if task.core.requests() > 0 { Some(task.core.cause().unwrap_or(Cause::Requested(None))) } else { None }
}

/// Brings the task's flag up to date, the one that every suspending call looks at.
// ANCHOR: refresh
fn refresh(lp: &EventLoop, task: &TaskRef) {
    let shields_hold = !lp.forces();
    let mut cancelled = task.core.requests() > 0;
    for frame in frames(task) {
        if frame.cause().is_some() {
            cancelled = true;
            break;
        }
        if shields_hold && matches!(&frame.kind, Kind::Shield(holds) if holds.get()) {
            cancelled = false;
            break;
        }
    }
    task.core.set_cancelled(cancelled);
}
// ANCHOR_END: refresh

/// Lets the task see that its scopes have changed.
pub(crate) fn deliver(lp: &EventLoop, task: &TaskRef) {
    let before = task.core.is_cancelled();
    refresh(lp, task);
    if task.core.is_cancelled() && !before {
        lp.wake(task, By::Cancel);
        lp.seats.tell_waits_of(lp, task);
    }
}

/// Cancels the children of every `scope` that the task has open inside `inside` (null: all), down to the first shield,
/// and all that is below them.
pub(crate) fn spread(lp: &EventLoop, task: &TaskRef, inside: *const Frame, cause: &Cause) {
    if !task.core.frames().is_null() {
        let mut rest = Vec::new();
        push_children(lp, task, inside, &mut rest);
        go_through(lp, rest, cause);
    }
}

/// One step of a cancellation.
enum Step {
    /// The request, to the task and to what is below it.
    Ask(TaskRef),
    /// All that is below it knows: now the task itself.
    Deliver(TaskRef),
}

/// Does what is left to do, the last step first. This is no recursion, because a tree of tasks may be deeper than the
/// stack of whoever cancels it.
fn go_through(lp: &EventLoop, mut rest: Vec<Step>, cause: &Cause) {
    while let Some(step) = rest.pop() {
        match step {
            Step::Ask(task) => {
                if !ask(lp, &task, cause) {
                    continue;
                }
                if task.core.frames().is_null() {
                    deliver(lp, &task);
                } else {
                    rest.push(Step::Deliver(task.clone()));
                    push_children(lp, &task, ptr::null(), &mut rest);
                }
            }
            Step::Deliver(task) => deliver(lp, &task),
        }
    }
}

/// Adds the children of the scopes that a cancellation concerns. The innermost scope is told first, and the oldest child
/// of each.
fn push_children(lp: &EventLoop, task: &TaskRef, inside: *const Frame, rest: &mut Vec<Step>) {
    // The region's outermost shield: what lies inside it is protected.
    let mut innermost: *const Frame = task.core.frames();
    if !lp.forces() {
        for frame in frames(task).take_while(|frame| !ptr::eq(*frame, inside)) {
            if matches!(&frame.kind, Kind::Shield(holds) if holds.get()) {
                innermost = frame.outer;
            }
        }
    }
    let first = rest.len();
    let from = frames(task).skip_while(|frame| !ptr::eq(*frame, innermost));
    for frame in from.take_while(|frame| !ptr::eq(*frame, inside)) {
        if let Kind::Group(group) = frame.kind {
            // SAFETY: the group lies in the frame of the `scope` that opened this region.
            unsafe { (*group).each_to_be_cancelled(|child| rest.push(Step::Ask(child))) };
        }
    }
    rest[first..].reverse();
}

/// Cancels a task, and all that is below it; `false` if it is done.
pub(crate) fn cancel_task(task: &TaskRef, cause: Cause) -> bool {
    EventLoop::with_current(|lp| {
        let Some(lp) = lp else { return false };
        let asked = ask(lp, task, &cause);
        if asked {
            spread(lp, task, ptr::null(), &cause);
            deliver(lp, task);
        }
        asked
    })
}

/// Notes the request, and no more; `false` if the task is done.
fn ask(lp: &EventLoop, task: &TaskRef, cause: &Cause) -> bool {
    if task.core.state() == State::Done {
        return false;
    }
    lp.emit(|| Event::CancelAsk { task: task.core.id(), by: lp.current_id(), why: cause.why() });
    task.core.set_requests(task.core.requests().saturating_add(1));
    if task.core.requests() == 1 {
        task.core.set_cause(Some(cause.clone()));
    }
    true
}

pub(crate) fn uncancel_task(task: &TaskRef) -> u32 {
    let left = task.core.requests().saturating_sub(1);
    task.core.set_requests(left);
    if left == 0 {
        task.core.set_cause(None);
    }
    EventLoop::with_current(|lp| {
        if let Some(lp) = lp {
            refresh(lp, task);
        }
    });
    left
}

/// Whether a region opened on the stack between `low` and `high` is still open in the running task.
pub(crate) fn opened_between(lp: &EventLoop, low: usize, high: usize) -> bool {
    let Some(task) = lp.current() else { return false };
    frames(task).next().is_some_and(|frame| (low..high).contains(&frame.stack_pointer))
}

/// Why the scope that the caller runs in is cancelled; `None`: it is not.
///
/// It reads the state of the scopes of the running task: the innermost that is cancelled answers, and what lies outside
/// a [`shield`] does not count. Use it where an error alone does not tell whether to try again:
///
/// ```
/// use corio::{Cause, Runner, cancel_cause, secs, sleep, timeout};
/// use std::io;
///
/// fn fetch() -> io::Result<()> {
///     sleep(secs(2)).map_err(|_| io::Error::other("no answer")) // the cancellation is no longer seen in the error
/// }
///
/// fn fetch_until_it_works() -> io::Result<()> {
///     while let Err(error) = fetch() {
///         if let Some(cause) = cancel_cause() {
///             assert_eq!(cause, Cause::Deadline);
///             return Err(error); // asked to stop: no other try
///         }
///     }
///     Ok(())
/// }
///
/// Runner::new().virtual_clock().run(|| {
///     assert!(timeout(secs(1), fetch_until_it_works).is_err());
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub fn cancel_cause() -> Option<Cause> {
    EventLoop::with_current(|lp| lp.and_then(EventLoop::running).and_then(cause_of))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Not,
    Cancelled,
    Expired,
}

/// A region that can be cancelled, by hand or by a deadline.
///
/// While [`run`](Self::run) runs its body, a [`cancel`](Self::cancel) or the deadline makes every suspending call in the
/// body fail, and in the tasks of scopes that are open in it. What the body returns comes back unchanged; ask
/// [`cancelled`](Self::cancelled) or [`expired`](Self::expired) what happened. A scope runs once.
///
/// [`timeout`] is this scope with an error made of the deadline. asyncio: the object of `asyncio.timeout`; trio:
/// `CancelScope`.
///
/// ```
/// use corio::{CancelScope, millis, run, secs, sleep};
/// use std::time::Instant;
///
/// run(|| {
///     let patience = CancelScope::after(millis(20));
///     let result = patience.run(|| {
///         patience.reschedule(Some(corio::now() + millis(40))); // twice as long, after all
///         sleep(secs(60))
///     });
///     assert!(result.is_err() && patience.expired());
///     sleep(millis(1)) // outside the scope all is well
/// })
/// # .unwrap()
/// ```
///
/// By hand, from another task; and with a deadline that several steps have in common:
///
/// ```
/// use corio::{CancelScope, Runner, now, scope, secs, sleep};
///
/// Runner::new().virtual_clock().run(|| {
///     let search = CancelScope::new();
///     scope(|s| {
///         s.spawn(|| {
///             sleep(secs(1))?;
///             search.cancel(); // found elsewhere
///             Ok(())
///         });
///         assert!(search.run(|| sleep(secs(60))).is_err());
///         Ok(())
///     })?;
///     assert!(search.cancelled() && !search.expired());
///
///     let deadline = now() + secs(5);
///     let step = CancelScope::at(deadline);
///     assert_eq!(step.when(), Some(deadline));
///     step.run(|| sleep(secs(3)))?;
///     assert!(!step.cancelled()); // it was left in time
///     assert!(CancelScope::at(deadline).run(|| sleep(secs(3))).is_err() && now() == deadline);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct CancelScope {
    limit: Cell<Limit>,
    met: Cell<Met>,
    entered: Cell<bool>,
    /// While it runs.
    frame: Cell<*const Frame>,
}

#[derive(Clone, Copy)]
enum Limit {
    None,
    After(Duration),
    At(Instant),
}

impl CancelScope {
    /// A region without a deadline.
    pub fn new() -> CancelScope {
        CancelScope::with(Limit::None)
    }

    /// A region whose deadline comes `d` after [`run`](Self::run) enters it.
    pub fn after(d: Duration) -> CancelScope {
        CancelScope::with(Limit::After(d))
    }

    /// A region with a deadline on the loop's clock ([`now`](crate::now)).
    pub fn at(deadline: Instant) -> CancelScope {
        CancelScope::with(Limit::At(deadline))
    }

    fn with(limit: Limit) -> CancelScope {
        CancelScope {
            limit: Cell::new(limit),
            met: Cell::new(Met::Not),
            entered: Cell::new(false),
            frame: Cell::new(ptr::null()),
        }
    }

    /// Runs `f` in the region and returns what it returns.
    ///
    /// # Errors
    ///
    /// The body's own. [`InvalidInput`](io::ErrorKind::InvalidInput), without running it, outside a task or if this
    /// scope was run before.
    pub fn run<R: IntoResult>(&self, f: impl FnOnce() -> R) -> io::Result<R::Value> {
        self.run_typed(f)
    }

    pub(crate) fn run_typed<R: IntoResult<E>, E: From<io::Error>>(&self, f: impl FnOnce() -> R) -> Result<R::Value, E> {
        if self.entered.replace(true) {
            return Err(error::misuse("a CancelScope runs once; make a new one").into());
        }
        let body = || f().into_result();
        in_context(|context| match context {
            Context::Task(lp, task) => {
                let enter = |frame: &Frame| {
                    self.frame.set(frame);
                    let due = match self.limit.get() {
                        Limit::None => None,
                        Limit::After(d) => Some(lp.clock.now().saturating_add(nanos(d))),
                        Limit::At(t) => Some(lp.clock.nanos_at(t)),
                    };
                    if let (Limit::After(_), Some(due)) = (self.limit.get(), due) {
                        self.limit.set(Limit::At(lp.clock.instant(due)));
                    }
                    self.set_deadline(lp, frame, due);
                    if self.met.get() != Met::Not {
                        refresh(lp, task);
                    }
                };
                within(lp, task, Kind::Limit(self), enter, body)
            }
            // Every wait is refused while unwinding: there is nothing to limit.
            Context::Unwinding(..) => body(),
            Context::Callback | Context::Outside => Err(needs_a_task("a time limit").into()),
        })
    }

    fn set_deadline(&self, lp: &EventLoop, frame: &Frame, due: Option<Nanos>) {
        let past = due.is_some_and(|due| due <= lp.clock.now());
        frame.arm(lp, due.filter(|_| !past && self.met.get() == Met::Not));
        if past {
            self.meet(lp, Met::Expired);
        }
    }

    /// Marks the region, once, and tells everything inside it.
    fn meet(&self, lp: &EventLoop, met: Met) {
        // SAFETY: set only while the frame that it points to is open.
        let frame = unsafe { self.frame.get().as_ref() };
        let left = self.entered.get() && frame.is_none();
        if left || self.met.get() != Met::Not {
            return;
        }
        self.met.set(met);
        let Some(frame) = frame else { return };
        let cause = if met == Met::Expired { Cause::Deadline } else { Cause::Requested(None) };
        let by = if met == Met::Expired { 0 } else { lp.current_id() };
        lp.emit(|| Event::CancelAsk { task: frame.task.core.id(), by, why: cause.why() });
        spread(lp, &frame.task, frame, &cause);
        deliver(lp, &frame.task);
    }

    /// Cancels the region: now, or as soon as it is entered. Once it is left, nothing.
    pub fn cancel(&self) {
        EventLoop::with_current(|lp| match lp {
            Some(lp) => self.meet(lp, Met::Cancelled),
            None if !self.entered.get() => self.met.set(Met::Cancelled),
            None => {}
        });
    }

    /// Whether it was cancelled, by hand or by its deadline.
    pub fn cancelled(&self) -> bool {
        self.met.get() != Met::Not
    }

    /// Whether its deadline was met while it ran. asyncio: `expired`.
    pub fn expired(&self) -> bool {
        self.met.get() == Met::Expired
    }

    /// Its deadline, if it has one and, for [`after`](Self::after), was entered. asyncio: `when`.
    pub fn when(&self) -> Option<Instant> {
        match self.limit.get() {
            Limit::At(deadline) => Some(deadline),
            Limit::None | Limit::After(_) => None,
        }
    }

    /// Moves the deadline; `None` takes it away. A deadline in the past is met at once; one that was met stays met.
    /// asyncio: `reschedule`.
    pub fn reschedule(&self, deadline: Option<Instant>) {
        self.limit.set(deadline.map_or(Limit::None, Limit::At));
        EventLoop::with_current(|lp| {
            // SAFETY: set only while the frame that it points to is open.
            if let (Some(lp), Some(frame)) = (lp, unsafe { self.frame.get().as_ref() }) {
                self.set_deadline(lp, frame, deadline.map(|t| lp.clock.nanos_at(t)));
            }
        });
    }
}

impl Default for CancelScope {
    fn default() -> Self {
        CancelScope::new()
    }
}

impl std::fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelScope")
            .field("when", &self.when())
            .field("cancelled", &self.cancelled())
            .field("expired", &self.expired())
            .finish()
    }
}

/// The error of a region where no task could have one.
#[cold]
pub(crate) fn needs_a_task(what: &str) -> io::Error {
    match EventLoop::with_current(|lp| lp.is_some_and(|lp| lp.running().is_some())) {
        true => not_in_a_callback(),
        false => error::misuse(format!("{what} needs a task: call it inside `corio::run`, and not in a callback")),
    }
}

/// Runs `f` with a time limit.
///
/// When `d` has passed, every suspending call in `f` fails. If `f` then ends with an error, whatever it is, the result
/// is [`TimedOut`](io::ErrorKind::TimedOut) with that error as its source. A value that `f` returns all the same is
/// returned: it was there. An error before the deadline stays what it is. A limit of zero lets `f` run to its first
/// suspending call.
///
/// Limits nest. Where the task, or a limit around this one, is cancelled as well when `f` ends, that goes before: the
/// body's error passes as it is, so that nobody tries again in vain, and of limits that were met together the outermost
/// reports it.
///
/// asyncio: `asyncio.timeout`, `asyncio.wait_for`.
///
/// # Errors
///
/// `TimedOut`, or the body's own. [`InvalidInput`](io::ErrorKind::InvalidInput) outside a task.
///
/// ```
/// use corio::{is_timed_out, millis, run, secs, sleep, timeout};
///
/// run(|| {
///     let answer = match timeout(millis(10), || sleep(secs(60))) {
///         Err(e) if is_timed_out(&e) => "too late",
///         _ => "in time",
///     };
///     assert_eq!(answer, "too late");
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[doc(alias = "wait_for")]
pub fn timeout<R: IntoResult>(d: Duration, f: impl FnOnce() -> R) -> io::Result<R::Value> {
    limit(CancelScope::after(d), f)
}

/// Runs `f` until a moment on the loop's clock at most; see [`timeout`]. asyncio: `asyncio.timeout_at`.
///
/// # Errors
///
/// As [`timeout`].
///
/// ```
/// use corio::{Runner, is_timed_out, now, secs, sleep, timeout_at};
///
/// Runner::new().virtual_clock().run(|| {
///     let deadline = now() + secs(3); // for both steps together
///     timeout_at(deadline, || sleep(secs(2)))?;
///     assert!(is_timed_out(&timeout_at(deadline, || sleep(secs(2))).unwrap_err()));
///     assert_eq!(now(), deadline);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub fn timeout_at<R: IntoResult>(deadline: Instant, f: impl FnOnce() -> R) -> io::Result<R::Value> {
    limit(CancelScope::at(deadline), f)
}

pub(crate) fn limit<R, E>(scope: CancelScope, f: impl FnOnce() -> R) -> Result<R::Value, E>
where
    R: IntoResult<E>,
    E: From<io::Error> + Into<Box<dyn StdError + Send + Sync>>,
{
    match scope.run_typed(f) {
        // What lies around was cancelled too: then this is only the messenger's way out, and no time-out to recover from.
        Err(cause) if scope.expired() && cancel_cause().is_none() => Err(error::timed_out(cause).into()),
        result => result,
    }
}

/// Runs `f` without being cancelled from outside, for `limit` at most: for clean-up that must wait.
///
/// A cancellation that comes, or has come, while `f` runs is met when `f` is left, or when `limit` has passed. Scopes
/// that are opened inside `f` work as ever. There is no shield without a limit, because a clean-up that hangs would
/// keep the whole program from ending; for the same reason the last phase of a shutdown ignores shields.
///
/// The limit is the shield's and not the body's: where nothing is cancelled `f` takes as long as it takes, and where the
/// limit has passed its calls fail as cancelled, not as timed out. For both put a [`timeout`] inside.
///
/// asyncio has no counterpart: there a clean-up may wait because a cancellation is delivered only once. For
/// `asyncio.shield(task)` see [`Task::wait`](crate::Task::wait). trio: `CancelScope(shield=True)`.
///
/// # Errors
///
/// The body's own. [`InvalidInput`](io::ErrorKind::InvalidInput) outside a task.
///
/// ```
/// use corio::{millis, run, secs, shield, sleep, spawn};
///
/// run(|| {
///     let task = spawn(|| {
///         let work = sleep(secs(60));
///         shield(secs(5), || sleep(millis(1)))?; // say goodbye: this wait works
///         work
///     });
///     corio::yield_now()?;
///     task.cancel();
///     assert!(task.join().is_err());
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub fn shield<R: IntoResult>(limit: Duration, f: impl FnOnce() -> R) -> io::Result<R::Value> {
    shield_typed(limit, f)
}

pub(crate) fn shield_typed<R, E>(limit: Duration, f: impl FnOnce() -> R) -> Result<R::Value, E>
where
    R: IntoResult<E>,
    E: From<io::Error>,
{
    let body = || f().into_result();
    in_context(|context| match context {
        Context::Task(lp, task) => {
            let enter = |frame: &Frame| {
                refresh(lp, task);
                frame.arm(lp, Some(lp.clock.now().saturating_add(nanos(limit))));
            };
            within(lp, task, Kind::Shield(Cell::new(!limit.is_zero())), enter, body)
        }
        Context::Unwinding(..) => body(),
        Context::Callback | Context::Outside => Err(needs_a_task("a shield").into()),
    })
}

/// One poll of a future that is shielded while `holds`: the region is closed between two polls.
pub(crate) fn shield_poll<R>(lp: &EventLoop, task: &TaskRef, holds: bool, f: impl FnOnce() -> R) -> R {
    within(lp, task, Kind::Shield(Cell::new(holds)), |_| refresh(lp, task), f)
}
