//! The run as a text: who does what, in which order, and why.

use std::io::Write;
use std::ops::ControlFlow;

use super::event::{By, Direction, End, Event, Place, PollReason, Purpose, Record, Sent, Want};
use super::state::State;
use super::words::{Seconds, Sources, by, place, sent, shown, some, tasks, want, why};
use super::{Names, Observer};

/// Tells a run as it happens, a line per event: the step, the time, who does it, and what.
///
/// What the program prints with [`say!`](crate::say) takes its place between the lines, set off to the left. Source lines
/// are quoted where their files can be read. On the virtual clock the same program gives the same text every time.
///
/// ```
/// use corio::observe::Narrator;
/// use corio::{Runner, say, secs, sleep};
///
/// Runner::new().virtual_clock().observer(Narrator::new(std::io::stdout())).run(|| {
///     say!("good night");
///     sleep(secs(1))
/// })?;
/// # std::io::Result::Ok(())
/// ```
///
/// prints
///
/// ```text
///    step      time  who          what happens
///       1     0.000  loop         starts (virtual clock: it jumps, nobody waits)
///       3     0.000  main       ► resume: send(None), from the top
///                    good night
///       6     0.000  main       ■ pauses at main.rs:6 `sleep(secs(1))`                waits for: timer 1, due 1.000
///       7     0.000  loop         nothing is ready, timer 1 is next: poll for 1.000
///       8     1.000  loop         poll returns
///    9-10     1.000  loop         timer 1 fires and wakes main                          ready: main
///      11     1.000  main       ► resume: send(None), goes on after line 6
///      12     1.000  main       ✔ returns
///      13     1.000  loop         stops
/// ```
///
/// The step is the number of the record; a gap means events that this detail leaves out.
pub struct Narrator<W> {
    out: W,
    detail: u8,
    state: State,
    sources: Sources,
    /// The line that later events may still add to.
    line: Option<Line>,
    /// The task whose error was reported last, because nobody took it.
    unseen: Option<u64>,
    started: bool,
    /// Nobody reads any more.
    deaf: bool,
}

/// One event, in the columns of a line that tells everything; without who is ready then, which may be many.
pub(super) struct Told {
    pub(super) who: String,
    pub(super) sign: char,
    pub(super) text: String,
    pub(super) tail: String,
}

/// One line of the narration.
struct Line {
    first: u64,
    last: u64,
    at: u64,
    who: String,
    sign: char,
    text: String,
    tail: String,
    /// What the line tells of, if more of the kind may follow.
    kind: Kind,
    /// Whether the ready queue has grown.
    queue: bool,
    /// Who was made or woken by it.
    made: Vec<u64>,
    woken: Vec<u64>,
    timers: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Spawn,
    Timers,
    /// What makes tasks ready: the wake-ups that follow belong to it.
    Cause,
    /// An error that is handed in: what the task waited for is given up.
    Thrown,
}

impl<W: Write> Narrator<W> {
    /// Tells of pauses and resumes (detail 1).
    pub fn new(out: W) -> Narrator<W> {
        Narrator {
            out,
            detail: 1,
            state: State::new(),
            sources: Sources::default(),
            line: None,
            unseen: None,
            started: false,
            deaf: false,
        }
    }

    /// Tells everything that comes after a moment of a run, as a part of a text that has its titles.
    pub(super) fn of_a_moment(out: W, state: State) -> Narrator<W> {
        Narrator { started: true, ..Narrator::since(out, state, None).detail(2) }
    }

    /// Tells what comes after a moment of a run, when the error of that task was the last that nobody took.
    pub(super) fn since(out: W, state: State, unseen: Option<u64>) -> Narrator<W> {
        Narrator { state, unseen, ..Narrator::new(out) }
    }

    /// How much it tells: 0, only what the program prints; 1, pauses, resumes and what leads from one to the other; 2,
    /// every event.
    ///
    /// ```
    /// use corio::observe::Narrator;
    /// use corio::{Runner, say, secs, sleep};
    /// use std::{cell::RefCell, io, rc::Rc};
    ///
    /// #[derive(Clone, Default)]
    /// struct Text(Rc<RefCell<Vec<u8>>>);
    /// impl io::Write for Text {
    ///     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
    ///         self.0.borrow_mut().write(bytes)
    ///     }
    ///     fn flush(&mut self) -> io::Result<()> {
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let lines = |detail| {
    ///     let text = Text::default();
    ///     let narrator = Narrator::new(text.clone()).detail(detail);
    ///     Runner::new().virtual_clock().observer(narrator).run(|| {
    ///         say!("good night");
    ///         sleep(secs(1))
    ///     })?;
    ///     let lines = text.0.borrow().split(|byte| *byte == b'\n').count();
    ///     io::Result::Ok(lines)
    /// };
    /// let (least, usual, most) = (lines(0)?, lines(1)?, lines(2)?);
    /// assert!(least < usual && usual < most);
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use = "this returns the narrator"]
    pub fn detail(mut self, detail: u8) -> Narrator<W> {
        self.detail = detail;
        self
    }

    /// Tells one event to whoever writes it down elsewhere. They come in their order, and to this alone.
    pub(super) fn one(&mut self, record: &Record, names: &Names) -> Told {
        let running = self.state.running.last().copied().unwrap_or(0);
        let own = |text| Told { who: who(running, names), sign: ' ', text, tail: String::new() };
        let told = match record.event {
            Event::Out { text, .. } => own(names.text(text).to_owned()),
            Event::Mark { text } => own(heading(names.text(text))),
            _ => match self.line_of(record, names) {
                None => own(String::new()),
                Some(line) => Told { text: line.in_full(names), who: line.who, sign: line.sign, tail: line.tail },
            },
        };
        self.go_on(record);
        told
    }

    /// The state after a record. Nothing is told of a task that has ended, and a long run has many.
    fn go_on(&mut self, record: &Record) {
        self.state.apply(record);
        if let Event::Complete { task, .. } = record.event {
            self.state.forget(task);
        }
    }

    fn tell(&mut self, record: &Record, names: &Names) {
        match record.event {
            Event::Out { text, .. } if self.detail == 0 => self.print(names.text(text)),
            _ if self.detail == 0 => {}
            Event::Out { text, .. } => {
                self.finish(names);
                self.aside(names.text(text));
            }
            Event::Mark { text } => {
                self.finish(names);
                self.aside(&heading(names.text(text)));
            }
            _ => {
                if self.add_to_line(record).is_continue()
                    && let Some(line) = self.line_of(record, names)
                {
                    self.finish(names);
                    self.line = Some(line);
                }
            }
        }
        self.go_on(record);
        if self.detail > 1 || record.event == Event::LoopStop {
            self.finish(names);
        }
    }

    /// Lets the line before tell this event too, if it belongs there.
    fn add_to_line(&mut self, record: &Record) -> ControlFlow<()> {
        let detail = self.detail;
        let Some(line) = self.line.as_mut().filter(|_| detail < 2) else { return ControlFlow::Continue(()) };
        match (line.kind, record.event) {
            (Kind::Spawn, Event::Spawn { task, .. }) => line.made.push(task),
            (Kind::Timers, Event::TimerFire { timer }) => line.timers.push(timer),
            (Kind::Thrown, Event::TimerDrop { timer })
                if self.state.timers.get(&timer).is_some_and(|timer| timer.purpose == Purpose::Wake) =>
            {
                line.text += &format!("; gives timer {timer} up");
            }
            (_, Event::Wake { by: By::Itself, .. }) => {}
            // Another thread's doing belongs to no line of the loop's.
            (Kind::Timers | Kind::Cause, Event::Wake { task, by }) if by != By::Thread => line.woken.push(task),
            _ => return ControlFlow::Continue(()),
        }
        line.last = record.seq;
        ControlFlow::Break(())
    }

    /// What an event is called; `None`: this detail leaves it out.
    fn line_of(&mut self, record: &Record, names: &Names) -> Option<Line> {
        let all = self.detail > 1;
        let name = |task: u64| who(task, names);
        let running = self.state.running.last().copied().unwrap_or(0);
        let mut line = Line {
            first: record.seq,
            last: record.seq,
            at: record.at,
            who: name(running),
            sign: ' ',
            text: String::new(),
            tail: String::new(),
            kind: Kind::Plain,
            queue: false,
            made: Vec::new(),
            woken: Vec::new(),
            timers: Vec::new(),
        };
        line.text = match record.event {
            Event::LoopStart { virtual_clock: true } => "starts (virtual clock: it jumps, nobody waits)".to_owned(),
            Event::LoopStart { virtual_clock: false } => "starts".to_owned(),
            Event::LoopStop => "stops".to_owned(),
            Event::Spawn { task, by, .. } => {
                if by == 0 && task == 1 && !all {
                    return None;
                }
                (line.who, line.kind, line.queue) = (name(by), Kind::Spawn, true);
                line.made.push(task);
                "creates ".to_owned()
            }
            Event::Resume { task, sent, .. } => {
                (line.who, line.sign) = (name(task), '►');
                let paused = self.state.tasks.get(&task).and_then(|task| task.paused_at);
                let at = paused.map_or_else(|| "the top".to_owned(), |at| format!("line {}", at.line()));
                if matches!(sent, Sent::Cancelled | Sent::Throw) {
                    line.kind = Kind::Thrown;
                }
                match sent {
                    Sent::Start => "resume: send(None), from the top".to_owned(),
                    Sent::Nothing => format!("resume: send(None), goes on after {at}"),
                    Sent::Cancelled => format!("resume: throw(Cancelled), met at {at}"),
                    Sent::Throw => format!("resume: throw(Shutdown), unwinds from {at}"),
                }
            }
            Event::Yield { task, want: wanted, at } => {
                (line.who, line.sign) = (name(task), '■');
                line.tail = format!("waits for: {}", want(wanted, &self.state, names));
                format!("pauses at {}", self.quoted(at))
            }
            Event::Polled { task, polls } => {
                line.who = name(task);
                match polls {
                    1 => "it is a future: polled from the top".to_owned(),
                    polls => format!("it is a future: polled from the top, {polls} polls in all"),
                }
            }
            Event::NoPause { task, want: wanted, at } => {
                line.who = name(task);
                match wanted {
                    Want::Join { task } => {
                        format!("goes on at {}, no pause: {} has ended", self.quoted(at), names.task(task))
                    }
                    wanted => {
                        format!("goes on at {}, no pause: {}", self.quoted(at), want(wanted, &self.state, names))
                    }
                }
            }
            Event::Complete { task, end } => {
                line.who = name(task);
                let unrun = self.state.running.last() != Some(&task);
                let group = self.state.tasks.get(&task).map_or(0, |task| task.group);
                let (sign, text) = match end {
                    End::Returned => ('✔', "returns"),
                    End::Failed if self.unseen == Some(task) => ('✘', "fails"),
                    End::Failed if group > 0 => ('✘', "fails (whoever joins it gets the error, or else its group)"),
                    End::Failed => ('✘', "fails (whoever joins it gets the error)"),
                    End::Cancelled if unrun => ('✘', "ends, cancelled before it began"),
                    End::Cancelled => ('✘', "ends cancelled"),
                    End::Panicked => ('✘', "panics"),
                };
                (line.sign, line.kind) = (sign, Kind::Cause);
                text.to_owned()
            }
            Event::Wake { task, by: By::Task(by) } if by == running && !all => {
                line.kind = Kind::Cause;
                line.woken.push(task);
                String::new()
            }
            Event::Wake { task, by } => {
                line.queue = true;
                format!("{} is ready, woken by {}", names.task(task), self::by(by, names))
            }
            Event::Give { lock, to: 0 } => format!("leaves lock {lock} to others, who read"),
            Event::Give { lock, to } => {
                line.kind = Kind::Cause;
                format!("gives lock {lock} to {}", names.task(to))
            }
            Event::Shuffle { .. } => {
                line.queue = true;
                "puts the ready tasks into another order".to_owned()
            }
            Event::TimerArm { timer, task, due, purpose } => {
                let what = match purpose {
                    Purpose::Limit => "sets a time limit",
                    Purpose::Shield => "raises a shield",
                    _ if !all => return None,
                    Purpose::Wake => "sets a timer",
                    Purpose::Callback => "sets a callback's timer",
                };
                line.who = name(if task == 0 { running } else { task });
                format!("{what}: timer {timer}, due {}", Seconds(due))
            }
            Event::TimerFire { timer } => {
                line.kind = Kind::Timers;
                line.timers.push(timer);
                String::new()
            }
            Event::TimerDrop { timer } => match self.state.timers.get(&timer).map(|timer| timer.purpose) {
                Some(Purpose::Limit) => format!("leaves its time limit: gives timer {timer} up"),
                Some(Purpose::Shield) => format!("lowers its shield: gives timer {timer} up"),
                _ if all => format!("gives timer {timer} up"),
                _ => return None,
            },
            Event::IoArm { source } => format!("registers source {source} with the poll"),
            Event::IoDrop { source } if all => format!("takes source {source} out of the poll"),
            Event::WouldBlock { task, direction } if all => {
                line.who = name(task);
                let call = if direction == Direction::Read { "reading" } else { "writing" };
                format!("{call} would block")
            }
            Event::PollEnter { why: PollReason::Ready, .. } if !all => return None,
            Event::PollEnter { timeout, why } => match (why, timeout, self.state.next_timer()) {
                (PollReason::Ready, ..) => "looks for news, without waiting".to_owned(),
                (PollReason::Timer, Some(timeout), Some((timer, _))) => {
                    format!("nothing is ready, timer {timer} is next: poll for {}", Seconds(timeout))
                }
                (PollReason::Network, Some(timeout), _) => {
                    format!("nothing is ready, something is on its way: poll for {}", Seconds(timeout))
                }
                (PollReason::Grace, Some(timeout), _) => {
                    format!("nothing is ready, the grace of the shutdown runs: poll for {}", Seconds(timeout))
                }
                _ => "nothing is ready, no timer is set: poll until something happens".to_owned(),
            },
            Event::PollReturn { .. } if !all && self.line.is_none() => return None,
            Event::PollReturn { events } => {
                line.kind = Kind::Cause;
                match events {
                    0 => "poll returns".to_owned(),
                    1 => "poll returns with news of 1 source".to_owned(),
                    events => format!("poll returns with news of {events} sources"),
                }
            }
            Event::IoReady { source, readable, writable } => {
                line.kind = Kind::Cause;
                match (readable, writable) {
                    (true, true) => format!("source {source} is readable and writable"),
                    (true, false) => format!("source {source} is readable"),
                    (false, true) => format!("source {source} is writable"),
                    (false, false) => format!("source {source} has news"),
                }
            }
            Event::CancelAsk { task, by, why: reason } => {
                (line.who, line.kind) = (name(by), Kind::Cause);
                format!("cancels {} ({})", names.task(task), why(reason))
            }
            Event::GroupOpen { group, at, .. } => format!("opens group {group} at {}", self.quoted(at)),
            Event::GroupClose { group } => format!("closes group {group}: all its tasks have ended"),
            Event::GenSend { coroutine, task, thrown, value } => {
                line.who = name(task);
                let how = match self.state.coroutines.get(&coroutine) {
                    Some(at) if thrown => format!("{}, met at line {}", sent(thrown, value, names), at.line()),
                    Some(at) => format!("{}, goes on after line {}", sent(thrown, value, names), at.line()),
                    None if value.is_none() => "send(None), from the top".to_owned(),
                    // It was started in a run that nobody saw.
                    None => format!("{}, goes on", sent(thrown, value, names)),
                };
                format!("→ coroutine {coroutine}: {how}")
            }
            Event::GenYield { coroutine, at, value } => {
                let pauses = value.map_or("pauses".to_owned(), |value| format!("yields {}", names.text(value)));
                format!("← coroutine {coroutine}: {pauses} at {}", self.quoted(at))
            }
            Event::GenReturn { coroutine, end, value } => {
                let how = match (end, value.map(|value| names.text(value))) {
                    (End::Returned, None | Some("()")) => "returns".to_owned(),
                    (End::Returned, Some(value)) => format!("returns {value}"),
                    (End::Failed, None) => "fails".to_owned(),
                    (End::Failed, Some(error)) => format!("fails: {error}"),
                    (End::Cancelled, _) => "ends, closed".to_owned(),
                    (End::Panicked, None) => "panics".to_owned(),
                    (End::Panicked, Some(text)) => format!("panics: {text}"),
                };
                format!("← coroutine {coroutine}: {how}")
            }
            Event::Callback { at } => {
                line.kind = Kind::Cause;
                format!("calls the callback scheduled at {}", self.quoted(at))
            }
            Event::Deadlock { tasks } => format!("deadlock: nothing can ever run again, and {tasks} tasks wait"),
            Event::Unseen { task } => {
                self.unseen = Some(task);
                format!("nobody takes the error of {}", names.task(task))
            }
            _ => return None,
        };
        Some(line)
    }

    fn quoted(&mut self, at: Place) -> String {
        match self.sources.call(at) {
            Some(call) => format!("{} `{call}`", place(at)),
            None => place(at),
        }
    }

    /// Writes the line that is under way. The state is that after its last event.
    pub(super) fn finish(&mut self, names: &Names) {
        let Some(line) = self.line.take() else { return };
        let step =
            if line.first == line.last { line.first.to_string() } else { format!("{}-{}", line.first, line.last) };
        let text = line.in_full(names);
        let mut tail = line.tail;
        if tail.is_empty() && (line.queue || !line.woken.is_empty()) {
            tail = format!("ready: {}", tasks(&self.state.ready, names));
        }
        let time = Seconds(line.at);
        let told = format!("{step:>7} {time:>9}  {:<10} {} {text:<52}  {tail}", line.who, line.sign);
        self.print(told.trim_end());
    }

    /// Lines of the program's own.
    fn aside(&mut self, text: &str) {
        self.print(&set_off(text));
    }

    fn print(&mut self, line: &str) {
        if !self.started && self.detail > 0 {
            self.started = true;
            self.print("   step      time  who          what happens");
        }
        if !self.deaf {
            self.deaf = writeln!(self.out, "{line}").is_err();
        }
    }
}

impl Narrator<Vec<u8>> {
    /// Tells one event more, and gives back what was written of that.
    pub(super) fn last(mut self, record: &Record, names: &Names) -> String {
        self.out.clear();
        self.record(record, names);
        let told = String::from_utf8(self.out).expect("a narrator writes text");
        told.strip_suffix('\n').unwrap_or(&told).to_owned()
    }
}

impl Line {
    /// What happened, with all that it made and woke.
    fn in_full(&self, names: &Names) -> String {
        let mut text = self.text.clone() + &tasks(&self.made, names);
        if let [timer] = self.timers[..] {
            text += &format!("timer {timer} fires");
        } else if !self.timers.is_empty() {
            text += &format!("timers {} fire", some(self.timers.iter().map(u64::to_string), ", "));
        }
        if !self.woken.is_empty() {
            let verb = if self.timers.len() > 1 { "wake" } else { "wakes" };
            let and = if text.is_empty() { "" } else { " and " };
            text += &format!("{and}{verb} {}", tasks(&self.woken, names));
        }
        text
    }
}

fn who(task: u64, names: &Names) -> String {
    if task == 0 { "loop".to_owned() } else { names.task(task) }
}

/// What the program prints, as it stands between the lines: set off. Its empty lines are lines too.
pub(super) fn set_off(text: &str) -> String {
    let line = |line: &str| if line.is_empty() { String::new() } else { format!("{:19}{line}", "") };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// A mark, as it stands between the lines.
fn heading(mark: &str) -> String {
    format!("── {} ──", shown(mark))
}

impl<W: Write> Observer for Narrator<W> {
    fn record(&mut self, record: &Record, names: &Names) {
        self.tell(record, names);
        if record.event == Event::LoopStop && self.out.flush().is_err() {
            self.deaf = true;
        }
    }
}

impl<W> std::fmt::Debug for Narrator<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Narrator").field("detail", &self.detail).field("step", &self.state.step).finish_non_exhaustive()
    }
}
