//! The terminal, taken and given back.

use std::io::{self, IsTerminal, Stdout, stdin, stdout};
use std::ops::{Deref, DerefMut};
use std::panic::{set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use corio::Runner;
use corio::signal::{Signal, Signals};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// Whether there is one, to draw on and to read keys from.
pub(crate) fn is_there() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// A screen of our own, until this is dropped. A panic gives the other one back before it prints its message.
pub(crate) struct FullScreen(Terminal<CrosstermBackend<Stdout>>);

/// It changes under the lock of stdout, together with the terminal. Who draws has that lock for one write at a time.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

impl FullScreen {
    pub(crate) fn enter() -> io::Result<FullScreen> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let print = take_hook();
            set_hook(Box::new(move |panic| {
                give_back();
                print(panic);
            }));
        });
        let _nobody_else = stdout().lock();
        IS_TAKEN.store(true, Ordering::Relaxed);
        let taken = enable_raw_mode().and_then(|()| execute!(stdout(), EnterAlternateScreen));
        let terminal = taken.and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        terminal.map(FullScreen).inspect_err(|_| give_back())
    }
}

/// Whoever ends the program from outside finds the terminal as it was. A loop on a thread of its own listens: the one of the
/// screen waits for keys, and not for signals.
pub(crate) fn give_back_when_told_to_end() {
    thread::spawn(|| {
        let listen = || Signals::new([Signal::Terminate, Signal::Hangup])?.recv();
        // Where nobody can listen, the system ends the program, as it does without this.
        if let Ok(signal) = Runner::new().ctrl_c(false).run(listen) {
            // Until the end: the screen's thread may be drawing, and the rest of its frame belongs on no other screen.
            let _nobody_else = stdout().lock();
            give_back();
            // As a shell tells of it. Not by `process::exit`: on this thread that unmaps the main thread's signal stack, where
            // the handler may be running still (rust-lang/rust#161018).
            // SAFETY: nothing of the process is used after it.
            unsafe { libc::_exit(128 + signal.number()) }
        }
    });
}

impl Deref for FullScreen {
    type Target = Terminal<CrosstermBackend<Stdout>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for FullScreen {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Puts everything back as it was. What does not work any more now will not work better later.
fn give_back() {
    let _nobody_else = stdout().lock();
    if IS_TAKEN.swap(false, Ordering::Relaxed) {
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}
