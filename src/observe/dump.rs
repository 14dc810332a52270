//! All tasks at one moment: `ps` and `pstree` in one, and the report of a deadlock.

use super::Names;
use super::event::Want;
use super::state::{Stage, State, Task};
use super::words::{Seconds, place, want};
use crate::event_loop::EventLoop;
use crate::task::caller;

const TITLES: [&str; 5] = ["task", "state", "waits for", "at", "spawned at"];

/// How many tasks the report of a deadlock lists.
const LONGEST_REPORT: usize = 200;

/// The tasks of this thread's loop at this moment, as a tree: what each of them does, what it waits for, where it waits,
/// and where it was spawned. The tasks of a [`scope`](crate::scope()) stand below the one that opened it.
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
    EventLoop::with_current(|lp| match lp {
        None => "no event loop runs on this thread\n".to_owned(),
        Some(lp) => {
            let (mut state, names) = look(lp);
            if let Some(me) = state.tasks.get_mut(&lp.current_id()) {
                me.paused_at = Some(at); // it stands here, and looks around
            }
            format!("{}{}", summary(&state, lp), tree(&state, &names, usize::MAX))
        }
    })
}

/// Why a run came to a standstill: nothing can ever run again (R18).
pub(crate) fn deadlock(lp: &EventLoop) -> String {
    let (state, names) = look(lp);
    let left = match state.tasks.len() {
        1 => "the only task waits, and nothing can ever wake it".to_owned(),
        n => format!("all {n} tasks wait, and nothing can ever wake them"),
    };
    let mut text = format!(
        "deadlock at {} s: {left}.\nNo task is ready, no timer is set, and nothing outside the loop is waited for.\n\n",
        Seconds(state.now)
    );
    text += &tree(&state, &names, LONGEST_REPORT);
    if let Some(cycle) = state.cycle() {
        let next = cycle.iter().cycle().skip(1);
        let waits = cycle.iter().zip(next).map(|(a, b)| format!("{} waits for {}", names.task(*a), names.task(*b)));
        text += &format!("\ncycle: {}\n", waits.collect::<Vec<_>>().join(", "));
    }
    text
}

/// The state of the loop from its tables, and since when from the fold, where there is one.
fn look(lp: &EventLoop) -> (State, Names) {
    let mut state = State::of(lp);
    lp.hub.with_fold(|fold| {
        for (id, task) in &mut state.tasks {
            let told = fold.tasks.get(id).filter(|told| told.stage == task.stage && told.resumes == task.resumes);
            task.since = told.and_then(|told| told.since);
        }
    });
    for task in lp.all_tasks() {
        // What a task waits for may have passed from hand to hand meanwhile.
        if let Some(Task { stage: Stage::Parked(Want::Thing { holder, .. }), .. }) =
            state.tasks.get_mut(&task.core.id())
        {
            *holder = task.core.holder().on(lp);
        }
    }
    (state, Names::of(lp))
}

fn summary(state: &State, lp: &EventLoop) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let next = state.next_timer().map(|(_, timer)| format!(" (the next is due {})", Seconds(timer.due)));
    format!(
        "loop at {} s: {}, {} ready; {}{}; {} of I/O; {} out\n\n",
        Seconds(state.now),
        count(state.tasks.len(), "task"),
        state.ready.len(),
        count(state.timers.len(), "timer"),
        next.unwrap_or_default(),
        count(state.sources.len(), "source"),
        count(lp.workers.get(), "helper thread"),
    )
}

/// A table whose first column is a tree.
fn tree(state: &State, names: &Names, longest: usize) -> String {
    let mut rows = vec![TITLES.map(str::to_owned)];
    let roots = state.tasks.iter().filter(|(_, task)| state.owner(task).is_none());
    // What is still to be written, the next one last, each with the prefix of its lines.
    let mut rest: Vec<(Node, String, String)> =
        roots.rev().map(|(id, _)| (Node::Task(*id), String::new(), String::new())).collect();
    while let Some((node, own, below)) = rest.pop() {
        let children: Vec<Node> = match node {
            Node::Task(id) => {
                let groups = state.groups.iter().filter(|(_, group)| group.owner == id);
                rows.push(row(&state.tasks[&id], format!("{own}{} ({id})", names.task(id)), state, names));
                groups.map(|(group, _)| Node::Group(*group)).collect()
            }
            Node::Group(id) => {
                let children = state.tasks.iter().filter(|(_, task)| task.group == id);
                let opened = place(state.groups[&id].at);
                rows.push([format!("{own}group {id}"), String::new(), String::new(), opened, String::new()]);
                children.map(|(child, _)| Node::Task(*child)).collect()
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
pub(super) fn one(task: &Task, id: u64, state: &State, names: &Names) -> String {
    table(&[TITLES.map(str::to_owned), row(task, format!("{} ({id})", names.task(id)), state, names)])
}

enum Node {
    Task(u64),
    Group(u64),
}

fn row(task: &Task, name: String, state: &State, names: &Names) -> [String; 5] {
    let since = task.since.map(|since| format!(" {} s", Seconds(state.now.saturating_sub(since))));
    let (wants, at) = match (task.stage, task.paused_at) {
        (Stage::Parked(wanted), at) => (want(wanted, state, names), at.map(place)),
        // Where it will go on, or stands.
        (Stage::Ready | Stage::Running, at) => (String::new(), at.map(place)),
        _ => (String::new(), None),
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
