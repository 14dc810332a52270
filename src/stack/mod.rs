//! Where coroutines keep their frames: reserved in slabs, guarded, reused while warm.
//!
//! A stack is a *slot*: a piece of address space whose lower end, the guard, cannot be touched.
//! Slots are cut out of large *slabs*, because a mapping for each would run into the kernel's
//! limit after some thirty thousand of them. Seen from low to high addresses:
//!
//! ```text
//!   slab ─┬───────┬──────────────────────┬───────┬──────────────────────┬───────┬──
//!         │ guard │        stack 0       │ guard │        stack 1       │ guard │ …
//!         │ 64 KiB│  deeper frames ◄─── ▲│       │                     ▲│       │
//!         └───────┴─────────────────────┼┴───────┴─────────────────────┼┴───────┴──
//!           slot 0                    base, a little below the top: its colour; the first bytes below it
//!                                     are the head, for whoever takes the stack
//! ```
//!
//! Three rooms own the free slots. New ones are opened by the process-wide *store*; each loop has
//! a *cache* from which a task's stack comes and to which it returns without a lock or a system
//! call; and what a cache has too much of goes back to the store, its memory to the kernel.
//!
//! ```text
//!                reserve (64 at a time)            reserve, then take
//!   slab ──────► store ─────────────────► cache ─────────────────────► Stack, in use
//!                  ▲  trim, in batches      │  ▲        give              │
//!                  └────────────────────────┘  └──────────────────────────┘
//! ```
//!
//! Whatever can fail fails in [`StackCache::reserve`]: once that has said yes, `take` and `give`
//! cannot. And a [`Stack`] that is dropped is lost for good rather than reused. Frames may still
//! be on it, and values elsewhere may point into them; only whoever saw the coroutine end may
//! say, by `give`, that there are none. Chapter: `docs/book/stacks.md`.
//!
//! | File | Tells |
//! |---|---|
//! | `size.rs` | which sizes there are, and the default |
//! | `slab.rs` | slots and slabs: geometry, colours, guards |
//! | `store.rs` | the process-wide store |
//! | `cache.rs` | the stacks of one loop: the fast path |
//! | `limits.rs` | the kernel's limits, and what to tell the user who meets one |
//! | `overflow.rs` | the message when a guard is hit |

mod cache;
mod limits;
mod overflow;
mod size;
mod slab;
mod store;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::panic::Location;
use std::ptr;

pub(crate) use self::cache::StackCache;
pub(crate) use self::overflow::prepare_thread;
pub(crate) use self::size::StackSize;
#[cfg(test)]
pub(crate) use self::slab::GuardKind;
use self::slab::{Slab, Slot};
#[cfg(test)]
pub(crate) use self::store::guard_kind;
pub(crate) use self::store::{give_shared, take_shared};
use crate::sys;

/// One stack, taken from a cache or from the store.
///
/// There is no `Drop`: a stack that is dropped is never used again. Whoever knows that its
/// coroutine has ended hands it to [`StackCache::give`] or [`give_shared`].
#[must_use = "a stack that is dropped is lost; give it back when its coroutine has ended"]
pub(crate) struct Stack(&'static Slot);

/// What lies above the first frame of each stack, for whoever takes it: two lines of the cache.
pub(crate) const HEAD: usize = 128;

impl Stack {
    /// The lower end of the head: [`HEAD`] writable bytes, aligned to 64, that no frame uses.
    #[inline]
    pub(crate) fn head(&self) -> *mut u8 {
        ptr::with_exposed_provenance_mut(self.0.base().get() - HEAD)
    }

    /// The size class that this stack belongs to.
    #[cfg(test)]
    pub(crate) fn size(&self) -> StackSize {
        self.0.size()
    }

    /// The lowest address that frames may use, and the base they grow down from.
    #[inline]
    pub(crate) fn bounds(&self) -> (usize, usize) {
        (self.0.low(), self.0.base().get() - HEAD)
    }
}

/// How deep the stack that an address lies in has been used, see [`high_water`]; `None` if it lies in none.
pub(crate) fn high_water_at(address: usize) -> Option<usize> {
    let slot = Slab::find(address)?;
    Some(high_water(slot.low(), slot.base().get()))
}

/// The lower end of the stack that an address lies in; 0 if that is a thread's own.
pub(crate) fn lowest(address: usize) -> usize {
    Slab::find(address).map_or(0, |slot| slot.low())
}

/// How many bytes lie between an address on a stack and the stack's lower end; `None` if it lies on none.
#[cfg(feature = "backtrace")]
pub(crate) fn room_below(address: usize) -> Option<usize> {
    Some(address.saturating_sub(Slab::find(address)?.low()))
}

/// How deep the stack between these bounds has been used, in whole pages, since its memory was last handed back to the
/// kernel: by the present coroutine, or by one before it.
pub(crate) fn high_water(low: usize, base: usize) -> usize {
    let top = base.next_multiple_of(sys::page_size());
    sys::lowest_resident(low, top).map_or(0, |page| base.saturating_sub(page))
}

// SAFETY: below each stack lie 64 KiB that fault when touched, installed before the slot was
// first handed out and never removed; what is between them and the base is at least `MIN` bytes,
// writable, and belongs to this value alone: a slot is in one list or in one `Stack`, never in
// two places. Both ends are multiples of 64.
unsafe impl corosensei::stack::Stack for Stack {
    #[inline]
    fn base(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.0.base().get() - HEAD).expect("no slot ends at address 0")
    }

    #[inline]
    fn limit(&self) -> NonZeroUsize {
        self.0.limit()
    }
}

/// Whether it is a task or a coroutine without a loop that runs on a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) enum OwnerKind {
    Task,
    Coroutine,
}

/// Who runs on a stack: what the report of an overflow says about it.
///
/// A slot points to its owner while it is taken. The signal handler reads it, and so may a
/// debugger, hence the fixed layout.
#[repr(C)]
pub(crate) struct Owner {
    /// The number, and in the highest bit the kind.
    id: u64,
    /// Null: it has none.
    name: Cell<*const Box<str>>,
    spawned_at: &'static Location<'static>,
}

/// The bit of an owner's number that tells a coroutine from a task.
const COROUTINE: u64 = 1 << 63;

impl Owner {
    /// The number 0 is not shown.
    #[inline]
    pub(crate) const fn new(kind: OwnerKind, id: u64, spawned_at: &'static Location<'static>) -> Self {
        let bit = match kind {
            OwnerKind::Task => 0,
            OwnerKind::Coroutine => COROUTINE,
        };
        Self { id: id | bit, name: Cell::new(ptr::null()), spawned_at }
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.id & !COROUTINE
    }

    fn kind(&self) -> OwnerKind {
        if self.id & COROUTINE == 0 { OwnerKind::Task } else { OwnerKind::Coroutine }
    }

    pub(crate) fn place(&self) -> &'static Location<'static> {
        self.spawned_at
    }

    /// Sets the name that is shown.
    ///
    /// # Safety
    ///
    /// The box stays where it is, unchanged, for as long as this owner is known to a stack or
    /// until another name is set.
    #[expect(clippy::borrowed_box, reason = "a box is one word away, so a signal never meets half a name")]
    pub(crate) unsafe fn set_name(&self, name: Option<&Box<str>>) {
        self.name.set(name.map_or(ptr::null(), ptr::from_ref));
    }
}
