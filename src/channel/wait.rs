//! How an attempt at a channel waits, on a task and on a thread.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use crate::clock::nanos;
use crate::error::cancelled;
use crate::observe::event::{Event, Place, Want};
use crate::remote::{Expecting, Waker, park_thread};
use crate::task::not_in_a_callback;
use crate::task::wait::{Context, checkpoint, in_context, park, refuse_while_unwinding};
use crate::time::Alarm;

/// Something that succeeds at once, or later. While it waits it has a place in a line.
pub(crate) trait Attempt {
    type Output;

    /// What whoever waits waits for, in the words of dumps and events.
    fn want(&self) -> Want;

    /// Whether it makes sense to wait for it.
    fn check(&self) -> io::Result<()> {
        Ok(())
    }

    /// Does it, if that is possible at once.
    fn now(&mut self) -> Option<Self::Output>;

    /// Gets in line. Where it could be done at once, that is not missed: the next [look](Self::look) does it. Whoever can help
    /// wakes the waker.
    fn enlist(&mut self, waker: Waker) -> usize;

    /// In line, woken or not: whether it is done, and then perhaps out of the line. If not, it is still there, or there again.
    /// Where nothing is handed to a place, this is one more try.
    fn look(&mut self, _place: &Cell<Option<usize>>) -> Option<Self::Output> {
        self.now()
    }

    /// Whether something was handed to that place, which nobody else can have before it is given up.
    fn was_handed(&self, _place: usize) -> bool {
        false
    }

    /// Whether the waker of that place is still there to be woken. Where a [look](Self::look) may have put the task in line itself,
    /// it is not.
    fn is_in_line(&self, _place: usize) -> bool {
        false
    }

    /// Leaves the line. What was handed over meanwhile, and not looked for, goes to the next.
    fn give_up(&mut self, place: usize);
}

/// An attempt in line, which it leaves however the wait ends.
struct InLine<'a, A: Attempt> {
    attempt: &'a mut A,
    place: Cell<Option<usize>>,
}

impl<'a, A: Attempt> InLine<'a, A> {
    fn new(attempt: &'a mut A, waker: Waker) -> Self {
        let place = Cell::new(Some(attempt.enlist(waker)));
        InLine { attempt, place }
    }

    fn look(&mut self) -> Option<A::Output> {
        self.attempt.look(&self.place)
    }
}

impl<A: Attempt> Drop for InLine<'_, A> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.attempt.give_up(place);
        }
    }
}

/// Tries, and waits until it succeeds, for `limit` at most.
pub(crate) fn wait<A: Attempt>(attempt: &mut A, limit: Option<Duration>, at: Place) -> io::Result<A::Output> {
    let want = attempt.want();
    in_context(|context| match context {
        Context::Task(lp, task) => {
            checkpoint(lp, task, at)?;
            if let Some(output) = attempt.now() {
                lp.emit(|| Event::NoPause { task: task.core.id(), want, at });
                return Ok(output);
            }
            attempt.check()?;
            let _expecting = Expecting::news(lp, task);
            let alarm = limit.map(|limit| Alarm::wake(lp, task, lp.clock.now().saturating_add(nanos(limit))));
            let mut attempt = InLine::new(attempt, Waker::of_task(lp, task));
            // Another thread may have been quicker than the line.
            if let Some(output) = attempt.look() {
                return Ok(output);
            }
            loop {
                park(lp, task, want, at);
                if let Some(output) = attempt.look() {
                    return Ok(output);
                }
                if task.core.is_cancelled() {
                    return Err(cancelled());
                }
                if alarm.as_ref().is_some_and(Alarm::has_fired) {
                    return Err(io::ErrorKind::TimedOut.into());
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
            attempt.check()?;
            let mut attempt = InLine::new(attempt, Waker::of_this_thread());
            loop {
                if let Some(output) = attempt.look() {
                    return Ok(output);
                }
                if !park_thread(deadline) {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
    })
}
