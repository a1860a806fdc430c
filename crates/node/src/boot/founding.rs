//! What a member begins with that has no log yet: the ids and first entries of a new cluster, or the ids that a running
//! cluster has given it (contract/semantics.md 8.9).

use cluster::{InitialCluster, bootstrap_entries, cluster_id};
use types::{
    MemberId,
    mutant::{self, Mutant},
    raft::Entry,
};
use wal::Metadata;

use super::BootError;
use crate::{
    config::{Config, RunningCluster},
    peers::PeerAddress,
};

/// Whether there is a way to other members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Company {
    /// None: whoever needs others cannot begin.
    Alone,
    /// There is.
    Others,
}

/// See the module.
pub(super) struct Founding {
    pub(super) metadata: Metadata,
    /// Committed at once; none for a member that joins.
    pub(super) entries: Vec<Entry>,
    /// The members of the running cluster that this one joins.
    pub(super) joined: Vec<PeerAddress>,
}

fn refuse<T>(what: impl ToString) -> Result<T, BootError> {
    Err(BootError::InitialCluster(what.to_string()))
}

impl Founding {
    /// What the settings say.
    ///
    /// # Errors
    /// `InitialCluster`.
    pub(super) fn of(config: &Config, company: Company) -> Result<Founding, BootError> {
        let running = match (&config.running_cluster, company) {
            _ if !config.join_existing => None,
            (Some(running), Company::Others) => Some(running),
            (Some(_), Company::Alone) | (None, _) => {
                return refuse(
                    "--initial-cluster-state=existing: joining a running cluster is not supported by this version",
                );
            }
        };
        let cluster = InitialCluster::parse(&config.initial_cluster)
            .map_err(|e| BootError::InitialCluster(e.to_string()))?;
        cluster.check(&config.name).map_err(|e| BootError::InitialCluster(e.to_string()))?;
        if let Some(mismatch) = cluster.advertise_mismatch(&config.name, &config.advertise_peer_urls, "") {
            return refuse(mismatch);
        }
        if cluster.len() > 1 && company == Company::Alone {
            return refuse(format!(
                "--initial-cluster names {} members; this version forms clusters of one only",
                cluster.len()
            ));
        }
        let members = cluster
            .members(&config.initial_cluster_token)
            .map_err(|e| BootError::InitialCluster(e.to_string()))?;
        match running {
            Some(running) => Founding::joining(config, running, members),
            None => {
                let ids = members.iter().map(|member| member.id);
                let metadata = Metadata { node_id: local(config, &members).id, cluster_id: cluster_id(ids) };
                check_new(config, metadata.node_id)?;
                Ok(Founding { metadata, entries: bootstrap_entries(&members), joined: Vec::new() })
            }
        }
    }

    fn joining(
        config: &Config,
        running: &RunningCluster,
        members: Vec<cluster::Member>,
    ) -> Result<Founding, BootError> {
        let theirs: Vec<cluster::Member> = running
            .members
            .iter()
            .map(|member| cluster::Member {
                id: member.id,
                peer_urls: member.urls.clone(),
                ..cluster::Member::default()
            })
            .collect();
        let assigned = cluster::assign_ids(&theirs, members, same_urls)
            .map_err(|e| BootError::InitialCluster(e.to_string()))?;
        let metadata = Metadata { node_id: local(config, &assigned).id, cluster_id: running.id };
        check_new(config, metadata.node_id)?;
        Ok(Founding { metadata, entries: Vec::new(), joined: running.members.clone() })
    }

    /// For a log that was made, and has nothing in it: it keeps its ids.
    ///
    /// # Errors
    /// `Mismatch` when the settings describe another member; as [`Founding::of`].
    pub(super) fn again(
        config: &Config,
        company: Company,
        metadata: Metadata,
    ) -> Result<Founding, BootError> {
        if config.join_existing && config.running_cluster.is_none() && company == Company::Others {
            // The others know this member, and come to it by themselves.
            return Ok(Founding { metadata, entries: Vec::new(), joined: Vec::new() });
        }
        let founding = Founding::of(config, company)?;
        let expected = founding.metadata;
        if expected == metadata {
            return Ok(founding);
        }
        Err(BootError::Mismatch(format!(
            "the log in {} is empty and belongs to member {} of cluster {}, but the flags describe member {} of cluster {}; remove the empty directory to start anew",
            config.wal_dir().display(),
            metadata.node_id,
            metadata.cluster_id,
            expected.node_id,
            expected.cluster_id
        )))
    }
}

/// Refuses a member that the others have seen running: it had a log, which is gone. It would vote again in terms in
/// which it has voted, and count as having what it lost.
fn check_new(config: &Config, id: MemberId) -> Result<(), BootError> {
    let known = |running: &RunningCluster| running.started.contains(&id);
    if config.running_cluster.as_ref().is_some_and(known) && !mutant::is_on(Mutant::LostDiskRejoins) {
        return refuse(format!(
            "member {id} has already been bootstrapped, and its data directory is empty: remove it from the cluster by the API of another member and add it anew, which gives it a new id"
        ));
    }
    Ok(())
}

fn local<'a>(config: &Config, members: &'a [cluster::Member]) -> &'a cluster::Member {
    members.iter().find(|member| member.name == config.name).expect("the name is in the initial cluster")
}

/// Whether two lists name the same addresses, as texts: names are not resolved.
fn same_urls(one: &[String], other: &[String]) -> Result<(), String> {
    let sorted = |urls: &[String]| {
        let mut urls = urls.to_vec();
        urls.sort_unstable();
        urls
    };
    match sorted(one) == sorted(other) {
        true => Ok(()),
        false => Err(format!("{:?} are not {:?}", sorted(one), sorted(other))),
    }
}
