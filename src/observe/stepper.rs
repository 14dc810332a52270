//! A recorded run, step by step, on a plain terminal.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};

use super::Recording;
use super::dump::one;
use super::event::{By, End, Event, Place, Record, Sent};
use super::replay::Replay;
use super::state::Stage;
use super::words::{Seconds, Sources, place, tasks, want};

const HELP: &str = "  Enter, s   the next resume              p        back to the stop before this one
  e          the next event               P        back to the task's resume before this one
  n          the task's own next resume   g N      to step N; g 0 is the beginning
  i          the next news of I/O         m NAME   to the mark of that name
  t          the next timer               c        to what caused this
  o          the next printed line        w NAME   where a task is, and what it waits for
  f NAME     the end of a task            ?        what this step is
  r          a deadlock, or the end       h, q     this list; to leave
";

/// Steps through a recorded run, by what a line of text asks for: from a resume to the next, event by event, to the end of a
/// task, to what caused this, and back. It needs no terminal, so a script may do it.
///
/// Each stop shows where the source stands, what the loop and the task have handed each other, who is ready, which timers are
/// set, and what everybody waits for. `h` lists the letters, and the end of the input ends it.
///
/// ```
/// use corio::observe::{Recording, Stepper};
/// use corio::{Runner, secs, sleep, spawn};
///
/// # if !cfg!(feature = "observe") { return Ok(()) }
/// let recording = Recording::new();
/// Runner::new().virtual_clock().observer(recording.clone()).run(|| spawn(|| sleep(secs(1))).join())?;
///
/// let mut seen = Vec::new();
/// let typed = "s\nf main\nc\nq\n"; // on a terminal: `io::stdin().lock()`, and `io::stdout()`
/// Stepper::new(&recording).echo(true).run(typed.as_bytes(), &mut seen)?;
/// let seen = String::from_utf8(seen).unwrap();
/// assert!(seen.contains("► resume: send(None), from the top"));
/// assert!(seen.contains("main       ✔ returns"));
/// # std::io::Result::Ok(())
/// ```
pub struct Stepper {
    replay: Replay,
    sources: Sources,
    /// Where it stopped, the last one last.
    stops: Vec<u64>,
    echo: bool,
}

/// What comes of a line of input.
enum Answer {
    Moved,
    Said(String),
    Left,
}

impl Stepper {
    /// At the beginning of a run.
    pub fn new(recording: &Recording) -> Stepper {
        Stepper { replay: recording.replay(), sources: Sources::default(), stops: Vec::new(), echo: false }
    }

    /// Whether it writes what it reads: for input that is no terminal, which shows what is typed by itself.
    #[must_use = "this returns the stepper"]
    pub fn echo(mut self, echo: bool) -> Stepper {
        self.echo = echo;
        self
    }

    /// Reads lines, and does what they say.
    ///
    /// # Errors
    ///
    /// Those of the input and of the output.
    pub fn run(mut self, mut input: impl BufRead, mut out: impl Write) -> io::Result<()> {
        out.write_all(HELP.as_bytes())?;
        self.replay.forward(|record| matches!(record.event, Event::Resume { .. }));
        let mut from = 0;
        loop {
            out.write_all(self.card(from).as_bytes())?;
            from = self.replay.step();
            loop {
                write!(out, "step {} of {} > ", self.replay.step(), self.replay.steps())?;
                out.flush()?;
                let mut line = String::new();
                if input.read_line(&mut line)? == 0 {
                    return writeln!(out);
                }
                if self.echo {
                    writeln!(out, "{}", line.trim_end())?;
                }
                match self.obey(line.trim()) {
                    Answer::Moved => break,
                    Answer::Said(text) => writeln!(out, "{text}")?,
                    Answer::Left => return Ok(()),
                }
            }
        }
    }

    fn obey(&mut self, line: &str) -> Answer {
        let (letter, name) = line.split_once(' ').map_or((line, ""), |(letter, name)| (letter, name.trim()));
        let focus = self.focus();
        match (letter, name) {
            ("" | "s", "") => self.forward("nobody is resumed any more", |record| is_resume(record, None)),
            ("e", "") => self.forward("this is the last step", |_| true),
            ("n", "") => self.forward("it is not resumed any more", |record| is_resume(record, Some(focus))),
            ("i", "") => self.forward("there is no more news of I/O", |record| {
                matches!(record.event, Event::PollReturn { events: 1.. })
            }),
            ("t", "") => {
                self.forward("no timer fires any more", |record| matches!(record.event, Event::TimerFire { .. }))
            }
            ("o", "") => {
                self.forward("nothing is printed any more", |record| matches!(record.event, Event::Out { .. }))
            }
            ("r", "") => self
                .forward("this is the end", |record| matches!(record.event, Event::Deadlock { .. } | Event::LoopStop)),
            ("f", name) => match self.task(name) {
                Ok(task) => self.forward(
                    "it has ended before this step, or never does",
                    |record| matches!(record.event, Event::Complete { task: ended, .. } if ended == task),
                ),
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
                Ok(step) => self.go_to(step),
                Err(_) => Answer::Said("  `g 12` goes to step 12".to_owned()),
            },
            ("m", name) => self.mark(name),
            ("c", "") => match self.replay.record().map_or(0, |record| record.cause) {
                0 => Answer::Said("  nothing of this run caused it".to_owned()),
                cause => self.go_to(cause),
            },
            ("?", "") => Answer::Said(wrapped(self.replay.record().map_or("Nothing has happened yet.", explain))),
            ("h", "") => Answer::Said(HELP.trim_end().to_owned()),
            ("q", "") => Answer::Left,
            _ => Answer::Said(format!("  `{line}` is none of these:\n{}", HELP.trim_end())),
        }
    }

    fn forward(&mut self, otherwise: &str, is_wanted: impl FnMut(&Record) -> bool) -> Answer {
        let here = self.replay.step();
        let moved = self.replay.forward(is_wanted);
        self.moved(moved, here, otherwise)
    }

    fn moved(&mut self, moved: bool, from: u64, otherwise: &str) -> Answer {
        if !moved {
            return Answer::Said(format!("  {otherwise}"));
        }
        self.stops.push(from);
        Answer::Moved
    }

    fn go_to(&mut self, step: u64) -> Answer {
        self.stops.push(self.replay.step());
        self.replay.go_to(step);
        Answer::Moved
    }

    fn mark(&mut self, name: &str) -> Answer {
        let names = self.replay.names();
        let is_it = |record: &&Record| matches!(record.event, Event::Mark { text } if names.text(text) == name);
        match self.replay.records().iter().find(is_it).map(|record| record.seq) {
            None => Answer::Said(format!("  no mark is called `{name}`")),
            Some(step) => self.go_to(step),
        }
    }

    /// The task of that name or number: of several, the first that has not ended.
    fn task(&self, name: &str) -> Result<u64, Answer> {
        let (names, state) = (self.replay.names(), self.replay.state());
        let spawned = self.replay.records().iter().filter_map(|record| match record.event {
            Event::Spawn { task, .. } => Some(task),
            _ => None,
        });
        let is_called = |task: &u64| names.task(*task).eq_ignore_ascii_case(name) || name.parse() == Ok(*task);
        let called = spawned.filter(is_called);
        let is_done = |task: &u64| state.tasks.get(task).is_some_and(|task| task.is_done());
        let all: Vec<u64> = called.collect();
        let found = all.iter().find(|task| !is_done(task)).or(all.last());
        found.copied().ok_or_else(|| Answer::Said(format!("  no task is called `{name}`")))
    }

    fn place_of(&mut self, task: u64) -> Answer {
        let (state, names) = (self.replay.state(), self.replay.names());
        let Some(seen) = state.tasks.get(&task) else {
            return Answer::Said(format!("  {} is not made yet", names.task(task)));
        };
        let mut text = one(seen, task, state, names);
        if let Stage::Parked(_) = seen.stage
            && let Some(at) = seen.paused_at
        {
            text += &lines(&mut self.sources, at, '■');
        }
        Answer::Said(text.trim_end().to_owned())
    }

    /// The task that is looked at: whom the last record is about, or who was resumed last.
    fn focus(&self) -> u64 {
        let about = self.replay.record().and_then(|record| match record.event {
            Event::Resume { task, .. }
            | Event::Yield { task, .. }
            | Event::NoPause { task, .. }
            | Event::Complete { task, .. }
            | Event::Wake { task, .. } => Some(task),
            _ => None,
        });
        let so_far = self.replay.records()[..self.replay.step() as usize].iter().rev();
        let resumed = so_far.filter_map(|record| match record.event {
            Event::Resume { task, .. } => Some(task),
            _ => None,
        });
        about.or_else(|| { resumed }.next()).unwrap_or(1)
    }

    // ---- what is shown ----------------------------------------------------------------------------------------------

    /// Everything at a stop. `from` is the one before.
    fn card(&mut self, from: u64) -> String {
        let (replay, step) = (&self.replay, self.replay.step());
        let (state, names) = (replay.state(), replay.names());
        let mut text = String::new();
        if from < step {
            text += &meanwhile(&replay.records()[from as usize..step as usize - 1], replay);
        }
        text += &format!("{:─<100}\n{}\n", "", replay.told());
        if let Some((at, sign)) = replay.record().and_then(|record| self.stands(record)) {
            text += &lines(&mut self.sources, at, sign);
        }
        let (replay, focus) = (&self.replay, self.focus());
        text += &conversation(replay, focus);
        let none = |text: String| if text.is_empty() { "nobody".to_owned() } else { text };
        text += &format!("  ready    {}\n", none(tasks(&state.ready, names, ", ")));
        let mut timers: Vec<_> = state.timers.iter().collect();
        timers.sort_by_key(|(id, timer)| (timer.due, **id));
        let of = |task| if task == 0 { "a callback".to_owned() } else { names.task(task) };
        let timers = timers.iter().map(|(id, timer)| match timer.due.checked_sub(state.now) {
            _ if timer.due == u64::MAX => format!("{id}: {}, never", of(timer.task)),
            left => format!("{id}: {} in {}", of(timer.task), Seconds(left.unwrap_or(0))),
        });
        let timers = timers.collect::<Vec<_>>().join(", ");
        text += &format!("  timers   {}\n", if timers.is_empty() { "none" } else { &timers });
        if !state.sources.is_empty() {
            let sources: Vec<String> = state.sources.iter().map(u64::to_string).collect();
            text += &format!("  sources  {}\n", sources.join(", "));
        }
        let parked = state.tasks.iter().filter_map(|(id, task)| match (task.stage, task.paused_at) {
            (Stage::Parked(wanted), Some(at)) => {
                Some(format!("{} at {}, for {}", names.task(*id), place(at), want(wanted, state, names)))
            }
            _ => None,
        });
        let parked = parked.collect::<Vec<_>>().join("\n           ");
        text += &format!("  parked   {}\n", none(parked));
        text
    }

    /// Where in the source a record stands.
    fn stands(&self, record: &Record) -> Option<(Place, char)> {
        match record.event {
            Event::Yield { at, .. } => Some((at, '■')),
            Event::Resume { task, .. } => {
                let task = self.replay.state().tasks.get(&task)?;
                Some((task.paused_at.unwrap_or(task.spawned_at), '►'))
            }
            Event::NoPause { at, .. }
            | Event::Spawn { at, .. }
            | Event::GroupOpen { at, .. }
            | Event::GenYield { at, .. }
            | Event::Callback { at } => Some((at, '·')),
            _ => None,
        }
    }
}

fn is_resume(record: &Record, of: Option<u64>) -> bool {
    matches!(record.event, Event::Resume { task, .. } if of.is_none_or(|of| of == task))
}

/// What happened between two stops: what was printed, and in one line the rest.
fn meanwhile(records: &[Record], replay: &Replay) -> String {
    let mut text = String::new();
    let mut resumed = BTreeSet::new();
    for record in records {
        match record.event {
            Event::Out { text: number, .. } => {
                for line in replay.names().text(number).lines() {
                    text += &format!("{:19}{line}\n", "");
                }
            }
            Event::Resume { task, .. } => drop(resumed.insert(task)),
            _ => {}
        }
    }
    let events = match records.len() {
        0 => return text,
        1 => "1 event".to_owned(),
        events => format!("{events} events"),
    };
    let resumed = tasks(&resumed, replay.names(), ", ");
    let resumed = if resumed.is_empty() { resumed } else { format!("; resumed: {resumed}") };
    text + &format!("  ··· {events}{resumed}\n")
}

/// The lines of the source around a place.
fn lines(sources: &mut Sources, at: Place, sign: char) -> String {
    let around = sources.around(at, 2);
    if around.is_empty() {
        return format!("  {sign} {}\n", place(at));
    }
    let line = |(number, line): (u32, &str)| {
        let sign = if number == at.line() { sign } else { ' ' };
        format!("  {sign} {number:>4} │ {line}").trim_end().to_owned() + "\n"
    };
    around.into_iter().map(line).collect()
}

/// The last that the loop and a task handed each other, in and out.
fn conversation(replay: &Replay, task: u64) -> String {
    let (state, names) = (replay.state(), replay.names());
    let name = names.task(task);
    let so_far = replay.records()[..replay.step() as usize].iter().rev();
    let said = so_far.filter_map(|record| {
        let arrow = match record.event {
            Event::Resume { task: of, sent, .. } if of == task => format!("loop ── {} ──► {name}", handed_in(sent)),
            Event::Yield { task: of, want: wanted, .. } if of == task => {
                format!("loop ◄── {} ── {name}", want(wanted, state, names))
            }
            Event::Complete { task: of, end } if of == task => format!("loop ◄── {} ── {name}", handed_out(end)),
            _ => return None,
        };
        Some(format!("  {arrow:<60} step {}\n", record.seq))
    });
    let mut last: Vec<String> = said.take(2).collect();
    last.reverse();
    last.concat()
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

fn handed_in(sent: Sent) -> &'static str {
    match sent {
        Sent::Start | Sent::Nothing => "send(None)",
        Sent::Cancelled => "throw(Cancelled)",
        Sent::Throw => "throw(Shutdown)",
    }
}

fn handed_out(end: End) -> &'static str {
    match end {
        End::Returned => "StopIteration: it has returned",
        End::Failed => "an error",
        End::Cancelled => "the cancellation",
        End::Panicked => "a panic",
    }
}

/// A step in two or three sentences, and where to read more.
fn explain(record: &Record) -> &'static str {
    match record.event {
        Event::LoopStart { .. } => {
            "The run begins: one loop on this thread. It has a main task, which is resumed like any other. (docs/book/loop.md)"
        }
        Event::LoopStop => "The run is over: every task has ended, and so `run` returns. (docs/book/loop.md)",
        Event::Spawn { .. } => {
            "A task is made and put at the end of the ready queue. Nothing of it runs before its first resume. (docs/book/loop.md)"
        }
        Event::Resume { sent: Sent::Start, .. } => {
            "The loop switches to the task's own stack for the first time: its function begins at the top. It takes the task that \
             has been ready for longest. (docs/book/coroutine.md)"
        }
        Event::Resume { sent: Sent::Nothing, .. } => {
            "The loop switches back to the stack where the task paused. Its locals and its callers are still there, and the call \
             that waited returns now. (docs/book/coroutine.md)"
        }
        Event::Resume { sent: Sent::Cancelled, .. } => {
            "The task goes on where it paused, but the call that waited fails: the task was cancelled. What it does with the error \
             is its own affair. (docs/book/cancellation.md)"
        }
        Event::Resume { sent: Sent::Throw, .. } => {
            "The run ends and the task has not: a panic that nobody reports unwinds its stack, so that its destructors run. \
             (docs/book/cancellation.md)"
        }
        Event::Yield { .. } => {
            "The call cannot have what it wants yet. The task says what that is and switches to the loop's stack; its own stays as \
             it is. It is in no queue now: somebody has to wake it. (docs/book/coroutine.md)"
        }
        Event::NoPause { .. } => {
            "A call that may wait found what it wanted at once, and the task goes on without a pause."
        }
        Event::Polled { .. } => {
            "This task has no stack: it is a future, which was entered from the top and went down level by level to where it \
             stands. (docs/book/two-ways-to-pause.md)"
        }
        Event::Complete { .. } => {
            "The task's function has ended. Whoever waits for it becomes ready, and its stack is free for the next. \
             (docs/book/coroutine.md)"
        }
        Event::Wake { by: By::Itself, .. } => {
            "It gave up its turn only, so it stands at the end of the ready queue again."
        }
        Event::Wake { .. } => {
            "What the task waited for has come: it is put at the end of the ready queue. It does not run yet; those before it in \
             the queue come first. (docs/book/loop.md)"
        }
        Event::Shuffle { .. } => "A test asked for another order of the tasks that are ready. (docs/book/testing.md)",
        Event::TimerArm { .. } => {
            "A timer is set. The loop never sleeps longer than to the first that is due. (docs/book/time.md)"
        }
        Event::TimerFire { .. } => "A timer is due: whom it belongs to becomes ready. (docs/book/time.md)",
        Event::TimerDrop { .. } => "A timer is given up: what it would have limited is over. (docs/book/time.md)",
        Event::IoArm { .. } | Event::IoDrop { .. } => {
            "The loop asks the kernel from now on, or no longer, to tell it of news of this descriptor. (docs/book/reactor.md)"
        }
        Event::WouldBlock { .. } => {
            "The system call was tried first, and the kernel has nothing yet. So the task waits for news, and tries again then. \
             (docs/book/reactor.md)"
        }
        Event::PollEnter { .. } => {
            "The loop asks the kernel for news. If nobody is ready it sleeps there, until there is some or the next timer is due. \
             (docs/book/reactor.md)"
        }
        Event::PollReturn { .. } | Event::IoReady { .. } => {
            "The kernel has answered. Whoever waits for a descriptor that has news becomes ready. (docs/book/reactor.md)"
        }
        Event::CancelAsk { .. } => {
            "A task is asked to end: its waits fail from now on. It is not stopped where it stands. (docs/book/cancellation.md)"
        }
        Event::GroupOpen { .. } | Event::GroupClose { .. } => {
            "A scope: tasks that are spawned in it have all ended before it is left. (docs/book/groups.md)"
        }
        Event::GenSend { .. } | Event::GenYield { .. } | Event::GenReturn { .. } => {
            "A coroutine without a loop: a value goes in, a value comes out, and its stack stays where it is in between. \
             (docs/book/coroutine.md)"
        }
        Event::Callback { .. } => "A callback runs on the loop itself: it cannot wait. (docs/book/loop.md)",
        Event::Deadlock { .. } => {
            "Nobody is ready, no timer is set, and nothing from outside is waited for: nothing can ever happen any more. The run \
             ends with a report of who waits for what."
        }
        Event::Unseen { .. } => "A task failed, and nobody took the error: it goes to the log.",
        Event::Out { .. } => "The program printed a line.",
        Event::Mark { .. } => "A place that the program has named.",
    }
}

impl std::fmt::Debug for Stepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepper").field("step", &self.replay.step()).finish_non_exhaustive()
    }
}
