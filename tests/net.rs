//! TCP: peers that misbehave, streams that are shared, moved and cancelled, limits that are met.
//!
//! What needs no kernel runs on every backend. The rest is about descriptors, other threads and loops, std's sockets, names
//! that are looked up by a thread, and what is left after a run.
//!
//! Ids in comments: Bx, Dx, Fx are rows of the table of faults, Rx rules of the design.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::backends::{everywhere, is_simulated, listen, pair, register, too_much};
use common::{Finally, child, in_child, plays, watchdog};
use corio::io::StreamReader;
use corio::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket, UnixListener};
use corio::observe::event::Event;
use corio::{
    Runner, call_soon, cancel_cause, is_cancelled, is_timed_out, millis, now, run, scope, secs, sleep, spawn, timeout,
    yield_now,
};

const ANY: &str = "127.0.0.1:0";

/// A connection of which one end belongs to std: a peer that knows nothing of loops.
fn pair_with_std() -> io::Result<(TcpStream, std::net::TcpStream)> {
    let (ours, theirs) = pair()?;
    Ok((ours, theirs.into_std()?))
}

/// Closes with a reset instead of a farewell.
fn reset(stream: TcpStream) -> io::Result<()> {
    stream.set_linger(Some(Duration::ZERO))
}

fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// What a destructor finds that runs while a shutdown unwinds its task by force.
fn while_its_task_is_forced<T: 'static>(act: impl FnOnce() -> T + 'static) -> io::Result<T> {
    let found = Rc::new(RefCell::new(None));
    let finds = found.clone();
    Runner::new().grace(Duration::ZERO).run(move || {
        drop(spawn(move || {
            let mut act = Some(act);
            let _end = Finally(move || {
                finds.replace(act.take().map(|act| (act(), std::thread::panicking())));
            });
            for _ in 0_u64.. {
                let _ = sleep(secs(60)); // takes no cancellation for an answer
            }
            Ok(())
        }));
        yield_now()
    })?;
    let (result, panicking) = found.take().expect("it has run");
    assert!(panicking, "it was unwound");
    Ok(result)
}

// ---- ends of connections --------------------------------------------------------------------------------------------

/// The end comes in one edge with the last data; the short read must not make the reader forget it.
#[test]
fn b06_data_and_the_end_in_one_edge_are_a_short_read_and_then_the_end() {
    everywhere(|| {
        let (mut ours, mut theirs) = pair()?;
        let reader = spawn(move || {
            let (mut buffer, mut text) = ([0; 100], Vec::new());
            loop {
                match ours.read(&mut buffer)? {
                    0 => return Ok((text, ours.read(&mut buffer)?)),
                    n => text.extend(&buffer[..n]),
                }
            }
        });
        yield_now()?;
        theirs.write_all(b"last words")?;
        drop(theirs);
        assert_eq!(reader.join()?, (b"last words".to_vec(), 0));
        Ok(())
    });
}

/// TRANS-03: whoever reads the end can write on until he drops the stream.
#[test]
fn trans_03_b06_f02_half_close_ends_reading_and_leaves_writing_alone() {
    everywhere(|| {
        let (mut ours, mut theirs) = pair()?;
        register(&ours)?;
        theirs.write_all(b"question")?;
        theirs.shutdown(Shutdown::Write)?;
        assert_eq!(theirs.write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut text = String::new();
        ours.read_to_string(&mut text)?;
        assert_eq!(text, "question");
        for _ in 0..3 {
            ours.write_all(b"word ")?;
            assert_eq!(ours.read(&mut [0])?, 0, "the end is told again");
        }
        drop(ours);
        text.clear();
        theirs.read_to_string(&mut text)?;
        assert_eq!(text, "word word word ");
        Ok(())
    });
}

#[test]
fn shutting_a_stream_down_wakes_the_task_that_reads_from_it() {
    let _watchdog = watchdog();
    for how in [Shutdown::Read, Shutdown::Both] {
        everywhere(|| {
            let (ours, _theirs) = pair()?;
            scope(|s| {
                let reader = s.spawn(|| (&ours).read(&mut [0]));
                yield_now()?;
                ours.shutdown(how)?;
                assert_eq!(reader.join()?, 0);
                Ok(())
            })
        });
    }
}

#[test]
fn f01_f07_a_reset_is_an_error_for_reader_and_writer_and_a_loop_over_it_lets_others_run() {
    everywhere(|| {
        let (ours, theirs) = pair()?;
        let ticks = Cell::new(0);
        scope(|s| {
            let reader = s.spawn(|| Ok((&ours).read(&mut [0]).unwrap_err().kind()));
            yield_now()?;
            reset(theirs)?;
            assert_eq!(reader.join()?, io::ErrorKind::ConnectionReset);
            // A loop over a dead connection gets an error each time, and others run meanwhile.
            let ticker = s.spawn(|| -> io::Result<()> {
                loop {
                    ticks.set(ticks.get() + 1);
                    yield_now()?;
                }
            });
            for _ in 0..1_000 {
                assert_eq!((&ours).write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            }
            assert!(ticks.get() > 3);
            ticker.cancel();
            Ok(())
        })
    });
}

#[test]
fn f01_a_blocked_writer_hears_of_the_reset() {
    everywhere(|| {
        let (mut ours, theirs) = pair()?;
        let much = too_much(&ours);
        let writer = spawn(move || Ok(ours.write_all(&much).unwrap_err().kind()));
        sleep(millis(50))?;
        assert!(!writer.is_done());
        reset(theirs)?;
        let kind = writer.join()?;
        assert!(matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{kind}");
        Ok(())
    });
}

/// Also in a program that left the signal at its default, which is death.
#[test]
fn f01_no_write_to_a_dead_peer_raises_sigpipe() {
    let output = in_child("f01_no_write_to_a_dead_peer_raises_sigpipe", || {
        // SAFETY: restores the default action.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        run(|| {
            for vectored in [false, true] {
                let (ours, theirs) = pair_with_std()?;
                reset(TcpStream::from_std(theirs)?)?;
                let _ = (&ours).read(&mut [0]);
                let result =
                    if vectored { (&ours).write_vectored(&[IoSlice::new(b"x"); 2]) } else { (&ours).write(b"x") };
                assert_eq!(result.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            }
            Ok(())
        })
        .unwrap();
    });
    output.succeeded();
}

// ---- what asyncio tells a protocol -----------------------------------------------------------------------------------

/// TRANS-01: a connection is made, its bytes come, then its end, and nothing after that. The end is the answer to every read that
/// asks, and a reset to one call.
#[test]
fn trans_01_a_connection_is_made_brings_its_bytes_and_its_end_and_is_lost_once() {
    everywhere(|| {
        let (listener, address) = listen()?;
        scope(|s| {
            let accepting = s.spawn(|| listener.accept());
            let mut told = Vec::new();
            let mut stream = TcpStream::connect(address)?;
            told.push("made");
            let (mut far, _) = accepting.join()?;
            let peer = s.spawn(move || {
                for _ in 0..3 {
                    far.write_all(b"piece")?;
                    sleep(millis(5))?;
                }
                far.shutdown(Shutdown::Write).map(|()| far)
            });
            let mut bytes = Vec::new();
            while told.last() != Some(&"end") {
                let mut buffer = [0; 8];
                let n = stream.read(&mut buffer)?;
                bytes.extend(&buffer[..n]);
                told.push(if n > 0 { "data" } else { "end" });
            }
            told.dedup();
            assert_eq!((told, &bytes[..]), (vec!["made", "data", "end"], &b"piecepiecepiece"[..]));
            // Also if it is lost then: that is told to whoever writes.
            reset(peer.join()?)?;
            sleep(millis(100))?;
            for _ in 0..3 {
                assert_eq!(stream.read(&mut [0; 8])?, 0);
                assert_eq!(stream.write(b"?").unwrap_err().kind(), ErrorKind::BrokenPipe);
            }
            Ok(())
        })?;

        let (mut stream, far) = pair()?;
        (&far).write_all(b"last")?;
        sleep(millis(100))?;
        reset(far)?;
        sleep(millis(100))?;
        let mut told = Vec::new();
        while told.len() < 8 {
            let mut byte = [0];
            told.push(stream.read(&mut byte).map(|n| byte[..n].to_vec()).map_err(|error| error.kind()));
        }
        let end = || Ok(vec![]);
        let last = b"last".map(|byte| Ok(vec![byte]));
        assert_eq!(told[..4], last, "what came before it is delivered first");
        assert_eq!(told[4..], [Err(ErrorKind::ConnectionReset), end(), end(), end()]);
        Ok(())
    });
}

/// TRANS-02: who connects or accepts has the connection, with both addresses, before anybody reads from it; what has come by then
/// waits.
#[test]
fn trans_02_nothing_is_read_before_the_caller_has_the_connection() {
    everywhere(|| {
        let (listener, address) = listen()?;
        // Sent before anybody accepts ...
        let mut client = TcpStream::connect(address)?;
        assert_eq!(client.peer_addr()?, address);
        client.write_all(b"early")?;
        client.shutdown(Shutdown::Write)?;
        sleep(millis(100))?;
        let (mut server, from) = listener.accept()?;
        assert_eq!((from, server.peer_addr()?), (client.local_addr()?, client.local_addr()?));
        let mut text = String::new();
        server.read_to_string(&mut text)?;
        assert_eq!(text, "early");
        // ... and before the client has its turn.
        let greeter = spawn(move || listener.accept()?.0.write_all(b"welcome"));
        let mut client = TcpStream::connect(address)?;
        assert_eq!(client.peer_addr()?, address);
        greeter.join()?;
        sleep(millis(100))?;
        text.clear();
        client.read_to_string(&mut text)?;
        assert_eq!(text, "welcome");
        Ok(())
    });
}

/// A task that sends too much, and then the end.
fn flood(far: TcpStream) -> (corio::JoinHandle<io::Result<()>>, Vec<u8>) {
    let much = too_much(&far);
    let sent = much.clone();
    (spawn(move || Ok((&far).write_all(&much))), sent)
}

/// TRANS-05: a task pauses by not reading. Then nothing is taken, the peer has to wait, and what comes stays, the end too; as often
/// as it likes.
#[test]
fn trans_05_whoever_does_not_read_has_paused_until_he_reads_again() {
    everywhere(|| {
        let (near, far) = pair()?;
        let (peer, sent) = flood(far);
        let mut reader = StreamReader::new(near);
        let mut got = Vec::new();
        for part in [1_000, 5_000] {
            got.extend(reader.read_exactly(part)?);
            let ahead = reader.buffer().len();
            sleep(millis(50))?;
            assert!(!peer.is_done() && reader.buffer().len() == ahead);
        }
        got.extend(reader.read_exactly(sent.len() - got.len() - 10)?);
        peer.join()??; // and it has closed the connection: that resumes nobody
        sleep(millis(100))?;
        assert!(!reader.at_eof());
        reader.read_to_end(&mut got)?;
        assert!(got == sent && reader.at_eof());
        Ok(())
    });
}

/// TRANS-06: a connection that nobody reads from the beginning keeps its first bytes, and its peer waiting, at either end.
#[test]
fn trans_06_a_connection_may_begin_with_a_pause() {
    everywhere(|| {
        let (listener, address) = listen()?;
        let client = TcpStream::connect(address)?;
        let (server, _) = listener.accept()?;
        for (mut near, far) in [(server.try_clone()?, client.try_clone()?), (client, server)] {
            let (peer, sent) = flood(far.try_clone()?);
            sleep(millis(50))?;
            assert!(!peer.is_done(), "nobody has read anything");
            let mut got = vec![0; sent.len()];
            near.read_exact(&mut got)?;
            assert!(got == sent, "from its first byte on");
            peer.join()??;
        }
        Ok(())
    });
}

/// TRANS-12: whoever has the stream reads on where the last one stopped, through a reader or with memory of his own. No memory is no
/// mistake: nothing is read, and nothing is closed.
#[test]
fn trans_12_the_receiver_may_change_at_any_time() {
    everywhere(|| {
        let (near, mut far) = pair()?;
        far.write_all(b"line\nhalf")?;
        let mut reader = StreamReader::new(near);
        assert_eq!(reader.read_line()?, b"line\n");
        // While one waits for more he is given up; the next one, in another task, has all that came.
        assert!(is_timed_out(&timeout(millis(100), || reader.read_line()).unwrap_err()));
        let next = spawn(move || {
            let mut own = [0; 4];
            assert_eq!(reader.read(&mut [])?, 0);
            reader.read_exact(&mut own)?;
            assert!(&own == b"half" && reader.buffer().is_empty());
            Ok(reader.into_inner())
        });
        let mut near = next.join()?;
        far.write_all(b"bare")?;
        assert_eq!((near.read(&mut [])?, near.read_vectored(&mut [])?), (0, 0));
        let mut own = [0; 4];
        near.read_exact(&mut own)?;
        assert_eq!(&own, b"bare");
        assert_eq!(near.read(&mut [])?, 0);
        far.write_all(b"more\n")?;
        let mut reader = StreamReader::new(near);
        assert_eq!(reader.read_line()?, b"more\n");
        Ok(())
    });
}

/// TRANS-14: it is off at both ends, as std leaves it, until it is switched on: at one end, for all its handles.
#[test]
fn trans_14_no_delay_is_switched_on_by_whoever_wants_it() {
    everywhere(|| {
        let nodelay = |stream: &TcpStream| {
            let set = stream.nodelay()?;
            assert!(is_simulated(stream) || socket2::SockRef::from(stream).tcp_nodelay()? == set);
            Ok::<bool, io::Error>(set)
        };
        let (near, far) = pair()?;
        assert_eq!((nodelay(&near)?, nodelay(&far)?), (false, false));
        near.set_nodelay(true)?;
        assert_eq!((nodelay(&near)?, nodelay(&near.try_clone()?)?, nodelay(&far)?), (true, true, false));
        near.set_nodelay(false)?;
        assert!(!nodelay(&near)?);
        Ok(())
    });
}

/// TRANS-15: what is dropped is closed, with its last handle, and nobody is warned: that is what an owner is for.
#[test]
fn trans_15_what_is_dropped_is_closed_without_a_warning() {
    /// What a descriptor stands for: no other socket will ever have the name. There are names where there is `/proc`; what
    /// is simulated is counted by the network.
    fn name(socket: &impl AsRawFd) -> Option<std::path::PathBuf> {
        let named = cfg!(target_os = "linux") && !is_simulated(socket);
        named.then(|| std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap())
    }
    fn is_closed(name: &Option<std::path::PathBuf>) -> bool {
        let Some(name) = name else { return true };
        let mut open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        open.all(|entry| std::fs::read_link(entry.path()).map_or(true, |other| other != *name))
    }
    // Another test's child may hold what is open here until it has become another program, so nobody else shall be here.
    let ended = in_child("trans_15_what_is_dropped_is_closed_without_a_warning", || {
        everywhere(|| {
            let (end, log) = common::logged(|| {
                let (near, mut far) = pair()?;
                register(&near)?;
                let (second, open) = (near.try_clone()?, name(&near));
                drop(near);
                far.set_read_timeout(Some(millis(50)))?;
                assert_eq!(far.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut, "there is a second handle");
                far.set_read_timeout(None)?;
                drop(second);
                assert!(is_closed(&open));
                assert_eq!(far.read(&mut [0])?, 0);

                let (listener, address) = listen()?;
                let open = name(&listener);
                drop(listener);
                assert!(is_closed(&open));
                assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);

                let socket = UdpSocket::bind(ANY)?;
                let (open, address) = (name(&socket), socket.local_addr()?);
                drop(socket);
                assert!(is_closed(&open));
                UdpSocket::bind(address).map(drop)
            });
            end?;
            let loud: Vec<_> =
                log.iter().filter(|line| line.starts_with("WARN") || line.starts_with("ERROR")).collect();
            assert!(loud.is_empty(), "{loud:?}");
            Ok(())
        })
    });
    ended.succeeded();
}

// ---- accepting ------------------------------------------------------------------------------------------------------

/// B1 and SERVER-11: no descriptors. The queued client is accepted as soon as there is one; meanwhile nothing spins, and the log has
/// one line.
#[test]
fn b01_a_queued_client_is_accepted_once_descriptors_are_free() {
    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    struct Lines;
    impl log::Log for Lines {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            if record.level() <= log::Level::Error {
                LINES.lock().unwrap().push(record.args().to_string());
            }
        }
        fn flush(&self) {}
    }
    let output = in_child("b01_a_queued_client_is_accepted_once_descriptors_are_free", || {
        log::set_logger(&Lines).unwrap();
        log::set_max_level(log::LevelFilter::Info);
        let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
        // SAFETY: passes a valid structure.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        let polls = Rc::new(Cell::new(0));
        let seen = polls.clone();
        let observer = move |record: &corio::observe::event::Record, _: &corio::observe::Names| {
            if matches!(record.event, Event::PollEnter { .. }) {
                seen.set(seen.get() + 1);
            }
        };
        Runner::new()
            .observer(observer)
            .run(move || {
                let listener = TcpListener::bind(ANY)?;
                let address = listener.local_addr()?;
                let clients = [TcpStream::connect(address)?, TcpStream::connect(address)?];
                let mut hoard = Vec::new();
                while let Ok(file) = std::fs::File::open("/dev/null") {
                    hoard.push(file);
                }
                let accepted = Rc::new(Cell::new(0));
                let count = accepted.clone();
                let server = spawn(move || {
                    for stream in listener.incoming() {
                        stream?.write_all(b"!")?;
                        count.set(count.get() + 1);
                    }
                    Ok(())
                });
                polls.set(0);
                sleep(millis(350))?;
                assert_eq!(accepted.get(), 0);
                assert!(polls.get() < 20, "{} polls: this is a spin", polls.get());
                assert_eq!(LINES.lock().unwrap().len(), 1, "{:?}", LINES.lock().unwrap());
                drop(hoard);
                for mut client in clients {
                    client.read_exact(&mut [0])?;
                }
                assert_eq!(accepted.get(), 2);
                server.cancel();
                assert!(is_cancelled(&server.join().unwrap_err()));
                Ok(())
            })
            .unwrap();
    });
    output.succeeded();
}

/// In non-blocking mode it waits for nothing, not for descriptors either.
#[test]
fn b01_without_descriptors_a_nonblocking_accept_fails_at_once() {
    let output = in_child("b01_without_descriptors_a_nonblocking_accept_fails_at_once", || {
        let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
        // SAFETY: passes a valid structure.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        run(|| {
            let listener = TcpListener::bind(ANY)?;
            listener.set_nonblocking(true)?;
            let _client = TcpStream::connect(listener.local_addr()?)?;
            let mut hoard = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                hoard.push(file);
            }
            assert_eq!(listener.accept().unwrap_err().raw_os_error(), Some(libc::EMFILE));
            drop(hoard);
            listener.accept().map(drop)
        })
        .unwrap();
    });
    output.succeeded();
}

#[test]
fn b02_clients_that_were_reset_in_the_queue_do_not_keep_the_next_one_waiting() {
    everywhere(|| {
        let (listener, address) = listen()?;
        for _ in 0..20 {
            reset(TcpStream::connect(address)?)?;
        }
        let mut good = TcpStream::connect(address)?;
        good.write_all(b"hello")?;
        for stream in listener.incoming() {
            let mut text = [0; 5];
            if stream?.read_exact(&mut text).is_ok() {
                assert_eq!(&text, b"hello");
                break;
            }
        }
        Ok(())
    });
}

/// A socket has one mode for all its handles: one that would be given away in blocking mode stays while there is another.
#[test]
fn what_has_a_second_handle_is_not_given_away_in_another_mode() -> io::Result<()> {
    let _watchdog = watchdog();
    fn refused<T: std::fmt::Debug>(given: io::Result<T>) {
        assert_eq!(given.unwrap_err().kind(), ErrorKind::ResourceBusy);
    }
    run(|| {
        let listener = TcpListener::bind(ANY)?;
        refused(listener.try_clone()?.into_std());
        assert!(is_timed_out(&timeout(millis(5), || listener.accept()).unwrap_err()));
        assert!(!is_nonblocking(&listener.into_std()?));

        let path = std::env::temp_dir().join(format!("corio-mode-{}", std::process::id()));
        let listener = UnixListener::bind(&path)?;
        refused(listener.try_clone()?.into_std());
        assert!(is_timed_out(&timeout(millis(5), || listener.accept()).unwrap_err()));
        assert!(!is_nonblocking(&listener.into_std()?));
        assert!(path.exists(), "as a listener of std's, it leaves its file");
        std::fs::remove_file(path)?;

        let (mut reader, writer) = corio::io::pipe()?;
        refused(reader.try_clone()?.into_fd());
        assert!(is_timed_out(&timeout(millis(5), || reader.read(&mut [0])).unwrap_err()));
        assert!(!is_nonblocking(&reader.into_fd()?));
        refused(writer.try_clone()?.into_fd());
        assert!(!is_nonblocking(&writer.into_fd()?));
        Ok(())
    })
}

/// Who closes an end of a pipe, or a socket of datagrams, tells those who wait for it, also on a thread.
#[test]
fn an_end_that_is_closed_wakes_who_waits() -> io::Result<()> {
    let _watchdog = watchdog();
    run(|| {
        let (reader, _writer) = corio::io::pipe()?;
        let reader = Rc::new(reader);
        let waiter = spawn({
            let reader = reader.clone();
            move || Ok((&*reader).read(&mut [0]))
        });
        yield_now()?;
        reader.close();
        assert_eq!(waiter.join()?.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!((&*reader).read(&mut [0]).unwrap_err().kind(), ErrorKind::BrokenPipe);

        let socket = Arc::new(corio::net::UdpSocket::bind(ANY)?);
        let waiter = std::thread::spawn({
            let socket = socket.clone();
            move || socket.recv(&mut [0])
        });
        sleep(millis(20))?; // it waits by now, most likely, and hears of it in either case
        socket.close();
        assert_eq!(waiter.join().unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    })
}

/// All that can be waited for moves to another loop by an explicit call, and stays while somebody waits.
#[test]
fn everything_that_is_waited_for_can_be_released_and_used_by_another_loop() -> io::Result<()> {
    let _watchdog = watchdog();
    let (udp, listener, pipes, unix) = run(|| {
        let udp = corio::net::UdpSocket::bind(ANY)?;
        let listener = TcpListener::bind(ANY)?;
        let (reader, writer) = corio::io::pipe()?;
        let (near, far) = corio::net::UnixStream::pair()?;
        scope(|s| {
            let waits = s.spawn(|| timeout(secs(60), || udp.recv(&mut [0])));
            yield_now()?;
            assert_eq!(udp.release().unwrap_err().kind(), ErrorKind::ResourceBusy);
            udp.send_to(b"!", udp.local_addr()?)?;
            waits.join()
        })?;
        for waits in [
            timeout(millis(1), || listener.accept().map(drop)),
            timeout(millis(1), || (&reader).read(&mut [0]).map(drop)),
            timeout(millis(1), || (&near).read(&mut [0]).map(drop)),
        ] {
            assert!(is_timed_out(&waits.unwrap_err()), "now it is registered here");
        }
        udp.release()?;
        listener.release()?;
        reader.release()?;
        writer.release()?;
        near.release()?;
        Ok((udp, listener, (reader, writer), (near, far)))
    })?;
    let elsewhere = std::thread::spawn(move || {
        run(|| {
            udp.send_to(b"!", udp.local_addr()?)?;
            udp.recv(&mut [0])?;
            let _client = TcpStream::connect(listener.local_addr()?)?;
            listener.accept()?;
            (&pipes.1).write_all(b"!")?;
            (&pipes.0).read_exact(&mut [0])?;
            (&unix.1).write_all(b"!")?;
            (&unix.0).read_exact(&mut [0])
        })
    });
    elsewhere.join().unwrap()
}

fn is_nonblocking(fd: &impl AsRawFd) -> bool {
    // SAFETY: asks for the flags of an open descriptor.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

/// B1, B2: the errors of one connection, and those that will pass, end no listener. The kernel is made to give them by strace.
#[test]
fn b01_b02_accept_survives_what_the_kernel_may_say() {
    const NAME: &str = "b01_b02_accept_survives_what_the_kernel_may_say";
    if plays(NAME) {
        return run(|| {
            let listener = TcpListener::bind(ANY)?;
            let address = listener.local_addr()?;
            scope(|s| {
                let accepted = s.spawn(|| listener.accept().map(drop));
                TcpStream::connect(address)?.write_all(b"hello")?;
                accepted.join()
            })
        })
        .unwrap();
    }
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        eprintln!("SKIPPED: {NAME}: strace is not installed");
        return;
    }
    for errno in [
        "ECONNABORTED",
        "EPROTO",
        "EPERM",
        "ENETDOWN",
        "ENETUNREACH",
        "ENOPROTOOPT",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "EOPNOTSUPP",
        "ENONET",
        "EMFILE",
        "ENFILE",
        "ENOBUFS",
        "ENOMEM",
        "EINTR",
    ] {
        let mut strace = std::process::Command::new("strace");
        let inject = format!("inject=accept4:error={errno}:when=1..2");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=accept4", "-e", &inject]);
        strace.arg(std::env::current_exe().unwrap()).args(["--exact", NAME, "--test-threads=1"]);
        strace.env(common::SCENARIO, NAME);
        let ended = common::finish(strace);
        assert!(ended.status.success(), "{errno}: {ended:#?}");
    }
}

/// D4: a full queue of clients is served in portions, and others run in between.
#[test]
fn d04_connections_without_end_let_others_run() {
    everywhere(|| {
        let (listener, address) = listen()?;
        let clients = (0..400).map(|_| TcpStream::connect(address)).collect::<io::Result<Vec<_>>>()?;
        let turns = Rc::new(Cell::new(0));
        let count = turns.clone();
        let other = spawn(move || -> io::Result<()> {
            loop {
                count.set(count.get() + 1);
                yield_now()?;
            }
        });
        let mut accepted = Vec::new();
        while accepted.len() < clients.len() {
            accepted.push(listener.accept()?);
        }
        assert!(turns.get() >= 3, "{}", turns.get());
        other.cancel();
        assert!(is_cancelled(&other.join().unwrap_err()));
        Ok(())
    });
}

/// D3: so is a reader whose peer is always ahead.
#[test]
fn d03_a_socket_that_is_always_ready_lets_others_run() {
    everywhere(|| {
        let (mut ours, mut theirs) = pair()?;
        // All of it has to be under way: while somebody is always ready, no virtual time passes.
        let amount = if is_simulated(&ours) { 1_500 } else { 4_000 };
        let writer = spawn(move || theirs.write_all(&vec![1; amount]).map(|()| theirs));
        sleep(millis(50))?;
        let turns = Rc::new(Cell::new(0));
        let count = turns.clone();
        let other = spawn(move || -> io::Result<()> {
            loop {
                count.set(count.get() + 1);
                yield_now()?;
            }
        });
        for _ in 0..amount {
            ours.read_exact(&mut [0])?;
        }
        assert!(turns.get() >= amount / 400, "{}", turns.get());
        other.cancel();
        assert!(is_cancelled(&other.join().unwrap_err()));
        writer.join().map(drop)
    });
}

// ---- connecting -----------------------------------------------------------------------------------------------------

#[test]
fn connecting_to_nobody_is_refused_in_a_task_and_on_a_thread() -> io::Result<()> {
    let _watchdog = watchdog();
    let address = std::net::TcpListener::bind(ANY)?.local_addr()?;
    let kind = || TcpStream::connect(address).unwrap_err().kind();
    assert_eq!(kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(run(|| Ok(kind()))?, io::ErrorKind::ConnectionRefused);
    let limited = || TcpStream::connect_timeout(&address, secs(5)).unwrap_err().kind();
    assert_eq!(limited(), io::ErrorKind::ConnectionRefused);
    assert_eq!(run(|| Ok(limited()))?, io::ErrorKind::ConnectionRefused);
    Ok(())
}

/// A listener whose queue is full: connecting to it goes on and on.
fn full() -> io::Result<(TcpListener, Vec<std::net::TcpStream>)> {
    let listener = TcpListener::bind_with_backlog(ANY, 0)?;
    let address = listener.local_addr()?;
    let mut clients = Vec::new();
    while let Ok(client) = std::net::TcpStream::connect_timeout(&address, millis(50)) {
        clients.push(client);
    }
    Ok((listener, clients))
}

#[test]
fn a_connect_that_gets_no_answer_times_out_and_can_be_cancelled() -> io::Result<()> {
    let _watchdog = watchdog();
    let (listener, _clients) = full()?;
    let address = listener.local_addr()?;
    let attempt = || {
        let start = Instant::now();
        let error = TcpStream::connect_timeout(&address, millis(30)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= millis(30));
    };
    attempt();
    run(|| {
        attempt();
        assert!(is_timed_out(&timeout(millis(10), || TcpStream::connect(address)).unwrap_err()));
        let task = spawn(move || TcpStream::connect(address).map(drop));
        yield_now()?;
        yield_now()?;
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()));
        Ok(())
    })
}

#[test]
fn c01_a_time_limit_of_nothing_is_refused_and_an_enormous_one_is_none() {
    everywhere(|| {
        let (listener, address) = listen()?;
        let error = TcpStream::connect_timeout(&address, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let stream = TcpStream::connect_timeout(&address, Duration::MAX)?;
        assert_eq!(stream.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        stream.set_read_timeout(Some(Duration::MAX))?;
        stream.set_write_timeout(Some(Duration::MAX))?;
        assert_eq!(stream.read_timeout()?.map(|limit| limit > secs(1 << 32)), Some(true));
        let (mut accepted, _) = listener.accept()?;
        let reader = spawn(move || (&stream).read(&mut [0]));
        yield_now()?;
        accepted.write_all(b"x")?;
        assert_eq!(reader.join()?, 1);
        Ok(())
    });
}

/// Law 1: cancelled means that it did not happen. Not even a connection that nobody wanted.
#[test]
fn a_connect_in_a_cancelled_task_reaches_nobody() {
    everywhere(|| {
        let (listener, address) = listen()?;
        listener.set_nonblocking(true)?;
        let task = spawn(move || {
            corio::current().cancel();
            TcpStream::connect(address).map(drop)
        });
        assert!(is_cancelled(&task.join().unwrap_err()));
        sleep(millis(100))?; // longer than any way
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}

/// LOOP-32: a name is looked up on another thread, and the tasks of this one run meanwhile.
#[test]
fn r16_a_name_is_looked_up_while_others_run() -> io::Result<()> {
    let _watchdog = watchdog();
    run(|| {
        let listener = TcpListener::bind(ANY)?;
        let address = listener.local_addr()?;
        let ran = Rc::new(Cell::new(false));
        let other = ran.clone();
        drop(spawn(move || other.set(true)));
        let stream = TcpStream::connect(("localhost", address.port()))?;
        assert!(ran.take(), "the look-up did not pause");
        assert_eq!(stream.peer_addr()?, address);
        let (accepted, peer) = listener.accept()?;
        assert_eq!(peer, stream.local_addr()?);
        drop((stream, accepted));
        let _ = TcpStream::connect(format!("localhost:{}", address.port()))?;

        let other = ran.clone();
        drop(spawn(move || other.set(true)));
        assert!(("localhost", 80).to_socket_addrs()?.any(|found| found.ip().is_loopback()));
        assert!(ran.get(), "a look-up for its own sake does not either");
        Ok(())
    })
}

#[test]
fn r16_a_cancelled_look_up_ends_at_once() -> io::Result<()> {
    let _watchdog = watchdog();
    run(|| {
        let task = spawn(|| TcpStream::connect("localhost:9").map(drop));
        yield_now()?;
        task.cancel();
        assert!(is_cancelled(&task.join().unwrap_err()));
        Ok(())
    })
}

#[test]
fn r16_a_bad_name_is_an_error() {
    let _watchdog = watchdog();
    fn lookup(name: impl ToSocketAddrs) -> io::Error {
        TcpStream::connect(name).unwrap_err()
    }
    everywhere(|| {
        assert_eq!(lookup("no port here").kind(), io::ErrorKind::InvalidInput);
        assert_eq!(lookup("").kind(), io::ErrorKind::InvalidInput);
        assert_eq!(lookup("localhost:70000").kind(), io::ErrorKind::InvalidInput);
        assert!(!is_cancelled(&lookup("name\0with a nul:80")));
        assert!(!is_cancelled(&lookup(&[][..])));
        Ok(())
    });
    assert_eq!(lookup("no port here").kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn r16_names_can_be_looked_up_without_connecting() {
    let _watchdog = watchdog();
    fn look_up() -> io::Result<()> {
        let literal: std::net::SocketAddr = "[::1]:7".parse().unwrap();
        assert_eq!("[::1]:7".to_socket_addrs()?.collect::<Vec<_>>(), [literal]);
        let addresses: Vec<_> = ("localhost", 7).to_socket_addrs()?.collect();
        assert!(!addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback()), "{addresses:?}");
        assert_eq!("localhost".to_socket_addrs().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        Ok(())
    }
    look_up().unwrap();
    everywhere(|| {
        look_up()?;
        let cancelled = corio::CancelScope::new();
        cancelled.cancel();
        cancelled.run(|| {
            assert!(is_cancelled(&("localhost", 7).to_socket_addrs().unwrap_err()));
            assert!(is_cancelled(&"[::1]:7".to_socket_addrs().unwrap_err()));
            Ok(())
        })
    });
}

// ---- several tasks on one stream ------------------------------------------------------------------------------------

#[test]
fn b10_several_readers_are_all_woken_in_order_and_no_byte_is_read_twice() {
    everywhere(|| {
        let (ours, mut theirs) = pair()?;
        let ours = Rc::new(ours);
        let got: Rc<RefCell<Vec<(u32, u8)>>> = Rc::default();
        let readers: Vec<_> = (0..3)
            .map(|id| {
                let (ours, got) = (ours.clone(), got.clone());
                spawn(move || {
                    let mut byte = [0];
                    while (&*ours).read(&mut byte)? > 0 {
                        got.borrow_mut().push((id, byte[0]));
                        yield_now()?;
                    }
                    Ok(())
                })
            })
            .collect();
        sleep(millis(1))?;
        theirs.write_all(&noise(5, 300))?;
        drop(theirs);
        for reader in readers {
            reader.join()?;
        }
        let got = got.take();
        assert_eq!(got.iter().map(|(_, byte)| *byte).collect::<Vec<_>>(), noise(5, 300));
        assert_eq!(got[..3].iter().map(|(id, _)| *id).collect::<Vec<_>>(), [0, 1, 2]);
        Ok(())
    });
}

/// The limit is one of the whole read, however often another task was quicker.
#[test]
fn a_read_timeout_counts_from_the_beginning_of_the_read() {
    everywhere(|| {
        let (ours, mut theirs) = pair()?;
        ours.set_read_timeout(Some(millis(60)))?;
        let ours = Rc::new(ours);
        let thief = ours.clone();
        let thief = spawn(move || -> io::Result<()> {
            loop {
                let _ = (&*thief).read(&mut [0; 8]);
                if cancel_cause().is_some() {
                    return Err(io::ErrorKind::Other.into());
                }
            }
        });
        yield_now()?;
        let victim = spawn(move || Ok((&*ours).read(&mut [0; 8]).unwrap_err().kind()));
        for _ in 0..100 {
            sleep(millis(5))?;
            if victim.is_done() {
                thief.cancel();
                assert!(thief.join().is_err());
                assert_eq!(victim.join()?, io::ErrorKind::TimedOut);
                return Ok(());
            }
            theirs.write_all(b"x")?;
        }
        panic!("the read is not over after eight times its limit");
    });
}

// ---- several loops --------------------------------------------------------------------------------------------------

#[test]
fn a_stream_moves_to_another_loop_and_back_and_works_on_a_thread_without_one() -> io::Result<()> {
    let _watchdog = watchdog();
    fn answer(mut stream: TcpStream, peer: &mut std::net::TcpStream, word: &'static [u8]) -> io::Result<TcpStream> {
        let mut peer = peer.try_clone()?;
        let writer = std::thread::spawn(move || {
            std::thread::sleep(millis(3)); // most likely the reader waits by now; either way it must work
            peer.write_all(word)
        });
        let mut read = vec![0; word.len()];
        stream.read_exact(&mut read)?;
        assert_eq!(read, word);
        writer.join().unwrap()?;
        Ok(stream)
    }
    let (mut stream, mut peer) = run(|| {
        let (stream, mut peer) = pair_with_std()?;
        Ok((answer(stream, &mut peer, b"first loop")?, peer))
    })?;
    for round in 0..6 {
        (stream, peer) = std::thread::spawn(move || match round % 3 {
            0 => run(|| Ok((answer(stream, &mut peer, b"another loop")?, peer))),
            1 => Ok((answer(stream, &mut peer, b"no loop")?, peer)),
            _ => {
                let stream = run(|| answer(stream, &mut peer, b"a loop"))?;
                io::Result::Ok((answer(stream, &mut peer, b"after the run")?, peer))
            }
        })
        .join()
        .unwrap()?;
    }
    run(|| answer(stream, &mut peer, b"home again").map(drop))
}

#[test]
fn a_second_loop_takes_a_stream_only_while_nobody_waits_for_it_on_the_first() -> io::Result<()> {
    let _watchdog = watchdog();
    run(|| {
        let (ours, mut theirs) = pair_with_std()?;
        let ours = Arc::new(ours);
        let elsewhere = |word: &'static [u8]| {
            let ours = ours.clone();
            std::thread::spawn(move || {
                run(move || {
                    let mut byte = [0];
                    (&*ours).read_exact(&mut byte).map(|()| byte[0])
                })
                .map(|byte| byte == word[0])
            })
        };
        let here = ours.clone();
        let reader = spawn(move || {
            let mut byte = [0];
            (&*here).read_exact(&mut byte)?;
            Ok(byte[0])
        });
        yield_now()?;
        let busy = elsewhere(b"-").join().unwrap().unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
        assert!(busy.to_string().contains("loop"), "{busy}");
        theirs.write_all(b"a")?;
        assert_eq!(reader.join()?, b'a');

        // Nobody waits here now: the other loop may have it, and later this one again.
        let other = elsewhere(b"b");
        std::thread::sleep(millis(2));
        theirs.write_all(b"b")?;
        assert!(other.join().unwrap()?);
        let here = ours.clone();
        let reader = spawn(move || {
            let mut byte = [0];
            (&*here).read_exact(&mut byte)?;
            Ok(byte[0])
        });
        yield_now()?;
        theirs.write_all(b"c")?;
        assert_eq!(reader.join()?, b'c');
        Ok(())
    })
}

/// Threads fight for one stream: each either gets bytes or is told that it is busy, and nothing is lost.
#[test]
fn many_loops_fight_for_one_stream() -> io::Result<()> {
    let _watchdog = watchdog();
    let (ours, mut theirs) = pair_with_std()?;
    let ours = Arc::new(ours);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let ours = ours.clone();
            std::thread::spawn(move || {
                run(move || {
                    let (mut sum, mut byte) = (0_u64, [0]);
                    loop {
                        match (&*ours).read(&mut byte) {
                            Ok(0) => return Ok(sum),
                            Ok(_) => sum += u64::from(byte[0]),
                            Err(e) if e.kind() == io::ErrorKind::ResourceBusy => sleep(Duration::from_micros(50))?,
                            Err(error) => return Err(error),
                        }
                    }
                })
            })
        })
        .collect();
    let bytes = noise(11, 4_000);
    for chunk in bytes.chunks(10) {
        theirs.write_all(chunk)?;
        std::thread::yield_now();
    }
    drop(theirs);
    let mut sum = 0;
    for thread in threads {
        sum += thread.join().unwrap()?;
    }
    assert_eq!(sum, bytes.iter().copied().map(u64::from).sum());
    Ok(())
}

/// B8: deregistered first, then closed, also on another thread. Whoever gets the number next is a stranger to it.
#[test]
fn b08_a_stream_that_is_dropped_on_another_thread_leaves_nothing_behind() -> io::Result<()> {
    let _watchdog = watchdog();
    run(|| {
        for _ in 0..20 {
            let (ours, _theirs) = pair()?;
            register(&ours)?;
            std::thread::spawn(move || drop(ours)).join().unwrap();
            let (next, mut peer) = pair_with_std()?;
            let reader = spawn(move || (&next).read(&mut [0]));
            yield_now()?;
            peer.write_all(b"x")?;
            assert_eq!(reader.join()?, 1);
        }
        Ok(())
    })
}

/// A duplicate of the descriptor, as a child process might hold one, must not go on waking the loop.
#[test]
fn b08_a_duplicate_of_a_closed_descriptor_wakes_nobody() -> io::Result<()> {
    let _watchdog = watchdog();
    let news = Rc::new(Cell::new(0));
    let seen = news.clone();
    let observer = move |record: &corio::observe::event::Record, _: &corio::observe::Names| {
        if matches!(record.event, Event::IoReady { .. }) {
            seen.set(seen.get() + 1);
        }
    };
    Runner::new().observer(observer).run(move || {
        let (ours, mut theirs) = pair_with_std()?;
        register(&ours)?;
        // SAFETY: a new descriptor, which nobody else owns.
        let duplicate = unsafe { OwnedFd::from_raw_fd(libc::dup(ours.as_raw_fd())) };
        drop(ours);
        yield_now()?;
        let before = news.get();
        theirs.write_all(b"for nobody")?;
        sleep(millis(10))?;
        assert_eq!(news.get(), before);
        drop(duplicate);
        Ok(())
    })
}

#[test]
fn b08_every_descriptor_is_closed_on_exec() {
    let output = in_child("b08_every_descriptor_is_closed_on_exec", || {
        let open = || -> io::Result<Vec<i32>> {
            std::fs::read_dir("/proc/self/fd")?.map(|e| Ok(e?.file_name().to_str().unwrap().parse().unwrap())).collect()
        };
        let before = open().unwrap();
        run(|| {
            let listener = TcpListener::bind(ANY)?;
            let client = TcpStream::connect(listener.local_addr()?)?;
            let accepted = listener.accept()?.0;
            let clone = (client.try_clone()?, listener.try_clone()?);
            let ours: Vec<_> = open()?.into_iter().filter(|fd| !before.contains(fd)).collect();
            assert!(ours.len() > 5, "{ours:?}");
            for fd in ours {
                // SAFETY: a question about a number.
                let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
                assert!(flags & libc::FD_CLOEXEC != 0, "{:?}", std::fs::read_link(format!("/proc/self/fd/{fd}")));
            }
            drop((client, accepted, clone));
            Ok(())
        })
        .unwrap();
    });
    if cfg!(target_os = "linux") {
        output.succeeded();
    }
}

// ---- off the loop ---------------------------------------------------------------------------------------------------

#[test]
fn on_a_thread_without_a_loop_the_same_calls_block_and_keep_their_time_limits() -> io::Result<()> {
    let _watchdog = watchdog();
    let (ours, mut theirs) = pair_with_std()?;
    ours.set_read_timeout(Some(millis(20)))?;
    let start = Instant::now();
    assert_eq!((&ours).read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(start.elapsed() >= millis(20));
    theirs.write_all(b"x")?;
    assert_eq!((&ours).read(&mut [0; 8])?, 1);

    ours.set_write_timeout(Some(millis(20)))?;
    let error = loop {
        if let Err(error) = (&ours).write(&[0; 65_536]) {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    Ok(())
}

#[test]
fn in_a_task_reads_and_writes_keep_their_time_limits() {
    everywhere(|| {
        let (ours, mut theirs) = pair()?;
        ours.set_read_timeout(Some(millis(60)))?; // no way is as long
        ours.set_write_timeout(Some(millis(20)))?;
        let start = now();
        assert_eq!((&ours).read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(now() - start >= millis(60));
        let error = loop {
            if let Err(error) = (&ours).write(&[0; 65_536]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        theirs.write_all(b"x")?;
        ours.set_read_timeout(None)?;
        assert_eq!((&ours).read(&mut [0; 8])?, 1);
        Ok(())
    });
}

#[test]
fn nonblocking_mode_says_would_block_and_can_be_left_again() {
    everywhere(|| {
        let (ours, theirs) = pair()?;
        ours.set_nonblocking(true)?;
        assert_eq!((&ours).read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(ours.peek(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        (&theirs).write_all(b"!")?;
        let mut byte = [0];
        while let Err(error) = (&ours).read(&mut byte) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            sleep(millis(1))?;
        }
        assert_eq!(&byte, b"!");
        let mut sent = 0;
        let error = loop {
            match (&ours).write(&[0; 65_536]) {
                Ok(n) => sent += n,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        ours.set_nonblocking(false)?;
        scope(|s| {
            let drain = s.spawn(|| io::copy(&mut &theirs, &mut io::sink()));
            (&ours).write_all(&[0; 20_000])?; // waits, as there is no room
            ours.shutdown(Shutdown::Write)?;
            assert_eq!(drain.join()?, sent as u64 + 20_000);
            Ok(())
        })?;

        let (listener, _) = listen()?;
        listener.set_nonblocking(true)?;
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}

#[test]
fn on_a_thread_without_a_loop_nonblocking_mode_does_the_same() -> io::Result<()> {
    let _watchdog = watchdog();
    let (ours, mut theirs) = pair_with_std()?;
    ours.set_nonblocking(true)?;
    assert_eq!((&ours).read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(ours.peek(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let error = loop {
        if let Err(error) = (&ours).write(&[0; 65_536]) {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    ours.set_nonblocking(false)?;
    let drain = std::thread::spawn(move || {
        theirs.write_all(b"x")?;
        io::copy(&mut theirs, &mut io::sink())
    });
    assert_eq!((&ours).read(&mut [0; 8])?, 1);
    (&ours).write_all(&[0; 200_000])?;
    drop(ours);
    assert!(drain.join().unwrap()? > 200_000);

    let listener = TcpListener::bind(ANY)?;
    listener.set_nonblocking(true)?;
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    Ok(())
}

#[test]
fn port02_in_a_callback_what_would_wait_is_an_error_and_what_need_not_works() {
    everywhere(|| {
        let (ours, mut theirs) = pair()?;
        let (listener, _) = listen()?;
        let done = Rc::new(Cell::new(false));
        let said = done.clone();
        theirs.write_all(b"x")?;
        sleep(millis(100))?; // it has arrived
        call_soon(move || {
            assert_eq!((&ours).read(&mut [0]).unwrap(), 1);
            assert_eq!((&ours).read(&mut [0]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
            assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::InvalidInput);
            if !is_simulated(&ours) {
                // A name is waited for, which a network in memory knows at once.
                assert_eq!(TcpStream::connect("localhost:1").unwrap_err().kind(), io::ErrorKind::InvalidInput);
            }
            (&ours).write_all(b"y").unwrap();
            said.set(true);
        });
        yield_now()?;
        assert!(done.get(), "the callback panicked");
        theirs.read_exact(&mut [0])
    });
}

// ---- cancellation ---------------------------------------------------------------------------------------------------

#[test]
fn r13_a_cancelled_read_loses_no_byte_and_a_cancelled_accept_no_client() {
    everywhere(|| {
        let (listener, address) = listen()?;
        let listener = Rc::new(listener);
        // What comes is there before the cancel, after it, or between the wake and the turn.
        let pauses: [fn() -> io::Result<()>; 5] = [
            || Ok(()),
            yield_now,
            || yield_now().and_then(|()| yield_now()),
            || sleep(millis(1)),
            || sleep(millis(20)),
        ];
        for pause in pauses {
            let waiting = listener.clone();
            let task = spawn(move || waiting.accept().map(|(stream, _)| stream));
            yield_now()?;
            let client = spawn(move || TcpStream::connect(address));
            pause()?;
            task.cancel();
            let ours = Rc::new(task.join().or_else(|error| {
                assert!(is_cancelled(&error));
                listener.accept().map(|(stream, _)| stream)
            })?);
            let client = client.join()?;

            let reading = ours.clone();
            let task = spawn(move || {
                let mut buffer = [0; 16];
                let n = (&*reading).read(&mut buffer)?;
                Ok(buffer[..n].to_vec())
            });
            yield_now()?;
            (&client).write_all(b"once")?;
            pause()?;
            task.cancel();
            let mut text = task.join().or_else(|error| {
                assert!(is_cancelled(&error));
                io::Result::Ok(Vec::new())
            })?;
            drop(client);
            (&*ours).read_to_end(&mut text)?;
            assert_eq!(text, b"once");
        }
        Ok(())
    });
}

/// The news wakes both, the first takes the byte, and the cancel finds the second ready: nothing else would wake it
/// when it goes back to wait.
#[test]
fn a_cancel_reaches_a_reader_that_was_woken_in_vain() {
    everywhere(|| {
        let (ours, mut theirs) = pair()?;
        let ours = Rc::new(ours);
        let victim: Rc<RefCell<Option<corio::Task>>> = Rc::default();
        let (first, doomed) = (ours.clone(), victim.clone());
        let thief = spawn(move || {
            (&*first).read_exact(&mut [0])?;
            assert!(doomed.borrow().as_ref().unwrap().cancel());
            Ok(())
        });
        let second = spawn(move || (&*ours).read(&mut [0; 8]));
        *victim.borrow_mut() = Some(second.task());
        yield_now()?;
        theirs.write_all(b"x")?;
        thief.join()?;
        assert!(is_cancelled(&second.join().unwrap_err()));
        Ok(())
    });
}

/// R12: the error is none that the helpers of std take for a reason to try again, or for the end.
#[test]
fn r12_the_helpers_of_std_end_with_the_cancellation() {
    let _watchdog = watchdog();
    type Helper = fn(&TcpStream) -> io::Result<()>;
    let helpers: [(&str, Helper); 6] = [
        ("read_exact", |mut s| s.read_exact(&mut [0; 100])),
        ("read_to_end", |mut s| s.read_to_end(&mut Vec::new()).map(drop)),
        ("copy", |mut s| io::copy(&mut s, &mut io::sink()).map(drop)),
        ("lines", |s| io::BufRead::lines(io::BufReader::new(s)).try_for_each(|line| line.map(drop))),
        ("write_all", |mut s| {
            loop {
                s.write_all(&[1; 100_000])?;
            }
        }),
        ("copy out", |mut s| io::copy(&mut io::repeat(1), &mut s).map(drop)),
    ];
    everywhere(|| {
        for (name, helper) in helpers {
            for early in [false, true] {
                let (ours, mut theirs) = pair()?;
                theirs.write_all(b"half a line")?;
                let task = spawn(move || {
                    if early {
                        corio::current().cancel();
                    }
                    helper(&ours)
                });
                sleep(millis(2))?;
                task.cancel();
                let error = task.join().unwrap_err();
                assert!(is_cancelled(&error), "{name}: {error}");
            }
        }
        Ok(())
    });
}

#[test]
fn r5_a_destructor_that_reads_while_its_task_is_unwound_by_force_does_not_wait() -> io::Result<()> {
    let _watchdog = watchdog();
    for registered in [false, true] {
        let (near, mut far) = pair_with_std()?;
        far.write_all(b"abc")?;
        let near = run(move || {
            // As a stream that was waited for, or as one that the loop has never seen.
            (&near).read_exact(&mut [0; 2])?;
            if registered {
                (&near).read_exact(&mut [0; 1])?;
                register(&near)?;
            }
            Ok(near)
        })?;
        if registered {
            far.write_all(b"c")?;
        }
        let results = while_its_task_is_forced(move || {
            let mut got = [0; 8];
            let first = (&near).read(&mut got).map(|n| got[..n].to_vec());
            let mut text = String::new();
            (first, (&near).read(&mut got), (&near).read_to_string(&mut text))
        })?;
        assert_eq!(results.0?, b"c");
        assert!(is_cancelled(&results.1.unwrap_err()) && is_cancelled(&results.2.unwrap_err()));
        assert_eq!(far.read(&mut [0; 8])?, 0, "the peer sees the end");
    }
    Ok(())
}

#[test]
fn r5_a_destructor_that_writes_while_its_task_is_unwound_by_force_sends_what_fits() -> io::Result<()> {
    let _watchdog = watchdog();
    let (near, mut far) = pair_with_std()?;
    while_its_task_is_forced(move || (&near).write_all(b"bye"))??;
    let mut text = String::new();
    far.read_to_string(&mut text)?;
    assert_eq!(text, "bye");

    let (near, mut far) = pair_with_std()?;
    let bytes = noise(5, 16 << 20);
    let sent = bytes.clone();
    let error = while_its_task_is_forced(move || (&near).write_all(&sent))?.unwrap_err();
    assert!(is_cancelled(&error), "{error}");
    let mut got = Vec::new();
    far.read_to_end(&mut got)?;
    assert!(!got.is_empty() && got.len() < bytes.len() && bytes.starts_with(&got), "{} bytes", got.len());
    Ok(())
}

#[test]
fn r5_a_destructor_that_connects_while_its_task_is_unwound_by_force_does_not_wait_for_an_answer() -> io::Result<()> {
    let _watchdog = watchdog();
    // Nobody answers, or a helper thread would have to be asked for the address.
    let (listener, _clients) = full()?;
    let address = listener.local_addr()?;
    let port = address.port();
    let (plain, limited, named) = while_its_task_is_forced(move || {
        let limited = TcpStream::connect_timeout(&address, secs(3600)).map(drop);
        (TcpStream::connect(address).map(drop), limited, TcpStream::connect(("localhost", port)).map(drop))
    })?;
    for result in [plain, limited, named] {
        assert!(is_cancelled(&result.unwrap_err()));
    }

    // Somebody does: on one machine the answer may be there at once. Then the stream is as good as any.
    let listener = std::net::TcpListener::bind(ANY)?;
    let address = listener.local_addr()?;
    let result = while_its_task_is_forced(move || TcpStream::connect(address).map(|s| (&s).write_all(b"hi")))?;
    let mut text = String::new();
    match result {
        Ok(written) => {
            written?;
            listener.accept()?.0.read_to_string(&mut text)?;
            assert_eq!(text, "hi");
        }
        Err(error) => assert!(is_cancelled(&error), "{error}"),
    }
    Ok(())
}

/// R14: a loop that takes no notice cannot starve the others, and ends when it may.
#[test]
fn r14_a_loop_that_ignores_the_cancellation_of_its_reads_starves_nobody() {
    everywhere(|| {
        let (ours, _theirs) = pair()?;
        let stop = Rc::new(Cell::new(false));
        let stopped = stop.clone();
        let deaf = spawn(move || {
            while !stopped.get() {
                let _ = (&ours).read(&mut [0]);
            }
        });
        yield_now()?;
        deaf.cancel();
        for _ in 0..50 {
            yield_now()?;
        }
        assert!(!deaf.is_done());
        stop.set(true);
        deaf.join()
    });
}

// ---- amounts --------------------------------------------------------------------------------------------------------

#[test]
fn f10_large_transfers_are_exact_through_small_buffers() {
    everywhere(|| {
        let (left, right) = pair()?;
        let simulated = is_simulated(&left);
        if !simulated {
            for stream in [&left, &right] {
                socket2::SockRef::from(stream).set_send_buffer_size(4_096)?;
            }
        }
        let bytes = noise(23, if simulated { 60_000 } else { 300_000 });
        scope(|s| {
            // Everything goes there and back; the echo must write while more comes in.
            s.spawn(|| {
                let (mut reader, mut writer) = (&right, &right);
                io::copy(&mut reader, &mut writer)?;
                right.shutdown(Shutdown::Write)
            });
            s.spawn(|| {
                let mut rest = &bytes[..];
                for n in (1..).map(|n| n * 7_919 % 30_000 + 1) {
                    if rest.is_empty() {
                        break;
                    }
                    let (now, later) = rest.split_at(n.min(rest.len()));
                    (&left).write_all(now)?;
                    rest = later;
                }
                left.shutdown(Shutdown::Write)
            });
            let mut echoed = Vec::new();
            (&left).read_to_end(&mut echoed)?;
            assert!(echoed == bytes, "{} bytes", echoed.len());
            Ok(())
        })
    });
}

/// More slices than one system call takes: what it leaves over is no sign of a full or an empty socket.
#[test]
fn vectored_calls_with_thousands_of_slices_go_on() {
    everywhere(|| {
        let (ours, theirs) = pair()?;
        register(&ours)?;
        let sent = noise(3, 3_001);
        scope(|s| {
            let writer = s.spawn(|| {
                let slices: Vec<_> = sent.chunks(1).map(IoSlice::new).collect();
                let mut written = 0;
                while written < slices.len() {
                    written += (&theirs).write_vectored(&slices[written..])?;
                }
                Ok(())
            });
            let mut bytes = vec![[0; 1]; sent.len()];
            let mut read = 0;
            while read < bytes.len() {
                let mut slices: Vec<_> = bytes[read..].iter_mut().map(|byte| IoSliceMut::new(byte)).collect();
                read += (&ours).read_vectored(&mut slices)?;
            }
            assert!(bytes.concat() == sent);
            writer.join()
        })
    });
}

#[test]
fn a_thousand_connections_at_once() -> io::Result<()> {
    let _watchdog = watchdog();
    const CLIENTS: u32 = 1_000;
    run(|| {
        let listener = TcpListener::bind(ANY)?;
        let address = listener.local_addr()?;
        let arrived = Cell::new(0);
        scope(|s| {
            let server = s.spawn(|| {
                for stream in listener.incoming() {
                    let stream = stream?;
                    s.spawn(move || io::copy(&mut &stream, &mut &stream).map(drop));
                }
                Ok(())
            });
            let clients: Vec<_> = (0..CLIENTS)
                .map(|n| {
                    let arrived = &arrived;
                    s.spawn(move || {
                        let stream = TcpStream::connect(address)?;
                        arrived.set(arrived.get() + 1);
                        while arrived.get() < CLIENTS {
                            sleep(millis(1))?;
                        }
                        for round in 0..3_u32 {
                            let (question, mut answer) = (noise(n + round, 100), vec![0; 100]);
                            (&stream).write_all(&question)?;
                            (&stream).read_exact(&mut answer)?;
                            assert_eq!(question, answer);
                        }
                        Ok(())
                    })
                })
                .collect();
            for client in clients {
                client.join()?;
            }
            server.cancel();
            Ok(())
        })
    })
}

// ---- ownership ------------------------------------------------------------------------------------------------------

#[test]
fn a_clone_outlives_its_original_and_each_has_its_own_registration() {
    everywhere(|| {
        let (ours, mut theirs) = pair()?;
        register(&ours)?;
        let clone = ours.try_clone()?;
        register(&clone)?;
        drop(ours);
        let reader = spawn(move || (&clone).read(&mut [0]));
        yield_now()?;
        theirs.write_all(b"x")?;
        assert_eq!(reader.join()?, 1);
        Ok(())
    });
}

/// The blocking mode belongs to the socket, not to the handle: a clone that stays here must still not block the loop.
#[test]
fn a_clone_does_not_block_the_loop_when_its_sibling_becomes_std_s() -> io::Result<()> {
    let _watchdog = watchdog();
    run(|| {
        let (ours, mut theirs) = pair_with_std()?;
        let sibling = ours.try_clone()?.into_std()?;
        let reader = spawn(move || (&ours).read(&mut [0]));
        yield_now()?;
        theirs.write_all(b"x")?;
        assert_eq!(reader.join()?, 1);
        drop(sibling);
        Ok(())
    })
}

#[test]
fn a_stream_goes_to_std_and_back() -> io::Result<()> {
    let _watchdog = watchdog();
    run(|| {
        let (ours, mut theirs) = pair_with_std()?;
        register(&ours)?;
        let mut blocking = ours.into_std()?;
        theirs.write_all(b"xy")?;
        blocking.read_exact(&mut [0])?;
        let ours = TcpStream::from_std(blocking)?;
        assert_eq!((&ours).read(&mut [0; 8])?, 1);
        register(&ours)
    })
}

#[test]
fn peeking_leaves_the_bytes_where_they_are() {
    everywhere(|| {
        let (mut ours, mut theirs) = pair()?;
        let reader = spawn(move || {
            let mut buffer = [0; 5];
            for _ in 0..2 {
                let n = ours.peek(&mut buffer)?;
                assert!(n > 0 && buffer[..n] == b"hello"[..n]);
            }
            ours.read_exact(&mut buffer)?;
            assert_eq!(&buffer, b"hello");
            ours.peek(&mut buffer)
        });
        yield_now()?;
        theirs.write_all(b"hello")?;
        drop(theirs);
        assert_eq!(reader.join()?, 0);
        Ok(())
    });
}

/// The program is started again with these names; they are tests like all others.
#[test]
fn a_child_process_is_this_program() {
    let name = "a_child_process_is_this_program";
    if plays(name) {
        std::process::exit(7);
    }
    assert_eq!(child(name).status.code(), Some(7));
}
