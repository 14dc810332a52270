//! The runs: each a process, or a server and its client.

use std::fs::File;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use corio_benches::figures::{self, Figures};
use corio_benches::processes::{self, Server, figures_of, process, program};

use crate::rows::{Bench, Client, Cores, PEERS};

pub(crate) struct Runs<'a> {
    pub(crate) cores: usize,
    pub(crate) out: &'a mut Option<File>,
    pub(crate) ours: Vec<Figures>,
    pub(crate) floor: Vec<Figures>,
    /// By name. Who does not have the workload has no figures, but as many runs.
    pub(crate) peers: Vec<(&'static str, Vec<Figures>)>,
}

impl Runs<'_> {
    /// floor, ours, floor, ours, ..., floor, each of ours followed by the peers; and at last, not timed, the system calls
    /// of a server.
    pub(crate) fn take(&mut self, bench: &Bench, rounds: usize) -> io::Result<()> {
        for turn in 0..=2 * rounds {
            let ours = turn % 2 == 1;
            let Some(command) = (if ours { Some(&bench.ours) } else { bench.floor.as_ref() }) else { continue };
            let figures = self.figures(bench, contender(command)?)?;
            self.add(ours, command, figures)?;
            if ours {
                self.take_peers(bench)?;
            }
        }
        if !bench.rows.iter().any(|row| row.figure == "syscalls_op") {
            return Ok(());
        }
        if !processes::has("strace") {
            eprintln!("strace is not installed: system calls are not counted");
            return Ok(());
        }
        for (ours, command) in [(true, Some(&bench.ours)), (false, bench.floor.as_ref())] {
            let Some(command) = command else { continue };
            let figures = self.system_calls(bench, command)?;
            self.add(ours, command, figures)?;
        }
        Ok(())
    }

    fn take_peers(&mut self, bench: &Bench) -> io::Result<()> {
        for index in 0..self.peers.len() {
            let peer = self.peers[index].0;
            let mut command = process(program(peer)?, &bench.ours);
            command.stderr(Stdio::null());
            let figures = match self.figures(bench, command) {
                Ok(figures) => figures,
                Err(error) => {
                    if !self.peers[index].1.iter().all(Vec::is_empty) {
                        eprintln!("{peer} {}: {error}", bench.ours); // it has the workload
                    }
                    Figures::new()
                }
            };
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

    pub(crate) fn log(&mut self, pairs: impl Iterator<Item = String>) -> io::Result<()> {
        let Some(out) = self.out else { return Ok(()) };
        writeln!(out, "{{{}}}", pairs.collect::<Vec<_>>().join(","))
    }

    /// One run: of a server and its client, or of a workload that needs nobody else.
    fn figures(&self, bench: &Bench, mut command: Command) -> io::Result<Figures> {
        match bench.client {
            Some(client) => self.serve(bench.cores, command, client),
            None => {
                self.pin(bench.cores, 0)?;
                figures_of(&mut command)
            }
        }
    }

    /// The figures of a server's client. The CPU time is the server's.
    fn serve(&self, cores: Cores, server: Command, client: Client) -> io::Result<Figures> {
        self.pin(cores, 0)?;
        let server = Server::start(server)?;
        self.pin(cores, 1)?;
        let figures = figures_of(&mut contender(&client.command(server.port(), server.id()))?)?;
        server.end()?;
        Ok(figures)
    }

    /// Where the next process is to run, the first or the second of a run.
    fn pin(&self, cores: Cores, nth: usize) -> io::Result<()> {
        match cores {
            Cores::One => figures::pin(0..1),
            Cores::OneEach => figures::pin([nth % self.cores]),
            Cores::All => figures::pin(0..self.cores),
        }
    }

    /// System calls per request.
    fn system_calls(&self, bench: &Bench, command: &str) -> io::Result<Figures> {
        let Some(Client::Requests { connections, pipelined, .. }) = bench.client else {
            return Err(io::Error::other("no requests to count by"));
        };
        let few = 2_000 + 2 * connections;
        let exchanges = [few, few + 6_000 + 30 * connections.min(1_000)];
        let calls = processes::system_calls(&contender(command)?, exchanges, |port, exchanges| {
            let client = Client::Requests { connections, requests: exchanges * pipelined.max(1), pipelined };
            contender(&client.command(port, 0))
        })?;
        Ok(vec![("syscalls_op".to_owned(), calls)])
    }
}

/// This program as a contender, or a peer's, if the command begins with its name. Its input is empty, or a server would never
/// end.
fn contender(command: &str) -> io::Result<Command> {
    match command.split_once(' ') {
        Some((peer, command)) if PEERS.contains(&peer) => Ok(process(program(peer)?, command)),
        _ => Ok(process(std::env::current_exe()?, &format!("contender {command}"))),
    }
}
