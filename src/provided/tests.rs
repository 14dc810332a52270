//! A call gives what it gives in std, and leaves behind what that leaves.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use ErrorKind::{ConnectionReset, Interrupted};
use Says::{Error, Is, Takes};

/// What a stream says to one call after the other.
#[derive(Clone, Copy, Debug)]
enum Says {
    /// To reads: these bytes, as far as there is room.
    Is(&'static [u8]),
    /// To writes: that it takes so many bytes.
    Takes(usize),
    Error(ErrorKind),
}

/// A stream with the methods of std.
struct OfStd {
    script: Vec<Says>,
    written: Vec<u8>,
}

impl Read for OfStd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.script.pop() {
            Some(Error(kind)) => Err(kind.into()),
            Some(Is(bytes)) => {
                let (now, later) = bytes.split_at(bytes.len().min(buffer.len()));
                buffer[..now.len()].copy_from_slice(now);
                self.script.extend((!later.is_empty()).then_some(Is(later)));
                Ok(now.len())
            }
            _ => Ok(0),
        }
    }
}

impl Write for OfStd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.script.pop() {
            Some(Error(kind)) => Err(kind.into()),
            Some(Takes(n)) => {
                let n = n.min(bytes.len());
                self.written.extend_from_slice(&bytes[..n]);
                Ok(n)
            }
            _ => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same with the methods of the file above.
struct Ours(OfStd);

impl Read for Ours {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    methods!(read_vectored read_exact read_to_end read_to_string);
}

impl Write for Ours {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    methods!(write_vectored write_all);

    fn write_fmt(&mut self, text: Arguments<'_>) -> io::Result<()> {
        super::write_fmt(text, |bytes| self.0.write(bytes))
    }
}

/// Makes the same call on both, and compares all that a caller can tell. The call gives a result, and what was read.
macro_rules! same {
    ($script:expr, |$stream:ident| $call:expr) => {{
        let new = || OfStd { script: $script.iter().rev().copied().collect(), written: Vec::new() };
        let (mut ours, mut of_std) = (Ours(new()), new());
        let told = |result: (io::Result<_>, Vec<u8>), left: OfStd| {
            let (result, read) = (result.0.map_err(|error| (error.kind(), error.to_string())), result.1);
            (result, read, left.written, left.script.len())
        };
        let here = {
            let $stream = &mut ours;
            $call
        };
        let there = {
            let $stream = &mut of_std;
            $call
        };
        assert_eq!(told(here, ours.0), told(there, of_std), "{:?} in {}", $script, stringify!($call));
    }};
}

const LONG: &[u8] = &[b'x'; 100_000];

#[test]
fn a_read_is_what_it_is_in_std() {
    const SCRIPTS: [&[Says]; 13] = [
        &[],
        &[Is(b"abc")],
        &[Is(b"abcdefgh")],
        &[Is(b"abcdefghijklmnop")],
        &[Is(b"abc"), Error(Interrupted), Is(b"de"), Error(Interrupted)],
        &[Error(Interrupted), Is(b"0123456789012345678901234567890123456789"), Is(b"!")],
        &[Is(b"abc"), Error(ConnectionReset), Is(b"defghij")],
        &[Error(ConnectionReset)],
        &[Is(LONG), Error(Interrupted), Is(b"!"), Is(LONG)],
        &[Is(LONG), Error(ConnectionReset)],
        &[Is(b"one \xff"), Is(b"two")],
        &[Is(b"caf\xc3"), Is(b"\xa9")],
        &[Is(b"caf\xc3"), Error(ConnectionReset)],
    ];
    for script in SCRIPTS {
        same!(script, |stream| {
            let mut buffer = [b'-'; 8];
            let read = stream.read_exact(&mut buffer);
            let filled = read.is_ok();
            (read, if filled { buffer.to_vec() } else { Vec::new() }) // what an error leaves in it is not said
        });
        same!(script, |stream| {
            let (mut none, mut one, mut two) = ([], [b'-'; 4], [b'-'; 4]);
            let read = stream.read_vectored(&mut [&mut none[..], &mut one, &mut two].map(IoSliceMut::new));
            (read, [one, two].concat())
        });
        same!(script, |stream| (stream.read_vectored(&mut []), Vec::new()));
        // Whatever is in it before, and whatever room it has, small and large and just right.
        for (before, room) in ["", "before"].into_iter().flat_map(|s| [0, 1, 8, 31, 32, 33, 10_000].map(|n| (s, n))) {
            let given = || {
                let mut given = String::with_capacity(before.len() + room);
                given.push_str(before);
                given
            };
            same!(script, |stream| {
                let mut bytes = given().into_bytes();
                (stream.read_to_end(&mut bytes), bytes)
            });
            same!(script, |stream| {
                let mut text = given();
                (stream.read_to_string(&mut text), text.into_bytes())
            });
        }
    }
}

/// Memory that is just enough does not grow, and what little comes does not cost much.
#[test]
fn a_read_to_the_end_takes_little_memory() {
    let new = |bytes| Ours(OfStd { script: vec![Is(bytes)], written: Vec::new() });
    let mut exact = Vec::with_capacity(LONG.len());
    let given = exact.capacity();
    assert_eq!(new(LONG).read_to_end(&mut exact).unwrap(), LONG.len());
    assert_eq!(exact.capacity(), given);
    let mut little = Vec::new();
    new(b"abc").read_to_end(&mut little).unwrap();
    assert!(little.capacity() <= 2 * PROBE, "{}", little.capacity());
    let mut long = Vec::new();
    new(LONG).read_to_end(&mut long).unwrap();
    assert!(long.capacity() < 3 * LONG.len(), "{}", long.capacity());
}

/// However a read ends: there is nothing in the vector that was not read.
#[test]
fn a_panic_leaves_what_was_read() {
    struct Panics(usize);
    impl Read for Panics {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).expect("it has had enough");
            buffer.fill(b'x');
            Ok(buffer.len())
        }

        methods!(read_to_end read_to_string);
    }
    let (mut bytes, mut text) = (b"before ".to_vec(), "before".to_owned());
    let caught = |call: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(call)).is_err();
    assert!(caught(&mut || drop(Panics(3).read_to_end(&mut bytes))));
    assert!(bytes.starts_with(b"before xxx") && bytes[7..].iter().all(|byte| *byte == b'x'), "{bytes:?}");
    assert!(caught(&mut || drop(Panics(3).read_to_string(&mut text))));
    assert_eq!(text, "before");
}

/// A stream of somebody else's that counts wrong: what was not read does not count, and there is a panic as in std.
#[test]
fn a_read_of_more_than_there_is_room_for_is_a_panic() {
    struct Boasts {
        honest: usize,
        has_read: usize,
    }
    impl Read for Boasts {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(b'x');
            let Some(left) = self.honest.checked_sub(1) else { return Ok(buffer.len() + 1) };
            let n = buffer.len().min(3);
            (self.honest, self.has_read) = (left, self.has_read + n);
            Ok(n)
        }
    }
    struct Ours<'a>(&'a mut Boasts);
    impl Read for Ours<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }

        methods!(read_to_end);
    }
    for (room, honest) in [0, 31, 32, 10_000, 100_000].into_iter().flat_map(|room| [(room, 0), (room, 1), (room, 12)]) {
        for is_ours in [true, false] {
            let mut stream = Boasts { honest, has_read: 0 };
            let mut bytes = Vec::with_capacity(6 + room);
            bytes.extend_from_slice(b"before");
            let read = catch_unwind(AssertUnwindSafe(|| match is_ours {
                true => Ours(&mut stream).read_to_end(&mut bytes),
                false => stream.read_to_end(&mut bytes),
            }));
            assert!(read.is_err(), "{read:?} for a room of {room}; ours: {is_ours}");
            assert_eq!(
                bytes,
                format!("before{}", "x".repeat(stream.has_read)).into_bytes(),
                "a room of {room}; ours: {is_ours}"
            );
        }
    }
}

#[test]
fn a_write_is_what_it_is_in_std() {
    /// Says something, and then that it cannot go on.
    struct Fails;
    impl fmt::Display for Fails {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("so far")?;
            Err(fmt::Error)
        }
    }
    const SCRIPTS: [&[Says]; 7] = [
        &[],
        &[Takes(100), Takes(100), Takes(100)],
        &[Takes(1), Takes(2), Takes(3), Takes(100), Takes(100), Takes(100)],
        &[Takes(2), Takes(0), Takes(9)],
        &[Error(Interrupted), Takes(2), Error(Interrupted), Takes(100), Takes(100), Takes(100)],
        &[Takes(2), Error(ConnectionReset), Takes(9)],
        &[Takes(9), Error(ConnectionReset), Takes(9)],
    ];
    for script in SCRIPTS {
        same!(script, |stream| (stream.write_all(b"a text"), Vec::new()));
        same!(script, |stream| (stream.write_all(b""), Vec::new()));
        same!(script, |stream| (stream.write_vectored(&[&b""[..], b"one", b"two"].map(IoSlice::new)), vec![]));
        same!(script, |stream| (stream.write_vectored(&[]), Vec::new()));
        same!(script, |stream| (writeln!(stream, "{script:?} and {:>4}", 42), Vec::new()));
        same!(script, |stream| (write!(stream, "as it stands"), Vec::new()));
    }
    // A text that cannot be told is the fault of whoever wrote it, and what came of it before is written.
    for script in [&[Takes(100)][..], &[]] {
        same!(script, |stream| {
            let caught = catch_unwind(AssertUnwindSafe(|| write!(stream, "{Fails}")));
            (caught.unwrap_or_else(|_| Err(ErrorKind::Other.into())), Vec::new())
        });
    }
}
