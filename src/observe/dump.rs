//! All tasks at one moment: `ps` and `pstree` in one, the same for programs, and the report of a deadlock.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::os::fd::RawFd;

use super::Names;
use super::event::{Direction, Place, Want};
use super::hub::SharedPicture;
use super::json::Text;
#[cfg(feature = "backtrace")]
use super::stacks::Stacks;
use super::state::{Stage, State, Task};
use super::words::{self, Seconds, place, want};
use crate::event_loop::EventLoop;
use crate::task::caller;
use crate::timer::Nanos;

const TITLES: [&str; 5] = ["task", "state", "waits for", "at", "spawned at"];

/// How many tasks the report of a deadlock lists.
pub(super) const LONGEST_REPORT: usize = 200;

/// The tasks of this thread's loop at this moment, as a tree: what each of them does, what it waits for, where it waits,
/// and where it was spawned. The tasks of a [`scope`](crate::scope()) stand below the one that opened it. Below the tree are
/// the ready queue, the timers, and the descriptors that the loop knows.
///
/// It reads the loop's own tables and needs no observer. While somebody watches the run it also tells for how long each
/// task has been in its state.
///
/// ```
/// use corio::{Runner, observe, scope, secs, sleep};
///
/// let dump = Runner::new().virtual_clock().run(|| {
///     scope(|s| {
///         s.spawn(|| sleep(secs(5)));
///         sleep(secs(1))?;
///         Ok(observe::dump())
///     })
/// })?;
/// assert!(dump.contains("└─ task-2 (2)"));
/// assert!(dump.contains("timer 2, due 5.000"));
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn dump() -> String {
    let at = caller();
    EventLoop::with_current(|lp| lp.map_or(no_loop(), |lp| Dump::from_within(lp, at).to_string()))
}

/// The same for programs: one object of JSON. What is added later are members; what is changed or taken away, a new
/// `format_version`, which is 1.
///
/// | Member | What it is |
/// | --- | --- |
/// | `loop` | the number of the loop in its process |
/// | `blocked` | whether this is what the records tell, because the loop did not answer: only in a [live view](crate::Runner::live_view) |
/// | `now` | loop time; like all times, in nanoseconds |
/// | `running`, `ready` | tasks by their numbers, in order |
/// | `tasks` | objects: `id`, `name`, `state`, `in_state` (for how long, `null` if not known), `waits_for` (`null`, or an object: `kind`, its numbers, and `text`), `paused_at`, `spawned_at`, `group`, `is_future`, `resumes`, `cancelled` (why, while somebody watches; else `null`), and `stack` where it was asked for |
/// | `groups` | objects: `id`, `owner`, `at` |
/// | `timers` | objects: `id`, `due` (`null`: never), `task` (0: a callback), `purpose` |
/// | `sources` | sources of I/O, as objects: `id`, and `descriptor` if the loop has answered |
/// | `helper_threads` | how many work for the loop now, if it has answered |
/// | `cycle` | tasks that wait for each other in a circle, each for the next; or `null` |
///
/// Without a loop on this thread it is `null`. Else as [`dump`].
///
/// ```
/// use corio::{Runner, observe, secs, sleep, spawn, yield_now};
///
/// let json = Runner::new().virtual_clock().run(|| {
///     spawn(|| sleep(secs(5)));
///     yield_now()?;
///     Ok(observe::dump_json())
/// })?;
/// assert!(json.starts_with(r#"{"format_version":1,"loop":"#));
/// assert!(json.contains(r#""waits_for":{"kind":"timer","timer":1,"text":"timer 1, due 5.000"}"#));
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn dump_json() -> String {
    let at = caller();
    EventLoop::with_current(|lp| lp.map_or("null".to_owned(), |lp| Dump::from_within(lp, at).json()))
}

pub(super) fn no_loop() -> String {
    "no event loop runs on this thread\n".to_owned()
}

/// Why a run came to a standstill: nothing can ever run again (R18).
pub(crate) fn deadlock(lp: &EventLoop) -> String {
    let Dump { state, names, .. } = Dump::of(lp);
    let left = match state.tasks.len() {
        1 => "the only task waits, and nothing can ever wake it".to_owned(),
        n => format!("all {n} tasks wait, and nothing can ever wake them"),
    };
    let mut text = format!(
        "deadlock at {} s: {left}.\nNo task is ready, no timer is set, and nothing outside the loop is waited for.\n\n",
        Seconds(state.now)
    );
    text += &tree(&state, &names, LONGEST_REPORT);
    text + &cycle(&state, &names)
}

/// A loop at one moment, to be shown on whatever thread.
pub(crate) struct Dump {
    id: u32,
    state: State,
    names: Names,
    /// What nobody but the loop knows; `None` if it did not answer.
    own: Option<Own>,
    /// Somebody watches who is no follower in the background, and may take his time.
    is_noticed: bool,
}

struct Own {
    helper_threads: usize,
    descriptors: BTreeMap<u64, RawFd>,
    stacks: Option<Stacks>,
}

impl Dump {
    /// From the loop's tables, and since when from the fold, where there is one.
    pub(crate) fn of(lp: &EventLoop) -> Dump {
        let mut state = State::of(lp);
        if let Some(picture) = lp.hub.picture() {
            let told = &picture.lock().state;
            for (id, task) in &mut state.tasks {
                let is_same = |told: &&Task| told.stage.word() == task.stage.word() && told.resumes == task.resumes;
                let same = told.tasks.get(id).filter(is_same);
                task.since = same.and_then(|told| told.since);
                task.cancel = same.and_then(|told| told.cancel);
            }
            // Who has a lock that only futures wait for, the tables do not know.
            for (id, lock) in &told.locks {
                state.locks.entry(*id).or_insert(*lock);
            }
        }
        let mut descriptors = lp.reactor.descriptors();
        descriptors.retain(|_, descriptor| *descriptor >= 0); // of a network in memory the system knows nothing
        let own = Own { helper_threads: lp.workers.get(), descriptors, stacks: None };
        Dump { id: lp.remote.id, state, names: Names::of(lp), own: Some(own), is_noticed: false }
    }

    /// The same, with the calls in which all paused tasks stand; without them in a program without the feature `backtrace`.
    pub(crate) fn with_stacks(lp: &EventLoop) -> Dump {
        let mut dump = Dump::of(lp);
        if let Some(own) = &mut dump.own {
            own.stacks = Stacks::of(lp);
        }
        dump
    }

    /// By a task that looks around at this place, or somebody else on the loop's thread.
    pub(super) fn from_within(lp: &EventLoop, at: Place) -> Dump {
        Dump::of(lp).seen_from(lp, at)
    }

    /// The running task stands where it looks around.
    pub(super) fn seen_from(mut self, lp: &EventLoop, at: Place) -> Dump {
        if let Some(me) = self.state.tasks.get_mut(&lp.current_id()) {
            me.paused_at = Some(at);
        }
        self
    }

    /// Of a loop that does not answer: what the records have told, up to the beginning of what blocks it. `now` is the loop's
    /// time, if that goes on meanwhile.
    pub(crate) fn of_a_blocked_loop(id: u32, picture: Option<&SharedPicture>, now: Option<Nanos>) -> Dump {
        let (mut state, names, is_noticed) = picture.map_or_else(Default::default, |picture| {
            let picture = picture.lock();
            (picture.state.clone(), Names::clone(&picture.names), picture.is_noticed)
        });
        state.now = now.unwrap_or(state.now);
        Dump { id, state, names, own: None, is_noticed }
    }

    /// The number of the loop.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    fn summary(&self) -> String {
        let state = &self.state;
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let next = state.next_timer().map(|(_, timer)| format!(" (the next is due {})", Seconds(timer.due)));
        let mut text = format!(
            "loop at {} s: {}, {} ready; {}{}; {} of I/O",
            Seconds(state.now),
            count(state.tasks.len(), "task"),
            state.ready.len(),
            count(state.timers.len(), "timer"),
            next.unwrap_or_default(),
            count(state.sources.len(), "source"),
        );
        match &self.own {
            Some(own) => text += &format!("; {} out\n\n", count(own.helper_threads, "helper thread")),
            None => text += &format!("\n{}\n\n", self.what_blocks()),
        }
        text
    }

    /// Who keeps the loop from answering.
    fn what_blocks(&self) -> String {
        if cfg!(not(feature = "observe")) {
            return "It does not answer. Built without corio's feature `observe`, the program cannot say who blocks it.".to_owned();
        }
        let Some((id, task)) = self.state.running.last().and_then(|id| Some((*id, self.state.tasks.get(id)?))) else {
            return "It does not answer, and no task runs: a callback or an observer blocks it.".to_owned();
        };
        let since = Seconds(self.state.now.saturating_sub(task.since.unwrap_or(self.state.now)));
        let from =
            task.paused_at.map_or("It has not paused so far".to_owned(), |at| format!("It went on at {}", place(at)));
        let observer = if self.is_noticed { ", or an observer that is told of it," } else { "" };
        format!(
            "It does not answer: {} ({id}){observer} blocks it, for {since} s of its time so far. {from}; the rest is as it was \
             then.",
            self.names.task(id)
        )
    }

    /// What the tree does not show.
    fn lists(&self) -> String {
        let (state, names) = (&self.state, &self.names);
        let source = |id: &u64| match self.own.as_ref().and_then(|own| own.descriptors.get(id)) {
            Some(descriptor) => format!("{id}: descriptor {descriptor}"),
            None => id.to_string(),
        };
        let mut text = String::new();
        for (title, all) in [
            ("ready", state.ready.iter().map(|id| names.task(*id)).collect::<Vec<_>>()),
            ("timers", words::timers(state, names)),
            ("sources", state.sources.iter().map(source).collect()),
        ] {
            if !all.is_empty() {
                text += &format!("{title:<8} {}\n", words::some(all.into_iter(), ", "));
            }
        }
        let lists = if text.is_empty() { text } else { format!("\n{text}") };
        lists + &cycle(state, names)
    }

    pub(crate) fn json(&self) -> String {
        let state = &self.state;
        let descriptor = |id: &u64| self.own.as_ref().and_then(|own| own.descriptors.get(id));
        let tasks = state.tasks.iter().map(|(id, task)| self.task_json(*id, task));
        let groups = state
            .groups
            .iter()
            .map(|(id, group)| format!(r#"{{"id":{id},"owner":{},"at":{}}}"#, group.owner, place_json(Some(group.at))));
        let timers = state.timers.iter().map(|(id, timer)| {
            let due = Some(timer.due).filter(|due| *due != Nanos::MAX);
            let purpose = words::purpose(timer.purpose);
            format!(r#"{{"id":{id},"due":{},"task":{},"purpose":"{purpose}"}}"#, or_null(due), timer.task)
        });
        let sources = state.sources.iter();
        let sources = sources.map(|id| format!(r#"{{"id":{id},"descriptor":{}}}"#, or_null(descriptor(id))));
        let cycle = state.cycle().map(|cycle| list(cycle.iter()));
        format!(
            concat!(
                r#"{{"format_version":1,"loop":{},"blocked":{},"now":{},"running":{},"ready":{},"tasks":{},"groups":{},"#,
                r#""timers":{},"sources":{},"helper_threads":{},"cycle":{}}}"#
            ),
            self.id,
            self.own.is_none(),
            state.now,
            list(state.running.iter()),
            list(state.ready.iter()),
            list(tasks),
            list(groups),
            list(timers),
            list(sources),
            or_null(self.own.as_ref().map(|own| own.helper_threads)),
            or_null(cycle),
        )
    }

    fn task_json(&self, id: u64, task: &Task) -> String {
        let (name, now) = (self.names.task(id), self.state.now);
        let wanted = self.state.wait_of(id).map(|wanted| self.want_json(wanted));
        let mut text = format!(
            concat!(
                r#"{{"id":{},"name":{},"state":"{}","in_state":{},"waits_for":{},"paused_at":{},"spawned_at":{},"#,
                r#""group":{},"is_future":{},"resumes":{},"cancelled":{}"#
            ),
            id,
            Text(&name),
            task.stage.word(),
            or_null(task.since.map(|since| now.saturating_sub(since))),
            or_null(wanted),
            place_json(task.paused_at),
            place_json(Some(task.spawned_at)),
            task.group,
            task.is_future,
            task.resumes,
            or_null(task.cancel.map(|why| Text(words::why(why)))),
        );
        if let Some(stacks) = self.own.as_ref().and_then(|own| own.stacks.as_ref()) {
            let calls = stacks.calls(id).map(|calls| list(calls.iter().map(|call| Text(call))));
            text += &format!(r#","stack":{}"#, or_null(calls));
        }
        text + "}"
    }

    fn want_json(&self, wanted: Want) -> String {
        let (kind, numbers): (_, &[(&str, u64)]) = match wanted {
            Want::Turn => ("turn", &[]),
            Want::Sleep { timer } => ("timer", &[("timer", timer)]),
            Want::Io { source, direction: Direction::Read } => ("readable", &[("source", source)]),
            Want::Io { source, direction: Direction::Write } => ("writable", &[("source", source)]),
            Want::Join { task } => ("task", &[("task", task)]),
            Want::Children { group } => ("group", &[("group", group)]),
            Want::Step { step, next } => ("step", &[("step", step.into()), ("next", next.into())]),
            Want::Worker => ("thread", &[]),
            Want::Message => ("message", &[]),
            Want::Room => ("room", &[]),
            Want::Remote => ("remote_task", &[]),
            Want::Signal => ("signal", &[]),
            Want::Thing { id, holder, .. } => ("thing", &[("thing", id.into()), ("holder", holder)]),
            Want::Future => ("future", &[]),
            Want::Any { of } => ("any", &[("of", of.into())]),
        };
        let numbers: String = numbers.iter().map(|(name, number)| format!(r#""{name}":{number},"#)).collect();
        format!(r#"{{"kind":"{kind}",{numbers}"text":{}}}"#, Text(&want(wanted, &self.state, &self.names)))
    }
}

/// As text: the summary, the tree, the lists, and the stacks, if they were asked for.
impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())?;
        f.write_str(&tree(&self.state, &self.names, usize::MAX))?;
        f.write_str(&self.lists())?;
        match self.own.as_ref().and_then(|own| own.stacks.as_ref()) {
            Some(stacks) => stacks.write(f, &self.names),
            None => Ok(()),
        }
    }
}

fn list(items: impl Iterator<Item: fmt::Display>) -> String {
    let mut text = "[".to_owned();
    for (n, item) in items.enumerate() {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{item}"); // a String takes all
    }
    text + "]"
}

fn or_null(value: Option<impl fmt::Display>) -> String {
    value.map_or("null".to_owned(), |value| value.to_string())
}

fn place_json(at: Option<Place>) -> String {
    let object = |at: Place| format!(r#"{{"file":{},"line":{},"column":{}}}"#, Text(at.file()), at.line(), at.column());
    or_null(at.map(object))
}

/// Tasks that wait for each other in a circle, if there are any, on a line of their own.
fn cycle(state: &State, names: &Names) -> String {
    let Some(cycle) = state.cycle() else { return String::new() };
    let next = cycle.iter().cycle().skip(1);
    let waits = cycle.iter().zip(next).map(|(a, b)| format!("{} waits for {}", names.task(*a), names.task(*b)));
    format!("\ncycle: {}\n", waits.collect::<Vec<_>>().join(", "))
}

/// A table whose first column is a tree.
pub(super) fn tree(state: &State, names: &Names, longest: usize) -> String {
    let mut rows = vec![TITLES.map(str::to_owned)];
    let (mut roots, mut groups, mut tasks) =
        (Vec::new(), BTreeMap::<_, Vec<Node>>::new(), BTreeMap::<_, Vec<Node>>::new());
    for (id, group) in &state.groups {
        groups.entry(group.owner).or_default().push(Node::Group(*id));
    }
    for (id, task) in &state.tasks {
        let siblings = if state.owner(task).is_none() { &mut roots } else { tasks.entry(task.group).or_default() };
        siblings.push(Node::Task(*id));
    }
    // What is still to be written, the next one last, each with the prefix of its lines.
    let mut rest: Vec<(Node, String, String)> =
        roots.into_iter().rev().map(|root| (root, String::new(), String::new())).collect();
    while let Some((node, own, below)) = rest.pop() {
        let children = match node {
            Node::Task(id) => {
                rows.push(row(id, format!("{own}{} ({id})", names.task(id)), state, names));
                groups.remove(&id).unwrap_or_default()
            }
            Node::Group(id) => {
                let opened = place(state.groups[&id].at);
                rows.push([format!("{own}group {id}"), String::new(), String::new(), opened, String::new()]);
                tasks.remove(&id).unwrap_or_default()
            }
        };
        let last = children.len().saturating_sub(1);
        for (n, child) in children.into_iter().enumerate().rev() {
            let (branch, trunk) = if n == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            rest.push((child, format!("{below}{branch}"), format!("{below}{trunk}")));
        }
    }
    let hidden = (rows.len() - 1).saturating_sub(longest);
    rows.truncate(rows.len() - hidden);
    let mut text = table(&rows);
    if hidden > 0 {
        text += &format!("… and {hidden} more\n");
    }
    text
}

/// The row of one task, below the titles.
pub(super) fn one(id: u64, state: &State, names: &Names) -> String {
    table(&[TITLES.map(str::to_owned), row(id, format!("{} ({id})", names.task(id)), state, names)])
}

enum Node {
    Task(u64),
    Group(u64),
}

fn row(id: u64, name: String, state: &State, names: &Names) -> [String; 5] {
    let task = &state.tasks[&id];
    let since = task.since.map(|since| format!(" {} s", Seconds(state.now.saturating_sub(since))));
    let wants = state.wait_of(id).map_or_else(String::new, |wanted| want(wanted, state, names));
    let at = match task.stage {
        // Where it will go on, or stands.
        Stage::Parked(_) | Stage::Ready | Stage::Running => task.paused_at.map(place),
        Stage::New | Stage::Done(_) => None,
    };
    let kind = if task.is_future { ", a future" } else { "" };
    let state = format!("{}{}{kind}", task.stage.word(), since.unwrap_or_default());
    [name, state, wants, at.unwrap_or_default(), place(task.spawned_at)]
}

fn table(rows: &[[String; 5]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(not(feature = "backtrace"))]
use no_stacks::Stacks;

#[cfg(not(feature = "backtrace"))]
mod no_stacks {
    use super::{EventLoop, Names, fmt};

    /// Without the feature `backtrace` there are none.
    pub(super) enum Stacks {}

    impl Stacks {
        pub(super) fn of(_: &EventLoop) -> Option<Stacks> {
            None
        }

        pub(super) fn calls(&self, _: u64) -> Option<Vec<String>> {
            match *self {}
        }

        pub(super) fn write(&self, _: &mut fmt::Formatter<'_>, _: &Names) -> fmt::Result {
            match *self {}
        }
    }
}
