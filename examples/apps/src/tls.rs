//! TLS by rustls, which is generic over the stream: what has to be written is how to begin, and how to end.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// The end of a connection that called.
pub type ClientStream<S> = StreamOwned<ClientConnection, S>;

/// The end of a connection that was called.
pub type ServerStream<S> = StreamOwned<ServerConnection, S>;

/// How a server shows who it is: by a chain of certificates and the key of the first.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    Ok(Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?))
}

/// The same, from two PEM files. It reads them without a task: before the run.
pub fn server_config_from(chain: &Path, key: &Path) -> io::Result<Arc<ServerConfig>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(chain).map_err(io::Error::other)?.collect();
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    server_config(chain.map_err(io::Error::other)?, key).map_err(io::Error::other)
}

/// How a client makes sure of that: by the certificates that it trusts.
pub fn client_config(trusted: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone())?;
    }
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// Calls, over a stream that is connected. It ends when both know of each other who they are: without this, that would
/// be part of the first read or write.
pub fn connect<S: Read + Write>(config: &Arc<ClientConfig>, name: &str, mut stream: S) -> io::Result<ClientStream<S>> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    tls.complete_io(&mut stream)?;
    Ok(StreamOwned::new(tls, stream))
}

/// Answers a call.
pub fn accept<S: Read + Write>(config: &Arc<ServerConfig>, mut stream: S) -> io::Result<ServerStream<S>> {
    let mut tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
    tls.complete_io(&mut stream)?;
    Ok(StreamOwned::new(tls, stream))
}

/// Says that nothing more will be written, in a way that the other end can trust: the end of a TCP stream may be anybody's
/// work. It waits, so it is no destructor's business.
pub fn end<S: Read + Write>(stream: &mut ServerStream<S>) -> io::Result<()> {
    stream.conn.send_close_notify();
    stream.flush()
}

/// Sends back what comes, until the end.
///
/// The flush is where an error shows: a write of rustls keeps it to itself, since the bytes are in its buffer by then.
pub fn echo<S: Read + Write>(stream: &mut ServerStream<S>) -> io::Result<()> {
    loop {
        let bytes = stream.fill_buf()?;
        if bytes.is_empty() {
            return end(stream);
        }
        let bytes = bytes.to_vec();
        stream.write_all(&bytes)?;
        stream.flush()?;
        stream.consume(bytes.len());
    }
}
