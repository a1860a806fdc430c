//! The door to the other members: what the core needs of a transport. `peer` is one, the simulator another.

use std::{fmt, sync::Arc, time::Instant};

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

    /// Everybody who was ever removed: they are told so, and not listened to.
    fn set_removed(&mut self, _ids: Vec<MemberId>) {}

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
    /// Nothing for the core: everything handed over before it has been taken in when it is dropped.
    Turn(Turn),
}

/// Tells its maker when its last copy is gone. The queue to the core has no bound of its own, so a transport hands
/// over the next batch of a connection only when the turn behind the last one has come.
#[derive(Clone)]
pub struct Turn(Arc<OnDrop>);

struct OnDrop(Box<dyn Fn() + Send + Sync>);

impl Turn {
    /// A turn that calls `come` once it has come; `come` must not block.
    pub fn new(come: impl Fn() + Send + Sync + 'static) -> Turn {
        Turn(Arc::new(OnDrop(Box::new(come))))
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Turn) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
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
