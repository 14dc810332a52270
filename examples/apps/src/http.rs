//! HTTP by ureq, over streams of ours: a connector and a resolver, and an agent made of them.
//!
//! ureq's own would stop the thread, and with it all tasks. With these a request is paused as any other wait is: it can be
//! cancelled wherever it is, and the time limits of its configuration are met.
//!
//! An agent of this kind works in a task; elsewhere ureq's own does.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Weak};

use corio::net::{ConnectOptions, TcpStream, ToSocketAddrs};
use corio::{is_timed_out, timeout};
use ureq::config::{Config, ConfigBuilder};
use ureq::http::Uri;
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, RustlsConnector, ShutdownHandle, Transport,
};
use ureq::{Agent, Error};

/// An agent that waits in its task. It asks servers themselves: what the configuration or the environment says of a proxy is
/// left out, for this connector has none of the ways to ask one.
pub fn agent(config: ConfigBuilder<AgentScope>) -> Agent {
    Agent::with_parts(config.proxy(None).build(), Tcp.chain(RustlsConnector::default()), Names)
}

/// The `io::Error` in an error of ureq, which does not show it as its `source()`; another one is wrapped.
pub fn io_error(error: Error) -> io::Error {
    match error {
        Error::Timeout(_) => io::Error::new(io::ErrorKind::TimedOut, error),
        error => error.into_io(),
    }
}

/// Does something that waits, under the limit that ureq has set for it.
fn within<T>(limit: NextTimeout, f: impl FnOnce() -> io::Result<T>) -> Result<T, Error> {
    let result = if limit.after.is_not_happening() { f() } else { timeout(*limit.after, f) };
    result.map_err(|error| if is_timed_out(&error) { Error::Timeout(limit.reason) } else { error.into() })
}

/// Looks names up on a thread of the loop's executor. A request that is cancelled does not wait for the answer.
#[derive(Debug)]
struct Names;

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, config: &Config, limit: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or_else(|| Error::BadUri(uri.to_string()))?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        // An address of IPv6 stands in brackets in a URI.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut found = self.empty();
        let addresses = within(limit, || (host, port).to_socket_addrs())?;
        for address in config.ip_family().keep_wanted(addresses) {
            if found.try_push(address).is_err() {
                break; // as many as ureq will try
            }
        }
        if found.is_empty() { Err(Error::HostNotFound) } else { Ok(found) }
    }
}

/// Connects; TLS comes on top of it.
#[derive(Debug)]
struct Tcp;

impl Connector for Tcp {
    type Out = Connection;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Connection>, Error> {
        let options = ConnectOptions::new().happy_eyeballs(true);
        let stream = within(details.timeout, || options.connect(&details.addrs[..]))?;
        stream.set_nodelay(details.config.no_delay())?;
        let stream = Arc::new(Wire(stream));
        let wire: Weak<Wire> = Arc::downgrade(&stream);
        (details.register_shutdown)(wire)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Connection { stream, buffers }))
    }
}

/// A stream that [`Agent::shutdown`] can end from another thread.
#[derive(Debug)]
struct Wire(TcpStream);

impl ShutdownHandle for Wire {
    fn shutdown(&self) {
        // An error means that it has ended already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A connection, and what ureq wants to stand in front of it.
#[derive(Debug)]
struct Connection {
    stream: Arc<Wire>,
    buffers: LazyBuffers,
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, limit: NextTimeout) -> Result<(), Error> {
        let output = &self.buffers.output()[..amount];
        within(limit.for_write(), || (&self.stream.0).write_all(output))
    }

    fn await_input(&mut self, limit: NextTimeout) -> Result<bool, Error> {
        let input = self.buffers.input_append_buf();
        let count = within(limit.for_read(), || (&self.stream.0).read(input))?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// A connection that rests is open if there is nothing to read, not even the end. ureq asks while it holds a lock of
    /// std, so this must not wait.
    fn is_open(&mut self) -> bool {
        let stream = &self.stream.0;
        let is_quiet = |result: io::Result<usize>| matches!(result, Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        let probe = || {
            stream.set_nonblocking(true)?;
            let is_open = is_quiet(stream.peek(&mut [0]));
            stream.set_nonblocking(false)?;
            Ok::<_, io::Error>(is_open)
        };
        probe().unwrap_or(false)
    }
}
