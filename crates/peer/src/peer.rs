//! One other member: its addresses, its queues, whether it can be reached.

use std::sync::{Mutex, PoisonError};

use consensus::{Message, MessageKind};
use telemetry::{line, metrics};
use tokio::task::AbortHandle;
use types::MemberId;

use crate::{
    Stream,
    queue::{Pushed, Queue},
    status::Status,
    urls::Picker,
};

/// Messages that wait for a stream.
const STREAM_MESSAGES_MAX: usize = 4096;
/// Bytes of them. Etcd has no such bound; its leader has at most 512 appends of a MiB on the way.
const STREAM_BYTES_MAX: usize = 128 << 20;
/// Messages that wait for a request of their own.
const PIPELINE_MESSAGES_MAX: usize = 64;
const PIPELINE_BYTES_MAX: usize = 64 << 20;

/// Another member.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: MemberId,
    local: MemberId,
    pub(crate) picker: Picker,
    pub(crate) status: Status,
    msgapp: Queue,
    message: Queue,
    pub(crate) pipeline: Queue,
    tasks: Mutex<Vec<AbortHandle>>,
    probes: Mutex<Vec<AbortHandle>>,
}

impl Peer {
    pub(crate) fn new(local: MemberId, id: MemberId, picker: Picker) -> Peer {
        Peer {
            id,
            local,
            picker,
            status: Status::new(local, id),
            msgapp: Queue::new(STREAM_MESSAGES_MAX, STREAM_BYTES_MAX),
            message: Queue::new(STREAM_MESSAGES_MAX, STREAM_BYTES_MAX),
            pipeline: Queue::new(PIPELINE_MESSAGES_MAX, PIPELINE_BYTES_MAX),
            tasks: Mutex::default(),
            probes: Mutex::default(),
        }
    }

    pub(crate) fn queue(&self, stream: Stream) -> &Queue {
        match stream {
            Stream::MsgApp => &self.msgapp,
            Stream::Message => &self.message,
        }
    }

    /// Tasks that end with the peer.
    pub(crate) fn own(&self, tasks: impl IntoIterator<Item = AbortHandle>) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).extend(tasks);
    }

    /// Tasks that end with its addresses.
    pub(crate) fn own_probes(&self, tasks: impl IntoIterator<Item = AbortHandle>) {
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        probes.drain(..).for_each(|task| task.abort());
        probes.extend(tasks);
    }

    /// Hangs up for good.
    pub(crate) fn stop(&self) {
        for tasks in [&self.tasks, &self.probes] {
            tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|task| task.abort());
        }
        [&self.msgapp, &self.message, &self.pipeline].into_iter().for_each(Queue::close);
    }

    /// Queues a message where it goes best; `false` when there was no room.
    pub(crate) fn send(&self, message: Message) -> bool {
        let kind = message.kind;
        let mut message = message;
        let ways =
            [(&self.msgapp, "streamMsgAppV2"), (&self.message, "streamMsg"), (&self.pipeline, "pipeline")];
        let skipped = usize::from(kind != MessageKind::Append);
        for (queue, name) in ways.into_iter().skip(skipped) {
            match queue.push(message) {
                Pushed::Taken => return true,
                Pushed::Closed(back) => message = back,
                Pushed::Full => {
                    line!(Warn, "dropped internal Raft message since sending buffer is full",
                        "message-type" => kind.to_string(), "local-member-id" => self.local.to_string(),
                        "remote-peer-id" => self.id.to_string(), "remote-peer-name" => name,
                        "remote-peer-active" => self.status.active_since().is_some());
                    break;
                }
            }
        }
        self.count_failure();
        false
    }

    pub(crate) fn count_failure(&self) {
        metrics().network_peer_sent_failures_total.with(&[&self.id.to_string()]).inc();
    }

    pub(crate) fn count_sent(&self, bytes: u64) {
        metrics().network_peer_sent_bytes_total.with(&[&self.id.to_string()]).add(bytes);
    }
}
