//! Every value to every receiver.
//!
//! The channel keeps a number of values. A receiver that falls further behind loses the oldest, and is told how many they
//! were: senders never wait.
//!
//! ```
//! use corio::{channel::broadcast::{self, RecvError}, run};
//!
//! let (sender, mut quick) = broadcast::channel(2);
//! let mut slow = sender.subscribe();
//! run(|| {
//!     for n in 1..=3 {
//!         sender.send(n)?;
//!         assert_eq!(quick.recv()?, n);
//!     }
//!     assert!(matches!(slow.recv(), Err(RecvError::Lagged(1))));
//!     assert_eq!((slow.recv()?, slow.recv()?), (2, 3));
//!     Ok(())
//! })
//! # .unwrap()
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use super::line::{Line, wake};
use super::wait::{Attempt, wait};
use super::{SendError, no_receiver, no_sender};
use crate::observe::event::{Place, Want};
use crate::remote::Waker;
use crate::task::{caller, no_suspend};

/// A channel that keeps the last `kept` values for those who are behind, and its first receiver.
///
/// A receiver gets a clone of each value, the last one the value itself. Receivers on several threads look at the value
/// where it is: to go there it has to be `Sync` as well.
///
/// # Panics
///
/// If `kept` is zero.
pub fn channel<T: Clone>(kept: usize) -> (Sender<T>, Receiver<T>) {
    assert!(kept > 0, "a broadcast channel keeps one value at least");
    let state = State { slots: VecDeque::new(), first: 0, kept, senders: 1, receivers: 1, line: Line::new() };
    let shared = Arc::new(Shared(Mutex::new(state)));
    (Sender { shared: shared.clone() }, Receiver { shared, next: 0 })
}

struct Shared<T>(Mutex<State<T>>);

struct State<T> {
    slots: VecDeque<Slot<T>>,
    /// The number of the first slot.
    first: u64,
    kept: usize,
    senders: usize,
    receivers: usize,
    line: Line<()>,
}

struct Slot<T> {
    value: Arc<T>,
    /// How many receivers have not got it.
    left: usize,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// The slots that a receiver who is at `next` has not got.
    fn unseen(&mut self, next: u64) -> impl Iterator<Item = &mut Slot<T>> {
        let seen = usize::try_from(next.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.slots.iter_mut().skip(seen)
    }

    /// Takes out what everybody has got. To be dropped when the lock is released.
    fn trim(&mut self) -> Vec<Slot<T>> {
        let mut done = Vec::new();
        while self.slots.front().is_some_and(|slot| slot.left == 0) {
            done.extend(self.slots.pop_front());
            self.first += 1;
        }
        done
    }
}

/// The end that sends; clones of it are ends of the same channel.
///
/// ```
/// use corio::channel::broadcast;
///
/// let (sender, first) = broadcast::channel(8);
/// assert_eq!((sender.receivers(), sender.send("one")?), (1, 1));
/// let mut second = sender.subscribe();
/// drop(first);
/// assert_eq!(sender.send("two")?, 1);
/// assert_eq!(second.try_recv()?, Some("two")); // "one" was before its time
/// drop(second);
/// assert_eq!(sender.send("three").unwrap_err().into_inner(), "three");
/// # std::io::Result::Ok(())
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends a value to everybody, and tells to how many. It never waits: the oldest value goes if there is no room.
    ///
    /// # Errors
    ///
    /// The value comes back if there is no receiver. There may be one again: [`subscribe`](Self::subscribe).
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let (receivers, wakers, oldest) = {
            let mut state = self.shared.lock();
            if state.receivers == 0 {
                drop(state);
                return Err(SendError { value, error: no_receiver() });
            }
            let oldest = if state.slots.len() == state.kept { state.slots.pop_front() } else { None };
            state.first += u64::from(oldest.is_some());
            let left = state.receivers;
            state.slots.push_back(Slot { value: Arc::new(value), left });
            (left, state.line.dismiss(), oldest)
        };
        wake(wakers);
        drop(oldest);
        Ok(receivers)
    }

    /// A new receiver. It gets what is sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = self.shared.lock();
        state.receivers += 1;
        Receiver { shared: self.shared.clone(), next: state.end() }
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

/// Why nothing was received. `?` makes an [`io::Error`] of it.
#[derive(Debug)]
pub enum RecvError {
    /// So many values were lost, because the receiver was too slow. The next `recv` gives the oldest that is left.
    Lagged(u64),
    /// Every sender is gone, and everything was received.
    Disconnected,
    /// There is nothing yet, and the wait ended: by a cancellation, at the time limit, or because nothing can wait here.
    Failed(io::Error),
}

impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> io::Error {
        match error {
            RecvError::Lagged(_) => io::Error::other(error),
            RecvError::Disconnected => no_sender(),
            RecvError::Failed(error) => error,
        }
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Lagged(n) => write!(f, "the receiver was too slow and has lost {n} values"),
            RecvError::Disconnected => f.write_str("every sender is gone, and everything was received"),
            RecvError::Failed(error) => write!(f, "nothing received: {error}"),
        }
    }
}

impl std::error::Error for RecvError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RecvError::Failed(error) => Some(error),
            _ => None,
        }
    }
}

/// The end that receives. A clone of it gets what this one has not received yet.
///
/// ```
/// use corio::{channel::broadcast::{self, RecvError}, is_timed_out, millis};
///
/// let (sender, mut receiver) = broadcast::channel(2);
/// assert_eq!(receiver.try_recv()?, None);
/// assert!(is_timed_out(&std::io::Error::from(receiver.recv_timeout(millis(1)).unwrap_err())));
/// for n in 1..=3 {
///     sender.send(n)?;
/// }
/// drop(sender);
/// let mut lost = 0;
/// let mut got = Vec::new();
/// let items: broadcast::Iter<'_, i32> = receiver.iter();
/// for item in items {
///     match item {
///         Ok(n) => got.push(n),
///         Err(RecvError::Lagged(n)) => lost += n, // it is told, and goes on
///         Err(error) => return Err(error.into()),
///     }
/// }
/// assert_eq!((lost, got), (1, vec![2, 3]));
/// # std::io::Result::Ok(())
/// ```
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The number of the value that is next.
    next: u64,
}

impl<T: Clone> Receiver<T> {
    /// The next value.
    ///
    /// # Errors
    ///
    /// See [`RecvError`]. A cancelled wait loses nothing.
    ///
    /// # Suspends
    ///
    /// While nothing is there. A thread without a loop blocks.
    #[track_caller]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        self.receive(None, caller())
    }

    /// The same, for `limit` at most: [`TimedOut`](io::ErrorKind::TimedOut) then.
    ///
    /// # Errors
    ///
    /// See [`RecvError`].
    ///
    /// # Suspends
    ///
    /// As [`recv`](Self::recv).
    #[track_caller]
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<T, RecvError> {
        self.receive(Some(limit), caller())
    }

    /// The next value, if it is there; `None` if nothing is there yet. It never waits.
    ///
    /// # Errors
    ///
    /// [`Lagged`](RecvError::Lagged), and [`Disconnected`](RecvError::Disconnected).
    pub fn try_recv(&mut self) -> Result<Option<T>, RecvError> {
        self.take().transpose()
    }

    fn take(&mut self) -> Option<Result<T, RecvError>> {
        let (value, everybody_has) = {
            let mut state = self.shared.lock();
            if self.next < state.first {
                let lost = state.first - self.next;
                self.next = state.first;
                return Some(Err(RecvError::Lagged(lost)));
            }
            let Some(slot) = state.unseen(self.next).next() else {
                return (state.senders == 0).then_some(Err(RecvError::Disconnected));
            };
            slot.left -= 1;
            let value = slot.value.clone();
            self.next += 1;
            (value, state.trim())
        };
        drop(everybody_has);
        // The value itself for the last who has it. A clone is made when no lock is held: cloning is the user's code.
        Some(Ok(Arc::try_unwrap(value).unwrap_or_else(|shared| no_suspend(|| (*shared).clone()))))
    }

    fn receive(&mut self, limit: Option<Duration>, at: Place) -> Result<T, RecvError> {
        wait(&mut &mut *self, limit, at).map_err(RecvError::Failed)?
    }

    /// The values, until every sender is gone: an iterator that waits. A gap is an item too, and so is a cancellation, after
    /// which it ends.
    pub fn iter(&mut self) -> Iter<'_, T> {
        Iter { receiver: self, ended: false }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let mut state = self.shared.lock();
        state.receivers += 1;
        state.unseen(self.next).for_each(|slot| slot.left += 1);
        Receiver { shared: self.shared.clone(), next: self.next }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let done = {
            let mut state = self.shared.lock();
            state.receivers -= 1;
            state.unseen(self.next).for_each(|slot| slot.left -= 1);
            state.trim()
        };
        drop(done);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let behind = self.shared.lock().end() - self.next;
        f.debug_struct("Receiver").field("behind", &behind).finish_non_exhaustive()
    }
}

/// The values of a receiver; see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a mut Receiver<T>,
    ended: bool,
}

impl<T: Clone> Iterator for Iter<'_, T> {
    type Item = Result<T, RecvError>;

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.receiver.receive(None, caller());
        self.ended = matches!(next, Err(RecvError::Disconnected | RecvError::Failed(_)));
        if matches!(next, Err(RecvError::Disconnected)) { None } else { Some(next) }
    }
}

impl<'a, T: Clone> IntoIterator for &'a mut Receiver<T> {
    type Item = Result<T, RecvError>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// A `recv`. All who are in line are called at each value, and each of them finds it.
impl<T: Clone> Attempt for &mut Receiver<T> {
    type Output = Result<T, RecvError>;

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
