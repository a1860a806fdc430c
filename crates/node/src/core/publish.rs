//! What a member tells the cluster about itself, and what a leader sets for all: attributes, cluster version.

use std::sync::mpsc::SyncSender;

use proto::{
    etcdserverpb::InternalRaftRequest,
    membershippb::{Attributes, ClusterMemberAttrSetRequest, ClusterVersionSetRequest},
};
use telemetry::{line, log};
use types::Moment;

use super::Core;
use crate::server_version;

/// Without effect for this long, a publication is proposed again.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(5);

/// Publishes name and client URLs once after each start, and tells the boot when that is done.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// Taken when the attributes are applied: client listeners may open.
    published: Option<SyncSender<()>>,
    asked_at: Option<Moment>,
    /// Index that was applied when it was asked.
    asked_after: u64,
}

impl Publisher {
    pub(crate) fn new(published: SyncSender<()>) -> Publisher {
        Publisher { published: Some(published), asked_at: None, asked_after: 0 }
    }

    /// Proposals before this may have been lost.
    pub(crate) fn retry(&mut self) {
        self.asked_at = None;
    }
}

impl Core {
    /// Publishes this member, until that is done. Called each turn; costs nothing afterwards.
    pub(super) fn publish_member(&mut self) {
        if self.publisher.published.is_none() || !self.leads_surely() {
            return;
        }
        match self.publisher.asked_at {
            Some(_) if self.is_published() && self.state.applied() > self.publisher.asked_after => {
                self.tell_published();
                if let Some(published) = self.publisher.published.take() {
                    // Whoever waited may have given up.
                    let _ = published.try_send(());
                }
            }
            Some(at) if self.now.since(at) < RETRY_AFTER => {}
            _ => {
                self.propose_attributes();
                self.propose_cluster_version();
            }
        }
    }

    fn tell_published(&self) {
        let (name, urls) = (&self.config.name, self.config.advertise_client_urls.join(" "));
        line!(Info, "published local member to cluster through raft",
            "local-member-id" => self.member_id.to_string(),
            "local-member-attributes" => format!("{{Name:{name} ClientURLs:[{urls}]}}"),
            "cluster-id" => self.cluster_id.to_string(),
            "publish-timeout" => log::duration(self.config.request_timeout()));
    }

    /// Whether this member leads and has committed an entry of its term.
    fn leads_surely(&self) -> bool {
        self.is_leader() && self.state.leases().is_primary()
    }

    fn is_published(&self) -> bool {
        self.state.cluster().member(self.member_id).is_some_and(|member| {
            member.name == self.config.name && member.client_urls == self.config.advertise_client_urls
        })
    }

    fn propose_attributes(&mut self) {
        self.publisher.asked_at = Some(self.now);
        self.publisher.asked_after = self.state.applied();
        let attributes = Attributes {
            name: self.config.name.clone(),
            client_urls: self.config.advertise_client_urls.clone(),
        };
        let cluster_member_attr_set = Some(ClusterMemberAttrSetRequest {
            member_id: self.member_id.0,
            member_attributes: Some(attributes),
        });
        self.propose_own(InternalRaftRequest { cluster_member_attr_set, ..InternalRaftRequest::default() });
    }

    /// Sets or raises the cluster version, and brings the storage version to it. A cluster of one has nobody else
    /// to ask. Proposing it twice is harmless.
    pub(super) fn propose_cluster_version(&mut self) {
        if !self.leads_surely() {
            return;
        }
        self.migrate_storage();
        let Some(next) = self.state.cluster().next_version(&[Some(server_version())]) else { return };
        match self.state.cluster().version() {
            None => line!(Info, "setting up initial cluster version using v3 API",
                "cluster-version" => next.cluster_text()),
            Some(now) => line!(Info, "updating cluster version using v3 API",
                "from" => now.cluster_text(), "to" => next.cluster_text()),
        }
        let cluster_version_set = Some(ClusterVersionSetRequest { ver: next.to_string() });
        self.propose_own(InternalRaftRequest { cluster_version_set, ..InternalRaftRequest::default() });
    }

    /// Brings the storage version to the cluster version.
    pub(super) fn migrate_storage(&mut self) {
        self.migrate();
        let cluster = self.state.cluster().version().map(|version| version.to_string());
        self.summary.set_versions(cluster, self.state.storage_version().map(|version| version.to_string()));
    }

    fn migrate(&mut self) {
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
