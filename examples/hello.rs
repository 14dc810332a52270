//! The README's first program.
//!
//! Run `cargo run --example hello`.

// ANCHOR: program
use std::{io, time::Instant};

use corio::{run, secs, sleep, spawn};

fn greet(name: &str) -> io::Result<()> {
    println!("Hello, {name}!");
    sleep(secs(1))?;
    println!("Goodbye, {name}!");
    Ok(())
}

fn main() -> io::Result<()> {
    let start = Instant::now();
    run(|| {
        let tasks = ["Ada", "Grace", "Barbara"].map(|name| spawn(move || greet(name)));
        for task in tasks {
            task.join()?;
        }
        println!("{:.1} s", start.elapsed().as_secs_f64());
        Ok(())
    })
}
// ANCHOR_END: program
