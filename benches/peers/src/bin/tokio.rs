//! The same work by tokio, on its scheduler for one thread.

use std::hint::black_box;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use corio_benches::figures::{self, REQUESTS, Stopwatch, measure};
use corio_benches::{Args, delays_ms, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

const USAGE: &str = "\
contender-tokio WORKLOAD ARG...
  echo PORT
  http PORT
  yield N [DEPTH [TASKS]]          DEPTH is 0 or 4
  spawn N BATCH
  gather N BATCH
  queue N BOUND
  handover N
  mutex N
  wakeall N WAITERS
  timers N
  timercancel N
  sleepers N
  wake N";

fn main() {
    Args::of_program(USAGE).run(|args| match args.word() {
        "echo" => echo(args.number(1, None)?),
        "http" => http(args.number(1, None)?),
        "yield" => yields(args.number(1, None)?, args.number(2, Some(0))?, args.number(3, Some(2))?),
        "spawn" => spawn(args.number(1, None)?, args.number(2, None)?),
        "gather" => gather(args.number(1, None)?, args.number(2, None)?),
        "queue" => queue("queue", args.number(1, None)?, args.number(2, None)?),
        "handover" => queue("handover", args.number(1, None)?, 1),
        "mutex" => mutex(args.number(1, None)?),
        "wakeall" => wake_all(args.number(1, None)?, args.number(2, None)?),
        "timers" => timers(args.number(1, None)?),
        "timercancel" => timer_cancel(args.number(1, None)?),
        "sleepers" => sleepers(args.number(1, None)?),
        "wake" => wake(args.number(1, None)?),
        _ => Err(args.usage()),
    });
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn echo(port: u16) -> io::Result<()> {
    serve("echo", port, answer)
}

fn http(port: u16) -> io::Result<()> {
    serve("http", port, answer_requests)
}

fn serve<F>(workload: &'static str, port: u16, connection: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    figures::end_with_figures(workload);
    runtime()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        println!("listening={}", listener.local_addr()?.port());
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(connection(stream));
        }
    })
}

/// [`http::serve`], where the calls that wait have another colour.
async fn answer_requests(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = [0; http::BUFFER];
    let (mut filled, mut output) = (0, Vec::new());
    loop {
        let n = stream.read(&mut input[filled..]).await?;
        if n == 0 {
            return Ok(());
        }
        filled += n;
        let taken = http::answer(&input[..filled], &mut output)?;
        input.copy_within(taken..filled, 0);
        filled -= taken;
        stream.write_all(&output).await?;
        output.clear();
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 1024];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        stream.write_all(&buffer[..n]).await?;
    }
}

/// A pause four calls down. A future has no stack: each call is one that `poll` makes again on the way back in.
async fn yield_from_below() {
    async fn third() {
        async fn second() {
            async fn first() {
                yield_now().await;
            }
            first().await;
        }
        second().await;
    }
    third().await;
}

fn yields(operations: u64, depth: u32, tasks: u64) -> io::Result<()> {
    runtime()?.block_on(async {
        let turns = operations / tasks;
        let stopwatch = Stopwatch::start();
        let task = |_| {
            tokio::spawn(async move {
                for _ in 0..turns {
                    if depth == 0 { yield_now().await } else { yield_from_below().await }
                }
            })
        };
        let tasks: Vec<_> = (0..tasks).map(task).collect();
        for task in tasks {
            task.await?;
        }
        figures::print("yield", &stopwatch.per(operations));
        Ok(())
    })
}

fn spawn(operations: u64, batch: u64) -> io::Result<()> {
    runtime()?.block_on(async {
        let mut tasks = Vec::with_capacity(batch as usize);
        let stopwatch = Stopwatch::start();
        for _ in 0..operations / batch {
            tasks.extend((0..batch).map(|i| tokio::spawn(async move { i })));
            for task in tasks.drain(..) {
                black_box(task.await?);
            }
        }
        figures::print("spawn", &stopwatch.per(operations));
        Ok(())
    })
}

/// By `JoinSet`, whose results come in the order in which the tasks end: each brings its place along.
fn gather(operations: u64, batch: u64) -> io::Result<()> {
    runtime()?.block_on(async {
        let stopwatch = Stopwatch::start();
        for _ in 0..operations / batch {
            let mut tasks: JoinSet<_> = (0..batch).map(|i| async move { (i, Ok::<_, io::Error>(i)) }).collect();
            let mut values = vec![0; batch as usize];
            while let Some(ended) = tasks.join_next().await {
                let (place, value) = ended?;
                values[place as usize] = value?;
            }
            black_box(values);
        }
        figures::print("gather", &stopwatch.per(operations));
        Ok(())
    })
}

fn queue(workload: &str, operations: u64, bound: usize) -> io::Result<()> {
    runtime()?.block_on(async {
        let stopwatch = Stopwatch::start();
        let (put, mut get) = mpsc::channel(bound);
        let producer = tokio::spawn(async move {
            for message in 0..operations {
                put.send(message).await.expect("the consumer takes them all");
            }
        });
        let consumer = tokio::spawn(async move {
            while let Some(message) = get.recv().await {
                black_box(message);
            }
        });
        producer.await?;
        consumer.await?;
        figures::print(workload, &stopwatch.per(operations));
        Ok(())
    })
}

fn mutex(operations: u64) -> io::Result<()> {
    let mutex = Mutex::new(0);
    runtime()?.block_on(async {
        let stopwatch = Stopwatch::start();
        for _ in 0..operations {
            *black_box(&mutex).lock().await += 1;
        }
        figures::print("mutex", &stopwatch.per(operations));
        Ok(())
    })
}

fn wake_all(operations: u64, waiters: u64) -> io::Result<()> {
    let rounds = operations / waiters;
    runtime()?.block_on(async {
        let event = Arc::new(Notify::new());
        let waiting = |_| {
            let event = Arc::clone(&event);
            tokio::spawn(async move {
                for _ in 0..=rounds {
                    event.notified().await;
                }
            })
        };
        let tasks: Vec<_> = (0..waiters).map(waiting).collect();
        yield_now().await;
        event.notify_waiters();
        yield_now().await;
        let stopwatch = Stopwatch::start();
        for _ in 0..rounds {
            event.notify_waiters();
            yield_now().await;
        }
        figures::print("wakeall", &stopwatch.per(rounds * waiters));
        for task in tasks {
            task.await?;
        }
        Ok(())
    })
}

fn timers(operations: u64) -> io::Result<()> {
    runtime()?.block_on(async {
        let stopwatch = Stopwatch::start();
        let delays_ms = delays_ms().map(|ms| ms % 1000).take(operations as usize);
        let tasks: Vec<_> = delays_ms.map(|ms| tokio::spawn(sleep(Duration::from_millis(ms)))).collect();
        for task in tasks {
            task.await?;
        }
        figures::print("timers", &stopwatch.per(operations));
        Ok(())
    })
}

/// A timer is armed when its future is polled first, and cancelled when that is dropped.
fn timer_cancel(operations: u64) -> io::Result<()> {
    runtime()?.block_on(async {
        let mut delays = delays_ms().map(Duration::from_millis);
        let context = &mut Context::from_waker(Waker::noop());
        let mut others: Vec<_> = delays.by_ref().take(1000).map(|delay| Box::pin(sleep(delay))).collect();
        for other in &mut others {
            assert!(other.as_mut().poll(context).is_pending());
        }
        measure("timercancel", operations, || {
            for delay in delays.take(operations as usize) {
                let armed: Poll<()> = pin!(sleep(delay)).poll(context);
                _ = black_box(armed);
            }
        });
        Ok(())
    })
}

fn sleepers(operations: u64) -> io::Result<()> {
    runtime()?.block_on(async {
        let before = figures::memory()?;
        let stopwatch = Stopwatch::start();
        let asleep = Arc::new(AtomicU64::new(0));
        for _ in 0..operations {
            let asleep = Arc::clone(&asleep);
            tokio::spawn(async move {
                asleep.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_secs(86_400)).await;
            });
        }
        let unstarted = figures::memory()?;
        while asleep.load(Ordering::Relaxed) < operations {
            yield_now().await;
        }
        figures::print_sleepers(operations, [before, unstarted, figures::memory()?], &stopwatch);
        std::process::exit(0)
    })
}

/// A `Notify` one way, `unpark` the other.
fn wake(operations: u64) -> io::Result<()> {
    runtime()?.block_on(async {
        let stopwatch = Stopwatch::start();
        let (bell, answered) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)));
        let asking = corio_benches::asking_thread(operations, Arc::clone(&answered), {
            let bell = Arc::clone(&bell);
            move || bell.notify_one()
        });
        for round in 1..=operations {
            answered.store(round, Ordering::Release);
            asking.thread().unpark();
            bell.notified().await;
        }
        asking.join().map_err(|_| io::Error::other("the asking thread panicked"))?;
        figures::print("wake", &stopwatch.per(operations));
        Ok(())
    })
}
