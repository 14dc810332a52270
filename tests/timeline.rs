//! The page of a run: what is in it, whatever the run was, and what a browser shows of it.
//!
//! `tests/golden.rs` holds the pages of all examples to the same rules.

#![cfg(feature = "observe")]
#![allow(dead_code)] // the examples' own `main` functions, and what other tests use of the common parts
#![allow(clippy::duplicate_mod)] // an example has its `mod common`

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs, io, process};

use corio::observe::state::Stage;
use corio::observe::{Quiz, Recording, Replay, mark};
use corio::{Builder, Runner, say, secs, sleep, spawn, yield_now};

#[path = "common/browser.rs"]
mod browser;
#[path = "../examples/common/mod.rs"]
mod common;
#[path = "../examples/e11_tasks.rs"]
mod e11_tasks;
#[path = "common/page.rs"]
mod page;
#[path = "common/mod.rs"]
mod support;

use browser::Browser;

fn record(runner: Runner, program: impl FnOnce() -> io::Result<()>) -> Recording {
    let recording = Recording::new();
    runner.observer(recording.clone()).run(program).unwrap();
    recording
}

/// What a name or a line may be, if somebody means it badly.
const HOSTILE: [&str; 5] = [
    "</script><script>document.title = 'taken'</script>",
    "<img onerror=\"document.title = 'taken'\" alt=''><!-- ",
    "\"quoted\" \\ 'quoted' & &amp; `${document.title = 'taken'}`",
    "two\nlines\tand\u{1}\u{2028} ünï©ødé 🦀",
    "]]></svg>{run}{script}",
];

/// The lanes of tasks with these names: each stands on one line.
fn hostile_lanes() -> Vec<String> {
    let one_line = r"two\nlines\tand\u{1}\u{2028} ünï©ødé 🦀";
    let names = HOSTILE.map(|name| if name.contains('\n') { one_line } else { name });
    ["loop", "main"].into_iter().chain(names).map(str::to_owned).collect()
}

fn hostile() -> io::Result<()> {
    let mut tasks = Vec::new();
    for text in HOSTILE {
        mark(text);
        tasks.push(Builder::new().name(text).spawn(move || {
            say!("{text}");
            sleep(secs(1))
        })?);
    }
    tasks.into_iter().try_for_each(|task| task.join())
}

/// Three records a turn.
fn turns(turns: u64) -> Recording {
    record(Runner::new().virtual_clock(), move || {
        let tasks: Vec<_> = (0..10).map(|_| spawn(move || (0..turns / 10).try_for_each(|_| yield_now()))).collect();
        tasks.into_iter().try_for_each(|task| task.join())
    })
}

#[test]
fn a_name_is_never_markup() {
    let recording = record(Runner::new().virtual_clock(), hostile);
    page::is_sound(&recording);
    let run = page::parts(&recording.html(), &recording);
    let names: Vec<&str> = run["lanes"].as_array().unwrap().iter().map(|lane| lane[1].as_str().unwrap()).collect();
    assert_eq!(names, hostile_lanes());
}

/// A recording of nothing, of a beginning, and of steps that are not there.
#[test]
fn there_is_a_picture_of_whatever_was_recorded() {
    page::keep_the_rules(&Recording::new());
    let recording = record(common::simulated(), e11_tasks::program);
    page::keep_the_rules(&recording);
    let (all, part) = (recording.svg(..), recording.svg(24..=33));
    assert!(all.contains(">all are created<") && !part.contains(">all are created<"));
    assert!(part.contains(">24</text>") && part.contains(">33</text>") && !part.contains(">34</text>"));
    assert!(part.contains("Step 33: main, woken by Ada.") && !part.contains("Step 4:"));
    for (steps, same) in [(recording.svg(24..34), &part), (recording.svg(0..u64::MAX), &all)] {
        assert_eq!(steps, *same);
    }
    assert!(recording.svg(1000..).contains(">45</text>"), "there is always one step");
    let long = turns(400).svg(1_000..=1_003);
    assert!(long.contains(">1000</text>") && long.contains(">1002</text>"), "{long}");
    assert!(!long.contains(">1001</text>"), "it has no room beside that of the step before");
}

/// Every example writes them, as its flags say.
#[test]
fn the_flags_of_an_example_write_the_same() {
    let recording = Recording::new();
    common::launch(common::simulated().observer(recording.clone()), e11_tasks::program).unwrap();
    let [page, picture] = [("html", recording.html()), ("svg", recording.svg(9..=45))].map(|(form, text)| {
        let file = env::temp_dir().join(format!("corio-flag-{}.{form}", process::id()));
        (file, text)
    });
    for watched in ["--quiet", "--live"] {
        let mut example = Command::new(support::example("e11_tasks"));
        let ran = example.arg("--html").arg(&page.0).arg("--svg").arg(&picture.0).args(["--steps", "9-45", watched]);
        ran.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).stdout(Stdio::null());
        assert!(ran.status().unwrap().success());
        for (file, text) in [&page, &picture] {
            assert!(fs::read_to_string(file).unwrap() == *text, "{} is another, {watched}", file.display());
            fs::remove_file(file).unwrap();
        }
    }
}

/// A flag that is not understood is not passed over, and a file that cannot be written has a name.
#[test]
fn a_wrong_flag_of_an_example_is_named() {
    for (flags, said) in [
        ("--nonsense", "there is no flag `--nonsense`; these there are:\n  --quiet"),
        ("--detail 3", "`--detail` is followed by 0, 1 or 2"),
        ("--html", "`--html` is followed by the name of a file"),
        ("--html --quiet", "`--html` is followed by the name of a file, and `--quiet` is a flag"),
        ("--svg /dev/null --steps 9-4", "`--steps` is followed by two steps, as in 9-36"),
        ("--steps 4-9", "`--steps` chooses what `--svg FILE` draws"),
        ("--live --quiz", "`--live` is for a run that is under way"),
        ("--quiet --trace /dev/null/there", "/dev/null/there cannot be written: "),
    ] {
        let ran = Command::new(support::example("e11_tasks")).args(flags.split(' ')).output().unwrap();
        let told = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.code() == Some(2) && told.starts_with(said), "{flags}: {told}");
    }
    let ran = Command::new(support::example("e11_tasks")).arg("--help").output().unwrap();
    let told = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success() && told.contains("\n  --real        on the real clock"), "{told}");
}

struct Counting;

thread_local! {
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // On a thread that ends it may be gone; nobody looks at the count there.
        let _ = ALLOCATED.try_with(|count| count.set(count.get() + layout.size() as u64));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Twice the run is twice the page, and twice the work: counted in bytes, of the page and of all that was allocated for it.
#[test]
fn a_long_run_makes_a_long_page_and_no_more() {
    let measure = |recording: &Recording| {
        let before = ALLOCATED.get();
        let page = recording.html().len() as u64;
        (recording.records().len() as u64, page, ALLOCATED.get() - before)
    };
    let (one, two) = (measure(&turns(2_000)), measure(&turns(4_000)));
    let grown = |one: u64, two: u64| two as f64 / one as f64;
    let records = grown(one.0, two.0);
    assert!((1.98..2.02).contains(&records), "{records}");
    assert!(grown(one.1, two.1) < 2.1 && grown(one.2, two.2) < 2.2, "{one:?} {two:?}");
    // Many tasks, one after the other: the states that a replay keeps have all of them.
    let replay = |tasks: u64| {
        let recording =
            record(Runner::new().virtual_clock(), move || (0..tasks).try_for_each(|_| spawn(yield_now).join()));
        let before = ALLOCATED.get();
        assert_eq!(recording.replay().steps(), recording.records().len() as u64);
        ALLOCATED.get() - before
    };
    let (one, two) = (replay(2_000), replay(4_000));
    assert!(grown(one, two) < 2.3, "{one} {two}");
    // A crowd that is ready: nobody tells at each step of all of them, or asks which is next.
    let crowd = |tasks: u64| {
        record(Runner::new().virtual_clock(), move || {
            let tasks: Vec<_> = (0..tasks).map(|_| spawn(|| sleep(secs(1)))).collect();
            tasks.into_iter().try_for_each(|task| task.join())
        })
    };
    let (small, large) = (crowd(150), crowd(300));
    let (one, two) = (measure(&small), measure(&large));
    assert!(grown(one.1, two.1) < 2.2 && grown(one.2, two.2) < 2.4, "{one:?} {two:?}");
    let quiz = |recording: &Recording| {
        let before = ALLOCATED.get();
        assert!(!Quiz::new(recording).questions().is_empty());
        ALLOCATED.get() - before
    };
    let (one, two) = (quiz(&small), quiz(&large));
    assert!(grown(one, two) < 2.4, "{one} {two}");
}

// ---- in a browser ---------------------------------------------------------------------------------------------------

/// A page on the disk, as a reader opens it.
struct Kept(PathBuf);

impl Kept {
    fn new(name: &str, recording: &Recording) -> Kept {
        let path = env::temp_dir().join(format!("corio-page-{}-{name}.html", process::id()));
        fs::write(&path, recording.html()).unwrap();
        Kept(path)
    }

    fn address(&self, fragment: &str) -> String {
        format!("file://{}{fragment}", self.0.display())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// One browser for all, since it takes a while to start.
#[test]
fn a_browser_shows_it() {
    let _watchdog = support::watchdog();
    let Some(mut browser) = Browser::start() else { return };
    follows_the_run(&mut browser);
    fits_and_has_colours(&mut browser);
    shows_hostile_names_as_they_are(&mut browser);
    opens_where_nothing_was_recorded(&mut browser);
    goes_through_a_long_run(&mut browser);
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

fn step(browser: &mut Browser) -> u64 {
    browser.value("view.step").as_u64().expect("a step")
}

/// The names of the lanes that are to be seen.
fn lanes(browser: &mut Browser) -> Vec<String> {
    browser.draw();
    let names = browser.value("[...document.querySelectorAll('.lane .name')].map((name) => name.textContent)");
    names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// From key to key, the panel says what the records say.
fn follows_the_run(browser: &mut Browser) {
    let recording = record(common::simulated(), e11_tasks::program);
    let kept = Kept::new("tasks", &recording);
    browser.open(&kept.address("#step=14"));
    let mut replay = recording.replay();
    replay.go_to(14);
    assert_eq!(browser.text("when"), "step 14 · 0.000 · Grace");
    assert_eq!(browser.text("told"), "► resume: send(None), from the top");
    assert!(browser.text("talk").contains("loop ── send(None) ──► Grace"));
    assert_eq!(browser.text("ready"), "Barbara");
    assert_eq!(browser.text("timers"), "1: Ada in 1.000");
    assert_eq!(
        browser.text("parked"),
        "main at e11_tasks.rs:34, for Ada to end\nAda at e11_tasks.rs:20, for timer 1, due 1.000"
    );
    assert_eq!(browser.text("printed"), "all are created\nHello, Ada!");
    let marked = browser.value("document.querySelector('#source .at').textContent");
    assert!(marked.as_str().unwrap().contains("Builder::new().name(name)"), "{marked}");
    // What made Grace ready: she was made.
    browser.press("c");
    assert_eq!((step(browser), browser.text("told")), (replay.record().unwrap().cause, "creates Grace".to_owned()));
    browser.press("p");
    assert_eq!(step(browser), 14);
    // Grace goes on when her timer has fired; before it, Ada does. The letters are the stepper's.
    for (key, at) in [
        ("n", 34),
        ("P", 14),
        ("s", 18),
        ("Enter", 30),
        ("o", 31),
        ("ArrowLeft", 30),
        ("e", 31),
        ("f", 32),
        ("r", 45),
        ("Home", 1),
        ("m", 8),
        ("t", 24),
        ("End", 45),
        ("p", 24),
        ("i", 24),
    ] {
        browser.press(key);
        assert_eq!(step(browser), at, "after {key}");
    }
    assert_eq!(browser.text("said"), "there is no more news of I/O");
    browser.press("?");
    assert!(browser.text("explained").starts_with("A timer is due"));
    // Every step, one after the other.
    browser.press("Home");
    for at in 1..=replay.steps() {
        replay.go_to(at);
        let (told, said) = (replay.told(), browser.text("told"));
        for line in said.lines() {
            assert!(told.contains(line.trim()), "step {at}: the page says {line:?}, the replay {told:?}");
        }
        is_what_the_panel_shows(&replay, browser);
        browser.press("ArrowRight");
    }
    // The address follows, after a moment, and leads.
    browser.value("new Promise((done) => setTimeout(done, 300))");
    assert_eq!(browser.value("location.hash"), "#step=45");
    browser.value("location.hash = '#step=33&axis=time'; new Promise((done) => setTimeout(done, 50))");
    assert_eq!((step(browser), browser.text("axis")), (33, "by time".to_owned()));
    browser.press("a");
    assert_eq!(browser.text("axis"), "by step");
    // Lanes can be put away.
    assert_eq!(lanes(browser).join(","), "loop,main,Ada,Grace,Barbara");
    browser.value("document.querySelector('[aria-label=\"hide Ada\"]').click()");
    assert_eq!(lanes(browser).join(","), "loop,main,Grace,Barbara");
    browser.press("x");
    assert_eq!(lanes(browser).join(","), "loop,Grace,Barbara", "main stands at its own resume, step 33");
    browser.press("A");
    assert_eq!(lanes(browser).join(","), "loop,main,Ada,Grace,Barbara");
    // Letters work where the slider has the focus, and arrows are its own.
    browser.value("$('slider').focus()");
    for (key, at) in [("s", 34), ("c", 27)] {
        browser.press(key);
        assert_eq!(step(browser), at, "after {key}");
    }
    // An arrow says why, and a click goes to its step.
    let (x, y) = ("xOfArrow(33)", "HEAD + 2 * ROW - 4");
    let at = browser
        .value(&format!("[{x}, {y}].map((n, i) => n + $('picture').getBoundingClientRect()[['left', 'top'][i]])"));
    let mouse =
        |kind: &str| serde_json::json!({ "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
    browser.call("Input.dispatchMouseEvent", serde_json::json!({ "type": "mouseMoved", "x": at[0], "y": at[1] }));
    assert!(browser.text("tip").contains("step 33, main: woken by Ada"), "{}", browser.text("tip"));
    browser.press("Home");
    browser.call("Input.dispatchMouseEvent", mouse("mousePressed"));
    browser.call("Input.dispatchMouseEvent", mouse("mouseReleased"));
    assert_eq!(step(browser), 33);
}

/// Who is ready, which timers are set, and who is parked, at the step of both.
fn is_what_the_panel_shows(replay: &Replay, browser: &mut Browser) {
    let (state, name) = (replay.state(), |task: u64| replay.names().task(task));
    let or = |list: Vec<String>, none: &str| if list.is_empty() { none.to_owned() } else { list.join(", ") };
    let ready = state.ready.iter().map(|task| name(*task));
    assert_eq!(browser.text("ready"), or(ready.collect(), "nobody"), "step {}", replay.step());
    let mut timers: Vec<_> = state.timers.iter().map(|(id, timer)| (timer.due, *id, timer.task)).collect();
    timers.sort_unstable();
    let timers = timers.into_iter().map(|(due, id, task)| {
        let left = due.saturating_sub(state.now) / 1_000_000;
        format!("{id}: {} in {}.{:03}", name(task), left / 1_000, left % 1_000)
    });
    assert_eq!(browser.text("timers"), or(timers.collect(), "none"), "step {}", replay.step());
    let parked = state.tasks.iter().filter(|(_, task)| matches!(task.stage, Stage::Parked(_)));
    let shown = browser.text("parked");
    let shown: Vec<String> = shown.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(shown.join(", "), or(parked.map(|(id, _)| name(*id)).collect(), "nobody"), "step {}", replay.step());
}

/// On a small screen, in the dark, and where the system has its own colours.
fn fits_and_has_colours(browser: &mut Browser) {
    // The page's own canvas is not read: that would have the browser complain.
    let colours = "(() => { const { width, height } = $('canvas'), copy = document.createElement('canvas');
        Object.assign(copy, { width, height });
        const pen = copy.getContext('2d', { willReadFrequently: true });
        pen.drawImage($('canvas'), 0, 0);
        const dots = new Uint32Array(pen.getImageData(0, 0, width, height).data.buffer);
        return [new Set(dots).size, dots[dots.length - 1]]; })()";
    let mut grounds = Vec::new();
    for (width, height, scheme, forced) in
        [(1280, 800, "light", "none"), (800, 600, "dark", "none"), (800, 600, "dark", "active")]
    {
        let size = serde_json::json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        browser.call("Emulation.setDeviceMetricsOverride", size);
        let features = serde_json::json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "forced-colors", "value": forced },
        ]);
        browser.call("Emulation.setEmulatedMedia", serde_json::json!({ "features": features }));
        browser.draw();
        let drawn = browser.value(colours);
        assert!(drawn[0].as_u64().unwrap() > 20, "something is drawn: {drawn}");
        grounds.push(drawn[1].clone());
        assert_eq!(browser.value("looks.page === looks.ink"), false, "{scheme}, forced {forced}");
        let overflow =
            "document.documentElement.scrollWidth > innerWidth || document.documentElement.scrollHeight > innerHeight";
        assert_eq!(browser.value(overflow), false, "{width} x {height}");
        assert!(browser.value("$('picture').clientHeight").as_u64().unwrap() > 300);
    }
    assert_ne!(grounds[0], grounds[1], "the dark has another ground");
}

fn shows_hostile_names_as_they_are(browser: &mut Browser) {
    let kept = Kept::new("hostile", &record(Runner::new().virtual_clock(), hostile));
    browser.open(&kept.address(""));
    browser.press("End");
    assert_eq!(lanes(browser), hostile_lanes());
    assert_eq!(browser.value("$('printed').textContent"), HOSTILE.join("\n"));
    assert_eq!(browser.value("document.title"), "A run, step by step");
}

fn opens_where_nothing_was_recorded(browser: &mut Browser) {
    let kept = Kept::new("nothing", &Recording::new());
    browser.open(&kept.address("#step=3"));
    for key in ["e", "c", "p", "a", "End", "0"] {
        browser.press(key);
        browser.draw();
        assert_eq!((step(browser), browser.text("when")), (0, "before the first step".to_owned()), "{key}");
    }
}

fn goes_through_a_long_run(browser: &mut Browser) {
    let recording = turns(34_000);
    let (steps, mut replay) = (recording.records().len() as u64, recording.replay());
    assert!(steps > 100_000, "{steps}");
    let kept = Kept::new("long", &recording);
    browser.open(&kept.address("#step=99999"));
    assert_eq!(step(browser), 99_999);
    for (key, at) in [("e", 100_000), ("End", steps), ("0", steps), ("a", steps), ("p", 100_000), ("P", 0), ("Home", 1)]
    {
        browser.press(key);
        browser.draw();
        replay.go_to(step(browser));
        assert!(at == 0 || step(browser) == at, "{key} leads to {}", step(browser));
        is_what_the_panel_shows(&replay, browser);
    }
}
