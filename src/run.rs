//! Running a program: the loop is made, driven until nothing is left, and in the end taken down.
//!
//! A run ends in an orderly way, whatever its main task came to (R3):
//!
//! 1. the tasks that are left are cancelled, and nothing can be spawned any more;
//! 2. they get a *grace* to end by themselves;
//! 3. who is late is named in the log; shields are lifted, so that every wait of theirs fails;
//! 4. what still hangs is unwound: [`Shutdown`](crate::Shutdown) is thrown from its wait, newest task first, so that
//!    children go before the frames that they borrow from;
//! 5. a task that catches even that, again and again, is named, and the process is aborted: returning would leave it a
//!    stack full of dangling references.

use std::fmt::Debug;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Once;
use std::time::{Duration, Instant};

use crate::cancel::{self, Cause};
use crate::clock::{Clock, nanos};
use crate::debug::{self, Level};
use crate::error;
use crate::event_loop::{EventLoop, Hook, Phase, Switch, Turn};
use crate::executor::{self, Executor};
use crate::failure::{ExceptionHandler, Failure};
use crate::lab::Probe;
use crate::live;
use crate::observe::event::{Event, Place};
use crate::observe::{FlightRecorder, Observer};
use crate::reactor::Backend;
use crate::signal::Signal;
use crate::task::body::{Function, Main, drop_quietly};
use crate::task::future::Polled;
use crate::task::{Body, IntoResult, TaskCore, TaskRef, Ticket, caller, cancel_all};
use crate::{secs, stack::StackSize};

/// How long the tasks that are left have to end by themselves.
const GRACE: Duration = secs(10);
/// How many turns may pass in the grace without time passing: on a virtual clock it never does while anything runs.
const TIMELESS_TURNS: u32 = 100_000;
/// How many turns they have to react when shields are lifted.
const LAST_TURNS: usize = 100;

/// Runs `main` as a task on a new event loop, and returns its result when every task has ended.
///
/// `main` may borrow. When it has returned, the tasks that are left are cancelled; they get ten seconds
/// ([`Runner::grace`]) to end. asyncio: `asyncio.run`.
///
/// # Errors
///
/// What `main` returns; and
///
/// - a cancellation that says so ([`is_cancelled`](crate::is_cancelled)), if Ctrl-C or SIGTERM ended it;
/// - [`Deadlock`](io::ErrorKind::Deadlock), if all tasks waited for each other, or for nothing that could ever happen:
///   the text is the tree of the tasks;
/// - [`InvalidInput`](io::ErrorKind::InvalidInput) inside another run on the same thread, while the thread panics, or if
///   `CORIO_BACKEND` or `CORIO_FLIGHT` says what cannot be;
/// - what the system says if no loop can be made.
///
/// # Panics
///
/// If `main` panics, with the same payload, when every task has ended. A panic in another task reaches whoever joins it.
///
/// ```
/// use corio::{millis, run, sleep, spawn};
///
/// let greeting = run(|| {
///     let name = spawn(|| {
///         sleep(millis(10))?;
///         Ok("Ada")
///     });
///     Ok(format!("Hello, {}!", name.join()?))
/// });
/// assert_eq!(greeting.unwrap(), "Hello, Ada!");
/// ```
#[track_caller]
pub fn run<R: IntoResult>(main: impl FnOnce() -> R) -> io::Result<R::Value> {
    Runner::new().run(main)
}

/// Runs with settings, one or several, on one loop. asyncio: `asyncio.Runner`.
///
/// ```
/// use corio::{Runner, secs, sleep};
///
/// Runner::new().virtual_clock().grace(secs(1)).run(|| sleep(secs(86_400))).unwrap();
/// ```
///
/// The loop is made by the first [`run`](Self::run) and kept until the runner is closed or dropped: its clock goes on,
/// task ids count on, observers and the exception handler stay, and a [`LoopHandle`](crate::LoopHandle) of it remains
/// valid: what other threads send between two runs is done at the beginning of the next. Each run ends in an orderly way
/// all the same: no task, timer or callback outlives its run.
///
/// ```
/// use corio::{LoopHandle, Runner, now, secs, sleep};
///
/// let mut runner = Runner::new().virtual_clock();
/// let start = runner.run(|| Ok(now()))?;
/// runner.run(|| sleep(secs(60)))?;
/// assert_eq!(runner.run(|| Ok(now() - start))?, secs(60));
///
/// let handle = runner.run(LoopHandle::current)?;
/// assert!(!handle.is_closed());
/// runner.close();
/// assert!(handle.is_closed() && runner.run(|| Ok(())).is_err());
/// # std::io::Result::Ok(())
/// ```
#[must_use = "a runner runs nothing until `run`"]
pub struct Runner {
    virtual_clock: bool,
    backend: Option<Backend>,
    seed: Option<u64>,
    probe: Option<Rc<dyn Probe>>,
    /// In a test: how to repeat only this run.
    test: Option<String>,
    grace: Duration,
    ctrl_c: bool,
    executor: Option<Executor>,
    observers: Vec<Box<dyn Observer>>,
    exception_handler: Option<ExceptionHandler>,
    /// `None`: as the environment says.
    debug: Option<Level>,
    slow_step: Option<Duration>,
    hooks: Vec<Hook>,
    /// `None`: as the environment says.
    live: Option<bool>,
    dump_on: Option<Signal>,
    /// The loop has a follower.
    is_followed: bool,
    stage: Stage,
}

/// The life of a runner's loop.
enum Stage {
    Fresh,
    /// Boxed, because the thread points to it during a run.
    Made(Box<EventLoop>),
    Closed,
}

impl Runner {
    /// The settings of [`run`].
    pub fn new() -> Runner {
        Runner {
            virtual_clock: false,
            backend: None,
            seed: None,
            probe: None,
            test: None,
            grace: GRACE,
            ctrl_c: true,
            executor: None,
            observers: Vec::new(),
            exception_handler: None,
            debug: None,
            slow_step: None,
            hooks: Vec::new(),
            live: None,
            dump_on: None,
            is_followed: false,
            stage: Stage::Fresh,
        }
    }

    /// Simulates time: the clock stands still while anything can run, and jumps to the next timer when nothing is ready
    /// and nothing outside the program is waited for. Tests that sleep take no time, and every run is the same. Settled
    /// by the first run.
    pub fn virtual_clock(mut self) -> Runner {
        self.virtual_clock = true;
        self
    }

    /// Which event loop of the system, or which network in memory, carries the sockets: [`Backend::Mio`] if not set, or what
    /// the environment variable `CORIO_BACKEND` says (`mio` or `poll`). Settled by the first run. asyncio: `loop_factory`.
    ///
    /// ```
    /// use corio::{Backend, Runner, millis, sleep};
    ///
    /// Runner::new().backend(Backend::Poll).run(|| sleep(millis(1))).unwrap();
    /// ```
    pub fn backend(mut self, backend: Backend) -> Runner {
        self.backend = Some(backend);
        self
    }

    /// Lets a seed decide in which order ready tasks run: each turn's are shuffled, and now and then a call that could go
    /// on gives up its turn, as it may in any run. On the virtual clock the same seed gives the same run.
    ///
    /// For tests; see [`testing`](crate::testing). Settled by the first run.
    ///
    /// ```
    /// use corio::{Runner, gather, yield_now};
    /// use std::cell::RefCell;
    ///
    /// fn order(seed: u64) -> Vec<u32> {
    ///     let log = RefCell::new(Vec::new());
    ///     let speak = |n| {
    ///         yield_now()?;
    ///         log.borrow_mut().push(n);
    ///         Ok(())
    ///     };
    ///     Runner::new().virtual_clock().seed(seed).run(|| gather(0..5, speak).map(drop)).unwrap();
    ///     log.into_inner()
    /// }
    /// assert_eq!(order(7), order(7)); // the same run again
    /// assert!((0..20).any(|seed| order(seed) != [0, 1, 2, 3, 4])); // not only the order of spawning
    /// ```
    pub fn seed(mut self, seed: u64) -> Runner {
        self.seed = Some(seed);
        self
    }

    /// Lets the test kit look on.
    pub(crate) fn probe(mut self, probe: Rc<dyn Probe>) -> Runner {
        self.probe = Some(probe);
        self
    }

    /// Runs a test, which can be repeated in this way.
    pub(crate) fn test(mut self, how: String) -> Runner {
        self.test = Some(how);
        self
    }

    /// How long tasks that are left at the end have to react to their cancellation. Ten seconds if not set.
    pub fn grace(mut self, grace: Duration) -> Runner {
        self.grace = grace;
        self
    }

    /// Whether Ctrl-C and SIGTERM cancel the main task; they do if not set. The second one ends the process.
    ///
    /// The run then returns a cancellation ([`is_cancelled`](crate::is_cancelled)); a server for which this is the
    /// ordinary end makes `Ok` of it. A signal that was ignored when the run began stays ignored: a script ignores SIGINT
    /// for what it starts with `&`.
    ///
    /// ```
    /// use corio::{Runner, is_cancelled, process::Command, secs, signal::{Signal, Signals}, sleep};
    ///
    /// let terminate_me = || Command::new("kill").arg(std::process::id().to_string()).status();
    ///
    /// let end = Runner::new().run(|| {
    ///     terminate_me()?; // as a service manager does
    ///     sleep(secs(60))
    /// });
    /// assert!(is_cancelled(&end.unwrap_err()));
    ///
    /// Runner::new().ctrl_c(false).run(|| {
    ///     let signals = Signals::new([Signal::Terminate])?; // this program answers by itself
    ///     terminate_me()?;
    ///     assert_eq!(signals.recv()?, Signal::Terminate);
    ///     sleep(secs(0)) // nobody was cancelled
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn ctrl_c(mut self, watch: bool) -> Runner {
        self.ctrl_c = watch;
        self
    }

    /// The threads that [`to_thread`](crate::to_thread) and name look-ups use, instead of the loop's own. They stay when
    /// the run ends. asyncio: `set_default_executor`.
    ///
    /// ```
    /// use corio::{Executor, Runner, to_thread};
    ///
    /// let pool = Executor::named("db", 1)?;
    /// Runner::new().executor(pool.clone()).run(|| {
    ///     let name = to_thread(|| std::thread::current().name().map(str::to_owned))?;
    ///     assert_eq!(name.as_deref(), Some("db-1"));
    ///     Ok(())
    /// })?;
    /// assert_eq!(pool.run(|| 6 * 7)?, 42); // the run is over, the pool is not
    /// # std::io::Result::Ok(())
    /// ```
    pub fn executor(mut self, executor: Executor) -> Runner {
        self.executor = Some(executor);
        self
    }

    /// Lets somebody watch: see [`observe`](crate::observe). It may be called several times: all are told, in the order
    /// of the calls.
    ///
    /// ```
    /// use corio::{Runner, observe::Recording, secs, sleep};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| sleep(secs(1)))?;
    /// assert!(recording.narrate(1).contains("main       ■ pauses"));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn observer(mut self, observer: impl Observer + 'static) -> Runner {
        self.observers.push(Box::new(observer));
        self
    }

    /// Calls `f` with every failure that has no other way out: a callback that panics, also one of
    /// [`Task::on_done`](crate::Task::on_done), a task whose error or panic nobody takes, and the panics of a scope's
    /// tasks but the one that the scope passes on. Without a handler they are logged, one line each at level error. asyncio:
    /// `set_exception_handler`.
    ///
    /// The handler runs on the loop's thread, at the moment when it is certain that nobody will take the failure; the
    /// task or callback that failed may still be the running one. It cannot wait. A handler that panics is logged,
    /// together with what it was told, and the loop goes on. A failure that becomes certain when the run is over, because
    /// a handle was kept for longer, goes to the log.
    ///
    /// ```
    /// use corio::{Runner, sleep, secs, spawn};
    /// use std::{cell::RefCell, io, rc::Rc};
    ///
    /// let failures = Rc::new(RefCell::new(Vec::new()));
    /// let noted = failures.clone();
    /// Runner::new().virtual_clock().exception_handler(move |failure| noted.borrow_mut().push(failure.to_string())).run(|| {
    ///     spawn(|| Err::<(), _>(io::Error::other("no disk"))); // and nobody joins it
    ///     sleep(secs(1))
    /// })?;
    /// assert!(failures.borrow()[0].contains("no disk"));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn exception_handler(mut self, f: impl Fn(&Failure<'_>) + 'static) -> Runner {
        self.exception_handler = Some(Rc::new(f));
        self
    }

    /// Debug mode, on or off; if not set, the environment variable `CORIO_DEBUG` says which (on, unless it is empty
    /// or `0`), and [`set_debug`] changes it during a run. `CORIO_DEBUG=strict` is [`strict`](Self::strict).
    ///
    /// In debug mode these go to the log, at level warn and with the target `corio::debug`; `env_logger` shows them with
    /// `RUST_LOG=warn`, and not by itself:
    ///
    /// - a task that ran, or a callback that took, longer than [`slow_step`](Self::slow_step), with where it was;
    /// - while that goes on, who blocks the loop, from a thread of its own;
    /// - a [`Coroutine`](crate::Coroutine) that is dropped without having run, or half way;
    /// - tasks that have not ended when their run does.
    ///
    /// And what a panic prints is preceded by a line that names the task.
    ///
    /// What runs is timed by records of the loop, so the first two need the feature `observe`. asyncio: `debug=True`.
    pub fn debug(mut self, on: bool) -> Runner {
        self.debug = Some(Level::new(on, self.debug.unwrap_or(Level::Off)));
        self
    }

    /// Debug mode that also looks, at every call that may suspend, at the functions that it would suspend. Such a call
    /// panics, before anything bad has happened,
    ///
    /// - in the lazy initialiser of a `thread_local!`,
    /// - in a function given to `scoped_tls`'s `set`,
    /// - in the initialiser of a `OnceLock`, `LazyLock` or `Once`.
    ///
    /// The first two are holes in safe Rust that no library can close, the third blocks the thread; see the chapter "What can
    /// go wrong" of the book. A look takes some hundred microseconds, so this is for tests. It reads the names of
    /// functions: in a stripped program it finds nothing, and without line tables it misses those that were inlined.
    ///
    /// ```
    /// use corio::{Runner, yield_now};
    ///
    /// thread_local!(static CONFIG: u32 = {
    ///     yield_now().unwrap(); // meanwhile another task may ask for CONFIG
    ///     8
    /// });
    /// let main = || Ok(CONFIG.with(|config| *config));
    /// let panicked = std::panic::catch_unwind(|| Runner::new().strict().run(main)).is_err();
    /// assert!(panicked);
    /// ```
    pub fn strict(mut self) -> Runner {
        self.debug = Some(Level::Strict);
        self
    }

    /// How long a task or callback may run before debug mode speaks of it; 100 ms if not set. asyncio:
    /// `slow_callback_duration`.
    ///
    /// ```
    /// use corio::{Runner, millis};
    /// use std::sync::Mutex;
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());
    /// struct Logger; // in a program: that of `env_logger`
    /// impl log::Log for Logger {
    ///     fn enabled(&self, _: &log::Metadata<'_>) -> bool {
    ///         true
    ///     }
    ///     fn log(&self, record: &log::Record<'_>) {
    ///         LOG.lock().unwrap().push(format!("{}: {}", record.target(), record.args()));
    ///     }
    ///     fn flush(&self) {}
    /// }
    /// log::set_logger(&Logger).unwrap();
    /// log::set_max_level(log::LevelFilter::Warn);
    ///
    /// Runner::new().debug(true).slow_step(millis(5)).run(|| {
    ///     std::thread::sleep(millis(50)); // the thread, and with it the loop; `corio::sleep` would let others run
    /// })?;
    /// assert!(LOG.lock().unwrap().iter().any(|line| line.starts_with("corio::debug: ")));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn slow_step(mut self, limit: Duration) -> Runner {
        self.slow_step = Some(limit);
        self
    }

    /// Calls `f` at every switch to a task and away from it, on the loop's thread, just before the one and just after the
    /// other: to keep a thread-local of some other library per task. All tasks of a loop share the thread's.
    ///
    /// Between the two calls nobody else runs: if a task starts another one at once, the hook is told that the first is
    /// out meanwhile. A task that was cancelled before its first turn is never switched to. The hook may not suspend, and
    /// what it spawns or schedules runs later. Without a hook a switch costs nothing more. Needs the feature `observe`.
    ///
    /// ```
    /// use corio::{Runner, Switch, spawn, yield_now};
    /// use std::{cell::{Cell, RefCell}, collections::BTreeMap};
    ///
    /// # if !cfg!(feature = "observe") { return }
    /// thread_local! {
    ///     static DEPTH: Cell<u32> = const { Cell::new(0) }; // of a library that knows nothing of tasks
    ///     static SAVED: RefCell<BTreeMap<u64, u32>> = const { RefCell::new(BTreeMap::new()) };
    /// }
    /// fn each_its_own(switch: Switch) {
    ///     SAVED.with_borrow_mut(|saved| match switch {
    ///         Switch::In { task } => DEPTH.set(saved.get(&task).copied().unwrap_or(0)),
    ///         Switch::Out { task, ended: false } => drop(saved.insert(task, DEPTH.get())),
    ///         Switch::Out { task, ended: true } => drop(saved.remove(&task)),
    ///     })
    /// }
    /// Runner::new().on_switch(each_its_own).run(|| {
    ///     DEPTH.set(7);
    ///     let other = spawn(|| Ok(DEPTH.replace(3)));
    ///     yield_now()?;
    ///     assert_eq!((DEPTH.get(), other.join()?), (7, 0));
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    pub fn on_switch(mut self, f: impl Fn(Switch) + 'static) -> Runner {
        self.hooks.push(Rc::new(f));
        self
    }

    /// Whether the program lets itself be seen while it runs, on a socket for its own user only; if not set, the environment
    /// variable `CORIO_LIVE` says so (yes, unless it is empty or `0`). See [`live`](crate::live).
    ///
    /// What is in the way of it goes to the log, at level warn and with the target `corio::live`; the run is not held up.
    ///
    /// ```
    /// use corio::{Runner, live, to_thread};
    ///
    /// let answer = Runner::new().live_view(true).run(|| {
    ///     to_thread(|| live::ask(std::process::id(), live::Question::Json))?
    /// })?;
    /// assert!(answer.contains(r#""kind":"thread","text":"a helper thread""#));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn live_view(mut self, on: bool) -> Runner {
        self.live = Some(on);
        self
    }

    /// Writes a dump of all tasks to stderr whenever that signal comes, also while a task blocks the loop; see
    /// [`live`](crate::live). Python: `faulthandler.register`.
    ///
    /// In it are all loops of the process that have asked for a signal or for [`live_view`](Self::live_view). A loop that has
    /// asked for the signal only is not shown on the socket.
    ///
    /// A thread writes it, and the run does not notice. If stderr does not take it, because whoever reads that has stopped, the log
    /// is told so, at level warn and with the target `corio::live`; until it has been taken there is no other one.
    ///
    /// The event stream is on for it, as for [`live_view`](Self::live_view). A signal that cannot be listened for, such as SIGKILL,
    /// is named in the log, and nothing else happens. Before and after the run the signal does what it did: SIGUSR1 ends the
    /// process.
    ///
    /// ```
    /// use corio::signal::Signal;
    /// use corio::{Runner, millis, process::Command, sleep};
    ///
    /// Runner::new().dump_on(Signal::User1).run(|| {
    ///     Command::new("kill").args(["-USR1", &std::process::id().to_string()]).status()?;
    ///     sleep(millis(1))
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn dump_on(mut self, signal: Signal) -> Runner {
        self.dump_on = Some(signal);
        self
    }

    /// Runs; see [`run`](crate::run()). It may be called again when it has returned, with any outcome.
    ///
    /// # Errors
    ///
    /// As [`run`](crate::run()), and [`InvalidInput`](io::ErrorKind::InvalidInput) when the runner was closed.
    ///
    /// # Panics
    ///
    /// As [`run`](crate::run()).
    #[track_caller]
    pub fn run<R: IntoResult>(&mut self, main: impl FnOnce() -> R) -> io::Result<R::Value> {
        self.run_typed(main, caller())
    }

    /// Runs a future as the main task; see [`run`](Self::run), and [`aio::block_on`](crate::aio::block_on).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// ```
    /// use corio::{Runner, aio, now, secs};
    ///
    /// let passed = Runner::new().virtual_clock().block_on(async {
    ///     let start = now();
    ///     aio::sleep(secs(3600)).await?;
    ///     Ok(now() - start)
    /// })?;
    /// assert_eq!(passed, secs(3600));
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn block_on<F: Future<Output: IntoResult>>(&mut self, main: F) -> io::Result<<F::Output as IntoResult>::Value> {
        self.run_future(main, caller())
    }

    /// Takes the loop down. What other threads have sent since the last run is dropped, and their handles fail from now
    /// on. Closing twice does nothing; dropping the runner closes it. asyncio: `Runner.close`.
    pub fn close(&mut self) {
        if let Stage::Made(lp) = std::mem::replace(&mut self.stage, Stage::Closed) {
            lp.remote.close();
            for value in lp.locals.take_kept().into_values() {
                drop_quietly(value, "a task-local of a main task");
            }
            drop_quietly(lp, "what an event loop had kept");
        }
    }

    /// The loop: made by the first run.
    fn made(&mut self) -> io::Result<&EventLoop> {
        if matches!(self.stage, Stage::Fresh) {
            let clock = if self.virtual_clock { Clock::simulated() } else { Clock::real() };
            let lp = Box::new(EventLoop::new(clock, self.backend.take())?);
            lp.watch(self.seed, self.probe.take());
            lp.locals.begin_with(crate::local::of_thread());
            let recorder = FlightRecorder::from_environment(self.test.as_deref())?;
            // What the environment asks for is to be heard, or why it is not to be had.
            #[cfg(feature = "env_logger")]
            if recorder.is_some() || live::wanted() {
                crate::logger::install_unless_there_is_one();
            }
            if let Some(mut recorder) = recorder {
                // Debug mode names who is slow; then the recorder tells how it came to that.
                if self.debug.unwrap_or_else(debug::wanted) != Level::Off {
                    recorder = recorder.slow_step(self.slow_step.unwrap_or(debug::SLOW));
                }
                lp.hub.attach(&lp, Box::new(recorder));
            }
            self.stage = Stage::Made(lp);
        }
        let Stage::Made(lp) = &self.stage else {
            return Err(error::misuse("`run` of a runner that was closed"));
        };
        if lp.reactor.is_the_parents() {
            return Err(error::misuse(
                "this runner's loop belongs to the process that this one was forked from: make a new one",
            ));
        }
        for observer in self.observers.drain(..) {
            lp.hub.attach(lp, observer);
        }
        if let Some(handler) = self.exception_handler.take() {
            lp.exception_handler.set(Some(handler));
        }
        if let Some(executor) = self.executor.take() {
            *lp.pool.borrow_mut() = Some(executor.pool());
        }
        for hook in self.hooks.drain(..) {
            lp.add_hook(hook);
        }
        if !self.is_followed && (self.live.unwrap_or_else(live::wanted) || self.dump_on.is_some()) {
            self.is_followed = true;
            lp.hub.attach(lp, Box::new(live::Follower));
        }
        if let Some(slow) = self.slow_step {
            lp.debug.set_slow(slow);
        }
        turn_debug(lp, self.debug.unwrap_or_else(debug::wanted));
        Ok(lp)
    }

    pub(crate) fn run_typed<R, E>(&mut self, main: impl FnOnce() -> R, at: Place) -> Result<R::Value, E>
    where
        R: IntoResult<E>,
        E: From<io::Error> + Debug,
    {
        let body = || Function::<_, R::Value, E, _>::new(main, Main);
        // SAFETY: the body is of these types.
        unsafe { self.run_body(StackSize::default_size(), body, at) }
    }

    /// Runs a future as the main task.
    pub(crate) fn run_future<F, R, E>(&mut self, main: F, at: Place) -> Result<R::Value, E>
    where
        F: Future<Output = R>,
        R: IntoResult<E>,
        E: From<io::Error> + Debug,
    {
        let body = || Polled::<_, R::Value, E, _>::new(main, Main);
        // SAFETY: the body is of these types.
        unsafe { self.run_body(StackSize::NONE, body, at) }
    }

    /// # Safety
    ///
    /// The body's result is of these types.
    unsafe fn run_body<B, T, E>(&mut self, size: StackSize, body: impl FnOnce() -> B, at: Place) -> Result<T, E>
    where
        B: Body,
        E: From<io::Error> + Debug,
    {
        if std::thread::panicking() {
            return Err(error::misuse("`run` while the thread panics: nothing could be switched to").into());
        }
        if EventLoop::is_entered() {
            let text = match size.is_some() {
                true => {
                    "`run` inside `run`: this thread has a loop already; spawn a task on it, or run on another thread"
                }
                false => {
                    "`block_on` inside a run: this thread has a loop already; `.await` the future, or on a coroutine \
                     `aio::wait_on` it"
                }
            };
            return Err(error::misuse(text).into());
        }
        let (grace, ctrl_c, dump_on) = (self.grace, self.ctrl_c, self.dump_on);
        let live = self.live.unwrap_or_else(live::wanted);
        let lp = self.made()?;
        lp.grace.set(grace);
        if size.is_some() {
            lp.stacks.reserve(size)?;
        }
        lp.open();

        let core = TaskCore::new(lp.next_task_id(), size, std::ptr::null(), at);
        // SAFETY: what the body borrows outlives this call, and the call does not return before the task
        // has ended: `drive` runs the loop until its table is empty, or aborts (R3). The cell may live on in a `Task`,
        // but the result is taken below, and the body is never looked at again.
        let main = unsafe { TaskRef::new(lp, core, body) };
        main.core.set_name("main".to_owned());
        lp.locals.hand_to_main(&main.core);
        // SAFETY: by the caller.
        let ticket: Ticket<T, E> = unsafe { Ticket::new(main.clone()) };

        let trouble = {
            // A panic from here on would be a bug of the loop; it must not leave tasks behind.
            let bomb = AbortOnUnwind;
            // SAFETY: the guard lives in this block, the loop longer: the runner is borrowed for the whole call.
            let entered = unsafe { lp.enter() };
            let view = live::open(lp, live, dump_on);
            let trouble = drive(lp, &main, grace, ctrl_c);
            drop(view);
            drop(entered);
            std::mem::forget(bomb);
            trouble
        };
        match trouble {
            Some(trouble) => Err(trouble.into()),
            None => ticket.join(at),
        }
    }
}

impl Default for Runner {
    fn default() -> Self {
        Runner::new()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("virtual_clock", &self.virtual_clock)
            .field("seed", &self.seed)
            .field("grace", &self.grace)
            .field("ctrl_c", &self.ctrl_c)
            .field("closed", &matches!(self.stage, Stage::Closed))
            .finish_non_exhaustive()
    }
}

/// Begins the orderly end of the run, from anywhere on the loop: from a task, or from a callback.
///
/// The turn is finished first. Then what is left is cancelled, the main task too, and has the grace to end, as if the main
/// task had returned. If the main task ends well all the same, the run gives its value. Otherwise the run fails with a
/// cancellation ([`is_cancelled`](crate::is_cancelled)) that says that it was stopped. A later run of the same
/// [`Runner`] is not concerned, and a stop while the run is ending already changes nothing. From another thread:
/// `handle.call_soon(corio::stop)`. asyncio: `loop.stop`.
///
/// # Panics
///
/// Outside a loop.
///
/// ```
/// use corio::{call_later, is_cancelled, run, millis, secs, sleep};
///
/// let stopped = run(|| {
///     call_later(millis(1), corio::stop);
///     sleep(secs(3600))
/// });
/// assert!(is_cancelled(&stopped.unwrap_err()));
/// ```
#[track_caller]
pub fn stop() {
    EventLoop::with_current(|lp| {
        lp.expect("`stop` needs a running loop: call it inside `corio::run`").stop();
    });
}

/// Sets the exception handler of the running loop, `None` for the default, which logs, and returns the one that was set
/// before. See [`Runner::exception_handler`]. asyncio: `loop.set_exception_handler`.
///
/// # Panics
///
/// Outside a loop.
///
/// ```
/// use corio::{ExceptionHandler, call_soon, run, set_exception_handler, yield_now};
/// use std::{cell::Cell, rc::Rc};
///
/// run(|| {
///     let heard = Rc::new(Cell::new(0));
///     let counter = heard.clone();
///     let handler: ExceptionHandler = Rc::new(move |_| counter.set(counter.get() + 1));
///     let before = set_exception_handler(Some(handler));
///     call_soon(|| panic!("at sea"));
///     yield_now()?;
///     assert_eq!(heard.get(), 1);
///     set_exception_handler(before);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn set_exception_handler(handler: Option<ExceptionHandler>) -> Option<ExceptionHandler> {
    EventLoop::with_current(|lp| {
        let lp = lp.expect("an exception handler needs a running loop: set it inside `corio::run`, or with `Runner`");
        lp.exception_handler.set(handler)
    })
}

/// Turns debug mode on or off, for the run that this is called in; see [`Runner::debug`]. asyncio: `loop.set_debug`.
///
/// # Panics
///
/// Outside a loop.
///
/// ```
/// use corio::{Runner, is_debug, set_debug};
///
/// Runner::new().debug(false).run(|| {
///     set_debug(true); // while something strange is looked into
///     assert!(is_debug());
///     set_debug(false);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn set_debug(on: bool) {
    EventLoop::with_current(|lp| {
        let lp = lp.expect("debug mode is a loop's: call this inside `corio::run`");
        turn_debug(lp, Level::new(on, lp.debug.level()));
    });
}

fn turn_debug(lp: &EventLoop, level: Level) {
    #[cfg(feature = "env_logger")]
    if level > Level::Off {
        crate::logger::install_unless_there_is_one();
    }
    if level > Level::Off {
        name_tasks_in_panics();
    }
    lp.set_debug(level);
}

/// Puts a line in front of what the panic hook prints: which task it is that panics. Says nothing outside debug mode, and once
/// there has been debug mode the hook stays, because it can only be taken back by whoever set the last one.
fn name_tasks_in_panics() {
    static ONCE: Once = Once::new();
    // Nobody may change the hook then.
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            EventLoop::with_current(|lp| {
                if let Some(task) = lp.filter(|lp| lp.debug.is_on()).and_then(EventLoop::running) {
                    // A panic inside a panic would end the process, and `eprintln` can panic.
                    let _ = writeln!(io::stderr(), "corio: {task} panics:");
                }
            });
            hook(info);
        }));
    });
}

/// Whether debug mode is on; on a thread without a loop, whether the environment asks for it. asyncio: `loop.get_debug`.
///
/// ```
/// use corio::{Runner, is_debug};
///
/// assert!(Runner::new().debug(true).run(|| Ok(is_debug())).unwrap());
/// ```
pub fn is_debug() -> bool {
    EventLoop::is_debug()
}

struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        crate::fatal(format_args!("the event loop itself panicked, with tasks still on their stacks"));
    }
}

/// Drives the loop from its first turn until no task is left. Returns what went wrong with the run as a whole.
fn drive(lp: &EventLoop, main: &TaskRef, grace: Duration, ctrl_c: bool) -> Option<io::Error> {
    lp.settle();
    lp.emit(|| Event::LoopStart { virtual_clock: lp.clock.is_virtual() });
    let watch = if ctrl_c && lp.reactor.network().is_none() { crate::signal::watch(lp) } else { None };
    lp.admit(main);
    lp.emit(|| Event::Spawn { task: main.core.id(), by: 0, group: 0, at: main.core.spawned_at() });
    crate::observe::named(&main.core);
    lp.flush();

    let mut trouble = None;
    while !main.core.is_done() {
        if lp.run_once(None) == Turn::Stuck {
            trouble = Some(deadlock(lp));
            break;
        }
        if let Some(watch) = &watch {
            watch.look(main);
        }
        if lp.is_stopping() {
            break;
        }
    }
    if let Some(watch) = &watch {
        trouble = trouble.or_else(|| watch.interrupted(main));
    }
    let stopped = lp.is_stopping();
    let since = Instant::now();
    shut_down(lp, grace);
    give_up_the_rest(lp, since.checked_add(grace));
    drop(watch);
    if stopped && main.core.ended_cancelled() {
        trouble = trouble.or_else(|| Some(error::cancelled_because("the run was stopped by `corio::stop`")));
    }

    lp.stacks.trim();
    lp.emit(|| Event::LoopStop);
    lp.flush();
    lp.set_debug(Level::Off);
    trouble
}

/// Nothing can ever run again (R18): the report is the tree of the tasks.
fn deadlock(lp: &EventLoop) -> io::Error {
    let tasks = lp.task_count();
    lp.emit(|| Event::Deadlock { tasks: u32::try_from(tasks).unwrap_or(u32::MAX) });
    lp.flush();
    let report = crate::observe::dump::deadlock(lp);
    log::error!(target: "corio::run", "{report}");
    io::Error::new(io::ErrorKind::Deadlock, Report(report))
}

/// A text of several lines, which stays readable where `main` returns it and its `Debug` form is printed.
struct Report(String);

impl Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Report {}

/// Ends what is left. When this returns, no task is on a stack.
fn shut_down(lp: &EventLoop, grace: Duration) {
    lp.set_phase(Phase::Closing);
    let left = lp.all_tasks();
    if !left.is_empty() {
        log::info!(target: "corio::run", "the run is ending: cancelling {}", list(&left));
    }
    if lp.debug.is_on() {
        for task in &left {
            let at =
                task.core.waits().map_or_else(|| "it has not begun".to_owned(), |(_, at)| format!("it waits at {at}"));
            log::warn!(target: "corio::debug", "{task} has not ended, and its run does; {at}");
        }
    }
    drop(left);
    cancel_all(lp, &Cause::Shutdown);

    let end = lp.clock.now().saturating_add(nanos(grace));
    let (mut now, mut timeless) = (lp.clock.now(), 0);
    while lp.task_count() > 0 && now < end && timeless < TIMELESS_TURNS && lp.run_once(Some(end)) == Turn::Done {
        let before = std::mem::replace(&mut now, lp.clock.now());
        timeless = if now == before { timeless + 1 } else { 0 };
    }

    let late = lp.all_tasks();
    if !late.is_empty() {
        log::warn!(target: "corio::run", "the grace of {grace:?} is over, or nothing can run; still there: {}", list(&late));
        lp.set_phase(Phase::Forcing);
        for task in &late {
            cancel::spread(lp, task, std::ptr::null(), &Cause::Shutdown);
            cancel::deliver(lp, task);
        }
        for _ in 0..LAST_TURNS {
            if lp.ready_len() == 0 || lp.task_count() == 0 {
                break;
            }
            lp.run_once(Some(end));
        }
        // Children are younger than the scopes that they belong to.
        for task in late.iter().rev() {
            lp.end_by_force(task);
            lp.flush();
        }
    }
}

/// No task is left, and nothing will be called any more: what waits to be called is dropped, and the pool of threads ends.
/// Destructors may add more, so this looks again, until there is nothing or it is clear that there will always be something.
fn give_up_the_rest(lp: &EventLoop, deadline: Option<Instant>) {
    const ROUNDS: usize = 100;
    lp.aside(|| {
        for _ in 0..ROUNDS {
            // Handles stay good for the next run; what came for this one came too late. What comes meanwhile is for the
            // next: threads that send without a pause must not hold this one up.
            lp.drop_letters(usize::MAX);
            let found = [
                lp.reactor.unwatch_all(),
                crate::signal::remove_all(lp),
                lp.drop_callbacks(),
                executor::close_default(lp, deadline),
            ];
            if !found.contains(&true) {
                return;
            }
        }
        log::warn!(target: "corio::run", "what the run leaves schedules more whenever it is dropped; the rest is kept for the next run");
    });
}

/// A list of tasks for the log, cut where it gets long.
fn list(tasks: &[TaskRef]) -> String {
    const SHOWN: usize = 8;
    let mut text: Vec<String> = tasks.iter().take(SHOWN).map(ToString::to_string).collect();
    if tasks.len() > SHOWN {
        text.push(format!("and {} more", tasks.len() - SHOWN));
    }
    text.join(", ")
}
