//! How much stack things use: each runs once on a painted stack, in a process of its own so that first calls are first
//! calls. Prints a Markdown table; `docs/book/stacks.md` has it for both profiles:
//!
//! ```text
//! cargo run -p corio-benches --bin stack_use
//! cargo run -p corio-benches --bin stack_use --release
//! ```

use std::backtrace::Backtrace;
use std::hint::black_box;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::panic::{catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::{env, fs, thread};

use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult};

type Job = (&'static str, &'static [(&'static str, &'static str)], fn());

const JOBS: &[Job] = &[
    ("empty coroutine", &[], || {}),
    ("`println!`", &[], || println!("to standard output")),
    ("`format!` of an `f64`", &[], || {
        black_box(format!("{}", black_box(1.0_f64 / 3.0)));
    }),
    ("a line by `env_logger`", &[("RUST_LOG", "info")], || {
        env_logger::init();
        log::info!("a line with a number: {}", black_box(7));
    }),
    ("`resume_unwind`, caught", &[], || {
        black_box(catch_unwind(|| resume_unwind(Box::new(1))).is_err());
    }),
    ("panic, no backtrace", &[("RUST_BACKTRACE", "0")], panic_once),
    ("panic, backtrace printed", &[("RUST_BACKTRACE", "1")], panic_once),
    ("panic, full backtrace printed", &[("RUST_BACKTRACE", "full")], panic_once),
    ("`Backtrace::force_capture`", &[], || {
        drop(black_box(Backtrace::force_capture()));
    }),
    ("… and formatted", &[], || {
        black_box(Backtrace::force_capture().to_string());
    }),
    ("`TcpStream::connect` to an address", &[], || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    }),
    ("`getaddrinfo` of localhost", &[], || {
        black_box(("localhost", 80).to_socket_addrs().unwrap().count());
    }),
    ("`slice::sort` of 64-byte items", &[], || {
        let mut items: Vec<[u64; 8]> = (0..10_000).map(|n: u64| [n.wrapping_mul(0x9e37_79b9_7f4a_7c15); 8]).collect();
        items.sort();
        black_box(items);
    }),
    ("`thread::spawn` and join", &[], || thread::spawn(|| ()).join().unwrap()),
    ("`Command` spawn and wait", &[], || {
        Command::new("true").status().unwrap();
    }),
    ("`serde_json`, 127 nested arrays", &[], || {
        let text = "[".repeat(127) + &"]".repeat(127);
        black_box(serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }),
    ("`serde_json`, 127 nested objects", &[], || {
        let text = "{\"a\":".repeat(127) + "1" + &"}".repeat(127);
        black_box(serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }),
    ("`regex`, an e-mail address", &[], || {
        let regex = regex::Regex::new(r"^[\w.+-]+@[\w-]+\.[\w.-]+$").unwrap();
        assert!(regex.is_match("someone@example.org"));
    }),
    ("`regex`, 200 nested groups", &[], || {
        let pattern = "(".repeat(200) + "a" + &")".repeat(200);
        black_box(regex::Regex::new(&pattern).unwrap());
    }),
    ("`redis`, a flat reply", &[], || {
        black_box(redis::parse_redis_value(b"*2\r\n:1\r\n$3\r\nabc\r\n").unwrap());
    }),
    ("`redis`, 98 nested arrays", &[], || {
        let text = "*1\r\n".repeat(98) + ":1\r\n";
        black_box(redis::parse_redis_value(text.as_bytes()).unwrap());
    }),
];

/// Runs `f` on a painted stack and returns how many bytes of it were written.
fn painted(bytes: usize, f: impl FnOnce() + 'static) -> usize {
    const PAINT: u8 = 0xa5;
    // More than any guard.
    const MARGIN: usize = 1 << 16;
    let stack = DefaultStack::new(bytes + MARGIN).unwrap();
    let (low, base) = (stack.limit().get() + MARGIN, stack.base().get());
    // SAFETY: the usable part of a stack on which nothing runs.
    unsafe { std::ptr::write_bytes(low as *mut u8, PAINT, base - low) };
    let mut coroutine: Coroutine<(), (), (), DefaultStack> = Coroutine::with_stack(stack, move |_, ()| f());
    assert!(matches!(coroutine.resume(()), CoroutineResult::Return(())));
    let _stack = coroutine.into_stack();
    // SAFETY: as above; the stack lives until the end of this function.
    let memory = unsafe { std::slice::from_raw_parts(low as *const u8, base - low) };
    let untouched = memory.iter().take_while(|&&byte| byte == PAINT).count();
    base - low - untouched
}

fn panic_once() {
    assert!(catch_unwind(|| panic!("on purpose")).is_err());
}

fn main() {
    if let Ok(job) = env::var("STACK_USE_JOB") {
        let (_, _, run) = JOBS[job.parse::<usize>().unwrap()];
        let used = painted(16 << 20, run);
        fs::write(env::var("STACK_USE_RESULT").unwrap(), used.to_string()).unwrap();
        return;
    }
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    println!("| Operation | bytes of stack, {profile} |\n|---|--:|");
    let result = env::temp_dir().join(format!("stack_use.{}", std::process::id()));
    for (number, (name, variables, _)) in JOBS.iter().enumerate() {
        let status = Command::new(env::current_exe().unwrap())
            .env("STACK_USE_JOB", number.to_string())
            .env("STACK_USE_RESULT", &result)
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{name}: {status}");
        let used: usize = fs::read_to_string(&result).unwrap().parse().unwrap();
        println!("| {name} | {} |", thousands(used));
    }
    fs::remove_file(result).unwrap();
}

fn thousands(number: usize) -> String {
    match number / 1000 {
        0 => number.to_string(),
        more => format!("{},{:03}", thousands(more), number % 1000),
    }
}
