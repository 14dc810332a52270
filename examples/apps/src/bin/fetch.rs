//! Fetches pages, all at once, each with a time limit, and says how long they are.
//!
//! ```text
//! cargo run -p corio-apps --bin fetch -- https://www.rust-lang.org https://docs.python.org/3/library/asyncio.html
//! ```

use std::{env, io};

use corio::{gather_all, run, secs, timeout};
use corio_apps::http;

fn main() -> io::Result<()> {
    let pages: Vec<String> = env::args().skip(1).collect();
    if pages.is_empty() {
        eprintln!("usage: fetch URL...");
        std::process::exit(2);
    }
    let agent = http::agent(ureq::config::Config::builder());
    let length = |page: &String| {
        timeout(secs(10), || {
            let mut answer = agent.get(page).call().map_err(http::io_error)?;
            answer.body_mut().read_to_vec().map_err(http::io_error).map(|body| body.len())
        })
    };
    run(|| {
        for (page, length) in pages.iter().zip(gather_all(&pages, length)?) {
            match length {
                Ok(bytes) => println!("{bytes:>9} {page}"),
                Err(error) => println!("{:>9} {page}: {error}", "-"),
            }
        }
        Ok(())
    })
}
