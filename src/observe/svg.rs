//! Some steps of a recording as a picture for a text: no script, and the same bytes every time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter, Write};
use std::ops::{Bound, RangeBounds};

use super::Recording;
use super::timeline::{Arrow, Doing, LOOP, Moment, Point, Slice, Timeline, What};

/// The width of a step, of the names, of a letter, and of the legend; the heights of a lane, of what is drawn in it, and of the axis.
const STEP: u64 = 22;
const NAMES: u64 = 92;
const LETTER: u64 = 6;
const LEGEND: u64 = 750;
const LANE: u64 = 34;
const BAR: u64 = 20;
const AXIS: u64 = 24;

impl Recording {
    /// Some steps of the run as a picture, in SVG: the lanes of [`chrome_trace`](Self::chrome_trace), by step. Tasks that are not
    /// there in these steps are left out.
    ///
    /// It has its own background, so it can be read on a dark page, and tells nothing by colour alone. The same steps give the same
    /// bytes.
    ///
    /// ```
    /// use corio::observe::Recording;
    /// use corio::{Runner, secs, sleep, spawn};
    ///
    /// # if !cfg!(feature = "observe") { return Ok(()) }
    /// let recording = Recording::new();
    /// Runner::new().virtual_clock().observer(recording.clone()).run(|| spawn(|| sleep(secs(1))).join())?;
    /// let (all, end) = (recording.svg(..), recording.svg(8..)); // to be kept: std::fs::write("run.svg", all)
    /// assert!(all.starts_with("<svg ") && all.contains("task-2"));
    /// assert!(end.len() < all.len());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn svg(&self, steps: impl RangeBounds<u64>) -> String {
        let records = self.records();
        let last = records.last().map_or(1, |record| record.seq);
        let first = match steps.start_bound() {
            Bound::Included(step) => *step,
            Bound::Excluded(step) => step.saturating_add(1),
            Bound::Unbounded => 1,
        };
        let end = match steps.end_bound() {
            Bound::Included(step) => step.saturating_add(1),
            Bound::Excluded(step) => *step,
            Bound::Unbounded => u64::MAX,
        };
        let first = first.clamp(1, last);
        Picture::new(&Timeline::of(&records, &self.names()), first, end.clamp(first + 1, last + 1)).draw()
    }
}

/// The steps from `first` to before `end`, and what there is of them.
struct Picture<'a> {
    first: u64,
    end: u64,
    lanes: Vec<(u64, &'a str)>,
    slices: Vec<&'a Slice>,
    /// With the lanes that they lead from and to.
    arrows: Vec<(&'a Arrow, u64, u64)>,
    moments: Vec<&'a Moment>,
    /// Where each lane is, from above.
    rows: BTreeMap<u64, u64>,
}

impl Picture<'_> {
    fn new(run: &Timeline, first: u64, end: u64) -> Picture<'_> {
        let shows = |at: Point| (first..end).contains(&at.step);
        let lane = |slice: usize| run.slices[slice].lane;
        let slices = run.slices.iter().filter(|slice| slice.from.step < end && end_of(slice) > first);
        let arrows = run.arrows.iter().filter(|arrow| shows(arrow.at));
        let mut picture = Picture {
            first,
            end,
            lanes: Vec::new(),
            slices: slices.collect(),
            arrows: arrows.map(|arrow| (arrow, lane(arrow.from), lane(arrow.to))).collect(),
            moments: run.moments.iter().filter(|moment| shows(moment.at)).collect(),
            rows: BTreeMap::new(),
        };
        let of_slices = picture.slices.iter().map(|slice| slice.lane);
        let of_arrows = picture.arrows.iter().flat_map(|(_, from, to)| [*from, *to]);
        let of_moments = picture.moments.iter().map(|moment| moment.lane);
        let seen: BTreeSet<u64> = of_slices.chain(of_arrows).chain(of_moments).chain([LOOP]).collect();
        let named = run.lanes.iter().filter(|(lane, _)| seen.contains(lane));
        picture.lanes = named.map(|(lane, name)| (*lane, &**name)).collect();
        picture.rows = picture.lanes.iter().zip(0..).map(|((lane, _), row)| (*lane, AXIS + row * LANE)).collect();
        picture
    }

    fn draw(&self) -> String {
        let (width, bottom) = ((self.x(self.end) + 8).max(LEGEND), AXIS + self.lanes.len() as u64 * LANE);
        let height = bottom + 44;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             font-family=\"ui-monospace, 'DejaVu Sans Mono', monospace\" font-size=\"10\" role=\"img\" \
             aria-labelledby=\"t d\">\n"
        );
        let _ = writeln!(svg, "<title id=\"t\">Steps {} to {} of a run</title>", self.first, self.end - 1);
        let _ = writeln!(svg, "<desc id=\"d\">{}</desc>", Escaped(&self.description()));
        svg += "<defs>\n";
        for doing in Doing::ALL {
            let (id, colour, path) = (doing as usize, doing.colour(), doing.pattern());
            let _ = writeln!(
                svg,
                "<pattern id=\"d{id}\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\">\
                 <path fill=\"{colour}\" d=\"M0 0h8v8H0z\"/><path stroke=\"#0005\" fill=\"none\" d=\"{path}\"/></pattern>"
            );
        }
        let _ = writeln!(svg, "</defs>\n<path fill=\"#fff\" d=\"M0 0h{width}v{height}H0z\"/>");
        self.axis(&mut svg, bottom);
        for (lane, name) in &self.lanes {
            let (y, name) = (self.rows[lane], fitting(name, NAMES - 8).unwrap_or_default());
            let _ = writeln!(svg, "<path stroke=\"#ddd\" d=\"M0 {}H{width}\"/>", y + LANE - 1);
            let _ = writeln!(svg, "<text x=\"4\" y=\"{}\" font-weight=\"bold\">{}</text>", y + 14, Escaped(&name));
        }
        self.slices.iter().for_each(|slice| self.slice(&mut svg, slice));
        self.arrows.iter().for_each(|(arrow, from, to)| self.arrow(&mut svg, arrow, self.rows[from], self.rows[to]));
        self.moments.iter().for_each(|moment| self.moment(&mut svg, moment));
        self.captions(&mut svg);
        legend(&mut svg, bottom + 16);
        svg + "</svg>\n"
    }

    fn description(&self) -> String {
        let names: BTreeMap<u64, &str> = self.lanes.iter().copied().collect();
        let woken = self
            .arrows
            .iter()
            .map(|(arrow, _, to)| format!(" Step {}: {}, {}.", arrow.at.step, names[to], arrow.reason));
        let lanes: Vec<&str> = names.values().copied().collect();
        format!("Lanes: {}.{}", lanes.join(", "), woken.collect::<String>())
    }

    /// Where a step begins.
    fn x(&self, step: u64) -> u64 {
        NAMES + (step.clamp(self.first, self.end) - self.first) * STEP
    }

    fn axis(&self, svg: &mut String, bottom: u64) {
        // Of numbers that are wider than a step, not every one is written.
        let every = ((self.end - 1).to_string().len() as u64 * LETTER + 4).div_ceil(STEP);
        for step in self.first..self.end {
            let x = self.x(step);
            let _ = writeln!(svg, "<path stroke=\"#eee\" d=\"M{x} {}V{bottom}\"/>", AXIS - 4);
            if (step - self.first).is_multiple_of(every) {
                let _ = writeln!(svg, "<text x=\"{}\" y=\"14\" fill=\"#555\" font-size=\"9\">{step}</text>", x + 3);
            }
        }
        let _ = writeln!(svg, "<text x=\"4\" y=\"14\" fill=\"#555\">step</text>");
    }

    fn slice(&self, svg: &mut String, slice: &Slice) {
        let (left, right, y) = (self.x(slice.from.step), self.x(end_of(slice)), self.rows[&slice.lane]);
        let (wide, doing, sign) = (right - left, slice.doing as usize, slice.doing.sign());
        let full = format!("{sign} {}", slice.text);
        let words = if full.chars().count() as u64 * LETTER + 4 <= wide {
            full
        } else {
            fitting(&format!("{sign} {}", slice.short), wide - 4).unwrap_or(sign.to_string())
        };
        let _ = writeln!(
            svg,
            "<g><title>{}</title><rect x=\"{left}\" y=\"{y}\" width=\"{wide}\" height=\"{BAR}\" fill=\"url(#d{doing})\" stroke=\"#555\"/>\
             <text x=\"{}\" y=\"{}\" {HALO}>{}</text></g>",
            Escaped(&slice.in_full()),
            left + 3,
            y + 14,
            Escaped(words.trim_end())
        );
    }

    fn arrow(&self, svg: &mut String, arrow: &Arrow, from: u64, to: u64) {
        if from == to {
            return; // it woke itself
        }
        let x = self.x(arrow.at.step) + 1;
        let (start, tip, back) = if from < to { (from + BAR, to, to - 6) } else { (from, to + BAR, to + BAR + 6) };
        let _ = writeln!(
            svg,
            "<g><title>{}</title><path stroke=\"#000\" stroke-width=\"1.5\" d=\"M{x} {start}V{tip}\"/>\
             <path d=\"M{x} {tip}L{} {back}H{}z\"/></g>",
            Escaped(&arrow.reason),
            x - 4,
            x + 4
        );
    }

    /// Below a lane stands what is said at its moments, and of what the loop does, which is short mostly. There is room up to the
    /// next of them.
    fn captions(&self, svg: &mut String) {
        let said = self.moments.iter().map(|moment| (moment.lane, moment.at.step, STEP / 2 + 8, &moment.text));
        let short =
            self.slices.iter().filter(|slice| slice.lane == LOOP && slice.from.step >= self.first && !has_room(slice));
        let mut captions: Vec<_> = said.chain(short.map(|slice| (LOOP, slice.from.step, 4, &slice.short))).collect();
        captions.sort_by_key(|(lane, step, ..)| (*lane, *step));
        for (n, (lane, step, indent, text)) in captions.iter().enumerate() {
            let next = captions.get(n + 1).filter(|(next, ..)| next == lane).map_or(self.end, |(_, next, ..)| *next);
            let (x, y) = (self.x(*step) + indent, self.rows[lane] + BAR + 10);
            if let Some(text) = fitting(text, (self.x(next) + 2).saturating_sub(x)) {
                let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" font-size=\"9\" {HALO}>{}</text>", Escaped(&text));
            }
        }
    }

    fn moment(&self, svg: &mut String, moment: &Moment) {
        let (x, y) = (self.x(moment.at.step) + STEP / 2, self.rows[&moment.lane] + BAR);
        let _ = writeln!(
            svg,
            "<g><title>{}: {}</title><circle cx=\"{x}\" cy=\"{y}\" r=\"6\" fill=\"#fff\" stroke=\"#000\"/>\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
            moment.what.called(),
            Escaped(&moment.text),
            y + 4,
            Escaped(&moment.what.sign().to_string())
        );
    }
}

/// Whether what it says for short stands inside it.
fn has_room(slice: &Slice) -> bool {
    (slice.short.chars().count() as u64 + 2) * LETTER + 4 <= (end_of(slice) - slice.from.step) * STEP
}

/// What takes no time is drawn as long as a step.
fn end_of(slice: &Slice) -> u64 {
    slice.to.step.max(slice.from.step + 1)
}

/// As much of a text as there is room for, if that is enough to be understood.
fn fitting(text: &str, room: u64) -> Option<String> {
    const LEAST: usize = 8;
    let most = room as usize / LETTER as usize;
    let text = text.lines().next().unwrap_or_default();
    if text.chars().count() <= most {
        return Some(text.to_owned());
    }
    (most >= LEAST).then(|| text.chars().take(most - 1).collect::<String>() + "…")
}

/// What the patterns and the signs mean, in two lines.
fn legend(svg: &mut String, y: u64) {
    let mut x = 4;
    for doing in Doing::ALL {
        let (id, words) = (doing as usize, format!("{} {}", doing.sign(), doing.called()));
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"16\" height=\"11\" fill=\"url(#d{id})\" stroke=\"#555\"/>\
             <text x=\"{}\" y=\"{y}\" font-size=\"9\">{words}</text>",
            y - 9,
            x + 20
        );
        x += 20 + words.chars().count() as u64 * LETTER + 8;
    }
    let words = What::ALL.map(|what| format!("{} {}", what.sign(), what.called())).join("   ");
    let _ = writeln!(
        svg,
        "<text x=\"4\" y=\"{}\" font-size=\"9\" xml:space=\"preserve\">{}</text>",
        y + 17,
        Escaped(&words)
    );
}

/// Keeps letters apart from the pattern behind them.
const HALO: &str = "paint-order=\"stroke\" stroke=\"#fff\" stroke-width=\"2.5\" stroke-linejoin=\"round\"";

/// A text between tags, on one line. What XML does not allow at all becomes a sign for it.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '\n' | '\t' => f.write_char(' ')?,
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
