//! Queues, promises, and waits for several things: what is put is got once, whoever is cancelled meanwhile.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;

use corio::queue::Order;
use corio::testing::{self, Random};
use corio::{Event, Mutex, Promise, Queue, Semaphore, Which, after, is_cancelled, scope, select, spawn, yield_now};

use super::{Hazards, SCHEDULES, Waiting, moment, pause, workers};

#[test]
fn queue_fifo() {
    testing::explore(SCHEDULES, fifo);
}

#[test]
fn queue_of_other_orders() {
    testing::explore(SCHEDULES, other_orders);
}

#[test]
fn promise() {
    testing::explore(SCHEDULES, promises);
}

#[test]
fn selecting() {
    testing::explore(SCHEDULES, selects);
}

/// Who made an item, and as which of its own.
type Item = (u64, u32);

pub(super) fn fifo(random: &Random) -> io::Result<()> {
    let bound = random.range(1..=3) as usize;
    if random.one_in(4) { queue(random, &Queue::new(), true) } else { queue(random, &Queue::bounded(bound), true) }
}

pub(super) fn other_orders(random: &Random) -> io::Result<()> {
    let bound = random.range(1..=3) as usize;
    if random.one_in(2) {
        queue(random, &Queue::bounded_lifo(bound), false)
    } else {
        queue(random, &Queue::bounded_priority(bound), false)
    }
}

/// Producers and consumers. What was accepted comes out once, in the order of its producer; the bound is kept.
fn queue<S: Order<Item>>(random: &Random, queue: &Queue<Item, S>, in_order: bool) -> io::Result<()> {
    let (accepted, got) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let within = || assert!(queue.bound().is_none_or(|bound| queue.len() <= bound), "the bound is kept");
    let (hazards, getting, putting) = (Hazards::default(), Waiting::default(), Waiting::default());
    let audit = || {
        getting.none_if(!queue.is_empty() || queue.is_shut_down());
        putting.none_if(!queue.is_full() || queue.is_shut_down());
    };
    let produce = |name: u64| {
        for n in 0..random.range(1..=5) as u32 {
            pause(random)?;
            let item = (name, n);
            let put = match random.below(4) {
                0 => queue.try_put(item).is_ok(),
                1 => {
                    hazards.run(random, || {
                        let slot = putting.during(|| queue.reserve())?;
                        let result = pause(random); // it keeps the room meanwhile
                        if random.below(3) > 0 {
                            slot.put(item);
                            accepted.borrow_mut().push(item);
                        }
                        result
                    });
                    false // noted already
                }
                2 => {
                    let put = hazards.run(random, || {
                        match putting.during(|| select((queue.reserving(), after(moment(random)))))? {
                            Which::A(slot) => {
                                slot?.put(item);
                                Ok(true)
                            }
                            Which::B(()) => Ok(false),
                        }
                    });
                    put == Some(true)
                }
                _ => hazards.run(random, || putting.during(|| queue.put(item))).is_some(),
            };
            within();
            if put {
                accepted.borrow_mut().push(item);
            }
        }
        Ok(())
    };
    let consume = || {
        let mut last = BTreeMap::new();
        let mut take = |(producer, n): Item| {
            got.borrow_mut().push((producer, n));
            let before = last.insert(producer, n);
            assert!(!in_order || before < Some(n), "items of one producer come in its order");
            queue.task_done()
        };
        loop {
            within();
            pause(random)?;
            match random.below(4) {
                0 => {
                    if let Ok(item) = queue.try_get() {
                        take(item)?;
                    }
                    pause(random)?;
                }
                1 => {
                    let end = hazards.run(random, || {
                        for item in queue {
                            take(item?)?;
                            pause(random)?;
                        }
                        Ok(())
                    });
                    if end.is_some() {
                        return Ok(());
                    }
                }
                2 => drop(hazards.run(random, || match getting.during(|| select((after(moment(random)), queue)))? {
                    Which::A(()) => Ok(()),
                    Which::B(Ok(item)) => take(item),
                    Which::B(Err(_)) => Ok(()),
                })),
                _ => {
                    let item = hazards.run(random, || match getting.during(|| queue.get()) {
                        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
                        item => item.map(Some),
                    });
                    match item {
                        Some(Some(item)) => take(item)?,
                        Some(None) => return Ok(()),
                        None => {}
                    }
                }
            }
            if queue.is_shut_down() && queue.is_empty() {
                return Ok(());
            }
        }
    };
    scope(|s| {
        let consumers: Vec<_> = (0..random.range(1..=3)).map(|_| s.spawn(consume)).collect();
        workers(random, &hazards, random.range(1..=3), &audit, produce)?;
        if random.one_in(2) {
            queue.join()?;
            assert_eq!(accepted.borrow().len(), got.borrow().len(), "all that was put has been worked on");
        }
        queue.shutdown();
        assert!(queue.try_put((99, 99)).is_err());
        consumers.into_iter().try_for_each(|consumer| consumer.join())
    })?;
    assert!(queue.is_empty() && !queue.is_full());
    let (mut accepted, mut got) = (accepted.take(), got.take());
    accepted.sort_unstable();
    got.sort_unstable();
    assert_eq!(accepted, got, "what was put comes out once");
    Ok(())
}

/// Set once; all who wait learn the same; one takes it.
pub(super) fn promises(random: &Random) -> io::Result<()> {
    let (resolver, promise) = Promise::<u64>::pair();
    let (end, taken) = (random.below(5), Cell::new(0));
    let (hazards, waiting) = (Hazards::default(), Waiting::default());
    let taking = end == 0;
    let keeper = spawn({
        let random = random.clone();
        move || {
            pause(&random)?;
            match end {
                0 | 1 => assert_eq!(resolver.set(7), Ok(())),
                2 => assert!(resolver.fail(io::Error::other("no")).is_ok()),
                3 => drop(resolver),
                _ => {
                    let (own, other) = (resolver.clone(), resolver);
                    assert_eq!(own.set(7), Ok(()));
                    yield_now()?;
                    assert_eq!(other.set(8), Err(8), "once");
                }
            }
            Ok(())
        }
    });
    workers(random, &hazards, random.range(1..=4), &|| waiting.none_if(promise.is_done()), |_| {
        let mut answer = None;
        while answer.is_none() {
            pause(random)?;
            answer = hazards.run(random, || {
                let answer = waiting.during(|| if taking { promise.take() } else { promise.get() });
                match answer {
                    Err(error) if is_cancelled(&error) => Err(error),
                    answer => Ok(answer),
                }
            });
        }
        match (answer.expect("an answer"), end) {
            (Ok(7), 0) => taken.set(taken.get() + 1),
            (Ok(7), 1 | 4) => {}
            (Err(error), 0) => assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "another has taken it"),
            (Err(error), 2) => assert_eq!(error.to_string(), "no"),
            (Err(error), 3) => assert_eq!(error.kind(), io::ErrorKind::BrokenPipe),
            (answer, end) => panic!("{answer:?} of {end}"),
        }
        Ok(())
    })?;
    keeper.join()?;
    assert_eq!(taken.get(), u32::from(taking), "one takes it");
    Ok(())
}

/// Of several things one happens: an item, a permit, a lock, an event, a moment. Nothing of the others is lost.
pub(super) fn selects(random: &Random) -> io::Result<()> {
    let (queue, limit, lock, event) = (Queue::<u32>::new(), Semaphore::new(1), Mutex::new(0_u32), Event::new());
    let (put, got, locked, inside) = (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(false));
    let hazards = Hazards::default();
    let [for_lock, for_limit, for_rest] = [(); 3].map(|()| Waiting::default());
    let change = |value: &mut u32| {
        assert!(!inside.replace(true), "one owner at a time");
        let old = *value;
        let result = pause(random);
        *value = old + 1;
        locked.set(locked.get() + 1);
        inside.set(false);
        result
    };
    let audit = || {
        for_lock.none_if(!lock.is_locked());
        for_limit.none_if(limit.available() > 0);
        for_rest.none_if(!queue.is_empty() || event.is_set());
    };
    workers(random, &hazards, random.range(2..=4), &audit, |_| {
        for _ in 0..random.range(1..=5) {
            pause(random)?;
            match random.below(8) {
                0 => {
                    queue.put(1)?;
                    put.set(put.get() + 1);
                }
                1 => drop(hazards.run(random, || change(&mut *for_lock.during(|| lock.lock())?))),
                2 => drop(hazards.run(random, || {
                    let _permit = for_limit.during(|| limit.acquire())?;
                    pause(random)
                })),
                3 => {
                    event.set();
                    event.clear();
                }
                4 => drop(hazards.run(random, || {
                    match for_lock.during(|| for_limit.during(|| select((&lock, &limit))))? {
                        Which::A(mut guard) => change(&mut guard),
                        Which::B(_permit) => pause(random),
                    }
                })),
                5 => drop(hazards.run(random, || {
                    // The same thing twice is legal, and one of the two is given.
                    match for_limit.during(|| select((&limit, &limit, after(moment(random)))))? {
                        Which::A(_permit) | Which::B(_permit) => pause(random),
                        Which::C(()) => Ok(()),
                    }
                })),
                _ => drop(hazards.run(random, || {
                    let all = || select((&queue, &event, &lock, &limit, after(moment(random))));
                    match for_lock.during(|| for_limit.during(|| for_rest.during(all)))? {
                        Which::A(item) => {
                            item?;
                            got.set(got.get() + 1);
                            Ok(())
                        }
                        Which::C(mut guard) => change(&mut guard),
                        Which::D(_permit) => pause(random),
                        Which::B(()) | Which::E(()) => Ok(()),
                    }
                })),
            }
        }
        Ok(())
    })?;
    assert_eq!(put.get(), got.get() + queue.len() as u32, "items are conserved");
    assert_eq!(limit.available(), 1, "permits too");
    assert!(!lock.is_locked());
    assert_eq!(lock.into_inner(), locked.get());
    Ok(())
}
