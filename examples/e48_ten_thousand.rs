//! **Lesson.** Ten thousand that wait are ten thousand stacks, whether of threads or of tasks; but all tasks wait on one thread.
//!
//! **Predict.** A thread reserves two megabytes for its stack, and a task eight. How much memory is that for a thousand threads, and
//! for ten thousand tasks, if each of them only waits? Which of the two numbers is the one that you pay for?
//!
//! **Shows** nothing of the loop: ten thousand tasks in a narration are twenty thousand lines.
//! **Covers** C4, D3, D25. Servers with many connections are measured in `docs/book/two-ways-to-pause.md`.
//!
//! Run `cargo run --example e48_ten_thousand`, and add `-- --real` to measure, on Linux. There are fewer threads than tasks, because
//! not every machine lets a program have so many. A task shows more than its eight megabytes of address space, because the stacks
//! of tasks to come are reserved with it.

use std::collections::HashSet;
use std::sync::{Mutex, mpsc};
use std::{env, fs, io, thread};

use corio::{Event, Runner, say, scope, yield_now};

mod common;

// ANCHOR: wait
/// So many tasks, which all wait at the moment when one looks. On how many threads have they been?
fn tasks<T>(count: usize, look: impl FnOnce() -> T) -> io::Result<(T, usize)> {
    let end = Event::new();
    scope(|s| {
        let wait = || end.wait().map(|()| thread::current().id());
        let waiting: Vec<_> = (0..count).map(|_| s.spawn(wait)).collect();
        yield_now()?; // each of them has its first turn before this one has its next
        let seen = look();
        end.set();
        let homes = waiting.into_iter().map(|task| task.join()).collect::<io::Result<HashSet<_>>>()?;
        Ok((seen, homes.len()))
    })
}

/// So many threads, likewise. What they wait for is a lock.
fn threads<T>(count: usize, look: impl FnOnce() -> T) -> io::Result<(T, usize)> {
    let (gate, (here, arrivals)) = (Mutex::new(()), mpsc::channel());
    thread::scope(|s| {
        let closed = gate.lock();
        for _ in 0..count {
            let (gate, here) = (&gate, here.clone());
            thread::Builder::new()
                .spawn_scoped(s, move || here.send(thread::current().id()).map(|()| drop(gate.lock())))?;
        }
        let homes: HashSet<_> = arrivals.iter().take(count).collect();
        let seen = look();
        drop(closed);
        Ok((seen, homes.len()))
    })
}
// ANCHOR_END: wait

pub(crate) fn program() -> io::Result<()> {
    let ((), homes) = threads(100, || ())?;
    say!("100 wait at once, as threads: {homes} threads");
    // On a loop of its own. This one stands still meanwhile: there is nobody else on it.
    let elsewhere = thread::spawn(|| Runner::new().run(|| tasks(10_000, || ())));
    let ((), homes) = elsewhere.join().expect("it does not panic")?;
    say!("10000 wait at once, as tasks: {homes} thread");
    Ok(())
}

/// What the process has, in KiB: address space, and memory.
fn memory() -> [u64; 2] {
    ["/proc/self/status VmSize:", "/proc/self/smaps_rollup Rss:"].map(|what| {
        let (file, name) = what.split_once(' ').expect("two words");
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
    })
}

fn measure() -> io::Result<()> {
    for (what, count) in [("threads", 1_000), ("tasks", 10_000)] {
        let before = memory();
        let (then, _) =
            if what == "threads" { threads(count, memory)? } else { Runner::new().run(|| tasks(count, memory))? };
        let [space, resident] = [0, 1].map(|n| then[n].saturating_sub(before[n]) / count as u64);
        println!("{count} {what}: {space} KiB of address space for each, and {resident} KiB of memory");
    }
    println!("the kernel's own stack for a thread, 16 KiB or so, is not among the memory of a process");
    Ok(())
}

fn main() -> io::Result<()> {
    if cfg!(target_os = "linux") && env::args().any(|arg| arg == "--real") {
        measure()?; // first, while no stack has been used before
    }
    common::watch(program)
}
