//! The program on a terminal, which is tmux's, and without one.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs};

const STEPPER: &str = env!("CARGO_BIN_EXE_corio-stepper");

/// A window of tmux that runs a shell's command, and then copies lines.
struct Window {
    socket: String,
}

impl Window {
    /// `None`, and a word about it past the test harness, if tmux is not there.
    fn open(name: &str, command: &str) -> Option<Window> {
        if Command::new("tmux").arg("-V").output().is_err() {
            let _ = writeln!(io::stderr(), "SKIPPED: tmux: not installed");
            return None;
        }
        let window = Window { socket: format!("corio-stepper-{name}-{}", std::process::id()) };
        let command = format!("echo before; {command}; echo \"left with $?\"; cat");
        let made = window.tmux(&["new-session", "-d", "-x", "80", "-y", "24", &command]);
        assert!(made.status.success(), "{made:?}");
        Some(window)
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.args(["-u", "-f", "/dev/null", "-L", &self.socket]).args(arguments);
        command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color").env_remove("NO_COLOR").output().unwrap()
    }

    fn press(&self, keys: &[&str]) {
        assert!(self.tmux(&[&["send-keys"], keys].concat()).status.success());
    }

    fn resize(&self, width: u16, height: u16) {
        assert!(self.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]).status.success());
    }

    /// What is to be seen, with its colours.
    fn shown(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p", "-e"]).stdout).unwrap()
    }

    /// Waits until something is to be seen.
    fn until(&self, wanted: &str) -> String {
        const PATIENCE: Duration = Duration::from_secs(60);
        let start = Instant::now();
        loop {
            let shown = self.shown();
            if without_colours(&shown).contains(wanted) {
                return shown;
            }
            assert!(start.elapsed() < PATIENCE, "no {wanted:?} in\n{}", without_colours(&shown));
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    first + &parts.map(|part| part.split_once('m').map_or("", |(_, rest)| rest)).collect::<String>()
}

/// A colour of letters, other than the usual one.
fn is_coloured(text: &str) -> bool {
    let codes = text.split("\x1b[").skip(1).filter_map(|part| part.split_once('m'));
    codes.flat_map(|(codes, _)| codes.split(';')).any(|code| code.len() == 2 && code.starts_with('3') && code != "39")
}

#[test]
fn a_terminal_is_drawn_on_and_given_back() {
    let Some(window) = Window::open("e11", &format!("{STEPPER} e11_tasks")) else { return };
    window.until("step 3/45");
    window.press(&["Enter", "Enter"]);
    let shown = window.until("step 14/45");
    assert!(is_coloured(&shown) && shown.contains("► running"), "{shown}");
    window.resize(120, 40);
    let shown = window.until("├ output ");
    assert!(without_colours(&shown).contains("conversation with Grace"), "{shown}");
    window.resize(50, 10);
    window.until("This window is 50 by 10.");
    window.resize(80, 24);
    window.press(&["f"]);
    window.until("f NAME");
    window.press(&["Grace", "Enter"]);
    window.until("step 36/45");
    window.press(&["q"]);
    let shown = window.until("left with 0");
    assert!(shown.starts_with("before\n") && !shown.contains('┌'), "it is as it was:\n{shown}");
    window.press(&["a line", "Enter"]);
    window.until("a line\na line"); // echoed by the terminal, and copied when the line was complete
}

/// By `kill`, or because its session is over.
#[test]
fn who_is_told_to_end_gives_the_terminal_back() {
    for (signal, code) in [("TERM", 143), ("HUP", 129)] {
        let file = format!("{}/{signal}-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
        let command = format!("sh -c 'echo $$ > \"{file}\"; exec {STEPPER} e11_tasks'");
        let Some(window) = Window::open(signal, &command) else { return };
        window.until("step 3/45");
        let pid = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert!(Command::new("kill").args([&format!("-{signal}"), pid.trim()]).status().unwrap().success());
        let shown = window.until(&format!("left with {code}"));
        // A shell may have a word of its own about it.
        assert!(shown.starts_with("before\n") && !shown.contains('┌'), "it is as it was:\n{shown}");
        window.press(&["a line", "Enter"]);
        window.until("a line\na line");
    }
}

#[test]
fn without_colours_nothing_is_missing_and_interrupts_end_it() {
    let Some(window) = Window::open("menu", &format!("NO_COLOR=1 {STEPPER} --ascii")) else { return };
    window.until("the learning path: 1 of ");
    window.press(&["Down", "Enter"]);
    window.until("conversation with main");
    window.press(&["g", "0", "Enter"]);
    let shown = window.until("step 0/");
    assert!(!is_coloured(&shown) && without_colours(&shown).is_ascii(), "{shown}");
    window.press(&["Escape"]);
    window.until("the learning path: 2 of ");
    window.press(&["C-c"]);
    let shown = window.until("left with 0");
    assert!(shown.starts_with("before\n") && !shown.contains("learning"), "it is as it was:\n{shown}");
}

/// Runs it with neither input nor output on a terminal.
fn piped(arguments: &[&str]) -> String {
    let output = Command::new(STEPPER).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_cannot_be_shown_is_said() {
    let said = piped(&["e21_cancel"]);
    assert!(said.contains("cargo run --example e21_cancel -- --step"), "{said}");
    let said = piped(&["e99_nobody"]);
    assert!(
        said.ends_with("no example is called e99_nobody; these there are\n"),
        "at the end, where it is seen: {said}"
    );
    assert!(said.contains("e11_tasks") && said.contains("A task is a coroutine"), "{said}");
    assert!(piped(&["--colour"]).starts_with("usage: "));
    let helped = Command::new(STEPPER).arg("--help").output().unwrap();
    assert!(helped.status.success() && helped.stdout.starts_with(b"usage: "));
}
