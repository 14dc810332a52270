//! What a test may ask of the loop: to run ready tasks in another order, and to let somebody look between two steps.
//!
//! When nothing is asked this costs a branch per turn and none per resume. Calls that may suspend are watched through the
//! test that `no_suspend` needs anyway.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use crate::observe::event::Place;
use crate::random::Random;

/// Somebody who looks on.
pub(crate) trait Probe {
    /// Nobody runs: a step has ended, or the loop has polled.
    fn between_steps(&self);
    /// The running task makes a call that may suspend. It has not yet looked whether it is cancelled.
    fn at_checkpoint(&self, task: u64, at: Place);
}

#[derive(Default)]
pub(crate) struct Lab {
    on: Cell<bool>,
    seeded: OnceCell<Seeded>,
    probe: OnceCell<Rc<dyn Probe>>,
    /// How many of this turn's tasks have not had their step, while a probe looks after each.
    left: Cell<usize>,
}

/// What the seed decides.
struct Seeded {
    order: Random,
    rests: Random,
    /// One in so many calls that could go on rests all the same; 0: none.
    odds: u64,
}

impl Lab {
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.get()
    }

    /// From now on the seed decides who of the ready tasks runs first, and whose turn is cut short.
    pub(crate) fn seed(&self, seed: u64) {
        let order = Random::new(seed);
        let rests = Random::new(order.next_u64());
        let odds = *order.pick(&[0, 2, 5, 20]);
        let _ = self.seeded.set(Seeded { order, rests, odds });
        self.on.set(true);
    }

    /// Lets somebody look on.
    pub(crate) fn attach(&self, probe: Rc<dyn Probe>) {
        let _ = self.probe.set(probe);
        self.on.set(true);
    }

    pub(crate) fn look(&self) {
        if let Some(probe) = self.probe.get() {
            probe.between_steps();
        }
    }

    /// How many steps to take before the next look, of so many that are ready; and, when a turn begins, what decides
    /// their order.
    pub(crate) fn turn(&self, ready: usize) -> (usize, Option<&Random>) {
        let begins = self.left.get() == 0;
        let order = self.seeded.get().filter(|_| begins).map(|seeded| &seeded.order);
        if self.probe.get().is_none() {
            return (ready, order);
        }
        let left = if begins { ready } else { self.left.get() };
        self.left.set(left.saturating_sub(1));
        (left.min(1), order)
    }

    /// A call that may suspend; whether it is to rest first.
    pub(crate) fn at_checkpoint(&self, task: u64, at: Place) -> bool {
        if let Some(probe) = self.probe.get() {
            probe.at_checkpoint(task, at);
        }
        self.seeded.get().is_some_and(|seeded| seeded.rests.one_in(seeded.odds))
    }
}
