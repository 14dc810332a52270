//! Web applications by axum, served by hyper.

mod support;

use std::io;
use std::process::Command;
use std::rc::Rc;

use corio::aio::net::TcpListener;
use corio::net::{self, SocketAddr};
use corio::testing::{Network, Options};
use corio::{Event, aio, is_cancelled, is_timed_out, now, secs};
use corio_apps::hyper::{connect, hello, serve};
use corio_apps::{axum, http};
use futures_util::future::try_join_all;
use hyper::StatusCode;
use hyper::service::service_fn;
use hyper_util::service::TowerToHyperService;
use support::web::{PATIENT, Serving, ask, curl, load, says};
use support::*;
use ureq::config::Config;

async fn notes_until(listener: TcpListener, stop: Rc<Event>) -> io::Result<()> {
    let agent = http::agent(Config::builder().timeout_global(Some(secs(100))));
    let app = TowerToHyperService::new(axum::app(agent));
    serve(listener, async { aio::ready(&*stop).await }, PATIENT, app).await
}

/// A page of six bytes.
async fn hello_until(listener: TcpListener, stop: Rc<Event>) -> io::Result<()> {
    serve(listener, async { aio::ready(&*stop).await }, PATIENT, service_fn(hello)).await
}

/// A request on a connection of its own.
async fn ask_once(
    server: SocketAddr,
    path: &str,
    body: impl Into<hyper::body::Bytes>,
) -> io::Result<(StatusCode, String)> {
    let (mut sender, driver) = connect(server).await?;
    let (status, body) = ask(&mut sender, path, body).await?;
    drop(sender);
    driver.end().await?;
    Ok((status, String::from_utf8(body.to_vec()).unwrap()))
}

fn ok(body: &str) -> (StatusCode, String) {
    (StatusCode::OK, body.to_owned())
}

#[test]
fn notes_are_written_and_read_and_waited_for() {
    let _alone = alone();
    on_every_network(|| async {
        let server = Serving::start(notes_until).await?;
        let address = server.address;
        assert_eq!(ask_once(address, "/notes", "").await?, ok("[]"));
        let waiting = aio::spawn_local(async move { ask_once(address, "/notes/after/1", "").await });
        assert_eq!(ask_once(address, "/notes", "\"buy milk\"").await?.0, StatusCode::CREATED);
        assert_eq!(ask_once(address, "/notes/after/0", "").await?, ok("[\"buy milk\"]"));
        assert!(!waiting.is_done());
        assert_eq!(ask_once(address, "/notes", "\"drink it\"").await?.0, StatusCode::CREATED);
        assert_eq!(waiting.await?, ok("[\"drink it\"]"));
        assert_eq!(ask_once(address, "/notes", "").await?, ok("[\"buy milk\",\"drink it\"]"));
        // What axum says by itself.
        assert_eq!(ask_once(address, "/notes", "no JSON").await?.0, StatusCode::BAD_REQUEST);
        assert_eq!(ask_once(address, "/notes/after/x", "").await?.0, StatusCode::BAD_REQUEST);
        assert_eq!(ask_once(address, "/nowhere", "").await?.0, StatusCode::NOT_FOUND);
        server.stop().await
    });
}

#[test]
fn a_handler_hands_what_is_written_in_direct_style_to_coroutines() {
    let _alone = alone();
    on_every_network(|| async {
        let (server, page) = (Serving::start(notes_until).await?, Serving::start(hello_until).await?);
        let address = format!("http://{}/", page.address);
        let lengths = try_join_all((0..20).map(|_| ask_once(server.address, "/length", address.clone()))).await?;
        assert!(lengths.iter().all(|length| *length == ok("6")));
        let missing = ask_once(server.address, "/length", format!("{address}nowhere")).await?;
        assert_eq!(missing.0, StatusCode::BAD_GATEWAY);
        page.stop().await?;
        assert_eq!(ask_once(server.address, "/length", address).await?.0, StatusCode::BAD_GATEWAY);
        server.stop().await
    });
}

#[test]
fn a_page_that_is_silent_is_given_up_in_time_or_with_the_client() {
    let _alone = alone();
    for hangs_up in [false, true] {
        let program = move || async move {
            let server = Serving::start(notes_until).await?;
            let (silent, start) = (TcpListener::bind("127.0.0.1:0").await?, now());
            let page = format!("http://{}/", silent.get_ref().local_addr()?);
            let asking = aio::spawn_local(ask_once(server.address, "/length", page));
            let (stream, _) = silent.accept().await?;
            if hangs_up {
                asking.cancel();
                assert!(is_cancelled(&asking.await.unwrap_err()));
            } else {
                assert_eq!(asking.await?.0, StatusCode::BAD_GATEWAY);
            }
            // Either way whoever fetches it leaves.
            while stream.read(&mut [0; 1_000]).await? > 0 {}
            assert_eq!(now() == start, hangs_up);
            server.stop().await
        };
        Options::new().network(Network::new).run(|| aio::spawn_local(program()).join());
    }
}

#[test]
fn who_waits_and_hangs_up_is_waited_for_by_nobody() {
    let _alone = alone();
    let program = || async {
        let server = Serving::start(notes_until).await?;
        let start = now();
        let late = aio::timeout(secs(1), ask_once(server.address, "/notes/after/7", "")).await;
        assert!(is_timed_out(&late.unwrap_err()));
        server.stop().await?;
        assert_eq!(now() - start, secs(1));
        Ok(())
    };
    Options::new().network(Network::new).run(|| aio::spawn_local(program()).join());
}

#[test]
fn a_client_and_a_server_can_be_cancelled_anywhere() {
    let _alone = alone();
    /// Something of everything.
    async fn talk(server: SocketAddr, page: SocketAddr) -> io::Result<()> {
        let waiting = ask_once(server, "/notes/after/0", "");
        let writing = ask_once(server, "/notes", "\"buy milk\"");
        let fetching = ask_once(server, "/length", format!("http://{page}/"));
        let (waited, written, fetched) = futures_util::join!(waiting, writing, fetching);
        assert_eq!((waited?.0, written?.0, fetched?), (StatusCode::OK, StatusCode::CREATED, ok("6")));
        Ok(())
    }
    cancelled_everywhere("axum, client", |part| {
        let (server, page) = (aio::wait_on(Serving::start(notes_until))??, aio::wait_on(Serving::start(hello_until))??);
        part.run(|| aio::wait_on(talk(server.address, page.address))?);
        aio::wait_on(talk(server.address, page.address))??;
        aio::wait_on(server.stop())??;
        aio::wait_on(page.stop())?
    });
    cancelled_everywhere("axum, server", |part| {
        let listener = net::TcpListener::bind("127.0.0.1:0")?;
        let (address, page) = (listener.local_addr()?, aio::wait_on(Serving::start(hello_until))??);
        let (stop, page_address) = (Rc::new(Event::new()), page.address);
        let told = stop.clone();
        let client = aio::spawn_local(async move {
            let heard = talk(address, page_address).await;
            told.set();
            Ok(heard.is_ok())
        });
        let served = part.run(|| aio::wait_on(notes_until(listener.into(), stop))?);
        assert!(client.join()? || served.is_none());
        aio::wait_on(page.stop())?
    });
}

#[test]
fn how_much_stack_it_uses() {
    let _alone = alone();
    run(|| {
        let listener = net::TcpListener::bind("127.0.0.1:0")?;
        let (address, stop) = (listener.local_addr()?, Rc::new(Event::new()));
        let told = stop.clone();
        let client = aio::spawn_local(async move {
            assert_eq!(ask_once(address, "/notes", "\"buy milk\"").await?.0, StatusCode::CREATED);
            assert_eq!(ask_once(address, "/notes/after/0", "").await?, ok("[\"buy milk\"]"));
            told.set();
            Ok(())
        });
        on_a_stack_of(512, "axum, server", move || aio::wait_on(notes_until(listener.into(), stop))?)?;
        client.join()
    });
}

// ---- clients of others ---------------------------------------------------------------------------------------------

fn program() -> Served {
    Served::ours(Command::new(env!("CARGO_BIN_EXE_notes")).arg("127.0.0.1:0"))
}

#[test]
fn curl_is_answered() {
    let _alone = alone();
    if !is_there("curl", &["--version"]) {
        return;
    }
    let server = program();
    let page = |path: &str| format!("http://127.0.0.1:{}{path}", server.port);
    let json = ["--header", "content-type: application/json", "--data", "\"buy milk\""];
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        says(curl().arg(version).args(json).arg(page("/notes")));
    }
    assert_eq!(says(curl().arg(page("/notes/after/1"))), "[\"buy milk\"]");
    assert_eq!(says(curl().args(["--data", &page("/notes"), &page("/length")])), "23");
    assert!(server.terminate().success());
}

#[test]
fn wrk_and_h2load_are_answered_on_many_connections_at_once() {
    let _alone = alone();
    let server = program();
    load(&format!("http://127.0.0.1:{}/notes", server.port));
    assert!(server.terminate().success());
}
