//! Functions that are ready for the loop to call, and the numbers that name them.
//!
//! The ready queue holds numbers only, so a callback that is cancelled is gone at once, wherever its number still
//! stands. A callback that waits for its time is with its timer, and comes here when it is due.

use std::cell::{Cell, RefCell};

use slab::Slab;

use crate::observe::event::Place;
use crate::timer::TimerKey;

/// Names one callback; stale once it was called or cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CallbackKey {
    index: u32,
    generation: u32,
}

/// The callbacks of a loop that have not been called.
#[derive(Default)]
pub(crate) struct Callbacks {
    waiting: RefCell<Slab<Callback>>,
    last_generation: Cell<u32>,
}

pub(crate) struct Callback {
    pub(crate) function: Box<dyn FnOnce()>,
    /// Where it was scheduled.
    pub(crate) at: Place,
    /// The timer that was due.
    timer: Option<TimerKey>,
    generation: u32,
}

impl Callbacks {
    #[inline]
    pub(crate) fn add(&self, function: Box<dyn FnOnce()>, at: Place, timer: Option<TimerKey>) -> CallbackKey {
        let generation = self.last_generation.get().wrapping_add(1);
        self.last_generation.set(generation);
        let index = self.waiting.borrow_mut().insert(Callback { function, at, timer, generation });
        CallbackKey { index: index as u32, generation }
    }

    /// Takes it out, to call it or to drop it.
    #[inline]
    pub(crate) fn take(&self, key: CallbackKey) -> Option<Callback> {
        let mut waiting = self.waiting.borrow_mut();
        let index = key.index as usize;
        waiting.get(index).is_some_and(|callback| callback.generation == key.generation).then(|| waiting.remove(index))
    }

    pub(crate) fn holds(&self, key: CallbackKey) -> bool {
        let waiting = self.waiting.borrow();
        waiting.get(key.index as usize).is_some_and(|callback| callback.generation == key.generation)
    }

    /// The callback of a timer that was due, and was not called yet. Few are ready at any time.
    pub(crate) fn of_timer(&self, timer: TimerKey) -> Option<CallbackKey> {
        let waiting = self.waiting.borrow();
        let found = waiting.iter().find(|(_, callback)| callback.timer == Some(timer));
        found.map(|(index, callback)| CallbackKey { index: index as u32, generation: callback.generation })
    }

    /// Where those that were not called yet were scheduled.
    pub(crate) fn places(&self) -> Vec<Place> {
        self.waiting.borrow().iter().map(|(_, callback)| callback.at).collect()
    }

    /// Takes out all that were never called.
    pub(crate) fn take_all(&self) -> Vec<Callback> {
        self.waiting.take().into_iter().map(|(_, callback)| callback).collect()
    }
}
