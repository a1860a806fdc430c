//! What a member tells the cluster about itself, and what a leader sets for all: attributes, cluster version.

use std::sync::mpsc::SyncSender;

use cluster::Version;
use proto::{
    etcdserverpb::InternalRaftRequest,
    membershippb::{
        Attributes, ClusterMemberAttrSetRequest, ClusterVersionSetRequest, DowngradeInfoSetRequest,
    },
};
use telemetry::{line, log};
use types::Moment;

use super::Core;

/// Publishes name and client URLs once after each start, and tells the boot when that is done.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// Taken when the attributes are applied: client listeners may open.
    published: Option<SyncSender<()>>,
    /// Id of the last proposal, and when it was made.
    asked: Option<(u64, Moment)>,
}

impl Publisher {
    pub(crate) fn new(published: SyncSender<()>) -> Publisher {
        Publisher { published: Some(published), asked: None }
    }

    /// Proposals before this may have been lost.
    pub(crate) fn retry(&mut self) {
        self.asked = None;
    }
}

impl Core {
    /// Publishes this member, until that is done. Called each turn; costs nothing afterwards.
    pub(super) fn publish_member(&mut self) {
        if self.publisher.published.is_none() || !self.may_publish() {
            return;
        }
        let patience = self.config.request_timeout();
        match self.publisher.asked {
            Some((_, at)) if self.now.since(at) < patience => {}
            asked => {
                if asked.is_some() {
                    line!(Warn, "failed to publish local member to cluster through raft",
                        "local-member-id" => self.member_id.to_string(),
                        "local-member-attributes" => self.attributes_text(),
                        "publish-timeout" => log::duration(patience),
                        "error" => "etcdserver: request timed out");
                }
                self.propose_attributes();
                self.propose_cluster_version();
            }
        }
    }

    /// A proposal was applied: client listeners may open if it was the one with our attributes.
    pub(super) fn publication_applied(&mut self, request_id: u64) {
        if self.publisher.asked.is_none_or(|(id, _)| id != request_id) {
            return;
        }
        if let Some(published) = self.publisher.published.take() {
            line!(Info, "published local member to cluster through raft",
                "local-member-id" => self.member_id.to_string(),
                "local-member-attributes" => self.attributes_text(),
                "cluster-id" => self.cluster_id.to_string(),
                "publish-timeout" => log::duration(self.config.request_timeout()));
            // Whoever waited may have given up.
            let _ = published.try_send(());
        }
    }

    fn attributes_text(&self) -> String {
        let (name, urls) = (&self.config.name, self.config.advertise_client_urls.join(" "));
        format!("{{Name:{name} ClientURLs:[{urls}]}}")
    }

    /// Whether somebody leads who would take a publication, and this member is known to be one: attributes of a
    /// stranger stop whoever applies them.
    fn may_publish(&self) -> bool {
        let leads = if self.is_leader() { self.leads_surely() } else { self.raft.leader() != 0 };
        leads && self.state.is_member(self.member_id)
    }

    /// Whether this member leads and has committed an entry of its term.
    fn leads_surely(&self) -> bool {
        self.is_leader() && self.state.leases().is_primary()
    }

    fn propose_attributes(&mut self) {
        let attributes = Attributes {
            name: self.config.name.clone(),
            client_urls: self.config.advertise_client_urls.clone(),
        };
        let cluster_member_attr_set = Some(ClusterMemberAttrSetRequest {
            member_id: self.member_id.0,
            member_attributes: Some(attributes),
        });
        let request = InternalRaftRequest { cluster_member_attr_set, ..InternalRaftRequest::default() };
        self.publisher.asked = self.propose_own(request).map(|id| (id, self.now));
    }

    /// Brings the storage version to the cluster version, and as the leader sets that one or raises it, and ends a
    /// downgrade that is done. Proposing it twice is harmless.
    pub(super) fn propose_cluster_version(&mut self) {
        self.migrate_storage();
        if !self.leads_surely() {
            return;
        }
        if self.state.cluster().downgrade().is_finished(&self.server_versions()) {
            line!(Info, "the cluster has been downgraded",
                "cluster-version" => self.state.cluster().downgrade().target.clone());
            let downgrade_info_set = Some(DowngradeInfoSetRequest { enabled: false, ver: String::new() });
            self.propose_own(InternalRaftRequest { downgrade_info_set, ..InternalRaftRequest::default() });
        }
        let Some(next) = self.state.cluster().next_version(&self.server_versions()) else { return };
        match self.state.cluster().version() {
            None => line!(Info, "setting up initial cluster version using v3 API",
                "cluster-version" => next.cluster_text()),
            Some(now) => line!(Info, "updating cluster version using v3 API",
                "from" => now.cluster_text(), "to" => next.cluster_text()),
        }
        let cluster_version_set = Some(ClusterVersionSetRequest { ver: next.to_string() });
        self.propose_own(InternalRaftRequest { cluster_version_set, ..InternalRaftRequest::default() });
    }

    /// The versions of all members' servers; `None` for those that could not be asked.
    fn server_versions(&self) -> Vec<Option<Version>> {
        let version = |id| match id == self.member_id {
            true => Some(self.config.release.version()),
            false => self.peers.server_version(id)?.parse().ok(),
        };
        self.state.cluster().members().map(|member| version(member.id)).collect()
    }

    /// Brings the storage version to the cluster version.
    pub(super) fn migrate_storage(&mut self) {
        self.migrate();
        self.publish_versions();
    }

    /// Lets others read the versions without asking the core.
    pub(super) fn publish_versions(&self) {
        let cluster = self.state.cluster().version().map(|version| version.to_string());
        self.summary.set_versions(cluster, self.state.storage_version().map(|version| version.to_string()));
    }

    fn migrate(&mut self) {
        // The version of a cluster whose members could not all be asked yet; no layout belongs to it.
        if self.state.cluster().version() == Some(Version::MIN_CLUSTER) {
            return;
        }
        if self.persist.log_is_newer() {
            return;
        }
        match self.state.migrate_storage(None) {
            Ok(false) => {}
            Ok(true) => {
                let version = self.state.storage_version().map(|version| version.to_string());
                line!(Info, "updated storage version", "new-storage-version" => version);
                self.persist.want_commit();
            }
            Err(error) => line!(Warn, "failed to update storage version", "error" => error),
        }
    }
}
