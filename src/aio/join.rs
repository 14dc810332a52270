//! The end of a task, as a future.

use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::pause::{Pause, on_task, refuse_to_go_on};
use crate::cancel::{self, Cause};
use crate::observe::event::Place;
use crate::select::Only;
use crate::task::wait::Patience;
use crate::task::{Task, Ticket, caller};
use crate::{JoinHandle, ScopedJoinHandle};

/// Waits for the end of a task and takes its result; from awaiting a [`JoinHandle`] or a [`ScopedJoinHandle`].
///
/// As [`join`](JoinHandle::join): the result is flat, a panic of the task goes on in whoever awaits it, and a cancellation of
/// the one who waits is passed on to the task, whose end is then awaited. asyncio: `await task`; tokio: awaiting a `JoinHandle`.
///
/// # Errors
///
/// The task's; [`Deadlock`](io::ErrorKind::Deadlock) for the own task, and for one that waits for this one.
///
/// # Panics
///
/// If the task did: with the same payload.
///
/// # Suspends
///
/// Until the task has ended; not at all, if it has.
///
/// # Cancellation
///
/// To drop this future detaches the task, as dropping its handle does: in an [`aio::timeout`](crate::aio::timeout) it runs on.
/// [`cancel_on_drop`](Self::cancel_on_drop) cancels it then.
///
/// ```
/// use corio::{aio, secs, sleep, spawn};
///
/// aio::block_on(async {
///     let coroutine = spawn(|| {
///         sleep(secs(0))?;
///         Ok("a function that was paused")
///     });
///     assert_eq!(coroutine.await?, "a function that was paused");
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[must_use = "a future does nothing until it is awaited"]
pub struct Join<'scope, T, E = io::Error> {
    ticket: Option<Ticket<T, E>>,
    /// By a ticket of its own.
    end: Pause<Only<Task>>,
    at: Place,
    passed_on: bool,
    cancel_on_drop: bool,
    scope: PhantomData<&'scope mut &'scope ()>,
}

impl<T, E> Join<'_, T, E> {
    fn new(ticket: Ticket<T, E>, at: Place) -> Self {
        let end = Pause::new(Only(ticket.task().clone()), at).without_checkpoint().with_patience(Patience::Owned);
        Join { ticket: Some(ticket), end, at, passed_on: false, cancel_on_drop: false, scope: PhantomData }
    }

    /// Cancels the task when this future is dropped before it is ready, and does not wait for its end.
    ///
    /// ```
    /// use corio::{aio, millis, secs};
    ///
    /// aio::block_on(async {
    ///     let helper = aio::spawn_local(aio::sleep(secs(600)));
    ///     let task = helper.task();
    ///     let late = aio::timeout(millis(1), helper.into_future().cancel_on_drop()).await;
    ///     assert!(late.is_err());
    ///     aio::ready(&task).await?;
    ///     assert!(task.cancelled());
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    pub fn cancel_on_drop(mut self) -> Self {
        self.cancel_on_drop = true;
        self
    }
}

impl<T, E: From<io::Error>> IntoFuture for JoinHandle<T, E> {
    type Output = Result<T, E>;
    type IntoFuture = Join<'static, T, E>;

    #[track_caller]
    fn into_future(self) -> Join<'static, T, E> {
        Join::new(self.ticket, caller())
    }
}

/// The child goes on if the future is dropped, and the scope waits for it.
impl<'scope, T, E: From<io::Error>> IntoFuture for ScopedJoinHandle<'scope, T, E> {
    type Output = Result<T, E>;
    type IntoFuture = Join<'scope, T, E>;

    #[track_caller]
    fn into_future(self) -> Join<'scope, T, E> {
        Join::new(self.ticket, caller())
    }
}

impl<T, E: From<io::Error>> Future for Join<'_, T, E> {
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: of its fields only `end` is pinned, and that one is never moved.
        let this = unsafe { self.get_unchecked_mut() };
        refuse_to_go_on(this.ticket.is_none(), this.at);
        let passed_on = &mut this.passed_on;
        let target = &this.ticket.as_ref().expect("it has not ended").task().cell;
        let _: Poll<io::Result<()>> = on_task(|lp, task| {
            lp.count_poll();
            if task.core.is_cancelled() && !std::mem::replace(passed_on, true) {
                cancel::cancel_task(target, cancel::cause_of(task).unwrap_or(Cause::Requested(None)));
            }
            Poll::Pending
        });
        // SAFETY: it is pinned with the whole.
        let end = std::task::ready!(unsafe { Pin::new_unchecked(&mut this.end) }.poll(context));
        let ticket = this.ticket.take().expect("it was there");
        Poll::Ready(match end {
            Ok(()) => ticket.result(),
            Err(error) => Err(error.into()),
        })
    }
}

impl<T, E> Drop for Join<'_, T, E> {
    fn drop(&mut self) {
        if let Some(ticket) = &self.ticket
            && self.cancel_on_drop
        {
            ticket.task().cancel();
        }
    }
}

impl<T, E> std::fmt::Debug for Join<'_, T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Join").field(&self.ticket.as_ref().map(Ticket::task)).finish()
    }
}
