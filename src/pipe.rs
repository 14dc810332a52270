//! Pipes: the streams between processes.
//!
//! A pipe goes one way. Public as [`io::pipe`](crate::io::pipe).

use std::fmt::Arguments;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::observe::event::{Direction, Place};
use crate::provided::{self, methods};
use crate::reactor::source::{Source, releasable, set_nonblocking};
use crate::task::caller;

/// Makes a pipe. std: [`std::io::pipe`]; asyncio: `connect_read_pipe`, `connect_write_pipe`.
///
/// # Errors
///
/// What the system says.
///
/// ```
/// use corio::{io::pipe, run, spawn};
/// use std::io::{Read, Write};
///
/// run(|| {
///     let (mut reader, mut writer) = pipe()?;
///     spawn(move || writer.write_all(b"hello"));
///     let mut text = String::new();
///     reader.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = std::io::pipe()?;
    Ok((PipeReader::from_fd(reader.into())?, PipeWriter::from_fd(writer.into())?))
}

macro_rules! pipe_end {
    ($end:ident, $std:ty) => {
        impl $end {
            /// Takes over a descriptor of a pipe, a socket or a terminal. It is put into non-blocking mode, and with it everything
            /// that shares its description, such as a copy that another process has.
            ///
            /// # Errors
            ///
            /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a regular file or a directory, for which nobody can wait: that is
            /// what [`fs::File`](crate::fs::File) is for. What the system says.
            pub fn from_fd(fd: OwnedFd) -> io::Result<$end> {
                if crate::sys::is_regular_file(fd.as_raw_fd())? {
                    return Err(crate::error::misuse("a file is no pipe: use `corio::fs::File`"));
                }
                set_nonblocking(fd.as_fd())?;
                // SAFETY: the file stands behind the source in this struct, and is in non-blocking mode.
                let source = unsafe { Source::new(fd.as_raw_fd()) };
                Ok($end { source, file: File::from(fd), closed: AtomicBool::new(false), handles: Arc::new(()) })
            }

            /// Takes over an end of a pipe of std's.
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn from_std(end: $std) -> io::Result<$end> {
                $end::from_fd(end.into())
            }

            /// Turns it into a descriptor in blocking mode, for another process or for std.
            ///
            /// # Errors
            ///
            /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) while there is a second handle: the mode is the pipe's, so that one
            /// would block its loop. What the system says.
            pub fn into_fd(self) -> io::Result<OwnedFd> {
                if Arc::strong_count(&self.handles) > 1 {
                    return Err(crate::error::still_shared());
                }
                let $end { source, file, .. } = self;
                drop(source);
                socket2::SockRef::from(&file).set_nonblocking(false)?;
                Ok(file.into())
            }

            /// Ends every call on this handle, now and later, with [`BrokenPipe`](io::ErrorKind::BrokenPipe): tasks of this loop
            /// that wait are woken. The other side hears of it when the handle is dropped. asyncio: `transport.close`.
            pub fn close(&self) {
                self.closed.store(true, Ordering::SeqCst);
                self.source.wake_all(Direction::Read);
                self.source.wake_all(Direction::Write);
            }

            fn is_open(&self) -> io::Result<()> {
                if self.closed.load(Ordering::SeqCst) { Err(crate::error::closed()) } else { Ok(()) }
            }

            /// A second handle of the same end.
            ///
            /// # Errors
            ///
            /// What the system says.
            pub fn try_clone(&self) -> io::Result<$end> {
                let mut second = $end::from_fd(self.file.try_clone()?.into())?;
                second.handles = self.handles.clone();
                Ok(second)
            }
        }

        impl AsFd for $end {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.file.as_fd()
            }
        }

        impl AsRawFd for $end {
            fn as_raw_fd(&self) -> RawFd {
                self.file.as_raw_fd()
            }
        }

        impl std::fmt::Debug for $end {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($end)).field("fd", &self.as_raw_fd()).finish()
            }
        }
    };
}

/// The end of a pipe that is read. The counterpart of [`std::io::PipeReader`].
///
/// ```
/// use corio::io::{PipeReader, PipeWriter};
/// use corio::{run, spawn};
/// use std::io::{Read, Write};
/// use std::os::fd::OwnedFd;
///
/// run(|| {
///     let (reader, writer) = std::io::pipe()?; // as another library may hand them out
///     let (mut reader, writer) = (PipeReader::from_std(reader)?, PipeWriter::from_std(writer)?);
///     let second = writer.try_clone()?;
///     let ends = [writer, second].map(|mut end| spawn(move || end.write_all(b"x")));
///     let mut text = String::new();
///     reader.read_to_string(&mut text)?; // until both are gone
///     assert_eq!(text, "xx");
///     for end in ends {
///         end.join()?;
///     }
///     let fd: OwnedFd = reader.into_fd()?; // in blocking mode, for somebody else
///     let reader = PipeReader::from_fd(fd)?; // or back again
///     reader.close(); // whoever waited for it would be told
///     assert!((&reader).read(&mut [0]).is_err());
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct PipeReader {
    // Before the file, so that it is deregistered before it is closed.
    source: Source,
    file: File,
    closed: AtomicBool,
    /// Counts the handles of this end.
    handles: Arc<()>,
}

pipe_end!(PipeReader, std::io::PipeReader);

/// The end of a pipe that is written. The counterpart of [`std::io::PipeWriter`].
///
/// When nobody reads, a write fails with [`BrokenPipe`](io::ErrorKind::BrokenPipe), and never raises SIGPIPE.
///
/// ```
/// use corio::{io::{PipeWriter, pipe}, run};
/// use std::io::{ErrorKind, Write};
///
/// fn tell(mut to: PipeWriter) -> std::io::Result<()> {
///     to.write_all(b"hello")
/// }
///
/// run(|| {
///     let (reader, writer) = pipe()?;
///     drop(reader);
///     assert_eq!(tell(writer).unwrap_err().kind(), ErrorKind::BrokenPipe);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct PipeWriter {
    // Before the file, so that it is deregistered before it is closed.
    source: Source,
    file: File,
    closed: AtomicBool,
    /// Counts the handles of this end.
    handles: Arc<()>,
}

pipe_end!(PipeWriter, std::io::PipeWriter);

impl PipeReader {
    fn read_at(&self, buffer: &mut [u8], at: Place) -> io::Result<usize> {
        let room = buffer.len();
        let attempt = || {
            self.is_open()?;
            match (&self.file).read(buffer) {
                // A terminal whose other side is gone.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(0),
                result => result,
            }
        };
        self.source.retry(Direction::Read, at, attempt, |n| 0 < *n && *n < room)
    }
}

impl Read for &PipeReader {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_at(buffer, caller())
    }

    methods!(read_vectored read_exact read_to_end read_to_string);
}

impl Read for PipeReader {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    methods!(read_vectored read_exact read_to_end read_to_string);
}

impl PipeWriter {
    fn write_at(&self, bytes: &[u8], at: Place) -> io::Result<usize> {
        let attempt = || {
            self.is_open()?;
            crate::sys::write_without_signal(self.file.as_raw_fd(), bytes)
        };
        // A write that is smaller than a page is all or nothing: "took less" means little.
        self.source.retry(Direction::Write, at, attempt, |_| false)
    }
}

impl Write for &PipeWriter {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_at(bytes, caller())
    }

    methods!(write_vectored write_all);

    #[track_caller]
    fn write_fmt(&mut self, text: Arguments<'_>) -> io::Result<()> {
        let at = caller();
        provided::write_fmt(text, |bytes| self.write_at(bytes, at))
    }

    /// Nothing: the kernel has what was written.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for PipeWriter {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    methods!(write_vectored write_all);

    #[track_caller]
    fn write_fmt(&mut self, text: Arguments<'_>) -> io::Result<()> {
        (&*self).write_fmt(text)
    }

    /// Nothing: the kernel has what was written.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

releasable!(PipeReader: source);
releasable!(PipeWriter: source);
