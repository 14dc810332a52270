//! The standard streams, without stopping the loop and without changing them for others.
//!
//! Descriptors 0, 1 and 2 are shared with whoever started the program: a terminal has one description for the shell and for all
//! it runs. So they are never put into non-blocking mode. A duplicate is watched for readiness, and only then is a call made
//! that cannot block; where nobody can wait for one, because it is a file, the call is made at once, and a thread makes it on a
//! loop. Public as [`io::stdin`](crate::io::stdin) and so on.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use crate::provided::methods;
use crate::{readable, to_thread, writable};

/// The most that a pipe takes without blocking when it is writable at all; a terminal takes more.
const PIPE_BUF: usize = libc::PIPE_BUF;

macro_rules! standard {
    ($(#[$doc:meta])* $name:ident $stream:ident) => {
        $(#[$doc])*
        pub fn $name() -> $stream {
            $stream(())
        }

        impl AsFd for $stream {
            fn as_fd(&self) -> BorrowedFd<'_> {
                // SAFETY: the standard descriptors are open for as long as the program runs; std relies on it too.
                unsafe { BorrowedFd::borrow_raw(Self::FD) }
            }
        }

        impl AsRawFd for $stream {
            fn as_raw_fd(&self) -> RawFd {
                Self::FD
            }
        }
    };
}

standard! {
    /// The standard input. Reads suspend the task until there is something; at the end they return 0.
    ///
    /// It has no buffer, and knows nothing of that of [`std::io::stdin`]: use one or the other. Put it into a
    /// `BufReader` or a [`StreamReader`](crate::io::StreamReader) for lines. If another process reads the same terminal or pipe,
    /// it may be quicker between the news and the read, and then the thread waits for the next input. asyncio:
    /// `connect_read_pipe(sys.stdin)`.
    ///
    /// ```
    /// use std::io::{BufRead, BufReader};
    ///
    /// corio::run(|| {
    ///     for line in BufReader::new(corio::io::stdin()).lines() {
    ///         println!("{}", line?.to_uppercase());
    ///     }
    ///     Ok(())
    /// })
    /// # .unwrap()
    /// ```
    stdin Stdin
}

standard! {
    /// The standard output. Writes suspend the task while nobody takes what was written. It has no buffer, and no lock: lines of
    /// several tasks that are written in pieces may be mixed. std: [`std::io::stdout`]; asyncio:
    /// `connect_write_pipe(sys.stdout)`.
    ///
    /// ```
    /// use corio::{io::stdout, run};
    /// use std::io::{BufWriter, Write};
    ///
    /// run(|| {
    ///     let mut out = BufWriter::new(stdout()); // many lines, one write
    ///     for n in 0..3 {
    ///         writeln!(out, "line {n}")?;
    ///     }
    ///     out.flush() // waits while a pager, for example, does not read on
    /// })
    /// # .unwrap()
    /// ```
    stdout Stdout
}

standard! {
    /// The error output; see [`stdout`]. std: [`std::io::stderr`].
    ///
    /// ```
    /// use std::io::Write;
    ///
    /// corio::run(|| writeln!(corio::io::stderr(), "something is odd")).unwrap();
    /// ```
    stderr Stderr
}

/// The standard input; from [`stdin`].
///
/// ```
/// use corio::io::{Stderr, Stdin, Stdout, stderr, stdin, stdout};
///
/// struct Console(Stdin, Stdout, Stderr); // they are `Copy`, and `Send`
/// let console = Console(stdin(), stdout(), stderr());
/// # drop(console);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Stdin(());

/// The standard output; from [`stdout`].
#[derive(Clone, Copy, Debug)]
pub struct Stdout(());

/// The error output; from [`stderr`].
#[derive(Clone, Copy, Debug)]
pub struct Stderr(());

impl Stdin {
    const FD: RawFd = libc::STDIN_FILENO;
}

impl Stdout {
    const FD: RawFd = libc::STDOUT_FILENO;
}

impl Stderr {
    const FD: RawFd = libc::STDERR_FILENO;
}

impl Read for Stdin {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if crate::sys::is_regular_file(Self::FD)? {
            return to_thread(|| crate::sys::read(Self::FD, buffer))?;
        }
        readable(self)?;
        crate::sys::read(Self::FD, buffer)
    }

    methods!(read_vectored read_exact read_to_end read_to_string);
}

#[track_caller]
fn write(stream: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let fd = stream.as_fd().as_raw_fd();
    if crate::sys::is_regular_file(fd)? {
        return to_thread(|| crate::sys::write_without_signal(fd, bytes))?;
    }
    writable(stream)?;
    // Writable means that so much fits; more might block.
    crate::sys::write_without_signal(fd, &bytes[..bytes.len().min(PIPE_BUF)])
}

macro_rules! written {
    ($($stream:ident)*) => {$(
        impl Write for $stream {
            #[track_caller]
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                write(self, bytes)
            }

            methods!(write_vectored write_all);

            /// Nothing: the kernel has what was written.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    )*};
}

written!(Stdout Stderr);
