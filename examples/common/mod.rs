//! What the examples of the learning path share: who watches them, and a client for those that serve with sockets of std's.
//!
//! | flag | |
//! | --- | --- |
//! | `--quiet` | only what the program prints |
//! | `--detail N` | 1: pauses and resumes, as without a flag; 2: every event; 0: as `--quiet` |
//! | `--step` | runs it first, and then steps through it, also backwards: Enter goes to the next resume, `h` lists the rest |
//! | `--live` | the same while it runs: back leads to what has been, and what is still to come is waited for |
//! | `--quiz` | runs it first, and then asks what comes next, at up to nine of its steps; with `--step` to look at them again |
//! | `--trace FILE` | writes the run as a trace, for Perfetto or `chrome://tracing` |
//! | `--html FILE` | writes the run as a page to step through, for any browser |
//! | `--svg FILE` | writes it as a picture; with `--steps A-B` only those steps |
//! | `--real` | on the real clock and the real network: a second takes a second |
//!
//! `CORIO_LOG=debug` adds the library's log, on standard error: each line with the task that wrote it.

#![allow(dead_code)] // each example compiles its own copy

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::ops::RangeInclusive;
use std::{env, fs, io, net::TcpStream, process};

use corio::observe::{Axis, Narrator, Quiz, Recording, Stepper};
use corio::testing::Network;
use corio::{Backend, Runner, millis};

/// Runs an example's program as its flags say.
pub(crate) fn watch(program: fn() -> io::Result<()>) -> io::Result<()> {
    let flags = Flags::read(env::args().skip(1)).unwrap_or_else(|trouble| give_up(&trouble));
    let _ = env_logger::Builder::from_env("CORIO_LOG")
        .format(|out, record| {
            let task = corio::try_current().map_or_else(|| "-".to_owned(), |task| task.name());
            writeln!(out, "[{} {} {task}] {}", record.level(), record.target(), record.args())
        })
        .try_init(); // an example may have its own
    let mut runner = if flags.real { Runner::new() } else { simulated() };
    // These run it first, unseen.
    let afterwards = flags.step || flags.quiz;
    if flags.live {
        let input = io::stdin();
        let stepper = Stepper::live().echo(!input.is_terminal());
        runner = runner.observer(stepper.observe(io::BufReader::new(input), io::stdout()));
    } else if !afterwards && (flags.detail > 0 || !flags.files.is_empty()) {
        // What a program says is heard by whoever observes it, so somebody has to print it then.
        runner = runner.observer(Narrator::new(io::stdout()).detail(flags.detail));
    }
    if !afterwards && flags.files.is_empty() {
        return launch(runner, program);
    }
    let recording = Recording::new();
    let ended = launch(runner.observer(recording.clone()), program);
    for (form, file) in flags.files {
        let text = match &*form {
            "--html" => recording.html(),
            "--svg" => recording.svg(flags.steps.clone().unwrap_or(0..=u64::MAX)),
            // On a virtual clock no time passes while something runs: steps show more.
            _ => recording.chrome_trace(if flags.real { Axis::Time } else { Axis::Step }),
        };
        fs::write(&file, text).unwrap_or_else(|error| give_up(&format!("{file} cannot be written: {error}")));
    }
    let typed_unseen = !io::stdin().is_terminal();
    if flags.quiz {
        Quiz::new(&recording).echo(typed_unseen).run(io::stdin().lock(), io::stdout())?;
    }
    if flags.step {
        Stepper::new(&recording).echo(typed_unseen).run(io::stdin().lock(), io::stdout())?;
    }
    ended
}

#[derive(Default)]
struct Flags {
    detail: u8,
    real: bool,
    step: bool,
    live: bool,
    quiz: bool,
    /// What is written, and into which file.
    files: Vec<(String, String)>,
    steps: Option<RangeInclusive<u64>>,
}

impl Flags {
    fn read(mut given: impl Iterator<Item = String>) -> Result<Flags, String> {
        let mut flags = Flags { detail: 1, ..Flags::default() };
        while let Some(flag) = given.next() {
            let mut wants = |what| given.next().ok_or_else(|| format!("`{flag}` is followed by {what}"));
            match &*flag {
                "--quiet" => flags.detail = 0,
                "--detail" => {
                    let detail = wants("0, 1 or 2")?.parse().ok().filter(|detail| *detail <= 2);
                    flags.detail = detail.ok_or("`--detail` is followed by 0, 1 or 2")?;
                }
                "--step" => flags.step = true,
                "--live" => flags.live = true,
                "--quiz" => flags.quiz = true,
                "--trace" | "--html" | "--svg" => {
                    let file = wants("the name of a file")?;
                    if file.starts_with("--") {
                        return Err(format!("`{flag}` is followed by the name of a file, and `{file}` is a flag"));
                    }
                    flags.files.push((flag, file));
                }
                "--steps" => {
                    let steps = range(&wants("two steps, as in 9-36")?);
                    flags.steps = Some(steps.ok_or("`--steps` is followed by two steps, as in 9-36")?);
                }
                "--real" => flags.real = true,
                "--help" => {
                    print!("{}", help());
                    process::exit(0);
                }
                _ => return Err(format!("there is no flag `{flag}`; these there are:\n{}", help().trim_end())),
            }
        }
        if flags.live && (flags.step || flags.quiz) {
            return Err("`--live` is for a run that is under way; --step and --quiz are for one that is over".into());
        }
        if flags.steps.is_some() && !flags.files.iter().any(|(form, _)| form == "--svg") {
            return Err("`--steps` chooses what `--svg FILE` draws, and that is not asked for".into());
        }
        Ok(flags)
    }
}

/// The table of flags from the head of this file.
fn help() -> String {
    let rows = include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("//! | `")?.split_once("` | "));
    rows.map(|(flag, does)| format!("  {flag:<12}  {}\n", does.trim_end_matches(" |").replace('`', ""))).collect()
}

/// Nothing more can be done, and a reader is told why.
fn give_up(trouble: &str) -> ! {
    eprintln!("{trouble}");
    process::exit(2)
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
    let steps = first.parse().ok()?..=last.parse().ok()?;
    (!steps.is_empty()).then_some(steps)
}

/// What a client of a line says and hears, on a socket of std's: it waits for the answer, and so does its thread.
pub(crate) fn ask(mut stream: &TcpStream, question: &str) -> io::Result<String> {
    stream.write_all(format!("{question}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?; // there is no more than this answer in the stream
    Ok(format!("{question}: {}", answer.trim_end()))
}
