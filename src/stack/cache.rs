//! The stacks of one loop.
//!
//! A task takes the stack that was given back last: its pages are in memory, and the upper ones
//! likely in the processor's cache. The list of free stacks may get long after a burst of tasks;
//! what is beyond the *hot* set is handed back to the kernel in batches, oldest first, when the
//! loop has nothing better to do. Only a burst that ends all at once has to pay at once.

use std::cell::{Cell, OnceCell};
use std::io;
use std::ptr;

use super::slab::List;
use super::store;
use super::{Owner, Stack, StackSize};

/// Free stacks per size that stay warm. Each holds what its deepest task has touched: 4 or 8 KiB
/// as a rule, so the set costs some 8 MiB, and only after that many tasks lived at one time. One
/// on which a parser recursed holds more, for as long as it is among the hot.
const HOT: usize = 1024;

/// Free stacks per size at which `give` no longer waits for the loop to be idle.
const FLOOD: usize = 2 * HOT;

/// Stacks handed back per call: about a hundred microseconds.
const BATCH: usize = 64;

/// The stacks of one loop, by size. Lives on one thread; no operation leaves it half changed.
pub(crate) struct StackCache {
    /// A chain, because a program uses one or two sizes and the search ends at the first.
    classes: OnceCell<Box<Class>>,
}

/// The stacks of one size.
struct Class {
    size: StackSize,
    free: List,
    /// How many of the free ones nobody has reserved.
    spare: Cell<usize>,
    next: OnceCell<Box<Class>>,
}

impl StackCache {
    pub(crate) const fn new() -> Self {
        Self { classes: OnceCell::new() }
    }

    /// Acquires the right to one [`take`](Self::take) of that size.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` if address space, mappings or memory for guards are used up: the text names
    /// the limit and the remedy. Works again once stacks have been given back. `InvalidInput` or
    /// `Unsupported` if `CORIO_STACK_GUARD` asks for what does not exist.
    #[inline]
    pub(crate) fn reserve(&self, size: StackSize) -> io::Result<()> {
        if let Some(class) = self.class(size)
            && let Some(rest) = class.spare.get().checked_sub(1)
        {
            class.spare.set(rest);
            return Ok(());
        }
        self.refill(size)
    }

    /// Returns the right that [`reserve`](Self::reserve) gave.
    #[inline]
    pub(crate) fn unreserve(&self, size: StackSize) {
        let class = self.class(size).expect("a reservation of that size");
        class.spare.set(class.spare.get() + 1);
    }

    /// Takes a stack for `owner`, which may be null. Uses up one reservation, and cannot fail.
    ///
    /// The owner must stay where it is until the stack is given back; for ever, if it never is.
    #[inline]
    pub(crate) fn take(&self, size: StackSize, owner: *const Owner) -> Stack {
        let slot = self.class(size).and_then(|class| class.free.pop());
        let slot = slot.expect("a stack is reserved before it is taken");
        slot.set_owner(owner);
        Stack(slot)
    }

    /// Takes back a stack, from this cache or from elsewhere, and forgets its owner.
    ///
    /// # Safety
    ///
    /// The coroutine on it returned or fully unwound, or never started.
    #[inline]
    pub(crate) unsafe fn give(&self, stack: Stack) {
        let slot = stack.0;
        slot.set_owner(ptr::null());
        let class = match self.class(slot.size()) {
            Some(class) => class,
            None => self.class_or_new(slot.size()),
        };
        class.free.push(slot);
        class.spare.set(class.spare.get() + 1);
        if class.spare.get() > FLOOD {
            class.trim();
        }
    }

    /// Hands one batch of stacks beyond the hot set back, memory and all; says whether there is
    /// more to hand back. For when the loop is about to sleep.
    pub(crate) fn trim(&self) -> bool {
        let mut more = false;
        let mut next = self.classes.get();
        while let Some(class) = next {
            more |= class.trim();
            next = class.next.get();
        }
        more
    }

    #[inline]
    fn class(&self, size: StackSize) -> Option<&Class> {
        let mut class = self.classes.get()?;
        while class.size != size {
            class = class.next.get()?;
        }
        Some(class)
    }

    #[cold]
    #[inline(never)]
    fn refill(&self, size: StackSize) -> io::Result<()> {
        let class = self.class_or_new(size);
        let drawn = store::draw(size, &class.free)?;
        class.spare.set(class.spare.get() + drawn - 1);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn class_or_new(&self, size: StackSize) -> &Class {
        let mut link = &self.classes;
        loop {
            let class = link.get_or_init(|| Box::new(Class::new(size)));
            if class.size == size {
                return class;
            }
            link = &class.next;
        }
    }
}

impl Drop for StackCache {
    /// Hands all free stacks to the store, where other loops find them.
    fn drop(&mut self) {
        let mut next = self.classes.take();
        while let Some(mut class) = next {
            // SAFETY: only free stacks are in the list.
            unsafe { store::put(class.size, &class.free) };
            next = class.next.take();
        }
    }
}

impl Class {
    const fn new(size: StackSize) -> Self {
        Self { size, free: List::new(), spare: Cell::new(0), next: OnceCell::new() }
    }

    fn trim(&self) -> bool {
        let excess = self.spare.get().saturating_sub(HOT);
        if excess == 0 || cfg!(feature = "sanitizer") {
            return false;
        }
        self.trim_batch(excess.min(BATCH));
        excess > BATCH
    }

    #[cold]
    fn trim_batch(&self, count: usize) {
        self.spare.set(self.spare.get() - count);
        let oldest = self.free.split_oldest(HOT, count);
        // SAFETY: only free stacks are in the list.
        unsafe { store::put(self.size, &oldest) };
    }
}
