//! A recording as a trace in the format of Chrome, which Perfetto opens too: a lane for each task, and arrows for who woke whom.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::event::{By, Event, Record, Sent};
use super::state::State;
use super::words::{place, want, why};
use super::{Names, Recording};

/// What the axis of a trace counts.
///
/// ```
/// use corio::observe::{Axis, Recording};
/// use corio::{Runner, secs, sleep};
///
/// # if !cfg!(feature = "observe") { return Ok(()) }
/// let recording = Recording::new();
/// Runner::new().virtual_clock().observer(recording.clone()).run(|| sleep(secs(1)))?;
/// let (steps, time) = (recording.chrome_trace(Axis::Step), recording.chrome_trace(Axis::Time));
/// assert!(steps.contains(r#""clock":"1.000000000""#)); // it tells the clock either way
/// assert!(time.contains(r#""ts":1000000.000"#)); // a second, in microseconds
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Records: each is a microsecond. On a virtual clock much happens at one moment, and only this shows in which order.
    Step,
    /// The loop's clock.
    Time,
}

impl Recording {
    /// The run as a trace: JSON in Chrome's trace event format, to be opened with `chrome://tracing` or Perfetto.
    ///
    /// Lane 0 is the loop, every other a task, by its id. On a task's lane one slice follows the other without a hole: it waits for
    /// its turn, it runs, it is parked, with what it waits for and where. Arrows lead from whoever woke a task to where it ran
    /// next. What the program printed, marks and cancellations stand at their moments; counters show how many tasks were ready
    /// and how many were parked.
    ///
    /// ```
    /// use corio::observe::{Axis, Recording};
    /// use corio::{Runner, secs, sleep, spawn};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| {
    ///     let sleeper = spawn(|| sleep(secs(1)));
    ///     sleeper.join()
    /// })?;
    /// let trace = recording.chrome_trace(Axis::Step);
    /// assert!(trace.starts_with('{') && trace.contains("waits for task-2 to end"));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn chrome_trace(&self, axis: Axis) -> String {
        let names = self.names();
        let mut trace = Trace::new(axis, &names);
        for record in self.records() {
            trace.tell(&record);
        }
        trace.finish()
    }
}

const LOOP: u64 = 0;

/// What both ends of an arrow say; its id is the step that made the task ready.
fn arrow(id: u64) -> String {
    format!(r#""id":{id},"name":"makes ready","cat":"ready""#)
}

/// A slice that has begun.
struct Slice {
    start: Record,
    name: String,
    /// More to say, as members of an object.
    more: String,
}

struct Trace<'a> {
    axis: Axis,
    names: &'a Names,
    state: State,
    /// What has begun on each lane.
    open: BTreeMap<u64, Slice>,
    /// Where a task went on last, and whether it runs since then.
    ran: BTreeMap<u64, (Record, bool)>,
    /// Tasks that were made or woken and have not run yet: by which step.
    woken: BTreeMap<u64, u64>,
    parked: usize,
    counts: (usize, usize),
    last: Option<Record>,
    /// With the step at which each begins, by which they are sorted.
    events: Vec<(u64, String)>,
}

impl Trace<'_> {
    fn new(axis: Axis, names: &Names) -> Trace<'_> {
        Trace {
            axis,
            names,
            state: State::new(),
            open: BTreeMap::new(),
            ran: BTreeMap::new(),
            woken: BTreeMap::new(),
            parked: 0,
            counts: (0, 0),
            last: None,
            events: Vec::new(),
        }
    }

    fn tell(&mut self, record: &Record) {
        self.last = Some(*record);
        self.state.apply(record);
        match record.event {
            Event::Spawn { task, by, at, .. } => {
                let more = format!(",\"spawned\":{}", Text(&place(at)));
                self.begin(task, record, "waits for its first turn".to_owned(), more);
                if self.ran.contains_key(&by) {
                    self.arrow_from_task(record, task, by);
                }
            }
            Event::Resume { task, sent, nth } => {
                self.end(task, record);
                let sent = match sent {
                    Sent::Start => "send(None), from the top",
                    Sent::Nothing => "send(None)",
                    Sent::Cancelled => "a cancellation",
                    Sent::Throw => "the end of the run, by force",
                };
                self.begin(task, record, "runs".to_owned(), format!(",\"sent\":{},\"resume\":{nth}", Text(sent)));
                self.ran.insert(task, (*record, true));
                if let Some(wake) = self.woken.remove(&task) {
                    self.push(record, format!(r#""ph":"f","bp":"e",{},"tid":{task}"#, arrow(wake)));
                }
            }
            Event::Yield { task, want: wanted, at } => {
                self.parked += 1;
                self.stop(task, record);
                let name = format!("waits for {}", want(wanted, &self.state, self.names));
                self.begin(task, record, name, format!(",\"at\":{}", Text(&place(at))));
            }
            Event::Complete { task, end } => {
                self.stop(task, record);
                self.instant(task, record, &format!("ends: {end:?}"));
            }
            Event::Wake { task, by } => {
                self.end(task, record);
                self.parked = self.parked.saturating_sub(1);
                let ahead = self.state.ready.len() - 1;
                self.begin(task, record, format!("waits for its turn, {ahead} ahead"), String::new());
                self.wake(record, task, by);
            }
            Event::PollEnter { timeout, why } => {
                let until = timeout.map_or("null".to_owned(), |timeout| timeout.to_string());
                self.begin(LOOP, record, format!("polls: {why:?}"), format!(",\"timeout_ns\":{until}"));
            }
            Event::PollReturn { .. } => self.end(LOOP, record),
            Event::CancelAsk { task, why: reason, .. } => {
                self.instant(task, record, &format!("is asked to end: {}", why(reason)));
            }
            Event::NoPause { task, want: wanted, .. } => {
                let name = format!("no pause: {}", want(wanted, &self.state, self.names));
                self.instant(task, record, &name);
            }
            Event::Out { task, text } => self.instant(task, record, &format!("prints: {}", self.names.text(text))),
            Event::Callback { at } => self.instant(LOOP, record, &format!("calls what was scheduled at {}", place(at))),
            Event::Mark { text } => self.instant(LOOP, record, &format!("mark: {}", self.names.text(text))),
            Event::Deadlock { .. } => self.instant(LOOP, record, "deadlock"),
            _ => {}
        }
        self.count(record);
    }

    /// Whoever woke the task: another, or the loop, on whose lane that is a slice.
    fn wake(&mut self, record: &Record, task: u64, by: By) {
        match by {
            By::Task(waker) if self.ran.contains_key(&waker) => self.arrow_from_task(record, task, waker),
            _ => {
                let polls = self.open.contains_key(&LOOP);
                if !polls {
                    self.begin(LOOP, record, format!("{by:?} wakes {}", self.names.task(task)), String::new());
                }
                self.begin_arrow(record.seq, record, LOOP);
                self.woken.insert(task, record.seq);
                if !polls {
                    self.end_after(LOOP, record);
                }
            }
        }
    }

    /// From where it runs, or has run last: an arrow begins inside a slice.
    fn arrow_from_task(&mut self, record: &Record, task: u64, by: u64) {
        let (began, runs) = self.ran[&by];
        let from = if runs { *record } else { began };
        self.begin_arrow(record.seq, &from, by);
        self.woken.insert(task, record.seq);
    }

    fn begin_arrow(&mut self, id: u64, from: &Record, lane: u64) {
        self.push(from, format!(r#""ph":"s",{},"tid":{lane}"#, arrow(id)));
    }

    fn begin(&mut self, lane: u64, record: &Record, name: String, more: String) {
        self.open.insert(lane, Slice { start: *record, name, more });
    }

    fn stop(&mut self, task: u64, record: &Record) {
        self.end(task, record);
        if let Some((_, runs)) = self.ran.get_mut(&task) {
            *runs = false;
        }
    }

    fn end(&mut self, lane: u64, record: &Record) {
        self.end_at(lane, self.stamp(record));
    }

    /// A moment that is to be seen: one step long.
    fn end_after(&mut self, lane: u64, record: &Record) {
        let end = if self.axis == Axis::Step { self.stamp(record) + 1_000 } else { self.stamp(record) };
        self.end_at(lane, end);
    }

    fn end_at(&mut self, lane: u64, end: u64) {
        let Some(Slice { start, name, more }) = self.open.remove(&lane) else { return };
        let lasted = Micros(end.saturating_sub(self.stamp(&start)));
        let slice = format!(
            r#""ph":"X","dur":{lasted},"tid":{lane},"name":{},"args":{{{}{more}}}"#,
            Text(&name),
            self.moment(&start)
        );
        self.push(&start, slice);
    }

    fn instant(&mut self, lane: u64, record: &Record, name: &str) {
        let args = self.moment(record);
        self.push(record, format!(r#""ph":"i","s":"t","tid":{lane},"name":{},"args":{{{args}}}"#, Text(name)));
    }

    fn count(&mut self, record: &Record) {
        let counts = (self.state.ready.len(), self.parked);
        if counts != self.counts {
            self.counts = counts;
            let (ready, parked) = counts;
            self.push(record, format!(r#""ph":"C","name":"tasks","args":{{"ready":{ready},"parked":{parked}}}"#));
        }
    }

    /// The step and the clock, which tell what the axis does not.
    fn moment(&self, record: &Record) -> String {
        let (seconds, nanos) = (record.at / 1_000_000_000, record.at % 1_000_000_000);
        format!(r#""step":{},"clock":"{seconds}.{nanos:09}""#, record.seq)
    }

    /// In nanoseconds of the trace.
    fn stamp(&self, record: &Record) -> u64 {
        match self.axis {
            Axis::Step => record.seq * 1_000,
            Axis::Time => record.at,
        }
    }

    fn push(&mut self, record: &Record, event: String) {
        let stamp = self.stamp(record);
        self.events.push((stamp, format!(r#"{{"pid":1,"ts":{},{event}}}"#, Micros(stamp))));
    }

    fn finish(mut self) -> String {
        if let Some(last) = self.last {
            let lanes: Vec<_> = self.open.keys().copied().collect();
            lanes.into_iter().for_each(|lane| self.end(lane, &last));
        }
        // What begins together stays in the order in which it was told.
        self.events.sort_by_key(|(stamp, _)| *stamp);
        let mut lanes = vec![(LOOP, "loop".to_owned())];
        lanes.extend(self.state.tasks.keys().map(|task| (*task, self.names.task(*task))));
        let mut text = String::from("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
        text.push_str(r#"{"ph":"M","pid":1,"name":"process_name","args":{"name":"corio"}}"#);
        for (lane, name) in lanes {
            let name = Text(&name);
            let _ = write!(
                text,
                ",\n{{\"ph\":\"M\",\"pid\":1,\"tid\":{lane},\"name\":\"thread_name\",\"args\":{{\"name\":{name}}}}}\
                 ,\n{{\"ph\":\"M\",\"pid\":1,\"tid\":{lane},\"name\":\"thread_sort_index\",\"args\":{{\"sort_index\":{lane}}}}}"
            );
        }
        for (_, event) in self.events {
            text.push_str(",\n");
            text.push_str(&event);
        }
        text.push_str("\n]}\n");
        text
    }
}

/// Nanoseconds as the format wants them: in microseconds.
struct Micros(u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}

/// A text between quotation marks, as JSON has it.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
