//! Futures on the loop, and between them and coroutines.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn, ready};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::task::{Context, Poll, Waker};
use std::thread;

use common::{Finally, Log, one_of_several, panic_of, runner, sim, since};
use corio::channel::{mpsc, oneshot};
use corio::observe::event::Event::Polled;
use corio::{
    Coroutine, Event, Executor, JoinHandle, Mutex, Queue, Runner, RwLock, Semaphore, TaskLocal, TryGetError, aio,
    current, is_cancelled, is_timed_out, millis, now, run, secs, sleep, spawn, testing, try_current, until_readable,
    yield_now,
};
use futures_util::future::{Either, join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

type Boxed<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Runs a future as the main task, on the virtual clock.
fn future<F>(main: F) -> io::Result<<F::Output as corio::IntoResult>::Value>
where
    F: Future<Output: corio::IntoResult> + 'static,
    F::Output: 'static,
{
    sim(move || aio::spawn_local(main))
}

// ---- tasks ----------------------------------------------------------------------------------------------------------

#[test]
fn tasks_of_both_kinds_take_turns_and_join_each_other() {
    let log = Log::default();
    let shown = log.clone();
    future(async move {
        let start = now();
        let (one, two) = (log.clone(), log.clone());
        let future = aio::spawn_local(async move {
            one.say("future 1");
            aio::sleep(secs(2)).await?;
            one.say("future 2");
            Ok(2)
        });
        let coroutine = spawn(move || {
            two.say("coroutine 1");
            sleep(secs(1))?;
            two.say("coroutine 2");
            Ok(1)
        });
        let sum = spawn(move || Ok(future.join()? + 10)).await? + coroutine.await?;
        assert_eq!((sum, since(start)), (13, 2.0));
        Ok(())
    })
    .unwrap();
    assert_eq!(shown.take(), "future 1 coroutine 1 coroutine 2 future 2");
}

#[test]
fn what_a_task_has_this_kind_has() {
    future(async {
        let task = aio::spawn_local(async {
            let me = current();
            assert_eq!(me.name(), "poet");
            assert_eq!(me.stack_used(), None);
            aio::yield_now().await
        });
        task.set_name("poet");
        assert!(task.spawned_at().file().ends_with("aio.rs"));
        let done = Rc::new(Cell::new(false));
        let told = done.clone();
        task.on_done(move |_| told.set(true));
        task.await?;
        aio::yield_now().await?;
        assert!(done.get());
        Ok(())
    })
    .unwrap();
}

#[test]
fn errors_and_panics_reach_whoever_awaits() {
    future(async {
        let fails = aio::spawn_local(async { Err::<(), _>(io::Error::other("no")) });
        assert_eq!(fails.await.unwrap_err().to_string(), "no");
        let panics = aio::spawn_local(async {
            aio::yield_now().await?;
            panic!("in a future");
            #[allow(unreachable_code)]
            Ok(())
        });
        let mut awaiting = Box::pin(panics.into_future());
        let said = poll_fn(|context| {
            let polled = catch_unwind(AssertUnwindSafe(|| awaiting.as_mut().poll(context)));
            polled.map_or_else(|payload| Poll::Ready(payload.downcast_ref::<&str>().copied()), |_| Poll::Pending)
        });
        assert_eq!(said.await, Some("in a future"));
        Ok(())
    })
    .unwrap();
    let main = panic_of(|| {
        future(async {
            panic!("in main");
            #[allow(unreachable_code)]
            Ok(())
        })
    });
    assert_eq!(main, "in main");
    let panics_in_drop = panic_of(|| {
        future(async {
            let _late = Finally(|| panic!("in a destructor"));
        })
        .unwrap();
    });
    assert_eq!(panics_in_drop, "in a destructor");
}

#[test]
fn block_on_borrows_and_is_refused_inside_a_run() {
    let text = String::from("borrowed");
    assert_eq!(aio::block_on(async { Ok(text.len()) }).unwrap(), 8);
    for refused in [
        run(|| Ok(aio::block_on(async {}).unwrap_err())).unwrap(),
        aio::block_on(async { Ok(aio::block_on(async {}).unwrap_err()) }).unwrap(),
    ] {
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(refused.to_string().contains("`.await` the future"), "{refused}");
    }
    assert_eq!(aio::block_on(async { Err::<(), _>(io::Error::other("its own")) }).unwrap_err().to_string(), "its own");
}

#[test]
fn a_call_that_would_pause_a_future_is_an_error_that_says_what_to_do() {
    future(async {
        let error = sleep(secs(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("corio::aio"), "{error}");
        assert!(yield_now().is_err());
        assert!(Queue::<u32>::new().get().is_err());
        for error in [
            corio::scope(|s| drop(s.spawn(|| ()))).unwrap_err(),
            corio::shield(secs(1), || ()).unwrap_err(),
            corio::timeout(secs(1), || ()).unwrap_err(),
        ] {
            assert!(error.to_string().contains("corio::aio"), "{error}");
        }
        assert!(spawn(|| Ok(1)).join().is_err());
        // What need not wait works.
        let queue = Queue::new();
        queue.try_put(1).unwrap();
        assert_eq!(queue.try_get().unwrap(), 1);
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_is_polled_by_nobody_says_so() {
    let mut sleep = Box::pin(aio::sleep(secs(1)));
    let Poll::Ready(Err(error)) = sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!() };
    assert!(error.to_string().contains("aio::block_on"), "{error}");
    let polled_again = panic_of(|| drop(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()))));
    assert!(polled_again.contains("after it had ended"));
}

/// Polls it to its end, and once more.
async fn polled_too_often(future: impl Future) -> String {
    let mut future = Box::pin(future);
    let _ = future.as_mut().await;
    panic_of(|| drop(future.as_mut().poll(&mut Context::from_waker(Waker::noop()))))
}

#[test]
fn what_is_polled_after_its_end_says_so() {
    let (sender, receiver) = mpsc::unbounded();
    future(async move {
        let executor = Executor::new(1)?;
        sender.send(1)?;
        for said in [
            polled_too_often(aio::sleep(millis(1))).await,
            polled_too_often(aio::yield_now()).await,
            polled_too_often(aio::ready(&receiver)).await,
            polled_too_often(aio::spawn_local(async {}).into_future()).await,
            polled_too_often(executor.spawn(|| ()).into_future()).await,
            polled_too_often(aio::timeout(millis(1), pending::<()>())).await,
        ] {
            assert!(said.contains("after it had ended") || said.contains("after completion"), "{said}");
        }
        Ok(())
    })
    .unwrap();
}

// ---- cancellation ---------------------------------------------------------------------------------------------------

#[test]
fn a_cancelled_task_meets_it_at_every_wait_and_may_clean_up() {
    future(async {
        let log = Log::default();
        let told = log.clone();
        let task = aio::spawn_local(async move {
            let error = aio::sleep(secs(9)).await.unwrap_err();
            assert!(is_cancelled(&error));
            told.say("cancelled");
            assert!(is_cancelled(&aio::yield_now().await.unwrap_err()));
            assert!(is_cancelled(&aio::ready(&Queue::<u32>::new()).await.unwrap_err()));
            told.say("and again");
            Err::<(), _>(error)
        });
        aio::yield_now().await?;
        task.cancel();
        let ticket = task.task();
        assert!(is_cancelled(&task.await.unwrap_err()) && ticket.cancelled());
        assert_eq!(log.take(), "cancelled and again");
        Ok(())
    })
    .unwrap();
}

/// R14
#[test]
fn a_future_that_ignores_its_cancellation_starves_nobody() {
    future(async {
        let stubborn = aio::spawn_local(async {
            let mut ignored = 0;
            while ignored < 100 {
                ignored += usize::from(aio::sleep(secs(1)).await.is_err());
            }
            Ok(())
        });
        aio::yield_now().await?;
        stubborn.cancel();
        for _ in 0..3 {
            aio::yield_now().await?;
        }
        assert!(!stubborn.is_done());
        stubborn.await
    })
    .unwrap();
}

#[test]
fn what_cannot_fail_is_dropped_where_it_waits() {
    future(async {
        let gone = Rc::new(Cell::new(false));
        let told = gone.clone();
        let task = aio::spawn_local(async move {
            let _guard = Finally(move || told.set(true));
            pending::<()>().await;
            Ok(())
        });
        aio::yield_now().await?;
        task.cancel();
        aio::yield_now().await?;
        assert!(gone.get() && task.cancelled());
        assert!(is_cancelled(&task.await.unwrap_err()));
        Ok(())
    })
    .unwrap();
}

#[test]
fn one_that_was_cancelled_before_its_first_turn_never_runs() {
    future(async {
        let dropped = Rc::new(Cell::new(false));
        let told = Finally({
            let dropped = dropped.clone();
            move || dropped.set(true)
        });
        let task = aio::spawn_local(async move {
            let _told = told;
            unreachable!("it was cancelled");
            #[allow(unreachable_code)]
            Ok(())
        });
        task.cancel();
        assert!(is_cancelled(&task.await.unwrap_err()) && dropped.get());
        Ok(())
    })
    .unwrap();
}

/// R3: the end of a run ends futures too, by a cancellation, and by force those that ignore it.
#[test]
fn a_run_that_ends_leaves_no_future_behind() {
    for stubborn in [false, true] {
        let gone = Rc::new(Cell::new(0));
        let count = gone.clone();
        runner()
            .grace(secs(1))
            .run(move || {
                for _ in 0..3 {
                    let count = count.clone();
                    drop(aio::spawn_local(async move {
                        let _guard = Finally(move || count.set(count.get() + 1));
                        while aio::sleep(secs(60)).await.is_ok() || stubborn {}
                    }));
                }
                yield_now()
            })
            .unwrap();
        assert_eq!(gone.get(), 3);
    }
}

#[test]
fn a_cancelled_wait_for_a_task_passes_the_cancellation_on_and_waits() {
    future(async {
        let cleaned = Rc::new(Cell::new(false));
        let told = cleaned.clone();
        let outer = aio::spawn_local(async move {
            let inner = spawn(move || {
                let error = sleep(secs(9)).unwrap_err();
                corio::shield(secs(5), || sleep(secs(1)))?;
                told.set(true);
                Err::<(), _>(error)
            });
            inner.await
        });
        aio::yield_now().await?;
        aio::yield_now().await?;
        outer.cancel();
        assert!(is_cancelled(&outer.await.unwrap_err()) && cleaned.get());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_time_limit_drops_what_it_limits() {
    future(async {
        let (start, gone) = (now(), Rc::new(Cell::new(false)));
        let told = gone.clone();
        let limited = aio::timeout(secs(1), async move {
            let _guard = Finally(move || told.set(true));
            aio::sleep(secs(60)).await
        });
        assert!(is_timed_out(&limited.await.unwrap_err()) && gone.get());
        assert_eq!(since(start), 1.0);
        let inner = aio::timeout(secs(5), aio::timeout(secs(2), pending::<()>()));
        assert!(is_timed_out(&inner.await?.unwrap_err()));
        assert_eq!(since(start), 3.0);
        aio::sleep_until(start + secs(10)).await?;
        assert_eq!(since(start), 10.0);
        let deadline = start + secs(12); // for both
        assert_eq!(aio::timeout_at(deadline, async { aio::sleep(secs(1)).await }).await??, ());
        assert!(is_timed_out(&aio::timeout_at(deadline, aio::sleep(secs(60))).await.unwrap_err()));
        assert_eq!(since(start), 12.0);
        assert!(is_timed_out(&aio::timeout_at(start, pending::<()>()).await.unwrap_err()), "it is over");
        aio::sleep_until(start).await?;
        assert_eq!(since(start), 12.0);
        assert_eq!(aio::timeout(secs(1), ready(7)).await?, 7);
        Ok(())
    })
    .unwrap();
}

// ---- wakers ---------------------------------------------------------------------------------------------------------

/// Is ready when somebody says so, on whatever thread.
#[derive(Default)]
struct Flag(StdMutex<(bool, Option<Waker>)>);

impl Flag {
    async fn wait(self: Arc<Flag>) {
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            state.1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn raise(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

#[test]
fn a_wake_from_another_thread_works() {
    for on_a_coroutine in [false, true] {
        let flag = Arc::new(Flag::default());
        let raise = flag.clone();
        run(move || {
            let thread = thread::spawn(move || {
                thread::sleep(millis(5));
                raise.raise();
            });
            if on_a_coroutine {
                aio::wait_on(flag.wait())?;
            } else {
                aio::spawn_local(flag.wait()).join()?;
            }
            thread.join().unwrap();
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn a_waker_may_outlive_its_task_and_its_loop() {
    let flag = Arc::new(Flag::default());
    let waited = flag.clone();
    sim(|| {
        let task = aio::spawn_local(waited.wait());
        yield_now()?;
        task.cancel();
        assert!(task.join().is_err());
        let waker = flag.0.lock().unwrap().1.clone().unwrap();
        waker.wake_by_ref(); // nobody
        // Somebody else sits there now, and is woken for nothing.
        let other = aio::spawn_local(async { aio::sleep(secs(1)).await });
        yield_now()?;
        waker.wake();
        let start = now();
        other.join()?;
        assert_eq!(since(start), 1.0);
        Ok(())
    })
    .unwrap();
    flag.raise(); // its loop is gone
    let waker = Waker::noop().clone();
    drop(waker);
}

#[test]
fn a_future_may_wake_itself_and_moves_on_in_the_next_turn() {
    future(async {
        let log = Log::default();
        let (one, two) = (log.clone(), log.clone());
        let itself = aio::spawn_local(async move {
            for n in 0..3 {
                one.say(format!("itself-{n}"));
                let mut first = true;
                poll_fn(|context| {
                    if std::mem::take(&mut first) {
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Ready(())
                })
                .await;
            }
        });
        let other = aio::spawn_local(async move {
            for n in 0..3 {
                two.say(format!("other-{n}"));
                aio::yield_now().await?;
            }
            Ok(())
        });
        itself.await?;
        other.await?;
        assert_eq!(log.take(), "itself-0 other-0 itself-1 other-1 itself-2 other-2");
        Ok(())
    })
    .unwrap();
}

#[test]
fn combinators_of_others_wake_only_what_is_ready() {
    future(async {
        let start = now();
        let slept = join_all((1..=20).map(|n| async move { aio::sleep(secs(n)).await.map(|()| n) })).await;
        assert_eq!(slept.into_iter().sum::<io::Result<u64>>()?, 210);
        assert_eq!(since(start), 20.0);

        let polls = Rc::new(Cell::new(0));
        let mut crowd: FuturesUnordered<_> = (0..100)
            .map(|n| {
                let polls = polls.clone();
                async move {
                    let mut sleep = Box::pin(aio::sleep(millis(n)));
                    poll_fn(|context| {
                        polls.set(polls.get() + 1);
                        sleep.as_mut().poll(context)
                    })
                    .await
                    .unwrap();
                    n
                }
            })
            .collect();
        let mut order = Vec::new();
        while let Some(n) = crowd.next().await {
            order.push(n);
        }
        assert!(order.is_sorted() && order.len() == 100);
        assert!(polls.get() <= 300, "{} polls", polls.get());

        let queue = Queue::<u32>::new();
        let first = select(Box::pin(aio::sleep(secs(1))), Box::pin(aio::ready(&queue))).await;
        assert!(matches!(first, futures_util::future::Either::Left(_)));
        Ok(())
    })
    .unwrap();
}

// ---- what is waited for -----------------------------------------------------------------------------------------------

/// R13: what was granted to a future that is dropped goes to the next who waits.
#[test]
fn r13_a_grant_that_meets_a_dropped_future_goes_on() {
    sim(|| {
        let (queue, permits, lock) = (Rc::new(Queue::new()), Rc::new(Semaphore::new(0)), Rc::new(Mutex::new(())));
        let held = lock.lock()?;
        let (q, p, l) = (queue.clone(), permits.clone(), lock.clone());
        let impatient = aio::spawn_local(async move {
            // All three are granted something, and the first that is ready drops the other two.
            let waits: [Boxed<'_>; 3] = [
                Box::pin(async { drop(aio::ready(&*q).await) }),
                Box::pin(async { drop(aio::ready(&*p).await) }),
                Box::pin(async { drop(aio::ready(&*l).await) }),
            ];
            futures_util::future::select_all(waits).await;
            Ok(())
        });
        yield_now()?;
        let next: Vec<_> = vec![
            spawn({
                let queue = queue.clone();
                move || queue.get().map(drop)
            }),
            spawn({
                let permits = permits.clone();
                move || permits.acquire().map(drop)
            }),
            spawn({
                let lock = lock.clone();
                move || lock.lock().map(drop)
            }),
        ];
        yield_now()?;
        queue.put(1)?;
        permits.release(1);
        drop(held);
        impatient.join()?;
        queue.put(2)?;
        for next in next {
            next.join()?;
        }
        assert!(permits.available() == 1 && lock.try_lock().is_some(), "all are back");
        Ok(())
    })
    .unwrap();
}

/// An item that is promised to a future may come back: until then nobody is told that the queue has ended.
#[test]
fn r13_the_end_of_a_queue_is_told_when_no_item_can_come_back() {
    for back in [true, false] {
        sim(|| {
            let (queue, event) = (Rc::new(Queue::new()), Rc::new(Event::new()));
            let chooser = aio::spawn_local({
                let (queue, event) = (queue.clone(), event.clone());
                async move {
                    // The event stands first: if it is set as well, the item goes back.
                    match select(Box::pin(aio::ready(&*event)), Box::pin(aio::ready(&*queue))).await {
                        Either::Left(_) => Ok(None),
                        Either::Right((item, _)) => Ok(Some(item??)),
                    }
                }
            });
            yield_now()?;
            let get = || {
                let queue = queue.clone();
                spawn(move || queue.get())
            };
            let in_line = get();
            yield_now()?;
            queue.put(7)?;
            if back {
                event.set();
            }
            queue.shutdown();
            assert!(matches!(queue.try_get(), Err(TryGetError::Empty)), "it may come back");
            let late = get();
            let taken = match chooser.join()? {
                None => in_line.join()?,
                Some(item) => {
                    assert_eq!(in_line.join().unwrap_err().kind(), ErrorKind::BrokenPipe);
                    item
                }
            };
            assert_eq!((taken, late.join().unwrap_err().kind()), (7, ErrorKind::BrokenPipe));
            assert!(matches!(queue.try_get(), Err(TryGetError::ShutDown)));
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn channels_are_shared_by_both_worlds_and_by_threads() {
    run(|| {
        let (sender, receiver) = mpsc::bounded(2);
        let (done, mut end) = oneshot::channel();
        let reader = aio::spawn_local(async move {
            let mut sum = 0;
            while let Ok(n) = aio::ready(&receiver).await? {
                sum += n;
            }
            drop(done.send(sum));
            Ok(())
        });
        let other = sender.clone();
        let thread = thread::spawn(move || (0..100).for_each(|n| other.send(n).unwrap()));
        for n in 0..100 {
            sender.send(n)?;
        }
        drop(sender);
        reader.join()?;
        thread.join().unwrap();
        assert_eq!(end.recv()?, 2 * 4950);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_registered_future_may_be_dropped_when_its_loop_is_gone() {
    let queue = Rc::new(Queue::<u32>::new());
    let kept: Rc<RefCell<Option<Boxed<'static>>>> = Rc::default();
    let (keep, inner) = (kept.clone(), queue.clone());
    sim(move || {
        let task = aio::spawn_local(async move {
            let mut sleep = Box::pin(aio::sleep(secs(60)));
            let mut get: Boxed<'_> = Box::pin(async move { drop(aio::ready(&*inner).await) });
            poll_fn(|context| {
                assert!(sleep.as_mut().poll(context).is_pending() && get.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
            *keep.borrow_mut() = Some(Box::pin(async move {
                get.await;
                drop(sleep.await);
            }));
        });
        task.join()
    })
    .unwrap();
    drop(kept.take());
    sim(|| {
        let item = spawn({
            let queue = queue.clone();
            move || queue.get()
        });
        yield_now()?;
        queue.put(1)?;
        assert_eq!(item.join()?, 1);
        Ok(())
    })
    .unwrap();
}

// ---- from a coroutine -------------------------------------------------------------------------------------------------

#[test]
fn a_coroutine_waits_for_any_future_and_is_cancelled_in_it() {
    sim(|| {
        let start = now();
        assert_eq!(aio::wait_on(ready(7))?, 7);
        aio::wait_on(aio::sleep(secs(3)))??;
        assert_eq!(since(start), 3.0);
        let slept = aio::wait_on(join_all((1..4).map(|n| aio::sleep(secs(n)))))?;
        assert_eq!((slept.len(), since(start)), (3, 6.0));

        let gone = Rc::new(Cell::new(false));
        let told = gone.clone();
        let task = spawn(move || {
            aio::wait_on(async move {
                let _guard = Finally(move || told.set(true));
                pending::<()>().await;
            })
        });
        yield_now()?;
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()) && gone.get());
        assert!(is_timed_out(&corio::timeout(secs(1), || aio::wait_on(pending::<()>())).unwrap_err()));
        Ok(())
    })
    .unwrap();
}

/// What a future calls while a coroutine polls it may pause that one; no wake-up is lost to the pause.
#[test]
fn a_future_on_a_coroutine_may_pause_it_directly() {
    sim(|| {
        let flag = Arc::new(Flag::default());
        let (raise, waited) = (flag.clone(), flag);
        spawn(move || {
            sleep(secs(1))?;
            raise.raise(); // while the coroutine sleeps, in the middle of a poll
            Ok(())
        });
        let start = now();
        let mut first = true;
        let mut wait = Box::pin(waited.wait());
        aio::wait_on(poll_fn(|context| {
            let polled = wait.as_mut().poll(context);
            if std::mem::take(&mut first) {
                sleep(secs(5)).unwrap();
            }
            polled
        }))?;
        assert_eq!(since(start), 5.0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn on_a_thread_without_a_loop_the_thread_waits() {
    let flag = Arc::new(Flag::default());
    let raise = flag.clone();
    let thread = thread::spawn(move || raise.raise());
    aio::wait_on(flag.wait()).unwrap();
    thread.join().unwrap();
    assert!(aio::wait_on(aio::sleep(millis(1))).unwrap().is_err());
}

// ---- the loop -----------------------------------------------------------------------------------------------------------

/// R18: what nobody can wake is a deadlock; what somebody may wake, as far as one can see, is none.
#[test]
fn r18_a_future_that_nobody_can_wake_is_a_deadlock() {
    let error = future(async {
        pending::<()>().await;
        Ok(())
    })
    .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Deadlock);
    assert!(error.to_string().contains("a future"), "{error}");
    let error = future(async {
        let queue = Queue::<u32>::new();
        aio::ready(&queue).await??;
        Ok(())
    })
    .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Deadlock);
    assert!(error.to_string().contains("queue"), "{error}");
}

#[test]
fn a_future_that_is_always_ready_takes_turns_with_others() {
    future(async {
        let stop = Rc::new(Cell::new(false));
        let seen = stop.clone();
        let busy = aio::spawn_local(async move {
            let queue = Queue::new();
            let mut rounds = 0;
            while !seen.get() {
                queue.try_put(1).unwrap();
                aio::ready(&queue).await??;
                rounds += 1;
            }
            Ok(rounds)
        });
        aio::yield_now().await?;
        aio::yield_now().await?;
        stop.set(true);
        assert!(busy.await? > 100);
        Ok(())
    })
    .unwrap();
}

#[test]
fn nothing_is_left_behind_whatever_the_schedule() {
    testing::explore(20, |_| {
        let queue = Rc::new(Queue::bounded(2));
        let tasks: Vec<_> = (0..6)
            .map(|n| {
                let queue = queue.clone();
                if n % 2 == 0 {
                    aio::spawn_local(async move {
                        for _ in 0..5 {
                            aio::ready(&*queue).await??;
                            aio::yield_now().await?;
                        }
                        Ok(())
                    })
                } else {
                    spawn(move || (0..5).try_for_each(|n| queue.put(n)))
                }
            })
            .collect();
        tasks.into_iter().try_for_each(|task| task.join())
    });
}

#[test]
fn locals_are_inherited_and_the_current_task_is_known() {
    static USER: TaskLocal<String> = TaskLocal::new();
    future(async {
        USER.set("Ada".to_owned());
        let me = current().id();
        assert_eq!(try_current().map(|task| task.id()), Some(me));
        let child = aio::spawn_local(async move {
            aio::yield_now().await?;
            let inherited = USER.get();
            USER.set("Grace".to_owned());
            Ok((current().id() != me, inherited))
        });
        assert_eq!(child.await?, (true, Some("Ada".to_owned())));
        assert_eq!(spawn(|| Ok(USER.get())).await?, Some("Ada".to_owned()));
        Ok(())
    })
    .unwrap();
}

// ---- groups and shields -------------------------------------------------------------------------------------------------

#[test]
fn a_scope_has_children_of_both_kinds() {
    sim(|| {
        let (log, start) = (RefCell::new(Vec::new()), now());
        let sum = corio::scope(|s| {
            let tick = s.spawn_local(async {
                aio::sleep(secs(2)).await?;
                log.borrow_mut().push("future");
                Ok(2)
            });
            let tock = s.spawn(|| {
                sleep(secs(1))?;
                log.borrow_mut().push("function");
                Ok(1)
            });
            // One awaits the other, and both their ends.
            let both = s.spawn_local(async move { Ok(tick.await? + tock.await?) });
            let named = corio::Builder::new().name("Ada").spawn_local_scoped(s, async { Ok(current().name()) })?;
            assert_eq!(named.join()?, "Ada");
            both.join()
        })?;
        assert_eq!((sum, now() - start, log.take()), (3, secs(2), vec!["function", "future"]));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_scope_ends_its_futures_and_waits_for_them() {
    sim(|| {
        let ended = Cell::new(0);
        let count = || ended.set(ended.get() + 1);
        // By a failure of a child that is a future, to one that cleans up, one that cannot fail, and one that was never polled.
        let start = now();
        let error = corio::scope(|s| {
            s.spawn_local(async {
                let error = aio::sleep(secs(60)).await.unwrap_err();
                aio::shield(secs(10), aio::sleep(secs(3))).await?;
                count();
                Err::<(), _>(error)
            });
            s.spawn_local(async {
                let _dropped = Finally(count);
                pending::<io::Result<()>>().await
            });
            s.spawn_local(async {
                aio::sleep(secs(1)).await?;
                Err::<(), _>(io::Error::other("failed"))
            });
            sleep(secs(30))?;
            Ok(())
        })
        .unwrap_err();
        assert_eq!((error.to_string(), ended.get(), now() - start), ("failed".into(), 2, secs(4)));
        // By cancelling whoever has the scope.
        let owner = spawn(|| corio::scope(|s| s.spawn_local(aio::sleep(secs(60))).join()));
        yield_now()?;
        owner.cancel();
        assert!(is_cancelled(&owner.join().unwrap_err()));
        // In a cancelled scope none begins, and what it borrows is there no more.
        let never = Cell::new(false);
        let refused = corio::scope(|s| {
            s.cancel();
            s.spawn_local(async { never.set(true) });
            Ok(())
        });
        assert!(refused.is_ok() && !never.get());
        Ok(())
    })
    .unwrap();
    let panics = || {
        sim(|| {
            corio::scope(|s| {
                drop(s.spawn_local(async {
                    assert!(now() < now(), "in a child");
                }))
            })
        })
    };
    assert_eq!(panic_of(|| drop(panics())), "in a child");
}

#[test]
fn a_shield_keeps_a_cancellation_away_until_its_limit() {
    for several in [false, true] {
        for on_coroutine in [false, true] {
            sim(move || {
                let wait = move |seconds| async move {
                    let sleep = aio::sleep(secs(seconds));
                    if several { one_of_several(sleep).await } else { sleep.await }
                };
                let program = async move {
                    let start = now();
                    assert!(is_cancelled(&wait(100).await.unwrap_err()));
                    assert_eq!(now() - start, secs(1));
                    aio::shield(secs(5), wait(3)).await?;
                    assert!(is_cancelled(&aio::shield(secs(5), wait(30)).await.unwrap_err()));
                    assert_eq!(now() - start, secs(9));
                    // What knows no cancellation is kept for as long as the shield holds.
                    aio::shield(secs(2), pending::<io::Result<()>>()).await
                };
                let start = now();
                let task = if on_coroutine { spawn(|| aio::wait_on(program)?) } else { aio::spawn_local(program) };
                sleep(secs(1))?;
                task.cancel();
                assert!(is_cancelled(&task.join().unwrap_err()));
                assert_eq!(now() - start, secs(11), "several {several}, on a coroutine {on_coroutine}");
                Ok(())
            })
            .unwrap();
        }
    }
}

#[test]
fn a_shielded_clean_up_may_be_a_coroutine() {
    sim(|| {
        let cleaned = Rc::new(Cell::new(false));
        let clean = cleaned.clone();
        let task = aio::spawn_local(async move {
            let error = aio::sleep(secs(60)).await.unwrap_err();
            let clean_up = spawn(move || sleep(secs(1)).map(|()| clean.set(true)));
            aio::shield(secs(5), clean_up).await?;
            Err::<(), _>(error)
        });
        yield_now()?;
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()) && cleaned.get());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_value_waits_for_room_in_its_turn_and_comes_back() {
    for several in [false, true] {
        sim(move || {
            let (sender, receiver) = mpsc::bounded(1);
            let sender = Rc::new(sender);
            let send = |n: u32| {
                let sender = sender.clone();
                aio::spawn_local(async move {
                    let send = aio::send(&sender, n);
                    let sent = if several { one_of_several(send).await } else { send.await };
                    Ok(sent.map_err(corio::channel::SendError::into_inner))
                })
            };
            let sends = [1, 2, 3, 4].map(send);
            let other = sender.clone();
            let direct = spawn(move || other.send(5).map_err(Into::into));
            sleep(millis(1))?;
            sends[2].cancel();
            yield_now()?;
            assert_eq!((receiver.recv()?, receiver.recv()?, receiver.recv()?, receiver.recv()?), (1, 2, 4, 5));
            direct.join()?;
            let last = send(6);
            let late = send(7);
            sleep(millis(1))?;
            last.join()?.unwrap();
            drop(receiver);
            assert_eq!(late.join()?, Err(7), "nobody receives");
            for (n, sent) in sends.into_iter().enumerate() {
                assert_eq!(sent.join()?, if n == 2 { Err(3) } else { Ok(()) });
            }
            Ok(())
        })
        .unwrap();
    }
}

// ---- what a cancelled task owns, and what both styles say --------------------------------------------------------------

/// A task that is busy cleaning up for that long when it is cancelled, and counts then.
fn cleans_up(seconds: u64, ended: &Rc<Cell<u32>>) -> JoinHandle<()> {
    let ended = ended.clone();
    spawn(move || {
        let error = sleep(secs(100)).unwrap_err();
        corio::shield(secs(10), || sleep(secs(seconds)))?;
        ended.set(ended.get() + 1);
        Err(error)
    })
}

/// R10: in one poll of several, whoever is not polled is not forgotten.
#[test]
fn r10_a_task_that_is_owned_is_waited_for_whoever_else_is_woken() {
    for on_coroutine in [false, true] {
        sim(move || {
            let ended = Rc::new(Cell::new(0));
            let child = cleans_up(5, &ended);
            let (wake_up, mut woken) = oneshot::channel::<Waker>();
            let program = async move {
                let mut wake_up = Some(wake_up);
                let never = poll_fn(move |context| {
                    wake_up.take().map(|wake_up| wake_up.send(context.waker().clone()));
                    Poll::<io::Result<()>>::Pending
                });
                let join = child.into_future();
                let mut both = FuturesUnordered::<Pin<Box<dyn Future<Output = io::Result<()>>>>>::new();
                both.push(Box::pin(join));
                both.push(Box::pin(never));
                both.next().await.expect("there are two")
            };
            let parent = if on_coroutine { spawn(|| aio::wait_on(program)?) } else { aio::spawn_local(program) };
            let waker = woken.recv()?;
            sleep(secs(1))?;
            parent.cancel();
            sleep(secs(1))?;
            waker.wake(); // the one that is nothing of ours is polled, and the other is not
            assert!(is_cancelled(&parent.join().unwrap_err()));
            assert_eq!(ended.get(), 1);
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn a_wait_for_a_channel_keeps_its_place_however_often_it_is_polled() {
    sim(|| {
        let (sender, receiver) = mpsc::bounded(1);
        let (receiver, log) = (Rc::new(receiver), Rc::new(RefCell::new(Vec::new())));
        let (first, seen) = (receiver.clone(), log.clone());
        let early = aio::spawn_local(async move {
            let ticks = async {
                for _ in 0..3 {
                    aio::sleep(secs(1)).await?;
                }
                io::Result::Ok(())
            };
            let (item, ticked) = futures_util::future::join(aio::ready(&*first), ticks).await;
            seen.borrow_mut().push(("early", item??));
            ticked
        });
        yield_now()?;
        let seen = log.clone();
        let late = aio::spawn_local(async move {
            let item = aio::ready(&*receiver).await??;
            seen.borrow_mut().push(("late", item));
            Ok(())
        });
        sleep(secs(5))?;
        sender.send(1)?;
        sleep(secs(1))?;
        sender.send(2)?;
        early.join()?;
        late.join()?;
        assert_eq!(log.take(), [("early", 1), ("late", 2)]);
        Ok(())
    })
    .unwrap();
}

/// What a task waits for, as dumps tell it, waiting in one style and in the other.
fn wants(direct: impl FnOnce() -> io::Result<()> + 'static, awaited: impl Future<Output = io::Result<()>> + 'static) {
    let (direct, awaited) = (spawn(direct), aio::spawn_local(awaited));
    sleep(millis(1)).unwrap();
    let told = |task: &corio::Task| {
        let debug = format!("{task:?}");
        let want = debug.split("waits_for: ").nth(1).and_then(|rest| rest.split(", at: ").next()).expect("it waits");
        want.chars().filter(|c| !c.is_ascii_digit()).collect::<String>()
    };
    assert_eq!(told(&direct), told(&awaited));
    for task in [direct, awaited] {
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()));
    }
}

#[test]
fn both_styles_say_the_same_of_what_they_wait_for() {
    run(|| {
        wants(|| sleep(secs(60)), aio::sleep(secs(60)));
        wants(|| sleep(secs(60)), async { aio::ready(corio::after(secs(60))).await });
        wants(|| Event::new().wait(), async { aio::ready(&Event::new()).await });
        let (_sender, receiver) = mpsc::unbounded::<()>();
        let receiver = Rc::new(receiver);
        let same = receiver.clone();
        wants(move || receiver.recv(), async move { aio::ready(&*same).await? });
        let pair = || std::os::unix::net::UnixStream::pair();
        let ((one, _a), (other, _b)) = (pair()?, pair()?);
        one.set_nonblocking(true)?;
        other.set_nonblocking(true)?;
        wants(move || corio::readable(&one), async move { aio::ready(until_readable(&other)).await? });
        Ok(())
    })
    .unwrap();
}

/// The records of a run that are no polls.
fn records(main: impl FnOnce() -> io::Result<()>) -> Vec<String> {
    let recording = corio::observe::Recording::new();
    runner().observer(recording.clone()).run(main).unwrap();
    let events = recording.records().into_iter().map(|record| record.event);
    events.filter(|event| !matches!(event, Polled { .. })).map(|event| format!("{event:?}")).collect()
}

#[test]
fn a_sleep_of_no_time_sets_no_timer_in_either_style() {
    let kinds = |records: Vec<String>| -> Vec<String> {
        records.iter().map(|record| record.split([' ', '{']).next().unwrap_or_default().to_owned()).collect()
    };
    let direct = records(|| spawn(|| sleep(secs(0))).join());
    let awaited = records(|| aio::spawn_local(aio::sleep(secs(0))).join());
    assert!(!direct.iter().any(|record| record.contains("Timer")));
    assert_eq!(kinds(direct), kinds(awaited));
}

#[test]
fn every_poll_of_ours_is_counted() {
    let polls = Rc::new(RefCell::new(Vec::new()));
    let seen = polls.clone();
    let observer = move |record: &corio::observe::event::Record, _: &corio::observe::Names| {
        if let Polled { polls, .. } = record.event {
            seen.borrow_mut().push(polls);
        }
    };
    let program = async {
        let (near, far) = aio::net::UnixStream::pair()?;
        far.write_all(b"one").await?; // its checkpoint
        near.read(&mut [0; 8]).await?; // and this one's
        aio::yield_now().await?; // twice, over two polls of the task
        aio::timeout(secs(1), std::future::ready(())).await // one
    };
    runner().observer(observer).run(|| aio::spawn_local(program).join()).unwrap();
    assert_eq!(*polls.borrow(), [1 + 3, 1 + 2]);
}

/// A waker of somebody's that panics when it is cloned leaves nothing half done.
#[test]
fn a_waker_that_cannot_be_cloned_is_no_wait() {
    use std::task::{RawWaker, RawWakerVTable};
    static TABLE: RawWakerVTable = RawWakerVTable::new(|_| panic!("no second one"), |_| (), |_| (), |_| ());
    let end = future(async {
        let (stream, _far) = aio::net::UnixStream::pair()?;
        let mut buffer = [0];
        let mut read = Box::pin(stream.read(&mut buffer));
        // SAFETY: the functions of the table do nothing with the pointer.
        let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) };
        assert_eq!(panic_of(|| drop(read.as_mut().poll(&mut Context::from_waker(&waker)))), "no second one");
        drop(read);
        stream.get_ref().release()?;
        aio::ready(&Event::new()).await // with no hope: nobody waits for a descriptor
    });
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::Deadlock);
}

// ---- what was found by attacks ----------------------------------------------------------------------------------------

/// A waker of somebody's: passes the wake on, and does what it is told on the way.
struct Relay<F: Fn() + Send + Sync>(Waker, F);

impl<F: Fn() + Send + Sync> std::task::Wake for Relay<F> {
    fn wake(self: Arc<Self>) {
        (self.1)();
        self.0.wake_by_ref();
    }
}

fn relay(context: &Context<'_>) -> Waker {
    Arc::new(Relay(context.waker().clone(), || ())).into()
}

/// Polls a future once, by a waker of somebody's.
async fn poll_once_by_relay<F: Future + ?Sized>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(&mut Context::from_waker(&relay(context))).is_pending())).await
}

/// R2, R6: the poll stays in its task.
#[test]
fn a_coroutine_cannot_yield_out_of_a_poll() {
    sim(|| {
        let mut coroutine: Coroutine<(), u32, ()> = Coroutine::new(|y| {
            aio::wait_on(poll_fn(|_| {
                let _ = y.yield_(1);
                Poll::Ready(())
            }))
        });
        let refused = panic_of(|| drop(coroutine.start()));
        assert!(refused.contains("cannot yield"), "{refused}");
        Ok(())
    })
    .unwrap();
}

/// R14
#[test]
fn a_future_that_wakes_itself_on_a_coroutine_lets_others_run() {
    sim(|| {
        let other = spawn(|| Ok(()));
        aio::wait_on(aio::yield_now())??;
        assert!(other.is_done());
        let queue = Queue::new();
        let (turns, stop) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let (counted, seen) = (turns.clone(), stop.clone());
        let other = spawn(move || {
            while !seen.get() {
                counted.set(counted.get() + 1);
                yield_now()?;
            }
            Ok(())
        });
        aio::wait_on(async {
            for _ in 0..10_000 {
                queue.try_put(1).unwrap();
                aio::ready(&queue).await??;
            }
            io::Result::Ok(())
        })??;
        stop.set(true);
        other.join()?;
        assert!(turns.get() > 10, "{} turns", turns.get());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_wait_that_is_forgotten_leaves_nothing_to_be_looked_at() {
    sim(|| {
        let (gone, kept) = (Rc::new(Mutex::new(0)), Rc::new(Mutex::new(0)));
        let (first, second) = (gone.clone(), kept.clone());
        let holder = spawn(move || {
            let guard = second.lock()?;
            {
                let _guard = first.lock()?;
                sleep(secs(1))?;
            }
            drop(first); // the last of it: who waited was forgotten
            sleep(secs(1))?;
            let dump = corio::observe::dump();
            drop(guard);
            Ok(dump)
        });
        yield_now()?;
        let waiter = aio::spawn_local(async move {
            let mut wait = Box::pin(aio::ready(&*kept));
            let mut forgotten = Box::pin(aio::ready(&*gone));
            assert!(poll_once_by_relay(wait.as_mut()).await && poll_once_by_relay(forgotten.as_mut()).await);
            std::mem::forget(forgotten);
            drop(gone);
            drop(wait.await?);
            Ok(())
        });
        assert!(holder.join()?.contains("lock"));
        waiter.join()
    })
    .unwrap();
}

/// What was taken while nobody looked has been sent.
#[test]
fn a_send_goes_on_in_another_run_whether_it_was_taken_meanwhile_or_not() {
    for taken in [false, true] {
        let (sender, receiver) = mpsc::bounded(1);
        sender.try_send(1).unwrap();
        let mut runner = runner();
        let mut send = Box::pin(aio::send(&sender, 2));
        let pending = runner.block_on(async { Ok(aio::timeout(millis(1), &mut send).await.is_err()) });
        assert!(pending.unwrap());
        if taken {
            assert_eq!((receiver.try_recv().unwrap(), receiver.try_recv().unwrap()), (1, 2));
        }
        runner
            .block_on(async {
                if !taken {
                    assert!(aio::timeout(millis(1), &mut send).await.is_err());
                    assert_eq!(receiver.try_recv().unwrap(), 1);
                }
                send.as_mut().await.unwrap();
                Ok(())
            })
            .unwrap();
        assert_eq!(receiver.try_recv().ok(), if taken { None } else { Some(2) });
    }
}

#[test]
fn a_wait_goes_on_by_another_waker_on_another_loop_and_in_another_run() {
    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    aio::block_on(async {
        let mut readable = Box::pin(aio::ready(until_readable(&near)));
        assert!(poll_once_by_relay(readable.as_mut()).await);
        assert!(poll_once_by_relay(readable.as_mut()).await);
        aio::spawn_local(async move {
            aio::sleep(millis(5)).await?;
            io::Write::write_all(&mut far, b"!")
        });
        readable.await?
    })
    .unwrap();

    // On another loop it is watched there.
    let (mut here, mut there) = (Runner::new().ctrl_c(false), Runner::new().ctrl_c(false));
    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut readable = Box::pin(aio::ready(until_readable(&near)));
    for runner in [&mut here, &mut there] {
        let mut poll_once = poll_fn(|context| Poll::Ready(readable.as_mut().poll(context).is_pending()));
        assert!(runner.run(|| aio::wait_on(&mut poll_once)).unwrap());
    }
    there
        .run(|| {
            let writer = spawn(move || {
                sleep(millis(5))?;
                io::Write::write_all(&mut far, b"!")?;
                sleep(secs(60)) // nothing else wakes the loop soon
            });
            let start = now();
            aio::wait_on(readable.as_mut())???;
            writer.cancel();
            assert!(now() - start < secs(30));
            Ok(())
        })
        .unwrap();

    let mut runner = runner();
    let mut nap = runner
        .run(|| {
            let mut nap = Box::pin(aio::sleep(secs(60)));
            aio::wait_on(poll_fn(|context| Poll::Ready(nap.as_mut().poll(context).is_pending())))?;
            Ok(nap)
        })
        .unwrap();
    let start = runner.run(|| Ok(now())).unwrap();
    runner.run(move || aio::wait_on(nap.as_mut())?).unwrap();
    assert_eq!(runner.run(|| Ok(since(start))).unwrap(), 60.0, "no earlier because it was moved");

    let (never, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let relay = Arc::new(Relay(Waker::noop().clone(), || ()));
    let (event, waker) = (Event::new(), Waker::from(relay.clone()));
    let mut wait = Box::pin(aio::ready(&event));
    let mut poll_once = poll_fn(|_| Poll::Ready(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()));
    assert!(runner.run(|| aio::wait_on(&mut poll_once)).unwrap());
    drop((wait, waker));
    runner.run(|| Ok(())).unwrap();
    assert_eq!(Arc::strong_count(&relay), 1, "nor is a waker kept");

    let left = runner
        .run(|| {
            let mut readable = Box::pin(aio::ready(until_readable(&never)));
            aio::wait_on(poll_fn(|context| Poll::Ready(readable.as_mut().poll(context).is_pending())))?;
            Ok(readable)
        })
        .unwrap();
    drop(left);
    let stuck = runner.run(|| Event::new().wait()).unwrap_err();
    assert_eq!(stuck.kind(), io::ErrorKind::Deadlock, "nobody waits for it any more");
}

#[test]
fn a_wake_that_comes_while_others_are_woken_is_not_lost() {
    static BELL: AtomicBool = AtomicBool::new(false);
    future(async {
        let (first, second) = (Rc::new(Event::new()), Rc::new(Event::new()));
        let ring = second.clone();
        // What the first waker does: it lets the loop set the second event, in the middle of its own wake-ups.
        let mut one = Box::pin(aio::ready(&*first));
        let waker: Waker = Arc::new(Relay(Waker::noop().clone(), || BELL.store(true, Ordering::SeqCst))).into();
        assert!(one.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let ringer = spawn(move || {
            while !BELL.load(Ordering::SeqCst) {
                yield_now()?;
            }
            ring.set();
            Ok(())
        });
        let set = first.clone();
        spawn(move || set.set());
        let mut two = Box::pin(aio::ready(&*second));
        poll_fn(|context| two.as_mut().poll(&mut Context::from_waker(&relay(context)))).await?;
        ringer.await
    })
    .unwrap();
}

/// R18: whoever keeps a waker may hand it to the next in the same seat, or clone it on another thread.
#[test]
fn r18_no_false_alarm_while_somebody_may_have_a_waker() {
    let flag = Arc::new(Flag::default());
    let raise = flag.clone();
    run(move || {
        let (go, gone) = std::sync::mpsc::channel();
        thread::spawn(move || {
            gone.recv().unwrap();
            thread::sleep(millis(50)); // the loop has nothing to do by then
            raise.raise();
        });
        let mut wait = Box::pin(flag.wait());
        assert!(corio::timeout(millis(5), || aio::wait_on(wait.as_mut())).is_err());
        go.send(()).unwrap();
        aio::wait_on(wait.as_mut())
    })
    .unwrap();
    aio::block_on(async {
        let raised = Arc::new(AtomicBool::new(false));
        poll_fn(|context| {
            if raised.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            let (waker, raised) = (context.waker(), raised.clone());
            thread::scope(|s| {
                s.spawn(move || {
                    let waker = waker.clone();
                    thread::spawn(move || {
                        thread::sleep(millis(20));
                        raised.store(true, Ordering::SeqCst);
                        waker.wake();
                    });
                });
            });
            Poll::Pending
        })
        .await;
    })
    .unwrap();
}

#[test]
fn two_futures_of_a_task_may_want_the_same_lock() {
    future(async {
        let lock = Mutex::new(0);
        let hold = async {
            let guard = aio::ready(&lock).await?;
            aio::sleep(millis(10)).await?;
            drop(guard);
            io::Result::Ok(())
        };
        let (one, other) = futures_util::future::join(hold, async { aio::ready(&lock).await.map(drop) }).await;
        one?;
        other
    })
    .unwrap();
}

/// R10: a time limit does not cut off what the cancelled future has to do, nor what it owns.
#[test]
fn r10_a_cancellation_goes_through_limits_and_executors_of_others() {
    sim(|| {
        let ended = Rc::new(Cell::new(0));
        let (limited, among_others, on_a_coroutine) =
            (cleans_up(1, &ended), cleans_up(1, &ended), cleans_up(1, &ended));
        let cleans = ended.clone();
        let parents = [
            aio::spawn_local(async move { aio::timeout(secs(60), limited).await? }),
            aio::spawn_local(async move {
                let mut others = FuturesUnordered::new();
                others.push(among_others.into_future());
                others.next().await.unwrap()
            }),
            spawn(move || aio::wait_on(on_a_coroutine)?),
            aio::spawn_local(async move {
                let limited = aio::timeout(secs(60), async move {
                    let slept = aio::sleep(secs(50)).await;
                    let _ = aio::yield_now().await;
                    cleans.set(cleans.get() + 1);
                    slept
                });
                limited.await?
            }),
        ];
        sleep(secs(1))?;
        assert!(parents.iter().all(|parent| parent.cancel()));
        for parent in parents {
            let _ = parent.join();
        }
        assert_eq!(ended.get(), 4, "all were waited for");
        Ok(())
    })
    .unwrap();
}

/// R10: a time limit is no wait of its own: neither does it keep what knows no cancellation, nor cut off what is owned.
#[test]
fn r10_a_time_limit_is_not_what_a_cancelled_task_waits_for() {
    sim(|| {
        let start = now();
        let hour = secs(3600);
        let strangers = [
            aio::spawn_local(aio::timeout(hour, pending::<()>())),
            spawn(move || aio::wait_on(aio::timeout(hour, aio::timeout(hour, pending::<()>())))??),
        ];
        let ended = Rc::new(Cell::new(false));
        let (end, child) = (ended.clone(), spawn(|| corio::shield(secs(10), || sleep(secs(5)))));
        let cleans = aio::spawn_local(async move {
            let slept = aio::sleep(hour).await;
            let _ = aio::timeout(hour, child).await;
            end.set(true);
            slept
        });
        sleep(secs(1))?;
        strangers.iter().chain([&cleans]).for_each(|task| assert!(task.cancel()));
        for task in strangers {
            assert!(is_cancelled(&task.join().unwrap_err()));
        }
        assert_eq!(since(start), 1.0);
        assert!(is_cancelled(&cleans.join().unwrap_err()));
        assert!(ended.get() && since(start) == 5.0, "{}", since(start));
        Ok(())
    })
    .unwrap();
}

/// A cancellation that meets a task which is ready already reaches its waits before the task is looked at.
#[test]
fn a_task_that_is_ready_when_it_is_cancelled_still_waits_for_what_it_owns() {
    for on_a_coroutine in [false, true] {
        sim(move || {
            let ended = Rc::new(Cell::new(0));
            let child = cleans_up(2, &ended);
            let waker = Rc::new(RefCell::new(None));
            let shown = waker.clone();
            let wait = async move {
                let mut others = FuturesUnordered::from_iter([child.into_future()]);
                poll_fn(|context| {
                    *shown.borrow_mut() = Some(context.waker().clone());
                    others.poll_next_unpin(context)
                })
                .await
                .unwrap()
            };
            let parent = if on_a_coroutine { spawn(|| aio::wait_on(wait)?) } else { aio::spawn_local(wait) };
            let (parent, go) = (Rc::new(parent), Rc::new(Event::new()));
            let (target, gone) = (parent.clone(), go.clone());
            let killer = spawn(move || {
                gone.wait()?;
                target.cancel();
                Ok(())
            });
            sleep(secs(1))?;
            go.set();
            waker.borrow().as_ref().unwrap().wake_by_ref(); // in the same turn, after the one who cancels
            killer.join()?;
            parent.wait()?;
            assert_eq!(ended.get(), 1, "on a coroutine: {on_a_coroutine}");
            Ok(())
        })
        .unwrap();
    }
}

/// What a future says of its waits is said to the one who polls it, and to nobody else on the loop.
#[test]
fn what_others_poll_meanwhile_does_not_keep_a_cancelled_task_nor_cut_it_off() {
    sim(|| {
        let nap = || corio::shield(secs(60), || sleep(millis(10)));
        let busy = aio::spawn_local(async move {
            loop {
                aio::sleep(millis(1)).await?;
            }
            #[expect(unreachable_code, reason = "it says what the task returns")]
            Ok(())
        });
        let stranger = spawn(move || {
            aio::wait_on(poll_fn(|_| {
                let _ = nap();
                Poll::<()>::Pending
            }))
        });
        sleep(secs(1))?;
        stranger.cancel();
        corio::timeout(secs(60), || stranger.wait())?;
        busy.cancel();

        let ended = Rc::new(Cell::new(0));
        let child = cleans_up(2, &ended);
        let parent = spawn(move || {
            let (mut child, mut polls) = (Box::pin(child.into_future()), 0);
            aio::wait_on(poll_fn(|context| {
                let polled = child.as_mut().poll(context);
                polls += 1;
                if polls == 2 {
                    // It is cancelled by now, and waits for another future in the middle of the poll.
                    let _ = corio::shield(secs(60), || aio::wait_on(aio::yield_now()));
                }
                polled
            }))?
        });
        sleep(secs(1))?;
        parent.cancel();
        parent.wait()?;
        assert_eq!(ended.get(), 1);
        Ok(())
    })
    .unwrap();
}

/// A combinator asks only those of its futures that were woken; those that are owned count all the same.
#[test]
fn what_a_cancelled_task_owns_is_waited_for_also_behind_a_combinator_that_does_not_ask_it() {
    for on_a_coroutine in [false, true] {
        sim(move || {
            let ended = Rc::new(Cell::new(0));
            let children = [2, 4, 6].map(|after| cleans_up(after, &ended));
            let wait = async move {
                let others = FuturesUnordered::from_iter(children.map(IntoFuture::into_future));
                others.collect::<Vec<_>>().await;
            };
            let parent = if on_a_coroutine { spawn(|| aio::wait_on(wait)) } else { aio::spawn_local(wait) };
            sleep(secs(1))?;
            parent.cancel();
            parent.wait()?;
            assert_eq!(ended.get(), 3, "on a coroutine: {on_a_coroutine}");

            // But what is not polled any more is not waited for.
            let (child, idle) = (spawn(|| sleep(secs(100))), Rc::new(Cell::new(true)));
            let wait = async move {
                let mut others = FuturesUnordered::from_iter([child.into_future()]);
                poll_fn(|context| {
                    if idle.replace(false) {
                        let _ = others.poll_next_unpin(context);
                    }
                    Poll::<()>::Pending
                })
                .await;
            };
            let parent = if on_a_coroutine { spawn(|| aio::wait_on(wait)) } else { aio::spawn_local(wait) };
            sleep(secs(1))?;
            let start = now();
            parent.cancel();
            parent.wait()?;
            assert_eq!(since(start), 0.0);
            Ok(())
        })
        .unwrap();
    }
}

/// R10: an executor that goes from one task to another, with the same wakers, takes what is owned along.
#[test]
fn r10_what_is_polled_on_by_another_task_is_that_tasks() {
    sim(|| {
        let ended = Rc::new(Cell::new(0));
        let child = cleans_up(2, &ended);
        let executor = Arc::new(Executing::default());
        let waker = Waker::from(executor.clone());
        let mut join = Box::pin(child.into_future());
        let first = aio::spawn_local(async move {
            assert!(join.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            Ok((join, waker))
        });
        let (mut join, waker) = first.join()?;
        executor.is_woken.store(true, Ordering::SeqCst);
        let second = aio::spawn_local(async move {
            poll_fn(|context| {
                *executor.owner.lock().unwrap() = Some(context.waker().clone());
                match executor.is_woken.swap(false, Ordering::SeqCst) {
                    true => join.as_mut().poll(&mut Context::from_waker(&waker)),
                    false => Poll::Pending,
                }
            })
            .await
        });
        sleep(secs(1))?;
        second.cancel();
        second.wait()?;
        assert_eq!(ended.get(), 1, "what it owned was waited for");
        Ok(())
    })
    .unwrap();
}

/// An executor for one future, which it polls when that was woken.
#[derive(Default)]
struct Executing {
    owner: StdMutex<Option<Waker>>,
    is_woken: AtomicBool,
}

impl std::task::Wake for Executing {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        if let Some(owner) = &*self.owner.lock().unwrap() {
            owner.wake_by_ref();
        }
    }
}

/// A place in line that a wake-up has used up is taken anew.
#[test]
fn a_signal_that_somebody_else_has_taken_is_waited_for_again() {
    use corio::signal::{Signal, Signals};
    // SAFETY: sends a signal for which somebody listens.
    let raise = || assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
    run(|| {
        let signals = Rc::new(Signals::new([Signal::User1])?);
        let waits = aio::spawn_local({
            let signals = signals.clone();
            async move { aio::ready(&*signals).await }
        });
        sleep(millis(1))?;
        raise();
        while signals.try_recv().is_none() {
            thread::yield_now(); // the loop stands still: it will be called for nothing
        }
        sleep(millis(5))?;
        assert!(!waits.is_done());
        raise();
        assert_eq!(corio::timeout(secs(60), || waits.join())?, Signal::User1);
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_a_waker_sets_is_nobody_elses() {
    static USER: TaskLocal<u32> = TaskLocal::new();
    future(async {
        let (event, seen) = (Rc::new(Event::new()), Rc::new(RefCell::new(Vec::new())));
        let (set, shown) = (event.clone(), seen.clone());
        spawn(move || {
            sleep(millis(1))?;
            set.set();
            corio::call_soon(move || shown.borrow_mut().push(USER.get()));
            Ok(())
        });
        let mut wait = Box::pin(aio::ready(&*event));
        poll_fn(|context| {
            let waker: Waker = Arc::new(Relay(context.waker().clone(), || drop(USER.set(42)))).into();
            wait.as_mut().poll(&mut Context::from_waker(&waker))
        })
        .await?;
        aio::sleep(millis(1)).await?;
        assert_eq!(*seen.borrow(), [None]);
        Ok(())
    })
    .unwrap();
}

/// R18: a task that has waited for a channel is no hope once it waits for something else.
#[test]
fn r18_a_channel_is_hope_only_while_it_is_waited_for() {
    let end = future(async {
        let (sender, receiver) = mpsc::unbounded();
        spawn(move || {
            sleep(secs(1))?;
            sender.send(1)?;
            Ok(())
        });
        assert_eq!(aio::ready(&receiver).await??, 1);
        aio::ready(&Event::new()).await
    });
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::Deadlock);
}

/// R7: while a list is walked nothing of the user's runs, not even the clone of a waker.
#[test]
fn r7_a_waker_is_not_cloned_while_its_wait_is_ended() {
    future(async {
        let event = Event::new();
        let relay = Arc::new(Relay(Waker::noop().clone(), || ()));
        let waker: Waker = relay.clone().into();
        let mut waits: Vec<_> = (0..3).map(|_| Box::pin(aio::ready(&event))).collect();
        for wait in &mut waits {
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let before = Arc::strong_count(&relay);
        event.set();
        assert_eq!(Arc::strong_count(&relay), before);
        aio::yield_now().await?;
        for wait in waits {
            wait.await?;
        }
        assert_eq!(Arc::strong_count(&relay), 2, "none is left behind");
        Ok(())
    })
    .unwrap();
}

/// What one task was granted, another one may drop. Then nobody knows who of the readers is left, and nobody is told that he would
/// wait for himself.
#[test]
fn a_right_to_read_that_another_task_drops_makes_no_circle() {
    runner()
        .run(|| {
            let (lock, handed) = (Rc::new(RwLock::new(())), Rc::new(Queue::new()));
            let (written, wanted) = (lock.clone(), handed.clone());
            let writer = spawn(move || {
                let _mine = written.write()?;
                sleep(secs(1))
            });
            let dropper = spawn(move || wanted.get().map(drop));
            let (shared, asked) = (lock.clone(), lock.clone());
            let first = spawn(move || {
                let mut future: Boxed<'_> = Box::pin(async move { drop(aio::ready(asked.reading()).await) });
                let waits = aio::wait_on(poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())))?;
                assert!(waits);
                sleep(secs(2))?; // meanwhile it is granted
                handed.try_put(future).map_err(|_| io::Error::other("no room"))?;
                yield_now()?;
                yield_now()?;
                shared.write().map(drop) // the other one reads still, and this one does not
            });
            let second = spawn(move || {
                sleep(millis(10))?;
                let _mine = lock.read()?;
                sleep(secs(5))
            });
            writer.join()?;
            dropper.join()?;
            first.join()?;
            second.join()
        })
        .unwrap();
}
