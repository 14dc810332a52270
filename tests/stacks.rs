//! In which calls paused tasks stand: the feature `backtrace`.

#![cfg(all(feature = "backtrace", feature = "observe"))]

use std::cell::OnceCell;
use std::hint::black_box;
use std::sync::mpsc;
use std::{io, thread};

use corio::observe::event::Record;
use corio::observe::{Names, Recording, Stepper, dump_stacks};
use corio::{Builder, Coroutine, Runner, aio, gather, millis, secs, sleep, sync::Mutex, yield_now};

mod common;
use common::{Written, watchdog};

macro_rules! chain {
    ($($name:ident calls $next:ident)*) => { $(
        #[inline(never)]
        fn $name(n: u64) -> io::Result<u64> {
            Ok(black_box($next(n)?) + 1) // not a tail call
        }
    )* };
}

chain! { breakfast calls kitchen kitchen calls stove stove calls kettle kettle calls water }

#[inline(never)]
fn water(n: u64) -> io::Result<u64> {
    sleep(secs(n))?;
    Ok(black_box(n))
}

/// What stands below the line that names a task, up to the next.
fn stack_of<'a>(text: &'a str, task: &str) -> Vec<&'a str> {
    let below = text.lines().skip_while(|line| *line != format!("{task} stands in")).skip(1);
    below.take_while(|line| line.starts_with("    ")).collect()
}

#[test]
fn t06_all_calls_of_a_task_are_named_from_the_innermost_up() {
    let _watchdog = watchdog();
    let text = Runner::new().virtual_clock().run(|| {
        let _cook = Builder::new().name("cook").spawn(|| breakfast(5))?;
        let _late = Builder::new().name("late").spawn(|| breakfast(5))?;
        yield_now()?;
        let _new = Builder::new().name("new").spawn(|| breakfast(5))?;
        let _future = aio::spawn_local(async { aio::sleep(secs(5)).await });
        Ok(dump_stacks())
    });
    let text = text.unwrap();
    let stack = stack_of(&text, "cook (2)");
    let calls = ["water", "kettle", "stove", "kitchen", "breakfast"];
    assert!(stack.len() >= 5, "{text}");
    for (line, call) in stack.iter().zip(calls) {
        assert!(line.contains(&format!("::{call} ")) && line.contains("stacks.rs:"), "{line:?} is not {call}:\n{text}");
    }
    assert!(!text.contains("corio::task"), "{text}");
    assert_eq!(stack.len(), stack_of(&text, "late (3)").len());
    assert!(text.contains("\nmain (1) runs\n"), "{text}");
    assert!(text.contains("\nnew (4) has not begun\n"), "{text}");
}

#[test]
fn a_future_has_no_stack_between_two_polls() {
    let _watchdog = watchdog();
    let text = Runner::new().virtual_clock().run(|| {
        let _future = aio::spawn_local(async { aio::sleep(secs(5)).await });
        yield_now()?;
        Ok(dump_stacks())
    });
    assert!(text.as_ref().unwrap().contains("task-2 (2) is a future, which has no stack"), "{text:?}");
}

/// What the compiler makes where a panic is caught is no call of the program either.
#[test]
fn where_panics_are_caught_is_not_shown() {
    let _watchdog = watchdog();
    let text = Runner::new().virtual_clock().run(|| {
        let catches = || std::panic::catch_unwind(|| kettle(5)).expect("it does not panic");
        let _careful = Builder::new().name("careful").spawn(catches)?;
        yield_now()?;
        Ok(dump_stacks())
    });
    let text = text.unwrap();
    let stack = stack_of(&text, "careful (2)").join("\n");
    assert!(stack.contains("::water ") && stack.contains("where_panics_are_caught"), "{text}");
    assert!(!stack.contains("__rust_try"), "{text}");
}

/// A body that sleeps stands on a stack of its own, on top of its task's: both are shown.
#[test]
fn a_coroutine_that_waits_is_part_of_its_tasks_stack() {
    let _watchdog = watchdog();
    let text = Runner::new().virtual_clock().run(|| {
        let _task = Builder::new().name("outer").spawn(|| {
            let mut inner = Coroutine::<(), u64, u64>::new(|_| kettle(5));
            drop(inner.next());
            Ok(())
        })?;
        yield_now()?;
        Ok(dump_stacks())
    });
    let text = text.unwrap();
    let stack = stack_of(&text, "outer (2)").join("\n");
    assert!(stack.contains("::water ") && stack.contains("::kettle "), "{text}");
    assert!(stack.contains("a_coroutine_that_waits"), "the task's own frames are missing:\n{text}");
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "its variables lie on another stack")]
fn a_task_that_stands_too_deep_is_not_asked() {
    let _watchdog = watchdog();
    #[inline(never)]
    fn deeper(bottom: usize) -> io::Result<u64> {
        let here = 0_u8;
        let n = if std::ptr::from_ref(&here).addr() < bottom { water(5)? } else { deeper(bottom)? };
        Ok(black_box(n) + 1)
    }
    let text = Runner::new().virtual_clock().run(|| {
        let diver = Builder::new().name("diver").stack_size(64 * 1024).spawn(|| {
            let top = 0_u8;
            deeper(std::ptr::from_ref(&top).addr() - 52 * 1024)
        })?;
        yield_now()?;
        let text = dump_stacks();
        assert!(diver.join()? > 5); // it goes on as if nothing had been
        Ok(text)
    });
    assert!(text.as_ref().unwrap().contains("diver (2) stands too deep"), "{text:?}");
}

/// Names are looked up on the stack of whoever asks.
#[test]
fn who_asks_on_a_small_stack_is_told_that_it_is_too_small() {
    let _watchdog = watchdog();
    let text = Runner::new().virtual_clock().run(|| {
        let _sleeper = Builder::new().name("sleeper").spawn(|| water(5))?;
        yield_now()?;
        let small = Builder::new().stack_size(32 * 1024).spawn(|| Ok(dump_stacks()))?.join()?;
        let large = Builder::new().stack_size(256 * 1024).spawn(|| Ok(dump_stacks()))?.join()?;
        Ok([small, large])
    });
    let [small, large] = text.unwrap();
    assert!(small.contains("sleeper (2)  parked") && small.contains("\nno room on this stack"), "{small}");
    assert!(!stack_of(&large, "sleeper (2)").is_empty(), "{large}");
}

/// Variables of a thread go one after the other, and the last of them may run a loop.
#[test]
fn a_loop_in_the_destructor_of_a_thread_local_can_be_asked() {
    fn asked() -> String {
        let text = Runner::new().virtual_clock().run(|| {
            let _sleeper = Builder::new().name("sleeper").spawn(|| water(5))?;
            yield_now()?;
            Ok(dump_stacks())
        });
        text.unwrap()
    }
    struct Late(mpsc::Sender<String>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.0.send(asked()).unwrap();
        }
    }
    thread_local! {
        static LATE: OnceCell<Late> = const { OnceCell::new() };
    }
    let _watchdog = watchdog();
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        // The first of its variables, so that it goes after those that the library may have.
        LATE.with(|late| late.set(Late(sender)).is_ok());
        asked();
    });
    thread.join().unwrap();
    let text = receiver.recv().unwrap();
    assert!(!stack_of(&text, "sleeper (2)").is_empty(), "{text}");
}

/// A look at everything whenever anything has happened, and the run is the same, record for record.
#[test]
fn t06_a_dump_changes_nothing() {
    let _watchdog = watchdog();
    fn program() -> io::Result<u64> {
        let lock = Mutex::new(0);
        let sum = gather(0..5, |n| {
            let mut lock = lock.lock()?;
            sleep(millis(10 * n))?;
            *lock += kettle(1)?;
            yield_now()?;
            Ok(*lock)
        });
        Ok(sum?.iter().sum())
    }
    let run = |looks: bool| {
        let recording = Recording::new();
        let mut runner = Runner::new().virtual_clock().observer(recording.clone());
        let seen = std::rc::Rc::new(std::cell::Cell::new(0));
        if looks {
            let seen = seen.clone();
            runner = runner.observer(move |_: &Record, _: &Names| {
                seen.set(seen.get() + dump_stacks().matches("::water ").count())
            });
        }
        let result = runner.run(program).unwrap();
        (result, recording.records(), seen.get())
    };
    let ((result, records, _), (looked, again, seen)) = (run(false), run(true));
    assert_eq!((result, records), (looked, again));
    assert!(seen > 20, "{seen}");
}

/// In the live stepper, `b` shows a stack: of a record there is none.
#[test]
fn the_live_stepper_shows_stacks() {
    let _watchdog = watchdog();
    let seen = Written::default();
    let stepper = Stepper::live().observe(&b"b\nb cook\nt\nb main\nb cook\np\nb cook\nr\nb\nq\n"[..], seen.clone());
    Runner::new()
        .virtual_clock()
        .observer(stepper)
        .run(|| Builder::new().name("cook").spawn(|| breakfast(5))?.join())
        .unwrap();
    let text = seen.text();
    let answers: Vec<&str> = text.split("> ").skip(1).map(|answer| answer.lines().next().unwrap_or_default()).collect();
    assert!(answers[0].contains("main (1) runs"), "{text}");
    assert!(answers[1].contains("no task is called `cook`"), "{text}");
    assert!(answers[3].contains("main (1) stands in"), "{text}");
    assert!(answers[4].contains("cook (2) stands in") && text.contains("::kettle "), "{text}");
    assert!(answers[6].contains("this is the past"), "history has no stacks:\n{text}");
    assert!(answers[8].contains("only what runs has a stack"), "{text}");
}
