//! Generators that wait, in a task.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use corio::{Generator, millis, secs, sleep, spawn, timeout};

use crate::{failure, kind};

/// Counts to `end`, one a second.
fn ticks(end: u32) -> Generator<u32> {
    Generator::new(move |y| {
        for n in 0..end {
            sleep(secs(1))?;
            y.yield_(n)?;
        }
        Ok(())
    })
}

fn a_generator_that_waits() -> io::Result<()> {
    for n in ticks(3) {
        say!("{}", n?);
    }
    Ok(())
}

fn others_run_while_a_generator_waits() -> io::Result<()> {
    let task = spawn(|| {
        for n in 0..3 {
            sleep(millis(750))?;
            say!("other {n}");
        }
        Ok(())
    });
    for n in ticks(3) {
        say!("tick {}", n?);
    }
    task.join()
}

fn both_sides_wait() -> io::Result<()> {
    let producer = Generator::<_>::new(|y| {
        for n in 0..3 {
            say!("producing {n}");
            sleep(secs(1))?;
            y.yield_(n)?;
        }
        Ok(())
    });
    for n in producer {
        say!("consuming {}", n?);
        sleep(millis(500))?;
    }
    Ok(())
}

fn the_consumer_is_cancelled() -> io::Result<()> {
    fn endless() -> Generator<()> {
        Generator::new(|y| {
            loop {
                if let Err(error) = sleep(secs(1)).and_then(|()| y.yield_(())) {
                    say!("the generator cleans up");
                    return Err(error);
                }
            }
        })
    }

    fn consumer() -> io::Result<()> {
        let mut n = 0;
        let ended = endless().try_for_each(|tick| {
            tick?;
            n += 1;
            say!("{n}");
            Ok(())
        });
        say!("the consumer ends");
        ended
    }

    let task = spawn(consumer);
    sleep(millis(2500))?;
    task.cancel();
    if let Err(error) = task.join() {
        say!("{}", kind(&error));
    }
    Ok(())
}

fn an_error_in_a_generator_that_waits() -> io::Result<()> {
    let ticks = Generator::new(|y| {
        y.yield_(1)?;
        sleep(secs(1))?;
        Err::<(), _>(failure("boom"))
    });
    for n in ticks {
        match n {
            Ok(n) => say!("{n}"),
            Err(error) => say!("caught: {}", kind(&error)),
        }
    }
    Ok(())
}

fn a_generator_that_waits_is_closed() -> io::Result<()> {
    let mut generator = Generator::<_>::new(|y| {
        loop {
            sleep(secs(1))?;
            if let Err(closed) = y.yield_("tick") {
                sleep(secs(1))?;
                say!("closed");
                return Err::<(), _>(closed);
            }
        }
    });
    if let Some(tick) = generator.next() {
        say!("{}", tick?);
    }
    generator.close()?;
    say!("main goes on");
    Ok(())
}

fn a_generator_is_left_by_break() -> io::Result<()> {
    let ticks = Generator::<_>::new(|y| {
        loop {
            sleep(secs(1))?;
            if let Err(closed) = y.yield_("tick") {
                say!("closed");
                return Err::<(), _>(closed);
            }
        }
    });
    #[expect(clippy::never_loop)]
    for tick in ticks {
        say!("{}", tick?);
        break;
    }
    say!("the loop is left");
    sleep(secs(1))?;
    say!("main goes on");
    Ok(())
}

fn a_yield_inside_a_limit() -> io::Result<()> {
    let numbers = Generator::<_>::new(|y| timeout(secs(2), || (0..3).try_for_each(|n| y.yield_(n))));
    let used = catch_unwind(AssertUnwindSafe(|| {
        for n in numbers {
            say!("{}", n?);
            sleep(millis(1500))?;
        }
        Ok::<_, io::Error>(())
    }));
    if used.is_err() {
        say!("refused, by a panic");
    }
    Ok(())
}

fn a_pipeline() -> io::Result<()> {
    fn odd(source: Generator<u32>) -> Generator<u32> {
        Generator::new(|y| {
            for n in source {
                let n = n?;
                if n % 2 == 1 {
                    y.yield_(n)?;
                }
            }
            Ok(())
        })
    }

    fn squares(source: Generator<u32>) -> Generator<u32> {
        Generator::new(|y| {
            for n in source {
                let n = n?;
                y.yield_(n * n)?;
            }
            Ok(())
        })
    }

    for n in squares(odd(ticks(5))) {
        say!("{}", n?);
    }
    Ok(())
}

scenarios! {
    a_generator_that_waits,
    others_run_while_a_generator_waits,
    both_sides_wait,
    the_consumer_is_cancelled,
    an_error_in_a_generator_that_waits,
    a_generator_that_waits_is_closed,
    a_generator_is_left_by_break differs because
        "a generator is closed when it is dropped, which is at the end of the `for`",
    a_yield_inside_a_limit differs because
        "a generator may not pause inside an open limit: that would then cancel somebody else (PEP 789)",
    a_pipeline,
}
