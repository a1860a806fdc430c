//! What is said about the facts.

use cluster::Version;

use super::{Remark, Weight};

/// The version of etcd that this server is.
pub(super) const SERVER: Version = Version::new(3, 7, 1);
/// What a member may hold unless it is told otherwise.
pub(super) const QUOTA_BYTES: u64 = 2 << 30;
/// From this share of pages on, in percent, a defragmentation is worth its time.
pub(super) const FREE_PERCENT: u64 = 50;
/// Below this a file is small, however empty.
pub(super) const SMALL_BYTES: u64 = 16 << 20;

/// Remarks as they come.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    all: Vec<Remark>,
}

impl Remarks {
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.all.push(Remark { weight: Weight::Note, text: text.into() });
    }

    pub(super) fn surprise(&mut self, text: impl Into<String>) {
        self.all.push(Remark { weight: Weight::Surprise, text: text.into() });
    }

    pub(super) fn blocks(&mut self, text: impl Into<String>) {
        self.all.push(Remark { weight: Weight::Blocks, text: text.into() });
    }

    /// The gravest first.
    pub(super) fn sorted(mut self) -> Vec<Remark> {
        self.all.sort_by_key(|remark| std::cmp::Reverse(remark.weight));
        self.all
    }

    /// About the versions of file and cluster.
    pub(super) fn versions(&mut self, storage: Option<Version>, cluster: Option<Version>) {
        if let Err(error) = cluster::check_storage_version(storage, SERVER) {
            let shown = storage.map(Version::cluster_text).unwrap_or_default();
            self.blocks(format!("the storage version is {shown}, which this server does not know: {error}"));
        }
        if storage.is_none() {
            self.surprise(
                "the storage version cannot be told: the file is of etcd 3.4 or older, or its member has never made a snapshot; let etcd 3.5 serve it once",
            );
        }
        if let Some(cluster) = cluster.filter(|cluster| cluster.minor_only() > SERVER.minor_only()) {
            self.blocks(format!(
                "the cluster version is {cluster}: this server is of {} and must not serve it",
                SERVER.cluster_text()
            ));
        }
    }
}
