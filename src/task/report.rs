//! In which calls a paused task stands.
//!
//! Nobody can walk a stack from outside, so the task does it: it is resumed with a question that only the innermost frame, the
//! library's own, understands, walks up from there, and suspends again. Not a line of the user's code runs; what the task waits
//! for, its place in every queue and its clock stay as they are, and no record is made of it.

use std::cell::RefCell;
use std::mem::ManuallyDrop;

use backtrace::Frame;

use super::core::Input;
use super::{State, TaskRef};

/// What the walk may need of the stack that it stands on. Measured, with and without optimisation: less than 4 KiB.
const ROOM: usize = 12 * 1024;

/// More calls than a reader can use, and fewer than a runaway recursion has.
const MOST: usize = 200;

thread_local! {
    /// What the task that was asked last has said. It is taken out at once, so there is nothing to drop; and what has no
    /// destructor is there for as long as the thread, whose other variables may run a loop when they go.
    static SAID: ManuallyDrop<RefCell<Said>> = const { ManuallyDrop::new(RefCell::new(Said::NOTHING)) };
}

struct Said {
    frames: Vec<Frame>,
    no_room: bool,
}

impl Said {
    const NOTHING: Said = Said { frames: Vec::new(), no_room: false };
}

/// Why a task has no stack to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoStack {
    /// It has not begun.
    New,
    /// It runs.
    Running,
    /// It has ended.
    Done,
    /// It is a future.
    Future,
    /// It stands so deep that a walk could run into the guard.
    NoRoom,
}

/// Answers the question, as often as it is asked, with whatever suspends the task again.
#[inline]
pub(super) fn answer(mut input: Input, suspend: impl Fn() -> Input) -> Input {
    while input == Input::Report {
        walk();
        input = suspend();
    }
    input
}

#[cold]
#[inline(never)]
fn walk() {
    let here = crate::sys::stack_pointer();
    let has_room = crate::stack::room_below(here).is_none_or(|room| room >= ROOM);
    let mut said = Said { no_room: !has_room, ..Said::NOTHING };
    if has_room {
        // Addresses only: to look their names up needs more room.
        backtrace::trace(|frame| {
            said.frames.push(frame.clone());
            said.frames.len() < MOST
        });
    }
    SAID.with(|last| last.replace(said));
}

/// The frames of a paused task, innermost first.
pub(crate) fn frames(task: &TaskRef) -> Result<Vec<Frame>, NoStack> {
    let core = &task.core;
    match core.state() {
        State::Running => return Err(NoStack::Running),
        State::Done => return Err(NoStack::Done),
        State::Parked | State::Ready => {}
    }
    let activation = core.activation().ok_or(NoStack::New)?;
    if !activation.report() {
        return Err(NoStack::Future);
    }
    let Said { mut frames, no_room } = SAID.with(|said| said.replace(Said::NOTHING));
    if no_room {
        return Err(NoStack::NoRoom);
    }
    // Its stack hangs on the loop's, which has resumed it to ask: that is not its own. A coroutine in which it stands is.
    let top = std::ptr::from_ref(activation).addr();
    let own = top.saturating_sub(core.stack_size.bytes())..top;
    if let Some(outermost) = frames.iter().rposition(|frame| own.contains(&frame.sp().addr())) {
        frames.truncate(outermost + 1);
    }
    Ok(frames)
}
