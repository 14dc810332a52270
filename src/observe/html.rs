//! A recording as a page: one file, to be opened from disk.
//!
//! Rust writes down what is to be seen at each step: the words, and what changes in the panel. The script on the page knows how to
//! draw and how to move, and nothing of what records mean.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::io;
use std::path::Path;

use super::event::{Event, Place, Record, Want};
use super::explain::explain;
use super::json::Text;
use super::narrator::{Narrator, Told};
use super::state::{Stage, State};
use super::timeline::{Doing, LOOP, Timeline, What, parks};
use super::view::stands;
use super::words::{Sources, handed_in, handed_out, place, want};
use super::{Names, Recording};
use crate::timer::Nanos;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = concat!(include_str!("page/run.js"), include_str!("page/lanes.js"), include_str!("page/start.js"));

impl Recording {
    /// The run as a page for a browser: a single file that needs nothing else, no network and no server.
    ///
    /// It has a lane for the loop and one for each task, as [`chrome_trace`](Self::chrome_trace) has, by step or by time; and beside
    /// them, for the step that one looks at, what a [`Stepper`](super::Stepper) shows: the line in the source, what the loop and the
    /// task have handed each other, who is ready, which timers are set, who is parked and why. The keys are the stepper's
    /// letters. The page's address keeps the step, as in `run.html#step=14`. The program's own source files are put into it, as far
    /// as records point to them and they can be read where this is called: whoever gets the page gets them too.
    ///
    /// ```
    /// use corio::observe::Recording;
    /// use corio::{Runner, secs, sleep, spawn};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| spawn(|| sleep(secs(1))).join())?;
    /// let page = recording.html(); // to be kept: std::fs::write("run.html", page)
    /// assert!(page.starts_with("<!doctype html>"));
    /// assert!(page.contains("waits for task-2 to end"));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn html(&self) -> String {
        let (records, names) = (self.records(), self.names());
        let narration = self.narrate(1).replace('&', "&amp;").replace('<', "&lt;");
        let run = Run::new(&names).told(&records);
        let (mut page, mut rest) = (String::new(), PAGE);
        for (gap, content) in [("{style}", STYLE), ("{narration}", &narration), ("{run}", &run), ("{script}", SCRIPT)] {
            let (before, after) = rest.split_once(gap).expect("the page has this gap");
            page += before;
            page += content;
            rest = after;
        }
        page + rest
    }
}

/// What the page gets to know, as it is written down.
struct Run<'a> {
    names: &'a Names,
    narrator: Narrator<io::Sink>,
    state: State,
    texts: Texts,
    places: Places,
    /// Who was resumed last.
    resumed: u64,
}

/// Texts by number, of which 0 is the empty one: most are there many times.
struct Texts(BTreeMap<String, usize>);

/// Lines of source files by number, and the files themselves.
#[derive(Default)]
struct Places {
    sources: Sources,
    files: BTreeMap<&'static str, usize>,
    lines: BTreeMap<(&'static str, u32), usize>,
    /// Both in the order of their numbers, as JSON.
    all_files: Vec<String>,
    all_lines: Vec<String>,
}

impl Run<'_> {
    fn new(names: &Names) -> Run<'_> {
        let narrator = Narrator::of_a_moment(io::sink(), State::new());
        let (texts, places) = (Texts(BTreeMap::from([(String::new(), 0)])), Places::default());
        Run { names, narrator, state: State::new(), texts, places, resumed: 1 }
    }

    fn told(mut self, records: &[Record]) -> String {
        let drawn = Timeline::of(records, self.names);
        let mut json = String::new();
        table(&mut json, "steps", records.iter().map(|record| self.step(record)));
        table(&mut json, "lanes", drawn.lanes.iter().map(|(lane, name)| format!("[{lane},{}]", Text(name))));
        let doings = Doing::ALL.map(|doing| {
            let (sign, name, path) = (doing.sign().to_string(), doing.called(), doing.pattern());
            format!("[{},{},{}]", Text(&sign), Text(name), Text(path))
        });
        table(&mut json, "doings", doings);
        let whats = What::ALL.map(|what| format!("[{},{}]", Text(&what.sign().to_string()), Text(what.called())));
        table(&mut json, "whats", whats);
        let slices = drawn.slices.iter().map(|slice| {
            let (short, text) = (self.texts.number(&slice.short), self.texts.number(&slice.in_full()));
            let (from, to, doing) = (slice.from.step, slice.to.step, slice.doing as usize);
            format!("[{},{from},{to},{doing},{short},{text}]", slice.lane)
        });
        table(&mut json, "slices", slices);
        let arrows = drawn.arrows.iter().map(|arrow| {
            let (from, to) = (drawn.slices[arrow.from].lane, drawn.slices[arrow.to].lane);
            format!("[{},{from},{to},{}]", arrow.at.step, self.texts.number(&arrow.reason))
        });
        table(&mut json, "arrows", arrows);
        let moments = drawn.moments.iter().map(|moment| {
            let (lane, what, text) = (moment.lane, moment.what as usize, self.texts.number(&moment.text));
            format!("[{},{lane},{what},{text}]", moment.at.step)
        });
        table(&mut json, "moments", moments);
        table(&mut json, "places", self.places.all_lines);
        table(&mut json, "sources", self.places.all_files);
        table(&mut json, "texts", self.texts.in_order().iter().map(|text| Text(text)));
        json + "}"
    }

    /// A row of the table of steps.
    fn step(&mut self, record: &Record) -> String {
        let Told { who, sign, text, tail } = self.narrator.one(record, self.names);
        let before = self.state.ready.len();
        let was_parked = parks(record, &self.state);
        let about = self.about(record);
        let explained = explain(record, &self.state);
        self.state.apply(record);
        if let Event::Resume { task, .. } = record.event {
            self.resumed = task;
        }
        let (at, cause, lane) = (record.at, record.cause, self.lane(record));
        let focus = about.unwrap_or(self.resumed);
        let [who, text, tail, explained] = [&*who, text.trim(), &*tail, explained].map(|text| self.texts.number(text));
        // What has no place of its own is told beside that where the task has been last.
        let task = self.state.tasks.get(&focus);
        let last = task.map(|task| (task.paused_at.unwrap_or(task.spawned_at), ' '));
        let (place, stands) = match stands(record, &self.state).or(last) {
            Some((place, sign)) => (self.places.number(place) as i64, sign),
            None => (-1, ' '),
        };
        let [sign, stands] = [sign, stands].map(|sign| self.texts.number(&sign.to_string()));
        let talk = self.talk(record);
        let change = [
            self.queue(before, record),
            self.parking(was_parked, record),
            self.timer(record),
            source(record),
            self.lock(record),
        ];
        format!(
            "[{at},{cause},{lane},{focus},{who},{sign},{text},{tail},{place},{stands},\"{}\",{explained},{talk},{}]",
            stop(record),
            change.join(",")
        )
    }

    /// Whom a record that comes next is about, as in [`Walk::focus`](super::Walk::focus).
    fn about(&self, record: &Record) -> Option<u64> {
        match record.event {
            Event::TimerFire { timer } => {
                self.state.timers.get(&timer).map(|timer| timer.task).filter(|task| *task != 0)
            }
            event => event.task(),
        }
    }

    /// Where a step is marked in the picture.
    fn lane(&self, record: &Record) -> u64 {
        match record.event {
            Event::Out { task, .. } | Event::WouldBlock { task, .. } | Event::Polled { task, .. } => task,
            _ => record.event.task().or(self.state.running.last().copied()).unwrap_or(LOOP),
        }
    }

    /// What the loop hands to a task (1), or gets from it (0).
    fn talk(&mut self, record: &Record) -> String {
        let (inward, what) = match record.event {
            Event::Resume { sent, .. } => (1, handed_in(sent).to_owned()),
            Event::Yield { want: wanted, .. } => (0, want(wanted, &self.state, self.names)),
            Event::Complete { end, .. } => (0, handed_out(end).to_owned()),
            _ => return "0".to_owned(),
        };
        format!("[{inward},{}]", self.texts.number(&what))
    }

    // ---- what changes in the panel: nothing, 0; what is there now; what is not any more, with a minus -----------------

    fn queue(&self, before: usize, record: &Record) -> String {
        let ready = &self.state.ready;
        match (ready.len().cmp(&before), ready.back(), record.event.task()) {
            (std::cmp::Ordering::Greater, Some(last), _) => last.to_string(),
            (std::cmp::Ordering::Less, _, Some(task)) => format!("-{task}"),
            _ if matches!(record.event, Event::Shuffle { .. }) => {
                let mut all = String::new();
                list(&mut all, ready);
                all
            }
            _ => "0".to_owned(),
        }
    }

    fn parking(&mut self, was_parked: bool, record: &Record) -> String {
        let Some((id, task)) = record.event.task().and_then(|id| Some((id, self.state.tasks.get(&id)?))) else {
            return "0".to_owned();
        };
        match (task.stage, task.paused_at) {
            (Stage::Parked(mut wanted), Some(at)) if !was_parked => {
                let mut lock = 0;
                if let Want::Thing { id, holder, .. } = &mut wanted
                    && self.state.locks.contains_key(id)
                {
                    (lock, *holder) = (*id, 0); // who has it is told apart: that changes while it waits
                }
                let why = format!("at {}, for {}", place(at), want(wanted, &self.state, self.names));
                format!("[{id},{},{lock}]", self.texts.number(&why))
            }
            (Stage::Parked(_), _) => "0".to_owned(),
            _ if was_parked => format!("-{id}"),
            _ => "0".to_owned(),
        }
    }

    /// Who has a lock that somebody waits for.
    fn lock(&self, record: &Record) -> String {
        let lock = match record.event {
            Event::Give { lock, .. } => lock,
            Event::Yield { want: Want::Thing { id, .. }, .. } => id,
            _ => return "0".to_owned(),
        };
        self.state.locks.get(&lock).map_or("0".to_owned(), |held| format!("[{lock},{}]", held.holder))
    }

    fn timer(&self, record: &Record) -> String {
        let (Event::TimerArm { timer, .. } | Event::TimerFire { timer } | Event::TimerDrop { timer }) = record.event
        else {
            return "0".to_owned();
        };
        match self.state.timers.get(&timer) {
            Some(set) if set.due == Nanos::MAX => format!("[{timer},null,{}]", set.task),
            Some(set) => format!("[{timer},{},{}]", set.due, set.task),
            None => format!("-{timer}"),
        }
    }
}

fn source(record: &Record) -> String {
    match record.event {
        Event::IoArm { source } => source.to_string(),
        Event::IoDrop { source } => format!("-{source}"),
        _ => "0".to_owned(),
    }
}

/// The letter that stops at a step, as the stepper has them.
fn stop(record: &Record) -> &'static str {
    match record.event {
        Event::Resume { .. } => "s",
        Event::TimerFire { .. } => "t",
        Event::PollReturn { events: 1.. } => "i",
        Event::Out { .. } => "o",
        Event::Mark { .. } => "m",
        Event::Complete { .. } => "f",
        Event::Deadlock { .. } | Event::LoopStop => "r",
        _ => "",
    }
}

impl Texts {
    fn number(&mut self, text: &str) -> usize {
        match self.0.get(text) {
            Some(number) => *number,
            None => {
                self.0.insert(text.to_owned(), self.0.len());
                self.0.len() - 1
            }
        }
    }

    fn in_order(self) -> Vec<String> {
        let mut texts: Vec<_> = self.0.into_iter().collect();
        texts.sort_by_key(|(_, number)| *number);
        texts.into_iter().map(|(text, _)| text).collect()
    }
}

impl Places {
    fn number(&mut self, at: Place) -> usize {
        let next = self.lines.len();
        if let Some(number) = self.lines.get(&(at.file(), at.line())) {
            return *number;
        }
        self.lines.insert((at.file(), at.line()), next);
        let file = self.file(at).map_or("-1".to_owned(), |file| file.to_string());
        self.all_lines.push(format!("[{file},{},{}]", at.line(), Text(&place(at))));
        next
    }

    /// The number of its file, if that can be read, and is one of the program's own: those of other crates have a whole path.
    fn file(&mut self, at: Place) -> Option<usize> {
        if Path::new(at.file()).is_absolute() {
            return None;
        }
        if let Some(number) = self.files.get(at.file()) {
            return Some(*number);
        }
        let lines = self.sources.lines(at);
        if lines.is_empty() {
            return None;
        }
        let name = place(at);
        let mut json = format!("[{},", Text(name.rsplit_once(':').map_or(&*name, |(name, _)| name)));
        list(&mut json, lines.iter().map(|line| Text(line)));
        self.all_files.push(json + "]");
        self.files.insert(at.file(), self.files.len());
        Some(self.files.len() - 1)
    }
}

/// Adds a list to what is to be an object of them.
fn table(json: &mut String, name: &str, items: impl IntoIterator<Item = impl Display>) {
    let _ = write!(json, "{}\"{name}\":", if json.is_empty() { "{" } else { ",\n" });
    list(json, items);
}

/// Writes a list, each of its items a JSON value.
fn list(json: &mut String, items: impl IntoIterator<Item = impl Display>) {
    json.push('[');
    for (n, item) in items.into_iter().enumerate() {
        let _ = write!(json, "{}{item}", if n == 0 { "" } else { "," });
    }
    json.push(']');
}
