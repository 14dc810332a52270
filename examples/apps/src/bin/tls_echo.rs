//! An echo server over TLS.
//!
//! ```text
//! cargo run -p corio-apps --bin tls_echo -- 127.0.0.1:4433 chain.pem key.pem
//! openssl s_client -quiet -connect 127.0.0.1:4433
//! ```

use std::path::Path;
use std::{env, io};

use corio::net::{Server, TcpListener};
use corio::{secs, timeout};
use corio_apps::tls;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, chain, key] = &arguments[..] else {
        eprintln!("usage: tls_echo ADDRESS CHAIN.pem KEY.pem");
        std::process::exit(2);
    };
    let config = tls::server_config_from(Path::new(chain), Path::new(key))?;
    corio::run(|| {
        let server = Server::new([TcpListener::bind(address)?]);
        println!("listening on {}", server.listeners()[0].local_addr()?);
        server.serve(|stream| tls::echo(&mut timeout(secs(10), || tls::accept(&config, stream))?))
    })
}
