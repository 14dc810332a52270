//! What is on a network in memory at one moment, and how it changes: connections. Datagrams are beside, in `datagrams`.
//!
//! Every byte that is written *arrives*: after the latency, in order, as an entry of [`State::under_way`]. Nothing here
//! knows loops or locks.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Duration;

use socket2::SockAddr;

use super::Id;
use super::datagrams::{Mailbox, loopback};
use super::script::PeerState;
use crate::random::Random;
use crate::reactor::{News, Token};
use crate::timer::Nanos;

/// How many bytes of one direction may be under way or unread, unless a test says otherwise.
const CAPACITY: usize = 64 * 1024;
/// The first port that is given out for 0.
const FIRST_PORT: u16 = 49_152;

pub(super) const READABLE: News =
    News { readable: true, writable: false, read_closed: false, write_closed: false, error: false };
pub(super) const WRITABLE: News = News { readable: false, writable: true, ..READABLE };
pub(super) const ENDED: News = News { read_closed: true, ..READABLE };
const FAILED: News = News { error: true, write_closed: true, ..ENDED };

pub(super) struct State {
    pub(super) latency: (Nanos, Nanos),
    pub(super) capacity: usize,
    pub(super) short_reads: Option<usize>,
    pub(super) short_writes: Option<usize>,
    /// Of how many datagrams of UDP one is lost, or comes twice; 0: none.
    pub(super) lost: u64,
    pub(super) repeated: u64,
    pub(super) hosts: BTreeMap<String, Vec<IpAddr>>,
    pub(super) random: Random,
    /// The latest loop time that it was told.
    pub(super) now: Nanos,
    last_id: Id,
    last_port: u16,
    last_arrival: u64,
    pub(super) sockets: BTreeMap<Id, Socket>,
    pub(super) listeners: BTreeMap<Id, Listener>,
    pub(super) mailboxes: BTreeMap<Id, Mailbox>,
    /// Second handles, and what they are handles of.
    pub(super) clones: BTreeMap<Id, Id>,
    /// Those that were ever asked for or set.
    pub(super) options: BTreeMap<Id, Options>,
    pub(super) peers: Vec<PeerState>,
    /// What has been sent and not yet arrived, by the time when it will, and the order in which it was sent.
    pub(super) under_way: BTreeMap<(Nanos, u64), Arrival>,
    pub(super) news: VecDeque<(Token, News)>,
    pub(super) woken: bool,
}

/// What a socket is told, remembers, and is asked for. Only a lingering of nothing changes what it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) nodelay: bool,
    pub(crate) ttl: u32,
    pub(crate) linger: Option<Duration>,
}

impl Default for Options {
    fn default() -> Options {
        Options { nodelay: false, ttl: 64, linger: None }
    }
}

/// How a listener has its address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Claim {
    /// Others that say so as well may have it too.
    pub(crate) shared: bool,
    /// That of all addresses of IPv6 leaves IPv4 alone.
    pub(crate) only_v6: bool,
}

/// Who is told of news: the registration of each handle that has one.
pub(super) type Tokens = BTreeMap<Id, Token>;

pub(super) struct Listener {
    pub(super) address: SockAddr,
    claim: Claim,
    pub(super) backlog: usize,
    pub(super) waiting: VecDeque<Id>,
    pub(super) tokens: Tokens,
    pub(super) handles: usize,
    /// The scripted peer that accepts by itself.
    pub(super) peer: Option<usize>,
}

pub(super) struct Socket {
    pub(super) local: SockAddr,
    pub(super) remote: SockAddr,
    /// The other end. It may be gone.
    pub(super) other: Option<Id>,
    pub(super) stage: Stage,
    pub(super) inbox: VecDeque<u8>,
    /// Bytes that will be in it.
    pub(super) coming: usize,
    /// Nothing arrives before what was sent before it.
    pub(super) not_before: Nanos,
    /// The end has arrived.
    pub(super) ended: bool,
    /// What went wrong, until somebody is told.
    pub(super) error: Option<i32>,
    pub(super) broken: bool,
    pub(super) reads_no_more: bool,
    pub(super) writes_no_more: bool,
    /// A write found less room than it wanted.
    pub(super) wants_room: bool,
    pub(super) handles: usize,
    pub(super) tokens: Tokens,
    /// The scripted peer whose socket it is.
    pub(super) peer: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    Open,
}

pub(super) enum Arrival {
    Call {
        from: Id,
        to: SocketAddr,
    },
    Accepted {
        to: Id,
    },
    Refused {
        to: Id,
    },
    Data {
        to: Id,
        bytes: Vec<u8>,
    },
    End {
        to: Id,
    },
    Reset {
        to: Id,
    },
    /// Of UDP. Whoever has the address when it arrives gets it.
    Datagram {
        /// Who is told that nobody has it: a socket that is connected to it.
        from: Option<Id>,
        sender: SockAddr,
        to: SockAddr,
        bytes: Vec<u8>,
    },
    /// Nobody has the address that it was sent to.
    Unreachable {
        to: Id,
        address: SockAddr,
    },
    /// The time of a script's next step has come.
    Step {
        peer: usize,
    },
}

pub(super) fn fault<T>(errno: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(errno))
}

/// The address of a socket of the machine itself that was given none.
pub(super) fn unnamed() -> SockAddr {
    SockAddr::unix("").expect("no path is too short")
}

/// Whether what is sent to an address reaches the socket that is bound there.
pub(super) fn is_at(bound: &SockAddr, to: &SockAddr) -> bool {
    match (bound.as_socket(), to.as_socket()) {
        (Some(bound), Some(to)) => {
            // All addresses of IPv6 are those of IPv4 as well.
            let covers = |all: &IpAddr, one: &IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
            let (at, to_ip) = (bound.ip(), to.ip());
            bound.port() == to.port() && (at == to_ip || covers(&at, &to_ip) || covers(&to_ip, &at))
        }
        (None, None) => bound == to && !to.is_unnamed(),
        _ => false,
    }
}

impl State {
    pub(super) fn new() -> State {
        State {
            latency: (0, 0),
            capacity: CAPACITY,
            short_reads: None,
            short_writes: None,
            lost: 0,
            repeated: 0,
            hosts: BTreeMap::new(),
            random: Random::new(0),
            now: 0,
            last_id: -1,
            last_port: FIRST_PORT - 1,
            last_arrival: 0,
            sockets: BTreeMap::new(),
            listeners: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            clones: BTreeMap::new(),
            options: BTreeMap::new(),
            peers: Vec::new(),
            under_way: BTreeMap::new(),
            news: VecDeque::new(),
            woken: false,
        }
    }

    /// What a handle is a handle of.
    pub(super) fn behind(&self, handle: Id) -> Id {
        self.clones.get(&handle).copied().unwrap_or(handle)
    }

    pub(super) fn socket(&mut self, id: Id) -> io::Result<&mut Socket> {
        self.sockets.get_mut(&id).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    pub(super) fn next_id(&mut self) -> Id {
        self.last_id -= 1;
        self.last_id
    }

    pub(super) fn next_port(&mut self) -> u16 {
        self.last_port = self.last_port.checked_add(1).unwrap_or(FIRST_PORT);
        self.last_port
    }

    /// The address with a port, if it is one of the internet families.
    pub(super) fn with_port(&mut self, address: SockAddr) -> SockAddr {
        match address.as_socket() {
            Some(inet) if inet.port() == 0 => SocketAddr::new(inet.ip(), self.next_port()).into(),
            _ => address,
        }
    }

    pub(super) fn bind(&mut self, address: SockAddr, backlog: usize, claim: Claim) -> io::Result<Id> {
        let address = self.with_port(address);
        let clashes = |other: &Listener| {
            let apart = (claim.only_v6 || other.claim.only_v6) && address.family() != other.address.family();
            is_at(&other.address, &address) && !apart && !(claim.shared && other.claim.shared)
        };
        // A path is one name, whatever kind of socket has it.
        if self.listeners.values().any(clashes) || address.is_unix() && self.mailbox_at(&address).is_some() {
            return fault(libc::EADDRINUSE);
        }
        let id = self.next_id();
        let backlog = backlog.max(1);
        let (waiting, tokens) = (VecDeque::new(), Tokens::new());
        self.listeners.insert(id, Listener { address, claim, backlog, waiting, tokens, handles: 1, peer: None });
        Ok(id)
    }

    /// Whoever listens there; of several who share the address, one at random.
    pub(super) fn listener_at(&mut self, to: &SockAddr) -> Option<Id> {
        let hears = |listener: &Listener| {
            is_at(&listener.address, to) && (!listener.claim.only_v6 || listener.address.family() == to.family())
        };
        let all: Vec<Id> = self.listeners.iter().filter(|(_, listener)| hears(listener)).map(|(id, _)| *id).collect();
        match all[..] {
            [] => None,
            [one] => Some(one),
            _ => Some(all[self.random.below(all.len() as u64) as usize]),
        }
    }

    pub(super) fn open(&mut self, local: SockAddr, remote: SockAddr, other: Option<Id>, stage: Stage) -> Id {
        let id = self.next_id();
        let socket = Socket {
            local,
            remote,
            other,
            stage,
            inbox: VecDeque::new(),
            coming: 0,
            not_before: 0,
            ended: false,
            error: None,
            broken: false,
            reads_no_more: false,
            writes_no_more: false,
            wants_room: false,
            handles: 1,
            tokens: Tokens::new(),
            peer: None,
        };
        self.sockets.insert(id, socket);
        id
    }

    /// From an address, or from one of this machine, which the network chooses.
    pub(super) fn connect(&mut self, from: Option<SocketAddr>, to: SocketAddr, peer: Option<usize>) -> Id {
        let from = from.unwrap_or_else(|| SocketAddr::new(loopback(to.ip()), 0));
        let from = self.with_port(from.into());
        let id = self.open(from, to.into(), None, Stage::Connecting);
        self.sockets.get_mut(&id).expect("opened just now").peer = peer;
        self.send(id, Arrival::Call { from: id, to });
        id
    }

    /// Connects on the machine itself, where there is no way to go: it is decided at once.
    pub(super) fn connect_unix(&mut self, to: SockAddr) -> io::Result<Id> {
        if to.is_unnamed() {
            return fault(libc::EINVAL);
        }
        let Some(listener) = self.listener_at(&to) else {
            return fault(if self.mailbox_at(&to).is_some() { libc::EPROTOTYPE } else { libc::ENOENT });
        };
        let listener = self.listeners.get_mut(&listener).expect("found just now");
        if listener.waiting.len() >= listener.backlog {
            return fault(libc::EAGAIN);
        }
        let (id, far) = self.pair(to);
        let listener = self.listeners.values_mut().find(|listener| listener.address == self.sockets[&far].local);
        let listener = listener.expect("found just now");
        listener.waiting.push_back(far);
        self.news.extend(listener.tokens.values().map(|token| (*token, READABLE)));
        Ok(id)
    }

    /// Two ends that are connected on the machine itself; the second has an address.
    pub(super) fn pair(&mut self, address: SockAddr) -> (Id, Id) {
        let one = self.open(unnamed(), address.clone(), None, Stage::Open);
        let other = self.open(address, unnamed(), Some(one), Stage::Open);
        self.sockets.get_mut(&one).expect("opened just now").other = Some(other);
        (one, other)
    }

    pub(super) fn read(&mut self, id: Id, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
        let most = self.short_reads.map(|most| 1 + self.random.below(most as u64) as usize);
        let socket = self.socket(id)?;
        if buffer.is_empty() {
            return Ok(0);
        }
        if socket.inbox.is_empty() {
            // After the end there is nothing else to be told.
            return match socket.error.take_if(|_| !socket.ended) {
                Some(errno) => fault(errno),
                None if socket.ended || socket.broken || socket.reads_no_more => Ok(0),
                None if socket.stage == Stage::Connecting => fault(libc::ENOTCONN),
                None => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let n = buffer.len().min(socket.inbox.len()).min(most.unwrap_or(usize::MAX));
        let (front, back) = socket.inbox.as_slices();
        let from_front = n.min(front.len());
        buffer[..from_front].copy_from_slice(&front[..from_front]);
        buffer[from_front..n].copy_from_slice(&back[..n - from_front]);
        if peek {
            return Ok(n);
        }
        socket.inbox.drain(..n);
        // Whoever reads less than asked for believes that there is no more.
        let is_short = n < buffer.len() && !socket.inbox.is_empty();
        let other = socket.other;
        if is_short {
            self.announce(id, READABLE);
        }
        if let Some(other) = other {
            self.make_room(other);
        }
        Ok(n)
    }

    /// The peer of this socket has read something.
    pub(super) fn make_room(&mut self, id: Id) {
        if let Some(socket) = self.sockets.get_mut(&id)
            && std::mem::take(&mut socket.wants_room)
        {
            let peer = socket.peer;
            self.announce(id, WRITABLE);
            self.go_on(peer);
        }
    }

    pub(super) fn write(&mut self, id: Id, bytes: &[u8]) -> io::Result<usize> {
        let most = self.short_writes.map(|most| 1 + self.random.below(most as u64) as usize);
        let capacity = self.capacity;
        let socket = self.socket(id)?;
        if let Some(errno) = socket.error.take() {
            return fault(errno);
        }
        if socket.broken || socket.writes_no_more {
            return fault(libc::EPIPE);
        }
        let Some(to) = socket.other.filter(|_| socket.stage == Stage::Open) else { return fault(libc::ENOTCONN) };
        // On the machine itself it is known at once that nobody reads any more.
        let is_near = socket.local.is_unix();
        if is_near && self.sockets.get(&to).is_none_or(|other| other.reads_no_more) {
            return fault(libc::EPIPE);
        }
        let used = self.sockets.get(&to).map_or(0, |other| other.inbox.len() + other.coming);
        let room = capacity.saturating_sub(used);
        let n = bytes.len().min(room).min(most.unwrap_or(usize::MAX));
        self.socket(id)?.wants_room = n == room;
        if n == 0 {
            return if bytes.is_empty() { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        if n < bytes.len() && n < room {
            // Whoever writes less than it wanted believes that there is no more room.
            self.announce(id, WRITABLE);
        }
        if let Some(other) = self.sockets.get_mut(&to) {
            other.coming += n;
        }
        self.send(to, Arrival::Data { to, bytes: bytes[..n].to_vec() });
        Ok(n)
    }

    pub(super) fn shutdown(&mut self, id: Id, how: Shutdown) -> io::Result<()> {
        let socket = self.socket(id)?;
        if socket.stage == Stage::Connecting || socket.broken {
            return fault(libc::ENOTCONN);
        }
        if how != Shutdown::Write {
            socket.reads_no_more = true;
        }
        let ends = how != Shutdown::Read && !std::mem::replace(&mut socket.writes_no_more, true);
        let (other, news) = match how {
            Shutdown::Read => (socket.other, ENDED),
            Shutdown::Write => (socket.other, WRITABLE),
            Shutdown::Both => (socket.other, News { write_closed: true, ..ENDED }),
        };
        self.announce(id, news);
        if let (true, Some(to)) = (ends, other) {
            self.send(to, Arrival::End { to });
        }
        Ok(())
    }

    pub(super) fn release(&mut self, handle: Id) {
        let id = self.clones.remove(&handle).unwrap_or(handle);
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.handles -= 1;
            if listener.handles == 0 {
                self.stop_listening(id);
            }
        } else if let Some(mailbox) = self.mailboxes.get_mut(&id) {
            mailbox.handles -= 1;
            if mailbox.handles == 0 {
                self.close_mailbox(id);
            }
        } else if let Some(socket) = self.sockets.get_mut(&id) {
            socket.handles -= 1;
            if socket.handles == 0 {
                // As a kernel does: the peer learns that bytes were not read.
                let unread = !socket.inbox.is_empty();
                let abrupt = self.options.get(&id).is_some_and(|options| options.linger == Some(Duration::ZERO));
                self.hang_up(id, unread || abrupt);
            }
        }
    }

    /// A listener goes; who was not yet accepted hears of it.
    pub(super) fn stop_listening(&mut self, handle: Id) {
        let id = self.behind(handle);
        let Some(listener) = self.listeners.remove(&id) else { return };
        self.options.remove(&id);
        // Other handles of it may be waited on.
        self.news.extend(listener.tokens.values().map(|token| (*token, READABLE)));
        for waiting in listener.waiting {
            self.hang_up(waiting, true);
        }
    }

    /// A socket goes; its peer hears of it.
    pub(super) fn hang_up(&mut self, id: Id, reset: bool) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        self.options.remove(&id);
        let Some(to) = socket.other.filter(|_| !socket.broken) else { return };
        if reset {
            self.send(to, Arrival::Reset { to });
        } else if !socket.writes_no_more {
            self.send(to, Arrival::End { to });
        }
    }

    // ---- travelling -------------------------------------------------------------------------------------------------

    pub(super) fn some_latency(&mut self) -> Nanos {
        let (least, most) = self.latency;
        if least < most { self.random.range(least..=most) } else { least }
    }

    /// Sends something on its way; `to` is the socket at which it arrives after all that was sent there before. On the machine
    /// itself it has no way to go.
    pub(super) fn send(&mut self, to: Id, arrival: Arrival) {
        let is_near = self.sockets.get(&to).is_some_and(|socket| socket.local.is_unix());
        let latency = if is_near { 0 } else { self.some_latency() };
        let mut due = self.now.saturating_add(latency);
        if let Some(socket) = self.sockets.get_mut(&to) {
            due = due.max(socket.not_before);
            socket.not_before = due;
        }
        self.enter(due, arrival);
    }

    /// Something that happens in a while, wherever it comes from.
    pub(super) fn schedule(&mut self, after: Nanos, arrival: Arrival) {
        self.enter(self.now.saturating_add(after), arrival);
    }

    pub(super) fn enter(&mut self, due: Nanos, arrival: Arrival) {
        self.last_arrival += 1;
        self.under_way.insert((due, self.last_arrival), arrival);
    }

    /// Lets arrive what is due.
    pub(super) fn advance(&mut self, now: Nanos) {
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((due, _), arrival) = entry.remove_entry();
            self.now = self.now.max(due);
            self.arrive(arrival);
        }
        self.now = self.now.max(now);
    }

    pub(super) fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Call { from, to } => self.call(from, to),
            Arrival::Accepted { to } => {
                if let Some(socket) = self.sockets.get_mut(&to) {
                    socket.stage = Stage::Open;
                    let peer = socket.peer;
                    self.announce(to, WRITABLE);
                    self.go_on(peer);
                }
            }
            Arrival::Refused { to } => {
                if let Some(socket) = self.sockets.get_mut(&to) {
                    (socket.error, socket.broken) = (Some(libc::ECONNREFUSED), true);
                    self.announce(to, FAILED);
                }
            }
            Arrival::Data { to, bytes } => self.deliver(to, bytes),
            Arrival::End { to } => {
                if let Some(socket) = self.sockets.get_mut(&to) {
                    socket.ended = true;
                    let peer = socket.peer;
                    self.announce(to, ENDED);
                    if let Some(peer) = peer {
                        self.peers[peer].ended = true;
                    }
                }
            }
            Arrival::Reset { to } => {
                if let Some(socket) = self.sockets.get_mut(&to).filter(|socket| !socket.broken) {
                    // Whoever has the end already hears of it when it writes.
                    let errno = if socket.ended { libc::EPIPE } else { libc::ECONNRESET };
                    (socket.error, socket.broken) = (Some(errno), true);
                    let peer = socket.peer;
                    self.announce(to, FAILED);
                    if let Some(peer) = peer {
                        self.peers[peer].reset = true;
                    }
                }
            }
            Arrival::Datagram { from, sender, to, bytes } => self.post(from, sender, to, bytes),
            Arrival::Unreachable { to, address } => self.unreachable(to, &address),
            Arrival::Step { peer } => self.step(peer),
        }
    }

    /// A call has reached the address that it was made to.
    pub(super) fn call(&mut self, from: Id, to: SocketAddr) {
        let to = SockAddr::from(to);
        let Some(remote) = self.sockets.get(&from).map(|caller| caller.local.clone()) else { return };
        let listener = self.listener_at(&to).and_then(|id| {
            let listener = self.listeners.get(&id)?;
            (listener.waiting.len() < listener.backlog).then_some(id)
        });
        let Some(found) = listener else { return self.send(from, Arrival::Refused { to: from }) };
        let id = self.open(to.clone(), remote, Some(from), Stage::Open);
        self.sockets.get_mut(&from).expect("looked at above").other = Some(id);
        self.send(from, Arrival::Accepted { to: from });
        let listener = self.listeners.get_mut(&found).expect("found above");
        match listener.peer.take() {
            None => {
                listener.waiting.push_back(id);
                self.news.extend(listener.tokens.values().map(|token| (*token, READABLE)));
            }
            // One that is scripted accepts one, and listens no more.
            Some(peer) => {
                self.listeners.remove(&found);
                self.sockets.get_mut(&id).expect("opened above").peer = Some(peer);
                self.peers[peer].socket = Some(id);
                self.schedule(0, Arrival::Step { peer });
            }
        }
    }

    pub(super) fn deliver(&mut self, to: Id, bytes: Vec<u8>) {
        let Some(socket) = self.sockets.get_mut(&to) else {
            // Nobody is there any more: whoever sent it is told.
            let from = self.sockets.iter().find(|(_, socket)| socket.other == Some(to)).map(|(id, _)| *id);
            return from.map_or((), |to| self.send(to, Arrival::Reset { to }));
        };
        socket.coming -= bytes.len();
        if socket.broken || socket.reads_no_more {
            return;
        }
        socket.inbox.extend(bytes);
        let peer = socket.peer;
        self.announce(to, READABLE);
        if let Some(peer) = peer {
            self.take_for(peer);
        }
    }

    /// A scripted peer reads what has come, unless it is deaf.
    pub(super) fn take_for(&mut self, peer: usize) {
        let now = self.now;
        let Some(id) = self.peers[peer].socket.filter(|_| !self.peers[peer].deaf) else { return };
        let Some(socket) = self.sockets.get_mut(&id).filter(|socket| !socket.inbox.is_empty()) else { return };
        let (bytes, other) = (socket.inbox.drain(..).collect(), socket.other);
        self.peers[peer].arrivals.push((now, bytes));
        if let Some(other) = other {
            self.make_room(other);
        }
        self.go_on(Some(peer));
    }

    pub(super) fn announce(&mut self, id: Id, news: News) {
        let tokens: Vec<Token> = self.tokens(id).into_iter().flat_map(|tokens| tokens.values().copied()).collect();
        self.news.extend(tokens.into_iter().map(|token| (token, news)));
    }

    pub(super) fn tokens(&mut self, id: Id) -> Option<&mut Tokens> {
        if let Some(socket) = self.sockets.get_mut(&id) {
            return Some(&mut socket.tokens);
        }
        match self.listeners.get_mut(&id) {
            Some(listener) => Some(&mut listener.tokens),
            None => self.mailboxes.get_mut(&id).map(|mailbox| &mut mailbox.tokens),
        }
    }

    /// What a new registration is told: how things stand.
    pub(super) fn standing(&self, id: Id) -> Option<News> {
        if let Some(listener) = self.listeners.get(&id) {
            return Some(News { readable: !listener.waiting.is_empty(), ..News::default() });
        }
        if let Some(mailbox) = self.mailboxes.get(&id) {
            return Some(mailbox.standing());
        }
        let socket = self.sockets.get(&id)?;
        if socket.broken || socket.error.is_some() {
            return Some(FAILED);
        }
        let used =
            socket.other.and_then(|id| self.sockets.get(&id)).map_or(0, |other| other.inbox.len() + other.coming);
        Some(News {
            readable: !socket.inbox.is_empty(),
            read_closed: socket.ended || socket.reads_no_more,
            writable: socket.stage == Stage::Open && used < self.capacity,
            ..News::default()
        })
    }
}
