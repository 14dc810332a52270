//! Callbacks for signals, on a loop's own thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use super::Signal;
use super::listener::OnSignal;
use crate::event_loop::EventLoop;
use crate::remote::Message;
use crate::task::body::drop_quietly;
use crate::task::caller;

/// Those of a loop, by the numbers of their signals.
#[derive(Default)]
pub(crate) struct SignalHandlers(RefCell<BTreeMap<i32, Rc<Handler>>>);

struct Handler {
    bell: OnSignal,
    /// Taken out while it runs.
    callback: RefCell<Option<Box<dyn FnMut()>>>,
}

/// Calls `f` on this loop's thread, in a coming turn, whenever the signal comes, until [`remove_signal_handler`] or the end of the
/// run. One that is there already is replaced. It is a callback: no task, and it cannot wait. For a task that waits for signals
/// there is [`Signals`](super::Signals).
///
/// asyncio: `loop.add_signal_handler`.
///
/// # Errors
///
/// As [`Signals::new`](super::Signals::new).
///
/// # Panics
///
/// Outside a loop.
///
/// ```
/// use corio::{process::Command, run, signal::{Signal, add_signal_handler, remove_signal_handler}, yield_now};
/// use std::{cell::Cell, rc::Rc};
///
/// run(|| {
///     let level = Rc::new(Cell::new(0));
///     let told = level.clone();
///     add_signal_handler(Signal::User1, move || told.set(told.get() + 1))?;
///     Command::new("kill").args(["-USR1", &std::process::id().to_string()]).status()?;
///     while level.get() == 0 {
///         yield_now()?; // it comes in a coming turn
///     }
///     assert!(remove_signal_handler(Signal::User1));
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn add_signal_handler(signal: Signal, f: impl FnMut() + 'static) -> io::Result<()> {
    let at = caller();
    EventLoop::with_current(|lp| {
        let lp = lp.expect("a signal handler needs a running loop: add it inside `corio::run`");
        let (remote, number) = (lp.remote.clone(), signal.number());
        let tell = move || {
            // If the loop is gone, nobody listens.
            let _ = remote.send(Message::Call(Box::new(move || call(number)), at));
        };
        let bell = OnSignal::new(signal, tell)?;
        let handler = Rc::new(Handler { bell, callback: RefCell::new(Some(Box::new(f))) });
        let before = lp.signal_handlers.0.borrow_mut().insert(number, handler);
        if let Some(before) = before {
            before.end();
        }
        Ok(())
    })
}

/// Removes the callback of [`add_signal_handler`]; `false` if there was none. The system does again what it did before.
///
/// asyncio: `loop.remove_signal_handler`.
///
/// # Panics
///
/// Outside a loop.
///
/// ```
/// use corio::{run, signal::{Signal, add_signal_handler, remove_signal_handler}};
///
/// run(|| {
///     add_signal_handler(Signal::Hangup, || println!("reading the configuration again"))?;
///     assert!(remove_signal_handler(Signal::Hangup));
///     assert!(!remove_signal_handler(Signal::Hangup)); // from now on SIGHUP ends the process again
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[track_caller]
pub fn remove_signal_handler(signal: Signal) -> bool {
    EventLoop::with_current(|lp| {
        let lp = lp.expect("signal handlers are a loop's: remove them inside `corio::run`");
        let removed = lp.signal_handlers.0.borrow_mut().remove(&signal.number());
        removed.map(|handler| handler.end()).is_some()
    })
}

/// The run is over.
pub(crate) fn remove_all(lp: &EventLoop) -> bool {
    let all = lp.signal_handlers.0.take();
    let found = !all.is_empty();
    all.into_values().for_each(|handler| handler.end());
    found
}

/// The signal has come: on the loop's thread.
fn call(number: i32) {
    let handler = EventLoop::with_current(|lp| lp.and_then(|lp| lp.signal_handlers.0.borrow().get(&number).cloned()));
    let Some(handler) = handler else { return };
    /// Puts the callback back, also when it has panicked, unless it has been replaced or removed meanwhile.
    struct Return<'a>(&'a Rc<Handler>, i32, Option<Box<dyn FnMut()>>);
    impl Drop for Return<'_> {
        fn drop(&mut self) {
            let is_there = EventLoop::with_current(|lp| {
                lp.is_some_and(|lp| {
                    lp.signal_handlers.0.borrow().get(&self.1).is_some_and(|handler| Rc::ptr_eq(handler, self.0))
                })
            });
            let callback = self.2.take();
            if is_there {
                *self.0.callback.borrow_mut() = callback;
            } else {
                drop_quietly(callback, "a signal handler that was removed");
            }
        }
    }
    let callback = handler.callback.borrow_mut().take();
    let mut running = Return(&handler, number, callback);
    if let Some(callback) = &mut running.2 {
        callback();
    }
}

impl Handler {
    fn end(&self) {
        self.bell.forget();
        let callback = self.callback.borrow_mut().take();
        drop_quietly(callback, "a signal handler that was removed");
    }
}
