//! Wakers, as the standard library's futures know them: here a number, and no pointer.
//!
//! A waker goes anywhere, lives as long as it likes, and may outlive its task and its loop. So it has nothing to keep
//! alive: its one word is the number of a loop and that of a seat on it. To wake is to look both up. If the loop is gone, or
//! the seat is empty, nobody is woken; if somebody else has it by now, he is woken for nothing, which everybody must expect.
//! Cloning is copying, and nothing is allocated.

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
    /// Seats whose wakers were cloned: somebody out there may keep one, and nobody can tell whether he still does (R18).
    lent: Cell<usize>,
    /// Numbers whose wakers were cloned, by whoever sat there. He may keep his clone, and hand it to whoever comes next.
    ever_lent: RefCell<Vec<bool>>,
    /// Something of ours that was polled said what it waits for.
    said: Cell<bool>,
    /// The wakers of somebody's by which tasks are told of their waits, by task and wait.
    foreign: RefCell<BTreeMap<(u64, usize), Rc<Waker>>>,
    /// Somebody's wakers, which are to be woken when no list is being walked: what they do is the user's code (R7).
    due: RefCell<Vec<Rc<Waker>>>,
}

struct Taken {
    task: TaskRef,
    lent: bool,
    /// It was woken since it last asked.
    woken: bool,
}

/// Whom the loop tells that there is what he waits for.
pub(crate) enum Wakee {
    Task(TaskRef),
    /// A task that polls, by the number of its seat.
    Seat {
        task: TaskRef,
        number: u32,
    },
    /// A future that the task polls by way of somebody's executor, which wants to hear of it first. Counted, so that it can be
    /// passed on while a list is walked: to clone a waker is the user's code, and so is to drop one (R7).
    Foreign {
        task: TaskRef,
        waker: Rc<Waker>,
    },
}

impl Wakee {
    /// Whoever is behind a waker with which the task is polled.
    pub(crate) fn behind(lp: &EventLoop, task: &TaskRef, waker: &Waker) -> Wakee {
        let task = task.clone();
        match parts(waker.data()) {
            (of_loop, number) if is_ours(waker) && of_loop == lp.remote.id => Wakee::Seat { task, number },
            _ => Wakee::Foreign { task, waker: Rc::new(waker.clone()) },
        }
    }

    #[inline(always)]
    pub(crate) fn task(&self) -> &TaskRef {
        match self {
            Wakee::Task(task) | Wakee::Seat { task, .. } | Wakee::Foreign { task, .. } => task,
        }
    }

    #[inline(always)]
    pub(crate) fn wake(&self, lp: &EventLoop, by: By) {
        match self {
            Wakee::Task(task) => lp.wake(task, by),
            Wakee::Seat { number, .. } => wake_seat(lp, *number, by),
            Wakee::Foreign { waker, .. } => lp.seats.put_off(lp, waker.clone()),
        }
    }

    /// Whether that waker would wake him.
    pub(crate) fn is_behind(&self, lp: &EventLoop, waker: &Waker) -> bool {
        match self {
            Wakee::Task(_) => false,
            Wakee::Seat { number, .. } => of_seat(lp, *number).will_wake(waker),
            Wakee::Foreign { waker: own, .. } => own.will_wake(waker),
        }
    }
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

    /// Whether it was woken since it was last asked. A task may pause for something else while it polls, and then that wait
    /// has seen the wake-up.
    pub(crate) fn take_woken(&self) -> bool {
        let mut taken = self.lp.seats.taken.borrow_mut();
        taken.get_mut(self.number as usize).is_some_and(|taken| std::mem::take(&mut taken.woken))
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
        taken.insert(Taken { task: task.clone(), lent, woken: false });
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

    pub(crate) fn say(&self) {
        self.said.set(true);
    }

    pub(crate) fn forget_what_was_said(&self) {
        self.said.set(false);
    }

    pub(crate) fn was_said(&self) -> bool {
        self.said.get()
    }

    /// A wait of the task's is told of its end in that way; if by somebody's executor, a cancellation must go that way too.
    pub(crate) fn note_wait(&self, wait: usize, wakee: &Wakee) {
        if let Wakee::Foreign { task, waker } = wakee {
            let before = self.foreign.borrow_mut().insert((task.core.id(), wait), waker.clone());
            drop(before);
        }
    }

    pub(crate) fn forget_wait(&self, task: &TaskRef, wait: usize) {
        let waker = self.foreign.borrow_mut().remove(&(task.core.id(), wait));
        drop(waker);
    }

    /// The task was cancelled: all its waits are to look.
    pub(crate) fn wake_waits_of(&self, lp: &EventLoop, task: &TaskRef) {
        let id = task.core.id();
        for (_, waker) in self.foreign.borrow().range((id, 0)..=(id, usize::MAX)) {
            self.put_off(lp, waker.clone());
        }
    }

    fn put_off(&self, lp: &EventLoop, waker: Rc<Waker>) {
        self.due.borrow_mut().push(waker);
        lp.remote.note();
    }

    /// Wakes what was put off.
    pub(crate) fn wake_what_is_due(&self, lp: &EventLoop) {
        for waker in self.due.take() {
            lp.aside(|| {
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake_by_ref())) {
                    log::error!(target: "corio::task", "a waker panicked: {}", panic_text(&*payload));
                    drop_quietly(payload, "the payload of a panic");
                }
                drop_quietly(waker, "a waker");
            });
        }
    }
}

/// Wakes whoever has that seat, on the loop's own thread.
pub(crate) fn wake_seat(lp: &EventLoop, number: u32, by: By) {
    let task = lp.seats.taken.borrow_mut().get_mut(number as usize).map(|taken| {
        taken.woken = true;
        taken.task.clone()
    });
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
