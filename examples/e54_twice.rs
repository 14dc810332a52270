//! **Lesson.** The same program in direct style and as async/await on one reactor: same events, different way of stopping.
//!
//! **Predict.** Both halves walk down three calls and sleep at the bottom, twice. A coroutine that is resumed goes on there. How
//! many polls does the future need to get down again, the first time and the second?
//!
//! **Shows** V8 (the same as a state machine). Without the lines that begin with `it is a future`, and but for the places, both
//! halves leave the same record.
//! **Covers** what lies behind C6 and D6, in both styles.
//!
//! Run `cargo run --example e54_twice`, and add `-- --quiet` or `-- --detail 2`.

use std::io;

use corio::aio::{self, counted};
use corio::{Builder, say, secs, sleep};

mod common;

// ANCHOR: direct
fn walk(level: u32) -> io::Result<u32> {
    if level == 0 {
        sleep(secs(1))?;
        sleep(secs(1))?;
        return Ok(0);
    }
    Ok(walk(level - 1)? + level)
}

pub(crate) fn direct() -> io::Result<()> {
    let walker = Builder::new().name("walker").spawn(|| walk(3))?;
    let other = Builder::new().name("other").spawn(|| sleep(secs(1)))?;
    say!("direct: {}", walker.join()?);
    other.join()
}
// ANCHOR_END: direct

// ANCHOR: awaited
/// A future that contains itself would have no size, so each level is a box. `counted` is for the record only.
async fn walk_async(level: u32) -> io::Result<u32> {
    if level == 0 {
        aio::sleep(secs(1)).await?;
        aio::sleep(secs(1)).await?;
        return Ok(0);
    }
    Ok(Box::pin(counted(walk_async(level - 1))).await? + level)
}

pub(crate) fn awaited() -> io::Result<()> {
    let walker = Builder::new().name("walker").spawn_local(walk_async(3))?;
    let other = Builder::new().name("other").spawn_local(aio::sleep(secs(1)))?;
    say!("await: {}", walker.join()?);
    other.join()
}
// ANCHOR_END: awaited

pub(crate) fn program() -> io::Result<()> {
    direct()?;
    awaited()
}

fn main() -> io::Result<()> {
    common::watch(program)
}
