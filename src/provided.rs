//! The provided methods of `Read` and `Write`, for the streams of this library: as std has them, but a wait inside them is at
//! the line that calls them. In std's own it would be at a line of std.
//!
//! `methods!(read_exact write_all ..)` inside an `impl` of one of the traits writes them there. They stand on `read` and `write`,
//! each of which is `#[track_caller]`; that goes through because none of these calls is by way of a trait object.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};

/// What is read to see whether anything comes, before memory is asked for it.
const PROBE: usize = 32;
/// The most that one read asks for, until a read has brought so much.
const CHUNK: usize = 8 * 1024;

macro_rules! methods {
    ($($method:ident)*) => { $(crate::provided::method! { $method })* };
}

macro_rules! method {
    (read_vectored) => {
        #[track_caller]
        fn read_vectored(&mut self, buffers: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
            crate::provided::read_vectored(self, buffers)
        }
    };
    (read_exact) => {
        #[track_caller]
        fn read_exact(&mut self, buffer: &mut [u8]) -> std::io::Result<()> {
            crate::provided::read_exact(self, buffer)
        }
    };
    (read_to_end) => {
        #[track_caller]
        fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> std::io::Result<usize> {
            crate::provided::read_to_end(self, bytes)
        }
    };
    (read_to_string) => {
        #[track_caller]
        fn read_to_string(&mut self, text: &mut String) -> std::io::Result<usize> {
            crate::provided::read_to_string(self, text)
        }
    };
    (write_vectored) => {
        #[track_caller]
        fn write_vectored(&mut self, slices: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
            crate::provided::write_vectored(self, slices)
        }
    };
    (write_all) => {
        #[track_caller]
        fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
            crate::provided::write_all(self, bytes)
        }
    };
}

pub(crate) use {method, methods};

#[track_caller]
pub(crate) fn read_vectored<R: Read + ?Sized>(from: &mut R, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    match buffers.iter_mut().find(|buffer| !buffer.is_empty()) {
        Some(buffer) => from.read(buffer),
        None => from.read(&mut []),
    }
}

#[track_caller]
pub(crate) fn read_exact<R: Read + ?Sized>(from: &mut R, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match from.read(buffer) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "failed to fill whole buffer")),
            Ok(n) => buffer = &mut buffer[n..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Bytes of which those up to `end` were read, and the rest are room. However the reading ends, only those stay.
struct Filled<'a> {
    bytes: &'a mut Vec<u8>,
    end: usize,
}

impl Drop for Filled<'_> {
    fn drop(&mut self) {
        self.bytes.truncate(self.end);
    }
}

/// Has at least so many bytes there to be read into. Whole pieces of zeros are copied: without optimisation, `resize` would go from
/// byte to byte.
fn make_room(bytes: &mut Vec<u8>, length: usize) {
    static ZEROS: [u8; CHUNK] = [0; CHUNK];
    while bytes.len() < length {
        let missing = length - bytes.len();
        bytes.extend_from_slice(&ZEROS[..missing.min(CHUNK)]);
    }
}

#[track_caller]
pub(crate) fn read_to_end<R: Read + ?Sized>(from: &mut R, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let (before, given) = (bytes.len(), bytes.capacity());
    let mut filled = Filled { bytes, end: before };
    let mut most = CHUNK;
    loop {
        let Filled { bytes, end } = &mut filled;
        // What was given may be of just the right size: it grows when there is more, and no sooner.
        let is_full = bytes.capacity() - *end < PROBE;
        let read = if is_full && bytes.capacity() == given {
            let mut probe = [0; PROBE];
            let read = from.read(&mut probe);
            if let Ok(n) = read {
                bytes.truncate(*end);
                bytes.extend_from_slice(&probe[..n]);
            }
            read
        } else {
            if is_full {
                bytes.truncate(*end);
                bytes.try_reserve(PROBE)?;
            }
            let room = (bytes.capacity() - *end).min(most);
            make_room(bytes, *end + room);
            let read = from.read(&mut bytes[*end..*end + room]);
            // A stream of somebody else's may count wrong. What it has not read must not count as read.
            assert!(!read.as_ref().is_ok_and(|n| *n > room), "a read has returned more than there is room for");
            if read.as_ref().is_ok_and(|n| *n == most) {
                most = most.saturating_mul(2);
            }
            read
        };
        match read {
            Ok(0) => return Ok(*end - before),
            Ok(n) => *end += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[track_caller]
pub(crate) fn read_to_string<R: Read + ?Sized>(from: &mut R, text: &mut String) -> io::Result<usize> {
    // Of an empty one the memory is used; what is in another one is not looked at again.
    let mut bytes = if text.is_empty() { std::mem::take(text).into_bytes() } else { Vec::new() };
    let read = read_to_end(from, &mut bytes);
    match String::from_utf8(bytes) {
        Ok(more) if text.is_empty() => *text = more,
        Ok(more) => text.push_str(&more),
        Err(_) => return read.and(Err(io::Error::new(ErrorKind::InvalidData, "stream did not contain valid UTF-8"))),
    }
    read
}

#[track_caller]
pub(crate) fn write_vectored<W: Write + ?Sized>(to: &mut W, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    to.write(slices.iter().find(|slice| !slice.is_empty()).map_or(&[], |slice| slice))
}

#[track_caller]
pub(crate) fn write_all<W: Write + ?Sized>(to: &mut W, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::Error::new(ErrorKind::WriteZero, "failed to write whole buffer")),
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// `write_fmt`, for a stream that can be told the place of a write: the pieces of a text come by way of a trait object, which
/// knows of none.
pub(crate) fn write_fmt(text: Arguments<'_>, write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
    struct Pieces<F>(F);

    impl<F: FnMut(&[u8]) -> io::Result<usize>> Write for Pieces<F> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    Pieces(write).write_fmt(text)
}

#[cfg(test)]
mod tests;
