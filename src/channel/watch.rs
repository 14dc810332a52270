//! The latest value: for settings, and for states such as "shutting down".
//!
//! Whoever looks gets the value that is the latest then; whoever waits is told that there is a newer one. Values in between
//! may never be seen.
//!
//! ```
//! use corio::{channel::watch, run, to_thread};
//!
//! let (sender, mut receiver) = watch::channel("starting");
//! run(|| {
//!     assert_eq!(*receiver.get(), "starting");
//!     to_thread(|| sender.send("ready"))??;
//!     assert_eq!(*receiver.recv()?, "ready");
//!     Ok(())
//! })
//! # .unwrap()
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io, mem};

use super::line::{Line, wake};
use super::wait::{Attempt, wait};
use super::{SendError, TryRecvError, no_receiver, no_sender};
use crate::observe::event::{Place, Want};
use crate::remote::Waker;
use crate::task::caller;

/// The two ends, and the first value, which the receiver has seen.
///
/// Values are handed out as [`Arc`]s and not under a lock: what is borrowed while a task waits must not keep others from it.
/// So ends that go to other threads need a value that is `Send` and `Sync`.
pub fn channel<T>(first: T) -> (Sender<T>, Receiver<T>) {
    let state = State { value: Arc::new(first), version: 0, senders: 1, receivers: 1, line: Line::new() };
    let shared = Arc::new(Shared(Mutex::new(state)));
    (Sender { shared: shared.clone() }, Receiver { shared, seen: 0 })
}

struct Shared<T>(Mutex<State<T>>);

struct State<T> {
    value: Arc<T>,
    version: u64,
    senders: usize,
    receivers: usize,
    line: Line<()>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that sends; clones of it are ends of the same channel.
///
/// ```
/// use corio::channel::watch;
///
/// let (sender, receiver) = watch::channel("starting");
/// drop(receiver);
/// assert_eq!(sender.receivers(), 0);
/// assert!(sender.send("ready").is_err()); // nobody looks: not even set
/// assert_eq!(*sender.get(), "starting");
/// assert_eq!(*sender.replace("ready"), "starting"); // set for those who come
/// assert_eq!(*sender.subscribe().get(), "ready");
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Makes this the value and wakes who waits. It never waits itself.
    ///
    /// # Errors
    ///
    /// The value comes back if there is no receiver; [`replace`](Self::replace) sets it all the same.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.shared.lock().receivers == 0 {
            return Err(SendError { value, error: no_receiver() });
        }
        drop(self.replace(value));
        Ok(())
    }

    /// Makes this the value, whether or not anybody looks, and gives back the one that was.
    pub fn replace(&self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        let (old, wakers) = {
            let mut state = self.shared.lock();
            state.version += 1;
            (mem::replace(&mut state.value, value), state.line.dismiss())
        };
        wake(wakers);
        old
    }

    /// The latest value.
    pub fn get(&self) -> Arc<T> {
        self.shared.lock().value.clone()
    }

    /// A new receiver, which has seen the latest value.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = self.shared.lock();
        state.receivers += 1;
        Receiver { shared: self.shared.clone(), seen: state.version }
    }

    /// How many receivers there are.
    pub fn receivers(&self) -> usize {
        self.shared.lock().receivers
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let wakers = {
            let mut state = self.shared.lock();
            state.senders -= 1;
            if state.senders == 0 { state.line.dismiss() } else { Vec::new() }
        };
        wake(wakers);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("receivers", &self.receivers()).finish_non_exhaustive()
    }
}

/// The end that looks. A clone of it has seen what this one has.
///
/// ```
/// use corio::{channel::{TryRecvError, watch}, is_timed_out, millis};
///
/// let (sender, mut receiver) = watch::channel(1);
/// assert!(!receiver.has_changed());
/// assert!(is_timed_out(&receiver.recv_timeout(millis(1)).unwrap_err()));
/// sender.send(2)?;
/// sender.send(3)?;
/// assert!(receiver.has_changed() && *receiver.get() == 3); // `get` only looks ...
/// assert_eq!(*receiver.recv()?, 3); // ... and this takes note; 2 was never seen
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
///
/// sender.send(4)?;
/// drop(sender);
/// let mut rest: watch::Iter<'_, i32> = receiver.iter();
/// assert_eq!((rest.next().map(|value| *value.unwrap()), rest.next().is_none()), (Some(4), true));
/// # std::io::Result::Ok(())
/// ```
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

impl<T> Receiver<T> {
    /// The latest value, seen or not. It never waits, and does not count as having seen it.
    pub fn get(&self) -> Arc<T> {
        self.shared.lock().value.clone()
    }

    /// Whether there is a value that was not yet received.
    pub fn has_changed(&self) -> bool {
        self.shared.lock().version != self.seen
    }

    /// Waits for a value newer than the last one received, and receives the latest.
    ///
    /// # Errors
    ///
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) when every sender is gone and the last value was received; cancellation;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) in a callback if there is none.
    ///
    /// # Suspends
    ///
    /// While there is none. A thread without a loop blocks.
    #[doc(alias = "changed")]
    #[track_caller]
    pub fn recv(&mut self) -> io::Result<Arc<T>> {
        self.receive(None, caller())?
    }

    /// The same, for `limit` at most: [`TimedOut`](io::ErrorKind::TimedOut) then.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), and `TimedOut`.
    ///
    /// # Suspends
    ///
    /// As [`recv`](Self::recv).
    #[track_caller]
    pub fn recv_timeout(&mut self, limit: Duration) -> io::Result<Arc<T>> {
        self.receive(Some(limit), caller())?
    }

    /// The inner error is that of the end.
    fn receive(&mut self, limit: Option<Duration>, at: Place) -> io::Result<io::Result<Arc<T>>> {
        wait(&mut &mut *self, limit, at)
    }

    /// The latest value, if it was not yet received. It never waits.
    ///
    /// # Errors
    ///
    /// [`Empty`](TryRecvError::Empty), or [`Disconnected`](TryRecvError::Disconnected) when nothing will come any more.
    pub fn try_recv(&mut self) -> Result<Arc<T>, TryRecvError> {
        self.take().ok_or(TryRecvError::Empty)?.map_err(|_| TryRecvError::Disconnected)
    }

    fn take(&mut self) -> Option<io::Result<Arc<T>>> {
        let state = self.shared.lock();
        if mem::replace(&mut self.seen, state.version) != state.version {
            return Some(Ok(state.value.clone()));
        }
        (state.senders == 0).then(|| Err(no_sender()))
    }

    /// Newer and newer values, until every sender is gone: an iterator that waits. A cancellation is an item, after which it
    /// ends.
    pub fn iter(&mut self) -> Iter<'_, T> {
        Iter { receiver: self, ended: false }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.lock().receivers += 1;
        Receiver { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.lock().receivers -= 1;
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("has_changed", &self.has_changed()).finish_non_exhaustive()
    }
}

/// The values of a receiver; see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a mut Receiver<T>,
    ended: bool,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = io::Result<Arc<T>>;

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.receiver.receive(None, caller()).map(Result::ok).transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

impl<'a, T> IntoIterator for &'a mut Receiver<T> {
    type Item = io::Result<Arc<T>>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// A `recv`. All who are in line are called at each value, and each of them finds it.
impl<T> Attempt for &mut Receiver<T> {
    type Output = io::Result<Arc<T>>;

    fn want(&self) -> Want {
        Want::Message
    }

    fn now(&mut self) -> Option<Self::Output> {
        self.take()
    }

    fn enlist(&mut self, waker: Waker) -> usize {
        self.shared.lock().line.join(waker, ())
    }

    fn is_in_line(&self, place: usize) -> bool {
        self.shared.lock().line.is_in_line(place)
    }

    fn give_up(&mut self, place: usize) {
        self.shared.lock().line.leave(place);
    }
}
