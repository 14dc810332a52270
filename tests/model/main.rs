//! Random programs under random schedules, checked against what must always hold.
//!
//! Each test draws programs from a seed, runs each under the schedule of the same seed, cancels parts of it at random
//! moments, and checks the promises of what it uses: mutual exclusion, permits within bounds, items conserved, tasks that
//! end once. Nothing may be left on the loop, and a deadlock, in programs that cannot have one, is a wake that was lost.
//!
//! | File | Programs |
//! |---|---|
//! | `core.rs` | tasks, scopes, limits, shields, joins, panics |
//! | `sync.rs` | locks, permits, events, conditions, barriers |
//! | `queue.rs` | queues, promises, `select` |
//! | `channels.rs` | channels of each kind, between tasks |
//! | `mixed.rs` | tasks with stacks and without, which share what they use |
//! | `several.rs` | `gather`, `race`, `wait`, `as_completed`, `join_all` |
//! | `sweep.rs` | each primitive, cancelled at each point of a wait |
//! | `force.rs` | runs that have to unwind their tasks |
//! | `watched.rs` | the same programs, judged by their records |
//!
//! Two hundred schedules per test in an ordinary run; `CORIO_SCHEDULES=10000` runs so many of each. A failure prints its
//! seed: `CORIO_SEED=17 cargo test --test model name` runs only that one.

mod channels;
mod core;
mod force;
mod mixed;
mod queue;
mod several;
mod sweep;
mod sync;
mod watched;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use std::{env, io};

use corio::testing::{Random, wait_all_tasks_blocked};
use corio::{CancelScope, cancel_cause, is_cancelled, millis, scope, sleep, yield_now};

/// How many schedules each test tries where nobody asks for more.
const SCHEDULES: u64 = 200;

/// Calls `f` with one seed after the other, and says which one failed.
fn each_seed(seeds: u64, f: impl Fn(u64)) {
    struct Tell(u64);
    impl Drop for Tell {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed with seed {}; to repeat only this: CORIO_SEED={0}", self.0);
            }
        }
    }
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("CORIO_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..seeds.max(number("CORIO_SCHEDULES").unwrap_or(0) / 10),
    };
    for seed in seeds {
        let _tell = Tell(seed);
        f(seed);
    }
}

/// A short time, often none.
fn moment(random: &Random) -> Duration {
    millis(random.below(4))
}

/// Lets others run: not at all, for a turn, or for a moment.
fn pause(random: &Random) -> io::Result<()> {
    match random.below(4) {
        0 => Ok(()),
        1 | 2 => yield_now(),
        _ => sleep(moment(random)),
    }
}

/// The regions that somebody may cancel at any moment.
#[derive(Default)]
struct Hazards {
    regions: RefCell<Vec<Rc<CancelScope>>>,
    over: Cell<bool>,
}

impl Hazards {
    /// Runs `f`, often where it may be cancelled, or has a time limit that may be met; `None`: it was.
    ///
    /// An error that does not come from there fails the test.
    fn run<T>(&self, random: &Random, f: impl FnOnce() -> io::Result<T>) -> Option<T> {
        let region = match random.below(4) {
            0 => return Some(f().expect("nobody cancels this")),
            1 => CancelScope::after(moment(random)),
            _ => CancelScope::new(),
        };
        let region = Rc::new(region);
        self.regions.borrow_mut().push(region.clone());
        let result = region.run(|| {
            let result = f();
            if let Err(error) = &result {
                assert!(is_cancelled(error) && cancel_cause().is_some(), "{error}");
            }
            result
        });
        self.regions.borrow_mut().retain(|other| !Rc::ptr_eq(other, &region));
        assert!(cancel_cause().is_none(), "the region was left");
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(region.cancelled(), "{error}");
                None
            }
        }
    }

    /// Cancels regions now and then, until it is [over](Self::stop); but not for ever, because a program in which time
    /// passes is no deadlock.
    ///
    /// Whenever nothing else is ready it calls `audit`.
    fn strike(&self, random: &Random, audit: &dyn Fn()) -> io::Result<()> {
        for _ in 0..random.below(40) {
            pause(random)?;
            if random.one_in(2) {
                wait_all_tasks_blocked()?;
                audit();
            }
            if self.over.get() {
                break;
            }
            let regions = self.regions.borrow();
            if !regions.is_empty() && random.one_in(2) {
                let region = random.pick(&regions).clone();
                drop(regions);
                region.cancel();
            } else {
                drop(regions);
                sleep(millis(1))?;
            }
        }
        Ok(())
    }

    /// Ends [`strike`](Self::strike).
    fn stop(&self) {
        self.over.set(true);
    }
}

/// How many tasks are inside a call that waits.
#[derive(Default)]
struct Waiting(Cell<u32>);

impl Waiting {
    fn during<T>(&self, wait: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.0.set(self.0.get() + 1);
        let result = wait();
        self.0.set(self.0.get() - 1);
        result
    }

    /// At a moment when nothing is ready: if it is there, nobody waits for it. Else a wake was lost.
    #[track_caller]
    fn none_if(&self, there: bool) {
        assert!(!there || self.0.get() == 0, "what {} tasks wait for is there", self.0.get());
    }
}

/// Runs so many workers side by side, and somebody who strikes at them, until all have ended.
fn workers(
    random: &Random,
    hazards: &Hazards,
    n: u64,
    audit: &dyn Fn(),
    work: impl Fn(u64) -> io::Result<()>,
) -> io::Result<()> {
    let work = &work;
    scope(|s| {
        let strikes = s.spawn(|| hazards.strike(random, audit));
        let workers: Vec<_> = (0..n).map(|name| s.spawn(move || work(name))).collect();
        workers.into_iter().try_for_each(|worker| worker.join())?;
        hazards.stop();
        strikes.join()
    })
}
