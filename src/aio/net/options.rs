//! How to connect, when the defaults do not do.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Poll, ready};

use super::address::resolve;
use super::connection::connected;
use super::tcp::TcpStream;
use crate::aio::attempt::checkpoint;
use crate::aio::time::{Sleep, within};
use crate::error::misuse;
use crate::net::ConnectOptions;
use crate::net::attempts::{HEAD_START, Question, all_failed, in_turns};
use crate::observe::event::Place;

pub(super) async fn connect(
    options: &ConnectOptions,
    question: io::Result<Question>,
    at: Place,
) -> io::Result<TcpStream> {
    let addresses = resolve(question, at).await?;
    match options.limit {
        Some(limit) => within(limit, connect_to(options, addresses, at), at).await?,
        None => connect_to(options, addresses, at).await,
    }
}

async fn connect_to(options: &ConnectOptions, addresses: Vec<SocketAddr>, at: Place) -> io::Result<TcpStream> {
    if options.happy_eyeballs && addresses.len() > 1 {
        return race(options, in_turns(&addresses), at).await;
    }
    let mut failures = Vec::new();
    for address in addresses {
        match connect_one(options, address, at).await {
            Ok(stream) => return Ok(stream),
            // Cancelled: the other addresses would only be refused as well.
            Err(error) if crate::is_cancelled(&error) => return Err(error),
            Err(error) => failures.push((address, error)),
        }
    }
    Err(all_failed(failures))
}

async fn connect_one(options: &ConnectOptions, address: SocketAddr, at: Place) -> io::Result<TcpStream> {
    // Before anything is sent: a call that cannot succeed, and a cancelled task, reach nobody.
    if options.limit_of_each.is_some_and(|limit| limit.is_zero()) {
        return Err(misuse("a time limit of zero"));
    }
    checkpoint(at).await?;
    let stream = options.connecting(address)?;
    match options.limit_of_each {
        Some(limit) => within(limit, connected(stream.connection(), at), at).await??,
        None => connected(stream.connection(), at).await?,
    }
    Ok(TcpStream::from(stream))
}

/// Each address in a future of its own, begun when the one before has failed or had its head start. All are the task's: whenever
/// it is woken, each that is still there is polled, and there are but a few.
async fn race(options: &ConnectOptions, addresses: Vec<SocketAddr>, at: Place) -> io::Result<TcpStream> {
    let mut to_come = addresses.into_iter().peekable();
    let (mut begun, mut failures) = (Vec::new(), Vec::new());
    loop {
        if let Some(address) = to_come.next() {
            begun.push((address, Box::pin(connect_one(options, address, at))));
        } else if begun.is_empty() {
            return Err(all_failed(failures));
        }
        let mut head_start = pin!(Sleep::from_now(HEAD_START, at));
        let won = std::future::poll_fn(|context| {
            let mut is_time = false;
            let mut n = 0;
            while let Some((address, attempt)) = begun.get_mut(n) {
                match attempt.as_mut().poll(context) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(Some(stream))),
                    Poll::Ready(Err(error)) if crate::is_cancelled(&error) => return Poll::Ready(Err(error)),
                    Poll::Ready(Err(error)) => {
                        failures.push((*address, error));
                        drop(begun.remove(n));
                        // Behind it there is nobody: it was the latest.
                        is_time = n == begun.len();
                    }
                    Poll::Pending => n += 1,
                }
            }
            if to_come.peek().is_some() && !is_time {
                ready!(head_start.as_mut().poll(context))?;
            } else if to_come.peek().is_none() && !begun.is_empty() {
                return Poll::Pending;
            }
            Poll::Ready(Ok(None))
        });
        if let Some(stream) = won.await? {
            return Ok(stream);
        }
    }
}
