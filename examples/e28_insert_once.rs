//! **Lesson.** Check and insert must be one step for everyone else; a lock makes it one.
//!
//! **Predict.** Three requests want the user "ada" to exist. The store answers after half a second. How many users called ada are
//! there afterwards, without the lock and with it? How long does each take?
//!
//! **Shows** V4 (who ran in between).
//! **Covers** C26.
//!
//! Run `cargo run --example e28_insert_once`, and add `-- --quiet`, `-- --detail 2`, or `-- --real` to wait in earnest.

use std::cell::RefCell;
use std::io;

use corio::observe::mark;
use corio::{Mutex, gather, millis, now, say, sleep};

mod common;

/// A database somewhere else: every question takes half a second.
#[derive(Default)]
struct Store(RefCell<Vec<String>>);

impl Store {
    fn has(&self, name: &str) -> io::Result<bool> {
        sleep(millis(500))?;
        Ok(self.0.borrow().iter().any(|user| user == name))
    }

    fn insert(&self, name: &str) -> io::Result<()> {
        sleep(millis(500))?;
        self.0.borrow_mut().push(name.to_owned());
        Ok(())
    }
}

fn add_user(store: &Store, name: &str) -> io::Result<bool> {
    let new = !store.has(name)?;
    if new {
        store.insert(name)?;
    }
    Ok(new)
}

pub(crate) fn program() -> io::Result<()> {
    let (store, start) = (Store::default(), now());
    let added = gather(["ada"; 3], |name| add_user(&store, name))?;
    say!("{added:?}: {:?} after {:.1} seconds", store.0.borrow(), (now() - start).as_secs_f64());

    mark("with a lock");
    let (store, start) = (Mutex::new(Store::default()), now());
    let added = gather(["ada"; 3], |name| add_user(&*store.lock()?, name))?;
    say!("{added:?}: {:?} after {:.1} seconds", store.into_inner().0.take(), (now() - start).as_secs_f64());
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
