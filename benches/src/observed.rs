//! Two workloads under somebody's eyes: what the event stream costs the one who is watched.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::str::FromStr;

use corio::net::{TcpListener, TcpStream};
use corio::observe::FlightRecorder;
use corio::{Runner, spawn, yield_now};

use crate::figures::{self, Stopwatch};
use crate::load::MESSAGE;
use crate::ring::Ring;

/// As many records as are still near the processor: 64 bytes each.
pub const CAPACITY: usize = 4_096;

/// Who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watcher {
    /// No observer is attached.
    Nobody,
    /// One that keeps the last [`CAPACITY`] records.
    Ring,
    /// The same, and when the run is over they are written to a file.
    RingAndFile,
    /// The library's own: a ring with the state before its first record, and with names.
    Flight,
    /// Nobody in particular, but whoever asks from outside may: a live view.
    Live,
}

impl FromStr for Watcher {
    type Err = ();

    fn from_str(word: &str) -> Result<Watcher, ()> {
        match word {
            "nobody" => Ok(Watcher::Nobody),
            "ring" => Ok(Watcher::Ring),
            "ring-and-file" => Ok(Watcher::RingAndFile),
            "flight" => Ok(Watcher::Flight),
            "live" => Ok(Watcher::Live),
            _ => Err(()),
        }
    }
}

/// Tasks that do nothing but let each other run.
pub fn yields(operations: u64, tasks: u64, watcher: Watcher) -> io::Result<()> {
    let turns = operations / tasks;
    watched(watcher, operations, |start| {
        let tasks: Vec<_> = (0..tasks).map(|_| spawn(move || (0..turns).try_for_each(|_| yield_now()))).collect();
        spawn(|| io::Result::Ok(())).join()?; // it ran behind all of them: their stacks are made
        start();
        tasks.into_iter().try_for_each(|task| task.join())
    })
}

/// Messages that go to a server and come back, one at a time on each connection. Both ends are tasks of the same loop.
pub fn echo(round_trips: u64, connections: u64, watcher: Watcher) -> io::Result<()> {
    watched(watcher, round_trips, |start| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut clients = Vec::new();
        for _ in 0..connections {
            let mut client = TcpStream::connect(listener.local_addr()?)?;
            let (server, _) = listener.accept()?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            drop(spawn(move || crate::echo(server, || ())));
            exchange(&mut client, 1)?;
            clients.push(client);
        }
        start();
        let each = |mut client| spawn(move || exchange(&mut client, round_trips / connections));
        let clients: Vec<_> = clients.into_iter().map(each).collect();
        clients.into_iter().try_for_each(|client| client.join())
    })
}

fn exchange(stream: &mut TcpStream, times: u64) -> io::Result<()> {
    let mut buffer = [b'x'; MESSAGE];
    (0..times).try_for_each(|_| {
        stream.write_all(&buffer)?;
        stream.read_exact(&mut buffer)
    })
}

/// Runs a workload, which says when it has made what it needs. What it takes from there on is printed, and how many records
/// that makes.
fn watched(
    watcher: Watcher,
    operations: u64,
    workload: impl FnOnce(&mut dyn FnMut()) -> io::Result<()>,
) -> io::Result<()> {
    if watcher != Watcher::Nobody && cfg!(not(feature = "observe")) {
        return Err(io::Error::other("this program was built without the event stream"));
    }
    let ring = Ring::new(CAPACITY);
    let runner = Runner::new();
    let mut runner = match watcher {
        Watcher::Nobody => runner,
        Watcher::Ring | Watcher::RingAndFile => runner.observer(ring.clone()),
        Watcher::Flight => runner.observer(FlightRecorder::new(CAPACITY)),
        Watcher::Live => runner.live_view(true),
    };
    let mut begun = None;
    runner.run(|| workload(&mut || begun = Some((Stopwatch::start(), ring.seen()))))?;
    let (stopwatch, before) = begun.expect("every workload starts the clock");
    let [wall, cpu] = stopwatch.per(operations);
    let records = ("records_op", (ring.seen() - before) as f64 / operations as f64);
    let written = if watcher == Watcher::RingAndFile { write(&ring)? } else { 0.0 };
    figures::print("observed", &[wall, cpu, records, ("written_ns", written)]);
    Ok(())
}

/// Writes what the ring has to a file, and returns what that took: it is done once, however long the run was.
fn write(ring: &Ring) -> io::Result<f64> {
    let path = std::env::temp_dir().join(format!("corio-observer-cost-{}.txt", std::process::id()));
    let stopwatch = Stopwatch::start();
    let written = File::create(&path).and_then(|file| {
        let mut file = BufWriter::new(file);
        ring.write_to(&mut file)?;
        file.flush()
    });
    let [_, (_, cpu_ns)] = stopwatch.per(1);
    written.and(std::fs::remove_file(path))?;
    Ok(cpu_ns)
}
