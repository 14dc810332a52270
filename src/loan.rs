//! Lending: a function that borrows from a suspended frame runs on another thread, and the frame waits for its end.
//!
//! Whoever takes the function is a [`Taker`]: a pool of threads, or the loop of another thread. What makes lending
//! sound is the same for both (R2, R10). The function travels as a [`Loan`], which says that it is gone when it is
//! dropped, called or uncalled, and says so last: what it borrowed is not used any more then. The lender's frame does
//! not end before that, by return or unwinding. Cancelled, it asks for the loan back and waits on; thrown through by a
//! shutdown, it has nothing left but to block its thread, because the frame that is looked into is about to go:
//! [`Lent`] does that.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem, thread};

use crate::error::cancelled;
use crate::event_loop::{EventLoop, LETTERS_AT_ONCE, Phase};
use crate::observe::event::{Place, Want};
use crate::remote::{Expecting, Waker};
use crate::task::TaskRef;
use crate::task::wait::park;

/// How many times the grace of the run a loan may outlast its unwinding lender.
const PATIENCE: u32 = 30;
/// How often a thread that blocks for a loan looks into its loop's letter box.
const LETTERS: Duration = crate::millis(10);

/// A function that borrows, and that is called elsewhere. Its fields are dropped in this order.
pub(crate) struct Loan {
    function: Box<dyn FnOnce() + Send>,
    /// Dropped when nothing of the function is left: the frame that it looked into may go.
    gone: Gone,
}

impl Loan {
    /// Calls it. It does not unwind.
    pub(crate) fn call(self) {
        let Loan { function, gone } = self;
        function();
        drop(gone);
    }
}

/// Where lent functions are called.
pub(crate) trait Taker {
    /// What the lender waits for.
    const WANT: Want;

    /// Takes the loan, to call it or to drop it. With an error it was dropped.
    fn take(&self, loan: Loan) -> io::Result<()>;

    /// The lender has been cancelled, or is being unwound, perhaps not for the first time. `true`: the loan was not
    /// begun, and has been dropped. Otherwise its end is waited for.
    fn recall(&self) -> bool;
}

/// Who lends, and waits.
#[derive(Clone, Copy)]
pub(crate) enum Seat<'a> {
    Task(&'a EventLoop, &'a TaskRef),
    Thread,
}

impl Seat<'_> {
    fn waker(self) -> Waker {
        match self {
            Seat::Task(lp, task) => Waker::of_task(lp, task),
            Seat::Thread => Waker::of_this_thread(),
        }
    }
}

/// Has a function that may borrow called elsewhere, and waits for its end. `None`: whoever took it has dropped it
/// uncalled.
pub(crate) fn lend<T: Send>(
    taker: &impl Taker,
    seat: Seat<'_>,
    at: Place,
    f: impl FnOnce() -> T + Send,
) -> io::Result<Option<T>> {
    let mut result: Option<thread::Result<T>> = None;
    let place = &mut result;
    let function: Box<dyn FnOnce() + Send + '_> = Box::new(move || *place = Some(catch_unwind(AssertUnwindSafe(f))));
    // SAFETY: this forgets what the function borrows: `result`, and what `f` does. Both outlive this call, and the call
    // does not end, by return or unwinding, before the function has been called to its end, or has been dropped
    // uncalled: a loan that is not taken or is given back is dropped, and `Lent` waits for one that was taken (R2,
    // R10).
    let function = unsafe { mem::transmute::<Box<dyn FnOnce() + Send + '_>, Box<dyn FnOnce() + Send>>(function) };
    let status = Arc::new(Status::new(seat.waker()));
    taker.take(Loan { function, gone: Gone(status.clone()) })?;
    let lent = Lent { taker, status: &status, seat, at };
    lent.wait()?;
    drop(lent);
    match result {
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(payload)) => resume_unwind(payload),
        None => Ok(None),
    }
}

/// Whether a loan is gone. It outlives the frame of the lender, because the other thread still touches it when the
/// lender is free to go.
struct Status(Mutex<(bool, Waker)>);

impl Status {
    fn new(waker: Waker) -> Status {
        Status(Mutex::new((false, waker)))
    }

    fn is_gone(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Whom to wake from now on.
    fn set_waker(&self, waker: Waker) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = waker;
    }
}

/// Says that nothing of a loan is left, when it is dropped.
struct Gone(Arc<Status>);

impl Drop for Gone {
    fn drop(&mut self) {
        let waker = {
            let mut status = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            status.0 = true;
            status.1.clone()
        };
        waker.wake();
    }
}

/// A loan that borrows from the frame below: while this is there, it may be used.
struct Lent<'a, B: Taker> {
    taker: &'a B,
    status: &'a Status,
    seat: Seat<'a>,
    at: Place,
}

impl<B: Taker> Lent<'_, B> {
    /// Waits for its end. An error says that it never began.
    fn wait(&self) -> io::Result<()> {
        match self.seat {
            Seat::Thread => {
                while !self.status.is_gone() {
                    thread::park();
                }
                Ok(())
            }
            Seat::Task(lp, task) => {
                let _expecting = Expecting::work(lp, task);
                loop {
                    park(lp, task, B::WANT, self.at);
                    if self.status.is_gone() {
                        return Ok(());
                    }
                    if task.core.is_cancelled() && self.taker.recall() {
                        return Err(cancelled());
                    }
                }
            }
        }
    }

    /// The frame is being unwound and the loan is out: nothing can be switched to (R5), and the frame must not go. So
    /// the thread waits; not for ever (R3).
    #[cold]
    fn block(&self) {
        let who = match self.seat {
            Seat::Task(_, task) => task.to_string(),
            Seat::Thread => "a thread".to_owned(),
        };
        let limit = match self.seat {
            Seat::Task(lp, _) => lp.grace.get().saturating_mul(PATIENCE).max(Duration::from_secs(1)),
            Seat::Thread => Duration::MAX,
        };
        log::warn!(target: "corio::executor",
            "{who} is unwound, and the job that it has given to a thread at {} still runs and may use what the task owns: \
             the loop's thread waits for it, {limit:?} at most", self.at);
        self.status.set_waker(Waker::of_this_thread());
        let since = Instant::now();
        while !self.status.is_gone() {
            let Some(left) = limit.checked_sub(since.elapsed()) else {
                crate::fatal(format_args!(
                    "the job that {who} has given to a thread at {} did not end in {limit:?}, and it may use what the \
                     task owns",
                    self.at
                ))
            };
            match self.seat {
                // Whoever lends to this loop, on a thread for which this one waits, must not wait for this one.
                Seat::Task(lp, _) if lp.phase() == Phase::Forcing => {
                    lp.drop_letters(LETTERS_AT_ONCE);
                    thread::park_timeout(left.min(LETTERS));
                }
                _ => thread::park_timeout(left),
            }
        }
    }
}

impl<B: Taker> Drop for Lent<'_, B> {
    fn drop(&mut self) {
        if !self.status.is_gone() && !self.taker.recall() {
            self.block();
        }
    }
}
