//! A set of loops: its start and its end, and servers on it.

mod common;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use std::{fs, thread};

use common::{Finally, PATIENCE, panic_of, sim, watchdog};
use corio::channel::mpsc;
use corio::testing::Network;
use corio::workers::{Accept, ServerHandle, WorkersBuilder};
use corio::{
    Backend, LoopHandle, Runner, Workers, call_soon, cancel_cause, is_cancelled, millis, run, secs, shield, sleep,
    spawn, timeout, yield_now,
};

fn builder(count: usize) -> WorkersBuilder {
    Workers::builder().count(count)
}

fn workers(count: usize) -> Workers {
    builder(count).start().unwrap()
}

fn end(workers: Workers) {
    workers.stop();
    workers.join().unwrap();
}

fn name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

// ---- the set -------------------------------------------------------------------------------------------------

#[test]
fn there_is_a_loop_for_each_processor_or_as_many_as_one_says() {
    let _watchdog = watchdog();
    let all = Workers::start().unwrap();
    assert_eq!(all.handles().len(), thread::available_parallelism().unwrap().get());
    end(all);
    let workers = builder(3).name("three").start().unwrap();
    let names: Vec<_> = workers.handles().iter().map(|handle| handle.spawn(|| Ok(name())).join().unwrap()).collect();
    assert_eq!(names, ["three-0", "three-1", "three-2"]);
    let in_turn: Vec<_> = (0..4).map(|_| workers.spawn(|| Ok(name())).join().unwrap()).collect();
    assert_eq!(in_turn, ["three-0", "three-1", "three-2", "three-0"]);
    assert_eq!(workers.spawn_on(2, || Ok(name())).join().unwrap(), "three-2");
    assert!(panic_of(|| workers.spawn_on(3, || ())).contains("no worker 3"));
    end(workers);
    for wrong in [builder(0), builder(1).name("a\0b")] {
        assert_eq!(wrong.start().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_task_there_gives_its_value_its_error_or_its_panic() {
    let _watchdog = watchdog();
    let workers = workers(2);
    run(|| {
        assert_eq!(workers.spawn(|| sleep(millis(1)).map(|()| 7)).join()?, 7);
        let error = workers.spawn(|| Err::<(), _>(io::Error::other("no disk"))).join().unwrap_err();
        assert_eq!(error.to_string(), "no disk");
        let task = workers.spawn(|| -> io::Result<()> { panic!("at sea") });
        assert_eq!(panic_of(|| task.join()), "at sea");
        let task = workers.spawn(|| sleep(secs(3_600)));
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()));
        Ok(())
    })
    .unwrap();
    workers.stop();
    workers.join().unwrap();
    assert_eq!(workers.spawn(|| Ok(())).join().unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert!(workers.handles().iter().all(LoopHandle::is_closed));
}

#[test]
fn workers_talk_to_each_other_by_channels_and_handles() {
    let _watchdog = watchdog();
    let workers = Arc::new(workers(2));
    let ((to_1, at_1), (to_0, at_0)) = (mpsc::bounded(1), mpsc::bounded(1));
    let ping = workers.spawn_on(0, move || {
        for n in 0..1_000 {
            to_1.send(n)?;
            assert_eq!(at_0.recv()?, n + 1);
        }
        Ok(())
    });
    let pong = workers.spawn_on(1, move || at_1.iter().try_for_each(|n| Ok(to_0.send(n? + 1)?)));
    ping.join().unwrap();
    pong.join().unwrap();
    // A worker uses the set that it belongs to.
    let set = workers.clone();
    let there = workers.spawn_on(0, move || set.spawn_on(1, || Ok(name())).join());
    assert!(there.join().unwrap().ends_with("-1"));
    workers.stop();
    workers.join().unwrap();
}

#[test]
fn tasks_have_the_stacks_and_loops_the_runners_that_were_asked_for() {
    let _watchdog = watchdog();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noted = heard.clone();
    let settings = move |number: usize| {
        let noted = noted.clone();
        Runner::new()
            .debug(number == 1)
            .exception_handler(move |failure| noted.lock().unwrap().push((number, failure.to_string())))
    };
    let workers = builder(2).stack_size(64 * 1024).runner(settings).start().unwrap();
    assert!(!workers.spawn_on(0, || Ok(corio::is_debug())).join().unwrap());
    assert!(workers.spawn_on(1, || Ok(corio::is_debug())).join().unwrap());
    let failing = workers.spawn_on(1, || {
        call_soon(|| panic!("at sea"));
        yield_now()
    });
    failing.join().unwrap();
    end(workers);
    let workers = builder(1).stack_size(usize::MAX).start().unwrap();
    assert_eq!(workers.spawn(|| Ok(())).join().unwrap_err().kind(), ErrorKind::InvalidInput);
    end(workers);
    let heard = heard.lock().unwrap();
    assert!(heard.len() == 1 && heard[0].0 == 1 && heard[0].1.contains("at sea"), "{heard:?}");
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() {
    let _watchdog = watchdog();
    let panics = |number| if number == 1 { panic!("no settings") } else { Runner::new() };
    assert_eq!(panic_of(|| builder(3).name("fails").runner(panics).start()), "no settings");
    threads_end("fails");
    let closed = |_| {
        let mut closed = Runner::new();
        closed.close();
        closed
    };
    let error = builder(2).name("fails").runner(closed).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    threads_end("fails");
    // In a callback nothing can wait; in a cancelled task nothing begins.
    run(|| {
        call_soon(|| assert_eq!(builder(1).name("fails").start().unwrap_err().kind(), ErrorKind::InvalidInput));
        yield_now()?;
        let cancelled = spawn(|| {
            corio::current().cancel();
            assert!(is_cancelled(&builder(1).name("fails").start().unwrap_err()));
        });
        cancelled.join()
    })
    .unwrap();
    threads_end("fails");
}

/// Waits until no thread has a name that begins so.
fn threads_end(name: &str) {
    let is_there = || {
        let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok()).any(|comm| comm.starts_with(name))
    };
    while is_there() {
        thread::sleep(millis(1));
    }
}

#[test]
fn join_waits_for_the_threads_on_a_loop_and_off_it() {
    let _watchdog = watchdog();
    for on_a_loop in [false, true] {
        let workers = builder(2).name("joined").start().unwrap();
        let cleaned = Arc::new(AtomicBool::new(false));
        let over = Arc::new(AtomicBool::new(false));
        let (begun, tell, last) = (Arc::new(AtomicBool::new(false)), cleaned.clone(), over.clone());
        let begins = begun.clone();
        drop(workers.spawn_on(1, move || {
            LAST_OF_ALL.set(Some(TellsLate(last)));
            begins.store(true, SeqCst);
            let ended = sleep(secs(3_600));
            shield(secs(60), || sleep(millis(50)))?;
            tell.store(true, SeqCst);
            ended
        }));
        while !begun.load(SeqCst) {
            thread::yield_now();
        }
        let waits = || {
            workers.stop();
            workers.join()?;
            workers.join() // and again
        };
        if on_a_loop { run(waits) } else { waits() }.unwrap();
        assert!(cleaned.load(SeqCst), "the tasks have ended");
        assert!(over.load(SeqCst), "and the threads: even what is local to them is gone");
        // The system takes a moment longer to forget them.
        threads_end("joined");
    }
}

thread_local! {
    static LAST_OF_ALL: Cell<Option<TellsLate>> = const { Cell::new(None) };
}

/// Dropped by the end of a thread, after all that the thread does.
struct TellsLate(Arc<AtomicBool>);

impl Drop for TellsLate {
    fn drop(&mut self) {
        thread::sleep(millis(50));
        self.0.store(true, SeqCst);
    }
}

#[test]
fn join_passes_a_cancellation_on_and_waits() {
    let _watchdog = watchdog();
    let workers = workers(2);
    run(|| {
        let limited = timeout(millis(20), || workers.join());
        // What was asked to end has ended well: that is a success, and the limit is met by the next call.
        assert!(limited.is_ok() || corio::is_timed_out(&limited.unwrap_err()));
        assert!(workers.handles().iter().all(LoopHandle::is_closed));
        workers.join()
    })
    .unwrap();
}

#[test]
fn a_worker_cannot_wait_for_its_own_set() {
    let _watchdog = watchdog();
    let workers = Arc::new(workers(2));
    let set = workers.clone();
    let error = workers.spawn(move || set.join()).join().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
    workers.stop();
    workers.join().unwrap();
}

#[test]
fn a_loop_that_ends_by_itself_stops_the_others_and_whoever_waits_is_told() {
    let _watchdog = watchdog();
    let workers = workers(3);
    let (tell, begun) = std::sync::mpsc::channel();
    let late = workers.spawn_on(0, move || {
        tell.send(()).unwrap();
        sleep(secs(3_600))
    });
    begun.recv().unwrap(); // what is not begun when its loop ends is refused
    drop(workers.spawn_on(1, corio::stop));
    for _ in 0..2 {
        let error = workers.join().unwrap_err();
        assert!(error.to_string().contains("worker 1 has ended"), "{error}");
        assert!(!is_cancelled(&error), "nobody has cancelled the one who waits");
    }
    assert!(is_cancelled(&late.join().unwrap_err()));
}

#[test]
fn a_set_that_is_dropped_stops_and_a_forgotten_one_goes_on() {
    let _watchdog = watchdog();
    let workers = builder(2).name("dropped").start().unwrap();
    let (begun, begins) = std::sync::mpsc::channel();
    let task = workers.spawn(move || {
        begun.send(()).unwrap();
        sleep(secs(3_600))
    });
    begins.recv().unwrap();
    drop(workers);
    assert!(is_cancelled(&task.join().unwrap_err()));
    threads_end("dropped");
    let workers = builder(1).start().unwrap();
    let handle = workers.handles()[0].clone();
    std::mem::forget(workers);
    assert_eq!(handle.spawn(|| Ok(7)).join().unwrap(), 7);
}

#[test]
fn a_virtual_clock_starts_and_joins_a_set_in_no_time() {
    let _watchdog = watchdog();
    sim(|| {
        let alarm = spawn(|| sleep(secs(36_000)));
        let workers = workers(2);
        workers.spawn(|| sleep(millis(20))).join()?;
        end(workers);
        assert!(!alarm.is_done());
        Ok(())
    })
    .unwrap();
}

// ---- servers -------------------------------------------------------------------------------------------------

/// Answers each line with the name of the thread.
fn who(stream: corio::net::TcpStream) -> io::Result<()> {
    for line in BufReader::new(&stream).lines() {
        line?;
        (&stream).write_all(format!("{}\n", name()).as_bytes())?;
    }
    Ok(())
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn of(server: &ServerHandle) -> Client {
        let stream = TcpStream::connect(server.local_addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(BufReader::new(stream))
    }

    /// Sends a line and gives what comes back for it; nothing, if the server has hung up.
    fn ask(&mut self, line: &str) -> String {
        let mut answer = String::new();
        let sent = self.0.get_mut().write_all(format!("{line}\n").as_bytes());
        let _ = sent.and_then(|()| self.0.read_line(&mut answer).map(drop));
        answer.trim_end().to_owned()
    }

    fn hangs_up(&mut self) {
        self.0.get_ref().shutdown(Shutdown::Write).unwrap();
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

/// How many sockets of the system listen at a port of IPv4.
fn listeners_at(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let mut rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    let listens = |row: &Vec<&str>| row[1].ends_with(&format!(":{port:04X}")) && row[3] == "0A";
    rows.by_ref().filter(listens).count()
}

const BOTH: [Accept; 2] = [Accept::Each, Accept::One];

#[test]
fn all_workers_serve_and_nothing_is_lost() {
    let _watchdog = watchdog();
    for accept in BOTH {
        let workers = builder(3).name("serves").accept(accept).start().unwrap();
        let server = workers.serve("127.0.0.1:0", who).unwrap();
        assert!(server.local_addr().port() != 0);
        let mut served = BTreeMap::new();
        let mut clients: Vec<Client> = (0..150).map(|_| Client::of(&server)).collect();
        for client in &mut clients {
            let first = client.ask("hello");
            assert_eq!(client.ask("again"), first, "a connection stays with its worker");
            *served.entry(first).or_insert(0) += 1;
        }
        assert_eq!(served.keys().collect::<Vec<_>>(), ["serves-0", "serves-1", "serves-2"], "{accept:?}");
        if accept == Accept::Each && cfg!(target_os = "linux") {
            assert_eq!(listeners_at(server.local_addr().port()), 3);
        }
        if accept == Accept::One {
            assert!(served.values().all(|n| *n == 50), "{served:?}");
        }
        clients.iter_mut().for_each(Client::hangs_up);
        end(workers);
        server.join().unwrap();
    }
}

#[test]
fn server_03_server_07_a_handler_that_fails_concerns_its_connection_alone() {
    let _watchdog = watchdog();
    for accept in BOTH {
        let workers = builder(2).accept(accept).start().unwrap();
        let server = workers.serve("127.0.0.1:0", |stream| {
            for line in BufReader::new(&stream).lines() {
                match &*line? {
                    "fail" => return Err(io::Error::other("no disk")),
                    "panic" => panic!("at sea"),
                    "cancel" => drop(corio::current().cancel()),
                    _ => (&stream).write_all(format!("{}\n", stream.peer_addr()?).as_bytes())?,
                }
            }
            Ok(())
        });
        let server = server.unwrap();
        let mut bystander = Client::of(&server);
        for what in ["fail", "panic", "cancel"] {
            let mut client = Client::of(&server);
            let peer = client.ask("who am I?");
            assert_eq!(peer, client.0.get_ref().local_addr().unwrap().to_string());
            assert_eq!(client.ask(what), "", "it is hung up");
        }
        assert_ne!(bystander.ask("who am I?"), "");
        bystander.hangs_up();
        server.stop();
        server.join().unwrap();
        end(workers);
    }
}

#[test]
fn server_09_an_address_is_one_servers_alone() {
    let _watchdog = watchdog();
    let (workers, others) = (workers(2), workers(2));
    let server = workers.serve("127.0.0.1:0", who).unwrap();
    for set in [&workers, &others] {
        let error = set.serve(server.local_addr(), who).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(workers.serve(listener.local_addr().unwrap(), who).unwrap_err().kind(), ErrorKind::AddrInUse);
    server.stop();
    server.join().unwrap();
    // And then it is free.
    let next = others.serve(server.local_addr(), who).unwrap();
    assert_ne!(Client::of(&next).ask("hello"), "");
    others.stop();
    others.join().unwrap();
    assert_eq!(others.serve("127.0.0.1:0", who).unwrap_err().kind(), ErrorKind::BrokenPipe);
    end(workers);
}

/// Stopped, a server accepts nothing more, and lets what is open finish.
#[test]
fn server_04_a_stop_lets_connections_finish() {
    let _watchdog = watchdog();
    for accept in BOTH {
        for whole_set in [false, true] {
            let workers = builder(2).accept(accept).drain(PATIENCE).start().unwrap();
            let server = workers.serve("127.0.0.1:0", who).unwrap();
            let mut clients: Vec<Client> = (0..20).map(|_| Client::of(&server)).collect();
            clients.iter_mut().for_each(|client| assert_ne!(client.ask("hello"), ""));
            if whole_set {
                workers.stop()
            } else {
                server.stop()
            }
            while TcpStream::connect(server.local_addr()).is_ok() {
                thread::sleep(millis(1));
            }
            clients.iter_mut().for_each(|client| assert_ne!(client.ask("are you there?"), ""));
            clients.iter_mut().for_each(Client::hangs_up);
            server.join().unwrap();
            end(workers);
        }
    }
}

#[test]
fn connections_that_do_not_finish_in_time_are_cancelled() {
    let _watchdog = watchdog();
    for whole_set in [false, true] {
        let ended = Arc::new(AtomicUsize::new(0));
        let tell = ended.clone();
        let workers = builder(2).drain(millis(20)).start().unwrap();
        let server = workers.serve("127.0.0.1:0", move |stream| {
            let _ended = Finally(|| {
                assert!(cancel_cause().is_some());
                tell.fetch_add(1, SeqCst);
            });
            (&stream).write_all(b"\n")?;
            (&stream).read_exact(&mut [0])
        });
        let server = server.unwrap();
        let mut clients: Vec<Client> = (0..10).map(|_| Client::of(&server)).collect();
        for client in &mut clients {
            client.0.read_exact(&mut [0]).unwrap();
        }
        if whole_set {
            workers.stop()
        } else {
            server.stop()
        }
        server.join().unwrap();
        assert_eq!(ended.load(SeqCst), 10);
        end(workers);
    }
}

/// A handler may stop its own server, or its set; and so may whoever waits for it, by being cancelled.
#[test]
fn server_06_a_server_is_stopped_by_a_handler_or_by_who_waits_for_it() {
    let _watchdog = watchdog();
    let workers = workers(2);
    let own = Arc::new(OnceLock::<ServerHandle>::new());
    let seen = own.clone();
    let server = workers.serve("127.0.0.1:0", move |mut stream| {
        seen.wait().stop();
        stream.write_all(b"bye\n")
    });
    own.set(server.unwrap()).unwrap();
    let server = own.wait();
    assert_eq!(Client::of(server).ask(""), "bye");
    server.join().unwrap();

    let server = workers.serve("127.0.0.1:0", who).unwrap();
    run(|| {
        let waits = spawn({
            let server = server.clone();
            move || server.join()
        });
        yield_now()?;
        waits.cancel();
        waits.join()?; // the cancellation went to the server, whose end was waited for
        // Another test may have the port for a while.
        while TcpStream::connect(server.local_addr()).is_ok() {
            sleep(millis(1))?;
        }
        Ok(())
    })
    .unwrap();
    end(workers);
}

#[test]
fn ctrl_c_at_the_one_who_waits_stops_all_in_good_order() {
    const NAME: &str = "ctrl_c_at_the_one_who_waits_stops_all_in_good_order";
    if common::plays(NAME) {
        let ended = run(|| {
            let workers = builder(2).drain(Duration::ZERO).start()?;
            let server = workers.serve("127.0.0.1:0", who)?;
            let mut clients: Vec<Client> = (0..10).map(|_| Client::of(&server)).collect();
            clients.iter_mut().for_each(|client| assert_ne!(client.ask("hello"), ""));
            // SAFETY: a plain C call.
            unsafe { libc::raise(libc::SIGINT) };
            workers.join()?;
            assert!(workers.handles().iter().all(LoopHandle::is_closed));
            Ok(())
        });
        println!("ended: {ended:?}");
        return;
    }
    let ended = common::child(NAME);
    assert!(ended.succeeded().stdout.contains("ended: Ok(())"), "{ended:?}");
}

// ---- simulated networks --------------------------------------------------------------------------------------

#[test]
fn a_simulated_network_is_for_one_loop_at_a_time() {
    let _watchdog = watchdog();
    let network = Network::new();
    let on_it = |network: &Network| Runner::new().backend(Backend::Simulated(network.clone()));
    let shared = network.clone();
    let error = builder(2).runner(move |_| on_it(&shared)).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy, "{error}");
    assert!(error.to_string().contains("of worker") && error.to_string().contains("one at a time"), "{error}");

    let network = Network::new(); // the loop that had the other one may still be ending
    let mut first = on_it(&network);
    first.run(|| Ok(())).unwrap();
    assert_eq!(on_it(&network).run(|| Ok(())).unwrap_err().kind(), ErrorKind::ResourceBusy);
    drop(first);
    on_it(&network).run(|| Ok(())).unwrap();

    // Each its own, or only one: that is a network for one loop.
    let workers = builder(2).runner(move |_| on_it(&Network::new())).start().unwrap();
    let dial = || corio::net::TcpStream::connect("10.0.0.1:80").map(drop);
    assert_eq!(workers.spawn(dial).join().unwrap_err().kind(), ErrorKind::ConnectionRefused);
    end(workers);
}

#[test]
fn a_simulated_run_may_have_workers_that_compute_and_none_that_serve() {
    let _watchdog = watchdog();
    let mut runner = Runner::new().virtual_clock().seed(7).backend(Backend::Simulated(Network::new())).ctrl_c(false);
    let sums = runner.run(|| {
        let alarm = spawn(|| sleep(secs(36_000)));
        let workers = workers(2);
        let error = workers.serve("10.0.0.1:80", |_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("net::Server"), "{error}");
        let listener = corio::net::TcpListener::bind("10.0.0.1:80")?;
        let sums = workers.scope(|s| {
            let children: Vec<_> = (0..4_u64).map(|n| s.spawn(move || Ok((0..=n * 1_000).sum::<u64>()))).collect();
            children.into_iter().map(|child| child.join()).collect::<io::Result<Vec<_>>>()
        })?;
        drop(listener);
        workers.stop();
        workers.join()?;
        assert!(!alarm.is_done(), "the clock does not jump while they work");
        Ok(sums)
    });
    assert_eq!(sums.unwrap(), [0, 500_500, 2_001_000, 4_501_500]);
}
