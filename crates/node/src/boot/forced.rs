//! `--force-new-cluster`: this member goes on alone, with its data and its ids (contract/semantics.md 8.10).
//!
//! What was not known to be committed is dropped, since the others may have replaced it; conf changes that nobody
//! voted for take all others out. They are in the log and durable before raft sees them.

use std::collections::BTreeSet;

use cluster::forced_entries;
use prost::Message;
use proto::raftpb::{self, ConfChangeType};
use state::State;
use telemetry::line;
use types::{
    MemberId,
    raft::{Entry, EntryKind, HardState},
};
use wal::{Metadata, Wal};

use super::BootError;

/// Cuts the log at its commit index and appends what takes the others out. `entries` begin above the log's start;
/// the hard state's commit is at least what the database holds.
///
/// # Errors
/// `Wal`; `Mismatch` for a conf change that cannot be read.
pub(super) fn forget_others(
    wal: &mut Wal,
    state: &State,
    metadata: Metadata,
    hard_state: HardState,
    entries: &mut Vec<Entry>,
) -> Result<HardState, BootError> {
    entries.retain(|entry| entry.index <= hard_state.commit);
    let known = state.cluster().members().map(|member| member.id).collect();
    let unapplied = entries.iter().filter(|entry| entry.index > state.applied());
    let ids: Vec<MemberId> = members_after(known, unapplied)?.into_iter().collect();
    let changes = forced_entries(&ids, metadata.node_id, hard_state.term, hard_state.commit);
    let commit = changes.last().map_or(hard_state.commit, |entry| entry.index);
    let forced = HardState { commit, ..hard_state };
    if !changes.is_empty() {
        wal.append(&changes, forced)?;
        wal.sync()?;
        wal.sync_side();
        entries.extend(changes);
    }
    line!(Info, "forcing restart member",
        "cluster-id" => metadata.cluster_id.to_string(), "local-member-id" => metadata.node_id.to_string(),
        "wal-commit-index" => hard_state.commit, "commit-index" => commit);
    Ok(forced)
}

/// Voters and learners once the conf changes among `entries` are applied.
fn members_after<'a>(
    mut ids: BTreeSet<MemberId>,
    entries: impl Iterator<Item = &'a Entry>,
) -> Result<BTreeSet<MemberId>, BootError> {
    for entry in entries.filter(|entry| entry.kind == EntryKind::ConfChange) {
        let change = raftpb::ConfChange::decode(entry.data.clone()).map_err(|error| {
            BootError::Mismatch(format!(
                "the conf change at log index {} cannot be read: {error}",
                entry.index
            ))
        })?;
        let id = MemberId(change.node_id());
        match change.r#type() {
            ConfChangeType::ConfChangeAddNode | ConfChangeType::ConfChangeAddLearnerNode => {
                ids.insert(id);
            }
            ConfChangeType::ConfChangeRemoveNode => {
                ids.remove(&id);
            }
            ConfChangeType::ConfChangeUpdateNode => {}
        }
    }
    Ok(ids)
}
