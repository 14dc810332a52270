//! TLS by rustls over our streams.

mod support;

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;

use corio::net::{SocketAddr, TcpListener, TcpStream};
use corio::scope;
use corio::testing::Network;
use corio_apps::tls;
use rustls::{ClientConfig, ServerConfig};
use support::*;

/// Long enough for many records.
const LONG: usize = 100_000;

fn serve_one(listener: &TcpListener, config: &Arc<ServerConfig>) -> io::Result<()> {
    tls::echo(&mut tls::accept(config, listener.accept()?.0)?)
}

fn call(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<()> {
    talk(TcpStream::connect(address)?, config, LONG)
}

/// Says something short, and something long, and hears it again.
fn talk<S: Read + Write>(stream: S, config: &Arc<ClientConfig>, long: usize) -> io::Result<()> {
    let mut stream = tls::connect(config, "localhost", stream)?;
    stream.write_all(b"hello")?;
    stream.flush()?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"hello");
    // In pieces: the echo sends while we do, and what neither reads would fill both.
    for piece in (0..long).map(|n| n as u8).collect::<Vec<_>>().chunks(25_000) {
        stream.write_all(piece)?;
        stream.flush()?;
        let mut answer = vec![0; piece.len()];
        stream.read_exact(&mut answer)?;
        assert!(answer == piece);
    }
    stream.conn.send_close_notify();
    stream.flush()?;
    // The end is one that the other has signed.
    assert_eq!(stream.read(&mut [0])?, 0);
    Ok(())
}

#[test]
fn both_ends_shake_hands_and_echo() {
    let _alone = alone();
    let identity = Identity::new();
    let (server, client) = (identity.server(), identity.client());
    let listen_and_call = |address: &str| {
        let listener = TcpListener::bind(address)?;
        scope(|s| {
            let serving = s.spawn(|| serve_one(&listener, &server));
            call(listener.local_addr()?, &client)?;
            serving.join()
        })
    };
    run(|| listen_and_call("127.0.0.1:0"));
    // However the stream cuts it.
    for most in [1_000, 7] {
        simulated(&Network::new().short_reads(most).short_writes(most), || listen_and_call("127.0.0.1:1"));
    }
}

#[test]
fn a_stranger_is_not_trusted_and_both_ends_hear_of_it() {
    let _alone = alone();
    let (server, client) = (Identity::new().server(), Identity::new().client());
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        scope(|s| {
            let serving = s.spawn(|| Ok(serve_one(&listener, &server).unwrap_err().to_string()));
            let error = call(listener.local_addr()?, &client).unwrap_err();
            assert!(error.to_string().contains("certificate"), "{error}");
            let heard = serving.join()?;
            assert!(heard.contains("alert"), "{heard}");
            Ok(())
        })
    });
}

#[test]
fn whoever_falls_silent_anywhere_meets_a_limit_and_a_cancellation() {
    let _alone = alone();
    let identity = Identity::new();
    let (server, client) = (identity.server(), identity.client());
    let ask = |listener: &TcpListener| talk(TcpStream::connect(listener.local_addr()?)?, &client, 100);
    let answer = |stream| tls::echo(&mut tls::accept(&server, stream)?);
    Conversation::new("rustls, client", Caller::We, ask, answer).with_silences_everywhere(13, 8);
    let answer = |listener: &TcpListener| serve_one(listener, &server);
    let ask = |stream| talk(stream, &client, 100);
    Conversation::new("rustls, server", Caller::They, answer, ask).with_silences_everywhere(13, 8);
}

#[test]
fn an_end_that_nobody_has_signed_is_an_error() {
    let _alone = alone();
    let identity = Identity::new();
    let (server, client) = (identity.server(), identity.client());
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        scope(|s| {
            let serving = s.spawn(|| Ok(serve_one(&listener, &server).unwrap_err().kind()));
            drop(tls::connect(&client, "localhost", TcpStream::connect(listener.local_addr()?)?)?);
            assert_eq!(serving.join()?, io::ErrorKind::UnexpectedEof);
            Ok(())
        })
    });
}

#[test]
fn a_client_and_a_server_can_be_cancelled_anywhere() {
    let _alone = alone();
    let identity = Identity::new();
    let (server, client) = (identity.server(), identity.client());
    cancelled_everywhere("rustls, client", |part| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        scope(|s| {
            // It fails if the client goes away.
            let serving = s.spawn(|| drop(serve_one(&listener, &server)));
            if part.run(|| call(listener.local_addr()?, &client)).is_none() {
                serving.cancel(); // nobody may have called
            }
            serving.join()
        })
    });
    cancelled_everywhere("rustls, server", |part| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        scope(|s| {
            let calling = s.spawn(|| Ok(call(address, &client).is_ok()));
            let served = part.run(|| serve_one(&listener, &server)).is_some();
            drop(listener);
            assert!(calling.join()? || !served);
            Ok(())
        })
    });
}

#[test]
fn a_write_that_keeps_a_cancellation_to_itself_delays_it_by_one_call() {
    let _alone = alone();
    let identity = Identity::new();
    let (server, client) = (identity.server(), identity.client());
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        scope(|s| {
            let serving = s.spawn(|| drop(serve_one(&listener, &server)));
            let mut stream = tls::connect(&client, "localhost", TcpStream::connect(listener.local_addr()?)?)?;
            let scope = corio::CancelScope::new();
            let wrote = Cell::new(false);
            let result = scope.run(|| {
                scope.cancel();
                stream.write_all(b"hello")?; // rustls has the bytes, and says so
                wrote.set(true);
                stream.flush() // asyncio's cancellation would be lost by now
            });
            assert!(wrote.get() && corio::is_cancelled(&result.unwrap_err()));
            // Nothing was lost: whoever goes on later sends them.
            stream.flush()?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer)?;
            assert_eq!(&answer, b"hello");
            drop(stream);
            serving.join()
        })
    });
}

#[test]
fn how_much_stack_they_use() {
    let _alone = alone();
    let identity = Identity::new();
    let (server, client) = (identity.server(), identity.client());
    run(|| {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0")?);
        let address = listener.local_addr()?;
        scope(|s| {
            s.spawn(move || on_a_stack_of(256, "rustls, server", move || serve_one(&listener, &server)));
            on_a_stack_of(260, "rustls, client", move || call(address, &client))
        })
    });
}

// ---- the program, and a client that is not ours --------------------------------------------------------------------

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn openssl_is_answered() {
    let _alone = alone();
    if !is_there("openssl", &["version"]) {
        return;
    }
    let directory = Directory::new();
    Identity::new().write(&directory.0);
    let (chain, key) = (directory.0.join("chain.pem"), directory.0.join("key.pem"));
    let served = Served::ours(Command::new(env!("CARGO_BIN_EXE_tls_echo")).arg("127.0.0.1:0").args([&chain, &key]));
    for version in ["-tls1_2", "-tls1_3"] {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-quiet", "-verify_return_error", "-servername", "localhost", version, "-CAfile"]);
        openssl.arg(&chain).args(["-connect", &format!("127.0.0.1:{}", served.port)]);
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut openssl = Killed(openssl.spawn().unwrap());
        let mut answers = BufReader::new(openssl.0.stdout.take().unwrap());
        let mut input = openssl.0.stdin.take().unwrap();
        for line in ["hello\n", "and again\n"] {
            input.write_all(line.as_bytes()).unwrap();
            let mut answer = String::new();
            answers.read_line(&mut answer).unwrap();
            assert_eq!(answer, line, "{version}");
        }
    }
}
