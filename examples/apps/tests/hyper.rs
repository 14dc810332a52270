//! HTTP by hyper, both sides, over the streams of `corio::aio`.

mod support;

use std::fs;
use std::io::{self, Read, Write};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use corio::aio::net::{TcpListener, TcpStream};
use corio::testing::{self, Network, Options};
use corio::{Event, JoinHandle, aio, is_cancelled, millis, net, now, secs, yield_now};
use corio_apps::hyper::{Answer, BoxError, Limits, connect, connect_http2, hello, serve};
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use support::web::{PATIENT, Serving, ask, ask_http2, curl, load, says};
use support::*;

/// With a page that is slow, and one that breaks.
async fn answer(request: Request<Incoming>) -> Result<Answer, BoxError> {
    match request.uri().path() {
        "/slow" => aio::sleep(secs(1)).await?,
        "/broken" => panic!("as it is told"),
        _ => {}
    }
    hello(request).await
}

async fn serve_until(listener: TcpListener, stop: Rc<Event>, limits: Limits) -> io::Result<()> {
    serve(listener, async { aio::ready(&*stop).await }, limits, service_fn(answer)).await
}

async fn hello_until(listener: TcpListener, stop: Rc<Event>) -> io::Result<()> {
    serve_until(listener, stop, PATIENT).await
}

/// More than the windows of HTTP/2 hold.
fn large(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n ^ n >> 8) as u8).collect()
}

/// A conversation in HTTP/1: several requests on one connection.
async fn talk(server: net::SocketAddr, long: usize) -> io::Result<()> {
    let (mut sender, driver) = connect(server).await?;
    for _ in 0..3 {
        assert_eq!(ask(&mut sender, "/", "").await?, (StatusCode::OK, "hello\n".into()));
    }
    let (_, heard) = ask(&mut sender, "/echo", large(long)).await?;
    assert!(heard == large(long));
    assert_eq!(ask(&mut sender, "/nowhere", "").await?.0, StatusCode::NOT_FOUND);
    drop(sender);
    driver.end().await
}

/// One in HTTP/2: several at once.
async fn talk_http2(server: net::SocketAddr, long: usize, at_once: usize) -> io::Result<()> {
    let (sender, driver) = connect_http2(server).await?;
    for _ in 0..3 {
        let answers = join_all((0..at_once).map(|n| {
            let (path, body) = if n % 2 == 0 { ("/", Vec::new()) } else { ("/echo", large(long)) };
            ask_http2(&sender, path, body)
        }));
        for (n, answer) in answers.await.into_iter().enumerate() {
            let (status, heard) = answer?;
            assert!(status == StatusCode::OK && heard == if n % 2 == 0 { b"hello\n".to_vec() } else { large(long) });
        }
    }
    drop(sender);
    driver.end().await
}

#[test]
fn clients_of_ours_are_answered_by_a_server_of_ours() {
    let _alone = alone();
    on_every_network(|| async {
        let server = Serving::start(hello_until).await?;
        talk(server.address, 500_000).await?;
        talk_http2(server.address, 100_000, 20).await?;
        server.stop().await
    });
}

// ---- clients of others ---------------------------------------------------------------------------------------------

fn program() -> Served {
    Served::ours(Command::new(env!("CARGO_BIN_EXE_http_server")).arg("127.0.0.1:0"))
}

#[test]
fn curl_is_answered_in_both_versions_and_the_server_stops_when_it_is_asked_to() {
    let _alone = alone();
    if !is_there("curl", &["--version"]) {
        return;
    }
    let (server, directory) = (program(), Directory::new());
    let (page, file) = (format!("http://127.0.0.1:{}", server.port), directory.0.join("large"));
    fs::write(&file, large(3_000_000)).unwrap();
    // In HTTP/1 all on one connection, which is counted. In HTTP/2 without TLS, curl 7.88 does not manage to use one again.
    for (version, number, count) in [("--http1.1", "1.1", 200), ("--http2-prior-knowledge", "2", 1)] {
        let many = format!("{page}/?[1-{count}]");
        let said = says(curl().args([version, "--write-out", "%{http_version} %{num_connects}\n", &many]));
        let expected = format!("hello\n{number} 1\n") + &format!("hello\n{number} 0\n").repeat(count - 1);
        assert_eq!(said, expected);
        let body = format!("@{}", file.display());
        let heard = output(curl().args([version, "--data-binary", &body, &format!("{page}/echo")]));
        assert!(heard == large(3_000_000));
    }
    assert!(server.terminate().success());
}

#[test]
fn wrk_and_h2load_are_answered_on_many_connections_at_once() {
    let _alone = alone();
    let server = program();
    load(&format!("http://127.0.0.1:{}/", server.port));
    assert!(server.terminate().success());
}

// ---- time ----------------------------------------------------------------------------------------------------------

/// A peer that says this, and listens until the end; when that came.
fn time_until_end(server: net::SocketAddr, words: &[u8]) -> io::Result<Duration> {
    let start = now();
    let mut stream = net::TcpStream::connect(server)?;
    stream.write_all(words)?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(now() - start)
}

#[test]
fn a_client_that_does_not_say_what_it_wants_is_cut_off_in_time() {
    let _alone = alone();
    let limits = Limits { request: secs(3), ..PATIENT };
    Options::new().network(Network::new).run(|| {
        let listener = net::TcpListener::bind("127.0.0.1:0")?;
        let (address, stop) = (listener.local_addr()?, Rc::new(Event::new()));
        let server = aio::spawn_local(serve_until(listener.into(), stop.clone(), limits));
        let head = b"GET / HTTP/1.1\r\nhost: server\r\n";
        let silences: [(&[u8], u64); 8] = [
            (b"", 3),
            (b"P", 3),
            // hyper's limit begins anew when it is known that this is HTTP/1; both begin at once here.
            (head, 3),
            (b"PRI * HTTP", 3),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 3),
            (&[FRAMES_BEGIN, SETTINGS].concat(), 3),
            // After a request: to the next one, and to the answer to a ping, which is asked for when it has been silent.
            (&[head, &b"\r\n"[..]].concat(), 3),
            (&[FRAMES_BEGIN, SETTINGS, GET].concat(), 6),
        ];
        for (words, limit) in silences {
            let took = time_until_end(address, words)?;
            assert_eq!(took, secs(limit), "{:?}", String::from_utf8_lossy(words));
        }
        stop.set();
        server.join()
    });
}

#[test]
fn a_server_that_stops_lets_requests_end_and_cuts_off_those_that_do_not() {
    let _alone = alone();
    for (grace, is_answered) in [(secs(2), true), (millis(500), false)] {
        for is_http2 in [false, true] {
            let program = move || async move {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let (address, stop) = (listener.get_ref().local_addr()?, Rc::new(Event::new()));
                let start = now();
                let server = aio::spawn_local(serve_until(listener, stop.clone(), Limits { grace, ..PATIENT }));
                let slow = aio::spawn_local(async move {
                    if is_http2 {
                        let (sender, _driver) = connect_http2(address).await?;
                        return ask_http2(&sender, "/slow", "").await;
                    }
                    let (mut sender, _driver) = connect(address).await?;
                    ask(&mut sender, "/slow", "").await
                });
                // One that has been answered, and could ask for more.
                let (mut idle, _driver) = connect(address).await?;
                ask(&mut idle, "/", "").await?;
                aio::sleep(millis(100)).await?;
                stop.set();
                server.await?;
                assert_eq!(now() - start, if is_answered { secs(1) } else { millis(600) });
                assert_eq!(slow.await.is_ok(), is_answered);
                assert!(ask(&mut idle, "/", "").await.is_err());
                let refused = TcpStream::connect(address).await.unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
                Ok(())
            };
            Options::new().network(Network::new).run(|| aio::spawn_local(program()).join());
        }
    }
}

#[test]
fn a_handler_that_panics_takes_nobody_else_along() {
    let _alone = alone();
    on_every_network(|| async {
        let server = Serving::start(hello_until).await?;
        let (mut other, other_driver) = connect(server.address).await?;
        ask(&mut other, "/", "").await?;
        let (mut broken, driver) = connect(server.address).await?;
        assert!(ask(&mut broken, "/broken", "").await.is_err());
        drop((broken, driver.end().await));
        assert!(ask(&mut other, "/", "").await.is_ok());
        drop(other);
        other_driver.end().await?;
        // In HTTP/2 a request is a task, and the connection goes on.
        let (sender, driver) = connect_http2(server.address).await?;
        assert!(ask_http2(&sender, "/broken", "").await.is_err());
        assert!(ask_http2(&sender, "/", "").await.is_ok());
        drop(sender);
        driver.end().await?;
        server.stop().await
    });
}

// ---- cancellation --------------------------------------------------------------------------------------------------

#[test]
fn a_client_and_a_server_can_be_cancelled_anywhere() {
    let _alone = alone();
    for is_http2 in [false, true] {
        let version = if is_http2 { "HTTP/2" } else { "HTTP/1" };
        let talk = async move |server| {
            if is_http2 { talk_http2(server, 100_000, 4).await } else { talk(server, 50_000).await }
        };
        cancelled_everywhere(&format!("hyper, client of {version}"), |part| {
            let server = aio::wait_on(Serving::start(hello_until))??;
            part.run(|| (0..2).try_for_each(|_| aio::wait_on(talk(server.address))?));
            // It goes on for others.
            aio::wait_on(talk(server.address))??;
            aio::wait_on(server.stop())?
        });
        cancelled_everywhere(&format!("hyper, server of {version}"), |part| {
            let listener = net::TcpListener::bind("127.0.0.1:0")?;
            let (address, stop) = (listener.local_addr()?, Rc::new(Event::new()));
            let told = stop.clone();
            let client = aio::spawn_local(async move {
                let heard = talk(address).await;
                told.set();
                Ok(heard.is_ok())
            });
            let served = part.run(|| aio::wait_on(serve_until(listener.into(), stop, PATIENT))?);
            assert!(client.join()? || served.is_none());
            Ok(())
        });
    }
}

#[test]
fn a_task_that_serves_can_be_cancelled_in_any_turn() {
    let _alone = alone();
    for is_http2 in [false, true] {
        let mut turns = 0;
        while Options::new().network(Network::new).run(|| is_cancelled_after(turns, is_http2)) {
            turns += 1;
        }
        assert!(turns > 20, "it was served after {turns} turns");
    }
}

/// Whether somebody was still served in that turn. Either way all ends.
fn is_cancelled_after(turns: u32, is_http2: bool) -> io::Result<bool> {
    let listener = net::TcpListener::bind("127.0.0.1:0")?;
    let (address, stop) = (listener.local_addr()?, Rc::new(Event::new()));
    let client = aio::spawn_local(async move {
        let talk = async { if is_http2 { talk_http2(address, 1_000, 4).await } else { talk(address, 1_000).await } };
        Ok(talk.await.is_ok())
    });
    let serving = aio::spawn_local(serve_until(listener.into(), stop, PATIENT));
    for _ in 0..turns {
        yield_now()?;
    }
    let was_too_late = client.is_done();
    serving.cancel();
    assert!(is_cancelled(&serving.join().unwrap_err()));
    assert!(client.join()? || !was_too_late);
    Ok(!was_too_late)
}

#[test]
fn a_server_that_is_dropped_in_the_middle_leaves_nothing() {
    let _alone = alone();
    on_every_network(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, stop) = (listener.get_ref().local_addr()?, Rc::new(Event::new()));
        let clients: Vec<JoinHandle<bool>> = [false, true]
            .map(|is_http2| {
                aio::spawn_local(async move {
                    Ok(if is_http2 {
                        let (sender, _driver) = connect_http2(address).await?;
                        ask_http2(&sender, "/slow", "").await.is_err()
                    } else {
                        let (mut sender, _driver) = connect(address).await?;
                        ask(&mut sender, "/slow", "").await.is_err()
                    })
                })
            })
            .into();
        let late = aio::timeout(millis(50), serve_until(listener, stop, PATIENT)).await;
        assert!(corio::is_timed_out(&late.unwrap_err()));
        for client in clients {
            assert!(client.await?);
        }
        Ok(())
    });
}

#[test]
fn an_error_of_hyper_shows_the_cancellation_inside() {
    let _alone = alone();
    run(|| {
        let serving = aio::wait_on(Serving::start(hello_until))??;
        let address = serving.address;
        let connected = Rc::new(Event::new());
        let tell = connected.clone();
        let driving = aio::spawn_local(async move {
            let stream = TcpStream::connect(address).await?;
            let (_sender, connection) = http1::handshake::<_, Full<Bytes>>(stream).await.map_err(io::Error::other)?;
            tell.set();
            connection.await.map_err(io::Error::other)
        });
        connected.wait()?;
        testing::wait_all_tasks_blocked()?;
        driving.cancel();
        assert!(is_cancelled(&driving.join().unwrap_err()));
        aio::wait_on(serving.stop())?
    });
}

// ---- silence -------------------------------------------------------------------------------------------------------

const FRAMES_BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const SETTINGS_SEEN: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
/// The head of `GET http:/`, which is all of the request, on stream 1.
const GET: &[u8] = &[0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84];
/// The head of an answer, with status 200, and its body.
const OK: &[u8] = &[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88, 0, 0, 6, 0, 1, 0, 0, 0, 1, b'h', b'e', b'l', b'l', b'o', b'\n'];

/// Reads frames of HTTP/2 up to the end of a stream that has a number.
fn read_frames(stream: &mut impl Read) -> io::Result<()> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [_, high, low, kind, flags, .., id] = head;
        stream.read_exact(&mut vec![0; usize::from(high) << 8 | usize::from(low)])?;
        if id == 1 && kind <= 1 && flags & 1 != 0 {
            return Ok(());
        }
    }
}

#[test]
fn whoever_falls_silent_anywhere_meets_a_limit_and_a_cancellation() {
    let _alone = alone();
    let one_answer = |mut stream: Hushed| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello\n")
    };
    let ask = |listener: &net::TcpListener| {
        let server = listener.local_addr()?;
        aio::wait_on(async {
            let (mut sender, driver) = connect(server).await?;
            assert_eq!(ask(&mut sender, "/", "").await?, (StatusCode::OK, "hello\n".into()));
            drop(sender);
            driver.end().await
        })?
    };
    Conversation::new("hyper, client of HTTP/1", Caller::We, ask, one_answer).with_silences_everywhere(3, 6);
    let one_answer = |mut stream: Hushed| {
        stream.read_exact(&mut [0; FRAMES_BEGIN.len()])?;
        stream.write_all(&[SETTINGS, SETTINGS_SEEN].concat())?;
        read_frames(&mut stream)?;
        stream.write_all(OK)?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    };
    let ask = |listener: &net::TcpListener| {
        let server = listener.local_addr()?;
        aio::wait_on(async {
            let (sender, driver) = connect_http2(server).await?;
            assert_eq!(ask_http2(&sender, "/", "").await?, (StatusCode::OK, "hello\n".into()));
            drop(sender);
            driver.end().await
        })?
    };
    Conversation::new("hyper, client of HTTP/2", Caller::We, ask, one_answer).with_silences_everywhere(3, 6);

    let serve_one = |listener: &net::TcpListener| {
        let stream = TcpStream::from(listener.accept()?.0);
        let http = hyper_util::server::conn::auto::Builder::new(aio::hyper::Executor);
        aio::wait_on(http.serve_connection(stream, service_fn(hello)))?.or_else(|error| {
            // In HTTP/2 the error has lost its cause. But whoever is cancelled is told so by every wait.
            yield_now()?;
            Err(io::Error::other(error))
        })
    };
    let ask = |mut stream: Hushed| {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: server\r\nconnection: close\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    };
    Conversation::new("hyper, server of HTTP/1", Caller::They, serve_one, ask).with_silences_everywhere(3, 6);
    let ask = |mut stream: Hushed| {
        stream.write_all(&[FRAMES_BEGIN, SETTINGS, GET].concat())?;
        read_frames(&mut stream)
    };
    Conversation::new("hyper, server of HTTP/2", Caller::They, serve_one, ask).with_silences_everywhere(3, 6);
}

#[test]
fn how_much_stack_they_use() {
    let _alone = alone();
    run(|| {
        let serving = aio::wait_on(Serving::start(hello_until))??;
        let address = serving.address;
        on_a_stack_of(512, "hyper, client of HTTP/1", move || aio::wait_on(talk(address, 1_000))?)?;
        on_a_stack_of(516, "hyper, client of HTTP/2", move || aio::wait_on(talk_http2(address, 1_000, 4))?)?;
        aio::wait_on(serving.stop())??;

        let listener = net::TcpListener::bind("127.0.0.1:0")?;
        let (address, stop) = (listener.local_addr()?, Rc::new(Event::new()));
        let told = stop.clone();
        let client = aio::spawn_local(async move {
            talk(address, 1_000).await?;
            talk_http2(address, 1_000, 4).await?;
            told.set();
            Ok(())
        });
        on_a_stack_of(520, "hyper, server", move || aio::wait_on(hello_until(listener.into(), stop))?)?;
        client.join()
    });
}
