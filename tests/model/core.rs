//! Tasks, scopes, limits, shields, joins: programs that start, end and cancel each other.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use corio::testing::{self, Random};
use corio::{
    CancelScope, JoinHandle, Outcome, Task, cancel_cause, current, is_cancelled, millis, now, scope, shield, sleep,
    spawn, yield_now,
};

use super::{SCHEDULES, moment};

#[test]
fn programs_of_tasks_and_scopes() {
    testing::explore(4 * SCHEDULES, program);
}

/// The payload of a panic on purpose.
struct Boom;

struct World {
    random: Random,
    /// How many operations are left to do.
    left: Cell<u32>,
    tasks: RefCell<Vec<Task>>,
    detached: RefCell<Vec<(JoinHandle<u64>, Rc<Report>)>>,
    regions: RefCell<Vec<Rc<CancelScope>>>,
}

/// What a task knows of its own end.
#[derive(Default)]
struct Report {
    begun: Cell<u32>,
    ended: Cell<u32>,
    /// What its function is about to return, if it returns.
    returns: Cell<Option<Result<u64, ()>>>,
    done: Cell<u32>,
}

pub(super) fn program(random: &Random) -> io::Result<()> {
    let world = Rc::new(World {
        random: random.clone(),
        left: Cell::new(60),
        tasks: RefCell::default(),
        detached: RefCell::default(),
        regions: RefCell::default(),
    });
    for _ in 0..random.range(1..=3) {
        detach(&world, 3);
    }
    while world.left.get() > 0 && random.below(8) > 0 {
        sleep(moment(random))?;
        cancel_somebody(&world);
    }
    loop {
        let next = world.detached.borrow_mut().pop();
        let Some((handle, report)) = next else { break };
        finish(handle, &report);
    }
    Ok(())
}

/// Waits for the end of a task, and compares what it says with what the task knew.
fn finish(handle: JoinHandle<u64>, report: &Report) {
    let task = handle.task();
    let outcome = handle.outcome();
    assert!(task.is_done());
    assert_eq!(report.begun.get(), report.ended.get(), "it ends as often as it begins");
    assert!(report.begun.get() <= 1);
    match (outcome, report.returns.get()) {
        (Outcome::Returned(value), Some(Ok(token))) => assert_eq!(value, token),
        (Outcome::Failed(_) | Outcome::Cancelled(_), Some(Err(()))) => {}
        (Outcome::Panicked(payload), None) => is_boom(payload),
        (Outcome::Cancelled(error), None) => assert!(report.begun.get() == 0 && is_cancelled(&error)),
        (outcome, returns) => panic!("it returned {returns:?}, and its handle says {outcome:?}"),
    }
}

fn is_boom(payload: Box<dyn Any + Send>) {
    if !payload.is::<Boom>() {
        resume_unwind(payload);
    }
}

/// The function of a task: some operations, and notes of its begin and its end.
fn body(
    world: &World,
    report: &Report,
    depth: u32,
    act: impl FnOnce(&World, u32) -> io::Result<()>,
) -> io::Result<u64> {
    struct Ended<'a>(&'a Report);
    impl Drop for Ended<'_> {
        fn drop(&mut self) {
            self.0.ended.set(self.0.ended.get() + 1);
        }
    }
    report.begun.set(report.begun.get() + 1);
    let _ended = Ended(report);
    let token = world.random.next_u64();
    let result = act(world, depth);
    assert_eq!(report.returns.replace(Some(result.as_ref().map(|()| token).map_err(|_| ()))), None);
    result.map(|()| token)
}

fn detach(world: &Rc<World>, depth: u32) {
    let report = Rc::new(Report::default());
    let (inside, own) = (world.clone(), report.clone());
    let handle = spawn(move || body(&inside, &own, depth, acts));
    let own = report.clone();
    handle.on_done(move |task| {
        assert!(task.is_done());
        own.done.set(own.done.get() + 1);
        assert_eq!(own.done.get(), 1);
    });
    world.tasks.borrow_mut().push(handle.task());
    world.detached.borrow_mut().push((handle, report));
}

fn cancel_somebody(world: &World) {
    let random = &world.random;
    if random.one_in(2) {
        let tasks = world.tasks.borrow();
        if !tasks.is_empty() {
            let task = random.pick(&tasks).clone();
            drop(tasks);
            assert_eq!(task.cancel(), !task.is_done());
        }
    } else {
        let regions = world.regions.borrow();
        if !regions.is_empty() {
            let region = random.pick(&regions).clone();
            drop(regions);
            region.cancel();
            assert!(region.cancelled());
        }
    }
}

/// A call that waits and does nothing else: it fails if, and only if, the scope is cancelled.
fn leaf(call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let doomed = cancel_cause().is_some();
    let result = call();
    match &result {
        Ok(()) => assert!(!doomed, "in a cancelled scope every call fails"),
        Err(error) => assert!(is_cancelled(error) && cancel_cause().is_some(), "{error}, but nobody cancelled it"),
    }
    result
}

fn nap(random: &Random) -> io::Result<()> {
    let (start, d) = (now(), moment(random));
    let result = leaf(|| sleep(d));
    match &result {
        Ok(()) => assert_eq!(now() - start, d, "time stands still while anybody can run"),
        Err(_) => assert!(now() - start <= d),
    }
    result
}

/// Some operations, one after the other. The first failure ends them, most often.
fn acts(world: &World, depth: u32) -> io::Result<()> {
    let random = &world.random;
    for _ in 0..random.range(1..=4) {
        let left = world.left.get();
        if left == 0 {
            return Ok(());
        }
        world.left.set(left - 1);
        // Now and then the failure is ignored: then each call must go on failing, and others must go on.
        if let Err(error) = act(world, depth)
            && random.below(6) > 0
        {
            return Err(error);
        }
    }
    Ok(())
}

fn act(world: &World, depth: u32) -> io::Result<()> {
    let random = &world.random;
    match if depth == 0 { random.below(6) } else { random.below(16) } {
        0 | 1 => {
            let result = leaf(yield_now);
            assert_eq!(
                result.is_err(),
                cancel_cause().is_some(),
                "also if it was cancelled while it waited for its turn"
            );
            result
        }
        2 | 3 => nap(random),
        4 => {
            cancel_somebody(world);
            Ok(())
        }
        5 => match random.below(12) {
            0 => Err(io::Error::other("a failure")),
            1 => resume_unwind(Box::new(Boom)),
            2 => {
                assert!(current().cancel());
                Ok(())
            }
            3 => {
                let me = current();
                if me.cancelling() > 0 {
                    let before = me.cancelling();
                    assert_eq!(me.uncancel(), before - 1);
                }
                Ok(())
            }
            _ => Ok(()),
        },
        6..=8 => limited(world, depth - 1),
        9 | 10 => shielded(world, depth - 1),
        11..=13 => grouped(world, depth - 1),
        14 => join_one(world),
        _ => {
            // A destructor that waits, perhaps while it unwinds.
            struct Waits<'a>(&'a Random);
            impl Drop for Waits<'_> {
                fn drop(&mut self) {
                    let refused = std::thread::panicking();
                    let result = sleep(moment(self.0));
                    assert!(!refused || result.is_err(), "nothing switches while the thread panics");
                }
            }
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let _waits = Waits(random);
                acts(world, depth - 1)
            }));
            caught.unwrap_or_else(|payload| {
                is_boom(payload);
                Ok(())
            })
        }
    }
}

fn limited(world: &World, depth: u32) -> io::Result<()> {
    let random = &world.random;
    let (start, d) = (now(), moment(random));
    let has_limit = random.one_in(2);
    let region = Rc::new(if has_limit { CancelScope::after(d) } else { CancelScope::new() });
    world.regions.borrow_mut().push(region.clone());
    let result = catch_unwind(AssertUnwindSafe(|| {
        region.run(|| {
            let result = acts(world, depth);
            assert!(!region.cancelled() || cancel_cause().is_some());
            result
        })
    }));
    world.regions.borrow_mut().retain(|other| !Rc::ptr_eq(other, &region));
    let passed = now() - start;
    if region.expired() {
        assert!(has_limit && passed >= d, "a limit is not met early");
    } else if !region.cancelled() {
        assert!(!has_limit || passed <= d, "a limit is met");
    }
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

fn shielded(world: &World, depth: u32) -> io::Result<()> {
    let random = &world.random;
    let limit = millis(random.range(1..=5));
    shield(limit, || {
        assert!(cancel_cause().is_none(), "nothing from outside comes in");
        let (start, d) = (now(), moment(random).min(limit - millis(1)));
        // Neither this task can be cancelled nor one that it starts in here.
        scope(|s| {
            let child = s.spawn(|| sleep(d));
            sleep(d)?;
            child.join()
        })?;
        assert_eq!(now() - start, d);
        Ok(())
    })
    .expect("a shield that holds");
    shield(limit, || acts(world, depth))
}

fn grouped(world: &World, depth: u32) -> io::Result<()> {
    struct Alive<'a>(&'a Cell<u32>);
    impl Drop for Alive<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    let random = &world.random;
    let (alive, reports) = (Cell::new(0), RefCell::new(Vec::new()));
    let (alive, reports) = (&alive, &reports);
    let result = catch_unwind(AssertUnwindSafe(|| {
        scope(|s| {
            let mut handles = Vec::new();
            for _ in 0..random.below(4) {
                let report = Rc::new(Report::default());
                reports.borrow_mut().push(report.clone());
                alive.set(alive.get() + 1);
                let guard = Alive(alive);
                let handle = s.spawn(move || {
                    let _guard = guard;
                    body(world, &report, depth, acts)
                });
                world.tasks.borrow_mut().push(handle.task());
                handles.push(handle);
            }
            acts(world, depth)?;
            for handle in handles {
                match random.below(4) {
                    0 => drop(handle),
                    1 => drop(handle.join()?),
                    2 => drop(handle.cancel()),
                    _ => drop(handle.outcome()),
                }
            }
            if random.one_in(6) {
                s.cancel();
            }
            if random.one_in(4) {
                s.wait()?;
                assert!(s.is_empty());
            }
            Ok(())
        })
    }));
    assert_eq!(alive.get(), 0, "no child outlives its scope");
    for report in reports.borrow().iter() {
        assert_eq!(report.begun.get(), report.ended.get());
    }
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

/// Joins a detached task that is younger than this one: so nobody waits in a circle.
fn join_one(world: &World) -> io::Result<()> {
    let me = current().id();
    let found = {
        let mut detached = world.detached.borrow_mut();
        let young = detached.iter().position(|(handle, _)| handle.id() > me);
        young.map(|place| detached.swap_remove(place))
    };
    if let Some((handle, report)) = found {
        finish(handle, &report);
    }
    Ok(())
}
