//! A runner: several runs on one loop, an early stop, and who is told of failures that nobody takes.
//!
//! `RUNNER-..`, `LOOP-..`, `FUT-..` are behaviours of asyncio.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::thread;

use common::{Finally, Log, logged, only, panic_of, runner, sim, since};
use corio::net::{TcpListener, TcpStream};
use corio::{
    Cause, ExceptionHandler, Failure, LoopHandle, Runner, all_tasks, call_later, call_soon, cancel_cause, current,
    is_cancelled, millis, now, run, scope, secs, set_exception_handler, shield, sleep, spawn, stop, yield_now,
};

// ---- several runs ------------------------------------------------------------------------------------------------

#[test]
fn runner_09_the_loop_is_made_by_the_first_run_and_kept() {
    let mut runner = runner();
    let (start, handle) = runner.run(|| Ok((now(), LoopHandle::current()?))).unwrap();
    runner.run(|| sleep(secs(5))).unwrap();
    let (id, passed) = runner.run(|| Ok((current().id(), since(start)))).unwrap();
    assert_eq!(passed, 5.0, "the clock goes on");
    assert_eq!(id, 3, "ids count on");
    assert!(!handle.is_closed());
    drop(runner);
    assert!(handle.is_closed());
}

#[test]
fn runner_05_a_closed_runner_refuses_and_closing_twice_does_nothing() {
    let mut runner = runner();
    runner.run(|| Ok(())).unwrap();
    runner.close();
    runner.close();
    let error = runner.run(|| -> io::Result<()> { unreachable!("it was refused") }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("closed"), "{error}");
    let mut fresh = Runner::new();
    fresh.close();
    assert!(fresh.run(|| Ok(())).is_err());
}

/// R3: nothing outlives its run, although the loop does.
#[test]
fn r3_no_task_timer_or_callback_outlives_its_run() {
    let log = Log::default();
    let mut runner = runner();
    runner
        .run(|| {
            let timer = log.at_drop("timer");
            call_later(secs(60), move || panic!("called too late, {:p}", &timer));
            let end = log.at_drop("task");
            spawn(move || {
                let _end = end;
                sleep(secs(3600))
            });
            sleep(secs(1))
        })
        .unwrap();
    assert_eq!(log.take(), "task timer");
    runner
        .run(|| {
            assert_eq!(all_tasks().len(), 1);
            sleep(secs(7200))
        })
        .unwrap();
    assert_eq!(log.take(), "");
}

#[test]
fn a_run_that_failed_panicked_or_was_stuck_leaves_a_runner_that_runs() {
    let mut runner = runner();
    assert!(runner.run(|| Err::<(), _>(io::Error::other("no"))).is_err());
    assert_eq!(panic_of(|| runner.run(|| -> io::Result<()> { panic!("oh") })), "oh");
    let (stuck, _) = logged(|| {
        runner.run(|| {
            let me = Rc::new(RefCell::new(None::<corio::Task>));
            let other = {
                let me = me.clone();
                spawn(move || {
                    let task = me.borrow().clone();
                    task.unwrap().wait()
                })
            };
            *me.borrow_mut() = Some(current());
            other.wait()
        })
    });
    assert_eq!(stuck.unwrap_err().kind(), ErrorKind::Deadlock);
    assert_eq!(
        runner
            .run(|| spawn(|| {
                sleep(secs(1))?;
                Ok(7)
            })
            .join())
            .unwrap(),
        7
    );
}

#[test]
fn a_runner_may_be_idle_while_another_runs_on_the_same_thread() {
    let (mut one, mut two) = (runner(), runner());
    for n in 0..3 {
        assert_eq!(one.run(|| spawn(move || Ok(n)).join()).unwrap(), n);
        two.run(|| {
            let refused = one.run(|| -> io::Result<()> { unreachable!("it was refused") });
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
            sleep(secs(1))
        })
        .unwrap();
    }
    // A loop may even end while another one runs.
    two.run(|| {
        one.close();
        yield_now()
    })
    .unwrap();
}

/// What is registered with the kernel stays registered; what is closed between the runs is forgotten.
#[test]
fn sockets_made_in_one_run_work_in_the_next() {
    let mut runner = Runner::new().ctrl_c(false);
    let (listener, mut near) = runner
        .run(|| {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?;
            let client = spawn(move || TcpStream::connect(address));
            let (mut far, _) = listener.accept()?;
            let mut near = client.join()?;
            let sender = spawn(move || {
                yield_now()?;
                far.write_all(b"one")?;
                sleep(millis(1))?;
                Ok(far)
            });
            near.read_exact(&mut [0; 3])?;
            drop(sender.join()?);
            Ok((listener, near))
        })
        .unwrap();
    runner
        .run(|| {
            assert_eq!(near.read(&mut [0; 8])?, 0, "the other end was closed");
            let address = listener.local_addr()?;
            let accepted = spawn(move || {
                let (far, _) = listener.accept()?;
                drop(listener);
                Ok(far)
            });
            yield_now()?;
            let mut again = TcpStream::connect(address)?;
            accepted.join()?.write_all(b"two")?;
            let mut text = String::new();
            again.read_to_string(&mut text)?;
            assert_eq!(text, "two");
            Ok(())
        })
        .unwrap();
    drop(near);
    runner.run(yield_now).unwrap();
}

#[test]
fn what_other_threads_send_between_two_runs_is_done_in_the_next() {
    let mut runner = runner();
    let handle = runner.run(LoopHandle::current).unwrap();
    let (told, tell) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for n in 0..3 {
            let told = told.clone();
            handle.call_soon(move || told.send(n).unwrap()).unwrap();
        }
    })
    .join()
    .unwrap();
    assert!(tell.try_recv().is_err());
    runner.run(|| sleep(secs(1))).unwrap();
    assert_eq!(tell.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn an_observer_sees_every_run_in_one_numbering() {
    let (steps, starts) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (last, started) = (steps.clone(), starts.clone());
    let mut runner = runner().observer(move |record: &corio::observe::event::Record, _: &corio::observe::Names| {
        assert_eq!(record.seq, last.get() + 1);
        last.set(record.seq);
        if matches!(record.event, corio::observe::event::Event::LoopStart { .. }) {
            started.set(started.get() + 1);
        }
    });
    for _ in 0..3 {
        runner.run(|| spawn(|| sleep(secs(1))).join()).unwrap();
    }
    assert_eq!(starts.get(), 3);
    assert!(steps.get() > 30, "{}", steps.get());
}

// ---- stop ----------------------------------------------------------------------------------------------------------

#[test]
fn loop_13_stop_ends_the_run_with_an_error_that_says_so_and_not_the_next_one() {
    let log = Log::default();
    let mut runner = runner();
    let stopped = runner.run(|| {
        let log = log.clone();
        call_later(secs(1), || {
            stop();
            stop();
        });
        spawn({
            let log = log.clone();
            move || sleep(secs(100)).inspect_err(|_| log.say("child"))
        });
        let slept = sleep(secs(100));
        log.say(format!("main: {:?}", cancel_cause()));
        shield(secs(1), || sleep(millis(10)))?;
        log.say(since(now() - millis(1010)));
        slept
    });
    let error = stopped.unwrap_err();
    assert!(is_cancelled(&error) && error.to_string().contains("stopped"), "{error}");
    assert!(log.take().starts_with(&format!("main: {:?} child", Some(Cause::Shutdown))));
    runner.run(|| sleep(secs(1))).unwrap();
}

/// LOOP-10 differs: what the turn of the stop has scheduled belongs to this run, and is called if it goes on for a turn.
#[test]
fn loop_10_stop_lets_the_turn_finish() {
    let log = Log::default();
    let stopped = sim(|| {
        for n in 0..4 {
            let log = log.clone();
            call_soon(move || {
                log.say(n);
                if n == 1 {
                    stop();
                }
            });
        }
        sleep(secs(1))
    });
    assert!(stopped.is_err());
    assert_eq!(log.take(), "0 1 2 3");
}

#[test]
fn a_main_task_that_ends_well_after_a_stop_decides_the_outcome() {
    let value = sim(|| {
        stop();
        let _ = sleep(secs(1));
        Ok(5)
    });
    assert_eq!(value.unwrap(), 5);
    let failed = sim(|| {
        stop();
        Err::<(), _>(io::Error::other("its own"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "its own", "it had ended before the stop was seen");
}

#[test]
fn stop_from_another_thread_goes_through_a_handle() {
    let stopped = run(|| {
        let handle = LoopHandle::current()?;
        thread::spawn(move || handle.call_soon(stop));
        sleep(secs(3600))
    });
    assert!(stopped.unwrap_err().to_string().contains("stopped"));
}

#[test]
fn stop_outside_a_loop_panics() {
    assert!(panic_of(stop).contains("needs a running loop"));
}

// ---- the exception handler -------------------------------------------------------------------------------------------

/// A handler that writes what it hears into a log.
fn into(log: &Log) -> impl Fn(&Failure<'_>) + 'static {
    let log = log.clone();
    move |failure| log.say(format!("[{} {:?}]", failure.text(), failure.task_name()))
}

#[test]
fn loop_19_a_failing_callback_reaches_the_handler_and_the_loop_carries_on() {
    let log = Log::default();
    let (result, lines) = logged(|| {
        runner().exception_handler(into(&log)).run(|| {
            call_soon(|| panic!("one"));
            call_later(secs(1), || panic!("two"));
            let after = log.clone();
            call_later(secs(2), move || after.say("after"));
            sleep(secs(3))
        })
    });
    result.unwrap();
    assert_eq!(log.take(), "[one None] [two None] after");
    assert!(!lines.iter().any(|line| line.starts_with("ERROR")), "{lines:?}");
}

#[test]
fn loop_20_without_a_handler_failures_are_logged_and_the_setter_gives_back_what_was_set() {
    let log = Log::default();
    let handler: ExceptionHandler = Rc::new(into(&log));
    let (result, lines) = logged(|| {
        sim(|| {
            call_soon(|| panic!("to the log"));
            yield_now()?;
            assert!(set_exception_handler(Some(handler.clone())).is_none());
            call_soon(|| panic!("to the handler"));
            yield_now()?;
            let before = set_exception_handler(None);
            assert!(Rc::ptr_eq(&before.unwrap(), &handler));
            call_soon(|| panic!("to the log again"));
            yield_now()
        })
    });
    result.unwrap();
    assert_eq!(log.take(), "[to the handler None]");
    only(&lines, "ERROR", &["the callback scheduled at tests/runner.rs:", "panicked: to the log again"]);
    assert_eq!(lines.iter().filter(|line| line.starts_with("ERROR")).count(), 2);
}

#[test]
fn loop_21_a_handler_that_fails_is_logged_with_what_it_was_told() {
    let (result, lines) = logged(|| {
        runner().exception_handler(|failure| panic!("cannot take {:?}", failure.text())).run(|| {
            call_soon(|| panic!("first"));
            yield_now()?;
            spawn(|| Err::<(), _>(io::Error::other("second")));
            sleep(secs(1))
        })
    });
    result.unwrap();
    only(
        &lines,
        "ERROR",
        &["the exception handler panicked: cannot take \"first\"", "scheduled at", "panicked: first"],
    );
    only(&lines, "ERROR", &["the exception handler panicked", "second"]);
}

#[test]
fn errors_and_panics_that_nobody_takes_reach_the_handler_with_their_values() {
    let log = Log::default();
    let heard = log.clone();
    let handler = move |failure: &Failure<'_>| {
        let error = failure.error::<io::Error>().map(io::Error::kind);
        let panic = failure.panic().and_then(|payload| payload.downcast_ref::<u8>());
        heard.say(format!(
            "{:?} {error:?} {panic:?} {}",
            failure.task_id(),
            failure.place().file().ends_with("runner.rs")
        ));
    };
    runner()
        .exception_handler(handler)
        .run(|| {
            spawn(|| Err::<(), _>(ErrorKind::NotFound.into()));
            let kept = spawn(|| Err::<(), _>(ErrorKind::AddrInUse.into()));
            let taken = spawn(|| Err::<(), _>(io::Error::other("taken")));
            spawn(|| -> io::Result<()> { std::panic::panic_any(7u8) });
            sleep(secs(1))?;
            assert_eq!(log.take(), "Some(2) Some(NotFound) None true Some(5) None Some(7) true");
            drop(kept);
            assert_eq!(log.take(), "Some(3) Some(AddrInUse) None true");
            assert!(taken.join().is_err());
            // What a cancellation has cut short is no failure.
            spawn(|| sleep(secs(1))).cancel();
            yield_now()
        })
        .unwrap();
    assert_eq!(log.take(), "");
}

#[test]
fn fut_12_a_done_callback_that_fails_is_reported_and_the_others_run() {
    let log = Log::default();
    runner()
        .exception_handler(into(&log))
        .run(|| {
            let task = spawn(|| Ok(()));
            let (one, two) = (log.clone(), log.clone());
            task.on_done(move |_| one.say("one"));
            task.on_done(|_| panic!("not me"));
            task.on_done(move |task| two.say(format!("two {}", task.is_done())));
            sleep(secs(1))
        })
        .unwrap();
    assert_eq!(log.take(), "one [not me None] two true");
}

/// R7: the handler may do whatever the loop's other callbacks may, but not wait.
#[test]
fn r7_a_handler_may_use_the_loop_but_not_wait() {
    let log = Log::default();
    let heard = log.clone();
    let handler = move |failure: &Failure<'_>| {
        heard.say(failure.text());
        set_exception_handler(None);
        let later = heard.clone();
        spawn(move || {
            sleep(secs(1))?;
            later.say("spawned");
            Ok(())
        });
        let later = heard.clone();
        call_soon(move || later.say("called"));
        let _end = Finally({
            let end = heard.clone();
            move || end.say("unwound")
        });
        let _ = sleep(secs(1));
        heard.say("not reached");
    };
    let (result, lines) = logged(|| {
        runner().exception_handler(handler).run(|| {
            spawn(|| Err::<(), _>(io::Error::other("first")));
            sleep(secs(3))
        })
    });
    result.unwrap();
    assert!(log.take().ends_with("unwound called spawned"));
    only(&lines, "ERROR", &["the exception handler panicked", "no_suspend"]);
}

#[test]
fn the_failure_of_a_handle_kept_beyond_the_run_is_logged() {
    let log = Log::default();
    let (_, lines) = logged(|| {
        let kept = runner()
            .exception_handler(into(&log))
            .run(|| {
                let task = spawn(|| Err::<(), _>(io::Error::other("late")));
                yield_now()?;
                Ok(vec![task])
            })
            .unwrap();
        drop(kept);
    });
    assert_eq!(log.take(), "");
    only(&lines, "ERROR", &["failed and nobody joined it", "late"]);
}

#[test]
fn the_other_panics_of_a_scope_are_told_too() {
    let log = Log::default();
    let text = panic_of(|| {
        runner().exception_handler(into(&log)).run(|| {
            scope(|s| {
                for n in 0..2 {
                    s.spawn(move || -> io::Result<()> {
                        let _ = yield_now();
                        panic!("child {n}")
                    });
                }
                Ok(())
            })
        })
    });
    assert_eq!(text, "child 0");
    assert_eq!(log.take(), "[child 1 None]");
}

#[test]
fn loop_04_a_handle_tells_its_deadline() {
    sim(|| {
        let start = now();
        let later = call_later(secs(2), || {});
        assert_eq!(later.when(), Some(start + secs(2)));
        assert_eq!(call_soon(|| {}).when(), None);
        sleep(secs(3))?;
        assert_eq!(later.when(), None);
        Ok(())
    })
    .unwrap();
}
