//! Queues.

use std::io;

use corio::{
    Queue, TryGetError, TryPutError, scope, secs, sleep, spawn, timeout,
};

use crate::{kind, yes};

fn first_in_first_out() -> io::Result<()> {
    let queue = Queue::new();
    for n in [3, 1, 2] {
        queue.put(n)?;
    }
    say!("length {}", queue.len());
    while !queue.is_empty() {
        say!("{}", queue.get()?);
    }
    Ok(())
}

fn last_in_first_out() -> io::Result<()> {
    let queue = Queue::lifo();
    for n in [3, 1, 2] {
        queue.put(n)?;
    }
    while !queue.is_empty() {
        say!("{}", queue.get()?);
    }
    Ok(())
}

fn the_smallest_first() -> io::Result<()> {
    let queue = Queue::priority();
    for item in [(3, "c"), (1, "a"), (2, "b")] {
        queue.put(item)?;
    }
    while !queue.is_empty() {
        let (n, name) = queue.get()?;
        say!("{n} {name}");
    }
    Ok(())
}

fn a_getter_waits() -> io::Result<()> {
    let queue = Queue::new();
    scope(|s| {
        s.spawn(|| {
            say!("waits");
            say!("got {}", queue.get()?);
            Ok(())
        });
        sleep(secs(2))?;
        queue.put("x")?;
        say!("put; nobody has run");
        Ok(())
    })
}

fn a_full_queue_makes_the_producer_wait() -> io::Result<()> {
    let queue = Queue::bounded(2);
    scope(|s| {
        s.spawn(|| {
            for n in 0..4 {
                queue.put(n)?;
                say!("put {n}");
            }
            Ok(())
        });
        for _ in 0..4 {
            sleep(secs(1))?;
            say!("got {}", queue.get()?);
        }
        Ok(())
    })
}

fn without_waiting() -> io::Result<()> {
    let queue = Queue::bounded(1);
    if let Err(TryGetError::Empty) = queue.try_get() {
        say!("empty");
    }
    queue.try_put("a")?;
    if let Err(TryPutError::Full(_)) = queue.try_put("b") {
        say!("full: {}", yes(queue.is_full()));
    }
    say!("{}", queue.try_get()?);
    Ok(())
}

fn what_need_not_wait_does_not_pause() -> io::Result<()> {
    let queue = Queue::new();
    let task = spawn(|| say!("other"));
    queue.put(1)?;
    say!("{}", queue.get()?);
    task.join()
}

fn getters_are_served_in_order() -> io::Result<()> {
    let queue = &Queue::new();
    scope(|s| {
        for name in ["a", "b", "c"] {
            s.spawn(move || {
                say!("{name} got {}", queue.get()?);
                Ok(())
            });
        }
        sleep(secs(1))?;
        for n in 0..3 {
            queue.try_put(n)?;
        }
        Ok(())
    })
}

fn putters_are_served_in_order() -> io::Result<()> {
    let queue = &Queue::bounded(1);
    scope(|s| {
        for name in ["a", "b", "c", "d"] {
            s.spawn(move || {
                queue.put(name)?;
                say!("{name} is in");
                Ok(())
            });
        }
        for _ in 0..4 {
            sleep(secs(1))?;
            say!("got {}", queue.get()?);
        }
        Ok(())
    })
}

fn join_waits_for_all_that_was_put() -> io::Result<()> {
    let queue = Queue::new();
    scope(|s| {
        let worker = s.spawn(|| {
            for item in &queue {
                let item = item?;
                sleep(secs(item))?;
                say!("done {item}");
                queue.task_done()?;
            }
            Ok(())
        });
        for n in [2, 1] {
            queue.try_put(n)?;
        }
        queue.join()?;
        say!("joined");
        worker.cancel();
        Ok(())
    })
}

fn join_of_a_fresh_queue() -> io::Result<()> {
    let queue = Queue::<()>::new();
    queue.join()?;
    say!("at once");
    Ok(())
}

fn done_too_often() -> io::Result<()> {
    let queue = Queue::new();
    queue.put(1)?;
    queue.get()?;
    queue.task_done()?;
    if queue.task_done().is_err() {
        say!("refused");
    }
    Ok(())
}

fn three_workers() -> io::Result<()> {
    let queue = &Queue::new();
    for delay in [1.0, 3.0, 2.0, 1.5, 1.25, 0.25] {
        queue.try_put(delay)?;
    }
    scope(|s| {
        let workers = [0, 1, 2].map(|n| {
            s.spawn(move || {
                for delay in queue {
                    let delay = delay?;
                    sleep(std::time::Duration::from_secs_f64(delay))?;
                    say!("worker-{n} slept for {delay}");
                    queue.task_done()?;
                }
                Ok("finished")
            })
        });
        queue.join()?;
        for worker in &workers {
            worker.cancel();
        }
        let ended = workers.map(|worker| worker.join().unwrap_or_else(|error| kind(&error).leak()));
        say!("{}", ended.join(", "));
        Ok(())
    })
}

fn a_cancelled_getter_takes_nothing() -> io::Result<()> {
    let queue = &Queue::new();
    let getter = |name| {
        say!("{name} got {}", queue.get()?);
        Ok(())
    };
    scope(|s| {
        let a = s.spawn(move || getter("a"));
        s.spawn(move || getter("b"));
        sleep(secs(1))?;
        a.cancel();
        sleep(secs(1))?;
        queue.put("x")
    })?;
    say!("left {}", queue.len());
    Ok(())
}

fn a_getter_is_cancelled_in_the_turn_of_its_item() -> io::Result<()> {
    let queue = Queue::new();
    scope(|s| {
        let getter = s.spawn(|| {
            let item = queue.get()?;
            say!("the getter has {item}");
            sleep(secs(1))?;
            say!("never");
            Ok(())
        });
        sleep(secs(1))?;
        queue.put("x")?;
        getter.cancel();
        Ok(())
    })?;
    say!("left in the queue: {}", queue.len());
    Ok(())
}

fn a_cancelled_putter_puts_nothing() -> io::Result<()> {
    let queue = &Queue::bounded(1);
    queue.put("first")?;
    scope(|s| {
        let [a, _] = ["a", "b"].map(|name| s.spawn(move || queue.put(name)));
        sleep(secs(1))?;
        a.cancel();
        sleep(secs(1))?;
        say!("{} {}", queue.get()?, queue.get()?);
        Ok(())
    })?;
    say!("left {}", queue.len());
    Ok(())
}

fn a_limit_for_get() -> io::Result<()> {
    let queue = Queue::new();
    if let Err(error) = timeout(secs(1), || queue.get()) {
        say!("{}", kind(&error));
    }
    queue.put("x")?;
    say!("{}", queue.get()?);
    Ok(())
}

fn somebody_else_is_faster() -> io::Result<()> {
    let queue = &Queue::new();
    scope(|s| {
        for name in ["a", "b"] {
            s.spawn(move || {
                say!("{name} got {}", queue.get()?);
                Ok(())
            });
        }
        sleep(secs(1))?;
        queue.try_put(1)?;
        match queue.try_get() {
            Ok(item) => say!("main took {item}"),
            Err(_) => say!("main took nothing"),
        }
        sleep(secs(1))?;
        queue.try_put(2)?;
        queue.try_put(3)?;
        Ok(())
    })
}

fn a_relay() -> io::Result<()> {
    let (first, second, third) = (Queue::bounded(1), Queue::bounded(1), Queue::bounded(1));

    fn stage(source: &Queue<Option<i32>>, target: &Queue<Option<i32>>, change: fn(i32) -> i32) -> io::Result<()> {
        while let Some(item) = source.get()? {
            target.put(Some(change(item)))?;
        }
        target.put(None)
    }

    scope(|s| {
        s.spawn(|| stage(&first, &second, |n| n + 1));
        s.spawn(|| stage(&second, &third, |n| n * 10));
        s.spawn(|| {
            for n in 0..3 {
                sleep(secs(1))?;
                first.put(Some(n))?;
            }
            first.put(None)
        });
        while let Some(item) = third.get()? {
            say!("{item}");
        }
        Ok(())
    })
}

scenarios! {
    first_in_first_out,
    last_in_first_out,
    the_smallest_first,
    a_getter_waits,
    a_full_queue_makes_the_producer_wait,
    without_waiting,
    what_need_not_wait_does_not_pause,
    getters_are_served_in_order,
    putters_are_served_in_order,
    join_waits_for_all_that_was_put,
    join_of_a_fresh_queue,
    done_too_often,
    three_workers,
    a_cancelled_getter_takes_nothing,
    a_getter_is_cancelled_in_the_turn_of_its_item differs because
        "success wins: the item was handed over first, and the cancellation is met at the next call",
    a_cancelled_putter_puts_nothing,
    a_limit_for_get,
    somebody_else_is_faster differs because "an item goes to the one that has waited longest, and nobody overtakes",
    a_relay,
}
