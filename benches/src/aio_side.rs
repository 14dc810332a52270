//! The facade for async/await, as a user would call it: the workloads of [`corio_side`](crate::corio_side) and
//! [`corio_server`](crate::corio_server) with the other way to pause.

use std::cell::Cell;
use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use corio::aio::{self, net::TcpListener, net::TcpStream};

use crate::figures::{self, REQUESTS, Stopwatch};
use crate::{delays_ms, http};

/// A pause so many calls down, 0 or 4. A future has no stack: each call is one that `poll` makes again on the way back in.
async fn yield_from_below() -> io::Result<()> {
    async fn third() -> io::Result<()> {
        async fn second() -> io::Result<()> {
            async fn first() -> io::Result<()> {
                aio::yield_now().await
            }
            first().await
        }
        second().await
    }
    third().await
}

/// Tasks that do nothing but let each other run, each pausing at the given call depth.
pub fn yields(operations: u64, depth: u32, tasks: u64) -> io::Result<()> {
    aio::block_on(async move {
        let turns = operations / tasks;
        let stopwatch = Stopwatch::start();
        let task = |_| {
            aio::spawn_local(async move {
                for _ in 0..turns {
                    if depth == 0 { aio::yield_now().await? } else { yield_from_below().await? }
                }
                io::Result::Ok(())
            })
        };
        let tasks: Vec<_> = (0..tasks).map(task).collect();
        for task in tasks {
            task.await?;
        }
        figures::print("aio-yield", &stopwatch.per(operations));
        Ok(())
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

/// As many tasks as that, asleep for a day.
pub fn sleepers(operations: u64) -> io::Result<()> {
    aio::block_on(async move {
        let before = figures::memory()?;
        let stopwatch = Stopwatch::start();
        let asleep = Rc::new(Cell::new(0));
        for _ in 0..operations {
            let asleep = asleep.clone();
            drop(aio::spawn_local(async move {
                asleep.set(asleep.get() + 1);
                aio::sleep(Duration::from_secs(86_400)).await
            }));
        }
        let unstarted = figures::memory()?;
        while asleep.get() < operations {
            aio::yield_now().await?;
        }
        figures::print_sleepers(operations, [before, unstarted, figures::memory()?], &stopwatch);
        std::process::exit(0);
        #[expect(unreachable_code, reason = "for the type")]
        Ok(())
    })
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
