//! Time: a moment as a future, and a future with a deadline.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::counted;
use super::pause::{Checkpoint, Pass, Pause};
use crate::MissedTicks;
use crate::error::timed_out;
use crate::event_loop::EventLoop;
use crate::observe::event::{Place, Want};
use crate::select::{Arm, Cx, Only, Spot};
use crate::task::wait::{Patience, WaitList};
use crate::task::{Who, caller};
use crate::timer::TimerKey;

/// Waits for a moment; from [`sleep`] and [`sleep_until`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Sleep(Kind);

enum Kind {
    /// Not at all, but others have their turn.
    Turn(Pass),
    Until(Pause<Only<Nap>>),
}

/// Pauses the task for at least so long from now. Those whose time comes at the same moment go on in the order in which they
/// were first polled. It counts from the call, not from the first poll. asyncio and tokio: `sleep`.
///
/// # Errors
///
/// Only cancellation.
///
/// # Suspends
///
/// Always, also for no time at all.
///
/// ```
/// use corio::{Runner, aio, now, run, secs};
///
/// Runner::new().virtual_clock().run(|| {
///     let task = aio::spawn_local(async {
///         let start = now();
///         aio::sleep(secs(60)).await?;
///         Ok(now() - start)
///     });
///     assert_eq!(task.join()?, secs(60)); // of a clock that jumps
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::from_now(duration, caller())
}

/// Pauses the task until that moment; see [`sleep`], which it is like in all else. tokio: `sleep_until`.
///
/// ```
/// use corio::{aio, millis, now};
///
/// aio::block_on(async {
///     let then = now() + millis(2);
///     aio::sleep_until(then).await?;
///     assert!(now() >= then);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn sleep_until(moment: Instant) -> Sleep {
    Sleep::new(Some(moment), caller())
}

impl Sleep {
    /// As a part of an operation that was called there.
    pub(super) fn from_now(duration: Duration, at: Place) -> Sleep {
        match duration.is_zero() {
            true => Sleep(Kind::Turn(Pass::new(Checkpoint::of_a_rest(), at))),
            false => Sleep::new(crate::now().checked_add(duration), at),
        }
    }

    pub(super) fn new(until: Option<Instant>, at: Place) -> Sleep {
        Sleep(Kind::Until(Nap::pause(until, at)))
    }
}

impl Future for Sleep {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // SAFETY: what is in it is pinned with the whole, and never moved.
        match unsafe { &mut self.get_unchecked_mut().0 } {
            Kind::Turn(pass) => Pin::new(pass).poll(context),
            // SAFETY: as said.
            Kind::Until(pause) => unsafe { Pin::new_unchecked(pause) }.poll(context),
        }
    }
}

impl std::fmt::Debug for Sleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}

/// A moment; `None` is later than any.
pub(super) struct Nap {
    until: Option<Instant>,
    timer: Cell<Option<TimerKey>>,
}

impl Nap {
    fn pause(until: Option<Instant>, at: Place) -> Pause<Only<Nap>> {
        Pause::new(Only(Nap { until, timer: Cell::new(None) }), at)
    }

    /// The limit of another wait: what comes of a cancellation, that one is to say.
    pub(super) fn limit(until: Option<Instant>, at: Place) -> Pause<Only<Nap>> {
        Nap::pause(until, at).without_checkpoint().with_patience(Patience::Limit)
    }
}

impl Arm for Nap {
    type Brings = ();
    type Hook = ();

    fn poll(&mut self, _: Who, _: &Spot<()>) -> Option<()> {
        // It has to pause once, as a call that sleeps does; then the timer is the authority on its own time.
        let timer = self.timer.get()?;
        EventLoop::with_current(|lp| lp?.timer_due(timer).is_none().then_some(()))
    }

    fn list(&self) -> Option<&WaitList> {
        None
    }

    fn enter(&mut self, cx: &Cx<'_>, _: &Spot<()>) {
        let due = self.until.map_or(u64::MAX, |until| cx.lp.clock.nanos_at(until));
        self.timer.set(Some(cx.lp.arm_timer(due, cx.alarm(), cx.task.core.id())));
    }

    fn leave(&mut self, cx: &Cx<'_>, _: &Spot<()>) {
        if let Some(timer) = self.timer.take() {
            cx.lp.drop_timer(timer);
        }
    }

    /// The timer went with its loop; the moment is still to come.
    fn desert(&mut self, _: &Spot<()>) {
        self.timer.take();
    }

    fn take(&mut self, _: Who, _: &Spot<()>) {}

    fn want(&self, _: &Cx<'_>, _: &Spot<()>) -> Want {
        self.timer.get().map_or(Want::Turn, |timer| Want::Sleep { timer: timer.id() })
    }
}

/// Waits for a future, but not longer than that; then the future is dropped where it waits. It counts from the call.
/// asyncio: `wait_for`, `timeout`; tokio: `timeout`.
///
/// # Errors
///
/// [`TimedOut`](io::ErrorKind::TimedOut) ([`is_timed_out`](crate::is_timed_out) tells). What the future gives comes back as it
/// is, its error, too, inside of `Ok`: it may be anybody's. If it is there when the limit is over, it counts.
///
/// # Suspends
///
/// Where the future does. It is polled before the clock is looked at, also for a limit of nothing.
///
/// # Cancellation
///
/// The limit drops, and does not cancel, unlike [`corio::timeout`](crate::timeout()): what has been done half stays so, and a
/// task whose handle is awaited in it is *detached*, and runs on. When the task around it is cancelled, the future inside meets
/// that, and one that knows no cancellation is dropped.
///
/// ```
/// use corio::{aio, is_timed_out, millis, secs};
///
/// aio::block_on(async {
///     let slow = aio::timeout(millis(1), aio::sleep(secs(60)));
///     assert!(is_timed_out(&slow.await.unwrap_err()));
///     assert_eq!(aio::timeout(secs(60), async { 7 }).await?, 7);
///
///     let nap = aio::spawn_local(aio::sleep(secs(60)));
///     let task = nap.task();
///     assert!(is_timed_out(&aio::timeout(millis(1), nap).await.unwrap_err()));
///     assert!(!task.is_done()); // it sleeps on, until somebody tells it
///     task.cancel();
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn timeout<F: IntoFuture>(limit: Duration, future: F) -> impl Future<Output = io::Result<F::Output>> {
    within(limit, future, caller())
}

/// The same until that moment. asyncio: `timeout_at`.
///
/// # Errors
///
/// As [`timeout`].
///
/// ```
/// use corio::{aio, is_timed_out, millis, now, secs};
///
/// aio::block_on(async {
///     let deadline = now() + millis(1); // for both
///     assert_eq!(aio::timeout_at(deadline, async { 7 }).await?, 7);
///     assert!(is_timed_out(&aio::timeout_at(deadline, aio::sleep(secs(60))).await.unwrap_err()));
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> impl Future<Output = io::Result<F::Output>> {
    limited(Nap::limit(Some(deadline), caller()), future)
}

/// The same as a part of an operation that was called there.
pub(super) fn within<F: IntoFuture>(
    limit: Duration,
    future: F,
    at: Place,
) -> impl Future<Output = io::Result<F::Output>> {
    limited(Nap::limit(crate::now().checked_add(limit), at), future)
}

async fn limited<F: IntoFuture>(alarm: Pause<Only<Nap>>, future: F) -> io::Result<F::Output> {
    let (mut future, mut alarm) = (pin!(future.into_future()), pin!(alarm));
    std::future::poll_fn(|context| {
        counted::count();
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(value));
        }
        alarm.as_mut().poll(context).map(|end| end.and(Err(timed_out("the time limit of a future is over"))))
    })
    .await
}

/// Ticks at a fixed pace; from [`interval`].
///
/// ```
/// use corio::{MissedTicks, aio, millis};
///
/// struct Heart {
///     beat: aio::Interval,
/// }
///
/// aio::block_on(async {
///     let mut heart = Heart { beat: aio::interval(millis(1)).missed(MissedTicks::Delay) };
///     let (first, second) = (heart.beat.tick().await?, heart.beat.tick().await?);
///     assert!(second - first >= millis(1));
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[derive(Debug)]
pub struct Interval(crate::Interval);

/// Ticks at a fixed pace, the first of which comes at once. The counterpart of [`interval`](crate::interval()).
/// tokio: `interval`.
///
/// # Panics
///
/// If `period` is zero.
///
/// ```
/// use corio::{Runner, aio, now, run, secs};
///
/// Runner::new().virtual_clock().run(|| {
///     let (start, task) = (now(), aio::spawn_local(async {
///         let mut ticks = aio::interval(secs(1));
///         for _ in 0..3 {
///             ticks.tick().await?;
///         }
///         Ok(())
///     }));
///     task.join()?;
///     assert_eq!(now() - start, secs(2));
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub fn interval(period: Duration) -> Interval {
    Interval(crate::interval(period))
}

impl Interval {
    /// What is done about missed ticks.
    #[must_use = "this returns the interval with the policy"]
    pub fn missed(self, policy: MissedTicks) -> Interval {
        Interval(self.0.missed(policy))
    }

    /// Waits for the next tick, and says when it was due.
    ///
    /// # Errors
    ///
    /// Only cancellation.
    ///
    /// # Suspends
    ///
    /// Until it is due; for a turn, if it is overdue.
    ///
    /// # Cancellation
    ///
    /// A tick whose future is dropped is still to come.
    #[track_caller]
    pub fn tick(&mut self) -> impl Future<Output = io::Result<Instant>> {
        let at = caller();
        async move {
            let due = self.0.next_due();
            Sleep::new(due, at).await?;
            self.0.has_ticked(due);
            Ok(due.unwrap_or_else(crate::now))
        }
    }
}
