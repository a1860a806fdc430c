//! The rows of the buckets `members`, `members_removed` and `cluster` (contract/semantics.md 14.7).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use types::{MemberId, Write, bucket};

use crate::{ClusterError, Downgrade, Member, Version, member::MemberJson};

/// What a removed id is stored with.
const REMOVED: &[u8] = b"removed";

/// Every row of the three buckets, as read at start.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Of [`bucket::MEMBERS`].
    pub members: Vec<(Bytes, Bytes)>,
    /// Of [`bucket::MEMBERS_REMOVED`].
    pub removed: Vec<(Bytes, Bytes)>,
    /// Of [`bucket::CLUSTER`].
    pub cluster: Vec<(Bytes, Bytes)>,
}

impl Rows {
    pub(crate) fn parse_members(&self) -> Result<BTreeMap<MemberId, Member>, ClusterError> {
        self.members.iter().map(|(key, value)| parse_member(key, value)).collect()
    }

    pub(crate) fn parse_removed(&self) -> Result<BTreeSet<MemberId>, ClusterError> {
        self.removed.iter().map(|(key, _)| parse_id(bucket::MEMBERS_REMOVED, key)).collect()
    }

    pub(crate) fn parse_version(&self) -> Result<Option<Version>, ClusterError> {
        let Some((key, value)) = self.cluster_row(bucket::cluster::VERSION) else { return Ok(None) };
        let text = String::from_utf8_lossy(value);
        text.parse()
            .map(Some)
            .map_err(|error: crate::VersionError| corrupt(bucket::CLUSTER, key, error.to_string()))
    }

    pub(crate) fn parse_downgrade(&self) -> Result<Downgrade, ClusterError> {
        let Some((key, value)) = self.cluster_row(bucket::cluster::DOWNGRADE) else {
            return Ok(Downgrade::default());
        };
        Downgrade::parse(value).map_err(|reason| corrupt(bucket::CLUSTER, key, reason))
    }

    fn cluster_row(&self, key: &[u8]) -> Option<&(Bytes, Bytes)> {
        self.cluster.iter().find(|(found, _)| found == key)
    }
}

/// The row of a member.
pub fn member_row(member: &Member) -> Write {
    Write::put(bucket::MEMBERS, id_key(member.id), member.to_json())
}

/// What makes `rows` those of a new cluster of `members`: every member and removed id goes, cluster version and
/// downgrade stay (contract/semantics.md 13.3).
pub fn reset_rows(rows: &Rows, members: &[Member]) -> Vec<Write> {
    let deletes = |bucket, rows: &[(Bytes, Bytes)]| -> Vec<Write> {
        rows.iter().map(|(key, _)| Write::delete(bucket, key.clone())).collect()
    };
    let mut writes = deletes(bucket::MEMBERS, &rows.members);
    writes.extend(deletes(bucket::MEMBERS_REMOVED, &rows.removed));
    writes.extend(members.iter().map(member_row));
    writes
}

/// What removes a member and keeps its id from returning.
pub(crate) fn removal_rows(id: MemberId) -> Vec<Write> {
    vec![
        Write::delete(bucket::MEMBERS, id_key(id)),
        Write::put(bucket::MEMBERS_REMOVED, id_key(id), Bytes::from_static(REMOVED)),
    ]
}

pub(crate) fn version_row(version: Version) -> Write {
    Write::put(bucket::CLUSTER, Bytes::from_static(bucket::cluster::VERSION), version.to_string())
}

pub(crate) fn downgrade_row(downgrade: &Downgrade) -> Write {
    Write::put(bucket::CLUSTER, Bytes::from_static(bucket::cluster::DOWNGRADE), downgrade.to_json())
}

fn id_key(id: MemberId) -> Bytes {
    Bytes::from(id.to_string())
}

fn parse_member(key: &Bytes, value: &Bytes) -> Result<(MemberId, Member), ClusterError> {
    let id = parse_id(bucket::MEMBERS, key)?;
    let json = MemberJson::parse(value).map_err(|reason| corrupt(bucket::MEMBERS, key, reason))?;
    let member = json.member(id);
    if member.id != id {
        return Err(corrupt(bucket::MEMBERS, key, format!("holds member {}", member.id)));
    }
    Ok((id, member))
}

fn parse_id(bucket: &'static str, key: &[u8]) -> Result<MemberId, ClusterError> {
    let hex = std::str::from_utf8(key).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let id = hex.and_then(|text| u64::from_str_radix(text, 16).ok());
    id.map(MemberId).ok_or_else(|| corrupt(bucket, key, "the key is no member id".to_owned()))
}

fn corrupt(bucket: &'static str, key: &[u8], reason: String) -> ClusterError {
    ClusterError::Corrupt { bucket, key: String::from_utf8_lossy(key).into_owned(), reason }
}
