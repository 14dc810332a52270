//! What corio costs, next to the least the same work can cost.
//!
//! Three kinds of workload, one process each, each ending in one line of `key=value` figures:
//! [`corio_side`] is the library as a user would call it, [`floor`] the same work with everything left out that
//! can be left out, and [`load`] the client that keeps an echo server busy. `bin/table.rs` runs them in turns and
//! compares; only the ratios it prints mean anything, because a shared machine has more than one speed.

use std::io;
use std::str::FromStr;

pub mod corio_side;
pub mod figures;
pub mod floor;
pub mod load;

const USAGE: &str = "\
contender WORKLOAD ARG...
  echo PORT [STACK_BYTES]          floor-echo PORT
  yield N [DEPTH [TASKS]]          floor-switch N [DEPTH [TASKS]]
  spawn N BATCH                    floor-spawn N
  timercancel N                    floor-timercancel N
  wake N                           floor-wake N
  timers N
  sleepers N
  load PORT CONNECTIONS REQUESTS [SERVER_PID]
An echo server prints `listening=PORT` (it chooses one if PORT is 0) and serves until its input ends or SIGTERM.";

/// Runs one workload, named and sized by `args` as on the command line.
pub fn contender(args: &[String]) -> io::Result<()> {
    let args = Args(args);
    match args.0.first().map_or("", String::as_str) {
        "echo" => corio_side::echo(args.number(1, None)?, args.number(2, Some(0))?),
        "yield" => corio_side::yields(args.number(1, None)?, args.number(2, Some(0))?, args.number(3, Some(2))?),
        "spawn" => corio_side::spawn(args.number(1, None)?, args.number(2, None)?),
        "timers" => corio_side::timers(args.number(1, None)?),
        "timercancel" => corio_side::timer_cancel(args.number(1, None)?),
        "sleepers" => corio_side::sleepers(args.number(1, None)?),
        "wake" => corio_side::wake(args.number(1, None)?),
        "floor-echo" => floor::echo(args.number(1, None)?),
        "floor-switch" => floor::switch(args.number(1, None)?, args.number(2, Some(0))?, args.number(3, Some(2))?),
        "floor-spawn" => floor::spawn(args.number(1, None)?),
        "floor-timercancel" => floor::timer_cancel(args.number(1, None)?),
        "floor-wake" => floor::wake(args.number(1, None)?),
        "load" => {
            load::run(args.number(1, None)?, args.number(2, None)?, args.number(3, None)?, args.number(4, Some(0))?)
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, USAGE)),
    }
}

struct Args<'a>(&'a [String]);

impl Args<'_> {
    fn number<T: FromStr>(&self, index: usize, default: Option<T>) -> io::Result<T> {
        let given = match self.0.get(index) {
            Some(text) => text.parse().ok(),
            None => default,
        };
        given.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, USAGE))
    }
}

/// Calls `f` below `depth` frames that are really there: none is inlined, and each returns before the next call.
///
/// A switch of stacks is cheapest when the coroutine suspends in its root function. From deeper down, every `ret`
/// after the resume was predicted from the other side's calls and misses. Programs live at depth, so both depths are shown.
#[inline(always)]
fn at_depth<F: Fn()>(depth: u32, f: &F) {
    #[inline(never)]
    fn frame<F: Fn()>(depth: u32, f: &F) {
        at_depth(depth - 1, f);
        std::hint::black_box(depth); // something left to do: the call above is no tail call
    }
    if depth == 0 { f() } else { frame(depth, f) }
}

/// Delays for timers, 1 ms to about 16 s in a fixed irregular order, the same on both sides.
fn delays_ms() -> impl Iterator<Item = u64> {
    let mut state = 1u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + (state >> 50)
    })
}
