//! Members, cluster version and downgrade as replicated state.
//!
//! [`Cluster`] is what all members agree on about themselves: who takes part and at which addresses, which ids
//! may never return, the minimum version everybody speaks, and whether a downgrade is under way. It changes by
//! conf change entries ([`Cluster::change`]) and by three ordinary requests ([`Cluster::set_attributes`],
//! [`Cluster::set_version`], [`Cluster::set_downgrade`]); each returns what to write to the backend. What etcd
//! answers with a panic is an error here: the caller stops the member and says why.
//!
//! There is one membership, and it is this one. The conf state that raft needs, the rows of the backend, the
//! bootstrap entries and the v2 tree that older peers expect in snapshots are all derived from it.
//!
//! Around it stand pure rules: versions and what may follow what ([`Version`], [`check_storage_version`]),
//! `--initial-cluster` ([`InitialCluster`]), peer URLs ([`parse_urls`]) and ids ([`Member::new`]).
//!
//! Facts: contract/semantics.md 8, 9.10, 14.4, 14.7, 14.17, 14.18, 14.25, 15.10
//! (upstream: server/etcdserver/api/membership).

mod bootstrap;
mod conf_change;
mod downgrade;
mod error;
mod initial_cluster;
mod member;
mod rows;
mod state;
mod storage_version;
mod urls;
mod v2;
mod version;

pub use bootstrap::{bootstrap_entries, conf_state_row, forced_entries};
pub use conf_change::{Change, ConfChange};
pub use downgrade::{Downgrade, DowngradeRejection, parse_downgrade_target};
pub use error::{ClusterError, Rejection};
pub use initial_cluster::{InitialCluster, InitialClusterError, assign_ids};
pub use member::{Member, cluster_id};
pub use rows::{Rows, member_row, reset_rows};
pub use state::{Changed, Cluster, VersionSet};
pub use storage_version::{check_storage_version, migrate_storage, read_storage_version};
pub use urls::{UrlError, parse_urls};
pub use version::{Version, VersionError};
