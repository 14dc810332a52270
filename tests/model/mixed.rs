//! Tasks of both kinds in one loop, with stacks and without: what they share keeps its promises to both.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use corio::channel::mpsc;
use corio::testing::{self, Ledger, Random};
use corio::{Mutex, Queue, Semaphore, Task, aio, is_cancelled, is_timed_out, scope, sleep, spawn, timeout, yield_now};

use super::{SCHEDULES, moment};

#[test]
fn coroutines_and_futures_share_a_loop() {
    testing::explore(SCHEDULES, mixed);
}

const PERMITS: usize = 2;

/// What all of them use, and what is known of it.
struct Shared {
    lock: Mutex<u32>,
    inside: Cell<bool>,
    permits: Semaphore,
    held: Cell<usize>,
    items: Queue<u64>,
    sender: mpsc::Sender<u64>,
    receiver: mpsc::Receiver<u64>,
    accepted: RefCell<Vec<u64>>,
    got: RefCell<Vec<u64>>,
    next: Cell<u64>,
    /// Who may be cancelled at any moment.
    tasks: RefCell<Vec<Task>>,
}

impl Shared {
    fn enter(&self) {
        assert!(!self.inside.replace(true), "one at a time has the lock");
    }

    fn leave(&self) {
        assert!(self.inside.replace(false));
    }

    fn hold(&self, permits: isize) {
        let held = self.held.get().checked_add_signed(permits).expect("given back as often as taken");
        assert!(held <= PERMITS);
        self.held.set(held);
    }

    fn fresh(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    fn accept(&self, item: u64) {
        self.accepted.borrow_mut().push(item);
    }

    fn get(&self, item: u64) {
        self.got.borrow_mut().push(item);
    }
}

/// What happens in between, however the region is left.
struct During<'a>(&'a dyn Fn());

impl Drop for During<'_> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Nothing that was not asked for goes wrong.
fn expected(error: &io::Error) -> bool {
    is_cancelled(error) || is_timed_out(error)
}

pub(super) fn mixed(random: &Random) -> io::Result<()> {
    let (sender, receiver) = mpsc::bounded(2);
    let shared = Rc::new(Shared {
        lock: Mutex::new(0),
        inside: Cell::new(false),
        permits: Semaphore::new(PERMITS),
        held: Cell::new(0),
        items: Queue::bounded(2),
        sender,
        receiver,
        accepted: RefCell::default(),
        got: RefCell::default(),
        next: Cell::new(0),
        tasks: RefCell::default(),
    });
    let tasks: Vec<_> = (0..random.range(2..=6)).map(|_| start(&shared, random, 2)).collect();
    for _ in 0..random.below(10) {
        sleep(moment(random))?;
        let tasks = shared.tasks.borrow();
        if !tasks.is_empty() {
            random.pick(&tasks).cancel();
        }
    }
    for task in tasks {
        if let Err(error) = task.join() {
            assert!(expected(&error), "{error}");
        }
    }
    // Also those that nobody joined, because whoever had spawned them was cancelled.
    while Ledger::now().tasks > 0 {
        sleep(moment(random))?;
    }
    assert!(!shared.inside.get() && shared.held.get() == 0);
    assert!(shared.lock.try_lock().is_some() && shared.permits.available() == PERMITS);
    while let Ok(item) = shared.items.try_get() {
        shared.get(item);
    }
    while let Ok(item) = shared.receiver.try_recv() {
        shared.get(item);
    }
    let (mut accepted, mut got) = (shared.accepted.take(), shared.got.take());
    accepted.sort_unstable();
    got.sort_unstable();
    assert_eq!(accepted, got, "what was handed over arrives once");
    Ok(())
}

/// A task of one kind or the other.
fn start(shared: &Rc<Shared>, random: &Random, depth: u32) -> corio::JoinHandle<()> {
    let (own, mine) = (Random::new(random.next_u64()), shared.clone());
    let task = match random.one_in(2) {
        true => spawn(move || direct(&mine, &own, depth)),
        false => aio::spawn_local(async move { awaited(&mine, &own, depth).await }),
    };
    shared.tasks.borrow_mut().push(task.task());
    task
}

fn direct(shared: &Rc<Shared>, random: &Random, depth: u32) -> io::Result<()> {
    for _ in 0..random.range(1..=4) {
        let step = || match random.below(7) {
            0 => sleep(moment(random)),
            1 => {
                let mut guard = shared.lock.lock()?;
                shared.enter();
                let _during = During(&|| shared.leave());
                sleep(moment(random))?;
                *guard += 1;
                Ok(())
            }
            2 => {
                let _permit = shared.permits.acquire()?;
                shared.hold(1);
                let _during = During(&|| shared.hold(-1));
                yield_now()
            }
            3 => {
                let item = shared.fresh();
                shared.items.put(item)?;
                shared.accept(item);
                Ok(())
            }
            4 => {
                let item = shared.fresh();
                shared.sender.send(item)?;
                shared.accept(item);
                Ok(())
            }
            5 if depth > 0 => match random.one_in(2) {
                true => start(shared, random, depth - 1).join(),
                // A future in the middle of a coroutine, and coroutines that borrow beside it.
                false => scope(|s| {
                    s.spawn(|| sleep(moment(random)));
                    aio::wait_on(awaited(shared, random, depth - 1))?
                }),
            },
            _ => match random.one_in(2) {
                true => shared.items.get().map(|item| shared.get(item)),
                false => shared.receiver.recv().map(|item| shared.get(item)),
            },
        };
        go_on(timeout(moment(random) * 2, step))?;
    }
    Ok(())
}

async fn awaited(shared: &Rc<Shared>, random: &Random, depth: u32) -> io::Result<()> {
    for _ in 0..random.range(1..=4) {
        let step = async {
            match random.below(7) {
                0 => aio::sleep(moment(random)).await,
                1 => {
                    let mut guard = aio::ready(&shared.lock).await?;
                    shared.enter();
                    let _during = During(&|| shared.leave());
                    aio::sleep(moment(random)).await?;
                    *guard += 1;
                    Ok(())
                }
                2 => {
                    let _permit = aio::ready(&shared.permits).await?;
                    shared.hold(1);
                    let _during = During(&|| shared.hold(-1));
                    aio::yield_now().await
                }
                3 => {
                    let place = aio::ready(shared.items.reserving()).await??;
                    let item = shared.fresh();
                    place.put(item);
                    shared.accept(item);
                    Ok(())
                }
                4 => {
                    let item = shared.fresh();
                    if shared.sender.try_send(item).is_ok() {
                        shared.accept(item);
                    }
                    Ok(())
                }
                5 if depth > 0 => start(shared, random, depth - 1).await,
                _ => match random.one_in(2) {
                    true => aio::ready(&shared.items).await?.map(|item| shared.get(item)),
                    false => aio::ready(&shared.receiver).await?.map(|item| shared.get(item)),
                },
            }
        };
        go_on(aio::timeout(moment(random) * 2, step).await.and_then(|result| result))?;
    }
    Ok(())
}

/// Whoever was late has another try; whoever was cancelled has not.
fn go_on(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_timed_out(&error) => Ok(()),
        result => result,
    }
}
