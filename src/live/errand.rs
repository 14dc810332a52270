//! What the thread of the live view has other threads do, because it may never end.

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use log::Level;

use crate::sys;
use crate::task::body::{Payload, drop_quietly};

/// How long it may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// The log and stderr are the program's. A full pipe takes nothing, and a logger may write to one too, or panic.
#[derive(Default)]
pub(super) struct Errands {
    log: Errand,
    stderr: Errand,
}

impl Errands {
    /// To the log, if that still listens.
    pub(super) fn say(&mut self, level: Level, text: String) {
        if level <= log::max_level() && !self.log.is_under_way() {
            let log = move || {
                log::log!(target: "corio::live", level, "{text}");
                Ok(())
            };
            let _ = self.log.run(log, "the log does not take it");
        }
    }

    /// To stderr, if that has taken the one before.
    pub(super) fn dump(&mut self, text: impl FnOnce() -> String) {
        let written = if self.stderr.is_under_way() {
            Err(io::Error::new(ErrorKind::TimedOut, "stderr has not taken the one before"))
        } else {
            let text = text();
            self.stderr.run(move || write_to_stderr(text.as_bytes()), "stderr does not take it")
        };
        if let Err(error) = written {
            self.say(Level::Warn, format!("the dump of a signal is not written: {error}"));
        }
    }
}

/// A thread that does one thing. If that takes long, this is where its end will be heard.
#[derive(Default)]
struct Errand(Option<mpsc::Receiver<io::Result<()>>>);

impl Errand {
    fn is_under_way(&mut self) -> bool {
        self.0.take_if(|over| !matches!(over.try_recv(), Err(mpsc::TryRecvError::Empty)));
        self.0.is_some()
    }

    /// Waits for its end, and not for long: `late` is the text of the error then.
    fn run(&mut self, f: impl FnOnce() -> io::Result<()> + Send + 'static, late: &'static str) -> io::Result<()> {
        let (give, over) = mpsc::channel();
        let run = move || match catch_unwind(AssertUnwindSafe(f)) {
            Ok(result) => drop(give.send(result)),
            Err(payload) => dispose(payload),
        };
        thread::Builder::new().name("corio live view".to_owned()).spawn(run)?;
        match over.recv_timeout(PATIENCE) {
            Ok(result) => result,
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(()), // it has panicked
            Err(mpsc::RecvTimeoutError::Timeout) => {
                self.0 = Some(over);
                Err(io::Error::new(ErrorKind::TimedOut, late))
            }
        }
    }
}

/// Without the lock of the standard library: a task may have it, and hang.
fn write_to_stderr(text: &[u8]) -> io::Result<()> {
    let mut rest = text;
    while !rest.is_empty() {
        match sys::write_without_signal(libc::STDERR_FILENO, rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // It belongs to somebody who has made it so.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                sys::wait_ready(libc::STDERR_FILENO, true, None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Drops what somebody has panicked with. Should that panic too, the log is told, and that may panic once more.
pub(super) fn dispose(payload: Payload) {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop_quietly(payload, "the payload of a panic")));
    std::mem::forget(dropped);
}
