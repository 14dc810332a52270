//! A queue: many senders, and receivers that take turns.
//!
//! [`bounded`] has room for a number of values: who sends more waits until one is received. [`unbounded`] has room for all,
//! and its senders never wait. The [`Receiver`] is one, as in [`std::sync::mpsc`], but it may be shared by reference:
//! several tasks or threads may then receive, and each value goes to one of them.
//!
//! ```
//! use corio::{channel::mpsc, run, scope};
//!
//! let (sender, receiver) = mpsc::bounded(2);
//! let producer = std::thread::spawn(move || {
//!     for n in 1..=5 {
//!         sender.send(n)?; // this thread blocks while there is no room
//!     }
//!     std::io::Result::Ok(())
//! });
//! let sum = run(|| {
//!     let mut sum = 0;
//!     for n in &receiver {
//!         sum += n?; // this task pauses while there is nothing
//!     }
//!     Ok(sum)
//! })?;
//! producer.join().unwrap()?;
//! assert_eq!(sum, 15);
//! # std::io::Result::Ok(())
//! ```

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use super::line::{Line, wake};
use super::wait::{Attempt, wait};
use super::{SendError, TryRecvError, TrySendError, no_receiver, no_sender};
use crate::observe::event::{Place, Want};
use crate::remote::Waker;
use crate::task::caller;

/// A channel with room for `room` values. With none at all, a `send` waits until its value is received.
///
/// asyncio: `Queue(maxsize)`; std: [`std::sync::mpsc::sync_channel`].
#[doc(alias = "sync_channel")]
#[doc(alias = "channel")]
pub fn bounded<T>(room: usize) -> (Sender<T>, Receiver<T>) {
    channel(Some(room))
}

/// A channel without a limit. asyncio: `Queue()`; std: [`std::sync::mpsc::channel`].
///
/// If those who send are quicker than those who receive, it grows until the memory is used up: prefer [`bounded`].
///
/// ```
/// use corio::{channel::mpsc, run};
///
/// let (sender, receiver) = mpsc::unbounded();
/// for n in 0..1000 {
///     sender.send(n)?; // never waits
/// }
/// drop(sender);
/// assert_eq!(run(|| receiver.iter().sum::<std::io::Result<u32>>())?, 499_500);
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "channel")]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(None)
}

fn channel<T>(room: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let state = State {
        queue: VecDeque::new(),
        room,
        senders: 1,
        closed: false,
        takers: Line::new(),
        handed: 0,
        givers: Line::new(),
    };
    let shared = Arc::new(Shared(Mutex::new(state)));
    (Sender { shared: shared.clone() }, Receiver { shared })
}

struct Shared<T>(Mutex<State<T>>);

/// Who waits in `takers` has found nothing: then the queue is empty and nobody waits in `givers`. Who waits in `givers` has
/// found no room. So whoever comes later finds nothing to snatch.
struct State<T> {
    queue: VecDeque<T>,
    room: Option<usize>,
    senders: usize,
    /// Nothing more is taken in.
    closed: bool,
    takers: Line<Option<T>>,
    /// How many values lie at places of takers, who may still give them back.
    handed: usize,
    givers: Line<Option<T>>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receive(&self) -> Option<io::Result<T>> {
        let (value, waker) = {
            let mut state = self.lock();
            match state.take() {
                Some(taken) => taken,
                None => return state.is_at_its_end().then(|| Err(no_sender())),
            }
        };
        wake(waker);
        Some(Ok(value))
    }

    /// Takes nothing in any more. Those who wait for room are sent away with their values.
    fn close(&self) {
        let wakers = {
            let mut state = self.lock();
            state.closed = true;
            let mut wakers = state.givers.dismiss();
            wakers.extend(state.tell_the_end());
            wakers
        };
        wake(wakers);
    }
}

impl<T> State<T> {
    /// Hands the value to the first who waits for one; who is to be woken.
    fn hand(&mut self, value: T) -> Result<Waker, T> {
        let Some((place, waker)) = self.takers.serve() else { return Err(value) };
        *place = Some(value);
        self.handed += 1;
        Ok(waker)
    }

    /// A taker leaves: with what was handed to that place, if anything was.
    fn leave(&mut self, place: usize) -> Option<T> {
        let value = self.takers.leave(place).0;
        self.handed -= usize::from(value.is_some());
        value
    }

    /// Hands the value to the first who waits, or keeps it if there is room; who is to be woken.
    fn put(&mut self, value: T) -> Result<Option<Waker>, T> {
        let value = match self.hand(value) {
            Ok(waker) => return Ok(Some(waker)),
            Err(value) => value,
        };
        if self.room.is_none_or(|room| self.queue.len() < room && self.givers.is_empty()) {
            self.queue.push_back(value);
            return Ok(None);
        }
        Err(value)
    }

    /// The first value. The room that it leaves goes to the first who waits for it, who is to be woken.
    fn take(&mut self) -> Option<(T, Option<Waker>)> {
        let first = self.queue.pop_front();
        // A value that came back may stand beyond the limit.
        let full = self.room.is_some_and(|room| self.queue.len() >= room.max(1));
        let Some((place, waker)) = (if full { None } else { self.givers.serve() }) else {
            return first.map(|value| (value, None));
        };
        let next = place.take();
        match first {
            Some(value) => {
                self.queue.extend(next);
                Some((value, Some(waker)))
            }
            None => next.map(|value| (value, Some(waker))),
        }
    }

    fn is_at_its_end(&self) -> bool {
        let is_empty = self.queue.is_empty() && self.handed == 0 && self.givers.is_empty();
        is_empty && (self.closed || self.senders == 0)
    }

    /// If nothing will come any more, sends those away who wait for it; who is to be woken.
    fn tell_the_end(&mut self) -> Vec<Waker> {
        if self.is_at_its_end() { self.takers.dismiss() } else { Vec::new() }
    }
}

/// The end that sends; clones of it are ends of the same channel.
///
/// ```
/// use corio::{call_soon, channel::mpsc, run};
///
/// run(|| {
///     let (sender, receiver) = mpsc::bounded(1);
///     let other = sender.clone();
///     call_soon(move || other.try_send("from a callback").unwrap()); // which cannot wait
///     assert_eq!(receiver.recv()?, "from a callback");
///     sender.send("from a task")?;
///     assert_eq!(receiver.recv()?, "from a task");
///
///     drop(receiver);
///     assert!(sender.is_closed());
///     assert_eq!(sender.send("too late").unwrap_err().into_inner(), "too late");
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends a value. In a bounded channel without room it waits its turn. asyncio: `put`; std: `send`.
    ///
    /// # Errors
    ///
    /// The value comes back in the [`SendError`]: if nobody receives any more, if the task was cancelled, or if the call was
    /// made in a callback and would have had to wait.
    ///
    /// # Suspends
    ///
    /// While there is no room. A thread without a loop blocks.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let at = caller();
        let mut sending = self.sending(value);
        wait(&mut sending, None, at).unwrap_or_else(|error| sending.refused(error))
    }

    /// [`send`](Self::send) as an attempt.
    pub(crate) fn sending(&self, value: T) -> Sending<'_, T> {
        Sending { shared: &self.shared, value: Some(value) }
    }

    /// Sends a value if that is possible at once. It never waits, so it may be called anywhere, also in a callback.
    /// asyncio: `put_nowait`; std: `try_send`.
    ///
    /// # Errors
    ///
    /// The value comes back: [`Full`](TrySendError::Full), also if others wait for room;
    /// [`Disconnected`](TrySendError::Disconnected) if nobody receives any more.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let put = {
            let mut state = self.shared.lock();
            if state.closed {
                return Err(TrySendError::Disconnected(value));
            }
            state.put(value)
        };
        wake(put.map_err(TrySendError::Full)?);
        Ok(())
    }

    /// Whether nobody receives any more.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
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
            state.tell_the_end()
        };
        wake(wakers);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.shared.lock().queue.len()).finish_non_exhaustive()
    }
}

/// The end that receives. It is one, but it may be shared by reference.
///
/// ```
/// use corio::{channel::mpsc, is_timed_out, millis, scope, Runner};
/// use std::cell::Cell;
///
/// let (sender, receiver) = mpsc::unbounded();
/// for n in 1..=3 {
///     sender.send(n)?;
/// }
/// receiver.close(); // no more
/// assert!(sender.is_closed() && sender.send(4).is_err());
/// assert_eq!((receiver.len(), receiver.is_empty(), receiver.try_recv()), (3, false, Ok(1)));
///
/// Runner::new().virtual_clock().run(|| {
///     let sum = Cell::new(0);
///     scope(|s| {
///         for _ in 0..2 { // two who share the work
///             s.spawn(|| {
///                 while let Ok(n) = receiver.recv() { // until the end is told
///                     sum.set(sum.get() + n);
///                 }
///             });
///         }
///         Ok(())
///     })?;
///     assert_eq!(sum.get(), 2 + 3);
///
///     let (sender, receiver) = mpsc::unbounded();
///     sender.send("a value")?;
///     drop(sender);
///     let values: mpsc::Iter<'_, &str> = receiver.iter();
///     assert_eq!(values.count(), 1); // and then it ends, since nothing can come
///
///     let (_quiet, receiver) = mpsc::unbounded::<()>();
///     assert!(is_timed_out(&receiver.recv_timeout(millis(10)).unwrap_err()));
///     Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// The next value. asyncio: `get`; std: `recv`.
    ///
    /// # Errors
    ///
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) when every sender is gone and nothing is left, also nothing that another
    /// [`select`](crate::select()) has been handed and may give back; cancellation, which takes nothing;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) in a callback if nothing is there.
    ///
    /// # Suspends
    ///
    /// While nothing is there. A thread without a loop blocks.
    #[track_caller]
    pub fn recv(&self) -> io::Result<T> {
        self.receive(None, caller())?
    }

    /// The same, for `limit` at most: [`TimedOut`](io::ErrorKind::TimedOut) then. std: `recv_timeout`.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), and `TimedOut`.
    ///
    /// # Suspends
    ///
    /// As [`recv`](Self::recv).
    #[track_caller]
    pub fn recv_timeout(&self, limit: Duration) -> io::Result<T> {
        self.receive(Some(limit), caller())?
    }

    /// The inner error is that of the end.
    fn receive(&self, limit: Option<Duration>, at: Place) -> io::Result<io::Result<T>> {
        wait(&mut &*self, limit, at)
    }

    /// The next value, if it is there. It never waits, so it may be called anywhere.
    /// asyncio: `get_nowait`; std: `try_recv`.
    ///
    /// # Errors
    ///
    /// [`Empty`](TryRecvError::Empty), or [`Disconnected`](TryRecvError::Disconnected) when nothing will come any more.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.shared.receive() {
            Some(received) => received.map_err(|_| TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Takes nothing in any more: senders get their values back. What is in the channel can still be received.
    pub fn close(&self) {
        self.shared.close();
    }

    /// The values, until every sender is gone: an iterator that waits. Each item is a value or, once, the cancellation of
    /// the task; after that it ends.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self, ended: false }
    }

    /// How many values are in the channel. asyncio: `qsize`.
    pub fn len(&self) -> usize {
        self.shared.lock().queue.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.close();
        // Dropped when the lock is released: values are the user's.
        let left = std::mem::take(&mut self.shared.lock().queue);
        drop(left);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The values of a receiver; see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
    ended: bool,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = io::Result<T>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<T>> {
        if self.ended {
            return None;
        }
        let next = self.receiver.receive(None, caller()).map(Result::ok).transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = io::Result<T>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// A `recv`.
impl<T> Attempt for &Receiver<T> {
    type Output = io::Result<T>;

    fn want(&self) -> Want {
        Want::Message
    }

    fn now(&mut self) -> Option<io::Result<T>> {
        self.shared.receive()
    }

    fn enlist(&mut self, waker: Waker) -> usize {
        let (place, giver) = {
            let mut state = self.shared.lock();
            match state.take() {
                Some((value, giver)) => {
                    state.handed += 1;
                    (state.takers.join_served(Some(value)), giver)
                }
                None if state.is_at_its_end() => (state.takers.join_served(None), None),
                None => (state.takers.join(waker, None), None),
            }
        };
        wake(giver);
        place
    }

    fn look(&mut self, place: &Cell<Option<usize>>) -> Option<io::Result<T>> {
        let (value, others) = {
            let mut state = self.shared.lock();
            let own = place.get().filter(|place| !state.takers.is_in_line(*place))?;
            place.set(None);
            (state.leave(own), state.tell_the_end())
        };
        wake(others);
        // Served, or sent away because nothing will come.
        Some(value.ok_or_else(no_sender))
    }

    fn was_handed(&self, place: usize) -> bool {
        self.shared.lock().takers.own(place).is_some()
    }

    fn is_in_line(&self, place: usize) -> bool {
        self.shared.lock().takers.is_in_line(place)
    }

    /// What was handed over goes to the next, or back to the front.
    fn give_up(&mut self, place: usize) {
        let waker = {
            let mut state = self.shared.lock();
            let Some(value) = state.leave(place) else { return };
            state.hand(value).map_err(|value| state.queue.push_front(value)).ok()
        };
        wake(waker);
    }
}

/// A `send` that may wait.
pub(crate) struct Sending<'a, T> {
    shared: &'a Shared<T>,
    /// Here while it is not in the line, and was not taken.
    value: Option<T>,
}

impl<T> Sending<'_, T> {
    /// What the wait comes to that was given up because of this.
    pub(crate) fn refused(&mut self, error: io::Error) -> Result<(), SendError<T>> {
        match self.value.take() {
            Some(value) => Err(SendError { value, error }),
            // Taken, if need be when it was about to give up (R13).
            None => Ok(()),
        }
    }
}

impl<T> Attempt for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn want(&self) -> Want {
        Want::Room
    }

    fn now(&mut self) -> Option<Self::Output> {
        let value = self.value.take()?;
        let taker = {
            let mut state = self.shared.lock();
            let put = if state.closed { Err(value) } else { state.put(value) };
            match put {
                Ok(taker) => taker,
                Err(value) if state.closed => return Some(Err(SendError { value, error: no_receiver() })),
                Err(value) => {
                    self.value = Some(value);
                    return None;
                }
            }
        };
        wake(taker);
        Some(Ok(()))
    }

    fn enlist(&mut self, waker: Waker) -> usize {
        let Some(value) = self.value.take() else {
            // It was taken when its wait was about to begin anew: that is what it finds.
            return self.shared.lock().givers.join_served(None);
        };
        let (place, taker) = {
            let mut state = self.shared.lock();
            let put = if state.closed { Err(value) } else { state.put(value) };
            match put {
                Ok(taker) => (state.givers.join_served(None), taker),
                Err(value) if state.closed => (state.givers.join_served(Some(value)), None),
                Err(value) => (state.givers.join(waker, Some(value)), None),
            }
        };
        wake(taker);
        place
    }

    fn look(&mut self, place: &Cell<Option<usize>>) -> Option<Self::Output> {
        let mut state = self.shared.lock();
        let own = place.get().filter(|place| !state.givers.is_in_line(*place))?;
        place.set(None);
        // Taken, or sent away because nobody receives any more.
        Some(match state.givers.leave(own).0 {
            None => Ok(()),
            Some(value) => Err(SendError { value, error: no_receiver() }),
        })
    }

    fn is_in_line(&self, place: usize) -> bool {
        self.shared.lock().givers.is_in_line(place)
    }

    fn give_up(&mut self, place: usize) {
        self.value = self.shared.lock().givers.leave(place).0;
    }
}
