//! The other members, as the core meets them: messages out, messages in.

use consensus::{Message, MessageKind};
use telemetry::line;
use types::{MemberId, raft::Snapshot};

use super::{Core, change_queue::asks_for_change, maintenance::AfterFlush, persist::Held};
use crate::{api::SnapshotImage, peers::PeerInput};

impl Core {
    pub(super) fn send_to_peers(&mut self, messages: Vec<Message>) {
        let (snapshots, messages): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| message.kind == MessageKind::Snapshot);
        if !messages.is_empty() {
            self.peers.send(messages);
        }
        for message in snapshots {
            // With everything that is applied now: what raft has in memory may be older than its configuration.
            self.after_flush(AfterFlush::PeerSnapshot(Box::new(message)));
        }
    }

    /// Sends the file as it is, whatever index raft had in mind.
    pub(super) fn send_snapshot(&mut self, mut message: Message) {
        let Held { meta, membership: data } = self.persist.held().clone();
        let to = MemberId(message.to);
        let version = self.state.storage_version().map(|v| v.to_string()).unwrap_or_default();
        match self.persist.committed.image() {
            Ok(image) => {
                message.snapshot = Some(Box::new(Snapshot { meta, data }));
                self.peers.send_snapshot(message, SnapshotImage::new(image, version));
            }
            Err(error) => {
                line!(Warn, "cannot read the database for a snapshot",
                    "to" => to.to_string(), "error" => error.to_string());
                self.raft.report_snapshot(to.0, false);
            }
        }
    }

    pub(super) fn peer_input(&mut self, input: PeerInput) {
        match input {
            PeerInput::Messages(messages) => messages.into_iter().for_each(|message| self.step(message)),
            PeerInput::Unreachable(id) => self.raft.report_unreachable(id.0),
            PeerInput::SnapshotSent { to, delivered } => self.raft.report_snapshot(to.0, delivered),
            PeerInput::Turn(turn) => drop(turn),
        }
    }

    fn step(&mut self, message: Message) {
        if asks_for_change(&message) {
            self.queue_passed_change(message);
        } else {
            self.step_or_hold(message);
        }
    }

    pub(super) fn step_now(&mut self, message: Message) {
        use consensus::Error;
        let stepped = self.raft.step(message);
        if !self.is_leader() && self.state.leases().is_primary() {
            // Now, not at the next ready: what comes after this in the same turn must not find a lease to renew.
            self.state.leases_mut().demote();
        }
        match stepped {
            // Whoever asked for what was dropped will ask again, or be told that his time is up.
            Ok(()) | Err(Error::ProposalDropped | Error::UnknownPeer) => {}
            Err(error @ (Error::Diverged(_) | Error::Store(_))) => {
                self.fault(format!("raft cannot go on: {error}"));
            }
            Err(error @ (Error::Malformed { .. } | Error::ConfChange(_))) => {
                line!(Warn, "dropped a message that no correct member sends", "error" => error.to_string());
            }
        }
    }
}
