//! What hyper asks of whoever runs it: its tasks, and its clock. The streams of [`aio::net`] are what it reads
//! and writes.
//!
//! To drop a connection is to cancel it, in HTTP/1. In HTTP/2 parts of it are tasks, which [`Executor`] lets go: those of a server
//! end by themselves when the connection is dropped, with the requests that they answer; those of a client have bytes to write, and
//! wait for a peer that does not read. Give a client [`Tasks`], to cancel them with it.
//!
//! ```
//! use corio::aio::{self, net::{TcpListener, TcpStream}};
//! use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
//!
//! aio::block_on(async {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.get_ref().local_addr()?;
//!     let server = aio::spawn_local(async move {
//!         let (stream, _) = listener.accept().await?;
//!         let hello = service_fn(|_: Request<Incoming>| async {
//!             Ok::<_, std::convert::Infallible>(Response::new("hello".to_string()))
//!         });
//!         let served = http1::Builder::new().timer(aio::hyper::Timer).serve_connection(stream, hello);
//!         served.await.map_err(std::io::Error::other)
//!     });
//!     let client = TcpStream::connect(address).await?;
//!     client.write_all(b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").await?;
//!     let mut head = [0; 15];
//!     client.read_exact(&mut head).await?;
//!     assert_eq!(&head, b"HTTP/1.1 200 OK");
//!     server.await
//! })
//! # .unwrap()
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt;

use super::SendWrapper;
use super::pause::Pause;
use crate::error::misuse;
use crate::event_loop::EventLoop;
use crate::observe::event::Place;
use crate::select::Only;
use crate::task::caller;
use crate::{Builder, JoinHandle, Task, aio};

/// Spawns hyper's own tasks, such as the streams of HTTP/2, on the running loop; see the [module](self).
///
/// Outside of a loop the future is dropped, which is logged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor;

impl<F> rt::Executor<F> for Executor
where
    F: Future + 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        spawn(future, caller());
    }
}

fn spawn<F: Future + 'static>(future: F, at: Place) -> Option<Task> {
    let is_here = EventLoop::with_current(|lp| lp.is_some());
    let task: io::Result<JoinHandle<()>> = if is_here {
        Builder::new().spawn_future(async move { drop(future.await) }, at)
    } else {
        Err(misuse("no loop runs on this thread"))
    };
    match task {
        Ok(handle) => Some(handle.task()),
        Err(error) => {
            log::error!(target: "corio::aio", "a task of hyper's cannot be spawned: {error}");
            None
        }
    }
}

/// Spawns hyper's own tasks as [`Executor`] does, and knows which have not ended, so that they can be cancelled with the
/// connection; see the [module](self). Clones are the same set.
///
/// ```
/// use corio::aio::{self, hyper::Tasks};
/// use corio::secs;
/// use hyper::rt::Executor;
///
/// aio::block_on(async {
///     let tasks = Tasks::new();
///     let given = tasks.clone(); // to `client::conn::http2::Builder::new`
///     given.execute(async { aio::sleep(secs(600)).await }); // as hyper does
///     assert_eq!(tasks.len(), 1);
///     tasks.cancel();
///     tasks.wait().await?;
///     assert!(tasks.is_empty());
///     Ok(())
/// })
/// # .unwrap()
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tasks(Rc<RefCell<BTreeMap<u64, Task>>>);

impl Tasks {
    /// A set without tasks.
    pub fn new() -> Tasks {
        Tasks::default()
    }

    /// Cancels all that have not ended.
    pub fn cancel(&self) {
        let tasks: Vec<Task> = self.0.borrow().values().cloned().collect();
        for task in tasks {
            task.cancel();
        }
    }

    /// Waits until all have ended, also those that are spawned meanwhile.
    ///
    /// # Errors
    ///
    /// Only cancellation.
    ///
    /// # Suspends
    ///
    /// Until then.
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = io::Result<()>> + use<> {
        let (set, at) = (self.clone(), caller());
        async move {
            loop {
                let next = set.0.borrow().values().find(|task| !task.is_done()).cloned();
                let Some(task) = next else { return Ok(()) };
                Pause::new(Only(task), at).await?;
            }
        }
    }

    /// How many have not ended.
    pub fn len(&self) -> usize {
        self.0.borrow().values().filter(|task| !task.is_done()).count()
    }

    /// Whether all have ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<F> rt::Executor<F> for Tasks
where
    F: Future + 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        if let Some(task) = spawn(future, caller()) {
            let set = self.clone();
            self.0.borrow_mut().insert(task.id(), task.clone());
            task.on_done(move |task| drop(set.0.borrow_mut().remove(&task.id())));
        }
    }
}

/// The loop's clock, also a virtual one; see the [module](self).
///
/// # Panics
///
/// Whoever waits for it outside of a loop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl rt::Timer for Timer {
    #[track_caller]
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Nap::new(crate::now().checked_add(duration), caller()))
    }

    #[track_caller]
    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Nap::new(Some(deadline), caller()))
    }

    fn now(&self) -> Instant {
        crate::now()
    }
}

/// hyper asks for `Send`.
struct Nap(SendWrapper<Moment>);

struct Moment {
    until: Option<Instant>,
    at: Place,
    /// While it is waited for; pinned.
    wait: Option<aio::Sleep>,
}

impl Nap {
    fn new(until: Option<Instant>, at: Place) -> Nap {
        Nap(SendWrapper::new(Moment { until, at, wait: None }))
    }
}

impl rt::Sleep for Nap {}

impl Future for Nap {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: what is pinned is replaced in its place only.
        let moment: &mut Moment = unsafe { &mut self.get_unchecked_mut().0 };
        if moment.wait.is_none() {
            // In a cancelled task a timer has nothing to say: its streams say what is to be said.
            let is_cancelled = |lp: &EventLoop| lp.running().is_some_and(|task| task.core.is_cancelled());
            if EventLoop::with_current(|lp| lp.is_some_and(is_cancelled)) {
                return Poll::Pending;
            }
            moment.wait = Some(aio::Sleep::new(moment.until, moment.at));
        }
        let wait = moment.wait.as_mut().expect("it is waited for");
        // SAFETY: as said.
        let ended = ready!(unsafe { Pin::new_unchecked(wait) }.poll(context));
        moment.wait = None;
        match ended {
            Ok(()) => Poll::Ready(()),
            // It has not slept enough. If the task goes on all the same, behind a shield, the timer is set again.
            Err(error) if crate::is_cancelled(&error) => Poll::Pending,
            Err(error) => panic!("{error}"),
        }
    }
}
