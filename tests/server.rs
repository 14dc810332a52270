//! Servers, and how to listen and to connect when the defaults do not do.
//!
//! Ids (SERVER-01, B9 and so on) are lines of asyncio's behaviours and rows of the table of faults.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;

use corio::net::{ConnectOptions, ListenOptions, Server, TcpListener, TcpStream};
use corio::testing::Network;
use corio::{
    Backend, Runner, is_cancelled, is_timed_out, millis, now, run, scope, secs, sleep, spawn, timeout, yield_now,
};

use common::backends::{HOME, at_home, everywhere, is_simulated, listen, much, pair, too_much, two_homes};
use common::{ask, only, server, shout};

/// On a network in memory only, whose clock tells exactly how long something took.
fn simulated<T>(body: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    Runner::new().virtual_clock().backend(Backend::Simulated(Network::new())).run(body)
}

/// Until something is so. Time passes meanwhile, also virtual time.
fn wait_for(mut is_so: impl FnMut() -> bool) -> io::Result<()> {
    while !is_so() {
        sleep(millis(1))?;
    }
    Ok(())
}

/// SERVER-01, SERVER-02 and SERVER-03: it serves when it is told to, on real ports, each connection in a task of its own.
#[test]
fn server_01_02_03_it_serves_when_told_to_each_in_its_own_task() {
    everywhere(|| {
        let (server, address) = server()?;
        let handle = server.handle();
        assert_ne!(handle.listeners()[0].local_addr()?.port(), 0);
        // A client may come before it serves, and waits.
        let early = spawn(move || ask(address, "early"));
        sleep(millis(5))?;
        assert!(!handle.is_serving() && !early.is_done());
        let tasks = Rc::new(RefCell::new(Vec::new()));
        let seen = tasks.clone();
        let serving = spawn(move || {
            server.serve(|stream| {
                seen.borrow_mut().push(corio::current().id());
                shout(stream)
            })
        });
        assert_eq!(early.join()?, "EARLY");
        assert!(handle.is_serving());
        assert_eq!(ask(address, "late")?, "LATE");
        let tasks = tasks.take();
        assert!(tasks.len() == 2 && tasks[0] != tasks[1] && !tasks.contains(&serving.id()), "{tasks:?}");
        handle.stop();
        serving.join()?;
        assert!(!handle.is_serving());
        Ok(())
    });
}

/// SERVER-04: stopping leaves the connections alone, and serving ends with the last of them.
#[test]
fn server_04_stopping_leaves_connections_alone() {
    everywhere(|| {
        let (server, address) = server()?;
        let handle = server.handle();
        let serving = spawn(move || server.grace(secs(60)).serve(shout));
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"to the end")?;
        wait_for(|| handle.connections() == 1)?;
        handle.stop();
        handle.stop();
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        sleep(millis(100))?;
        assert!(!serving.is_done() && handle.connections() == 1);
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert_eq!(answer, "TO THE END");
        serving.join()?;
        assert_eq!(handle.connections(), 0);
        Ok(())
    });
}

/// Also when the server is full, and waits for a place.
#[test]
fn connections_that_outlast_the_grace_are_cancelled() {
    everywhere(|| {
        let (server, address) = server()?;
        let handle = server.handle();
        let serving = spawn(move || server.limit(1).grace(millis(50)).serve(shout));
        let mut stream = TcpStream::connect(address)?;
        wait_for(|| handle.connections() == 1)?;
        let start = now();
        handle.stop();
        timeout(secs(60), || serving.join())?;
        assert!(now() - start >= millis(50));
        assert_eq!(stream.read(&mut [0])?, 0);
        Ok(())
    });
}

/// SERVER-05: all connections can be cut off at once, also those whose peers do not read.
#[test]
fn server_05_connections_can_be_cut_off_at_once() {
    everywhere(|| {
        let (server, address) = server()?;
        let server = Rc::new(server);
        let handle = server.handle();
        let serving = spawn({
            let server = server.clone();
            move || server.serve(|mut stream: TcpStream| stream.write_all(&too_much(&stream)))
        });
        let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address)).collect::<io::Result<_>>()?;
        wait_for(|| handle.connections() == 3)?;
        sleep(millis(50))?;
        assert_eq!(handle.connections(), 3, "nobody reads");
        server.abort();
        wait_for(|| handle.connections() == 0)?;
        assert!(handle.is_serving());
        for mut client in clients {
            let (all, mut got) = (much(&client), Vec::new());
            client.read_to_end(&mut got)?;
            assert!(got.len() < all, "{} bytes", got.len());
        }
        handle.stop();
        serving.join()
    });
}

/// SERVER-06: serving twice is a mistake; a cancellation closes the server and is passed on.
#[test]
fn server_06_serving_twice_is_refused_and_a_cancellation_closes() {
    everywhere(|| {
        let (server, address) = server()?;
        let server = Rc::new(server);
        let serving = spawn({
            let server = server.clone();
            move || server.serve(shout)
        });
        yield_now()?;
        assert_eq!(server.serve(shout).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(server.handle().is_serving(), "the refusal has closed nothing");
        let stream = TcpStream::connect(address)?;
        wait_for(|| server.handle().connections() == 1)?;
        serving.cancel();
        assert!(serving.join().is_err_and(|error| is_cancelled(&error)));
        assert!(!server.handle().is_serving());
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!((&stream).read(&mut [0])?, 0);
        assert_eq!(server.serve(shout).unwrap_err().kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

/// SERVER-07: a handler that fails, panics or is cancelled ends its own connection only.
#[test]
fn server_07_a_handler_that_fails_is_reported_and_the_server_goes_on() {
    everywhere(|| {
        let (end, log) = common::logged(|| {
            let (server, address) = server()?;
            let handle = server.handle();
            let serving = spawn(move || {
                server.serve(|mut stream: TcpStream| {
                    let mut kind = [0];
                    stream.read_exact(&mut kind)?;
                    match kind[0] {
                        b'e' => Err(io::Error::other("no such page")),
                        b'p' => panic!("a bug"),
                        b'c' => {
                            corio::current().cancel();
                            yield_now()
                        }
                        _ => stream.write_all(b"fine"),
                    }
                })
            });
            for bad in ["e", "p", "c"] {
                assert_eq!(ask(address, bad)?, "");
            }
            assert_eq!(ask(address, "x")?, "fine");
            handle.stop();
            serving.join()
        });
        end?;
        let errors: Vec<_> = log.into_iter().filter(|line| line.contains("ERROR")).collect();
        assert_eq!(errors.len(), 2, "{errors:?}");
        only(&errors[..1], "ERROR", &["the connection from 127.0.0.1:", "no such page"]);
        only(&errors[1..], "ERROR", &["the connection from 127.0.0.1:", "panicked: a bug"]);
        Ok(())
    });
}

/// TRANS-09: a handler that fails in the middle of what comes, or at its end, is reported once, and its connection closed at once. That of
/// any other task is its owner's to look at; the connection is closed with it.
#[test]
fn trans_09_whoever_fails_while_it_reads_is_reported_and_its_connection_closed() {
    fn fails(mut stream: TcpStream) -> io::Result<()> {
        let mut how = [0; 2];
        stream.read_exact(&mut how)?;
        if how[0] == b'e' {
            stream.read_to_end(&mut Vec::new())?;
        } else {
            sleep(millis(100))?; // the rest has come, and is never read
        }
        match how[1] {
            b'p' => panic!("{} breaks", char::from(how[0])),
            _ => Err(io::Error::other(format!("{} fails", char::from(how[0])))),
        }
    }
    /// What a client hears that sends this, and ends.
    fn hears(mut stream: TcpStream, text: &str) -> io::Result<usize> {
        stream.write_all(text.as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        stream.read(&mut [0])
    }
    fn is_reset(heard: io::Result<usize>) -> bool {
        heard.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
    }
    everywhere(|| {
        let (end, log) = common::logged(|| {
            let (server, address) = server()?;
            let handle = server.handle();
            let serving = spawn(move || server.serve(fails));
            for how in ["m", "e"] {
                for kind in ["e", "p"] {
                    let heard = hears(TcpStream::connect(address)?, &format!("{how}{kind} and more"));
                    // Bytes that were not read make it a reset.
                    assert!(if how == "m" { is_reset(heard) } else { heard? == 0 }, "{how}{kind}");
                }
            }
            handle.stop();
            serving.join()
        });
        end?;
        for what in ["m fails", "m breaks", "e fails", "e breaks"] {
            only(&log, "ERROR", &["the connection from 127.0.0.1:", what]);
        }

        let (near, far) = pair()?;
        let task = spawn(move || fails(near));
        assert!(is_reset(hears(far, "me and more")));
        assert_eq!(task.join().unwrap_err().to_string(), "m fails");
        let (near, far) = pair()?;
        let task = spawn(move || fails(near));
        assert_eq!(hears(far, "ep and more")?, 0);
        let panic = common::panic_of(|| task.join());
        assert_eq!(panic, "e breaks");
        Ok(())
    });
}

/// SERVER-08 and SERVER-10: all addresses of a name, or none; IPv4 and IPv6 side by side on one port.
#[test]
fn server_08_10_several_addresses_are_served_or_none() {
    let ip = |text: &str| text.parse::<SocketAddr>().unwrap().ip();
    let network = Network::new().host("both.example", [ip("10.0.0.1:0"), ip("10.0.0.2:0")]);
    Runner::new()
        .virtual_clock()
        .backend(Backend::Simulated(network))
        .run(|| {
            let server = Server::new(ListenOptions::new().bind_all("both.example:80")?);
            let handle = server.handle();
            let serving = spawn(move || server.serve(shout));
            for address in ["10.0.0.1:80", "10.0.0.2:80"] {
                assert_eq!(ask(address.parse().unwrap(), address)?, address);
            }
            handle.stop();
            serving.join()?;
            let taken = TcpListener::bind("10.0.0.2:81")?;
            let error = ListenOptions::new().bind_all("both.example:81").unwrap_err();
            assert!(error.kind() == ErrorKind::AddrInUse && error.to_string().contains("10.0.0.2:81"), "{error}");
            drop(taken);
            TcpListener::bind("10.0.0.1:81").map(drop) // it was closed again
        })
        .unwrap();
    run(|| {
        let v4 = TcpListener::bind("0.0.0.0:0")?;
        let port = v4.local_addr()?.port();
        let v6 = match ListenOptions::new().only_v6(true).bind(SocketAddr::new(ip("[::]:0"), port)) {
            Ok(listener) => listener,
            Err(error) => {
                println!("no IPv6 here: {error}");
                return Ok(());
            }
        };
        let server = Server::new([v4, v6]);
        let handle = server.handle();
        let serving = spawn(move || server.serve(shout));
        assert_eq!(ask(SocketAddr::new(ip("127.0.0.1:0"), port), "four")?, "FOUR");
        assert_eq!(ask(SocketAddr::new(ip("[::1]:0"), port), "six")?, "SIX");
        handle.stop();
        serving.join()
    })
    .unwrap();
}

/// SERVER-09: an address in use is named; with the option two may have it.
#[test]
fn server_09_an_address_in_use_is_named_and_may_be_shared() {
    everywhere(|| {
        let first = ListenOptions::new().reuse_port(true).bind("127.0.0.1:0")?;
        let address = first.local_addr()?;
        let error = TcpListener::bind(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        let _second = ListenOptions::new().reuse_port(true).bind(address)?;
        Ok(())
    });
}

/// SERVER-12: a queue full of clients does not keep others from their turns.
#[test]
fn d4_server_12_a_full_queue_is_accepted_without_starving_others() {
    everywhere(|| {
        let (server, address) = server()?;
        let handle = server.handle();
        let clients = (0..500).map(|_| TcpStream::connect(address)).collect::<io::Result<Vec<_>>>()?;
        let turns = Rc::new(Cell::new(0));
        let other = spawn({
            let (turns, handle) = (turns.clone(), handle.clone());
            move || {
                while handle.connections() < 500 {
                    turns.set(turns.get() + 1);
                    yield_now()?;
                }
                Ok(())
            }
        });
        let serving = spawn(move || server.grace(millis(1)).serve(shout));
        other.join()?;
        assert!((4..500).contains(&turns.get()), "{} turns for 500 connections", turns.get());
        drop(clients);
        handle.stop();
        serving.join()
    });
}

#[test]
fn no_more_connections_than_the_limit_are_there_at_once() {
    everywhere(|| {
        let (server, address) = server()?;
        let handle = server.handle();
        let most = Rc::new(Cell::new(0));
        let serving = spawn({
            let (most, handle) = (most.clone(), handle.clone());
            move || {
                server.limit(2).serve(|mut stream: TcpStream| {
                    stream.read_exact(&mut [0])?;
                    sleep(millis(50))?; // others come meanwhile
                    most.set(most.get().max(handle.connections()));
                    stream.write_all(b"done")
                })
            }
        });
        let start = now();
        corio::gather(0..6, |_| ask(address, "?").map(|answer| assert_eq!(answer, "done")))?;
        assert_eq!(most.get(), 2);
        assert!(now() - start >= millis(150), "three times two");
        handle.stop();
        serving.join()
    });
}

/// A listener that waits for a client keeps no place: the others may have them all.
#[test]
fn a_limit_is_one_of_all_listeners_together_and_keeps_none_of_them_waiting() {
    simulated(|| {
        let listeners = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"].map(TcpListener::bind);
        let listeners: Vec<_> = listeners.into_iter().collect::<io::Result<_>>()?;
        let addresses: Vec<_> = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        let server = Server::new(listeners).limit(2);
        let handle = server.handle();
        let most = Rc::new(Cell::new((0, 0)));
        let serving = spawn({
            let (most, handle) = (most.clone(), handle.clone());
            move || {
                server.serve(|mut stream: TcpStream| {
                    let (peak, served) = most.get();
                    most.set((handle.connections().max(peak), served + 1));
                    sleep(secs(1))?;
                    stream.write_all(b"done")
                })
            }
        });
        // Three times four clients at one of three listeners, then three at each.
        let start = now();
        for address in &addresses {
            corio::gather(0..4, |_| ask(*address, "").map(|answer| assert_eq!(answer, "done")))?;
        }
        assert_eq!((most.get(), now() - start), ((2, 12), secs(6)));
        corio::gather(0..9, |n| ask(addresses[n % 3], "").map(|answer| assert_eq!(answer, "done")))?;
        assert_eq!((most.get(), now() - start), ((2, 21), secs(11)));
        // Full, with clients at every listener: it stops all the same.
        let clients: Vec<_> = (0..6).map(|n| TcpStream::connect(addresses[n % 3])).collect::<io::Result<_>>()?;
        while handle.connections() < 2 {
            yield_now()?;
        }
        handle.stop();
        serving.join()?;
        assert_eq!(most.get(), (2, 23));
        drop(clients);
        Ok(())
    })
    .unwrap();
}

// ---- connecting --------------------------------------------------------------------------------------------------------

#[test]
fn happy_eyeballs_tries_the_next_address_beside_one_that_is_slow() {
    let (network, one, _) = two_homes();
    at_home(&network, || {
        let _listener = TcpListener::bind(one)?;
        let start = now();
        let stream = ConnectOptions::new().happy_eyeballs(true).connect(HOME)?;
        assert_eq!(stream.peer_addr()?, one);
        assert_eq!(now() - start, millis(650), "a head start of 250 ms, and there and back");
        // One after the other it takes longer.
        let start = now();
        ConnectOptions::new().connect(HOME)?;
        assert_eq!(now() - start, millis(800));
        Ok(())
    });
}

#[test]
fn stream_17_when_no_address_answers_the_error_tells_of_all() {
    let (network, one, other) = two_homes();
    at_home(&network, || {
        let error = ConnectOptions::new().happy_eyeballs(true).connect(HOME).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!(text.contains(&one.to_string()) && text.contains(&other.to_string()), "{text}");
        let late = ConnectOptions::new().limit(millis(300)).connect(HOME);
        assert!(late.is_err_and(|error| is_timed_out(&error)));
        let each = ConnectOptions::new().limit_of_each(millis(100)).connect(HOME).unwrap_err();
        assert_eq!(each.kind(), ErrorKind::TimedOut);
        let given_up = spawn(|| ConnectOptions::new().happy_eyeballs(true).connect(HOME));
        sleep(millis(300))?;
        given_up.cancel();
        assert!(given_up.join().is_err_and(|error| is_cancelled(&error)));
        Ok(())
    });
}

#[test]
fn options_of_a_connection_are_applied() {
    everywhere(|| {
        let (listener, address) = listen()?;
        let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let stream = ConnectOptions::new().local(local).limit(secs(20)).connect(address)?;
        let (far, _) = listener.accept()?;
        assert_eq!(stream.linger()?, None);
        stream.set_linger(Some(secs(0)))?;
        assert_eq!(stream.linger()?, Some(secs(0)));
        let keepalive =
            |stream: &TcpStream| is_simulated(stream) || socket2::SockRef::from(stream).keepalive().unwrap();
        stream.set_keepalive(Some(secs(60)))?;
        assert!(keepalive(&stream));
        stream.set_keepalive(None)?;
        assert!(is_simulated(&stream) || !keepalive(&stream));
        drop(stream); // with the linger of zero: a reset
        assert_eq!((&far).read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn a_stream_that_somebody_waits_for_is_not_released() {
    everywhere(|| {
        let (stream, far) = pair()?;
        scope(|s| {
            let reader = s.spawn(|| (&stream).read(&mut [0]));
            yield_now()?;
            assert_eq!(stream.release().unwrap_err().kind(), ErrorKind::ResourceBusy);
            (&far).write_all(b"!")?;
            assert_eq!(reader.join()?, 1);
            stream.release()?;
            stream.release()?;
            // It registers again where it is used.
            let reader = s.spawn(|| (&stream).read(&mut [0]));
            yield_now()?;
            (&far).write_all(b"!")?;
            assert_eq!(reader.join()?, 1);
            Ok(())
        })
    });
}
