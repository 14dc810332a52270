//! `cargo run -p corio-stepper -- e11_tasks` walks through an example on a full screen; without a name there is a list.
//!
//! | flag | |
//! | --- | --- |
//! | `--ascii` | no sign but those of ASCII |
//!
//! With `NO_COLOR` in the environment there are no colours. What is told never depends on them.

mod terminal;

use std::process::{self, ExitCode};
use std::{env, io};

use corio_stepper::{Example, Look, Menu, Next, Run, Screen, draw};
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use crate::terminal::FullScreen;

const USAGE: &str =
    "usage: cargo run -p corio-stepper -- [--ascii] [EXAMPLE]; without a name there is a list to choose from";

fn main() -> ExitCode {
    match arguments().and_then(|(example, look)| show(example, look).map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("{trouble}");
            ExitCode::from(2)
        }
    }
}

/// What is asked for: an example, or the list of them.
fn arguments() -> Result<(Option<&'static Example>, Look), String> {
    // As its own page says: present and not empty.
    let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let (mut example, mut look) = (None, Look { ascii: false, plain });
    for argument in env::args().skip(1) {
        match &*argument {
            "--ascii" => look.ascii = true,
            "--help" => {
                println!("{USAGE}");
                process::exit(0);
            }
            name if name.starts_with('-') || example.is_some() => {
                return Err(USAGE.to_owned());
            }
            name => example = Some(Example::find(name).ok_or_else(|| unknown(name))?),
        }
    }
    if !terminal::is_there() {
        let name = example.map_or("e11_tasks", |example| example.name);
        return Err(format!(
            "This draws on a terminal, and input or output is none. Without one: cargo run --example {name} -- --step"
        ));
    }
    Ok((example, look))
}

fn unknown(name: &str) -> String {
    let lines = Example::all().iter().map(|example| format!("  {:<24} {}\n", example.name, example.lesson()));
    // The list is longer than a screen, so what it is about stands below it.
    format!("{}no example is called {name}; these there are", lines.collect::<String>())
}

fn show(example: Option<&'static Example>, look: Look) -> io::Result<()> {
    let mut screen = example.map_or_else(|| Menu::default().into(), recorded);
    terminal::give_back_when_told_to_end();
    let mut terminal = FullScreen::enter()?;
    loop {
        terminal.draw(|frame| draw(&mut screen, look, frame))?;
        let Event::Key(key) = event::read()? else { continue }; // of another size, it is drawn again
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match screen.key(key) {
            Next::Draw => {}
            Next::Leave => return Ok(()),
            Next::Menu => screen = screen.menu(),
            Next::Record(example) => {
                // Whatever it prints past its observer belongs to the ordinary screen, and there Ctrl-C ends it.
                drop(terminal);
                screen = recorded(example);
                terminal = FullScreen::enter()?;
            }
        }
    }
}

fn recorded(example: &'static Example) -> Screen {
    Run::new(example, example.record()).into()
}
