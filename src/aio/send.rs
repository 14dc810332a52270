//! A value for a channel that may have no room.

use std::pin::pin;

use super::pause::Pause;
use crate::channel::SendError;
use crate::channel::mpsc::Sender;
use crate::select::Only;
use crate::task::caller;

/// Sends a value through a channel, and waits its turn while there is no room. The counterpart of
/// [`Sender::send`](crate::channel::mpsc::Sender::send); tokio: `Sender::send`.
///
/// # Errors
///
/// The value comes back in the [`SendError`]: if nobody receives any more, and if the task was cancelled.
///
/// # Suspends
///
/// While there is no room.
///
/// # Cancellation
///
/// While it waits the value stands in line with it. If the future is dropped then, so is the value, unless somebody has taken it
/// already: whoever has to know awaits it to its end.
///
/// ```
/// use corio::{aio, channel::mpsc, spawn};
///
/// aio::block_on(async {
///     let (sender, receiver) = mpsc::bounded(1);
///     let sum = spawn(move || receiver.iter().sum::<std::io::Result<u32>>()); // a coroutine, which is slower
///     for n in 1..=10 {
///         aio::send(&sender, n).await?;
///     }
///     drop(sender);
///     assert_eq!(sum.await?, 55);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn send<T>(sender: &Sender<T>, value: T) -> impl Future<Output = Result<(), SendError<T>>> {
    let pause = Pause::new(Only(sender.sending(value)), caller());
    async move {
        let mut pause = pin!(pause);
        match pause.as_mut().await {
            Ok(sent) => sent,
            Err(error) => pause.arms().0.refused(error),
        }
    }
}
