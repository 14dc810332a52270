//! **Lesson.** Plain files are always "ready", so they are read in a helper thread.
//!
//! **Predict.** A file of three lines is read line by line, while another task counts. How often does the reader pause: once for
//! each line, or less?
//!
//! **Shows** V5 (a helper thread brings what was waited for).
//! **Covers** C22 (reading a file line by line).
//!
//! Run `cargo run --example e36_file_lines`, and add `-- --quiet` or `-- --detail 2`.

use std::io;

use corio::io::StreamReader;
use corio::{Builder, fs, fs::File, say, yield_now};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("corio-e36-{}", std::process::id()));
    fs::write(&path, "one\ntwo\nthree\n")?;
    let counter = Builder::new().name("counter").spawn(|| {
        for _ in 0..3 {
            yield_now()?;
        }
        Ok(())
    })?;
    // The first line brings the whole buffer; the others are there already.
    for line in StreamReader::new(File::open(&path)?).lines() {
        say!("a line: {}", line?);
    }
    counter.join()?;
    say!("the counter has counted meanwhile");
    fs::remove_file(&path)
}

fn main() -> io::Result<()> {
    common::watch(program)
}
