//! The contender: the library as a user would call it.

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use corio::fs::{self, File};
use corio::net::TcpListener;
use corio::{Builder, CancelScope, Coroutine, Event, LoopHandle, Mutex, Queue};

use crate::depth::{BATCH, FEW, LOCALS, at_depth, holding};
use crate::figures::{self, Stopwatch, measure, own_cpu_ns};
use crate::{asking_thread, counting, delays_ms, transfer};

/// A stack for many tasks at once.
pub const SMALL_STACK: usize = 64 << 10;

const DAY: Duration = Duration::from_secs(86_400);

/// Tasks that do nothing but let each other run, each pausing at the given call depth.
pub fn yields(operations: u64, depth: u32, tasks: u64) -> io::Result<()> {
    let turns = operations / tasks;
    together("yield", operations, tasks, move || {
        for _ in 0..turns {
            at_depth(depth, &|| corio::yield_now().expect("nobody cancels"));
        }
        Ok(())
    })
}

/// The same, where each task goes down once and then pauses again and again: what it costs to be resumed down there.
pub fn resume(operations: u64, depth: u32, tasks: u64) -> io::Result<()> {
    let turns = operations / tasks;
    let pause = move || (0..turns).try_for_each(|_| corio::yield_now());
    together("resume", operations, tasks, move || at_depth(depth, &pause))
}

/// The clocks start when all have paused once: to make tasks is another workload, [`crowd`].
fn together(
    workload: &str,
    operations: u64,
    tasks: u64,
    task: impl Fn() -> io::Result<()> + Copy + 'static,
) -> io::Result<()> {
    corio::run(|| {
        let tasks: Vec<_> = (0..tasks).map(|_| corio::spawn(task)).collect();
        corio::spawn(|| io::Result::Ok(())).join()?; // it ran behind all of them
        measure(workload, operations, || tasks.into_iter().try_for_each(|task| task.join()))
    })
}

/// Tasks that are all alive at once, and pause once: for the first crowd stacks are made, the second finds them.
pub fn crowd(tasks: u64) -> io::Result<()> {
    corio::run(|| {
        let crowd = || {
            let start = own_cpu_ns();
            let tasks: Vec<_> = (0..tasks).map(|_| corio::spawn(corio::yield_now)).collect();
            tasks.into_iter().try_for_each(|task| task.join())?;
            io::Result::Ok((own_cpu_ns() - start) as f64)
        };
        let (fresh, pooled) = (crowd()? / tasks as f64, crowd()? / tasks as f64);
        figures::print("crowd", &[("fresh_ns", fresh), ("pooled_ns", pooled)]);
        Ok(())
    })
}

/// Tasks that sleep so many calls down, cancelled and joined: the error is passed up through all of them.
pub fn cancel(operations: u64, depth: u32) -> io::Result<()> {
    corio::run(|| {
        let mut ns = 0;
        for _ in 0..operations / BATCH {
            let sleep = move || at_depth(depth, &|| corio::sleep(DAY));
            let tasks: Vec<_> = (0..BATCH).map(|_| corio::spawn(sleep)).collect();
            corio::yield_now()?;
            let start = own_cpu_ns();
            for task in &tasks {
                task.cancel();
            }
            for task in tasks {
                assert!(task.join().is_err());
            }
            ns += own_cpu_ns() - start;
        }
        figures::print("cancel", &[("cpu_ns_op", ns as f64 / operations as f64)]);
        Ok(())
    })
}

/// Coroutines that are paused so many calls down, dropped. With `obstinate` ones, which ignore the error and pause once more, a
/// panic unwinds the stack.
pub fn discard(operations: u64, depth: u32, obstinate: bool) -> io::Result<()> {
    corio::run(|| {
        let mut ns = 0;
        for _ in 0..operations / FEW {
            let body = move |y: &corio::Yielder<(), ()>| {
                at_depth(depth, &|| loop {
                    match y.yield_(()) {
                        Err(error) if !obstinate => return Err(error),
                        _ => {}
                    }
                })
            };
            let mut paused: Vec<Coroutine<(), (), ()>> = (0..FEW).map(|_| Coroutine::new(body)).collect();
            for coroutine in &mut paused {
                assert_eq!(coroutine.start()?, corio::State::Yielded(()));
            }
            let start = own_cpu_ns();
            drop(paused);
            ns += own_cpu_ns() - start;
        }
        figures::print("discard", &[("cpu_ns_op", ns as f64 / operations as f64)]);
        Ok(())
    })
}

/// A walk through a tree of so many levels that pauses at every node: the time by a first walk, the allocations by a second.
pub fn recurse(levels: u32) -> io::Result<()> {
    fn walk(level: u32) -> io::Result<u64> {
        corio::yield_now()?;
        if level == 0 { Ok(1) } else { Ok(1 + walk(level - 1)? + walk(level - 1)?) }
    }
    corio::run(|| {
        let start = own_cpu_ns();
        let nodes = walk(levels)? as f64;
        let ns = (own_cpu_ns() - start) as f64;
        counting::start();
        walk(levels)?;
        figures::print("recurse", &[("cpu_ns_op", ns / nodes), ("allocations", counting::stop() as f64 / nodes)]);
        Ok(())
    })
}

/// What the dump shows of a task that sleeps three calls down.
pub fn dump() -> io::Result<()> {
    fn outer() -> io::Result<()> {
        middle()
    }
    fn middle() -> io::Result<()> {
        inner()
    }
    fn inner() -> io::Result<()> {
        corio::sleep(DAY)
    }
    corio::run(|| {
        let sleeper = Builder::new().name("sleeper").spawn(outer)?;
        corio::yield_now()?;
        print!("{}", corio::observe::dump());
        sleeper.cancel();
        let _ = sleeper.join(); // cancelled
        Ok(())
    })
}

/// A recursion without an end.
pub fn endless() -> io::Result<()> {
    fn down(level: u64) -> io::Result<u64> {
        if level.is_multiple_of(1_000) {
            corio::yield_now()?;
        }
        Ok(down(black_box(level + 1))? + 1)
    }
    corio::run(|| Builder::new().name("endless").spawn(|| down(1))?.join().map(drop))
}

/// A local of 32 MiB that is needed after a pause.
pub fn big() -> io::Result<()> {
    let body = || {
        let mut big = [1u8; 32 << 20];
        black_box(&mut big);
        corio::yield_now()?;
        black_box(&big);
        Ok(())
    };
    corio::run(|| Builder::new().name("big").spawn(body)?.join())
}

/// Tasks that return at once: `batch` spawned, then joined, and again.
pub fn spawn(operations: u64, batch: u64) -> io::Result<()> {
    corio::run(|| {
        let mut tasks = Vec::with_capacity(batch as usize);
        measure("spawn", operations, || {
            for _ in 0..operations / batch {
                tasks.extend((0..batch).map(|i| corio::spawn(move || Ok::<_, io::Error>(i))));
                for task in tasks.drain(..) {
                    black_box(task.join()?);
                }
            }
            Ok(())
        })
    })
}

/// The same by `gather`: `batch` functions at once, whose values come back in order, and again.
pub fn gather(operations: u64, batch: u64) -> io::Result<()> {
    corio::run(|| {
        measure("gather", operations, || {
            for _ in 0..operations / batch {
                black_box(corio::gather(0..batch, Ok::<_, io::Error>)?);
            }
            Ok(())
        })
    })
}

/// Messages from a task to another, through a queue for `bound` of them.
pub fn queue(workload: &str, operations: u64, bound: usize) -> io::Result<()> {
    let queue = Queue::bounded(bound);
    corio::run(|| {
        measure(workload, operations, || {
            corio::scope(|s| {
                s.spawn(|| (0..operations).try_for_each(|message| queue.put(message)));
                s.spawn(|| (0..operations).try_for_each(|_| queue.get().map(|message| _ = black_box(message))));
                Ok(())
            })
        })
    })
}

/// A lock that nobody else wants, taken and given back.
pub fn mutex(operations: u64) -> io::Result<()> {
    let mutex = Mutex::new(0);
    corio::run(|| {
        measure("mutex", operations, || {
            for _ in 0..operations {
                *black_box(&mutex).lock()? += 1;
            }
            Ok(())
        })
    })
}

/// Tasks that wait for one event, which is set for all of them at once, and again; an operation is one that goes on.
pub fn wake_all(operations: u64, waiters: u64) -> io::Result<()> {
    let event = Event::new();
    let rounds = operations / waiters;
    corio::run(|| {
        corio::scope(|s| {
            for _ in 0..waiters {
                let waiting = || (0..=rounds).try_for_each(|_| event.wait());
                Builder::new().stack_size(SMALL_STACK).spawn_scoped(s, waiting)?;
            }
            let all_go_on = || {
                event.set();
                event.clear();
                corio::yield_now() // behind all of them: when it returns, they wait again
            };
            corio::yield_now()?;
            all_go_on()?; // the first time touches what is new
            measure("wakeall", rounds * waiters, || (0..rounds).try_for_each(|_| all_go_on()))
        })
    })
}

/// Tasks that sleep once, all within one second, spawned and joined.
pub fn timers(operations: u64) -> io::Result<()> {
    corio::run(|| {
        measure("timers", operations, || {
            let sleep = |ms| move || corio::sleep(Duration::from_millis(ms));
            let delays_ms = delays_ms().map(|ms| ms % 1000).take(operations as usize);
            let spawn = |ms| Builder::new().stack_size(SMALL_STACK).spawn(sleep(ms));
            let tasks = delays_ms.map(spawn).collect::<io::Result<Vec<_>>>()?;
            tasks.into_iter().try_for_each(|task| task.join())
        })
    })
}

/// Timers armed and cancelled, while 1,000 others stay armed. The callback captures nothing, so boxing it costs nothing.
pub fn timer_cancel(operations: u64) -> io::Result<()> {
    corio::run(|| {
        let mut delays = delays_ms().map(Duration::from_millis);
        let others: Vec<_> = delays.by_ref().take(1000).map(|delay| corio::call_later(delay, || ())).collect();
        measure("timercancel", operations, || {
            for delay in delays.take(operations as usize) {
                black_box(corio::call_later(delay, || ())).cancel();
            }
        });
        for timer in others {
            timer.cancel();
        }
        Ok(())
    })
}

/// The memory of tasks that are asleep so many calls down, and of tasks that have not begun; `stack` in bytes, or 0 for the
/// library's default.
pub fn sleepers(operations: u64, depth: u32, stack: usize) -> io::Result<()> {
    corio::run(|| -> io::Result<()> {
        let before = figures::memory()?;
        let stopwatch = Stopwatch::start();
        let asleep = Rc::new(Cell::new(0));
        for _ in 0..operations {
            let asleep = Rc::clone(&asleep);
            let builder = if stack == 0 { Builder::new() } else { Builder::new().stack_size(stack) };
            let sleeper = builder.spawn(move || {
                asleep.set(asleep.get() + 1);
                holding::<LOCALS, _, _>(depth, &|| corio::sleep(DAY))
            })?;
            drop(sleeper); // it sleeps on
        }
        let unstarted = figures::memory()?;
        while asleep.get() < operations {
            corio::yield_now()?;
        }
        figures::print_sleepers(operations, [before, unstarted, figures::memory()?], &stopwatch);
        std::process::exit(0); // nobody waits for a million tasks to be cancelled one by one
    })
}

thread_local! {
    // The way from a callback, which has to be `Send`, to the task's scope, which is not: both are on the loop's thread.
    static BELL: RefCell<Option<Rc<CancelScope>>> = const { RefCell::new(None) };
}

/// Round trips between an OS thread and a task: a callback that ends the task's wait one way, `unpark` the other.
pub fn wake(operations: u64) -> io::Result<()> {
    corio::run(|| {
        let silence = TcpListener::bind(("127.0.0.1", 0))?; // something to wait for that arms no timer
        let event_loop = LoopHandle::current()?;
        let answered = Arc::new(AtomicU64::new(0));
        let ring = || BELL.with_borrow(|bell| bell.as_ref().expect("hung up below").cancel());
        measure("wake", operations, || {
            let asking = asking_thread(operations, Arc::clone(&answered), move || {
                event_loop.call_soon(ring).expect("the loop is there");
            });
            for round in 1..=operations {
                let bell = Rc::new(CancelScope::new());
                BELL.set(Some(Rc::clone(&bell)));
                answered.store(round, Ordering::Release);
                asking.thread().unpark();
                let heard = bell.run(|| silence.accept());
                debug_assert!(heard.is_err_and(|error| corio::is_cancelled(&error)));
            }
            asking.join().map_err(|_| io::Error::other("the asking thread panicked"))
        })
    })
}

/// Copies of a file, each by one call.
pub fn copy_file(mib: u64) -> io::Result<()> {
    corio::run(|| transfer::copies("copyfile", mib, |from, to| fs::copy(from, to)))
}

/// Copies of a file, from one open file to the other.
pub fn copy_stream(mib: u64) -> io::Result<()> {
    let copy = |from: &Path, to: &Path| corio::io::copy(&mut File::open(from)?, &mut File::create(to)?);
    corio::run(|| transfer::copies("copystream", mib, copy))
}
