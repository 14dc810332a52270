//! WebSockets over TLS by async-tungstenite and futures-rustls, both of which are generic over the stream. The configurations
//! are those of [`tls`](crate::tls) and [`websocket`](crate::websocket).

use std::io;
use std::sync::Arc;

use async_tungstenite::{WebSocketStream, accept_async_with_config, client_async_with_config};
use futures_rustls::{TlsAcceptor, TlsConnector, client, server};
use futures_util::{AsyncRead, AsyncWrite, AsyncWriteExt, StreamExt};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::websocket::{config, io_error};

/// The end of a connection that called.
pub type ClientSocket<S> = WebSocketStream<client::TlsStream<S>>;

/// The end of a connection that was called.
pub type ServerSocket<S> = WebSocketStream<server::TlsStream<S>>;

/// Calls, over a stream that is connected.
pub async fn connect<S>(config_of_tls: &Arc<ClientConfig>, name: &str, stream: S) -> io::Result<ClientSocket<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (url, name) = (format!("wss://{name}/"), ServerName::try_from(name.to_owned()).map_err(io::Error::other)?);
    let tls = TlsConnector::from(config_of_tls.clone()).connect(name, stream).await?;
    let (socket, _) = client_async_with_config(url, tls, Some(config())).await.map_err(io_error)?;
    Ok(socket)
}

/// Answers a call.
pub async fn accept<S>(config_of_tls: &Arc<ServerConfig>, stream: S) -> io::Result<ServerSocket<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let tls = TlsAcceptor::from(config_of_tls.clone()).accept(stream).await?;
    accept_async_with_config(tls, Some(config())).await.map_err(io_error)
}

/// Sends back what comes, until the other end closes; then it ends the TLS session as well.
pub async fn echo<S>(mut socket: WebSocketStream<S>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = socket.next().await {
        let message = message.map_err(io_error)?;
        // Pings are answered, and a close is, by the next read.
        if message.is_text() || message.is_binary() {
            socket.send(message).await.map_err(io_error)?;
        }
    }
    socket.get_mut().close().await
}
