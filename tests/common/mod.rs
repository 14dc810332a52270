//! What the tests of the core share.
#![allow(dead_code)] // each test file uses some of it

pub(crate) mod backends;

use std::any::Any;
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, mpsc};
use std::time::{Duration, Instant};
use std::{env, fmt, fs, io, thread};

use corio::net::{Server, TcpListener, TcpStream};
use corio::{IntoResult, Runner};
use futures_util::stream::{FuturesUnordered, StreamExt};

/// Runs on the virtual clock. Time passes only where the program sleeps, so every run is the same.
#[track_caller]
pub(crate) fn sim<R: IntoResult>(main: impl FnOnce() -> R) -> io::Result<R::Value> {
    runner().run(main)
}

/// The settings of [`sim`].
pub(crate) fn runner() -> Runner {
    Runner::new().virtual_clock().ctrl_c(false)
}

/// The text that `f` panics with.
pub(crate) fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    panic_text(&*catch_unwind(AssertUnwindSafe(f)).err().expect("a panic"))
}

/// The text of a panic.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    match payload.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => (*payload.downcast_ref::<&str>().expect("a payload that is a text")).to_owned(),
    }
}

/// Seconds since `start`, on the clock of the loop.
pub(crate) fn since(start: Instant) -> f64 {
    (corio::now() - start).as_secs_f64()
}

/// Awaits behind somebody else's executor: the future is polled with a waker of that one's, and only when it was woken.
pub(crate) async fn one_of_several<F: Future>(future: F) -> F::Output {
    let future = std::pin::pin!(future);
    [future].into_iter().collect::<FuturesUnordered<_>>().next().await.expect("there is one")
}

// ---- patience -----------------------------------------------------------------------------------

/// Nothing here should take more than a second or two, or under valgrind a hundred times that. What takes longer hangs, and is
/// ended.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

/// Ends the process, with the test's name, if the guard is not dropped in time: a hang becomes a failure.
pub(crate) fn watchdog() -> Watchdog {
    let (alive, gone) = mpsc::channel::<()>();
    let name = thread::current().name().unwrap_or("a test").to_owned();
    thread::spawn(move || {
        if gone.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name}: hangs");
            std::process::abort();
        }
    });
    Watchdog { _alive: alive }
}

/// See [`watchdog`].
pub(crate) struct Watchdog {
    _alive: mpsc::Sender<()>,
}

// ---- what happened, in order -----------------------------------------------------------------

/// Lines that tasks write, and whoever looks at the end reads.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn say(&self, line: impl fmt::Display) {
        self.0.borrow_mut().push(line.to_string());
    }

    /// Everything so far, as one line; the log is empty then.
    pub(crate) fn take(&self) -> String {
        self.lines().join(" ")
    }

    /// The same, line by line.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.take()
    }

    /// How many lines there are.
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// A value that writes a line when it is dropped, and whether the thread was panicking then.
    pub(crate) fn at_drop(&self, line: impl Into<String>) -> AtDrop {
        AtDrop(self.clone(), line.into())
    }
}

/// See [`Log::at_drop`].
pub(crate) struct AtDrop(Log, String);

impl Drop for AtDrop {
    fn drop(&mut self) {
        let how = if thread::panicking() { " (panicking)" } else { "" };
        self.0.say(format_args!("{}{how}", self.1));
    }
}

/// A value whose destructor calls a function.
pub(crate) struct Finally<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

// ---- the log -----------------------------------------------------------------------------------

thread_local! {
    static CAPTURED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

struct Capture;

impl log::Log for Capture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}: {}", record.level(), record.target(), record.args());
        CAPTURED.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                lines.push(line);
            }
        });
    }

    fn flush(&self) {}
}

/// Calls `f` and gives back, besides its result, what this thread logged meanwhile: `LEVEL target: text`.
pub(crate) fn logged<R>(f: impl FnOnce() -> R) -> (R, Vec<String>) {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        log::set_logger(&Capture).expect("nobody else logs here");
        log::set_max_level(log::LevelFilter::Trace);
    });
    CAPTURED.set(Some(Vec::new()));
    let result = f();
    (result, CAPTURED.take().unwrap_or_default())
}

/// The lines of one level that contain all of these texts.
#[track_caller]
pub(crate) fn only(lines: &[String], level: &str, texts: &[&str]) -> String {
    let found: Vec<_> = lines.iter().filter(|l| l.starts_with(level) && texts.iter().all(|t| l.contains(t))).collect();
    assert_eq!(found.len(), 1, "wanted one {level} line with {texts:?} among {lines:#?}");
    found[0].clone()
}

// ---- files -------------------------------------------------------------------------------------

/// A directory of its own, which goes with the test.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Directory {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("corio-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

// ---- processes ---------------------------------------------------------------------------------

pub(crate) const SCENARIO: &str = "CORIO_TEST_SCENARIO";

/// Whether this process was started by [`child_command`] for the test of that name, to play its scenario.
pub(crate) fn plays(test: &str) -> bool {
    let plays = env::var(SCENARIO).is_ok_and(|name| name == test);
    if plays {
        // What a shell starts in the background ignores Ctrl-C, and hands that on.
        // SAFETY: nothing else in this process cares about the signal yet.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
    }
    plays
}

/// Ends a process that [plays](plays) a scenario, with success. Not as `std::process::exit` does it: on any other thread than the
/// main one that unmaps the main thread's signal stack, where a handler may be running still (rust-lang/rust#161018).
pub(crate) fn leave() -> ! {
    let _ = io::stdout().flush();
    // SAFETY: no other thread ends the process.
    unsafe { libc::exit(0) }
}

/// How a process ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn new(output: &Output) -> Ended {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ended { status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Asserts that it aborted, and said all of this.
    #[track_caller]
    pub(crate) fn aborted(&self, said: &[&str]) {
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(self.status.signal(), Some(libc::SIGABRT), "{self:#?}");
        for text in said {
            assert!(self.stderr.contains(text), "{text:?} is missing in {self:#?}");
        }
    }

    /// Asserts that all went well.
    #[track_caller]
    pub(crate) fn succeeded(&self) -> &Self {
        assert!(self.status.success(), "{self:#?}");
        self
    }
}

/// The command that runs one test of this binary in a process of its own, where [`plays`] is true.
pub(crate) fn child_command(test: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("the path of this program"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(SCENARIO, test).env("RUST_BACKTRACE", "0").env_remove("RUST_MIN_STACK");
    command
}

/// Runs it.
pub(crate) fn child(test: &str) -> Ended {
    child_with(test, &[])
}

/// The same, with environment variables.
pub(crate) fn child_with(test: &str, variables: &[(&str, &str)]) -> Ended {
    let mut command = child_command(test);
    command.envs(variables.iter().copied());
    finish(command)
}

/// Runs `body` in a process of its own, which is this program with only that test, and returns how that process ended. In
/// the child this does not return.
pub(crate) fn in_child(test: &str, body: impl FnOnce()) -> Ended {
    if plays(test) {
        let _watchdog = watchdog();
        body();
        leave();
    }
    child(test)
}

/// Runs a function in a fork of this process, and returns how that ended. One that hangs is ended by an alarm: the
/// [`watchdog`] is a thread, which the fork has not. A panic is status 101.
pub(crate) fn in_a_fork(f: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the test is alone in its process, so there is no other thread whose locks the fork could inherit.
    unsafe {
        match libc::fork() {
            0 => {
                libc::alarm(u32::try_from(PATIENCE.as_secs()).unwrap());
                libc::_exit(catch_unwind(AssertUnwindSafe(f)).unwrap_or(101));
            }
            pid => {
                assert!(pid > 0, "{}", io::Error::last_os_error());
                let mut status = 0;
                assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
                status
            }
        }
    }
}

/// A handler that sends back in capitals what has come when that is all.
pub(crate) fn shout(mut stream: TcpStream) -> io::Result<()> {
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    stream.write_all(text.to_uppercase().as_bytes())
}

/// Sends a text and its end, and hears the answer.
pub(crate) fn ask(address: SocketAddr, text: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A server on a free port.
pub(crate) fn server() -> io::Result<(Server, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    Ok((Server::new([listener]), address))
}

/// The program of an example, which `cargo test` has built.
pub(crate) fn example(name: &str) -> PathBuf {
    let mut path = env::current_exe().unwrap(); // target/<profile>/deps/<test>-<hash>
    path.pop();
    path.pop();
    path.extend(["examples", name]);
    assert!(path.exists(), "{} is missing: `cargo build --examples` builds it", path.display());
    path
}

/// The block of text in a document that begins so.
pub(crate) fn shown_in(document: &str, beginning: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = fs::read_to_string(path).expect(document);
    let (_, rest) = text.split_once(&format!("```text\n{beginning}")).unwrap_or_else(|| panic!("{document}: no block"));
    let (block, _) = rest.split_once("\n```").expect("the block's end");
    format!("{beginning}{block}")
}

/// Runs a command to its end. One that hangs is killed: no measurement, it only ends the test.
pub(crate) fn finish(mut command: Command) -> Ended {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let read = |pipe: Option<Box<dyn io::Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.expect("a pipe").read_to_end(&mut bytes).expect("its output");
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = read(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let stderr = read(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let status = wait(&mut child);
    Ended { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn wait(child: &mut Child) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("its end") {
            return status;
        }
        if started.elapsed() > 2 * PATIENCE {
            let _ = child.kill();
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether tests that take long may run; says that this one was left out if not, past the test harness, which hides what
/// tests that pass print.
pub(crate) fn slow(test: &str) -> bool {
    let wanted = env::var_os("CORIO_SLOW_TESTS").is_some_and(|value| value == "1");
    if !wanted {
        let _ = writeln!(io::stderr(), "LEFT OUT: {test} takes long; CORIO_SLOW_TESTS=1 runs it");
    }
    wanted
}

/// What is written into it can be read.
#[derive(Clone, Default)]
pub(crate) struct Written(Rc<RefCell<Vec<u8>>>);

impl Written {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
