//! WebSockets by tungstenite, which is generic over the stream.
//!
//! An [`echo`] needs nothing else: it reads, and it writes, in turn. A [`Room`] has to do both at once, and a `WebSocket`
//! is one object: two tasks cannot share it, because the one that reads would keep it while it waits. So the stream is put
//! into non-blocking mode, and the one task waits by itself: until there is something to read, or something to send.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::rc::Rc;

use corio::net::TcpStream;
use corio::{Event, Queue, Which, is_cancelled, select, until_readable, until_writable, yield_now};
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

/// How many messages a member may be behind.
pub const BEHIND: usize = 256;

/// Small buffers: the default takes 128 KiB for each connection, and fills them with zeros before each read. And limits
/// that fit a chat.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(4 << 10)
        .max_message_size(Some(1 << 20))
        .max_frame_size(Some(1 << 20))
}

/// Answers a call. The stream waits: a handshake that would block is an error here.
pub fn accept<S: Read + Write>(stream: S) -> io::Result<WebSocket<S>> {
    tungstenite::accept_with_config(stream, Some(config())).map_err(|error| match error {
        HandshakeError::Failure(error) => io_error(error),
        HandshakeError::Interrupted(_) => io::Error::other("the stream is in non-blocking mode"),
    })
}

/// The `io::Error` in an error of tungstenite; another one is wrapped.
pub fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// Sends back what comes, until the other end closes.
pub fn echo<S: Read + Write>(mut socket: WebSocket<S>) -> io::Result<()> {
    loop {
        let result = socket.read().and_then(|message| match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message),
            // Pings are answered, and a close is, by the next read.
            _ => Ok(()),
        });
        match result {
            Ok(()) => {}
            Err(Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(io_error(error)),
        }
    }
}

/// What a [`Room`] needs of a stream: the socket at the bottom of it, to wait on, and an end.
pub trait Socket: Read + Write {
    /// The socket.
    fn socket(&self) -> &TcpStream;

    /// Nothing more will be written: what there is to say about that besides closing.
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Socket for crate::tls::ServerStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }

    fn end(&mut self) -> io::Result<()> {
        crate::tls::end(self)
    }
}

/// Where what one says is sent to all.
#[derive(Default)]
pub struct Room {
    members: RefCell<BTreeMap<u64, Rc<Member>>>,
    next: Cell<u64>,
}

struct Member {
    outbox: Queue<Message>,
    /// The outbox was full: it does not read, or not fast enough.
    is_slow: Event,
}

/// A member is gone when this is.
struct Membership<'a> {
    room: &'a Room,
    id: u64,
    member: Rc<Member>,
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        self.room.members.borrow_mut().remove(&self.id);
    }
}

impl Room {
    /// An empty one.
    pub fn new() -> Room {
        Room::default()
    }

    /// How many are there.
    pub fn len(&self) -> usize {
        self.members.borrow().len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes part until the other end closes, is too slow, or this task is cancelled.
    pub fn join<S: Socket>(&self, mut socket: WebSocket<S>) -> io::Result<()> {
        socket.get_ref().socket().set_nonblocking(true)?;
        let membership = self.enter();
        let result = match self.talk(&mut socket, &membership.member) {
            Err(Error::ConnectionClosed) => Ok(()),
            result => result.map_err(io_error),
        };
        // Goodbyes that wait for nobody.
        if matches!(&result, Err(error) if is_cancelled(error)) {
            let frame = CloseFrame { code: CloseCode::Away, reason: "the server stops".into() };
            let _ = socket.close(Some(frame));
        }
        let _ = socket.get_mut().end();
        result
    }

    fn enter(&self) -> Membership<'_> {
        let id = self.next.replace(self.next.get() + 1);
        let member = Rc::new(Member { outbox: Queue::bounded(BEHIND), is_slow: Event::new() });
        self.members.borrow_mut().insert(id, member.clone());
        Membership { room: self, id, member }
    }

    fn say(&self, message: &Message) {
        for member in self.members.borrow().values() {
            if member.outbox.try_put(message.clone()).is_err() {
                member.is_slow.set();
            }
        }
    }

    // ANCHOR: duplex
    /// Both directions of one connection. It ends with an error, be it that the other end has closed it.
    fn talk<S: Socket>(&self, socket: &mut WebSocket<S>, me: &Member) -> Result<(), Error> {
        loop {
            let heard_all = self.hear(socket)?;
            // Nothing is taken out of the outbox before the last message is gone: what stays there shows who is slow.
            let sent_all = unless_it_blocks(socket.flush())?.is_some();
            let stream = socket.get_ref().socket();
            let message = match (heard_all, sent_all) {
                (false, _) => {
                    yield_now()?;
                    if sent_all { me.outbox.try_get().ok() } else { None }
                }
                (true, false) => match select((&me.is_slow, until_readable(stream), until_writable(stream)))? {
                    Which::A(()) => None,
                    Which::B(ready) | Which::C(ready) => ready.map(|()| None)?,
                },
                (true, true) => match select((&me.is_slow, &me.outbox, until_readable(stream)))? {
                    Which::A(()) => None,
                    Which::B(message) => Some(message?),
                    Which::C(ready) => ready.map(|()| None)?,
                },
            };
            if me.is_slow.is_set() {
                return Err(too_slow().into());
            }
            if let Some(message) = message {
                // If the stream does not take it, the buffer does.
                unless_it_blocks(socket.write(message))?;
            }
        }
    }

    /// What has come, and whether that was all. One who talks without a pause does not keep us from sending.
    fn hear<S: Socket>(&self, socket: &mut WebSocket<S>) -> Result<bool, Error> {
        for _ in 0..16 {
            match unless_it_blocks(socket.read())? {
                Some(message @ (Message::Text(_) | Message::Binary(_))) => self.say(&message),
                Some(_) => {}
                None => return Ok(true),
            }
        }
        Ok(false)
    }
    // ANCHOR_END: duplex
}

/// `None`: it would block.
fn unless_it_blocks<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{BEHIND} messages behind"))
}
