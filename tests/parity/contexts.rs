//! Variables that belong to a task.

use std::io;

use corio::{TaskLocal, call_soon, gather, scope, secs, sleep, spawn, yield_now};

static USER: TaskLocal<&str> = TaskLocal::new();

fn user() -> &'static str {
    USER.get().unwrap_or("nobody")
}

fn without_a_value() -> io::Result<()> {
    say!("{}", user());
    USER.set("ada");
    say!("{}", user());
    Ok(())
}

fn a_child_inherits_a_copy() -> io::Result<()> {
    USER.set("ada");
    let child = spawn(|| {
        say!("child sees {}", user());
        USER.set("grace");
        say!("child has {}", user());
    });
    child.join()?;
    say!("main still has {}", user());
    Ok(())
}

fn what_the_parent_sets_later_is_not_seen() -> io::Result<()> {
    USER.set("ada");
    let child = spawn(|| {
        sleep(secs(1))?;
        say!("child sees {}", user());
        Ok(())
    });
    USER.set("grace");
    child.join()
}

fn interleaved_tasks_do_not_mix() -> io::Result<()> {
    fn handle(name: &'static str) -> io::Result<()> {
        USER.set(name);
        for _ in 0..2 {
            sleep(secs(1))?;
            say!("{name} is {}", user());
        }
        Ok(())
    }

    gather(["ada", "grace"], handle)?;
    say!("main is {}", user());
    Ok(())
}

fn a_call_is_no_task() -> io::Result<()> {
    fn call() {
        USER.set("grace");
    }

    USER.set("ada");
    call();
    say!("{}", user());
    Ok(())
}

fn children_of_a_group() -> io::Result<()> {
    USER.set("ada");
    scope(|s| {
        s.spawn(|| say!("child sees {}", user()));
        USER.set("grace");
        s.spawn(|| say!("child sees {}", user()));
    })
}

fn grandchildren() -> io::Result<()> {
    USER.set("ada");
    let child = spawn(|| {
        USER.set("grace");
        spawn(|| say!("grandchild sees {}", user()))
    });
    child.join()
}

fn callbacks_see_what_was_there() -> io::Result<()> {
    USER.set("ada");
    call_soon(|| {
        say!("callback sees {}", user());
        USER.set("barbara");
    });
    USER.set("grace");
    yield_now()?;
    say!("main has {}", user());
    Ok(())
}

fn set_and_put_back() -> io::Result<()> {
    USER.set("ada");
    let token = USER.set("grace");
    say!("{}", user());
    USER.reset(token)?;
    say!("{}", user());
    Ok(())
}

scenarios! {
    without_a_value,
    a_child_inherits_a_copy,
    what_the_parent_sets_later_is_not_seen,
    interleaved_tasks_do_not_mix,
    a_call_is_no_task,
    children_of_a_group,
    grandchildren,
    callbacks_see_what_was_there,
    set_and_put_back,
}
