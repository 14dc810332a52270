//! Where the loop finds its tasks: all of them, and those that are ready.
//!
//! Both are lists that run through the tasks themselves, so that a task enters and leaves without memory, and without a
//! borrow that could be held too long (R7). A list counts a reference to each task that is in it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::iter;
use std::ptr;

use super::cell::{TaskCell, TaskRef};
use crate::callbacks::CallbackKey;

/// A task's places in the lists.
pub(crate) struct Links {
    /// Its neighbours in the table.
    older: Cell<*const TaskCell>,
    younger: Cell<*const TaskCell>,
    /// The next in the ready queue, the first behind the last; null: not in it.
    behind: Cell<*const TaskCell>,
}

impl Links {
    pub(crate) const fn new() -> Links {
        Links { older: Cell::new(ptr::null()), younger: Cell::new(ptr::null()), behind: Cell::new(ptr::null()) }
    }
}

/// Reaches a task by its place in a list.
#[inline(always)]
fn cell<'a>(task: *const TaskCell) -> &'a TaskCell {
    debug_assert!(!task.is_null());
    // SAFETY: the lists hold a reference to each task that is in them, and only pointers from the lists come here. No
    // caller keeps the result beyond a change of the list.
    unsafe { &*task }
}

/// All tasks of a loop that have not ended, in the order in which they were spawned.
pub(crate) struct TaskTable {
    oldest: Cell<*const TaskCell>,
    youngest: Cell<*const TaskCell>,
    len: Cell<usize>,
}

impl TaskTable {
    pub(crate) const fn new() -> TaskTable {
        TaskTable { oldest: Cell::new(ptr::null()), youngest: Cell::new(ptr::null()), len: Cell::new(0) }
    }

    #[inline]
    pub(crate) fn insert(&self, task: TaskRef) {
        let task = task.into_raw();
        let before = self.youngest.replace(task);
        cell(task).core.links.older.set(before);
        if before.is_null() {
            self.oldest.set(task);
        } else {
            cell(before).core.links.younger.set(task);
        }
        self.len.set(self.len.get() + 1);
    }

    /// Takes out a task that is in it.
    #[inline]
    pub(crate) fn remove(&self, task: &TaskCell) -> TaskRef {
        let links = &task.core.links;
        let (older, younger) = (links.older.get(), links.younger.get());
        if older.is_null() {
            self.oldest.set(younger);
        } else {
            cell(older).core.links.younger.set(younger);
        }
        if younger.is_null() {
            self.youngest.set(older);
        } else {
            cell(younger).core.links.older.set(older);
        }
        self.len.set(self.len.get() - 1);
        // SAFETY: `insert` counted the reference that is handed back here.
        unsafe { TaskRef::from_raw(task) }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// Copies of all references, oldest first.
    pub(crate) fn all(&self) -> Vec<TaskRef> {
        let first = self.oldest.get();
        iter::successors(non_null(first), |task| non_null(cell(*task).core.links.younger.get()))
            .map(|task| cell(task).reference())
            .collect()
    }
}

fn non_null(task: *const TaskCell) -> Option<*const TaskCell> {
    (!task.is_null()).then_some(task)
}

/// What waits for its turn.
pub(crate) enum Ready {
    Task(TaskRef),
    Call(CallbackKey),
}

/// What is ready, first in, first out (R15).
///
/// The tasks are a circle through themselves. Callbacks are few; each knows how many tasks go before it.
pub(crate) struct ReadyQueue {
    last: Cell<*const TaskCell>,
    /// How many tasks have ever come, and gone.
    pushed: Cell<u64>,
    popped: Cell<u64>,
    calls: RefCell<VecDeque<(u64, CallbackKey)>>,
    /// How many tasks will have gone when the next callback's turn comes; `u64::MAX`: there is none.
    next_call: Cell<u64>,
}

impl ReadyQueue {
    pub(crate) const fn new() -> ReadyQueue {
        ReadyQueue {
            last: Cell::new(ptr::null()),
            pushed: Cell::new(0),
            popped: Cell::new(0),
            calls: RefCell::new(VecDeque::new()),
            next_call: Cell::new(u64::MAX),
        }
    }

    /// Puts a task at the end. One that is in the queue already stays where it is.
    #[inline]
    pub(crate) fn push(&self, task: TaskRef) {
        if !task.core.links.behind.get().is_null() {
            return;
        }
        let task = task.into_raw();
        let last = self.last.replace(task);
        let first = if last.is_null() { task } else { cell(last).core.links.behind.replace(task) };
        cell(task).core.links.behind.set(first);
        self.pushed.set(self.pushed.get() + 1);
    }

    pub(crate) fn push_call(&self, call: CallbackKey) {
        let mut calls = self.calls.borrow_mut();
        calls.push_back((self.pushed.get(), call));
        self.next_call.set(calls[0].0);
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<Ready> {
        if self.next_call.get() == self.popped.get() {
            return self.pop_call();
        }
        let last = self.last.get();
        if last.is_null() {
            return None;
        }
        let task = cell(last).core.links.behind.get();
        let next = cell(task).core.links.behind.replace(ptr::null());
        if ptr::eq(task, last) {
            self.last.set(ptr::null());
        } else {
            cell(last).core.links.behind.set(next);
        }
        self.popped.set(self.popped.get() + 1);
        // SAFETY: `push` counted the reference that is handed back here.
        Some(Ready::Task(unsafe { TaskRef::from_raw(task) }))
    }

    /// Lets the processor fetch what the first two tasks will touch.
    #[inline]
    pub(crate) fn fetch_ahead(&self) {
        if let Some(last) = non_null(self.last.get()) {
            let first = cell(last).core.links.behind.get();
            cell(first).core.fetch_frames();
            cell(cell(first).core.links.behind.get()).core.fetch_top();
        }
    }

    #[cold]
    fn pop_call(&self) -> Option<Ready> {
        let mut calls = self.calls.borrow_mut();
        let (_, call) = calls.pop_front()?;
        self.next_call.set(calls.front().map_or(u64::MAX, |next| next.0));
        Some(Ready::Call(call))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last.get().is_null() && self.next_call.get() == u64::MAX
    }

    pub(crate) fn len(&self) -> usize {
        let calls = if self.next_call.get() == u64::MAX { 0 } else { self.calls.borrow().len() };
        (self.pushed.get() - self.popped.get()) as usize + calls
    }

    /// The tasks in it, first to last.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = TaskRef> {
        let last = self.last.get();
        let mut next = non_null(last).map(|last| cell(last).core.links.behind.get());
        iter::from_fn(move || {
            let task = next?;
            next = (!ptr::eq(task, last)).then(|| cell(task).core.links.behind.get());
            Some(cell(task).reference())
        })
    }

    /// Puts the tasks in it into another order: `exchange` is told how many there are, and swaps their places. Callbacks
    /// keep theirs.
    #[cold]
    pub(crate) fn reorder(&self, exchange: impl FnOnce(usize, &mut dyn FnMut(usize, usize))) -> usize {
        let last = self.last.get();
        let mut tasks = Vec::new();
        let mut next = non_null(last).map(|last| cell(last).core.links.behind.get());
        while let Some(task) = next {
            tasks.push(task);
            next = (!ptr::eq(task, last)).then(|| cell(task).core.links.behind.get());
        }
        exchange(tasks.len(), &mut |a, b| tasks.swap(a, b));
        for (n, task) in tasks.iter().enumerate() {
            cell(*task).core.links.behind.set(tasks[(n + 1) % tasks.len()]);
        }
        self.last.set(tasks.last().copied().unwrap_or(ptr::null()));
        tasks.len()
    }

    pub(crate) fn clear(&self) {
        while self.pop().is_some() {}
    }
}

impl Drop for ReadyQueue {
    fn drop(&mut self) {
        self.clear();
    }
}
