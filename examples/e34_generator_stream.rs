//! **Lesson.** A generator whose body sleeps is a stream: two kinds of pause, two different listeners.
//!
//! **Predict.** At `sleep` the task pauses, and at `yield_` the generator. Who is resumed after each? What is printed, and when,
//! if the `for` is left half way?
//!
//! **Shows** V2 (what went out and in), V4 (who ran in between).
//! **Covers** C20, D15.
//!
//! Run `cargo run --example e34_generator_stream`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Builder, Generator, millis, say, secs, sleep};

mod common;

/// Readings of an instrument, one every half second. In Python: an `async def` with a `yield` in it.
fn readings() -> Generator<u32> {
    Generator::new(|y| {
        say!("the instrument is on");
        let result = (1..).try_for_each(|n| {
            sleep(millis(500))?; // the task pauses: others run
            y.yield_(n * n) // the generator pauses: its caller goes on
        });
        sleep(secs(1))?; // clean-up may wait
        say!("the instrument is off");
        result
    })
}

pub(crate) fn program() -> io::Result<()> {
    let clock = Builder::new().name("clock").spawn(|| {
        for tick in 1..=3 {
            sleep(millis(600))?;
            say!("tick {tick}");
        }
        Ok(())
    })?;
    for reading in readings() {
        let reading = reading?;
        say!("it reads {reading}");
        if reading == 4 {
            break; // drops the generator, and that closes it
        }
    }
    say!("the loop is left");
    clock.join()
}

fn main() -> io::Result<()> {
    common::watch(program)
}
