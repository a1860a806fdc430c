//! What the members agree on about themselves, and how entries change it.

use std::collections::{BTreeMap, BTreeSet};

use proto::{membershippb, raftpb};
use types::{MemberId, Write, raft::ConfState};

use crate::{
    Change, ClusterError, ConfChange, Downgrade, DowngradeRejection, Member, Rejection, Rows, Version,
    parse_downgrade_target,
    rows::{downgrade_row, member_row, removal_rows, version_row},
};

/// The cluster as replicated state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// `--max-learners`; must be equal on all members.
    learners_max: usize,
    /// By id. Invariant: disjoint from `removed`, and the peer URLs of members are disjoint.
    pub(crate) members: BTreeMap<MemberId, Member>,
    /// Ids that can never return.
    pub(crate) removed: BTreeSet<MemberId>,
    /// The minor version that every member speaks; unknown until the first leader has set it.
    pub(crate) version: Option<Version>,
    downgrade: Downgrade,
}

/// A conf change took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What changed: the caller tells raft and its connections to peers.
    pub change: Change,
    /// To be written.
    pub writes: Vec<Write>,
}

/// The cluster version was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSet {
    /// What it was before.
    pub previous: Option<Version>,
    /// What it is now.
    pub version: Version,
    /// To be written.
    pub writes: Vec<Write>,
}

impl VersionSet {
    /// Whether it went down: the caller then makes a disk snapshot at once (contract/semantics.md 9.10).
    pub fn lowered(&self) -> bool {
        self.previous.is_some_and(|previous| self.version < previous)
    }
}

impl Cluster {
    /// An empty cluster: before bootstrap, or of a member that joins a running one.
    pub fn new(learners_max: usize) -> Cluster {
        Cluster { learners_max, ..Cluster::default() }
    }

    /// The cluster of the rows of a backend.
    ///
    /// # Errors
    /// `Corrupt` for a row that etcd does not write.
    pub fn restore(learners_max: usize, rows: &Rows) -> Result<Cluster, ClusterError> {
        Ok(Cluster {
            learners_max,
            members: rows.parse_members()?,
            removed: rows.parse_removed()?,
            version: rows.parse_version()?,
            downgrade: rows.parse_downgrade()?,
        })
    }

    /// Whether a binary of version `server` may serve this cluster (contract/semantics.md 14.17).
    ///
    /// # Errors
    /// `ServerTooOld`; `Rejected(TooManyLearners)` when there are more learners than this member allows.
    pub fn check(&self, server: Version) -> Result<(), ClusterError> {
        if self.learners().count() > self.learners_max {
            return Err(Rejection::TooManyLearners.into());
        }
        self.version.map_or(Ok(()), |cluster| check_server(server, cluster))
    }
}

// Changes by entries. The rows that a state was restored from hold the effect of every entry up to the
// consistent index, so entries at or below it are not applied again (etcd runs three kinds of them once more in
// memory, which ends in the same state: contract/semantics.md 14.18).
impl Cluster {
    /// Whether a conf change can be applied now, and what it says. Changes nothing.
    ///
    /// # Errors
    /// `Rejected`: apply a conf change with node id 0 to raft and tell the proposer. `Malformed`: stop.
    pub fn validate(&self, wire: &raftpb::ConfChange) -> Result<ConfChange, ClusterError> {
        // Before the context is looked at, as upstream does: a removed id is refused whatever it says.
        if self.removed.contains(&MemberId(wire.node_id.unwrap_or(0))) {
            return Err(Rejection::IdRemoved.into());
        }
        let conf_change = ConfChange::from_wire(wire)?;
        let known = self.members.get(&conf_change.node_id);
        match (&conf_change.change, known) {
            (Change::Add(_), Some(_)) => return Err(Rejection::IdExists.into()),
            (Change::Add(member), None) => {
                self.check_unused(&member.peer_urls, None)?;
                // Upstream counts only what both raft and membership take for a learner.
                let learners = self.learners().count() + 1;
                if member.is_learner && conf_change.adds_learner && learners > self.learners_max {
                    return Err(Rejection::TooManyLearners.into());
                }
            }
            (Change::Promote(_) | Change::Remove(_) | Change::Update { .. }, None) => {
                return Err(Rejection::IdNotFound.into());
            }
            (Change::Promote(_), Some(member)) if !member.is_learner => {
                return Err(Rejection::NotLearner.into());
            }
            (Change::Update { peer_urls, .. }, Some(member)) => {
                self.check_unused(peer_urls, Some(member.id))?;
            }
            (Change::Promote(_) | Change::Remove(_), Some(_)) => {}
        }
        Ok(conf_change)
    }

    /// Applies a conf change entry.
    ///
    /// # Errors
    /// As [`Cluster::validate`], and `Malformed` when entry and context name different members; nothing
    /// changed then.
    pub fn change(&mut self, wire: &raftpb::ConfChange) -> Result<Changed, ClusterError> {
        let change = self.validate(wire)?.into_change()?;
        let writes = match &change {
            Change::Add(member) => {
                self.members.insert(member.id, member.clone());
                vec![member_row(member)]
            }
            Change::Promote(id) => self.edit(*id, |member| member.is_learner = false),
            Change::Update { id, peer_urls } => {
                self.edit(*id, |member| member.peer_urls.clone_from(peer_urls))
            }
            Change::Remove(id) => {
                self.members.remove(id);
                self.removed.insert(*id);
                removal_rows(*id)
            }
        };
        Ok(Changed { change, writes })
    }

    /// Records the name and client URLs that a member published. For a removed member nothing changes.
    ///
    /// # Errors
    /// `UnknownMember` when the id was never a member, `Malformed` without attributes.
    pub fn set_attributes(
        &mut self,
        request: &membershippb::ClusterMemberAttrSetRequest,
    ) -> Result<Vec<Write>, ClusterError> {
        let Some(attributes) = &request.member_attributes else {
            return Err(ClusterError::Malformed("member attributes are missing".to_owned()));
        };
        let id = MemberId(request.member_id);
        if !self.members.contains_key(&id) && !self.removed.contains(&id) {
            return Err(ClusterError::UnknownMember(id));
        }
        Ok(self.edit(id, |member| {
            member.name.clone_from(&attributes.name);
            member.client_urls.clone_from(&attributes.client_urls);
        }))
    }

    /// Sets the cluster version, on a member whose binary has version `server`.
    ///
    /// # Errors
    /// `Malformed` for a text that is no version, `ServerTooOld` when this binary is older than that; nothing
    /// changed then.
    pub fn set_version(
        &mut self,
        request: &membershippb::ClusterVersionSetRequest,
        server: Version,
    ) -> Result<VersionSet, ClusterError> {
        let version: Version = request.ver.parse().map_err(|error: crate::VersionError| {
            ClusterError::Malformed(format!("cluster version: {error}"))
        })?;
        check_server(server, version)?;
        let previous = self.version.replace(version);
        Ok(VersionSet { previous, version, writes: vec![version_row(version)] })
    }

    /// Starts or cancels a downgrade.
    pub fn set_downgrade(&mut self, request: &membershippb::DowngradeInfoSetRequest) -> Vec<Write> {
        self.downgrade = if request.enabled {
            Downgrade { target: request.ver.clone(), enabled: true }
        } else {
            Downgrade::default()
        };
        vec![downgrade_row(&self.downgrade)]
    }

    /// Changes a member and returns its row; without such a member nothing happens.
    fn edit(&mut self, id: MemberId, change: impl FnOnce(&mut Member)) -> Vec<Write> {
        let Some(member) = self.members.get_mut(&id) else { return Vec::new() };
        change(member);
        vec![member_row(member)]
    }

    /// Whether no member but `except` has one of these peer URLs.
    fn check_unused(&self, peer_urls: &[String], except: Option<MemberId>) -> Result<(), Rejection> {
        let mut others = self.members.values().filter(|member| Some(member.id) != except);
        let used = others.any(|member| member.peer_urls.iter().any(|url| peer_urls.contains(url)));
        if used { Err(Rejection::PeerUrlExists) } else { Ok(()) }
    }
}

// Questions.
impl Cluster {
    /// All members, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Members with a vote, by id.
    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members().filter(|member| !member.is_learner)
    }

    /// Members without a vote, by id.
    pub fn learners(&self) -> impl Iterator<Item = &Member> {
        self.members().filter(|member| member.is_learner)
    }

    /// The member with that id.
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// Whether that id was a member once and is no more.
    pub fn is_removed(&self, id: MemberId) -> bool {
        self.removed.contains(&id)
    }

    /// Ids that were members once, in order.
    pub fn removed(&self) -> impl Iterator<Item = MemberId> {
        self.removed.iter().copied()
    }

    /// The configuration that raft starts from (contract/semantics.md 14.16).
    pub fn conf_state(&self) -> ConfState {
        ConfState {
            voters: self.voters().map(|member| member.id.0).collect(),
            learners: self.learners().map(|member| member.id.0).collect(),
            ..ConfState::default()
        }
    }

    /// The cluster version; `None` until the first leader has set it.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// The downgrade that is under way, or none.
    pub fn downgrade(&self) -> &Downgrade {
        &self.downgrade
    }

    /// Whether adding a voter leaves enough started voters for the new quorum. One started voter alone may
    /// always add another (contract/semantics.md 8.3).
    pub fn may_add_voter(&self) -> bool {
        let (voters, started) = self.count_voters(None);
        (started == 1 && voters == 1) || started >= quorum(voters + 1)
    }

    /// Whether removing voter `id` leaves enough started voters for the new quorum.
    pub fn may_remove_voter(&self, id: MemberId) -> bool {
        let (voters, started) = self.count_voters(Some(id));
        started >= quorum(voters)
    }

    /// Whether promoting a learner, which counts as started, leaves enough started voters for the new quorum.
    pub fn may_promote(&self) -> bool {
        let (voters, started) = self.count_voters(None);
        started + 1 >= quorum(voters + 1)
    }

    /// Voters other than `except`, and how many of them have started.
    fn count_voters(&self, except: Option<MemberId>) -> (usize, usize) {
        let voters = || self.voters().filter(|member| Some(member.id) != except);
        (voters().count(), voters().filter(|member| member.is_started()).count())
    }

    /// Judges the target of a downgrade request, after a read barrier (contract/semantics.md 9.10).
    ///
    /// # Errors
    /// See [`DowngradeRejection`].
    pub fn validate_downgrade(&self, target: &str) -> Result<Version, DowngradeRejection> {
        let target = parse_downgrade_target(target)?;
        let version = self.version.ok_or(DowngradeRejection::ClusterVersionUnavailable)?;
        if Some(target) != version.downgrade_target() {
            return Err(DowngradeRejection::InvalidTarget);
        }
        if self.downgrade.enabled {
            return Err(DowngradeRejection::InProcess);
        }
        Ok(target)
    }

    /// What the leader should set the cluster version to, given the servers' versions (`None` for one that
    /// could not be asked); `None` to leave it (contract/semantics.md 8.14, 9.10).
    pub fn next_version(&self, servers: &[Option<Version>]) -> Option<Version> {
        let all: Option<Vec<Version>> = servers.iter().copied().collect();
        let lowest = all.and_then(|versions| versions.into_iter().min());
        let Some(version) = self.version else {
            return Some(lowest.map_or(Version::MIN_CLUSTER, Version::minor_only));
        };
        let lowest = lowest?;
        if self.downgrade.enabled {
            let target = self.downgrade.target_version()?;
            let reachable =
                Some(target) == version.downgrade_target() && Some(target) == lowest.downgrade_target();
            return reachable.then_some(target);
        }
        (version < lowest && version.may_become(lowest)).then(|| lowest.minor_only())
    }
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// The cluster version may not be above the binary's minor.
fn check_server(server: Version, cluster: Version) -> Result<(), ClusterError> {
    let server = server.minor_only();
    if server < cluster { Err(ClusterError::ServerTooOld { server, cluster }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
