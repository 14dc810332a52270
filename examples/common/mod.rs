//! What the examples of the learning path share: who watches them, and a client for those that serve with sockets of std's.
//!
//! | flag | |
//! | --- | --- |
//! | `--quiet` | only what the program prints |
//! | `--detail N` | 1: pauses and resumes, as without a flag; 2: every event; 0: as `--quiet` |
//! | `--step` | runs it first, and then steps through it, also backwards: Enter goes to the next resume, `h` lists the rest |
//! | `--live` | the same while it runs: back leads to what has been, and what is still to come is waited for |
//! | `--quiz` | runs it first, and then asks what comes next, at up to nine of its steps |
//! | `--trace FILE` | writes the run as a trace, for Perfetto or `chrome://tracing` |
//! | `--html FILE` | writes the run as a page to step through, for any browser |
//! | `--svg FILE` | writes it as a picture; with `--steps A-B` only those steps |
//! | `--real` | on the real clock and the real network: a second takes a second |
//!
//! `CORIO_LOG=debug` adds the library's log, on standard error: each line with the task that wrote it.

#![allow(dead_code)] // each example compiles its own copy

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::ops::RangeInclusive;
use std::{env, fs, io, net::TcpStream};

use corio::observe::{Axis, Narrator, Quiz, Recording, Stepper};
use corio::testing::Network;
use corio::{Backend, Runner, millis};

/// Runs an example's program as its flags say.
pub(crate) fn watch(program: fn() -> io::Result<()>) -> io::Result<()> {
    let _ = env_logger::Builder::from_env("CORIO_LOG")
        .format(|out, record| {
            let task = corio::try_current().map_or_else(|| "-".to_owned(), |task| task.name());
            writeln!(out, "[{} {} {task}] {}", record.level(), record.target(), record.args())
        })
        .try_init(); // an example may have its own
    let (mut detail, mut real, mut step, mut live, mut quiz, mut steps) = (1, false, false, false, false, 0..=u64::MAX);
    let mut files = Vec::new();
    let mut flags = env::args().skip(1);
    while let Some(flag) = flags.next() {
        match &*flag {
            "--quiet" => detail = 0,
            "--detail" => detail = flags.next().and_then(|n| n.parse().ok()).ok_or_else(usage)?,
            "--step" => step = true,
            "--live" => live = true,
            "--trace" | "--html" | "--svg" => files.push((flag, flags.next().ok_or_else(usage)?)),
            "--steps" => steps = flags.next().and_then(|steps| range(&steps)).ok_or_else(usage)?,
            "--quiz" => quiz = true,
            "--real" => real = true,
            _ => return Err(usage()),
        }
    }
    let mut runner = if real { Runner::new() } else { simulated() };
    // These run it first, unseen.
    let afterwards = step || quiz;
    if live {
        let input = io::stdin();
        let stepper = Stepper::live().echo(!input.is_terminal());
        runner = runner.observer(stepper.observe(io::BufReader::new(input), io::stdout()));
    } else if !afterwards && (detail > 0 || !files.is_empty()) {
        // What a program says is heard by whoever observes it, so somebody has to print it then.
        runner = runner.observer(Narrator::new(io::stdout()).detail(detail));
    }
    if !afterwards && files.is_empty() {
        return launch(runner, program);
    }
    let recording = Recording::new();
    let ended = launch(runner.observer(recording.clone()), program);
    for (form, file) in files {
        let text = match &*form {
            "--html" => recording.html(),
            "--svg" => recording.svg(steps.clone()),
            // On a virtual clock no time passes while something runs: steps show more.
            _ => recording.chrome_trace(if real { Axis::Time } else { Axis::Step }),
        };
        fs::write(file, text)?;
    }
    let typed_unseen = !io::stdin().is_terminal();
    if quiz {
        Quiz::new(&recording).echo(typed_unseen).run(io::stdin().lock(), io::stdout())?;
    }
    if step {
        Stepper::new(&recording).echo(typed_unseen).run(io::stdin().lock(), io::stdout())?;
    }
    ended
}

/// A virtual clock, and a network in memory on which a packet takes ten milliseconds: every run is the same.
pub(crate) fn simulated() -> Runner {
    let network = Network::new().latency(millis(10)..=millis(10));
    Runner::new().virtual_clock().backend(Backend::Simulated(network))
}

/// The line that starts the main task, as the report of a deadlock names it.
pub(crate) fn launch(mut runner: Runner, program: fn() -> io::Result<()>) -> io::Result<()> {
    runner.run(program)
}

/// Steps, as in `9-36`.
fn range(steps: &str) -> Option<RangeInclusive<u64>> {
    let (first, last) = steps.split_once('-')?;
    Some(first.parse().ok()?..=last.parse().ok()?)
}

fn usage() -> io::Error {
    const FLAGS: &str =
        "--quiet, --detail N, --step, --live, --quiz, --trace FILE, --html FILE, --svg FILE, --steps A-B and --real";
    io::Error::new(io::ErrorKind::InvalidInput, format!("the flags are {FLAGS}"))
}

/// What a client of a line says and hears, on a socket of std's: it waits for the answer, and so does its thread.
pub(crate) fn ask(mut stream: &TcpStream, question: &str) -> io::Result<String> {
    stream.write_all(format!("{question}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?; // there is no more than this answer in the stream
    Ok(format!("{question}: {}", answer.trim_end()))
}
