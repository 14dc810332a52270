//! The kernel's news, by way of mio: epoll or kqueue.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Waker};

use super::{News, Registrar, Request, Selector, Token};

/// How many pieces of news one poll takes; what is left comes with the next.
const BATCH: usize = 1_024;
/// How far ahead it tells what will come: far enough for a way through memory of three steps.
const AHEAD: usize = 4;
/// Longer than this nobody waits in one go. The loop polls again: no timer is early, and no conversion can overflow.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The token of the waker; no slot has it, because slots are numbered with 32 bits.
const WAKER: mio::Token = mio::Token(usize::MAX);

pub(super) struct MioSelector {
    poll: Poll,
    events: Events,
}

pub(super) struct MioRegistrar {
    registry: Registry,
    waker: Waker,
}

impl MioSelector {
    pub(super) fn new() -> io::Result<(MioSelector, MioRegistrar)> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = Waker::new(&registry, WAKER)?;
        Ok((MioSelector { poll, events: Events::with_capacity(BATCH) }, MioRegistrar { registry, waker }))
    }
}

impl Selector for MioSelector {
    fn select(&mut self, request: &Request<'_>, each: &mut dyn FnMut(Token, News)) -> io::Result<()> {
        self.poll.poll(&mut self.events, request.timeout.map(|timeout| timeout.min(LONGEST)))?;
        let mut ahead = self.events.iter().skip(AHEAD);
        for event in &self.events {
            if let Some(later) = ahead.next() {
                (request.soon)(Token::from_bits(later.token().0));
            }
            if event.token() == WAKER {
                continue;
            }
            let news = News {
                readable: event.is_readable(),
                writable: event.is_writable(),
                read_closed: event.is_read_closed(),
                write_closed: event.is_write_closed(),
                error: event.is_error(),
            };
            each(Token::from_bits(event.token().0), news);
        }
        Ok(())
    }
}

impl Registrar for MioRegistrar {
    fn register(&self, fd: RawFd, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut SourceFd(&fd), mio::Token(token.to_bits()), interest)
    }

    fn deregister(&self, fd: RawFd) -> io::Result<()> {
        self.registry.deregister(&mut SourceFd(&fd))
    }

    fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }
}
