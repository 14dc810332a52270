//! Synchronisation between the tasks of one loop: locks, events, conditions, semaphores, barriers.
//!
//! Nothing here is `Send` or `Sync`: between loops and threads there are [channels](crate::channel). That makes an
//! uncontended operation a few moves, and nothing is allocated for a wait.
//!
//! All of it keeps one rule: what becomes free is handed to the one that has waited longest, in the moment in which it
//! becomes free. So nobody overtakes (no barging), a free thing has no waiters, and a wait that is cancelled in the same
//! moment has got it all the same: it succeeds, and the cancellation is met at the next call. A wait that can no longer
//! take what it was granted passes it on. Chapter: `docs/book/sharing.md`.

mod barrier;
mod condvar;
mod event;
mod mutex;
mod rwlock;
mod semaphore;

use std::cell::Cell;

pub use self::barrier::{Barrier, is_broken_barrier};
pub use self::condvar::Condvar;
pub use self::event::Event;
pub use self::mutex::{Mutex, MutexGuard};
pub use self::rwlock::{Reading, RwLock, RwLockReadGuard, RwLockWriteGuard, Writing};
pub use self::semaphore::{BoundedSemaphore, Permit, Semaphore};
use crate::event_loop::EventLoop;
use crate::observe::event::{By, Event as Happened};
use crate::task::Who;
use crate::task::wait::WaitList;

/// The number by which dumps and events call a thing: counted on the loop from the first wait for it. On another loop, a later one
/// of the thread, it has another number.
pub(crate) struct Id {
    /// Loops count from 1.
    on: Cell<u32>,
    number: Cell<u32>,
}

impl Id {
    pub(crate) const fn new() -> Id {
        Id { on: Cell::new(0), number: Cell::new(0) }
    }

    pub(crate) fn get(&self, lp: &EventLoop) -> u32 {
        if self.on.replace(lp.remote.id) != lp.remote.id {
            self.number.set(lp.next_resource_id());
        }
        self.number.get()
    }

    /// The lock is that task's now. Those who have waited for it have told their observers of this number.
    fn tell_holder(&self, lp: &EventLoop, holder: Who) {
        if self.on.get() == lp.remote.id {
            lp.emit(|| Happened::Give { lock: self.number.get(), to: holder.on(lp) });
        }
    }
}

/// Grants to the first who waits; `false` if nobody does.
#[inline(always)]
pub(crate) fn grant(list: &WaitList) -> bool {
    !list.is_empty() && grant_first(list)
}

#[inline]
fn grant_first(list: &WaitList) -> bool {
    with_loop(list, |lp, by| list.grant(lp, by).is_some()).unwrap_or(false)
}

/// Hands the loop on which the list's tasks wait to `f`; `None` if there are none.
pub(crate) fn with_loop<R>(list: &WaitList, f: impl FnOnce(&EventLoop, By) -> R) -> Option<R> {
    if list.is_empty() {
        return None;
    }
    EventLoop::with_current(|lp| {
        let lp = lp.expect("tasks wait only while their loop runs");
        Some(f(lp, lp.by()))
    })
}
