//! What the loop says about itself: small `Copy` records in one total order.
//!
//! Ids count from 1 in the order of creation, never addresses; text (names, printed lines, values) stands in side tables of
//! [`Names`](super::Names), so a record is small and recording it allocates nothing.
//!
//! An observer that understands some of them:
//!
//! ```
//! use corio::observe::event::{By, Direction, End, Event, Place, PollReason, Purpose, Record, Sent, Thing, Want, Why};
//! use corio::observe::Names;
//! use corio::{Mutex, Runner, millis, scope, secs, sleep, timeout};
//! use std::{cell::RefCell, rc::Rc};
//!
//! /// What is worth a line in a log of one's own.
//! fn told(record: &Record) -> Option<String> {
//!     let line = |at: Place| format!("line {}", at.line() > 0);
//!     Some(match record.event {
//!         Event::Resume { task, sent: Sent::Cancelled, .. } => format!("{task} is cancelled"),
//!         Event::Yield { task, want: Want::Thing { thing: Thing::Lock, holder, .. }, .. } => {
//!             format!("{task} waits for a lock that {holder} has")
//!         }
//!         Event::Yield { task, want: Want::Io { direction: Direction::Read, .. }, at } => {
//!             format!("{task} reads at {}", line(at))
//!         }
//!         Event::TimerArm { task, purpose: Purpose::Limit, .. } => format!("{task} has a time limit"),
//!         Event::CancelAsk { task, why: Why::Deadline, .. } => format!("{task} is late"),
//!         Event::Wake { task, by: By::Timer(_) } => format!("{task} has slept"),
//!         Event::PollEnter { why: PollReason::Timer, timeout, .. } => format!("nothing to do for {} ns", timeout?),
//!         Event::Complete { task, end: End::Failed } => format!("{task} has failed"),
//!         _ => return None,
//!     })
//! }
//!
//! # if !cfg!(feature = "observe") { return Ok(()) }
//! let log = Rc::new(RefCell::new(Vec::new()));
//! let lines = log.clone();
//! let observer = move |record: &Record, _: &Names| lines.borrow_mut().extend(told(record));
//! Runner::new().virtual_clock().observer(observer).run(|| {
//!     let lock = Mutex::new(());
//!     scope(|s| {
//!         s.spawn(|| {
//!             let _guard = lock.lock()?;
//!             sleep(millis(20))
//!         });
//!         s.spawn(|| lock.lock().map(drop));
//!         assert!(timeout(millis(5), || sleep(secs(1))).is_err());
//!         Ok(())
//!     })
//! })?;
//! assert_eq!(*log.borrow(), [
//!     "1 has a time limit",
//!     "3 waits for a lock that 2 has",
//!     "nothing to do for 5000000 ns",
//!     "1 is late",
//!     "1 is cancelled",
//!     "nothing to do for 15000000 ns",
//!     "2 has slept",
//! ]);
//! # std::io::Result::Ok(())
//! ```

use std::panic::Location;

use crate::timer::Nanos;

/// A place in the source of the program.
pub type Place = &'static Location<'static>;

// ANCHOR: record
/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// The position in the total order, from 1: the step number that a reader sees in every view.
    pub seq: u64,
    /// Loop time in nanoseconds since the loop's start.
    pub at: Nanos,
    /// The record that made this happen, or 0.
    pub cause: u64,
    /// What happened.
    pub event: Event,
}
// ANCHOR_END: record

impl Record {
    /// The same as whoever counts it who has missed so many before it.
    pub(super) fn without_the_first(self, missed: u64) -> Record {
        Record { seq: self.seq - missed, cause: self.cause.saturating_sub(missed), ..self }
    }
}

const _: () = assert!(size_of::<Record>() <= 64, "a record is small enough to keep millions");

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The run begins.
    LoopStart {
        /// Whether time is simulated.
        virtual_clock: bool,
    },
    /// The run is over: every task is gone.
    LoopStop,
    /// A task was made and put into the ready queue.
    Spawn {
        /// The new task.
        task: u64,
        /// Who made it; 0: the loop.
        by: u64,
        /// The group that it belongs to; 0: none.
        group: u64,
        /// Where it was made.
        at: Place,
    },
    /// The loop switches to a task: Python's `coro.send(None)`, or `coro.throw(..)`.
    Resume {
        /// The task.
        task: u64,
        /// What it is handed.
        sent: Sent,
        /// How many times it has been resumed, this one included.
        nth: u32,
    },
    /// The task switched back to the loop: a `yield`.
    Yield {
        /// The task.
        task: u64,
        /// What it waits for.
        want: Want,
        /// The call that waits.
        at: Place,
    },
    /// A call that may suspend found what it wanted and went on without a pause.
    NoPause {
        /// The task.
        task: u64,
        /// What it would have waited for.
        want: Want,
        /// The call.
        at: Place,
    },
    /// A task without a stack was polled, from the top, and is about to pause or to end. That is all that tells it from one with a
    /// stack, which goes on where it stopped.
    Polled {
        /// The task.
        task: u64,
        /// How many polls that took, one inside the other or one after the other: of its future, and of those in it that the
        /// library knows, which are its own and what is [counted](crate::aio::counted).
        polls: u32,
    },
    /// The task's function has ended: `StopIteration`, or an exception.
    Complete {
        /// The task.
        task: u64,
        /// How it ended.
        end: End,
    },
    /// A task was put into the ready queue.
    Wake {
        /// The task.
        task: u64,
        /// What made it ready.
        by: By,
    },
    /// A lock that tasks wait for is another one's now.
    Give {
        /// The lock, by the number that [`Want::Thing`] has for it.
        lock: u32,
        /// Who has it; 0: several who read, none of whom is known.
        to: u64,
    },
    /// The ready tasks were put into another order, because a test asked for it.
    Shuffle {
        /// Where the generator stood that decided.
        with: u64,
    },
    /// A timer was set.
    TimerArm {
        /// The timer.
        timer: u64,
        /// Whose it is; 0: a callback's.
        task: u64,
        /// When it is due, in loop time.
        due: Nanos,
        /// What it is for.
        purpose: Purpose,
    },
    /// A timer was due.
    TimerFire {
        /// The timer.
        timer: u64,
    },
    /// A timer was given up before it was due.
    TimerDrop {
        /// The timer.
        timer: u64,
    },
    /// A source of I/O was registered with the reactor.
    IoArm {
        /// The source.
        source: u64,
    },
    /// A source of I/O was removed from the reactor.
    IoDrop {
        /// The source.
        source: u64,
    },
    /// A system call on a source would have blocked.
    WouldBlock {
        /// The task that tried.
        task: u64,
        /// The direction.
        direction: Direction,
    },
    /// The loop asks the kernel what happened.
    PollEnter {
        /// How long it will wait at most; `None`: until something happens.
        timeout: Option<Nanos>,
        /// Why that long.
        why: PollReason,
    },
    /// The poll is over; what it brought stands before this.
    PollReturn {
        /// How many sources have news.
        events: u32,
    },
    /// A source has news.
    IoReady {
        /// The source.
        source: u64,
        /// Worth trying to read.
        readable: bool,
        /// Worth trying to write.
        writable: bool,
    },
    /// Somebody asked a task to end.
    CancelAsk {
        /// The task.
        task: u64,
        /// Who asked; 0: the loop.
        by: u64,
        /// Why.
        why: Why,
    },
    /// A region with children was opened.
    GroupOpen {
        /// The group.
        group: u64,
        /// Whose region it is.
        task: u64,
        /// Where.
        at: Place,
    },
    /// All children are gone and the region is left.
    GroupClose {
        /// The group.
        group: u64,
    },
    /// A coroutine was handed a value, or an error, and runs.
    GenSend {
        /// The coroutine.
        coroutine: u64,
        /// The task it runs in.
        task: u64,
        /// Whether an error was thrown in.
        thrown: bool,
        /// What it was handed: a number in [`Names::text`](super::Names::text). Nothing at its start; and nothing while all
        /// who watch do so in the background.
        value: Option<u32>,
    },
    /// A coroutine handed a value out and paused.
    GenYield {
        /// The coroutine.
        coroutine: u64,
        /// Where it paused.
        at: Place,
        /// What it handed out, as in [`GenSend`](Self::GenSend).
        value: Option<u32>,
    },
    /// A coroutine ended.
    GenReturn {
        /// The coroutine.
        coroutine: u64,
        /// How it ended; cancelled: it was closed, and passed that on.
        end: End,
        /// What it returned, or the text of its error or panic, as in [`GenSend`](Self::GenSend).
        value: Option<u32>,
    },
    /// A callback of `call_soon` or a timer runs.
    Callback {
        /// Where it was scheduled.
        at: Place,
    },
    /// Nothing can ever run again.
    Deadlock {
        /// How many tasks are left.
        tasks: u32,
    },
    /// A task failed, or panicked, and nobody took the error.
    Unseen {
        /// The task.
        task: u64,
    },
    /// A line that the program printed with [`say!`](crate::say).
    Out {
        /// Who printed; 0: no task.
        task: u64,
        /// The line's number in [`Names::text`](super::Names::text).
        text: u32,
    },
    /// A place that the program named with [`mark`](super::mark).
    Mark {
        /// The name's number in [`Names::text`](super::Names::text).
        text: u32,
    },
}

impl Event {
    /// The task that it is about, if it tells of a turn of one: that this begins, goes by, ends, or is to come.
    pub(super) fn task(&self) -> Option<u64> {
        match *self {
            Event::Resume { task, .. }
            | Event::Yield { task, .. }
            | Event::NoPause { task, .. }
            | Event::Complete { task, .. }
            | Event::Wake { task, .. } => Some(task),
            _ => None,
        }
    }

    /// The number of the text that it refers to. Each text belongs to one event, and both come in the same order.
    pub(super) fn text(&self) -> Option<u32> {
        match *self {
            Event::Out { text, .. } | Event::Mark { text } => Some(text),
            Event::GenSend { value, .. } | Event::GenYield { value, .. } | Event::GenReturn { value, .. } => value,
            _ => None,
        }
    }
}

/// What a task is handed when it is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Its first resume: from the top.
    Start,
    /// Nothing: the wait is over.
    Nothing,
    /// It goes on because a surrounding scope was cancelled: the call that waited fails. A wait for tasks of its own, as at the end
    /// of a scope, passes the cancellation on to them, and goes on. Of a future that waits for several things at once this is not
    /// told if it was given one of them.
    Cancelled,
    /// The shutdown's last resort.
    Throw,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Want {
    /// Its next turn.
    Turn,
    /// A timer.
    Sleep {
        /// The timer.
        timer: u64,
    },
    /// A source of I/O.
    Io {
        /// The source.
        source: u64,
        /// The direction.
        direction: Direction,
    },
    /// The end of a task.
    Join {
        /// That task.
        task: u64,
    },
    /// The end of all children of a region.
    Children {
        /// The group.
        group: u64,
    },
    /// Its turn in the sequence of a test.
    Step {
        /// The step that is its own.
        step: u32,
        /// The one that is next.
        next: u32,
    },
    /// A helper thread: a job of an executor.
    Worker,
    /// A task of a loop on another thread.
    Remote,
    /// A message from a channel.
    Message,
    /// Room in a channel.
    Room,
    /// A signal to the process.
    Signal,
    /// Something that tasks share.
    Thing {
        /// What it is.
        thing: Thing,
        /// Which one: things are counted from the first wait for them.
        id: u32,
        /// The task that had it when it paused, or when a future last said what it waits for; 0: none. Who has it later says
        /// [`State::wait_of`](super::State::wait_of).
        holder: u64,
    },
    /// A future that is none of this library's.
    Future,
    /// One of several things: a [`select`](crate::select()).
    Any {
        /// How many.
        of: u32,
    },
}

/// What tasks share and wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Thing {
    /// A mutex.
    Lock,
    /// A lock for readers and writers, to read.
    Read,
    /// The same, to write.
    Write,
    /// An event that is not set.
    Event,
    /// A notification of a condition.
    Condition,
    /// A permit of a semaphore.
    Permit,
    /// The other tasks at a barrier.
    Barrier,
    /// An item of a queue.
    Item,
    /// Room in a queue.
    Room,
    /// The end of the work on a queue's items.
    Work,
    /// The value of a promise.
    Promise,
}

/// A direction of I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Reading, accepting.
    Read,
    /// Writing, connecting.
    Write,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It wakes the task: a sleep, or the time limit of one operation.
    Wake,
    /// It cancels a region of the task: a timeout.
    Limit,
    /// It ends the protection of a region: a shield.
    Shield,
    /// It calls a callback.
    Callback,
}

/// What made a task ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum By {
    /// A task: it ended, or gave something.
    Task(u64),
    /// A timer.
    Timer(u64),
    /// A source of I/O.
    Io(u64),
    /// Another thread.
    Thread,
    /// A cancellation.
    Cancel,
    /// The task itself: it gave up its turn.
    Itself,
    /// The loop.
    Loop,
}

/// How a task ended, or a coroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its function returned a value.
    Returned,
    /// Its function returned an error.
    Failed,
    /// It was cancelled and its function returned an error, or never ran.
    Cancelled,
    /// Its function panicked.
    Panicked,
}

/// Why a task was asked to end; the `Copy` half of [`Cause`](crate::Cause).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Somebody called `cancel`.
    Requested,
    /// A deadline was met.
    Deadline,
    /// A sibling in the same scope failed, or the scope was left with an error.
    Sibling,
    /// Ctrl-C, or SIGTERM.
    Interrupt,
    /// The run is ending.
    Shutdown,
}

/// Why a poll waits as long as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollReason {
    /// Something is ready: only look.
    Ready,
    /// Nothing is ready, and a timer is next.
    Timer,
    /// Nothing is ready, and there is no timer.
    Nothing,
    /// Nothing is ready, and what is under way on a network in memory is next.
    Network,
    /// The run is ending: until the end of the grace.
    Grace,
}
