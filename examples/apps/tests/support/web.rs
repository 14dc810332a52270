//! What the tests of web servers share: a server that can be stopped, and a client.

use std::io;
use std::process::Command;
use std::rc::Rc;

use corio::aio::net::TcpListener;
use corio::net::SocketAddr;
use corio::{Event, JoinHandle, aio, secs};
use corio_apps::hyper::Limits;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, StatusCode};

use super::{is_there, output};

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

// ---- clients of others ---------------------------------------------------------------------------------------------

/// As [`output`], as text.
pub fn says(command: &mut Command) -> String {
    String::from_utf8(output(command)).unwrap()
}

/// It fails if the answer is an error.
pub fn curl() -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--noproxy", "*"]);
    curl
}

/// Asks for a page on many connections at once, and each must bring it: in HTTP/1 by wrk, in HTTP/2 by h2load.
pub fn load(page: &str) {
    // wrk has no option that does nothing and succeeds.
    if is_there("sh", &["-c", "command -v wrk"]) {
        let said = says(Command::new("wrk").args(["--threads", "1", "--connections", "50", "--duration", "1s", page]));
        assert!(said.contains(" requests in ") && !said.contains(" 0 requests in "), "{said}");
        assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    }
    if is_there("h2load", &["--version"]) {
        let amount = ["--requests", "5000", "--clients", "10", "--max-concurrent-streams", "10"];
        let said = says(Command::new("h2load").args(amount).arg(page));
        assert!(said.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
        assert!(said.contains("status codes: 5000 2xx"), "{said}");
    }
}
