//! The event stream: every run keeps the rules, whatever it does, and watching changes nothing.
//!
//! In a debug build each of these runs also compares the fold with the loop's own tables, after every step.

#![cfg(feature = "observe")]

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use corio::net::{TcpListener, TcpStream};
use corio::observe::event::{End, Event, Record, Sent, Want, Why};
use corio::observe::state::Stage;
use corio::observe::{self, Answer, Names, Narrator, Observer, Recording, State, Stepper, Walk, mark};
use corio::{
    Builder, CancelScope, Generator, LoopHandle, Runner, Task, call_later, call_soon, current, is_timed_out, millis,
    say, scope, secs, shield, sleep, spawn, timeout, yield_now,
};

#[path = "../common/mod.rs"]
mod common;
mod handed;
mod places;
mod values;

use common::{Written, in_child};

type Log = Rc<RefCell<Vec<String>>>;

/// Runs a program under observation, checks every rule at every step, and hands the records over.
fn watched(runner: Runner, program: impl FnOnce() -> io::Result<()>) -> (Recording, io::Result<()>) {
    let recording = Recording::new();
    let result = runner.observer(recording.clone()).run(program);
    let mut state = State::new();
    for record in recording.records() {
        if let Err(broken) = state.check(&record) {
            panic!("{broken}\nby {record:?}\nin\n{}", recording.narrate(2));
        }
        state.apply(&record);
    }
    (recording, result)
}

fn events(recording: &Recording) -> Vec<Event> {
    recording.records().iter().map(|record| record.event).collect()
}

type Program = fn(&Log) -> io::Result<()>;

/// Programs on the virtual clock that between them do everything that tasks can do.
fn programs() -> Vec<(&'static str, Program)> {
    fn note(log: &Log, what: impl Into<String>) {
        log.borrow_mut().push(format!("{} {}", current().id(), what.into()));
    }
    vec![
        ("a scope whose child fails", |log| {
            let failed = scope(|s| {
                for n in 1..=3 {
                    s.spawn(move || {
                        let result = sleep(secs(n));
                        note(log, format!("{n}: {}", result.is_ok()));
                        if n == 2 { Err(io::Error::other("two")) } else { result }
                    });
                }
                sleep(secs(60))
            });
            note(log, failed.unwrap_err().to_string());
            Ok(())
        }),
        ("a scope whose child panics", |log| {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                scope(|s| {
                    s.spawn(|| sleep(secs(9)));
                    s.spawn(|| -> io::Result<()> { std::panic::resume_unwind(Box::new("on purpose")) });
                    Ok(())
                })
            }));
            note(log, format!("{}", caught.is_err()));
            yield_now()
        }),
        ("nested time limits and shields", |log| {
            let result = timeout(secs(5), || {
                let inner = timeout(secs(1), || sleep(secs(9)));
                note(log, format!("{}", is_timed_out(&inner.unwrap_err())));
                let patience = CancelScope::after(secs(1));
                let _ = patience.run(|| shield(secs(2), || sleep(secs(9))));
                sleep(secs(9))
            });
            note(log, format!("{}", is_timed_out(&result.unwrap_err())));
            Ok(())
        }),
        ("tasks that cancel each other and themselves", |log| {
            let first = spawn(|| sleep(secs(9)));
            let never = spawn(|| Ok(()));
            never.cancel();
            let (one, two) = (first.task(), log.clone());
            let other = spawn(move || {
                one.cancel();
                current().cancel();
                note(&two, format!("{}", sleep(secs(1)).is_err()));
                current().uncancel();
                sleep(secs(1))
            });
            note(log, format!("{}", first.join().is_err()));
            note(log, format!("{}", never.join().is_err()));
            other.join()
        }),
        ("callbacks, and a generator that sleeps", |log| {
            let late = log.clone();
            call_later(secs(2), move || late.borrow_mut().push("late".into()));
            let soon = log.clone();
            call_soon(move || drop(spawn(move || note(&soon, "from a callback"))));
            let ticks = Generator::new(|y| {
                for n in 0..3 {
                    y.yield_(n)?;
                    sleep(secs(1))?;
                }
                Ok(())
            });
            for tick in ticks {
                note(log, format!("tick {}", tick?));
            }
            Ok(())
        }),
        ("a run that ends before its tasks", |log| {
            for n in 1..=3 {
                let log = log.clone();
                drop(spawn(move || {
                    let _ = sleep(secs(60));
                    // One is gone at once, one says goodbye, and one ignores that it is over.
                    match n {
                        1 => Ok(()),
                        2 => shield(secs(5), || sleep(secs(1)).inspect(|()| note(&log, "goodbye"))),
                        _ => shield(secs(60), || scope(|s| s.spawn(|| sleep(secs(60))).join())),
                    }
                }));
            }
            call_later(secs(90), || unreachable!("nobody waits for this"));
            yield_now()
        }),
    ]
}

fn virtual_clock() -> Runner {
    Runner::new().virtual_clock().ctrl_c(false)
}

#[test]
fn every_program_keeps_the_rules() {
    for (name, program) in programs() {
        let log = Log::default();
        let (recording, result) = watched(virtual_clock(), || program(&log));
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(events(&recording).last(), Some(&Event::LoopStop), "{name}");
    }
}

/// A child on whose end its scope waits, and that hears nothing, is thrown out before the scope.
#[test]
fn what_a_shutdown_unwinds_keeps_the_rules() {
    let (recording, result) = watched(virtual_clock().grace(secs(0)), || {
        drop(spawn(|| {
            scope(|s| {
                s.spawn(|| {
                    while current().name() != "heard" {
                        let _ = sleep(secs(60));
                    }
                });
                Ok(())
            })
        }));
        sleep(secs(1))
    });
    result.unwrap();
    let events = events(&recording);
    let thrown = events.iter().filter_map(|event| match event {
        Event::Resume { task, sent: Sent::Throw, .. } => Some(*task),
        _ => None,
    });
    assert_eq!(thrown.collect::<Vec<_>>(), [3, 2], "the child goes before the scope that it belongs to");
    assert!(events.contains(&Event::GroupClose { group: 1 }));
}

#[test]
fn watching_changes_nothing() {
    for (name, program) in programs() {
        let (plain, seen) = (Log::default(), Log::default());
        virtual_clock().run(|| program(&plain)).unwrap();
        let (recording, _) = watched(virtual_clock(), || program(&seen));
        assert_eq!(plain, seen, "{name}");
        let (again, _) = watched(virtual_clock(), || program(&Log::default()));
        assert_eq!(recording.narrate(2), again.narrate(2), "{name}: the second run is another");
    }
}

/// Every task is resumed because it was made, or was woken after its last pause; and the record says by which event.
#[test]
fn every_resume_has_its_cause() {
    for (name, program) in programs() {
        let (recording, _) = watched(virtual_clock(), || program(&Log::default()));
        let records = recording.records();
        let at = |seq: u64| -> &Record { &records[seq as usize - 1] };
        for record in &records {
            let Event::Resume { task, sent, .. } = record.event else { continue };
            if sent == Sent::Throw {
                continue; // the shutdown waits for nobody
            }
            match at(record.cause).event {
                Event::Spawn { task: made, .. } => assert_eq!((made, sent), (task, Sent::Start), "{name}"),
                Event::Wake { task: woken, .. } => assert_eq!(woken, task, "{name}"),
                other => panic!("{name}: {record:?} because of {other:?}"),
            }
            let pauses = |other: &Record| matches!(other.event, Event::Yield { task: paused, .. } if paused == task);
            assert!(!records[record.cause as usize..record.seq as usize - 1].iter().any(pauses), "{name}");
        }
    }
}

#[test]
fn real_sockets_keep_the_rules() {
    let (recording, result) = watched(Runner::new(), || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        scope(|s| {
            s.spawn(|| {
                for _ in 0..8 {
                    let (mut stream, _) = listener.accept()?;
                    s.spawn(move || {
                        let mut byte = [0];
                        while stream.read(&mut byte)? == 1 {
                            sleep(millis(1))?;
                            stream.write_all(&byte)?;
                        }
                        Ok(())
                    });
                }
                Ok(())
            });
            for n in 0..8 {
                s.spawn(move || {
                    let mut stream = TcpStream::connect(address)?;
                    for _ in 0..5 {
                        stream.write_all(&[n])?;
                        let mut byte = [0];
                        stream.read_exact(&mut byte)?;
                        assert_eq!(byte, [n]);
                    }
                    // One socket is closed by another thread: its registration goes all the same.
                    if n == 0 {
                        std::thread::spawn(move || drop(stream)).join().unwrap();
                    }
                    Ok(())
                });
            }
            Ok(())
        })?;
        drop(listener);
        sleep(millis(2))
    });
    result.unwrap();
    let events = events(&recording);
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
    assert!(count(|event| matches!(event, Event::IoArm { .. })) >= 16);
    assert_eq!(
        count(|event| matches!(event, Event::IoArm { .. })),
        count(|event| matches!(event, Event::IoDrop { .. })),
        "what is registered is taken out again"
    );
}

#[test]
fn messages_from_other_threads_keep_the_rules() {
    let (recording, result) = watched(Runner::new(), || {
        let sleeper = spawn(|| sleep(secs(60)));
        let handle = LoopHandle::current()?;
        std::thread::spawn(move || {
            handle.call_soon(|| assert!(corio::all_tasks().iter().filter(|task| task.id() == 2).all(Task::cancel)))
        });
        assert!(sleeper.join().is_err());
        Ok(())
    });
    result.unwrap();
    assert!(events(&recording).contains(&Event::CancelAsk { task: 2, by: 0, why: Why::Requested }));
}

#[test]
fn the_time_of_a_task_is_split_three_ways() {
    let (recording, _) = watched(virtual_clock(), || {
        let task = spawn(|| sleep(secs(3)));
        sleep(secs(1))?;
        task.join()
    });
    let mut state = State::new();
    recording.records().iter().for_each(|record| state.apply(record));
    let task = &state.tasks[&2];
    assert_eq!(task.stage, Stage::Done(End::Returned));
    assert_eq!((task.running, task.ready, task.parked), (0, 0, 3_000_000_000));
    assert_eq!(state.tasks[&1].parked, 3_000_000_000);
}

/// What is left of runs that nobody watched is there for who watches the next one.
#[test]
fn what_earlier_runs_have_left_is_known_to_who_comes_late() {
    fn leave_something() -> io::Result<TcpListener> {
        call_later(secs(3), || ());
        call_soon(|| ());
        let listener = TcpListener::bind("127.0.0.1:0")?;
        assert!(is_timed_out(&timeout(millis(1), || listener.accept()).unwrap_err()));
        Ok(listener)
    }
    let rest = || {
        assert!(observe::dump().contains("1 source of I/O"), "{}", observe::dump());
        sleep(millis(1))
    };
    // Nobody has watched.
    let mut runner = Runner::new();
    let listener = runner.run(leave_something).unwrap();
    let mut runner = runner.observer(Recording::new());
    runner.run(rest).unwrap();
    drop(listener);
    // Whoever did has panicked, and had made a task in the middle of being told.
    let panics = |record: &Record, _: &Names| {
        if matches!(record.event, Event::IoArm { .. }) {
            drop(spawn(|| sleep(millis(1))));
            panic!("on purpose");
        }
    };
    let mut runner = Runner::new().observer(panics);
    let _listener = runner.run(leave_something).unwrap();
    let recording = Recording::new();
    let mut runner = runner.observer(recording.clone());
    runner.run(rest).unwrap();
    let made = |event: &Event| matches!(event, Event::Spawn { .. });
    assert_eq!(events(&recording).into_iter().filter(made).count(), 1, "{}", recording.narrate(2));
}

/// Also where a task that will never run is dropped by another one, and starts one more from its destructor; and where a callback
/// resumes a coroutine that starts one.
#[test]
fn observers_are_told_on_the_stack_of_the_loop() {
    struct StartsAnother;
    impl Drop for StartsAnother {
        fn drop(&mut self) {
            drop(Builder::new().eager().spawn(yield_now));
        }
    }
    let place = || {
        let here = 0_u8;
        std::hint::black_box(&raw const here).addr()
    };
    let main_stack = place();
    let (told, astray) = (Rc::new(RefCell::new(0)), Rc::new(RefCell::new(Vec::new())));
    let (count, strays) = (told.clone(), astray.clone());
    let watch = move |record: &Record, _: &Names| {
        *count.borrow_mut() += 1;
        if place().abs_diff(main_stack) > 1 << 20 {
            strays.borrow_mut().push(*record);
        }
    };
    let result = Runner::new().observer(watch).run(|| {
        let task = spawn(|| {
            scope(|s| {
                s.cancel();
                let captured = StartsAnother;
                let never_runs = move || {
                    let _captured = captured;
                    Ok(())
                };
                drop(Builder::new().eager().spawn_scoped(s, never_runs)?);
                Ok(())
            })
        });
        drop(task.join());
        call_soon(|| {
            let mut starts_one = Generator::new(|y| {
                drop(Builder::new().eager().spawn(yield_now)?);
                y.yield_(())
            });
            let _ = starts_one.start().unwrap();
        });
        sleep(millis(1))
    });
    result.unwrap();
    assert!(*told.borrow() > 10);
    assert!(astray.borrow().is_empty(), "{astray:?}");
}

/// In as many steps as there are tasks, and not as their square.
#[test]
fn of_a_crowd_in_scopes_it_is_soon_said_that_nobody_waits_in_a_circle() {
    let at = std::panic::Location::caller();
    let mut state = State::new();
    let mut tell = |event| state.apply(&Record { seq: 1, at: 0, cause: 0, event });
    const CROWD: u64 = 30_000;
    for n in 1..=CROWD {
        let (owner, child) = (n, CROWD + n);
        tell(Event::Spawn { task: owner, by: 0, group: n - 1, at });
        tell(Event::GroupOpen { group: n, task: owner, at });
        tell(Event::Spawn { task: child, by: owner, group: n, at });
        tell(Event::Yield { task: owner, want: Want::Children { group: n }, at });
        tell(Event::Yield { task: child, want: Want::Turn, at });
    }
    assert_eq!(state.cycle(), None);
    let last = CROWD;
    state.apply(&Record {
        seq: 1,
        at: 0,
        cause: 0,
        event: Event::Yield { task: 2 * last, want: Want::Join { task: 1 }, at },
    });
    assert_eq!(state.cycle().map(|cycle| cycle.len()), Some(CROWD as usize + 1));
}

#[test]
fn an_observer_that_panics_is_sent_away_and_the_run_goes_on() {
    let kept = Recording::new();
    let mut calls = 0;
    let result = virtual_clock()
        .observer(move |_: &Record, _: &observe::Names| {
            calls += 1;
            assert!(calls < 3, "on purpose");
        })
        .observer(kept.clone())
        .run(|| {
            say!("still here");
            sleep(secs(1))
        });
    result.unwrap();
    assert_eq!(events(&kept).last(), Some(&Event::LoopStop));
    assert!(kept.narrate(0).contains("still here"));
}

/// An observer may look around, and may even print: what it says comes after what it was told of.
#[test]
fn an_observer_may_use_the_library() {
    let kept = Recording::new();
    virtual_clock()
        .observer(|record: &Record, _: &observe::Names| {
            if matches!(record.event, Event::Yield { want: Want::Sleep { .. }, .. }) {
                assert!(observe::dump().contains("parked"));
                say!("somebody sleeps");
            }
        })
        .observer(kept.clone())
        .run(|| {
            say!("I");
            sleep(secs(1))?;
            say!("am awake");
            Ok(())
        })
        .unwrap();
    assert_eq!(kept.narrate(0), "I\nsomebody sleeps\nam awake\n");
}

/// The numbers of steps, tasks and texts are those of one loop.
#[test]
fn a_recording_is_of_one_loop() {
    let recording = Recording::new();
    for lines in [3, 1] {
        let mut runner = virtual_clock().observer(recording.clone());
        runner
            .run(|| {
                (0..lines).for_each(|n| say!("{n} of {lines}"));
                Ok(())
            })
            .unwrap();
    }
    assert_eq!(recording.narrate(0), "0 of 1\n");
    let mut runner = virtual_clock().observer(recording.clone());
    runner
        .run(|| {
            say!("one run");
            Ok(())
        })
        .unwrap();
    runner
        .run(|| {
            say!("and another");
            Ok(())
        })
        .unwrap();
    assert_eq!(recording.narrate(0), "one run\nand another\n");
}

#[test]
fn unwatched_nothing_is_recorded() {
    let recording = Recording::new();
    virtual_clock().run(|| sleep(secs(1))).unwrap();
    assert!(recording.records().is_empty());
    observe::mark("outside of any loop, this does nothing");
    assert_eq!(observe::dump(), "no event loop runs on this thread\n");
}

#[test]
fn what_the_program_prints_stands_alone_at_detail_0() {
    let (recording, _) = watched(virtual_clock(), || {
        say!("one");
        sleep(secs(1))?;
        say!("two\nand three");
        say!("");
        observe::mark("a mark is not printed by the program");
        Ok(())
    });
    assert_eq!(recording.narrate(0), "one\ntwo\nand three\n\n");
    // The same lines, set off, also the empty one; and a step tells of itself alone.
    let off = format!("{:19}two\n{:19}and three", "", "");
    assert!(recording.narrate(1).contains(&format!("\n{off}\n\n{:19}── a mark", "")), "{}", recording.narrate(1));
    let replay = recording.replay();
    let printed = recording.records().into_iter().filter(|record| matches!(record.event, Event::Out { .. }));
    let told: Vec<String> = printed.map(|record| replay.told_at(record.seq)).collect();
    assert_eq!(told, [format!("{:19}one", ""), off, String::new()]);
    // At detail 2, every step is there.
    let told = recording.narrate(2);
    for record in recording.records() {
        let own = matches!(record.event, Event::Out { .. } | Event::Mark { .. });
        let step = format!("{:>7} ", record.seq);
        assert_eq!(told.lines().any(|line| line.starts_with(&step)), !own, "{step} in\n{told}");
    }
}

/// Nobody reads a hundred names at each step, and a text of them would grow with the square of the tasks.
#[test]
fn of_a_crowd_only_the_first_are_named() {
    let (recording, _) = watched(virtual_clock(), || {
        let tasks: Vec<_> = (0..100).map(|_| spawn(|| sleep(secs(1)))).collect();
        tasks.into_iter().try_for_each(|task| task.join())
    });
    let told = recording.narrate(1);
    for begins in ["creates task-2, task-3, ", "timers 1, 2, "] {
        let line = told.lines().find(|line| line.contains(begins)).unwrap();
        assert!(line.contains("task-31, and 70 more"), "{line}");
    }
    let longest = recording.narrate(2).lines().map(str::len).max().unwrap();
    assert!(longest < 500, "{longest}");
    let mut seen = Vec::new();
    observe::Stepper::new(&recording).run(&b"t\nq\n"[..], &mut seen).unwrap();
    let seen = String::from_utf8(seen).unwrap();
    assert!(seen.contains("\n           and 71 more\nstep "), "main is parked too:\n{seen}");
}

/// A terminal would obey some of them.
#[test]
fn a_mark_stands_on_one_line_whatever_it_is_called() {
    let (recording, _) = watched(virtual_clock(), || {
        observe::mark("warm\n\u{1b}[2J\u{202e}");
        observe::mark(&"long".repeat(100_000));
        Ok(())
    });
    let narration = recording.narrate(1);
    assert!(narration.contains(r"── warm\n\u{1b}[2J\u{202e} ──"), "{narration}");
    assert!(narration.lines().all(|line| line.chars().count() < 200 && !line.contains(char::is_control)));
}

#[test]
fn a_task_stands_on_one_line_whatever_it_is_called() {
    let hang = |name: &str| -> (Recording, String, String) {
        let (recording, seen) = (Recording::new(), RefCell::default());
        let result = virtual_clock().observer(recording.clone()).run(|| {
            let task = Builder::new().name(name).spawn(|| corio::Event::new().wait())?;
            yield_now()?;
            seen.replace(observe::dump());
            task.join()
        });
        let report = result.unwrap_err().to_string();
        (recording, seen.into_inner(), report)
    };
    let (recording, dump, report) = hang("bad\n\u{1b}[2J\u{202e}");
    for text in [recording.narrate(1), dump, report] {
        assert!(text.contains(r"bad\n\u{1b}[2J\u{202e}"), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
    // More than a column of a table can be wide.
    let (recording, dump, report) = hang(&"long".repeat(20_000));
    for text in [recording.narrate(1), dump, report] {
        assert!(text.contains("longlong…") && text.lines().all(|line| line.chars().count() < 500), "{text}");
    }
}

/// A second runner counts from 1 again, tasks and all.
#[test]
fn a_recording_begins_anew_with_another_runner() {
    let recording = Recording::new();
    for n in [3, 1] {
        let program = || {
            (0..n).for_each(|n| say!("{n} of {n}"));
            Ok(())
        };
        virtual_clock().observer(recording.clone()).observer(recording.clone()).run(program).unwrap();
        let lines = events(&recording).iter().filter(|event| matches!(event, Event::Out { .. })).count();
        assert_eq!((lines, recording.replay().steps()), (n, recording.records().last().unwrap().seq));
    }
}

/// It is told of what it has started when all have been told of what came before.
#[test]
fn an_observer_may_start_tasks_at_once() {
    let started = Rc::new(RefCell::new(0));
    let starts = started.clone();
    let starter = move |record: &Record, _: &observe::Names| {
        if matches!(record.event, Event::Yield { task: 1, .. }) {
            *starts.borrow_mut() += 1;
            Builder::new().eager().spawn(|| yield_now()).unwrap();
        }
    };
    let (recording, result) = watched(virtual_clock().observer(starter), || {
        sleep(secs(1))?;
        sleep(secs(1))
    });
    result.unwrap();
    let ended = events(&recording).iter().filter(|event| matches!(event, Event::Complete { .. })).count();
    assert_eq!((*started.borrow(), ended), (2, 3), "{}", recording.narrate(2));
}

/// However many tasks there were: states are kept here and there, and each leads to the steps behind it.
#[test]
fn any_step_of_a_crowd_can_be_gone_to() {
    let (recording, _) = watched(virtual_clock(), || {
        for _ in 0..900 {
            drop(spawn(|| Ok(())));
            yield_now()?;
        }
        Ok(())
    });
    let (mut replay, mut state) = (recording.replay(), State::new());
    for record in recording.records() {
        state.apply(&record);
        if record.seq.is_multiple_of(97) || record.seq == replay.steps() {
            replay.go_to(record.seq);
            assert_eq!(replay.state(), &state);
        }
    }
    replay.go_to(0);
    assert_eq!(replay.state(), &State::new());
}

#[test]
fn a_stepper_takes_whatever_is_typed() {
    let (recording, _) = watched(virtual_clock(), || sleep(secs(1)));
    let typed = b"\xff\xfe\x00\ng -1\ng 99999999999999999999\nB :7\nw \nm \nf \xc3\ng 18446744073709551615\nt";
    let mut seen = Vec::new();
    Stepper::new(&recording).run(&typed[..], &mut seen).unwrap();
    let seen = String::from_utf8(seen).unwrap();
    assert!(seen.contains("is none of these") && seen.contains("no timer fires any more"), "{seen}");
}

/// What is said of a step is true of this one: a timer does what it was set for, and a cancellation is not what was waited for.
#[test]
fn a_step_is_explained_as_what_it_is() {
    let (recording, _) = watched(virtual_clock(), || {
        call_later(secs(1), || {});
        sleep(secs(2))?;
        assert!(timeout(secs(1), || sleep(secs(9))).is_err());
        let hung = spawn(|| sleep(secs(9)).or_else(|_| shield(secs(1), || sleep(secs(9)))));
        yield_now()?;
        hung.cancel();
        assert!(hung.join().is_err());
        Ok(())
    });
    let mut walk = Walk::new(recording.replay());
    let mut explained = || {
        assert_eq!(walk.command("t"), Answer::Moved);
        let Answer::Said(said) = walk.command("?") else { panic!("it is a question") };
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let said = [explained(), explained(), explained(), explained()];
    assert!(said[0].starts_with("A timer is due: the loop calls the function"), "{said:?}");
    assert!(said[1].starts_with("A timer is due: the task that waits for it becomes ready"), "{said:?}");
    assert!(said[2].starts_with("A time limit is met") && said[2].ends_with("cancellation.md)"), "{said:?}");
    assert!(said[3].starts_with("A shield has held for as long as it may"), "{said:?}");

    let cancelled = |record: &Record| matches!(record.event, Event::Resume { sent: Sent::Cancelled, .. });
    let step = recording.records().iter().find(|record| cancelled(record)).unwrap().seq;
    walk.command(&format!("g {step}"));
    let Answer::Said(said) = walk.command("?") else { panic!("it is a question") };
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("the call that waited fails: the task is cancelled") && said.contains("at the end of a scope"),
        "{said}"
    );
    walk.command("c"); // the wake
    let Answer::Said(said) = walk.command("?") else { panic!("it is a question") };
    assert!(said.trim_start().starts_with("What the task waited for has not come"), "{said}");
}

/// The numbers of the records go on from run to run; steps are those of what was seen.
#[test]
fn who_comes_late_to_a_runner_steps_through_what_is_left() {
    let (first, second) = (Recording::new(), Recording::new());
    let program = || spawn(|| sleep(secs(1))).join();
    let mut runner = virtual_clock().observer(first.clone());
    runner.run(program).unwrap();
    let seen = Written::default();
    let live = Stepper::live().observe(&b"t\nc\nr\nP\n"[..], seen.clone());
    runner = runner.observer(second.clone()).observer(live);
    runner.run(program).unwrap();
    let mut after = Vec::new();
    Stepper::new(&second).run(&b"t\nc\nr\nP\n"[..], &mut after).unwrap();
    let (during, after) = (seen.text(), String::from_utf8(after).unwrap());
    for text in [&during, &after] {
        assert!(
            text.contains("\nstep 16 of 18 > ") && text.contains("main       ► resume: send(None), goes on"),
            "{text}"
        );
    }
    assert_eq!((first.records().len(), second.records()[0].seq), (36, 1));
    assert!(second.records().iter().all(|record| record.cause < record.seq));
}

#[test]
fn nobody_reads_the_narration() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    virtual_clock().observer(Narrator::new(Broken)).run(|| sleep(secs(1))).unwrap();
}

#[test]
fn a_dump_needs_no_observer_and_tells_more_with_one() {
    fn look() -> io::Result<String> {
        scope(|s| {
            let reader = Builder::new().name("reader").spawn_scoped(s, || sleep(secs(9)))?;
            Builder::new().name("writer").spawn_scoped(s, move || reader.join())?;
            sleep(secs(2))?;
            s.spawn(|| Ok(()));
            let dump = observe::dump();
            s.cancel();
            Ok(dump)
        })
    }
    let plain = virtual_clock().run(look).unwrap();
    let (summary, tree) = plain.split_once("\n\n").unwrap();
    assert_eq!(
        summary,
        "loop at 2.000 s: 4 tasks, 1 ready; 1 timer (the next is due 9.000); 0 sources of I/O; 0 helper threads out"
    );
    let (tree, lists) = tree.split_once("\n\n").unwrap();
    assert_eq!(lists, "ready    task-4\ntimers   2: reader in 7.000\n");
    let rows: Vec<String> =
        tree.lines().map(|row| row.split("  ").map(str::trim).collect::<Vec<_>>().join("|")).collect();
    let expected = [
        &["task", "state", "waits for"][..],
        &["main (1)", "running"],
        &["└─ group 1"],
        &["├─ reader (2)", "parked", "timer 2, due 9.000"],
        &["├─ writer (3)", "parked", "reader to end"],
        &["└─ task-4 (4)", "new"],
    ];
    assert_eq!(rows.len(), expected.len(), "{plain}");
    for (row, parts) in rows.iter().zip(expected) {
        assert!(parts.iter().all(|part| row.contains(part)), "{row} lacks one of {parts:?} in\n{plain}");
    }
    let watched = virtual_clock().observer(Recording::new()).run(look).unwrap();
    assert!(watched.contains("parked 2.000 s   timer 2, due 9.000"), "{watched}");
    assert!(watched.contains("running 0.000 s"), "its resume was told before it ran:\n{watched}");
}

/// Of many tasks a line names some, and says how many there are.
#[test]
fn what_is_told_of_many_tasks_can_be_read() {
    let (recording, ended) = watched(virtual_clock(), || {
        let gun = corio::Event::new();
        scope(|s| {
            (0..1_000).for_each(|_| drop(s.spawn(|| gun.wait())));
            sleep(secs(1))?;
            gun.set();
            Ok(())
        })
    });
    ended.unwrap();
    let mut card = Vec::new();
    Stepper::new(&recording).run(&b"t\n"[..], &mut card).unwrap();
    let card = String::from_utf8(card).unwrap();
    assert!(card.lines().count() < 80 && card.contains("\n           and 971 more\n"), "{card}");
    let longest = recording.narrate(2).lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest < 500, "{longest}");
    let mut walk = Walk::new(recording.replay());
    let said = walk.command("w nobody");
    assert!(matches!(&said, Answer::Said(said) if said.contains("and 971 more")), "{said:?}");
}

#[test]
fn a_deadlock_names_the_circle() {
    let error = virtual_clock()
        .run(|| {
            let second: Rc<RefCell<Option<Task>>> = Rc::default();
            let later = second.clone();
            let ann = Builder::new().name("ann").spawn(move || {
                yield_now()?;
                let bob = later.borrow().clone();
                bob.expect("bob is there by now").wait()
            })?;
            let waits_for = ann.task();
            let bob = Builder::new().name("bob").spawn(move || waits_for.wait())?;
            *second.borrow_mut() = Some(bob.task());
            scope(|s| s.spawn(|| ann.wait()).join())
        })
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Deadlock);
    let text = error.to_string();
    assert!(text.starts_with("deadlock at 0.000 s: all 4 tasks wait, and nothing can ever wake them."), "{text}");
    assert!(text.ends_with("\ncycle: ann waits for bob, bob waits for ann\n"), "{text}");
    assert!(format!("{error:?}").contains(&text), "where `main` returns it, the text is readable too: {error:?}");
}

#[test]
fn a_deadlock_without_a_circle_says_what_each_waits_for() {
    let error = virtual_clock().run(|| sleep(std::time::Duration::MAX)).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("deadlock at 0.000 s: the only task waits, and nothing can ever wake it."), "{text}");
    assert!(text.contains("due never") && !text.contains("cycle"), "{text}");
}

fn sim_with(observer: impl Observer + 'static) -> Runner {
    Runner::new().virtual_clock().observer(observer)
}

/// Notes the name of each task at its resumes, and one record later than its end.
#[derive(Clone, Default)]
struct Background {
    seen: Rc<RefCell<Vec<String>>>,
    ended: Option<u64>,
}

impl Observer for Background {
    fn record(&mut self, record: &Record, names: &Names) {
        if let Some(task) = self.ended.take_if(|_| matches!(record.event, Event::Resume { .. })) {
            self.seen.borrow_mut().push(format!("{} has ended", names.task(task)));
        }
        match record.event {
            Event::Resume { task: task @ 2.., .. } => self.seen.borrow_mut().push(names.task(task)),
            Event::Complete { task, .. } => self.ended = Some(task),
            Event::Out { text, .. } | Event::Mark { text } => self.seen.borrow_mut().push(names.text(text).to_owned()),
            _ => {}
        }
    }

    fn is_background(&self) -> bool {
        true
    }
}

fn two_greetings() -> io::Result<()> {
    for name in ["Ada", "Grace"] {
        let greet = move || {
            say!("hello, {name}");
            Ok(())
        };
        Builder::new().name(name).spawn(greet)?.join()?;
    }
    mark("greeted");
    yield_now()
}

#[test]
fn a_background_observer_sees_all_and_what_it_was_told_is_forgotten() {
    let background = Background::default();
    sim_with(background.clone()).run(two_greetings).unwrap();
    let told = ["Ada", "hello, Ada", "task-2 has ended", "Grace", "hello, Grace", "task-3 has ended", "greeted"];
    assert_eq!(*background.seen.borrow(), told);

    let (background, recording) = (Background::default(), Recording::new());
    sim_with(background.clone()).observer(recording.clone()).run(two_greetings).unwrap();
    let told = ["Ada", "hello, Ada", "Ada has ended", "Grace", "hello, Grace", "Grace has ended", "greeted"];
    assert_eq!(*background.seen.borrow(), told, "with somebody in front nothing is");
    assert!(recording.narrate(1).contains("hello, Grace\n") && recording.narrate(1).contains("── greeted ──"));
}

#[test]
fn a_background_observer_takes_no_lines_from_the_terminal() {
    const NAME: &str = "a_background_observer_takes_no_lines_from_the_terminal";
    let ended = in_child(NAME, || sim_with(Background::default()).run(two_greetings).unwrap());
    assert!(ended.succeeded().stdout.contains("hello, Ada\nhello, Grace\n"), "{ended:?}");
}

#[test]
fn a_recording_that_comes_after_others_in_the_background_has_its_own_texts() {
    let mut runner = sim_with(Background::default());
    runner.run(two_greetings).unwrap();
    let recording = Recording::new();
    let mut runner = runner.observer(recording.clone());
    runner.run(two_greetings).unwrap();
    let told = recording.narrate(0);
    assert!(told.contains("hello, Ada") && told.contains("hello, Grace"), "{told}");
}

#[test]
fn whoever_watches_after_one_that_panicked_is_told_of_his_own_run_only() {
    let mut runner = sim_with(|record: &Record, _: &Names| assert!(record.seq < 5, "enough"));
    runner.run(two_greetings).unwrap(); // its story breaks off while main runs
    let recording = Recording::new();
    runner.observer(recording.clone()).run(two_greetings).unwrap(); // debug builds compare each step with the tables
    let records = recording.records();
    assert!(matches!(records[0].event, Event::LoopStart { .. }) && records.last().unwrap().event == Event::LoopStop);
}
