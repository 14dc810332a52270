//! **Lesson.** To wait until a value is as it should be, give its lock away and be told when it has changed.
//!
//! **Predict.** Two buyers want three apples each, and one apple comes per second. Who is woken by each apple, who looks, and who
//! gets the first three?
//!
//! **Shows** V4 (who ran in between), V5 (what made it ready).
//! **Covers** what lies behind A8 and A9: the condition.
//!
//! Run `cargo run --example e32b_condvar`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Builder, Condvar, Mutex, say, scope, secs, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let (apples, changed) = (Mutex::new(0), Condvar::new());
    scope(|s| {
        for name in ["Ada", "Grace"] {
            let (apples, changed) = (&apples, &changed);
            Builder::new().name(name).spawn_scoped(s, move || {
                let mut apples = apples.lock()?;
                changed.wait_until(&mut apples, |n| {
                    say!("{name} sees {n}");
                    *n >= 3
                })?; // the lock is ours again, and the value as it was seen
                *apples -= 3;
                say!("{name} leaves {}", *apples);
                Ok(())
            })?;
        }
        for _ in 0..6 {
            sleep(secs(1))?;
            *apples.lock()? += 1;
            changed.notify_all();
        }
        Ok(())
    })
}

fn main() -> io::Result<()> {
    common::watch(program)
}
