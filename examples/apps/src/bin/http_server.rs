//! An HTTP server, of HTTP/1 and HTTP/2: a greeting, and an echo. It stops when it is asked to terminate.
//!
//! ```text
//! cargo run -p corio-apps --bin http_server -- 127.0.0.1:8080
//! curl --http2-prior-knowledge --data hello http://127.0.0.1:8080/echo
//! ```

use std::{env, io};

use corio_apps::hyper::{hello, run};
use hyper::service::service_fn;

fn main() -> io::Result<()> {
    let Some(address) = env::args().nth(1) else {
        eprintln!("usage: http_server ADDRESS");
        std::process::exit(2);
    };
    run(&address, service_fn(hello))
}
