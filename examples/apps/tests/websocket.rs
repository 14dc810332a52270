//! WebSockets by tungstenite over our streams.

mod support;

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;

use corio::net::{SocketAddr, TcpListener, TcpStream};
use corio::testing::{Network, Script};
use corio::{Barrier, gather, is_timed_out, millis, scope, secs, sleep, timeout};
use corio_apps::tls;
use corio_apps::websocket::{BEHIND, Room, Socket, accept, config, echo, io_error};
use rustls::ServerConfig;
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
    let mut socket = client(TcpStream::connect(address)?)?;
    say(&mut socket, Message::Ping("are you there".into()))?;
    let long = "long ".repeat(10_000);
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
fn whoever_does_not_answer_meets_a_time_limit() {
    let _alone = alone();
    let address: SocketAddr = "10.0.0.1:1".parse().unwrap();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // It says nothing, half a request, nothing after the request, half a frame.
    let begun = Script::new().send(&request[..60]);
    let greeted = Script::new().send(request);
    // What comes together with the request would be an error.
    let speaking = Script::new().send(request).wait(secs(1)).send([0x81]);
    for script in [Script::new(), begun, greeted, speaking] {
        let network = Network::new();
        network.client(address, script);
        simulated(&network, || {
            let listener = TcpListener::bind(address)?;
            let error = timeout(secs(9), || echo_one(&listener)).unwrap_err();
            assert!(is_timed_out(&error), "{error}");
            Ok(())
        });
    }
    let network = Network::new();
    network.server(address, Script::new()).unwrap();
    simulated(&network, || {
        let error = timeout(secs(9), || call(address)).unwrap_err();
        assert!(is_timed_out(&error), "{error}");
        Ok(())
    });
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

#[track_caller]
fn succeeds(command: &mut Command, script: &str) {
    let output = command.arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
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
    succeeds(Command::new("python3").arg("-c"), &script);
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
    succeeds(Command::new("node").arg("-e"), &script);
}
