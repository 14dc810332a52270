//! The examples of the learning path print what `examples/golden` says, byte for byte, every time.
//!
//! `BLESS=1 cargo test --test golden` rewrites the files; read the difference before you commit it.

#![cfg(feature = "observe")]
#![allow(dead_code)] // the examples' own `main` functions
#![allow(clippy::duplicate_mod)] // each of them has its `mod common`

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::{env, fs, io, thread};

use corio::observe::event::{Event, Record};
use corio::observe::{Answer, Quiz, Recording, State, Stepper, Walk};

#[path = "../examples/common/mod.rs"]
mod common;
#[path = "../examples/e01_blocking_server.rs"]
mod e01_blocking_server;
#[path = "../examples/e02_thread_server.rs"]
mod e02_thread_server;
#[path = "../examples/e03_would_block.rs"]
mod e03_would_block;
#[path = "../examples/e04_readiness.rs"]
mod e04_readiness;
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
#[path = "../examples/e20_first_done.rs"]
mod e20_first_done;
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
#[path = "../examples/e22c_nested_limits.rs"]
mod e22c_nested_limits;
#[path = "../examples/e23_task_group.rs"]
mod e23_task_group;
#[path = "../examples/e23b_nested_groups.rs"]
mod e23b_nested_groups;
#[path = "../examples/e24_error_at_join.rs"]
mod e24_error_at_join;
#[path = "../examples/e25_done_callback.rs"]
mod e25_done_callback;
#[path = "../examples/e26_lost_update.rs"]
mod e26_lost_update;
#[path = "../examples/e27_lock.rs"]
mod e27_lock;
#[path = "../examples/e28_insert_once.rs"]
mod e28_insert_once;
#[path = "../examples/e29_queue_hang.rs"]
mod e29_queue_hang;
#[path = "../examples/e29b_lock_cycle.rs"]
mod e29b_lock_cycle;
#[path = "../examples/e30_queue.rs"]
mod e30_queue;
#[path = "../examples/e30b_priority_queue.rs"]
mod e30b_priority_queue;
#[path = "../examples/e30c_queue_shutdown.rs"]
mod e30c_queue_shutdown;
#[path = "../examples/e31_semaphore.rs"]
mod e31_semaphore;
#[path = "../examples/e32_event.rs"]
mod e32_event;
#[path = "../examples/e32b_condvar.rs"]
mod e32b_condvar;
#[path = "../examples/e32c_barrier.rs"]
mod e32c_barrier;
#[path = "../examples/e33_iterator.rs"]
mod e33_iterator;
#[path = "../examples/e34_generator_stream.rs"]
mod e34_generator_stream;
#[path = "../examples/e35_scope.rs"]
mod e35_scope;
#[path = "../examples/e35b_task_locals.rs"]
mod e35b_task_locals;
#[path = "../examples/e36_file_lines.rs"]
mod e36_file_lines;
#[path = "../examples/e37_block_the_loop.rs"]
mod e37_block_the_loop;
#[path = "../examples/e38_to_thread.rs"]
mod e38_to_thread;
#[path = "../examples/e38b_loop_handle.rs"]
mod e38b_loop_handle;
#[path = "../examples/e38c_channels.rs"]
mod e38c_channels;
#[path = "../examples/e39_cpu_work.rs"]
mod e39_cpu_work;
#[path = "../examples/e39b_more_cores.rs"]
mod e39b_more_cores;
#[path = "../examples/e40_wrong_library.rs"]
mod e40_wrong_library;
#[path = "../examples/e41_hex_server.rs"]
mod e41_hex_server;
#[path = "../examples/e42_framing.rs"]
mod e42_framing;
#[path = "../examples/e43_backpressure.rs"]
mod e43_backpressure;
#[path = "../examples/e44_http_get.rs"]
mod e44_http_get;
#[path = "../examples/e45_web_server.rs"]
mod e45_web_server;
#[path = "../examples/e46_scraper.rs"]
mod e46_scraper;
#[path = "../examples/e47_chat.rs"]
mod e47_chat;
#[path = "../examples/e48_ten_thousand.rs"]
mod e48_ten_thousand;
#[path = "../examples/e49_debug_mode.rs"]
mod e49_debug_mode;
#[path = "../examples/e50_logging.rs"]
mod e50_logging;
#[path = "../examples/e51_where_is_everyone.rs"]
mod e51_where_is_everyone;
#[path = "../examples/e52_record_and_scrub.rs"]
mod e52_record_and_scrub;
#[path = "../examples/e53_state_machine.rs"]
mod e53_state_machine;
#[path = "../examples/e54_twice.rs"]
mod e54_twice;
#[path = "../examples/e55_mixed.rs"]
mod e55_mixed;
#[path = "../examples/e56_swap_the_engine.rs"]
mod e56_swap_the_engine;
#[path = "../examples/e57_supervisor.rs"]
mod e57_supervisor;
#[path = "../examples/e58_graceful_shutdown.rs"]
mod e58_graceful_shutdown;
#[path = "../examples/e59_seeds.rs"]
mod e59_seeds;
#[path = "../examples/e60_hung_server.rs"]
mod e60_hung_server;
#[path = "common/page.rs"]
mod page;
#[path = "common/mod.rs"]
mod tests;
#[path = "common/trace.rs"]
mod trace;

type Program = fn() -> io::Result<()>;

macro_rules! golden {
    ($($name:ident)*; printed: $($printed:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name), self::$name::program);
            }
        )*

        // Where other threads take part, the order and the time of events are not ours to promise; what is printed is. These
        // wait for a thread that works for them, and how long that takes is the system's business: a helper or several
        // (e36, e37, e38, e39, e40), one of the program's own (e38b, e38c), or other loops (e39b).
        $(
            #[test]
            fn $printed() {
                let (recording, _) = record(self::$printed::program);
                is_a_fair_quiz(stringify!($printed), &recording);
                is_explained(stringify!($printed), &recording);
                is_small_enough_to_send(stringify!($printed), &recording);
                keeps_the_rules(&recording);
                compare(stringify!($printed), &recording.narrate(0));
            }
        )*

        const TESTED: &[&str] = &[$(stringify!($name),)* $(stringify!($printed)),*];
        const WHOLE: &[(&str, Program)] = &[$((stringify!($name), self::$name::program)),*];
        const PRINTED: &[(&str, Program)] = &[$((stringify!($printed), self::$printed::program)),*];
    };
}

golden! {
    e01_blocking_server e02_thread_server e03_would_block e04_readiness
    e05_generator e06_deep_pause e07_by_hand e08_tiny_loop e09_hello_sleep e10_one_after_the_other e11_tasks
    e12_taking_turns e13_one_turn e14_promise e15_never_ran e16_current_loop e17_call_soon_later e18_gather
    e19_gather_errors e20_first_done e20b_race e20c_select e21_cancel e22_timeout e22b_shield e22c_nested_limits
    e23_task_group e23b_nested_groups e24_error_at_join e25_done_callback e26_lost_update e27_lock e28_insert_once
    e29_queue_hang e29b_lock_cycle e30_queue e30b_priority_queue e30c_queue_shutdown e31_semaphore e32_event
    e32b_condvar e32c_barrier e33_iterator e34_generator_stream e35_scope e35b_task_locals e41_hex_server
    e42_framing e43_backpressure e44_http_get e45_web_server e46_scraper e47_chat e48_ten_thousand e49_debug_mode
    e50_logging
    e51_where_is_everyone e52_record_and_scrub e53_state_machine e54_twice e55_mixed e56_swap_the_engine e57_supervisor
    e58_graceful_shutdown e59_seeds e60_hung_server;
    printed: e36_file_lines e37_block_the_loop e38_to_thread e38b_loop_handle e38c_channels e39_cpu_work e39b_more_cores
    e40_wrong_library
}

/// Every example of the learning path stands in the list above.
#[test]
fn no_example_is_forgotten() {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name.starts_with('e') && name[1..].starts_with(|c: char| c.is_ascii_digit()) && path.is_file() {
            assert!(TESTED.contains(&name), "{name} is not tested here");
        }
    }
}

/// Twenty times, while others want the processor too.
#[test]
fn every_run_is_the_same_under_load() {
    if !tests::slow("every_run_is_the_same_under_load") {
        return;
    }
    let over = AtomicBool::new(false);
    thread::scope(|s| {
        let _over = SetOnDrop(&over);
        for _ in 0..4 {
            s.spawn(|| {
                while !over.load(Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        for _ in 0..20 {
            for (name, program) in WHOLE {
                same_as_golden(name, &record(*program).1);
            }
            for (name, program) in PRINTED {
                same_as_golden(name, &record(*program).0.narrate(0));
            }
        }
    });
}

/// Whatever ends the test, the busy threads end.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Both programs that hang are found out in the turn in which nobody can go on: after the last pause there is no poll.
#[test]
fn a_deadlock_is_explained_within_one_turn() {
    let hangs: [(Program, &[&str]); 2] = [
        (
            e29_queue_hang::program,
            &[
                "all 2 tasks wait",
                "main (1) parked 1.000 s the tasks of group 1 to end",
                "right (4) parked 0.000 s an item of queue 1",
            ],
        ),
        (
            e29b_lock_cycle::program,
            &[
                "all 3 tasks wait",
                "Plato (2) parked 0.000 s lock 2, which Hypatia has",
                "Hypatia (3) parked 0.000 s lock 1, which Plato has",
                "cycle: Hypatia waits for Plato, Plato waits for Hypatia",
            ],
        ),
    ];
    for (program, explained) in hangs {
        let recording = Recording::new();
        let error = common::launch(common::simulated().observer(recording.clone()), program).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Deadlock);
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        for part in explained {
            assert!(text.contains(part), "{part:?} is not said by\n{error}");
        }
        let records = recording.records();
        let found = records.iter().position(|record| matches!(record.event, Event::Deadlock { .. })).unwrap();
        let last = records[..found].iter().rposition(|record| matches!(record.event, Event::Yield { .. })).unwrap();
        let polled = records[last..].iter().any(|record| matches!(record.event, Event::PollEnter { .. }));
        assert!(!polled, "{:?}", &records[last..=found]);
    }
}

/// What differs between the two ways to pause is how often something is polled, and in which lines the calls stand.
#[test]
fn both_styles_leave_the_same_record() {
    let events = |program| {
        let events = record(program).0.records().into_iter().map(|record| without_place(record.event));
        events.filter(|event| !matches!(event, Event::Polled { .. })).collect::<Vec<_>>()
    };
    let polls = |program| {
        let of = |record: Record| match record.event {
            Event::Polled { task, polls } => Some((task, polls)),
            _ => None,
        };
        record(program).0.records().into_iter().filter_map(of).collect::<Vec<_>>()
    };
    let (direct, awaited) = (events(e54_twice::direct), events(e54_twice::awaited));
    let texts = |events: &[Event]| events.iter().map(|event| format!("{event:?}\n")).collect::<String>();
    if let Some(difference) = difference(&texts(&direct).replace("direct", "await"), &texts(&awaited)) {
        panic!("{difference}");
    }
    assert_eq!(polls(e54_twice::direct), []);
    // Of the walker the future, three calls, and the sleep at the bottom; when the first is over, the second as well.
    assert_eq!(polls(e54_twice::awaited), [(2, 5), (3, 2), (2, 6), (3, 2), (2, 5)]);
}

fn without_place(event: Event) -> Event {
    let at = std::panic::Location::caller();
    match event {
        Event::Spawn { task, by, group, .. } => Event::Spawn { task, by, group, at },
        Event::Yield { task, want, .. } => Event::Yield { task, want, at },
        Event::NoPause { task, want, .. } => Event::NoPause { task, want, at },
        event => event,
    }
}

/// The pictures of the book, each of some steps of an example: as many as fit beside a text.
const PICTURES: [(&str, Program, RangeInclusive<u64>); 6] = [
    ("e11_tasks", e11_tasks::program, 9..=45),
    ("e13_one_turn", e13_one_turn::program, 8..=38),
    ("e18_gather", e18_gather::program, 29..=62),
    ("e20_first_done", e20_first_done::program, 17..=44),
    ("e21_cancel", e21_cancel::program, 34..=63),
    ("e27_lock", e27_lock::program, 9..=37),
];

#[test]
fn the_pictures_are_of_these_runs() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/book/pictures");
    for (name, program, steps) in PICTURES {
        compare_with(&directory.join(format!("{name}.svg")), &record(program).0.svg(steps));
    }
    let there = fs::read_dir(directory).unwrap().count();
    assert_eq!(there, PICTURES.len(), "a picture is of no run");
}

/// A session with the stepper for each of its letters, in the words of the examples.
#[test]
fn the_stepper_goes_where_it_is_told() {
    let sessions: [(&str, Program, &str); 5] = [
        ("e09_hello_sleep", e09_hello_sleep::program, "\nc\nc\n?\np\np\nq\n"),
        (
            "e11_tasks",
            e11_tasks::program,
            "\n\nn\n?\nc\nc\np\np\nw ada\nt\no\nf ada\nP\ng 2\ne\nB\nB e11_tasks.rs:20\nr\nr\nr\nr\nB e11_tasks.rs:20\nB 21\nb Ada\nr\ns\nq\n",
        ),
        ("e29b_lock_cycle", e29b_lock_cycle::program, "h\nr\n?\nw Hypatia\nw nobody\nP\nx\nq\n"),
        ("e41_hex_server", e41_hex_server::program, "i\n\nc\nc\ni\nn\nw main\nq\n"),
        ("e43_backpressure", e43_backpressure::program, "m not-waiting\no\nm nowhere\ng x\np\ng 100000\ne\n"),
    ];
    for (name, program, typed) in sessions {
        let (recording, _) = record(program);
        let mut seen = Vec::new();
        Stepper::new(&recording).echo(true).run(typed.as_bytes(), &mut seen).unwrap();
        compare(&format!("step_{name}"), &String::from_utf8(seen).unwrap());
    }
}

/// The same while the program runs: what is there is what a record would show, and what is not there yet is waited for.
#[test]
fn the_live_stepper_stops_the_run() {
    let typed =
        "\n\ne\np\nP\nn\nw grace\nc\nB e11_tasks.rs:20\nr\nb\nt\nf ada\no\nr\nr\nB e11_tasks.rs:20\nr\ng 9\ns\nq\n";
    let seen = tests::Written::default();
    let stepper = Stepper::live().echo(true).observe(typed.as_bytes(), seen.clone());
    common::launch(common::simulated().observer(stepper), e11_tasks::program).unwrap();
    compare("live_e11_tasks", &seen.text());
    // Whoever leaves, or has nothing more to say, lets the run go on, and sees what it prints.
    for typed in ["q\n", "s\n", ""] {
        let (seen, recording) = (tests::Written::default(), Recording::new());
        let stepper = Stepper::live().observe(typed.as_bytes(), seen.clone());
        common::launch(common::simulated().observer(stepper).observer(recording.clone()), e11_tasks::program).unwrap();
        assert_eq!(recording.records(), record(e11_tasks::program).0.records());
        assert!(seen.text().ends_with("Goodbye, Barbara!\n1.0 seconds have passed\n"), "{}", seen.text());
    }
}

/// A quiz is a text too, with answers that are right, wrong, and none.
#[test]
fn a_quiz_is_the_same_every_time() {
    let sessions: [(&str, Program, &str); 3] = [
        ("e11_tasks", e11_tasks::program, "y\nAda\nmain\n1.0\nnobody\n3\nmain\n\nno\n"),
        ("e21_cancel", e21_cancel::program, "1 s\n3.5\nJOB\njob\nperhaps\nYES\nsoon\n\ncancelled\nq\n"),
        ("e27_lock", e27_lock::program, "Ada\nyes\nbarbara\ny\n"),
    ];
    for (name, program, typed) in sessions {
        let mut seen = Vec::new();
        Quiz::new(&record(program).0).echo(true).run(typed.as_bytes(), &mut seen).unwrap();
        compare(&format!("quiz_{name}"), &String::from_utf8(seen).unwrap());
    }
    // What is shown as 1.999 may be written more exactly.
    let quiz = Quiz::new(&record(|| corio::sleep(std::time::Duration::from_micros(1_999_600))).0);
    let judged = ["1.999", "1.9996", "2.000", "-1"].map(|typed| quiz.questions()[0].judge(typed));
    assert_eq!(judged, [Some(true), Some(true), Some(false), None]);
    let mut seen = Vec::new();
    Quiz::new(&record(|| Ok(())).0).run(&b"yes\n"[..], &mut seen).unwrap();
    assert_eq!(String::from_utf8(seen).unwrap(), "This run leaves nothing to predict.\n");
}

/// Back is the way forward, backwards.
#[test]
fn a_replay_is_the_same_from_both_sides() {
    let (recording, _) = record(e47_chat::program);
    let (records, mut replay, mut state) = (recording.records(), recording.replay(), State::new());
    assert!(records.len() > 256, "more than lie between two states that are kept");
    for record in &records {
        state.apply(record);
        assert!(replay.forward(|_| true) && replay.record() == Some(record) && *replay.state() == state);
    }
    assert!(!replay.forward(|_| true));
    for record in records.iter().rev().skip(1) {
        assert!(replay.back(|_| true) && replay.record() == Some(record));
    }
    assert!(!replay.back(|_| true));
    for step in [0, 1, 255, 256, 257, 300, replay.steps(), u64::MAX] {
        replay.go_to(step);
        let mut state = State::new();
        records.iter().take(usize::try_from(step).unwrap()).for_each(|record| state.apply(record));
        assert_eq!(*replay.state(), state, "step {step}");
    }
}

/// Of each step, what it is, and the chapter of the book that explains it.
fn is_explained(name: &str, recording: &Recording) {
    let mut walk = Walk::new(recording.replay());
    walk.command("g 0");
    while walk.command("e") == Answer::Moved {
        let Answer::Said(said) = walk.command("?") else { panic!("{name}: it is a question") };
        let chapter = said.trim_end().strip_suffix(')').and_then(|said| Some(said.rsplit_once("(docs/book/")?.1));
        let is_there = chapter.is_some_and(|chapter| Path::new("docs/book").join(chapter).exists());
        assert!(is_there, "{name}, step {}: {said}", walk.replay().step());
    }
}

/// The questions of a run: who types their answers has all of them right, and none is told before it is asked.
fn is_a_fair_quiz(name: &str, recording: &Recording) {
    let quiz = Quiz::new(recording);
    let questions = quiz.questions().to_vec();
    let count = questions.len();
    assert!(count <= 9, "{name}: {questions:#?}");
    assert!(questions.iter().all(|question| question.step < question.answered_at), "{name}: {questions:#?}");
    let in_order = questions.windows(2).all(|pair| pair[0].answered_at <= pair[1].step);
    assert!(in_order, "{name}: one answer tells another: {questions:#?}");
    for question in &questions {
        assert_eq!(question.judge(&question.answer), Some(true), "{name}: {question:?}");
        assert_eq!(question.judge("whatever"), None, "{name}: {question:?}");
        let mut replay = recording.replay();
        replay.go_to(question.answered_at);
        // What the answer is, is to be read in the step that answers it.
        let shows = match &*question.answer {
            "yes" => "pauses at",
            "no" => "no pause",
            "returned" => "✔ returns",
            "failed" => "✘ fails",
            "cancelled" => "cancelled",
            "panicked" => "✘ panics",
            clock_or_name => clock_or_name,
        };
        assert!(replay.told().contains(shows), "{name}: {question:?}\n{}", replay.told());
    }
    let typed: String = questions.iter().map(|question| format!("{}\n", question.answer)).collect();
    let mut seen = Vec::new();
    quiz.run(typed.as_bytes(), &mut seen).unwrap();
    let said = match count {
        0 => "This run leaves nothing to predict.\n".to_owned(),
        _ => format!("\n{count} of {count}.\n"),
    };
    assert!(String::from_utf8(seen).unwrap().ends_with(&said), "{name}: {said:?} is not the end");
}

fn check(name: &str, program: fn() -> io::Result<()>) {
    let (recording, told) = record(program);
    is_a_fair_quiz(name, &recording);
    is_explained(name, &recording);
    assert_eq!(recording.records(), record(program).0.records(), "{name}: the second run is not the first");
    keeps_the_rules(&recording);
    is_small_enough_to_send(name, &recording);
    compare(name, &told);
}

/// A page that one sends to somebody is not large.
fn is_small_enough_to_send(name: &str, recording: &Recording) {
    let size = recording.html().len();
    assert!(size < 200_000, "{name}: a page of {size} bytes, for {} steps", recording.records().len());
}

/// Compares a text with the golden one.
fn compare(name: &str, told: &str) {
    compare_with(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/golden/{name}.txt")), told);
}

fn compare_with(path: &Path, told: &str) {
    if env::var_os("BLESS").is_some() {
        fs::write(path, told).unwrap();
    }
    same_as(path, told);
}

fn same_as_golden(name: &str, told: &str) {
    same_as(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/golden/{name}.txt")), told);
}

fn same_as(path: &Path, told: &str) {
    let golden = fs::read_to_string(path).unwrap_or_default();
    if let Some(difference) = difference(&golden, told) {
        panic!("the run is not what {} says.\n{difference}\nIf that is wanted: BLESS=1", path.display());
    }
}

/// Runs a program. What is told is what a reader sees: the narration, and the error that `main` returns, if it does.
fn record(program: fn() -> io::Result<()>) -> (Recording, String) {
    let recording = Recording::new();
    let result = common::launch(common::simulated().observer(recording.clone()), program);
    let mut told = recording.narrate(1);
    if let Err(error) = result {
        told += &format!("Error: {error:?}\n");
    }
    (recording, told)
}

/// A place is one that a reader can look up: a line of the example, or of this library where a task of its own waits. Inside
/// std it would be a line that says nothing of the program, and another one in every release of Rust.
fn names_no_line_of_std(recording: &Recording) {
    for Record { seq, event, .. } in recording.records() {
        let (Event::Spawn { at, .. } | Event::Yield { at, .. } | Event::NoPause { at, .. }) = event else { continue };
        assert!(!at.file().contains("/library/"), "step {seq} is at {at}:\n{}", recording.narrate(1));
    }
}

fn keeps_the_rules(recording: &Recording) {
    names_no_line_of_std(recording);
    trace::keep_the_rules(recording);
    page::keep_the_rules(recording);
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
