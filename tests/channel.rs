//! Channels: between tasks, loops and threads.
//!
//! `E..` are faults that must be survived, `R..` rules of the design, `QUEUE-..` behaviours of asyncio's queue that these
//! share.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use common::{Finally, Log, sim};
use corio::channel::broadcast::RecvError;
use corio::channel::{TryRecvError, TrySendError, broadcast, mpsc, oneshot, watch};
use corio::{
    Event, Runner, Which, after, call_later, call_soon, is_cancelled, is_timed_out, millis, now, run, scope, secs,
    select, sleep, spawn, testing, timeout, to_thread, yield_now,
};

// ---- mpsc ---------------------------------------------------------------------------------------------------

#[test]
fn values_come_in_order_and_the_last_sender_ends_the_iteration() {
    let (sender, receiver) = mpsc::unbounded();
    let second = sender.clone();
    sim(|| {
        scope(|s| {
            s.spawn(move || {
                for n in 0..3 {
                    sender.send(n)?;
                    yield_now()?;
                }
                Ok(())
            });
            s.spawn(move || {
                sleep(secs(1))?;
                Ok(second.send(3)?)
            });
            let got: io::Result<Vec<i32>> = receiver.iter().collect();
            assert_eq!(got?, [0, 1, 2, 3]);
            assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn a_bounded_channel_makes_senders_wait_and_serves_them_in_order() {
    let log = Log::default();
    sim(|| {
        let (sender, receiver) = &mpsc::bounded(1);
        scope(|s| {
            for n in 0..4 {
                let log = log.clone();
                s.spawn(move || {
                    sender.send(n)?;
                    log.say(format!("sent {n}"));
                    Ok(())
                });
            }
            sleep(secs(1))?;
            assert_eq!((log.take().as_str(), receiver.len()), ("sent 0", 1));
            // No barging: there is room for a moment, but others wait for it.
            assert_eq!(receiver.recv()?, 0);
            assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
            assert_eq!((receiver.recv()?, receiver.recv()?, receiver.recv()?), (1, 2, 3));
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
            sender.try_send(4).unwrap();
            assert_eq!(receiver.try_recv(), Ok(4));
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(log.take(), "sent 1 sent 2 sent 3");
}

#[test]
fn without_room_a_send_waits_for_its_receiver() {
    sim(|| {
        let (sender, receiver) = &mpsc::bounded(0);
        scope(|s| {
            let sent = s.spawn(|| Ok(sender.send("hand to hand")?));
            sleep(secs(1))?;
            assert!(!sent.is_done());
            assert_eq!(receiver.recv()?, "hand to hand");
            sent.join()?;
            let received = s.spawn(|| receiver.recv());
            sleep(secs(1))?;
            sender.try_send("to one who waits").unwrap();
            assert_eq!(received.join()?, "to one who waits");
            assert_eq!(sender.try_send("x").unwrap_err().into_inner(), "x");
            Ok(())
        })
    })
    .unwrap();
}

/// E2, R13: a receiver that was served and is cancelled before it runs has received; one that was not, has taken nothing.
#[test]
fn e2_e3_cancellation_loses_no_value() {
    sim(|| {
        let (sender, receiver) = &mpsc::unbounded();
        scope(|s| {
            let first = s.spawn(|| {
                let value = receiver.recv()?;
                assert!(is_cancelled(&yield_now().unwrap_err()), "the cancellation is met at the next call");
                Ok(value)
            });
            let second = s.spawn(|| assert!(is_cancelled(&receiver.recv().unwrap_err())));
            yield_now()?;
            sender.send(1)?;
            first.cancel();
            assert_eq!(first.join()?, 1);
            second.cancel();
            yield_now()?;
            assert!(second.is_done());
            sender.send(2)?;
            assert_eq!(receiver.recv()?, 2);
            Ok(())
        })
    })
    .unwrap();
}

/// E3: a cancelled send gives its value back.
#[test]
fn e3_a_send_that_fails_gives_its_value_back() {
    sim(|| {
        let (sender, receiver) = mpsc::bounded(1);
        sender.send(String::from("first"))?;
        let error = timeout(secs(1), || Ok(sender.send("second".to_owned()).unwrap_err()))?;
        assert!(is_cancelled(error.error()) && is_cancelled(&error));
        assert_eq!(error.into_inner(), "second");
        let waits = spawn({
            let sender = sender.clone();
            move || Ok(sender.send("third".to_owned()).unwrap_err())
        });
        yield_now()?;
        receiver.close();
        let error = waits.join()?;
        assert_eq!(error.error().kind(), ErrorKind::BrokenPipe);
        assert_eq!(error.into_inner(), "third");
        assert!(sender.is_closed());
        assert!(matches!(sender.try_send(String::new()), Err(TrySendError::Disconnected(_))));
        assert_eq!(receiver.recv()?, "first", "what is inside can be received");
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::BrokenPipe);
        drop(receiver);
        let error: io::Error = sender.send("fourth".to_owned()).unwrap_err().into();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
    .unwrap();
}

#[test]
fn in_a_callback_what_need_not_wait_works_and_the_rest_is_refused() {
    let (sender, receiver) = mpsc::bounded(1);
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    sim(move || {
        call_soon(move || {
            sender.send(1).unwrap();
            let full = sender.send(2).unwrap_err();
            assert_eq!((full.error().kind(), full.into_inner()), (ErrorKind::InvalidInput, 2));
            assert_eq!(receiver.recv().unwrap(), 1);
            assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::InvalidInput);
            count.fetch_add(1, Ordering::SeqCst);
        });
        yield_now()
    })
    .unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[test]
fn while_unwinding_a_channel_is_tried_once() {
    let (sender, receiver) = mpsc::bounded(1);
    sim(|| {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _end = Finally(|| {
                sender.send(1).unwrap();
                assert!(is_cancelled(sender.send(2).unwrap_err().error()));
                assert_eq!(receiver.recv().unwrap(), 1);
                assert!(is_cancelled(&receiver.recv().unwrap_err()));
            });
            std::panic::resume_unwind(Box::new("x"))
        }));
        assert!(caught.is_err());
        Ok(())
    })
    .unwrap();
}

#[test]
fn several_tasks_share_a_receiver_and_each_value_goes_to_one() {
    let (sender, receiver) = &mpsc::bounded(2);
    let got = RefCell::new(Vec::new());
    sim(|| {
        scope(|s| {
            for who in 0..3 {
                let got = &got;
                s.spawn(move || {
                    for value in receiver {
                        got.borrow_mut().push((who, value?));
                    }
                    Ok(())
                });
            }
            yield_now()?;
            for n in 0..6 {
                sender.send(n)?;
                yield_now()?;
                yield_now()?;
            }
            receiver.close();
            Ok(())
        })
    })
    .unwrap();
    // First come, first served: they take turns.
    assert_eq!(got.take(), [(0, 0), (1, 1), (2, 2), (0, 3), (1, 4), (2, 5)]);
}

/// R18: no false alarm, with and without a virtual clock; and simulated time does not wait for channels.
#[test]
fn r18_a_wait_at_a_channel_is_hope_but_holds_no_virtual_clock() {
    for runner in [Runner::new(), Runner::new().virtual_clock()] {
        let (sender, receiver) = mpsc::unbounded();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let _ = wait.recv();
            thread::sleep(millis(20));
            sender.send(5).unwrap();
        });
        let mut runner = runner.ctrl_c(false);
        let value = runner.run(|| {
            go.send(()).unwrap();
            receiver.recv()
        });
        assert_eq!(value.unwrap(), 5);
        thread.join().unwrap();
    }
    let (sender, receiver) = mpsc::unbounded();
    sim(|| {
        let start = now();
        let late = timeout(secs(3_600), || receiver.recv());
        assert!(is_timed_out(&late.unwrap_err()));
        assert!(is_timed_out(&receiver.recv_timeout(secs(3_600)).unwrap_err()));
        assert_eq!(now() - start, secs(7_200));
        Ok(())
    })
    .unwrap();
    drop::<mpsc::Sender<i32>>(sender);
}

/// Threads without a loop block, on both ends.
#[test]
fn threads_block_in_both_directions() {
    let (sender, receiver) = mpsc::bounded(1);
    let thread = thread::spawn(move || {
        for n in 0..1_000 {
            sender.send(n).unwrap();
        }
    });
    let got: Vec<i32> = receiver.iter().map(Result::unwrap).collect();
    assert_eq!(got, (0..1_000).collect::<Vec<_>>());
    thread.join().unwrap();
    let (sender, receiver) = mpsc::bounded::<u8>(1);
    assert_eq!(receiver.recv_timeout(millis(1)).unwrap_err().kind(), ErrorKind::TimedOut);
    drop(sender);
    assert_eq!(receiver.recv_timeout(millis(1)).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// The loop of a receiver ends while threads send: they get their values back, and nobody hangs.
#[test]
fn a_loop_that_ends_while_threads_send_gives_them_their_values_back() {
    for _ in 0..20 {
        let (sender, receiver) = mpsc::bounded(2);
        let start = Arc::new(Barrier::new(4));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (sender, start) = (sender.clone(), start.clone());
                thread::spawn(move || {
                    start.wait();
                    (0..).find_map(|n: u32| sender.send(n).err().map(|error| (n, error))).unwrap()
                })
            })
            .collect();
        drop(sender);
        start.wait();
        run(move || {
            for _ in 0..50 {
                receiver.recv()?;
            }
            Ok(())
        })
        .unwrap();
        for thread in threads {
            let (n, error) = thread.join().unwrap();
            assert_eq!(error.error().kind(), ErrorKind::BrokenPipe);
            assert_eq!(error.into_inner(), n);
        }
    }
}

/// Every value arrives once, and the values of one sender in their order, through cancellations on the way.
#[test]
fn stress_threads_and_two_loops_with_cancelled_waits() {
    const SENDERS: usize = 3;
    const EACH: usize = 2_000;
    let (sender, receiver) = mpsc::bounded(4);
    let threads: Vec<_> = (0..SENDERS)
        .map(|who| {
            let sender = sender.clone();
            thread::spawn(move || {
                if who == 0 {
                    // One of them sends from tasks, which give up and try again.
                    return run(|| {
                        for n in 0..EACH {
                            let mut value = (who, n);
                            while let Err(error) = timeout(millis(1), || Ok(sender.send(value)))? {
                                assert!(is_cancelled(error.error()), "{error}");
                                value = error.into_inner();
                            }
                        }
                        Ok(())
                    })
                    .unwrap();
                }
                (0..EACH).for_each(|n| sender.send((who, n)).unwrap());
            })
        })
        .collect();
    drop(sender);
    let mut next = [0; SENDERS];
    run(|| {
        loop {
            match timeout(Duration::from_micros(50), || receiver.recv()) {
                Ok((who, n)) => {
                    assert_eq!(next[who], n);
                    next[who] += 1;
                }
                Err(error) if is_timed_out(&error) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                    return Ok(());
                }
            }
        }
    })
    .unwrap();
    assert_eq!(next, [EACH; SENDERS]);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// R7: destructors of values run when no lock is held: they may use the channel.
#[test]
fn r7_a_value_s_destructor_may_use_its_own_channel() {
    struct Talks(Option<mpsc::Sender<Talks>>, Arc<AtomicUsize>);
    impl Drop for Talks {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::SeqCst);
            if let Some(sender) = self.0.take() {
                assert!(sender.is_closed());
                drop(sender.try_send(Talks(None, self.1.clone())));
            }
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = mpsc::unbounded();
    for _ in 0..3 {
        sender.send(Talks(Some(sender.clone()), dropped.clone())).unwrap();
    }
    drop(receiver);
    assert_eq!(dropped.load(Ordering::SeqCst), 6);
}

// ---- oneshot ------------------------------------------------------------------------------------------------

#[test]
fn one_value_arrives_and_a_second_receive_is_refused() {
    let (sender, mut receiver) = oneshot::channel();
    sim(|| {
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert!(is_timed_out(&timeout(secs(1), || receiver.recv()).unwrap_err()));
        spawn(move || {
            sleep(secs(1))?;
            Ok(sender.send("once")?)
        });
        assert_eq!(receiver.recv()?, "once", "a wait that was given up has taken nothing");
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_end_of_either_end_is_told_to_the_other() {
    let (sender, mut receiver) = oneshot::channel::<u8>();
    let thread = thread::spawn(move || drop(sender));
    assert_eq!(run(|| receiver.recv()).unwrap_err().kind(), ErrorKind::BrokenPipe);
    thread.join().unwrap();
    let (sender, receiver) = oneshot::channel();
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send(5).unwrap_err().into_inner(), 5);
    // A value that was sent and not received is dropped with the receiver.
    let (sender, receiver) = oneshot::channel();
    let value = Arc::new(());
    sender.send(value.clone()).unwrap();
    drop(receiver);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_thread_answers_a_task_and_a_task_a_thread() {
    for _ in 0..200 {
        let (ask, mut asked) = oneshot::channel();
        let (answer, mut answered) = oneshot::channel();
        let thread = thread::spawn(move || {
            ask.send(20).unwrap();
            answered.recv().unwrap() + 1
        });
        run(|| answer.send(asked.recv()? + 21).map_err(io::Error::from)).unwrap();
        assert_eq!(thread.join().unwrap(), 42);
    }
}

// ---- broadcast ----------------------------------------------------------------------------------------------

#[test]
fn every_receiver_gets_every_value_and_the_slow_are_told_what_they_missed() {
    let (sender, mut quick) = broadcast::channel(2);
    let mut slow = sender.subscribe();
    sim(|| {
        for n in 0..5 {
            assert_eq!(sender.send(n).unwrap(), 2);
            assert_eq!(quick.recv()?, n);
        }
        assert!(matches!(slow.recv(), Err(RecvError::Lagged(3))));
        let mut copy = slow.clone();
        assert_eq!((slow.recv()?, slow.recv()?), (3, 4));
        assert!(slow.try_recv().unwrap().is_none());
        drop(sender);
        assert!(matches!(slow.recv(), Err(RecvError::Disconnected)));
        let rest: Vec<_> = copy.iter().map(Result::unwrap).collect();
        assert_eq!(rest, [3, 4]);
        let error: io::Error = quick.recv().unwrap_err().into();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_everybody_has_got_is_dropped_and_the_last_gets_the_value_itself() {
    #[derive(Debug)]
    struct Counted(Arc<AtomicUsize>);
    impl Clone for Counted {
        fn clone(&self) -> Self {
            self.0.fetch_add(1, Ordering::SeqCst);
            Counted(self.0.clone())
        }
    }
    let clones = Arc::new(AtomicUsize::new(0));
    let (sender, mut a) = broadcast::channel(8);
    let mut b = sender.subscribe();
    sender.send(Counted(clones.clone())).unwrap();
    let value = a.recv().unwrap();
    assert_eq!(clones.load(Ordering::SeqCst), 1);
    drop((value, b.recv().unwrap()));
    assert_eq!(clones.load(Ordering::SeqCst), 1);
    assert_eq!(Arc::strong_count(&clones), 1, "the channel keeps nothing");
    sender.send(Counted(clones.clone())).unwrap();
    drop((a, b));
    assert_eq!(Arc::strong_count(&clones), 1);
    assert!(sender.send(Counted(clones.clone())).is_err());
    assert_eq!(sender.receivers(), 0);
    let mut late = sender.subscribe();
    sender.send(Counted(clones)).unwrap();
    late.recv().unwrap();
}

#[test]
fn broadcast_reaches_tasks_threads_and_other_loops() {
    let (sender, _) = broadcast::channel(2_000);
    let (mut here, mut on_thread, mut on_loop) = (sender.subscribe(), sender.subscribe(), sender.subscribe());
    let sum = |values: Vec<u64>| values.into_iter().sum::<u64>();
    let thread = thread::spawn(move || sum(on_thread.iter().map(Result::unwrap).collect()));
    let other = thread::spawn(move || run(|| Ok(sum(on_loop.iter().map(Result::unwrap).collect()))).unwrap());
    let total = run(|| {
        let speaker = spawn(move || {
            for n in 0..1_000_u64 {
                sender.send(n).map_err(io::Error::from)?;
                if n % 10 == 0 {
                    yield_now()?;
                }
            }
            Ok(())
        });
        let total = sum(here.iter().map(Result::unwrap).collect());
        speaker.join()?;
        Ok(total)
    })
    .unwrap();
    assert_eq!((total, thread.join().unwrap(), other.join().unwrap()), (499_500, 499_500, 499_500));
}

#[test]
fn a_cancelled_broadcast_receiver_misses_nothing() {
    let (sender, mut receiver) = broadcast::channel(4);
    sim(|| {
        let error = timeout(secs(1), || Ok(receiver.recv().unwrap_err()))?;
        assert!(matches!(&error, RecvError::Failed(error) if is_cancelled(error)), "{error}");
        assert!(is_cancelled(&error));
        sender.send(1)?;
        assert_eq!(receiver.recv()?, 1);
        Ok(())
    })
    .unwrap();
}

// ---- watch --------------------------------------------------------------------------------------------------

#[test]
fn a_watcher_sees_the_latest_value_and_is_told_of_newer_ones() {
    let (sender, mut receiver) = watch::channel(0);
    sim(|| {
        assert_eq!((*receiver.get(), receiver.has_changed()), (0, false));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let speaker = spawn(move || {
            sleep(secs(1))?;
            sender.send(1)?;
            sender.send(2)?;
            sleep(secs(1))?;
            Ok(sender.send(3)?)
        });
        assert_eq!(*receiver.recv()?, 2, "what is in between is skipped");
        let late = receiver.clone();
        assert_eq!(*receiver.recv()?, 3);
        assert!(late.has_changed() && *late.get() == 3);
        speaker.join()?;
        assert!(receiver.iter().next().is_none());
        assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(*receiver.get(), 3, "the last value stays");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_watch_without_watchers_gives_the_value_back_unless_it_is_replaced() {
    let (sender, receiver) = watch::channel("a");
    drop(receiver);
    assert_eq!(sender.send("b").unwrap_err().into_inner(), "b");
    assert_eq!(*sender.replace("c"), "a");
    let mut receiver = sender.subscribe();
    assert_eq!((*sender.get(), *receiver.get()), ("c", "c"));
    assert!(matches!(receiver.try_recv(), Err(TryRecvError::Empty)));
    drop(sender.clone());
    sender.send("d").unwrap();
    assert_eq!(*receiver.try_recv().unwrap(), "d");
}

#[test]
fn a_job_looks_whether_it_is_still_wanted() {
    run(|| {
        let (stop, stopped) = watch::channel(false);
        let rounds = Cell::new(0);
        scope(|s| {
            let job = s.spawn(|| {
                to_thread(|| {
                    while !*stopped.get() {
                        thread::yield_now();
                    }
                    "stopped"
                })
            });
            for n in 1..4 {
                sleep(millis(1))?;
                rounds.set(n);
            }
            stop.send(true)?;
            assert_eq!(job.join()?, "stopped");
            Ok(())
        })?;
        assert_eq!(rounds.get(), 3);
        Ok(())
    })
    .unwrap();
}

#[test]
fn ends_that_may_go_to_other_threads_do() {
    fn goes<T: Send>() {}
    fn is_shared<T: Sync>() {}
    goes::<mpsc::Sender<Cell<u8>>>();
    goes::<mpsc::Receiver<Cell<u8>>>();
    is_shared::<mpsc::Receiver<Cell<u8>>>();
    goes::<oneshot::Sender<Cell<u8>>>();
    goes::<oneshot::Receiver<Cell<u8>>>();
    goes::<broadcast::Receiver<String>>();
    goes::<watch::Receiver<String>>();
}

// ---- as arms of `select` ------------------------------------------------------------------------------------

#[test]
fn receivers_of_every_kind_are_arms_of_select() {
    testing::run(|| {
        let (values, promise) = (mpsc::unbounded(), oneshot::channel());
        let (many, latest) = (broadcast::channel(2), watch::channel(0));
        let (receiver, mut once, mut each, mut newest) = (values.1, promise.1, many.1, latest.1);
        let order = RefCell::new(Vec::new());
        scope(|s| {
            s.spawn(|| {
                sleep(secs(1))?;
                values.0.send("one of many")?;
                sleep(secs(1))?;
                promise.0.send("once")?;
                sleep(secs(1))?;
                many.0.send("to all")?;
                sleep(secs(1))?;
                Ok(latest.0.send(7)?)
            });
            let start = now();
            let mut hears_once = true;
            for second in 1..=4 {
                // A oneshot that has brought its value has ended, and would be ready for ever.
                let got = if hears_once {
                    match select((&receiver, &mut once, &mut each, &mut newest))? {
                        Which::A(value) => value?,
                        Which::B(value) => {
                            hears_once = false;
                            value?
                        }
                        Which::C(value) => value?,
                        Which::D(value) => panic!("{value:?} came too early"),
                    }
                } else {
                    match select((&mut each, &mut newest, after(secs(9))))? {
                        Which::A(value) => value?,
                        Which::B(value) => {
                            if *value? == 7 {
                                "the latest"
                            } else {
                                "another"
                            }
                        }
                        Which::C(()) => panic!("nothing came"),
                    }
                };
                assert_eq!(now() - start, secs(second));
                order.borrow_mut().push(got);
            }
            Ok(())
        })?;
        assert_eq!(order.take(), ["one of many", "once", "to all", "the latest"]);
        Ok(())
    });
}

#[test]
fn an_arm_of_a_channel_that_has_ended_says_so() {
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    sim(|| {
        let (sender, receiver) = mpsc::bounded::<()>(1);
        let (once, mut promised) = oneshot::channel::<()>();
        scope(|s| {
            s.spawn(|| {
                sleep(secs(1))?;
                drop(sender);
                sleep(secs(1))?;
                drop(once);
                Ok(())
            });
            let Which::A(ended) = select((&receiver, &mut promised))? else { panic!("the oneshot") };
            assert_eq!(kind(ended), ErrorKind::BrokenPipe);
            let Which::B(ended) = select((after(secs(9)), &mut promised))? else { panic!("the time") };
            assert_eq!(kind(ended), ErrorKind::BrokenPipe);
            Ok(())
        })
    })
    .unwrap();
}

/// What was handed to a wait that another arm has won goes back to the front, or to the next who waits.
#[test]
fn an_arm_that_loses_takes_nothing_and_leaves_nothing_behind() {
    testing::run(|| {
        let (sender, receiver) = &mpsc::bounded(0);
        let event = &Event::new();
        scope(|s| {
            let chooser = s.spawn(|| match select((event, receiver))? {
                Which::A(()) => Ok(0),
                Which::B(value) => value,
            });
            testing::wait_all_tasks_blocked()?;
            sender.try_send(1).expect("somebody waits");
            event.set(); // before the chooser has run
            assert_eq!(chooser.join()?, 0);
            assert_eq!(receiver.try_recv(), Ok(1), "it came back");
            assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)), "nobody waits any more");

            event.clear();
            let chooser = s.spawn(|| select((event, receiver)).map(drop));
            let next = s.spawn(|| receiver.recv());
            testing::wait_all_tasks_blocked()?;
            sender.try_send(3).expect("two wait");
            event.set();
            chooser.join()?;
            assert_eq!(next.join()?, 3, "it went to the next");

            event.clear();
            assert!(is_timed_out(&timeout(secs(1), || select((event, receiver)).map(drop)).unwrap_err()));
            assert_eq!(sender.try_send(4), Err(TrySendError::Full(4)));
            Ok(())
        })
    });
}

/// While a value is on its way to one receiver, who may give it back, the others are not told that nothing will come.
#[test]
fn the_end_is_told_when_nothing_can_come_back_any_more() {
    testing::run(|| {
        // Given back, or taken; ended by the last sender, or by the receiver.
        for (back, by_sender) in [(true, true), (true, false), (false, true), (false, false)] {
            let (sender, receiver) = mpsc::bounded(0);
            let (event, receiver) = (&Event::new(), &receiver);
            scope(|s| {
                let chooser = s.spawn(|| select((event, receiver)));
                testing::wait_all_tasks_blocked()?;
                let in_line = s.spawn(|| Ok(receiver.recv()));
                testing::wait_all_tasks_blocked()?;
                sender.try_send(7).expect("two wait");
                if back {
                    event.set();
                }
                if by_sender {
                    drop(sender);
                } else {
                    receiver.close();
                }
                assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty), "it may come back");
                let late = s.spawn(|| Ok(receiver.recv()));
                let taken = match chooser.join()? {
                    Which::A(()) => in_line.join()??,
                    Which::B(value) => {
                        assert_eq!(in_line.join()?.unwrap_err().kind(), ErrorKind::BrokenPipe);
                        value?
                    }
                };
                assert_eq!(taken, 7);
                assert_eq!(late.join()?.unwrap_err().kind(), ErrorKind::BrokenPipe);
                assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
                Ok(())
            })?;
        }
        Ok(())
    });
}

#[test]
fn one_channel_may_be_several_arms_and_the_task_hopes_no_longer_than_it_waits() {
    let ended = sim(|| {
        let (sender, receiver) = mpsc::unbounded();
        let (_other_sender, other) = mpsc::unbounded::<i32>();
        sender.send(1)?;
        assert!(matches!(select((&other, &receiver, &receiver))?, Which::B(Ok(1))));
        assert!(matches!(select((&receiver, &other, &receiver, after(secs(1))))?, Which::D(())));
        scope(|s| {
            let waiter =
                s.spawn(|| select((&other, &receiver, &receiver)).map(|which| matches!(which, Which::B(Ok(2)))));
            sleep(secs(1))?;
            sender.send(2)?;
            assert!(waiter.join()?);
            assert!(receiver.is_empty());
            Ok(())
        })?;
        // Nobody on another thread is waited for any more: this can never come, and the run says so.
        Event::new().wait()
    });
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Deadlock);
}

#[test]
fn what_was_handed_over_goes_first_and_what_else_was_handed_over_goes_back() {
    sim(|| {
        let (sender, receiver) = mpsc::bounded(0);
        let (other_sender, other) = mpsc::bounded(0);
        // Set before the time limit, so it is called before the one who waits looks.
        call_later(secs(1), move || {
            sender.try_send(1).expect("somebody waits");
            other_sender.try_send(2).expect("somebody waits");
        });
        scope(|s| {
            let chooser = s.spawn(|| {
                // The moment has come as well when it looks, and stands first.
                let first = select((after(secs(1)), &receiver, &other))?;
                assert!(matches!(first, Which::B(Ok(1))), "{first:?}");
                Ok(())
            });
            chooser.join()?;
            assert!(receiver.try_recv().is_err());
            assert_eq!(other.try_recv(), Ok(2), "it was given back");
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn a_select_over_channels_loses_nothing_wherever_it_is_cancelled() {
    let points = testing::cancel_everywhere(|injector| {
        let (sender, receiver) = &mpsc::bounded(0);
        let (stop, mut stopped) = oneshot::channel();
        let (taken, left) = (&RefCell::new(Vec::new()), &RefCell::new(Vec::new()));
        scope(|s| {
            s.spawn(move || {
                for n in 0..3 {
                    sleep(secs(1))?;
                    // To whoever waits; if nobody does, there is a list.
                    if sender.try_send(n).is_err() {
                        left.borrow_mut().push(n);
                    }
                }
                sleep(secs(1))?;
                let _ = stop.send(());
                Ok(())
            });
            let result = injector.run(|| {
                loop {
                    match select((receiver, &mut stopped, after(secs(60))))? {
                        Which::A(value) => taken.borrow_mut().push(value?),
                        Which::B(end) => return end,
                        Which::C(()) => panic!("nothing comes"),
                    }
                }
            });
            assert!(result.is_ok() || injector.cancelled());
            assert!(receiver.is_empty() || injector.cancelled());
            taken.borrow_mut().extend(std::iter::from_fn(|| receiver.try_recv().ok()));
            Ok(())
        })?;
        taken.borrow_mut().extend(left.take());
        assert_eq!(taken.take(), [0, 1, 2]);
        assert!(sender.try_send(9).is_err(), "nobody is in line");
        Ok(())
    });
    assert!(points > 9, "{points}");
}

#[test]
fn select_hears_other_threads_and_each_value_goes_to_one() {
    const EACH: u32 = 500;
    let (first, a) = mpsc::bounded(1);
    let (second, b) = mpsc::bounded(0);
    let senders = [first, second]
        .map(|sender| thread::spawn(move || (1..=EACH).try_for_each(|n| sender.send(n)).map_err(io::Error::from)));
    let sum = run(|| {
        // Two tasks with the arms in either order, and a third that only receives.
        let (a, b, sum) = (&a, &b, &Cell::new(0));
        let add = |value: io::Result<u32>| value.map(|n| sum.set(sum.get() + n)).is_ok();
        scope(|s| {
            s.spawn(move || {
                while let Which::A(value) | Which::B(value) = select((a, b))?
                    && add(value)
                {}
                Ok(())
            });
            s.spawn(move || {
                while let Which::A(value) | Which::B(value) = select((b, a))?
                    && add(value)
                {}
                Ok(())
            });
            for receiver in [a, b] {
                s.spawn(move || {
                    receiver.iter().for_each(|value| assert!(add(value)));
                    Ok(())
                });
            }
            Ok(())
        })?;
        Ok(sum.get())
    })
    .unwrap();
    senders.into_iter().for_each(|sender| sender.join().unwrap().unwrap());
    assert_eq!(sum, EACH * (EACH + 1));
}
