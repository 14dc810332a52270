//! Whose turn it is.

use std::io;

use corio::{call_later, call_soon, secs, sleep, spawn, yield_now};

fn spawn_order() -> io::Result<()> {
    let tasks = ["a", "b", "c"].map(|name| spawn(move || say!("{name} runs")));
    say!("main still runs");
    for task in tasks {
        task.join()?;
    }
    say!("main goes on");
    Ok(())
}

fn yielding_alternates() -> io::Result<()> {
    fn child(name: &str) -> io::Result<()> {
        for n in 0..3 {
            say!("{name}{n}");
            yield_now()?;
        }
        Ok(())
    }

    let (a, b) = (spawn(|| child("a")), spawn(|| child("b")));
    a.join()?;
    b.join()
}

fn call_soon_among_tasks() -> io::Result<()> {
    call_soon(|| say!("before"));
    let task = spawn(|| say!("task"));
    call_soon(|| say!("after"));
    yield_now()?;
    say!("main");
    task.join()
}

fn what_is_added_in_a_turn_runs_in_the_next() -> io::Result<()> {
    let parent = spawn(|| {
        say!("parent");
        Ok(spawn(|| say!("grandchild")))
    });
    let others = ["second", "third"].map(|name| spawn(move || say!("{name}")));
    yield_now()?;
    say!("main");
    parent.join()?.join()?;
    for task in others {
        task.join()?;
    }
    Ok(())
}

fn a_call_that_does_not_wait_does_not_pause() -> io::Result<()> {
    fn add(a: i32, b: i32) -> io::Result<i32> {
        Ok(a + b)
    }

    let task = spawn(|| say!("other"));
    let mut total = 0;
    for n in 0..3 {
        total = add(total, n)?;
        say!("total {total}");
    }
    task.join()
}

fn sleepers_wake_by_time() -> io::Result<()> {
    let tasks = [("a", 2), ("b", 1), ("c", 3)].map(|(name, delay)| {
        spawn(move || {
            say!("{name} sleeps");
            sleep(secs(delay))?;
            say!("{name} wakes");
            Ok(())
        })
    });
    for task in tasks {
        task.join()?;
    }
    Ok(())
}

fn three_equal_deadlines() -> io::Result<()> {
    let tasks = ["a", "b", "c"].map(|name| {
        spawn(move || {
            sleep(secs(1))?;
            say!("{name}");
            Ok(())
        })
    });
    for task in tasks {
        task.join()?;
    }
    Ok(())
}

fn eight_equal_deadlines() -> io::Result<()> {
    for n in 0..8 {
        call_later(secs(1), move || say!("{n}"));
    }
    sleep(secs(2))
}

fn a_timer_among_tasks_that_yield() -> io::Result<()> {
    call_later(secs(0), || say!("timer"));
    for n in 0..5 {
        say!("yield {n}");
        yield_now()?;
    }
    sleep(secs(1))
}

fn a_child_that_ends_puts_its_parent_at_the_end_of_the_queue() -> io::Result<()> {
    let task = spawn(|| say!("child ends"));
    let other = spawn(|| {
        say!("bystander");
        yield_now()?;
        say!("bystander again");
        Ok(())
    });
    task.join()?;
    say!("main has joined");
    other.join()
}

scenarios! {
    spawn_order,
    yielding_alternates,
    call_soon_among_tasks,
    what_is_added_in_a_turn_runs_in_the_next,
    a_call_that_does_not_wait_does_not_pause,
    sleepers_wake_by_time,
    three_equal_deadlines,
    eight_equal_deadlines differs because
        "timers that are due together run in the order in which they were armed; asyncio's heap forgets that order",
    a_timer_among_tasks_that_yield differs because
        "timers are looked at when nothing is ready, or after 64 resumes, and not between any two turns",
    a_child_that_ends_puts_its_parent_at_the_end_of_the_queue,
}
