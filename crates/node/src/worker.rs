//! A thread with an inbox, owned and joined by whoever started it.

use std::{io, sync::Arc, thread};

use crate::inbox::Inbox;

/// A running worker thread.
#[derive(Debug)]
pub(crate) struct Worker<J> {
    jobs: Arc<Inbox<J>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<J: Send + 'static> Worker<J> {
    /// Starts a thread that runs `body` until that returns.
    ///
    /// # Panics
    /// When the process cannot start another thread: nothing could be served then.
    pub(crate) fn start(name: &str, body: impl FnOnce(&Inbox<J>) + Send + 'static) -> Worker<J> {
        let jobs = Arc::new(Inbox::default());
        let inner = Arc::clone(&jobs);
        let spawned: io::Result<_> =
            thread::Builder::new().name(name.to_string()).spawn(move || body(&inner));
        let thread = spawned.unwrap_or_else(|e| panic!("cannot start the {name} thread: {e}"));
        Worker { jobs, thread: Some(thread) }
    }

    /// Queues a job; dropped when the thread has ended, which it reports to the core by itself.
    pub(crate) fn send(&self, job: J) {
        let _ = self.jobs.send(job);
    }

    /// Waits until the thread has ended; `false` when it panicked. The stop job must be queued before.
    pub(crate) fn join(&mut self) -> bool {
        self.thread.take().is_none_or(|thread| thread.join().is_ok())
    }
}
