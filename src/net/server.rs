//! A server: listeners, a task for each connection, a limit, and an orderly end.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::{TcpListener, TcpStream, UnixListener, UnixStream};
use crate::channel::watch;
use crate::task::{IntoResult, caller};
use crate::{Builder, Scope, Semaphore, Shutdown, Task, current, error, is_timed_out, scope, secs, timeout};

/// What a [`Server`] accepts connections from. The trait is sealed.
///
/// ```
/// use corio::net::{Listener, Server, ServerHandle, TcpListener, UnixListener};
/// use corio::{secs, signal};
/// use std::io;
///
/// /// For servers of either kind.
/// fn stop_on_a_signal<L: Listener>(server: ServerHandle<L>) -> io::Result<()> {
///     signal::termination()?;
///     Ok(server.stop())
/// }
///
/// let tcp = Server::new([TcpListener::bind("127.0.0.1:0")?]).grace(secs(3));
/// let path = std::env::temp_dir().join(format!("corio-listener-{}", std::process::id()));
/// let unix = Server::new([UnixListener::bind(path)?]);
/// # type Stop<L> = fn(ServerHandle<L>) -> io::Result<()>;
/// # let _: (Stop<TcpListener>, Stop<UnixListener>) = (stop_on_a_signal, stop_on_a_signal);
/// # drop((tcp, unix));
/// # io::Result::Ok(())
/// ```
pub trait Listener: sealed::Sealed + Send + Sync + 'static {
    /// A connection.
    type Stream: 'static;

    /// The next connection, and whoever made it. Each attempt asks for a place first, and has its error if there is none.
    #[doc(hidden)]
    fn next<P>(&self, place: impl FnMut() -> io::Result<P>) -> io::Result<(P, Self::Stream, String)>;

    #[doc(hidden)]
    fn stop(&self);

    #[doc(hidden)]
    fn is_closed(&self) -> bool;
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for TcpListener {}
impl Listener for TcpListener {
    type Stream = TcpStream;

    #[track_caller]
    fn next<P>(&self, place: impl FnMut() -> io::Result<P>) -> io::Result<(P, TcpStream, String)> {
        self.accept_at(place, caller()).map(|(place, stream, from)| (place, stream, from.to_string()))
    }

    fn stop(&self) {
        self.close();
    }

    fn is_closed(&self) -> bool {
        self.gate().is_closed()
    }
}

impl sealed::Sealed for UnixListener {}
impl Listener for UnixListener {
    type Stream = UnixStream;

    #[track_caller]
    fn next<P>(&self, place: impl FnMut() -> io::Result<P>) -> io::Result<(P, UnixStream, String)> {
        self.accept_at(place, caller()).map(|(place, stream, from)| (place, stream, format!("{from:?}")))
    }

    fn stop(&self) {
        self.close();
    }

    fn is_closed(&self) -> bool {
        self.gate().is_closed()
    }
}

/// A server: it accepts connections from its listeners and gives each a task of its own.
///
/// The error or panic of one connection is logged with where it came from, and the others go on. When the server is
/// [stopped](ServerHandle::stop), it accepts no more and waits for the connections that are there, for its
/// [grace](Self::grace); then it cancels them. When the task that serves is cancelled, they are cancelled at once.
///
/// asyncio: `start_server`, `Server.serve_forever`.
///
/// ```
/// use corio::net::{Server, TcpListener, TcpStream};
/// use corio::{run, secs, spawn};
/// use std::io::{Read, Write};
///
/// run(|| {
///     let server = Server::new([TcpListener::bind("127.0.0.1:0")?]).limit(1_000).grace(secs(3));
///     let address = server.listeners()[0].local_addr()?;
///     let handle = server.handle();
///     let serving = spawn(move || {
///         server.serve(|mut stream| {
///             let mut text = String::new();
///             stream.read_to_string(&mut text)?;
///             stream.write_all(text.to_uppercase().as_bytes())
///         })
///     });
///     let mut client = TcpStream::connect(address)?;
///     client.write_all(b"hello")?;
///     client.shutdown(std::net::Shutdown::Write)?;
///     let mut answer = String::new();
///     client.read_to_string(&mut answer)?;
///     assert_eq!(answer, "HELLO");
///     handle.stop();
///     serving.join()
/// })
/// # .unwrap()
/// ```
pub struct Server<L: Listener = TcpListener> {
    shared: Arc<Shared<L>>,
    limit: usize,
    grace: Duration,
    /// What the task of a connection is like.
    task: Builder,
    /// The tasks of the connections, by their ids.
    tasks: RefCell<BTreeMap<u64, Task>>,
}

struct Shared<L> {
    listeners: Vec<L>,
    serving: AtomicBool,
    stopped: watch::Sender<bool>,
    connections: AtomicUsize,
}

/// The way to a server, from any task and any thread; from [`Server::handle`].
///
/// ```
/// use corio::net::{Server, TcpListener, TcpStream};
/// use corio::{millis, run, scope, secs, sleep};
/// use std::io::Read;
///
/// run(|| {
///     let server = Server::new([TcpListener::bind("127.0.0.1:0")?]).grace(millis(10));
///     let handle = server.handle();
///     let address = handle.listeners()[0].local_addr()?;
///     scope(|s| {
///         let serving = s.spawn(|| server.serve(|_stream| sleep(secs(600))));
///         let mut client = TcpStream::connect(address)?;
///         while handle.connections() == 0 {
///             sleep(millis(1))?;
///         }
///         assert!(handle.is_serving());
///         handle.stop();
///         serving.join()?; // after the grace: the connection did not end by itself
///         assert_eq!((handle.is_serving(), handle.connections(), client.read(&mut [0])?), (false, 0, 0));
///         Ok(())
///     })
/// })
/// # .unwrap()
/// ```
pub struct ServerHandle<L: Listener = TcpListener> {
    shared: Arc<Shared<L>>,
}

impl<L: Listener> Server<L> {
    /// A server for these listeners. It accepts nothing before [`serve`](Self::serve); clients wait in the listeners' queues.
    pub fn new(listeners: impl IntoIterator<Item = L>) -> Server<L> {
        let shared = Shared {
            listeners: listeners.into_iter().collect(),
            serving: AtomicBool::new(false),
            stopped: watch::channel(false).0,
            connections: AtomicUsize::new(0),
        };
        Server {
            shared: Arc::new(shared),
            limit: usize::MAX >> 4,
            grace: secs(10),
            task: Builder::new().name("connection"),
            tasks: RefCell::default(),
        }
    }

    /// How many connections there may be at once. While there are that many, none is accepted, and clients wait. No limit if
    /// not set, but that of the system.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn limit(mut self, connections: usize) -> Server<L> {
        assert!(connections > 0, "a server that may have no connection serves nobody");
        self.limit = connections.min(self.limit);
        self
    }

    /// How long connections have to end when the server is stopped. Ten seconds if not set.
    pub fn grace(mut self, grace: Duration) -> Server<L> {
        self.grace = grace;
        self
    }

    /// What the tasks of connections are like.
    pub(crate) fn tasks(mut self, task: Builder) -> Server<L> {
        self.task = task.name("connection");
        self
    }

    /// The listeners, for their addresses.
    pub fn listeners(&self) -> &[L] {
        &self.shared.listeners
    }

    /// A handle to stop it with.
    pub fn handle(&self) -> ServerHandle<L> {
        ServerHandle { shared: self.shared.clone() }
    }

    /// Cancels all connections at once, without grace. It goes on accepting, unless it was stopped. asyncio: `abort_clients`.
    ///
    /// ```
    /// use corio::net::{Server, TcpListener, TcpStream};
    /// use corio::{millis, run, scope, secs, sleep};
    /// use std::io::Read;
    ///
    /// run(|| {
    ///     let server = Server::new([TcpListener::bind("127.0.0.1:0")?]);
    ///     scope(|s| {
    ///         let serving = s.spawn(|| server.serve(|_stream| sleep(secs(600))));
    ///         let mut client = TcpStream::connect(server.listeners()[0].local_addr()?)?;
    ///         while server.handle().connections() == 0 {
    ///             sleep(millis(1))?;
    ///         }
    ///         server.abort();
    ///         assert_eq!(client.read(&mut [0])?, 0); // closed
    ///         assert!(server.handle().is_serving()); // others may come
    ///         server.handle().stop();
    ///         serving.join()
    ///     })
    /// })
    /// # .unwrap()
    /// ```
    pub fn abort(&self) {
        let tasks = self.tasks.take();
        for task in tasks.values() {
            task.cancel();
        }
    }

    /// Serves until it is stopped, and until no connection is left. asyncio: `Server.serve_forever`.
    ///
    /// # Errors
    ///
    /// A cancellation, which ends the connections too. What a listener says that cannot go on; the others are closed then.
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it serves already, or was stopped before.
    ///
    /// # Suspends
    ///
    /// Until the end.
    #[track_caller]
    pub fn serve<R>(&self, handler: impl Fn(L::Stream) -> R) -> io::Result<()>
    where
        R: IntoResult<Value = ()>,
    {
        if self.shared.is_stopped() {
            return Err(error::misuse("the server was stopped: make a new one"));
        }
        if self.shared.serving.swap(true, Ordering::SeqCst) {
            return Err(error::misuse("the server serves already"));
        }
        let _closed_in_the_end = Closed(&self.shared);
        let (handler, places) = (&handler, &Semaphore::new(self.limit));
        scope(|s| {
            let accepting: Vec<_> = self
                .shared
                .listeners
                .iter()
                .map(|listener| s.spawn(move || self.accept_from(listener, s, places, handler)))
                .collect();
            let mut stopped = self.shared.stopped.subscribe();
            if !self.shared.is_stopped() {
                stopped.recv()?;
            }
            // Also those that wait for a place.
            for task in &accepting {
                task.cancel();
            }
            match timeout(self.grace, || s.wait()) {
                Err(late) if is_timed_out(&late) => {
                    log::info!(target: "corio::net", "the grace of {:?} is over: cancelling {} connection(s)",
                        self.grace, s.len());
                    s.cancel();
                    Ok(())
                }
                result => result,
            }
        })
    }

    /// Accepts until the listener is closed.
    fn accept_from<'scope, R>(
        &'scope self,
        listener: &'scope L,
        s: &'scope Scope<'scope, '_>,
        places: &'scope Semaphore,
        handler: &'scope impl Fn(L::Stream) -> R,
    ) -> io::Result<()>
    where
        R: IntoResult<Value = ()>,
    {
        let mut kept = None;
        loop {
            let mut is_full = false;
            let accepted = listener.next(|| {
                // Taken for this attempt only: who waits for a client keeps no place from the other listeners.
                let place = kept.take().or_else(|| places.try_acquire());
                is_full = place.is_none();
                place.ok_or_else(|| io::ErrorKind::QuotaExceeded.into())
            });
            let (place, stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(_) if self.shared.is_stopped() => return Ok(()),
                // By another handle of it: then the server is stopped, as by its own.
                Err(_) if listener.is_closed() => {
                    self.shared.stop();
                    return Ok(());
                }
                Err(_) if is_full => match places.acquire() {
                    Ok(place) => {
                        kept = Some(place);
                        continue;
                    }
                    Err(_) if self.shared.is_stopped() => return Ok(()),
                    Err(error) => return Err(error),
                },
                Err(error) => return Err(error),
            };
            let serve = move || {
                let _place = place;
                self.shared.connections.fetch_add(1, Ordering::SeqCst);
                let _counted = Counted(&self.shared.connections);
                self.serve_one(stream, &from, handler);
            };
            // If there is no stack for it, the connection is dropped: the others go on.
            match self.task.clone().spawn_scoped(s, serve) {
                Ok(task) => drop(self.tasks.borrow_mut().insert(task.id(), task.task())),
                Err(error) => log::error!(target: "corio::net", "a connection is closed unserved: {error}"),
            }
        }
    }

    fn serve_one<R>(&self, stream: L::Stream, from: &str, handler: &impl Fn(L::Stream) -> R)
    where
        R: IntoResult<Value = ()>,
    {
        let served = catch_unwind(AssertUnwindSafe(|| handler(stream).into_result()));
        self.tasks.borrow_mut().remove(&current().id());
        match served {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error::is_cancelled(&error) => {}
            Ok(Err(error)) => report(from, &error),
            Err(payload) if payload.is::<Shutdown>() => resume_unwind(payload),
            Err(payload) => report(from, &format_args!("panicked: {}", text_of(&*payload))),
        }
    }
}

fn report(from: &str, what: &dyn Display) {
    log::error!(target: "corio::net", "the connection from {from}: {what}");
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    crate::task::body::panic_text(payload)
}

struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Serving is over, however it ended: nobody will accept any more.
struct Closed<'a, L: Listener>(&'a Shared<L>);

impl<L: Listener> Drop for Closed<'_, L> {
    fn drop(&mut self) {
        self.0.stop();
        self.0.serving.store(false, Ordering::SeqCst);
    }
}

impl<L: Listener> Shared<L> {
    fn is_stopped(&self) -> bool {
        *self.stopped.get()
    }

    fn stop(&self) {
        self.stopped.replace(true);
        self.listeners.iter().for_each(Listener::stop);
    }
}

impl<L: Listener> ServerHandle<L> {
    /// Accepts no more: new clients are refused, and [`Server::serve`] ends when the connections have, or when its grace is
    /// over. Clients that the system has let in already, and that wait to be accepted, are reset, as by every close of a
    /// listener. Stopping twice does nothing. asyncio: `Server.close`.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Whether it accepts connections. asyncio: `is_serving`.
    pub fn is_serving(&self) -> bool {
        self.shared.serving.load(Ordering::SeqCst) && !self.shared.is_stopped()
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The listeners, for their addresses. asyncio: `Server.sockets`.
    pub fn listeners(&self) -> &[L] {
        &self.shared.listeners
    }
}

impl<L: Listener> Clone for ServerHandle<L> {
    fn clone(&self) -> ServerHandle<L> {
        ServerHandle { shared: self.shared.clone() }
    }
}

impl<L: Listener> fmt::Debug for Server<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle().fmt(f)
    }
}

impl<L: Listener> fmt::Debug for ServerHandle<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listeners", &self.listeners().len())
            .field("serving", &self.is_serving())
            .field("connections", &self.connections())
            .finish()
    }
}
