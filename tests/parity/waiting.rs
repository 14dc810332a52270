//! Waiting for some of several tasks.

use std::io;

use corio::{
    Builder, JoinHandle, Queue, Until, Which, after, as_completed, call_later, millis, race, scope, secs, select, sleep,
    spawn, timeout, wait, wait_timeout,
};

use crate::{failure, kind};

fn value(name: &'static str, delay: u64) -> JoinHandle<&'static str> {
    let body = move || {
        sleep(secs(delay))?;
        Ok(name)
    };
    Builder::new().name(name).spawn(body).unwrap()
}

fn fail(name: &'static str, delay: u64) -> JoinHandle<&'static str> {
    let body = move || {
        sleep(secs(delay))?;
        Err(failure(format!("no {name}")))
    };
    Builder::new().name(name).spawn(body).unwrap()
}

fn names(tasks: &[JoinHandle<&str>]) -> String {
    let mut names: Vec<_> = tasks.iter().map(|task| task.name()).collect();
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

fn for_the_first() -> io::Result<()> {
    let mut tasks = vec![value("a", 2), value("b", 1), value("c", 3)];
    let done = wait(&mut tasks, Until::FirstCompleted)?;
    say!("done: {} pending: {}", names(&done), names(&tasks));
    for task in tasks {
        task.cancel();
    }
    Ok(())
}

fn for_the_first_of_two_at_once() -> io::Result<()> {
    let mut tasks = vec![value("a", 1), value("b", 1), value("c", 3)];
    let done = wait(&mut tasks, Until::FirstCompleted)?;
    say!("done: {} pending: {}", names(&done), names(&tasks));
    Ok(())
}

fn for_all() -> io::Result<()> {
    let mut tasks = vec![value("a", 2), fail("b", 1), value("c", 3)];
    let done = wait(&mut tasks, Until::AllCompleted)?;
    say!("done: {} pending: {}", names(&done), names(&tasks));
    for task in done {
        match task.join() {
            Ok(value) => say!("{value}"),
            Err(error) => say!("{}", kind(&error)),
        }
    }
    Ok(())
}

fn for_the_first_error() -> io::Result<()> {
    let mut tasks = vec![value("a", 1), fail("b", 2), value("c", 3)];
    let mut done = wait(&mut tasks, Until::FirstError)?;
    say!("done: {} pending: {}", names(&done), names(&tasks));
    if let Err(error) = done.remove(1).join() {
        say!("{}", kind(&error));
    }
    let done = wait(&mut tasks, Until::AllCompleted)?;
    say!("done: {}", names(&done));
    Ok(())
}

fn for_the_first_error_that_does_not_come() -> io::Result<()> {
    let mut tasks = vec![value("a", 1), value("b", 2)];
    let done = wait(&mut tasks, Until::FirstError)?;
    say!("done: {} pending: {}", names(&done), names(&tasks));
    Ok(())
}

fn a_cancelled_task_is_no_error() -> io::Result<()> {
    let mut tasks = vec![value("a", 5), value("b", 2)];
    let a = tasks[0].task();
    call_later(secs(1), move || {
        a.cancel();
    });
    let done = wait(&mut tasks, Until::FirstError)?;
    say!("done: {} pending: {}", names(&done), names(&tasks));
    Ok(())
}

fn no_longer_than() -> io::Result<()> {
    let mut tasks = vec![value("a", 1), value("b", 3)];
    let done = wait_timeout(&mut tasks, Until::AllCompleted, secs(2))?;
    say!("done: {} pending: {}", names(&done), names(&tasks));
    let done = wait(&mut tasks, Until::AllCompleted)?;
    say!("done: {} pending: {}", names(&done), names(&tasks));
    Ok(())
}

fn for_what_is_done_already() -> io::Result<()> {
    let mut tasks = vec![value("a", 0), value("b", 5)];
    sleep(secs(1))?;
    let done = wait(&mut tasks, Until::FirstCompleted)?;
    say!("done: {} pending: {}", names(&done), names(&tasks));
    Ok(())
}

fn the_waiter_is_cancelled() -> io::Result<()> {
    let task = value("a", 2);
    let a = task.task();
    let waiter = spawn(move || a.wait());
    sleep(secs(1))?;
    waiter.cancel();
    if let Err(error) = waiter.join() {
        say!("waiter: {}", kind(&error));
    }
    say!("{}", task.join()?);
    Ok(())
}

fn until_none_is_left() -> io::Result<()> {
    let mut tasks = vec![value("a", 3), value("b", 1), value("c", 2)];
    while !tasks.is_empty() {
        let done = wait(&mut tasks, Until::FirstCompleted)?;
        say!("done: {} pending: {}", names(&done), names(&tasks));
    }
    Ok(())
}

fn one_by_one() -> io::Result<()> {
    let mut tasks = vec![value("a", 3), value("b", 1), value("c", 2)];
    for task in as_completed(&mut tasks) {
        say!("{}", task?.join()?);
    }
    Ok(())
}

fn one_by_one_with_errors() -> io::Result<()> {
    let mut tasks = vec![value("a", 3), fail("b", 1), value("c", 2)];
    for task in as_completed(&mut tasks) {
        match task?.join() {
            Ok(value) => say!("{value}"),
            Err(error) => say!("error: {}", kind(&error)),
        }
    }
    Ok(())
}

fn one_by_one_within_a_limit() -> io::Result<()> {
    let mut tasks = vec![value("a", 3), value("b", 1)];
    let ended = timeout(secs(2), || {
        for task in as_completed(&mut tasks) {
            say!("{}", task?.join()?);
        }
        Ok(())
    });
    if let Err(error) = ended {
        say!("{}", kind(&error));
    }
    say!("{}", tasks.remove(0).join()?);
    Ok(())
}

fn the_fastest_wins() -> io::Result<()> {
    fn racer(name: &str, delay: u64) -> io::Result<&str> {
        sleep(secs(delay)).inspect_err(|_| say!("{name} is cancelled"))?;
        Ok(name)
    }

    let winner = race!(racer("slow", 3), racer("fast", 1))?;
    say!("the winner: {winner}");
    Ok(())
}

fn a_message_or_the_end_of_patience() -> io::Result<()> {
    let queue = Queue::new();
    scope(|s| {
        s.spawn(|| {
            sleep(secs(2))?;
            queue.put("hello")
        });
        for _ in 0..3 {
            match select((&queue, after(millis(1500))))? {
                Which::A(message) => say!("message: {}", message?),
                Which::B(()) => say!("patience is over"),
            }
        }
        Ok(())
    })
}

scenarios! {
    for_the_first,
    for_the_first_of_two_at_once,
    for_all,
    for_the_first_error,
    for_the_first_error_that_does_not_come,
    a_cancelled_task_is_no_error,
    no_longer_than,
    for_what_is_done_already,
    the_waiter_is_cancelled,
    until_none_is_left,
    one_by_one,
    one_by_one_with_errors,
    one_by_one_within_a_limit,
    the_fastest_wins,
    a_message_or_the_end_of_patience,
}
