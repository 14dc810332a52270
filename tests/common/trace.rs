//! What holds of every trace in the format of Chrome, whoever reads it.

use std::collections::{BTreeMap, BTreeSet};

use corio::observe::{Axis, Recording};
use serde_json::Value;

/// Checks the traces of a recording on both axes.
pub(crate) fn keep_the_rules(recording: &Recording) {
    for axis in [Axis::Step, Axis::Time] {
        check(&recording.chrome_trace(axis)).unwrap_or_else(|wrong| panic!("the trace by {axis:?}: {wrong}"));
    }
}

/// Microseconds as the nanoseconds that they were made of.
fn nanos(value: &Value) -> Result<u64, String> {
    value.as_f64().map(|micros| (micros * 1_000.0).round() as u64).ok_or(format!("{value} is no time"))
}

fn check(trace: &str) -> Result<(), String> {
    let trace: Value = serde_json::from_str(trace).map_err(|error| error.to_string())?;
    let events = trace["traceEvents"].as_array().ok_or("it has no events")?;
    let (mut last, mut lanes) = (0, BTreeMap::<u64, Vec<(u64, u64)>>::new());
    let (mut named, mut used) = (BTreeSet::new(), BTreeSet::new());
    let (mut sent, mut arrived) = (BTreeMap::new(), BTreeMap::new());
    for event in events {
        let kind = event["ph"].as_str().ok_or(format!("{event} has no kind"))?;
        let lane = event["tid"].as_u64();
        // Perfetto takes thread 0 for the main thread, which is that with the number of the process.
        if lane == Some(0)
            || event["name"] == "thread_name" && (event["pid"] == event["tid"]) != (event["args"]["name"] == "loop")
        {
            return Err(format!("{event} would be in one lane with another"));
        }
        if kind == "M" {
            named.extend(lane);
            continue;
        }
        let at = nanos(&event["ts"])?;
        if at < last {
            return Err(format!("{event} comes after what is later"));
        }
        last = at;
        used.extend(lane);
        match (kind, lane) {
            ("X", Some(lane)) => lanes.entry(lane).or_default().push((at, at + nanos(&event["dur"])?)),
            ("s" | "f", Some(lane)) => {
                let id = event["id"].as_u64().ok_or(format!("{event} has no id"))?;
                let ends = if kind == "s" { &mut sent } else { &mut arrived };
                if ends.insert(id, (lane, at)).is_some() {
                    return Err(format!("{event} is there twice"));
                }
            }
            ("i", Some(_)) | ("C", None) => {}
            _ => return Err(format!("{event} is of no kind that a trace has")),
        }
    }
    for (lane, slices) in &lanes {
        if let Some(pair) = slices.windows(2).find(|pair| pair[1].0 < pair[0].1) {
            return Err(format!("slices {pair:?} of lane {lane} overlap"));
        }
    }
    let is_in_a_slice = |(lane, at): (u64, u64)| lanes[&lane].iter().any(|(start, end)| (*start..=*end).contains(&at));
    for (id, (lane, at)) in &arrived {
        let from = *sent.get(id).ok_or(format!("arrow {id} comes from nowhere"))?;
        if !is_in_a_slice(from) || !is_in_a_slice((*lane, *at)) || from.1 > *at {
            return Err(format!("arrow {id} leads from {from:?} to {:?}", (lane, at)));
        }
    }
    let unnamed: Vec<_> = used.difference(&named).collect();
    if unnamed.is_empty() { Ok(()) } else { Err(format!("lanes {unnamed:?} have no name")) }
}
