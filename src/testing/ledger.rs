//! What is left on a loop, and where it came from.

use std::fmt;

use crate::event_loop::EventLoop;
use crate::observe::State;
use crate::observe::event::{Purpose, Want};
use crate::observe::words::{Seconds, place, want};
use crate::observe::{Names, state::Stage};

/// What a loop holds at one moment, besides the task that asks: tasks, timers and so on, each with its place in the
/// source. A test that ends well ends with an empty one: nothing runs on, nothing is waited for, nothing will fire.
///
/// The asking task does not count, nor do the time limits and shields that it stands in.
///
/// asyncio: `all_tasks`, and the warnings of its debug mode.
///
/// ```
/// use corio::testing::{self, Ledger};
/// use corio::{secs, sleep, spawn};
///
/// testing::run(|| {
///     Ledger::now().assert_empty();
///     let task = spawn(|| sleep(secs(1)));
///     corio::yield_now()?;
///     let ledger = Ledger::now();
///     assert_eq!((ledger.tasks, ledger.timers), (1, 1));
///     assert!(!ledger.is_empty() && ledger.to_string().contains("waits for: timer"));
///     task.join()
/// });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ledger {
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Of these, those that have begun, and so have a stack.
    pub stacks: usize,
    /// Of these, those that are paused and wait for another task, an event, or whatever is neither time nor I/O.
    pub waiters: usize,
    /// Timers that are set.
    pub timers: usize,
    /// Callbacks that are ready to be called. One that waits for its time is a timer.
    pub callbacks: usize,
    /// Sources of I/O that are registered: streams and listeners that are alive and have waited on this loop.
    pub sources: usize,
    /// Helper threads that will report back.
    pub workers: usize,
    /// A line for each.
    lines: Vec<String>,
}

impl Ledger {
    /// What this thread's loop holds now; nothing outside a loop.
    pub fn now() -> Ledger {
        EventLoop::with_current(|lp| lp.map_or_else(Ledger::default, Ledger::of))
    }

    fn of(lp: &EventLoop) -> Ledger {
        let me = lp.current_id();
        let state = State::of(lp);
        let names = Names::of(lp);
        let mut ledger = Ledger { workers: lp.workers.get(), ..Ledger::default() };
        for (id, task) in state.tasks.iter().filter(|(id, _)| **id != me) {
            ledger.tasks += 1;
            let (has_stack, does) = match task.stage {
                Stage::New => (false, "has not begun".to_owned()),
                Stage::Parked(wanted) => {
                    let of_the_loop = matches!(wanted, Want::Sleep { .. } | Want::Io { .. } | Want::Worker);
                    ledger.waiters += usize::from(!of_the_loop);
                    (true, format!("waits for: {}", want(wanted, &state, &names)))
                }
                _ => (true, "is ready to run".to_owned()),
            };
            ledger.stacks += usize::from(has_stack);
            let paused = task.paused_at.map_or_else(String::new, |at| format!(", at {}", place(at)));
            let spawned = place(task.spawned_at);
            ledger.lines.push(format!("task {:?} ({id}, spawned at {spawned}) {does}{paused}", names.task(*id)));
        }
        for (id, timer) in state.timers.iter().filter(|(_, timer)| timer.purpose != Purpose::Callback) {
            let mine = timer.task == me && me != 0;
            if mine && matches!(timer.purpose, Purpose::Limit | Purpose::Shield) {
                continue;
            }
            ledger.timers += 1;
            let what = match timer.purpose {
                Purpose::Limit => "a time limit of",
                Purpose::Shield => "a shield of",
                _ => "to wake",
            };
            let (due, whose) = (Seconds(timer.due), names.task(timer.task));
            ledger.lines.push(format!("timer {id}, due {due}: {what} {whose}"));
        }
        for (due, at) in lp.scheduled() {
            ledger.timers += 1;
            ledger.lines.push(format!("timer, due {}: to call what was scheduled at {}", Seconds(due), place(at)));
        }
        for at in lp.callbacks.places() {
            ledger.callbacks += 1;
            ledger.lines.push(format!("callback scheduled at {}", place(at)));
        }
        for source in &state.sources {
            ledger.sources += 1;
            ledger.lines.push(format!("source {source} of I/O is registered"));
        }
        if ledger.workers > 0 {
            ledger.lines.push(format!("helper threads that have not reported back: {}", ledger.workers));
        }
        ledger
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Makes sure that nothing is left.
    ///
    /// # Panics
    ///
    /// If something is: with a line for each, which says what it is and where it came from.
    #[track_caller]
    pub fn assert_empty(&self) {
        assert!(self.is_empty(), "{self}");
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing is left on the loop");
        }
        f.write_str("left on the loop:")?;
        self.lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
