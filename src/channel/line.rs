//! Those who wait at a channel, in the order in which they came.
//!
//! A line lies behind its channel's lock and refers to its places by number. Memory for places is used again, so a wait
//! allocates nothing once as many have waited before.

use slab::Slab;

use crate::remote::Waker;

const NONE: usize = usize::MAX;

/// A line of waiters, each with something of its own: what it gives, or room for what it is to get.
///
/// Who has been served is out of the line, but keeps the place until it [leaves](Self::leave): there it finds what it got.
pub(crate) struct Line<X> {
    places: Slab<Place<X>>,
    first: usize,
    last: usize,
}

struct Place<X> {
    /// `None`: it is not in the line any more.
    waker: Option<Waker>,
    own: X,
    before: usize,
    behind: usize,
}

impl<X> Line<X> {
    pub(crate) const fn new() -> Line<X> {
        Line { places: Slab::new(), first: NONE, last: NONE }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// A place for somebody who is served as he comes.
    pub(crate) fn join_served(&mut self, own: X) -> usize {
        self.places.insert(Place { waker: None, own, before: NONE, behind: NONE })
    }

    /// Gets in line, at the end.
    pub(crate) fn join(&mut self, waker: Waker, own: X) -> usize {
        let place = self.places.insert(Place { waker: Some(waker), own, before: self.last, behind: NONE });
        match self.last {
            NONE => self.first = place,
            last => self.places[last].behind = place,
        }
        self.last = place;
        place
    }

    /// Takes the first out of the line, to serve it. Its waker is to be woken when the lock is released.
    pub(crate) fn serve(&mut self) -> Option<(&mut X, Waker)> {
        let first = self.first;
        let waker = self.take_out(first)?;
        Some((&mut self.places[first].own, waker))
    }

    /// Takes all out of the line.
    pub(crate) fn dismiss(&mut self) -> Vec<Waker> {
        std::iter::from_fn(|| self.serve().map(|(_, waker)| waker)).collect()
    }

    /// What stands at that place.
    pub(crate) fn own(&self, place: usize) -> &X {
        &self.places[place].own
    }

    pub(crate) fn is_in_line(&self, place: usize) -> bool {
        self.places[place].waker.is_some()
    }

    /// Gives up the place, with what is in it, and tells whether it was still in the line.
    pub(crate) fn leave(&mut self, place: usize) -> (X, bool) {
        let waited = self.take_out(place).is_some();
        (self.places.remove(place).own, waited)
    }

    fn take_out(&mut self, place: usize) -> Option<Waker> {
        let Place { waker, before, behind, .. } = self.places.get_mut(place)?;
        let waker = waker.take()?;
        let (before, behind) = (*before, *behind);
        match before {
            NONE => self.first = behind,
            before => self.places[before].behind = behind,
        }
        match behind {
            NONE => self.last = before,
            behind => self.places[behind].before = before,
        }
        Some(waker)
    }
}

/// Wakes those who were served. The lock is released by now: whoever wakes may look at once.
pub(crate) fn wake(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}
