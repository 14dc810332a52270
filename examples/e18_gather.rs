//! **Lesson.** Results come back in the order asked, whatever order they finished in.
//!
//! **Predict.** Three factorials are computed at once, with a second of sleep before each multiplication. Which is ready first?
//! In which order do the results stand? How often is `main` resumed?
//!
//! **Shows** V4 (who ran in between), V5 (what made it ready).
//! **Covers** A2, B4, C24, D2, D9.
//!
//! Run `cargo run --example e18_gather`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{gather, now, say, secs, sleep};

mod common;

fn factorial(n: u64) -> io::Result<u64> {
    let mut product = 1;
    for factor in 2..=n {
        say!("{n}! so far is {product}, times {factor}");
        sleep(secs(1))?;
        product *= factor;
    }
    say!("{n}! is {product}");
    Ok(product)
}

pub(crate) fn program() -> io::Result<()> {
    let start = now();
    let results = gather([4, 2, 3], factorial)?;
    say!("{results:?} after {:.1} seconds", (now() - start).as_secs_f64());

    // Different functions, of different types: the macro.
    let (number, text) = gather!(factorial(2), Ok(format!("{} factors", results.len())))?;
    say!("{number}, {text}");
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
