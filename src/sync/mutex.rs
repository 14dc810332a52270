//! A lock.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};

use super::{Id, with_loop};
use crate::observe::event::{Thing, Want};
use crate::select::{Arm, Cx, Spot, Wait, wait_for};
use crate::task::wait::WaitList;
use crate::task::{Who, caller};

/// A lock around a value, for the tasks of one loop: mutual exclusion *across* calls that suspend.
///
/// First come, first served: an unlock hands the lock to the task that has waited longest, so nobody overtakes. It is not
/// poisoned by a panic. Where nothing suspends while the value is borrowed, a `RefCell` or `Cell` is enough.
///
/// It is neither `Send` nor `Sync`: between threads use [`std::sync::Mutex`], and hold it across no call that suspends.
/// asyncio: `asyncio.Lock`, around a value; std: [`std::sync::Mutex`].
///
/// ```
/// use corio::{Mutex, Runner, gather, millis, sleep};
///
/// Runner::new().virtual_clock().run(|| {
///     let counter = Mutex::new(0);
///     gather(0..10, |_| {
///         let mut n = counter.lock()?;
///         let old = *n;
///         sleep(millis(100))?; // the others wait
///         *n = old + 1;
///         Ok(())
///     })?;
///     assert_eq!(counter.into_inner(), 10);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[doc(alias = "Lock")]
pub struct Mutex<T: ?Sized> {
    /// Who has the lock.
    holder: Cell<Who>,
    waiters: WaitList,
    id: Id,
    value: UnsafeCell<T>,
}

impl<T> Mutex<T> {
    /// A free lock.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { holder: Cell::new(Who::NOBODY), waiters: WaitList::new(), id: Id::new(), value: UnsafeCell::new(value) }
    }

    /// The value. std: `into_inner`.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock. It is given back when the guard is dropped.
    /// asyncio: `acquire`, or `async with`; std: `lock`.
    ///
    /// # Errors
    ///
    /// Only cancellation; and [`Deadlock`](io::ErrorKind::Deadlock) if the task has the lock already: the one that took
    /// it, even if it has given its guard to another since. On a thread without a loop, and while the caller unwinds,
    /// nothing can wait: a free lock is had, and one that is not is an error. In a callback it is always an error: use
    /// [`try_lock`](Self::try_lock).
    ///
    /// # Suspends
    ///
    /// While another has the lock.
    #[inline(always)]
    #[track_caller]
    pub fn lock(&self) -> io::Result<MutexGuard<'_, T>> {
        wait_for(self, caller())
    }

    /// The lock, if it is free. Never suspends. std: `try_lock`.
    ///
    /// ```
    /// use corio::Mutex;
    ///
    /// let mut lines = Mutex::new(Vec::new());
    /// lines.get_mut().push("first"); // no lock: nobody else can have it
    /// let guard = lines.try_lock().unwrap();
    /// assert!(lines.is_locked() && lines.try_lock().is_none());
    /// drop(guard);
    /// lines.try_lock().unwrap().push("second");
    /// assert_eq!(lines.into_inner(), ["first", "second"]);
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.take_free(Who::runs())
    }

    /// Whether anybody has the lock. asyncio: `locked`.
    pub fn is_locked(&self) -> bool {
        self.holder.get() != Who::NOBODY
    }

    /// The value: nobody else can have the lock. std: `get_mut`.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    #[inline(always)]
    fn take_free(&self, me: Who) -> Option<MutexGuard<'_, T>> {
        // A lock that is free has no waiters, so nobody is overtaken.
        (self.holder.get() == Who::NOBODY).then(|| {
            self.holder.set(me);
            MutexGuard { mutex: self, held: true }
        })
    }

    /// Hands the lock to the first who waits.
    #[inline(always)]
    // ANCHOR: unlock
    pub(super) fn unlock(&self) {
        self.holder.set(Who::NOBODY);
        if !self.waiters.is_empty() {
            self.hand_on();
        }
    }

    #[inline]
    fn hand_on(&self) {
        with_loop(&self.waiters, |lp, by| {
            if let Some(first) = self.waiters.first() {
                let next = Who::task(lp, first.task());
                self.holder.set(next);
                self.id.tell_holder(lp, next);
                self.waiters.grant_to(first, lp, by);
            }
        });
    }
    // ANCHOR_END: unlock
}

impl<'a, T: ?Sized> Wait for &'a Mutex<T> {
    type Output = MutexGuard<'a, T>;
}

impl<'a, T: ?Sized> Arm for &'a Mutex<T> {
    type Brings = MutexGuard<'a, T>;
    type Hook = ();

    #[inline(always)]
    fn poll(&mut self, me: Who, _: &Spot<()>) -> Option<MutexGuard<'a, T>> {
        self.take_free(me)
    }

    fn check(&self, cx: &Cx<'_>) -> io::Result<()> {
        // A task that is polled may wait for several things at once, and give back the one that it has meanwhile.
        if cx.is_future() {
            return Ok(());
        }
        if self.holder.get() != Who::task(cx.lp, cx.task) {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::Deadlock,
            format!("{} has this lock already, and would wait for itself", cx.task),
        ))
    }

    fn list(&self) -> Option<&WaitList> {
        Some(&self.waiters)
    }

    #[inline]
    fn take(&mut self, _: Who, _: &Spot<()>) -> MutexGuard<'a, T> {
        MutexGuard { mutex: self, held: true }
    }

    fn refuse(&mut self) {
        self.unlock();
    }

    fn want(&self, cx: &Cx<'_>, _: &Spot<Self::Hook>) -> Want {
        Want::Thing { thing: Thing::Lock, id: self.id.get(cx.lp), holder: self.holder.get().on(cx.lp) }
    }

    fn holder(&self) -> Option<&Cell<Who>> {
        Some(&self.holder)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_tuple("Mutex").field(&&*guard).finish(),
            None => f.write_str("Mutex(<locked>)"),
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

/// The lock, and through it the value. Dropping it gives the lock to the task that has waited longest.
///
/// Forgetting it leaves the lock taken for ever.
///
/// ```
/// use corio::{Mutex, MutexGuard, run, yield_now};
///
/// /// Whoever calls this has shown that it has the lock.
/// fn withdraw(account: &mut MutexGuard<'_, u32>, sum: u32) -> std::io::Result<()> {
///     let left = account.checked_sub(sum).ok_or(std::io::ErrorKind::InvalidInput)?;
///     yield_now()?; // nobody changes the account meanwhile
///     **account = left;
///     Ok(())
/// }
///
/// run(|| {
///     let account = Mutex::new(10);
///     withdraw(&mut account.lock()?, 7)?;
///     assert!(withdraw(&mut account.lock()?, 7).is_err());
///     assert_eq!(account.into_inner(), 3);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[must_use = "the lock is free again when the guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// False only after a [`Condvar::wait`](crate::Condvar::wait) that was unwound while another had the lock.
    held: bool,
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }

    /// Gives the lock away without ending the guard.
    pub(super) fn let_go(&mut self) {
        self.assert_held();
        self.held = false;
        self.mutex.unlock();
    }

    /// Takes over the lock of another guard.
    pub(super) fn resume(&mut self, other: MutexGuard<'a, T>) {
        debug_assert!(!self.held && std::ptr::eq(self.mutex, other.mutex));
        std::mem::forget(other);
        self.held = true;
    }

    /// Has the lock again if it is free.
    pub(super) fn try_resume(&mut self) -> bool {
        if !self.held
            && let Some(lock) = self.mutex.try_lock()
        {
            self.resume(lock);
        }
        self.held
    }

    #[inline(always)]
    fn assert_held(&self) {
        assert!(self.held, "the lock was lost in a wait that the end of the run unwound");
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.assert_held();
        // SAFETY: `holder` names the owner of this guard, and there is no other guard until it changes.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        self.assert_held();
        // SAFETY: as above, and the guard itself is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.held {
            self.mutex.unlock();
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
