//! The one page that the HTTP servers have, and how they read requests: the same for all of them.

/// What a client asks.
pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n";

/// What it is told.
pub const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

/// Takes the whole requests out of what has arrived, and appends the answers: pipelined requests are answered together.
/// `None`: that is no HTTP.
pub fn answer(arrived: &mut Vec<u8>, answers: &mut Vec<u8>) -> Option<()> {
    let mut taken = 0;
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&arrived[taken..]).ok()? {
            httparse::Status::Partial => break,
            httparse::Status::Complete(length) => {
                // It would be the page of the path, if there were others.
                if request.path != Some("/") {
                    return None;
                }
                taken += length;
                answers.extend_from_slice(RESPONSE);
            }
        }
        if taken == arrived.len() {
            break;
        }
    }
    arrived.drain(..taken);
    Some(())
}
