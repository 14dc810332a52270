//! Datagrams, of UDP and of Unix sockets.
//!
//! Ids (DGRAM-01, F8 and so on) are lines of asyncio's behaviours and rows of the table of faults.

mod common;

use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::time::Duration;

use common::backends::everywhere;
use corio::net::{UdpSocket, UnixDatagram};
use corio::{is_cancelled, is_timed_out, millis, run, scope, secs, sleep, spawn, timeout, yield_now};

fn socket() -> io::Result<UdpSocket> {
    UdpSocket::bind("127.0.0.1:0")
}

/// DGRAM-01 and DGRAM-02: datagrams come with their senders; a connected socket hears its peer only; an empty one is one.
#[test]
fn f3_dgram_01_02_datagrams_come_whole_with_their_senders_and_may_be_empty() {
    everywhere(|| {
        let (one, other, stranger) = (socket()?, socket()?, socket()?);
        let (here, there) = (one.local_addr()?, other.local_addr()?);
        assert_ne!(here, there);
        assert_eq!(UdpSocket::bind(there).unwrap_err().kind(), ErrorKind::AddrInUse);
        let mut buffer = [0; 64];
        for text in [&b"first"[..], b"", b"third"] {
            assert_eq!(one.send_to(text, there)?, text.len());
            assert_eq!(other.peek_from(&mut buffer)?, (text.len(), here));
            let (n, from) = other.recv_from(&mut buffer)?;
            assert_eq!((&buffer[..n], from), (text, here));
        }
        // Connected: it hears its peer only, and its handles are one socket.
        assert_eq!(one.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        one.connect(there)?;
        other.connect(here)?;
        assert_eq!((one.peer_addr()?, other.peer_addr()?), (there, here));
        stranger.send_to(b"unheard", there)?;
        one.try_clone()?.send(b"heard")?;
        let second = other.try_clone()?;
        assert_eq!((second.peek(&mut buffer)?, second.recv(&mut buffer)?, &buffer[..5]), (5, 5, &b"heard"[..]));
        other.set_read_timeout(Some(millis(100)))?;
        assert_eq!(other.recv(&mut buffer).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(one.send(&vec![0; 70_000]).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
        Ok(())
    });
}

/// DGRAM-03: that the peer's machine refuses is an error of this socket, which goes on to work.
#[test]
fn f8_dgram_03_a_refusal_is_an_error_and_the_socket_goes_on() {
    everywhere(|| {
        let (one, other) = (socket()?, socket()?);
        let address = other.local_addr()?;
        drop(other);
        one.send_to(b"anybody?", address)?; // nobody is told
        one.connect(address)?;
        one.send(b"anybody?")?;
        assert_eq!(timeout(secs(20), || one.recv(&mut [0; 8])).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let other = UdpSocket::bind(address)?;
        one.send(b"you?")?;
        let mut buffer = [0; 8];
        let (n, from) = other.recv_from(&mut buffer)?;
        other.send_to(b"me", from)?;
        assert_eq!((n, one.recv(&mut buffer)?), (4, 2));
        Ok(())
    });
}

/// DGRAM-04: a socket may be connected and still send elsewhere: that is the kernel's rule, and asyncio forbids it.
#[test]
fn dgram_04_a_connected_socket_may_send_elsewhere() {
    everywhere(|| {
        let (one, other, third) = (socket()?, socket()?, socket()?);
        one.connect(other.local_addr()?)?;
        one.send_to(b"aside", third.local_addr()?)?;
        let mut buffer = [0; 8];
        assert_eq!(third.recv_from(&mut buffer)?, (5, one.local_addr()?));
        Ok(())
    });
}

/// DGRAM-05 and DGRAM-06: while the receiver's queue is full a send waits; nothing is lost, nothing out of order; closing drops nothing
/// that was sent.
#[test]
fn dgram_05_06_a_send_waits_while_there_is_no_room() {
    everywhere(|| {
        let (one, other) = UnixDatagram::pair()?;
        scope(|s| {
            let one = &one;
            let sender =
                s.spawn(move || (0..5_000_u32).try_for_each(|n| one.send(&n.to_ne_bytes().repeat(4)).map(drop)));
            sleep(millis(5))?;
            assert!(!sender.is_done(), "five thousand datagrams do not fit");
            let mut buffer = [0; 16];
            for n in 0..5_000_u32 {
                assert_eq!(other.recv(&mut buffer)?, 16);
                assert_eq!(buffer[..], n.to_ne_bytes().repeat(4));
            }
            sender.join()
        })?;
        one.send(b"last")?;
        drop(one);
        assert_eq!(other.recv(&mut [0; 8])?, 4);
        assert_eq!(other.send(b"nobody").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        Ok(())
    });
}

/// The kernel does not tell a sender that is not connected to a receiver when there is room in its queue.
#[test]
fn a_sender_that_is_not_connected_waits_for_room_and_does_not_ask_all_the_time() {
    fn processor_time() -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the structure is there to be written to.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
    let path = std::env::temp_dir().join(format!("corio-{}-full", std::process::id()));
    run(|| {
        let inbox = UnixDatagram::bind(&path)?;
        let (one, other) = (UnixDatagram::unbound()?, UnixDatagram::unbound()?);
        one.set_nonblocking(true)?;
        let full = (0..).find(|_| one.send_to(b"1", &path).is_err()).unwrap();
        assert_eq!(one.send_to(b"1", &path).unwrap_err().kind(), ErrorKind::WouldBlock);
        other.set_write_timeout(Some(millis(20)))?;
        assert_eq!(other.send_to(b"2", &path).unwrap_err().kind(), ErrorKind::TimedOut);
        other.set_write_timeout(None)?;
        scope(|s| {
            let waiting = s.spawn(|| other.send_to(b"2", &path));
            let before = processor_time();
            sleep(millis(400))?;
            assert!(!waiting.is_done() && processor_time() - before < millis(200));
            let mut byte = [0];
            for _ in 0..full {
                inbox.recv(&mut byte)?;
            }
            inbox.recv(&mut byte)?;
            assert_eq!((byte, waiting.join()?), (*b"2", 1));
            let cancelled = timeout(millis(20), || (0..).try_for_each(|_| other.send_to(b"3", &path).map(drop)));
            assert!(is_timed_out(&cancelled.unwrap_err()));
            Ok(())
        })
    })
    .unwrap();
    std::fs::remove_file(path).unwrap();
}

/// DGRAM-07: options are applied, and what the system refuses is an error.
#[test]
fn dgram_07_options_are_applied() {
    run(|| {
        let socket = socket()?;
        assert!(!socket.broadcast()?);
        let everybody = (Ipv4Addr::BROADCAST, 9);
        assert_eq!(socket.send_to(b"!", everybody).unwrap_err().kind(), ErrorKind::PermissionDenied);
        socket.set_broadcast(true)?;
        assert!(socket.broadcast()?);
        socket.set_ttl(7)?;
        socket.set_multicast_ttl_v4(3)?;
        socket.set_multicast_loop_v4(false)?;
        assert_eq!((socket.ttl()?, socket.multicast_ttl_v4()?, socket.multicast_loop_v4()?), (7, 3, false));
        let no_group = Ipv4Addr::new(10, 0, 0, 1);
        assert!(socket.join_multicast_v4(&no_group, &Ipv4Addr::LOCALHOST).is_err());
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_group_hears_what_is_sent_to_it() {
    run(|| {
        let group = Ipv4Addr::new(239, 255, 7, 7);
        let (member, sender) = (UdpSocket::bind("0.0.0.0:0")?, socket()?);
        if let Err(error) = member.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST) {
            println!("no multicast here: {error}");
            return Ok(());
        }
        socket2::SockRef::from(&sender).set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
        sender.send_to(b"to all", (group, member.local_addr()?.port()))?;
        let mut buffer = [0; 8];
        assert_eq!(timeout(secs(20), || member.recv_from(&mut buffer))?.0, 6);
        member.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
    })
    .unwrap();
}

/// DGRAM-08: one that is longer than the buffer is cut, says so, and is not joined with the next.
#[test]
fn f8_dgram_08_a_long_datagram_is_cut_and_says_so() {
    everywhere(|| {
        let (one, other) = (socket()?, socket()?);
        let mut buffer = [0; 4];
        for text in [&b"too long"[..], b"next"] {
            one.send_to(text, other.local_addr()?)?;
            other.peek(&mut buffer)?; // the first is there before the second can be
            sleep(millis(100))?;
        }
        let received = other.recv_msg(&mut buffer)?;
        assert_eq!((received.len, received.truncated, received.from), (4, true, one.local_addr()?));
        let received = other.recv_msg(&mut buffer)?;
        assert_eq!((received.len, received.truncated, &buffer), (4, false, b"next"));
        one.send_to(b"third", other.local_addr()?)?;
        assert_eq!((other.recv(&mut buffer)?, &buffer), (4, b"thir"));
        Ok(())
    });
}

#[test]
fn a_receive_can_be_given_up_and_takes_nothing() {
    everywhere(|| {
        let (one, other) = (socket()?, socket()?);
        assert!(timeout(millis(5), || other.recv(&mut [0; 8])).is_err_and(|e| is_timed_out(&e)));
        other.set_read_timeout(Some(millis(5)))?;
        assert_eq!(other.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        other.set_read_timeout(None)?;
        other.set_nonblocking(true)?;
        assert_eq!(other.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        other.set_nonblocking(false)?;
        let address = other.local_addr()?;
        let task = spawn(move || {
            assert!(other.recv(&mut [0; 8]).is_err_and(|e| is_cancelled(&e)));
            Ok(other)
        });
        yield_now()?;
        task.cancel();
        let other = task.join()?;
        one.send_to(b"still here", address)?;
        assert_eq!(other.recv(&mut [0; 16])?, 10);
        Ok(())
    });
}

#[test]
fn the_same_socket_works_on_a_thread_without_a_loop_and_becomes_stds() {
    let (one, other) = (socket().unwrap(), socket().unwrap());
    let address = other.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 8];
        let n = other.recv(&mut buffer)?;
        Ok::<_, io::Error>((n, other))
    });
    run(|| one.try_clone()?.send_to(b"hello", address)).unwrap();
    let (n, other) = thread.join().unwrap().unwrap();
    assert_eq!(n, 5);
    one.send_to(b"again", address).unwrap();
    let std = other.into_std().unwrap();
    assert_eq!(std.recv(&mut [0; 8]).unwrap(), 5);
    assert_eq!(UdpSocket::from_std(std).unwrap().local_addr().unwrap(), address);
}
