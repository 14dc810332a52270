//! Peers on a simulated network that are not tasks: what they do, and what they got.

use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use super::state::{Arrival, State};
use super::{Id, Network};
use crate::clock::nanos;
use crate::timer::Nanos;

/// What a scripted peer does, one step after the other; see [`Network::client`] and [`Network::server`].
///
/// A peer reads all that comes, at once, unless it is told not to. When its steps are over it stays connected.
///
/// ```
/// use corio::net::TcpListener;
/// use corio::testing::{Network, Script};
/// use corio::{Backend, Runner, secs};
/// use std::io::{BufRead, BufReader, Write};
///
/// let network = Network::new();
/// let script = Script::new().wait(secs(1)).send("12").wait(secs(1)).send("34\n").receive(3).close();
/// let peer = network.client("10.0.0.1:7".parse().unwrap(), script);
/// Runner::new().virtual_clock().backend(Backend::Simulated(network)).run(|| {
///     let (stream, _) = TcpListener::bind("10.0.0.1:7")?.accept()?;
///     let mut line = String::new();
///     BufReader::new(&stream).read_line(&mut line)?;
///     assert_eq!(line, "1234\n");
///     (&stream).write_all(b"ok\n")
/// })?;
/// assert_eq!(peer.received(), b"ok\n");
/// assert_eq!(peer.arrivals()[0].0, secs(2));
/// # std::io::Result::Ok(())
/// ```
///
/// Peers may also be slow, or rude:
///
/// ```
/// use corio::net::TcpListener;
/// use corio::testing::{Network, Script};
/// use corio::{Backend, Runner, is_timed_out, secs, timeout};
/// use std::io::{Read, Write};
///
/// let network = Network::new().capacity(4);
/// let slow = Script::new().stop_reading().wait(secs(5)).go_on_reading().end_writing();
/// network.client("10.0.0.1:7".parse().unwrap(), slow);
/// network.client("10.0.0.1:7".parse().unwrap(), Script::new().wait(secs(9)).reset());
/// Runner::new().virtual_clock().backend(Backend::Simulated(network)).run(|| {
///     let listener = TcpListener::bind("10.0.0.1:7")?;
///     let (mut stream, _) = listener.accept()?;
///     let late = timeout(secs(1), || stream.write_all(b"twelve bytes"));
///     assert!(is_timed_out(&late.unwrap_err())); // four are under way, and the peer does not read
///     assert_eq!(stream.read(&mut [0; 8])?, 0); // after five seconds
///
///     let (mut stream, _) = listener.accept()?;
///     assert!(stream.read(&mut [0]).is_err()); // after nine
///     Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Script {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Wait(Duration),
    /// Nothing but the time ends it: what arrives meanwhile is read, and no reason to go on.
    Until(Nanos),
    Send(Vec<u8>),
    Receive(usize),
    Deaf(bool),
    EndWriting,
    Reset,
    Close,
}

impl Script {
    /// A peer that connects and does nothing more.
    pub fn new() -> Script {
        Script::default()
    }

    fn then(mut self, step: Step) -> Script {
        self.steps.push(step);
        self
    }

    /// Waits.
    pub fn wait(self, duration: Duration) -> Script {
        self.then(Step::Wait(duration))
    }

    /// Sends bytes; waits for room if there is none.
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Script {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Waits until so many bytes more have come than the steps before waited for.
    pub fn receive(self, bytes: usize) -> Script {
        self.then(Step::Receive(bytes))
    }

    /// Reads no more, so that writes to it wait in the end.
    pub fn stop_reading(self) -> Script {
        self.then(Step::Deaf(true))
    }

    /// Reads again.
    pub fn go_on_reading(self) -> Script {
        self.then(Step::Deaf(false))
    }

    /// Ends the writing side: the other end reads the end of the stream, and can still answer.
    pub fn end_writing(self) -> Script {
        self.then(Step::EndWriting)
    }

    /// Breaks the connection.
    pub fn reset(self) -> Script {
        self.then(Step::Reset)
    }

    /// Closes the connection.
    pub fn close(self) -> Script {
        self.then(Step::Close)
    }
}

/// A scripted peer: what has come to it.
///
/// ```
/// use corio::net::TcpListener;
/// use corio::testing::{Network, Peer, Script};
/// use corio::{Backend, Runner, millis, secs, sleep};
/// use std::io::Write;
///
/// let network = Network::new().latency(millis(20)..=millis(20));
/// let peer: Peer = network.client("10.0.0.1:7".parse().unwrap(), Script::new());
/// Runner::new().virtual_clock().backend(Backend::Simulated(network)).run(|| {
///     let (mut stream, _) = TcpListener::bind("10.0.0.1:7")?.accept()?; // it was under way for 20 ms
///     stream.write_all(b"hello")?;
///     stream.shutdown(std::net::Shutdown::Write)?;
///     sleep(secs(1))
/// })?;
/// assert_eq!(peer.received(), b"hello");
/// assert_eq!(peer.arrivals(), [(millis(40), b"hello".to_vec())]);
/// assert!(peer.saw_end() && !peer.saw_reset());
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Peer {
    network: Network,
    index: usize,
}

pub(super) struct PeerState {
    steps: std::vec::IntoIter<Step>,
    /// The step that is under way: one that waits for bytes, or for room.
    current: Option<Step>,
    /// Whom it calls when it begins.
    pub(super) calls: Option<SocketAddr>,
    pub(super) socket: Option<Id>,
    pub(super) deaf: bool,
    pub(super) arrivals: Vec<(Nanos, Vec<u8>)>,
    /// How many of these bytes the steps have waited for.
    awaited: usize,
    pub(super) ended: bool,
    pub(super) reset: bool,
}

impl PeerState {
    fn received(&self) -> usize {
        self.arrivals.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

impl Peer {
    pub(super) fn new(network: Network, index: usize) -> Peer {
        Peer { network, index }
    }

    /// All bytes that have come.
    pub fn received(&self) -> Vec<u8> {
        self.arrivals().into_iter().flat_map(|(_, bytes)| bytes).collect()
    }

    /// What came, and when: in time since the loop was made.
    pub fn arrivals(&self) -> Vec<(Duration, Vec<u8>)> {
        let arrivals = &self.network.state().peers[self.index].arrivals;
        arrivals.iter().map(|(at, bytes)| (Duration::from_nanos(*at), bytes.clone())).collect()
    }

    /// Whether the end of the stream has come.
    pub fn saw_end(&self) -> bool {
        self.network.state().peers[self.index].ended
    }

    /// Whether the connection was reset.
    pub fn saw_reset(&self) -> bool {
        self.network.state().peers[self.index].reset
    }
}

impl State {
    pub(super) fn add_peer(&mut self, script: Script) -> usize {
        self.peers.push(PeerState {
            steps: script.steps.into_iter(),
            current: None,
            calls: None,
            socket: None,
            deaf: false,
            arrivals: Vec::new(),
            awaited: 0,
            ended: false,
            reset: false,
        });
        self.peers.len() - 1
    }

    /// What a peer waited for may be there.
    pub(super) fn go_on(&mut self, peer: Option<usize>) {
        if let Some(peer) = peer {
            self.schedule(0, Arrival::Step { peer });
        }
    }

    /// The next steps of a peer, up to one that waits.
    pub(super) fn step(&mut self, peer: usize) {
        if let Some(to) = self.peers[peer].calls.take() {
            // Its first step comes when it is connected.
            let id = self.connect(None, to, Some(peer));
            self.peers[peer].socket = Some(id);
            return;
        }
        while let Some(id) = self.peers[peer].socket {
            let state = &mut self.peers[peer];
            let Some(step) = state.current.take().or_else(|| state.steps.next()) else { return };
            match step {
                Step::Wait(duration) => {
                    state.current = Some(Step::Until(self.now.saturating_add(nanos(duration))));
                    self.schedule(nanos(duration), Arrival::Step { peer });
                    return;
                }
                Step::Until(due) => {
                    if self.now < due {
                        state.current = Some(Step::Until(due));
                        return;
                    }
                }
                Step::Send(bytes) => match self.write(id, &bytes) {
                    Ok(n) if n < bytes.len() => self.peers[peer].current = Some(Step::Send(bytes[n..].to_vec())),
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        self.peers[peer].current = Some(Step::Send(bytes));
                        return;
                    }
                    Err(_) => {}
                },
                Step::Receive(bytes) => {
                    if state.received() < state.awaited + bytes {
                        state.current = Some(Step::Receive(bytes));
                        return;
                    }
                    state.awaited += bytes;
                }
                Step::Deaf(deaf) => {
                    state.deaf = deaf;
                    self.take_for(peer);
                }
                Step::EndWriting => drop(self.shutdown(id, Shutdown::Write)),
                Step::Reset => self.leave(peer, id, true),
                Step::Close => self.leave(peer, id, false),
            }
        }
    }

    fn leave(&mut self, peer: usize, id: Id, reset: bool) {
        self.peers[peer].socket = None;
        self.hang_up(id, reset);
    }
}
