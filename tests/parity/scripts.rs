//! Random programs: the file of kept transcripts has their source. A program is some tasks, and a task a list of words.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use crate::{failure, is_failure, kind};
use corio::{
    Condvar, Event, Mutex, MutexGuard, Permit, Queue, Semaphore, Task, errors, is_timed_out,
    scope, shield, sleep, timeout, yield_now,
};

/// What the tasks do, by their names.
pub(crate) type Program<'a> = [(&'a str, Vec<&'a str>)];

/// Runs the tasks of a program, which share a lock, a condition, an event, a semaphore and a queue.
pub(crate) fn play(program: &Program<'_>) -> io::Result<()> {
    let player = &Player {
        program,
        lock: Mutex::new(()),
        condition: Condvar::new(),
        event: Event::new(),
        semaphore: Semaphore::new(1),
        queue: Queue::bounded(1),
        tasks: RefCell::default(),
    };
    scope(|s| {
        for name in program.iter().map(|(name, _)| *name).filter(|name| name.starts_with(char::is_lowercase)) {
            let task = s.spawn(move || player.task(name)).task();
            player.tasks.borrow_mut().insert(name, task);
        }
    })
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs_f64(text.parse().unwrap())
}

struct Player<'a> {
    program: &'a Program<'a>,
    lock: Mutex<()>,
    condition: Condvar,
    event: Event,
    semaphore: Semaphore,
    queue: Queue<String>,
    tasks: RefCell<BTreeMap<&'a str, Task>>,
}

/// What a task has.
#[derive(Default)]
struct Hands<'a> {
    lock: Option<MutexGuard<'a, ()>>,
    permit: Option<Permit<'a>>,
    tidying: Option<Duration>,
}

impl<'p> Player<'p> {
    fn task(&self, name: &str) -> io::Result<()> {
        let (_, words) = self.program.iter().find(|(task, _)| *task == name).unwrap();
        let mut hands = Hands::default();
        let ended = words.iter().try_for_each(|word| {
            self.word(name, word, &mut hands)?;
            say!("{name} {word}");
            Ok(())
        });
        match &ended {
            Err(error) if is_failure(error) => say!("{name} fails"),
            Err(_) => {
                say!("{name} is cancelled");
                if let Some(time) = hands.tidying {
                    shield(time * 2, || sleep(time))?;
                    say!("{name} has tidied up");
                }
            }
            Ok(()) => {}
        }
        drop(hands.lock);
        drop(hands.permit);
        if ended.is_ok() {
            say!("{name} ends");
        }
        ended
    }

    fn word<'a>(&'a self, name: &str, word: &'p str, hands: &mut Hands<'a>) -> io::Result<()> {
        let (verb, rest) = word.split_once(' ').unwrap_or((word, ""));
        match verb {
            "yield" => yield_now()?,
            "sleep" => sleep(seconds(rest))?,
            "lock" if hands.lock.is_none() => hands.lock = Some(self.lock.lock()?),
            "unlock" => hands.lock = None,
            "take" if hands.permit.is_none() => hands.permit = Some(self.semaphore.acquire()?),
            "give" => hands.permit = None,
            "wait" => self.event.wait()?,
            "set" => self.event.set(),
            "clear" => self.event.clear(),
            "hear" => {
                self.word(name, "lock", hands)?;
                self.condition.wait(hands.lock.as_mut().unwrap())?;
                hands.lock = None;
            }
            "tell" => {
                self.word(name, "lock", hands)?;
                self.condition.notify_one();
                hands.lock = None;
            }
            "put" => self.queue.put(rest.to_owned())?,
            "get" => {
                let item = self.queue.get()?;
                say!("{name} got {item}");
            }
            "limit" => {
                let (time, inner) = rest.split_once(' ').unwrap();
                match timeout(seconds(time), || self.word(name, inner, hands)) {
                    Err(error) if is_timed_out(&error) => say!("{name} is too late"),
                    other => other?,
                }
            }
            "cancel" if rest != name => {
                let other = self.tasks.borrow().get(rest).cloned();
                if let Some(other) = other {
                    other.cancel();
                }
            }
            "tidy" => hands.tidying = Some(seconds(rest)),
            "fail" => return Err(failure(name)),
            "group" => {
                let ended = scope(|s| {
                    for member in rest.split(' ') {
                        let task = s.spawn(move || self.task(member)).task();
                        self.tasks.borrow_mut().insert(member, task);
                    }
                });
                match ended {
                    Err(error) if errors(&error).all(is_failure) => {
                        let mut lost: Vec<_> = errors(&error).map(kind).collect();
                        lost.sort();
                        say!("{name} has lost {}", lost.join(" "));
                    }
                    other => other?,
                }
            }
            "lock" | "take" | "cancel" => {}
            unknown => panic!("{unknown}: no such word"),
        }
        Ok(())
    }
}
