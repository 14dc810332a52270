//! Waiting for the last of several that end on other threads.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use crate::error;
use crate::observe::event::{Place, Want};
use crate::remote::{Expecting, Waker};
use crate::task::body::Payload;
use crate::task::not_in_a_callback;
use crate::task::wait::{Context, checkpoint, in_context, park, refuse_while_unwinding};

/// Closed, until all have ended. The first failure is told to everybody who waits.
pub(super) struct Latch(Mutex<State>);

struct State {
    left: usize,
    failure: Option<Arc<io::Error>>,
    panic: Option<Payload>,
    waiters: Vec<Waker>,
}

impl Latch {
    pub(super) fn new(count: usize) -> Latch {
        Latch(Mutex::new(State { left: count, failure: None, panic: None, waiters: Vec::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().left == 0
    }

    /// One has ended.
    pub(super) fn one_less(&self) {
        let waiters = {
            let mut state = self.lock();
            state.left -= 1;
            if state.left > 0 {
                return;
            }
            std::mem::take(&mut state.waiters)
        };
        for waiter in waiters {
            waiter.wake();
        }
    }

    /// One is about to end, by an error or a panic. Only the first counts.
    pub(super) fn fails(&self, failure: Result<io::Error, Payload>) {
        let mut state = self.lock();
        if state.failure.is_none() && state.panic.is_none() {
            match failure {
                Ok(error) => state.failure = Some(Arc::new(error)),
                Err(payload) => state.panic = Some(payload),
            }
        }
    }

    /// Waits until it is open. A cancellation is passed on, once, by `pass_on`, and does not end the wait.
    pub(super) fn wait(&self, at: Place, pass_on: impl Fn()) -> io::Result<()> {
        if self.is_open() {
            return self.outcome();
        }
        in_context(|context| match context {
            Context::Task(lp, me) => {
                let mut told = checkpoint(lp, me, at).is_err();
                if told {
                    pass_on();
                }
                let _expecting = Expecting::work(lp, me);
                self.announce(|| Waker::of_task(lp, me));
                while !self.is_open() {
                    park(lp, me, Want::Worker, at);
                    if me.core.is_cancelled() && !std::mem::replace(&mut told, true) {
                        pass_on();
                    }
                }
                self.outcome()
            }
            Context::Unwinding(..) => Err(refuse_while_unwinding()),
            Context::Callback => Err(not_in_a_callback()),
            Context::Outside => {
                self.announce(Waker::of_this_thread);
                while !self.is_open() {
                    thread::park();
                }
                self.outcome()
            }
        })
    }

    /// Somebody is to be woken when it opens.
    fn announce(&self, waker: impl FnOnce() -> Waker) {
        let mut state = self.lock();
        if state.left > 0 {
            state.waiters.push(waker());
        }
    }

    fn outcome(&self) -> io::Result<()> {
        let (failure, panic) = {
            let mut state = self.lock();
            (state.failure.clone(), state.panic.take())
        };
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
        failure.map_or(Ok(()), |error| Err(error::shared(&error)))
    }
}
