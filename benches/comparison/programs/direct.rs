//! An echo server in direct style.

use std::io::{self, Read, Write};

use corio::net::{TcpListener, TcpStream};

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
    corio::run(|| {
        for stream in TcpListener::bind("127.0.0.1:7000")?.incoming() {
            let stream = stream?;
            drop(corio::spawn(move || echo(stream)));
        }
        Ok(())
    })
}
