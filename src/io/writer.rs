//! A writer that does not wait.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use super::HalfClose;
use crate::{Builder, Event, JoinHandle, error, secs, shield};

/// What may be buffered before [`drain`](StreamWriter::drain) waits, and how little must be left before it goes on.
const HIGH_WATER: usize = 64 * 1024;
/// How long what is left may take when the run ends.
const LAST_FLUSH: Duration = secs(5);

/// A writer whose [`write`](Self::write) never waits: what is written is buffered, and a task of the writer's own sends it.
///
/// **Nearly always the stream itself is the better writer.** Its `write_all` waits while the peer is slow, so nothing
/// piles up. This one is for those who must not wait: a callback, or a task that tells many peers of something and will
/// not let the slowest hold it up. Then somebody has to call [`drain`](Self::drain), or look at
/// [`buffered`](Self::buffered), or the buffer grows with what a peer does not read.
///
/// It is closed by [`close`](Self::close), which sends what is left first, or broken off by [`abort`](Self::abort). One that
/// is dropped unclosed is closed, and a warning says so. It belongs to its loop; its task ends when it is closed and all is
/// sent, or at the end of the run, which gives it five seconds for what is left. asyncio: `StreamWriter`.
///
/// ```
/// use corio::io::{StreamWriter, duplex};
/// use corio::run;
/// use std::io::Read;
///
/// run(|| {
///     let (near, mut far) = duplex(4);
///     let writer = StreamWriter::new(near);
///     writer.write(b"much more than fits"); // returns at once
///     writer.close();
///     let mut text = String::new();
///     far.read_to_string(&mut text)?;
///     assert_eq!(text, "much more than fits");
///     writer.wait_closed()
/// })
/// # .unwrap()
/// ```
///
/// With an eye on a peer that is slow:
///
/// ```
/// use corio::io::{StreamWriter, duplex};
/// use corio::{Runner, secs, timeout};
/// use std::io::Read;
///
/// Runner::new().virtual_clock().run(|| {
///     let (near, mut far) = duplex(4);
///     let writer = StreamWriter::new(near);
///     writer.set_marks(Some(8), None)?;
///     assert_eq!(writer.marks(), (8, 2));
///     writer.write(b"a longer text");
///     assert!(timeout(secs(1), || writer.drain()).is_err() && writer.buffered() == 9); // the peer does not read
///
///     writer.write_eof();
///     let mut text = String::new();
///     far.read_to_string(&mut text)?;
///     writer.drain()?;
///     assert_eq!((text.as_str(), writer.buffered(), writer.is_closing()), ("a longer text", 0, false));
///     writer.close();
///     writer.wait_closed()?;
///
///     let (near, _far) = duplex(4);
///     let lost = StreamWriter::new(near);
///     lost.write(b"never read by anybody");
///     lost.abort(); // not even sent
///     assert!(lost.is_closing());
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct StreamWriter {
    shared: Rc<Shared>,
    /// The task that sends.
    sender: JoinHandle,
}

struct Shared {
    buffer: RefCell<VecDeque<u8>>,
    /// What the task has taken out of the buffer and not yet sent.
    in_hand: Cell<usize>,
    low: Cell<usize>,
    high: Cell<usize>,
    stage: Cell<Stage>,
    /// What went wrong: the same for everybody who asks.
    failure: RefCell<Option<io::Error>>,
    /// There is something to do for the task.
    work: Event,
    /// Not more than the low-water mark is left, or the connection is gone.
    drained: Event,
    closed: Event,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stage {
    Open,
    /// Nothing more is written; the half ends when all is sent.
    Ended,
    /// All of the stream is given up when all is sent.
    Closing,
    Aborted,
    Closed,
}

impl StreamWriter {
    /// A writer on `stream`, of which it keeps hold until it is closed: the whole stream, or its
    /// [`WriteHalf`](super::WriteHalf).
    ///
    /// # Panics
    ///
    /// As [`spawn`](crate::spawn()): it spawns a task.
    #[track_caller]
    pub fn new<W: Write + HalfClose + 'static>(stream: W) -> StreamWriter {
        let shared = Rc::new(Shared {
            buffer: RefCell::default(),
            in_hand: Cell::new(0),
            low: Cell::new(HIGH_WATER / 4),
            high: Cell::new(HIGH_WATER),
            stage: Cell::new(Stage::Open),
            failure: RefCell::default(),
            work: Event::new(),
            drained: Event::new(),
            closed: Event::new(),
        });
        shared.drained.set();
        let send = {
            let shared = shared.clone();
            move || {
                shared.send(stream);
                Ok(())
            }
        };
        // Begun at once: a task that is cancelled before its first turn would never send what was written.
        let sender = Builder::new().name("stream writer").eager().spawn(send);
        let sender = sender.unwrap_or_else(|error| panic!("cannot spawn the task of a stream writer: {error}"));
        StreamWriter { shared, sender }
    }

    /// Appends bytes to what is to be sent. It never waits, and may be called anywhere on the loop's thread.
    /// asyncio: `write`.
    ///
    /// After [`write_eof`](Self::write_eof), [`close`](Self::close) or a failure the bytes are dropped. `drain` tells of it:
    /// after a close, once the stream is given up.
    pub fn write(&self, bytes: &[u8]) {
        let shared = &self.shared;
        if shared.stage.get() != Stage::Open {
            if shared.stage.get() == Stage::Ended {
                shared.fails(&error::misuse("a write after the end of writing"));
            }
            return;
        }
        shared.buffer.borrow_mut().extend(bytes);
        shared.look_at_marks();
        shared.work.set();
    }

    /// How many bytes are not yet sent. asyncio: `get_write_buffer_size`.
    pub fn buffered(&self) -> usize {
        self.shared.left()
    }

    /// Waits while too much is buffered: from the moment when it is more than the high-water mark until it is no more than
    /// the low-water mark. Otherwise it returns at once. asyncio: `drain`.
    ///
    /// # Errors
    ///
    /// What went wrong with the connection, now and at every later call; [`ConnectionReset`](io::ErrorKind::ConnectionReset)
    /// if nothing did and it is closed; cancellation.
    ///
    /// # Suspends
    ///
    /// While too much is buffered.
    #[track_caller]
    pub fn drain(&self) -> io::Result<()> {
        self.shared.failed()?;
        if self.shared.stage.get() == Stage::Closed {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the writer is closed"));
        }
        self.shared.drained.wait()?;
        self.shared.failed()
    }

    /// Sets the marks. With one of them the other follows: the low one is a quarter of the high one. 64 KiB and 16 KiB if
    /// not set. If more than the new high one is buffered, [`drain`](Self::drain) waits from now on.
    /// asyncio: `transport.set_write_buffer_limits`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a low mark above the high one.
    pub fn set_marks(&self, high: Option<usize>, low: Option<usize>) -> io::Result<()> {
        let high = high.unwrap_or_else(|| low.map_or(HIGH_WATER, |low| low.saturating_mul(4)));
        let low = low.unwrap_or(high / 4);
        if low > high {
            return Err(error::misuse(format!("the low-water mark {low} is above the high-water mark {high}")));
        }
        self.shared.low.set(low);
        self.shared.high.set(high);
        self.shared.look_at_marks();
        Ok(())
    }

    /// The marks: high and low. asyncio: `transport.get_write_buffer_limits`.
    pub fn marks(&self) -> (usize, usize) {
        (self.shared.high.get(), self.shared.low.get())
    }

    /// Ends the writing half when all is sent: the peer reads the end, and may still answer. asyncio: `write_eof`.
    pub fn write_eof(&self) {
        self.shared.advance(Stage::Ended);
    }

    /// Closes the stream when all is sent: the peer reads the end, and the writer lets go of the stream. Who holds it as well,
    /// by a clone or the other half, can still read. Nothing is written any more. Closing twice does nothing.
    /// asyncio: `close`.
    pub fn close(&self) {
        self.shared.advance(Stage::Closing);
    }

    /// Gives the stream up at once, with what is not yet sent. asyncio: `transport.abort`.
    pub fn abort(&self) {
        if self.shared.stage.get() < Stage::Aborted {
            self.shared.buffer.borrow_mut().clear();
            self.shared.fails(&io::Error::new(io::ErrorKind::ConnectionAborted, "the writer was aborted"));
            self.shared.advance(Stage::Aborted);
            // It may wait for a peer that does not read.
            self.sender.cancel();
        }
    }

    /// Whether it is closed or about to be. asyncio: `is_closing`.
    pub fn is_closing(&self) -> bool {
        self.shared.stage.get() >= Stage::Closing
    }

    /// Waits until the stream is given up, by [`close`](Self::close), [`abort`](Self::abort) or a failure. Any number of
    /// tasks may wait. asyncio: `wait_closed`.
    ///
    /// # Errors
    ///
    /// What went wrong with the connection; cancellation.
    ///
    /// # Suspends
    ///
    /// Until the stream is given up.
    #[track_caller]
    pub fn wait_closed(&self) -> io::Result<()> {
        self.shared.closed.wait()?;
        self.shared.failed()
    }
}

impl Shared {
    fn left(&self) -> usize {
        self.buffer.borrow().len() + self.in_hand.get()
    }

    /// Only ever forward.
    fn advance(&self, stage: Stage) {
        if self.stage.get() < stage {
            self.stage.set(stage);
        }
        self.work.set();
    }

    fn look_at_marks(&self) {
        let left = self.left();
        if left > self.high.get() {
            self.drained.clear();
        } else if left <= self.low.get() {
            self.drained.set();
        }
    }

    /// The first failure counts.
    fn fails(&self, error: &io::Error) {
        self.failure.borrow_mut().get_or_insert_with(|| copy_of(error));
        self.drained.set();
    }

    fn failed(&self) -> io::Result<()> {
        self.failure.borrow().as_ref().map_or(Ok(()), |error| Err(copy_of(error)))
    }

    /// The task that sends: until it is closed and all is sent, or it cannot go on.
    fn send(&self, stream: impl Write + HalfClose) {
        let _finish = Finish(self);
        let mut stream = stream; // goes before that
        let mut sent = self.send_all(&mut stream);
        if crate::cancel_cause().is_some() && self.stage.get() < Stage::Aborted {
            // The run is ending: what is left has little time.
            self.advance(Stage::Closing);
            sent = shield(LAST_FLUSH, || self.send_all(&mut stream));
        }
        if let Err(error) = sent {
            self.fails(&error);
        }
    }

    fn send_all(&self, stream: &mut (impl Write + HalfClose)) -> io::Result<()> {
        let mut ended = false;
        loop {
            // Taken out, so that others may append while this waits.
            let mut bytes: VecDeque<u8> = std::mem::take(&mut *self.buffer.borrow_mut());
            self.in_hand.set(bytes.len());
            while !bytes.is_empty() {
                let n = match stream.write(bytes.as_slices().0) {
                    Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                    result => result,
                };
                let n = n.inspect_err(|_| self.put_back(&mut bytes))?;
                bytes.drain(..n);
                self.in_hand.set(bytes.len());
                self.look_at_marks();
            }
            if !self.buffer.borrow().is_empty() {
                continue;
            }
            match self.stage.get() {
                Stage::Ended | Stage::Closing if !ended => {
                    stream.flush()?;
                    stream.end_writing()?;
                    ended = true;
                    continue; // flushing may have waited: look again
                }
                Stage::Open | Stage::Ended => {}
                _ => return Ok(()),
            }
            self.work.clear();
            self.work.wait()?;
        }
    }

    fn put_back(&self, bytes: &mut VecDeque<u8>) {
        let later = std::mem::take(&mut *self.buffer.borrow_mut());
        bytes.extend(later);
        *self.buffer.borrow_mut() = std::mem::take(bytes);
        self.in_hand.set(0);
    }
}

/// However the task ends, by a panic of the stream too, whoever waits for it hears of it.
struct Finish<'a>(&'a Shared);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let Finish(shared) = self;
        if std::thread::panicking() {
            shared.fails(&io::Error::other("the task of the writer was broken off"));
        }
        shared.buffer.borrow_mut().clear();
        shared.in_hand.set(0);
        shared.stage.set(Stage::Closed);
        shared.drained.set();
        shared.closed.set();
    }
}

/// The same error once more: the system's number, or the kind and the text.
fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if !self.is_closing() {
            log::warn!(target: "corio::io", "a stream writer was dropped without `close`: it is closed now");
            self.close();
        }
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWriter").field("buffered", &self.buffered()).field("closing", &self.is_closing()).finish()
    }
}
