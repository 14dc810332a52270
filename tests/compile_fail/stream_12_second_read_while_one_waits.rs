//~ E0499 cannot borrow `reader` as mutable more than once at a time
use corio::io::{StreamReader, duplex};

pub fn two_at_once() -> std::io::Result<()> {
    let (near, _far) = duplex(16);
    let mut reader = StreamReader::new(near);
    corio::scope(|s| {
        let first = s.spawn(|| reader.read_line());
        reader.read_line()?;
        first.join().map(drop)
    })
}
