//! The same small programs in Python and in Rust print the same lines at the same times.
//!
//! `tests/parity/` holds them side by side: `locks.py` and `locks.rs` have functions of the same names, in the same order.
//! What asyncio prints is kept in `tests/parity/expected/`, so the comparison needs no Python; where a `python3` of the
//! same version is found, it is asked again. Both run on a virtual clock, whose time begins each line.
//!
//! Where corio departs on purpose, the list of scenarios says `differs because` and why, and the file
//! `expected/*.departures.txt` has what corio prints instead.
//!
//! `BLESS=1 cargo test --test parity` asks `python3` and writes the files anew; read the difference before you commit it.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Once};
use std::time::Instant;
use std::{env, error, fmt, fs};

use corio::{Runner, errors, is_cancelled};

// ---- the stage ---------------------------------------------------------------------------------

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static AWAITED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Writes a line of the transcript: the time on the loop's clock, and a text as `format!` makes it.
macro_rules! say {
    ($($argument:tt)*) => { $crate::write_line(format_args!($($argument)*)) };
}

fn write_line(text: fmt::Arguments<'_>) {
    let time = BEGAN.get().map_or(0.0, |began| (corio::now() - began).as_secs_f64());
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

/// The next record of the log that contains `text` is said, as an exception handler of asyncio would.
fn listen_for(text: &'static str) {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        log::set_logger(&Listener).expect("nobody else logs here");
        log::set_max_level(log::LevelFilter::Warn);
    });
    AWAITED.set(Some(text));
}

struct Listener;

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if let Some(text) = AWAITED.get()
            && record.args().to_string().contains(text)
        {
            AWAITED.set(None);
            say!("reported: {text}");
        }
    }

    fn flush(&self) {}
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

areas! { order callbacks tasks cancellation timeouts groups generators streams }

/// What a scenario prints. How it ends, if not well, is the last line.
fn play(scenario: &Scenario, in_a_loop: bool) -> String {
    BEGAN.set(None);
    let ended = if in_a_loop {
        Runner::new().virtual_clock().ctrl_c(false).run(|| {
            BEGAN.set(Some(corio::now()));
            (scenario.play)()
        })
    } else {
        (scenario.play)()
    };
    AWAITED.set(None);
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
    for (area, said) in python().expect("only python3 can say what asyncio does") {
        fs::write(directory().join("expected").join(format!("{area}.txt")), said).unwrap();
    }
});

// ---- the comparison ----------------------------------------------------------------------------

/// corio prints what Python printed, or departs from it as it is written down.
fn check(area: &Area) {
    let kept = kept(area.name);
    let names: Vec<_> = area.scenarios.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names, kept.names(), "{0}.rs and {0}.py have the same scenarios in the same order", area.name);

    let played: Vec<_> = area.scenarios.iter().map(|scenario| play(scenario, area.name != "generators")).collect();
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

// ---- Python ------------------------------------------------------------------------------------

/// Whoever changes a scenario in Python sees here that the kept transcripts are old.
#[test]
fn python_still_says_the_same() {
    let version = match Command::new("python3").arg("--version").output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => return skipped("there is no python3, so only the kept transcripts were compared"),
    };
    let title = kept(AREAS[0].name).title;
    let kept_version = title.trim_start_matches("# ");
    if !version.starts_with(&format!("{kept_version}.")) {
        return skipped(&format!("the transcripts are those of {kept_version}, and this is {version}"));
    }
    let said = python().unwrap();
    let names = |areas: Vec<&str>| areas.join(" ");
    let (theirs, ours) = (said.iter().map(|(area, _)| &**area), AREAS.iter().map(|area| area.name));
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
fn python() -> io::Result<Vec<(String, String)>> {
    // Without the settings of whoever runs this.
    let output = Command::new("python3").args(["-E", "-s"]).arg(directory().join("harness.py")).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = String::from_utf8(output.stdout).map_err(io::Error::other)?;
    let areas = text.split("### ").skip(1).filter_map(|area| area.split_once('\n'));
    Ok(areas.map(|(name, said)| (name.to_owned(), said.to_owned())).collect())
}

/// Past the test harness, which hides what tests that pass print.
fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
}
