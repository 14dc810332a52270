//! A wait inside a method that the traits of std provide is at the line of the program that calls it.

use std::io::{IoSlice, IoSliceMut};

use corio::fs::File;
use corio::io::{StreamReader, duplex, pipe, split};
use corio::net::UnixStream;

use super::*;
use crate::common::{Directory, watchdog};

fn read_by(method: &str, mut stream: impl Read) -> io::Result<()> {
    let mut four = [0; 4];
    match method {
        "read" => stream.read(&mut four).map(drop),
        "read_vectored" => stream.read_vectored(&mut [IoSliceMut::new(&mut four)]).map(drop),
        "read_exact" => stream.read_exact(&mut four),
        "read_to_end" => stream.read_to_end(&mut Vec::new()).map(drop),
        _ => stream.read_to_string(&mut String::new()).map(drop),
    }
}

/// Twice, and more than fits: the second has to wait.
fn write_by(method: &str, mut stream: impl Write) -> io::Result<()> {
    let much = "x".repeat(1 << 20);
    for _ in 0..2 {
        match method {
            "write" => drop(stream.write(much.as_bytes())?),
            "write_vectored" => drop(stream.write_vectored(&[IoSlice::new(much.as_bytes())])?),
            "write_all" => stream.write_all(much.as_bytes())?,
            _ => stream.write_fmt(format_args!("{much}{method}"))?,
        }
    }
    Ok(())
}

/// Every wait of the main task for a stream, or for the thread that works on a file, is where `stream.method(` stands above.
fn waits_there(method: &str, program: impl FnOnce() -> io::Result<()>) {
    let (recording, result) = watched(Runner::new(), program);
    result.unwrap();
    let is_for_bytes = |want| matches!(want, Want::Io { .. } | Want::Message | Want::Room | Want::Worker);
    let waits: Vec<_> = events(&recording)
        .into_iter()
        .filter_map(|event| match event {
            Event::Yield { task: 1, want, at } if is_for_bytes(want) => Some(at),
            _ => None,
        })
        .collect();
    assert!(!waits.is_empty(), "{method} did not wait");
    for at in waits {
        let line = include_str!("places.rs").lines().nth(at.line() as usize - 1).unwrap_or_default();
        let is_there = at.file().ends_with("places.rs") && line.contains(&format!("stream.{method}("));
        assert!(is_there, "{method} waits at {at}");
    }
}

fn reads<S, W: Write + 'static>(make: fn() -> io::Result<(S, W)>, read: impl Fn(&str, S) -> io::Result<()>) {
    for method in ["read", "read_vectored", "read_exact", "read_to_end", "read_to_string"] {
        waits_there(method, || {
            let (stream, mut peer) = make()?;
            let peer = spawn(move || {
                sleep(millis(1))?;
                peer.write_all(b"text")
            });
            read(method, stream)?;
            peer.join()
        });
    }
}

fn writes<S, R: Read + 'static>(make: fn() -> io::Result<(S, R)>, write: impl Fn(&str, S) -> io::Result<()>) {
    for method in ["write", "write_vectored", "write_all", "write_fmt"] {
        waits_there(method, || {
            let (stream, mut peer) = make()?;
            let peer = spawn(move || {
                sleep(millis(1))?;
                peer.read_to_end(&mut Vec::new()).map(drop)
            });
            write(method, stream)?;
            peer.join()
        });
    }
}

#[test]
fn a_stream_waits_at_the_line_of_the_call() {
    let _watchdog = watchdog();
    reads(UnixStream::pair, read_by);
    reads(UnixStream::pair, |method, stream| read_by(method, &stream));
    reads(|| Ok(duplex(1 << 16)), read_by);
    reads(|| Ok(duplex(1 << 16)), |method, stream| read_by(method, &stream));
    reads(pipe, read_by);
    reads(pipe, |method, stream| read_by(method, &stream));
    reads(UnixStream::pair, |method, stream| read_by(method, split(stream).0));
    reads(UnixStream::pair, |method, stream| read_by(method, StreamReader::new(stream)));

    writes(UnixStream::pair, write_by);
    writes(UnixStream::pair, |method, stream| write_by(method, &stream));
    writes(|| Ok(duplex(1 << 16)), write_by);
    writes(|| Ok(duplex(1 << 16)), |method, stream| write_by(method, &stream));
    let other_way_round = || pipe().map(|(reader, writer)| (writer, reader));
    writes(other_way_round, write_by);
    writes(other_way_round, |method, stream| write_by(method, &stream));
    writes(UnixStream::pair, |method, stream| write_by(method, split(stream).1));
}

#[test]
fn a_file_waits_at_the_line_of_the_call() {
    let _watchdog = watchdog();
    let directory = Directory::new();
    let path = directory.path("text");
    // Not `write_fmt`: the pieces come by way of std, to a stream that does not know how to wait elsewhere.
    for method in ["write", "write_vectored", "write_all"] {
        let file = File::from(std::fs::File::create(&path).unwrap());
        waits_there(method, || write_by(method, file));
    }
    for method in ["read", "read_vectored", "read_exact", "read_to_end", "read_to_string"] {
        let file = File::from(std::fs::File::open(&path).unwrap());
        waits_there(method, || read_by(method, file));
    }
}
