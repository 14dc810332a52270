//! Futures on the loop, and between them and coroutines.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn, ready};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex as StdMutex};
use std::task::{Context, Poll, Waker};
use std::thread;

use common::{Finally, Log, panic_of, runner, sim, since};
use corio::channel::{mpsc, oneshot};
use corio::{
    Mutex, Queue, Semaphore, TaskLocal, aio, current, is_cancelled, is_timed_out, millis, now, run, secs, sleep, spawn,
    testing, try_current, yield_now,
};
use futures_util::future::{join_all, select};
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
        let joined = aio::spawn_local(panics.into_future());
        Ok(joined)
    })
    .map(drop)
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
    let refused = run(|| Ok(aio::block_on(async {}).unwrap_err())).unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    let refused = aio::block_on(async { Ok(aio::block_on(async {}).unwrap_err()) }).unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
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
        assert!(corio::scope(|s| drop(s.spawn(|| ()))).is_err());
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
        permits.release(1);
        for next in next {
            next.join()?;
        }
        Ok(())
    })
    .unwrap();
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
