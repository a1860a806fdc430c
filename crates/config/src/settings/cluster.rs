//! The cluster.

use super::discovery::Discovery;
use crate::url::Url;

/// The cluster that a member belongs to. All but the URLs and `learners_max` counts only for a member without data;
/// what must hold then is up to the crate `cluster`.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Peer URLs that this member announces.
    pub advertise_peer: Vec<Url>,
    /// Client URLs that this member announces.
    pub advertise_client: Vec<Url>,
    /// `name=url,name=url`, as given or as it follows from the name.
    pub initial: String,
    /// Whether to start or to join.
    pub state: ClusterState,
    /// Mixed into the ids of a new cluster.
    pub token: String,
    /// How the others are found.
    pub discovery: Discovery,
    /// Refuse changes of membership that would lose quorum.
    pub strict_reconfig_check: bool,
    /// Learners that the cluster may have.
    pub learners_max: usize,
}

/// Whether to start or to join a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// Start.
    New,
    /// Join.
    Existing,
}
