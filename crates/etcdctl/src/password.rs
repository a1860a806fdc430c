//! Passwords from the terminal, or from whatever stands in its place.

use std::io::{self, BufRead, IsTerminal};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::{fail::Failed, output::say};

/// Asks for a password; a terminal does not show it.
///
/// # Errors
/// When nothing can be read.
pub(crate) fn ask(prompt: &str) -> Result<String, Failed> {
    say(prompt)?;
    let input = io::stdin();
    let hidden = if input.is_terminal() { Hidden::begin(&input) } else { None };
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    drop(hidden);
    say("\n")?;
    read.map_err(Failed::error)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that does not show what is typed, until it is dropped.
struct Hidden<'a> {
    input: &'a io::Stdin,
    before: rustix::termios::Termios,
}

impl Hidden<'_> {
    fn begin(input: &io::Stdin) -> Option<Hidden<'_>> {
        let before = tcgetattr(input).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(input, OptionalActions::Now, &silent).ok()?;
        Some(Hidden { input, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(self.input, OptionalActions::Now, &self.before);
    }
}
