//! **Lesson.** Another thread cannot touch a loop's tasks; it can hand the loop a function, and that one can.
//!
//! **Predict.** On which thread does the closure run that the other thread sends? May it move the thread's `Vec` along, and the
//! `Promise` too?
//!
//! **Shows** V5 (what made it ready: another thread).
//! **Covers** `call_soon_threadsafe`, which C15 and D26 rest on.
//!
//! Run `cargo run --example e38b_loop_handle`, and add `-- --quiet` or `-- --detail 2`.

use std::cell::RefCell;
use std::io;
use std::thread;

use corio::{LoopHandle, Promise, Resolver, say};

mod common;

thread_local! {
    /// Loop-bound things stay on the loop's thread; what comes from outside finds them here.
    static ANSWER: RefCell<Option<Resolver<Vec<u32>>>> = const { RefCell::new(None) };
}

pub(crate) fn program() -> io::Result<()> {
    let (resolver, answer) = Promise::pair();
    ANSWER.set(Some(resolver));
    let (home, handle) = (thread::current().id(), LoopHandle::current()?);
    let helper = thread::spawn(move || {
        let squares: Vec<u32> = (1..=5).map(|n| n * n).collect();
        handle.call_soon(move || {
            say!("called on the loop's thread: {}", thread::current().id() == home);
            let resolver = ANSWER.take().expect("it was put there");
            resolver.set(squares).expect("nobody else sets it");
        })
    });
    say!("the thread says {:?}", answer.take()?); // others would run meanwhile
    helper.join().expect("it does not panic")
}

fn main() -> io::Result<()> {
    common::watch(program)
}
