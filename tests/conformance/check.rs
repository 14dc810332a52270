//! Every line is shown by a test or listed as a departure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The areas, how many lines each has, and what they are about.
const AREAS: &[(&str, u32, &str)] = &[
    ("LOOP", 32, "The loop and its callbacks"),
    ("FUT", 20, "Futures"),
    ("TASK", 35, "Tasks and their cancellation"),
    ("GATHER", 12, "gather"),
    ("WAIT", 8, "wait"),
    ("WAITFOR", 10, "wait_for"),
    ("TIMEOUT", 18, "timeout"),
    ("SHIELD", 6, "shield"),
    ("ASCOMP", 7, "as_completed"),
    ("TG", 22, "Task groups"),
    ("LOCK", 10, "Lock"),
    ("EVENT", 5, "Event"),
    ("COND", 10, "Condition"),
    ("SEM", 9, "Semaphore"),
    ("BARR", 8, "Barrier"),
    ("QUEUE", 18, "Queues"),
    ("EXEC", 13, "Executors and threads"),
    ("RUNNER", 10, "run and Runner"),
    ("DEBUG", 5, "Debug mode"),
    ("CTX", 8, "Context variables"),
    ("INTRO", 9, "Introspection"),
    ("GEN", 9, "Generators"),
    ("EAGER", 8, "Eager tasks"),
    ("STREAM", 27, "Streams"),
    ("SERVER", 12, "Servers"),
    ("TRANS", 17, "What lies below streams"),
    ("DGRAM", 8, "Datagrams"),
    ("UNIX", 7, "Unix sockets and pipes"),
    ("PROC", 19, "Processes"),
    ("SIG", 7, "Signals"),
    ("PORT", 11, "What only stacks can show"),
];

/// What is about parts that corio does not have yet.
const LATER: &str = "INTRO-03 to -06";

/// The faults of real systems that have tests named after them.
const FAULTS: &[&str] = &[
    "d1", "d7", "d8", "e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9", "e10", "b1", "b2", "b3", "b4", "b5", "b6",
    "b7", "b8", "b9", "b10", "b11", "b12", "b13", "b14", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10",
    "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8",
];

const CHAPTER: &str = "docs/book/from-python.md";
const PAGE: &str = "docs/conformance.md";
const HEADING: &str = "## Departures, line by line";

/// The area and the line.
type Id = (String, u32);

/// The ids in a text: `LOCK-03`, and after one of these `-04` for the same area, with `to` before it for a range.
fn ids(text: &str) -> Vec<Id> {
    let mut found: Vec<Id> = Vec::new();
    let (mut open, mut range) = (false, false);
    for word in text.split_whitespace() {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '-');
        let (area, number) = word.rsplit_once('-').unwrap_or((word, ""));
        let number = (number.len() == 2).then(|| number.parse::<u32>().ok()).flatten();
        match number {
            Some(n) if AREAS.iter().any(|(name, ..)| *name == area) => found.push((area.to_owned(), n)),
            Some(n) if area.is_empty() && open => {
                let (area, last) = found.last().cloned().expect("an id before");
                let first = if range { last + 1 } else { n };
                found.extend((first..=n).map(|n| (area.clone(), n)));
            }
            _ => {
                open &= ["and", "to"].contains(&word);
                range = word == "to";
                continue;
            }
        }
        (open, range) = (true, false);
    }
    found
}

/// The ids in a test's name: `lock_03_04_..`, or `lock03`.
fn ids_of_name(name: &str) -> Vec<Id> {
    let mut found: Vec<Id> = Vec::new();
    let mut area: Option<String> = None;
    for word in name.split('_') {
        let digits = word.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let (letters, digits) = word.split_at(word.len() - digits.len());
        let known = AREAS.iter().find(|(name, ..)| name.to_lowercase() == letters).map(|(name, ..)| (*name).to_owned());
        if !letters.is_empty() {
            area = known;
        }
        if let (Some(area), 2, Ok(n)) = (&area, digits.len(), digits.parse()) {
            found.push((area.clone(), n));
        } else if letters.is_empty() || !digits.is_empty() {
            area = None;
        }
    }
    found
}

/// One test: where it is, what it says and what it cites.
struct Test {
    file: String,
    name: String,
    doc: String,
    ids: BTreeSet<Id>,
}

/// The tests of a file, with their doc comments.
fn tests_of(text: &str) -> Vec<Test> {
    let mut tests = Vec::new();
    let (mut doc, mut is_test) = (String::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(said) = line.strip_prefix("///") {
            doc.push_str(said);
            continue;
        }
        if line.starts_with("#[") {
            is_test |= line == "#[test]";
            continue;
        }
        if let Some(name) = line.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).filter(|_| is_test) {
            let ids = ids(&doc).into_iter().chain(ids_of_name(name)).collect();
            tests.push(Test { file: String::new(), name: name.to_owned(), doc: doc.trim().to_owned(), ids });
        }
        (doc, is_test) = (String::new(), false);
    }
    tests
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn all_tests() -> Vec<Test> {
    fn visit(directory: PathBuf, tests: &mut Vec<Test>) {
        let mut paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                visit(path, tests);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let file = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                let found = tests_of(&fs::read_to_string(&path).unwrap());
                tests.extend(found.into_iter().map(|test| Test { file: file.clone(), ..test }));
            }
        }
    }
    let mut tests = Vec::new();
    visit(root().join("tests"), &mut tests);
    visit(root().join("src"), &mut tests);
    tests
}

/// A row of the table of departures: which lines, what corio does, and the tests that show it.
struct Departure {
    ids: Vec<Id>,
    shown_by: Vec<String>,
}

fn departures(chapter: &str) -> Vec<Departure> {
    let section = chapter.split(HEADING).nth(1).unwrap_or_else(|| panic!("{CHAPTER} has no heading {HEADING:?}"));
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() == 4 && cells.iter().all(|cell| !cell.is_empty()), "{CHAPTER}: not complete: {row}");
        let ids = ids(cells[0]);
        assert!(!ids.is_empty(), "{CHAPTER}: no id in {row}");
        Departure { ids, shown_by: cells[3].split('`').skip(1).step_by(2).map(str::to_owned).collect() }
    })
    .collect()
}

#[test]
fn every_line_is_shown_or_listed() {
    let tests = all_tests();
    let departures = departures(&fs::read_to_string(root().join(CHAPTER)).unwrap());
    let mut wrong = Vec::new();

    let mut shown: BTreeMap<Id, Vec<&str>> = BTreeMap::new();
    for test in &tests {
        for id in &test.ids {
            shown.entry(id.clone()).or_default().push(&test.name);
        }
    }
    let mut listed: BTreeSet<Id> = BTreeSet::new();
    for departure in &departures {
        for name in departure.shown_by.iter().filter(|name| tests.iter().all(|test| test.name != **name)) {
            wrong.push(format!("{CHAPTER}: there is no test {name}"));
        }
        for id in &departure.ids {
            if !listed.insert(id.clone()) {
                wrong.push(format!("{CHAPTER}: {}-{:02} stands there twice", id.0, id.1));
            }
            let by = shown.get(id).map_or(&[][..], Vec::as_slice);
            if !by.is_empty() && !departure.shown_by.iter().any(|name| by.contains(&&**name)) {
                wrong.push(format!("{CHAPTER}: {}-{:02} is shown by {by:?}: name one there", id.0, id.1));
            }
        }
    }
    let known: BTreeSet<Id> =
        AREAS.iter().flat_map(|(area, count, _)| (1..=*count).map(|n| ((*area).to_owned(), n))).collect();
    for (area, n) in shown.keys().chain(&listed).filter(|id| !known.contains(*id)) {
        wrong.push(format!("{area}-{n:02}: there is no such line"));
    }
    let later: BTreeSet<Id> = ids(LATER).into_iter().collect();
    for id in &known {
        let found = shown.contains_key(id) || listed.contains(id);
        if !found && !later.contains(id) {
            wrong.push(format!("{}-{:02}: no test cites it, and it is not among the departures", id.0, id.1));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

impl Test {
    /// What it shows: what its comment says after the ids, or its name as words.
    fn shows(&self, id: &Id) -> String {
        let own = self.doc.find(&format!("{}-{:02}", id.0, id.1)).unwrap_or(0);
        match self.doc[own..].split_once(": ").filter(|_| ids(&self.doc).contains(id)) {
            Some((_, said)) => {
                // Up to where the text turns to the next line.
                let own: Vec<&str> = said.split_whitespace().take_while(|word| ids(word).is_empty()).collect();
                own.join(" ").replace('|', "\\|")
            }
            None => {
                let words: Vec<&str> = self.name.split('_').collect();
                let digits = |word: &str| word.trim_start_matches(|c: char| c.is_ascii_lowercase()).to_owned();
                let is_area = |word: &str| AREAS.iter().any(|(area, ..)| area.to_lowercase() == word);
                let is_tag = |n: usize| {
                    let (number, before) = (digits(words[n]), &words[n][..words[n].len() - digits(words[n]).len()]);
                    let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
                    let next_is_number = words.get(n + 1).is_some_and(|next| next.len() == 2 && digits(next) == *next);
                    is_number && (before.len() <= 1 || is_area(before)) || is_area(words[n]) && next_is_number
                };
                let kept: Vec<&str> = (0..words.len()).filter(|n| !is_tag(*n)).map(|n| words[n]).collect();
                kept.join(" ")
            }
        }
    }
}

/// The page with a table of all lines.
fn page(tests: &[Test], departures: &[Departure]) -> String {
    let mut text = String::from(
        "# asyncio, line by line\n\n*Which test shows which behaviour of asyncio?*\n\n\
         Each line is one observable behaviour, numbered by area. Where corio departs from asyncio, the line stands also in\n\
         [the list of departures](book/from-python.md#departures-line-by-line), with the reason. \
         `cargo test --test conformance` checks that no\nline is left out; `BLESS=1` writes this page.\n",
    );
    for (area, count, title) in AREAS {
        text += &format!("\n## {title}\n\n| Line | What is so | Shown in |\n|---|---|---|\n");
        for n in 1..=*count {
            let id = ((*area).to_owned(), n);
            let departure = departures.iter().find(|departure| departure.ids.contains(&id));
            let mut by: Vec<&Test> = tests.iter().filter(|test| test.ids.contains(&id)).collect();
            if let (true, Some(departure)) = (by.is_empty(), departure) {
                by.extend(tests.iter().filter(|test| departure.shown_by.contains(&test.name)));
            }
            let best = by.iter().find(|test| ids(&test.doc).contains(&id)).or(by.first());
            let departs = departure.is_some();
            let (what, file) = match best {
                Some(test) => (test.shows(&id), format!("`{}`", test.file)),
                None if departs => ("there is nothing to show".to_owned(), "—".to_owned()),
                None => continue,
            };
            let files: BTreeSet<String> = by.iter().map(|test| format!("`{}`", test.file)).collect();
            let others: String =
                files.iter().filter(|other| **other != file).map(|other| format!(", {other}")).collect();
            let mark = if departs { " (departs)" } else { "" };
            text += &format!("| {area}-{n:02}{mark} | {what} | {file}{others} |\n");
        }
    }
    text
}

#[test]
fn the_page_is_current() {
    let tests = all_tests();
    let departures = departures(&fs::read_to_string(root().join(CHAPTER)).unwrap());
    let (path, new) = (root().join(PAGE), page(&tests, &departures));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &new).unwrap();
    }
    let old = fs::read_to_string(&path).unwrap_or_default();
    let differs = old.lines().zip(new.lines()).find(|(old, new)| old != new);
    assert!(old == new, "{PAGE} is not current: {differs:?}; BLESS=1 rewrites it");
}

#[test]
fn every_fault_has_its_test() {
    // `e1` is a word of `e1_a_holder_..`, `e01_..` and `a_name_e1`.
    let words: BTreeSet<String> = all_tests()
        .iter()
        .flat_map(|test| test.name.split('_').map(str::to_owned).collect::<Vec<_>>())
        .map(|word| match word.split_at_checked(2) {
            Some((start, rest)) if start.ends_with('0') && !rest.is_empty() => format!("{}{rest}", &start[..1]),
            _ => word,
        })
        .collect();
    for fault in FAULTS {
        assert!(words.contains(*fault), "{fault}: there is no test of that name");
    }
}

#[test]
fn the_reading_of_ids_is_right() {
    let text = |ids: Vec<Id>| ids.iter().map(|(area, n)| format!("{area}-{n:02}")).collect::<Vec<_>>().join(" ");
    assert_eq!(
        text(ids("LOCK-03, -04 and SEM-02 to -04: it is so -07. (UTF-16) TASK-15, -17")),
        "LOCK-03 LOCK-04 SEM-02 SEM-03 SEM-04 TASK-15 TASK-17"
    );
    assert_eq!(text(ids_of_name("r3_task_15_17_18_a_lock_of_20_and_loop07")), "TASK-15 TASK-17 TASK-18 LOOP-07");
    let tests = tests_of(
        "/// LOOP-01: this\n/// and FUT-02.\n#[test]\nfn a() {\n}\n/// LOOP-03\nfn no() {}\n#[test]\nfn lock_01_b() {",
    );
    let found: Vec<_> = tests.iter().map(|t| (t.name.as_str(), text(t.ids.iter().cloned().collect()))).collect();
    assert_eq!(found, [("a", "FUT-02 LOOP-01".to_owned()), ("lock_01_b", "LOCK-01".to_owned())]);
}
