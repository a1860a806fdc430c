//! The other members, as the core meets them: messages out, messages in.

use consensus::Message;
use telemetry::line;

use super::Core;
use crate::peers::PeerInput;

impl Core {
    pub(super) fn send_to_peers(&mut self, messages: Vec<Message>) {
        if !messages.is_empty() {
            self.peers.send(messages);
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
        use consensus::Error;
        match self.raft.step(message) {
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
