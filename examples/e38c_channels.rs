//! **Lesson.** Between threads and loops there are channels: the same call pauses a task and blocks a thread.
//!
//! **Predict.** Two threads send three orders each, and there is room for one. What does `send` do in a thread when there is no room?
//! What ends the `for`?
//!
//! **Shows** V5 (what made it ready: another thread).
//! **Covers** A8, with threads.
//!
//! Run `cargo run --example e38c_channels`, and add `-- --quiet` or `-- --detail 2`.

use std::io;
use std::thread;

use corio::channel::{mpsc, oneshot};
use corio::say;

mod common;

pub(crate) fn program() -> io::Result<()> {
    let (sender, orders) = mpsc::bounded(1);
    let guests: Vec<_> = [1, 2]
        .map(|table| {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut bill = 0;
                for dish in 1..=3 {
                    let (price, mut answer) = oneshot::channel();
                    sender.send((table * 10 + dish, price)).expect("the kitchen is open");
                    bill += answer.recv().expect("it answers"); // blocks this thread
                }
                bill
            })
        })
        .into();
    drop(sender); // the guests have their own: when they are gone, the orders end
    let mut served = Vec::new();
    for order in &orders {
        let (dish, price) = order?; // pauses this task
        served.push(dish);
        let _ = price.send(dish * 2); // whoever asked may have left
    }
    served.sort_unstable(); // the threads come in no certain order
    say!("served {served:?}");
    for guest in guests {
        say!("a bill of {}", guest.join().expect("it does not panic"));
    }
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
