//! M9 to M12: what is looked at, and not run in turns.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use corio_benches::comparison::data::{Cell, Content};
use corio_benches::comparison::measures::Measure;
use corio_benches::comparison::{COLUMNS, Column, root};

use crate::Programs;

/// The cells of such a measure, or none if it is one of the others.
pub(crate) fn measure(programs: &Programs, measure: &Measure, rounds: usize) -> io::Result<Option<Vec<Cell>>> {
    Ok(Some(match measure.id {
        "m9" => COLUMNS.into_iter().flat_map(|column| dump(programs, column)).collect(),
        "m10" => tokens_changed()?,
        "m11" => builds(rounds)?,
        "m12" => too_big(programs),
        _ => return Ok(None),
    }))
}

fn cell(row: &str, column: Column, content: Content) -> Cell {
    Cell { row: row.into(), column: column.id().into(), content }
}

// ---- M9: what a dump shows -----------------------------------------------------------------------------------------

/// A dump of a task that sleeps in `inner`, which `middle` called, which `outer` called.
fn dump(programs: &Programs, column: Column) -> Vec<Cell> {
    let text = output(programs, column, "dump").map(|(_, stdout, _)| stdout);
    let text = text.unwrap_or_else(|why| why).replace(&format!("{}/", root().display()), "");
    let named = ["outer", "middle", "inner"].iter().filter(|name| names(&text, name)).count();
    vec![cell("named", column, Content::Runs(vec![named as f64])), cell("dump", column, Content::Words(text))]
}

/// Whether a text has this name in it, or a place in a source that is in the function of this name. That a line of source, which
/// Python quotes, calls the function does not count.
fn names(dump: &str, function: &str) -> bool {
    let dump: Vec<_> = dump.lines().filter(|line| !line.starts_with("    ")).collect();
    let dump = dump.join("\n");
    let words = dump.split(|c: char| !c.is_alphanumeric() && !"_./:".contains(c));
    words.into_iter().any(|word| {
        let mut parts = word.split(':');
        let place = (parts.next().unwrap_or(""), parts.next().and_then(|line| line.parse().ok()));
        let (file, Some(line)) = place else {
            return word.trim_matches(['.', ':']).split('.').any(|part| part == function);
        };
        let file = root().join("benches/src").join(file.rsplit('/').next().unwrap_or(file));
        fs::read_to_string(file).is_ok_and(|source| function_at(&source, line) == Some(function))
    })
}

/// The function in which a line is: the nearest above it that begins further left than all between.
fn function_at(source: &str, line: usize) -> Option<&str> {
    let mut indent = usize::MAX;
    for line in source.lines().take(line).collect::<Vec<_>>().into_iter().rev().filter(|line| !line.trim().is_empty()) {
        let begins = line.len() - line.trim_start().len();
        if begins >= indent {
            continue;
        }
        indent = begins;
        if let Some((_, name)) = line.split_once("fn ") {
            return name.split(|c: char| !c.is_alphanumeric() && c != '_').next();
        }
    }
    None
}

// ---- M10: how much of the text changes -----------------------------------------------------------------------------

fn tokens_changed() -> io::Result<Vec<Cell>> {
    let (rust, python, tokio) =
        ("examples/hex_server.rs", "benches/comparison/hex.py", "benches/comparison/hex_tokio.rs");
    let mut cells = Vec::new();
    for column in COLUMNS {
        let [from, handler, accept] = match column {
            Column::Direct => [rust, "serve", "coroutines"],
            Column::Facade => [rust, "serve_aio", "aio"],
            Column::Threads => [rust, "serve", "threads"],
            Column::Python => [python, "serve_async", "accept_async"],
            Column::Tokio => [tokio, "serve", "accept"],
        };
        let blocking = if column == Column::Python { [python, "serve", "accept"] } else { [rust, "serve", "blocking"] };
        let before = [tokens(blocking[0], blocking[1])?, tokens(blocking[0], blocking[2])?];
        let after = [tokens(from, handler)?, tokens(from, accept)?];
        let mut add = |row, number: usize| cells.push(cell(row, column, Content::Runs(vec![number as f64])));
        add("handler", changed(&before[0], &after[0]));
        add("accept", changed(&before[1], &after[1]));
        add("size", before[0].len() + before[1].len());
    }
    Ok(cells)
}

/// The tokens between two anchors: words, texts and single signs. Comments are none.
fn tokens(file: &str, anchor: &str) -> io::Result<Vec<String>> {
    let source = fs::read_to_string(root().join(file))?;
    let comment = if file.ends_with(".py") { "#" } else { "//" };
    let is = |line: &&str, what: &str| line.trim() == format!("{comment} {what}: {anchor}");
    let inside =
        source.lines().skip_while(|line| !is(line, "ANCHOR")).skip(1).take_while(|line| !is(line, "ANCHOR_END"));
    let mut tokens = Vec::new();
    for line in inside {
        let mut rest = line.trim_start();
        while !rest.is_empty() && !rest.starts_with(comment) {
            let length = match rest.chars().next() {
                Some('"') => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
                Some(c) if c.is_alphanumeric() || c == '_' => {
                    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
                }
                other => other.map_or(1, char::len_utf8),
            };
            tokens.push(rest[..length].to_owned());
            rest = rest[length..].trim_start();
        }
    }
    match tokens.is_empty() {
        true => Err(io::Error::other(format!("{file} has nothing at the anchor {anchor}"))),
        false => Ok(tokens),
    }
}

/// How many tokens have to be taken out and put in: all but those of the longest common subsequence.
fn changed(before: &[String], after: &[String]) -> usize {
    let mut common = vec![vec![0; after.len() + 1]; before.len() + 1];
    for (i, old) in before.iter().enumerate() {
        for (j, new) in after.iter().enumerate() {
            common[i + 1][j + 1] = if old == new { common[i][j] + 1 } else { common[i][j + 1].max(common[i + 1][j]) };
        }
    }
    before.len() + after.len() - 2 * common[before.len()][after.len()]
}

// ---- M11: building -------------------------------------------------------------------------------------------------

/// A package in a directory of its own, which goes with it.
struct Package(PathBuf);

impl Drop for Package {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn builds(rounds: usize) -> io::Result<Vec<Cell>> {
    let mut figures = COLUMNS.map(|_| Ok((Vec::new(), Vec::new())));
    corio_benches::figures::pin(0..std::thread::available_parallelism()?.get())?;
    for round in 0..rounds {
        for nth in 0..COLUMNS.len() {
            let place = (round + nth) % COLUMNS.len();
            let (column, figures) = (COLUMNS[place], &mut figures[place]);
            let Ok((times, sizes)) = figures else { continue };
            match build(column) {
                Ok((time, size)) => {
                    eprintln!("        {}: {time:.1} s", column.title());
                    times.push(time);
                    sizes.push(size);
                }
                Err(why) => *figures = Err(why.to_string()),
            }
        }
    }
    let cells = COLUMNS.into_iter().zip(figures).flat_map(|(column, figures)| match figures {
        Ok((times, sizes)) => [cell("build", column, Content::Runs(times)), cell("size", column, Content::Runs(sizes))],
        Err(why) => ["build", "size"].map(|row| cell(row, column, Content::Words(why.clone()))),
    });
    Ok(cells.collect())
}

/// Builds the program of a column from nothing: the seconds that takes, and the size.
fn build(column: Column) -> io::Result<(f64, f64)> {
    let dependency = match column {
        Column::Direct | Column::Facade => format!("corio = {{ path = {:?} }}", root()),
        Column::Threads => String::new(),
        Column::Tokio => "tokio = { version = \"1\", features = [\"io-util\", \"net\", \"rt\"] }".to_owned(),
        Column::Python => return Err(io::Error::other("needs no build, but the interpreter")),
    };
    let package = Package(std::env::temp_dir().join(format!("corio-comparison-{}", std::process::id())));
    fs::create_dir_all(&package.0)?;
    let program = root().join(format!("benches/comparison/programs/{}.rs", column.id()));
    let manifest = format!(
        "[package]\nname = \"program\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{dependency}\n\
         [[bin]]\nname = \"program\"\npath = {program:?}\n[profile.release]\nstrip = true\n"
    );
    fs::write(package.0.join("Cargo.toml"), manifest)?;
    fs::copy(root().join("Cargo.lock"), package.0.join("Cargo.lock"))?; // the same versions
    let target = package.0.join("target");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--release", "--offline", "--quiet"]).current_dir(&package.0);
    // What the cargo that runs this program has set for it is not for the other.
    cargo.env("CARGO_TARGET_DIR", &target).env_remove("RUSTFLAGS").stdout(Stdio::null());
    let start = Instant::now();
    let output = cargo.output()?;
    let seconds = start.elapsed().as_secs_f64();
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        eprintln!("{why}");
        return Err(io::Error::other(format!("not measured: {}", why.lines().next().unwrap_or("cargo fails"))));
    }
    Ok((seconds, fs::metadata(target.join("release/program"))?.len() as f64))
}

// ---- M12: too big --------------------------------------------------------------------------------------------------

fn too_big(programs: &Programs) -> Vec<Cell> {
    let rows = [("recursion", "endless"), ("local", "big")];
    let observe = |(row, workload), column| {
        let observed = output(programs, column, workload).map(|(status, _, stderr)| {
            let how = match (status.signal(), status.code()) {
                (Some(signal), _) => format!("killed by signal {signal}"),
                (None, Some(0)) => return "it runs".to_owned(),
                (None, code) => format!("ends with status {}", code.unwrap_or(-1)),
            };
            let mut lines = stderr.lines().filter(|line| !line.trim().is_empty());
            let line = lines.clone().find(|line| line.contains("overflow")).or(lines.next_back()).unwrap_or("");
            format!("{how}: `{line}`")
        });
        cell(row, column, Content::Words(observed.unwrap_or_else(|why| why)))
    };
    rows.into_iter().flat_map(|row| COLUMNS.map(|column| observe(row, column))).collect()
}

/// How a workload ends, and what it says to whom.
fn output(
    programs: &Programs,
    column: Column,
    workload: &str,
) -> Result<(std::process::ExitStatus, String, String), String> {
    let prefix = match column {
        Column::Facade => "aio-",
        Column::Threads => "threads-",
        _ => "",
    };
    let output =
        programs.contender(column, &format!("{prefix}{workload}"))?.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status, text(&output.stdout), text(&output.stderr)))
}
