//! What is to be seen from where a [`Walk`] stands.

use std::collections::BTreeSet;

use super::event::{Event, Place, Record, Sent};
use super::state::State;
use super::walk::Walk;
use super::words::{self, briefly, ended, handed_in, handed_out, place, sent, want};

/// Something that two parties handed each other: the loop and a task, or a task and a coroutine.
///
/// ```
/// use corio::observe::{Exchange, Recording, Walk};
/// use corio::{Runner, secs, sleep};
///
/// # if !cfg!(feature = "observe") { return Ok(()) }
/// let recording = Recording::new();
/// Runner::new().virtual_clock().observer(recording.clone()).run(|| sleep(secs(1)))?;
/// let mut walk = Walk::new(recording.replay());
/// let said: Exchange = walk.conversation(1)[0].clone();
/// assert!(said.to_task && said.what == "send(None)" && said.step == walk.replay().step() && said.at.is_none());
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When.
    pub step: u64,
    /// Into the task, or the coroutine; or out of it.
    pub to_task: bool,
    /// What it was, in words.
    pub what: String,
    /// The same in few words, where there is no room for all of them.
    pub brief: String,
    /// Where it paused, if it did.
    pub at: Option<Place>,
}

/// Whom a conversation is with.
#[derive(Clone, Copy)]
enum Partner {
    Task(u64),
    Coroutine(u64),
}

/// What the loop does in its turn; see [`Walk::phase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It resumes the tasks that are ready, one after the other.
    RunReady,
    /// It asks the kernel for news, and wakes whom it concerns.
    Poll,
    /// It lets the timers fire that are due.
    FireTimers,
    /// It has ended.
    Over,
}

impl Walk {
    /// The task that is looked at: whom the last record is about, whose timer fires, or who was resumed last.
    pub fn focus(&self) -> u64 {
        let mut so_far = self.replay.so_far().iter().rev();
        let about = self.replay.record().and_then(|record| match record.event {
            // Whose it was is said where it was set; 0 is a callback.
            Event::TimerFire { timer: fired } => so_far.clone().find_map(|record| match record.event {
                Event::TimerArm { timer, task: task @ 1.., .. } if timer == fired => Some(task),
                _ => None,
            }),
            event => event.task(),
        });
        let resumed = || {
            so_far.find_map(|record| match record.event {
                Event::Resume { task, .. } => Some(task),
                _ => None,
            })
        };
        about.or_else(resumed).unwrap_or(1)
    }

    /// Who talks: the loop and the task in [`focus`](Walk::focus); or that task and a coroutine, from when it is resumed or
    /// pauses until the loop comes in again.
    ///
    /// ```
    /// use corio::observe::{Recording, Walk};
    /// use corio::{Coroutine, Runner};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| {
    ///     let mut one: Coroutine<(), u32> = Coroutine::new(|y| y.yield_(1));
    ///     one.start().map(drop)
    /// })?;
    /// let mut walk = Walk::new(recording.replay());
    /// assert_eq!(walk.parties(), ["loop", "main"]);
    /// walk.command("e");
    /// assert_eq!(walk.parties(), ["main", "coroutine 1"]);
    /// assert_eq!(walk.next_exchange().unwrap().what, "1");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn parties(&self) -> [String; 2] {
        let name = self.replay.names().task(self.focus());
        match self.partner() {
            Partner::Task(_) => ["loop".to_owned(), name],
            Partner::Coroutine(coroutine) => [name, format!("coroutine {coroutine}")],
        }
    }

    fn partner(&self) -> Partner {
        for record in self.replay.so_far().iter().rev() {
            match record.event {
                Event::GenSend { coroutine, .. }
                | Event::GenYield { coroutine, .. }
                | Event::GenReturn { coroutine, .. } => return Partner::Coroutine(coroutine),
                Event::Out { .. } | Event::Mark { .. } => {}
                _ => break,
            }
        }
        Partner::Task(self.focus())
    }

    /// The last that the [`parties`](Walk::parties) have handed each other, the oldest first.
    pub fn conversation(&self, longest: usize) -> Vec<Exchange> {
        let (state, partner) = (self.replay.state(), self.partner());
        let said = self.replay.so_far().iter().rev().filter_map(|record| self.exchange(record, partner, state));
        let mut said: Vec<Exchange> = said.take(longest).collect();
        said.reverse();
        said
    }

    /// What the [`parties`](Walk::parties) will hand each other next: a record knows. Nothing, if that was all.
    ///
    /// ```
    /// use corio::observe::{Recording, Walk};
    /// use corio::{Runner, secs, sleep};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| sleep(secs(1)))?;
    /// let mut walk = Walk::new(recording.replay());
    /// let next = walk.next_exchange().unwrap();
    /// assert_eq!((next.to_task, &*next.what), (false, "timer 1, due 1.000"));
    /// walk.command("f main");
    /// assert_eq!(walk.next_exchange(), None);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn next_exchange(&self) -> Option<Exchange> {
        let (mut state, partner) = (self.replay.state().clone(), self.partner());
        self.replay.to_come().iter().find_map(|record| {
            state.apply(record);
            self.exchange(record, partner, &state)
        })
    }

    /// What is handed over in a record, in or out.
    fn exchange(&self, record: &Record, with: Partner, state: &State) -> Option<Exchange> {
        let names = self.replay.names();
        let (to_task, what, at) = match (with, record.event) {
            (Partner::Task(with), Event::Resume { task, sent, .. }) if task == with => {
                (true, handed_in(sent).to_owned(), None)
            }
            (Partner::Task(with), Event::Yield { task, want: wanted, at }) if task == with => {
                (false, want(wanted, state, names), Some(at))
            }
            (Partner::Task(with), Event::Complete { task, end }) if task == with => {
                (false, handed_out(end).to_owned(), None)
            }
            (Partner::Coroutine(with), Event::GenSend { coroutine, thrown, value, .. }) if coroutine == with => {
                let is_first = value.is_none() && self.paused(with, record.seq).is_none();
                (true, if is_first { "send(None)".to_owned() } else { sent(thrown, value, names) }, None)
            }
            (Partner::Coroutine(with), Event::GenYield { coroutine, at, value }) if coroutine == with => {
                (false, value.map_or("a value", |value| names.text(value)).to_owned(), Some(at))
            }
            (Partner::Coroutine(with), Event::GenReturn { coroutine, end, value }) if coroutine == with => {
                (false, ended(end, value, names), None)
            }
            _ => return None,
        };
        let brief = match record.event {
            Event::Yield { want: wanted, .. } => briefly(wanted, state, self.replay.names()),
            Event::Resume { sent: Sent::Cancelled, .. } => "Cancelled".to_owned(),
            Event::Resume { sent: Sent::Throw, .. } => "Shutdown".to_owned(),
            _ => what.clone(),
        };
        Some(Exchange { step: record.seq, to_task, what, brief, at })
    }

    /// Where a coroutine paused last before a step.
    fn paused(&self, coroutine: u64, before: u64) -> Option<Place> {
        self.replay.up_to(before.saturating_sub(1)).iter().rev().find_map(|record| match record.event {
            Event::GenYield { coroutine: paused, at, .. } if paused == coroutine => Some(at),
            _ => None,
        })
    }

    /// The tasks that are resumed between two steps, neither of them included.
    ///
    /// ```
    /// use corio::observe::{Recording, Walk};
    /// use corio::{Runner, secs, sleep, spawn};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| spawn(|| sleep(secs(1))).join())?;
    /// let mut walk = Walk::new(recording.replay());
    /// let from = walk.replay().step();
    /// walk.command("n"); // main goes on, when its task has ended
    /// assert!(walk.resumed_between(from, walk.replay().step()).into_iter().eq([2]));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn resumed_between(&self, from: u64, to: u64) -> BTreeSet<u64> {
        let between = self.replay.records().iter().filter(|record| (from + 1..to).contains(&record.seq));
        let resumed = between.filter_map(|record| match record.event {
            Event::Resume { task, .. } => Some(task),
            _ => None,
        });
        resumed.collect()
    }

    /// Where in its turn the loop is.
    ///
    /// ```
    /// use corio::observe::{Phase, Recording, Walk};
    /// use corio::{Runner, secs, sleep};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| sleep(secs(1)))?;
    /// let mut walk = Walk::new(recording.replay());
    /// let mut phases = vec![walk.phase()];
    /// while walk.command("e") == corio::observe::Answer::Moved {
    ///     phases.push(walk.phase());
    /// }
    /// phases.dedup();
    /// assert_eq!(phases, [Phase::RunReady, Phase::Poll, Phase::FireTimers, Phase::RunReady, Phase::Over]);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn phase(&self) -> Phase {
        let so_far = self.replay.so_far().iter().rev();
        let mut last = so_far.filter_map(|record| match record.event {
            Event::LoopStop => Some(Phase::Over),
            Event::PollEnter { .. } | Event::PollReturn { .. } | Event::IoReady { .. } => Some(Phase::Poll),
            Event::TimerFire { .. } => Some(Phase::FireTimers),
            Event::Resume { .. } | Event::Yield { .. } | Event::Complete { .. } | Event::Callback { .. } => {
                Some(Phase::RunReady)
            }
            _ => None,
        });
        last.next().unwrap_or(Phase::RunReady)
    }

    /// The step at which the loop last began to poll; [`Replay::told_at`](super::Replay::told_at) says for how long, and why.
    ///
    /// ```
    /// use corio::observe::{Recording, Walk};
    /// use corio::{Runner, secs, sleep};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| sleep(secs(1)))?;
    /// let mut walk = Walk::new(recording.replay());
    /// assert_eq!(walk.last_poll(), None);
    /// walk.command("t");
    /// assert!(walk.replay().told_at(walk.last_poll().unwrap()).ends_with("timer 1 is next: poll for 1.000"));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn last_poll(&self) -> Option<u64> {
        let polls = |record: &&Record| matches!(record.event, Event::PollEnter { .. });
        self.replay.so_far().iter().rev().find(polls).map(|record| record.seq)
    }

    /// The timers that are set, in words, the next one first.
    ///
    /// ```
    /// use corio::observe::{Recording, Walk};
    /// use corio::{Runner, secs, sleep};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| sleep(secs(1)))?;
    /// let mut walk = Walk::new(recording.replay());
    /// walk.command("g 6");
    /// assert_eq!(walk.timers(), ["1: main in 1.000"]);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn timers(&self) -> Vec<String> {
        words::timers(self.replay.state(), self.replay.names())
    }

    /// What a task waits for at this step, in words, and where; nothing, if it is not parked.
    ///
    /// ```
    /// use corio::observe::{Recording, Walk};
    /// use corio::{Runner, secs, sleep, spawn};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| spawn(|| sleep(secs(1))).join())?;
    /// let mut walk = Walk::new(recording.replay());
    /// assert_eq!(walk.waits(1), None); // it runs
    /// walk.command("s");
    /// let (wanted, at) = walk.waits(1).unwrap();
    /// assert_eq!(wanted, "task-2 to end");
    /// println!("{}", walk.lines(at, '■', 2)); // the source around
    /// # std::io::Result::Ok(())
    /// ```
    pub fn waits(&self, task: u64) -> Option<(String, Place)> {
        let (state, names) = (self.replay.state(), self.replay.names());
        let wanted = state.wait_of(task)?;
        Some((want(wanted, state, names), state.tasks.get(&task)?.paused_at?))
    }

    /// What a task waits for at this step, in few words: for where those of [`waits`](Walk::waits) find no room.
    ///
    /// ```
    /// use corio::observe::{Recording, Walk};
    /// use corio::{Mutex, Runner, scope, secs, sleep};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| {
    ///     let lock = Mutex::new(());
    ///     scope(|s| {
    ///         let _guard = lock.lock()?;
    ///         s.spawn(|| lock.lock().map(drop));
    ///         sleep(secs(1))
    ///     })
    /// })?;
    /// let mut walk = Walk::new(recording.replay());
    /// walk.command("t");
    /// assert_eq!(walk.waits(2).unwrap().0, "lock 1, which main has");
    /// assert_eq!(walk.waits_briefly(2).unwrap(), "lock 1 (main)");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn waits_briefly(&self, task: u64) -> Option<String> {
        let (state, names) = (self.replay.state(), self.replay.names());
        state.wait_of(task).map(|wanted| briefly(wanted, state, names))
    }

    /// Where in the source the last record stands, and the sign for what happens there: `■` pauses, `►` goes on, `·` goes by.
    pub fn stands(&self) -> Option<(Place, char)> {
        stands(self.replay.record()?, self.replay.state())
    }

    /// Where the task in [`focus`](Walk::focus) stands, or the coroutine that it talks to: as [`stands`](Walk::stands) says, or
    /// else where it paused last, or was made, with the sign of what it does now.
    ///
    /// ```
    /// use corio::observe::{Recording, Walk};
    /// use corio::{Runner, secs, sleep};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| sleep(secs(1)))?;
    /// let mut walk = Walk::new(recording.replay());
    /// walk.command("t"); // here the loop lets a timer fire
    /// assert!(walk.stands().is_none() && walk.focus_stands().is_some_and(|(_, sign)| sign == '■'));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn focus_stands(&self) -> Option<(Place, char)> {
        self.stands().or_else(|| {
            let (state, step) = (self.replay.state(), self.replay.step());
            if let Partner::Coroutine(coroutine) = self.partner()
                && let Some(at) = self.paused(coroutine, step)
            {
                return Some((
                    at,
                    match self.conversation(1).first() {
                        Some(Exchange { to_task: true, .. }) => '►',
                        Some(Exchange { at: None, .. }) => '✔',
                        _ => '■',
                    },
                ));
            }
            let task = state.tasks.get(&self.focus())?;
            Some((task.paused_at.unwrap_or(task.spawned_at), task.stage.sign()))
        })
    }

    /// The lines of the source around a place, numbered, with a sign at its own; the place alone if the file is not here.
    pub fn lines(&mut self, at: Place, sign: char, distance: u32) -> String {
        let around = self.sources.around(at, distance);
        if around.is_empty() {
            return format!("  {sign} {}\n", place(at));
        }
        let line = |(number, line): (u32, &str)| {
            let sign = if number == at.line() { sign } else { ' ' };
            format!("  {sign} {number:>4} │ {line}").trim_end().to_owned() + "\n"
        };
        around.into_iter().map(line).collect()
    }
}

/// Where in the source a record stands, in the state that it led to.
pub(super) fn stands(record: &Record, state: &State) -> Option<(Place, char)> {
    match record.event {
        Event::Yield { at, .. } => Some((at, '■')),
        Event::Resume { task, .. } => {
            let task = state.tasks.get(&task)?;
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
