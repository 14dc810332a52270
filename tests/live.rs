//! The live view: asked from other threads, from other processes, and by signals.

#![cfg(feature = "observe")]

use std::cell::Cell;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use corio::live::{self, Question};
use corio::net::{TcpListener, TcpStream};
use corio::observe::event::{Event, Record};
use corio::observe::{self, Recording};
use corio::signal::Signal;
use corio::sync::{Mutex, Semaphore};
use corio::testing::Network;
use corio::{
    Backend, Builder, LoopHandle, Runner, gather, is_cancelled, millis, scope, secs, sleep, spawn, timeout, to_thread,
    yield_now,
};
use serde_json::Value;

mod common;
#[cfg(feature = "backtrace")]
#[path = "../examples/e60_hung_server.rs"]
#[allow(dead_code)] // its `main`
mod e60_hung_server;
use common::{Directory, Ended, child_command, example, finish, in_child, leave, plays, watchdog};

fn own(question: Question) -> io::Result<String> {
    live::ask(std::process::id(), question)
}

/// By the loops themselves: on a busy machine one may be late, and another test may block its own.
fn answered(question: Question) -> io::Result<String> {
    loop {
        let answer = own(question)?;
        if !answer.contains("It does not answer") && !answer.contains(r#""blocked":true"#) {
            return Ok(answer);
        }
    }
}

/// Somebody who asks while a loop is blocked: whoever calls the function blocks its thread until he has asked.
fn asks_while_blocked<T: Send + 'static>(
    ask: impl FnOnce() -> T + Send + 'static,
) -> (impl FnOnce(), thread::JoinHandle<T>) {
    let (begin, begun) = mpsc::channel();
    let (end, over) = mpsc::channel();
    let reader = thread::spawn(move || {
        begun.recv().unwrap();
        let answer = ask();
        end.send(()).unwrap();
        answer
    });
    let block = move || {
        begin.send(()).unwrap();
        over.recv().unwrap();
    };
    (block, reader)
}

/// Compares a text that stands in the documents with its file; `BLESS=1` rewrites that.
fn is_golden(name: &str, told: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/golden/{name}.txt"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, told).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), told, "{} is old; BLESS=1 rewrites it", path.display());
}

/// With a `#` for each time and each line: they differ from run to run, and from one edition of this file to the next.
fn without_numbers(told: &str) -> String {
    let mut text = String::new();
    let mut rest = told;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let length = rest[at..].find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len() - at);
        let number = rest[at..at + length].trim_end_matches('.');
        let is_place = rest[..at].ends_with(".rs:");
        text += &rest[..at];
        text += if number.contains('.') || is_place { "#" } else { number };
        rest = &rest[at + number.len()..];
    }
    text + rest
}

/// What is shown of the loop with that task: other tests have theirs.
fn section<'a>(answer: &'a str, task: &str) -> &'a str {
    let sections = answer.split("\n── loop ").find(|section| section.contains(task));
    sections.unwrap_or_else(|| panic!("nothing of {task}:\n{answer}"))
}

fn loop_with(answer: &str, task: &str) -> Value {
    let answer: Value = serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}:\n{answer}"));
    assert_eq!((answer["format_version"].as_u64(), answer["pid"].as_u64()), (Some(1), Some(std::process::id().into())));
    let has_it = |shown: &&Value| shown["tasks"].as_array().unwrap().iter().any(|other| other["name"] == task);
    answer["loops"].as_array().unwrap().iter().find(has_it).unwrap_or_else(|| panic!("no {task} in {answer}")).clone()
}

/// Somebody who asks, again and again, until this is dropped.
struct Crowd {
    over: Arc<AtomicBool>,
    answers: Arc<AtomicU32>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Crowd {
    fn new(task: &'static str) -> Crowd {
        let (over, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (its_over, its_answers) = (over.clone(), answers.clone());
        let thread = thread::spawn(move || {
            for question in [Question::Ps, Question::Stacks, Question::Json].into_iter().cycle() {
                if its_over.load(Ordering::SeqCst) {
                    return;
                }
                // Before the run and after it there may be nobody.
                let answer = own(question).unwrap_or_default();
                let by_the_loop = !answer.contains("does not answer") && !answer.contains(r#""blocked":true"#);
                its_answers.fetch_add(u32::from(by_the_loop && answer.contains(task)), Ordering::SeqCst);
            }
        });
        Crowd { over, answers, thread: Some(thread) }
    }

    fn answers(&self) -> u32 {
        self.answers.load(Ordering::SeqCst)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Sockets, timers, time limits and a task that is always ready, on the virtual clock, for as many rounds as are wanted.
fn recorded(looked_at: bool, mut goes_on: impl FnMut() -> bool) -> Vec<Record> {
    let recording = Recording::new();
    let network = Network::new().latency(millis(1)..=millis(3));
    let runner = Runner::new().virtual_clock().seed(7).backend(Backend::Simulated(network)).live_view(looked_at);
    let ended = runner.observer(recording.clone()).run(|| {
        let busy = Builder::new().name("busy").spawn(|| -> io::Result<()> {
            loop {
                (0..100).try_for_each(|_| yield_now())?; // meanwhile no time passes
                sleep(millis(1))?;
            }
        })?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let echo = spawn(move || {
            let (mut stream, _) = listener.accept()?;
            io::copy(&mut stream.try_clone()?, &mut stream)
        });
        let mut stream = TcpStream::connect(address)?;
        for n in 0.. {
            if !goes_on() {
                break;
            }
            if n == 9 {
                busy.cancel(); // from now on the loop sleeps as well
            }
            stream.write_all(b"ping")?;
            stream.read_exact(&mut [0; 4])?;
            let _ = timeout(millis(3), || sleep(millis(n % 5)));
        }
        drop(stream);
        echo.join()
    });
    ended.unwrap();
    recording.records()
}

#[test]
fn t06_a_run_is_the_same_with_a_crowd_that_looks_at_it() {
    let _watchdog = watchdog();
    let (crowd, rounds) = (Crowd::new("main (1)"), Cell::new(0));
    let with = recorded(true, || {
        rounds.set(rounds.get() + 1);
        rounds.get() < 50 || crowd.answers() < 20
    });
    drop(crowd);
    let mut left = rounds.get();
    let without = recorded(false, || {
        left -= 1;
        left > 0
    });
    for (without, with) in without.iter().zip(&with) {
        assert_eq!(without, with);
    }
    assert_eq!(without.len(), with.len());
}

/// A poll that somebody has ended who only looks goes on, for what is left of its time, and nothing tells of it.
#[test]
fn t06_a_sleep_is_one_poll_however_many_look() {
    let _watchdog = watchdog();
    loop {
        let recording = Recording::new();
        let answered = Runner::new().ctrl_c(false).live_view(true).observer(recording.clone()).run(|| {
            let _sleeper = Builder::new().name("sleeper").spawn(|| sleep(secs(3600)))?;
            yield_now()?;
            let crowd = Crowd::new("sleeper (2)");
            let start = corio::now();
            sleep(millis(200))?;
            assert!(corio::now() - start >= millis(200), "it woke too early");
            Ok(crowd.answers())
        });
        let polls = recording.records().into_iter().filter(|record| matches!(record.event, Event::PollEnter { .. }));
        assert_eq!(polls.count(), 1, "{}", recording.narrate(2));
        if answered.unwrap() > 0 {
            return; // on a busy machine nobody may have come
        }
    }
}

/// Neither does a signal that the loop's own thread gets.
#[test]
fn t06_a_dump_by_a_signal_leaves_the_records_as_they_were() {
    const NAME: &str = "t06_a_dump_by_a_signal_leaves_the_records_as_they_were";
    let ended = in_child(NAME, || {
        let recording = Recording::new();
        let runner = Runner::new().dump_on(Signal::User1).observer(recording.clone());
        let ended = runner.ctrl_c(false).run(|| {
            // SAFETY: a number without a condition.
            let this_thread = unsafe { libc::pthread_self() };
            let start = std::time::Instant::now();
            let signals = thread::spawn(move || {
                for _ in 0..10 {
                    thread::sleep(millis(10));
                    // SAFETY: that thread runs until this one has been joined.
                    unsafe { libc::pthread_kill(this_thread, libc::SIGUSR1) };
                }
            });
            sleep(millis(300))?;
            assert!(start.elapsed() >= millis(300), "it woke too early");
            signals.join().unwrap(); // none comes when nobody listens any more
            Ok(())
        });
        ended.unwrap();
        let polls = recording.records().into_iter().filter(|record| matches!(record.event, Event::PollEnter { .. }));
        assert_eq!(polls.count(), 1, "{}", recording.narrate(2));
    });
    assert!(ended.succeeded().stderr.contains("main (1)"), "{ended:?}");
}

#[test]
fn who_blocks_the_loop_is_said_while_he_does() {
    let _watchdog = watchdog();
    let told = Runner::new().live_view(true).run(|| {
        let (block, reader) = asks_while_blocked(|| {
            [Question::Ps, Question::Json, Question::Stacks].map(|question| own(question).unwrap())
        });
        let waiter = Builder::new().name("waiter").spawn(|| sleep(secs(3600)))?;
        let spinner = Builder::new().name("spinner").spawn(move || {
            yield_now()?;
            block();
            Ok(())
        })?;
        yield_now()?;
        spinner.join()?;
        waiter.cancel();
        Ok(reader.join().unwrap())
    });
    let [ps, json, stacks] = told.unwrap();
    let shown = section(&ps, "spinner (3)");
    assert!(shown.contains("It does not answer: spinner (3) blocks it, for "), "{ps}");
    assert!(shown.contains("It went on at live.rs:"), "{ps}");
    assert!(shown.contains("waiter (2)   parked") && shown.contains("main (1)     parked"), "{ps}");
    let head = shown[shown.find("loop at").unwrap()..].split("\n\n").next().unwrap();
    is_golden("blocked", &(without_numbers(head) + "\n"));
    assert!(section(&stacks, "spinner (3)").contains("blocks it"), "{stacks}");
    let shown = loop_with(&json, "spinner");
    assert_eq!((&shown["blocked"], &shown["running"]), (&Value::Bool(true), &serde_json::json!([3])), "{shown}");
    assert!(shown["tasks"][2]["in_state"].as_u64().unwrap() >= 300_000_000, "{shown}");
}

#[test]
fn a_loop_that_a_callback_blocks_is_shown_as_it_was() {
    let _watchdog = watchdog();
    let told = Runner::new().live_view(true).run(|| {
        let (block, reader) = asks_while_blocked(|| own(Question::Ps).unwrap());
        let _named = Builder::new().name("held up by a callback").spawn(|| sleep(secs(3600)))?;
        yield_now()?;
        corio::call_soon(block);
        to_thread(move || reader.join().unwrap())
    });
    let told = told.unwrap();
    assert!(
        section(&told, "held up by a callback").contains("no task runs: a callback or an observer blocks it"),
        "{told}"
    );
}

/// A lock has passed on since others began to wait for it. What was so at first would be a circle, which there is not.
#[test]
fn who_has_a_lock_is_said_of_a_loop_that_is_blocked() {
    let _watchdog = watchdog();
    let told = Runner::new().live_view(true).run(|| {
        let (block, reader) =
            asks_while_blocked(|| [Question::Ps, Question::Json].map(|question| own(question).unwrap()));
        let (one, other) = (Mutex::new(()), Mutex::new(()));
        scope(|s| {
            let (one, other) = (&one, &other);
            let named = |name: &str| Builder::new().name(name);
            drop(named("first").spawn_scoped(s, || {
                let mine = one.lock()?;
                sleep(millis(5))?;
                drop(mine);
                other.lock().map(drop)
            })?);
            drop(named("second").spawn_scoped(s, || {
                let _mine = one.lock()?;
                sleep(millis(5))?;
                block();
                Ok(())
            })?);
            drop(named("third").spawn_scoped(s, || {
                let _mine = other.lock()?;
                one.lock().map(drop)
            })?);
            Ok(())
        })?;
        to_thread(move || reader.join().unwrap())
    });
    let [ps, json] = told.unwrap();
    let shown = section(&ps, "second (3)");
    assert!(shown.contains("It does not answer: second (3) blocks it") && !shown.contains("cycle"), "{ps}");
    assert!(shown.contains("lock 1, which second has") && shown.contains("lock 2, which third has"), "{ps}");
    let shown = loop_with(&json, "second");
    assert_eq!((&shown["cycle"], &shown["tasks"][3]["waits_for"]["holder"]), (&Value::Null, &serde_json::json!(3)));
}

#[test]
fn a_loop_that_was_blocked_answers_again() {
    let _watchdog = watchdog();
    let told = Runner::new().live_view(true).run(|| {
        let blocks = || own(Question::Ps).unwrap().contains("blocks it");
        let (block, reader) = asks_while_blocked(move || (0..3).filter(|_| blocks()).count());
        let _other = Builder::new().name("free again").spawn(|| sleep(secs(3600)))?;
        yield_now()?;
        block();
        let told = to_thread(|| answered(Question::Ps))??;
        Ok((reader.join().unwrap(), section(&told, "free again").contains("main (1)        parked")))
    });
    assert_eq!(told.unwrap(), (3, true));
}

#[test]
fn the_picture_for_programs_says_all_of_it() {
    let _watchdog = watchdog();
    let json = Runner::new().live_view(true).run(|| {
        let (lock, permits) = (Mutex::new(()), Semaphore::new(0));
        let listener = TcpListener::bind("127.0.0.1:0")?;
        scope(|s| {
            let (lock, permits, listener) = (&lock, &permits, &listener);
            drop(Builder::new().name("holder").spawn_scoped(s, || {
                let _held = lock.lock()?;
                permits.acquire().map(drop)
            })?);
            drop(Builder::new().name("other").spawn_scoped(s, || lock.lock().map(drop))?);
            drop(Builder::new().name("host").spawn_scoped(s, || listener.accept().map(drop))?);
            drop(Builder::new().name("hasty").spawn_scoped(s, || timeout(secs(50), || sleep(secs(90))))?);
            yield_now()?;
            let answer = to_thread(|| answered(Question::Json))?;
            s.cancel();
            answer
        })
    });
    let shown = loop_with(&json.unwrap(), "holder");
    let task = |name: &str| shown["tasks"].as_array().unwrap().iter().find(|task| task["name"] == name).unwrap();
    let id = |name: &str| task(name)["id"].as_u64().unwrap();
    assert_eq!(
        (&shown["blocked"], &shown["cycle"], &shown["running"]),
        (&false.into(), &Value::Null, &serde_json::json!([]))
    );
    assert_eq!((&shown["ready"], shown["helper_threads"].as_u64()), (&serde_json::json!([]), Some(1)));
    assert_eq!(task("main")["waits_for"], serde_json::json!({"kind": "thread", "text": "a helper thread"}));
    let waits = &task("other")["waits_for"];
    assert_eq!((&waits["kind"], waits["holder"].as_u64()), (&"thing".into(), Some(id("holder"))), "{waits}");
    assert!(waits["text"].as_str().unwrap().ends_with(", which holder has"), "{waits}");
    let source = &task("host")["waits_for"];
    assert_eq!(source["kind"], "readable");
    let sources = shown["sources"].as_array().unwrap();
    let own = sources.iter().find(|other| other["id"] == source["source"]).unwrap();
    assert!(own["descriptor"].as_i64().unwrap() > 2, "{own}");
    let limits = shown["timers"].as_array().unwrap().iter().filter(|timer| timer["task"] == id("hasty"));
    let mut purposes: Vec<&str> = limits.map(|timer| timer["purpose"].as_str().unwrap()).collect();
    purposes.sort_unstable();
    assert_eq!(purposes, ["limit", "wake"]);
    let group = &shown["groups"].as_array().unwrap()[0];
    assert_eq!((&group["owner"], &task("hasty")["group"]), (&serde_json::json!(1), &group["id"]));
    assert!(task("hasty")["in_state"].as_u64().is_some() && task("hasty")["cancelled"].is_null());
    assert!(task("hasty")["paused_at"]["file"].as_str().unwrap().ends_with("live.rs"));
    assert_eq!(task("host").get("stack"), None);
}

#[test]
fn a_circle_is_named() {
    let _watchdog = watchdog();
    let told = Runner::new().virtual_clock().run(|| {
        let (one, other) = (Mutex::new(()), Mutex::new(()));
        let ended = scope(|s| {
            let (one, other) = (&one, &other);
            let both = move |first: &Mutex<()>, second: &Mutex<()>| {
                let _first = first.lock()?;
                yield_now()?;
                second.lock().map(drop)
            };
            s.spawn(move || both(one, other));
            s.spawn(move || both(other, one));
            sleep(secs(1))?;
            let told = (observe::dump(), observe::dump_json());
            s.cancel();
            Ok(told)
        });
        ended.map(|told: (String, String)| told)
    });
    let (text, json) = told.unwrap();
    assert!(text.ends_with("\ncycle: task-2 waits for task-3, task-3 waits for task-2\n"), "{text}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["cycle"], serde_json::json!([2, 3]));
    assert_eq!(observe::dump_json(), "null");
}

#[test]
fn all_loops_of_a_process_are_shown() {
    let _watchdog = watchdog();
    let name = |n: u32| format!("one of several, number {n}");
    let ready = Arc::new(std::sync::Barrier::new(3));
    let done = Arc::new(std::sync::Barrier::new(3));
    let threads: Vec<_> = (0..2)
        .map(|n| {
            let (ready, done) = (ready.clone(), done.clone());
            thread::spawn(move || {
                Runner::new().live_view(true).run(|| {
                    let _other = Builder::new().name(name(n)).spawn(|| sleep(secs(3600)))?;
                    yield_now()?;
                    to_thread(move || {
                        ready.wait();
                        done.wait();
                    })
                })
            })
        })
        .collect();
    ready.wait();
    let (told, json) = (answered(Question::Ps).unwrap(), answered(Question::Json).unwrap());
    done.wait();
    for (n, thread) in (0..2).zip(threads) {
        assert!(!section(&told, &name(n)).contains(&name(1 - n)), "{told}");
        assert_eq!(loop_with(&json, &name(n))["tasks"].as_array().unwrap().len(), 2);
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn a_runner_is_shown_in_each_of_its_runs_and_not_between() {
    const NAME: &str = "a_runner_is_shown_in_each_of_its_runs_and_not_between";
    // In a process of its own: nobody else is shown there.
    in_child(NAME, || {
        let mut runner = Runner::new().live_view(true);
        for run in 1..=3 {
            let told = runner.run(|| to_thread(|| own(Question::Ps))?).unwrap();
            assert!(told.contains(&format!("main ({run})")), "{told}");
            let error = own(Question::Ps).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains("CORIO_LIVE=1"), "{error}");
            assert!(!live::processes().contains(&std::process::id()));
        }
        // Who does not want to be seen is not.
        let unseen = Runner::new().run(|| to_thread(|| own(Question::Ps).is_err()));
        assert!(unseen.unwrap());
    })
    .succeeded();
}

/// The socket of this process, if its runtime directory is that one.
fn socket(runtime: &Path, pid: u32) -> PathBuf {
    runtime.join("corio").join(format!("{pid}.sock"))
}

#[test]
fn the_socket_is_its_owners_only() {
    const NAME: &str = "the_socket_is_its_owners_only";
    if plays(NAME) {
        let _watchdog = watchdog();
        let runtime = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap());
        Runner::new().live_view(true).run(|| to_thread(move || look_at_the_lock(&runtime))).unwrap();
        leave();
    }
    let runtime = Directory::new();
    let mut child = child_command(NAME);
    child.env("XDG_RUNTIME_DIR", runtime.path(""));
    finish(child).succeeded();
    assert!(fs::read_dir(runtime.path("corio")).unwrap().next().is_none(), "the socket is left behind");
}

fn look_at_the_lock(runtime: &Path) {
    let (directory, path) = (runtime.join("corio"), socket(runtime, std::process::id()));
    assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
    let asked = |mut stream: UnixStream| {
        stream.write_all(b"ps\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(asked(UnixStream::connect(&path).unwrap()).contains("main (1)"));
    #[cfg(target_os = "linux")]
    if fs::metadata(&path).unwrap().uid() == 0 {
        stay_out(runtime, &directory, &path); // only root can be somebody else
    }
}

/// As somebody else: Linux gives each thread a user of its own.
#[cfg(target_os = "linux")]
fn as_nobody<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    let become_nobody = || {
        // SAFETY: three numbers; it concerns this thread only, which ends soon.
        let changed = unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) };
        assert_eq!(changed, 0);
        f()
    };
    thread::scope(|s| s.spawn(become_nobody).join().unwrap())
}

#[cfg(target_os = "linux")]
fn stay_out(runtime: &Path, directory: &Path, path: &Path) {
    let error = as_nobody(|| UnixStream::connect(path).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    // The door stands open, and still nobody else is answered.
    for path in [runtime, directory] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    let mut answer = Vec::new();
    as_nobody(|| {
        let mut stream = UnixStream::connect(path).unwrap();
        let _ = stream.write_all(b"ps\n"); // it may be closed by now
        let _ = stream.read_to_end(&mut answer);
    });
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_directory_that_others_may_enter_is_not_used() {
    const NAME: &str = "a_directory_that_others_may_enter_is_not_used";
    if plays(NAME) {
        let _watchdog = watchdog();
        let place = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap()).join("corio");
        let told = Runner::new().live_view(true).run(|| {
            assert!(fs::read_dir(&place).unwrap().next().is_none(), "it is where others may enter");
            to_thread(|| own(Question::Ps))?
        });
        assert!(told.unwrap().contains("main (1)"), "another place is found");
        leave();
    }
    let (open, own, other) = (Directory::new(), Directory::new(), Directory::new());
    fs::create_dir(open.path("corio")).unwrap();
    fs::set_permissions(open.path("corio"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(other.path(""), own.path("corio")).unwrap();
    for runtime in [&open, &own] {
        let mut child = child_command(NAME);
        child.env("XDG_RUNTIME_DIR", runtime.path(""));
        finish(child).succeeded();
    }
    assert!(
        fs::read_dir(open.path("corio")).unwrap().next().is_none()
            && fs::read_dir(other.path("")).unwrap().next().is_none()
    );
}

#[test]
fn the_environment_can_ask_for_it_and_a_killed_programs_socket_is_in_nobodys_way() {
    const NAME: &str = "the_environment_can_ask_for_it_and_a_killed_programs_socket_is_in_nobodys_way";
    if plays(NAME) {
        let _watchdog = watchdog();
        let runtime = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap());
        let path = socket(&runtime, std::process::id());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
        drop(UnixListener::bind(&path).unwrap()); // of one that had this number
        assert!(own(Question::Ps).is_err() && !live::processes().contains(&std::process::id()));
        let ask = move || {
            UnixStream::connect(&path)?; // it has come in the place of that one
            own(Question::Ps)
        };
        assert!(corio::run(|| to_thread(ask)?).unwrap().contains("main (1)"));
        leave();
    }
    let runtime = Directory::new();
    let mut child = child_command(NAME);
    child.env("XDG_RUNTIME_DIR", runtime.path("")).env("CORIO_LIVE", "1");
    finish(child).succeeded();
}

#[test]
fn the_tool_asks_one_program_and_says_what_is_wrong() {
    const NAME: &str = "the_tool_asks_one_program_and_says_what_is_wrong";
    let attach = |arguments: &[&str]| {
        let mut command = Command::new(example("attach"));
        command.args(arguments);
        finish(command)
    };
    if plays(NAME) {
        let _watchdog = watchdog();
        let pid = std::process::id().to_string();
        let asked = Runner::new().live_view(true).run(|| {
            let _clerk = Builder::new().name("clerk").spawn(|| sleep(secs(3600)))?;
            to_thread(move || {
                for arguments in [&[&*pid][..], &[&pid, "ps"], &[&pid, "stacks"], &["json", &pid]] {
                    let ended = attach(arguments);
                    assert!(ended.succeeded().stdout.contains("clerk"), "{arguments:?}: {ended:?}");
                }
                let other = child_command(NAME).env("CORIO_TEST_SCENARIO", "another program that is shown").spawn();
                let mut other = other.unwrap();
                while !live::processes().contains(&other.id()) {
                    thread::yield_now();
                }
                let ended = attach(&["json"]);
                other.kill().unwrap();
                other.wait().unwrap();
                let is_listed = |pid: &str| ended.stderr.lines().any(|line| line.trim_start().starts_with(pid));
                assert!(ended.status.code() == Some(2) && ended.stdout.is_empty(), "{ended:?}");
                assert!(is_listed(&pid) && is_listed(&other.id().to_string()), "{ended:?}");
                // What the killed one has left is in nobody's way.
                assert!(!live::processes().contains(&other.id()));
            })
        });
        asked.unwrap();
        leave();
    }
    if plays("another program that is shown") {
        Runner::new().live_view(true).run(|| sleep(secs(3600))).unwrap();
    }
    let runtime = Directory::new();
    let mut child = child_command(NAME);
    child.env("XDG_RUNTIME_DIR", runtime.path("")).env("TMPDIR", runtime.path(""));
    finish(child).succeeded();
    for (arguments, code, said) in [
        (&["--help"][..], 0, "usage: attach"),
        (&["1", "top"], 2, "`top` cannot be asked"),
        (&["99999999999"], 2, "`99999999999` is no process id"),
        (&["1"], 2, "process 1 does not let itself be seen: start it with CORIO_LIVE=1"),
        (&["ps", "json"], 2, "usage: attach"),
    ] {
        let ended = attach(arguments);
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(ended.status.code() == Some(code) && told.starts_with(said), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn guests_without_manners_hold_nobody_up_for_long() {
    const NAME: &str = "guests_without_manners_hold_nobody_up_for_long";
    if plays(NAME) {
        let _watchdog = watchdog();
        let runtime = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap());
        let ended = Runner::new().live_view(true).run(|| {
            let tasks: Vec<_> = (0..5_000).map(|_| spawn(|| sleep(secs(3600)))).collect();
            yield_now()?;
            let told = to_thread(move || {
                let connect = || UnixStream::connect(socket(&runtime, std::process::id())).unwrap();
                let silent = connect();
                let mut deaf = connect();
                deaf.write_all(b"json\n").unwrap(); // more than a socket holds, and nobody reads it
                let mut rude = connect();
                rude.write_all(&[b'x'; 10_000]).ok();
                let mut strange = connect();
                strange.write_all(b"\xff\xfe\n").unwrap();
                let mut hasty = connect();
                hasty.write_all(b"ps\n").unwrap();
                drop(hasty); // it does not wait for the answer
                let told = own(Question::Ps);
                let mut answer = String::new();
                strange.read_to_string(&mut answer).unwrap();
                assert!(answer.contains("cannot be asked; `ps`, `json`, `stacks` and `json-stacks` can"), "{answer}");
                drop((silent, deaf, rude));
                told
            });
            drop(tasks);
            told?
        });
        let told = ended.unwrap();
        assert!(told.contains("task-5001 (5001)") && told.contains("timers") && told.contains(", and 4970 more\n"));
        leave();
    }
    let runtime = Directory::new();
    let mut child = child_command(NAME);
    child.env("XDG_RUNTIME_DIR", runtime.path(""));
    finish(child).succeeded();
}

#[test]
fn a_signal_writes_the_tasks_to_stderr_also_while_one_blocks() {
    const NAME: &str = "a_signal_writes_the_tasks_to_stderr_also_while_one_blocks";
    if plays(NAME) {
        let _watchdog = watchdog();
        let ended = Runner::new().dump_on(Signal::User1).run(|| {
            let _sleeper = Builder::new().name("sleeper").spawn(|| sleep(secs(3600)))?;
            yield_now()?;
            println!("ready");
            sleep(secs(3600))
        });
        assert!(is_cancelled(&ended.unwrap_err()));
        let ended = Runner::new().dump_on(Signal::User1).run(|| {
            Builder::new().name("spinner").spawn(|| -> io::Result<()> {
                println!("spinning");
                let mut word = String::new();
                io::stdin().read_line(&mut word).map(drop) // blocks the thread
            })?;
            sleep(secs(3600))
        });
        assert!(is_cancelled(&ended.unwrap_err()));
        // A signal that nobody can listen for is no reason not to run.
        Runner::new().dump_on(Signal::of_number(9)).run(|| Ok(())).unwrap();
        leave();
    }
    let _watchdog = watchdog();
    let mut child = child_command(NAME);
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let (mut out, mut told) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let until = |from: &mut dyn Read, word: &str| {
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while !String::from_utf8_lossy(&seen).contains(word) {
            assert_eq!(from.read(&mut byte).unwrap(), 1, "it ended: {}", String::from_utf8_lossy(&seen));
            seen.push(byte[0]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    };
    let pid = child.id().to_string();
    let kill = |signal: &str| {
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    };
    until(&mut out, "ready\n");
    kill("-USR1");
    let dump = until(&mut told, "\ntimers ");
    assert!(dump.contains("sleeper (2)") && dump.contains("main (1)     parked"), "{dump}");
    kill("-INT");
    until(&mut out, "spinning\n");
    kill("-USR1");
    let dump = until(&mut told, "\ntimers ");
    assert!(dump.contains("It does not answer: spinner (2) blocks it"), "{dump}");
    drop(child.stdin.take());
    kill("-INT");
    let (status, mut rest) = (child.wait().unwrap(), String::new());
    told.read_to_string(&mut rest).unwrap();
    assert!(status.success(), "{status}: {rest}");
}

#[cfg(feature = "backtrace")]
#[test]
fn stacks_are_shown_from_outside() {
    let _watchdog = watchdog();
    #[inline(never)]
    fn wait_for_the_guest() -> io::Result<()> {
        sleep(secs(3600))
    }
    let told = Runner::new().live_view(true).run(|| {
        let _host = Builder::new().name("the host of the party").spawn(wait_for_the_guest)?;
        yield_now()?;
        to_thread(|| Ok::<_, io::Error>((answered(Question::Stacks)?, answered(Question::JsonStacks)?)))?
    });
    let (text, json) = told.unwrap();
    let shown = section(&text, "the host of the party");
    assert!(shown.contains("the host of the party (2) stands in\n") && shown.contains("wait_for_the_guest"), "{text}");
    let tasks = &loop_with(&json, "the host of the party")["tasks"];
    let calls: Vec<&str> = tasks[1]["stack"].as_array().unwrap().iter().map(|call| call.as_str().unwrap()).collect();
    assert!(calls.iter().any(|call| call.contains("wait_for_the_guest")), "{calls:?}");
}

/// The text of `docs/learn/a-server-that-hangs.md`.
#[cfg(feature = "backtrace")]
#[test]
#[cfg_attr(feature = "sanitizer", ignore = "another compiler names closures otherwise")]
fn the_stacks_of_the_server_that_hangs() {
    let _watchdog = watchdog();
    let told = std::rc::Rc::new(std::cell::RefCell::new(String::new()));
    let says = told.clone();
    let look = move |record: &Record, names: &observe::Names| {
        if matches!(record.event, Event::Mark { text } if names.text(text) == "asking") {
            says.replace(observe::dump_stacks());
        }
    };
    let network = Network::new().latency(millis(10)..=millis(10));
    let runner = Runner::new().virtual_clock().backend(Backend::Simulated(network));
    runner.observer(look).run(e60_hung_server::program).unwrap();
    let told = told.take();
    let stacks = &told[told.find("main (1) stands in").unwrap_or_else(|| panic!("{told}"))..];
    // Main's own is that of whoever starts it.
    let (_, stacks) = stacks.split_once("\n\n").unwrap();
    // With lines as the only debug information, some have names without a module.
    let told = |line: &str| match line.trim_start().split_once("  ") {
        Some((call, place)) if line.starts_with("    ") => {
            let call = call.strip_prefix("live::e60_hung_server::").unwrap_or(call);
            format!("    {:<50}  {}\n", format!("e60_hung_server::{call}"), place.trim_start())
        }
        _ => format!("{line}\n"),
    };
    is_golden("stacks_e60_hung_server", &stacks.lines().map(told).collect::<String>());
}

#[cfg(not(feature = "backtrace"))]
#[test]
fn without_the_feature_it_is_said_that_there_are_no_stacks() {
    let _watchdog = watchdog();
    let told = Runner::new().live_view(true).run(|| to_thread(|| own(Question::Stacks))?);
    assert!(told.unwrap().ends_with("built with corio's feature `backtrace`.\n"));
}

#[test]
fn many_come_and_go_while_runs_begin_and_end() {
    let _watchdog = watchdog();
    let crowds = [Crowd::new("main"), Crowd::new("main")];
    for _ in 0..100 {
        let total = Runner::new().live_view(true).run(|| gather(0..5, |n| sleep(millis(n % 2)).map(|()| n)));
        assert_eq!(total.unwrap().into_iter().sum::<u64>(), 10);
    }
    drop(crowds);
}

#[test]
fn a_virtual_clock_waits_for_no_handle_that_has_just_gone() {
    const ROUNDS: u32 = 30_000; // the moment between the last look and the sleep is short
    let _watchdog = watchdog();
    let round = Arc::new(AtomicU32::new(0));
    let (hand_over, handles) = std::sync::mpsc::channel::<LoopHandle>();
    let its_round = round.clone();
    let dropper = thread::spawn(move || {
        for (n, handle) in (1..).zip(handles) {
            while its_round.load(Ordering::SeqCst) < n {
                std::hint::spin_loop();
            }
            (0..n % 400).for_each(|_| std::hint::spin_loop());
            drop(handle);
        }
    });
    let ended = Runner::new().virtual_clock().live_view(true).run(|| {
        for n in 1..=ROUNDS {
            hand_over.send(LoopHandle::current()?).unwrap();
            round.store(n, Ordering::SeqCst);
            sleep(secs(3600))?; // with a handle in other hands the clock stands still; without one it jumps
        }
        Ok(())
    });
    ended.unwrap();
    drop(hand_over);
    dropper.join().unwrap();
}

#[test]
fn a_crowd_that_is_always_ready_is_no_loop_that_does_not_answer() {
    let _watchdog = watchdog();
    let over = Arc::new(AtomicBool::new(false));
    let told = Runner::new().live_view(true).run(|| {
        let asker = {
            let over = over.clone();
            thread::spawn(move || {
                let told: Vec<_> = (0..3).map(|_| own(Question::Ps)).collect();
                over.store(true, Ordering::SeqCst);
                told
            })
        };
        // A turn of these takes four seconds, and each of their steps a fiftieth of one.
        let crowd = (0..200).map(|_| {
            || {
                while !over.load(Ordering::SeqCst) {
                    thread::sleep(millis(20));
                    yield_now()?;
                }
                io::Result::Ok(())
            }
        });
        scope(|s| {
            crowd.for_each(|busy| drop(s.spawn(busy)));
            Ok(())
        })?;
        Ok(asker.join().unwrap())
    });
    // A busy machine may keep the loop from answering in time once, and hardly every time.
    let told: Vec<String> = told.unwrap().into_iter().map(Result::unwrap).collect();
    assert!(told.iter().any(|told| !told.contains("does not answer")), "{told:#?}");
}

#[test]
fn a_relative_directory_is_no_place_for_a_socket() {
    const NAME: &str = "a_relative_directory_is_no_place_for_a_socket";
    if plays(NAME) {
        let _watchdog = watchdog();
        let told = Runner::new().live_view(true).run(|| {
            assert!(fs::read_dir(".").unwrap().next().is_none(), "it is where only this process looks");
            to_thread(|| own(Question::Ps))?
        });
        assert!(told.unwrap().contains("main (1)"), "another place is found");
        leave();
    }
    let here = Directory::new();
    for relative in ["", "."] {
        let mut child = child_command(NAME);
        child.env("XDG_RUNTIME_DIR", relative).env("TMPDIR", relative).current_dir(here.path(""));
        finish(child).succeeded();
    }
}

#[test]
fn whoever_comes_while_too_many_files_are_open_is_let_in_later() {
    const NAME: &str = "whoever_comes_while_too_many_files_are_open_is_let_in_later";
    if plays(NAME) {
        let _watchdog = watchdog();
        let path = socket(&PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap()), std::process::id());
        let come_early = move || {
            let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
            // SAFETY: it reads the structure it is given.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
            let mut files: Vec<_> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
            files.pop(); // the guest's own
            let mut guest = UnixStream::connect(&path)?;
            guest.write_all(b"ps\n")?;
            // Meanwhile he is refused.
            thread::sleep(millis(200));
            drop(files);
            let mut answer = String::new();
            guest.read_to_string(&mut answer).map(|_| answer) // nobody else comes
        };
        let told = Runner::new().live_view(true).run(|| to_thread(come_early)?);
        assert!(told.unwrap().contains("main (1)"));
        leave();
    }
    let runtime = Directory::new();
    let mut child = child_command(NAME);
    child.env("XDG_RUNTIME_DIR", runtime.path(""));
    finish(child).succeeded();
}

// ---- what is in the program's hands, or in somebody else's, and takes nothing ------------------------------------------

/// Plays a scenario in a process of its own, whose directories for the socket are its own too. It is given the place of its
/// socket, in a directory that is there.
fn at_home(test: &str, body: impl FnOnce(PathBuf)) -> Ended {
    if plays(test) {
        let _watchdog = watchdog();
        let runtime = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap());
        fs::create_dir(runtime.join("corio")).unwrap();
        fs::set_permissions(runtime.join("corio"), fs::Permissions::from_mode(0o700)).unwrap();
        body(socket(&runtime, std::process::id()));
        leave();
    }
    let home = Directory::new();
    let mut child = child_command(test);
    child.env("XDG_RUNTIME_DIR", home.path("")).env("TMPDIR", home.path(""));
    finish(child)
}

/// Tells of all that is logged in this process, on whatever thread.
fn hear_the_log(hear: impl Fn(&log::Record<'_>) + Send + Sync + 'static) {
    struct Ear<F>(F);

    impl<F: Fn(&log::Record<'_>) + Send + Sync> log::Log for Ear<F> {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            (self.0)(record);
        }

        fn flush(&self) {}
    }
    log::set_boxed_logger(Box::new(Ear(hear))).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
}

fn is_warning(record: &log::Record<'_>) -> bool {
    record.target() == "corio::live" && record.level() == log::Level::Warn
}

/// From now on stderr is that.
fn make_stderr(other: impl AsRawFd) {
    // SAFETY: two descriptors that are open.
    assert_eq!(unsafe { libc::dup2(other.as_raw_fd(), 2) }, 2);
}

fn signal_to_oneself() {
    // SAFETY: two numbers.
    assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) }, 0);
}

/// Reads until that text has come.
fn until(mut from: impl Read, text: &str) -> String {
    let mut seen = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = from.read(&mut buffer).unwrap();
        seen.extend_from_slice(&buffer[..read]);
        let told = String::from_utf8_lossy(&seen);
        if told.contains(text) {
            return told.into_owned();
        }
        assert_ne!(read, 0, "{text:?} has not come: {told}");
    }
}

#[test]
fn a_full_line_at_a_socket_that_is_in_the_way_holds_no_run_up() {
    const NAME: &str = "a_full_line_at_a_socket_that_is_in_the_way_holds_no_run_up";
    at_home(NAME, |path| {
        // As of a program in another namespace that has this number too, and is stopped.
        let other = UnixListener::bind(&path).unwrap();
        // SAFETY: two numbers.
        assert_eq!(unsafe { libc::listen(other.as_raw_fd(), 0) }, 0);
        let in_line: Vec<_> = std::iter::from_fn(|| mio::net::UnixStream::connect(&path).ok()).collect();
        let told = Runner::new().live_view(true).run(|| to_thread(|| own(Question::Ps))?);
        assert!(told.unwrap().contains("main (1)"), "another place is found");
        assert!(path.exists() && !in_line.is_empty(), "the other's is left alone");
    })
    .succeeded();
}

#[test]
fn whoever_asks_a_program_that_ends_meanwhile_is_told_so() {
    const NAME: &str = "whoever_asks_a_program_that_ends_meanwhile_is_told_so";
    at_home(NAME, |path| {
        let door = UnixListener::bind(&path).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let program = thread::spawn(move || {
            // One goes when the word has come and was not read, and the others before it comes, or meanwhile.
            let (guest, _) = door.accept().unwrap();
            let mut has_come = libc::pollfd { fd: guest.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry.
            assert_eq!(unsafe { libc::poll(&raw mut has_come, 1, -1) }, 1);
            drop(guest);
            while !is_over.load(Ordering::SeqCst) {
                drop(door.accept().unwrap());
            }
        });
        for _ in 0..200 {
            let error = own(Question::Ps).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
            assert!(error.to_string().contains("has ended meanwhile"), "{error}");
        }
        over.store(true, Ordering::SeqCst);
        drop(UnixStream::connect(&path)); // it may have gone
        program.join().unwrap();
    })
    .succeeded();
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "who has gone is not known there")]
fn nobody_is_asked_for_guests_who_have_gone() {
    const NAME: &str = "nobody_is_asked_for_guests_who_have_gone";
    at_home(NAME, |path| {
        let told = Runner::new().live_view(true).run(|| {
            let (block, reader) = asks_while_blocked(move || {
                let word = || {
                    let mut guest = UnixStream::connect(&path).unwrap();
                    guest.write_all(b"ps\n").unwrap();
                    guest
                };
                // An answer takes 0.3 s while the loop is blocked: all of them, longer than anybody waits.
                (0..100).for_each(|_| drop(word()));
                let after_them = own(Question::Ps).unwrap();
                // Who only writes no more is there still: so does `nc -N`.
                let mut listener = word();
                listener.shutdown(Shutdown::Write).unwrap();
                let mut heard = String::new();
                listener.read_to_string(&mut heard).unwrap();
                [after_them, heard]
            });
            block();
            Ok(reader.join().unwrap())
        });
        for told in told.unwrap() {
            assert!(told.contains("main (1) blocks it"), "{told}");
        }
    })
    .succeeded();
}

#[test]
fn a_loop_that_is_not_shown_at_the_door_is_shown_by_its_signal_only() {
    const NAME: &str = "a_loop_that_is_not_shown_at_the_door_is_shown_by_its_signal_only";
    at_home(NAME, |path| {
        let (errors, stderr) = io::pipe().unwrap();
        make_stderr(stderr);
        let (ready, is_ready) = mpsc::channel();
        let (end, over) = mpsc::channel();
        let unseen = thread::spawn(move || {
            Runner::new().live_view(false).dump_on(Signal::User1).run(|| {
                let _other = Builder::new().name("secret").spawn(|| sleep(secs(3600)))?;
                yield_now()?;
                ready.send(()).unwrap();
                to_thread(move || over.recv().unwrap())
            })
        });
        is_ready.recv().unwrap();
        for _ in 0..2 {
            assert_eq!(own(Question::Ps).unwrap_err().kind(), ErrorKind::NotFound);
            let told = Runner::new().live_view(true).run(|| {
                let told = to_thread(|| Ok::<_, io::Error>([own(Question::Ps)?, own(Question::Json)?]))??;
                signal_to_oneself();
                Ok((told, to_thread(|| until(&errors, "secret"))?))
            });
            let (told, dump) = told.unwrap();
            assert!(told.iter().all(|told| told.contains("main") && !told.contains("secret")), "{told:?}");
            assert!(dump.contains("main (1)"), "{dump}");
            assert!(!path.exists(), "nobody who is shown at the door is left");
        }
        end.send(()).unwrap();
        unseen.join().unwrap().unwrap();
    })
    .succeeded();
}

#[test]
fn a_logger_may_do_whatever_it_likes_while_a_source_is_registered() {
    const NAME: &str = "a_logger_may_do_whatever_it_likes_while_a_source_is_registered";
    at_home(NAME, |_| {
        let (count, runs) = (Arc::new(AtomicU32::new(0)), AtomicBool::new(false));
        let counted = count.clone();
        hear_the_log(move |record| {
            // Of the library that watches the door and all sockets; what it says in here is said to nobody.
            if record.target().starts_with("mio") && !runs.swap(true, Ordering::SeqCst) {
                let run = || Runner::new().live_view(true).run(|| Ok(())).unwrap();
                thread::spawn(run).join().unwrap();
                observe::dump();
                if corio::LoopHandle::current().is_ok() {
                    drop(TcpListener::bind("127.0.0.1:0").unwrap());
                }
                runs.store(false, Ordering::SeqCst);
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        let told = Runner::new().live_view(true).run(|| {
            let _listener = TcpListener::bind("127.0.0.1:0")?;
            to_thread(|| own(Question::Ps))?
        });
        assert!(told.unwrap().contains("main (1)") && count.load(Ordering::SeqCst) > 0);
    })
    .succeeded();
}

#[test]
fn a_signal_waits_for_no_line_of_guests() {
    const NAME: &str = "a_signal_waits_for_no_line_of_guests";
    at_home(NAME, |path| {
        let (errors, stderr) = io::pipe().unwrap();
        make_stderr(stderr);
        let ended = Runner::new().live_view(true).dump_on(Signal::User1).run(|| {
            to_thread(|| {
                // Each has a second to say something, and nobody does.
                let guests: Vec<_> = (0..30).map(|_| UnixStream::connect(&path).unwrap()).collect();
                signal_to_oneself();
                until(&errors, "main (1)");
                let mut last = guests.last().unwrap();
                last.set_nonblocking(true).unwrap();
                last.read(&mut [0]).map_err(|error| error.kind())
            })
        });
        assert_eq!(ended.unwrap(), Err(ErrorKind::WouldBlock), "all of them were waited for");
    })
    .succeeded();
}

#[test]
fn a_logger_that_panics_ends_no_live_view() {
    const NAME: &str = "a_logger_that_panics_ends_no_live_view";
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("and so does what it panics with");
        }
    }
    at_home(NAME, |path| {
        let heard = Arc::new(AtomicU32::new(0));
        let count = heard.clone();
        hear_the_log(move |record| {
            if is_warning(record) {
                count.fetch_add(1, Ordering::SeqCst);
                std::panic::panic_any(Bomb);
            }
        });
        let told = Runner::new().live_view(true).run(|| {
            to_thread(|| {
                for _ in 0..2 {
                    let mut silent = UnixStream::connect(&path)?;
                    silent.read_to_end(&mut Vec::new())?; // a warning goes to the log
                    own(Question::Ps)?;
                }
                own(Question::Ps)
            })?
        });
        assert!(told.unwrap().contains("main (1)"));
        assert!(heard.load(Ordering::SeqCst) > 0);
    })
    .succeeded();
}

#[test]
fn a_stderr_that_takes_nothing_ends_no_live_view() {
    const NAME: &str = "a_stderr_that_takes_nothing_ends_no_live_view";
    fn look(mut errors: io::PipeReader, warned: &mpsc::Receiver<String>, over: &AtomicBool) {
        let is_full = || {
            let mut stderr = libc::pollfd { fd: 2, events: libc::POLLOUT, revents: 0 };
            // SAFETY: one entry.
            unsafe { libc::poll(&raw mut stderr, 1, 0) == 0 }
        };
        while !is_full() {
            thread::yield_now();
        }
        for warning in ["stderr does not take it", "stderr has not taken the one before"] {
            loop {
                signal_to_oneself();
                // All the while the others are answered.
                assert!(own(Question::Ps).unwrap().contains("chatty (2)"));
                if warned.try_iter().any(|told| told.contains(warning)) {
                    break;
                }
            }
        }
        // Somebody reads at last.
        until(&errors, "chatty (2) blocks it");
        over.store(true, Ordering::SeqCst);
        thread::spawn(move || io::copy(&mut errors, &mut io::sink()));
    }
    at_home(NAME, |_| {
        let (warn, warned) = mpsc::channel();
        hear_the_log(move |record| {
            if is_warning(record) {
                let _ = warn.send(record.args().to_string());
            }
        });
        let (errors, stderr) = io::pipe().unwrap();
        make_stderr(stderr);
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let reader = thread::spawn(move || look(errors, &warned, &over));
        let ended = Runner::new().live_view(true).dump_on(Signal::User1).run(|| {
            let chatty = Builder::new().name("chatty").spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    io::stderr().write_all(b"a line of a log\n")?; // it hangs in here, with the lock of the standard library
                }
                Ok(())
            })?;
            chatty.join()
        });
        ended.unwrap();
        reader.join().unwrap();
    })
    .succeeded();
}

#[test]
fn a_dump_goes_to_a_file_a_terminal_and_a_socket_as_well() {
    const NAME: &str = "a_dump_goes_to_a_file_a_terminal_and_a_socket_as_well";
    fn terminal() -> (OwnedFd, OwnedFd) {
        let (mut screen, mut program) = (0, 0);
        let (name, modes, size) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: room for two numbers, which are then those of descriptors that nobody else has.
        unsafe {
            assert_eq!(libc::openpty(&raw mut screen, &raw mut program, name, modes, size), 0);
            (OwnedFd::from_raw_fd(screen), OwnedFd::from_raw_fd(program))
        }
    }
    let dumped = |read: &mut (dyn FnMut() -> String + Send)| {
        Runner::new().dump_on(Signal::User1).run(|| {
            signal_to_oneself();
            to_thread(read)
        })
    };
    at_home(NAME, |path| {
        let mut file = fs::File::create_new(path.with_extension("txt")).unwrap();
        file.write_all(b"what was there").unwrap();
        make_stderr(file);
        let in_file = dumped(&mut || loop {
            let told = fs::read_to_string(path.with_extension("txt")).unwrap();
            if told.contains("main (") {
                return told;
            }
            thread::sleep(millis(1));
        });
        assert!(in_file.unwrap().starts_with("what was there"));
        let (screen, program) = terminal();
        make_stderr(program);
        let mut screen = fs::File::from(screen);
        dumped(&mut || until(&mut screen, "main (")).unwrap();
        let (mut one, other) = UnixStream::pair().unwrap();
        make_stderr(other);
        dumped(&mut || until(&mut one, "main (")).unwrap();
    })
    .succeeded();
}

/// Functions of the system, in this program: the thread of the live view is refused what it asks for, when they are told to. (Those of
/// AddressSanitizer have to be its own.)
#[cfg(all(target_os = "linux", target_env = "gnu", not(feature = "sanitizer")))]
mod refused {
    use std::ffi::c_void;
    use std::sync::atomic::{AtomicBool, Ordering};

    pub(super) static THREADS: AtomicBool = AtomicBool::new(false);
    pub(super) static POLLS: AtomicBool = AtomicBool::new(false);

    fn refuses(what: &AtomicBool) -> bool {
        what.load(Ordering::SeqCst) && std::thread::current().name() == Some("corio live view")
    }

    type Create = unsafe extern "C" fn(*mut c_void, *const c_void, *const c_void, *mut c_void) -> i32;

    /// # Safety
    ///
    /// That of `pthread_create`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn pthread_create(
        thread: *mut c_void,
        attributes: *const c_void,
        start: *const c_void,
        argument: *mut c_void,
    ) -> i32 {
        if refuses(&THREADS) {
            return libc::EAGAIN;
        }
        // SAFETY: the system's function of that name; the rest by the caller.
        unsafe {
            let create = libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr());
            std::mem::transmute::<*mut c_void, Create>(create)(thread, attributes, start, argument)
        }
    }

    /// # Safety
    ///
    /// That of `epoll_wait`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn epoll_wait(epoll: i32, events: *mut libc::epoll_event, room: i32, timeout: i32) -> i32 {
        // SAFETY: by the caller; the error number is this thread's own.
        unsafe {
            if refuses(&POLLS) {
                *libc::__errno_location() = libc::EBADF;
                return -1;
            }
            let no_mask = std::ptr::null::<c_void>();
            libc::syscall(libc::SYS_epoll_pwait, epoll, events, room, timeout, no_mask, 8) as i32
        }
    }
}

/// The process in trouble is the one that is looked at.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu", not(feature = "sanitizer")))]
fn a_process_that_gets_no_thread_is_dumped_all_the_same() {
    const NAME: &str = "a_process_that_gets_no_thread_is_dumped_all_the_same";
    at_home(NAME, |_| {
        let (errors, stderr) = io::pipe().unwrap();
        make_stderr(stderr);
        let told = Runner::new().live_view(true).dump_on(Signal::User1).run(|| {
            let _tasks = (0..1_000).map(|_| spawn(|| sleep(secs(3_600)))).collect::<Vec<_>>();
            yield_now()?;
            to_thread(move || {
                refused::THREADS.store(true, Ordering::SeqCst);
                signal_to_oneself();
                // Somebody reads.
                let told = until(&errors, "process ") + &until(&errors, "1001");
                assert!(told.len() > 1 << 16, "a pipe takes it all at once");
                // Nobody reads, and the thread is not held up for ever.
                signal_to_oneself();
                assert!(own(Question::Ps).unwrap().contains("main (1)"));
                refused::THREADS.store(false, Ordering::SeqCst);
                told
            })
        });
        assert!(told.unwrap().contains("main (1)"));
    })
    .succeeded();
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu", not(feature = "sanitizer")))]
fn a_live_view_that_has_ended_makes_room_for_a_new_one() {
    const NAME: &str = "a_live_view_that_has_ended_makes_room_for_a_new_one";
    at_home(NAME, |_| {
        let (tell, ended) = mpsc::channel();
        hear_the_log(move |record| {
            if record.level() == log::Level::Error && record.args().to_string().contains("the live view ends") {
                let _ = tell.send(());
            }
        });
        let (end, over) = mpsc::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let later = Runner::new().live_view(true).run(|| {
            to_thread(move || {
                refused::POLLS.store(true, Ordering::SeqCst);
                // It answers once more at most.
                let _ = own(Question::Ps);
                ended.recv().unwrap();
                refused::POLLS.store(false, Ordering::SeqCst);
                assert_eq!(own(Question::Ps).unwrap_err().kind(), ErrorKind::NotFound);
                let later = thread::spawn(move || {
                    Runner::new().live_view(true).run(|| {
                        ready.send(()).unwrap();
                        to_thread(move || over.recv().unwrap())
                    })
                });
                is_ready.recv().unwrap();
                assert!(own(Question::Ps).unwrap().contains("main (1)"));
                later
            })
        });
        // The end of the run with the dead one leaves the new one alone: it shows this one as well.
        let told = Runner::new().live_view(true).run(|| to_thread(|| own(Question::Ps))?);
        assert_eq!(told.unwrap().matches("main (1)").count(), 2);
        end.send(()).unwrap();
        later.unwrap().join().unwrap().unwrap();
    })
    .succeeded();
}
