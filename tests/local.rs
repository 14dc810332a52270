//! Values that belong to a task.
//!
//! `CTX-..`, `RUNNER-..` and `EAGER-..` are behaviours of asyncio's `contextvars`.

mod common;

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::thread;

use common::{Finally, Log, logged, only, panic_of, runner, sim};
use corio::{
    Generator, LocalToken, LoopHandle, Promise, Runner, TaskLocal, call_later, call_soon, run, scope, secs, sleep,
    spawn, yield_now,
};

static NUMBER: TaskLocal<u32> = TaskLocal::new();
static NAME: TaskLocal<String> = TaskLocal::new();

#[test]
fn ctx_01_tasks_callbacks_and_done_callbacks_see_what_was_set_when_they_were_made() {
    let log = Log::default();
    sim(|| {
        let say = |what: &'static str| {
            let log = log.clone();
            move || log.say(format!("{what} {:?}", NUMBER.get()))
        };
        let nothing_yet = say("before");
        call_soon(nothing_yet);
        NUMBER.set(1);
        let (task, soon, later) = (say("task"), say("soon"), say("later"));
        let task = spawn(task);
        let done = say("done");
        task.on_done(move |_| done());
        call_soon(soon);
        call_later(secs(1), later);
        NUMBER.set(2);
        task.join()?;
        let done = say("done later");
        task_that_is_done()?.on_done(move |_| done());
        sleep(secs(2))
    })
    .unwrap();
    assert_eq!(log.take(), "before None task Some(1) soon Some(1) done Some(1) done later Some(2) later Some(1)");

    fn task_that_is_done() -> std::io::Result<corio::Task> {
        let task = spawn(|| ());
        task.wait()?;
        Ok(task.task())
    }
}

#[test]
fn ctx_02_a_value_survives_waits_and_siblings_do_not_see_it() {
    sim(|| {
        scope(|s| {
            for n in 0..10 {
                s.spawn(move || {
                    assert_eq!(NUMBER.get(), None);
                    NUMBER.set(n);
                    for _ in 0..5 {
                        yield_now()?;
                        sleep(secs(u64::from(n)))?;
                        assert_eq!(NUMBER.get(), Some(n));
                    }
                    Ok(())
                });
            }
            Ok(())
        })?;
        assert_eq!(NUMBER.get(), None);
        Ok(())
    })
    .unwrap();
}

/// CTX-03: there are no context objects; what is to be shared is a value that can be changed.
#[test]
fn ctx_03_a_shared_value_is_inherited_as_it_is() {
    static COUNTER: TaskLocal<Rc<Cell<u32>>> = TaskLocal::new();
    sim(|| {
        COUNTER.set(Rc::new(Cell::new(0)));
        spawn(|| COUNTER.with(|counter| counter.unwrap().set(5))).join()?;
        assert_eq!(COUNTER.get().unwrap().get(), 5);
        Ok(())
    })
    .unwrap();
}

/// CTX-04: the values need not be `Send`, so another thread sees none of them.
#[test]
fn ctx_04_another_thread_has_values_of_its_own() {
    run(|| {
        NUMBER.set(1);
        let handle = LoopHandle::current()?;
        let heard = thread::spawn(move || {
            let before = NUMBER.get();
            NUMBER.set(2);
            handle.call_soon(|| assert_eq!(NUMBER.get(), None)).unwrap();
            (before, NUMBER.get())
        });
        assert_eq!(heard.join().unwrap(), (None, Some(2)));
        sleep(secs(0))?;
        assert_eq!(NUMBER.get(), Some(1));
        Ok(())
    })
    .unwrap();
}

#[test]
fn ctx_05_the_exception_handler_sees_the_values_of_what_failed() {
    let log = Log::default();
    let heard = log.clone();
    runner()
        .exception_handler(move |failure| heard.say(format!("{} {:?}", failure.text(), NUMBER.get())))
        .run(|| {
            NUMBER.set(1);
            call_soon(|| panic!("callback"));
            NUMBER.set(2);
            spawn(|| -> std::io::Result<()> {
                NUMBER.set(3);
                panic!("task")
            });
            sleep(secs(1))
        })
        .unwrap();
    assert_eq!(log.take(), "callback Some(1) task Some(3)");
}

#[test]
fn ctx_06_the_children_of_a_group_have_their_own_copies() {
    sim(|| {
        NAME.set("parent".into());
        scope(|s| {
            for n in 0..3 {
                s.spawn(move || {
                    assert_eq!(NAME.get().unwrap(), "parent");
                    NAME.set(format!("child {n}"));
                    yield_now()?;
                    let grandchild = spawn(|| Ok(NAME.get()));
                    assert_eq!(grandchild.join()?.unwrap(), format!("child {n}"));
                    Ok(())
                });
            }
            NAME.set("body".into());
            Ok(())
        })?;
        assert_eq!(NAME.get().unwrap(), "body");
        Ok(())
    })
    .unwrap();
}

#[test]
fn ctx_07_a_token_restores_what_was_there_and_only_where_it_was_made() {
    static OTHER: TaskLocal<u32> = TaskLocal::new();
    let refused = |result: std::io::Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
    sim(|| {
        let first = NUMBER.set(1);
        assert_eq!(first.before(), None);
        let second = NUMBER.set(2);
        assert_eq!(second.before(), Some(&1));
        NUMBER.reset(second)?;
        assert_eq!(NUMBER.get(), Some(1));
        refused(OTHER.reset(NUMBER.set(3)));
        assert_eq!(NUMBER.get(), Some(3));
        let token = NUMBER.set(4);
        spawn(move || {
            refused(NUMBER.reset(token));
            assert_eq!(NUMBER.get(), Some(4));
        })
        .join()?;
        // One callback is not the next.
        let token = Rc::new(RefCell::new(None::<LocalToken<u32>>));
        let (set, reset) = (token.clone(), token);
        call_soon(move || {
            set.replace(Some(NUMBER.set(5)));
            let own = NUMBER.set(6);
            NUMBER.reset(own).unwrap();
            assert_eq!(NUMBER.get(), Some(5));
        });
        call_soon(move || {
            assert_eq!(NUMBER.get(), Some(4));
            refused(NUMBER.reset(reset.take().unwrap()));
        });
        yield_now()?;
        assert_eq!(NUMBER.get(), Some(4));
        NUMBER.reset(first)?;
        assert_eq!(NUMBER.get(), None);
        Ok(())
    })
    .unwrap();
}

#[test]
fn with_value_puts_back_what_was_there_also_after_a_panic() {
    sim(|| {
        NUMBER.with_value(1, || {
            let inside = spawn(|| {
                sleep(secs(1))?;
                Ok(NUMBER.get())
            });
            let text = panic_of(|| {
                NUMBER.with_value(2, || {
                    assert_eq!(NUMBER.get(), Some(2));
                    panic!("out of it")
                })
            });
            assert_eq!((text.as_str(), NUMBER.get()), ("out of it", Some(1)));
            sleep(secs(2))?;
            assert_eq!((inside.join()?, NUMBER.get()), (Some(1), Some(1)));
            std::io::Result::Ok(())
        })?;
        assert_eq!(NUMBER.get(), None);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_value_that_is_looked_at_may_be_replaced_meanwhile() {
    sim(|| {
        NAME.set("one".into());
        NAME.with(|name| {
            NAME.set("two".into());
            yield_now()?;
            assert_eq!(name.unwrap(), "one");
            Ok(())
        })
    })
    .unwrap();
}

/// As in Python, the variable belongs to the task that resumes a generator.
#[test]
fn a_generator_sees_the_values_of_the_task_that_resumes_it() {
    sim(|| {
        let mut numbers = Generator::new(|y| {
            NUMBER.with_value(7, || y.yield_(NUMBER.get()))?;
            y.yield_(NUMBER.get())
        });
        NUMBER.set(1);
        assert_eq!(numbers.next().unwrap()?, Some(7));
        assert_eq!(NUMBER.get(), Some(7), "it is left half way");
        assert_eq!(numbers.next().unwrap()?, Some(1));
        // One that another task goes on with puts nothing back there.
        let mut moved = Generator::new(|y| NUMBER.with_value(8, || y.yield_(())));
        moved.next();
        spawn(move || {
            NUMBER.set(2);
            drop(moved);
            assert_eq!(NUMBER.get(), Some(2));
        })
        .join()
    })
    .unwrap();
}

#[test]
fn runner_05_a_value_set_in_one_run_is_there_in_the_next_and_the_caller_does_not_see_it() {
    NUMBER.set(1);
    let mut runner = runner();
    runner
        .run(|| {
            assert_eq!(NUMBER.get(), Some(1), "a run begins with what its thread has");
            NUMBER.set(2);
            spawn(|| drop(NUMBER.set(3))).join()
        })
        .unwrap();
    assert_eq!(NUMBER.get(), Some(1));
    runner.run(|| assert_eq!(NUMBER.get(), Some(2))).unwrap();
    runner.run(|| spawn(|| assert_eq!(NUMBER.get(), Some(2))).join()).unwrap();
    sim(|| assert_eq!(NUMBER.get(), Some(1))).unwrap();
}

/// Says its name when it is dropped, and what it finds then.
struct Mourner(Log, &'static str);

impl Drop for Mourner {
    fn drop(&mut self) {
        self.0.say(format!("{}:{:?}:{:?}", self.1, NUMBER.get(), corio::try_current().map(|task| task.id())));
        assert!(sleep(secs(1)).is_err(), "outside a task nothing can wait");
        NUMBER.set(9);
        current_is_none();
    }
}

fn current_is_none() {
    assert!(corio::try_current().is_none());
}

static ONE: TaskLocal<Mourner> = TaskLocal::new();
static TWO: TaskLocal<Mourner> = TaskLocal::new();

#[test]
fn values_are_dropped_when_the_task_ends_the_last_first_and_outside_it() {
    let log = Log::default();
    sim(|| {
        scope(|s| {
            s.spawn(|| {
                let _captured = log.at_drop("function");
                NUMBER.set(1);
                ONE.set(Mourner(log.clone(), "one"));
                TWO.set(Mourner(log.clone(), "two"));
                yield_now()
            });
            Ok(())
        })?;
        log.say("scope");
        assert_eq!(NUMBER.get(), None);
        // Shared values live until the last task that inherited them has ended.
        let child = spawn({
            let log = log.clone();
            move || {
                ONE.set(Mourner(log.clone(), "shared"));
                log.say("child");
                spawn(move || {
                    sleep(secs(1))?;
                    log.say("grandchild");
                    Ok(())
                });
            }
        });
        child.join()?;
        log.say("joined");
        sleep(secs(2))
    })
    .unwrap();
    assert_eq!(log.take(), "function two:None:None one:Some(9):None scope child joined grandchild shared:None:None");
}

#[test]
fn a_destructor_that_panics_or_sets_itself_again_ends_nothing() {
    struct Again(Rc<Cell<u32>>);
    static AGAIN: TaskLocal<Again> = TaskLocal::new();
    impl Drop for Again {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            AGAIN.set(Again(self.0.clone()));
        }
    }
    static PANICS: TaskLocal<Finally<fn()>> = TaskLocal::new();
    let count = Rc::new(Cell::new(0));
    let (_, lines) = logged(|| {
        sim(|| {
            let dropped = count.clone();
            spawn(move || {
                AGAIN.set(Again(dropped));
                PANICS.set(Finally(|| panic!("not now")));
            })
            .join()?;
            assert!((1..100).contains(&count.get()), "{}", count.get());
            Ok(())
        })
        .unwrap();
    });
    only(&lines, "ERROR", &["a task-local panicked in its destructor: not now"]);
}

#[test]
fn what_a_callback_sets_ends_with_it() {
    let log = Log::default();
    sim(|| {
        let own = log.clone();
        call_soon(move || {
            ONE.set(Mourner(own.clone(), "callback"));
            spawn(move || own.say(format!("child {}", ONE.with(|value| value.is_some()))));
        });
        call_soon(|| assert!(ONE.with(|value| value.is_none())));
        sleep(secs(1))
    })
    .unwrap();
    assert_eq!(log.take(), "child true callback:None:None");
}

#[test]
fn on_a_thread_without_a_loop_the_variable_is_the_threads() {
    type Late = Finally<fn()>;
    let log = thread::spawn(|| {
        thread_local! {
            static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
        }
        // Dropped when the thread's values may be gone: nothing panics then.
        LATE.set(Some(Finally(|| {
            let _ = NUMBER.get();
            NUMBER.set(1);
        })));
        assert_eq!(NUMBER.get(), None);
        let token = NUMBER.set(4);
        assert_eq!(NUMBER.with_value(5, || NUMBER.get()), Some(5));
        assert_eq!(NUMBER.get(), Some(4));
        let elsewhere = sim(|| Ok(NUMBER.set(6))).unwrap();
        assert!(NUMBER.reset(elsewhere).is_err());
        NUMBER.reset(token).unwrap();
        NUMBER.get()
    });
    assert_eq!(log.join().unwrap(), None);
}

#[test]
fn the_values_of_a_main_task_go_with_its_runner() {
    struct Patient(Log);
    impl Drop for Patient {
        fn drop(&mut self) {
            self.0.say("dropped");
        }
    }
    static PATIENT: TaskLocal<Patient> = TaskLocal::new();
    let log = Log::default();
    let mut runner = Runner::new().virtual_clock();
    runner
        .run(|| {
            PATIENT.set(Patient(log.clone()));
            Ok(())
        })
        .unwrap();
    assert_eq!(log.take(), "");
    assert!(runner.run(|| Ok(PATIENT.with(|value| value.is_some()))).unwrap());
    runner.close();
    assert_eq!(log.take(), "dropped");
    run(|| drop(PATIENT.set(Patient(log.clone())))).unwrap();
    assert_eq!(log.take(), "dropped");
}

#[test]
fn what_belongs_to_no_task_sets_nothing_for_the_callbacks_after_it() {
    let log = Log::default();
    Runner::new()
        .virtual_clock()
        .on_switch(|_| drop(NUMBER.set(1)))
        .run(|| {
            let set = Finally(|| drop(NUMBER.set(2)));
            spawn(move || drop(set)).cancel(); // refused: its function is dropped
            let own = log.clone();
            call_soon(move || own.say(format!("{:?}", NUMBER.get())));
            yield_now()?;
            assert_eq!(NUMBER.get(), None);
            let set = Finally(|| drop(NUMBER.set(3)));
            call_later(secs(60), move || drop(set)); // never called
            Ok(())
        })
        .unwrap();
    assert_eq!((log.take().as_str(), NUMBER.get()), ("None", None));
}

#[test]
fn ctx_01_a_callback_of_a_promise_sees_the_values_of_whoever_added_it() {
    let log = Log::default();
    sim(|| {
        let promise = Promise::new();
        NUMBER.set(1);
        let own = log.clone();
        promise.on_done(move |_| own.say(format!("{:?}", NUMBER.get())));
        NUMBER.set(2);
        let resolver = promise.clone();
        spawn(move || {
            NUMBER.set(3);
            resolver.set(()).unwrap();
        })
        .join()?;
        let own = log.clone();
        promise.on_done(move |_| own.say(format!("{:?}", NUMBER.get())));
        yield_now()
    })
    .unwrap();
    assert_eq!(log.take(), "Some(1) Some(2)");
}
