//! An observer that keeps the last records.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corio::observe::event::Record;
use corio::observe::{Names, Observer};

/// A handle of a ring of records: one of its clones observes, the others ask.
#[derive(Clone, Debug)]
pub struct Ring(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    records: VecDeque<Record>,
    capacity: usize,
    seen: u64,
}

impl Ring {
    /// With all the memory that it will ever need.
    pub fn new(capacity: usize) -> Ring {
        Ring(Arc::new(Mutex::new(Kept { records: VecDeque::with_capacity(capacity), capacity, seen: 0 })))
    }

    /// How many records there were, kept or not.
    pub fn seen(&self) -> u64 {
        self.kept().seen
    }

    /// Writes those that are kept, from the oldest to the youngest, a line each.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        self.kept().records.iter().try_for_each(|record| writeln!(out, "{record:?}"))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Ring {
    fn record(&mut self, record: &Record, _: &Names) {
        let mut kept = self.kept();
        if kept.records.len() >= kept.capacity {
            kept.records.pop_front();
        }
        kept.records.push_back(*record);
        kept.seen += 1;
    }

    fn is_background(&self) -> bool {
        true
    }
}
