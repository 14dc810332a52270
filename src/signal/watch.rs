//! The watch of a run for Ctrl-C and SIGTERM.
//!
//! While a run watches, the first of either cancels its main task, and the program ends in an orderly way; the second ends
//! the process at once, as if nobody watched. One run of a process watches: the first that asks.

use std::cell::Cell;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

use super::table::{self, FOR_THE_WATCH, Handler, empty};
use crate::cancel::{self, Cause};
use crate::error;
use crate::event_loop::EventLoop;
use crate::observe::event::Direction;
use crate::reactor::{Slot, Token};
use crate::task::TaskRef;

/// A watch for the time of one run.
pub(crate) struct Watch<'a> {
    lp: &'a EventLoop,
    token: Token,
    slot: Rc<Slot>,
    listen: RawFd,
    _handlers: [Option<Handler>; 2],
    /// The main task was cancelled. Once is enough: it may decide to go on.
    told: Cell<bool>,
}

/// Begins to watch, unless another run of this process does, or it cannot be done.
pub(crate) fn watch(lp: &EventLoop) -> Option<Watch<'_>> {
    if !table::begin_watch() {
        return None;
    }
    match try_watch(lp) {
        Ok(watch) => Some(watch),
        Err(error) => {
            table::end_watch();
            log::warn!(target: "corio::signal", "cannot watch for Ctrl-C: {error}");
            None
        }
    }
}

fn try_watch(lp: &EventLoop) -> io::Result<Watch<'_>> {
    let listen = FOR_THE_WATCH.listen()?;
    empty(listen); // an earlier run may have been rung for, once
    let token = lp.reactor.register_own(listen)?;
    let slot = lp.reactor.slot(token).expect("it was registered just now");
    // A signal that the program ignores stays ignored.
    let handlers = [Handler::install(libc::SIGINT, true)?, Handler::install(libc::SIGTERM, true)?];
    Ok(Watch { lp, token, slot, listen, _handlers: handlers, told: Cell::new(false) })
}

impl Watch<'_> {
    /// Looks whether a signal came; the first one cancels the main task.
    pub(crate) fn look(&self, main: &TaskRef) {
        let has_come = || table::caught() != 0 && !self.told.get();
        let has_rung = self.slot.is_ready(Direction::Read);
        // In a fork both are the parent's.
        if !has_rung && !has_come() || self.lp.reactor.is_the_parents() {
            return;
        }
        // Whatever it was for: the handler may ring after the signal has been seen, and what rings on keeps the loop awake.
        self.slot.clear(Direction::Read);
        empty(self.listen);
        // Asked after that: one that comes while the pipe is emptied has its byte taken, and would not be looked for again.
        if has_come() {
            self.told.set(true);
            log::info!(target: "corio::signal", "{}: ending the run", name(table::caught()));
            cancel::cancel_task(main, Cause::Interrupt);
        }
    }

    /// The error of a run whose main task was ended by a signal.
    pub(crate) fn interrupted(&self, main: &TaskRef) -> Option<io::Error> {
        match table::caught() {
            0 => None,
            // Somebody else asked as well: then it is an ordinary cancellation.
            _ if main.core.requests() > 1 => None,
            signal => main.core.ended_cancelled().then(|| error::cancelled_because(name(signal))),
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.lp.reactor.is_the_parents() {
            return;
        }
        let _ = self.lp.remote.registrar.deregister(self.listen);
        self.lp.reactor.free(self.lp, self.token);
        table::end_watch();
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        libc::SIGINT => "Ctrl-C (SIGINT)",
        _ => "SIGTERM",
    }
}
