//! The same work by may: stackful coroutines on a pool of threads, of which there is one here.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use corio_benches::depth::at_depth;
use corio_benches::figures::{self, Stopwatch, measure};
use corio_benches::{Args, delays_ms, http};
use may::coroutine::{self, JoinHandle, sleep, yield_now};
use may::net::{TcpListener, TcpStream};
use may::sync::{Mutex, Semphore, mpsc};

const USAGE: &str = "\
contender-may WORKLOAD ARG...
  echo PORT
  http PORT
  yield N [DEPTH [TASKS]]
  spawn N BATCH
  gather N BATCH
  queue N BOUND
  handover N
  mutex N
  timers N
  sleepers N
  wake N";

fn main() {
    may::config().set_workers(1);
    Args::of_program(USAGE).run(|args| match args.word() {
        "echo" => serve("echo", args.number(1, None)?, answer),
        "http" => serve("http", args.number(1, None)?, answer_requests),
        "yield" => {
            let (operations, depth, tasks) =
                (args.number(1, None)?, args.number(2, Some(0))?, args.number(3, Some(2))?);
            inside(move || yields(operations, depth, tasks))
        }
        "spawn" => {
            let (operations, batch) = (args.number(1, None)?, args.number(2, None)?);
            inside(move || spawn(operations, batch))
        }
        "gather" => {
            let (operations, batch) = (args.number(1, None)?, args.number(2, None)?);
            inside(move || gather(operations, batch))
        }
        "queue" => {
            let (operations, bound) = (args.number(1, None)?, args.number(2, None)?);
            inside(move || queue("queue", operations, bound))
        }
        "handover" => {
            let operations = args.number(1, None)?;
            inside(move || queue("handover", operations, 1))
        }
        "mutex" => {
            let operations = args.number(1, None)?;
            inside(move || mutex(operations))
        }
        "timers" => {
            let operations = args.number(1, None)?;
            inside(move || timers(operations))
        }
        "sleepers" => {
            let operations = args.number(1, None)?;
            inside(move || sleepers(operations))
        }
        "wake" => {
            let operations = args.number(1, None)?;
            inside(move || wake(operations))
        }
        _ => Err(args.usage()),
    });
}

fn start<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    // SAFETY: nothing here overflows its stack or keeps a thread-local across a suspension.
    unsafe { coroutine::spawn(f) }
}

fn end<T>(coroutine: JoinHandle<T>) -> io::Result<T> {
    coroutine.join().map_err(|_| io::Error::other("a coroutine panicked"))
}

/// Runs a workload in a coroutine, as the others have it.
fn inside(workload: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    end(start(workload))?
}

fn serve(workload: &'static str, port: u16, connection: fn(TcpStream) -> io::Result<()>) -> io::Result<()> {
    figures::end_with_figures(workload);
    inside(move || {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        println!("listening={}", listener.local_addr()?.port());
        for stream in listener.incoming() {
            let stream = stream?;
            start(move || connection(stream));
        }
        Ok(())
    })
}

fn answer_requests(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    http::serve(stream)
}

fn answer(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    corio_benches::echo(stream, || ())
}

fn yields(operations: u64, depth: u32, tasks: u64) -> io::Result<()> {
    measure("yield", operations, || {
        let turns = operations / tasks;
        let task = move || {
            for _ in 0..turns {
                at_depth(depth, &yield_now);
            }
        };
        let tasks: Vec<_> = (0..tasks).map(|_| start(task)).collect();
        tasks.into_iter().try_for_each(end)
    })
}

fn spawn(operations: u64, batch: u64) -> io::Result<()> {
    let mut tasks = Vec::with_capacity(batch as usize);
    measure("spawn", operations, || {
        for _ in 0..operations / batch {
            tasks.extend((0..batch).map(|i| start(move || i)));
            for task in tasks.drain(..) {
                black_box(end(task)?);
            }
        }
        Ok(())
    })
}

/// There is no such call: spawn all, join all.
fn gather(operations: u64, batch: u64) -> io::Result<()> {
    measure("gather", operations, || {
        for _ in 0..operations / batch {
            let tasks: Vec<_> = (0..batch).map(|i| start(move || Ok::<_, io::Error>(i))).collect();
            black_box(tasks.into_iter().map(|task| end(task)?).collect::<io::Result<Vec<_>>>()?);
        }
        Ok(())
    })
}

/// Its channels have no bound: a semaphore counts the room.
fn queue(workload: &str, operations: u64, bound: usize) -> io::Result<()> {
    let (put, get) = mpsc::channel();
    let room = Arc::new(Semphore::new(bound));
    let freed = Arc::clone(&room);
    measure(workload, operations, || {
        let producer = start(move || {
            for message in 0..operations {
                room.wait();
                put.send(message).expect("the consumer takes them all");
            }
        });
        let consumer = start(move || {
            for _ in 0..operations {
                black_box(get.recv()).expect("the producer sends them all");
                freed.post();
            }
        });
        end(producer)?;
        end(consumer)
    })
}

fn mutex(operations: u64) -> io::Result<()> {
    let mutex = Mutex::new(0);
    measure("mutex", operations, || {
        for _ in 0..operations {
            *black_box(&mutex).lock().expect("nobody panics") += 1;
        }
        Ok(())
    })
}

fn timers(operations: u64) -> io::Result<()> {
    measure("timers", operations, || {
        let delays_ms = delays_ms().map(|ms| ms % 1000).take(operations as usize);
        let tasks: Vec<_> = delays_ms.map(|ms| start(move || sleep(Duration::from_millis(ms)))).collect();
        tasks.into_iter().try_for_each(end)
    })
}

fn sleepers(operations: u64) -> io::Result<()> {
    let before = figures::memory()?;
    let stopwatch = Stopwatch::start();
    let asleep = Arc::new(AtomicU64::new(0));
    for _ in 0..operations {
        let asleep = Arc::clone(&asleep);
        start(move || {
            asleep.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(86_400));
        });
    }
    let unstarted = figures::memory()?;
    while asleep.load(Ordering::Relaxed) < operations {
        sleep(Duration::from_millis(1)); // whoever yields goes before those that are new
    }
    figures::print_sleepers(operations, [before, unstarted, figures::memory()?], &stopwatch);
    std::process::exit(0)
}

/// A semaphore one way, `unpark` the other.
fn wake(operations: u64) -> io::Result<()> {
    measure("wake", operations, || {
        let (bell, answered) = (Arc::new(Semphore::new(0)), Arc::new(AtomicU64::new(0)));
        let asking = corio_benches::asking_thread(operations, Arc::clone(&answered), {
            let bell = Arc::clone(&bell);
            move || bell.post()
        });
        for round in 1..=operations {
            answered.store(round, Ordering::Release);
            asking.thread().unpark();
            bell.wait();
        }
        asking.join().map_err(|_| io::Error::other("the asking thread panicked"))
    })
}
