//! What corio costs, next to the least the same work can cost.
//!
//! Three kinds of workload, one process each, each ending in one line of `key=value` figures:
//! [`corio_side`] and [`corio_server`] are the library as a user would call it, [`floor`] and [`floor_server`] the same work
//! with everything left out that can be left out, or by std [on threads](on_threads); [`load`] and [`transfer`] have
//! the clients that keep a server busy. `bin/table` runs them in turns and compares; only the ratios it prints mean
//! anything, because a shared machine has more than one speed.
//!
//! The package `peers` beside this one has the same workloads by tokio and by may, for the table's option `peers`.
//!
//! `bin/comparison` puts the same workloads side by side for [one chapter of the book](comparison): coroutines, async/await on the
//! same loop, threads, asyncio (`benches/comparison/contender.py`) and tokio.
//!
//! `bin/observer_cost` runs two workloads [under somebody's eyes](observed), and with the event stream compiled out, for
//! [another chapter](observer_cost).

#![recursion_limit = "512"] // futures are nested a hundred levels deep

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

pub mod aio_side;
pub mod bare_coroutines;
pub mod comparison;
pub mod corio_server;
pub mod corio_side;
pub mod counting;
pub mod depth;
pub mod figures;
pub mod floor;
pub mod floor_server;
pub mod histogram;
pub mod http;
pub mod load;
pub mod observed;
pub mod observer_cost;
pub mod on_threads;
pub mod processes;
pub mod ring;
pub mod transfer;

#[allow(dead_code)] // the example's own `main`, and those of its servers that are not measured
#[path = "../../examples/hex_server.rs"]
mod hex_server;

use figures::REQUESTS;
use load::Exchange;

const USAGE: &str = "\
contender WORKLOAD ARG...
  echo PORT [STACK_BYTES]          floor-echo PORT [LINES], bare-echo PORT
  http PORT [STACK_BYTES]          floor-http PORT [LINES], bare-http PORT
  workers PORT COUNT
  proxy PORT                       threads-proxy PORT
  yield N [DEPTH [TASKS]]          floor-switch N [DEPTH [TASKS]]
  spawn N BATCH                    floor-spawn N
  gather N BATCH
  queue N BOUND                    floor-queue N BOUND
  handover N                       floor-handover N
  mutex N
  wakeall N WAITERS
  timercancel N                    floor-timercancel N
  wake N                           floor-wake N
  timers N
  sleepers N [DEPTH [STACK_BYTES]]
  resume N DEPTH TASKS             threads-ring N DEPTH THREADS
  crowd N, cancel N DEPTH, discard N DEPTH, unwind N DEPTH, recurse LEVELS
  hex PORT, dump, endless, big
  aio-echo PORT, aio-http PORT     async/await, on the same loop
  aio-yield N [DEPTH [TASKS]]      DEPTH is 0, 1, 4, 10, 20 or 100
  aio-spawn N BATCH
  aio-timers N, aio-sleepers N [DEPTH]
  aio-resume, aio-resume-boxed, aio-crowd, aio-cancel, aio-discard, aio-recurse, aio-hex, aio-dump, aio-endless, aio-big
  observed-yield N TASKS WATCHER   WATCHER is nobody, ring or ring-and-file
  observed-echo N CONNECTIONS WATCHER
  threads-echo, -http, -hex, -spawn, -crowd, -sleepers, -recurse, -dump, -endless, -big
  copyfile MIB                     threads-copyfile MIB
  copystream MIB                   threads-copystream MIB, threads-copyloop MIB
  load PORT CONNECTIONS REQUESTS [SERVER_PID]
  load-hex PORT CONNECTIONS REQUESTS [SERVER_PID]
  load-http PORT CONNECTIONS REQUESTS [SERVER_PID [PIPELINED]]
  idle PORT CONNECTIONS SERVER_PID
  transfer PORT CONNECTIONS MIB SERVER_PID
A server prints `listening=PORT` (it chooses one if PORT is 0) and serves until its input ends or SIGTERM.";

/// Runs one workload, named and sized by `args` as on the command line.
pub fn contender(args: &[String]) -> io::Result<()> {
    let args = Args { words: args.to_vec(), usage: USAGE };
    match args.word() {
        "echo" => corio_server::echo(args.number(1, None)?, args.number(2, Some(0))?),
        "http" => corio_server::http(args.number(1, None)?, args.number(2, Some(0))?),
        "workers" => corio_server::workers(args.number(1, None)?, args.number(2, None)?),
        "proxy" => corio_server::proxy(args.number(1, None)?),
        "yield" => corio_side::yields(args.number(1, None)?, args.number(2, Some(0))?, args.number(3, Some(2))?),
        "spawn" => corio_side::spawn(args.number(1, None)?, args.number(2, None)?),
        "gather" => corio_side::gather(args.number(1, None)?, args.number(2, None)?),
        "queue" => corio_side::queue("queue", args.number(1, None)?, args.number(2, None)?),
        "handover" => corio_side::queue("handover", args.number(1, None)?, 1),
        "mutex" => corio_side::mutex(args.number(1, None)?),
        "wakeall" => corio_side::wake_all(args.number(1, None)?, args.number(2, None)?),
        "timers" => corio_side::timers(args.number(1, None)?),
        "timercancel" => corio_side::timer_cancel(args.number(1, None)?),
        "sleepers" => {
            let stack = Some(corio_side::SMALL_STACK);
            corio_side::sleepers(args.number(1, None)?, args.number(2, Some(0))?, args.number(3, stack)?)
        }
        "wake" => corio_side::wake(args.number(1, None)?),
        "resume" => corio_side::resume(args.number(1, None)?, args.number(2, None)?, args.number(3, None)?),
        "crowd" => corio_side::crowd(args.number(1, None)?),
        "cancel" => corio_side::cancel(args.number(1, None)?, args.number(2, None)?),
        "discard" => corio_side::discard(args.number(1, None)?, args.number(2, None)?, false),
        "unwind" => corio_side::discard(args.number(1, None)?, args.number(2, None)?, true),
        "recurse" => corio_side::recurse(args.number(1, None)?),
        "dump" => corio_side::dump(),
        "endless" => corio_side::endless(),
        "big" => corio_side::big(),
        "hex" => corio_server::hex(args.number(1, None)?),
        "copyfile" => corio_side::copy_file(args.number(1, None)?),
        "copystream" => corio_side::copy_stream(args.number(1, None)?),
        "aio-echo" => aio_side::echo(args.number(1, None)?),
        "aio-http" => aio_side::http(args.number(1, None)?),
        "aio-yield" => aio_side::yields(args.number(1, None)?, args.number(2, Some(0))?, args.number(3, Some(2))?),
        "aio-spawn" => aio_side::spawn(args.number(1, None)?, args.number(2, None)?),
        "aio-timers" => aio_side::timers(args.number(1, None)?),
        "aio-sleepers" => aio_side::sleepers(args.number(1, None)?, args.number(2, Some(0))?),
        "aio-resume" => aio_side::resume(args.number(1, None)?, args.number(2, None)?, args.number(3, None)?),
        "aio-resume-boxed" => {
            aio_side::resume_boxed(args.number(1, None)?, args.number(2, None)?, args.number(3, None)?)
        }
        "aio-crowd" => aio_side::crowd(args.number(1, None)?),
        "aio-cancel" => aio_side::cancel(args.number(1, None)?, args.number(2, None)?),
        "aio-discard" => aio_side::discard(args.number(1, None)?, args.number(2, None)?),
        "aio-recurse" => aio_side::recurse(args.number(1, None)?),
        "aio-dump" => aio_side::dump(),
        "aio-endless" => aio_side::endless(),
        "aio-big" => aio_side::big(),
        "aio-hex" => aio_side::hex(args.number(1, None)?),
        "observed-yield" => observed::yields(args.number(1, None)?, args.number(2, None)?, args.number(3, None)?),
        "observed-echo" => observed::echo(args.number(1, None)?, args.number(2, None)?, args.number(3, None)?),
        "floor-echo" => floor_server::echo(args.number(1, None)?, args.number(2, Some(0))?),
        "floor-http" => floor_server::http(args.number(1, None)?, args.number(2, Some(0))?),
        "bare-echo" => bare_coroutines::echo(args.number(1, None)?),
        "bare-http" => bare_coroutines::http(args.number(1, None)?),
        "floor-switch" => floor::switch(args.number(1, None)?, args.number(2, Some(0))?, args.number(3, Some(2))?),
        "floor-queue" => floor::queue(args.number(1, None)?, args.number(2, None)?),
        "floor-handover" => floor::handover(args.number(1, None)?),
        "floor-spawn" => floor::spawn(args.number(1, None)?),
        "floor-timercancel" => floor::timer_cancel(args.number(1, None)?),
        "floor-wake" => floor::wake(args.number(1, None)?),
        "threads-proxy" => on_threads::proxy(args.number(1, None)?),
        "threads-copyfile" => on_threads::copy_file(args.number(1, None)?),
        "threads-copystream" => on_threads::copy_stream(args.number(1, None)?),
        "threads-copyloop" => on_threads::copy_loop(args.number(1, None)?),
        "threads-echo" => on_threads::echo(args.number(1, None)?),
        "threads-http" => on_threads::http(args.number(1, None)?),
        "threads-hex" => on_threads::hex(args.number(1, None)?),
        "threads-ring" => on_threads::ring(args.number(1, None)?, args.number(2, None)?, args.number(3, None)?),
        "threads-spawn" => on_threads::spawn(args.number(1, None)?, args.number(2, None)?),
        "threads-crowd" => on_threads::crowd(args.number(1, None)?),
        "threads-sleepers" => {
            on_threads::sleepers(args.number(1, None)?, args.number(2, Some(0))?, args.number(3, Some(0))?)
        }
        "threads-recurse" => on_threads::recurse(args.number(1, None)?),
        "threads-dump" => on_threads::dump(),
        "threads-endless" => on_threads::endless(),
        "threads-big" => on_threads::big(),
        "load" => load(&args, &Exchange::echo()),
        "load-http" => load(&args, &Exchange::http(args.number(5, Some(1))?)),
        "load-hex" => load(&args, &Exchange::hex()),
        "idle" => load::idle(args.number(1, None)?, args.number(2, None)?, args.number(3, None)?),
        "transfer" => {
            transfer::run(args.number(1, None)?, args.number(2, None)?, args.number(3, None)?, args.number(4, None)?)
        }
        _ => Err(args.usage()),
    }
}

fn load(args: &Args, exchange: &Exchange) -> io::Result<()> {
    let server = args.number(4, Some(0))?;
    load::run(args.number(1, None)?, args.number(2, None)?, args.number(3, None)?, server, exchange)
}

/// A workload's name and sizes, as on a command line.
#[derive(Debug)]
pub struct Args {
    words: Vec<String>,
    usage: &'static str,
}

impl Args {
    /// Those of this program.
    pub fn of_program(usage: &'static str) -> Args {
        Args { words: std::env::args().skip(1).collect(), usage }
    }

    /// The name of the workload.
    pub fn word(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// One of the numbers behind it, from 1, or a word that stands for something.
    pub fn number<T: FromStr>(&self, index: usize, default: Option<T>) -> io::Result<T> {
        let given = match self.words.get(index) {
            Some(text) => text.parse().ok(),
            None => default,
        };
        given.ok_or_else(|| self.usage())
    }

    /// The error that tells what there is.
    pub fn usage(&self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, self.usage)
    }

    /// The whole of a contender's `main`.
    pub fn run(self, workload: impl FnOnce(&Args) -> io::Result<()>) {
        if let Err(error) = workload(&self) {
            eprintln!("{error}");
            std::process::exit(2);
        }
    }
}

/// The OS thread of the workload `wake`: it rings when the last ring was answered, `rounds` times.
pub fn asking_thread(rounds: u64, answered: Arc<AtomicU64>, ring: impl Fn() + Send + 'static) -> JoinHandle<()> {
    thread::spawn(move || {
        for round in 1..=rounds {
            while answered.load(Ordering::Acquire) < round {
                thread::park();
            }
            ring();
        }
    })
}

/// What goes back for a line of the workload `hex`.
pub fn hex_answer(line: &[u8]) -> String {
    hex_server::answer(line)
}

/// How long a line may be there.
pub const HEX_MAX_LINE: usize = hex_server::MAX_LINE;

/// Sends back what comes, with some work for each read: the server of the workload `echo`, on any stream.
pub fn echo(mut stream: impl Read + Write, work: impl Fn()) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        work();
        stream.write_all(&buffer[..n])?;
    }
}

/// Work that is worth another core: always as many steps, each of which needs the one before. They take more than 100 us.
pub fn compute() {
    let step = |mut state: u64, _| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^ state << 17
    };
    black_box((0..100_000).fold(black_box(1), step));
}

/// Delays for timers, 1 ms to about 16 s in a fixed irregular order, the same for all.
pub fn delays_ms() -> impl Iterator<Item = u64> {
    let mut state = 1u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + (state >> 50)
    })
}
