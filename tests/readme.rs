//! What the documents print in words that no golden file has: it depends on the machine's clock.

mod common;

use std::process::Command;

use common::{example, finish, shown_in};

#[test]
fn the_first_program_prints_what_the_readme_says() {
    let printed = finish(Command::new(example("hello"))).succeeded().stdout.clone();
    let shown = shown_in("README.md", "Hello, Ada!");
    let (greetings, time) = shown.rsplit_once('\n').unwrap();
    let rest = printed.strip_prefix(greetings).unwrap_or_else(|| panic!("{printed:?} does not begin as {shown:?}"));
    // Three seconds of sleep took one; how much more is the machine's affair.
    let seconds = |line: &str| line.trim().strip_suffix(" s").and_then(|n| n.parse::<f64>().ok());
    assert!(seconds(rest).is_some_and(|took| took >= 1.0) && seconds(time) == Some(1.0), "{rest:?}");
}
