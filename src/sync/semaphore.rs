//! A number of permits.

use std::cell::Cell;
use std::fmt;
use std::io;

use super::{Id, grant};
use crate::observe::event::{Thing, Want};
use crate::select::{Arm, Cx, Spot, Wait, wait_for};
use crate::task::wait::WaitList;
use crate::task::{Who, caller};

/// A number of permits: whoever wants to go on takes one, and waits if there is none.
///
/// First come, first served. It is neither `Send` nor `Sync`. asyncio: `asyncio.Semaphore`.
///
/// ```
/// use corio::{Runner, Semaphore, gather, secs, sleep};
///
/// Runner::new().virtual_clock().run(|| {
///     let start = corio::now();
///     let limit = Semaphore::new(2);
///     gather(0..6, |_| {
///         let _permit = limit.acquire()?; // given back at the end of the block
///         sleep(secs(1))
///     })?;
///     assert_eq!(corio::now() - start, secs(3));
///
///     limit.release(1); // one more from now on
///     let taken = limit.try_acquire();
///     assert!(taken.is_some() && limit.available() == 2);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct Semaphore {
    permits: Cell<usize>,
    /// The most there may be.
    bound: usize,
    waiters: WaitList,
    id: Id,
}

impl Semaphore {
    /// A semaphore with so many permits; none is allowed too.
    pub const fn new(permits: usize) -> Semaphore {
        Semaphore { permits: Cell::new(permits), bound: usize::MAX, waiters: WaitList::new(), id: Id::new() }
    }

    /// Waits for a permit. It is given back when it is dropped. asyncio: `acquire`, or `async with`.
    ///
    /// # Errors
    ///
    /// Only cancellation, [in a task](crate#where-a-call-may-wait).
    ///
    /// # Suspends
    ///
    /// While there is no permit.
    #[inline(always)]
    #[track_caller]
    pub fn acquire(&self) -> io::Result<Permit<'_>> {
        wait_for(self, caller())
    }

    /// A permit, if there is one. Never suspends.
    #[inline(always)]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        // While anybody waits there is none, so nobody is overtaken.
        let left = self.permits.get().checked_sub(1)?;
        self.permits.set(left);
        Some(Permit { semaphore: self })
    }

    /// Adds `n` permits, beside those that are given back by their guards; wakes as many of the tasks that wait.
    /// asyncio: `release`, which adds one.
    /// A permit that was [forgotten](Permit::forget) can be given back so.
    pub fn release(&self, n: usize) {
        for given in 0..n {
            if !grant(&self.waiters) {
                let permits = self.permits.get().saturating_add(n - given);
                self.permits.set(permits.min(self.bound));
                return;
            }
        }
    }

    /// How many permits there are to be had at once.
    pub fn available(&self) -> usize {
        self.permits.get()
    }
}

/// The right to go on, from a [`Semaphore`]; given back when it is dropped.
///
/// ```
/// use corio::{Permit, Semaphore};
///
/// let slots = Semaphore::new(2);
/// let held: Vec<Permit<'_>> = std::iter::from_fn(|| slots.try_acquire()).collect();
/// assert_eq!((held.len(), slots.available()), (2, 0));
/// drop(held);
/// assert_eq!(slots.available(), 2);
///
/// slots.try_acquire().unwrap().forget(); // kept by something that is no guard ...
/// assert_eq!(slots.available(), 1);
/// slots.release(1); // ... and given back when that is over
/// assert_eq!(slots.available(), 2);
/// ```
#[must_use = "the permit is given back when it is dropped"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
}

impl Permit<'_> {
    /// Does not give it back: there is one permit less until [`Semaphore::release`].
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.semaphore.release(1);
    }
}

impl<'a> Wait for &'a Semaphore {
    type Output = Permit<'a>;
}

impl<'a> Arm for &'a Semaphore {
    type Brings = Permit<'a>;
    type Hook = ();

    #[inline(always)]
    fn poll(&mut self, _: Who, _: &Spot<()>) -> Option<Permit<'a>> {
        self.try_acquire()
    }

    fn list(&self) -> Option<&WaitList> {
        Some(&self.waiters)
    }

    fn take(&mut self, _: Who, _: &Spot<()>) -> Permit<'a> {
        Permit { semaphore: self }
    }

    fn refuse(&mut self) {
        self.release(1);
    }

    fn want(&self, cx: &Cx<'_>, _: &Spot<Self::Hook>) -> Want {
        Want::Thing { thing: Thing::Permit, id: self.id.get(cx.lp), holder: 0 }
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available", &self.available()).field("waiting", &self.waiters.len()).finish()
    }
}

/// A [`Semaphore`] that never has more permits than at first: giving back too many is an error.
///
/// asyncio: `asyncio.BoundedSemaphore`.
///
/// ```
/// use corio::{BoundedSemaphore, run};
///
/// run(|| {
///     let limit = BoundedSemaphore::new(1);
///     limit.acquire()?.forget();
///     assert!(limit.try_acquire().is_none());
///     limit.release(1)?;
///     assert!(limit.release(1).is_err()); // one too many, and nothing has changed
///     assert_eq!(limit.available(), 1);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct BoundedSemaphore {
    semaphore: Semaphore,
}

impl BoundedSemaphore {
    /// A semaphore with so many permits, now and at most.
    pub const fn new(permits: usize) -> BoundedSemaphore {
        BoundedSemaphore { semaphore: Semaphore { bound: permits, ..Semaphore::new(permits) } }
    }

    /// As [`Semaphore::acquire`].
    ///
    /// # Errors
    ///
    /// Only cancellation, [in a task](crate#where-a-call-may-wait).
    ///
    /// # Suspends
    ///
    /// While there is no permit.
    #[inline(always)]
    #[track_caller]
    pub fn acquire(&self) -> io::Result<Permit<'_>> {
        wait_for(&self.semaphore, caller())
    }

    /// As [`Semaphore::try_acquire`].
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.semaphore.try_acquire()
    }

    /// Gives back `n` permits that were [forgotten](Permit::forget).
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there would be more than at first; nothing changes then. If the
    /// error is avoided only because a guard has its permit still, that guard adds none when it is dropped, unless a
    /// task waits for it then.
    pub fn release(&self, n: usize) -> io::Result<()> {
        if n > self.semaphore.bound - self.semaphore.available() {
            let bound = self.semaphore.bound;
            let text = format!("a bounded semaphore of {bound} cannot take {n} permits more than it gave");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.semaphore.release(n);
        Ok(())
    }

    /// As [`Semaphore::available`].
    pub fn available(&self) -> usize {
        self.semaphore.available()
    }
}

impl<'a> Wait for &'a BoundedSemaphore {
    type Output = Permit<'a>;
}

impl<'a> Arm for &'a BoundedSemaphore {
    type Brings = Permit<'a>;
    type Hook = ();

    fn poll(&mut self, me: Who, spot: &Spot<()>) -> Option<Permit<'a>> {
        (&self.semaphore).poll(me, spot)
    }

    fn list(&self) -> Option<&WaitList> {
        Some(&self.semaphore.waiters)
    }

    fn take(&mut self, me: Who, spot: &Spot<()>) -> Permit<'a> {
        (&self.semaphore).take(me, spot)
    }

    fn refuse(&mut self) {
        (&self.semaphore).refuse();
    }

    fn want(&self, cx: &Cx<'_>, spot: &Spot<Self::Hook>) -> Want {
        (&self.semaphore).want(cx, spot)
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedSemaphore")
            .field("available", &self.available())
            .field("bound", &self.semaphore.bound)
            .finish()
    }
}
