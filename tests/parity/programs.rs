//! Small whole programs, of the kinds that tutorials about asyncio show.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use corio::{
    Event, Generator, Mutex, Queue, Semaphore, gather, gather_all, is_timed_out, millis, now, scope, secs, shield, sleep,
    spawn, timeout,
};

use crate::{failure, kind};

fn three_greetings() -> io::Result<()> {
    fn greet(name: &str) -> io::Result<()> {
        say!("Hello, {name}!");
        sleep(secs(1))?;
        say!("Goodbye, {name}!");
        Ok(())
    }

    let tasks = ["Ada", "Grace", "Barbara"].map(|name| spawn(move || greet(name)));
    for task in tasks {
        task.join()?;
    }
    say!("all greeted");
    Ok(())
}

fn three_factorials() -> io::Result<()> {
    fn factorial(name: &str, number: u64) -> io::Result<u64> {
        let mut result = 1;
        for n in 2..=number {
            say!("{name}: {result} times {n}");
            sleep(secs(n))?;
            result *= n;
        }
        say!("{name}: {number}! is {result}");
        Ok(result)
    }

    let (a, b, c) = gather!(factorial("A", 2), factorial("B", 3), factorial("C", 4))?;
    say!("{a} {b} {c}");
    Ok(())
}

fn one_of_three_fails() -> io::Result<()> {
    fn double(n: i32) -> io::Result<i32> {
        if n == 2 {
            return Err(failure("2 will not be doubled"));
        }
        sleep(secs(1))?;
        Ok(n * 2)
    }

    for result in gather_all([1, 2, 3], double)? {
        match result {
            Ok(n) => say!("{n}"),
            Err(error) => say!("{}", kind(&error)),
        }
    }
    Ok(())
}

fn a_job_that_takes_too_long() -> io::Result<()> {
    fn job() -> io::Result<&'static str> {
        sleep(secs(3))?;
        Ok("finished")
    }

    match timeout(secs(2), job) {
        Err(error) if is_timed_out(&error) => say!("the job took too long"),
        other => say!("{}", other?),
    }
    Ok(())
}

fn a_job_that_is_called_off() -> io::Result<()> {
    fn job() -> io::Result<()> {
        for n in 0..10 {
            say!("step {n}");
            sleep(secs(1)).inspect_err(|_| say!("called off"))?;
        }
        Ok(())
    }

    let task = spawn(job);
    sleep(millis(3500))?;
    task.cancel();
    if task.join().is_err() {
        say!("it is over");
    }
    Ok(())
}

fn a_producer_and_a_consumer() -> io::Result<()> {
    let queue = Queue::new();
    scope(|s| {
        let producing = s.spawn(|| {
            for n in 0..5 {
                queue.put(Some(format!("item {n}")))?;
                say!("produced {n}");
                sleep(millis(500))?;
            }
            Ok(())
        });
        s.spawn(|| {
            while let Some(item) = queue.get()? {
                say!("consumed {item}");
                sleep(millis(750))?;
            }
            Ok(())
        });
        producing.join()?;
        queue.put(None)
    })
}

fn one_end_marker_for_two_consumers() -> io::Result<()> {
    let queue = &Queue::new();
    let producer = || {
        for n in 0..4 {
            queue.put(Some(n))?;
            sleep(millis(500))?;
        }
        queue.put(None)
    };
    let consumer = |name| {
        while let Some(item) = queue.get()? {
            say!("consumer {name} got {item}");
        }
        say!("consumer {name} ends");
        Ok(())
    };
    gather!(producer(), consumer(1), consumer(2))?;
    Ok(())
}

fn an_end_marker_for_each_consumer() -> io::Result<()> {
    let queue = &Queue::new();
    let producer = || {
        for n in 0..4 {
            queue.put(Some(n))?;
            sleep(millis(500))?;
        }
        queue.put(None)?;
        queue.put(None)
    };
    let consumer = |name| {
        while let Some(item) = queue.get()? {
            say!("consumer {name} got {item}");
        }
        say!("consumer {name} ends");
        Ok(())
    };
    gather!(producer(), consumer(1), consumer(2))?;
    Ok(())
}

fn fetches_two_at_a_time() -> io::Result<()> {
    let limit = Semaphore::new(2);
    let fetch = |page| {
        let _permit = limit.acquire()?;
        say!("fetching page {page}");
        sleep(secs(1))?;
        say!("fetched page {page}");
        Ok(())
    };
    gather(0..5, fetch)?;
    Ok(())
}

fn a_value_that_two_would_insert() -> io::Result<()> {
    fn insert(who: &'static str, store: &Cell<Option<&'static str>>) -> io::Result<()> {
        let seen = store.get();
        sleep(secs(1))?;
        match seen {
            None => {
                store.set(Some(who));
                say!("{who} inserts");
            }
            Some(other) => say!("{who} finds {other}"),
        }
        Ok(())
    }

    let store = Cell::new(None);
    gather(["a", "b"], |who| insert(who, &store))?;
    let lock = Mutex::new(Cell::new(None));
    gather(["a", "b"], |who| insert(who, &*lock.lock()?))?;
    Ok(())
}

fn a_signal_between_tasks() -> io::Result<()> {
    let event = Event::new();
    let waiter = || {
        say!("waiting");
        event.wait()?;
        say!("going on");
        Ok(())
    };
    let setter = || {
        sleep(secs(2))?;
        say!("setting");
        event.set();
        Ok(())
    };
    gather!(waiter(), setter())?;
    Ok(())
}

fn fibonacci_as_a_stream() -> io::Result<()> {
    fn fibonacci(count: usize) -> Generator<u64> {
        Generator::new(move |y| {
            let (mut a, mut b) = (0, 1);
            for _ in 0..count {
                sleep(millis(500))?;
                y.yield_(a)?;
                (a, b) = (b, a + b);
            }
            Ok(())
        })
    }

    for n in fibonacci(7) {
        say!("{}", n?);
    }
    Ok(())
}

fn a_resource() -> io::Result<()> {
    struct Resource;

    impl Resource {
        /// Python: `async with Resource() as resource`.
        fn with(body: impl FnOnce(&Resource) -> io::Result<()>) -> io::Result<()> {
            sleep(secs(1))?;
            say!("opened");
            let result = body(&Resource);
            shield(secs(5), || sleep(secs(1)))?;
            say!("closed");
            result
        }

        fn work(&self) -> io::Result<()> {
            sleep(secs(1))?;
            say!("worked");
            Ok(())
        }
    }

    Resource::with(|resource| resource.work())?;
    if let Err(error) = Resource::with(|_| Err(failure("boom"))) {
        say!("caught: {}", kind(&error));
    }
    Ok(())
}

fn a_scraper() -> io::Result<()> {
    fn fetch(name: &str) -> io::Result<usize> {
        let pages = BTreeMap::from([("small", (1, 10)), ("slow", (9, 99)), ("big", (2, 1000))]);
        let (delay, size) = *pages.get(name).ok_or_else(|| failure("no such page"))?;
        sleep(secs(delay))?;
        Ok(size)
    }

    let limit = Semaphore::new(2);
    let visit = |name| {
        let _permit = limit.acquire()?;
        match timeout(secs(5), || fetch(name)) {
            Ok(size) => return Ok(Some(size)),
            Err(error) if is_timed_out(&error) => say!("{name} timed out"),
            Err(error) => say!("{name} failed: {}", kind(&error)),
        }
        Ok(None)
    };
    let names = ["small", "missing", "slow", "big"];
    for (name, size) in names.into_iter().zip(gather(names, visit)?) {
        if let Some(size) = size {
            say!("{name} has {size} bytes");
        }
    }
    Ok(())
}

fn a_chat() -> io::Result<()> {
    type Room = RefCell<BTreeMap<&'static str, Rc<Queue<String>>>>;

    fn client(room: &Room, name: &'static str, delay: std::time::Duration, words: &[&str]) -> io::Result<()> {
        let outbox = Rc::new(Queue::new());
        room.borrow_mut().insert(name, outbox.clone());
        scope(|s| {
            s.spawn(|| {
                for word in &*outbox {
                    say!("{name} hears {}", word?);
                }
                Ok(())
            });
            for word in words {
                sleep(delay)?;
                for (_, other) in room.borrow().iter().filter(|(other, _)| **other != name) {
                    other.try_put(format!("{name}: {word}"))?;
                }
            }
            sleep(secs(1))?;
            room.borrow_mut().remove(name);
            outbox.shutdown();
            Ok(())
        })?;
        say!("{name} leaves");
        Ok(())
    }

    let room = Room::default();
    gather!(client(&room, "ada", secs(1), &["hi", "bye"]), client(&room, "bob", millis(1500), &["hello"]))?;
    Ok(())
}

fn a_supervisor() -> io::Result<()> {
    fn service(attempt: u32) -> io::Result<&'static str> {
        say!("start {attempt}");
        sleep(secs(1))?;
        if attempt < 3 { Err(failure(format!("crash {attempt}"))) } else { Ok("stable") }
    }

    for attempt in 1.. {
        match spawn(move || service(attempt)).join() {
            Ok(answer) => {
                say!("{answer}");
                break;
            }
            Err(error) => say!("{}", kind(&error)),
        }
        sleep(secs(2u64.pow(attempt)))?;
    }
    Ok(())
}

fn a_heartbeat() -> io::Result<()> {
    fn beat() -> io::Result<()> {
        for _ in 0.. {
            say!("beat");
            sleep(secs(1))?;
        }
        Ok(())
    }

    let start = now();
    let heart = spawn(beat);
    sleep(millis(2500))?;
    heart.cancel();
    heart.wait()?;
    say!("stopped at {}", (now() - start).as_secs_f64());
    Ok(())
}

fn dining_philosophers() -> io::Result<()> {
    let forks = [(); 3].map(Mutex::new);
    let dine = |n: usize| {
        let (left, right) = (n, (n + 1) % 3);
        let _first = forks[left.min(right)].lock()?;
        let _second = forks[left.max(right)].lock()?;
        say!("philosopher {n} eats");
        sleep(secs(1))
    };
    gather(0..3, dine)?;
    Ok(())
}

scenarios! {
    three_greetings,
    three_factorials,
    one_of_three_fails,
    a_job_that_takes_too_long,
    a_job_that_is_called_off,
    a_producer_and_a_consumer,
    one_end_marker_for_two_consumers,
    an_end_marker_for_each_consumer,
    fetches_two_at_a_time,
    a_value_that_two_would_insert,
    a_signal_between_tasks,
    fibonacci_as_a_stream,
    a_resource,
    a_scraper,
    a_chat,
    a_supervisor,
    a_heartbeat,
    dining_philosophers,
}
