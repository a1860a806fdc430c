//! Facts from the database.

use bolt::Snapshot;
use cluster::Version;
use prost::Message;
use proto::etcdserverpb::{AlarmMember, AlarmType};
use serde_json::{Value, json};
use telemetry::log::size;
use types::{Revision, bucket, bucket::meta};

use super::{
    Group, SmallState,
    keys::{self, Keys},
    remarks::{FREE_PERCENT, QUOTA_BYTES, Remarks, SMALL_BYTES},
    rows_of, small_state,
};
use crate::{dbfile::text_of, intact};

/// What the database says.
pub(super) struct Facts {
    /// Index of the last entry applied; not known of a damaged file.
    pub(super) applied: Option<u64>,
    pub(super) small: Option<SmallState>,
    groups: Vec<Group>,
}

impl Facts {
    pub(super) fn groups(&self) -> Vec<Group> {
        self.groups.clone()
    }
}

/// Reads everything in it. What cannot be read is a remark.
pub(super) fn read(snapshot: &Snapshot, remarks: &mut Remarks) -> Facts {
    let mut groups = vec![file(snapshot, remarks)];
    if let Err(error) = intact::check_pages(snapshot) {
        remarks.blocks(format!("the database is damaged: {error}"));
        // Branches may lead in circles.
        return Facts { applied: None, small: None, groups };
    }
    let mut get = |key: &[u8]| match snapshot.get(bucket::META, key) {
        Ok(value) => value,
        Err(error) => {
            remarks.blocks(format!("the database is damaged: {}", text_of(&error)));
            None
        }
    };
    let number = |value: Option<bytes::Bytes>| {
        value.and_then(|value| <[u8; 8]>::try_from(&value[..]).ok()).map_or(0, u64::from_be_bytes)
    };
    let revision = |value: Option<bytes::Bytes>| {
        value.and_then(|value| Revision::decode(&value)).map_or(-1, |(revision, _)| revision.main)
    };
    let applied = number(get(meta::CONSISTENT_INDEX));
    let term = number(get(meta::TERM));
    let scheduled = revision(get(meta::SCHEDULED_COMPACT));
    let finished = revision(get(meta::FINISHED_COMPACT));
    let stored = get(meta::STORAGE_VERSION);
    let storage = cluster::read_storage_version(stored.as_deref(), term != 0);
    let small = match small_state(snapshot) {
        Ok(small) => Some(small),
        Err(error) => {
            remarks.blocks(format!("the database holds rows that no etcd writes: {error}"));
            None
        }
    };
    let cluster = small.as_ref().and_then(|small| small.cluster.version());
    remarks.versions(storage, cluster);
    if finished < scheduled {
        remarks.note(format!(
            "a compaction to revision {scheduled} is not finished (the last was to {finished}); the next server goes on with it"
        ));
    }
    groups.push(versions(storage, cluster, small.as_ref(), remarks));
    match keys::read(snapshot) {
        Ok(keys) => groups.push(history(&keys, applied, term, scheduled.max(finished))),
        Err(error) => remarks.blocks(format!("the keys cannot be read: {error}")),
    }
    if let Some(small) = &small {
        groups.push(members(small, remarks));
        groups.push(people(snapshot, small, remarks));
    }
    Facts { applied: Some(applied), small, groups }
}

fn file(snapshot: &Snapshot, remarks: &mut Remarks) -> Group {
    let page_size = u64::from(snapshot.page_size());
    let mut facts = vec![
        ("size", size(snapshot.size()).into()),
        ("size in bytes", snapshot.size().into()),
        ("page size", page_size.into()),
        ("pages", snapshot.page_count().into()),
    ];
    if let Ok(unused) = snapshot.unused_pages() {
        let count = unused.count();
        let percent = count * 100 / snapshot.page_count().max(1);
        facts.extend([("free pages", count.into()), ("free in percent", percent.into())]);
        if percent >= FREE_PERCENT && snapshot.size() > SMALL_BYTES {
            remarks.note(format!(
                "{percent} % of the database are free pages; a defragmentation would give them back"
            ));
        }
    }
    if snapshot.size() > QUOTA_BYTES {
        remarks.surprise(format!(
            "the database has {}, more than the default quota of 2 GiB: start with the --quota-backend-bytes that it had before, or writes are refused",
            size(snapshot.size())
        ));
    }
    let foreign: Vec<String> = snapshot
        .buckets()
        .unwrap_or_default()
        .into_iter()
        .filter(|name| !bucket::ALL.contains(&name.as_str()))
        .collect();
    if !foreign.is_empty() {
        remarks.surprise(format!(
            "buckets that etcd 3.7 does not know are kept and not used: {}",
            foreign.join(", ")
        ));
    }
    Group { name: "database", facts }
}

fn versions(
    storage: Option<Version>,
    cluster: Option<Version>,
    small: Option<&SmallState>,
    remarks: &mut Remarks,
) -> Group {
    let shown = |version: Option<Version>| version.map_or_else(|| "unknown".to_owned(), |v| v.to_string());
    let mut facts =
        vec![("storage version", shown(storage).into()), ("cluster version", shown(cluster).into())];
    let downgrade = small.map(|small| small.cluster.downgrade()).filter(|downgrade| downgrade.enabled);
    if let Some(downgrade) = downgrade {
        facts.push(("downgrade to", downgrade.target.as_str().into()));
        remarks.surprise(format!(
            "a downgrade to {} is under way: finish it, or cancel it with `etcdctl downgrade cancel`, before servers are exchanged",
            downgrade.target
        ));
    }
    Group { name: "versions", facts }
}

fn history(keys: &Keys, applied: u64, term: u64, compacted: i64) -> Group {
    let prefixes: Vec<Value> = keys
        .prefixes
        .iter()
        .map(|(prefix, share)| {
            json!({"prefix": prefix, "keys": share.keys, "rows": share.rows, "bytes": share.bytes})
        })
        .collect();
    let facts = vec![
        ("revision", keys.revision.max(compacted).max(1).into()),
        ("compacted revision", compacted.into()),
        ("keys", keys.alive.into()),
        ("rows", keys.rows.into()),
        ("keys with a lease", keys.with_lease.into()),
        ("largest row", format!("{} ({})", size(keys.largest_bytes), keys.largest_key).into()),
        ("largest prefixes", prefixes.into()),
        ("consistent index", applied.into()),
        ("term", term.into()),
    ];
    Group { name: "keys", facts }
}

fn members(small: &SmallState, remarks: &mut Remarks) -> Group {
    let cluster = &small.cluster;
    let shown: Vec<Value> = cluster
        .members()
        .map(|member| {
            json!({
                "id": member.id.to_string(),
                "name": member.name,
                "peers": member.peer_urls,
                "clients": member.client_urls,
                "learner": member.is_learner,
            })
        })
        .collect();
    let learners: Vec<String> = cluster.learners().map(|member| member.id.to_string()).collect();
    if !learners.is_empty() {
        remarks.surprise(format!(
            "learners are among the members ({}): promote or remove them first, a snapshot restore makes voters only",
            learners.join(", ")
        ));
    }
    let removed = cluster.removed().count();
    Group { name: "members", facts: vec![("members", shown.into()), ("removed ids", removed.into())] }
}

fn people(snapshot: &Snapshot, small: &SmallState, remarks: &mut Remarks) -> Group {
    let (users, roles) = (small.auth.users().count(), small.auth.roles().count());
    let mut alarms: Vec<String> = Vec::new();
    for (key, _) in rows_of(snapshot, bucket::ALARM).unwrap_or_default() {
        let Ok(alarm) = AlarmMember::decode(key) else {
            remarks.blocks("the bucket alarm holds something that is no alarm");
            continue;
        };
        let name = AlarmType::try_from(alarm.alarm).map_or("unknown", |kind| kind.as_str_name());
        alarms.push(format!("{name} at {:x}", alarm.member_id));
        match AlarmType::try_from(alarm.alarm) {
            Ok(AlarmType::Nospace) => remarks.surprise(
                "the alarm NOSPACE is on: writes are refused until there is space and `etcdctl alarm disarm` was called",
            ),
            Ok(AlarmType::Corrupt) => remarks.surprise(
                "the alarm CORRUPT is on: find out which member is damaged before anything else",
            ),
            _ => {}
        }
    }
    Group {
        name: "leases, users, alarms",
        facts: vec![
            ("leases", small.leases.len().into()),
            ("users", users.into()),
            ("roles", roles.into()),
            ("authentication", if small.auth.is_enabled() { "on" } else { "off" }.into()),
            ("alarms", alarms.into()),
        ],
    }
}
