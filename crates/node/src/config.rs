//! What the operator chose, as far as it concerns the core. Fixed at start.

use std::{path::PathBuf, sync::Arc, time::Duration};

use types::{ClusterId, MemberId};

use crate::{donors::Donors, peers::PeerAddress, release::Release};

/// Settings of a member. [`Config::new`] has etcd's defaults (contract/flags.tsv).
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this member; key into `initial_cluster`.
    pub name: String,
    /// Root of `member/`.
    pub data_dir: PathBuf,
    /// Folder of the WAL; `None` means `member/wal` below `data_dir`.
    pub wal_dir: Option<PathBuf>,
    /// `name=url,...`: the members of a new cluster.
    pub initial_cluster: String,
    /// Mixed into the ids of a new cluster.
    pub initial_cluster_token: String,
    /// Join a running cluster instead of starting one; counts only without a log.
    pub join_existing: bool,
    /// What the running cluster says of itself, for a member that joins it; counts only with `join_existing`.
    pub running_cluster: Option<RunningCluster>,
    /// Keep the data of a log that is there, and forget all other members.
    pub force_new_cluster: bool,
    /// Refuse changes of membership that could lose the quorum.
    pub strict_reconfig_check: bool,
    /// Ask before a campaign whether it could be won.
    pub pre_vote: bool,
    /// Skip most of the first election timeout once the others can be reached: the first leader comes sooner.
    pub initial_election_tick_advance: bool,
    /// What this member is to the others.
    pub release: Release,
    /// Peer URLs that this member announces.
    pub advertise_peer_urls: Vec<String>,
    /// Client URLs that this member announces.
    pub advertise_client_urls: Vec<String>,
    /// Length of a raft tick.
    pub tick: Duration,
    /// Ticks without a leader before a campaign.
    pub election_ticks: u32,
    /// Applied entries between raft snapshots.
    pub snapshot_count: u64,
    /// Entries kept in memory behind a raft snapshot.
    pub snapshot_catchup_entries: u64,
    /// Largest message of entries to another member, in bytes; a single larger entry still goes.
    pub append_bytes_max: u64,
    /// A segment of the WAL ends with the batch that takes it to that many bytes.
    pub segment_bytes: u64,
    /// WAL segments kept; 0 = all.
    pub wals_max: usize,
    /// `.snap` files kept; 0 = all.
    pub snaps_max: usize,
    /// Backend size at which writes are refused; `None` = no limit.
    pub quota_bytes: Option<u64>,
    /// What `Status` reports as quota: the flag as given, 2 GiB for 0.
    pub quota_reported: i64,
    /// Longest time between two backend commits while there is something to commit.
    pub backend_batch_interval: Duration,
    /// Ops that start a backend commit at once.
    pub backend_batch_limit: usize,
    /// Largest proposal, in bytes of the encoded `InternalRaftRequest`.
    pub request_bytes_max: usize,
    /// Bytes of proposals that may wait for the log; a disk that stalls must not fill the memory.
    pub log_queue_bytes_max: u64,
    /// Rows that a compaction removes per step.
    pub compaction_batch_limit: usize,
    /// Pause between two steps of a compaction.
    pub compaction_sleep: Duration,
    /// When history is forgotten by itself.
    pub auto_compaction: AutoCompaction,
    /// Interval of progress notifications on idle watchers.
    pub progress_notify_interval: Duration,
    /// Replicate the remaining TTL of long leases.
    pub lease_checkpoint: bool,
    /// Write them to disk below cluster version 3.6 too.
    pub lease_checkpoint_persist: bool,
    /// Renew known leases while committed entries wait to be applied.
    pub fast_lease_keep_alive: bool,
    /// Learners that the cluster may have.
    pub learners_max: usize,
    /// What clients show to say who they are.
    pub tokens: TokenKind,
    /// End open watches whose clients lose the permission to read what they watch.
    pub end_revoked_watches: bool,
    /// Entries that take longer to apply are warned about.
    pub warning_apply: Duration,
    /// Bytes of pages that the backend keeps in memory.
    pub backend_cache_bytes: usize,
    /// Bytes that a file of zeros keeps for a full disk; half of it is the free space below which requests that
    /// cost space are refused, and all of it the free space from which they are taken again. 0: neither.
    pub reserve_bytes: u64,
    /// Feature gates for the metrics: name, stage, whether it is on.
    pub features: Vec<(String, String, bool)>,
    /// The way to what this member has lost, for its start; without one it refuses to start on damage.
    pub donors: Option<Arc<dyn Donors>>,
    /// Seed of everything that may be random: election timeouts, lease ids, jitter.
    pub seed: u64,
}

/// A cluster as one of its members describes it, before the local member is, or knows that it is, part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunningCluster {
    /// Its id.
    pub id: ClusterId,
    /// Its members, the one that joins among them: it was added before.
    pub members: Vec<PeerAddress>,
    /// Those that have told the others where clients find them.
    pub started: Vec<MemberId>,
}

/// When history is forgotten by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoCompaction {
    /// Never.
    #[default]
    Off,
    /// Keep what is younger than this.
    Periodic(Duration),
    /// Keep this many revisions.
    Revision(i64),
}

/// What clients show to say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Random ones, that every member remembers for so long after their last use.
    Simple {
        /// For how long.
        ttl: Duration,
    },
    /// Signed ones; whoever calls has verified them ([`crate::Caller::claims`]).
    Signed,
    /// None: no token is good.
    None,
}

/// How long an unused simple token lasts when nothing else is said.
const TOKEN_TTL_DEFAULT: Duration = Duration::from_secs(300);

/// The quota of a member that names none: 2 GiB.
pub const QUOTA_BYTES_DEFAULT: u64 = 2 << 30;

impl Config {
    /// etcd's defaults for a member with this name and folder.
    pub fn new(name: &str, data_dir: impl Into<PathBuf>) -> Config {
        Config {
            name: name.to_string(),
            data_dir: data_dir.into(),
            wal_dir: None,
            initial_cluster: format!("{name}=http://localhost:2380"),
            initial_cluster_token: "etcd-cluster".into(),
            join_existing: false,
            running_cluster: None,
            force_new_cluster: false,
            strict_reconfig_check: true,
            pre_vote: true,
            initial_election_tick_advance: true,
            release: Release::default(),
            advertise_peer_urls: vec!["http://localhost:2380".into()],
            advertise_client_urls: vec!["http://localhost:2379".into()],
            tick: Duration::from_millis(100),
            election_ticks: 10,
            snapshot_count: 10_000,
            snapshot_catchup_entries: 5_000,
            append_bytes_max: 1 << 20,
            segment_bytes: wal::limits::SEGMENT_BYTES,
            wals_max: 5,
            snaps_max: 5,
            quota_bytes: Some(QUOTA_BYTES_DEFAULT),
            quota_reported: QUOTA_BYTES_DEFAULT as i64,
            backend_batch_interval: Duration::from_millis(100),
            backend_batch_limit: 10_000,
            request_bytes_max: 1_572_864,
            log_queue_bytes_max: 256 << 20,
            compaction_batch_limit: 1_000,
            compaction_sleep: Duration::from_millis(10),
            auto_compaction: AutoCompaction::Off,
            progress_notify_interval: Duration::from_secs(600),
            lease_checkpoint: false,
            lease_checkpoint_persist: false,
            fast_lease_keep_alive: true,
            learners_max: 1,
            tokens: TokenKind::Simple { ttl: TOKEN_TTL_DEFAULT },
            end_revoked_watches: false,
            warning_apply: Duration::from_millis(100),
            backend_cache_bytes: 32 << 20,
            reserve_bytes: 64 << 20,
            features: Vec::new(),
            donors: None,
            seed: 0,
        }
    }

    /// `member/snap`: where `.snap` files, received databases and the database are.
    pub fn snap_dir(&self) -> PathBuf {
        self.data_dir.join("member/snap")
    }

    /// The backend file.
    pub(crate) fn db_path(&self) -> PathBuf {
        self.snap_dir().join("db")
    }

    /// The WAL's folder.
    pub(crate) fn wal_dir(&self) -> PathBuf {
        self.wal_dir.clone().unwrap_or_else(|| self.data_dir.join("member/wal"))
    }

    /// What we keep beyond etcd's files.
    pub(crate) fn side_dir(&self) -> PathBuf {
        self.data_dir.join("member/mainstay")
    }

    /// What we keep about the log.
    pub(crate) fn wal_side_dir(&self) -> PathBuf {
        self.side_dir().join("wal")
    }

    /// The file of zeros for a full disk.
    pub(crate) fn reserve_path(&self) -> PathBuf {
        self.side_dir().join("reserve")
    }

    /// How long a proposal or a read may take: 5 s and two election timeouts.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election_timeout()
    }

    /// The time without a leader before a campaign.
    pub(crate) fn election_timeout(&self) -> Duration {
        self.tick * self.election_ticks
    }
}
