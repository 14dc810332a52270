//! **Lesson.** A supervisor looks at how a task ended, and starts it again, or not.
//!
//! **Predict.** The service fails at its first try, panics at its second, and runs at its third. When does each try begin? What does
//! the supervisor do when it is told to end itself?
//!
//! **Shows** V7 (how it ended).
//! **Covers** what D22 does for single requests: one failure hurts nobody else.
//!
//! Run `cargo run --example e57_supervisor`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Builder, Outcome, is_cancelled, now, say, secs, sleep};

mod common;

// ANCHOR: supervise
/// Runs a service until it returns; after a failure again, and more patiently each time.
fn supervise(name: &str, service: fn(u32) -> io::Result<()>) -> io::Result<()> {
    for attempt in 1.. {
        let task = Builder::new().name(format!("{name}-{attempt}")).spawn(move || service(attempt))?;
        match task.outcome() {
            Outcome::Returned(()) => break,
            Outcome::Failed(e) => say!("{name}: {e}"),
            Outcome::Panicked(_) => say!("{name}: panicked"),
            Outcome::Cancelled(e) => return Err(e),
        }
        sleep(secs(1 << attempt))?; // in a supervisor that is cancelled this fails: no further try
    }
    Ok(())
}
// ANCHOR_END: supervise

fn service(attempt: u32) -> io::Result<()> {
    say!("try {attempt}");
    match attempt {
        1 => Err(io::Error::new(io::ErrorKind::ConnectionRefused, "nobody is there")),
        2 => panic!("out of patience"),
        _ => sleep(secs(600)),
    }
}

pub(crate) fn program() -> io::Result<()> {
    let start = now();
    let supervisor = Builder::new().name("supervisor").spawn(|| supervise("service", service))?;
    sleep(secs(60))?;
    supervisor.cancel();
    let result = supervisor.join();
    say!("after {} seconds, ended as asked: {}", (now() - start).as_secs(), result.is_err_and(|e| is_cancelled(&e)));
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
