//! The table: what corio costs relative to the floors, measured in turns.
//!
//! `cargo run --release -p corio-benches -- [quick] [peers] [ROW...] [--rounds N] [--out FILE] [--check]`
//!
//! ROW is one of `yield`, `spawn`, `gather`, `queue`, `handover`, `mutex`, `wakeall`, `timercancel`, `wake`, `echo`,
//! `http`, `stack`, `workers`, `idle`, `copy`, `timers`, `sleepers`, `aio`; without one, all rows. `quick` does a tenth of the work in three
//! rounds instead of nine. `--out` writes every run and every row as a line of JSON. `--check` ends with status 1 if a
//! target is missed by more than the run's own noise.
//!
//! `peers` runs tokio (on one thread) and may (with one worker) in the same rounds, and prints them beside ours: the
//! figure, and in brackets how many times the floor that is. `cargo build --release -p corio-peers` makes their programs, which
//! the rows of `aio` need too.
//! No figure: it does not have the workload, or not in that size. A target that compares with a peer has a verdict only then.
//!
//! The host may change its speed between two runs, so a run of the floor stands before and after each of ours (floor,
//! ours, floor, ours, ..., floor), and the ratio is to the mean of these two. Its median counts; the spread is
//! (max - min) / median. Times are CPU times of all threads of the process. A miss is within the noise if a quarter of
//! the rounds meet the target.
//!
//! Throughput and latency are by the wall clock, and mean nothing where other processes are busy: the last line tells
//! how much of the cores they had.
//!
//! Two ways to pause, side by side, are another program's, `--bin comparison`; and what it costs to be watched, a third one's,
//! `--bin observer_cost`.
//!
//! Each run is a process of its own: this program again, as `contender`, so that both are always of the same build.

use std::fs::File;
use std::io;
use std::thread;

use corio_benches::figures::{self, Others};
use corio_benches::processes::program;

use crate::compare::Compared;
use crate::rows::{PEERS, benches};
use crate::runs::Runs;

mod compare;
mod rows;
mod runs;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first() {
        Some((first, rest)) if first == "contender" => corio_benches::contender(rest).map(|()| true),
        _ => table(args),
    };
    let status = match result {
        Ok(true) => return,
        Ok(false) => 1,
        Err(error) => {
            eprintln!("{error}");
            2
        }
    };
    std::process::exit(status);
}

/// Takes a word out of the arguments.
fn flag(args: &mut Vec<String>, name: &str) -> bool {
    let before = args.len();
    args.retain(|arg| arg != name);
    args.len() < before
}

/// The same with the word that follows it.
fn option(args: &mut Vec<String>, name: &str) -> Option<String> {
    let at = args.iter().position(|arg| arg == name)?;
    let value = args.get(at + 1)?.clone();
    args.drain(at..at + 2);
    Some(value)
}

const COLUMNS: [&str; 7] = ["workload", "floor", "ours", "ratio", "spread", "target", "verdict"];

/// Measures and prints; false if a target that was to be checked is missed.
fn table(mut args: Vec<String>) -> io::Result<bool> {
    let (quick, check) = (flag(&mut args, "quick"), flag(&mut args, "--check"));
    let peers: &[&str] = if flag(&mut args, "peers") { &PEERS } else { &[] };
    for peer in peers {
        program(peer)?;
    }
    let rounds = option(&mut args, "--rounds").map(|rounds| rounds.parse().map_err(io::Error::other));
    let rounds = rounds.unwrap_or(Ok(if quick { 3 } else { 9 }))?;
    let mut out = option(&mut args, "--out").map(File::create).transpose()?;
    let benches = benches(quick);
    if let Some(unknown) = args.iter().find(|row| !benches.iter().any(|bench| bench.word == *row)) {
        return Err(io::Error::other(format!("neither an option nor a row: {unknown}")));
    }
    let cores = thread::available_parallelism()?.get();
    let columns = [&COLUMNS, peers].concat();
    let ruler = format!("|---|--:|--:|--:|--:|--:|---|{}", "--:|".repeat(peers.len()));
    println!("{}\n\n| {} |\n{ruler}", figures::machine(cores), columns.join(" | "));
    let others = Others::since_now();
    let mut missed = false;
    for bench in benches.iter().filter(|bench| args.is_empty() || args.iter().any(|row| bench.word == row)) {
        let peers = peers.iter().map(|peer| (*peer, Vec::new())).collect();
        let mut runs = Runs { cores, out: &mut out, ours: Vec::new(), floor: Vec::new(), peers };
        let failure = runs.take(bench, rounds.min(bench.most_rounds)).err();
        for row in &bench.rows {
            let compared = Compared::new(row.figure, &runs);
            let (met, mut cells) = compared.cells(row);
            if let Some(failure) = &failure {
                cells[6] = format!("failed: {failure}");
            } else if compared.ours.is_empty() {
                continue; // not counted here
            }
            missed |= !met || failure.is_some();
            let mut cells = cells.to_vec();
            cells.extend(runs.peers.iter().map(|(_, peer)| compared.peer(row.figure, peer)));
            println!("| {} |", cells.join(" | "));
            runs.log(columns.iter().zip(&cells).map(|(column, cell)| format!("{column:?}:{cell:?}")))?;
        }
    }
    if let Ok(Some(share)) = others.and_then(|others| others.share(cores)) {
        println!("\nOther processes had {:.0} % of the cores meanwhile.", 100.0 * share.max(0.0));
    }
    Ok(!(check && missed))
}
