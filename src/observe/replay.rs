//! A recorded run, seen from any of its steps.

use super::event::Record;
use super::state::State;
use super::{Names, Narrator, Observer};

/// How many records lie between two states that are kept, or more.
const EVERY: usize = 256;

/// A recorded run, seen from one of its steps: forwards and backwards, as often as one likes. From
/// [`Recording::replay`](super::Recording::replay).
///
/// A step is the number of a record, and the view is that after it; step 0 is before the first. To go to any step costs about
/// the same, whichever it is.
///
/// ```
/// use corio::observe::{Recording, Replay, event::Event};
/// use corio::{Runner, secs, sleep, spawn};
///
/// # if !cfg!(feature = "observe") { return Ok(()) }
/// let recording = Recording::new();
/// Runner::new().virtual_clock().observer(recording.clone()).run(|| spawn(|| sleep(secs(1))).join())?;
///
/// let mut replay: Replay = recording.replay();
/// assert!(replay.forward(|record| matches!(record.event, Event::Yield { .. })));
/// assert_eq!(replay.state().waits_for(1), [2]); // main has paused
/// let paused = replay.step();
/// assert!(replay.forward(|record| matches!(record.event, Event::TimerFire { .. })));
/// assert_eq!(replay.state().now, 1_000_000_000);
/// assert!(replay.back(|record| matches!(record.event, Event::Yield { task: 1, .. })));
/// assert_eq!((replay.step(), replay.record().unwrap().seq), (paused, paused));
/// assert!(replay.told().contains("main       ■ pauses at"));
/// let cause = &replay.records()[replay.record().unwrap().cause as usize - 1];
/// assert!(matches!(cause.event, Event::Resume { task: 1, .. })); // what it did in that turn led there
/// replay.go_to(replay.steps()); // the end
/// assert!(replay.state().tasks.values().all(|task| task.is_done()) && replay.names().task(1) == "main");
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Replay {
    records: Vec<Record>,
    names: Names,
    state: State,
    /// After the last record.
    end: State,
    /// Some of the states, each with the number of records that led to it; the first one is that before all of them.
    kept: Vec<(usize, State)>,
}

impl Replay {
    pub(super) fn new(records: Vec<Record>, names: Names) -> Replay {
        let start = State::new();
        let kept = vec![(0, start.clone())];
        let mut replay = Replay { records: Vec::new(), names, end: start.clone(), kept, state: start };
        records.iter().for_each(|record| replay.append(record));
        replay
    }

    /// The run has gone on: one step more at its end. The view stays where it is.
    ///
    /// Steps are counted from where the records begin: whoever came to a runner late has missed those of its earlier runs.
    pub(super) fn append(&mut self, record: &Record) {
        let record = record.without_the_first(record.seq.saturating_sub(self.steps() + 1));
        self.end.apply(&record);
        self.records.push(record);
        // The more tasks a state has, the rarer it is kept: all of them together are about as large as the records.
        let last = self.kept.last().map_or(0, |(records, _)| *records);
        if self.records.len() - last >= EVERY.max(self.end.tasks.len()) {
            self.kept.push((self.records.len(), self.end.clone()));
        }
    }

    pub(super) fn set_names(&mut self, names: Names) {
        self.names = names;
    }

    /// Everything after the last step.
    pub(super) fn end(&self) -> &State {
        &self.end
    }

    /// How many steps there are.
    pub fn steps(&self) -> u64 {
        self.records.len() as u64
    }

    /// The step that is seen.
    pub fn step(&self) -> u64 {
        self.state.step
    }

    /// Everything at this step.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Everything just before this step.
    pub(super) fn before(&self) -> State {
        self.at(self.step().saturating_sub(1))
    }

    /// What happened last; nothing, before the first step.
    pub fn record(&self) -> Option<&Record> {
        self.up_to(self.step()).last()
    }

    /// All records, the one of step 1 first.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The names and texts that the records refer to.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// What happened last, in the words of a [`Narrator`] that tells everything.
    pub fn told(&self) -> String {
        self.told_at(self.step())
    }

    /// What happened at a step, in the words of a [`Narrator`] that tells everything. Nothing, at step 0.
    ///
    /// ```
    /// use corio::observe::Recording;
    /// use corio::{Runner, secs, sleep};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| sleep(secs(1)))?;
    /// let replay = recording.replay();
    /// assert!(replay.told_at(replay.steps()).ends_with("loop         stops"));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn told_at(&self, step: u64) -> String {
        let step = step.min(self.steps());
        // What was said of a task just before may be a part of it.
        let first = step.saturating_sub(2);
        let Some((last, before)) = self.up_to(step)[first as usize..].split_last() else { return String::new() };
        let mut narrator = Narrator::of_a_moment(Vec::new(), self.at(first));
        before.iter().for_each(|record| narrator.record(record, &self.names));
        narrator.last(last, &self.names)
    }

    /// Goes to a step, or to the last one if there are not so many.
    pub fn go_to(&mut self, step: u64) {
        self.state = self.at(step.min(self.steps()));
    }

    /// Goes to the next step that is wanted. If there is none, it stays and says so.
    pub fn forward(&mut self, mut is_wanted: impl FnMut(&Record) -> bool) -> bool {
        let found = self.records[self.step() as usize..].iter().find(|record| is_wanted(record));
        found.map(|record| record.seq).inspect(|step| self.go_to(*step)).is_some()
    }

    /// As [`forward`](Replay::forward), for who has to see what the record led to.
    pub(super) fn forward_in_view(&mut self, mut is_wanted: impl FnMut(&Record, &State) -> bool) -> bool {
        let mut state = self.state.clone();
        for record in &self.records[self.step() as usize..] {
            state.apply(record);
            if is_wanted(record, &state) {
                self.state = state;
                return true;
            }
        }
        false
    }

    /// Goes back to the nearest step before this one that is wanted. If there is none, it stays and says so.
    pub fn back(&mut self, mut is_wanted: impl FnMut(&Record) -> bool) -> bool {
        let earlier = self.up_to(self.step().saturating_sub(1));
        let found = earlier.iter().rev().find(|record| is_wanted(record));
        found.map(|record| record.seq).inspect(|step| self.go_to(*step)).is_some()
    }

    /// The records up to this step.
    pub(super) fn so_far(&self) -> &[Record] {
        self.up_to(self.step())
    }

    /// The records after this step.
    pub(super) fn to_come(&self) -> &[Record] {
        &self.records[self.step() as usize..]
    }

    /// The records up to a step.
    pub(super) fn up_to(&self, step: u64) -> &[Record] {
        &self.records[..step as usize]
    }

    fn at(&self, step: u64) -> State {
        let near = self.kept.partition_point(|(records, _)| *records <= step as usize) - 1;
        let (records, mut state) = self.kept[near].clone();
        self.up_to(step)[records..].iter().for_each(|record| state.apply(record));
        state
    }
}
