//! What is told of a task's turns: what it is handed when it is resumed, and what it waits for when it pauses.
//!
//! Whether a task that is cancelled is handed the cancellation is known only to the call that waits, and that runs later than it is
//! told. So, while somebody watches, it is noted what the call will go by: what it was given stays its own, even if a cancellation
//! comes before or after (R13), and some calls cannot fail.

use super::core::{TaskCore, flag};
use super::{Input, TaskRef};
use crate::event_loop::EventLoop;
use crate::observe::event::{By, Event, Sent, Want};

/// Notes are made only while they are told to somebody.
impl EventLoop {
    #[inline(always)]
    fn note(&self, core: &TaskCore, flag: u8) {
        if self.is_told() {
            core.put(flag, true);
        }
    }

    /// The task is granted what it waits for.
    #[inline(always)]
    pub(crate) fn note_given(&self, core: &TaskCore) {
        self.note(core, flag::GIVEN);
    }

    /// The next pause is in a call that a cancellation does not make fail.
    pub(crate) fn note_unfailing(&self, core: &TaskCore) {
        self.note(core, flag::UNFAILING);
    }

    /// The task is woken, for the first time or once more.
    #[inline(always)]
    pub(crate) fn note_wake(&self, task: &TaskRef, by: By) {
        if self.is_told() {
            task.core.note_wake(by);
        }
    }
}

impl TaskCore {
    #[cold]
    #[inline(never)]
    pub(crate) fn note_wake(&self, by: By) {
        match by {
            // A limit gives nothing. The timer of a sleep is what that waits for.
            By::Timer(fired) => match self.waits() {
                Some((Want::Sleep { timer }, _)) if timer == fired => self.put(flag::GIVEN, true),
                Some((Want::Any { .. }, _)) => self.put(flag::PROMPTED, true),
                _ => {}
            },
            By::Task(_) | By::Io(_) | By::Thread => self.put(flag::PROMPTED, true),
            By::Cancel | By::Itself | By::Loop => {}
        }
    }

    /// What it is handed now. The notes are used up by that.
    #[cold]
    pub(crate) fn sent(&self, input: Input) -> Sent {
        let sent = if input == Input::Throw {
            Sent::Throw
        } else if self.resumes() == 0 {
            Sent::Start
        } else if self.is_cancelled() && !self.has(flag::UNFAILING) && !self.has(flag::GIVEN) && !self.finds_something()
        {
            Sent::Cancelled
        } else {
            Sent::Nothing
        };
        self.put(flag::GIVEN | flag::UNFAILING | flag::PROMPTED, false);
        sent
    }

    /// Whether it looks for itself whether what it wants is there, and was woken because it is.
    fn finds_something(&self) -> bool {
        let looks = matches!(
            self.waits(),
            Some((Want::Message | Want::Room | Want::Remote | Want::Worker | Want::Any { .. } | Want::Future, _))
        );
        looks && self.has(flag::PROMPTED)
    }

    /// The record of a pause.
    pub(crate) fn paused(&self, lp: &EventLoop) -> Event {
        let (want, at) = self.waits_now(lp).expect("a task that has paused has said why");
        Event::Yield { task: self.id(), want, at }
    }
}
