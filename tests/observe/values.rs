//! What goes into a coroutine, and what comes out, as the views show it.

use corio::{Coroutine, Yielder};

use super::*;

/// What the narration says of the first coroutine, without places.
fn told_of_coroutines(recording: &Recording) -> Vec<String> {
    let told = recording.narrate(1);
    let told = told.lines().filter_map(|line| line.split_once(" coroutine 1: "));
    let place = |told: &str| [" at values.rs", " at line", " after line"].iter().filter_map(|at| told.find(at)).min();
    told.map(|(_, told)| told[..place(told).unwrap_or(told.len())].to_owned()).collect()
}

/// What a task and the coroutine hand each other in a run, all of it.
fn said_to_coroutines(recording: &Recording) -> Vec<String> {
    let mut walk = Walk::new(recording.replay());
    let mut said = Vec::new();
    while walk.command("e") == Answer::Moved {
        if walk.parties()[1] == "coroutine 1" {
            said = walk.conversation(usize::MAX);
        }
    }
    said.into_iter().map(|said| format!("{} {}", if said.to_task { '►' } else { '◄' }, said.what)).collect()
}

#[test]
fn the_values_that_go_into_a_coroutine_and_come_out_are_told() {
    let (recording, ended) = watched(virtual_clock(), || {
        let mut twice = Coroutine::new(|y| {
            let mut n = y.yield_(None)?;
            while n != 0 {
                n = y.yield_(Some(format!("twice {n} is {}", 2 * n))).unwrap_or(-1);
            }
            Ok('z')
        });
        let _ = twice.start()?;
        let _ = twice.send(2)?;
        let _ = twice.throw(io::ErrorKind::NotFound.into())?;
        let _ = twice.throw(io::Error::other("no\tway"))?;
        let _ = twice.throw(io::Error::from_raw_os_error(2))?;
        twice.send(0).map(drop)
    });
    ended.unwrap();
    let told = [
        "send(None), from the top",
        "yields None",
        "send(2), goes on",
        "yields Some(\"twice 2 is 4\")",
        "throw(NotFound), met",
        "yields Some(\"twice -1 is -2\")",
        "throw(no\\tway), met",
        "yields Some(\"twice -1 is -2\")",
        "throw(No such file or directory (os error 2)), met",
        "yields Some(\"twice -1 is -2\")",
        "send(0), goes on",
        "returns 'z'",
    ];
    assert_eq!(told_of_coroutines(&recording), told);
    let said = [
        "► send(None)",
        "◄ None",
        "► send(2)",
        "◄ Some(\"twice 2 is 4\")",
        "► throw(NotFound)",
        "◄ Some(\"twice -1 is -2\")",
        "► throw(no\\tway)",
        "◄ Some(\"twice -1 is -2\")",
        "► throw(No such file or directory (os error 2))",
        "◄ Some(\"twice -1 is -2\")",
        "► send(0)",
        "◄ StopIteration: 'z'",
    ];
    assert_eq!(said_to_coroutines(&recording), said);
    assert!(recording.html().contains("→ coroutine 1: send(2), goes on after line"));
}

/// What the narration and the conversation say last of a coroutine that is made, started and handed to `f`.
fn last_of<Ret: 'static>(
    body: impl FnOnce(&Yielder<(), ()>) -> io::Result<Ret> + 'static,
    f: impl FnOnce(Coroutine<(), (), Ret>),
) -> (String, String) {
    let (recording, ended) = watched(virtual_clock(), || {
        let mut one = Coroutine::new(body);
        let _ = one.start()?;
        f(one);
        Ok(())
    });
    ended.unwrap();
    let (mut told, mut said) = (told_of_coroutines(&recording), said_to_coroutines(&recording));
    (told.pop().unwrap(), said.pop().unwrap())
}

#[test]
fn the_ways_in_which_a_coroutine_ends_are_told_apart() {
    let go_on = |mut one: Coroutine<(), ()>| drop(catch_unwind(AssertUnwindSafe(|| one.send(()))));
    let is = |(told, said): (String, String), wanted: [&str; 2]| assert_eq!([&*told, &*said], wanted);
    is(last_of(|y| y.yield_(()), go_on), ["returns", "◄ StopIteration"]);
    let seven =
        last_of(|y| y.yield_(()).map(|()| 7), |mut one| assert_eq!(one.send(()).unwrap(), corio::State::Returned(7)));
    is(seven, ["returns 7", "◄ StopIteration: 7"]);
    let fails = |error: fn() -> io::Error| move |y: &Yielder<(), ()>| y.yield_(()).and_then(|()| Err(error()));
    is(last_of(fails(|| io::Error::other("no way")), go_on), ["fails: no way", "◄ an error: no way"]);
    is(last_of(fails(|| io::ErrorKind::NotFound.into()), go_on), ["fails: NotFound", "◄ an error: NotFound"]);
    let panics = |y: &Yielder<(), ()>| y.yield_(()).map(|()| panic!("at the\ndisco"));
    is(last_of(panics, go_on), ["panics: at the\\ndisco", "◄ a panic: at the\\ndisco"]);
    is(last_of(|y| y.yield_(()), drop), ["ends, closed", "◄ it is closed"]);
    let late = |y: &Yielder<(), ()>| y.yield_(()).or_else(|_| y.yield_(()));
    is(last_of(late, drop), ["ends, closed", "◄ it is closed"]);
    is(last_of(|y| Ok(y.yield_(()).is_err()), drop), ["returns true", "◄ StopIteration: true"]);
}

/// What is told of a value that a coroutine hands out.
fn shown<T: 'static>(value: T) -> String {
    let (recording, ended) =
        watched(virtual_clock(), || Generator::new(|y| y.yield_(value)).try_for_each(|item| item.map(drop)));
    ended.unwrap();
    let said = said_to_coroutines(&recording);
    assert_eq!(told_of_coroutines(&recording)[1], said[1].replace('◄', "yields"));
    said[1].strip_prefix("◄ ").unwrap().to_owned()
}

#[test]
fn a_value_of_a_type_that_is_known_is_shown_and_of_any_other_its_type() {
    struct Own;
    enum Choice<A, B> {
        _Left(A),
        _Right(B),
    }
    assert_eq!(
        [shown(()), shown(true), shown('ä'), shown(-7_i128), shown(u8::MAX)],
        ["()", "true", "'ä'", "-7", "255"]
    );
    assert_eq!([shown(0.5_f32), shown(f64::NAN), shown(millis(1_500))], ["0.5", "NaN", "1.5s"]);
    assert_eq!([shown("text"), shown("text".to_owned())], ["\"text\"", "\"text\""]);
    assert_eq!([shown(Some(1)), shown(None::<String>), shown(Some("a"))], ["Some(1)", "None", "Some(\"a\")"]);
    assert_eq!([shown(Own), shown(Some(Own)), shown(vec![Own])], ["Own", "Option<Own>", "Vec<Own>"]);
    assert_eq!(shown(None::<Choice<Own, Box<dyn std::fmt::Debug>>>), "Option<Choice<Own, Box<dyn Debug>>>");
    assert_eq!(
        [shown((1, Own)), shown([0_u8; 4]), shown(Ok::<u8, io::Error>(1))],
        ["(i32, Own)", "[u8; 4]", "Result<u8, Error>"]
    );
}

#[test]
fn a_value_is_shown_on_one_line_that_has_an_end() {
    assert_eq!(shown("a\nb\u{1b}[31m\u{202e}\"c\""), r#""a\nb\u{1b}[31m\u{202e}\"c\"""#);
    assert_eq!(shown("x".repeat(38)), format!("\"{}\"", "x".repeat(38)));
    assert_eq!(shown("x".repeat(1_000_000)), format!("\"{}…", "x".repeat(39)));
    assert_eq!(shown(Some("ü".repeat(99))), format!("Some(\"{}…", "ü".repeat(34)));
    assert_eq!(shown([[[[[[[None::<String>; 1]; 1]; 1]; 1]; 1]; 1]; 1]), "[[[[[[[Option<String>; 1]; 1]; 1]; 1]; 1…");
}

/// An error that counts how often it is asked what it says.
#[derive(Clone, Debug, Default)]
struct Counted(Arc<AtomicU32>);

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fetch_add(1, Ordering::Relaxed);
        f.write_str("counted")
    }
}

impl std::error::Error for Counted {}

#[test]
fn values_have_texts_only_while_somebody_watches_not_only_in_the_background() {
    let counted = Counted::default();
    let told = counted.clone();
    let program = move || {
        let mut one = Coroutine::<u32, u32>::new(|y| y.yield_(1).map(drop));
        let _ = one.start()?;
        assert!(one.throw(io::Error::other(told.clone())).is_err());
        Ok(())
    };
    let values = Rc::new(RefCell::new(Vec::new()));
    let in_background = InBackground(values.clone());

    virtual_clock().run(program.clone()).unwrap();
    sim_with(in_background.clone()).run(program.clone()).unwrap();
    assert_eq!((values.take(), counted.0.load(Ordering::Relaxed)), (vec![None; 4], 0));
    let recorder = corio::observe::FlightRecorder::new(100);
    sim_with(recorder.clone()).run(program.clone()).unwrap();
    let text = recorder.tell();
    let parts =
        ["send(None), from the top", "coroutine 1: pauses at ", "coroutine 1: throw, met at ", "coroutine 1: fails\n"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    assert_eq!(counted.0.load(Ordering::Relaxed), 0);

    // Beside somebody in front, who is in the background is told as well.
    sim_with(in_background).observer(Narrator::new(io::sink())).run(program).unwrap();
    let values = values.take();
    assert!(values[0].is_none() && values[1..].iter().all(Option::is_some), "{values:?}");
    assert_eq!(counted.0.load(Ordering::Relaxed), 2, "once when it is thrown in, and once when it comes out");
}

/// Notes the numbers of values.
#[derive(Clone)]
struct InBackground(Rc<RefCell<Vec<Option<u32>>>>);

impl Observer for InBackground {
    fn record(&mut self, record: &Record, _: &Names) {
        if let Event::GenSend { value, .. } | Event::GenYield { value, .. } | Event::GenReturn { value, .. } =
            record.event
        {
            self.0.borrow_mut().push(value);
        }
    }

    fn is_background(&self) -> bool {
        true
    }
}

/// The text of an error is user's code: it may do anything, but neither wait nor yield nor panic in the middle of a switch.
#[test]
fn an_error_that_pauses_panics_or_says_nothing_is_shown_by_its_kind() {
    #[derive(Debug)]
    struct Bad(fn());
    impl std::fmt::Display for Bad {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            (self.0)();
            Err(std::fmt::Error)
        }
    }
    impl std::error::Error for Bad {}

    let bad: [fn(); 3] = [|| panic!("not me"), || drop(sleep(secs(1))), || {}];
    for bad in bad {
        let error = move || io::Error::new(io::ErrorKind::InvalidData, Bad(bad));
        let body = |y: &Yielder<(), ()>| y.yield_(());
        let told = last_of(body, move |mut one| assert!(one.throw(error()).is_err()));
        assert_eq!(told, ("fails: InvalidData".to_owned(), "◄ an error: InvalidData".to_owned()));
    }
}
