//! Seeing what the loop does.
//!
//! The loop emits one totally ordered stream of small records ([`event`]). With no observer attached that costs one
//! branch that is never taken. Observers run on the loop's own stack, between two steps, and never on a task's: what
//! happens on a task is buffered until the switch back. Watching does not change the schedule.
//!
//! Chapter: `docs/book/seeing.md`.

pub(crate) mod dump;
pub mod event;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::event::{By, Event, Record};
use crate::event_loop::EventLoop;
use crate::task::TaskCore;
use crate::task::body::panic_text;
use crate::timer::Nanos;

/// Somebody who watches a run; see [`Runner::observer`](crate::Runner::observer).
pub trait Observer {
    /// Something happened. Called on the loop's own stack, in the order of the records. A panic is logged, and the
    /// observer is not called again.
    fn record(&mut self, record: &Record, names: &Names);
}

impl<F: FnMut(&Record, &Names)> Observer for F {
    fn record(&mut self, record: &Record, names: &Names) {
        self(record, names);
    }
}

/// The texts that records refer to by number.
#[derive(Clone, Debug, Default)]
pub struct Names {
    tasks: BTreeMap<u64, String>,
    texts: Vec<String>,
}

impl Names {
    /// The name of a task.
    pub fn task(&self, id: u64) -> String {
        self.tasks.get(&id).cloned().unwrap_or_else(|| format!("task-{id}"))
    }

    /// A printed line, or the name of a mark.
    pub fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", String::as_str)
    }
}

/// The loop's end of the stream.
pub(crate) struct Hub {
    on: Cell<bool>,
    stream: RefCell<Stream>,
}

#[derive(Default)]
struct Stream {
    seq: u64,
    /// What happened since the observers were last called.
    pending: Vec<Record>,
    names: Names,
    causes: Causes,
    observers: Vec<Box<dyn Observer>>,
}

/// Which record made the next one happen.
#[derive(Default)]
struct Causes {
    /// The step that is under way.
    running: u64,
    timer: u64,
    io: u64,
    ended: u64,
    cancel: u64,
    yielded: u64,
    /// For each task that is ready: what made it so.
    woken: BTreeMap<u64, u64>,
}

impl Causes {
    fn of(&mut self, seq: u64, event: &Event) -> u64 {
        match *event {
            Event::Resume { task, .. } => {
                self.running = seq;
                self.woken.remove(&task).unwrap_or(0)
            }
            Event::Spawn { task, .. } => {
                self.woken.insert(task, seq);
                self.running
            }
            Event::Wake { task, by } => {
                self.woken.insert(task, seq);
                match by {
                    By::Timer(_) => self.timer,
                    By::Io(_) => self.io,
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
            Event::Complete { .. } => {
                self.ended = seq;
                std::mem::take(&mut self.running)
            }
            Event::Yield { .. } => {
                self.yielded = seq;
                std::mem::take(&mut self.running)
            }
            Event::CancelAsk { .. } => {
                self.cancel = seq;
                if self.running == 0 { self.timer } else { self.running }
            }
            _ => self.running,
        }
    }
}

impl Hub {
    pub(crate) fn new() -> Hub {
        Hub { on: Cell::new(false), stream: RefCell::default() }
    }

    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        self.on.get()
    }

    pub(crate) fn attach(&self, observer: Box<dyn Observer>) {
        self.stream.borrow_mut().observers.push(observer);
        self.on.set(true);
    }

    pub(crate) fn push(&self, at: Nanos, event: Event) {
        let mut stream = self.stream.borrow_mut();
        stream.seq += 1;
        let seq = stream.seq;
        let cause = stream.causes.of(seq, &event);
        stream.pending.push(Record { seq, at, cause, event });
    }

    fn text(&self, text: String) -> u32 {
        let texts = &mut self.stream.borrow_mut().names.texts;
        texts.push(text);
        u32::try_from(texts.len() - 1).expect("fewer than 2^32 texts")
    }

    /// Hands what has happened to the observers, which may not look at the loop's state by borrowing it.
    #[cold]
    pub(crate) fn flush(&self, lp: &EventLoop) {
        let (pending, names, mut observers) = {
            let mut stream = self.stream.borrow_mut();
            if stream.pending.is_empty() {
                return;
            }
            let pending = std::mem::take(&mut stream.pending);
            (pending, std::mem::take(&mut stream.names), std::mem::take(&mut stream.observers))
        };
        observers.retain_mut(|observer| {
            let told = catch_unwind(AssertUnwindSafe(|| {
                pending.iter().for_each(|record| observer.record(record, &names));
            }));
            if let Err(payload) = &told {
                log::error!(target: "corio::observe", "an observer panicked: {}", panic_text(&**payload));
            }
            told.is_ok()
        });
        let _ = lp;
        let mut stream = self.stream.borrow_mut();
        stream.names = names;
        stream.observers = observers;
        if stream.pending.is_empty() {
            // The buffer goes on to the next step.
            let mut pending = pending;
            pending.clear();
            stream.pending = pending;
        }
    }
}

/// A task has a name.
pub(crate) fn named(task: &TaskCore) {
    with_hub(|_, hub| {
        hub.stream.borrow_mut().names.tasks.insert(task.id(), task.name());
    });
}

/// Nobody took a task's failure.
pub(crate) fn unseen(task: &TaskCore) {
    EventLoop::with_current(|lp| {
        if let Some(lp) = lp {
            lp.emit(|| Event::Unseen { task: task.id() });
        }
    });
}

fn with_hub(f: impl FnOnce(&EventLoop, &Hub)) {
    EventLoop::with_current(|lp| {
        if let Some(lp) = lp.filter(|lp| cfg!(feature = "observe") && lp.hub.is_on()) {
            f(lp, &lp.hub);
        }
    });
}

/// What [`say!`](crate::say) calls.
#[doc(hidden)]
pub fn say(line: fmt::Arguments<'_>) {
    let mut watched = false;
    with_hub(|lp, hub| {
        watched = true;
        let text = hub.text(line.to_string());
        lp.emit(|| Event::Out { task: lp.current_id(), text });
    });
    if !watched {
        println!("{line}");
    }
}

/// Names this moment in the event stream, for slices of recordings. Without an observer it does nothing.
pub fn mark(name: &str) {
    with_hub(|lp, hub| {
        let text = hub.text(name.to_owned());
        lp.emit(|| Event::Mark { text });
    });
}

/// Prints a line, like `println!`. While somebody watches the run, the line takes its place among the events instead, in
/// their order.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => {
        $crate::observe::say(::core::format_args!($($arg)*))
    };
}
