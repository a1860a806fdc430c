//! `snapshot restore`: a data directory for a new cluster from a snapshot file.
//!
//! Everything that can be checked is checked first: flags, targets, the digest, every page and every row. Then the
//! database is built under a temporary name, beside it the log and the `.snap` file; it gets its name last, so that no
//! crash leaves a directory that a member would start on.

mod build;
mod resolve;

use std::{fs, path::Path};

use cluster::{InitialCluster, Member, parse_urls};

use crate::{
    dbfile::{self, For},
    digest::SnapshotFile,
    failure::Failure,
    golang::{join, quote_bytes},
    intact,
    logs::Log,
    progress::Progress,
};

/// What `snapshot restore` is asked for; fields are its flags.
#[derive(Clone, Debug)]
pub(crate) struct Restore {
    pub(crate) snapshot: String,
    pub(crate) name: String,
    pub(crate) data_dir: String,
    /// Empty: inside the data directory.
    pub(crate) wal_dir: String,
    pub(crate) advertise_peer_urls: String,
    pub(crate) initial_cluster: String,
    pub(crate) initial_cluster_token: String,
    pub(crate) skip_hash_check: bool,
    /// Shown in the log, and of no use to us: nothing is mapped into memory.
    pub(crate) memory_map_bytes: u64,
    /// 0: revisions stay as they are.
    pub(crate) bump_revision: u64,
    pub(crate) mark_compacted: bool,
}

impl Restore {
    fn data_dir(&self) -> String {
        if self.data_dir.is_empty() { format!("{}.etcd", self.name) } else { self.data_dir.clone() }
    }

    fn wal_dir(&self) -> String {
        if self.wal_dir.is_empty() { join(&self.data_dir(), "member/wal") } else { self.wal_dir.clone() }
    }

    fn snap_dir(&self) -> String {
        join(&self.data_dir(), "member/snap")
    }

    /// Restores.
    ///
    /// # Errors
    /// In etcdutl's words where it has some. Nothing was written when the flags, the targets or the snapshot are wrong.
    pub(crate) fn run(&self, log: Log) -> Result<(), Failure> {
        if (self.bump_revision > 0) != self.mark_compacted {
            return Err(Failure::bad_args("--mark-compacted required if --revision-bump > 0"));
        }
        let members = self.members(log)?;
        self.check_targets()?;
        self.tell(log, "restoring snapshot");
        self.check_snapshot()?;
        build::build(self, &members, log)?;
        self.tell(log, "restored snapshot");
        Ok(())
    }

    fn tell(&self, log: Log, message: &str) {
        log.info(
            message,
            &[
                ("path", self.snapshot.as_str().into()),
                ("wal-dir", self.wal_dir().into()),
                ("data-dir", self.data_dir().into()),
                ("snap-dir", self.snap_dir().into()),
                ("initial-memory-map-size", self.memory_map_bytes.into()),
            ],
        );
    }

    /// Who the new cluster is, by id.
    fn members(&self, log: Log) -> Result<Vec<Member>, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
        let texts: Vec<&str> = self.advertise_peer_urls.split(',').collect();
        let advertised = parse_urls(&texts).map_err(|e| failed(&e))?;
        let cluster = InitialCluster::parse(&self.initial_cluster).map_err(|e| failed(&e))?;
        let Some(listed) = cluster.urls_of(&self.name) else {
            return Err(Failure::new(format!(
                "couldn't find local name {} in the initial cluster configuration",
                quote_bytes(self.name.as_bytes())
            )));
        };
        if let Err(reason) = resolve::same(&advertised, listed, log) {
            return Err(match cluster.advertise_mismatch(&self.name, &advertised, &reason) {
                Some(error) => failed(&error),
                None => Failure::new(format!(
                    "failed to resolve {} to match --initial-cluster={cluster} ({reason})",
                    advertised.join(",")
                )),
            });
        }
        cluster.check(&self.name).map_err(|e| failed(&e))?;
        let mut members = cluster.members(&self.initial_cluster_token).map_err(|e| failed(&e))?;
        members.sort_by_key(|member| member.id);
        Ok(members)
    }

    fn check_targets(&self) -> Result<(), Failure> {
        let data_dir = self.data_dir();
        let is_empty = || fs::read_dir(&data_dir).is_ok_and(|mut entries| entries.next().is_none());
        if Path::new(&data_dir).exists() && !is_empty() {
            let shown = quote_bytes(data_dir.as_bytes());
            return Err(Failure::new(format!("data-dir {shown} not empty or could not be read")));
        }
        let wal_dir = self.wal_dir();
        if Path::new(&wal_dir).exists() {
            return Err(Failure::new(format!("wal-dir {} exists", quote_bytes(wal_dir.as_bytes()))));
        }
        Ok(())
    }

    fn check_snapshot(&self) -> Result<(), Failure> {
        let path = Path::new(&self.snapshot);
        let mut file = SnapshotFile::open(path)?;
        if !file.has_digest && !self.skip_hash_check {
            return Err(Failure::new("snapshot missing hash but --skip-hash-check=false"));
        }
        if file.has_digest && !self.skip_hash_check {
            file.verify(path, &mut Progress::new("checking", file.db_len))?;
        }
        let db = dbfile::open(path, For::ReadingCopy, None)?;
        let snapshot = db.snapshot();
        if snapshot.size() > file.db_len {
            return Err(Failure::new(
                "snapshot file integrity check failed: the file ends before its last page",
            ));
        }
        intact::check_pages(&snapshot)?;
        intact::check_rows(&snapshot)
    }
}

#[cfg(test)]
mod tests;
