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

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use self::door::Door;
use crate::event_loop::EventLoop;
use crate::observe::dump::Dump;
use crate::observe::{Names, Observer, SharedPicture, event::Record};
use crate::remote::Remote;
use crate::signal::{OnSignal, Signal};
use crate::sys;
use crate::task::body::panic_text;

/// How long a loop may take to begin to answer before it is said to be blocked: longer than nearly every step takes.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long somebody who has come may take to say what he wants, and to take a part of the answer.
const FOR_A_WORD: Duration = Duration::from_secs(1);
const FOR_AN_ANSWER: Duration = Duration::from_secs(2);
/// When to look again for somebody who could not be let in.
const A_WHILE: Duration = Duration::from_secs(1);

const DOOR: Token = Token(0);
const BELL: Token = Token(1);

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
    let answers = |path: &Path| match connect(path) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::WouldBlock, // many stand in line before this one
    };
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
    let sockets = door::sockets().into_iter().filter(|(owner, _)| *owner == pid);
    let is_there =
        |stream: &io::Result<UnixStream>| !matches!(stream, Err(error) if error.kind() != ErrorKind::WouldBlock);
    let stream = sockets.map(|(_, path)| connect(&path)).find(is_there).ok_or_else(not_there)?;
    let mut stream = stream.map_err(is_silent)?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(5 * FOR_AN_ANSWER))?;
    writeln!(stream, "{}", question.word())?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer).map_err(is_silent)? {
        0 => {
            let text = format!("process {pid} has ended meanwhile, or was too busy to answer");
            Err(io::Error::new(ErrorKind::UnexpectedEof, text))
        }
        _ => Ok(answer),
    }
}

/// Without waiting: who is stopped lets nobody in, and the line at his door may be full.
fn connect(path: &Path) -> io::Result<UnixStream> {
    mio::net::UnixStream::connect(path).map(UnixStream::from)
}

/// Whether the environment asks for it: `CORIO_LIVE` is neither empty nor 0.
pub(crate) fn wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    let asks = || std::env::var_os("CORIO_LIVE").is_some_and(|value| !value.is_empty() && value != "0");
    // A program with more rights than whoever starts it does not obey his environment.
    *WANTED.get_or_init(|| asks() && !sys::is_privileged())
}

/// Keeps the event stream on: for when the loop cannot speak for itself.
pub(crate) struct Follower;

impl Observer for Follower {
    fn record(&mut self, _: &Record, _: &Names) {}

    fn is_background(&self) -> bool {
        true
    }
}

// ---- the thread, and the loops that it shows ------------------------------------------------------------------------

/// The thread that answers, if there is one in this process.
static GUIDE: Mutex<Option<Arc<Guide>>> = Mutex::new(None);

/// What that thread shares with the loops.
struct Guide {
    shown: Mutex<Vec<Shown>>,
    door: Mutex<Option<Door>>,
    /// For the door.
    registry: Registry,
    bell: Waker,
    /// A signal wants a dump.
    signalled: AtomicBool,
    /// No loop is left.
    over: AtomicBool,
    /// How many forks there had been.
    born: u32,
}

/// A loop that is shown.
#[derive(Clone)]
struct Shown {
    remote: Arc<Remote>,
    picture: Option<SharedPicture>,
    /// When its clock began to run, if that goes on while a task blocks the loop.
    start: Option<Instant>,
}

/// While this is there, a loop is shown.
pub(crate) struct View {
    guide: Arc<Guide>,
    remote: Arc<Remote>,
    _signal: Option<OnSignal>,
}

/// Shows a loop: to whoever comes to the door, and on stderr whenever that signal comes. A program is not held up because it
/// cannot be seen: what fails is logged.
pub(crate) fn open(lp: &EventLoop, at_the_door: bool, signal: Option<Signal>) -> Option<View> {
    if !at_the_door && signal.is_none() {
        return None;
    }
    let guide = match begin_to_show(lp) {
        Ok(guide) => guide,
        Err(error) => {
            log::warn!(target: "corio::live", "no live view: {error}");
            return None;
        }
    };
    if at_the_door && let Err(error) = guide.open_door() {
        log::warn!(target: "corio::live", "no live view: {error}");
    }
    let on_signal = signal.and_then(|signal| {
        let guide = guide.clone();
        let bell = OnSignal::new(signal, move || guide.signal());
        bell.inspect_err(|error| log::warn!(target: "corio::live", "no dump on {signal}: {error}")).ok()
    });
    Some(View { guide, remote: lp.remote.clone(), _signal: on_signal })
}

fn begin_to_show(lp: &EventLoop) -> io::Result<Arc<Guide>> {
    let mut place = lock(&GUIDE);
    // A fork has the parent's, and not its thread.
    if place.as_ref().is_none_or(|guide| guide.is_the_parents()) {
        *place = Some(Guide::start()?);
    }
    let guide = place.as_ref().expect("it is there now").clone();
    lock(&guide.shown).push(Shown {
        remote: lp.remote.clone(),
        picture: lp.hub.picture(),
        start: (!lp.clock.is_virtual()).then(|| lp.clock.instant(0)),
    });
    Ok(guide)
}

impl Drop for View {
    fn drop(&mut self) {
        if self.guide.is_the_parents() {
            return;
        }
        let mut place = lock(&GUIDE);
        let mut shown = lock(&self.guide.shown);
        shown.retain(|shown| !Arc::ptr_eq(&shown.remote, &self.remote));
        drop(self.remote.take_visitor()); // who has come too late
        if shown.is_empty() {
            drop(lock(&self.guide.door).take());
            self.guide.over.store(true, Ordering::SeqCst);
            self.guide.ring();
            *place = None;
        }
    }
}

impl Guide {
    fn start() -> io::Result<Arc<Guide>> {
        let poll = Poll::new()?;
        let guide = Arc::new(Guide {
            shown: Mutex::default(),
            door: Mutex::default(),
            registry: poll.registry().try_clone()?,
            bell: Waker::new(poll.registry(), BELL)?,
            signalled: AtomicBool::new(false),
            over: AtomicBool::new(false),
            born: sys::forks(),
        });
        let own = guide.clone();
        thread::Builder::new().name("corio live view".to_owned()).spawn(move || own.receive(poll))?;
        Ok(guide)
    }

    fn is_the_parents(&self) -> bool {
        self.born != sys::forks()
    }

    /// Opens the door, if it is not open.
    fn open_door(&self) -> io::Result<()> {
        let mut place = lock(&self.door);
        if place.is_none() {
            let door = Door::open()?;
            self.registry.register(&mut SourceFd(&door.fd()), DOOR, Interest::READABLE)?;
            let path = door.path().display().to_string();
            *place = Some(door);
            drop(place); // the logger is the user's
            log::info!(target: "corio::live", "live view at {path}");
        }
        Ok(())
    }

    fn signal(&self) {
        self.signalled.store(true, Ordering::SeqCst);
        self.ring();
    }

    fn ring(&self) {
        if let Err(error) = self.bell.wake() {
            log::error!(target: "corio::live", "the live view cannot be woken: {error}");
        }
    }

    /// The thread's life.
    fn receive(&self, mut poll: Poll) {
        let mut events = Events::with_capacity(8);
        let mut again = None;
        while !self.over.load(Ordering::SeqCst) {
            match poll.poll(&mut events, again) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    log::error!(target: "corio::live", "the live view ends: {error}");
                    return;
                }
                _ => {}
            }
            if self.signalled.swap(false, Ordering::SeqCst) {
                let _ = io::stderr().write_all(self.answer(Question::Ps).as_bytes());
            }
            again = self.receive_guests();
        }
    }

    /// Those who stand at the door, until nobody does. Returns when to look again, if not only when somebody comes.
    fn receive_guests(&self) -> Option<Duration> {
        loop {
            let guest = lock(&self.door).as_ref().map(Door::next); // a statement: nobody talks under the lock
            match guest {
                None | Some(Ok(None)) => return None,
                Some(Ok(Some(guest))) => match catch_unwind(AssertUnwindSafe(|| self.talk(&guest))) {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => log::warn!(target: "corio::live", "an answer was not taken: {error}"),
                    Err(payload) => panicked(&*payload),
                },
                // Too many files are open, most likely: he stands there still, and nobody says so again.
                Some(Err(error)) => {
                    log::warn!(target: "corio::live", "somebody could not be let in: {error}");
                    return Some(A_WHILE);
                }
            }
        }
    }

    /// Reads a word, and writes the answer. Nobody can hold the others up for long.
    fn talk(&self, guest: &UnixStream) -> io::Result<()> {
        guest.set_nonblocking(true)?;
        let word = read_word(guest)?;
        if word.is_empty() {
            return Ok(()); // somebody who only looks whether it is there
        }
        let answer = word.parse().map_or_else(|error| format!("{error}\n"), |question| self.answer(question));
        let mut rest = answer.as_bytes();
        while !rest.is_empty() {
            match sys::write_without_signal(guest.as_raw_fd(), rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    sys::wait_ready(guest.as_raw_fd(), true, Some(Instant::now() + FOR_AN_ANSWER))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn answer(&self, question: Question) -> String {
        let dumps = self.dumps(matches!(question, Question::Stacks | Question::JsonStacks));
        let pid = std::process::id();
        if matches!(question, Question::Json | Question::JsonStacks) {
            let loops: Vec<String> = dumps.iter().map(Dump::json).collect();
            return format!("{{\"format_version\":1,\"pid\":{pid},\"loops\":[{}]}}\n", loops.join(","));
        }
        let mut text = format!("process {pid}\n");
        for dump in &dumps {
            if dumps.len() > 1 {
                let _ = writeln!(text, "\n── loop {} ──", dump.id());
            }
            let _ = write!(text, "{dump}");
        }
        if question == Question::Stacks && cfg!(not(feature = "backtrace")) {
            text += "\nStacks are shown by programs that are built with corio's feature `backtrace`.\n";
        }
        text
    }

    /// Asks all loops at once; those that do not answer in time are shown as their records tell.
    fn dumps(&self, stacks: bool) -> Vec<Dump> {
        let all = lock(&self.shown).clone();
        let asked: Vec<_> = all.iter().map(|shown| shown.ask(stacks)).collect();
        let deadline = Instant::now() + PATIENCE;
        let answers = all.iter().zip(asked).filter_map(|(shown, answer)| {
            let left = deadline.saturating_duration_since(Instant::now());
            let has_begun = answer.recv_timeout(left).is_ok();
            let seen = if has_begun { answer.recv().ok().flatten() } else { None };
            seen.or_else(|| self.is_shown(shown).then(|| shown.blocked()))
        });
        answers.collect()
    }

    fn is_shown(&self, shown: &Shown) -> bool {
        lock(&self.shown).iter().any(|other| Arc::ptr_eq(&other.remote, &shown.remote))
    }
}

impl Shown {
    /// First `None`, when the loop begins to look, which may take a while if there are many tasks; then what it has seen.
    fn ask(&self, stacks: bool) -> mpsc::Receiver<Option<Dump>> {
        let (give, answer) = mpsc::channel();
        self.remote.visit(Box::new(move |lp| {
            // Whoever has asked may have given up meanwhile: then nobody looks.
            if give.send(None).is_ok() {
                let look = || if stacks { Dump::with_stacks(lp) } else { Dump::of(lp) };
                match catch_unwind(AssertUnwindSafe(look)) {
                    Ok(dump) => drop(give.send(Some(dump))),
                    Err(payload) => panicked(&*payload), // ours, and no reason to end the program
                }
            }
        }));
        answer
    }

    /// What is known of it without its help.
    fn blocked(&self) -> Dump {
        let now = self.start.map(|start| crate::clock::nanos(start.elapsed()));
        Dump::of_a_blocked_loop(self.remote.id, self.picture.as_ref(), now)
    }
}

/// A line, without its end.
fn read_word(guest: &UnixStream) -> io::Result<String> {
    const LONGEST: usize = 64;
    let deadline = Instant::now() + FOR_A_WORD;
    let mut word = Vec::new();
    while word.len() < LONGEST && !word.contains(&b'\n') {
        let mut buffer = [0; LONGEST];
        match (&mut { guest }).read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => word.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                sys::wait_ready(guest.as_raw_fd(), false, Some(deadline))?;
            }
            Err(error) => return Err(error),
        }
    }
    let line = word.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).trim().to_owned())
}

fn panicked(payload: &(dyn Any + Send)) {
    log::error!(target: "corio::live", "the live view panicked: {}", panic_text(payload));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
