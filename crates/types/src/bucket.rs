//! The buckets of the backend and the fixed keys of `meta`, `auth` and `cluster` (contract/semantics.md 14.2–14.7).

/// Revisions of keys.
pub const KEY: &str = "key";
/// Consistent index and other facts about the file itself.
pub const META: &str = "meta";
/// Leases.
pub const LEASE: &str = "lease";
/// Active alarms.
pub const ALARM: &str = "alarm";
/// Cluster version and downgrade.
pub const CLUSTER: &str = "cluster";
/// Members.
pub const MEMBERS: &str = "members";
/// Ids of removed members.
pub const MEMBERS_REMOVED: &str = "members_removed";
/// Whether auth is on, and its revision.
pub const AUTH: &str = "auth";
/// Users.
pub const AUTH_USERS: &str = "authUsers";
/// Roles.
pub const AUTH_ROLES: &str = "authRoles";

/// All of them, in the order in which a new file gets them.
pub const ALL: [&str; 10] =
    [KEY, META, LEASE, ALARM, CLUSTER, MEMBERS, MEMBERS_REMOVED, AUTH, AUTH_USERS, AUTH_ROLES];

/// Keys of [`META`].
pub mod meta {
    /// u64 big endian; never 0.
    pub const CONSISTENT_INDEX: &[u8] = b"consistent_index";
    /// u64 big endian: term of the entry at the consistent index; never 0.
    pub const TERM: &[u8] = b"term";
    /// JSON of the conf state.
    pub const CONF_STATE: &[u8] = b"confState";
    /// Text `X.Y.Z`.
    pub const STORAGE_VERSION: &[u8] = b"storageVersion";
    /// 17-byte revision with sub 0.
    pub const SCHEDULED_COMPACT: &[u8] = b"scheduledCompactRev";
    /// 17-byte revision with sub 0.
    pub const FINISHED_COMPACT: &[u8] = b"finishedCompactRev";
}

/// Keys of [`AUTH`].
pub mod auth {
    /// One byte, 1 or 0; absent means 0.
    pub const ENABLED: &[u8] = b"authEnabled";
    /// u64 big endian.
    pub const REVISION: &[u8] = b"authRevision";
}

/// Keys of [`CLUSTER`].
pub mod cluster {
    /// Text `X.Y.Z`.
    pub const VERSION: &[u8] = b"clusterVersion";
    /// JSON.
    pub const DOWNGRADE: &[u8] = b"downgrade";
}
