//! A place where tasks wait for each other.

use std::cell::Cell;
use std::io;

use super::{Id, with_loop};
use crate::observe::event::{Thing, Want};
use crate::select::{Arm, Cx, Spot, wait_for};
use crate::task::wait::WaitList;
use crate::task::{Who, caller};

/// Lets tasks wait for each other: when as many have come as it is for, all go on, and the next round begins.
///
/// It is neither `Send` nor `Sync`. asyncio: `asyncio.Barrier`; std: [`std::sync::Barrier`].
///
/// ```
/// use corio::{Barrier, gather, run};
///
/// run(|| {
///     let start = Barrier::new(3);
///     let mut places = gather(0..3, |_| start.wait())?;
///     places.sort();
///     assert_eq!(places, [0, 1, 2]);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct Barrier {
    parties: usize,
    /// How many have come in this round.
    arrived: Cell<usize>,
    broken: Cell<bool>,
    waiters: WaitList,
    id: Id,
}

impl Barrier {
    /// A barrier for so many tasks; with one nobody ever waits.
    ///
    /// # Panics
    ///
    /// With none.
    pub const fn new(parties: usize) -> Barrier {
        assert!(parties > 0, "a barrier is for one task at least");
        Barrier { parties, arrived: Cell::new(0), broken: Cell::new(false), waiters: WaitList::new(), id: Id::new() }
    }

    /// Waits until as many have come as the barrier is for, and tells as which of these this task came, from 0.
    /// asyncio: `wait`.
    ///
    /// # Errors
    ///
    /// Cancellation: the task has not come, then, and the others wait on. An error for which
    /// [`is_broken_barrier`] is true if the barrier is [aborted](Self::abort), or [reset](Self::reset) meanwhile.
    ///
    /// # Suspends
    ///
    /// Unless the task is the last to come.
    #[track_caller]
    pub fn wait(&self) -> io::Result<usize> {
        wait_for(Arrival { barrier: self }, caller())?
    }

    /// Begins a new round: who waits gets an error, and a barrier that was aborted works again. asyncio: `reset`.
    pub fn reset(&self) {
        self.broken.set(false);
        self.end_round(|_| BROKEN);
    }

    /// Breaks the barrier: who waits, and who comes until it is reset, gets an error. asyncio: `abort`.
    ///
    /// ```
    /// use corio::{Barrier, is_broken_barrier, run, scope, yield_now};
    ///
    /// run(|| {
    ///     let start = Barrier::new(2);
    ///     assert_eq!(start.parties(), 2);
    ///     scope(|s| {
    ///         let early = s.spawn(|| Ok(start.wait().unwrap_err()));
    ///         yield_now()?;
    ///         assert_eq!(start.waiting(), 1);
    ///         start.abort(); // the other cannot come
    ///         assert!(is_broken_barrier(&early.join()?) && start.is_broken());
    ///         start.reset();
    ///         assert_eq!((start.is_broken(), start.waiting()), (false, 0));
    ///         Ok(())
    ///     })
    /// })
    /// # .unwrap()
    /// ```
    pub fn abort(&self) {
        self.broken.set(true);
        self.end_round(|_| BROKEN);
    }

    /// How many must come. asyncio: `parties`.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many have come in this round, and wait. asyncio: `n_waiting`.
    pub fn waiting(&self) -> usize {
        self.arrived.get()
    }

    /// Whether it was aborted. asyncio: `broken`.
    pub fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Lets all go who wait, with what they are told. Who comes from now on belongs to the next round.
    fn end_round(&self, word: impl Fn(u32) -> u32) {
        self.arrived.set(0);
        with_loop(&self.waiters, |lp, by| {
            for place in 0.. {
                let Some(node) = self.waiters.first() else { break };
                node.tag.set(word(place));
                self.waiters.grant(lp, by);
            }
        });
    }
}

/// A task that comes to a barrier.
struct Arrival<'a> {
    barrier: &'a Barrier,
}

/// What the tag of a task's node says: that it waits; that its round was called off; or as which of its round it came,
/// counting those only who have not given up.
const WAITING: u32 = u32::MAX;
const BROKEN: u32 = u32::MAX - 1;

impl Arm for Arrival<'_> {
    type Brings = io::Result<usize>;
    type Hook = ();

    fn poll(&mut self, _: Who, spot: &Spot<()>) -> Option<io::Result<usize>> {
        let barrier = self.barrier;
        if spot.node.tag.get() == WAITING {
            return None; // it has come already
        }
        if barrier.broken.get() {
            return Some(Err(broken()));
        }
        (barrier.arrived.get() + 1 == barrier.parties).then(|| {
            barrier.end_round(|place| place);
            Ok(barrier.parties - 1)
        })
    }

    fn list(&self) -> Option<&WaitList> {
        Some(&self.barrier.waiters)
    }

    fn enter(&mut self, _: &Cx<'_>, spot: &Spot<()>) {
        self.barrier.arrived.set(self.barrier.arrived.get() + 1);
        spot.node.tag.set(WAITING);
    }

    fn leave(&mut self, _: &Cx<'_>, spot: &Spot<()>) {
        // It goes before the round is full: it has not come.
        if spot.node.tag.get() == WAITING {
            self.barrier.arrived.set(self.barrier.arrived.get() - 1);
        }
    }

    fn take(&mut self, _: Who, spot: &Spot<()>) -> io::Result<usize> {
        match spot.node.tag.get() {
            BROKEN => Err(broken()),
            place => Ok(place as usize),
        }
    }

    fn want(&self, cx: &Cx<'_>, _: &Spot<Self::Hook>) -> Want {
        Want::Thing { thing: Thing::Barrier, id: self.barrier.id.get(cx.lp), holder: 0 }
    }
}

#[derive(Debug)]
struct BrokenBarrier;

impl std::fmt::Display for BrokenBarrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the barrier was aborted, or reset while the task waited")
    }
}

impl std::error::Error for BrokenBarrier {}

fn broken() -> io::Error {
    io::Error::other(BrokenBarrier)
}

/// Whether an error, or what it was made from, says that a [`Barrier`] was aborted or reset. asyncio:
/// `BrokenBarrierError`.
///
/// ```
/// use corio::{Barrier, is_broken_barrier, run};
///
/// run(|| {
///     let barrier = Barrier::new(2);
///     barrier.abort();
///     let error = std::io::Error::other(barrier.wait().unwrap_err());
///     assert!(is_broken_barrier(&error)); // whatever it is wrapped in
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub fn is_broken_barrier(error: &(dyn std::error::Error + 'static)) -> bool {
    crate::error::contains::<BrokenBarrier>(error)
}

impl std::fmt::Debug for Barrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties)
            .field("waiting", &self.waiting())
            .field("broken", &self.broken.get())
            .finish()
    }
}
