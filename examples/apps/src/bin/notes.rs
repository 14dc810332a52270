//! A web application: notes that are read, written and waited for, and how long a page is.
//!
//! ```text
//! cargo run -p corio-apps --bin notes -- 127.0.0.1:8080
//! curl --json '"buy milk"' http://127.0.0.1:8080/notes
//! curl http://127.0.0.1:8080/notes/after/1
//! curl --data https://www.rust-lang.org http://127.0.0.1:8080/length
//! ```

use std::{env, io};

use corio::secs;
use corio_apps::{axum, http, hyper};
use hyper_util::service::TowerToHyperService;
use ureq::config::Config;

fn main() -> io::Result<()> {
    let Some(address) = env::args().nth(1) else {
        eprintln!("usage: notes ADDRESS");
        std::process::exit(2);
    };
    let agent = http::agent(Config::builder().timeout_global(Some(secs(10))));
    hyper::run(&address, TowerToHyperService::new(axum::app(agent)))
}
