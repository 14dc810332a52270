//! A flag that tasks wait for.

use std::cell::Cell;
use std::io;

use super::{Id, with_loop};
use crate::observe::event::{Thing, Want};
use crate::select::{Arm, Cx, Spot, Wait, wait_for};
use crate::task::wait::WaitList;
use crate::task::{Who, caller};

/// A flag that is set or not; tasks wait until it is.
///
/// `set` lets everybody go who waits at that moment, even if it is cleared before they run. It is neither `Send` nor
/// `Sync`. asyncio: `asyncio.Event`.
///
/// ```
/// use corio::{Event, run, scope};
///
/// run(|| {
///     let ready = Event::new();
///     scope(|s| {
///         let waiter = s.spawn(|| ready.wait());
///         corio::yield_now()?; // now it waits
///         ready.set();
///         ready.clear(); // for those who come later
///         waiter.join()
///     })?;
///     assert!(!ready.is_set());
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct Event {
    set: Cell<bool>,
    waiters: WaitList,
    id: Id,
}

impl Event {
    /// An event that is not set.
    #[allow(clippy::new_without_default, reason = "implemented below")]
    pub const fn new() -> Event {
        Event { set: Cell::new(false), waiters: WaitList::new(), id: Id::new() }
    }

    /// Waits until it is set. asyncio: `wait`.
    ///
    /// # Errors
    ///
    /// Only cancellation, [in a task](crate#where-a-call-may-wait).
    ///
    /// # Suspends
    ///
    /// If it is not set.
    #[inline(always)]
    #[track_caller]
    pub fn wait(&self) -> io::Result<()> {
        wait_for(self, caller())
    }

    /// Sets it, and lets all go who wait, in the order in which they came. Never suspends. asyncio: `set`.
    pub fn set(&self) {
        self.set.set(true);
        with_loop(&self.waiters, |lp, by| self.waiters.notify_all(lp, by));
    }

    /// Clears it: who comes from now on waits. asyncio: `clear`.
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Whether it is set. asyncio: `is_set`.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }
}

impl Wait for &Event {
    type Output = ();
}

impl Arm for &Event {
    type Brings = ();
    type Hook = ();

    #[inline(always)]
    fn poll(&mut self, _: Who, _: &Spot<()>) -> Option<()> {
        self.set.get().then_some(())
    }

    fn list(&self) -> Option<&WaitList> {
        Some(&self.waiters)
    }

    fn take(&mut self, _: Who, _: &Spot<()>) {}

    fn want(&self, cx: &Cx<'_>, _: &Spot<Self::Hook>) -> Want {
        Want::Thing { thing: Thing::Event, id: self.id.get(cx.lp), holder: 0 }
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event").field("set", &self.is_set()).field("waiting", &self.waiters.len()).finish()
    }
}
