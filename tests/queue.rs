//! Queues and promises.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use corio::*;

fn run_virtual<R: IntoResult>(main: impl FnOnce() -> R) -> io::Result<R::Value> {
    Runner::new().virtual_clock().run(main)
}

#[test]
fn queue_01_each_kind_has_its_order_and_equal_priorities_keep_theirs() {
    run_virtual(|| {
        let (fifo, lifo, priority) = (Queue::new(), Queue::lifo(), Queue::priority());
        for item in [(3, 'a'), (1, 'b'), (3, 'c'), (2, 'd')] {
            fifo.put(item)?;
            lifo.put(item)?;
            priority.put(item.0 * 10)?;
        }
        let letters =
            |q: &mut dyn FnMut() -> Option<(i32, char)>| std::iter::from_fn(q).map(|i| i.1).collect::<String>();
        assert_eq!(letters(&mut || fifo.try_get().ok()), "abcd");
        assert_eq!(letters(&mut || lifo.try_get().ok()), "dcba");
        assert_eq!(std::iter::from_fn(|| priority.try_get().ok()).collect::<Vec<_>>(), [10, 20, 30, 30]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn equal_priorities_come_out_in_the_order_in_which_they_came() {
    #[derive(Debug, Clone, Copy)]
    struct Job(u32, &'static str);
    impl PartialEq for Job {
        fn eq(&self, other: &Job) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Job {}
    impl PartialOrd for Job {
        fn partial_cmp(&self, other: &Job) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Job {
        fn cmp(&self, other: &Job) -> std::cmp::Ordering {
            self.0.cmp(&other.0)
        }
    }
    let queue = Queue::priority();
    for job in [Job(2, "a"), Job(1, "b"), Job(2, "c"), Job(1, "d"), Job(2, "e")] {
        queue.try_put(job).unwrap();
    }
    let order: String = std::iter::from_fn(|| queue.try_get().ok()).map(|job| job.1).collect();
    assert_eq!(order, "bdace");
}

#[test]
fn queue_04_queue_09_getters_and_putters_are_served_in_order() {
    run_virtual(|| {
        let queue = Queue::bounded(1);
        let log = RefCell::new(Vec::new());
        scope(|s| {
            for n in 1..=3 {
                let (queue, log) = (&queue, &log);
                s.spawn(move || {
                    queue.put(n)?;
                    log.borrow_mut().push(n);
                    Ok(())
                });
            }
            sleep(millis(1))?;
            for n in 1..=3 {
                assert_eq!(queue.get()?, n);
                sleep(millis(1))?;
            }
            assert_eq!(*log.borrow(), [1, 2, 3]);
            let got = ["a", "b", "c"].map(|name| {
                let (queue, log) = (&queue, &log);
                log.borrow_mut().clear();
                s.spawn(move || Ok((name, queue.get()?)))
            });
            yield_now()?;
            for n in 10..13 {
                queue.put(n)?;
            }
            let got = got.map(|task| task.join().unwrap());
            assert_eq!(got, [("a", 10), ("b", 11), ("c", 12)]);
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn queue_05_queue_06_e3_a_grant_that_meets_a_cancel_neither_loses_nor_doubles() {
    run_virtual(|| {
        let (queue, got) = (Queue::bounded(1), Cell::new(None));
        scope(|s| {
            let getter = s.spawn(|| {
                got.set(Some(queue.get()?));
                sleep(secs(1))
            });
            yield_now()?;
            queue.put(1)?;
            getter.cancel(); // woken, and not yet run: it has the item, and meets the cancel at its next wait
            assert!(matches!(getter.outcome(), Outcome::Cancelled(_)));
            assert!(queue.is_empty() && got.get() == Some(1));

            queue.put(2)?;
            let putter = s.spawn(|| queue.put(3));
            yield_now()?;
            putter.cancel();
            assert!(matches!(putter.outcome(), Outcome::Cancelled(_)));
            assert_eq!(queue.try_get(), Ok(2));
            assert_eq!(queue.try_get(), Err(TryGetError::Empty), "a cancelled put puts nothing");
            assert!(queue.try_put(4).is_ok(), "and keeps no room");
            s.cancel();
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn who_makes_room_takes_the_item_of_the_first_putter() {
    run_virtual(|| {
        let queue = Queue::bounded(1);
        queue.put(0)?;
        scope(|s| {
            let [first, second] = [1, 2].map(|n| {
                let queue = &queue;
                s.spawn(move || queue.put(n))
            });
            yield_now()?;
            assert_eq!(queue.get()?, 0);
            assert!(queue.is_full() && !first.is_done(), "its item is in, and it has not run since");
            first.cancel(); // too late: it has put
            assert_eq!(queue.try_get(), Ok(1));
            assert_eq!(queue.try_get(), Ok(2));
            assert_eq!(queue.try_get(), Err(TryGetError::Empty));
            first.join()?;
            second.join()
        })
    })
    .unwrap();
}

#[test]
fn queue_08_what_is_promised_to_a_getter_cannot_be_taken_by_another() {
    run_virtual(|| {
        let queue = Queue::new();
        scope(|s| {
            let getter = s.spawn(|| queue.get());
            yield_now()?;
            queue.put(1)?;
            assert_eq!(queue.try_get(), Err(TryGetError::Empty));
            assert_eq!(getter.join()?, 1);
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn queue_10_queue_11_queue_12_join_waits_for_the_work() {
    run_virtual(|| {
        let queue = Queue::new();
        queue.join()?;
        queue.put(())?;
        queue.put(())?;
        scope(|s| {
            let joiner = s.spawn(|| queue.join());
            queue.get()?;
            queue.get()?;
            queue.task_done()?;
            yield_now()?;
            assert!(!joiner.is_done());
            queue.task_done()?;
            joiner.join()?;
            assert_eq!(queue.task_done().unwrap_err().kind(), io::ErrorKind::InvalidInput);
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn queue_13_queue_16_e8_a_queue_that_is_shut_down_gives_what_it_has_and_ends() {
    run_virtual(|| {
        let queue = Queue::bounded(2);
        queue.put(1)?;
        queue.put(2)?;
        scope(|s| {
            let putter = s.spawn(|| Ok(queue.put(3).unwrap_err().kind()));
            yield_now()?;
            queue.shutdown();
            assert_eq!(putter.join()?, io::ErrorKind::BrokenPipe);
            assert_eq!(queue.try_put(4), Err(TryPutError::ShutDown(4)));
            assert_eq!(queue.into_iter().collect::<io::Result<Vec<_>>>()?, [1, 2]);
            assert_eq!(queue.get().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(queue.try_get(), Err(TryGetError::ShutDown));
            let joiner = s.spawn(|| queue.join());
            queue.task_done()?;
            queue.task_done()?;
            joiner.join()
        })
    })
    .unwrap();
}

#[test]
fn queue_14_shut_down_at_once_drops_what_is_left_and_counts_it_as_done() {
    run_virtual(|| {
        let queue = Queue::new();
        for n in 0..3 {
            queue.put(Rc::new(n))?;
        }
        let taken = queue.get()?;
        queue.shutdown_now();
        assert!(queue.is_empty());
        scope(|s| {
            let joiner = s.spawn(|| queue.join());
            yield_now()?;
            assert!(!joiner.is_done(), "one was taken, and is not done");
            queue.task_done()?;
            joiner.join()
        })?;
        assert_eq!(Rc::strong_count(&taken), 1);
        Ok(())
    })
    .unwrap();
}

#[test]
fn queue_18_a_time_limit_around_get_leaves_nothing_behind() {
    run_virtual(|| {
        let queue = Queue::new();
        assert!(is_timed_out(&timeout(secs(1), || queue.get()).unwrap_err()));
        queue.put(7)?;
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.get()?, 7);
        Ok(())
    })
    .unwrap();
}

#[test]
fn iterating_ends_with_one_error_when_the_task_is_cancelled() {
    run_virtual(|| {
        let queue = Rc::new(Queue::<u32>::new());
        let items = queue.clone();
        let task = spawn(move || {
            let all: Vec<_> = items.into_iter().map(|item| item.map_err(|e| is_cancelled(&e))).collect();
            Ok(all)
        });
        queue.put(1)?;
        yield_now()?;
        task.cancel();
        assert_eq!(task.join()?, [Ok(1), Err(true)]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn fut_04_to_fut_07_a_promise_is_kept_once_or_given_up() {
    run_virtual(|| {
        let promise = Promise::new();
        assert!(!promise.is_done() && promise.try_take().is_none());
        promise.set(1).unwrap();
        assert_eq!(promise.set(2), Err(2));
        assert!(!promise.cancel() && promise.is_done());
        assert_eq!(promise.get()?, 1);
        assert_eq!(promise.take()?, 1);
        assert_eq!(promise.take().unwrap_err().kind(), io::ErrorKind::InvalidInput);

        let promise = Promise::<i32>::new();
        assert!(promise.cancel() && promise.cancelled() && !promise.cancel());
        assert!(is_cancelled(&promise.take().unwrap_err()));
        assert_eq!(promise.set(3), Err(3));
        Ok(())
    })
    .unwrap();
}

#[test]
fn fut_14_fut_20_all_who_wait_are_told_also_that_nobody_is_left_to_keep_it() {
    run_virtual(|| {
        let (resolver, promise) = Promise::<u32>::pair();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let promise = promise.clone();
                spawn(move || promise.get())
            })
            .collect();
        yield_now()?;
        drop(resolver.clone()); // not the last
        yield_now()?;
        assert!(!promise.is_done());
        drop(resolver);
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn fut_08_fut_10_callbacks_run_later_and_in_order() {
    run_virtual(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let promise = Promise::new();
        for n in 0..3 {
            let log = log.clone();
            promise.on_done(move |promise| log.borrow_mut().push((n, promise.is_done())));
        }
        promise.set(()).unwrap();
        assert!(log.borrow().is_empty());
        yield_now()?;
        assert_eq!(*log.borrow(), [(0, true), (1, true), (2, true)]);
        Ok(())
    })
    .unwrap();
}

/// What a `put` was told is done must be there for whoever takes the rest.
#[test]
fn queue_16_the_end_waits_for_those_who_have_a_place() {
    run_virtual(|| {
        let queue = Queue::bounded(1);
        queue.put(1)?;
        scope(|s| {
            let putter = s.spawn(|| queue.reserve().map(|place| place.put(2)));
            yield_now()?;
            assert_eq!(queue.get()?, 1); // and the putter has the place
            queue.shutdown();
            assert_eq!(queue.try_get(), Err(TryGetError::Empty), "one more will come");
            assert_eq!((&queue).into_iter().collect::<io::Result<Vec<_>>>()?, [2]);
            putter.join()
        })
    })
    .unwrap();
}

#[test]
fn who_waits_for_an_item_learns_the_end_when_the_last_place_is_used_or_given_up() {
    run_virtual(|| {
        for used in [true, false] {
            let queue = Queue::bounded(3);
            scope(|s| {
                let slot = queue.reserve()?;
                let getters = [s.spawn(|| Ok(queue.get().is_ok())), s.spawn(|| Ok(queue.get().is_ok()))];
                yield_now()?;
                queue.shutdown();
                yield_now()?;
                assert!(!getters[0].is_done());
                if used {
                    slot.put(1);
                } else {
                    drop(slot);
                }
                assert_eq!(getters.map(|getter| getter.join().unwrap()), [used, false]);
                Ok(())
            })?;
        }
        Ok(())
    })
    .unwrap();
}

/// An item whose order is the business of the test.
struct Touchy<'a>(u32, &'a dyn Fn());

impl Ord for Touchy<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.1();
        self.0.cmp(&other.0)
    }
}
impl PartialOrd for Touchy<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Touchy<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Touchy<'_> {}

fn caught<R>(f: impl FnOnce() -> R) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err()
}

#[test]
fn a_comparison_that_panics_neither_hides_an_item_nor_keeps_a_place() {
    run_virtual(|| {
        let angry = Cell::new(false);
        let compare = || assert!(!angry.get(), "on purpose");
        let queue = Queue::bounded_priority(3);
        scope(|s| {
            queue.put(Touchy(2, &compare))?;
            let slot = queue.reserve()?;
            angry.set(true);
            assert!(caught(|| slot.put(Touchy(1, &compare))));
            assert_eq!(queue.len(), 2, "it is in the queue, in whatever place");
            angry.set(false);
            queue.put(Touchy(3, &compare))?;
            let putter = s.spawn(|| queue.put(Touchy(4, &compare)));
            yield_now()?;
            angry.set(true);
            assert!(caught(|| queue.try_get().is_ok()), "what it took is gone, as if its taker had panicked");
            angry.set(false);
            putter.join()?; // there is room
            assert_eq!(queue.len(), 3);
            queue.shutdown();
            assert_eq!((&queue).into_iter().count(), 3);
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn what_runs_inside_a_queue_or_a_promise_cannot_wait_there_or_use_it() {
    run_virtual(|| {
        let queue = Queue::priority();
        let reenter = Cell::new(false);
        let again = || {
            if reenter.get() {
                let _ = queue.try_get();
            }
        };
        let pause = || yield_now().unwrap();
        let pausing = Queue::priority();
        pausing.put(Touchy(1, &pause))?;
        assert!(caught(|| pausing.try_put(Touchy(2, &pause)).is_ok()));
        assert_eq!(pausing.len(), 2);
        queue.put(Touchy(1, &again))?;
        reenter.set(true);
        assert!(caught(|| queue.try_put(Touchy(2, &again)).is_ok()));
        reenter.set(false);
        assert_eq!(queue.len(), 2);

        struct Pausing;
        impl Clone for Pausing {
            fn clone(&self) -> Pausing {
                yield_now().unwrap();
                Pausing
            }
        }
        let promise = Promise::new();
        let _ = promise.set(Pausing);
        assert!(caught(|| promise.get().is_ok()));
        assert!(promise.take().is_ok(), "and it is as it was");
        Ok(())
    })
    .unwrap();
}

#[test]
fn items_that_use_their_queue_while_they_are_dropped_by_its_end() {
    struct Item(Rc<Queue<Item>>, Rc<Cell<u32>>);
    impl Drop for Item {
        fn drop(&mut self) {
            self.1.set(self.1.get() + 1);
            assert!(self.0.is_shut_down() && self.0.is_empty());
            assert!(self.0.try_get().is_err());
            self.0.shutdown_now();
        }
    }
    run_virtual(|| {
        let (queue, dropped) = (Rc::new(Queue::new()), Rc::new(Cell::new(0)));
        for _ in 0..3 {
            queue.put(Item(queue.clone(), dropped.clone()))?;
        }
        queue.shutdown_now();
        assert_eq!(dropped.get(), 3);
        queue.join()
    })
    .unwrap();
}

#[test]
fn a_slot_that_is_forgotten_keeps_its_place_and_no_more() {
    run_virtual(|| {
        let queue = Queue::bounded(2);
        std::mem::forget(queue.reserve()?);
        queue.put(1)?;
        assert!(queue.is_full());
        assert!(is_timed_out(&timeout(secs(1), || queue.put(2)).unwrap_err()));
        assert_eq!(queue.get()?, 1);
        queue.put(3)
    })
    .unwrap();
}
