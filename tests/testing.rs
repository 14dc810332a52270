//! The test kit, tested: other schedules, the sequencer, cancellation at every point, the ledger.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::rc::Rc;

use common::{Log, child_with, panic_of, plays, sim};
use corio::net::TcpStream;
use corio::observe::event::Record;
use corio::observe::{Recording, State};
use corio::testing::{self, Ledger, Network, Options, Random, Script, Sequencer};
use corio::{
    CancelScope, Runner, call_later, call_soon, is_cancelled, is_timed_out, millis, now, scope, secs, shield, sleep,
    spawn, timeout, yield_now,
};

// ---- schedules -----------------------------------------------------------------------------------------------------

/// The order in which five tasks run, turn by turn.
fn order(seed: Option<u64>) -> String {
    let runner = Runner::new().virtual_clock().ctrl_c(false);
    let mut runner = if let Some(seed) = seed { runner.seed(seed) } else { runner };
    let log = Log::default();
    runner
        .run(|| {
            scope(|s| {
                for name in 0..5 {
                    let log = &log;
                    s.spawn(move || {
                        for _ in 0..3 {
                            log.say(name);
                            yield_now()?;
                        }
                        Ok(())
                    });
                }
                Ok(())
            })
        })
        .unwrap();
    log.take()
}

#[test]
fn without_a_seed_who_is_ready_first_runs_first() {
    assert_eq!(order(None), "0 1 2 3 4 0 1 2 3 4 0 1 2 3 4");
}

#[test]
fn seeds_give_different_orders_and_each_gives_the_same_again() {
    let orders: BTreeSet<String> = (0..50).map(|seed| order(Some(seed))).collect();
    assert!(orders.len() > 45, "{orders:#?}");
    for seed in 0..50 {
        assert_eq!(order(Some(seed)), order(Some(seed)));
    }
}

#[test]
fn every_turn_is_complete_under_every_schedule() {
    // Where no call rests, each task has its turn before any has the next: only the order within a turn changes.
    let turns = |seed| {
        let order = order(Some(seed));
        let words: Vec<&str> = order.split(' ').collect();
        words.chunks(5).all(|turn| turn.iter().collect::<BTreeSet<_>>().len() == 5)
    };
    assert!((0..50).filter(|seed| turns(*seed)).count() >= 10);
}

fn records(seed: u64) -> Vec<Record> {
    let recording = Recording::new();
    let mut runner = Runner::new().virtual_clock().ctrl_c(false).seed(seed).observer(recording.clone());
    let random = Random::new(seed);
    let result = runner.run(|| {
        call_soon(|| {});
        scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..3 {
                        sleep(millis(random.below(4)))?;
                        let _ = timeout(millis(random.below(4)), || sleep(millis(2)));
                    }
                    Ok(())
                });
            }
            sleep(millis(1))?;
            call_later(millis(1), || {});
            Ok(())
        })
    });
    result.unwrap();
    recording.records()
}

/// The records say all: who is ready in which order is told by them, and compared with the loop's tables at every step.
#[test]
fn a_shuffled_run_keeps_the_rules_and_the_same_seed_gives_the_same_records() {
    if !cfg!(feature = "observe") {
        return;
    }
    for seed in 0..100 {
        let first = records(seed);
        assert_eq!(first, records(seed), "seed {seed}");
        let mut state = State::new();
        for record in first {
            state.check(&record).unwrap_or_else(|rule| panic!("seed {seed}, step {}: {rule}", record.seq));
            state.apply(&record);
        }
    }
}

#[test]
fn callbacks_keep_their_order_under_every_schedule() {
    testing::explore(50, |_| {
        let log = Log::default();
        let tasks = [0, 1, 2].map(|_| spawn(|| ()));
        for n in 0..5 {
            let log = log.clone();
            call_soon(move || log.say(n));
        }
        for task in tasks {
            task.join()?;
        }
        testing::wait_all_tasks_blocked()?;
        assert_eq!(log.take(), "0 1 2 3 4");
        Ok(())
    });
}

/// A call that could go on may give up its turn in any run, when the turn was long: a schedule tries it early.
#[test]
fn some_schedules_cut_turns_short() {
    let interrupted = Cell::new(0);
    testing::explore(40, |_| {
        let (busy, other) = (Cell::new(false), Cell::new(false));
        scope(|s| {
            s.spawn(|| {
                busy.set(true);
                let _ = Ready.wait();
                busy.set(false);
                Ok(())
            });
            s.spawn(|| {
                other.set(busy.get());
                Ok(())
            });
            Ok(())
        })?;
        interrupted.set(interrupted.get() + u32::from(other.get()));
        Ok(())
    });
    assert!((1..40).contains(&interrupted.get()), "{interrupted:?}");
}

/// Something that never has to be waited for.
struct Ready;

impl Ready {
    fn wait(&self) -> io::Result<()> {
        scope(|s| s.wait())
    }
}

#[test]
fn a_bug_that_needs_another_order_is_found_and_its_seed_finds_it_again() {
    let body = |seen: &RefCell<Vec<u32>>| {
        scope(|s| {
            for name in 0..3 {
                s.spawn(move || {
                    seen.borrow_mut().push(name);
                    Ok(())
                });
            }
            Ok(())
        })
    };
    let found = panic_of(|| {
        testing::explore(100, |_| {
            let seen = RefCell::default();
            body(&seen)?;
            if *seen.borrow() == [2, 1, 0] { Err(io::Error::other("backwards")) } else { Ok(()) }
        });
    });
    let seed = found.split("CORIO_SEED=").nth(1).and_then(|rest| rest.split(' ').next());
    let seed: u64 = seed.unwrap_or_else(|| panic!("no seed in {found}")).parse().unwrap();
    assert!(found.contains("the test failed (seed") && found.contains("backwards"), "{found}");
    let seen = RefCell::default();
    Options::new().seed(seed).run(|| body(&seen));
    assert_eq!(seen.take(), [2, 1, 0]);
}

#[test]
fn two_clerks_and_one_account() {
    let found = panic_of(|| {
        // ANCHOR: account
        testing::explore(100, |_| {
            let balance = Cell::new(100);
            scope(|s| {
                for amount in [60, 60] {
                    let balance = &balance;
                    s.spawn(move || {
                        if balance.get() >= amount {
                            yield_now()?; // asks somebody
                            balance.set(balance.get() - amount);
                        }
                        Ok(())
                    });
                }
                Ok(())
            })?;
            assert!(balance.get() >= 0, "overdrawn: {}", balance.get());
            Ok(())
        });
        // ANCHOR_END: account
    });
    assert_eq!(found, "overdrawn: -20");
}

#[test]
fn the_environment_picks_the_schedule() {
    let name = "the_environment_picks_the_schedule";
    if plays(name) {
        let mut ran = 0;
        testing::explore(10, |_| ran += 1);
        println!("ran {ran}");
        testing::explore(10, |_| -> io::Result<()> { panic!("on purpose") });
        return;
    }
    let one = child_with(name, &[("CORIO_SEED", "17")]);
    assert!(!one.status.success());
    assert!(one.stdout.contains("ran 1\n"), "{one:#?}");
    assert!(one.stderr.contains("on purpose") && one.stderr.contains("CORIO_SEED=17 cargo test"), "{one:#?}");
    assert!(child_with(name, &[("CORIO_SCHEDULES", "25")]).stdout.contains("ran 25\n"));
    assert!(child_with(name, &[("CORIO_SCHEDULES", "5")]).stdout.contains("ran 10\n"), "no fewer than asked for");
    assert!(child_with(name, &[("CORIO_SEED", "x")]).stderr.contains("which is no number"));
}

#[test]
fn random_choices_are_within_their_bounds_and_all_of_them_come() {
    let random = Random::new(1);
    let dice: BTreeSet<u64> = (0..200).map(|_| random.range(1..=6)).collect();
    assert_eq!(dice, (1..=6).collect());
    assert_eq!((0..100).filter(|_| random.one_in(0)).count(), 0);
    assert_eq!((0..100).filter(|_| random.one_in(1)).count(), 100);
    let mut cards: Vec<u32> = (0..52).collect();
    random.shuffle(&mut cards);
    assert_ne!(cards, (0..52).collect::<Vec<_>>());
    cards.sort_unstable();
    assert_eq!(cards, (0..52).collect::<Vec<_>>());
    assert_eq!(random.range(5..6), 5);
    assert!([1, 2, 3].contains(random.pick(&[1, 2, 3])));
    random.range(..);
    assert!(panic_of(|| random.below(0)).contains("no number below 0"));
    assert!(panic_of(|| random.range(3..3)).contains("a range with a number in it"));
}

// ---- run and the ledger --------------------------------------------------------------------------------------------

#[test]
fn a_test_that_leaves_something_behind_fails_and_says_what() {
    let left = panic_of(|| {
        testing::run(|| {
            corio::Builder::new().name("forgotten").spawn(|| sleep(secs(60)))?;
            call_later(secs(5), || {});
            Ok(())
        });
    });
    let this_file = "testing.rs:";
    assert!(left.contains("the test has left something behind"), "{left}");
    assert!(left.contains("task \"forgotten\" (2, spawned at testing.rs:"), "{left}");
    assert!(left.contains("waits for: timer 2, due 60.000, at testing.rs:"), "{left}");
    assert!(left.contains("timer, due 5.000: to call what was scheduled at testing.rs:"), "{left}");
    assert_eq!(left.matches(this_file).count(), 3, "{left}");
}

#[test]
fn what_is_ready_when_the_body_returns_comes_to_its_end_first() {
    testing::run(|| {
        spawn(|| {
            yield_now()?;
            call_soon(|| {});
            Ok(())
        });
    });
}

#[test]
fn a_test_fails_with_its_error_its_panic_or_its_deadlock() {
    assert!(
        panic_of(|| testing::run(|| Err::<(), _>(io::Error::other("no luck")))).contains("the test failed: no luck")
    );
    assert_eq!(panic_of(|| testing::run(|| -> io::Result<()> { panic!("a bug") })), "a bug");
    let deadlock = panic_of(|| {
        testing::run(|| {
            let seq = Sequencer::new();
            seq.step(1).map(drop)
        });
    });
    assert!(deadlock.contains("the test failed: deadlock") && deadlock.contains("the only task waits"), "{deadlock}");
}

#[test]
fn the_ledger_tells_one_thing_from_another() {
    assert!(Ledger::now().is_empty(), "outside a loop there is nothing");
    testing::run(|| {
        timeout(secs(9), || {
            Ledger::now().assert_empty(); // its own limits do not count
            let (seq, gate) = (&Sequencer::new(), CancelScope::new());
            scope(|s| {
                s.spawn(|| timeout(secs(2), || sleep(secs(1))));
                s.spawn(|| seq.step(1).map(drop));
                yield_now()?;
                s.spawn(|| ());
                call_soon(|| {});
                let ledger = Ledger::now();
                assert_eq!((ledger.tasks, ledger.stacks, ledger.waiters), (3, 2, 1), "{ledger}");
                assert_eq!((ledger.timers, ledger.callbacks), (2, 1), "{ledger}");
                assert_eq!((ledger.sources, ledger.workers), (0, 0), "{ledger}");
                let text = ledger.to_string();
                for line in [
                    "has not begun",
                    "waits for: step 1 of a sequence, where step 0 is next",
                    "due 2.000: a time limit of task-2",
                    "callback scheduled at testing.rs:",
                ] {
                    assert!(text.contains(line), "{line:?} is missing in {text}");
                }
                seq.step(0).map(drop)
            })?;
            gate.cancel();
            Ledger::now().assert_empty();
            Ok(())
        })
    });
}

#[test]
fn a_stream_that_is_open_is_on_the_ledger() {
    use std::io::Read;
    testing::run(|| {
        let listener = corio::net::TcpListener::bind("127.0.0.1:0")?;
        let mut client = std::net::TcpStream::connect(listener.local_addr()?)?;
        let (stream, _) = listener.accept()?;
        let reading = spawn(move || (&stream).read(&mut [0; 8]));
        testing::wait_all_tasks_blocked()?;
        let ledger = Ledger::now();
        assert_eq!((ledger.tasks, ledger.waiters), (1, 0), "{ledger}");
        assert!(ledger.sources >= 1 && ledger.to_string().contains("of I/O is registered"), "{ledger}");
        io::Write::write_all(&mut client, b"x")?;
        assert_eq!(reading.join()?, 1);
        drop(listener);
        Ledger::now().assert_empty();
        Ok(())
    });
}

#[test]
fn all_tasks_are_blocked_when_none_is_ready() {
    testing::run(|| {
        let log = Log::default();
        let tasks = [3, 7].map(|turns| {
            let log = log.clone();
            spawn(move || {
                (0..turns).try_for_each(|_| yield_now())?;
                log.say(turns);
                sleep(secs(1))
            })
        });
        testing::wait_all_tasks_blocked()?;
        assert_eq!(log.take(), "3 7");
        tasks.into_iter().try_for_each(|task| task.join())
    });
    assert_eq!(testing::wait_all_tasks_blocked().unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

// ---- the sequencer -------------------------------------------------------------------------------------------------

#[test]
fn steps_come_in_their_order_under_every_schedule() {
    testing::explore(100, |random| {
        let (seq, log) = (Sequencer::new(), Log::default());
        scope(|s| {
            let mut steps: Vec<u32> = (0..12).collect();
            random.shuffle(&mut steps);
            for share in steps.chunks(3) {
                let mut share = share.to_vec();
                share.sort_unstable();
                let (seq, log) = (&seq, &log);
                s.spawn(move || {
                    for n in share {
                        let _step = seq.step(n)?;
                        log.say(n);
                        yield_now()?; // the step is not over yet
                        log.say(n);
                    }
                    Ok(())
                });
            }
            Ok(())
        })?;
        assert_eq!(log.take(), (0..12).map(|n| format!("{n} {n}")).collect::<Vec<_>>().join(" "));
        assert_eq!(seq.next(), 12);
        Ok(())
    });
}

#[test]
fn a_sequence_that_is_stuck_says_who_waits_for_which_step() {
    let stuck = sim(|| {
        let seq = Sequencer::new();
        scope(|s| {
            s.spawn(|| seq.step(3).map(drop));
            s.spawn(|| seq.step(2).map(drop));
            seq.step(0).map(drop)
        })
    });
    let text = stuck.unwrap_err().to_string();
    assert!(text.contains("step 3 of a sequence, where step 1 is next"), "{text}");
    assert!(text.contains("step 2 of a sequence, where step 1 is next"), "{text}");
}

#[test]
fn a_step_that_is_cancelled_or_panics_breaks_the_sequence() {
    testing::run(|| {
        let seq = Sequencer::new();
        scope(|s| {
            let waiting = s.spawn(|| {
                let error = seq.step(2).unwrap_err();
                assert!(error.to_string().contains("the sequence is broken: step 1, at testing.rs:"), "{error}");
                Ok(())
            });
            let cancelled = s.spawn(|| Ok(is_cancelled(&seq.step(1).unwrap_err())));
            yield_now()?;
            cancelled.cancel();
            assert!(cancelled.join()?);
            waiting.join()?;
            assert!(seq.step(0).is_err());
            assert!(seq.step(7).is_err(), "also who comes later is told");
            Ok(())
        })
    });
    testing::run(|| {
        let seq = std::rc::Rc::new(Sequencer::new());
        let own = seq.clone();
        let task = spawn(move || {
            let _step = own.step(0)?;
            if own.next() == 0 {
                panic!("in its step");
            }
            Ok(())
        });
        assert!(matches!(task.outcome(), corio::Outcome::Panicked(_)));
        assert!(seq.step(1).unwrap_err().to_string().contains("or has panicked"));
        Ok(())
    });
}

#[test]
fn a_number_is_used_once_and_by_tasks() {
    testing::run(|| {
        let seq = Sequencer::new();
        seq.step(0)?;
        let again = seq.step(0).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::InvalidInput);
        assert!(again.to_string().contains("was used before, at testing.rs:"), "{again}");
        Ok(())
    });
    assert_eq!(Sequencer::new().step(0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

// ---- cancellation everywhere ---------------------------------------------------------------------------------------

#[test]
fn a_body_is_cancelled_at_each_call_each_pause_and_each_wake() {
    let log = Log::default();
    let points = testing::cancel_everywhere(|injector| {
        let result = injector.run(|| {
            log.say("a");
            sleep(millis(1))?;
            log.say("b");
            yield_now()?;
            log.say("c");
            Ok(())
        });
        log.say(if result.is_ok() { "ok" } else { "err" });
        if let Err(error) = result {
            assert!(injector.cancelled() && is_cancelled(&error));
        }
        Ok(())
    });
    // The sleep: called, paused, woken (it has slept: that is success, and the next call fails). The yield: called, and
    // its pause.
    let runs = ["a err", "a err", "a b err", "a b err", "a b err", "a b c ok"];
    assert_eq!((points, log.take()), (5, runs.join(" ")));
}

/// Between the wake by whoever ended and the join, a cancellation comes: the value is there, so it is taken (R13).
#[test]
fn what_was_granted_before_the_cancel_is_not_lost() {
    let (taken, lost) = (Cell::new(0), Cell::new(0));
    testing::cancel_everywhere(|injector| {
        let task = spawn(|| {
            sleep(millis(1))?;
            Ok("value")
        });
        match injector.run(|| task.join()) {
            Ok(value) => {
                assert_eq!(value, "value");
                taken.set(taken.get() + u32::from(injector.cancelled()));
            }
            Err(_) => lost.set(lost.get() + 1),
        }
        Ok(())
    });
    assert_eq!((taken.get(), lost.get()), (1, 2), "woken: taken; called and paused: the task was cancelled as well");
}

#[test]
fn a_shield_holds_at_every_point() {
    testing::cancel_everywhere(|injector| {
        let log = Log::default();
        let _ = injector.run(|| {
            let work = sleep(millis(1));
            shield(secs(1), || {
                sleep(millis(1))?;
                log.say("clean");
                Ok(())
            })?;
            work
        });
        assert_eq!(log.take(), "clean");
        Ok(())
    });
}

#[test]
fn a_connection_goes_back_to_its_pool_wherever_the_body_is_cancelled() {
    // ANCHOR: pool
    testing::cancel_everywhere(|injector| {
        let pool = RefCell::new(vec!["connection"]);
        let result = injector.run(|| {
            let connection = pool.borrow_mut().pop().unwrap();
            let answer = sleep(millis(20)); // a query; with `?` here the connection would be lost
            pool.borrow_mut().push(connection);
            answer
        });
        assert_eq!(pool.borrow().len(), 1);
        assert!(result.is_ok() || injector.cancelled());
        Ok(())
    });
    // ANCHOR_END: pool
}

#[test]
fn children_are_cancelled_with_the_body_and_other_tasks_are_not() {
    testing::cancel_everywhere(|injector| {
        let other = spawn(|| {
            (0..20).try_for_each(|_| sleep(millis(1)))?;
            Ok(7)
        });
        let result = injector.run(|| {
            scope(|s| {
                let child = s.spawn(|| sleep(millis(3)));
                sleep(millis(1))?;
                child.join()
            })
        });
        assert!(result.is_ok() || injector.cancelled());
        assert_eq!(other.join()?, 7);
        Ok(())
    });
}

#[test]
fn the_points_are_counted_under_each_schedule_too() {
    let points = Options::new().schedules(20).cancel_everywhere(|injector| {
        scope(|s| {
            s.spawn(|| sleep(millis(1)));
            s.spawn(|| {
                let _ = injector.run(|| sleep(millis(2)));
                Ok(())
            });
            Ok(())
        })
    });
    assert!(points >= 60, "{points}");
}

#[test]
fn each_run_has_a_network_of_its_own() {
    let made = Rc::new(Cell::new(0));
    let count = made.clone();
    let options = Options::new().network(move || {
        count.set(count.get() + 1);
        let network = Network::new().latency(millis(5)..=millis(5));
        network.server(([10, 0, 0, 1], 80).into(), Script::new()).unwrap();
        network
    });
    // Nobody else can have called: the server takes one call.
    let ask = || TcpStream::connect(("10.0.0.1", 80))?.read(&mut [0]);
    options.run(|| {
        let start = now();
        assert!(is_timed_out(&timeout(secs(9), ask).unwrap_err()));
        assert_eq!(now() - start, secs(9));
        Ok(())
    });
    assert_eq!(made.get(), 1);
    options.clone().schedules(5).explore(|_| {
        assert!(is_timed_out(&timeout(secs(9), ask).unwrap_err()));
        Ok(())
    });
    assert_eq!(made.get(), 6);
    let points = options.cancel_everywhere(|injector| {
        let error = injector.run(|| timeout(secs(9), ask)).unwrap_err();
        assert_eq!((is_cancelled(&error), is_timed_out(&error)), (true, !injector.cancelled()));
        Ok(())
    });
    assert!(points >= 5 && made.get() == 7 + points, "{points} points, {} networks", made.get());
}

#[test]
fn a_failure_names_its_point_and_the_environment_picks_it() {
    let name = "a_failure_names_its_point_and_the_environment_picks_it";
    let mut runs = 0;
    let mut sweep = || {
        let leaky = Cell::new(false);
        testing::cancel_everywhere(|injector| {
            runs += 1;
            println!("run");
            let result = injector.run(|| {
                leaky.set(true);
                sleep(millis(1))?;
                yield_now()?; // forgets to tidy up if this fails
                leaky.set(false);
                Ok(())
            });
            if result.is_err() && leaky.get() && injector.to_string().contains("point 4") {
                return Err(io::Error::other("still set"));
            }
            Ok(())
        })
    };
    if plays(name) {
        sweep();
        return;
    }
    let found = panic_of(&mut sweep);
    assert!(found.contains("cancelled at point 4: as it began the call, at testing.rs:"), "{found}");
    assert!(found.contains("still set") && found.contains("CORIO_POINT=4 cargo test"), "{found}");
    assert_eq!(runs, 4);
    let again = child_with(name, &[("CORIO_POINT", "4")]);
    assert!(!again.status.success() && again.stdout.matches("run\n").count() == 1, "{again:#?}");
    assert!(child_with(name, &[("CORIO_POINT", "2")]).status.success());
}

#[test]
fn a_sweep_that_tests_nothing_or_has_no_end_says_so() {
    let nothing = panic_of(|| testing::cancel_everywhere(|_| Ok(())));
    assert!(nothing.contains("never called `Injector::run`"), "{nothing}");
    testing::cancel_everywhere(|injector| {
        injector.run(|| {
            assert_eq!(injector.run(|| ()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        })
    });
}
