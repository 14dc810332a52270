//! Datagrams on a network in memory.
//!
//! Those of UDP travel: each takes a latency of its own, so that they may overtake each other, and may be lost or come twice.
//! Whoever has the address when one arrives gets it, if there is room. Those of Unix sockets have no way to go: they are
//! there at once, in order, and whoever finds no room for one waits.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};

use socket2::SockAddr;

use super::Id;
use super::state::{Arrival, ENDED, READABLE, State, Tokens, WRITABLE, fault, is_at, unnamed};
use crate::reactor::News;

/// The longest datagram of UDP: 65,535 bytes less the headers of IPv4 and UDP.
const LONGEST: usize = 65_507;

/// A socket of datagrams.
pub(super) struct Mailbox {
    local: SockAddr,
    /// The address that it is connected to.
    peer: Option<SockAddr>,
    /// The socket that it is connected to, of a Unix socket. It may be gone.
    other: Option<Id>,
    inbox: VecDeque<(SockAddr, Vec<u8>)>,
    /// What went wrong, until somebody is told.
    error: Option<i32>,
    reads_no_more: bool,
    writes_no_more: bool,
    /// The mailbox in which there was no room.
    wants_room_of: Option<Id>,
    pub(super) handles: usize,
    pub(super) tokens: Tokens,
}

impl Mailbox {
    /// What a new registration is told.
    pub(super) fn standing(&self) -> News {
        News {
            readable: !self.inbox.is_empty() || self.error.is_some(),
            writable: self.wants_room_of.is_none(),
            read_closed: self.reads_no_more,
            ..News::default()
        }
    }

    fn used(&self) -> usize {
        self.inbox.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Whether it would take a datagram from there.
    fn hears(&self, sender: &SockAddr) -> bool {
        self.peer.as_ref().is_none_or(|peer| peer == sender)
    }
}

impl State {
    pub(super) fn mailbox(&mut self, id: Id) -> io::Result<&mut Mailbox> {
        self.mailboxes.get_mut(&id).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    pub(super) fn mailbox_at(&self, address: &SockAddr) -> Option<Id> {
        self.mailboxes.iter().find(|(_, mailbox)| is_at(&mailbox.local, address)).map(|(id, _)| *id)
    }

    /// A mailbox with that address; with none for [`unnamed`].
    pub(super) fn bind_mailbox(&mut self, address: SockAddr) -> io::Result<Id> {
        let local = self.with_port(address);
        if self.mailbox_at(&local).is_some() || local.is_unix() && self.listener_at(&local).is_some() {
            return fault(libc::EADDRINUSE);
        }
        let id = self.next_id();
        let mailbox = Mailbox {
            local,
            peer: None,
            other: None,
            inbox: VecDeque::new(),
            error: None,
            reads_no_more: false,
            writes_no_more: false,
            wants_room_of: None,
            handles: 1,
            tokens: Tokens::new(),
        };
        self.mailboxes.insert(id, mailbox);
        Ok(id)
    }

    pub(super) fn pair_of_mailboxes(&mut self) -> io::Result<(Id, Id)> {
        let (one, other) = (self.bind_mailbox(unnamed())?, self.bind_mailbox(unnamed())?);
        for (from, to) in [(one, other), (other, one)] {
            let mailbox = self.mailbox(from)?;
            (mailbox.peer, mailbox.other) = (Some(unnamed()), Some(to));
        }
        Ok((one, other))
    }

    pub(super) fn connect_mailbox(&mut self, id: Id, to: SockAddr) -> io::Result<()> {
        let other = if to.is_unix() { Some(self.find(&to)?) } else { None };
        let mailbox = self.mailbox(id)?;
        if mailbox.local.family() != to.family() {
            return fault(libc::EAFNOSUPPORT);
        }
        // The kernel chooses an address to send from; here there is one machine.
        if let Some(local) = mailbox.local.as_socket().filter(|local| local.ip().is_unspecified()) {
            mailbox.local = SocketAddr::new(loopback(local.ip()), local.port()).into();
        }
        (mailbox.peer, mailbox.other) = (Some(to), other);
        mailbox.wants_room_of = None;
        self.announce(id, WRITABLE);
        Ok(())
    }

    /// The mailbox at a path.
    fn find(&mut self, path: &SockAddr) -> io::Result<Id> {
        match self.mailbox_at(path) {
            _ if path.is_unnamed() => fault(libc::EINVAL),
            Some(id) => Ok(id),
            None => fault(if self.listener_at(path).is_some() { libc::EPROTOTYPE } else { libc::ENOENT }),
        }
    }

    pub(super) fn send_datagram(&mut self, id: Id, bytes: &[u8], to: Option<SockAddr>) -> io::Result<usize> {
        let mailbox = self.mailbox(id)?;
        if let Some(errno) = mailbox.error.take() {
            return fault(errno);
        }
        if mailbox.writes_no_more {
            return fault(libc::EPIPE);
        }
        let (sender, is_unix) = (mailbox.local.clone(), mailbox.local.is_unix());
        let connected = mailbox.peer.clone();
        let Some(address) = to.clone().or_else(|| connected.clone()) else {
            return fault(if is_unix { libc::ENOTCONN } else { libc::EDESTADDRREQ });
        };
        if sender.family() != address.family() {
            return fault(libc::EAFNOSUPPORT);
        }
        if is_unix {
            let other = match (to, mailbox.other) {
                (None, Some(other)) => other,
                _ => self.find(&address)?,
            };
            return self.hand_over(id, other, sender, bytes);
        }
        if bytes.len() > LONGEST {
            return fault(libc::EMSGSIZE);
        }
        let from = (connected.as_ref() == Some(&address)).then_some(id);
        let sender = match sender.as_socket().filter(|local| local.ip().is_unspecified()) {
            Some(local) => SocketAddr::new(loopback(local.ip()), local.port()).into(),
            None => sender,
        };
        let copies = match self.lost {
            lost if lost > 0 && self.random.one_in(lost) => 0,
            _ => 1 + usize::from(self.repeated > 0 && self.random.one_in(self.repeated)),
        };
        for _ in 0..copies {
            let latency = self.some_latency();
            let (sender, to) = (sender.clone(), address.clone());
            self.schedule(latency, Arrival::Datagram { from, sender, to, bytes: bytes.to_vec() });
        }
        Ok(bytes.len())
    }

    /// A datagram of UDP arrives. Without room for it, it is lost.
    pub(super) fn post(&mut self, from: Option<Id>, sender: SockAddr, to: SockAddr, bytes: Vec<u8>) {
        let capacity = self.capacity;
        let is_for = |mailbox: &Mailbox| is_at(&mailbox.local, &to) && mailbox.hears(&sender);
        let Some((id, mailbox)) = self.mailboxes.iter_mut().find(|(_, mailbox)| is_for(mailbox)) else {
            if let Some(from) = from {
                let latency = self.some_latency();
                self.schedule(latency, Arrival::Unreachable { to: from, address: to });
            }
            return;
        };
        if mailbox.used() + bytes.len() <= capacity {
            let id = *id;
            mailbox.inbox.push_back((sender, bytes));
            self.announce(id, READABLE);
        }
    }

    /// As a kernel does: whoever is connected to an address hears that nobody has it.
    pub(super) fn unreachable(&mut self, id: Id, address: &SockAddr) {
        if let Some(mailbox) = self.mailboxes.get_mut(&id).filter(|mailbox| mailbox.peer.as_ref() == Some(address)) {
            mailbox.error = Some(libc::ECONNREFUSED);
            self.announce(id, News { writable: true, ..READABLE });
        }
    }

    /// A datagram of a Unix socket is there at once, or there is no room for it.
    fn hand_over(&mut self, from: Id, to: Id, sender: SockAddr, bytes: &[u8]) -> io::Result<usize> {
        let capacity = self.capacity;
        let Some(mailbox) = self.mailboxes.get_mut(&to) else { return fault(libc::ECONNREFUSED) };
        if mailbox.reads_no_more {
            return fault(libc::EPIPE);
        }
        if bytes.len() > capacity {
            return fault(libc::EMSGSIZE);
        }
        // Whoever is connected elsewhere takes nothing from strangers.
        if mailbox.other.is_some_and(|other| other != from) {
            return fault(libc::EPERM);
        }
        // An empty one takes room as well: else there could be any number of them.
        if mailbox.used() + mailbox.inbox.len() + bytes.len() >= capacity && !mailbox.inbox.is_empty() {
            self.mailbox(from)?.wants_room_of = Some(to);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        mailbox.inbox.push_back((sender, bytes.to_vec()));
        self.announce(to, READABLE);
        Ok(bytes.len())
    }

    /// The next datagram, as much of it as there is room for: how much that is, from whom, and whether there was more.
    pub(super) fn receive(&mut self, id: Id, buffer: &mut [u8], peek: bool) -> io::Result<(usize, SockAddr, bool)> {
        let mailbox = self.mailbox(id)?;
        if let Some(errno) = mailbox.error.take() {
            return fault(errno);
        }
        let Some((sender, bytes)) = mailbox.inbox.front() else {
            return if mailbox.reads_no_more {
                Ok((0, unnamed(), false))
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            };
        };
        let n = buffer.len().min(bytes.len());
        buffer[..n].copy_from_slice(&bytes[..n]);
        let received = (n, sender.clone(), n < bytes.len());
        if !peek {
            mailbox.inbox.pop_front();
            self.make_room_in(id);
        }
        Ok(received)
    }

    /// There is room in this mailbox, or it is gone: whoever waits for that looks.
    fn make_room_in(&mut self, id: Id) {
        let waiting =
            |(from, mailbox): (&Id, &mut Mailbox)| mailbox.wants_room_of.take_if(|wanted| *wanted == id).map(|_| *from);
        let waiting: Vec<Id> = self.mailboxes.iter_mut().filter_map(waiting).collect();
        waiting.into_iter().for_each(|from| self.announce(from, WRITABLE));
    }

    pub(super) fn shut_mailbox(&mut self, id: Id, how: Shutdown) -> io::Result<()> {
        let mailbox = self.mailbox(id)?;
        if how != Shutdown::Write {
            mailbox.reads_no_more = true;
            self.announce(id, ENDED);
            self.make_room_in(id);
        }
        if how != Shutdown::Read {
            self.mailbox(id)?.writes_no_more = true;
            self.announce(id, WRITABLE);
        }
        Ok(())
    }

    pub(super) fn close_mailbox(&mut self, id: Id) {
        self.mailboxes.remove(&id);
        self.options.remove(&id);
        self.make_room_in(id);
    }

    pub(super) fn mailbox_addresses(&self, id: Id) -> Option<(SockAddr, Option<SockAddr>)> {
        self.mailboxes.get(&id).map(|mailbox| (mailbox.local.clone(), mailbox.peer.clone()))
    }

    pub(super) fn mailbox_error(&mut self, id: Id) -> Option<i32> {
        self.mailboxes.get_mut(&id).and_then(|mailbox| mailbox.error.take())
    }
}

/// The address of this machine, in the family of another.
pub(super) fn loopback(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}
