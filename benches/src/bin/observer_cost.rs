//! What the event stream costs a program: the data of "What it costs" in `docs/book/seeing.md`, and its tables from them.
//!
//! `cargo run --release -p corio-benches --bin observer_cost` measures, writes `docs/data/observer-cost` and renders the chapter. It
//! takes three minutes, five if the machine has other work, and should not have any; the two builds before it take as long again.
//! `-- quick` does everything three times instead of twenty and a hundred; `-- render` renders what was measured before.
//!
//! There are two builds of this program: the one that runs, and one without corio's feature `observe`, which it makes first, in a
//! target directory of its own. Each run is a process of one of them. The variants take turns, beginning with another each time;
//! then `off` and `compiled out` alone, more often. Two programs lie differently in memory, and may differ in time by more than
//! what they do: where that is, the instructions decide, which `valgrind` counts. If it is missing, this says so first, and the
//! tables say so too.

use std::env::consts::EXE_SUFFIX;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Instant;

use corio_benches::comparison::data::{self, Cell, Content, Sheet};
use corio_benches::comparison::{render::write, root};
use corio_benches::figures::{self, Figures, Others, value};
use corio_benches::observer_cost::{VARIANTS, Variant, WORKLOADS, Workload, data_directory, render, rows};
use corio_benches::processes::{self, figures_of, process, said};

/// How many runs of every variant, and how many more pairs.
const ROUNDS: usize = 20;
const PAIRS: usize = 100;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["contender", ..] => corio_benches::contender(&args[1..]),
        ["render"] => render::files().and_then(write),
        ["quick"] => Programs::make().and_then(|programs| programs.measure(3, 3)),
        [] => Programs::make().and_then(|programs| programs.measure(ROUNDS, PAIRS)),
        _ => Err(io::Error::other("neither `quick` nor `render`")),
    };
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(2);
    }
}

/// This program, twice, and who counts its instructions.
struct Programs {
    compiled_in: PathBuf,
    compiled_out: PathBuf,
    /// Its version.
    valgrind: Option<String>,
}

impl Programs {
    fn make() -> io::Result<Programs> {
        if cfg!(debug_assertions) || cfg!(not(feature = "observe")) {
            return Err(io::Error::other("to be built with --release, and with the feature `observe`"));
        }
        let valgrind = said("valgrind", &["--version"]);
        if valgrind.is_none() {
            eprintln!("missing: valgrind, without which instructions are not counted");
        }
        let compiled_in = std::env::current_exe()?;
        let target = root().join("target/without-observe");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(root()).args(["build", "--release", "--package", "corio-benches", "--bin", "observer_cost"]);
        let built = cargo.arg("--no-default-features").arg("--target-dir").arg(&target).status()?;
        if !built.success() {
            return Err(io::Error::other(format!("{cargo:?}: {built}")));
        }
        let compiled_out = target.join(format!("release/observer_cost{EXE_SUFFIX}"));
        Ok(Programs { compiled_in, compiled_out, valgrind })
    }

    fn measure(&self, rounds: usize, pairs: usize) -> io::Result<()> {
        let (start, cores) = (Instant::now(), thread::available_parallelism()?.get());
        std::fs::create_dir_all(data_directory())?;
        figures::pin(0..1)?;
        for workload in &WORKLOADS {
            eprintln!("{:4.0} s  {}, rounds: {rounds}, pairs: {pairs}", start.elapsed().as_secs_f64(), workload.id);
            let mut about = data::about(cores);
            about.insert("valgrind".into(), self.valgrind.as_deref().unwrap_or("missing").into());
            about.insert("runs of each".into(), format!("{rounds}, and {pairs} of the pairs").into());
            let others = Others::since_now()?;
            let cells = self.cells(workload, rounds, pairs);
            if let Some(share) = others.share(cores)? {
                about.insert("others".into(), share.into());
            }
            Sheet { about, cells }.write(&data_directory().join(format!("{}.json", workload.id)))?;
        }
        eprintln!("{:4.0} s  done", start.elapsed().as_secs_f64());
        write(render::files()?)
    }

    fn cells(&self, workload: &Workload, rounds: usize, pairs: usize) -> Vec<Cell> {
        let of = |row: &str, variant: &Variant, content| Cell { row: row.into(), column: variant.id.into(), content };
        let run = |place: usize| {
            let mut contender = self.contender(workload, &VARIANTS[place], workload.operations);
            figures_of(&mut contender).map_err(|error| format!("not measured: {error}"))
        };
        let mut cells = Vec::new();
        for (variant, runs) in VARIANTS.iter().zip(processes::in_turns(VARIANTS.len(), rounds, run)) {
            cells.push(of(rows::TURNS, variant, content(&runs, "cpu_ns_op")));
            cells.push(of(rows::RECORDS, variant, content(&runs, "records_op")));
            cells.push(of(rows::WRITTEN, variant, content(&runs, "written_ns")));
        }
        for (variant, runs) in VARIANTS.iter().zip(processes::in_turns(2, pairs, run)) {
            cells.push(of(rows::PAIRS, variant, content(&runs, "cpu_ns_op")));
        }
        for variant in &VARIANTS {
            cells.push(of(rows::INSTRUCTIONS, variant, self.instructions(workload, variant)));
        }
        cells
    }

    fn instructions(&self, workload: &Workload, variant: &Variant) -> Content {
        if self.valgrind.is_none() {
            return Content::Words("not counted: valgrind is missing".into());
        }
        let counted =
            processes::instructions(workload.counted, |operations| self.contender(workload, variant, operations));
        match counted {
            Ok(instructions) => Content::Runs(vec![instructions]),
            Err(why) => Content::Words(format!("not counted: {why}")),
        }
    }

    fn contender(&self, workload: &Workload, variant: &Variant, operations: u64) -> Command {
        let program = if variant.compiled_in { &self.compiled_in } else { &self.compiled_out };
        let (Workload { id, by, .. }, watcher) = (workload, variant.watcher);
        let mut command = process(program, &format!("contender observed-{id} {operations} {by} {watcher}"));
        for asks_for_more in ["CORIO_LIVE", "CORIO_FLIGHT", "CORIO_DEBUG"] {
            command.env_remove(asks_for_more);
        }
        command
    }
}

fn content(runs: &Result<Vec<Figures>, String>, figure: &str) -> Content {
    match runs {
        Ok(runs) => Content::Runs(runs.iter().filter_map(|run| value(run, figure)).collect()),
        Err(why) => Content::Words(why.clone()),
    }
}
