//! What is to be seen, and what a key does to it.

use corio::observe::{Answer, Walk};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::path::{Example, Recorded};

/// What is on the screen.
#[derive(Debug)]
pub enum Screen {
    /// The list of the examples.
    Menu(Menu),
    /// One of them, recorded.
    Run(Box<Run>),
}

/// What is to be done after a key.
#[derive(Clone, Copy, Debug)]
pub enum Next {
    /// To draw, and to wait for the next key.
    Draw,
    /// To run this one, and to show it. Programs are run while the terminal is as they expect it, so that is not done here.
    Record(&'static Example),
    /// To show the list of the examples.
    Menu,
    /// The reader has seen enough.
    Leave,
}

/// The list of the examples, and the one that would be taken.
#[derive(Debug, Default)]
pub struct Menu {
    /// Its number.
    pub chosen: usize,
}

/// A run that is walked through.
#[derive(Debug)]
pub struct Run {
    /// Which it is.
    pub(crate) example: &'static Example,
    /// The way through it.
    pub walk: Walk,
    /// A letter that wants a name, and as much of that as is typed.
    pub(crate) prompt: Option<(char, String)>,
    /// What lies over the panes.
    pub(crate) overlay: Option<Overlay>,
    /// What the last key had to say.
    pub(crate) message: String,
    /// Whether the output stands where the loop does, if there is no room for both.
    pub(crate) output: bool,
}

/// A text over the panes.
#[derive(Debug)]
pub(crate) struct Overlay {
    /// What it is.
    pub(crate) title: String,
    /// The text, in lines.
    pub(crate) text: String,
    /// Lines and columns that are out of view.
    pub(crate) scroll: (u16, u16),
    /// How many of them can be, where it was drawn last.
    pub(crate) most: (u16, u16),
}

/// Keys of the screen's own, for a reader. The others are those of [`Walk::letters`].
const KEYS: [(&str, &str); 4] = [
    ("Left Right", "an event back; an event on"),
    ("PgUp PgDn", "a tenth of the run back; on; Home and End go all the way"),
    ("O", "the output in the place of the loop, in a small window"),
    ("Esc", "closes this; then: the list of the examples"),
];

impl Screen {
    /// The list of the examples, at the one that was seen last.
    #[must_use]
    pub fn menu(self) -> Screen {
        match self {
            Screen::Menu(_) => self,
            Screen::Run(run) => Menu::at(run.example).into(),
        }
    }

    /// Does what a key says.
    pub fn key(&mut self, key: KeyEvent) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Next::Leave } else { Next::Draw };
        }
        match self {
            Screen::Menu(menu) => menu.key(key.code),
            Screen::Run(run) => run.key(key.code),
        }
    }
}

impl From<Menu> for Screen {
    fn from(menu: Menu) -> Screen {
        Screen::Menu(menu)
    }
}

impl From<Run> for Screen {
    fn from(run: Run) -> Screen {
        Screen::Run(Box::new(run))
    }
}

impl Menu {
    /// With that example chosen.
    pub fn at(example: &Example) -> Menu {
        Menu { chosen: Example::all().iter().position(|other| other.name == example.name).unwrap_or(0) }
    }

    fn key(&mut self, key: KeyCode) -> Next {
        const PAGE: usize = 10;
        let last = Example::all().len() - 1;
        self.chosen = match key {
            KeyCode::Up | KeyCode::Char('k') => self.chosen.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.chosen + 1,
            KeyCode::PageUp => self.chosen.saturating_sub(PAGE),
            KeyCode::PageDown => self.chosen + PAGE,
            KeyCode::Home => 0,
            KeyCode::End => last,
            KeyCode::Enter => return Next::Record(&Example::all()[self.chosen]),
            KeyCode::Char('q') | KeyCode::Esc => return Next::Leave,
            _ => self.chosen,
        };
        self.chosen = self.chosen.min(last);
        Next::Draw
    }
}

impl Overlay {
    fn new(title: String, text: String) -> Overlay {
        Overlay { title, text, scroll: (0, 0), most: (0, 0) }
    }

    /// Its lines and columns.
    pub(crate) fn size(&self) -> (usize, usize) {
        let columns = self.text.lines().map(|line| line.chars().count()).max();
        (self.text.lines().count(), columns.unwrap_or(0))
    }

    /// Whether a key has moved it: one that leads to what is out of view, or back from there.
    fn scrolled(&mut self, key: KeyCode) -> bool {
        const ASIDE: u16 = 8;
        const PAGE: u16 = 10;
        let ((down, right), (lines, columns)) = (self.scroll, self.most);
        let (there, is_out_of_view) = match key {
            KeyCode::Up => ((down.saturating_sub(1), right), lines),
            KeyCode::Down => ((down + 1, right), lines),
            KeyCode::PageUp => ((down.saturating_sub(PAGE), right), lines),
            KeyCode::PageDown => ((down + PAGE, right), lines),
            KeyCode::Home => ((0, right), lines),
            KeyCode::End => ((lines, right), lines),
            KeyCode::Left => ((down, right.saturating_sub(ASIDE)), columns),
            KeyCode::Right => ((down, right + ASIDE), columns),
            _ => return false,
        };
        self.scroll = (there.0.min(lines), there.1.min(columns));
        is_out_of_view > 0
    }
}

impl Run {
    /// At the first resume of what was recorded.
    pub fn new(example: &'static Example, recorded: Recorded) -> Run {
        let walk = Walk::new(recorded.replay);
        // Of a report only what it is about: this screen says the rest, at the step where it happens.
        let message = recorded.failed.iter().flat_map(|failed| failed.lines()).next().unwrap_or_default().to_owned();
        Run { example, walk, prompt: None, overlay: None, message, output: false }
    }

    fn key(&mut self, key: KeyCode) -> Next {
        if self.prompt.is_some() {
            return self.typed(key);
        }
        if self.overlay.as_mut().is_some_and(|overlay| overlay.scrolled(key)) {
            return Next::Draw;
        }
        if self.overlay.take().is_some() && matches!(key, KeyCode::Esc | KeyCode::Enter | KeyCode::Char('h' | 'q')) {
            return Next::Draw;
        }
        self.message.clear();
        let (step, steps) = (self.walk.replay().step(), self.walk.replay().steps());
        let page = (steps / 10).max(1);
        match key {
            KeyCode::Char('h') => self.overlay = Some(help("keys")),
            KeyCode::Char('O') => self.output = !self.output,
            KeyCode::Char(letter) if wants_name(letter) => self.prompt = Some((letter, String::new())),
            KeyCode::Char(letter) if is_known(letter) => return self.command(&letter.to_string()),
            KeyCode::Char(letter) => self.overlay = Some(help(&format!("`{letter}` is none of these"))),
            KeyCode::Enter => return self.command("s"),
            KeyCode::Right => return self.command("e"),
            KeyCode::Left => return self.command(&format!("g {}", step.saturating_sub(1))),
            KeyCode::PageUp => return self.command(&format!("g {}", step.saturating_sub(page))),
            KeyCode::PageDown => return self.command(&format!("g {}", step + page)),
            KeyCode::Home => return self.command("g 0"),
            KeyCode::End => return self.command(&format!("g {steps}")),
            KeyCode::Esc => return Next::Menu,
            _ => {}
        }
        Next::Draw
    }

    /// A key while a name is being typed.
    fn typed(&mut self, key: KeyCode) -> Next {
        let Some((letter, name)) = &mut self.prompt else { return Next::Draw };
        match key {
            KeyCode::Char(c) => name.push(c),
            // Nothing left to take away: it was not meant.
            KeyCode::Backspace if name.pop().is_some() => {}
            KeyCode::Backspace | KeyCode::Esc => self.prompt = None,
            KeyCode::Enter => {
                let line = format!("{letter} {}", name.trim());
                self.prompt = None;
                return self.command(line.trim_end());
            }
            _ => {}
        }
        Next::Draw
    }

    fn command(&mut self, line: &str) -> Next {
        match self.walk.command(line) {
            Answer::Moved => {}
            // Of a record nothing is still to come.
            Answer::Left | Answer::Awaited => return Next::Leave,
            Answer::Said(said) if line == "?" => {
                self.overlay = Some(Overlay::new(format!("step {}", self.walk.replay().step()), narrow(&said)));
            }
            Answer::Said(said) if said.lines().count() > 1 => {
                self.overlay = Some(Overlay::new(line.to_owned(), said));
            }
            Answer::Said(said) => said.trim().clone_into(&mut self.message),
        }
        Next::Draw
    }
}

/// Whether something stands behind a letter. Not so the stack, which a record does not have.
fn wants_name(letter: char) -> bool {
    let mut usages = Walk::letters().filter_map(|(usage, _)| usage.split_once(' '));
    letter != 'b' && usages.any(|(key, _)| key.chars().eq([letter]))
}

fn is_known(letter: char) -> bool {
    let mut keys = Walk::letters().flat_map(|(usage, _)| usage.split(", ")).filter_map(|key| key.split(' ').next());
    keys.any(|key| key.chars().eq([letter]))
}

/// All keys, in a column: no wider than the usual window.
fn help(title: &str) -> Overlay {
    let line = |(key, does): (&str, &str)| format!(" {key:<10}  {does}\n");
    let text = Walk::letters().chain(KEYS).map(line).collect();
    Overlay::new(title.to_owned(), text)
}

/// In lines that the smallest window has room for.
fn narrow(text: &str) -> String {
    const WIDTH: usize = 54;
    wrapped(text, WIDTH).iter().map(|line| format!(" {line}\n")).collect()
}

/// In lines of that width, one at least, broken between words.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
