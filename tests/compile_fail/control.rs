//~ compiles
// Every construct that the other files use, used as it should be.
use std::cell::Cell;
use std::io;

use corio::{Coroutine, Generator, LoopHandle, Task, net::TcpStream, run, scope, sleep, spawn, yield_now};

fn anywhere<T: Send + Sync>() {}

pub fn handles_that_may_go_anywhere() {
    anywhere::<LoopHandle>();
    anywhere::<TcpStream>();
    anywhere::<corio::net::TcpListener>();
}

pub fn all_is_well() -> io::Result<()> {
    run(|| {
        let (mut a, b) = (1, Cell::new(2));
        scope(|s| {
            let child = s.spawn(|| a += 1);
            s.spawn(|| {
                b.set(3);
                s.spawn(|| b.set(4));
                Ok(())
            });
            scope(|inner| {
                inner.spawn(|| yield_now());
                Ok(())
            })?;
            child.join()
        })?;
        let owned = String::from("owned");
        let task: Task = spawn(move || Ok(owned)).task();
        let squares = Generator::<u32>::new(|y| {
            y.yield_(1)?;
            Ok(())
        });
        let _: Coroutine<(), u32> = squares;
        LoopHandle::current()?.call_soon(|| ())?;
        task.wait()?;
        sleep(corio::millis(1))
    })
}
