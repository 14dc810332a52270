//! The end of a task, as a future.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::pause::{Pause, on_task};
use crate::JoinHandle;
use crate::cancel::{self, Cause};
use crate::observe::event::Place;
use crate::select::Only;
use crate::task::{Task, caller};

/// Waits for the end of a task and takes its result; from awaiting a [`JoinHandle`].
///
/// As [`join`](JoinHandle::join): the result is flat, a panic of the task goes on in whoever awaits it, and a cancellation of
/// the one who waits is passed on to the task, whose end is then awaited. To drop this future detaches the task, as dropping
/// its handle does.
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
pub struct Join<T, E = io::Error> {
    handle: Option<JoinHandle<T, E>>,
    /// By a ticket of its own.
    end: Pause<Only<Task>>,
    passed_on: bool,
}

impl<T, E> Join<T, E> {
    fn new(handle: JoinHandle<T, E>, at: Place) -> Join<T, E> {
        let end = Pause::new(Only(handle.task()), at).without_checkpoint().patient();
        Join { handle: Some(handle), end, passed_on: false }
    }
}

impl<T, E: From<io::Error>> IntoFuture for JoinHandle<T, E> {
    type Output = Result<T, E>;
    type IntoFuture = Join<T, E>;

    #[track_caller]
    fn into_future(self) -> Join<T, E> {
        Join::new(self, caller())
    }
}

impl<T, E: From<io::Error>> Future for Join<T, E> {
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: of its fields only `end` is pinned, and that one is never moved.
        let this = unsafe { self.get_unchecked_mut() };
        let passed_on = &mut this.passed_on;
        let target = &this.handle.as_ref().expect("a future was polled after it had ended").cell;
        let _: Poll<io::Result<()>> = on_task(|lp, task| {
            lp.count_poll();
            if task.core.is_cancelled() && !std::mem::replace(passed_on, true) {
                cancel::cancel_task(target, cancel::cause_of(task).unwrap_or(Cause::Requested(None)));
            }
            Poll::Pending
        });
        // SAFETY: it is pinned with the whole.
        let end = std::task::ready!(unsafe { Pin::new_unchecked(&mut this.end) }.poll(context));
        let handle = this.handle.take().expect("it was there");
        Poll::Ready(match end {
            Ok(()) => handle.join(),
            Err(error) => Err(error.into()),
        })
    }
}

impl<T, E> std::fmt::Debug for Join<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Join").field(&self.handle).finish()
    }
}
