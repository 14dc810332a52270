//! The thread that shows a program, and the loops that it shows.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use log::Level;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use super::Question;
use super::door::{Door, Guest};
use super::errand::{Errands, dispose};
use crate::event_loop::EventLoop;
use crate::observe::dump::Dump;
use crate::observe::{Names, Observer, SharedPicture, event::Record};
use crate::remote::Remote;
use crate::signal::{OnSignal, Signal};
use crate::sys;
use crate::task::body::{Payload, panic_text};

/// How long a loop may take to begin to answer before it is said to be blocked: longer than nearly every step takes.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long somebody who has come may take to say what he wants, and to take a part of the answer.
const FOR_A_WORD: Duration = Duration::from_secs(1);
const FOR_AN_ANSWER: Duration = Duration::from_secs(2);
/// When to look again for somebody who could not be let in.
const A_WHILE: Duration = Duration::from_secs(1);

const DOOR: Token = Token(0);
const BELL: Token = Token(1);

/// Keeps the event stream on: for when the loop cannot speak for itself.
pub(crate) struct Follower;

impl Observer for Follower {
    fn record(&mut self, _: &Record, _: &Names) {}

    fn is_background(&self) -> bool {
        true
    }
}

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
    /// No loop is left, or the thread cannot go on. Under the lock of the door it says whether anybody will be let in.
    over: AtomicBool,
    /// How many forks there had been.
    born: u32,
}

/// A loop that is shown.
#[derive(Clone)]
struct Shown {
    remote: Arc<Remote>,
    /// Also to who asks at the door, and not only at a signal.
    at_the_door: bool,
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
    let guide = match begin_to_show(lp, at_the_door) {
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

/// A logger is the user's, and may begin a run on another thread, which is shown as well. So nothing that may log, in here or
/// in a library, is done with one of the locks held.
fn begin_to_show(lp: &EventLoop, at_the_door: bool) -> io::Result<Arc<Guide>> {
    let shown = Shown {
        remote: lp.remote.clone(),
        at_the_door,
        picture: lp.hub.picture(),
        start: (!lp.clock.is_virtual()).then(|| lp.clock.instant(0)),
    };
    // A fork has the parent's, and not its thread.
    let is_there = |guide: &Arc<Guide>| !guide.is_the_parents();
    let mut new = None;
    loop {
        let mut place = lock(&GUIDE);
        let guide = place.take_if(|guide| is_there(guide)).or_else(|| new.take());
        if let Some(guide) = guide {
            lock(&guide.shown).push(shown);
            *place = Some(guide.clone());
            drop(place);
            if let Some(second) = new {
                second.dismiss(); // another thread was quicker
            }
            return Ok(guide);
        }
        drop(place);
        new = Some(Guide::start()?);
    }
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
        if !shown.iter().any(|shown| shown.at_the_door) {
            drop(lock(&self.guide.door).take());
        }
        let is_over = shown.is_empty();
        drop(shown);
        if is_over {
            // If this one's thread has ended before its loops, another one may be there.
            place.take_if(|guide| Arc::ptr_eq(guide, &self.guide));
            drop(place);
            self.guide.dismiss();
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

    /// Opens the door, if it is not open, for a loop that is shown at it: until that one has ended it stays open.
    fn open_door(&self) -> io::Result<()> {
        let mut place = lock(&self.door);
        if place.is_some() {
            return Ok(());
        }
        if self.over.load(Ordering::SeqCst) {
            return Err(io::Error::other("its thread has ended"));
        }
        let door = Door::open()?;
        let (fd, path) = (door.fd(), door.path().display().to_string());
        *place = Some(door);
        drop(place); // the logger is the user's, and mio logs too
        if let Err(error) = self.registry.register(&mut SourceFd(&fd), DOOR, Interest::READABLE) {
            drop(lock(&self.door).take());
            return Err(error);
        }
        log::info!(target: "corio::live", "live view at {path}");
        Ok(())
    }

    /// There is nothing left to show.
    fn dismiss(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.ring();
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

    /// The thread cannot go on: who wants to be shown from now on needs another one.
    fn give_up(self: &Arc<Guide>) {
        let mut place = lock(&GUIDE);
        let mut door = lock(&self.door);
        self.over.store(true, Ordering::SeqCst);
        drop(door.take()); // before anybody else opens one at the same place
        place.take_if(|guide| Arc::ptr_eq(guide, self));
    }

    /// The thread's life.
    fn receive(self: &Arc<Guide>, mut poll: Poll) {
        let mut events = Events::with_capacity(8);
        let mut again = None;
        let mut errands = Errands::default();
        while !self.over.load(Ordering::SeqCst) {
            match poll.poll(&mut events, again) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    self.give_up();
                    return errands.say(Level::Error, format!("the live view ends: {error}"));
                }
                _ => {}
            }
            again = loop {
                match catch_unwind(AssertUnwindSafe(|| self.round(&mut errands))) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(again)) => break again,
                    Err(payload) => {
                        errands.say(Level::Error, said_by(&payload));
                        dispose(payload);
                        break Some(A_WHILE);
                    }
                }
            };
        }
    }

    /// A signal, if one has come, and the next who stands at the door: however many stand there, a signal waits for one of them at
    /// most. It breaks off when nobody does, with the time after which to look again, if not only when somebody comes.
    fn round(&self, errands: &mut Errands) -> ControlFlow<Option<Duration>> {
        if self.signalled.swap(false, Ordering::SeqCst) {
            errands.dump(|| self.answer(Question::Ps, |_| true));
        }
        let guest = lock(&self.door).as_ref().map(Door::next); // a statement: no talk, and no log, under the lock
        match guest {
            None | Some(Ok(None)) => return ControlFlow::Break(None),
            Some(Ok(Some(Guest::Other(user)))) => {
                errands.say(Level::Warn, format!("user {user} has asked, and was not answered"));
            }
            Some(Ok(Some(Guest::Own(guest)))) => {
                if let Err(error) = self.talk(&guest) {
                    errands.say(Level::Warn, format!("an answer was not taken: {error}"));
                }
            }
            // Too many files are open, most likely: he stands there still, and nobody says so again.
            Some(Err(error)) => {
                errands.say(Level::Warn, format!("somebody could not be let in: {error}"));
                return ControlFlow::Break(Some(A_WHILE));
            }
        }
        ControlFlow::Continue(())
    }

    /// Reads a word, and writes the answer. Nobody can hold the others up for long.
    fn talk(&self, guest: &UnixStream) -> io::Result<()> {
        guest.set_nonblocking(true)?;
        let word = read_word(guest)?;
        if word.is_empty() || has_hung_up(guest) {
            return Ok(()); // somebody who only looks whether it is there, or who has not waited for his turn
        }
        let look = |question| self.answer(question, |shown| shown.at_the_door);
        let answer = word.parse().map_or_else(|error| format!("{error}\n"), look);
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

    /// What the loops that are meant have to say.
    fn answer(&self, question: Question, is_meant: fn(&Shown) -> bool) -> String {
        let dumps = self.dumps(matches!(question, Question::Stacks | Question::JsonStacks), is_meant);
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

    /// Asks all of them at once; those that do not answer in time are shown as their records tell.
    fn dumps(&self, stacks: bool, is_meant: fn(&Shown) -> bool) -> Vec<Dump> {
        let all: Vec<Shown> = lock(&self.shown).iter().filter(|shown| is_meant(shown)).cloned().collect();
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
                    Err(payload) => {
                        // Ours, and no reason to end the program.
                        log::error!(target: "corio::live", "{}", said_by(&payload));
                        dispose(payload);
                    }
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

/// Whether nobody is there any more: not he who only writes no more, and waits for the answer.
fn has_hung_up(guest: &UnixStream) -> bool {
    let mut state = [libc::pollfd { fd: guest.as_raw_fd(), events: 0, revents: 0 }];
    let is_known = sys::poll(&mut state, Some(Duration::ZERO)).is_ok();
    // On other systems both may look the same.
    cfg!(any(target_os = "linux", target_os = "android")) && is_known && state[0].revents & libc::POLLHUP != 0
}

fn said_by(payload: &Payload) -> String {
    format!("the live view panicked: {}", panic_text(&**payload))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
