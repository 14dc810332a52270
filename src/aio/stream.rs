//! What comes one after the other, as a stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use super::pause::Pause;
use crate::channel::mpsc;
use crate::observe::event::Place;
use crate::queue::{Order, Queue};
use crate::select::{Only, Wait};
use crate::task::caller;

/// Whatever has items that come one after the other and end: `&Queue` and `&mpsc::Receiver`. The trait is sealed.
///
/// ```
/// use corio::aio::{self, Sequence};
/// use futures_util::StreamExt;
///
/// /// Of a queue as of a channel.
/// async fn count(of: impl Sequence) -> usize {
///     aio::stream(of).count().await
/// }
///
/// let (sender, receiver) = corio::channel::mpsc::unbounded();
/// sender.send("the only one")?;
/// drop(sender);
/// assert_eq!(aio::block_on(async { Ok(count(&receiver).await) })?, 1);
/// # std::io::Result::Ok(())
/// ```
pub trait Sequence: Wait<Output = io::Result<<Self as Sequence>::Item>> + Copy + Unpin {
    /// What comes.
    type Item;
}

impl<T, S: Order<T>> Sequence for &Queue<T, S> {
    type Item = T;
}

impl<T> Sequence for &mpsc::Receiver<T> {
    type Item = T;
}

/// The items of a queue or a channel; from [`stream`].
#[must_use = "a stream does nothing until it is polled"]
pub struct Items<W: Wait> {
    of: W,
    at: Place,
    /// Used again for each item.
    wait: Pin<Box<Option<Pause<Only<W>>>>>,
    ended: bool,
}

/// The items of a queue, `&Queue`, or of a channel, `&mpsc::Receiver`, as a stream. It ends when the queue is shut down, or when
/// the senders are gone, and all has been taken; or after an error, which is a cancellation.
///
/// For one that owns its receiver, and for the other channels, there is `futures_util::stream::unfold`.
/// tokio: `tokio_stream::wrappers::ReceiverStream`.
///
/// # Suspends
///
/// Where `next` is awaited and nothing is there.
///
/// # Cancellation
///
/// A stream that is dropped has taken nothing but what it gave: what was granted to it goes to the next who waits.
///
/// ```
/// use corio::{Queue, aio, spawn};
/// use futures_util::StreamExt;
/// use std::rc::Rc;
///
/// aio::block_on(async {
///     let queue = Rc::new(Queue::new());
///     let items = queue.clone();
///     let producer = spawn(move || { // a coroutine
///         for n in 1..=3 {
///             items.put(n)?;
///         }
///         items.shutdown();
///         Ok(())
///     });
///     let got: Vec<_> = aio::stream(&*queue).map(Result::unwrap).collect().await;
///     assert_eq!(got, [1, 2, 3]);
///     producer.await
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn stream<W: Sequence>(of: W) -> Items<W> {
    Items { of, at: caller(), wait: Box::pin(None), ended: false }
}

impl<W: Sequence> Stream for Items<W> {
    type Item = io::Result<<W as Sequence>::Item>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<<Self as Stream>::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if this.wait.is_none() {
            this.wait.set(Some(Pause::new(Only(this.of), this.at)));
        }
        let wait = this.wait.as_mut().as_pin_mut().expect("it was made just now, or is there");
        let got = ready!(wait.poll(context));
        this.wait.set(None);
        this.ended = !matches!(got, Ok(Ok(_)));
        Poll::Ready(match got {
            // Shut down and empty: the good end.
            Ok(Err(_)) => None,
            Ok(Ok(item)) => Some(Ok(item)),
            Err(error) => Some(Err(error)),
        })
    }
}

impl<W: Sequence> FusedStream for Items<W> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<W: Wait> std::fmt::Debug for Items<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Items").field("at", &self.at).field("ended", &self.ended).finish_non_exhaustive()
    }
}
