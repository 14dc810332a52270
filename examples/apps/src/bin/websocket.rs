//! A WebSocket server: a room, or an echo.
//!
//! ```text
//! cargo run -p corio-apps --bin websocket -- room 127.0.0.1:8080
//! python3 -m websockets ws://127.0.0.1:8080
//! ```

use std::{env, io};

use corio::net::{Server, TcpListener, TcpStream};
use corio::{secs, timeout};
use corio_apps::websocket::{Room, accept, echo};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [kind @ ("echo" | "room"), address] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] else {
        eprintln!("usage: websocket echo|room ADDRESS");
        std::process::exit(2);
    };
    corio::run(|| {
        let server = Server::new([TcpListener::bind(address)?]);
        println!("listening on {}", server.listeners()[0].local_addr()?);
        let room = Room::new();
        server.serve(|stream: TcpStream| {
            let socket = timeout(secs(10), || accept(stream))?;
            if kind == "echo" { echo(socket) } else { room.join(socket) }
        })
    })
}
