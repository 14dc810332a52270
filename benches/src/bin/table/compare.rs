//! What the runs of a row come to.

use corio_benches::figures::{Figures, quantile, value};

use crate::rows::Row;
use crate::rows::Target::{self, Above, AtLeast, AtMost, NotAbove, Times};
use crate::runs::Runs;

/// One figure, round by round.
pub(crate) struct Compared {
    pub(crate) ours: Vec<f64>,
    /// The mean of the floor's runs before and after; like the next two, empty if there is no floor.
    floor: Vec<f64>,
    ratio: Vec<f64>,
    above: Vec<f64>,
    /// To a peer's.
    to_peer: Vec<(&'static str, Vec<f64>)>,
}

impl Compared {
    pub(crate) fn new(figure: &str, runs: &Runs<'_>) -> Compared {
        let of = |runs: &[Figures]| runs.iter().filter_map(|run| value(run, figure)).collect::<Vec<_>>();
        let (ours, floor) = (of(&runs.ours), of(&runs.floor));
        let floor = if floor.len() < 2 { floor } else { floor.windows(2).map(|two| (two[0] + two[1]) / 2.0).collect() };
        let paired = |f: fn((&f64, &f64)) -> f64| ours.iter().zip(&floor).map(f).collect();
        let (ratio, above) = (paired(|(ours, floor)| ours / floor), paired(|(ours, floor)| ours - floor));
        let to_one = |(ours, peer): (&_, &_)| Some(value(ours, figure)? / value(peer, figure)?);
        let to_peer = |(name, peer): &(_, Vec<_>)| (*name, runs.ours.iter().zip(peer).filter_map(to_one).collect());
        let to_peer = runs.peers.iter().map(to_peer).collect();
        Compared { ours, floor, ratio, above, to_peer }
    }

    /// One of three words, the last of which means that the target is missed for certain. None if nobody is there to compare
    /// with.
    fn verdict(&self, target: Target) -> Option<&'static str> {
        let (sample, limit) = match target {
            Times(limit) | AtLeast(limit) => (&self.ratio, limit),
            Above(limit) => (&self.above, limit),
            AtMost(limit) => (&self.ours, limit),
            NotAbove(peer) => (&self.to_peer.iter().find(|(name, ratio)| *name == peer && !ratio.is_empty())?.1, 1.0),
        };
        let met = |share| match target {
            AtLeast(_) => quantile(sample, 1.0 - share).is_some_and(|value| value >= limit),
            _ => quantile(sample, share).is_some_and(|value| value <= limit),
        };
        Some(if met(0.5) {
            "met"
        } else if met(0.25) {
            "not met, within noise"
        } else {
            "not met"
        })
    }

    /// A peer's figure, and how many times the floor that is.
    pub(crate) fn peer(&self, figure: &str, runs: &[Figures]) -> String {
        let sample: Vec<_> = runs.iter().filter_map(|run| value(run, figure)).collect();
        let Some(median) = quantile(&sample, 0.5) else { return String::new() };
        let to_floor = |(peer, floor)| Some(value(peer, figure)? / floor);
        let ratio: Vec<f64> = runs.iter().zip(&self.floor).filter_map(to_floor).collect();
        let times = quantile(&ratio, 0.5).map_or(String::new(), |ratio| format!(" ({ratio:.1})"));
        in_unit(figure, median) + &times
    }

    /// The row as text, and whether no target is missed for certain.
    pub(crate) fn cells(&self, row: &Row) -> (bool, [String; 7]) {
        let unit = |value| in_unit(row.figure, value);
        let target = |target: &Target| match target {
            Times(limit) => format!("≤ {limit} x"),
            Above(limit) => format!("≤ floor + {limit}"),
            AtMost(limit) => format!("≤ {}", unit(*limit)),
            AtLeast(limit) => format!("≥ {limit} x"),
            NotAbove(peer) => format!("≤ {peer}'s"),
        };
        let targets: Vec<_> = row.targets.iter().map(target).collect();
        let verdicts: Vec<_> = row.targets.iter().filter_map(|&target| self.verdict(target)).collect();
        let median = |sample: &[f64]| quantile(sample, 0.5);
        let compared = if self.ratio.is_empty() { &self.ours } else { &self.ratio };
        let spread = |median| Some(100.0 * (quantile(compared, 1.0)? - quantile(compared, 0.0)?) / median);
        let cells = [
            Some(row.name.clone()),
            median(&self.floor).map(unit),
            median(&self.ours).map(unit),
            median(&self.ratio).map(|ratio| format!("{ratio:.3}")),
            median(compared).filter(|_| compared.len() > 1).and_then(spread).map(|spread| format!("{spread:.0} %")),
            Some(targets.join("; ")),
            Some(verdicts.join("; ")),
        ];
        (!verdicts.contains(&"not met"), cells.map(Option::unwrap_or_default))
    }
}

/// A figure as text.
fn in_unit(figure: &str, value: f64) -> String {
    match figure {
        "syscalls_op" => format!("{value:.3}"),
        "ops_s" => format!("{value:.0} /s"),
        "bytes_s" => format!("{:.2} GB/s", value / 1e9),
        "rss_b" | "pte_b" | "unstarted_b" => format!("{value:.0} B"),
        _ if value >= 1e6 => format!("{:.2} ms", value / 1e6),
        _ if value >= 1e3 => format!("{:.2} us", value / 1e3),
        _ => format!("{value:.1} ns"),
    }
}
