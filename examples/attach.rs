//! Looks at a program of corio's that runs: what its tasks do, where they stand, and what they wait for.
//!
//! `cargo run --example attach` lists the processes that can be looked at: those that were started with `CORIO_LIVE=1` in the
//! environment, or say `Runner::live_view(true)`. With the id of one of them it shows its tasks; if there is just one process, the
//! id may be left out.
//!
//! | | |
//! | --- | --- |
//! | `attach PID`, `attach PID ps` | all tasks as a tree, the ready queue, timers and descriptors |
//! | `attach PID stacks` | the same, and the calls in which each task stands |
//! | `attach PID json` | the same for programs |
//!
//! **Try.** `CORIO_LIVE=1 cargo run --example hex_server` in one terminal, `nc 127.0.0.1 65432` in a second one, and
//! `cargo run --example attach -- ps` in a third.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use corio::live::{self, Question};

const USAGE: &str = "usage: attach [PID] [ps|stacks|json]";

/// The process and the question, as the arguments say.
fn wanted(arguments: &[String]) -> Result<Option<(u32, Question)>, String> {
    let (pid, word) = match arguments {
        [] => (None, None),
        [pid, rest @ ..] if pid.parse::<u32>().is_ok() => (pid.parse().ok(), rest.first()),
        [word] => (None, Some(word)),
        _ => return Err(USAGE.to_owned()),
    };
    let question = word.map_or(Ok(Question::Ps), |word| word.parse().map_err(|error| format!("{error}\n{USAGE}")))?;
    let there = live::processes();
    match (pid, &there[..]) {
        (Some(pid), _) => Ok(Some((pid, question))),
        (None, [only]) => Ok(Some((*only, question))),
        (None, []) => Err(format!(
            "no program of this user lets itself be seen; start one with CORIO_LIVE=1 in its environment\n{USAGE}"
        )),
        (None, several) => {
            let list: Vec<String> = several.iter().map(u32::to_string).collect();
            println!("{USAGE}\nprocesses: {}", list.join(" "));
            Ok(None)
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let answer = match wanted(&arguments) {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some((pid, question))) => live::ask(pid, question).map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    match answer {
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
