//! Other programs: starting them, talking to them, waiting for their end.
//!
//! The shapes are those of [`std::process`]; what waits suspends its task. A child is always *reaped*, so that none is left
//! as a zombie: by whoever waits for it, and otherwise by a thread that does nothing else. It is waited for by its own
//! number, never as "any child", so children of other libraries are left alone; and signals go only to one that has not
//! been reaped, so a number that the system gave to somebody else is never hit. Chapter: `docs/book/processes.md`.

mod child;
mod reaper;

use std::ffi::OsStr;
use std::io;
use std::path::Path;
pub use std::process::{ExitStatus, Output, Stdio};

pub use self::child::Child;

/// A program that is to be run, with its arguments and surroundings. The counterpart of [`std::process::Command`], which it
/// derefs to neither way: [`as_std_mut`](Self::as_std_mut) is for what is not here.
///
/// asyncio: `create_subprocess_exec`.
///
/// ```
/// use corio::{process::Command, run};
///
/// run(|| {
///     let output = Command::new("echo").arg("hello").output()?;
///     assert_eq!(output.stdout, b"hello\n");
///     Ok(())
/// })
/// # .unwrap()
/// ```
///
/// ```
/// use corio::{process::{Command, Stdio}, run};
/// use std::os::unix::process::CommandExt;
///
/// run(|| {
///     let script = "echo $0 $A $B ${HOME-nowhere}; pwd; echo trouble >&2";
///     let mut shell = Command::new("/bin/sh");
///     shell.args(["-c", script]).current_dir("/");
///     shell.env_clear().env("A", "1").envs([("B", "2"), ("C", "3")]).env_remove("C");
///     shell.as_std_mut().arg0("a-shell"); // what is not here, std has
///     let output = shell.output()?;
///     assert_eq!(String::from_utf8_lossy(&output.stdout), "a-shell 1 2 nowhere\n/\n");
///     assert_eq!((output.stderr.as_slice(), output.status.success()), (&b"trouble\n"[..], true));
///
///     let mut quiet = Command::new("/bin/sh");
///     quiet.args(["-c", "read line; exit 3"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
///     assert_eq!(quiet.status()?.code(), Some(3));
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[derive(Debug)]
pub struct Command {
    std: std::process::Command,
    /// Whether input, output and error output were settled by [`stdin`](Self::stdin) and its like.
    settled: [bool; 3],
    kill_on_drop: bool,
}

impl Command {
    /// A program, by its path, or by its name if it is to be looked for in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command { std: std::process::Command::new(program), settled: [false; 3], kill_on_drop: false }
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.std.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Command {
        self.std.args(args);
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.std.env(key, value);
        self
    }

    /// Sets variables of the environment.
    pub fn envs(
        &mut self,
        variables: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> &mut Command {
        self.std.envs(variables);
        self
    }

    /// Leaves a variable out of the environment.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Command {
        self.std.env_remove(key);
        self
    }

    /// Leaves all variables of this process out.
    pub fn env_clear(&mut self) -> &mut Command {
        self.std.env_clear();
        self
    }

    /// The directory that it begins in.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Command {
        self.std.current_dir(directory);
        self
    }

    /// Where its standard input comes from; [`Stdio::piped`] for [`Child::stdin`].
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Command {
        self.std.stdin(stdin);
        self.settled[0] = true;
        self
    }

    /// Where its standard output goes; [`Stdio::piped`] for [`Child::stdout`].
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Command {
        self.std.stdout(stdout);
        self.settled[1] = true;
        self
    }

    /// Where its error output goes; [`Stdio::piped`] for [`Child::stderr`].
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Command {
        self.std.stderr(stderr);
        self.settled[2] = true;
        self
    }

    /// Whether a child whose [`Child`] is dropped before its end is killed. If not, it runs on, and is reaped when it ends.
    ///
    /// ```
    /// use corio::{process::{Command, Stdio}, run};
    /// use std::io::Read;
    ///
    /// run(|| {
    ///     let mut sleeper = Command::new("sleep").arg("600").stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    ///     let mut output = sleeper.stdout.take().unwrap();
    ///     drop(sleeper);
    ///     assert_eq!(output.read(&mut [0])?, 0); // the end, because it is gone
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// std's command, for all else: a session or process group of its own, `pre_exec`, another name.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.std
    }

    /// Starts it. This takes a moment in which the loop stands still: the system copies a page table.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such program, and what else the system says. Nothing is left
    /// behind then.
    pub fn spawn(&mut self) -> io::Result<Child> {
        Child::new(self.std.spawn()?, self.kill_on_drop)
    }

    /// Runs it and waits for its end. What it reads and writes is this process's, unless set.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn); a cancellation, which kills and reaps it.
    ///
    /// # Suspends
    ///
    /// Until it has ended.
    #[track_caller]
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        let child = KillOnError(self.spawn()?, true);
        let status = child.0.wait()?;
        Ok(child.done(status))
    }

    /// Runs it, waits for its end, and returns what it wrote. It reads nothing. A stream that was set by
    /// [`stdin`](Self::stdin) and its like stays as it was set: what goes elsewhere is not in the result. For another input
    /// there is [`Child::communicate`].
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn); a cancellation, which kills and reaps it.
    ///
    /// # Suspends
    ///
    /// As [`Child::communicate`].
    #[track_caller]
    pub fn output(&mut self) -> io::Result<Output> {
        self.settle(Stdio::null, Stdio::piped);
        let spawned = self.spawn();
        // As if nothing had been settled, for whoever starts it again.
        self.settle(Stdio::inherit, Stdio::inherit);
        let mut child = KillOnError(spawned?, true);
        let output = child.0.communicate(b"")?;
        Ok(child.done(output))
    }

    /// Settles the streams that the user has not.
    fn settle(&mut self, input: fn() -> Stdio, output: fn() -> Stdio) {
        let [stdin, stdout, stderr] = self.settled;
        if !stdin {
            self.std.stdin(input());
        }
        if !stdout {
            self.std.stdout(output());
        }
        if !stderr {
            self.std.stderr(output());
        }
    }
}

/// A child that nobody else knows of: it goes if its result is not wanted.
struct KillOnError(Child, bool);

impl KillOnError {
    fn done<T>(mut self, result: T) -> T {
        self.1 = false;
        result
    }
}

impl Drop for KillOnError {
    fn drop(&mut self) {
        if self.1 {
            let _ = self.0.kill();
        }
    }
}
