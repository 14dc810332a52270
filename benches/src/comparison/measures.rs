//! What is measured: the rows of M1 to M12, and by which workload of whom.

use super::Column::{self, Direct, Facade, Python, Threads, Tokio};

/// One table of the chapter, and one file of data.
#[derive(Debug)]
pub struct Measure {
    /// `m1` to `m12`.
    pub id: &'static str,
    /// In which unit its figures are printed.
    pub unit: Unit,
    /// How many times everything is run, at most.
    pub most_rounds: usize,
    /// If one is drawn.
    pub plot: Option<Plot>,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// What is drawn of a measure.
#[derive(Debug)]
pub struct Plot {
    /// Stands above it.
    pub title: &'static str,
    /// Row ids, and how they are called below the axis.
    pub rows: &'static [(&'static str, &'static str)],
    /// Whether the rows are steps of one quantity, so that a line from one to the next means something.
    pub line: bool,
}

/// How a figure is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Time in nanoseconds.
    Time,
    /// Memory.
    Bytes,
    /// Something per second, for rows whose id begins with `rate`, and time for others.
    RateOrTime,
    /// A number of things.
    Count,
    /// A time in seconds for rows whose id begins with `build`, and memory for others.
    SecondsOrBytes,
}

/// One row of a table.
#[derive(Debug)]
pub struct Row {
    /// What the data and the chapter's text call it.
    pub id: String,
    /// What the table calls it.
    pub title: String,
    /// Which of the figures that a run prints.
    pub figure: &'static str,
    /// By which it is made.
    pub work: Work,
}

/// How a row comes about.
#[derive(Clone, Debug)]
pub enum Work {
    /// A workload that ends by itself, by each column, or why there is none.
    Alone([Result<String, &'static str>; 5]),
    /// A server, and how many requests over how many connections.
    Serve {
        /// `echo`, `hex` or `http`.
        server: &'static str,
        /// At once.
        connections: u64,
        /// In all, by everybody but asyncio, which has a fifth of them.
        requests: u64,
    },
    /// The same under `strace`.
    Calls(&'static str),
    /// A program for itself, and nothing to run in turns: see `bin/comparison/once.rs`.
    Once,
}

fn row(id: impl Into<String>, title: impl Into<String>, figure: &'static str, work: Work) -> Row {
    Row { id: id.into(), title: title.into(), figure, work }
}

/// A workload under the name that each column has for it, or what a column has instead.
fn each(of: impl Fn(Column) -> Result<String, &'static str>) -> Work {
    Work::Alone(super::COLUMNS.map(|column| match (column, of(column)) {
        (Facade, Ok(command)) => Ok(format!("aio-{command}")),
        (Threads, Ok(command)) => Ok(format!("threads-{command}")),
        (_, other) => other,
    }))
}

/// All measures; quick ones do a tenth of the work.
pub fn measures(quick: bool) -> Vec<Measure> {
    let n = move |full: u64| if quick { full / 10 } else { full };
    let few = |column| if column == Python { 10 } else { 1 }; // it needs so many times as long
    let mut all = vec![memory(n)];

    let spawn = |batch| {
        each(move |column| match column {
            Threads => Ok(format!("spawn {} {batch}", n(10_000).max(1_000))),
            _ => Ok(format!("spawn {} {batch}", n(500_000) / few(column))),
        })
    };
    let crowd = || each(|_| Ok("crowd 1000".into()));
    all.push(Measure {
        id: "m2",
        unit: Unit::Time,
        most_rounds: usize::MAX,
        plot: None,
        rows: vec![
            row("one", "one at a time", "cpu_ns_op", spawn(1)),
            row("batch", "1,000 at a time, none of which waits", "cpu_ns_op", spawn(1_000)),
            row("fresh", "1,000 that are alive at once, for the first time", "fresh_ns", crowd()),
            row("pooled", "the same again", "pooled_ns", crowd()),
        ],
    });

    let turns = |tasks: u64| {
        each(move |column| match column {
            Threads => Ok(format!("ring {} 0 {}", n(50_000), tasks.clamp(2, 1_000))),
            _ => Ok(format!("yield {} 0 {tasks}", n(5_000_000) / few(column))),
        })
    };
    let rows = [(1, "1 (threads: 2)"), (100, "100"), (10_000, "10,000 (threads: 1,000)")]
        .map(|(tasks, title)| row(format!("t{tasks}"), format!("in turn: {title}"), "cpu_ns_op", turns(tasks)));
    let (unit, most_rounds) = (Unit::Time, usize::MAX);
    let plot = Some(Plot {
        title: "One pause and resume, by the number of tasks in turn",
        rows: &[("t1", "1 (threads: 2)"), ("t100", "100"), ("t10000", "10,000 (threads: 1,000)")],
        line: true,
    });
    all.push(Measure { id: "m3", unit, most_rounds, plot, rows: rows.into() });

    let resume = |workload: &'static str, depth: u32| {
        each(move |column| match column {
            Threads => Ok(format!("ring {} {depth} 64", n(50_000))),
            Facade | Tokio => Ok(format!("{workload} {} {depth} 64", n(1_000_000))),
            _ => Ok(format!("resume {} {depth} 64", n(1_000_000) / few(column))),
        })
    };
    let calls = [1, 10, 100].map(|depth| {
        row(
            format!("d{depth}"),
            format!("{depth} down, by calls that the compiler knows"),
            "cpu_ns_op",
            resume("resume", depth),
        )
    });
    let boxed = [1, 10, 100].map(|depth| {
        row(format!("r{depth}"), format!("{depth} down, by recursion"), "cpu_ns_op", resume("resume-boxed", depth))
    });
    let anew = [1, 10, 100].map(|depth| {
        let work = each(move |column| match column {
            Threads => Err("not measured"),
            _ => Ok(format!("yield {} {depth} 64", n(1_000_000) / few(column))),
        });
        row(format!("u{depth}"), format!("{depth} down, and up and down again for each pause"), "cpu_ns_op", work)
    });
    let plot = Some(Plot {
        title: "One pause and resume, by the depth of a recursion",
        rows: &[("r1", "1"), ("r10", "10"), ("r100", "100")],
        line: true,
    });
    all.push(Measure { id: "m4", unit, most_rounds, plot, rows: calls.into_iter().chain(boxed).chain(anew).collect() });

    let mut rows = Vec::new();
    for server in ["echo", "hex", "http"] {
        let most = if server == "http" { 1_000 } else { 10_000 };
        for connections in [1, 64, 1_000, 10_000].into_iter().filter(|connections| *connections <= most) {
            let requests = n(if connections == 1 { 20_000 } else { 100_000 }).max(4 * connections);
            let work = Work::Serve { server, connections, requests };
            for (id, title, figure) in [
                ("rate", "requests/s", "ops_s"),
                ("cpu", "processor time of the server", "cpu_ns_op"),
                ("p50", "p50", "p50_ns"),
                ("p99", "p99", "p99_ns"),
            ] {
                let title = format!("connections: {connections}, {title}");
                rows.push(row(format!("{id}-{server}-{connections}"), title, figure, work.clone()));
            }
        }
    }
    let plot = Some(Plot {
        title: "Echo server, requests per second, by the number of connections",
        rows: &[
            ("rate-echo-1", "1"),
            ("rate-echo-64", "64"),
            ("rate-echo-1000", "1,000"),
            ("rate-echo-10000", "10,000"),
        ],
        line: true,
    });
    all.push(Measure { id: "m5", unit: Unit::RateOrTime, most_rounds, plot, rows });

    let calls = |server| row(server, format!("{server}, 64 connections"), "syscalls_op", Work::Calls(server));
    let rows = ["echo", "hex", "http"].map(calls).into();
    all.push(Measure { id: "m6", unit: Unit::Count, most_rounds, plot: None, rows });
    all.push(cancelling(n));

    let levels = if quick { 12 } else { 15 };
    let recurse = || each(|_| Ok(format!("recurse {levels}"))); // for all: what a node costs depends on the depth
    let rows = vec![
        row("time", "time per node", "cpu_ns_op", recurse()),
        row("allocations", "allocations per node (a number)", "allocations", recurse()),
    ];
    all.push(Measure { id: "m8", unit, most_rounds, plot: None, rows });

    for (id, unit, rows) in [
        ("m9", Unit::Count, &[("named", "functions named, or told by a line, of three")][..]),
        (
            "m10",
            Unit::Count,
            &[
                ("handler", "handler: tokens changed"),
                ("accept", "what accepts: tokens changed"),
                ("size", "both, in the blocking program: tokens"),
            ],
        ),
        ("m11", Unit::SecondsOrBytes, &[("build", "clean build"), ("size", "size of the program, stripped")]),
        (
            "m12",
            Unit::Count,
            &[("recursion", "a recursion without end"), ("local", "a local of 32 MiB, kept over a pause")],
        ),
    ] {
        let rows = rows.iter().map(|(id, title)| row(*id, *title, "", Work::Once)).collect();
        all.push(Measure { id, unit, most_rounds: if id == "m11" { most_rounds } else { 1 }, plot: None, rows });
    }
    all
}

fn memory(n: impl Fn(u64) -> u64) -> Measure {
    let tasks = n(100_000).min(10_000);
    let mut rows = Vec::new();
    for depth in [1, 20] {
        for (id, stack, title) in [
            ("16k", 16 << 10, "stacks of 16 KiB"),
            ("32k", 32 << 10, "stacks of 32 KiB"),
            ("64k", 64 << 10, "stacks of 64 KiB"),
            ("1m", 1 << 20, "stacks of 1 MiB"),
            ("default", 0, "default"),
        ] {
            let work = each(|column| match column {
                Direct if id == "16k" => Err("refused"), // a panic that prints a backtrace would not fit
                Direct => Ok(format!("sleepers {tasks} {depth} {stack}")),
                Threads => Ok(format!("sleepers {} {depth} {stack}", tasks / 10)),
                _ if id == "default" => Ok(format!("sleepers {tasks} {depth}")),
                _ => Err("no stack"),
            });
            let figures = [("resident", "rss_b"), ("page tables", "pte_b"), ("reserved", "reserved_b")];
            // Address space and its page tables are those of the stack, however deep its task is.
            let shown = if depth == 1 || id == "default" { 3 } else { 1 };
            for (title_of_figure, figure) in figures.into_iter().take(shown) {
                let row_id = format!("{}-{id}-{depth}", &title_of_figure.replace(' ', "-"));
                rows.push(row(row_id, format!("{depth} down, {title}: {title_of_figure}"), figure, work.clone()));
            }
        }
        let future = each(|column| match column {
            Facade | Tokio => Ok(format!("sleepers {tasks} {depth}")),
            _ => Err("no future"),
        });
        rows.push(row(format!("future-{depth}"), format!("{depth} down: size of the future"), "future_b", future));
    }
    let plot = Some(Plot {
        title: "Memory of a parked task, with default stacks",
        rows: &[
            ("resident-default-1", "resident, 1 down"),
            ("resident-default-20", "resident, 20 down"),
            ("page-tables-default-20", "page tables"),
            ("reserved-default-20", "reserved, 20 down"),
        ],
        line: false,
    });
    Measure { id: "m1", unit: Unit::Bytes, most_rounds: usize::MAX, plot, rows }
}

fn cancelling(n: impl Fn(u64) -> u64 + Copy) -> Measure {
    let mut rows = Vec::new();
    for depth in [1, 10, 100] {
        let size = |column| n(50_000) / if column == Python { 10 } else { 1 };
        let cancel = each(|column| match column {
            Threads => Err("cannot be"),
            _ => Ok(format!("cancel {} {depth}", size(column).max(1_000))),
        });
        rows.push(row(format!("cancel-{depth}"), format!("a task, {depth} down"), "cpu_ns_op", cancel));
    }
    for depth in [1, 10, 100] {
        let discard = each(|column| match column {
            Threads => Err("cannot be"),
            Python => Ok(format!("discard {} {depth}", n(6_400))),
            _ => Ok(format!("discard {} {depth}", n(64_000))),
        });
        rows.push(row(format!("drop-{depth}"), format!("dropped without a loop, {depth} down"), "cpu_ns_op", discard));
    }
    for depth in [1, 100] {
        let unwind = each(|column| match column {
            Direct => Ok(format!("unwind {} {depth}", n(6_400))),
            _ => Err("no such thing"),
        });
        rows.push(row(
            format!("unwind-{depth}"),
            format!("dropped, and unwound by force, {depth} down"),
            "cpu_ns_op",
            unwind,
        ));
    }
    Measure { id: "m7", unit: Unit::Time, most_rounds: usize::MAX, plot: None, rows }
}
