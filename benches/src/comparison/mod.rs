//! Two ways to pause, next to each other and to others: what is measured, its data, and the chapter that shows them.
//!
//! `bin/comparison` measures and writes [`data`]; [`render`] makes the tables, figures and [`plot`]s of the chapter from it, and a
//! test does so again. Who adds a row to [`measures`] has nothing to add elsewhere.

pub mod data;
pub mod measures;
pub mod plot;
pub mod render;

use std::path::{Path, PathBuf};

/// The columns, in their order.
pub const COLUMNS: [Column; 5] = [Column::Direct, Column::Facade, Column::Threads, Column::Python, Column::Tokio];

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// corio's coroutines.
    Direct,
    /// async/await on corio's loop.
    Facade,
    /// std.
    Threads,
    /// CPython, and the event loop that comes with it.
    Python,
    /// tokio on one thread.
    Tokio,
}

impl Column {
    /// What the data call it.
    pub fn id(self) -> &'static str {
        ["direct", "facade", "threads", "asyncio", "tokio"][self as usize]
    }

    /// What the tables call it.
    pub fn title(self) -> &'static str {
        ["direct style", "async facade", "OS threads", "CPython asyncio", "tokio"][self as usize]
    }
}

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is in the workspace")
}

/// Where the data are.
pub fn data_directory() -> PathBuf {
    root().join("docs/data/two-ways")
}
