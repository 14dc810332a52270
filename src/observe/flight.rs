//! The last events of a run, kept for the moment when something goes wrong.
//!
//! Who reproduces a failure under an observer may wait for long. So this one is always there: it keeps the last records in
//! a ring, and the state before the first of them, from which they can be narrated.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::dump;
use super::event::{End, Event, Record};
use super::tape::Tape;
use super::{Names, Observer};
use crate::error;
use crate::task::body::{drop_quietly, panic_text};

/// The variable that asks for a recorder of every loop.
const VARIABLE: &str = "CORIO_FLIGHT";
/// How long a test may take, if the environment asks for its recorder.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps the last events of a run, and tells them when something goes wrong: Go's flight recorder.
///
/// It is a handle: the clone that is given to [`Runner::observer`](crate::Runner::observer) and the ones that are kept are
/// the same recorder, also on other threads. It watches in the [background](Observer::is_background), so a server may always
/// have one: what the program prints goes to the terminal as ever, and a long run needs no more memory than a short one. An
/// event takes 64 bytes at most, which are taken at the beginning; beside them are kept the lines that were printed meanwhile,
/// the names of tasks, and the [`State`](super::State) before the first event. What a task does and prints until it pauses is
/// told then, and kept until then.
///
/// ```
/// use corio::observe::FlightRecorder;
/// use corio::{Runner, secs, sleep};
///
/// # if !cfg!(feature = "observe") { return Ok(()) }
/// let recorder = FlightRecorder::new(4);
/// Runner::new().virtual_clock().observer(recorder.clone()).run(|| (0..100).try_for_each(|_| sleep(secs(1))))?;
/// println!("{}", recorder.tell());
/// # let text = recorder.tell();
/// # assert!(text.starts_with("705 events, of which the first 701 are not kept\n   step      time  who "));
/// # assert!(text.contains("    702   100.000  loop         main is ready, woken by timer 100                     ready: main\n"));
/// # assert!(text.ends_with("    704   100.000  main       ✔ returns\n    705   100.000  loop         stops\n"));
/// # std::io::Result::Ok(())
/// ```
///
/// prints
///
/// ```text
/// 705 events, of which the first 701 are not kept
///    step      time  who          what happens
///     702   100.000  loop         main is ready, woken by timer 100                     ready: main
///     703   100.000  main       ► resume: send(None), goes on after line 5
///     704   100.000  main       ✔ returns
///     705   100.000  loop         stops
/// ```
///
/// Five kinds of trouble it tells by itself, to the log with the target `corio::flight`, or to the function that is given to
/// [`on_trouble`](Self::on_trouble):
///
/// | [`Reason`] | When | In the log at level |
/// |---|---|---|
/// | `Panic` | a task has panicked, whether or not somebody joins it | error |
/// | `Deadlock` | nothing can ever run again | error |
/// | `SlowStep` | a task ran for longer than [`slow_step`](Self::slow_step), which is off if not set | warn |
/// | `TimeOut` | the run is not over [`within`](Self::within) the time that it has, if one is set | error |
/// | `Silence` | nothing has happened for as long as [`silence`](Self::silence) says, which is off if not set | warn |
///
/// No event is told twice in this way. A server in which every request panics gets the events of each, not a thousand lines
/// each time.
///
/// It records one run at a time. A second one that begins meanwhile, on another thread, is not recorded, and the log says so.
/// A later run on the same loop goes on where the one before ended, and one on another loop begins anew.
///
/// With `CORIO_FLIGHT=1000` in the environment every loop that a [`Runner`](crate::Runner) makes has a recorder of its own,
/// of so many events. In the runs of [`testing`](crate::testing) that one writes to standard error, and speaks as well of a
/// run that is not over in 60 seconds. In [debug mode](crate::Runner::debug) it tells of slow steps too. It speaks in trouble
/// only; to [`tell`](Self::tell) at any time, keep a handle of your own. It needs a logger that shows errors: with the feature
/// `env_logger` there is one. What is no number, or too large a one, makes `run`
/// fail with [`InvalidInput`](io::ErrorKind::InvalidInput). Needs the feature `observe`.
pub struct FlightRecorder {
    shared: Arc<Mutex<Ring>>,
    /// Tells the handles apart. Each belongs to one loop at most.
    number: u64,
}

/// Something that went wrong, as a [`FlightRecorder`] tells it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trouble {
    /// What it is.
    pub reason: Reason,
    /// A line that says what has happened, and to whom, and below it the narration of the events that led there: those which
    /// are kept, and were not told with an earlier trouble.
    pub text: String,
}

/// Why a [`FlightRecorder`] speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A task has panicked.
    Panic,
    /// All tasks wait, and nothing can ever run again.
    Deadlock,
    /// A task ran for too long without a pause.
    SlowStep,
    /// The run takes too long.
    TimeOut,
    /// For long nothing has happened: who waits for something from outside may wait for ever.
    Silence,
}

type Listener = Arc<dyn Fn(&Trouble) + Send + Sync>;

/// What all handles share.
struct Ring {
    detail: u8,
    slow: Option<Duration>,
    limit: Option<Duration>,
    silence: Option<Duration>,
    listener: Option<Listener>,
    /// How many handles there have been.
    handles: u64,
    /// The handle whose loop wrote last, and whether a run of it is under way.
    writer: Option<u64>,
    is_running: bool,
    /// The step that is under way, if those that are slow are told.
    step: Option<(u64, Instant)>,
    /// While this is here, somebody waits for the end of the run.
    alive: Option<Sender<()>>,
    /// Up to which record was told.
    told: u64,
    tape: Tape,
}

impl FlightRecorder {
    /// Keeps so many events.
    ///
    /// # Panics
    ///
    /// As `Vec::with_capacity`, if there can be no memory for so many.
    pub fn new(capacity: usize) -> FlightRecorder {
        let ring = Ring {
            detail: 2,
            slow: None,
            limit: None,
            silence: None,
            listener: None,
            handles: 1,
            writer: None,
            is_running: false,
            step: None,
            alive: None,
            told: 0,
            tape: Tape::new(capacity),
        };
        FlightRecorder { shared: Arc::new(Mutex::new(ring)), number: 0 }
    }

    /// What the environment asks for with `CORIO_FLIGHT`: the number of events; empty or 0: no recorder. `test`: this is a
    /// test, and what repeats only this run of it.
    pub(crate) fn from_environment(test: Option<&str>) -> io::Result<Option<FlightRecorder>> {
        let Some(text) = std::env::var_os(VARIABLE) else { return Ok(None) };
        let text = text.to_string_lossy();
        let capacity = match text.trim() {
            "" => 0,
            number => number
                .parse()
                .ok()
                .filter(|capacity| VecDeque::<Record>::new().try_reserve_exact(*capacity).is_ok())
                .ok_or_else(|| error::misuse(format!("{VARIABLE} is a number of events to keep, and not {text:?}")))?,
        };
        Ok((capacity > 0).then(|| {
            let recorder = FlightRecorder::new(capacity);
            let Some(how) = test else { return recorder };
            let test = format!("{}{how}", thread::current().name().unwrap_or("a test"));
            recorder.within(PATIENCE).on_trouble(move |trouble| write_to_the_error_stream(&test, trouble))
        }))
    }

    /// How much it tells of each event, as [`Narrator::detail`](super::Narrator::detail); 2, everything, if not set.
    ///
    /// ```
    /// use corio::observe::FlightRecorder;
    /// use corio::{Runner, secs, sleep};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recorder = FlightRecorder::new(100).detail(1);
    /// Runner::new().virtual_clock().observer(recorder.clone()).run(|| sleep(secs(1)))?;
    /// assert!(recorder.tell().contains("timer 1 fires and wakes main"));
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use = "this returns the recorder"]
    pub fn detail(self, detail: u8) -> FlightRecorder {
        self.ring().detail = detail;
        self
    }

    /// Tells of each step of a task that took longer than this, when it is over. Off if not set.
    ///
    /// A step goes from a resume to the next pause, and is measured on the real clock, on a virtual one too. What other
    /// observers do at its end is part of it if they were attached before. Callbacks are no steps. Who blocks the loop *while*
    /// that goes on is a question for [debug mode](crate::Runner::debug), or for [`within`](Self::within).
    ///
    /// ```
    /// use corio::observe::{FlightRecorder, Reason};
    /// use corio::{Builder, Runner, millis};
    /// use std::sync::mpsc;
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let (heard, troubles) = mpsc::channel();
    /// let recorder = FlightRecorder::new(100).slow_step(millis(5)).on_trouble(move |trouble| {
    ///     heard.send(trouble.clone()).unwrap();
    /// });
    /// Runner::new().observer(recorder).run(|| {
    ///     let importer = Builder::new().name("importer").spawn(|| {
    ///         std::thread::sleep(millis(10)); // the thread, and with it the loop
    ///         Ok(())
    ///     })?;
    ///     importer.join()
    /// })?;
    /// let slow = |text: &str| text.starts_with("importer (2) ran for ");
    /// assert!(troubles.try_iter().any(|trouble| trouble.reason == Reason::SlowStep && slow(&trouble.text)));
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use = "this returns the recorder"]
    pub fn slow_step(self, limit: Duration) -> FlightRecorder {
        self.ring().slow = Some(limit);
        self
    }

    /// Tells, once in each run, if that is not over within this time of the real clock. Off if not set.
    ///
    /// A thread of its own does so, which ends with the run. So it speaks also where a task computes for ever, and nothing else
    /// could. Nothing else happens: the run goes on. Kotlin: `runTest(timeout)`.
    ///
    /// ```
    /// use corio::observe::{FlightRecorder, Reason};
    /// use corio::{Runner, millis};
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// static ENOUGH: AtomicBool = AtomicBool::new(false);
    /// let recorder = FlightRecorder::new(100).within(millis(20)).on_trouble(|trouble| {
    ///     assert_eq!(trouble.reason, Reason::TimeOut);
    ///     assert!(trouble.text.starts_with("the run is not over after 20ms; so far "));
    ///     ENOUGH.store(true, Ordering::Relaxed);
    /// });
    /// Runner::new().observer(recorder).run(|| {
    ///     while !ENOUGH.load(Ordering::Relaxed) {} // hangs, and the loop with it
    ///     Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use = "this returns the recorder"]
    pub fn within(self, limit: Duration) -> FlightRecorder {
        self.ring().limit = Some(limit);
        self
    }

    /// Tells who waits for what, if no event has come for this time of the real clock, and for twice as long at most: once for each
    /// such silence. Off if not set.
    ///
    /// A deadlock is told by itself, and at once, where nothing outside the loop is waited for. Where a socket is, nobody can know
    /// whether the other side will ever say something: this is for that, in programs that are never still for long. It also
    /// speaks of a task that has not paused for so long, while it goes on. A thread of its own does so, which ends with the run.
    ///
    /// ```
    /// use corio::observe::{FlightRecorder, Reason};
    /// use corio::{Runner, millis, net::TcpListener};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let recorder = FlightRecorder::new(100).silence(millis(20)).on_trouble(move |trouble| {
    ///     assert_eq!(trouble.reason, Reason::Silence);
    ///     assert!(trouble.text.starts_with("nothing has happened for 20ms"));
    ///     assert!(trouble.text.contains("main (1)  parked") && trouble.text.contains("source 1 to be readable"));
    ///     std::net::TcpStream::connect(address).unwrap(); // at last, somebody
    /// });
    /// Runner::new().observer(recorder).run(|| listener.accept())?;
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use = "this returns the recorder"]
    pub fn silence(self, limit: Duration) -> FlightRecorder {
        self.ring().silence = Some(limit);
        self
    }

    /// Calls `f` with each trouble, instead of writing it to the log.
    ///
    /// That is on the loop's thread, between two steps, or for [`Reason::TimeOut`] and [`Reason::Silence`] on a thread of the
    /// recorder's. It may call
    /// [`tell`](Self::tell); but if it owns a clone of the recorder, each of the two keeps the other alive. If it panics, that
    /// is logged; and on the loop's thread, as with any observer, it is not told of this loop any more.
    ///
    /// ```
    /// use corio::observe::{FlightRecorder, Reason, Trouble};
    /// use corio::{Runner, spawn};
    /// use std::sync::{Arc, Mutex};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let troubles = Arc::new(Mutex::new(Vec::new()));
    /// let heard = troubles.clone();
    /// let recorder = FlightRecorder::new(100).on_trouble(move |trouble: &Trouble| {
    ///     heard.lock().unwrap().push((trouble.reason, trouble.to_string()));
    /// });
    /// Runner::new().observer(recorder).run(|| {
    ///     let task = spawn(|| -> std::io::Result<()> { panic!("at the disco") });
    ///     assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task.join())).is_err());
    ///     Ok(())
    /// })?;
    /// let (reason, text) = &troubles.lock().unwrap()[0];
    /// assert_eq!(*reason, Reason::Panic);
    /// assert!(text.starts_with("task-2 (2) panicked") && text.contains("✘ panics"));
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use = "this returns the recorder"]
    pub fn on_trouble(self, f: impl Fn(&Trouble) + Send + Sync + 'static) -> FlightRecorder {
        let old = self.ring().listener.replace(Arc::new(f));
        drop(old); // it is the user's: the ring is not locked any more
        self
    }

    /// The events that are kept, as a text, below a line that says how many there were, and how many of them are not kept.
    ///
    /// At any time and from any thread, also while a task blocks the loop; what that task has done since its resume is not known
    /// yet. It does not count as told for the troubles to come. The loop has to wait only while the events are copied.
    pub fn tell(&self) -> String {
        let (tape, detail) = {
            let ring = self.ring();
            (ring.tape.clone(), ring.detail)
        };
        let mut text = events(tape.last(), tape.before().step);
        text.push('\n');
        text + &tape.narrate(0, detail)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        lock(&self.shared)
    }

    /// A run begins. Whether this is to record it.
    fn begin(&self, seq: u64) -> bool {
        let (limit, silence) = {
            let mut ring = self.ring();
            if ring.is_running {
                drop(ring);
                log::warn!(target: "corio::flight",
                    "a flight recorder records one run at a time: the one that begins now is not recorded");
                return false;
            }
            if ring.writer != Some(self.number) {
                ring.tape.clear(seq - 1);
                (ring.writer, ring.told) = (Some(self.number), 0);
            }
            (ring.is_running, ring.step) = (true, None);
            (ring.limit, ring.silence)
        };
        if limit.is_some() || silence.is_some() {
            let (alive, end) = mpsc::channel();
            let shared = Arc::downgrade(&self.shared);
            let wait = move || wait_for_the_end(&shared, &end, limit, silence);
            match thread::Builder::new().name("corio flight".to_owned()).spawn(wait) {
                Ok(_) => self.ring().alive = Some(alive),
                Err(error) => {
                    log::warn!(target: "corio::flight", "nobody tells if the run hangs: no thread can be had: {error}");
                }
            }
        }
        true
    }
}

impl Observer for FlightRecorder {
    fn record(&mut self, record: &Record, names: &Names) {
        if matches!(record.event, Event::LoopStart { .. }) && !self.begin(record.seq) {
            return;
        }
        let reports = {
            let mut ring = self.ring();
            if ring.writer != Some(self.number) {
                return;
            }
            let ring = &mut *ring;
            ring.tape.write(record, names);
            if record.event == Event::LoopStop {
                (ring.is_running, ring.alive) = (false, None);
            }
            ring.troubles(&record.event)
        };
        reports.into_iter().flatten().for_each(Report::tell);
    }

    fn is_background(&self) -> bool {
        true
    }
}

impl Clone for FlightRecorder {
    fn clone(&self) -> FlightRecorder {
        let number = {
            let mut ring = self.ring();
            ring.handles += 1;
            ring.handles - 1
        };
        FlightRecorder { shared: self.shared.clone(), number }
    }
}

/// With its handle a loop lets go of the recorder.
impl Drop for FlightRecorder {
    fn drop(&mut self) {
        let mut ring = self.ring();
        if ring.writer == Some(self.number) {
            (ring.is_running, ring.alive) = (false, None);
        }
    }
}

impl fmt::Debug for FlightRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = self.ring();
        f.debug_struct("FlightRecorder")
            .field("capacity", &ring.tape.capacity)
            .field("events", &ring.tape.records.len())
            .field("tasks", &ring.tape.before().tasks.len())
            .field("names", &ring.tape.names.len())
            .field("texts", &ring.tape.texts.len())
            .finish_non_exhaustive()
    }
}

/// Its text.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A panic while it is locked would be a bug of ours, and no reason to fall silent.
fn lock(shared: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ring {
    /// What is to be told because of the event that was written last.
    fn troubles(&mut self, event: &Event) -> [Option<Report>; 2] {
        let trouble = match *event {
            Event::Complete { task, end: End::Panicked } => {
                Some(self.report(Reason::Panic, format!("{} panicked", self.tape.who(task))))
            }
            Event::Deadlock { tasks } => {
                let what = format!(
                    "deadlock: nothing can ever run again, and {}",
                    count(tasks.into(), "task waits", "tasks wait")
                );
                Some(self.report(Reason::Deadlock, what))
            }
            _ => None,
        };
        [trouble, self.slow_step(event)]
    }

    fn slow_step(&mut self, event: &Event) -> Option<Report> {
        let limit = self.slow?;
        match (*event, self.step) {
            (Event::Resume { task, .. }, None) => self.step = Some((task, Instant::now())),
            (Event::Yield { task, .. } | Event::Complete { task, .. }, Some((running, since))) if task == running => {
                self.step = None;
                let took = since.elapsed();
                if took > limit {
                    let what = format!("{} ran for {took:?} without a pause", self.tape.who(task));
                    return Some(self.report(Reason::SlowStep, what));
                }
            }
            _ => {}
        }
        None
    }

    /// Nothing has happened for so long.
    fn silent(&mut self, silence: Duration) -> Report {
        let mut state = self.tape.state();
        state.now = state.now.saturating_add(crate::clock::nanos(silence)); // at least
        let what = match state.running.last() {
            Some(task) => format!("{} has not paused for {silence:?}", self.tape.who(*task)),
            None => {
                format!("nothing has happened for {silence:?}: if nothing is to come from outside, this is a deadlock")
            }
        };
        let names = Names { tasks: self.tape.names.clone(), ..Names::default() };
        Report { who_waits: dump::tree(&state, &names, dump::LONGEST_REPORT), ..self.report(Reason::Silence, what) }
    }

    fn report(&mut self, reason: Reason, what: String) -> Report {
        Report {
            reason,
            what,
            who_waits: String::new(),
            told: mem::replace(&mut self.told, self.tape.last()),
            tape: self.tape.clone(),
            detail: self.detail,
            listener: self.listener.clone(),
        }
    }
}

/// What is to be told. It is a copy: nothing is locked while it is written and heard, both of which may call user code.
struct Report {
    reason: Reason,
    what: String,
    /// All tasks, in a table, if that is to be told.
    who_waits: String,
    /// Up to which record was told before.
    told: u64,
    tape: Tape,
    detail: u8,
    listener: Option<Listener>,
}

impl Report {
    fn tell(self) {
        let Report { reason, what, who_waits, told, tape, detail, listener } = self;
        let since = if told == 0 { "so far" } else { "since the last report" };
        let lost = tape.before().step.saturating_sub(told);
        let events = events(tape.last() - told, lost);
        let text = format!("{what}; {since} {events}\n{who_waits}{}", tape.narrate(told, detail));
        match (listener, reason) {
            (Some(listener), _) => listener(&Trouble { reason, text }),
            (None, Reason::SlowStep | Reason::Silence) => log::warn!(target: "corio::flight", "{}", text.trim_end()),
            (None, _) => log::error!(target: "corio::flight", "{}", text.trim_end()),
        }
    }
}

/// The life of the thread that waits for the end of a run.
fn wait_for_the_end(
    shared: &Weak<Mutex<Ring>>,
    end: &Receiver<()>,
    mut limit: Option<Duration>,
    silence: Option<Duration>,
) {
    let begin = Instant::now();
    let (mut seen, mut told, mut last_look) = (0, None, begin);
    loop {
        let times_out = limit.and_then(|limit| begin.checked_add(limit));
        let looks = silence.and_then(|silence| last_look.checked_add(silence));
        let next = times_out.into_iter().chain(looks).min();
        let over = match next {
            Some(next) => end.recv_timeout(next.saturating_duration_since(Instant::now())).unwrap_err(),
            None => RecvTimeoutError::Disconnected,
        };
        let Some(shared) = shared.upgrade().filter(|_| over == RecvTimeoutError::Timeout) else { return };
        let mut ring = lock(&shared);
        if end.try_recv() == Err(TryRecvError::Disconnected) {
            return; // at this very moment
        }
        let report = if next == times_out {
            limit.take().map(|limit| ring.report(Reason::TimeOut, format!("the run is not over after {limit:?}")))
        } else {
            let before = std::mem::replace(&mut seen, ring.tape.last());
            let is_still = before == seen && told != Some(seen);
            last_look = Instant::now();
            silence.filter(|_| is_still).map(|silence| {
                told = Some(seen);
                ring.silent(silence)
            })
        };
        drop(ring);
        let told = catch_unwind(AssertUnwindSafe(|| report.map(Report::tell)));
        if let Err(payload) = told {
            log::error!(target: "corio::flight", "who listens to a flight recorder panicked: {}", panic_text(&*payload));
            drop_quietly(payload, "the payload of a panic");
        }
    }
}

/// In a test. Of one that hangs, what is printed in the usual way may never be shown.
fn write_to_the_error_stream(test: &str, trouble: &Trouble) {
    let text = format!("corio: {test}: {trouble}");
    match trouble.reason {
        Reason::TimeOut | Reason::Silence => drop(io::stderr().write_all(text.as_bytes())),
        _ => eprint!("{text}"),
    }
}

fn events(all: u64, lost: u64) -> String {
    let all = count(all, "event", "events");
    if lost == 0 { all } else { format!("{all}, of which the first {} not kept", count(lost, "is", "are")) }
}

fn count(n: u64, one: &str, more: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { more })
}
