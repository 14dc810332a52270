//! The chapter from the data: what stands between its markers is not written by hand.
//!
//! | marker | becomes |
//! | --- | --- |
//! | `<!-- table m3 -->` ... `<!-- end of table -->`, a line each | the table of that measure |
//! | `<!-- table m5 echo hex -->` | those of its rows whose id has one of these parts, as `rate-echo-64` has |
//! | `<!-- words m9 dump direct -->` ... `<!-- end of words -->`, a line each | words from the data, as they are |
//! | `<!-- run -->` ... `<!-- end of run -->`, a line each | machine, programs, commit, date |
//! | `<!-- fig m3 t1 direct -->...<!-- . -->` | one figure |
//! | `<!-- times m3 t1 direct, m3 t1 tokio -->...<!-- . -->` | how many times the second the first is |

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::data::{Content, Sheet};
use super::measures::{Measure, Row, Unit, measures};
use super::{COLUMNS, Column, data_directory, plot, root};

const CHAPTER: &str = "docs/book/two-ways-to-pause.md";

/// Every file that is made from the data, as it should be: the chapter and its plots.
pub fn files() -> io::Result<Vec<(PathBuf, String)>> {
    let measures = measures(false);
    let mut sheets = Vec::new();
    for measure in &measures {
        sheets.push(Sheet::read(&data_directory().join(format!("{}.json", measure.id)))?);
    }
    let book = Book { measures: &measures, sheets: &sheets };
    let chapter = root().join(CHAPTER);
    let mut files = vec![(chapter.clone(), book.chapter(&fs::read_to_string(&chapter)?).map_err(io::Error::other)?)];
    for (measure, sheet) in measures.iter().zip(&sheets) {
        if let Some(plot) = &measure.plot {
            let place = root().join("docs/book/two-ways").join(format!("{}.svg", measure.id));
            files.push((place, plot::draw(measure, plot, sheet)));
        }
    }
    Ok(files)
}

/// Writes such files.
pub fn write(files: Vec<(PathBuf, String)>) -> io::Result<()> {
    for (path, text) in files {
        fs::create_dir_all(path.parent().expect("a file"))?;
        fs::write(path, text)?;
    }
    Ok(())
}

/// The first difference of a file from what it should be. With `BLESS=1` it is rewritten.
pub fn differs(path: &Path, new: &str) -> Option<String> {
    let old = fs::read_to_string(path).unwrap_or_default();
    if old == new {
        return None;
    }
    if env::var_os("BLESS").is_some() {
        return fs::write(path, new).err().map(|error| error.to_string());
    }
    let line = old.lines().zip(new.lines()).take_while(|(old, new)| old == new).count();
    let [old, new] = [&old, new].map(|text| text.lines().nth(line).unwrap_or(""));
    Some(format!("{}, line {}:\n-  {old}\n+  {new}", path.display(), line + 1))
}

struct Book<'a> {
    measures: &'a [Measure],
    sheets: &'a [Sheet],
}

/// A text whose blocks are renewed, from `<!-- KIND WHICH -->` to `<!-- end of KIND -->`; `block` has none for a comment of
/// somebody else's. What stands on a line is renewed by `line`.
pub fn renew(
    text: &str,
    line: impl Fn(&str) -> Result<String, String>,
    block: impl Fn(&str, &str) -> Result<Option<String>, String>,
) -> Result<String, String> {
    let mut new = String::new();
    let mut lines = text.lines();
    while let Some(old) = lines.next() {
        new += &line(old)?;
        new.push('\n');
        let marker = old.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")).unwrap_or("");
        let (kind, which) = marker.split_once(' ').unwrap_or((marker, ""));
        let Some(block) = block(kind, which)? else { continue };
        let end = format!("<!-- end of {kind} -->");
        if !lines.any(|line| line == end) {
            return Err(format!("`{old}` has no `{end}`"));
        }
        let _ = write!(new, "\n{block}\n{end}\n");
    }
    Ok(new)
}

/// What is told of a run in words, as a table, but for some of it.
pub fn about(sheet: &Sheet, but: &[&str]) -> String {
    let pairs = sheet.about.iter().filter(|(key, _)| !but.contains(&key.as_str()));
    let lines = pairs.filter_map(|(key, value)| Some(format!("| {key} | {} |\n", value.as_str()?)));
    format!("| | |\n|---|---|\n{}", lines.collect::<String>())
}

impl Book<'_> {
    fn chapter(&self, text: &str) -> Result<String, String> {
        let block = |kind: &str, which: &str| {
            Ok(Some(match (kind, which) {
                ("table", which) => self.table(which)?,
                ("words", place) => self.words(place)?,
                ("run", "") => self.run(),
                _ => return Ok(None),
            }))
        };
        renew(text, |line| self.line(line), block)
    }

    /// A line with its figures.
    fn line(&self, line: &str) -> Result<String, String> {
        const END: &str = "<!-- . -->";
        let (mut new, mut rest) = (String::new(), line);
        while let Some(start) = ["<!-- fig ", "<!-- times "].iter().filter_map(|marker| rest.find(marker)).min() {
            let parts =
                rest[start..].split_once(" -->").and_then(|(marker, tail)| Some((marker, tail.split_once(END)?.1)));
            let (marker, tail) = parts.ok_or_else(|| format!("a figure without an end: {line}"))?;
            let figure = match marker.strip_prefix("<!-- fig ") {
                Some(place) => self.figure(place).map(|(unit, row, value)| in_unit(unit, row, value)),
                None => {
                    marker.strip_prefix("<!-- times ").and_then(|places| places.split_once(", ")).and_then(|(a, b)| {
                        let times = self.figure(a)?.2 / self.figure(b)?.2;
                        Some(if times < 10.0 { format!("{times:.1}") } else { format!("{times:.0}") })
                    })
                }
            };
            let figure = figure.unwrap_or_else(|| "(not measured)".into());
            let _ = write!(new, "{}{marker} -->{figure}{END}", &rest[..start]);
            rest = tail;
        }
        Ok(new + rest)
    }

    /// The median at a place such as `m3 t1 direct`, its row and its unit.
    fn figure<'p>(&self, place: &'p str) -> Option<(Unit, &'p str, f64)> {
        let [id, row, column] = place.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        let (measure, sheet) = self.find(id)?;
        let column = COLUMNS.into_iter().find(|known| known.id() == column)?;
        Some((measure.unit, row, sheet.runs(row, column.id())?[1]))
    }

    fn words(&self, place: &str) -> Result<String, String> {
        let [id, row, column] = place.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(format!("`{place}` is no place"));
        };
        let column = COLUMNS.into_iter().find(|known| known.id() == column);
        let content = self.find(id).zip(column).and_then(|((_, sheet), column)| sheet.get(row, column.id()));
        match content {
            Some(Content::Words(words)) => Ok(format!("```text\n{}\n```\n", words.trim_end())),
            _ => Ok("not measured\n".into()),
        }
    }

    fn find(&self, id: &str) -> Option<(&Measure, &Sheet)> {
        self.measures.iter().zip(self.sheets).find(|(measure, _)| measure.id == id)
    }

    fn run(&self) -> String {
        // One run may do different things a different number of times, and over midnight.
        const VARIES: [&str; 2] = ["runs of each", "date"];
        let first = about(&self.sheets[0], &[]);
        let same = about(&self.sheets[0], &VARIES);
        let others: Vec<_> =
            self.known().filter(|(_, sheet)| about(sheet, &VARIES) != same).map(|(id, _)| id).collect();
        let remark = if others.is_empty() { String::new() } else { format!(" Of another run: {}.", others.join(", ")) };
        let told = |sheet: &Sheet| sheet.about.get("others").and_then(serde_json::Value::as_f64);
        let busy = self.sheets.iter().filter_map(told).fold(0.0, f64::max);
        let untold: Vec<_> = self.known().filter(|(_, sheet)| told(sheet).is_none()).map(|(id, _)| id).collect();
        let untold = if untold.is_empty() { String::new() } else { format!(" (not told by {})", untold.join(", ")) };
        format!("{first}\nMeanwhile other processes had at most {:.0} % of the cores{untold}.{remark}\n", 100.0 * busy)
    }

    fn known(&self) -> impl Iterator<Item = (&'static str, &Sheet)> {
        self.measures.iter().map(|measure| measure.id).zip(self.sheets)
    }

    fn table(&self, which: &str) -> Result<String, String> {
        let (id, parts) = which.split_once(' ').unwrap_or((which, ""));
        let wanted =
            |row: &Row| parts.is_empty() || row.id.split('-').any(|part| parts.split(' ').any(|wanted| wanted == part));
        let (measure, sheet) = self.find(id).ok_or_else(|| format!("there is no measure {id}"))?;
        let mut text = format!("| |{}\n|---|", COLUMNS.map(|column| format!(" {} |", column.title())).concat());
        text += &"--:|".repeat(COLUMNS.len());
        text.push('\n');
        for row in measure.rows.iter().filter(|row| wanted(row)) {
            let cells = COLUMNS.map(|column| format!(" {} |", cell(measure, sheet, &row.id, column)));
            let _ = writeln!(text, "| {} |{}", row.title, cells.concat());
        }
        Ok(text)
    }
}

/// The median, and in brackets how far the runs are apart.
fn cell(measure: &Measure, sheet: &Sheet, row: &str, column: Column) -> String {
    match (sheet.runs(row, column.id()), sheet.get(row, column.id())) {
        (Some([least, median, most]), _) => {
            let spread = 100.0 * (most - least) / median;
            let spread = if spread >= 0.5 { format!(" ({spread:.0} %)") } else { String::new() };
            in_unit(measure.unit, row, median) + &spread
        }
        (None, Some(Content::Words(words))) => words.replace('|', "\\|"),
        _ => "not measured".into(),
    }
}

/// A figure as text.
pub fn in_unit(unit: Unit, row: &str, value: f64) -> String {
    let scaled = |names: [&str; 4], step: f64, value: f64| {
        let (mut value, mut name) = (value, 0);
        while value >= step && name + 1 < names.len() {
            (value, name) = (value / step, name + 1);
        }
        let digits = if value >= 100.0 || (name == 0 && value.fract() == 0.0) { 0 } else { 1 };
        format!("{value:.digits$} {}", names[name])
    };
    match unit {
        _ if row == "allocations" => format!("{value:.2}"),
        Unit::RateOrTime if row.starts_with("rate") => scaled(["/s", "k/s", "M/s", "G/s"], 1e3, value),
        Unit::SecondsOrBytes if row.starts_with("build") => format!("{value:.1} s"),
        Unit::Time | Unit::RateOrTime => scaled(["ns", "µs", "ms", "s"], 1e3, value),
        Unit::Bytes | Unit::SecondsOrBytes => scaled(["B", "KiB", "MiB", "GiB"], 1024.0, value.round()),
        Unit::Count if value.fract() == 0.0 => format!("{value:.0}"),
        Unit::Count => format!("{value:.2}"),
    }
}
