//! The same programs while somebody watches: every record keeps the rules, nobody who is ready waits for long, what becomes
//! free goes to the one that has waited longest, and the same seed gives the same records.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;

use corio::observe::event::{By, Event, Record, Thing, Want};
use corio::observe::state::Stage;
use corio::observe::{Names, Observer, State};
use corio::testing::Random;
use corio::{Runner, observe};

use super::{SCHEDULES, each_seed};

type Program = fn(&Random) -> io::Result<()>;

const PROGRAMS: &[(&str, Program)] = &[
    ("tasks and scopes", super::core::program),
    ("mutex", super::sync::mutexes),
    ("rwlock", super::sync::rwlocks),
    ("semaphore", super::sync::semaphores),
    ("bounded semaphore", super::sync::bounded_semaphores),
    ("event", super::sync::events),
    ("condvar", super::sync::condvars),
    ("barrier", super::sync::barriers),
    ("queue", super::queue::fifo),
    ("other queues", super::queue::other_orders),
    ("promise", super::queue::promises),
    ("select", super::queue::selects),
    ("several at once", super::several::several),
    ("channel of many to one", super::channels::many_to_one),
    ("channel of one value", super::channels::one_value),
    ("coroutines and futures", super::mixed::mixed),
    ("channel to everybody", super::channels::to_everybody),
    ("channel of the latest", super::channels::the_latest),
];

#[test]
fn records_keep_the_rules_and_the_ready_are_not_kept_waiting() {
    if !cfg!(feature = "observe") {
        return;
    }
    for (name, program) in PROGRAMS {
        each_seed(SCHEDULES / 5, |seed| {
            let judge = Judge::default();
            run(seed, *program, judge.clone());
            let broken = judge.0.borrow().broken.clone();
            assert!(broken.is_none(), "{name}, seed {seed}: {}", broken.unwrap_or_default());
        });
    }
}

#[test]
fn the_same_seed_gives_the_same_records() {
    if !cfg!(feature = "observe") {
        return;
    }
    for (name, program) in PROGRAMS {
        each_seed(SCHEDULES / 15, |seed| {
            let [first, second] = [0, 1].map(|_| {
                let recording = observe::Recording::new();
                run(seed, *program, recording.clone());
                recording.records()
            });
            assert!(first == second, "{name}, seed {seed}");
        });
    }
}

fn run(seed: u64, program: Program, observer: impl Observer + 'static) {
    let random = Random::new(seed);
    let mut runner = Runner::new().virtual_clock().ctrl_c(false).seed(seed).observer(observer);
    runner.run(|| program(&random)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
}

/// Holds the records against the rules.
#[derive(Clone, Default)]
struct Judge(Rc<RefCell<Case>>);

#[derive(Default)]
struct Case {
    state: State,
    /// For each task that is ready: how often each other has run since.
    waiting: BTreeMap<u64, BTreeMap<u64, u32>>,
    /// For each thing that tasks wait for: who does, first come, first.
    lines: BTreeMap<Line, VecDeque<u64>>,
    /// Who was woken, but not granted what it waited for, and may or may not keep its place.
    strays: BTreeMap<u64, Line>,
    broken: Option<String>,
}

/// Where a task stands in line: the thing, and which of its lists.
type Line = (u32, u32);

fn line(want: Want) -> Option<Line> {
    let Want::Thing { thing, id, .. } = want else { return None };
    let list = match thing {
        Thing::Room => 1,
        Thing::Work => 2,
        _ => 0,
    };
    Some((id, list))
}

impl Observer for Judge {
    fn record(&mut self, record: &Record, _: &Names) {
        let case = &mut *self.0.borrow_mut();
        if case.broken.is_some() {
            return;
        }
        if let Err(rule) = case.judge(record) {
            case.broken = Some(format!("step {}: {rule}", record.seq));
        }
        case.state.apply(record);
    }
}

impl Case {
    fn judge(&mut self, record: &Record) -> Result<(), String> {
        self.state.check(record)?;
        self.judge_lines(record)?;
        match record.event {
            Event::Spawn { task, .. } | Event::Wake { task, .. } => drop(self.waiting.insert(task, BTreeMap::new())),
            Event::Complete { task, .. } => drop(self.waiting.remove(&task)),
            Event::Resume { task, .. } => {
                self.waiting.remove(&task);
                for (other, overtaken) in &mut self.waiting {
                    let times = overtaken.entry(task).or_default();
                    *times += 1;
                    // Once in what is left of this turn, once in the next.
                    if *times > 2 {
                        return Err(format!("task {task} runs {times} times while {other} is ready"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What becomes free goes to the one that has waited longest, of those that are not cancelled.
    fn judge_lines(&mut self, record: &Record) -> Result<(), String> {
        match record.event {
            Event::Yield { task, want, .. } => {
                let stray = self.strays.remove(&task);
                if let Some(line) = line(want)
                    && stray != Some(line)
                {
                    self.lines.entry(line).or_default().push_back(task);
                }
            }
            Event::NoPause { task, want, .. } => {
                let last_at_a_barrier = matches!(want, Want::Thing { thing: Thing::Barrier, .. });
                let queue = line(want).filter(|_| !last_at_a_barrier).and_then(|line| self.lines.get(&line));
                if let Some(first) = queue.and_then(VecDeque::front) {
                    return Err(format!("{task} takes {want:?} without waiting, while {first} waits"));
                }
            }
            Event::Wake { task, by } => {
                let Some(Stage::Parked(want)) = self.state.tasks.get(&task).map(|task| task.stage) else {
                    return Ok(());
                };
                let Some(line) = line(want) else { return Ok(()) };
                let queue = self.lines.entry(line).or_default();
                if !matches!(by, By::Task(_)) {
                    queue.retain(|other| *other != task);
                    self.strays.insert(task, line);
                } else if queue.front() == Some(&task) {
                    queue.pop_front();
                } else if queue.contains(&task) {
                    return Err(format!("{task} gets {want:?} before {:?}, who came earlier", queue.front()));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
