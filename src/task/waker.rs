//! Wakers, as the standard library's futures know them: here a number, and no pointer.
//!
//! A waker goes anywhere, lives as long as it likes, and may outlive its task and its loop. So it has nothing to keep
//! alive: its one word is the number of a loop and that of a seat on it. To wake is to look both up. If the loop is gone, or
//! the seat is empty, nobody is woken; if somebody else has it by now, that one is woken for nothing, as may
//! happen to everybody. Cloning is copying, and nothing is allocated.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{RawWaker, RawWakerVTable, Waker};

use slab::Slab;

use super::TaskRef;
use super::body::{drop_quietly, panic_text};
use crate::event_loop::EventLoop;
use crate::observe::event::By;
use crate::remote::{self, Message};

/// The tasks of a loop that poll futures, by the numbers of their seats.
#[derive(Default)]
pub(crate) struct Seats {
    taken: RefCell<Slab<Taken>>,
    /// Seats whose wakers were cloned: somebody out there may keep one, and nobody can tell whether it is still kept (R18).
    lent: Cell<usize>,
    /// Numbers whose wakers were cloned, by whoever sat there. A clone may be kept, and come to whoever sits there next.
    ever_lent: RefCell<Vec<bool>>,
    /// Who is told of waits in the place of their tasks, by task and wait.
    foreign: RefCell<BTreeMap<(u64, usize), Rc<Foreign>>>,
    /// Who is to be told when no list is being walked: what wakers do is the user's code (R7).
    due: RefCell<Vec<Rc<Foreign>>>,
}

struct Taken {
    task: TaskRef,
    lent: bool,
}

/// Whoever polls a wait of the task's by way of somebody's executor, which is told first. It is counted, so that it can be passed
/// on while a list is walked: to clone a waker is the user's code, and so is to drop one (R7).
pub(crate) struct Foreign {
    pub(crate) task: TaskRef,
    waker: Waker,
    /// The task was cancelled, and this wait goes on all the same: it is for what the task owns.
    goes_on: Cell<bool>,
}

impl Foreign {
    /// `None`: the waker is the task's own, so that waking the task is enough.
    pub(crate) fn behind(lp: &EventLoop, task: &TaskRef, waker: &Waker) -> Option<Rc<Foreign>> {
        let foreign = || Foreign { task: task.clone(), waker: waker.clone(), goes_on: Cell::new(false) };
        (!is_own(lp, task, waker)).then(|| Rc::new(foreign()))
    }

    /// Until it is told of something.
    pub(crate) fn goes_on(&self) {
        self.goes_on.set(true);
    }

    /// Tells its owner, as soon as nothing of the loop's is in use.
    #[cold]
    pub(crate) fn tell(self: &Rc<Self>, lp: &EventLoop) {
        self.goes_on.set(false);
        lp.seats.due.borrow_mut().push(self.clone());
        lp.remote.note();
    }

    pub(crate) fn is_behind(&self, waker: &Waker) -> bool {
        self.waker.will_wake(waker)
    }
}

/// Whether it is one of the task's own.
pub(crate) fn is_own(lp: &EventLoop, task: &TaskRef, waker: &Waker) -> bool {
    let (of_loop, number) = parts(waker.data());
    let sits_there = |taken: &Taken| taken.task.ptr_eq(task);
    is_ours(waker) && of_loop == lp.remote.id && lp.seats.taken.borrow().get(number as usize).is_some_and(sits_there)
}

fn is_ours(waker: &Waker) -> bool {
    std::ptr::eq(waker.vtable(), &TABLE)
}

/// A task's seat: while it is there, the task's wakers work.
pub(crate) struct Seat<'a> {
    lp: &'a EventLoop,
    number: u32,
}

impl<'a> Seat<'a> {
    pub(crate) fn take(lp: &'a EventLoop, task: &TaskRef) -> Seat<'a> {
        Seat { lp, number: lp.seats.enter(task) }
    }

    pub(crate) fn waker(&self) -> Waker {
        of_seat(self.lp, self.number)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.lp.seats.leave(self.number);
    }
}

impl Seats {
    /// Gives the task a seat, until it leaves it.
    pub(crate) fn enter(&self, task: &TaskRef) -> u32 {
        let mut taken = self.taken.borrow_mut();
        let number = taken.vacant_key();
        let lent = self.ever_lent.borrow().get(number).copied().unwrap_or(false);
        taken.insert(Taken { task: task.clone(), lent });
        self.lent.set(self.lent.get() + usize::from(lent));
        u32::try_from(number).expect("fewer than four billion tasks")
    }

    pub(crate) fn leave(&self, number: u32) {
        let taken = self.taken.borrow_mut().remove(number as usize);
        self.lent.set(self.lent.get() - usize::from(taken.lent));
    }

    /// Whether a waker may be somewhere where the loop cannot see it.
    pub(crate) fn any_lent(&self) -> bool {
        self.lent.get() > 0
    }

    fn lend(&self, number: u32) {
        if let Some(taken) = self.taken.borrow_mut().get_mut(number as usize)
            && !std::mem::replace(&mut taken.lent, true)
        {
            self.lent.set(self.lent.get() + 1);
            let mut ever_lent = self.ever_lent.borrow_mut();
            let length = ever_lent.len().max(number as usize + 1);
            ever_lent.resize(length, false);
            ever_lent[number as usize] = true;
        }
    }

    /// A wait of the task's has somebody who is told of it: of a cancellation, too.
    pub(crate) fn note_wait(&self, wait: usize, foreign: &Rc<Foreign>) {
        let key = (foreign.task.core.id(), wait);
        let before = self.foreign.borrow_mut().insert(key, foreign.clone());
        drop(before);
    }

    pub(crate) fn forget_wait(&self, task: u64, wait: usize) {
        let noted = self.foreign.borrow_mut().remove(&(task, wait));
        drop(noted);
    }

    /// Waits of tasks that are gone.
    pub(crate) fn forget_waits(&self) {
        drop_quietly(self.foreign.take(), "a waker");
    }

    /// The task was cancelled: all its waits are to look.
    pub(crate) fn tell_waits_of(&self, lp: &EventLoop, task: &TaskRef) {
        let id = task.core.id();
        self.foreign.borrow().range((id, 0)..=(id, usize::MAX)).for_each(|(_, foreign)| foreign.tell(lp));
    }

    /// Whether the task, which was cancelled, still waits for what it owns by way of somebody's executor. That one asks only
    /// those whom it has woken, so a poll of the task does not show it.
    pub(crate) fn go_on_for(&self, task: &TaskRef) -> bool {
        let id = task.core.id();
        self.foreign.borrow().range((id, 0)..=(id, usize::MAX)).any(|(_, foreign)| foreign.goes_on.get())
    }

    /// Tells those who are due.
    pub(crate) fn tell_who_is_due(&self, lp: &EventLoop) {
        for foreign in self.due.take() {
            lp.aside(|| {
                call_quietly(|| foreign.waker.wake_by_ref());
                drop_quietly(foreign, "a waker");
            });
        }
    }
}

/// Lets a waker do what it does, which is the user's code. If it panics, that is nothing to whoever brings what was waited for.
pub(crate) fn call_quietly(wake: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(wake)) {
        log::error!(target: "corio::task", "a waker panicked: {}", panic_text(&*payload));
        drop_quietly(payload, "the payload of a panic");
    }
}

/// Wakes whoever has that seat, on the loop's own thread.
pub(crate) fn wake_seat(lp: &EventLoop, number: u32, by: By) {
    let task = lp.seats.taken.borrow().get(number as usize).map(|taken| taken.task.clone());
    if let Some(task) = task {
        lp.wake(&task, by);
    }
}

/// The waker of a seat.
pub(crate) fn of_seat(lp: &EventLoop, number: u32) -> Waker {
    of_word((lp.remote.id as usize) << 32 | number as usize)
}

/// A copy for the line of a channel, which is counted as hope while it stands there: nothing is lent by it.
pub(crate) fn copy(waker: &Waker) -> Waker {
    if is_ours(waker) { of_word(waker.data().addr()) } else { waker.clone() }
}

fn of_word(word: usize) -> Waker {
    // SAFETY: the functions of the table take the word for the number that it is, so all that `RawWakerVTable` asks for,
    // about threads and about ownership, holds of it.
    unsafe { Waker::new(std::ptr::without_provenance(word), &TABLE) }
}

static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, |_| ());

fn parts(word: *const ()) -> (u32, u32) {
    ((word.addr() >> 32) as u32, word.addr() as u32)
}

fn clone(word: *const ()) -> RawWaker {
    let (of_loop, number) = parts(word);
    let here = EventLoop::with_current(|lp| match lp.filter(|lp| lp.remote.id == of_loop) {
        Some(lp) => {
            lp.seats.lend(number);
            true
        }
        None => false,
    });
    if !here && let Some(remote) = remote::find(of_loop) {
        remote.lend();
    }
    RawWaker::new(word, &TABLE)
}

fn wake(word: *const ()) {
    let (of_loop, number) = parts(word);
    let here = EventLoop::with_current(|lp| match lp.filter(|lp| lp.remote.id == of_loop) {
        Some(lp) => {
            wake_seat(lp, number, lp.by());
            true
        }
        None => false,
    });
    if !here && let Some(remote) = remote::find(of_loop) {
        // If the loop is going, nobody waits.
        let _ = remote.send(Message::WakeSeat(number));
    }
}
