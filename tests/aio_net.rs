//! Sockets that are awaited, and what else goes between futures, loops and threads.

mod common;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use common::backends::{
    HOME, at_home, awaited_pair as pair, bytes, everywhere_awaited, is_simulated, two_homes, without_a_queue,
};
use common::{Directory, Finally, logged, one_of_several, only, panic_of, sim, watchdog};
use corio::aio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, to_socket_addrs};
use corio::aio::{self, SendWrapper};
use corio::channel::oneshot;
use corio::net::ConnectOptions;
use corio::testing::Network;
use corio::{
    Backend, Event, Executor, LoopHandle, MissedTicks, RemoteHandle, Runner, is_cancelled, is_timed_out, millis, net,
    now, run, secs, sleep, spawn, timeout, to_thread, yield_now,
};
use futures_util::future::{join, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

// ---- streams --------------------------------------------------------------------------------------------------------

#[test]
fn many_clients_are_served_at_once() {
    everywhere_awaited(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.get_ref().local_addr()?;
        let server = aio::spawn_local(async move {
            for _ in 0..20 {
                let (stream, _) = listener.accept().await?;
                aio::spawn_local(async move {
                    let mut buffer = [0; 100];
                    loop {
                        let n = stream.read(&mut buffer).await?;
                        if n == 0 {
                            return Ok(());
                        }
                        stream.write_all(&buffer[..n]).await?;
                    }
                });
            }
            listener.accept().await.map(drop)
        });
        let clients: FuturesUnordered<_> = (0..20u8)
            .map(|n| async move {
                let stream = TcpStream::connect(address).await?;
                for round in 0..10u8 {
                    stream.write_all(&[n, round]).await?;
                    let mut answer = [0; 2];
                    stream.read_exact(&mut answer).await?;
                    assert_eq!(answer, [n, round]);
                }
                stream.shutdown(Shutdown::Write)?;
                assert_eq!(stream.read(&mut [0]).await?, 0);
                io::Result::Ok(())
            })
            .collect();
        let ends: Vec<io::Result<()>> = clients.collect().await;
        assert!(ends.into_iter().all(|end| end.is_ok()));
        server.cancel();
        assert!(is_cancelled(&server.await.unwrap_err()));
        Ok(())
    });
}

#[test]
fn more_than_a_socket_holds_goes_through_in_order() {
    everywhere_awaited(|| async {
        let (client, server) = pair().await?;
        let sent = bytes(if is_simulated(client.get_ref()) { 30_000 } else { 3_000_000 });
        let expected = sent.clone();
        let writer = aio::spawn_local(async move {
            client.write_all(&sent).await?;
            client.shutdown(Shutdown::Write)
        });
        let (mut got, mut buffer) = (Vec::new(), vec![0; 70_000]);
        loop {
            match server.read(&mut buffer).await? {
                0 => break,
                n => got.extend_from_slice(&buffer[..n]),
            }
        }
        assert!(got == expected);
        writer.await
    });
}

#[test]
fn one_task_reads_and_writes_at_once() {
    everywhere_awaited(|| async {
        let (client, server) = pair().await?;
        let mut buffer = [0; 5];
        let (heard, said) = join(server.read_exact(&mut buffer), async {
            server.write_all(b"first").await?;
            let mut first = [0; 5];
            client.read_exact(&mut first).await?;
            client.write_all(&first).await
        })
        .await;
        heard.and(said)?;
        assert_eq!(&buffer, b"first");
        Ok(())
    });
}

#[test]
fn a_read_that_is_given_up_has_taken_nothing() {
    everywhere_awaited(|| async {
        let (client, server) = pair().await?;
        let mut buffer = [0; 8];
        // By a time limit.
        assert!(is_timed_out(&aio::timeout(millis(1), server.read(&mut buffer)).await.unwrap_err()));
        // By whoever drops it in the middle.
        drop(select(pin!(server.read(&mut buffer)), pin!(aio::yield_now())).await);
        // By the cancellation of its task.
        let other = server.clone();
        let waiting = aio::spawn_local(async move { other.read(&mut [0; 8]).await });
        aio::yield_now().await?;
        aio::yield_now().await?;
        waiting.cancel();
        assert!(is_cancelled(&waiting.await.unwrap_err()));
        client.write_all(b"all of it").await?;
        let mut whole = [0; 9];
        server.read_exact(&mut whole).await?;
        assert_eq!(&whole, b"all of it");
        Ok(())
    });
}

#[test]
fn what_has_come_is_given_also_to_whoever_is_cancelled() {
    everywhere_awaited(|| async {
        let (client, server) = pair().await?;
        let reader = aio::spawn_local(async move {
            let (mut buffer, mut polls) = ([0; 8], 0);
            let n = {
                let mut read = pin!(server.read(&mut buffer));
                poll_fn(|context| {
                    polls += 1;
                    if polls == 2 {
                        corio::current().cancel(); // woken by the bytes, and cancelled before it has looked
                    }
                    read.as_mut().poll(context)
                })
                .await?
            };
            Ok((polls, buffer[..n].to_vec()))
        });
        aio::yield_now().await?;
        aio::yield_now().await?;
        client.write_all(b"bytes").await?;
        let (polls, got) = reader.await?;
        assert!(polls == 2 && !got.is_empty() && b"bytes".starts_with(&got[..]), "{polls} polls, {got:?}");
        Ok(())
    });
}

#[test]
fn a_waiting_read_keeps_a_program_from_being_hopeless_and_a_dropped_one_does_not() {
    for backend in [Backend::Mio, Backend::Poll] {
        let on = || Runner::new().backend(backend.clone());
        // Of the thread the loop knows nothing: that somebody waits for a descriptor is all the hope there is.
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let writer = thread::spawn(move || {
            thread::sleep(millis(20));
            theirs.write_all(b"x")
        });
        let read = on().run(move || {
            let ours = UnixStream::from(net::UnixStream::from_std(ours)?);
            aio::spawn_local(async move { ours.read(&mut [0; 8]).await }).join()
        });
        assert_eq!(read.unwrap(), 1);
        writer.join().unwrap().unwrap();

        let end = on().run(|| {
            aio::spawn_local(async {
                let (_client, server) = pair().await?;
                drop(select(pin!(server.read(&mut [0; 8])), pin!(aio::yield_now())).await);
                pending::<io::Result<()>>().await
            })
        });
        let error = end.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
    }
}

/// The kernel says once that there is something new; that it said so before the wait began again does not matter.
#[test]
fn a_read_goes_on_in_another_run_also_of_what_came_in_between() {
    for backend in [Backend::Mio, Backend::Poll] {
        let mut runner = Runner::new().ctrl_c(false).backend(backend);
        let (stream, peer) = runner.run(UnixStream::pair).unwrap();
        let mut byte = [0];
        let mut read = Box::pin(stream.read(&mut byte));
        assert!(runner.block_on(async { Ok(aio::timeout(millis(1), &mut read).await.is_err()) }).unwrap());
        peer.get_ref().write_all(b"!").unwrap();
        runner
            .block_on(async {
                aio::sleep(millis(10)).await?; // the loop hears of it
                let start = now();
                assert_eq!(aio::timeout(secs(30), &mut read).await??, 1);
                assert!(now() - start < secs(30), "it is told, and not found when somebody happens to look");
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn a_read_into_nothing_waits_for_nobody() {
    everywhere_awaited(|| async {
        let (client, _server) = pair().await?;
        assert!(is_timed_out(&aio::timeout(millis(1), client.read(&mut [0])).await.unwrap_err()));
        assert_eq!(client.read(&mut []).await?, 0);
        assert_eq!(client.peek(&mut []).await?, 0);
        let cancelled = aio::spawn_local(async move {
            corio::current().cancel();
            client.read(&mut []).await
        });
        assert!(is_cancelled(&cancelled.await.unwrap_err()));
        Ok(())
    });
}

#[test]
fn connecting_tries_each_address_and_names_all_that_failed() {
    everywhere_awaited(|| async {
        let nobody = TcpListener::bind("127.0.0.1:0").await?;
        let gone = nobody.get_ref().local_addr()?;
        drop(nobody);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.get_ref().local_addr()?;
        let stream = TcpStream::connect(&[gone, address][..]).await?;
        assert_eq!(stream.get_ref().peer_addr()?, address);
        let error = TcpStream::connect(&[gone, gone][..]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(error.to_string().matches(&gone.to_string()).count(), 2, "{error}");
        assert_eq!(TcpStream::connect("no address").await.unwrap_err().kind(), ErrorKind::InvalidInput);
        let none: &[net::SocketAddr] = &[];
        assert_eq!(TcpStream::connect(none).await.unwrap_err().kind(), ErrorKind::NotFound);
        Ok(())
    });
}

/// Counts the turns of the loop.
async fn count(turns: Rc<Cell<u32>>) -> io::Result<()> {
    loop {
        turns.set(turns.get() + 1);
        aio::yield_now().await?;
    }
}

#[test]
fn a_name_is_looked_up_while_others_run() {
    aio::block_on(async {
        let turns = Rc::new(Cell::new(0));
        let other = aio::spawn_local(count(turns.clone()));
        let waited = |before: u32| assert!(turns.get() > before, "nobody else ran");
        let before = turns.get();
        let listener = TcpListener::bind(("localhost", 0)).await?;
        waited(before);
        let before = turns.get();
        assert!(to_socket_addrs("localhost:1").await?.all(|address| address.ip().is_loopback()));
        waited(before);
        let port = listener.get_ref().local_addr()?.port();
        let stream = TcpStream::connect(("localhost", port)).await?;
        assert!(stream.get_ref().peer_addr()?.ip().is_loopback());
        let error = TcpStream::connect("a name that cannot be.invalid:1").await.unwrap_err();
        assert!(!is_cancelled(&error), "{error}");
        other.cancel();
        assert!(is_cancelled(&other.await.unwrap_err()));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_read_of_more_than_there_is_says_that_the_end_came_early() {
    everywhere_awaited(|| async {
        let (client, server) = pair().await?;
        client.write_all(b"abc").await?;
        client.shutdown(Shutdown::Write)?;
        let mut buffer = [0; 5];
        let error = server.read_exact(&mut buffer).await.unwrap_err();
        assert_eq!((error.kind(), &buffer), (ErrorKind::UnexpectedEof, b"abc\0\0"));
        assert_eq!(server.read_exact(&mut buffer).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        server.read_exact(&mut []).await // there is always as much
    });
}

#[test]
fn a_write_of_more_than_fits_that_is_given_up_has_sent_the_beginning() {
    everywhere_awaited(|| async {
        let (client, server) = pair().await?;
        let sent = bytes(if is_simulated(client.get_ref()) { 100_000 } else { 8 << 20 });
        let expected = sent.clone();
        let writer = aio::spawn_local(async move { client.write_all(&sent).await });
        aio::sleep(millis(5)).await?;
        writer.cancel();
        assert!(is_cancelled(&writer.await.unwrap_err()));
        let (mut got, mut buffer) = (Vec::new(), vec![0; 70_000]);
        loop {
            match server.read(&mut buffer).await? {
                0 => break,
                n => got.extend_from_slice(&buffer[..n]),
            }
        }
        assert!(!got.is_empty() && got.len() < expected.len() && expected.starts_with(&got), "{}", got.len());
        Ok(())
    });
}

/// More slices than one system call takes: what it leaves over is no sign of a full or an empty socket.
#[test]
fn several_buffers_are_read_and_written_thousands_too() {
    everywhere_awaited(|| async {
        let (client, server) = pair().await?;
        assert!(is_timed_out(&aio::timeout(millis(1), server.read(&mut [0])).await.unwrap_err())); // known to the loop
        let sent = bytes(3_001);
        let expected = sent.clone();
        let writer = aio::spawn_local(async move {
            let slices: Vec<_> = sent.chunks(1).map(IoSlice::new).collect();
            let mut written = 0;
            while written < slices.len() {
                written += client.write_vectored(&slices[written..]).await?;
            }
            Ok(client)
        });
        let (mut got, mut read) = (vec![[0; 1]; expected.len()], 0);
        while read < got.len() {
            let mut slices: Vec<_> = got[read..].iter_mut().map(|byte| IoSliceMut::new(byte)).collect();
            read += server.read_vectored(&mut slices).await?;
        }
        assert!(got.concat() == expected);
        let client = writer.await?;
        assert_eq!(server.read_vectored(&mut [IoSliceMut::new(&mut []), IoSliceMut::new(&mut [])]).await?, 0);
        assert_eq!(client.write_vectored(&[]).await?, 0);
        Ok(())
    });
}

#[test]
fn clones_of_a_listener_share_its_clients() {
    everywhere_awaited(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.get_ref().local_addr()?;
        let servers: Vec<_> = (0..3)
            .map(|_| {
                let listener = listener.clone();
                aio::spawn_local(async move { listener.accept().await.map(|(_, from)| from) })
            })
            .collect();
        let (mut clients, mut served) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await?);
        }
        for server in servers {
            served.push(server.await?);
        }
        let mut wanted: Vec<_> =
            clients.iter().map(|client| client.get_ref().local_addr()).collect::<io::Result<_>>()?;
        served.sort();
        wanted.sort();
        assert_eq!(served, wanted);
        let clone = listener.clone();
        assert_eq!(listener.into_direct().unwrap_err().kind(), ErrorKind::ResourceBusy);
        clone.into_direct().map(drop)
    });
}

// ---- options of a connection ----------------------------------------------------------------------------------------

/// A host with an address of each family.
fn at_home_awaited<F: Future<Output = io::Result<()>> + 'static>(network: &Network, program: F) {
    at_home(network, || aio::spawn_local(program).join());
}

#[test]
fn happy_eyeballs_tries_the_next_address_beside_one_that_is_slow() {
    let (network, one, _) = two_homes();
    at_home_awaited(&network, async move {
        let _listener = TcpListener::bind(one).await?;
        let (happy, start) = (ConnectOptions::new().happy_eyeballs(true), now());
        let stream = TcpStream::connect_with(&happy, HOME).await?;
        assert_eq!(stream.get_ref().peer_addr()?, one);
        assert_eq!(now() - start, millis(650), "a head start of 250 ms, and there and back");
        // One after the other it takes longer.
        let start = now();
        TcpStream::connect_with(&ConnectOptions::new(), HOME).await?;
        assert_eq!(now() - start, millis(800));
        Ok(())
    });
}

#[test]
fn happy_eyeballs_does_not_wait_for_one_that_has_failed_and_takes_the_first_that_answers() {
    let (network, one, other) = two_homes();
    at_home_awaited(&network, async move {
        let happy = ConnectOptions::new().happy_eyeballs(true);
        // The third begins after the first two have had their head starts, though the first has failed meanwhile.
        let third: net::SocketAddr = "10.0.0.3:80".parse().unwrap();
        let listener = TcpListener::bind(third).await?;
        let start = now();
        TcpStream::connect_with(&happy, &[other, one, third][..]).await?;
        assert_eq!(now() - start, millis(900));
        // Of another family than this end: such an address fails at once, and the next one has its turn.
        let start = now();
        let from_here = happy.clone().local("10.0.0.9:0".parse().unwrap());
        TcpStream::connect_with(&from_here, &[other, third][..]).await?;
        assert_eq!(now() - start, millis(400));
        drop(listener);
        // The first one answers, late, but before the others: those are given up.
        let _listener = TcpListener::bind(other).await?;
        let start = now();
        let stream = TcpStream::connect_with(&happy, &[other, one, third][..]).await?;
        assert_eq!((stream.get_ref().peer_addr()?, now() - start), (other, millis(400)));
        Ok(())
    });
}

#[test]
fn when_no_address_answers_the_error_tells_of_all_and_nothing_is_left() {
    let (network, one, other) = two_homes();
    at_home_awaited(&network, async move {
        let happy = ConnectOptions::new().happy_eyeballs(true);
        let error = TcpStream::connect_with(&happy, HOME).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!(text.contains(&one.to_string()) && text.contains(&other.to_string()), "{text}");

        let start = now();
        let late = ConnectOptions::new().limit(millis(300));
        assert!(is_timed_out(&TcpStream::connect_with(&late, HOME).await.unwrap_err()));
        assert_eq!(now() - start, millis(300));
        let each = ConnectOptions::new().limit_of_each(millis(100));
        let error = TcpStream::connect_with(&each, HOME).await.unwrap_err();
        assert!(error.kind() == ErrorKind::TimedOut && error.to_string().contains(&one.to_string()), "{error}");
        assert_eq!(now() - start, millis(500));
        let nothing = ConnectOptions::new().limit_of_each(millis(0));
        assert_eq!(TcpStream::connect_with(&nothing, one).await.unwrap_err().kind(), ErrorKind::InvalidInput);

        for options in [ConnectOptions::new(), happy.clone(), happy.limit_of_each(secs(9)).limit(secs(9))] {
            let given_up = aio::spawn_local(async move { TcpStream::connect_with(&options, HOME).await });
            aio::sleep(millis(300)).await?;
            given_up.cancel();
            assert!(is_cancelled(&given_up.await.unwrap_err()));
        }
        Ok(())
    });
}

#[test]
fn a_client_may_choose_its_address() {
    everywhere_awaited(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.get_ref().local_addr()?;
        let local = net::TcpListener::bind("127.0.0.2:0")?.local_addr()?; // a port that nobody has
        let options = ConnectOptions::new().limit(secs(20)).local(local);
        let stream = TcpStream::connect_with(&options, address).await?;
        assert_eq!((stream.get_ref().local_addr()?, listener.accept().await?.1), (local, local));
        let other_family = ConnectOptions::new().local("[::1]:0".parse().unwrap());
        assert!(TcpStream::connect_with(&other_family, address).await.is_err());
        Ok(())
    });
}

#[test]
fn a_closed_listener_tells_whoever_waits() {
    everywhere_awaited(|| async {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
        let waiting = aio::spawn_local({
            let listener = listener.clone();
            async move { listener.accept().await.map(drop) }
        });
        aio::yield_now().await?;
        aio::yield_now().await?;
        listener.get_ref().close();
        assert_eq!(waiting.await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(listener.accept().await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
}

#[test]
fn a_stream_goes_from_one_style_to_the_other_and_back() {
    everywhere_awaited(|| async {
        let (client, server) = pair().await?;
        let mut direct = client.into_direct()?;
        let coroutine = spawn(move || {
            direct.write_all(b"direct ")?;
            Ok(direct)
        });
        let client = TcpStream::from(coroutine.await?);
        client.write_all(b"awaited").await?;
        let clone = server.clone();
        let refused = server.into_direct().unwrap_err();
        assert!(refused.kind() == ErrorKind::ResourceBusy && refused.to_string().contains("clones"), "{refused}");
        let mut server = clone.into_direct()?;
        let reader = spawn(move || {
            let mut text = [0; 14];
            server.read_exact(&mut text)?;
            Ok(text)
        });
        assert_eq!(&reader.await?, b"direct awaited");
        Ok(())
    });
}

#[test]
fn the_time_limits_and_modes_of_the_direct_style_do_not_count() {
    everywhere_awaited(|| async {
        let (client, server) = pair().await?;
        let server = server.into_direct()?;
        server.set_read_timeout(Some(millis(1)))?;
        server.set_nonblocking(true)?;
        let server = TcpStream::from(server);
        let reader = aio::spawn_local(async move { server.read(&mut [0; 8]).await });
        aio::sleep(millis(20)).await?;
        client.write_all(b"late").await?;
        assert!(reader.await? > 0);
        Ok(())
    });
}

#[test]
fn a_stream_that_is_waited_for_is_not_taken_to_another_loop() {
    aio::block_on(async {
        let (_client, server) = pair().await?;
        let server = Rc::new(server);
        let reader = server.clone();
        let waiting = aio::spawn_local(async move { reader.read(&mut [0; 8]).await });
        aio::yield_now().await?;
        aio::yield_now().await?;
        assert_eq!(server.get_ref().release().unwrap_err().kind(), ErrorKind::ResourceBusy);
        waiting.cancel();
        assert!(is_cancelled(&waiting.await.unwrap_err()));
        server.get_ref().release()
    })
    .unwrap();
}

// ---- datagrams and sockets of the machine ---------------------------------------------------------------------------

#[test]
fn datagrams_come_whole_and_from_somebody() {
    everywhere_awaited(|| async {
        let (one, two) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
        let (address, to) = (one.get_ref().local_addr()?, two.get_ref().local_addr()?);
        let reader = aio::spawn_local(async move {
            let mut buffer = [0; 100];
            assert_eq!(two.peek(&mut buffer).await?, 5);
            let (n, from) = two.recv_from(&mut buffer).await?;
            two.connect(from).await?;
            two.send(&buffer[..n]).await?;
            Ok(from)
        });
        aio::yield_now().await?;
        assert_eq!(one.send_to(b"hello", to).await?, 5);
        assert_eq!(one.recv(&mut [0; 3]).await?, 3);
        assert_eq!(reader.await?, address);
        Ok(())
    });
}

#[test]
fn sockets_with_paths_are_awaited_too() {
    let directory = Directory::new();
    let (stream_path, datagram_path) = (directory.path("stream"), directory.path("datagram"));
    everywhere_awaited(|| {
        let (stream_path, datagram_path) = (stream_path.clone(), datagram_path.clone());
        async move {
            let listener = UnixListener::bind(&stream_path)?;
            let (connected, accepted) = join(UnixStream::connect(&stream_path), listener.accept()).await;
            let (client, (server, _)) = (connected?, accepted?);
            client.write_all(b"hello").await?;
            let mut buffer = [0; 5];
            server.read_exact(&mut buffer).await?;
            assert_eq!(&buffer, b"hello");
            drop((listener, client, server));

            let (server, client) = (UnixDatagram::bind(&datagram_path)?, UnixDatagram::unbound()?);
            client.send_to(b"hello", &datagram_path).await?;
            let (n, from) = server.recv_from(&mut buffer).await?;
            assert!(n == 5 && from.is_unnamed());
            drop(server);
            let _ = std::fs::remove_file(&datagram_path);
            Ok(())
        }
    });
}

#[test]
fn a_datagram_is_looked_at_told_of_and_received_by_one_of_the_clones() {
    everywhere_awaited(|| async {
        let (one, two) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
        let (from, to) = (one.get_ref().local_addr()?, two.get_ref().local_addr()?);
        let mut buffer = [0; 3];
        one.send_to(b"too long", to).await?;
        assert_eq!(two.peek_from(&mut buffer).await?, (3, from));
        let received = two.recv_msg(&mut buffer).await?;
        assert_eq!((received.len, received.from, received.truncated), (3, from, true));
        let none: &[net::SocketAddr] = &[];
        assert_eq!(one.send_to(b"nowhere", none).await.unwrap_err().kind(), ErrorKind::InvalidInput);

        let readers: Vec<_> = (0..3)
            .map(|_| {
                let two = two.clone();
                aio::spawn_local(async move {
                    let received = two.recv_msg(&mut [0; 8]).await?;
                    Ok((received.len, received.truncated))
                })
            })
            .collect();
        for datagram in [&b""[..], b"1", b"22"] {
            one.send_to(datagram, to).await?;
        }
        let mut lengths = Vec::new();
        for reader in readers {
            lengths.push(reader.await?);
        }
        lengths.sort();
        assert_eq!(lengths, [(0, false), (1, false), (2, false)]);
        let clone = two.clone();
        assert_eq!(two.into_direct().unwrap_err().kind(), ErrorKind::ResourceBusy);
        clone.into_direct().map(drop)
    });
}

#[test]
fn a_datagram_waits_while_there_is_no_room_for_it() {
    let directory = Directory::new();
    let path = directory.path("inbox");
    everywhere_awaited(|| {
        let path = path.clone();
        async move {
            const COUNT: u32 = 3_000;
            // Connected: the kernel tells when there is room.
            let (one, other) = UnixDatagram::pair()?;
            let sender = aio::spawn_local(async move {
                for n in 0..COUNT {
                    one.send(&n.to_ne_bytes()).await?;
                }
                Ok(())
            });
            let mut buffer = [0; 4];
            for n in 0..COUNT {
                assert_eq!((other.recv(&mut buffer).await?, u32::from_ne_bytes(buffer)), (4, n));
            }
            sender.await?;
            // Not connected: it does not.
            let (inbox, sender) = (UnixDatagram::bind(&path)?, UnixDatagram::unbound()?);
            let address = inbox.get_ref().local_addr()?;
            let sender = aio::spawn_local(async move {
                for n in 0..COUNT / 10 {
                    sender.send_to_addr(&n.to_ne_bytes(), &address).await?;
                }
                Ok(())
            });
            for n in 0..COUNT / 10 {
                assert_eq!((inbox.recv(&mut buffer).await?, u32::from_ne_bytes(buffer)), (4, n));
            }
            sender.await?;
            let _ = std::fs::remove_file(&path);
            Ok(())
        }
    });
}

#[test]
fn whoever_finds_a_queue_full_asks_again_until_he_is_cancelled() {
    let directory = Directory::new();
    let path = directory.path("inbox");
    aio::block_on(async {
        let (inbox, sender) = (UnixDatagram::bind(&path)?, UnixDatagram::unbound()?);
        let sent = Cell::new(0);
        let all = async {
            loop {
                sender.send_to(b"x", &path).await?;
                sent.set(sent.get() + 1);
            }
        };
        let end: io::Result<io::Result<()>> = aio::timeout(millis(50), all).await;
        assert!(is_timed_out(&end.unwrap_err()) && sent.get() > 0);
        let waiting = aio::spawn_local({
            let (sender, path) = (sender.clone(), path.clone());
            async move { sender.send_to(b"last", &path).await }
        });
        let given_up = aio::spawn_local({
            let path = path.clone();
            async move { sender.send_to(b"never", &path).await }
        });
        aio::sleep(millis(5)).await?;
        assert!(!waiting.is_done() && !given_up.is_done());
        given_up.cancel();
        assert!(is_cancelled(&given_up.await.unwrap_err()));
        let mut buffer = [0; 8];
        for _ in 0..sent.get() {
            assert_eq!(inbox.recv(&mut buffer).await?, 1);
        }
        assert_eq!((waiting.await?, inbox.recv(&mut buffer).await?), (4, 4));
        assert!(aio::timeout(millis(5), inbox.recv(&mut buffer)).await.is_err(), "what was given up was sent");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_client_waits_while_the_queue_of_the_listener_is_full() {
    let directory = Directory::new();
    let path = directory.path("socket");
    let socket = without_a_queue(&path);
    aio::block_on(async {
        let listener = UnixListener::from(net::UnixListener::from_std(socket.into())?);
        let address = listener.get_ref().local_addr()?;
        let clients: Vec<_> = (0..6)
            .map(|n| {
                let (path, address) = (path.clone(), address.clone());
                aio::spawn_local(async move {
                    if n % 2 == 0 { UnixStream::connect(path).await } else { UnixStream::connect_addr(&address).await }
                })
            })
            .collect();
        aio::sleep(millis(5)).await?;
        let mut waiting: Vec<_> = clients.into_iter().filter(|client| !client.is_done()).collect();
        assert!(waiting.len() > 1, "six do not fit into a queue of none");
        let given_up = waiting.pop().unwrap();
        given_up.cancel();
        assert!(is_cancelled(&given_up.await.unwrap_err()));
        for _ in 0..5 {
            listener.accept().await?;
        }
        for client in waiting {
            client.await?;
        }
        Ok(())
    })
    .unwrap();
}

// ---- work elsewhere -------------------------------------------------------------------------------------------------

/// Runs a future on this thread, with no loop of ours.
fn on_its_own<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let (waker, mut future) = (Waker::from(Arc::new(Unpark(thread::current()))), pin!(future));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn is_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn a_task_of_a_loop_is_awaited_from_anywhere() {
    run(|| {
        let here = LoopHandle::current()?;
        let answer = to_thread(move || {
            on_its_own(is_send(async move {
                let task = here.spawn(|| {
                    sleep(millis(1))?;
                    Ok("from a coroutine")
                });
                task.await
            }))
        })??;
        assert_eq!(answer, "from a coroutine");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_job_is_awaited_and_holds_a_virtual_clock() {
    sim(|| {
        let executor = Executor::new(1)?;
        let job = executor.spawn(|| thread::sleep(millis(20)));
        aio::spawn_local(async move { aio::timeout(secs(1), job).await? }).join()?;
        executor.shutdown()
    })
    .unwrap();
}

/// As one may join another: whoever waits for a job of his own pool does it himself.
#[test]
fn a_job_may_await_another_of_its_pool() {
    let executor = Arc::new(Executor::new(1).unwrap());
    let inner = executor.clone();
    let mut outer = executor.spawn(move || on_its_own(inner.spawn(|| 20).into_future()).unwrap() + 1);
    assert_eq!(outer.join_timeout(secs(60)).unwrap(), 21);
}

#[test]
fn errors_and_panics_of_work_elsewhere_reach_whoever_awaits_it() {
    run(|| {
        let here = LoopHandle::current()?;
        let there = here.clone();
        let failed = aio::spawn_local(async move { there.spawn(|| Err::<(), _>(io::Error::other("a bad day"))).await });
        assert_eq!(failed.join().unwrap_err().to_string(), "a bad day");
        let panicked =
            aio::spawn_local(async move { here.spawn(|| -> io::Result<()> { panic!("a worse one") }).await });
        assert_eq!(panic_of(|| panicked.join()), "a worse one");
        Ok(())
    })
    .unwrap();
}

/// Work that takes long, and tells whether it was cancelled.
fn long_work(here: &LoopHandle) -> (RemoteHandle<()>, oneshot::Receiver<bool>) {
    let (tell, told) = oneshot::channel();
    let work = here.spawn(move || {
        let ended = sleep(secs(600));
        let _ = tell.send(ended.as_ref().err().is_some_and(|error| is_cancelled(error)));
        ended
    });
    (work, told)
}

#[test]
fn a_cancelled_task_passes_it_on_to_work_elsewhere() {
    run(|| {
        let (work, mut told) = long_work(&LoopHandle::current()?);
        let waiting = aio::spawn_local(async move { work.await });
        for _ in 0..3 {
            yield_now()?;
        }
        waiting.cancel();
        assert!(is_cancelled(&waiting.join().unwrap_err()));
        assert!(timeout(secs(60), || told.recv())?);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_cancellation_reaches_work_elsewhere_through_an_executor_in_between() {
    run(|| {
        let (work, mut told) = long_work(&LoopHandle::current()?);
        let waiting = aio::spawn_local(one_of_several(work.into_future()));
        for _ in 0..3 {
            yield_now()?;
        }
        waiting.cancel();
        assert!(is_cancelled(&waiting.join().unwrap_err()));
        assert!(timeout(secs(60), || told.recv())?);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_task_that_would_await_itself_is_told_so() {
    run(|| {
        let here = LoopHandle::current()?;
        let (sender, mut receiver) = oneshot::channel::<RemoteHandle<ErrorKind>>();
        let (tell, mut told) = oneshot::channel();
        let itself = here.spawn(move || {
            let error = aio::wait_on(receiver.recv()?)?.unwrap_err();
            let _ = tell.send(error.kind());
            Ok(error.kind())
        });
        let _ = sender.send(itself);
        assert_eq!(told.recv()?, ErrorKind::Deadlock);
        Ok(())
    })
    .unwrap();
}

/// R18: what was awaited here and is awaited on another thread now wakes nobody here.
#[test]
fn r18_a_loop_does_not_hope_for_what_another_thread_awaits() {
    let _watchdog = watchdog();
    let (sender, receiver) = channel();
    let executor = Executor::new(1).unwrap();
    let mut job = executor.spawn(move || receiver.recv().is_ok()).into_future();
    let mut elsewhere = None;
    let end = run(|| {
        let poll_once = poll_fn(|context| Poll::Ready(Pin::new(&mut job).poll(context).is_pending()));
        assert!(aio::wait_on(poll_once)?);
        elsewhere = Some(thread::spawn(move || on_its_own(job)));
        Event::new().wait()
    });
    assert_eq!(end.unwrap_err().kind(), ErrorKind::Deadlock);
    sender.send(()).unwrap();
    assert!(elsewhere.unwrap().join().unwrap().unwrap());
    executor.shutdown().unwrap();
}

#[test]
fn a_future_that_waits_elsewhere_and_goes_to_another_thread_leaves_no_trace() {
    let end = run(|| {
        let (sender, receiver) = channel();
        let executor = Executor::new(1)?;
        let job = executor.spawn(move || receiver.recv().is_ok());
        let mut job = job.into_future();
        aio::spawn_local(async move {
            // Polled here once, and then on another thread.
            assert!(poll_fn(|context| Poll::Ready(Pin::new(&mut job).poll(context).is_pending())).await);
            let elsewhere = thread::spawn(move || on_its_own(job));
            sender.send(()).unwrap();
            assert!(elsewhere.join().unwrap()?);
            Ok(())
        })
        .join()?;
        executor.shutdown()?;
        // Nobody is left who could wake anyone here.
        Event::new().wait()
    });
    let error = end.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
}

/// R19: it is the work of neither the task that ends, nor of whoever sends.
#[test]
fn a_waker_that_panics_is_nothing_to_whoever_wakes_it() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("no wake");
        }
    }
    let (ends, log) = logged(|| {
        run(|| {
            let here = LoopHandle::current()?;
            let mut ends = Vec::new();
            for how in 0..3 {
                let mut work = pin!(
                    here.spawn(move || match how {
                        0 => Ok(()),
                        1 => Err(io::Error::other("an error")),
                        _ => panic!("a panic"),
                    })
                    .into_future()
                );
                assert!(work.as_mut().poll(&mut Context::from_waker(&Arc::new(Panics).into())).is_pending());
                sleep(millis(1))?;
                ends.push(catch_unwind(AssertUnwindSafe(|| aio::wait_on(work))).map(|end| end.unwrap().is_ok()).ok());
            }
            let (sender, receiver) = corio::channel::mpsc::unbounded();
            let mut waits = pin!(aio::ready(&receiver));
            aio::wait_on(poll_fn(|_| {
                Poll::Ready(waits.as_mut().poll(&mut Context::from_waker(&Arc::new(Panics).into())).is_pending())
            }))?;
            sender.send(1)?;
            assert_eq!(aio::wait_on(waits)???, 1);
            Ok(ends)
        })
        .unwrap()
    });
    assert_eq!(ends, [Some(true), Some(false), None]);
    assert_eq!(log.iter().filter(|line| line.ends_with("a waker panicked: no wake")).count(), 4);
}

/// A waker may keep a whole task of somebody's: it goes with the wait, and not with the work.
#[test]
fn a_wait_for_work_elsewhere_that_is_given_up_keeps_no_waker() {
    struct Counts;
    impl Wake for Counts {
        fn wake(self: Arc<Self>) {}
    }
    let executor = Executor::new(1).unwrap();
    let (end, ended) = channel::<()>();
    let mut work = Box::pin(executor.spawn(move || ended.recv().is_err()).into_future());
    let wakers = [Arc::new(Counts), Arc::new(Counts)];
    for waker in &wakers {
        assert!(work.as_mut().poll(&mut Context::from_waker(&waker.clone().into())).is_pending());
    }
    assert_eq!(wakers.each_ref().map(Arc::strong_count), [1, 2]);
    drop(work);
    assert_eq!(wakers.each_ref().map(Arc::strong_count), [1, 1]);
    drop(end);
}

// ---- what must not leave its loop -----------------------------------------------------------------------------------

#[test]
fn what_is_wrapped_is_used_at_home_only() {
    run(|| {
        let wrapped = is_send(SendWrapper::new(Rc::new(7)));
        assert_eq!((wrapped.is_here(), **wrapped), (true, 7));
        let mut counter = is_send(SendWrapper::new(Rc::new(1)));
        *Rc::get_mut(&mut counter).unwrap() += 1;
        assert_eq!(**counter, 2);
        let inside = Rc::new(3);
        assert_eq!(aio::wait_on(is_send(SendWrapper::new(async move { *inside })))?, 3);
        let (wrapped, text) = to_thread(move || {
            assert!(!wrapped.is_here());
            let text = panic_of(|| **wrapped);
            (wrapped, text)
        })?;
        assert!(text.contains("another thread") && text.contains("LoopHandle::spawn"), "{text}");
        assert_eq!(Rc::strong_count(&wrapped.into_inner()), 1);
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_is_dropped_elsewhere_goes_home() {
    run(|| {
        let home = thread::current().id();
        let dropped = Rc::new(Cell::new(None));
        let seen = dropped.clone();
        let wrapped = SendWrapper::new(Finally(move || seen.set(Some(thread::current().id()))));
        to_thread(move || drop(wrapped))?;
        while dropped.get().is_none() {
            yield_now()?;
        }
        assert_eq!(dropped.get(), Some(home));
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_has_no_home_any_more_is_leaked_and_not_dropped_by_a_stranger() {
    let wrapped = thread::spawn(|| run(|| Ok(SendWrapper::new(Finally(|| panic!("dropped by a stranger"))))).unwrap())
        .join()
        .unwrap();
    let ((), lines) = logged(|| drop(wrapped));
    only(&lines, "ERROR", &["SendWrapper", "leaked"]);
}

// ---- ticks ----------------------------------------------------------------------------------------------------------

#[test]
fn ticks_keep_their_pace_and_none_is_lost_by_giving_up() {
    sim(|| {
        aio::spawn_local(async {
            let start = now();
            let mut ticks = aio::interval(secs(1)).missed(MissedTicks::Burst);
            ticks.tick().await?;
            assert!(aio::timeout(millis(300), ticks.tick()).await.is_err());
            assert_eq!(ticks.tick().await? - start, secs(1));
            aio::sleep(secs(3)).await?;
            let late: Vec<_> =
                [ticks.tick().await?, ticks.tick().await?].into_iter().map(|tick| tick - start).collect();
            assert_eq!((late, now() - start), (vec![secs(2), secs(3)], secs(4)));
            Ok(())
        })
    })
    .unwrap();
}
