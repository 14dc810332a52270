//! The last records of a run, and what they cannot be read without: the state before them, names and texts.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use super::event::{By, Event, Record, Want};
use super::words::shown;
use super::{Names, Narrator, Observer, State};

/// The records that are kept, the last ones.
#[derive(Clone, Default)]
pub(super) struct Tape {
    pub(super) capacity: usize,
    pub(super) records: VecDeque<Record>,
    base: Base,
    /// The names of tasks, as far as they have any: of those that have not ended, and of those that a record speaks of.
    pub(super) names: BTreeMap<u64, String>,
    /// Of the tasks among them that have ended: the last record that speaks of it.
    ended: BTreeMap<u64, u64>,
    /// What was printed, marks, and values, which only others have noted who watch beside this one: one for each record of
    /// these, in their order, and the number of the first.
    pub(super) texts: VecDeque<String>,
    first_text: u32,
}

/// What was so before the first record.
#[derive(Clone, Default)]
struct Base {
    state: State,
    /// The task whose error was reported last, because nobody took it.
    unseen: Option<u64>,
}

impl Base {
    // ANCHOR: pass
    fn pass(&mut self, record: &Record) {
        self.state.apply(record);
        match record.event {
            Event::Complete { task, .. } => self.state.forget(task),
            Event::Unseen { task } => self.unseen = Some(task),
            _ => {}
        }
    }
    // ANCHOR_END: pass
}

impl Tape {
    /// For so many records.
    ///
    /// # Panics
    ///
    /// As `Vec::with_capacity`.
    pub(super) fn new(capacity: usize) -> Tape {
        Tape { capacity, records: VecDeque::with_capacity(capacity.saturating_add(1)), ..Tape::default() }
    }

    /// What was so before the first record.
    pub(super) fn before(&self) -> &State {
        &self.base.state
    }

    /// Empties it. The records of another loop come now, after this one.
    pub(super) fn clear(&mut self, seq: u64) {
        self.records.clear(); // and keeps the memory
        let base = Base { state: State { step: seq, ..State::default() }, unseen: None };
        *self = Tape { capacity: self.capacity, records: mem::take(&mut self.records), base, ..Tape::default() };
    }

    pub(super) fn write(&mut self, record: &Record, names: &Names) {
        match record.event {
            Event::Spawn { task, .. } => self.learn(task, names),
            event => event.task().into_iter().for_each(|task| self.learn(task, names)),
        }
        if let Some(text) = record.event.text() {
            if self.texts.is_empty() {
                self.first_text = text;
            }
            self.texts.push_back(names.text(text).to_owned());
        }
        if let Some(task) = speaks_of(&record.event)
            && self.names.contains_key(&task)
            && (matches!(record.event, Event::Complete { .. }) || self.ended.contains_key(&task))
        {
            self.ended.insert(task, record.seq);
        }
        self.records.push_back(*record);
        if self.records.len() > self.capacity {
            self.forget_the_first();
        }
    }

    /// A name may have been given or changed at any time. It is looked for wherever the task is spoken of.
    fn learn(&mut self, task: u64, names: &Names) {
        if let Some(name) = names.tasks.get(&task)
            && self.names.get(&task) != Some(name)
        {
            self.names.insert(task, name.clone());
        }
    }

    fn forget_the_first(&mut self) {
        let Some(record) = self.records.pop_front() else { return };
        self.base.pass(&record);
        if record.event.text().is_some() {
            self.texts.pop_front();
            self.first_text = self.first_text.wrapping_add(1);
        }
        if let Some(task) = speaks_of(&record.event)
            && self.ended.get(&task) == Some(&record.seq)
        {
            self.ended.remove(&task);
            self.names.remove(&task);
        }
    }

    /// The number of the last record.
    pub(super) fn last(&self) -> u64 {
        self.records.back().map_or(self.base.state.step, |record| record.seq)
    }

    /// After the last record.
    pub(super) fn state(&self) -> State {
        let mut base = self.base.clone();
        self.records.iter().for_each(|record| base.pass(record));
        base.state
    }

    pub(super) fn who(&self, task: u64) -> String {
        self.names
            .get(&task)
            .map_or_else(|| format!("task-{task} ({task})"), |name| format!("{} ({task})", shown(name)))
    }

    /// What comes after the record of that number.
    pub(super) fn narrate(self, told: u64, detail: u8) -> String {
        let Tape { records, mut base, names, texts, first_text, .. } = self;
        let names = Names { tasks: names, texts: texts.into(), first: first_text };
        let new = records.partition_point(|record| record.seq <= told);
        records.range(..new).for_each(|record| base.pass(record));
        let mut text = Vec::new();
        let mut narrator = Narrator::since(&mut text, base.state, base.unseen).detail(detail);
        records.range(new..).for_each(|record| narrator.record(record, &names));
        narrator.finish(&names);
        String::from_utf8(text).expect("a narrator writes text")
    }
}

/// The task that the record speaks of, though that has ended, or ends.
fn speaks_of(event: &Event) -> Option<u64> {
    match *event {
        Event::Complete { task, .. }
        | Event::Unseen { task }
        | Event::NoPause { want: Want::Join { task }, .. }
        | Event::Wake { by: By::Task(task), .. }
        | Event::Give { to: task, .. } => Some(task),
        _ => None,
    }
}
