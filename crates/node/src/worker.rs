//! A worker: jobs that queue up in an inbox, and what is done with them, on a thread of its own or in steps.

use std::{io, sync::Arc, thread, time::Duration};

use crate::inbox::Inbox;

/// What a worker does. Decides nothing about when: a thread calls it as soon as there are jobs, a simulator when it
/// likes.
pub(crate) trait Labour {
    /// What it is asked to do.
    type Job: Send + 'static;

    /// Does all of `batch`, leaving it empty; `false` when the worker has ended, told or by a failure that it has
    /// reported. Called without jobs while [`Labour::has_more`].
    fn turn(&mut self, batch: &mut Vec<Self::Job>) -> bool;

    /// Whether there is something to do without new jobs.
    fn has_more(&self) -> bool {
        false
    }
}

/// A worker as whoever gives it jobs sees it.
#[derive(Debug)]
pub(crate) struct Worker<J> {
    jobs: Arc<Inbox<J>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<J> Default for Worker<J> {
    fn default() -> Self {
        Worker { jobs: Arc::default(), thread: None }
    }
}

impl<J: Send + 'static> Worker<J> {
    /// Starts a thread that labours until that ends.
    ///
    /// # Panics
    /// When the process cannot start another thread: nothing could be served then.
    pub(crate) fn start(&mut self, name: &str, labour: impl Labour<Job = J> + Send + 'static) {
        let jobs = Arc::clone(&self.jobs);
        let body = move || run(&jobs, labour);
        let spawned: io::Result<_> = thread::Builder::new().name(name.to_string()).spawn(body);
        let thread = spawned.unwrap_or_else(|e| panic!("cannot start the {name} thread: {e}"));
        self.thread = Some(thread);
    }

    /// Where the jobs are, for whoever does them without a thread.
    pub(crate) fn jobs(&self) -> Arc<Inbox<J>> {
        Arc::clone(&self.jobs)
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

fn run<L: Labour>(jobs: &Inbox<L::Job>, mut labour: L) {
    let mut batch = Vec::new();
    loop {
        jobs.receive(&mut batch, if labour.has_more() { Some(Duration::ZERO) } else { None });
        if !labour.turn(&mut batch) {
            return;
        }
    }
}
