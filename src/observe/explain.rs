//! What a step is, for who has not met it before.

use super::event::{By, Event, Purpose, Record, Sent};
use super::state::State;

/// A step, in the state before it, in two or three sentences, and where to read more.
pub(super) fn explain(record: &Record, before: &State) -> &'static str {
    match record.event {
        Event::LoopStart { .. } => {
            "The run begins: one loop on this thread. It has a main task, which is resumed like any other. (docs/book/loop.md)"
        }
        Event::LoopStop => "The run is over: every task has ended, and so `run` returns. (docs/book/loop.md)",
        Event::Spawn { .. } => {
            "A task is made and put at the end of the ready queue. Nothing of it runs before its first resume. (docs/book/loop.md)"
        }
        Event::Resume { sent: Sent::Start, .. } => {
            "The loop switches to the task's own stack for the first time: its function begins at the top. It takes the task that \
             has been ready for longest. (docs/book/coroutine.md)"
        }
        Event::Resume { sent: Sent::Nothing, .. } => {
            "The loop switches back to the stack where the task paused. Its locals and its callers are still there, and the call \
             that waited returns now. (docs/book/coroutine.md)"
        }
        Event::Resume { sent: Sent::Cancelled, .. } => {
            "The task goes on where it paused, and the call that waited fails: the task is cancelled. What it does with the error is \
             its own affair. A wait for tasks of its own, as at the end of a scope, passes the cancellation on to them and goes on \
             until they have ended. (docs/book/cancellation.md)"
        }
        Event::Resume { sent: Sent::Throw, .. } => {
            "The run ends and the task has not: a panic that nobody reports unwinds its stack, so that its destructors run. \
             (docs/book/cancellation.md)"
        }
        Event::Yield { .. } => {
            "The call cannot have what it wants yet. The task says what that is and switches to the loop's stack; its own stays as \
             it is. It is in no queue now: somebody has to wake it. (docs/book/coroutine.md)"
        }
        Event::NoPause { .. } => {
            "A call that may wait found what it wanted at once, and the task goes on without a pause. After many of those in one \
             turn it pauses all the same, so that others run. (docs/book/loop.md)"
        }
        Event::Polled { .. } => {
            "This task has no stack: it is a future, which was entered from the top and went down level by level to where it \
             stands. (docs/book/two-ways-to-pause.md)"
        }
        Event::Complete { .. } => {
            "The task's function has ended; that it returned, Python tells by StopIteration. Whoever waits for it becomes ready, and \
             its stack is free for the next. (docs/book/coroutine.md)"
        }
        Event::Wake { by: By::Itself, .. } => {
            "It gave up its turn only, so it stands at the end of the ready queue again. (docs/book/loop.md)"
        }
        Event::Wake { by: By::Cancel, .. } => {
            "What the task waited for has not come, but the task is cancelled: it is put at the end of the ready queue, and hears of it \
             when it is resumed. (docs/book/cancellation.md)"
        }
        Event::Wake { .. } => {
            "What the task waited for has come: it is put at the end of the ready queue. It does not run yet; those before it in \
             the queue come first. (docs/book/loop.md)"
        }
        Event::Give { to: 0, .. } => {
            "Several read under this lock. The one that was known to has left, and who the others are is not kept: whoever waits to \
             write waits for them. (docs/book/sharing.md)"
        }
        Event::Give { .. } => {
            "A lock passes in this moment to the one that has waited longest: it has it before it runs, and nobody can come in \
             between. (docs/book/sharing.md)"
        }
        Event::Shuffle { .. } => "A test asked for another order of the tasks that are ready. (docs/book/testing.md)",
        Event::TimerArm { .. } => {
            "A timer is set. The loop never sleeps longer than to the first that is due. (docs/book/time.md)"
        }
        Event::TimerFire { timer } => match before.timers.get(&timer).map(|timer| timer.purpose) {
            Some(Purpose::Wake) => "A timer is due: the task that waits for it becomes ready. (docs/book/time.md)",
            Some(Purpose::Limit) => {
                "A time limit is met: what runs under it is cancelled, so its waits fail from now on. (docs/book/cancellation.md)"
            }
            Some(Purpose::Shield) => {
                "A shield has held for as long as it may. If what lies around it is cancelled, what lies inside is so too from now \
                 on. (docs/book/cancellation.md)"
            }
            Some(Purpose::Callback) => {
                "A timer is due: the loop calls the function that it was set for. (docs/book/loop.md)"
            }
            None => "A timer is due, and what it was set for happens. (docs/book/time.md)",
        },
        Event::TimerDrop { .. } => "A timer is given up: what it was set for is over. (docs/book/time.md)",
        Event::IoArm { .. } | Event::IoDrop { .. } => {
            "The loop asks the kernel from now on, or no longer, to tell it of news of this descriptor. (docs/book/reactor.md)"
        }
        Event::WouldBlock { .. } => {
            "The system call was tried first, and the kernel has nothing yet. So the task waits for news, and tries again then. \
             (docs/book/reactor.md)"
        }
        Event::PollEnter { .. } => {
            "The loop asks the kernel for news. If nobody is ready it sleeps there, until there is some or the next timer is due. \
             (docs/book/reactor.md)"
        }
        Event::PollReturn { .. } | Event::IoReady { .. } => {
            "The kernel has answered. Whoever waits for a descriptor that has news becomes ready. (docs/book/reactor.md)"
        }
        Event::CancelAsk { .. } => {
            "A task is asked to end: its waits fail from now on. It is not stopped where it stands. (docs/book/cancellation.md)"
        }
        Event::GroupOpen { .. } | Event::GroupClose { .. } => {
            "A scope: tasks that are spawned in it have all ended before it is left. (docs/book/groups.md)"
        }
        Event::GenSend { .. } | Event::GenYield { .. } | Event::GenReturn { .. } => {
            "A coroutine without a loop: a value goes in, a value comes out, and its stack stays where it is in between. \
             (docs/book/coroutine.md)"
        }
        Event::Callback { .. } => "A callback runs on the loop itself: it cannot wait. (docs/book/loop.md)",
        Event::Deadlock { .. } => {
            "Nobody is ready, no timer is set, and nothing from outside is waited for: nothing can ever happen any more. The run \
             ends with a report of who waits for what. (docs/book/decisions.md)"
        }
        Event::Unseen { .. } => {
            "A task failed, and nobody took the error: it goes to the log. (docs/book/debugging.md)"
        }
        Event::Out { .. } => "The program printed a line, for whoever observes it. (docs/book/seeing.md)",
        Event::Mark { .. } => "A place that the program has named, to be found again by `m`. (docs/book/seeing.md)",
    }
}
