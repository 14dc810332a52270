//! Several functions or tasks at once: `gather`, `race`, `wait`, `as_completed`, `join_all`, some of them cut short.

use std::cell::Cell;
use std::{io, mem};

use corio::testing::{self, Random};
use corio::{
    Event, JoinHandle, Outcome, Until, as_completed, gather, gather_all, is_cancelled, join_all, millis, race, sleep,
    spawn, wait,
};

use super::{Hazards, SCHEDULES, Waiting, pause, workers};

#[test]
fn functions_and_handles() {
    testing::explore(SCHEDULES, several);
}

pub(super) fn several(random: &Random) -> io::Result<()> {
    let hazards = Hazards::default();
    workers(random, &hazards, random.range(1..=3), &|| (), |_| {
        for _ in 0..random.range(1..=3) {
            pause(random)?;
            match random.below(5) {
                0 | 1 => functions(random, &hazards),
                _ => handles(random, &hazards),
            }
        }
        Ok(())
    })?;
    sleep(millis(50)) // what was detached comes to its end
}

/// A failure of the calls is a result here; a cancellation is not.
fn unless_failed<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if !is_cancelled(&error) => Ok(None),
        result => result.map(Some),
    }
}

/// No call outlives the function that made it, and each gets the value that is its own.
fn functions(random: &Random, hazards: &Hazards) {
    let (running, failures, n) = (Waiting::default(), Cell::new(0), random.range(1..=4));
    let odds = random.below(4);
    let call = |i: u64| {
        running.during(|| {
            pause(random)?;
            if random.one_in(odds * 2) {
                failures.set(failures.get() + 1);
                return Err(io::Error::other("a failure"));
            }
            Ok(i)
        })
    };
    match random.below(3) {
        0 => {
            let values = hazards.run(random, || unless_failed(gather(0..n, call)));
            match values {
                Some(Some(values)) => assert!(values.into_iter().eq(0..n) && failures.get() == 0),
                Some(None) => assert!(failures.get() > 0),
                None => {}
            }
        }
        1 => {
            let results = hazards.run(random, || gather_all(0..n, call));
            if let Some(results) = results {
                assert_eq!(results.len() as u64, n);
                assert_eq!(results.iter().filter(|result| result.is_err()).count(), failures.get());
                assert!((0..).zip(results).all(|(i, result)| result.is_err() || result.is_ok_and(|value| value == i)));
            }
        }
        _ => match hazards.run(random, || unless_failed(race(0..n, call))) {
            Some(Some(winner)) => assert!(winner < n),
            Some(None) => assert_eq!(failures.get() as u64, n, "one that succeeds wins"),
            None => {}
        },
    }
    running.none_if(true);
}

/// Each handle comes out once, when its task is done, whoever is cancelled while it looks.
fn handles(random: &Random, hazards: &Hazards) {
    let spawn_one = |n: u64| {
        let random = random.clone();
        spawn(move || {
            pause(&random)?;
            if random.one_in(5) { Err(io::Error::other("a failure")) } else { Ok(n) }
        })
    };
    let total = random.range(1..=4);
    let mut handles: Vec<JoinHandle<u64>> = (0..total).map(spawn_one).collect();
    let mut seen = Vec::new();
    let mut finish = |handle: JoinHandle<u64>| {
        assert!(handle.is_done());
        seen.push(handle.id());
        assert!(matches!(handle.outcome(), Outcome::Returned(_) | Outcome::Failed(_)), "nobody cancels it");
    };
    let mut joined = 0;
    while !handles.is_empty() {
        let before = handles.len();
        match random.below(5) {
            0 | 1 => {
                let until = *random.pick(&[Until::FirstCompleted, Until::FirstError, Until::AllCompleted]);
                match hazards.run(random, || wait(&mut handles, until)) {
                    Some(done) => {
                        assert!(handles.iter().all(|handle| !handle.is_done()) && done.len() + handles.len() == before);
                        assert!(match until {
                            Until::FirstCompleted => !done.is_empty(),
                            Until::AllCompleted => handles.is_empty(),
                            Until::FirstError => !done.is_empty(),
                        });
                        done.into_iter().for_each(&mut finish);
                    }
                    None => assert_eq!(handles.len(), before, "a wait that is cancelled moves nothing"),
                }
            }
            2 | 3 => {
                let mut done = Vec::new();
                let enough = random.below(4);
                hazards.run(random, || {
                    for handle in as_completed(&mut handles) {
                        done.push(handle?);
                        if done.len() as u64 > enough {
                            break;
                        }
                    }
                    Ok(())
                });
                assert_eq!(done.len() + handles.len(), before);
                done.into_iter().for_each(&mut finish);
            }
            _ => {
                let all = mem::take(&mut handles);
                joined = all.len();
                if let Some(Some(values)) = hazards.run(random, || unless_failed(join_all(all))) {
                    assert_eq!(values.len(), joined);
                    assert!(values.is_sorted(), "in the order of the handles");
                }
            }
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len() + joined) as u64, total, "each comes out once");
}

/// A call that may suspend gives up its turn when the turn was long. What `join_all` waits for may end just then.
#[test]
fn join_all_looks_again_after_its_turn_was_cut_short() {
    for spent in 120..140 {
        testing::run(|| {
            let (ready, task) = (Event::new(), spawn(|| Ok(7)));
            ready.set();
            for _ in 0..spent {
                ready.wait()?;
            }
            assert_eq!(join_all([task])?, [7]);
            Ok(())
        });
    }
}
