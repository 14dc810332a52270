//! Helper threads for what blocks: name look-ups.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::cancelled;
use crate::event_loop::EventLoop;
use crate::observe::event::{Place, Want};
use crate::remote::Message;
use crate::task::wait::{Context, checkpoint, in_context, park, refuse_while_unwinding};
use crate::task::{TaskRef, not_in_a_callback};

/// Runs `f` on a thread of its own while the task waits; on a thread without a loop, right here.
///
/// A cancelled wait ends at once: `f` owns what it uses, and its result is dropped.
pub(crate) fn offload<T: Send + 'static>(
    name: &str,
    at: Place,
    f: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    in_context(|context| match context {
        Context::Outside => Ok(f()),
        Context::Callback => Err(not_in_a_callback()),
        Context::Unwinding(..) => Err(refuse_while_unwinding()),
        Context::Task(lp, task) => {
            checkpoint(lp, task, at)?;
            let result = Arc::new(Mutex::new(None));
            let (remote, id) = (lp.remote.clone(), task.core.id());
            let slot = result.clone();
            std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                let value = catch_unwind(AssertUnwindSafe(f));
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                // If the loop is gone, nobody waits.
                let _ = remote.send(Message::Wake(id));
            })?;
            let _hope = Hope::new(lp, task);
            loop {
                park(lp, task, Want::Worker, at);
                let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
                match value {
                    Some(Ok(value)) => return Ok(value),
                    Some(Err(payload)) => resume_unwind(payload),
                    None if task.core.is_cancelled() => return Err(cancelled()),
                    None => {}
                }
            }
        }
    })
}

/// A worker will report back: the loop may hope.
struct Hope<'a>(&'a EventLoop, &'a TaskRef);

impl<'a> Hope<'a> {
    fn new(lp: &'a EventLoop, task: &'a TaskRef) -> Hope<'a> {
        lp.employers.borrow_mut().insert(task.core.id(), task.clone());
        Hope(lp, task)
    }
}

impl Drop for Hope<'_> {
    fn drop(&mut self) {
        self.0.employers.borrow_mut().remove(&self.1.core.id());
    }
}
