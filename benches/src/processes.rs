//! Workloads as processes: alone, or a server and its client, or a server under `strace`.

use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::figures::{self, Figures};

/// No workload takes so long; who does hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether there is such a program.
pub fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// What a program that succeeds says, if it says something.
pub fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The program of a peer: `contender-NAME`, beside this one.
pub fn program(peer: &str) -> io::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(format!("contender-{peer}"));
    if !program.exists() {
        return Err(io::Error::other(format!("no {program:?}: cargo build --release -p corio-peers")));
    }
    Ok(program)
}

/// A workload of a program. Its input is empty, or a server would never end.
pub fn process(program: impl AsRef<std::ffi::OsStr>, args: &str) -> Command {
    let mut process = Command::new(program);
    process.args(args.split(' ')).stdin(Stdio::null()).stderr(Stdio::inherit());
    process
}

/// The figures of a workload that ends by itself. One that does not is killed. Why one fails is the last that it wrote to
/// stderr, if that is piped.
pub fn figures_of(contender: &mut Command) -> io::Result<Figures> {
    let mut running = Running(contender.stdout(Stdio::piped()).spawn()?);
    let start = Instant::now();
    let status = loop {
        match running.0.try_wait()? {
            Some(status) => break status,
            None if start.elapsed() > PATIENCE => return Err(io::Error::other(format!("{contender:?} does not end"))),
            None => thread::sleep(Duration::from_millis(10)),
        }
    };
    let mut text = String::new();
    running.0.stdout.take().expect("it is piped").read_to_string(&mut text)?; // a line of figures: no pipe is full of it
    if status.success() {
        return Ok(figures::parse(&text));
    }
    let mut why = String::new();
    if let Some(mut stderr) = running.0.stderr.take() {
        stderr.read_to_string(&mut why)?;
    }
    let last = why.lines().rfind(|line| !line.is_empty());
    Err(io::Error::other(last.map_or_else(|| format!("{contender:?}: {status}"), str::to_owned)))
}

/// A process that does not outlive this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill(); // fails if it has ended
        let _ = self.0.wait();
    }
}

/// A server that is ready. It ends when its input does.
#[allow(missing_debug_implementations)]
pub struct Server {
    process: Running,
    stdout: BufReader<ChildStdout>,
    port: u16,
}

impl Server {
    /// Starts one, and waits until it has said where it listens.
    pub fn start(mut command: Command) -> io::Result<Server> {
        let mut process = Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
        let mut stdout = BufReader::new(process.0.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        match line.trim().strip_prefix("listening=").and_then(|port| port.parse().ok()) {
            Some(port) => Ok(Server { process, stdout, port }),
            None => Err(io::Error::other(format!("{command:?} said {line:?}"))),
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Ends it, and returns what it wrote to stderr if that is piped.
    pub fn end(mut self) -> io::Result<String> {
        drop(self.process.0.stdin.take());
        let mut text = String::new();
        self.stdout.read_to_string(&mut text)?; // its figures: the load's are better
        text.clear();
        if let Some(mut stderr) = self.process.0.stderr.take() {
            stderr.read_to_string(&mut text)?;
        }
        self.process.0.wait()?;
        Ok(text)
    }
}

/// So many runs of each, in turns that begin with another each time. Who fails once is not asked again: the text says why.
pub fn in_turns(
    contenders: usize,
    rounds: usize,
    mut run: impl FnMut(usize) -> Result<Figures, String>,
) -> Vec<Result<Vec<Figures>, String>> {
    let mut runs: Vec<_> = (0..contenders).map(|_| Ok(Vec::new())).collect();
    for round in 0..rounds {
        for nth in 0..contenders {
            let place = (round + nth) % contenders;
            let Ok(so_far) = &mut runs[place] else { continue };
            match run(place) {
                Ok(figures) => so_far.push(figures),
                Err(why) => runs[place] = Err(why),
            }
        }
    }
    runs
}

/// Instructions per operation, by callgrind and so without the kernel's: what many operations take more than few, so that
/// start and end do not count.
pub fn instructions([few, many]: [u64; 2], command: impl Fn(u64) -> Command) -> io::Result<f64> {
    let count = |operations| {
        let command = command(operations);
        let mut callgrind = Command::new("valgrind");
        callgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(command.get_program());
        let output = callgrind.args(command.get_args()).stdin(Stdio::null()).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        let collected = told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
        let failed = || io::Error::other(format!("{callgrind:?}: {}", told.lines().last().unwrap_or_default()));
        collected.filter(|_| output.status.success()).ok_or_else(failed)
    };
    let (few_take, many_take): (f64, f64) = (count(few)?, count(many)?);
    Ok((many_take - few_take) / (many - few) as f64)
}

/// System calls per request: what many requests cost more than few, so that start, connections and end do not count.
pub fn system_calls(
    server: &Command,
    [few, many]: [u64; 2],
    load: impl Fn(u16, u64) -> io::Result<Command>,
) -> io::Result<f64> {
    let count = |exchanges| {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c"]).arg(server.get_program()).args(server.get_args()).stderr(Stdio::piped());
        let server = Server::start(strace)?;
        let figures = figures_of(&mut load(server.port(), exchanges)?)?;
        let summary = server.end()?;
        // % time, seconds, usecs/call, calls, errors if any, "total"
        let total = summary.lines().find(|line| line.ends_with(" total"));
        let calls: Option<f64> = total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
        let requests = figures::value(&figures, "total");
        calls.zip(requests).ok_or_else(|| io::Error::other(format!("strace: {}", summary.trim())))
    };
    let (few, many) = (count(few)?, count(many)?);
    Ok((many.0 - few.0) / (many.1 - few.1))
}
