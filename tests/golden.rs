//! The examples of the learning path print what `examples/golden` says, byte for byte, every time.
//!
//! `BLESS=1 cargo test --test golden` rewrites the files; read the difference before you commit it.

#![cfg(feature = "observe")]
#![allow(dead_code)] // the examples' own `main` functions
#![allow(clippy::duplicate_mod)] // each of them has its `mod common`

use std::path::Path;
use std::{env, fs, io};

use corio::Runner;
use corio::observe::{Recording, State};

#[path = "../examples/e05_generator.rs"]
mod e05_generator;
#[path = "../examples/e06_deep_pause.rs"]
mod e06_deep_pause;
#[path = "../examples/e07_by_hand.rs"]
mod e07_by_hand;
#[path = "../examples/e08_tiny_loop.rs"]
mod e08_tiny_loop;
#[path = "../examples/e09_hello_sleep.rs"]
mod e09_hello_sleep;
#[path = "../examples/e10_one_after_the_other.rs"]
mod e10_one_after_the_other;
#[path = "../examples/e11_tasks.rs"]
mod e11_tasks;
#[path = "../examples/e12_taking_turns.rs"]
mod e12_taking_turns;
#[path = "../examples/e13_one_turn.rs"]
mod e13_one_turn;
#[path = "../examples/e14_promise.rs"]
mod e14_promise;
#[path = "../examples/e15_never_ran.rs"]
mod e15_never_ran;
#[path = "../examples/e16_current_loop.rs"]
mod e16_current_loop;
#[path = "../examples/e17_call_soon_later.rs"]
mod e17_call_soon_later;
#[path = "../examples/e18_gather.rs"]
mod e18_gather;
#[path = "../examples/e19_gather_errors.rs"]
mod e19_gather_errors;
#[path = "../examples/e20b_race.rs"]
mod e20b_race;
#[path = "../examples/e20c_select.rs"]
mod e20c_select;
#[path = "../examples/e21_cancel.rs"]
mod e21_cancel;
#[path = "../examples/e22_timeout.rs"]
mod e22_timeout;
#[path = "../examples/e22b_shield.rs"]
mod e22b_shield;
#[path = "../examples/e23_task_group.rs"]
mod e23_task_group;
#[path = "../examples/e23b_nested_groups.rs"]
mod e23b_nested_groups;
#[path = "../examples/e24_error_at_join.rs"]
mod e24_error_at_join;
#[path = "../examples/e25_done_callback.rs"]
mod e25_done_callback;

macro_rules! golden {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name), self::$name::program);
            }
        )*

        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

golden! {
    e05_generator e06_deep_pause e07_by_hand e08_tiny_loop e09_hello_sleep e10_one_after_the_other e11_tasks
    e12_taking_turns e13_one_turn e14_promise e15_never_ran e16_current_loop e17_call_soon_later e18_gather
    e19_gather_errors e20b_race e20c_select e21_cancel e22_timeout e22b_shield e23_task_group e23b_nested_groups
    e24_error_at_join e25_done_callback
}

/// Every example of the learning path stands in the list above, and begins with what a reader wants to know first.
#[test]
fn no_example_is_forgotten() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let numbered = name.starts_with('e') && name[1..].starts_with(|c: char| c.is_ascii_digit());
        if !numbered || path.extension().is_none() {
            continue;
        }
        assert!(TESTED.contains(&name), "{name} is not tested here");
        let text = fs::read_to_string(&path).unwrap();
        for part in ["//! **Lesson.** ", "//! **Predict.** ", "//! **Shows** ", &format!("--example {name}`")] {
            assert!(text.contains(part), "the header of {name} lacks {part:?}");
        }
        let code = text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"));
        assert!(code.count() <= 60, "{name} is too long to be a lesson");
    }
}

fn check(name: &str, program: fn() -> io::Result<()>) {
    let recording = record(program);
    assert_eq!(recording.records(), record(program).records(), "{name}: the second run is not the first");
    keeps_the_rules(&recording);

    let told = recording.narrate(1);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/golden/{name}.txt"));
    if env::var_os("BLESS").is_some() {
        fs::write(&path, &told).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    if let Some(difference) = difference(&golden, &told) {
        panic!("{name} is not what {} says.\n{difference}\nIf that is wanted: BLESS=1", path.display());
    }
}

fn record(program: fn() -> io::Result<()>) -> Recording {
    let recording = Recording::new();
    Runner::new().virtual_clock().observer(recording.clone()).run(program).unwrap();
    recording
}

fn keeps_the_rules(recording: &Recording) {
    let mut state = State::new();
    for record in recording.records() {
        state.check(&record).unwrap_or_else(|broken| panic!("{record:?}\n{broken}\n{state:#?}"));
        state.apply(&record);
    }
}

/// The first line in which two texts differ, with what stands before it.
fn difference(golden: &str, told: &str) -> Option<String> {
    const CONTEXT: usize = 3;
    let (golden, told): (Vec<&str>, Vec<&str>) = (golden.lines().collect(), told.lines().collect());
    let at = (0..golden.len().max(told.len())).find(|n| golden.get(*n) != told.get(*n))?;
    let before = golden[at.saturating_sub(CONTEXT)..at].iter().map(|line| format!("   {line}\n"));
    let line = |text: &[&str]| text.get(at).map_or("(nothing)".to_owned(), |line| (*line).to_owned());
    Some(format!("{}-  {}\n+  {}\n(line {})", before.collect::<String>(), line(&golden), line(&told), at + 1))
}
