//! **Lesson.** A task-local is a variable with a value for each task, and a new task inherits it.
//!
//! **Predict.** Two requests set the same variable at the same time. Whose name does `audit` print, deep below, in another task? Does
//! a child's change reach its parent? Does the main task have a value in the end?
//!
//! **Shows** V3 (what belongs to the task was still there), V4 (who ran in between).
//! **Covers** what lies behind D24: context variables.
//!
//! Run `cargo run --example e35b_task_locals`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::io;

use corio::{TaskLocal, gather, say, secs, sleep, spawn};

mod common;

static USER: TaskLocal<String> = TaskLocal::new();

/// Nobody hands it the user.
fn audit(what: &str) {
    USER.with(|user| say!("{}: {what}", user.map_or("nobody", String::as_str)));
}

fn request(name: &str) -> io::Result<()> {
    USER.set(name.to_owned());
    audit("logs in");
    sleep(secs(1))?; // the other request runs, and sets its own
    let helper = spawn(|| {
        audit("has a helper"); // inherited
        USER.set("the helper".to_owned()); // its own from now on
        audit("does the work");
        Ok(())
    });
    helper.join()?;
    USER.with_value("root".to_owned(), || audit("is somebody else for a moment"));
    audit("logs out");
    Ok(())
}

pub(crate) fn program() -> io::Result<()> {
    gather(["Ada", "Grace"], request)?;
    audit("is here");
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
