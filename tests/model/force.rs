//! Runs whose tasks ignore that they are to end: they are unwound out of their waits, and what they had, or were just
//! granted, is given back all the same.

use std::cell::Cell;
use std::rc::Rc;

use corio::testing::Random;
use corio::{
    Barrier, Condvar, Event, Mutex, Queue, Runner, RwLock, Semaphore, Which, after, millis, secs, select, shield,
    sleep, spawn, yield_now,
};

use super::{SCHEDULES, each_seed, moment, pause};

struct Shared {
    random: Random,
    lock: Mutex<()>,
    inside: Cell<bool>,
    table: RwLock<()>,
    limit: Semaphore,
    queue: Queue<u32>,
    put: Cell<u32>,
    got: Cell<u32>,
    stock: Mutex<()>,
    changed: Condvar,
    barrier: Barrier,
    event: Event,
}

#[test]
fn what_is_unwound_by_force_gives_everything_back() {
    each_seed(SCHEDULES / 2, |seed| {
        let shared = Rc::new(Shared {
            random: Random::new(seed),
            lock: Mutex::new(()),
            inside: Cell::new(false),
            table: RwLock::new(()),
            limit: Semaphore::new(2),
            queue: Queue::bounded(2),
            put: Cell::new(0),
            got: Cell::new(0),
            stock: Mutex::new(()),
            changed: Condvar::new(),
            barrier: Barrier::new(3),
            event: Event::new(),
        });
        let mut runner = Runner::new().virtual_clock().ctrl_c(false).seed(seed).grace(millis(5));
        let result = runner.run(|| {
            for _ in 0..shared.random.range(2..=6) {
                let own = shared.clone();
                spawn(move || {
                    loop {
                        stubborn(&own);
                        if own.random.one_in(50) {
                            return;
                        }
                    }
                });
            }
            sleep(moment(&shared.random))
        });
        result.unwrap();
        assert_eq!(Rc::strong_count(&shared), 1, "all that they held is dropped");
        assert!(!shared.lock.is_locked() && !shared.table.is_locked() && !shared.stock.is_locked());
        assert_eq!((shared.limit.available(), shared.barrier.waiting()), (2, 0));
        assert_eq!(shared.put.get(), shared.got.get() + shared.queue.len() as u32);
        assert!(shared.queue.is_full() == (shared.queue.len() == 2), "no room is lost");
    });
}

/// One operation that takes no error for an answer.
fn stubborn(shared: &Shared) {
    let random = &shared.random;
    let locked = |guard| {
        struct Inside<'a>(&'a Cell<bool>);
        impl Drop for Inside<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        assert!(!shared.inside.replace(true), "one owner at a time");
        let _inside = Inside(&shared.inside);
        let _ = pause(random);
        let _ = yield_now();
        drop(guard);
    };
    let taken = || shared.got.set(shared.got.get() + 1);
    match random.below(11) {
        0 | 1 => {
            if let Ok(guard) = shared.lock.lock() {
                let guard = Rc::new(guard); // dropped after `inside`, also when it unwinds
                let _kept = guard.clone();
                locked(guard);
            }
        }
        2 => {
            if let Ok(_permit) = shared.limit.acquire() {
                let _ = yield_now();
            }
        }
        3 => {
            if shared.queue.put(1).is_ok() {
                shared.put.set(shared.put.get() + 1);
            }
        }
        4 => {
            if shared.queue.get().is_ok() {
                taken();
            }
        }
        5 | 6 => {
            if let Ok(mut stock) = shared.stock.lock() {
                let _ = shared.changed.wait(&mut stock);
                let _ = yield_now();
            }
        }
        7 if random.one_in(20) => {
            // Whoever was notified waits for the lock until the very end.
            if let Ok(_stock) = shared.stock.lock() {
                shared.changed.notify_all();
                loop {
                    let _ = yield_now().and_then(|()| sleep(millis(1)));
                }
            }
        }
        7 => {
            shared.changed.notify_one();
            shared.event.set();
            shared.event.clear();
            let _ = pause(random);
        }
        8 => {
            let write = random.one_in(2);
            let _guards = (
                if write { shared.table.write().ok() } else { None },
                if write { None } else { shared.table.read().ok() },
            );
            let _ = yield_now();
        }
        9 => match select((&shared.queue, &shared.limit, &shared.event, after(moment(random)))) {
            Ok(Which::A(Ok(_))) => taken(),
            Ok(Which::B(_permit)) => drop(yield_now()),
            _ => {}
        },
        _ => {
            let _ = shield(secs(99), || {
                shared.barrier.wait()?;
                let _slot = shared.queue.reserve()?;
                sleep(millis(1))
            });
        }
    }
}
