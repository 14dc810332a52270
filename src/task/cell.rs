//! One allocation for a task, and the references to it.
//!
//! [`TaskRef`] is what `Rc` would be, but one word wide: the loop's queues hold millions of them, and reaching a field
//! through a wide pointer costs a detour by way of its table.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::{self, NonNull};

use super::core::{Body, TaskCore};
use crate::event_loop::EventLoop;

/// What every task has, whatever it runs.
pub(crate) struct TaskCell {
    references: Cell<usize>,
    /// Points into the same allocation.
    body: *const dyn Body,
    pub(crate) core: TaskCore,
}

#[repr(C)]
struct Allocation<B> {
    // First, so that a pointer to the allocation is one to the cell.
    cell: TaskCell,
    body: B,
}

/// A counted reference to a task. It stays on its thread.
pub(crate) struct TaskRef(NonNull<TaskCell>);

impl TaskRef {
    /// A new task; its body is made in its place, by a function that does nothing else. The body is never dropped with it: whoever ends the task empties it.
    ///
    /// # Safety
    ///
    /// This forgets what the body borrows. The caller makes sure that the task's function has returned, or was dropped
    /// unrun, and that the result was taken, dropped or leaked, while all of it is still alive.
    #[inline]
    pub(crate) unsafe fn new<'a, B: Body + 'a>(lp: &EventLoop, core: TaskCore, body: impl FnOnce() -> B) -> TaskRef {
        let allocation = allocate::<B>(&lp.blocks).cast::<Allocation<B>>();
        // SAFETY: the memory is fresh, and large and aligned enough. The body's address is known before it is there.
        unsafe {
            let this: *const (dyn Body + 'a) = &raw const (*allocation.as_ptr()).body;
            let this = std::mem::transmute::<*const (dyn Body + 'a), *const (dyn Body + 'static)>(this);
            let cell = TaskCell { references: Cell::new(1), body: this, core };
            allocation.write(Allocation { cell, body: body() });
        }
        TaskRef(allocation.cast())
    }

    /// A reference that is not counted.
    #[inline]
    pub(crate) fn uncounted(&self) -> ManuallyDrop<TaskRef> {
        ManuallyDrop::new(TaskRef(self.0))
    }

    /// Gives the reference up, still counted.
    #[inline]
    pub(super) fn into_raw(self) -> *const TaskCell {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// # Safety
    ///
    /// From `into_raw`, and taken back once.
    #[inline]
    pub(super) unsafe fn from_raw(cell: *const TaskCell) -> TaskRef {
        // SAFETY: by the caller, it points to a task.
        TaskRef(unsafe { NonNull::new_unchecked(cell.cast_mut()) })
    }

    #[inline]
    pub(crate) fn ptr_eq(&self, other: &TaskRef) -> bool {
        self.0 == other.0
    }
}

impl TaskCell {
    /// One more reference.
    #[inline]
    pub(super) fn reference(&self) -> TaskRef {
        ManuallyDrop::new(TaskRef(NonNull::from(self))).deref().clone()
    }

    #[inline]
    pub(crate) fn body(&self) -> &dyn Body {
        // SAFETY: it lies in the same allocation, which lives as long as the reference that led here.
        unsafe { &*self.body }
    }
}

impl Deref for TaskRef {
    type Target = TaskCell;

    #[inline(always)]
    fn deref(&self) -> &TaskCell {
        // SAFETY: the cell lives while it is referenced.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for TaskRef {
    #[inline(always)]
    fn clone(&self) -> TaskRef {
        self.references.set(self.references.get() + 1);
        TaskRef(self.0)
    }
}

impl Drop for TaskRef {
    #[inline(always)]
    fn drop(&mut self) {
        let left = self.references.get() - 1;
        self.references.set(left);
        if left == 0 {
            free(self.0);
        }
    }
}

#[inline(never)]
fn free(cell: NonNull<TaskCell>) {
    // SAFETY: this was the last reference. The body needs no drop, see `TaskRef::new`; it lies where `Allocation` has it,
    // so the layout is the one that the task was allocated with.
    unsafe {
        let body = Layout::for_value(cell.as_ref().body());
        ptr::drop_in_place(cell.as_ptr());
        release(cell.cast(), body);
    }
}

/// The memory of small tasks that have gone, for the next ones: a list that lies in that very memory.
pub(crate) struct Blocks {
    first: Cell<Option<NonNull<Block>>>,
    count: Cell<usize>,
}

struct Block {
    next: Option<NonNull<Block>>,
}

/// What most tasks fit into, also those of `gather`.
const BLOCK: Layout = match Layout::from_size_align(BLOCK_SIZE, align_of::<TaskCell>()) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};
const BLOCK_SIZE: usize = size_of::<TaskCell>() + 32;

/// How many blocks are kept.
const KEPT_BLOCKS: usize = 4_096;

impl Blocks {
    pub(crate) const fn new() -> Blocks {
        Blocks { first: Cell::new(None), count: Cell::new(0) }
    }

    #[inline]
    fn pop(&self) -> Option<NonNull<u8>> {
        let block = self.first.get()?;
        // SAFETY: what is in the list was written by `push`, and nobody uses it.
        self.first.set(unsafe { block.as_ref() }.next);
        self.count.set(self.count.get() - 1);
        Some(block.cast())
    }

    /// Keeps a block that nobody uses; `false` if there are enough.
    #[inline]
    fn push(&self, block: NonNull<u8>) -> bool {
        if self.count.get() >= KEPT_BLOCKS {
            return false;
        }
        let block = block.cast::<Block>();
        // SAFETY: large and aligned enough for a task, and so for a word.
        unsafe { block.write(Block { next: self.first.get() }) };
        self.first.set(Some(block));
        self.count.set(self.count.get() + 1);
        true
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        while let Some(block) = self.pop() {
            // SAFETY: the list holds blocks only, each once.
            unsafe { dealloc(block.as_ptr(), BLOCK) };
        }
    }
}

/// Whether a task with such a body lies in a block.
#[inline]
const fn fits(body: Layout) -> bool {
    size_of::<TaskCell>() + body.size() <= BLOCK.size() && body.align() <= BLOCK.align()
}

#[inline]
fn allocate<B>(blocks: &Blocks) -> NonNull<u8> {
    let is_block = fits(Layout::new::<B>());
    if is_block && let Some(block) = blocks.pop() {
        return block;
    }
    let layout = if is_block { BLOCK } else { Layout::new::<Allocation<B>>() };
    // SAFETY: no layout here is empty.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

/// # Safety
///
/// The memory was allocated for a task with such a body, and is not used any more.
#[inline]
unsafe fn release(memory: NonNull<u8>, body: Layout) {
    let layout = if fits(body) {
        if EventLoop::with_current(|lp| lp.is_some_and(|lp| lp.blocks.push(memory))) {
            return;
        }
        BLOCK
    } else {
        // How `repr(C)` puts the body behind the cell.
        Layout::new::<TaskCell>().extend(body).expect("it was allocated once").0.pad_to_align()
    };
    // SAFETY: by the caller.
    unsafe { dealloc(memory.as_ptr(), layout) };
}

const _: () = assert!(size_of::<TaskCell>() <= 120, "a task that has not begun costs less than 200 bytes");
