//! What the event stream costs: what is measured, and the part of a chapter that shows it.
//!
//! `bin/observer_cost` measures and writes the data, one [`Sheet`](crate::comparison::data::Sheet) for each workload;
//! [`render`] makes tables of them, and a test does so again. Who adds a variant has nothing to add elsewhere, but for its
//! observer in [`observed`](crate::observed).

pub mod render;

use std::path::PathBuf;

use crate::comparison::root;

/// Who does the same work.
#[derive(Debug)]
pub struct Variant {
    /// What the data call it.
    pub id: &'static str,
    /// What the tables call it.
    pub title: &'static str,
    /// Whether corio is built with its feature `observe`.
    pub compiled_in: bool,
    /// As a workload's argument: see [`observed::Watcher`](crate::observed::Watcher).
    pub watcher: &'static str,
}

/// All of them. The others are compared with the first, and only the second is to be like it.
pub const VARIANTS: [Variant; 6] = [
    Variant { id: "out", title: "compiled out", compiled_in: false, watcher: "nobody" },
    Variant { id: "off", title: "off: nobody watches", compiled_in: true, watcher: "nobody" },
    Variant { id: "ring", title: "ring on", compiled_in: true, watcher: "ring" },
    Variant { id: "file", title: "ring + file", compiled_in: true, watcher: "ring-and-file" },
    Variant { id: "flight", title: "flight recorder", compiled_in: true, watcher: "flight" },
    Variant { id: "live", title: "live view", compiled_in: true, watcher: "live" },
];

/// What they do.
#[derive(Debug)]
pub struct Workload {
    /// What the data call it, and `observed-` the command.
    pub id: &'static str,
    /// One of its operations.
    pub operation: &'static str,
    /// How many, when they are timed.
    pub operations: u64,
    /// How many tasks or connections do them.
    pub by: u64,
    /// How many, when instructions are counted: few, and many.
    pub counted: [u64; 2],
}

/// Both of them.
pub const WORKLOADS: [Workload; 2] = [
    Workload { id: "yield", operation: "a resume", operations: 4_000_000, by: 2, counted: [20_000, 120_000] },
    Workload { id: "echo", operation: "a round trip", operations: 40_000, by: 16, counted: [1_600, 8_000] },
];

/// The rows of the data.
pub mod rows {
    /// CPU time per operation in nanoseconds, all variants in turns.
    pub const TURNS: &str = "turns";
    /// The same of the first two alone, in turns.
    pub const PAIRS: &str = "pairs";
    /// Records per operation.
    pub const RECORDS: &str = "records";
    /// What it took to write the file, in nanoseconds.
    pub const WRITTEN: &str = "written";
    /// Instructions per operation, without the kernel's.
    pub const INSTRUCTIONS: &str = "instructions";
}

/// Where the data are.
pub fn data_directory() -> PathBuf {
    root().join("docs/data/observer-cost")
}
