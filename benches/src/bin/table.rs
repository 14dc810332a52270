//! The table: what corio costs relative to the floors, measured in turns.
//!
//! `cargo run --release -p corio-benches -- [quick] [peers] [ROW...] [--rounds N] [--out FILE] [--check]`
//!
//! ROW is the first word of our command (`yield`, `spawn`, `gather`, `queue`, `handover`, `mutex`, `wakeall`,
//! `timercancel`, `wake`, `echo`, `http`, `timers`, `sleepers`); without one, all rows. `quick` does a tenth of the work in three
//! rounds instead of nine. `--out` writes every run and every row as a line of JSON. `--check` ends with status 1 if a
//! target is missed by more than the run's own noise.
//!
//! `peers` runs tokio (on one thread) and may (with one worker) in the same rounds, and prints them beside ours: the
//! figure, and in brackets how many times the floor that is. `cargo build --release -p corio-peers` makes their programs.
//! No figure: it does not have the workload, or not in that size.
//!
//! The host may change its speed between two runs, so a run of the floor stands before and after each of ours (floor,
//! ours, floor, ours, ..., floor), and the ratio is to the mean of these two. Its median counts; the spread is
//! (max - min) / median. Times are CPU times of all threads of the process. A miss is within the noise if a quarter of
//! the rounds meet the target.
//!
//! Each run is a process of its own: this program again, as `contender`, so that both are always of the same build.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use corio_benches::figures::{self, Figures};

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

// ---- what is measured ---------------------------------------------------------------------------------------------

/// Who has the same workloads, as programs beside this one: `contender-NAME`.
const PEERS: [&str; 2] = ["tokio", "may"];

/// A contender's command, its floor's if it has one, and the rows of the table that their figures fill.
struct Bench {
    ours: String,
    floor: Option<String>,
    load: Option<Load>,
    most_rounds: usize,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    figure: &'static str,
    targets: Vec<Target>,
}

/// The clients of an echo server.
#[derive(Clone, Copy)]
struct Load {
    connections: u64,
    requests: u64,
}

#[derive(Clone, Copy)]
enum Target {
    /// At most so many times the floor.
    Times(f64),
    /// At most so much more than the floor.
    Above(f64),
    /// At most this, whatever the floor.
    AtMost(f64),
}
use Target::{Above, AtMost, Times};

impl Bench {
    /// A workload and its floor, which take the same arguments.
    fn new(ours: &str, floor: &str, size: &str) -> Bench {
        let floor = (!floor.is_empty()).then(|| format!("{floor} {size}"));
        Bench { ours: format!("{ours} {size}"), floor, load: None, most_rounds: usize::MAX, rows: Vec::new() }
    }

    fn row(mut self, name: impl Into<String>, figure: &'static str, targets: &[Target]) -> Bench {
        self.rows.push(Row { name: name.into(), figure, targets: targets.to_vec() });
        self
    }

    fn word(&self) -> &str {
        self.ours.split(' ').next().unwrap_or_default()
    }
}

fn benches(quick: bool) -> Vec<Bench> {
    let n = |full: u64| if quick { full / 10 } else { full };
    let mut all = Vec::new();
    for depth in [0, 4] {
        for tasks in [1, 2, 64] {
            let bench = Bench::new("yield", "floor-switch", &format!("{} {depth} {tasks}", n(10_000_000)));
            all.push(bench.row(format!("yield, depth {depth}, tasks: {tasks}"), "cpu_ns_op", &[Times(4.0)]));
        }
    }
    for batch in [1, 1000] {
        let bench = Bench::new("spawn", "floor-spawn", &format!("{} {batch}", n(3_000_000)));
        let name = format!("spawn + join, at a time: {batch}");
        all.push(bench.row(name, "cpu_ns_op", &[Times(6.0)]));
    }
    let bench = Bench::new("gather", "spawn", &format!("{} 1000", n(3_000_000)));
    all.push(bench.row("gather, at a time: 1000 (floor: spawn + join)", "cpu_ns_op", &[Times(1.1)]));
    let bench = Bench::new("queue", "floor-queue", &format!("{} 100", n(20_000_000)));
    all.push(bench.row("message through a queue for 100", "cpu_ns_op", &[Times(4.5)]));
    let bench = Bench::new("handover", "floor-handover", &n(5_000_000).to_string());
    all.push(bench.row("message through a queue for 1", "cpu_ns_op", &[Times(5.0)]));
    let bench = Bench::new("mutex", "floor-switch", &n(20_000_000).to_string());
    all.push(bench.row("lock + unlock, alone (floor: one switch)", "cpu_ns_op", &[Times(2.0)]));
    // That the work grows no faster than their number is what counts: the three rows side by side show it. Bare coroutines, as
    // many of them, show how much of the rest is caches that are missed more often.
    for waiters in [100, 1000, 10_000] {
        let bench = Bench::new("wakeall", "", &format!("{} {waiters}", n(3_000_000)));
        let bench = Bench { floor: Some(format!("floor-switch {} 0 {waiters}", n(3_000_000))), ..bench };
        all.push(bench.row(format!("wake all that wait for an event: {waiters}"), "cpu_ns_op", &[]));
    }
    let bench = Bench::new("timercancel", "floor-timercancel", &n(5_000_000).to_string());
    all.push(bench.row("arm + cancel a timer", "cpu_ns_op", &[Times(1.4)]));
    let bench = Bench::new("wake", "floor-wake", &n(200_000).to_string());
    all.push(bench.row("OS thread, task and back, one core", "cpu_ns_op", &[Times(1.05)]));
    // The default stacks, and small ones: what large ones cost is page tables, where there are many.
    for (connections, requests, stack) in
        [(1, 100_000, 0), (64, 300_000, 0), (1000, 300_000, 0), (1000, 300_000, 65_536)]
    {
        let load = Some(Load { connections, requests: n(requests) });
        let bench = Bench { load, ours: format!("echo 0 {stack}"), ..Bench::new("echo", "floor-echo", "0") };
        let place = if connections == 1 { ", one core" } else { "" };
        let stacks = if stack == 0 { "" } else { ", 64 KiB stacks" };
        let name = format!("echo, connections: {connections}{place}{stacks}");
        let bench = bench.row(&name, "cpu_ns_op", &[Times(1.03)]);
        all.push(bench.row(format!("{name}: system calls"), "syscalls_op", &[Above(0.02)]));
    }
    let load = Some(Load { connections: 64, requests: n(300_000) });
    let bench = Bench { load, ..Bench::new("http", "floor-http", "0") };
    let bench = bench.row("HTTP keep-alive, connections: 64", "cpu_ns_op", &[Times(1.03)]);
    all.push(bench.row("HTTP keep-alive, connections: 64: system calls", "syscalls_op", &[Above(0.02)]));
    let bench = Bench { most_rounds: 3, ..Bench::new("timers", "", &n(1_000_000).to_string()) };
    all.push(bench.row("spawn, sleep within 1 s, join", "cpu_ns_op", &[]));
    let bench = Bench { most_rounds: 1, ..Bench::new("sleepers", "", &n(1_000_000).to_string()) };
    let bench = bench.row("asleep, 64 KiB stacks: resident", "rss_b", &[AtMost(4600.0)]);
    let bench = bench.row("asleep: page tables", "pte_b", &[]).row("asleep: time to get there", "cpu_ns_op", &[]);
    all.push(bench.row("spawned, not started: resident", "unstarted_b", &[AtMost(200.0)]));
    all
}

// ---- the table ----------------------------------------------------------------------------------------------------

const COLUMNS: [&str; 7] = ["workload", "floor", "ours", "ratio", "spread", "target", "verdict"];

/// Measures and prints; false if a target that was to be checked is missed.
fn table(mut args: Vec<String>) -> io::Result<bool> {
    let (quick, check) = (flag(&mut args, "quick"), flag(&mut args, "--check"));
    let peers: &[&str] = if flag(&mut args, "peers") { &PEERS } else { &[] };
    for peer in peers {
        if !program(peer)?.exists() {
            return Err(io::Error::other(format!("no {:?}: cargo build --release -p corio-peers", program(peer)?)));
        }
    }
    let rounds = option(&mut args, "--rounds").map(|rounds| rounds.parse().map_err(io::Error::other));
    let rounds = rounds.unwrap_or(Ok(if quick { 3 } else { 9 }))?;
    let mut out = option(&mut args, "--out").map(File::create).transpose()?;
    let benches = benches(quick);
    if let Some(unknown) = args.iter().find(|row| !benches.iter().any(|bench| bench.word() == **row)) {
        return Err(io::Error::other(format!("neither an option nor a row: {unknown}")));
    }
    let cores = thread::available_parallelism()?.get();
    let columns = [&COLUMNS, peers].concat();
    let ruler = format!("|---|--:|--:|--:|--:|--:|---|{}", "--:|".repeat(peers.len()));
    println!("{}\n\n| {} |\n{ruler}", machine(cores), columns.join(" | "));
    let mut missed = false;
    for bench in benches.iter().filter(|bench| args.is_empty() || args.iter().any(|row| bench.word() == row)) {
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
    Ok(!(check && missed))
}

/// What this is measured on, as far as the kernel tells.
fn machine(cores: usize) -> String {
    let file = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = file("/proc/cpuinfo");
    let model = cpus.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let (kernel, mappings) = (file("/proc/sys/kernel/osrelease"), file("/proc/sys/vm/max_map_count"));
    let (model, kernel, mappings) = (model.unwrap_or("unknown"), kernel.trim(), mappings.trim());
    format!("Cores: {cores} ({model}); Linux {kernel}; vm.max_map_count {mappings}.")
}

/// One figure, round by round.
struct Compared {
    ours: Vec<f64>,
    /// The mean of the floor's runs before and after; like the next two, empty if there is no floor.
    floor: Vec<f64>,
    ratio: Vec<f64>,
    above: Vec<f64>,
}

impl Compared {
    fn new(figure: &str, runs: &Runs<'_>) -> Compared {
        let of = |runs: &[Figures]| runs.iter().filter_map(|run| value(run, figure)).collect::<Vec<_>>();
        let (ours, floor) = (of(&runs.ours), of(&runs.floor));
        let floor = if floor.len() < 2 { floor } else { floor.windows(2).map(|two| (two[0] + two[1]) / 2.0).collect() };
        let paired = |f: fn((&f64, &f64)) -> f64| ours.iter().zip(&floor).map(f).collect();
        let (ratio, above) = (paired(|(ours, floor)| ours / floor), paired(|(ours, floor)| ours - floor));
        Compared { ours, floor, ratio, above }
    }

    /// One of three words, the last of which means that the target is missed for certain.
    fn verdict(&self, target: Target) -> &'static str {
        let (sample, limit) = match target {
            Times(limit) => (&self.ratio, limit),
            Above(limit) => (&self.above, limit),
            AtMost(limit) => (&self.ours, limit),
        };
        let met = |share| quantile(sample, share).is_some_and(|value| value <= limit);
        if met(0.5) {
            "met"
        } else if met(0.25) {
            "not met, within noise"
        } else {
            "not met"
        }
    }

    /// A peer's figure, and how many times the floor that is.
    fn peer(&self, figure: &str, runs: &[Figures]) -> String {
        let sample: Vec<_> = runs.iter().filter_map(|run| value(run, figure)).collect();
        let Some(median) = quantile(&sample, 0.5) else { return String::new() };
        let ratio: Vec<_> = sample.iter().zip(&self.floor).map(|(peer, floor)| peer / floor).collect();
        let times = quantile(&ratio, 0.5).map_or(String::new(), |ratio| format!(" ({ratio:.1})"));
        in_unit(figure, median) + &times
    }

    /// The row as text, and whether no target is missed for certain.
    fn cells(&self, row: &Row) -> (bool, [String; 7]) {
        let unit = |value| in_unit(row.figure, value);
        let target = |target: &Target| match target {
            Times(limit) => format!("≤ {limit} x"),
            Above(limit) => format!("≤ floor + {limit}"),
            AtMost(limit) => format!("≤ {}", unit(*limit)),
        };
        let targets: Vec<_> = row.targets.iter().map(target).collect();
        let verdicts: Vec<_> = row.targets.iter().map(|&target| self.verdict(target)).collect();
        let median = |sample: &[f64]| quantile(sample, 0.5);
        let compared = if self.ratio.is_empty() { &self.ours } else { &self.ratio };
        let spread = |median| Some(100.0 * (quantile(compared, 1.0)? - quantile(compared, 0.0)?) / median);
        let cells = [
            Some(row.name.clone()),
            median(&self.floor).map(unit),
            median(&self.ours).map(unit),
            median(&self.ratio).map(|ratio| format!("{ratio:.3}")),
            median(compared).filter(|_| compared.len() > 1).and_then(spread).map(|spread| format!("{spread:.0} %")),
            Some(targets.join("; ")),
            Some(verdicts.join("; ")),
        ];
        (!verdicts.contains(&"not met"), cells.map(Option::unwrap_or_default))
    }
}

/// A figure as text.
fn in_unit(figure: &str, value: f64) -> String {
    match figure {
        "cpu_ns_op" if value >= 1000.0 => format!("{:.2} us", value / 1000.0),
        "cpu_ns_op" => format!("{value:.1} ns"),
        "syscalls_op" => format!("{value:.3}"),
        _ => format!("{value:.0} B"),
    }
}

/// The value below which a share of the sample lies.
fn quantile(sample: &[f64], share: f64) -> Option<f64> {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

fn value(run: &Figures, figure: &str) -> Option<f64> {
    run.iter().find(|(key, _)| key == figure).map(|&(_, value)| value)
}

// ---- the runs -----------------------------------------------------------------------------------------------------

struct Runs<'a> {
    cores: usize,
    out: &'a mut Option<File>,
    ours: Vec<Figures>,
    floor: Vec<Figures>,
    /// By name. Who does not have the workload has no figures.
    peers: Vec<(&'static str, Vec<Figures>)>,
}

impl Runs<'_> {
    /// floor, ours, floor, ours, ..., floor, each of ours followed by the peers; and at last, not timed, the system calls
    /// of an echo server.
    fn take(&mut self, bench: &Bench, rounds: usize) -> io::Result<()> {
        for turn in 0..=2 * rounds {
            let ours = turn % 2 == 1;
            let Some(command) = (if ours { Some(&bench.ours) } else { bench.floor.as_ref() }) else { continue };
            let figures = match bench.load {
                Some(load) => self.echo(contender(command)?, load, true)?.0,
                None => alone(&mut contender(command)?)?,
            };
            self.add(ours, command, figures)?;
            if ours {
                self.take_peers(bench)?;
            }
        }
        let (Some(load), Some(floor)) = (bench.load, &bench.floor) else { return Ok(()) };
        if Command::new("strace").arg("-V").output().is_err() {
            eprintln!("strace is not installed: system calls are not counted");
            return Ok(());
        }
        for (ours, command) in [(true, &bench.ours), (false, floor)] {
            let figures = self.system_calls(command, load)?;
            self.add(ours, command, figures)?;
        }
        Ok(())
    }

    fn take_peers(&mut self, bench: &Bench) -> io::Result<()> {
        for index in 0..self.peers.len() {
            let peer = self.peers[index].0;
            let mut command = process(program(peer)?, &bench.ours);
            let figures = match bench.load {
                Some(load) => self.echo(command, load, true).map(|(figures, _)| figures),
                None => alone(command.stderr(Stdio::null())),
            };
            let Ok(figures) = figures else { continue };
            let pairs = figures.iter().map(|(key, value)| format!("{key:?}:{value:.4}"));
            self.log(std::iter::once(format!("\"command\":\"{peer} {}\"", bench.ours)).chain(pairs))?;
            self.peers[index].1.push(figures);
        }
        Ok(())
    }

    fn add(&mut self, ours: bool, command: &str, figures: Figures) -> io::Result<()> {
        let pairs = figures.iter().map(|(key, value)| format!("{key:?}:{value:.4}"));
        self.log(std::iter::once(format!("\"command\":{command:?}")).chain(pairs))?;
        if ours {
            self.ours.push(figures)
        } else {
            self.floor.push(figures)
        }
        Ok(())
    }

    fn log(&mut self, pairs: impl Iterator<Item = String>) -> io::Result<()> {
        let Some(out) = self.out else { return Ok(()) };
        writeln!(out, "{{{}}}", pairs.collect::<Vec<_>>().join(","))
    }

    /// The figures of a server's load, and what the server wrote to stderr if that is piped.
    ///
    /// The two share a core if there is only one connection. The CPU time is the server's, unless it is not `timed`.
    fn echo(&self, server: Command, load: Load, timed: bool) -> io::Result<(Figures, String)> {
        let speaks_http = server.get_args().any(|word| word == "http" || word == "floor-http");
        let client = if speaks_http { "load-http" } else { "load" };
        figures::pin(0)?;
        let server = Server::start(server)?;
        figures::pin(if load.connections == 1 { 0 } else { 1 % self.cores })?;
        let pid = if timed { server.child.id() } else { 0 };
        let Load { connections, requests } = load;
        let figures = figures_of(&mut contender(&format!("{client} {} {connections} {requests} {pid}", server.port))?)?;
        Ok((figures, server.end()?))
    }

    /// System calls per request: what more requests cost more, so that start, connections and end do not count.
    fn system_calls(&self, command: &str, load: Load) -> io::Result<Figures> {
        let contender = contender(command)?;
        let count = |requests| {
            let mut strace = Command::new("strace");
            strace.args(["-f", "-c"]).arg(contender.get_program()).args(contender.get_args()).stderr(Stdio::piped());
            let (figures, summary) = self.echo(strace, Load { requests, ..load }, false)?;
            // % time, seconds, usecs/call, calls, errors if any, "total"
            let total = summary.lines().find(|line| line.ends_with(" total"));
            let calls: Option<f64> = total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
            calls.zip(value(&figures, "total")).ok_or_else(|| io::Error::other(format!("strace: {}", summary.trim())))
        };
        let (few, many) = (count(2_000 + 2 * load.connections)?, count(8_000 + 32 * load.connections)?);
        Ok(vec![("syscalls_op".to_owned(), (many.0 - few.0) / (many.1 - few.1))])
    }
}

/// This program as a contender. Its input is empty, or a server would never end.
fn contender(command: &str) -> io::Result<Command> {
    Ok(process(std::env::current_exe()?, &format!("contender {command}")))
}

/// The program of a peer.
fn program(peer: &str) -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(format!("contender-{peer}")))
}

fn process(program: PathBuf, args: &str) -> Command {
    let mut process = Command::new(program);
    process.args(args.split(' ')).stdin(Stdio::null()).stderr(Stdio::inherit());
    process
}

/// Runs a workload that needs nobody else.
fn alone(contender: &mut Command) -> io::Result<Figures> {
    figures::pin(0)?;
    figures_of(contender)
}

fn figures_of(contender: &mut Command) -> io::Result<Figures> {
    let output = contender.output()?;
    match output.status.success() {
        true => Ok(figures::parse(&String::from_utf8_lossy(&output.stdout))),
        false => Err(io::Error::other(format!("{contender:?}: {}", output.status))),
    }
}

/// An echo server that is ready. It ends when its input does.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    port: u16,
}

impl Server {
    fn start(mut command: Command) -> io::Result<Server> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        match line.trim().strip_prefix("listening=").and_then(|port| port.parse().ok()) {
            Some(port) => Ok(Server { child, stdout, port }),
            None => Err(io::Error::other(format!("{command:?} said {line:?}"))),
        }
    }

    fn end(mut self) -> io::Result<String> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.stdout.read_to_string(&mut text)?; // its figures: the load's are better
        text.clear();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut text)?;
        }
        self.child.wait()?;
        Ok(text)
    }
}
