//! Ctrl-C and SIGTERM.
//!
//! While a run watches them, the first of either cancels its main task, and the program ends in an orderly way; the
//! second ends the process at once, as if nobody watched. One run of a process watches: the first that asks.
//!
//! The handler stores a number and writes one byte into a pipe that ends the loop's poll. It touches nothing else, and
//! leaves `errno` as it was.

use std::cell::Cell;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use mio::unix::pipe;

use crate::cancel::{self, Cause};
use crate::error;
use crate::event_loop::EventLoop;
use crate::reactor::Token;
use crate::task::TaskRef;

/// The signals that ask a program to end.
const WATCHED: [i32; 2] = [libc::SIGINT, libc::SIGTERM];

/// The signal that came first, or 0.
static CAUGHT: AtomicI32 = AtomicI32::new(0);
/// The pipe that the handler writes to. It is never closed: on another thread a handler may be about to write when a run
/// ends, and would write into whatever has got the number since.
static BELL: OnceLock<(pipe::Sender, pipe::Receiver)> = OnceLock::new();
/// Some run of this process watches.
static WATCHED_BY_A_RUN: AtomicBool = AtomicBool::new(false);

/// A watch for the time of one run.
pub(crate) struct Watch<'a> {
    lp: &'a EventLoop,
    token: Token,
    listen: &'static pipe::Receiver,
    before: [libc::sigaction; WATCHED.len()],
    /// The main task was cancelled. Once is enough: it may decide to go on.
    told: Cell<bool>,
}

/// Begins to watch, unless another run of this process does, or it cannot be done.
pub(crate) fn watch(lp: &EventLoop) -> Option<Watch<'_>> {
    if WATCHED_BY_A_RUN.swap(true, Ordering::AcqRel) {
        return None;
    }
    match try_watch(lp) {
        Ok(watch) => Some(watch),
        Err(error) => {
            WATCHED_BY_A_RUN.store(false, Ordering::Release);
            log::warn!(target: "corio::signal", "cannot watch for Ctrl-C: {error}");
            None
        }
    }
}

fn try_watch(lp: &EventLoop) -> io::Result<Watch<'_>> {
    let listen = listener()?;
    let token = lp.reactor.register_own(listen.as_raw_fd())?;
    CAUGHT.store(0, Ordering::SeqCst);
    let before = WATCHED.map(install);
    Ok(Watch { lp, token, listen, before, told: Cell::new(false) })
}

/// The end of the pipe at which the bell is heard, empty.
fn listener() -> io::Result<&'static pipe::Receiver> {
    let mut listen = match BELL.get() {
        Some((_, listen)) => listen,
        None => {
            let pipe = pipe::new()?;
            &BELL.get_or_init(|| pipe).1
        }
    };
    // An earlier run may have been rung for, once.
    while listen.read(&mut [0; 8]).is_ok_and(|n| n > 0) {}
    Ok(listen)
}

impl Watch<'_> {
    /// Looks whether a signal came; the first one cancels the main task.
    pub(crate) fn look(&self, main: &TaskRef) {
        if CAUGHT.load(Ordering::Relaxed) != 0 && !self.told.replace(true) {
            log::info!(target: "corio::signal", "{}: ending the run", name(CAUGHT.load(Ordering::Relaxed)));
            cancel::cancel_task(main, Cause::Interrupt);
        }
    }

    /// The error of a run whose main task was ended by a signal.
    pub(crate) fn interrupted(&self, main: &TaskRef) -> Option<io::Error> {
        match CAUGHT.load(Ordering::SeqCst) {
            0 => None,
            // Somebody else asked as well: then it is an ordinary cancellation.
            _ if main.core.requests() > 1 => None,
            signal => main.core.ended_cancelled().then(|| error::cancelled_because(name(signal))),
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        for (signal, before) in WATCHED.iter().zip(&self.before) {
            // SAFETY: this puts back what `install` was given.
            unsafe { libc::sigaction(*signal, before, ptr::null_mut()) };
        }
        let _ = self.lp.remote.registrar.deregister(self.listen.as_raw_fd());
        self.lp.reactor.free(self.lp, self.token);
        WATCHED_BY_A_RUN.store(false, Ordering::Release);
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        libc::SIGINT => "Ctrl-C (SIGINT)",
        _ => "SIGTERM",
    }
}

/// Installs the handler and returns what was there. A signal that the program ignores stays ignored.
fn install(signal: i32) -> libc::sigaction {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the structures are valid for the calls; the handler is safe to run at any moment.
    unsafe {
        libc::sigaction(signal, ptr::null(), before.as_mut_ptr());
        let before = before.assume_init();
        if before.sa_sigaction != libc::SIG_IGN {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
            action.sa_sigaction = on_signal as extern "C" fn(i32) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigemptyset(&mut action.sa_mask);
            libc::sigaction(signal, &action, ptr::null_mut());
        }
        before
    }
}

extern "C" fn on_signal(signal: i32) {
    if CAUGHT.swap(signal, Ordering::SeqCst) != 0 {
        // The second: nobody is patient any more.
        // SAFETY: both calls may be made in a handler.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
        return;
    }
    let Some((bell, _)) = BELL.get() else { return };
    // SAFETY: `write` may be called in a handler; the byte is there, and the descriptor is open for ever.
    unsafe {
        let saved = crate::sys::errno();
        libc::write(bell.as_raw_fd(), b"!".as_ptr().cast(), 1);
        crate::sys::set_errno(saved);
    }
}
