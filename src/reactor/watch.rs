//! Descriptors that belong to somebody else: callbacks when they are ready, and waits until they are.
//!
//! The loop watches a duplicate of the descriptor, and not the one that it was handed: whoever owns that one may close it
//! at any time, and its number may then name a stranger. A duplicate stays what it is until the loop closes it. It also
//! has a place of its own in the kernel's table, beside that of a stream of corio's with the same number.
//!
//! The kernel tells changes, and callbacks are wanted as long as the descriptor is ready. So after each call the loop asks
//! whether it still is, and if so calls again in the next turn.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Instant;

use super::source::Registration;
use super::{Reactor, Slot};
use crate::event_loop::{EventLoop, adopt};
use crate::observe::event::{Direction, Event, Place, Want};
use crate::snapshot::Snapshot;
use crate::task::body::drop_quietly;
use crate::task::wait::{Context, Patience, checkpoint, in_context, refuse_while_unwinding};
use crate::task::{caller, not_in_a_callback};

/// The callbacks of a loop, by the number of the descriptor, which is all that its owner has to name it by.
#[derive(Default)]
pub(super) struct Watchers(RefCell<BTreeMap<(RawFd, bool), Rc<Watcher>>>);

/// One callback, for one direction of a descriptor.
pub(super) struct Watcher {
    watched: Watched,
    direction: Direction,
    /// Taken out while it runs.
    callback: RefCell<Option<Box<dyn FnMut()>>>,
    at: Place,
    /// It will be called in the coming turn.
    queued: Cell<bool>,
    removed: Cell<bool>,
    /// The task-locals that it sees.
    locals: Option<Snapshot>,
}

/// A duplicate that is registered with the loop.
pub(crate) struct Watched {
    fd: OwnedFd,
    registration: Registration,
}

impl Watched {
    pub(crate) fn new(lp: &EventLoop, fd: BorrowedFd<'_>) -> io::Result<Watched> {
        let fd = fd.try_clone_to_owned()?;
        let registration = Registration::new(lp, fd.as_raw_fd())?;
        Ok(Watched { fd, registration })
    }

    pub(crate) fn slot(&self, lp: &EventLoop) -> Rc<Slot> {
        self.registration.slot(lp)
    }

    /// Also where its loop is another, or gone.
    pub(crate) fn give_up(&self) {
        self.registration.give_up(self.fd.as_raw_fd());
    }
}

/// What the kernel says of this moment.
pub(crate) fn is_ready(fd: &impl AsFd, direction: Direction) -> bool {
    crate::sys::wait_ready(fd.as_fd().as_raw_fd(), direction == Direction::Write, Some(Instant::now())).is_ok()
}

impl Watcher {
    /// Whether news of that direction would make a difference.
    pub(super) fn wants(&self, direction: Direction) -> bool {
        self.direction == direction && !self.queued.get()
    }

    /// The kernel has news of the descriptor.
    pub(super) fn news(self: &Rc<Self>, lp: &EventLoop, readable: bool, writable: bool) {
        let mine = match self.direction {
            Direction::Read => readable,
            Direction::Write => writable,
        };
        if mine {
            self.schedule(lp);
        }
    }

    fn schedule(self: &Rc<Self>, lp: &EventLoop) {
        if !self.queued.replace(true) {
            let this = self.clone();
            lp.call_soon(Box::new(move || this.call()), self.at);
        }
    }

    fn call(self: Rc<Self>) {
        /// Puts the callback back, also when it has panicked, and looks whether it is to be called again.
        struct Return<'a>(&'a Rc<Watcher>, Option<Box<dyn FnMut()>>);
        impl Drop for Return<'_> {
            fn drop(&mut self) {
                let Return(watcher, callback) = self;
                if watcher.removed.get() {
                    return drop_quietly(callback.take(), "a reader or writer that was removed");
                }
                *watcher.callback.borrow_mut() = callback.take();
                if is_ready(&watcher.watched.fd, watcher.direction) {
                    EventLoop::with_current(|lp| {
                        if let Some(lp) = lp {
                            watcher.schedule(lp);
                        }
                    });
                }
            }
        }
        self.queued.set(false);
        let callback = self.callback.borrow_mut().take();
        let mut running = Return(&self, callback);
        if let Some(locals) = &self.locals {
            adopt(locals.clone());
        }
        if let (false, Some(callback)) = (self.removed.get(), &mut running.1) {
            callback();
        }
    }
}

impl Reactor {
    fn watch(
        &self,
        lp: &EventLoop,
        fd: BorrowedFd<'_>,
        direction: Direction,
        callback: Box<dyn FnMut()>,
        at: Place,
    ) -> io::Result<()> {
        let watched = Watched::new(lp, fd)?;
        let watcher = Rc::new(Watcher {
            watched,
            direction,
            callback: RefCell::new(Some(callback)),
            at,
            queued: Cell::new(false),
            removed: Cell::new(false),
            locals: lp.locals_for_a_callback(),
        });
        *watcher.watched.slot(lp).watcher.borrow_mut() = Some(watcher.clone());
        let replaced = self.watchers.0.borrow_mut().insert((fd.as_raw_fd(), direction == Direction::Write), watcher);
        self.add_waiter();
        // Only now: its destructor may add another.
        if let Some(replaced) = replaced {
            self.put_away(replaced);
        }
        Ok(())
    }

    fn unwatch(&self, fd: RawFd, direction: Direction) -> bool {
        let removed = self.watchers.0.borrow_mut().remove(&(fd, direction == Direction::Write));
        let found = removed.is_some();
        if let Some(watcher) = removed {
            self.put_away(watcher);
        }
        found
    }

    fn put_away(&self, watcher: Rc<Watcher>) {
        self.remove_waiter();
        watcher.removed.set(true);
        watcher.watched.give_up();
        let callback = watcher.callback.borrow_mut().take();
        drop_quietly(callback, "a reader or writer that was removed");
        drop_quietly(watcher, "a task-local of a reader or writer that was removed");
    }

    /// The run is over; `false` if there were none.
    pub(crate) fn unwatch_all(&self) -> bool {
        let watchers = self.watchers.0.take();
        let found = !watchers.is_empty();
        for watcher in watchers.into_values() {
            self.put_away(watcher);
        }
        found
    }
}

/// Calls `f` in every turn of the loop in which `fd` can be read, until [`remove_reader`], or until the run ends. One that
/// was there already is replaced. For libraries that bring a descriptor and functions of their own to read it; a task that
/// wants to wait calls [`readable`].
///
/// The descriptor may be in any mode. What counts as ready is what `poll(2)` says: data, a connection to accept, the end
/// of the stream, or an error, so a callback that does not read to the end is called again, and one that does not remove
/// itself at the end of the stream is called for ever. It cannot wait. One that panics goes to the exception handler and
/// stays. It sees the [task-locals](crate::TaskLocal) of whoever adds it.
///
/// The loop watches a duplicate of the descriptor, one for each direction. So it is safe to close `fd` while it is watched,
/// but then the other side will not see it closed before the callback is removed, and it can no longer be removed by hand:
/// remove it first. While a callback is there the loop may hope: it reports no deadlock, and a virtual clock waits as a
/// real one. asyncio: `loop.add_reader`.
///
/// # Errors
///
/// What the system says to the duplicate, or to watching it: a regular file cannot be watched.
///
/// # Panics
///
/// Outside a loop.
///
/// ```
/// use corio::{add_reader, run};
/// use std::{cell::RefCell, io::{Read, Write}, os::unix::net::UnixStream, rc::Rc};
///
/// # fn example() -> std::io::Result<()> {
/// let (mut near, mut far) = UnixStream::pair()?;
/// run(|| {
///     let heard = Rc::new(RefCell::new(String::new()));
///     let text = heard.clone();
///     far.write_all(b"hello")?;
///     add_reader(&near.try_clone()?, move || {
///         let mut bytes = [0; 2];
///         let n = near.read(&mut bytes).unwrap();
///         text.borrow_mut().push_str(str::from_utf8(&bytes[..n]).unwrap());
///     })?;
///     while heard.borrow().len() < 5 {
///         corio::sleep(corio::millis(1))?; // three calls: two bytes at a time
///     }
///     assert_eq!(*heard.borrow(), "hello");
///     Ok(())
/// })
/// # }
/// # example().unwrap();
/// ```
#[track_caller]
pub fn add_reader(fd: &impl AsFd, f: impl FnMut() + 'static) -> io::Result<()> {
    let at = caller();
    on_the_loop(|lp| lp.reactor.watch(lp, fd.as_fd(), Direction::Read, Box::new(f), at))
}

/// Calls `f` in every turn of the loop in which `fd` can be written; see [`add_reader`]. asyncio: `loop.add_writer`.
///
/// # Errors
///
/// As [`add_reader`].
///
/// # Panics
///
/// As [`add_reader`].
///
/// ```
/// use corio::{add_writer, millis, remove_writer, run, sleep};
/// use std::{cell::Cell, io::{ErrorKind, Read, Write}, os::unix::net::UnixStream, rc::Rc};
///
/// # fn example() -> std::io::Result<()> {
/// let (near, mut far) = UnixStream::pair()?;
/// near.set_nonblocking(true)?;
/// run(|| {
///     let sent = Rc::new(Cell::new(0));
///     let (count, mut to) = (sent.clone(), near.try_clone()?);
///     add_writer(&near, move || match to.write(b"again and again") {
///         Ok(n) => count.set(count.get() + n),
///         Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
///     })?;
///     while sent.get() < 100 {
///         sleep(millis(1))?;
///     }
///     assert!(remove_writer(&near)); // or it would be called in every turn, and the loop would never rest
///     far.read_exact(&mut [0; 100])
/// })
/// # }
/// # example().unwrap();
/// ```
#[track_caller]
pub fn add_writer(fd: &impl AsFd, f: impl FnMut() + 'static) -> io::Result<()> {
    let at = caller();
    on_the_loop(|lp| lp.reactor.watch(lp, fd.as_fd(), Direction::Write, Box::new(f), at))
}

/// Removes the callback of [`add_reader`]; `false` if there was none. A descriptor goes by its number here: a clone of the one
/// that was added has another. If it was to be called in this turn, it is not. A
/// writer of the same descriptor stays. asyncio: `loop.remove_reader`.
///
/// # Panics
///
/// Outside a loop.
///
/// ```
/// use corio::{add_reader, remove_reader, run, yield_now};
/// use std::{io::Write, os::unix::net::UnixStream};
///
/// # fn example() -> std::io::Result<()> {
/// let (near, mut far) = UnixStream::pair()?;
/// run(|| {
///     far.write_all(b"hello")?;
///     add_reader(&near, || unreachable!("it was removed before the loop looked"))?;
///     assert!(remove_reader(&near));
///     assert!(!remove_reader(&near)); // there is none any more
///     yield_now()
/// })
/// # }
/// # example().unwrap();
/// ```
#[track_caller]
pub fn remove_reader(fd: &impl AsFd) -> bool {
    on_the_loop(|lp| lp.reactor.unwatch(fd.as_fd().as_raw_fd(), Direction::Read))
}

/// Removes the callback of [`add_writer`]; `false` if there was none. A reader of the same descriptor stays. asyncio:
/// `loop.remove_writer`.
///
/// # Panics
///
/// Outside a loop.
///
/// ```
/// use corio::{add_reader, add_writer, remove_reader, remove_writer, run};
/// use std::os::unix::net::UnixStream;
///
/// # fn example() -> std::io::Result<()> {
/// let (near, _far) = UnixStream::pair()?;
/// run(|| {
///     add_reader(&near, || ())?;
///     add_writer(&near, || ())?;
///     assert!(remove_writer(&near));
///     assert!(remove_reader(&near)); // it was still there
///     Ok(())
/// })
/// # }
/// # example().unwrap();
/// ```
#[track_caller]
pub fn remove_writer(fd: &impl AsFd) -> bool {
    on_the_loop(|lp| lp.reactor.unwatch(fd.as_fd().as_raw_fd(), Direction::Write))
}

#[track_caller]
fn on_the_loop<R>(f: impl FnOnce(&EventLoop) -> R) -> R {
    EventLoop::with_current(|lp| f(lp.expect("readers and writers need a running loop: call this inside `corio::run`")))
}

/// Waits until `fd` can be read: until a read, or an `accept`, would not block, because of data, the end of the stream, or
/// an error. For descriptors that are not corio's; the streams of [`net`](crate::net) wait by themselves.
///
/// Another reader may be quicker, so put the descriptor into non-blocking mode, and call this again when a read would
/// block. Without a pause it costs one system call. Several tasks may wait for one descriptor. To wait for other things
/// too there is [`until_readable`](crate::until_readable).
///
/// # Errors
///
/// Cancellation, and what the system says to watching it: a regular file is always ready. In a callback, and while the
/// caller unwinds, an error unless it is ready now. On a thread without a loop the thread waits.
///
/// # Suspends
///
/// Unless it can be read now.
///
/// ```
/// use corio::{readable, run, spawn};
/// use std::{io::{Read, Write}, os::unix::net::UnixStream};
///
/// # fn example() -> std::io::Result<()> {
/// let (mut near, mut far) = UnixStream::pair()?;
/// run(|| {
///     let reader = spawn(move || {
///         readable(&near)?;
///         let mut byte = [0];
///         near.read_exact(&mut byte)?;
///         Ok(byte[0])
///     });
///     corio::yield_now()?;
///     far.write_all(b"!")?;
///     assert_eq!(reader.join()?, b'!');
///     Ok(())
/// })
/// # }
/// # example().unwrap();
/// ```
#[track_caller]
pub fn readable(fd: &impl AsFd) -> io::Result<()> {
    until(fd.as_fd(), Direction::Read, caller())
}

/// Waits until `fd` can be written: until a write would not block, or a `connect` has ended; see [`readable`].
///
/// # Errors
///
/// As [`readable`].
///
/// # Suspends
///
/// Unless it can be written now.
///
/// ```
/// use corio::{run, writable};
/// use std::{io::{ErrorKind, Write}, os::unix::net::UnixStream};
///
/// /// `write_all` for a stream of std's: the loop of a library that knows nothing of corio.
/// fn write_all(mut stream: &UnixStream, mut bytes: &[u8]) -> std::io::Result<()> {
///     while !bytes.is_empty() {
///         match stream.write(bytes) {
///             Ok(n) => bytes = &bytes[n..],
///             Err(error) if error.kind() == ErrorKind::WouldBlock => writable(&stream)?,
///             Err(error) => return Err(error),
///         }
///     }
///     Ok(())
/// }
///
/// # fn example() -> std::io::Result<()> {
/// let (near, mut far) = UnixStream::pair()?;
/// near.set_nonblocking(true)?;
/// run(|| {
///     let reader = corio::spawn(move || corio::to_thread(|| std::io::copy(&mut far, &mut std::io::sink()))?);
///     write_all(&near, &[b'x'; 1_000_000])?; // more than the socket takes at once
///     drop(near);
///     assert_eq!(reader.join()?, 1_000_000);
///     Ok(())
/// })
/// # }
/// # example().unwrap();
/// ```
#[track_caller]
pub fn writable(fd: &impl AsFd) -> io::Result<()> {
    until(fd.as_fd(), Direction::Write, caller())
}

fn until(fd: BorrowedFd<'_>, direction: Direction, at: Place) -> io::Result<()> {
    in_context(|context| match context {
        Context::Task(lp, task) => {
            checkpoint(lp, task, at)?;
            if is_ready(&fd, direction) {
                lp.emit(|| Event::NoPause { task: task.core.id(), want: Want::Turn, at });
                return Ok(());
            }
            let watching = Watching(Watched::new(lp, fd)?);
            let slot = watching.0.slot(lp);
            let _hope = lp.reactor.count_waiter();
            loop {
                let want = Want::Io { source: slot.id(), direction };
                slot.waiters(direction).wait(lp, task, want, at, Patience::Cancellable)?;
                if is_ready(&fd, direction) {
                    return Ok(());
                }
            }
        }
        Context::Outside => crate::sys::wait_ready(fd.as_raw_fd(), direction == Direction::Write, None),
        _ if is_ready(&fd, direction) => Ok(()),
        Context::Unwinding(..) => Err(refuse_while_unwinding()),
        Context::Callback => Err(not_in_a_callback()),
    })
}

/// A duplicate that is watched for the time of one wait.
struct Watching(Watched);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.give_up();
    }
}
