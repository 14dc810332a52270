//! The section from the data: what stands between its markers is not written by hand.
//!
//! | marker | becomes |
//! | --- | --- |
//! | `<!-- cost yield -->` ... `<!-- end of cost -->`, a line each | the table of that workload |
//! | `<!-- pairs -->` ... `<!-- end of pairs -->` | how far `off` is from `compiled out` |
//! | `<!-- run -->` ... `<!-- end of run -->` | machine, programs, commit, date |

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::{VARIANTS, Variant, WORKLOADS, Workload, data_directory, rows};
use crate::comparison::data::{Content, Sheet};
use crate::comparison::measures::Unit;
use crate::comparison::render::{about, in_unit, renew};
use crate::comparison::root;
use crate::figures::quantile;

/// The chapter as it should be.
pub fn files() -> io::Result<Vec<(PathBuf, String)>> {
    let sheet = |workload: &Workload| Sheet::read(&data_directory().join(format!("{}.json", workload.id)));
    let sheets = WORKLOADS.iter().map(sheet).collect::<io::Result<Vec<_>>>()?;
    let block = |kind: &str, which: &str| match (kind, which) {
        ("cost", id) => match WORKLOADS.iter().position(|workload| workload.id == id) {
            Some(place) => Ok(Some(cost(&WORKLOADS[place], &sheets[place]))),
            None => Err(format!("there is no workload {id}")),
        },
        ("pairs", "") => Ok(Some(pairs(&sheets))),
        ("run", "") => Ok(Some(run(&sheets))),
        _ => Ok(None),
    };
    let chapter = root().join("docs/book/seeing.md");
    let text = renew(&fs::read_to_string(&chapter)?, |line| Ok(line.to_owned()), block).map_err(io::Error::other)?;
    Ok(vec![(chapter, text)])
}

/// What one operation costs each of the variants.
fn cost(workload: &Workload, sheet: &Sheet) -> String {
    let out = &VARIANTS[0];
    let mut text = format!(
        "| {} | CPU time | times `{}` | records | for a record | instructions |\n|---|--:|--:|--:|--:|--:|\n",
        workload.operation, out.title
    );
    let before = runs(sheet, rows::TURNS, out);
    for variant in &VARIANTS {
        let times = runs(sheet, rows::TURNS, variant);
        // A round against itself: the machine changes its speed from one to the next.
        let in_rounds =
            |f: fn(f64, f64) -> f64| -> Vec<f64> { times.iter().zip(before).map(|(t, b)| f(*t, *b)).collect() };
        let records = median(runs(sheet, rows::RECORDS, variant)).unwrap_or(0.0);
        let for_a_record = median(&in_rounds(|time, before| time - before)).filter(|_| records > 0.0);
        let cells = [
            spread(times),
            median(&in_rounds(|time, before| time / before))
                .map(|times| if times < 10.0 { format!("{times:.2}") } else { format!("{times:.0}") }),
            (records > 0.0).then(|| format!("{records:.2}")),
            for_a_record.map(|more| time(more / records)),
            Some(instructions(sheet, variant)),
        ];
        let cells = cells.map(|cell| format!(" {} |", cell.unwrap_or_default()));
        let _ = writeln!(text, "| {} |{}", variant.title, cells.concat());
    }
    let written = VARIANTS.iter().filter_map(|variant| median(runs(sheet, rows::WRITTEN, variant)));
    match written.fold(0.0, f64::max) {
        0.0 => text,
        written => text + &format!("\nThe file is written once, in {}.\n", time(written)),
    }
}

/// How many, and how many more than without the stream.
fn instructions(sheet: &Sheet, variant: &Variant) -> String {
    let of = |variant| median(runs(sheet, rows::INSTRUCTIONS, variant));
    match (of(variant), of(&VARIANTS[0]), sheet.get(rows::INSTRUCTIONS, variant.id)) {
        (Some(all), ..) if variant.id == VARIANTS[0].id => format!("{all:.0}"),
        (Some(all), Some(without), _) => format!("{all:.0} ({:+.0})", all - without),
        (Some(all), ..) => format!("{all:.0}"),
        (.., Some(Content::Words(why))) => why.replace('|', "\\|"),
        _ => String::new(),
    }
}

/// Whether the second variant can be told from the first.
fn pairs(sheets: &[Sheet]) -> String {
    let [out, off, ..] = &VARIANTS;
    let mut text = format!(
        "| in pairs | `{}`: least, middle half, greatest | `off` | difference | the median of `off` |\n|---|--:|--:|--:|---|\n",
        out.title
    );
    for (workload, sheet) in WORKLOADS.iter().zip(sheets) {
        let [before, after] = [out, off].map(|variant| runs(sheet, rows::PAIRS, variant));
        let more: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        let quantiles = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| quantile(before, share).unwrap_or_default());
        let (Some(off), Some(more)) = (median(after), median(&more)) else { continue };
        let [least, low, middle, high, greatest] = quantiles;
        let place = if (low..=high).contains(&off) {
            "inside the middle half"
        } else if (least..=greatest).contains(&off) {
            "outside the middle half, inside the rest"
        } else {
            "outside"
        };
        let _ = writeln!(
            text,
            "| {} | {}; {}; {} | {} | {more:+.1} ns ({:+.1} %) | {place} |",
            workload.operation,
            time(least),
            range(&time(low), &time(high)),
            time(greatest),
            time(off),
            100.0 * more / middle
        );
    }
    text
}

fn run(sheets: &[Sheet]) -> String {
    let told = |sheet: &Sheet| sheet.about.get("others").and_then(serde_json::Value::as_f64);
    let busy = sheets.iter().filter_map(told).fold(0.0, f64::max);
    format!("{}\nMeanwhile other processes had at most {:.0} % of the cores.\n", about(&sheets[0], &[]), 100.0 * busy)
}

fn runs<'a>(sheet: &'a Sheet, row: &str, variant: &Variant) -> &'a [f64] {
    match sheet.get(row, variant.id) {
        Some(Content::Runs(runs)) => runs,
        _ => &[],
    }
}

fn median(sample: &[f64]) -> Option<f64> {
    quantile(sample, 0.5)
}

/// The median, and between which two the middle half lies.
fn spread(sample: &[f64]) -> Option<String> {
    let [low, middle, high] = [0.25, 0.5, 0.75].map(|share| quantile(sample, share).map(time));
    Some(format!("{} ({})", middle?, range(&low?, &high?)))
}

/// Both, and their unit once if it is the same.
fn range(low: &str, high: &str) -> String {
    match (low.split_once(' '), high.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number} to {high}"),
        _ => format!("{low} to {high}"),
    }
}

fn time(nanoseconds: f64) -> String {
    in_unit(Unit::Time, "", nanoseconds)
}
