//! The last events of a run, kept for the moment when something goes wrong.
//!
//! Who reproduces a failure under an observer may wait for long. So this one is always there: it keeps the last records in
//! a ring, and the state before the first of them, from which they can be narrated.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::event::{By, End, Event, Record, Want};
use super::words::shown;
use super::{Names, Narrator, Observer, State};
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
/// the names of tasks, and the [`State`] before the first event. What a task does and prints until it pauses is told then, and
/// kept until then.
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
/// Four kinds of trouble it tells by itself, to the log with the target `corio::flight`, or to the function that is given to
/// [`on_trouble`](Self::on_trouble):
///
/// | [`Reason`] | When | In the log at level |
/// |---|---|---|
/// | `Panic` | a task has panicked, whether or not somebody joins it | error |
/// | `Deadlock` | nothing can ever run again | error |
/// | `SlowStep` | a task ran for longer than [`slow_step`](Self::slow_step), which is off if not set | warn |
/// | `TimeOut` | the run is not over [`within`](Self::within) the time that it has, if one is set | error |
///
/// No event is told twice in this way. A server in which every request panics gets the events of each, not a thousand lines
/// each time.
///
/// It records one run at a time. A second one that begins meanwhile, on another thread, is not recorded, and the log says so.
/// A later run on the same loop goes on where the one before ended, and one on another loop begins anew.
///
/// With `CORIO_FLIGHT=1000` in the environment every loop that a [`Runner`](crate::Runner) makes has a recorder of its own,
/// of so many events. In the runs of [`testing`](crate::testing) that one writes to standard error, and speaks as well of a
/// run that is not over in 60 seconds. It speaks in trouble only; to [`tell`](Self::tell) at any time, keep a handle of your own. It
/// needs a logger that shows errors: with the feature `env_logger` there is one. What is no number, or too large a one, makes `run`
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
}

type Listener = Arc<dyn Fn(&Trouble) + Send + Sync>;

/// What all handles share.
struct Ring {
    capacity: usize,
    detail: u8,
    slow: Option<Duration>,
    limit: Option<Duration>,
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
            capacity,
            detail: 2,
            slow: None,
            limit: None,
            listener: None,
            handles: 1,
            writer: None,
            is_running: false,
            step: None,
            alive: None,
            told: 0,
            tape: Tape { records: VecDeque::with_capacity(capacity.saturating_add(1)), ..Tape::default() },
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

    /// How much it tells of each event, as [`Narrator::detail`]; 2, everything, if not set.
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

    /// Calls `f` with each trouble, instead of writing it to the log.
    ///
    /// That is on the loop's thread, between two steps, or for [`Reason::TimeOut`] on a thread of the recorder's. It may call
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
        let mut text = events(tape.last(), tape.base.state.step);
        text.push('\n');
        text + &tape.narrate(0, detail)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        lock(&self.shared)
    }

    /// A run begins. Whether this is to record it.
    fn begin(&self, seq: u64) -> bool {
        let limit = {
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
            ring.limit
        };
        if let Some(limit) = limit {
            let (alive, end) = mpsc::channel();
            let shared = Arc::downgrade(&self.shared);
            let wait = move || wait_for_the_end(&shared, &end, limit);
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
            ring.tape.write(record, names, ring.capacity);
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
            .field("capacity", &ring.capacity)
            .field("events", &ring.tape.records.len())
            .field("tasks", &ring.tape.base.state.tasks.len())
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

    fn report(&mut self, reason: Reason, what: String) -> Report {
        let told = mem::replace(&mut self.told, self.tape.last());
        Report { reason, what, told, tape: self.tape.clone(), detail: self.detail, listener: self.listener.clone() }
    }
}

/// What is to be told. It is a copy: nothing is locked while it is written and heard, both of which may call user code.
struct Report {
    reason: Reason,
    what: String,
    /// Up to which record was told before.
    told: u64,
    tape: Tape,
    detail: u8,
    listener: Option<Listener>,
}

impl Report {
    fn tell(self) {
        let Report { reason, what, told, tape, detail, listener } = self;
        let since = if told == 0 { "so far" } else { "since the last report" };
        let lost = tape.base.state.step.saturating_sub(told);
        let events = events(tape.last() - told, lost);
        let text = format!("{what}; {since} {events}\n{}", tape.narrate(told, detail));
        match (listener, reason) {
            (Some(listener), _) => listener(&Trouble { reason, text }),
            (None, Reason::SlowStep) => log::warn!(target: "corio::flight", "{}", text.trim_end()),
            (None, _) => log::error!(target: "corio::flight", "{}", text.trim_end()),
        }
    }
}

/// The life of the thread that waits for the end of a run.
fn wait_for_the_end(shared: &Weak<Mutex<Ring>>, end: &Receiver<()>, limit: Duration) {
    if end.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let Some(shared) = shared.upgrade() else { return };
    let report = {
        let mut ring = lock(&shared);
        // It may have ended at this very moment.
        let is_over = end.try_recv() == Err(TryRecvError::Disconnected);
        (!is_over).then(|| ring.report(Reason::TimeOut, format!("the run is not over after {limit:?}")))
    };
    let Some(report) = report else { return };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| report.tell())) {
        log::error!(target: "corio::flight", "who listens to a flight recorder panicked: {}", panic_text(&*payload));
        drop_quietly(payload, "the payload of a panic");
    }
}

/// In a test. Of one that hangs, what is printed in the usual way may never be shown.
fn write_to_the_error_stream(test: &str, trouble: &Trouble) {
    let text = format!("corio: {test}: {trouble}");
    match trouble.reason {
        Reason::TimeOut => drop(io::stderr().write_all(text.as_bytes())),
        _ => eprint!("{text}"),
    }
}

/// The records that are kept, and what they cannot be read without.
#[derive(Clone, Default)]
struct Tape {
    records: VecDeque<Record>,
    base: Base,
    /// The names of tasks, as far as they have any: of those that have not ended, and of those that a record speaks of.
    names: BTreeMap<u64, String>,
    /// Of the tasks among them that have ended: the last record that speaks of it.
    ended: BTreeMap<u64, u64>,
    /// What was printed, marks, and values, which only others have noted who watch beside this one: one for each record of
    /// these, in their order, and the number of the first.
    texts: VecDeque<String>,
    first_text: u32,
}

/// What was so before the first record.
#[derive(Clone, Default)]
struct Base {
    state: State,
    /// The task whose error was reported last, because nobody took it.
    unseen: Option<u64>,
}

impl Base {
    // ANCHOR: pass
    fn pass(&mut self, record: &Record) {
        self.state.apply(record);
        match record.event {
            Event::Complete { task, .. } => self.state.forget(task),
            Event::Unseen { task } => self.unseen = Some(task),
            _ => {}
        }
    }
    // ANCHOR_END: pass
}

impl Tape {
    /// Empties it. The records of another loop come now, after this one.
    fn clear(&mut self, seq: u64) {
        self.records.clear(); // and keeps the memory
        let base = Base { state: State { step: seq, ..State::default() }, unseen: None };
        *self = Tape { records: mem::take(&mut self.records), base, ..Tape::default() };
    }

    fn write(&mut self, record: &Record, names: &Names, capacity: usize) {
        match record.event {
            Event::Spawn { task, .. } => self.learn(task, names),
            event => event.task().into_iter().for_each(|task| self.learn(task, names)),
        }
        if let Some(text) = record.event.text() {
            if self.texts.is_empty() {
                self.first_text = text;
            }
            self.texts.push_back(names.text(text).to_owned());
        }
        if let Some(task) = speaks_of(&record.event)
            && self.names.contains_key(&task)
            && (matches!(record.event, Event::Complete { .. }) || self.ended.contains_key(&task))
        {
            self.ended.insert(task, record.seq);
        }
        self.records.push_back(*record);
        if self.records.len() > capacity {
            self.forget_the_first();
        }
    }

    /// A name may have been given or changed at any time. It is looked for wherever the task is spoken of.
    fn learn(&mut self, task: u64, names: &Names) {
        if let Some(name) = names.tasks.get(&task)
            && self.names.get(&task) != Some(name)
        {
            self.names.insert(task, name.clone());
        }
    }

    fn forget_the_first(&mut self) {
        let Some(record) = self.records.pop_front() else { return };
        self.base.pass(&record);
        if record.event.text().is_some() {
            self.texts.pop_front();
            self.first_text = self.first_text.wrapping_add(1);
        }
        if let Some(task) = speaks_of(&record.event)
            && self.ended.get(&task) == Some(&record.seq)
        {
            self.ended.remove(&task);
            self.names.remove(&task);
        }
    }

    /// The number of the last record.
    fn last(&self) -> u64 {
        self.records.back().map_or(self.base.state.step, |record| record.seq)
    }

    fn who(&self, task: u64) -> String {
        self.names
            .get(&task)
            .map_or_else(|| format!("task-{task} ({task})"), |name| format!("{} ({task})", shown(name)))
    }

    /// What comes after the record of that number.
    fn narrate(self, told: u64, detail: u8) -> String {
        let Tape { records, mut base, names, texts, first_text, .. } = self;
        let names = Names { tasks: names, texts: texts.into(), first: first_text };
        let new = records.partition_point(|record| record.seq <= told);
        records.range(..new).for_each(|record| base.pass(record));
        let mut text = Vec::new();
        let mut narrator = Narrator::since(&mut text, base.state, base.unseen).detail(detail);
        records.range(new..).for_each(|record| narrator.record(record, &names));
        narrator.finish(&names);
        String::from_utf8(text).expect("a narrator writes text")
    }
}

/// The task that the record speaks of, though that has ended, or ends.
fn speaks_of(event: &Event) -> Option<u64> {
    match *event {
        Event::Complete { task, .. }
        | Event::Unseen { task }
        | Event::NoPause { want: Want::Join { task }, .. }
        | Event::Wake { by: By::Task(task), .. }
        | Event::Give { to: task, .. } => Some(task),
        _ => None,
    }
}

fn events(all: u64, lost: u64) -> String {
    let all = count(all, "event", "events");
    if lost == 0 { all } else { format!("{all}, of which the first {} not kept", count(lost, "is", "are")) }
}

fn count(n: u64, one: &str, more: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { more })
}
