//! GATHER, WAIT, ASCOMP: several at once. More in `tests/several.rs`.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use crate::common::{Log, logged, only, runner, sim, since};
use corio::{
    Builder, JoinHandle, Task, Until, all_tasks, as_completed, call_soon, cancel_cause, current, gather, gather_all,
    is_cancelled, join_all, now, secs, shield, sleep, spawn, timeout, wait, wait_timeout, yield_now,
};

/// Whether a turn of the loop passed while `f` ran.
fn paused<R>(f: impl FnOnce() -> R) -> (bool, R) {
    let turned = Rc::new(Cell::new(false));
    let t = turned.clone();
    call_soon(move || t.set(true));
    let result = f();
    (turned.get(), result)
}

fn after(n: u64) -> io::Result<u64> {
    sleep(secs(n))?;
    Ok(n)
}

fn fail(text: &'static str) -> io::Result<u64> {
    Err(io::Error::other(text))
}

// ---- gather ------------------------------------------------------------------------------------------------------------

/// GATHER-01: the values come in the order of the arguments, when the last one has ended.
#[test]
fn values_come_in_the_order_of_the_arguments() {
    sim(|| {
        let start = now();
        assert_eq!(gather([3, 1, 2], after)?, [3, 1, 2]);
        assert_eq!(since(start), 3.0);
        let text = String::from("lent");
        assert_eq!(gather!(after(2), Ok(text.len()), spawn(|| after(1)))?, (2, 4, 1));
        assert_eq!(since(start), 5.0);
        Ok(())
    })
    .unwrap();
}

/// GATHER-02: nothing is gathered at once.
#[test]
fn nothing_is_gathered_at_once() {
    sim(|| {
        let (waited, values) = paused(|| gather(Vec::new(), after));
        assert_eq!((waited, values?), (false, vec![]));
        Ok(())
    })
    .unwrap();
}

/// GATHER-04: the first failure cancels the others, which may have borrowed, and is passed on when they have ended.
#[test]
fn the_first_failure_cancels_the_others() {
    let log = Log::default();
    sim(|| {
        let start = now();
        let error = gather([1, 5], |n| {
            if n == 1 {
                sleep(secs(1))?;
                return fail("one");
            }
            let result = after(n);
            shield(secs(9), || sleep(secs(2)))?;
            log.say(result.is_err());
            result
        })
        .unwrap_err();
        assert_eq!((error.to_string().as_str(), since(start)), ("one", 3.0));
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "true");
}

/// GATHER-05: with all outcomes collected, values and errors come in the order of the arguments, when all have ended.
#[test]
fn all_outcomes_come_in_the_order_of_the_arguments() {
    sim(|| {
        let start = now();
        let all = gather_all([3, 0, 2], |n| if n == 0 { fail("none") } else { after(n) })?;
        let texts: Vec<_> = all.iter().map(|r| r.as_ref().map_err(ToString::to_string).copied()).collect();
        assert_eq!((texts, since(start)), (vec![Ok(3), Err("none".to_owned()), Ok(2)], 3.0));
        let (a, b) = gather_all!(fail("first"), after(1))?;
        assert_eq!((a.unwrap_err().to_string().as_str(), b?), ("first", 1));
        Ok(())
    })
    .unwrap();
}

/// Cancels the newest task in a second.
fn cancel_the_newest() {
    corio::call_later(secs(1), || assert!(all_tasks().iter().max_by_key(|task| task.id()).unwrap().cancel()));
}

/// GATHER-06: a call that somebody else cancels makes the gathering fail with that, but cancels nobody: the others run on,
/// and the caller was not asked to end.
#[test]
fn a_call_that_is_cancelled_alone_cancels_nobody() {
    let log = Log::default();
    sim(|| {
        cancel_the_newest();
        let error = gather([2, 60], |n| {
            let result = after(n);
            log.say(format_args!("{n}:{}", result.is_ok()));
            result
        })
        .unwrap_err();
        assert!(is_cancelled(&error));
        assert_eq!((current().cancelling(), cancel_cause()), (0, None));
        yield_now()
    })
    .unwrap();
    assert_eq!(log.take(), "60:false 2:true");
}

/// GATHER-07: with all outcomes collected, that cancellation is one of them.
#[test]
fn a_call_that_is_cancelled_alone_is_one_of_the_outcomes() {
    sim(|| {
        cancel_the_newest();
        let all = gather_all([2, 60], after)?;
        assert!(all[0].is_ok() && is_cancelled(all[1].as_ref().unwrap_err()));
        // Also one that is cancelled before it has begun.
        call_soon(|| ());
        let first = spawn(|| {
            all_tasks().iter().max_by_key(|task| task.id()).unwrap().cancel();
            Ok(())
        });
        let all = gather_all([1, 2], after)?;
        assert!(all[0].is_ok() && is_cancelled(all[1].as_ref().unwrap_err()), "{all:?}");
        first.join()
    })
    .unwrap();
}

/// GATHER-08: cancelling the caller cancels all calls; it goes on when all of them have ended.
#[test]
fn cancelling_the_caller_cancels_all_calls() {
    let log = Log::default();
    sim(|| {
        let start = now();
        let l = log.clone();
        let caller = spawn(move || {
            let result = gather([1, 2], |n| {
                let result = after(60);
                shield(secs(9), || sleep(secs(n)))?;
                l.say(n);
                result
            });
            l.say(format_args!("caller@{}", since(start)));
            result
        });
        sleep(secs(1))?;
        caller.cancel();
        assert!(is_cancelled(&caller.join().unwrap_err()));
        Ok(())
    })
    .unwrap();
    assert_eq!(log.take(), "1 2 caller@3");
}

/// GATHER-09 and GATHER-10: a cancelled caller waits for all calls; if any was cut short, it gets the cancellation and not
/// the list. If all of them have their values in spite of it, those are its values, and the cancel is met at the next call.
#[test]
fn a_cancelled_caller_gets_the_cancellation_unless_all_succeeded() {
    sim(|| {
        for succeed in [false, true] {
            let start = now();
            let caller = spawn(move || {
                let result = gather_all([1, 2], |n| {
                    let result = after(60);
                    shield(secs(9), || sleep(secs(n)))?;
                    if succeed { Ok(n) } else { result }
                });
                assert_eq!((since(start), current().cancelling()), (3.0, 1));
                assert!(yield_now().is_err());
                result.map(|all| all.len())
            });
            sleep(secs(1))?;
            caller.cancel();
            match caller.join() {
                Ok(n) => assert!(succeed && n == 2),
                Err(error) => assert!(!succeed && is_cancelled(&error)),
            }
            let swallowed = spawn(|| gather([1, 2], |n| Ok(after(60).unwrap_or(n))));
            yield_now()?;
            yield_now()?;
            swallowed.cancel();
            assert_eq!(swallowed.join()?, [1, 2]);
        }
        Ok(())
    })
    .unwrap();
}

/// GATHER-12: a shield around a gathering leaves the calls alone; gathering waits for tasks, cancelled, ends the waits and
/// leaves the tasks alone.
#[test]
fn shields_around_and_inside_a_gathering() {
    sim(|| {
        let around = spawn(|| {
            let values = shield(secs(60), || gather([1, 2], after))?;
            assert!(yield_now().is_err());
            Ok(values)
        });
        yield_now()?;
        yield_now()?;
        around.cancel();
        assert_eq!(around.join()?, [1, 2]);

        let tasks = [5, 6].map(|n| spawn(move || after(n)));
        let watched = tasks.each_ref().map(|task| task.task());
        let inside = spawn(move || gather(watched, |task| task.wait()));
        yield_now()?;
        yield_now()?;
        inside.cancel();
        assert!(is_cancelled(&inside.join().unwrap_err()));
        let [a, b] = tasks;
        assert_eq!((a.cancelling(), a.join()?, b.join()?), (0, 5, 6));
        Ok(())
    })
    .unwrap();
}

/// GATHER-04: tasks that borrow nothing run on after the first failure, which is passed on at once; a later failure of
/// theirs is logged, because nobody takes it.
#[test]
fn joined_tasks_run_on_after_the_first_failure() {
    let ((), lines) = logged(|| {
        sim(|| {
            let start = now();
            let later = spawn(|| {
                sleep(secs(5))?;
                fail("later")
            });
            let watched = later.task();
            let tasks = [spawn(|| after(1)), later, spawn(|| fail("first"))];
            assert_eq!(join_all(tasks).unwrap_err().to_string(), "first");
            assert_eq!(since(start), 0.0);
            watched.wait()?;
            assert_eq!((since(start), watched.cancelled()), (5.0, false));
            Ok(())
        })
        .unwrap();
    });
    only(&lines, "ERROR", &["nobody joined it", "later"]);
}

/// EAGER-05: tasks that have ended in their eager start are joined without a pause; so is the failure of one.
#[test]
fn what_ended_eagerly_is_joined_at_once() {
    sim(|| {
        let eager = |n| Builder::new().eager().spawn(move || if n == 9 { fail("nine") } else { Ok(n) });
        let (waited, values) = paused(|| join_all([eager(1)?, eager(2)?]));
        assert_eq!((waited, values?), (false, vec![1, 2]));
        let (waited, error) = paused(|| join_all([eager(1)?, eager(9)?]));
        assert_eq!((waited, error.unwrap_err().to_string().as_str()), (false, "nine"));
        Ok(())
    })
    .unwrap();
}

// ---- wait --------------------------------------------------------------------------------------------------------------

fn ids<T>(tasks: &[JoinHandle<T>]) -> Vec<u64> {
    tasks.iter().map(|task| task.id()).collect()
}

/// WAIT-01: waiting for all gives all, and leaves none; that some have failed is no error.
#[test]
fn waiting_for_all_gives_all() {
    sim(|| {
        let start = now();
        let mut tasks = vec![spawn(|| after(2)), spawn(|| fail("no")), spawn(|| after(1))];
        let all = ids(&tasks);
        let done = wait(&mut tasks, Until::AllCompleted)?;
        assert_eq!((ids(&done), tasks.len(), since(start)), (all, 0, 2.0));
        let results: Vec<_> = done.into_iter().map(|task| task.join().is_ok()).collect();
        assert_eq!(results, [true, false, true]);
        Ok(())
    })
    .unwrap();
}

/// WAIT-02: to wait for nothing is an error. What is no handle, and a condition that there is not, does not compile.
#[test]
fn waiting_for_nothing_is_an_error() {
    sim(|| {
        for until in [Until::FirstCompleted, Until::FirstError, Until::AllCompleted] {
            let error = wait(&mut Vec::<Task>::new(), until).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        Ok(())
    })
    .unwrap();
}

/// WAIT-03 and WAIT-04: waiting for the first gives what is done when it goes on: also a second that has ended in the same
/// turn. The others are pending, and nobody has touched them.
#[test]
fn waiting_for_the_first_gives_all_of_its_turn() {
    sim(|| {
        let start = now();
        let mut tasks: Vec<_> = [2, 1, 3, 1].map(|n| spawn(move || after(n))).into();
        let all = ids(&tasks);
        let done = wait(&mut tasks, Until::FirstCompleted)?;
        assert_eq!((ids(&done), ids(&tasks), since(start)), (vec![all[1], all[3]], vec![all[0], all[2]], 1.0));
        assert!(tasks.iter().all(|task| task.cancelling() == 0 && !task.is_done()));
        assert_eq!(join_all(tasks)?, [2, 3]);
        Ok(())
    })
    .unwrap();
}

/// WAIT-05: a task that is cancelled is not the first error.
#[test]
fn a_cancelled_task_is_no_first_error() {
    sim(|| {
        let start = now();
        let mut tasks = vec![
            spawn(|| after(60)),
            spawn(|| {
                sleep(secs(2))?;
                fail("two")
            }),
            spawn(|| after(3)),
        ];
        let all = ids(&tasks);
        let victim = tasks[0].task();
        corio::call_later(secs(1), move || assert!(victim.cancel()));
        let done = wait(&mut tasks, Until::FirstError)?;
        assert_eq!((ids(&done), since(start)), (vec![all[0], all[1]], 2.0));
        assert_eq!(wait(&mut tasks, Until::FirstError)?.len(), 1, "without an error: when all are done");
        Ok(())
    })
    .unwrap();
}

/// WAIT-06 and WAIT-07: when the time is up, what is done is given, and that is no error; nothing is cancelled. With no
/// time at all it only looks.
#[test]
fn a_wait_with_a_limit_gives_what_is_done() {
    sim(|| {
        let start = now();
        let mut tasks: Vec<_> = [1, 5].map(|n| spawn(move || after(n))).into();
        let (waited, none) = paused(|| wait_timeout(&mut tasks, Until::AllCompleted, secs(0)));
        assert_eq!((waited, none?.len()), (false, 0));
        let done = wait_timeout(&mut tasks, Until::AllCompleted, secs(2))?;
        assert_eq!((done.len(), tasks.len(), since(start)), (1, 1, 2.0));
        assert_eq!((tasks[0].cancelling(), join_all(tasks)?), (0, vec![5]));
        Ok(())
    })
    .unwrap();
}

/// WAIT-08: a waiter that is cancelled is told; the tasks are not cancelled and end, and wake nobody who has gone.
#[test]
fn a_cancelled_wait_leaves_the_tasks_alone() {
    sim(|| {
        let start = now();
        let tasks = [5, 6].map(|n| spawn(move || after(n)));
        let mut watched: Vec<_> = tasks.iter().map(|task| task.task()).collect();
        let waiter = spawn(move || {
            let result = wait(&mut watched, Until::AllCompleted);
            assert_eq!((watched.len(), current().uncancel()), (2, 0), "no handle is lost");
            sleep(secs(60))?; // the ends of the tasks do not disturb it
            assert_eq!(since(start), 61.0);
            result.map(drop)
        });
        sleep(secs(1))?;
        waiter.cancel();
        for task in tasks {
            assert_eq!(task.cancelling(), 0);
            task.join()?;
        }
        assert_eq!(since(start), 6.0);
        assert!(is_cancelled(&waiter.join().unwrap_err()));
        Ok(())
    })
    .unwrap();
}

// ---- as_completed --------------------------------------------------------------------------------------------------------

/// ASCOMP-01 and ASCOMP-06: the very handles that were passed in come in the order in which their tasks end; an error comes
/// in its turn and ends nothing.
#[test]
fn tasks_come_as_they_end() {
    sim(|| {
        let mut tasks = vec![
            spawn(|| after(3)),
            spawn(|| {
                sleep(secs(1))?;
                fail("one")
            }),
            spawn(|| after(2)),
        ];
        let all = ids(&tasks);
        let (mut order, start) = (Vec::new(), now());
        for task in as_completed(&mut tasks) {
            let task = task?;
            order.push((task.id(), since(start), task.join().is_ok()));
        }
        assert_eq!(order, [(all[1], 1.0, false), (all[2], 2.0, true), (all[0], 3.0, true)]);
        Ok(())
    })
    .unwrap();
}

/// ASCOMP-02 and ASCOMP-03: a limit stands around the iteration: when it is met, the handles that have not come are still
/// there, their tasks are not cancelled, and those that have ended meanwhile come at once in another iteration.
#[test]
fn a_limit_around_the_iteration_leaves_the_rest() {
    sim(|| {
        let mut tasks: Vec<_> = [1, 3, 9].map(|n| spawn(move || after(n))).into();
        let mut seen = Vec::new();
        let result = timeout(secs(2), || {
            for task in as_completed(&mut tasks) {
                seen.push(task?.join()?);
            }
            Ok(())
        });
        assert_eq!((result.unwrap_err().kind(), seen.as_slice(), tasks.len()), (ErrorKind::TimedOut, &[1][..], 2));
        sleep(secs(3))?;
        let (waited, ended) = paused(|| as_completed(&mut tasks).next().unwrap()?.join());
        assert!(waited, "the callbacks of tasks that are done come in the next turn");
        assert_eq!((ended?, tasks.len(), tasks[0].cancelling()), (3, 1, 0));
        assert_eq!(join_all(tasks)?, [9]);
        Ok(())
    })
    .unwrap();
}

/// ASCOMP-04: a limit that was not met leaves no timer when the last task has come.
#[test]
fn a_limit_that_was_not_met_leaves_no_timer() {
    let log = Log::default();
    let l = log.clone();
    let error = runner()
        .run(move || {
            let start = now();
            let mut tasks: Vec<_> = [2, 1].map(|n| spawn(move || after(n))).into();
            timeout(secs(3_600), || as_completed(&mut tasks).try_for_each(|task| task?.join().map(drop)))?;
            let main = current();
            spawn(move || main.wait().inspect_err(|_| l.say(since(start)))).join()
        })
        .unwrap_err();
    assert_eq!((error.kind(), log.take().as_str()), (ErrorKind::Deadlock, "2"), "found at once");
}

/// ASCOMP-07: of no tasks none comes.
#[test]
fn of_no_tasks_none_comes() {
    sim(|| {
        assert!(as_completed(&mut Vec::<Task>::new()).next().is_none());
        Ok(())
    })
    .unwrap();
}
