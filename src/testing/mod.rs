//! A kit for tests of programs that wait.
//!
//! | To | Use |
//! |---|---|
//! | run a test in no time, and learn what it leaves behind | [`run`], [`Ledger`] |
//! | try other orders of events, and repeat the one that failed | [`explore`], [`Options::seed`], [`Random`] |
//! | say in which order tasks come to certain points | [`Sequencer`] |
//! | cancel a body wherever it can be cancelled | [`cancel_everywhere`], [`Injector`] |
//! | do any of this on a network in memory | [`Options::network`], [`Network`], [`Script`] |
//! | wait until all that can happen now has happened | [`wait_all_tasks_blocked`] |
//! | make sure that a region does not wait | [`no_suspend`](crate::no_suspend) |
//!
//! All of them run on the virtual clock, so a test takes the time that it computes, and every run is the same. With
//! `CORIO_FLIGHT=1000` in the environment each run has a [`FlightRecorder`](crate::observe::FlightRecorder), which writes to
//! standard error what happened before a panic or a deadlock, and what a run is at that is not over in 60 seconds.
//! Chapter: `docs/book/testing.md`.

mod injector;
mod ledger;
mod sequencer;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::{env, fmt, io};

pub use self::injector::Injector;
pub use self::ledger::Ledger;
pub use self::sequencer::{Sequencer, Step};
use crate::event_loop::EventLoop;
pub use crate::random::Random;
use crate::reactor::Backend;
pub use crate::reactor::{Network, Peer, Script};
use crate::run::Runner;
use crate::task::{IntoResult, yield_now};

/// The variable that picks the one schedule to run.
const SEED: &str = "CORIO_SEED";
/// The variable that asks for more schedules.
const SCHEDULES: &str = "CORIO_SCHEDULES";
/// The variable that picks the one point to cancel at.
const POINT: &str = "CORIO_POINT";
/// A body that goes on for more points than that may go on for ever.
const MOST_POINTS: u64 = 100_000;
/// How many turns what is ready has to come to rest, when the body has returned.
const TURNS_TO_REST: u32 = 1_000;

/// Runs a test: on the virtual clock, and with nothing left behind.
///
/// When the body has returned, and nothing is ready any more, the [`Ledger`] must be empty: a task that was not joined, a
/// timer that is still set, a stream that is still registered is named, with its place. Ctrl-C is not watched.
///
/// tokio: `#[tokio::test(start_paused = true)]`; trio: `trio_test` with an `autojump_clock`.
///
/// # Panics
///
/// If the body panics, with the same payload; if it returns an error, or all its tasks wait for each other, with the
/// error's text; and if something is left.
///
/// ```
/// use corio::{secs, sleep, spawn, testing};
///
/// let hour = testing::run(|| {
///     let task = spawn(|| sleep(secs(3_600)));
///     task.join()?;
///     Ok("over")
/// });
/// assert_eq!(hour, "over");
/// ```
///
/// ```should_panic
/// corio::testing::run(|| {
///     corio::spawn(|| corio::sleep(corio::secs(1))); // nobody waits for it
/// });
/// ```
#[track_caller]
pub fn run<R: IntoResult>(body: impl FnOnce() -> R) -> R::Value {
    Options::new().run(body)
}

/// Runs a body under `schedules` different schedules, one after the other, each as [`run`] does.
///
/// A schedule is named by a seed, from 0 on. It decides in which order the ready tasks of each turn run, and which calls
/// that could go on give up their turn instead, as in any run some do. The body gets [`Random`] choices of its own, which
/// belong to the seed too.
///
/// If a schedule fails, by an error, a panic, a deadlock or something left behind, its seed is printed, and the failure
/// goes on. `CORIO_SEED=17` in the environment runs that schedule only. `CORIO_SCHEDULES=100000` runs so many, where the
/// test asks for fewer.
///
/// shuttle: `check_random`; loom: `model`, which tries all schedules and needs a program that has few.
///
/// # Panics
///
/// As [`run`], in the first schedule that fails.
///
/// ```
/// use corio::{scope, testing, yield_now};
/// use std::cell::Cell;
///
/// // Two tasks that count, and read and write in one step: right under every schedule.
/// testing::explore(100, |random| {
///     let count = Cell::new(0);
///     scope(|s| {
///         for _ in 0..2 {
///             s.spawn(|| {
///                 yield_now()?;
///                 count.set(count.get() + 1);
///                 Ok(())
///             });
///         }
///         Ok(())
///     })?;
///     assert_eq!(count.get(), 2);
///     Ok(())
/// });
/// ```
///
/// With a pause between the two it is not, and one of the schedules shows it:
///
/// ```should_panic
/// # use corio::{scope, testing, yield_now};
/// # use std::cell::Cell;
/// testing::explore(100, |random| {
///     let count = Cell::new(0);
///     scope(|s| {
///         for _ in 0..2 {
///             s.spawn(|| {
///                 let old = count.get();
///                 yield_now()?;
///                 count.set(old + 1);
///                 Ok(())
///             });
///         }
///         Ok(())
///     })?;
///     assert_eq!(count.get(), 2);
///     Ok(())
/// });
/// ```
#[track_caller]
pub fn explore<R: IntoResult>(schedules: u64, body: impl FnMut(&Random) -> R) {
    Options::new().schedules(schedules).explore(body);
}

/// Runs a program again and again, and cancels a part of it at another point each time, until that part has ended before
/// its point came. Returns how many points there were.
///
/// The part is what the program gives to [`Injector::run`]. Its points are: each call that may suspend, as it begins;
/// each pause; and each time that the task was woken and has not run yet. That last one is where primitives lose things:
/// what was waited for may have been handed over already, and a cancellation comes before the task can take it.
///
/// The program checks what must hold whether or not the part was cancelled: that a lock is free, that an item is where it
/// belongs. Each run is as [`run`], so nothing may be left behind.
///
/// If a run fails, the point is printed, and the failure goes on. `CORIO_POINT=7` in the environment runs that one only.
///
/// # Panics
///
/// As [`run`], in the first run that fails; if the program does not call [`Injector::run`]; and if there is no end of
/// points, because the body does not end when it is cancelled.
///
/// ```
/// use corio::{is_cancelled, millis, scope, sleep, testing};
/// use std::cell::Cell;
///
/// let points = testing::cancel_everywhere(|injector| {
///     let open = Cell::new(0);
///     let result = injector.run(|| {
///         open.set(open.get() + 1);
///         let result = sleep(millis(1)).and_then(|()| sleep(millis(1)));
///         open.set(open.get() - 1); // an early `?` above would leave it open
///         result
///     });
///     assert_eq!(open.get(), 0);
///     assert!(result.is_ok() || injector.cancelled());
///     Ok(())
/// });
/// assert_eq!(points, 6); // each `sleep`: as it is called, while it is paused, and when it was woken
/// ```
#[track_caller]
pub fn cancel_everywhere<R: IntoResult>(program: impl FnMut(&Injector) -> R) -> u64 {
    Options::new().cancel_everywhere(program)
}

/// Waits until no other task is ready: each waits for a time, for I/O, or for somebody else.
///
/// Time does not pass meanwhile, and callbacks that are ready are called.
///
/// trio: `trio.testing.wait_all_tasks_blocked`.
///
/// # Errors
///
/// Only cancellation. [`InvalidInput`](io::ErrorKind::InvalidInput) outside a loop and in a callback.
///
/// # Suspends
///
/// Until then.
///
/// ```
/// use corio::{secs, sleep, spawn, testing, yield_now};
///
/// testing::run(|| {
///     let task = spawn(|| {
///         yield_now()?;
///         yield_now()?;
///         sleep(secs(1))
///     });
///     testing::wait_all_tasks_blocked()?;
///     assert_eq!(testing::Ledger::now().timers, 1); // by now it sleeps
///     task.join()
/// });
/// ```
#[track_caller]
pub fn wait_all_tasks_blocked() -> io::Result<()> {
    if !EventLoop::is_entered() {
        return Err(crate::error::misuse("no tasks run here: call it inside a run"));
    }
    while yield_once()? {}
    Ok(())
}

/// Whether others are ready after a turn.
#[track_caller]
fn yield_once() -> io::Result<bool> {
    yield_now()?;
    Ok(EventLoop::with_current(|lp| lp.is_some_and(|lp| lp.ready_len() > 0 || lp.remote.has_news())))
}

/// How a test is run; for what [`run`], [`explore`] and [`cancel_everywhere`] do not ask for.
///
/// ```
/// use corio::testing::Options;
/// use corio::{millis, sleep};
///
/// // Each of ten schedules, cancelled at each of its points.
/// Options::new().schedules(10).cancel_everywhere(|injector| {
///     let _ = injector.run(|| sleep(millis(1)));
/// });
/// // The schedule that has failed, and those after it.
/// Options::new().seed(17).schedules(3).explore(|random| sleep(millis(random.below(5))));
/// ```
#[derive(Clone, Default)]
#[must_use = "these do nothing until `run`, `explore` or `cancel_everywhere`"]
pub struct Options {
    seed: Option<u64>,
    schedules: Option<u64>,
    network: Option<Rc<dyn Fn() -> Network>>,
}

impl Options {
    /// The options of [`run`]: tasks run in the order in which they became ready.
    pub fn new() -> Options {
        Options::default()
    }

    /// The schedule of that seed; if there are to be several, the first of them.
    pub fn seed(mut self, seed: u64) -> Options {
        self.seed = Some(seed);
        self
    }

    /// How many schedules to try.
    pub fn schedules(mut self, schedules: u64) -> Options {
        self.schedules = Some(schedules);
        self
    }

    /// Carries the sockets of each run on a [`Network`], which is made for that run: no two of them meet what another has
    /// left there.
    ///
    /// ```
    /// use corio::net::TcpStream;
    /// use corio::testing::{Network, Options, Script};
    /// use corio::{is_cancelled, is_timed_out, secs, timeout};
    /// use std::io::Read;
    ///
    /// // Whoever waits for somebody silent is cancelled, or meets its limit.
    /// let silent = || {
    ///     let network = Network::new();
    ///     network.server("10.0.0.1:80".parse().unwrap(), Script::new()).unwrap();
    ///     network
    /// };
    /// Options::new().network(silent).cancel_everywhere(|injector| {
    ///     let ask = || TcpStream::connect("10.0.0.1:80")?.read(&mut [0]);
    ///     let error = injector.run(|| timeout(secs(9), ask)).unwrap_err();
    ///     assert!(if injector.cancelled() { is_cancelled(&error) } else { is_timed_out(&error) });
    ///     Ok(())
    /// });
    /// ```
    pub fn network(mut self, make: impl Fn() -> Network + 'static) -> Options {
        self.network = Some(Rc::new(make));
        self
    }

    /// Runs a test once; see [`run`](run()).
    ///
    /// # Panics
    ///
    /// As there.
    #[track_caller]
    pub fn run<R: IntoResult>(&self, body: impl FnOnce() -> R) -> R::Value {
        let runner = self.runner(self.seed, None);
        match attempt(runner, body, &self.seed.map(|seed| format!("seed {seed}")).unwrap_or_default(), &[]) {
            Ok(value) => value,
            Err(trouble) => panic!("{trouble}"),
        }
    }

    /// Runs a body under several schedules; see [`explore`](explore()).
    ///
    /// # Panics
    ///
    /// As there.
    #[track_caller]
    pub fn explore<R: IntoResult>(&self, mut body: impl FnMut(&Random) -> R) {
        for seed in self.seeds(variable(SCHEDULES)) {
            let seed = seed.unwrap_or(0);
            let replay = [(SEED, seed)];
            if let Err(trouble) =
                attempt(self.runner(Some(seed), None), || body(&choices(seed)), &format!("seed {seed}"), &replay)
            {
                panic!("{trouble}");
            }
        }
    }

    /// Runs a program once for each point of a part of it; see [`cancel_everywhere`](cancel_everywhere()). With
    /// [`schedules`](Self::schedules), under each of these.
    ///
    /// # Panics
    ///
    /// As there.
    #[track_caller]
    pub fn cancel_everywhere<R: IntoResult>(&self, mut program: impl FnMut(&Injector) -> R) -> u64 {
        let only = variable(POINT);
        let mut points = 0;
        for seed in self.seeds(None) {
            for point in only.unwrap_or(1).. {
                let injector = Injector::new(point);
                let runner = self.runner(seed, Some(point)).probe(injector.probe());
                let mut replay = vec![(POINT, point)];
                replay.extend(seed.map(|seed| (SEED, seed)));
                let label = Label { seed, injector: &injector };
                if let Err(trouble) = attempt(runner, || program(&injector), &label, &replay) {
                    panic!("{trouble}");
                }
                assert!(injector.was_used(), "the program never called `Injector::run`, so nothing was tested");
                if !injector.cancelled() {
                    break;
                }
                points += 1;
                assert!(
                    point < MOST_POINTS,
                    "the body was cancelled at {point} points and there was always another one: does it end by itself?"
                );
                if only.is_some() {
                    break;
                }
            }
        }
        points
    }

    /// The schedules to try, so many at least; `None`: the order in which tasks become ready.
    fn seeds(&self, more: Option<u64>) -> Vec<Option<u64>> {
        if let Some(seed) = variable(SEED) {
            return vec![Some(seed)];
        }
        match (self.seed, self.schedules) {
            (seed, None) => vec![seed],
            (seed, Some(schedules)) => {
                let first = seed.unwrap_or(0);
                (0..schedules.max(more.unwrap_or(0))).map(|n| Some(first.wrapping_add(n))).collect()
            }
        }
    }

    /// For one run.
    fn runner(&self, seed: Option<u64>, point: Option<u64>) -> Runner {
        let variable = |name, value: Option<u64>| value.map_or(String::new(), |value| format!(" {name}={value}"));
        let how = variable(SEED, seed) + &variable(POINT, point);
        let mut runner = Runner::new().virtual_clock().ctrl_c(false).test(how);
        if let Some(seed) = seed {
            runner = runner.seed(seed);
        }
        match &self.network {
            Some(make) => runner.backend(Backend::Simulated(make())),
            None => runner,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("seed", &self.seed)
            .field("schedules", &self.schedules)
            .field("network", &self.network.is_some())
            .finish()
    }
}

/// Which of many runs it is, known in full when it is over.
struct Label<'a> {
    seed: Option<u64>,
    injector: &'a Injector,
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(seed) = self.seed {
            write!(f, "seed {seed}, ")?;
        }
        self.injector.fmt(f)
    }
}

/// The choices of a body: not those of its schedule, but as fixed.
fn choices(seed: u64) -> Random {
    Random::new(Random::new(!seed).next_u64())
}

/// One run. A panic is introduced on the error stream and goes on; other failures come back as a text.
fn attempt<R: IntoResult>(
    mut runner: Runner,
    body: impl FnOnce() -> R,
    which: &dyn fmt::Display,
    replay: &[(&str, u64)],
) -> Result<R::Value, String> {
    let main = || {
        let value = body().into_result()?;
        for _ in 0..TURNS_TO_REST {
            // Nobody can cancel the main task of a test but the test.
            if !matches!(yield_once(), Ok(true)) {
                break;
            }
        }
        Ok((value, Ledger::now()))
    };
    let told = || {
        let which = which.to_string();
        let which = if which.is_empty() { which } else { format!(" ({which})") };
        let test = std::thread::current().name().filter(|name| *name != "main").unwrap_or("").to_owned();
        let variables: Vec<String> = replay.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let how = format!("\nto repeat only this: {} cargo test {test}", variables.join(" "));
        (which, if replay.is_empty() { String::new() } else { how.trim_end().to_owned() })
    };
    match catch_unwind(AssertUnwindSafe(|| runner.run(main))) {
        Ok(Ok((value, ledger))) if ledger.is_empty() => Ok(value),
        Ok(Ok((_, ledger))) => {
            let (which, how) = told();
            Err(format!("the test has left something behind{which}; {ledger}{how}"))
        }
        Ok(Err(error)) => {
            let (which, how) = told();
            Err(format!("the test failed{which}: {error}{how}"))
        }
        Err(payload) => {
            let (which, how) = told();
            if !(which.is_empty() && how.is_empty()) {
                eprintln!("corio: the test panicked{which}{how}");
            }
            resume_unwind(payload)
        }
    }
}

/// A number from the environment.
fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let number = text.trim().parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is {text:?}, which is no number")))
}
