//! Channels, between tasks: what was sent arrives once and in its sender's order, or whoever missed it is told; and the end is
//! told to all.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;

use corio::channel::broadcast::RecvError;
use corio::channel::{broadcast, mpsc, oneshot, watch};
use corio::testing::{self, Random};
use corio::{Which, after, select};

use super::{Hazards, SCHEDULES, Waiting, moment, pause, workers};

#[test]
fn channel_of_many_to_one() {
    testing::explore(SCHEDULES, many_to_one);
}

#[test]
fn channel_of_one_value() {
    testing::explore(SCHEDULES, one_value);
}

#[test]
fn channel_to_everybody() {
    testing::explore(SCHEDULES, to_everybody);
}

#[test]
fn channel_of_the_latest() {
    testing::explore(SCHEDULES, the_latest);
}

/// What was received; `None` at the end of the channel. A cancellation is an error.
fn or_its_end<T>(received: io::Result<T>) -> io::Result<Option<T>> {
    match received {
        Err(error) if corio::is_cancelled(&error) => Err(error),
        received => Ok(received.ok()),
    }
}

/// Senders, and several tasks that share the receiver.
pub(super) fn many_to_one(random: &Random) -> io::Result<()> {
    let senders = random.range(1..=3);
    let room = random.range(1..=3) as usize;
    let (sender, receiver) = if random.one_in(4) { mpsc::unbounded() } else { mpsc::bounded(room) };
    let ends = RefCell::new((0..senders).map(|_| sender.clone()).collect::<Vec<_>>());
    drop(sender);
    let (accepted, got) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let (hazards, taking) = (Hazards::default(), Waiting::default());
    let audit = || taking.none_if(!receiver.is_empty());
    let send = |name: u64| {
        let sender = ends.borrow_mut().pop().expect("one for each");
        for n in 0..random.range(1..=5) {
            pause(random)?;
            let sent = match random.below(3) {
                0 => sender.try_send((name, n)).is_ok(),
                _ => hazards.run(random, || Ok(sender.send((name, n))?)).is_some(),
            };
            if sent {
                accepted.borrow_mut().push((name, n));
            }
        }
        Ok(())
    };
    let take = || {
        let mut last = BTreeMap::new();
        // Each until it hears of the end itself: a `select` that takes its time limit gives back what it was handed.
        let over = Cell::new(false);
        while !over.get() {
            pause(random)?;
            let item = match random.below(3) {
                0 => receiver.try_recv().ok(),
                1 => hazards
                    .run(random, || {
                        Ok(match taking.during(|| select((after(moment(random)), &receiver)))? {
                            Which::A(()) => None,
                            Which::B(item) => item.map_err(|_| over.set(true)).ok(),
                        })
                    })
                    .flatten(),
                _ => {
                    let ended = hazards.run(random, || {
                        let item = or_its_end(taking.during(|| receiver.recv()))?;
                        over.set(item.is_none());
                        Ok(item)
                    });
                    ended.flatten()
                }
            };
            if let Some((name, n)) = item {
                assert!(last.insert(name, n) < Some(n), "values of one sender come in its order");
                got.borrow_mut().push((name, n));
            }
        }
        Ok(())
    };
    let takers = random.range(1..=2);
    workers(random, &hazards, senders + takers, &audit, |name| if name < senders { send(name) } else { take() })?;
    assert!(receiver.is_empty() && receiver.try_recv().is_err());
    let (mut accepted, mut got) = (accepted.into_inner(), got.into_inner());
    accepted.sort_unstable();
    got.sort_unstable();
    assert_eq!(accepted, got, "what was sent arrives once");
    Ok(())
}

/// The value arrives, or the receiver hears that it never will.
pub(super) fn one_value(random: &Random) -> io::Result<()> {
    let (sender, mut receiver) = oneshot::channel();
    let (sender, sent) = (RefCell::new(Some(sender)), Cell::new(false));
    let receiver = RefCell::new(Some(&mut receiver));
    let hazards = Hazards::default();
    workers(random, &hazards, 2, &|| (), |name| {
        pause(random)?;
        pause(random)?;
        if name == 0 {
            let sender = sender.take().expect("one");
            if random.below(4) > 0 {
                sent.set(sender.send(7).is_ok());
            }
            return Ok(());
        }
        let receiver = receiver.take().expect("one");
        loop {
            let value = hazards.run(random, || or_its_end(receiver.recv()));
            // A cancelled wait loses nothing: it asks again.
            if let Some(value) = value {
                assert_eq!(value.is_some(), sent.get());
                return Ok(());
            }
        }
    })
}

/// Each receiver gets every value in order, or hears how many it has lost.
pub(super) fn to_everybody(random: &Random) -> io::Result<()> {
    let (sender, receiver) = broadcast::channel(random.range(1..=4) as usize);
    let receivers = random.range(1..=3);
    let ends = RefCell::new((0..receivers).map(|_| receiver.clone()).collect::<Vec<_>>());
    drop(receiver);
    let (sender, sent) = (RefCell::new(Some(sender)), Cell::new(0));
    let hazards = Hazards::default();
    workers(random, &hazards, receivers + 1, &|| (), |name| {
        if name == 0 {
            let sender = sender.take().expect("one");
            for n in 0..random.range(1..=10) {
                pause(random)?;
                let _ = sender.send(n); // a failure: all receivers are gone
                sent.set(n + 1);
            }
            return Ok(());
        }
        let (mut receiver, mut next) = (ends.borrow_mut().pop().expect("one for each"), 0);
        loop {
            pause(random)?;
            let outcome = hazards.run(random, || match receiver.recv() {
                Err(RecvError::Failed(error)) => Err(error),
                outcome => Ok(outcome),
            });
            match outcome {
                None => {}
                Some(Ok(n)) => {
                    assert_eq!(n, next, "in order, and none missing");
                    next += 1;
                }
                Some(Err(RecvError::Lagged(n))) => next += n,
                Some(Err(_)) => break,
            }
            if random.one_in(20) {
                return Ok(()); // it leaves
            }
        }
        assert_eq!(next, sent.get(), "nothing was lost in silence");
        Ok(())
    })
}

/// Receivers see later and later values, and at the end the last.
pub(super) fn the_latest(random: &Random) -> io::Result<()> {
    let (sender, receiver) = watch::channel(0);
    let receivers = random.range(1..=3);
    let ends = RefCell::new((0..receivers).map(|_| receiver.clone()).collect::<Vec<_>>());
    drop(receiver);
    let (sender, last) = (RefCell::new(Some(sender)), Cell::new(0));
    let hazards = Hazards::default();
    workers(random, &hazards, receivers + 1, &|| (), |name| {
        if name == 0 {
            let sender = sender.take().expect("one");
            for n in 1..=random.range(1..=8) {
                pause(random)?;
                sender.replace(n);
                last.set(n);
            }
            return Ok(());
        }
        let (mut receiver, mut seen) = (ends.borrow_mut().pop().expect("one for each"), 0);
        loop {
            pause(random)?;
            let value = hazards.run(random, || or_its_end(receiver.recv()));
            match value {
                None => {}
                Some(Some(value)) => {
                    assert!(*value > seen, "{value} after {seen}");
                    seen = *value;
                }
                Some(None) => break,
            }
        }
        assert_eq!((seen, *receiver.get()), (last.get(), last.get()), "the last one is seen");
        Ok(())
    })
}
