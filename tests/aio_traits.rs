//! The traits of other crates: what is written against them runs on the loop.
#![cfg(all(feature = "futures-io", feature = "futures-core", feature = "hyper"))]

mod common;

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use common::backends::{awaited_pair as pair, bytes, everywhere_awaited, is_simulated};
use common::{logged, only, panic_of, sim};
use corio::aio::SendWrapper;
use corio::aio::hyper::Tasks;
use corio::aio::net::UnixStream;
use corio::channel::mpsc;
use corio::{Queue, aio, is_cancelled, is_timed_out, millis, now, secs, sleep, spawn};
use futures_util::future::{join, select};
use futures_util::io::{AsyncReadExt, AsyncWriteExt, BufReader, copy};
use futures_util::stream::FusedStream;
use futures_util::{AsyncBufReadExt, StreamExt};
use hyper::rt::{Executor, Timer};

#[test]
fn the_adapters_of_futures_read_and_write_streams() {
    everywhere_awaited(|| async {
        let (client, mut server) = pair().await?;
        let lines = if is_simulated(client.get_ref()) { 2_000 } else { 500_000 };
        let echo = aio::spawn_local(async move {
            let (reader, writer) = (server.clone(), &mut server);
            let n = copy(reader, &mut *writer).await?;
            AsyncWriteExt::close(writer).await?;
            Ok(n)
        });
        let (reader, mut writer) = client.split();
        let sent: Vec<u8> = (0..lines).flat_map(|n| format!("{n}\n").into_bytes()).collect();
        let (said, heard) = join(
            async {
                writer.write_all(&sent).await?;
                writer.close().await?;
                io::Result::Ok(())
            },
            async {
                let (mut lines, mut count) = (BufReader::new(reader).lines(), 0);
                while let Some(line) = lines.next().await {
                    assert_eq!(line?, count.to_string());
                    count += 1;
                }
                io::Result::Ok(count)
            },
        )
        .await;
        said?;
        assert_eq!((heard?, echo.await? as usize), (lines, sent.len()));
        Ok(())
    });
}

#[test]
fn a_polled_read_that_is_given_up_has_taken_nothing_and_hears_of_a_cancellation() {
    everywhere_awaited(|| async {
        let (mut client, mut server) = pair().await?;
        let mut buffer = [0; 8];
        assert!(is_timed_out(
            &aio::timeout(millis(1), AsyncReadExt::read(&mut server, &mut buffer)).await.unwrap_err()
        ));
        drop(select(pin!(aio::yield_now()), AsyncReadExt::read(&mut server, &mut buffer)).await);
        AsyncWriteExt::write_all(&mut client, b"whole").await?;
        AsyncReadExt::read_exact(&mut server, &mut buffer[..5]).await?;
        assert_eq!(&buffer[..5], b"whole");
        let waiting = aio::spawn_local(async move { AsyncReadExt::read(&mut server, &mut [0; 8]).await });
        aio::yield_now().await?;
        aio::yield_now().await?;
        waiting.cancel();
        assert!(is_cancelled(&waiting.await.unwrap_err()));
        Ok(())
    });
}

#[test]
fn a_polled_read_into_nothing_waits_for_nobody() {
    everywhere_awaited(|| async {
        let (mut client, _server) = pair().await?;
        assert!(is_timed_out(&aio::timeout(millis(1), AsyncReadExt::read(&mut client, &mut [0])).await.unwrap_err()));
        assert_eq!(AsyncReadExt::read(&mut client, &mut []).await?, 0);
        let mut nowhere = hyper::rt::ReadBuf::new(&mut []);
        poll_fn(|context| hyper::rt::Read::poll_read(Pin::new(&mut client), context, nowhere.unfilled())).await?;
        // It is a place to hear of a cancellation all the same.
        let cancelled = aio::spawn_local(async move {
            corio::current().cancel();
            assert!(is_cancelled(&AsyncReadExt::read(&mut client, &mut []).await.unwrap_err()));
            corio::current().cancel();
            let mut nowhere = hyper::rt::ReadBuf::new(&mut []);
            poll_fn(|context| hyper::rt::Read::poll_read(Pin::new(&mut client), context, nowhere.unfilled())).await
        });
        assert!(is_cancelled(&cancelled.await.unwrap_err()));
        Ok(())
    });
}

#[test]
fn several_slices_are_written_at_once() {
    everywhere_awaited(|| async {
        let (mut one, mut other) = UnixStream::pair()?;
        let mut text = [0; 12];
        let mut written = 0;
        while written < text.len() {
            let slices = ["hello, ", "world"].map(|part| IoSlice::new(part.as_bytes()));
            let mut slices = &mut { slices }[..];
            IoSlice::advance_slices(&mut slices, written);
            written += AsyncWriteExt::write_vectored(&mut one, slices).await?;
        }
        AsyncReadExt::read_exact(&mut other, &mut text).await?;
        assert_eq!(&text, b"hello, world");
        AsyncWriteExt::close(&mut one).await?;
        assert_eq!(AsyncReadExt::read(&mut other, &mut text).await?, 0);
        Ok(())
    });
}

#[test]
fn a_stream_in_a_wrapper_passes_as_send() {
    fn needs<
        S: futures_util::AsyncRead + futures_util::AsyncWrite + hyper::rt::Read + hyper::rt::Write + Send + Sync,
    >(
        stream: S,
    ) -> S {
        stream
    }
    everywhere_awaited(|| async {
        let (client, server) = pair().await?;
        let (mut client, mut server) = (needs(SendWrapper::new(client)), needs(SendWrapper::new(server)));
        AsyncWriteExt::write_all(&mut client, b"hello").await?;
        AsyncWriteExt::flush(&mut client).await?;
        assert_eq!(uninitialised(&mut server, 5).await?, b"hello");
        assert!(hyper::rt::Write::is_write_vectored(&server));
        let slices = [IoSlice::new(b"a"), IoSlice::new(b"b")];
        let said = poll_fn(|c| hyper::rt::Write::poll_write_vectored(Pin::new(&mut server), c, &slices)).await?
            + AsyncWriteExt::write_vectored(&mut server, &slices).await?;
        let mut heard = vec![0; said];
        AsyncReadExt::read_exact(&mut client, &mut heard).await?;
        if !is_simulated(server.get_ref()) {
            assert_eq!(heard, b"abab", "both slices go at once");
        }
        poll_fn(|context| hyper::rt::Write::poll_shutdown(Pin::new(&mut server), context)).await?;
        assert_eq!(AsyncReadExt::read(&mut client, &mut [0]).await?, 0);
        AsyncWriteExt::close(&mut client).await
    });
}

#[test]
fn what_hyper_reads_need_not_be_initialised() {
    everywhere_awaited(|| async {
        let (client, mut server) = pair().await?;
        client.write_all(b"hello").await?;
        assert_eq!(uninitialised(&mut server, 5).await?, b"hello");
        Ok(())
    });
}

/// Reads that many bytes as hyper does, into memory that is not initialised.
async fn uninitialised(stream: &mut (impl hyper::rt::Read + Unpin), count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = [const { std::mem::MaybeUninit::uninit() }; 16];
    let mut buffer = hyper::rt::ReadBuf::uninit(&mut bytes);
    while buffer.filled().len() < count {
        let before = buffer.filled().len();
        poll_fn(|context| hyper::rt::Read::poll_read(Pin::new(&mut *stream), context, buffer.unfilled())).await?;
        assert!(buffer.filled().len() > before, "the end");
    }
    Ok(buffer.filled().to_vec())
}

#[test]
fn several_buffers_are_read_at_once() {
    everywhere_awaited(|| async {
        let (mut one, mut other) = UnixStream::pair()?;
        assert!(is_timed_out(&aio::timeout(millis(1), AsyncReadExt::read(&mut one, &mut [0])).await.unwrap_err()));
        let sent = bytes(3_001);
        let expected = sent.clone();
        let writer = aio::spawn_local(async move {
            AsyncWriteExt::write_all(&mut other, &sent).await?;
            Ok(other)
        });
        let (mut got, mut read) = (vec![[0; 1]; expected.len()], 0);
        while read < got.len() {
            let mut slices: Vec<_> = got[read..].iter_mut().map(|byte| IoSliceMut::new(byte)).collect();
            read += AsyncReadExt::read_vectored(&mut one, &mut slices).await?;
        }
        assert!(got.concat() == expected);
        assert_eq!(AsyncReadExt::read_vectored(&mut one, &mut [IoSliceMut::new(&mut [])]).await?, 0);
        writer.await.map(drop)
    });
}

#[test]
fn what_hyper_spawns_is_a_task_of_the_running_loop() {
    sim(|| {
        let (sender, receiver) = mpsc::unbounded();
        let spawned = receiver;
        let sender = Rc::new(sender);
        let from_a_future = sender.clone();
        aio::spawn_local(async move {
            aio::hyper::Executor.execute(async move {
                aio::sleep(secs(1)).await.unwrap();
                from_a_future.send((corio::current().id(), "from a future")).unwrap();
            });
            Ok(())
        })
        .join()?;
        aio::hyper::Executor.execute(async move {
            sender.send((corio::current().id(), "from a coroutine")).unwrap();
        });
        let ((one, first), (other, second)) = (spawned.recv()?, spawned.recv()?);
        assert_eq!((first, second), ("from a coroutine", "from a future"));
        assert!(one != other && one != corio::current().id());
        // Its errors are nobody's, so a value is dropped and not reported.
        let ((), lines) = logged(|| aio::hyper::Executor.execute(async { Err::<(), _>(io::Error::other("lost")) }));
        assert_eq!(lines, Vec::<String>::new());
        corio::yield_now()
    })
    .unwrap();
}

#[test]
fn what_hyper_spawns_outside_of_a_loop_is_dropped_and_the_log_says_so() {
    let witness = Rc::new(());
    let held = witness.clone();
    let ((), lines) = logged(|| aio::hyper::Executor.execute(async move { drop(held) }));
    only(&lines, "ERROR", &["corio::aio", "hyper", "cannot be spawned"]);
    assert_eq!(Rc::strong_count(&witness), 1);
}

#[test]
fn a_queue_and_a_channel_are_streams_until_they_are_closed() {
    sim(|| {
        let queue = Rc::new(Queue::bounded(2));
        let (sender, receiver) = mpsc::bounded(2);
        let items = queue.clone();
        let producer = spawn(move || {
            for n in 0..5 {
                items.put(n)?;
                sender.send(n * 10).map_err(io::Error::other)?;
            }
            items.shutdown();
            Ok(())
        });
        let consumer = aio::spawn_local(async move {
            let both = aio::stream(&*queue).zip(aio::stream(&receiver)).map(|(a, b)| Ok::<_, io::Error>((a?, b?)));
            let got: Vec<_> = both.collect::<Vec<_>>().await.into_iter().collect::<io::Result<_>>()?;
            let mut rest = aio::stream(&receiver);
            assert!(!rest.is_terminated());
            assert!(rest.next().await.is_none() && rest.is_terminated(), "its sender is gone");
            Ok(got)
        });
        assert_eq!(consumer.join()?, [(0, 0), (1, 10), (2, 20), (3, 30), (4, 40)]);
        producer.join()
    })
    .unwrap();
}

#[test]
fn a_stream_that_is_dropped_in_the_middle_gives_back_what_it_was_granted() {
    sim(|| {
        let queue = Rc::new(Queue::new());
        let items = queue.clone();
        aio::spawn_local(async move {
            let mut stream = aio::stream(&*items);
            assert!(poll_fn(|context| Poll::Ready(stream.poll_next_unpin(context).is_pending())).await);
            items.try_put("granted").map_err(|_| io::ErrorKind::Other)?;
            drop(stream);
            assert_eq!(items.try_get().unwrap(), "granted");
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn a_stream_of_a_cancelled_task_ends_with_the_error() {
    sim(|| {
        let waiting = aio::spawn_local(async {
            let queue = Queue::<()>::new();
            let mut stream = aio::stream(&queue);
            let error = stream.next().await.unwrap().unwrap_err();
            assert!(is_cancelled(&error) && stream.next().await.is_none());
            Ok(())
        });
        corio::yield_now()?;
        waiting.cancel();
        waiting.join()
    })
    .unwrap();
}

#[test]
fn the_clock_of_hyper_is_the_loops() {
    sim(|| {
        aio::spawn_local(async {
            let start = now();
            aio::hyper::Timer.sleep(secs(60)).await;
            aio::hyper::Timer.sleep_until(start + secs(90)).await;
            assert_eq!((now() - start, aio::hyper::Timer.now()), (secs(90), now()));
            // Whoever is cancelled has not slept enough: what else he waits for says so.
            let sleeper = aio::spawn_local(async {
                aio::hyper::Timer.sleep(secs(1)).await;
                Ok(())
            });
            aio::yield_now().await?;
            sleeper.cancel();
            assert!(is_cancelled(&sleeper.await.unwrap_err()));
            Ok(())
        })
    })
    .unwrap();
}

/// A limit that nobody watches would be none.
/// A timer has no word for a cancellation. If its task goes on all the same, it is one as before.
#[test]
fn a_timer_of_hyper_survives_a_cancellation() {
    sim(|| {
        let start = now();
        let cleans = aio::spawn_local(async move {
            let mut nap = aio::hyper::Timer.sleep(secs(5));
            let mut is_pending = async || poll_fn(|context| Poll::Ready(nap.as_mut().poll(context).is_pending())).await;
            assert!(is_pending().await);
            let slept = aio::sleep(secs(60)).await;
            assert!(is_pending().await && is_pending().await);
            aio::shield(secs(60), nap).await;
            assert_eq!(now() - start, secs(5));
            slept
        });
        sleep(secs(1))?;
        cleans.cancel();
        assert!(is_cancelled(&cleans.join().unwrap_err()));
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_clock_of_hyper_says_so_where_there_is_no_loop() {
    let mut nap = aio::hyper::Timer.sleep(millis(1));
    let refused = panic_of(|| nap.as_mut().poll(&mut Context::from_waker(Waker::noop())));
    assert!(refused.contains("aio::block_on"), "{refused}");
}

/// Such as the body of an answer, for a framework that asks for `Send`.
#[test]
fn the_items_of_a_queue_in_a_wrapper_are_a_stream_that_passes_as_send() {
    fn is_send<S: futures_util::Stream + Send>(stream: S) -> S {
        stream
    }
    sim(|| {
        let queue: &Queue<u32> = Box::leak(Box::default());
        queue.put(1)?;
        queue.shutdown();
        let items = is_send(SendWrapper::new(aio::stream(queue)));
        let got: Vec<_> = aio::wait_on(items.map(Result::unwrap).collect())?;
        assert_eq!(got, [1]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_tasks_of_hyper_are_known_until_they_end() {
    sim(|| {
        aio::spawn_local(async {
            let (tasks, start) = (Tasks::new(), now());
            tasks.wait().await?;
            let spawner = tasks.clone();
            tasks.execute(async move {
                let _ = aio::sleep(secs(1)).await;
                spawner.execute(aio::sleep(secs(1))); // one more, while the first is waited for
            });
            assert_eq!(tasks.len(), 1);
            tasks.wait().await?;
            assert!(tasks.is_empty() && now() - start == secs(2));
            // What is not corio's cannot fail, and is dropped.
            tasks.execute(std::future::pending::<()>());
            tasks.execute(aio::sleep(secs(600)));
            let late = aio::timeout(secs(1), tasks.wait()).await;
            assert!(is_timed_out(&late.unwrap_err()) && tasks.len() == 2);
            tasks.cancel();
            tasks.wait().await?;
            assert!(tasks.is_empty() && now() - start == secs(3));
            Ok(())
        })
    })
    .unwrap();
}
