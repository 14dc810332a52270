//! HTTP/1.1 as far as the plaintext benchmark goes: what all servers and the client have in common.
//!
//! Every request is parsed, with all its headers. There are no bodies, and connections stay open until the client closes.

use std::io::{self, Read, Write};
use std::sync::atomic::Ordering;

use crate::figures::REQUESTS;

/// What the client asks.
pub const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\n\
    Host: localhost\r\n\
    User-Agent: corio-benches\r\n\
    Accept: text/plain,text/html;q=0.9,*/*;q=0.8\r\n\
    Connection: keep-alive\r\n\r\n";

/// What it hears.
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: corio-benches\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 13\r\n\r\n\
    Hello, World!";

const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

/// How much of the requests a server reads at once: more than the client pipelines.
pub const BUFFER: usize = 4096;

/// Answers all requests that are complete, into `output`, and says how many bytes of `input` they took.
pub fn answer(input: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
    let (mut taken, mut requests) = (0, 0);
    while taken < input.len() {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(&input[taken..]).map_err(io::Error::other)?;
        let httparse::Status::Complete(length) = parsed else { break };
        output.extend_from_slice(match (request.method, request.path) {
            (Some("GET"), Some("/plaintext")) => ANSWER,
            (Some("GET"), _) => NOT_FOUND,
            _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "a request that may have a body")),
        });
        taken += length;
        requests += 1;
    }
    REQUESTS.fetch_add(requests, Ordering::Relaxed);
    Ok(taken)
}

/// A connection from its beginning to its end, on a stream whose calls wait: the answers to what came together go together.
pub fn serve(mut stream: impl Read + Write) -> io::Result<()> {
    let mut input = [0; BUFFER];
    let (mut filled, mut output) = (0, Vec::new());
    loop {
        let n = stream.read(&mut input[filled..])?; // 0 also if one request fills the buffer: there is no place left
        if n == 0 {
            return Ok(());
        }
        filled += n;
        let taken = answer(&input[..filled], &mut output)?;
        input.copy_within(taken..filled, 0);
        filled -= taken;
        stream.write_all(&output)?;
        output.clear();
    }
}
