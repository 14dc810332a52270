//! The layout of a picture of a run: what stands on which lane, from where to where.
//!
//! All drawings are of this one layout: the trace of Chrome, the page, and the picture for a book. What a record means, [`State`]
//! says; here it is given its place.

use std::collections::BTreeMap;

use super::Names;
use super::event::{By, End, Event, Record};
use super::state::{Stage, State};
use super::words::{Seconds, by, handed_in, place, want, why};
use crate::timer::Nanos;

/// The lane of the loop. That of a task is its id.
pub(super) const LOOP: u64 = 0;

/// A run, laid out. Everything is in the order of the records.
#[derive(Default)]
pub(super) struct Timeline {
    /// The loop first, then the tasks by id, with their names.
    pub(super) lanes: Vec<(u64, String)>,
    pub(super) slices: Vec<Slice>,
    pub(super) arrows: Vec<Arrow>,
    pub(super) moments: Vec<Moment>,
    pub(super) counts: Vec<Count>,
}

/// A position on either axis.
#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) step: u64,
    pub(super) at: Nanos,
}

/// What a lane does for a while. On a task's lane one follows the other without a hole. What takes no time is drawn as long as
/// a step.
pub(super) struct Slice {
    pub(super) lane: u64,
    pub(super) from: Point,
    pub(super) to: Point,
    pub(super) doing: Doing,
    /// In full, and what is left of it where there is little room.
    pub(super) text: String,
    pub(super) short: String,
    /// More to say of it, each with its name.
    pub(super) notes: Vec<(&'static str, String)>,
}

/// What a slice shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    FirstTurn,
    Turn,
    Runs,
    Parked,
    Polls,
    /// The loop makes a task ready, which takes no time.
    Wakes,
}

/// Somebody made a task ready.
pub(super) struct Arrow {
    pub(super) at: Point,
    /// How, or by what.
    pub(super) reason: String,
    /// The slice of whoever did it; it may have ended just before.
    pub(super) from: usize,
    /// The slice in which the task waits for its turn.
    pub(super) to: usize,
    /// The one in which it runs then, if it does.
    pub(super) runs: Option<usize>,
}

/// Something that takes no time.
pub(super) struct Moment {
    pub(super) at: Point,
    pub(super) lane: u64,
    pub(super) what: What,
    pub(super) text: String,
}

/// What a moment shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Prints,
    Mark,
    NoPause,
    Callback,
    /// Somebody is asked to end.
    Cancel,
    /// A task has returned, or a run is over.
    Returned,
    /// A task has ended otherwise, or nobody can go on.
    Failed,
}

/// How many tasks are ready and how many parked, from here on.
pub(super) struct Count {
    pub(super) at: Point,
    pub(super) ready: usize,
    pub(super) parked: usize,
}

impl Doing {
    pub(super) const ALL: [Doing; 6] =
        [Doing::FirstTurn, Doing::Turn, Doing::Runs, Doing::Parked, Doing::Polls, Doing::Wakes];

    /// Its pattern: a path in a tile of 8 by 8. Nothing is told by colour alone.
    pub(super) fn pattern(self) -> &'static str {
        match self {
            Doing::FirstTurn => "M1 2h2M5 6h2",
            Doing::Turn => "M-1 9L9 -1M-1 1L1 -1M7 9L9 7",
            Doing::Runs => "",
            Doing::Parked => "M0 4h8",
            Doing::Polls => "M0 2l2 2l2 -2l2 2l2 -2",
            Doing::Wakes => "M-1 -1L9 9M-1 9L9 -1",
        }
    }

    /// Its colour on a light ground.
    pub(super) fn colour(self) -> &'static str {
        match self {
            Doing::FirstTurn => "#ececec",
            Doing::Turn => "#ffe2a8",
            Doing::Runs => "#8fd19e",
            Doing::Parked => "#d8e4f5",
            Doing::Polls => "#e9dcf5",
            Doing::Wakes => "#d3b5ef",
        }
    }

    /// A sign for it, as the narration has them where it has one.
    pub(super) fn sign(self) -> char {
        match self {
            Doing::FirstTurn => '○',
            Doing::Turn => '…',
            Doing::Runs => '►',
            Doing::Parked => '■',
            Doing::Polls => '~',
            Doing::Wakes => '!',
        }
    }

    /// For the legend of a picture.
    pub(super) fn called(self) -> &'static str {
        match self {
            Doing::FirstTurn => "waits for its first turn",
            Doing::Turn => "waits for its turn",
            Doing::Runs => "runs",
            Doing::Parked => "parked",
            Doing::Polls => "the loop polls",
            Doing::Wakes => "the loop wakes a task",
        }
    }
}

impl What {
    pub(super) const ALL: [What; 7] =
        [What::Prints, What::Mark, What::NoPause, What::Callback, What::Cancel, What::Returned, What::Failed];

    pub(super) fn sign(self) -> char {
        match self {
            What::Prints => '"',
            What::Mark => '#',
            What::NoPause => '·',
            What::Callback => 'ƒ',
            What::Cancel => '×',
            What::Returned => '✔',
            What::Failed => '✘',
        }
    }

    pub(super) fn called(self) -> &'static str {
        match self {
            What::Prints => "prints",
            What::Mark => "mark",
            What::NoPause => "no pause",
            What::Callback => "callback",
            What::Cancel => "is asked to end",
            What::Returned => "ends well",
            What::Failed => "ends otherwise",
        }
    }
}

impl Slice {
    /// All that there is to say of it.
    pub(super) fn in_full(&self) -> String {
        let notes = self.notes.iter().map(|(name, text)| format!(", {name} {text}"));
        self.text.clone() + &notes.collect::<String>()
    }
}

impl Point {
    fn of(record: &Record) -> Point {
        Point { step: record.seq, at: record.at }
    }
}

impl Timeline {
    pub(super) fn of(records: &[Record], names: &Names) -> Timeline {
        let mut fold = Fold {
            names,
            state: State::new(),
            drawn: Timeline::default(),
            open: BTreeMap::new(),
            ran: BTreeMap::new(),
            woken: BTreeMap::new(),
            parked: 0,
        };
        records.iter().for_each(|record| fold.take(record));
        fold.finish(records.last())
    }
}

/// Whether the task that a record is about is parked.
pub(super) fn parks(record: &Record, state: &State) -> bool {
    let task = record.event.task().and_then(|task| state.tasks.get(&task));
    task.is_some_and(|task| matches!(task.stage, Stage::Parked(_)))
}

struct Fold<'a> {
    names: &'a Names,
    state: State,
    drawn: Timeline,
    /// The slice of each lane that has not ended.
    open: BTreeMap<u64, usize>,
    /// The one in which each task ran last.
    ran: BTreeMap<u64, usize>,
    /// Tasks that were made or woken and have not run yet: by which arrow.
    woken: BTreeMap<u64, usize>,
    parked: usize,
}

impl Fold<'_> {
    fn take(&mut self, record: &Record) {
        let was_parked = parks(record, &self.state);
        self.state.apply(record);
        let at = Point::of(record);
        match record.event {
            Event::LoopStop => self.moment(at, LOOP, What::Returned, "the run is over".to_owned()),
            Event::Spawn { task, by, at: made, .. } => {
                let to = self.begin(task, at, Doing::FirstTurn, "waits for its first turn", "first turn");
                self.note(to, "made at", place(made));
                if let Some(&from) = self.ran.get(&by) {
                    self.arrow(task, at, format!("{} makes it", self.names.task(by)), from, to);
                }
            }
            Event::Resume { task, sent, nth } => {
                self.end(task, at);
                let run = self.begin(task, at, Doing::Runs, "runs", "runs");
                self.note(run, "sent", handed_in(sent).to_owned());
                self.note(run, "resume", nth.to_string());
                self.ran.insert(task, run);
                if let Some(arrow) = self.woken.remove(&task) {
                    self.drawn.arrows[arrow].runs = Some(run);
                }
            }
            Event::Yield { task, want: wanted, at: line } => {
                self.end(task, at);
                let wanted = want(wanted, &self.state, self.names);
                let parked = self.begin(task, at, Doing::Parked, &format!("waits for {wanted}"), &wanted);
                self.note(parked, "at", place(line));
            }
            Event::Complete { task, end } => {
                self.end(task, at);
                let (what, how) = match end {
                    End::Returned => (What::Returned, "returns"),
                    End::Failed => (What::Failed, "fails"),
                    End::Cancelled => (What::Failed, "ends cancelled"),
                    End::Panicked => (What::Failed, "panics"),
                };
                self.moment(at, task, what, how.to_owned());
            }
            Event::Wake { task, by } => self.wake(at, task, by),
            Event::PollEnter { timeout, .. } => {
                let (text, short) = match timeout {
                    Some(timeout) => (format!("polls for {}", Seconds(timeout)), Seconds(timeout).to_string()),
                    None => ("polls until something happens".to_owned(), "polls".to_owned()),
                };
                self.begin(LOOP, at, Doing::Polls, &text, &short);
            }
            Event::PollReturn { .. } => self.end(LOOP, at),
            Event::CancelAsk { task, why: reason, .. } => {
                self.moment(at, task, What::Cancel, format!("is asked to end: {}", why(reason)));
            }
            Event::NoPause { task, want: wanted, at: line } => {
                let wanted = want(wanted, &self.state, self.names);
                self.moment(at, task, What::NoPause, format!("no pause at {}: {wanted}", place(line)));
            }
            Event::Out { task, text } => {
                self.moment(at, task, What::Prints, self.names.text(text).to_owned());
            }
            Event::Callback { at: line } => {
                self.moment(at, LOOP, What::Callback, format!("calls what was scheduled at {}", place(line)));
            }
            Event::Mark { text } => self.moment(at, LOOP, What::Mark, self.names.text(text).to_owned()),
            Event::Deadlock { .. } => self.moment(at, LOOP, What::Failed, "deadlock".to_owned()),
            _ => {}
        }
        self.count(at, was_parked, parks(record, &self.state));
    }

    /// Whoever woke the task: another, or it itself; or the loop, on whose lane that is a slice.
    fn wake(&mut self, at: Point, task: u64, by: By) {
        let waker = match by {
            By::Task(waker) => Some(waker),
            By::Itself => Some(task),
            By::Cancel => self.state.running.last().copied(),
            _ => None,
        };
        let by = self::by(by, self.names);
        let run = waker.and_then(|waker| self.ran.get(&waker)).copied();
        let polls = self.open.get(&LOOP).copied();
        let from = run.or(polls).unwrap_or_else(|| {
            let text = format!("{by} wakes {}", self.names.task(task));
            let from = self.begin(LOOP, at, Doing::Wakes, &text, &by);
            self.end(LOOP, at);
            from
        });
        self.end(task, at);
        let ahead = self.state.ready.len() - 1;
        let (text, short) = (format!("waits for its turn, {ahead} ahead"), format!("{ahead} ahead"));
        let to = self.begin(task, at, Doing::Turn, &text, &short);
        self.arrow(task, at, format!("woken by {by}"), from, to);
        self.note(to, "woken by", by);
    }

    fn arrow(&mut self, task: u64, at: Point, reason: String, from: usize, to: usize) {
        self.woken.insert(task, self.drawn.arrows.len());
        self.drawn.arrows.push(Arrow { at, reason, from, to, runs: None });
    }

    fn moment(&mut self, at: Point, lane: u64, what: What, text: String) {
        self.drawn.moments.push(Moment { at, lane, what, text });
    }

    fn begin(&mut self, lane: u64, from: Point, doing: Doing, text: &str, short: &str) -> usize {
        let slice = self.drawn.slices.len();
        let (text, short) = (text.to_owned(), short.to_owned());
        self.drawn.slices.push(Slice { lane, from, to: from, doing, text, short, notes: Vec::new() });
        self.open.insert(lane, slice);
        slice
    }

    fn note(&mut self, slice: usize, name: &'static str, text: String) {
        self.drawn.slices[slice].notes.push((name, text));
    }

    fn end(&mut self, lane: u64, to: Point) {
        if let Some(slice) = self.open.remove(&lane) {
            self.drawn.slices[slice].to = to;
        }
    }

    fn count(&mut self, at: Point, was_parked: bool, is_parked: bool) {
        self.parked = self.parked + usize::from(is_parked) - usize::from(was_parked);
        let (ready, parked) = (self.state.ready.len(), self.parked);
        let before = self.drawn.counts.last().map_or((0, 0), |last| (last.ready, last.parked));
        if before != (ready, parked) {
            self.drawn.counts.push(Count { at, ready, parked });
        }
    }

    fn finish(mut self, last: Option<&Record>) -> Timeline {
        // Whatever a recording that was cut off shows, it shows up to there.
        for slice in self.open.into_values() {
            self.drawn.slices[slice].to = last.map_or(self.drawn.slices[slice].from, Point::of);
        }
        self.drawn.lanes.push((LOOP, "loop".to_owned()));
        self.drawn.lanes.extend(self.state.tasks.keys().map(|task| (*task, self.names.task(*task))));
        self.drawn
    }
}
