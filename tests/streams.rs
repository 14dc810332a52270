//! Streams: readers with limits, writers that do not wait, copying, splitting, and the stream in memory.
//!
//! Ids (STREAM-04, F4 and so on) are lines of asyncio's behaviours and rows of the table of faults.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use corio::io::{
    Duplex, HalfClose, IncompleteRead, LimitOverrun, StreamReader, StreamWriter, copy, copy_bidirectional, duplex,
    linger, split,
};
use corio::net::{TcpListener, TcpStream};
use corio::testing::{self, Network, Script};
use corio::{
    Backend, Runner, is_cancelled, is_timed_out, millis, now, run, scope, secs, sleep, spawn, timeout, yield_now,
};

use common::backends::{everywhere, is_simulated, pair, too_much};
use common::{only, sim};

/// A stream that brings these pieces, one for each read, and then its end, or an error.
struct Pieces(Vec<&'static [u8]>, Option<ErrorKind>);

impl Pieces {
    fn of(pieces: &[&'static str]) -> Pieces {
        Pieces(pieces.iter().rev().map(|piece| piece.as_bytes()).collect(), None)
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut piece) = self.0.pop() else {
            return self.1.take().map_or(Ok(0), |kind| Err(kind.into()));
        };
        let n = piece.read(buffer)?;
        if !piece.is_empty() {
            self.0.push(piece);
        }
        Ok(n)
    }
}

fn reader(pieces: &[&'static str]) -> StreamReader<Pieces> {
    StreamReader::new(Pieces::of(pieces))
}

fn limited(limit: usize, pieces: &[&'static str]) -> StreamReader<Pieces> {
    StreamReader::with_limit(Pieces::of(pieces), limit).unwrap()
}

/// STREAM-01: also where nothing has come yet.
#[test]
fn stream_01_a_read_into_nothing_waits_for_nobody() {
    sim(|| {
        let (near, _silent) = corio::io::duplex(16);
        let mut reader = StreamReader::new(near);
        assert_eq!(corio::timeout(corio::secs(1), || reader.read(&mut []))?, 0);
        Ok(())
    })
    .unwrap();
}

/// STREAM-01 and STREAM-11: a read gives what is there, nothing for no room, and nothing at the end.
#[test]
fn stream_01_11_a_read_gives_what_is_there() {
    let mut reader = reader(&["abc", "defgh"]);
    let mut buffer = [0; 4];
    assert_eq!(reader.read(&mut []).unwrap(), 0);
    assert!(!reader.at_eof());
    assert_eq!((reader.read(&mut buffer).unwrap(), &buffer[..3]), (3, &b"abc"[..]));
    assert_eq!((reader.read(&mut buffer).unwrap(), &buffer), (4, b"defg"));
    assert_eq!((reader.read(&mut buffer).unwrap(), &buffer[..1]), (1, &b"h"[..]));
    assert!(!reader.at_eof(), "nobody has met the end yet");
    assert_eq!(reader.read(&mut buffer).unwrap(), 0);
    assert!(reader.at_eof());
}

/// STREAM-02: all of it, across pieces, whatever the limit.
#[test]
fn stream_02_to_the_end_whatever_the_limit() {
    let mut text = String::new();
    limited(2, &["abcdef", "ghi", "j"]).read_to_string(&mut text).unwrap();
    assert_eq!(text, "abcdefghij");
    // Also if the reads are so large that they go past the buffer.
    let (mut reader, mut large) = (reader(&["abc"]), [0; 10_000]);
    assert_eq!((reader.read(&mut large).unwrap(), reader.read(&mut large).unwrap()), (3, 0));
    assert!(reader.at_eof());
}

#[test]
fn stream_03_a_limit_of_nothing_is_refused() {
    let error = StreamReader::with_limit(io::empty(), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// STREAM-04: a line with its newline; what is behind it stays; at the end what is left, and then nothing.
#[test]
fn stream_04_lines_one_by_one_and_the_last_without_a_newline() {
    let mut reader = reader(&["on", "e\ntwo\nth", "ree"]);
    for line in ["one\n", "two\n", "three", "", ""] {
        assert_eq!(reader.read_line().unwrap(), line.as_bytes());
    }
    assert!(reader.at_eof());
}

/// STREAM-05: a line that is too long is dropped, up to its end if that is known, and the reader works on.
#[test]
fn stream_05_a_line_that_is_too_long_is_dropped() {
    let mut known = limited(3, &["too long\nok\n"]);
    assert_eq!(LimitOverrun::of(&known.read_line().unwrap_err()).unwrap().limit, 3);
    assert_eq!(known.read_line().unwrap(), b"ok\n");
    // Its end is not yet seen: all that has come is dropped, and the rest is a line of its own.
    let mut unknown = limited(3, &["too long", "!\nok\n"]);
    assert_eq!(unknown.read_line().unwrap_err().kind(), ErrorKind::InvalidData);
    assert!(unknown.buffer().is_empty());
    assert_eq!(unknown.read_line().unwrap(), b"!\n");
    assert_eq!(unknown.read_line().unwrap(), b"ok\n");
}

/// STREAM-06: an overrun leaves everything in place, and says how much to read to get past it.
#[test]
fn stream_06_an_overrun_leaves_the_stream_as_it_is() {
    let mut reader = limited(4, &["abcdefgh--rest"]);
    let error = reader.read_until(b"--").unwrap_err();
    let consumed = LimitOverrun::of(&error).unwrap().consumed;
    assert_eq!((consumed, reader.buffer()), (8, &b"abcdefgh--rest"[..]));
    assert_eq!(reader.read_exactly(consumed).unwrap(), b"abcdefgh");
    assert_eq!(reader.read_until(b"--").unwrap(), b"--");

    // Not found yet: what may be the beginning of a separator does not count.
    let mut reader = limited(4, &["abcdef-", "-x"]);
    let error = reader.read_until(b"--").unwrap_err();
    assert_eq!(LimitOverrun::of(&error).unwrap().consumed, 6);
    assert_eq!(reader.read_exactly(6).unwrap(), b"abcdef");
    assert_eq!(reader.read_until(b"--").unwrap(), b"--");
    // As long as the limit is not too long.
    assert_eq!(limited(4, &["abcd\n"]).read_line().unwrap(), b"abcd\n");
}

#[test]
fn stream_07_a_separator_that_is_split_over_pieces_with_near_misses() {
    let mut reader = reader(&["a", "a", "Xa", "aa", "b", "aaaX", "aaaY"]);
    assert_eq!(reader.read_until(b"aaa").unwrap(), b"aaXaaa");
    assert_eq!(reader.read_until(b"aaaX").unwrap(), b"baaaX");
    assert_eq!(reader.read_until(b"aY").unwrap(), b"aaaY");
}

/// STREAM-08: of several separators the one that ends first counts, also if it is the longer one.
#[test]
fn stream_08_of_several_separators_the_one_that_ends_first() {
    let mut reader = reader(&["one\r\ntwo\nthree;four"]);
    let separators: [&[u8]; 3] = [b"\n", b"\r\n", b";"];
    for record in ["one\r\n", "two\n", "three;"] {
        assert_eq!(reader.read_until(separators).unwrap(), record.as_bytes());
    }
    let none: [&[u8]; 0] = [];
    assert_eq!(reader.read_until(none).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(reader.read_until([&b"x"[..], b""]).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(reader.buffer(), b"four");
}

/// STREAM-09 and STREAM-10: the end in the middle gives what came; exact reads are not bound by the limit.
#[test]
fn stream_09_10_the_end_in_the_middle_gives_what_came() {
    let mut reader = limited(2, &["abcdef", "gh"]);
    assert_eq!(reader.read_exactly(0).unwrap(), b"");
    assert_eq!(reader.read_exactly(7).unwrap(), b"abcdefg");
    let error = reader.read_until(b"\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    let IncompleteRead { partial, expected, .. } = IncompleteRead::of(&error).unwrap();
    assert_eq!((&partial[..], *expected), (&b"h"[..], None));
    assert!(reader.buffer().is_empty() && reader.at_eof());
    let error = reader.read_exactly(3).unwrap_err();
    let IncompleteRead { partial, expected, .. } = IncompleteRead::of(&error).unwrap();
    assert_eq!((&partial[..], *expected), (&b""[..], Some(3)));
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    assert!(LimitOverrun::of(&error).is_none() && error.to_string().contains("0 bytes of 3"));
}

/// STREAM-13: a read that is given up takes nothing, whatever it waited for.
#[test]
fn stream_13_a_cancelled_read_consumes_nothing() {
    sim(|| {
        let (near, far) = duplex(64);
        let mut reader = StreamReader::new(&near);
        (&far).write_all(b"half a li")?;
        assert!(timeout(secs(1), || reader.read_line()).is_err_and(|e| is_timed_out(&e)));
        assert!(timeout(secs(1), || reader.read_exactly(20)).is_err_and(|e| is_timed_out(&e)));
        assert!(timeout(secs(1), || reader.read_until(b"!")).is_err_and(|e| is_timed_out(&e)));
        (&far).write_all(b"ne\n")?;
        assert_eq!(reader.read_line()?, b"half a line\n");
        Ok(())
    })
    .unwrap();
}

/// STREAM-14: an error comes when all bytes before it are taken, and the reader does not make up an end.
#[test]
fn stream_14_bytes_that_came_before_an_error_are_delivered_before_it() {
    let mut reader = StreamReader::new(Pieces(vec![b"one\ntwo"], Some(ErrorKind::ConnectionReset)));
    assert_eq!(reader.read_line().unwrap(), b"one\n");
    assert_eq!(reader.read_line().unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(reader.buffer(), b"two");
    assert_eq!(reader.read_exactly(3).unwrap(), b"two");
}

/// STREAM-15: nobody reads ahead: what is not asked for waits in the kernel, and the peer with it.
#[test]
fn stream_15_a_slow_reader_slows_its_peer() {
    sim(|| {
        let (near, far) = duplex(100);
        let sent = Rc::new(Cell::new(0));
        let count = sent.clone();
        spawn(move || {
            for _ in 0..1_000 {
                (&far).write_all(&[7; 100])?;
                count.set(count.get() + 100);
            }
            Ok(())
        });
        let mut reader = StreamReader::with_limit(near, 50)?;
        sleep(secs(1))?;
        assert!(sent.get() <= 100);
        reader.read_exactly(10)?;
        sleep(secs(1))?;
        assert!(sent.get() <= 200, "one read ahead at most, and one under way: {}", sent.get());
        assert_eq!(reader.read_exactly(50_000)?.len(), 50_000); // more than any limit: no deadlock
        Ok(())
    })
    .unwrap();
}

/// STREAM-16: the lines up to the end, as text.
#[test]
fn stream_16_lines_up_to_the_end() {
    let mut reader = limited(10, &["one\r\ntw", "o\n\nmuch too long\nlast"]);
    let lines: Vec<_> = reader.lines().map(|line| line.map_err(|error| error.kind())).collect();
    let line = |text: &str| Ok(text.to_owned());
    assert_eq!(lines, [line("one"), line("two"), line(""), Err(ErrorKind::InvalidData), line("last")]);
    // Others can take over.
    let mut reader = limited(2, &["a\nmore than two"]);
    assert_eq!(reader.read_line().unwrap(), b"a\n");
    let rest: io::Result<Vec<String>> = io::BufReader::new(reader).lines().collect();
    assert_eq!(rest.unwrap(), ["more than two"]);
}

#[test]
fn a_reader_that_is_cancelled_ends_its_lines_with_the_error() {
    sim(|| {
        let (near, _far) = duplex(16);
        let task = spawn(move || {
            let mut reader = StreamReader::new(near);
            let all: Vec<_> = reader.lines().collect();
            assert!(all.len() == 1 && all[0].as_ref().is_err_and(|error| is_cancelled(error)));
            Ok(())
        });
        yield_now()?;
        task.cancel();
        task.join()
    })
    .unwrap();
}

/// STREAM-17: each address is tried, and if all fail the error tells of all.
#[test]
fn stream_17_each_address_is_tried_and_the_error_tells_of_all() {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let network = Network::new().host("both.example", [address("10.0.0.1:0").ip(), address("10.0.0.2:0").ip()]);
    Runner::new()
        .virtual_clock()
        .backend(Backend::Simulated(network))
        .run(|| {
            let error = TcpStream::connect("both.example:80").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            let text = error.to_string();
            assert!(text.contains("10.0.0.1:80") && text.contains("10.0.0.2:80"), "{text}");
            let _listener = TcpListener::bind("10.0.0.2:80")?;
            assert_eq!(TcpStream::connect("both.example:80")?.peer_addr()?, address("10.0.0.2:80"));
            // A single one is the system's own error.
            assert_eq!(TcpStream::connect("10.0.0.3:80").unwrap_err().raw_os_error(), Some(libc::ECONNREFUSED));
            Ok(())
        })
        .unwrap();
}

/// STREAM-18, TRANS-10 and TRANS-11: the marks, and who waits between them.
#[test]
fn stream_18_trans_10_11_drain_waits_from_the_high_mark_to_the_low_one() {
    sim(|| {
        let (near, far) = duplex(10);
        let writer = Rc::new(StreamWriter::new(near));
        assert_eq!(writer.marks(), (65_536, 16_384));
        writer.set_marks(Some(100), None)?;
        assert_eq!(writer.marks(), (100, 25));
        writer.set_marks(None, Some(10))?;
        assert_eq!(writer.marks(), (40, 10));
        assert_eq!(writer.set_marks(Some(5), Some(6)).unwrap_err().kind(), ErrorKind::InvalidInput);
        writer.set_marks(Some(40), Some(20))?;

        writer.write(&[1; 40]);
        writer.drain()?; // equal to the high mark is not too much
        writer.write(&[1; 20]);
        let drainers: Vec<_> = (0..2)
            .map(|_| {
                let writer = writer.clone();
                spawn(move || writer.drain())
            })
            .collect();
        sleep(secs(1))?;
        assert!(drainers.iter().all(|task| !task.is_done()), "{}", writer.buffered());
        (&far).read_exact(&mut [0; 20])?;
        sleep(secs(1))?;
        assert!(drainers.iter().all(|task| !task.is_done()), "30 are left, and 10 under way");
        (&far).read_exact(&mut [0; 20])?;
        for task in drainers {
            task.join()?;
        }
        // Lower marks count at once.
        let left = writer.buffered();
        assert!(left > 0 && left <= 20);
        writer.set_marks(Some(left - 1), Some(0))?;
        assert!(timeout(secs(1), || writer.drain()).is_err_and(|e| is_timed_out(&e)));
        let mut rest = Vec::new();
        writer.close();
        (&far).read_to_end(&mut rest)?;
        assert_eq!(rest.len(), 20);
        writer.wait_closed()
    })
    .unwrap();
}

/// STREAM-19 and TRANS-08: a reset ends every drain, now and later; what was buffered is dropped.
#[test]
fn stream_19_trans_08_a_reset_reaches_every_drain() {
    everywhere(|| {
        let (stream, far) = pair()?;
        let much = too_much(&stream);
        let writer = Rc::new(StreamWriter::new(stream));
        writer.write(&much);
        let drainers: Vec<_> = (0..2)
            .map(|_| {
                let writer = writer.clone();
                spawn(move || Ok(writer.drain().unwrap_err().kind()))
            })
            .collect();
        sleep(millis(50))?;
        assert!(drainers.iter().all(|task| !task.is_done()), "the peer does not read");
        far.set_linger(Some(Duration::ZERO))?;
        drop(far);
        for task in drainers {
            assert_eq!(task.join()?, ErrorKind::ConnectionReset);
        }
        assert_eq!(writer.drain().unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(writer.buffered(), 0);
        assert_eq!(writer.wait_closed().unwrap_err().kind(), ErrorKind::ConnectionReset);
        writer.write(b"nobody hears it");
        writer.close();
        Ok(())
    });
}

/// STREAM-20, STREAM-22, STREAM-25 and TRANS-07: all is delivered in order; closing twice is harmless; all waiters hear of it.
#[test]
fn stream_20_22_25_trans_07_closing_delivers_everything_first() {
    everywhere(|| {
        let (connection, mut far) = pair()?;
        let text = too_much(&connection);
        let writer = &StreamWriter::new(connection);
        scope(|s| {
            for part in text.chunks(text.len() / 10) {
                writer.write(part);
            }
            writer.close();
            writer.close();
            assert!(writer.is_closing() && writer.buffered() > 0);
            let received = s.spawn(move || {
                let mut received = Vec::new();
                far.read_to_end(&mut received).map(|_| received)
            });
            s.spawn(|| writer.wait_closed());
            writer.wait_closed()?;
            assert_eq!(writer.buffered(), 0);
            assert!(received.join()? == text);
            Ok(())
        })
    });
}

/// STREAM-21 and STREAM-23: what was buffered is dropped, and the connection is gone at once.
#[test]
fn stream_21_23_an_abort_drops_what_is_buffered() {
    everywhere(|| {
        let (stream, mut far) = pair()?;
        let (much, simulated) = (too_much(&stream), is_simulated(&stream));
        let writer = StreamWriter::new(stream);
        writer.write(&much);
        yield_now()?;
        let start = now();
        writer.abort();
        assert!(writer.is_closing());
        let gone = timeout(secs(60), || Ok(writer.wait_closed().unwrap_err().kind()))?;
        assert_eq!(gone, ErrorKind::ConnectionAborted);
        assert!(!simulated || now() == start, "at once");
        writer.write(b"more");
        assert_eq!(writer.drain().unwrap_err().kind(), ErrorKind::ConnectionAborted);
        let mut got = Vec::new();
        far.read_to_end(&mut got)?;
        assert!(got.len() < much.len() && much.starts_with(&got), "{} bytes", got.len());
        Ok(())
    });
}

/// STREAM-22 and STREAM-27: closing ends the writing half, also while others hold the stream; they can go on to read.
#[test]
fn stream_22_27_closing_ends_the_stream_for_the_peer_whoever_else_holds_it() {
    everywhere(|| {
        let (mut stream, mut peer) = pair()?;
        let writer = StreamWriter::new(stream.try_clone()?);
        writer.write(b"question");
        writer.close();
        writer.wait_closed()?;
        let mut text = String::new();
        timeout(secs(60), || peer.read_to_string(&mut text))?; // the end, although `stream` is open
        peer.write_all(b", answer")?;
        drop(peer);
        stream.read_to_string(&mut text)?;
        assert_eq!(text, "question, answer");
        Ok(())
    });
}

/// STREAM-23: also if it was closed in good order.
#[test]
fn stream_23_a_drain_after_the_close_is_an_error() {
    sim(|| {
        let (near, mut far) = duplex(16);
        let (_reading, writing) = split(near);
        let writer = StreamWriter::new(writing);
        writer.write(b"heard");
        writer.close();
        writer.wait_closed()?;
        writer.write(b"not heard");
        assert_eq!(writer.drain().unwrap_err().kind(), ErrorKind::ConnectionReset);
        writer.wait_closed()?; // which is none of that
        let mut text = String::new();
        far.read_to_string(&mut text)?;
        assert_eq!(text, "heard");
        Ok(())
    })
    .unwrap();
}

/// A stream whose writes panic, or whose flush waits.
struct Odd {
    panics: bool,
}

impl Write for Odd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.panics, "an odd stream");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        sleep(secs(1))
    }
}

impl HalfClose for Odd {
    fn end_writing(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stream_that_panics_leaves_nobody_waiting_for_its_writer() {
    let (end, _log) = common::logged(|| {
        sim(|| {
            let writer = StreamWriter::new(Odd { panics: true });
            writer.set_marks(Some(0), None)?;
            writer.write(b"?");
            assert_eq!(writer.drain().unwrap_err().kind(), ErrorKind::Other);
            assert_eq!(writer.wait_closed().unwrap_err().kind(), ErrorKind::Other);
            assert_eq!(writer.buffered(), 0);
            Ok(())
        })
    });
    end.unwrap();
}

#[test]
fn a_close_that_comes_while_the_end_of_writing_is_flushed_is_not_forgotten() {
    sim(|| {
        let writer = StreamWriter::new(Odd { panics: false });
        writer.write_eof();
        sleep(millis(500))?; // the flush has begun
        writer.close();
        timeout(secs(10), || writer.wait_closed())
    })
    .unwrap();
}

/// STREAM-24: the peer reads the end after all data and can answer; a write afterwards is an error.
#[test]
fn stream_24_the_writing_half_ends_and_the_answer_comes() {
    everywhere(|| {
        let (mut stream, mut peer) = pair()?;
        let peer = spawn(move || {
            let mut question = String::new();
            peer.read_to_string(&mut question)?;
            peer.write_all(b"answer").map(|()| question)
        });
        let writer = StreamWriter::new(stream.try_clone()?);
        writer.write(b"hello");
        writer.write_eof();
        writer.write_eof();
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert_eq!((peer.join()?.as_str(), answer.as_str()), ("hello", "answer"));
        writer.write(b"too late");
        assert_eq!(writer.drain().unwrap_err().kind(), ErrorKind::InvalidInput);
        writer.close();
        assert_eq!(writer.wait_closed().unwrap_err().kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

/// STREAM-26 and TRANS-15: a writer that is dropped is closed, and a warning says so.
#[test]
fn stream_26_trans_15_a_writer_that_is_dropped_is_closed_with_a_warning() {
    everywhere(|| {
        let (text, log) = common::logged(|| {
            let (near, mut far) = pair()?;
            StreamWriter::new(near).write(b"all of this");
            let mut text = String::new();
            far.read_to_string(&mut text)?; // to its end
            Ok::<_, io::Error>(text)
        });
        assert_eq!(text?, "all of this");
        only(&log, "WARN", &["dropped without `close`"]);
        Ok(())
    });
}

#[test]
fn what_is_left_in_a_writer_when_the_run_ends_is_sent_if_it_can_be() {
    let received = Rc::new(RefCell::new(Vec::<u8>::new()));
    let heard = received.clone();
    let (end, _log) = common::logged(|| {
        sim(|| {
            let (near, far) = duplex(4);
            spawn(move || {
                let mut buffer = [0; 4];
                corio::shield(secs(60), || {
                    loop {
                        match (&far).read(&mut buffer)? {
                            0 => return Ok::<(), io::Error>(()),
                            n => heard.borrow_mut().extend(&buffer[..n]),
                        }
                    }
                })
            });
            yield_now()?;
            let writer = StreamWriter::new(near);
            writer.write(b"the last words");
            std::mem::forget(writer); // not even closed
            Ok(())
        })
    });
    end.unwrap();
    assert_eq!(*received.borrow(), b"the last words");
}

// ---- copying, splitting, closing --------------------------------------------------------------------------------------

#[test]
fn copy_moves_everything_and_says_how_much() {
    sim(|| {
        let text: Vec<u8> = (0..300_000).map(|n| (n % 253) as u8).collect();
        let (near, far) = duplex(1_000);
        let there = text.clone();
        spawn(move || {
            assert_eq!(copy(&mut &there[..], &mut &near)?, 300_000);
            near.end_writing();
            near.end_writing();
            Ok(())
        });
        let mut got = Vec::new();
        assert_eq!(copy(&mut { &far }, &mut got)?, 300_000);
        assert!(got == text);
        Ok(())
    })
    .unwrap();
}

#[test]
fn copying_that_never_waits_lets_others_run_and_can_be_cancelled() {
    run(|| {
        let task = spawn(|| copy(&mut io::repeat(7), &mut io::sink()));
        yield_now()?;
        task.cancel();
        assert!(task.join().is_err_and(|error| is_cancelled(&error)));
        Ok(())
    })
    .unwrap();
}

#[test]
fn f2_a_proxy_passes_each_end_on_and_leaves_the_other_direction_open() {
    let network = Network::new();
    let (front, back) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    let client = network.client(front, Script::new().send("question").end_writing().receive(6).close());
    let server = network.server(back, Script::new().receive(8).wait(secs(1)).send("answer").close()).unwrap();
    Runner::new()
        .virtual_clock()
        .backend(Backend::Simulated(network))
        .run(|| {
            let (near, _) = TcpListener::bind(front)?.accept()?;
            let far = TcpStream::connect(back)?;
            assert_eq!(copy_bidirectional(&near, &far)?, (8, 6));
            Ok(())
        })
        .unwrap();
    assert_eq!((client.received(), server.received()), (b"answer".to_vec(), b"question".to_vec()));
    assert!(server.saw_end());
}

#[test]
fn a_proxy_whose_one_side_breaks_gives_the_other_up() {
    sim(|| {
        struct Broken;
        impl Read for &Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                sleep(secs(1))?;
                Err(ErrorKind::ConnectionReset.into())
            }
        }
        impl Write for &Broken {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        impl HalfClose for Broken {
            fn end_writing(&self) -> io::Result<()> {
                Ok(())
            }
        }
        let (near, _silent) = duplex(16);
        let error = copy_bidirectional(&near, &Broken).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        Ok(())
    })
    .unwrap();
}

#[test]
fn halves_can_be_owned_by_two_tasks_and_put_together_again() {
    run(|| {
        let (near, mut far) = duplex(16);
        let (reading, mut writing) = split(near);
        let writing = spawn(move || writing.write_all(b"hello").map(|()| writing)).join()?;
        let mut text = [0; 5];
        far.read_exact(&mut text)?;
        let (other, _) = duplex(16);
        let (_, stranger) = split(other);
        let (reading, stranger) = reading.unsplit(stranger).unwrap_err();
        drop(stranger);
        let near: Duplex = reading.unsplit(writing).unwrap();
        (&near).write_all(b" again")?; // the half has not ended
        drop(near);
        let mut rest = String::new();
        far.read_to_string(&mut rest)?;
        assert_eq!((&text, rest.as_str()), (b"hello", " again"));
        Ok(())
    })
    .unwrap();
}

#[test]
fn f4_f6_lingering_waits_for_the_peer_within_its_limits() {
    let talk = |script: Script, most: usize| {
        let network = Network::new();
        let at = "10.0.0.1:80".parse().unwrap();
        let peer = network.client(at, script);
        let result = Runner::new().virtual_clock().backend(Backend::Simulated(network)).run(|| {
            let (mut stream, _) = TcpListener::bind(at)?.accept()?;
            stream.write_all(b"431 too large")?;
            let start = now();
            let closed = linger(&stream, secs(10), most)?;
            Ok((closed, now() - start))
        });
        (result.unwrap(), peer)
    };
    // The peer sends its long request to the end, and reads the answer.
    let ((closed, took), peer) = talk(Script::new().send([1; 20_000]).wait(secs(3)).send([1; 5_000]).close(), 1 << 20);
    assert_eq!((closed, took), (true, secs(3)));
    assert!(peer.received() == b"431 too large" && !peer.saw_reset());
    // Nobody waits for ever, or for all the bytes of the world.
    let ((closed, took), peer) = talk(Script::new(), 1 << 20);
    assert_eq!((closed, took), (false, secs(10)));
    assert_eq!(peer.received(), b"431 too large");
    let ((closed, _), _) = talk(Script::new().send([1; 30_000]).wait(secs(60)), 10_000);
    assert!(!closed);
}

#[test]
fn f4_lingering_is_given_up_with_its_task_and_refused_without_one() {
    sim(|| {
        let (near, _far) = duplex(16);
        let limit = timeout(secs(1), || linger(&near, secs(10), 1 << 20));
        assert!(limit.is_err_and(|error| is_timed_out(&error)), "the limit of somebody else is not its own");
        Ok(())
    })
    .unwrap();
    let (near, far) = duplex(16);
    assert_eq!(linger(&near, secs(1), 1 << 20).unwrap_err().kind(), ErrorKind::InvalidInput);
    (&near).write_all(b"still open").unwrap();
    (&far).read_exact(&mut [0; 10]).unwrap();
}

#[test]
fn f5_a_peer_that_sends_its_line_byte_by_byte_meets_the_deadline_of_the_whole_line() {
    let network = Network::new();
    let at = "10.0.0.1:80".parse().unwrap();
    let script = (0..100).fold(Script::new(), |script, _| script.wait(secs(1)).send("x"));
    network.client(at, script);
    Runner::new()
        .virtual_clock()
        .backend(Backend::Simulated(network))
        .run(|| {
            let (stream, _) = TcpListener::bind(at)?.accept()?;
            stream.set_read_timeout(Some(secs(2)))?; // each read is in time ...
            let mut reader = StreamReader::new(&stream);
            let start = now();
            let late = timeout(secs(10), || reader.read_line()); // ... and the line is not
            assert!(late.is_err_and(|error| is_timed_out(&error)));
            assert_eq!(now() - start, secs(10));
            assert_eq!(reader.buffer().len(), 10);
            Ok(())
        })
        .unwrap();
}

/// A record whose length a peer may choose: memory is spent on what has come, and not kept for the next record.
#[test]
fn f5_a_length_that_a_peer_only_claims_costs_no_memory() {
    let mut reader = reader(&["all there is"]);
    let error = reader.read_exactly(usize::MAX).unwrap_err();
    let IncompleteRead { partial, expected, .. } = IncompleteRead::of(&error).unwrap();
    assert_eq!((&partial[..], *expected), (&b"all there is"[..], Some(usize::MAX)));
    // Grown step by step, nothing is lost; and what is behind a large record stays.
    let text: Vec<u8> = (0..1_000_000).map(|n| (n % 251) as u8).collect();
    let mut reader = StreamReader::new((&text[..]).chain(&b"behind\n"[..]));
    assert!(reader.read_exactly(1_000_000).unwrap() == text);
    assert_eq!(reader.read_line().unwrap(), b"behind\n");
}

// ---- the stream in memory -----------------------------------------------------------------------------------------------

#[test]
fn a_stream_in_memory_joins_threads_and_loops() {
    let (mut near, far) = duplex(3);
    let thread = std::thread::spawn(move || {
        let mut text = String::new();
        (&far).read_to_string(&mut text)?;
        (&far).write_all(text.to_uppercase().as_bytes())
    });
    let answer = run(|| {
        near.write_all(b"between two worlds")?;
        near.end_writing();
        let mut answer = String::new();
        near.read_to_string(&mut answer)?;
        Ok(answer)
    });
    assert_eq!(answer.unwrap(), "BETWEEN TWO WORLDS");
    thread.join().unwrap().unwrap();
}

#[test]
fn an_end_that_is_gone_is_the_end_of_reading_and_an_error_of_writing() {
    run(|| {
        let (near, far) = duplex(8);
        (&far).write_all(b"left")?;
        let writer = scope(|s| {
            let blocked = s.spawn(|| Ok((&near).write_all(&[1; 100])));
            yield_now()?;
            drop(far);
            blocked.join()
        })?;
        assert_eq!(writer.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut text = String::new();
        (&near).read_to_string(&mut text)?;
        assert_eq!(text, "left");
        assert_eq!((&near).read(&mut [0])?, 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn whoever_is_called_and_cancelled_lets_the_next_reader_go() {
    sim(|| {
        let (near, far) = duplex(8);
        let near = Rc::new(near);
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let near = near.clone();
                spawn(move || {
                    let mut byte = [0];
                    (&*near).read_exact(&mut byte)?;
                    Ok(byte[0])
                })
            })
            .collect();
        yield_now()?;
        (&far).write_all(b"ab")?;
        readers[0].cancel(); // it was called, and has not run yet
        sleep(secs(1))?;
        (&far).write_all(b"c")?;
        let mut got = Vec::new();
        for reader in readers {
            match reader.join() {
                Ok(byte) => got.push(byte),
                Err(error) => assert!(is_cancelled(&error)),
            }
        }
        assert!(got == b"abc" || got == b"ab", "{got:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn readers_of_a_stream_in_memory_come_in_turn_and_keep_their_place_when_there_is_nothing_for_them() {
    sim(|| {
        let (near, far) = duplex(8);
        let near = Rc::new(near);
        let reader = |room: usize| {
            let near = near.clone();
            spawn(move || {
                let mut buffer = vec![0; room];
                let n = (&*near).read(&mut buffer)?;
                buffer.truncate(n);
                Ok(buffer)
            })
        };
        let (first, second, last) = (reader(8), reader(8), reader(1));
        yield_now()?;
        (&far).write_all(b"a")?; // calls the first ...
        (&far).write_all(b"b")?; // ... who will take this as well
        let mut byte = [0];
        let third = timeout(secs(1), || (&*near).read(&mut byte)); // comes before he has run, and does not overtake
        assert!(third.is_err_and(|error| is_timed_out(&error)));
        assert_eq!(first.join()?, b"ab");
        sleep(secs(1))?;
        assert!(!second.is_done() && !last.is_done());
        (&far).write_all(b"c")?; // that there was nothing for the second has not cost him his place
        assert_eq!(timeout(secs(1), || second.join())?, b"c");
        (&far).write_all(b"d")?;
        assert_eq!(timeout(secs(1), || last.join())?, b"d");
        Ok(())
    })
    .unwrap();
}

#[test]
fn r13_a_cancelled_reader_or_writer_of_a_stream_in_memory_loses_nothing() {
    testing::cancel_everywhere(|injector| {
        let (near, far) = duplex(2);
        let (sent, got) = (RefCell::new(0_usize), RefCell::new(Vec::new()));
        scope(|s| {
            s.spawn(|| {
                // Only what a write has taken is gone.
                let _ = injector.run(|| {
                    for n in 0..6_u8 {
                        (&near).write_all(&[n])?;
                        *sent.borrow_mut() += 1;
                    }
                    Ok(())
                });
                near.end_writing();
                Ok(())
            });
            let mut byte = [0];
            while (&far).read(&mut byte)? > 0 {
                got.borrow_mut().push(byte[0]);
                sleep(millis(1))?;
            }
            Ok(())
        })?;
        let got = got.take();
        assert_eq!(got.len(), sent.take());
        assert!(got.iter().enumerate().all(|(n, byte)| n == usize::from(*byte)));
        Ok(())
    });
}
