//! An echo server by async/await, on the same loop.

use std::io;

use corio::aio;
use corio::aio::net::{TcpListener, TcpStream};

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}

async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:7000").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        drop(aio::spawn_local(echo(stream)));
    }
}

fn main() -> io::Result<()> {
    aio::block_on(serve())
}
