//! A stream in memory.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::HalfClose;
use crate::channel::line::{Line, wake};
use crate::channel::wait::{Attempt, wait};
use crate::observe::event::{Place, Want};
use crate::provided::{self, methods};
use crate::remote::Waker;
use crate::task::caller;

/// One end of a stream in memory; from [`duplex`].
///
/// It can be read and written through a shared reference, and used on any loop and on threads without one, like a socket.
/// Those who wait for the same direction are served in the order in which they came. When one end is dropped the other
/// reads what is left, then the end, and its writes fail with [`BrokenPipe`](io::ErrorKind::BrokenPipe).
///
/// ```
/// use corio::io::{Duplex, duplex};
/// use std::io::{self, Read, Write};
///
/// fn ask(mut stream: &Duplex, question: &str) -> io::Result<()> {
///     stream.write_all(question.as_bytes())?;
///     stream.end_writing(); // it can still be read
///     Ok(())
/// }
///
/// let (near, mut far) = duplex(64); // large enough for all of it: nobody has to wait, so it needs no loop
/// ask(&near, "how long?")?;
/// let mut question = String::new();
/// far.read_to_string(&mut question)?; // up to the end
/// far.write_all(b"9")?;
/// drop(far);
/// let mut answer = String::new();
/// (&near).read_to_string(&mut answer)?;
/// assert_eq!((question.as_str(), answer.as_str()), ("how long?", "9"));
/// assert_eq!((&near).write(b"!").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
/// # io::Result::Ok(())
/// ```
pub struct Duplex {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
}

/// Makes a stream in memory, of which each direction holds `capacity` bytes.
///
/// For tests, and between tasks that speak a protocol for streams. asyncio has none; std: a pair of pipes.
///
/// # Panics
///
/// If `capacity` is 0.
///
/// ```
/// use corio::io::duplex;
/// use corio::{run, scope};
/// use std::io::{Read, Write};
///
/// run(|| {
///     let (mut near, mut far) = duplex(4); // smaller than what is sent: the writer waits for the reader
///     scope(|s| {
///         s.spawn(move || near.write_all(b"a long message"));
///         let mut text = String::new();
///         far.read_to_string(&mut text)?;
///         assert_eq!(text, "a long message");
///         Ok(())
///     })
/// })
/// # .unwrap()
/// ```
pub fn duplex(capacity: usize) -> (Duplex, Duplex) {
    assert!(capacity > 0, "nothing goes through a stream of no capacity");
    let (one, other) = (Arc::new(Pipe::new(capacity)), Arc::new(Pipe::new(capacity)));
    (Duplex { incoming: one.clone(), outgoing: other.clone() }, Duplex { incoming: other, outgoing: one })
}

/// One direction.
struct Pipe {
    capacity: usize,
    state: Mutex<State>,
}

struct State {
    bytes: VecDeque<u8>,
    /// Nothing more will be written.
    ended: bool,
    /// Nobody will read any more.
    deaf: bool,
    readers: Queue,
    writers: Queue,
}

/// Those who wait on one side.
struct Queue {
    line: Line<()>,
    /// How many were called out of the line and have not come yet: nobody overtakes them.
    called: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Reader,
    Writer,
}

impl Queue {
    const fn new() -> Queue {
        Queue { line: Line::new(), called: 0 }
    }

    /// Whether somebody came first.
    fn is_waited_in(&self) -> bool {
        self.called > 0 || !self.line.is_empty()
    }

    /// Calls the first.
    fn call(&mut self) -> Option<Waker> {
        let waker = self.line.serve().map(|(_, waker)| waker);
        self.called += usize::from(waker.is_some());
        waker
    }

    /// Gives up a place, and tells whether it had been called.
    fn leave(&mut self, place: usize) -> bool {
        let was_called = !self.line.leave(place).1;
        self.called -= usize::from(was_called);
        was_called
    }

    fn call_all(&mut self) -> Vec<Waker> {
        std::iter::from_fn(|| self.call()).collect()
    }
}

impl State {
    fn queue(&mut self, side: Side) -> &mut Queue {
        match side {
            Side::Reader => &mut self.readers,
            Side::Writer => &mut self.writers,
        }
    }

    /// Whether one who comes now has to get in line.
    fn is_late(&mut self, side: Side) -> bool {
        !self.ended && !self.deaf && self.queue(side).is_waited_in()
    }
}

impl Pipe {
    fn new(capacity: usize) -> Pipe {
        let state =
            State { bytes: VecDeque::new(), ended: false, deaf: false, readers: Queue::new(), writers: Queue::new() };
        Pipe { capacity, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state for good, and tells everybody.
    fn close(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let wakers = [state.readers.call_all(), state.writers.call_all()];
        drop(state);
        wake(wakers.into_iter().flatten());
    }
}

/// An attempt to move bytes.
struct Move<'a, F> {
    pipe: &'a Pipe,
    side: Side,
    /// Moves what can be moved now; `None`: nothing.
    step: F,
}

impl<F: FnMut(&mut State, usize) -> Option<io::Result<usize>>> Move<'_, F> {
    /// Moves, gives the place up, and wakes whom that helps: the other side, and the next on this one if something is left
    /// for him. If nothing can be moved, the lock is given back.
    fn attempt<'a>(
        &mut self,
        mut state: MutexGuard<'a, State>,
        place: &Cell<Option<usize>>,
    ) -> Result<io::Result<usize>, MutexGuard<'a, State>> {
        let Some(result) = (self.step)(&mut state, self.pipe.capacity) else { return Err(state) };
        if let Some(place) = place.take() {
            state.queue(self.side).leave(place);
        }
        let wakers = [Side::Reader, Side::Writer].map(|side| {
            let useful = match side {
                Side::Reader => !state.bytes.is_empty() || state.ended,
                Side::Writer => state.bytes.len() < self.pipe.capacity || state.deaf,
            };
            // One at a time, who calls the next when he has come: so nobody comes for nothing and loses his place.
            if useful && state.queue(side).called == 0 { state.queue(side).call() } else { None }
        });
        drop(state);
        wake(wakers.into_iter().flatten());
        Ok(result)
    }
}

impl<F: FnMut(&mut State, usize) -> Option<io::Result<usize>>> Attempt for Move<'_, F> {
    type Output = io::Result<usize>;

    fn want(&self) -> Want {
        if self.side == Side::Reader { Want::Message } else { Want::Room }
    }

    fn now(&mut self) -> Option<io::Result<usize>> {
        let mut state = self.pipe.state();
        if state.is_late(self.side) { None } else { self.attempt(state, &Cell::new(None)).ok() }
    }

    /// Behind those who are there. If there is nobody, it is called at once, and tries.
    fn enlist(&mut self, waker: Waker) -> usize {
        let mut state = self.pipe.state();
        let is_late = state.is_late(self.side);
        let queue = state.queue(self.side);
        let place = queue.line.join(waker, ());
        if !is_late {
            queue.call();
        }
        place
    }

    fn look(&mut self, place: &Cell<Option<usize>>) -> Option<io::Result<usize>> {
        let mut state = self.pipe.state();
        let own = place.get().filter(|place| !state.queue(self.side).line.is_in_line(*place))?;
        match self.attempt(state, place) {
            Ok(result) => Some(result),
            Err(mut state) => {
                // Called for nothing: it goes to the end.
                let queue = state.queue(self.side);
                queue.leave(own);
                place.set(Some(queue.line.join(Waker::of_caller(), ())));
                None
            }
        }
    }

    /// Whoever was called and does not come lets the next one go.
    fn give_up(&mut self, place: usize) {
        let mut state = self.pipe.state();
        let queue = state.queue(self.side);
        let next = if queue.leave(place) { queue.call() } else { None };
        drop(state);
        wake(next);
    }
}

impl Duplex {
    /// Ends the writing half: the other end reads what is left, and then the end.
    pub fn end_writing(&self) {
        self.outgoing.close(|state| state.ended = true);
    }

    fn write_at(&self, bytes: &[u8], at: Place) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        Duplex::transfer(&self.outgoing, Side::Writer, at, |state, capacity| {
            if state.deaf || state.ended {
                return Some(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let room = bytes.len().min(capacity - state.bytes.len());
            state.bytes.extend(&bytes[..room]);
            (room > 0).then_some(Ok(room))
        })
    }

    fn transfer(
        pipe: &Pipe,
        side: Side,
        at: Place,
        step: impl FnMut(&mut State, usize) -> Option<io::Result<usize>>,
    ) -> io::Result<usize> {
        const NO_LIMIT: Option<Duration> = None;
        wait(&mut Move { pipe, side, step }, NO_LIMIT, at)?
    }
}

impl Read for &Duplex {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        Duplex::transfer(&self.incoming, Side::Reader, caller(), |state, _| {
            if state.bytes.is_empty() {
                return state.ended.then_some(Ok(0));
            }
            Some(state.bytes.read(buffer))
        })
    }

    methods!(read_vectored read_exact read_to_end read_to_string);
}

impl Write for &Duplex {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_at(bytes, caller())
    }

    methods!(write_vectored write_all);

    #[track_caller]
    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        let at = caller();
        provided::write_fmt(text, |bytes| self.write_at(bytes, at))
    }

    /// Nothing: what was written is there to be read.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Duplex {
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    methods!(read_vectored read_exact read_to_end read_to_string);
}

impl Write for Duplex {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    methods!(write_vectored write_all);

    #[track_caller]
    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        (&*self).write_fmt(text)
    }

    /// Nothing: what was written is there to be read.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl HalfClose for Duplex {
    fn end_writing(&self) -> io::Result<()> {
        Duplex::end_writing(self);
        Ok(())
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        self.outgoing.close(|state| state.ended = true);
        self.incoming.close(|state| {
            state.deaf = true;
            state.bytes = VecDeque::new();
        });
    }
}

impl fmt::Debug for Duplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unread = self.incoming.state().bytes.len();
        f.debug_struct("Duplex").field("unread", &unread).field("capacity", &self.incoming.capacity).finish()
    }
}
