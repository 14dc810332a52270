//! Across a link: two network namespaces of the kernel, joined by a pair of virtual interfaces.
//!
//! Loopback never loses an address, never goes down, and answers at once. What that hides is tested here: peers that do not
//! answer, links that fail, groups on an interface, datagrams as long as the link allows. It needs root and `ip` of iproute2.
//!
//! A namespace belongs to a thread here: each side is a loop on a thread that has one of its own.
#![cfg(target_os = "linux")]

mod common;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::Instant;

use common::watchdog;
use corio::channel::oneshot;
use corio::io::copy_bidirectional;
use corio::net::{ConnectOptions, TcpListener, TcpStream, UdpSocket};
use corio::{gather, is_cancelled, is_timed_out, millis, run, scope, secs, sleep, spawn, timeout};
use socket2::SockRef;

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// What is sent there goes over the link, and nobody beyond takes it: the far side forwards nothing, and says nothing.
const NOWHERE: &str = "10.88.0.1:7";

/// Two namespaces and the link between them, for the time of a [`run`](Self::run).
///
/// They have no names: each belongs to a thread that has left the common one, and goes with it, however the test ends.
struct Link {
    /// How long everything is to take, each way; what netem understands.
    delay: Option<&'static str>,
}

/// A command of iproute2 in the namespace of this thread, and what it complains of.
fn tool(name: &str, line: &str) -> Result<(), String> {
    match Command::new(name).args(line.split_whitespace()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{name} {line}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

fn ip(line: impl AsRef<str>) {
    tool("ip", line.as_ref()).unwrap_or_else(|error| panic!("{error}"));
}

/// Puts this thread, and those that it starts, into a namespace of their own.
fn leave() -> Result<(), String> {
    // SAFETY: changes nothing but what new sockets of this thread are of.
    match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().to_string()),
    }
}

impl Link {
    /// A link; or the reason why there cannot be one, which is printed.
    fn new() -> Option<Link> {
        let attempt = || leave().and_then(|()| tool("ip", "link add near type veth peer name far"));
        match thread::spawn(attempt).join().expect("an attempt") {
            Ok(()) => Some(Link { delay: None }),
            Err(error) => {
                let _ = writeln!(io::stderr(), "SKIPPED: no links between network namespaces here: {error}");
                None
            }
        }
    }

    /// This end of the link, in the namespace of this thread.
    fn set_up(&self, interface: &str, address: Ipv4Addr) {
        ip(format!("address add {address}/24 dev {interface}"));
        ip("link set lo up");
        ip(format!("link set {interface} up"));
        if let Some(delay) = self.delay
            && let Err(error) = tool("tc", &format!("qdisc add dev {interface} root netem delay {delay}"))
        {
            let _ = writeln!(io::stderr(), "the link has no delay: {error}");
        }
    }

    /// Runs a program on each side, each on a loop and a thread of its own. The far one is given a listener, and the near one
    /// its address.
    fn run<T: Send>(
        &self,
        far: impl FnOnce(TcpListener) -> io::Result<()> + Send,
        near: impl FnOnce(SocketAddr) -> io::Result<T> + Send,
    ) -> T {
        let (tell_thread, far_thread) = oneshot::channel();
        let (tell_made, made) = oneshot::channel();
        let (tell_address, address) = oneshot::channel();
        thread::scope(|s| {
            let far = s.spawn(|| {
                leave().unwrap();
                // SAFETY: asks for a number.
                tell_thread.send(unsafe { libc::gettid() }).unwrap();
                { made }.recv().unwrap();
                self.set_up("far", FAR);
                run(|| {
                    let listener = TcpListener::bind((FAR, 0))?;
                    tell_address.send(listener.local_addr()?)?;
                    far(listener)
                })
            });
            let near = s.spawn(|| {
                leave().unwrap();
                let far_thread = { far_thread }.recv().unwrap();
                ip(format!("link add near type veth peer name far netns {far_thread}"));
                self.set_up("near", NEAR);
                ip(format!("route add 10.88.0.0/24 via {FAR}"));
                ip("route add unreachable 10.99.0.0/24");
                tell_made.send(()).unwrap();
                let address = { address }.recv().unwrap();
                run(|| near(address))
            });
            let (far, near) = (far.join().expect("the far side"), near.join().expect("the near side"));
            far.expect("the far side");
            near.expect("the near side")
        })
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return stream.shutdown(Shutdown::Write);
        }
        stream.write_all(&buffer[..n])?;
    }
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|n| (n * 7 + n / 251) as u8).collect()
}

/// Sends it all and reads as much, at the same time.
fn there_and_back(stream: &TcpStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
    scope(|s| {
        s.spawn(|| { stream }.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write)));
        let mut got = Vec::new();
        { stream }.read_to_end(&mut got).map(|_| got)
    })
}

#[test]
fn a_connect_that_nobody_answers_ends_by_its_limit_and_by_a_cancellation() {
    let _watchdog = watchdog();
    let Some(link) = Link::new() else { return };
    let far_is_there = |listener: TcpListener| listener.accept().map(drop);
    link.run(far_is_there, |far| {
        let nowhere: SocketAddr = NOWHERE.parse().unwrap();
        let start = Instant::now();
        let error = TcpStream::connect_timeout(&nowhere, millis(200)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        let error = ConnectOptions::new().limit(millis(200)).connect(nowhere).unwrap_err();
        assert!(is_timed_out(&error), "{error}");
        let error = timeout(millis(200), || TcpStream::connect(nowhere)).unwrap_err();
        assert!(is_timed_out(&error), "{error}");
        assert!((millis(600)..secs(20)).contains(&start.elapsed()), "{:?}", start.elapsed());

        let connecting = spawn(move || TcpStream::connect(nowhere).map(drop));
        sleep(millis(50))?;
        assert!(!connecting.is_done());
        connecting.cancel();
        assert!(is_cancelled(&connecting.join().unwrap_err()));
        TcpStream::connect(far).map(drop)
    });
}

#[test]
fn happy_eyeballs_goes_on_to_the_address_that_answers() {
    let _watchdog = watchdog();
    let Some(link) = Link::new() else { return };
    // Until somebody says more than nothing.
    let greet = |listener: TcpListener| {
        loop {
            let (mut stream, _) = listener.accept()?;
            stream.write_all(b"!")?;
            if stream.read(&mut [0])? > 0 {
                return Ok(());
            }
        }
    };
    link.run(greet, |answers| {
        let nowhere: SocketAddr = NOWHERE.parse().unwrap();
        let unreachable: SocketAddr = "10.99.0.1:7".parse().unwrap();
        let heard = |mut stream: TcpStream| {
            assert_eq!(stream.peer_addr()?, answers);
            stream.read_exact(&mut [0]).map(|()| stream)
        };
        // The black hole keeps its head start, and no more.
        let start = Instant::now();
        let happy = ConnectOptions::new().happy_eyeballs(true);
        heard(happy.connect(&[nowhere, answers][..])?)?;
        assert!((millis(250)..secs(10)).contains(&start.elapsed()), "{:?}", start.elapsed());
        // What the kernel refuses at once costs no time.
        let mut at_once = false;
        for _ in 0..10 {
            // On a busy machine it may, now and then.
            let start = Instant::now();
            heard(happy.connect(&[unreachable, answers, nowhere][..])?)?;
            at_once |= start.elapsed() < millis(250);
        }
        assert!(at_once);
        // One after the other it takes as long as an address may.
        let start = Instant::now();
        let mut stream = heard(ConnectOptions::new().limit_of_each(millis(400)).connect(&[nowhere, answers][..])?)?;
        assert!(start.elapsed() >= millis(400), "{:?}", start.elapsed());
        stream.write_all(b"enough")?;
        // If none answers, the error tells of all.
        let none = happy.limit_of_each(millis(100)).connect(&[unreachable, nowhere][..]).unwrap_err();
        assert!(none.to_string().contains("10.99.0.1") && none.to_string().contains("10.88.0.1"), "{none}");
        Ok(())
    });
}

/// Whoever has something to send hears of a dead link by the user timeout, and whoever only reads by keep-alive.
#[test]
fn a_link_that_goes_down_ends_the_streams_that_look() {
    let _watchdog = watchdog();
    let Some(link) = Link::new() else { return };
    let is_dead = |error: io::Error| {
        let kinds = [ErrorKind::TimedOut, ErrorKind::HostUnreachable, ErrorKind::NetworkUnreachable];
        assert!(kinds.contains(&error.kind()), "{error}");
    };
    let reader = |listener: TcpListener| {
        let (mut stream, _) = listener.accept()?;
        let keepalive = socket2::TcpKeepalive::new().with_time(secs(1)).with_interval(secs(1)).with_retries(1);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        stream.read_exact(&mut [0])?;
        is_dead(stream.read(&mut [0]).unwrap_err());
        Ok(())
    };
    link.run(reader, |address| {
        let mut stream = TcpStream::connect(address)?;
        SockRef::from(&stream).set_tcp_user_timeout(Some(secs(1)))?;
        stream.write_all(b"1")?;
        sleep(millis(50))?; // it has arrived
        ip("link set near down");
        stream.write_all(b"2")?; // the kernel takes it
        is_dead(stream.read(&mut [0]).unwrap_err());
        assert!(stream.write(b"3").is_err());
        Ok(())
    });
}

#[test]
fn a_link_that_comes_back_in_time_has_lost_nothing() {
    let _watchdog = watchdog();
    let Some(link) = Link::new() else { return };
    let serve = |listener: TcpListener| echo(listener.accept()?.0);
    link.run(serve, |address| {
        let (stream, all) = (TcpStream::connect(address)?, bytes(3_000_000));
        { &stream }.write_all(b"?")?;
        { &stream }.read_exact(&mut [0])?; // it stands
        scope(|s| {
            ip("link set near down");
            let back = s.spawn(|| there_and_back(&stream, &all));
            sleep(millis(300))?;
            assert!(!back.is_done());
            ip("link set near up");
            assert!(back.join()? == all);
            Ok(())
        })
    });
}

#[test]
fn a_group_hears_over_the_link_what_is_sent_to_it_until_it_is_left() {
    let _watchdog = watchdog();
    let Some(link) = Link::new() else { return };
    let group = Ipv4Addr::new(239, 77, 7, 7);
    let hear = |listener: TcpListener| {
        let member = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 7_777))?;
        member.join_multicast_v4(&group, &FAR)?;
        let (mut stream, _) = listener.accept()?;
        let mut say = |text: &[u8]| stream.write_all(text);
        say(b"j")?;
        let mut buffer = [0; 64];
        let (n, from) = timeout(secs(20), || member.recv_from(&mut buffer))?;
        assert_eq!((&buffer[..n], from.ip()), (&b"to all"[..], NEAR.into()));
        member.leave_multicast_v4(&group, &FAR)?;
        say(b"l")?;
        // What was sent to the group meanwhile is not there; what was sent to this address afterwards is.
        let (n, _) = timeout(secs(20), || member.recv_from(&mut buffer))?;
        assert_eq!(&buffer[..n], b"to you");
        Ok(())
    };
    link.run(hear, |address| {
        let mut stream = TcpStream::connect(address)?;
        let socket = UdpSocket::bind((NEAR, 0))?;
        SockRef::from(&socket).set_multicast_if_v4(&NEAR)?;
        stream.read_exact(&mut [0])?;
        socket.send_to(b"to all", (group, 7_777))?;
        stream.read_exact(&mut [0])?;
        socket.send_to(b"unheard", (group, 7_777))?;
        socket.send_to(b"to you", (FAR, 7_777))?;
        Ok(())
    });
}

/// 1,500 bytes are the link's: with headers of 28 bytes, 1,472 go in one packet, and what is longer in several.
#[test]
fn datagrams_as_long_as_the_link_allows_and_longer_arrive_whole() {
    let _watchdog = watchdog();
    let Some(link) = Link::new() else { return };
    const LENGTHS: [usize; 5] = [1_471, 1_472, 1_473, 20_000, 65_507];
    let hear = |listener: TcpListener| {
        let socket = UdpSocket::bind((FAR, 7_778))?;
        let (mut stream, _) = listener.accept()?;
        let mut buffer = vec![0; 70_000];
        for length in LENGTHS {
            stream.write_all(b"?")?;
            let received = timeout(secs(20), || socket.recv_msg(&mut buffer))?;
            assert_eq!((received.len, received.truncated), (length, false));
            assert!(buffer[..length] == bytes(length));
        }
        Ok(())
    };
    link.run(hear, |address| {
        let mut stream = TcpStream::connect(address)?;
        let socket = UdpSocket::bind((NEAR, 0))?;
        for length in LENGTHS {
            stream.read_exact(&mut [0])?;
            assert_eq!(socket.send_to(&bytes(length), (FAR, 7_778))?, length);
        }
        assert_eq!(socket.send_to(&bytes(65_508), (FAR, 7_778)).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
        Ok(())
    });
}

#[test]
fn a_proxy_over_a_slow_link_delivers_all_in_both_directions() {
    let _watchdog = watchdog();
    let Some(mut link) = Link::new() else { return };
    link.delay = Some("20ms");
    const CLIENTS: usize = 5;
    let serve = |listener: TcpListener| {
        scope(|s| {
            for _ in 0..CLIENTS {
                let (stream, _) = listener.accept()?;
                s.spawn(|| echo(stream));
            }
            Ok(())
        })
    };
    link.run(serve, |address| {
        let proxy = TcpListener::bind("127.0.0.1:0")?;
        let here = proxy.local_addr()?;
        scope(|s| {
            s.spawn(|| {
                for _ in 0..CLIENTS {
                    let (client, _) = proxy.accept()?;
                    s.spawn(move || {
                        let copied = copy_bidirectional(&client, &TcpStream::connect(address)?)?;
                        assert_eq!(copied.0, copied.1);
                        Ok(())
                    });
                }
                Ok(())
            });
            let lengths = [0, 1, 70_000, 500_000, 1_000_003];
            let whole = gather(lengths, |length| {
                let all = bytes(length);
                Ok(there_and_back(&TcpStream::connect(here)?, &all)? == all)
            })?;
            assert_eq!(whole, [true; CLIENTS]);
            Ok(())
        })
    });
}
