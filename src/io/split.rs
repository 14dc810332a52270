//! The two halves of a stream.

use std::fmt::Arguments;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::sync::Arc;

use super::HalfClose;
use crate::provided::methods;

/// The half of a stream that reads; from [`split`].
#[derive(Debug)]
pub struct ReadHalf<S> {
    stream: Arc<S>,
}

/// The half of a stream that writes; from [`split`]. When it is dropped, the writing half of the stream ends.
///
/// ```
/// use corio::io::{WriteHalf, duplex, split};
/// use corio::{run, spawn};
/// use std::io::{self, Read, Write};
///
/// /// A task that owns the way out, and nothing more.
/// fn speak<S: corio::io::HalfClose>(mut to: WriteHalf<S>) -> io::Result<()>
/// where
///     for<'a> &'a S: Write,
/// {
///     to.write_all(b"goodbye")
/// }
///
/// run(|| {
///     let (near, mut far) = duplex(16);
///     let (_reading, writing) = split(near);
///     assert!(format!("{:?}", writing.get_ref()).starts_with("Duplex"));
///     let task = spawn(move || speak(writing));
///     let mut text = String::new();
///     far.read_to_string(&mut text)?; // to the end, which came with the drop of the half
///     assert_eq!(text, "goodbye");
///     task.join()
/// })
/// # .unwrap()
/// ```
#[derive(Debug)]
pub struct WriteHalf<S: HalfClose> {
    stream: Arc<S>,
    /// Whether the half ends with this.
    ends: bool,
}

/// Splits a stream into a half that reads and one that writes, for two tasks that own one each. The stream is closed when both
/// are gone.
///
/// A stream of corio's can be read and written through a shared reference, so tasks that may borrow need no split.
///
/// ```
/// use corio::io::{duplex, split};
/// use corio::{run, spawn};
/// use std::io::{Read, Write};
///
/// run(|| {
///     let (near, mut far) = duplex(16);
///     let (mut reading, mut writing) = split(near);
///     spawn(move || writing.write_all(b"hello")); // and ends the half
///     let mut text = String::new();
///     far.read_to_string(&mut text)?;
///     far.write_all(text.as_bytes())?;
///     drop(far);
///     text.clear();
///     reading.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub fn split<S: HalfClose>(stream: S) -> (ReadHalf<S>, WriteHalf<S>) {
    let stream = Arc::new(stream);
    (ReadHalf { stream: stream.clone() }, WriteHalf { stream, ends: true })
}

impl<S> ReadHalf<S> {
    /// The whole stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: HalfClose> ReadHalf<S> {
    /// Puts the two halves together again.
    ///
    /// # Errors
    ///
    /// Both of them back, if they are of two streams.
    ///
    /// ```
    /// use corio::io::{ReadHalf, WriteHalf, split};
    /// use corio::net::UnixStream;
    ///
    /// let (stream, peer) = UnixStream::pair()?;
    /// let (reading, writing): (ReadHalf<UnixStream>, WriteHalf<UnixStream>) = split(stream);
    /// assert!(reading.get_ref().peer_addr()?.is_unnamed() && writing.get_ref().local_addr()?.is_unnamed());
    ///
    /// let (_, other) = split(peer);
    /// let (reading, _other) = reading.unsplit(other).unwrap_err(); // of another stream
    /// let whole: UnixStream = reading.unsplit(writing).unwrap();
    /// # drop(whole);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn unsplit(self, mut other: WriteHalf<S>) -> Result<S, (ReadHalf<S>, WriteHalf<S>)> {
        if !Arc::ptr_eq(&self.stream, &other.stream) {
            return Err((self, other));
        }
        other.ends = false;
        drop(other);
        Ok(Arc::into_inner(self.stream).expect("there were these two references only"))
    }
}

impl<S: HalfClose> WriteHalf<S> {
    /// The whole stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: HalfClose> HalfClose for WriteHalf<S> {
    fn end_writing(&self) -> io::Result<()> {
        self.stream.end_writing()
    }
}

impl<S: HalfClose> Drop for WriteHalf<S> {
    fn drop(&mut self) {
        if self.ends {
            let _ = self.stream.end_writing();
        }
    }
}

impl<S> Read for ReadHalf<S>
where
    for<'a> &'a S: Read,
{
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.stream).read(buffer)
    }

    #[track_caller]
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self.stream).read_vectored(buffers)
    }

    methods!(read_exact read_to_end read_to_string);
}

impl<S: HalfClose> Write for WriteHalf<S>
where
    for<'a> &'a S: Write,
{
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.stream).write(bytes)
    }

    #[track_caller]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self.stream).write_vectored(slices)
    }

    methods!(write_all);

    #[track_caller]
    fn write_fmt(&mut self, text: Arguments<'_>) -> io::Result<()> {
        (&*self.stream).write_fmt(text)
    }

    #[track_caller]
    fn flush(&mut self) -> io::Result<()> {
        (&*self.stream).flush()
    }
}
