//! WebSockets over TLS by async-tungstenite and futures-rustls, over the streams of `corio::aio`.

mod support;

use std::any::Any;
use std::io;
use std::process::Command;
use std::sync::Arc;

use async_tungstenite::WebSocketStream;
use corio::aio::net::{TcpListener, TcpStream};
use corio::net::{self, SocketAddr};
use corio::testing::{Network, Options};
use corio::{aio, is_cancelled, is_timed_out, now, scope, secs};
use corio_apps::websocket::{config, io_error};
use corio_apps::{tls, wss};
use futures_rustls::TlsAcceptor;
use futures_util::{AsyncRead, AsyncWrite, AsyncWriteExt, StreamExt, join};
use rustls::{ClientConfig, ServerConfig};
use support::*;
use tungstenite::{Error, Message};

async fn serve_one(listener: &TcpListener, config: &Arc<ServerConfig>) -> io::Result<()> {
    wss::echo(wss::accept(config, listener.accept().await?.0).await?).await
}

async fn call(server: SocketAddr, config: &Arc<ClientConfig>, long: usize) -> io::Result<()> {
    talk(wss::connect(config, "localhost", TcpStream::connect(server).await?).await?, long).await
}

/// Says something short, and something long, and hears it again; and closes.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>, long: usize) -> io::Result<()> {
    for message in [Message::text("hello"), Message::binary(vec![7; long])] {
        socket.send(message.clone()).await.map_err(io_error)?;
        assert_eq!(hear(&mut socket).await?, message);
    }
    leave(socket).await
}

async fn hear<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> io::Result<Message> {
    socket.next().await.ok_or(io::ErrorKind::UnexpectedEof)?.map_err(io_error)
}

async fn leave<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>) -> io::Result<()> {
    socket.close(None).await.map_err(io_error)?;
    while let Some(message) = socket.next().await {
        message.map_err(io_error)?;
    }
    socket.get_mut().close().await
}

fn configured() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let identity = Identity::new();
    (identity.server(), identity.client())
}

#[test]
fn both_ends_shake_hands_and_echo() {
    let _alone = alone();
    let (server, client) = configured();
    on_every_network(move || {
        let (server, client) = (server.clone(), client.clone());
        async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.get_ref().local_addr()?;
            let (served, called) = join!(serve_one(&listener, &server), call(address, &client, 100_000));
            served.and(called)
        }
    });
}

#[test]
fn one_reads_while_the_other_writes() {
    let _alone = alone();
    let (server, client) = configured();
    on_every_network(move || {
        let (server, client) = (server.clone(), client.clone());
        async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let stream = TcpStream::connect(listener.get_ref().local_addr()?).await?;
            let serving = aio::spawn_local(async move { serve_one(&listener, &server).await });
            let (mut says, mut hears) = wss::connect(&client, "localhost", stream).await?.split();
            // Far more than fits on the way: it goes on only because somebody reads.
            let saying = aio::spawn_local(async move {
                for n in 0..100 {
                    says.send(Message::binary(vec![n; 20_000])).await.map_err(io_error)?;
                }
                says.close(None).await.map_err(io_error)
            });
            for n in 0..100 {
                assert!(hears.next().await.unwrap().map_err(io_error)? == Message::binary(vec![n; 20_000]));
            }
            assert!(hears.next().await.unwrap().is_ok_and(|message| message.is_close()));
            assert!(hears.next().await.is_none());
            saying.await?;
            serving.await
        }
    });
}

#[test]
fn a_coroutine_talks_to_it_in_either_style() {
    let _alone = alone();
    let (server, client) = configured();
    run(|| {
        let listener = TcpListener::from(net::TcpListener::bind("127.0.0.1:0")?);
        let address = listener.get_ref().local_addr()?;
        scope(|s| {
            for is_direct in [false, true] {
                let client = client.clone();
                let calling = s.spawn(move || {
                    if !is_direct {
                        return aio::wait_on(call(address, &client, 100_000))?;
                    }
                    let stream = tls::connect(&client, "localhost", net::TcpStream::connect(address)?)?;
                    let called = tungstenite::client::client_with_config("wss://localhost/", stream, Some(config()));
                    let (mut socket, _) = called.map_err(io::Error::other)?;
                    socket.send(Message::text("hello")).map_err(io_error)?;
                    assert_eq!(socket.read().map_err(io_error)?, Message::text("hello"));
                    socket.close(None).map_err(io_error)?;
                    while !matches!(socket.read(), Err(Error::ConnectionClosed)) {}
                    Ok(())
                });
                aio::wait_on(serve_one(&listener, &server))??;
                calling.join()?;
            }
            Ok(())
        })
    });
}

#[test]
fn a_client_and_a_server_can_be_cancelled_anywhere() {
    let _alone = alone();
    let (server, client) = configured();
    cancelled_everywhere("async-tungstenite and futures-rustls, client", |part| {
        let listener = TcpListener::from(net::TcpListener::bind("127.0.0.1:0")?);
        let address = listener.get_ref().local_addr()?;
        let server = server.clone();
        // It fails if the client goes away.
        let serving = aio::spawn_local(async move { drop(serve_one(&listener, &server).await) });
        if part.run(|| aio::wait_on(call(address, &client, 50_000))?).is_none() {
            serving.cancel(); // nobody may have called
        }
        let _ = serving.join();
        Ok(())
    });
    cancelled_everywhere("async-tungstenite and futures-rustls, server", |part| {
        let listener = TcpListener::from(net::TcpListener::bind("127.0.0.1:0")?);
        let address = listener.get_ref().local_addr()?;
        let client = client.clone();
        let calling = aio::spawn_local(async move { Ok(call(address, &client, 50_000).await.is_ok()) });
        let served = part.run(|| aio::wait_on(serve_one(&listener, &server))?).is_some();
        drop(listener);
        assert!(calling.join()? || !served);
        Ok(())
    });
}

#[test]
fn whoever_falls_silent_anywhere_meets_a_limit_and_a_cancellation() {
    let _alone = alone();
    let (server, client) = configured();
    // So little is under way there that a server which offers tickets, and a client which asks, would wait for each other.
    let mut server = ServerConfig::clone(&server);
    server.send_tls13_tickets = 0;
    let server = Arc::new(server);
    let ask = |listener: &net::TcpListener| aio::wait_on(call(listener.local_addr()?, &client, 100))?;
    let answer = |stream| {
        let mut socket = corio_apps::websocket::accept(tls::accept(&server, stream)?)?;
        while let Ok(message) = socket.read() {
            if message.is_text() || message.is_binary() {
                socket.send(message).map_err(io_error)?;
            }
        }
        tls::end(socket.get_mut())
    };
    Conversation::new("async-tungstenite, client", Caller::We, ask, answer).with_silences_everywhere(13, 8);
    let answer = |listener: &net::TcpListener| {
        let stream = TcpStream::from(listener.accept()?.0);
        aio::wait_on(async { wss::echo(wss::accept(&server, stream).await?).await })?
    };
    let ask = |stream| {
        let stream = tls::connect(&client, "localhost", stream)?;
        let called = tungstenite::client::client_with_config("wss://localhost/", stream, Some(config()));
        let (mut socket, _) = called.map_err(io::Error::other)?;
        for message in [Message::text("hello"), Message::binary(vec![7; 100])] {
            socket.send(message).map_err(io_error)?;
            socket.read().map_err(io_error)?;
        }
        socket.close(None).map_err(io_error)?;
        while socket.read().is_ok() {}
        Ok(())
    };
    Conversation::new("async-tungstenite, server", Caller::They, answer, ask).with_silences_everywhere(13, 8);
}

#[test]
fn a_task_of_futures_leaves_in_every_phase_at_its_limit_or_when_it_is_cancelled() {
    let _alone = alone();
    let (server, client) = configured();
    for (phase, is_cancelled_first) in [(0, false), (0, true), (1, false), (1, true), (2, false), (2, true)] {
        let (server, client) = (server.clone(), client.clone());
        let program = async move || {
            let (listener, start) = (TcpListener::bind("127.0.0.1:0").await?, now());
            let address = listener.get_ref().local_addr()?;
            let call = async move { call(address, &client, 100).await };
            let calling = aio::spawn_local(async { aio::timeout(secs(3), call).await? });
            let (stream, _) = listener.accept().await?;
            // So far it answers; then it is there, and silent.
            let _silent: Box<dyn Any> = match phase {
                0 => Box::new(stream),
                1 => Box::new(TlsAcceptor::from(server).accept(stream).await?),
                _ => Box::new(wss::accept(&server, stream).await?),
            };
            aio::sleep_until(start + secs(1)).await?;
            if is_cancelled_first {
                calling.cancel();
            }
            let error = calling.await.unwrap_err();
            assert!(if is_cancelled_first { is_cancelled(&error) } else { is_timed_out(&error) }, "{phase}: {error}");
            assert_eq!(now() - start, secs(if is_cancelled_first { 1 } else { 3 }));
            Ok(())
        };
        let network = Network::new();
        let here = network.clone();
        Options::new().network(move || here.clone()).run(|| aio::spawn_local(program()).join());
        assert_eq!(network.open(), 0, "{phase}: sockets are left");
    }
}

#[test]
fn how_much_stack_they_use() {
    let _alone = alone();
    let (server, client) = configured();
    run(|| {
        let listener = TcpListener::from(net::TcpListener::bind("127.0.0.1:0")?);
        let address = listener.get_ref().local_addr()?;
        scope(|s| {
            s.spawn(|| {
                on_a_stack_of(512, "wss, server", move || aio::wait_on(async { serve_one(&listener, &server).await })?)
            });
            on_a_stack_of(516, "wss, client", move || aio::wait_on(async { call(address, &client, 100_000).await })?)
        })
    });
}

#[test]
fn python_is_answered() {
    let _alone = alone();
    if !is_there("python3", &["-c", "import websockets.asyncio.client"]) {
        return;
    }
    let directory = Directory::new();
    Identity::new().write(&directory.0);
    let (chain, key) = (directory.0.join("chain.pem"), directory.0.join("key.pem"));
    let server = Served::ours(Command::new(env!("CARGO_BIN_EXE_wss_echo")).arg("127.0.0.1:0").args([&chain, &key]));
    let script = format!(
        r#"
import asyncio, ssl
from websockets.asyncio.client import connect

async def main():
    trust = ssl.create_default_context(cafile={chain:?})
    async with connect("wss://localhost:{}", ssl=trust) as ws:
        for message in ["hello", "", "x" * 200_000, b"\x00\xff"]:
            await ws.send(message)
            assert await ws.recv() == message

asyncio.run(main())
"#,
        server.port
    );
    output(&mut python(&script));
}
