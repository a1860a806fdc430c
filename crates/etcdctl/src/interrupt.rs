//! The signals that end what waits.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::fail::Failed;

/// Interrupt and termination, which end nothing by themselves from now on.
#[derive(Debug)]
pub(crate) struct Interrupt {
    int: Signal,
    term: Signal,
}

impl Interrupt {
    /// # Errors
    /// When the system refuses.
    pub(crate) fn new() -> Result<Interrupt, Failed> {
        let open = |kind| signal(kind).map_err(Failed::error);
        Ok(Interrupt { int: open(SignalKind::interrupt())?, term: open(SignalKind::terminate())? })
    }

    /// Waits for one of them.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}
