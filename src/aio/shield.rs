//! Clean-up that waits, in a cancelled task.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use super::counted;
use super::pause::rest;
use super::time::Nap;
use crate::cancel::shield_poll;
use crate::event_loop::EventLoop;
use crate::task::caller;
use crate::task::wait::Patience;

/// Awaits a future without letting the task's cancellation reach it, for `limit` at most: for clean-up that must wait.
///
/// The counterpart of [`shield`](crate::shield()), with the same meaning: the cancellation is met when the future has ended, or
/// when `limit` has passed, which counts from the call. It protects from the cancellation of the task only; whoever drops the
/// future has dropped it. Where no task of a loop polls it there is nothing to keep away. tokio: a task of its own, which nobody
/// aborts.
///
/// # Suspends
///
/// As the future does.
///
/// # Cancellation
///
/// That of the task waits outside. To drop this future drops what is in it.
///
/// ```
/// use corio::{aio, millis, secs};
///
/// aio::block_on(async {
///     let task = aio::spawn_local(async {
///         let work = aio::sleep(secs(60)).await;
///         aio::shield(secs(5), aio::sleep(millis(1))).await?; // say goodbye: this wait works
///         work
///     });
///     aio::yield_now().await?;
///     task.cancel();
///     assert!(task.await.is_err());
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn shield<F: IntoFuture>(limit: Duration, future: F) -> impl Future<Output = F::Output> {
    // It says that the task waits on, also where what is shielded would not.
    let at = caller();
    let alarm = Nap::limit(crate::now().checked_add(limit), at).with_patience(Patience::Owned);
    async move {
        let (mut future, mut alarm) = (pin!(future.into_future()), pin!(alarm));
        let mut holds = !limit.is_zero();
        poll_fn(|context| {
            counted::count();
            let is_over = holds && alarm.as_mut().poll(context).is_ready();
            holds = holds && !is_over;
            EventLoop::with_current(|lp| {
                let Some((lp, task)) = lp.and_then(|lp| Some((lp, lp.running()?))) else {
                    return future.as_mut().poll(context);
                };
                if is_over {
                    // What waits inside by wakers of others is to meet the cancellation before the task is left alone with it.
                    lp.seats.tell_waits_of(lp, task);
                    rest(lp, at, context);
                }
                shield_poll(lp, task, holds, || future.as_mut().poll(context))
            })
        })
        .await
    }
}
