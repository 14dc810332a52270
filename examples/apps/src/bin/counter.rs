//! Counts in Redis, in several tasks at once, and shows what it comes to.
//!
//! ```text
//! cargo run -p corio-apps --bin counter -- 127.0.0.1:6379
//! ```

use std::env;

use corio::typed::{gather, run};
use corio_apps::redis::Connection;
use redis::{RedisResult, TypedCommands};

fn main() -> RedisResult<()> {
    let Some(address) = env::args().nth(1) else {
        eprintln!("usage: counter ADDRESS");
        std::process::exit(2);
    };
    run(|| {
        gather(0..10, |_| {
            let mut redis = Connection::open(&address, 0)?;
            (0..100).try_for_each(|_| redis.incr("corio:counter", 1).map(drop))
        })?;
        let count = Connection::open(&address, 0)?.get_int("corio:counter")?;
        println!("{}", count.unwrap_or(0));
        Ok(())
    })
}
