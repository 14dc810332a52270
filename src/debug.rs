//! Debug mode: who keeps the loop from running others, and what was made and never used.
//!
//! It listens to the loop's own records, so it costs nothing while it is off. A thread of its own, the watchdog, says who
//! blocks the loop *while* that happens: the loop itself cannot. The two share one note, which says what runs, and since
//! when.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::observe::event::{Event, Place};

/// Longer than this nobody should run without a pause.
pub(crate) const SLOW: Duration = Duration::from_millis(100);

/// How much debug mode looks at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Off,
    On,
    /// Also, at every call that may suspend, at the functions that it would suspend.
    Strict,
}

impl Level {
    /// On or off, where it was at another level before: who is strict stays so.
    pub(crate) fn new(on: bool, before: Level) -> Level {
        if on { before.max(Level::On) } else { Level::Off }
    }
}

/// What the environment asks for: `CORIO_DEBUG` is the word `strict`, or something else that is neither empty nor 0.
pub(crate) fn wanted() -> Level {
    static WANTED: OnceLock<Level> = OnceLock::new();
    *WANTED.get_or_init(|| match std::env::var_os("CORIO_DEBUG") {
        Some(value) if value == "strict" => Level::Strict,
        Some(value) if !value.is_empty() && value != "0" => Level::On,
        _ => Level::Off,
    })
}

pub(crate) struct Debug {
    level: Cell<Level>,
    slow: Cell<Duration>,
    known: RefCell<BTreeMap<u64, Known>>,
    running: RefCell<Vec<Running>>,
    note: RefCell<Option<Arc<Note>>>,
}

/// What is known of a task.
struct Known {
    name: Option<Arc<str>>,
    spawned_at: Place,
    paused_at: Option<Place>,
}

/// A task or callback that runs.
#[derive(Clone)]
struct Running {
    who: Who,
    since: Instant,
    /// Where it went on; `None`: it began.
    from: Option<Place>,
    /// The watchdog has named it.
    told: bool,
}

#[derive(Clone)]
enum Who {
    Task { id: u64, name: Option<Arc<str>>, spawned_at: Option<Place> },
    Callback(Place),
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Who::Callback(at) => write!(f, "the callback scheduled at {at}"),
            Who::Task { id, name, spawned_at } => {
                match name {
                    Some(name) => write!(f, "task {name:?} ({id}")?,
                    None => write!(f, "task \"task-{id}\" ({id}")?,
                }
                match spawned_at {
                    Some(at) => write!(f, ", spawned at {at})"),
                    None => f.write_str(")"),
                }
            }
        }
    }
}

impl Debug {
    pub(crate) fn new() -> Debug {
        Debug {
            level: Cell::new(Level::Off),
            slow: Cell::new(SLOW),
            known: RefCell::default(),
            running: RefCell::default(),
            note: RefCell::default(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.level() > Level::Off
    }

    pub(crate) fn level(&self) -> Level {
        self.level.get()
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.level() == Level::Strict
    }

    pub(crate) fn set_slow(&self, slow: Duration) {
        self.slow.set(slow);
        if let Some(note) = &*self.note.borrow() {
            note.lock().slow = slow;
            note.changed.notify_all();
        }
    }

    /// Begins to listen, at a level that is not [`Level::Off`].
    pub(crate) fn start(&self, level: Level) {
        if self.level.replace(level) == Level::Off {
            let note = Arc::new(Note::new(self.slow.get()));
            *self.note.borrow_mut() = Some(note.clone());
            let watchdog = std::thread::Builder::new().name("corio watchdog".to_owned()).spawn(move || note.watch());
            if let Err(error) = watchdog {
                log::warn!(target: "corio::debug", "no watchdog, because no thread can be had: {error}");
            }
        }
    }

    /// Ceases to listen; the watchdog goes.
    pub(crate) fn stop(&self) {
        self.level.set(Level::Off);
        self.known.take();
        self.running.take();
        if let Some(note) = self.note.take() {
            note.lock().over = true;
            note.changed.notify_all();
        }
    }

    /// A task that was there before debug mode began.
    pub(crate) fn know(&self, id: u64, name: String, spawned_at: Place, paused_at: Option<Place>) {
        self.known.borrow_mut().insert(id, Known { name: Some(name.into()), spawned_at, paused_at });
    }

    pub(crate) fn name(&self, id: u64, name: String) {
        if let Some(known) = self.known.borrow_mut().get_mut(&id) {
            known.name = Some(name.into());
        }
    }

    /// Something happened.
    pub(crate) fn see(&self, event: &Event) {
        match *event {
            Event::Spawn { task, at, .. } => {
                let known = Known { name: None, spawned_at: at, paused_at: None };
                self.known.borrow_mut().insert(task, known);
            }
            Event::Resume { task, .. } => {
                let (name, spawned_at, from) = match self.known.borrow().get(&task) {
                    Some(known) => (known.name.clone(), Some(known.spawned_at), known.paused_at),
                    None => (None, None, None),
                };
                self.begin(Who::Task { id: task, name, spawned_at }, from);
            }
            Event::Yield { task, at, .. } => {
                if let Some(known) = self.known.borrow_mut().get_mut(&task) {
                    known.paused_at = Some(at);
                }
                self.end(Some(task), Some(at));
            }
            Event::Complete { task, .. } => {
                self.known.borrow_mut().remove(&task);
                self.end(Some(task), None);
            }
            Event::Callback { at } => self.begin(Who::Callback(at), None),
            _ => {}
        }
    }

    /// The callback that began last is over.
    pub(crate) fn callback_is_over(&self) {
        self.end(None, None);
    }

    fn begin(&self, who: Who, from: Option<Place>) {
        let running = Running { who, since: Instant::now(), from, told: false };
        self.running.borrow_mut().push(running.clone());
        self.write_down(Some(running));
    }

    /// What ran last has ended, or paused at `to`.
    fn end(&self, task: Option<u64>, to: Option<Place>) {
        let is_it = |running: &mut Running| match running.who {
            Who::Task { id, .. } => task == Some(id),
            Who::Callback(_) => task.is_none(),
        };
        let Some(ended) = self.running.borrow_mut().pop_if(is_it) else { return };
        let took = ended.since.elapsed();
        // Who started it at once, and waited for it, goes on.
        self.write_down(self.running.borrow().last().cloned());
        if took >= self.slow.get() {
            let Running { who, from, .. } = ended;
            match (task, from, to) {
                (None, ..) => log::warn!(target: "corio::debug", "{who} took {took:?}"),
                (_, from, to) => log::warn!(target: "corio::debug",
                    "{who} ran for {took:?} without a pause, from {} to {}",
                    from.map_or("its beginning".to_owned(), ToString::to_string),
                    to.map_or("its end".to_owned(), ToString::to_string)),
            }
        }
    }

    fn write_down(&self, running: Option<Running>) {
        if let Some(note) = &*self.note.borrow() {
            note.lock().running = running;
        }
    }
}

impl Drop for Debug {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the loop and its watchdog share.
struct Note {
    text: Mutex<Text>,
    changed: Condvar,
}

struct Text {
    running: Option<Running>,
    slow: Duration,
    over: bool,
}

impl Note {
    fn new(slow: Duration) -> Note {
        Note { text: Mutex::new(Text { running: None, slow, over: false }), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Text> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The watchdog's life: it looks twice in the time that nobody should take.
    fn watch(&self) {
        let mut text = self.lock();
        while !text.over {
            let slow = text.slow;
            if let Some(running) =
                text.running.as_mut().filter(|running| !running.told && running.since.elapsed() >= slow)
            {
                running.told = true;
                let Running { who, since, from, .. } = running.clone();
                // The logger is the user's code: nothing is held meanwhile.
                drop(text);
                log::warn!(target: "corio::debug",
                    "{who} blocks the loop, for {:?} so far; it went on at {}",
                    since.elapsed(), from.map_or("its beginning".to_owned(), ToString::to_string));
                text = self.lock();
                continue;
            }
            let pause = (slow / 2).max(Duration::from_millis(1));
            text = self.changed.wait_timeout(text, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
