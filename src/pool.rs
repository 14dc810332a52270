//! Threads that run jobs, first come first served; they know no loops and no tasks.
//!
//! A pool starts a thread when there is a job and nobody is idle, until it has as many as it may have. Its threads stay
//! until it is closed: a thread that waits costs a few pages, and one that comes and goes costs its start each time. A
//! closed pool takes no jobs, finishes those that it has, and then its threads end.
//!
//! Two promises are what borrowed jobs rest on: a job that was taken is called, unless [`Pool::withdraw`] gives it back;
//! and a job that was not taken, or was withdrawn, is dropped by whoever brought it and by nobody else.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::{fmt, io, mem, ptr};

use crate::remote::Waker;

/// What a thread is to do. It does not unwind.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// A job that was not taken, and why.
pub(crate) struct Refused {
    pub(crate) error: io::Error,
    pub(crate) job: Job,
}

/// Whether the end of a run waits for a job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// It may change something.
    Full,
    /// Only its result counts, and nobody wants that any more: a look-up.
    None,
}

/// The way to a pool's threads. When the last one who has it lets go, the pool is closed.
pub(crate) struct Pool {
    core: Arc<Core>,
}

struct Core {
    name: String,
    limit: usize,
    state: Mutex<State>,
    /// There is a job, or there will be none any more.
    work: Condvar,
}

#[derive(Default)]
struct State {
    /// In the order in which they came.
    queue: BTreeMap<u64, (Job, Weight)>,
    last: u64,
    threads: Vec<JoinHandle<()>>,
    alive: usize,
    idle: usize,
    /// How many threads do what the end of a run does not wait for.
    weightless: usize,
    closed: bool,
    /// Who wants to know when a thread has ended, or does what nobody waits for.
    watchers: Vec<Waker>,
}

thread_local! {
    /// Whose thread this is.
    static MINE: Cell<*const Core> = const { Cell::new(ptr::null()) };
}

impl Pool {
    pub(crate) fn new(name: impl Into<String>, limit: usize) -> Pool {
        Pool { core: Arc::new(Core { name: name.into(), limit, state: Mutex::default(), work: Condvar::new() }) }
    }

    /// As many threads as asyncio's default executor has: most of what they do is waiting.
    pub(crate) fn of_default_size() -> Pool {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Pool::new("corio", (cores + 4).min(32))
    }

    /// Puts a job at the end of the queue and tells its number.
    pub(crate) fn submit(&self, job: Job, weight: Weight) -> Result<u64, Refused> {
        let mut state = self.core.state();
        if state.closed {
            drop(state);
            let error = io::Error::new(io::ErrorKind::BrokenPipe, "the executor has been shut down");
            return Err(Refused { error, job });
        }
        state.last += 1;
        let number = state.last;
        state.queue.insert(number, (job, weight));
        let mut lacking = None;
        if state.queue.len() > state.idle && state.alive < self.core.limit {
            // Under the lock: of two that fail, one would otherwise count on the thread of the other.
            match self.start(state.threads.len()) {
                Ok(thread) => {
                    state.alive += 1;
                    state.threads.push(thread);
                }
                Err(error) if state.alive == 0 => {
                    let (job, _) = state.queue.remove(&number).expect("nobody was there to take it");
                    drop(state);
                    return Err(Refused { error: no_thread(&error), job });
                }
                Err(error) => lacking = Some((state.alive, error)),
            }
        }
        // Who is woken wants the lock at once.
        drop(state);
        self.core.work.notify_one();
        if let Some((alive, error)) = lacking {
            log::warn!(target: "corio::executor",
                "pool {:?}: cannot start a thread beyond the {alive} there are: {error}", self.core.name);
        }
        Ok(number)
    }

    fn start(&self, nth: usize) -> io::Result<JoinHandle<()>> {
        let core = self.core.clone();
        let name = format!("{}-{}", core.name, nth + 1);
        std::thread::Builder::new().name(name).spawn(move || core.work())
    }

    /// Takes a job out of the queue; `None` if it has begun.
    pub(crate) fn withdraw(&self, number: u64) -> Option<Job> {
        self.core.state().queue.remove(&number).map(|(job, _)| job)
    }

    /// Whether the caller is a thread of this pool.
    pub(crate) fn is_here(&self) -> bool {
        ptr::eq(MINE.get(), Arc::as_ptr(&self.core))
    }

    /// From now on nothing is taken.
    pub(crate) fn close(&self) {
        self.core.state().closed = true;
        self.core.work.notify_all();
    }

    /// How many threads of a closed pool there are still, without those that do what has less than this weight. If there are
    /// any, the waker is kept until there may be fewer.
    pub(crate) fn threads_left(&self, weight: Weight, waker: impl FnOnce() -> Waker) -> usize {
        let mut state = self.core.state();
        debug_assert!(state.closed, "a pool that takes jobs keeps its threads");
        let left = match weight {
            Weight::Full => state.alive - state.weightless,
            Weight::None => state.alive,
        };
        if left > 0 {
            state.watchers.push(waker());
        }
        let ended = if state.alive == 0 { mem::take(&mut state.threads) } else { Vec::new() };
        drop(state);
        // They have counted themselves out, and have nothing more to do than to end.
        ended.into_iter().for_each(|thread| drop(thread.join()));
        left
    }
}

impl Core {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does all its life.
    fn work(self: Arc<Core>) {
        MINE.set(Arc::as_ptr(&self));
        let mut state = self.state();
        loop {
            if let Some((_, (job, weight))) = state.queue.pop_first() {
                let weightless = usize::from(weight == Weight::None);
                state.weightless += weightless;
                let watchers = if weightless > 0 { mem::take(&mut state.watchers) } else { Vec::new() };
                drop(state);
                watchers.into_iter().for_each(Waker::wake);
                // Jobs catch their own panics. Should one not, the pool survives it.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
                    mem::forget(payload);
                }
                state = self.state();
                state.weightless -= weightless;
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
        state.alive -= 1;
        let watchers = mem::take(&mut state.watchers);
        drop(state);
        watchers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.core.state();
        f.debug_struct("Pool")
            .field("name", &self.core.name)
            .field("limit", &self.core.limit)
            .field("threads", &state.alive)
            .field("idle", &state.idle)
            .field("queued", &state.queue.len())
            .field("closed", &state.closed)
            .finish()
    }
}

/// The system's own error may be of the kind "would block", which code that retries takes for an invitation (R12).
fn no_thread(error: &io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, format!("no thread can be started for it: {error}"))
}
