//! An attempt at a descriptor that is repeated until it does not say "would block": the counterpart of `Source::retry`.

use std::cell::OnceCell;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use super::pause::{Checkpoint, Pass, Pause, on_task};
use crate::observe::event::{Direction, Place, Want};
use crate::reactor::Slot;
use crate::reactor::source::Source;
use crate::select::{Arm, Cx, Only, Spot};
use crate::task::Who;
use crate::task::wait::WaitList;

/// Whatever has a source.
pub(super) trait HasSource {
    fn source(&self) -> &Source;
}

impl HasSource for &Source {
    fn source(&self) -> &Source {
        self
    }
}

/// Tries `attempt` until it does not say "would block", waiting in between. `drained` tells from a result that there was no more
/// to be had.
pub(super) async fn retry<T>(
    source: &Source,
    direction: Direction,
    at: Place,
    mut attempt: impl FnMut() -> io::Result<T>,
    drained: impl Fn(&T) -> bool,
) -> io::Result<T> {
    checkpoint(at).await?;
    loop {
        // ANCHOR: retry
        if let Poll::Ready(result) = try_once(source, direction, &mut attempt, &drained) {
            return result;
        }
        Pause::new(Only(Arrival::new(source, direction)), at).without_checkpoint().await?;
        // ANCHOR_END: retry
    }
}

/// As every call that may wait, also one that then does not.
pub(super) fn checkpoint(at: Place) -> Pass {
    Pass::new(Checkpoint::default(), at)
}

pub(super) fn try_once<T>(
    source: &Source,
    direction: Direction,
    attempt: &mut impl FnMut() -> io::Result<T>,
    drained: &impl Fn(&T) -> bool,
) -> Poll<io::Result<T>> {
    on_task(|lp, task| match source.attempt(lp, task, direction, attempt, drained) {
        Some(result) => Poll::Ready(result),
        None => Poll::Pending,
    })
}

/// News of one direction of a source, as a wait.
pub(super) struct Arrival<S> {
    of: S,
    direction: Direction,
    slot: OnceCell<Rc<Slot>>,
}

impl<S: HasSource> Arrival<S> {
    pub(super) fn new(of: S, direction: Direction) -> Arrival<S> {
        Arrival { of, direction, slot: OnceCell::new() }
    }
}

impl<S: HasSource> Arm for Arrival<S> {
    type Brings = ();
    type Hook = ();

    /// A wait that begins anew, in another run, may have been told of what came in between: the kernel says it once.
    const LOOKS_AGAIN: bool = true;

    fn poll(&mut self, _: Who, _: &Spot<()>) -> Option<()> {
        self.slot.get()?.is_ready(self.direction).then_some(())
    }

    fn prepare(&self, cx: &Cx<'_>) -> io::Result<()> {
        let slot = self.of.source().begin_to_wait(cx.lp)?;
        cx.lp.reactor.add_waiter();
        let _ = self.slot.set(slot);
        Ok(())
    }

    fn list(&self) -> Option<&WaitList> {
        self.slot.get().map(|slot| slot.waiters(self.direction))
    }

    fn leave(&mut self, cx: &Cx<'_>, spot: &Spot<()>) {
        cx.lp.reactor.remove_waiter();
        self.desert(spot);
    }

    fn desert(&mut self, _: &Spot<()>) {
        if self.slot.take().is_some() {
            self.of.source().end_to_wait();
        }
    }

    fn take(&mut self, _: Who, _: &Spot<()>) {}

    fn want(&self, _: &Cx<'_>, _: &Spot<Self::Hook>) -> Want {
        self.slot.get().map_or(Want::Turn, |slot| Want::Io { source: slot.id(), direction: self.direction })
    }
}
