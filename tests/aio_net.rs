//! Sockets that are awaited, and what else goes between futures, loops and threads.

mod common;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use common::backends::everywhere_awaited;
use common::{Directory, Finally, logged, only, panic_of, sim};
use corio::aio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use corio::aio::{self, SendWrapper};
use corio::testing::{Ledger, Network};
use corio::{
    Backend, Executor, LoopHandle, MissedTicks, RemoteHandle, Runner, is_cancelled, is_timed_out, millis, net, now,
    run, secs, sleep, spawn, to_thread, yield_now,
};
use futures_util::future::{join, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

/// Two ends of a connection.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.get_ref().local_addr()?).await?;
    Ok((client, listener.accept().await?.0))
}

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
        let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
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
        assert_eq!(reader.await?, (2, b"bytes".to_vec()));
        Ok(())
    });
}

#[test]
fn a_waiting_read_keeps_a_program_from_being_hopeless_and_a_dropped_one_does_not() {
    let network = Network::new();
    let simulated = || Runner::new().virtual_clock().backend(Backend::Simulated(network.clone()));
    let end = simulated().run(|| {
        aio::spawn_local(async {
            let (_client, server) = pair().await?;
            drop(select(pin!(server.read(&mut [0; 8])), pin!(aio::yield_now())).await);
            pending::<io::Result<()>>().await
        })
    });
    let error = end.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
}

#[test]
fn a_read_into_nothing_waits_for_nobody() {
    everywhere_awaited(|| async {
        let (client, _server) = pair().await?;
        assert!(is_timed_out(&aio::timeout(millis(1), client.read(&mut [0])).await.unwrap_err()));
        assert_eq!(client.read(&mut []).await?, 0);
        assert_eq!(client.peek(&mut []).await?, 0);
        let cancelled = aio::spawn_local(async move { client.read(&mut []).await });
        cancelled.cancel();
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

#[test]
fn a_name_is_looked_up_while_others_run() {
    aio::block_on(async {
        let listener = TcpListener::bind(("localhost", 0)).await?;
        let port = listener.get_ref().local_addr()?.port();
        let stream = TcpStream::connect(("localhost", port)).await?;
        assert!(stream.get_ref().peer_addr()?.ip().is_loopback());
        let error = TcpStream::connect("a name that cannot be.invalid:1").await.unwrap_err();
        assert!(!is_cancelled(&error), "{error}");
        Ok(())
    })
    .unwrap();
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
        assert_eq!(reader.await?, 4);
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

#[test]
fn a_cancelled_task_passes_it_on_to_work_elsewhere() {
    run(|| {
        let here = LoopHandle::current()?;
        let work = here.spawn(|| sleep(secs(600)));
        let waiting = aio::spawn_local(async move { work.await });
        for _ in 0..3 {
            yield_now()?;
        }
        waiting.cancel();
        assert!(is_cancelled(&waiting.join().unwrap_err()));
        while Ledger::now().tasks > 0 {
            yield_now()?;
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_cancellation_reaches_work_elsewhere_through_an_executor_in_between() {
    run(|| {
        let here = LoopHandle::current()?;
        let waiting = aio::spawn_local(async move {
            let mut several: FuturesUnordered<_> =
                [here.spawn(|| sleep(secs(600))).into_future()].into_iter().collect();
            several.next().await.unwrap()
        });
        for _ in 0..3 {
            yield_now()?;
        }
        waiting.cancel();
        assert!(is_cancelled(&waiting.join().unwrap_err()));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_task_that_would_await_itself_is_told_so() {
    run(|| {
        let here = LoopHandle::current()?;
        let (sender, mut receiver) = corio::channel::oneshot::channel::<RemoteHandle<ErrorKind>>();
        let (tell, mut told) = corio::channel::oneshot::channel();
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

#[test]
fn a_future_that_waits_elsewhere_and_goes_to_another_thread_leaves_no_trace() {
    run(|| {
        let here = LoopHandle::current()?;
        let (sender, receiver) = channel();
        let executor = Executor::new(1)?;
        let job = executor.spawn(move || receiver.recv().is_ok());
        let mut job = job.into_future();
        aio::spawn_local(async move {
            // Polled here once, and then on another thread.
            assert!(poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut job).poll(context).is_pending())).await);
            let elsewhere = thread::spawn(move || on_its_own(job));
            sender.send(()).unwrap();
            assert!(elsewhere.join().unwrap()?);
            drop(here);
            Ok(())
        })
        .join()?;
        executor.shutdown()
    })
    .unwrap();
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
