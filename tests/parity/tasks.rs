//! Tasks: what they return, how they fail, who is told.

use std::io;
use std::rc::Rc;

use corio::{Builder, Event, all_tasks, call_soon, current, scope, secs, set_exception_handler, shield, sleep, spawn, try_current, yield_now};

use crate::{failure, kind, yes};

fn results_in_any_order() -> io::Result<()> {
    fn square(n: u64, delay: u64) -> io::Result<u64> {
        sleep(secs(delay))?;
        Ok(n * n)
    }

    let (slow, fast) = (spawn(|| square(3, 2)), spawn(|| square(4, 1)));
    say!("slow: {}", slow.join()?);
    say!("fast: {}", fast.join()?);
    Ok(())
}

fn one_after_the_other_and_together() -> io::Result<()> {
    fn job(name: &str, delay: u64) -> io::Result<()> {
        say!("{name} begins");
        sleep(secs(delay))?;
        say!("{name} ends");
        Ok(())
    }

    job("a", 2)?;
    job("b", 1)?;
    let tasks = [spawn(|| job("c", 2)), spawn(|| job("d", 1))];
    for task in tasks {
        task.join()?;
    }
    Ok(())
}

fn an_error_reaches_whoever_waits() -> io::Result<()> {
    let handle = spawn(|| {
        sleep(secs(1))?;
        Err::<(), _>(failure("boom"))
    });
    let task = handle.task();
    if let Err(error) = handle.join() {
        say!("caught: {}", kind(&error));
    }
    say!("done: {} cancelled: {}", yes(task.is_done()), yes(task.cancelled()));
    Ok(())
}

fn an_error_waits_for_whoever_comes_late() -> io::Result<()> {
    let task = spawn(|| {
        say!("fails");
        Err::<(), _>(failure("boom"))
    });
    sleep(secs(5))?;
    say!("done: {}", yes(task.is_done()));
    if let Err(error) = task.join() {
        say!("caught: {}", kind(&error));
    }
    Ok(())
}

fn an_error_goes_through_those_who_do_not_catch_it() -> io::Result<()> {
    fn inner() -> io::Result<()> {
        sleep(secs(1))?;
        Err(failure("boom"))
    }

    fn middle() -> io::Result<()> {
        spawn(inner).join()?;
        say!("never");
        Ok(())
    }

    fn outer() -> io::Result<()> {
        spawn(middle).join()?;
        say!("never");
        Ok(())
    }

    if let Err(error) = spawn(outer).join() {
        say!("caught: {}", kind(&error));
    }
    Ok(())
}

fn main_fails() -> io::Result<()> {
    sleep(secs(1))?;
    Err(failure("boom"))
}

fn a_task_that_is_done_is_joined_at_once() -> io::Result<()> {
    let [first, second] = ["first", "second"].map(|name| spawn(move || say!("{name}")));
    sleep(secs(1))?;
    let third = spawn(|| say!("third"));
    first.join()?;
    second.join()?;
    say!("no turn was given up");
    third.join()
}

fn nobody_joins_and_it_runs_on() -> io::Result<()> {
    spawn(|| {
        sleep(secs(1))?;
        say!("child ends");
        Ok(())
    });
    say!("main goes on");
    sleep(secs(2))?;
    say!("main ends");
    Ok(())
}

fn main_ends_first() -> io::Result<()> {
    let task = spawn(|| {
        say!("child begins");
        let slept = sleep(secs(10));
        say!("child is ended");
        slept
    });
    sleep(secs(1))?;
    say!("main ends {}", yes(task.is_done()));
    Ok(())
}

fn clean_up_at_the_end_may_wait() -> io::Result<()> {
    let task = spawn(|| {
        let slept = sleep(secs(10));
        say!("closing");
        shield(secs(5), || sleep(secs(2)))?;
        say!("closed");
        slept
    });
    sleep(secs(1))?;
    say!("main ends {}", yes(task.is_done()));
    Ok(())
}

fn a_lost_error_is_reported() -> io::Result<()> {
    set_exception_handler(Some(Rc::new(|failure| {
        say!("reported: {}", failure.error().map(kind).unwrap_or_default());
    })));
    let task = spawn(|| {
        sleep(secs(1))?;
        Err::<(), _>(failure("boom"))
    });
    sleep(secs(2))?;
    say!("done: {}", yes(task.is_done()));
    drop(task);
    say!("the handle is gone");
    sleep(secs(1))
}

fn who_is_running() -> io::Result<()> {
    current().set_name("main");
    let task = Builder::new().name("child").spawn(|| {
        let me = current();
        say!("{} of {}", me.name(), all_tasks().len());
        sleep(secs(1))?;
        say!("still {} of {}", yes(current() == me), all_tasks().len());
        Ok(())
    })?;
    yield_now()?;
    say!("{}", current().name());
    sleep(secs(2))?;
    say!("{} is done: {} of {}", task.name(), yes(task.is_done()), all_tasks().len());
    Ok(())
}

fn a_callback_is_in_no_task() -> io::Result<()> {
    call_soon(|| say!("a task runs: {}", yes(try_current().is_some())));
    yield_now()?;
    say!("a task runs: {}", yes(try_current().is_some()));
    Ok(())
}

fn a_task_waits_for_itself() -> io::Result<()> {
    let task = spawn(|| {
        if current().wait().is_err() {
            say!("refused");
        }
        Ok(())
    });
    sleep(secs(1))?;
    task.join()
}

fn several_wait_for_one() -> io::Result<()> {
    let one = spawn(|| {
        sleep(secs(1))?;
        say!("done");
        Ok(())
    });
    let tasks = ["a", "b", "c"].map(|name| {
        let one = one.task();
        spawn(move || {
            one.wait()?;
            say!("{name} goes on");
            Ok(())
        })
    });
    for task in tasks {
        task.join()?;
    }
    Ok(())
}

fn a_tree_of_tasks() -> io::Result<()> {
    fn node(name: String, depth: u32) -> io::Result<()> {
        say!("{name} begins");
        if depth > 0 {
            let children = ["l", "r"].map(|side| {
                let name = format!("{name}{side}");
                spawn(move || node(name, depth - 1))
            });
            for child in children {
                child.join()?;
            }
            sleep(secs(1))?;
        }
        say!("{name} ends");
        Ok(())
    }

    spawn(|| node("t".to_owned(), 2)).join()
}

fn a_pause_deep_down() -> io::Result<()> {
    fn deep(n: u32) -> io::Result<u32> {
        if n == 0 {
            say!("at the bottom");
            sleep(secs(1))?;
            return Ok(0);
        }
        Ok(1 + deep(n - 1)?)
    }

    say!("depth {}", deep(50)?);
    Ok(())
}

fn a_loop_of_errors() -> io::Result<()> {
    fn attempt(n: u32) -> io::Result<&'static str> {
        sleep(secs(1))?;
        if n < 3 { Err(failure(format!("attempt {n}"))) } else { Ok("well") }
    }

    for n in 1..5 {
        match attempt(n) {
            Ok(answer) => {
                say!("{answer}");
                break;
            }
            Err(error) => say!("{}", kind(&error)),
        }
    }
    Ok(())
}

fn everybody_waits_for_nothing() -> io::Result<()> {
    let event = Event::new();
    scope(|s| {
        let task = s.spawn(|| {
            say!("waits");
            event.wait()
        });
        task.join()
    })
}

scenarios! {
    results_in_any_order,
    one_after_the_other_and_together,
    an_error_reaches_whoever_waits,
    an_error_waits_for_whoever_comes_late,
    an_error_goes_through_those_who_do_not_catch_it,
    main_fails,
    a_task_that_is_done_is_joined_at_once,
    nobody_joins_and_it_runs_on,
    main_ends_first,
    clean_up_at_the_end_may_wait,
    a_lost_error_is_reported,
    who_is_running,
    a_callback_is_in_no_task,
    a_task_waits_for_itself,
    several_wait_for_one,
    a_tree_of_tasks,
    a_pause_deep_down,
    a_loop_of_errors,
    everybody_waits_for_nothing,
}
