//! **Lesson.** A function cut at its pauses into an enum: each poll enters from the top.
//!
//! **Predict.** `Countdown` is what a compiler makes of the function above it. Each time it is polled it is called anew, and
//! returns. Where is its `n` between two polls, and how does it know where to go on?
//!
//! **Shows** V8 (how the same looks as a state machine). The loop has no part in it: the executor is the thirty lines below.
//! **Covers** what lies behind C10: what is built, and runs nothing.
//!
//! Run `cargo run --example e53_state_machine`, and add `-- --quiet`.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake};

use corio::say;

mod common;

// ANCHOR: machine
/// `async fn countdown(name, mut n) { while n > 0 { say!(..); pause().await; n -= 1; } say!("lift off") }`, by hand.
struct Countdown {
    name: &'static str,
    at: At,
}

/// What is alive at each place where the function may stand. There is no stack: this is all that is kept.
#[derive(Debug)]
enum At {
    Top { n: u32 },
    Pause { n: u32 },
    End,
}

impl Future for Countdown {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        say!("{}: polled, and finds itself at {:?}", self.name, self.at);
        let n = match self.at {
            At::Top { n } => n,
            At::Pause { n } => n - 1, // on the line behind `pause().await`
            At::End => panic!("polled after it had ended"),
        };
        self.at = if n == 0 { At::End } else { At::Pause { n } };
        context.waker().wake_by_ref(); // what a pause for nothing does: it wants its next turn
        if n == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}
// ANCHOR_END: machine

// ANCHOR: executor
/// A task is a future, and whether somebody woke it.
struct Task(Pin<Box<dyn Future<Output = ()>>>, Arc<Woken>);

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

fn run(mut ready: VecDeque<Task>) {
    while let Some(Task(mut future, woken)) = ready.pop_front() {
        let waker = woken.clone().into();
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_pending() && woken.0.swap(false, Relaxed) {
            ready.push_back(Task(future, woken)); // whom nobody wakes is never heard of again
        }
    }
}
// ANCHOR_END: executor

pub(crate) fn program() -> io::Result<()> {
    let task = |name, n| Task(Box::pin(Countdown { name, at: At::Top { n } }), Arc::default());
    run([task("red", 2), task("blue", 1)].into());
    say!("a countdown takes {} bytes: a name, a number, and which state it is", size_of::<Countdown>());
    Ok(())
}

fn main() -> io::Result<()> {
    common::watch(program)
}
