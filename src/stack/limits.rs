//! What the system lets a process have, and what to say to somebody who has met a limit.
//!
//! A refused stack is an error of [`reserve`](super::StackCache::reserve), whose text names the
//! limit and the way to raise it. Nothing here is called while stacks are to be had.

use std::fs;
use std::io;

use super::StackSize;
use crate::sys;

/// What Linux ships with, assumed where it cannot be read.
const USUAL_MAX_MAP_COUNT: usize = 65_530;

/// The kernel's mappings, counted where guards are made of them.
///
/// A process that runs out of mappings cannot start threads or enlarge its heap. So protected
/// guards stop at four fifths of the limit.
pub(super) struct Mappings {
    /// In use when the first guard was made.
    before: Option<usize>,
    /// Made since then, for guards.
    ours: usize,
}

impl Mappings {
    /// Each protected guard splits a mapping in three.
    const PER_GUARD: usize = 2;

    pub(super) const fn new() -> Self {
        Self { before: None, ours: 0 }
    }

    /// For how many more guards there is room. Reads the limit afresh: it may have been raised.
    pub(super) fn room(&mut self) -> usize {
        let before = *self.before.get_or_insert_with(|| mappings().unwrap_or(0));
        let most = max_map_count() / 5 * 4;
        most.saturating_sub(before.saturating_add(self.ours)) / Self::PER_GUARD
    }

    pub(super) fn count_guard(&mut self) {
        self.ours += Self::PER_GUARD;
    }

    /// The error for want of room.
    pub(super) fn refusal(&self) -> io::Error {
        let used = self.before.unwrap_or(0).saturating_add(self.ours);
        let most = max_map_count();
        out_of_memory(format!(
            "no mapping left for the guard of another stack: {used} are in use, and four fifths \
             of the {most} that vm.max_map_count allows are for stacks; raise that sysctl, or \
             let some tasks end first (guards need no mappings where Linux 6.13 or later can \
             make them light)"
        ))
    }
}

/// Adds to the kernel's bare refusal of a stack which limit is behind it.
pub(super) fn explain(error: &io::Error, size: StackSize) -> io::Error {
    let kib = size.bytes() / 1024;
    let most = max_map_count();
    let remedy = if mappings().is_some_and(|used| used >= most - most / 20) {
        format!("the process has about all the {most} mappings that vm.max_map_count allows; raise that sysctl")
    } else if let Some(limit) = sys::address_space_limit() {
        let limit = limit / 1024;
        format!("the address space is limited to {limit} KiB; raise RLIMIT_AS (ulimit -v)")
    } else if let Some(limit) = sys::data_limit() {
        let limit = limit / 1024;
        format!("the memory of the process is limited to {limit} KiB; raise RLIMIT_DATA (ulimit -d)")
    } else if number_in("/proc/sys/vm/overcommit_memory") == Some(2) {
        "the system does not overcommit; set vm.overcommit_memory to 0, or raise \
         vm.overcommit_ratio"
            .into()
    } else {
        "memory is exhausted".into()
    };
    out_of_memory(format!(
        "no room for another stack of {kib} KiB ({error}): {remedy}, ask for smaller stacks, or \
         let some tasks end first"
    ))
}

fn out_of_memory(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, text)
}

/// How many mappings a process may have; no limit where the system knows none.
fn max_map_count() -> usize {
    if cfg!(target_os = "linux") {
        number_in("/proc/sys/vm/max_map_count").unwrap_or(USUAL_MAX_MAP_COUNT)
    } else {
        usize::MAX
    }
}

/// How many mappings this process has.
fn mappings() -> Option<usize> {
    let maps = fs::read("/proc/self/maps").ok()?;
    Some(maps.iter().filter(|&&byte| byte == b'\n').count())
}

fn number_in(path: &str) -> Option<usize> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
