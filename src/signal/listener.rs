//! Listeners, and the thread that tells them.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{mem, thread};

use super::Signal;
use super::fork::mind_forks;
use super::table::{self, COUNT, FOR_LISTENERS, Handler, empty};
use crate::channel::line::Line;
use crate::channel::wait::{Attempt, wait};
use crate::error::misuse;
use crate::observe::event::Want;
use crate::remote::Waker;
use crate::sys;
use crate::task::caller;

/// A listener for signals. The signals are its own until it is dropped; see the [module](crate::signal).
///
/// It may be shared: each signal that it hears goes to one of those who wait.
///
/// ```
/// use corio::signal::{Signal, Signals};
///
/// corio::run(|| {
///     let signals = Signals::new([Signal::User1, Signal::Hangup])?;
///     # unsafe extern "C" { fn raise(signal: i32) -> i32; }
///     # unsafe { raise(Signal::User1.number()) };
///     assert_eq!(signals.recv()?, Signal::User1); // kill -USR1 ...
///     assert_eq!(signals.try_recv(), None);
///     # unsafe { raise(Signal::Hangup.number()) };
///     for signal in signals.iter() { // endless
///         match signal? {
///             Signal::User1 => println!("more detail"),
///             hangup => return Ok(assert_eq!(hangup, Signal::Hangup)),
///         }
///     }
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct Signals {
    ear: Arc<Ear>,
}

/// What the thread knows of a listener.
struct Ear {
    numbers: Vec<i32>,
    /// One bit for each number.
    heard: AtomicU64,
    line: Mutex<Line<()>>,
    /// Called instead of being waited for.
    callback: Option<Box<dyn Fn() + Send + Sync>>,
    gone: AtomicBool,
    handlers: Mutex<Vec<Handler>>,
    /// How many forks there had been.
    born: u32,
}

/// Who listens.
pub(super) struct Ears {
    all: Vec<Arc<Ear>>,
    /// The thread that hears the handler's bell is there.
    are_told: bool,
}

static EARS: Mutex<Ears> = Mutex::new(Ears { all: Vec::new(), are_told: false });

impl Ears {
    /// In a fork that has just begun. They are not dropped: what their callbacks hold is the parent's.
    pub(super) fn forget_the_parents(&mut self) {
        mem::forget(mem::take(&mut self.all));
        self.are_told = false;
    }
}

/// Begins to listen.
fn listen(
    signals: impl IntoIterator<Item = Signal>,
    callback: Option<Box<dyn Fn() + Send + Sync>>,
) -> io::Result<Arc<Ear>> {
    start_the_thread()?;
    let (mut numbers, mut handlers) = (Vec::new(), Vec::new());
    for signal in signals {
        let number = signal.number();
        if number <= 0 || number as usize >= COUNT {
            return Err(misuse(format!("{number} is the number of no signal")));
        }
        if [libc::SIGKILL, libc::SIGSTOP].contains(&number) {
            return Err(misuse(format!("{signal} cannot be caught: the system does not tell the process of it")));
        }
        if [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL].contains(&number) {
            return Err(misuse(format!("{signal} is a fault of the program: it would go on with the fault for ever")));
        }
        handlers.extend(Handler::install(number, false)?);
        numbers.push(number);
    }
    if numbers.is_empty() {
        return Err(misuse("a listener for no signal would wait for ever"));
    }
    let ear = Arc::new(Ear {
        numbers,
        heard: AtomicU64::new(0),
        line: Mutex::new(Line::new()),
        callback,
        gone: AtomicBool::new(false),
        handlers: Mutex::new(handlers),
        born: sys::forks(),
    });
    ears().all.push(ear.clone());
    ear.numbers.iter().for_each(|number| table::listens(*number, true));
    Ok(ear)
}

/// Listens no more. What was heard and not taken is lost.
fn forget(ear: &Arc<Ear>) {
    if !ear.is_the_parents() && !ear.gone.swap(true, Ordering::SeqCst) {
        ear.numbers.iter().for_each(|number| table::listens(*number, false));
        ears().all.retain(|other| !Arc::ptr_eq(other, ear));
        // Now, and not when the thread has let its copy go.
        ear.handlers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

pub(super) fn ears() -> MutexGuard<'static, Ears> {
    EARS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A callback for a signal, on the thread of the listeners, until this is dropped.
pub(crate) struct OnSignal(Arc<Ear>);

impl OnSignal {
    pub(crate) fn new(signal: Signal, f: impl Fn() + Send + Sync + 'static) -> io::Result<OnSignal> {
        Ok(OnSignal(listen([signal], Some(Box::new(f)))?))
    }

    /// Earlier than by dropping it.
    pub(super) fn forget(&self) {
        forget(&self.0);
    }
}

impl Drop for OnSignal {
    fn drop(&mut self) {
        self.forget();
    }
}

/// The thread that hears the handler's bell.
fn start_the_thread() -> io::Result<()> {
    mind_forks();
    let mut told = ears();
    if told.are_told {
        return Ok(());
    }
    let listen = FOR_LISTENERS.listen()?;
    let hear = move || {
        loop {
            let _ = sys::wait_ready(listen, false, None);
            empty(listen);
            let came: Vec<usize> = (1..COUNT).filter(|signal| table::take_pending(*signal)).collect();
            let all: Vec<Arc<Ear>> = ears().all.clone();
            for ear in all {
                came.iter().for_each(|signal| ear.hear(*signal as i32));
            }
        }
    };
    thread::Builder::new().name("corio-signals".to_owned()).stack_size(128 * 1024).spawn(hear)?;
    told.are_told = true;
    Ok(())
}

impl Ear {
    /// Whether this process is a fork of the one that listens with it.
    fn is_the_parents(&self) -> bool {
        self.born != sys::forks()
    }

    fn line(&self) -> MutexGuard<'_, Line<()>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, number: i32) {
        if !self.numbers.contains(&number) || self.gone.load(Ordering::SeqCst) {
            return;
        }
        if let Some(callback) = &self.callback {
            return callback();
        }
        self.heard.fetch_or(1 << (number - 1), Ordering::SeqCst);
        self.call_next();
    }

    /// Takes the lowest that was heard.
    fn take(&self) -> Option<Signal> {
        if self.is_the_parents() {
            return None;
        }
        let mut heard = self.heard.load(Ordering::SeqCst);
        while heard != 0 {
            let bit = heard & heard.wrapping_neg();
            match self.heard.compare_exchange(heard, heard & !bit, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Some(Signal::of_number(bit.trailing_zeros() as i32 + 1)),
                Err(now) => heard = now,
            }
        }
        None
    }

    fn call_next(&self) {
        let waker = self.line().serve().map(|(_, waker)| waker);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A `recv`.
impl Attempt for &Signals {
    type Output = Signal;

    fn want(&self) -> Want {
        Want::Signal
    }

    fn check(&self) -> io::Result<()> {
        if self.ear.is_the_parents() {
            return Err(misuse("this listener belongs to the process that this one was forked from: make a new one"));
        }
        Ok(())
    }

    fn now(&mut self) -> Option<Signal> {
        self.ear.take()
    }

    fn enlist(&mut self, waker: Waker) -> usize {
        self.ear.line().join(waker, ())
    }

    fn look(&mut self, place: &Cell<Option<usize>>) -> Option<Signal> {
        if self.ear.is_the_parents() {
            return None;
        }
        let signal = self.ear.take();
        if signal.is_none()
            && let Some(own) = place.get()
            && !self.ear.line().is_in_line(own)
        {
            // Called, and somebody was quicker: it is called again with the next.
            let waker = Waker::of_caller();
            let mut line = self.ear.line();
            line.leave(own);
            place.set(Some(line.join(waker, ())));
            drop(line);
            // What came in between has called nobody.
            return self.ear.take();
        }
        signal
    }

    /// Whoever was called and leaves something lets the next one look.
    fn give_up(&mut self, place: usize) {
        // In a fork the line may be locked for ever, and whoever stands in it is the parent's.
        if self.ear.is_the_parents() {
            return;
        }
        self.ear.line().leave(place);
        if self.ear.heard.load(Ordering::SeqCst) != 0 {
            self.ear.call_next();
        }
    }
}

impl Signals {
    /// Listens for these signals, from now on.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for none, for a number that is no signal's, for SIGKILL and SIGSTOP, of
    /// which no process is told, and for the faults of the program itself (SIGSEGV and the like). What the system says.
    pub fn new(signals: impl IntoIterator<Item = Signal>) -> io::Result<Signals> {
        Ok(Signals { ear: listen(signals, None)? })
    }

    /// Waits for the next signal. What has come since the last call is there at once, each kind once.
    ///
    /// # Errors
    ///
    /// Cancellation, which takes nothing; in a callback, if nothing has come;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) in a fork of the process that listens.
    ///
    /// # Suspends
    ///
    /// Until one comes. While it waits, the loop may hope: it reports no deadlock.
    #[track_caller]
    pub fn recv(&self) -> io::Result<Signal> {
        wait(&mut &*self, None, caller())
    }

    /// What has come, if anything has.
    pub fn try_recv(&self) -> Option<Signal> {
        self.ear.take()
    }

    /// The signals as they come: an endless iterator, which ends after the error of a cancellation.
    pub fn iter(&self) -> IncomingSignals<'_> {
        IncomingSignals { signals: self, ended: false }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        forget(&self.ear);
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signals: Vec<Signal> = self.ear.numbers.iter().map(|number| Signal::of_number(*number)).collect();
        f.debug_tuple("Signals").field(&signals).finish()
    }
}

/// Signals as they come; from [`Signals::iter`].
///
/// ```
/// use corio::{process::Command, run, signal::{IncomingSignals, Signal, Signals}};
///
/// run(|| {
///     let signals = Signals::new([Signal::User2])?;
///     let mut incoming: IncomingSignals<'_> = signals.iter();
///     Command::new("kill").args(["-USR2", &std::process::id().to_string()]).status()?;
///     assert_eq!(incoming.next().unwrap()?, Signal::User2);
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[derive(Debug)]
pub struct IncomingSignals<'a> {
    signals: &'a Signals,
    ended: bool,
}

impl Iterator for IncomingSignals<'_> {
    type Item = io::Result<Signal>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<Signal>> {
        if self.ended {
            return None;
        }
        let result = self.signals.recv();
        self.ended = result.is_err();
        Some(result)
    }
}

impl<'a> IntoIterator for &'a Signals {
    type Item = io::Result<Signal>;
    type IntoIter = IncomingSignals<'a>;

    fn into_iter(self) -> IncomingSignals<'a> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The thread that has the line is not there in the fork, so nobody will ever unlock it.
    #[test]
    fn a_fork_leaves_the_line_of_an_inherited_listener_alone() {
        let signals = Signals::new([Signal::User2]).unwrap();
        let mut attempt = &signals;
        let place = attempt.enlist(Waker::of_this_thread());
        let (has_it, let_go) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        let status = thread::scope(|s| {
            s.spawn(|| {
                let _held = signals.ear.line();
                has_it.wait();
                let_go.wait();
            });
            has_it.wait();
            // SAFETY: the fork neither allocates nor locks anything; an alarm ends one that hangs.
            let status = unsafe {
                match libc::fork() {
                    0 => {
                        libc::alarm(20);
                        let heard = attempt.look(&Cell::new(Some(place)));
                        attempt.give_up(place);
                        libc::_exit(i32::from(heard.is_some()));
                    }
                    pid => {
                        let mut status = -1;
                        libc::waitpid(pid, &raw mut status, 0);
                        status
                    }
                }
            };
            let_go.wait();
            status
        });
        attempt.give_up(place);
        assert_eq!(status, 0, "it hangs");
    }
}
