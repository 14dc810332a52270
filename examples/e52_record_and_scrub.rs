//! **Lesson.** Record once, step back and forth for ever.
//!
//! **Predict.** Two tasks add one to a counter, and it ends at 1. Go back from the last line: who woke the task that printed it, and
//! what did it know that was no longer so? At which step could you still have warned it?
//!
//! **Shows** V1 to V7, of a run that is over.
//! **Covers** D21, looked at from behind.
//!
//! Run `cargo run --example e52_record_and_scrub`, and add `-- --quiet`. By hand: `cargo run --example e26_lost_update -- --step`.

use std::cell::Cell;
use std::io;
use std::thread;

use corio::observe::event::Event;
use corio::observe::{Recording, Replay, mark};
use corio::{Builder, Runner, say, scope, secs, sleep};

mod common;

fn add_one(name: &str, counter: &Cell<u32>) -> io::Result<()> {
    let seen = counter.get();
    mark(&format!("{name} has read {seen}"));
    sleep(secs(1))?;
    counter.set(seen + 1);
    say!("{name} makes it {}", counter.get());
    Ok(())
}

fn record() -> io::Result<Replay> {
    let recording = Recording::new();
    Runner::new().virtual_clock().observer(recording.clone()).run(|| {
        let counter = Cell::new(0);
        scope(|s| {
            Builder::new().name("Ada").spawn_scoped(s, || add_one("Ada", &counter))?;
            Builder::new().name("Grace").spawn_scoped(s, || add_one("Grace", &counter))?;
            Ok(())
        })
    })?;
    Ok(recording.replay())
}

pub(crate) fn program() -> io::Result<()> {
    // On a loop of its own, which is gone then. This one stands still meanwhile: there is nobody else on it.
    let mut run = thread::spawn(record).join().expect("it does not panic")?;
    let show = |run: &Replay, why: &str| say!("{why:<16} {}", run.told().trim());
    run.go_to(run.steps());
    run.back(|record| matches!(record.event, Event::Out { .. }));
    let wrong = run.step();
    show(&run, "this is wrong:");
    run.back(|record| matches!(record.event, Event::Resume { .. }));
    show(&run, "who said it?");
    for _ in 0..2 {
        run.go_to(run.record().map_or(0, |record| record.cause));
        show(&run, "because:");
    }
    run.back(|record| matches!(record.event, Event::Yield { task: 3, .. }));
    show(&run, "before that:");
    run.back(|record| matches!(record.event, Event::Mark { .. }));
    show(&run, "what it knew:");
    run.forward(|record| matches!(record.event, Event::Out { .. }));
    show(&run, "not so any more:");
    let waiting: Vec<String> = run.state().ready.iter().map(|task| run.names().task(*task)).collect();
    say!("and at this step {waiting:?} could still have been told");
    run.forward(|record| matches!(record.event, Event::Out { .. }));
    say!("the same step as in the beginning: {}", run.step() == wrong);
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
