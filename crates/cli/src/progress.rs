//! A bar on a terminal, and nothing elsewhere.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// Columns of the bar.
const WIDTH: usize = 30;
/// Time between two pictures.
const STEP: Duration = Duration::from_millis(100);

/// How far a piece of work is.
pub(crate) struct Progress {
    done: usize,
    total: usize,
    /// When it is drawn next; `None` where nobody looks.
    next: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(total: usize) -> Progress {
        Progress { done: 0, total, next: io::stderr().is_terminal().then(Instant::now) }
    }

    /// Where output goes to the same terminal it would be torn by a bar.
    pub(crate) fn beside_output(total: usize) -> Progress {
        let progress = Progress::new(total);
        Progress { next: progress.next.filter(|_| !io::stdout().is_terminal()), ..progress }
    }

    pub(crate) fn add(&mut self, done: usize) {
        self.done += done;
        if self.next.is_some_and(|next| next <= Instant::now()) {
            self.next = Some(Instant::now() + STEP);
            let _ = write!(io::stderr(), "\r{}", picture(self.done, self.total));
        }
    }

    /// Makes place for what follows; nothing is drawn any more.
    pub(crate) fn wipe(&mut self) {
        if self.next.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.wipe();
    }
}

fn picture(done: usize, total: usize) -> String {
    let full = (done * WIDTH).checked_div(total).unwrap_or(WIDTH).min(WIDTH);
    format!("[{}{}] {done} of {total}", "=".repeat(full), " ".repeat(WIDTH - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures() {
        assert_eq!(picture(5, 10), format!("[{}{}] 5 of 10", "=".repeat(15), " ".repeat(15)));
        assert_eq!(picture(12, 10), format!("[{}] 12 of 10", "=".repeat(30)));
        assert_eq!(picture(0, 0), format!("[{}] 0 of 0", "=".repeat(30)));
    }
}
