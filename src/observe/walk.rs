//! Walking through a run: what the letters of a stepper mean, whatever it draws.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use super::Names;
use super::dump::one;
use super::event::{Event, Place, Record};
use super::explain::explain;
use super::replay::Replay;
use super::state::{Stage, State};
use super::view::stands;
use super::words::{Sources, some};

/// What the letters mean: half of them, and beside each the one that stands next to it in a list.
const LETTERS: [[(&str, &str); 2]; 9] = [
    [("Enter, s", "the next resume"), ("p", "back to the stop before this one")],
    [("e", "the next event"), ("P", "back to the task's resume before this one")],
    [("n", "the task's own next resume"), ("g N", "to step N; g 0 is the beginning")],
    [("i", "the next news of I/O"), ("m NAME", "to the mark of that name")],
    [("t", "the next timer"), ("c", "to what caused this")],
    [("o", "the next printed line"), ("w NAME", "where a task is, and what it waits for")],
    [("f NAME", "the end of a task"), ("B LINE", "to stop at file.rs:12, or no longer; B alone lists them")],
    [("r", "a breakpoint, or the end"), ("b NAME", "its stack, while the program runs")],
    [("?", "what this step is"), ("h, q", "this list; to leave")],
];

/// The letters as a list, for a reader.
pub(super) fn list() -> String {
    let line = |[(a, does), (b, also)]: [(&str, &str); 2]| format!("  {a:<8}   {does:<26}   {b:<6}   {also}\n");
    LETTERS.map(line).concat()
}

/// A reader's way through a recorded run: where he stands, where he has stopped, and where he goes next. It draws nothing:
/// [`Stepper`](super::Stepper) is a plain way to show it, and a screen may be another.
///
/// ```
/// use corio::observe::{Answer, Recording, Walk};
/// use corio::{Runner, secs, sleep, spawn};
///
/// # if !cfg!(feature = "observe") { return Ok(()) }
/// let recording = Recording::new();
/// Runner::new().virtual_clock().observer(recording.clone()).run(|| spawn(|| sleep(secs(1))).join())?;
///
/// let mut walk = Walk::new(recording.replay()); // it begins at the first resume
/// assert_eq!((walk.command("f task-2"), walk.focus()), (Answer::Moved, 2));
/// assert!(walk.replay().told().contains("✔ returns"));
/// let said: Vec<String> = walk.conversation(3).iter().map(|said| said.what.clone()).collect();
/// assert_eq!(said, ["timer 1", "send(None)", "StopIteration"]);
/// assert!(matches!(walk.command("w main"), Answer::Said(said) if said.contains("task-2 to end")));
/// assert_eq!((walk.command("p"), walk.command("q")), (Answer::Moved, Answer::Left));
/// # std::io::Result::Ok(())
/// ```
pub struct Walk {
    pub(super) replay: Replay,
    pub(super) sources: Sources,
    /// Where it stopped, the last one last.
    stops: Vec<u64>,
    breakpoints: BTreeSet<Line>,
    /// The run is under way: what is not there yet may come.
    goes_on: bool,
    /// What the reader waits for then.
    goal: Option<Goal>,
}

/// The end of a file's name, and a line.
type Line = (String, u32);

/// Where a reader wants to go on to.
enum Goal {
    Anything,
    /// Of that task, or of any.
    Resume(Option<u64>),
    Io,
    Timer,
    Line,
    /// Of that task.
    End(u64),
    /// Of that number.
    Step(u64),
    /// One of these, or the end of the run.
    Breakpoint(BTreeSet<Line>),
}

impl Goal {
    fn is_met(&self, record: &Record, state: &State) -> bool {
        match (self, record.event) {
            (Goal::Anything, _) => true,
            (Goal::Resume(of), Event::Resume { task, .. }) => of.is_none_or(|of| of == task),
            (Goal::Io, Event::PollReturn { events }) => events > 0,
            (Goal::Timer, Event::TimerFire { .. }) | (Goal::Line, Event::Out { .. }) => true,
            (Goal::End(of), Event::Complete { task, .. }) => *of == task,
            (Goal::Step(step), _) => record.seq >= *step,
            (Goal::Breakpoint(_), Event::Deadlock { .. } | Event::LoopStop) => true,
            (Goal::Breakpoint(lines), _) => {
                stands(record, state).is_some_and(|(at, _)| lines.iter().any(|line| is_at(at, line)))
            }
            _ => false,
        }
    }

    /// What is to be said when there is no such step.
    fn otherwise(&self) -> &'static str {
        match self {
            Goal::Anything | Goal::Step(_) => "this is the last step",
            Goal::Resume(None) => "nobody is resumed any more",
            Goal::Resume(Some(_)) => "it is not resumed any more",
            Goal::Io => "there is no more news of I/O",
            Goal::Timer => "no timer fires any more",
            Goal::Line => "nothing is printed any more",
            Goal::End(_) => "it has ended before this step, or never does",
            Goal::Breakpoint(_) => "this is the end",
        }
    }
}

/// What comes of a command.
///
/// ```
/// use corio::observe::{Answer, Recording, Walk};
///
/// let mut walk = Walk::new(Recording::new().replay()); // of nothing
/// assert_eq!(walk.command("e"), Answer::Said("  this is the last step".to_owned()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It stands at another step now.
    Moved,
    /// It stays, and this is what there is to say.
    Said(String),
    /// What it wants is still to come, in a run that is under way: to be asked again when it has.
    Awaited,
    /// The reader has seen enough.
    Left,
}

impl Walk {
    /// At the first resume of a run.
    pub fn new(mut replay: Replay) -> Walk {
        replay.forward(|record| is_resume(record, None));
        Walk {
            replay,
            sources: Sources::default(),
            stops: Vec::new(),
            breakpoints: BTreeSet::new(),
            goes_on: false,
            goal: None,
        }
    }

    /// Before the first step of a run that is about to begin.
    pub(super) fn live() -> Walk {
        let goal = Some(Goal::Resume(None));
        Walk { goes_on: true, goal, ..Walk::new(Replay::new(Vec::new(), Names::default())) }
    }

    /// The run, at the step where this stands.
    pub fn replay(&self) -> &Replay {
        &self.replay
    }

    /// Does what a letter says, with what stands behind it; `h` lists them all.
    pub fn command(&mut self, line: &str) -> Answer {
        let (letter, name) = line.split_once(' ').map_or((line, ""), |(letter, name)| (letter, name.trim()));
        let focus = self.focus();
        match (letter, name) {
            ("" | "s", "") => self.forward(Goal::Resume(None)),
            ("e", "") => self.forward(Goal::Anything),
            ("n", "") => self.forward(Goal::Resume(Some(focus))),
            ("i", "") => self.forward(Goal::Io),
            ("t", "") => self.forward(Goal::Timer),
            ("o", "") => self.forward(Goal::Line),
            ("r", "") => self.forward(Goal::Breakpoint(self.breakpoints.clone())),
            ("B", "") => Answer::Said(self.all_breakpoints()),
            ("B", line) => Answer::Said(self.toggle(line)),
            ("f", name) => match self.task(name) {
                Ok(task) => self.forward(Goal::End(task)),
                Err(said) => said,
            },
            ("w", name) => match self.task(name) {
                Ok(task) => self.place_of(task),
                Err(said) => said,
            },
            ("p", "") => match self.stops.pop() {
                Some(step) => {
                    self.replay.go_to(step);
                    Answer::Moved
                }
                None => Answer::Said("  there was no stop before this one".to_owned()),
            },
            ("P", "") => {
                let here = self.replay.step();
                let moved = self.replay.back(|record| is_resume(record, Some(focus)));
                self.moved(moved, here, "it was not resumed before")
            }
            ("g", step) => match step.parse() {
                Ok(step) if self.goes_on && step > self.replay.steps() => self.forward(Goal::Step(step)),
                Ok(step) => self.go_to(step),
                Err(_) => Answer::Said("  `g 12` goes to step 12".to_owned()),
            },
            ("m", name) => self.mark(name),
            ("c", "") => match self.replay.record().map_or(0, |record| record.cause) {
                0 => Answer::Said("  nothing of this run caused it".to_owned()),
                cause => self.go_to(cause),
            },
            ("b", _) => Answer::Said(
                match self.goes_on {
                    true => "  this is the past: only at the last step the program can be asked",
                    false => "  only what runs has a stack: `--live`, or `Stepper::live`, shows it",
                }
                .to_owned(),
            ),
            ("?", "") => {
                let explained = self.replay.record().map(|record| explain(record, &self.replay.before()));
                Answer::Said(wrapped(explained.unwrap_or("Nothing has happened yet.")))
            }
            ("h", "") => Answer::Said(list().trim_end().to_owned()),
            ("q", "") => Answer::Left,
            _ => Answer::Said(format!("  `{line}` is none of these:\n{}", list().trim_end())),
        }
    }

    /// The letters of [`command`](Walk::command), with what stands behind some of them, and what each does.
    ///
    /// ```
    /// use corio::observe::Walk;
    ///
    /// assert!(Walk::letters().any(|(letter, does)| letter == "c" && does == "to what caused this"));
    /// ```
    pub fn letters() -> impl Iterator<Item = (&'static str, &'static str)> {
        (0..2).flat_map(|column| LETTERS.iter().map(move |pair| pair[column]))
    }

    fn forward(&mut self, goal: Goal) -> Answer {
        let here = self.replay.step();
        if self.replay.forward_in_view(|record, state| goal.is_met(record, state)) {
            self.stops.push(here);
            return Answer::Moved;
        }
        if !self.goes_on {
            return Answer::Said(format!("  {}", goal.otherwise()));
        }
        self.goal = Some(goal);
        Answer::Awaited
    }

    /// A run that is under way has gone on. Whether the reader's goal is met: then this stands there now.
    pub(super) fn see(&mut self, record: &Record, names: &Names) -> bool {
        self.replay.append(record);
        let state = self.replay.end();
        let is_over = matches!(record.event, Event::LoopStop);
        if !is_over && !self.goal.as_ref().is_some_and(|goal| goal.is_met(record, state)) {
            return false;
        }
        self.goal = None;
        self.goes_on = !is_over;
        self.stops.push(self.replay.step());
        self.replay.set_names(names.clone());
        self.replay.go_to(self.replay.steps());
        true
    }

    pub(super) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Whether this stands where the run is: what is asked of the program itself is about this moment.
    pub(super) fn is_at_the_front(&self) -> bool {
        self.goes_on && self.replay.step() == self.replay.steps()
    }

    fn moved(&mut self, moved: bool, from: u64, otherwise: &str) -> Answer {
        if !moved {
            return Answer::Said(format!("  {otherwise}"));
        }
        self.stops.push(from);
        Answer::Moved
    }

    pub(super) fn go_to(&mut self, step: u64) -> Answer {
        let here = self.replay.step();
        self.replay.go_to(step);
        if self.replay.step() != here {
            self.stops.push(here); // a stop is somewhere else
        }
        Answer::Moved
    }

    /// Sets a breakpoint, or takes it away if it is set.
    fn toggle(&mut self, line: &str) -> String {
        let parsed = line.rsplit_once(':').and_then(|(file, line)| Some((file.trim().to_owned(), line.parse().ok()?)));
        let Some(breakpoint) = parsed.filter(|(file, _)| !file.is_empty()) else {
            return "  `B main.rs:12` sets a breakpoint, for `r`".to_owned();
        };
        if !self.breakpoints.remove(&breakpoint) {
            if let Some(nobody) = self.never_stops_at(&breakpoint) {
                return nobody;
            }
            self.breakpoints.insert(breakpoint);
        }
        self.all_breakpoints()
    }

    /// What there is to say of a line where no step of the run stands, if the run is over: `r` would pass it by.
    fn never_stops_at(&self, (file, line): &Line) -> Option<String> {
        if self.goes_on {
            return None;
        }
        let mut state = State::new();
        let mut lines = BTreeSet::new();
        for record in self.replay.records() {
            state.apply(record);
            lines.extend(stands(record, &state).filter(|(at, _)| is_in(at, file)).map(|(at, _)| at.line()));
        }
        let said = match lines.len() {
            _ if lines.contains(line) => return None,
            0 => format!("no step of this run stands in {file}."),
            _ => format!(
                "no step of this run stands at {file}:{line}; in that file they stand at {}.",
                some(lines.iter().map(u32::to_string), ", ")
            ),
        };
        Some(wrapped(&said))
    }

    fn all_breakpoints(&self) -> String {
        if self.breakpoints.is_empty() {
            return "  no breakpoint is set".to_owned();
        }
        let lines: Vec<String> = self.breakpoints.iter().map(|(file, line)| format!("{file}:{line}")).collect();
        format!("  breakpoints: {}", lines.join(", "))
    }

    fn mark(&mut self, name: &str) -> Answer {
        let names = self.replay.names();
        let is_it = |record: &&Record| matches!(record.event, Event::Mark { text } if names.text(text) == name);
        match self.replay.records().iter().find(is_it).map(|record| record.seq) {
            None => {
                let marks = self.replay.records().iter().filter_map(|record| match record.event {
                    Event::Mark { text } => Some(names.text(text).to_owned()),
                    _ => None,
                });
                self.nothing_called("mark", name, marks)
            }
            Some(step) => self.go_to(step),
        }
    }

    /// The task of that name or number: of several, the first that has not ended.
    pub(super) fn task(&self, name: &str) -> Result<u64, Answer> {
        let (names, state) = (self.replay.names(), self.replay.state());
        let spawned = |record: &Record| match record.event {
            Event::Spawn { task, .. } => Some(task),
            _ => None,
        };
        let is_called = |task: &u64| names.task(*task).eq_ignore_ascii_case(name) || name.parse() == Ok(*task);
        let called = self.replay.records().iter().filter_map(spawned).filter(is_called);
        let is_done = |task: &u64| state.tasks.get(task).is_some_and(|task| task.is_done());
        let all: Vec<u64> = called.collect();
        let found = all.iter().find(|task| !is_done(task)).or(all.last());
        let spawned = || self.replay.records().iter().filter_map(spawned).map(|task| names.task(task));
        found.copied().ok_or_else(|| self.nothing_called("task", name, spawned()))
    }

    /// There is no such thing, and these there are.
    fn nothing_called(&self, what: &str, name: &str, all: impl Iterator<Item = String>) -> Answer {
        let so_far = if self.goes_on { " so far" } else { "" };
        let all = some(all.collect::<Vec<_>>().into_iter(), ", ");
        let all = if all.is_empty() { "there are none".to_owned() } else { format!("to choose from: {all}") };
        Answer::Said(wrapped(&format!("no {what} is called `{name}`{so_far}; {all}")))
    }

    fn place_of(&mut self, task: u64) -> Answer {
        let (state, names) = (self.replay.state(), self.replay.names());
        let Some(seen) = state.tasks.get(&task) else {
            return Answer::Said(format!("  {} is not made yet", names.task(task)));
        };
        let mut text = one(task, state, names);
        if let Stage::Parked(_) = seen.stage
            && let Some(at) = seen.paused_at
        {
            text += &self.lines(at, '■', 2);
        }
        Answer::Said(text.trim_end().to_owned())
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk").field("step", &self.replay.step()).finish_non_exhaustive()
    }
}

fn is_resume(record: &Record, of: Option<u64>) -> bool {
    matches!(record.event, Event::Resume { task, .. } if of.is_none_or(|of| of == task))
}

/// Whether a place is in that file: of its path, the end is enough.
fn is_in(at: Place, file: &str) -> bool {
    Path::new(at.file()).ends_with(file)
}

fn is_at(at: Place, (file, line): &Line) -> bool {
    at.line() == *line && is_in(at, file)
}

/// In lines that are not too long, set in a little.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 100;
    let (mut lines, mut line) = (String::new(), String::from(" "));
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines += &format!("{line}\n");
            line = String::from(" ");
        }
        line += &format!(" {word}");
    }
    lines + &line
}
