//! **Lesson.** Set-up and clean-up may pause if they are a function around yours; a destructor must not.
//!
//! **Predict.** In Python: `async with connection()`, whose two halves both wait. Here the second body fails, and the third is cut
//! off by a time limit. Is the connection closed in all three cases, and how does it know why?
//!
//! **Shows** V1 (where it stopped), V7 (how it ended).
//! **Covers** C21.
//!
//! Run `cargo run --example e35_scope`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{cancel_cause, millis, say, secs, shield, sleep, timeout};

mod common;

// ANCHOR: connection
struct Connection(u32);

/// Opens a connection, lends it to `f`, and closes it, whatever happens.
fn with_connection<T>(f: impl FnOnce(&mut Connection) -> io::Result<T>) -> io::Result<T> {
    sleep(millis(500))?; // set-up: nothing to undo so far
    let result = f(&mut Connection(0));
    let why = match (&result, cancel_cause()) {
        (Ok(_), _) => "success".to_owned(),
        (Err(_), Some(cause)) => format!("a cancellation: {cause:?}"),
        (Err(e), None) => format!("an error: {e}"),
    };
    // Clean-up waits too, five seconds at most, and also if it is a cancellation that brought us here.
    shield(secs(5), || {
        sleep(millis(500))?;
        say!("closed after {why}");
        Ok(())
    })?;
    result
}
// ANCHOR_END: connection

fn ask(connection: &mut Connection, seconds: u64) -> io::Result<u32> {
    connection.0 += 1;
    sleep(secs(seconds))?;
    if seconds == 2 { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(connection.0) }
}

pub(crate) fn program() -> io::Result<()> {
    for seconds in [1, 2, 60] {
        match timeout(secs(10), || with_connection(|connection| ask(connection, seconds))) {
            Ok(answer) => say!("the answer to request {answer}"),
            Err(e) => say!("no answer: {e}"),
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
