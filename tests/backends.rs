//! The same programs on every backend: mio, `poll(2)`, and networks in memory with various habits. And what only a
//! network in memory can do: latency, scripts, resets, deadlocks that are seen.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use common::backends::{bytes, everywhere, listen, pair, path, too_much};
use corio::net::{
    ConnectOptions, ListenOptions, Server, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream,
};
use corio::testing::{self, Network, Script};
use corio::{
    Backend, Runner, gather, is_cancelled, is_timed_out, millis, now, scope, secs, sleep, spawn, timeout, to_thread,
    yield_now,
};

#[test]
fn f10_megabytes_arrive_byte_by_byte_in_both_directions_however_short_reads_and_writes_are() {
    everywhere(|| {
        let (a, b) = pair()?;
        let there = too_much(&a);
        let back = bytes(there.len() * 7 / 10);
        scope(|s| {
            s.spawn(|| (&a).write_all(&there).and_then(|()| a.shutdown(Shutdown::Write)));
            s.spawn(|| (&b).write_all(&back).and_then(|()| b.shutdown(Shutdown::Write)));
            let far = s.spawn(|| {
                let mut got = Vec::new();
                (&a).read_to_end(&mut got).map(|_| got)
            });
            let mut got = Vec::new();
            (&b).read_to_end(&mut got)?;
            assert!(got == there && far.join()? == back);
            Ok(())
        })
    });
}

#[test]
fn a_connection_that_nobody_listens_for_is_refused() {
    everywhere(|| {
        let (listener, address) = listen()?;
        drop(listener);
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn an_address_is_listened_on_once() {
    everywhere(|| {
        let (_listener, address) = listen()?;
        assert_eq!(TcpListener::bind(address).unwrap_err().kind(), ErrorKind::AddrInUse);
        Ok(())
    });
}

#[test]
fn both_ends_know_their_addresses() {
    everywhere(|| {
        let (listener, address) = listen()?;
        scope(|s| {
            let accepted = s.spawn(|| listener.accept());
            let far = TcpStream::connect(address)?;
            let (near, from) = accepted.join()?;
            assert_ne!(address.port(), 0);
            assert_eq!((far.peer_addr()?, near.local_addr()?), (address, address));
            assert_eq!((far.local_addr()?, near.peer_addr()?), (from, from));
            assert!(far.take_error()?.is_none());
            Ok(())
        })
    });
}

#[test]
fn options_of_a_stream_are_remembered() {
    everywhere(|| {
        let (a, _b) = pair()?;
        assert_ne!(a.ttl()?, 7);
        a.set_ttl(7)?;
        a.set_linger(Some(secs(5)))?;
        assert_eq!((a.ttl()?, a.linger()?, a.try_clone()?.ttl()?), (7, Some(secs(5)), 7));
        a.set_linger(None)?;
        assert_eq!(a.linger()?, None);
        let (listener, _) = listen()?;
        listener.set_ttl(8)?;
        assert_eq!(listener.ttl()?, 8);
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_ttl(3)?;
        assert_eq!((socket.ttl()?, socket.try_clone()?.ttl()?), (3, 3));
        Ok(())
    });
}

/// What is under way is still to be read, and then there is the reset.
#[test]
fn a_close_that_lingers_for_no_time_is_a_reset() {
    everywhere(|| {
        let (a, mut b) = pair()?;
        a.set_linger(Some(Duration::ZERO))?;
        (&a).write_all(b"bye")?;
        b.peek(&mut [0; 3])?;
        sleep(millis(100))?; // all of it has come
        drop(a);
        let mut got = Vec::new();
        assert_eq!(b.read_to_end(&mut got).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(got, b"bye");
        Ok(())
    });
}

#[test]
fn a_client_may_choose_its_address() {
    everywhere(|| {
        let (listener, address) = listen()?;
        let local = TcpListener::bind("127.0.0.2:0")?.local_addr()?; // a port that nobody has
        let stream = ConnectOptions::new().local(local).connect(address)?;
        assert_eq!((stream.local_addr()?, listener.accept()?.1), (local, local));
        let any_port = ConnectOptions::new().local(SocketAddr::new(local.ip(), 0)).connect(address)?;
        assert_eq!(any_port.local_addr()?.ip(), local.ip());
        assert_ne!(any_port.local_addr()?.port(), 0);
        let other_family = ConnectOptions::new().local("[::1]:0".parse().unwrap()).connect(address);
        assert!(other_family.is_err());
        Ok(())
    });
}

#[test]
fn two_hundred_connections_are_all_served() {
    everywhere(|| {
        let (listener, address) = listen()?;
        scope(|s| {
            let listener = &listener;
            s.spawn(move || {
                scope(|s| {
                    for stream in listener.incoming().take(200) {
                        let mut stream = stream?;
                        s.spawn(move || {
                            let mut text = String::new();
                            stream.read_to_string(&mut text)?;
                            stream.write_all(text.as_bytes())
                        });
                    }
                    Ok(())
                })
            });
            for n in 0..200 {
                s.spawn(move || {
                    let mut stream = TcpStream::connect(address)?;
                    stream.write_all(n.to_string().as_bytes())?;
                    stream.shutdown(Shutdown::Write)?;
                    let mut text = String::new();
                    stream.read_to_string(&mut text)?;
                    assert_eq!(text, n.to_string());
                    Ok(())
                });
            }
            Ok(())
        })
    });
}

#[test]
fn a_read_can_be_given_up_and_nothing_is_lost() {
    everywhere(|| {
        let (a, b) = pair()?;
        let mut buffer = [0; 16];
        let late = timeout(millis(5), || (&a).read(&mut buffer));
        assert!(late.is_err_and(|error| is_timed_out(&error)));
        a.set_read_timeout(Some(millis(5)))?;
        assert!((&a).read(&mut buffer).is_err_and(|error| error.kind() == ErrorKind::TimedOut));
        a.set_read_timeout(None)?;
        let reader = spawn(move || {
            let given_up = (&a).read(&mut [0; 16]);
            assert!(given_up.is_err_and(|error| is_cancelled(&error)));
            Ok(a)
        });
        yield_now()?;
        reader.cancel();
        let a = reader.join()?;
        (&b).write_all(b"here")?;
        (&a).read_exact(&mut buffer[..4])?;
        assert_eq!(&buffer[..4], b"here");
        Ok(())
    });
}

#[test]
fn a_write_waits_for_whoever_does_not_read_and_goes_on_when_he_does() {
    everywhere(|| {
        let (a, b) = pair()?;
        let much = too_much(&a);
        scope(|s| {
            let writer = s.spawn(|| (&a).write_all(&much).and_then(|()| a.shutdown(Shutdown::Both)));
            let early = timeout(millis(50), || writer.wait());
            assert!(early.is_err(), "it does not fit");
            let mut got = vec![0; much.len()];
            (&b).read_exact(&mut got)?;
            assert!(got == much);
            writer.join()
        })
    });
}

/// What a destructor finds that runs while its task panics. It cannot wait, so nobody else runs meanwhile.
fn while_its_task_panics<T: 'static>(act: impl FnOnce() -> T + 'static) -> io::Result<T> {
    struct AtTheEnd<F: FnMut()>(F);
    impl<F: FnMut()> Drop for AtTheEnd<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    let (turns, found) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None)));
    scope(|s| {
        let other = s.spawn(|| -> io::Result<()> {
            loop {
                assert!(!std::thread::panicking());
                turns.set(turns.get() + 1);
                yield_now()?;
            }
        });
        yield_now()?;
        let (its_turns, finds) = (turns.clone(), found.clone());
        let task = spawn(move || -> io::Result<()> {
            let mut act = Some(act);
            let _end = AtTheEnd(move || {
                // Nothing is asserted in here: a panic inside a panic would end all tests.
                let before = its_turns.get();
                let result = act.take().map(|act| act());
                finds.replace(result.map(|result| (result, its_turns.get() - before)));
            });
            yield_now()?;
            resume_unwind(Box::new("its own"))
        });
        let payload = catch_unwind(AssertUnwindSafe(|| task.join())).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"its own"));
        other.cancel();
        Ok(())
    })?;
    let (result, others) = found.take().expect("it has run");
    assert_eq!(others, 0, "nobody ran meanwhile");
    Ok(result)
}

#[test]
fn r5_a_destructor_that_reads_while_its_task_panics_takes_what_is_there_and_does_not_wait_for_more() {
    everywhere(|| {
        let (near, far) = pair()?;
        (&far).write_all(b"abc")?;
        sleep(millis(100))?; // it has arrived
        let (got, more, exactly) = while_its_task_panics(move || {
            let mut got = [0; 3];
            let first = (&near).read_exact(&mut got).map(|()| got);
            (first, (&near).read(&mut [0; 3]), (&near).read_to_end(&mut Vec::new()))
        })?;
        assert_eq!(&got?, b"abc");
        assert!(is_cancelled(&more.unwrap_err()) && is_cancelled(&exactly.unwrap_err()));
        assert_eq!((&far).read(&mut [0; 3])?, 0, "the peer sees the end");
        Ok(())
    });
}

#[test]
fn r5_a_destructor_that_writes_while_its_task_panics_sends_what_fits_and_fails_with_the_rest() {
    everywhere(|| {
        let (near, far) = pair()?;
        while_its_task_panics(move || (&near).write_all(b"bye"))??;
        let mut got = Vec::new();
        (&far).read_to_end(&mut got)?;
        assert_eq!(got, b"bye");

        let (near, far) = pair()?;
        let much = too_much(&near);
        let sent = much.clone();
        let error = while_its_task_panics(move || (&near).write_all(&sent))?.unwrap_err();
        assert!(is_cancelled(&error), "{error}");
        got.clear();
        (&far).read_to_end(&mut got)?;
        assert!(!got.is_empty() && got.len() < much.len() && much.starts_with(&got), "{} bytes", got.len());
        Ok(())
    });
}

#[test]
fn r5_a_destructor_that_connects_or_accepts_while_its_task_panics_does_not_wait_for_the_other_side() {
    everywhere(|| {
        let (listener, address) = listen()?;
        // Whether it is connected at once is the network's affair; what is not fails.
        let connected = while_its_task_panics(move || TcpStream::connect(address).map(|s| (&s).write_all(b"hi")))?;
        let mut got = Vec::new();
        match connected {
            Ok(written) => {
                written?;
                listener.accept()?.0.read_to_end(&mut got)?;
                assert_eq!(got, b"hi");
            }
            Err(error) => {
                assert!(is_cancelled(&error), "{error}");
                // Perhaps it was on its way; then whoever accepts it sees that it is over.
                if let Ok((mut stream, _)) = timeout(millis(100), || listener.accept()) {
                    let end = stream.read_to_end(&mut got).map_err(|error| error.kind());
                    assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "{end:?}");
                }
            }
        }
        // A client that has come is accepted; another is not waited for.
        scope(|s| {
            let client = s.spawn(|| TcpStream::connect(address));
            sleep(millis(100))?;
            let (first, second) = while_its_task_panics(move || (listener.accept(), listener.accept().map(drop)))?;
            let (mut stream, client) = (first?.0, client.join()?);
            assert!(is_cancelled(&second.unwrap_err()));
            stream.write_all(b"welcome")?;
            drop(stream);
            (&client).read_to_end(&mut got)?;
            assert!(got.ends_with(b"welcome"));
            Ok(())
        })?;
        // Nobody listens any more.
        let error = while_its_task_panics(move || TcpStream::connect(address).map(drop))?.unwrap_err();
        assert!(is_cancelled(&error) || error.kind() == ErrorKind::ConnectionRefused, "{error}");
        Ok(())
    });
}

#[test]
fn two_handles_are_one_connection() {
    everywhere(|| {
        let (a, b) = pair()?;
        let second = b.try_clone()?;
        (&a).write_all(b"xy")?;
        let mut buffer = [0; 1];
        assert_eq!(((&b).read(&mut buffer)?, buffer), (1, *b"x"));
        drop(b);
        assert_eq!(((&second).read(&mut buffer)?, buffer), (1, *b"y"));
        // One waits on its own registration.
        scope(|s| {
            s.spawn(|| (&second).read_exact(&mut [0; 3]));
            (&a).write_all(b"abc")
        })?;
        drop(a);
        assert_eq!((&second).read(&mut buffer)?, 0);
        Ok(())
    });
}

#[test]
fn f1_writing_to_a_peer_that_has_gone_is_an_error() {
    everywhere(|| {
        let (mut a, b) = pair()?;
        drop(b);
        let error = loop {
            match a.write_all(b"anybody?") {
                Ok(()) => sleep(millis(1))?,
                Err(error) => break error,
            }
        };
        assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
        Ok(())
    });
}

#[test]
fn closing_with_bytes_unread_resets_the_connection() {
    everywhere(|| {
        let (a, b) = pair()?;
        (&a).write_all(b"never read")?;
        // It has to be there before the end goes.
        b.peek(&mut [0; 1])?;
        sleep(millis(100))?;
        drop(b);
        let error = (&a).read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn b9_shutting_both_directions_wakes_whoever_waits_in_either() {
    everywhere(|| {
        let (a, b) = pair()?;
        let much = too_much(&a);
        scope(|s| {
            let reader = s.spawn(|| (&a).read(&mut [0; 8]));
            let writer = s.spawn(|| Ok((&a).write_all(&much)));
            sleep(millis(20))?;
            assert!(!reader.is_done() && !writer.is_done());
            a.shutdown(Shutdown::Both)?;
            assert_eq!(reader.join()?, 0);
            let written = writer.join()?;
            assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
            Ok(())
        })?;
        drop(b);
        Ok(())
    });
}

#[test]
fn f3_nothing_to_write_and_no_room_to_read_are_no_end() {
    everywhere(|| {
        let (a, b) = pair()?;
        assert_eq!((&a).write(b"")?, 0);
        assert_eq!((&b).read(&mut [])?, 0, "though nothing has come");
        assert_eq!((&a).write_vectored(&[IoSlice::new(b""), IoSlice::new(b"z")])?, 1);
        assert_eq!((&b).read(&mut [])?, 0);
        let mut byte = [0];
        (&b).read_exact(&mut byte)?;
        assert_eq!(&byte, b"z");
        Ok(())
    });
}

#[test]
fn an_accept_can_be_cancelled_and_the_client_is_there_for_the_next() {
    everywhere(|| {
        let (listener, address) = listen()?;
        let early = timeout(millis(5), || listener.accept());
        assert!(early.is_err_and(|error| is_timed_out(&error)));
        let client = spawn(move || TcpStream::connect(address));
        let (_stream, from) = listener.accept()?;
        assert_eq!(from, client.join()?.local_addr()?);
        Ok(())
    });
}

#[test]
fn b11_a_regular_file_cannot_be_waited_for_on_any_backend() {
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    for backend in [Backend::Mio, Backend::Poll, Backend::Simulated(Network::new())] {
        Runner::new()
            .backend(backend)
            .run(|| {
                assert!(corio::add_reader(&file, || unreachable!("it is not watched")).is_err());
                corio::readable(&file)
            })
            .unwrap();
    }
}

#[test]
fn a_server_may_listen_at_a_path_and_be_stopped_from_a_thread() {
    everywhere(|| {
        let path = path("server");
        let server = Server::new([UnixListener::bind(&path)?]);
        let handle = server.handle();
        scope(|s| {
            let serving = s.spawn(|| {
                server.serve(|mut stream: UnixStream| {
                    let mut byte = [0];
                    stream.read_exact(&mut byte)?;
                    stream.write_all(&[byte[0] + 1])
                })
            });
            let answers = gather(0..20, |n| {
                let mut stream = UnixStream::connect(&path)?;
                stream.write_all(&[n])?;
                let mut byte = [0];
                stream.read_exact(&mut byte).map(|()| byte[0])
            })?;
            assert_eq!(answers, (1..21).collect::<Vec<u8>>());
            to_thread(move || handle.stop())?;
            serving.join()
        })?;
        drop(server);
        assert!(!path.exists());
        Ok(())
    });
}

// ---- networks in memory only ----------------------------------------------------------------------------------------

fn on<T>(network: &Network, program: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    Runner::new().virtual_clock().backend(Backend::Simulated(network.clone())).run(program)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn what_is_sent_takes_its_latency_and_no_real_time() {
    let network = Network::new().latency(secs(60)..=secs(60));
    let took = on(&network, || {
        let start = now();
        let (a, b) = pair()?; // there and back
        (&a).write_all(b"1")?;
        (&b).read_exact(&mut [0])?;
        Ok(now() - start)
    });
    assert_eq!(took.unwrap(), secs(180));
}

#[test]
fn r18_waiting_for_bytes_that_can_never_come_is_a_deadlock() {
    let network = Network::new();
    let end = on(&network, || {
        let (a, _b) = pair()?;
        (&a).read(&mut [0])
    });
    let error = end.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
    assert!(error.to_string().contains("read"), "{error}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let network = Network::new().seed(seed).latency(millis(1)..=millis(50)).short_reads(10);
        on(&network, || {
            let (a, b) = pair()?;
            let writer = spawn(move || (&a).write_all(&[7; 200]));
            let mut course = Vec::new();
            let mut buffer = [0; 64];
            loop {
                match (&b).read(&mut buffer)? {
                    0 => break,
                    n => course.push((n, now().elapsed() == Duration::ZERO)),
                }
            }
            writer.join()?;
            Ok(course.into_iter().map(|(n, _)| n).collect::<Vec<_>>())
        })
        .unwrap()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_scripted_client_is_served_like_any_other_and_keeps_what_it_got() {
    let network = Network::new().latency(millis(10)..=millis(10));
    let script = Script::new().send("12").wait(secs(1)).send("3\n").receive(5).end_writing();
    let peer = network.client(address("10.0.0.1:80"), script);
    let silent = network.client(address("10.0.0.1:80"), Script::new().wait(secs(5)).reset());
    on(&network, || {
        let listener = TcpListener::bind("10.0.0.1:80")?;
        scope(|s| {
            for stream in listener.incoming().take(2) {
                let mut stream = stream?;
                s.spawn(move || {
                    let mut text = Vec::new();
                    while !text.ends_with(b"\n") {
                        let mut byte = [0];
                        match stream.read(&mut byte) {
                            Ok(0) => return Ok(()),
                            Ok(_) => text.push(byte[0]),
                            Err(error) => {
                                assert_eq!((error.kind(), text.len()), (ErrorKind::ConnectionReset, 0));
                                return Ok(());
                            }
                        }
                    }
                    stream.write_all(b"got: ")?;
                    stream.write_all(&text)?;
                    assert_eq!(stream.read(&mut [0; 8])?, 0);
                    Ok(())
                });
            }
            Ok(())
        })
    })
    .unwrap();
    assert_eq!(peer.received(), b"got: 123\n");
    // The call and its answer, a second, the rest, and the way back.
    assert_eq!(peer.arrivals()[0].0, secs(1) + millis(40));
    assert!(peer.saw_end() && !peer.saw_reset() && silent.received().is_empty());
    assert_eq!(network.open(), 1, "its script does not say that it closes");
}

#[test]
fn f5_a_scripted_server_that_stops_reading_makes_writes_wait() {
    let network = Network::new().capacity(1_000);
    let script = Script::new().stop_reading().wait(secs(60)).go_on_reading().receive(5_000).send("done").close();
    let peer = network.server(address("10.0.0.1:9"), script).unwrap();
    on(&network, || {
        let start = now();
        let mut stream = TcpStream::connect("10.0.0.1:9")?;
        stream.write_all(&[1; 5_000])?;
        assert_eq!(now() - start, secs(60));
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert_eq!(answer, "done");
        Ok(())
    })
    .unwrap();
    assert_eq!(peer.received().len(), 5_000);
}

#[test]
fn names_are_those_of_the_network() {
    let network = Network::new().host("db.example", [address("10.1.0.1:0").ip(), address("10.1.0.2:0").ip()]);
    on(&network, || {
        let _second = TcpListener::bind("10.1.0.2:5432")?;
        assert_eq!(TcpStream::connect("db.example:5432")?.peer_addr()?, address("10.1.0.2:5432"));
        assert_eq!(TcpListener::bind("localhost:80")?.local_addr()?, address("127.0.0.1:80"));
        assert_eq!(TcpStream::connect("nowhere.example:1").unwrap_err().kind(), ErrorKind::NotFound);
        Ok(())
    })
    .unwrap();
}

#[test]
fn names_and_addresses_of_ipv6_are_no_others() {
    on(&Network::new(), || {
        let listener = TcpListener::bind("[fd00::1]:80")?;
        let stream = TcpStream::connect("[fd00::1]:80")?;
        assert_eq!(
            (stream.local_addr()?.ip(), listener.accept()?.1),
            (Ipv6Addr::LOCALHOST.into(), stream.local_addr()?)
        );
        // All of one family are not all of the other, unless they are all of IPv6 and nobody says otherwise.
        let _v4 = TcpListener::bind("0.0.0.0:81")?;
        assert_eq!(TcpStream::connect("[::1]:81").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(TcpListener::bind("[::]:81").unwrap_err().kind(), ErrorKind::AddrInUse);
        let v6 = ListenOptions::new().only_v6(true).bind("[::]:81")?;
        TcpStream::connect("127.0.0.1:81")?;
        TcpStream::connect("[::1]:81")?;
        assert!(v6.accept()?.1.is_ipv6());
        v6.set_nonblocking(true)?;
        assert_eq!(v6.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "the other one is not its");
        let both = TcpListener::bind("[::]:82")?;
        TcpStream::connect("10.0.0.1:82")?;
        both.accept().map(drop)
    })
    .unwrap();
}

#[test]
fn clients_of_an_address_that_is_shared_are_given_to_one_or_the_other_as_the_seed_has_it() {
    let course = |seed| {
        on(&Network::new().seed(seed), || {
            let options = ListenOptions::new().reuse_port(true);
            let listeners = [options.bind("10.0.0.1:80")?, options.bind("10.0.0.1:80")?];
            assert_eq!(TcpListener::bind("10.0.0.1:80").unwrap_err().kind(), ErrorKind::AddrInUse);
            let mut course = Vec::new();
            for listener in &listeners {
                listener.set_nonblocking(true)?;
            }
            for _ in 0..20 {
                let _client = TcpStream::connect("10.0.0.1:80")?;
                course.extend((0..2).filter(|n| listeners[*n].accept().is_ok()));
            }
            Ok(course)
        })
        .unwrap()
    };
    let one = course(1);
    assert!(one.len() == 20 && one.contains(&0) && one.contains(&1), "{one:?}");
    assert!(one == course(1) && one != course(2));
}

#[test]
fn a_cut_cable_resets_everybody() {
    let network = Network::new();
    on(&network, || {
        let (a, b) = pair()?;
        network.reset_all();
        assert_eq!((&a).read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!((&b).write(b"?").unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!((&b).write(b"?").unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_the_network_cannot_carry_is_refused_with_a_reason() {
    let network = Network::new();
    let stream = on(&network, || {
        let (a, _b) = pair()?;
        let (kernel, _other) = std::os::unix::net::UnixStream::pair()?;
        let error = corio::readable(&kernel).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        Ok(a)
    })
    .unwrap();
    // Off its loop, and on another one.
    assert_eq!((&stream).read(&mut [0]).unwrap_err().kind(), ErrorKind::Unsupported);
    corio::run(|| {
        assert_eq!((&stream).read(&mut [0]).unwrap_err().kind(), ErrorKind::Unsupported);
        Ok(())
    })
    .unwrap();
    assert!(stream.try_clone().is_ok());
}

/// What arrives when on a network with that seed, of ten datagrams that are sent at once.
fn arrivals(network: Network) -> Vec<(Duration, u8)> {
    on(&network, || {
        let (one, other) = (UdpSocket::bind("10.0.0.2:0")?, UdpSocket::bind("0.0.0.0:9")?);
        let start = now();
        (0..10).try_for_each(|n| one.send_to(&[n], "10.0.0.1:9").map(drop))?;
        let mut byte = [0];
        let next = || timeout(secs(1), || other.recv(&mut byte)).ok().map(|_| (now() - start, byte[0]));
        Ok(std::iter::from_fn(next).collect())
    })
    .unwrap()
}

#[test]
fn datagrams_of_udp_change_places_are_lost_and_come_twice_as_the_seed_has_it() {
    let numbers = |network: Network| arrivals(network).into_iter().map(|(_, n)| n).collect::<Vec<u8>>();
    let all: Vec<u8> = (0..10).collect();
    assert_eq!(numbers(Network::new()), all);
    assert_eq!(numbers(Network::new().lose_one_in(1)), []);
    assert_eq!(numbers(Network::new().repeat_one_in(1)).len(), 20);

    let slow = |seed| Network::new().seed(seed).latency(millis(1)..=millis(100));
    let got = arrivals(slow(3));
    assert!(got.iter().all(|(at, _)| (millis(1)..=millis(100)).contains(at)) && got.is_sorted());
    let mut numbers_of_it = numbers(slow(3));
    assert_ne!(numbers_of_it, all, "some have overtaken others");
    numbers_of_it.sort();
    assert_eq!(numbers_of_it, all);

    let bad = |seed| slow(seed).lose_one_in(3).repeat_one_in(3);
    assert_eq!(arrivals(bad(5)), arrivals(bad(5)), "the same seed is the same run");
    let runs: Vec<_> = (0..20).map(|seed| numbers(bad(seed))).collect();
    assert!(runs.iter().any(|run| all.iter().any(|n| !run.contains(n))), "one is lost");
    assert!(runs.iter().any(|run| all.iter().any(|n| run.iter().filter(|m| *m == n).count() == 2)), "one comes twice");
}

#[test]
fn a_datagram_of_udp_that_finds_no_room_is_lost() {
    let network = Network::new().capacity(10);
    on(&network, || {
        let (one, other) = (UdpSocket::bind("10.0.0.2:0")?, UdpSocket::bind("10.0.0.1:9")?);
        for text in [&b"four"[..], b"five!", b"six", b"!", b"eleven bytes"] {
            one.send_to(text, "10.0.0.1:9")?; // nobody waits
        }
        let mut buffer = [0; 16];
        let mut got = Vec::new();
        while let Ok(n) = timeout(secs(1), || other.recv(&mut buffer)) {
            got.push(String::from_utf8_lossy(&buffer[..n]).into_owned());
        }
        assert_eq!(got, ["four", "five!", "!"]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn r18_waiting_for_a_datagram_that_can_never_come_is_a_deadlock() {
    let error = on(&Network::new(), || UdpSocket::bind("10.0.0.1:9")?.recv(&mut [0; 8])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
}

#[test]
fn groups_and_broadcasts_have_no_meaning_on_a_network_in_memory() {
    on(&Network::new(), || {
        let socket = UdpSocket::bind("0.0.0.0:9")?;
        let group = Ipv4Addr::new(239, 1, 2, 3);
        let refused = [
            socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED).unwrap_err(),
            socket.leave_multicast_v6(&Ipv6Addr::LOCALHOST, 0).unwrap_err(),
            socket.set_broadcast(true).unwrap_err(),
            socket.multicast_ttl_v4().unwrap_err(),
            socket.send_to(b"!", (group, 9)).unwrap_err(),
            socket.send_to(b"!", (Ipv4Addr::BROADCAST, 9)).unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
        assert_eq!(socket.into_std().unwrap_err().kind(), ErrorKind::Unsupported);
        // A socket of the system is not of this network.
        let kernel = UdpSocket::from_std(std::net::UdpSocket::bind("127.0.0.1:0")?)?;
        assert_eq!(kernel.recv(&mut [0]).unwrap_err().kind(), ErrorKind::Unsupported);
        Ok(())
    })
    .unwrap();
}

#[test]
fn unix_sockets_know_no_latency_no_loss_and_no_cut_cables() {
    let network = Network::new().latency(secs(60)..=secs(60)).lose_one_in(1);
    on(&network, || {
        let start = now();
        let listener = UnixListener::bind("/run/server")?;
        let near = UnixStream::connect("/run/server")?; // before it is accepted, as a kernel has it
        let (far, _) = listener.accept()?;
        network.reset_all();
        (&near).write_all(b"1")?;
        (&far).read_exact(&mut [0])?;
        let (inbox, sender) = (UnixDatagram::bind("/run/inbox")?, UnixDatagram::unbound()?);
        sender.send_to(b"!", "/run/inbox")?;
        let (n, from) = inbox.recv_from(&mut [0; 8])?;
        assert_eq!((n, from.is_unnamed(), now()), (1, true, start));
        // One name, whatever has it; and the wrong kind of socket is no partner.
        assert_eq!(UnixDatagram::bind("/run/server").unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(UnixListener::bind("/run/inbox").unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(UnixStream::connect("/run/inbox").unwrap_err().raw_os_error(), Some(libc::EPROTOTYPE));
        assert!(!std::path::Path::new("/run/inbox").exists());
        inbox.shutdown(Shutdown::Read)?;
        assert_eq!(inbox.recv(&mut [0])?, 0);
        assert_eq!(sender.send_to(b"!", "/run/inbox").unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
    .unwrap();
    assert_eq!(network.open(), 0);
}

#[test]
fn a_unix_stream_waits_while_the_queue_of_the_listener_is_full() {
    on(&Network::new(), || {
        let listener = UnixListener::bind("/run/busy")?;
        scope(|s| {
            let clients =
                s.spawn(|| gather(0..1_500, |_| UnixStream::connect("/run/busy").map(drop)).map(|all| all.len()));
            sleep(secs(1))?;
            assert!(!clients.is_done(), "1,024 fit");
            for _ in 0..1_500 {
                listener.accept()?;
            }
            assert_eq!(clients.join()?, 1_500);
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn on_the_real_clock_the_network_takes_its_time() {
    let network = Network::new().latency(millis(3)..=millis(3));
    let backend = Backend::Simulated(network);
    Runner::new()
        .backend(backend)
        .run(|| {
            let start = now();
            let (a, b) = pair()?;
            let answer = spawn(move || {
                (&a).write_all(b"1")?;
                // A thread that calls in wakes the loop from its sleep on the network.
                to_thread(|| std::thread::sleep(millis(2)))
            });
            (&b).read_exact(&mut [0])?;
            assert!(now() - start >= millis(9));
            answer.join()
        })
        .unwrap();
}

#[test]
fn an_unknown_backend_of_the_environment_is_an_error_that_names_the_known_ones() {
    const CHILD: &str = "CORIO_TEST_UNKNOWN_BACKEND";
    if std::env::var_os(CHILD).is_some() {
        let error = corio::run(|| Ok(())).unwrap_err();
        assert!(error.to_string().contains("`mio` or `poll`"), "{error}");
        return;
    }
    let me = std::env::current_exe().unwrap();
    let name = "an_unknown_backend_of_the_environment_is_an_error_that_names_the_known_ones";
    let mut child = std::process::Command::new(me);
    let output = child.args(["--exact", name]).env(CHILD, "1").env("CORIO_BACKEND", "uvloop").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn random_networks_under_random_schedules_lose_nothing() {
    for seed in 0..200 {
        let random = testing::Random::new(seed);
        let network = Network::new()
            .seed(seed)
            .latency(Duration::ZERO..=millis(random.below(40)))
            .capacity(1 + random.below(300) as usize)
            .short_reads(1 + random.below(100) as usize)
            .short_writes(1 + random.below(100) as usize);
        let backend = Backend::Simulated(network.clone());
        let end = Runner::new().virtual_clock().seed(seed).backend(backend).run(|| {
            let (listener, address) = listen()?;
            scope(|s| {
                s.spawn(|| {
                    for _ in 0..5 {
                        let (mut stream, _) = listener.accept()?;
                        s.spawn(move || {
                            let mut text = Vec::new();
                            stream.read_to_end(&mut text)?;
                            text.reverse();
                            stream.write_all(&text)
                        });
                    }
                    Ok(())
                });
                for n in 0..5 {
                    let text = bytes(100 * n + random.below(50) as usize);
                    s.spawn(move || {
                        let mut stream = TcpStream::connect(address)?;
                        stream.write_all(&text)?;
                        stream.shutdown(Shutdown::Write)?;
                        let mut answer = Vec::new();
                        stream.read_to_end(&mut answer)?;
                        answer.reverse();
                        assert!(answer == text);
                        Ok(())
                    });
                }
                Ok(())
            })
        });
        end.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(network.open(), 0, "seed {seed}");
    }
}

/// Who closes a listener closes it for all its handles: whoever waits on another one is told, and an iterator ends.
#[test]
fn a_listener_is_closed_for_all_its_handles() {
    everywhere(|| {
        let (listener, _) = listen()?;
        let second = listener.try_clone()?;
        let waiter = spawn(move || {
            let ends: Vec<_> = second.incoming().take(100).map(|client| client.map(drop)).collect();
            Ok((ends, second.accept().map(drop)))
        });
        yield_now()?;
        yield_now()?;
        listener.close();
        let (ends, later) = timeout(secs(60), || waiter.join())?;
        assert_eq!(ends.len(), 1, "{ends:?}");
        for end in ends.into_iter().chain([later, listener.accept().map(drop)]) {
            assert_eq!(end.unwrap_err().kind(), ErrorKind::BrokenPipe);
        }
        Ok(())
    });
}

/// A server whose listener is closed by way of another handle is stopped: the connections that it has may end well.
#[test]
fn a_server_whose_listener_is_closed_elsewhere_stops_with_its_grace() {
    everywhere(|| {
        let (listener, address) = listen()?;
        let second = listener.try_clone()?;
        let server = Server::new([second]);
        scope(|s| {
            let serving = s.spawn(|| {
                server.serve(|mut stream| {
                    let mut word = [0; 3];
                    stream.read_exact(&mut word)?;
                    sleep(millis(20))?; // the listener is closed meanwhile
                    stream.write_all(b"bye")
                })
            });
            let mut client = TcpStream::connect(address)?;
            client.write_all(b"hey")?;
            sleep(millis(10))?;
            listener.close();
            let mut answer = String::new();
            client.read_to_string(&mut answer)?;
            assert_eq!(answer, "bye");
            timeout(secs(60), || serving.join())
        })
    });
}

/// Who closes a socket of datagrams tells those who wait for it, and those who come later.
#[test]
fn a_socket_of_datagrams_that_is_closed_wakes_who_waits() {
    everywhere(|| {
        let (udp, unix) = (Rc::new(UdpSocket::bind("127.0.0.1:0")?), Rc::new(UnixDatagram::unbound()?));
        let second = udp.try_clone()?;
        let waiters = [
            spawn({
                let udp = udp.clone();
                move || Ok(udp.recv_from(&mut [0; 8]).map(drop))
            }),
            spawn(move || Ok(second.recv_from(&mut [0; 8]).map(drop))),
            spawn({
                let unix = unix.clone();
                move || Ok(unix.recv(&mut [0; 8]).map(drop))
            }),
        ];
        sleep(millis(1))?;
        udp.close();
        unix.close();
        for waiter in waiters {
            assert_eq!(timeout(secs(60), || waiter.join())?.unwrap_err().kind(), ErrorKind::BrokenPipe);
        }
        assert_eq!(udp.recv_from(&mut [0; 8]).unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(unix.send(b"late").unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
}
