//! Queues between the tasks of one loop: [`Queue`], [`LifoQueue`], [`PriorityQueue`], and what belongs to them.
//!
//! An item that a task waits for is *promised* to it in the moment in which it comes, and stays in the queue until that
//! task runs. Room is promised in the same way. So nobody overtakes, and nothing is lost with a task that is cancelled.

use std::cell::{Cell, RefCell, RefMut};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::error::Error;
use std::marker::PhantomData;
use std::{fmt, io};

use crate::observe::event::{Thing, Want};
use crate::select::{Arm, Cx, Spot, Wait, wait_for};
use crate::sync::{Id, grant, with_loop};
use crate::task::wait::WaitList;
use crate::task::{Who, caller, no_suspend};

/// Hands items from tasks to tasks, in a certain order: first in, first out, unless it says otherwise
/// ([`LifoQueue`], [`PriorityQueue`]).
///
/// A queue may have a bound: then `put` waits for room. Getters and putters are served in the order in which they came,
/// and nobody overtakes. Who makes room takes the item of the first putter into the queue in the same moment, so the next
/// `get` has it without waiting for that putter's turn (not in a [`PriorityQueue`]). No item is lost or doubled by a cancellation.
///
/// It is neither `Send` nor `Sync`: between threads and loops use [`channel`](crate::channel). asyncio: `asyncio.Queue`;
/// Go: a channel between goroutines.
///
/// ```
/// use corio::{Queue, run, scope};
///
/// run(|| {
///     let queue = Queue::bounded(2);
///     let sum = scope(|s| {
///         let consumer = s.spawn(|| {
///             let mut sum = 0;
///             for item in &queue { // until it is shut down and empty
///                 sum += item?;
///             }
///             Ok(sum)
///         });
///         for i in 0..10 {
///             queue.put(i)?; // waits for room
///         }
///         queue.shutdown();
///         consumer.join()
///     })?;
///     assert_eq!(sum, 45);
///     Ok(())
/// })
/// # .unwrap()
/// ```
///
/// Without waiting, from anywhere:
///
/// ```
/// use corio::{Queue, TryGetError, TryPutError, run};
///
/// let queue = Queue::bounded(2);
/// assert_eq!((queue.try_put("a"), queue.try_put("b")), (Ok(()), Ok(())));
/// assert_eq!((queue.is_full(), queue.len(), queue.bound()), (true, 2, Some(2)));
/// assert_eq!(queue.try_put("c"), Err(TryPutError::Full("c")));
/// assert_eq!(run(|| queue.get()).unwrap(), "a"); // it belongs to no loop
///
/// queue.shutdown_now(); // and "b" is dropped
/// assert!(queue.is_empty() && queue.is_shut_down());
/// assert_eq!(queue.try_get(), Err(TryGetError::ShutDown));
/// ```
///
/// An item that must not be lost gets its place first:
///
/// ```
/// use corio::{Queue, Runner, Which, after, secs, select, timeout};
///
/// Runner::new().virtual_clock().run(|| {
///     let queue = Queue::bounded(1);
///     let precious = String::from("made with much effort");
///     timeout(secs(1), || queue.reserve())?.put(precious); // `put` itself cannot fail
///     match select((queue.reserving(), after(secs(1))))? {
///         Which::A(slot) => slot?.put(String::from("another")),
///         Which::B(()) => assert!(queue.is_full()),
///     }
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct Queue<T, S = Fifo<T>> {
    items: RefCell<S>,
    /// The most items there may be.
    bound: usize,
    /// How many there are.
    len: Cell<usize>,
    /// Items that were granted to getters which have not run yet.
    promised: Cell<usize>,
    /// Places that were granted to putters, or are kept by a [`Slot`].
    reserved: Cell<usize>,
    /// Items that were put and not yet reported done.
    unfinished: Cell<usize>,
    open: Cell<bool>,
    getters: WaitList,
    putters: WaitList,
    joiners: WaitList,
    id: Id,
    items_are: PhantomData<T>,
}

/// A [`Queue`] that gives out what came last first. It is made by [`Queue::lifo`]. asyncio:
/// `asyncio.LifoQueue`.
///
/// ```
/// use corio::{LifoQueue, Queue, run};
///
/// run(|| {
///     let stack: LifoQueue<u32> = Queue::lifo();
///     for n in 1..=3 {
///         stack.put(n)?;
///     }
///     assert_eq!([stack.get()?, stack.get()?, stack.get()?], [3, 2, 1]);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub type LifoQueue<T> = Queue<T, Lifo<T>>;

/// A [`Queue`] that gives out the smallest item first, and of equal ones the one that came first. It is made by
/// [`Queue::priority`]. asyncio: `asyncio.PriorityQueue`.
///
/// To compare two items may neither wait nor use the queue. If it panics, so does the call; an item that was being put in
/// stays in.
///
/// Items in a tuple are compared as a whole, like asyncio's. A type of one's own says what counts; here its number, the
/// greatest first:
///
/// ```
/// use corio::{PriorityQueue, Queue, run};
/// use std::cmp::Ordering;
///
/// struct Job(u32, &'static str);
/// impl Ord for Job {
///     fn cmp(&self, other: &Job) -> Ordering {
///         other.0.cmp(&self.0)
///     }
/// }
/// impl PartialOrd for Job {
///     fn partial_cmp(&self, other: &Job) -> Option<Ordering> {
///         Some(self.cmp(other))
///     }
/// }
/// impl PartialEq for Job {
///     fn eq(&self, other: &Job) -> bool {
///         self.0 == other.0
///     }
/// }
/// impl Eq for Job {}
///
/// run(|| {
///     let jobs: PriorityQueue<Job> = Queue::priority();
///     for job in [Job(1, "mail"), Job(9, "fire"), Job(9, "flood")] {
///         jobs.put(job)?;
///     }
///     assert_eq!([jobs.get()?.1, jobs.get()?.1, jobs.get()?.1], ["fire", "flood", "mail"]);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub type PriorityQueue<T> = Queue<T, Priority<T>>;

/// How the items of a [`Queue`] are ordered. Sealed: [`Fifo`], [`Lifo`], [`Priority`].
///
/// ```
/// use corio::{Queue, queue::{Fifo, Lifo, Order, Priority}, run};
///
/// /// For queues of all three kinds.
/// fn drain<T, S: Order<T>>(queue: &Queue<T, S>) -> Vec<T> {
///     std::iter::from_fn(|| queue.try_get().ok()).collect()
/// }
///
/// type Three<T> = (Queue<T, Fifo<T>>, Queue<T, Lifo<T>>, Queue<T, Priority<T>>);
/// let (first, last, least): Three<i32> = (Queue::new(), Queue::bounded_lifo(9), Queue::bounded_priority(9));
/// run(|| {
///     for n in [2, 1, 3] {
///         first.put(n)?;
///         last.put(n)?;
///         least.put(n)?;
///     }
///     Ok(())
/// })
/// # .unwrap();
/// assert_eq!((drain(&first), drain(&last), drain(&least)), (vec![2, 1, 3], vec![3, 1, 2], vec![1, 2, 3]));
/// ```
pub trait Order<T>: sealed::Sealed {
    /// Whether `push` runs code of the items, which may panic: then each putter does it itself.
    #[doc(hidden)]
    const COMPARES: bool = false;
    #[doc(hidden)]
    fn push(&mut self, item: T);
    #[doc(hidden)]
    fn pop(&mut self) -> Option<T>;
    #[doc(hidden)]
    fn count(&self) -> usize;
}

/// First in, first out: the order of [`Queue::new`]. `Queue<T>` is `Queue<T, Fifo<T>>`.
pub struct Fifo<T>(VecDeque<T>);

/// Last in, first out: the order of a [`LifoQueue`], which is `Queue<T, Lifo<T>>`.
pub struct Lifo<T>(Vec<T>);

/// The smallest first: the order of a [`PriorityQueue`], which is `Queue<T, Priority<T>>`.
pub struct Priority<T> {
    heap: BinaryHeap<Ranked<T>>,
    /// How many were ever put: equal items come out in the order in which they came.
    put: u64,
}

struct Ranked<T> {
    item: T,
    nth: u64,
}

impl<T: Ord> Ord for Ranked<T> {
    /// The other way round: the heap has its greatest on top.
    fn cmp(&self, other: &Self) -> Ordering {
        other.item.cmp(&self.item).then(other.nth.cmp(&self.nth))
    }
}

impl<T: Ord> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Ord> Eq for Ranked<T> {}

mod sealed {
    pub trait Sealed {}
}

impl<T> sealed::Sealed for Fifo<T> {}
impl<T> sealed::Sealed for Lifo<T> {}
impl<T> sealed::Sealed for Priority<T> {}

impl<T> Order<T> for Fifo<T> {
    #[inline(always)]
    fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    #[inline(always)]
    fn count(&self) -> usize {
        self.0.len()
    }
}

impl<T> Order<T> for Lifo<T> {
    fn push(&mut self, item: T) {
        self.0.push(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

impl<T: Ord> Order<T> for Priority<T> {
    const COMPARES: bool = true;

    fn push(&mut self, item: T) {
        self.put += 1;
        let ranked = Ranked { item, nth: self.put };
        // It compares items, which is the user's code, while the queue is borrowed (R7).
        no_suspend(|| self.heap.push(ranked));
    }

    fn pop(&mut self) -> Option<T> {
        no_suspend(|| self.heap.pop()).map(|ranked| ranked.item)
    }

    fn count(&self) -> usize {
        self.heap.len()
    }
}

impl<T> Queue<T> {
    /// A queue without bound.
    pub const fn new() -> Queue<T> {
        Queue::of(Fifo(VecDeque::new()), usize::MAX)
    }

    /// A queue for so many items at most. asyncio: `Queue(maxsize)`.
    ///
    /// # Panics
    ///
    /// With a bound of nothing. (asyncio takes that for no bound; a hand-over without a place in between is a bound of 1.)
    pub const fn bounded(bound: usize) -> Queue<T> {
        Queue::of(Fifo(VecDeque::new()), some(bound))
    }
}

impl<T> Queue<T, Lifo<T>> {
    /// A [`LifoQueue`] without bound.
    pub const fn lifo() -> LifoQueue<T> {
        Queue::of(Lifo(Vec::new()), usize::MAX)
    }

    /// A [`LifoQueue`] for so many items at most.
    ///
    /// # Panics
    ///
    /// As [`Queue::bounded`].
    pub const fn bounded_lifo(bound: usize) -> LifoQueue<T> {
        Queue::of(Lifo(Vec::new()), some(bound))
    }
}

impl<T: Ord> Queue<T, Priority<T>> {
    /// A [`PriorityQueue`] without bound.
    pub const fn priority() -> PriorityQueue<T> {
        Queue::of(Priority { heap: BinaryHeap::new(), put: 0 }, usize::MAX)
    }

    /// A [`PriorityQueue`] for so many items at most.
    ///
    /// # Panics
    ///
    /// As [`Queue::bounded`].
    pub const fn bounded_priority(bound: usize) -> PriorityQueue<T> {
        Queue::of(Priority { heap: BinaryHeap::new(), put: 0 }, some(bound))
    }
}

const fn some(bound: usize) -> usize {
    assert!(bound > 0, "a queue with room for nothing: the smallest bound is 1");
    bound
}

impl<T, S> Queue<T, S> {
    const fn of(order: S, bound: usize) -> Self {
        Queue {
            items: RefCell::new(order),
            bound,
            len: Cell::new(0),
            promised: Cell::new(0),
            reserved: Cell::new(0),
            unfinished: Cell::new(0),
            open: Cell::new(true),
            getters: WaitList::new(),
            putters: WaitList::new(),
            joiners: WaitList::new(),
            id: Id::new(),
            items_are: PhantomData,
        }
    }

    /// How many items there are. asyncio: `qsize`.
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// Whether there is no item. asyncio: `empty`.
    pub fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    /// Whether there is no room. asyncio: `full`.
    pub fn is_full(&self) -> bool {
        self.len.get() + self.reserved.get() >= self.bound
    }

    /// The most items there may be; `None` without bound. asyncio: `maxsize`.
    pub fn bound(&self) -> Option<usize> {
        (self.bound != usize::MAX).then_some(self.bound)
    }

    /// Whether it was shut down.
    pub fn is_shut_down(&self) -> bool {
        !self.open.get()
    }

    /// Reports that an item that was taken has been worked on. For [`join`](Self::join). asyncio: `task_done`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is called more often than items were put.
    pub fn task_done(&self) -> io::Result<()> {
        let Some(left) = self.unfinished.get().checked_sub(1) else {
            return Err(crate::error::misuse("`task_done` was called more often than items were put"));
        };
        self.finish(left);
        Ok(())
    }

    fn finish(&self, left: usize) {
        self.unfinished.set(left);
        if left == 0 {
            with_loop(&self.joiners, |lp, by| self.joiners.notify_all(lp, by));
        }
    }

    /// Waits until `task_done` was called for every item that was put. Unlike [`is_empty`](Self::is_empty) that includes
    /// the items that somebody works on. asyncio: `join`.
    ///
    /// # Errors
    ///
    /// Only cancellation, [in a task](crate#where-a-call-may-wait).
    ///
    /// # Suspends
    ///
    /// While an item is not reported done.
    ///
    /// ```
    /// use corio::{Queue, Runner, now, scope, secs, sleep};
    ///
    /// Runner::new().virtual_clock().run(|| {
    ///     let (jobs, start) = (Queue::new(), now());
    ///     scope(|s| {
    ///         s.spawn(|| {
    ///             for job in &jobs {
    ///                 sleep(secs(job?))?; // the work
    ///                 jobs.task_done()?;
    ///             }
    ///             Ok(())
    ///         });
    ///         for time in [1, 2, 3] {
    ///             jobs.put(time)?;
    ///         }
    ///         jobs.join()?; // not only taken, but done
    ///         assert_eq!(now() - start, secs(6));
    ///         assert!(jobs.task_done().is_err()); // one too many
    ///         Ok(jobs.shutdown())
    ///     })
    /// })
    /// # .unwrap()
    /// ```
    #[track_caller]
    pub fn join(&self) -> io::Result<()> {
        wait_for(Finished(self), caller())
    }

    /// Ends the queue: no place can be reserved any more, what is in it can still be taken. Who waits to put, and who
    /// waits to get from the empty queue, is told so. Who has a place may still put its item, and whoever gets from the
    /// queue waits for that, so nothing is lost. asyncio: `shutdown`.
    pub fn shutdown(&self) {
        self.open.set(false);
        // Who has been granted something keeps it; the others look again.
        with_loop(&self.putters, |lp, by| self.putters.wake_all(lp, by));
        self.tell_the_end();
    }

    /// Whether no item can come any more. One that is promised may: whoever gives up the wait gives it back.
    fn has_ended(&self) -> bool {
        !self.open.get() && self.reserved.get() == 0 && self.promised.get() == 0
    }

    /// Who waits for an item looks again, and sees the end.
    #[inline(always)]
    fn tell_the_end(&self) {
        if self.has_ended() {
            with_loop(&self.getters, |lp, by| self.getters.wake_all(lp, by));
        }
    }

    /// An item has come, or is no longer promised: grants it.
    #[inline(always)]
    fn offer_item(&self) {
        if self.len.get() > self.promised.get() && grant(&self.getters) {
            self.promised.set(self.promised.get() + 1);
        }
    }
}

impl<T, S: Order<T>> Queue<T, S> {
    /// Puts an item, and waits for room if there is none. asyncio: `put`.
    ///
    /// # Errors
    ///
    /// [In a task](crate#where-a-call-may-wait), cancellation and [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the queue is shut down. The item is dropped then:
    /// for one that must not be, [`reserve`](Self::reserve) a place first.
    ///
    /// # Suspends
    ///
    /// While the queue is full.
    #[inline(always)]
    #[track_caller]
    pub fn put(&self, item: T) -> io::Result<()> {
        let item = Cell::new(Some(item));
        wait_for(Putting { queue: self, item: &item }, caller())?
    }

    /// Waits for room and keeps it: the item that is then [put](Slot::put) there cannot be refused any more.
    ///
    /// # Errors
    ///
    /// [In a task](crate#where-a-call-may-wait), cancellation and [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the queue is shut down.
    ///
    /// # Suspends
    ///
    /// While the queue is full.
    #[inline(always)]
    #[track_caller]
    pub fn reserve(&self) -> io::Result<Slot<'_, T, S>> {
        wait_for(self.reserving(), caller())?
    }

    /// [`reserve`](Self::reserve) as a wait for [`select`](crate::select()).
    #[inline(always)]
    pub fn reserving(&self) -> Reserving<'_, T, S> {
        Reserving(self)
    }

    /// Takes the next item, and waits for one if there is none. asyncio: `get`.
    ///
    /// # Errors
    ///
    /// [In a task](crate#where-a-call-may-wait), cancellation and [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the queue is shut down and empty, and nobody has
    /// a place reserved, or was promised an item and has not taken it.
    ///
    /// # Suspends
    ///
    /// While the queue is empty.
    #[inline(always)]
    #[track_caller]
    pub fn get(&self) -> io::Result<T> {
        wait_for(self, caller())?
    }

    /// Puts an item if there is room. Never suspends. asyncio: `put_nowait`.
    ///
    /// # Errors
    ///
    /// The item, and why: the queue is full, or shut down.
    pub fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
        if !self.open.get() {
            return Err(TryPutError::ShutDown(item));
        }
        if self.is_full() {
            return Err(TryPutError::Full(item));
        }
        self.push(item);
        Ok(())
    }

    /// Takes the next item if there is one that is not promised to a task that waits. Never suspends. asyncio:
    /// `get_nowait`.
    ///
    /// # Errors
    ///
    /// There is no such item, or there will never be one.
    pub fn try_get(&self) -> Result<T, TryGetError> {
        if self.len.get() > self.promised.get() {
            return Ok(self.pop());
        }
        Err(if self.has_ended() { TryGetError::ShutDown } else { TryGetError::Empty })
    }

    /// Ends the queue at once: what is in it is dropped and counts as done. asyncio: `shutdown(immediate=True)`.
    ///
    /// Items that were already handed to a task, which has not run since, are still its own.
    pub fn shutdown_now(&self) {
        self.shutdown();
        let mut dropped = Vec::new();
        while let Ok(item) = self.try_get() {
            dropped.push(item);
        }
        self.finish(self.unfinished.get().saturating_sub(dropped.len()));
    }

    #[inline(always)]
    fn push(&self, item: T) {
        if let Some(items) = &mut self.change().items {
            items.push(item);
        }
    }

    #[inline(always)]
    fn pop(&self) -> T {
        let popped = self.change().items.as_mut().and_then(|items| items.pop());
        popped.expect("as many items as are counted")
    }

    /// There is room again: the first putter gets it.
    #[inline(always)]
    fn offer_room(&self) {
        if !self.putters.is_empty() && self.open.get() && !self.is_full() {
            self.admit();
        }
    }

    /// Takes the item of the first putter, who then need not run before the next getter does; or grants the room, if it
    /// wanted no more than that.
    fn admit(&self) {
        with_loop(&self.putters, |lp, by| {
            let Some(putter) = self.putters.first() else { return };
            // SAFETY: only `Putting` brings anything into this list, and that is an item in the frame of its wait (R4).
            let brought = unsafe { putter.brings.get().cast::<Cell<Option<T>>>().as_ref() };
            self.putters.grant_to(putter, lp, by);
            match brought.filter(|_| !S::COMPARES).and_then(Cell::take) {
                None => self.reserved.set(self.reserved.get() + 1),
                Some(item) => self.push(item),
            }
        });
    }

    #[inline(always)]
    fn change(&self) -> Change<'_, T, S> {
        Change { queue: self, items: Some(self.items.borrow_mut()) }
    }
}

/// The items, while one is put or taken. Counts what has become of them and hands it on, also when a comparison panicked.
struct Change<'a, T, S: Order<T>> {
    queue: &'a Queue<T, S>,
    /// Given back before anything is handed on.
    items: Option<RefMut<'a, S>>,
}

impl<T, S: Order<T>> Drop for Change<'_, T, S> {
    #[inline(always)]
    fn drop(&mut self) {
        let queue = self.queue;
        let Some(len) = self.items.take().map(|items| items.count()) else { return };
        if len > queue.len.replace(len) {
            queue.unfinished.set(queue.unfinished.get() + 1);
            queue.offer_item();
        } else {
            queue.offer_room();
        }
    }
}

#[cold]
fn shut_down() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the queue was shut down")
}

impl<T, S: Order<T>> Wait for &Queue<T, S> {
    type Output = io::Result<T>;
}

impl<T, S: Order<T>> Arm for &Queue<T, S> {
    type Brings = io::Result<T>;
    type Hook = ();

    #[inline(always)]
    fn poll(&mut self, _: Who, _: &Spot<()>) -> Option<io::Result<T>> {
        if self.len.get() > self.promised.get() {
            return Some(Ok(self.pop()));
        }
        if self.has_ended() { Some(Err(shut_down())) } else { None }
    }

    #[inline(always)]
    fn list(&self) -> Option<&WaitList> {
        Some(&self.getters)
    }

    #[inline]
    fn take(&mut self, _: Who, _: &Spot<()>) -> io::Result<T> {
        self.promised.set(self.promised.get() - 1);
        let item = self.pop();
        self.tell_the_end();
        Ok(item)
    }

    fn refuse(&mut self) {
        self.promised.set(self.promised.get() - 1);
        self.offer_item();
    }

    fn want(&self, cx: &Cx<'_>, _: &Spot<Self::Hook>) -> Want {
        Want::Thing { thing: Thing::Item, id: self.id.get(cx.lp), holder: 0 }
    }
}

/// The wait of [`Queue::put`].
struct Putting<'a, T, S> {
    queue: &'a Queue<T, S>,
    /// Taken by whoever makes room, or by the putter itself if there is room already.
    item: &'a Cell<Option<T>>,
}

impl<T, S: Order<T>> Arm for Putting<'_, T, S> {
    type Brings = io::Result<()>;
    type Hook = ();

    #[inline(always)]
    fn poll(&mut self, _: Who, _: &Spot<()>) -> Option<io::Result<()>> {
        if !self.queue.open.get() {
            return Some(Err(shut_down()));
        }
        if self.queue.is_full() {
            return None;
        }
        self.queue.push(self.item.take()?);
        Some(Ok(()))
    }

    #[inline(always)]
    fn list(&self) -> Option<&WaitList> {
        Some(&self.queue.putters)
    }

    #[inline(always)]
    fn enter(&mut self, _: &Cx<'_>, spot: &Spot<()>) {
        spot.node.brings.set(std::ptr::from_ref(self.item).cast());
    }

    #[inline(always)]
    fn take(&mut self, _: Who, _: &Spot<()>) -> io::Result<()> {
        if let Some(item) = self.item.take() {
            Slot { queue: self.queue }.put(item); // only the room was granted
        }
        Ok(())
    }

    fn refuse(&mut self) {
        if self.item.take().is_some() {
            drop(Slot { queue: self.queue });
        }
    }

    fn want(&self, cx: &Cx<'_>, _: &Spot<Self::Hook>) -> Want {
        Want::Thing { thing: Thing::Room, id: self.queue.id.get(cx.lp), holder: 0 }
    }
}

/// [`Queue::reserve`] as a wait.
///
/// ```
/// use corio::{Queue, Which, queue::Reserving, run, select};
///
/// run(|| {
///     let (full, free) = (Queue::bounded(1), Queue::bounded(1));
///     full.put("earlier")?;
///     let rooms: (Reserving<'_, _>, Reserving<'_, _>) = (full.reserving(), free.reserving());
///     match select(rooms)? { // wherever there is room
///         Which::A(slot) | Which::B(slot) => slot?.put("now"),
///     }
///     assert_eq!((full.len(), free.len()), (1, 1));
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[must_use = "it waits for nothing until `select`"]
pub struct Reserving<'a, T, S = Fifo<T>>(&'a Queue<T, S>);

impl<'a, T, S: Order<T>> Wait for Reserving<'a, T, S> {
    type Output = io::Result<Slot<'a, T, S>>;
}

impl<'a, T, S: Order<T>> Arm for Reserving<'a, T, S> {
    type Brings = io::Result<Slot<'a, T, S>>;
    type Hook = ();

    #[inline(always)]
    fn poll(&mut self, _: Who, _: &Spot<()>) -> Option<Self::Brings> {
        let queue = self.0;
        if !queue.open.get() {
            return Some(Err(shut_down()));
        }
        (!queue.is_full()).then(|| {
            queue.reserved.set(queue.reserved.get() + 1);
            Ok(Slot { queue })
        })
    }

    fn list(&self) -> Option<&WaitList> {
        Some(&self.0.putters)
    }

    fn take(&mut self, _: Who, _: &Spot<()>) -> Self::Brings {
        Ok(Slot { queue: self.0 })
    }

    fn refuse(&mut self) {
        drop(Slot { queue: self.0 });
    }

    fn want(&self, cx: &Cx<'_>, _: &Spot<Self::Hook>) -> Want {
        Want::Thing { thing: Thing::Room, id: self.0.id.get(cx.lp), holder: 0 }
    }
}

/// Room for one item in a [`Queue`], from [`reserve`](Queue::reserve). Dropping it gives the room to the next.
///
/// ```
/// use corio::{Queue, run};
///
/// run(|| {
///     let queue = Queue::bounded(1);
///     let slot = queue.reserve()?;
///     assert!(queue.is_full() && queue.is_empty()); // the place is taken, and nothing is there yet
///     queue.shutdown();
///     slot.put("made in the meantime"); // it was promised, so it still works
///     assert_eq!(queue.get()?, "made in the meantime");
///     assert!(queue.get().is_err() && queue.reserve().is_err());
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[must_use = "the place is free again when it is dropped"]
pub struct Slot<'a, T, S: Order<T> = Fifo<T>> {
    queue: &'a Queue<T, S>,
}

impl<T, S: Order<T>> Slot<'_, T, S> {
    /// Puts the item. It never waits and cannot fail, also when the queue was shut down after the place was reserved.
    #[inline(always)]
    pub fn put(self, item: T) {
        self.queue.push(item);
    }
}

impl<T, S: Order<T>> Drop for Slot<'_, T, S> {
    /// The place was used or given up: in both cases nobody keeps it any more.
    #[inline(always)]
    fn drop(&mut self) {
        let queue = self.queue;
        queue.reserved.set(queue.reserved.get() - 1);
        queue.offer_room();
        queue.tell_the_end();
    }
}

/// The wait of [`Queue::join`].
struct Finished<'a, T, S>(&'a Queue<T, S>);

impl<T, S> Arm for Finished<'_, T, S> {
    type Brings = ();
    type Hook = ();

    fn poll(&mut self, _: Who, _: &Spot<()>) -> Option<()> {
        (self.0.unfinished.get() == 0).then_some(())
    }

    fn list(&self) -> Option<&WaitList> {
        Some(&self.0.joiners)
    }

    fn take(&mut self, _: Who, _: &Spot<()>) {}

    fn want(&self, cx: &Cx<'_>, _: &Spot<Self::Hook>) -> Want {
        Want::Thing { thing: Thing::Work, id: self.0.id.get(cx.lp), holder: 0 }
    }
}

/// Takes items until the queue is shut down and empty, and nobody has a place reserved; from iterating over a `&Queue`.
///
/// A cancellation is one item that is an error, and then the end. Every item that was taken is the caller's to report
/// with [`task_done`](Queue::task_done), if anybody joins the queue.
///
/// ```
/// use corio::{Queue, queue::Items, run};
///
/// run(|| {
///     let queue = Queue::new();
///     for n in 1..=4 {
///         queue.put(n)?;
///     }
///     queue.shutdown();
///     let items: Items<'_, u32> = (&queue).into_iter();
///     assert_eq!(items.sum::<Result<u32, _>>()?, 10);
///     Ok(())
/// })
/// # .unwrap()
/// ```
pub struct Items<'a, T, S = Fifo<T>> {
    queue: &'a Queue<T, S>,
    ended: bool,
}

impl<T, S: Order<T>> Iterator for Items<'_, T, S> {
    type Item = io::Result<T>;

    #[track_caller]
    fn next(&mut self) -> Option<io::Result<T>> {
        if self.ended {
            return None;
        }
        let got = wait_for(self.queue, caller());
        self.ended = !matches!(got, Ok(Ok(_)));
        match got {
            // Shut down and empty: the good end.
            Ok(Err(_)) => None,
            Ok(item) => Some(item),
            Err(error) => Some(Err(error)),
        }
    }
}

impl<T, S: Order<T>> std::iter::FusedIterator for Items<'_, T, S> {}

impl<'a, T, S: Order<T>> IntoIterator for &'a Queue<T, S> {
    type Item = io::Result<T>;
    type IntoIter = Items<'a, T, S>;

    fn into_iter(self) -> Items<'a, T, S> {
        Items { queue: self, ended: false }
    }
}

/// Why [`Queue::try_put`] did not, with the item.
///
/// ```
/// use corio::{Queue, TryPutError};
///
/// let queue = Queue::bounded(1);
/// queue.try_put("first").unwrap();
/// match queue.try_put("second") {
///     Err(TryPutError::Full(item)) => assert_eq!(item, "second"), // not lost
///     other => unreachable!("{other:?}"),
/// }
/// queue.shutdown();
/// assert_eq!(queue.try_put("third").unwrap_err().into_inner(), "third");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TryPutError<T> {
    /// There is no room.
    Full(T),
    /// The queue was shut down.
    ShutDown(T),
}

impl<T> TryPutError<T> {
    /// The item.
    pub fn into_inner(self) -> T {
        match self {
            TryPutError::Full(item) | TryPutError::ShutDown(item) => item,
        }
    }
}

impl<T> fmt::Debug for TryPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryPutError::Full(_) => "Full(..)",
            TryPutError::ShutDown(_) => "ShutDown(..)",
        })
    }
}

impl<T> fmt::Display for TryPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryPutError::Full(_) => "the queue is full",
            TryPutError::ShutDown(_) => "the queue was shut down",
        })
    }
}

impl<T> Error for TryPutError<T> {}

impl<T> From<TryPutError<T>> for io::Error {
    fn from(error: TryPutError<T>) -> io::Error {
        match error {
            TryPutError::Full(_) => io::Error::new(io::ErrorKind::WouldBlock, "the queue is full"),
            TryPutError::ShutDown(_) => shut_down(),
        }
    }
}

/// Why [`Queue::try_get`] got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryGetError {
    /// There is no item, or none that is not promised to a task that waits.
    Empty,
    /// There is none, and there will be none: the queue was shut down, and nobody has a place reserved.
    ShutDown,
}

impl fmt::Display for TryGetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryGetError::Empty => "the queue is empty",
            TryGetError::ShutDown => "the queue was shut down",
        })
    }
}

impl Error for TryGetError {}

impl From<TryGetError> for io::Error {
    fn from(error: TryGetError) -> io::Error {
        match error {
            TryGetError::Empty => io::Error::new(io::ErrorKind::WouldBlock, "the queue is empty"),
            TryGetError::ShutDown => shut_down(),
        }
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue::new()
    }
}

impl<T, S> fmt::Debug for Queue<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len.get())
            .field("bound", &self.bound())
            .field("getters", &self.getters.len())
            .field("putters", &self.putters.len())
            .field("shut_down", &self.is_shut_down())
            .finish()
    }
}

macro_rules! named {
    ($($name:ident<$($parameter:tt),+>)+) => {$(
        impl<$($parameter),+> fmt::Debug for $name<$($parameter),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )+};
}

named! { Fifo<T> Lifo<T> Priority<T> Reserving<'a, T, S> Items<'a, T, S> }

impl<T, S: Order<T>> fmt::Debug for Slot<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}
