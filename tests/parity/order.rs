//! Whose turn it is.

use std::cell::Cell;
use std::io;

use corio::{Event, call_later, call_soon, scope, secs, sleep, spawn, yield_now};

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

fn many_calls_that_need_not_wait() -> io::Result<()> {
    let (event, calls) = (Event::new(), Cell::new(0));
    event.set();
    scope(|s| {
        s.spawn(|| say!("the other task runs after {} calls", calls.get()));
        for _ in 0..300 {
            event.wait()?;
            calls.set(calls.get() + 1);
        }
        say!("done after {}", calls.get());
        Ok(())
    })
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

fn ping_pong() -> io::Result<()> {
    fn player(name: &str, mine: &Event, other: &Event) -> io::Result<()> {
        for _ in 0..3 {
            mine.wait()?;
            mine.clear();
            say!("{name}");
            other.set();
        }
        Ok(())
    }

    let ball = (Event::new(), Event::new());
    scope(|s| {
        s.spawn(|| player("ping", &ball.0, &ball.1));
        s.spawn(|| player("pong", &ball.1, &ball.0));
        ball.0.set();
    })
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
    many_calls_that_need_not_wait differs because
        "after 128 calls that did not have to wait a task goes to the end of the queue",
    a_child_that_ends_puts_its_parent_at_the_end_of_the_queue,
    ping_pong,
}
