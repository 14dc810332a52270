//! **Lesson.** Long calculation belongs on other cores, or it must yield on purpose.
//!
//! **Predict.** The same sum is computed three times: in one go, with pauses, and in four parts on two threads. How many turns does
//! the metronome get each time? Why can the parts borrow the numbers?
//!
//! **Shows** V4 (who ran in between).
//! **Covers** C14. Threads are enough: here no lock lets only one of them calculate.
//!
//! Run `cargo run --example e39_cpu_work`, and add `-- --quiet` or `-- --detail 2`.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use corio::{Executor, gather, millis, say, scope, sleep, yield_now};

mod common;

/// Of a metronome that beats whenever it has a turn.
const NO_TIME: Duration = Duration::ZERO;

fn squares(numbers: &[u64]) -> u64 {
    numbers.iter().map(|n| n * n).sum()
}

fn politely(numbers: &[u64]) -> io::Result<u64> {
    numbers.chunks(100).try_fold(0, |sum, chunk| {
        yield_now()?;
        Ok(sum + squares(chunk))
    })
}

fn metronome(turns: &Cell<u32>, beat: Duration) -> io::Result<()> {
    loop {
        sleep(beat)?;
        turns.set(turns.get() + 1);
    }
}

/// Runs `f` beside a metronome, and counts.
fn with_metronome(beat: Duration, f: impl FnOnce() -> io::Result<u64>) -> io::Result<(u64, u32)> {
    let turns = Cell::new(0);
    let sum = scope(|s| {
        s.spawn(|| metronome(&turns, beat));
        let sum = f()?;
        s.cancel();
        Ok(sum)
    })?;
    Ok((sum, turns.get()))
}

pub(crate) fn program() -> io::Result<()> {
    let numbers: Vec<u64> = (1..=1000).collect();
    let (sum, turns) = with_metronome(NO_TIME, || Ok(squares(&numbers)))?;
    say!("in one go: {sum}, and {turns} turns for the metronome");
    let (sum, turns) = with_metronome(NO_TIME, || politely(&numbers))?;
    say!("politely: {sum}, and {turns} turns");
    let cores = Executor::new(2)?;
    let (sum, _) = with_metronome(millis(1), || {
        let parts = gather(numbers.chunks(250), |part| cores.run(|| squares(part)))?;
        Ok(parts.iter().sum())
    })?;
    say!("on two threads: {sum}, and as many turns as there was time for");
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
