//! The words of all views: one way to say each thing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Names;
use super::event::{By, Direction, End, Place, Purpose, Sent, Thing, Want, Why};
use super::state::{State, Timer};
use crate::timer::Nanos;

/// A place by its file's own name and its line: the same wherever the program was compiled. Names that every crate has
/// are given their directory, and those of Rust's own library their crate, as in `std/io/mod.rs:1058`.
///
/// ```
/// use corio::observe::place;
///
/// let here = std::panic::Location::caller();
/// assert!(place(here).ends_with(&format!(".rs:{}", here.line())) && !place(here).starts_with('/'));
/// ```
pub fn place(at: Place) -> String {
    let path = Path::new(at.file());
    let part = |path: Option<&Path>| path.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let mut name = part(Some(path));
    if let "mod.rs" | "lib.rs" | "main.rs" = &*name {
        name = format!("{}/{name}", part(path.parent()));
    }
    let of_rust = at.file().rsplit_once("/library/").and_then(|(_, path)| path.split_once("/src/"));
    match of_rust {
        Some((krate @ ("std" | "core" | "alloc"), _)) => format!("{krate}/{name}:{}", at.line()),
        _ => format!("{name}:{}", at.line()),
    }
}

/// Loop time in seconds, as all views write it: cut to milliseconds, not rounded, so that nothing is shown before its time.
///
/// ```
/// use corio::observe::Seconds;
///
/// assert_eq!(Seconds(1_999_999_999).to_string(), "1.999");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub Nanos);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{:03}", self.0 / 1_000_000_000, self.0 / 1_000_000 % 1_000))
    }
}

/// What a task waits for, after "waits for".
pub(crate) fn want(want: Want, state: &State, names: &Names) -> String {
    match want {
        Want::Turn => "its next turn".to_owned(),
        Want::Sleep { timer } => match state.timers.get(&timer) {
            Some(set) if set.due == Nanos::MAX => format!("timer {timer}, due never"),
            Some(set) => format!("timer {timer}, due {}", Seconds(set.due)),
            None => format!("timer {timer}"),
        },
        Want::Io { source, direction: Direction::Read } => format!("source {source} to be readable"),
        Want::Io { source, direction: Direction::Write } => format!("source {source} to be writable"),
        Want::Join { task } => format!("{} to end", names.task(task)),
        Want::Children { group } => format!("the tasks of group {group} to end"),
        Want::Step { step, next } => format!("step {step} of a sequence, where step {next} is next"),
        Want::Worker => "a helper thread".to_owned(),
        Want::Message => "a message from a channel".to_owned(),
        Want::Room => "room in a channel".to_owned(),
        Want::Remote => "a task of another loop".to_owned(),
        Want::Signal => "a signal".to_owned(),
        Want::Thing { thing, id, holder } => {
            let held = if holder == 0 { String::new() } else { format!(", which {} has", names.task(holder)) };
            format!("{} {id}{held}", self::thing(thing))
        }
        Want::Future => "a future".to_owned(),
        Want::Any { of } => format!("one of {of} things"),
    }
}

/// The same where there is little room: what it is first, and who has it.
pub(super) fn briefly(wanted: Want, state: &State, names: &Names) -> String {
    match wanted {
        Want::Sleep { timer } => match state.timers.get(&timer) {
            Some(set) if set.due == Nanos::MAX => format!("timer {timer}, never"),
            Some(set) => format!("timer {timer}, {}", Seconds(set.due)),
            None => format!("timer {timer}"),
        },
        Want::Io { source, direction: Direction::Read } => format!("source {source} readable"),
        Want::Io { source, direction: Direction::Write } => format!("source {source} writable"),
        Want::Children { group } => format!("group {group} to end"),
        Want::Step { step, next } => format!("step {step}, next is {next}"),
        Want::Message => "a message".to_owned(),
        Want::Remote => "another loop".to_owned(),
        Want::Thing { thing, id, holder } => {
            let held = if holder == 0 { String::new() } else { format!(" ({})", names.task(holder)) };
            let what = match thing {
                Thing::Permit => "semaphore",
                Thing::Read => "read lock",
                Thing::Write => "write lock",
                Thing::Barrier => "barrier",
                Thing::Item => "item of queue",
                Thing::Work => "work on queue",
                thing => self::thing(thing),
            };
            format!("{what} {id}{held}")
        }
        // Short as they are.
        Want::Turn | Want::Join { .. } | Want::Worker | Want::Room | Want::Signal | Want::Future | Want::Any { .. } => {
            want(wanted, state, names)
        }
    }
}

/// What tasks share, before its number.
fn thing(thing: Thing) -> &'static str {
    match thing {
        Thing::Lock => "lock",
        Thing::Read => "reading under lock",
        Thing::Write => "writing under lock",
        Thing::Event => "event",
        Thing::Condition => "condition",
        Thing::Permit => "a permit of semaphore",
        Thing::Barrier => "the others at barrier",
        Thing::Item => "an item of queue",
        Thing::Room => "room in queue",
        Thing::Work => "the work on queue",
        Thing::Promise => "promise",
    }
}

/// The timers that are set, the one that is due first first: whose, and how long they have still to go.
pub(super) fn timers(state: &State, names: &Names) -> Vec<String> {
    let mut timers: Vec<_> = state.timers.iter().collect();
    timers.sort_by_key(|(id, timer)| (timer.due, **id));
    let of = |task| if task == 0 { "a callback".to_owned() } else { names.task(task) };
    let timer = |(id, timer): (&u64, &Timer)| match timer.due.checked_sub(state.now) {
        _ if timer.due == Nanos::MAX => format!("{id}: {}, never", of(timer.task)),
        left => format!("{id}: {} in {}", of(timer.task), Seconds(left.unwrap_or(0))),
    };
    timers.into_iter().map(timer).collect()
}

/// Why somebody is asked to end.
pub(super) fn why(why: Why) -> &'static str {
    match why {
        Why::Requested => "requested",
        Why::Deadline => "time limit met",
        Why::Sibling => "its group failed",
        Why::Interrupt => "Ctrl-C, or SIGTERM",
        Why::Shutdown => "the run is ending",
    }
}

/// What a timer does, in a word.
pub(super) fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Wake => "wake",
        Purpose::Limit => "limit",
        Purpose::Shield => "shield",
        Purpose::Callback => "callback",
    }
}

/// What goes into a task, in Python's words.
pub(super) fn handed_in(sent: Sent) -> &'static str {
    match sent {
        Sent::Start | Sent::Nothing => "send(None)",
        Sent::Cancelled => "throw(Cancelled)",
        Sent::Throw => "throw(Shutdown)",
    }
}

/// What comes out of a task at its end, in Python's word where there is one.
pub(super) fn handed_out(end: End) -> &'static str {
    match end {
        End::Returned => "StopIteration",
        End::Failed => "an error",
        End::Cancelled => "the cancellation",
        End::Panicked => "a panic",
    }
}

/// What goes into a coroutine that has paused.
pub(super) fn sent(thrown: bool, value: Option<u32>, names: &Names) -> String {
    let verb = if thrown { "throw" } else { "send" };
    value.map_or(verb.to_owned(), |value| format!("{verb}({})", names.text(value)))
}

/// What comes out of a coroutine at its end.
pub(super) fn ended(end: End, value: Option<u32>, names: &Names) -> String {
    match (end, value.map(|value| names.text(value))) {
        (End::Returned, None | Some("()")) => "StopIteration".to_owned(),
        (End::Returned, Some(value)) => format!("StopIteration: {value}"),
        (End::Cancelled, _) => "it is closed".to_owned(),
        (end, None) => handed_out(end).to_owned(),
        (end, Some(text)) => format!("{}: {text}", handed_out(end)),
    }
}

/// What made a task ready, after "woken by".
pub(super) fn by(by: By, names: &Names) -> String {
    match by {
        By::Itself => "itself".to_owned(),
        By::Thread => "another thread".to_owned(),
        By::Cancel => "the cancellation".to_owned(),
        By::Timer(timer) => format!("timer {timer}"),
        By::Io(source) => format!("source {source}"),
        By::Task(task) => names.task(task),
        By::Loop => "the loop".to_owned(),
    }
}

/// A name as a view shows it: on one line, whatever it is. What a terminal would obey, or what turns the direction of writing, is
/// escaped as in Rust. Of a long one the beginning has to do.
pub(crate) fn shown(name: impl fmt::Display) -> String {
    beginning(100, format_args!("{name}"))
}

/// The same of whatever can be written. No more of it is made than is shown.
pub(super) fn beginning(longest: usize, text: fmt::Arguments<'_>) -> String {
    let mut shown = Shown { text: String::new(), room: Some(longest) };
    let _ = fmt::write(&mut shown, text); // there may have been no room for all of it
    shown.text
}

struct Shown {
    text: String,
    /// For so many characters; none, when something was left out.
    room: Option<usize>,
}

impl fmt::Write for Shown {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let steers = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        for c in text.chars() {
            let room = self.room.ok_or(fmt::Error)?;
            let before = self.text.len();
            match steers(c) {
                true => self.text.extend(c.escape_default()),
                false => self.text.push(c),
            }
            self.room = room.checked_sub(self.text[before..].chars().count());
            if self.room.is_none() {
                self.text.truncate(before);
                self.text.push('…');
            }
        }
        Ok(())
    }
}

/// The names of several tasks.
pub(super) fn tasks<'a>(
    tasks: impl IntoIterator<Item = &'a u64, IntoIter: ExactSizeIterator>,
    names: &Names,
) -> String {
    some(tasks.into_iter().map(|task| names.task(*task)), ", ")
}

/// The first of a list, and how many more there are: nobody reads a thousand names in a line.
pub(super) fn some(items: impl ExactSizeIterator<Item = String>, between: &str) -> String {
    const MOST: usize = 30;
    let more = items.len().saturating_sub(MOST);
    let mut shown: Vec<String> = items.take(MOST).collect();
    shown.extend((more > 0).then(|| format!("and {more} more")));
    shown.join(between)
}

/// Source files, as far as they can be read where the program runs.
#[derive(Default)]
pub(super) struct Sources {
    files: BTreeMap<&'static str, Vec<String>>,
}

impl Sources {
    /// The lines around a place, with their numbers; none if the file cannot be read.
    pub(super) fn around(&mut self, at: Place, distance: u32) -> Vec<(u32, &str)> {
        let lines = self.lines(at);
        let first = at.line().saturating_sub(distance).max(1);
        let numbers = first..=at.line() + distance;
        numbers.filter_map(|n| Some((n, lines.get(n as usize - 1)?.as_str()))).collect()
    }

    /// All lines of the file that a place is in; none if it cannot be read.
    pub(super) fn lines(&mut self, at: Place) -> &[String] {
        self.files.entry(at.file()).or_insert_with(|| read(at.file()))
    }

    /// The call at a place, as far as it stands on one line; `None` if the file cannot be read.
    pub(super) fn call(&mut self, at: Place) -> Option<String> {
        const LONGEST: usize = 40;
        let line = self.lines(at).get(at.line() as usize - 1)?;
        let column = line.char_indices().nth(at.column() as usize - 1)?.0;
        // A method's place is its name: what it is called on stands before it.
        let receiver = line[..column].rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
        let start = receiver.map_or(0, |last| last + line[last..].chars().next().map_or(0, char::len_utf8));
        let mut depth = 0;
        // Up to its last parenthesis; what has none, as a handle that is awaited, goes up to what surrounds it.
        let end = line[column..].char_indices().find_map(|(at, c)| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            match (c, depth) {
                (')', 0) => Some(at + 1),
                (')', ..0) | (';' | ',', 0) => Some(at),
                _ => None,
            }
        });
        let whole = line[start..end.map_or(line.len(), |end| column + end)].trim();
        let cut = whole.char_indices().nth(LONGEST).map_or(whole.len(), |(cut, _)| cut);
        let more = if end.is_none() || cut < whole.len() { " …" } else { "" };
        let less = if whole.starts_with('.') { "…" } else { "" };
        (!whole.is_empty()).then(|| format!("{less}{}{more}", whole[..cut].trim_end()))
    }
}

fn read(file: &str) -> Vec<String> {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let text = std::fs::read_to_string(file).or_else(|_| std::fs::read_to_string(root.join(file)));
    text.unwrap_or_default().lines().map(str::to_owned).collect()
}
