//! Well-known crates on corio's streams: each waits in its task, and the loop runs others meanwhile.
//!
//! | Synchronous | Here | Program |
//! |---|---|---|
//! | tungstenite | [`websocket`]: an echo, and a room in which everybody hears everybody | `websocket` |
//! | rustls | [`tls`]: both sides of a connection, and an echo | `tls_echo` |
//! | ureq | [`http`]: its connector and its resolver | `fetch` |
//! | redis | [`redis`]: its commands over a connection of ours | `counter` |
//!
//! Crates that are written for `async` run on the same loop, unchanged, over the streams of `corio::aio`:
//!
//! | Crate | Here | Program |
//! |---|---|---|
//! | hyper | [`hyper`]: a server and clients, of HTTP/1 and HTTP/2 | `http_server` |
//! | axum | [`axum`]: handlers, some of which call what is above | `notes` |
//! | futures-rustls, async-tungstenite | [`wss`]: WebSockets over TLS | `wss_echo` |
//! | tokio-postgres | [`postgres`]: a client, and what its server tells unasked | `listen` |
//!
//! What to use and what not: `docs/book/ecosystem.md`.

pub mod axum;
pub mod http;
pub mod hyper;
pub mod postgres;
pub mod redis;
pub mod tls;
pub mod websocket;
pub mod wss;

use std::error::Error;
use std::io;

use corio::aio::hyper::Tasks;
use corio::aio::{self, Join};

/// A task that moves the bytes of a connection while others use it, as many asynchronous clients want one. It ends with them,
/// when it has nothing left to do; and at the latest with this.
#[derive(Debug)]
#[must_use = "without it the connection stops"]
pub struct Driver {
    task: Join<'static, ()>,
    others: Owned,
}

#[derive(Debug)]
struct Owned(Tasks);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Driver {
    /// Spawns it.
    pub fn spawn<E>(connection: impl Future<Output = Result<(), E>> + 'static) -> Driver
    where
        E: Error + Send + Sync + 'static,
    {
        Driver::spawn_with(Tasks::new(), connection)
    }

    /// The same for a connection that has, or will have, tasks beside it.
    pub fn spawn_with<E>(others: Tasks, connection: impl Future<Output = Result<(), E>> + 'static) -> Driver
    where
        E: Error + Send + Sync + 'static,
    {
        let task = aio::spawn_local(async { connection.await.map_err(io::Error::other) });
        Driver { task: task.into_future().cancel_on_drop(), others: Owned(others) }
    }

    /// Waits for it, when whoever has used the connection has left it. The error says what has become of that.
    pub async fn end(self) -> io::Result<()> {
        let Driver { task, others } = self;
        let ended = task.await;
        others.0.wait().await?;
        ended
    }
}
