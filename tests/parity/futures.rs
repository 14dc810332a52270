//! Results that somebody else sets.

use std::io;

use corio::{Promise, Queue, call_later, scope, secs, sleep, spawn, timeout};

use crate::{failure, kind, yes};

fn somebody_sets_it() -> io::Result<()> {
    let promise = Promise::new();
    let task = spawn({
        let promise = promise.clone();
        move || {
            sleep(secs(1))?;
            say!("sets it");
            promise.set("done!").unwrap();
            say!("has set it");
            Ok(())
        }
    });
    say!("result: {}", promise.take()?);
    task.join()
}

fn a_callback_sets_it() -> io::Result<()> {
    let promise = Promise::new();
    call_later(secs(2), {
        let promise = promise.clone();
        move || promise.set(7).unwrap()
    });
    say!("{}", promise.take()?);
    Ok(())
}

fn it_fails() -> io::Result<()> {
    let promise = Promise::<()>::new();
    call_later(secs(1), {
        let promise = promise.clone();
        move || promise.fail(failure("boom")).unwrap()
    });
    if let Err(error) = promise.take() {
        say!("caught: {}", kind(&error));
    }
    Ok(())
}

fn it_was_set_before() -> io::Result<()> {
    let promise = Promise::new();
    promise.set(7).unwrap();
    let task = spawn(|| say!("other"));
    say!("{}", promise.take()?);
    task.join()
}

fn set_twice() -> io::Result<()> {
    let promise = Promise::new();
    promise.set(1).unwrap();
    if promise.set(2).is_err() {
        say!("refused");
    }
    say!("{}", promise.take()?);
    Ok(())
}

fn several_wait() -> io::Result<()> {
    let promise = &Promise::new();
    scope(|s| {
        for name in ["a", "b", "c"] {
            s.spawn(move || {
                say!("{name} got {}", promise.get()?);
                Ok(())
            });
        }
        sleep(secs(1))?;
        promise.set(7).unwrap();
        say!("set");
        Ok(())
    })
}

fn done_or_not() -> io::Result<()> {
    let promise = Promise::new();
    say!("done: {}", yes(promise.is_done()));
    promise.set(1).unwrap();
    say!("done: {}", yes(promise.is_done()));
    Ok(())
}

fn within_a_limit() -> io::Result<()> {
    let promise = Promise::<()>::new();
    if let Err(error) = timeout(secs(1), || promise.take()) {
        say!("{}", kind(&error));
    }
    Ok(())
}

fn the_waiter_is_cancelled() -> io::Result<()> {
    let promise = Promise::new();
    let task = spawn({
        let promise = promise.clone();
        move || promise.take()
    });
    sleep(secs(1))?;
    task.cancel();
    if let Err(error) = task.join() {
        say!("waiter: {}", kind(&error));
    }
    promise.set(7).unwrap();
    say!("and yet: {}", promise.take()?);
    Ok(())
}

fn nobody_will_set_it() -> io::Result<()> {
    Promise::new().take()
}

fn a_request_and_its_answer() -> io::Result<()> {
    let inbox = &Queue::new();
    let ask = |n| {
        let answer = Promise::<i32>::new();
        inbox.put((n, answer.clone()))?;
        say!("{n} -> {}", answer.take()?);
        Ok(())
    };
    scope(|s| {
        s.spawn(|| {
            for _ in 0..2 {
                let (question, answer) = inbox.get()?;
                sleep(secs(1))?;
                answer.set(question * 2).unwrap();
            }
            Ok(())
        });
        s.spawn(move || ask(3));
        s.spawn(move || ask(5));
    })
}

scenarios! {
    somebody_sets_it,
    a_callback_sets_it,
    it_fails,
    it_was_set_before,
    set_twice,
    several_wait,
    done_or_not,
    within_a_limit,
    the_waiter_is_cancelled,
    nobody_will_set_it,
    a_request_and_its_answer,
}
