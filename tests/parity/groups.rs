//! Groups of tasks that end together.

use std::io;

use corio::{current, errors, millis, secs, scope, shield, sleep, spawn, timeout, yield_now};
use std::time::Duration;

use crate::{failure, kind, yes};

/// Tells when it begins and when it ends, however that comes.
fn child(name: &str, delay: Duration) -> io::Result<()> {
    say!("{name} begins");
    sleep(delay).inspect_err(|_| say!("{name} is cancelled"))?;
    say!("{name} is done");
    Ok(())
}

fn fail(name: &str, delay: Duration) -> io::Result<()> {
    sleep(delay)?;
    say!("{name} fails");
    Err(failure(name))
}

fn three_children() -> io::Result<()> {
    scope(|s| {
        s.spawn(|| child("a", secs(1)));
        s.spawn(|| child("b", secs(2)));
        s.spawn(|| child("c", secs(3)));
        say!("the body is done");
    })?;
    say!("all are done");
    Ok(())
}

fn results() -> io::Result<()> {
    fn square(n: u64) -> io::Result<u64> {
        sleep(secs(n))?;
        Ok(n * n)
    }

    let sum = scope(|s| {
        let (two, three) = (s.spawn(|| square(2)), s.spawn(|| square(3)));
        Ok(two.join()? + three.join()?)
    })?;
    say!("{sum}");
    Ok(())
}

fn an_empty_group() -> io::Result<()> {
    scope(|_| say!("nothing to do"))?;
    say!("left at once");
    Ok(())
}

fn children_of_children() -> io::Result<()> {
    scope(|s| {
        s.spawn(|| {
            say!("parent");
            s.spawn(|| child("late child", secs(2)));
            sleep(secs(1))?;
            say!("parent ends");
            Ok(())
        });
    })?;
    say!("all are done");
    Ok(())
}

fn a_child_fails() -> io::Result<()> {
    let ended = scope(|s| {
        s.spawn(|| child("a", secs(5)));
        s.spawn(|| fail("b", secs(1)));
        s.spawn(|| child("c", secs(5)));
        sleep(secs(5)).inspect_err(|_| say!("the body is cancelled"))
    });
    if let Err(error) = ended {
        say!("the group: {}", kind(&error));
    }
    say!("requests: {}", current().cancelling());
    sleep(secs(1))?;
    say!("main goes on");
    Ok(())
}

fn a_child_fails_while_the_group_waits() -> io::Result<()> {
    let ended = scope(|s| {
        s.spawn(|| child("a", secs(5)));
        s.spawn(|| fail("b", secs(1)));
    });
    if let Err(error) = ended {
        say!("the group: {}", kind(&error));
    }
    Ok(())
}

fn a_sibling_that_is_about_to_begin() -> io::Result<()> {
    let ended = scope(|s| {
        s.spawn(|| fail("a", secs(0)));
        yield_now()?;
        s.spawn(|| child("b", secs(0)));
        Ok(())
    });
    if let Err(error) = ended {
        say!("the group: {}", kind(&error));
    }
    Ok(())
}

fn slow_clean_up_is_waited_for() -> io::Result<()> {
    fn slow() -> io::Result<()> {
        let slept = sleep(secs(9));
        shield(secs(5), || sleep(secs(3)))?;
        say!("cleaned up");
        slept
    }

    let ended = scope(|s| {
        s.spawn(slow);
        s.spawn(|| fail("b", secs(1)));
    });
    if let Err(error) = ended {
        say!("the group: {}", kind(&error));
    }
    Ok(())
}

fn two_failures() -> io::Result<()> {
    let ended = scope(|s| {
        s.spawn(|| sleep(secs(9)).map_err(|_| failure("worse")));
        s.spawn(|| fail("bad", secs(1)));
    });
    if let Err(error) = ended {
        say!("the group: {}", kind(&error));
    }
    Ok(())
}

fn the_body_fails() -> io::Result<()> {
    let ended = scope(|s| {
        s.spawn(|| child("a", secs(5)));
        sleep(secs(1))?;
        Err::<(), _>(failure("body"))
    });
    if let Err(error) = ended {
        say!("the group: {}", kind(&error));
    }
    Ok(())
}

fn the_body_and_a_child_fail() -> io::Result<()> {
    let ended = scope(|s| {
        s.spawn(|| sleep(secs(9)).map_err(|_| failure("child")));
        sleep(secs(1))?;
        Err::<(), _>(failure("body"))
    });
    if let Err(error) = ended {
        say!("the group: {}", kind(&error));
    }
    Ok(())
}

fn one_failure_alone() -> io::Result<()> {
    let ended = scope(|s| {
        s.spawn(|| fail("boom", secs(1)));
    });
    match ended {
        Err(error) if errors(&error).len() > 1 => say!("a group of {}", errors(&error).len()),
        Err(error) => say!("itself: {error}"),
        Ok(()) => {}
    }
    Ok(())
}

fn a_child_is_cancelled() -> io::Result<()> {
    let a = scope(|s| {
        let a = s.spawn(|| child("a", secs(5))).task();
        s.spawn(|| child("b", secs(2)));
        sleep(secs(1))?;
        a.cancel();
        Ok(a)
    })?;
    say!("all are done; a cancelled: {}", yes(a.cancelled()));
    Ok(())
}

fn the_owner_is_cancelled() -> io::Result<()> {
    let task = spawn(|| {
        scope(|s| {
            s.spawn(|| child("a", secs(5)));
            s.spawn(|| child("b", secs(5)));
        })
    });
    sleep(secs(1))?;
    task.cancel();
    if let Err(error) = task.join() {
        say!("owner: {}", kind(&error));
    }
    Ok(())
}

fn the_owner_is_cancelled_and_a_child_fails() -> io::Result<()> {
    let task = spawn(|| {
        scope(|s| {
            s.spawn(|| sleep(secs(9)).map_err(|_| failure("clean-up")));
        })
    });
    sleep(secs(1))?;
    task.cancel();
    if let Err(error) = task.join() {
        say!("owner: {}", kind(&error));
    }
    Ok(())
}

fn the_owner_is_cancelled_while_a_failed_group_ends() -> io::Result<()> {
    fn slow() -> io::Result<()> {
        let slept = sleep(secs(9));
        shield(secs(5), || sleep(secs(3)))?;
        say!("cleaned up");
        slept
    }

    let task = spawn(|| {
        let ended = scope(|s| {
            s.spawn(slow);
            s.spawn(|| fail("b", secs(1)));
        });
        if let Err(error) = ended {
            say!("the group: {}", kind(&error));
        }
        sleep(secs(1))?;
        say!("owner goes on");
        Ok(())
    });
    sleep(secs(2))?;
    task.cancel();
    if let Err(error) = task.join() {
        say!("owner: {}", kind(&error));
    }
    Ok(())
}

fn nested() -> io::Result<()> {
    scope(|outer| {
        outer.spawn(|| child("outer", secs(3)));
        scope(|inner| {
            inner.spawn(|| child("inner", secs(1)));
        })?;
        say!("the inner group is done");
        Ok(())
    })?;
    say!("the outer group is done");
    Ok(())
}

fn an_inner_group_fails() -> io::Result<()> {
    let ended = scope(|outer| {
        outer.spawn(|| child("outer", secs(3)));
        scope(|inner| {
            inner.spawn(|| fail("inner", secs(1)));
        })
    });
    if let Err(error) = ended {
        say!("the outer group: {}", kind(&error));
    }
    Ok(())
}

fn an_inner_failure_is_handled() -> io::Result<()> {
    scope(|outer| {
        outer.spawn(|| child("outer", secs(3)));
        let ended = scope(|inner| {
            inner.spawn(|| fail("inner", secs(1)));
        });
        if let Err(error) = ended {
            say!("handled: {}", kind(&error));
        }
    })?;
    say!("the outer group is done");
    Ok(())
}

fn an_outer_child_fails_while_the_body_is_in_an_inner_group() -> io::Result<()> {
    let ended = scope(|outer| {
        outer.spawn(|| fail("outer", secs(1)));
        scope(|inner| {
            inner.spawn(|| child("inner", secs(5)));
        })
        .inspect_err(|error| say!("the inner group is {}", kind(error)))
    });
    if let Err(error) = ended {
        say!("the outer group: {}", kind(&error));
    }
    Ok(())
}

fn a_limit_around_a_group() -> io::Result<()> {
    let ended = timeout(secs(1), || {
        scope(|s| {
            s.spawn(|| child("a", secs(5)));
            s.spawn(|| child("b", secs(5)));
        })
    });
    if let Err(error) = ended {
        say!("{}", kind(&error));
    }
    Ok(())
}

fn a_limit_in_a_child() -> io::Result<()> {
    let ended = scope(|s| {
        s.spawn(|| timeout(secs(1), || sleep(secs(5))));
        s.spawn(|| child("b", secs(5)));
    });
    if let Err(error) = ended {
        say!("the group: {}", kind(&error));
    }
    Ok(())
}

fn the_body_joins_a_child_that_fails() -> io::Result<()> {
    let ended = scope(|s| {
        let task = s.spawn(|| fail("a", secs(1)));
        task.join().inspect_err(|error| match kind(error) {
            kind if kind == "cancelled" => say!("the body is {kind}"),
            kind => say!("the body caught: {kind}"),
        })
    });
    if let Err(error) = ended {
        say!("the group: {}", kind(&error));
    }
    Ok(())
}

fn groups_side_by_side() -> io::Result<()> {
    fn pair(name: &str, delay: Duration) -> io::Result<()> {
        scope(|s| {
            s.spawn(|| child(&format!("{name}1"), delay));
            s.spawn(|| child(&format!("{name}2"), delay + secs(1)));
        })
    }

    scope(|s| {
        s.spawn(|| pair("a", secs(1)));
        s.spawn(|| pair("b", millis(500)));
    })
}

scenarios! {
    three_children,
    results,
    an_empty_group,
    children_of_children,
    a_child_fails,
    a_child_fails_while_the_group_waits,
    a_sibling_that_is_about_to_begin differs because
        "a group knows of a failure at once; asyncio's is told by a callback, a turn later",
    slow_clean_up_is_waited_for,
    two_failures,
    the_body_fails,
    the_body_and_a_child_fail,
    one_failure_alone differs because "the first failure of a group is itself; several become an error that lists them",
    a_child_is_cancelled,
    the_owner_is_cancelled,
    the_owner_is_cancelled_and_a_child_fails,
    the_owner_is_cancelled_while_a_failed_group_ends differs because
        "a cancellation is met at the next call, whatever came first; asyncio loses this one before Python 3.13",
    nested,
    an_inner_group_fails,
    an_inner_failure_is_handled,
    an_outer_child_fails_while_the_body_is_in_an_inner_group,
    a_limit_around_a_group,
    a_limit_in_a_child,
    the_body_joins_a_child_that_fails differs because
        "what the body waits for is there, so it gets that, and meets the cancellation at the next call",
    groups_side_by_side,
}
