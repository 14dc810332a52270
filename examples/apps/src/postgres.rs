//! PostgreSQL by tokio-postgres, which can do without tokio's runtime: it takes a stream, and gives a client, and a future that
//! moves the bytes. For tokio's traits of a stream there is an adapter, in tokio-util.
//!
//! The client is used by whoever likes: async tasks await its calls, and coroutines wait for them with `aio::wait_on`.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use corio::aio::net::TcpStream;
use corio::net::SocketAddr;
use corio::{Queue, aio, is_timed_out};
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls, Notification};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use crate::Driver;

/// A connection to a server.
pub struct Connection {
    /// What asks. All its calls take `&self`, but those that begin a transaction, and several may wait at once.
    pub client: Client,
    /// What others have told by `NOTIFY`, on channels that were listened to. It is shut down when the connection ends.
    pub notifications: Rc<Queue<Notification>>,
    driver: Driver,
    server: SocketAddr,
}

impl Connection {
    /// Connects. The address is ours to dial; the rest is in the configuration.
    pub async fn open(server: SocketAddr, config: &Config) -> io::Result<Connection> {
        let stream = TcpStream::connect(server).await?;
        stream.get_ref().set_nodelay(true)?;
        let (client, mut connection) = config.connect_raw(stream.compat(), NoTls).await.map_err(io::Error::other)?;
        let notifications = Rc::new(Queue::new());
        let told = Told(notifications.clone());
        let driver = Driver::spawn(poll_fn(move |context| {
            loop {
                match ready!(connection.poll_message(context)) {
                    Some(Ok(AsyncMessage::Notification(notification))) => told.hear(notification),
                    Some(Ok(AsyncMessage::Notice(notice))) => log::info!("{notice}"),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None => return Poll::Ready(Ok::<_, Error>(())),
                }
            }
        }));
        Ok(Connection { client, notifications, driver, server })
    }

    // ANCHOR: within
    /// Waits for the answer to a query, but not longer than that. Then the server is asked to give it up: to drop the future ends
    /// the waiting, and not the work.
    ///
    /// The server does one after the other: if others ask on the same connection, what it gives up may be theirs.
    pub async fn within<T>(&self, limit: Duration, query: impl Future<Output = Result<T, Error>>) -> io::Result<T> {
        match aio::timeout(limit, query).await {
            Err(error) if is_timed_out(&error) => {
                self.cancel().await?;
                Err(error)
            }
            answer => answer?.map_err(io::Error::other),
        }
    }
    // ANCHOR_END: within

    /// Asks the server to give up what it does for this connection now, by another one, as the protocol has it. The server hangs up
    /// when it has passed that on: until then, the request could meet the query after.
    pub async fn cancel(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.server).await?.compat();
        self.client.cancel_token().cancel_query_raw(&mut stream, NoTls).await.map_err(io::Error::other)?;
        stream.get_ref().read(&mut [0]).await.map(drop)
    }

    /// Says goodbye, when all has been done that was asked for.
    pub async fn close(self) -> io::Result<()> {
        drop(self.client);
        self.driver.end().await
    }
}

/// Nothing more is told when the connection is gone, however it has ended.
struct Told(Rc<Queue<Notification>>);

impl Told {
    fn hear(&self, notification: Notification) {
        // It has room for all, and is shut down by us only.
        let _ = self.0.try_put(notification);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}
