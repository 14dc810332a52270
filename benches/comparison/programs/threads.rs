//! An echo server by std.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n])?;
    }
}

fn main() -> io::Result<()> {
    for stream in TcpListener::bind("127.0.0.1:7000")?.incoming() {
        let stream = stream?;
        drop(thread::spawn(move || echo(stream)));
    }
    Ok(())
}
