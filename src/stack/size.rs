//! Which sizes a stack may have, and which it has if nobody asks.

use std::env;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::slab::{FIRST_SLOTS, GUARD};
use crate::sys;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The smallest stack: a panic that prints a backtrace needs 23 KiB of it.
const MIN: usize = 32 * KIB;

/// The largest: more than this is a mistake in somebody's arithmetic.
const MAX: usize = 1024 * 1024 * MIB;

/// The defaults, in the order in which they are tried. 8 MiB is what the main thread has, and
/// several times what the deepest parser measured uses in a debug build. It is address space: only
/// pages that were touched cost memory.
const DEFAULTS: [usize; 3] = [8 * MIB, 2 * MIB, 256 * KIB];

/// The usable size of a stack: whole pages, neither too small for a panic nor absurd.
///
/// Stacks of equal size are interchangeable, so a size is also the name of a class of them.
/// The base of a stack may lie up to 2 KiB below its top, see [`slab`](super::slab).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StackSize(
    /// In KiB: half a word is enough.
    u32,
);

impl StackSize {
    /// No stack at all: for a task that is polled.
    pub(crate) const NONE: StackSize = StackSize(0);

    pub(crate) fn is_some(self) -> bool {
        self != StackSize::NONE
    }

    /// Rounds up to whole pages.
    ///
    /// # Errors
    ///
    /// `InvalidInput` below 32 KiB and above 1 TiB.
    pub(crate) fn new(bytes: usize) -> io::Result<Self> {
        if bytes < MIN {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "a stack of {bytes} bytes is too small: the minimum is {MIN} bytes, \
                     because a panic that prints a backtrace needs 23 KiB"
                ),
            ));
        }
        match bytes.checked_next_multiple_of(sys::page_size()) {
            Some(rounded) if rounded <= MAX => Ok(Self::from_slot(rounded)),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a stack of {bytes} bytes is too large: the maximum is {MAX} bytes"),
            )),
        }
    }

    /// What `RUST_MIN_STACK` says, and otherwise 8 MiB.
    ///
    /// Where the system would not let us have many of those, smaller ones, down to 256 KiB; a
    /// warning is logged then. Decided at the first call.
    #[inline]
    pub(crate) fn default_size() -> Self {
        static DEFAULT: OnceLock<(StackSize, Option<String>)> = OnceLock::new();
        static SAID: AtomicBool = AtomicBool::new(false);

        let (size, remark) = DEFAULT.get_or_init(|| {
            let wish = env::var_os("RUST_MIN_STACK");
            choose_default(wish.as_ref().map(|wish| wish.to_str()), sys::would_grant)
        });
        // Said out here, not inside the cell: a logger may itself want a stack.
        if let Some(remark) = remark
            && !SAID.swap(true, Ordering::Relaxed)
        {
            log::warn!("{remark}");
        }
        *size
    }

    /// The size in bytes.
    #[inline]
    pub(crate) const fn bytes(self) -> usize {
        self.0 as usize * KIB
    }

    /// The class of a slot whose usable part is that large.
    #[inline]
    pub(super) const fn from_slot(bytes: usize) -> Self {
        Self((bytes / KIB) as u32)
    }
}

/// The default size and what there is to say about it. `wish` is the value of `RUST_MIN_STACK`,
/// `Some(None)` if it is not text; `granted` tells whether that much address space can be had.
fn choose_default(wish: Option<Option<&str>>, granted: impl Fn(usize) -> bool) -> (StackSize, Option<String>) {
    let mut remark = None;
    if let Some(wish) = wish {
        // Too small is not an error here: the variable is meant for threads, and a minimum.
        let size = wish
            .and_then(|wish| wish.trim().parse::<usize>().ok())
            .and_then(|bytes| StackSize::new(bytes.max(MIN)).ok());
        match size {
            Some(size) => return (size, None),
            None => remark = Some("RUST_MIN_STACK is no usable number of bytes; ignored".into()),
        }
    }
    // A size is good if four slabs of it would fit. One is reserved at once, and the rest of the
    // program wants address space too.
    let fits = |size: &usize| granted((size + GUARD).saturating_mul(4 * FIRST_SLOTS));
    let bytes = DEFAULTS.into_iter().find(fits).unwrap_or(DEFAULTS[DEFAULTS.len() - 1]);
    let size = StackSize::from_slot(bytes);
    if bytes != DEFAULTS[0] {
        remark = Some(format!(
            "stacks are {} KiB by default, not {}, because address space is short (RLIMIT_AS, \
             see ulimit -v, or vm.overcommit_memory=2)",
            size.0,
            DEFAULTS[0] / KIB,
        ));
    }
    (size, remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_pages() {
        assert_eq!(StackSize::new(MIN).unwrap().bytes(), MIN);
        let page = sys::page_size();
        assert_eq!(StackSize::new(MIN + 1).unwrap().bytes(), MIN + page);
        assert_eq!(StackSize::new(MAX).unwrap().bytes(), MAX);
    }

    #[test]
    fn absurd_sizes_are_refused_with_a_reason() {
        for bytes in [0, 1, 4096, MIN - 1] {
            let error = StackSize::new(bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains("minimum is 32768"), "{error}");
            assert!(error.to_string().contains("backtrace"), "{error}");
        }
        for bytes in [MAX + 1, usize::MAX / 2, usize::MAX - 1, usize::MAX] {
            let error = StackSize::new(bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains("maximum"), "{error}");
        }
    }

    #[test]
    fn the_default_is_eight_mebibytes() {
        let (size, remark) = choose_default(None, |_| true);
        assert_eq!((size.bytes(), remark), (8 * MIB, None));
    }

    #[test]
    fn the_default_shrinks_where_space_is_short_and_says_so() {
        let (size, remark) = choose_default(None, |bytes| bytes < 1024 * MIB);
        assert_eq!(size.bytes(), 2 * MIB);
        assert!(remark.unwrap().contains("RLIMIT_AS"));
        let (size, remark) = choose_default(None, |_| false);
        assert_eq!(size.bytes(), 256 * KIB);
        assert!(remark.unwrap().contains("vm.overcommit_memory"));
    }

    #[test]
    fn rust_min_stack_is_honoured() {
        let of = |text| choose_default(Some(Some(text)), |_| true);
        assert_eq!(of("1048576").0.bytes(), MIB);
        assert_eq!(of("1").0.bytes(), MIN);
        for text in ["", "lots", "-1", "18446744073709551615"] {
            let (size, remark) = of(text);
            assert_eq!(size.bytes(), 8 * MIB);
            assert!(remark.unwrap().contains("RUST_MIN_STACK"));
        }
    }
}
