//! The same work by tokio, on its scheduler for one thread.

#![recursion_limit = "512"] // futures are nested a hundred levels deep

use std::hint::black_box;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use corio_benches::depth::{BATCH, FEW, LOCALS, Never, Pause};
use corio_benches::figures::{self, REQUESTS, Stopwatch, measure, own_cpu_ns};
use corio_benches::{Args, below, counting, delays_ms, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

#[path = "../../../comparison/hex_tokio.rs"]
mod hex_tokio;

const DAY: Duration = Duration::from_secs(86_400);

const USAGE: &str = "\
contender-tokio WORKLOAD ARG...
  echo PORT
  http PORT
  hex PORT
  yield N [DEPTH [TASKS]]          DEPTH is 0, 1, 4, 10, 20 or 100
  resume N DEPTH TASKS, resume-boxed N DEPTH TASKS
  crowd N, cancel N DEPTH, discard N DEPTH, recurse LEVELS, dump, endless, big
  spawn N BATCH
  gather N BATCH
  queue N BOUND
  handover N
  mutex N
  wakeall N WAITERS
  timers N
  timercancel N
  sleepers N [DEPTH]
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
        "sleepers" => sleepers(args.number(1, None)?, args.number(2, Some(0))?),
        "resume" => resume(args.number(1, None)?, args.number(2, None)?, args.number(3, None)?),
        "resume-boxed" => resume_boxed(args.number(1, None)?, args.number(2, None)?, args.number(3, None)?),
        "crowd" => crowd(args.number(1, None)?),
        "cancel" => cancel(args.number(1, None)?, args.number(2, None)?),
        "discard" => discard(args.number(1, None)?, args.number(2, None)?),
        "recurse" => recurse(args.number(1, None)?),
        "dump" => dump(),
        "endless" => endless(),
        "big" => big(),
        "hex" => serve("hex", args.number(1, None)?, hex_tokio::serve),
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

struct Turn;

impl Pause for Turn {
    async fn pause(times: u64) -> io::Result<()> {
        for _ in 0..times {
            yield_now().await;
        }
        Ok(())
    }
}

struct Sleep;

impl Pause for Sleep {
    async fn pause(_times: u64) -> io::Result<()> {
        sleep(DAY).await;
        Ok(())
    }
}

/// The recursion with which a depth is reached that the compiler does not know: each level is a box.
fn boxed(depth: u32, times: u64) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> {
    Box::pin(async move { if depth == 0 { Turn::pause(times).await } else { boxed(depth - 1, times).await } })
}

fn yields(operations: u64, depth: u32, tasks: u64) -> io::Result<()> {
    let turns = operations / tasks;
    below!(depth, Turn, 0, Down => together("yield", operations, tasks, || async move {
        for _ in 0..turns {
            Down::pause(1).await?;
        }
        Ok(())
    }))
}

fn resume(operations: u64, depth: u32, tasks: u64) -> io::Result<()> {
    let turns = operations / tasks;
    below!(depth, Turn, 0, Down => together("resume", operations, tasks, || Down::pause(turns)))
}

fn resume_boxed(operations: u64, depth: u32, tasks: u64) -> io::Result<()> {
    let turns = operations / tasks;
    together("resume", operations, tasks, || boxed(depth, turns))
}

fn together<F>(workload: &str, operations: u64, tasks: u64, task: impl Fn() -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    runtime()?.block_on(async {
        let tasks: Vec<_> = (0..tasks).map(|_| tokio::spawn(task())).collect();
        tokio::spawn(async {}).await?; // it ran behind all of them
        let stopwatch = Stopwatch::start();
        for task in tasks {
            task.await??;
        }
        figures::print(workload, &stopwatch.per(operations));
        Ok(())
    })
}

fn crowd(tasks: u64) -> io::Result<()> {
    runtime()?.block_on(async {
        let crowd = async || {
            let start = own_cpu_ns();
            let tasks: Vec<_> = (0..tasks).map(|_| tokio::spawn(yield_now())).collect();
            for task in tasks {
                task.await?;
            }
            io::Result::Ok((own_cpu_ns() - start) as f64)
        };
        let (fresh, pooled) = (crowd().await? / tasks as f64, crowd().await? / tasks as f64);
        figures::print("crowd", &[("fresh_ns", fresh), ("pooled_ns", pooled)]);
        Ok(())
    })
}

/// To abort a task is to have its future dropped.
fn cancel(operations: u64, depth: u32) -> io::Result<()> {
    below!(depth, Sleep, 0, Down => runtime()?.block_on(async {
        let mut ns = 0;
        for _ in 0..operations / BATCH {
            let tasks: Vec<_> = (0..BATCH).map(|_| tokio::spawn(Down::pause(1))).collect();
            yield_now().await;
            let start = own_cpu_ns();
            for task in &tasks {
                task.abort();
            }
            for task in tasks {
                assert!(task.await.is_err());
            }
            ns += own_cpu_ns() - start;
        }
        figures::print("cancel", &[("cpu_ns_op", ns as f64 / operations as f64)]);
        Ok(())
    }))
}

fn discard(operations: u64, depth: u32) -> io::Result<()> {
    below!(depth, Never, 0, Down => runtime()?.block_on(async {
        let context = &mut Context::from_waker(Waker::noop());
        let mut ns = 0;
        for _ in 0..operations / FEW {
            let mut paused: Vec<_> = (0..FEW).map(|_| Box::pin(Down::pause(1))).collect();
            for future in &mut paused {
                assert!(future.as_mut().poll(context).is_pending());
            }
            let start = own_cpu_ns();
            drop(paused);
            ns += own_cpu_ns() - start;
        }
        figures::print("discard", &[("cpu_ns_op", ns as f64 / operations as f64)]);
        Ok(())
    }))
}

fn recurse(levels: u32) -> io::Result<()> {
    fn walk(level: u32) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        Box::pin(async move {
            yield_now().await;
            if level == 0 { 1 } else { 1 + walk(level - 1).await + walk(level - 1).await }
        })
    }
    runtime()?.block_on(async {
        tokio::spawn(async move {
            let start = own_cpu_ns();
            let nodes = walk(levels).await as f64;
            let ns = (own_cpu_ns() - start) as f64;
            counting::start();
            walk(levels).await;
            let allocations = counting::stop() as f64 / nodes;
            figures::print("recurse", &[("cpu_ns_op", ns / nodes), ("allocations", allocations)]);
        })
        .await?;
        Ok(())
    })
}

/// Without `--cfg tokio_unstable` the runtime tells how many tasks there are.
fn dump() -> io::Result<()> {
    async fn outer() {
        middle().await
    }
    async fn middle() {
        inner().await
    }
    async fn inner() {
        sleep(DAY).await
    }
    runtime()?.block_on(async {
        let sleeper = tokio::spawn(outer());
        yield_now().await;
        println!("{} task alive", tokio::runtime::Handle::current().metrics().num_alive_tasks());
        sleeper.abort();
        Ok(())
    })
}

fn endless() -> io::Result<()> {
    fn down(level: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        Box::pin(async move {
            if level.is_multiple_of(1_000) {
                yield_now().await;
            }
            down(black_box(level + 1)).await + 1
        })
    }
    runtime()?.block_on(async { tokio::spawn(down(1)).await })?;
    Ok(())
}

fn big() -> io::Result<()> {
    runtime()?.block_on(async {
        let task = tokio::spawn(async {
            let mut big = [1u8; 32 << 20];
            black_box(&mut big);
            yield_now().await;
            black_box(&big);
        });
        Ok(task.await?)
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

fn sleepers(operations: u64, depth: u32) -> io::Result<()> {
    below!(depth, Sleep, LOCALS, Down => runtime()?.block_on(async {
        let before = figures::memory()?;
        let stopwatch = Stopwatch::start();
        let asleep = Arc::new(AtomicU64::new(0));
        for _ in 0..operations {
            let asleep = Arc::clone(&asleep);
            tokio::spawn(async move {
                asleep.fetch_add(1, Ordering::Relaxed);
                Down::pause(1).await
            });
        }
        let unstarted = figures::memory()?;
        while asleep.load(Ordering::Relaxed) < operations {
            yield_now().await;
        }
        figures::print("sleepers", &[("future_b", size_of_val(&Down::pause(1)) as f64)]);
        figures::print_sleepers(operations, [before, unstarted, figures::memory()?], &stopwatch);
        std::process::exit(0)
    }))
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
