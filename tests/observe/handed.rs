//! Who has the locks that tasks wait for, and what a task is handed when it goes on.

use corio::channel::mpsc::{Receiver, Sender, unbounded};
use corio::io::{Duplex, duplex};
use corio::{Condvar, Mutex, Queue, RwLock, Semaphore, after, aio, select};
use futures_util::future::join;

use super::*;

/// A lock passes from one task to the next while a third one waits: who is said to have it is who has it.
#[test]
fn who_has_a_lock_is_told_as_it_is() {
    let (recording, result) = watched(virtual_clock(), || {
        let lock = Mutex::new(());
        scope(|s| {
            for name in ["Ada", "Grace", "Barbara"] {
                let has_it_for_a_second = || {
                    let _mine = lock.lock()?;
                    sleep(secs(1))
                };
                Builder::new().name(name).spawn_scoped(s, has_it_for_a_second)?;
            }
            Ok(())
        })
    });
    result.unwrap();
    let mut walk = Walk::new(recording.replay());
    let mut told = Vec::new();
    while walk.command("e") == Answer::Moved {
        told.extend(walk.waits(4).map(|(wanted, _)| wanted).filter(|wanted| wanted.starts_with("lock")));
    }
    told.dedup();
    // In the last moment it is her own.
    assert_eq!(told, ["lock 1, which Ada has", "lock 1, which Grace has", "lock 1"]);
    assert!(recording.narrate(2).contains("Ada          gives lock 1 to Grace"), "{}", recording.narrate(2));
    // The words of the moment stay what they were.
    walk.command("g 1");
    walk.command("f Barbara");
    let said: Vec<String> = walk.conversation(9).into_iter().map(|exchange| exchange.what).collect();
    assert!(said.contains(&"lock 1, which Ada has".to_owned()), "{said:?}");
}

/// The same with readers, of whom one is known, and with a writer that gives up.
#[test]
fn who_reads_under_a_lock_is_told_as_far_as_it_is_known() {
    let (recording, result) = watched(virtual_clock(), || {
        let lock = RwLock::new(());
        let holds = |time| {
            let lock = &lock;
            move || {
                let _mine = lock.read()?;
                sleep(secs(time))
            }
        };
        scope(|s| {
            let (_first, _second) = (s.spawn(holds(1)), s.spawn(holds(3)));
            let hasty = s.spawn(|| lock.write().map(drop));
            s.spawn(holds(1));
            s.spawn(|| {
                let _mine = lock.write()?;
                sleep(secs(1))
            });
            s.spawn(|| {
                sleep(millis(500))?;
                lock.write().map(drop)
            });
            sleep(secs(2))?;
            hasty.cancel();
            Ok(())
        })
    });
    result.unwrap();
    let mut state = State::new();
    let mut holders = Vec::new();
    for record in recording.records() {
        state.apply(&record);
        holders.extend(state.wait_of(7).and_then(|want| match want {
            Want::Thing { holder, .. } => Some(holder),
            _ => None,
        }));
    }
    holders.dedup();
    // The first reader; others, whom nobody knows; one that came in when the hasty one gave up; the writer before it; in the
    // last moment nobody else.
    assert_eq!(holders, [2, 0, 5, 6, 0], "{}", recording.narrate(2));
}

/// On each loop of a thread a lock has a number of its own.
#[test]
fn a_lock_that_is_older_than_the_loop_is_no_other_one() {
    let old = Rc::new(Mutex::new(()));
    let contend = |lock: &Mutex<()>, names: [&str; 2]| {
        scope(|s| {
            for name in names {
                Builder::new().name(name).spawn_scoped(s, || {
                    let _mine = lock.lock()?;
                    sleep(secs(1))
                })?;
            }
            Ok(())
        })
    };
    let (_, result) = watched(virtual_clock(), || contend(&old, ["Ada", "Grace"]));
    result.unwrap();
    let (recording, result) = watched(virtual_clock(), || {
        let new = Mutex::new(());
        scope(|s| {
            s.spawn(|| contend(&new, ["Barbara", "Frances"]));
            contend(&old, ["Ada", "Grace"])
        })
    });
    result.unwrap();
    let told = recording.narrate(1);
    for waits in ["waits for: lock 1, which Ada has", "waits for: lock 2, which Barbara has"] {
        assert!(told.contains(waits), "{told}");
    }
}

/// A future gives a lock back in the same poll in which it begins to wait for it again, behind others.
#[test]
fn a_future_that_waits_behind_others_takes_no_lock_from_them() {
    let (recording, result) = watched(virtual_clock(), || {
        let lock = Rc::new(Mutex::new(()));
        let others = |name: &str| {
            let lock = lock.clone();
            Builder::new().name(name).spawn(move || {
                let _mine = lock.lock()?;
                sleep(secs(1))
            })
        };
        let lock = lock.clone();
        let future = aio::spawn_local(async move {
            let first = aio::ready(&*lock).await?;
            aio::sleep(secs(1)).await?;
            let (again, ()) = join(aio::ready(&*lock), async { drop(first) }).await;
            again.map(drop)
        });
        yield_now()?;
        let others = [others("Ada")?, others("Grace")?];
        for other in others {
            other.join()?;
        }
        future.join()
    });
    result.unwrap();
    assert!(recording.narrate(1).contains("gives lock 1 to Ada"), "{}", recording.narrate(2));
}

/// A cancellation that comes too late, or too early, is not told as one that is thrown in: what was granted stays (R13).
#[test]
fn what_is_told_to_be_thrown_in_fails() {
    struct Things {
        lock: Mutex<()>,
        shared: RwLock<()>,
        event: corio::Event,
        permits: Semaphore,
        items: Queue<u8>,
        own_lock: Mutex<()>,
        condition: Condvar,
        channel: (Sender<u8>, Receiver<u8>),
        pipe: (Duplex, Duplex),
    }
    type Call = fn(&Things) -> io::Result<()>;
    let calls: [(&str, Call); 16] = [
        ("lock", |things| things.lock.lock().map(drop)),
        ("read", |things| things.shared.read().map(drop)),
        ("write", |things| things.shared.write().map(drop)),
        ("event", |things| things.event.wait()),
        ("permit", |things| things.permits.acquire().map(drop)),
        ("item", |things| things.items.get().map(drop)),
        ("condition", |things| things.condition.wait(&mut things.own_lock.lock()?)),
        // Notified, it waits for the lock as well, and has it in any case.
        ("condition and lock", |things| {
            let mut guard = things.lock.try_lock().map_or_else(|| things.own_lock.lock(), Ok)?;
            things.condition.wait(&mut guard)
        }),
        ("message", |things| things.channel.1.recv().map(drop)),
        ("message in time", |things| things.channel.1.recv_timeout(secs(9)).map(drop)),
        ("one of two", |things| select((&things.event, after(secs(9)))).map(drop)),
        ("bytes", |things| (&things.pipe.1).read(&mut [0]).map(drop)),
        ("sleep", |_| sleep(secs(1))),
        ("turn", |_| yield_now().and_then(|()| yield_now())),
        ("join", |_| spawn(|| sleep(secs(1))).join()),
        // Its turn is over at some time, in a call that does not fail.
        ("scopes", |_| (0..1_000).try_for_each(|_| scope(|_| Ok(())))),
    ];
    for (name, call) in calls {
        for order in ["cancel", "give", "give, cancel", "cancel, give"] {
            let result = Rc::new(RefCell::new(None));
            let seen = result.clone();
            let (recording, _) = watched(virtual_clock(), move || {
                let things = Rc::new(Things {
                    lock: Mutex::new(()),
                    shared: RwLock::new(()),
                    event: corio::Event::new(),
                    permits: Semaphore::new(0),
                    items: Queue::new(),
                    own_lock: Mutex::new(()),
                    condition: Condvar::new(),
                    channel: unbounded(),
                    pipe: duplex(9),
                });
                let mut held = Some((things.lock.lock()?, things.shared.write()?));
                let (mine, seen) = (things.clone(), seen.clone());
                let victim = Builder::new().name("victim").spawn(move || {
                    *seen.borrow_mut() = Some(call(&mine));
                    Ok(())
                })?;
                yield_now()?;
                for step in order.split(", ") {
                    match step {
                        "give" => {
                            things.event.set();
                            things.permits.release(1);
                            things.items.try_put(1).unwrap();
                            things.condition.notify_all();
                            things.channel.0.send(1).unwrap();
                            (&things.pipe.0).write_all(b"x")?;
                            drop(held.take());
                        }
                        _ => drop(victim.cancel()),
                    }
                }
                victim.join()
            });
            let is_thrown = |event: &Event| matches!(event, Event::Resume { task: 2, sent: Sent::Cancelled, .. });
            let (thrown, failed) = (events(&recording).iter().any(is_thrown), result.take().unwrap().is_err());
            assert_eq!(thrown, failed, "{name}: {order}\n{}", recording.narrate(2));
        }
    }
}
