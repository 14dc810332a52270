//! What moves bytes, by std on threads: what [`corio_server`](crate::corio_server) and [`transfer`] are compared with.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use crate::{figures, transfer};

/// Two threads per connection, one for each direction.
pub fn proxy(port: u16) -> io::Result<()> {
    figures::end_with_figures("threads-proxy");
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("listening={}", listener.local_addr()?.port());
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || pass_on(stream));
    }
    Ok(())
}

fn pass_on(mut near: TcpStream) -> io::Result<()> {
    let mut port = [0; 2];
    near.read_exact(&mut port)?;
    let far = TcpStream::connect(("127.0.0.1", u16::from_be_bytes(port)))?;
    let one_way = |mut from: &TcpStream, mut to: &TcpStream| {
        io::copy(&mut from, &mut to)?;
        to.shutdown(Shutdown::Write)
    };
    thread::scope(|s| {
        let there = s.spawn(|| one_way(&near, &far));
        one_way(&far, &near)?;
        there.join().map_err(|_| io::Error::other("a thread panicked"))?
    })
}

/// Copies of a file, each by one call.
pub fn copy_file(mib: u64) -> io::Result<()> {
    copies("threads-copyfile", mib, |from, to| fs::copy(from, to))
}

/// Copies of a file, from one open file to the other. std leaves that to the kernel, which has a call for it.
pub fn copy_stream(mib: u64) -> io::Result<()> {
    copies("threads-copystream", mib, |from, to| io::copy(&mut File::open(from)?, &mut File::create(to)?))
}

/// The same by reading and writing: the library's loop, which is std's with another buffer, on std's files.
pub fn copy_loop(mib: u64) -> io::Result<()> {
    copies("threads-copyloop", mib, |from, to| corio::io::copy(&mut File::open(from)?, &mut File::create(to)?))
}

fn copies(workload: &'static str, mib: u64, copy: fn(&Path, &Path) -> io::Result<u64>) -> io::Result<()> {
    let thread = thread::spawn(move || transfer::copies(workload, mib, copy));
    thread.join().map_err(|_| io::Error::other("a thread panicked"))?
}
