//! Questions that a recorded run answers: made from its records, each before the step that tells.

use std::cmp::Reverse;

use super::Names;
use super::event::{By, End, Event, Place, PollReason, Record, Thing, Want};
use super::replay::Replay;
use super::state::State;
use super::words::{Seconds, Sources, place, some, tasks, want, why};
use crate::timer::Nanos;

/// How many are asked at most.
const MOST: usize = 9;

/// Which of more tasks than these is next, nobody can choose.
const CROWD: usize = 30;

/// Something to predict about a recorded run; from [`Quiz::questions`](super::Quiz::questions).
///
/// ```
/// use corio::observe::{Question, Quiz, Recording};
/// use corio::{Runner, secs, sleep};
///
/// # if !cfg!(feature = "observe") { return Ok(()) }
/// let recording = Recording::new();
/// Runner::new().virtual_clock().observer(recording.clone()).run(|| sleep(secs(1)))?;
///
/// let quiz = Quiz::new(&recording);
/// let question: &Question = &quiz.questions()[0];
/// assert!(question.text.ends_with("What does the clock show when that returns, in seconds?"));
/// assert_eq!(question.answer, "1.000");
/// assert!(question.step < question.answered_at);
/// assert_eq!(question.why, "Timer 1 is the first that is due.");
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Question {
    /// After which step it is asked. The [`State`] of that step is what a reader has to go by.
    pub step: u64,
    /// What is asked.
    pub text: String,
    /// The right answer, as a reader may type it.
    pub answer: String,
    /// The step that shows it.
    pub answered_at: u64,
    /// Why it is so, in a sentence.
    pub why: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Which task is resumed next, and which could be.
    Next { task: u64, of: Vec<(u64, String)> },
    /// Whether a call pauses.
    Pause { at: Place },
    /// When a poll returns.
    Clock { at: Nanos },
    /// How a task ends.
    End,
}

impl Question {
    /// Whether an answer is right; `None` if it is none, whatever the question's answer is.
    ///
    /// A task is its name or its number, `yes` may be `y`, and seconds may be written in any way.
    ///
    /// ```
    /// use corio::observe::{Quiz, Recording};
    /// use corio::{Runner, secs, sleep};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| sleep(secs(1)))?;
    /// let quiz = Quiz::new(&recording);
    /// let judged = ["1.000", "1 s", "2", "soon"].map(|typed| quiz.questions()[0].judge(typed));
    /// assert_eq!(judged, [Some(true), Some(true), Some(false), None]);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn judge(&self, typed: &str) -> Option<bool> {
        let typed = typed.trim().to_lowercase();
        match &self.kind {
            Kind::Next { task, of } => {
                let is_it = |(id, name): &&(u64, String)| name.to_lowercase() == typed || id.to_string() == typed;
                // Several may have one name.
                let (id, name) = of.iter().find(|of| of.0 == *task && is_it(of)).or_else(|| of.iter().find(is_it))?;
                Some(id == task || *name == self.answer)
            }
            Kind::Pause { .. } => match &*typed {
                "yes" | "y" => Some(self.answer == "yes"),
                "no" | "n" => Some(self.answer == "no"),
                _ => None,
            },
            Kind::Clock { at } => {
                let seconds = typed.strip_suffix('s').unwrap_or(&typed).trim_end().parse::<f64>().ok()?;
                // As exact as it is shown: cut to milliseconds.
                let nanos = (seconds * 1e9).round();
                (0.0..1e18).contains(&nanos).then_some(nanos as u64 / 1_000_000 == at / 1_000_000)
            }
            Kind::End => {
                let stem = ["return", "fail", "cancel", "panic"].into_iter().find(|stem| typed.starts_with(stem))?;
                Some(self.answer.starts_with(stem))
            }
        }
    }

    /// What is accepted as an answer.
    pub(super) fn expected(&self) -> String {
        match &self.kind {
            Kind::Next { of, .. } => {
                format!("a task, by its name or its number: {}", some(of.iter().map(|(_, name)| name.clone()), ", "))
            }
            Kind::Pause { .. } => "yes or no".to_owned(),
            Kind::Clock { .. } => "seconds, as in 1.5".to_owned(),
            Kind::End => "returned, failed, cancelled or panicked".to_owned(),
        }
    }

    /// The place in the source that it is about.
    pub(super) fn place(&self) -> Option<Place> {
        match self.kind {
            Kind::Pause { at } => Some(at),
            _ => None,
        }
    }
}

/// The questions of a run, in the order of their steps: of each sort in turn, and each as far from the others as can be. None
/// begins before the one in front of it is answered, or it would be told what it asks.
pub(super) fn choose(replay: &Replay) -> Vec<Question> {
    let sorts = all(replay);
    let mut chosen: Vec<Question> = Vec::new();
    loop {
        let before = chosen.len();
        for sort in &sorts {
            let free = sort.iter().filter(|new| chosen.iter().all(|old| apart(new, old).is_some()));
            let distance = |new: &&Question| chosen.iter().filter_map(|old| apart(new, old)).min();
            if let Some(farthest) = free.min_by_key(|new| Reverse(distance(new)))
                && chosen.len() < MOST
            {
                chosen.push(farthest.clone());
            }
        }
        if chosen.len() == before {
            chosen.sort_by_key(|question| question.step);
            return chosen;
        }
    }
}

/// How many steps lie between two questions; `None` if one is asked before the other is answered.
fn apart(a: &Question, b: &Question) -> Option<u64> {
    let (first, second) = if a.step <= b.step { (a, b) } else { (b, a) };
    second.step.checked_sub(first.answered_at)
}

/// Everything that could be asked, by its sort. What has two answers is two sorts, so that both are asked for.
fn all(replay: &Replay) -> [Vec<Question>; 7] {
    let [mut queue, mut clock, mut pauses, mut goes_on, mut ends, mut nobody, mut returns] =
        <[Vec<Question>; 7]>::default();
    let (records, names) = (replay.records(), replay.names());
    let virtual_clock =
        matches!(records.first().map(|first| first.event), Some(Event::LoopStart { virtual_clock: true }));
    let mut state = State::new(); // before the record, without the tasks that have ended
    let mut sources = Sources::default();
    for (n, record) in records.iter().enumerate() {
        let before = &records[..n];
        match record.event {
            Event::Yield { .. } => pauses.extend(pause(before, record, &state, names, &mut sources)),
            Event::NoPause { .. } => goes_on.extend(pause(before, record, &state, names, &mut sources)),
            Event::PollEnter { why: PollReason::Timer, .. } if virtual_clock => {
                clock.extend(returns_at(record, &records[n + 1..], &state));
            }
            Event::Complete { task, end } => {
                let sort = if end == End::Returned { &mut returns } else { &mut ends };
                sort.push(how_it_ends(before, record, (task, end), &state, names));
            }
            _ => {}
        }
        state.apply(record);
        if let Event::Complete { task, .. } = record.event {
            state.forget(task);
        }
        if let Event::Yield { .. } | Event::Complete { .. } = record.event {
            let sort = if state.ready.is_empty() { &mut nobody } else { &mut queue };
            sort.extend(next(record, records, &state, names));
        }
    }
    if ends.is_empty() {
        returns.clear(); // where all return, nobody has to think
    }
    [queue, clock, pauses, goes_on, ends, nobody, returns]
}

/// Who is resumed after a pause or an end, if what is so then says it.
fn next(record: &Record, records: &[Record], state: &State, names: &Names) -> Option<Question> {
    if !state.running.is_empty() || state.tasks.len() > CROWD {
        return None; // whoever has started it at once goes on; or there are too many
    }
    let mut later = records[record.seq as usize..].iter();
    let resume =
        later.find(|next| matches!(next.event, Event::Resume { .. } | Event::Yield { .. } | Event::Complete { .. }))?;
    let Event::Resume { task, .. } = resume.event else { return None };
    let woken_by = match records.get(resume.cause.checked_sub(1)? as usize)?.event {
        Event::Wake { by, .. } => Some(by),
        _ => None,
    };
    let why = match (state.ready.front(), woken_by, record.event) {
        (Some(first), ..) if *first != task => return None, // somebody has put them into another order
        (Some(_), ..) if state.ready.len() < 2 => return None, // nothing to think about
        (Some(_), ..) => format!("It is the first in the queue: {}.", tasks(&state.ready, names)),
        (None, Some(By::Timer(timer)), _) if state.next_timer().is_some_and(|(first, _)| first == timer) => {
            format!("Nobody is ready, and timer {timer} is the first that is due.")
        }
        (None, Some(By::Task(ended)), Event::Complete { task, .. }) if ended == task => {
            format!("Nobody is ready, and the end of {} is what it waits for.", names.task(ended))
        }
        _ => return None, // it comes from outside, which nobody can know
    };
    let of: Vec<(u64, String)> = state.tasks.keys().map(|id| (*id, names.task(*id))).collect();
    (of.len() > 1).then(|| Question {
        step: record.seq,
        text: "Which task is resumed next?".to_owned(),
        answer: names.task(task),
        answered_at: resume.seq,
        why,
        kind: Kind::Next { task, of },
    })
}

/// Whether a call pauses, if that depends on others and can be known.
fn pause(before: &[Record], record: &Record, state: &State, names: &Names, sources: &mut Sources) -> Option<Question> {
    let (task, wanted, at, pauses) = match record.event {
        Event::Yield { task, want, at } => (task, want, at, true),
        Event::NoPause { task, want, at } => (task, want, at, false),
        _ => return None,
    };
    let why = match wanted {
        Want::Thing { thing: Thing::Condition, .. } => return None, // a wait for it always pauses
        Want::Join { task } if !pauses => format!("{} has ended.", names.task(task)),
        Want::Join { .. } | Want::Thing { .. } if pauses => format!("It waits for {}.", want(wanted, state, names)),
        Want::Thing { .. } => "It gets at once what it asks for.".to_owned(),
        _ => return None,
    };
    // These belong to the pause and would tell of it.
    let tells = |record: &&Record| matches!(record.event, Event::TimerArm { .. } | Event::Polled { .. });
    let step = before.iter().rev().find(|record| !tells(record))?.seq;
    let call = sources.call(at).map_or_else(String::new, |call| format!(" `{call}`"));
    Some(Question {
        step,
        text: format!("{} comes to {}{call}. Does that call pause?", names.task(task), place(at)),
        answer: if pauses { "yes" } else { "no" }.to_owned(),
        answered_at: record.seq,
        why,
        kind: Kind::Pause { at },
    })
}

/// When a poll that is about to begin returns, if a timer ends it. The clock has to be virtual, or nobody could know.
fn returns_at(record: &Record, rest: &[Record], state: &State) -> Option<Question> {
    let (timer, set) = state.next_timer()?;
    let poll_return = rest.iter().find(|record| matches!(record.event, Event::PollReturn { .. }))?;
    (poll_return.at == set.due).then(|| Question {
        step: record.seq - 1,
        text: "Nobody is ready, so the loop polls. What does the clock show when that returns, in seconds?".to_owned(),
        answer: Seconds(set.due).to_string(),
        answered_at: poll_return.seq,
        why: format!("Timer {timer} is the first that is due."),
        kind: Kind::Clock { at: set.due },
    })
}

/// How a task ends, asked when it is resumed for the last time.
fn how_it_ends(before: &[Record], record: &Record, (task, end): (u64, End), state: &State, names: &Names) -> Question {
    let is_its = |record: &&Record| matches!(record.event, Event::Resume { task: resumed, .. } if resumed == task);
    let seen = state.tasks.get(&task);
    let has_begun = seen.is_some_and(|task| task.resumes > 0);
    let resumed = if has_begun { before.iter().rev().find(is_its) } else { None };
    let name = names.task(task);
    let asked = seen.and_then(|task| task.cancel);
    let asked = asked.map_or_else(String::new, |reason| format!(" It was asked to end: {}.", why(reason)));
    let (answer, why) = match end {
        End::Returned => ("returned", "Its function returns a value."),
        End::Failed => ("failed", "Its function returns an error."),
        End::Cancelled if resumed.is_none() => ("cancelled", "Its function never runs."),
        End::Cancelled => ("cancelled", "The error of the cancellation comes out of its function."),
        End::Panicked => ("panicked", "Its function panics, and the panic stops at the task."),
    };
    Question {
        step: resumed.map_or(record.seq - 1, |resumed| resumed.seq),
        text: match resumed {
            Some(_) => format!("{name} is not resumed again after this. How does it end?"),
            None => format!("{name} is never resumed. How does it end?"),
        },
        answer: answer.to_owned(),
        answered_at: record.seq,
        why: why.to_owned() + &asked,
        kind: Kind::End,
    }
}
