//! The end of work that goes on elsewhere, as a future.

use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::counted;
use super::pause::{Checkpoint, Home, refuse_to_go_on};
use crate::RemoteHandle;
use crate::error::cancelled;
use crate::event_loop::EventLoop;
use crate::observe::event::Place;
use crate::remote::{self, AtHome, Message, Waker};
use crate::task::waker::{self, Foreign};
use crate::task::{TaskRef, caller, no_suspend};

/// Waits for the end of work on another thread and takes its result; from awaiting a [`RemoteHandle`].
///
/// It is `Send` and needs no executor of ours: it may be awaited anywhere. That is the way to corio for a future that must be
/// `Send`, such as a handler of a web framework. The function that it sends to a loop (which may be its own) with
/// [`LoopHandle::spawn`](crate::LoopHandle::spawn) may pause. asyncio: `wrap_future`; tokio: awaiting what `spawn` and
/// `spawn_blocking` return.
///
/// # Errors
///
/// The work's; [`BrokenPipe`](io::ErrorKind::BrokenPipe) if its loop or its executor ended before it; a cancellation;
/// [`Deadlock`](io::ErrorKind::Deadlock) in the task that does the work.
///
/// # Panics
///
/// If the work did: with the same payload.
///
/// # Suspends
///
/// Until the work has ended; not at all, if it has.
///
/// # Cancellation
///
/// A cancelled task of a loop that awaits it passes that on by [`cancel`](RemoteHandle::cancel), and leaves at once. To drop
/// this future detaches the work, as dropping its handle does; or cancels it, with [`cancel_on_drop`](Self::cancel_on_drop).
///
/// ```
/// use corio::{LoopHandle, aio, millis, sleep};
///
/// /// What is asked of a handler.
/// fn is_send<F: Future + Send>(future: F) -> F {
///     future
/// }
///
/// aio::block_on(async {
///     let here = LoopHandle::current()?;
///     let handler = is_send(async move {
///         here.spawn(|| {
///             sleep(millis(1))?; // on a coroutine
///             Ok("direct style")
///         })
///         .await
///     });
///     assert_eq!(handler.await?, "direct style");
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[must_use = "a future does nothing until it is awaited"]
pub struct Remote<T> {
    /// Before the handle, which counts again when it goes.
    hope: Option<Hope>,
    handle: Option<RemoteHandle<T>>,
    at: Place,
    checkpoint: Checkpoint,
    cancel_on_drop: bool,
}

impl<T> IntoFuture for RemoteHandle<T> {
    type Output = io::Result<T>;
    type IntoFuture = Remote<T>;

    #[track_caller]
    fn into_future(self) -> Remote<T> {
        Remote::new(self, caller())
    }
}

impl<T> Future for Remote<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let this = &mut *self;
        counted::count();
        refuse_to_go_on(this.handle.is_none(), this.at);
        let handle = this.handle.as_ref().expect("it has not ended");
        // A waker of the user's may not pause, nor yield out of a coroutine, while it is cloned.
        let result = match no_suspend(|| handle.look(|| Some(Waker::Future(waker::copy(context.waker()))))) {
            Some(result) => Poll::Ready(result),
            None => EventLoop::with_current(|lp| match lp.and_then(|lp| Some((lp, lp.running()?))) {
                Some((lp, task)) => no_suspend(|| this.wait(lp, task, context)).map(Err),
                // An executor of somebody else's, which hears of it by its waker. If the loop waited for it, it does no more.
                None => {
                    this.hope = None;
                    this.handle.iter().for_each(RemoteHandle::help);
                    Poll::Pending
                }
            }),
        };
        if result.is_ready() {
            this.hope = None;
            this.handle = None;
        }
        result
    }
}

impl<T> Remote<T> {
    pub(super) fn new(handle: RemoteHandle<T>, at: Place) -> Remote<T> {
        Remote { handle: Some(handle), at, checkpoint: Checkpoint::default(), hope: None, cancel_on_drop: false }
    }

    /// Cancels the work when this future is dropped before it is ready, and does not wait for its end. That is how a handler of a
    /// web framework is cancelled, when its client has hung up.
    ///
    /// ```
    /// use corio::{LoopHandle, aio, millis, secs, sleep};
    /// use std::sync::mpsc::channel;
    ///
    /// aio::block_on(async {
    ///     let (said, heard) = channel();
    ///     let work = LoopHandle::current()?.spawn(move || {
    ///         let slept = sleep(secs(600));
    ///         let _ = said.send(slept.is_err());
    ///         slept
    ///     });
    ///     let late = aio::timeout(millis(1), work.into_future().cancel_on_drop()).await;
    ///     assert!(late.is_err());
    ///     aio::sleep(millis(1)).await?;
    ///     assert_eq!(heard.try_recv(), Ok(true)); // it was woken, and told
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    pub fn cancel_on_drop(mut self) -> Remote<T> {
        self.cancel_on_drop = true;
        self
    }

    /// On a loop, where a wait can be cancelled, and is counted.
    fn wait(&mut self, lp: &EventLoop, task: &TaskRef, context: &Context<'_>) -> Poll<io::Error> {
        let handle = self.handle.as_ref().expect("it has just been looked at");
        let mut go_on = || {
            ready!(self.checkpoint.poll(lp, task, self.at, context))?;
            if task.core.is_cancelled() {
                return Poll::Ready(Err(cancelled()));
            }
            handle.check_other(lp, task)?;
            Poll::Ready(Ok(()))
        };
        if let Err(error) = ready!(go_on()) {
            handle.cancel();
            return Poll::Ready(error);
        }
        let wait = (task.core.id(), handle.number());
        let foreign = Foreign::behind(lp, task, context.waker());
        let noted = foreign.is_some();
        let is_counted = |hope: &Hope| hope.home == Home::of(lp) && hope.wait == wait && hope.noted == noted;
        if !self.hope.as_ref().is_some_and(is_counted) {
            self.hope = None; // with what was noted of it
            self.hope = Some(Hope::new(lp, wait, noted, handle.at_home(lp)));
        }
        if let Some(foreign) = foreign {
            lp.seats.note_wait(wait.1, &foreign);
        }
        lp.say(handle.want(), self.at);
        Poll::Pending
    }
}

impl<T> Drop for Remote<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle
            && self.cancel_on_drop
        {
            handle.cancel();
        }
    }
}

/// A wait that is counted on a loop: while it goes on there is hope, and where another thread works, a virtual clock waits.
struct Hope {
    home: Home,
    /// The task, and which of its waits.
    wait: (u64, usize),
    /// Whether somebody else's waker is noted for it.
    noted: bool,
    work: bool,
    _at_home: Option<AtHome>,
}

impl Hope {
    fn new(lp: &EventLoop, wait: (u64, usize), noted: bool, at_home: Option<AtHome>) -> Hope {
        let work = at_home.is_none();
        lp.expecting.set(lp.expecting.get() + 1);
        lp.workers.set(lp.workers.get() + usize::from(work));
        Hope { home: Home::of(lp), wait, noted, work, _at_home: at_home }
    }

    /// Gives it up, if this is its loop.
    fn end_here(home: Home, (task, wait): (u64, usize), work: bool) -> bool {
        EventLoop::with_current(|lp| {
            let Some(lp) = lp.filter(|lp| Home::of(lp) == home) else { return false };
            lp.expecting.set(lp.expecting.get() - 1);
            lp.workers.set(lp.workers.get() - usize::from(work));
            lp.seats.forget_wait(task, wait);
            true
        })
    }
}

impl Drop for Hope {
    fn drop(&mut self) {
        let Hope { home, wait, work, .. } = *self;
        // The future went to another thread. If its loop is gone, or in another run, so is what was counted.
        if !Hope::end_here(home, wait, work)
            && let Some(remote) = remote::find(home.on)
        {
            let end = Box::new(move || _ = Hope::end_here(home, wait, work));
            let _ = remote.send(Message::Call(end, Location::caller()));
        }
    }
}

impl<T> std::fmt::Debug for Remote<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Remote").field(&self.handle).finish()
    }
}
