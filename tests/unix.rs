//! Unix stream sockets.
//!
//! Ids (UNIX-01, F9 and so on) are lines of asyncio's behaviours and rows of the table of faults.
//!
//! What is about files and about listeners of others needs the kernel.

mod common;

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use common::Directory;
use common::backends::{everywhere, is_simulated, path, without_a_queue};
use corio::net::{UnixDatagram, UnixListener, UnixStream};
use corio::{is_cancelled, is_timed_out, millis, run, scope, sleep, spawn, timeout, yield_now};

/// UNIX-01: a server and its clients, over a path. A network in memory makes no file of it.
#[test]
fn unix_01_a_server_and_a_client_exchange_data() {
    everywhere(|| {
        let path = path("streams");
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
        let listener = UnixListener::bind(&path)?;
        assert_eq!(listener.local_addr()?.as_pathname(), Some(&*path));
        scope(|s| {
            s.spawn(|| {
                let (mut stream, from) = listener.accept()?;
                assert!(from.is_unnamed());
                assert_eq!(stream.local_addr()?.as_pathname(), Some(&*path));
                let mut text = String::new();
                stream.read_to_string(&mut text)?;
                stream.write_all(text.to_uppercase().as_bytes())
            });
            let mut stream = UnixStream::connect(&path)?;
            assert_eq!(stream.peer_addr()?.as_pathname(), Some(&*path));
            stream.write_all(b"a question that is not so short")?;
            stream.shutdown(Shutdown::Write)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            assert_eq!(answer, "A QUESTION THAT IS NOT SO SHORT");
            Ok(())
        })?;
        let error = UnixListener::bind(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        drop(listener);
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::NotFound, "the name is free again");
        assert_eq!(UnixStream::connect("").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(UnixListener::bind("x".repeat(200)).unwrap_err().kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

/// UNIX-01: the same over an abstract name.
#[cfg(target_os = "linux")]
#[test]
fn unix_01_an_abstract_name_needs_no_file() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("corio-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
    everywhere(|| {
        let listener = UnixListener::bind_addr(&address)?;
        let client = UnixStream::connect_addr(&address)?;
        let (mut server, _) = listener.accept()?;
        (&client).write_all(b"!")?;
        server.read_exact(&mut [0])?;
        assert_eq!(UnixListener::bind_addr(&address).unwrap_err().kind(), ErrorKind::AddrInUse);
        Ok(())
    });
}

/// Ends of a pair and clients have no name; who has an abstract one is answered there.
#[test]
fn dgram_01_senders_without_a_name_and_with_an_abstract_one_are_heard() {
    everywhere(|| {
        let path = path("datagrams");
        let server = UnixDatagram::bind(&path)?;
        UnixDatagram::unbound()?.send_to(b"nobody", &path)?;
        let mut buffer = [0; 8];
        let (n, from) = server.recv_from(&mut buffer)?;
        assert!(n == 6 && from.is_unnamed(), "{n} bytes from {from:?}");
        assert_eq!(server.send_to(b"?", "").unwrap_err().kind(), ErrorKind::InvalidInput);
        let (one, other) = UnixDatagram::pair()?;
        one.send(b"pair")?;
        assert!(other.recv_from(&mut buffer)?.1.is_unnamed());
        assert!(one.local_addr()?.is_unnamed() && one.peer_addr()?.is_unnamed());
        let (one, other) = UnixStream::pair()?;
        assert!(one.local_addr()?.is_unnamed() && other.peer_addr()?.is_unnamed());
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt;
            let name = format!("corio-datagrams-{}", std::process::id());
            let address = std::os::unix::net::SocketAddr::from_abstract_name(&name)?;
            let client = UnixDatagram::bind_addr(&address)?;
            assert_eq!(client.local_addr()?.as_abstract_name(), Some(name.as_bytes()));
            client.send_to(b"question", &path)?;
            let from = server.recv_from(&mut buffer)?.1;
            server.send_to_addr(b"answer", &from)?;
            assert_eq!(client.recv_from(&mut buffer)?.1.as_pathname(), Some(&*path));
        }
        if !is_simulated(&server) {
            fs::remove_file(&path)?;
        }
        Ok(())
    });
}

#[test]
fn a_datagram_socket_has_its_path_alone_and_answers_there() {
    everywhere(|| {
        let (inbox, answers) = (path("inbox"), path("answers"));
        let (one, other) = (UnixDatagram::bind(&answers)?, UnixDatagram::bind(&inbox)?);
        assert_eq!(UnixDatagram::bind(&inbox).unwrap_err().kind(), ErrorKind::AddrInUse);
        one.send_to(b"ping", &inbox)?;
        let mut buffer = [0; 8];
        let (n, from) = other.recv_from(&mut buffer)?;
        assert_eq!((&buffer[..n], from.as_pathname()), (&b"ping"[..], Some(&*answers)));
        other.connect(&answers)?;
        other.send(b"pong")?;
        assert_eq!(one.recv(&mut buffer)?, 4);
        let simulated = is_simulated(&one);
        drop((one, other));
        if !simulated {
            [&inbox, &answers].into_iter().try_for_each(fs::remove_file)?;
        }
        assert_eq!(UnixDatagram::unbound()?.send_to(b"?", &inbox).unwrap_err().kind(), ErrorKind::NotFound);
        Ok(())
    });
}

/// UNIX-02: the file of a server that died is replaced; that of one that lives, and what is no socket, are not.
#[test]
fn f9_unix_02_only_an_abandoned_socket_is_replaced() {
    let directory = Directory::new();
    let path = directory.path("socket");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap()); // std leaves the file
    let listener = UnixListener::bind(&path).unwrap();
    let error = UnixListener::bind(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    let file = directory.path("file");
    fs::write(&file, "precious").unwrap();
    assert_eq!(UnixListener::bind(&file).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn whoever_listens_at_a_path_does_not_notice_that_it_was_asked_for() {
    let directory = Directory::new();
    let path = directory.path("socket");
    let living = std::os::unix::net::UnixListener::bind(&path).unwrap();
    living.set_nonblocking(true).unwrap();
    assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(living.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "no client came");
    drop(living);
    // Nor is one taken away that takes no streams, or that does not listen yet.
    fs::remove_file(&path).unwrap();
    let datagrams = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(datagrams);
    fs::remove_file(&path).unwrap();
    let bound = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    bound.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(bound);
    UnixListener::bind(&path).unwrap();
}

/// UNIX-03: the file goes with its listener, if it is still the one that it made, and unless it is to be kept.
#[test]
fn f9_unix_03_only_the_file_that_the_listener_made_is_removed() {
    let directory = Directory::new();
    let path = directory.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    drop(listener); // gone already: nobody complains

    let listener = UnixListener::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists(), "that is another one's");
    other.keep_file(true);
    drop(other);
    assert!(path.exists());
    // What was taken over from std stays as std leaves it.
    fs::remove_file(&path).unwrap();
    let std = std::os::unix::net::UnixListener::bind(&path).unwrap();
    drop(UnixListener::from_std(std).unwrap());
    assert!(path.exists());
}

/// UNIX-04: nothing there, or nobody who listens.
#[test]
fn unix_04_connecting_to_nothing_says_what_is_missing() {
    let directory = Directory::new();
    run(|| {
        let path = directory.path("socket");
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
        drop(std::os::unix::net::UnixListener::bind(&path)?);
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(UnixDatagram::unbound()?.connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_client_waits_while_the_queue_of_the_listener_is_full() {
    let directory = Directory::new();
    let path = directory.path("socket");
    let socket = without_a_queue(&path);
    run(|| {
        let listener = UnixListener::from_std(socket.into())?;
        scope(|s| {
            let clients: Vec<_> = (0..5).map(|_| s.spawn(|| UnixStream::connect(&path))).collect();
            sleep(millis(5))?;
            assert!(clients.iter().any(|client| !client.is_done()), "one of five does not fit into a queue of none");
            let mut accepted = Vec::new();
            for _ in 0..5 {
                accepted.push(listener.accept()?);
            }
            for client in clients {
                client.join()?;
            }
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn b9_closing_a_listener_wakes_whoever_waits_on_any_thread() {
    let directory = Directory::new();
    let listener = Arc::new(UnixListener::bind(directory.path("socket")).unwrap());
    let thread = std::thread::spawn({
        let listener = listener.clone();
        move || listener.accept().unwrap_err().kind()
    });
    run(|| {
        let waiting = spawn({
            let listener = listener.clone();
            move || Ok(listener.incoming().map(|stream| stream.unwrap_err().kind()).collect::<Vec<_>>())
        });
        yield_now()?;
        sleep(millis(5))?;
        listener.close();
        assert_eq!(waiting.join()?, [ErrorKind::BrokenPipe]);
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
    .unwrap();
    assert_eq!(thread.join().unwrap(), ErrorKind::BrokenPipe);
    assert_eq!(UnixStream::connect(directory.path("socket")).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn streams_of_this_machine_do_what_all_streams_do() {
    everywhere(|| {
        let (a, b) = UnixStream::pair()?;
        assert!(timeout(millis(5), || (&a).read(&mut [0])).is_err_and(|e| is_timed_out(&e)));
        (&b).write_all(b"xy")?;
        let mut byte = [0];
        assert_eq!((a.peek(&mut byte)?, byte), (1, *b"x"));
        a.set_read_timeout(Some(millis(5)))?;
        (&a).read_exact(&mut [0; 2])?;
        assert_eq!((&a).read(&mut byte).unwrap_err().kind(), ErrorKind::TimedOut);
        let second = a.try_clone()?;
        drop(a);
        (&second).write_all(b"from the clone")?;
        drop(second);
        let mut text = String::new();
        (&b).read_to_string(&mut text)?;
        assert_eq!(text, "from the clone");
        assert_eq!((&b).write(b"?").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let (a, _b) = UnixStream::pair()?;
        let reader = spawn(move || (&a).read(&mut [0]).map(drop));
        yield_now()?;
        reader.cancel();
        assert!(reader.join().is_err_and(|e: io::Error| is_cancelled(&e)));
        Ok(())
    });
}

#[test]
fn a_stream_of_this_machine_goes_to_std_and_back() {
    run(|| {
        let (a, mut b) = UnixStream::pair()?;
        let a = UnixStream::from_std(a.into_std()?)?;
        let task = spawn(move || a.into_std()?.write_all(b"blocking"));
        let mut text = String::new();
        b.read_to_string(&mut text)?;
        assert_eq!(text, "blocking");
        task.join()
    })
    .unwrap();
}
