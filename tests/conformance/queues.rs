//! QUEUE: items from task to task. More in `tests/queue.rs`.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use crate::common::{Log, panic_of, sim};
use corio::{
    Outcome, Queue, TryGetError, TryPutError, call_soon, is_cancelled, is_timed_out, scope, secs, spawn, timeout,
    yield_now,
};

/// Whether a turn of the loop passed while `f` ran.
fn paused<R>(f: impl FnOnce() -> R) -> (bool, R) {
    let turned = Rc::new(Cell::new(false));
    let t = turned.clone();
    call_soon(move || t.set(true));
    let result = f();
    (turned.get(), result)
}

/// Lets everybody who is ready have some turns.
fn settle() -> io::Result<()> {
    (0..5).try_for_each(|_| yield_now())
}

fn is_shut_down<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// QUEUE-01: first in, first out; last in, first out; the smallest first.
#[test]
fn three_orders() {
    sim(|| {
        let (fifo, lifo, priority) = (Queue::new(), Queue::lifo(), Queue::priority());
        for n in [3, 1, 2] {
            fifo.put(n)?;
            lifo.put(n)?;
            priority.put(n)?;
        }
        assert_eq!([fifo.get()?, fifo.get()?, fifo.get()?], [3, 1, 2]);
        assert_eq!([lifo.get()?, lifo.get()?, lifo.get()?], [2, 1, 3]);
        assert_eq!([priority.get()?, priority.get()?, priority.get()?], [1, 2, 3]);
        Ok(())
    })
    .unwrap();
}

/// QUEUE-02: what has no room is refused and given back; what is empty says so; without a bound there is always room. A
/// bound of nothing is a mistake: no bound is `Queue::new`.
#[test]
fn without_waiting_full_and_empty_are_errors() {
    sim(|| {
        let one = Queue::bounded(1);
        assert_eq!(one.try_get(), Err(TryGetError::Empty));
        one.try_put('a').unwrap();
        assert!(one.is_full() && matches!(one.try_put('b'), Err(TryPutError::Full('b'))));
        assert_eq!(one.try_get(), Ok('a'));
        let many = Queue::new();
        for n in 0..10_000 {
            assert!(!many.is_full());
            many.try_put(n).unwrap();
        }
        assert_eq!((many.len(), many.bound()), (10_000, None));
        Ok(())
    })
    .unwrap();
    panic_of(|| Queue::<u32>::bounded(0));
}

/// QUEUE-03: a put that has room and a get that finds an item do not pause.
#[test]
fn what_need_not_wait_does_not() {
    sim(|| {
        let queue = Queue::bounded(3);
        let (waited, result) = paused(|| {
            (0..3).try_for_each(|n| queue.put(n))?;
            (0..3).map(|_| queue.get()).sum::<io::Result<u32>>()
        });
        assert_eq!((waited, result?), (false, 3));
        Ok(())
    })
    .unwrap();
}

/// QUEUE-04 and QUEUE-09: getters are served in the order in which they came, and so are putters: with room for one,
/// the items come out in the order of the putters, and each is done when its item goes in.
#[test]
fn getters_and_putters_are_served_in_order() {
    let log = Log::default();
    sim(|| {
        let queue = Queue::bounded(1);
        scope(|s| {
            for name in ["a", "b", "c"] {
                let (queue, log) = (&queue, &log);
                s.spawn(move || {
                    log.say(format_args!("{name}{}", queue.get()?));
                    Ok(())
                });
            }
            yield_now()?;
            (0..3).try_for_each(|n| queue.put(n))
        })?;
        assert_eq!(log.take(), "a0 b1 c2");
        let queue = Queue::bounded(1);
        scope(|s| {
            queue.put("first")?;
            let putters = ["a", "b", "c"].map(|name| {
                let queue = &queue;
                s.spawn(move || queue.put(name))
            });
            let done = || putters.iter().filter(|putter| putter.is_done()).count();
            settle()?;
            assert_eq!(done(), 0);
            for (n, expected) in ["first", "a", "b", "c"].into_iter().enumerate() {
                assert_eq!(queue.get()?, expected);
                settle()?;
                assert_eq!(done(), (n + 1).min(3));
            }
            Ok(())
        })
    })
    .unwrap();
}

/// QUEUE-05, E3: a getter that was given an item and is cancelled before it goes on has the item; it is neither lost nor
/// doubled, and the cancel is met at the next wait.
#[test]
fn e3_a_cancelled_getter_takes_no_item_with_it() {
    let log = Log::default();
    sim(|| {
        let queue = Queue::new();
        scope(|s| {
            let a = s.spawn(|| {
                log.say(format_args!("a{}", queue.get()?));
                queue.get()
            });
            let b = s.spawn(|| queue.get().map(|n| log.say(format_args!("b{n}"))));
            yield_now()?;
            queue.put(1)?;
            a.cancel();
            assert!(matches!(a.outcome(), Outcome::Cancelled(_)));
            assert_eq!(log.take(), "a1");
            assert!(!b.is_done() && queue.is_empty());
            queue.put(2)?;
            b.join()
        })
    })
    .unwrap();
    assert_eq!(log.take(), "b2");
}

/// QUEUE-06, E3: a putter that was given room and is cancelled before it goes on has put its item; one that is cancelled
/// while it waits puts nothing, and whoever waits behind it gets the room.
#[test]
fn e3_a_cancelled_putter_has_put_its_item_or_passes_the_room_on() {
    sim(|| {
        let queue = Queue::bounded(1);
        scope(|s| {
            queue.put(0)?;
            let putters = [1, 2, 3].map(|n| {
                let queue = &queue;
                s.spawn(move || queue.put(n))
            });
            yield_now()?;
            putters[0].cancel(); // it waits
            settle()?;
            assert!(putters[0].cancelled());
            assert_eq!(queue.get()?, 0);
            putters[1].cancel(); // the room is its own
            settle()?;
            assert!(putters[1].is_done() && !putters[1].cancelled() && !putters[2].is_done());
            assert_eq!((queue.get()?, queue.get()?), (2, 3));
            // A place that was kept and is not used goes to the next.
            queue.put(4)?;
            let next = s.spawn(|| queue.put(5));
            yield_now()?;
            let taken = queue.get()?;
            next.join()?;
            assert_eq!((taken, queue.get()?, queue.is_empty()), (4, 5, true));
            let slot = queue.reserve()?;
            let waits = s.spawn(|| queue.put(6));
            settle()?;
            assert!(!waits.is_done());
            drop(slot);
            waits.join()?;
            assert_eq!(queue.get()?, 6);
            Ok(())
        })
    })
    .unwrap();
}

/// QUEUE-07: a getter that is cancelled while it waits goes; what comes later goes to the others.
#[test]
fn a_cancelled_getter_is_skipped() {
    sim(|| {
        let queue = Queue::new();
        scope(|s| {
            let tasks = [0, 1, 2].map(|_| s.spawn(|| queue.get()));
            yield_now()?;
            tasks[0].cancel();
            settle()?;
            queue.put(1)?;
            queue.put(2)?;
            let [a, b, c] = tasks;
            assert!(is_cancelled(&a.join().unwrap_err()));
            assert_eq!((b.join()?, c.join()?), (1, 2));
            Ok(())
        })
    })
    .unwrap();
}

/// QUEUE-08: an item that was given to a getter is promised to it: who comes without waiting does not get it, and nobody
/// has to wait again.
#[test]
fn nobody_takes_what_is_promised_to_a_getter() {
    sim(|| {
        let queue = Queue::new();
        scope(|s| {
            let (a, b) = (s.spawn(|| queue.get()), s.spawn(|| queue.get()));
            yield_now()?;
            queue.put(1)?;
            assert_eq!(queue.try_get(), Err(TryGetError::Empty));
            assert_eq!(a.join()?, 1);
            assert!(!b.is_done());
            queue.put(2)?;
            queue.put(3)?;
            let free = queue.try_get().expect("one is promised, one is free");
            assert_eq!(queue.try_get(), Err(TryGetError::Empty));
            let mut both = [free, b.join()?];
            both.sort();
            assert_eq!((both, queue.is_empty()), ([2, 3], true));
            Ok(())
        })
    })
    .unwrap();
}

/// QUEUE-10 and QUEUE-11: `join` returns at once if nothing was put, and otherwise when `task_done` was called once for each
/// item: at the moment at which nothing is unfinished, although more is put before the waiter goes on.
#[test]
fn join_waits_until_everything_is_done() {
    sim(|| {
        let queue = Queue::new();
        let (waited, result) = paused(|| queue.join());
        result?;
        assert!(!waited);
        scope(|s| {
            queue.put(1)?;
            queue.put(2)?;
            let joiner = s.spawn(|| queue.join());
            yield_now()?;
            queue.get()?;
            queue.get()?;
            queue.task_done()?;
            settle()?;
            assert!(!joiner.is_done());
            queue.task_done()?;
            queue.put(3)?; // too late to hold it back
            settle()?;
            assert!(joiner.is_done());
            joiner.join()
        })
    })
    .unwrap();
}

/// QUEUE-12: `task_done` more often than there were items is an error, and the count stays at none.
#[test]
fn more_done_than_put_is_an_error() {
    sim(|| {
        let queue = Queue::new();
        assert_eq!(queue.task_done().unwrap_err().kind(), ErrorKind::InvalidInput);
        queue.put(1)?;
        queue.get()?;
        queue.task_done()?;
        assert!(queue.task_done().is_err());
        queue.join()
    })
    .unwrap();
}

/// QUEUE-13, E8: a full queue with a putter that waits is shut down: the putter is told and its item is not in; what is in
/// can be taken, and then gets are told; puts are told; `join` still counts what was taken.
#[test]
fn e8_a_queue_that_is_shut_down_gives_out_what_it_has() {
    sim(|| {
        let queue = Queue::bounded(2);
        scope(|s| {
            queue.put(1)?;
            queue.put(2)?;
            let putter = s.spawn(|| Ok(queue.put(3)));
            yield_now()?;
            queue.shutdown();
            assert!(is_shut_down(putter.join()?));
            let joiner = s.spawn(|| queue.join());
            assert_eq!((queue.get()?, queue.get()?), (1, 2));
            assert!(is_shut_down(queue.get()) && is_shut_down(queue.put(4)));
            queue.task_done()?;
            settle()?;
            assert!(!joiner.is_done());
            queue.task_done()?;
            joiner.join()
        })
    })
    .unwrap();
}

/// E8: each getter that waits at an empty queue is told once that it was shut down.
#[test]
fn e8_every_waiting_getter_is_told_once() {
    sim(|| {
        let queue = Queue::<u32>::new();
        let told = Cell::new(0);
        scope(|s| {
            for _ in 0..5 {
                s.spawn(|| {
                    assert!(is_shut_down(queue.get()));
                    told.set(told.get() + 1);
                    Ok(())
                });
            }
            yield_now()?;
            queue.shutdown();
            queue.shutdown();
            Ok(())
        })?;
        assert_eq!(told.get(), 5);
        Ok(())
    })
    .unwrap();
}

/// QUEUE-14: an immediate shutdown drops what is in the queue and counts it as done, but not what was taken already.
#[test]
fn an_immediate_shutdown_drops_what_is_left() {
    let log = Log::default();
    sim(|| {
        let queue = Queue::new();
        for n in 0..3 {
            queue.put(log.at_drop(n.to_string()))?;
        }
        let taken = queue.get()?;
        scope(|s| {
            let joiner = s.spawn(|| queue.join());
            yield_now()?;
            queue.shutdown_now();
            assert_eq!(log.take(), "1 2");
            assert!(is_shut_down(queue.get()));
            settle()?;
            assert!(!joiner.is_done(), "one was taken, and is not done");
            queue.task_done()?;
            joiner.join()
        })?;
        drop(taken);
        Ok(())
    })
    .unwrap();
}

/// QUEUE-15: an item that was put just before the shutdown is delivered, to a getter that waited for it or to one that comes.
#[test]
fn what_was_put_before_the_shutdown_is_delivered() {
    sim(|| {
        let queue = Queue::new();
        scope(|s| {
            let waiting = s.spawn(|| queue.get());
            let hungry = s.spawn(|| Ok(queue.get()));
            yield_now()?;
            queue.put(1)?;
            queue.shutdown();
            assert_eq!(waiting.join()?, 1);
            assert!(is_shut_down(hungry.join()?));
            Ok(())
        })?;
        let queue = Queue::new();
        queue.put(2)?;
        queue.shutdown();
        assert_eq!(queue.get()?, 2);
        assert!(is_shut_down(queue.get()));
        Ok(())
    })
    .unwrap();
}

/// QUEUE-16: after the shutdown a put without waiting is refused, and a get without waiting once the queue is empty.
#[test]
fn without_waiting_a_shutdown_is_told_too() {
    sim(|| {
        let queue = Queue::new();
        queue.put(1)?;
        queue.shutdown();
        assert!(matches!(queue.try_put(2), Err(TryPutError::ShutDown(2))));
        assert_eq!((queue.try_get(), queue.try_get()), (Ok(1), Err(TryGetError::ShutDown)));
        Ok(())
    })
    .unwrap();
}

/// QUEUE-17: room that was given to a putter is its own: who comes without waiting finds the queue full, and the putter
/// does not have to wait again.
#[test]
fn nobody_takes_the_room_that_is_kept_for_a_putter() {
    sim(|| {
        let queue = Queue::bounded(1);
        scope(|s| {
            queue.put(1)?;
            let putter = s.spawn(|| queue.put(2));
            yield_now()?;
            assert_eq!(queue.get()?, 1);
            assert!(queue.is_full() && matches!(queue.try_put(3), Err(TryPutError::Full(3))));
            putter.join()?;
            assert_eq!(queue.get()?, 2);
            Ok(())
        })
    })
    .unwrap();
}

/// QUEUE-18 and WAITFOR-10: a limit around a get or a put that is met loses nothing and leaves no waiter: later items and
/// later room go to whoever comes later.
#[test]
fn a_limit_around_a_get_or_a_put_leaves_no_waiter() {
    sim(|| {
        let queue = Queue::bounded(1);
        assert!(is_timed_out(&timeout(secs(1), || queue.get()).unwrap_err()));
        queue.put(1)?;
        assert!(is_timed_out(&timeout(secs(1), || queue.put(2)).unwrap_err()));
        assert_eq!((queue.len(), queue.try_get()), (1, Ok(1)));
        assert_eq!(queue.try_get(), Err(TryGetError::Empty));
        queue.try_put(3).unwrap();
        assert_eq!(queue.get()?, 3);
        Ok(())
    })
    .unwrap();
}

/// GEN-08: iterating over a queue ends at its shutdown, when it is empty; a cancellation is one error, and then the end.
#[test]
fn iterating_over_a_queue_ends_at_its_shutdown() {
    sim(|| {
        let queue = Rc::new(Queue::new());
        let q = queue.clone();
        let consumer = spawn(move || (&*q).into_iter().collect::<io::Result<Vec<u32>>>());
        for n in 0..3 {
            queue.put(n)?;
            yield_now()?;
        }
        queue.put(3)?;
        queue.shutdown();
        assert_eq!(consumer.join()?, [0, 1, 2, 3]);

        let queue = Rc::new(Queue::<u32>::new());
        let consumer = spawn(move || {
            let seen: Vec<_> =
                (&*queue).into_iter().map(|item| item.is_err_and(|error| is_cancelled(&error))).collect();
            assert_eq!(seen, [true]);
            Ok(())
        });
        yield_now()?;
        consumer.cancel();
        consumer.join()
    })
    .unwrap();
}
