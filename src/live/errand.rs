//! What the thread of the live view has other threads do, because it may never end. A dump it writes itself if there is none.

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

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
            // Without a thread it is not said: a logger that hangs would hold up everybody who asks.
            let _ = start(log).and_then(|over| self.log.wait(over, "the log does not take it"));
        }
    }

    /// To stderr, if that has taken the one before.
    pub(super) fn dump(&mut self, text: impl FnOnce() -> String) {
        let written = if self.stderr.is_under_way() {
            Err(io::Error::new(ErrorKind::TimedOut, "stderr has not taken the one before"))
        } else {
            let text: Arc<str> = text().into();
            let own = text.clone();
            match start(move || write_to_stderr(own.as_bytes(), None)) {
                Ok(over) => self.stderr.wait(over, "stderr does not take it"),
                // A process that gets no thread is in trouble, and somebody wants to see what it is.
                Err(_) => write_to_stderr(text.as_bytes(), Some(Instant::now() + PATIENCE)),
            }
        };
        if let Err(error) = written {
            self.say(Level::Warn, format!("the dump of a signal is not written: {error}"));
        }
    }
}

/// A thread that does one thing. If that takes long, this is where its end will be heard.
#[derive(Default)]
struct Errand(Option<Over>);

impl Errand {
    fn is_under_way(&mut self) -> bool {
        self.0.take_if(|over| !matches!(over.try_recv(), Err(mpsc::TryRecvError::Empty)));
        self.0.is_some()
    }

    /// Waits for its end, and not for long: `late` is the text of the error then.
    fn wait(&mut self, over: Over, late: &'static str) -> io::Result<()> {
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

/// Where the end of a thread that does one thing will be heard.
type Over = mpsc::Receiver<io::Result<()>>;

/// Begins such a thread, if one is to be had.
fn start(f: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<Over> {
    let (give, over) = mpsc::channel();
    let run = move || match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => drop(give.send(result)),
        Err(payload) => dispose(payload),
    };
    thread::Builder::new().name("corio live view".to_owned()).spawn(run)?;
    Ok(over)
}

/// Without the lock of the standard library: a task may have it, and hang. With a deadline it is written while stderr says that it
/// takes something, and no more at once than a pipe takes then. What remains is that somebody else fills the pipe between the
/// question and the write.
fn write_to_stderr(text: &[u8], deadline: Option<Instant>) -> io::Result<()> {
    let most = if deadline.is_some() { libc::PIPE_BUF } else { usize::MAX };
    let mut rest = text;
    while !rest.is_empty() {
        if deadline.is_some() {
            sys::wait_ready(libc::STDERR_FILENO, true, deadline)?;
        }
        match sys::write_without_signal(libc::STDERR_FILENO, &rest[..rest.len().min(most)]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // It belongs to somebody who has made it so.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                sys::wait_ready(libc::STDERR_FILENO, true, deadline)?;
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
