//! Locks, events, conditions, semaphores, barriers: order, hand-over, cancellation.

use std::cell::{Cell, RefCell};
use std::io;

use corio::*;

fn run_virtual<R: IntoResult>(main: impl FnOnce() -> R) -> io::Result<R::Value> {
    Runner::new().virtual_clock().run(main)
}

#[test]
fn lock_03_lock_10_five_tasks_take_turns_strictly() {
    let order = RefCell::new(Vec::new());
    run_virtual(|| {
        let lock = Mutex::new(());
        scope(|s| {
            for n in 0..5 {
                let (lock, order) = (&lock, &order);
                s.spawn(move || {
                    for _ in 0..3 {
                        let _guard = lock.lock()?;
                        order.borrow_mut().push(n);
                        yield_now()?;
                    }
                    Ok(())
                });
            }
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(*order.borrow(), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
}

#[test]
fn lock_05_e2_a_grant_that_meets_a_cancel_is_had_and_given_back() {
    run_virtual(|| {
        let lock = Mutex::new(0);
        scope(|s| {
            let guard = lock.lock()?;
            let first = s.spawn(|| {
                let guard = lock.lock();
                assert!(guard.is_ok(), "what was granted is had");
                sleep(secs(1))?; // and the cancellation is met here
                Ok(())
            });
            let second = s.spawn(|| lock.lock().map(|mut n| *n += 1));
            yield_now()?;
            drop(guard); // granted to the first
            first.cancel();
            assert!(matches!(first.outcome(), Outcome::Cancelled(_)));
            second.join()
        })?;
        assert_eq!(lock.into_inner(), 1);
        Ok(())
    })
    .unwrap();
}

#[test]
fn d7_a_task_that_locks_twice_is_told() {
    run_virtual(|| {
        let lock = Mutex::new(());
        let _guard = lock.lock()?;
        let error = lock.lock().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Deadlock);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_cycle_of_locks_is_a_deadlock_that_names_its_tasks() {
    let error = run_virtual(|| {
        let (a, b) = (Mutex::new(()), Mutex::new(()));
        scope(|s| {
            s.spawn(|| {
                current().set_name("one");
                let _a = a.lock()?;
                yield_now()?;
                b.lock().map(drop)
            });
            s.spawn(|| {
                current().set_name("two");
                let _b = b.lock()?;
                yield_now()?;
                a.lock().map(drop)
            });
            Ok(())
        })
    })
    .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Deadlock);
    let text = error.to_string();
    assert!(text.contains("lock 1, which two has"), "{text}");
    assert!(text.contains("two waits for one, one waits for two"), "{text}");
}

#[test]
fn readers_do_not_overtake_a_writer_and_go_on_when_it_gives_up() {
    run_virtual(|| {
        let lock = RwLock::new(0);
        let log = RefCell::new(Vec::new());
        scope(|s| {
            let reading = lock.read()?;
            let writer = s.spawn(|| {
                let result = lock.write();
                log.borrow_mut().push("writer");
                result.map(drop)
            });
            s.spawn(|| {
                let _reading = lock.read()?;
                log.borrow_mut().push("reader");
                sleep(secs(1))
            });
            yield_now()?;
            assert!(lock.try_read().is_none(), "a writer waits");
            writer.cancel();
            assert!(matches!(writer.outcome(), Outcome::Cancelled(_)));
            yield_now()?;
            assert_eq!(*log.borrow(), ["writer", "reader"]);
            drop(reading);
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn cond_05_cond_06_e7_a_cancelled_wait_has_the_lock_and_passes_its_notification_on() {
    run_virtual(|| {
        let (lock, condition) = (Mutex::new(0), Condvar::new());
        scope(|s| {
            let wait = || {
                s.spawn(|| {
                    let mut n = lock.lock()?;
                    let result = condition.wait(&mut n);
                    *n += 1; // it is held, whatever came
                    result
                })
            };
            let (a, b) = (wait(), wait());
            yield_now()?;
            a.cancel();
            condition.notify_one(); // a has been told to go, but has not gone yet, and came first
            assert!(matches!(a.outcome(), Outcome::Returned(())), "it has what was granted before it ran");
            condition.notify_one();
            b.join()
        })?;
        assert_eq!(lock.into_inner(), 2);
        Ok(())
    })
    .unwrap();
}

#[test]
fn sem_05_sem_09_no_permit_is_lost_in_a_thousand_cancelled_waits() {
    run_virtual(|| {
        let semaphore = Semaphore::new(1);
        for round in 0..1000 {
            scope(|s| {
                let permit = semaphore.acquire()?;
                let waiter = s.spawn(|| semaphore.acquire().map(drop));
                yield_now()?;
                if round % 2 == 0 {
                    drop(permit);
                    waiter.cancel();
                } else {
                    waiter.cancel();
                    drop(permit);
                }
                // Told to go or not: it had the permit before it ran, and there is no further wait at which to meet it.
                assert!(matches!(waiter.outcome(), Outcome::Returned(())), "round {round}");
                s.cancel();
                Ok(())
            })?;
            assert_eq!(semaphore.available(), 1);
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn barr_02_barr_03_places_are_distinct_also_when_somebody_left() {
    run_virtual(|| {
        let barrier = Barrier::new(3);
        let mut places = scope(|s| {
            let first = s.spawn(|| barrier.wait());
            let second = s.spawn(|| barrier.wait());
            yield_now()?;
            assert_eq!(barrier.waiting(), 2);
            first.cancel();
            assert!(matches!(first.outcome(), Outcome::Cancelled(_)));
            assert_eq!(barrier.waiting(), 1);
            let third = s.spawn(|| barrier.wait());
            let mine = barrier.wait().map(|n| vec![n]);
            let mut all = mine.or_else(|_| Ok::<_, io::Error>(vec![]))?;
            all.push(second.join()?);
            all.push(third.join()?);
            Ok(all)
        })?;
        places.sort();
        assert_eq!(places, [0, 1, 2]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn barr_05_barr_07_reset_and_abort() {
    run_virtual(|| {
        let barrier = Barrier::new(2);
        scope(|s| {
            let waiter = s.spawn(|| Ok(barrier.wait().unwrap_err()));
            yield_now()?;
            barrier.reset();
            assert!(is_broken_barrier(&waiter.join()?));
            assert!(!barrier.is_broken());
            barrier.abort();
            assert!(is_broken_barrier(&barrier.wait().unwrap_err()));
            barrier.reset();
            s.spawn(|| barrier.wait());
            assert_eq!(barrier.wait()?, 0); // it came before the task that was only spawned
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn select_takes_one_thing_and_leaves_the_others() {
    run_virtual(|| {
        let (a, b) = (Queue::new(), Queue::new());
        scope(|s| {
            let chooser = s.spawn(|| {
                let mut got = Vec::new();
                for _ in 0..2 {
                    got.push(match select((&a, &b))? {
                        Which::A(n) | Which::B(n) => n?,
                    });
                }
                Ok(got)
            });
            yield_now()?;
            a.put(1)?;
            b.put(2)?; // both in one turn: the second is not granted to who has the first
            assert_eq!(chooser.join()?, [1, 2]);
            Ok(())
        })?;
        assert!(a.is_empty() && b.is_empty());
        Ok(())
    })
    .unwrap();
}

#[test]
fn select_waits_for_tasks_timers_locks_and_room() {
    run_virtual(|| {
        let queue = Queue::bounded(1);
        queue.put(0)?;
        let lock = Mutex::new(());
        let guard = lock.lock()?;
        let start = now();
        scope(|s| {
            let task = s.spawn(|| sleep(secs(2)));
            assert_eq!(select((&task, after(secs(1))))?, Which::B(()));
            assert_eq!(select((&task, after(secs(5))))?, Which::A(()));
            assert_eq!(now() - start, secs(2));
            task.join()?;
            s.spawn(move || drop(guard));
            let Which::B(held) = select((queue.reserving(), &lock))? else { panic!("there is no room") };
            drop(held);
            s.spawn(|| queue.get());
            let Which::A(slot) = select((queue.reserving(), after(secs(1))))? else { panic!("there is room") };
            slot?.put(1);
            Ok(())
        })?;
        assert_eq!(queue.try_get(), Ok(1));
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_was_granted_to_a_task_that_is_unwound_goes_on() {
    let freed = Cell::new(false);
    let lock = std::rc::Rc::new(Mutex::new(()));
    Runner::new()
        .virtual_clock()
        .grace(std::time::Duration::ZERO)
        .run(|| {
            let held = std::rc::Rc::clone(&lock);
            spawn(move || {
                let _guard = held.lock()?;
                loop {
                    let _ = sleep(secs(100)); // ignores the end
                }
                #[allow(unreachable_code)]
                Ok(())
            });
            yield_now()?;
            Ok(())
        })
        .unwrap();
    freed.set(!lock.is_locked());
    assert!(freed.get());
}

#[test]
fn outside_a_loop_what_is_free_is_had_and_the_rest_is_an_error() {
    let lock = Mutex::new(1);
    let guard = lock.lock().unwrap();
    assert_eq!(lock.lock().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    drop(guard);
    assert_eq!(lock.into_inner(), 1);
}

#[test]
fn select_waits_for_a_descriptor_and_leaves_nothing_registered() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    let (mut near, mut far) = UnixStream::pair().unwrap();
    run(|| {
        let queue = Queue::new();
        for n in 0..3_u8 {
            scope(|s| {
                s.spawn(|| {
                    yield_now()?;
                    if n % 2 == 0 { far.write_all(&[n]) } else { queue.put(n) }
                });
                let got = match select((until_readable(&near), &queue))? {
                    Which::A(ready) => {
                        ready?;
                        let mut byte = [0];
                        near.read_exact(&mut byte)?;
                        byte[0]
                    }
                    Which::B(n) => n?,
                };
                assert_eq!(got, n);
                Ok(())
            })?;
        }
        // A socket with room is writable at once.
        assert!(matches!(select((until_writable(&near), &queue))?, Which::A(Ok(()))));
        Ok(())
    })
    .unwrap();
}

/// A shutdown that unwinds a condition's wait must not leave a guard that gives away what another task has.
#[test]
fn a_guard_that_lost_its_lock_cannot_give_away_anothers() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;
    let (lock, changed) = (Rc::new(Mutex::new(0)), Rc::new(Condvar::new()));
    let log = Rc::new(RefCell::new(Vec::new()));
    Runner::new()
        .virtual_clock()
        .grace(secs(0))
        .run(|| {
            let (mutex, held) = (lock.clone(), log.clone());
            spawn(move || {
                yield_now()?; // the waiter is there first
                let mut value = mutex.lock()?;
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    loop {
                        let _ = sleep(secs(100)); // ignores the end
                    }
                }));
                *value += 1;
                held.borrow_mut().push("the other had it to the end");
                Ok(())
            });
            let (mutex, changed, said) = (lock.clone(), changed.clone(), log.clone());
            spawn(move || {
                let mut value = mutex.lock()?;
                let me = current();
                let wait = |value: &mut MutexGuard<'_, i32>| {
                    catch_unwind(AssertUnwindSafe(|| {
                        loop {
                            while me.cancelling() > 0 {
                                me.uncancel();
                            }
                            let _ = changed.wait(value);
                        }
                    }))
                };
                let thrown: Result<(), _> = wait(&mut value);
                assert!(thrown.is_err_and(|payload| payload.is::<Shutdown>()));
                assert!(mutex.try_lock().is_none(), "another task has it");
                assert!(wait(&mut value).is_err());
                assert!(mutex.try_lock().is_none(), "and has it still");
                assert!(catch_unwind(AssertUnwindSafe(|| *value)).is_err());
                said.borrow_mut().push("the waiter is gone");
                Ok(())
            });
            for _ in 0..4 {
                yield_now()?;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(*log.borrow(), ["the waiter is gone", "the other had it to the end"]);
    assert!(!lock.is_locked());
}

#[test]
fn a_condition_that_is_unwound_has_its_lock_back_if_nobody_else_has_it() {
    use std::rc::Rc;
    struct Report<'a, 'b>(&'b mut MutexGuard<'a, Vec<&'static str>>);
    impl Drop for Report<'_, '_> {
        fn drop(&mut self) {
            self.0.push("unwound");
        }
    }
    let (lock, changed) = (Rc::new(Mutex::new(Vec::new())), Rc::new(Condvar::new()));
    Runner::new()
        .virtual_clock()
        .grace(secs(0))
        .run(|| {
            let (lock, changed) = (lock.clone(), changed.clone());
            spawn(move || {
                let mut log = lock.lock()?;
                let report = Report(&mut log);
                loop {
                    while current().uncancel() > 0 {}
                    let _ = changed.wait(report.0);
                }
                #[allow(unreachable_code)]
                Ok(())
            });
            yield_now()
        })
        .unwrap();
    assert!(!lock.is_locked());
    assert_eq!(*lock.try_lock().unwrap(), ["unwound"]);
}

#[test]
fn barr_05_who_waited_when_the_barrier_was_reset_has_no_part_in_the_next_round() {
    run_virtual(|| {
        let barrier = Barrier::new(2);
        scope(|s| {
            let old = s.spawn(|| Ok(barrier.wait().is_err_and(|error| is_broken_barrier(&error))));
            yield_now()?;
            let new = [s.spawn(|| barrier.wait()), s.spawn(|| barrier.wait())];
            barrier.reset(); // the old one is woken behind the new ones
            let mut places = new.map(|task| task.join().unwrap());
            places.sort();
            assert_eq!(places, [0, 1]);
            assert!(old.join()?);
            assert_eq!(barrier.waiting(), 0);
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn the_same_thing_twice_in_one_select_is_had_once() {
    run_virtual(|| {
        let (lock, semaphore, queue, event) = (Mutex::new(()), Semaphore::new(1), Queue::new(), Event::new());
        scope(|s| {
            let (guard, permit) = (lock.lock()?, semaphore.acquire()?);
            let waiters = [
                s.spawn(|| select((&lock, &lock)).map(drop)),
                s.spawn(|| select((&semaphore, &semaphore)).map(drop)),
                s.spawn(|| select((&queue, &queue)).map(drop)),
                s.spawn(|| select((&event, &event)).map(drop)),
            ];
            yield_now()?;
            drop((guard, permit));
            queue.put(1)?;
            queue.put(2)?;
            event.set();
            waiters.into_iter().try_for_each(|waiter| waiter.join())?;
            assert!(!lock.is_locked());
            assert_eq!((semaphore.available(), queue.len()), (1, 1));
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn a_guard_may_be_dropped_by_another_task_and_after_its_run() {
    let lock = Mutex::new(0);
    let guard = run_virtual(|| lock.lock()).unwrap();
    run_virtual(|| {
        scope(|s| {
            let keeper = s.spawn(move || {
                sleep(secs(1))?;
                drop(guard);
                Ok(())
            });
            let waiter = s.spawn(|| lock.lock().map(|mut n| *n += 1));
            keeper.join()?;
            waiter.join()
        })
    })
    .unwrap();
    assert_eq!(lock.into_inner(), 1);
}

/// Every loop counts its tasks from 1: the number alone does not say who has a lock.
#[test]
fn a_guard_from_a_loop_that_is_gone_is_nobodys_here() {
    let (mutex, lock) = (Mutex::new(0), RwLock::new(0));
    let kept = RefCell::new(None);
    run_virtual(|| {
        *kept.borrow_mut() = Some((mutex.lock()?, lock.write()?));
        Ok(())
    })
    .unwrap();
    run_virtual(|| {
        scope(|s| {
            s.spawn(|| {
                sleep(secs(1))?;
                drop(kept.take());
                Ok(())
            });
            drop(mutex.lock()?); // by a main task, as it was locked by one
            drop(lock.read()?);
            drop(lock.write()?);
            Ok(())
        })
    })
    .unwrap();
    *kept.borrow_mut() = Some((mutex.try_lock().unwrap(), lock.try_write().unwrap()));
    let stuck = run_virtual(|| mutex.lock().map(drop)).unwrap_err().to_string();
    assert!(stuck.contains("main") && !stuck.contains("which"), "{stuck}");
}

#[test]
fn a_reader_that_asks_to_write_is_told_that_it_would_wait_for_itself() {
    run_virtual(|| {
        let lock = RwLock::new(0);
        let reads = lock.read()?;
        let error = lock.write().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Deadlock);
        assert!(error.to_string().contains("reads under this lock already"), "{error}");
        drop((lock.read()?, reads));
        drop(lock.write()?);
        assert!(lock.try_write().is_some());
        Ok(())
    })
    .unwrap();
}

/// A lock for readers knows one of them, whoever comes and goes.
#[test]
fn the_report_of_a_deadlock_names_a_reader_whom_a_writer_waits_for() {
    let stuck = run_virtual(|| {
        let (lock, never) = (RwLock::new(0), Event::new());
        scope(|s| {
            let (lock, never) = (&lock, &never);
            s.spawn(move || lock.read().map(drop)); // gone when the writer comes
            Builder::new().name("reader").spawn_scoped(s, move || {
                let _reads = lock.read()?;
                never.wait()
            })?;
            Builder::new().name("writer").spawn_scoped(s, move || {
                yield_now()?;
                lock.write().map(drop)
            })?;
            Ok(())
        })
    });
    let report = stuck.unwrap_err().to_string();
    assert!(report.contains("writing under lock 2, which reader has"), "{report}");
}
