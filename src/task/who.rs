//! Who has a thing.

use super::TaskRef;
use crate::event_loop::EventLoop;

/// A task by its number, together with its loop's: every loop counts its tasks from 1, and a guard may be kept for longer
/// than the loop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Who {
    /// Loops count from 1.
    on: u32,
    task: u64,
}

impl Who {
    pub(crate) const NOBODY: Who = Who { on: 0, task: 0 };
    /// Somebody who is no task: a callback, or a thread without a loop.
    pub(crate) const NO_TASK: Who = Who { on: 0, task: 1 };

    #[inline(always)]
    pub(crate) fn task(lp: &EventLoop, task: &TaskRef) -> Who {
        Who { on: lp.remote.id, task: task.core.id() }
    }

    /// Whoever runs.
    #[inline]
    pub(crate) fn runs() -> Who {
        EventLoop::with_current(|lp| match lp.and_then(|lp| lp.running().map(|task| (lp, task))) {
            Some((lp, task)) => Who::task(lp, task),
            None => Who::NO_TASK,
        })
    }

    /// The number, for dumps, which know the tasks of their loop only; 0: none of those.
    pub(crate) fn on(self, lp: &EventLoop) -> u64 {
        if self.on == lp.remote.id { self.task } else { 0 }
    }
}
