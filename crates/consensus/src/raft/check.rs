//! What no correct member sends is refused before it can do harm.

use types::raft::Entry;

use crate::{
    Error, Message, MessageKind,
    message::{INDEX_MAX, NO_NODE, RESERVED_IDS},
};

/// Checks a message from the network to the member `own`.
pub(super) fn remote(message: &Message, own: u64) -> Result<(), Error> {
    let refuse = |what| refusal(message, what);
    if message.from == NO_NODE || RESERVED_IDS.contains(&message.from) {
        return refuse("a reserved sender");
    }
    // A forwarded request may come back to where it began, and belongs to no term.
    if !message.kind.is_forwarded_request() {
        if message.from == own {
            return refuse("itself as sender");
        }
        if message.term == 0 {
            return refuse("no term");
        }
    }
    match message.kind {
        MessageKind::Propose | MessageKind::ReadIndex if message.entries.is_empty() => refuse("no entry"),
        // A forwarded request that carries a term would depose leaders.
        MessageKind::Propose | MessageKind::ReadIndex if message.term != 0 => refuse("a term"),
        MessageKind::Append => match entries_fit(message) {
            true => Ok(()),
            false => refuse("entries that do not follow each other"),
        },
        MessageKind::Snapshot => match snapshot_fits(message) {
            true => Ok(()),
            false => refuse("an impossible snapshot"),
        },
        MessageKind::Propose
        | MessageKind::ReadIndex
        | MessageKind::TransferLeader
        | MessageKind::AppendResp
        | MessageKind::Vote
        | MessageKind::VoteResp
        | MessageKind::Heartbeat
        | MessageKind::HeartbeatResp
        | MessageKind::TimeoutNow
        | MessageKind::ReadIndexResp
        | MessageKind::PreVote
        | MessageKind::PreVoteResp => Ok(()),
    }
}

/// Checks a message of the member `own` to itself.
pub(super) fn own(message: &Message, own: u64) -> Result<(), Error> {
    // A node votes for itself and has what it appends: it never refuses itself.
    if message.from != own || message.reject || !message.kind.needs_durable_state() {
        return refusal(message, "not a message to itself");
    }
    Ok(())
}

fn refusal(message: &Message, what: &'static str) -> Result<(), Error> {
    Err(Error::Malformed { kind: message.kind, from: message.from, what })
}

/// Indexes follow the previous entry without gap, terms never fall, and none is above the leader's own.
fn entries_fit(message: &Message) -> bool {
    let count = message.entries.len() as u64;
    let fits = |(term, index): (u64, u64), entry: &Entry| {
        let follows = entry.index == index + 1 && entry.term >= term;
        follows.then_some((entry.term, entry.index))
    };
    message.index.saturating_add(count) <= INDEX_MAX
        && message
            .entries
            .iter()
            .try_fold((message.log_term, message.index), fits)
            .is_some_and(|(term, _)| term <= message.term)
}

/// A snapshot of nothing is harmless; any other stands at an index and a term that the leader can have.
fn snapshot_fits(message: &Message) -> bool {
    let Some(snapshot) = &message.snapshot else { return true };
    let (index, term) = (snapshot.meta.index, snapshot.meta.term);
    index == 0 || index <= INDEX_MAX && (1..=message.term).contains(&term)
}
