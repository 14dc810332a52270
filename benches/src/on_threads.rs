//! By std on threads: what [`corio_server`](crate::corio_server), [`corio_side`] and [`transfer`] are compared with.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use crate::depth::{LOCALS, at_depth, holding};
use crate::figures::{self, Stopwatch, measure};
use crate::{corio_side, counting, hex_server, http, transfer};

/// Two threads per connection, one for each direction.
pub fn proxy(port: u16) -> io::Result<()> {
    serve("threads-proxy", port, pass_on)
}

/// A thread per connection, reading and writing back.
pub fn echo(port: u16) -> io::Result<()> {
    serve("threads-echo", port, |stream| {
        stream.set_nodelay(true)?;
        crate::echo(stream, || ())
    })
}

/// A thread per connection, answering HTTP requests.
pub fn http(port: u16) -> io::Result<()> {
    serve("threads-http", port, |stream| {
        stream.set_nodelay(true)?;
        http::serve(stream)
    })
}

/// A thread per connection, answering numbers in hexadecimal: the handler of the example.
pub fn hex(port: u16) -> io::Result<()> {
    serve("threads-hex", port, hex_server::serve)
}

fn serve(workload: &'static str, port: u16, connection: fn(TcpStream) -> io::Result<()>) -> io::Result<()> {
    figures::end_with_figures(workload);
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("listening={}", listener.local_addr()?.port());
    for stream in listener.incoming() {
        let stream = stream?;
        thread::Builder::new().spawn(move || connection(stream))?;
    }
    Ok(())
}

/// Threads in a ring, each waiting for its turn so many calls down, and then waking the next. Giving the turn up as tasks do would
/// leave it to the kernel who has the next.
pub fn ring(operations: u64, depth: u32, threads: u64) -> io::Result<()> {
    /// Not anybody's turn yet, and not anybody's any more.
    const EARLY: u64 = u64::MAX - 1;
    const OVER: u64 = u64::MAX;
    fn wait(turn: &AtomicU64, mine: u64) {
        while turn.load(Ordering::Acquire) != mine {
            thread::park();
        }
    }
    let turns = operations / threads;
    // Who has not come to its first pause.
    let (turn, missing) = (Arc::new(AtomicU64::new(EARLY)), Arc::new(AtomicU64::new(threads)));
    let ring: Arc<OnceLock<Vec<Thread>>> = Arc::default();
    let main = thread::current();
    let start = |place| {
        let (turn, missing, ring, main) = (Arc::clone(&turn), Arc::clone(&missing), Arc::clone(&ring), main.clone());
        thread::Builder::new().stack_size(corio_side::SMALL_STACK).spawn(move || {
            at_depth(depth, &|| {
                missing.fetch_sub(1, Ordering::Release);
                for round in 0..turns {
                    let mine = round * threads + place;
                    wait(&turn, mine);
                    turn.store(mine + 1, Ordering::Release);
                    let ring = ring.get().expect("it is there before the first turn");
                    let next = &ring[((mine + 1) % threads) as usize];
                    if mine + 1 == turns * threads { main.unpark() } else { next.unpark() }
                }
                wait(&turn, OVER);
            });
        })
    };
    let running = (0..threads).map(start).collect::<io::Result<Vec<_>>>()?;
    let handles = ring.get_or_init(|| running.iter().map(|thread| thread.thread().clone()).collect());
    while missing.load(Ordering::Acquire) > 0 {
        thread::sleep(Duration::from_millis(1));
    }
    measure("ring", turns * threads, || {
        turn.store(0, Ordering::Release);
        handles[0].unpark();
        wait(&turn, turns * threads);
    });
    turn.store(OVER, Ordering::Release);
    handles.iter().for_each(Thread::unpark);
    running.into_iter().try_for_each(ended)
}

/// Threads that return at once: `batch` started, then joined, and again.
pub fn spawn(operations: u64, batch: u64) -> io::Result<()> {
    measure("threads-spawn", operations, || {
        for _ in 0..operations / batch {
            let start = |i| thread::Builder::new().spawn(move || black_box(i));
            let threads = (0..batch).map(start).collect::<io::Result<Vec<_>>>()?;
            threads.into_iter().try_for_each(ended)?;
        }
        Ok(())
    })
}

/// Threads that are all alive at once, and wait once; and again.
pub fn crowd(count: u64) -> io::Result<()> {
    let crowd = || {
        let start = figures::own_cpu_ns();
        let threads = (0..count).map(|_| thread::Builder::new().spawn(thread::park)).collect::<io::Result<Vec<_>>>()?;
        for thread in threads {
            thread.thread().unpark();
            ended(thread)?;
        }
        io::Result::Ok((figures::own_cpu_ns() - start) as f64)
    };
    let (fresh, pooled) = (crowd()? / count as f64, crowd()? / count as f64);
    figures::print("crowd", &[("fresh_ns", fresh), ("pooled_ns", pooled)]);
    Ok(())
}

/// The memory of threads that are asleep so many calls down. Their stacks in the kernel are not in it.
pub fn sleepers(count: u64, depth: u32, stack: usize) -> io::Result<()> {
    let before = figures::memory()?;
    let stopwatch = Stopwatch::start();
    let asleep = Arc::new(AtomicU64::new(0));
    for _ in 0..count {
        let asleep = Arc::clone(&asleep);
        let builder = if stack == 0 { thread::Builder::new() } else { thread::Builder::new().stack_size(stack) };
        builder.spawn(move || {
            holding::<LOCALS, _, _>(depth, &|| {
                asleep.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_secs(86_400));
            });
        })?;
    }
    while asleep.load(Ordering::Relaxed) < count {
        thread::sleep(Duration::from_millis(1));
    }
    figures::print_sleepers(count, [before, before, figures::memory()?], &stopwatch);
    std::process::exit(0) // nobody waits for them
}

/// A walk through a tree of so many levels that gives its turn up at every node.
pub fn recurse(levels: u32) -> io::Result<()> {
    fn walk(level: u32) -> u64 {
        thread::yield_now();
        if level == 0 { 1 } else { 1 + walk(level - 1) + walk(level - 1) }
    }
    let start = figures::own_cpu_ns();
    let nodes = walk(levels) as f64;
    let ns = (figures::own_cpu_ns() - start) as f64;
    counting::start();
    walk(levels);
    figures::print("recurse", &[("cpu_ns_op", ns / nodes), ("allocations", counting::stop() as f64 / nodes)]);
    Ok(())
}

/// What a process can tell, without a debugger, of a thread that sleeps three calls down: what the kernel has.
pub fn dump() -> io::Result<()> {
    fn outer() {
        middle()
    }
    fn middle() {
        inner()
    }
    fn inner() {
        thread::sleep(Duration::from_secs(86_400))
    }
    let sleeper = thread::Builder::new().name("sleeper".into()).spawn(outer)?;
    thread::sleep(Duration::from_millis(50));
    for thread in fs::read_dir("/proc/self/task")? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        status
            .lines()
            .filter(|line| line.starts_with("Name:") || line.starts_with("State:"))
            .for_each(|line| println!("{line}"));
    }
    drop(sleeper);
    std::process::exit(0)
}

/// A recursion without an end.
pub fn endless() -> io::Result<()> {
    fn down(level: u64) -> u64 {
        if level.is_multiple_of(1_000) {
            thread::yield_now();
        }
        if black_box(level) == u64::MAX { 0 } else { down(level + 1) + black_box(1) }
    }
    ended(thread::Builder::new().name("endless".into()).spawn(|| _ = down(1))?)
}

/// A local of 32 MiB.
pub fn big() -> io::Result<()> {
    let body = || {
        let mut big = [1u8; 32 << 20];
        black_box(&mut big);
        thread::yield_now();
        black_box(&big);
    };
    ended(thread::Builder::new().name("big".into()).spawn(body)?)
}

fn ended<T>(thread: JoinHandle<T>) -> io::Result<()> {
    thread.join().map(drop).map_err(|_| io::Error::other("a thread panicked"))
}

fn pass_on(mut near: TcpStream) -> io::Result<()> {
    let mut port = [0; 2];
    near.read_exact(&mut port)?;
    let far = TcpStream::connect(("127.0.0.1", u16::from_be_bytes(port)))?;
    let one_way = |mut from: &TcpStream, mut to: &TcpStream| {
        io::copy(&mut from, &mut to)?;
        to.shutdown(Shutdown::Write)
    };
    thread::scope(|s| {
        let there = s.spawn(|| one_way(&near, &far));
        one_way(&far, &near)?;
        there.join().map_err(|_| io::Error::other("a thread panicked"))?
    })
}

/// Copies of a file, each by one call.
pub fn copy_file(mib: u64) -> io::Result<()> {
    copies("threads-copyfile", mib, |from, to| fs::copy(from, to))
}

/// Copies of a file, from one open file to the other. std leaves that to the kernel, which has a call for it.
pub fn copy_stream(mib: u64) -> io::Result<()> {
    copies("threads-copystream", mib, |from, to| io::copy(&mut File::open(from)?, &mut File::create(to)?))
}

/// The same by reading and writing: the library's loop, which is std's with another buffer, on std's files.
pub fn copy_loop(mib: u64) -> io::Result<()> {
    copies("threads-copyloop", mib, |from, to| corio::io::copy(&mut File::open(from)?, &mut File::create(to)?))
}

fn copies(workload: &'static str, mib: u64, copy: fn(&Path, &Path) -> io::Result<u64>) -> io::Result<()> {
    let thread = thread::spawn(move || transfer::copies(workload, mib, copy));
    thread.join().map_err(|_| io::Error::other("a thread panicked"))?
}
