//! Slots and slabs: where a stack lies, and what keeps it apart from its neighbour.
//!
//! Three details of the geometry are bought with measurements.
//!
//! **Guards of 64 KiB.** Rust probes every page of a large frame, so one page would do for it; C
//! code built without probes may step over one page. Where the kernel can, a guard is a row of
//! marks in the page tables and leaves the slab one mapping, so that a million of them fit under
//! the stock limit of 65,530. Otherwise it is a protected mapping, two per stack.
//!
//! **Slots that are no multiple of 2 MiB.** The kernel keeps a 4 KiB page table for each 2 MiB in
//! use. With slots of exactly 8 MiB the upper pages of all stacks would have their entries at the
//! same place of as many tables, and compete for the same few sets of every cache. The guard comes
//! on top of the stack's size, so that each boundary lies 64 KiB further on in its table than the
//! one before. And a guard and the first frames of its neighbour share a table, but for one of 32.
//!
//! **Colours.** Stacks whose bases agree in their low twelve bits compete for the same few sets
//! of the first-level cache, and switching among some dozens of them takes three times as long.
//! So each base is moved down by a multiple of 64 bytes that depends on its index.

use std::cell::Cell;
use std::io;
use std::iter;
use std::num::NonZeroUsize;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use corosensei::stack::valgrind::ValgrindStackRegistration;

use super::{Owner, StackSize};
use crate::sys;

/// Bytes below each stack that fault when touched.
pub(super) const GUARD: usize = 64 * 1024;

/// Slots in the first slab of a class.
pub(super) const FIRST_SLOTS: usize = 64;

/// A line of the first-level cache, and how many different bases there are.
const COLOUR: usize = 64;
const COLOURS: usize = 32;
const COLOUR_SPAN: usize = COLOUR * COLOURS;

/// Address space that must be left when a slab has been reserved. A program that could not
/// allocate any more would abort; a refused stack is an error.
const HEADROOM: usize = 32 * 1024 * 1024;

/// How guards are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuardKind {
    /// By marks in the page tables (`MADV_GUARD_INSTALL`, Linux 6.13): no mapping of their own.
    Light,
    /// By `mprotect`: two of the kernel's mappings for each stack.
    Protected,
}

/// One stack's place, free or taken. Slots are never freed.
pub(super) struct Slot {
    /// The lowest usable address, just above the guard.
    low: usize,
    /// Where frames begin: the top of the slot less its colour.
    base: NonZeroUsize,
    /// Who runs here; null while the slot is free.
    owner: AtomicPtr<Owner>,
    /// The next free slot of the list that this one is in.
    next: AtomicPtr<Slot>,
}

impl Slot {
    // ANCHOR: slot
    fn new(start: usize, stride: usize, index: usize) -> Option<Self> {
        let top = start.checked_add(stride)?;
        Some(Self {
            low: start.checked_add(GUARD)?,
            base: NonZeroUsize::new(top.checked_sub(index % COLOURS * COLOUR)?)?,
            owner: AtomicPtr::new(ptr::null_mut()),
            next: AtomicPtr::new(ptr::null_mut()),
        })
    }
    // ANCHOR_END: slot

    #[inline]
    pub(super) fn low(&self) -> usize {
        self.low
    }

    #[inline]
    pub(super) fn base(&self) -> NonZeroUsize {
        self.base
    }

    /// The lower end of the guard.
    #[inline]
    pub(super) fn limit(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.low - GUARD).expect("no mapping begins at address 0")
    }

    /// The upper end of the slot: the base without its colour.
    #[inline]
    pub(super) fn top(&self) -> usize {
        self.base.get().next_multiple_of(COLOUR_SPAN)
    }

    #[inline]
    pub(super) fn size(&self) -> StackSize {
        StackSize::from_slot(self.top() - self.low)
    }

    /// Who runs here, or null.
    pub(super) fn owner(&self) -> *const Owner {
        self.owner.load(Ordering::Relaxed)
    }

    /// Relaxed, because the one who must see it is a signal handler on this very thread.
    #[inline]
    pub(super) fn set_owner(&self, owner: *const Owner) {
        self.owner.store(owner.cast_mut(), Ordering::Relaxed);
    }

    #[inline]
    fn next(&self) -> Option<&'static Slot> {
        // SAFETY: `set_next` is the only writer, and stores null or a slot, which lives for ever.
        unsafe { self.next.load(Ordering::Relaxed).as_ref() }
    }

    #[inline]
    fn set_next(&self, next: Option<&'static Slot>) {
        let next = next.map_or(ptr::null(), ptr::from_ref);
        self.next.store(next.cast_mut(), Ordering::Relaxed);
    }

    /// Gives an opened slot a light guard.
    ///
    /// # Safety
    ///
    /// The slot was never handed out.
    pub(super) unsafe fn guard_lightly(&self) -> io::Result<()> {
        // SAFETY: a part of a slab's reservation, which holds no value yet.
        unsafe { sys::guard(self.limit().get(), GUARD) }
    }

    /// Gives a slot a protected guard, and opens the rest if it was not open.
    ///
    /// # Safety
    ///
    /// The slot was never handed out.
    pub(super) unsafe fn guard_by_protection(&self) -> io::Result<()> {
        // SAFETY: parts of a slab's reservation, which hold no value yet.
        unsafe {
            sys::close(self.limit().get(), GUARD)?;
            sys::open(self.low, self.top() - self.low)
        }
    }

    /// Tells valgrind, if it watches, that a jump of the stack pointer into this slot is a switch.
    pub(super) fn announce(&self) {
        let low = ptr::without_provenance_mut(self.low);
        let registration = ValgrindStackRegistration::new(low, self.top() - self.low);
        std::mem::forget(registration); // dropping it would say that the stack is gone
    }

    /// Hands the memory of this stack back to the kernel. The guard stays.
    ///
    /// # Safety
    ///
    /// No coroutine is on the stack.
    pub(super) unsafe fn discard(&self) {
        // AddressSanitizer keeps notes about this memory that would then be wrong.
        if !cfg!(feature = "sanitizer") {
            // SAFETY: the range is a part of a slab; it is empty by the caller's promise.
            unsafe { sys::discard(self.low, self.top() - self.low) };
        }
    }
}

/// Free slots, last in, first out. Linked through the slots, so that no operation needs memory.
///
/// Every operation is a few moves of a `Cell`: there is no borrow that could be held too long.
/// A list belongs to one thread at a time, and a lock passes it on.
pub(super) struct List {
    head: Cell<Option<&'static Slot>>,
}

impl List {
    pub(super) const fn new() -> Self {
        Self { head: Cell::new(None) }
    }

    #[inline]
    pub(super) fn push(&self, slot: &'static Slot) {
        slot.set_next(self.head.get());
        self.head.set(Some(slot));
    }

    #[inline]
    pub(super) fn pop(&self) -> Option<&'static Slot> {
        let slot = self.head.get()?;
        self.head.set(slot.next());
        Some(slot)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head.get().is_none()
    }

    /// Moves `count` slots into a list of their own, sparing the `keep` newest.
    pub(super) fn split_oldest(&self, keep: usize, count: usize) -> List {
        let split = List::new();
        let Some(last_kept) = self.iter().nth(keep.saturating_sub(1)) else {
            return split;
        };
        for _ in 0..count {
            let Some(slot) = last_kept.next() else { break };
            last_kept.set_next(slot.next());
            split.push(slot);
        }
        split
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'static Slot> {
        iter::successors(self.head.get(), |slot| slot.next())
    }
}

/// A row of slots of one size, in one piece of address space. Slabs are never unmapped.
pub(super) struct Slab {
    start: usize,
    stride: usize,
    slots: Box<[Slot]>,
    /// The slab that was reserved before this one, of whatever class.
    older: *const Slab,
}

// SAFETY: nothing changes after `reserve` but the slots, which are made of atomics; `older`
// points to another slab, which lives for ever.
unsafe impl Send for Slab {}
// SAFETY: as above.
unsafe impl Sync for Slab {}

/// The slab that was reserved last; the others hang on it. Only ever grows, so that a signal
/// handler may walk it at any moment.
static NEWEST: AtomicPtr<Slab> = AtomicPtr::new(ptr::null_mut());

impl Slab {
    /// Reserves address space for `count` stacks of that size. None of it can be touched yet.
    ///
    /// Only the store reserves, under its lock: of two at once, one would miss in the chain.
    pub(super) fn reserve(size: StackSize, count: usize) -> io::Result<&'static Slab> {
        let too_large = || io::Error::from(io::ErrorKind::OutOfMemory);

        let stride = size.bytes().checked_add(GUARD).ok_or_else(too_large)?;
        let len = stride.checked_mul(count).ok_or_else(too_large)?;
        let mut slots = Vec::new();
        slots.try_reserve_exact(count).map_err(|_| too_large())?;

        // More than is kept, to leave the program some.
        let start = sys::reserve(len.checked_add(HEADROOM).ok_or_else(too_large)?)?;
        // SAFETY: the end of a reservation that nobody else has seen.
        unsafe { sys::unmap(start + len, HEADROOM) };
        sys::no_huge_pages(start, len);

        slots.extend((0..count).map_while(|index| Slot::new(start + index * stride, stride, index)));
        let slab: &'static Slab = Box::leak(Box::new(Slab {
            start,
            stride,
            slots: slots.into_boxed_slice(),
            older: NEWEST.load(Ordering::Relaxed),
        }));
        // Release: who finds the slab finds its fields.
        NEWEST.store(ptr::from_ref(slab).cast_mut(), Ordering::Release);
        Ok(slab)
    }

    pub(super) fn slots(&'static self) -> &'static [Slot] {
        &self.slots
    }

    /// The slot that an address lies in. Fit for signal handlers: no lock, no memory.
    pub(super) fn find(addr: usize) -> Option<&'static Slot> {
        let mut slab = NEWEST.load(Ordering::Acquire).cast_const();
        // SAFETY: null, or a slab that was leaked before it was published.
        while let Some(candidate) = unsafe { slab.as_ref() } {
            // Below the start this wraps to an index that no slab has.
            let index = addr.wrapping_sub(candidate.start) / candidate.stride;
            if let Some(slot) = candidate.slots.get(index) {
                return Some(slot);
            }
            slab = candidate.older;
        }
        None
    }

    /// Makes slots `from..to` usable, guards included, as light guards need it.
    ///
    /// # Safety
    ///
    /// None of them was handed out: a protected guard would be gone.
    pub(super) unsafe fn open(&self, from: usize, to: usize) -> io::Result<()> {
        let len = (to - from) * self.stride;
        // SAFETY: a part of this slab's reservation, all of it unused.
        unsafe { sys::open(self.start + from * self.stride, len) }
    }
}
