//! The strict level of debug mode: is a pause about to happen inside code that relies on calls being nested?
//!
//! Such code is std's or another crate's, and says nothing to us. But it stands on the stack, so its functions can be
//! recognised by name. A look costs some hundred microseconds, so it is taken only where somebody asked for it.

use std::backtrace::Backtrace;

/// What must not be paused in: where such functions are, the name of the one if the others there are harmless, and what is
/// told of it.
///
/// A frame is known by the path of its function or by its file: how much debug information there is decides which of the two
/// is complete.
const NESTED: [(&[&str], Option<&str>, &str); 3] = [
    (
        &["std::sys::thread_local::", "/std/src/sys/thread_local/"],
        None,
        "the lazy initialiser of a thread-local: another task would run it as well",
    ),
    (
        &["scoped_tls::ScopedKey<", "/scoped-tls-"],
        Some("set"),
        "`scoped_tls`'s `set`: what it sets would be seen, and undone, by other tasks",
    ),
    (
        &["std::sync::once::Once", "/std/src/sync/once.rs"],
        None,
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
    /// Whether that frame is the root of the stack.
    fn ends_at(self, frame: &Frame<'_>) -> bool {
        match self {
            Leaving::Task => frame.is_function("task_root"),
            Leaving::Coroutine => {
                frame.name.contains("corio::switch::Fiber<")
                    || frame.file.contains("/src/switch.rs") && frame.name.starts_with("{closure")
            }
        }
    }
}

struct Frame<'a> {
    name: &'a str,
    file: &'a str,
}

impl Frame<'_> {
    /// Whether it is one of that name, with its path or without, and with what it is generic over or without.
    fn is_function(&self, function: &str) -> bool {
        let first = |before: &str| before.is_empty() || before.ends_with("::");
        let last = |rest: &str| rest.is_empty() || rest.starts_with('<') || rest.starts_with("::<");
        let mut found = self.name.match_indices(function);
        found.any(|(at, _)| first(&self.name[..at]) && last(&self.name[at + function.len()..]))
    }
}

/// What the caller stands in that relies on not being paused. Needs the names of functions: in a stripped program
/// nothing is found.
#[cold]
pub(crate) fn stands_in(leaving: Leaving) -> Option<&'static str> {
    let stack = Backtrace::force_capture().to_string();
    let mut lines = stack.lines().map(str::trim_start).peekable();
    let frames = std::iter::from_fn(|| {
        let (_, name) = lines.find_map(|line| line.split_once(": "))?;
        let file = lines.next_if(|line| line.starts_with("at ")).unwrap_or("");
        Some(Frame { name, file })
    });
    frames.take_while(|frame| !leaving.ends_at(frame)).find_map(|frame| {
        let is_in = |place: &&str| frame.name.contains(*place) || frame.file.contains(*place);
        let is_it = |function: &Option<&str>| function.is_none_or(|function| frame.is_function(function));
        let (.., what) = NESTED.iter().find(|(places, function, _)| places.iter().any(is_in) && is_it(function))?;
        Some(*what)
    })
}
