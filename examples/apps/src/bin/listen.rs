//! Shows what is told on a channel of PostgreSQL: a coroutine over an asynchronous client.
//!
//! ```text
//! cargo run -p corio-apps --bin listen -- 127.0.0.1:5432 postgres news
//! psql -c "notify news, 'hello'"
//! ```

use std::{env, io};

use corio::{aio, run};
use corio_apps::postgres::Connection;
use tokio_postgres::Config;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, user, channel] = &arguments[..] else {
        eprintln!("usage: listen ADDRESS USER CHANNEL");
        std::process::exit(2);
    };
    let server = address.parse().map_err(io::Error::other)?;
    run(|| {
        let connection = aio::wait_on(Connection::open(server, Config::new().user(user)))??;
        let listen = format!("listen \"{channel}\"");
        aio::wait_on(connection.client.batch_execute(&listen))?.map_err(io::Error::other)?;
        println!("listening to {channel}");
        for notification in &*connection.notifications {
            println!("{}", notification?.payload());
        }
        aio::wait_on(connection.close())?
    })
}
