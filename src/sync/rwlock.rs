//! A lock for many readers or one writer.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};

use super::{Id, with_loop};
use crate::observe::event::{Thing, Want};
use crate::select::{Arm, Cx, Spot, Wait, wait_for};
use crate::task::wait::WaitList;
use crate::task::{Who, caller};

const READER: u32 = 1;
const WRITER: u32 = 2;

/// A lock around a value that many may read at once, or one may write, for the tasks of one loop.
///
/// First come, first served, for readers and writers alike: a reader does not overtake a writer that waits, so a stream
/// of readers starves nobody. A task that reads and asks to read again while a writer waits in between waits for itself;
/// the run then ends with a deadlock that says so.
///
/// It is neither `Send` nor `Sync`, and not poisoned by a panic. std: [`std::sync::RwLock`]; asyncio has none.
///
/// ```
/// use corio::{RwLock, run};
///
/// run(|| {
///     let names = RwLock::new(vec!["Ada"]);
///     names.write()?.push("Grace");
///     let (one, other) = (names.read()?, names.read()?); // both at once
///     assert_eq!(one.len() + other.len(), 4);
///     assert!(names.try_read().is_some() && names.try_write().is_none() && names.is_locked());
///     drop((one, other));
///     names.try_write().unwrap().clear();
///     assert!(names.into_inner().is_empty());
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct RwLock<T: ?Sized> {
    readers: Cell<usize>,
    /// Who writes; or one of those who read, as long as that one does: it has what a writer waits for.
    holder: Cell<Who>,
    waiters: WaitList,
    id: Id,
    value: UnsafeCell<T>,
}

impl<T> RwLock<T> {
    /// A free lock.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock {
            readers: Cell::new(0),
            holder: Cell::new(Who::NOBODY),
            waiters: WaitList::new(),
            id: Id::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until it may read. Other readers may read at the same time. std: `read`.
    ///
    /// # Errors
    ///
    /// Only cancellation; and [`Deadlock`](io::ErrorKind::Deadlock) if the task writes already.
    ///
    /// # Suspends
    ///
    /// While somebody writes, or came earlier to write.
    #[inline(always)]
    #[track_caller]
    pub fn read(&self) -> io::Result<RwLockReadGuard<'_, T>> {
        wait_for(self.reading(), caller())
    }

    /// Waits until it may write, alone. std: `write`.
    ///
    /// # Errors
    ///
    /// Only cancellation; and [`Deadlock`](io::ErrorKind::Deadlock) if the task writes already, or is known to read: a lock
    /// cannot be turned from one into the other. It knows one of its readers, so among several it may not be this one; then
    /// the run ends with the deadlock.
    ///
    /// # Suspends
    ///
    /// While somebody reads or writes.
    #[inline(always)]
    #[track_caller]
    pub fn write(&self) -> io::Result<RwLockWriteGuard<'_, T>> {
        wait_for(self.writing(), caller())
    }

    /// Reads, if nobody writes or waits. Never suspends. std: `try_read`.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.read_free(Who::runs())
    }

    /// Writes, if nobody reads or writes. Never suspends. std: `try_write`.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.write_free(Who::runs())
    }

    /// [`read`](Self::read) as a wait for [`select`](crate::select()).
    pub fn reading(&self) -> Reading<'_, T> {
        Reading { lock: self }
    }

    /// [`write`](Self::write) as a wait for [`select`](crate::select()).
    ///
    /// ```
    /// use corio::{Runner, RwLock, Which, after, secs, select, sync::{Reading, Writing}};
    ///
    /// Runner::new().virtual_clock().run(|| {
    ///     let mut settings = RwLock::new(1);
    ///     let reader = settings.read()?;
    ///     let (writing, reading): (Writing<'_, i32>, Reading<'_, i32>) = (settings.writing(), settings.reading());
    ///     assert!(matches!(select((writing, after(secs(1))))?, Which::B(()))); // gave up
    ///     assert!(matches!(select((reading, after(secs(1))))?, Which::A(_)));
    ///     drop(reader);
    ///     *settings.get_mut() += 1;
    ///     assert_eq!(*settings.read()?, 2);
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    pub fn writing(&self) -> Writing<'_, T> {
        Writing { lock: self }
    }

    /// Whether anybody reads or writes.
    pub fn is_locked(&self) -> bool {
        self.readers.get() > 0 || self.is_written()
    }

    /// The value: nobody else can have the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn is_written(&self) -> bool {
        self.readers.get() == 0 && self.holder.get() != Who::NOBODY
    }

    #[inline]
    fn read_free(&self, me: Who) -> Option<RwLockReadGuard<'_, T>> {
        // Readers do not overtake the writer that waits.
        let free = !self.is_written() && self.waiters.first().is_none();
        free.then(|| {
            self.begin_read(me);
            RwLockReadGuard { lock: self, who: me }
        })
    }

    #[inline]
    fn write_free(&self, me: Who) -> Option<RwLockWriteGuard<'_, T>> {
        (!self.is_locked()).then(|| {
            self.holder.set(me);
            RwLockWriteGuard { lock: self, who: me }
        })
    }

    #[inline]
    fn begin_read(&self, who: Who) {
        self.readers.set(self.readers.get() + 1);
        if self.holder.get() == Who::NOBODY {
            self.holder.set(who);
        }
    }

    /// Grants what can be granted: the first writer, or all readers up to the next one.
    fn hand_on(&self) {
        with_loop(&self.waiters, |lp, by| {
            while !self.is_written()
                && let Some(first) = self.waiters.first()
            {
                let reads = first.tag.get() == READER;
                if !reads && self.readers.get() > 0 {
                    break;
                }
                let (who, before) = (Who::task(lp, first.task()), self.holder.get());
                if reads {
                    self.begin_read(who);
                } else {
                    self.holder.set(who);
                }
                if self.holder.get() != before {
                    self.id.tell_holder(lp, who);
                }
                self.waiters.grant_to(first, lp, by);
            }
        });
    }

    #[inline]
    fn end_read(&self, who: Who) {
        self.readers.set(self.readers.get() - 1);
        if self.readers.get() == 0 {
            self.holder.set(Who::NOBODY);
            self.hand_on();
        } else if self.holder.get() == who {
            self.forget_reader();
        }
    }

    /// Of several who read, none is known from now on.
    fn forget_reader(&self) {
        if self.holder.replace(Who::NOBODY) != Who::NOBODY {
            with_loop(&self.waiters, |lp, _| self.id.tell_holder(lp, Who::NOBODY));
        }
    }

    #[inline]
    fn end_write(&self, _: Who) {
        self.holder.set(Who::NOBODY);
        self.hand_on();
    }

    /// Whether the task would wait for itself.
    fn check(&self, cx: &Cx<'_>, tag: u32) -> io::Result<()> {
        let (reads, writes) = (self.readers.get() > 0, self.is_written());
        let would = writes || reads && tag == WRITER;
        if !would || self.holder.get() != Who::task(cx.lp, cx.task) {
            return Ok(());
        }
        let (task, does) = (cx.task, if writes { "writes" } else { "reads" });
        let text = format!("{task} {does} under this lock already, and would wait for itself");
        Err(io::Error::new(io::ErrorKind::Deadlock, text))
    }
}

/// [`RwLock::read`] as a wait; from [`RwLock::reading`].
#[must_use = "it waits for nothing until `select`"]
pub struct Reading<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

/// [`RwLock::write`] as a wait; from [`RwLock::writing`].
#[must_use = "it waits for nothing until `select`"]
pub struct Writing<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

macro_rules! wait {
    ($wait:ident, $guard:ident, $tag:ident, $thing:ident, $end:ident, |$lock:ident, $me:ident| $take:expr) => {
        impl<'a, T: ?Sized> Wait for $wait<'a, T> {
            type Output = $guard<'a, T>;
        }

        impl<'a, T: ?Sized> Arm for $wait<'a, T> {
            type Brings = $guard<'a, T>;
            type Hook = ();

            #[inline(always)]
            fn poll(&mut self, $me: Who, _: &Spot<()>) -> Option<$guard<'a, T>> {
                let $lock = self.lock;
                $take
            }

            fn check(&self, cx: &Cx<'_>) -> io::Result<()> {
                // A task that is polled may wait for several things at once, and give back the one that it has meanwhile.
                if cx.is_future() {
                    return Ok(());
                }
                self.lock.check(cx, $tag)
            }

            fn list(&self) -> Option<&WaitList> {
                Some(&self.lock.waiters)
            }

            fn enter(&mut self, _: &Cx<'_>, spot: &Spot<()>) {
                spot.node.tag.set($tag);
            }

            fn leave(&mut self, _: &Cx<'_>, _: &Spot<()>) {
                // The readers behind a writer that gave up need not wait any longer.
                self.lock.hand_on();
            }

            fn take(&mut self, me: Who, _: &Spot<()>) -> $guard<'a, T> {
                $guard { lock: self.lock, who: me }
            }

            fn refuse(&mut self) {
                // It was granted to whoever waited, and who that was nobody knows any more.
                if self.lock.readers.get() > 1 {
                    self.lock.forget_reader();
                }
                self.lock.$end(Who::NOBODY);
            }

            fn want(&self, cx: &Cx<'_>, _: &Spot<Self::Hook>) -> Want {
                Want::Thing {
                    thing: Thing::$thing,
                    id: self.lock.id.get(cx.lp),
                    holder: self.lock.holder.get().on(cx.lp),
                }
            }

            fn holder(&self) -> Option<&Cell<Who>> {
                Some(&self.lock.holder)
            }
        }

        impl<T: ?Sized> fmt::Debug for $wait<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($wait))
            }
        }

        impl<T: ?Sized> Deref for $guard<'_, T> {
            type Target = T;

            #[inline(always)]
            fn deref(&self) -> &T {
                // SAFETY: this guard is counted: while there is a reader nobody writes, and a writer is alone.
                unsafe { &*self.lock.value.get() }
            }
        }

        impl<T: ?Sized> Drop for $guard<'_, T> {
            #[inline]
            fn drop(&mut self) {
                self.lock.$end(self.who);
            }
        }

        impl<T: ?Sized + fmt::Debug> fmt::Debug for $guard<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

/// The right to read, until it is dropped.
#[must_use = "the lock is free again when the guard is dropped"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    who: Who,
}

/// The right to write, until it is dropped.
///
/// ```
/// use corio::{RwLock, RwLockReadGuard, RwLockWriteGuard, run};
///
/// fn first<'a>(names: &'a RwLockReadGuard<'_, Vec<String>>) -> &'a str {
///     names.first().map_or("nobody", String::as_str)
/// }
/// fn rename(mut names: RwLockWriteGuard<'_, Vec<String>>, name: &str) {
///     *names = vec![name.to_owned()];
/// }
///
/// run(|| {
///     let names = RwLock::new(Vec::new());
///     assert_eq!(first(&names.read()?), "nobody");
///     rename(names.write()?, "Ada");
///     assert_eq!(first(&names.read()?), "Ada");
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[must_use = "the lock is free again when the guard is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    who: Who,
}

wait!(Reading, RwLockReadGuard, READER, Read, end_read, |lock, me| lock.read_free(me));
wait!(Writing, RwLockWriteGuard, WRITER, Write, end_write, |lock, me| lock.write_free(me));

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard itself is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_read() {
            Some(guard) => f.debug_tuple("RwLock").field(&&*guard).finish(),
            None => f.write_str("RwLock(<locked>)"),
        }
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}
