//! The calls in which paused tasks stand, for readers.

use std::path::{Path, PathBuf};

use super::dump::dump;
use crate::event_loop::EventLoop;
use crate::task::TaskRef;
use crate::task::report::{NoStack, frames};

/// [`dump`], and below it the calls in which each paused task stands: which function waits, which one called it, and so on up to
/// the task's own. With the feature `backtrace`.
///
/// A task that is asked does not notice: not a line of it runs, and no record is made. What cannot be shown is said: a task that
/// runs, or has not begun, or is a future, or stands so deep that a look at its stack would need more room than there is.
/// Names and lines are those that the compiler left in the program: few without debug information. To look them up takes
/// milliseconds the first time.
///
/// ```
/// use corio::{Builder, Runner, observe, secs, sleep, yield_now};
///
/// # #[cfg(feature = "backtrace")] {
/// #[inline(never)]
/// fn wait_for_the_guest() -> std::io::Result<()> {
///     sleep(secs(5))
/// }
///
/// let stacks = Runner::new().virtual_clock().run(|| {
///     let _host = Builder::new().name("host").spawn(|| wait_for_the_guest())?;
///     yield_now()?;
///     Ok(observe::dump_stacks())
/// })?;
/// assert!(stacks.contains("host (2) stands in\n") && stacks.contains("wait_for_the_guest"));
/// # }
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn dump_stacks() -> String {
    let mut text = dump();
    EventLoop::with_current(|lp| {
        for task in lp.map(EventLoop::all_tasks).unwrap_or_default() {
            text += &format!("\n{}", one(&task));
        }
    });
    text
}

/// Where one task of this thread's loop stands.
pub(super) fn stack_of(id: u64) -> String {
    let all = EventLoop::with_current(|lp| lp.map(EventLoop::all_tasks)).unwrap_or_default();
    let task = all.iter().find(|task| task.core.id() == id);
    task.map_or("  it has ended".to_owned(), |task| one(task).trim_end().to_owned())
}

fn one(task: &TaskRef) -> String {
    let name = format!("{} ({})", task.core.name(), task.core.id());
    match calls(task) {
        Ok(calls) => {
            format!("{name} stands in\n{}", calls.iter().map(|call| format!("    {call}\n")).collect::<String>())
        }
        Err(why) => format!("{name} {}\n", why_not(why)),
    }
}

fn why_not(why: NoStack) -> &'static str {
    match why {
        NoStack::New => "has not begun",
        NoStack::Running => "runs",
        NoStack::Done => "has ended",
        NoStack::Future => "is a future, which has no stack between two polls",
        NoStack::NoRoom => "stands too deep in its stack to be asked",
    }
}

/// A call on a stack.
struct Call {
    name: String,
    file: Option<PathBuf>,
    line: u32,
}

/// The program's own calls, innermost first. What stands below and above them is the library.
fn calls(task: &TaskRef) -> Result<Vec<String>, NoStack> {
    let mut calls = Vec::new();
    for frame in frames(task)? {
        let before = calls.len();
        let address = || format!("{:?}", frame.ip());
        backtrace::resolve_frame(&frame, |symbol| {
            calls.push(Call {
                name: symbol.name().map_or_else(address, |name| format!("{name:#}")),
                file: symbol.filename().map(Path::to_owned),
                line: symbol.lineno().unwrap_or(0),
            });
        });
        if calls.len() == before {
            calls.push(Call { name: address(), file: None, line: 0 });
        }
    }
    let first = calls.iter().position(|call| !call.is_of_the_wait()).unwrap_or(0);
    let root = calls.iter().position(|call| call.name.starts_with("corio::task::body::task_root"));
    let calls = &calls[first..root.unwrap_or(calls.len()).max(first)];
    let width = calls.iter().map(|call| call.name.chars().count()).max().unwrap_or(0);
    Ok(calls.iter().map(|call| format!("{:width$}  {}", call.name, call.place()).trim_end().to_owned()).collect())
}

impl Call {
    /// Whether it belongs to the wait itself: the walk, and the library down to the call that the program made.
    fn is_of_the_wait(&self) -> bool {
        const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
        const OTHERS: [&str; 4] = ["/library/std/", "/library/core/", "/backtrace-0.", "/corosensei-0."];
        // What was inlined has a name without its crate, if there is no more debug information than that of lines.
        let file = self.file.as_deref().map(Path::to_string_lossy).unwrap_or_default();
        // `<corio::Mutex<T> as Trait>::method` begins with a bracket.
        let of = self.name.trim_start_matches(['<', '&']).split("::").next().unwrap_or(&self.name);
        file.starts_with(SOURCES)
            || OTHERS.iter().any(|other| file.contains(other))
            || matches!(of, "corio" | "corosensei" | "backtrace" | "core" | "std")
    }

    fn place(&self) -> String {
        let name = self.file.as_deref().and_then(Path::file_name);
        name.map_or(String::new(), |name| format!("{}:{}", name.to_string_lossy(), self.line))
    }
}
