//! Where connections come in: what all listeners have in common.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::shared::Shared;
use crate::observe::event::{Direction, Place};
use crate::reactor::source::Source;
use crate::{millis, sleep};

/// How many connections may wait to be accepted, unless the program says otherwise. The kernel may allow fewer.
pub(super) const BACKLOG: u32 = 1_024;
/// How long an accept waits when there are no descriptors left, before it tries again.
const OUT_OF_DESCRIPTORS: Duration = millis(100);

/// What concerns one connection that was about to be accepted: Linux hands its network errors on.
const CONCERNS_ONE: &[libc::c_int] = &[
    libc::ECONNABORTED,
    libc::EPROTO,
    libc::EPERM,
    libc::ENETDOWN,
    libc::ENETUNREACH,
    libc::ENOPROTOOPT,
    libc::EHOSTDOWN,
    libc::EHOSTUNREACH,
    libc::EOPNOTSUPP,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    libc::ENONET,
];

/// What comes of an attempt to accept.
pub(crate) enum Verdict<T> {
    Accepted(T),
    Again,
    Later(Duration),
}

pub(crate) struct Gate {
    pub(crate) source: Source,
    /// The process is out of descriptors, and has said so.
    starving: AtomicBool,
    shared: Shared,
}

impl Gate {
    /// # Safety
    ///
    /// As [`Source::new`].
    pub(super) unsafe fn new(number: RawFd) -> Gate {
        // SAFETY: by the caller.
        let source = unsafe { Source::new(number) };
        Gate { source, starving: AtomicBool::new(false), shared: Shared::default() }
    }

    /// As another handle of the same socket.
    pub(super) fn beside(mut self, other: &Gate) -> Gate {
        self.shared = other.shared.clone();
        self
    }

    /// Gives the socket up, to be used in another mode.
    ///
    /// # Errors
    ///
    /// While there is another handle: the mode is the socket's, and that one's loop would block.
    pub(super) fn give_up(self) -> io::Result<()> {
        self.shared.check_alone()
    }

    /// Accepts by `attempt`, which does not wait. What concerns one connection only is passed over, and what will pass is
    /// waited for.
    pub(super) fn accept<T>(&self, at: Place, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            let accepted = self.source.retry(Direction::Read, at, &mut attempt, |_| false);
            match self.judge(accepted)? {
                Verdict::Accepted(connection) => return Ok(connection),
                Verdict::Again => {}
                Verdict::Later(pause) => sleep(pause)?,
            }
        }
    }

    /// Fails if it was closed.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.shared.check()
    }

    /// What comes of an attempt.
    pub(crate) fn judge<T>(&self, accepted: io::Result<T>) -> io::Result<Verdict<T>> {
        let error = match accepted {
            Ok(connection) => {
                self.starving.store(false, Ordering::Relaxed);
                return Ok(Verdict::Accepted(connection));
            }
            // The kernel's word for a socket that was shut down.
            Err(_) if self.is_closed() => return Err(crate::error::closed()),
            Err(error) => error,
        };
        match error.raw_os_error() {
            Some(number) if CONCERNS_ONE.contains(&number) => Ok(Verdict::Again),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) if !self.source.is_impatient() => {
                if !self.starving.swap(true, Ordering::Relaxed) {
                    log::error!(target: "corio::net", "cannot accept connections: {error}; trying again until it works");
                }
                // The clients that wait will not be announced again.
                Ok(Verdict::Later(OUT_OF_DESCRIPTORS))
            }
            _ => Err(error),
        }
    }

    /// Ends every accept, now and later, on every handle. The caller shuts the socket down, so that others hear of it.
    pub(super) fn close(&self) {
        self.shared.close();
        self.source.wake_all(Direction::Read);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Whether an iterator over connections has come to its end with this result: a loop that ignores errors would be
    /// refused for ever.
    pub(super) fn is_last<T>(&self, result: &io::Result<T>) -> bool {
        result.is_err() && (self.is_closed() || crate::cancel_cause().is_some())
    }
}
