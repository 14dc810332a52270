//! What the tests of web servers share: a server that can be stopped, and a client.

use std::io;
use std::rc::Rc;

use corio::aio::net::TcpListener;
use corio::net::SocketAddr;
use corio::{Event, JoinHandle, aio, secs};
use corio_apps::hyper::Limits;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, StatusCode};

/// Longer than any limit of a test.
pub const PATIENT: Limits = Limits { request: secs(100), grace: secs(100) };

/// A server of ours in a task, and how to stop it.
pub struct Serving {
    pub address: SocketAddr,
    stop: Rc<Event>,
    task: JoinHandle<()>,
}

impl Serving {
    pub async fn start<F>(serve_until: impl FnOnce(TcpListener, Rc<Event>) -> F) -> io::Result<Serving>
    where
        F: Future<Output = io::Result<()>> + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.get_ref().local_addr()?;
        let stop = Rc::new(Event::new());
        let task = aio::spawn_local(serve_until(listener, stop.clone()));
        Ok(Serving { address, stop, task })
    }

    pub async fn stop(self) -> io::Result<()> {
        self.stop.set();
        self.task.await
    }
}

type Heard = io::Result<(StatusCode, Bytes)>;

/// Asks for a page; with a body, if there is one.
pub async fn ask(sender: &mut http1::SendRequest<Full<Bytes>>, path: &str, body: impl Into<Bytes>) -> Heard {
    sender.ready().await.map_err(io::Error::other)?;
    whole(sender.send_request(request(path, body)).await.map_err(io::Error::other)?).await
}

/// The same in HTTP/2.
pub async fn ask_http2(sender: &http2::SendRequest<Full<Bytes>>, path: &str, body: impl Into<Bytes>) -> Heard {
    whole(sender.clone().send_request(request(path, body)).await.map_err(io::Error::other)?).await
}

fn request(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let body = body.into();
    let method = if body.is_empty() { "GET" } else { "POST" };
    let request = Request::builder().method(method).uri(format!("http://server{path}")).header("host", "server");
    request.header("content-type", "application/json").body(body.into()).unwrap()
}

async fn whole(response: Response<Incoming>) -> Heard {
    let status = response.status();
    Ok((status, response.into_body().collect().await.map_err(io::Error::other)?.to_bytes()))
}
