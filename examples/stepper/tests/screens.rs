//! What is on the screen, cell by cell, without a terminal.
//!
//! `BLESS=1 cargo test -p corio-stepper --test screens` rewrites `examples/golden/screen_*.txt`; read the difference before you
//! commit it.

use std::path::Path;
use std::{env, fs};

use corio_stepper::{Example, Look, Menu, Next, Run, Screen, draw};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};

const USUAL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (120, 40);
const SMALLEST: (u16, u16) = (60, 16);
const NOTHING_SPECIAL: Look = Look { ascii: false, plain: false };

fn open(name: &str) -> Screen {
    let example = Example::find(name).unwrap();
    Run::new(example, example.record()).into()
}

/// Keys by their names, and words that are typed letter by letter: `:Grace`.
fn press(screen: &mut Screen, keys: &str) -> Next {
    let mut next = Next::Draw;
    for key in keys.split_whitespace() {
        let codes: Vec<KeyCode> = match key {
            "Enter" => vec![KeyCode::Enter],
            "Esc" => vec![KeyCode::Esc],
            "Left" => vec![KeyCode::Left],
            "Right" => vec![KeyCode::Right],
            "Up" => vec![KeyCode::Up],
            "Down" => vec![KeyCode::Down],
            "Home" => vec![KeyCode::Home],
            "End" => vec![KeyCode::End],
            "PageUp" => vec![KeyCode::PageUp],
            "PageDown" => vec![KeyCode::PageDown],
            "Backspace" => vec![KeyCode::Backspace],
            typed => typed.trim_start_matches(':').chars().map(KeyCode::Char).collect(),
        };
        for code in codes {
            next = screen.key(KeyEvent::from(code));
        }
    }
    next
}

fn cells(screen: &mut Screen, (width, height): (u16, u16), look: Look) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(screen, look, frame)).unwrap().buffer.clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let rows = buffer.content.chunks(usize::from(buffer.area.width));
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()).collect()
}

fn text(screen: &mut Screen, size: (u16, u16)) -> String {
    lines(&cells(screen, size, NOTHING_SPECIAL)).join("\n") + "\n"
}

/// Compares a screen with the golden one.
fn compare(name: &str, shown: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../golden/screen_{name}.txt"));
    if env::var_os("BLESS").is_some() {
        fs::write(&path, shown).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == shown, "{name} is not what {} says, but\n{shown}\nIf that is wanted: BLESS=1", path.display());
}

#[test]
fn screens_are_golden() {
    for (name, example, keys, size) in [
        ("e11_tasks", "e11_tasks", "Enter Enter n", USUAL),
        ("large", "e11_tasks", "Enter Enter n", LARGE),
        ("smallest", "e11_tasks", "Enter Enter n", SMALLEST),
        ("too_small", "e11_tasks", "", (50, 10)),
        ("parked", "e11_tasks", "Enter Enter t", USUAL),
        ("cause", "e11_tasks", "Enter Enter n c c", USUAL),
        ("back", "e11_tasks", "Enter Enter n c c p p p", USUAL),
        ("end_of_task", "e11_tasks", "f :Grace Enter", LARGE),
        ("scrub", "e11_tasks", "End PageUp Left", USUAL),
        ("prompt", "e11_tasks", "n w :Grex Backspace", USUAL),
        ("where", "e11_tasks", "Enter Enter t w :Grace Enter", USUAL),
        ("mark", "e11_tasks", "n m", USUAL),
        ("message", "e11_tasks", "Enter g :x Enter", USUAL),
        ("why", "e11_tasks", "Enter ?", USUAL),
        ("help", "e11_tasks", "Enter h", USUAL),
        ("help_smallest", "e11_tasks", "Enter h", SMALLEST),
        ("output", "e11_tasks", "End O", USUAL),
        ("deadlock", "e29b_lock_cycle", "r", LARGE),
        ("deadlock_usual", "e29b_lock_cycle", "r", USUAL),
        ("deadlock_smallest", "e29b_lock_cycle", "r", SMALLEST),
        ("coroutine", "e05_generator", "g :8 Enter", USUAL),
        ("network", "e41_hex_server", "i n", USUAL),
    ] {
        let mut screen = open(example);
        press(&mut screen, keys);
        compare(name, &text(&mut screen, size));
    }
}

/// What a narrow pane has no room for is said in few words, not cut off before what matters.
#[test]
fn the_telling_word_is_seen_in_every_window() {
    for size in [USUAL, SMALLEST] {
        for (example, keys, words) in [
            ("e29b_lock_cycle", "r", &["■ lock 2 (Hypatia)", "■ lock 1 (Plato)", "■ group 1 to end"][..]),
            ("e11_tasks", "f :Grace Enter", &[" StopIteration "]),
            ("e41_hex_server", "g :23 Enter", &["■ source 2 writable", "■ source 1 readable"]),
            ("e58", "g :96 Enter", &["■ timer 2, 3600.000"]),
        ] {
            let mut screen = open(Example::find(example).unwrap().name);
            press(&mut screen, keys);
            let shown = text(&mut screen, size);
            for word in words {
                assert!(shown.contains(word), "{word:?} of {example} at {size:?}:\n{shown}");
            }
        }
    }
    let mut screen = open("e29b_lock_cycle");
    press(&mut screen, "g :27 Enter");
    let shown = text(&mut screen, USUAL);
    assert!(shown.contains("lock 1 (Plato) ── ■ 21"), "{shown}");
    assert!(shown.starts_with("Hypatia ■ pauses at e29b_lock_cycle.rs:21 waits for: lock 1, which Plato has\n"));
    press(&mut screen, "b");
    let shown = text(&mut screen, SMALLEST);
    assert!(shown.contains("`Stepper::live`,\nshows it\n"), "what is longer than a line goes on in the next:\n{shown}");
}

/// Of a text that is larger than the window the border says so, and the arrows lead to all of it.
#[test]
fn a_text_that_does_not_fit_says_how_to_see_the_rest() {
    let mut screen = open("e29b_lock_cycle");
    press(&mut screen, "r h");
    let shown = text(&mut screen, USUAL);
    assert!(
        shown.contains("Enter, s ") && shown.contains("Esc  ") && !shown.contains("arrows:"),
        "all of it:\n{shown}"
    );
    for ascii in [false, true] {
        let look = Look { ascii, plain: false };
        let shown = lines(&cells(&mut screen, SMALLEST, look)).join("\n");
        assert!(shown.contains(" arrows: lines 1-14 of 22, columns 1-58 of 69 "), "{shown}");
        press(&mut screen, "End Right Right Right");
        let shown = lines(&cells(&mut screen, SMALLEST, look)).join("\n");
        assert!(shown.contains(" arrows: lines 9-22 of 22, columns 12-69 of 69 "), "{shown}");
        assert!(shown.contains("closes this"), "{shown}");
        press(&mut screen, "PageUp PageUp Left Left");
    }
    press(&mut screen, "Esc w :Plato Enter");
    assert!(text(&mut screen, USUAL).contains(" arrows: columns 1-78 of "));
    press(&mut screen, "x");
    let shown = text(&mut screen, USUAL);
    assert!(shown.contains("┌ `x` is none of these ─") && !shown.contains("arrows:"), "{shown}");
    press(&mut screen, "Right");
    let shown = text(&mut screen, USUAL);
    assert!(shown.contains("step 29/46 ") && !shown.contains("none of these"), "nothing is out of view:\n{shown}");
}

/// As `--ascii` and `NO_COLOR` have it: the same screen, with less.
#[test]
fn signs_and_colours_can_be_left_out() {
    let mut screen = open("e11_tasks");
    press(&mut screen, "Enter Enter t");
    let full = cells(&mut screen, USUAL, NOTHING_SPECIAL);
    let plain = cells(&mut screen, USUAL, Look { ascii: false, plain: true });
    let ascii = cells(&mut screen, USUAL, Look { ascii: true, plain: false });

    let is_coloured = |buffer: &Buffer| buffer.content.iter().any(|c| (c.fg, c.bg) != (Color::Reset, Color::Reset));
    assert!(is_coloured(&full) && !is_coloured(&plain));
    assert_eq!(lines(&full), lines(&plain), "a colour says nothing that is not also a sign or a word");
    assert!(ascii.content.iter().all(|cell| cell.symbol().is_ascii()));
    compare("ascii", &(lines(&ascii).join("\n") + "\n"));
}

#[test]
fn what_is_to_come_is_dim_and_drawn_in_dashes() {
    let mut screen = open("e11_tasks");
    press(&mut screen, "Enter Enter");
    let style = |screen: &mut Screen, part: &str| {
        let buffer = cells(screen, LARGE, NOTHING_SPECIAL);
        let lines = lines(&buffer);
        let row = lines.iter().position(|line| line.contains(part)).unwrap_or_else(|| panic!("{lines:#?}"));
        let column = lines[row].split(part).next().unwrap().chars().count();
        buffer.content[row * usize::from(buffer.area.width) + column].modifier
    };
    assert_eq!(style(&mut screen, "╌ timer 2, due 1.000 ╌╌ ■ 20"), Modifier::DIM);
    press(&mut screen, "g :17 Enter");
    assert_eq!(style(&mut screen, "─ timer 2, due 1.000 ── ■ 20"), Modifier::BOLD, "now it happens");
}

/// The sizes change at every step, and at some of them nothing fits.
#[test]
fn every_example_is_walked_through_in_windows_of_all_sizes() {
    const SIZES: [(u16, u16); 7] = [USUAL, (1, 1), LARGE, (59, 16), SMALLEST, (200, 17), (61, 60)];
    for example in Example::all() {
        let mut screen: Screen = Run::new(example, example.record()).into();
        press(&mut screen, "Home");
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let steps = match &screen {
            Screen::Run(run) => run.walk.replay().steps(),
            Screen::Menu(_) => unreachable!("it was opened"),
        };
        assert!(steps > 0, "{}: there is nothing to see", example.name);
        // Once at each size: a look costs milliseconds.
        let every = (steps / 7).max(1);
        for step in 0..steps {
            press(&mut screen, "e");
            if step % every == 0 || step + 1 == steps {
                let (width, height) = SIZES[(step / every) as usize % SIZES.len()];
                terminal.backend_mut().resize(width, height);
                terminal.draw(|frame| draw(&mut screen, NOTHING_SPECIAL, frame)).unwrap();
            }
        }
        press(&mut screen, "e");
        let shown = text(&mut screen, USUAL);
        assert!(shown.contains(&format!("step {steps}/{steps} ")), "{}:\n{shown}", example.name);
        assert!(shown.contains("this is the last step"), "{}:\n{shown}", example.name);
    }
}

#[test]
fn every_key_of_the_list_does_something() {
    let mut screen = open("e11_tasks");
    for keys in ["Enter", "e", "n", "t", "o", "f :Ada Enter", "p", "P", "g :12 Enter", "m :joining Enter", "c", "r"] {
        let before = text(&mut screen, USUAL);
        assert!(matches!(press(&mut screen, keys), Next::Draw));
        assert_ne!(text(&mut screen, USUAL), before, "{keys}");
    }
    press(&mut screen, "g :1 Enter End End p");
    assert!(text(&mut screen, USUAL).contains("step 1/45 "), "to stay is not to stop");
    press(&mut screen, "End");
    for (keys, said) in [
        ("i", "there is no more news of I/O"),
        ("B :e11_tasks.rs:20 Enter", "breakpoints: e11_tasks.rs:20"),
        ("B Enter", "breakpoints: e11_tasks.rs:20"),
        ("b", "only what runs has a stack"),
        ("w :nobody Enter", "no task is called `nobody`"),
        ("x", "`x` is none of these"),
    ] {
        press(&mut screen, keys);
        let shown = text(&mut screen, USUAL);
        assert!(shown.contains(said), "{keys}:\n{shown}");
    }
    assert!(matches!(press(&mut screen, "Esc Esc"), Next::Menu), "the first closes the list");
    assert!(matches!(press(&mut screen, "q"), Next::Leave));
}

/// What is typed may be anything, and so may what it is typed into.
#[test]
fn a_prompt_can_be_left_again_and_a_text_moved() {
    let mut screen = open("e11_tasks");
    let before = text(&mut screen, SMALLEST);
    press(&mut screen, "f :quit Esc");
    assert_eq!(text(&mut screen, SMALLEST), before, "q was a letter of a name");
    press(&mut screen, "w :Zoë Backspace Backspace Backspace Backspace");
    assert_eq!(text(&mut screen, SMALLEST), before);
    press(&mut screen, "h");
    assert!(!text(&mut screen, SMALLEST).contains("PgUp PgDn"));
    press(&mut screen, "Down Down Down Down Down Down Down Down Down Down");
    assert!(text(&mut screen, SMALLEST).contains("PgUp PgDn"), "what does not fit comes into view");
    press(&mut screen, "h");
    assert_eq!(text(&mut screen, SMALLEST), before);
}

#[test]
fn an_example_is_chosen_from_the_list_and_the_list_remembers_it() {
    let mut screen = Menu::at(Example::find("e11").unwrap()).into();
    let shown = text(&mut screen, USUAL);
    assert!(shown.contains("│▸ e11_tasks  ") && shown.contains("│  e10_one_after_the_other  "), "{shown}");
    assert!(
        shown.contains("A task is a coroutine that the loop has been told about; creating one does not"),
        "{shown}"
    );
    screen = Menu::default().into();
    let Next::Record(example) = press(&mut screen, "Down Down PageDown Up End Home Down Enter") else {
        panic!("Enter chooses")
    };
    assert_eq!(example.name, Example::all()[1].name);
    screen = Run::new(example, example.record()).into();
    assert!(matches!(press(&mut screen, "Esc"), Next::Menu));
    screen = screen.menu();
    assert!(matches!(&screen, Screen::Menu(Menu { chosen: 1 })));
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(matches!(screen.key(interrupt), Next::Leave));
    assert!(matches!(screen.key(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::CONTROL)), Next::Draw));
}

/// As `docs/README.md` lists them, by parts: not by their numbers.
#[test]
fn examples_stand_in_the_order_of_the_path() {
    let path = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/README.md")).unwrap();
    let listed = path.lines().filter_map(|line| line.strip_prefix("| [`")?.split_once("`](../examples/e"));
    let names: Vec<&str> = Example::all().iter().map(|example| example.name).collect();
    assert_eq!(names, listed.map(|(name, _)| name).collect::<Vec<_>>());
    let place = |name| names.iter().position(|other| *other == name).unwrap();
    assert_eq!(place("e25_done_callback") + 1, place("e57_supervisor"));
    assert_eq!(place("e58_graceful_shutdown") + 1, place("e26_lost_update"));
    assert_eq!(place("e60_hung_server") + 1, place("e53_state_machine"));
}

#[test]
fn examples_are_found_by_name_and_by_number() {
    let name = |name| Example::find(name).map(|example| example.name);
    assert_eq!((name("e11_tasks"), name("e11")), (Some("e11_tasks"), Some("e11_tasks")));
    assert_eq!((name("e20b"), name("e1"), name("")), (Some("e20b_race"), None, None));
    assert!(Example::find("e11").unwrap().lesson().starts_with("A task is a coroutine"));
}
