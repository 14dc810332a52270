//! The strict level of debug mode: is a pause about to happen inside code that relies on calls being nested?
//!
//! Such code is std's or another crate's, and says nothing to us. But it stands on the stack, so its functions can be
//! recognised by name. A look costs some hundred microseconds, so it is taken only where somebody asked for it.

use std::backtrace::Backtrace;

/// What must not be paused in: parts of a function's name, and what is told of it.
const NESTED: [(&str, &str, &str); 3] = [
    ("std::sys::thread_local::", "", "the lazy initialiser of a thread-local: another task would run it as well"),
    ("scoped_tls::ScopedKey<", "::set", "`scoped_tls`'s `set`: what it sets would be seen, and undone, by other tasks"),
    (
        "std::sync::once::Once",
        "::call",
        "the initialiser of a `OnceLock`, `LazyLock` or `Once`: others would block the thread",
    ),
];

/// A stack that is about to be left.
#[derive(Clone, Copy)]
pub(crate) enum Leaving {
    /// By a task: all of it is paused, with the coroutines that stand on it.
    Task,
    /// By the coroutine that stands on it.
    Coroutine,
}

impl Leaving {
    /// The function at its root.
    fn root(self) -> &'static str {
        match self {
            Leaving::Task => "corio::task::body::task_root",
            Leaving::Coroutine => "corio::switch::Fiber<",
        }
    }
}

/// What the caller stands in that relies on not being paused. Needs the names of functions: in a stripped program
/// nothing is found.
#[cold]
pub(crate) fn stands_in(leaving: Leaving) -> Option<&'static str> {
    let stack = Backtrace::force_capture().to_string();
    let names = stack.lines().filter_map(|line| line.trim_start().split_once(": ")).map(|(_, name)| name);
    names.take_while(|name| !name.contains(leaving.root())).find_map(|name| {
        let (.., what) = NESTED.iter().find(|(of, call, _)| name.contains(of) && name.contains(call))?;
        Some(*what)
    })
}
