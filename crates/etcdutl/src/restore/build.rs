//! Writing what a restored member starts from (contract/semantics.md 13.3, 13.4).

use std::{
    io,
    path::{Path, PathBuf},
};

use bolt::Db;
use bytes::Bytes;
use cluster::{Cluster, Member, Rows, bootstrap_entries, cluster_id, conf_state_row, member_row, reset_rows};
use types::{
    Revision, Write, bucket,
    bucket::meta,
    raft::{ConfState, HardState, Snapshot, SnapshotMeta},
};
use vfs::{Disk, OpenMode};
use wal::{Metadata, SnapshotRecord, Wal, WalOptions, snap};

use super::Restore;
use crate::{
    dbfile::{self, For, text_of},
    digest::SnapshotFile,
    failure::Failure,
    golang::{io_text, path_error},
    logs::Log,
    progress::Progress,
};

/// Servers remove such files when they start.
const BUILDING: &str = "tmp.restore.db";
/// Term of all entries of a new cluster.
const TERM: u64 = 1;

/// Writes the data directory and the log of one of `members`, who are ordered by id.
///
/// # Errors
/// What could not be written. What is there then is no member's directory yet.
pub(super) fn build(restore: &Restore, members: &[Member], log: Log) -> Result<(), Failure> {
    let disk = dbfile::disk();
    let snap_dir = PathBuf::from(restore.snap_dir());
    make_dir(&*disk, &snap_dir)?;
    let building = snap_dir.join(BUILDING);
    copy(&*disk, Path::new(&restore.snapshot), &building)?;
    let commit = members.len() as u64;
    let conf_state =
        ConfState { voters: members.iter().map(|member| member.id.0).collect(), ..ConfState::default() };
    edit(restore, &building, members, &conf_state, log)?;
    write_log(restore, members, commit, &conf_state)?;
    let path = snap_dir.join("db");
    disk.rename(&building, &path)
        .and_then(|()| disk.sync_dir(&snap_dir))
        .map_err(|e| Failure::new(path_error("rename", &path, &e)))
}

/// Makes a directory and those above it, durably.
fn make_dir(disk: &dyn Disk, dir: &Path) -> Result<(), Failure> {
    let failed = |e: io::Error| Failure::new(path_error("mkdir", dir, &e));
    let missing: Vec<&Path> =
        dir.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    disk.create_dir_all(dir).map_err(failed)?;
    for made in missing {
        let parent = made.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        disk.sync_dir(parent).map_err(failed)?;
    }
    Ok(())
}

/// Copies the database out of the snapshot file, without the digest.
fn copy(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), Failure> {
    let mut source = SnapshotFile::open(from)?;
    let failed = |e: io::Error| Failure::new(path_error("copy to", to, &e));
    let target = disk.open(to, OpenMode::CreateNew).map_err(failed)?;
    let mut progress = Progress::new("copying", source.db_len);
    source.read_db(&mut progress, |piece, at| target.write_all_at(piece, at)).map_err(failed)?;
    target.sync_data().map_err(failed)
}

/// Makes the database that of the new cluster: other members, the log's last index, and revisions as asked for.
fn edit(
    restore: &Restore,
    path: &Path,
    members: &[Member],
    conf_state: &ConfState,
    log: Log,
) -> Result<(), Failure> {
    let failed = |e: bolt::BoltError| Failure::new(text_of(&e));
    let mut db = dbfile::open(path, For::Writing, None)?;
    log.info("Trimming membership information from the backend...", &[]);
    let mut writes = reset_rows(&membership(&db)?, members);
    if restore.bump_revision > 0 {
        writes.extend(bumped(&db, restore.bump_revision, log)?);
    }
    tell_added(members, log);
    let number = |key: &'static [u8], value: u64| {
        Write::put(bucket::META, Bytes::from_static(key), value.to_be_bytes().to_vec())
    };
    writes.push(conf_state_row(conf_state));
    writes.push(number(meta::CONSISTENT_INDEX, members.len() as u64));
    writes.push(number(meta::TERM, TERM));
    for name in bucket::ALL {
        db.create_bucket(name).map_err(failed)?;
    }
    for write in &writes {
        db.apply(write).map_err(failed)?;
    }
    db.commit().map_err(failed)?;
    Ok(())
}

fn membership(db: &Db) -> Result<Rows, Failure> {
    let rows = |name| crate::report::rows_of(&db.snapshot(), name).map_err(Failure::new);
    Ok(Rows {
        members: rows(bucket::MEMBERS)?,
        removed: rows(bucket::MEMBERS_REMOVED)?,
        cluster: rows(bucket::CLUSTER)?,
    })
}

/// A row far ahead that nobody can read, and a compaction up to it: no client sees a revision twice.
fn bumped(db: &Db, amount: u64, log: Log) -> Result<[Write; 2], Failure> {
    let mut cursor = db.snapshot().cursor(bucket::KEY).map_err(|e| Failure::new(text_of(&e)))?;
    cursor.seek_last().map_err(|e| Failure::new(text_of(&e)))?;
    let last = cursor.prev().map_err(|e| Failure::new(text_of(&e)))?;
    let latest = last.and_then(|(key, _)| Revision::decode(&key)).map_or(0, |(revision, _)| revision.main);
    let Some(next) = i64::try_from(amount).ok().and_then(|amount| latest.checked_add(amount)) else {
        return Err(Failure::new(format!(
            "--bump-revision {amount} is too much: revisions end at {}, and the latest is {latest}",
            i64::MAX
        )));
    };
    log.info(
        "bumping latest revision",
        &[
            ("latest-revision", latest.into()),
            ("bump-amount", amount.into()),
            ("new-latest-revision", next.into()),
        ],
    );
    log.info("marking revision compacted", &[("revision", next.into())]);
    let key = Revision::new(next, 0).encode().to_vec();
    Ok([
        Write::put(bucket::KEY, key.clone(), Bytes::new()),
        Write::put(bucket::META, Bytes::from_static(meta::SCHEDULED_COMPACT), key),
    ])
}

fn tell_added(members: &[Member], log: Log) {
    let cluster = cluster_id(members.iter().map(|member| member.id)).to_string();
    for member in members {
        log.info(
            "added member",
            &[
                ("cluster-id", cluster.as_str().into()),
                ("local-member-id", "0".into()),
                ("added-peer-id", member.id.to_string().into()),
                ("added-peer-peer-urls", member.peer_urls.clone().into()),
                ("added-peer-is-learner", member.is_learner.into()),
            ],
        );
    }
}

/// Writes the log that a new cluster starts with, and the `.snap` file at its end.
fn write_log(
    restore: &Restore,
    members: &[Member],
    commit: u64,
    conf_state: &ConfState,
) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    let disk = dbfile::disk();
    let wal_dir = PathBuf::from(restore.wal_dir());
    let parent = wal_dir.parent().filter(|path| !path.as_os_str().is_empty());
    make_dir(&*disk, parent.unwrap_or(Path::new(".")))?;
    let local = members.iter().find(|member| member.name == restore.name);
    let local = local.ok_or_else(|| Failure::new("the local member is not in the cluster"))?;
    let metadata =
        Metadata { node_id: local.id, cluster_id: cluster_id(members.iter().map(|member| member.id)) };
    // The directory is made under another name, beside the one that it gets.
    let absolute = std::path::absolute(&wal_dir).map_err(|e| Failure::new(io_text(&e)))?;
    let mut wal =
        Wal::create(disk.clone(), &absolute, metadata, WalOptions::default()).map_err(|e| failed(&e))?;
    let vote = members.first().map_or(0, |member| member.id.0);
    wal.append(&bootstrap_entries(members), HardState { term: TERM, vote, commit })
        .map_err(|e| failed(&e))?;
    wal.sync().map_err(|e| failed(&e))?;
    let meta = SnapshotMeta { index: commit, term: TERM, conf_state: conf_state.clone() };
    let snapshot = Snapshot { meta, data: v2_tree(members)?.into() };
    snap::write(&*disk, Path::new(&restore.snap_dir()), &snapshot).map_err(|e| failed(&e))?;
    let record = SnapshotRecord { index: commit, term: TERM, conf_state: conf_state.clone() };
    wal.save_snapshot(record).map_err(|e| failed(&e))?;
    wal.close().map_err(|e| failed(&e))
}

/// The members as `.snap` files have them.
fn v2_tree(members: &[Member]) -> Result<String, Failure> {
    let row = |member| {
        let Write { key, value, .. } = member_row(member);
        (key, value.unwrap_or_default())
    };
    let rows = Rows { members: members.iter().map(row).collect(), ..Rows::default() };
    let cluster = Cluster::restore(usize::MAX, &rows).map_err(|e| Failure::new(e.to_string()))?;
    Ok(cluster.v2_snapshot())
}
