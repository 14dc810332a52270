//! Functions that the loop calls.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use corio::{TimerHandle, call_at, call_later, call_soon, millis, now, secs, set_exception_handler, sleep, spawn, yield_now};

use crate::yes;

fn soon_in_order() -> io::Result<()> {
    for n in 0..3 {
        call_soon(move || say!("callback {n}"));
    }
    say!("none has run");
    yield_now()?;
    say!("all have run");
    Ok(())
}

fn a_callback_adds_another() -> io::Result<()> {
    call_soon(|| {
        say!("first");
        call_soon(|| say!("third"));
    });
    call_soon(|| say!("second"));
    yield_now()?;
    say!("main");
    yield_now()
}

fn later_by_deadline() -> io::Result<()> {
    call_later(secs(2), || say!("two"));
    call_later(millis(500), || say!("half"));
    call_at(now() + secs(1), || say!("one"));
    sleep(secs(3))
}

fn past_deadlines_by_deadline() -> io::Result<()> {
    sleep(secs(5))?;
    call_soon(|| say!("soon"));
    call_at(now() - secs(1), || say!("a second ago"));
    call_at(now() - secs(2), || say!("two seconds ago"));
    call_later(secs(0), || say!("now"));
    sleep(secs(1))
}

fn cancelled_in_time() -> io::Result<()> {
    let soon = call_soon(|| say!("soon: never"));
    let later = call_later(secs(1), || say!("later: never"));
    call_later(secs(1), || say!("another"));
    soon.cancel();
    later.cancel();
    sleep(secs(2))
}

fn cancelled_in_the_turn_in_which_it_is_due() -> io::Result<()> {
    let second: Rc<RefCell<Option<TimerHandle>>> = Rc::default();
    call_later(secs(1), {
        let second = second.clone();
        move || {
            say!("first");
            second.take().unwrap().cancel();
        }
    });
    *second.borrow_mut() = Some(call_later(secs(1), || say!("second: never")));
    sleep(secs(2))?;
    say!("over");
    Ok(())
}

fn the_first_timer_is_cancelled() -> io::Result<()> {
    call_later(secs(1), || say!("never")).cancel();
    call_later(secs(3), || say!("three"));
    sleep(secs(4))
}

fn a_callback_starts_a_task() -> io::Result<()> {
    let tasks = Rc::new(RefCell::new(Vec::new()));
    call_later(secs(1), {
        let tasks = tasks.clone();
        move || {
            let task = spawn(|| {
                say!("child begins");
                sleep(secs(1))?;
                say!("child ends");
                Ok(())
            });
            tasks.borrow_mut().push(task);
        }
    });
    sleep(millis(1500))?;
    let task = tasks.borrow_mut().remove(0);
    task.join()
}

fn a_callback_that_fails() -> io::Result<()> {
    set_exception_handler(Some(Rc::new(|failure| say!("reported: {}", failure.text()))));
    call_soon(|| {
        say!("fails");
        panic!("boom");
    });
    call_soon(|| say!("the next one"));
    sleep(secs(1))?;
    say!("the loop goes on");
    Ok(())
}

fn done_callbacks() -> io::Result<()> {
    let task = spawn(|| {
        sleep(secs(1))?;
        say!("child ends");
        Ok(())
    });
    task.on_done(|task| say!("first; done: {}", yes(task.is_done())));
    task.on_done(|_| say!("second"));
    sleep(secs(2))
}

fn a_done_callback_comes_too_late() -> io::Result<()> {
    let task = spawn(|| say!("child"));
    sleep(secs(1))?;
    task.on_done(|_| say!("called all the same"));
    say!("not at once");
    yield_now()?;
    say!("but in the next turn");
    Ok(())
}

fn a_chain_of_callbacks_lets_others_run() -> io::Result<()> {
    fn again(n: i32) {
        say!("callback {n}");
        if n < 4 {
            call_soon(move || again(n + 1));
        }
    }

    call_soon(|| again(1));
    let child = spawn(|| {
        for n in 0..3 {
            say!("task {n}");
            yield_now()?;
        }
        Ok(())
    });
    child.join()
}

fn a_callback_every_second() -> io::Result<()> {
    fn tick(n: i32) {
        say!("tick {n}");
        if n < 3 {
            call_later(secs(1), move || tick(n + 1));
        }
    }

    call_later(secs(1), || tick(1));
    sleep(secs(5))?;
    say!("over");
    Ok(())
}

scenarios! {
    soon_in_order,
    a_callback_adds_another,
    later_by_deadline,
    past_deadlines_by_deadline,
    cancelled_in_time,
    cancelled_in_the_turn_in_which_it_is_due,
    the_first_timer_is_cancelled,
    a_callback_starts_a_task,
    a_callback_that_fails,
    done_callbacks,
    a_done_callback_comes_too_late,
    a_chain_of_callbacks_lets_others_run,
    a_callback_every_second,
}
