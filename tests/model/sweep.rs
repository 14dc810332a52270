//! Each primitive, cancelled at every point of a wait for it: as the call begins, while it is paused, and after it was
//! granted what it waits for but before it runs, which is where things get lost. Under a few schedules each.
//!
//! Each program has somebody who has the thing, the one that is cancelled, and somebody who waits behind it. Whatever
//! happens to the second, the third gets the thing, and in the end all of it is back.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use corio::channel::{TryRecvError, broadcast, mpsc, oneshot, watch};
use corio::queue::Order;
use corio::testing::{Injector, Options, Sequencer};
use corio::{
    Barrier, BoundedSemaphore, Condvar, Event, Mutex, Promise, Queue, RwLock, Semaphore, Which, after, aio,
    is_cancelled, millis, scope, select, sleep, spawn, yield_now,
};
use futures_util::stream::{FuturesUnordered, StreamExt};

/// Runs the sweep under the loop's own order and under some others; each of its parts has points, and some of them come
/// after the grant.
fn sweep(name: &str, program: impl Fn(&Injector) -> io::Result<()>) {
    let points = Options::new().cancel_everywhere(&program);
    assert!(points >= 3, "{name}: called, paused and woken are three points at least, not {points}");
    Options::new().schedules(10).cancel_everywhere(&program);
}

/// The result of a part that may have been cancelled: its value if it was not.
fn unless_cancelled<T>(injector: &Injector, result: io::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(injector.cancelled() && is_cancelled(&error), "{error}");
            None
        }
    }
}

/// Somebody has it, the victim waits, a third waits behind it: each holds it for a while.
fn in_a_row(
    injector: &Injector,
    hold: impl Fn() -> io::Result<()>,
    victim: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let seq = Sequencer::new();
    let third_had_it = Cell::new(false);
    scope(|s| {
        s.spawn(|| {
            let step = seq.step(0)?;
            drop(step);
            hold()
        });
        s.spawn(|| {
            seq.step(1)?;
            unless_cancelled(injector, injector.run(&victim));
            Ok(())
        });
        s.spawn(|| {
            seq.step(2)?;
            hold()?;
            third_had_it.set(true);
            Ok(())
        });
        Ok(())
    })?;
    assert!(third_had_it.get());
    Ok(())
}

/// Of two that receive one is the victim; whatever is sent arrives, or is still there.
fn all_arrive(
    injector: &Injector,
    receive: impl Fn() -> io::Result<u32>,
    send: impl Fn(u32) -> io::Result<()>,
    try_receive: impl Fn() -> Option<u32>,
) -> io::Result<()> {
    let sum = Cell::new(0);
    let take = |n: u32| sum.set(sum.get() + n);
    scope(|s| {
        s.spawn(|| {
            if let Some(item) = unless_cancelled(injector, injector.run(&receive)) {
                take(item);
            }
            Ok(())
        });
        s.spawn(|| {
            take(receive()?);
            Ok(())
        });
        sleep(millis(1))?;
        send(1)?;
        send(2)
    })?;
    while let Some(item) = try_receive() {
        take(item);
    }
    assert_eq!(sum.get(), 3, "nothing is lost, nothing comes twice");
    Ok(())
}

#[test]
fn mutex() {
    sweep("mutex", |injector| {
        let (lock, inside) = (Mutex::new(()), Cell::new(false));
        let hold = || {
            let _guard = lock.lock()?;
            assert!(!inside.replace(true));
            let result = sleep(millis(1));
            inside.set(false);
            result
        };
        in_a_row(injector, hold, hold)?;
        assert!(!lock.is_locked());
        Ok(())
    });
}

#[test]
fn rwlock() {
    for kinds in 0..8 {
        sweep("rwlock", |injector| {
            let lock = RwLock::new(());
            let hold = |write: bool| {
                if write {
                    let _guard = lock.write()?;
                    sleep(millis(1))
                } else {
                    let _guard = lock.read()?;
                    sleep(millis(1))
                }
            };
            let nth = Cell::new(0);
            let other = || {
                nth.set(nth.get() + 1);
                hold(kinds >> nth.get() & 1 == 1)
            };
            in_a_row(injector, other, || hold(kinds & 1 == 1))?;
            assert!(!lock.is_locked());
            Ok(())
        });
    }
}

/// A writer that gives up lets those read who came after it, while the first still reads.
#[test]
fn rwlock_where_a_writer_gives_up() {
    sweep("rwlock", |injector| {
        let (lock, seq) = (RwLock::new(()), Sequencer::new());
        scope(|s| {
            let third = s.spawn(|| {
                seq.step(2)?;
                let _guard = lock.read()?;
                Ok(corio::now())
            });
            s.spawn(|| {
                let _guard = lock.read()?;
                seq.step(0)?;
                sleep(millis(5))
            });
            seq.step(1)?;
            let given_up = match unless_cancelled(injector, injector.run(|| lock.write().map(drop))) {
                None => Some(corio::now()),
                Some(()) => None,
            };
            let reads = third.join()?;
            assert!(given_up.is_none_or(|given_up| reads == given_up), "nobody was before it any more");
            Ok(())
        })?;
        assert!(!lock.is_locked());
        Ok(())
    });
}

#[test]
fn semaphore() {
    sweep("semaphore", |injector| {
        let limit = Semaphore::new(1);
        let hold = || {
            let _permit = limit.acquire()?;
            sleep(millis(1))
        };
        in_a_row(injector, hold, hold)?;
        assert_eq!(limit.available(), 1);
        Ok(())
    });
}

#[test]
fn semaphore_with_permits_that_are_given_back_by_hand() {
    sweep("semaphore", |injector| {
        let limit = Semaphore::new(0);
        let had = Cell::new(0);
        scope(|s| {
            s.spawn(|| {
                if unless_cancelled(injector, injector.run(|| limit.acquire().map(|permit| permit.forget()))).is_some()
                {
                    had.set(had.get() + 1);
                }
                Ok(())
            });
            s.spawn(|| {
                limit.acquire()?.forget();
                had.set(had.get() + 1);
                Ok(())
            });
            sleep(millis(1))?;
            limit.release(2);
            Ok(())
        })?;
        assert_eq!(limit.available() + had.get(), 2);
        Ok(())
    });
}

#[test]
fn bounded_semaphore() {
    sweep("bounded semaphore", |injector| {
        let limit = BoundedSemaphore::new(1);
        let hold = || {
            let _permit = limit.acquire()?;
            sleep(millis(1))
        };
        in_a_row(injector, hold, hold)?;
        assert_eq!(limit.available(), 1);
        assert!(limit.release(1).is_err(), "none was lost, so there is no room for another");
        Ok(())
    });
}

/// By hand: a permit that the victim was granted and could not use has to be back before it is released again.
#[test]
fn bounded_semaphore_with_permits_that_are_given_back_by_hand() {
    sweep("bounded semaphore", |injector| {
        let limit = BoundedSemaphore::new(2);
        limit.acquire()?.forget();
        limit.acquire()?.forget();
        let had = Cell::new(0);
        scope(|s| {
            s.spawn(|| {
                let victim = || limit.acquire().map(|permit| permit.forget());
                if unless_cancelled(injector, injector.run(victim)).is_some() {
                    had.set(had.get() + 1);
                }
                Ok(())
            });
            s.spawn(|| {
                limit.acquire()?.forget();
                had.set(had.get() + 1);
                Ok(())
            });
            sleep(millis(1))?;
            limit.release(2)
        })?;
        assert_eq!(limit.available() + had.get(), 2);
        limit.release(had.get())?;
        assert!(limit.release(1).is_err());
        Ok(())
    });
}

#[test]
fn event() {
    sweep("event", |injector| {
        let event = Event::new();
        scope(|s| {
            s.spawn(|| {
                unless_cancelled(injector, injector.run(|| event.wait()));
                Ok(())
            });
            s.spawn(|| event.wait());
            sleep(millis(1))?;
            event.set();
            event.clear(); // who waited goes on all the same
            Ok(())
        })
    });
}

/// The lock is held after the wait, whatever happened; a notification that the victim cannot use goes on.
#[test]
fn condvar() {
    sweep("condvar", |injector| {
        let (stock, changed, inside) = (Mutex::new(0), Condvar::new(), Cell::new(false));
        let taken = Cell::new(0);
        let take = || {
            let mut stock = stock.lock()?;
            let waited = changed.wait_until(&mut stock, |stock| *stock > 0);
            assert!(!inside.replace(true), "the lock is held");
            corio::shield(millis(9), || sleep(millis(1)))?;
            inside.set(false);
            waited?;
            *stock -= 1;
            taken.set(taken.get() + 1);
            Ok(())
        };
        let put = || {
            let mut stock = stock.lock()?;
            assert!(!inside.get());
            *stock += 1;
            changed.notify_one();
            sleep(millis(1)) // whoever is notified has to wait for the lock
        };
        scope(|s| {
            s.spawn(|| {
                unless_cancelled(injector, injector.run(take));
                Ok(())
            });
            s.spawn(take);
            sleep(millis(1))?;
            put()?;
            sleep(millis(9))?;
            assert_eq!(taken.get(), 1, "if the victim cannot use its notification, the other one gets it");
            if s.is_empty() { Ok(()) } else { put() }
        })?;
        assert!(taken.get() >= 1 && stock.into_inner() <= 1);
        Ok(())
    });
}

#[test]
fn barrier() {
    sweep("barrier", |injector| {
        let barrier = Barrier::new(3);
        let places = Cell::new(0);
        scope(|s| {
            for n in 0..2 {
                let (barrier, places) = (&barrier, &places);
                s.spawn(move || {
                    sleep(millis(2 * n))?;
                    let place = barrier.wait()?;
                    places.set(places.get() | 1 << place);
                    Ok(())
                });
            }
            sleep(millis(1))?;
            let mut place = unless_cancelled(injector, injector.run(|| barrier.wait()));
            if place.is_none() {
                // It has not come: the others wait until it does.
                place = Some(barrier.wait()?);
            }
            places.set(places.get() | 1 << place.unwrap_or(0));
            Ok(())
        })?;
        assert_eq!((places.get(), barrier.waiting()), (0b111, 0));
        Ok(())
    });
}

#[test]
fn queue_get() {
    queue_get_of("queue", Queue::new);
    queue_get_of("lifo queue", Queue::lifo);
    queue_get_of("priority queue", Queue::priority);
}

fn queue_get_of<S: Order<u32>>(name: &str, make: impl Fn() -> Queue<u32, S>) {
    sweep(name, |injector| {
        let queue = make();
        all_arrive(injector, || queue.get(), |n| queue.put(n), || queue.try_get().ok())
    });
}

#[test]
fn queue_put_and_reserve() {
    queue_put_and_reserve_of("queue", || Queue::bounded(1));
    queue_put_and_reserve_of("lifo queue", || Queue::bounded_lifo(1));
    queue_put_and_reserve_of("priority queue", || Queue::bounded_priority(1));
}

fn queue_put_and_reserve_of<S: Order<u32>>(name: &str, make: impl Fn() -> Queue<u32, S>) {
    for reserve in [false, true] {
        sweep(name, |injector| {
            let queue = make();
            queue.put(1)?;
            let put = Cell::new(1);
            let put_another = |item: u32| put.set(put.get() + item);
            scope(|s| {
                s.spawn(|| {
                    let victim = || {
                        if !reserve {
                            return queue.put(2);
                        }
                        let slot = queue.reserve()?;
                        yield_now()?;
                        slot.put(2);
                        Ok(())
                    };
                    if unless_cancelled(injector, injector.run(victim)).is_some() {
                        put_another(2);
                    }
                    Ok(())
                });
                s.spawn(|| {
                    queue.put(3)?;
                    put_another(3);
                    Ok(())
                });
                sleep(millis(1))?;
                let mut got = queue.get()? + queue.get()?; // at least two come
                sleep(millis(1))?;
                while let Ok(item) = queue.try_get() {
                    got += item;
                    sleep(millis(1))?;
                }
                assert_eq!(got, put.get(), "what was put comes, once");
                Ok(())
            })?;
            assert!(queue.is_empty() && !queue.is_full(), "no room is lost");
            Ok(())
        });
    }
}

#[test]
fn queue_join() {
    sweep("queue", |injector| {
        let queue = Queue::new();
        queue.put(())?;
        scope(|s| {
            s.spawn(|| {
                unless_cancelled(injector, injector.run(|| queue.join()));
                Ok(())
            });
            s.spawn(|| queue.join());
            sleep(millis(1))?;
            queue.get()?;
            queue.task_done()
        })
    });
}

#[test]
fn promise() {
    sweep("promise", |injector| {
        let promise = Promise::new();
        let own = promise.clone();
        let keeper = spawn(move || {
            sleep(millis(1))?;
            own.set(7).map_err(|_| io::Error::other("set before"))
        });
        let other = spawn({
            let promise = promise.clone();
            move || {
                sleep(millis(2))?; // it comes later
                promise.take()
            }
        });
        let taken = unless_cancelled(injector, injector.run(|| promise.take()));
        keeper.join()?;
        match (taken, other.join()) {
            (Some(7), Err(error)) => assert_eq!(error.kind(), io::ErrorKind::InvalidInput),
            (None, Ok(7)) => {}
            (taken, other) => panic!("{taken:?} and {other:?}"),
        }
        Ok(())
    });
}

/// Two tasks share a receiver; each value goes to one of them, or is still there.
#[test]
fn mpsc_recv() {
    for room in [Some(1), None] {
        sweep("mpsc", |injector| {
            let (sender, receiver) = room.map_or_else(mpsc::unbounded, mpsc::bounded);
            let sum = Cell::new(0);
            let take = |n: u32| sum.set(sum.get() + n);
            scope(|s| {
                s.spawn(|| {
                    if let Some(value) = unless_cancelled(injector, injector.run(|| receiver.recv())) {
                        take(value);
                    }
                    Ok(())
                });
                s.spawn(|| {
                    take(receiver.recv()?);
                    Ok(())
                });
                sleep(millis(1))?;
                sender.send(1)?;
                sender.send(2)?;
                drop(sender);
                Ok(())
            })?;
            // Whoever comes later gets what is left, and the end.
            for value in &receiver {
                take(value?);
            }
            assert_eq!(sum.get(), 3, "nothing is lost, nothing comes twice");
            Ok(())
        });
    }
}

/// The victim is told the end, or was cancelled; the end itself is not used up.
#[test]
fn mpsc_end() {
    sweep("mpsc", |injector| {
        let (sender, receiver) = mpsc::bounded::<u32>(1);
        scope(|s| {
            s.spawn(|| {
                let error = injector.run(|| receiver.recv()).unwrap_err();
                let is_end = error.kind() == io::ErrorKind::BrokenPipe;
                assert!(is_end || injector.cancelled() && is_cancelled(&error), "{error}");
                Ok(())
            });
            s.spawn(|| {
                assert_eq!(receiver.recv().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
                Ok(())
            });
            sleep(millis(1))?;
            drop(sender);
            Ok(())
        })?;
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
        Ok(())
    });
}

/// A value that was not sent comes back, and its room goes to the next; 0 is the channel without room.
#[test]
fn mpsc_send() {
    for room in [0, 1] {
        sweep("mpsc", |injector| {
            let (sender, receiver) = mpsc::bounded(room);
            let sent = Cell::new(0);
            if room == 1 {
                sender.send(1)?;
                sent.set(1);
            }
            scope(|s| {
                s.spawn(|| {
                    let back = Cell::new(0);
                    let victim = || {
                        sender.send(2).map_err(|failed| {
                            assert!(is_cancelled(failed.error()), "{failed}");
                            back.set(failed.into_inner());
                            io::Error::other("not sent")
                        })
                    };
                    match injector.run(victim) {
                        Ok(()) => sent.set(sent.get() + 2),
                        Err(error) => assert!(injector.cancelled() && back.get() == 2, "{error}"),
                    }
                    Ok(())
                });
                s.spawn(|| {
                    sender.send(3)?;
                    sent.set(sent.get() + 3);
                    Ok(())
                });
                sleep(millis(1))?;
                let mut got = receiver.recv()?;
                sleep(millis(1))?;
                while let Ok(value) = receiver.try_recv() {
                    got += value;
                    sleep(millis(1))?;
                }
                assert_eq!(got, sent.get(), "what was sent comes, once");
                Ok(())
            })?;
            assert!(receiver.is_empty());
            Ok(())
        });
    }
}

#[test]
fn oneshot_recv() {
    for is_sent in [true, false] {
        sweep("oneshot", |injector| {
            let (sender, mut receiver) = oneshot::channel();
            let sends = spawn(move || {
                sleep(millis(1))?;
                if is_sent {
                    sender.send(7)?;
                } // or it is dropped without a value
                Ok(())
            });
            let take = |receiver: &mut oneshot::Receiver<u32>| match receiver.recv() {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe && !is_sent => Ok(0),
                result => result,
            };
            let first = unless_cancelled(injector, injector.run(|| take(&mut receiver)));
            sends.join()?;
            // What was not received can still be.
            let value = first.map_or_else(|| take(&mut receiver), Ok)?;
            assert_eq!(value, if is_sent { 7 } else { 0 });
            Ok(())
        });
    }
}

/// Each receiver gets every value, whatever was cancelled in between.
#[test]
fn broadcast_recv() {
    sweep("broadcast", |injector| {
        let (sender, first) = broadcast::channel(4);
        let second = sender.subscribe();
        let all = |mut receiver: broadcast::Receiver<u32>| {
            let mut got = Vec::new();
            for value in &mut receiver {
                got.push(value.map_err(io::Error::from)?);
            }
            Ok(got)
        };
        scope(|s| {
            let victim = s.spawn(|| {
                let mut receiver = first;
                let recv = || receiver.recv().map_err(io::Error::from);
                let value = unless_cancelled(injector, injector.run(recv));
                let mut got: Vec<u32> = value.into_iter().collect();
                got.extend(all(receiver)?);
                Ok(got)
            });
            let other = s.spawn(|| all(second));
            sleep(millis(1))?;
            sender.send(1)?;
            sender.send(2)?;
            sleep(millis(1))?;
            sender.send(3)?;
            drop(sender);
            assert_eq!((victim.join()?, other.join()?), (vec![1, 2, 3], vec![1, 2, 3]));
            Ok(())
        })
    });
}

/// A value that a cancelled receiver was told of counts as seen by it only if it got it.
#[test]
fn watch_recv() {
    sweep("watch", |injector| {
        let (sender, first) = watch::channel(0);
        let second = sender.subscribe();
        scope(|s| {
            let victim = s.spawn(|| {
                let mut receiver = first;
                let seen = unless_cancelled(injector, injector.run(|| receiver.recv()));
                let seen = seen.map_or_else(|| receiver.recv(), Ok)?;
                assert_eq!(*seen, 1);
                receiver.recv()
            });
            let other = s.spawn(|| {
                let mut receiver = second;
                assert_eq!(*receiver.recv()?, 1);
                receiver.recv()
            });
            sleep(millis(1))?;
            sender.send(1)?;
            sleep(millis(1))?;
            sender.send(2)?;
            assert_eq!((*victim.join()?, *other.join()?), (2, 2));
            Ok(())
        })
    });
}

/// Two things come in the same moment as the cancellation. One of them is had at most, the other is still there.
#[test]
fn selecting() {
    sweep("select", |injector| {
        let (queue, limit, lock) = (Queue::new(), Semaphore::new(0), Mutex::new(()));
        let had = Cell::new(0);
        let guard = lock.lock()?;
        scope(|s| {
            s.spawn(|| {
                let result = injector.run(|| {
                    Ok(match select((&queue, &limit, &lock, after(millis(9))))? {
                        Which::A(item) => item?,
                        Which::B(permit) => {
                            permit.forget();
                            2
                        }
                        Which::C(_guard) => 4,
                        Which::D(()) => 8,
                    })
                });
                had.set(unless_cancelled(injector, result).unwrap_or(0));
                Ok(())
            });
            sleep(millis(1))?;
            queue.put(1)?;
            limit.release(1);
            drop(guard);
            Ok(())
        })?;
        let left = (queue.len(), limit.available(), lock.is_locked());
        match had.get() {
            0 | 4 => assert_eq!(left, (1, 1, false)),
            1 => assert_eq!(left, (0, 1, false)),
            2 => assert_eq!(left, (1, 0, false)),
            had => panic!("{had}"),
        }
        Ok(())
    });
}

/// A task that is waited for inside the victim is cancelled with it, and its end awaited.
#[test]
fn join_and_scope() {
    sweep("scope", |injector| {
        let (begun, ended) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let work = |begun: Rc<Cell<i32>>, ended: Rc<Cell<i32>>| {
            move || {
                begun.set(begun.get() + 1);
                let result = sleep(millis(2)).and_then(|()| yield_now());
                ended.set(ended.get() + 1);
                result
            }
        };
        let result = injector.run(|| {
            let task = spawn(work(begun.clone(), ended.clone()));
            scope(|s| {
                s.spawn(work(begun.clone(), ended.clone()));
                s.spawn(work(begun.clone(), ended.clone())).join()
            })?;
            task.join()
        });
        unless_cancelled(injector, result);
        corio::testing::wait_all_tasks_blocked()?;
        sleep(millis(5))?; // the detached one may have lost its joiner
        assert_eq!(begun.get(), ended.get());
        Ok(())
    });
}

// ---- awaited --------------------------------------------------------------------------------------------------------

/// Awaits in a coroutine, as one of several as well: then it has a waker that is not the task's.
fn awaited<T>(one_of_several: bool, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match one_of_several {
        false => aio::wait_on(future)?,
        true => aio::wait_on(async { [future].into_iter().collect::<FuturesUnordered<_>>().next().await })?.unwrap(),
    }
}

#[test]
fn awaited_mutex() {
    for one_of_several in [false, true] {
        sweep("awaited mutex", |injector| {
            let (lock, inside) = (Mutex::new(()), Cell::new(false));
            let hold = || {
                awaited(one_of_several, async {
                    let _guard = aio::ready(&lock).await?;
                    assert!(!inside.replace(true));
                    let result = aio::sleep(millis(1)).await;
                    inside.set(false);
                    result
                })
            };
            in_a_row(injector, hold, hold)?;
            assert!(lock.try_lock().is_some());
            Ok(())
        });
    }
}

#[test]
fn awaited_semaphore() {
    for one_of_several in [false, true] {
        sweep("awaited semaphore", |injector| {
            let permits = Semaphore::new(1);
            let hold = || {
                awaited(one_of_several, async {
                    let _permit = aio::ready(&permits).await?;
                    aio::sleep(millis(1)).await
                })
            };
            in_a_row(injector, hold, hold)?;
            assert_eq!(permits.available(), 1);
            Ok(())
        });
    }
}

#[test]
fn awaited_receivers() {
    for one_of_several in [false, true] {
        sweep("awaited queue", |injector| {
            let queue = Queue::new();
            let receive = || awaited(one_of_several, async { aio::ready(&queue).await? });
            all_arrive(injector, receive, |n| queue.put(n), || queue.try_get().ok())
        });
        sweep("awaited mpsc", |injector| {
            let (sender, receiver) = mpsc::bounded(1);
            let receive = || awaited(one_of_several, async { aio::ready(&receiver).await? });
            all_arrive(injector, receive, |n| Ok(sender.send(n)?), || receiver.try_recv().ok())
        });
    }
}
