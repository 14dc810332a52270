//! The way to a loop from other threads.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::Thread;
use std::time::{Duration, Instant};
use std::{fmt, io};

use crate::event_loop::EventLoop;
use crate::observe::event::Place;
use crate::reactor::{Registrar, Token};
use crate::task::body::drop_quietly;
use crate::task::waker::call_quietly;
use crate::task::{TaskRef, caller};

/// What other threads tell a loop.
pub(crate) enum Message {
    Call(Box<dyn FnOnce() + Send>, Place),
    /// Wake the task with this id, if it still waits for another thread.
    Wake(u64),
    /// Wake the task that polls futures in this seat.
    WakeSeat(u32),
    /// A source was closed elsewhere; its slot may be used again.
    Freed(Token),
}

/// Somebody on another thread who wants to look at a loop, and changes nothing.
pub(crate) type Visit = Box<dyn FnOnce(&EventLoop) + Send>;

/// A loop's letter box, shared by everyone who knows the loop.
///
/// Senders ring (one system call) only when the loop sleeps or is about to: `sleeping` is set before the loop looks into
/// the box for the last time, and a sender looks at it after it has put its letter in. So a storm of letters costs one
/// ring, and none is overlooked.
pub(crate) struct Remote {
    pub(crate) id: u32,
    pub(crate) registrar: Arc<dyn Registrar>,
    inbox: Mutex<Inbox>,
    news: AtomicBool,
    sleeping: AtomicBool,
    /// Not among the letters: those may make somebody ready, so while there are any, a loop may hope, and a virtual clock waits.
    /// The latest: whoever came before has given up.
    visit: Mutex<Option<Visit>>,
    has_visitor: AtomicBool,
    /// Handles that live: while there are any, another thread may still send.
    handles: AtomicUsize,
    /// A waker of one of its tasks was cloned on another thread.
    lent: AtomicBool,
    /// How many forks there had been.
    born: u32,
}

struct Inbox {
    letters: VecDeque<Message>,
    /// The loop is gone.
    closed: bool,
}

static LAST_ID: AtomicU32 = AtomicU32::new(0);

/// The loops of this process, for whoever knows no more of one than its number.
static LOOPS: Mutex<BTreeMap<u32, Weak<Remote>>> = Mutex::new(BTreeMap::new());

/// The loop with that number, if it is there.
pub(crate) fn find(id: u32) -> Option<Arc<Remote>> {
    LOOPS.lock().unwrap_or_else(PoisonError::into_inner).get(&id)?.upgrade()
}

impl Remote {
    pub(crate) fn new(registrar: Arc<dyn Registrar>) -> Arc<Remote> {
        let remote = Arc::new(Remote {
            id: LAST_ID.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1),
            registrar,
            inbox: Mutex::new(Inbox { letters: VecDeque::new(), closed: false }),
            news: AtomicBool::new(false),
            sleeping: AtomicBool::new(false),
            visit: Mutex::default(),
            has_visitor: AtomicBool::new(false),
            handles: AtomicUsize::new(0),
            lent: AtomicBool::new(false),
            born: crate::sys::forks(),
        });
        LOOPS.lock().unwrap_or_else(PoisonError::into_inner).insert(remote.id, Arc::downgrade(&remote));
        remote
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process is a fork of the one whose loop it is.
    pub(crate) fn is_the_parents(&self) -> bool {
        self.born != crate::sys::forks()
    }

    /// Puts a letter into the box, or gives it back if the loop is gone.
    pub(crate) fn send(&self, message: Message) -> Result<(), Message> {
        {
            let mut inbox = self.inbox();
            if inbox.closed {
                return Err(message);
            }
            inbox.letters.push_back(message);
            self.news.store(true, Ordering::SeqCst);
        }
        self.ring_if_asleep();
        Ok(())
    }

    /// Lets somebody look at the loop, between two steps.
    pub(crate) fn visit(&self, visit: Visit) {
        let before = self.visit.lock().unwrap_or_else(PoisonError::into_inner).replace(visit);
        drop(before);
        self.has_visitor.store(true, Ordering::SeqCst);
        self.ring_if_asleep();
    }

    #[inline(always)]
    pub(crate) fn has_visitor(&self) -> bool {
        self.has_visitor.load(Ordering::Relaxed)
    }

    pub(crate) fn take_visitor(&self) -> Option<Visit> {
        let mut visit = self.visit.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_visitor.store(false, Ordering::SeqCst);
        visit.take()
    }

    fn ring_if_asleep(&self) {
        if self.sleeping.load(Ordering::SeqCst) && self.sleeping.swap(false, Ordering::SeqCst) {
            self.ring();
        }
    }

    fn ring(&self) {
        if self.is_the_parents() {
            return;
        }
        if let Err(error) = self.registrar.wake() {
            log::error!(target: "corio::loop", "cannot wake a loop from another thread: {error}");
        }
    }

    /// There is something for phase 1 to do that is no letter.
    pub(crate) fn note(&self) {
        self.news.store(true, Ordering::Relaxed);
    }

    pub(crate) fn lend(&self) {
        self.lent.store(true, Ordering::SeqCst);
    }

    /// Whether wakers may be on other threads, as far as those have said so themselves.
    pub(crate) fn has_lent(&self) -> bool {
        self.lent.load(Ordering::SeqCst)
    }

    #[inline(always)]
    pub(crate) fn has_news(&self) -> bool {
        self.news.load(Ordering::Relaxed)
    }

    /// The oldest letters. Whoever takes all in the face of threads that write faster than he reads is never done.
    pub(crate) fn take(&self, at_most: usize) -> VecDeque<Message> {
        let mut inbox = self.inbox();
        if inbox.letters.len() > at_most {
            return inbox.letters.drain(..at_most).collect();
        }
        self.news.store(false, Ordering::SeqCst);
        mem::take(&mut inbox.letters)
    }

    /// The loop is about to sleep; `true` if it must not, because there is news, or somebody wants to look.
    pub(crate) fn about_to_sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::SeqCst);
        self.news.load(Ordering::SeqCst) || self.has_visitor.load(Ordering::SeqCst)
    }

    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    pub(crate) fn has_handles(&self) -> bool {
        // In one order with `sleeping`: the last handle to go rings, or the loop sees that it went.
        self.handles.load(Ordering::SeqCst) > 0
    }

    /// Whether the loop is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.inbox().closed
    }

    /// The loop is going. What is left in the box is dropped, and nothing comes in any more.
    pub(crate) fn close(&self) {
        let letters = {
            let mut inbox = self.inbox();
            inbox.closed = true;
            mem::take(&mut inbox.letters)
        };
        for letter in letters {
            drop_quietly(letter, "a call from another thread that came too late");
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        LOOPS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// Whoever waits for something that other threads may bring: a task, or a thread without a loop.
#[derive(Clone)]
pub(crate) enum Waker {
    /// One that is [expecting](Expecting) something.
    Task(Arc<Remote>, u64),
    Thread(Thread),
    /// A future, on whatever executor.
    Future(std::task::Waker),
}

impl Waker {
    pub(crate) fn of_task(lp: &EventLoop, task: &TaskRef) -> Waker {
        Waker::Task(lp.remote.clone(), task.core.id())
    }

    /// Of the loop itself, when it waits in no turn.
    pub(crate) fn of_loop(lp: &EventLoop) -> Waker {
        // No task has that number.
        Waker::Task(lp.remote.clone(), 0)
    }

    /// Of the running task, or of a thread without a loop.
    pub(crate) fn of_caller() -> Waker {
        EventLoop::with_current(|lp| match lp.and_then(|lp| lp.current().map(|task| (lp, task))) {
            Some((lp, task)) => Waker::of_task(lp, task),
            None => Waker::of_this_thread(),
        })
    }

    pub(crate) fn of_this_thread() -> Waker {
        Waker::Thread(std::thread::current())
    }

    /// On any thread, perhaps for nothing: a task that is gone is not found, and one that waits for something else looks
    /// and waits on.
    pub(crate) fn wake(self) {
        match self {
            Waker::Thread(thread) => thread.unpark(),
            Waker::Future(waker) => call_quietly(|| waker.wake()),
            Waker::Task(remote, id) => {
                let here = EventLoop::with_current(|lp| match lp {
                    Some(lp) if Arc::ptr_eq(&lp.remote, &remote) => {
                        lp.wake_employer(id, lp.by());
                        true
                    }
                    _ => false,
                });
                if !here {
                    // If the loop is gone, nobody waits.
                    let _ = remote.send(Message::Wake(id));
                }
            }
        }
    }
}

/// While this is there, its task waits for what others may bring, from any thread: their wakers find it, and the loop may
/// hope (R18).
pub(crate) struct Expecting<'a> {
    lp: &'a EventLoop,
    task: &'a TaskRef,
    /// It has given work to another thread: then a virtual clock waits too.
    work: bool,
}

impl<'a> Expecting<'a> {
    pub(crate) fn work(lp: &'a EventLoop, task: &'a TaskRef) -> Expecting<'a> {
        lp.workers.set(lp.workers.get() + 1);
        lp.begin_to_expect(task);
        Expecting { lp, task, work: true }
    }

    pub(crate) fn news(lp: &'a EventLoop, task: &'a TaskRef) -> Expecting<'a> {
        lp.begin_to_expect(task);
        Expecting { lp, task, work: false }
    }
}

impl Drop for Expecting<'_> {
    fn drop(&mut self) {
        self.lp.workers.set(self.lp.workers.get() - usize::from(self.work));
        self.lp.expect_no_more(self.task);
    }
}

/// Blocks a thread without a loop, perhaps for nothing; `false` when the deadline is past.
pub(crate) fn park_thread(deadline: Option<Instant>) -> bool {
    match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
        Some(Duration::ZERO) => return false,
        Some(left) => std::thread::park_timeout(left),
        None => std::thread::park(),
    }
    true
}

/// The way to a loop from any thread: the only thing of a loop that is `Send` and `Sync`.
///
/// While a handle lives, the loop counts on hearing from it: a run whose tasks all wait does not report a deadlock.
///
/// asyncio: the loop object, with `call_soon_threadsafe`.
///
/// ```
/// use corio::{LoopHandle, all_tasks, run, secs, sleep, spawn};
///
/// run(|| {
///     let sleeper = spawn(|| sleep(secs(60)));
///     let id = sleeper.id(); // a number may go to another thread; a `Task` may not
///     let handle = LoopHandle::current()?;
///     std::thread::spawn(move || {
///         handle.call_soon(move || {
///             if let Some(task) = all_tasks().iter().find(|task| task.id() == id) {
///                 task.cancel();
///             }
///         })
///     });
///     assert!(sleeper.join().is_err());
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct LoopHandle {
    pub(crate) remote: Arc<Remote>,
}

impl LoopHandle {
    /// The handle of the loop that runs on this thread.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) on a thread without a running loop. asyncio: `get_running_loop`.
    pub fn current() -> io::Result<LoopHandle> {
        EventLoop::with_current(|lp| match lp {
            Some(lp) => Ok(LoopHandle::of(lp.remote.clone())),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "no event loop runs on this thread; get the handle inside `corio::run`",
            )),
        })
    }

    pub(crate) fn of(remote: Arc<Remote>) -> LoopHandle {
        remote.handles.fetch_add(1, Ordering::AcqRel);
        LoopHandle { remote }
    }

    /// Calls `f` on the loop's thread, in a coming turn. Calls from one thread keep their order. `f` cannot wait; it may
    /// spawn a task that does. asyncio: `call_soon_threadsafe`.
    ///
    /// # Errors
    ///
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the loop is gone; `f` is dropped then. It is also dropped, without
    /// an error, if the run ends before its turn comes.
    #[track_caller]
    pub fn call_soon(&self, f: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.remote
            .send(Message::Call(Box::new(f), caller()))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the event loop has ended"))
    }

    /// Whether the loop is gone. asyncio: `loop.is_closed`.
    ///
    /// ```
    /// use corio::{LoopHandle, run};
    /// use std::io;
    ///
    /// let handle = run(LoopHandle::current)?; // the run has ended, and its loop with it
    /// assert!(handle.is_closed());
    /// assert_eq!(handle.call_soon(|| unreachable!()).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    /// # io::Result::Ok(())
    /// ```
    pub fn is_closed(&self) -> bool {
        self.remote.is_closed()
    }
}

impl LoopHandle {
    /// While its own loop waits with it, it brings nothing from outside, and does not hold a virtual clock back.
    pub(crate) fn at_home(&self) -> AtHome {
        self.remote.handles.fetch_sub(1, Ordering::AcqRel);
        AtHome(self.remote.clone())
    }
}

/// A handle that is not counted for a while; from [`LoopHandle::at_home`].
pub(crate) struct AtHome(Arc<Remote>);

impl Drop for AtHome {
    fn drop(&mut self) {
        self.0.handles.fetch_add(1, Ordering::AcqRel);
    }
}

impl Clone for LoopHandle {
    fn clone(&self) -> Self {
        LoopHandle::of(self.remote.clone())
    }
}

impl Drop for LoopHandle {
    fn drop(&mut self) {
        if self.remote.handles.fetch_sub(1, Ordering::SeqCst) == 1 {
            // The last one: a loop that sleeps in hope of it must look again.
            self.remote.ring_if_asleep();
        }
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle").field("loop", &self.remote.id).field("closed", &self.is_closed()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::Reactor;

    #[test]
    fn of_several_who_want_to_look_only_the_last_is_still_there() {
        let remote = Remote::new(Reactor::new(None).unwrap().registrar());
        let guests = Arc::new(());
        for _ in 0..3 {
            let guest = guests.clone();
            remote.visit(Box::new(move |_| drop(guest)));
        }
        assert!(remote.has_visitor() && Arc::strong_count(&guests) == 2, "a loop that is blocked keeps no crowd");
        drop(remote.take_visitor());
        assert!(!remote.has_visitor() && Arc::strong_count(&guests) == 1);
    }
}
