//! Locks, permits, events, conditions, barriers: programs of workers that share one, while some are cut short.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;

use corio::testing::{self, Random};
use corio::{
    Barrier, BoundedSemaphore, Condvar, Event, Mutex, RwLock, Semaphore, is_broken_barrier, millis, scope, secs,
    shield, sleep, yield_now,
};

use super::{Hazards, SCHEDULES, Waiting, pause, workers};

#[test]
fn mutex() {
    testing::explore(SCHEDULES, mutexes);
}

#[test]
fn rwlock() {
    testing::explore(SCHEDULES, rwlocks);
}

#[test]
fn semaphore() {
    testing::explore(SCHEDULES, semaphores);
}

#[test]
fn bounded_semaphore() {
    testing::explore(SCHEDULES, bounded_semaphores);
}

#[test]
fn event() {
    testing::explore(SCHEDULES, events);
}

#[test]
fn condvar() {
    testing::explore(SCHEDULES, condvars);
}

#[test]
fn barrier() {
    testing::explore(SCHEDULES, barriers);
}

/// One owner at a time, and no change is lost. Two locks, always taken in the same order.
pub(super) fn mutexes(random: &Random) -> io::Result<()> {
    let locks = [Mutex::new(0_u32), Mutex::new(0)];
    let (inside, changes) = ([Cell::new(false), Cell::new(false)], [Cell::new(0), Cell::new(0)]);
    let change = |n: usize, value: &mut u32, within: &dyn Fn() -> io::Result<()>| {
        assert!(!inside[n].replace(true), "one owner at a time");
        let old = *value;
        let result = within();
        *value = old + 1;
        changes[n].set(changes[n].get() + 1);
        assert!(inside[n].replace(false));
        result
    };
    let (hazards, waiting) = (Hazards::default(), [Waiting::default(), Waiting::default()]);
    let lock = |n: usize| waiting[n].during(|| locks[n].lock());
    let audit = || locks.iter().zip(&waiting).for_each(|(lock, waiting)| waiting.none_if(!lock.is_locked()));
    workers(random, &hazards, random.range(2..=4), &audit, |_| {
        for _ in 0..random.range(1..=4) {
            pause(random)?;
            let n = random.below(2) as usize;
            match random.below(6) {
                0 => {
                    if let Some(mut guard) = locks[n].try_lock() {
                        change(n, &mut guard, &|| pause(random))?;
                    }
                }
                1 => drop(hazards.run(random, || {
                    let mut first = lock(0)?;
                    change(0, &mut first, &|| {
                        let mut second = lock(1)?;
                        change(1, &mut second, &|| pause(random))
                    })
                })),
                _ => drop(hazards.run(random, || {
                    let mut guard = lock(n)?;
                    assert!(locks[n].is_locked() && locks[n].try_lock().is_none());
                    change(n, &mut guard, &|| pause(random))
                })),
            }
        }
        Ok(())
    })?;
    for (lock, changes) in locks.into_iter().zip(&changes) {
        assert!(!lock.is_locked());
        assert_eq!(lock.into_inner(), changes.get());
    }
    Ok(())
}

/// Many readers or one writer.
pub(super) fn rwlocks(random: &Random) -> io::Result<()> {
    let lock = RwLock::new(0_u32);
    let (readers, writers, changes) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let read = |value: &u32| {
        assert_eq!(writers.get(), 0, "nobody writes while somebody reads");
        readers.set(readers.get() + 1);
        let before = *value;
        let result = pause(random);
        assert_eq!(*value, before);
        readers.set(readers.get() - 1);
        result
    };
    let write = |value: &mut u32| {
        assert_eq!((readers.get(), writers.get()), (0, 0), "who writes is alone");
        writers.set(1);
        let old = *value;
        let result = pause(random);
        *value = old + 1;
        changes.set(changes.get() + 1);
        writers.set(0);
        result
    };
    let (hazards, reading, writing) = (Hazards::default(), Waiting::default(), Waiting::default());
    let audit = || {
        writing.none_if(!lock.is_locked());
        reading.none_if(writers.get() == 0 && writing.0.get() == 0); // no writer has it, and none is before them
    };
    workers(random, &hazards, random.range(2..=5), &audit, |_| {
        for _ in 0..random.range(1..=4) {
            pause(random)?;
            match random.below(8) {
                0 => {
                    if let Some(guard) = lock.try_read() {
                        read(&guard)?;
                    }
                }
                1 => {
                    if let Some(mut guard) = lock.try_write() {
                        write(&mut guard)?;
                    }
                }
                2..=4 => drop(hazards.run(random, || write(&mut *writing.during(|| lock.write())?))),
                _ => drop(hazards.run(random, || read(&*reading.during(|| lock.read())?))),
            }
        }
        Ok(())
    })?;
    assert!(!lock.is_locked() && lock.try_write().is_some());
    assert_eq!(lock.into_inner(), changes.get());
    Ok(())
}

/// Never more inside than there are permits, and in the end as many permits as in the beginning.
pub(super) fn semaphores(random: &Random) -> io::Result<()> {
    let count = random.range(1..=3);
    let (limit, inside, extra) = (Semaphore::new(count as usize), Cell::new(0), Cell::new(0));
    let hold = || {
        inside.set(inside.get() + 1);
        assert!(inside.get() <= count + extra.get(), "permits are within bounds");
        let result = pause(random);
        inside.set(inside.get() - 1);
        result
    };
    let (hazards, waiting) = (Hazards::default(), Waiting::default());
    let audit = || waiting.none_if(limit.available() > 0);
    workers(random, &hazards, random.range(2..=5), &audit, |_| {
        for _ in 0..random.range(1..=4) {
            pause(random)?;
            match random.below(6) {
                0 => {
                    if let Some(_permit) = limit.try_acquire() {
                        hold()?;
                    }
                }
                1 => drop(hazards.run(random, || {
                    // By hand: it is given back whatever happens.
                    waiting.during(|| limit.acquire())?.forget();
                    let result = hold();
                    limit.release(1);
                    result
                })),
                2 => {
                    // More for a while, then less again.
                    extra.set(extra.get() + 2);
                    limit.release(2);
                    pause(random)?;
                    for _ in 0..2 {
                        waiting.during(|| limit.acquire())?.forget();
                    }
                    extra.set(extra.get() - 2);
                }
                _ => drop(hazards.run(random, || {
                    let _permit = waiting.during(|| limit.acquire())?;
                    hold()
                })),
            }
        }
        Ok(())
    })?;
    assert_eq!((limit.available() as u64, inside.get()), (count, 0));
    Ok(())
}

pub(super) fn bounded_semaphores(random: &Random) -> io::Result<()> {
    let count = random.range(1..=3) as usize;
    let (limit, held) = (BoundedSemaphore::new(count), Cell::new(0));
    let (hazards, waiting) = (Hazards::default(), Waiting::default());
    let audit = || waiting.none_if(limit.available() > 0);
    workers(random, &hazards, random.range(2..=5), &audit, |_| {
        for _ in 0..random.range(1..=4) {
            pause(random)?;
            hazards.run(random, || {
                waiting.during(|| limit.acquire())?.forget();
                held.set(held.get() + 1);
                assert!(held.get() + limit.available() <= count);
                let result = pause(random);
                held.set(held.get() - 1);
                limit.release(1)?;
                result
            });
            if held.get() == 0 && limit.available() == count {
                assert!(limit.release(1).is_err());
            }
        }
        Ok(())
    })?;
    assert_eq!((limit.available(), held.get()), (count, 0));
    Ok(())
}

/// Whoever waits when it is set goes on, even if it is cleared at once; whoever goes on saw it set.
pub(super) fn events(random: &Random) -> io::Result<()> {
    let (event, sets) = (Event::new(), Cell::new(0_u32));
    let (hazards, waiting) = (Hazards::default(), Waiting::default());
    scope(|s| {
        let strikes = s.spawn(|| hazards.strike(random, &|| waiting.none_if(event.is_set())));
        let waiters: Vec<_> = (0..random.range(1..=4))
            .map(|_| {
                s.spawn(|| {
                    for _ in 0..random.range(1..=3) {
                        pause(random)?;
                        hazards.run(random, || {
                            let (before, was_set) = (sets.get(), event.is_set());
                            waiting.during(|| event.wait())?;
                            assert!(was_set || sets.get() > before, "it goes on because it was set");
                            Ok(())
                        });
                    }
                    Ok(())
                })
            })
            .collect();
        for _ in 0..random.below(5) {
            pause(random)?;
            event.set();
            sets.set(sets.get() + 1);
            if random.one_in(2) {
                event.clear();
            }
        }
        pause(random)?;
        sets.set(sets.get() + 1);
        event.set(); // now everybody can go on
        waiters.into_iter().try_for_each(|waiter| waiter.join())?;
        hazards.stop();
        strikes.join()
    })
}

/// As many items as there are consumers, and one notification for each: all get one, whoever is cancelled meanwhile. The
/// lock is held after every wait.
pub(super) fn condvars(random: &Random) -> io::Result<()> {
    let (stock, changed, inside) = (Mutex::new(0_u32), Condvar::new(), Cell::new(false));
    let all = random.one_in(4);
    let alone = |random: &Random| -> io::Result<()> {
        assert!(!inside.replace(true), "the lock is held");
        if random.one_in(2) {
            shield(secs(1), yield_now)?;
        }
        assert!(inside.replace(false));
        Ok(())
    };
    let (hazards, waiting) = (Hazards::default(), Waiting::default());
    let audit = || {
        if let Some(stock) = stock.try_lock() {
            waiting.none_if(*stock > 0);
        }
    };
    let consumers = random.range(1..=4);
    scope(|s| {
        let strikes = s.spawn(|| hazards.strike(random, &audit));
        let consumers: Vec<_> = (0..consumers)
            .map(|_| {
                s.spawn(|| {
                    let mut got = None;
                    while got.is_none() {
                        got = hazards.run(random, || {
                            let mut stock = stock.lock()?;
                            let waited = waiting.during(|| changed.wait_until(&mut stock, |stock| *stock > 0));
                            alone(random)?;
                            waited?;
                            *stock -= 1;
                            Ok(())
                        });
                        if got.is_none() && random.one_in(2) {
                            pause(random)?;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        for _ in 0..consumers.len() {
            pause(random)?;
            let mut stock = stock.lock()?;
            alone(random)?;
            *stock += 1;
            if random.one_in(2) {
                drop(stock); // notified outside the lock, or inside
            }
            if all {
                changed.notify_all();
            } else {
                changed.notify_one();
            }
        }
        consumers.into_iter().try_for_each(|consumer| consumer.join())?;
        hazards.stop();
        strikes.join()
    })?;
    assert_eq!(stock.into_inner(), 0);
    Ok(())
}

/// Nobody goes on before all have come; places are given once; who was cancelled has not come, and comes again.
pub(super) fn barriers(random: &Random) -> io::Result<()> {
    const ROUNDS: usize = 3;
    let parties = random.range(1..=4);
    let barrier = Barrier::new(parties as usize);
    let came: RefCell<[BTreeSet<u64>; ROUNDS]> = RefCell::default();
    let places: RefCell<[BTreeSet<usize>; ROUNDS]> = RefCell::default();
    let (hazards, waiting) = (Hazards::default(), Waiting::default());
    scope(|s| {
        let resets = s.spawn(|| {
            for _ in 0..random.below(3) {
                sleep(millis(1))?;
                if random.one_in(2) {
                    barrier.reset();
                } else {
                    barrier.abort();
                    assert!(barrier.is_broken());
                    pause(random)?;
                    barrier.reset();
                }
            }
            Ok(())
        });
        let audit = || waiting.none_if(barrier.is_broken() || barrier.waiting() == parties as usize);
        workers(random, &hazards, parties, &audit, |name| {
            for round in 0..ROUNDS {
                pause(random)?;
                loop {
                    let place = hazards.run(random, || {
                        came.borrow_mut()[round].insert(name);
                        match waiting.during(|| barrier.wait()) {
                            Err(error) if is_broken_barrier(&error) => Ok(None),
                            place => place.map(Some),
                        }
                    });
                    if let Some(Some(place)) = place {
                        assert_eq!(came.borrow()[round].len() as u64, parties, "nobody goes on before all have come");
                        assert!(place < parties as usize && places.borrow_mut()[round].insert(place));
                        break;
                    }
                    sleep(millis(1))?;
                }
            }
            Ok(())
        })?;
        resets.join()
    })?;
    assert_eq!(barrier.waiting(), 0);
    Ok(())
}
