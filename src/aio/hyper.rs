//! What hyper asks of whoever runs it: its tasks, and its clock. The streams of [`aio::net`] are what it reads
//! and writes.
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

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt;

use super::SendWrapper;
use crate::task::caller;
use crate::{Builder, JoinHandle, aio};

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
        let task: io::Result<JoinHandle<()>> = Builder::new().spawn_future(async move { drop(future.await) }, caller());
        if let Err(error) = task {
            log::error!(target: "corio::aio", "a task of hyper's cannot be spawned: {error}");
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
        Box::pin(Nap::new(aio::sleep(duration)))
    }

    #[track_caller]
    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Nap::new(aio::sleep_until(deadline)))
    }

    fn now(&self) -> Instant {
        crate::now()
    }
}

/// hyper asks for `Send`.
struct Nap(SendWrapper<Option<aio::Sleep>>);

impl Nap {
    fn new(sleep: aio::Sleep) -> Nap {
        Nap(SendWrapper::new(Some(sleep)))
    }
}

impl rt::Sleep for Nap {}

impl Future for Nap {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: what it holds is pinned with it: it is replaced in its place only.
        let mut sleep = unsafe { self.map_unchecked_mut(|this| &mut *this.0) };
        let Some(pinned) = sleep.as_mut().as_pin_mut() else { return Poll::Pending };
        let ended = ready!(pinned.poll(context));
        sleep.set(None);
        match ended {
            Ok(()) => Poll::Ready(()),
            // It has not slept enough: the streams of a cancelled task say what is to be said.
            Err(error) if crate::is_cancelled(&error) => Poll::Pending,
            Err(error) => panic!("{error}"),
        }
    }
}
