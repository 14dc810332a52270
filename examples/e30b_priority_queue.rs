//! **Lesson.** What is put first need not come first: a priority queue gives out the smallest; and a queue knows when the work is
//! done, not only when it is empty.
//!
//! **Predict.** Four patients come before the doctor does, and one while the first is treated. In which order are they seen? Does
//! `join` return when the last patient is called in, or when that one leaves?
//!
//! **Shows** V4 (who ran in between), V5 (what made it ready).
//! **Covers** what A8 leaves open: `PriorityQueue`, `task_done`, `join`.
//!
//! Run `cargo run --example e30b_priority_queue`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;
use std::rc::Rc;

use corio::{Builder, Queue, now, say, secs, sleep};

mod common;

pub(crate) fn program() -> io::Result<()> {
    let (patients, start) = (Rc::new(Queue::priority()), now());
    for patient in [(3, "a cough"), (1, "a broken leg"), (2, "a fever"), (3, "a cold")] {
        patients.put(patient)?; // a tuple is compared from the left: of two threes, the smaller text
    }
    let waiting = patients.clone();
    let doctor = Builder::new().name("doctor").spawn(move || -> io::Result<()> {
        loop {
            let (_, complaint) = waiting.get()?;
            say!("{complaint} at {}", (now() - start).as_secs());
            sleep(secs(2))?;
            waiting.task_done()?;
        }
    })?;
    sleep(secs(1))?;
    patients.put((0, "no breath"))?;
    patients.join()?;
    say!("all have been treated at {}", (now() - start).as_secs());
    doctor.cancel();
    let _ = doctor.join(); // it was cancelled: that is what we wanted
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
