//! A recording as a trace in the format of Chrome, which Perfetto opens too: a lane for each task, and arrows for who woke whom.

use std::fmt::{self, Write};

use super::Recording;
use super::json::Text;
use super::timeline::{Point, Slice, Timeline, What};

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
    /// The first lane is the loop, every other a task, by its id. On a task's lane one slice follows the other without a hole: it
    /// waits for its turn, it runs, it is parked, with what it waits for and where. Arrows lead from whoever woke a task to where
    /// it ran next. What the program printed, marks and cancellations stand at their moments; counters show how many tasks were
    /// ready and how many were parked.
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
        let run = Timeline::of(&self.records(), &self.names());
        let mut trace = Trace { axis, events: Vec::new() };
        run.slices.iter().for_each(|slice| trace.slice(slice));
        for arrow in &run.arrows {
            if let Some(to) = arrow.runs {
                trace.arrow(arrow.at, &run.slices[arrow.from], &run.slices[to]);
            }
        }
        for moment in &run.moments {
            let text = match moment.what {
                What::Prints => format!("prints: {}", moment.text),
                What::Mark => format!("mark: {}", moment.text),
                _ => moment.text.clone(),
            };
            trace.instant(moment.at, moment.lane, &text);
        }
        for count in &run.counts {
            let args = format!(r#""args":{{"ready":{},"parked":{}}}"#, count.ready, count.parked);
            trace.push(trace.stamp(count.at), format!(r#""ph":"C","name":"tasks",{args}"#));
        }
        trace.finish(&run.lanes)
    }
}

/// The number of the process, and of its main thread, which is the loop: Perfetto takes a thread 0 for the main thread, and puts
/// it into one lane with the thread that has the number of the process. No task has this one.
const LOOP: u64 = 1_000_000_000;

/// The thread of a lane.
fn thread(lane: u64) -> u64 {
    if lane == 0 { LOOP } else { lane }
}

struct Trace {
    axis: Axis,
    /// With the moment at which each begins, by which they are sorted.
    events: Vec<(u64, String)>,
}

impl Trace {
    fn slice(&mut self, slice: &Slice) {
        let (begin, end) = self.span(slice);
        let (lane, name, lasted) = (thread(slice.lane), Text(&slice.text), Micros(end - begin));
        let mut args = moment(slice.from);
        for (name, text) in &slice.notes {
            let _ = write!(args, ",{}:{}", Text(name), Text(text));
        }
        self.push(begin, format!(r#""ph":"X","dur":{lasted},"tid":{lane},"name":{name},"args":{{{args}}}"#));
    }

    /// Both ends say the same; the id is the step that made the task ready.
    fn arrow(&mut self, at: Point, from: &Slice, to: &Slice) {
        let both = format!(r#""id":{},"name":"makes ready","cat":"ready""#, at.step);
        // It belongs to the slice that it begins inside.
        let (begin, end) = self.span(from);
        let start = self.stamp(at).min(end.saturating_sub(1)).max(begin);
        self.push(start, format!(r#""ph":"s",{both},"tid":{}"#, thread(from.lane)));
        self.push(self.span(to).0, format!(r#""ph":"f","bp":"e",{both},"tid":{}"#, thread(to.lane)));
    }

    fn instant(&mut self, at: Point, lane: u64, name: &str) {
        let (lane, name, args) = (thread(lane), Text(name), moment(at));
        self.push(self.stamp(at), format!(r#""ph":"i","s":"t","tid":{lane},"name":{name},"args":{{{args}}}"#));
    }

    /// In nanoseconds of the trace.
    fn stamp(&self, point: Point) -> u64 {
        match self.axis {
            Axis::Step => point.step * 1_000,
            Axis::Time => point.at,
        }
    }

    fn span(&self, slice: &Slice) -> (u64, u64) {
        let (begin, end) = (self.stamp(slice.from), self.stamp(slice.to));
        let least = if self.axis == Axis::Step { 1_000 } else { 0 };
        (begin, end.max(begin + least))
    }

    fn push(&mut self, stamp: u64, event: String) {
        self.events.push((stamp, format!(r#"{{"pid":{LOOP},"ts":{},{event}}}"#, Micros(stamp))));
    }

    fn finish(mut self, lanes: &[(u64, String)]) -> String {
        // What begins together stays in the order in which it was told.
        self.events.sort_by_key(|(stamp, _)| *stamp);
        let mut text = String::from("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
        let _ = write!(text, r#"{{"ph":"M","pid":{LOOP},"name":"process_name","args":{{"name":"corio"}}}}"#);
        for (lane, name) in lanes {
            let (thread, name) = (thread(*lane), Text(name));
            let _ = write!(
                text,
                ",\n{{\"ph\":\"M\",\"pid\":{LOOP},\"tid\":{thread},\"name\":\"thread_name\",\"args\":{{\"name\":{name}}}}}\
                 ,\n{{\"ph\":\"M\",\"pid\":{LOOP},\"tid\":{thread},\"name\":\"thread_sort_index\",\
                 \"args\":{{\"sort_index\":{lane}}}}}"
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

/// The step and the clock, which tell what the axis does not.
fn moment(point: Point) -> String {
    let (seconds, nanos) = (point.at / 1_000_000_000, point.at % 1_000_000_000);
    format!(r#""step":{},"clock":"{seconds}.{nanos:09}""#, point.step)
}

/// Nanoseconds as the format wants them: in microseconds.
struct Micros(u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}
