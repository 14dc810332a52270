//! The flight recorder: what it keeps, what it forgets, and when it speaks.

#![cfg(feature = "observe")]

mod common;

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{child_with, in_child, logged, only, plays, runner, watchdog};
use corio::net::TcpListener;
use corio::observe::{FlightRecorder, Reason, Recording, Trouble, mark};
use corio::{
    Builder, CancelScope, Generator, Queue, Runner, call_later, millis, say, scope, secs, sleep, spawn, testing,
    timeout, yield_now,
};

fn named<T: 'static>(name: &str, f: impl FnOnce() -> io::Result<T> + 'static) -> corio::JoinHandle<T> {
    Builder::new().name(name).spawn(f).unwrap()
}

/// Names that come, change and go; lines, marks, limits, coroutines; errors that somebody takes, and that nobody does.
fn program() -> io::Result<()> {
    let ada = named("Ada", || {
        say!("good\nmorning");
        sleep(secs(1))?;
        corio::current().set_name("Countess");
        Ok(7)
    });
    yield_now()?;
    drop(named("Charles", || Err::<(), _>(io::Error::other("no steam"))));
    mark("half");
    let failed = named("Grace", || {
        let ticks = Generator::new(|y| {
            y.yield_(1)?;
            sleep(secs(1))?;
            y.yield_(2)
        });
        for tick in ticks {
            say!("tick {}", tick?);
        }
        timeout(millis(5), || sleep(secs(9)))
    });
    sleep(secs(5))?; // both have ended
    assert_eq!(ada.join()?, 7);
    assert!(failed.join().is_err());
    let region = CancelScope::new();
    let _ = region.run(|| {
        scope(|s| {
            Builder::new().name("child").spawn_scoped(s, || sleep(secs(9)))?;
            call_later(secs(1), || mark("called"));
            sleep(secs(2))?;
            region.cancel();
            sleep(secs(2))
        })
    });
    drop(named("late", || sleep(secs(60))));
    Ok(())
}

/// A text without the line that counts, and without the titles.
fn body(text: &str) -> &str {
    let (_, rest) = text.split_once('\n').unwrap();
    rest.split_once('\n').map_or("", |(titles, rest)| {
        assert_eq!(titles, "   step      time  who          what happens");
        rest
    })
}

fn head(text: &str) -> &str {
    text.lines().next().unwrap()
}

/// Without the numbers of lines of this file, which change with it, and the blanks that depend on them.
fn without_lines(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let (mut line, mut rest) = (String::new(), line);
        while let Some(at) =
            ["flight.rs:", "after line "].iter().filter_map(|mark| Some(rest.find(mark)? + mark.len())).min()
        {
            line += &rest[..at];
            line.push('N');
            rest = rest[at..].trim_start_matches(|c: char| c.is_ascii_digit() || c == 'N');
        }
        line += rest;
        let words: Vec<&str> = line.split("  ").filter(|part| !part.is_empty()).map(str::trim).collect();
        lines += &format!("{}\n", words.join("  "));
    }
    lines
}

fn last(text: &str) -> &str {
    text.lines().last().unwrap()
}

/// What it hears of trouble.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Trouble>>>);

impl Heard {
    fn listen(&self) -> impl Fn(&Trouble) + Send + Sync + 'static {
        let heard = self.0.clone();
        move |trouble| heard.lock().unwrap().push(trouble.clone())
    }

    fn take(&self) -> Vec<Trouble> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn one(&self) -> Trouble {
        let [one] = &self.take()[..] else { panic!("one trouble was to be told") };
        one.clone()
    }
}

#[test]
fn a_ring_of_twenty() {
    let recorder = FlightRecorder::new(20);
    let turns = |n: u32| move || (0..n).try_for_each(|_| yield_now());
    runner()
        .observer(recorder.clone())
        .run(|| {
            let tasks = [named("Ada", turns(9)), named("Grace", turns(8))];
            tasks.into_iter().try_for_each(|task| task.join())?;
            say!("done");
            Ok(())
        })
        .unwrap();
    let wanted = "\
67 events, of which the first 47 are not kept
   step      time  who          what happens
     48     0.000  loop         Grace is ready, woken by itself                       ready: Ada, Grace
     49     0.000  Ada        ► resume: send(None), goes on after line N
     50     0.000  Ada        ■ pauses at flight.rs:N `yield_now()`                   waits for: its next turn
     51     0.000  loop         Ada is ready, woken by itself                         ready: Grace, Ada
     52     0.000  Grace      ► resume: send(None), goes on after line N
     53     0.000  Grace      ■ pauses at flight.rs:N `yield_now()`                   waits for: its next turn
     54     0.000  loop         Grace is ready, woken by itself                       ready: Ada, Grace
     55     0.000  Ada        ► resume: send(None), goes on after line N
     56     0.000  Ada        ■ pauses at flight.rs:N `yield_now()`                   waits for: its next turn
     57     0.000  loop         Ada is ready, woken by itself                         ready: Grace, Ada
     58     0.000  Grace      ► resume: send(None), goes on after line N
     59     0.000  Grace      ✔ returns
     60     0.000  Ada        ► resume: send(None), goes on after line N
     61     0.000  Ada        ✔ returns
     62     0.000  loop         main is ready, woken by Ada                           ready: main
     63     0.000  main       ► resume: send(None), goes on after line N
     64     0.000  main         goes on at flight.rs:N `task.join()`, no pause: Grace has ended
                   done
     66     0.000  main       ✔ returns
     67     0.000  loop         stops
";
    assert_eq!(without_lines(&recorder.tell()), without_lines(wanted));
}

/// The run is deterministic, so what a ring of any size tells is known: the end of what a recording tells of another run.
#[test]
fn a_ring_of_any_size_tells_the_end_of_the_narration() {
    let recording = Recording::new();
    runner().observer(recording.clone()).run(program).unwrap();
    // Who is alone in the background sees no values.
    let without_values = [("yields 1 at", "pauses at"), ("yields 2 at", "pauses at"), ("send(()),", "send,")];
    let whole = without_values.iter().fold(recording.narrate(2), |whole, (with, without)| {
        assert!(whole.contains(with), "{whole}");
        whole.replace(with, without)
    });
    let all = recording.records().len();
    assert!(whole.contains("Countess") && whole.contains("nobody takes the error of Charles"), "{whole}");
    for capacity in (0..=all + 1).chain([1_000]) {
        let recorder = FlightRecorder::new(capacity);
        runner().observer(recorder.clone()).run(program).unwrap();
        let text = recorder.tell();
        if capacity >= all {
            assert_eq!(text, format!("{all} events\n{whole}"));
            continue;
        }
        assert_eq!(
            head(&text),
            format!(
                "{all} events, of which the first {} not kept",
                match all - capacity {
                    1 => "1 is".to_owned(),
                    n => format!("{n} are"),
                }
            )
        );
        assert!(whole.ends_with(body(&text)), "a ring of {capacity}:\n{text}");
        let first = &recording.records()[all - capacity..];
        let steps = body(&text).lines().filter(|line| !line[..7].trim().is_empty()).count();
        let told = first.iter().filter(|record| {
            use corio::observe::event::Event;
            !matches!(record.event, Event::Out { .. } | Event::Mark { .. })
        });
        assert_eq!(steps, told.count(), "a ring of {capacity}:\n{text}");
    }
}

#[test]
fn others_may_watch_beside_it() {
    let (before, recorder, after) = (Recording::new(), FlightRecorder::new(1_000), FlightRecorder::new(30));
    let beside = Recording::new();
    let watched = runner().observer(before.clone()).observer(recorder.clone()).observer(after.clone());
    watched.observer(beside.clone()).run(program).unwrap();
    assert_eq!(before.narrate(2), beside.narrate(2));
    assert_eq!(body(&recorder.tell()), body(&format!("\n{}", before.narrate(2))));
    assert!(before.narrate(2).ends_with(body(&after.tell())));
    let all = before.records().len();
    for capacity in 0..=all {
        let (recorder, beside) = (FlightRecorder::new(capacity), Recording::new());
        runner().observer(recorder.clone()).observer(beside.clone()).run(program).unwrap();
        let (text, whole) = (recorder.tell(), beside.narrate(2));
        assert!(whole.ends_with(body(&text)), "a ring of {capacity}:\n{text}\nin\n{whole}");
    }
}

#[test]
fn less_detail_is_told_if_that_is_asked_for() {
    let (recording, recorder) = (Recording::new(), FlightRecorder::new(1_000).detail(1));
    let mut watched = runner().observer(recording.clone()).observer(recorder.clone());
    watched.run(program).unwrap();
    assert_eq!(body(&recorder.tell()), body(&format!("\n{}", recording.narrate(1))));
}

#[test]
fn it_can_be_asked_at_any_time_and_from_any_thread() {
    let recorder = FlightRecorder::new(100);
    assert_eq!(recorder.tell(), "0 events\n");
    let handle = recorder.clone();
    runner()
        .observer(recorder.clone())
        .run(|| {
            sleep(secs(1))?;
            // This step has begun, and is not over.
            let elsewhere = thread::spawn(move || handle.tell()).join().unwrap();
            assert_eq!(elsewhere, recorder.tell());
            assert!(last(&elsewhere).contains("main       ► resume: send(None), goes on after line "), "{elsewhere}");
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_deadlock_is_told() {
    let heard = Heard::default();
    let recorder = FlightRecorder::new(6).on_trouble(heard.listen());
    let end = runner().observer(recorder).run(|| {
        let queue = Queue::<u32>::new();
        scope(|s| {
            for name in ["left", "right"] {
                let queue = &queue;
                Builder::new().name(name).spawn_scoped(s, move || queue.get().map(drop))?;
            }
            Ok(())
        })
    });
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::Deadlock);
    let trouble = heard.one();
    assert_eq!(trouble.reason, Reason::Deadlock);
    let wanted =
        "deadlock: nothing can ever run again, and 3 tasks wait; so far 12 events, of which the first 6 are not kept";
    assert_eq!(head(&trouble.text), wanted, "{trouble}");
    assert!(body(&trouble.text).contains("waits for: an item of queue"), "{trouble}");
    assert_eq!(trouble.to_string(), trouble.text);
}

#[test]
fn a_panic_is_told_once_and_no_event_twice() {
    let (recording, heard) = (Recording::new(), Heard::default());
    let recorder = FlightRecorder::new(10_000).on_trouble(heard.listen());
    let mut watched = runner().observer(recording.clone()).observer(recorder.clone());
    watched
        .run(|| {
            for n in 0..20 {
                let request = named(&format!("request {n}"), move || {
                    sleep(millis(n))?;
                    std::panic::resume_unwind(Box::new("on purpose"));
                    #[allow(unreachable_code)]
                    Ok(())
                });
                assert!(catch_unwind(AssertUnwindSafe(|| request.join())).is_err());
                if n == 3 {
                    recorder.tell(); // which changes nothing
                }
            }
            Ok(())
        })
        .unwrap();
    let troubles = heard.take();
    assert_eq!(troubles.len(), 20);
    assert!(troubles[0].text.starts_with("request 0 (2) panicked; so far "), "{}", troubles[0]);
    assert!(
        troubles[7].text.starts_with("request 7 (9) panicked; since the last report 13 events\n"),
        "{}",
        troubles[7]
    );
    let told: String = troubles.iter().map(|trouble| body(&trouble.text)).collect();
    let whole = recording.narrate(2);
    assert!(body(&format!("\n{whole}")).starts_with(&told), "{told}");
    assert!(troubles.iter().all(|trouble| trouble.reason == Reason::Panic && trouble.text.ends_with("✘ panics\n")));
}

/// A ring that is too small says how much it has lost since the last report.
#[test]
fn what_got_lost_between_two_reports_is_counted() {
    let heard = Heard::default();
    let recorder = FlightRecorder::new(5).on_trouble(heard.listen());
    runner()
        .observer(recorder)
        .run(|| {
            for _ in 0..2 {
                (0..10).try_for_each(|_| yield_now())?;
                let task = spawn(|| -> io::Result<()> { std::panic::resume_unwind(Box::new("on purpose")) });
                assert!(catch_unwind(AssertUnwindSafe(|| task.join())).is_err());
            }
            Ok(())
        })
        .unwrap();
    let heads: Vec<String> = heard.take().iter().map(|trouble| head(&trouble.text).to_owned()).collect();
    assert_eq!(
        heads,
        [
            "task-2 (2) panicked; so far 37 events, of which the first 32 are not kept",
            "task-3 (3) panicked; since the last report 36 events, of which the first 31 are not kept",
        ]
    );
}

#[test]
fn without_a_listener_the_log_is_told() {
    let slow = FlightRecorder::new(100).slow_step(millis(1));
    let watched = runner().observer(slow);
    let ((), lines) = logged(|| {
        let mut watched = watched;
        let end = watched.run(|| {
            let task = spawn(|| -> io::Result<()> { std::panic::resume_unwind(Box::new("on purpose")) });
            assert!(catch_unwind(AssertUnwindSafe(|| task.join())).is_err());
            spin(millis(2));
            corio::Event::new().wait()
        });
        assert!(end.is_err());
    });
    let lines: Vec<String> = lines.into_iter().filter(|line| line.contains(" corio::flight: ")).collect();
    only(&lines, "ERROR", &["task-2 (2) panicked", "✘ panics"]);
    only(&lines, "ERROR", &["deadlock: nothing can ever run again, and 1 task waits"]);
    assert!(lines.iter().any(|line| line.starts_with("WARN") && line.contains("main (1) ran for ")), "{lines:#?}");
}

/// Computes for so long.
fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[test]
fn a_slow_step_is_told_when_it_is_over() {
    let heard = Heard::default();
    let recorder = FlightRecorder::new(100).slow_step(millis(20)).on_trouble(heard.listen());
    runner()
        .observer(recorder)
        .run(|| {
            let slow = named("slow", || {
                sleep(secs(1))?;
                spin(millis(20));
                sleep(secs(1))
            });
            sleep(secs(60))?; // not a step: nobody runs
            slow.join()
        })
        .unwrap();
    // On a busy machine other steps may be slow as well.
    let told = heard.take();
    let is_it = |text: &str| text.starts_with("slow (2) ran for ") && text.trim_end().ends_with("timer 3, due 2.000");
    assert!(told.iter().any(|trouble| is_it(&trouble.text)), "{told:#?}");
    assert!(told.iter().all(|trouble| trouble.reason == Reason::SlowStep));
}

#[test]
fn no_step_is_slow_if_no_limit_is_set() {
    let heard = Heard::default();
    let recorder = FlightRecorder::new(100).on_trouble(heard.listen());
    runner().observer(recorder).run(|| spin(millis(50))).unwrap();
    assert!(heard.take().is_empty());
}

#[test]
fn a_run_that_takes_too_long_is_told_while_a_task_blocks_the_loop() {
    let _watchdog = watchdog();
    let (heard, over) = (Heard::default(), Arc::new(AtomicBool::new(false)));
    let (listen, stop) = (heard.listen(), over.clone());
    let recorder = FlightRecorder::new(8).within(millis(30)).on_trouble(move |trouble| {
        assert_eq!(thread::current().name(), Some("corio flight"));
        listen(trouble);
        stop.store(true, Ordering::Relaxed);
    });
    let mut runner = runner().observer(recorder);
    // Once in each run; on a busy machine perhaps before the task has got so far.
    let mut seen = 0;
    while seen < 2 {
        let over = over.clone();
        over.store(false, Ordering::Relaxed);
        let spin = move || {
            sleep(secs(1))?;
            while !over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            Ok(())
        };
        runner.run(|| named("spinner", spin).join()).unwrap();
        let trouble = heard.one();
        assert_eq!(trouble.reason, Reason::TimeOut);
        assert!(trouble.text.starts_with("the run is not over after 30ms; "), "{trouble}");
        seen += u32::from(last(&trouble.text).contains("spinner    ► resume: send(None), goes on after line "));
    }
}

/// Nobody can know whether something will come from outside: who waits for it is told, once for each silence.
#[test]
fn a_silence_is_told_once_with_who_waits_for_what() {
    let _watchdog = watchdog();
    let heard = Heard::default();
    let listen = heard.listen();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let recorder = FlightRecorder::new(100).silence(millis(10)).on_trouble(move |trouble| {
        listen(trouble);
        thread::sleep(millis(100)); // it goes on
        std::net::TcpStream::connect(address).unwrap();
    });
    Runner::new().observer(recorder).run(|| named("server", move || listener.accept().map(drop)).join()).unwrap();
    let trouble = heard.one();
    assert_eq!(trouble.reason, Reason::Silence);
    let starts = "nothing has happened for 10ms: if nothing is to come from outside, this is a deadlock; so far ";
    assert!(trouble.text.starts_with(starts), "{trouble}");
    let row = |line: &str| line.starts_with("server (2)  parked ") && line.contains("source 1 to be readable");
    assert!(trouble.text.lines().any(row), "{trouble}");
    assert!(last(&trouble.text).contains("server     ■ pauses at "), "{trouble}");
}

#[test]
fn who_makes_the_silence_is_named_while_it_goes_on() {
    let _watchdog = watchdog();
    let (heard, over) = (Heard::default(), Arc::new(AtomicBool::new(false)));
    let (listen, stop) = (heard.listen(), over.clone());
    // On a busy machine there may be a silence before the task has got so far.
    let recorder = FlightRecorder::new(100).silence(millis(30)).on_trouble(move |trouble| {
        if trouble.text.starts_with("spinner (2) has not paused for 30ms; ") {
            listen(trouble);
            stop.store(true, Ordering::Relaxed);
        }
    });
    let spin = move || {
        while !over.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        Ok(())
    };
    runner().observer(recorder).run(|| named("spinner", spin).join()).unwrap();
    assert_eq!(heard.one().reason, Reason::Silence);
}

/// The same where tasks take turns for ever.
#[test]
fn a_run_that_takes_too_long_is_told_while_it_is_busy() {
    let _watchdog = watchdog();
    let over = Arc::new(AtomicBool::new(false));
    let stop = over.clone();
    let recorder = FlightRecorder::new(100).within(millis(30)).on_trouble(move |_| stop.store(true, Ordering::Relaxed));
    let busy = || {
        while !over.load(Ordering::Relaxed) {
            yield_now()?;
        }
        Ok(())
    };
    runner().observer(recorder).run(busy).unwrap();
}

#[test]
fn nobody_waits_for_a_run_that_is_over() {
    let ended = in_child("nobody_waits_for_a_run_that_is_over", || {
        let threads = || {
            let names = std::fs::read_dir("/proc/self/task").unwrap();
            let names = names.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
            names.filter(|name| name.trim() == "corio flight").count()
        };
        let witness = Arc::new(());
        let kept = witness.clone();
        let recorder = FlightRecorder::new(9).within(secs(3_600)).on_trouble(move |_| drop(kept.clone()));
        let mut runner = runner().observer(recorder.clone());
        let until = |wanted: usize| {
            while cfg!(target_os = "linux") && threads() != wanted {
                thread::yield_now(); // it takes its time to come and to go
            }
        };
        runner.run(|| until(1)).unwrap();
        until(0);
        drop(runner);
        drop(recorder);
        assert_eq!(Arc::strong_count(&witness), 1);
    });
    ended.succeeded();
}

#[test]
fn a_listener_that_panics_on_the_loop_silences_the_recorder_and_spoils_nothing() {
    let recorder = FlightRecorder::new(100).on_trouble(|_| panic!("in the listener"));
    let panics = || {
        let task = spawn(|| -> io::Result<()> { std::panic::resume_unwind(Box::new("on purpose")) });
        assert!(catch_unwind(AssertUnwindSafe(|| task.join())).is_err());
        sleep(secs(1))
    };
    let mut watched = runner().observer(recorder.clone());
    let (end, lines) = logged(|| watched.run(panics));
    end.unwrap();
    only(&lines, "ERROR corio::observe", &["an observer panicked: in the listener"]);
    let text = recorder.tell();
    assert!(text.ends_with("task-2     ✘ panics\n"), "{text}");
    // It is free for another loop.
    let heard = Heard::default();
    runner().observer(recorder.on_trouble(heard.listen())).run(panics).unwrap();
    assert_eq!(heard.one().reason, Reason::Panic);
}

#[test]
fn a_second_run_on_a_loop_goes_on_and_one_on_another_begins_anew() {
    let (recorder, recording) = (FlightRecorder::new(1_000), Recording::new());
    let ticks = RefCell::new(Generator::new(|y| {
        y.yield_(1)?;
        y.yield_(2)
    }));
    // What is paused in the first run goes on in the second one.
    let tick = || {
        ticks.borrow_mut().next().unwrap()?;
        named("Ada", || sleep(secs(1))).join()
    };
    let mut first = runner().observer(recorder.clone()).observer(recording.clone());
    first.run(tick).unwrap();
    let before = recorder.tell();
    first.run(tick).unwrap();
    let text = recorder.tell();
    assert_eq!(body(&text), body(&format!("\n{}", recording.narrate(2))));
    assert!(body(&text).starts_with(body(&before)) && text.contains("coroutine 0: send(()), goes on after"), "{text}");

    let again = Recording::new();
    runner().observer(recorder.clone()).observer(again.clone()).run(|| spawn(|| Ok(())).join()).unwrap();
    let text = recorder.tell();
    assert_eq!(text, format!("{} events\n{}", again.records().len(), again.narrate(2)));
    assert!(!text.contains("Ada"), "{text}");

    // The first loop again: what it did before is not known any more.
    first.run(|| Ok(())).unwrap();
    let text = recorder.tell();
    let (kept, all) = (again.records().len(), recording.records().len());
    assert!(kept < all && head(&text).starts_with(&format!("{all} events, of which the first ")), "{text}");
    assert!(recording.narrate(2).ends_with(body(&text)), "{text}");
}

#[test]
fn a_run_that_begins_meanwhile_on_another_thread_is_refused() {
    let recorder = FlightRecorder::new(100);
    let (handle, own) = (recorder.clone(), recorder.clone());
    let (say_start, started) = mpsc::channel();
    let (let_go, gate) = mpsc::channel::<()>();
    let first = thread::spawn(move || {
        runner().observer(handle).run(|| {
            say_start.send(()).unwrap();
            let _ = gate.recv(); // blocks the loop
            named("first", || Ok(())).join()
        })
    });
    started.recv().unwrap();
    let mut second = runner().observer(own);
    let (end, lines) = logged(|| second.run(|| named("second", || Ok(())).join()));
    end.unwrap();
    only(&lines, "WARN corio::flight", &["one run at a time"]);
    let_go.send(()).unwrap();
    first.join().unwrap().unwrap();
    let text = recorder.tell();
    assert!(text.contains("first      ✔ returns") && !text.contains("second"), "{text}");
    // The next one is recorded.
    second.run(|| named("third", || Ok(())).join()).unwrap();
    assert!(recorder.tell().contains("third      ✔ returns"));
}

#[test]
fn printed_lines_go_to_the_terminal() {
    const NAME: &str = "printed_lines_go_to_the_terminal";
    if plays(NAME) {
        let recorder = FlightRecorder::new(5);
        Runner::new()
            .observer(recorder.clone())
            .run(|| {
                (0..9).try_for_each(|n| {
                    say!("line {n}");
                    yield_now()
                })
            })
            .unwrap();
        eprintln!("{}", recorder.tell());
        return;
    }
    let ended = common::child(NAME);
    ended.succeeded();
    assert!((0..9).all(|n| ended.stdout.contains(&format!("line {n}\n"))), "{}", ended.stdout);
    assert!(!ended.stderr.contains("line 7"), "{}", ended.stderr);
}

#[test]
fn its_memory_is_bounded() {
    const TASKS: u32 = if cfg!(debug_assertions) { 20_000 } else { 200_000 };
    let recorder = FlightRecorder::new(50);
    let (asked, text) = (recorder.clone(), recorder.clone());
    runner()
        .observer(recorder)
        .run(move || {
            for n in 0..TASKS {
                let task = named(&format!("task number {n}"), yield_now);
                task.join()?;
                if n % 1_000 == 0 {
                    say!("{n}");
                    mark("a thousand");
                }
            }
            let state = format!("{asked:?}");
            let fields: Vec<&str> = state.split([' ', ',', '{', '}']).filter(|word| !word.is_empty()).collect();
            let number = |name: &str| -> u32 {
                let at = fields.iter().position(|field| *field == format!("{name}:")).expect(name);
                fields[at + 1].parse().unwrap()
            };
            assert_eq!((number("capacity"), number("events")), (50, 50), "{state}");
            assert!(number("tasks") < 20 && number("names") < 20 && number("texts") <= 2, "{state}");
            Ok(())
        })
        .unwrap();
    let text = text.tell();
    assert!(text.contains(&format!("task number {}", TASKS - 1)) && !text.contains(" task-"), "{text}");
}

/// The handle is what other threads need.
#[test]
fn it_can_be_sent_and_shared() {
    fn is_send_and_sync<T: Send + Sync + Clone + 'static>() {}
    is_send_and_sync::<FlightRecorder>();
    is_send_and_sync::<Trouble>();
}

// ---- the environment ----------------------------------------------------------------------------------------------

#[test]
fn the_environment_gives_each_loop_a_recorder() {
    const NAME: &str = "the_environment_gives_each_loop_a_recorder";
    if plays(NAME) {
        let ((), lines) = logged(|| {
            for _ in 0..2 {
                let end = Runner::new().virtual_clock().run(|| {
                    say!("hello");
                    sleep(secs(1))?;
                    corio::Event::new().wait()
                });
                end.unwrap_err();
            }
        });
        let told: Vec<&String> = lines.iter().filter(|line| line.starts_with("ERROR corio::flight")).collect();
        match std::env::var("CORIO_FLIGHT").as_deref() {
            Ok("7") => {
                assert_eq!(told.len(), 2, "{lines:#?}");
                assert_eq!(told[0], told[1]);
                assert_eq!(told[0].lines().count(), 9, "{}", told[0]);
            }
            _ => assert!(told.is_empty(), "{told:#?}"),
        }
        return;
    }
    for value in ["7", "0", "", " "] {
        let ended = child_with(NAME, &[("CORIO_FLIGHT", value)]);
        assert_eq!(ended.succeeded().stdout.matches("hello\n").count(), 2, "{ended:?}");
    }
}

#[test]
fn what_is_no_number_is_an_error() {
    const NAME: &str = "what_is_no_number_is_an_error";
    if plays(NAME) {
        let error = corio::run(|| Ok(())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let given = std::env::var("CORIO_FLIGHT").unwrap();
        let said = format!("CORIO_FLIGHT is a number of events to keep, and not {given:?}");
        assert!(error.to_string().contains(&said), "{error}");
        return;
    }
    // The last is more than any machine can keep.
    for value in ["many", "-1", "1e3", "99999999999999999"] {
        child_with(NAME, &[("CORIO_FLIGHT", value)]).succeeded();
    }
}

/// Debug mode says who is slow, and the recorder how it came to that.
#[test]
fn in_debug_mode_slow_steps_are_told() {
    const NAME: &str = "in_debug_mode_slow_steps_are_told";
    if plays(NAME) {
        let ((), lines) = logged(|| {
            let slow = || {
                spin(millis(30));
                Ok(())
            };
            Runner::new().slow_step(millis(20)).run(|| named("slow", slow).join()).unwrap();
        });
        let told = |line: &&String| line.starts_with("WARN corio::flight: slow (2) ran for ");
        let wanted = usize::from(std::env::var_os("CORIO_DEBUG").is_some_and(|value| value == "1"));
        assert_eq!(lines.iter().filter(told).count(), wanted, "{lines:#?}");
        return;
    }
    for debug in ["1", "0"] {
        child_with(NAME, &[("CORIO_FLIGHT", "100"), ("CORIO_DEBUG", debug)]).succeeded();
    }
}

#[test]
fn the_recorder_of_a_test_writes_to_the_error_stream() {
    const NAME: &str = "the_recorder_of_a_test_writes_to_the_error_stream";
    if plays(NAME) {
        let panics = || named("Ada", || -> io::Result<()> { panic!("on purpose") }).join();
        testing::Options::new().seed(7).run(panics);
        return;
    }
    let ended = child_with(NAME, &[("CORIO_FLIGHT", "100")]);
    assert!(!ended.status.success());
    assert!(ended.stderr.contains(&format!("corio: {NAME} CORIO_SEED=7: Ada (2) panicked; so far ")), "{ended:#?}");
    assert!(ended.stderr.contains("Ada        ✘ panics\n"), "{ended:#?}");
}
