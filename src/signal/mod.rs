//! Signals of the system, as things to wait for.
//!
//! [`Signals`] is a listener: any number of them, on any loops and threads, hear the same signals, each on its own. Signals are
//! not counted: what comes several times before somebody looks has come once; and no kind is lost to another.
//!
//! A listener is an arm of [`select`](crate::select()): `select((&signals, &jobs))`.
//!
//! While nobody listens, a run has a watch of its own for Ctrl-C and SIGTERM ([`Runner::ctrl_c`](crate::Runner::ctrl_c)): the
//! first cancels its main task, and the second ends the process. A program that listens to one of them takes it over for
//! as long. When the last listener of a signal is gone, the system does again what it did before.
//!
//! A fork of the process that calls no `exec` begins with nothing of this. At each signal the system does there what it did
//! before anybody asked, so one that would have ended the process ends the fork. A listener that the fork has inherited hears
//! nothing, and to wait for it is an error; one that is made there hears what the fork is sent, and so does the watch of a run
//! that begins there.
//!
//! A program that ends when it has heard a signal returns from `main`, or calls [`std::process::exit`] on its main thread. On
//! another, std unmapped the main thread's signal stack for a long time, under a handler that may have been running there still
//! ([rust-lang/rust#161018](https://github.com/rust-lang/rust/issues/161018)).
//!
//! The handler that the system calls sets a flag and writes a byte into a pipe; a thread of the process, made by the first
//! listener, tells the others. asyncio: `loop.add_signal_handler`. Chapter: `docs/book/processes.md`.

mod fork;
mod handlers;
mod listener;
mod table;
mod watch;

use std::fmt;
use std::io;

pub(crate) use self::handlers::{SignalHandlers, remove_all};
pub use self::handlers::{add_signal_handler, remove_signal_handler};
pub(crate) use self::listener::OnSignal;
pub use self::listener::{IncomingSignals, Signals};
pub(crate) use self::watch::watch;

/// A signal, by what it is for.
///
/// ```
/// use corio::signal::Signal;
///
/// assert_eq!(Signal::Terminate.number(), 15);
/// assert_eq!(Signal::of_number(15), Signal::Terminate);
/// assert_eq!(Signal::of_number(13), Signal::Other(13)); // SIGPIPE, which has no name here
/// println!("ended by {}", Signal::Other(13));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: the polite request to end.
    Terminate,
    /// SIGHUP: the terminal is gone; by custom, also a request to read the configuration again.
    Hangup,
    /// SIGQUIT: Ctrl-\.
    Quit,
    /// SIGUSR1: whatever the program makes of it.
    User1,
    /// SIGUSR2: whatever the program makes of it.
    User2,
    /// SIGCHLD: a child has ended. [`process::Child`](crate::process::Child) does not need it.
    Child,
    /// SIGWINCH: the terminal has another size.
    WindowChange,
    /// SIGALRM: an alarm clock of the system.
    Alarm,
    /// SIGCONT: it goes on after a stop.
    Continue,
    /// Another one, by its number.
    Other(i32),
}

impl Signal {
    const NAMED: [(Signal, i32); 10] = [
        (Signal::Interrupt, libc::SIGINT),
        (Signal::Terminate, libc::SIGTERM),
        (Signal::Hangup, libc::SIGHUP),
        (Signal::Quit, libc::SIGQUIT),
        (Signal::User1, libc::SIGUSR1),
        (Signal::User2, libc::SIGUSR2),
        (Signal::Child, libc::SIGCHLD),
        (Signal::WindowChange, libc::SIGWINCH),
        (Signal::Alarm, libc::SIGALRM),
        (Signal::Continue, libc::SIGCONT),
    ];

    /// Its number on this system.
    pub fn number(self) -> i32 {
        match self {
            Signal::Other(number) => number,
            named => Signal::NAMED.iter().find(|(signal, _)| *signal == named).map_or(0, |(_, number)| *number),
        }
    }

    /// The signal with that number.
    pub fn of_number(number: i32) -> Signal {
        Signal::NAMED.iter().find(|(_, n)| *n == number).map_or(Signal::Other(number), |(signal, _)| *signal)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signal::Other(number) => write!(f, "signal {number}"),
            named => write!(f, "{named:?} (signal {})", named.number()),
        }
    }
}

/// Waits for Ctrl-C. While it waits, Ctrl-C does nothing else.
///
/// For a server that wants to do something other than to be cancelled: stop accepting, tell its clients. One that comes between
/// two calls is the run's own again; to hear every one, keep a [`Signals`].
///
/// # Errors
///
/// As [`Signals::new`] and [`Signals::recv`].
///
/// # Suspends
///
/// Until it comes.
///
/// ```
/// use corio::{process::Command, run, signal, spawn, yield_now};
///
/// run(|| {
///     let asked = spawn(signal::ctrl_c);
///     yield_now()?; // now it listens
///     Command::new("kill").args(["-INT", &std::process::id().to_string()]).status()?; // as the terminal does
///     asked.join()?;
///     yield_now() // nobody was cancelled
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn ctrl_c() -> io::Result<()> {
    Signals::new([Signal::Interrupt])?.recv().map(drop)
}

/// Waits for Ctrl-C or SIGTERM, whichever comes, and says which: what asks a server to end.
///
/// # Errors
///
/// As [`ctrl_c`].
///
/// # Suspends
///
/// Until one of them comes.
///
/// ```
/// use corio::{process::Command, run, signal::{self, Signal}, spawn, yield_now};
///
/// run(|| {
///     let asked = spawn(signal::termination);
///     yield_now()?; // now it listens
///     Command::new("kill").arg(std::process::id().to_string()).status()?; // or a service manager
///     assert_eq!(asked.join()?, Signal::Terminate);
///     Ok(()) // said goodbye, and ended well
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn termination() -> io::Result<Signal> {
    Signals::new([Signal::Interrupt, Signal::Terminate])?.recv()
}
