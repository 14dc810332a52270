//! The same small programs in Python and in Rust print the same lines at the same times.
//!
//! `tests/parity/` holds them side by side: `locks.py` and `locks.rs` have functions of the same names, in the same order.
//! What asyncio prints is kept in `tests/parity/expected/`, so the comparison needs no Python; where a `python3` of the
//! same version is found, it is asked again. Both run on a virtual clock, whose time begins each line.
//!
//! Where corio departs on purpose, the list of scenarios says `differs because` and why, and the file
//! `expected/*.departures.txt` has what corio prints instead.
//!
//! The areas `scripts` and `trees` are random programs: one source, interpreted in both languages. Some are kept, and others
//! are tried where `python3` is found.
//!
//! `BLESS=1 cargo test --test parity` asks `python3` and writes the files anew; read the difference before you commit it.

#![cfg(feature = "observe")]

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Instant;
use std::{env, error, fmt, fs};

use corio::observe::Names;
use corio::observe::event::{Event, Record};
use corio::{Runner, errors, is_cancelled};

// ---- the stage ---------------------------------------------------------------------------------

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    /// What the end of a run that is stuck brings is not compared.
    static STUCK: Cell<bool> = const { Cell::new(false) };
}

/// Writes a line of the transcript: the time on the loop's clock, and a text as `format!` makes it.
macro_rules! say {
    ($($argument:tt)*) => { $crate::write_line(format_args!($($argument)*)) };
}

fn write_line(text: fmt::Arguments<'_>) {
    // Divided as Python does it, so that both round it the same way.
    let time = BEGAN.get().map_or(0.0, |began| (corio::now() - began).as_nanos() as f64 / 1e9);
    if STUCK.get() {
        return;
    }
    LINES.with_borrow_mut(|lines| lines.push(format!("{time:5.2}  {text}")));
}

/// An error, in words that both languages share.
fn kind(error: &io::Error) -> String {
    let members: Vec<_> = errors(error).collect();
    if members.len() > 1 {
        return members.into_iter().map(kind).collect::<Vec<_>>().join(" + ");
    }
    match error.kind() {
        io::ErrorKind::TimedOut => "timed out".to_owned(),
        io::ErrorKind::Deadlock => "stuck".to_owned(),
        _ if is_cancelled(error) => "cancelled".to_owned(),
        _ => error.to_string(),
    }
}

fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

/// What goes wrong in a scenario.
#[derive(Debug)]
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Failure {}

/// Python: `Failure(text)`.
fn failure(text: impl Into<String>) -> io::Error {
    io::Error::other(Failure(text.into()))
}

/// Python: `isinstance(error, Failure)`.
fn is_failure(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Failure>())
}

// ---- the scenarios -----------------------------------------------------------------------------

struct Scenario {
    name: &'static str,
    play: fn() -> io::Result<()>,
    /// Why corio does something else; empty where it does the same.
    departure: &'static str,
}

macro_rules! scenarios {
    ($($name:ident $(differs because $why:literal)?),* $(,)?) => {
        pub(crate) const SCENARIOS: &[$crate::Scenario] =
            &[$($crate::Scenario { name: stringify!($name), play: $name, departure: concat!("", $($why)?) }),*];
    };
}

struct Area {
    name: &'static str,
    scenarios: &'static [Scenario],
}

macro_rules! areas {
    ($($name:ident)*) => {
        #[path = "parity"]
        mod scenarios {
            $(pub(crate) mod $name;)*
            pub(crate) mod scripts;
        }

        const AREAS: &[Area] = &[$(Area { name: stringify!($name), scenarios: scenarios::$name::SCENARIOS }),*];

        $(
            #[test]
            fn $name() {
                check(&Area { name: stringify!($name), scenarios: scenarios::$name::SCENARIOS });
            }
        )*
    };
}

areas! {
    order callbacks tasks cancellation timeouts groups gathering waiting locks queues futures contexts threads generators
    streams network programs
}

/// What a scenario prints. How it ends, if not well, is the last line.
fn play(area: &str, scenario: impl FnOnce() -> io::Result<()>) -> String {
    BEGAN.set(None);
    STUCK.set(false);
    let ended = if area == "generators" {
        scenario() // without a loop
    } else {
        let watch =
            |record: &Record, _: &Names| STUCK.set(STUCK.get() || matches!(record.event, Event::Deadlock { .. }));
        Runner::new().virtual_clock().ctrl_c(false).observer(watch).run(|| {
            // What the kernel and other threads do takes real time, which no transcript can show.
            BEGAN.set((!["network", "threads"].contains(&area)).then(corio::now));
            scenario()
        })
    };
    let mut lines = LINES.take();
    match ended {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::Deadlock => {
            lines.push("       stuck: everything waits, and for nothing".to_owned());
        }
        Err(error) => lines.push(format!("       failed: {}", kind(&error))),
    }
    lines.join("\n")
}

// ---- what is kept ------------------------------------------------------------------------------

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity")
}

fn blessing() -> bool {
    env::var_os("BLESS").is_some()
}

/// A file of transcripts: its first line, and what it says of each scenario.
struct Transcripts {
    title: String,
    scenes: Vec<(String, String)>,
}

impl Transcripts {
    fn parse(text: &str) -> Transcripts {
        let mut sections = text.split("\n== ");
        let title = sections.next().unwrap_or_default().trim_end().to_owned();
        let scene = |section: &str| {
            let (name, lines) = section.split_once('\n').unwrap_or((section, ""));
            (name.to_owned(), lines.trim_end().to_owned())
        };
        Transcripts { title, scenes: sections.map(scene).collect() }
    }

    fn kept(file: &str) -> Transcripts {
        Transcripts::parse(&fs::read_to_string(directory().join("expected").join(file)).unwrap_or_default())
    }

    fn names(&self) -> Vec<&str> {
        self.scenes.iter().map(|(name, _)| &**name).collect()
    }

    fn of(&self, name: &str) -> &str {
        self.scenes.iter().find(|(scene, _)| scene == name).map_or("", |(_, lines)| lines)
    }
}

/// What Python printed when the files were made.
fn kept(area: &str) -> Transcripts {
    if blessing() {
        LazyLock::force(&BLESSED);
    }
    Transcripts::kept(&format!("{area}.txt"))
}

static BLESSED: LazyLock<()> = LazyLock::new(|| {
    for (area, said) in python(&[]).expect("only python3 can say what asyncio does") {
        fs::write(directory().join("expected").join(format!("{area}.txt")), said).unwrap();
    }
});

// ---- the comparison ----------------------------------------------------------------------------

/// corio prints what Python printed, or departs from it as it is written down.
fn check(area: &Area) {
    let kept = kept(area.name);
    let names: Vec<_> = area.scenarios.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names, kept.names(), "{0}.rs and {0}.py have the same scenarios in the same order", area.name);

    let played: Vec<_> = area.scenarios.iter().map(|scenario| play(area.name, scenario.play)).collect();
    let departures = departures(area, &played);
    let mut wrong = Vec::new();
    for (scenario, played) in area.scenarios.iter().zip(&played) {
        let python = kept.of(scenario.name);
        if scenario.departure.is_empty() {
            wrong.extend(difference(&format!("{}: Python", scenario.name), python, "corio", played));
        } else if played == python {
            wrong.push(format!("{}: does what Python does, and says that it does not", scenario.name));
        } else {
            let expected = departures.of(scenario.name);
            let played = format!("({})\n{played}", scenario.departure);
            wrong.extend(difference(&format!("{}: kept", scenario.name), expected, "corio", &played));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", area.name, wrong.join("\n"));
}

/// What is written down of what corio does instead.
fn departures(area: &Area, played: &[String]) -> Transcripts {
    let file = format!("{}.departures.txt", area.name);
    if blessing() {
        let scenes = area.scenarios.iter().zip(played).filter(|(scenario, _)| !scenario.departure.is_empty());
        let scenes: Vec<_> =
            scenes.map(|(scene, lines)| format!("\n== {}\n({})\n{lines}\n", scene.name, scene.departure)).collect();
        let path = directory().join("expected").join(&file);
        if scenes.is_empty() {
            let _ = fs::remove_file(&path);
        } else {
            fs::write(path, format!("# corio, where it departs from asyncio\n{}", scenes.concat())).unwrap();
        }
    }
    let kept = Transcripts::kept(&file);
    let departing = area.scenarios.iter().filter(|scenario| !scenario.departure.is_empty());
    assert_eq!(kept.names(), departing.map(|scenario| scenario.name).collect::<Vec<_>>(), "{file}: other scenarios");
    kept
}

/// Two transcripts side by side, if they are not the same.
fn difference(left: &str, ours: &str, right: &str, theirs: &str) -> Option<String> {
    let indented = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    (ours != theirs).then(|| format!("{left}\n{}  {right}\n{}", indented(ours), indented(theirs)))
}

// ---- random programs ---------------------------------------------------------------------------

/// The programs whose transcripts are kept.
#[test]
fn scripts() {
    check_scripts("scripts", &kept("scripts"));
}

/// Groups in groups, of which only is promised what happens when.
#[test]
fn trees() {
    check_scripts("trees", &kept("trees"));
}

/// Programs that nobody has seen before; `CORIO_SLOW_TESTS=1` tries more of them.
#[test]
fn other_scripts() {
    if python_is_here() {
        let slow = env::var_os("CORIO_SLOW_TESTS").is_some_and(|value| value == "1");
        for area in ["scripts", "trees"] {
            let said = python(&[area, "1000", if slow { "2000" } else { "1100" }]).unwrap();
            check_scripts(area, &Transcripts::parse(&said[0].1));
        }
    }
}

fn check_scripts(area: &str, transcripts: &Transcripts) {
    assert!(!transcripts.scenes.is_empty());
    let mut wrong = Vec::new();
    for (name, scene) in &transcripts.scenes {
        let source = scene.lines().take_while(|line| line.starts_with(|c: char| c.is_ascii_alphabetic()));
        let (source, said): (Vec<_>, _) = (source.collect(), scene.lines());
        let mut said: Vec<_> = said.skip(source.len()).collect();
        let words = source.iter().filter_map(|line| line.split_once(": "));
        let words = words.map(|(name, words)| (name, words.split("; ").filter(|word| !word.is_empty()).collect()));
        let program: Vec<_> = words.collect();
        let played = play(area, || scenarios::scripts::play(&program));
        let mut played: Vec<_> = played.lines().collect();
        if area == "trees" {
            for lines in [&mut said, &mut played] {
                lines.sort_by(|a, b| a.len().cmp(&b.len()).then(a.cmp(b)));
            }
        }
        let (said, played) = (said.join("\n"), played.join("\n"));
        let name = format!("{name}\n    {}\n  Python", source.join("\n    "));
        wrong.extend(difference(&name, &said, "corio", &played));
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), transcripts.scenes.len(), wrong[0]);
}

// ---- Python ------------------------------------------------------------------------------------

/// Whether the kept transcripts are those of the Python that is here; says that a test was left out if not.
fn python_is_here() -> bool {
    let version = match Command::new("python3").arg("--version").output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => return skipped("there is no python3, so only the kept transcripts were compared"),
    };
    let title = kept(AREAS[0].name).title;
    let kept_version = title.trim_start_matches("# ");
    if !version.starts_with(&format!("{kept_version}.")) {
        return skipped(&format!("the transcripts are those of {kept_version}, and this is {version}"));
    }
    true
}

/// Whoever changes a scenario in Python sees here that the kept transcripts are old.
#[test]
fn python_still_says_the_same() {
    if !python_is_here() {
        return;
    }
    let said = python(&[]).unwrap();
    let names = |areas: Vec<&str>| areas.join(" ");
    let (theirs, ours) =
        (said.iter().map(|(area, _)| &**area), AREAS.iter().map(|area| area.name).chain(["scripts", "trees"]));
    assert_eq!(names(theirs.collect()), names(ours.collect()), "harness.py and this file list the same areas");
    for (area, said) in said {
        let (said, kept) = (Transcripts::parse(&said), kept(&area));
        assert_eq!(said.title, kept.title);
        assert_eq!(said.names(), kept.names(), "{area}: to write the files anew: BLESS=1");
        for (name, lines) in &said.scenes {
            if let Some(difference) = difference(&format!("{name}: kept"), kept.of(name), "Python", lines) {
                panic!("{area}: to write the files anew: BLESS=1\n{difference}");
            }
        }
    }
}

/// What `harness.py` prints: the areas, and the transcripts of each.
fn python(arguments: &[&str]) -> io::Result<Vec<(String, String)>> {
    // Without the settings of whoever runs this.
    let mut command = Command::new("python3");
    let output = command.args(["-E", "-s"]).arg(directory().join("harness.py")).args(arguments).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = String::from_utf8(output.stdout).map_err(io::Error::other)?;
    let areas = text.split("### ").skip(1).filter_map(|area| area.split_once('\n'));
    Ok(areas.map(|(name, said)| (name.to_owned(), said.to_owned())).collect())
}

/// Past the test harness, which hides what tests that pass print.
fn skipped(why: &str) -> bool {
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
    false
}
