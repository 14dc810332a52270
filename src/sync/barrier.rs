//! A place where tasks wait for each other.

use std::cell::Cell;
use std::io;

use super::{Id, with_loop};
use crate::observe::event::{Thing, Want};
use crate::select::{Cx, Spot, Wait, sealed, wait_for};
use crate::task::caller;
use crate::task::wait::WaitList;

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
    /// Rounds that were completed, or reset.
    round: Cell<u64>,
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
        Barrier {
            parties,
            round: Cell::new(0),
            arrived: Cell::new(0),
            broken: Cell::new(false),
            waiters: WaitList::new(),
            id: Id::new(),
        }
    }

    /// Waits until as many have come as the barrier is for, and tells as which of these this task came, from 0.
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

    /// Begins a new round: who waits gets an error, and a barrier that was aborted works again.
    pub fn reset(&self) {
        self.broken.set(false);
        self.send_away();
    }

    /// Breaks the barrier: who waits, and who comes until it is reset, gets an error.
    pub fn abort(&self) {
        self.broken.set(true);
        self.send_away();
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

    fn send_away(&self) {
        self.begin_round();
        // Not granted anything: they look, and see that their round is over.
        with_loop(&self.waiters, |lp, by| self.waiters.wake_all(lp, by));
    }

    fn begin_round(&self) {
        self.round.set(self.round.get() + 1);
        self.arrived.set(0);
    }
}

/// A task that comes to a barrier.
struct Arrival<'a> {
    barrier: &'a Barrier,
}

/// In which round a task came that waits.
type Round = Cell<Option<u64>>;

impl sealed::Sealed for Arrival<'_> {}

impl Wait for Arrival<'_> {
    type Output = io::Result<usize>;
    type Hook = Round;

    fn poll(&mut self, _: u64, spot: &Spot<Round>) -> Option<io::Result<usize>> {
        let barrier = self.barrier;
        match spot.hook.get() {
            // It waits, and was not let go: has its round been called off?
            Some(round) => (barrier.round.get() != round).then(|| Err(broken())),
            None if barrier.broken.get() => Some(Err(broken())),
            None if barrier.arrived.get() + 1 == barrier.parties => {
                barrier.begin_round();
                // Counted only now: who gave up before has not come.
                with_loop(&barrier.waiters, |lp, by| {
                    for place in 0.. {
                        let Some(node) = barrier.waiters.first() else { break };
                        node.tag.set(place);
                        barrier.waiters.grant(lp, by);
                    }
                });
                Some(Ok(barrier.parties - 1))
            }
            None => None,
        }
    }

    fn list(&self) -> Option<&WaitList> {
        Some(&self.barrier.waiters)
    }

    fn enter(&self, _: &Cx<'_>, spot: &Spot<Round>) {
        let barrier = self.barrier;
        barrier.arrived.set(barrier.arrived.get() + 1);
        spot.hook.set(Some(barrier.round.get()));
    }

    fn leave(&self, _: &Cx<'_>, spot: &Spot<Round>) {
        let barrier = self.barrier;
        // It goes before the round is full: it has not come.
        if spot.hook.get() == Some(barrier.round.get()) {
            barrier.arrived.set(barrier.arrived.get() - 1);
        }
    }

    fn take(&mut self, _: u64, spot: &Spot<Round>) -> io::Result<usize> {
        Ok(spot.node.tag.get() as usize)
    }

    fn want(&self, cx: &Cx<'_>) -> Want {
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
