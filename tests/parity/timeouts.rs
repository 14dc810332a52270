//! Time limits.

use std::io;
use std::rc::Rc;

use corio::{
    CancelScope, call_later, current, is_timed_out, millis, now, secs, shield, sleep, spawn, timeout, timeout_at,
};

use crate::{failure, kind, yes};

fn in_time() -> io::Result<()> {
    let limit = CancelScope::after(secs(2));
    limit.run(|| {
        sleep(secs(1))?;
        say!("in time");
        Ok(())
    })?;
    say!("expired: {}", yes(limit.expired()));
    sleep(secs(5))?;
    say!("the limit is forgotten");
    Ok(())
}

fn too_late() -> io::Result<()> {
    let ended = timeout(secs(2), || {
        sleep(secs(3))?;
        say!("never");
        Ok(())
    });
    if let Err(error) = ended {
        say!("{}", kind(&error));
    }
    say!("requests: {}", current().cancelling());
    sleep(secs(1))?;
    say!("main goes on");
    Ok(())
}

fn a_value_in_time() -> io::Result<()> {
    fn job() -> io::Result<i32> {
        sleep(secs(1))?;
        Ok(7)
    }

    say!("{}", timeout(secs(2), job)?);
    Ok(())
}

fn the_inner_limit_first() -> io::Result<()> {
    let ended = timeout(secs(5), || {
        if timeout(secs(1), || sleep(secs(9))).is_err_and(|error| is_timed_out(&error)) {
            say!("the inner one; a fallback");
        }
        sleep(secs(1))?;
        say!("the fallback is there");
        sleep(secs(9))
    });
    if ended.is_err_and(|error| is_timed_out(&error)) {
        say!("the outer one");
    }
    Ok(())
}

fn the_outer_limit_first() -> io::Result<()> {
    let ended = timeout(secs(1), || {
        let inner = CancelScope::after(secs(5));
        inner.run(|| sleep(secs(9))).inspect_err(|error| {
            say!("inside: {}; inner expired: {}", kind(error), yes(inner.expired()));
        })
    });
    if let Err(error) = ended {
        say!("{}", kind(&error));
    }
    Ok(())
}

fn both_limits_at_once() -> io::Result<()> {
    let ended = timeout(secs(1), || {
        timeout(secs(1), || sleep(secs(9))).inspect_err(|error| {
            if is_timed_out(error) {
                say!("the inner one takes it");
            } else {
                say!("the inner one passes it on");
            }
        })
    });
    if let Err(error) = ended {
        say!("{}", kind(&error));
    }
    Ok(())
}

fn no_limit() -> io::Result<()> {
    let limit = CancelScope::new();
    limit.run(|| {
        sleep(secs(1000))?;
        say!("when: {:?}", limit.when());
        Ok(())
    })
}

fn reschedule_later() -> io::Result<()> {
    let start = now();
    let limit = CancelScope::after(secs(1));
    let ended = limit.run(|| {
        sleep(millis(500))?;
        limit.reschedule(Some(now() + secs(2)));
        say!("due at {}", (limit.when().unwrap() - start).as_secs_f64());
        sleep(secs(9))
    });
    if ended.is_err() && limit.expired() {
        say!("timed out {}", yes(limit.expired()));
    }
    Ok(())
}

fn reschedule_earlier() -> io::Result<()> {
    let limit = CancelScope::after(secs(100));
    let ended = limit.run(|| {
        limit.reschedule(Some(now() + secs(1)));
        sleep(secs(9))
    });
    if ended.is_err() && limit.expired() {
        say!("timed out");
    }
    Ok(())
}

fn reschedule_to_none() -> io::Result<()> {
    let limit = CancelScope::after(secs(1));
    limit.run(|| {
        limit.reschedule(None);
        sleep(secs(9))
    })?;
    say!("expired: {}", yes(limit.expired()));
    Ok(())
}

fn reschedule_from_a_callback() -> io::Result<()> {
    let limit = Rc::new(CancelScope::after(secs(1)));
    let ended = limit.run(|| {
        let limit = limit.clone();
        call_later(millis(500), move || limit.reschedule(Some(now() + secs(5))));
        sleep(secs(9))
    });
    if ended.is_err() && limit.expired() {
        say!("timed out");
    }
    Ok(())
}

fn a_limit_in_the_past() -> io::Result<()> {
    sleep(secs(5))?;
    let ended = timeout_at(now() - secs(1), || {
        say!("the body begins");
        sleep(secs(1))?;
        say!("never");
        Ok(())
    });
    if let Err(error) = ended {
        say!("{}", kind(&error));
    }
    timeout_at(now() - secs(1), || say!("and need not wait"))
}

fn at_a_moment() -> io::Result<()> {
    let ended = timeout_at(now() + secs(3), || {
        sleep(secs(1))?;
        say!("one");
        sleep(secs(9))
    });
    if let Err(error) = ended {
        say!("{}", kind(&error));
    }
    Ok(())
}

fn an_error_before_the_limit() -> io::Result<()> {
    let ended = timeout(secs(2), || {
        sleep(secs(1))?;
        Err::<(), _>(failure("boom"))
    });
    if let Err(error) = ended {
        say!("{}", kind(&error));
    }
    Ok(())
}

fn an_error_because_of_the_limit() -> io::Result<()> {
    let ended = timeout(secs(1), || sleep(secs(9)).map_err(|_| failure("rewrapped")));
    if let Err(error) = ended {
        say!("{}", kind(&error));
    }
    Ok(())
}

fn a_value_in_spite_of_the_limit() -> io::Result<()> {
    fn stubborn() -> io::Result<i32> {
        if sleep(secs(9)).is_err() {
            say!("swallowed");
        }
        Ok(7)
    }

    say!("{}", timeout(secs(1), stubborn)?);
    say!("requests: {}", current().cancelling());
    Ok(())
}

fn cancelled_from_outside() -> io::Result<()> {
    let task = spawn(|| timeout(secs(5), || sleep(secs(9))));
    sleep(secs(1))?;
    task.cancel();
    if let Err(error) = task.join() {
        say!("{}", kind(&error));
    }
    Ok(())
}

fn clean_up_after_the_limit() -> io::Result<()> {
    let task = spawn(|| {
        timeout(secs(1), || {
            let slept = sleep(secs(9));
            shield(secs(5), || sleep(secs(2)))?;
            say!("cleaned up");
            slept
        })
    });
    if let Err(error) = task.join() {
        say!("{}", kind(&error));
    }
    Ok(())
}

fn a_task_ends_before_its_limit_is_told() -> io::Result<()> {
    fn slow() -> io::Result<()> {
        let slept = sleep(secs(9));
        shield(secs(5), || sleep(secs(2)))?;
        say!("the task has cleaned up");
        slept
    }

    let task = spawn(slow);
    if let Err(error) = timeout(secs(1), || task.join()) {
        say!("{}", kind(&error));
    }
    Ok(())
}

fn a_shielded_task_outlives_the_limit() -> io::Result<()> {
    let task = spawn(|| {
        sleep(secs(3))?;
        say!("the task is done");
        Ok(7)
    });
    if let Err(error) = timeout(secs(1), || task.wait()) {
        say!("{}", kind(&error));
    }
    say!("{}", task.join()?);
    Ok(())
}

fn limits_of_two_tasks() -> io::Result<()> {
    fn child(name: &str, limit: u64) {
        let ended = timeout(secs(limit), || {
            sleep(secs(2))?;
            say!("{name} in time");
            Ok(())
        });
        if let Err(error) = ended {
            say!("{name} {}", kind(&error));
        }
    }

    let tasks = [spawn(|| child("a", 1)), spawn(|| child("b", 3))];
    for task in tasks {
        task.join()?;
    }
    Ok(())
}

fn three_attempts() -> io::Result<()> {
    fn attempt(n: u64) -> io::Result<String> {
        sleep(secs(3 - n))?;
        Ok(format!("answer {n}"))
    }

    for n in 0..3 {
        match timeout(millis(1500), || attempt(n)) {
            Ok(answer) => {
                say!("{answer}");
                break;
            }
            Err(error) => say!("attempt {n} {}", kind(&error)),
        }
    }
    Ok(())
}

scenarios! {
    in_time,
    too_late,
    a_value_in_time,
    the_inner_limit_first,
    the_outer_limit_first,
    both_limits_at_once,
    no_limit,
    reschedule_later,
    reschedule_earlier,
    reschedule_to_none,
    reschedule_from_a_callback,
    a_limit_in_the_past,
    at_a_moment,
    an_error_before_the_limit,
    an_error_because_of_the_limit differs because
        "a time limit believes the clock and not the error, which others may have rewrapped; it is the source",
    a_value_in_spite_of_the_limit,
    cancelled_from_outside,
    clean_up_after_the_limit,
    a_task_ends_before_its_limit_is_told,
    a_shielded_task_outlives_the_limit,
    limits_of_two_tasks,
    three_attempts,
}
