//! Coroutines and generators: Python's rules for them, and what happens when tasks, panics and scopes meet them.
//!
//! Ids in comments: GEN-xx is a behaviour of asyncio's generators, Rx a rule of the design.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use common::{Finally, Log, in_child, panic_text, watchdog};
use corio::net::{TcpListener, TcpStream};
use corio::{
    Builder, CancelScope, Coroutine, Generator, Runner, State, Yielder, call_soon, is_cancelled, is_timed_out, millis,
    no_suspend, run, scope, secs, shield, sleep, spawn, timeout, yield_now,
};

fn virtually<T>(main: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    Runner::new().virtual_clock().run(main)
}

/// A coroutine that echoes what it is sent, and notes what is thrown in.
fn echo(trace: &Log) -> Coroutine<u32, String, &'static str> {
    let trace = trace.clone();
    Coroutine::new(move |y| {
        let mut out = "ready".to_owned();
        loop {
            out = match y.yield_(out) {
                Ok(0) => return Ok("zero"),
                Ok(n) => format!("got {n}"),
                Err(error) if error.to_string() == "fatal" => return Err(error),
                Err(error) if error.to_string().contains("being closed") => return Err(error),
                Err(error) => {
                    trace.say(format!("met {error}"));
                    format!("met {error}")
                }
            };
        }
    })
}

fn count_to(n: u32) -> Generator<u32, &'static str> {
    Generator::new(move |y| {
        for i in 1..=n {
            y.yield_(i)?;
        }
        Ok("counted")
    })
}

fn collect<T: 'static, R: 'static>(generator: Generator<T, R>) -> io::Result<Vec<T>> {
    generator.collect()
}

// ---- Python's rules -------------------------------------------------------------------------------------------------

#[test]
fn what_is_sent_is_what_the_pending_yield_returns() -> io::Result<()> {
    let mut echo = echo(&Log::default());
    assert!(!echo.is_started());
    assert_eq!(echo.start()?, State::Yielded("ready".into()));
    assert!(echo.is_started() && !echo.is_done());
    assert_eq!(echo.send(7)?, State::Yielded("got 7".into()));
    assert_eq!(echo.send(0)?, State::Returned("zero"));
    assert!(echo.is_done());
    Ok(())
}

#[test]
fn sending_to_one_that_is_not_started_or_has_ended_is_refused_and_changes_nothing() -> io::Result<()> {
    let mut echo = echo(&Log::default());
    assert_eq!(echo.send(1).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert!(!echo.is_started());
    assert_eq!(echo.start()?, State::Yielded("ready".into()));
    assert_eq!(echo.start().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(echo.send(2)?, State::Yielded("got 2".into()));
    assert_eq!(echo.send(0)?, State::Returned("zero"));
    assert_eq!(echo.send(3).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(echo.start().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    Ok(())
}

#[test]
fn what_is_thrown_is_the_error_of_the_pending_yield_and_may_be_answered() -> io::Result<()> {
    let trace = Log::default();
    let mut echo = echo(&trace);
    let _ = echo.start()?;
    assert_eq!(echo.throw(io::Error::other("rain"))?, State::Yielded("met rain".into()));
    assert_eq!(echo.send(4)?, State::Yielded("got 4".into()));
    assert_eq!(echo.throw(io::Error::other("fatal")).unwrap_err().to_string(), "fatal");
    assert!(echo.is_done());
    assert_eq!(trace.lines(), ["met rain"]);
    Ok(())
}

#[test]
fn throwing_into_one_that_never_ran_or_has_ended_fails_with_that_error_and_runs_nothing() -> io::Result<()> {
    let trace = Log::default();
    let captured = trace.at_drop("captures");
    let ran = trace.clone();
    let mut fresh = Generator::<u32>::new(move |_| {
        let _captured = &captured;
        ran.say("ran");
        Ok(())
    });
    assert_eq!(fresh.throw(io::Error::other("early")).unwrap_err().to_string(), "early");
    assert_eq!(trace.lines(), ["captures"]);
    assert!(fresh.is_done() && fresh.next().is_none());
    assert_eq!(fresh.start().unwrap_err().kind(), io::ErrorKind::InvalidInput);

    let mut done = count_to(0);
    assert!(done.next().is_none());
    assert_eq!(done.throw(io::Error::other("late")).unwrap_err().to_string(), "late");
    assert_eq!(done.returned(), Some("counted"));
    Ok(())
}

#[test]
fn gen03_closing_or_dropping_one_that_never_ran_runs_nothing() -> io::Result<()> {
    let trace = Log::default();
    for close in [true, false] {
        let (ran, captured) = (trace.clone(), trace.at_drop("captures"));
        let mut fresh = Generator::<u32>::new(move |_| {
            let _captured = &captured;
            ran.say("ran");
            Ok(())
        });
        if close {
            fresh.close()?;
            fresh.close()?;
            assert!(fresh.is_done() && fresh.next().is_none());
        } else {
            drop(fresh);
        }
        assert_eq!(trace.lines(), ["captures"]);
    }
    Ok(())
}

#[test]
fn gen02_close_runs_the_clean_up_once_and_a_second_close_does_nothing() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    let mut generator = Generator::<u32>::new(move |y| {
        let _first = inside.at_drop("first");
        let _second = inside.at_drop("second");
        for i in 0.. {
            y.yield_(i)?;
        }
        Ok(())
    });
    assert_eq!(generator.next().unwrap()?, 0);
    assert_eq!(generator.next().unwrap()?, 1);
    generator.close()?;
    assert_eq!(trace.lines(), ["second", "first"]);
    generator.close()?;
    assert!(generator.is_done() && generator.next().is_none());
    drop(generator);
    assert!(trace.lines().is_empty());
    Ok(())
}

#[test]
fn a_body_may_answer_close_with_a_value_or_with_an_error_of_its_own() -> io::Result<()> {
    let mut valued = Coroutine::new(|y: &Yielder<(), u32>| Ok(if y.yield_(1).is_err() { "well" } else { "ill" }));
    let _ = valued.start()?;
    valued.close()?;
    assert_eq!(valued.returned(), Some("well"));
    assert_eq!(valued.returned(), None);

    let mut failing = Generator::<u32>::new(|y| y.yield_(1).map_err(|_| io::Error::other("the disk is full")));
    assert_eq!(failing.next().unwrap()?, 1);
    assert_eq!(failing.close().unwrap_err().to_string(), "the disk is full");
    assert!(failing.is_done());

    let mut busy = Coroutine::new(|y: &Yielder<(), u32>| {
        let _ = y.yield_(1);
        Ok("only a drop")
    });
    let _ = busy.start()?;
    drop(busy);
    Ok(())
}

#[test]
fn a_body_that_yields_again_after_close_is_unwound() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    let mut stubborn = Generator::<u32>::new(move |y| {
        let _local = inside.at_drop("local");
        for i in 0.. {
            let _ = y.yield_(i); // ignores that it is closed
        }
        Ok(())
    });
    assert_eq!(stubborn.next().unwrap()?, 0);
    stubborn.close()?;
    assert_eq!(trace.lines(), ["local (panicking)"]);
    assert!(stubborn.is_done() && !std::thread::panicking());
    Ok(())
}

#[test]
fn a_body_that_catches_even_that_is_given_up_and_the_thread_goes_on() -> io::Result<()> {
    let mut immortal = Generator::<u32>::new(|y| {
        loop {
            let _ = catch_unwind(AssertUnwindSafe(|| y.yield_(1)));
        }
    });
    assert_eq!(immortal.next().unwrap()?, 1);
    let error = immortal.close().unwrap_err();
    assert!(error.to_string().contains("ignored that it was closed"), "{error}");
    assert!(immortal.is_done() && immortal.next().is_none() && !std::thread::panicking());
    drop(immortal);
    assert_eq!(collect(count_to(3))?, [1, 2, 3]);
    run(|| sleep(millis(1)))
}

/// R5: a destructor that goes on trying to yield, while its own stack unwinds, must not be switched away from: whoever
/// resumed it would find itself panicking, for ever.
#[test]
fn a_destructor_that_keeps_yielding_while_it_unwinds_does_not_poison_the_thread() -> io::Result<()> {
    let refused = Rc::new(Cell::new(0));
    let count = refused.clone();
    let body = move |y: &Yielder<(), u32>, count: Rc<Cell<u32>>| {
        let _stubborn = Finally(|| {
            for _ in 0..1_000 {
                if y.yield_(9).is_err() {
                    count.set(count.get() + 1);
                }
            }
        });
        y.yield_(1)?;
        panic!("the body's own");
    };
    let mut generator = Generator::<u32>::new(move |y| body(y, count));
    assert_eq!(generator.next().unwrap()?, 1);
    let payload = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
    assert_eq!(panic_text(&*payload), "the body's own");
    assert_eq!(refused.get(), 1_000);
    assert!(!std::thread::panicking());
    run(|| sleep(millis(1)))
}

/// The same, in the unwinding of a body that yields again after it was closed.
#[test]
fn a_destructor_that_keeps_yielding_after_close_does_not_poison_the_thread() -> io::Result<()> {
    let mut generator = Generator::<u32>::new(|y| {
        let _stubborn = Finally(|| (0..1_000).for_each(|_| assert!(y.yield_(9).is_err())));
        loop {
            let _ = y.yield_(1);
        }
    });
    assert_eq!(generator.next().unwrap()?, 1);
    generator.close()?;
    assert!(generator.is_done() && !std::thread::panicking());
    run(|| sleep(millis(1)))
}

#[test]
fn gen07_an_error_of_the_body_is_the_last_item_and_then_it_is_over() -> io::Result<()> {
    let mut failing = Generator::<u32>::new(|y| {
        y.yield_(1)?;
        Err(io::Error::other("out of paper"))
    });
    assert_eq!(failing.next().unwrap()?, 1);
    assert_eq!(failing.next().unwrap().unwrap_err().to_string(), "out of paper");
    assert!(failing.next().is_none() && failing.next().is_none());
    assert!(failing.is_done() && failing.returned().is_none());
    Ok(())
}

#[test]
fn the_iterator_is_fused_and_the_returned_value_waits_behind_it() -> io::Result<()> {
    let mut counting = count_to(2);
    assert_eq!(counting.by_ref().collect::<io::Result<Vec<_>>>()?, [1, 2]);
    assert!(counting.next().is_none() && counting.next().is_none());
    assert_eq!(counting.returned(), Some("counted"));
    assert_eq!(counting.returned(), None);
    Ok(())
}

#[test]
fn adaptors_may_leave_it_half_way() -> io::Result<()> {
    let mut counting = count_to(u32::MAX);
    let sum: u32 = counting.by_ref().take(4).sum::<io::Result<u32>>()?;
    assert_eq!(sum, 10);
    assert_eq!(counting.next().unwrap()?, 5);
    counting.close()
}

#[test]
fn yield_from_passes_values_in_and_out_and_gives_the_return_value() -> io::Result<()> {
    let trace = Log::default();
    let (sub_trace, seen) = (trace.clone(), trace.clone());
    let mut outer = Coroutine::new(move |y: &Yielder<u32, String>| {
        let word = y.yield_from(&mut echo(&sub_trace))?;
        seen.say(format!("sub returned {word}"));
        let last = y.yield_("after".into())?;
        Ok(last)
    });
    assert_eq!(outer.start()?, State::Yielded("ready".into()));
    assert_eq!(outer.send(5)?, State::Yielded("got 5".into()));
    assert_eq!(outer.throw(io::Error::other("rain"))?, State::Yielded("met rain".into()));
    assert_eq!(outer.send(0)?, State::Yielded("after".into()));
    assert_eq!(outer.send(8)?, State::Returned(8));
    assert_eq!(trace.lines(), ["met rain", "sub returned zero"]);
    Ok(())
}

#[test]
fn yield_from_passes_an_error_out_and_a_close_in() -> io::Result<()> {
    let trace = Log::default();
    let make = |trace: Log| {
        Coroutine::new(move |y: &Yielder<u32, String>| {
            let _outer = trace.at_drop("outer");
            let inner_trace = trace.clone();
            let mut sub = Coroutine::new(move |y: &Yielder<u32, String>| {
                let _inner = inner_trace.at_drop("inner");
                y.yield_("one".into())?;
                y.yield_("two".into())?;
                Ok(())
            });
            let result = y.yield_from(&mut sub);
            trace.say(format!("sub done: {}", sub.is_done()));
            result
        })
    };
    let mut failing = make(trace.clone());
    let _ = failing.start()?;
    assert_eq!(failing.throw(io::Error::other("fatal")).unwrap_err().to_string(), "fatal");
    assert_eq!(trace.lines(), ["inner", "sub done: true", "outer"]);

    let mut closing = make(trace.clone());
    let _ = closing.start()?;
    assert_eq!(closing.send(1)?, State::Yielded("two".into()));
    closing.close()?;
    assert_eq!(trace.lines(), ["inner", "sub done: true", "outer"]);

    let dropping = {
        let mut dropping = make(trace.clone());
        let _ = dropping.start()?;
        dropping
    };
    drop(dropping);
    assert_eq!(trace.lines(), ["inner", "sub done: true", "outer"]);
    Ok(())
}

#[test]
fn yield_from_a_generator_that_yields_from_a_generator() -> io::Result<()> {
    fn deep(levels: u32) -> Generator<u32, u32> {
        Generator::new(move |y| {
            y.yield_(levels)?;
            if levels == 0 { Ok(1) } else { Ok(1 + y.yield_from(&mut deep(levels - 1))?) }
        })
    }
    let mut generator = deep(20);
    let items = generator.by_ref().collect::<io::Result<Vec<_>>>()?;
    assert_eq!(items, (0..=20).rev().collect::<Vec<_>>());
    assert_eq!(generator.returned(), Some(21));
    Ok(())
}

// ---- suspension from any depth --------------------------------------------------------------------------------------

#[test]
fn it_pauses_from_any_depth() -> io::Result<()> {
    fn hanoi(y: &Yielder<(), (u8, u8)>, n: u32, from: u8, to: u8) -> io::Result<u64> {
        if n == 0 {
            return Ok(0);
        }
        let via = 6 - from - to;
        let before = hanoi(y, n - 1, from, via)?;
        y.yield_((from, to))?;
        Ok(before + 1 + hanoi(y, n - 1, via, to)?)
    }
    let mut moves = Generator::new(|y| hanoi(y, 10, 1, 3));
    let mut towers = [(1..=10).rev().collect::<Vec<u32>>(), vec![], vec![]];
    for step in moves.by_ref() {
        let (from, to) = step?;
        let disc = towers[usize::from(from) - 1].pop().unwrap();
        assert!(towers[usize::from(to) - 1].last().is_none_or(|below| *below > disc));
        towers[usize::from(to) - 1].push(disc);
    }
    assert_eq!(moves.returned(), Some(1023));
    assert_eq!(towers[2].len(), 10);
    Ok(())
}

#[test]
fn it_pauses_inside_a_closure_of_std_and_inside_a_callback_of_c() -> io::Result<()> {
    let mut sorting = Generator::<(u32, u32), Vec<u32>>::new(|y| {
        let mut numbers = vec![3, 1, 2];
        numbers.sort_by(|a, b| {
            y.yield_((*a, *b)).unwrap();
            a.cmp(b)
        });
        Ok(numbers)
    });
    assert!(sorting.by_ref().count() >= 2);
    assert_eq!(sorting.returned(), Some(vec![1, 2, 3]));

    thread_local!(static YIELDER: Cell<*const Yielder<(), u32>> = const { Cell::new(std::ptr::null()) });
    extern "C" fn compare(a: *const libc::c_void, b: *const libc::c_void) -> i32 {
        // SAFETY: `qsort` passes elements of the array below; the yielder's own body calls `qsort`.
        let (a, b, y) = unsafe { (*a.cast::<u32>(), *b.cast::<u32>(), &*YIELDER.get()) };
        let _ = y.yield_(a);
        a.cmp(&b) as i32
    }
    let mut sorting = Generator::<u32, [u32; 4]>::new(|y| {
        YIELDER.set(y);
        let mut numbers = [4, 2, 3, 1];
        // SAFETY: four elements of four bytes, and a function that compares them.
        unsafe { libc::qsort(numbers.as_mut_ptr().cast(), 4, 4, Some(compare)) };
        Ok(numbers)
    });
    assert!(sorting.by_ref().count() >= 3);
    assert_eq!(sorting.returned(), Some([1, 2, 3, 4]));
    Ok(())
}

// ---- a task that stands on generators' stacks -----------------------------------------------------------------------

/// A generator in a generator. The inner one's body is `inner`; each level has a local that tells of its end.
fn nested(trace: &Log, inner: impl FnOnce() -> io::Result<()> + 'static) -> Generator<u32> {
    let (outer, middle) = (trace.clone(), trace.clone());
    Generator::new(move |y| {
        let _local = outer.at_drop("outer");
        let generator = Generator::new(move |y| {
            let _local = middle.at_drop("inner");
            y.yield_(1)?;
            inner()?;
            y.yield_(2)?;
            Ok(())
        });
        for item in generator {
            y.yield_(item?)?;
        }
        Ok(())
    })
}

#[test]
fn gen01_a_body_that_waits_suspends_the_consumers_task_and_others_run() -> io::Result<()> {
    let trace = Log::default();
    let (consumer, ticker) = (trace.clone(), trace.clone());
    virtually(move || {
        let ticking = spawn(move || {
            for i in 0..3 {
                ticker.say(format!("tick {i}"));
                sleep(secs(1))?;
            }
            Ok(())
        });
        let start = corio::now();
        let inside = consumer.clone();
        for item in nested(&consumer, || sleep(millis(2500))) {
            inside.say(format!("item {} at {:?}", item?, corio::now() - start));
        }
        ticking.join()
    })?;
    let expected = ["item 1 at 0ns", "tick 0", "tick 1", "tick 2", "item 2 at 2.5s", "inner", "outer"];
    assert_eq!(trace.lines(), expected);
    Ok(())
}

#[test]
fn gen06_a_cancelled_task_meets_the_error_inside_the_generator_and_both_stacks_end_innermost_first() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    let task_trace = trace.clone();
    virtually(move || {
        let task = spawn(move || {
            let _local = task_trace.at_drop("task");
            let met = inside.clone();
            let body = move || sleep(secs(60)).inspect_err(|e| met.say(format!("met {}", is_cancelled(e))));
            for item in nested(&inside, body) {
                item?;
            }
            Ok(())
        });
        sleep(secs(1))?;
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()));
        Ok(())
    })?;
    assert_eq!(trace.lines(), ["met true", "inner", "outer", "task"]);
    Ok(())
}

#[test]
fn a_panic_crosses_both_generators_and_the_task() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    let body = move || -> io::Result<()> {
        sleep(secs(1))?;
        panic!("deep down");
    };
    virtually(move || {
        let task_trace = inside.clone();
        let task = spawn(move || {
            let _local = task_trace.at_drop("task");
            nested(&task_trace, body).try_for_each(|item| item.map(drop))
        });
        let payload = catch_unwind(AssertUnwindSafe(|| task.join())).unwrap_err();
        assert_eq!(panic_text(&*payload), "deep down");
        assert!(!std::thread::panicking());
        sleep(secs(1))
    })?;
    assert_eq!(trace.lines(), ["inner (panicking)", "outer (panicking)", "task (panicking)"]);
    Ok(())
}

#[test]
fn the_throw_of_a_shutdown_crosses_both_generators_and_the_task() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    let result = Runner::new().virtual_clock().grace(secs(1)).run(move || {
        let task_trace = inside.clone();
        drop(spawn(move || {
            let _local = task_trace.at_drop("task");
            // Ignores every cancellation: only the last resort ends it.
            let body = || {
                loop {
                    let _ = sleep(secs(60));
                }
            };
            nested(&task_trace, body).try_for_each(|item| item.map(drop))
        }));
        sleep(secs(1))
    });
    result?;
    assert_eq!(trace.lines(), ["inner (panicking)", "outer (panicking)", "task (panicking)"]);
    assert!(!std::thread::panicking());
    Ok(())
}

#[test]
fn gen09_dropping_ends_both_stacks_once_innermost_first_also_in_another_task() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let mut generator = nested(&inside, || sleep(secs(1)));
        assert_eq!(generator.next().unwrap()?, 1);
        let (drops, holder) = (inside.clone(), generator);
        spawn(move || {
            drops.say("dropping");
            drop(holder);
            drops.say("dropped");
        })
        .join()
    })?;
    assert_eq!(trace.lines(), ["dropping", "inner", "outer", "dropped"]);
    Ok(())
}

#[test]
fn one_generator_waits_in_task_after_task() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let who = inside.clone();
        let mut generator = Generator::<u32>::new(move |y| {
            let _local = who.at_drop("generator");
            for i in 0..4 {
                sleep(secs(1))?;
                who.say(format!("{} waited", corio::current().name()));
                y.yield_(i)?;
            }
            Ok(())
        });
        for i in 0..3 {
            let name = format!("consumer {i}");
            let task = corio::Builder::new().name(name).spawn(move || {
                let item = generator.next().unwrap()?;
                Ok((generator, item))
            })?;
            let item;
            (generator, item) = task.join()?;
            assert_eq!(item, i);
        }
        Ok(())
    })?;
    assert_eq!(trace.lines(), ["consumer 0 waited", "consumer 1 waited", "consumer 2 waited", "generator"]);
    Ok(())
}

#[test]
fn a_generator_reads_a_socket_inside_a_task_and_off_the_loop() -> io::Result<()> {
    let _watchdog = watchdog();
    fn lines(mut stream: TcpStream) -> Generator<u8> {
        Generator::new(move |y| {
            let mut byte = [0];
            while stream.read(&mut byte)? > 0 {
                y.yield_(byte[0])?;
            }
            Ok(())
        })
    }
    let in_task = run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let writer = spawn(move || {
            let mut stream = TcpStream::connect(address)?;
            for byte in b"abc" {
                stream.write_all(&[*byte])?;
                yield_now()?;
            }
            Ok(())
        });
        let read = collect(lines(listener.accept()?.0))?;
        writer.join()?;
        Ok(read)
    })?;
    assert_eq!(in_task, b"abc");

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let writer = std::thread::spawn(move || TcpStream::connect(address)?.write_all(b"xyz"));
    let read = collect(lines(listener.accept()?.0))?;
    writer.join().unwrap()?;
    assert_eq!(read, b"xyz");
    Ok(())
}

#[test]
fn off_the_loop_a_body_that_sleeps_sleeps_the_thread() -> io::Result<()> {
    let start = std::time::Instant::now();
    let generator = Generator::<u32>::new(|y| {
        sleep(millis(20))?;
        y.yield_(1)?;
        Ok(())
    });
    assert_eq!(collect(generator)?, [1]);
    assert!(start.elapsed() >= millis(20));
    Ok(())
}

#[test]
fn in_a_callback_a_generator_runs_but_its_body_cannot_wait() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    run(move || {
        let said = inside.clone();
        call_soon(move || {
            let kinds = Generator::<io::ErrorKind>::new(|y| {
                y.yield_(sleep(millis(1)).unwrap_err().kind())?;
                y.yield_(yield_now().unwrap_err().kind())?;
                Ok(())
            });
            kinds.for_each(|kind| said.say(format!("{:?}", kind.unwrap())));
        });
        sleep(millis(5))
    })?;
    assert_eq!(trace.lines(), ["InvalidInput", "InvalidInput"]);
    Ok(())
}

/// GEN-05: a generator that is dropped half way is closed on the spot.
#[test]
fn a_dropped_generators_clean_up_may_wait() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let start = corio::now();
        let cleaning = inside.clone();
        let mut generator = Generator::<u32>::new(move |y| {
            let stopped = y.yield_(1);
            sleep(secs(2))?;
            cleaning.say(format!("clean after {:?}", corio::now() - start));
            stopped
        });
        assert_eq!(generator.next().unwrap()?, 1);
        drop(generator);
        assert_eq!(corio::now() - start, secs(2));
        Ok(())
    })?;
    assert_eq!(trace.lines(), ["clean after 2s"]);
    Ok(())
}

// ---- panics ---------------------------------------------------------------------------------------------------------

#[test]
fn a_panic_of_the_body_reaches_whoever_resumed_it_and_then_it_is_over() {
    let mut generator = Generator::<u32>::new(|y| {
        y.yield_(1)?;
        std::panic::panic_any(42_u64);
    });
    assert_eq!(generator.next().unwrap().unwrap(), 1);
    let payload = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
    assert_eq!(payload.downcast_ref::<u64>(), Some(&42));
    assert!(generator.is_done() && generator.next().is_none());

    let mut at_once = Generator::<u32>::new(|_| panic!("before the first yield"));
    let payload = catch_unwind(AssertUnwindSafe(|| at_once.start())).unwrap_err();
    assert_eq!(panic_text(&*payload), "before the first yield");
    assert!(at_once.is_done());
    at_once.close().unwrap();
}

#[test]
fn a_destructor_that_panics_when_it_is_closed_reaches_whoever_closes_it() {
    let make = || {
        let mut generator = Generator::<u32>::new(|y| {
            let _local = Finally(|| panic!("in a destructor"));
            y.yield_(1)?;
            Ok(())
        });
        assert_eq!(generator.next().unwrap().unwrap(), 1);
        generator
    };
    let mut closed = make();
    let payload = catch_unwind(AssertUnwindSafe(|| closed.close())).unwrap_err();
    assert_eq!(panic_text(&*payload), "in a destructor");
    closed.close().unwrap();
    let payload = catch_unwind(AssertUnwindSafe(|| drop(make()))).unwrap_err();
    assert_eq!(panic_text(&*payload), "in a destructor");
    assert!(!std::thread::panicking());
}

#[test]
fn one_that_is_dropped_while_its_owner_panics_is_unwound_and_its_own_panic_goes_no_further() {
    let trace = Log::default();
    for misbehave in [false, true] {
        let inside = trace.clone();
        let mut generator = Generator::<u32>::new(move |y| {
            let _local = inside.at_drop("local");
            let stopped = y.yield_(1);
            assert!(!misbehave, "as well");
            stopped
        });
        let payload = catch_unwind(AssertUnwindSafe(move || {
            assert_eq!(generator.next().unwrap().unwrap(), 1);
            let _owned = generator;
            panic!("the owner's");
        }))
        .unwrap_err();
        assert_eq!(panic_text(&*payload), "the owner's");
        assert_eq!(trace.lines(), ["local (panicking)"]);
        assert!(!std::thread::panicking());
    }
}

#[test]
fn what_the_clean_up_panics_with_while_the_owner_panics_is_logged() {
    let name = "what_the_clean_up_panics_with_while_the_owner_panics_is_logged";
    let output = in_child(name, || {
        env_logger::Builder::new().filter_level(log::LevelFilter::Error).init();
        let mut generator = Generator::<u32>::new(|y| {
            let stopped = y.yield_(1);
            assert!(stopped.is_ok(), "the clean-up's");
            stopped
        });
        let payload = catch_unwind(AssertUnwindSafe(move || {
            assert_eq!(generator.next().unwrap().unwrap(), 1);
            let _owned = generator;
            panic!("the owner's");
        }))
        .unwrap_err();
        assert_eq!(panic_text(&*payload), "the owner's");
    });
    output.succeeded();
    let text = output.stderr;
    assert!(text.contains("panicked while it was dropped: the clean-up's"), "{text}");
}

/// R2: the clean-up of a generator waits for the children of the scopes that it opens, whoever drops it; while its
/// owner panics it cannot wait, so no child begins.
#[test]
fn a_dropped_generators_clean_up_may_open_a_scope_whose_children_end_first() -> io::Result<()> {
    let trace = Log::default();
    let make = |trace: Log| {
        Generator::<u32>::new(move |y| {
            let lent = trace.at_drop("lent");
            let stopped = y.yield_(1);
            scope(|s| {
                s.spawn(|| {
                    let _lent = &lent;
                    sleep(secs(1))?;
                    trace.say("child");
                    Ok(())
                });
                Ok(())
            })?;
            stopped
        })
    };
    let (inside, made) = (trace.clone(), make(trace.clone()));
    virtually(move || {
        let mut made = made;
        assert_eq!(made.next().unwrap()?, 1);
        spawn(move || drop(made)).join()?;
        assert_eq!(inside.lines(), ["child", "lent"]);

        let mut made = make(inside.clone());
        assert_eq!(made.next().unwrap()?, 1);
        let task = spawn(move || -> io::Result<()> {
            let _owned = made;
            panic!("the owner's")
        });
        let payload = catch_unwind(AssertUnwindSafe(|| task.join())).unwrap_err();
        assert_eq!(panic_text(&*payload), "the owner's");
        sleep(secs(5))
    })?;
    assert_eq!(trace.lines(), ["lent (panicking)"]);
    Ok(())
}

#[test]
fn an_obstinate_one_that_is_dropped_while_its_owner_panics_is_unwound() -> io::Result<()> {
    let mut generator = Generator::<u32>::new(|y| {
        loop {
            let _ = y.yield_(1);
        }
    });
    let payload = catch_unwind(AssertUnwindSafe(move || {
        assert_eq!(generator.next().unwrap().unwrap(), 1);
        let _owned = generator;
        panic!("the owner's");
    }))
    .unwrap_err();
    assert_eq!(panic_text(&*payload), "the owner's");
    assert!(!std::thread::panicking());
    run(|| sleep(millis(1)))
}

/// R5: what a destructor runs while the thread panics could not switch.
#[test]
fn nothing_is_resumed_while_the_thread_panics() {
    let trace = Log::default();
    let inside = trace.clone();
    let ran = trace.clone();
    let mut paused = count_to(9);
    assert_eq!(paused.next().unwrap().unwrap(), 1);
    let mut fresh = Generator::<u32>::new(move |_| {
        ran.say("ran");
        Ok(())
    });
    let payload = catch_unwind(AssertUnwindSafe(move || {
        let _consumer = Finally(move || {
            inside.say(format!("send: {:?}", paused.send(()).unwrap_err().kind()));
            inside.say(format!("start: {:?}", fresh.start().unwrap_err().kind()));
            // A `for` that ignores errors ends all the same.
            inside.say(format!("left: {}", paused.by_ref().flatten().count()));
            paused.close().unwrap();
        });
        panic!("the owner's");
    }))
    .unwrap_err();
    assert_eq!(panic_text(&*payload), "the owner's");
    assert_eq!(trace.lines(), ["send: InvalidInput", "start: InvalidInput", "left: 0"]);
}

#[test]
fn a_destructor_that_yields_while_its_body_panics_is_refused() {
    let refused = Rc::new(Cell::new(false));
    let said = refused.clone();
    let mut generator = Generator::<u32>::new(move |y| {
        let _local = Finally(|| said.set(y.yield_(2).is_err()));
        y.yield_(1)?;
        panic!("the body's own");
    });
    assert_eq!(generator.next().unwrap().unwrap(), 1);
    let payload = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
    assert_eq!(panic_text(&*payload), "the body's own");
    assert!(refused.get() && !std::thread::panicking());
}

/// A refusal by panic would be a second panic, in a destructor: the end of the process.
#[test]
fn a_destructor_that_yields_out_of_an_open_region_while_its_body_panics_is_refused() {
    let name = "a_destructor_that_yields_out_of_an_open_region_while_its_body_panics_is_refused";
    let output = in_child(name, || {
        run(|| {
            let mut generator = Generator::<u32>::new(|y| {
                timeout(secs(1), || -> io::Result<()> {
                    let _local = Finally(|| assert!(y.yield_(2).is_err()));
                    panic!("the body's own");
                })
            });
            let payload = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
            assert_eq!(panic_text(&*payload), "the body's own");
            sleep(millis(1))
        })
        .unwrap();
    });
    output.succeeded();
}

// ---- R6: a yielder belongs to one stack -----------------------------------------------------------------------------

#[test]
fn a_child_task_that_uses_its_parents_yielder_panics_and_the_scope_closes_normally() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let said = inside.clone();
        let mut generator = Generator::<u32>::new(move |y| {
            let _local = said.at_drop("generator");
            scope(|s| {
                let sibling = said.clone();
                s.spawn(move || {
                    let _local = sibling.at_drop("sibling");
                    sleep(secs(60))
                });
                s.spawn(|| y.yield_(7));
                sleep(secs(60))
            })
        });
        let payload = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
        let text = panic_text(&*payload);
        assert!(text.contains("only on the stack of the coroutine"), "{text}");
        assert!(generator.is_done());
        inside.say("after");
        sleep(secs(1))
    })?;
    assert_eq!(trace.lines(), ["sibling", "generator (panicking)", "after"]);
    Ok(())
}

#[test]
fn an_inner_generator_that_uses_its_outers_yielder_panics() {
    thread_local!(static OUTER: Cell<*const Yielder<(), u32>> = const { Cell::new(std::ptr::null()) });
    let mut outer = Generator::<u32>::new(|y| {
        OUTER.set(y);
        let mut inner = Generator::<u32>::new(|_| {
            // SAFETY: the outer generator is on the stack below this one.
            unsafe { &*OUTER.get() }.yield_(1)?;
            Ok(())
        });
        inner.start().map(drop)
    });
    let payload = catch_unwind(AssertUnwindSafe(|| outer.next())).unwrap_err();
    assert!(panic_text(&*payload).contains("only on the stack of the coroutine"));
}

#[test]
fn a_destructor_that_uses_a_foreign_yielder_while_it_panics_is_refused() {
    let name = "a_destructor_that_uses_a_foreign_yielder_while_it_panics_is_refused";
    let output = in_child(name, || {
        run(|| {
            let mut generator = Generator::<u32>::new(|y| {
                scope(|s| {
                    let child = s.spawn(|| -> io::Result<()> {
                        let _local = Finally(|| assert!(y.yield_(2).is_err()));
                        panic!("the child's own");
                    });
                    child.join()
                })
            });
            let payload = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
            assert_eq!(panic_text(&*payload), "the child's own");
            sleep(millis(1))
        })
        .unwrap();
    });
    output.succeeded();
}

// ---- R2: no yield out of an open region -----------------------------------------------------------------------------

#[test]
fn a_yield_out_of_an_open_scope_panics_after_its_children_have_ended() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let said = inside.clone();
        let mut generator = Generator::<u32>::new(move |y| {
            let borrowed = said.at_drop("borrowed");
            scope(|s| {
                let (borrowed, said) = (&borrowed, &said);
                s.spawn(move || {
                    let _local = said.at_drop("child");
                    let _used = borrowed;
                    sleep(secs(60))
                });
                yield_now()?;
                y.yield_(1)
            })
        });
        let payload = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
        let text = panic_text(&*payload);
        assert!(text.contains("a scope, time limit or shield"), "{text}");
        sleep(secs(1))
    })?;
    assert_eq!(trace.lines(), ["child", "borrowed (panicking)"]);
    Ok(())
}

#[test]
fn a_yield_out_of_a_time_limit_a_shield_or_a_cancel_scope_panics() -> io::Result<()> {
    type Region = fn(&Yielder<(), u32>) -> io::Result<()>;
    let regions: [Region; 5] = [
        |y| timeout(secs(1), || y.yield_(1)),
        |y| shield(secs(1), || y.yield_(1)),
        |y| CancelScope::new().run(|| y.yield_(1)),
        |y| timeout(secs(1), || scope(|_| y.yield_(1))),
        |y| {
            let mut sub = count_to(2);
            timeout(secs(1), || y.yield_from(&mut sub)).map(drop)
        },
    ];
    run(move || {
        for region in regions {
            let mut generator = Generator::<u32>::new(region);
            let payload = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
            let text = panic_text(&*payload);
            assert!(text.contains("cannot yield while"), "{text}");
            assert!(generator.is_done());
        }
        sleep(millis(1))
    })
}

#[test]
fn a_region_that_the_consumer_opened_around_the_generator_is_no_obstacle() -> io::Result<()> {
    virtually(|| {
        let mut generator = Generator::<u32>::new(|y| {
            timeout(secs(1), || sleep(millis(10)))?; // its own, but closed again
            y.yield_(1)?;
            sleep(secs(60))?;
            y.yield_(2)?;
            Ok(())
        });
        timeout(secs(10), || scope(|_| shield(secs(9), || generator.next().unwrap())))?;
        let error = timeout(secs(10), || generator.next().unwrap()).unwrap_err();
        assert!(is_timed_out(&error));
        assert!(generator.next().is_none());
        Ok(())
    })
}

/// What is recorded about the region belongs to the loop, and would be gone when the generator goes on.
#[test]
fn a_yield_out_of_no_suspend_panics() {
    let name = "a_yield_out_of_no_suspend_panics";
    let output = in_child(name, || {
        let generator = run(|| {
            let mut generator = Generator::<u32>::new(|y| no_suspend(|| y.yield_(1)));
            let payload = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
            assert!(panic_text(&*payload).contains("no_suspend"), "{}", panic_text(&*payload));
            yield_now()?; // the region is closed again
            Ok(generator)
        })
        .unwrap();
        drop(generator);
    });
    output.succeeded();
}

/// `no_suspend` is about the task: to take a value from a generator does not suspend it.
#[test]
fn a_generator_may_be_read_inside_no_suspend_but_its_body_cannot_wait_there() -> io::Result<()> {
    run(|| {
        assert_eq!(no_suspend(|| collect(count_to(3)))?, [1, 2, 3]);
        let mut waiting = Generator::<u32>::new(|_| yield_now());
        let payload = catch_unwind(AssertUnwindSafe(|| no_suspend(|| waiting.next()))).unwrap_err();
        assert!(panic_text(&*payload).contains("no_suspend"));
        yield_now()
    })
}

/// The loop of a `run` on a generator's stack drops the function of a child that never ran. There the generator must
/// not yield, or its consumer would find the thread inside a loop that stands still.
#[test]
fn a_yield_out_of_a_run_on_the_generators_own_stack_is_refused() {
    let name = "a_yield_out_of_a_run_on_the_generators_own_stack_is_refused";
    let output = in_child(name, || {
        let mut generator = Generator::<u32>::new(|y| {
            run(|| {
                scope(|s| {
                    let captured = Finally(|| drop(y.yield_(1)));
                    let child = s.spawn(move || {
                        let _captured = captured;
                        Ok(())
                    });
                    child.cancel();
                    drop(child);
                    yield_now()
                })
            })
        });
        if let Some(Ok(item)) = generator.next() {
            panic!("{item} came out of the loop");
        }
        assert_eq!(run(|| Ok(5)).unwrap(), 5);
    });
    output.succeeded();
}

// ---- forgotten, kept, moved -----------------------------------------------------------------------------------------

#[test]
fn a_forgotten_generator_is_leaked_and_nothing_else_happens() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let mut generator = nested(&inside, || sleep(secs(1)));
        assert_eq!(generator.next().unwrap()?, 1);
        std::mem::forget(generator);
        sleep(secs(1))
    })?;
    assert!(trace.lines().is_empty());
    run(|| sleep(millis(1)))
}

#[test]
fn a_generator_with_children_can_be_forgotten_only_between_its_scopes() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let said = inside.clone();
        let mut generator = Generator::<u32>::new(move |y| {
            let data = [1, 2, 3];
            let sum = scope(|s| {
                s.spawn(|| {
                    sleep(secs(1))?;
                    Ok(data.iter().sum::<u32>())
                })
                .join()
            })?;
            said.say("children are gone");
            y.yield_(sum)?;
            Ok(())
        });
        assert_eq!(generator.next().unwrap()?, 6);
        std::mem::forget(generator);
        assert_eq!(corio::all_tasks().len(), 1);
        sleep(secs(1))
    })?;
    assert_eq!(trace.lines(), ["children are gone"]);
    Ok(())
}

#[test]
fn a_generator_outlives_its_run_and_works_off_the_loop_and_in_the_next_run() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    let mut generator = virtually(move || {
        let mut generator = Generator::<u32>::new(move |y| {
            let _local = inside.at_drop("generator");
            for i in 0..4 {
                sleep(millis(1))?;
                y.yield_(i)?;
            }
            Ok(())
        });
        assert_eq!(generator.next().unwrap()?, 0);
        Ok(generator)
    })?;
    assert_eq!(generator.next().unwrap()?, 1);
    let mut generator = run(move || {
        assert_eq!(generator.next().unwrap()?, 2);
        Ok(generator)
    })?;
    assert_eq!(generator.next().unwrap()?, 3);
    assert!(trace.lines().is_empty());
    drop(generator);
    assert_eq!(trace.lines(), ["generator"]);
    Ok(())
}

#[test]
fn gen04_a_generator_that_a_detached_task_holds_ends_with_the_run() -> io::Result<()> {
    let trace = Log::default();
    let inside = trace.clone();
    virtually(move || {
        let mut generator = nested(&inside, || Ok(()));
        assert_eq!(generator.next().unwrap()?, 1);
        drop(spawn(move || {
            let _held = generator;
            sleep(secs(3600))
        }));
        sleep(secs(1))
    })?;
    assert_eq!(trace.lines(), ["inner", "outer"]);
    Ok(())
}

#[test]
fn many_generators_take_turns_and_all_stacks_come_back() -> io::Result<()> {
    for _ in 0..3 {
        let mut generators: Vec<_> = (0..500_u32).map(|n| count_to(n % 7)).collect();
        let mut sums = vec![0; generators.len()];
        while !generators.iter().all(Coroutine::is_done) {
            for (generator, sum) in generators.iter_mut().zip(&mut sums) {
                if let Some(item) = generator.next() {
                    *sum += item?;
                }
            }
        }
        for (n, sum) in (0..500_u32).zip(&sums) {
            assert_eq!(*sum, (0..=n % 7).sum());
        }
    }
    Ok(())
}

#[test]
fn generators_on_many_threads_are_strangers() {
    let threads: Vec<_> = (0..8)
        .map(|n| {
            std::thread::spawn(move || {
                let generators: Vec<_> = (0..50).map(|_| count_to(n)).collect();
                generators.into_iter().map(|g| g.map(Result::unwrap).sum::<u32>()).sum::<u32>()
            })
        })
        .collect();
    for (n, thread) in (0..8_u32).zip(threads) {
        assert_eq!(thread.join().unwrap(), 50 * (0..=n).sum::<u32>());
    }
}

#[test]
fn a_generator_in_a_generator_in_a_generator_that_are_dropped_half_way() -> io::Result<()> {
    fn onion(trace: Log, depth: u32) -> Generator<u32> {
        Generator::new(move |y| {
            let _local = trace.at_drop(depth.to_string());
            if depth > 0 {
                for item in onion(trace.clone(), depth - 1) {
                    y.yield_(item?)?;
                }
            }
            loop {
                y.yield_(depth)?;
            }
        })
    }
    let trace = Log::default();
    let mut generator = onion(trace.clone(), 30);
    assert_eq!(generator.next().unwrap()?, 0);
    drop(generator);
    assert_eq!(trace.lines(), (0..=30).map(|n| n.to_string()).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn two_that_hold_each_other_in_turns() -> io::Result<()> {
    let shared: Rc<RefCell<Option<Generator<u32>>>> = Rc::default();
    let partner = shared.clone();
    let mut first = Generator::<u32>::new(move |y| {
        loop {
            let mut other = partner.borrow_mut().take().expect("the partner is at home");
            let item = other.next().unwrap()?;
            partner.borrow_mut().replace(other);
            y.yield_(item * 10)?;
        }
    });
    *shared.borrow_mut() = Some(Generator::new(|y| {
        for i in 1.. {
            y.yield_(i)?;
        }
        Ok(())
    }));
    assert_eq!(first.next().unwrap()?, 10);
    assert_eq!(first.next().unwrap()?, 20);
    shared.borrow_mut().as_mut().unwrap().close()?;
    Ok(())
}

/// R5: two panics at once, and a destructor that does not stop yielding: the process ends. It must not go on with a
/// thread that counts as panicking for ever.
#[test]
fn a_destructor_that_keeps_yielding_under_two_panics_ends_the_process() {
    struct Yields<'a>(&'a Yielder<(), u32>);
    impl Drop for Yields<'_> {
        fn drop(&mut self) {
            for _ in 0..1_000 {
                let _ = self.0.yield_(1);
            }
        }
    }
    let output = in_child("a_destructor_that_keeps_yielding_under_two_panics_ends_the_process", || {
        let _ = catch_unwind(|| {
            let mut generator = Generator::<u32>::new(|y| {
                let _ = y.yield_(0);
                let _yields = Yields(y);
                panic!("the body's");
            });
            let _ = generator.next();
            panic!("the closer's");
        });
        // Not reached; if it is, the thread must be usable.
        assert!(std::thread::panicking(), "went on");
    });
    assert!(!output.status.success());
    assert!(!output.stderr.contains("went on"));
}

/// R2, R6: a function that is refused at once is dropped on the stack of whoever spawned it, and its destructor cannot take
/// that stack away.
#[test]
fn r2_r6_the_destructor_of_a_refused_eager_task_cannot_leave_the_scope_of_a_coroutine() {
    let _watchdog = watchdog();
    let trace = Log::default();
    let own = trace.clone();
    virtually(|| {
        let mut coroutine = Coroutine::new(move |y: &Yielder<(), u32>| {
            scope(|s| {
                s.cancel();
                let capture = Finally(|| {
                    let yielded = catch_unwind(AssertUnwindSafe(|| y.yield_(7)));
                    own.say(panic_text(&*yielded.expect_err("the scope is open")));
                });
                let refused = Builder::new().eager().spawn_scoped(s, move || drop(capture))?;
                assert!(refused.cancelled());
                Ok(())
            })?;
            y.yield_(1)
        });
        assert!(matches!(coroutine.start()?, State::Yielded(1)));
        assert!(matches!(coroutine.send(())?, State::Returned(())));
        Ok(())
    })
    .unwrap();
    let said = trace.lines().concat();
    assert!(said.contains("cannot yield out of"), "{said}");
}
