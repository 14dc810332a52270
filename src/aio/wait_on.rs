//! From a coroutine to a future.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::CancelScope;
use crate::error::cancelled;
use crate::observe::event::{Event, Want};
use crate::task::wait::{Context as Where, checkpoint, in_context, park, refuse_while_unwinding};
use crate::task::waker::Seat;
use crate::task::{Activation, TaskRef, caller, not_in_a_callback};

/// Waits for a future, on a coroutine: it is polled here, on the coroutine's stack, and whenever it has been woken. It may be
/// any future that does not need an executor of its own, from whatever crate.
///
/// What the future calls may pause the coroutine like anything else that is called here; the future then pauses with it.
/// asyncio: `await`; tokio: `Handle::block_on`, which blocks its thread, where this pauses a coroutine.
///
/// # Errors
///
/// Cancellation: whatever of corio's the future waits for fails then, and what it owns it waits for; where it waits for anything
/// else it is dropped. What the future gives comes back as it is.
///
/// # Panics
///
/// If the future does. It is also a region: a [`Coroutine`](crate::Coroutine) in which it is polled cannot yield out of the poll.
///
/// # Suspends
///
/// Until the future is ready. On a thread without a loop the thread waits; what `corio::aio` has fails there.
///
/// ```
/// use corio::{aio, millis, run};
///
/// async fn add(a: u32, b: u32) -> std::io::Result<u32> {
///     aio::sleep(millis(1)).await?;
///     Ok(a + b)
/// }
///
/// run(|| {
///     assert_eq!(aio::wait_on(add(1, 2))??, 3);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn wait_on<F: IntoFuture>(future: F) -> io::Result<F::Output> {
    let at = caller();
    let mut future = pin!(future.into_future());
    let mut once = |waker: &Waker| future.as_mut().poll(&mut Context::from_waker(waker));
    in_context(|context| match context {
        Where::Task(lp, task) => {
            checkpoint(lp, task, at)?;
            // A region, so that no coroutine in which this runs can yield out of a poll, and go on in another task (R2, R6).
            CancelScope::new().run(|| {
                let seat = Seat::take(lp, task);
                let (waker, asking) = (seat.waker(), Asking::begin(task));
                // Told once: what fails then, fails at every poll.
                let (mut told, mut is_first) = (false, true);
                loop {
                    let resumes = task.core.resumes();
                    asking.again();
                    // What is ready is given, also to one who is cancelled (R13).
                    if let Poll::Ready(value) = once(&waker) {
                        if is_first {
                            lp.emit(|| Event::NoPause { task: task.core.id(), want: Want::Future, at });
                        }
                        return Ok(value);
                    }
                    if told && asking.activation.waits_for_others_only(lp) {
                        return Err(cancelled());
                    }
                    if task.core.resumes() != resumes {
                        // It paused in the middle of the poll, and that pause may have seen a wake-up that was for the future.
                        lp.note_unfailing(&task.core);
                        park(lp, task, Want::Turn, at);
                    } else if told || !task.core.is_cancelled() {
                        park(lp, task, Want::Future, at);
                    }
                    told = task.core.is_cancelled();
                    if told {
                        // It may have been ready already: who stands between it and its waits has to be told first.
                        lp.seats.tell_who_is_due(lp);
                    }
                    is_first = false;
                }
            })
        }
        Where::Unwinding(..) => ready_now(once(Waker::noop())).ok_or_else(refuse_while_unwinding),
        Where::Callback => ready_now(once(Waker::noop())).ok_or_else(not_in_a_callback),
        Where::Outside => {
            let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
            loop {
                if let Poll::Ready(value) = once(&waker) {
                    return Ok(value);
                }
                std::thread::park();
            }
        }
    })
}

/// While a coroutine polls a future, which may do the same in the middle of that.
struct Asking<'a> {
    activation: &'a Activation,
    before: bool,
}

impl<'a> Asking<'a> {
    fn begin(task: &'a TaskRef) -> Asking<'a> {
        let activation = task.core.activation().expect("a task that runs");
        Asking { activation, before: activation.ask() }
    }

    fn again(&self) {
        self.activation.ask();
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.activation.ask_as(self.before);
    }
}

fn ready_now<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
