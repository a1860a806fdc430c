//! What members say to each other. Field for field `raftpb.Message`, without what never goes on the wire.

use std::fmt;

use bytes::Bytes;
use types::raft::{Entry, Snapshot};

/// The id that names nobody.
pub const NO_NODE: u64 = 0;

/// Ids that upstream reserves for its storage threads; no member may have them.
pub(crate) const RESERVED_IDS: [u64; 2] = [u64::MAX, u64::MAX - 1];

/// Highest index that a leader may claim. Far beyond what a cluster can reach, and far enough below the end of
/// the numbers that counting on from it never overflows.
pub(crate) const INDEX_MAX: u64 = 1 << 62;

/// The kinds of message that travel between members. Numbers are `raftpb.MessageType`'s; those missing here
/// are upstream's local inputs, which are methods of [`crate::RawNode`] and are refused from the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageKind {
    /// Proposals on their way to the leader.
    #[default]
    Propose = 2,
    /// Entries from the leader, after the position (`log_term`, `index`).
    Append = 3,
    /// `index` is what the follower has durably; or a rejection with a hint.
    AppendResp = 4,
    /// Request for a vote; (`log_term`, `index`) is the candidate's last entry.
    Vote = 5,
    /// A vote, or its refusal.
    VoteResp = 6,
    /// A raft snapshot for a follower that is too far behind.
    Snapshot = 7,
    /// Leader's sign of life; `context` numbers the reads that an answer confirms.
    Heartbeat = 8,
    /// Its answer, with the same `context`.
    HeartbeatResp = 9,
    /// Request to hand leadership to `from`.
    TransferLeader = 13,
    /// The leader tells its successor to campaign at once.
    TimeoutNow = 14,
    /// A read asks for an index; its name is the data of its one entry.
    ReadIndex = 15,
    /// The answer: `index`, and the request's entry.
    ReadIndexResp = 16,
    /// Would you vote for me in `term`?
    PreVote = 17,
    /// The answer.
    PreVoteResp = 18,
}

impl MessageKind {
    /// All of them.
    pub const ALL: [MessageKind; 14] = [
        MessageKind::Propose,
        MessageKind::Append,
        MessageKind::AppendResp,
        MessageKind::Vote,
        MessageKind::VoteResp,
        MessageKind::Snapshot,
        MessageKind::Heartbeat,
        MessageKind::HeartbeatResp,
        MessageKind::TransferLeader,
        MessageKind::TimeoutNow,
        MessageKind::ReadIndex,
        MessageKind::ReadIndexResp,
        MessageKind::PreVote,
        MessageKind::PreVoteResp,
    ];

    /// The `raftpb.MessageType`.
    pub fn number(self) -> i32 {
        self as i32
    }

    /// The kind of a `raftpb.MessageType`; `None` for local inputs and numbers that do not exist.
    pub fn from_number(number: i32) -> Option<MessageKind> {
        MessageKind::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Whether it answers a request, so that a sender outside the configuration means nothing.
    pub fn is_response(self) -> bool {
        use MessageKind::{AppendResp, HeartbeatResp, PreVoteResp, ReadIndexResp, VoteResp};
        matches!(self, AppendResp | VoteResp | HeartbeatResp | ReadIndexResp | PreVoteResp)
    }

    /// Whether only a leader sends it, to followers of its term.
    pub(crate) fn is_from_leader(self) -> bool {
        matches!(self, MessageKind::Append | MessageKind::Heartbeat | MessageKind::Snapshot)
    }

    /// Whether it promises something that must be durable before it leaves.
    pub(crate) fn needs_durable_state(self) -> bool {
        matches!(self, MessageKind::AppendResp | MessageKind::VoteResp | MessageKind::PreVoteResp)
    }

    /// Whether it is a forwarded request, which belongs to no term and keeps its first sender.
    pub(crate) fn is_forwarded_request(self) -> bool {
        matches!(self, MessageKind::Propose | MessageKind::ReadIndex | MessageKind::TransferLeader)
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MessageKind::Propose => "MsgProp",
            MessageKind::Append => "MsgApp",
            MessageKind::AppendResp => "MsgAppResp",
            MessageKind::Vote => "MsgVote",
            MessageKind::VoteResp => "MsgVoteResp",
            MessageKind::Snapshot => "MsgSnap",
            MessageKind::Heartbeat => "MsgHeartbeat",
            MessageKind::HeartbeatResp => "MsgHeartbeatResp",
            MessageKind::TransferLeader => "MsgTransferLeader",
            MessageKind::TimeoutNow => "MsgTimeoutNow",
            MessageKind::ReadIndex => "MsgReadIndex",
            MessageKind::ReadIndexResp => "MsgReadIndexResp",
            MessageKind::PreVote => "MsgPreVote",
            MessageKind::PreVoteResp => "MsgPreVoteResp",
        })
    }
}

/// One message. Fields that a kind does not use are zero or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: MessageKind,
    /// Receiver.
    pub to: u64,
    /// Sender; in forwarded requests the member where the request began.
    pub from: u64,
    /// The sender's term (in pre-votes: the term it would campaign for); 0 in forwarded requests.
    pub term: u64,
    /// Term of the entry at `index`; in a rejected [`MessageKind::AppendResp`] the term at `reject_hint`.
    pub log_term: u64,
    /// A log position; see the kinds.
    pub index: u64,
    /// Entries after `index`, proposals, or the name of a read.
    pub entries: Vec<Entry>,
    /// The sender's commit index, inclusive, as far as the receiver may use it.
    pub commit: u64,
    /// Only in [`MessageKind::Snapshot`].
    pub snapshot: Option<Box<Snapshot>>,
    /// Whether an answer is a refusal.
    pub reject: bool,
    /// Where the follower guesses that its log still agrees with the leader's.
    pub reject_hint: u64,
    /// Opaque to the receiver, or the mark of a campaign that follows a transfer of leadership.
    pub context: Bytes,
}

impl Message {
    /// A message of that kind to that member; the sender and its term are filled in when it is sent.
    pub(crate) fn new(kind: MessageKind, to: u64) -> Message {
        Message { kind, to, ..Message::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_local_inputs_are_refused() {
        for kind in MessageKind::ALL {
            assert_eq!(MessageKind::from_number(kind.number()), Some(kind));
        }
        for local in [0, 1, 10, 11, 12, 19, 20, 21, 22, 23, 24, -1] {
            assert_eq!(MessageKind::from_number(local), None);
        }
    }
}
