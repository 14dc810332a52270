//! The end of a run, the end of a process, and what destructors may do on the way.
//!
//! `RUNNER-..`, `LOOP-..`, `PORT-..` are behaviours of asyncio or of the port, `R..` rules of the design, `A..` faults
//! that must be survived. What aborts, or changes what belongs to the whole process, is played by a child process.

mod common;

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::thread::{self, panicking};
use std::time::Instant;

use common::{Finally, Log, child, logged, only, panic_of, plays, runner, sim, since};
use corio::testing::Ledger;
use corio::{
    Builder, Cause, Executor, LoopHandle, Runner, Shutdown, add_reader, all_tasks, call_later, call_soon, cancel_cause,
    current, is_cancelled, millis, now, run, scope, secs, shield, sleep, spawn, timeout, yield_now,
};

// ---- run ---------------------------------------------------------------------------------------------

#[test]
fn runner_01_loop_12_run_gives_the_value_or_the_error_of_main() {
    assert_eq!(run(|| Ok(5)).unwrap(), 5);
    assert_eq!(run(|| Err::<(), _>(io::Error::other("no"))).unwrap_err().to_string(), "no");
    run(|| ()).unwrap();
    let mut lent = vec![1];
    run(|| lent.push(2)).unwrap();
    assert_eq!(lent, [1, 2]);
    let cancelled = sim(|| {
        current().cancel();
        sleep(secs(1))
    });
    assert!(is_cancelled(&cancelled.unwrap_err()));
}

#[test]
fn runner_02_loop_15_a14_run_inside_run_is_refused_and_the_outer_one_goes_on() {
    fn never() {
        unreachable!("it was refused");
    }
    let log = Log::default();
    let refused = |result: io::Result<()>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("inside `run`"), "{error}");
    };
    sim(|| {
        let capture = log.at_drop("dropped");
        refused(run(move || -> io::Result<()> { unreachable!("{:p}", &capture) }));
        refused(Runner::new().virtual_clock().run(never));
        scope(|s| {
            s.spawn(|| refused(run(never)));
            Ok(())
        })?;
        call_soon(move || refused(run(never)));
        let other = thread::spawn(|| run(|| spawn(|| Ok(7)).join()).unwrap());
        assert_eq!(other.join().unwrap(), 7, "on another thread it may run");
        yield_now()?;
        spawn(|| sleep(secs(1))).join()
    })
    .unwrap();
    assert_eq!(log.take(), "dropped");
}

#[test]
fn r5_run_in_a_destructor_while_the_thread_panics_is_refused() {
    let log = Log::default();
    let text = panic_of(|| {
        let _end = Finally(|| {
            let error = run(|| -> io::Result<()> { unreachable!() }).unwrap_err();
            log.say(error);
        });
        resume_unwind(Box::new("first"))
    });
    assert_eq!(text, "first");
    assert!(log.take().contains("while the thread panics"));
    sim(yield_now).unwrap();
}

#[test]
fn one_thread_runs_many_loops_one_after_the_other_and_many_threads_at_once() {
    for n in 0..100 {
        assert_eq!(sim(|| spawn(move || Ok(n)).join()).unwrap(), n);
    }
    let threads: Vec<_> = (0..8)
        .map(|n| {
            thread::spawn(move || {
                let mut sum = 0;
                for _ in 0..50 {
                    sum += sim(|| {
                        let tasks: Vec<_> = (0..20)
                            .map(|_| {
                                spawn(move || {
                                    sleep(secs(1))?;
                                    Ok(n)
                                })
                            })
                            .collect();
                        tasks.into_iter().map(|task| task.join()).sum::<io::Result<usize>>()
                    })
                    .unwrap();
                }
                sum
            })
        })
        .collect();
    let sums: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(sums, (0..8).map(|n| n * 1000).collect::<Vec<_>>());
}

// ---- the orderly end -----------------------------------------------------------------------------------

#[test]
fn runner_03_what_is_left_is_cancelled_and_awaited_and_its_errors_are_only_logged() {
    let log = Log::default();
    let (result, lines) = logged(|| {
        sim(|| {
            for name in ["a", "b"] {
                let log = log.clone();
                drop(spawn(move || {
                    let _end = log.at_drop(name);
                    let result = sleep(secs(60));
                    assert_eq!(cancel_cause(), Some(Cause::Shutdown));
                    shield(secs(5), || sleep(secs(2)))?;
                    result.map_err(|_| io::Error::other(format!("clean-up of {name}")))
                }));
            }
            yield_now()?;
            log.say("main");
            Err::<(), _>(io::Error::other("mine"))
        })
    });
    assert_eq!(result.unwrap_err().to_string(), "mine");
    assert_eq!(log.take(), "main a b");
    only(&lines, "DEBUG", &["clean-up of a"]);
    assert!(!lines.iter().any(|line| line.starts_with("WARN")), "nobody was late: {lines:#?}");
}

#[test]
fn r3_a_task_that_has_not_begun_never_does() {
    let log = Log::default();
    sim(|| {
        let capture = log.at_drop("dropped");
        drop(spawn(move || -> io::Result<()> { unreachable!("{:p}", &capture) }));
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "dropped");
}

#[test]
fn loop_16_callbacks_that_are_left_are_dropped_without_being_called() {
    let log = Log::default();
    sim(|| {
        let (a, b) = (log.at_drop("timer"), log.at_drop("soon"));
        call_later(secs(60), move || drop(a));
        sleep(secs(1))?;
        call_soon(move || drop(b));
        Ok(())
    })
    .unwrap();
    let said = log.take();
    assert!(said.contains("soon") && said.contains("timer"), "{said}");
}

#[test]
fn a15_what_destructors_ask_for_at_the_end_is_refused_or_does_nothing() {
    let log = Log::default();
    let l = log.clone();
    sim(move || {
        let sleeper = spawn(|| sleep(secs(60)));
        let handle = LoopHandle::current()?;
        drop(spawn(move || {
            let _end = Finally(move || {
                let capture = l.at_drop("dropped");
                let task = spawn(move || -> io::Result<()> { unreachable!("{:p}", &capture) });
                assert!(task.is_done() && task.cancelled() && !task.cancel());
                assert!(is_cancelled(&task.join().unwrap_err()));
                assert!(Builder::new().spawn(|| ()).is_ok_and(|task| task.is_done()));
                let never = l.at_drop("never called");
                call_later(secs(1_000), move || drop(never));
                let soon = l.at_drop("called");
                call_soon(move || drop(soon)); // the loop still turns
                sleeper.cancel();
                handle.call_soon(|| ()).unwrap();
                let scoped = scope(|s| {
                    assert!(s.spawn(|| ()).is_done());
                    Ok(())
                });
                assert!(scoped.is_ok() && timeout(secs(1), yield_now).is_err());
                l.say("destructor");
            });
            sleep(secs(60))
        }));
        yield_now()
    })
    .unwrap();
    assert_eq!(log.take(), "dropped called destructor never called");
}

#[test]
fn a16_what_another_thread_sends_while_the_run_ends_is_dropped() {
    let (handle, sent) = sim(|| {
        let handle = LoopHandle::current()?;
        let sent = std::sync::Arc::new(());
        let capture = sent.clone();
        handle.call_soon(move || drop(capture))?; // its turn would be the next
        Ok((handle, sent))
    })
    .unwrap();
    assert!(handle.is_closed());
    assert_eq!(std::sync::Arc::strong_count(&sent), 1);
}

#[test]
fn r3_a_scope_that_main_leaves_by_its_panic_ends_before_the_others_are_cancelled() {
    let log = Log::default();
    let l = log.clone();
    let text = panic_of(|| {
        sim(move || {
            let detached = l.at_drop("detached");
            drop(spawn(move || {
                let _end = &detached;
                sleep(secs(60))
            }));
            scope(|s| {
                s.spawn(|| {
                    let _end = l.at_drop("child");
                    sleep(secs(60))
                });
                yield_now()?;
                panic!("main");
                #[allow(unreachable_code)]
                Ok(())
            })
        })
    });
    assert_eq!((text.as_str(), log.take().as_str()), ("main", "child detached"));
}

// ---- who is late -----------------------------------------------------------------------------------------

#[test]
fn a11_r3_after_the_grace_shields_are_lifted_then_tasks_are_unwound_and_every_step_is_named() {
    let log = Log::default();
    let l = log.clone();
    let (result, lines) = logged(|| {
        runner().grace(secs(3)).run(move || {
            let start = now();
            let (a, b) = (l.clone(), l.clone());
            drop(Builder::new().name("shielded").spawn(move || {
                let result = shield(secs(600), || sleep(secs(600)));
                a.say(format_args!("shielded@{}", since(start)));
                result
            })?);
            drop(Builder::new().name("stubborn").spawn(move || {
                let _end = Finally(|| {
                    assert!(panicking() && is_cancelled(&sleep(secs(1)).unwrap_err()));
                    b.say(format_args!("stubborn@{}", since(start)));
                });
                for n in 0_u64.. {
                    let _ = sleep(secs(1 + n));
                    let _ = shield(secs(1), || sleep(secs(1)));
                }
                Ok(())
            })?);
            yield_now()
        })
    });
    result.unwrap();
    assert_eq!(log.take(), "shielded@3 stubborn@3");
    only(&lines, "WARN", &["the grace of 3s is over", "\"shielded\"", "\"stubborn\"", "tests/shutdown.rs"]);
    only(&lines, "DEBUG", &["throwing through", "\"stubborn\"", "tests/shutdown.rs"]);
}

#[test]
fn r3_r14_a_task_that_only_gives_up_its_turn_for_ever_is_unwound_also_on_the_virtual_clock() {
    let log = Log::default();
    let l = log.clone();
    runner()
        .grace(secs(1))
        .run(move || {
            drop(spawn(move || {
                let _end = l.at_drop("unwound");
                for _ in 0_u64.. {
                    let _ = yield_now();
                }
                Ok(())
            }));
            yield_now()
        })
        .unwrap();
    assert_eq!(log.take(), "unwound (panicking)");
}

#[test]
fn a12_code_that_catches_every_panic_can_recognise_the_payload_and_pass_it_on() {
    let log = Log::default();
    let l = log.clone();
    runner()
        .grace(secs(0))
        .run(move || {
            let (a, b) = (l.clone(), l);
            drop(spawn(move || {
                let _end = a.at_drop("recognised");
                loop {
                    if let Err(payload) = catch_unwind(|| sleep(secs(60)))
                        && payload.is::<Shutdown>()
                    {
                        resume_unwind(payload);
                    }
                }
                #[allow(unreachable_code)]
                Ok(())
            }));
            drop(spawn(move || {
                let _end = b.at_drop("caught often");
                let mut caught = 0;
                while caught < 50 {
                    caught += u32::from(catch_unwind(|| sleep(secs(60))).is_err());
                }
                assert!(!panicking());
                Ok(())
            }));
            yield_now()
        })
        .unwrap();
    assert_eq!(log.take(), "caught often recognised (panicking)");
}

#[test]
fn a12_r3_a_loop_that_catches_everything_is_named_and_ends_the_process() {
    const NAME: &str = "a12_r3_a_loop_that_catches_everything_is_named_and_ends_the_process";
    if plays(NAME) {
        let _ = runner().grace(secs(1)).run(|| {
            drop(Builder::new().name("hydra").spawn(|| {
                for _ in 0_u64.. {
                    let _ = catch_unwind(|| sleep(secs(60)));
                }
                Ok(())
            })?);
            yield_now()
        });
        return;
    }
    child(NAME).aborted(&[
        "fatal",
        "\"hydra\"",
        "spawned at tests/shutdown.rs:",
        "it waits at tests/shutdown.rs:",
        "corio::Shutdown",
    ]);
}

#[test]
fn a_logger_that_panics_does_not_hide_why_the_process_ends() {
    const NAME: &str = "a_logger_that_panics_does_not_hide_why_the_process_ends";
    struct Bad;
    impl log::Log for Bad {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            assert_ne!(record.level(), log::Level::Error, "the logger has had enough");
        }
        fn flush(&self) {}
    }
    if plays(NAME) {
        log::set_logger(&Bad).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        let _ = runner().grace(secs(1)).run(|| {
            drop(Builder::new().name("hydra").spawn(|| {
                for _ in 0_u64.. {
                    let _ = catch_unwind(|| sleep(secs(60)));
                }
                Ok(())
            })?);
            yield_now()
        });
        return;
    }
    let ended = child(NAME);
    ended.aborted(&["fatal", "\"hydra\"", "corio::Shutdown", "the logger has had enough"]);
    assert!(!ended.stderr.contains("the event loop itself panicked"), "{ended:#?}");
}

#[test]
fn a11_a_task_that_panics_with_something_else_while_it_is_unwound_by_force_ends_by_that_panic() {
    let log = Log::default();
    let l = log.clone();
    let ((), lines) = logged(|| {
        let answers = |name: &'static str, answer: fn()| {
            let l = l.clone();
            Builder::new().name(name).spawn(move || {
                let _end = l.at_drop(name);
                for _ in 0_u64.. {
                    if catch_unwind(|| sleep(secs(60))).is_err() {
                        assert!(!panicking(), "the throw was caught");
                        answer();
                    }
                }
                Ok(())
            })
        };
        runner()
            .grace(secs(0))
            .run(|| {
                drop(answers("by a text", || panic!("instead"))?);
                drop(answers("by a payload", || resume_unwind(Box::new(7)))?);
                yield_now()
            })
            .unwrap();
    });
    assert_eq!(log.take(), "by a payload (panicking) by a text (panicking)", "newest first");
    only(&lines, "ERROR", &["\"by a text\"", "instead", "tests/shutdown.rs"]);
    only(&lines, "ERROR", &["\"by a payload\"", "tests/shutdown.rs"]);
    assert!(!panicking());
    sim(yield_now).unwrap();
}

#[test]
fn a11_a_destructor_may_catch_a_panic_of_its_own_while_its_task_is_unwound_by_force() {
    let log = Log::default();
    let l = log.clone();
    runner()
        .grace(secs(0))
        .run(move || {
            drop(spawn(move || {
                let _end = Finally(|| {
                    let caught = catch_unwind(|| resume_unwind(Box::new("its own"))).unwrap_err();
                    assert!(caught.is::<&str>() && panicking(), "the outer unwinding goes on");
                    assert!(is_cancelled(&sleep(secs(1)).unwrap_err()));
                    l.say("caught");
                });
                for _ in 0_u64.. {
                    let _ = sleep(secs(60));
                }
                Ok(())
            }));
            yield_now()
        })
        .unwrap();
    assert_eq!(log.take(), "caught");
    assert!(!panicking());
    sim(yield_now).unwrap();
}

/// Two panics at once are the end of any Rust program; the log says whose they were.
#[test]
fn a11_a_destructor_that_panics_while_its_task_is_unwound_by_force_is_named_before_the_process_ends() {
    const NAME: &str =
        "a11_a_destructor_that_panics_while_its_task_is_unwound_by_force_is_named_before_the_process_ends";
    if plays(NAME) {
        env_logger::Builder::new().filter_level(log::LevelFilter::Debug).init();
        let _ = runner().grace(secs(0)).run(|| {
            drop(Builder::new().name("clumsy").spawn(|| {
                let _end = Finally(|| panic!("in the destructor"));
                for _ in 0_u64.. {
                    let _ = sleep(secs(60));
                }
                Ok(())
            })?);
            yield_now()
        });
        println!("went on");
        return;
    }
    let ended = child(NAME);
    ended.aborted(&["throwing through task \"clumsy\"", "tests/shutdown.rs:", "in the destructor"]);
    assert!(!ended.stdout.contains("went on"), "{ended:#?}");
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "the sanitizer keeps a second stack for each that there was")]
fn r4_stacks_that_were_unwound_by_force_are_used_again() {
    const NAME: &str = "r4_stacks_that_were_unwound_by_force_are_used_again";
    if plays(NAME) {
        let address_space = || {
            let status = std::fs::read_to_string("/proc/self/statm").unwrap();
            status.split(' ').next().unwrap().parse::<usize>().unwrap()
        };
        let round = || {
            runner()
                .grace(secs(0))
                .run(|| {
                    for _ in 0..100 {
                        drop(spawn(|| {
                            for _ in 0_u64.. {
                                let _ = sleep(secs(60));
                            }
                            Ok(())
                        }));
                    }
                    yield_now()
                })
                .unwrap();
        };
        round();
        let before = address_space();
        for _ in 0..20 {
            round();
        }
        let grown = (address_space() - before) * 4096;
        assert!(grown < 8 << 20, "{grown} bytes more: not one stack may be lost");
        return;
    }
    child(NAME).succeeded();
}

// ---- destructors while the task unwinds (R5) ---------------------------------------------------------------

#[test]
fn a10_r5_port_06_a_destructor_that_waits_while_its_task_panics_fails_at_once_and_nobody_else_sees_the_panic() {
    let log = Log::default();
    sim(|| {
        let seen = Rc::new(Cell::new(0));
        let s = seen.clone();
        let other = spawn(move || {
            for _ in 0..20 {
                assert!(!panicking());
                s.set(s.get() + 1);
                yield_now()?;
            }
            Ok(())
        });
        for name in ["first", "second"] {
            let (log, seen) = (log.clone(), seen.clone());
            let bad = spawn(move || -> io::Result<()> {
                let _end = Finally(|| {
                    let before = seen.get();
                    assert!(is_cancelled(&sleep(secs(1)).unwrap_err()));
                    assert!(is_cancelled(&yield_now().unwrap_err()));
                    let task = spawn(|| -> io::Result<()> { unreachable!() });
                    assert!(task.is_done() && is_cancelled(&task.join().unwrap_err()));
                    assert!(current().wait().is_err());
                    assert!(timeout(secs(1), || sleep(secs(9))).is_err() && shield(secs(1), yield_now).is_err());
                    assert!(cancel_cause().is_none(), "it panics, and was not cancelled");
                    assert_eq!(before, seen.get(), "nothing else ran");
                    log.say(name);
                });
                yield_now()?;
                panic!("{name}")
            });
            assert_eq!(panic_of(|| bad.join()), name);
        }
        other.join()
    })
    .unwrap();
    assert_eq!(log.take(), "first second");
}

#[test]
fn r5_a_destructor_that_waits_outside_a_panic_just_waits() {
    let log = Log::default();
    sim(|| {
        let start = now();
        let l = log.clone();
        spawn(move || {
            let _end = Finally(move || {
                let result = sleep(secs(2));
                l.say(format_args!("{}@{}", result.is_ok(), since(start)));
            });
            sleep(secs(1))
        })
        .join()
    })
    .unwrap();
    assert_eq!(log.take(), "true@3");
}

#[test]
fn r5_a_destructor_that_retries_a_refused_wait_some_hundred_times_is_reported() {
    let ((), lines) = logged(|| {
        sim(|| {
            let task = Builder::new().name("flusher").spawn(|| -> io::Result<()> {
                let tries = Cell::new(0);
                let _end = Finally(|| {
                    while tries.get() < 1_000 && sleep(secs(1)).is_err() {
                        tries.set(tries.get() + 1);
                    }
                });
                panic!("out")
            })?;
            assert_eq!(panic_of(|| task.join()), "out");
            Ok(())
        })
        .unwrap();
    });
    only(&lines, "WARN", &["flusher", "unwinding", "refused 100 waits", "tests/shutdown.rs"]);
}

#[test]
fn r5_a_destructor_that_retries_a_refused_wait_for_ever_is_named_and_ends_the_process() {
    const NAME: &str = "r5_a_destructor_that_retries_a_refused_wait_for_ever_is_named_and_ends_the_process";
    if plays(NAME) {
        let _ = sim(|| {
            Builder::new()
                .name("flusher")
                .spawn(|| -> io::Result<()> {
                    let _end = Finally(|| while sleep(secs(1)).is_err() {});
                    panic!("out")
                })?
                .join()
        });
        return;
    }
    child(NAME).aborted(&["fatal", "\"flusher\"", "does not stop trying to wait", "tests/shutdown.rs:"]);
}

#[test]
fn r5_a_destructor_that_retries_for_ever_while_its_task_is_unwound_by_force_ends_the_process_as_well() {
    const NAME: &str =
        "r5_a_destructor_that_retries_for_ever_while_its_task_is_unwound_by_force_ends_the_process_as_well";
    if plays(NAME) {
        let _ = runner().grace(secs(0)).run(|| {
            drop(Builder::new().name("flusher").spawn(|| {
                let _end = Finally(|| while yield_now().is_err() {});
                for _ in 0_u64.. {
                    let _ = sleep(secs(60));
                }
                Ok(())
            })?);
            yield_now()
        });
        return;
    }
    child(NAME).aborted(&["fatal", "\"flusher\"", "does not stop trying to wait", "tests/shutdown.rs:"]);
}

#[test]
fn a_wait_in_the_panic_hook_is_refused() {
    const NAME: &str = "a_wait_in_the_panic_hook_is_refused";
    if plays(NAME) {
        std::panic::set_hook(Box::new(|_| {
            let refused = sleep(secs(1)).is_err_and(|e| is_cancelled(&e)) && run(|| ()).is_err();
            println!("hook: {refused}");
        }));
        sim(|| {
            let task = spawn(|| -> io::Result<()> { panic!("out") });
            assert!(catch_unwind(AssertUnwindSafe(|| task.join())).is_err());
            yield_now()
        })
        .unwrap();
        return;
    }
    let ended = child(NAME);
    assert_eq!(ended.succeeded().stdout.matches("hook: true").count(), 1, "{ended:#?}");
}

#[test]
fn a8_a_panic_hook_that_panics_ends_the_process_as_std_has_it() {
    const NAME: &str = "a8_a_panic_hook_that_panics_ends_the_process_as_std_has_it";
    if plays(NAME) {
        std::panic::set_hook(Box::new(|_| panic!("in the hook")));
        let _ = sim(|| spawn(|| -> io::Result<()> { panic!("out") }).join());
        return;
    }
    child(NAME).aborted(&["hook"]);
}

// ---- frames of other languages and libraries -----------------------------------------------------------------

/// Sorts by a function that is called back through C.
fn sort_through_c(numbers: &mut [i32], at_first: fn()) {
    thread_local! {
        static AT_FIRST: Cell<Option<fn()>> = const { Cell::new(None) };
    }
    extern "C" fn compare(a: *const libc::c_void, b: *const libc::c_void) -> libc::c_int {
        if let Some(f) = AT_FIRST.take() {
            f();
        }
        // SAFETY: `qsort` passes pointers into the slice.
        let (a, b) = unsafe { (*a.cast::<i32>(), *b.cast::<i32>()) };
        a.cmp(&b) as libc::c_int
    }
    AT_FIRST.set(Some(at_first));
    // SAFETY: the slice is valid for these sizes, and `compare` orders its elements.
    unsafe { libc::qsort(numbers.as_mut_ptr().cast(), numbers.len(), size_of::<i32>(), Some(compare)) };
}

#[test]
fn a_task_may_wait_below_a_callback_of_c_and_be_cancelled_there() {
    sim(|| {
        let sorter = |at_first: fn()| {
            spawn(move || {
                let mut numbers = [3, 1, 2];
                sort_through_c(&mut numbers, at_first);
                Ok(numbers)
            })
        };
        let plain = sorter(|| sleep(secs(1)).unwrap());
        let cancelled = sorter(|| assert!(is_cancelled(&sleep(secs(60)).unwrap_err())));
        yield_now()?;
        cancelled.cancel();
        assert_eq!((plain.join()?, cancelled.join()?), ([1, 2, 3], [1, 2, 3]));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_task_that_must_be_unwound_below_a_callback_of_c_is_named_before_the_process_ends() {
    const NAME: &str = "a_task_that_must_be_unwound_below_a_callback_of_c_is_named_before_the_process_ends";
    if plays(NAME) {
        env_logger::Builder::new().filter_level(log::LevelFilter::Debug).init();
        let _ = runner().grace(secs(1)).run(|| {
            drop(Builder::new().name("sorter").spawn(|| {
                sort_through_c(&mut [3, 1, 2], || {
                    for _ in 0_u64.. {
                        let _ = sleep(secs(60));
                    }
                });
                Ok(())
            })?);
            yield_now()
        });
        return;
    }
    child(NAME).aborted(&["throwing through task \"sorter\"", "tests/shutdown.rs:", "cannot unwind"]);
}

#[test]
fn a_task_is_unwound_by_force_through_code_of_std() {
    let log = Log::default();
    let l = log.clone();
    runner()
        .grace(secs(0))
        .run(move || {
            drop(spawn(move || {
                let _end = l.at_drop("unwound");
                let mut numbers = [3, 1, 2];
                numbers.sort_by(|a, b| {
                    for _ in 0_u64.. {
                        let _ = sleep(secs(60));
                    }
                    a.cmp(b)
                });
                Ok(())
            }));
            yield_now()
        })
        .unwrap();
    assert_eq!(log.take(), "unwound (panicking)");
}

// ---- Ctrl-C ------------------------------------------------------------------------------------------------

fn raise(signal: i32) {
    // SAFETY: sends a signal to this thread.
    unsafe { libc::raise(signal) };
}

/// What is done about a signal.
fn disposition(signal: i32) -> usize {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: only asks.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction
    }
}

#[test]
fn runner_06_07_08_the_first_interrupt_cancels_main_which_may_answer_and_the_handler_is_put_back() {
    const NAME: &str = "runner_06_07_08_the_first_interrupt_cancels_main_which_may_answer_and_the_handler_is_put_back";
    if plays(NAME) {
        for (signal, name) in [(libc::SIGINT, "Ctrl-C"), (libc::SIGTERM, "SIGTERM")] {
            let error = Runner::new()
                .run(|| {
                    assert_ne!(disposition(signal), libc::SIG_DFL);
                    drop(spawn(move || {
                        yield_now()?;
                        raise(signal);
                        sleep(secs(600)) // cancelled with the rest
                    }));
                    let result = sleep(secs(600));
                    assert_eq!(cancel_cause(), Some(Cause::Interrupt));
                    result
                })
                .unwrap_err();
            assert!(is_cancelled(&error) && error.to_string().contains(name), "{error}");
            assert_eq!(disposition(signal), libc::SIG_DFL);
        }
        // Main decides: it swallows it, or takes it back and goes on.
        let value = run(|| {
            raise(libc::SIGINT);
            let _ = sleep(secs(600));
            Ok(7)
        });
        assert_eq!(value.unwrap(), 7);
        let value = run(|| {
            raise(libc::SIGINT);
            assert!(sleep(secs(600)).is_err());
            assert_eq!(current().uncancel(), 0);
            for _ in 0..100 {
                yield_now()?;
            }
            sleep(millis(1))?;
            Ok(8)
        });
        assert_eq!(value.unwrap(), 8);
        // Nobody watches if that is not wanted, and what the program ignores stays ignored.
        Runner::new()
            .ctrl_c(false)
            .run(|| {
                assert_eq!(disposition(libc::SIGINT), libc::SIG_DFL);
                Ok(())
            })
            .unwrap();
        // SAFETY: nothing else in this process cares about the signal.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
        run(|| {
            raise(libc::SIGINT);
            yield_now()
        })
        .unwrap();
        assert_eq!(disposition(libc::SIGINT), libc::SIG_IGN);
        return;
    }
    child(NAME).succeeded();
}

#[test]
fn runner_06_h6_the_second_interrupt_ends_the_process() {
    const NAME: &str = "runner_06_h6_the_second_interrupt_ends_the_process";
    if plays(NAME) {
        let _ = run(|| {
            raise(libc::SIGINT);
            let _ = sleep(secs(600));
            println!("cleaning up");
            raise(libc::SIGINT);
            println!("never");
            Ok(())
        });
        return;
    }
    let ended = child(NAME);
    assert_eq!(ended.status.signal(), Some(libc::SIGINT), "{ended:#?}");
    assert!(ended.stdout.contains("cleaning up") && !ended.stdout.contains("never"), "{ended:#?}");
}

#[test]
fn the_watch_for_ctrl_c_is_no_hope_and_does_not_hold_back_the_virtual_clock() {
    const NAME: &str = "the_watch_for_ctrl_c_is_no_hope_and_does_not_hold_back_the_virtual_clock";
    if plays(NAME) {
        Runner::new().virtual_clock().run(|| sleep(secs(86_400))).unwrap();
        let error = run(|| {
            assert_ne!(disposition(libc::SIGINT), libc::SIG_DFL);
            let (a, b) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
            let (mine, other) = (a.clone(), b.clone());
            let first = spawn(move || {
                yield_now()?;
                let task: corio::Task = other.take().unwrap();
                task.wait()
            });
            let second = spawn(move || {
                yield_now()?;
                let task: corio::Task = mine.take().unwrap();
                task.wait()
            });
            a.set(Some(first.task()));
            b.set(Some(second.task()));
            assert_eq!(all_tasks().len(), 3);
            first.join()
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadlock);
        return;
    }
    child(NAME).succeeded();
}

/// R3, R14: what was refused is done at once, and joining it is a call that others may have to wait for.
#[test]
fn r3_r14_a_task_that_starts_another_again_and_again_does_not_keep_the_run_from_ending() {
    Runner::new()
        .grace(millis(20))
        .run(|| {
            drop(spawn(|| -> io::Result<()> {
                loop {
                    let _ = spawn(|| sleep(secs(1))).join();
                }
            }));
            drop(spawn(|| -> io::Result<()> {
                loop {
                    let _ = scope(|_| Ok(()));
                }
            }));
            yield_now()
        })
        .unwrap();
}

/// What the loop gives up at the end may ask for more of the same: the next run begins with nothing.
#[test]
fn a15_what_destructors_leave_at_the_end_is_not_there_in_the_next_run() {
    thread_local!(static CALLED: Cell<bool> = const { Cell::new(false) });
    struct AddsACallback;
    impl Drop for AddsACallback {
        fn drop(&mut self) {
            call_soon(|| CALLED.set(true));
        }
    }
    let (near, _far) = UnixStream::pair().unwrap();
    let mut runner = runner();
    runner
        .run(|| {
            // A callback that is never called adds a reader, which sends a letter, which adds a callback.
            let handle = LoopHandle::current()?;
            let sends = move || {
                handle
                    .call_soon({
                        let adds = AddsACallback;
                        move || drop(adds)
                    })
                    .unwrap()
            };
            let reads = Finally(move || {
                let sends = Finally(sends.clone());
                add_reader(&near, move || unreachable!("{:p}", &sends)).unwrap();
            });
            call_later(secs(60), move || drop(reads));
            Ok(())
        })
        .unwrap();
    let left = runner.run(|| {
        let left = Ledger::now().to_string();
        yield_now()?;
        Ok(left)
    });
    assert_eq!((left.unwrap().as_str(), CALLED.get()), ("nothing is left on the loop", false));
}

/// The run waits for a job, which waits for what it asked the loop for after the last turn.
#[test]
fn a_job_that_waits_for_its_loop_is_told_that_the_run_is_over() {
    let (answer, asked) = std::sync::mpsc::channel();
    let start = Instant::now();
    Runner::new()
        .grace(secs(60)) // which is waited for if nobody tells it
        .run(|| {
            let handle = LoopHandle::current()?;
            let (begun, begins) = std::sync::mpsc::channel();
            drop(Executor::current()?.spawn(move || {
                begun.send(()).unwrap();
                // Asks until the loop takes no turns any more, and then once more.
                while handle.spawn(|| Ok(())).join().is_ok() {}
                answer.send(handle.spawn(|| Ok(())).join()).unwrap();
            }));
            begins.recv().unwrap();
            Ok(())
        })
        .unwrap();
    assert_eq!(asked.recv().unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert!(start.elapsed() < secs(60));
}
