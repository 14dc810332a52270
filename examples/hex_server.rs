//! The decimal-to-hexadecimal server: a line with a number comes in, the number in hexadecimal goes back.
//!
//! **Lesson.** One handler, written for anything that can be read and written, is run in four ways, and only
//! the caller differs: `run_blocking` serves one client at a time, `run_threads` gives each client a thread,
//! `run_coroutines` serves all of them on one thread, and `run_workers` on one thread for each core. For
//! `run_aio`, on the same loop, the handler has to be written again: what awaits has another colour.
//!
//! **Run.** `cargo run --example hex_server`, or add `-- --mode threads`, `-- --mode blocking` or
//! `-- --mode aio`, or `-- --workers 2`. Ctrl-C ends it.
//! `--listen 127.0.0.1:0` takes a free port and says which. `CORIO_LOG=warn` reports clients that broke off.
//!
//! **Try.** `nc 127.0.0.1 65432` in two terminals, and type `4312` into both: in blocking mode the second one
//! waits until the first has gone. From a script: `printf '255\n-255\n' | nc -N 127.0.0.1 65432`.
//! What else it answers is listed at `answer`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{self, Shutdown, SocketAddr};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, Weak};
use std::{env, iter, mem, ptr, thread, time::Duration};

use corio::aio;

// ANCHOR: serve
/// Serves one client until it hangs up. Whether waiting for it blocks a thread or suspends a coroutine is the
/// business of `stream`; nothing here knows.
pub(crate) fn serve<S: Read + Write>(stream: S) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut answers) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        let mut limited = stream.by_ref().take(MAX_LINE as u64 + 1);
        if limited.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        line.pop_if(|byte| *byte == b'\n'); // the last line may lack it
        writeln!(answers, "{}", answer(&line))?;
        // Lines that came together are answered together; the buffer of `BufReader` is the bound.
        if !stream.buffer().contains(&b'\n') {
            stream.get_mut().write_all(&answers)?;
            stream.get_mut().flush()?;
            answers.clear();
        }
        if line.len() > MAX_LINE {
            stream.skip_until(b'\n')?;
        }
    }
}
// ANCHOR_END: serve

// ANCHOR: blocking
/// One after the other: whoever comes second waits until the first has gone.
fn run_blocking(listen: &str) -> io::Result<()> {
    let listener = net::TcpListener::bind(listen)?;
    for stream in until_signal(listener)? {
        report(serve(&*stream));
    }
    Ok(())
}
// ANCHOR_END: blocking

// ANCHOR: threads
/// All at once, and each costs a thread.
fn run_threads(listen: &str) -> io::Result<()> {
    let listener = net::TcpListener::bind(listen)?;
    thread::scope(|s| {
        for stream in until_signal(listener)? {
            let client = move || report(serve(&*stream));
            report(thread::Builder::new().spawn_scoped(s, client).map(drop));
        }
        Ok(())
    })
}
// ANCHOR_END: threads

// ANCHOR: coroutines
/// All at once, on this one thread.
fn run_coroutines(listen: &str) -> io::Result<()> {
    let ended = corio::run(|| {
        let listener = corio::net::TcpListener::bind(listen)?;
        listening(listener.local_addr()?);
        for stream in listener.incoming() {
            let stream = stream?;
            let client = move || report(serve(stream));
            report(corio::Builder::new().spawn(client).map(drop));
        }
        Ok(())
    });
    match ended {
        Err(e) if corio::is_cancelled(&e) => Ok(()), // Ctrl-C or SIGTERM
        other => other,
    }
}
// ANCHOR_END: coroutines

/// All at once, on a loop for each of several cores.
fn run_workers(listen: &str, count: usize) -> io::Result<()> {
    let ended = corio::run(|| {
        let workers = corio::Workers::builder().count(count).drain(Duration::ZERO).start()?;
        let server = workers.serve(listen, |stream| report(serve(stream)))?;
        listening(server.local_addr());
        workers.join() // Ctrl-C or SIGTERM stops them
    });
    match ended {
        Err(e) if corio::is_cancelled(&e) => Ok(()), // it came before there was anything to stop
        other => other,
    }
}

// ANCHOR: serve_aio
/// The same handler for those who await. `BufReader` reads by calls that wait, so it cannot be used, and `Lines`
/// does what it did.
pub(crate) async fn serve_aio(stream: aio::net::TcpStream) -> io::Result<()> {
    let (mut lines, mut buffer, mut answers) = (Lines::default(), vec![0; 8 * 1024], Vec::new());
    loop {
        let n = stream.read(&mut buffer).await?;
        lines.take(&buffer[..n], &mut answers)?;
        if n == 0 {
            lines.end(&mut answers)?; // the last line may lack its newline
            return stream.write_all(&answers).await;
        }
        stream.write_all(&answers).await?;
        answers.clear();
    }
}

/// Lines that come in pieces.
#[derive(Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    /// The line was too long, and has its answer.
    skipping: bool,
}

impl Lines {
    pub(crate) fn take(&mut self, bytes: &[u8], answers: &mut Vec<u8>) -> io::Result<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n");
            if !self.skipping {
                let room = MAX_LINE + 1 - self.line.len();
                self.line.extend(text.unwrap_or(piece).iter().take(room));
                self.skipping = self.line.len() > MAX_LINE;
                if self.skipping || text.is_some() {
                    writeln!(answers, "{}", answer(&mem::take(&mut self.line)))?;
                }
            }
            self.skipping &= text.is_none();
        }
        Ok(())
    }

    pub(crate) fn end(self, answers: &mut Vec<u8>) -> io::Result<()> {
        if self.line.is_empty() { Ok(()) } else { writeln!(answers, "{}", answer(&self.line)) }
    }
}
// ANCHOR_END: serve_aio

// ANCHOR: aio
/// All at once, on this one thread, and none has a stack.
fn run_aio(listen: &str) -> io::Result<()> {
    match aio::block_on(accept_aio(listen)) {
        Err(e) if corio::is_cancelled(&e) => Ok(()), // Ctrl-C or SIGTERM
        other => other,
    }
}

async fn accept_aio(listen: &str) -> io::Result<()> {
    let listener = aio::net::TcpListener::bind(listen).await?;
    listening(listener.get_ref().local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        drop(aio::spawn_local(async { report(serve_aio(stream).await) }));
    }
}
// ANCHOR_END: aio

/// A longer line is answered with an error, and what is left of it is skipped, not kept.
pub(crate) const MAX_LINE: usize = 16 * 1024;
/// Converting takes time that grows with the square of the digits: 0.3 ms for this many, in an optimised build.
pub(crate) const MAX_DIGITS: usize = 10_000;

/// What goes back for `line`, both without the newline.
///
/// | line | answer |
/// | --- | --- |
/// | `255`, `+255`, `00255`, blanks around it | `0xff` |
/// | `-255` | `-0xff` |
/// | `0`, `-0` | `0x0` |
/// | nothing, or blanks only | `error: empty line` |
/// | more than 10000 digits, leading zeros not counted | `error: number longer than 10000 digits` |
/// | more than 16384 bytes | `error: line longer than 16384 bytes` (the rest of it is skipped) |
/// | anything else, be it `0x1f`, `1_000`, `٣` or not even UTF-8 | `error: not a decimal integer: ...` |
pub(crate) fn answer(line: &[u8]) -> String {
    let text = line.trim_ascii();
    let (sign, digits) = match text {
        [b'-', digits @ ..] => ("-", digits),
        [b'+', digits @ ..] => ("", digits),
        digits => ("", digits),
    };
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    if line.len() > MAX_LINE {
        format!("error: line longer than {MAX_LINE} bytes")
    } else if text.is_empty() {
        "error: empty line".into()
    } else if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        let start = text[..text.len().min(40)].escape_ascii();
        format!("error: not a decimal integer: {start}")
    } else if digits.len() - zeros > MAX_DIGITS {
        format!("error: number longer than {MAX_DIGITS} digits")
    } else if zeros == digits.len() {
        "0x0".into()
    } else {
        format!("{sign}0x{}", to_hex(&digits[zeros..]))
    }
}

/// Converts decimal digits, the first of which is not zero. Nineteen of them fit into a `u64`, so that many at
/// a time are taken in: everything so far is multiplied by 10^19, and they are added.
fn to_hex(digits: &[u8]) -> String {
    let mut limbs: Vec<u64> = Vec::new(); // least significant first
    for chunk in digits.chunks(19) {
        let factor = 10u128.pow(chunk.len() as u32);
        let value = |sum, digit| sum * 10 + u128::from(digit - b'0');
        let mut carry = chunk.iter().fold(0, value);
        for limb in &mut limbs {
            carry += u128::from(*limb) * factor;
            *limb = carry as u64; // the low half stays
            carry >>= 64;
        }
        if carry > 0 {
            limbs.push(carry as u64);
        }
    }
    let hex: String = limbs.iter().rev().map(|limb| format!("{limb:016x}")).collect();
    hex.trim_start_matches('0').into()
}

/// The clients of a listener of std, until Ctrl-C or SIGTERM. A thread that blocks cannot be cancelled; so what
/// it waits for is ended: every open connection is shut down, and a last one wakes the listener.
fn until_signal(listener: net::TcpListener) -> io::Result<impl Iterator<Item = Arc<net::TcpStream>>> {
    let address = listener.local_addr()?;
    let open = Arc::new(Mutex::new(Some(Vec::<Weak<net::TcpStream>>::new()))); // None: the end has come
    let to_close = open.clone();
    on_signal(move || {
        let streams = to_close.lock().unwrap().take();
        for stream in streams.iter().flatten().filter_map(Weak::upgrade) {
            let _ = stream.shutdown(Shutdown::Both); // fails if it has just ended by itself
        }
        let _ = net::TcpStream::connect(address); // fails if the listener has gone already
    })?;
    listening(address);
    Ok(iter::from_fn(move || {
        loop {
            let accepted = listener.accept();
            let mut open = open.lock().unwrap();
            let streams = open.as_mut()?;
            match accepted {
                Ok((stream, _)) => {
                    let stream = Arc::new(stream);
                    streams.retain(|stream| stream.strong_count() > 0);
                    streams.push(Arc::downgrade(&stream));
                    return Some(stream);
                }
                Err(e) => {
                    drop(open);
                    log::error!("accept: {e}");
                    thread::sleep(Duration::from_millis(100)); // out of descriptors, for example
                }
            }
        }
    }))
}

/// Calls `then` on a thread of its own when SIGINT or SIGTERM arrives.
fn on_signal(then: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // SAFETY: plain C calls on a local set, which is emptied before it is used.
    let signals = unsafe {
        let mut signals = mem::zeroed();
        libc::sigemptyset(&mut signals);
        libc::sigaddset(&mut signals, libc::SIGINT);
        libc::sigaddset(&mut signals, libc::SIGTERM);
        libc::pthread_sigmask(libc::SIG_BLOCK, &signals, ptr::null_mut()); // threads made later inherit it
        signals
    };
    let wait = move || {
        let mut signal = 0;
        // SAFETY: both pointers are to locals.
        unsafe { libc::sigwait(&signals, &mut signal) };
        then();
    };
    thread::Builder::new().spawn(wait).map(drop)
}

fn listening(address: SocketAddr) {
    println!("listening on {address}");
}

/// A client that failed is worth a line in the log, and the server goes on.
fn report(result: io::Result<()>) {
    match result {
        Err(e) if !corio::is_cancelled(&e) => log::warn!("a client failed: {e}"),
        _ => {}
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env("CORIO_LOG").init();
    let (mut mode, mut listen) = ("coroutines".to_string(), "127.0.0.1:65432".to_string());
    let mut workers = None;
    let mut args = env::args().skip(1);
    while let Some(flag) = args.next() {
        match (&*flag, args.next()) {
            ("--mode", Some(value)) => mode = value,
            ("--listen", Some(value)) => listen = value,
            ("--workers", Some(value)) => match value.parse() {
                Ok(count @ 1..) => workers = Some(count),
                _ => return usage(),
            },
            _ => return usage(),
        }
    }
    let ended = match (&*mode, workers) {
        ("blocking", None) => run_blocking(&listen),
        ("threads", None) => run_threads(&listen),
        ("coroutines", None) => run_coroutines(&listen),
        ("aio", None) => run_aio(&listen),
        ("coroutines", Some(count)) => run_workers(&listen, count),
        _ => return usage(),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("hex_server: {listen}: {e}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: hex_server [--mode blocking|threads|coroutines|aio] [--workers N] [--listen ADDR]");
    ExitCode::from(2)
}
