//! Failures that no caller is there to take, and the function that is told of them.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use crate::observe::event::Place;

/// Something failed and nobody was there to take it: what an exception handler is told.
///
/// Its `Display` form is the line that the default handler logs. See
/// [`Runner::exception_handler`](crate::Runner::exception_handler). asyncio: the `context` of `call_exception_handler`.
///
/// ```
/// use corio::{Failure, Runner, call_soon, secs, sleep, spawn};
/// use std::{cell::RefCell, io, rc::Rc};
///
/// let told = Rc::new(RefCell::new(Vec::new()));
/// let notes = told.clone();
/// let handler = move |failure: &Failure<'_>| {
///     if failure.error::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound) {
///         return; // of no interest
///     }
///     failure.log(); // as if there were no handler
///     let who = failure.task_name().unwrap_or("a callback").to_owned();
///     assert_eq!(failure.place().file(), file!());
///     notes.borrow_mut().push((who, failure.task_id(), failure.text().to_owned(), failure.panic().is_some()));
/// };
/// Runner::new().virtual_clock().exception_handler(handler).run(|| {
///     spawn(|| Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)));
///     spawn(|| -> io::Result<()> { panic!("a bug") }).set_name("clerk");
///     call_soon(|| panic!("another"));
///     sleep(secs(1))
/// })?;
/// told.borrow_mut().sort();
/// assert_eq!(*told.borrow(), [
///     ("a callback".to_owned(), None, "another".to_owned(), true),
///     ("clerk".to_owned(), Some(3), "a bug".to_owned(), true),
/// ]);
/// # io::Result::Ok(())
/// ```
pub struct Failure<'a> {
    pub(crate) whose: Whose<'a>,
    /// Where the task was spawned, the callback scheduled, or the scope opened.
    pub(crate) at: Place,
    /// What the error or the panic says.
    pub(crate) text: &'a str,
    pub(crate) value: Value<'a>,
}

/// What failed.
#[derive(Clone, Copy)]
pub(crate) enum Whose<'a> {
    Callback,
    /// A task of a scope, which passes on another one's panic.
    Scope,
    Task {
        id: u64,
        name: &'a str,
    },
}

/// What it failed with.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    /// An error, if it is of a type that can be told at run time.
    Error(Option<&'a dyn Any>),
    Panic(&'a (dyn Any + Send)),
}

impl<'a> Failure<'a> {
    /// The id of the task that failed; `None`: it was a callback, or one of several tasks of a scope that panicked.
    pub fn task_id(&self) -> Option<u64> {
        match self.whose {
            Whose::Task { id, .. } => Some(id),
            Whose::Callback | Whose::Scope => None,
        }
    }

    /// The name of the task that failed.
    pub fn task_name(&self) -> Option<&'a str> {
        match self.whose {
            Whose::Task { name, .. } => Some(name),
            Whose::Callback | Whose::Scope => None,
        }
    }

    /// Where the task was spawned, the callback scheduled, or the scope opened.
    pub fn place(&self) -> Place {
        self.at
    }

    /// What it failed with, as a text: the `Debug` form of an error, the message of a panic.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The error, if it was one and is of this type.
    pub fn error<E: 'static>(&self) -> Option<&'a E> {
        match self.value {
            Value::Error(error) => error?.downcast_ref(),
            Value::Panic(_) => None,
        }
    }

    /// The payload, if it was a panic.
    pub fn panic(&self) -> Option<&'a (dyn Any + Send)> {
        match self.value {
            Value::Error(_) => None,
            Value::Panic(payload) => Some(payload),
        }
    }

    /// What happens without a handler: one line at level error, for the crate `log`. For handlers that want only a part
    /// of the failures. asyncio: `default_exception_handler`.
    pub fn log(&self) {
        match self.whose {
            Whose::Task { .. } => log::error!(target: "corio::task", "{self}"),
            Whose::Scope => log::error!(target: "corio::scope", "{self}"),
            Whose::Callback => log::error!(target: "corio::loop", "{self}"),
        }
    }
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { at, text, .. } = *self;
        match (self.whose, self.value) {
            (Whose::Callback, _) => write!(f, "the callback scheduled at {at} panicked: {text}"),
            (Whose::Scope, _) => write!(f, "another task of the scope at {at} panicked too: {text}"),
            (Whose::Task { id, name }, Value::Error(_)) => {
                write!(f, "task {name:?} ({id}, spawned at {at}) failed and nobody joined it: {text}")
            }
            (Whose::Task { id, name }, Value::Panic(_)) => {
                write!(f, "task {name:?} ({id}, spawned at {at}) panicked and nobody joined it: {text}")
            }
        }
    }
}

impl fmt::Debug for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("task_id", &self.task_id())
            .field("task_name", &self.task_name())
            .field("place", &self.at)
            .field("text", &self.text)
            .field("is_panic", &self.panic().is_some())
            .finish()
    }
}

/// A function that is told of failures; see [`set_exception_handler`](crate::set_exception_handler).
pub type ExceptionHandler = Rc<dyn Fn(&Failure<'_>)>;

/// The handler of a loop, if it has one.
#[derive(Default)]
pub(crate) struct HandlerSlot(RefCell<Option<ExceptionHandler>>);

impl HandlerSlot {
    /// A reference of one's own: the handler may set another while it runs.
    pub(crate) fn get(&self) -> Option<ExceptionHandler> {
        self.0.borrow().clone()
    }

    pub(crate) fn set(&self, handler: Option<ExceptionHandler>) -> Option<ExceptionHandler> {
        self.0.replace(handler)
    }
}
