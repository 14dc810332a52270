//! A seeded generator of numbers that look random: the same seed gives the same numbers, on every machine.
//!
//! It is a counter that is stirred (splitmix64): one addition, two multiplications and three shifts per number, and any
//! seed is as good as any other, so tests can count through them. Not for secrets.

use std::cell::Cell;
use std::ops::{Bound, RangeBounds};

/// Random choices that can be repeated: the same seed gives the same choices.
///
/// Shared by reference, also between tasks: the schedule decides who draws first, and the seed decides the schedule.
///
/// ```
/// use corio::testing::Random;
///
/// let (one, two) = (Random::new(7), Random::new(7));
/// assert_eq!(one.next_u64(), two.next_u64());
/// assert!(one.below(6) < 6 && (1..=6).contains(&one.range(1..=6)));
///
/// let mut cards = [1, 2, 3, 4];
/// one.shuffle(&mut cards);
/// assert!(cards.contains(one.pick(&[1, 2, 3, 4])));
/// assert!(one.one_in(1) && !one.one_in(0)); // always, and never
/// ```
#[derive(Clone, Debug)]
pub struct Random {
    state: Cell<u64>,
}

impl Random {
    /// The choices that belong to a seed.
    pub const fn new(seed: u64) -> Random {
        Random { state: Cell::new(seed) }
    }

    /// Where it stands: `Random::new` of this goes on from here.
    pub(crate) fn state(&self) -> u64 {
        self.state.get()
    }

    /// Any number.
    pub fn next_u64(&self) -> u64 {
        let counter = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(counter);
        let stirred = (counter ^ (counter >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let stirred = (stirred ^ (stirred >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        stirred ^ (stirred >> 31)
    }

    /// A number from 0 up to, and without, `end`.
    ///
    /// # Panics
    ///
    /// If `end` is 0.
    pub fn below(&self, end: u64) -> u64 {
        assert!(end > 0, "there is no number below 0");
        // The upper half of the product: even enough for any `end` that a test counts to.
        ((u128::from(self.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// A number of a range.
    ///
    /// # Panics
    ///
    /// If the range is empty.
    pub fn range(&self, range: impl RangeBounds<u64>) -> u64 {
        let first = match range.start_bound() {
            Bound::Included(first) => *first,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let last = match range.end_bound() {
            Bound::Included(last) => Some(*last),
            Bound::Excluded(end) => end.checked_sub(1),
            Bound::Unbounded => Some(u64::MAX),
        };
        let last = last.filter(|last| *last >= first).expect("a range with a number in it");
        match (last - first).checked_add(1) {
            Some(count) => first + self.below(count),
            None => self.next_u64(),
        }
    }

    /// `true` once in `n` times, on average; never if `n` is 0.
    pub fn one_in(&self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// One of these.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn pick<'a, T>(&self, these: &'a [T]) -> &'a T {
        &these[self.below(these.len() as u64) as usize]
    }

    /// Puts these into any order.
    pub fn shuffle<T>(&self, these: &mut [T]) {
        self.exchanges(these.len(), |a, b| these.swap(a, b));
    }

    /// The exchanges of places that make any order of `n` things out of any other.
    pub(crate) fn exchanges(&self, n: usize, mut swap: impl FnMut(usize, usize)) {
        for last in (1..n).rev() {
            swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}
