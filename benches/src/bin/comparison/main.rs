//! Two ways to pause, measured: the data of `docs/book/two-ways-to-pause.md`, and its tables and plots from them.
//!
//! `cargo run --release -p corio-benches --bin comparison -- [quick] [MEASURE...]`, a MEASURE being one of `m1` to `m12`; all
//! without one. Each has a file in `docs/data/two-ways`, written when it is done, so what a run did not reach can be measured
//! later; all of it takes three quarters of an hour, and wants a quiet machine. `quick` does a tenth of the work three times instead of
//! ten. `-- render` renders what was measured before.
//!
//! It wants `contender-tokio` (`cargo build --release -p corio-peers`), `python3` and `strace`; what is missing, it says first, and
//! the tables say so too. Each run is a process of its own, and the columns take turns, beginning with another each time.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use corio_benches::comparison::data::{self, Cell, Content, Sheet};
use corio_benches::comparison::measures::{Measure, Row, Work, measures};
use corio_benches::comparison::{COLUMNS, Column, data_directory, render, root};
use corio_benches::figures::{self, Figures, Others, value};
use corio_benches::processes::{self, Server, figures_of, process, program, said};
use serde_json::{Map, Value};

mod once;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first() {
        Some((first, rest)) if first == "contender" => corio_benches::contender(rest),
        Some((first, [])) if first == "render" => render::files().and_then(render::write),
        _ => Programs::find().measure(&args),
    };
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(2);
    }
}

/// Who runs the workloads.
struct Programs {
    cores: usize,
    /// The interpreter itself: what stands in the path may be a script that starts it.
    python: Option<PathBuf>,
    tokio: Option<PathBuf>,
}

impl Programs {
    /// Looks for everybody, and says who is missing.
    fn find() -> Programs {
        let ask = ["-c", "import sys; print(sys.executable)"];
        let python = said("python3", &ask).map(PathBuf::from);
        let tokio = program("tokio").inspect_err(|error| eprintln!("missing: {error}")).ok();
        if python.is_none() {
            eprintln!("missing: python3");
        }
        if !processes::has("strace") {
            eprintln!("missing: strace, without which system calls are not counted");
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        if cores < 2 {
            eprintln!("missing: a second core, for the clients");
        }
        Programs { cores, python, tokio }
    }

    fn measure(&self, args: &[String]) -> io::Result<()> {
        let quick = args.iter().any(|arg| arg == "quick");
        let wanted: Vec<&String> = args.iter().filter(|arg| *arg != "quick").collect();
        let measures = measures(quick);
        if let Some(unknown) = wanted.iter().find(|id| !measures.iter().any(|measure| measure.id == **id)) {
            return Err(io::Error::other(format!("neither `quick`, `render` nor a measure: {unknown}")));
        }
        std::fs::create_dir_all(data_directory())?;
        let start = Instant::now();
        for measure in measures.iter().filter(|measure| wanted.is_empty() || wanted.iter().any(|id| measure.id == *id))
        {
            let rounds = if quick { 3 } else { 10 }.min(measure.most_rounds);
            eprintln!("{:4.0} s  {}, rounds: {rounds}", start.elapsed().as_secs_f64(), measure.id);
            let mut about = self.about();
            about.insert("runs of each".into(), format!("{rounds}{}", if quick { ", quick" } else { "" }).into());
            let others = Others::since_now()?;
            let cells = match once::measure(self, measure, rounds)? {
                Some(cells) => cells,
                None => self.in_turns(measure, rounds),
            };
            if let Some(share) = others.share(self.cores)? {
                about.insert("others".into(), share.into());
            }
            Sheet { about, cells }.write(&data_directory().join(format!("{}.json", measure.id)))?;
        }
        eprintln!("{:4.0} s  done", start.elapsed().as_secs_f64());
        render::write(render::files()?)
    }

    /// What the figures are of.
    fn about(&self) -> Map<String, Value> {
        let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap_or_default();
        let tokio = lock.split("name = \"tokio\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
        let python = self.python.as_ref().and_then(|python| said(&python.to_string_lossy(), &["-V"]));
        let mut about = data::about(self.cores);
        about.insert("python".into(), python.unwrap_or_else(|| "missing".into()).into());
        about.insert("tokio".into(), tokio.unwrap_or("missing").into());
        about
    }

    /// Who runs a workload in this column.
    fn contender(&self, column: Column, command: &str) -> Result<Command, String> {
        let missing = |what: &str| format!("not measured: {what} is missing");
        let mut process = match column {
            Column::Python => {
                let python = self.python.as_ref().ok_or_else(|| missing("python3"))?;
                let mut process = process(python, command);
                let args: Vec<_> = process.get_args().map(ToOwned::to_owned).collect();
                process = Command::new(python);
                process.arg(root().join("benches/comparison/contender.py")).args(args).stdin(Stdio::null());
                process.env("PYTHONDONTWRITEBYTECODE", "1");
                process
            }
            Column::Tokio => process(self.tokio.as_ref().ok_or_else(|| missing("contender-tokio"))?, command),
            _ => own(command).map_err(|error| error.to_string())?,
        };
        process.stderr(Stdio::piped()).env("RUST_BACKTRACE", "0").env_remove("RUST_MIN_STACK");
        Ok(process)
    }

    /// All rows of a measure. Rows that one workload fills are filled by the same runs.
    fn in_turns(&self, measure: &Measure, rounds: usize) -> Vec<Cell> {
        let mut taken: HashMap<String, Vec<Result<Vec<Figures>, String>>> = HashMap::new();
        let mut cells = Vec::new();
        for row in &measure.rows {
            let runs = taken.entry(format!("{:?}", row.work)).or_insert_with(|| {
                eprintln!("        {}", row.id);
                self.rounds(&row.work, rounds)
            });
            for (column, runs) in COLUMNS.into_iter().zip(runs) {
                cells.push(Cell { row: row.id.clone(), column: column.id().into(), content: content(row, runs) });
            }
        }
        cells
    }

    /// The figures of each column.
    fn rounds(&self, work: &Work, rounds: usize) -> Vec<Result<Vec<Figures>, String>> {
        processes::in_turns(COLUMNS.len(), rounds, |place| self.run(COLUMNS[place], work))
    }

    fn run(&self, column: Column, work: &Work) -> Result<Figures, String> {
        let failed = |error: io::Error| format!("not measured: {error}").replace(&*root().to_string_lossy(), ".");
        let prefix = [(Column::Facade, "aio-"), (Column::Threads, "threads-")];
        let prefix = prefix.iter().find(|(of, _)| *of == column).map_or("", |(_, prefix)| prefix);
        match work {
            Work::Alone(commands) => {
                let command = commands[column as usize].as_ref().map_err(|why| (*why).to_owned())?;
                figures::pin(0..1).map_err(failed)?;
                figures_of(&mut self.contender(column, command)?).map_err(failed)
            }
            Work::Serve { server, connections, requests } => {
                let command = self.contender(column, &format!("{prefix}{server} 0"))?;
                let requests = if column == Column::Python { requests / 5 } else { *requests };
                self.serve(command, server, *connections, requests.max(2 * connections)).map_err(failed)
            }
            Work::Calls(_) if !processes::has("strace") => Err("not measured: strace is missing".into()),
            Work::Calls(server) => {
                figures::pin(0..self.cores).map_err(failed)?;
                let command = self.contender(column, &format!("{prefix}{server} 0"))?;
                let load = |port, requests| load(server, port, 64, requests, 0);
                let calls = processes::system_calls(&command, [600, 2_600], load).map_err(failed)?;
                Ok(vec![("syscalls_op".to_owned(), calls)])
            }
            Work::Once => unreachable!("nothing to run in turns"),
        }
    }

    /// The server on the first core, its client on the second.
    fn serve(&self, mut command: Command, server: &str, connections: u64, requests: u64) -> io::Result<Figures> {
        figures::pin(0..1)?;
        command.stderr(Stdio::null()); // nobody reads it while the server runs
        let running = Server::start(command)?;
        figures::pin([1 % self.cores])?;
        let figures = figures_of(&mut load(server, running.port(), connections, requests, running.id())?)?;
        running.end()?;
        Ok(figures)
    }
}

fn load(server: &str, port: u16, connections: u64, requests: u64, pid: u32) -> io::Result<Command> {
    let load = if server == "echo" { "load".to_owned() } else { format!("load-{server}") };
    let mut command = own(&format!("{load} {port} {connections} {requests} {pid}"))?;
    command.stderr(Stdio::piped());
    Ok(command)
}

/// This program as a contender.
fn own(command: &str) -> io::Result<Command> {
    Ok(process(std::env::current_exe()?, &format!("contender {command}")))
}

fn content(row: &Row, runs: &Result<Vec<Figures>, String>) -> Content {
    match runs {
        Err(why) => Content::Words(why.clone()),
        Ok(runs) => match runs.iter().filter_map(|run| value(run, row.figure)).collect::<Vec<_>>() {
            figures if figures.is_empty() => Content::Words("not counted".into()),
            figures => Content::Runs(figures),
        },
    }
}
