//! Cancelling a body at each point where it can be cancelled, one after the other.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;

use crate::cancel::CancelScope;
use crate::error;
use crate::event_loop::{EventLoop, Phase};
use crate::lab::Probe;
use crate::observe::event::{Place, Want};
use crate::observe::words::place;
use crate::task::wait::{Context, in_context};
use crate::task::{IntoResult, State, TaskRef};

/// Cancels a body at one point of it; from [`cancel_everywhere`](super::cancel_everywhere).
///
/// ```
/// use corio::testing::{Injector, cancel_everywhere};
/// use corio::{Queue, yield_now};
///
/// /// Moves an item, and must not lose it, whenever it is cancelled.
/// fn try_to_move(injector: &Injector) -> std::io::Result<()> {
///     let (from, to) = (Queue::new(), Queue::bounded(1));
///     from.put("an item")?;
///     let moved = injector.run(|| {
///         let slot = to.reserve()?; // a place first: then nothing can come between
///         yield_now()?;
///         slot.put(from.get()?);
///         Ok(())
///     });
///     assert_eq!(from.len() + to.len(), 1);
///     assert!(moved.is_ok() || injector.cancelled());
///     Ok(())
/// }
/// assert!(cancel_everywhere(try_to_move) > 3);
/// ```
pub struct Injector {
    probe: Rc<Aim>,
}

/// What a point is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A call that may suspend has begun.
    Called,
    /// The task is paused.
    Paused,
    /// It was woken, and has not run yet: what it waited for may have been handed to it.
    Woken,
}

/// Counts the points of one task's region, and cancels it at one of them.
struct Aim {
    wanted: u64,
    seen: Cell<u64>,
    target: RefCell<Option<Target>>,
    used: Cell<bool>,
    /// Where it happened.
    hit: Cell<Option<(Kind, Place)>>,
}

#[derive(Clone)]
struct Target {
    task: TaskRef,
    region: Rc<CancelScope>,
    /// The pause that was looked at last: how often the task had been resumed, and what it was then.
    last: Cell<(u32, Option<Kind>)>,
}

impl Injector {
    /// One that cancels at the point of that number, from 1.
    pub(super) fn new(wanted: u64) -> Injector {
        let probe = Aim {
            wanted,
            seen: Cell::new(0),
            target: RefCell::new(None),
            used: Cell::new(false),
            hit: Cell::new(None),
        };
        Injector { probe: Rc::new(probe) }
    }

    pub(super) fn probe(&self) -> Rc<dyn Probe> {
        self.probe.clone()
    }

    /// Runs `body` in a [`CancelScope`] of its own, which is cancelled when the body comes to the point whose turn it is.
    ///
    /// It may be called several times in a program, but not while another call of it runs: the points are counted on.
    ///
    /// # Errors
    ///
    /// The body's own. [`InvalidInput`](io::ErrorKind::InvalidInput) outside a task, in a run of another kind than that
    /// of [`cancel_everywhere`](super::cancel_everywhere), and inside itself.
    pub fn run<R: IntoResult>(&self, body: impl FnOnce() -> R) -> io::Result<R::Value> {
        /// The region is left.
        struct Leave<'a>(&'a Aim);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                let target = self.0.target.take();
                drop(target);
            }
        }
        let region = Rc::new(CancelScope::new());
        let aimed = in_context(|context| match context {
            Context::Task(_, task) if self.probe.target.borrow().is_none() => {
                let last = Cell::new((task.core.resumes(), None));
                let target = Target { task: task.clone(), region: region.clone(), last };
                *self.probe.target.borrow_mut() = Some(target);
                true
            }
            _ => false,
        });
        if !aimed {
            return Err(error::misuse("an injector needs a task, and has one at a time"));
        }
        let _leave = Leave(&self.probe);
        self.probe.used.set(true);
        region.run(body)
    }

    /// Whether the point has come, and the body was cancelled there.
    pub fn cancelled(&self) -> bool {
        self.probe.hit.get().is_some()
    }

    /// Whether a body was run at all.
    pub(super) fn was_used(&self) -> bool {
        self.probe.used.get()
    }
}

impl fmt::Display for Injector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.probe.wanted;
        match self.probe.hit.get() {
            None => write!(f, "not cancelled: point {n} did not come"),
            Some((kind, at)) => {
                let kind = match kind {
                    Kind::Called => "as it began the call",
                    Kind::Paused => "while it was paused",
                    Kind::Woken => "after it was woken and before it ran",
                };
                write!(f, "cancelled at point {n}: {kind}, at {}", place(at))
            }
        }
    }
}

impl fmt::Debug for Injector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Injector({self})")
    }
}

impl Aim {
    fn point(&self, target: &Target, kind: Kind, at: Place) {
        // When the run ends, all are cancelled: that is no point of the body.
        if EventLoop::with_current(|lp| lp.is_none_or(|lp| lp.phase() != Phase::Running)) {
            return;
        }
        self.seen.set(self.seen.get() + 1);
        if self.seen.get() == self.wanted {
            self.hit.set(Some((kind, at)));
            target.region.cancel();
        }
    }
}

impl Probe for Aim {
    fn between_steps(&self) {
        let Some(target) = self.target.borrow().clone() else { return };
        let core = &target.task.core;
        let Some((want, at)) = core.waits() else { return };
        let kind = match core.state() {
            State::Parked => Kind::Paused,
            // It has given up its turn, and waits for the next.
            State::Ready if want == Want::Turn => Kind::Paused,
            State::Ready => Kind::Woken,
            State::Running | State::Done => return,
        };
        let now = (core.resumes(), Some(kind));
        let seen = self.target.borrow().as_ref().is_some_and(|target| target.last.replace(now) == now);
        if !seen {
            self.point(&target, kind, at);
        }
    }

    fn at_checkpoint(&self, task: u64, at: Place) {
        let target = self.target.borrow().clone();
        if let Some(target) = target.filter(|target| target.task.core.id() == task) {
            self.point(&target, Kind::Called, at);
        }
    }
}
