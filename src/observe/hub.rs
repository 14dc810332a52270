//! The loop's end of the stream: records come in here, and go out to the observers when nobody runs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::event::{By, Event, Record};
use super::{Names, Observer, State};
use crate::event_loop::EventLoop;
use crate::task::body::{drop_quietly, panic_text};
use crate::timer::Nanos;

pub(crate) struct Hub {
    /// Somebody wants to know what happens: observers, hooks or the debug mode.
    on: Cell<bool>,
    /// Observers do.
    observed: Cell<bool>,
    /// Others do.
    overheard: Cell<bool>,
    stream: RefCell<Stream>,
}

#[derive(Default)]
struct Stream {
    seq: u64,
    /// What happened since the observers were last called.
    pending: Vec<Record>,
    names: Rc<Names>,
    causes: Causes,
    /// What the records up to the last flush say. It knows since when; the loop's tables do not.
    fold: State,
    flushes: u64,
    observers: Vec<Box<dyn Observer>>,
}

impl Hub {
    pub(crate) fn new() -> Hub {
        Hub {
            on: Cell::new(false),
            observed: Cell::new(false),
            overheard: Cell::new(false),
            stream: RefCell::default(),
        }
    }

    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        self.on.get()
    }

    pub(crate) fn attach(&self, observer: Box<dyn Observer>) {
        self.stream.borrow_mut().observers.push(observer);
        self.set_observed(true);
    }

    /// Whether there are observers: only then records are kept for the next flush.
    pub(crate) fn is_observed(&self) -> bool {
        self.observed.get()
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
        Rc::make_mut(&mut self.stream.borrow_mut().names).tasks.insert(task, name);
    }

    pub(super) fn text(&self, text: String) -> u32 {
        let stream = &mut *self.stream.borrow_mut();
        let texts = &mut Rc::make_mut(&mut stream.names).texts;
        texts.push(text);
        u32::try_from(texts.len() - 1).expect("fewer than 2^32 texts")
    }

    /// Hands what has happened to the observers. Nothing is borrowed while they run.
    #[cold]
    pub(crate) fn flush(&self, lp: &EventLoop) {
        self.hand_out(|fold, flush| {
            if cfg!(debug_assertions) {
                compare(fold, flush, lp);
            }
        });
    }

    /// The same where a step has begun: the loop's tables are on their way from one state to the next, and say nothing.
    pub(crate) fn flush_within_a_step(&self) {
        self.hand_out(|_, _| {});
    }

    fn hand_out(&self, check: impl FnOnce(&State, u64)) {
        let (mut pending, names, mut observers) = {
            let stream = &mut *self.stream.borrow_mut();
            if stream.pending.is_empty() {
                return;
            }
            for record in &stream.pending {
                stream.fold.apply(record);
                if let Event::Complete { task, .. } = record.event {
                    stream.fold.forget(task); // a long run has many
                }
            }
            stream.flushes += 1;
            check(&stream.fold, stream.flushes);
            (mem::take(&mut stream.pending), stream.names.clone(), mem::take(&mut stream.observers))
        };
        let panics = |observer: &mut Box<dyn Observer>| {
            let told = catch_unwind(AssertUnwindSafe(|| {
                pending.iter().for_each(|record| observer.record(record, &names));
            }));
            let Err(payload) = told else { return false };
            log::error!(target: "corio::observe", "an observer panicked: {}", panic_text(&*payload));
            drop_quietly(payload, "the payload of a panic");
            true
        };
        let silenced: Vec<_> = observers.extract_if(.., panics).collect();
        silenced.into_iter().for_each(|observer| drop_quietly(observer, "an observer that panicked"));
        let stream = &mut *self.stream.borrow_mut();
        // With nobody left to tell, lines that the program prints go where they would go unwatched.
        self.set_observed(!observers.is_empty());
        stream.observers = observers;
        if stream.pending.is_empty() {
            // The buffer goes on to the next step.
            pending.clear();
            stream.pending = pending;
        }
    }

    /// What has happened, as far as it was flushed, if anybody watches.
    pub(super) fn with_fold(&self, f: impl FnOnce(&State)) {
        if let Ok(stream) = self.stream.try_borrow()
            && self.is_observed()
        {
            f(&stream.fold);
        }
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
