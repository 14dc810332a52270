//! Seeing what the loop does.
//!
//! The loop emits one totally ordered stream of small records ([`event`]). [`State::apply`] says what each of them means,
//! and nothing else does. All views are pictures of the states that it leads through:
//!
//! ```text
//!            ┌──────────┐  records  ┌───────┐  states   ┌► Narrator     the run as a text
//!  a run ───►│ the loop ├──────────►│ State ├───────────┼► dump()       all tasks at one moment, as a tree
//!            └──────────┘           └───────┘           ├► Recording    everything, to go through afterwards:
//!                                                       │      Replay, Walk, and on a terminal Stepper and Quiz;
//!                                                       │      a page, a picture, a trace
//!                                                       └► FlightRecorder  the last events, when something goes wrong
//! ```
//!
//! With no observer attached the stream costs one branch that is never taken. Observers run on the loop's own stack,
//! between two steps, and never on a task's: what happens on a task is buffered until the switch back. Watching does not
//! change the schedule.
//!
//! Chapter: `docs/book/seeing.md`.

mod chrome;
pub(crate) mod dump;
pub mod event;
mod explain;
mod flight;
mod html;
mod hub;
mod json;
mod narrator;
mod question;
mod quiz;
mod recording;
mod replay;
#[cfg(feature = "backtrace")]
mod stacks;
pub mod state;
mod stepper;
mod svg;
mod tape;
mod timeline;
pub(crate) mod value;
mod view;
mod walk;
pub(crate) mod words;

use std::collections::BTreeMap;
use std::fmt;

pub use self::chrome::Axis;
pub use self::dump::{dump, dump_json};
use self::event::{Event, Record};
pub use self::flight::{FlightRecorder, Reason, Trouble};
pub(crate) use self::hub::{Hub, SharedPicture};
pub use self::narrator::Narrator;
pub use self::question::Question;
pub use self::quiz::Quiz;
pub use self::recording::Recording;
pub use self::replay::Replay;
#[cfg(feature = "backtrace")]
pub use self::stacks::dump_stacks;
pub use self::state::State;
pub use self::stepper::{LiveStepper, Stepper};
pub use self::view::{Exchange, Phase};
pub use self::walk::{Answer, Walk};
use self::words::shown;
pub use self::words::{Seconds, place};
use crate::event_loop::EventLoop;
use crate::task::TaskCore;

/// Somebody who watches a run; see [`Runner::observer`](crate::Runner::observer).
///
/// ```
/// use corio::observe::event::{Event, Record};
/// use corio::observe::{Names, Observer};
/// use corio::{Runner, spawn};
/// use std::{cell::Cell, rc::Rc};
///
/// /// Counts how often tasks were resumed. A closure of two parameters does as well.
/// struct Switches(Rc<Cell<u32>>);
///
/// impl Observer for Switches {
///     fn record(&mut self, record: &Record, _: &Names) {
///         self.0.set(self.0.get() + u32::from(matches!(record.event, Event::Resume { .. })));
///     }
/// }
///
/// # if !cfg!(feature = "observe") { return Ok(()) }
/// let count = Rc::new(Cell::new(0));
/// Runner::new().observer(Switches(count.clone())).run(|| spawn(|| Ok(())))?;
/// assert_eq!(count.get(), 3); // main, the other one, and main again
/// # std::io::Result::Ok(())
/// ```
pub trait Observer {
    /// Something happened. Called on the loop's own stack, in the order of the records. A panic is logged, and the
    /// observer is not called again.
    fn record(&mut self, record: &Record, names: &Names);

    /// Whether it watches in the background, as what is always on in a server does. Asked once, before the first record.
    ///
    /// While nobody else watches, what the program prints by [`say!`](crate::say) goes to the terminal all the same, and
    /// [`Names`] forgets what has been told: the name of a task after its end, and each printed line. And the values that go
    /// into and come out of coroutines have no texts then. `false` if not said otherwise.
    ///
    /// ```
    /// use corio::observe::event::{Event, Record};
    /// use corio::observe::{Names, Observer};
    /// use corio::{Runner, say, spawn};
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// struct Load(Rc<Cell<i32>>);
    ///
    /// impl Observer for Load {
    ///     fn record(&mut self, record: &Record, _: &Names) {
    ///         match record.event {
    ///             Event::Spawn { .. } => self.0.set(self.0.get() + 1),
    ///             Event::Complete { .. } => self.0.set(self.0.get() - 1),
    ///             _ => {}
    ///         }
    ///     }
    ///
    ///     fn is_background(&self) -> bool {
    ///         true
    ///     }
    /// }
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let load = Rc::new(Cell::new(0));
    /// let now = load.clone();
    /// Runner::new().observer(Load(load)).run(move || {
    ///     let task = spawn(|| Ok(()));
    ///     say!("{} tasks", now.get()); // it is printed, as if nobody watched; and the second task is not told yet
    ///     task.join()
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    fn is_background(&self) -> bool {
        false
    }
}

impl<F: FnMut(&Record, &Names)> Observer for F {
    fn record(&mut self, record: &Record, names: &Names) {
        self(record, names);
    }
}

/// The texts that records refer to by number.
///
/// ```
/// use corio::observe::{Recording, event::Event};
/// use corio::{Runner, say};
///
/// # if !cfg!(feature = "observe") { return Ok(()) }
/// let recording = Recording::new();
/// Runner::new().observer(recording.clone()).run(|| {
///     say!("hello");
///     Ok(())
/// })?;
/// let names = recording.names();
/// let said: Vec<String> = recording.records().iter().filter_map(|record| match record.event {
///     Event::Out { task, text } => Some(format!("{}: {}", names.task(task), names.text(text))),
///     _ => None,
/// }).collect();
/// assert_eq!(said, ["main: hello"]);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Names {
    tasks: BTreeMap<u64, String>,
    texts: Vec<String>,
    /// The number of the first of these texts.
    first: u32,
}

impl Names {
    /// What the tasks of a loop are called.
    pub(crate) fn of(lp: &EventLoop) -> Names {
        let tasks = lp.all_tasks().iter().map(|task| (task.core.id(), task.core.name())).collect();
        Names { tasks, ..Names::default() }
    }

    /// The name of a task, as all views show it: on one line. What a terminal would obey is escaped, as in Rust, and of a name of
    /// more than 100 characters the rest is left out.
    pub fn task(&self, id: u64) -> String {
        self.tasks.get(&id).map_or_else(|| format!("task-{id}"), shown)
    }

    /// A printed line, the name of a mark, or a value that went into a coroutine or came out of one.
    pub fn text(&self, number: u32) -> &str {
        self.texts.get(number.wrapping_sub(self.first) as usize).map_or("", String::as_str)
    }

    /// Numbers of texts begin anew after 2^32: only in the background there can be so many, and few are kept there.
    fn add_text(&mut self, text: String) -> u32 {
        self.texts.push(text);
        self.first.wrapping_add(self.texts.len() as u32 - 1)
    }

    /// Lets go of what these records were the last to speak of, and of that many texts.
    fn forget(&mut self, told: &[Record], texts: usize) {
        for record in told {
            if let Event::Complete { task, .. } = record.event {
                self.tasks.remove(&task);
            }
        }
        self.texts.drain(..texts);
        self.first = self.first.wrapping_add(texts as u32);
    }
}

/// A task has a name.
pub(crate) fn named(task: &TaskCore) {
    if task.state() == crate::task::State::Done {
        return; // what was to be told of it has been told, and in the background nobody would forget the name
    }
    EventLoop::with_current(|lp| {
        if let Some(lp) = lp.filter(|lp| lp.debug.is_on()) {
            lp.debug.name(task.id(), task.name());
        }
    });
    with_hub(|_, hub| hub.name(task.id(), task.name()));
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
        if let Some(lp) = lp.filter(|lp| cfg!(feature = "observe") && lp.hub.is_observed()) {
            f(lp, &lp.hub);
        }
    });
}

/// What [`say!`](crate::say) calls.
#[doc(hidden)]
pub fn say(line: fmt::Arguments<'_>) {
    let (mut watched, mut shown) = (false, false);
    with_hub(|_, hub| (watched, shown) = (true, hub.is_noticed()));
    if !watched {
        println!("{line}");
        return;
    }
    // Printing a value is the user's code. It may even yield out of a coroutine, which may outlive this loop: nothing of
    // the loop is held meanwhile.
    let line = line.to_string();
    if !shown {
        println!("{line}");
    }
    with_hub(|lp, hub| {
        let text = hub.text(line);
        lp.emit(|| Event::Out { task: lp.current_id(), text });
    });
}

/// Names this moment in the event stream, for slices of recordings. Without an observer it does nothing.
///
/// ```
/// use corio::observe::{Recording, mark};
/// use corio::{Runner, secs, sleep};
///
/// # if !cfg!(feature = "observe") { return Ok(()) }
/// let recording = Recording::new();
/// Runner::new().virtual_clock().observer(recording.clone()).run(|| {
///     mark("warm");
///     sleep(secs(1))
/// })?;
/// assert!(recording.narrate(1).contains("── warm ──"));
/// # std::io::Result::Ok(())
/// ```
pub fn mark(name: &str) {
    with_hub(|lp, hub| {
        let text = hub.text(name.to_owned());
        lp.emit(|| Event::Mark { text });
    });
}

/// Prints a line, like `println!`. While somebody watches the run, and not only in the
/// [background](crate::observe::Observer::is_background), the line takes its place among the events instead, in their
/// order. A plain `println!` in the same program comes out earlier: events are told when their task has paused.
///
/// ```
/// use corio::{run, say};
///
/// run(|| {
///     let name = "Ada";
///     say!("hello, {name}"); // nobody watches: it is printed
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => {
        $crate::observe::say(::core::format_args!($($arg)*))
    };
}
