//! The reactor: which sources of I/O have news, and who waits for it.
//!
//! Sources are registered once, for both directions, edge-triggered: the kernel says *that* something has changed, and
//! the reactor remembers it until an attempt finds nothing left. So the way of every operation is: try if the readiness
//! that is remembered allows it, clear the readiness when the kernel says "would block" or gave less than was asked for,
//! then wait. Between an attempt and the wait nothing can be lost, because news comes in only when the loop polls.
//!
//! One trap lies in "gave less than was asked for": a hang-up of the reading side comes as one edge together with the
//! last data. A source that has hung up therefore stays ready for ever.
//!
//! Where news comes from is behind one small trait, [`Selector`], which has three implementations; see [`Backend`].
//! Chapter: `docs/book/reactor.md`.

mod mio_selector;
mod poll_selector;
pub(crate) mod simulated;
pub(crate) mod source;
#[cfg(test)]
mod tests;
mod watch;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use crate::event_loop::EventLoop;
use crate::observe::event::{By, Direction, Event};
use crate::task::wait::WaitList;
use crate::timer::Nanos;
use mio_selector::MioSelector;
use poll_selector::PollSelector;
use simulated::SimulatedSelector;
pub use simulated::{Network, Peer, Script};
pub(crate) use watch::{Watched, is_ready};
use watch::{Watcher, Watchers};
pub use watch::{add_reader, add_writer, readable, remove_reader, remove_writer, writable};

/// The generation of what the loop keeps for itself.
const OWN: u32 = u32::MAX;

/// Names a registration: a slot, and which of its successive users. News for an earlier user is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Token {
    pub(crate) fn to_bits(self) -> usize {
        (self.generation as usize) << 32 | self.slot as usize
    }

    pub(crate) fn from_bits(bits: usize) -> Token {
        Token { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// What a source of news says about one registration. All of it are hints: an attempt decides.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct News {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) read_closed: bool,
    pub(crate) write_closed: bool,
    pub(crate) error: bool,
}

impl News {
    /// Whether it says anything.
    fn is_news(self) -> bool {
        self.readable || self.writable || self.read_closed || self.write_closed || self.error
    }
}

/// What the reactor does not know to be ready, and so wants to hear of.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// What the reactor asks of a [`Selector`]. Most need the time limit only.
pub(crate) struct Request<'a> {
    /// How long it may wait; `None`: until there is news.
    pub(crate) timeout: Option<Duration>,
    /// For one that tells states and not changes: what is wanted of a registration.
    pub(crate) wanted: &'a dyn Fn(Token) -> Wanted,
    /// For one that has several pieces of news at once: that one comes soon.
    pub(crate) soon: &'a dyn Fn(Token),
    /// For one that lives in the loop's time.
    pub(crate) now: &'a dyn Fn() -> Nanos,
}

/// Where news comes from; the half that waits.
pub(crate) trait Selector {
    /// Waits for news and hands each piece to `each`. An interruption is news of nothing.
    fn select(&mut self, request: &Request<'_>, each: &mut dyn FnMut(Token, News)) -> io::Result<()>;

    /// When it will have news, if it makes the news itself.
    fn next(&self) -> Option<Nanos> {
        None
    }

    /// The network that it is, if it is one in memory: then nothing comes from outside the program.
    fn network(&self) -> Option<&Network> {
        None
    }
}

/// Where news comes from; the half that any thread may use.
pub(crate) trait Registrar: Send + Sync {
    fn register(&self, fd: RawFd, token: Token) -> io::Result<()>;
    fn deregister(&self, fd: RawFd) -> io::Result<()>;
    /// Ends the `select` that is under way, or the next.
    fn wake(&self) -> io::Result<()>;
}

/// Which event loop of the system carries the run's sockets; for [`Runner::backend`](crate::Runner::backend).
///
/// Programs are the same on all of them. asyncio: the choice of an event loop, such as uvloop's.
///
/// ```
/// use corio::testing::Network;
/// use corio::{Backend, Runner, net::TcpListener};
///
/// for backend in [Backend::Mio, Backend::Poll, Backend::Simulated(Network::new())] {
///     Runner::new().backend(backend).run(|| TcpListener::bind("127.0.0.1:0").map(drop)).unwrap();
/// }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Backend {
    /// mio: epoll or kqueue. What is not said otherwise.
    #[default]
    Mio,
    /// `poll(2)`: the plainest, and slower with every descriptor.
    Poll,
    /// A network in memory.
    Simulated(Network),
}

impl Backend {
    /// What the environment asks for with `CORIO_BACKEND`: `mio` or `poll`.
    fn from_environment() -> io::Result<Backend> {
        match std::env::var("CORIO_BACKEND") {
            Err(_) => Ok(Backend::Mio),
            Ok(name) if name.is_empty() || name == "mio" => Ok(Backend::Mio),
            Ok(name) if name == "poll" => Ok(Backend::Poll),
            Ok(name) => Err(crate::error::misuse(format!("CORIO_BACKEND is `mio` or `poll`, and not {name:?}"))),
        }
    }
}

pub(crate) struct Reactor {
    selector: RefCell<Box<dyn Selector>>,
    registrar: Arc<dyn Registrar>,
    slots: RefCell<Slab<Rc<Slot>>>,
    last_generation: Cell<u32>,
    /// How many waits for readiness are under way, those of callbacks included.
    waiters: Cell<usize>,
    watchers: Watchers,
    /// The network in memory, if the sockets are there.
    network: Option<Network>,
    /// How many forks there had been.
    born: u32,
}

/// One registered source.
pub(crate) struct Slot {
    token: Token,
    /// As it was registered, for views: the source may have been closed since.
    fd: RawFd,
    readable: Cell<bool>,
    writable: Cell<bool>,
    /// The direction has ended: it never waits again.
    read_ended: Cell<bool>,
    write_ended: Cell<bool>,
    pub(crate) readers: WaitList,
    pub(crate) writers: WaitList,
    /// The callback that is watching, if the slot is one's.
    watcher: RefCell<Option<Rc<Watcher>>>,
}

impl Slot {
    /// Whether an attempt is worth it.
    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.readable.get(),
            Direction::Write => self.writable.get(),
        }
    }

    /// An attempt has found the end of what was ready. A direction that has ended stays ready.
    #[inline]
    // ANCHOR: clear
    pub(crate) fn clear(&self, direction: Direction) {
        match direction {
            Direction::Read => self.readable.set(self.read_ended.get()),
            Direction::Write => self.writable.set(self.write_ended.get()),
        }
    }
    // ANCHOR_END: clear

    /// An attempt would have blocked: nothing is ready, and what looked like the end was none.
    #[inline]
    pub(crate) fn refute(&self, direction: Direction) {
        let (ready, ended) = match direction {
            Direction::Read => (&self.readable, &self.read_ended),
            Direction::Write => (&self.writable, &self.write_ended),
        };
        ready.set(false);
        ended.set(false);
    }

    /// Says that an attempt is worth it, whatever the kernel says.
    pub(crate) fn nudge(&self, lp: &EventLoop, direction: Direction) {
        match direction {
            Direction::Read => self.readable.set(true),
            Direction::Write => self.writable.set(true),
        }
        self.waiters(direction).notify_all(lp, By::Io(self.id()));
    }

    /// What is not known to be ready, and what somebody waits for though it looked ready once: of states, as opposed to
    /// changes, that is all that has to be told.
    fn wanted(&self) -> Wanted {
        let watcher = self.watcher.borrow();
        let watched = |direction| watcher.as_ref().is_some_and(|watcher| watcher.wants(direction));
        Wanted {
            readable: !self.readable.get() || !self.readers.is_empty() || watched(Direction::Read),
            writable: !self.writable.get() || !self.writers.is_empty() || watched(Direction::Write),
        }
    }

    pub(crate) fn waiters(&self, direction: Direction) -> &WaitList {
        match direction {
            Direction::Read => &self.readers,
            Direction::Write => &self.writers,
        }
    }

    fn take(&self, lp: &EventLoop, news: News) {
        // A hang-up or an error concerns both directions, whatever else the kernel says. The end of reading does not
        // end writing.
        let over = news.error || news.write_closed;
        if over || news.read_closed {
            self.read_ended.set(true);
        }
        if over {
            self.write_ended.set(true);
        }
        let (readable, writable) = (news.readable || news.read_closed || over, news.writable || over);
        if self.token.generation != OWN {
            lp.emit(|| Event::IoReady { source: u64::from(self.token.generation), readable, writable });
        }
        if readable {
            self.readable.set(true);
            self.readers.notify_all(lp, By::Io(u64::from(self.token.generation)));
        }
        if writable {
            self.writable.set(true);
            self.writers.notify_all(lp, By::Io(u64::from(self.token.generation)));
        }
        if let Some(watcher) = &*self.watcher.borrow() {
            watcher.news(lp, readable, writable);
        }
    }

    /// The number by which events and dumps call it.
    pub(crate) fn id(&self) -> u64 {
        u64::from(self.token.generation)
    }
}

impl Reactor {
    /// On that backend, or on the one that the environment asks for.
    pub(crate) fn new(backend: Option<Backend>) -> io::Result<Reactor> {
        match backend.map_or_else(Backend::from_environment, Ok)? {
            Backend::Mio => {
                let (selector, registrar) = MioSelector::new()?;
                Ok(Reactor::with(Box::new(selector), Arc::new(registrar)))
            }
            Backend::Poll => {
                let (selector, registrar) = PollSelector::new()?;
                Ok(Reactor::with(Box::new(selector), Arc::new(registrar)))
            }
            Backend::Simulated(network) => {
                let (selector, registrar) = SimulatedSelector::new(network)?;
                Ok(Reactor::with(Box::new(selector), Arc::new(registrar)))
            }
        }
    }

    pub(crate) fn with(selector: Box<dyn Selector>, registrar: Arc<dyn Registrar>) -> Reactor {
        crate::sys::count_forks();
        Reactor {
            born: crate::sys::forks(),
            network: selector.network().cloned(),
            selector: RefCell::new(selector),
            registrar,
            slots: RefCell::default(),
            last_generation: Cell::new(0),
            waiters: Cell::new(0),
            watchers: Watchers::default(),
        }
    }

    pub(crate) fn registrar(&self) -> Arc<dyn Registrar> {
        self.registrar.clone()
    }

    /// Registers a source for both directions. Whatever is ready now is news of the next poll.
    pub(crate) fn register(&self, lp: &EventLoop, fd: RawFd) -> io::Result<Token> {
        let generation = match self.last_generation.get().wrapping_add(1) {
            0 | OWN => 1,
            generation => generation,
        };
        self.last_generation.set(generation);
        let token = self.enter(fd, generation)?;
        lp.emit(|| Event::IoArm { source: u64::from(generation) });
        Ok(token)
    }

    /// Registers what the loop keeps for itself: no view shows it, and no program waits for it.
    pub(crate) fn register_own(&self, fd: RawFd) -> io::Result<Token> {
        self.enter(fd, OWN)
    }

    fn enter(&self, fd: RawFd, generation: u32) -> io::Result<Token> {
        if self.is_the_parents() {
            return Err(crate::error::misuse("a fork cannot wait on the event loop of its parent"));
        }
        let mut slots = self.slots.borrow_mut();
        let entry = slots.vacant_entry();
        let slot = u32::try_from(entry.key()).expect("fewer than 2^32 sources");
        let token = Token { slot, generation };
        entry.insert(Rc::new(Slot {
            token,
            fd,
            readable: Cell::new(false),
            writable: Cell::new(false),
            read_ended: Cell::new(false),
            write_ended: Cell::new(false),
            readers: WaitList::new(),
            writers: WaitList::new(),
            watcher: RefCell::new(None),
        }));
        drop(slots);
        // Nothing is borrowed: mio may log this, and the logger is the user's.
        if let Err(error) = self.registrar.register(fd, token) {
            drop(self.slots.borrow_mut().remove(slot as usize));
            return Err(error);
        }
        Ok(token)
    }

    /// Looks at the registration that holds a slot now.
    #[inline]
    pub(crate) fn with_slot<R>(&self, slot: u32, f: impl FnOnce(&Rc<Slot>) -> R) -> Option<R> {
        self.slots.borrow().get(slot as usize).map(f)
    }

    /// The slot of a registration, if it is still valid.
    pub(crate) fn slot(&self, token: Token) -> Option<Rc<Slot>> {
        let slots = self.slots.borrow();
        slots.get(token.slot as usize).filter(|slot| slot.token == token).cloned()
    }

    /// The source was deregistered; late news for it finds nobody.
    pub(crate) fn free(&self, lp: &EventLoop, token: Token) {
        let mut slots = self.slots.borrow_mut();
        if slots.get(token.slot as usize).is_some_and(|slot| slot.token == token) {
            drop(slots.remove(token.slot as usize));
            if token.generation != OWN {
                lp.emit(|| Event::IoDrop { source: u64::from(token.generation) });
            }
        }
    }

    /// The numbers of the program's sources, and their descriptors; those of a network in memory are negative.
    pub(crate) fn descriptors(&self) -> BTreeMap<u64, RawFd> {
        let slots = self.slots.borrow();
        let all = slots.iter().map(|(_, slot)| (slot.token.generation, slot.fd));
        all.filter(|(generation, _)| *generation != OWN).map(|(id, fd)| (id.into(), fd)).collect()
    }

    pub(crate) fn waiters(&self) -> usize {
        self.waiters.get()
    }

    /// Whether tasks wait for what comes from outside the program.
    pub(crate) fn waits_for_the_world(&self) -> bool {
        self.waiters() > 0 && self.network.is_none()
    }

    /// Whether this process is a fork of the one whose reactor it is: the kernel's half is the parent's too, and what is asked
    /// of it here would change it there.
    pub(crate) fn is_the_parents(&self) -> bool {
        self.born != crate::sys::forks()
    }

    /// The network in memory, if the sockets are there.
    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// When there will be news of a network in memory.
    pub(crate) fn next_news(&self) -> Option<Nanos> {
        self.network.as_ref().and_then(|_| self.selector.borrow().next())
    }

    /// Counts a wait for as long as the guard lives.
    pub(crate) fn count_waiter(&self) -> impl Drop + '_ {
        struct Counted<'a>(&'a Cell<usize>);
        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        self.add_waiter();
        Counted(&self.waiters)
    }

    /// Counts a wait until [`remove_waiter`](Self::remove_waiter).
    pub(crate) fn add_waiter(&self) {
        self.waiters.set(self.waiters.get() + 1);
    }

    pub(crate) fn forget_waiters(&self) {
        self.waiters.set(0);
    }

    pub(crate) fn remove_waiter(&self) {
        self.waiters.set(self.waiters.get() - 1);
    }

    /// Waits for news and makes ready whom it concerns. Runs no user code. Returns how many pieces there were.
    pub(crate) fn poll(&self, timeout: Option<Duration>, lp: &EventLoop) -> u32 {
        if self.is_the_parents() {
            crate::fatal(format_args!(
                "this process was forked out of a running event loop, which belongs to its parent: after `fork` call `exec`, \
                 or `_exit`, or fork before `corio::run`"
            ));
        }
        let mut count = 0;
        let mut selector = self.selector.borrow_mut();
        let wanted = |token| self.slot(token).map_or(Wanted { readable: false, writable: false }, |slot| slot.wanted());
        let soon = |token: Token| {
            self.with_slot(token.slot, |slot| slot.readers.fetch_ahead());
        };
        let request = Request { timeout, wanted: &wanted, soon: &soon, now: &|| lp.clock.now() };
        let result = selector.select(&request, &mut |token, news| {
            count += 1;
            if let Some(slot) = self.slot(token) {
                slot.take(lp, news);
            }
        });
        match result {
            Ok(()) => {}
            // A signal came: the loop waits for what is left of the time.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => crate::fatal(format_args!("the kernel refuses to poll: {error}")),
        }
        count
    }
}
