//! The data files: one for each measure, each telling where and when it was taken.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::root;
use crate::figures::{self, quantile};
use crate::processes::said;

/// What was measured of one thing.
#[derive(Debug)]
pub struct Sheet {
    /// Machine, programs, commit, date.
    pub about: Map<String, Value>,
    /// In the order of rows.
    pub cells: Vec<Cell>,
}

/// One row of one column.
#[derive(Debug)]
pub struct Cell {
    /// What the measure calls the row.
    pub row: String,
    /// What the data call the column.
    pub column: String,
    /// A number or words.
    pub content: Content,
}

/// What stands in a cell.
#[derive(Debug)]
pub enum Content {
    /// The figures of the runs, in their order.
    Runs(Vec<f64>),
    /// What was observed, or why there is no figure.
    Words(String),
}

impl Sheet {
    /// Reads a file.
    pub fn read(path: &Path) -> io::Result<Sheet> {
        let text =
            fs::read_to_string(path).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        let value: Value = serde_json::from_str(&text)?;
        let malformed = || io::Error::other(format!("{} is no sheet", path.display()));
        let cell = |value: &Value| {
            let word = |key| Some(value.get(key)?.as_str()?.to_owned());
            let content = match value.get("runs") {
                Some(runs) => Content::Runs(runs.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?),
                None => Content::Words(word("words")?),
            };
            Some(Cell { row: word("row")?, column: word("column")?, content })
        };
        let about = value["about"].as_object().ok_or_else(malformed)?.clone();
        let cells = value["cells"].as_array().ok_or_else(malformed)?;
        Ok(Sheet { about, cells: cells.iter().map(cell).collect::<Option<_>>().ok_or_else(malformed)? })
    }

    /// Writes it, a cell a line.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let cell = |cell: &Cell| {
            let mut value = json!({"row": cell.row, "column": cell.column});
            match &cell.content {
                Content::Runs(runs) => value["runs"] = json!(runs),
                Content::Words(words) => value["words"] = json!(words),
            }
            format!("    {value}")
        };
        let cells: Vec<_> = self.cells.iter().map(cell).collect();
        let about = serde_json::to_string(&self.about)?;
        fs::write(path, format!("{{\n  \"about\": {about},\n  \"cells\": [\n{}\n  ]\n}}\n", cells.join(",\n")))
    }

    /// The cell at a place.
    pub fn get(&self, row: &str, column: &str) -> Option<&Content> {
        self.cells.iter().find(|cell| cell.row == row && cell.column == column).map(|cell| &cell.content)
    }

    /// The least, the median and the greatest of a cell that has figures.
    pub fn runs(&self, row: &str, column: &str) -> Option<[f64; 3]> {
        let Content::Runs(runs) = self.get(row, column)? else { return None };
        Some([quantile(runs, 0.0)?, quantile(runs, 0.5)?, quantile(runs, 1.0)?])
    }
}

/// On what, of what and when something is measured here and now.
pub fn about(cores: usize) -> Map<String, Value> {
    let git = |args: &[&str]| said("git", &[&["-C", &root().to_string_lossy()], args].concat());
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", "src", "benches"]).is_some();
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_default() + if changed { ", changed" } else { "" };
    let pairs = [
        ("machine", figures::machine(cores)),
        ("rustc", said("rustc", &["-V"]).unwrap_or_default()),
        ("commit", commit),
        ("date", said("date", &["-u", "+%F"]).unwrap_or_default()),
    ];
    pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}
