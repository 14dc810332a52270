//! A recorded run, step by step, on a plain terminal.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};

use super::event::{Event, Record};
use super::narrator::set_off;
use super::replay::Replay;
use super::view::Exchange;
use super::walk::{Answer, Walk, list};
use super::words::{place, some, tasks};
use super::{Names, Observer, Recording};

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
    walk: Walk,
    echo: bool,
}

impl Stepper {
    /// At the beginning of a run.
    pub fn new(recording: &Recording) -> Stepper {
        Stepper { walk: Walk::new(recording.replay()), echo: false }
    }

    /// Through a run that is about to begin, while it happens; see [`LiveStepper`].
    pub fn live() -> Stepper {
        Stepper { walk: Walk::live(), echo: false }
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
        out.write_all(list().as_bytes())?;
        self.talk(0, &mut input, &mut out).map(drop)
    }

    /// For [`Runner::observer`](crate::Runner::observer): stops the run wherever the reader wants to look, and reads lines. When he
    /// has left, what the program prints is written as it comes.
    ///
    /// ```
    /// use corio::observe::Stepper;
    /// use corio::{Runner, secs, sleep};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let stepper = Stepper::live().observe(&b"t\nq\n"[..], std::io::sink());
    /// Runner::new().virtual_clock().observer(stepper).run(|| sleep(secs(1)))?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn observe(self, input: impl BufRead + 'static, out: impl Write + 'static) -> LiveStepper {
        LiveStepper { stepper: self, input: Box::new(input), out: Box::new(out), from: None, has_left: false }
    }

    /// Shows where it stands and does what it is told, until the reader has left, or wants what is still to come. Returns
    /// where he stood then.
    fn talk(&mut self, mut from: u64, input: &mut dyn BufRead, out: &mut dyn Write) -> io::Result<Option<u64>> {
        loop {
            out.write_all(Stepper::card(&mut self.walk, from).as_bytes())?;
            from = self.walk.replay().step();
            loop {
                let so_far = if self.walk.goes_on() { " so far" } else { "" };
                let prompt = format!("step {from} of {}{so_far} > ", self.walk.replay().steps());
                let Some(line) = ask(&prompt, input, out, self.echo)? else { return Ok(None) };
                let stack = line.strip_prefix('b').filter(|name| name.is_empty() || name.starts_with(' '));
                let answer = match stack.filter(|_| self.walk.is_at_the_front()) {
                    Some(name) => self.stack(name.trim()),
                    None => self.walk.command(&line),
                };
                match answer {
                    Answer::Moved => break,
                    Answer::Said(text) => writeln!(out, "{text}")?,
                    Answer::Awaited => return Ok(Some(from)),
                    Answer::Left => return Ok(None),
                }
            }
        }
    }

    /// In which calls a task of the running program stands.
    #[cfg(feature = "backtrace")]
    fn stack(&self, name: &str) -> Answer {
        let task = if name.is_empty() { Ok(self.walk.focus()) } else { self.walk.task(name) };
        task.map_or_else(|said| said, |task| Answer::Said(super::stacks::stack_of(task)))
    }

    #[cfg(not(feature = "backtrace"))]
    fn stack(&self, _: &str) -> Answer {
        Answer::Said("  stacks are shown by programs that are built with corio's feature `backtrace`".to_owned())
    }

    /// Everything at a stop. `from` is the one before.
    pub(super) fn card(walk: &mut Walk, from: u64) -> String {
        let (replay, step) = (walk.replay(), walk.replay().step());
        let mut text = String::new();
        if from < step {
            text += &meanwhile(&replay.records()[from as usize..step as usize - 1], replay);
        }
        text += &format!("{:─<100}\n{}\n", "", replay.told());
        if let Some((at, sign)) = walk.stands() {
            text += &walk.lines(at, sign, 2);
        }
        text += &conversation(walk);
        let (state, names) = (walk.replay().state(), walk.replay().names());
        let none = |text: String| if text.is_empty() { "nobody".to_owned() } else { text };
        text += &format!("  ready    {}\n", none(tasks(&state.ready, names)));
        let timers = some(walk.timers().into_iter(), ", ");
        text += &format!("  timers   {}\n", if timers.is_empty() { "none" } else { &timers });
        if !state.sources.is_empty() {
            text += &format!("  sources  {}\n", some(state.sources.iter().map(u64::to_string), ", "));
        }
        let parked: Vec<_> = state.tasks.keys().filter_map(|id| Some((*id, walk.waits(*id)?))).collect();
        let parked = parked.into_iter();
        let parked = parked.map(|(id, (wanted, at))| format!("{} at {}, for {wanted}", names.task(id), place(at)));
        text += &format!("  parked   {}\n", none(some(parked, "\n           ")));
        text
    }
}

/// Asks for a line. Without one, at the end of the input, the prompt's own line ends.
pub(super) fn ask(
    prompt: &str,
    input: &mut (impl BufRead + ?Sized),
    out: &mut (impl Write + ?Sized),
    echo: bool,
) -> io::Result<Option<String>> {
    out.write_all(prompt.as_bytes())?;
    out.flush()?;
    let mut line = Vec::new();
    if input.read_until(b'\n', &mut line)? == 0 {
        writeln!(out)?;
        return Ok(None);
    }
    let line = String::from_utf8_lossy(&line); // a terminal may send anything
    if echo {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(Some(line.trim().to_owned()))
}

/// What happened between two stops: what was printed, and in one line the rest.
fn meanwhile(records: &[Record], replay: &Replay) -> String {
    let mut text = String::new();
    let mut resumed = BTreeSet::new();
    for record in records {
        match record.event {
            Event::Out { text: number, .. } => text += &(set_off(replay.names().text(number)) + "\n"),
            Event::Resume { task, .. } => drop(resumed.insert(task)),
            _ => {}
        }
    }
    let events = match records.len() {
        0 => return text,
        1 => "1 event".to_owned(),
        events => format!("{events} events"),
    };
    let resumed = tasks(&resumed, replay.names());
    let resumed = if resumed.is_empty() { resumed } else { format!("; resumed: {resumed}") };
    text + &format!("  ··· {events}{resumed}\n")
}

/// The last that the loop and a task handed each other, or a task and a coroutine, in and out.
fn conversation(walk: &Walk) -> String {
    let [left, right] = walk.parties();
    let line = |said: &Exchange| {
        let arrow = match said.to_task {
            true => format!("{left} ── {} ──► {right}", said.what),
            false => format!("{left} ◄── {} ── {right}", said.what),
        };
        format!("  {arrow:<60} step {}\n", said.step)
    };
    walk.conversation(2).iter().map(line).collect()
}

/// A [`Stepper`] through a run that is under way. Whenever the reader wants to look, the run stands still until he goes on.
///
/// Back leads through what has happened; what is still to come is waited for. At the front, `b` shows in which calls a task
/// stands, in builds with the feature `backtrace`. What a task does within one step is told when the step is over: it has
/// paused, or ended, when one stops there. On the virtual clock a look changes nothing. The real clock, and what is connected,
/// go on while one reads; Ctrl-C, where the loop listens for it, is heard when the run goes on. Once the reader has left, the
/// run goes on without a stop, and what the program [says](crate::say) is written as it comes. It ends with the run: of a
/// [`Runner`](crate::Runner) that runs several times, the first one is shown.
///
/// ```
/// use corio::observe::{LiveStepper, Stepper};
/// use corio::{Runner, secs, sleep, spawn};
///
/// # if !cfg!(feature = "observe") { return Ok(()) }
/// let typed = "s\nt\np\nq\n"; // on a terminal: `io::stdin().lock()`, and `io::stdout()`
/// let stepper: LiveStepper = Stepper::live().echo(true).observe(typed.as_bytes(), std::io::sink());
/// Runner::new().virtual_clock().observer(stepper).run(|| spawn(|| sleep(secs(1))).join())?;
/// # std::io::Result::Ok(())
/// ```
pub struct LiveStepper {
    stepper: Stepper,
    input: Box<dyn BufRead>,
    out: Box<dyn Write>,
    /// Where the reader stood when he went on; nowhere yet at the beginning.
    from: Option<u64>,
    /// The run goes on without him.
    has_left: bool,
}

impl Observer for LiveStepper {
    fn record(&mut self, record: &Record, names: &Names) {
        if self.has_left {
            if let Event::Out { text, .. } = record.event {
                let _ = writeln!(self.out, "{}", names.text(text)); // nobody is left to be told of an error
            }
            return;
        }
        if !self.stepper.walk.see(record, names) {
            return;
        }
        let talked = self.begin().and_then(|from| self.stepper.talk(from, &mut *self.input, &mut *self.out));
        match talked {
            Ok(Some(from)) => self.from = Some(from),
            Ok(None) => self.has_left = true,
            Err(error) => {
                self.has_left = true;
                self.out = Box::new(io::sink());
                log::error!(target: "corio::observe", "the stepper leaves the run alone: {error}");
            }
        }
    }
}

impl LiveStepper {
    /// Where the reader stood last. At the very first stop he is told what he can do.
    fn begin(&mut self) -> io::Result<u64> {
        if let Some(from) = self.from {
            return Ok(from);
        }
        self.out.write_all(list().as_bytes())?;
        let first = self.stepper.walk.replay().records().first();
        if let Some(Record { event: Event::LoopStart { virtual_clock: false }, .. }) = first {
            writeln!(
                self.out,
                "  The clock is real, and goes on while you read. Ctrl-C is heard when the run goes on."
            )?;
        }
        Ok(0)
    }
}

impl std::fmt::Debug for LiveStepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.stepper.fmt(f)
    }
}

impl std::fmt::Debug for Stepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.walk.fmt(f)
    }
}
