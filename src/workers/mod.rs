//! More cores: one loop on each of several threads.
//!
//! A loop has one thread, and a task does not leave it. [`Workers`] is a set of such loops: it hands tasks out to them
//! ([`Workers::spawn`]), lets a task of any loop run functions there that borrow from it ([`Workers::scope`]), and
//! serves connections on all of them ([`Workers::serve`]). The loops share nothing; what their tasks share, they share
//! by [channels](crate::channel), atomics, or locks of std.
//!
//! ```
//! use corio::{Workers, channel::mpsc};
//!
//! let workers = Workers::builder().count(2).start()?;
//! let (sender, receiver) = mpsc::unbounded();
//! for n in 1..=4 {
//!     let sender = sender.clone();
//!     workers.spawn(move || sender.try_send(n * n).map_err(std::io::Error::other)); // on one of the loops
//! }
//! drop(sender);
//! let mut squares: Vec<u32> = receiver.iter().collect::<std::io::Result<_>>()?; // blocks this thread
//! squares.sort();
//! assert_eq!(squares, [1, 4, 9, 16]);
//!
//! workers.stop();
//! workers.join()?;
//! # std::io::Result::Ok(())
//! ```
//!
//! Chapter: `docs/book/more-cores.md`.

mod latch;
mod scope;
mod server;

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io, mem, thread};

use self::latch::Latch;
pub use self::scope::WorkersScope;
pub use self::server::{Accept, ServerHandle};
use crate::cancel::timeout;
use crate::channel::mpsc;
use crate::error;
use crate::event_loop::EventLoop;
use crate::observe::event::Place;
use crate::remote::LoopHandle;
use crate::remote_handle::RemoteHandle;
use crate::run::Runner;
use crate::secs;
use crate::task::wait::{Context, checkpoint, in_context, refuse_while_unwinding};
use crate::task::{Builder, IntoResult, caller, not_in_a_callback};

/// How long connections have to finish when they are to end.
const DRAIN: Duration = secs(10);

/// Makes the runner of the worker with this number, on its thread.
type MakeRunner = Arc<dyn Fn(usize) -> Runner + Send + Sync>;

/// What a set of workers is to be; from [`Workers::builder`].
///
/// ```
/// use corio::{Runner, Workers, secs, workers::Accept};
///
/// let workers = Workers::builder()
///     .count(2)
///     .name("web")
///     .stack_size(64 * 1024)
///     .accept(Accept::One) // by one loop, for all
///     .drain(secs(5))
///     .runner(|_| Runner::new().grace(secs(1)).debug(false))
///     .start()?;
/// let name = workers.spawn_on(1, || Ok(std::thread::current().name().map(str::to_owned))).join()?;
/// assert_eq!(name.as_deref(), Some("web-1"));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
#[must_use = "a builder builds nothing until `start`"]
pub struct WorkersBuilder {
    count: Option<usize>,
    name: String,
    task: Builder,
    drain: Duration,
    accept: Accept,
    runner: MakeRunner,
}

impl WorkersBuilder {
    /// How many loops. If not set, as many as the process may use processors
    /// ([`available_parallelism`](std::thread::available_parallelism)).
    pub fn count(mut self, count: usize) -> WorkersBuilder {
        self.count = Some(count);
        self
    }

    /// What the threads are called: `name-0`, `name-1` and so on; `corio-worker` if not set. The system may show the
    /// first 15 bytes only.
    pub fn name(mut self, name: impl Into<String>) -> WorkersBuilder {
        self.name = name.into();
        self
    }

    /// How many bytes of stack the tasks have that the set spawns, those of connections above all; see
    /// [`Builder::stack_size`].
    pub fn stack_size(mut self, bytes: usize) -> WorkersBuilder {
        self.task = self.task.stack_size(bytes);
        self
    }

    /// How long open connections have to finish by themselves when the set, or their server, is stopped. Then they are
    /// cancelled. Ten seconds if not set.
    pub fn drain(mut self, limit: Duration) -> WorkersBuilder {
        self.drain = limit;
        self
    }

    /// Who accepts the connections of [`Workers::serve`]: [`Accept::Each`] if not set.
    pub fn accept(mut self, accept: Accept) -> WorkersBuilder {
        self.accept = accept;
        self
    }

    /// The settings of the loops: `f` is called on each worker's thread, with its number, and gives the runner that
    /// drives its loop. So a set can have debug mode, a grace, observers, an exception handler or an executor of its
    /// own.
    ///
    /// Ctrl-C is not a worker's business, whatever the runner says: whoever waits for the set hears of it. And a
    /// [simulated network](crate::testing::Network) is for one loop: a set that is to share one does not start.
    pub fn runner(mut self, f: impl Fn(usize) -> Runner + Send + Sync + 'static) -> WorkersBuilder {
        self.runner = Arc::new(f);
        self
    }

    /// Starts the threads, and waits until all loops run.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for none at all, for a name with a zero, and in a callback; what
    /// the system says if a thread or a loop cannot be had; a cancellation that came before the call. Workers that had
    /// been started are stopped then.
    ///
    /// # Panics
    ///
    /// If the function given to [`runner`](Self::runner) does: with the same payload.
    ///
    /// # Suspends
    ///
    /// Until all loops run. A thread without a loop blocks.
    #[track_caller]
    pub fn start(self) -> io::Result<Workers> {
        let at = caller();
        in_context(|context| match context {
            Context::Task(lp, task) => checkpoint(lp, task, at),
            Context::Unwinding(..) => Err(refuse_while_unwinding()),
            Context::Callback => Err(not_in_a_callback()),
            Context::Outside => Ok(()),
        })?;
        let count = match self.count {
            Some(count) => count,
            None => thread::available_parallelism().map_or(1, NonZeroUsize::get),
        };
        if count == 0 || self.name.contains('\0') {
            return Err(error::misuse("a set of workers needs one at least, and a name without zeros"));
        }
        let shared = Arc::new(Shared::new(count));
        let mut workers =
            Workers { shared, handles: Vec::new(), task: self.task, drain: self.drain, accept: self.accept };
        let rise = Arc::new(Rise { latch: Latch::new(count), handles: Mutex::new(vec![None; count]) });
        for number in 0..count {
            let (door, orders) = mpsc::unbounded();
            workers.shared.state().doors.push(door);
            let worker = Worker { number, orders, drain: self.drain, shared: workers.shared.clone() };
            let (runner, rising) = (self.runner.clone(), Rising(rise.clone()));
            let named = thread::Builder::new().name(format!("{}-{number}", self.name));
            // What could not be begun has been dropped, and counts as ended.
            let thread = named.spawn(move || worker.work(&*runner, rising))?;
            workers.shared.state().threads.push(thread);
        }
        rise.latch.wait(at, || ())?;
        workers.handles.extend(rise.handles().drain(..).flatten());
        Ok(workers)
    }
}

impl fmt::Debug for WorkersBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkersBuilder")
            .field("count", &self.count)
            .field("name", &self.name)
            .field("task", &self.task)
            .field("drain", &self.drain)
            .field("accept", &self.accept)
            .finish_non_exhaustive()
    }
}

/// A set of loops, each on a thread of its own.
///
/// It may be shared by reference, or in an [`Arc`], between tasks of any loops and threads without one; its own workers
/// may use it too. Dropping it [stops](Self::stop) the set, and does not wait for its end.
///
/// ```
/// use corio::net::{TcpListener, TcpStream};
/// use corio::{Workers, run, secs};
/// use std::io::{Read, Write};
///
/// run(|| {
///     let workers = Workers::builder().count(2).start()?;
///     let server = workers.serve("127.0.0.1:0", |mut stream| stream.write_all(b"hello"))?;
///
///     let mut text = String::new();
///     TcpStream::connect(server.local_addr())?.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///
///     workers.stop(); // a server waits for Ctrl-C instead: `join` passes that on
///     workers.join()
/// })
/// # .unwrap()
/// ```
pub struct Workers {
    shared: Arc<Shared>,
    handles: Vec<LoopHandle>,
    /// What its tasks are like.
    task: Builder,
    drain: Duration,
    accept: Accept,
}

/// What the set and its threads share. Nobody touches it while a request is served.
struct Shared {
    state: Mutex<State>,
    stopping: AtomicBool,
    /// Whose turn it is.
    next: AtomicUsize,
    /// The threads that have not ended.
    latch: Latch,
}

struct State {
    /// The way to each worker's main task: it stays until it is told to stop, and until its servers have let go of
    /// theirs. Empty when the set is stopping.
    doors: Vec<mpsc::Sender<()>>,
    servers: Vec<Arc<server::Core>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Shared {
    fn new(count: usize) -> Shared {
        let state = State { doors: Vec::new(), servers: Vec::new(), threads: Vec::new() };
        Shared {
            state: Mutex::new(state),
            stopping: AtomicBool::new(false),
            next: AtomicUsize::new(0),
            latch: Latch::new(count),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        let (doors, servers) = {
            let mut state = self.state();
            self.stopping.store(true, Ordering::SeqCst);
            (mem::take(&mut state.doors), mem::take(&mut state.servers))
        };
        for server in servers {
            server.stop();
        }
        for door in doors {
            // One that has ended needs no telling.
            let _ = door.try_send(());
        }
    }
}

impl Workers {
    /// As many workers as the process may use processors, with the settings of [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// As [`WorkersBuilder::start`].
    #[track_caller]
    pub fn start() -> io::Result<Workers> {
        Workers::builder().start()
    }

    /// The settings, to be changed before the start.
    pub fn builder() -> WorkersBuilder {
        WorkersBuilder {
            count: None,
            name: "corio-worker".to_owned(),
            task: Builder::new(),
            drain: DRAIN,
            accept: Accept::Each,
            runner: Arc::new(|_| Runner::new()),
        }
    }

    /// The handles of the loops, in the order of their numbers.
    ///
    /// ```
    /// use corio::Workers;
    /// use std::thread;
    ///
    /// let workers = Workers::start()?; // as many as there are processors
    /// assert_eq!(workers.handles().len(), thread::available_parallelism()?.get());
    /// let all = (0..workers.handles().len()).map(|n| workers.spawn_on(n, || Ok(thread::current().id())));
    /// let mut threads: Vec<_> = all.collect::<Vec<_>>().into_iter().map(|task| task.join().unwrap()).collect();
    /// threads.dedup();
    /// assert_eq!(threads.len(), workers.handles().len()); // a thread each
    /// # std::io::Result::Ok(())
    /// ```
    pub fn handles(&self) -> &[LoopHandle] {
        &self.handles
    }

    /// Spawns a task on one of the loops: on each in turn. `f` goes to that thread, and what it makes there need not be
    /// `Send`.
    ///
    /// It never waits, so it may be called anywhere. If the set has ended, `f` is dropped and `join` says
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe). See [`LoopHandle::spawn`].
    ///
    /// ```
    /// use corio::Workers;
    ///
    /// let workers = Workers::builder().count(2).start()?;
    /// let tasks = [10, 20, 30].map(|n| workers.spawn(move || Ok(n + 1)));
    /// let sum = tasks.into_iter().map(|task| task.join()).sum::<std::io::Result<i32>>()?;
    /// assert_eq!(sum, 63);
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn spawn<F, R>(&self, f: F) -> RemoteHandle<R::Value>
    where
        F: FnOnce() -> R + Send + 'static,
        R: IntoResult + 'static,
        R::Value: Send + 'static,
    {
        self.spawn_at(self.whose_turn(), f, caller())
    }

    /// The same, on the loop with this number.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn spawn_on<F, R>(&self, worker: usize, f: F) -> RemoteHandle<R::Value>
    where
        F: FnOnce() -> R + Send + 'static,
        R: IntoResult + 'static,
        R::Value: Send + 'static,
    {
        self.spawn_at(worker, f, caller())
    }

    #[track_caller]
    fn spawn_at<F, R>(&self, worker: usize, f: F, at: Place) -> RemoteHandle<R::Value>
    where
        F: FnOnce() -> R + Send + 'static,
        R: IntoResult + 'static,
        R::Value: Send + 'static,
    {
        let sent = self.handle(worker).send_task(self.task.clone(), f, at);
        sent.unwrap_or_else(|told| told)
    }

    #[track_caller]
    fn handle(&self, worker: usize) -> &LoopHandle {
        let count = self.handles.len();
        self.handles.get(worker).unwrap_or_else(|| panic!("there is no worker {worker}: there are {count}, from 0"))
    }

    fn whose_turn(&self) -> usize {
        self.shared.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()
    }

    /// Begins the orderly end of the set, and does not wait for it. Its servers accept nothing more, and the open
    /// connections have [a while](WorkersBuilder::drain) to finish. Then the tasks that are left are cancelled, on each
    /// loop, and get the grace of its [runner](Runner::grace) to end.
    ///
    /// It may be called anywhere, and more than once.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Waits until all loops and their threads have ended: after a [`stop`](Self::stop), or when one of them fails,
    /// which stops the others.
    ///
    /// If the caller is cancelled meanwhile, by Ctrl-C for example, it passes that on by `stop` and waits on: what a
    /// task owns does not outlive it. A cancellation that led to a good end is met at the next call.
    ///
    /// # Errors
    ///
    /// The error of the first loop that ended before it was asked to; [`Deadlock`](io::ErrorKind::Deadlock) on one of
    /// the set's own threads; [`InvalidInput`](io::ErrorKind::InvalidInput) in a callback.
    ///
    /// # Panics
    ///
    /// If a thread of the set panicked: with the same payload, for the first who asks.
    ///
    /// # Suspends
    ///
    /// Until the end. A thread without a loop blocks.
    #[track_caller]
    pub fn join(&self) -> io::Result<()> {
        let at = caller();
        if self.handles.iter().any(is_here) {
            let text = "a worker that waits for the end of its set would wait for itself";
            return Err(io::Error::new(io::ErrorKind::Deadlock, text));
        }
        let ended = self.shared.latch.wait(at, || self.stop());
        if self.shared.latch.is_open() {
            // Their last line is the one that has opened the latch.
            let threads = mem::take(&mut self.shared.state().threads);
            for thread in threads {
                drop(thread.join());
            }
        }
        ended
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("handles", &self.handles)
            .field("stopping", &self.shared.stopping.load(Ordering::SeqCst))
            .finish_non_exhaustive()
    }
}

/// Whether this thread runs that loop.
fn is_here(handle: &LoopHandle) -> bool {
    EventLoop::with_current(|lp| lp.is_some_and(|lp| Arc::ptr_eq(&lp.remote, &handle.remote)))
}

/// One thread of the set. It counts as ended when this is dropped, whether it was begun or not.
struct Worker {
    number: usize,
    orders: mpsc::Receiver<()>,
    drain: Duration,
    shared: Arc<Shared>,
}

impl Worker {
    fn work(self, runner: &dyn Fn(usize) -> Runner, rising: Rising) {
        let (number, shared) = (self.number, self.shared.clone());
        let mut rising = Some(rising);
        let ended = catch_unwind(AssertUnwindSafe(|| {
            runner(number).ctrl_c(false).run(|| {
                let handle = LoopHandle::current()?;
                if let Some(rising) = rising.take() {
                    rising.0.handles()[number] = Some(handle);
                }
                self.attend()
            })
        }));
        let was_asked = shared.stopping.load(Ordering::SeqCst);
        let failure = match ended {
            Ok(Err(error)) if !(was_asked && error::is_cancelled(&error)) => {
                Ok(io::Error::new(error.kind(), format!("the loop of worker {number} has ended: {error}")))
            }
            Ok(_) => return,
            Err(payload) => Err(payload),
        };
        match &failure {
            Ok(error) => log::error!(target: "corio::workers", "{error}; the others are stopped"),
            Err(_) => {
                log::error!(target: "corio::workers", "the thread of worker {number} panicked; the others are stopped")
            }
        }
        // Whoever starts the set is told, and afterwards whoever waits for its end.
        rising.as_ref().map_or(&shared.latch, |rising| &rising.0.latch).fails(failure);
        shared.stop();
    }

    /// The main task of the loop.
    fn attend(&self) -> io::Result<()> {
        if let Err(error) = self.orders.recv()
            && error::is_cancelled(&error)
        {
            return Err(error);
        }
        // It is to stop. The servers on this loop let their connections finish; whatever takes longer, and all else, is
        // cancelled by the end of the run.
        let servers_are_gone = || -> io::Result<()> {
            while self.orders.recv().is_ok() {}
            Ok(())
        };
        let _ = timeout(self.drain, servers_are_gone);
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.latch.one_less();
    }
}

/// The start of a set: the loops that run, and the latch for all of them.
struct Rise {
    latch: Latch,
    handles: Mutex<Vec<Option<LoopHandle>>>,
}

impl Rise {
    fn handles(&self) -> MutexGuard<'_, Vec<Option<LoopHandle>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker whose loop does not run yet. When this is dropped it does, or never will.
struct Rising(Arc<Rise>);

impl Drop for Rising {
    fn drop(&mut self) {
        self.0.latch.one_less();
    }
}
