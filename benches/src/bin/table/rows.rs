//! What is measured: who runs, and the rows of the table that come of it.

/// Who has the same workloads, as programs beside this one: `contender-NAME`.
pub(crate) const PEERS: [&str; 2] = ["tokio", "may"];

/// A contender's command, its floor's if it has one, and the rows of the table that their figures fill.
pub(crate) struct Bench {
    /// What the command line calls it.
    pub(crate) word: &'static str,
    pub(crate) ours: String,
    pub(crate) floor: Option<String>,
    /// If the contender is a server.
    pub(crate) client: Option<Client>,
    pub(crate) cores: Cores,
    pub(crate) most_rounds: usize,
    pub(crate) rows: Vec<Row>,
}

pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) figure: &'static str,
    pub(crate) targets: Vec<Target>,
}

/// The client of a server, whose figures count.
#[derive(Clone, Copy)]
pub(crate) enum Client {
    /// Requests in a closed loop; so many at once, by HTTP, on each connection, or messages to an echo server if that is 0.
    Requests { connections: u64, requests: u64, pipelined: u64 },
    /// Connections over which nothing goes.
    Idle { connections: u64 },
    /// Both ends of what goes through a proxy.
    Transfer { connections: u64, mib: u64 },
}

impl Client {
    /// As the command of a contender.
    pub(crate) fn command(self, port: u16, server: u32) -> String {
        match self {
            Client::Requests { connections, requests, pipelined: 0 } => {
                format!("load {port} {connections} {requests} {server}")
            }
            Client::Requests { connections, requests, pipelined } => {
                format!("load-http {port} {connections} {requests} {server} {pipelined}")
            }
            Client::Idle { connections } => format!("idle {port} {connections} {server}"),
            Client::Transfer { connections, mib } => format!("transfer {port} {connections} {mib} {server}"),
        }
    }
}

/// Where the processes run.
#[derive(Clone, Copy)]
pub(crate) enum Cores {
    /// All on the first.
    One,
    /// The client on the second.
    OneEach,
    /// Where the system likes.
    All,
}

#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// At most so many times the floor.
    Times(f64),
    /// At most so much more than the floor.
    Above(f64),
    /// At most this, whatever the floor.
    AtMost(f64),
    /// At least so many times the floor.
    AtLeast(f64),
    /// At most what this peer has, if it runs.
    NotAbove(&'static str),
}
use Target::{Above, AtLeast, AtMost, NotAbove, Times};

impl Bench {
    /// A workload and its floor, which take the same arguments.
    fn new(ours: &'static str, floor: &str, size: &str) -> Bench {
        Bench {
            word: ours,
            ours: format!("{ours} {size}"),
            floor: (!floor.is_empty()).then(|| format!("{floor} {size}")),
            client: None,
            cores: Cores::One,
            most_rounds: usize::MAX,
            rows: Vec::new(),
        }
    }

    fn row(mut self, name: impl Into<String>, figure: &'static str, targets: &[Target]) -> Bench {
        self.rows.push(Row { name: name.into(), figure, targets: targets.to_vec() });
        self
    }

    /// What small requests to a server cost.
    fn requests(self, name: &str) -> Bench {
        let bench = self.row(name, "cpu_ns_op", &[Times(1.03)]);
        bench.row(format!("{name}: system calls"), "syscalls_op", &[Above(0.02)])
    }

    /// What many bytes cost.
    fn transfer(self, name: &str) -> Bench {
        let bench = self.row(format!("{name}: throughput"), "bytes_s", &[AtLeast(0.9)]);
        bench.row(format!("{name}: per MiB"), "cpu_ns_mib", &[])
    }

    /// How long one of them takes.
    fn latency(self, name: &str) -> Bench {
        let bench = self.row(format!("{name}: median latency"), "p50_ns", &[]);
        bench.row(format!("{name}: p99 latency"), "p99_ns", &[NotAbove("tokio")])
    }
}

pub(crate) fn benches(quick: bool) -> Vec<Bench> {
    let n = |full: u64| if quick { full / 10 } else { full };
    let mut all = Vec::new();
    for depth in [0, 4] {
        for tasks in [1, 2, 64] {
            let bench = Bench::new("yield", "floor-switch", &format!("{} {depth} {tasks}", n(10_000_000)));
            all.push(bench.row(format!("yield, depth {depth}, tasks: {tasks}"), "cpu_ns_op", &[Times(4.0)]));
        }
    }
    for batch in [1, 1000] {
        let bench = Bench::new("spawn", "floor-spawn", &format!("{} {batch}", n(3_000_000)));
        let name = format!("spawn + join, at a time: {batch}");
        all.push(bench.row(name, "cpu_ns_op", &[Times(6.0)]));
    }
    let bench = Bench::new("gather", "spawn", &format!("{} 1000", n(3_000_000)));
    all.push(bench.row("gather, at a time: 1000 (floor: spawn + join)", "cpu_ns_op", &[Times(1.1)]));
    let bench = Bench::new("queue", "floor-queue", &format!("{} 100", n(20_000_000)));
    all.push(bench.row("message through a queue for 100", "cpu_ns_op", &[Times(4.5)]));
    let bench = Bench::new("handover", "floor-handover", &n(5_000_000).to_string());
    all.push(bench.row("message through a queue for 1", "cpu_ns_op", &[Times(5.0)]));
    let bench = Bench::new("mutex", "floor-switch", &n(20_000_000).to_string());
    all.push(bench.row("lock + unlock, alone (floor: one switch)", "cpu_ns_op", &[Times(2.0)]));
    // That the work grows no faster than their number is what counts: the three rows side by side show it. Bare coroutines, as
    // many of them, show how much of the rest is caches that are missed more often.
    for waiters in [100, 1000, 10_000] {
        let bench = Bench::new("wakeall", "", &format!("{} {waiters}", n(3_000_000)));
        let bench = Bench { floor: Some(format!("floor-switch {} 0 {waiters}", n(3_000_000))), ..bench };
        all.push(bench.row(format!("wake all that wait for an event: {waiters}"), "cpu_ns_op", &[]));
    }
    let bench = Bench::new("timercancel", "floor-timercancel", &n(5_000_000).to_string());
    all.push(bench.row("arm + cancel a timer", "cpu_ns_op", &[Times(1.4)]));
    let bench = Bench::new("wake", "floor-wake", &n(200_000).to_string());
    all.push(bench.row("OS thread, task and back, one core", "cpu_ns_op", &[Times(1.05)]));
    all.extend(futures(n));
    all.extend(servers(n));
    all.extend(stack_of_each(n));
    all.extend(transfers(n));
    let bench = Bench { most_rounds: 3, ..Bench::new("timers", "", &n(1_000_000).to_string()) };
    all.push(bench.row("spawn, sleep within 1 s, join", "cpu_ns_op", &[]));
    let bench = Bench { most_rounds: 1, ..Bench::new("sleepers", "", &n(1_000_000).to_string()) };
    let bench = bench.row("asleep, 64 KiB stacks: resident", "rss_b", &[AtMost(4600.0)]);
    let bench = bench.row("asleep: page tables", "pte_b", &[]).row("asleep: time to get there", "cpu_ns_op", &[]);
    all.push(bench.row("spawned, not started: resident", "unstarted_b", &[AtMost(200.0)]));
    all
}

/// Async/await on our loop, next to tokio's on one thread.
fn futures(n: impl Fn(u64) -> u64) -> Vec<Bench> {
    let beside_tokio = |workload: &str, size: String| Bench {
        ours: format!("aio-{workload} {size}"),
        floor: Some(format!("tokio {workload} {size}")),
        ..Bench::new("aio", "", "")
    };
    let mut all = Vec::new();
    for (depth, tasks) in [(0, 1), (0, 64), (4, 64)] {
        let bench = beside_tokio("yield", format!("{} {depth} {tasks}", n(10_000_000)));
        let name = format!("await: yield, depth {depth}, tasks: {tasks} (floor: tokio)");
        all.push(bench.row(name, "cpu_ns_op", &[Times(1.05)]));
    }
    for batch in [1, 1000] {
        let bench = beside_tokio("spawn", format!("{} {batch}", n(3_000_000)));
        all.push(bench.row(format!("await: spawn, at a time: {batch} (floor: tokio)"), "cpu_ns_op", &[Times(1.05)]));
    }
    let bench = beside_tokio("timers", n(1_000_000).to_string());
    all.push(bench.row("await: sleep within 1 s (floor: tokio)", "cpu_ns_op", &[Times(1.05)]));
    for (workload, connections, pipelined) in
        [("echo", 1, 0), ("echo", 64, 0), ("echo", 1000, 0), ("http", 64, 1), ("http", 1000, 1)]
    {
        let client = Some(Client::Requests { connections, requests: n(300_000), pipelined });
        let cores = if connections == 1 { Cores::One } else { Cores::OneEach };
        let bench = Bench { client, cores, ..beside_tokio(workload, "0".to_owned()) };
        let name = format!("await: {workload}, connections: {connections} (floor: tokio)");
        let bench = bench.row(&name, "cpu_ns_op", &[Times(1.05)]);
        all.push(bench.row(format!("{name}: p99 latency"), "p99_ns", &[]));
    }
    all
}

fn servers(n: impl Fn(u64) -> u64) -> Vec<Bench> {
    let mut all = Vec::new();
    // The default stacks, and small ones: what large ones cost is page tables, where there are many.
    for (connections, requests, stack) in [
        (1, 100_000, 0),
        (64, 300_000, 0),
        (1000, 300_000, 0),
        (1000, 300_000, SMALL_STACK),
        (8000, 300_000, 0),
        (8000, 300_000, SMALL_STACK),
    ] {
        let client = Some(Client::Requests { connections, requests: n(requests), pipelined: 0 });
        let cores = if connections == 1 { Cores::One } else { Cores::OneEach };
        let bench = Bench { client, cores, ours: format!("echo 0 {stack}"), ..Bench::new("echo", "floor-echo", "0") };
        let place = if connections == 1 { ", one core" } else { "" };
        let name = format!("echo, connections: {connections}{place}{}", stacks(stack));
        let bench = bench.requests(&name);
        all.push(if stack == 0 { bench.latency(&name) } else { bench });
    }
    for (connections, requests, pipelined, stack) in
        [(64, 300_000, 1, 0), (1000, 300_000, 1, 0), (1000, 300_000, 1, SMALL_STACK), (64, 3_000_000, 16, 0)]
    {
        let client = Some(Client::Requests { connections, requests: n(requests), pipelined });
        let bench = Bench::new("http", "floor-http", "0");
        let bench = Bench { client, cores: Cores::OneEach, ours: format!("http 0 {stack}"), ..bench };
        let at_once = if pipelined == 1 { String::new() } else { format!(", pipelined: {pipelined}") };
        let name = format!("HTTP keep-alive, connections: {connections}{at_once}{}", stacks(stack));
        let bench = bench.requests(&name);
        all.push(if pipelined == 1 && stack == 0 { bench.latency(&name) } else { bench });
    }
    let client = Some(Client::Requests { connections: 64, requests: n(30_000), pipelined: 0 });
    let bench = Bench { client, cores: Cores::All, ..Bench::new("workers", "workers", "0 1") };
    let bench = Bench { ours: "workers 0 2".to_owned(), ..bench };
    let bench = bench.row("requests of more than 100 us, two workers (floor: one)", "ops_s", &[AtLeast(1.8)]);
    all.push(bench.row("requests of more than 100 us: CPU time", "cpu_ns_op", &[]));
    for stack in [0, SMALL_STACK] {
        let client = Some(Client::Idle { connections: 10_000 });
        let bench = Bench::new("echo", "floor-echo", "0");
        let bench = Bench { word: "idle", client, ours: format!("echo 0 {stack}"), most_rounds: 3, ..bench };
        let name = format!("idle connection{}", stacks(stack));
        let bench = bench.row(format!("{name}: resident"), "rss_b", &[]);
        all.push(bench.row(format!("{name}: page tables"), "pte_b", &[]));
    }
    all
}

/// What a stack for each connection costs by itself: lines of memory, then bare coroutines, and what the library adds to those.
fn stack_of_each(n: impl Fn(u64) -> u64) -> Vec<Bench> {
    let mut all = Vec::new();
    for (protocol, connections) in [("echo", 64), ("echo", 1000), ("echo", 8000), ("http", 1000)] {
        let mut add = |ours: String, floor: &str, name: &str, targets: &[Target]| {
            let pipelined = u64::from(protocol == "http");
            let client = Some(Client::Requests { connections, requests: n(300_000), pipelined });
            let bench = Bench { floor: Some(format!("{floor}-{protocol} 0")), ours, ..Bench::new("stack", "", "") };
            let bench = Bench { client, cores: Cores::OneEach, ..bench };
            all.push(bench.row(format!("{protocol}, connections: {connections}, {name}"), "cpu_ns_op", targets));
        };
        for lines in [1, 14] {
            add(
                format!("floor-{protocol} 0 {lines}"),
                "floor",
                &format!("the floor and {lines} lines of a page each"),
                &[],
            );
        }
        add(format!("bare-{protocol} 0"), "floor", "bare coroutines", &[]);
        add(format!("{protocol} 0"), "bare", "ours (floor: bare coroutines)", &[Times(1.03)]);
    }
    all
}

const SMALL_STACK: u32 = 64 << 10;

fn stacks(stack: u32) -> &'static str {
    if stack == 0 { "" } else { ", 64 KiB stacks" }
}

/// Threads may use all cores, so files may, too.
fn transfers(n: impl Fn(u64) -> u64) -> Vec<Bench> {
    let mut all = Vec::new();
    let mib = n(10 * 1024);
    for (ours, floor, name) in [
        ("copyfile", "threads-copyfile", "file by fs::copy (floor: std's)"),
        ("copystream", "threads-copystream", "file by io::copy (floor: std's, in the kernel)"),
        ("copystream", "threads-copyloop", "file by io::copy (floor: reads and writes by std)"),
    ] {
        let bench = Bench { word: "copy", cores: Cores::All, ..Bench::new(ours, floor, &mib.to_string()) };
        all.push(bench.transfer(name));
    }
    // A loop has one core. Where it and its client have no more than that each, that is no difference.
    for (connections, cores, place) in [
        (1, Cores::All, ""),
        (16, Cores::All, ""),
        (1, Cores::OneEach, ", one core"),
        (16, Cores::OneEach, ", one core"),
    ] {
        let client = Some(Client::Transfer { connections, mib });
        let bench = Bench { word: "copy", client, cores, ..Bench::new("proxy", "threads-proxy", "0") };
        all.push(bench.transfer(&format!("proxy, connections: {connections}{place} (floor: std, two threads each)")));
    }
    all
}
