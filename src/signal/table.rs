//! What the process does at a signal: who has asked for it, and what is to be done again when nobody does.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use mio::unix::pipe;

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
pub(super) static FOR_THE_WATCH: Bell = Bell(OnceLock::new());
pub(super) static FOR_LISTENERS: Bell = Bell(OnceLock::new());

pub(super) struct Bell(OnceLock<(pipe::Sender, pipe::Receiver)>);

impl Bell {
    /// The end at which it is heard.
    pub(super) fn listen(&'static self) -> io::Result<&'static pipe::Receiver> {
        match self.0.get() {
            Some((_, listen)) => Ok(listen),
            None => {
                let pipe = pipe::new()?;
                Ok(&self.0.get_or_init(|| pipe).1)
            }
        }
    }

    /// Rings, as a handler may.
    fn ring(&self) {
        if let Some((bell, _)) = self.0.get() {
            // SAFETY: `write` may be called in a handler; the byte is there, and the descriptor is open for ever.
            unsafe {
                let saved = crate::sys::errno();
                libc::write(bell.as_raw_fd(), b"!".as_ptr().cast(), 1);
                crate::sys::set_errno(saved);
            }
        }
    }
}

/// How often the handler was asked for, and what was there before.
struct Installed {
    times: u32,
    before: libc::sigaction,
}

static INSTALLED: Mutex<[Option<Installed>; COUNT]> = Mutex::new([const { None }; COUNT]);

/// The handler is there for as long as this is.
pub(super) struct Handler {
    signal: i32,
}

impl Handler {
    /// Asks for the handler. A signal that the program ignores stays ignored if `gently`: `None` then.
    pub(super) fn install(signal: i32, gently: bool) -> io::Result<Option<Handler>> {
        let mut table = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        let place = table.get_mut(signal as usize).ok_or(io::ErrorKind::InvalidInput)?;
        if let Some(installed) = place {
            installed.times += 1;
            return Ok(Some(Handler { signal }));
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
            action.sa_sigaction = on_signal as extern "C" fn(i32) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigemptyset(&mut action.sa_mask);
            if libc::sigaction(signal, &action, ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            before
        };
        *place = Some(Installed { times: 1, before });
        Ok(Some(Handler { signal }))
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        let mut table = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        let place = &mut table[self.signal as usize];
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
