//! Cancelling: what a task sees, what whoever waits for it sees, and what is left of it.

use std::cell::OnceCell;
use std::fmt::Display;
use std::io;
use std::rc::Rc;

use corio::{
    Cause, Event, JoinHandle, Task, call_later, cancel_cause, current, is_cancelled, millis, secs, shield, sleep, spawn, yield_now,
};

use crate::{failure, kind, yes};

/// How a task ended.
fn result<T: Display>(task: JoinHandle<T>) -> String {
    match task.join() {
        Ok(value) => value.to_string(),
        Err(error) => kind(&error),
    }
}

fn a_sleeper() -> io::Result<()> {
    let handle = spawn(|| {
        sleep(secs(5)).inspect_err(|_| say!("child is cancelled"))?;
        say!("never");
        Ok("never")
    });
    let task = handle.task();
    sleep(secs(1))?;
    say!("asked: {} done: {} requests: {}", yes(task.cancel()), yes(task.is_done()), task.cancelling());
    say!("main caught: {}", result(handle));
    say!("cancelled: {}", yes(task.cancelled()));
    Ok(())
}

fn before_it_began() -> io::Result<()> {
    let handle = spawn(|| {
        say!("never");
        Ok("never")
    });
    let task = handle.task();
    task.cancel();
    say!("{} {}", result(handle), yes(task.cancelled()));
    Ok(())
}

fn when_it_is_done() -> io::Result<()> {
    let handle = spawn(|| Ok(7));
    let task = handle.task();
    sleep(secs(1))?;
    say!("asked: {}", yes(task.cancel()));
    say!("{} cancelled: {}", result(handle), yes(task.cancelled()));
    Ok(())
}

fn an_answer_all_the_same() -> io::Result<()> {
    let handle = spawn(|| {
        if sleep(secs(5)).is_err() {
            say!("not now");
        }
        Ok(5)
    });
    let task = handle.task();
    sleep(secs(1))?;
    task.cancel();
    say!("{} cancelled: {} requests: {}", result(handle), yes(task.cancelled()), task.cancelling());
    Ok(())
}

fn uncancel_and_go_on() -> io::Result<()> {
    let handle = spawn(|| {
        if sleep(secs(5)).is_err() {
            say!("requests left: {}", current().uncancel());
        }
        sleep(secs(5))?;
        Ok("finished")
    });
    let task = handle.task();
    sleep(secs(1))?;
    task.cancel();
    say!("{} cancelled: {} requests: {}", result(handle), yes(task.cancelled()), task.cancelling());
    Ok(())
}

fn swallow_and_go_on() -> io::Result<()> {
    let task = spawn(|| {
        for _ in 0..3 {
            match sleep(secs(5)) {
                Ok(()) => say!("slept"),
                Err(_) => say!("swallowed"),
            }
        }
        Ok("finished")
    });
    sleep(secs(1))?;
    task.cancel();
    say!("{}", result(task));
    Ok(())
}

fn two_requests_are_one_cancellation() -> io::Result<()> {
    let task = spawn(|| {
        sleep(secs(5)).inspect_err(|_| say!("cancelled; requests: {}", current().cancelling()))?;
        Ok("never")
    });
    sleep(secs(1))?;
    task.cancel();
    task.cancel();
    say!("{}", result(task));
    Ok(())
}

fn in_the_order_of_the_requests() -> io::Result<()> {
    let [a, b, c] = ["a", "b", "c"].map(|name| {
        spawn(move || {
            let slept = sleep(secs(5));
            say!("{name}");
            slept.map(|()| name)
        })
    });
    sleep(secs(1))?;
    for task in [&c, &a, &b] {
        task.cancel();
    }
    for task in [a, b, c] {
        result(task);
    }
    Ok(())
}

fn innermost_first() -> io::Result<()> {
    fn innermost() -> io::Result<()> {
        let slept = sleep(secs(5));
        say!("innermost");
        slept
    }

    fn outer(name: &str, inner: impl FnOnce() -> io::Result<()> + 'static) -> io::Result<()> {
        let handle = spawn(inner);
        let task = handle.task();
        let joined = handle.join();
        say!("{name}; inner done: {}", yes(task.is_done()));
        joined
    }

    let task = spawn(|| {
        outer("outermost", || outer("middle", innermost))?;
        Ok("never")
    });
    sleep(secs(1))?;
    task.cancel();
    say!("{}", result(task));
    Ok(())
}

fn the_inner_one_swallows_it() -> io::Result<()> {
    fn inner() -> io::Result<i32> {
        if sleep(secs(5)).is_err() {
            say!("inner swallows it");
        }
        Ok(3)
    }

    let task = spawn(|| {
        say!("outer got {}", spawn(inner).join()?);
        sleep(secs(5))?;
        say!("outer goes on");
        Ok("finished")
    });
    sleep(secs(1))?;
    task.cancel();
    say!("{}", result(task));
    Ok(())
}

fn a_child_was_cancelled_and_not_me() -> io::Result<()> {
    let handle = spawn(|| {
        sleep(secs(5))?;
        Ok("never")
    });
    let task = handle.task();
    call_later(secs(1), move || {
        task.cancel();
    });
    say!("{} my requests: {}", result(handle), current().cancelling());
    sleep(secs(1))?;
    say!("main goes on");
    Ok(())
}

fn of_oneself() -> io::Result<()> {
    let task = spawn(|| {
        current().cancel();
        say!("still running");
        yield_now()?;
        say!("never");
        Ok("never")
    });
    say!("{}", result(task));
    Ok(())
}

fn of_oneself_and_a_value() -> io::Result<()> {
    let handle = spawn(|| {
        current().cancel();
        Ok(7)
    });
    let task = handle.task();
    say!("{} cancelled: {}", result(handle), yes(task.cancelled()));
    Ok(())
}

fn a_reason() -> io::Result<()> {
    let task = spawn(|| {
        sleep(secs(5)).inspect_err(|_| {
            if let Some(Cause::Requested(Some(why))) = cancel_cause() {
                say!("why: {why}");
            }
        })?;
        Ok("never")
    });
    sleep(secs(1))?;
    task.cancel_because("no longer needed");
    say!("{}", result(task));
    Ok(())
}

fn clean_up_that_waits() -> io::Result<()> {
    let task = spawn(|| {
        let slept = sleep(secs(5));
        say!("closing");
        shield(secs(10), || {
            sleep(secs(1))?;
            sleep(secs(1))
        })?;
        say!("closed");
        slept.map(|()| "never")
    });
    sleep(secs(1))?;
    task.cancel();
    say!("{}", result(task));
    Ok(())
}

fn another_cancel_during_clean_up() -> io::Result<()> {
    let task = spawn(|| {
        let slept = sleep(secs(5));
        say!("closing");
        match shield(secs(10), || sleep(secs(3))) {
            Ok(()) => say!("closed"),
            Err(_) => say!("clean-up is cut short"),
        }
        slept.map(|()| "never")
    });
    sleep(secs(1))?;
    task.cancel();
    sleep(secs(1))?;
    task.cancel();
    say!("{}", result(task));
    Ok(())
}

fn clean_up_that_fails() -> io::Result<()> {
    let task = spawn(|| {
        sleep(secs(5)).map_err(|_| failure("clean-up failed"))?;
        Ok("never")
    });
    sleep(secs(1))?;
    task.cancel();
    say!("{}", result(task));
    Ok(())
}

fn an_error_of_its_own_counts_as() -> io::Result<()> {
    let handle = spawn(|| {
        sleep(secs(5)).map_err(|_| failure("boom"))?;
        Ok("never")
    });
    let task = handle.task();
    sleep(secs(1))?;
    task.cancel();
    result(handle);
    say!("cancelled: {}", yes(task.cancelled()));
    Ok(())
}

fn in_the_turn_of_its_result() -> io::Result<()> {
    let target: Rc<OnceCell<Task>> = Rc::default();
    let canceller = spawn({
        let target = target.clone();
        move || {
            sleep(secs(1))?;
            target.get().unwrap().cancel();
            Ok(())
        }
    });
    let task = spawn(|| {
        sleep(secs(1))?;
        say!("child has slept");
        sleep(secs(1))?;
        say!("child goes on");
        Ok("finished")
    });
    target.set(task.task()).unwrap();
    say!("{}", result(task));
    canceller.join()
}

fn a_call_that_is_ready() -> io::Result<()> {
    let task = spawn(|| {
        let event = Event::new();
        event.set();
        current().cancel();
        event.wait()?;
        say!("a call that need not wait went well");
        sleep(secs(1))?;
        Ok("never")
    });
    say!("{}", result(task));
    Ok(())
}

fn the_waiter_is_cancelled_and_the_task_is_not() -> io::Result<()> {
    let work = spawn(|| {
        sleep(secs(3))?;
        say!("the work is done");
        Ok(7)
    });
    let worker = work.task();
    let task = spawn(move || {
        let waited = worker.wait();
        say!("the waiter ends");
        waited.map(|()| "never")
    });
    sleep(secs(1))?;
    task.cancel();
    say!("{} requests to the worker: {}", result(task), work.cancelling());
    say!("{}", result(work));
    Ok(())
}

fn a_worker_until_it_is_told_to_stop() -> io::Result<()> {
    let task = spawn(|| {
        let mut n = 0;
        let stopped = loop {
            n += 1;
            say!("step {n}");
            if let Err(error) = sleep(secs(1)) {
                break error;
            }
        };
        say!("stopped after {n}");
        Err::<&str, _>(stopped)
    });
    sleep(millis(2500))?;
    task.cancel();
    say!("{}", result(task));
    Ok(())
}

fn main_cancels_itself() -> io::Result<()> {
    current().cancel();
    sleep(secs(1)).inspect_err(|error| assert!(is_cancelled(error)))?;
    say!("never");
    Ok(())
}

scenarios! {
    a_sleeper,
    before_it_began,
    when_it_is_done,
    an_answer_all_the_same,
    uncancel_and_go_on,
    swallow_and_go_on differs because
        "a cancellation is a state: every call fails until the task ends or says `uncancel`",
    two_requests_are_one_cancellation,
    in_the_order_of_the_requests,
    innermost_first,
    the_inner_one_swallows_it differs because
        "what the joined task brings counts, and the one that joined it is still cancelled",
    a_child_was_cancelled_and_not_me,
    of_oneself,
    of_oneself_and_a_value differs because
        "success wins: a function that has returned a value has returned it",
    a_reason,
    clean_up_that_waits,
    another_cancel_during_clean_up differs because
        "clean-up that waits stands in a shield, and a shield holds against every request",
    clean_up_that_fails,
    an_error_of_its_own_counts_as differs because
        "whether a task was cancelled is read from its state, and not guessed from the error",
    in_the_turn_of_its_result differs because
        "success wins: the cancellation is met at the next call",
    a_call_that_is_ready differs because "every call looks for a cancellation, also one that need not wait",
    the_waiter_is_cancelled_and_the_task_is_not,
    a_worker_until_it_is_told_to_stop,
    main_cancels_itself,
}
