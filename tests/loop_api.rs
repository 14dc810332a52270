//! What a loop offers beside tasks: callbacks for descriptors of other libraries, and waits for them.
//!
//! `LOOP-..` are behaviours of asyncio, `E..` faults that must be survived.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;

use common::{Finally, Log, in_child, logged, only, panic_of, runner, sim};
use corio::net::{TcpListener, TcpStream};
use corio::{
    TaskLocal, add_reader, add_writer, call_soon, is_cancelled, millis, readable, remove_reader, remove_writer, run,
    scope, secs, sleep, spawn, writable, yield_now,
};

fn pair() -> (UnixStream, UnixStream) {
    let (one, two) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    two.set_nonblocking(true).unwrap();
    (one, two)
}

/// Lets the loop poll until something is so.
fn until(done: impl Fn() -> bool) -> io::Result<()> {
    while !done() {
        sleep(millis(1))?;
    }
    Ok(())
}

/// How many descriptors this process has open.
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[test]
fn loop_28_a_reader_is_called_as_long_as_there_is_something_to_read() {
    run(|| {
        let (near, mut far) = pair();
        let heard = Rc::new(RefCell::new(Vec::new()));
        let text = heard.clone();
        let mut reading = near.try_clone()?;
        add_reader(&near, move || {
            let mut byte = [0];
            assert_eq!(reading.read(&mut byte).unwrap(), 1);
            text.borrow_mut().push(byte[0]);
        })?;
        sleep(millis(2))?;
        assert!(heard.borrow().is_empty());
        far.write_all(b"abc")?;
        until(|| heard.borrow().len() == 3)?;
        far.write_all(b"de")?;
        until(|| heard.borrow().len() == 5)?;
        assert_eq!(*heard.borrow(), b"abcde");
        assert!(remove_reader(&near));
        far.write_all(b"f")?;
        sleep(millis(2))?;
        assert_eq!(heard.borrow().len(), 5);
        Ok(())
    })
    .unwrap();
}

/// One call per turn: the others have their turns in between.
#[test]
fn loop_28_a_reader_that_reads_nothing_does_not_starve_the_others() {
    run(|| {
        let (near, mut far) = pair();
        far.write_all(b"x")?;
        let calls = Rc::new(Cell::new(0));
        let count = calls.clone();
        add_reader(&near, move || count.set(count.get() + 1))?;
        until(|| calls.get() > 0)?;
        for _ in 0..100 {
            let before = calls.get();
            yield_now()?;
            assert!(calls.get() <= before + 1);
        }
        until(|| calls.get() > 50)
    })
    .unwrap();
}

#[test]
fn loop_28_adding_again_replaces_and_the_old_one_is_dropped_unheard() {
    let log = Log::default();
    run(|| {
        let (near, mut far) = pair();
        let (old, new) = (log.at_drop("old dropped"), log.clone());
        let mut reading = near.try_clone()?;
        add_reader(&near, move || panic!("replaced {:p}", &old))?;
        far.write_all(b"x")?;
        add_reader(&near, move || {
            new.say("new");
            reading.read_exact(&mut [0]).unwrap();
        })?;
        assert_eq!(log.take(), "old dropped");
        until(|| log.len() > 0)?;
        assert_eq!(log.take(), "new");
        Ok(())
    })
    .unwrap();
}

#[test]
fn loop_29_the_two_directions_are_removed_one_by_one() {
    run(|| {
        let (near, mut far) = pair();
        assert!(!remove_reader(&near) && !remove_writer(&near));
        let (read, written) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (reads, writes) = (read.clone(), written.clone());
        add_reader(&near, move || reads.set(reads.get() + 1))?;
        add_writer(&near, move || writes.set(writes.get() + 1))?;
        until(|| written.get() > 1)?;
        assert_eq!(read.get(), 0);
        assert!(remove_writer(&near) && !remove_writer(&near));
        let last = written.get();
        far.write_all(b"x")?;
        until(|| read.get() > 1)?;
        assert_eq!(written.get(), last);
        assert!(remove_reader(&near) && !remove_reader(&near));
        Ok(())
    })
    .unwrap();
}

#[test]
fn loop_30_a_reader_that_an_earlier_callback_removes_is_not_called() {
    let log = Log::default();
    run(|| {
        let pairs = Rc::new([pair(), pair()]);
        for n in 0..2 {
            let (others, log) = (pairs.clone(), log.clone());
            add_reader(&pairs[n].0, move || {
                log.say("called");
                assert!(remove_reader(&others[0].0) && remove_reader(&others[1].0));
            })?;
        }
        // Both have news in one poll.
        for (_, far) in pairs.iter() {
            (&mut &*far).write_all(b"x")?;
        }
        until(|| log.len() > 0)?;
        sleep(millis(3))
    })
    .unwrap();
    assert_eq!(log.take(), "called");
}

#[test]
fn a_reader_may_replace_and_add_readers_while_it_runs() {
    let log = Log::default();
    run(|| {
        let (near, mut far) = pair();
        let near = Rc::new(near);
        let (own, first) = (near.clone(), log.clone());
        add_reader(&near, move || {
            let (again, second) = (own.clone(), first.clone());
            first.say("first");
            add_reader(&own, move || {
                second.say("second");
                remove_reader(&again);
            })
            .unwrap();
        })?;
        far.write_all(b"x")?;
        until(|| log.len() > 1)?;
        sleep(millis(3))
    })
    .unwrap();
    assert_eq!(log.take(), "first second");
}

#[test]
fn loop_19_a_reader_that_panics_is_reported_and_stays() {
    let (result, lines) = logged(|| {
        run(|| {
            let (near, mut far) = pair();
            far.write_all(b"x")?;
            let (calls, mut reading) = (Rc::new(Cell::new(0)), near.try_clone()?);
            let count = calls.clone();
            add_reader(&near, move || {
                count.set(count.get() + 1);
                assert!(count.get() > 1, "the first time");
                let _ = reading.read(&mut [0; 8]);
            })?;
            until(|| calls.get() > 1)
        })
    });
    result.unwrap();
    only(&lines, "ERROR", &["tests/loop_api.rs", "panicked: the first time"]);
}

/// CTX-01
#[test]
fn a_reader_sees_the_task_locals_of_whoever_added_it() {
    static NAME: TaskLocal<&str> = TaskLocal::new();
    let log = Log::default();
    run(|| {
        let (near, mut far) = pair();
        far.write_all(b"x")?;
        let near = Rc::new(near);
        let (own, heard) = (near.clone(), log.clone());
        let mut calls = 0;
        NAME.with_value("adder", || {
            add_reader(&near, move || {
                heard.say(NAME.get().unwrap_or("nobody"));
                NAME.set("changed");
                calls += 1;
                if calls == 2 {
                    assert!(remove_reader(&own));
                }
            })
        })?;
        until(|| log.len() > 1)?;
        sleep(millis(3))
    })
    .unwrap();
    assert_eq!(log.take(), "adder adder", "what a call sets ends with it");
}

/// The loop has a duplicate: the number may be somebody else's by now.
#[test]
fn a_descriptor_that_is_closed_while_it_is_watched_harms_nobody() {
    let ended = in_child("a_descriptor_that_is_closed_while_it_is_watched_harms_nobody", || {
        run(|| ()).unwrap(); // what is made once is there
        let before = open_descriptors();
        run(close_what_is_watched).unwrap();
        assert_eq!(open_descriptors(), before);
    });
    ended.succeeded();
}

fn close_what_is_watched() -> io::Result<()> {
    let (near, mut far) = pair();
    let number = near.as_raw_fd();
    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    add_reader(&near, move || count.set(count.get() + 1))?;
    drop(near);
    // The next descriptor of the process takes the number, as the system has it; it is not watched.
    let (stranger, mut other) = pair();
    other.write_all(b"y")?;
    sleep(millis(2))?;
    assert_eq!(calls.get(), 0);
    far.write_all(b"x")?;
    until(|| calls.get() > 0)?;
    if stranger.as_raw_fd() == number {
        add_reader(&stranger, || {})?;
        assert!(remove_reader(&stranger) && !remove_reader(&stranger));
    }
    Ok(())
}

#[test]
fn readers_end_with_their_run_and_files_cannot_be_watched() {
    let log = Log::default();
    let (near, _far) = pair();
    let mut runner = corio::Runner::new();
    runner
        .run(|| {
            let end = log.at_drop("dropped");
            add_reader(&near, move || unreachable!("{:p}", &end))?;
            let file = std::fs::File::open(std::env::current_exe()?)?;
            assert!(add_reader(&file, || {}).is_err());
            assert!(readable(&file).is_ok(), "it is always ready");
            Ok(())
        })
        .unwrap();
    assert_eq!(log.take(), "dropped");
    runner.run(|| assert!(!remove_reader(&near))).unwrap();
    assert!(panic_of(|| add_reader(&near, || {})).contains("need a running loop"));
}

#[test]
fn a_reader_is_a_hope_and_may_wake_a_task() {
    let (near, mut far) = pair();
    runner()
        .run(|| {
            let waiting = spawn(|| sleep(std::time::Duration::MAX));
            let (task, near) = (waiting.task(), Rc::new(near));
            let own = near.clone();
            add_reader(&near, move || {
                task.cancel();
                assert!(remove_reader(&own));
            })?;
            let writer = thread::spawn(move || far.write_all(b"x"));
            assert!(is_cancelled(&waiting.join().unwrap_err()));
            writer.join().unwrap()
        })
        .unwrap();
}

// ---- waiting -----------------------------------------------------------------------------------------------------------

#[test]
fn readable_and_writable_wait_for_what_others_read_and_write() {
    run(|| {
        let (mut near, mut far) = pair();
        writable(&near)?;
        while near.write(&[0; 4096]).is_ok() {}
        let drained = spawn(move || {
            sleep(millis(2))?;
            let mut bytes = vec![0; 1 << 20];
            while far.read(&mut bytes).is_ok() {}
            far.write_all(b"done")?;
            Ok(far)
        });
        writable(&near)?;
        readable(&near)?;
        let mut text = [0; 4];
        near.read_exact(&mut text)?;
        assert_eq!(&text, b"done");
        drop(drained.join()?);
        readable(&near)?; // the end is something to read
        assert_eq!(near.read(&mut text)?, 0);
        Ok(())
    })
    .unwrap();
}

/// E9: whichever way a wait ends, it leaves no waiter and no descriptor behind.
#[test]
fn e9_a_wait_that_is_cancelled_leaves_nothing_behind() {
    let recording = corio::observe::Recording::new();
    let result = corio::Runner::new().observer(recording.clone()).run(|| {
        let (near, far) = pair();
        let near = Rc::new(near);
        for _ in 0..20 {
            let waits = near.clone();
            let task = spawn(move || readable(&*waits));
            yield_now()?; // it waits now, which a limit of real time could not promise
            task.cancel();
            assert!(is_cancelled(&task.join().unwrap_err()));
        }
        (&far).write_all(b"x")?;
        readable(&*near)
    });
    result.unwrap();
    let (mut armed, mut dropped) = (0, 0);
    for record in recording.records() {
        match record.event {
            corio::observe::event::Event::IoArm { .. } => armed += 1,
            corio::observe::event::Event::IoDrop { .. } => dropped += 1,
            _ => {}
        }
    }
    assert_eq!((armed, dropped), (20, 20));
}

#[test]
fn several_tasks_wait_for_one_descriptor_also_beside_a_stream_of_corios() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let client = spawn(move || TcpStream::connect(address));
        let (mut far, _) = listener.accept()?;
        let near = client.join()?;
        scope(|s| {
            let waiters = [(); 3].map(|()| s.spawn(|| readable(&near)));
            let reader = s.spawn(|| {
                let mut byte = [0];
                (&near).read_exact(&mut byte).map(|()| byte)
            });
            yield_now()?;
            sleep(millis(1))?;
            assert!(!reader.is_done() && waiters.iter().all(|waiter| !waiter.is_done()));
            far.write_all(b"xy")?;
            assert_eq!(reader.join()?, *b"x");
            waiters.into_iter().try_for_each(|waiter| waiter.join())?; // "y" is left for all of them
            assert_eq!((&near).read(&mut [0; 2])?, 1);
            Ok(())
        })
    })
    .unwrap();
}

#[test]
fn outside_a_loop_the_thread_waits_and_in_a_callback_nothing_does() {
    let (near, mut far) = pair();
    let writer = thread::spawn(move || {
        thread::sleep(millis(2));
        far.write_all(b"x").unwrap();
        far
    });
    readable(&near).unwrap();
    let _far = writer.join().unwrap();
    let (empty, _other) = pair();
    let log = Log::default();
    let heard = log.clone();
    sim(|| {
        call_soon(move || {
            heard.say(readable(&near).is_ok());
            heard.say(readable(&empty).is_err());
        });
        sleep(secs(1))
    })
    .unwrap();
    assert_eq!(log.take(), "true true");
}

#[test]
fn removing_a_reader_survives_the_destructor_of_a_task_local() {
    static LOCAL: TaskLocal<Finally<fn()>> = TaskLocal::new();
    let (near, _far) = pair();
    let (result, lines) = logged(|| {
        run(|| {
            let adds = spawn(move || {
                LOCAL.set(Finally(|| panic!("a local's destructor")));
                add_reader(&near, || {})
            });
            adds.join()
        })
    });
    result.unwrap();
    only(&lines, "ERROR", &["a local's destructor"]);
}

#[test]
fn a_reader_whose_destructor_adds_another_is_followed_by_that_one_alone() {
    let (near, mut far) = pair();
    let near = Rc::new(near);
    let heard = Log::default();
    run(|| {
        let (own, log) = (near.clone(), heard.clone());
        let adds = Finally(move || {
            let log = log.clone();
            add_reader(&*own, move || log.say("the destructor's")).unwrap();
        });
        add_reader(&*near, move || unreachable!("replaced: {:p}", &adds))?;
        let log = heard.clone();
        add_reader(&*near, move || log.say("mine"))?;
        far.write_all(b"!")?;
        until(|| heard.len() > 3)?;
        assert!(remove_reader(&*near) && !remove_reader(&*near));
        let all = heard.take();
        assert!(all.split(" the").count() > 3 && !all.contains("mine"), "{all}");
        sleep(millis(5))?;
        assert_eq!(heard.take(), "");
        Ok(())
    })
    .unwrap();
}
