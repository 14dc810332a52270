//! A value that is set once, and waited for.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::{fmt, io};

use crate::error::{cancelled, misuse, shared};
use crate::event_loop::{EventLoop, bound};
use crate::observe::event::{Place, Thing, Want};
use crate::select::{Arm, Cx, Spot, Wait, wait_for};
use crate::sync::{Id, with_loop};
use crate::task::wait::WaitList;
use crate::task::{Who, caller, no_suspend};

/// A value that comes later: somebody sets it, once, and any number of tasks wait for it.
///
/// A `Promise` is a ticket: clones are tickets for the same value, and each can set it as well as wait for it. Where the
/// two sides are apart, [`pair`](Self::pair) gives a [`Resolver`] for the one that owes the value: if it is lost, the
/// others are told instead of waiting for ever.
///
/// It is neither `Send` nor `Sync`: between threads use [`channel::oneshot`](crate::channel::oneshot). asyncio:
/// `asyncio.Future`; JavaScript: a promise.
///
/// ```
/// use corio::{Promise, run, spawn};
///
/// run(|| {
///     let answer = Promise::new();
///     let asker = {
///         let answer = answer.clone();
///         spawn(move || answer.get())
///     };
///     answer.set(42).unwrap();
///     assert_eq!(asker.join()?, 42);
///     assert_eq!(answer.set(43), Err(43)); // once
///     Ok(())
/// })
/// # .unwrap()
/// ```
///
/// A promise can fail, and it can be given up:
///
/// ```
/// use corio::{Promise, is_cancelled, run, yield_now};
/// use std::{cell::Cell, io, rc::Rc};
///
/// run(|| {
///     let (failed, told) = (Promise::<u32>::new(), Rc::new(Cell::new(false)));
///     let tell = told.clone();
///     failed.on_done(move |promise| tell.set(promise.error().is_some()));
///     assert!(failed.try_take().is_none() && !failed.is_done());
///     failed.fail(io::Error::other("no answer")).unwrap();
///     assert_eq!(failed.get().unwrap_err().to_string(), "no answer");
///     yield_now()?;
///     assert!(told.get() && !failed.cancelled());
///
///     let given_up = Promise::new();
///     assert!(given_up.cancel() && given_up.cancelled());
///     assert!(is_cancelled(&given_up.take().unwrap_err()));
///     assert_eq!(given_up.set(42), Err(42)); // whoever would have kept it is told so
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[doc(alias = "Future")]
pub struct Promise<T> {
    state: Rc<State<T>>,
}

struct State<T> {
    outcome: RefCell<Outcome<T>>,
    waiters: WaitList,
    callbacks: RefCell<Vec<Callback<T>>>,
    /// How many [`Resolver`]s there are.
    resolvers: Cell<usize>,
    /// An error that nobody has looked at is logged in the end.
    unseen: Cell<bool>,
    made_at: Place,
    id: Id,
}

type Callback<T> = (Box<dyn FnOnce(&Promise<T>)>, Place);

enum Outcome<T> {
    Pending,
    Value(T),
    Taken,
    Failed(Arc<io::Error>),
    Cancelled,
}

impl<T: 'static> Promise<T> {
    /// A promise that nobody has kept yet.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "it remembers where it was made")]
    pub fn new() -> Promise<T> {
        Promise {
            state: Rc::new(State {
                outcome: RefCell::new(Outcome::Pending),
                waiters: WaitList::new(),
                callbacks: RefCell::default(),
                resolvers: Cell::new(0),
                unseen: Cell::new(false),
                made_at: caller(),
                id: Id::new(),
            }),
        }
    }

    /// A promise, and a [`Resolver`] for whoever is to keep it.
    ///
    /// ```
    /// use corio::{Promise, run, spawn};
    ///
    /// run(|| {
    ///     let (resolver, promise) = Promise::<u32>::pair();
    ///     spawn(move || drop(resolver)); // it forgets to answer
    ///     assert!(promise.take().is_err());
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    #[track_caller]
    pub fn pair() -> (Resolver<T>, Promise<T>) {
        let promise = Promise::new();
        promise.state.resolvers.set(1);
        (Resolver { promise: promise.clone() }, promise)
    }

    /// Sets the value, and makes all who wait ready. Never suspends. asyncio: `set_result`.
    ///
    /// # Errors
    ///
    /// The value, if the promise is done already.
    pub fn set(&self, value: T) -> Result<(), T> {
        if self.is_done() {
            return Err(value);
        }
        self.finish(Outcome::Value(value));
        Ok(())
    }

    /// Sets an error: every wait for the value fails with it. Who sets it and is to return it too gets it back from the
    /// promise, like the others: `promise.fail(e)`, then `promise.get()`. asyncio: `set_exception`.
    ///
    /// Not with the cancellation of one's own task: the others would take it for theirs. Who is cancelled and cannot keep
    /// the promise drops its [`Resolver`], and the others are told that it is broken.
    ///
    /// # Errors
    ///
    /// The error, if the promise is done already.
    pub fn fail(&self, error: io::Error) -> Result<(), io::Error> {
        if self.is_done() {
            return Err(error);
        }
        self.state.unseen.set(true);
        self.finish(Outcome::Failed(Arc::new(error)));
        Ok(())
    }

    /// Gives the promise up: every wait for the value fails with a cancellation. `false` if it is done already; an error
    /// that nobody has looked at is not logged then. Whoever would have kept it is told so by [`set`](Self::set).
    /// asyncio: `cancel`.
    pub fn cancel(&self) -> bool {
        let pending = !self.is_done();
        if pending {
            self.finish(Outcome::Cancelled);
        } else {
            self.state.unseen.set(false);
        }
        pending
    }

    /// Whether it has a value or an error, or was cancelled. asyncio: `done`.
    pub fn is_done(&self) -> bool {
        !self.pending()
    }

    /// Whether it was [cancelled](Self::cancel). One that [failed](Self::fail) with a cancellation was not.
    /// asyncio: `cancelled`.
    pub fn cancelled(&self) -> bool {
        matches!(*self.state.outcome.borrow(), Outcome::Cancelled)
    }

    /// Waits for the value and takes it. asyncio: `await future`.
    ///
    /// # Errors
    ///
    /// The error that was set, also for every other who waits; a cancellation, of the task or of the promise;
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the last [`Resolver`] went without keeping it;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if somebody has taken the value before. A task that is cancelled
    /// leaves the promise alone.
    ///
    /// # Suspends
    ///
    /// Until it is done.
    #[track_caller]
    pub fn take(&self) -> io::Result<T> {
        wait_for(self, caller())?
    }

    /// Waits for the value and copies it: for several who wait. The value's `clone` may neither wait nor take it.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    ///
    /// # Suspends
    ///
    /// Until it is done.
    #[track_caller]
    pub fn get(&self) -> io::Result<T>
    where
        T: Clone,
    {
        wait_for(Done(self), caller())?;
        match &*self.state.outcome.borrow() {
            // The user's code, while the promise is borrowed (R7).
            Outcome::Value(value) => Ok(no_suspend(|| value.clone())),
            _ => Err(self.why_not()),
        }
    }

    /// The value or the error, if there is one yet; takes the value. The errors are those of [`take`](Self::take).
    /// Never suspends. asyncio: `result()`.
    pub fn try_take(&self) -> Option<io::Result<T>> {
        self.is_done().then(|| self.take_now())
    }

    /// The error, if it failed or was cancelled. asyncio: `exception()`.
    pub fn error(&self) -> Option<io::Error> {
        match &*self.state.outcome.borrow() {
            Outcome::Failed(error) => {
                self.state.unseen.set(false);
                Some(shared(error))
            }
            Outcome::Cancelled => Some(cancelled()),
            Outcome::Pending | Outcome::Value(_) | Outcome::Taken => None,
        }
    }

    /// Calls `f` when it is done, in a later turn of the loop; in the next turn if it is done already. Callbacks run in
    /// the order in which they were added, and cannot wait. They see the [task-locals](crate::TaskLocal) of whoever added them.
    /// asyncio: `add_done_callback`.
    #[track_caller]
    pub fn on_done(&self, f: impl FnOnce(&Promise<T>) + 'static) {
        self.state.callbacks.borrow_mut().push((bound(f), caller()));
        if self.is_done() {
            self.call_back();
        }
    }

    fn finish(&self, outcome: Outcome<T>) {
        *self.state.outcome.borrow_mut() = outcome;
        with_loop(&self.state.waiters, |lp, by| self.state.waiters.notify_all(lp, by));
        self.call_back();
    }

    /// Hands the callbacks to the loop.
    fn call_back(&self) {
        for (callback, at) in self.state.callbacks.take() {
            let promise = self.clone();
            let call: Box<dyn FnOnce()> = Box::new(move || callback(&promise));
            EventLoop::with_current(|lp| match lp {
                Some(lp) => {
                    lp.call_soon(call, at);
                }
                None => call(),
            });
        }
    }
}

impl<T> Promise<T> {
    fn pending(&self) -> bool {
        matches!(*self.state.outcome.borrow(), Outcome::Pending)
    }

    fn take_now(&self) -> io::Result<T> {
        let mut outcome = self.state.outcome.borrow_mut();
        if !matches!(*outcome, Outcome::Value(_)) {
            drop(outcome);
            return Err(self.why_not());
        }
        match std::mem::replace(&mut *outcome, Outcome::Taken) {
            Outcome::Value(value) => Ok(value),
            _ => unreachable!("it was a value a moment ago"),
        }
    }

    /// Why there is no value.
    fn why_not(&self) -> io::Error {
        match &*self.state.outcome.borrow() {
            Outcome::Failed(error) => {
                self.state.unseen.set(false);
                shared(error)
            }
            Outcome::Cancelled => cancelled(),
            Outcome::Taken => misuse("the value of this promise was taken already; `get` leaves it for the others"),
            Outcome::Pending | Outcome::Value(_) => misuse("the promise is not done"),
        }
    }
}

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Promise<T> {
        Promise { state: self.state.clone() }
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match &*self.state.outcome.borrow() {
            Outcome::Pending => "pending",
            Outcome::Value(_) => "kept",
            Outcome::Taken => "kept, and the value taken",
            Outcome::Failed(_) => "failed",
            Outcome::Cancelled => "cancelled",
        };
        write!(f, "Promise({outcome})")
    }
}

impl<T> Drop for State<T> {
    fn drop(&mut self) {
        if let (true, Outcome::Failed(error)) = (self.unseen.get(), self.outcome.get_mut()) {
            log::error!(target: "corio::task",
                "nobody looked at the error of the promise made at {}: {error}", self.made_at);
        }
    }
}

/// The duty to keep a [`Promise`], from [`Promise::pair`]. When the last clone is dropped and nothing was set, the
/// promise is *broken*: every wait for it fails.
///
/// ```
/// use corio::{Promise, Resolver, run, secs, sleep, spawn};
/// use std::io;
///
/// fn answer(question: &str, resolver: Resolver<u32>) {
///     if resolver.is_done() {
///         return; // nobody wants to know any more
///     }
///     let _ = match question.len() {
///         0 => resolver.fail(io::Error::other("no question")),
///         n => resolver.set(n as u32).map_err(|_| io::Error::other("given up")),
///     };
/// }
///
/// run(|| {
///     let (resolver, promise) = Promise::pair();
///     answer("how long?", resolver);
///     assert_eq!(promise.take()?, 9);
///
///     let (resolver, promise) = Promise::pair();
///     answer("", resolver);
///     assert_eq!(promise.take().unwrap_err().to_string(), "no question");
///
///     let (resolver, promise) = Promise::<u32>::pair();
///     drop(resolver);
///     assert_eq!(promise.take().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct Resolver<T: 'static> {
    promise: Promise<T>,
}

impl<T> Resolver<T> {
    /// As [`Promise::set`].
    ///
    /// # Errors
    ///
    /// The value, if the promise is done already: nobody waits for it any more if it was cancelled.
    pub fn set(&self, value: T) -> Result<(), T> {
        self.promise.set(value)
    }

    /// As [`Promise::fail`].
    ///
    /// # Errors
    ///
    /// The error, if the promise is done already.
    pub fn fail(&self, error: io::Error) -> Result<(), io::Error> {
        self.promise.fail(error)
    }

    /// Whether nobody needs to keep it any more: it is done, or was cancelled.
    pub fn is_done(&self) -> bool {
        self.promise.is_done()
    }
}

impl<T> Clone for Resolver<T> {
    fn clone(&self) -> Resolver<T> {
        let resolvers = &self.promise.state.resolvers;
        resolvers.set(resolvers.get() + 1);
        Resolver { promise: self.promise.clone() }
    }
}

impl<T> Drop for Resolver<T> {
    fn drop(&mut self) {
        let state = &self.promise.state;
        state.resolvers.set(state.resolvers.get() - 1);
        if state.resolvers.get() == 0 && self.promise.pending() {
            let error = io::Error::new(io::ErrorKind::BrokenPipe, "the promise was broken: nobody is left to keep it");
            // Whoever waits is told; if nobody does, there is nothing to report.
            let _ = self.promise.fail(error);
            state.unseen.set(false);
        }
    }
}

impl<T> fmt::Debug for Resolver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Resolver").field(&self.promise).finish()
    }
}

/// The wait until a promise is done, whoever takes the value.
struct Done<'a, T>(&'a Promise<T>);

macro_rules! wait {
    ($wait:ty, $output:ty, |$this:ident| $promise:expr, $take:expr) => {
        impl<T> Wait for $wait {
            type Output = $output;
        }

        impl<T> Arm for $wait {
            type Brings = $output;
            type Hook = ();

            fn poll(&mut self, _: Who, _: &Spot<()>) -> Option<$output> {
                let $this = &*self;
                (!$promise.pending()).then(|| $take)
            }

            fn list(&self) -> Option<&WaitList> {
                let $this = self;
                Some(&$promise.state.waiters)
            }

            fn take(&mut self, _: Who, _: &Spot<()>) -> $output {
                #[allow(unused_variables, reason = "one of the two has nothing to take")]
                let $this = &*self;
                $take
            }

            fn want(&self, cx: &Cx<'_>, _: &Spot<Self::Hook>) -> Want {
                let $this = self;
                Want::Thing { thing: Thing::Promise, id: $promise.state.id.get(cx.lp), holder: 0 }
            }
        }
    };
}

wait!(&Promise<T>, io::Result<T>, |this| this, this.take_now());
wait!(Done<'_, T>, (), |this| this.0, ());
