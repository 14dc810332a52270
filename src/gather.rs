//! Several functions at once: all of them, or the first.
//!
//! Each function becomes a task in a [`scope`](crate::scope()) of its own, and may borrow. The tasks put their results
//! down where the caller finds them, so the caller is resumed once, when the last of them has ended. Chapter:
//! `docs/book/waiting-for-several.md`.

use std::cell::{Cell, RefCell};
use std::io;

use crate::error;
use crate::observe::event::Place;
use crate::scope::{self, Scope};
use crate::task::{IntoResult, caller};

/// Calls `f` with each item, all at once, and returns the values in the order of the items.
///
/// Each call is a task of its own and may borrow. The first that fails (or panics) cancels the others, and is returned
/// when they have ended. To get errors as values, use [`gather_all`]; for different functions there is the macro
/// [`gather!`](crate::gather!), and for tasks that run already [`join_all`](crate::join_all).
///
/// asyncio: `gather(*[f(x) for x in items])`, which lets the others run on after a failure: they do not borrow.
///
/// # Errors
///
/// The first failure; if several fail, an error of its kind that lists them all ([`errors`](crate::errors)). A
/// cancellation, if the caller was cancelled and not all had succeeded. [`InvalidInput`](io::ErrorKind::InvalidInput)
/// outside a task.
///
/// # Panics
///
/// If a call panics, when the others have ended; and if no stack can be had.
///
/// # Suspends
///
/// Until the last call has ended.
///
/// ```
/// use corio::{gather, millis, run, sleep};
///
/// fn greet(name: &str) -> std::io::Result<String> {
///     sleep(millis(5))?;
///     Ok(format!("Hello, {name}!"))
/// }
///
/// run(|| {
///     assert_eq!(gather(["Ada", "Grace"], greet)?, ["Hello, Ada!", "Hello, Grace!"]);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn gather<I, F, R>(items: I, f: F) -> io::Result<Vec<R::Value>>
where
    I: IntoIterator,
    F: Fn(I::Item) -> R,
    R: IntoResult,
{
    each(items, f, is_echo, error::group, caller())
}

/// Calls `f` with each item, all at once, and returns values and errors in the order of the items. A failure cancels
/// nobody.
///
/// asyncio: `gather(.., return_exceptions=True)`.
///
/// # Errors
///
/// A cancellation, if the caller was cancelled and a call failed. [`InvalidInput`](io::ErrorKind::InvalidInput) outside a
/// task.
///
/// # Panics
///
/// As [`gather`].
///
/// # Suspends
///
/// Until the last call has ended.
///
/// ```
/// use corio::{gather_all, run};
///
/// run(|| {
///     let numbers = gather_all(["1", "two"], |text| text.parse::<i32>().map_err(std::io::Error::other))?;
///     assert!(numbers[0].is_ok() && numbers[1].is_err());
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn gather_all<I, F, R>(items: I, f: F) -> io::Result<Vec<io::Result<R::Value>>>
where
    I: IntoIterator,
    F: Fn(I::Item) -> R,
    R: IntoResult,
{
    each_all(items, f, is_echo, error::group, caller())
}

/// Calls `f` with each item, all at once, and returns the first value. The other calls are cancelled and waited for.
///
/// A call that fails is out of the race. If two succeed in the same turn, the one that ended first wins, and the value
/// of the other is dropped: to wait for things of which none may be lost, use [`select`](crate::select()).
///
/// # Errors
///
/// If all calls fail, an error of the first failure's kind that lists them all. A cancellation, if the caller was
/// cancelled before any succeeded. [`InvalidInput`](io::ErrorKind::InvalidInput) without items, and outside a task.
///
/// # Panics
///
/// As [`gather`].
///
/// # Suspends
///
/// Until the last call has ended.
///
/// ```
/// use corio::{Runner, race, secs, sleep};
///
/// Runner::new().virtual_clock().run(|| {
///     let fastest = race([3, 1, 2], |n| {
///         sleep(secs(n))?;
///         Ok(n)
///     })?;
///     assert_eq!(fastest, 1);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn race<I, F, R>(items: I, f: F) -> io::Result<R::Value>
where
    I: IntoIterator,
    F: Fn(I::Item) -> R,
    R: IntoResult,
{
    first_of(items, f, is_echo, error::group, caller())
}

fn is_echo(error: &io::Error) -> bool {
    error::is_cancelled(error)
}

/// How a scope makes one error of several, and which errors it takes for echoes of a cancellation.
type Echo<E> = fn(&E) -> bool;
type Merge<E> = fn(Vec<E>) -> Option<E>;

/// [`gather`] for any error.
pub(crate) fn each<I, F, R, E>(items: I, f: F, echo: Echo<E>, merge: Merge<E>, at: Place) -> Result<Vec<R::Value>, E>
where
    I: IntoIterator,
    F: Fn(I::Item) -> R,
    R: IntoResult<E>,
    E: From<io::Error>,
{
    let values = calls(items, f, echo, merge, at)?;
    values.into_iter().map(|value| value.ok_or_else(|| error::cancelled().into())).collect()
}

/// Makes the calls. Nobody has failed when this returns; a call without a value was cancelled by somebody who found it
/// among all tasks.
fn calls<I, F, R, E>(items: I, f: F, echo: Echo<E>, merge: Merge<E>, at: Place) -> Result<Vec<Option<R::Value>>, E>
where
    I: IntoIterator,
    F: Fn(I::Item) -> R,
    R: IntoResult<E>,
    E: From<io::Error>,
{
    let calls: Vec<_> = items.into_iter().map(Call::new).collect();
    scope::open(
        |s: &Scope<'_, '_, E>| {
            for call in &calls {
                let f = &f;
                drop(s.spawn_at(move || call.run(f), at));
            }
            Ok(())
        },
        echo,
        merge,
        at,
    )?;
    Ok(calls.into_iter().map(Call::value).collect())
}

/// The outcome of a call that may never have begun.
fn outcome<T, E: From<io::Error>>(outcome: Option<Result<T, E>>) -> Result<T, E> {
    outcome.unwrap_or_else(|| Err(error::cancelled().into()))
}

/// [`gather_all`] for any error.
pub(crate) fn each_all<I, F, R, E>(
    items: I,
    f: F,
    echo: Echo<E>,
    merge: Merge<E>,
    at: Place,
) -> Result<Vec<Result<R::Value, E>>, E>
where
    I: IntoIterator,
    F: Fn(I::Item) -> R,
    R: IntoResult<E>,
    E: From<io::Error>,
{
    let f = |item| Ok::<_, E>(f(item).into_result());
    let results: Vec<_> = calls(items, f, echo, merge, at)?.into_iter().map(outcome).collect();
    if results.iter().any(Result::is_err) && caller_is_cancelled() {
        return Err(error::cancelled().into());
    }
    Ok(results)
}

/// [`race`] for any error.
pub(crate) fn first_of<I, F, R, E>(items: I, f: F, echo: Echo<E>, merge: Merge<E>, at: Place) -> Result<R::Value, E>
where
    I: IntoIterator,
    F: Fn(I::Item) -> R,
    R: IntoResult<E>,
    E: From<io::Error>,
{
    let calls: Vec<_> = items.into_iter().map(Call::<I::Item, ()>::new).collect();
    if calls.is_empty() {
        return Err(error::misuse("a race of nobody: nothing can win").into());
    }
    let (winner, errors) = (Cell::new(None), RefCell::new(Vec::new()));
    scope::open(
        |s: &Scope<'_, '_, E>| {
            for call in &calls {
                let (f, winner, errors) = (&f, &winner, &errors);
                let run = move || {
                    match f(call.item()).into_result() {
                        Ok(_) if s.cancelled() => {}
                        Ok(value) => {
                            winner.set(Some(value));
                            s.cancel();
                        }
                        Err(error) => errors.borrow_mut().push(error),
                    }
                    Ok(())
                };
                drop(s.spawn_at(run, at));
            }
            Ok(())
        },
        echo,
        merge,
        at,
    )?;
    if let Some(value) = winner.into_inner() {
        return Ok(value);
    }
    if caller_is_cancelled() {
        return Err(error::cancelled().into());
    }
    // Without an error, all were cancelled before they began, by somebody who found them among all tasks.
    Err(merge(errors.into_inner()).unwrap_or_else(|| error::cancelled().into()))
}

fn caller_is_cancelled() -> bool {
    crate::cancel::cancel_cause().is_some()
}

/// An item that is to be worked on, and later the value that came of it.
struct Call<T, V> {
    item: Cell<Option<T>>,
    value: Cell<Option<V>>,
}

impl<T, V> Call<T, V> {
    fn new(item: T) -> Call<T, V> {
        Call { item: Cell::new(Some(item)), value: Cell::new(None) }
    }

    fn item(&self) -> T {
        self.item.take().expect("a call is made once")
    }

    fn run<R: IntoResult<E, Value = V>, E>(&self, f: &impl Fn(T) -> R) -> Result<(), E> {
        self.value.set(Some(f(self.item()).into_result()?));
        Ok(())
    }

    fn value(self) -> Option<V> {
        self.value.into_inner()
    }
}

/// A tuple of functions; see [`gather!`](crate::gather!). Sealed by being hidden.
#[doc(hidden)]
pub trait Functions<E> {
    type Maybe;
    type Values;
    type Results;

    fn calls(self, echo: Echo<E>, merge: Merge<E>, at: Place) -> Result<Self::Maybe, E>;
    fn gather(self, echo: Echo<E>, merge: Merge<E>, at: Place) -> Result<Self::Values, E>;
    fn gather_all(self, echo: Echo<E>, merge: Merge<E>, at: Place) -> Result<Self::Results, E>;
}

macro_rules! functions {
    ($($f:ident $r:ident $n:tt),+) => {
        impl<E: From<io::Error>, $($f, $r),+> Functions<E> for ($($f,)+)
        where
            $($f: FnOnce() -> $r, $r: IntoResult<E>),+
        {
            type Maybe = ($(Option<$r::Value>,)+);
            type Values = ($($r::Value,)+);
            type Results = ($(Result<$r::Value, E>,)+);

            fn calls(self, echo: Echo<E>, merge: Merge<E>, at: Place) -> Result<Self::Maybe, E> {
                let calls = ($(Call::<$f, $r::Value>::new(self.$n),)+);
                scope::open(
                    |s: &Scope<'_, '_, E>| {
                        $(drop(s.spawn_at(|| {
                            let f = calls.$n.item();
                            calls.$n.value.set(Some(f().into_result()?));
                            Ok(())
                        }, at));)+
                        Ok(())
                    },
                    echo,
                    merge,
                    at,
                )?;
                Ok(($(calls.$n.value(),)+))
            }

            fn gather(self, echo: Echo<E>, merge: Merge<E>, at: Place) -> Result<Self::Values, E> {
                let values = self.calls(echo, merge, at)?;
                Ok(($(values.$n.ok_or_else(|| error::cancelled())?,)+))
            }

            fn gather_all(self, echo: Echo<E>, merge: Merge<E>, at: Place) -> Result<Self::Results, E> {
                let results = ($(move || Ok::<_, E>((self.$n)().into_result()),)+).calls(echo, merge, at)?;
                let results = ($(outcome(results.$n),)+);
                if (false $(|| results.$n.is_err())+) && caller_is_cancelled() {
                    return Err(error::cancelled().into());
                }
                Ok(results)
            }
        }
    };
}

functions!(A RA 0);
functions!(A RA 0, B RB 1);
functions!(A RA 0, B RB 1, C RC 2);
functions!(A RA 0, B RB 1, C RC 2, D RD 3);
functions!(A RA 0, B RB 1, C RC 2, D RD 3, F RF 4);
functions!(A RA 0, B RB 1, C RC 2, D RD 3, F RF 4, G RG 5);
functions!(A RA 0, B RB 1, C RC 2, D RD 3, F RF 4, G RG 5, H RH 6);
functions!(A RA 0, B RB 1, C RC 2, D RD 3, F RF 4, G RG 5, H RH 6, I RI 7);

/// The functions behind the macros.
#[doc(hidden)]
pub mod of {
    use super::{Functions, Place, is_echo};
    use crate::error;
    use crate::task::caller;
    use std::io;

    #[track_caller]
    pub fn gather<F: Functions<io::Error>>(functions: F) -> io::Result<F::Values> {
        functions.gather(is_echo, error::group, caller())
    }

    #[track_caller]
    pub fn gather_all<F: Functions<io::Error>>(functions: F) -> io::Result<F::Results> {
        functions.gather_all(is_echo, error::group, caller())
    }

    /// A closure whose body is an argument of a macro: called at once, in its own task.
    #[track_caller]
    pub fn race<R>(functions: Vec<Box<dyn FnOnce() -> R + '_>>) -> io::Result<R::Value>
    where
        R: crate::IntoResult,
    {
        let at: Place = caller();
        super::first_of(functions, |function| function(), is_echo, error::group, at)
    }
}

/// Runs several expressions at once, each in a task of its own, and returns the tuple of their values.
///
/// `gather!(f(a), g(b))?` is `asyncio.gather(f(a), g(b))`. An argument may borrow, and may be of any type that a body may
/// return; a handle among them is joined. The first that fails cancels the others; see the function
/// [`gather`](crate::gather()) for that, for errors and panics. Up to eight arguments.
///
/// ```
/// use corio::{gather, millis, run, sleep};
///
/// fn length(text: &str) -> std::io::Result<usize> {
///     sleep(millis(5))?;
///     Ok(text.len())
/// }
///
/// run(|| {
///     let text = String::from("borrowed");
///     let (n, half) = gather!(length(&text), Ok(text.len() / 2))?;
///     assert_eq!((n, half), (8, 4));
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[macro_export]
macro_rules! gather {
    ($($function:expr),+ $(,)?) => { $crate::__of::gather(($(|| $function,)+)) };
}

/// Runs several expressions at once and returns the tuple of their results: a failure cancels nobody. asyncio:
/// `gather(.., return_exceptions=True)`. See [`gather_all`](crate::gather_all()).
///
/// ```
/// use corio::{gather_all, run, yield_now};
///
/// run(|| {
///     let (a, b) = gather_all!(yield_now(), Err::<(), _>(std::io::Error::other("no")))?;
///     assert!(a.is_ok() && b.is_err());
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[macro_export]
macro_rules! gather_all {
    ($($function:expr),+ $(,)?) => { $crate::__of::gather_all(($(|| $function,)+)) };
}

/// Runs several expressions of one type at once; the first value wins, the others are cancelled and waited for. See
/// [`race`](crate::race()).
///
/// ```
/// use corio::{Runner, race, secs, sleep};
///
/// fn answer(after: u64, text: &str) -> std::io::Result<&str> {
///     sleep(secs(after))?;
///     Ok(text)
/// }
///
/// Runner::new().virtual_clock().run(|| {
///     assert_eq!(race!(answer(2, "slow"), answer(1, "fast"))?, "fast");
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[macro_export]
macro_rules! race {
    ($($function:expr),+ $(,)?) => { $crate::__of::race(vec![$(Box::new(|| $function)),+]) };
}
