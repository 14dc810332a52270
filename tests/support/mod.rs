//! What several test files need: a watchdog, a record of what was dropped when, and tests that run in a child process.

#![allow(dead_code, unreachable_pub)]

use std::cell::RefCell;
use std::io;
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Nothing here should take more than a second or two. What takes longer than this hangs, and is ended.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the process, with the test's name, if the guard is not dropped in time: a hang becomes a failure.
pub fn watchdog() -> Watchdog {
    let (alive, bone) = channel::<()>();
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if bone.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name}: hangs");
            std::process::abort();
        }
    });
    Watchdog { _alive: alive }
}

pub struct Watchdog {
    _alive: Sender<()>,
}

/// A list of what happened, in order.
#[derive(Clone, Default)]
pub struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    pub fn say(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    /// A value that tells when it is dropped, and whether the thread was panicking then.
    pub fn on_drop(&self, name: &str) -> OnDrop {
        OnDrop(self.clone(), name.to_owned())
    }

    pub fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

pub struct OnDrop(Trace, String);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let how = if std::thread::panicking() { " (panicking)" } else { "" };
        self.0.say(format!("{}{how}", self.1));
    }
}

/// Calls a function when it is dropped.
pub struct Finally<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

const CHILD: &str = "CORIO_TEST_CHILD";

/// Runs `body` in a process of its own, which is this test program with only the test `name`, and returns how that
/// process ended. In the child this does not return.
pub fn in_child(name: &str, body: impl FnOnce()) -> Output {
    if is_child(name) {
        let _watchdog = watchdog();
        body();
        std::process::exit(0);
    }
    child(name).output().expect("the test program can be started again")
}

/// The command that [`in_child`] starts.
pub fn child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the test program has a path"));
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, name);
    command
}

/// Whether this is the child of the test `name`.
pub fn is_child(name: &str) -> bool {
    let is_child = std::env::var(CHILD).is_ok_and(|child| child == name);
    if is_child {
        // What a shell starts in the background ignores Ctrl-C, and hands that on.
        // SAFETY: nothing else in this process cares about the signal yet.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
    }
    is_child
}

pub fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The text of a panic.
pub fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "(no text)".to_owned())
}

pub fn other(text: &str) -> io::Error {
    io::Error::other(text.to_owned())
}
