//! Debug mode, hooks at switches, and tasks that start at once.
//!
//! `DEBUG-..`, `EAGER-..`, `CTX-..` are behaviours of asyncio, `D..` faults that must be survived.
//! No test here believes a clock: what is to be slow goes on until it was noticed, or takes a time that is measured.

mod common;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use common::{Log, PATIENCE, child_with, panic_of, plays, runner, sim};
use corio::observe::Recording;
use corio::{
    Builder, Generator, Runner, Switch, TaskLocal, all_tasks, call_soon, current, is_cancelled, is_debug, is_timed_out,
    millis, run, scope, secs, set_debug, sleep, spawn, timeout, yield_now,
};

/// Hands the lines of `corio::debug` to whoever asks for those with a word of his own: tests run side by side.
struct Ears(Mutex<Vec<(String, Sender<String>)>>);

static EARS: Ears = Ears(Mutex::new(Vec::new()));

impl log::Log for Ears {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}: {}", record.level(), record.target(), record.args());
        for (word, ear) in self.0.lock().unwrap().iter() {
            if line.contains(word.as_str()) {
                let _ = ear.send(line.clone());
            }
        }
    }

    fn flush(&self) {}
}

/// The lines that contain the word, as they come.
fn listen(word: &str) -> std::sync::mpsc::Receiver<String> {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        log::set_logger(&EARS).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
    let (ear, lines) = channel();
    EARS.0.lock().unwrap().push((word.to_owned(), ear));
    lines
}

/// Keeps the thread for at least so long.
fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[test]
fn debug_01_off_by_default_and_set_by_argument_by_environment_and_at_run_time() {
    const NAME: &str = "debug_01_off_by_default_and_set_by_argument_by_environment_and_at_run_time";
    if plays(NAME) {
        assert!(is_debug() && run(|| Ok(is_debug())).unwrap());
        assert!(!Runner::new().debug(false).run(|| Ok(is_debug())).unwrap());
        return;
    }
    child_with(NAME, &[("CORIO_DEBUG", "1")]).succeeded();
    if std::env::var_os("CORIO_DEBUG").is_some() {
        return;
    }
    assert!(!is_debug() && !run(|| Ok(is_debug())).unwrap());
    let mut runner = Runner::new().debug(true);
    for _ in 0..2 {
        runner
            .run(|| {
                assert!(is_debug());
                set_debug(false);
                assert!(!is_debug());
                set_debug(true);
                sleep(millis(1))?;
                assert!(is_debug());
                Ok(())
            })
            .unwrap();
    }
    assert!(panic_of(|| set_debug(true)).contains("inside `corio::run`"));
}

/// DEBUG-04: with the places where it was spawned, resumed and paused.
#[test]
fn debug_02_a_slow_step_is_named_with_its_time_and_a_quick_one_is_not() {
    let (slow, quick) = (listen("the slow one"), listen("the quick one"));
    Runner::new()
        .debug(true)
        .slow_step(millis(20))
        .run(|| {
            let slow = Builder::new().name("the slow one").spawn(|| {
                yield_now()?;
                burn(millis(20));
                yield_now()
            })?;
            // Its limit cannot be met: it is not measured against a clock that a busy machine could move.
            slow.join()
        })
        .unwrap();
    Runner::new()
        .debug(true)
        .slow_step(secs(3600))
        .run(|| Builder::new().name("the quick one").spawn(|| burn(millis(5)))?.join())
        .unwrap();
    let line = slow.try_iter().find(|line| line.contains("without a pause")).expect("the slow step");
    let here = "tests/debug_mode.rs:";
    assert!(line.starts_with("WARN corio::debug: task \"the slow one\" (2, spawned at tests/debug_mode.rs:"), "{line}");
    assert_eq!(line.matches(here).count(), 3, "{line}");
    assert!(line.contains("ms without a pause, from"), "{line}");
    assert_eq!(quick.try_iter().next(), None);
}

#[test]
fn debug_02_a_slow_callback_is_named_too() {
    let lines = listen("the callback scheduled at tests/debug_mode.rs");
    Runner::new()
        .debug(true)
        .slow_step(millis(1))
        .run(|| {
            call_soon(|| burn(millis(2)));
            sleep(millis(5))
        })
        .unwrap();
    assert!(lines.try_iter().any(|line| line.contains(" took ")));
}

/// D1, D8: who hogs the loop is named while it does so, and once.
#[test]
fn d1_d8_the_watchdog_names_who_blocks_the_loop_while_it_does() {
    let hog = listen("hog");
    Runner::new()
        .debug(true)
        .slow_step(millis(5))
        .run(|| {
            let blocked = Builder::new().name("hog").spawn(move || {
                yield_now()?;
                // As a lock of std, held by another task of this loop, would do; it ends when the watchdog has spoken, and has
                // had time to do so again.
                let line = hog.recv_timeout(PATIENCE);
                burn(millis(50));
                Ok((line, hog))
            })?;
            let (line, hog) = blocked.join()?;
            let line = line.expect("the watchdog speaks");
            let again = hog.try_iter().filter(|line| line.contains("blocks the loop")).count();
            assert_eq!(again, 0, "once for each step");
            assert!(line.contains("task \"hog\" (2, spawned at tests/debug_mode.rs:"), "{line}");
            assert!(line.contains("blocks the loop") && line.contains("it went on at tests/debug_mode.rs:"), "{line}");
            Ok(())
        })
        .unwrap();
}

/// D8: nobody is named while the loop is idle.
#[test]
fn d8_the_watchdog_takes_no_idle_loop_for_a_blocked_one() {
    let idle = listen("idler");
    let is_named = || {
        let mut runner = Runner::new().debug(true).slow_step(millis(5));
        runner.run(|| Builder::new().name("idler").spawn(|| sleep(millis(30)))?.join()).unwrap();
        idle.try_iter().any(|line| line.contains("blocks the loop"))
    };
    // On a busy machine the thread itself may not run for so long, once or twice.
    assert!((0..10).any(|_| !is_named()));
}

/// D1, of a task without a stack.
#[test]
fn d1_the_watchdog_names_a_future_that_blocks_the_loop() {
    let hog = listen("awaited one");
    Runner::new()
        .debug(true)
        .slow_step(millis(5))
        .run(|| {
            let blocked = Builder::new().name("awaited one").spawn_local(async move {
                corio::aio::yield_now().await?;
                Ok(hog.recv_timeout(PATIENCE)) // as an executor of somebody else's would wait in a poll
            })?;
            let line = blocked.join()?.expect("the watchdog speaks");
            assert!(line.contains("task \"awaited one\" (2, spawned at tests/debug_mode.rs:"), "{line}");
            assert!(line.contains("blocks the loop") && line.contains("it went on at tests/debug_mode.rs:"), "{line}");
            Ok(())
        })
        .unwrap();
}

#[test]
fn debug_mode_that_begins_during_a_run_knows_the_tasks_that_are_there() {
    let late = listen("known before");
    Runner::new()
        .slow_step(millis(1))
        .run(|| {
            let task = Builder::new().name("known before").spawn(|| {
                sleep(millis(1))?;
                burn(millis(2));
                Ok(())
            })?;
            yield_now()?;
            set_debug(true);
            task.join()
        })
        .unwrap();
    let line = late.try_iter().find(|line| line.contains("without a pause")).expect("a line");
    assert_eq!(line.matches("tests/debug_mode.rs:").count(), 2, "{line}");
    assert!(line.contains("to its end"), "{line}");
}

/// Where the program has a logger, its lines stay its own; here there is none.
#[cfg(feature = "env_logger")]
#[test]
fn without_a_logger_debug_mode_writes_to_standard_error_and_names_the_task() {
    const TEST: &str = "without_a_logger_debug_mode_writes_to_standard_error_and_names_the_task";
    if plays(TEST) {
        return run(|| {
            let task = Builder::new().name("importer").spawn(|| {
                drop(Generator::<u32>::new(|_| Ok(())));
                log::warn!("a line of the program's");
                log::info!("not asked for");
                sleep(millis(1))
            })?;
            task.join()
        })
        .unwrap();
    }
    let said = child_with(TEST, &[("CORIO_DEBUG", "1")]).succeeded().stderr.clone();
    let shape = |line: &str| line.replace(|c: char| c.is_ascii_digit(), "0");
    let shown = shape(common::shown_in("docs/book/debugging.md", "[").trim_end_matches("..."));
    assert!(said.lines().any(|line| shape(line).starts_with(&shown)), "{said} {shown}");
    assert!(said.contains("WARN debug_mode importer] a line of the program's"), "{said}");
    assert!(!said.contains("not asked for"), "{said}");
    let said = child_with(TEST, &[("CORIO_DEBUG", "1"), ("CORIO_LOG", "info")]).succeeded().stderr.clone();
    assert!(said.contains("INFO debug_mode importer] not asked for"), "{said}");
    let said = child_with(TEST, &[("CORIO_DEBUG", "")]).succeeded().stderr.clone();
    assert!(!said.contains("importer]"), "{said}");
}

/// A7: the hook prints no more than the thread's name, which all tasks share.
#[test]
fn a7_in_debug_mode_a_panic_is_preceded_by_the_name_of_its_task() {
    const NAME: &str = "a7_in_debug_mode_a_panic_is_preceded_by_the_name_of_its_task";
    if plays(NAME) {
        for debug in [true, false] {
            let digger = move || -> io::Result<()> { panic!("{}", if debug { "deep" } else { "unnamed" }) };
            let end = Runner::new().debug(debug).run(|| {
                Builder::new().name("digger").spawn(digger)?.outcome();
                Ok(())
            });
            end.unwrap();
        }
        return;
    }
    let said = child_with(NAME, &[("CORIO_DEBUG", "")]).succeeded().stderr.clone();
    let (before, after) = said.split_once("deep").expect("the panic");
    assert!(before.contains("corio: task \"digger\" (2, spawned at tests/debug_mode.rs:"), "{said}");
    assert!(after.contains("unnamed") && !after.contains("digger"), "{said}");
}

#[test]
fn what_was_made_for_nothing_is_named() {
    let (coroutines, tasks) = (listen("the coroutine made at tests/debug_mode.rs"), listen("never done"));
    let program = || {
        drop(Generator::new(|y| y.yield_(1)));
        let mut half = Generator::new(|y| y.yield_(1));
        half.next();
        drop(half);
        let mut whole = Generator::new(|y| y.yield_(1));
        whole.by_ref().for_each(drop);
        Builder::new().name("never done").spawn(|| sleep(secs(3600)))?;
        sleep(millis(1))
    };
    runner().run(program).unwrap();
    assert_eq!(coroutines.try_iter().count() + tasks.try_iter().count(), 0);
    runner().debug(true).run(program).unwrap();
    let said: Vec<String> = coroutines.try_iter().collect();
    assert!(said[0].contains("without having run") && said[1].contains("half way") && said.len() == 2, "{said:?}");
    assert!(tasks.try_iter().any(|line| line.contains("it waits at tests/debug_mode.rs:")));
}

// ---- hooks -------------------------------------------------------------------------------------------------------------

/// R8: the holes that no library can close are at least seen by one who looks.
mod strict {
    use super::*;
    use std::sync::{LazyLock, OnceLock};

    scoped_tls::scoped_thread_local!(static SCOPED: u32);

    fn strictly<T>(main: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        runner().strict().run(main)
    }

    /// What the main task panics with.
    fn refused(main: impl FnOnce() -> io::Result<()>) -> String {
        panic_of(|| drop(strictly(main)))
    }

    #[test]
    fn r8_a_pause_in_the_initialiser_of_a_thread_local_panics_at_its_line() {
        fn late() -> u32 {
            sleep(secs(1)).map_or(0, |()| 8)
        }
        thread_local!(static LATE: u32 = late());
        let line = line!() - 3;
        let text = refused(|| {
            LATE.with(|_| ());
            Ok(())
        });
        assert!(text.contains(&format!("tests/debug_mode.rs:{line}:")), "{text}");
        assert!(text.contains("initialiser of a thread-local"), "{text}");
        assert_eq!(run(|| Ok(LATE.with(|late| *late))).unwrap(), 8, "without it, nobody looks");
    }

    #[test]
    fn r8_a_pause_in_a_scoped_context_panics() {
        let text = refused(|| SCOPED.set(&1, || sleep(secs(1))));
        assert!(text.contains("`scoped_tls`'s `set`"), "{text}");
        let text = refused(|| SCOPED.set(&1, yield_now));
        assert!(text.contains("`scoped_tls`'s `set`"), "{text}");
    }

    #[test]
    fn r8_a_pause_in_the_initialiser_of_a_static_panics() {
        static LAZY: LazyLock<u32> = LazyLock::new(|| {
            sleep(secs(1)).unwrap();
            8
        });
        static ONCE: OnceLock<u32> = OnceLock::new();
        let text = refused(|| {
            let _: &u32 = &LAZY;
            Ok(())
        });
        assert!(text.contains("`OnceLock`, `LazyLock` or `Once`"), "{text}");
        let text = refused(|| {
            ONCE.get_or_init(|| yield_now().map_or(0, |()| 8));
            Ok(())
        });
        assert!(text.contains("`OnceLock`, `LazyLock` or `Once`"), "{text}");
    }

    #[test]
    fn r8_a_coroutine_that_stands_in_between_hides_nothing() {
        // With AddressSanitizer's switch of stacks a look does not get from a coroutine's stack to the task's.
        if !cfg!(feature = "sanitizer") {
            let text = refused(|| {
                SCOPED.set(&1, || {
                    let mut ticks = Generator::new(|y| {
                        sleep(secs(1))?;
                        y.yield_(1)
                    });
                    ticks.next().unwrap().map(drop)
                })
            });
            assert!(text.contains("`scoped_tls`'s `set`"), "{text}");
        }
        let text = refused(|| {
            let mut ticks = Generator::new(|y| SCOPED.set(&1, || y.yield_(1)));
            ticks.next().unwrap().map(drop)
        });
        assert!(text.contains("yield_") && text.contains("`scoped_tls`'s `set`"), "{text}");
    }

    #[test]
    fn r8_what_pauses_nobody_in_such_a_place_may_go_on() {
        strictly(|| {
            // The coroutine yields to the context, and not out of it.
            let mut ticks = Generator::new(|y| {
                sleep(millis(1))?;
                y.yield_(1)?;
                y.yield_(2)
            });
            assert_eq!(ticks.next().unwrap()?, 1);
            assert_eq!(SCOPED.set(&1, || ticks.next().unwrap())?, 2);
            // So does a task that starts at once.
            let child = SCOPED.set(&1, || eager().spawn(|| sleep(secs(1))))?;
            assert_eq!(SCOPED.set(&3, || SCOPED.with(|n| *n)), 3);
            yield_now()?;
            child.join()?;
            scope(|s| {
                s.spawn(|| timeout(secs(1), || sleep(secs(9))).map_or_else(|e| assert!(is_timed_out(&e)), drop));
            })
        })
        .unwrap();
    }

    #[test]
    fn it_can_be_had_by_the_environment() {
        const NAME: &str = "strict::it_can_be_had_by_the_environment";
        if plays(NAME) {
            let text = panic_of(|| drop(runner().run(|| SCOPED.set(&1, || sleep(secs(1))))));
            assert!(text.contains("`scoped_tls`'s `set`"), "{text}");
            return;
        }
        child_with(NAME, &[("CORIO_DEBUG", "strict")]).succeeded();
    }

    #[test]
    fn it_ends_with_debug_mode_and_stays_while_that_does() {
        let waits = || SCOPED.set(&1, || sleep(secs(1)));
        assert!(
            refused(|| {
                set_debug(true);
                waits()
            })
            .contains("set")
        );
        strictly(|| {
            assert!(is_debug());
            set_debug(false);
            waits()
        })
        .unwrap();
        runner().strict().debug(false).run(waits).unwrap();
        assert!(panic_of(|| drop(runner().strict().debug(true).run(waits))).contains("set"));
    }
}

fn hooked(log: &Log) -> Runner {
    let log = log.clone();
    runner().on_switch(move |switch| match switch {
        Switch::In { task } => log.say(format!("+{task}")),
        Switch::Out { task, ended } => log.say(format!("-{task}{}", if ended { "." } else { "" })),
    })
}

#[test]
fn a_hook_is_called_at_every_switch() {
    let log = Log::default();
    hooked(&log)
        .run(|| {
            let task = spawn(|| sleep(secs(1)));
            call_soon(|| {});
            spawn(|| -> io::Result<()> { unreachable!() }).cancel();
            task.join()
        })
        .unwrap();
    assert_eq!(log.take(), "+1 -1 +2 -2 +2 -2. +1 -1.");
}

#[test]
fn a_hook_that_panics_or_waits_ends_nothing() {
    let errors = listen("a hook of `on_switch` panicked: between two stacks");
    let mut runner = runner().on_switch(|_| {
        assert!(sleep(secs(1)).is_err() && corio::try_current().is_none());
        panic!("between two stacks");
    });
    runner
        .run(|| {
            Builder::new().eager().spawn(|| sleep(secs(1)))?.join()?;
            spawn(|| sleep(secs(1))).join()
        })
        .unwrap();
    assert_eq!(errors.try_iter().count(), 16);
}

// ---- tasks that start at once ------------------------------------------------------------------------------------------

fn eager() -> Builder {
    Builder::new().eager()
}

#[test]
fn eager_01_02_it_runs_at_once_up_to_its_first_pause_as_the_current_task() {
    let log = Log::default();
    sim(|| {
        let me = current();
        let inner = log.clone();
        let task = eager().name("eager").spawn(move || {
            inner.say(current().name());
            sleep(secs(1))?;
            inner.say("later");
            Ok(5)
        })?;
        log.say("spawner");
        assert_eq!(current(), me);
        assert!(!task.is_done());
        assert_eq!(task.join()?, 5);
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "eager spawner later");
}

#[test]
fn eager_03_one_that_fails_at_once_is_a_failed_task() {
    sim(|| {
        let task = eager().spawn(|| Err::<(), _>(io::Error::other("at once")))?;
        assert!(task.is_done());
        assert_eq!(task.join().unwrap_err().to_string(), "at once");
        let task = eager().spawn(|| -> io::Result<()> { panic!("at once") })?;
        assert_eq!(panic_of(|| task.join()), "at once");
        Ok(())
    })
    .unwrap();
}

#[test]
fn eager_04_a_cancel_after_its_end_does_nothing_and_after_its_pause_ends_it_there() {
    sim(|| {
        let task = eager().spawn(|| Ok(1))?;
        assert!(!task.cancel());
        assert_eq!(task.join()?, 1);
        let task = eager().spawn(|| sleep(secs(1)))?;
        assert!(task.cancel());
        assert!(is_cancelled(&task.join().unwrap_err()));
        Ok(())
    })
    .unwrap();
}

#[test]
fn eager_05_children_of_a_scope_count_as_usual() {
    let error = sim(|| {
        scope(|s| {
            let quick = eager().spawn_scoped(s, || Ok(1))?;
            assert!(s.is_empty() && quick.is_done());
            let waits = eager().spawn_scoped(s, || sleep(secs(9)))?;
            assert_eq!(s.len(), 1);
            eager().spawn_scoped(s, || Err::<(), _>(io::Error::other("a child")))?;
            assert!(s.cancelled());
            // In a scope that is cancelled none begins.
            let never = eager().spawn_scoped(s, || -> io::Result<()> { unreachable!() })?;
            assert!(never.is_done() && never.cancelled());
            drop(waits);
            sleep(secs(1))
        })
    });
    assert_eq!(error.unwrap_err().to_string(), "a child");
}

#[test]
fn eager_06_one_that_is_done_is_not_among_all_tasks_and_one_that_waits_is() {
    sim(|| {
        let inside = eager().spawn(|| Ok(all_tasks().len()))?;
        assert_eq!(inside.join()?, 2);
        assert_eq!(all_tasks().len(), 1);
        let waits = eager().spawn(|| sleep(secs(1)))?;
        assert_eq!(all_tasks(), [current(), waits.task()]);
        waits.join()
    })
    .unwrap();
}

#[test]
fn eager_07_ctx_06_ctx_08_its_values_are_its_own() {
    static NUMBER: TaskLocal<u32> = TaskLocal::new();
    sim(|| {
        NUMBER.set(1);
        let task = eager().spawn(|| {
            assert_eq!(NUMBER.get(), Some(1));
            NUMBER.set(2);
            yield_now()?;
            Ok(NUMBER.get())
        })?;
        assert_eq!(NUMBER.get(), Some(1));
        NUMBER.set(3);
        assert_eq!(task.join()?, Some(2));
        assert_eq!(NUMBER.get(), Some(3));
        Ok(())
    })
    .unwrap();
}

/// EAGER-08: there is no task without a running loop. In a callback it starts at once as well.
#[test]
fn eager_08_in_a_callback_and_when_the_run_is_ending() {
    let log = Log::default();
    sim(|| {
        let inner = log.clone();
        call_soon(move || {
            let task = inner.clone();
            eager()
                .spawn(move || {
                    task.say(corio::try_current().is_some());
                    yield_now()?;
                    task.say("later");
                    Ok(())
                })
                .unwrap();
            inner.say(corio::try_current().is_none());
        });
        let last = log.clone();
        spawn(move || {
            let _ = sleep(secs(9));
            let never = eager().spawn(|| -> io::Result<()> { unreachable!("the run is ending") })?;
            last.say(never.is_done());
            Ok(())
        });
        sleep(secs(1))
    })
    .unwrap();
    assert_eq!(log.take(), "true true later true");
    assert!(panic_of(|| eager().spawn(|| ())).contains("needs a running loop"));
}

/// The spawner's turn, its regions and what it may not do are its own.
#[test]
fn an_eager_task_leaves_the_spawners_turn_as_it_was() {
    sim(|| {
        let beside = spawn(|| Ok(()));
        // A long turn of the child is not the spawner's.
        let child = eager().spawn(|| {
            for _ in 0..100 {
                timeout(secs(1), || Ok(()))?;
                spawn(|| ()).cancel();
            }
            sleep(secs(1))
        })?;
        assert!(!beside.is_done());
        // The child waits although the spawner may not.
        let waits = corio::no_suspend(|| eager().spawn(|| sleep(secs(1))))?;
        assert!(panic_of(|| corio::no_suspend(yield_now)).contains("no_suspend"));
        // The spawner's time limit is not the child's.
        let mut free = None;
        let limited = timeout(millis(1), || {
            free = Some(eager().spawn(|| sleep(secs(5)))?);
            sleep(secs(60))
        });
        assert!(is_timed_out(&limited.unwrap_err()));
        free.unwrap().join()?;
        waits.join()?;
        child.join()
    })
    .unwrap();
}

#[test]
fn eager_tasks_may_be_nested_deeply_and_stand_on_generators() {
    fn deep(n: u32) -> io::Result<u32> {
        if n == 0 {
            return Ok(0);
        }
        let below = eager().stack_size(64 * 1024).spawn(move || {
            let below = deep(n - 1)?;
            if n.is_multiple_of(2) {
                yield_now()?;
            }
            Ok(below)
        })?;
        Ok(below.join()? + 1)
    }
    sim(|| {
        assert_eq!(deep(50)?, 50);
        let mut numbers = Generator::new(|y| {
            let task = eager().spawn(|| {
                sleep(secs(1))?;
                Ok(7)
            })?;
            y.yield_(0)?;
            y.yield_(task.join()?)
        });
        assert_eq!(numbers.by_ref().collect::<io::Result<Vec<i32>>>()?, [0, 7]);
        Ok(())
    })
    .unwrap();
}

/// The records keep their rules, the hooks their nesting.
#[test]
fn the_records_and_the_hooks_follow_eager_tasks() {
    let (log, recording) = (Log::default(), Recording::new());
    let steps = Rc::new(RefCell::new(Vec::new()));
    hooked(&log)
        .observer(recording.clone())
        .run(|| {
            let task = eager().spawn(|| {
                eager().spawn(|| ())?.join()?;
                sleep(secs(1))
            })?;
            let never = Cell::new(false);
            scope(|s| {
                s.cancel();
                eager().spawn_scoped(s, || never.set(true))?;
                Ok(())
            })
            .ok();
            assert!(!never.get());
            task.join()
        })
        .unwrap();
    assert_eq!(log.take(), "+1 -1 +2 -2 +3 -3. +2 -2 +1 -1 +1 -1 +2 -2. +1 -1.");
    let mut state = corio::observe::State::new();
    for record in recording.records() {
        state.check(&record).unwrap_or_else(|broken| panic!("{record:?}: {broken}"));
        state.apply(&record);
        steps.borrow_mut().push(record.seq);
    }
    assert!(state.tasks.values().all(corio::observe::state::Task::is_done));
}
