//! A descriptor that tasks can wait for, and threads too.
//!
//! A [`Source`] belongs to no loop until an attempt on one would have blocked; then it registers with that loop, once,
//! for both directions. On a thread without a loop the same operation blocks the thread in `poll(2)`. So a function that
//! is written against a stream works in both places.
//!
//! Sources may be sent and shared between threads, so which loop has it is kept behind a lock, and a copy of it in one
//! atomic word, which is all that the fast path reads. A second loop takes a source over while nobody waits for it on
//! the first; otherwise it is told so. Whoever is about to wait counts itself *before* its last look at the word, and
//! whoever takes the source over changes the word *before* it looks at the count: one of the two sees the other.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Slot, Token};
use crate::clock::nanos;
use crate::event_loop::EventLoop;
use crate::observe::event::{Direction, Event, Place, Want};
use crate::remote::{Message, Remote};
use crate::task::TaskRef;
use crate::task::not_in_a_callback;
use crate::task::wait::{Context, Patience, WaitList, checkpoint, in_context, refuse_while_unwinding};
use crate::time::Alarm;
use crate::timer::Nanos;

/// A descriptor that a loop has in sight.
pub(super) struct Registration {
    remote: Arc<Remote>,
    token: Token,
}

/// A descriptor in non-blocking mode, with its registration and time limits.
///
/// It does not own the descriptor: it stands *before* it in the structs that do, so that it is dropped, and
/// deregistered, first. Deregistering by a number that was closed could hit a stranger.
pub(crate) struct Source {
    fd: RawFd,
    /// Loop id and slot of the registration; 0: none.
    owner: AtomicU64,
    registration: Mutex<Option<Registration>>,
    /// How many tasks wait, or are about to.
    waiting: AtomicU32,
    /// The user has asked for "would block" instead of waits.
    impatient: AtomicBool,
    /// The time limits of one operation, in nanoseconds; 0: none.
    limits: [AtomicU64; 2],
}

impl Source {
    /// # Safety
    ///
    /// `fd` stays open until the source is dropped, and is in non-blocking mode.
    pub(crate) unsafe fn new(fd: RawFd) -> Source {
        Source {
            fd,
            owner: AtomicU64::new(0),
            registration: Mutex::new(None),
            waiting: AtomicU32::new(0),
            impatient: AtomicBool::new(false),
            limits: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }

    pub(crate) fn set_limit(&self, direction: Direction, limit: Option<Duration>) -> io::Result<()> {
        if limit.is_some_and(|limit| limit.is_zero()) {
            return Err(crate::error::misuse("a time limit of zero: pass `None` for no limit"));
        }
        self.limits[direction as usize].store(limit.map_or(0, nanos), Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn limit(&self, direction: Direction) -> Option<Duration> {
        match self.limits[direction as usize].load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    pub(crate) fn is_impatient(&self) -> bool {
        self.impatient.load(Ordering::Relaxed)
    }

    pub(crate) fn set_impatient(&self, impatient: bool) {
        self.impatient.store(impatient, Ordering::Relaxed);
    }

    /// Tries `attempt` until it does not say "would block", waiting in between.
    ///
    /// `drained` tells from a result that there was no more to be had, which saves asking the kernel once more.
    #[inline]
    pub(crate) fn retry<T>(
        &self,
        direction: Direction,
        at: Place,
        mut attempt: impl FnMut() -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        if self.is_impatient() {
            return uninterrupted(&mut attempt);
        }
        in_context(
            // One frame less on the stack of everyone who waits.
            #[inline(always)]
            |context| match context {
                Context::Task(lp, task) => {
                    checkpoint(lp, task, at)?;
                    // The limit is one of the whole operation, however often another task was quicker.
                    let mut due = None;
                    loop {
                        // ANCHOR: retry
                        if let Some(result) = self.attempt(lp, task, direction, &mut attempt, &drained) {
                            return result;
                        }
                        self.wait(lp, task, direction, at, &mut due)?;
                        // ANCHOR_END: retry
                    }
                }
                // One attempt, then the cancellation error: nothing can be switched to (R5).
                Context::Unwinding(..) => match uninterrupted(&mut attempt) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(refuse_while_unwinding()),
                    result => result,
                },
                Context::Callback => match uninterrupted(&mut attempt) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(not_in_a_callback()),
                    result => result,
                },
                Context::Outside => self.retry_outside(direction, &mut attempt),
            },
        )
    }

    /// Tries once, if as far as is known that may succeed; `None`: it has to wait.
    #[inline(always)]
    pub(crate) fn attempt<T>(
        &self,
        lp: &EventLoop,
        task: &TaskRef,
        direction: Direction,
        attempt: &mut impl FnMut() -> io::Result<T>,
        drained: &impl Fn(&T) -> bool,
    ) -> Option<io::Result<T>> {
        if !self.seems_ready(lp, direction) {
            return None;
        }
        match uninterrupted(attempt) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                lp.emit(|| Event::WouldBlock { task: task.core.id(), direction });
                self.with_slot(lp, |slot| slot.refute(direction));
                None
            }
            Ok(value) => {
                if drained(&value) {
                    self.with_slot(lp, |slot| slot.clear(direction));
                }
                Some(Ok(value))
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// The same on a thread without a loop: the thread waits.
    #[cold]
    fn retry_outside<T>(&self, direction: Direction, attempt: &mut dyn FnMut() -> io::Result<T>) -> io::Result<T> {
        let deadline = self.limit(direction).and_then(|limit| Instant::now().checked_add(limit));
        loop {
            match uninterrupted(attempt) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    crate::sys::wait_ready(self.fd, direction == Direction::Write, deadline)?;
                }
                result => return result,
            }
        }
    }

    /// Whether an attempt may succeed, as far as this loop knows. What is not registered here has to be tried.
    #[inline]
    fn seems_ready(&self, lp: &EventLoop, direction: Direction) -> bool {
        self.with_slot(lp, |slot| slot.is_ready(direction)).unwrap_or(true)
    }

    /// Looks at the registration, if it is with this loop.
    #[inline]
    fn with_slot<R>(&self, lp: &EventLoop, f: impl FnOnce(&Rc<Slot>) -> R) -> Option<R> {
        // In one order with the count of the waiting, see above; on x86-64 this is a load like any other.
        let owner = self.owner.load(Ordering::SeqCst);
        if (owner >> 32) as u32 == lp.remote.id { lp.reactor.with_slot(owner as u32, f) } else { None }
    }

    /// Gives the registration up, whichever loop it is with.
    pub(crate) fn release(&self) -> io::Result<()> {
        let mut registration = self.registration.lock().unwrap_or_else(PoisonError::into_inner);
        let word = self.owner.swap(0, Ordering::SeqCst);
        // In one order with those who are about to wait, see above.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.owner.store(word, Ordering::SeqCst);
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "a task waits for this descriptor"));
        }
        if let Some(old) = registration.take() {
            old.give_up(self.fd);
        }
        Ok(())
    }

    /// Lets all who wait on this loop try again. Those on another one hear of it by the kernel, if at all.
    pub(crate) fn wake_all(&self, direction: Direction) {
        EventLoop::with_current(|lp| {
            if let Some(lp) = lp {
                self.with_slot(lp, |slot| slot.nudge(lp, direction));
            }
        });
    }

    /// Counts a wait, until [`end_to_wait`](Self::end_to_wait), and says where it stands in line.
    pub(crate) fn begin_to_wait(&self, lp: &EventLoop) -> io::Result<Rc<Slot>> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let slot = match self.with_slot(lp, Rc::clone) {
            Some(slot) => Ok(slot),
            None => self.register(lp),
        };
        slot.inspect_err(|_| self.end_to_wait())
    }

    pub(crate) fn end_to_wait(&self) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// Parks until the direction is ready, unless it is by now.
    fn wait(
        &self,
        lp: &EventLoop,
        task: &TaskRef,
        direction: Direction,
        at: Place,
        due: &mut Option<Nanos>,
    ) -> io::Result<()> {
        let slot = self.begin_to_wait(lp)?;
        let _waiting = Waiting(self);
        if slot.is_ready(direction) {
            return Ok(());
        }
        let _hope = lp.reactor.count_waiter();
        let want = Want::Io { source: slot.id(), direction };
        let waiters = slot.waiters(direction);
        match self.limit(direction) {
            None => waiters.wait(lp, task, want, at, Patience::Cancellable),
            Some(limit) => {
                let due = *due.get_or_insert_with(|| lp.clock.now().saturating_add(nanos(limit)));
                wait_until(due, waiters, lp, task, want, at)
            }
        }
    }

    /// Registers with this loop, and takes the source from another one if nobody waits for it there.
    #[cold]
    fn register(&self, lp: &EventLoop) -> io::Result<Rc<Slot>> {
        let mut registration = self.registration.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = &*registration {
            // Another loop has just tried to take it, and put the word back by now.
            if old.remote.id == lp.remote.id {
                return Ok(old.slot(lp));
            }
            let word = self.owner.swap(0, Ordering::SeqCst);
            // One of the waiting is the caller.
            if !old.remote.is_closed() && self.waiting.load(Ordering::SeqCst) > 1 {
                self.owner.store(word, Ordering::SeqCst);
                return Err(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    format!(
                        "a task of loop {} waits for this descriptor, so loop {} cannot wait for it as well",
                        old.remote.id, lp.remote.id
                    ),
                ));
            }
            old.give_up(self.fd);
        }
        *registration = None;
        let new = registration.insert(Registration::new(lp, self.fd)?);
        self.owner.store(u64::from(lp.remote.id) << 32 | u64::from(new.token.slot), Ordering::SeqCst);
        Ok(new.slot(lp))
    }
}

/// A wait that is counted.
struct Waiting<'a>(&'a Source);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.end_to_wait();
    }
}

/// A wait with a limit. Out of line, because its alarm would make the frame of every wait larger.
#[cold]
#[inline(never)]
fn wait_until(due: Nanos, waiters: &WaitList, lp: &EventLoop, task: &TaskRef, want: Want, at: Place) -> io::Result<()> {
    let alarm = Alarm::wake(lp, task, due);
    waiters.wait_unless(lp, task, want, at, Patience::Cancellable, || alarm.has_fired())
}

impl Registration {
    pub(super) fn new(lp: &EventLoop, fd: RawFd) -> io::Result<Registration> {
        Ok(Registration { token: lp.reactor.register(lp, fd)?, remote: lp.remote.clone() })
    }

    /// Its slot, on the loop that it is with.
    pub(super) fn slot(&self, lp: &EventLoop) -> Rc<Slot> {
        lp.reactor.slot(self.token).expect("a registration has a slot until it is given up")
    }

    /// Takes the descriptor, which is still open, out of the loop's sight. May be called on any thread.
    pub(super) fn give_up(&self, fd: RawFd) {
        // In a fork the registration is the parent's as well, and stays. If it fails, the kernel has forgotten the descriptor
        // already, which is what is wanted.
        if !self.remote.is_the_parents() {
            let _ = self.remote.registrar.deregister(fd);
        }
        let here = EventLoop::with_current(|lp| match lp {
            Some(lp) if lp.remote.id == self.remote.id => {
                lp.reactor.free(lp, self.token);
                true
            }
            _ => false,
        });
        if !here {
            // Only its own loop uses the slot again. If the loop is gone, so is the slot.
            let _ = self.remote.send(Message::Freed(self.token));
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let registration = self.registration.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(registration) = registration.take() {
            registration.give_up(self.fd);
        }
    }
}

impl AsRawFd for Source {
    fn as_raw_fd(&self) -> RawFd {
        self.fd
    }
}

/// Repeats an attempt that a signal interrupted: no caller of ours ever sees `Interrupted`.
#[inline(always)]
fn uninterrupted<T>(attempt: &mut (impl FnMut() -> io::Result<T> + ?Sized)) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// For a type that has a source: how it moves to another loop by an explicit call.
macro_rules! releasable {
    ($type:ident: $($source:ident).+) => {
        impl $type {
        /// Makes its loop forget it, so that another one may take it over. One that nobody waits for moves by itself when it is
        /// used elsewhere; this is for one whose loop is to have nothing to do with it from now on.
        ///
        /// # Errors
        ///
        /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) while a task waits for it.
        ///
        /// ```
        /// use corio::{net::{TcpListener, TcpStream}, run, to_thread};
        /// use std::io::{Read, Write};
        ///
        /// run(|| {
        ///     let listener = TcpListener::bind("127.0.0.1:0")?;
        ///     let mut here = TcpStream::connect(listener.local_addr()?)?;
        ///     let (mut there, _) = listener.accept()?;
        ///     there.release()?;
        ///     let moved = std::thread::spawn(move || run(|| there.write_all(b"from another loop")));
        ///     let mut text = String::new();
        ///     here.read_to_string(&mut text)?;
        ///     assert_eq!(text, "from another loop");
        ///     moved.join().unwrap()
        /// })
        /// # .unwrap()
        /// ```
            pub fn release(&self) -> io::Result<()> {
                self.$($source).+.release()
            }
        }
    };
}

pub(crate) use releasable;

/// Puts a descriptor into non-blocking mode, as every one that a loop waits for.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    socket2::SockRef::from(&fd).set_nonblocking(true)
}
