//! The calls in which paused tasks stand, for readers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use backtrace::Frame;

use super::Names;
use super::dump::{Dump, dump, no_loop};
use crate::event_loop::EventLoop;
use crate::task::caller;
use crate::task::report::{NoStack, frames};

/// What looking names up may need of the stack of whoever asks. Measured, without optimisation: 44 KiB the first time.
const ROOM: usize = 64 * 1024;

/// [`dump`](super::dump()), and below it the calls in which each paused task stands: which function waits, which one called
/// it, and so on up to the task's own. Calls of std and of this library in between are left out. With the feature `backtrace`.
///
/// A task that is asked does not notice: not a line of it runs, and no record is made. What cannot be shown is said: a task
/// that runs, or has not begun, or is a future, or stands so deep that a look at its stack would need more room than there is.
/// Names and lines are those that the compiler left in the program: few without debug information. To look them up takes
/// milliseconds the first time, and then tens of microseconds for each task, in a debug build some hundred. The loop stands
/// still meanwhile: ten thousand tasks are a quarter of a second, or some seconds. (Asked from [outside](crate::live), names
/// are looked up on another thread.) It takes 64 KiB of the stack of whoever asks: a task with less is told that instead.
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
    let at = caller();
    if crate::stack::room_below(crate::sys::stack_pointer()).is_some_and(|room| room < ROOM) {
        return dump()
            + "\nno room on this stack to look up the names of calls: ask from a larger one, or from a callback\n";
    }
    EventLoop::with_current(|lp| lp.map_or_else(no_loop, |lp| Dump::with_stacks(lp).seen_from(lp, at).to_string()))
}

/// Where one task of this thread's loop stands.
pub(super) fn stack_of(id: u64) -> String {
    EventLoop::with_current(|lp| {
        let task = lp.and_then(|lp| lp.find(id));
        task.map_or("  it has ended".to_owned(), |task| {
            told(&super::words::shown(task.core.name()), id, &frames(&task)).trim_end().to_owned()
        })
    })
}

/// Where all tasks of a loop stand: addresses, whose names are looked up when they are shown, on whatever thread.
pub(super) struct Stacks(BTreeMap<u64, Result<Vec<Frame>, NoStack>>);

impl Stacks {
    /// Asks each task.
    pub(super) fn of(lp: &EventLoop) -> Option<Stacks> {
        Some(Stacks(lp.all_tasks().iter().map(|task| (task.core.id(), frames(task))).collect()))
    }

    /// The program's own calls of one of them, innermost first.
    pub(super) fn calls(&self, id: u64) -> Option<Vec<String>> {
        self.0.get(&id)?.as_ref().ok().map(|frames| calls(frames))
    }

    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, names: &Names) -> fmt::Result {
        self.0.iter().try_for_each(|(id, frames)| write!(f, "\n{}", told(&names.task(*id), *id, frames)))
    }
}

fn told(name: &str, id: u64, frames: &Result<Vec<Frame>, NoStack>) -> String {
    match frames {
        Ok(frames) => {
            let calls = calls(frames);
            format!("{name} ({id}) stands in\n{}", calls.iter().map(|call| format!("    {call}\n")).collect::<String>())
        }
        Err(why) => format!("{name} ({id}) {}\n", why_not(*why)),
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

/// The program's own calls, innermost first, without those of the library and of std below, between and above them.
fn calls(frames: &[Frame]) -> Vec<String> {
    let mut calls = Vec::new();
    for frame in frames {
        let before = calls.len();
        let address = || format!("{:?}", frame.ip());
        backtrace::resolve_frame(frame, |symbol| {
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
    if let Some(root) = calls.iter().position(|call| call.name.starts_with("corio::task::body::task_root")) {
        calls.truncate(root);
    }
    if !calls.iter().all(Call::is_of_a_library) {
        calls.retain(|call| !call.is_of_a_library());
    }
    let width = calls.iter().map(|call| call.name.chars().count()).max().unwrap_or(0);
    calls.iter().map(|call| format!("{:width$}  {}", call.name, call.place()).trim_end().to_owned()).collect()
}

impl Call {
    /// Whether it is this library's, or one of std or of what this library stands on.
    fn is_of_a_library(&self) -> bool {
        const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
        const OTHERS: [&str; 4] = ["/library/std/", "/library/core/", "/backtrace-0.", "/corosensei-0."];
        // What was inlined has a name without its crate, if there is no more debug information than that of lines.
        let file = self.file.as_deref().map(Path::to_string_lossy).unwrap_or_default();
        // `<corio::Mutex<T> as Trait>::method` begins with a bracket.
        let of = self.name.trim_start_matches(['<', '&']).split("::").next().unwrap_or(&self.name);
        file.starts_with(SOURCES)
            || OTHERS.iter().any(|other| file.contains(other))
            || matches!(of, "corio" | "corosensei" | "backtrace" | "core" | "std")
            // Where std catches panics. It is made by the compiler, and belongs to no crate and no file.
            || of.starts_with("__rust_try")
    }

    fn place(&self) -> String {
        let name = self.file.as_deref().and_then(Path::file_name);
        name.map_or(String::new(), |name| format!("{}:{}", name.to_string_lossy(), self.line))
    }
}
