//! INTRO: who am I, who else is there. What stacks and graphs tell comes with `observe`.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::rc::Rc;

use crate::common::{panic_of, sim};
use corio::{all_tasks, call_soon, current, observe, secs, sleep, spawn, try_current, yield_now};

/// INTRO-01: a task is itself before and after it waited, whoever ran meanwhile; a callback is no task; outside a loop
/// there is none.
#[test]
fn a_task_knows_itself() {
    assert!(try_current().is_none());
    assert!(panic_of(|| current().id()).contains("task"));
    sim(|| {
        let tasks: Vec<_> = (2..12)
            .map(|id| {
                spawn(move || {
                    for _ in 0..5 {
                        assert_eq!(current().id(), id);
                        yield_now()?;
                    }
                    Ok(())
                })
            })
            .collect();
        let seen = Rc::new(Cell::new(false));
        let s = seen.clone();
        call_soon(move || s.set(try_current().is_none()));
        for task in tasks {
            task.join()?;
            assert_eq!(current().name(), "main");
        }
        assert!(seen.get());
        Ok(())
    })
    .unwrap();
}

/// INTRO-02: all tasks of the loop that are not done, and none that is.
#[test]
fn all_tasks_are_those_that_are_not_done() {
    assert!(all_tasks().is_empty());
    sim(|| {
        let ids = || all_tasks().iter().map(|task| task.id()).collect::<Vec<_>>();
        assert_eq!(ids(), [1]);
        let (quick, slow) = (spawn(|| Ok(())), spawn(|| sleep(secs(1))));
        assert_eq!(ids(), [1, 2, 3], "those that have not begun as well");
        yield_now()?;
        assert_eq!(ids(), [1, 3]);
        slow.join()?;
        assert_eq!(ids(), [1]);
        quick.join()
    })
    .unwrap();
}

/// INTRO-07: outside a loop there is nothing to draw, and the dump says so; in a callback it shows the tasks, and none of
/// them as the running one.
#[test]
fn a_dump_outside_a_loop_says_that_there_is_none() {
    assert_eq!(observe::dump(), "no event loop runs on this thread\n");
    sim(|| {
        let text = Rc::new(std::cell::RefCell::new(String::new()));
        let t = text.clone();
        call_soon(move || *t.borrow_mut() = observe::dump());
        sleep(secs(1))?;
        assert!(text.borrow().contains("main (1)"), "{}", text.borrow());
        assert!(!text.borrow().contains("running"), "{}", text.borrow());
        Ok(())
    })
    .unwrap();
}

/// INTRO-08: a task prints its name, its state, where its function stands, what it waits for and where, and how often it
/// was asked to end.
#[test]
fn a_task_prints_what_it_does() {
    sim(|| {
        let task = spawn(|| {
            let _ = sleep(secs(5));
            corio::shield(secs(9), || sleep(secs(5)))
        });
        task.set_name("sleeper");
        let fresh = format!("{:?}", task.task());
        assert!(fresh.contains("\"sleeper\"") && fresh.contains("Ready") && !fresh.contains("waits"), "{fresh}");
        assert!(fresh.contains("spawned_at: tests/conformance/introspection.rs:"), "{fresh}");
        yield_now()?;
        let waits = format!("{:?}", task.task());
        assert!(waits.contains("Parked") && waits.contains("Sleep") && waits.contains("introspection.rs"), "{waits}");
        assert!(!waits.contains("cancelling"), "{waits}");
        task.cancel();
        task.cancel();
        let asked = format!("{:?}", task.task());
        assert!(asked.contains("cancelling: 2"), "{asked}");
        let watched = task.task();
        task.join()?; // it swallowed the cancellation
        let done = format!("{watched:?}");
        assert!(done.contains("Done") && !done.contains("waits"), "{done}");
        Ok(())
    })
    .unwrap();
}

#[inline(never)]
fn a_plain_function_that_waits() -> std::io::Result<String> {
    yield_now()?;
    std::hint::black_box(Ok(Backtrace::force_capture().to_string()))
}

#[inline(never)]
fn a_plain_function_that_calls_it() -> std::io::Result<String> {
    std::hint::black_box(a_plain_function_that_waits())
}

/// INTRO-09: the frames of a task are those of its real stack: every plain function in between, and nothing of whoever
/// spawned it.
#[test]
fn a_tasks_frames_are_its_real_stack() {
    #[inline(never)]
    fn the_spawner() -> std::io::Result<String> {
        std::hint::black_box(spawn(a_plain_function_that_calls_it).join())
    }
    let frames = sim(the_spawner).unwrap();
    let at = |name: &str| frames.find(name);
    let (inner, outer) = (at("a_plain_function_that_waits"), at("a_plain_function_that_calls_it"));
    assert!(inner.is_some() && inner < outer, "{frames}");
    assert!(at("the_spawner").is_none(), "{frames}");
}
