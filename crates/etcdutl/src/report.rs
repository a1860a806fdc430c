//! What a data directory or snapshot holds, and what would surprise when another server takes it over.
//!
//! A report is a list of facts, in groups, and a list of remarks. Facts come from the database ([`db`]), and from the log
//! and the files beside it ([`log`]); [`remarks`] judges them.

mod db;
mod keys;
mod log;
mod remarks;
mod show;

use std::path::{Path, PathBuf};

use auth::Auth;
use bolt::Snapshot;
use bytes::Bytes;
use cluster::{Cluster, Rows};
use lease::Leases;
use types::bucket;

use crate::{
    dbfile::{self, For, text_of},
    digest::SnapshotFile,
    failure::Failure,
    progress::Progress,
};

/// How much a remark matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// Good to know.
    Note,
    /// Somebody will notice.
    Surprise,
    /// No server starts on it.
    Blocks,
}

/// Something to know before the directory changes hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    pub(crate) weight: Weight,
    pub(crate) text: String,
}

/// A group of facts: names and values, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) facts: Vec<(&'static str, serde_json::Value)>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Report {
    pub(crate) groups: Vec<Group>,
    /// The gravest first.
    pub(crate) remarks: Vec<Remark>,
}

impl Report {
    /// Whether no server starts on it.
    pub(crate) fn blocked(&self) -> bool {
        self.remarks.iter().any(|remark| remark.weight == Weight::Blocks)
    }
}

/// Reads a data directory or a file. Takes a reader's lock, and writes nothing.
///
/// # Errors
/// When there is no database to read. What is wrong beyond that is in the report.
pub(crate) fn read(path: &Path, wal_dir: Option<&Path>) -> Result<Report, Failure> {
    dbfile::check_there(path)?;
    let is_dir = path.is_dir();
    let db_path = if is_dir { path.join("member/snap/db") } else { path.to_owned() };
    dbfile::check_there(&db_path)?;
    let db = dbfile::open(&db_path, For::Reading, Some(std::time::Duration::ZERO))?;
    let snapshot = db.snapshot();
    let mut remarks = remarks::Remarks::default();
    let mut groups = vec![origin(path, is_dir, &db_path, &mut remarks)?];
    let facts = db::read(&snapshot, &mut remarks);
    groups.extend(facts.groups());
    if is_dir {
        let wal_dir = wal_dir.map_or_else(|| path.join("member/wal"), Path::to_owned);
        let log = log::read(path, &wal_dir, &facts, &mut remarks);
        groups.extend(log);
    }
    Ok(Report { groups, remarks: remarks.sorted() })
}

fn origin(
    path: &Path,
    is_dir: bool,
    db_path: &Path,
    remarks: &mut remarks::Remarks,
) -> Result<Group, Failure> {
    let mut facts = vec![("path", path.display().to_string().into())];
    if is_dir {
        let served = PathBuf::from(path).join("member/mainstay").exists();
        let by = if served { "etcd or Mainstay; Mainstay has served it" } else { "etcd" };
        facts.extend([("kind", "data directory".into()), ("written by", by.into())]);
        return Ok(Group { name: "origin", facts });
    }
    let mut file = SnapshotFile::open(db_path)?;
    facts.push(("kind", if file.has_digest { "snapshot" } else { "database file" }.into()));
    let digest = if !file.has_digest {
        remarks.note(
            "the file carries no SHA-256: restore it with --skip-hash-check, and only if you trust the copy",
        );
        "none"
    } else if let Err(error) = file.verify(db_path, &mut Progress::new("reading", file.db_len)) {
        remarks
            .blocks(format!("the SHA-256 at the end of the snapshot is not that of its contents: {error}"));
        "wrong"
    } else {
        "right"
    };
    facts.push(("SHA-256", digest.into()));
    Ok(Group { name: "origin", facts })
}

/// The rows of a bucket.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn rows_of(snapshot: &Snapshot, name: &str) -> Result<Vec<(Bytes, Bytes)>, String> {
    let mut cursor = snapshot.cursor(name).map_err(|e| text_of(&e))?;
    let mut rows = Vec::new();
    while let Some((key, value)) = cursor.next().map_err(|e| text_of(&e))? {
        rows.push((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)));
    }
    Ok(rows)
}

/// All that is not keys.
pub(crate) struct SmallState {
    pub(crate) cluster: Cluster,
    pub(crate) leases: Leases,
    pub(crate) auth: Auth,
}

/// Reads all that is not keys.
///
/// # Errors
/// The first row that cannot be read.
pub(crate) fn small_state(snapshot: &Snapshot) -> Result<SmallState, String> {
    let rows = |name| rows_of(snapshot, name);
    let cluster = Rows {
        members: rows(bucket::MEMBERS)?,
        removed: rows(bucket::MEMBERS_REMOVED)?,
        cluster: rows(bucket::CLUSTER)?,
    };
    let auth = auth::Rows {
        auth: rows(bucket::AUTH)?,
        users: rows(bucket::AUTH_USERS)?,
        roles: rows(bucket::AUTH_ROLES)?,
    };
    Ok(SmallState {
        cluster: Cluster::restore(usize::MAX, &cluster).map_err(|e| e.to_string())?,
        leases: Leases::restore(lease::Config::default(), rows(bucket::LEASE)?).map_err(|e| e.to_string())?,
        auth: Auth::restore(&auth).map_err(|e| e.to_string())?.0,
    })
}
