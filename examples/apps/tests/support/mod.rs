//! What the tests of the programs share: one test at a time, certificates, servers that are real, and clients too.

#![allow(dead_code, unreachable_pub, missing_docs)] // each test file uses some of it

pub mod web;

use std::cell::RefCell;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use corio::net::{TcpListener, TcpStream};
use corio::testing::{Injector, Network, Options};
use corio::{
    Backend, Builder, Event, IntoResult, Runner, aio, cancel_cause, current, is_cancelled, is_timed_out, millis, now,
    scope, secs, timeout,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ServerConfig};

/// Nothing here should take more than a few seconds. What takes longer than this hangs, and is ended.
const PATIENCE: Duration = Duration::from_secs(120);

/// One test at a time, because descriptors are counted; and one that hangs is ended, by its name.
pub fn alone() -> Alone {
    static ONE: Mutex<()> = Mutex::new(());
    let lock = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (alive, ended) = channel::<()>();
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{name}: hangs");
            std::process::abort();
        }
    });
    Alone { _lock: lock, _alive: alive }
}

pub struct Alone {
    _lock: MutexGuard<'static, ()>,
    _alive: Sender<()>,
}

/// Past the test harness, which hides what tests that pass print.
fn report(line: String) {
    let _ = io::stderr().write_all((line + "\n").as_bytes());
}

/// Says what could not be tested.
pub fn skipped(why: &str) {
    report(format!("SKIPPED: {why}"));
}

/// How many descriptors this process has open.
pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Makes sure that there are no more than at first. They have a while to become fewer: a thread that looks up a name goes on
/// when nobody waits for it any more, and has files open while it does.
#[track_caller]
fn assert_closed(what: &str, at_first: usize) {
    let start = Instant::now();
    while descriptors() > at_first && start.elapsed() < PATIENCE / 8 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(descriptors() <= at_first, "{what}: the run before has left descriptors open");
}

/// Runs a program on a real clock.
#[track_caller]
pub fn run<R: IntoResult>(main: impl FnOnce() -> R) -> R::Value {
    Runner::new().ctrl_c(false).run(main).unwrap()
}

/// Runs a program on a network in memory and on the virtual clock.
#[track_caller]
pub fn simulated<R: IntoResult>(network: &Network, main: impl FnOnce() -> R) -> R::Value {
    let runner = Runner::new().ctrl_c(false).virtual_clock();
    runner.backend(Backend::Simulated(network.clone())).run(main).unwrap()
}

/// Runs a program of futures over real sockets, and on networks in memory, one of which carries little at once. Nothing
/// may be left of it.
#[track_caller]
pub fn on_every_network<F: Future<Output = io::Result<()>> + 'static>(program: impl Fn() -> F) {
    let whole = || aio::spawn_local(program()).join();
    let (mut runs, mut at_first) = (0, 0);
    for _ in 0..2 {
        watch_descriptors("over real sockets", &mut runs, &mut at_first);
        Options::new().run(whole);
    }
    assert_closed("over real sockets", at_first);
    for make in [|| Network::new(), || Network::new().capacity(1_000).short_reads(700).short_writes(500)] {
        let latest = Rc::new(RefCell::new(Network::new()));
        let network = latest.clone();
        Options::new().network(move || network.replace_with(|_| make()).clone()).run(whole);
        assert_eq!(latest.borrow().open(), 0, "sockets are left");
    }
}

/// Cancels the part of a program that is given to [`Part::run`] at each point of it. Each time it must end, as cancelled
/// or in success, and leave no descriptor open.
pub fn cancelled_everywhere(what: &str, mut program: impl FnMut(&Part<'_>) -> io::Result<()>) {
    let (mut runs, mut at_first) = (0, 0);
    let points = corio::testing::cancel_everywhere(|injector| {
        watch_descriptors(what, &mut runs, &mut at_first);
        program(&Part { injector })
    });
    assert_closed(what, at_first);
    assert!(points > 10, "{what}: only {points} points");
    report(format!("{what}: cancelled at {points} points"));
}

/// At the beginning of a run, so that the loop has nothing of its own yet but what it always has. The first run is left
/// out: what a process makes once, it keeps.
#[track_caller]
fn watch_descriptors(what: &str, runs: &mut u32, at_first: &mut usize) {
    match *runs {
        0 => {}
        1 => *at_first = descriptors(),
        _ => assert_closed(what, *at_first),
    }
    *runs += 1;
}

/// See [`cancelled_everywhere`].
pub struct Part<'a> {
    injector: &'a Injector,
}

impl Part<'_> {
    /// Runs it. A cancellation may come out, or success, if it came too late; and nothing else. The time limit around it
    /// does not change that, and its timer is gone afterwards, or the run would fail.
    #[track_caller]
    pub fn run<T>(&self, f: impl FnOnce() -> io::Result<T>) -> Option<T> {
        match self.injector.run(|| timeout(secs(3_600), f)) {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(self.injector.cancelled(), "nobody cancelled it: {error}");
                assert!(is_cancelled(&error), "cancelled, and it said: {error}");
                None
            }
        }
    }
}

/// Runs `f` in a task with a stack of so many KiB. Prints and checks how much of it was used: sizes are chosen so that no
/// other test has the same, and the stack is a new one.
pub fn on_a_stack_of(kib: usize, what: &str, f: impl FnOnce() -> io::Result<()> + 'static) -> io::Result<()> {
    let body = move || {
        f()?;
        Ok(current().stack_used())
    };
    let used = Builder::new().stack_size(kib << 10).spawn(body)?.join()?.expect("a task has a stack");
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    report(format!("stack, {profile}: {what}: {} KiB", used.div_ceil(1024)));
    Ok(())
}

// ---- silence -------------------------------------------------------------------------------------------------------

/// Where a peer falls silent. It stays connected, and nothing more comes.
#[derive(Clone, Copy, Debug)]
pub enum Silence {
    /// It does not call, or does not answer a call.
    Connecting,
    /// When it has said so many bytes.
    Saying(usize),
    /// When it has heard so many; it reads no more.
    Hearing(usize),
}

/// The stream of a peer that falls silent: there it waits until it is cancelled.
pub struct Hushed {
    stream: TcpStream,
    says: usize,
    hears: usize,
}

impl Hushed {
    fn new(stream: TcpStream, silence: Silence) -> Hushed {
        let (says, hears) = match silence {
            Silence::Connecting => (usize::MAX, usize::MAX),
            Silence::Saying(bytes) => (bytes, usize::MAX),
            Silence::Hearing(bytes) => (usize::MAX, bytes),
        };
        Hushed { stream, says, hears }
    }
}

/// As many bytes of a buffer as are left; if none are, it waits.
fn allowed(length: usize, left: usize) -> io::Result<usize> {
    if left == 0 {
        Event::new().wait()?;
    }
    Ok(length.min(left))
}

impl Read for Hushed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = allowed(buffer.len(), self.hears)?;
        let count = self.stream.read(&mut buffer[..most])?;
        self.hears -= count;
        Ok(count)
    }
}

impl Write for Hushed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = allowed(bytes.len(), self.says)?;
        let count = self.stream.write(&bytes[..most])?;
        self.says -= count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Who calls whom.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    We,
    They,
}

/// A conversation whose peers fall silent. Our end is tested: it is given the listener that they call, or that we do.
pub struct Conversation<O, T> {
    what: &'static str,
    caller: Caller,
    ours: O,
    theirs: T,
    /// Not in memory: some waits want descriptors.
    is_real: bool,
}

impl<O, T> Conversation<O, T>
where
    O: Fn(&TcpListener) -> io::Result<()>,
    T: Fn(Hushed) -> io::Result<()>,
{
    /// One on a network in memory, where little is under way: who is not heard soon has to wait.
    pub fn new(what: &'static str, caller: Caller, ours: O, theirs: T) -> Self {
        Conversation { what, caller, ours, theirs, is_real: false }
    }

    /// One over real sockets.
    pub fn over_real_sockets(mut self) -> Self {
        self.is_real = true;
        self
    }

    /// A limit of ours. It is waited for, if the sockets are real.
    fn limit(&self) -> Duration {
        if self.is_real { millis(5) } else { secs(9) }
    }

    /// Lets the peer fall silent after every `step` bytes that it says or hears, until the conversation comes to its end;
    /// and each of them must meet its limit. Some of these places are then gone through with a cancellation at every
    /// point.
    pub fn with_silences_everywhere(&self, step: usize, places: usize) {
        let mut chosen = vec![Silence::Connecting];
        let mut silences = 0;
        for silence in [Silence::Saying, Silence::Hearing] {
            let end = (0..).step_by(step).find(|bytes| !self.is_met_by_its_limit(silence(*bytes))).unwrap();
            silences += end / step;
            chosen.extend((0..places).map(|n| silence(end * n / places)));
        }
        assert!(silences > 20, "{}: it ends after {silences} silences", self.what);
        report(format!("{}: limited at {silences} silences", self.what));
        self.with_silences(chosen);
    }

    /// The same for these silences, of which the conversation has each.
    pub fn with_silences(&self, silences: impl IntoIterator<Item = Silence>) {
        let mut points = 0;
        for silence in silences {
            assert!(self.is_met_by_its_limit(silence), "{}, {silence:?}: nobody fell silent", self.what);
            points += self.cancelled_everywhere_within_limits(silence);
        }
        report(format!("{}: with a silent peer: cancelled at {points} points", self.what));
    }

    /// Whether the conversation ends by its limit. Else it ends well, long before.
    #[track_caller]
    fn is_met_by_its_limit(&self, silence: Silence) -> bool {
        let tag = format!("{}, {silence:?}", self.what);
        let (options, network) = self.options(silence);
        let is_met = options.run(|| {
            self.with_peers(silence, |ours| {
                let start = now();
                match timeout(self.limit(), ours) {
                    Ok(()) => assert!(now() - start < self.limit(), "{tag}: the limit was kept from us"),
                    Err(error) => {
                        assert_limit(&tag, &error, start, self.limit());
                        return Ok(true);
                    }
                }
                Ok(false)
            })
        });
        assert_eq!(network.borrow().open(), 0, "{tag}");
        is_met
    }

    /// Cancels our end at each of its points, inside one limit and around another: neither the cancellation nor the limits
    /// get lost.
    fn cancelled_everywhere_within_limits(&self, silence: Silence) -> u64 {
        let tag = format!("{}, {silence:?}", self.what);
        let (options, network) = self.options(silence);
        let (mut runs, mut at_first) = (0, 0);
        let points = options.cancel_everywhere(|injector| {
            watch_descriptors(&tag, &mut runs, &mut at_first);
            let start = now();
            self.with_peers(silence, |ours| {
                let both = timeout(3 * self.limit(), || {
                    let error = injector.run(|| timeout(self.limit(), ours)).expect_err("somebody falls silent");
                    if injector.cancelled() {
                        // Where the limit was met at the same moment too: it lies inside.
                        assert!(is_cancelled(&error) && !is_timed_out(&error), "{tag}: {error}");
                    } else {
                        assert_limit(&tag, &error, start, self.limit());
                    }
                    assert_eq!(cancel_cause(), None, "{tag}");
                    // What lies around has its limit still.
                    ours()
                });
                assert_limit(&tag, &both.expect_err("so does the next one"), start, 3 * self.limit());
                Ok(())
            })
        });
        assert_closed(&tag, at_first);
        assert_eq!(network.borrow().open(), 0, "{tag}");
        points
    }

    /// How to run it, and the network of the last run.
    fn options(&self, silence: Silence) -> (Options, Rc<RefCell<Network>>) {
        let latest = Rc::new(RefCell::new(Network::new()));
        if self.is_real {
            return (Options::new(), latest);
        }
        let far = if matches!(silence, Silence::Connecting) { secs(60) } else { secs(0) };
        let ours = latest.clone();
        let options = Options::new().network(move || {
            let network = Network::new().capacity(64).latency(far..=far);
            let last = ours.replace(network.clone());
            assert_eq!(last.open(), 0, "the run before has left sockets open");
            network
        });
        (options, latest)
    }

    /// Gives `body` our end, which may be begun several times; each time a peer is there that falls silent.
    fn with_peers<R>(
        &self,
        silence: Silence,
        body: impl FnOnce(&dyn Fn() -> io::Result<()>) -> io::Result<R>,
    ) -> io::Result<R> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        // However they fare: if we hang up, they fail.
        let theirs = |stream| drop((self.theirs)(Hushed::new(stream, silence)));
        scope(|s| {
            if self.caller == Caller::We {
                s.spawn(|| {
                    for stream in listener.incoming() {
                        let stream = stream?;
                        s.spawn(|| theirs(stream));
                    }
                    Ok(())
                });
            }
            let result = body(&|| {
                if self.caller == Caller::They && !matches!(silence, Silence::Connecting) {
                    s.spawn(|| TcpStream::connect(address).map(theirs));
                }
                (self.ours)(&listener)
            });
            s.cancel();
            result
        })
    }
}

/// The limit was met, at its time.
#[track_caller]
fn assert_limit(tag: &str, error: &io::Error, start: Instant, limit: Duration) {
    assert!(is_timed_out(error) && error.kind() == io::ErrorKind::TimedOut, "{tag}: {error}");
    assert_eq!(now() - start, limit, "{tag}");
}

// ---- certificates --------------------------------------------------------------------------------------------------

/// A certificate for this machine that vouches for itself.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Identity {
    pub fn new() -> Identity {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "secure.test".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Identity { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    /// Writes `chain.pem` and `key.pem`.
    pub fn write(&self, directory: &Path) {
        fs::write(directory.join("chain.pem"), &self.certificate).unwrap();
        fs::write(directory.join("key.pem"), &self.key).unwrap();
    }

    pub fn server(&self) -> Arc<ServerConfig> {
        let directory = Directory::new();
        self.write(&directory.0);
        corio_apps::tls::server_config_from(&directory.0.join("chain.pem"), &directory.0.join("key.pem")).unwrap()
    }

    pub fn client(&self) -> Arc<ClientConfig> {
        corio_apps::tls::client_config(&[CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()]).unwrap()
    }
}

// ---- programs ------------------------------------------------------------------------------------------------------

/// A directory of its own, which goes when this does.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Directory {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("corio-apps.{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether a program is there; says so if not.
pub fn is_there(program: &str, arguments: &[&str]) -> bool {
    let result =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match result {
        Ok(status) if status.success() => true,
        Ok(status) => {
            skipped(&format!("{program}: {arguments:?} ends with {status}"));
            false
        }
        Err(error) => {
            skipped(&format!("{program}: {error}"));
            false
        }
    }
}

/// What a program prints, which must succeed.
pub fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Python, which is told of no proxy, to run a script.
pub fn python(script: &str) -> Command {
    let mut python = Command::new("python3");
    python.arg("-c").arg(script);
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        python.env_remove(name).env_remove(name.to_uppercase());
    }
    python
}

/// A port that was free just now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program that serves on a port. It ends when this is dropped.
pub struct Served {
    child: Child,
    pub port: u16,
}

impl Served {
    /// Starts one of our programs, which takes port 0 and says what it has got.
    pub fn ours(command: &mut Command) -> Served {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut served = Served { child, port: 0 };
        let mut line = String::new();
        BufReader::new(served.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").expect("an address");
        served.port = address.parse::<SocketAddr>().unwrap().port();
        served
    }

    /// Starts a program on a port that was free just now, and waits until somebody answers there. If it ends before,
    /// another has taken the port.
    pub fn start(command: impl Fn(u16) -> Command) -> Served {
        for _ in 0..10 {
            let port = free_port();
            let mut command = command(port);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut served = Served { child: command.spawn().unwrap(), port };
            let start = Instant::now();
            while start.elapsed() < PATIENCE / 4 && served.child.try_wait().unwrap().is_none() {
                if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
                    && served.child.try_wait().unwrap().is_none()
                {
                    return served;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        panic!("the program does not serve");
    }

    /// Asks it to end, and waits for that.
    pub fn terminate(mut self) -> ExitStatus {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
