//! One server on all loops of a set.
//!
//! On each loop runs a [`net::Server`](crate::net::Server). Its connections come from a listener of its own, which
//! shares its address with the others, or by a channel from the one listener that there is.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io, iter};

use socket2::SockRef;

use super::Workers;
use super::latch::Latch;
use crate::channel::mpsc;
use crate::error::is_cancelled;
use crate::event_loop::EventLoop;
use crate::net::{ListenOptions, Listener, Server, TcpListener, TcpStream, ToSocketAddrs, sealed};
use crate::observe::event::Place;
use crate::remote::LoopHandle;
use crate::task::{Builder, IntoResult, caller};

/// Who accepts the connections of a server; see [`WorkersBuilder::accept`](super::WorkersBuilder::accept).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accept {
    /// Each worker, at a listener of its own. All listeners share the address (`SO_REUSEPORT`), and the kernel spreads
    /// the connections over them by a hash of the client's address: evenly when there are many. It does not know who is
    /// busy. Only Linux spreads; where it cannot be had, this is the same as [`One`](Accept::One).
    Each,
    /// The first worker, at the only listener; it hands the connections to all, to each in turn. Fair also to a few
    /// connections, and one loop bears the work of accepting.
    One,
}

/// The way to a server on all loops of a set; from [`Workers::serve`].
///
/// A ticket: clones are of the same server, and dropping them does nothing. The server goes on until it, or its set, is
/// stopped.
///
/// ```
/// use corio::{Workers, workers::ServerHandle};
/// use std::net::TcpStream;
///
/// let workers = Workers::builder().count(1).start()?;
/// let server: ServerHandle = workers.serve("127.0.0.1:0", |_stream| Ok(()))?;
/// let address = server.local_addr(); // with the port that the system has chosen
/// TcpStream::connect(address)?;
/// server.clone().stop(); // a ticket, as good as the other
/// server.join()?;
/// assert!(TcpStream::connect(address).is_err());
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct ServerHandle {
    core: Arc<Core>,
}

type Stop = Box<dyn Fn() + Send>;

/// What a server's tasks and its handles share.
pub(super) struct Core {
    address: SocketAddr,
    /// How to stop what has begun, the newest first; `None`: it is stopped.
    stops: Mutex<Option<Vec<Stop>>>,
    /// The tasks that have not ended.
    latch: Latch,
}

impl Core {
    fn stops(&self) -> MutexGuard<'_, Option<Vec<Stop>>> {
        self.stops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part of it is about to begin; `false`: the server is stopped already.
    fn begins(&self, stop: Stop) -> bool {
        match &mut *self.stops() {
            Some(stops) => stops.push(stop),
            None => return false,
        }
        true
    }

    pub(super) fn stop(&self) {
        let stops = self.stops().take();
        for stop in stops.into_iter().flatten().rev() {
            stop();
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.latch.is_open()
    }
}

/// One of a server's tasks. It counts as ended when this is dropped, whether it was begun or not.
struct Part(Arc<Core>);

impl Part {
    /// It has ended; without it there is no server.
    fn ends(&self, result: io::Result<()>) {
        let stopped = self.0.stops().is_none();
        if let Err(error) = result
            && !stopped
            && !is_cancelled(&error)
        {
            log::error!(target: "corio::workers", "the server at {} stops: {error}", self.0.address);
            self.0.latch.fails(Ok(error));
        }
        self.0.stop();
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.0.latch.one_less();
    }
}

impl Workers {
    /// Accepts connections at an address, and runs `handler` for each, as a task of its own on one of the loops.
    ///
    /// What a handler does concerns its connection alone: its error or panic goes to the log, with the address of the
    /// client. See [`net::Server`](crate::net::Server), of which each loop has one.
    ///
    /// With port 0 the system chooses one, the same for all workers: [`ServerHandle::local_addr`] tells.
    ///
    /// asyncio: `start_server`, in as many processes.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) on a loop that is on a [simulated network](crate::testing::Network): no
    /// client there would find the server.
    /// What the system says about the address: [`AddrInUse`](io::ErrorKind::AddrInUse) if anybody listens there;
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the set is stopping; a cancellation while a name is looked up.
    ///
    /// # Suspends
    ///
    /// While a name is looked up, if the address is one.
    ///
    /// ```
    /// use corio::Workers;
    /// use std::io::{BufRead, BufReader, Read, Write};
    ///
    /// let workers = Workers::builder().count(2).start()?;
    /// let server = workers.serve("127.0.0.1:0", |stream| {
    ///     for line in BufReader::new(&stream).lines() {
    ///         writeln!(&stream, "{} bytes", line?.len())?;
    ///     }
    ///     Ok(())
    /// })?;
    ///
    /// let mut client = std::net::TcpStream::connect(server.local_addr())?;
    /// client.write_all(b"hello\n")?;
    /// client.shutdown(std::net::Shutdown::Write)?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer)?;
    /// assert_eq!(answer, "5 bytes\n");
    ///
    /// server.stop();
    /// server.join()?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn serve<F, R>(&self, address: impl ToSocketAddrs, handler: F) -> io::Result<ServerHandle>
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
        R: IntoResult<Value = ()>,
    {
        let at = caller();
        if EventLoop::with_current(|lp| lp.is_some_and(|lp| lp.reactor.network().is_some())) {
            let text = "the loops of these workers are not on the simulated network of this one: there, serve on this loop, by \
                        `net::Server`";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let first = ListenOptions::new().bind(address)?;
        let address = first.local_addr()?;
        let count = self.handles.len();
        let others = if self.accept == Accept::Each { share(&first, count - 1) } else { Vec::new() };
        let is_spread = others.len() == count - 1;
        let parts = if is_spread { count } else { count + 1 };
        let core = Arc::new(Core { address, stops: Mutex::new(Some(Vec::new())), latch: Latch::new(parts) });
        let doors = {
            let mut state = self.shared.state();
            if state.doors.is_empty() {
                return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the workers are stopping"));
            }
            state.servers.retain(|server| !server.has_ended());
            state.servers.push(core.clone());
            state.doors.clone()
        };
        let plan = Plan { core: &core, handler: Arc::new(handler), grace: self.drain, task: &self.task, at };
        if is_spread {
            for ((listener, handle), door) in iter::once(first).chain(others).zip(&self.handles).zip(doors) {
                plan.begin(handle, door, listener);
            }
        } else {
            let (part, listener) = (Part(core.clone()), Arc::new(first));
            // Stopped last, because it begins first: whoever is handed connections must know that they end.
            let to_close = listener.clone();
            if !core.begins(Box::new(move || to_close.close())) {
                listener.close();
            }
            let mut ways = Vec::with_capacity(count);
            for (handle, door) in self.handles.iter().zip(doors) {
                let (way, arrivals) = mpsc::unbounded();
                ways.push(way);
                plan.begin(handle, door, Arrivals(arrivals));
            }
            send(&self.handles[0], move || part.ends(hand_out(&listener, &ways)), at);
        }
        Ok(ServerHandle { core })
    }
}

impl ServerHandle {
    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.core.address
    }

    /// Begins its end, and does not wait for it: it accepts nothing more, and connections that are open have [a
    /// while](super::WorkersBuilder::drain) to finish before they are cancelled. The set, and its other servers, go on.
    ///
    /// It may be called anywhere, also in a handler, and more than once. asyncio: `Server.close`.
    pub fn stop(&self) {
        self.core.stop();
    }

    /// Waits until it has ended, with all its connections: after a [`stop`](Self::stop) of the server or of the set. If
    /// the caller is cancelled meanwhile, it passes that on by `stop` and waits on. asyncio: `Server.wait_closed`, and
    /// `serve_forever`.
    ///
    /// In a handler of this very server it waits until its connection is cancelled, at the end of the while.
    ///
    /// # Errors
    ///
    /// The error of a listener that failed, which stops the server; [`InvalidInput`](io::ErrorKind::InvalidInput) in a
    /// callback.
    ///
    /// # Suspends
    ///
    /// Until the end. A thread without a loop blocks.
    #[track_caller]
    pub fn join(&self) -> io::Result<()> {
        self.core.latch.wait(caller(), || self.stop())
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.core.has_ended();
        f.debug_struct("ServerHandle").field("addr", &self.core.address).field("ended", &ended).finish()
    }
}

/// More listeners at the address of the first, as many as are wanted, or none.
fn share(first: &TcpListener, count: usize) -> Vec<TcpListener> {
    if count == 0 || !cfg!(target_os = "linux") {
        return Vec::new();
    }
    // The first was alone there when it was bound: a second server at its port is a mistake, and has shown. Only now it
    // shares.
    let listen = || -> io::Result<_> {
        SockRef::from(first).set_reuse_port(true)?;
        let address = first.local_addr()?;
        (0..count).map(|_| ListenOptions::new().reuse_port(true).bind(address)).collect()
    };
    listen().unwrap_or_else(|error: io::Error| {
        log::info!(target: "corio::workers", "one worker accepts for all, because they cannot share an address: {error}");
        let _ = SockRef::from(first).set_reuse_port(false);
        Vec::new()
    })
}

/// What the parts of a server on all loops have in common.
struct Plan<'a, F> {
    core: &'a Arc<Core>,
    handler: Arc<F>,
    grace: Duration,
    task: &'a Builder,
    at: Place,
}

impl<F> Plan<'_, F> {
    /// Begins the part on this loop, whose worker stays until it has ended.
    fn begin<L, R>(&self, handle: &LoopHandle, door: mpsc::Sender<()>, listener: L)
    where
        L: Listener<Stream = TcpStream>,
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
        R: IntoResult<Value = ()>,
    {
        let (part, handler, grace, task) =
            (Part(self.core.clone()), self.handler.clone(), self.grace, self.task.clone());
        let serve = move || {
            let _door = door;
            part.ends(serve_here(&part.0, listener, grace, task, &*handler));
        };
        send(handle, serve, self.at);
    }
}

fn send(handle: &LoopHandle, f: impl FnOnce() + Send + 'static, at: Place) {
    // A loop that is gone drops its part, which then has ended.
    drop(handle.send_task(Builder::new(), f, at));
}

/// A worker's part of a server, on its loop.
fn serve_here<L, F, R>(core: &Core, listener: L, grace: Duration, task: Builder, handler: &F) -> io::Result<()>
where
    L: Listener<Stream = TcpStream>,
    F: Fn(TcpStream) -> R,
    R: IntoResult<Value = ()>,
{
    let server = Server::new([listener]).grace(grace).tasks(task);
    let handle = server.handle();
    if core.begins(Box::new(move || handle.stop())) { server.serve(handler) } else { Ok(()) }
}

/// Accepts for all, and hands the connections to each in turn.
fn hand_out(listener: &TcpListener, ways: &[mpsc::Sender<Arrival>]) -> io::Result<()> {
    for way in ways.iter().cycle() {
        // A worker that has ended takes nothing; then the set is about to end.
        drop(way.try_send(listener.accept()?));
    }
    Ok(())
}

/// A connection on its way to its worker.
type Arrival = (TcpStream, SocketAddr);

/// What comes from the one who accepts for all.
struct Arrivals(mpsc::Receiver<Arrival>);

impl sealed::Sealed for Arrivals {}
impl Listener for Arrivals {
    type Stream = TcpStream;

    #[track_caller]
    fn next<P>(&self, mut place: impl FnMut() -> io::Result<P>) -> io::Result<(P, TcpStream, String)> {
        // There is no other listener beside it that would want the place meanwhile.
        let place = place()?;
        self.0.recv().map(|(stream, from)| (place, stream, from.to_string()))
    }

    fn stop(&self) {
        self.0.close();
    }

    /// It has no second handle by which somebody else could close it.
    fn is_closed(&self) -> bool {
        false
    }
}
