//! HTTP by hyper, both sides of it, in its versions 1 and 2, over streams of `corio::aio`.
//!
//! hyper has the protocols, and asks for the rest: streams, a clock, and somebody who runs its tasks. `corio::aio` has all three,
//! so nothing is written here but what every server has to decide: who may wait how long, and how it ends.

use std::any::Any;
use std::error::Error;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use corio::aio::hyper::{Executor, Tasks, Timer};
use corio::aio::net::{TcpListener, TcpStream};
use corio::net::ToSocketAddrs;
use corio::signal::{Signal, Signals};
use corio::{Event, aio, secs};
use futures_util::future::{Either, join, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use http_body_util::{Either as OneOf, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};

use crate::Driver;

/// The error of anybody.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What the service here answers: its own words, or those of who asks.
pub type Answer = Response<OneOf<Full<Bytes>, Incoming>>;

/// Who may take how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A client, to say what it wants: from its connection to its first request, and then to the head of each next one.
    pub request: Duration,
    /// The requests under way when the server stops, all together.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { request: secs(10), grace: secs(10) }
    }
}

// ANCHOR: serve
/// Serves whoever connects, in either version, until it is told to stop. Then it lets the requests end that are under way.
///
/// All connections belong to this one future: when it is dropped, or its task cancelled, they are closed.
pub async fn serve<S, B>(
    listener: TcpListener,
    stop: impl Future<Output = io::Result<()>>,
    limits: Limits,
    service: S,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: 'static> + Clone + 'static,
    B: Body<Error: Into<BoxError>> + 'static,
{
    let mut http = auto::Builder::new(Executor);
    http.http1().timer(Timer).header_read_timeout(limits.request);
    // A client that is gone without a word does not answer a ping.
    http.http2().timer(Timer).keep_alive_interval(limits.request).keep_alive_timeout(limits.request);
    let (closing, mut connections) = (GracefulShutdown::new(), FuturesUnordered::new());
    let mut stopped = pin!(stop.fuse());
    loop {
        futures_util::select! {
            accepted = listener.accept().fuse() => {
                let (stream, _) = accepted?;
                stream.get_ref().set_nodelay(true)?;
                let connection = serve_one(&http, stream, closing.watcher(), limits, service.clone());
                // A handler that panics takes its own connection along, and no other.
                connections.push(AssertUnwindSafe(connection).catch_unwind());
            }
            ended = connections.select_next_some() => log_end(ended),
            told = stopped => break told?,
        }
    }
    drop(listener);
    let all = join(closing.shutdown(), connections.for_each(|ended| async { log_end(ended) }));
    match aio::timeout(limits.grace, all).await {
        Err(error) if !corio::is_cancelled(&error) => log::warn!("connections are cut off: {error}"),
        ended => drop(ended?),
    }
    Ok(())
}
// ANCHOR_END: serve

/// One connection, which must ask for something in time. hyper's own limit begins when it is known that this is HTTP/1; before
/// that, and in HTTP/2, a client could stay for ever without a request.
async fn serve_one<S, B>(
    http: &auto::Builder<Executor>,
    stream: TcpStream,
    closing: Watcher,
    limits: Limits,
    service: S,
) -> Result<(), BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: 'static>,
    B: Body<Error: Into<BoxError>> + 'static,
{
    let asked = Event::new();
    let connection = http.serve_connection(
        stream,
        service_fn(|request| {
            asked.set();
            service.call(request)
        }),
    );
    let first = aio::timeout(limits.request, aio::ready(&asked));
    match select(pin!(closing.watch(connection)), pin!(first)).await {
        Either::Left((ended, _)) => ended,
        Either::Right((Ok(_), connection)) => connection.await,
        Either::Right((Err(error), _)) => Err(error.into()),
    }
}

/// One that is cut off, or talks nonsense, is no matter of the server's.
fn log_end(ended: Result<Result<(), BoxError>, Box<dyn Any + Send>>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::info!("a connection: {error}"),
        Err(_) => log::error!("a handler has panicked"),
    }
}

/// A program: it says where it listens, and serves until it is asked to terminate.
pub fn run<S, B>(address: &str, service: S) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: 'static> + Clone + 'static,
    B: Body<Error: Into<BoxError>> + 'static,
{
    aio::block_on(async {
        let listener = TcpListener::bind(address).await?;
        // First: whoever reads the line may ask at once.
        let asked = Signals::new([Signal::Interrupt, Signal::Terminate])?;
        println!("listening on {}", listener.get_ref().local_addr()?);
        serve(listener, aio::ready(&asked).map(|signal| signal.map(drop)), Limits::default(), service).await
    })
}

/// A service: a greeting, and an echo whose bytes go back as they come.
pub async fn hello(request: Request<Incoming>) -> Result<Answer, BoxError> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => Response::new(OneOf::Left("hello\n".into())),
        (&Method::POST, "/echo") => Response::new(OneOf::Right(request.into_body())),
        _ => Response::builder().status(StatusCode::NOT_FOUND).body(OneOf::Left(Full::default()))?,
    })
}

/// Connects to a server of HTTP/1. What it gives sends requests, one after the other, as long as its driver is there.
pub async fn connect<B>(address: impl ToSocketAddrs) -> io::Result<(http1::SendRequest<B>, Driver)>
where
    B: Body<Data: Send, Error: Into<BoxError>> + 'static,
{
    let stream = TcpStream::connect(address).await?;
    stream.get_ref().set_nodelay(true)?;
    let (sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
    Ok((sender, Driver::spawn(connection)))
}

/// Connects to one of HTTP/2. Clones of the sender send requests at once.
pub async fn connect_http2<B>(address: impl ToSocketAddrs) -> io::Result<(http2::SendRequest<B>, Driver)>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Unpin + 'static,
{
    let stream = TcpStream::connect(address).await?;
    stream.get_ref().set_nodelay(true)?;
    let tasks = Tasks::new();
    let http = http2::Builder::new(tasks.clone());
    let (sender, connection) = http.handshake(stream).await.map_err(io::Error::other)?;
    Ok((sender, Driver::spawn_with(tasks, connection)))
}
