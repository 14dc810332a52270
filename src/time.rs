//! Time for tasks: sleeping, intervals, and callbacks later.

use std::io;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use crate::callbacks::CallbackKey;
use crate::clock::nanos;
use crate::error::cancelled;
use crate::event_loop::{EventLoop, TimerAction};
use crate::observe::event::{Place, Want};
use crate::task::wait::{Context, checkpoint, in_context, park, refuse_while_unwinding};
use crate::task::{TaskRef, caller, not_in_a_callback};
use crate::timer::{Nanos, TimerKey};

/// A number of seconds. `secs(3)` is [`Duration::from_secs`]`(3)`.
///
/// ```
/// use corio::{millis, secs};
///
/// const PATIENCE: std::time::Duration = secs(2); // it is `const`
/// assert_eq!(PATIENCE + millis(500), millis(2500));
/// ```
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A number of milliseconds. `millis(3)` is [`Duration::from_millis`]`(3)`.
///
/// ```
/// use corio::{millis, secs};
///
/// assert_eq!(secs(1) / 4, millis(250));
/// ```
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Now, on the loop's clock; on a thread without a loop, [`Instant::now`]. asyncio: `loop.time()`.
///
/// ```
/// use corio::{Runner, now, secs, sleep};
///
/// Runner::new().virtual_clock().run(|| {
///     let start = now();
///     sleep(secs(3))?;
///     assert_eq!(now() - start, secs(3)); // to the nanosecond: the clock of this run is simulated
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub fn now() -> Instant {
    EventLoop::with_current(|lp| lp.map_or_else(Instant::now, |lp| lp.clock.instant(lp.clock.now())))
}

/// Pauses the task for at least `d`. A duration of zero gives up the turn once; one too large to count is for ever.
///
/// Tasks whose time comes at the same moment go on in the order in which they went to sleep. asyncio: `sleep`.
///
/// # Errors
///
/// Only cancellation. In a callback, [`InvalidInput`](io::ErrorKind::InvalidInput). On a thread without a loop it sleeps
/// the thread.
///
/// # Suspends
///
/// Always.
///
/// ```
/// use corio::{Runner, secs, sleep};
///
/// // On the virtual clock an hour takes no time.
/// let slept = Runner::new().virtual_clock().run(|| {
///     let start = corio::now();
///     sleep(secs(3600))?;
///     Ok(corio::now() - start)
/// });
/// assert_eq!(slept.unwrap(), secs(3600));
/// ```
#[track_caller]
pub fn sleep(d: Duration) -> io::Result<()> {
    let at = caller();
    in_context(|context| match context {
        Context::Task(lp, task) if !d.is_zero() => {
            sleep_until_nanos(lp, task, lp.clock.now().saturating_add(nanos(d)), at)
        }
        Context::Task(lp, task) => {
            checkpoint(lp, task, at)?;
            park(lp, task, Want::Turn, at);
            if task.core.is_cancelled() { Err(cancelled()) } else { Ok(()) }
        }
        Context::Unwinding(..) => Err(refuse_while_unwinding()),
        Context::Callback => Err(not_in_a_callback()),
        Context::Outside => {
            std::thread::sleep(d);
            Ok(())
        }
    })
}

/// Pauses the task until `deadline` on the loop's clock. For one that is past it lets others run, and goes on as soon as
/// the loop looks at its timers again.
///
/// trio: `sleep_until`; asyncio has `loop.call_at` only, for callbacks.
///
/// # Errors
///
/// As [`sleep`].
///
/// # Suspends
///
/// Always.
///
/// ```
/// use corio::{Runner, now, secs, sleep, sleep_until};
///
/// Runner::new().virtual_clock().run(|| {
///     let start = now();
///     for round in 1..=3 {
///         sleep(secs(1))?; // work that takes a while
///         sleep_until(start + secs(10) * round)?; // the pace stays the same
///     }
///     assert_eq!(now() - start, secs(30));
///     sleep_until(start)?; // past: it only gives up the turn
///     assert_eq!(now() - start, secs(30));
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn sleep_until(deadline: Instant) -> io::Result<()> {
    let at = caller();
    in_context(|context| match context {
        Context::Task(lp, task) => sleep_until_nanos(lp, task, lp.clock.nanos_at(deadline), at),
        Context::Unwinding(..) => Err(refuse_while_unwinding()),
        Context::Callback => Err(not_in_a_callback()),
        Context::Outside => {
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
            Ok(())
        }
    })
}

fn sleep_until_nanos(lp: &EventLoop, task: &TaskRef, due: Nanos, at: Place) -> io::Result<()> {
    checkpoint(lp, task, at)?;
    let alarm = Alarm::wake(lp, task, due);
    loop {
        park(lp, task, Want::Sleep { timer: alarm.key.id() }, at);
        if alarm.has_fired() {
            return Ok(());
        }
        if task.core.is_cancelled() {
            return Err(cancelled());
        }
    }
}

/// A timer that wakes a task, and is given up when the wait ends in any other way.
pub(crate) struct Alarm<'a> {
    lp: &'a EventLoop,
    pub(crate) key: TimerKey,
}

impl<'a> Alarm<'a> {
    pub(crate) fn wake(lp: &'a EventLoop, task: &TaskRef, due: Nanos) -> Alarm<'a> {
        Alarm { lp, key: lp.arm_timer(due, TimerAction::Wake(task.clone()), task.core.id()) }
    }

    pub(crate) fn has_fired(&self) -> bool {
        self.lp.timer_due(self.key).is_none()
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.lp.drop_timer(self.key);
    }
}

/// What an [`Interval`] does about ticks that were missed because somebody was late.
///
/// ```
/// use corio::{MissedTicks, Runner, interval, millis, now, secs, sleep};
///
/// /// When ticks come, in milliseconds, if the second one is answered 2.5 s late.
/// fn ticks(policy: MissedTicks) -> Vec<u128> {
///     let mut seen = Vec::new();
///     let late = || {
///         let start = now();
///         for tick in interval(secs(1)).missed(policy).take(5) {
///             tick?;
///             seen.push((now() - start).as_millis());
///             if seen.len() == 2 {
///                 sleep(millis(2500))?;
///             }
///         }
///         Ok(())
///     };
///     Runner::new().virtual_clock().run(late).unwrap();
///     seen
/// }
/// assert_eq!(ticks(MissedTicks::Skip), [0, 1000, 4000, 5000, 6000]);
/// assert_eq!(ticks(MissedTicks::Burst), [0, 1000, 3500, 3500, 4000]);
/// assert_eq!(ticks(MissedTicks::Delay), [0, 1000, 4500, 5500, 6500]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MissedTicks {
    /// Leave them out: the next tick is the next multiple of the period that is still to come.
    #[default]
    Skip,
    /// Make up for them: they come at once, one after the other, until the schedule is met again.
    Burst,
    /// Leave them out and shift the schedule: the next tick comes a whole period after it was asked for.
    Delay,
}

/// Ticks at a fixed pace: an endless iterator that waits; see [`interval`].
///
/// ```
/// use corio::{Interval, MissedTicks, Runner, interval, now, secs};
///
/// struct Heart {
///     beat: Interval,
/// }
///
/// Runner::new().virtual_clock().run(|| {
///     let (mut heart, start) = (Heart { beat: interval(secs(1)).missed(MissedTicks::Delay) }, now());
///     let (first, second) = (heart.beat.next().unwrap()?, heart.beat.next().unwrap()?);
///     assert_eq!((first - start, second - start), (secs(0), secs(1)));
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    /// When the last tick was due.
    last: Option<Instant>,
    missed: MissedTicks,
    ended: bool,
}

/// An endless iterator whose `next` waits for the next tick. The first comes at once.
///
/// Each item is the moment at which the tick was due, or, if the task was cancelled, the error; after an error the
/// iterator ends. What happens to ticks that are missed because the body took too long is settled by
/// [`missed`](Interval::missed); at first they are skipped.
///
/// # Panics
///
/// If `period` is zero.
///
/// asyncio has no counterpart; tokio: `time::interval`.
///
/// ```
/// use corio::{Runner, interval, millis, secs, sleep};
///
/// Runner::new().virtual_clock().run(|| {
///     let start = corio::now();
///     let mut seen = Vec::new();
///     for tick in interval(secs(1)).take(4) {
///         seen.push((tick? - start).as_secs());
///         if seen.len() == 2 {
///             sleep(millis(2500))?; // too long: the ticks at 2 and 3 are missed
///         }
///     }
///     assert_eq!(seen, [0, 1, 4, 5]);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period longer than nothing");
    Interval { period, last: None, missed: MissedTicks::default(), ended: false }
}

impl Interval {
    /// What is done about missed ticks.
    #[must_use = "this returns the interval with the policy"]
    pub fn missed(mut self, policy: MissedTicks) -> Interval {
        self.missed = policy;
        self
    }

    /// When the next tick is due, seen from now; `None`: beyond all time.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        match self.last {
            None => Some(now()),
            Some(last) => self.after(last),
        }
    }

    /// The one that was due then has come.
    pub(crate) fn has_ticked(&mut self, due: Option<Instant>) {
        self.last = due;
    }

    /// When the tick after the one at `due` is due, seen from now.
    fn after(&self, due: Instant) -> Option<Instant> {
        let now = now();
        let next = due.checked_add(self.period)?;
        match self.missed {
            MissedTicks::Burst => Some(next),
            _ if next >= now => Some(next),
            MissedTicks::Delay => now.checked_add(self.period),
            MissedTicks::Skip => {
                let missed = (now - due).as_nanos() / self.period.as_nanos();
                let on_schedule = self.period.as_nanos().checked_mul(missed)?;
                let last = due.checked_add(Duration::from_nanos(u64::try_from(on_schedule).ok()?))?;
                if last == now { Some(last) } else { last.checked_add(self.period) }
            }
        }
    }
}

impl Iterator for Interval {
    type Item = io::Result<Instant>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<Instant>> {
        if self.ended {
            return None;
        }
        let due = self.next_due();
        // Not in closures: those do not know their caller, whose line is where the task waits.
        let tick = match due {
            Some(due) => sleep_until(due).map(|()| due),
            None => sleep(Duration::MAX).map(|()| now()), // a tick beyond all time never comes
        };
        self.ended = tick.is_err();
        self.has_ticked(due);
        Some(tick)
    }
}

/// A callback that has been scheduled. Dropping the handle leaves it scheduled. asyncio: `Handle`, `TimerHandle`.
///
/// ```
/// use corio::{Runner, TimerHandle, call_later, now, secs, sleep};
///
/// /// Barks unless it is petted in time.
/// struct Watchdog(TimerHandle);
///
/// impl Watchdog {
///     fn pet(&mut self) {
///         if self.0.cancel() {
///             self.0 = call_later(secs(5), || panic!("nobody came"));
///         }
///     }
/// }
///
/// Runner::new().virtual_clock().run(|| {
///     let mut dog = Watchdog(call_later(secs(5), || panic!("nobody came")));
///     for _ in 0..3 {
///         sleep(secs(4))?;
///         dog.pet();
///     }
///     assert_eq!(dog.0.when(), Some(now() + secs(5)));
///     assert!(dog.0.cancel() && dog.0.is_done() && !dog.0.cancel()); // once
///     sleep(secs(60))
/// })
/// # .unwrap()
/// ```
#[derive(Clone)]
pub struct TimerHandle {
    lp: u32,
    scheduled: Scheduled,
    /// It belongs to its loop's thread.
    not_send: PhantomData<*const ()>,
}

impl TimerHandle {
    /// Takes the callback back, so that it is never called; its closure is dropped now. `false` if it has been called or
    /// cancelled already. asyncio: `Handle.cancel`.
    pub fn cancel(&self) -> bool {
        self.on_its_loop(|lp| match self.scheduled {
            Scheduled::Later(timer) if lp.drop_timer(timer).is_some() => true,
            _ => self.ready(lp).and_then(|callback| lp.callbacks.take(callback)).is_some(),
        })
        .unwrap_or(false)
    }

    /// Whether it will not be called any more: it was cancelled, or has been called.
    pub fn is_done(&self) -> bool {
        let waits = |lp: &EventLoop| match self.scheduled {
            Scheduled::Later(timer) if lp.timer_due(timer).is_some() => true,
            _ => self.ready(lp).is_some_and(|callback| lp.callbacks.holds(callback)),
        };
        !self.on_its_loop(waits).unwrap_or(false)
    }

    /// When it is due, on the loop's clock; `None` for one of [`call_soon`], and when its time has come. asyncio: `when`.
    pub fn when(&self) -> Option<Instant> {
        let Scheduled::Later(timer) = self.scheduled else { return None };
        self.on_its_loop(|lp| lp.timer_due(timer).map(|due| lp.clock.instant(due)))?
    }

    /// The callback, if its time has come.
    fn ready(&self, lp: &EventLoop) -> Option<CallbackKey> {
        match self.scheduled {
            Scheduled::Soon(callback) => Some(callback),
            Scheduled::Later(timer) => lp.callbacks.of_timer(timer),
        }
    }

    /// A loop that is gone has dropped its callbacks.
    #[inline]
    fn on_its_loop<R>(&self, f: impl FnOnce(&EventLoop) -> R) -> Option<R> {
        EventLoop::with_current(|lp| lp.filter(|lp| lp.remote.id == self.lp).map(f))
    }

    fn new(lp: &EventLoop, scheduled: Scheduled) -> TimerHandle {
        TimerHandle { lp: lp.remote.id, scheduled, not_send: PhantomData }
    }
}

#[derive(Clone, Copy)]
enum Scheduled {
    Soon(CallbackKey),
    Later(TimerKey),
}

impl std::fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TimerHandle").field("done", &self.is_done()).finish()
    }
}

/// Calls `f` in the next turn of the loop, after everything that is ready already. `f` runs on the loop itself: it cannot
/// wait, but it may spawn. A panic in it is logged. asyncio: `call_soon`.
///
/// # Panics
///
/// Outside a loop.
///
/// ```
/// use corio::{call_soon, run, spawn, yield_now};
/// use std::{cell::RefCell, rc::Rc};
///
/// run(|| {
///     let log = Rc::new(RefCell::new(Vec::new()));
///     let (first, second) = (log.clone(), log.clone());
///     spawn(move || first.borrow_mut().push("a task that was ready"));
///     call_soon(move || second.borrow_mut().push("the callback"));
///     log.borrow_mut().push("whoever asked for it");
///     yield_now()?;
///     assert_eq!(*log.borrow(), ["whoever asked for it", "a task that was ready", "the callback"]);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn call_soon(f: impl FnOnce() + 'static) -> TimerHandle {
    let at = caller();
    on_the_loop(|lp| TimerHandle::new(lp, Scheduled::Soon(lp.call_soon(lp.bind(f), at))))
}

/// Calls `f` when `d` has passed; see [`call_soon`]. asyncio: `call_later`.
///
/// # Panics
///
/// Outside a loop.
///
/// ```
/// use corio::{call_later, millis, run, sleep};
///
/// run(|| {
///     let late = call_later(millis(1), || panic!("never called"));
///     assert!(late.cancel());
///     sleep(millis(5))
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn call_later(d: Duration, f: impl FnOnce() + 'static) -> TimerHandle {
    let at = caller();
    on_the_loop(|lp| {
        let timer = lp.call_at(lp.clock.now().saturating_add(nanos(d)), lp.bind(f), at);
        TimerHandle::new(lp, Scheduled::Later(timer))
    })
}

/// Calls `f` at a moment on the loop's clock; see [`call_soon`]. asyncio: `call_at`.
///
/// # Panics
///
/// Outside a loop.
///
/// ```
/// use corio::{Runner, call_at, now, secs, sleep};
/// use std::{cell::Cell, rc::Rc};
///
/// Runner::new().virtual_clock().run(|| {
///     let (noon, called) = (now() + secs(3600), Rc::new(Cell::new(None)));
///     let note = called.clone();
///     call_at(noon, move || note.set(Some(now())));
///     sleep(secs(7200))?;
///     assert_eq!(called.get(), Some(noon));
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn call_at(time: Instant, f: impl FnOnce() + 'static) -> TimerHandle {
    let at = caller();
    on_the_loop(|lp| {
        let timer = lp.call_at(lp.clock.nanos_at(time), lp.bind(f), at);
        TimerHandle::new(lp, Scheduled::Later(timer))
    })
}

#[track_caller]
fn on_the_loop<R>(f: impl FnOnce(&EventLoop) -> R) -> R {
    EventLoop::with_current(|lp| f(lp.expect("a callback needs a running loop: call this inside `corio::run`")))
}
