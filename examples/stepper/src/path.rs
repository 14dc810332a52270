//! The examples of the learning path.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use corio::observe::{Recording, Replay};

/// The examples themselves, each with a copy of what they share, as when they are compiled alone.
#[allow(dead_code, clippy::duplicate_mod)]
mod programs {
    use super::Example;

    include!(concat!(env!("OUT_DIR"), "/path.rs"));
}

/// An example of the learning path.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// As `cargo run --example` knows it.
    pub name: &'static str,
    text: &'static str,
    program: fn() -> io::Result<()>,
}

/// What is left of a run.
#[derive(Debug)]
pub struct Recorded {
    /// All of it, to walk through.
    pub replay: Replay,
    /// The error that it ended with, or that it panicked.
    pub failed: Option<String>,
}

impl Example {
    /// All of them, in the order of the path.
    pub fn all() -> &'static [Example] {
        programs::ALL
    }

    /// The one of that name; its number is enough, such as `e11`.
    pub fn find(name: &str) -> Option<&'static Example> {
        Example::all().iter().find(|example| example.name == name || example.name.split('_').next() == Some(name))
    }

    /// What it teaches: the first sentence of its file.
    pub fn lesson(&self) -> String {
        let header = self.text.lines().map_while(|line| line.strip_prefix("//!")).take_while(|line| !line.is_empty());
        let lesson = header.map(str::trim).collect::<Vec<_>>().join(" ");
        lesson.trim_start_matches("**Lesson.** ").to_owned()
    }

    /// Runs it to its end, on the virtual clock and the network in memory.
    pub fn record(&self) -> Recorded {
        let recording = Recording::new();
        let runner = programs::common::simulated().observer(recording.clone());
        let failed = match catch_unwind(AssertUnwindSafe(|| programs::common::launch(runner, self.program))) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("it ended with an error: {error}")),
            Err(_) => Some("it panicked".to_owned()),
        };
        Recorded { replay: recording.replay(), failed }
    }
}
