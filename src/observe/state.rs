//! What the records mean: the fold.
//!
//! [`State::apply`] is the only interpreter of events. The narrator, the dump and whatever else draws a run are pictures
//! of a [`State`]. `State::of` reads the same type out of the loop's own tables; in debug builds the two are compared
//! after every flush while somebody watches, so a picture cannot show what is not so.
//!
//! A [`State`] answers questions about each moment, and knows what may not come next:
//!
//! ```
//! use corio::observe::state::{Group, Stage, State, Task, Timer};
//! use corio::observe::{Recording, event::{Purpose, Want}};
//! use corio::{Runner, scope, secs, sleep};
//!
//! # if !cfg!(feature = "observe") { return Ok(()) }
//! let recording = Recording::new();
//! Runner::new().virtual_clock().observer(recording.clone()).run(|| {
//!     scope(|s| s.spawn(|| sleep(secs(3))).join()) // main waits for its child, and the child for a timer
//! })?;
//!
//! let mut state = State::new();
//! let mut seen = None;
//! for record in recording.records() {
//!     state.check(&record)?;
//!     state.apply(&record);
//!     if let Some((_, timer)) = state.next_timer() && state.waits_for(1) == [2] {
//!         seen = Some((timer, state.tasks[&2].clone(), state.groups.values().next().copied()));
//!     }
//!     assert_eq!(state.cycle(), None); // nobody waits in a circle
//! }
//! let (timer, child, group): (Timer, Task, Option<Group>) = seen.unwrap();
//! assert_eq!((timer.due, timer.task, timer.purpose), (3_000_000_000, 2, Purpose::Wake));
//! assert!(matches!(child.stage, Stage::Parked(Want::Sleep { .. })) && !child.is_done());
//! assert_eq!(group.unwrap().owner, 1);
//!
//! assert!(state.tasks[&2].is_done());
//! state.forget(2);
//! assert!(!state.tasks.contains_key(&2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;

use super::event::{By, End, Event, Place, PollReason, Purpose, Record, Sent, Thing, Want, Why};
use crate::event_loop::EventLoop;
use crate::random::Random;
use crate::timer::Nanos;

/// Everything that the records so far say about the loop.
///
/// ```
/// use corio::observe::{Recording, State};
/// use corio::{Runner, secs, sleep, spawn};
///
/// # if !cfg!(feature = "observe") { return Ok(()) }
/// let recording = Recording::new();
/// Runner::new().virtual_clock().observer(recording.clone()).run(|| {
///     let task = spawn(|| sleep(secs(3)));
///     corio::observe::mark("spawned");
///     task.join()
/// })?;
///
/// // Step through the run: how long did the second task wait for its turn, and how long for its timer?
/// let mut state = State::new();
/// for record in recording.records() {
///     state.apply(&record);
/// }
/// assert_eq!((state.tasks[&2].ready, state.tasks[&2].parked), (0, 3_000_000_000));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The record that was applied last; 0: none.
    pub step: u64,
    /// Loop time of that record, in nanoseconds.
    pub now: Nanos,
    /// The task that runs. More than one only when a shutdown unwinds a scope and its tasks on top of it; innermost last.
    pub running: Vec<u64>,
    /// Who is ready, in the order in which they will be resumed.
    pub ready: VecDeque<u64>,
    /// All tasks by id. Those that are done stay until [`forget`](Self::forget) is called.
    pub tasks: BTreeMap<u64, Task>,
    /// The timers that are set.
    pub timers: BTreeMap<u64, Timer>,
    /// The sources of I/O that are registered.
    pub sources: BTreeSet<u64>,
    /// The regions with children that are open.
    pub groups: BTreeMap<u64, Group>,
    /// The coroutines that are paused, and where.
    pub coroutines: BTreeMap<u64, Place>,
    /// The locks that tasks are parked for, by their numbers.
    pub locks: BTreeMap<u32, Lock>,
}

/// A lock that tasks are parked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// Who has it; 0: several who read, or nobody that is known.
    pub holder: u64,
    /// How many are parked for it.
    pub waiting: u32,
}

/// A task, as the records tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// What it does now.
    pub stage: Stage,
    /// Since when; `None` if that is not known.
    pub since: Option<Nanos>,
    /// Who made it; 0: the loop, or not known.
    pub by: u64,
    /// The group that it belongs to; 0: none.
    pub group: u64,
    /// Whether it has no stack, but is a future that is polled, as far as is known before its first turn. Then it may wait for
    /// several things at once, of which the last is told.
    pub is_future: bool,
    /// Where it was made.
    pub spawned_at: Place,
    /// Where it paused last.
    pub paused_at: Option<Place>,
    /// How often it was resumed.
    pub resumes: u32,
    /// Why it was last asked to end, if it was.
    pub cancel: Option<Why>,
    /// How long it has been running, up to `since`.
    pub running: Nanos,
    /// How long it has waited for its turn.
    pub ready: Nanos,
    /// How long it has waited for something else.
    pub parked: Nanos,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Made, queued, and never resumed so far.
    New,
    /// In the ready queue.
    Ready,
    /// The loop has switched to it.
    Running,
    /// Paused.
    Parked(Want),
    /// Its function has ended.
    Done(End),
}

impl Stage {
    /// In a word.
    ///
    /// ```
    /// use corio::observe::event::End;
    /// use corio::observe::state::Stage;
    ///
    /// assert_eq!((Stage::Ready.word(), Stage::Done(End::Cancelled).word()), ("ready", "cancelled"));
    /// ```
    pub fn word(self) -> &'static str {
        match self {
            Stage::New => "new",
            Stage::Ready => "ready",
            Stage::Running => "running",
            Stage::Parked(_) => "parked",
            Stage::Done(End::Returned) => "returned",
            Stage::Done(End::Failed) => "failed",
            Stage::Done(End::Cancelled) => "cancelled",
            Stage::Done(End::Panicked) => "panicked",
        }
    }

    /// As a sign: that of the last thing that happened to the task, where the narration has one.
    ///
    /// ```
    /// use corio::observe::event::{End, Want};
    /// use corio::observe::state::Stage;
    ///
    /// let signs = [Stage::Running, Stage::Parked(Want::Turn), Stage::Done(End::Returned)].map(Stage::sign);
    /// assert_eq!(signs, ['►', '■', '✔']);
    /// ```
    pub fn sign(self) -> char {
        match self {
            Stage::New => '○',
            Stage::Ready => '●',
            Stage::Running => '►',
            Stage::Parked(_) => '■',
            Stage::Done(End::Returned) => '✔',
            Stage::Done(_) => '✘',
        }
    }
}

/// A timer that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// When it is due, in loop time.
    pub due: Nanos,
    /// Whose it is; 0: a callback's.
    pub task: u64,
    /// What it is for.
    pub purpose: Purpose,
}

/// A region with children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Whose region it is.
    pub owner: u64,
    /// Where it was opened.
    pub at: Place,
}

impl Task {
    fn new(by: u64, group: u64, spawned_at: Place, since: Option<Nanos>) -> Task {
        Task {
            stage: Stage::New,
            since,
            by,
            group,
            is_future: false,
            spawned_at,
            paused_at: None,
            resumes: 0,
            cancel: None,
            running: 0,
            ready: 0,
            parked: 0,
        }
    }

    /// Whether its function has ended.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done(_))
    }

    fn enter(&mut self, stage: Stage, now: Nanos) {
        let spent = now.saturating_sub(self.since.unwrap_or(now));
        match self.stage {
            Stage::New | Stage::Ready => self.ready += spent,
            Stage::Running => self.running += spent,
            Stage::Parked(_) => self.parked += spent,
            Stage::Done(_) => {}
        }
        (self.stage, self.since) = (stage, Some(now));
    }
}

impl State {
    /// Before the first record.
    pub fn new() -> State {
        State::default()
    }

    /// Takes one record in: the only place that knows what an event means. Records come in their order, from the first.
    pub fn apply(&mut self, record: &Record) {
        (self.step, self.now) = (record.seq, record.at);
        match record.event {
            Event::Spawn { task, by, group, at } => {
                self.tasks.insert(task, Task::new(by, group, at, Some(record.at)));
                self.ready.push_back(task);
            }
            // ANCHOR: fold
            Event::Resume { task, nth, .. } => {
                self.leave_queue(task);
                self.running.push(task);
                self.enter(task, Stage::Running);
                self.with(task, |task| task.resumes = nth);
            }
            Event::Yield { task, want, at } => {
                self.running.retain(|running| *running != task);
                self.enter(task, Stage::Parked(want));
                self.with(task, |task| task.paused_at = Some(at));
            }
            Event::Polled { task, .. } => self.with(task, |task| task.is_future = true),
            Event::Complete { task, end } => {
                self.running.retain(|running| *running != task);
                self.leave_queue(task);
                self.enter(task, Stage::Done(end));
            }
            Event::Wake { task, .. } => {
                self.ready.push_back(task);
                self.enter(task, Stage::Ready);
            }
            // ANCHOR_END: fold
            Event::Give { lock, to } => {
                if let Some(lock) = self.locks.get_mut(&lock) {
                    lock.holder = to;
                }
            }
            Event::Shuffle { with } => {
                let ready = &mut self.ready;
                Random::new(with).exchanges(ready.len(), |a, b| ready.swap(a, b));
            }
            Event::CancelAsk { task, why, .. } => self.with(task, |task| task.cancel = Some(why)),
            Event::TimerArm { timer, task, due, purpose } => {
                self.timers.insert(timer, Timer { due, task, purpose });
            }
            Event::TimerFire { timer } | Event::TimerDrop { timer } => drop(self.timers.remove(&timer)),
            Event::IoArm { source } => drop(self.sources.insert(source)),
            Event::IoDrop { source } => drop(self.sources.remove(&source)),
            Event::GroupOpen { group, task, at } => drop(self.groups.insert(group, Group { owner: task, at })),
            Event::GroupClose { group } => drop(self.groups.remove(&group)),
            Event::GenYield { coroutine, at, .. } => drop(self.coroutines.insert(coroutine, at)),
            Event::GenSend { coroutine, .. } | Event::GenReturn { coroutine, .. } => {
                self.coroutines.remove(&coroutine);
            }
            // These change nothing that lasts.
            Event::LoopStart { .. }
            | Event::LoopStop
            | Event::NoPause { .. }
            | Event::WouldBlock { .. }
            | Event::PollEnter { .. }
            | Event::PollReturn { .. }
            | Event::IoReady { .. }
            | Event::Callback { .. }
            | Event::Deadlock { .. }
            | Event::Unseen { .. }
            | Event::Out { .. }
            | Event::Mark { .. } => {}
        }
    }

    /// Lets go of a task if it is done: for whoever folds a run that is not to be kept.
    pub fn forget(&mut self, task: u64) {
        if self.tasks.get(&task).is_some_and(Task::is_done) {
            self.tasks.remove(&task);
        }
    }

    /// The timer that is due first; of several, the one that was set first.
    pub fn next_timer(&self) -> Option<(u64, Timer)> {
        let timers = self.timers.iter().filter(|(_, timer)| timer.due != Nanos::MAX);
        timers.min_by_key(|(id, timer)| (timer.due, **id)).map(|(id, timer)| (*id, *timer))
    }

    /// What a task is parked for, as it is now: a lock passes from one task to the next while others wait for it.
    ///
    /// ```
    /// use corio::observe::{Recording, State, event::{Event, Want}};
    /// use corio::{Mutex, Runner, scope, secs, sleep};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| {
    ///     let lock = Mutex::new(());
    ///     scope(|s| {
    ///         for _ in 0..3 {
    ///             s.spawn(|| {
    ///                 let _mine = lock.lock()?;
    ///                 sleep(secs(1))
    ///             });
    ///         }
    ///         Ok(())
    ///     })
    /// })?;
    /// let (mut state, mut holders) = (State::new(), Vec::new());
    /// for record in recording.records() {
    ///     state.apply(&record);
    ///     if let Some(Want::Thing { holder, .. }) = state.wait_of(4) {
    ///         holders.push(holder);
    ///     }
    /// }
    /// holders.dedup();
    /// // The fourth task waits for a lock that the second has, and then the third; in the last moment it has it itself.
    /// assert_eq!(holders, [2, 3, 0]);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn wait_of(&self, task: u64) -> Option<Want> {
        match self.tasks.get(&task)?.stage {
            Stage::Parked(want) => Some(self.as_it_is(task, want)),
            _ => None,
        }
    }

    fn as_it_is(&self, task: u64, mut want: Want) -> Want {
        if let Want::Thing { id, holder, .. } = &mut want
            && let Some(lock) = self.locks.get(id)
        {
            // Whoever has just been given it waits for nobody: it is about to be woken.
            *holder = if lock.holder == task { 0 } else { lock.holder };
        }
        want
    }

    /// The tasks that a task waits for: for their end, or for what they have.
    pub fn waits_for(&self, task: u64) -> Vec<u64> {
        self.waits_among(task, |group| {
            let children = self.tasks.iter().filter(|(_, task)| task.group == group && !task.is_done());
            children.map(|(id, _)| *id).collect()
        })
    }

    fn waits_among(&self, task: u64, children: impl FnOnce(u64) -> Vec<u64>) -> Vec<u64> {
        match self.wait_of(task) {
            Some(Want::Join { task }) => vec![task],
            Some(Want::Thing { holder, .. }) if holder != 0 => vec![holder],
            Some(Want::Children { group }) => children(group),
            _ => Vec::new(),
        }
    }

    /// Tasks that wait for each other in a circle, if there are any: each for the next, and the last for the first.
    pub fn cycle(&self) -> Option<Vec<u64>> {
        let mut children = BTreeMap::<u64, Vec<u64>>::new();
        for (id, task) in self.tasks.iter().filter(|(_, task)| task.group != 0 && !task.is_done()) {
            children.entry(task.group).or_default().push(*id);
        }
        let turns = |task| self.waits_among(task, |group| children.get(&group).cloned().unwrap_or_default());
        // Depth first, with the way in hand; each step of it with the turns not yet taken.
        let (mut finished, mut on_way) = (BTreeSet::new(), BTreeSet::new());
        for &start in self.tasks.keys() {
            let mut way = Vec::new();
            let mut next = Some(start).filter(|start| !finished.contains(start));
            while let Some(task) = next {
                if !on_way.insert(task) {
                    let entry = way.iter().position(|(passed, _)| *passed == task)?;
                    return Some(way[entry..].iter().map(|(task, _)| *task).collect());
                }
                way.push((task, turns(task)));
                next = loop {
                    let Some((task, turns)) = way.last_mut() else { break None };
                    match turns.pop() {
                        Some(turn) if finished.contains(&turn) => {}
                        Some(turn) => break Some(turn),
                        None => {
                            on_way.remove(task);
                            finished.insert(*task);
                            way.pop();
                        }
                    }
                };
            }
        }
        None
    }

    /// Whether `next` can follow. The rules that every run keeps are written here, and tested with it.
    ///
    /// # Errors
    ///
    /// The rule that `next` breaks.
    pub fn check(&self, next: &Record) -> Result<(), String> {
        rule(next.seq == self.step + 1, "records come in order, without gaps")?;
        rule(next.at >= self.now, "time does not run backwards")?;
        rule(next.cause < next.seq, "a cause comes before its effect")?;
        let known = |task: u64| self.tasks.get(&task).ok_or_else(|| format!("task {task} was never made"));
        match next.event {
            Event::Spawn { task, by, group, .. } => {
                rule(self.tasks.last_key_value().is_none_or(|(last, _)| *last < task), "ids count upwards")?;
                rule(by == 0 || self.running.contains(&by), "only who runs can spawn")?;
                rule(group == 0 || self.groups.contains_key(&group), "a child's group is open")
            }
            // ANCHOR: rules
            Event::Resume { task, sent, nth } => {
                let resumed = known(task)?;
                rule(nth == resumed.resumes + 1, "resumes are counted")?;
                if sent == Sent::Throw {
                    return rule(!resumed.is_done(), "nothing is thrown into a task that is done");
                }
                let at_once =
                    sent == Sent::Start && self.running.last().is_some_and(|last| [0, *last].contains(&resumed.by));
                rule(at_once || self.running.is_empty(), "one task runs at a time")?;
                rule(at_once || self.ready.front() == Some(&task), "first ready, first resumed")?;
                rule((sent == Sent::Start) == (resumed.stage == Stage::New), "a task starts once")?;
                rule(next.cause != 0 || task == 1, "every resume has a cause")
            }
            // ANCHOR_END: rules
            Event::Yield { task, .. } => rule(self.running.last() == Some(&task), "only who runs can pause"),
            Event::Polled { task, .. } => rule(self.running.last() == Some(&task), "only who runs is polled"),
            Event::Complete { task, end } => {
                let unrun = known(task)?.stage == Stage::New && end == End::Cancelled;
                rule(unrun || self.running.last() == Some(&task), "only who runs, or never began, can end")?;
                rule(self.groups.values().all(|group| group.owner != task), "a scope is left before its owner ends")
            }
            Event::Wake { task, by } => {
                let Stage::Parked(want) = known(task)?.stage else {
                    return Err(format!("task {task} is woken, but it was not parked"));
                };
                let fits = match (by, want) {
                    // What a future of somebody's waits for, only that one knows.
                    (_, Want::Future) => true,
                    _ if known(task)?.is_future => true,
                    (By::Timer(timer), Want::Sleep { timer: sleep }) => timer == sleep,
                    (By::Timer(_), want) => {
                        matches!(want, Want::Io { .. } | Want::Any { .. } | Want::Worker | Want::Remote | Want::Message)
                    }
                    (By::Io(source), Want::Io { source: own, .. }) => own == source,
                    (By::Io(_), want) => matches!(want, Want::Any { .. }),
                    (By::Task(ended), Want::Join { task }) => ended == task,
                    (By::Task(ended), Want::Children { group }) => {
                        self.tasks.get(&ended).is_some_and(|child| child.group == group)
                    }
                    _ => true,
                };
                rule(fits, &format!("{by:?} wakes a task that waits for {want:?}"))
            }
            Event::TimerFire { timer } => {
                let due = self.timers.get(&timer).map(|timer| timer.due);
                rule(due.is_some_and(|due| due <= next.at), "a timer fires when it is due, never early")?;
                rule(self.next_timer().map(|(id, _)| id) == Some(timer), "the timer that is due first fires first")
            }
            Event::TimerDrop { timer } => rule(self.timers.contains_key(&timer), "only a timer that is set is dropped"),
            Event::PollEnter { timeout, why } => {
                rule(self.running.is_empty(), "the loop polls when nobody runs")?;
                // The timeout was computed between the two readings of the clock.
                let in_time = |due: Nanos, timeout: Nanos| {
                    (due.saturating_sub(next.at)..=due.saturating_sub(self.now)).contains(&timeout)
                };
                rule(
                    match (why, timeout, self.next_timer()) {
                        (PollReason::Ready, timeout, _) => timeout == Some(0),
                        _ if !self.ready.is_empty() => false,
                        (PollReason::Timer, Some(timeout), Some((_, timer))) => in_time(timer.due, timeout),
                        (PollReason::Network | PollReason::Grace, Some(timeout), timer) => {
                            timer.is_none_or(|(_, timer)| timer.due >= self.now.saturating_add(timeout))
                        }
                        (PollReason::Nothing, None, None) => true,
                        _ => false,
                    },
                    "a poll waits for the nearest timer, not at all if somebody is ready, and for ever if there is no timer",
                )
            }
            Event::GroupClose { group } => rule(
                self.tasks.values().all(|task| task.group != group || task.is_done()),
                "a region closes when its tasks are gone",
            ),
            Event::LoopStop => rule(
                self.tasks.values().all(Task::is_done) && self.timers.is_empty() && self.groups.is_empty(),
                "a run leaves nothing behind",
            ),
            _ => Ok(()),
        }
    }

    /// The owner of the region that a task belongs to.
    ///
    /// ```
    /// use corio::observe::{Recording, State, event::Event};
    /// use corio::{Runner, scope, sleep, secs};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| {
    ///     scope(|s| {
    ///         s.spawn(|| sleep(secs(1)));
    ///         Ok(())
    ///     })
    /// })?;
    /// let mut state = State::new();
    /// for record in recording.records() {
    ///     state.apply(&record);
    ///     if matches!(record.event, Event::Spawn { task: 2, .. }) {
    ///         assert_eq!(state.owner(&state.tasks[&2]), Some(1)); // below main in a tree
    ///     }
    /// }
    /// # std::io::Result::Ok(())
    /// ```
    pub fn owner(&self, task: &Task) -> Option<u64> {
        self.groups.get(&task.group).map(|group| group.owner)
    }

    /// What the loop's own tables say. Of the past they know nothing.
    pub(crate) fn of(lp: &EventLoop) -> State {
        use crate::task::State as Real;
        let mut state = State { now: lp.clock.now(), ..State::default() };
        for task in lp.all_tasks() {
            let core = &task.core;
            // SAFETY: a group outlives its children (R2), and this one is in the table.
            let group = unsafe { core.group.get().as_ref() };
            if let Some(group) = group {
                state.groups.insert(group.id, Group { owner: group.owner().id(), at: group.at });
            }
            let mut seen = Task::new(0, group.map_or(0, |group| group.id), core.spawned_at(), None);
            seen.stage = match (core.state(), core.waits_now(lp)) {
                (Real::Ready, _) if !core.is_active() => Stage::New,
                (Real::Ready, _) => Stage::Ready,
                (Real::Running, _) => Stage::Running,
                (Real::Parked, Some((want, _))) => Stage::Parked(want),
                (Real::Parked, None) => unreachable!("a parked task has said what it waits for"),
                (Real::Done, _) => Stage::Done(core.end()),
            };
            seen.paused_at = core.waits().map(|(_, at)| at);
            seen.resumes = core.resumes();
            seen.is_future = !core.stack_size.is_some() && core.is_active();
            if let Stage::Parked(want) = seen.stage
                && !seen.is_future
            {
                state.await_lock(want, false);
            }
            state.tasks.insert(core.id(), seen);
        }
        state.running.extend(lp.running().map(|task| task.core.id()));
        state.ready.extend(lp.ready_ids());
        state.timers.extend(lp.timers());
        state.sources.extend(lp.reactor.descriptors().into_keys());
        state
    }

    /// Where the two disagree about what both can know: the fold, and the loop's tables at a moment when nobody runs.
    pub(crate) fn differs(&self, real: &State) -> Option<String> {
        fn tell<T: PartialEq + Debug>(what: &str, told: T, real: T) -> Option<String> {
            (told != real).then(|| format!("{what}\n  the records say: {told:?}\n  the loop's tables: {real:?}"))
        }
        let stage = |state: &State, id: u64, task: &Task| match task.stage {
            // Who has a lock that a future waits for, the tables do not know.
            Stage::Parked(Want::Thing { thing, id, .. }) if task.is_future => {
                Stage::Parked(Want::Thing { thing, id, holder: 0 })
            }
            Stage::Parked(want) => Stage::Parked(state.as_it_is(id, want)),
            stage => stage,
        };
        let tasks = |state: &State| -> Vec<_> {
            let tasks = state.tasks.iter().filter(|(_, task)| !task.is_done());
            tasks.map(|(id, task)| (*id, stage(state, *id, task), task.resumes, task.paused_at, task.group)).collect()
        };
        tell("the tasks", tasks(self), tasks(real))
            .or_else(|| tell("who runs", &self.running, &real.running))
            .or_else(|| tell("the ready queue", &self.ready, &real.ready))
            .or_else(|| tell("the timers", &self.timers, &real.timers))
            .or_else(|| tell("the sources of I/O", &self.sources, &real.sources))
    }

    fn with(&mut self, task: u64, f: impl FnOnce(&mut Task)) {
        if let Some(task) = self.tasks.get_mut(&task) {
            f(task);
        }
    }

    fn enter(&mut self, task: u64, stage: Stage) {
        let now = self.now;
        let Some(task) = self.tasks.get_mut(&task) else { return };
        let (before, is_future) = (task.stage, task.is_future);
        task.enter(stage, now);
        if let Stage::Parked(want) = before {
            self.await_no_more(want);
        }
        if let Stage::Parked(want) = stage {
            self.await_lock(want, is_future);
        }
    }

    /// One more waits for a lock. A future may have said who has it before that changed, in the same poll.
    fn await_lock(&mut self, want: Want, is_future: bool) {
        let Some((id, holder)) = lock(want) else { return };
        let lock = self.locks.entry(id).or_insert(Lock { holder, waiting: 0 });
        lock.waiting += 1;
        if !is_future {
            lock.holder = holder;
        }
    }

    fn await_no_more(&mut self, want: Want) {
        if let Some((id, _)) = lock(want)
            && let Some(lock) = self.locks.get_mut(&id)
        {
            lock.waiting -= 1;
            if lock.waiting == 0 {
                self.locks.remove(&id);
            }
        }
    }

    fn leave_queue(&mut self, task: u64) {
        // Nearly always it is the first, or not there at all.
        if self.tasks.get(&task).is_some_and(|task| matches!(task.stage, Stage::New | Stage::Ready))
            && let Some(place) = self.ready.iter().position(|ready| *ready == task)
        {
            self.ready.remove(place);
        }
    }
}

/// If it is a lock that is waited for: its number, and who had it at the pause.
fn lock(want: Want) -> Option<(u32, u64)> {
    match want {
        Want::Thing { thing: Thing::Lock | Thing::Read | Thing::Write, id, holder } => Some((id, holder)),
        _ => None,
    }
}

fn rule(kept: bool, rule: &str) -> Result<(), String> {
    if kept { Ok(()) } else { Err(format!("broken rule: {rule}")) }
}
