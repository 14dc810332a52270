//! What a task runs, and where its result goes.

use std::any::Any;
use std::cell::Cell;
use std::fmt::Debug;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::core::{Body, TaskCore};
use super::{JoinHandle, ScopedJoinHandle};
use crate::error::{Shutdown, cancelled};
use crate::event_loop::EventLoop;
use crate::failure::{Failure, Value, Whose};
use crate::observe::event::End;

pub(crate) type Payload = Box<dyn Any + Send>;

/// What a body may return.
///
/// A *body* is the closure given to [`run`](crate::run), [`spawn`](crate::spawn()), [`scope`](crate::scope()),
/// [`timeout`](crate::timeout()) and the like. It returns `io::Result<T>`, or nothing, or the handle of a task, which is
/// then joined; what it returns comes back flat, as `io::Result<T>`. For an error type of your own use the functions of
/// [`typed`](crate::typed).
///
/// The trait is sealed: it exists so that one closure may be written `|| println!("hello")` and another
/// `|| Ok(sleep(d)?)`, without an annotation. One that never ends needs it: `|| -> io::Result<()> { loop { .. } }`.
///
/// ```
/// use corio::{IntoResult, now, run, spawn};
/// use std::{io, time::Duration};
///
/// /// A function of one's own that takes a body, as `timeout` does.
/// fn timed<R: IntoResult>(body: impl FnOnce() -> R) -> io::Result<(R::Value, Duration)> {
///     let start = now();
///     let value = body().into_result()?;
///     Ok((value, now() - start))
/// }
///
/// run(|| {
///     timed(|| println!("nothing to return"))?;
///     assert_eq!(timed(|| Ok(6 * 7))?.0, 42);
///     assert_eq!(timed(|| spawn(|| Ok("joined")))?.0, "joined");
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[diagnostic::on_unimplemented(
    message = "a body returns `Result<T, {E}>`, nothing, or a task's handle here, not `{Self}`",
    label = "this body",
    note = "wrap a plain value in `Ok(..)`; say the type of a body that never ends: `|| -> std::io::Result<()> {{ loop \
            {{ .. }} }}`; for an error type of your own use the function of the same name in `corio::typed`"
)]
pub trait IntoResult<E = io::Error>: sealed::Sealed<E> {
    /// What comes back.
    type Value;

    #[doc(hidden)]
    #[track_caller]
    fn into_result(self) -> Result<Self::Value, E>;
}

mod sealed {
    pub trait Sealed<E> {}
}

impl<E> sealed::Sealed<E> for () {}
impl<E> IntoResult<E> for () {
    type Value = ();

    fn into_result(self) -> Result<(), E> {
        Ok(())
    }
}

impl<T, E> sealed::Sealed<E> for Result<T, E> {}
impl<T, E> IntoResult<E> for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, E> {
        self
    }
}

impl<T, E: From<io::Error>> sealed::Sealed<E> for JoinHandle<T, E> {}
impl<T, E: From<io::Error>> IntoResult<E> for JoinHandle<T, E> {
    type Value = T;

    #[track_caller]
    fn into_result(self) -> Result<T, E> {
        self.join()
    }
}

impl<T, E: From<io::Error>> sealed::Sealed<E> for ScopedJoinHandle<'_, T, E> {}
impl<T, E: From<io::Error>> IntoResult<E> for ScopedJoinHandle<'_, T, E> {
    type Value = T;

    #[track_caller]
    fn into_result(self) -> Result<T, E> {
        self.join()
    }
}

/// How a function ended.
pub(crate) enum Finished<T, E> {
    Returned(Result<T, E>),
    Panicked(Payload),
}

impl<T, E: From<io::Error>> Finished<T, E> {
    /// The end of a task that was cancelled before it ran, or unwound. The conversion is the user's code.
    pub(super) fn cancelled() -> Self {
        match catch_unwind(|| E::from(cancelled())) {
            Ok(error) => Finished::Returned(Err(error)),
            Err(payload) => Finished::Panicked(payload),
        }
    }
}

/// Where the failure of a task goes that nobody joins.
pub(crate) trait Sink<E> {
    /// The task has failed, by an error or a panic, whoever will take it.
    fn failed(&self, task: &TaskCore);
    /// Nobody takes this error. `after_cancel`: it was met after the task had been cancelled.
    fn error(&self, task: &TaskCore, error: E, after_cancel: bool);
    /// Nobody takes this panic.
    fn panic(&self, task: &TaskCore, payload: Payload);
}

/// The sink of a task that belongs to nobody: the exception handler, or the log.
pub(crate) struct Detached;

impl<E: Debug + 'static> Sink<E> for Detached {
    fn failed(&self, _: &TaskCore) {}

    fn error(&self, task: &TaskCore, error: E, after_cancel: bool) {
        report_error(task, &error, Some(&error), after_cancel);
        drop_quietly(error, "a task's error");
    }

    fn panic(&self, task: &TaskCore, payload: Payload) {
        report_panic(task, payload);
    }
}

/// The sink of a main task, whose error may be of a type that borrows.
pub(crate) struct Main;

impl<E: Debug> Sink<E> for Main {
    fn failed(&self, _: &TaskCore) {}

    fn error(&self, task: &TaskCore, error: E, after_cancel: bool) {
        report_error(task, &error, None, after_cancel);
        drop_quietly(error, "a task's error");
    }

    fn panic(&self, task: &TaskCore, payload: Payload) {
        report_panic(task, payload);
    }
}

fn report_error(task: &TaskCore, error: &impl Debug, value: Option<&dyn Any>, after_cancel: bool) {
    let (name, id, at, text) = (task.name(), task.id(), task.spawned_at(), debug_text(error));
    if after_cancel {
        log::debug!(target: "corio::task", "task {name:?} ({id}, spawned at {at}) ended cancelled: {text}");
        return;
    }
    crate::observe::unseen(task);
    report(&Failure { whose: Whose::Task { id, name: &name }, at, text: &text, value: Value::Error(value) });
}

fn report_panic(task: &TaskCore, payload: Payload) {
    crate::observe::unseen(task);
    let (name, text) = (task.name(), panic_text(&*payload));
    let whose = Whose::Task { id: task.id(), name: &name };
    report(&Failure { whose, at: task.spawned_at(), text, value: Value::Panic(&*payload) });
    drop_quietly(payload, "the payload of a panic");
}

/// Tells the loop's exception handler; a handle may also be dropped when its loop is gone.
pub(crate) fn report(failure: &Failure<'_>) {
    EventLoop::with_current(|lp| match lp {
        Some(lp) => lp.report(failure),
        None => failure.log(),
    });
}

/// What an error says of itself, which is the user's code.
pub(crate) fn debug_text(error: &impl Debug) -> String {
    catch_unwind(AssertUnwindSafe(|| format!("{error:?}"))).unwrap_or_else(|payload| {
        drop_quietly(payload, "the payload of a panic");
        "(an error that panicked when it was printed)".to_owned()
    })
}

/// The text of a panic, as the default hook would print it.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "(a payload that is no text)"
    }
}

/// Drops what belongs to the user; a panic of its destructor is logged and goes no further.
pub(crate) fn drop_quietly<T>(value: T, what: &str) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        log::error!(target: "corio::task", "{what} panicked in its destructor: {}", panic_text(&*payload));
        // Its destructor may panic as well, and so may that one's payload: it is leaked instead.
        std::mem::forget(payload);
    }
}

/// A function and, later, its result.
///
/// It is emptied by hand only: by `run`, by the handle, or by the loop. If a handle was forgotten, its result is leaked
/// with it. That matters for a task of a scope: a [`Task`](crate::Task) may keep the cell for longer than what
/// the result borrows (R2).
pub(crate) struct Function<F, T, E, S> {
    pub(super) stage: Cell<Stage<F, T, E>>,
    sink: S,
}

pub(super) enum Stage<F, T, E> {
    Waiting(F),
    Done(Finished<T, E>),
    Empty,
}

impl<F, T, E, S> Function<F, T, E, S> {
    #[inline]
    pub(crate) fn new(f: F, sink: S) -> Self {
        Function { stage: Cell::new(Stage::Waiting(f)), sink }
    }
}

impl<F, T, E: From<io::Error>, S: Sink<E>> Function<F, T, E, S> {
    /// Keeps the result for its handle, or lets the sink have it.
    pub(super) fn end(&self, task: &TaskCore, finished: Finished<T, E>) {
        if matches!(task.end(), End::Failed | End::Panicked) {
            self.sink.failed(task);
        }
        if task.has_handle() {
            self.keep(finished);
        } else {
            self.dispose(task, finished);
        }
    }

    pub(super) fn keep(&self, finished: Finished<T, E>) {
        // It is empty, so there is nothing to drop.
        std::mem::forget(self.stage.replace(Stage::Done(finished)));
    }

    fn dispose(&self, task: &TaskCore, finished: Finished<T, E>) {
        match finished {
            Finished::Returned(Ok(value)) => drop_quietly(value, "a task's result"),
            Finished::Returned(Err(error)) => self.sink.error(task, error, task.ended_cancelled()),
            Finished::Panicked(payload) => self.sink.panic(task, payload),
        }
    }

    /// Disposes of a result that nobody will take.
    pub(super) fn discard(&self, task: &TaskCore) {
        if let Stage::Done(finished) = self.stage.replace(Stage::Empty) {
            self.dispose(task, finished);
        }
    }

    /// Moves the result out.
    ///
    /// # Safety
    ///
    /// As [`Body::take`].
    pub(super) unsafe fn take_into(&self, into: *mut ()) {
        if let Stage::Done(finished) = self.stage.replace(Stage::Empty) {
            // SAFETY: the caller passes an `Option` of exactly this type, which is `None`.
            unsafe { into.cast::<Option<Finished<T, E>>>().write(Some(finished)) };
        }
    }
}

impl<F, R, E, S> Body for Function<F, R::Value, E, S>
where
    F: FnOnce() -> R,
    R: IntoResult<E>,
    E: From<io::Error>,
    S: Sink<E>,
{
    fn run(&self, task: &TaskCore) {
        let Stage::Waiting(f) = self.stage.replace(Stage::Empty) else { unreachable!("a task's function runs once") };
        let cancelled_end = |cancelled: bool| if cancelled { End::Cancelled } else { End::Failed };
        let (end, finished) = match catch_unwind(AssertUnwindSafe(move || task_root(f))) {
            Ok(Ok(value)) => (End::Returned, Finished::Returned(Ok(value))),
            Ok(Err(error)) => (cancelled_end(task.is_cancelled()), Finished::Returned(Err(error))),
            Err(payload) if payload.is::<Shutdown>() => (End::Cancelled, Finished::cancelled()),
            Err(payload) => (End::Panicked, Finished::Panicked(payload)),
        };
        task.set_end(end);
        if end == End::Returned && (task.has_handle() || !std::mem::needs_drop::<R::Value>()) {
            return self.keep(finished);
        }
        // Not even a logger that panics may unwind the root of a stack.
        if catch_unwind(AssertUnwindSafe(|| self.end(task, finished))).is_err() {
            crate::fatal(format_args!("the log's own code panicked while task {} ended", task.id()));
        }
    }

    fn refuse(&self, task: &TaskCore) {
        task.set_end(End::Cancelled);
        if let Stage::Waiting(f) = self.stage.replace(Stage::Empty) {
            drop_quietly(f, "a task's function, which was cancelled before its first turn,");
        }
        if task.has_handle() {
            self.keep(Finished::cancelled());
        }
    }

    fn discard(&self, task: &TaskCore) {
        Function::discard(self, task);
    }

    unsafe fn take(&self, into: *mut ()) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.take_into(into) }
    }
}

/// The frame below which everything is the user's: where a stack dump stops.
#[inline(never)]
fn task_root<F: FnOnce() -> R, R: IntoResult<E>, E>(f: F) -> Result<R::Value, E> {
    let result = f().into_result();
    // Keeps this frame: without it the call above would be a tail call.
    std::hint::black_box(());
    result
}
