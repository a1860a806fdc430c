//! Everything that can happen to the core thread, in one closed list.

use std::sync::Arc;

use proto::etcdserverpb::WatchRequest;

use crate::{
    api::{
        Caller,
        call::Request,
        mailbox::Mailbox,
        port::{Letter, SlotId},
        range_reply::RangeId,
        watch::StreamId,
    },
    backend_thread::BackendDone,
    log_thread::LogDone,
    peers::PeerInput,
    reader_thread::ReadDone,
};

/// The way back to a port.
pub(crate) type ReplyBox = Arc<Mailbox<Letter>>;

/// An input of the core thread.
#[derive(Debug)]
pub(crate) enum Input {
    /// A network thread asks.
    Call { mailbox: ReplyBox, slot: SlotId, caller: Caller, request: Request },
    /// A network thread opened a watch stream.
    WatchOpened { mailbox: ReplyBox, stream: StreamId, caller: Caller },
    /// A request on an open watch stream.
    Watch { stream: StreamId, request: WatchRequest },
    /// The network took the next frames of a stream.
    WatchTaken { stream: StreamId, frames: usize },
    /// The stream is gone.
    WatchClosed { stream: StreamId },
    /// Nobody wants the rest of a large range any more.
    RangeDropped(RangeId),
    /// A row that a network thread was about to send cannot be read.
    ReadFailed(String),
    /// A network thread has a door from now on.
    PortOpened(ReplyBox),
    /// The log thread finished a batch.
    Log(LogDone),
    /// The backend thread finished a job.
    Backend(BackendDone),
    /// A reader finished a job.
    Read(ReadDone),
    /// The other members, or the way to them.
    Peer(PeerInput),
    /// Another member says that this one is no member any more.
    Removed,
    /// Stop gracefully.
    Stop,
}
