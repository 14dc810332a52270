//! What a task without a stack runs: a future, which the loop polls from the top at each of its turns.
//!
//! The counterpart of [`body`](super::body). The future lies in the task's own allocation, and beside it what a task with a
//! stack has at the top of that.

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::IntoResult;
use super::body::{Finished, Function, Payload, Sink, Stage, drop_quietly};
use super::core::{Activation, Body, TaskCore};
use crate::error::Shutdown;
use crate::observe::event::End;

pub(crate) struct Polled<F, T, E, S> {
    function: Function<F, T, E, S>,
    activation: UnsafeCell<MaybeUninit<Activation>>,
}

impl<F, T, E, S> Polled<F, T, E, S> {
    pub(crate) fn new(future: F, sink: S) -> Self {
        Polled { function: Function::new(future, sink), activation: UnsafeCell::new(MaybeUninit::uninit()) }
    }
}

impl<F, R, E, S> Polled<F, R::Value, E, S>
where
    F: Future<Output = R>,
    R: IntoResult<E>,
    E: From<io::Error>,
    S: Sink<E>,
{
    /// The future, where it is pinned; `None` if it has been dropped.
    #[expect(clippy::mut_from_ref, reason = "nobody else looks into the stage while the task is being polled")]
    fn future(&self) -> Option<Pin<&mut F>> {
        // SAFETY: a task is polled by its own step only, one at a time.
        match unsafe { &mut *self.function.stage.as_ptr() } {
            // SAFETY: it is never moved: it lies in the task's allocation until `drop_future` drops it in its place.
            Stage::Waiting(future) => Some(unsafe { Pin::new_unchecked(future) }),
            _ => None,
        }
    }

    /// Drops the future in its place. A panic of its destructor comes back.
    fn drop_future(&self) -> Result<(), Payload> {
        let Some(future) = self.future() else { return Ok(()) };
        // SAFETY: it is dropped once: the stage is overwritten, whatever its destructor does.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe {
            std::ptr::drop_in_place(std::ptr::from_mut(future.get_unchecked_mut()));
        }));
        // SAFETY: nobody looks into the stage. What is left of the future is neither dropped nor moved: it is no value any more.
        unsafe { self.function.stage.as_ptr().write(Stage::Empty) };
        dropped
    }

    fn finish(&self, task: &TaskCore, end: End, finished: Finished<R::Value, E>) {
        task.set_end(end);
        // Not even a logger that panics may unwind the loop.
        if catch_unwind(AssertUnwindSafe(|| self.function.end(task, finished))).is_err() {
            crate::fatal(format_args!("the log's own code panicked while task {} ended", task.id()));
        }
    }
}

impl<F, R, E, S> Body for Polled<F, R::Value, E, S>
where
    F: Future<Output = R>,
    R: IntoResult<E>,
    E: From<io::Error>,
    S: Sink<E>,
{
    fn place(&self) -> *mut Activation {
        self.activation.get().cast()
    }

    fn poll(&self, task: &TaskCore, context: &mut Context<'_>) -> Poll<()> {
        let future = self.future().expect("a task that has ended is not polled");
        let (end, finished) = match catch_unwind(AssertUnwindSafe(|| future.poll(context).map(R::into_result))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(value))) => (End::Returned, Finished::Returned(Ok(value))),
            Ok(Poll::Ready(Err(error))) if task.is_cancelled() => (End::Cancelled, Finished::Returned(Err(error))),
            Ok(Poll::Ready(Err(error))) => (End::Failed, Finished::Returned(Err(error))),
            Err(payload) if payload.is::<Shutdown>() => (End::Cancelled, Finished::cancelled()),
            Err(payload) => (End::Panicked, Finished::Panicked(payload)),
        };
        // As what a function owns is dropped before it returns.
        let (end, finished) = match self.drop_future() {
            Err(payload) if end == End::Returned => {
                drop_quietly(finished, "a task's result");
                (End::Panicked, Finished::Panicked(payload))
            }
            Err(payload) => {
                drop_quietly(payload, "the payload of a panic");
                (end, finished)
            }
            Ok(()) => (end, finished),
        };
        self.finish(task, end, finished);
        Poll::Ready(())
    }

    fn abandon(&self, task: &TaskCore) {
        let (end, finished) = match self.drop_future() {
            Ok(()) => (End::Cancelled, Finished::cancelled()),
            Err(payload) => (End::Panicked, Finished::Panicked(payload)),
        };
        self.finish(task, end, finished);
    }

    fn run(&self, _: &TaskCore) {
        unreachable!("a future has no stack to run on")
    }

    fn refuse(&self, task: &TaskCore) {
        task.set_end(End::Cancelled);
        if let Err(payload) = self.drop_future() {
            drop_quietly(payload, "the payload of a panic");
        }
        if task.has_handle() {
            self.function.keep(Finished::cancelled());
        }
    }

    fn discard(&self, task: &TaskCore) {
        self.function.discard(task);
    }

    unsafe fn take(&self, into: *mut ()) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.function.take_into(into) }
    }
}
