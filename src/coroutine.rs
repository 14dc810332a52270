//! Coroutines: functions that pause, hand a value out, and take one in when they go on.
//!
//! This is Python's generator, usable without a loop. [`Coroutine::send`] is its `send`, [`State::Returned`] its
//! `StopIteration(value)`. A coroutine that is built and dropped has run nothing.
//!
//! Inside a task its body may also wait: then the *task* pauses, standing on the coroutine's stack, and whoever called
//! `send` sees only that the call took a while. So an "async generator" is a plain one, and `async for` a plain `for`.
//!
//! Two rules keep this sound. A [`Yielder`] works only on its own coroutine's stack (R6): a task that was handed one
//! would otherwise suspend a stack that is not its own. And a coroutine may not yield while a scope, time limit or shield
//! that was opened on its stack is open (R2): whoever holds the coroutine could then drop, forget or move what other
//! tasks rely on. Chapter: `docs/book/coroutine.md`.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::{fmt, io, mem};

use crate::error::misuse;
use crate::event_loop::EventLoop;
use crate::observe::event::{End, Event, Place};
use crate::observe::value::{self, noted};
use crate::observe::words::shown;
use crate::stack::{self, Owner, OwnerKind, StackSize};
use crate::switch::{Fiber, Suspender, Switched};
use crate::task::body::{drop_quietly, panic_text};
use crate::task::caller;

/// What a `send` came back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "this may be a value that the coroutine handed out"]
pub enum State<Out, Ret = ()> {
    /// The coroutine has paused and handed this out. Python: the value of `yield`.
    Yielded(Out),
    /// Its function has returned. Python: `StopIteration(value)`.
    Returned(Ret),
}

/// A function that pauses; takes `In`, hands out `Out`, ends with `Ret`.
///
/// Its body gets a [`Yielder`] and returns `io::Result<Ret>`. It runs only while somebody calls [`start`](Self::start),
/// [`send`](Self::send), [`throw`](Self::throw) or [`close`](Self::close), on that caller's thread.
///
/// Dropping a paused coroutine closes it: the pending [`yield_`](Yielder::yield_) fails, the body ends, and its locals
/// are dropped, before `drop` returns. A coroutine is not `Send` and owns what it captures; to pause a function that
/// borrows, spawn it in a [`scope`](crate::scope()).
///
/// Python: a generator, or a coroutine driven by hand.
///
/// ```
/// use corio::{Coroutine, State};
///
/// let mut echo = Coroutine::new(|y| {
///     let mut heard = y.yield_("ready".to_owned())?;
///     while let Some(text) = heard {
///         heard = y.yield_(format!("echo: {text}"))?;
///     }
///     Ok("silence")
/// });
/// assert_eq!(echo.start()?, State::Yielded("ready".into()));
/// assert_eq!(echo.send(Some("hello"))?, State::Yielded("echo: hello".into()));
/// assert_eq!(echo.send(None)?, State::Returned("silence"));
/// # std::io::Result::Ok(())
/// ```
pub struct Coroutine<In, Out, Ret = ()> {
    stage: Stage<In, Out, Ret>,
    returned: Option<Ret>,
    started: bool,
    id: u64,
    made_at: Place,
    texts: Texts<In, Out, Ret>,
}

/// How values are shown to whoever watches: only where it is made, it is known that they borrow nothing, which tells their types.
struct Texts<In, Out, Ret> {
    input: fn(&In) -> String,
    output: fn(&Out) -> String,
    result: fn(&Ret) -> String,
}

/// The one-way kind: an [`Iterator`] of `io::Result<Item>`, whose `next` may wait.
///
/// A body that fails is an item `Err`, the last. What the body returned is in [`returned`](Coroutine::returned) when the
/// iteration is over.
///
/// ```
/// use corio::Generator;
///
/// let mut squares = Generator::new(|y| {
///     for n in 1..=3 {
///         y.yield_(n * n)?;
///     }
///     Ok("done")
/// });
/// assert_eq!(squares.by_ref().collect::<Result<Vec<_>, _>>()?, [1, 4, 9]);
/// assert_eq!(squares.returned(), Some("done"));
/// # std::io::Result::Ok(())
/// ```
pub type Generator<Item, Ret = ()> = Coroutine<(), Item, Ret>;

type Function<In, Out, Ret> = Box<dyn FnOnce(&Yielder<In, Out>) -> io::Result<Ret>>;

enum Stage<In, Out, Ret> {
    Fresh(Function<In, Out, Ret>),
    Paused(Running<In, Out, Ret>),
    /// It is running now, or its body has ended.
    Done,
}

struct Running<In, Out, Ret> {
    fiber: Fiber<Input<In>, Output<Out>, Ended<Ret>>,
    /// The stack's slot points to it.
    owner: Rc<Owner>,
}

enum Input<In> {
    Value(In),
    Throw(io::Error),
    Close,
}

enum Output<Out> {
    Value(Out),
    /// It was told to close and would not.
    Defied,
}

/// How the function ended: its result, or its panic.
type Ended<Ret> = std::thread::Result<io::Result<Ret>>;

impl<In: 'static, Out: 'static, Ret: 'static> Coroutine<In, Out, Ret> {
    /// A coroutine that will run `body`. Nothing runs yet, and no stack is taken.
    #[track_caller]
    pub fn new(body: impl FnOnce(&Yielder<In, Out>) -> io::Result<Ret> + 'static) -> Self {
        let id = EventLoop::with_current(|lp| lp.map_or(0, EventLoop::next_coroutine_id));
        let texts = Texts { input: value::text, output: value::text, result: value::text };
        Coroutine { stage: Stage::Fresh(Box::new(body)), returned: None, started: false, id, made_at: caller(), texts }
    }

    /// Runs the body to its first yield. Python: `next(g)`, or `g.send(None)`, on a fresh generator.
    ///
    /// # Errors
    ///
    /// What the body failed with; [`InvalidInput`](io::ErrorKind::InvalidInput) if it was started before;
    /// [`OutOfMemory`](io::ErrorKind::OutOfMemory) if no stack can be had.
    ///
    /// # Panics
    ///
    /// If the body panics, with the same payload.
    pub fn start(&mut self) -> io::Result<State<Out, Ret>> {
        refuse_to_resume_while_panicking()?;
        match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Fresh(function) => {
                let running = self.begin(function)?;
                self.started = true;
                // The first input only begins the function: there is no `yield_` to take it.
                self.resume(running, Input::Close, false)
            }
            other => {
                self.stage = other;
                Err(self.not_in_a_state("start"))
            }
        }
    }

    /// Hands `value` to the pending `yield_` and runs the body to its next yield, or to its end. Python: `g.send(value)`.
    ///
    /// # Errors
    ///
    /// What the body failed with; [`InvalidInput`](io::ErrorKind::InvalidInput) if it was not started, is running, or
    /// has ended.
    ///
    /// # Panics
    ///
    /// If the body panics, with the same payload.
    pub fn send(&mut self, value: In) -> io::Result<State<Out, Ret>> {
        self.go_on("send", Input::Value(value))
    }

    /// Makes the pending `yield_` fail with `error`, and runs the body to its next yield, or to its end. Python:
    /// `g.throw(error)`.
    ///
    /// # Errors
    ///
    /// What the body failed with. One that was not started, or has ended, fails with `error` itself; the fresh one
    /// counts as ended then, without having run.
    ///
    /// # Panics
    ///
    /// If the body panics, with the same payload.
    ///
    /// ```
    /// use corio::{Coroutine, State};
    /// use std::io;
    ///
    /// let mut numbers = Coroutine::<(), u32>::new(|y| {
    ///     let mut n = 0;
    ///     loop {
    ///         match y.yield_(n) {
    ///             Ok(()) => n += 1,
    ///             Err(error) if error.kind() == io::ErrorKind::InvalidData => n = 0, // this body can mend that
    ///             Err(error) => return Err(error),
    ///         }
    ///     }
    /// });
    /// assert_eq!(numbers.start()?, State::Yielded(0));
    /// assert_eq!(numbers.send(())?, State::Yielded(1));
    /// assert_eq!(numbers.throw(io::ErrorKind::InvalidData.into())?, State::Yielded(0));
    /// assert_eq!(numbers.throw(io::ErrorKind::NotFound.into()).unwrap_err().kind(), io::ErrorKind::NotFound);
    /// assert!(numbers.is_done());
    /// # io::Result::Ok(())
    /// ```
    pub fn throw(&mut self, error: io::Error) -> io::Result<State<Out, Ret>> {
        match &self.stage {
            Stage::Paused(_) => self.go_on("throw", Input::Throw(error)),
            Stage::Fresh(_) | Stage::Done => {
                self.stage = Stage::Done;
                Err(error)
            }
        }
    }

    fn go_on(&mut self, verb: &str, input: Input<In>) -> io::Result<State<Out, Ret>> {
        refuse_to_resume_while_panicking()?;
        match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Paused(running) => {
                let thrown = matches!(input, Input::Throw(_));
                self.resume(running, input, thrown)
            }
            other => {
                self.stage = other;
                Err(self.not_in_a_state(verb))
            }
        }
    }

    fn not_in_a_state(&self, verb: &str) -> io::Error {
        misuse(match self.stage {
            Stage::Fresh(_) => format!("`{verb}` to a coroutine that was not started: call `start` first"),
            Stage::Paused(_) => "`start` of a coroutine that was started already: go on with `send`".to_owned(),
            Stage::Done => format!("`{verb}` to a coroutine that is running or has ended"),
        })
    }
}

impl<In, Out, Ret> Coroutine<In, Out, Ret> {
    /// Ends it: the pending `yield_` fails, and the body should return. Python: `g.close()`.
    ///
    /// One that was not started, or has ended, ends without running anything. A body that answers the failure with a
    /// value has ended well; the value is in [`returned`](Self::returned).
    ///
    /// # Errors
    ///
    /// What the body ended with, if that is not the failure that told it to close. A body that yields again is unwound;
    /// if it will not be unwound either, the error says so and its stack is leaked.
    ///
    /// # Panics
    ///
    /// If the body panics, with the same payload.
    ///
    /// ```
    /// use corio::Coroutine;
    ///
    /// let mut average = Coroutine::new(|y| {
    ///     let (mut sum, mut count) = (0.0, 0.0);
    ///     while let Ok(n) = y.yield_(()) { // until it is closed
    ///         sum += n;
    ///         count += 1.0;
    ///     }
    ///     Ok(sum / count)
    /// });
    /// assert!(!average.is_started());
    /// let _ = average.start()?;
    /// let _ = average.send(1.0)?;
    /// let _ = average.send(4.0)?;
    /// average.close()?;
    /// assert!(average.is_started() && average.is_done());
    /// assert_eq!((average.returned(), average.returned()), (Some(2.5), None)); // once
    /// # std::io::Result::Ok(())
    /// ```
    pub fn close(&mut self) -> io::Result<()> {
        match mem::replace(&mut self.stage, Stage::Done) {
            Stage::Fresh(_) | Stage::Done => Ok(()),
            // Unwinding is impossible: its frames stay where they are, for ever.
            Stage::Paused(running) if cfg!(panic = "abort") => {
                mem::forget(running);
                Ok(())
            }
            Stage::Paused(running) => match self.resume(running, Input::Close, true) {
                Ok(State::Returned(value)) => {
                    self.returned = Some(value);
                    Ok(())
                }
                Ok(State::Yielded(_)) => Ok(()),
                Err(error) if is_closing(&error) => Ok(()),
                Err(error) => Err(error),
            },
        }
    }

    /// Whether its body has begun.
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// Whether it has ended: nothing can be sent any more.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// What the body returned, once, after a `for` over it or after [`close`](Self::close).
    pub fn returned(&mut self) -> Option<Ret> {
        self.returned.take()
    }

    fn begin(&self, function: Function<In, Out, Ret>) -> io::Result<Running<In, Out, Ret>> {
        let owner = Rc::new(Owner::new(OwnerKind::Coroutine, self.id, self.made_at));
        let stack = stack::take_shared(StackSize::default_size(), &*owner)?;
        let (low, high) = stack.bounds();
        let (id, text) = (self.id, self.texts.output);
        let root = move |suspender: &Suspender<Input<In>, Output<Out>>, _: Input<In>| -> Ended<Ret> {
            let (refusals, closing, closer_panics) = (Cell::new(0), Cell::new(false), Cell::new(false));
            let yielder = Yielder { suspender, low, high, id, text, refusals, closing, closer_panics };
            catch_unwind(AssertUnwindSafe(|| function(&yielder)))
        };
        // SAFETY: the root catches every panic. What it captures is its own or `'static`, by the bounds of `new`.
        let fiber = unsafe { Fiber::new(stack, root) };
        Ok(Running { fiber, owner })
    }

    /// The one way in.
    fn resume(
        &mut self,
        mut running: Running<In, Out, Ret>,
        input: Input<In>,
        thrown: bool,
    ) -> io::Result<State<Out, Ret>> {
        if is_told() {
            self.tell_send(&input, thrown);
        }
        match running.fiber.resume(input) {
            Switched::Suspended(Output::Value(value)) => {
                self.stage = Stage::Paused(running);
                Ok(State::Yielded(value))
            }
            Switched::Suspended(Output::Defied) => {
                // Before the logger, which may panic: the slot of the stack points to the owner, now for ever.
                mem::forget(running);
                log::error!(target: "corio::coroutine",
                    "the coroutine made at {} would not be closed; its stack is leaked", self.made_at);
                Err(io::Error::other("the coroutine ignored that it was closed; its stack is leaked"))
            }
            Switched::Returned(ended) => {
                // SAFETY: the function has returned.
                unsafe { stack::give_shared(running.fiber.into_stack()) };
                drop(running.owner);
                if is_told() {
                    self.tell_end(&ended);
                }
                match ended {
                    Ok(result) => result.map(State::Returned),
                    Err(payload) if payload.is::<Closed>() => Err(closing()),
                    Err(payload) => resume_unwind(payload),
                }
            }
        }
    }

    #[cold]
    fn tell_send(&self, input: &Input<In>, thrown: bool) {
        let error = match input {
            Input::Throw(error) => value::of_error(error),
            Input::Value(_) | Input::Close => None,
        };
        emit(|lp| {
            let value = match input {
                Input::Value(value) => noted(lp, || (self.texts.input)(value)),
                Input::Throw(_) => error.and_then(|error| noted(lp, || error)),
                Input::Close if thrown => noted(lp, || "Closed".to_owned()),
                Input::Close => None,
            };
            Event::GenSend { coroutine: self.id, task: lp.current_id(), thrown, value }
        });
    }

    #[cold]
    fn tell_end(&self, ended: &Ended<Ret>) {
        let error = match ended {
            Ok(Err(error)) => value::of_error(error),
            _ => None,
        };
        emit(|lp| {
            let (end, value) = match ended {
                Ok(Ok(value)) => (End::Returned, noted(lp, || (self.texts.result)(value))),
                Ok(Err(error)) if is_closing(error) => (End::Cancelled, None),
                Ok(Err(_)) => (End::Failed, error.and_then(|error| noted(lp, || error))),
                Err(payload) if payload.is::<Closed>() => (End::Cancelled, None),
                Err(payload) => (End::Panicked, noted(lp, || shown(panic_text(&**payload)))),
            };
            Event::GenReturn { coroutine: self.id, end, value }
        });
    }
}

/// R5: while the thread panics a body could neither wait nor yield.
fn refuse_to_resume_while_panicking() -> io::Result<()> {
    if std::thread::panicking() {
        return Err(misuse("a coroutine cannot be resumed while the thread panics"));
    }
    Ok(())
}

/// Whether somebody is told what happens.
fn is_told() -> bool {
    EventLoop::with_current(|lp| lp.is_some_and(EventLoop::is_told))
}

fn emit(event: impl FnOnce(&EventLoop) -> Event) {
    EventLoop::with_current(|lp| {
        if let Some(lp) = lp {
            lp.emit(|| event(lp));
        }
    });
}

impl<In, Out, Ret> Drop for Coroutine<In, Out, Ret> {
    /// Closes it. A failure of the body's clean-up is logged; a panic of it goes on, unless the thread panics already.
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Done) && EventLoop::is_debug() {
            let how = if self.started { "half way" } else { "without having run" };
            log::warn!(target: "corio::debug", "the coroutine made at {} was dropped {how}", self.made_at);
        }
        if !matches!(self.stage, Stage::Paused(_)) {
            return;
        }
        match catch_unwind(AssertUnwindSafe(|| self.close())) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                log::warn!(target: "corio::coroutine", "a coroutine that was dropped ended with: {error}");
            }
            Err(payload) if std::thread::panicking() => {
                log::error!(target: "corio::coroutine",
                    "a coroutine panicked while it was dropped: {}", panic_text(&*payload));
                drop_quietly(payload, "the payload of a panic");
            }
            Err(payload) => resume_unwind(payload),
        }
    }
}

impl<Item: 'static, Ret: 'static> Iterator for Coroutine<(), Item, Ret> {
    type Item = io::Result<Item>;

    fn next(&mut self) -> Option<io::Result<Item>> {
        // To a thread that panics it is over: an error each time would be no end for a `for` that ignores errors.
        if std::thread::panicking() {
            return None;
        }
        let state = match self.stage {
            Stage::Fresh(_) => self.start(),
            Stage::Paused(_) => self.send(()),
            Stage::Done => return None,
        };
        match state {
            Ok(State::Yielded(item)) => Some(Ok(item)),
            Ok(State::Returned(value)) => {
                self.returned = Some(value);
                None
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl<Item: 'static, Ret: 'static> std::iter::FusedIterator for Coroutine<(), Item, Ret> {}

impl<In, Out, Ret> fmt::Debug for Coroutine<In, Out, Ret> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.stage {
            Stage::Fresh(_) => "not started",
            Stage::Paused(_) => "paused",
            Stage::Done => "done",
        };
        f.debug_struct("Coroutine").field("state", &state).field("made_at", &self.made_at).finish()
    }
}

/// A coroutine's way to pause itself; its body is handed one.
///
/// ```
/// use corio::{Generator, Yielder};
/// use std::io;
///
/// struct Tree(u32, Vec<Tree>);
///
/// /// A function far below the body can pause too: it only needs the way to do so.
/// fn walk(tree: &Tree, y: &Yielder<(), u32>) -> io::Result<()> {
///     y.yield_(tree.0)?;
///     tree.1.iter().try_for_each(|branch| walk(branch, y))
/// }
///
/// let tree = Tree(1, vec![Tree(2, vec![Tree(3, vec![])]), Tree(4, vec![])]);
/// let mut numbers = Generator::new(move |y| {
///     walk(&tree, y)?;
///     y.yield_from(&mut Generator::new(|y| y.yield_(5))) // Python: `yield from`
/// });
/// assert_eq!(numbers.by_ref().collect::<io::Result<Vec<_>>>()?, [1, 2, 3, 4, 5]);
/// # io::Result::Ok(())
/// ```
pub struct Yielder<In, Out> {
    suspender: *const Suspender<Input<In>, Output<Out>>,
    /// The ends of the coroutine's stack.
    low: usize,
    high: usize,
    id: u64,
    /// As the coroutine's.
    text: fn(&Out) -> String,
    /// Yields that were refused since it was told to close, or began to unwind.
    refusals: Cell<u32>,
    closing: Cell<bool>,
    /// Whoever closes it was panicking already.
    closer_panics: Cell<bool>,
}

/// How many yields are refused before a coroutine that should end is given up.
const PATIENCE: u32 = 100;

/// The payload that unwinds a coroutine which was told to close and yields again.
struct Closed;

#[derive(Debug)]
struct Closing;

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the coroutine is being closed")
    }
}

impl std::error::Error for Closing {}

fn closing() -> io::Error {
    io::Error::other(Closing)
}

fn is_closing(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Closing>())
}

impl<In, Out> Yielder<In, Out> {
    /// Pauses the coroutine, hands `value` to whoever called `send`, and comes back with what the next `send` brings.
    /// Python: `yield value`.
    ///
    /// # Errors
    ///
    /// What was thrown in. If the coroutine is being closed or dropped, an error that says so: pass it on with `?`; to
    /// yield once more unwinds the body. While the body unwinds from a panic it cannot pause, and this fails at once.
    /// The kind of that error is [`Other`](io::ErrorKind::Other): a body that recovers from errors should name those that
    /// it recovers from, and pass on every other one.
    ///
    /// # Panics
    ///
    /// When it is called from anywhere but its own coroutine's stack, for example by a task that the body spawned; and
    /// while a scope, time limit or shield that was opened in this coroutine is open, or a `run` or
    /// [`no_suspend`](crate::no_suspend) that was begun in it.
    ///
    /// # Suspends
    ///
    /// The coroutine, always; the task in which it runs goes on with whoever resumed it. So a cancellation of that task is
    /// not met here, but at its next call that waits.
    #[inline]
    #[track_caller]
    pub fn yield_(&self, value: Out) -> io::Result<In> {
        let at = Location::caller();
        if std::thread::panicking() {
            return Err(self.refuse_while_panicking());
        }
        self.check_place(at);
        if self.closing.get() {
            self.refuse();
        }
        emit(|lp| Event::GenYield { coroutine: self.id, at, value: noted(lp, || (self.text)(&value)) });
        // SAFETY: the suspender lies at the root of this coroutine's stack, on which this call runs (just checked).
        match unsafe { &*self.suspender }.suspend(Output::Value(value)) {
            Input::Value(value) => Ok(value),
            Input::Throw(error) => Err(error),
            Input::Close => {
                self.closing.set(true);
                self.closer_panics.set(std::thread::panicking());
                Err(closing())
            }
        }
    }

    /// Lets `sub` take this coroutine's place until it ends: what it yields is handed out, what is sent or thrown in
    /// goes to it, and a close closes it. Python: `yield from sub`.
    ///
    /// # Errors
    ///
    /// What `sub` failed with, and as [`yield_`](Self::yield_).
    ///
    /// # Panics
    ///
    /// As [`yield_`](Self::yield_), and if `sub` panics.
    #[track_caller]
    pub fn yield_from<Ret>(&self, sub: &mut Coroutine<In, Out, Ret>) -> io::Result<Ret>
    where
        In: 'static,
        Out: 'static,
        Ret: 'static,
    {
        let mut state = sub.start()?;
        loop {
            let value = match state {
                State::Returned(value) => return Ok(value),
                State::Yielded(value) => value,
            };
            state = match self.yield_(value) {
                Ok(input) => sub.send(input)?,
                Err(error) if self.closing.get() => {
                    sub.close()?;
                    return Err(error);
                }
                Err(error) => sub.throw(error)?,
            };
        }
    }

    /// R6 and R2: only on its own stack, and not out of an open region.
    #[inline]
    fn check_place(&self, at: Place) {
        #[cold]
        #[inline(never)]
        fn refuse(why: &str, at: Place) -> ! {
            panic!("`yield_` at {at}: {why}");
        }
        if let Some(why) = self.misplaced() {
            refuse(why, at);
        }
    }

    #[inline(always)]
    // ANCHOR: misplaced
    fn misplaced(&self) -> Option<&'static str> {
        if !(self.low..self.high).contains(&crate::sys::stack_pointer()) {
            return Some("a `Yielder` works only on the stack of the coroutine that it belongs to");
        }
        EventLoop::with_current(|lp| {
            let lp = lp?;
            if lp.holds_stack(&(self.low..self.high)) {
                return Some("a coroutine cannot yield out of a `run` or a `no_suspend` that it began");
            }
            if crate::cancel::opened_between(lp, self.low, self.high) {
                return Some("a coroutine cannot yield while a scope, time limit or shield that it opened is open");
            }
            lp.strictly_forbidden()
        })
    }
    // ANCHOR_END: misplaced

    /// It was told to close: no value leaves any more.
    #[cold]
    fn refuse(&self) -> ! {
        if self.count_refusal() > PATIENCE {
            self.defy();
        }
        resume_unwind(Box::new(Closed))
    }

    /// Nothing may switch while the thread panics (R5): whoever was switched to would find itself panicking, for ever.
    /// If the panic may be that of whoever closes this coroutine, and not its own, its body can still be unwound; if it is
    /// its own after all, this is a second panic in a destructor, and std ends the process.
    #[cold]
    fn refuse_while_panicking(&self) -> io::Error {
        const ABORT_AT: u32 = 10_000_000;
        let refusals = self.count_refusal();
        if refusals > PATIENCE && self.closer_panics.get() && self.misplaced().is_none() {
            if refusals > 2 * PATIENCE {
                crate::fatal(format_args!(
                    "a coroutine that was dropped by a panicking owner catches every panic and would not end"
                ));
            }
            resume_unwind(Box::new(Closed));
        }
        if refusals >= ABORT_AT {
            crate::fatal(format_args!(
                "a coroutine is unwinding and does not stop trying to yield, which nothing can end"
            ));
        }
        closing()
    }

    fn count_refusal(&self) -> u32 {
        self.refusals.set(self.refusals.get() + 1);
        self.refusals.get()
    }

    /// Leaves for good: whoever closes this coroutine leaks its stack now, and does not come back.
    fn defy(&self) {
        // SAFETY: as in `yield_`: this runs on the coroutine's own stack, as both callers have checked.
        unsafe { &*self.suspender }.suspend(Output::Defied);
    }
}

impl<In, Out> fmt::Debug for Yielder<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielder").field("closing", &self.closing.get()).finish_non_exhaustive()
    }
}
