//! One value, once.
//!
//! ```
//! use corio::{channel::oneshot, run};
//!
//! let (sender, mut receiver) = oneshot::channel();
//! std::thread::spawn(move || sender.send(6 * 7));
//! assert_eq!(run(|| receiver.recv()).unwrap(), 42);
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use super::line::wake;
use super::wait::{Attempt, wait};
use super::{SendError, TryRecvError, no_receiver, no_sender};
use crate::observe::event::{Place, Want};
use crate::remote::Waker;
use crate::task::caller;

/// The two ends. asyncio: a `Future` that another thread sets by `call_soon_threadsafe`.
///
/// ```
/// use corio::{call_later, channel::oneshot, millis, run};
///
/// let (sender, mut receiver) = oneshot::channel();
/// run(|| {
///     call_later(millis(1), move || sender.send("from a callback").unwrap());
///     assert_eq!(receiver.recv()?, "from a callback");
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[doc(alias = "Future")]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let state = State { value: None, sender: true, receiver: true, waiter: None };
    let shared = Arc::new(Shared(Mutex::new(state)));
    (Sender { shared: shared.clone() }, Receiver { shared })
}

struct Shared<T>(Mutex<State<T>>);

struct State<T> {
    value: Option<T>,
    sender: bool,
    receiver: bool,
    waiter: Option<Waker>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that sends. Dropped unused, it tells the receiver that nothing will come.
///
/// ```
/// use corio::channel::oneshot;
///
/// let (sender, receiver) = oneshot::channel::<u64>();
/// drop(receiver);
/// if !sender.is_closed() { // somebody still wants to know
///     let _ = sender.send((1..=20).product());
/// }
///
/// let (sender, mut receiver) = oneshot::channel::<u64>();
/// drop(sender);
/// assert!(receiver.recv().is_err()); // and nobody waits for ever
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends the value. It never waits, so it may be called anywhere, also in a callback.
    ///
    /// # Errors
    ///
    /// The value comes back if nobody receives any more.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        let mut state = self.shared.lock();
        if !state.receiver {
            drop(state);
            return Err(SendError { value, error: no_receiver() });
        }
        state.value = Some(value);
        Ok(())
        // The receiver is woken when the sender is dropped, which is now.
    }

    /// Whether nobody receives any more: then the value need not be made.
    pub fn is_closed(&self) -> bool {
        !self.shared.lock().receiver
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waiter = {
            let mut state = self.shared.lock();
            state.sender = false;
            state.waiter.take()
        };
        wake(waiter);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish()
    }
}

/// The end that receives.
///
/// ```
/// use corio::{channel::{TryRecvError, oneshot}, is_timed_out, millis};
///
/// let (sender, mut receiver) = oneshot::channel();
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
/// assert!(is_timed_out(&receiver.recv_timeout(millis(1)).unwrap_err())); // this thread has no loop: it blocked
/// sender.send("late").unwrap();
/// assert_eq!(receiver.try_recv(), Ok("late"));
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected)); // once
/// ```
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Waits for the value. A wait that is cancelled leaves it in the channel.
    ///
    /// # Errors
    ///
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the sender was dropped, or the value was received before; cancellation;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) in a callback if it is not there yet.
    ///
    /// # Suspends
    ///
    /// Until it is there. A thread without a loop blocks.
    #[track_caller]
    pub fn recv(&mut self) -> io::Result<T> {
        self.receive(None, caller())
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
    pub fn recv_timeout(&mut self, limit: Duration) -> io::Result<T> {
        self.receive(Some(limit), caller())
    }

    fn receive(&mut self, limit: Option<Duration>, at: Place) -> io::Result<T> {
        wait(&mut &mut *self, limit, at)?
    }

    /// The value, if it is there. It never waits.
    ///
    /// # Errors
    ///
    /// [`Empty`](TryRecvError::Empty), or [`Disconnected`](TryRecvError::Disconnected) when it will not come any more.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.take().ok_or(TryRecvError::Empty)?.map_err(|_| TryRecvError::Disconnected)
    }

    fn take(&self) -> Option<io::Result<T>> {
        let mut state = self.shared.lock();
        match state.value.take() {
            Some(value) => Some(Ok(value)),
            None => (!state.sender).then(|| Err(no_sender())),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let unwanted = {
            let mut state = self.shared.lock();
            state.receiver = false;
            state.value.take()
        };
        drop(unwanted);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("sent", &self.shared.lock().value.is_some()).finish()
    }
}

/// A `recv`. There is one receiver, so there is no line, and all places are the same.
impl<T> Attempt for &mut Receiver<T> {
    type Output = io::Result<T>;

    fn want(&self) -> Want {
        Want::Message
    }

    fn now(&mut self) -> Option<io::Result<T>> {
        self.take()
    }

    fn enlist(&mut self, waker: Waker) -> usize {
        self.shared.lock().waiter = Some(waker);
        0
    }

    fn is_in_line(&self, _: usize) -> bool {
        self.shared.lock().waiter.is_some()
    }

    fn give_up(&mut self, _: usize) {
        self.shared.lock().waiter = None;
    }
}
