//! Proposals: from a request to entries of the leader's log.

use types::raft::{Entry, EntryKind};

use super::Leader;
use crate::{
    Error, LogStore, conf_change::ConfChangeV2, journal::note, log::payload_len_sum, message::NO_NODE,
    raft::core::Core,
};

impl Leader {
    /// Appends proposed entries and sends them on. A conf change that does not fit becomes an empty entry.
    ///
    /// # Errors
    /// `ProposalDropped` when this node was removed, hands leadership over, or has too much uncommitted;
    /// `ConfChange` when a conf change cannot be decoded.
    pub(super) fn propose<S: LogStore>(
        &mut self,
        core: &mut Core<S>,
        mut entries: Vec<Entry>,
    ) -> Result<(), Error> {
        let id = core.id();
        if !core.tracker.progress.contains_key(&id) {
            return Err(Error::ProposalDropped);
        }
        if self.transferee != NO_NODE {
            note!(
                core.journal,
                Debug,
                "{id:x} [term {}] transfer leadership to {:x} is in progress; dropping proposal",
                core.term,
                self.transferee
            );
            return Err(Error::ProposalDropped);
        }
        if entries.iter().any(|entry| entry.kind != EntryKind::Normal) {
            self.admit_conf_changes(core, &mut entries)?;
        }
        if !self.append(core, entries) {
            return Err(Error::ProposalDropped);
        }
        core.broadcast_append();
        Ok(())
    }

    /// Lets conf changes pass that fit the active configuration, and remembers the last one's place.
    fn admit_conf_changes<S: LogStore>(
        &mut self,
        core: &mut Core<S>,
        entries: &mut [Entry],
    ) -> Result<(), Error> {
        let changes: Vec<_> = entries.iter().map(ConfChangeV2::from_entry).collect::<Result<_, _>>()?;
        let first = core.log.last().index + 1;
        for ((index, entry), change) in (first..).zip(entries).zip(changes) {
            let Some(change) = change else { continue };
            match self.misfit(core, &change) {
                Some(why) if core.config.conf_change_validation => {
                    let (id, active) = (core.id(), &core.tracker.config);
                    note!(
                        core.journal,
                        Info,
                        "{id:x} ignoring conf change {change} at config {active}: {why}"
                    );
                    *entry = Entry::default();
                }
                _ => self.pending_conf_index = index,
            }
        }
        Ok(())
    }

    /// Why a conf change does not fit, as far as this node knows: its own application may lag behind.
    fn misfit<S: LogStore>(&self, core: &Core<S>, change: &ConfChangeV2) -> Option<String> {
        let applied = core.log.applied();
        let joint = core.tracker.config.voters.is_joint();
        let leaves_joint = change.changes.is_empty();
        if self.pending_conf_index > applied {
            let pending = self.pending_conf_index;
            Some(format!("possible unapplied conf change at index {pending} (applied to {applied})"))
        } else if joint && !leaves_joint {
            Some("must transition out of joint config first".to_string())
        } else if !joint && leaves_joint {
            Some("not in joint state; refusing empty conf change".to_string())
        } else {
            None
        }
    }

    /// Appends to the leader's own log; false when too much would be uncommitted. Entries without payload
    /// always go: a new leader's first one, and the one that ends a joint configuration.
    pub(super) fn append<S: LogStore>(&mut self, core: &mut Core<S>, mut entries: Vec<Entry>) -> bool {
        let payload = payload_len_sum(&entries);
        let total = self.uncommitted_bytes.saturating_add(payload);
        if self.uncommitted_bytes > 0 && payload > 0 && total > core.config.uncommitted_bytes_max {
            note!(
                core.journal,
                Warn,
                "{:x} appending new entries to log would exceed uncommitted entry size limit; dropping proposal",
                core.id()
            );
            return false;
        }
        self.uncommitted_bytes = total;
        let (term, first) = (core.term, core.log.last().index + 1);
        for (index, entry) in (first..).zip(&mut entries) {
            entry.term = term;
            entry.index = index;
        }
        core.log.append(entries, &mut core.journal);
        core.acknowledge_own_append();
        true
    }

    /// Proposes the empty change that ends a joint configuration. When it is dropped, because leadership is
    /// being handed over, the next applied entry brings the next attempt.
    pub(super) fn leave_joint<S: LogStore>(&mut self, core: &mut Core<S>) {
        let leave = Entry { kind: EntryKind::ConfChangeV2, ..Entry::default() };
        match self.propose(core, vec![leave]) {
            Ok(()) => note!(
                core.journal,
                Info,
                "initiating automatic transition out of joint configuration {}",
                core.tracker.config
            ),
            Err(error) => note!(
                core.journal,
                Debug,
                "not initiating automatic transition out of joint configuration {}: {error}",
                core.tracker.config
            ),
        }
    }
}
