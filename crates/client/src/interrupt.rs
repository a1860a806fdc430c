//! The signals that end tools which hold on to something: a lock, a leadership, a cluster.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Interrupt and termination, which end nothing by themselves from now on.
#[derive(Debug)]
pub struct Interrupt {
    int: Signal,
    term: Signal,
}

impl Interrupt {
    /// Takes both signals over.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Interrupt> {
        Ok(Interrupt { int: signal(SignalKind::interrupt())?, term: signal(SignalKind::terminate())? })
    }

    /// Waits for one of them. May be dropped and called again.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}
