//! How an attempt at a channel waits, on a task and on a thread.

use std::io;
use std::time::{Duration, Instant};

use crate::clock::nanos;
use crate::error::cancelled;
use crate::observe::event::{Event, Place, Want};
use crate::remote::{Expecting, Waker, park_thread};
use crate::task::not_in_a_callback;
use crate::task::wait::{Context, checkpoint, in_context, park, refuse_while_unwinding};
use crate::time::Alarm;

/// Something that succeeds at once, or later. It lies in the frame of the wait; dropped, it gives up its place in line, and
/// what was handed to it goes to the next.
pub(crate) trait Attempt {
    type Output;

    /// Does it, if that is possible at once.
    fn now(&mut self) -> Option<Self::Output>;

    /// Does it, or gets in line, in one step. Whoever can help wakes the waker.
    fn enlist(&mut self, waker: Waker) -> Option<Self::Output>;

    /// Woken, perhaps for nothing: whether it is done. If not, it is still in line.
    fn look(&mut self) -> Option<Self::Output>;

    /// Leaves the line. What was handed over meanwhile counts (R13).
    fn leave(&mut self) -> Option<Self::Output>;
}

/// Tries, and waits until it succeeds, for `limit` at most.
pub(crate) fn wait<A: Attempt>(
    attempt: &mut A,
    want: Want,
    limit: Option<Duration>,
    at: Place,
) -> io::Result<A::Output> {
    in_context(|context| match context {
        Context::Task(lp, task) => {
            checkpoint(lp, task, at)?;
            if let Some(output) = attempt.now() {
                lp.emit(|| Event::NoPause { task: task.core.id(), want, at });
                return Ok(output);
            }
            let _expecting = Expecting::news(lp, task);
            let alarm = limit.map(|limit| Alarm::wake(lp, task, lp.clock.now().saturating_add(nanos(limit))));
            if let Some(output) = attempt.enlist(Waker::of_task(lp, task)) {
                return Ok(output);
            }
            loop {
                park(lp, task, want, at);
                if let Some(output) = attempt.look() {
                    return Ok(output);
                }
                if task.core.is_cancelled() {
                    return attempt.leave().ok_or_else(cancelled);
                }
                if alarm.as_ref().is_some_and(Alarm::has_fired) {
                    return attempt.leave().ok_or_else(|| io::ErrorKind::TimedOut.into());
                }
            }
        }
        Context::Unwinding(..) => attempt.now().ok_or_else(refuse_while_unwinding),
        Context::Callback => attempt.now().ok_or_else(not_in_a_callback),
        Context::Outside => {
            let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
            if let Some(output) = attempt.now() {
                return Ok(output);
            }
            if let Some(output) = attempt.enlist(Waker::of_this_thread()) {
                return Ok(output);
            }
            loop {
                if let Some(output) = attempt.look() {
                    return Ok(output);
                }
                if !park_thread(deadline) {
                    return attempt.leave().ok_or_else(|| io::ErrorKind::TimedOut.into());
                }
            }
        }
    })
}
