//! The core's door to the other members, and the thread behind it.

use std::{
    io,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use consensus::{Message, MessageKind};
use node::{PeerAddress, PeerInput, Peers, SnapshotImage};
use telemetry::line;
use tokio::{runtime, sync::oneshot};
use types::MemberId;

use crate::{
    config::Config,
    outgoing::{self, Image, Report},
    questions::Questions,
    server::Server,
    shared::Shared,
};

/// Threads that read and write snapshot files.
const BLOCKING_THREADS_MAX: usize = 8;
/// Tasks may take this long to notice that it is over.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Carries messages to the other members; stops when it is dropped.
pub struct Transport {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Transport {
    /// Starts the thread; it speaks with nobody before [`Peers::set_peers`].
    ///
    /// # Errors
    /// When a thread or its runtime cannot be had.
    pub fn start(config: Config) -> io::Result<Transport> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .build()?;
        let shared = Arc::new(Shared::new(config, runtime.handle().clone()));
        let (stop, stopped) = oneshot::channel();
        let body = move || {
            // An error means that whoever would have said so is gone, which is the same.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_timeout(STOP_TIMEOUT);
        };
        let thread =
            std::thread::Builder::new().name("peers".into()).stack_size(proto::STACK_BYTES).spawn(body)?;
        Ok(Transport { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Answers what the others ask. It refuses everybody once the transport is gone.
    pub fn server(&self) -> Server {
        Server::new(Arc::clone(&self.shared))
    }

    /// Asks the others. Nobody answers any more once the transport is gone.
    pub fn questions(&self) -> Questions {
        Questions::new(Arc::clone(&self.shared))
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Sends a snapshot message with the file behind it, and reports how that ended.
    pub fn send_file(&mut self, message: Message, image: impl Image) {
        let to = MemberId(message.to);
        let report = Report::new(&self.shared, to);
        let Some(peer) = self.shared.peer(message.to) else {
            line!(Debug, "ignored snapshot send request; unknown remote peer target",
                "unknown-target-peer-id" => to.to_string());
            return;
        };
        let sending = outgoing::send(Arc::clone(&self.shared), Arc::clone(&peer), message, image, report);
        peer.own([self.shared.runtime.spawn(sending).abort_handle()]);
    }
}

impl Peers for Transport {
    fn send(&mut self, messages: Vec<Message>) {
        let mut dropped = Vec::new();
        for message in messages {
            let to = MemberId(message.to);
            if message.kind == MessageKind::Snapshot {
                // A file belongs to it, which only `send_snapshot` has.
                drop(Report::new(&self.shared, to));
                continue;
            }
            let Some(receiver) = self.shared.receiver(message.to) else {
                line!(Debug, "ignored message send request; unknown remote peer target",
                    "type" => message.kind.to_string(), "unknown-target-peer-id" => to.to_string());
                continue;
            };
            if !receiver.send(message) && !dropped.contains(&to) {
                dropped.push(to);
            }
        }
        for to in dropped {
            (self.shared.config.deliver)(PeerInput::Unreachable(to));
        }
    }

    fn send_snapshot(&mut self, message: Message, file: SnapshotImage) {
        self.send_file(message, file);
    }

    fn set_peers(&mut self, others: Vec<PeerAddress>) {
        self.shared.set_peers(others);
    }

    fn set_removed(&mut self, ids: Vec<MemberId>) {
        self.shared.set_removed(ids);
    }

    fn active_since(&self, id: MemberId) -> Option<Instant> {
        self.shared.peer(id.0)?.status.active_since()
    }

    fn server_version(&self, id: MemberId) -> Option<String> {
        self.shared.peer(id.0)?.status.version()
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.shared.stop();
        // Refused when the thread has ended already.
        let _ = self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}
