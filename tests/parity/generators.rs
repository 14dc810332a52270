//! Functions that pause, without a loop.

use std::io;

use corio::{Coroutine, Generator, State};

use crate::{failure, is_failure, kind};

fn started_and_sent() -> io::Result<()> {
    let mut generator = Coroutine::new(|y| {
        let mut heard: &str = y.yield_("bar".to_owned())?;
        while !heard.is_empty() {
            say!("received: {heard}");
            heard = y.yield_(format!("echo: {heard}"))?;
        }
        Ok("silence")
    });
    if let State::Yielded(answer) = generator.start()? {
        say!("{answer}");
    }
    for text in ["baz", "foo-bar-baz", ""] {
        match generator.send(text)? {
            State::Yielded(answer) => say!("{answer}"),
            State::Returned(value) => say!("returned: {value}"),
        }
    }
    Ok(())
}

fn nothing_runs_before_it_is_started() -> io::Result<()> {
    let mut generator = Generator::<_>::new(|y| {
        say!("the body begins");
        y.yield_(1)
    });
    say!("made");
    if let State::Yielded(n) = generator.start()? {
        say!("{n}");
    }
    Ok(())
}

fn a_for_loop() -> io::Result<()> {
    let count = Generator::<_>::new(|y| {
        for n in 0..3 {
            say!("about to yield {n}");
            y.yield_(n)?;
        }
        say!("the end");
        Ok(())
    });
    for n in count {
        say!("got {}", n?);
    }
    Ok(())
}

fn a_loop_that_is_left() -> io::Result<()> {
    let mut generator = Generator::<_>::new(|y| {
        let mut n = 0;
        loop {
            if let Err(closed) = y.yield_(n) {
                say!("closed at {n}");
                return Err::<(), _>(closed);
            }
            n += 1;
        }
    });
    for n in generator.by_ref() {
        let n = n?;
        say!("{n}");
        if n == 2 {
            break;
        }
    }
    generator.close()?;
    say!("over");
    Ok(())
}

fn the_returned_value() -> io::Result<()> {
    let mut generator = Generator::new(|y| {
        let mut sum = 0;
        for n in [1, 2, 3] {
            sum += n;
            y.yield_(n)?;
        }
        Ok(sum)
    });
    let mut state = generator.start()?;
    loop {
        match state {
            State::Yielded(n) => say!("{n}"),
            State::Returned(sum) => {
                say!("total {sum}");
                return Ok(());
            }
        }
        state = generator.send(())?;
    }
}

fn an_error_thrown_in() -> io::Result<()> {
    let mut generator = Generator::<_>::new(|y| {
        loop {
            match y.yield_("ready") {
                Ok(()) => {}
                Err(error) if is_failure(&error) => say!("inside: {}", kind(&error)),
                Err(closed) => return Err::<(), _>(closed),
            }
        }
    });
    if let State::Yielded(text) = generator.start()? {
        say!("{text}");
    }
    if let State::Yielded(text) = generator.throw(failure("boom"))? {
        say!("{text}");
    }
    generator.close()
}

fn an_error_thrown_in_and_not_caught() -> io::Result<()> {
    let mut generator = Generator::<_>::new(|y| y.yield_(1));
    if let State::Yielded(n) = generator.start()? {
        say!("{n}");
    }
    if let Err(error) = generator.throw(failure("boom")) {
        say!("outside: {}", kind(&error));
    }
    say!("left: {}", generator.count());
    Ok(())
}

fn an_error_of_the_body() -> io::Result<()> {
    let mut generator = Generator::new(|y| {
        y.yield_(1)?;
        Err::<(), _>(failure("boom"))
    });
    for n in generator.by_ref() {
        match n {
            Ok(n) => say!("{n}"),
            Err(error) => say!("caught: {}", kind(&error)),
        }
    }
    say!("left: {}", generator.count());
    Ok(())
}

fn closed_before_it_began() -> io::Result<()> {
    let mut generator = Generator::<_>::new(|y| {
        say!("never");
        y.yield_(1)
    });
    generator.close()?;
    generator.close()?;
    say!("left: {}", generator.count());
    Ok(())
}

fn clean_up_when_it_is_closed() -> io::Result<()> {
    let mut generator = Generator::<_>::new(|y| {
        let end = y.yield_(1);
        say!("cleaned up");
        end
    });
    if let State::Yielded(n) = generator.start()? {
        say!("{n}");
    }
    generator.close()?;
    say!("closed");
    Ok(())
}

fn sent_before_it_began() -> io::Result<()> {
    let mut generator = Coroutine::new(|y| {
        let heard: &str = y.yield_(1)?;
        say!("got {heard}");
        Ok(())
    });
    if generator.send("too early").is_err() {
        say!("refused");
    }
    if let State::Yielded(n) = generator.start()? {
        say!("{n}");
    }
    Ok(())
}

fn sent_after_its_end() -> io::Result<()> {
    let mut generator = Generator::<_>::new(|y| y.yield_(1));
    let _ = generator.start()?;
    if let State::Returned(()) = generator.send(())? {
        say!("ended");
    }
    if generator.send(()).is_err() {
        say!("nothing more");
    }
    Ok(())
}

fn delegating() -> io::Result<()> {
    fn inner() -> Coroutine<i32, &'static str, &'static str> {
        Coroutine::new(|y| {
            say!("inner got {}", y.yield_("a")?);
            say!("inner got {}", y.yield_("b")?);
            Ok("result")
        })
    }

    let mut generator = Coroutine::new(|y| {
        y.yield_("before")?;
        say!("inner returned {}", y.yield_from(&mut inner())?);
        y.yield_("after")?;
        Ok(())
    });
    let mut state = generator.start()?;
    for n in 0.. {
        match state {
            State::Yielded(text) => say!("{text}"),
            State::Returned(()) => {
                say!("the end");
                break;
            }
        }
        state = generator.send(n)?;
    }
    Ok(())
}

fn delegating_an_error() -> io::Result<()> {
    fn inner() -> Generator<&'static str, &'static str> {
        Generator::new(|y| {
            match y.yield_("inner") {
                Err(error) if is_failure(&error) => say!("inner caught: {}", kind(&error)),
                other => other?,
            }
            Ok("all is well")
        })
    }

    let mut generator = Generator::new(|y| {
        say!("inner returned: {}", y.yield_from(&mut inner())?);
        Ok(())
    });
    if let State::Yielded(text) = generator.start()? {
        say!("{text}");
    }
    if let State::Returned(()) = generator.throw(failure("boom"))? {
        say!("the end");
    }
    Ok(())
}

fn delegating_a_close() -> io::Result<()> {
    fn inner() -> Generator<i32> {
        Generator::new(|y| {
            let end = y.yield_(1);
            say!("inner closed");
            end
        })
    }

    let mut generator = Generator::<_>::new(|y| {
        let end = y.yield_from(&mut inner());
        say!("outer closed");
        end
    });
    if let State::Yielded(n) = generator.start()? {
        say!("{n}");
    }
    generator.close()
}

fn two_generators_in_turn() -> io::Result<()> {
    let letters = Generator::<_>::new(|y| ["a", "b", "c"].into_iter().try_for_each(|letter| y.yield_(letter)));
    let numbers = Generator::<_>::new(|y| [1, 2, 3].into_iter().try_for_each(|n| y.yield_(n)));
    for (letter, n) in letters.zip(numbers) {
        say!("{} {}", letter?, n?);
    }
    Ok(())
}

fn a_recursive_generator() -> io::Result<()> {
    enum Tree {
        Leaf(i32),
        Node(Vec<Tree>),
    }
    use Tree::{Leaf, Node};

    fn walk(tree: Tree) -> Generator<i32> {
        Generator::new(|y| match tree {
            Leaf(n) => y.yield_(n),
            Node(branches) => branches.into_iter().try_for_each(|branch| y.yield_from(&mut walk(branch))),
        })
    }

    let tree = Node(vec![Leaf(1), Node(vec![Leaf(2), Node(vec![Leaf(3), Leaf(4)])]), Leaf(5)]);
    let leaves = walk(tree).collect::<io::Result<Vec<_>>>()?;
    say!("{}", leaves.iter().map(i32::to_string).collect::<Vec<_>>().join(" "));
    Ok(())
}

scenarios! {
    started_and_sent,
    nothing_runs_before_it_is_started,
    a_for_loop,
    a_loop_that_is_left,
    the_returned_value,
    an_error_thrown_in,
    an_error_thrown_in_and_not_caught,
    an_error_of_the_body,
    closed_before_it_began,
    clean_up_when_it_is_closed,
    sent_before_it_began,
    sent_after_its_end,
    delegating,
    delegating_an_error,
    delegating_a_close,
    two_generators_in_turn,
    a_recursive_generator,
}
