//! What holds of every page and picture that is made of a recording, whoever reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use corio::observe::state::Stage;
use corio::observe::{Answer, Recording, State, Walk};
use serde_json::Value;

/// Checks a recording's page and its picture.
pub(crate) fn keep_the_rules(recording: &Recording) {
    let run = is_sound(recording);
    says_what_the_replay_says(&run, recording);
    goes_where_the_stepper_goes(&run, recording);
}

/// The same, but for the words: a name of several lines does not stand on one.
pub(crate) fn is_sound(recording: &Recording) -> Value {
    let page = recording.html();
    let run = parts(&page, recording);
    is_laid_out(&run);
    leads_through_the_same_states(&run, recording);
    has_the_sources(&run);
    is_a_picture(&recording.svg(..));
    run
}

/// The data of a page, when what surrounds it has been looked at.
pub(crate) fn parts(page: &str, recording: &Recording) -> Value {
    let (before, rest) = page.split_once("<noscript>").expect("a text for those without scripts");
    let (narration, rest) = rest.split_once("</noscript>").unwrap();
    let (between, rest) = rest.split_once(r#"<script type="application/json" id="run">"#).expect("the data");
    let (data, after) = rest.split_once("</script>").unwrap();
    let own = [before, between, after].concat();
    // Nothing is fetched, and nobody's text becomes markup.
    for word in [
        "src=",
        "href=",
        "http:",
        "https:",
        "//cdn",
        "@import",
        "url(",
        "fetch(",
        "XMLHttp",
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "<!--",
    ] {
        assert!(!own.contains(word), "the page has {word:?}");
    }
    assert_eq!(own.matches("<script").count(), 1, "one script, beside the data");
    assert!(!data.contains('<'), "the data has no tags");
    let (_, narration) = narration.split_once("<pre>").unwrap();
    let narration = narration.strip_suffix("</pre>").unwrap().replace("&lt;", "<").replace("&amp;", "&");
    assert_eq!(narration, recording.narrate(1));
    serde_json::from_str(data).unwrap_or_else(|error| panic!("the data of the page: {error}"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn rows(run: &Value, table: &str) -> Vec<Vec<Value>> {
    let rows = run[table].as_array().unwrap_or_else(|| panic!("no {table}"));
    rows.iter().map(|row| row.as_array().unwrap().clone()).collect()
}

/// Slices of a lane follow each other, and arrows lead from lane to lane.
fn is_laid_out(run: &Value) {
    let lanes: BTreeSet<u64> = rows(run, "lanes").iter().map(|lane| number(&lane[0])).collect();
    let (mut ends, mut begun) = (BTreeMap::new(), BTreeSet::new());
    let steps = rows(run, "steps").len() as u64;
    for slice in rows(run, "slices") {
        let [lane, from, to] = [0, 1, 2].map(|n| number(&slice[n]));
        let before = ends.insert(lane, to.max(from + 1)).unwrap_or(0);
        assert!(before <= from && from <= to && to <= steps, "{slice:?} begins before {before}, where another ends");
        assert!(lanes.contains(&lane), "{slice:?} is on no lane");
        begun.insert((lane, from));
    }
    for arrow in rows(run, "arrows") {
        let [step, from, to] = [0, 1, 2].map(|n| number(&arrow[n]));
        assert!(begun.contains(&(to, step)), "{arrow:?} leads nowhere");
        assert!(begun.range((from, 0)..=(from, step)).next().is_some(), "{arrow:?} comes from nowhere");
    }
    for moment in rows(run, "moments") {
        assert!(lanes.contains(&number(&moment[1])) && number(&moment[0]) <= steps, "{moment:?}");
    }
}

/// Who does what, in the same words.
fn says_what_the_replay_says(run: &Value, recording: &Recording) {
    let text = |value: &Value| run["texts"][number(value) as usize].as_str().expect("a text").to_owned();
    let mut replay = recording.replay();
    for (step, row) in (1..).zip(rows(run, "steps")) {
        replay.go_to(step);
        let (told, record) = (replay.told(), replay.record().unwrap());
        assert_eq!((number(&row[0]), number(&row[1])), (record.at, record.cause));
        let says = [text(&row[5]), text(&row[6]), text(&row[7])];
        for part in says.iter().flat_map(|part| part.lines()) {
            assert!(told.contains(part.trim()), "step {step}: {part:?} is not in {told:?}");
        }
    }
}

/// The letters stop at the same steps, and look at the same task.
fn goes_where_the_stepper_goes(run: &Value, recording: &Recording) {
    let steps = rows(run, "steps");
    let mut walk = Walk::new(recording.replay());
    for letter in ["s", "i", "t", "o", "r"] {
        walk.command("g 0");
        let mut stops = Vec::new();
        while walk.command(letter) == Answer::Moved {
            let step = walk.replay().step();
            stops.push(step);
            assert_eq!(number(&steps[step as usize - 1][3]), walk.focus(), "step {step}");
        }
        let is_stop = |(step, row): (u64, &Vec<Value>)| (row[10] == letter).then_some(step);
        assert_eq!((1..).zip(&steps).filter_map(is_stop).collect::<Vec<_>>(), stops, "{letter}");
    }
}

/// The changes from step to step add up to what [`State`] says.
fn leads_through_the_same_states(run: &Value, recording: &Recording) {
    let (mut state, mut told) = (State::new(), Panel::default());
    for (record, row) in recording.records().iter().zip(rows(run, "steps")) {
        state.apply(record);
        told.change(&row[13..]);
        let parked = state.tasks.iter().filter(|(_, task)| matches!(task.stage, Stage::Parked(_)));
        let real = Panel {
            ready: state.ready.iter().copied().collect(),
            parked: parked.map(|(id, _)| *id).collect(),
            timers: state.timers.keys().copied().collect(),
            sources: state.sources.clone(),
        };
        assert_eq!(told, real, "step {}", record.seq);
    }
}

#[derive(Debug, Default, PartialEq)]
struct Panel {
    ready: Vec<u64>,
    parked: BTreeSet<u64>,
    timers: BTreeSet<u64>,
    sources: BTreeSet<u64>,
}

impl Panel {
    fn change(&mut self, change: &[Value]) {
        match &change[0] {
            Value::Array(all) => self.ready = all.iter().map(number).collect(),
            id => match id.as_i64().unwrap() {
                0 => {}
                id @ 1.. => self.ready.push(id as u64),
                id => self.ready.retain(|ready| *ready != id.unsigned_abs()),
            },
        }
        for (set, change) in [&mut self.parked, &mut self.timers, &mut self.sources].into_iter().zip(&change[1..]) {
            match change.as_array().map_or_else(|| change.as_i64().unwrap(), |now| now[0].as_i64().unwrap()) {
                0 => {}
                id @ 1.. => drop(set.insert(id as u64)),
                id => assert!(set.remove(&id.unsigned_abs()), "{id} was not there"),
            }
        }
    }
}

/// Each file that is shown is a whole one of this package.
fn has_the_sources(run: &Value) {
    for source in rows(run, "sources") {
        let name = source[0].as_str().unwrap();
        let lines: Vec<&str> = source[1].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let mut files = Vec::new();
        for part in ["examples", "src", "tests"] {
            collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(part), name, &mut files);
        }
        let is_it = |file: &PathBuf| fs::read_to_string(file).unwrap().lines().eq(lines.iter().copied());
        assert!(files.iter().any(is_it), "{name} is not what the page has of it");
    }
    for place in rows(run, "places") {
        let file = place[0].as_i64().unwrap();
        if file >= 0 {
            let lines = run["sources"][file as usize][1].as_array().unwrap().len() as u64;
            assert!((1..=lines).contains(&number(&place[1])), "{place:?}");
        }
    }
}

fn collect(directory: &Path, name: &str, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, name, files);
        } else if path.ends_with(name) {
            files.push(path);
        }
    }
}

/// Tags are closed in their order, and nothing comes from elsewhere.
fn is_a_picture(svg: &str) {
    let mut open = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        assert!(!text.contains('>'), "{part:?}");
        let name = tag.split([' ', '/']).find(|name| !name.is_empty()).unwrap();
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name), "{tag:?} closes another"),
            (false, false) => open.push(name),
            (false, true) => {}
        }
    }
    assert!(open.is_empty() && svg.starts_with("<svg ") && svg.contains("<title") && svg.contains("<desc"));
    assert!(!svg.replace("xmlns=\"http://www.w3.org/2000/svg\"", "").contains("=\"http"));
    assert!(!svg.contains("<script") && !svg.contains("href="));
}
