//! One batch of a connection at a time: the queue to the core has no bound of its own.

use std::sync::Arc;

use node::Turn;
use tokio::sync::Semaphore;

/// The turns of one connection.
#[derive(Debug)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(crate) fn new() -> Turns {
        Turns(Arc::new(Semaphore::new(1)))
    }

    /// Waits until what was handed over before the last turn has been taken in.
    pub(crate) async fn come(&self) {
        // Never closed.
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }

    /// To be handed over behind a batch, after [`Turns::come`].
    pub(crate) fn next(&self) -> Turn {
        let turns = Arc::clone(&self.0);
        Turn::new(move || turns.add_permits(1))
    }
}
