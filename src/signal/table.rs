//! What the process does at a signal: who has asked for it, and what is to be done again when nobody does.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{IntoRawFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mio::unix::pipe;

use super::fork::mind_forks;
use crate::sys;

/// One more than the largest number of a signal.
pub(super) const COUNT: usize = 65;

/// How many listeners each signal has.
static LISTENERS: [AtomicU32; COUNT] = [const { AtomicU32::new(0) }; COUNT];
/// Which have come and were not yet told to the listeners.
static PENDING: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];
/// Whether a run watches for Ctrl-C and SIGTERM, and the one that came first for it, or 0.
static WATCHED: AtomicBool = AtomicBool::new(false);
static CAUGHT: AtomicI32 = AtomicI32::new(0);

/// The pipes that the handler writes to: one for the run that watches, one for the listeners. They are never closed: on another
/// thread a handler may be about to write, and would write into whatever has got the number since.
pub(super) static FOR_THE_WATCH: Bell = Bell::new();
pub(super) static FOR_LISTENERS: Bell = Bell::new();

/// The ends of a pipe, or [`NO_PIPE`].
pub(super) struct Bell {
    rung: AtomicI32,
    heard: AtomicI32,
}

const NO_PIPE: RawFd = -1;

impl Bell {
    const fn new() -> Bell {
        Bell { rung: AtomicI32::new(NO_PIPE), heard: AtomicI32::new(NO_PIPE) }
    }

    /// The end at which it is heard, which is open for ever.
    pub(super) fn listen(&self) -> io::Result<RawFd> {
        mind_forks();
        let _one_at_a_time = table();
        if self.heard.load(Ordering::Acquire) == NO_PIPE {
            let (bell, listen) = pipe::new()?;
            self.heard.store(listen.into_raw_fd(), Ordering::Release);
            self.rung.store(bell.into_raw_fd(), Ordering::Release);
        }
        Ok(self.heard.load(Ordering::Acquire))
    }

    /// Rings, as a handler may.
    fn ring(&self) {
        let bell = self.rung.load(Ordering::Acquire);
        if bell != NO_PIPE {
            // SAFETY: `write` may be called in a handler; the byte is there, and the descriptor is open for ever.
            unsafe {
                let saved = sys::errno();
                libc::write(bell, b"!".as_ptr().cast(), 1);
                sys::set_errno(saved);
            }
        }
    }

    /// Leaves the pipe to the parent, in a fork.
    fn forget(&self) {
        self.rung.store(NO_PIPE, Ordering::Release);
        self.heard.store(NO_PIPE, Ordering::Release);
    }
}

/// Takes what has been rung: it is only a reason to look.
pub(super) fn empty(listen: RawFd) {
    while sys::read(listen, &mut [0; 64]).is_ok_and(|n| n > 0) {}
}

/// How often the handler was asked for, and what was there before.
struct Installed {
    times: u32,
    before: libc::sigaction,
}

pub(super) struct Table([Option<Installed>; COUNT]);

static TABLE: Mutex<Table> = Mutex::new(Table([const { None }; COUNT]));

pub(super) fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    /// In a fork that has just begun: nobody listens or watches here, and the system does what it did before. A handler that the
    /// program has put over ours stays.
    pub(super) fn put_back_the_parents(&mut self) {
        for (signal, place) in self.0.iter_mut().enumerate() {
            if let Some(installed) = place.take() {
                let signal = signal as i32;
                // SAFETY: the structures are valid for the calls, which may be made right after a fork; all zeros is a valid one.
                unsafe {
                    let mut now = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
                    libc::sigaction(signal, ptr::null(), &mut now);
                    if now.sa_sigaction == ours() {
                        libc::sigaction(signal, &installed.before, ptr::null_mut());
                    }
                }
            }
        }
        LISTENERS.iter().for_each(|count| count.store(0, Ordering::SeqCst));
        PENDING.iter().for_each(|pending| pending.store(false, Ordering::SeqCst));
        end_watch();
        CAUGHT.store(0, Ordering::SeqCst);
        FOR_THE_WATCH.forget();
        FOR_LISTENERS.forget();
    }
}

fn ours() -> libc::sighandler_t {
    on_signal as extern "C" fn(i32) as libc::sighandler_t
}

/// The handler is there for as long as this is.
pub(super) struct Handler {
    signal: i32,
    /// How many forks there had been.
    born: u32,
}

impl Handler {
    /// Asks for the handler. A signal that the program ignores stays ignored if `gently`: `None` then.
    pub(super) fn install(signal: i32, gently: bool) -> io::Result<Option<Handler>> {
        mind_forks();
        let mut table = table();
        let place = table.0.get_mut(signal as usize).ok_or(io::ErrorKind::InvalidInput)?;
        let born = sys::forks();
        if let Some(installed) = place {
            installed.times += 1;
            return Ok(Some(Handler { signal, born }));
        }
        let mut before = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: the structures are valid for the calls; the handler is safe to run at any moment.
        let before = unsafe {
            if libc::sigaction(signal, ptr::null(), before.as_mut_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
            let before = before.assume_init();
            if gently && before.sa_sigaction == libc::SIG_IGN {
                return Ok(None);
            }
            let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
            action.sa_sigaction = ours();
            action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigemptyset(&mut action.sa_mask);
            if libc::sigaction(signal, &action, ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            before
        };
        *place = Some(Installed { times: 1, before });
        Ok(Some(Handler { signal, born }))
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        // A fork has put back already what its parent's took away.
        if self.born != sys::forks() {
            return;
        }
        let mut table = table();
        let place = &mut table.0[self.signal as usize];
        let Some(installed) = place else { return };
        installed.times -= 1;
        if installed.times == 0 {
            // SAFETY: this puts back what was there.
            unsafe { libc::sigaction(self.signal, &installed.before, ptr::null_mut()) };
            *place = None;
        }
    }
}

/// Counts a listener, or one less.
pub(super) fn listens(signal: i32, listens: bool) {
    let count = &LISTENERS[signal as usize];
    if listens {
        count.fetch_add(1, Ordering::SeqCst);
    } else {
        count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether a signal has come since this was asked last.
pub(super) fn take_pending(signal: usize) -> bool {
    PENDING[signal].swap(false, Ordering::SeqCst)
}

/// A run begins to watch; `false` if another one does.
pub(super) fn begin_watch() -> bool {
    if WATCHED.swap(true, Ordering::AcqRel) {
        return false;
    }
    CAUGHT.store(0, Ordering::SeqCst);
    true
}

pub(super) fn end_watch() {
    WATCHED.store(false, Ordering::Release);
}

/// The signal that came first for the run that watches, or 0.
pub(super) fn caught() -> i32 {
    CAUGHT.load(Ordering::SeqCst)
}

/// The handler. It touches atomics and writes a byte, and nothing else.
extern "C" fn on_signal(signal: i32) {
    let number = signal as usize;
    if LISTENERS[number].load(Ordering::SeqCst) > 0 {
        PENDING[number].store(true, Ordering::SeqCst);
        return FOR_LISTENERS.ring();
    }
    if !WATCHED.load(Ordering::Acquire) || ![libc::SIGINT, libc::SIGTERM].contains(&signal) {
        return;
    }
    if CAUGHT.swap(signal, Ordering::SeqCst) != 0 {
        // The second: nobody is patient any more.
        // SAFETY: both calls may be made in a handler.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
        return;
    }
    FOR_THE_WATCH.ring();
}
