//! The results of several, in the order in which they were asked for.

use std::io;

use corio::{call_later, gather, gather_all, join_all, secs, sleep, spawn, timeout, yield_now};

use crate::{failure, kind, yes};

fn value(name: &'static str, delay: u64) -> io::Result<&'static str> {
    sleep(secs(delay))?;
    say!("{name} is ready");
    Ok(name)
}

fn fail(name: &str, delay: u64) -> io::Result<&'static str> {
    sleep(secs(delay))?;
    say!("{name} fails");
    Err(failure(format!("no {name}")))
}

fn show(results: Vec<io::Result<&str>>) -> String {
    let texts = results.into_iter().map(|result| result.map_or_else(|error| kind(&error), str::to_owned));
    texts.collect::<Vec<_>>().join(", ")
}

fn results_keep_their_order() -> io::Result<()> {
    let (a, b, c) = gather!(value("a", 2), value("b", 1), value("c", 3))?;
    say!("{a}, {b}, {c}");
    Ok(())
}

fn of_a_list() -> io::Result<()> {
    say!("{}", gather(["x", "y", "z"], |name| value(name, 1))?.join(", "));
    Ok(())
}

fn of_nothing() -> io::Result<()> {
    say!("{} results", gather([], |name| value(name, 1))?.len());
    Ok(())
}

fn of_tasks() -> io::Result<()> {
    let (first, second) = (spawn(|| value("first", 2)), spawn(|| value("second", 1)));
    say!("{}", join_all([first, second])?.join(", "));
    Ok(())
}

fn errors_among_the_results() -> io::Result<()> {
    let (a, b, c) = gather_all!(value("a", 2), fail("b", 1), value("c", 3))?;
    say!("{}", show(vec![a, b, c]));
    Ok(())
}

fn a_cancelled_one_among_the_results() -> io::Result<()> {
    let (a, b) = (spawn(|| value("a", 5)), spawn(|| value("b", 2)));
    let task = a.task();
    call_later(secs(1), move || {
        task.cancel();
    });
    let (a, b) = gather_all!(a, b)?;
    say!("{}", show(vec![a, b]));
    Ok(())
}

fn the_first_error_of_tasks() -> io::Result<()> {
    let (a, b, c) = (spawn(|| value("a", 3)), spawn(|| fail("b", 1)), spawn(|| value("c", 2)));
    let others = [a.task(), c.task()];
    if let Err(error) = join_all([a, b, c]) {
        say!("caught: {}", kind(&error));
    }
    sleep(secs(5))?;
    say!("the others ran on: {}", yes(!others.iter().any(|task| task.cancelled())));
    Ok(())
}

fn the_first_error_of_calls() -> io::Result<()> {
    if let Err(error) = gather!(value("a", 3), fail("b", 1), value("c", 2)) {
        say!("caught: {}", kind(&error));
    }
    sleep(secs(5))?;
    say!("main ends");
    Ok(())
}

fn cancelling_it_cancels_all() -> io::Result<()> {
    fn child(name: &str) -> io::Result<()> {
        let slept = sleep(secs(9));
        say!("{name} is cancelled");
        slept
    }

    let task = spawn(|| gather(["a", "b"], child));
    sleep(secs(1))?;
    task.cancel();
    if let Err(error) = task.join() {
        say!("{}", kind(&error));
    }
    Ok(())
}

fn cancelled_while_it_collects_errors() -> io::Result<()> {
    fn child(name: &str) -> io::Result<()> {
        let slept = sleep(secs(9));
        say!("{name} is cancelled");
        slept
    }

    let task = spawn(|| {
        gather_all(["a", "b"], child)?;
        say!("never");
        Ok(())
    });
    sleep(secs(1))?;
    task.cancel();
    if let Err(error) = task.join() {
        say!("{}", kind(&error));
    }
    Ok(())
}

fn nested() -> io::Result<()> {
    let (a, (b, c), d) = gather!(value("a", 1), gather!(value("b", 3), value("c", 2)), value("d", 4))?;
    say!("{a} ({b} {c}) {d}");
    Ok(())
}

fn in_turns() -> io::Result<()> {
    fn count(name: &str) -> io::Result<()> {
        for n in 0..3 {
            say!("{name} {n}");
            yield_now()?;
        }
        Ok(())
    }

    gather!(count("a"), count("b"), count("c"))?;
    Ok(())
}

fn within_a_limit() -> io::Result<()> {
    if let Err(error) = timeout(secs(2), || gather!(value("a", 1), value("b", 3))) {
        say!("{}", kind(&error));
    }
    sleep(secs(5))
}

scenarios! {
    results_keep_their_order,
    of_a_list,
    of_nothing,
    of_tasks,
    errors_among_the_results,
    a_cancelled_one_among_the_results,
    the_first_error_of_tasks,
    the_first_error_of_calls differs because
        "calls may borrow, so the others are cancelled, and have ended before the error is told",
    cancelling_it_cancels_all,
    cancelled_while_it_collects_errors,
    nested,
    in_turns,
    within_a_limit,
}
