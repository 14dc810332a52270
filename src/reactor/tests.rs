//! The reactor under a kernel that says what the test wants: interruptions, lies, late news, small portions.
//!
//! Ids (B3 and so on) are rows of the table of faults.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::source::Source;
use super::*;
use crate::clock::Clock;
use crate::event_loop::Turn;
use crate::observe::event::Place;
use crate::remote::{Message, Remote};
use crate::task::caller;
use crate::{JoinHandle, is_cancelled, millis, sleep, spawn, yield_now};

const READABLE: News = News { readable: true, writable: false, read_closed: false, write_closed: false, error: false };
const WRITABLE: News = News { readable: false, writable: true, ..READABLE };
const READ_CLOSED: News = News { readable: false, read_closed: true, ..READABLE };
const HUNG_UP: News = News { readable: false, write_closed: true, ..READABLE };
const FAILED: News = News { readable: false, error: true, ..READABLE };

type Each<'a> = &'a mut dyn FnMut(Token, News);
/// What one poll does.
type Step = Box<dyn FnMut(Option<Duration>, Each<'_>) -> io::Result<()>>;

/// A poll that brings this news.
fn news(list: &[(Token, News)]) -> Step {
    let list = list.to_vec();
    Box::new(move |_, each| {
        list.iter().for_each(|(token, news)| each(*token, *news));
        Ok(())
    })
}

/// Asks a selector that looks at nothing but the time limit.
fn select(selector: &mut dyn Selector, timeout: Option<Duration>, each: Each<'_>) -> io::Result<()> {
    let wanted = |_| Wanted { readable: true, writable: true };
    selector.select(&Request { timeout, wanted: &wanted, soon: &|_| (), now: &|| 0 }, each)
}

/// The token that the n-th registration gets if each has a slot of its own.
fn token(n: u32) -> Token {
    Token { slot: n, generation: n + 1 }
}

struct Script {
    steps: VecDeque<Step>,
}

impl Selector for Script {
    fn select(&mut self, request: &Request<'_>, each: Each<'_>) -> io::Result<()> {
        let timeout = request.timeout;
        match self.steps.pop_front() {
            Some(mut step) => step(timeout, each),
            None if timeout == Some(Duration::ZERO) => Ok(()),
            // Nothing will come any more: what a real kernel would do, as far as there is a timer.
            None => {
                std::thread::sleep(timeout.expect("the script has ended, and somebody still waits for news"));
                Ok(())
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Call {
    Register(Token),
    Deregister,
    Wake,
}

#[derive(Default)]
struct Calls {
    calls: Mutex<Vec<Call>>,
    /// Whether the kernel takes no registration any more.
    full: AtomicBool,
    /// Whether it cannot be woken any more.
    mute: AtomicBool,
}

impl Calls {
    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn count(&self, call: Call) -> usize {
        self.calls.lock().unwrap().iter().filter(|made| **made == call).count()
    }
}

impl Registrar for Calls {
    fn register(&self, _: RawFd, token: Token) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.calls.lock().unwrap().push(Call::Register(token));
        Ok(())
    }

    fn deregister(&self, _: RawFd) -> io::Result<()> {
        self.calls.lock().unwrap().push(Call::Deregister);
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        self.calls.lock().unwrap().push(Call::Wake);
        if self.mute.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        Ok(())
    }
}

/// Runs tasks on a loop whose kernel follows the script, until all have ended.
fn under(script: Vec<Step>, main: impl FnOnce(&Arc<Calls>, &Arc<Remote>) -> JoinHandle) -> Arc<Calls> {
    let calls = Arc::new(Calls::default());
    let mut lp = EventLoop::new(Clock::real(), None).unwrap();
    lp.reactor = Reactor::with(Box::new(Script { steps: script.into() }), calls.clone());
    lp.remote = Remote::new(calls.clone());
    // SAFETY: the loop outlives the guard, which is dropped below, or by a failing test.
    let entered = unsafe { lp.enter() };
    let main = main(&calls, &lp.remote);
    while lp.task_count() > 0 {
        assert!(lp.run_once(None) == Turn::Done, "the loop has no hope any more");
    }
    main.join().unwrap();
    assert_eq!(lp.reactor.waiters(), 0);
    assert!(lp.reactor.descriptors().is_empty(), "a registration was left behind");
    lp.remote.close();
    drop(entered);
    calls
}

/// A source whose descriptor nobody asks: what an attempt finds is the test's to say.
struct Fake {
    source: Source,
    _file: File,
    attempts: Cell<u32>,
}

impl Fake {
    fn new() -> Rc<Fake> {
        let file = File::open("/dev/null").unwrap();
        // SAFETY: the file is open for as long as the source, before which it cannot be dropped.
        let source = unsafe { Source::new(file.as_raw_fd()) };
        Rc::new(Fake { source, _file: file, attempts: Cell::new(0) })
    }

    /// An operation whose attempts come to these results, one after the other.
    #[track_caller]
    fn attempt(&self, direction: Direction, results: &[Option<usize>]) -> io::Result<usize> {
        let at: Place = caller();
        let mut results = results.iter();
        let attempt = || {
            self.attempts.set(self.attempts.get() + 1);
            results.next().expect("an attempt too many").ok_or_else(|| io::ErrorKind::WouldBlock.into())
        };
        // As a stream with a buffer of ten bytes: what gives less has no more.
        self.source.retry(direction, at, attempt, |n| 0 < *n && *n < 10)
    }

    fn read(&self, results: &[Option<usize>]) -> io::Result<usize> {
        self.attempt(Direction::Read, results)
    }

    fn write(&self, results: &[Option<usize>]) -> io::Result<usize> {
        self.attempt(Direction::Write, results)
    }
}

#[test]
fn b03_an_interrupted_poll_waits_for_what_is_left_of_the_time() {
    let left = Rc::new(RefCell::new(Vec::new()));
    let interrupt = || -> Step {
        let left = left.clone();
        Box::new(move |timeout, _| {
            left.borrow_mut().push(timeout.unwrap());
            std::thread::sleep(millis(1));
            Err(io::ErrorKind::Interrupted.into())
        })
    };
    under((0..5).map(|_| interrupt()).collect(), |_, _| {
        spawn(|| {
            let start = Instant::now();
            sleep(millis(30))?;
            assert!(start.elapsed() >= millis(30));
            Ok(())
        })
    });
    let left = left.take();
    // Five, unless the machine is so slow that the time is over before.
    assert!(left.iter().all(|left| *left <= millis(30)), "{left:?}");
    assert!(left.windows(2).all(|pair| pair[1] + millis(1) <= pair[0]), "each waits for what is left: {left:?}");
}

#[test]
fn b04_spurious_and_repeated_news_costs_one_attempt_each() {
    let lie = || news(&[(token(0), READABLE), (token(0), WRITABLE), (token(0), READABLE)]);
    under(vec![lie(), lie(), lie()], |_, _| {
        spawn(|| {
            let fake = Fake::new();
            assert_eq!(fake.read(&[None, None, None, Some(10)])?, 10);
            assert_eq!(fake.attempts.get(), 4);
            Ok(())
        })
    });
}

/// The kernel says that it is over, and the attempt says that it is not. The attempt is right.
#[test]
fn b04_a_spurious_end_makes_nobody_spin() {
    for lie in [READ_CLOSED, HUNG_UP, FAILED] {
        under(vec![news(&[(token(0), lie)]), news(&[(token(0), READABLE)])], |_, _| {
            spawn(|| {
                let fake = Fake::new();
                assert_eq!(fake.read(&[None, None, Some(10)])?, 10);
                assert_eq!(fake.attempts.get(), 3);
                Ok(())
            })
        });
    }
    under(vec![news(&[(token(0), HUNG_UP)]), news(&[(token(0), WRITABLE)])], |_, _| {
        spawn(|| {
            let fake = Fake::new();
            assert_eq!(fake.write(&[None, None, Some(10)])?, 10);
            Ok(())
        })
    });
}

#[test]
fn b05_news_that_comes_while_nobody_waits_is_kept_until_an_attempt_finds_nothing() {
    let both = News { writable: true, ..READABLE };
    under(vec![news(&[(token(0), both)]), news(&[(token(0), READABLE)])], |_, _| {
        spawn(|| {
            let fake = Fake::new();
            fake.read(&[None, Some(10)])?;
            // The other direction was announced as well, and a full read says nothing about what is left.
            fake.write(&[Some(10)])?;
            fake.read(&[Some(10)])?;
            // A short one does: the next waits without an attempt.
            fake.read(&[Some(3)])?;
            assert_eq!(fake.attempts.get(), 5);
            fake.read(&[Some(10)])?;
            assert_eq!(fake.attempts.get(), 6);
            Ok(())
        })
    });
}

#[test]
fn b06_the_end_of_reading_in_the_edge_of_the_last_data_is_not_forgotten() {
    under(vec![news(&[(token(0), News { read_closed: true, ..READABLE })])], |_, _| {
        spawn(|| {
            let fake = Fake::new();
            assert_eq!(fake.read(&[None, Some(3)])?, 3);
            assert_eq!(fake.read(&[Some(0)])?, 0);
            assert_eq!(fake.read(&[Some(0)])?, 0);
            Ok(())
        })
    });
}

#[test]
fn b06_a_hang_up_or_an_error_wakes_both_directions_the_end_of_reading_only_one() {
    for over in [HUNG_UP, FAILED] {
        under(vec![news(&[(token(0), over)])], |_, _| {
            let fake = Fake::new();
            let writer = fake.clone();
            drop(spawn(move || writer.write(&[None, Some(10)]).map(drop)));
            spawn(move || fake.read(&[Some(0)]).map(drop))
        });
    }
    let order = Rc::new(RefCell::new(Vec::new()));
    let seen = order.clone();
    under(vec![news(&[(token(0), READ_CLOSED)]), news(&[(token(0), WRITABLE)])], move |_, _| {
        let fake = Fake::new();
        let (writer, wrote) = (fake.clone(), seen.clone());
        drop(spawn(move || {
            writer.write(&[None, Some(10)])?;
            wrote.borrow_mut().push("writer");
            Ok(())
        }));
        spawn(move || {
            fake.read(&[Some(0)])?;
            seen.borrow_mut().push("reader");
            Ok(())
        })
    });
    assert_eq!(order.take(), ["reader", "writer"]);
}

/// Late news for a slot that has a new user, for one that has none, and for slots that never were, also in one batch
/// with news for the new user.
#[test]
fn b07_news_for_an_earlier_user_of_a_slot_finds_nobody() {
    let new = Token { slot: 0, generation: 2 };
    let strangers = [
        (token(0), READABLE),
        (Token { slot: 0, generation: 3 }, FAILED),
        (Token { slot: 77, generation: 2 }, READABLE),
        (Token { slot: u32::MAX, generation: u32::MAX }, HUNG_UP),
    ];
    let mut batch = strangers.to_vec();
    batch.push((new, READABLE));
    batch.extend(strangers);
    let calls = under(vec![news(&[(token(0), READABLE)]), news(&strangers), news(&batch)], |_, _| {
        spawn(|| {
            let first = Fake::new();
            first.read(&[None, Some(10)])?;
            drop(first);
            let second = Fake::new();
            second.read(&[None, Some(10)])?;
            assert_eq!(second.attempts.get(), 2);
            Ok(())
        })
    });
    let expected = [Call::Register(token(0)), Call::Deregister, Call::Register(new), Call::Deregister];
    assert_eq!(calls.take(), expected);
}

/// In one batch: the first piece of news makes a task close the second's source, in the turn after the poll.
#[test]
fn b07_a_source_that_is_closed_in_the_turn_of_its_news() {
    under(vec![news(&[(token(0), READABLE)]), news(&[(token(0), READABLE), (token(1), READABLE)])], |_, _| {
        spawn(|| {
            let (first, second) = (Fake::new(), Fake::new());
            first.read(&[None, Some(3)])?;
            let doomed = second.clone();
            let reader = spawn(move || doomed.read(&[None, None]).map(drop));
            yield_now()?;
            first.read(&[Some(3)])?;
            reader.cancel();
            // Woken for the news, it looks in vain, and meets the cancellation then.
            assert!(is_cancelled(&reader.join().unwrap_err()));
            assert_eq!(Rc::strong_count(&second), 1);
            Ok(())
        })
    });
}

#[test]
fn b08_a_source_is_deregistered_once_by_whoever_drops_it() {
    let calls = under(vec![news(&[(token(0), READABLE)])], |_, _| {
        spawn(|| {
            let registered = Fake::new();
            registered.read(&[None, Some(10)])?;
            let never = Fake::new();
            never.read(&[Some(10)])?; // at once: it is not even registered
            drop(never);
            let fake = Rc::into_inner(registered).unwrap();
            // Its loop hears of it by letter.
            let Fake { source, _file, .. } = fake;
            std::thread::spawn(move || drop(source)).join().unwrap();
            yield_now()
        })
    });
    assert_eq!(calls.take(), [Call::Register(token(0)), Call::Deregister]);
}

#[test]
fn a_registration_that_the_kernel_refuses_is_the_error_of_the_call_and_leaves_nothing() {
    under(vec![news(&[(token(0), READABLE)])], |calls, _| {
        let calls = calls.clone();
        spawn(move || {
            let fake = Fake::new();
            calls.full.store(true, Ordering::Relaxed);
            assert_eq!(fake.read(&[None]).unwrap_err().raw_os_error(), Some(libc::ENOSPC));
            calls.full.store(false, Ordering::Relaxed);
            // The generation was used up, the slot was not.
            let reader = spawn(move || fake.read(&[None, Some(10)]).map(drop));
            yield_now()?;
            assert!(matches!(calls.take()[..], [Call::Register(Token { slot: 0, .. })]));
            reader.cancel();
            assert!(is_cancelled(&reader.join().unwrap_err()));
            Ok(())
        })
    });
}

/// H5: a loop that cannot be rung for says so for each ring, takes the letters in when it wakes for something else, and does
/// not spin.
#[test]
fn h5_a_bell_that_is_broken_loses_no_letter() {
    let heard = Arc::new(AtomicBool::new(false));
    let remote: Rc<RefCell<Option<Arc<Remote>>>> = Rc::default();
    let (flag, sender) = (heard.clone(), remote.clone());
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    let asleep: Step = Box::new(move |timeout, _| {
        let flag = flag.clone();
        let call = Message::Call(Box::new(move || flag.store(true, Ordering::Relaxed)), caller());
        assert!(sender.borrow().as_ref().unwrap().send(call).is_ok());
        count.set(count.get() + 1);
        std::thread::sleep(timeout.expect("there is a timer"));
        Ok(())
    });
    let calls = under(vec![asleep], |calls, its| {
        *remote.borrow_mut() = Some(its.clone());
        calls.mute.store(true, Ordering::Relaxed);
        spawn(|| {
            sleep(millis(5))?;
            yield_now()
        })
    });
    assert!(heard.load(Ordering::Relaxed));
    assert_eq!((calls.count(Call::Wake), polls.get()), (1, 1));
}

#[test]
fn b12_a_thousand_letters_to_a_sleeping_loop_ring_once_and_to_a_busy_one_not_at_all() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let remote: Rc<RefCell<Option<Arc<Remote>>>> = Rc::default();
    let (list, sender, until_all) = (heard.clone(), remote.clone(), heard.clone());
    let post = move |from: u32| {
        for n in from..from + 1_000 {
            let list = list.clone();
            let call = Message::Call(Box::new(move || list.lock().unwrap().push(n)), caller());
            assert!(sender.borrow().as_ref().unwrap().send(call).is_ok());
        }
    };
    let (while_asleep, while_busy) = (post.clone(), post);
    let asleep: Step = Box::new(move |timeout, _| {
        assert!(timeout.is_none_or(|timeout| !timeout.is_zero()));
        while_asleep(0);
        Ok(())
    });
    let calls = under(vec![asleep, news(&[(token(0), READABLE)])], |calls, its| {
        *remote.borrow_mut() = Some(its.clone());
        let calls = calls.clone();
        drop(spawn(move || {
            sleep(millis(1))?;
            let before = calls.count(Call::Wake);
            while_busy(1_000);
            assert_eq!(calls.count(Call::Wake), before);
            yield_now()
        }));
        spawn(move || {
            Fake::new().read(&[None, Some(10)])?;
            // They are taken in by and by.
            while until_all.lock().unwrap().len() < 2_000 {
                yield_now()?;
            }
            Ok(())
        })
    });
    assert_eq!(calls.count(Call::Wake), 1);
    assert!(heard.lock().unwrap().iter().copied().eq(0..2_000));
}

#[test]
fn b13_one_piece_of_news_at_a_time_serves_everybody_in_their_order() {
    const TASKS: u32 = 200;
    let order = Rc::new(RefCell::new(Vec::new()));
    let script = (0..TASKS).rev().map(|n| news(&[(token(n), READABLE)])).collect();
    under(script, |_, _| {
        let tasks: Vec<_> = (0..TASKS)
            .map(|n| {
                let order = order.clone();
                spawn(move || {
                    Fake::new().read(&[None, Some(10)])?;
                    order.borrow_mut().push(n);
                    Ok(())
                })
            })
            .collect();
        spawn(move || tasks.into_iter().try_for_each(JoinHandle::join))
    });
    assert!(order.take().into_iter().eq((0..TASKS).rev()));
}

#[test]
fn b13_one_batch_with_news_for_everybody() {
    const TASKS: u32 = 5_000;
    let all: Vec<_> = (0..TASKS).map(|n| (token(n), READABLE)).collect();
    under(vec![news(&all)], |_, _| {
        let fakes: Vec<_> = (0..TASKS).map(|_| Fake::new()).collect();
        let tasks: Vec<_> =
            fakes.into_iter().map(|fake| spawn(move || fake.read(&[None, Some(10)]).map(drop))).collect();
        spawn(move || tasks.into_iter().try_for_each(JoinHandle::join))
    });
}

#[test]
fn b14_the_kernel_is_asked_to_wait_for_ever_only_without_a_timer() {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let step = |list: &[(Token, News)]| -> Step {
        let (asked, mut inner) = (asked.clone(), news(list));
        Box::new(move |timeout, each| {
            asked.borrow_mut().push(timeout);
            inner(timeout, each)
        })
    };
    under(vec![step(&[]), step(&[(token(0), READABLE)]), step(&[(token(0), READABLE)])], |_, _| {
        spawn(|| {
            let fake = Fake::new();
            fake.read(&[None, Some(3)])?;
            // Never is no time.
            crate::timeout(Duration::MAX, || fake.read(&[Some(3)])).map(drop)
        })
    });
    assert_eq!(asked.take(), [None; 3]);
}

#[test]
fn b14_extreme_timeouts_do_not_overflow_in_the_real_poll() {
    let (mut selector, registrar) = MioSelector::new().unwrap();
    extreme_timeouts(&mut selector, &registrar);
    let (mut selector, registrar) = PollSelector::new().unwrap();
    extreme_timeouts(&mut selector, &registrar);
}

fn extreme_timeouts(selector: &mut dyn Selector, registrar: &dyn Registrar) {
    for timeout in [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_nanos(u64::MAX)] {
        registrar.wake().unwrap();
        let mut pieces = 0;
        select(selector, Some(timeout), &mut |_, _| pieces += 1).unwrap();
        assert_eq!(pieces, 0, "the waker is nobody's news");
    }
    // A fraction of a millisecond is not rounded down to a spin.
    let start = Instant::now();
    select(selector, Some(Duration::from_micros(300)), &mut |_, _| {}).unwrap();
    assert!(start.elapsed() >= Duration::from_micros(300));
    select(selector, Some(Duration::ZERO), &mut |_, _| {}).unwrap();
}
