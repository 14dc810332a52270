//! **Lesson.** To close in good order: take nothing new, finish what is there, set a limit, and cancel the rest.
//!
//! **Predict.** A job comes every second and takes two; job 3 would take an hour. Closing begins at 3.5 seconds. Which jobs are
//! done? When is the program over? Who ends the metrics, which no one waits for?
//!
//! **Shows** V7 (how it ended).
//! **Covers** the end of a server, which C5 and D26 leave out.
//!
//! Run `cargo run --example e58_graceful_shutdown`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{Builder, Queue, is_timed_out, millis, say, scope, secs, shield, sleep, timeout};

mod common;

fn metrics() -> io::Result<()> {
    let result = sleep(secs(3_600));
    shield(secs(1), || {
        sleep(millis(100))?;
        say!("the metrics are written");
        Ok(())
    })?;
    result
}

pub(crate) fn program() -> io::Result<()> {
    drop(Builder::new().name("metrics").spawn(metrics)?); // the end of the run cancels it, and waits for its clean-up
    let jobs = Queue::new();
    scope(|s| {
        let intake = Builder::new().name("intake").spawn_scoped(s, || {
            (1..).try_for_each(|job| {
                sleep(secs(1))?;
                jobs.put(job)
            })
        })?;
        let mut workers = Vec::new();
        for name in ["left", "right"] {
            let jobs = &jobs;
            workers.push(Builder::new().name(name).spawn_scoped(s, move || {
                for job in jobs {
                    let job = job?;
                    sleep(secs(if job == 3 { 3_600 } else { 2 })).inspect_err(|_| say!("{name} is cut off"))?;
                    say!("{name} has done job {job}");
                }
                say!("{name} goes home");
                Ok(())
            })?);
        }
        sleep(millis(3_500))?; // a server waits for a signal here
        say!("closing");
        intake.cancel();
        jobs.shutdown();
        match timeout(secs(5), || workers.iter().try_for_each(|worker| worker.wait())) {
            Err(e) if is_timed_out(&e) => s.cancel(),
            result => result?,
        }
        Ok(())
    })?;
    say!("closed, with {} jobs left", jobs.len());
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
