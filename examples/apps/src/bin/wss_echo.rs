//! An echo of WebSockets over TLS: a server of the direct style, whose connections are futures.
//!
//! ```text
//! cargo run -p corio-apps --bin wss_echo -- 127.0.0.1:8443 chain.pem key.pem
//! SSL_CERT_FILE=chain.pem python3 -m websockets wss://localhost:8443
//! ```

use std::path::Path;
use std::{env, io};

use corio::net::{Server, TcpListener};
use corio::{aio, secs};
use corio_apps::{tls, wss};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, chain, key] = &arguments[..] else {
        eprintln!("usage: wss_echo ADDRESS CHAIN.pem KEY.pem");
        std::process::exit(2);
    };
    let config = tls::server_config_from(Path::new(chain), Path::new(key))?;
    corio::run(|| {
        let server = Server::new([TcpListener::bind(address)?]);
        println!("listening on {}", server.listeners()[0].local_addr()?);
        server.serve(|stream| {
            aio::wait_on(async {
                let socket = aio::timeout(secs(10), wss::accept(&config, aio::net::TcpStream::from(stream))).await?;
                wss::echo(socket?).await
            })?
        })
    })
}
