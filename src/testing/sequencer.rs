//! The order in which tasks pass certain points, written down in the test.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;

use crate::error;
use crate::event_loop::EventLoop;
use crate::observe::event::{By, Place, Want};
use crate::observe::words::place;
use crate::task::caller;
use crate::task::wait::{
    Context, Patience, WaitList, checkpoint, in_context, not_in_a_callback, refuse_while_unwinding,
};

/// Numbered steps, so that a test can say in which order tasks come to certain points.
///
/// Step 0 goes on at once, step 1 when step 0 is over, and so on. Each number is used once. A step is over when what
/// [`step`](Self::step) returned is dropped: at once in a statement `seq.step(1)?;`, at the end of the block after
/// `let _step = seq.step(1)?;`.
///
/// If a number is missing, the tasks that come after it wait for ever. The deadlock error then names each of them, its
/// own step, and the one that is missing. If a step is cancelled, or left by a panic, the sequence is *broken*, and all
/// other steps fail.
///
/// trio: `trio.testing.Sequencer`.
///
/// ```
/// use corio::testing::{self, Sequencer};
/// use corio::scope;
/// use std::cell::RefCell;
///
/// testing::run(|| {
///     let (seq, said) = (Sequencer::new(), RefCell::new(Vec::new()));
///     assert_eq!(seq.next(), 0);
///     scope(|s| {
///         s.spawn(|| {
///             seq.step(1)?;
///             said.borrow_mut().push("and");
///             seq.step(3)?;
///             said.borrow_mut().push("away");
///             Ok(())
///         });
///         for (n, word) in [(0, "up"), (2, "up")] {
///             let _step = seq.step(n)?;
///             said.borrow_mut().push(word);
///         }
///         Ok(())
///     })?;
///     assert_eq!(said.take().join(" "), "up and up away");
///     Ok(())
/// });
/// ```
pub struct Sequencer {
    next: Cell<u32>,
    taken: RefCell<BTreeMap<u32, Place>>,
    /// The step that will never be over, and where it was.
    broken: Cell<Option<(u32, Place)>>,
    waiting: WaitList,
}

impl Sequencer {
    /// A sequence at its step 0.
    pub const fn new() -> Sequencer {
        Sequencer {
            next: Cell::new(0),
            taken: RefCell::new(BTreeMap::new()),
            broken: Cell::new(None),
            waiting: WaitList::new(),
        }
    }

    /// Waits until it is the turn of step `n`. The step is over when the returned value is dropped.
    ///
    /// # Errors
    ///
    /// Cancellation, which breaks the sequence. If it is broken, an error that says where.
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if this number was used before, and outside a task.
    ///
    /// # Suspends
    ///
    /// Until the steps before it are over.
    #[track_caller]
    pub fn step(&self, n: u32) -> io::Result<Step<'_>> {
        let at = caller();
        in_context(|context| match context {
            Context::Task(lp, task) => {
                if let Some(first) = self.taken.borrow().get(&n) {
                    return Err(error::misuse(format!("step {n} of a sequence was used before, at {}", place(first))));
                }
                self.taken.borrow_mut().insert(n, at);
                let mut step = Step { sequence: self, n, at, reached: false };
                checkpoint(lp, task, at)?;
                loop {
                    if let Some((broken, at)) = self.broken.get() {
                        let at = place(at);
                        return Err(io::Error::other(format!(
                            "the sequence is broken: step {broken}, at {at}, was cancelled or has panicked"
                        )));
                    }
                    let next = self.next.get();
                    if next == n {
                        step.reached = true;
                        return Ok(step);
                    }
                    self.waiting.wait(lp, task, Want::Step { step: n, next }, at, Patience::Cancellable)?;
                }
            }
            Context::Unwinding(..) => Err(refuse_while_unwinding()),
            Context::Callback => Err(not_in_a_callback()),
            Context::Outside => Err(error::misuse("the steps of a sequence are for tasks: call it inside a run")),
        })
    }

    /// The step whose turn it is.
    pub fn next(&self) -> u32 {
        self.next.get()
    }
}

impl Default for Sequencer {
    fn default() -> Self {
        Sequencer::new()
    }
}

impl fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequencer").field("next", &self.next()).field("broken", &self.broken.get().is_some()).finish()
    }
}

/// A step of a [`Sequencer`]: the next one goes on when this is dropped.
///
/// ```
/// use corio::testing::{self, Sequencer, Step};
///
/// testing::run(|| {
///     let seq = Sequencer::new();
///     let first: Step<'_> = seq.step(0)?;
///     let second = corio::scope(|s| {
///         let second = s.spawn(|| seq.step(1).map(drop));
///         testing::wait_all_tasks_blocked()?;
///         assert!(!second.is_done()); // the first is not over
///         drop(first);
///         second.join()
///     })?;
///     Ok(second)
/// });
/// ```
pub struct Step<'a> {
    sequence: &'a Sequencer,
    n: u32,
    at: Place,
    /// Whether its turn has come; one that never comes breaks the sequence.
    reached: bool,
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let sequence = self.sequence;
        if self.reached && !std::thread::panicking() {
            sequence.next.set(self.n + 1);
        } else if sequence.broken.get().is_none() {
            sequence.broken.set(Some((self.n, self.at)));
        }
        // All of them: each notes which step is next, for the report of a deadlock.
        EventLoop::with_current(|lp| {
            if let Some(lp) = lp {
                sequence.waiting.notify_all(lp, By::Task(lp.current_id()));
            }
        });
    }
}

impl fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Step").field(&self.n).finish()
    }
}
