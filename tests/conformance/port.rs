//! PORT: what asyncio cannot show, because its tasks have no stacks of their own.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use crate::common::{Finally, Log, child, logged, only, plays, runner, sim};
use corio::{
    Barrier, Builder, Condvar, Coroutine, Event, Generator, Mutex, Promise, Queue, Semaphore, State, Until, after,
    all_tasks, call_later, call_soon, current, gather, interval, is_cancelled, now, scope, secs, select, shield, sleep,
    sleep_until, spawn, timeout, wait, yield_now,
};

/// PORT-01: in a cancelled task every call that may wait returns the cancellation, and nothing else does. (That a call
/// fails which could have gone on at once is the departure.)
#[test]
fn what_may_wait_is_cancelled_and_nothing_else_is() {
    type Call = Box<dyn Fn() -> io::Result<()>>;
    fn done<T>(_: T) -> io::Result<()> {
        Ok(())
    }
    fn full() -> Queue<u32> {
        let queue = Queue::new();
        queue.try_put(1).expect("there is room");
        queue
    }
    fn kept() -> Promise<u32> {
        let promise = Promise::new();
        promise.set(1).expect("it was not kept before");
        promise
    }
    let waits: Vec<(&str, Call)> = vec![
        ("sleep", Box::new(|| sleep(secs(1)))),
        ("sleep of nothing", Box::new(|| sleep(secs(0)))),
        ("sleep_until", Box::new(|| sleep_until(now()))),
        ("yield_now", Box::new(yield_now)),
        ("interval", Box::new(|| interval(secs(1)).next().unwrap().map(drop))),
        ("join", Box::new(|| spawn(|| sleep(secs(1))).join())),
        ("wait", Box::new(|| spawn(|| Ok(())).task().wait())),
        ("a body in a limit", Box::new(|| timeout(secs(1), yield_now))),
        ("a free lock", Box::new(|| Mutex::new(0).lock().map(drop))),
        ("a set event", Box::new(|| Event::new().wait())),
        ("a permit", Box::new(|| Semaphore::new(1).acquire().map(drop))),
        ("a barrier for one", Box::new(|| Barrier::new(1).wait().map(drop))),
        (
            "a condition",
            Box::new(|| {
                let lock = Mutex::new(0);
                let mut guard = lock.try_lock().expect("it is free");
                Condvar::new().wait(&mut guard)
            }),
        ),
        ("a queue with an item", Box::new(|| full().get().map(drop))),
        ("a queue with room", Box::new(|| Queue::bounded(1).put(1))),
        ("a queue that is done", Box::new(|| Queue::<u32>::new().join())),
        ("a promise that is kept", Box::new(|| kept().get().map(drop))),
        ("one of several", Box::new(|| select((&full(), after(secs(0)))).map(drop))),
        ("all of several", Box::new(|| gather([1, 2], |_| Ok(())).map(drop))),
        ("handles", Box::new(|| wait(&mut vec![current()], Until::AllCompleted).map(drop))),
    ];
    let others: Vec<(&str, Call)> = vec![
        ("spawn", Box::new(|| done(spawn(|| ())))),
        ("names", Box::new(|| done((current().name(), all_tasks())))),
        ("now", Box::new(|| done(now()))),
        ("callbacks", Box::new(|| done((call_soon(|| ()), call_later(secs(1), || ()))))),
        ("a limit", Box::new(|| timeout(secs(1), || Ok(())))),
        ("a shield", Box::new(|| shield(secs(1), || Ok(())))),
        ("a scope", Box::new(|| scope(|_| Ok(())))),
        ("what need not wait", Box::new(|| done((Mutex::new(0).try_lock().is_some(), full().try_get().is_ok())))),
        ("setting", Box::new(|| done((Event::new().set(), Semaphore::new(0).release(1), Condvar::new().notify_all())))),
        ("a promise", Box::new(|| kept().try_take().expect("it is kept").map(drop))),
        (
            "a generator",
            Box::new(|| {
                let mut generator = Generator::<u32>::new(|y| y.yield_(1));
                assert_eq!(generator.next().transpose()?, Some(1));
                generator.close()
            }),
        ),
        (
            "a coroutine",
            Box::new(|| {
                let mut coroutine = Coroutine::<u32, u32, u32>::new(|y| y.yield_(1));
                assert_eq!(coroutine.start()?, State::Yielded(1));
                assert_eq!(coroutine.send(5)?, State::Returned(5));
                Ok(())
            }),
        ),
    ];
    sim(move || {
        let task = spawn(move || {
            let _ = sleep(secs(60));
            for (name, call) in &waits {
                assert!(call().is_err_and(|error| is_cancelled(&error)), "{name}");
            }
            for (name, call) in &others {
                assert!(call().is_ok(), "{name}");
            }
            Ok(5)
        });
        yield_now()?;
        task.cancel();
        assert_eq!(task.join()?, 5);
        Ok(())
    })
    .unwrap();
}

/// PORT-04: no stack is left when the run is over: what lies on the stacks of tasks that still waited is dropped once,
/// and waits no more while it is.
#[test]
fn every_stack_is_unwound_before_the_run_ends() {
    let log = Log::default();
    sim(|| {
        for n in 0..3 {
            let l = log.clone();
            drop(spawn(move || {
                let _first = l.at_drop(format!("a{n}"));
                let _end = Finally(|| assert!(is_cancelled(&sleep(secs(1)).unwrap_err())));
                let _second = l.at_drop(format!("b{n}"));
                sleep(secs(60))
            }));
        }
        yield_now()
    })
    .unwrap();
    assert_eq!(log.take(), "b0 b1 b2 a0 a1 a2", "the refused wait lets the others have their turn");
}

/// PORT-05: a panic of something that is dropped while a task ends stays inside that task.
#[test]
fn a_panic_while_a_task_ends_stays_in_the_task() {
    let (result, lines) = logged(|| {
        runner().grace(secs(0)).run(|| {
            drop(spawn(|| {
                let _end = Finally(|| panic!("in a destructor"));
                sleep(secs(60))
            }));
            // This one does not end when it is asked: it is unwound.
            let other = spawn(|| {
                let _end = Finally(|| drop(std::panic::catch_unwind(|| panic!("in another"))));
                for _ in 0_u64.. {
                    let _ = sleep(secs(60));
                }
                Ok(())
            });
            drop(other);
            yield_now()?;
            Ok(7)
        })
    });
    assert_eq!(result.unwrap(), 7);
    only(&lines, "ERROR", &["in a destructor"]);
}

/// PORT-09: what is held across a wait need not be `Send`: other tasks change it meanwhile, on the same thread. That
/// handles of tasks do not leave it is checked by the compiler (`tests/compile_fail/send_*.rs`).
#[test]
fn what_is_held_across_a_wait_need_not_be_send() {
    sim(|| {
        let shared = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let shared = shared.clone();
                spawn(move || {
                    let before = shared.get();
                    yield_now()?;
                    shared.set(shared.get() + 1);
                    Ok(before)
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.join()?, 0);
        }
        assert_eq!(shared.get(), 10);
        Ok(())
    })
    .unwrap();
}

/// PORT-10: ten thousand tasks wait; each is resumed twice and no more; their stacks are there again afterwards.
#[test]
#[cfg_attr(feature = "sanitizer", ignore = "the sanitizer keeps a second stack for each that there was")]
fn ten_thousand_tasks_wait_and_give_their_stacks_back() {
    const NAME: &str = "port::ten_thousand_tasks_wait_and_give_their_stacks_back";
    const TASKS: u32 = 10_000;
    fn round() -> io::Result<u32> {
        let resumed = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let resumed = resumed.clone();
                Builder::new().stack_size(64 * 1024).spawn(move || {
                    resumed.set(resumed.get() + 1);
                    sleep(secs(1))?;
                    resumed.set(resumed.get() + 1);
                    Ok(())
                })
            })
            .collect::<io::Result<_>>()?;
        tasks.into_iter().try_for_each(corio::JoinHandle::join)?;
        Ok(resumed.get())
    }
    let address_space = || {
        let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        status.split(' ').next().and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0)
    };
    if plays(NAME) {
        sim(|| {
            assert_eq!(round()?, 2 * TASKS);
            let before = address_space();
            for _ in 0..3 {
                assert_eq!(round()?, 2 * TASKS);
            }
            let grown = address_space().saturating_sub(before) * 4096;
            assert!(grown < TASKS as usize * 16 * 1024, "{grown} bytes more: the stacks are used again");
            Ok(())
        })
        .unwrap();
        return;
    }
    child(NAME).succeeded();
}

/// PORT-11: a task that is spawned deep inside a call stack has a stack of its own, and is its own current task.
#[test]
fn a_task_that_is_spawned_from_the_depths_has_its_own_stack() {
    fn down(depth: u32) -> io::Result<(usize, usize)> {
        let here = std::hint::black_box(&depth) as *const u32 as usize;
        if depth > 0 {
            return std::hint::black_box(down(depth - 1));
        }
        let me = current();
        let (there, id) = spawn(|| {
            let local = 0_u32;
            let there = std::hint::black_box(&local) as *const u32 as usize;
            yield_now()?;
            Ok((there, current().id()))
        })
        .join()?;
        assert!(current() == me && id != me.id());
        Ok((here, there))
    }
    sim(|| {
        let (here, there) = spawn(|| down(100)).join()?;
        assert!(here.abs_diff(there) > 16 * 1024, "{here:x} {there:x}");
        Ok(())
    })
    .unwrap();
}
