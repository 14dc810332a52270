//! Loop time: nanoseconds since the loop was made.
//!
//! The real clock is the monotonic one. The virtual clock stands still while anything can run and jumps to the next
//! timer when nothing is ready and nothing outside the loop can happen, so an hour of sleeping takes no time and every
//! run gives the same times. Chapter: `docs/book/time.md`.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::timer::Nanos;

/// A duration in loop time; what does not fit is "never".
#[inline]
pub(crate) fn nanos(duration: Duration) -> Nanos {
    let whole = duration.as_secs().checked_mul(1_000_000_000);
    whole.and_then(|whole| whole.checked_add(duration.subsec_nanos().into())).unwrap_or(Nanos::MAX)
}

pub(crate) struct Clock {
    start: Instant,
    /// The reading of a virtual clock; `None`: the clock is real.
    virtual_now: Option<Cell<Nanos>>,
}

impl Clock {
    pub(crate) fn real() -> Clock {
        Clock { start: Instant::now(), virtual_now: None }
    }

    pub(crate) fn simulated() -> Clock {
        Clock { start: Instant::now(), virtual_now: Some(Cell::new(0)) }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.virtual_now.is_some()
    }

    #[inline]
    pub(crate) fn now(&self) -> Nanos {
        match &self.virtual_now {
            None => nanos(self.start.elapsed()),
            Some(now) => now.get(),
        }
    }

    /// Moves a virtual clock forward; a real one moves by itself.
    pub(crate) fn advance_to(&self, time: Nanos) {
        if let Some(now) = &self.virtual_now {
            now.set(now.get().max(time));
        }
    }

    pub(crate) fn instant(&self, time: Nanos) -> Instant {
        self.start + Duration::from_nanos(time)
    }

    /// Loop time of an instant; one before the loop's start counts as its start.
    pub(crate) fn nanos_at(&self, instant: Instant) -> Nanos {
        nanos(instant.saturating_duration_since(self.start))
    }
}
