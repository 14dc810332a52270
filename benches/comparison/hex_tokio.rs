//! The handler of `examples/hex_server.rs`, and the function that calls it, as one would write them for tokio.

use std::io::{self, Write};

use corio_benches::{HEX_MAX_LINE as MAX_LINE, hex_answer as answer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

// ANCHOR: serve
/// Serves one client until it hangs up.
pub(crate) async fn serve(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut answers) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        let mut limited = (&mut stream).take(MAX_LINE as u64 + 1);
        if limited.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        line.pop_if(|byte| *byte == b'\n'); // the last line may lack it
        writeln!(answers, "{}", answer(&line))?;
        // Lines that came together are answered together; the buffer of `BufReader` is the bound.
        if !stream.buffer().contains(&b'\n') {
            stream.get_mut().write_all(&answers).await?;
            stream.get_mut().flush().await?;
            answers.clear();
        }
        if line.len() > MAX_LINE {
            skip_until(&mut stream).await?;
        }
    }
}

/// What std's readers have and tokio's do not.
async fn skip_until(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    loop {
        let buffer = stream.fill_buf().await?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let (ended, used) = (end.is_some() || buffer.is_empty(), end.map_or(buffer.len(), |at| at + 1));
        stream.consume(used);
        if ended {
            return Ok(());
        }
    }
}
// ANCHOR_END: serve

/// As in the example.
#[allow(dead_code)] // the contender has its own, which prints figures at the end
mod accepting {
    use tokio::net::TcpListener;

    use super::*;

    fn report(_: io::Result<()>) {}

    fn listening(_: std::net::SocketAddr) {}

    // ANCHOR: accept
    /// All at once, on this one thread.
    fn run_tokio(listen: &str) -> io::Result<()> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let listener = TcpListener::bind(listen).await?;
            listening(listener.local_addr()?);
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(async { report(serve(stream).await) });
            }
        })
    }
    // ANCHOR_END: accept
}
