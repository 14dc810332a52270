//! Small plots by hand: a point for each median with a whisker from the least to the greatest run, on a logarithmic scale,
//! because a bar on such a scale has no honest length.

use std::fmt::Write as _;

use super::data::Sheet;
use super::measures::{Measure, Plot, Unit};
use super::render::in_unit;
use super::{COLUMNS, Column};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 320.0;
/// Left, right, top and bottom of what is drawn in.
const FRAME: [f64; 4] = [70.0, 570.0, 40.0, 280.0];

/// Colours that can be told apart on white and on black, and by those who see fewer of them.
const STYLE: &str = "text{font:12px sans-serif;fill:#222}.grid{stroke:#ccc}\
    .direct{stroke:#0072b2;fill:#0072b2}.facade{stroke:#d55e00;fill:#d55e00}.threads{stroke:#777;fill:#777}\
    .asyncio{stroke:#b8860b;fill:#b8860b}.tokio{stroke:#009e73;fill:#009e73}.paper{fill:#fff}polyline{fill:none!important;stroke-width:1.5}\
    @media(prefers-color-scheme:dark){.paper{fill:#111}text{fill:#ddd}.grid{stroke:#555}.direct{stroke:#56b4e9;fill:#56b4e9}\
    .threads{stroke:#aaa;fill:#aaa}}";

/// The rows from left to right, a line of points for each column. Where there is no figure, there is no point.
pub fn draw(measure: &Measure, plot: &Plot, sheet: &Sheet) -> String {
    let Plot { title, rows, line } = plot;
    let points = |column: Column| -> Vec<(usize, [f64; 3])> {
        let points =
            rows.iter().enumerate().filter_map(|(place, (row, _))| Some((place, sheet.runs(row, column.id())?)));
        points.filter(|(_, [least, ..])| *least > 0.0).collect()
    };
    let all: Vec<f64> = COLUMNS.iter().flat_map(|&column| points(column)).flat_map(|(_, runs)| runs).collect();
    let base: f64 = if measure.unit == Unit::Bytes { 16.0 } else { 10.0 }; // both have round labels
    let lowest = all.iter().copied().fold(f64::INFINITY, f64::min).log(base).floor();
    let highest = all.iter().copied().fold(0.0, f64::max).log(base).ceil().max(lowest + 1.0);
    let [left, right, top, bottom] = FRAME;
    let y = |value: f64| bottom - (value.log(base) - lowest) / (highest - lowest) * (bottom - top);
    // Beside each other, so that equal ones are seen.
    let x = |place: usize, column: Column| {
        let step = (right - left) / rows.len() as f64;
        left + (place as f64 + 0.5) * step + (column as usize as f64 - 2.0) * 7.0
    };

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n<rect class=\"paper\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n<text x=\"{left}\" y=\"20\">{title}</text>\n"
    );
    if all.is_empty() {
        return svg + "</svg>\n";
    }
    for power in lowest as i32..=highest as i32 {
        let value = base.powi(power);
        let (y, label) = (y(value), in_unit(measure.unit, rows[0].0, value).replace(".0 ", " "));
        let _ = writeln!(svg, "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", left - 8.0, y + 4.0);
    }
    for (place, (_, label)) in rows.iter().enumerate() {
        let x = x(place, Column::Threads);
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>", bottom + 22.0);
    }
    for (nth, column) in COLUMNS.into_iter().enumerate() {
        let (points, class) = (points(column), column.id());
        let through: String =
            points.iter().map(|(place, runs)| format!("{:.1},{:.1} ", x(*place, column), y(runs[1]))).collect();
        let _ = writeln!(svg, "<g class=\"{class}\">");
        if *line {
            let _ = writeln!(svg, "<polyline points=\"{}\"/>", through.trim_end());
        }
        for (place, [least, median, most]) in points {
            let x = x(place, column);
            let _ = writeln!(svg, "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>", y(least), y(most));
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3.5\"/>", y(median));
        }
        let y = top + 10.0 + 20.0 * nth as f64;
        let _ = writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"/></g>", right + 20.0, y - 4.0);
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{y:.1}\">{}</text>", right + 30.0, column.title());
    }
    svg + "</svg>\n"
}
