//! Queues and promises.

use std::cell::RefCell;
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
        let queue = Queue::bounded(1);
        scope(|s| {
            let getter = s.spawn(|| {
                let got = queue.get();
                sleep(secs(1))?;
                got
            });
            yield_now()?;
            queue.put(1)?;
            getter.cancel(); // woken, and not yet run: it has the item, and meets the cancel at its next wait
            let _ = getter.outcome();
            assert!(queue.is_empty());

            queue.put(2)?;
            let putter = s.spawn(|| queue.put(3));
            yield_now()?;
            putter.cancel();
            let _ = putter.outcome();
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
