//! Looks at a program of corio's that runs: what its tasks do, where they stand, and what they wait for.
//!
//! Which: those that were started with `CORIO_LIVE=1` in the environment, or say `Runner::live_view(true)`. If there is just one,
//! `cargo run --example attach` shows its tasks; if there are several, it lists them, and wants a process id. `--help` says what
//! else can be asked.
//!
//! **Try.** `CORIO_LIVE=1 cargo run --example hex_server` in one terminal, `nc 127.0.0.1 65432` in a second one, and
//! `cargo run --example attach -- ps` in a third.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use corio::live::{self, Question};

const USAGE: &str = "usage: attach [PID] [ps|stacks|json|json-stacks]

  ps      all tasks as a tree, the ready queue, timers and descriptors; without a word too
  stacks  the same, and the calls in which each task stands
  json    the same as ps, for programs; json-stacks: with the stacks

Without a PID it is the only program of this user that lets itself be seen: that was started with CORIO_LIVE=1 in its
environment, or says `Runner::live_view(true)`.";

/// The process and the question, as the arguments say, in whatever order.
fn wanted(arguments: &[String]) -> Result<(u32, Question), String> {
    let (mut pid, mut question) = (None, None);
    for argument in arguments {
        if argument.starts_with(|c: char| c.is_ascii_digit()) && pid.is_none() {
            pid = Some(argument.parse().map_err(|_| format!("`{argument}` is no process id\n\n{USAGE}"))?);
        } else if question.is_none() {
            question = Some(argument.parse().map_err(|error| format!("{error}\n\n{USAGE}"))?);
        } else {
            return Err(USAGE.to_owned());
        }
    }
    let pid = pid.map_or_else(the_only_one, Ok)?;
    Ok((pid, question.unwrap_or(Question::Ps)))
}

/// The program that is meant if none is named.
fn the_only_one() -> Result<u32, String> {
    match live::processes()[..] {
        [only] => Ok(only),
        [] => Err(format!("no program of this user lets itself be seen\n\n{USAGE}")),
        ref several => {
            let name = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let list: Vec<String> = several.iter().map(|pid| format!("{pid:>8}  {}", name(pid).trim_end())).collect();
            Err(format!("several programs can be looked at; which one?\n{}", list.join("\n")))
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let asked = wanted(&arguments);
    match asked.and_then(|(pid, question)| live::ask(pid, question).map_err(|error| error.to_string())) {
        // Whoever reads may have seen enough: `attach | head`.
        Ok(answer) => match io::stdout().write_all(answer.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
