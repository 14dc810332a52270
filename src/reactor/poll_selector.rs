//! The kernel's news by `poll(2)`: slower with every descriptor, and to be had everywhere.
//!
//! It tells states and not changes, so each call names what the reactor does not know to be ready: a direction that it
//! remembers as ready is left out until an attempt has refuted it. Seen from the reactor the news then comes as edges.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::unix::pipe;

use super::{News, Registrar, Request, Selector, Token};

/// What both halves share: the descriptors, and the bell that ends a call.
struct Sources {
    tokens: Mutex<BTreeMap<RawFd, Token>>,
    bell: pipe::Sender,
}

impl Sources {
    fn tokens(&self) -> MutexGuard<'_, BTreeMap<RawFd, Token>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct PollSelector {
    sources: Arc<Sources>,
    listen: pipe::Receiver,
    /// Kept from one call to the next for their memory.
    asked: Vec<libc::pollfd>,
    tokens: Vec<Token>,
}

pub(super) struct PollRegistrar(Arc<Sources>);

impl PollSelector {
    pub(super) fn new() -> io::Result<(PollSelector, PollRegistrar)> {
        let (bell, listen) = pipe::new()?;
        let sources = Arc::new(Sources { tokens: Mutex::default(), bell });
        let selector = PollSelector { sources: sources.clone(), listen, asked: Vec::new(), tokens: Vec::new() };
        Ok((selector, PollRegistrar(sources)))
    }
}

impl Selector for PollSelector {
    fn select(&mut self, request: &Request<'_>, each: &mut dyn FnMut(Token, News)) -> io::Result<()> {
        let listen = self.listen.as_raw_fd();
        self.asked.clear();
        self.tokens.clear();
        self.asked.push(libc::pollfd { fd: listen, events: libc::POLLIN, revents: 0 });
        for (fd, token) in self.sources.tokens().iter() {
            let wanted = (request.wanted)(*token);
            let mut events = 0;
            if wanted.readable {
                events |= libc::POLLIN | READ_HUNG_UP;
            }
            if wanted.writable {
                events |= libc::POLLOUT;
            }
            if events != 0 {
                self.asked.push(libc::pollfd { fd: *fd, events, revents: 0 });
                self.tokens.push(*token);
            }
        }
        crate::sys::poll(&mut self.asked, request.timeout)?;
        if self.asked[0].revents != 0 {
            while self.listen.read(&mut [0; 64]).is_ok_and(|n| n > 0) {}
        }
        for (asked, token) in self.asked[1..].iter().zip(&self.tokens) {
            let has = |events| asked.revents & events != 0;
            if asked.revents != 0 {
                let news = News {
                    readable: has(libc::POLLIN),
                    writable: has(libc::POLLOUT),
                    read_closed: has(libc::POLLHUP | READ_HUNG_UP),
                    write_closed: has(libc::POLLHUP),
                    // One that is not open: the attempt will say so.
                    error: has(libc::POLLERR | libc::POLLNVAL),
                };
                each(*token, news);
            }
        }
        Ok(())
    }
}

/// The peer writes no more. Elsewhere that is part of "readable".
#[cfg(any(target_os = "linux", target_os = "android"))]
const READ_HUNG_UP: libc::c_short = libc::POLLRDHUP;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const READ_HUNG_UP: libc::c_short = 0;

impl Registrar for PollRegistrar {
    fn register(&self, fd: RawFd, token: Token) -> io::Result<()> {
        // As epoll does: a regular file is always ready, and waiting for it a mistake.
        if crate::sys::is_regular_file(fd)? {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        self.0.tokens().insert(fd, token);
        Ok(())
    }

    fn deregister(&self, fd: RawFd) -> io::Result<()> {
        self.0.tokens().remove(&fd);
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        match (&self.0.bell).write(b"!") {
            // Full: it will wake.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result.map(drop),
        }
    }
}
