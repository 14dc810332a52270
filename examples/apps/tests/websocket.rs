//! WebSockets by tungstenite over our streams.

mod support;

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;

use corio::net::{SocketAddr, TcpListener, TcpStream};
use corio::testing::Network;
use corio::{Barrier, gather, millis, scope, sleep};
use corio_apps::tls;
use corio_apps::websocket::{BEHIND, Room, Socket, accept, config, echo, io_error};
use rustls::ServerConfig;
use socket2::SockRef;
use support::*;
use tungstenite::handshake::HandshakeError;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

/// Calls, over a stream that is connected.
fn client<S: Read + Write>(stream: S) -> io::Result<WebSocket<S>> {
    match tungstenite::client::client_with_config("ws://localhost/", stream, Some(config())) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Failure(error)) => Err(io_error(error)),
        Err(HandshakeError::Interrupted(_)) => panic!("a stream that waits has said that it would block"),
    }
}

fn hear<S: Read + Write>(socket: &mut WebSocket<S>) -> io::Result<Message> {
    socket.read().map_err(io_error)
}

fn say<S: Read + Write>(socket: &mut WebSocket<S>, message: impl Into<Message>) -> io::Result<()> {
    socket.send(message.into()).map_err(io_error)
}

/// Closes, and waits for the answer.
fn leave<S: Read + Write>(mut socket: WebSocket<S>) -> io::Result<()> {
    socket.close(None).map_err(io_error)?;
    loop {
        match socket.read() {
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(io_error(error)),
        }
    }
}

// ---- the echo ------------------------------------------------------------------------------------------------------

fn echo_one(listener: &TcpListener) -> io::Result<()> {
    echo(accept(listener.accept()?.0)?)
}

fn call(address: SocketAddr) -> io::Result<()> {
    converse(TcpStream::connect(address)?, 50_000)
}

fn converse<S: Read + Write>(stream: S, long: usize) -> io::Result<()> {
    let mut socket = client(stream)?;
    say(&mut socket, Message::Ping("are you there".into()))?;
    let long = "long".repeat(long / 4);
    for message in ["hello", "", &long] {
        say(&mut socket, message)?;
        loop {
            match hear(&mut socket)? {
                Message::Text(text) => {
                    assert_eq!(text.as_str(), message);
                    break;
                }
                pong => assert_eq!(pong, Message::Pong("are you there".into())),
            }
        }
    }
    say(&mut socket, vec![0_u8, 255])?;
    assert_eq!(hear(&mut socket)?, Message::from(vec![0_u8, 255]));
    leave(socket)
}

#[test]
fn what_is_said_comes_back() {
    let _alone = alone();
    let listen_and_call = |address: &str| {
        let listener = TcpListener::bind(address)?;
        scope(|s| {
            let serving = s.spawn(|| echo_one(&listener));
            call(listener.local_addr()?)?;
            serving.join()
        })
    };
    run(|| listen_and_call("127.0.0.1:0"));
    // Not smaller: tungstenite takes a handshake in many tiny packets for an attack.
    for most in [1_000, 9] {
        simulated(&Network::new().short_reads(most).short_writes(most), || listen_and_call("127.0.0.1:1"));
    }
}

#[test]
fn whoever_falls_silent_anywhere_meets_a_limit_and_a_cancellation() {
    let _alone = alone();
    // A frame with a longer head.
    let long = 200;
    let ask = |listener: &TcpListener| converse(TcpStream::connect(listener.local_addr()?)?, long);
    let answer = |stream| echo(accept(stream)?);
    Conversation::new("tungstenite, client", Caller::We, ask, answer).with_silences_everywhere(1, 10);
    let ask = |stream| converse(stream, long);
    Conversation::new("tungstenite, echo", Caller::They, echo_one, ask).with_silences_everywhere(1, 10);
}

#[test]
fn an_echo_and_its_client_can_be_cancelled_anywhere() {
    let _alone = alone();
    cancelled_everywhere("tungstenite, echo", |part| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        scope(|s| {
            let calling = s.spawn(|| Ok(call(address).is_ok()));
            let served = part.run(|| echo_one(&listener)).is_some();
            drop(listener);
            assert!(calling.join()? || !served);
            Ok(())
        })
    });
    cancelled_everywhere("tungstenite, client", |part| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        scope(|s| {
            let serving = s.spawn(|| drop(echo_one(&listener)));
            if part.run(|| call(listener.local_addr()?)).is_none() {
                serving.cancel(); // nobody may have called
            }
            serving.join()
        })
    });
}

// ---- the room ------------------------------------------------------------------------------------------------------

/// Members by number: connects so many, and waits until the room has them all.
fn enter(room: &Room, address: SocketAddr, members: usize) -> io::Result<Vec<WebSocket<TcpStream>>> {
    let sockets = gather(0..members, |_| client(TcpStream::connect(address)?))?;
    wait_until(|| room.len() == members)?;
    Ok(sockets)
}

fn wait_until(condition: impl Fn() -> bool) -> io::Result<()> {
    while !condition() {
        sleep(millis(1))?;
    }
    Ok(())
}

/// A room on a port, for as long as `body` runs. How its members fare there is not asked.
fn with_room<T>(body: impl FnOnce(&Room, SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let room = Room::new();
    scope(|s| {
        s.spawn(|| {
            for stream in listener.incoming() {
                let stream = stream?;
                let room = &room;
                s.spawn(move || drop(accept(stream).and_then(|socket| room.join(socket))));
            }
            Ok(())
        });
        let result = body(&room, listener.local_addr()?);
        s.cancel();
        result
    })
}

#[test]
fn in_a_room_everybody_hears_everybody_in_the_same_order() {
    let _alone = alone();
    const MEMBERS: usize = 12;
    const ROUNDS: usize = 20;
    run(|| {
        with_room(|room, address| {
            let sockets = enter(room, address, MEMBERS)?;
            let start = Barrier::new(MEMBERS);
            let numbered = sockets.into_iter().enumerate().map(Cell::new_some);
            let heard = gather(numbered, |member| {
                let (number, mut socket) = member.take().expect("taken once");
                start.wait()?;
                let mut heard = Vec::new();
                for round in 0..ROUNDS {
                    say(&mut socket, format!("{number} says {round}"))?;
                    // As many as the others have said at least, if all go on; never more than can be waiting.
                    for _ in 0..MEMBERS {
                        heard.push(hear(&mut socket)?.into_text().unwrap().to_string());
                    }
                }
                leave(socket)?;
                Ok(heard)
            })?;
            for other in &heard {
                assert_eq!(*other, heard[0]);
            }
            for number in 0..MEMBERS {
                let of_one: Vec<_> = heard[0].iter().filter(|m| m.starts_with(&format!("{number} "))).collect();
                assert_eq!(of_one.len(), ROUNDS);
                assert!(of_one.iter().enumerate().all(|(n, m)| m.ends_with(&format!(" {n}"))));
            }
            wait_until(|| room.is_empty())
        })
    });
}

/// A value that is taken out once, by whoever has a shared reference.
trait Take<T> {
    fn new_some(value: T) -> Cell<Option<T>>;
}

impl<T> Take<T> for Cell<Option<T>> {
    fn new_some(value: T) -> Cell<Option<T>> {
        Cell::new(Some(value))
    }
}

#[test]
fn a_member_hears_in_the_middle_of_what_it_says_and_the_other_way_round() {
    let _alone = alone();
    run(|| {
        with_room(|room, address| {
            let mut sockets = enter(room, address, 2)?;
            let (mut quick, mut slow) = (sockets.remove(0), sockets.remove(0));
            // Half a frame: whoever reads to its end before it writes would be stuck. The mask is zero.
            let text = b"from the slow one";
            let head = [0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
            slow.get_mut().write_all(&[&head, &text[..4]].concat())?;
            for n in 0..10 {
                say(&mut quick, format!("{n}"))?;
                assert_eq!(hear(&mut slow)?, Message::from(format!("{n}")));
                assert_eq!(hear(&mut quick)?, Message::from(format!("{n}")));
            }
            slow.get_mut().write_all(&text[4..])?;
            assert_eq!(hear(&mut quick)?, Message::from("from the slow one"));
            assert_eq!(hear(&mut slow)?, Message::from("from the slow one"));
            leave(slow)?;
            leave(quick)
        })
    });
}

#[test]
fn who_does_not_read_is_sent_away_and_nobody_waits_for_it() {
    let _alone = alone();
    run(|| {
        with_room(|room, address| {
            let mut sockets = enter(room, address, 3)?;
            let (deaf, mut talker, mut listener) = (sockets.remove(0), sockets.remove(0), sockets.remove(0));
            // More than its stream, and then its outbox, can hold.
            let message = "x".repeat(100_000);
            let mut said = 0;
            while room.len() == 3 {
                say(&mut talker, message.as_str())?;
                said += 1;
                assert_eq!(hear(&mut talker)?.len(), message.len());
                assert_eq!(hear(&mut listener)?.len(), message.len());
                assert!(said < 100 + BEHIND, "the deaf one is still there after {said} messages");
            }
            assert!(said > BEHIND);
            say(&mut talker, "the room goes on")?;
            assert_eq!(hear(&mut listener)?, Message::from("the room goes on"));
            drop(deaf);
            leave(talker)?;
            leave(listener)
        })
    });
}

#[test]
fn who_talks_without_a_pause_is_still_told_what_others_say() {
    let _alone = alone();
    run(|| {
        with_room(|room, address| {
            let mut sockets = enter(room, address, 2)?;
            let (mut talker, mut other) = (sockets.remove(0), sockets.remove(0));
            let burst: Vec<Message> = (0..200).map(|n| format!("{n}").into()).collect();
            for message in &burst {
                talker.write(message.clone()).map_err(io_error)?;
            }
            talker.flush().map_err(io_error)?;
            for socket in [&mut other, &mut talker] {
                for message in &burst {
                    assert_eq!(hear(socket)?, *message);
                }
            }
            leave(talker)?;
            leave(other)
        })
    });
}

#[test]
fn a_room_works_over_tls_too() {
    let _alone = alone();
    let identity = Identity::new();
    let (server, trusted) = (identity.server(), identity.client());
    let member = |room: &Room, listener: &TcpListener, config: &Arc<ServerConfig>| {
        room.join(accept(tls::accept(config, listener.accept()?.0)?)?)
    };
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let room = Room::new();
        scope(|s| {
            s.spawn(|| member(&room, &listener, &server));
            s.spawn(|| member(&room, &listener, &server));
            let mut sockets =
                gather(0..2, |_| client(tls::connect(&trusted, "localhost", TcpStream::connect(address)?)?))?;
            wait_until(|| room.len() == 2)?;
            // Several messages in one record: what TLS has decrypted already wakes nobody.
            for n in 0..50 {
                sockets[0].write(format!("{n}").into()).map_err(io_error)?;
            }
            sockets[0].flush().map_err(io_error)?;
            for socket in &mut sockets {
                for n in 0..50 {
                    assert_eq!(hear(socket)?, Message::from(format!("{n}")));
                }
            }
            sockets.into_iter().try_for_each(leave)
        })
    });
}

#[test]
fn members_are_told_when_the_server_stops() {
    let _alone = alone();
    run(|| {
        let mut sockets = with_room(|room, address| enter(room, address, 2))?;
        for socket in &mut sockets {
            let frame = CloseFrame { code: CloseCode::Away, reason: "the server stops".into() };
            assert_eq!(hear(socket)?, Message::Close(Some(frame)));
        }
        Ok(())
    });
}

/// Hears itself for a while.
fn talk(address: SocketAddr) -> io::Result<()> {
    let mut socket = client(TcpStream::connect(address)?)?;
    for n in 0..20 {
        say(&mut socket, format!("{n}"))?;
        match hear(&mut socket)? {
            Message::Close(_) => return Err(io::ErrorKind::ConnectionAborted.into()),
            message => assert_eq!(message, Message::from(format!("{n}"))),
        }
    }
    leave(socket)
}

#[test]
fn a_member_can_be_cancelled_anywhere() {
    let _alone = alone();
    cancelled_everywhere("tungstenite, member of a room", |part| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let room = Room::new();
        scope(|s| {
            // It fails if the member goes away.
            let talking = s.spawn(|| Ok(talk(address).is_ok()));
            let done = part.run(|| room.join(accept(listener.accept()?.0)?)).is_some();
            drop(listener);
            assert!(room.is_empty());
            assert!(talking.join()? || !done);
            Ok(())
        })
    });
}

/// What one of two in a room says: one word after the other, and then long ones at once. These are more than its stream
/// holds, so that the room has to wait for it in both directions.
fn words() -> [Vec<String>; 2] {
    [0, LONG].map(|length| (0..5).map(|n| format!("{n}{}", "x".repeat(length))).collect())
}

/// How long a word is that fills a buffer of a stream.
const LONG: usize = 30_000;

/// Somebody says it who comes later.
const LAST_WORD: &str = "the last word";

/// The tasks of two members: each has one that called, and one in the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Speaker,
    Hearer,
    SpeakerInTheRoom,
    HearerInTheRoom,
}

/// Both ends of a connection on which little can be under way. They have greeted each other.
fn greeted(listener: &TcpListener) -> io::Result<(WebSocket<TcpStream>, WebSocket<TcpStream>)> {
    let call = || {
        let stream = TcpStream::connect(listener.local_addr()?)?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_recv_buffer_size(LONG)?;
        client(stream)
    };
    let answer = || {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_send_buffer_size(LONG)?;
        accept(stream)
    };
    gather!(call(), answer())
}

/// Hears a word that must be the next one.
fn hear_word(socket: &mut WebSocket<TcpStream>, heard: &RefCell<Vec<String>>) -> io::Result<()> {
    match hear(socket)? {
        Message::Text(text) => heard.borrow_mut().push(text.to_string()),
        end => return Err(io::Error::other(format!("instead of a word: {end:?}"))),
    }
    Ok(())
}

/// Cancels one of the four. Who is left goes on, and the room knows who that is.
fn two_in_a_room(part: &Part<'_>, cancelled: Who) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (room, inside) = (Room::new(), Cell::new(0));
    let (by_speaker, by_hearer) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    // Whether it came to a good end. If another one is cancelled it may not, and says so.
    let plays = |who, f: &dyn Fn(WebSocket<TcpStream>) -> io::Result<()>, socket| {
        Ok(if who == cancelled { part.run(|| f(socket)).is_some() } else { f(socket).is_ok() })
    };
    let takes_part = |socket| {
        inside.set(inside.get() + 1);
        let result = room.join(socket);
        inside.set(inside.get() - 1);
        // However it has ended, it is forgotten, and nobody else is.
        assert_eq!(room.len(), inside.get());
        result
    };
    let speaks = |mut socket| {
        let [short, long] = words();
        for word in short {
            say(&mut socket, word)?;
            hear_word(&mut socket, &by_speaker)?;
        }
        let count = long.len();
        long.into_iter().try_for_each(|word| say(&mut socket, word))?;
        (0..count).try_for_each(|_| hear_word(&mut socket, &by_speaker))?;
        leave(socket)
    };
    let hears = |mut socket| {
        while by_hearer.borrow().last().is_none_or(|word| word != LAST_WORD) {
            hear_word(&mut socket, &by_hearer)?;
        }
        leave(socket)
    };
    scope(|s| {
        let (hearer, hearers) = greeted(&listener)?;
        let (speaker, speakers) = greeted(&listener)?;
        // In this order they begin: both are in the room before one speaks.
        let hearer_in_the_room = s.spawn(|| plays(Who::HearerInTheRoom, &takes_part, hearers));
        let speaker_in_the_room = s.spawn(|| plays(Who::SpeakerInTheRoom, &takes_part, speakers));
        let hearing = s.spawn(|| plays(Who::Hearer, &hears, hearer));
        let speaking = s.spawn(|| plays(Who::Speaker, &speaks, speaker));
        let speaker_is_well = speaking.join()? & speaker_in_the_room.join()?;

        // Whoever comes now finds a room that works.
        let (mut late, lates) = greeted(&listener)?;
        let late_in_the_room = s.spawn(|| takes_part(lates));
        say(&mut late, LAST_WORD)?;
        assert_eq!(hear(&mut late)?, Message::from(LAST_WORD));
        leave(late)?;
        late_in_the_room.join()?;
        let hearer_is_well = hearing.join()? & hearer_in_the_room.join()?;
        assert!(room.is_empty());

        let words = words().concat();
        let (spoken, heard) = (by_speaker.take(), by_hearer.take());
        let heard = heard.strip_suffix(&[LAST_WORD.to_owned()]).unwrap_or(&heard);
        assert!(words.starts_with(&spoken) && words.starts_with(heard), "{} and {} words", spoken.len(), heard.len());
        match cancelled {
            Who::Hearer | Who::HearerInTheRoom => assert!(speaker_is_well && spoken == words),
            // What the one has heard of itself, the other has heard.
            Who::Speaker | Who::SpeakerInTheRoom => assert!(hearer_is_well && heard.len() >= spoken.len()),
        }
        assert!(!(speaker_is_well && hearer_is_well) || spoken.len() == heard.len());
        Ok(())
    })
}

#[test]
fn of_two_in_a_room_each_can_be_cancelled_anywhere_and_the_other_goes_on() {
    let _alone = alone();
    for who in [Who::Speaker, Who::Hearer, Who::SpeakerInTheRoom, Who::HearerInTheRoom] {
        cancelled_everywhere(&format!("tungstenite, two in a room, {who:?}"), |part| two_in_a_room(part, who));
    }
}

#[test]
fn a_member_that_falls_silent_anywhere_meets_a_limit_and_a_cancellation() {
    let _alone = alone();
    let room = Room::new();
    let takes_part = |listener: &TcpListener| {
        let (stream, _) = listener.accept()?;
        SockRef::from(&stream).set_send_buffer_size(LONG)?;
        let result = room.join(accept(stream)?);
        assert!(room.is_empty());
        result
    };
    // It speaks first and hears then, so that the room has more for it than its stream holds.
    let member = |stream| {
        let mut socket = client(stream)?;
        words().concat().iter().cycle().take(30).try_for_each(|word| say(&mut socket, word.as_str()))?;
        loop {
            hear(&mut socket)?;
        }
    };
    // In the greetings, between two words, in the middle of one.
    let silences = [0, 60, 300, 3 * LONG].map(Silence::Saying).into_iter().chain([0, 60, 300].map(Silence::Hearing));
    Conversation::new("tungstenite, member of a room", Caller::They, takes_part, member)
        .over_real_sockets()
        .with_silences(silences);
}

#[test]
fn how_much_stack_they_use() {
    let _alone = alone();
    run(|| {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0")?);
        let address = listener.local_addr()?;
        scope(|s| {
            s.spawn(|| on_a_stack_of(256, "tungstenite, echo", move || echo_one(&listener)));
            on_a_stack_of(260, "tungstenite, client", move || call(address))
        })
    });
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        scope(|s| {
            s.spawn(|| {
                on_a_stack_of(264, "tungstenite, room", move || Room::new().join(accept(listener.accept()?.0)?))
            });
            talk(address)
        })
    });
}

#[test]
fn a_stream_that_would_block_is_refused_at_the_handshake() {
    let _alone = alone();
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let _caller = TcpStream::connect(listener.local_addr()?)?;
        let (stream, _) = listener.accept()?;
        stream.socket().set_nonblocking(true)?;
        let error = accept(stream).unwrap_err();
        assert!(error.to_string().contains("non-blocking"), "{error}");
        Ok(())
    });
}

// ---- the program, and clients that are not ours --------------------------------------------------------------------

fn program(kind: &str) -> Served {
    Served::ours(Command::new(env!("CARGO_BIN_EXE_websocket")).args([kind, "127.0.0.1:0"]))
}

#[test]
fn python_is_answered() {
    let _alone = alone();
    if !is_there("python3", &["-c", "import websockets.asyncio.client"]) {
        return;
    }
    let (echo, room) = (program("echo"), program("room"));
    let script = format!(
        r#"
import asyncio
from websockets.asyncio.client import connect

async def main():
    async with connect("ws://127.0.0.1:{}") as ws:
        for message in ["hello", "", "x" * 200_000, b"\x00\xff"]:
            await ws.send(message)
            assert await ws.recv() == message
        await (await ws.ping())
    clients = [await connect("ws://127.0.0.1:{}") for _ in range(20)]
    async def member(number, ws):
        await ws.send(f"{{number}}")
        heard = {{await ws.recv() for _ in clients}}
        assert heard == {{f"{{n}}" for n in range(20)}}, heard
    await asyncio.gather(*(member(n, ws) for n, ws in enumerate(clients)))
    for ws in clients:
        await ws.close()
        assert ws.close_code == 1000

asyncio.run(asyncio.wait_for(main(), 60))
"#,
        echo.port, room.port
    );
    output(&mut python(&script));
}

#[test]
fn node_is_answered() {
    let _alone = alone();
    if !is_there("node", &["-e", "require('ws')"]) {
        return;
    }
    let echo = program("echo");
    let script = format!(
        r#"
const WebSocket = require('ws');
const ws = new WebSocket('ws://127.0.0.1:{}');
const messages = ['hello', '', 'x'.repeat(200000)];
let next = 0;
ws.on('open', () => messages.forEach((message) => ws.send(message)));
ws.on('message', (data) => {{
    if (data.toString() !== messages[next++]) process.exit(1);
    if (next === messages.length) ws.close(1000);
}});
ws.on('error', () => process.exit(2));
ws.on('close', (code) => process.exit(code === 1000 && next === messages.length ? 0 : 3));
setTimeout(() => process.exit(4), 60000);
"#,
        echo.port
    );
    output(Command::new("node").arg("-e").arg(script));
}
