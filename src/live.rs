//! The live view: what a program that runs is doing, seen from outside, also while a task blocks its loop.
//!
//! A program lets itself be seen by [`Runner::live_view`](crate::Runner::live_view), or by whoever starts it with
//! `CORIO_LIVE=1` in the environment. Then it has a socket that only its own user can reach, and whoever connects, writes one
//! word, `ps`, `json`, `stacks` or `json-stacks`, and reads to the end, gets the picture of all loops that are shown. [`ask`]
//! does that, and so does `cargo run --example attach`; `echo ps | nc -U PATH` does as well.
//! [`Runner::dump_on`](crate::Runner::dump_on) writes the same text to stderr on a signal.
//!
//! The socket is `PID.sock` in the first of these directories that the program may use, in its environment:
//! `$XDG_RUNTIME_DIR/corio`, `/run/user/UID/corio`, `$TMPDIR/corio-UID`, `/tmp/corio-UID`. Which one it is goes to the log, at
//! level info and with the target `corio::live`; what is in the way of it, at level warn.
//!
//! A thread of its own answers. It asks the loop, which looks at its own tables between two steps: no task notices, the order
//! of the tasks is the same, and no record is made. The loop looks for about two microseconds at each task, so 50,000 of them
//! are held up for a tenth of a second (a release build, on a small virtual machine). The stacks of all tasks take longer:
//! each is asked in turn; names are looked up on the thread that answers. If the loop does not answer, because a task has not
//! paused for a while, the thread tells what the [event stream](crate::observe) has told until then, and who it is that
//! blocks. For that the stream is on while a program is shown. What that costs is measured in `docs/book/seeing.md`. Without
//! the feature `observe` nothing is known of a loop that is blocked.
//!
//! ```
//! use corio::live::{self, Question};
//! use corio::{Builder, Runner, secs, sleep, to_thread};
//!
//! let answer = Runner::new().live_view(true).run(|| {
//!     let _clerk = Builder::new().name("clerk").spawn(|| sleep(secs(60)))?;
//!     // From another process: cargo run --example attach PID
//!     to_thread(|| live::ask(std::process::id(), Question::Ps))?
//! })?;
//! assert!(answer.contains("clerk (2)"));
//! # std::io::Result::Ok(())
//! ```
//!
//! `python -m asyncio ps PID` is asyncio's counterpart, curio's `monitor` another. Chapter: `docs/book/seeing.md`; a walk
//! through a server that hangs: `docs/learn/a-server-that-hangs.md`.

mod door;
mod errand;
mod guide;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

pub(crate) use self::guide::{Follower, open};
use crate::sys;

/// How long somebody who asks waits for the next part of the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// All tasks, as [`dump`](crate::observe::dump()) shows them.
    Ps,
    /// The same for programs, as [`dump_json`](crate::observe::dump_json) writes it:
    /// `{"format_version":1,"pid":…,"loops":[…]}`.
    Json,
    /// All tasks, and in which calls each of them stands, as [`dump`](crate::observe::dump()) followed by the stacks. If the
    /// program was built without the feature `backtrace`, it says so.
    Stacks,
    /// [`Json`](Self::Json), where each task has the calls as `stack`: an array of texts, the innermost call first, or `null`.
    JsonStacks,
}

/// From the word for it: `ps`, `json`, `stacks` or `json-stacks`.
///
/// ```
/// use corio::live::Question;
///
/// assert_eq!("ps".parse(), Ok(Question::Ps));
/// let error = "`top` cannot be asked; `ps`, `json`, `stacks` and `json-stacks` can";
/// assert_eq!("top".parse::<Question>(), Err(error.to_owned()));
/// ```
impl FromStr for Question {
    type Err = String;

    fn from_str(word: &str) -> Result<Question, String> {
        match word {
            "ps" => Ok(Question::Ps),
            "json" => Ok(Question::Json),
            "stacks" => Ok(Question::Stacks),
            "json-stacks" => Ok(Question::JsonStacks),
            _ => Err(format!("`{word}` cannot be asked; `ps`, `json`, `stacks` and `json-stacks` can")),
        }
    }
}

impl Question {
    fn word(self) -> &'static str {
        match self {
            Question::Ps => "ps",
            Question::Json => "json",
            Question::Stacks => "stacks",
            Question::JsonStacks => "json-stacks",
        }
    }
}

/// The programs of this user that let themselves be seen now, by their process ids, in order.
///
/// It connects to each of their sockets. Those that a killed program has left, or one that ended by [`std::process::exit`],
/// stay until a program with the same number comes; they are in nobody's way.
///
/// ```
/// use corio::{Runner, live};
///
/// Runner::new().live_view(true).run(|| {
///     assert!(live::processes().contains(&std::process::id()));
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub fn processes() -> Vec<u32> {
    let answering = door::sockets().into_iter().filter(|(_, path)| answers(path));
    answering.map(|(pid, _)| pid).collect::<BTreeSet<u32>>().into_iter().collect()
}

/// Asks a program, by its process id. It blocks the thread until the answer has come: on a coroutine,
/// [`to_thread`](crate::to_thread) it.
///
/// # Errors
///
/// [`NotFound`](ErrorKind::NotFound), if this user has no such program that lets itself be seen;
/// [`TimedOut`](ErrorKind::TimedOut), if nothing comes for ten seconds: it is stopped, or very busy;
/// [`UnexpectedEof`](ErrorKind::UnexpectedEof), if it ends meanwhile; what the system says.
pub fn ask(pid: u32, question: Question) -> io::Result<String> {
    let not_there = || {
        let text = format!(
            "process {pid} does not let itself be seen: start it with CORIO_LIVE=1 in its environment, or have its runner \
             say `live_view(true)`; if it was, its log says why not, with the target corio::live. Only its own user can ask, \
             with the same XDG_RUNTIME_DIR and TMPDIR"
        );
        io::Error::new(ErrorKind::NotFound, text)
    };
    let is_silent = |error: io::Error| match error.kind() {
        ErrorKind::WouldBlock => io::Error::new(
            ErrorKind::TimedOut,
            format!(
                "process {pid} has the socket of a live view, and does not answer: is it stopped, or has it very many tasks?"
            ),
        ),
        _ => error,
    };
    let has_ended = || {
        let text = format!("process {pid} has ended meanwhile, or was too busy to answer");
        io::Error::new(ErrorKind::UnexpectedEof, text)
    };
    let is_broken = |error: io::Error| match error.kind() {
        // Its end of the socket is gone, with the word that nobody has read.
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => has_ended(),
        _ => is_silent(error),
    };
    let sockets = door::sockets().into_iter().filter(|(owner, _)| *owner == pid);
    let is_there =
        |stream: &io::Result<UnixStream>| !matches!(stream, Err(error) if error.kind() != ErrorKind::WouldBlock);
    let mut streams: Vec<_> = sockets.map(|(_, path)| connect(&path)).filter(is_there).collect();
    streams.sort_by_key(Result::is_err); // first those that let somebody in
    let mut stream = streams.into_iter().next().ok_or_else(not_there)?.map_err(is_silent)?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{}\n", question.word()).as_bytes()).map_err(is_broken)?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer).map_err(is_broken)? {
        0 => Err(has_ended()),
        _ => Ok(answer),
    }
}

/// Without waiting: who is stopped lets nobody in, and the line at his door may be full.
fn connect(path: &Path) -> io::Result<UnixStream> {
    mio::net::UnixStream::connect(path).map(UnixStream::from)
}

/// Whether anybody has that socket.
fn answers(path: &Path) -> bool {
    match connect(path) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::WouldBlock, // many stand in line before this one
    }
}

/// Whether the environment asks for it: `CORIO_LIVE` is neither empty nor 0.
pub(crate) fn wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    let asks = || std::env::var_os("CORIO_LIVE").is_some_and(|value| !value.is_empty() && value != "0");
    // A program with more rights than whoever starts it does not obey his environment.
    *WANTED.get_or_init(|| asks() && !sys::is_privileged())
}
