//! **Lesson.** A full buffer parks the writer: that is what draining means.
//!
//! **Predict.** The stream holds eight bytes. The fast one writes four messages of six bytes each as fast as it can; the slow one
//! takes a message every second. At which message is the fast one parked for the first time? When is it done?
//!
//! **Shows** V2, V5: what the writer waits for, and who lets it go on.
//! **Covers** C5, whose `drain` is written out: here every write waits by itself.
//!
//! Run `cargo run --example e43_backpressure`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io::{self, Read, Write};

use corio::io::{StreamWriter, duplex};
use corio::observe::mark;
use corio::{Builder, say, scope, secs, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let (mut near, mut far) = duplex(8);
    scope(|s| {
        let fast = move || {
            for n in 1..=4 {
                near.write_all(format!("msg {n}\n").as_bytes())?;
                say!("message {n} is on its way");
            }
            Ok(())
        };
        drop(Builder::new().name("fast").spawn_scoped(s, fast)?);
        let mut message = [0; 6];
        for _ in 1..=4 {
            sleep(secs(1))?;
            far.read_exact(&mut message)?;
        }
        Ok(())
    })?;

    mark("not-waiting");
    let (near, mut far) = duplex(8);
    let writer = StreamWriter::new(near);
    writer.set_marks(Some(12), Some(6))?;
    for n in 1..=4 {
        writer.write(format!("msg {n}\n").as_bytes());
        say!("message {n} is written, {} bytes are buffered", writer.buffered());
    }
    let mut text = String::new();
    let reader = Builder::new().name("slow").spawn(move || {
        sleep(secs(1))?;
        far.read_to_string(&mut text)
    })?;
    writer.drain()?;
    say!("drained: {} bytes are left", writer.buffered());
    writer.close();
    writer.wait_closed()?;
    say!("the slow one got {} bytes", reader.join()?);
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
