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
    /// A new task. Its body is never dropped with it: whoever ends the task empties it.
    ///
    /// # Safety
    ///
    /// This forgets what the body borrows. The caller makes sure that the task's function has returned, or was dropped
    /// unrun, and that the result was taken, dropped or leaked, while all of it is still alive.
    pub(crate) unsafe fn new<'a, B: Body + 'a>(core: TaskCore, body: B) -> TaskRef {
        let allocation = allocate(Layout::new::<Allocation<B>>()).cast::<Allocation<B>>();
        // SAFETY: the memory is fresh, and large and aligned enough. The body's address is known before it is there.
        unsafe {
            let this: *const (dyn Body + 'a) = &raw const (*allocation.as_ptr()).body;
            let this = std::mem::transmute::<*const (dyn Body + 'a), *const (dyn Body + 'static)>(this);
            let cell = TaskCell { references: Cell::new(1), body: this, core };
            allocation.write(Allocation { cell, body });
        }
        TaskRef(allocation.cast())
    }

    /// The layout of a task with this body; what [`Body::layout`] returns.
    pub(crate) const fn layout<B>() -> Layout {
        Layout::new::<Allocation<B>>()
    }

    /// A reference that is not counted.
    #[inline]
    pub(crate) fn uncounted(&self) -> ManuallyDrop<TaskRef> {
        ManuallyDrop::new(TaskRef(self.0))
    }

    pub(crate) fn ptr_eq(&self, other: &TaskRef) -> bool {
        self.0 == other.0
    }
}

impl TaskCell {
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
    // SAFETY: this was the last reference. The body needs no drop, see `TaskRef::new`, and has told its layout.
    unsafe {
        let layout = cell.as_ref().body().layout();
        ptr::drop_in_place(cell.as_ptr());
        release(cell.cast(), layout);
    }
}

/// What most tasks fit into: memory of this layout is recycled by the loop.
const BLOCK: Layout = match Layout::from_size_align(120, 8) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

#[inline]
fn fits(layout: Layout) -> bool {
    layout.size() <= BLOCK.size() && layout.align() <= BLOCK.align()
}

#[inline]
fn allocate(layout: Layout) -> NonNull<u8> {
    let recycled = || EventLoop::with_current(|lp| lp.and_then(EventLoop::new_cell));
    let layout = if fits(layout) { BLOCK } else { layout };
    if let Some(block) = (layout == BLOCK).then(recycled).flatten() {
        return block;
    }
    // SAFETY: no layout here is empty.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

/// # Safety
///
/// The memory was allocated for this layout, and is not used any more.
#[inline]
unsafe fn release(memory: NonNull<u8>, layout: Layout) {
    if !fits(layout) {
        // SAFETY: by the caller.
        unsafe { dealloc(memory.as_ptr(), layout) };
    } else if !EventLoop::with_current(|lp| lp.is_some_and(|lp| lp.recycle_cell(memory))) {
        free_block(memory);
    }
}

/// Gives a recycled block back to the system.
pub(crate) fn free_block(block: NonNull<u8>) {
    // SAFETY: the loop's list holds blocks only, each once.
    unsafe { dealloc(block.as_ptr(), BLOCK) };
}

const _: () = assert!(size_of::<TaskCell>() <= 96, "a task that has not begun costs less than 200 bytes");
