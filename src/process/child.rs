//! A program that was started.

use std::env;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{ExitStatus, Output};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::reaper;
use crate::observe::event::Direction;
use crate::pipe::{PipeReader, PipeWriter};
use crate::reactor::source::Source;
use crate::scope;
use crate::task::{caller, try_current};

/// A program that was started; from [`Command::spawn`](super::Command::spawn).
///
/// It may be shared: any number of tasks, on any loops and threads, can wait for its end. When it is dropped before that, the
/// program runs on, unless it is to be [killed](super::Command::kill_on_drop), and is reaped when it ends.
///
/// asyncio: `asyncio.subprocess.Process`.
///
/// ```
/// use corio::process::{Child, Command, Stdio};
/// use corio::{is_timed_out, millis, run, signal::Signal, timeout};
/// use std::os::unix::process::ExitStatusExt;
///
/// run(|| {
///     let sleeper: Child = Command::new("sleep").arg("600").spawn()?;
///     assert!(sleeper.id() > 0 && sleeper.try_wait()?.is_none());
///     let late = timeout(millis(5), || sleeper.wait());
///     assert!(is_timed_out(&late.unwrap_err())); // the wait ended, and not the process
///     sleeper.signal(Signal::Terminate.number())?;
///     assert_eq!(sleeper.wait()?.signal(), Some(15));
///     assert_eq!(sleeper.try_wait()?, Some(sleeper.wait()?)); // the same, as often as one asks
///
///     let stubborn = Command::new("sleep").arg("600").spawn()?;
///     stubborn.kill()?;
///     assert_eq!(stubborn.wait()?.signal(), Some(9));
///
///     let echo = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
///     assert_eq!(echo.wait_with_output()?.stdout, b"hello\n");
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct Child {
    /// Where it reads from, if that is piped. Take it out, and drop it to end its input.
    pub stdin: Option<PipeWriter>,
    /// What it writes, if that is piped.
    pub stdout: Option<PipeReader>,
    /// Its error output, if that is piped.
    pub stderr: Option<PipeReader>,
    exit: Exit,
    kill_on_drop: bool,
}

/// How the end of a process is noticed.
struct Exit {
    // Before the descriptor, so that it is deregistered before it is closed.
    source: Source,
    /// Ready to be read when the process has ended.
    _notice: OwnedFd,
    process: Arc<Mutex<Process>>,
}

/// The process as long as its number is its own: until it is reaped.
pub(super) struct Process {
    child: std::process::Child,
    status: Option<ExitStatus>,
}

impl Process {
    /// Reaps it, if it has ended.
    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Reaps it when it has ended. Blocks the thread.
    pub(super) fn wait(&mut self) {
        if self.status.is_none() {
            self.status = self.child.wait().ok();
        }
    }

    fn signal(&mut self, signal: i32) -> io::Result<()> {
        if self.status.is_some() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the process has ended"));
        }
        // Not reaped: if it has ended meanwhile it is a zombie, and the number is still its own.
        crate::sys::kill(self.child.id(), signal)
    }
}

impl Exit {
    /// Watches a process.
    fn new(child: std::process::Child) -> Result<Exit, (std::process::Child, io::Error)> {
        let notice = match notice(&child) {
            Ok(notice) => notice,
            Err(error) => return Err((child, error)),
        };
        // SAFETY: the descriptor stands behind the source in this struct. Nobody reads from it, so its mode does not matter.
        let source = unsafe { Source::new(notice.as_raw_fd()) };
        Ok(Exit { source, _notice: notice, process: Arc::new(Mutex::new(Process { child, status: None })) })
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A descriptor that can be read when the process has ended: the kernel's, or the end of a pipe that a thread lets go then.
/// `CORIO_CHILD_WATCH=thread` asks for the latter.
fn notice(child: &std::process::Child) -> io::Result<OwnedFd> {
    if env::var_os("CORIO_CHILD_WATCH").is_none_or(|watch| watch != "thread")
        && let Ok(pidfd) = crate::sys::open_pidfd(child.id())
    {
        return Ok(pidfd);
    }
    let (notice, held) = std::io::pipe()?;
    let pid = child.id();
    thread::Builder::new().name(format!("corio-child-{pid}")).stack_size(64 * 1024).spawn(move || {
        // It stays to be reaped, so its number is nobody else's.
        let _ = crate::sys::wait_without_reaping(pid);
        drop(held);
    })?;
    Ok(notice.into())
}

impl Child {
    pub(super) fn new(mut child: std::process::Child, kill_on_drop: bool) -> io::Result<Child> {
        let pipes = || {
            let stdin = child.stdin.take().map(|pipe| PipeWriter::from_fd(pipe.into())).transpose()?;
            let stdout = child.stdout.take().map(|pipe| PipeReader::from_fd(pipe.into())).transpose()?;
            let stderr = child.stderr.take().map(|pipe| PipeReader::from_fd(pipe.into())).transpose()?;
            Ok((stdin, stdout, stderr))
        };
        let failed = |mut child: std::process::Child, error| {
            // It runs already, and nobody would know of it.
            let _ = child.kill();
            reaper::reap(Arc::new(Mutex::new(Process { child, status: None })));
            Err(error)
        };
        let (stdin, stdout, stderr) = match { pipes }() {
            Ok(pipes) => pipes,
            Err(error) => return failed(child, error),
        };
        match Exit::new(child) {
            Ok(exit) => Ok(Child { stdin, stdout, stderr, exit, kill_on_drop }),
            Err((child, error)) => failed(child, error),
        }
    }

    /// The number of the process. It may be another one's when this one has been waited for. asyncio: `pid`; std: `id`.
    pub fn id(&self) -> u32 {
        self.exit.process().child.id()
    }

    /// Waits until the process has ended. Any number of tasks and threads may wait; all get the same status, also later.
    /// asyncio, std: `wait`.
    ///
    /// The pipes are left as they are: what it has written can still be read, and a process that was started by it may hold
    /// their other ends for longer. A process that waits for the end of its input waits for ever, unless
    /// [`stdin`](Self::stdin) is taken and dropped.
    ///
    /// # Errors
    ///
    /// What the system says; a cancellation, which does not touch the process.
    ///
    /// # Suspends
    ///
    /// Until it has ended.
    #[track_caller]
    pub fn wait(&self) -> io::Result<ExitStatus> {
        let attempt = || self.exit.process().try_wait()?.ok_or_else(|| io::ErrorKind::WouldBlock.into());
        self.exit.source.retry(Direction::Read, caller(), attempt, |_| false)
    }

    /// The status, if it has ended. asyncio: `returncode`; std: `try_wait`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.exit.process().try_wait()
    }

    /// Ends the process at once (SIGKILL). One that has ended already is left alone. asyncio, std: `kill`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn kill(&self) -> io::Result<()> {
        match self.signal(libc::SIGKILL) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Sends it a signal, by its number: `libc::SIGTERM` asks it to end. asyncio: `send_signal`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if it has ended and was waited for; what the system says.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        self.exit.process().signal(signal)
    }

    /// Writes `input`, reads all that it writes, and waits for its end, all at once, so that nobody waits for the other for
    /// ever. What is not piped is left out. If it ends without having read its input, that is no error.
    /// asyncio: `communicate`.
    ///
    /// # Errors
    ///
    /// What the system says; a cancellation, which kills the process.
    ///
    /// # Suspends
    ///
    /// Until it has ended and its output too: another process that has inherited the output may keep it open.
    ///
    /// ```
    /// use corio::process::{Command, Stdio};
    ///
    /// corio::run(|| {
    ///     let mut child = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    ///     let output = child.communicate(b"b\na\n")?;
    ///     assert!(output.status.success());
    ///     assert_eq!(output.stdout, b"a\nb\n");
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    #[track_caller]
    pub fn communicate(&mut self, input: &[u8]) -> io::Result<Output> {
        let (stdin, stdout, stderr) = (self.stdin.take(), self.stdout.take(), self.stderr.take());
        // No closures here: those do not know their caller, whose line is where the task waits.
        let error = match converse(stdin, input, stdout, stderr) {
            Ok((stdout, stderr)) => match self.wait() {
                Ok(status) => return Ok(Output { status, stdout, stderr }),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let _ = self.kill();
        Err(error)
    }

    /// [`communicate`](Self::communicate) without input. std: `wait_with_output`.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Suspends
    ///
    /// As there.
    #[track_caller]
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        self.communicate(b"")
    }
}

/// Writes and reads at once. The result: all of both outputs.
#[track_caller]
fn converse(
    stdin: Option<PipeWriter>,
    input: &[u8],
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let feed = move || match stdin.map_or(Ok(()), |mut stdin| stdin.write_all(input)) {
        // It has ended, or closed its input: that is its affair.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    };
    let all_of = |pipe: Option<PipeReader>| {
        let mut bytes = Vec::new();
        pipe.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut bytes)).map(|_| bytes)
    };
    if try_current().is_some() {
        return scope(|s| {
            let (stdout, stderr) = (s.spawn(move || all_of(stdout)), s.spawn(move || all_of(stderr)));
            feed()?;
            Ok((stdout.join()?, stderr.join()?))
        });
    }
    thread::scope(|s| {
        let (stdout, stderr) = (s.spawn(move || all_of(stdout)), s.spawn(move || all_of(stderr)));
        feed()?;
        let ended = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("a read does not panic");
        Ok((ended(stdout)?, ended(stderr)?))
    })
}

impl Drop for Child {
    fn drop(&mut self) {
        let mut process = self.exit.process();
        if self.kill_on_drop && process.status.is_none() {
            let _ = process.signal(libc::SIGKILL);
        }
        if !matches!(process.try_wait(), Ok(Some(_))) {
            reaper::reap(self.exit.process.clone());
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = self.exit.process();
        f.debug_struct("Child").field("id", &process.child.id()).field("status", &process.status).finish()
    }
}
