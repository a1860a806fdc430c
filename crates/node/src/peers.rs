//! The door to the other members: what the core needs of a transport. `peer` is one, the simulator another.

use std::time::Instant;

use consensus::Message;
use types::MemberId;

use crate::api::SnapshotImage;

/// Another member and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Who.
    pub id: MemberId,
    /// Its peer URLs, any of which will do.
    pub urls: Vec<String>,
}

/// Carries messages to the other members. No call blocks: raft repeats what is lost.
///
/// What comes back from the network goes to [`NodeHandle::peer_input`](crate::NodeHandle::peer_input).
pub trait Peers: Send {
    /// Sends messages, in order to each receiver. What there is no room for is dropped, counted, and reported as
    /// unreachable.
    fn send(&mut self, messages: Vec<Message>);

    /// Sends a [`Snapshot`](consensus::MessageKind::Snapshot) message with the file that belongs to it. How that
    /// ended is reported in any case, once.
    fn send_snapshot(&mut self, message: Message, file: SnapshotImage);

    /// The others as the configuration names them now, this member left out. Whoever is not among them any more is
    /// hung up on.
    fn set_peers(&mut self, others: Vec<PeerAddress>);

    /// Since when messages to that member have gone through; `None` while they do not.
    fn active_since(&self, id: MemberId) -> Option<Instant>;

    /// The version `X.Y.Z` of that member's server as it last told it; `None` while it cannot be asked. The leader
    /// sets the version of the cluster by the lowest of them (contract/semantics.md 8.14).
    fn server_version(&self, _id: MemberId) -> Option<String> {
        None
    }
}

/// What comes back from the network.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerInput {
    /// Messages for this member, in the order of their arrival.
    Messages(Vec<Message>),
    /// Something for that member was dropped, or could not be delivered.
    Unreachable(MemberId),
    /// That member has the whole snapshot; otherwise it could not be delivered.
    SnapshotSent {
        /// Who was to get it.
        to: MemberId,
        /// Whether all of it was taken.
        delivered: bool,
    },
}

/// Nobody else: a cluster of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Peers for Alone {
    fn send(&mut self, _: Vec<Message>) {}

    fn send_snapshot(&mut self, _: Message, _: SnapshotImage) {}

    fn set_peers(&mut self, _: Vec<PeerAddress>) {}

    fn active_since(&self, _: MemberId) -> Option<Instant> {
        None
    }
}
