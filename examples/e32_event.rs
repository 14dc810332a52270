//! **Lesson.** One signal, any number of sleepers.
//!
//! **Predict.** Three runners wait for the gun, and a fourth comes late. Who has to wait? In which order do they start? After
//! `clear`, does the next one wait?
//!
//! **Shows** V5 (what made it ready).
//! **Covers** A9.
//!
//! Run `cargo run --example e32_event`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Builder, Event, is_timed_out, say, scope, secs, sleep, timeout};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let gun = Event::new();
    scope(|s| {
        for name in ["Ada", "Grace", "Barbara"] {
            let gun = &gun;
            Builder::new().name(name).spawn_scoped(s, move || {
                gun.wait()?;
                say!("{name} runs");
                Ok(())
            })?;
        }
        sleep(secs(1))?;
        say!("bang");
        gun.set();
        Ok(())
    })?;
    gun.wait()?;
    say!("who comes late need not wait");
    gun.clear();
    match timeout(secs(1), || gun.wait()) {
        Err(e) if is_timed_out(&e) => say!("the next race has not begun"),
        other => say!("surprise: {other:?}"),
    }
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
