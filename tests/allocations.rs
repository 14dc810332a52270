//! No wait allocates: what a wait needs lies in the frame of the call, or in memory that was taken before.
//!
//! An allocator that counts, per thread, is the judge. Each test warms up, since lists grow to the size that is needed,
//! then waits some hundred times more and compares the counts exactly. That each wait *was* one is counted as well: a
//! call that did not have to wait would prove nothing.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::io::{self, Read, Write};
use std::rc::Rc;

use common::backends::awaited_pair;
use common::{one_of_several, sim};
use corio::aio;
use corio::channel::mpsc;
use corio::net::{TcpListener, TcpStream, UdpSocket};
use corio::{
    Barrier, BoundedSemaphore, Condvar, Event, Mutex, Queue, RwLock, Semaphore, Which, after, millis, run, scope, secs,
    select, shield, sleep, spawn, timeout, yield_now,
};

struct Counting;

thread_local! {
    // Made without an allocation, and without a destructor that would be registered by one.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // On a thread that ends it may be gone; nobody looks at the count there.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: all is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: u32 = 500;

/// Calls `round` again and again. It says whether it had to wait, which it must each time, and may not allocate.
#[track_caller]
fn allocates_nothing(what: &str, mut round: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    for _ in 0..ROUNDS {
        round()?;
    }
    let before = ALLOCATIONS.get();
    let mut waits = 0;
    for _ in 0..ROUNDS {
        waits += u32::from(round()?);
    }
    assert_eq!(ALLOCATIONS.get(), before, "{what}: {waits} waits must not allocate");
    assert_eq!(waits, ROUNDS, "{what}: each round was to wait");
    Ok(())
}

/// The same, while a partner does its part of each round in a task of its own. Another task counts the turns of the loop,
/// so that a round can tell whether a call of it waited.
#[track_caller]
fn with_partner(
    what: &str,
    partner: impl Fn() -> io::Result<()>,
    mut round: impl FnMut(&Turns) -> io::Result<bool>,
) -> io::Result<()> {
    let turns = Turns::default();
    scope(|s| {
        s.spawn(|| -> io::Result<()> {
            loop {
                partner()?;
            }
        });
        s.spawn(|| -> io::Result<()> {
            loop {
                turns.0.set(turns.0.get() + 1);
                yield_now()?;
            }
        });
        allocates_nothing(what, || round(&turns))?;
        s.cancel();
        Ok(())
    })
}

#[derive(Default)]
struct Turns(Cell<u64>);

impl Turns {
    /// The value of a call, and whether others ran before it was there.
    fn waits_for<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<(T, bool)> {
        let before = self.0.get();
        Ok((call()?, self.0.get() > before))
    }
}

#[test]
fn the_allocator_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATIONS.get(), before + 1);
}

#[test]
fn a_wait_for_a_lock_allocates_nothing() {
    sim(|| {
        let lock = Mutex::new(());
        let other = || {
            let _guard = lock.lock()?;
            yield_now()
        };
        with_partner("a mutex", other, |turns| {
            let (_guard, waited) = turns.waits_for(|| lock.lock())?;
            yield_now()?;
            Ok(waited)
        })?;

        let lock = RwLock::new(());
        let read = || {
            let _guard = lock.read()?;
            yield_now()
        };
        with_partner("a writer", read, |turns| {
            let (_guard, waited) = turns.waits_for(|| lock.write())?;
            yield_now()?;
            Ok(waited)
        })?;
        let write = || {
            let _guard = lock.write()?;
            yield_now()
        };
        with_partner("a reader", write, |turns| {
            let (_guard, waited) = turns.waits_for(|| lock.read())?;
            yield_now()?;
            Ok(waited)
        })
    })
    .unwrap();
}

#[test]
fn a_wait_for_a_permit_allocates_nothing() {
    sim(|| {
        let limit = Semaphore::new(1);
        let other = || {
            let _permit = limit.acquire()?;
            yield_now()
        };
        with_partner("a semaphore", other, |turns| {
            let (_permit, waited) = turns.waits_for(|| limit.acquire())?;
            yield_now()?;
            Ok(waited)
        })?;

        let limit = BoundedSemaphore::new(1);
        let other = || {
            let _permit = limit.acquire()?;
            yield_now()
        };
        with_partner("a bounded semaphore", other, |turns| {
            let (_permit, waited) = turns.waits_for(|| limit.acquire())?;
            yield_now()?;
            Ok(waited)
        })
    })
    .unwrap();
}

#[test]
fn a_wait_for_an_event_a_condition_or_a_barrier_allocates_nothing() {
    sim(|| {
        let event = Event::new();
        let set = || {
            event.set();
            event.clear();
            yield_now()
        };
        with_partner("an event", set, |turns| Ok(turns.waits_for(|| event.wait())?.1))?;

        let (number, changed) = (Mutex::new(0), Condvar::new());
        let change = || {
            *number.lock()? += 1;
            changed.notify_one();
            yield_now()
        };
        with_partner("a condition", change, |turns| {
            let mut guard = number.lock()?;
            Ok(turns.waits_for(|| changed.wait(&mut guard))?.1)
        })?;

        let barrier = Barrier::new(2);
        let come_late = || {
            yield_now()?;
            yield_now()?;
            barrier.wait().map(drop)
        };
        with_partner("a barrier", come_late, |turns| Ok(turns.waits_for(|| barrier.wait())?.1))
    })
    .unwrap();
}

#[test]
fn a_wait_at_a_queue_allocates_nothing() {
    sim(|| {
        let queue = Queue::bounded(1);
        let put = || queue.put(1).and_then(|()| yield_now());
        with_partner("a getter", put, |turns| {
            while queue.try_get().is_ok() {}
            Ok(turns.waits_for(|| queue.get())?.1)
        })?;
        let queue = Queue::bounded(1);
        let get = || queue.get().map(drop);
        with_partner("a putter", get, |turns| {
            while queue.try_put(1).is_ok() {}
            Ok(turns.waits_for(|| queue.put(2))?.1)
        })?;
        let queue = Queue::bounded_priority(1);
        let put = || queue.put(1).and_then(|()| yield_now());
        with_partner("a getter of a priority queue", put, |turns| {
            while queue.try_get().is_ok() {}
            Ok(turns.waits_for(|| queue.get())?.1)
        })
    })
    .unwrap();
}

#[test]
fn a_wait_at_a_channel_allocates_nothing() {
    sim(|| {
        let (sender, receiver) = mpsc::bounded(1);
        let send = || Ok(sender.send(1)?).and_then(|()| yield_now());
        with_partner("a receiver", send, |turns| {
            while receiver.try_recv().is_ok() {}
            Ok(turns.waits_for(|| receiver.recv())?.1)
        })?;
        let (sender, receiver) = mpsc::bounded(1);
        let receive = || receiver.recv().map(drop);
        with_partner("a sender", receive, |turns| {
            while sender.try_send(1).is_ok() {}
            Ok(turns.waits_for(|| Ok(sender.send(2)?))?.1)
        })
    })
    .unwrap();
}

#[test]
fn sleeping_allocates_nothing() {
    sim(|| {
        let mut n = 0;
        let mut nap = || {
            n += 1;
            millis(1 + n % 700) // here and there on the wheel of timers
        };
        allocates_nothing("a sleep", || {
            let (start, time) = (corio::now(), nap());
            sleep(time)?;
            Ok(corio::now() - start == time)
        })?;
        allocates_nothing("a sleep within a limit and a shield", || {
            let (start, time) = (corio::now(), nap());
            timeout(secs(1), || shield(secs(1), || sleep(time)))?;
            Ok(corio::now() - start == time)
        })
    })
    .unwrap();
}

/// Not even the task: it lies where an earlier one did.
#[test]
fn a_task_that_is_spawned_and_joined_allocates_nothing() {
    sim(|| {
        allocates_nothing("a join", || {
            let start = corio::now();
            spawn(|| sleep(millis(1))).join()?;
            Ok(corio::now() - start == millis(1))
        })
    })
    .unwrap();
}

#[test]
fn a_wait_for_one_of_several_things_allocates_nothing() {
    sim(|| {
        let (limit, event) = (Semaphore::new(0), Event::new());
        let release = || {
            limit.release(1);
            yield_now()
        };
        with_partner("a select", release, |turns| {
            while let Some(permit) = limit.try_acquire() {
                permit.forget();
            }
            let (which, waited) = turns.waits_for(|| select((&event, &limit, after(secs(1)))))?;
            match which {
                Which::B(permit) => permit.forget(),
                _ => return Ok(false),
            }
            Ok(waited)
        })
    })
    .unwrap();
}

#[test]
fn a_socket_that_is_waited_for_allocates_nothing() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        let echo = || {
            let mut byte = [0];
            (&server).read_exact(&mut byte)?;
            (&server).write_all(&byte)
        };
        with_partner("a stream", echo, |turns| {
            (&client).write_all(b"x")?;
            Ok(turns.waits_for(|| (&client).read_exact(&mut [0]))?.1)
        })?;

        let (a, b) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
        a.connect(b.local_addr()?)?;
        b.connect(a.local_addr()?)?;
        let echo = || {
            b.recv(&mut [0])?;
            b.send(b"y").map(drop)
        };
        with_partner("a socket for datagrams", echo, |turns| {
            a.send(b"x")?;
            Ok(turns.waits_for(|| a.recv(&mut [0]))?.1)
        })
    })
    .unwrap();
}

// ---- what is awaited ------------------------------------------------------------------------------------------------

/// Awaits `round` again and again. It says whether it had to wait, which it must each time. Tells how often that allocated.
async fn allocations(what: &str, mut round: impl AsyncFnMut() -> io::Result<bool>) -> io::Result<u64> {
    for _ in 0..ROUNDS {
        round().await?;
    }
    let before = ALLOCATIONS.get();
    let mut waits = 0;
    for _ in 0..ROUNDS {
        waits += u32::from(round().await?);
    }
    let allocations = ALLOCATIONS.get() - before;
    assert_eq!(waits, ROUNDS, "{what}: each round was to wait");
    Ok(allocations)
}

async fn awaiting_allocates_nothing(what: &str, round: impl AsyncFnMut() -> io::Result<bool>) -> io::Result<()> {
    let allocations = allocations(what, round).await?;
    assert_eq!(allocations, 0, "{what}: {ROUNDS} waits must not allocate");
    Ok(())
}

/// Counts the turns of the loop, in a task of its own.
async fn count_turns(turns: Rc<Turns>) -> io::Result<()> {
    loop {
        turns.0.set(turns.0.get() + 1);
        aio::yield_now().await?;
    }
}

/// Runs a program that is told of the turns of the loop.
fn awaited<F: Future<Output = io::Result<()>> + 'static>(program: impl FnOnce(Rc<Turns>) -> F) -> io::Result<()> {
    let turns = Rc::new(Turns::default());
    let counter = aio::spawn_local(count_turns(turns.clone()));
    let end = aio::spawn_local(program(turns)).join();
    counter.cancel();
    counter.wait()?;
    end
}

impl Turns {
    /// Whether others ran before the future was ready.
    async fn passed_while(&self, future: impl Future<Output = io::Result<()>>) -> io::Result<bool> {
        let before = self.0.get();
        future.await?;
        Ok(self.0.get() > before)
    }
}

/// A pair of streams, of which the other one sends back what comes, in a task of its own.
async fn echo() -> io::Result<(aio::net::TcpStream, corio::JoinHandle<()>)> {
    let (client, server) = awaited_pair().await?;
    let echo = aio::spawn_local(async move {
        let mut byte = [0];
        while server.read(&mut byte).await? > 0 {
            server.write_all(&byte).await?;
        }
        Ok(())
    });
    Ok((client, echo))
}

#[test]
fn to_spawn_a_future_allocates_once_and_its_end_nothing() {
    sim(|| {
        aio::spawn_local(async {
            let allocations = allocations("a join", async || {
                let start = corio::now();
                aio::spawn_local(async { aio::sleep(millis(1)).await }).await?;
                Ok(corio::now() - start == millis(1))
            });
            assert_eq!(allocations.await?, u64::from(ROUNDS), "{ROUNDS} tasks");
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn awaiting_time_allocates_nothing() {
    sim(|| {
        awaited(|turns| async move {
            awaiting_allocates_nothing("a turn", async || turns.passed_while(aio::yield_now()).await).await
        })?;
        aio::spawn_local(async {
            let mut n = 0;
            awaiting_allocates_nothing("a sleep", async || {
                n += 1;
                let (start, time) = (corio::now(), millis(1 + n % 700));
                aio::sleep(time).await?;
                Ok(corio::now() - start == time)
            })
            .await?;
            awaiting_allocates_nothing("a sleep within a limit", async || {
                n += 1;
                let (start, time) = (corio::now(), millis(1 + n % 700));
                aio::timeout(secs(1), aio::sleep(time)).await??;
                Ok(corio::now() - start == time)
            })
            .await?;
            let mut ticks = aio::interval(millis(7));
            awaiting_allocates_nothing("a tick", async || {
                let start = corio::now();
                ticks.tick().await?;
                Ok(corio::now() > start)
            })
            .await
        })
        .join()
    })
    .unwrap();
}

#[test]
fn awaiting_what_others_bring_allocates_nothing() {
    sim(|| {
        let queue = Rc::new(Queue::bounded(1));
        let items = queue.clone();
        let producer = spawn(move || -> io::Result<()> {
            loop {
                items.put(1)?;
                yield_now()?;
            }
        });
        awaited(|turns| async move {
            awaiting_allocates_nothing("a queue", async || {
                while queue.try_get().is_ok() {}
                turns.passed_while(async { aio::ready(&*queue).await?.map(drop).map_err(io::Error::other) }).await
            })
            .await
        })?;
        producer.cancel();
        producer.wait()
    })
    .unwrap();
}

#[test]
fn awaiting_a_socket_allocates_nothing() {
    run(|| {
        awaited(|turns| async move {
            let (client, echo) = echo().await?;
            awaiting_allocates_nothing("a stream", async || {
                client.write_all(b"x").await?;
                turns.passed_while(client.read_exact(&mut [0])).await
            })
            .await?;
            drop(client);
            echo.await
        })?;
        awaited(|turns| async move {
            let one = aio::net::UdpSocket::bind("127.0.0.1:0").await?;
            let other = aio::net::UdpSocket::bind("127.0.0.1:0").await?;
            one.connect(other.get_ref().local_addr()?).await?;
            other.connect(one.get_ref().local_addr()?).await?;
            let echo = aio::spawn_local(async move {
                while other.recv(&mut [0; 1]).await? > 0 {
                    other.send(b"y").await?;
                }
                Ok(())
            });
            awaiting_allocates_nothing("a socket for datagrams", async || {
                one.send(b"x").await?;
                turns.passed_while(async { one.recv(&mut [0]).await.map(drop) }).await
            })
            .await?;
            one.send(b"").await?;
            echo.await
        })
    })
    .unwrap();
}

/// Whoever polls a wait by way of somebody else's executor is told by that one's waker, which has to be kept: for the wait, and
/// for its alarm, if it has one.
#[test]
fn a_wait_with_another_waker_allocates_a_few_times_at_most() {
    async fn bounded(what: &str, most: u64, round: impl AsyncFnMut() -> io::Result<bool>) -> io::Result<()> {
        let allocations = allocations(what, round).await?;
        let most = most * u64::from(ROUNDS);
        assert!(
            allocations <= most,
            "{what}: {ROUNDS} rounds allocated {allocations} times, at most {most} are allowed"
        );
        Ok(())
    }
    run(|| {
        awaited(|turns| async move {
            one_of_several(bounded("a turn", 0, async || turns.passed_while(aio::yield_now()).await)).await?;
            one_of_several(bounded("a sleep", 3, async || turns.passed_while(aio::sleep(millis(1))).await)).await?;
            let nap = async || turns.passed_while(async { aio::timeout(secs(9), aio::sleep(millis(1))).await? }).await;
            one_of_several(bounded("a sleep within a limit", 5, nap)).await?;
            let (client, echo) = echo().await?;
            let ask = async || {
                client.write_all(b"x").await?;
                turns.passed_while(client.read_exact(&mut [0])).await
            };
            one_of_several(bounded("a stream", 2, ask)).await?;
            drop(client);
            echo.await
        })
    })
    .unwrap();
}

/// The records of a long run, one after the other: those that go leave room for those that come.
#[cfg(feature = "observe")]
#[test]
fn a_flight_recorder_keeps_an_event_without_an_allocation() {
    use corio::observe::{FlightRecorder, Observer, Recording};
    let recording = Recording::new();
    let turns = || {
        let lock = Mutex::new(());
        scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    (0..ROUNDS).try_for_each(|n| {
                        let _guard = lock.lock()?;
                        timeout(secs(1), || if n % 2 == 0 { sleep(millis(1)) } else { yield_now() })
                    })
                });
            }
            Ok(())
        })
    };
    common::runner().observer(recording.clone()).run(turns).unwrap();
    let (records, names) = (recording.records(), recording.names());
    let (steady, end) = records.split_at(records.len() - 100);
    let (before, after) = steady.split_at(steady.len() / 2);
    let mut recorder = FlightRecorder::new(100);
    before.iter().for_each(|record| recorder.record(record, &names));
    let allocations = ALLOCATIONS.get();
    after.iter().for_each(|record| recorder.record(record, &names));
    assert_eq!(ALLOCATIONS.get(), allocations, "{} events must not allocate", after.len());
    end.iter().for_each(|record| recorder.record(record, &names));
    assert!(after.len() > 5_000 && recorder.tell().contains("stops"), "{}", after.len());
}
