//! A reader with a buffer and a limit.

use std::error::Error;
use std::fmt;
use std::io::{self, Read};

/// How much a reader keeps while it looks for the end of a line, unless it is told otherwise.
const LIMIT: usize = 64 * 1024;
/// How much it asks for at once.
const CHUNK: usize = 8 * 1024;
/// A buffer that has grown beyond this, for one large record, is given back when it is empty.
const KEPT: usize = 2 * LIMIT;

/// A buffered reader: lines, records up to a separator, exact numbers of bytes, each with a limit on what it will keep.
///
/// The limit is on what is looked through for a separator, so that a peer who never ends its line cannot fill the memory. What
/// was read and not taken stays, whatever happens: a read that was cancelled or has met its limit has consumed nothing, and
/// the reader goes on to work. It is `Read` as well, so that others can take over. It is no `BufRead`: the methods of that trait
/// have the same names and no limit.
///
/// asyncio: `StreamReader`. It reads when it is asked to, and no byte sooner, so a slow reader slows its peer by itself.
///
/// It waits, and meets a cancellation, where the stream below does. What is in the buffer already is given without asking that.
///
/// ```
/// use corio::io::{IncompleteRead, LimitOverrun, StreamReader};
///
/// let mut reader = StreamReader::with_limit(&b"size 5\nhello, a line that is too long\nend"[..], 16)?;
/// assert_eq!(reader.read_line()?, b"size 5\n");
/// assert_eq!(reader.read_exactly(5)?, b"hello");
/// let error = reader.read_until(b"\n").unwrap_err();
/// assert!(LimitOverrun::of(&error).is_some());
/// reader.read_line().unwrap_err(); // drops the line
/// let error = reader.read_until(b"\n").unwrap_err();
/// assert_eq!(IncompleteRead::of(&error).unwrap().partial, b"end");
/// # std::io::Result::Ok(())
/// ```
///
/// What it has read ahead is its own, until the stream goes to somebody else:
///
/// ```
/// use corio::io::StreamReader;
/// use std::io::Read;
///
/// let mut reader = StreamReader::new(&b"header\nbody"[..]);
/// assert_eq!(reader.lines().next().unwrap()?, "header");
/// assert_eq!((reader.buffer(), reader.get_ref().len(), reader.at_eof()), (&b"body"[..], 0, false));
///
/// let ahead = reader.buffer().to_vec();
/// reader.get_mut().read_to_end(&mut Vec::new())?; // past the buffer: nothing was left here
/// let mut body = String::new();
/// ahead.chain(reader.into_inner()).read_to_string(&mut body)?;
/// assert_eq!(body, "body");
/// # std::io::Result::Ok(())
/// ```
pub struct StreamReader<R> {
    inner: R,
    limit: usize,
    /// What was read lies in `start..end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The end of the stream was met.
    ended: bool,
}

/// What [`StreamReader::read_until`] looks for: one separator, or several, of which the one that ends first counts.
///
/// ```
/// let mut reader = corio::io::StreamReader::new(&b"a\r\nb\nc"[..]);
/// assert_eq!(reader.read_until([&b"\r\n"[..], b"\n"])?, b"a\r\n");
/// assert_eq!(reader.read_until(b"\n")?, b"b\n");
/// # std::io::Result::Ok(())
/// ```
pub trait Separators: sealed::Sealed {
    #[doc(hidden)]
    fn each(&self) -> impl Iterator<Item = &[u8]>;
}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for &[u8] {}
impl Separators for &[u8] {
    fn each(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(*self)
    }
}

impl<const N: usize> sealed::Sealed for &[u8; N] {}
impl<const N: usize> Separators for &[u8; N] {
    fn each(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.as_slice())
    }
}

impl sealed::Sealed for &[&[u8]] {}
impl Separators for &[&[u8]] {
    fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.iter().copied()
    }
}

impl<const N: usize> sealed::Sealed for [&[u8]; N] {}
impl<const N: usize> Separators for [&[u8]; N] {
    fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.iter().copied()
    }
}

/// The separator did not come within the limit. It lies inside an [`InvalidData`](io::ErrorKind::InvalidData) error.
///
/// asyncio: `LimitOverrunError`.
///
/// ```
/// use corio::io::{LimitOverrun, StreamReader};
///
/// let mut reader = StreamReader::with_limit(&b"far too long;ok;"[..], 8)?;
/// let error = reader.read_until(b";").unwrap_err();
/// let overrun = LimitOverrun::of(&error).unwrap();
/// assert_eq!((overrun.limit, overrun.consumed), (8, 12)); // nothing was taken
/// reader.read_exactly(overrun.consumed)?; // past what is too long
/// assert_eq!((reader.read_until(b";")?, reader.read_until(b";")?), (b";".to_vec(), b"ok;".to_vec()));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitOverrun {
    /// How many bytes can be read to get past what is too long: up to the separator if it was seen, and otherwise all that
    /// cannot be the beginning of one.
    pub consumed: usize,
    /// The limit.
    pub limit: usize,
}

impl LimitOverrun {
    /// This error, if it is the cause of the other.
    pub fn of(error: &io::Error) -> Option<&LimitOverrun> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for LimitOverrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no separator within the limit of {} bytes", self.limit)
    }
}

impl Error for LimitOverrun {}

/// The stream ended in the middle. It lies inside an [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) error.
///
/// asyncio: `IncompleteReadError`.
///
/// ```
/// use corio::io::{IncompleteRead, StreamReader};
///
/// let mut reader = StreamReader::new(&b"abc"[..]);
/// let error = reader.read_exactly(8).unwrap_err();
/// let cut = IncompleteRead::of(&error).unwrap();
/// assert_eq!((cut.partial.as_slice(), cut.expected), (&b"abc"[..], Some(8)));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncompleteRead {
    /// What came before the end.
    pub partial: Vec<u8>,
    /// How many bytes it should have been; `None`: up to a separator.
    pub expected: Option<usize>,
}

impl IncompleteRead {
    /// This error, if it is the cause of the other.
    pub fn of(error: &io::Error) -> Option<&IncompleteRead> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for IncompleteRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream ended after {} bytes", self.partial.len())?;
        match self.expected {
            Some(expected) => write!(f, " of {expected}"),
            None => f.write_str(", without a separator"),
        }
    }
}

impl Error for IncompleteRead {}

impl<R: Read> StreamReader<R> {
    /// A reader with a limit of 64 KiB.
    pub fn new(inner: R) -> StreamReader<R> {
        StreamReader { inner, limit: LIMIT, buffer: Vec::new(), start: 0, end: 0, ended: false }
    }

    /// A reader with another limit.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a limit of 0.
    pub fn with_limit(inner: R, limit: usize) -> io::Result<StreamReader<R>> {
        match limit {
            0 => Err(crate::error::misuse("a reader with a limit of 0 could not read a line")),
            limit => Ok(StreamReader { limit, ..StreamReader::new(inner) }),
        }
    }

    /// What was read from the stream and not taken.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether the end of the stream was met, and all before it taken. asyncio: `at_eof`.
    pub fn at_eof(&self) -> bool {
        self.ended && self.start == self.end
    }

    /// The stream below.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The stream below. What is read from it is missing here.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// The stream below. What is in the buffer is lost.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// Reads once more, for `wanted` bytes in the buffer in the end; `false` at the end of the stream.
    #[track_caller]
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let held = self.end - self.start;
        // The buffer grows with what has come: a length that a peer only claims costs no memory.
        let room = wanted.saturating_sub(held).clamp(CHUNK, CHUNK.max(held));
        if self.buffer.len() - self.end < room {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, held);
            }
            if self.buffer.len() < self.end + room {
                self.buffer.resize(self.end + room, 0);
            }
        }
        let n = loop {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.end += n;
        self.ended = n == 0;
        Ok(n > 0)
    }

    fn consume(&mut self, n: usize) {
        self.start += n;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > KEPT {
                self.buffer = Vec::new();
            }
        }
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        let taken = self.buffer[self.start..self.start + n].to_vec();
        self.consume(n);
        taken
    }

    /// Reads a line, with its newline. At the end of the stream what is left of the last line, and then nothing. As text, and
    /// without the newline: `lines().next()`. asyncio: `readline`.
    ///
    /// # Errors
    ///
    /// A [`LimitOverrun`] if the line is longer than the limit; it is dropped then, as far as it has come. What the stream
    /// says; a cancellation, which takes nothing.
    ///
    /// # Suspends
    ///
    /// Until a whole line is there.
    #[track_caller]
    pub fn read_line(&mut self) -> io::Result<Vec<u8>> {
        match self.find(b"\n") {
            Ok(Found::At(n)) => Ok(self.take(n)),
            Ok(Found::Overrun { line: Some(n), .. }) => {
                self.consume(n);
                Err(self.overrun(n))
            }
            Ok(Found::Overrun { line: None, consumed }) => {
                self.consume(self.end - self.start);
                Err(self.overrun(consumed))
            }
            Ok(Found::End) => Ok(self.take(self.end - self.start)),
            Err(error) => Err(error),
        }
    }

    /// The lines up to the end of the stream, as text without the newline, or the carriage return before it.
    /// asyncio: `async for`.
    ///
    /// An item may be an error: a line that is too long or no UTF-8 is dropped, and the next is read. After an error of the
    /// stream, or a cancellation, there is no next one.
    pub fn lines(&mut self) -> Lines<'_, R> {
        Lines { reader: self, ended: false }
    }

    /// Reads up to a separator, and that. asyncio: `readuntil`.
    ///
    /// # Errors
    ///
    /// A [`LimitOverrun`] if what is before the separator is longer than the limit; all of it stays in place. An
    /// [`IncompleteRead`] at the end of the stream; what came is in the error and taken.
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for no separator, or an empty one. What the stream says; a
    /// cancellation, which takes nothing.
    ///
    /// # Suspends
    ///
    /// Until a separator is there.
    #[track_caller]
    pub fn read_until(&mut self, separators: impl Separators) -> io::Result<Vec<u8>> {
        match self.find(separators)? {
            Found::At(n) => Ok(self.take(n)),
            Found::Overrun { consumed, .. } => Err(self.overrun(consumed)),
            Found::End => {
                let partial = self.take(self.end - self.start);
                Err(incomplete(partial, None))
            }
        }
    }

    /// Reads exactly `n` bytes, also if that is more than the limit. asyncio: `readexactly`.
    ///
    /// # Errors
    ///
    /// An [`IncompleteRead`] at the end of the stream; what came is in the error and taken. What the stream says; a
    /// cancellation, which takes nothing.
    ///
    /// # Suspends
    ///
    /// Until all of it is there.
    #[track_caller]
    pub fn read_exactly(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.end - self.start < n {
            if !self.fill(n)? {
                let partial = self.take(self.end - self.start);
                return Err(incomplete(partial, Some(n)));
            }
        }
        Ok(self.take(n))
    }

    /// Looks for a separator, from the first byte that was not looked at. No byte is looked at twice.
    #[track_caller]
    fn find(&mut self, separators: impl Separators) -> io::Result<Found> {
        let shortest = separators.each().map(<[u8]>::len).min().unwrap_or(0);
        if shortest == 0 {
            return Err(crate::error::misuse("there must be a separator, and none may be empty"));
        }
        let longest = separators.each().map(<[u8]>::len).max().unwrap_or(0);
        let mut seen = 0;
        loop {
            let text = self.buffer();
            let mut end = seen;
            while let Some(n) = text[end..].iter().position(|byte| separators.each().any(|s| s.last() == Some(byte))) {
                end += n + 1;
                let ends_here = |separator: &&[u8]| text[..end].ends_with(separator);
                if let Some(separator) = separators.each().filter(ends_here).max_by_key(|separator| separator.len()) {
                    let before = end - separator.len();
                    return Ok(if before <= self.limit {
                        Found::At(end)
                    } else {
                        Found::Overrun { consumed: before, line: Some(end) }
                    });
                }
            }
            seen = text.len();
            // What may be the beginning of a separator is not yet too much.
            let certain = (seen + 1).saturating_sub(longest);
            if certain > self.limit {
                return Ok(Found::Overrun { consumed: certain, line: None });
            }
            if !self.fill(seen + 1)? {
                return Ok(Found::End);
            }
        }
    }

    fn overrun(&self, consumed: usize) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, LimitOverrun { consumed, limit: self.limit })
    }
}

enum Found {
    /// It ends there.
    At(usize),
    /// It does not come within the limit, or ends where `line` says.
    Overrun {
        consumed: usize,
        line: Option<usize>,
    },
    End,
}

fn incomplete(partial: Vec<u8>, expected: Option<usize>) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, IncompleteRead { partial, expected })
}

impl<R: Read> Read for StreamReader<R> {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.start == self.end && buffer.len() >= CHUNK && !self.ended {
            // Nothing is gained by way of the buffer.
            let n = self.inner.read(buffer)?;
            self.ended = n == 0;
            return Ok(n);
        }
        if self.start == self.end {
            self.fill(1)?;
        }
        let n = buffer.len().min(self.end - self.start);
        buffer[..n].copy_from_slice(&self.buffer[self.start..self.start + n]);
        self.consume(n);
        Ok(n)
    }

    crate::provided::methods!(read_vectored read_exact read_to_end read_to_string);
}

impl<R: fmt::Debug> fmt::Debug for StreamReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader")
            .field("inner", &self.inner)
            .field("buffered", &(self.end - self.start))
            .field("limit", &self.limit)
            .finish()
    }
}

/// The lines of a stream; from [`StreamReader::lines`].
///
/// ```
/// use corio::io::{Lines, StreamReader};
///
/// let mut reader = StreamReader::with_limit(&b"one\r\na line that is too long\ntwo"[..], 8)?;
/// let lines: Lines<'_, _> = reader.lines();
/// let lines: Vec<Option<String>> = lines.map(Result::ok).collect();
/// assert_eq!(lines, [Some("one".to_owned()), None, Some("two".to_owned())]); // it goes on after an error of one line
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Lines<'a, R> {
    reader: &'a mut StreamReader<R>,
    ended: bool,
}

impl<R: Read> Iterator for Lines<'_, R> {
    type Item = io::Result<String>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<String>> {
        if self.ended {
            return None;
        }
        let mut line = match self.reader.read_line() {
            Ok(line) => line,
            Err(error) => {
                self.ended = LimitOverrun::of(&error).is_none();
                return Some(Err(error));
            }
        };
        if line.is_empty() {
            self.ended = true;
            return None;
        }
        if line.pop_if(|byte| *byte == b'\n').is_some() {
            line.pop_if(|byte| *byte == b'\r');
        }
        Some(String::from_utf8(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)))
    }
}
