//! Many bytes: the client of a proxy, and copies of a file. The figures are `bytes_s`, bytes per second of the wall clock,
//! and `cpu_ns_mib`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, process, thread};

use crate::figures::{self, Stopwatch};

const MIB: u64 = 1 << 20;
/// After this the proxy is taken to have stopped.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));

/// Sends `mib` MiB through a proxy, half of it each way, over `connections` connections at once.
///
/// Both ends of each connection are here: the first two bytes tell the proxy the port of the other end. The CPU time is
/// the proxy's, whose process id is `server`.
pub fn run(port: u16, connections: usize, mib: u64, server: i32) -> io::Result<()> {
    let server = figures::cpu_clock_of(server)?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut ends = Vec::new();
    for _ in 0..connections {
        let mut near = TcpStream::connect(("127.0.0.1", port))?;
        near.write_all(&listener.local_addr()?.port().to_be_bytes())?;
        ends.extend([near, listener.accept()?.0]);
    }
    for end in &ends {
        end.set_read_timeout(PATIENCE)?;
        end.set_write_timeout(PATIENCE)?;
    }
    let each = mib * MIB / ends.len() as u64;
    let (stopwatch, server_ns) = (Stopwatch::start(), figures::cpu_ns(server));
    thread::scope(|s| {
        let mut threads = Vec::new();
        for end in &ends {
            threads.push(s.spawn(move || send(end, each)));
            threads.push(s.spawn(move || receive(end, each)));
        }
        threads.into_iter().try_for_each(|thread| thread.join().expect("no assertion there"))
    })?;
    print("transfer", mib, &stopwatch, figures::cpu_ns(server) - server_ns);
    Ok(())
}

fn send(mut stream: &TcpStream, bytes: u64) -> io::Result<()> {
    let block = [b'x'; 64 << 10];
    let mut missing = bytes;
    while missing > 0 {
        let n = block.len().min(missing as usize);
        stream.write_all(&block[..n])?;
        missing -= n as u64;
    }
    stream.shutdown(Shutdown::Write)
}

fn receive(mut stream: &TcpStream, bytes: u64) -> io::Result<()> {
    let (mut block, mut total) = ([0; 64 << 10], 0);
    loop {
        match stream.read(&mut block)? {
            0 if total == bytes => return Ok(()),
            0 => return Err(io::Error::other(format!("{total} bytes of {bytes} arrived"))),
            n => total += n as u64,
        }
    }
}

/// The size of the file that is copied.
const FILE_MIB: u64 = 64;

/// Copies a file again and again until `mib` MiB have been copied. The file is in memory if the system has a place for such
/// files: what a disk does is not to be measured.
pub fn copies(workload: &str, mib: u64, copy: impl Fn(&Path, &Path) -> io::Result<u64>) -> io::Result<()> {
    let content: Vec<u8> = (0..FILE_MIB * MIB).map(|i| (i ^ i >> 8 ^ i >> 16) as u8).collect();
    let files = Files::new(&content)?;
    let copy = || copy(&files.from, &files.to);
    copy()?; // the first touches what is new
    let stopwatch = Stopwatch::start();
    let cpu = figures::cpu_ns(libc::CLOCK_PROCESS_CPUTIME_ID);
    for _ in 0..mib / FILE_MIB {
        copy()?;
    }
    let cpu = figures::cpu_ns(libc::CLOCK_PROCESS_CPUTIME_ID) - cpu;
    print(workload, mib / FILE_MIB * FILE_MIB, &stopwatch, cpu);
    match fs::read(&files.to)? == content {
        true => Ok(()),
        false => Err(io::Error::other("the copy is not like the original")),
    }
}

/// Where a copy comes from and goes to; they are gone at the end.
struct Files {
    from: PathBuf,
    to: PathBuf,
}

impl Files {
    fn new(content: &[u8]) -> io::Result<Files> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
        let file = |name| folder.join(format!("corio-benches-{}-{name}", process::id()));
        let files = Files { from: file("from"), to: file("to") };
        fs::write(&files.from, content)?;
        Ok(files)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for file in [&self.from, &self.to] {
            let _ = fs::remove_file(file); // it may not be there yet
        }
    }
}

fn print(workload: &str, mib: u64, stopwatch: &Stopwatch, cpu_ns: u64) {
    let [(_, wall_ns_mib), _] = stopwatch.per(mib);
    let bytes_s = MIB as f64 * 1e9 / wall_ns_mib;
    figures::print(workload, &[("bytes_s", bytes_s), ("cpu_ns_mib", cpu_ns as f64 / mib as f64)]);
}
