//! Clocks, memory, processor cores, and the line of figures that every workload prints.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// One line of figures: a name and a value each.
pub type Figures = Vec<(String, f64)>;

/// Prints a line of figures, `workload=NAME key=value ...`.
pub fn print(workload: &str, figures: &[(&str, f64)]) {
    let figures: String = figures.iter().map(|(key, value)| format!(" {key}={value:.3}")).collect();
    // Without a reader there is nothing left to do, and a server would stay for ever.
    if writeln!(io::stdout(), "workload={workload}{figures}").is_err() {
        std::process::exit(2);
    }
}

/// Reads the figures of such lines; words that are none are skipped.
pub fn parse(lines: &str) -> Figures {
    let pairs = lines.split_whitespace().filter_map(|word| word.split_once('='));
    pairs.filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?))).collect()
}

/// The figure of that name.
pub fn value(run: &Figures, figure: &str) -> Option<f64> {
    run.iter().find(|(key, _)| key == figure).map(|&(_, value)| value)
}

/// The value below which a share of the sample lies.
pub fn quantile(sample: &[f64], share: f64) -> Option<f64> {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

/// What this is measured on, as far as the kernel tells.
pub fn machine(cores: usize) -> String {
    let file = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = file("/proc/cpuinfo");
    let model = cpus.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let (kernel, mappings) = (file("/proc/sys/kernel/osrelease"), file("/proc/sys/vm/max_map_count"));
    let (model, kernel, mappings) = (model.unwrap_or("unknown"), kernel.trim(), mappings.trim());
    let version = kernel.split('-').next().unwrap_or_default(); // what follows names who built it
    format!("Cores: {cores} ({model}); Linux {version}; vm.max_map_count {mappings}.")
}

/// Runs `work`, which does something `operations` times, and prints what one of them took.
pub fn measure<R>(workload: &str, operations: u64, work: impl FnOnce() -> R) -> R {
    let stopwatch = Stopwatch::start();
    let result = work();
    print(workload, &stopwatch.per(operations));
    result
}

/// The wall clock and the CPU clock of this process, all threads, since a moment.
#[derive(Debug)]
pub struct Stopwatch {
    wall: Instant,
    cpu_ns: u64,
}

impl Stopwatch {
    /// Starts both clocks.
    pub fn start() -> Stopwatch {
        Stopwatch { wall: Instant::now(), cpu_ns: own_cpu_ns() }
    }

    /// `ns_op` and `cpu_ns_op`: the time since the start, divided by `operations`.
    pub fn per(&self, operations: u64) -> [(&'static str, f64); 2] {
        let cpu_ns = own_cpu_ns() - self.cpu_ns;
        let wall_ns = self.wall.elapsed().as_nanos() as f64;
        let operations = operations.max(1) as f64;
        [("ns_op", wall_ns / operations), ("cpu_ns_op", cpu_ns as f64 / operations)]
    }
}

/// The reading of a CPU clock: that of this process, or of another from [`cpu_clock_of`].
pub fn cpu_ns(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the answer.
    let failed = unsafe { libc::clock_gettime(clock, &mut now) };
    assert_eq!(failed, 0, "reading a CPU clock: {}", io::Error::last_os_error());
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The CPU time of this process so far, all its threads.
pub fn own_cpu_ns() -> u64 {
    cpu_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// The CPU clock of another process, all its threads.
pub fn cpu_clock_of(pid: i32) -> io::Result<libc::clockid_t> {
    let mut clock = 0;
    // SAFETY: `clock` is a valid place for the answer.
    match unsafe { libc::clock_getcpuclockid(pid, &mut clock) } {
        0 => Ok(clock),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// What a process has, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// In memory, now.
    pub resident: f64,
    /// Its page tables, which the kernel keeps.
    pub page_tables: f64,
    /// Its address space, touched or not.
    pub reserved: f64,
}

/// The memory of this process.
pub fn memory() -> io::Result<Memory> {
    memory_of(std::process::id() as i32)
}

/// The same of another process.
pub fn memory_of(pid: i32) -> io::Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let bytes = |key| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.map(|kib| kib * 1024.0).ok_or_else(|| io::Error::other(format!("no {key} in /proc/{pid}/status")))
    };
    Ok(Memory { resident: bytes("VmRSS:")?, page_tables: bytes("VmPTE:")?, reserved: bytes("VmSize:")? })
}

/// Prints what a task that sleeps costs: `memory` before, with all tasks spawned, and with all asleep.
pub fn print_sleepers(tasks: u64, memory: [Memory; 3], stopwatch: &Stopwatch) {
    let [ns, cpu] = stopwatch.per(tasks);
    let each = |bytes: f64| bytes / tasks as f64;
    let [before, unstarted, asleep] = memory;
    print(
        "sleepers",
        &[
            ("rss_b", each(asleep.resident - before.resident)),
            ("pte_b", each(asleep.page_tables - before.page_tables)),
            ("reserved_b", each(asleep.reserved - before.reserved)),
            ("unstarted_b", each(unstarted.resident - before.resident)),
            ns,
            cpu,
        ],
    );
}

/// Keeps this thread, and every process it starts from now on, on these cores.
pub fn pin(cores: impl IntoIterator<Item = usize>) -> io::Result<()> {
    // SAFETY: an all-zero `cpu_set_t` is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for core in cores {
        // SAFETY: cores are far fewer than the size of the set.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: `set` is initialised and of the size given.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What the other processes of this machine had, since a moment.
#[derive(Debug)]
pub struct Others {
    since: Instant,
    seconds: f64,
}

impl Others {
    /// Begins to count.
    pub fn since_now() -> io::Result<Others> {
        Ok(Others { since: Instant::now(), seconds: seconds_of_others()? })
    }

    /// Their share of so many cores, or `None` if that cannot be told. In less than a second the kernel's ticks are too
    /// coarse. So they are, too, where both cores switch all the time: nobody has less than nothing.
    pub fn share(&self, cores: usize) -> io::Result<Option<f64>> {
        let elapsed = self.since.elapsed();
        let share = (seconds_of_others()? - self.seconds) / (elapsed.as_secs_f64() * cores as f64);
        Ok((elapsed > Duration::from_secs(1) && share > -0.02).then_some((share * 1e3).round() / 1e3))
    }
}

/// The seconds of CPU time that this machine spent on others than this process and the children it waited for, so far.
fn seconds_of_others() -> io::Result<f64> {
    let unreadable = || io::Error::other("no times of all processors in /proc/stat");
    let stat = std::fs::read_to_string("/proc/stat")?;
    // User, nice, system; idle and waiting for a disk, which is idle too; interrupts and what they leave for later. The
    // last two count as the time of whoever is interrupted in the answer of `getrusage`, so they have to here.
    let ticks = stat.split_whitespace().skip(1).take(7).map(|ticks| ticks.parse::<f64>().ok());
    let ticks = ticks.collect::<Option<Vec<_>>>().ok_or_else(unreadable)?;
    let [user, nice, system, _, _, interrupts, soft_interrupts] = ticks[..] else { return Err(unreadable()) };
    // SAFETY: no arguments but a valid name.
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    let own = seconds_of(libc::RUSAGE_SELF)? + seconds_of(libc::RUSAGE_CHILDREN)?;
    Ok((user + nice + system + interrupts + soft_interrupts) / ticks_per_second - own)
}

fn seconds_of(who: libc::c_int) -> io::Result<f64> {
    // SAFETY: an all-zero `rusage` is one of somebody who used nothing.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid place for the answer.
    match unsafe { libc::getrusage(who, &mut usage) } {
        0 => Ok([usage.ru_utime, usage.ru_stime].iter().map(|t| t.tv_sec as f64 + t.tv_usec as f64 / 1e6).sum()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Raises the limit of open files of this process as far as it may, for many connections.
pub fn allow_many_files() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid value.
    match failed == 0 && unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } == 0 {
        true => Ok(()),
        false => Err(io::Error::last_os_error()),
    }
}

/// How many requests this process, a server, has answered.
pub static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Makes this process a server that may have many connections, and prints its figures and ends when its input ends or
/// SIGTERM arrives.
///
/// To be called before any other thread exists: SIGTERM has to be blocked in all of them.
pub fn end_with_figures(workload: &'static str) {
    allow_many_files().expect("a limit that is lower than allowed");
    // SAFETY: an all-zero `sigset_t` is the empty set.
    let mut sigterm: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `sigterm` is a valid set, the number a valid signal.
    unsafe { libc::sigaddset(&mut sigterm, libc::SIGTERM) };
    // SAFETY: `sigterm` is a valid set; the old mask is not wanted.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &sigterm, std::ptr::null_mut()) };
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        // SAFETY: a signal to this very process, which `sigwait` below takes.
        unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
    });
    let stopwatch = Stopwatch::start();
    thread::spawn(move || {
        let mut arrived = 0;
        // SAFETY: both point to valid places; the signal is blocked, so it waits for this call.
        unsafe { libc::sigwait(&sigterm, &mut arrived) };
        let requests = REQUESTS.load(Ordering::Relaxed);
        let [_, cpu] = stopwatch.per(requests);
        print(workload, &[("requests", requests as f64), cpu]);
        std::process::exit(0);
    });
}
