//! Several functions, several tasks: all of them, some of them, the first.

use std::cell::{Cell, RefCell};
use std::io;

use corio::*;

fn run_virtual<R: IntoResult>(main: impl FnOnce() -> R) -> io::Result<R::Value> {
    Runner::new().virtual_clock().run(main)
}

fn after_secs(n: u64) -> io::Result<u64> {
    sleep(secs(n))?;
    Ok(n)
}

fn failing_after(n: u64) -> io::Result<u64> {
    sleep(secs(n))?;
    Err(io::Error::other(format!("failed after {n}")))
}

#[test]
fn gather_01_gather_02_values_stand_in_the_order_of_the_arguments() {
    run_virtual(|| {
        let start = now();
        assert_eq!(gather([3, 1, 2], after_secs)?, [3, 1, 2]);
        assert_eq!(now() - start, secs(3));
        assert!(gather(Vec::<u64>::new(), after_secs)?.is_empty());
        assert_eq!(gather!(after_secs(2), Ok("text"), after_secs(1))?, (2, "text", 1));
        Ok(())
    })
    .unwrap();
}

#[test]
fn gather_04_the_first_failure_cancels_the_others_because_they_borrow() {
    run_virtual(|| {
        let (start, cancelled) = (now(), Cell::new(0));
        let error = gather([5, 1, 9], |n| {
            if n == 1 {
                return failing_after(n);
            }
            after_secs(n).inspect_err(|e| cancelled.set(cancelled.get() + u32::from(is_cancelled(e))))
        })
        .unwrap_err();
        assert_eq!(error.to_string(), "failed after 1");
        assert_eq!((now() - start, cancelled.get()), (secs(1), 2));
        Ok(())
    })
    .unwrap();
}

#[test]
fn gather_05_gather_07_collecting_takes_values_and_errors() {
    run_virtual(|| {
        let all = gather_all([2, 1], |n| if n == 1 { failing_after(n) } else { after_secs(n) })?;
        assert_eq!(*all[0].as_ref().unwrap(), 2);
        assert_eq!(all[1].as_ref().unwrap_err().to_string(), "failed after 1");
        let (a, b) = gather_all!(after_secs(1), failing_after(2))?;
        assert!(a.is_ok() && b.is_err());
        Ok(())
    })
    .unwrap();
}

#[test]
fn gather_08_gather_09_cancelling_the_caller_cancels_all_and_waits_for_them() {
    run_virtual(|| {
        let ended = std::rc::Rc::new(Cell::new(0));
        let seen = ended.clone();
        let task = spawn(move || {
            gather_all([5, 6], |n| {
                let result = after_secs(n);
                seen.set(seen.get() + 1);
                result
            })
        });
        sleep(secs(1))?;
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()));
        assert_eq!(ended.get(), 2);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_race_has_one_winner_and_waits_for_the_losers() {
    run_virtual(|| {
        let ends = RefCell::new(Vec::new());
        let winner = race([3, 1, 2], |n| {
            let result = after_secs(n);
            ends.borrow_mut().push((n, result.is_ok()));
            result
        })?;
        assert_eq!(winner, 1);
        assert_eq!(*ends.borrow(), [(1, true), (3, false), (2, false)]);
        assert_eq!(race!(failing_after(1), after_secs(2))?, 2, "who fails is out of the race");
        let error = race([1, 2], failing_after).unwrap_err();
        assert_eq!(errors(&error).count(), 2);
        assert_eq!(race(Vec::<u64>::new(), after_secs).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_panic_in_one_goes_on_when_the_others_have_ended() {
    let ended = Cell::new(false);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run_virtual(|| {
            gather!(
                after_secs(9).inspect_err(|_| ended.set(true)),
                if now().elapsed() < secs(99) { panic!("on purpose") } else { Ok(()) }
            )
        })
    }));
    assert!(caught.is_err() && ended.get());
}

#[test]
fn wait_03_wait_04_the_first_and_all_that_end_in_its_turn() {
    run_virtual(|| {
        let mut tasks: Vec<_> = [2, 1, 1, 3].map(|n| spawn(move || after_secs(n))).into();
        let done = wait(&mut tasks, Until::FirstCompleted)?;
        assert_eq!((done.len(), tasks.len()), (2, 2));
        assert_eq!(join_all(tasks)?, [2, 3]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn wait_01_wait_02_wait_05_all_and_the_first_error() {
    run_virtual(|| {
        let mut tasks = vec![spawn(|| after_secs(1)), spawn(|| failing_after(2)), spawn(|| after_secs(3))];
        tasks[0].cancel(); // no failure
        let done = wait(&mut tasks, Until::FirstError)?;
        assert_eq!((done.len(), tasks.len()), (2, 1));
        assert_eq!(wait(&mut tasks, Until::AllCompleted)?.len(), 1);
        assert_eq!(wait(&mut tasks, Until::AllCompleted).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        Ok(())
    })
    .unwrap();
}

#[test]
fn wait_06_wait_07_a_limit_is_no_error_and_cancels_nobody() {
    run_virtual(|| {
        let mut tasks = vec![spawn(|| after_secs(1)), spawn(|| after_secs(5))];
        assert!(wait_timeout(&mut tasks, Until::AllCompleted, secs(0))?.is_empty());
        let done = wait_timeout(&mut tasks, Until::AllCompleted, secs(2))?;
        assert_eq!((done.len(), tasks.len()), (1, 1));
        assert_eq!(tasks[0].cancelling(), 0);
        assert_eq!(join_all(tasks)?, [5]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn wait_08_a_cancelled_wait_leaves_the_tasks_alone() {
    run_virtual(|| {
        let slow = spawn(|| after_secs(5));
        let watched = slow.task();
        let waiter = spawn(move || wait(&mut vec![watched], Until::AllCompleted).map(|done| done.len()));
        sleep(secs(1))?;
        waiter.cancel();
        assert!(is_cancelled(&waiter.join().unwrap_err()));
        assert_eq!(slow.cancelling(), 0);
        assert_eq!(slow.join()?, 5);
        Ok(())
    })
    .unwrap();
}

#[test]
fn ascomp_01_ascomp_06_ascomp_07_tasks_come_in_the_order_of_their_ends() {
    run_virtual(|| {
        let mut tasks = vec![spawn(|| after_secs(3)), spawn(|| failing_after(1)), spawn(|| after_secs(2))];
        let ids: Vec<u64> = tasks.iter().map(|task| task.id()).collect();
        let mut order = Vec::new();
        for task in as_completed(&mut tasks) {
            let task = task?;
            order.push((task.id(), task.join().is_ok()));
        }
        assert_eq!(order, [(ids[1], false), (ids[2], true), (ids[0], true)]);
        assert!(tasks.is_empty());
        assert!(as_completed(&mut tasks).next().is_none());
        Ok(())
    })
    .unwrap();
}

#[test]
fn ascomp_02_a_limit_around_the_iteration_leaves_the_rest_in_the_vector() {
    run_virtual(|| {
        let mut tasks = vec![spawn(|| after_secs(1)), spawn(|| after_secs(9))];
        let result = timeout(secs(3), || {
            for task in as_completed(&mut tasks) {
                task?.join()?;
            }
            Ok(())
        });
        assert!(is_timed_out(&result.unwrap_err()));
        assert_eq!(tasks.len(), 1);
        assert_eq!(tasks[0].cancelling(), 0);
        assert_eq!(join_all(tasks)?, [9]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn join_all_passes_the_first_failure_on_at_once_and_lets_the_others_run() {
    run_virtual(|| {
        let start = now();
        let slow = spawn(|| after_secs(9));
        let watched = slow.task();
        assert!(join_all([slow, spawn(|| failing_after(1))]).is_err());
        assert_eq!(now() - start, secs(1));
        watched.wait()?;
        assert!(!watched.cancelled());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_cancelled_join_all_cancels_all_and_waits_for_them() {
    run_virtual(|| {
        let tasks: Vec<_> = (5..8).map(|n| spawn(move || after_secs(n))).collect();
        let watched: Vec<Task> = tasks.iter().map(|task| task.task()).collect();
        let joiner = spawn(move || join_all(tasks).map(drop));
        sleep(secs(1))?;
        joiner.cancel();
        assert!(is_cancelled(&joiner.join().unwrap_err()));
        assert!(watched.iter().all(Task::cancelled));
        Ok(())
    })
    .unwrap();
}

#[test]
fn typed_forms_keep_errors_of_ones_own() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "looked at by Debug")]
    enum Error {
        Io(io::Error),
        Number(std::num::ParseIntError),
    }
    impl From<io::Error> for Error {
        fn from(e: io::Error) -> Error {
            Error::Io(e)
        }
    }
    impl From<std::num::ParseIntError> for Error {
        fn from(e: std::num::ParseIntError) -> Error {
            Error::Number(e)
        }
    }
    fn parse(text: &str) -> Result<u32, Error> {
        yield_now()?;
        Ok(text.parse()?)
    }
    fn program() -> Result<(), Error> {
        use corio::typed::{gather, gather_all, race, run};
        run(|| {
            assert_eq!(gather(["1", "2"], parse)?, [1, 2]);
            assert_eq!(gather!(parse("1"), parse("2"))?, (1, 2));
            assert!(matches!(gather(["1", "x"], parse), Err(Error::Number(_))));
            assert_eq!(gather_all(["x", "2"], parse)?.iter().filter(|r| r.is_ok()).count(), 1);
            assert!(gather_all!(parse("x"), parse("2"))?.0.is_err());
            assert_eq!(race(["x", "2"], parse)?, 2);
            assert_eq!(race!(parse("x"), parse("2"))?, 2);
            Ok::<_, Error>(())
        })
    }
    program().unwrap();
}

/// A cancellation that comes between a wake-up and the turn it leads to is met, and not slept over.
#[test]
fn wait_08_a_cancellation_that_meets_another_end_is_not_lost() {
    run_virtual(|| {
        for until in [Until::AllCompleted, Until::FirstError] {
            let start = now();
            let (gate, slow) = (std::rc::Rc::new(Event::new()), spawn(|| after_secs(1000)));
            let opened = gate.clone();
            let first = spawn(move || opened.wait());
            let mut watched = vec![first.task(), slow.task()];
            let waiter = spawn(move || wait(&mut watched, until).map(|done| done.len()));
            let task = waiter.task();
            sleep(secs(1))?;
            gate.set(); // the first ends, which wakes the waiter
            spawn(move || {
                task.cancel(); // it is ready, and has not run
            });
            assert!(is_cancelled(&waiter.join().unwrap_err()));
            assert_eq!(now() - start, secs(1));
            slow.cancel();
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_task_may_stand_in_the_vector_more_than_once() {
    run_virtual(|| {
        let handles = [spawn(|| after_secs(2)), spawn(|| after_secs(1))];
        let twice = || vec![handles[0].task(), handles[1].task(), handles[0].task(), handles[1].task()];
        let mut tasks = twice();
        assert_eq!(wait(&mut tasks, Until::FirstCompleted)?.len(), 2);
        assert_eq!(wait(&mut tasks, Until::AllCompleted)?.len(), 2);
        let mut tasks = twice();
        let order = as_completed(&mut tasks).map(|task| Ok(task?.id())).collect::<io::Result<Vec<_>>>()?;
        assert_eq!(order.len(), 4);
        Ok(())
    })
    .unwrap();
}

#[test]
fn tasks_of_an_earlier_run_are_not_mistaken_for_those_of_this_one() {
    let old = run_virtual(|| {
        let task = spawn(|| Ok(())).task();
        task.wait()?;
        Ok(task)
    })
    .unwrap();
    run_virtual(|| {
        let new = spawn(|| after_secs(1));
        assert_eq!(new.id(), old.id());
        let mut tasks = vec![new.task(), old.clone()];
        for task in as_completed(&mut tasks) {
            assert!(task?.is_done());
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn whoever_would_wait_for_itself_is_told() {
    run_virtual(|| {
        let owner = current();
        scope(|s| {
            s.spawn(|| {
                for task in [owner.clone(), current()] {
                    let mut circle = vec![task];
                    let kind = |error: io::Error| error.kind();
                    assert_eq!(
                        wait(&mut circle, Until::FirstCompleted).map(drop).map_err(kind),
                        Err(io::ErrorKind::Deadlock)
                    );
                    let mut all = as_completed(&mut circle);
                    assert_eq!(all.next().unwrap().map(drop).map_err(kind), Err(io::ErrorKind::Deadlock));
                    assert!(all.next().is_none());
                    assert_eq!(circle.len(), 1);
                }
                Ok(())
            });
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn a_cancelled_join_all_waits_for_all_also_if_one_of_them_panics() {
    run_virtual(|| {
        let causes = std::rc::Rc::new(RefCell::new(Vec::new()));
        let slow = |n: u64| {
            let causes = causes.clone();
            spawn(move || {
                let met = sleep(secs(100));
                causes.borrow_mut().push(cancel_cause());
                shield(secs(9), || sleep(secs(n)))?;
                if n == 1 { panic!("on purpose") } else { met }
            })
        };
        let tasks = [slow(1), slow(5)];
        let watched: Vec<Task> = tasks.iter().map(|task| task.task()).collect();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| timeout(secs(1), || join_all(tasks))));
        assert!(caught.is_err());
        assert!(watched.iter().all(Task::is_done));
        assert_eq!(watched.iter().map(Task::cancelling).collect::<Vec<_>>(), [1, 1], "each was asked once");
        assert_eq!(*causes.borrow(), [Some(Cause::Deadline), Some(Cause::Deadline)]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_race_of_which_none_could_begin_was_cancelled() {
    run_virtual(|| {
        let racer = spawn(|| race([1, 2], after_secs));
        spawn(|| {
            for child in &all_tasks()[3..] {
                child.cancel(); // behind the main task, the racer and this one
            }
        });
        assert!(is_cancelled(&racer.join().unwrap_err()));
        Ok(())
    })
    .unwrap();
}
