//! Other threads. Nothing here depends on who is faster.

use std::io;
use std::sync::mpsc;
use std::thread;

use corio::{LoopHandle, Promise, TaskLocal, gather, spawn, to_thread, yield_now};

use crate::{failure, kind, yes};

fn a_blocking_call() -> io::Result<()> {
    say!("{}", to_thread(|| (0..1000).sum::<i32>())?);
    Ok(())
}

fn a_blocking_call_that_fails() -> io::Result<()> {
    if let Err(error) = to_thread(|| Err::<(), _>(failure("boom")))? {
        say!("caught: {}", kind(&error));
    }
    Ok(())
}

fn it_is_another_thread() -> io::Result<()> {
    let here = thread::current().id();
    let there = to_thread(|| thread::current().id())?;
    say!("the same: {}", yes(here == there));
    Ok(())
}

fn others_run_meanwhile() -> io::Result<()> {
    let (go, wait) = mpsc::channel();
    let task = spawn(move || {
        say!("another task runs");
        go.send(()).unwrap();
    });
    to_thread(move || wait.recv().unwrap())?;
    say!("the blocking call is over");
    task.join()
}

fn several_blocking_calls() -> io::Result<()> {
    let squares = gather(0..4, |n| to_thread(move || n * n))?;
    say!("{}", squares.iter().map(i32::to_string).collect::<Vec<_>>().join(" "));
    Ok(())
}

fn another_thread_calls_in() -> io::Result<()> {
    thread_local! {
        static DONE: Promise<()> = Promise::new();
    }
    let handle = LoopHandle::current()?;
    let thread = thread::spawn(move || {
        for n in 0..3 {
            handle.call_soon(move || say!("call {n}")).unwrap();
        }
        handle.call_soon(|| DONE.with(|done| done.set(()).unwrap())).unwrap();
    });
    DONE.with(Clone::clone).take()?;
    thread.join().unwrap();
    say!("all in order");
    Ok(())
}

fn another_thread_starts_a_task() -> io::Result<()> {
    let handle = LoopHandle::current()?;
    let outside = move || {
        let task = handle.spawn(|| {
            say!("the task runs on the loop");
            yield_now()?;
            Ok(7)
        });
        task.join().map(|n| n + 1)
    };
    say!("the thread got {}", to_thread(outside)??);
    Ok(())
}

fn a_task_of_another_thread_fails() -> io::Result<()> {
    let handle = LoopHandle::current()?;
    let outside = move || match handle.spawn(|| Err::<(), _>(failure("boom"))).join() {
        Err(error) => kind(&error),
        Ok(()) => "nothing".to_owned(),
    };
    say!("the thread caught: {}", to_thread(outside)?);
    Ok(())
}

fn variables_in_a_thread() -> io::Result<()> {
    static USER: TaskLocal<&str> = TaskLocal::new();
    USER.set("ada");
    say!("the thread sees {}", to_thread(|| USER.get().unwrap_or("nobody"))?);
    Ok(())
}

scenarios! {
    a_blocking_call,
    a_blocking_call_that_fails,
    it_is_another_thread,
    others_run_meanwhile,
    several_blocking_calls,
    another_thread_calls_in,
    another_thread_starts_a_task,
    a_task_of_another_thread_fails,
    variables_in_a_thread differs because "the values of a task need not be `Send`, and stay on its thread",
}
