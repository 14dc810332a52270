//! Connections. Each line is said when the other side has been heard, so the order does not depend on the kernel.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr};

use corio::net::{TcpListener, TcpStream};
use corio::{gather, scope, spawn, yield_now};

use crate::kind;

/// A server on some free port, whose clients are served to their end.
fn serving(
    handler: fn(&TcpStream) -> io::Result<()>,
    body: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    scope(|clients| {
        let accepting = clients.spawn(|| {
            for stream in listener.incoming() {
                let stream = stream?;
                clients.spawn(move || handler(&stream));
            }
            Ok(())
        });
        body(listener.local_addr()?)?;
        accepting.cancel();
        Ok(())
    })
}

/// A line, in one piece.
fn send(mut stream: &TcpStream, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes())
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn an_echo() -> io::Result<()> {
    fn echo(mut stream: &TcpStream) -> io::Result<()> {
        let mut buffer = [0; 1024];
        loop {
            let n = stream.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            stream.write_all(&buffer[..n])?;
        }
        say!("the server has seen the end");
        Ok(())
    }

    serving(echo, |address| {
        let mut stream = TcpStream::connect(address)?;
        for text in ["hello", "and goodbye"] {
            stream.write_all(text.as_bytes())?;
            let mut answer = vec![0; text.len()];
            stream.read_exact(&mut answer)?;
            say!("{}", String::from_utf8_lossy(&answer));
        }
        stream.shutdown(Shutdown::Write)?;
        say!("left: {}", stream.read_to_end(&mut Vec::new())?);
        Ok(())
    })
}

fn decimal_to_hexadecimal() -> io::Result<()> {
    fn to_hex(stream: &TcpStream) -> io::Result<()> {
        for line in BufReader::new(stream).lines() {
            match line?.parse::<i64>() {
                Ok(number) => send(stream, &format!("{number:#x}"))?,
                Err(_) => send(stream, "not a number")?,
            }
        }
        Ok(())
    }

    serving(to_hex, |address| {
        let stream = TcpStream::connect(address)?;
        let mut reader = BufReader::new(&stream);
        for question in ["4312", "1234", "ten"] {
            send(&stream, question)?;
            say!("{question} -> {}", read_line(&mut reader)?);
        }
        Ok(())
    })
}

fn two_clients_at_once() -> io::Result<()> {
    fn double(stream: &TcpStream) -> io::Result<()> {
        for line in BufReader::new(stream).lines() {
            let n: i32 = line?.parse().map_err(io::Error::other)?;
            send(stream, &(n * 2).to_string())?;
        }
        Ok(())
    }

    fn ask(stream: &TcpStream, n: i32) -> io::Result<String> {
        send(stream, &n.to_string())?;
        read_line(&mut BufReader::new(stream))
    }

    serving(double, |address| {
        let (first, second) = (TcpStream::connect(address)?, TcpStream::connect(address)?);
        say!("the second is answered: {}", ask(&second, 21)?);
        say!("and the first, which came before: {}", ask(&first, 4)?);
        let (one, two) = gather!(ask(&first, 1), ask(&second, 2))?;
        say!("both: {one} {two}");
        Ok(())
    })
}

fn nobody_listens() -> io::Result<()> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    if TcpStream::connect(address).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        say!("refused");
    }
    Ok(())
}

fn the_peer_ends_too_early() -> io::Result<()> {
    fn stingy(mut stream: &TcpStream) -> io::Result<()> {
        stream.write_all(b"abc")
    }

    serving(stingy, |address| {
        let mut stream = TcpStream::connect(address)?;
        if stream.read_exact(&mut [0; 10]).is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
            say!("too little");
        }
        Ok(())
    })
}

fn a_megabyte() -> io::Result<()> {
    fn counting(mut stream: &TcpStream) -> io::Result<()> {
        let total = io::copy(&mut stream, &mut io::sink())?;
        send(stream, &total.to_string())
    }

    serving(counting, |address| {
        let mut stream = TcpStream::connect(address)?;
        for _ in 0..16 {
            stream.write_all(&[0; 65536])?;
        }
        stream.shutdown(Shutdown::Write)?;
        say!("the server has counted {}", read_line(&mut BufReader::new(stream))?);
        Ok(())
    })
}

fn a_cancelled_read_takes_nothing() -> io::Result<()> {
    fn late(stream: &TcpStream) -> io::Result<()> {
        read_line(&mut BufReader::new(stream))?;
        send(stream, "here it is")
    }

    fn read(stream: &TcpStream) -> io::Result<String> {
        say!("reads");
        read_line(&mut BufReader::new(stream))
    }

    serving(late, |address| {
        let stream = TcpStream::connect(address)?;
        let task = spawn({
            let stream = stream.try_clone()?;
            move || read(&stream)
        });
        yield_now()?;
        task.cancel();
        if let Err(error) = task.join() {
            say!("{}", kind(&error));
        }
        send(&stream, "now")?;
        say!("{}", read(&stream)?);
        Ok(())
    })
}

scenarios! {
    an_echo,
    decimal_to_hexadecimal,
    two_clients_at_once,
    nobody_listens,
    the_peer_ends_too_early,
    a_megabyte,
    a_cancelled_read_takes_nothing,
}
