//! Whether log and database belong together. Nothing is changed here, and a refusal says what is wrong and what to
//! do, beside the text that etcd has for it (contract/errors.tsv).

use cluster::Cluster;
use prost::Message;
use proto::raftpb;
use types::raft::EntryKind;
use vfs::Disk;
use wal::Recovered;

use super::{BootError, received};
use crate::config::Config;

/// Before a missing database is made anew: refuses when the log no longer begins at the beginning (contract/semantics.md
/// 14.13), because then what is missing cannot come from the log.
///
/// # Errors
/// `Database`; `Wal` when the log cannot be read.
pub(super) fn check_db_present(config: &Config, disk: &dyn Disk) -> Result<(), BootError> {
    let path = config.db_path();
    let failed = |source| BootError::Directory { path: path.clone(), source };
    if disk.exists(&path).map_err(failed)? {
        return Ok(());
    }
    // Not locked: this is rare, and what is found decides about a refusal only.
    let start = wal::read(disk, &config.wal_dir(), Some(&config.wal_side_dir()))?.start.index;
    if start == 0 {
        return Ok(());
    }
    let received = received::path_of(&config.snap_dir(), start);
    if disk.exists(&received).map_err(failed)? {
        // etcd takes it for the database, finds that there was none, and deletes it.
        return Err(BootError::Database(format!(
            "database file ({}) of the backend is missing, and the write-ahead log starts at index {start}; {} was received from a leader and is kept as it is. Restore the database, or replace the member",
            path.display(),
            received.display()
        )));
    }
    Err(BootError::Database(format!(
        "failed to recover v3 backend from snapshot: database file ({}) is missing, the write-ahead log starts at index {start}, and there is no {} either. Restore the database, or replace the member",
        path.display(),
        received.display()
    )))
}

/// Judges a database that holds the entries up to `applied`, and its log.
///
/// # Errors
/// `Database` when it is too old; `Mismatch`.
pub(super) fn check_pair(
    config: &Config,
    disk: &dyn Disk,
    (applied, cluster): (u64, &Cluster),
    log: &Recovered,
) -> Result<(), BootError> {
    let path = config.db_path();
    let start = log.start.index;
    let last = log.entries.last().map_or(start, |entry| entry.index);
    if start > applied {
        let received = received::path_of(&config.snap_dir(), start);
        let failed = |source| BootError::Directory { path: received.clone(), source };
        if !disk.exists(&received).map_err(failed)? {
            return Err(BootError::Database(format!(
                "failed to recover v3 backend from snapshot: database file ({} index {applied}) is behind the start of the write-ahead log (index {start}), and there is no {}. Restore the database, or replace the member",
                path.display(),
                received.display()
            )));
        }
        return Err(BootError::Database(format!(
            "database file ({} index {applied}) does not match with snapshot (index {start}); restore the database, or replace the member",
            path.display()
        )));
    }
    if applied > last {
        return Err(BootError::Mismatch(format!(
            "database file ({} index {applied}) is ahead of the write-ahead log, which ends at index {last}: acknowledged writes are missing from the log; restore both from one backup, or replace the member",
            path.display()
        )));
    }
    if cluster.is_removed(log.metadata.node_id) {
        return Err(BootError::Mismatch(
            "the member has been permanently removed from the cluster; data-dir used by this member must be removed"
                .into(),
        ));
    }
    let listed = cluster.member(log.metadata.node_id).is_some();
    if applied > 0 && !listed && !follows_from(cluster, log, applied) {
        return Err(BootError::Mismatch(format!(
            "database file ({}) does not list member {}, to which the write-ahead log belongs: they are of different members or clusters",
            path.display(),
            log.metadata.node_id
        )));
    }
    Ok(())
}

/// Whether the log, which is whole then, leads to these members at index `applied`: so it is with a member that joins
/// and has not come to its own entry yet.
fn follows_from(cluster: &Cluster, log: &Recovered, applied: u64) -> bool {
    if log.start.index > 0 {
        return false;
    }
    let mut replayed = Cluster::new(usize::MAX);
    let applied = log.entries.iter().take_while(|entry| entry.index <= applied);
    for entry in applied.filter(|entry| entry.kind == EntryKind::ConfChange) {
        if let Ok(wire) = raftpb::ConfChange::decode(entry.data.clone()) {
            // Refused when it was applied, too.
            let _ = replayed.change(&wire);
        }
    }
    let ids = |cluster: &Cluster| cluster.members().map(|member| member.id).collect::<Vec<_>>();
    ids(&replayed) == ids(cluster)
}
