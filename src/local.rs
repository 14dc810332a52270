//! Values that belong to a task, and that its children inherit.
//!
//! All tasks of a loop share the thread's thread-locals, so those cannot say whose request a function works for. A
//! [`TaskLocal`] can: each task has values of its own. A task that is spawned begins with those of its spawner, as they
//! are at that moment; what either sets later the other does not see. A callback sees those of whoever scheduled it.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::AtomicU8;

use crate::error::misuse;
use crate::event_loop::EventLoop;
use crate::snapshot::{Key, Snapshot};
use crate::task::body::drop_quietly;

/// A variable with a value for each task; declared as a `static`.
///
/// A new task inherits the values of the task, or callback, that spawns it, at the cost of one counted reference for all
/// of them, or nothing if there are none. It changes its own copy only. Callbacks ([`call_soon`](crate::call_soon) and
/// its like, [`Task::on_done`](crate::Task::on_done)) run with the values that were there when they were scheduled; what
/// they set ends with them. The main task's values are kept by its [`Runner`](crate::Runner) for the next run.
///
/// The values stay on their thread, so they need not be `Send`, and a helper thread sees none of them. On a thread
/// without a loop the variable belongs to the thread, and a first run begins with a copy of the thread's values.
///
/// When a task ends, the loop drops its values, those that were set first last, after the task's function and its captures
/// are gone and before its scope may end. Their destructors run outside any task: they find no values, and cannot wait.
///
/// asyncio: `contextvars.ContextVar`; std: `thread_local!`.
///
/// ```
/// use corio::{TaskLocal, run, spawn};
///
/// static USER: TaskLocal<String> = TaskLocal::new();
///
/// fn greeting() -> String {
///     USER.with(|user| format!("Hello, {}!", user.map_or("stranger", String::as_str)))
/// }
///
/// run(|| {
///     USER.set("Ada".to_owned());
///     let child = spawn(|| {
///         let inherited = greeting();
///         USER.set("Grace".to_owned()); // its own from now on
///         Ok((inherited, greeting()))
///     });
///     assert_eq!(child.join()?, ("Hello, Ada!".to_owned(), "Hello, Grace!".to_owned()));
///     assert_eq!(greeting(), "Hello, Ada!");
///     USER.with_value("Barbara".to_owned(), || assert_eq!(greeting(), "Hello, Barbara!"));
///     assert_eq!(greeting(), "Hello, Ada!");
///     Ok(())
/// })
/// # .unwrap()
/// ```
///
/// A `const` is not enough: it has no address of its own.
///
/// ```compile_fail
/// const USER: corio::TaskLocal<u8> = corio::TaskLocal::new();
/// let user = USER.get();
/// ```
#[doc(alias = "ContextVar")]
pub struct TaskLocal<T: 'static> {
    /// Makes the static as long as a byte, so that its address is its own, and keeps the compiler from making statics of
    /// constants that are borrowed, which might share one.
    _own_address: AtomicU8,
    value: PhantomData<fn() -> T>,
}

impl<T: 'static> TaskLocal<T> {
    /// A variable without a value.
    pub const fn new() -> TaskLocal<T> {
        TaskLocal { _own_address: AtomicU8::new(0), value: PhantomData }
    }

    fn key(&'static self) -> Key {
        std::ptr::from_ref(self).addr()
    }

    fn value(&'static self) -> Option<Rc<T>> {
        read(|values| values.get(self.key()))?.downcast().ok()
    }

    /// The value, for the task or callback that runs; `None`: none was set, or inherited. A default is up to
    /// the caller: `VAR.get().unwrap_or(..)`. asyncio: `var.get(None)`.
    pub fn get(&'static self) -> Option<T>
    where
        T: Clone,
    {
        self.value().map(|value| (*value).clone())
    }

    /// Hands the value to `f` without cloning it. `f` may do anything, also suspend, and set the variable: the value that
    /// it was handed stays what it was.
    pub fn with<R>(&'static self, f: impl FnOnce(Option<&T>) -> R) -> R {
        f(self.value().as_deref())
    }

    /// Sets the value, from now on, for the task or callback that runs, and for what it spawns and schedules. The token
    /// may be used to [`reset`](Self::reset) it; dropping the token does nothing. asyncio: `var.set`.
    pub fn set(&'static self, value: T) -> LocalToken<T> {
        let before = update(|values| values.replace(self.key(), Some(Rc::new(value))));
        LocalToken { of: self, before, at: Where::now(), not_send: PhantomData }
    }

    /// Takes back the `set` that gave the token: the value that was there before is there again, or none. asyncio:
    /// `var.reset`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a token of another variable, task or callback: nothing is changed.
    ///
    /// ```
    /// use corio::{TaskLocal, run, spawn};
    ///
    /// static DEPTH: TaskLocal<u32> = TaskLocal::new();
    ///
    /// run(|| {
    ///     assert_eq!(DEPTH.get(), None);
    ///     DEPTH.set(1);
    ///     let token = DEPTH.set(2);
    ///     assert_eq!((DEPTH.get(), token.before()), (Some(2), Some(&1)));
    ///     DEPTH.reset(token)?;
    ///     assert_eq!(DEPTH.get(), Some(1));
    ///
    ///     let foreign = spawn(|| Ok(DEPTH.set(9))).join()?; // a token of another task
    ///     assert!(DEPTH.reset(foreign).is_err());
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    pub fn reset(&'static self, token: LocalToken<T>) -> io::Result<()> {
        if !std::ptr::eq(self, token.of) {
            return Err(misuse("a token of another task-local"));
        }
        if token.at != Where::now() {
            return Err(misuse("a token of another task, or of a callback that is over"));
        }
        drop(self.put_back(token));
        Ok(())
    }

    /// Takes the `set` back, and gives the value that is no longer there.
    fn put_back(&'static self, token: LocalToken<T>) -> Option<Rc<dyn Any>> {
        update(|values| values.replace(self.key(), token.before))
    }

    /// Sets the value for the time of `f`; then what was there before is there again, also after a panic. Tasks that `f`
    /// spawns keep what they have inherited.
    ///
    /// In the body of a [`Coroutine`](crate::Coroutine), a `yield_` inside `f` lets whoever resumes it see the value: the
    /// variable belongs to the task, and not to the coroutine.
    pub fn with_value<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        struct Restore<T: 'static>(Option<LocalToken<T>>);
        impl<T> Drop for Restore<T> {
            fn drop(&mut self) {
                if let Some(token) = self.0.take() {
                    // A coroutine may have been closed by another task than the one that began it: then there is nothing
                    // to put back. The value's destructor must not meet a panic that is under way.
                    let gone = if token.at == Where::now() { token.of.put_back(token) } else { token.before };
                    drop_quietly(gone, "a task-local");
                }
            }
        }
        let _restore = Restore(Some(self.set(value)));
        f()
    }
}

impl<T: 'static> Default for TaskLocal<T> {
    fn default() -> Self {
        TaskLocal::new()
    }
}

impl<T: fmt::Debug + 'static> fmt::Debug for TaskLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocal").finish_non_exhaustive()
    }
}

/// What [`TaskLocal::set`] found; for [`TaskLocal::reset`]. asyncio: `contextvars.Token`.
///
/// ```
/// use corio::{LocalToken, TaskLocal};
///
/// static LANGUAGE: TaskLocal<&str> = TaskLocal::new();
///
/// fn speak_french() -> LocalToken<&'static str> {
///     LANGUAGE.set("fr")
/// }
/// let token = speak_french(); // on a thread without a loop, the thread's own
/// assert_eq!((LANGUAGE.get(), token.before()), (Some("fr"), None));
/// LANGUAGE.reset(token).unwrap();
/// assert_eq!(LANGUAGE.get(), None);
/// ```
pub struct LocalToken<T: 'static> {
    of: &'static TaskLocal<T>,
    before: Option<Rc<dyn Any>>,
    at: Where,
    /// It belongs to its loop's thread.
    not_send: PhantomData<*const ()>,
}

impl<T: 'static> LocalToken<T> {
    /// The value before the `set`. asyncio: `old_value`.
    pub fn before(&self) -> Option<&T> {
        self.before.as_deref()?.downcast_ref()
    }
}

impl<T: fmt::Debug + 'static> fmt::Debug for LocalToken<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalToken").field("before", &self.before()).finish_non_exhaustive()
    }
}

/// Whose values they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Thread,
    Task { on: u32, id: u64 },
    Callback { on: u32, nth: u64 },
}

impl Where {
    fn now() -> Where {
        EventLoop::with_current(|lp| {
            let Some(lp) = lp else { return Where::Thread };
            let on = lp.remote.id;
            match lp.running() {
                Some(task) => Where::Task { on, id: task.core.id() },
                None => Where::Callback { on, nth: lp.locals.callbacks() },
            }
        })
    }
}

/// The values of a thread that runs no loop.
struct OfThread(Cell<Snapshot>);

impl Drop for OfThread {
    fn drop(&mut self) {
        for value in self.0.take().into_values() {
            drop_quietly(value, "a task-local of a thread");
        }
    }
}

thread_local! {
    static OF_THREAD: OfThread = const { OfThread(Cell::new(Snapshot::new())) };
}

/// The values of the thread itself.
pub(crate) fn of_thread() -> Snapshot {
    let copy = |values: &OfThread| {
        let snapshot = values.0.take();
        values.0.set(snapshot.clone());
        snapshot
    };
    // While a thread ends there are none.
    OF_THREAD.try_with(copy).unwrap_or_default()
}

/// Looks at the values of whoever runs.
fn read<R>(f: impl FnOnce(&Snapshot) -> R) -> R {
    f(&EventLoop::with_current(|lp| lp.map_or_else(of_thread, EventLoop::locals)))
}

/// Changes the values of whoever runs; `f` runs no user code.
fn update<R>(f: impl FnOnce(&mut Snapshot) -> R) -> R {
    EventLoop::with_current(|lp| match lp {
        Some(lp) => lp.update_locals(f),
        None => {
            let mut values = OF_THREAD.try_with(|values| values.0.take()).unwrap_or_default();
            let result = f(&mut values);
            // A thread that ends keeps none.
            let _ = OF_THREAD.try_with(|place| place.0.set(values));
            result
        }
    })
}
