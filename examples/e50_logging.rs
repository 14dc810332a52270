//! **Lesson.** A log line without the task's name is half a line.
//!
//! **Predict.** Two tasks do the same, and log the same words. Which of the lines below are whose, if the name is left out? And whose
//! name stands before a line that a callback writes?
//!
//! **Shows** V4 (who ran in between), in a log.
//! **Covers** D24. All examples log like this, with `CORIO_LOG=debug`.
//!
//! Run `cargo run --example e50_logging`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::observe::mark;
use corio::{Builder, call_soon, say, scope, secs, sleep, timeout};
use log::{LevelFilter, Log, Metadata, Record, info, warn};

mod common;

// ANCHOR: logger
struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == module_path!() // what others log is not for this one
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let task = corio::try_current().map_or_else(|| "-".to_owned(), |task| task.name());
            say!("[{} {task}] {}", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}
// ANCHOR_END: logger

/// The first logger of a process stays; whoever comes later is refused.
fn init() {
    let _ = log::set_logger(&Logger);
    log::set_max_level(LevelFilter::Info);
}

fn fetch(seconds: u64) -> io::Result<()> {
    info!("asks");
    match timeout(secs(2), || sleep(secs(seconds))) {
        Ok(()) => info!("has an answer"),
        Err(error) => warn!("has none: {error}"),
    }
    Ok(())
}

pub(crate) fn program() -> io::Result<()> {
    init();
    scope(|s| {
        Builder::new().name("Ada").spawn_scoped(s, || fetch(1))?;
        Builder::new().name("Grace").spawn_scoped(s, || fetch(3))?;
        mark("asked");
        info!("has asked them");
        call_soon(|| info!("is a line of nobody"));
        Ok(())
    })
}

fn main() -> io::Result<()> {
    init(); // before `watch`, which has a logger for the other examples
    common::watch(program)
}
