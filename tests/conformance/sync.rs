//! LOCK, EVENT, COND, SEM, BARR: what tasks of one loop share. More in `tests/sync.rs`.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;

use crate::common::{Log, panic_of, sim, since};
use corio::{
    Barrier, BoundedSemaphore, Condvar, Event, Mutex, Outcome, Semaphore, call_soon, current, is_broken_barrier,
    is_cancelled, millis, now, scope, secs, sleep, spawn, timeout, yield_now,
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

// ---- locks -----------------------------------------------------------------------------------------------------------

/// LOCK-01: a free lock is had without a pause, and is locked until its guard is dropped.
#[test]
fn a_free_lock_is_had_at_once() {
    sim(|| {
        let lock = Mutex::new(5);
        assert!(!lock.is_locked());
        let (waited, guard) = paused(|| lock.lock());
        let guard = guard?;
        assert!(!waited && lock.is_locked() && lock.try_lock().is_none());
        drop(guard);
        assert!(!lock.is_locked() && lock.try_lock().is_some());
        Ok(())
    })
    .unwrap();
}

/// LOCK-02: what is not held cannot be released: only the guard releases, once, when it is dropped.
#[test]
fn only_a_guard_releases() {
    sim(|| {
        let lock = Mutex::new(());
        drop(lock.lock()?);
        drop(lock.try_lock());
        assert!(!lock.is_locked());
        let _guard = lock.lock()?;
        assert!(lock.is_locked());
        Ok(())
    })
    .unwrap();
}

/// LOCK-03 and LOCK-04: each release lets exactly one go on, in the order in which they came; who comes while others wait
/// stands behind them, also when the lock has just been released.
#[test]
fn each_release_lets_one_go_on_and_nobody_overtakes() {
    let log = Log::default();
    sim(|| {
        let lock = Mutex::new(());
        let guard = lock.lock()?;
        scope(|s| {
            for name in ["a", "b", "c"] {
                let (lock, log) = (&lock, &log);
                s.spawn(move || {
                    let _guard = lock.lock()?;
                    log.say(name);
                    sleep(secs(1))
                });
            }
            yield_now()?;
            drop(guard);
            assert!(lock.is_locked() && lock.try_lock().is_none(), "it is the first waiter's now");
            let start = now();
            let _late = lock.lock()?;
            log.say(format_args!("late@{}", since(start)));
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(log.take(), "a b c late@3");
}

/// LOCK-05, E2: a waiter that was granted the lock and is cancelled before it goes on has it, meets the cancel at its next
/// wait, and so hands it to the next.
#[test]
fn lock_05_e2_a_grant_that_meets_a_cancel_reaches_the_next_waiter() {
    let log = Log::default();
    sim(|| {
        let lock = Mutex::new(());
        scope(|s| {
            let guard = lock.lock()?;
            let first = s.spawn(|| {
                let _guard = lock.lock()?;
                log.say("first has it");
                sleep(secs(9))
            });
            s.spawn(|| {
                let _guard = lock.lock()?;
                log.say("second has it");
                Ok(())
            });
            yield_now()?;
            drop(guard);
            first.cancel();
            let start = now();
            settle()?;
            assert_eq!((since(start), first.cancelled(), lock.is_locked()), (0.0, true, false));
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(log.take(), "first has it second has it");
}

/// LOCK-06 and LOCK-07: a waiter that is cancelled is taken out of the queue; the releases reach those who are left, each
/// one of them.
#[test]
fn a_cancelled_waiter_is_skipped() {
    let log = Log::default();
    sim(|| {
        let lock = Mutex::new(());
        scope(|s| {
            let guard = lock.lock()?;
            let tasks = ["a", "b", "c", "d"].map(|name| {
                let (lock, log) = (&lock, &log);
                s.spawn(move || {
                    let _guard = lock.lock()?;
                    log.say(name);
                    yield_now()
                })
            });
            yield_now()?;
            tasks[0].cancel();
            tasks[2].cancel();
            settle()?;
            assert!(tasks[0].cancelled() && tasks[2].cancelled());
            drop(guard);
            Ok(())
        })?;
        assert!(!lock.is_locked());
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "b d");
}

/// LOCK-08 and LOCK-09, E1: the guard releases once on every way out: a value, an error, a cancellation, a panic, the end
/// of the run. The one that has waited longest has the lock then.
#[test]
fn e1_the_guard_releases_on_every_way_out() {
    sim(|| {
        let lock = Rc::new(Mutex::new(0));
        let ways: [fn() -> io::Result<()>; 4] =
            [|| Ok(()), || Err(io::Error::other("own")), || sleep(secs(60)), || panic!("in the lock")];
        for (n, way) in ways.into_iter().enumerate() {
            let l = lock.clone();
            let holder = spawn(move || {
                let mut guard = l.lock()?;
                *guard += 1;
                yield_now()?;
                way()
            });
            yield_now()?;
            assert!(lock.is_locked());
            let waiters = [0, 1].map(|_| {
                let l = lock.clone();
                spawn(move || Ok((*l.lock()?, now())))
            });
            yield_now()?;
            if n == 2 {
                holder.cancel();
            }
            match (n, holder.outcome()) {
                (0, Outcome::Returned(())) | (1, Outcome::Failed(_)) => {}
                (2, Outcome::Cancelled(_)) | (3, Outcome::Panicked(_)) => {}
                (n, outcome) => panic!("way {n} ended by {outcome:?}"),
            }
            for waiter in waiters {
                assert_eq!(waiter.join()?.0, n + 1);
            }
            assert!(!lock.is_locked());
        }
        Ok(())
    })
    .unwrap();
    // Held when the run ends, by a task that is unwound.
    let lock = Rc::new(Mutex::new(()));
    let l = lock.clone();
    crate::common::runner()
        .grace(secs(0))
        .run(move || {
            drop(spawn(move || {
                let _guard = l.lock()?;
                for _ in 0_u64.. {
                    let _ = sleep(secs(60));
                }
                Ok(())
            }));
            yield_now()
        })
        .unwrap();
    assert!(!lock.is_locked() && Rc::strong_count(&lock) == 1);
}

/// LOCK-10: tasks that take the lock again and again take turns strictly.
#[test]
fn five_tasks_take_turns_strictly() {
    let order = RefCell::new(Vec::new());
    sim(|| {
        let lock = Mutex::new(());
        scope(|s| {
            for n in 0..5 {
                let (lock, order) = (&lock, &order);
                s.spawn(move || {
                    for _ in 0..20 {
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
    assert!(order.borrow().iter().copied().eq((0..100).map(|n| n % 5)), "{order:?}");
}

/// D7: a task that locks what it holds is told at once, and has it still.
#[test]
fn d7_a_task_that_locks_what_it_holds_is_told_at_once() {
    sim(|| {
        let lock = Mutex::new(1);
        let guard = lock.lock()?;
        let (waited, again) = paused(|| lock.lock().map(|_| ()));
        assert_eq!((waited, again.unwrap_err().kind()), (false, ErrorKind::Deadlock));
        assert!(lock.is_locked() && *guard == 1);
        drop(guard);
        lock.lock().map(drop)
    })
    .unwrap();
}

// ---- events ----------------------------------------------------------------------------------------------------------

/// EVENT-01 and EVENT-03: `set` lets all go who wait at that moment, in the order in which they came, even if it is
/// cleared before they run; who comes then waits.
#[test]
fn set_lets_all_go_who_wait_at_that_moment() {
    let log = Log::default();
    sim(|| {
        let event = Event::new();
        scope(|s| {
            for name in ["a", "b", "c"] {
                let (event, log) = (&event, &log);
                s.spawn(move || {
                    event.wait()?;
                    log.say(name);
                    Ok(())
                });
            }
            yield_now()?;
            event.set();
            event.clear();
            let late = s.spawn(|| event.wait());
            settle()?;
            assert!(log.take() == "a b c" && !late.is_done() && !event.is_set());
            event.set();
            late.join()
        })
    })
    .unwrap();
}

/// EVENT-02: who waits for an event that is set does not pause. A task that was spawned before the `set`, and first runs
/// after it, goes ahead of those who were woken by it.
#[test]
fn a_set_event_is_passed_at_once() {
    let log = Log::default();
    sim(|| {
        let event = Event::new();
        scope(|s| {
            s.spawn(|| {
                event.wait()?;
                log.say("waiter");
                Ok(())
            });
            yield_now()?;
            s.spawn(|| {
                let (waited, result) = paused(|| event.wait());
                assert!(!waited);
                log.say("newcomer");
                result
            });
            event.set();
            Ok(())
        })?;
        let (waited, result) = paused(|| event.wait());
        assert!(!waited);
        result
    })
    .unwrap();
    assert_eq!(log.take(), "newcomer waiter");
}

/// EVENT-04: a waiter that is cancelled goes; the event and the others stay as they were.
#[test]
fn a_cancelled_waiter_leaves_the_event() {
    sim(|| {
        let event = Event::new();
        scope(|s| {
            let (a, b) = (s.spawn(|| event.wait()), s.spawn(|| event.wait()));
            yield_now()?;
            a.cancel();
            assert!(is_cancelled(&a.join().unwrap_err()));
            assert!(!event.is_set() && !b.is_done());
            event.set();
            b.join()
        })
    })
    .unwrap();
}

/// EVENT-05: a waiter that was let go and is cancelled before it goes on has been let go, and meets the cancel at its next
/// wait; the others and the event are not concerned.
#[test]
fn a_waiter_that_was_let_go_is_not_cancelled_at_the_event() {
    let log = Log::default();
    sim(|| {
        let event = Event::new();
        scope(|s| {
            let a = s.spawn(|| {
                event.wait()?;
                log.say("a");
                yield_now()
            });
            let b = s.spawn(|| event.wait());
            yield_now()?;
            event.set();
            a.cancel();
            assert!(matches!(a.outcome(), Outcome::Cancelled(_)));
            assert!(event.is_set());
            b.join()
        })
    })
    .unwrap();
    assert_eq!(log.take(), "a");
}

// ---- conditions --------------------------------------------------------------------------------------------------------

/// COND-01: to wait without the lock does not compile, because the wait takes the guard; to notify without it is allowed.
#[test]
fn notifying_needs_no_lock() {
    sim(|| {
        let (lock, changed) = (Mutex::new(0), Condvar::new());
        scope(|s| {
            let waiter = s.spawn(|| {
                let mut guard = lock.lock()?;
                changed.wait(&mut guard)?;
                Ok(*guard)
            });
            yield_now()?;
            *lock.lock()? = 7;
            changed.notify_one();
            assert_eq!(waiter.join()?, 7);
            Ok(())
        })
    })
    .unwrap();
}

/// COND-02: the lock is free while somebody waits, and held again when the wait is over.
#[test]
fn a_wait_gives_the_lock_away_and_has_it_again() {
    sim(|| {
        let (lock, changed) = (Mutex::new(0), Condvar::new());
        scope(|s| {
            let waiter = s.spawn(|| {
                let mut guard = lock.lock()?;
                changed.wait(&mut guard)?;
                assert!(lock.is_locked() && lock.try_lock().is_none());
                Ok(())
            });
            yield_now()?;
            assert!(!lock.is_locked());
            changed.notify_one();
            waiter.join()?;
            assert!(!lock.is_locked());
            Ok(())
        })
    })
    .unwrap();
}

/// COND-03: the holder notifies two of three and keeps the lock: nobody goes on until it is released; then those two, in
/// order, one at a time; the third sleeps on.
#[test]
fn who_is_notified_waits_for_the_lock() {
    let log = Log::default();
    sim(|| {
        let (lock, changed) = (Mutex::new(()), Condvar::new());
        scope(|s| {
            for name in ["a", "b", "c"] {
                let (lock, changed, log) = (&lock, &changed, &log);
                s.spawn(move || {
                    let mut guard = lock.lock()?;
                    changed.wait(&mut guard)?;
                    log.say(format_args!("{name}("));
                    sleep(secs(1))?;
                    log.say(format_args!("{name})"));
                    Ok(())
                });
            }
            yield_now()?;
            let guard = lock.lock()?;
            changed.notify(2);
            sleep(secs(5))?;
            assert_eq!(log.take(), "");
            drop(guard);
            sleep(secs(5))?;
            assert_eq!(log.take(), "a( a) b( b)");
            changed.notify_one();
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(log.take(), "c( c)");
}

/// COND-04: `notify_all` wakes all; more notifications than waiters are fine; one that finds nobody is not remembered.
#[test]
fn a_notification_that_finds_nobody_is_not_remembered() {
    sim(|| {
        let (lock, changed) = (Mutex::new(()), Condvar::new());
        changed.notify_one();
        changed.notify_all();
        scope(|s| {
            let tasks = [0, 1, 2].map(|_| {
                s.spawn(|| {
                    let mut guard = lock.lock()?;
                    changed.wait(&mut guard)
                })
            });
            settle()?;
            assert!(tasks.iter().all(|task| !task.is_done()));
            changed.notify_all();
            settle()?;
            assert!(tasks.iter().all(|task| task.is_done()));
            let last = s.spawn(|| {
                let mut guard = lock.lock()?;
                changed.wait(&mut guard)
            });
            settle()?;
            changed.notify(10);
            last.join()?;
            let mut guard = lock.lock()?;
            assert!(timeout(secs(1), || changed.wait(&mut guard)).is_err(), "nothing was left of the ten");
            Ok(())
        })
    })
    .unwrap();
}

/// COND-05, E7: a waiter that is cancelled has the lock again before it is told, however often it is cancelled meanwhile.
#[test]
fn e7_a_cancelled_wait_has_the_lock_when_it_is_told() {
    sim(|| {
        let (lock, changed) = (Mutex::new(()), Condvar::new());
        let start = now();
        scope(|s| {
            let waiter = s.spawn(|| {
                let mut guard = lock.lock()?;
                let result = changed.wait(&mut guard);
                assert!(is_cancelled(result.as_ref().unwrap_err()) && lock.is_locked());
                assert_eq!((since(start), current().cancelling()), (5.0, 3));
                drop(guard);
                assert!(!lock.is_locked());
                result
            });
            yield_now()?;
            let guard = lock.lock()?;
            for _ in 0..3 {
                waiter.cancel();
                sleep(secs(1))?;
            }
            sleep(secs(2))?;
            drop(guard);
            assert!(is_cancelled(&waiter.join().unwrap_err()));
            Ok(())
        })
    })
    .unwrap();
}

/// COND-06 and COND-07, E7: a notification that goes to a waiter which is then cancelled is not lost: the wait has
/// succeeded, also if the cancel comes while the notified one waits for the lock, and the cancel is met at the next call.
#[test]
fn e7_a_notification_to_a_cancelled_waiter_is_its_success() {
    for cancelled_at_the_lock in [false, true] {
        let log = Log::default();
        sim(|| {
            let (lock, changed) = (Mutex::new(()), Condvar::new());
            scope(|s| {
                let tasks = ["a", "b"].map(|name| {
                    let (lock, changed, log) = (&lock, &changed, &log);
                    s.spawn(move || {
                        let mut guard = lock.lock()?;
                        changed.wait(&mut guard)?;
                        log.say(name);
                        yield_now()
                    })
                });
                yield_now()?;
                let guard = if cancelled_at_the_lock { Some(lock.lock()?) } else { None };
                changed.notify_one();
                if cancelled_at_the_lock {
                    sleep(secs(1))?; // the first waits for the lock
                }
                tasks[0].cancel();
                drop(guard);
                settle()?;
                assert_eq!((log.take().as_str(), tasks[0].cancelled(), tasks[1].is_done()), ("a", true, false));
                changed.notify_one();
                Ok(())
            })
        })
        .unwrap();
        assert_eq!(log.take(), "b");
    }
}

/// COND-08: a notified waiter is cancelled in the turn in which the lock is released: it ends with the lock, whatever the
/// result.
#[test]
fn a_cancel_in_the_turn_of_the_release_leaves_the_lock_with_the_waiter() {
    for cancel_first in [false, true] {
        sim(|| {
            let (lock, changed) = (Mutex::new(()), Condvar::new());
            scope(|s| {
                let waiter = s.spawn(|| {
                    let mut guard = lock.lock()?;
                    let _ = changed.wait(&mut guard);
                    assert!(lock.is_locked() && lock.try_lock().is_none());
                    drop(guard);
                    assert!(!lock.is_locked());
                    Ok(())
                });
                yield_now()?;
                let guard = lock.lock()?;
                changed.notify_one();
                settle()?; // it waits for the lock
                if cancel_first {
                    waiter.cancel();
                    drop(guard);
                } else {
                    drop(guard);
                    waiter.cancel();
                }
                waiter.join()
            })
        })
        .unwrap();
    }
}

/// COND-09: a wait for a predicate looks first, and returns without a pause if it holds; otherwise it looks again after
/// each notification.
#[test]
fn a_wait_for_a_predicate_looks_again() {
    sim(|| {
        let (lock, changed, looked) = (Mutex::new(3), Condvar::new(), Cell::new(0));
        scope(|s| {
            let mut guard = lock.lock()?;
            let (waited, result) = paused(|| changed.wait_until(&mut guard, |n| *n == 3));
            result?;
            assert!(!waited);
            drop(guard);
            let waiter = s.spawn(|| {
                let mut guard = lock.lock()?;
                changed.wait_until(&mut guard, |n| {
                    looked.set(looked.get() + 1);
                    *n >= 6
                })?;
                Ok(*guard)
            });
            yield_now()?;
            for _ in 0..3 {
                *lock.lock()? += 1;
                changed.notify_one();
                settle()?;
            }
            assert_eq!((waiter.join()?, looked.get()), (6, 4));
            Ok(())
        })
    })
    .unwrap();
}

/// COND-10: a limit inside the guarded block is met: the error comes with the lock held, and the guard releases it.
#[test]
fn a_limit_around_a_wait_leaves_the_lock_held() {
    sim(|| {
        let (lock, changed) = (Mutex::new(()), Condvar::new());
        let mut guard = lock.lock()?;
        let error = timeout(secs(1), || changed.wait(&mut guard)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(lock.is_locked());
        drop(guard);
        assert!(!lock.is_locked());
        Ok(())
    })
    .unwrap();
}

// ---- semaphores --------------------------------------------------------------------------------------------------------

/// SEM-01: none is a legal number of permits, and then everybody waits; a negative one cannot be written down.
#[test]
fn a_semaphore_may_begin_without_permits() {
    sim(|| {
        let none = Semaphore::new(0);
        assert!(none.available() == 0 && none.try_acquire().is_none());
        assert!(timeout(secs(1), || none.acquire()).is_err());
        none.release(1);
        none.acquire().map(drop)
    })
    .unwrap();
}

/// SEM-02: a permit that is there is had without a pause.
#[test]
fn a_permit_that_is_there_is_had_at_once() {
    sim(|| {
        let two = Semaphore::new(2);
        let (waited, permits) = paused(|| Ok::<_, io::Error>((two.acquire()?, two.acquire()?)));
        let permits = permits?;
        assert!(!waited && two.available() == 0);
        drop(permits);
        assert_eq!(two.available(), 2);
        Ok(())
    })
    .unwrap();
}

/// SEM-03 and SEM-07: first come, first served: who comes when a permit has just been given to a waiter that has not gone
/// on yet stands behind it, and meanwhile there is none.
#[test]
fn nobody_overtakes_at_a_semaphore() {
    let log = Log::default();
    sim(|| {
        let one = Semaphore::new(1);
        scope(|s| {
            let permit = one.acquire()?;
            for name in ["a", "b"] {
                let (one, log) = (&one, &log);
                s.spawn(move || {
                    let _permit = one.acquire()?;
                    log.say(name);
                    yield_now()
                });
            }
            yield_now()?;
            drop(permit);
            assert!(one.available() == 0 && one.try_acquire().is_none());
            let _late = one.acquire()?;
            log.say("late");
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(log.take(), "a b late");
}

/// SEM-04: so many permits let so many go, in order; what nobody waits for stays.
#[test]
fn a_release_of_several_lets_several_go() {
    let log = Log::default();
    sim(|| {
        let none = Semaphore::new(0);
        scope(|s| {
            for n in 0..5 {
                let (none, log) = (&none, &log);
                s.spawn(move || {
                    none.acquire()?.forget();
                    log.say(n);
                    Ok(())
                });
            }
            yield_now()?;
            none.release(2);
            settle()?;
            assert_eq!((log.take().as_str(), none.available()), ("0 1", 0));
            none.release(5);
            settle()?;
            assert_eq!((log.take().as_str(), none.available()), ("2 3 4", 2));
            Ok(())
        })
    })
    .unwrap();
}

/// SEM-05, E2: a permit that was granted to a waiter which is then cancelled is neither lost nor doubled.
#[test]
fn sem_05_e2_a_granted_permit_that_meets_a_cancel_is_not_lost() {
    let log = Log::default();
    sim(|| {
        let one = Semaphore::new(1);
        scope(|s| {
            let permit = one.acquire()?;
            let first = s.spawn(|| {
                let _permit = one.acquire()?;
                yield_now()
            });
            let second = s.spawn(|| {
                let _permit = one.acquire()?;
                log.say("second");
                Ok(())
            });
            yield_now()?;
            drop(permit);
            first.cancel();
            assert!(matches!(first.outcome(), Outcome::Cancelled(_)));
            second.join()?;
            assert_eq!(one.available(), 1);
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(log.take(), "second");
}

/// SEM-06: grants and cancellations of many waiters leave the count exact.
#[test]
fn grants_and_cancellations_leave_the_count_exact() {
    sim(|| {
        let three = Semaphore::new(3);
        let (inside, most) = (&Cell::new(0_usize), Cell::new(0_usize));
        scope(|s| {
            let tasks: Vec<_> = (0..50_u64)
                .map(|n| {
                    let (three, most) = (&three, &most);
                    s.spawn(move || {
                        let _permit = three.acquire()?;
                        inside.set(inside.get() + 1);
                        most.set(most.get().max(inside.get()));
                        let result = sleep(millis(n % 7));
                        inside.set(inside.get() - 1);
                        result
                    })
                })
                .collect();
            for (n, task) in tasks.iter().enumerate().filter(|(n, _)| n % 3 == 0) {
                sleep(millis(n as u64 % 4))?;
                task.cancel();
            }
            Ok(())
        })?;
        assert_eq!((three.available(), most.get()), (3, 3));
        Ok(())
    })
    .unwrap();
}

/// SEM-08: a bounded semaphore takes no permit more than it gave: the error changes nothing.
#[test]
fn a_bounded_semaphore_takes_no_more_than_it_gave() {
    sim(|| {
        let two = BoundedSemaphore::new(2);
        assert_eq!(two.release(1).unwrap_err().kind(), ErrorKind::InvalidInput);
        let permit = two.acquire()?;
        assert!(two.release(2).is_err());
        drop(permit);
        let permits = (two.acquire()?, two.acquire()?);
        assert!(two.try_acquire().is_none(), "two, exactly");
        drop(permits);
        assert_eq!(two.available(), 2);
        Ok(())
    })
    .unwrap();
}

/// SEM-09: a waiter that is cancelled again and again leaves no permit more or less, after a thousand rounds.
#[test]
fn a_thousand_cancelled_waits_leave_no_drift() {
    sim(|| {
        let one = Rc::new(Semaphore::new(0));
        for n in 0..1_000 {
            let o = one.clone();
            let waiter = spawn(move || o.acquire().map(corio::Permit::forget));
            if n % 3 != 0 {
                yield_now()?;
            }
            if n % 2 == 0 {
                one.release(1);
            }
            waiter.cancel();
            let had = matches!(waiter.outcome(), Outcome::Returned(()));
            assert_eq!(one.available(), usize::from(n % 2 == 0 && !had), "round {n}");
            if one.available() == 1 {
                one.try_acquire().expect("a permit").forget();
            }
        }
        Ok(())
    })
    .unwrap();
}

// ---- barriers ----------------------------------------------------------------------------------------------------------

/// BARR-01: a barrier is for one task at least; for one alone nobody ever waits.
#[test]
fn a_barrier_for_one_is_none() {
    panic_of(|| Barrier::new(0));
    sim(|| {
        let one = Barrier::new(1);
        for _ in 0..3 {
            let (waited, place) = paused(|| one.wait());
            assert_eq!((waited, place?), (false, 0));
        }
        Ok(())
    })
    .unwrap();
}

/// BARR-02 and BARR-08: when all have come they go on, each with the place at which it came; those who wait are counted
/// while the round fills, and none when it is complete. The next round works the same.
#[test]
fn all_go_on_when_all_have_come() {
    let log = Log::default();
    sim(|| {
        let three = Barrier::new(3);
        for round in 0..2 {
            scope(|s| {
                for name in ["a", "b"] {
                    let (three, log) = (&three, &log);
                    s.spawn(move || {
                        log.say(format_args!("{name}{}", three.wait()?));
                        Ok(())
                    });
                }
                yield_now()?;
                assert_eq!((three.waiting(), three.parties()), (2, 3));
                assert_eq!(log.take(), "");
                assert_eq!(three.wait()?, 2);
                assert_eq!(three.waiting(), 0, "they have not gone on yet, and do not count any more");
                Ok(())
            })?;
            assert_eq!((log.take().as_str(), three.waiting()), ("a0 b1", 0), "round {round}");
        }
        Ok(())
    })
    .unwrap();
}

/// BARR-03: a waiter that is cancelled has not come; the barrier is whole.
#[test]
fn a_cancelled_arrival_has_not_come() {
    sim(|| {
        let two = Barrier::new(2);
        scope(|s| {
            let gone = s.spawn(|| two.wait());
            yield_now()?;
            gone.cancel();
            assert!(is_cancelled(&gone.join().unwrap_err()));
            assert_eq!((two.waiting(), two.is_broken()), (0, false));
            let (a, b) = (s.spawn(|| two.wait()), s.spawn(|| two.wait()));
            assert_eq!((a.join()?, b.join()?), (0, 1));
            Ok(())
        })
    })
    .unwrap();
}

/// BARR-04: who comes while the last round's tasks have not gone on yet belongs to the next round.
#[test]
fn who_comes_early_belongs_to_the_next_round() {
    let log = Log::default();
    sim(|| {
        let two = Barrier::new(2);
        scope(|s| {
            s.spawn(|| two.wait().map(|place| log.say(format_args!("old{place}"))));
            yield_now()?;
            s.spawn(|| two.wait().map(|place| log.say(format_args!("next{place}"))));
            assert_eq!(two.wait()?, 1); // the first is let go, the newcomer has not begun
            settle()?;
            assert_eq!((log.take().as_str(), two.waiting()), ("old0", 1));
            two.wait().map(drop)
        })
    })
    .unwrap();
    assert_eq!(log.take(), "next0");
}

/// BARR-05: a reset sends those away who wait, with an error; the barrier works afterwards and is not broken.
#[test]
fn a_reset_sends_the_waiters_away() {
    sim(|| {
        let three = Barrier::new(3);
        scope(|s| {
            let waiters = [0, 1].map(|_| s.spawn(|| Ok(three.wait())));
            yield_now()?;
            three.reset();
            for waiter in waiters {
                assert!(is_broken_barrier(&waiter.join()?.unwrap_err()));
            }
            assert!(!three.is_broken());
            let arrivals = [0, 1, 2].map(|_| s.spawn(|| three.wait()));
            for (n, arrival) in arrivals.into_iter().enumerate() {
                assert_eq!(arrival.join()?, n);
            }
            Ok(())
        })
    })
    .unwrap();
}

/// BARR-06: a reset while the tasks of a round that is complete have not gone on yet does not concern them. Who came after
/// them has come to the next round, which the reset sends away.
#[test]
fn a_reset_does_not_concern_a_round_that_is_complete() {
    sim(|| {
        let two = Barrier::new(2);
        scope(|s| {
            let old = s.spawn(|| two.wait());
            yield_now()?;
            let newcomer = s.spawn(|| Ok(two.wait()));
            let last = s.spawn(|| {
                yield_now()?;
                Ok(())
            });
            assert_eq!(two.wait()?, 1);
            two.reset();
            assert_eq!(old.join()?, 0);
            last.join()?;
            assert_eq!(two.waiting(), 1, "it came after the reset");
            two.reset();
            assert!(is_broken_barrier(&newcomer.join()?.unwrap_err()));
            Ok(())
        })
    })
    .unwrap();
}

/// BARR-07: an abort sends those away who wait and who come, until the reset.
#[test]
fn an_abort_lasts_until_the_reset() {
    sim(|| {
        let three = Barrier::new(3);
        scope(|s| {
            let waiter = s.spawn(|| Ok(three.wait()));
            yield_now()?;
            three.abort();
            assert!(is_broken_barrier(&waiter.join()?.unwrap_err()));
            assert!(three.is_broken() && three.waiting() == 0);
            assert!(is_broken_barrier(&three.wait().unwrap_err()));
            three.reset();
            assert!(!three.is_broken());
            let arrivals = [0, 1, 2].map(|_| s.spawn(|| three.wait()));
            arrivals.into_iter().try_for_each(|arrival| arrival.join().map(drop))
        })
    })
    .unwrap();
}

/// E9: when a wait has ended, by a limit, a cancel or its success, nothing of it is left: the things can be used, moved and
/// dropped, and wake nobody.
#[test]
fn e9_a_wait_that_has_ended_leaves_nothing() {
    sim(|| {
        let (lock, event, permits) = (Mutex::new(()), Event::new(), Semaphore::new(0));
        let (changed, barrier) = (Condvar::new(), Barrier::new(2));
        let guard = lock.lock()?;
        scope(|s| {
            s.spawn(|| {
                assert!(timeout(millis(1), || lock.lock().map(drop)).is_err());
                assert!(timeout(millis(1), || event.wait()).is_err());
                assert!(timeout(millis(1), || permits.acquire().map(drop)).is_err());
                assert!(timeout(millis(1), || barrier.wait()).is_err());
                let other = Mutex::new(());
                let mut mine = other.lock()?;
                assert!(timeout(millis(1), || changed.wait(&mut mine)).is_err());
                drop(mine);
                Ok(())
            });
            Ok(())
        })?;
        drop(guard);
        assert!(!lock.is_locked());
        permits.release(1);
        assert_eq!((permits.available(), barrier.waiting()), (1, 0));
        for text in [format!("{event:?}"), format!("{permits:?}"), format!("{changed:?}")] {
            assert!(text.contains("waiting: 0"), "{text}");
        }
        Ok(())
    })
    .unwrap();
}
