//! The loop's end of the stream: records come in here, and go out to the observers when nobody runs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::event::{By, Event, Record};
use super::{Names, Observer, State};
use crate::event_loop::EventLoop;
use crate::task::body::{drop_quietly, panic_text};
use crate::timer::Nanos;

/// How many records a step may make before their buffer is given back: more than nearly every step makes.
const USUAL: usize = 4_096;

pub(crate) struct Hub {
    /// Somebody wants to know what happens: observers, hooks or the debug mode.
    on: Cell<bool>,
    /// Observers do.
    observed: Cell<bool>,
    /// Not all of them watch in the background.
    noticed: Cell<bool>,
    /// Others do.
    overheard: Cell<bool>,
    /// They are being told.
    telling: Cell<bool>,
    stream: RefCell<Stream>,
}

/// What the records up to the last flush say: since when, and by which names, which the loop's tables do not know. Another
/// thread may look at it while a task blocks the loop.
#[derive(Default)]
pub(crate) struct Picture {
    pub(crate) state: State,
    pub(crate) names: Arc<Names>,
    /// Observers are told of a step before it is made, and some of them may take their time.
    pub(crate) is_noticed: bool,
}

#[derive(Clone, Default)]
pub(crate) struct SharedPicture(Arc<Mutex<Picture>>);

impl SharedPicture {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Picture> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An observer, and whether it watches in the background.
struct Watching {
    observer: Box<dyn Observer>,
    in_background: bool,
}

#[derive(Default)]
struct Stream {
    seq: u64,
    /// What happened since the observers were last called.
    pending: Vec<Record>,
    causes: Causes,
    picture: SharedPicture,
    flushes: u64,
    observers: Vec<Watching>,
}

impl Hub {
    pub(crate) fn new() -> Hub {
        Hub {
            on: Cell::new(false),
            observed: Cell::new(false),
            noticed: Cell::new(false),
            overheard: Cell::new(false),
            telling: Cell::new(false),
            stream: RefCell::default(),
        }
    }

    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        self.on.get()
    }

    /// Between two runs.
    pub(crate) fn attach(&self, lp: &EventLoop, observer: Box<dyn Observer>) {
        let in_background = observer.is_background();
        let mut stream = self.stream.borrow_mut();
        if !self.is_observed() {
            // What was last told is of a run that its observers have not seen to the end. What is left of runs that nobody saw,
            // as a listener that is kept, the loop's tables know.
            stream.pending.clear();
            stream.causes = Causes::default();
            stream.picture.lock().state = State::of(lp);
        }
        stream.picture.lock().is_noticed |= !in_background;
        stream.observers.push(Watching { observer, in_background });
        self.noticed.set(self.noticed.get() || !in_background);
        self.set_observed(true);
    }

    /// Whether there are observers: only then records are kept for the next flush.
    pub(crate) fn is_observed(&self) -> bool {
        self.observed.get()
    }

    /// Whether the program's own lines are for an observer to show, and values have texts.
    pub(super) fn is_noticed(&self) -> bool {
        self.noticed.get()
    }

    fn set_observed(&self, observed: bool) {
        self.observed.set(observed);
        self.on.set(observed || self.overheard.get());
    }

    /// Whether the loop itself wants the records.
    pub(crate) fn set_overheard(&self, overheard: bool) {
        self.overheard.set(overheard);
        self.on.set(overheard || self.observed.get());
    }

    pub(crate) fn push(&self, at: Nanos, event: Event) {
        let mut stream = self.stream.borrow_mut();
        stream.seq += 1;
        let seq = stream.seq;
        let cause = stream.causes.of(seq, &event);
        stream.pending.push(Record { seq, at, cause, event });
    }

    pub(super) fn name(&self, task: u64, name: String) {
        self.with_names(|names| drop(names.tasks.insert(task, name)));
    }

    /// Keeps the text of an event until that has been handed out. The event comes next.
    pub(super) fn text(&self, text: String) -> u32 {
        self.with_names(|names| names.add_text(text))
    }

    fn with_names<R>(&self, f: impl FnOnce(&mut Names) -> R) -> R {
        f(Arc::make_mut(&mut self.stream.borrow().picture.lock().names))
    }

    /// Hands what has happened to the observers. Nothing is borrowed while they run.
    #[cold]
    pub(crate) fn flush(&self, lp: &EventLoop) {
        self.hand_out(|fold, flush| {
            // Who is always on in the background is to be cheap.
            if cfg!(debug_assertions) && self.is_noticed() {
                compare(fold, flush, lp);
            }
        });
    }

    /// The same where a step has begun: the loop's tables are on their way from one state to the next, and say nothing.
    pub(crate) fn flush_within_a_step(&self) {
        self.hand_out(|_, _| {});
    }

    fn hand_out(&self, check: impl FnOnce(&State, u64)) {
        if self.telling.get() {
            return; // an observer has started a task at once: all are told of that when they have been told of what came before
        }
        let (mut pending, names, mut observers) = {
            let stream = &mut *self.stream.borrow_mut();
            if stream.pending.is_empty() {
                return;
            }
            let Picture { state, names, .. } = &mut *stream.picture.lock();
            for record in &stream.pending {
                state.apply(record);
                if let Event::Complete { task, .. } = record.event {
                    state.forget(task); // a long run has many
                }
            }
            stream.flushes += 1;
            check(state, stream.flushes);
            (mem::take(&mut stream.pending), names.clone(), mem::take(&mut stream.observers))
        };
        self.telling.set(true);
        let panics = |Watching { observer, .. }: &mut Watching| {
            let told = catch_unwind(AssertUnwindSafe(|| {
                pending.iter().for_each(|record| observer.record(record, &names));
            }));
            let Err(payload) = told else { return false };
            log::error!(target: "corio::observe", "an observer panicked: {}", panic_text(&*payload));
            drop_quietly(payload, "the payload of a panic");
            true
        };
        let silenced: Vec<_> = observers.extract_if(.., panics).collect();
        if !silenced.is_empty() {
            silenced.into_iter().for_each(|watching| drop_quietly(watching.observer, "an observer that panicked"));
            // With nobody left to tell, lines that the program prints go where they would go unwatched.
            self.set_observed(!observers.is_empty());
            self.noticed.set(observers.iter().any(|watching| !watching.in_background));
            self.stream.borrow().picture.lock().is_noticed = self.noticed.get();
        }
        self.telling.set(false);
        let (named, texts) = (!names.tasks.is_empty(), names.texts.len());
        drop(names);
        if !self.noticed.get() && (named || texts > 0) {
            self.with_names(|names| names.forget(&pending, texts)); // such a run may go on for ever
        }
        let stream = &mut *self.stream.borrow_mut();
        stream.observers = observers;
        if stream.pending.is_empty() {
            // The buffer goes on to the next step. After one of many records it is not kept for ever.
            pending.clear();
            pending.shrink_to(USUAL);
            stream.pending = pending;
        }
    }

    /// What has happened, as far as it was flushed, if anybody watches.
    pub(crate) fn picture(&self) -> Option<SharedPicture> {
        let stream = self.stream.try_borrow().ok()?;
        self.is_observed().then(|| stream.picture.clone())
    }
}

// ANCHOR: compare
/// A picture of what is not so would be worse than none.
fn compare(fold: &State, flush: u64, lp: &EventLoop) {
    const MANY: usize = 1_000;
    if fold.tasks.len() > MANY && !flush.is_multiple_of(MANY as u64) {
        return; // a look at every task after every step would take for ever
    }
    let mut real = State::of(lp);
    if lp.forces() {
        // Tasks are thrown out of the queue wherever they stand in it, and it is not run any more.
        real.ready.clone_from(&fold.ready);
    }
    if let Some(difference) = fold.differs(&real) {
        crate::fatal(format_args!("step {}: the event stream tells a wrong story of {difference}", fold.step));
    }
}
// ANCHOR_END: compare

/// Which record made the next one happen.
#[derive(Default)]
struct Causes {
    /// The step that is under way, and whose it is; before it stand those of tasks that have started another one at once.
    running: Vec<(u64, u64)>,
    timer: u64,
    io: u64,
    ended: u64,
    cancel: u64,
    yielded: u64,
    /// For each task that is ready: what made it so.
    woken: BTreeMap<u64, u64>,
}

impl Causes {
    fn step(&self) -> u64 {
        self.running.last().map_or(0, |(_, step)| *step)
    }

    /// The step of the task is over; 0 if it made none.
    fn end_step(&mut self, task: u64) -> u64 {
        self.running.pop_if(|(running, _)| *running == task).map_or(0, |(_, step)| step)
    }

    fn of(&mut self, seq: u64, event: &Event) -> u64 {
        match *event {
            Event::Resume { task, .. } => {
                self.running.push((task, seq));
                self.woken.remove(&task).unwrap_or(0)
            }
            Event::Spawn { task, .. } => {
                self.woken.insert(task, seq);
                self.step()
            }
            Event::Wake { task, by } => {
                self.woken.insert(task, seq);
                match by {
                    By::Timer(_) => self.timer,
                    By::Io(_) => self.io,
                    By::Task(_) if !self.running.is_empty() => self.step(),
                    By::Task(_) => self.ended,
                    By::Cancel => self.cancel,
                    By::Itself => self.yielded,
                    By::Thread | By::Loop => 0,
                }
            }
            Event::TimerFire { .. } => {
                self.timer = seq;
                0
            }
            Event::IoReady { .. } => {
                self.io = seq;
                0
            }
            Event::Complete { task, .. } => {
                self.woken.remove(&task);
                self.ended = seq;
                self.end_step(task)
            }
            Event::Yield { task, .. } => {
                self.yielded = seq;
                self.end_step(task)
            }
            Event::CancelAsk { .. } => {
                self.cancel = seq;
                if self.running.is_empty() { self.timer } else { self.step() }
            }
            _ => self.step(),
        }
    }
}
