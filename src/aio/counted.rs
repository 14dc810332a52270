//! Polls that the record of a run shows.

use std::pin::pin;

use crate::event_loop::EventLoop;

/// The same future, whose polls are counted in the record of the run: [`Polled`](crate::observe::event::Event::Polled) tells how
/// many.
///
/// A future that is called by another is polled by that one, every time from the top. The library sees its own futures only, so
/// whoever wants to see how deep a poll goes puts this around what an `async fn` calls.
///
/// ```
/// use corio::aio::{self, counted};
///
/// async fn down(levels: u32) -> std::io::Result<u32> {
///     if levels == 0 {
///         aio::yield_now().await?;
///         return Ok(0);
///     }
///     Ok(1 + Box::pin(counted(down(levels - 1))).await?) // one more poll for each level, each time
/// }
/// assert_eq!(aio::block_on(down(3))?, 3);
/// # std::io::Result::Ok(())
/// ```
pub async fn counted<F: IntoFuture>(future: F) -> F::Output {
    let mut future = pin!(future.into_future());
    std::future::poll_fn(|context| {
        count();
        future.as_mut().poll(context)
    })
    .await
}

/// A future is polled.
pub(super) fn count() {
    EventLoop::with_current(|lp| {
        if let Some(lp) = lp {
            lp.count_poll();
        }
    });
}
