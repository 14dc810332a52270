//! The floors: the same work with everything left out that can be left out.
//!
//! No tasks, no cancellation, no results: each is the bare mechanism that a scheduler has to pay for in any case.

use std::cell::Cell;
use std::collections::VecDeque;
use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use corosensei::stack::{DefaultStack, Stack, StackPointer};
use corosensei::{Coroutine, Yielder};
use mio::{Events, Poll, Token, Waker};

use crate::delays_ms;
use crate::depth::at_depth;
use crate::figures::measure;

// The library's own timer structure, without the loop around it.
#[allow(dead_code, unreachable_pub)]
#[path = "../../src/timer.rs"]
mod timer;

/// Resumes and suspensions of bare coroutines, `tasks` of them in turn, each suspending at the given call depth.
pub fn switch(operations: u64, depth: u32, tasks: usize) -> io::Result<()> {
    let forever = move |yielder: &Yielder<(), ()>, ()| loop {
        at_depth(depth, &|| yielder.suspend(()));
    };
    let stacks = (0..tasks).map(ColouredStack::new).collect::<io::Result<Vec<_>>>()?;
    let mut ring: Vec<Coroutine<(), (), (), _>> =
        stacks.into_iter().map(|stack| Coroutine::with_stack(stack, forever)).collect();
    measure("floor-switch", operations, || {
        for _ in 0..operations / tasks as u64 {
            for coroutine in &mut ring {
                black_box(coroutine.resume(()));
            }
        }
    });
    Ok(())
}

/// A stack whose top is shifted by some cache lines: tops that are all page-aligned fight for the same sets of the cache.
pub(crate) struct ColouredStack {
    stack: DefaultStack,
    shift: usize,
}

impl ColouredStack {
    pub(crate) fn new(index: usize) -> io::Result<ColouredStack> {
        Ok(ColouredStack { stack: DefaultStack::new(64 << 10)?, shift: index % 32 * 64 })
    }
}

// SAFETY: all but the top 2 KiB, at most, of a `DefaultStack` of 64 KiB, whose guard page it keeps; the shift is aligned.
unsafe impl Stack for ColouredStack {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.stack.base().get() - self.shift).expect("far from zero")
    }

    fn limit(&self) -> StackPointer {
        self.stack.limit()
    }
}

/// Messages from a coroutine to another through one place: a resume of each, and nobody is asked whether he waits.
pub fn handover(operations: u64) -> io::Result<()> {
    let place = Rc::new(Cell::new(None));
    let put = Rc::clone(&place);
    let mut from: Coroutine<(), (), (), _> = Coroutine::with_stack(ColouredStack::new(0)?, move |yielder, ()| {
        for message in 0.. {
            put.set(Some(message));
            yielder.suspend(());
        }
    });
    let mut to: Coroutine<(), (), (), _> = Coroutine::with_stack(ColouredStack::new(1)?, move |yielder, ()| {
        loop {
            black_box(place.take());
            yielder.suspend(());
        }
    });
    measure("floor-handover", operations, || {
        for _ in 0..operations {
            black_box(from.resume(()));
            black_box(to.resume(()));
        }
    });
    Ok(())
}

/// Messages into a bare queue until there are `bound` of them, then out of it.
pub fn queue(operations: u64, bound: usize) -> io::Result<()> {
    let mut queue = VecDeque::with_capacity(bound);
    measure("floor-queue", operations, || {
        for _ in 0..operations / bound as u64 {
            for message in 0..bound {
                black_box(&mut queue).push_back(message);
            }
            for _ in 0..bound {
                black_box(black_box(&mut queue).pop_front());
            }
        }
    });
    Ok(())
}

/// Coroutines created and run to their end, one after the other, on one stack that is there already.
pub fn spawn(operations: u64) -> io::Result<()> {
    let mut stack = DefaultStack::new(64 << 10)?;
    measure("floor-spawn", operations, || {
        for i in 0..operations {
            let mut coroutine = Coroutine::with_stack(stack, move |_: &Yielder<(), ()>, ()| i);
            black_box(coroutine.resume(()).as_return());
            stack = coroutine.into_stack();
        }
    });
    Ok(())
}

/// Timers armed and cancelled in the bare structure, while 1,000 others stay armed.
///
/// Includes one reading of the clock each: a delay that counts from now needs to know when that is.
pub fn timer_cancel(operations: u64) -> io::Result<()> {
    let mut timers = timer::Timers::new();
    let mut delays_ms = delays_ms();
    let origin = Instant::now();
    let mut due_ns = || origin.elapsed().as_nanos() as u64 + delays_ms.next().unwrap_or(1) * 1_000_000;
    for payload in 0..1000 {
        timers.arm(due_ns(), payload);
    }
    measure("floor-timercancel", operations, || {
        for payload in 0..operations {
            let key = timers.arm(due_ns(), payload);
            black_box(timers.cancel(black_box(key)));
        }
    });
    Ok(())
}

/// Round trips between an OS thread and a thread that waits in `poll`: a waker one way, `unpark` the other.
pub fn wake(operations: u64) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    let waker = Waker::new(poll.registry(), Token(0))?;
    let answered = Arc::new(AtomicU64::new(0));
    measure("floor-wake", operations, || {
        let answers = Arc::clone(&answered);
        let asking = thread::spawn(move || {
            for round in 1..=operations {
                waker.wake().expect("a wake-up");
                while answers.load(Ordering::Acquire) < round {
                    thread::park();
                }
            }
        });
        for round in 1..=operations {
            poll.poll(&mut events, None)?;
            answered.store(round, Ordering::Release);
            asking.thread().unpark();
        }
        asking.join().map_err(|_| io::Error::other("the asking thread panicked"))
    })
}
