//! A bar for long work, on a terminal only: scripts and logs see nothing of it.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// Work that takes less long has no bar.
const QUIET: Duration = Duration::from_millis(300);
/// Time between two pictures.
const STEP: Duration = Duration::from_millis(100);
/// Columns of the bar.
const WIDTH: usize = 30;

/// How far a piece of work is.
#[derive(Debug)]
pub(crate) struct Progress {
    label: &'static str,
    total: u64,
    /// When it is drawn next; `None` where nobody looks.
    next: Option<Instant>,
    drawn: bool,
}

impl Progress {
    /// Of `total` bytes.
    pub(crate) fn new(label: &'static str, total: u64) -> Progress {
        let next = io::stderr().is_terminal().then(|| Instant::now() + QUIET);
        Progress { label, total, next, drawn: false }
    }

    /// So many bytes are done.
    pub(crate) fn moved_to(&mut self, done: u64) {
        let now = Instant::now();
        if self.next.is_some_and(|next| next <= now) {
            self.next = Some(now + STEP);
            self.drawn = true;
            let _ = write!(io::stderr(), "\r{}", picture(self.label, done, self.total));
        }
    }
}

impl Drop for Progress {
    /// Wipes the bar away: what follows is for the log.
    fn drop(&mut self) {
        if self.drawn {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn picture(label: &str, done: u64, total: u64) -> String {
    let share = if total == 0 { 1.0 } else { (done as f64 / total as f64).min(1.0) };
    let full = (share * WIDTH as f64) as usize;
    let size = telemetry::log::size;
    format!(
        "{label} [{}{}] {:3.0} % of {}",
        "=".repeat(full),
        " ".repeat(WIDTH - full),
        share * 100.0,
        size(total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures() {
        assert_eq!(picture("copying", 0, 1000), format!("copying [{}]   0 % of 1.0 kB", " ".repeat(30)));
        assert_eq!(
            picture("copying", 500, 1000),
            format!("copying [{}{}]  50 % of 1.0 kB", "=".repeat(15), " ".repeat(15))
        );
        assert!(picture("copying", 2000, 1000).contains("100 %"));
        assert!(picture("copying", 0, 0).contains("100 %"));
    }
}
