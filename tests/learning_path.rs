//! The learning path is complete: each example begins with what a reader wants to know first and is short, the tables in the
//! documents are made of those headers, and no topic is without an example.
//!
//! `BLESS=1 cargo test --test learning_path` rewrites the tables.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The parts of the path, and the numbers of the examples in them.
const PARTS: [(&str, &[RangeInclusive<u32>]); 10] = [
    ("A. Waiting", &[1..=4]),
    ("B. Pausing", &[5..=8]),
    ("C. The loop", &[9..=17]),
    ("D. Several at once", &[18..=25, 57..=58]),
    ("E. Sharing", &[26..=32]),
    ("F. Streams, iterators, scopes", &[33..=36]),
    ("G. Blocking and processor work", &[37..=40]),
    ("H. Network", &[41..=48]),
    ("I. Looking", &[49..=52, 59..=60]),
    ("J. The other way to pause", &[53..=56]),
];

/// How many topics each letter has.
const TOPICS: [(char, u32); 4] = [('A', 12), ('B', 9), ('C', 28), ('D', 26)];

/// More lines of code than this are too many to be a lesson.
const LINES: usize = 64;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

struct Example {
    name: String,
    text: String,
}

impl Example {
    fn number(&self) -> u32 {
        self.name[1..3].parse().expect("two digits")
    }

    /// A part of the header, without its name.
    fn part(&self, name: &str) -> String {
        let start = format!("**{name}");
        let lines = self.text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
        let mut part = lines.skip_while(|line| !line.starts_with(&start));
        let first = part.next().unwrap_or_else(|| panic!("the header of {} lacks {name:?}", self.name));
        let rest = part.take_while(|line| !line.is_empty() && !line.starts_with("**"));
        let first = first.split_once("** ").unwrap_or_else(|| panic!("{}: {name} is empty", self.name)).1;
        [first].into_iter().chain(rest).collect::<Vec<_>>().join(" ")
    }

    /// Which of the eight questions it answers.
    fn shows(&self) -> String {
        let shows = self.part("Shows");
        let is_question = |word: &&str| word.len() == 2 && word.starts_with('V');
        let words = shows.split(|c: char| !c.is_alphanumeric()).collect::<Vec<_>>();
        if let [from, "to", to, ..] = words[..] {
            return format!("{from} to {to}");
        }
        let questions = words.into_iter().filter(is_question).collect::<BTreeSet<_>>();
        questions.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// The topics that its header begins to list. What is only mentioned further on is not covered.
    fn topics(&self) -> Vec<String> {
        let covers = self.part("Covers");
        let mut topics = Vec::new();
        for word in covers.split(' ') {
            let topic = word.trim_end_matches([',', '.', ':', ';']);
            let is_topic = topic.starts_with(|c: char| c.is_ascii_uppercase()) && topic[1..].parse::<u32>().is_ok();
            if !is_topic {
                break;
            }
            topics.push(topic.to_owned());
            if !word.ends_with(',') {
                break;
            }
        }
        topics
    }
}

/// The examples of the path, in their order.
fn examples() -> Vec<Example> {
    let mut examples: Vec<Example> = fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path))
        .filter(|(name, _)| name.starts_with('e') && name[1..].starts_with(|c: char| c.is_ascii_digit()))
        .map(|(name, path)| Example { name, text: fs::read_to_string(path).unwrap() })
        .collect();
    examples.sort_by(|one, other| one.name.cmp(&other.name));
    examples
}

#[test]
fn every_example_says_what_it_is_for() {
    let examples = examples();
    assert!(examples.len() > 60, "{}", examples.len());
    for example in examples {
        let name = &example.name;
        for part in ["Lesson", "Predict", "Shows", "Covers"] {
            assert!(!example.part(part).is_empty());
        }
        assert!(example.part("Predict").contains('?'), "{name} asks nothing");
        assert!(example.text.contains(&format!("--example {name}`")), "{name} does not say how to run it");
        let lines = example.text.lines().map(str::trim);
        let code = lines.filter(|line| !line.is_empty() && !line.starts_with("//")).count();
        assert!(code <= LINES, "{name} has {code} lines of code, which is too long to be a lesson");
    }
}

/// `docs/README.md` lists the examples by parts, with their lessons and with what they show.
#[test]
fn the_path_is_listed() {
    let examples = examples();
    let mut tables = String::new();
    let mut listed = 0;
    for (part, numbers) in PARTS {
        tables += &format!("\n### {part}\n\n| Example | Lesson | Shows |\n|---|---|---|\n");
        for example in &examples {
            if numbers.iter().any(|numbers| numbers.contains(&example.number())) {
                listed += 1;
                let (name, lesson) = (&example.name, example.part("Lesson"));
                tables += &format!("| [`{name}`](../examples/{name}.rs) | {lesson} | {} |\n", example.shows());
            }
        }
    }
    assert_eq!(listed, examples.len(), "each example belongs to one part");
    let path = root().join("docs/README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("<!-- learning path -->\n").unwrap();
    let (_, after) = rest.split_once("\n<!-- end of path -->").unwrap();
    keep(path, &text, &format!("{before}<!-- learning path -->\n{tables}\n<!-- end of path -->{after}"));
}

/// `docs/topics.md` has all topics, and says which examples cover them.
#[test]
fn every_topic_has_an_example() {
    let examples = examples();
    let path = root().join("docs/topics.md");
    let text = fs::read_to_string(&path).unwrap();
    let expected: Vec<String> =
        TOPICS.into_iter().flat_map(|(letter, last)| (1..=last).map(move |n| format!("{letter}{n}"))).collect();
    let (mut new, mut found) = (String::new(), Vec::new());
    for line in text.lines() {
        match line.split('|').map(str::trim).collect::<Vec<_>>()[..] {
            ["", topic, what, _, ""] if topic.len() > 1 && topic[1..].parse::<u32>().is_ok() => {
                let covering =
                    examples.iter().filter(|example| example.topics().iter().any(|covered| covered == topic));
                let names = covering.map(|example| format!("`{}`", example.name)).collect::<Vec<_>>().join(", ");
                assert!(!names.is_empty(), "no example covers {topic}: {what}");
                new += &format!("| {topic} | {what} | {names} |\n");
                found.push(topic.to_owned());
            }
            _ => new += &format!("{line}\n"),
        }
    }
    assert_eq!(found, expected);
    for example in &examples {
        for topic in example.topics() {
            assert!(expected.contains(&topic), "{} covers {topic}, which is none", example.name);
        }
    }
    keep(path, &text, &new);
}

fn keep(path: PathBuf, text: &str, new: &str) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, new).unwrap();
    } else {
        assert!(text == new, "{} is old; BLESS=1 rewrites it", path.display());
    }
}
