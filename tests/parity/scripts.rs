//! Random programs: the file of kept transcripts has their source. A program is some tasks, and a task a list of words.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use corio::{
    Condvar, Event, Mutex, MutexGuard, Permit, Queue, Semaphore, Task, is_cancelled, is_timed_out,
    scope, sleep, timeout, yield_now,
};

/// Runs the tasks of a program, which share a lock, a condition, an event, a semaphore and a queue.
pub(crate) fn play(program: &[(&str, Vec<&str>)]) -> io::Result<()> {
    let player = &Player {
        lock: Mutex::new(()),
        condition: Condvar::new(),
        event: Event::new(),
        semaphore: Semaphore::new(1),
        queue: Queue::bounded(1),
        tasks: RefCell::default(),
    };
    scope(|s| {
        for (name, words) in program {
            let task = s.spawn(move || player.task(name, words)).task();
            player.tasks.borrow_mut().insert((*name).to_owned(), task);
        }
    })
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs_f64(text.parse().unwrap())
}

struct Player {
    lock: Mutex<()>,
    condition: Condvar,
    event: Event,
    semaphore: Semaphore,
    queue: Queue<String>,
    tasks: RefCell<BTreeMap<String, Task>>,
}

/// What a task has.
#[derive(Default)]
struct Hands<'a> {
    lock: Option<MutexGuard<'a, ()>>,
    permit: Option<Permit<'a>>,
}

impl Player {
    fn task(&self, name: &str, words: &[&str]) -> io::Result<()> {
        let mut hands = Hands::default();
        let ended = words.iter().try_for_each(|word| {
            self.word(name, word, &mut hands)?;
            say!("{name} {word}");
            Ok(())
        });
        if ended.as_ref().is_err_and(|error: &io::Error| is_cancelled(error)) {
            say!("{name} is cancelled");
        }
        drop(hands.lock);
        drop(hands.permit);
        if ended.is_ok() {
            say!("{name} ends");
        }
        ended
    }

    fn word<'a>(&'a self, name: &str, word: &str, hands: &mut Hands<'a>) -> io::Result<()> {
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
                self.tasks.borrow()[rest].cancel();
            }
            "lock" | "take" | "cancel" => {}
            unknown => panic!("{unknown}: no such word"),
        }
        Ok(())
    }
}
