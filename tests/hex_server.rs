//! The example `hex_server`: its parser and handler in this process, and the program itself in each of its modes.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{fs, thread};

mod common;
#[path = "../examples/hex_server.rs"]
#[allow(dead_code)]
mod hex_server;

use common::example;
use hex_server::{Lines, MAX_DIGITS, MAX_LINE, answer, serve};

/// Nothing here should take a second; whatever takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(30);

// ---- answers ---------------------------------------------------------------------------------

/// What comes back for each line. The limits have tests of their own.
const TABLE: &[(&[u8], &str)] = &[
    (b"0", "0x0"),
    (b"255", "0xff"),
    (b"-255", "-0xff"),
    (b"+255", "0xff"),
    (b"-0", "0x0"),
    (b"+0", "0x0"),
    (b"000", "0x0"),
    (b"-00010", "-0xa"),
    (b"4312", "0x10d8"),
    (b"  255", "0xff"),
    (b"255\t ", "0xff"),
    (b"\t -255 \r", "-0xff"),
    (b"255\r", "0xff"),
    (b"18446744073709551615", "0xffffffffffffffff"),
    (b"18446744073709551616", "0x10000000000000000"),
    (b"-9223372036854775809", "-0x8000000000000001"),
    (b"340282366920938463463374607431768211456", "0x100000000000000000000000000000000"),
    (b"", "error: empty line"),
    (b" \t ", "error: empty line"),
    (b"\r", "error: empty line"),
    (b"-", "error: not a decimal integer: -"),
    (b"+", "error: not a decimal integer: +"),
    (b"--1", "error: not a decimal integer: --1"),
    (b"+-1", "error: not a decimal integer: +-1"),
    (b"- 1", "error: not a decimal integer: - 1"),
    (b"1 2", "error: not a decimal integer: 1 2"),
    (b"1-", "error: not a decimal integer: 1-"),
    (b"0x1f", "error: not a decimal integer: 0x1f"),
    (b"1_000", "error: not a decimal integer: 1_000"),
    (b"1.5", "error: not a decimal integer: 1.5"),
    (b"1e3", "error: not a decimal integer: 1e3"),
    (b"nan", "error: not a decimal integer: nan"),
    (b"12\0", "error: not a decimal integer: 12\\x00"),
    (b"\x1b[2J", "error: not a decimal integer: \\x1b[2J"),
    (b"\xff\xfe1", "error: not a decimal integer: \\xff\\xfe1"),
    (b"\xd9\xa3", "error: not a decimal integer: \\xd9\\xa3"), // an Arabic-Indic three
    (b"\xc2\xa01", "error: not a decimal integer: \\xc2\\xa01"), // a no-break space
    (
        b"0123456789012345678901234567890123456789x",
        "error: not a decimal integer: 0123456789012345678901234567890123456789",
    ),
];

/// The same conversion, done another way: a number of hexadecimal digits, times ten, plus the next, for each digit.
fn hex_by_hand(decimal: &str) -> String {
    let mut nibbles: Vec<u8> = Vec::new(); // least significant first
    for digit in decimal.bytes() {
        let mut carry = digit - b'0';
        for nibble in &mut nibbles {
            carry += *nibble * 10;
            *nibble = carry & 15;
            carry >>= 4;
        }
        if carry > 0 {
            nibbles.push(carry);
        }
    }
    let hex = nibbles.iter().rev().map(|nibble| char::from_digit((*nibble).into(), 16).unwrap());
    format!("0x{}", hex.collect::<String>())
}

/// `len` digits, the first of which is not zero; the same ones each time.
fn digits(len: usize) -> String {
    let mut state = len as u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u32
    };
    (0..len).map(|i| char::from_digit(if i == 0 { 1 + next() % 9 } else { next() % 10 }, 10).unwrap()).collect()
}

#[test]
fn table() {
    for (line, expected) in TABLE {
        assert_eq!(answer(line), *expected, "{}", line.escape_ascii());
    }
}

#[test]
fn conversion() {
    assert_eq!(hex_by_hand("4312"), "0x10d8");
    for len in (1..200).chain([4_300, MAX_DIGITS]) {
        for number in [digits(len), "9".repeat(len), format!("1{}", "0".repeat(len - 1))] {
            let hex = hex_by_hand(&number);
            assert_eq!(answer(number.as_bytes()), hex, "{number}");
            assert_eq!(answer(format!("-{number}").as_bytes()), format!("-{hex}"), "-{number}");
        }
    }
}

#[test]
fn g06_numbers_have_a_limit_of_digits() {
    const { assert!(MAX_DIGITS >= 4_300 && MAX_LINE > MAX_DIGITS) };
    let too_many = format!("error: number longer than {MAX_DIGITS} digits");
    let too_long = format!("error: line longer than {MAX_LINE} bytes");
    assert_eq!(answer("9".repeat(MAX_DIGITS + 1).as_bytes()), too_many);
    assert_eq!(answer("9".repeat(MAX_LINE).as_bytes()), too_many);
    assert_eq!(answer("9".repeat(MAX_LINE + 1).as_bytes()), too_long);
    assert_eq!(answer(" ".repeat(MAX_LINE + 1).as_bytes()), too_long);
    // Leading zeros are no digits of the number, but they are bytes of the line.
    assert_eq!(answer(format!("{:0>MAX_LINE$}", 255).as_bytes()), "0xff");
    assert_eq!(answer(format!("{:0>1$}", 255, MAX_LINE + 1).as_bytes()), too_long);
    assert_eq!(answer(format!("{:>MAX_LINE$}", 255).as_bytes()), "0xff");
}

// ---- the handler, on a stream that is no socket -----------------------------------------------

/// Each read gives one packet, and each write is remembered.
#[derive(Default)]
struct Packets {
    input: VecDeque<Vec<u8>>,
    writes: Vec<String>,
}

impl Read for Packets {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(mut packet) = self.input.pop_front() else {
            return Ok(0);
        };
        if packet.len() > buf.len() {
            self.input.push_front(packet.split_off(buf.len()));
        }
        buf[..packet.len()].copy_from_slice(&packet);
        Ok(packet.len())
    }
}

impl Write for Packets {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.writes.push(String::from_utf8(buf.to_vec()).unwrap());
        Ok(buf.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `serve` writes when these packets come in.
fn writes_for<P: Into<Vec<u8>>>(packets: impl IntoIterator<Item = P>) -> Vec<String> {
    let mut stream = Packets { input: packets.into_iter().map(Into::into).collect(), ..Default::default() };
    serve(&mut stream).unwrap();
    stream.writes
}

/// All that a client may send, and all that it is to get back. The last line has no newline.
fn script() -> (Vec<u8>, String) {
    let (mut sent, mut expected) = (Vec::new(), String::new());
    for (line, answer) in TABLE {
        sent.extend_from_slice(line);
        sent.push(b'\n');
        expected += answer;
        expected.push('\n');
    }
    let long = digits(4_300);
    sent.extend_from_slice(format!("{long}\n-{long}\n").as_bytes());
    expected += &format!("{0}\n-{0}\n", hex_by_hand(&long));
    for len in [MAX_DIGITS + 1, MAX_LINE, MAX_LINE + 1, 1_000_000] {
        sent.extend_from_slice(format!("{}\n{len}\n", digits(len)).as_bytes());
        let (what, limit) = if len > MAX_LINE {
            ("line", format!("{MAX_LINE} bytes"))
        } else {
            ("number", format!("{MAX_DIGITS} digits"))
        };
        expected += &format!("error: {what} longer than {limit}\n{len:#x}\n");
    }
    sent.extend_from_slice(b"-65535");
    expected += "-0xffff\n";
    (sent, expected)
}

#[test]
fn however_it_is_cut_the_answers_are_the_same() {
    let (sent, expected) = script();
    for size in [1, 2, 3, 7, 1_000, 8 * 1024 - 1, 8 * 1024, 8 * 1024 + 1, MAX_LINE + 1, sent.len()] {
        assert_eq!(writes_for(sent.chunks(size)).concat(), expected, "in packets of {size} bytes");
        let (mut lines, mut answers) = (Lines::default(), Vec::new());
        sent.chunks(size).for_each(|packet| lines.take(packet, &mut answers).unwrap());
        lines.end(&mut answers).unwrap();
        assert_eq!(String::from_utf8(answers).unwrap(), expected, "in packets of {size} bytes, awaited");
    }
}

#[test]
fn lines_that_come_together_are_answered_together() {
    assert_eq!(writes_for(["1\n2\n", "3\n"]), ["0x1\n0x2\n", "0x3\n"]);
    assert_eq!(writes_for(["1\n2\n3", "4\n"]), ["0x1\n0x2\n", "0x22\n"]); // 1 and 2 do not wait for the 4
    assert_eq!(writes_for(["1\n", "2"]), ["0x1\n", "0x2\n"]);
    assert_eq!(writes_for([""; 0]), [""; 0]);
    // Together, but not without bound: no more than the lines of one buffer.
    let writes = writes_for(["\n".repeat(100_000)]);
    assert!(writes.iter().all(|write| write.lines().count() <= 8 * 1024));
    assert_eq!(writes.concat().lines().count(), 100_000);
}

#[test]
fn g01_a_line_that_is_too_long_is_answered_before_it_ends() {
    let start = "1".repeat(MAX_LINE + 1);
    let writes = writes_for([&*start, "1", "2\n3\n"]);
    assert_eq!(writes, [format!("error: line longer than {MAX_LINE} bytes\n"), "0x3\n".into()]);
}

// ---- the program ------------------------------------------------------------------------------

/// `hex_server` on a free port. Killed when dropped, unless it has ended.
struct Server {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    address: String,
}

fn spawn(mut command: Command) -> Child {
    command.env_remove("CORIO_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A shell that runs the tests in the background has them ignore Ctrl-C; what a program ignores stays ignored.
    // SAFETY: nothing else in this process cares about the signal.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
    command.spawn().unwrap()
}

impl Server {
    fn start(mode: &str) -> Server {
        raise_descriptor_limit();
        Server::start_by(Command::new(example("hex_server")), mode)
    }

    fn start_by(mut command: Command, mode: &str) -> Server {
        match mode {
            "workers" => command.args(["--workers", "3"]),
            mode => command.args(["--mode", mode]),
        };
        command.args(["--listen", "127.0.0.1:0"]);
        let mut child = spawn(command);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        // Before anything can fail, so that no server is left behind.
        let mut server = Server { child, stdout: None, address: String::new() };
        let (stdout, line) = next_line(stdout);
        server.stdout = Some(stdout);
        let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{mode}: it said {line:?}"));
        assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{address}");
        server.address = address.to_string();
        server
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client(BufReader::new(stream))
    }

    /// Sends the signal; the program has to end well, and to have said nothing more.
    fn end(self, signal: libc::c_int, when: &str) {
        let complaints = self.end_with_complaints(signal, when);
        assert_eq!(complaints, "", "{when}");
    }

    /// The same, for a program that had reason to complain.
    fn end_with_complaints(mut self, signal: libc::c_int, when: &str) -> String {
        // SAFETY: a plain C call; the child has not been waited for, so its id is still its own.
        let sent = unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
        assert_eq!(sent, 0);
        let status = finish(&mut self.child);
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(status.code(), Some(0), "{when}: {status}\n{err}");
        assert_eq!(out, "", "{when}");
        err
    }

    /// The most memory that it ever held, in bytes. AddressSanitizer holds on to much that was freed.
    fn peak_memory(&self) -> Option<usize> {
        if !cfg!(target_os = "linux") || cfg!(feature = "sanitizer") {
            skipped("the memory of the server cannot be measured here");
            return None;
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        Some(kib * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    /// Says that nothing more will come, and reads to the end.
    fn rest(&mut self) -> String {
        self.0.get_ref().shutdown(Shutdown::Write).unwrap();
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}

/// Waits for the end of `child`; a child that hangs is killed and fails the test.
fn finish(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    panic!("the program did not end");
}

/// The next line that a program prints; a pipe has no time limit of its own.
fn next_line(mut from: BufReader<ChildStdout>) -> (BufReader<ChildStdout>, String) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        let _ = sender.send((from, line.trim_end().to_string()));
    });
    receiver.recv_timeout(PATIENCE).expect("the program printed nothing")
}

/// Past the test harness, which hides what tests that pass print.
fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
}

/// A thousand clients are two thousand descriptors, half of them here. The server inherits the limit. Returns it.
fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers are to a local, and the call keeps none of them.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        if limit.rlim_cur < 8192 {
            limit.rlim_cur = limit.rlim_max.min(8192);
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
        }
    }
    limit.rlim_cur
}

/// Everything in `script`, in one piece, in pieces of awkward sizes, and line by line as somebody would type it.
fn answers(mode: &str) {
    let server = Server::start(mode);
    let (sent, expected) = script();
    for size in [sent.len(), 4096, 1_000] {
        let mut client = server.connect();
        let mut writer = client.0.get_ref().try_clone().unwrap();
        thread::scope(|s| {
            s.spawn(|| {
                sent.chunks(size).for_each(|packet| writer.write_all(packet).unwrap());
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut received = String::new();
            client.0.read_to_string(&mut received).unwrap();
            assert_eq!(received, expected, "in packets of {size} bytes");
        });
    }
    let mut client = server.connect();
    for (line, expected) in TABLE {
        client.send([line, &b"\n"[..]].concat());
        assert_eq!(client.line(), format!("{expected}\n"), "{}", line.escape_ascii());
    }
    // A number split over packets: what has come by itself is answered, the half of a number is not.
    client.0.get_ref().set_nodelay(true).unwrap();
    client.send("1\n43");
    assert_eq!(client.line(), "0x1\n");
    client.send("12");
    client.send("\n1234\n-");
    assert_eq!(client.line(), "0x10d8\n");
    assert_eq!(client.line(), "0x4d2\n");
    client.send("5");
    assert_eq!(client.rest(), "-0x5\n"); // the last line ends with the stream
    assert_eq!(server.connect().rest(), ""); // nothing sent, nothing said
    server.end(libc::SIGTERM, "after all of this");
}

/// A client that resets its connection, or leaves in mid-line, is no concern of the next one.
fn survives_clients(mode: &str) {
    let server = Server::start(mode);
    for _ in 0..20 {
        let mut client = server.connect();
        client.send("1\n2\n3");
        client.0.get_mut().read_exact(&mut [0]).unwrap();
        drop(client); // with the rest unread, which resets the connection
    }
    let mut client = server.connect();
    client.send("255\n");
    assert_eq!(client.line(), "0xff\n");
    drop(client);
    server.end(libc::SIGINT, "after clients that broke off");
}

/// What a client may be doing when the end comes.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Nothing,
    HalfALine,
    HalfALongLine,
    NotReading,
}

fn ends_cleanly(mode: &str) {
    use Doing::*;
    let all = [Nothing, HalfALine, HalfALongLine, NotReading];
    // In blocking mode only one client is served at a time, so each gets a server of its own.
    let rounds = all.chunks(if mode == "blocking" { 1 } else { all.len() });
    for signal in [libc::SIGINT, libc::SIGTERM] {
        Server::start(mode).end(signal, "at once");
        for round in rounds.clone() {
            let server = Server::start(mode);
            let mut clients: Vec<_> = round.iter().map(|doing| (*doing, server.connect())).collect();
            for (doing, client) in &mut clients {
                client.send("1\n");
                assert_eq!(client.line(), "0x1\n");
                match doing {
                    Nothing => {}
                    HalfALine => client.send("12"),
                    HalfALongLine => {
                        client.send("1".repeat(MAX_LINE + 1));
                        assert!(client.line().starts_with("error: "));
                    }
                    NotReading => {
                        send_until_it_blocks(client);
                    }
                }
            }
            let _last = server.connect(); // in blocking mode it waits to be served
            server.end(signal, &format!("{round:?}"));
            for (doing, client) in &mut clients {
                let mut rest = Vec::new();
                let _ = client.0.read_to_end(&mut rest); // the end, or a reset
                if !matches!(doing, NotReading) {
                    assert_eq!(rest, b"", "{doing:?}: half a line is no number");
                }
            }
        }
    }
}

/// A line of 31 bytes, and what comes back for it.
const LINE: &str = "how much is this in hexadecimal\n";
const ANSWER: &str = "error: not a decimal integer: how much is this in hexadecimal";

/// Sends `LINE` again and again and reads none of the answers, until the server reads no more. Returns the number of
/// bytes that it took.
fn send_until_it_blocks(client: &mut Client) -> usize {
    let stream = client.0.get_mut();
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let lines = LINE.repeat(1024);
    let mut sent = 0;
    loop {
        match stream.write(&lines.as_bytes()[sent % LINE.len()..]) {
            Ok(n) => sent += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => panic!("{e}"),
        }
        assert!(sent < 200 << 20, "answers that nobody reads do not stop the server from reading");
    }
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    sent
}

/// A line of 50 megabytes, and then megabytes of lines whose answers nobody reads for a while.
fn memory_is_bounded(mode: &str) {
    let server = Server::start(mode);
    let mut client = server.connect();
    let piece = "7".repeat(1 << 20);
    for _ in 0..50 {
        client.send(&piece);
    }
    client.send("\n255\n");
    assert_eq!(client.line(), format!("error: line longer than {MAX_LINE} bytes\n"));
    assert_eq!(client.line(), "0xff\n");

    let sent = send_until_it_blocks(&mut client);
    let lines = sent / LINE.len(); // without the last one, which may have been cut anywhere
    if let Some(bytes) = server.peak_memory() {
        assert!(bytes < 24 << 20, "the server held {bytes} bytes");
    }
    client.0.get_ref().shutdown(Shutdown::Write).unwrap();
    let answers: Vec<_> = client.0.by_ref().lines().map(Result::unwrap).collect();
    assert!(answers.len() >= lines, "{lines} lines, {} answers", answers.len());
    assert!(answers[..lines].iter().all(|answer| answer == ANSWER));
    assert!(answers.len() <= lines + 1);
    server.end(libc::SIGTERM, "after much");
}

/// One client that does nothing, one in mid-number, one that does not read: the next one is answered all the same.
fn serves_two_at_once(mode: &str) {
    let server = Server::start(mode);
    let _idle = server.connect();
    let mut slow = server.connect();
    slow.send("1\n25");
    assert_eq!(slow.line(), "0x1\n");
    let mut deaf = server.connect();
    send_until_it_blocks(&mut deaf);
    let mut quick = server.connect();
    for n in 0..100 {
        quick.send(format!("{n}\n"));
        assert_eq!(quick.line(), format!("{n:#x}\n"));
    }
    slow.send("5\n");
    assert_eq!(slow.line(), "0xff\n");
    server.end(libc::SIGINT, "with clients");
}

/// All connected at the same time, each with numbers of its own, cut in the middle.
fn serves_a_thousand_at_once(mode: &str) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _lock = ONE_AT_A_TIME.lock();
    let mut count = 1_000;
    let limit = raise_descriptor_limit();
    if limit < 1_300 {
        skipped(&format!("a thousand clients: only {limit} descriptors are allowed, so there are fewer"));
        count = limit as usize - 300;
    }
    let server = Server::start(mode);
    let mut clients: Vec<Client> = Vec::new();
    while clients.len() < count {
        // Not all at the same instant: a listener keeps 128 in its queue, and the next one would try again in a second.
        let start = clients.len();
        clients.extend((start..count.min(start + 100)).map(|_| server.connect()));
        clients[start..].iter_mut().for_each(|client| client.send("1\n"));
        clients[start..].iter_mut().for_each(|client| assert_eq!(client.line(), "0x1\n"));
    }
    let number = |i: usize, round: usize| (i * 1_000_003 + round) as i64 * if i.is_multiple_of(2) { 1 } else { -1 };
    let hex = |n: i64| format!("{}{:#x}\n", if n < 0 { "-" } else { "" }, n.unsigned_abs());
    for round in 0..3 {
        for (i, client) in clients.iter_mut().enumerate() {
            let text = format!("{}\n{}", number(i, round), number(i, round + 100));
            client.send(&text[..text.len() - 1]);
        }
        for (i, client) in clients.iter_mut().enumerate() {
            client.send(format!("{}\n", number(i, round + 100).unsigned_abs() % 10));
        }
        for (i, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.line(), hex(number(i, round)), "client {i}");
            assert_eq!(client.line(), hex(number(i, round + 100)), "client {i}");
        }
    }
    for client in clients.iter_mut().step_by(2) {
        client.send("-17");
        assert_eq!(client.rest(), "-0x11\n");
    }
    server.end(libc::SIGINT, "with hundreds of clients");
}

/// Too few descriptors for all who come: the others are served when some have left. The end comes at once, as ever.
fn survives_want_of_descriptors(mode: &str) {
    for leave in [true, false] {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n 32 && exec \"$0\" \"$@\""]).arg(example("hex_server"));
        let server = Server::start_by(shell, mode);
        // Where several listen, those who wait are not one queue: only one who comes before the rest is sure to be served
        // while nobody leaves.
        let mut first = server.connect();
        first.send("255\n");
        assert_eq!(first.line(), "0xff\n");
        let mut clients: Vec<_> = (1..64).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| client.send("255\n"));
        if leave {
            // Whoever has been answered leaves.
            thread::scope(|s| {
                for mut client in clients.drain(..) {
                    s.spawn(move || assert_eq!(client.line(), "0xff\n"));
                }
            });
        }
        server.end_with_complaints(libc::SIGTERM, "with too many clients");
    }
}

/// `nc -N` closes its half of the connection at the end of its input, as the example's header says.
fn answers_netcat(mode: &str) {
    let help = Command::new("nc").arg("-h").stdin(Stdio::null()).output();
    let help = help.map(|out| String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned());
    match help {
        Ok(help) if help.split_whitespace().any(|word| word.starts_with("[-46") && word.contains('N')) => {}
        Ok(_) => return skipped("nc is here, but has no option -N"),
        Err(e) => return skipped(&format!("nc: {e}")),
    }
    let server = Server::start(mode);
    let (host, port) = server.address.split_once(':').unwrap();
    let netcat = || {
        let mut nc = Command::new("nc");
        nc.args(["-N", host, port]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    for (input, expected) in [
        ("255\n-255\n", "0xff\n-0xff\n"),
        ("  65535", "0xffff\n"),
        ("\nhello\n1\n", "error: empty line\nerror: not a decimal integer: hello\n0x1\n"),
        ("", ""),
    ] {
        let mut nc = netcat();
        nc.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        assert!(finish(&mut nc).success());
        let mut output = String::new();
        nc.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        assert_eq!(output, expected, "{input:?}");
    }
    // And by hand: a line, its answer, another line.
    let mut nc = netcat();
    let mut keyboard = nc.stdin.take().unwrap();
    let mut screen = BufReader::new(nc.stdout.take().unwrap());
    for (typed, shown) in [("4312\n", "0x10d8"), ("1234\n", "0x4d2")] {
        keyboard.write_all(typed.as_bytes()).unwrap();
        let line;
        (screen, line) = next_line(screen);
        assert_eq!(line, shown);
    }
    drop(keyboard);
    assert!(finish(&mut nc).success());
    server.end(libc::SIGTERM, "after nc");
}

macro_rules! in_mode {
    ($mode:ident: $($test:ident)*) => {
        mod $mode {
            $(#[test] fn $test() { super::$test(stringify!($mode)) })*
        }
    };
}

in_mode!(blocking: answers survives_clients ends_cleanly memory_is_bounded answers_netcat);
in_mode!(coroutines: answers survives_clients ends_cleanly memory_is_bounded answers_netcat
    serves_two_at_once serves_a_thousand_at_once survives_want_of_descriptors);
in_mode!(threads: answers survives_clients ends_cleanly memory_is_bounded answers_netcat
    serves_two_at_once serves_a_thousand_at_once survives_want_of_descriptors);
in_mode!(aio: answers survives_clients ends_cleanly memory_is_bounded answers_netcat
    serves_two_at_once serves_a_thousand_at_once survives_want_of_descriptors);
in_mode!(workers: answers survives_clients ends_cleanly memory_is_bounded answers_netcat
    serves_two_at_once serves_a_thousand_at_once survives_want_of_descriptors);

#[test]
fn mistakes_on_the_command_line() {
    let run = |args: &[&str]| {
        let mut command = Command::new(example("hex_server"));
        command.args(args);
        let mut child = spawn(command);
        let status = finish(&mut child);
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (status.code(), err)
    };
    let no_workers = [&["--workers", "0"][..], &["--workers", "many"], &["--workers", "2", "--mode", "threads"]];
    let no_flags = [&["--mode", "magic"][..], &["--mode"], &["--listen"], &["hello"], &["--help", "me"]];
    for args in no_flags.into_iter().chain(no_workers) {
        let (code, err) = run(args);
        assert_eq!(code, Some(2), "{args:?}");
        assert!(err.starts_with("usage: hex_server "), "{args:?}: {err}");
    }
    let server = Server::start("threads");
    for mode in ["blocking", "threads", "coroutines", "aio"] {
        let (code, err) = run(&["--mode", mode, "--listen", &server.address]);
        assert_eq!(code, Some(1), "{mode}");
        assert!(err.starts_with(&format!("hex_server: {}: ", server.address)), "{mode}: {err}");
        assert_eq!(run(&["--mode", mode, "--listen", "nonsense"]).0, Some(1), "{mode}");
    }
    let (code, err) = run(&["--workers", "2", "--listen", &server.address]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.starts_with(&format!("hex_server: {}: ", server.address)), "{err}");
}
