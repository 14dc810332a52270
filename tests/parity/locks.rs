//! Locks, events, conditions, semaphores and barriers.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use corio::{
    Barrier, BoundedSemaphore, Condvar, Event, Mutex, Semaphore, is_broken_barrier, millis, scope, secs, sleep, spawn,
    timeout, yield_now,
};

use crate::{failure, kind, yes};

fn one_at_a_time() -> io::Result<()> {
    let lock = &Mutex::new(());
    let section = |name| {
        let _guard = lock.lock()?;
        say!("{name} is in");
        sleep(secs(1))?;
        say!("{name} is out");
        Ok(())
    };
    scope(|s| {
        for name in ["a", "b", "c"] {
            s.spawn(move || section(name));
        }
    })
}

fn locked_or_not() -> io::Result<()> {
    let lock = Mutex::new(());
    say!("{}", yes(lock.is_locked()));
    let guard = lock.lock()?;
    say!("{}", yes(lock.is_locked()));
    drop(guard);
    say!("{}", yes(lock.is_locked()));
    Ok(())
}

fn nobody_overtakes() -> io::Result<()> {
    let lock = Mutex::new(());
    scope(|s| {
        s.spawn(|| {
            let guard = lock.lock()?;
            sleep(secs(1))?;
            drop(guard);
            say!("first has unlocked");
            let _guard = lock.lock()?;
            say!("first again");
            Ok(())
        });
        s.spawn(|| {
            let _guard = lock.lock()?;
            say!("second");
            Ok(())
        });
    })
}

fn turns_are_fair() -> io::Result<()> {
    let lock = &Mutex::new(());
    let child = |name| {
        for n in 0..3 {
            let _guard = lock.lock()?;
            say!("{name} {n}");
            yield_now()?;
        }
        Ok(())
    };
    scope(|s| {
        for name in ["a", "b", "c"] {
            s.spawn(move || child(name));
        }
    })
}

fn an_error_unlocks() -> io::Result<()> {
    let lock = Rc::new(Mutex::new(()));
    let first = spawn({
        let lock = lock.clone();
        move || {
            let _guard = lock.lock()?;
            sleep(secs(1))?;
            Err::<(), _>(failure("boom"))
        }
    });
    let second = spawn(move || {
        let _guard = lock.lock()?;
        say!("the next one is in");
        Ok(())
    });
    if let Err(error) = first.join() {
        say!("{}", kind(&error));
    }
    second.join()
}

fn a_cancelled_waiter_is_left_out() -> io::Result<()> {
    let lock = &Mutex::new(());
    let child = |name| {
        let _guard = lock.lock()?;
        say!("{name} is in");
        sleep(secs(2))
    };
    scope(|s| {
        let [a, b, c] = ["a", "b", "c"].map(|name| s.spawn(move || child(name)).task());
        sleep(secs(1))?;
        b.cancel();
        a.wait()?;
        c.wait()?;
        say!("b cancelled: {} locked: {}", yes(b.cancelled()), yes(lock.is_locked()));
        Ok(())
    })
}

fn the_holder_is_cancelled() -> io::Result<()> {
    let lock = &Mutex::new(());
    let child = |name| {
        let _guard = lock.lock()?;
        say!("{name} is in");
        sleep(secs(5))
    };
    scope(|s| {
        let [a, b] = ["a", "b"].map(|name| s.spawn(move || child(name)).task());
        sleep(secs(1))?;
        a.cancel();
        b.wait()
    })?;
    say!("locked: {}", yes(lock.is_locked()));
    Ok(())
}

fn an_update_that_waits_without_a_lock() -> io::Result<()> {
    let counter = Cell::new(0);
    scope(|s| {
        for _ in 0..10 {
            s.spawn(|| {
                let seen = counter.get();
                sleep(millis(500))?;
                counter.set(seen + 1);
                Ok(())
            });
        }
    })?;
    say!("counter: {}", counter.get());
    Ok(())
}

fn an_update_that_waits_with_a_lock() -> io::Result<()> {
    let counter = Mutex::new(0);
    scope(|s| {
        for _ in 0..10 {
            s.spawn(|| {
                let mut counter = counter.lock()?;
                let seen = *counter;
                sleep(millis(500))?;
                *counter = seen + 1;
                Ok(())
            });
        }
    })?;
    say!("counter: {}", *counter.lock()?);
    Ok(())
}

fn an_event() -> io::Result<()> {
    let event = &Event::new();
    let waiter = |name| {
        say!("{name} waits");
        event.wait()?;
        say!("{name} goes on");
        Ok(())
    };
    scope(|s| {
        for name in ["a", "b", "c"] {
            s.spawn(move || waiter(name));
        }
        sleep(secs(2))?;
        say!("set: {}", yes(event.is_set()));
        event.set();
        say!("set: {}", yes(event.is_set()));
        Ok(())
    })
}

fn an_event_that_is_set() -> io::Result<()> {
    let event = Event::new();
    event.set();
    event.wait()?;
    say!("no wait");
    event.clear();
    say!("set: {}", yes(event.is_set()));
    Ok(())
}

fn set_and_cleared_at_once() -> io::Result<()> {
    let event = &Event::new();
    let waiter = |name| {
        event.wait()?;
        say!("{name} goes on; set: {}", yes(event.is_set()));
        Ok(())
    };
    scope(|s| {
        for name in ["a", "b"] {
            s.spawn(move || waiter(name));
        }
        sleep(secs(1))?;
        event.set();
        event.clear();
        Ok(())
    })
}

fn an_event_and_a_late_comer() -> io::Result<()> {
    let event = &Event::new();
    let waiter = |name| {
        event.wait()?;
        say!("{name}");
        Ok(())
    };
    scope(|s| {
        s.spawn(move || waiter("early"));
        sleep(secs(1))?;
        s.spawn(move || waiter("late"));
        event.set();
        Ok(())
    })
}

fn a_waiter_of_an_event_is_cancelled() -> io::Result<()> {
    let event = &Event::new();
    let waiter = |name| {
        event.wait().inspect_err(|_| say!("{name} is cancelled"))?;
        say!("{name} goes on");
        Ok(())
    };
    scope(|s| {
        let a = s.spawn(move || waiter("a"));
        s.spawn(move || waiter("b"));
        sleep(secs(1))?;
        a.cancel();
        sleep(secs(1))?;
        event.set();
        Ok(())
    })
}

fn set_and_cancelled_in_one_turn() -> io::Result<()> {
    let event = Event::new();
    scope(|s| {
        let waiter = s.spawn(|| {
            event.wait()?;
            say!("the waiter goes on");
            sleep(secs(1))?;
            say!("never");
            Ok(())
        });
        let task = waiter.task();
        sleep(secs(1))?;
        event.set();
        task.cancel();
        task.wait()?;
        say!("cancelled: {}", yes(task.cancelled()));
        Ok(())
    })
}

fn a_condition_notifies_two() -> io::Result<()> {
    let (lock, condition) = (&Mutex::new(()), &Condvar::new());
    let waiter = |name| {
        let mut guard = lock.lock()?;
        condition.wait(&mut guard)?;
        say!("{name} goes on");
        Ok(())
    };
    scope(|s| {
        for name in ["a", "b", "c"] {
            s.spawn(move || waiter(name));
        }
        sleep(secs(1))?;
        let guard = lock.lock()?;
        condition.notify(2);
        sleep(secs(1))?;
        say!("unlocking");
        drop(guard);
        sleep(secs(1))?;
        let _guard = lock.lock()?;
        say!("once more");
        condition.notify_one();
        Ok(())
    })
}

fn a_condition_notifies_all() -> io::Result<()> {
    let (lock, condition) = (&Mutex::new(()), &Condvar::new());
    let waiter = |name| {
        let mut guard = lock.lock()?;
        condition.wait(&mut guard)?;
        say!("{name} is in");
        sleep(secs(1))
    };
    scope(|s| {
        for name in ["a", "b", "c"] {
            s.spawn(move || waiter(name));
        }
        sleep(secs(1))?;
        let _guard = lock.lock()?;
        condition.notify_all();
        Ok(())
    })
}

fn a_notification_is_not_remembered() -> io::Result<()> {
    let (lock, condition) = (Mutex::new(()), Condvar::new());
    condition.notify_one();
    let mut guard = lock.lock()?;
    if let Err(error) = timeout(secs(1), || condition.wait(&mut guard)) {
        say!("{} locked: {}", kind(&error), yes(lock.is_locked()));
    }
    Ok(())
}

fn a_condition_with_a_predicate() -> io::Result<()> {
    let (stock, condition) = (&Mutex::new(0), &Condvar::new());
    let buyer = |name, wanted| {
        let mut stock = stock.lock()?;
        condition.wait_until(&mut stock, |stock| *stock >= wanted)?;
        *stock -= wanted;
        say!("{name} takes {wanted} of {}", *stock + wanted);
        Ok(())
    };
    scope(|s| {
        s.spawn(move || buyer("a", 3));
        s.spawn(move || buyer("b", 1));
        for _ in 0..4 {
            sleep(secs(1))?;
            *stock.lock()? += 1;
            condition.notify_all();
        }
        Ok(())
    })
}

fn a_cancelled_waiter_of_a_condition_holds_the_lock_again() -> io::Result<()> {
    let (lock, condition) = (Mutex::new(()), Condvar::new());
    scope(|s| {
        let task = s.spawn(|| {
            let mut guard = lock.lock()?;
            let waited = condition.wait(&mut guard);
            say!("locked: {}", yes(lock.is_locked()));
            waited
        });
        sleep(secs(1))?;
        let guard = lock.lock()?;
        task.cancel();
        sleep(secs(1))?;
        say!("unlocking");
        drop(guard);
        task.wait()?;
        say!("locked: {}", yes(lock.is_locked()));
        Ok(())
    })
}

fn notified_and_then_cancelled() -> io::Result<()> {
    let (lock, condition) = (Mutex::new(()), Condvar::new());
    scope(|s| {
        let task = s.spawn(|| {
            let mut guard = lock.lock()?;
            condition.wait(&mut guard)?;
            say!("the waiter goes on");
            Ok(())
        });
        sleep(secs(1))?;
        let guard = lock.lock()?;
        condition.notify_one();
        sleep(secs(1))?;
        task.cancel();
        sleep(secs(1))?;
        drop(guard);
        task.wait()?;
        say!("cancelled: {}", yes(task.cancelled()));
        Ok(())
    })
}

fn a_semaphore_for_two() -> io::Result<()> {
    let semaphore = &Semaphore::new(2);
    let job = |name| {
        let _permit = semaphore.acquire()?;
        say!("{name} works");
        sleep(secs(1))?;
        say!("{name} is done");
        Ok(())
    };
    scope(|s| {
        for n in 0..5 {
            s.spawn(move || job(n));
        }
    })
}

fn permits_are_given_in_order() -> io::Result<()> {
    let semaphore = &Semaphore::new(0);
    let job = |name| {
        semaphore.acquire()?.forget();
        say!("{name}");
        Ok(())
    };
    scope(|s| {
        for name in ["a", "b", "c", "d"] {
            s.spawn(move || job(name));
        }
        sleep(secs(1))?;
        semaphore.release(2);
        sleep(secs(1))?;
        say!("and two more");
        semaphore.release(2);
        Ok(())
    })
}

fn a_newcomer_does_not_overtake() -> io::Result<()> {
    let semaphore = &Semaphore::new(0);
    let job = |name| {
        semaphore.acquire()?.forget();
        say!("{name}");
        Ok(())
    };
    scope(|s| {
        s.spawn(move || job("waiting"));
        sleep(secs(1))?;
        s.spawn(move || job("newcomer"));
        semaphore.release(1);
        sleep(secs(1))?;
        semaphore.release(1);
        Ok(())
    })
}

fn a_semaphore_that_is_locked() -> io::Result<()> {
    let semaphore = Semaphore::new(2);
    let _first = semaphore.acquire()?;
    say!("locked: {}", yes(semaphore.available() == 0));
    let second = semaphore.acquire()?;
    say!("locked: {}", yes(semaphore.available() == 0));
    drop(second);
    say!("locked: {}", yes(semaphore.available() == 0));
    Ok(())
}

fn a_permit_is_not_lost() -> io::Result<()> {
    let semaphore = &Semaphore::new(1);
    let job = |name| {
        let _permit = semaphore.acquire()?;
        say!("{name}");
        sleep(secs(1))
    };
    scope(|s| {
        let [_, b, _] = ["a", "b", "c"].map(|name| s.spawn(move || job(name)));
        sleep(millis(500))?;
        b.cancel();
        Ok(())
    })?;
    say!("locked: {}", yes(semaphore.available() == 0));
    Ok(())
}

fn a_bounded_semaphore() -> io::Result<()> {
    let semaphore = BoundedSemaphore::new(1);
    semaphore.acquire()?.forget();
    semaphore.release(1)?;
    if semaphore.release(1).is_err() {
        say!("released too often");
    }
    let _permit = semaphore.acquire()?;
    say!("locked: {}", yes(semaphore.available() == 0));
    Ok(())
}

fn a_barrier_for_three() -> io::Result<()> {
    let barrier = &Barrier::new(3);
    let child = |name, delay| {
        sleep(secs(delay))?;
        say!("{name} arrives");
        let place = barrier.wait()?;
        say!("{name} was number {place}");
        Ok(())
    };
    scope(|s| {
        for (name, delay) in [("a", 2), ("b", 1), ("c", 3)] {
            s.spawn(move || child(name, delay));
        }
    })
}

fn a_barrier_in_rounds() -> io::Result<()> {
    let barrier = &Barrier::new(2);
    let child = |name, delay| {
        for n in 0..2 {
            sleep(secs(delay))?;
            barrier.wait()?;
            say!("{name} passes round {n}");
        }
        Ok(())
    };
    scope(|s| {
        s.spawn(move || child("a", 1));
        s.spawn(move || child("b", 3));
    })
}

fn a_waiter_leaves_a_barrier() -> io::Result<()> {
    let barrier = &Barrier::new(2);
    let child = |name| {
        barrier.wait()?;
        say!("{name} passes");
        Ok(())
    };
    scope(|s| {
        let a = s.spawn(move || child("a"));
        sleep(secs(1))?;
        a.cancel();
        sleep(secs(1))?;
        s.spawn(move || child("b"));
        s.spawn(move || child("c"));
        Ok(())
    })
}

fn a_barrier_is_reset() -> io::Result<()> {
    let barrier = &Barrier::new(2);
    let child = |name| match barrier.wait() {
        Err(error) if is_broken_barrier(&error) => say!("{name} is sent away"),
        _ => say!("{name} passes"),
    };
    scope(|s| {
        let a = s.spawn(move || child("a"));
        sleep(secs(1))?;
        say!("waiting: {}", barrier.waiting());
        barrier.reset();
        a.join()?;
        say!("broken: {}", yes(barrier.is_broken()));
        s.spawn(move || child("b"));
        s.spawn(move || child("c"));
        Ok(())
    })
}

fn a_barrier_is_aborted() -> io::Result<()> {
    let barrier = &Barrier::new(2);
    let child = |name| match barrier.wait() {
        Err(error) if is_broken_barrier(&error) => say!("{name} is sent away"),
        _ => say!("{name} passes"),
    };
    scope(|s| {
        let a = s.spawn(move || child("a"));
        sleep(secs(1))?;
        barrier.abort();
        a.join()?;
        say!("broken: {}", yes(barrier.is_broken()));
        child("b");
        Ok(())
    })
}

scenarios! {
    one_at_a_time,
    locked_or_not,
    nobody_overtakes,
    turns_are_fair,
    an_error_unlocks,
    a_cancelled_waiter_is_left_out,
    the_holder_is_cancelled,
    an_update_that_waits_without_a_lock,
    an_update_that_waits_with_a_lock,
    an_event,
    an_event_that_is_set,
    set_and_cleared_at_once,
    an_event_and_a_late_comer,
    a_waiter_of_an_event_is_cancelled,
    set_and_cancelled_in_one_turn differs because
        "success wins: the event was set first, and the cancellation is met at the next call",
    a_condition_notifies_two,
    a_condition_notifies_all,
    a_notification_is_not_remembered,
    a_condition_with_a_predicate,
    a_cancelled_waiter_of_a_condition_holds_the_lock_again,
    notified_and_then_cancelled differs because
        "success wins: it was notified first, and the cancellation is met at the next call",
    a_semaphore_for_two,
    permits_are_given_in_order,
    a_newcomer_does_not_overtake,
    a_semaphore_that_is_locked,
    a_permit_is_not_lost,
    a_bounded_semaphore,
    a_barrier_for_three,
    a_barrier_in_rounds,
    a_waiter_leaves_a_barrier,
    a_barrier_is_reset,
    a_barrier_is_aborted,
}
