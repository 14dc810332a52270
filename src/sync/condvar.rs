//! Waiting for a change of what a lock protects.

use std::io;

use super::{Id, MutexGuard, grant, with_loop};
use crate::event_loop::EventLoop;
use crate::observe::event::{Place, Thing, Want};
use crate::select::wait_patiently;
use crate::task::caller;
use crate::task::wait::{Context, Node, WaitList, Waiter, checkpoint, in_context, park, refuse_while_unwinding};
use crate::task::{TaskRef, not_in_a_callback};

/// Lets a task that has a [`Mutex`](crate::Mutex) wait until another has changed the value, without keeping the lock
/// meanwhile.
///
/// It is neither `Send` nor `Sync`. asyncio: `asyncio.Condition`, without the lock; std: [`std::sync::Condvar`].
///
/// ```
/// use corio::{Condvar, Mutex, run, scope};
///
/// run(|| {
///     let (stock, changed) = (Mutex::new(0), Condvar::new());
///     scope(|s| {
///         let buyer = s.spawn(|| {
///             let mut stock = stock.lock()?;
///             changed.wait_until(&mut stock, |n| *n >= 3)?;
///             *stock -= 3;
///             Ok(())
///         });
///         for _ in 0..3 {
///             *stock.lock()? += 1;
///             changed.notify_one();
///             corio::yield_now()?;
///         }
///         buyer.join()
///     })
/// })
/// # .unwrap()
/// ```
#[doc(alias = "Condition")]
pub struct Condvar {
    waiters: WaitList,
    id: Id,
}

impl Condvar {
    /// A condition that nobody waits for.
    #[allow(clippy::new_without_default, reason = "implemented below")]
    pub const fn new() -> Condvar {
        Condvar { waiters: WaitList::new(), id: Id::new() }
    }

    /// Gives the lock away, waits to be notified, and waits for the lock again. asyncio, std: `wait`.
    ///
    /// Whatever it returns, the lock is held again: it waits for the lock even if it is cancelled. A wait may end without
    /// reason, and what was waited for may be gone again by the time the lock is had, so it stands in a loop;
    /// [`wait_until`](Self::wait_until) is that loop.
    ///
    /// # Errors
    ///
    /// Only cancellation. A wait that was notified has succeeded, even if it is cancelled before it has the lock. If the
    /// end of the run unwinds it before, its notification goes to the next one that waits.
    ///
    /// # Suspends
    ///
    /// Always.
    #[track_caller]
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) -> io::Result<()> {
        let at = caller();
        in_context(|context| match context {
            Context::Task(lp, task) => {
                checkpoint(lp, task, at)?;
                self.wait_on(lp, task, guard, at)
            }
            Context::Unwinding(..) => Err(refuse_while_unwinding()),
            Context::Callback => Err(not_in_a_callback()),
            Context::Outside => Err(crate::error::misuse("waiting needs a running loop: nobody could ever notify")),
        })
    }

    /// Waits until `condition` says that the value is as it should be. It looks first, and after each notification, always
    /// under the lock. asyncio: `wait_for`; std: `wait_while`, the other way round.
    ///
    /// # Errors
    ///
    /// Only cancellation; the lock is held all the same.
    ///
    /// # Suspends
    ///
    /// Unless the value is as it should be.
    #[track_caller]
    pub fn wait_until<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> io::Result<()> {
        while !condition(guard) {
            self.wait(guard)?;
        }
        Ok(())
    }

    /// Wakes the task that has waited longest, if any does. It goes on when it has the lock. It is not remembered: who
    /// waits later waits for the next. asyncio: `notify`; std: `notify_one`.
    pub fn notify_one(&self) {
        grant(&self.waiters);
    }

    /// Wakes so many of those who wait, in the order in which they came. asyncio: `notify(n)`.
    ///
    /// ```
    /// use corio::{Condvar, Mutex, run, scope, testing::wait_all_tasks_blocked};
    /// use std::cell::Cell;
    ///
    /// run(|| {
    ///     let (lock, changed, woken) = (Mutex::new(()), Condvar::new(), Cell::new(0));
    ///     scope(|s| {
    ///         for _ in 0..5 {
    ///             s.spawn(|| {
    ///                 changed.wait(&mut lock.lock()?)?; // once; what it looks for may still not be so
    ///                 Ok(woken.set(woken.get() + 1))
    ///             });
    ///         }
    ///         wait_all_tasks_blocked()?;
    ///         changed.notify(2);
    ///         wait_all_tasks_blocked()?;
    ///         assert_eq!(woken.get(), 2);
    ///         Ok(changed.notify_all())
    ///     })?;
    ///     assert_eq!(woken.get(), 5);
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    pub fn notify(&self, n: usize) {
        for _ in 0..n {
            if !grant(&self.waiters) {
                return;
            }
        }
    }

    /// Wakes all who wait. asyncio, std: `notify_all`.
    pub fn notify_all(&self) {
        with_loop(&self.waiters, |lp, by| self.waiters.notify_all(lp, by));
    }

    fn wait_on<T: ?Sized>(
        &self,
        lp: &EventLoop,
        task: &TaskRef,
        guard: &mut MutexGuard<'_, T>,
        at: Place,
    ) -> io::Result<()> {
        let (waiter, node) = (Waiter::new(task), Node::default());
        // Declared after what it points to, so dropped before it, also when the wait is unwound.
        let mut waiting = Waiting { condition: self, node: &node, waiter: &waiter, guard, used: false };
        waiting.guard.let_go();
        // SAFETY: as said; the guard unlinks. Nobody has run since the lock was let go.
        unsafe { self.waiters.link(&node, &waiter, 0) };
        let want = Want::Thing { thing: Thing::Condition, id: self.id.get(lp), holder: 0 };
        loop {
            park(lp, task, want, at);
            if waiter.granted().is_some() || task.core.is_cancelled() {
                break;
            }
        }
        self.waiters.unlink(&node);
        // The lock is had in any case; meanwhile a cancellation waits.
        if !waiting.guard.try_resume() {
            let lock = wait_patiently(lp, task, waiting.guard.mutex(), at)?;
            waiting.guard.resume(lock);
        }
        // Notified, it has what it came for, and the cancellation is met at the next call (R13).
        if waiter.granted().is_some() {
            waiting.used = true;
            return Ok(());
        }
        Err(crate::error::cancelled())
    }
}

/// A task's place among those who wait; passes a notification on that it cannot use.
struct Waiting<'a, 'lock, T: ?Sized> {
    condition: &'a Condvar,
    node: &'a Node,
    waiter: &'a Waiter,
    guard: &'a mut MutexGuard<'lock, T>,
    used: bool,
}

impl<T: ?Sized> Drop for Waiting<'_, '_, T> {
    fn drop(&mut self) {
        self.condition.waiters.unlink(self.node);
        if self.waiter.granted().is_some() && !self.used {
            self.condition.notify_one();
        }
        // Unwound in the wait: destructors further up may still look at the value, if it can be had.
        self.guard.try_resume();
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl std::fmt::Debug for Condvar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Condvar").field("waiting", &self.waiters.len()).finish()
    }
}
