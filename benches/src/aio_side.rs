//! The facade for async/await, as a user would call it: the workloads of [`corio_side`](crate::corio_side) and
//! [`corio_server`](crate::corio_server) with the other way to pause.

use std::cell::Cell;
use std::future::poll_fn;
use std::hint::black_box;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use corio::Builder;
use corio::aio::{self, net::TcpListener, net::TcpStream};

use crate::depth::{BATCH, FEW, LOCALS, Never, Pause};
use crate::figures::{self, REQUESTS, Stopwatch, own_cpu_ns};
use crate::{below, counting, delays_ms, hex_server, http};

const DAY: Duration = Duration::from_secs(86_400);

struct Turn;

impl Pause for Turn {
    async fn pause(times: u64) -> io::Result<()> {
        for _ in 0..times {
            aio::yield_now().await?;
        }
        Ok(())
    }
}

struct Sleep;

impl Pause for Sleep {
    fn pause(_times: u64) -> impl Future<Output = io::Result<()>> {
        aio::sleep(DAY)
    }
}

/// The recursion with which a depth is reached that the compiler does not know: each level is a box.
fn boxed(depth: u32, times: u64) -> Pin<Box<dyn Future<Output = io::Result<()>>>> {
    Box::pin(async move { if depth == 0 { Turn::pause(times).await } else { boxed(depth - 1, times).await } })
}

/// Tasks that do nothing but let each other run, each pausing at the given call depth.
pub fn yields(operations: u64, depth: u32, tasks: u64) -> io::Result<()> {
    let turns = operations / tasks;
    below!(depth, Turn, 0, Down => together("aio-yield", operations, tasks, || async move {
        for _ in 0..turns {
            Down::pause(1).await?;
        }
        Ok(())
    }))
}

/// The same, where each task goes down once and then pauses again and again.
pub fn resume(operations: u64, depth: u32, tasks: u64) -> io::Result<()> {
    let turns = operations / tasks;
    below!(depth, Turn, 0, Down => together("aio-resume", operations, tasks, || Down::pause(turns)))
}

/// The same by a recursion.
pub fn resume_boxed(operations: u64, depth: u32, tasks: u64) -> io::Result<()> {
    let turns = operations / tasks;
    together("aio-resume", operations, tasks, || boxed(depth, turns))
}

fn together<F>(workload: &str, operations: u64, tasks: u64, task: impl Fn() -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    aio::block_on(async move {
        let tasks: Vec<_> = (0..tasks).map(|_| aio::spawn_local(task())).collect();
        aio::spawn_local(async { io::Result::Ok(()) }).await?; // it ran behind all of them
        let stopwatch = Stopwatch::start();
        for task in tasks {
            task.await?;
        }
        figures::print(workload, &stopwatch.per(operations));
        Ok(())
    })
}

/// Tasks that are all alive at once, and pause once; and again.
pub fn crowd(tasks: u64) -> io::Result<()> {
    aio::block_on(async move {
        let crowd = async || {
            let start = own_cpu_ns();
            let tasks: Vec<_> = (0..tasks).map(|_| aio::spawn_local(aio::yield_now())).collect();
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

/// Tasks that sleep so many calls down, cancelled and awaited: what they sleep by fails.
pub fn cancel(operations: u64, depth: u32) -> io::Result<()> {
    below!(depth, Sleep, 0, Down => aio::block_on(async move {
        let mut ns = 0;
        for _ in 0..operations / BATCH {
            let tasks: Vec<_> = (0..BATCH).map(|_| aio::spawn_local(Down::pause(1))).collect();
            aio::yield_now().await?;
            let start = own_cpu_ns();
            for task in &tasks {
                task.cancel();
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

/// Futures that were polled once, dropped.
pub fn discard(operations: u64, depth: u32) -> io::Result<()> {
    below!(depth, Never, 0, Down => aio::block_on(poll_fn(move |context| {
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
        Poll::Ready(io::Result::Ok(()))
    })))
}

/// A walk through a tree of so many levels that pauses at every node. A future that contains itself would have no size.
pub fn recurse(levels: u32) -> io::Result<()> {
    fn walk(level: u32) -> Pin<Box<dyn Future<Output = io::Result<u64>>>> {
        Box::pin(async move {
            aio::yield_now().await?;
            if level == 0 { Ok(1) } else { Ok(1 + walk(level - 1).await? + walk(level - 1).await?) }
        })
    }
    aio::block_on(async move {
        let start = own_cpu_ns();
        let nodes = walk(levels).await? as f64;
        let ns = (own_cpu_ns() - start) as f64;
        counting::start();
        walk(levels).await?;
        figures::print("recurse", &[("cpu_ns_op", ns / nodes), ("allocations", counting::stop() as f64 / nodes)]);
        Ok(())
    })
}

/// What the dump shows of a task that sleeps three calls down.
pub fn dump() -> io::Result<()> {
    async fn outer() -> io::Result<()> {
        middle().await
    }
    async fn middle() -> io::Result<()> {
        inner().await
    }
    async fn inner() -> io::Result<()> {
        aio::sleep(DAY).await
    }
    aio::block_on(async {
        let sleeper = Builder::new().name("sleeper").spawn_local(outer())?;
        aio::yield_now().await?;
        print!("{}", corio::observe::dump());
        sleeper.cancel();
        let _ = sleeper.await; // cancelled
        Ok(())
    })
}

/// A recursion without an end.
pub fn endless() -> io::Result<()> {
    async fn down(level: u64) -> io::Result<u64> {
        if level.is_multiple_of(1_000) {
            aio::yield_now().await?;
        }
        Ok(Box::pin(down(black_box(level + 1))).await? + 1)
    }
    aio::block_on(down(1)).map(drop)
}

/// A local of 32 MiB that is needed after a pause.
pub fn big() -> io::Result<()> {
    aio::block_on(async {
        let task = aio::spawn_local(async {
            let mut big = [1u8; 32 << 20];
            black_box(&mut big);
            aio::yield_now().await?;
            black_box(&big);
            Ok(())
        });
        task.await
    })
}

/// Tasks that return at once: `batch` spawned, then awaited, and again.
pub fn spawn(operations: u64, batch: u64) -> io::Result<()> {
    aio::block_on(async move {
        let mut tasks = Vec::with_capacity(batch as usize);
        let stopwatch = Stopwatch::start();
        for _ in 0..operations / batch {
            tasks.extend((0..batch).map(|i| aio::spawn_local(async move { io::Result::Ok(i) })));
            for task in tasks.drain(..) {
                black_box(task.await?);
            }
        }
        figures::print("aio-spawn", &stopwatch.per(operations));
        Ok(())
    })
}

/// As many tasks as that, asleep for a day so many calls down.
pub fn sleepers(operations: u64, depth: u32) -> io::Result<()> {
    below!(depth, Sleep, LOCALS, Down => aio::block_on(async move {
        let before = figures::memory()?;
        let stopwatch = Stopwatch::start();
        let asleep = Rc::new(Cell::new(0));
        for _ in 0..operations {
            let asleep = asleep.clone();
            drop(aio::spawn_local(async move {
                asleep.set(asleep.get() + 1);
                Down::pause(1).await
            }));
        }
        let unstarted = figures::memory()?;
        while asleep.get() < operations {
            aio::yield_now().await?;
        }
        figures::print("sleepers", &[("future_b", size_of_val(&Down::pause(1)) as f64)]);
        figures::print_sleepers(operations, [before, unstarted, figures::memory()?], &stopwatch);
        std::process::exit(0);
        #[expect(unreachable_code, reason = "for the type")]
        Ok(())
    }))
}

/// Tasks that sleep for up to a second.
pub fn timers(operations: u64) -> io::Result<()> {
    aio::block_on(async move {
        let stopwatch = Stopwatch::start();
        let delays_ms = delays_ms().map(|ms| ms % 1000).take(operations as usize);
        let tasks: Vec<_> = delays_ms.map(|ms| aio::spawn_local(aio::sleep(Duration::from_millis(ms)))).collect();
        for task in tasks {
            task.await?;
        }
        figures::print("aio-timers", &stopwatch.per(operations));
        Ok(())
    })
}

/// A task per connection, reading and writing back.
pub fn echo(port: u16) -> io::Result<()> {
    serve("aio-echo", port, answer)
}

/// A task per connection, answering HTTP requests.
pub fn http(port: u16) -> io::Result<()> {
    serve("aio-http", port, answer_requests)
}

/// A task per connection, answering numbers in hexadecimal: the handler of the example.
pub fn hex(port: u16) -> io::Result<()> {
    serve("aio-hex", port, hex_server::serve_aio)
}

fn serve<F>(workload: &'static str, port: u16, connection: impl Fn(TcpStream) -> F + 'static) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    figures::end_with_figures(workload);
    aio::block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        println!("listening={}", listener.get_ref().local_addr()?.port());
        loop {
            let (stream, _) = listener.accept().await?;
            drop(aio::spawn_local(connection(stream)));
        }
        #[expect(unreachable_code, reason = "for the type")]
        Ok(())
    })
}

async fn answer(stream: TcpStream) -> io::Result<()> {
    stream.get_ref().set_nodelay(true)?;
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

/// [`http::serve`], where the calls that wait have another colour.
async fn answer_requests(stream: TcpStream) -> io::Result<()> {
    stream.get_ref().set_nodelay(true)?;
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
