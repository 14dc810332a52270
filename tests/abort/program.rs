//! A program for builds with `panic = "abort"`; its argument says what it does.

use std::io;

use corio::{
    Builder, Generator, Runner, call_later, is_cancelled, scope, secs, shield, sleep, spawn, timeout, yield_now,
};

struct Waits(&'static str);

impl Drop for Waits {
    fn drop(&mut self) {
        let result = shield(secs(9), || sleep(secs(1)));
        println!("{}: {}", self.0, result.is_ok());
    }
}

/// All that needs no unwinding.
fn cancel() -> io::Result<()> {
    let task = spawn(|| {
        let _end = Waits("destructor");
        sleep(secs(60))
    });
    yield_now()?;
    task.cancel();
    assert!(is_cancelled(&task.join().unwrap_err()));
    assert!(timeout(secs(1), || sleep(secs(60))).is_err());
    let lent = String::from("lent");
    let failed = scope(|s| {
        s.spawn(|| sleep(secs(60)).map(|()| println!("{lent}")));
        s.spawn(|| Err::<(), _>(io::Error::other("child")));
        sleep(secs(60))
    });
    assert_eq!(failed.unwrap_err().to_string(), "child");
    let never = spawn(|| -> io::Result<()> { unreachable!() });
    never.cancel();
    drop(spawn(|| sleep(secs(60)))); // ends in the grace
    call_later(secs(60), || unreachable!());
    println!("cancelled");
    Ok(())
}

/// A suspended generator cannot be unwound: its stack is leaked.
fn generator() -> io::Result<()> {
    let counter = || {
        Generator::<u32>::new(|y| {
            let _end = Waits("never");
            for n in 0.. {
                y.yield_(n)?;
            }
            Ok(())
        })
    };
    let mut generator = counter();
    println!("{:?}", generator.next().transpose()?);
    drop(generator);
    let mut generator = counter();
    println!("{:?}", generator.next().transpose()?);
    generator.close()?;
    assert!(generator.next().is_none());
    drop(counter());
    println!("leaked");
    yield_now()
}

fn stubborn() -> io::Result<()> {
    drop(Builder::new().name("stubborn").spawn(|| {
        for _ in 0_u64.. {
            let _ = sleep(secs(60));
        }
        Ok(())
    })?);
    yield_now()?;
    println!("main ends");
    Ok(())
}

fn main() -> io::Result<()> {
    let what = match std::env::args().nth(1).as_deref() {
        Some("cancel") => cancel,
        Some("generator") => generator,
        Some("stubborn") => stubborn,
        other => panic!("{other:?}"),
    };
    Runner::new().virtual_clock().grace(secs(3)).run(what)
}
