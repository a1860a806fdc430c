//! Removing segments that nothing needs any more.

use vfs::{LockKind, OpenMode};

use crate::{
    error::{Context, WalError},
    name::SegmentName,
    side,
    wal::Wal,
};

impl Wal {
    /// Removes the oldest segments, down to `keep` (0 removes none), and gives their names.
    ///
    /// Only segments whose entries are all below `below` go, and only below the newest valid snapshot record:
    /// from there on raft, and etcd, must be able to start. `below` is the lower of that record's index and the
    /// consistent index of the db's *older* meta page, so that a db which loses its newer one can catch up.
    ///
    /// One by one, each made durable: a hole would break the checksum chain. One that another process has locked
    /// stays, with all after it.
    ///
    /// # Errors
    /// When the disk fails. A failed sync poisons the log.
    pub fn purge(&mut self, keep: usize, below: u64) -> Result<Vec<SegmentName>, WalError> {
        let mut removed = Vec::new();
        if keep > 0 {
            for path in std::mem::take(&mut self.left) {
                self.disk.remove_file(&path).doing("remove", &path)?;
            }
        }
        while keep > 0 && self.segments.len() > keep && self.oldest_is_unneeded(below) {
            let Some(name) = self.remove_oldest()? else { break };
            removed.push(name);
        }
        Ok(removed)
    }

    fn oldest_is_unneeded(&self, below: u64) -> bool {
        let [oldest, next, ..] = &self.segments[..] else { return false };
        let commit = self.hard_state().commit;
        let Some((index, sequence)) = self.snapshots.iter().rfind(|(index, _)| *index <= commit) else {
            return false;
        };
        next.name.index <= below.min(*index) && *sequence > oldest.name.sequence
    }

    fn remove_oldest(&mut self) -> Result<Option<SegmentName>, WalError> {
        let name = self.segments[0].name;
        let path = name.path(&self.dir);
        // Our own lock first: the next description would not get past it.
        self.segments[0].file = None;
        let file = self.disk.open(&path, OpenMode::ReadWrite).doing("open", &path)?;
        if !file.try_lock(LockKind::OpenFileDescription).doing("lock", &path)? {
            return Ok(None);
        }
        self.disk.remove_file(&path).doing("remove", &path)?;
        self.segments.remove(0);
        self.snapshots.retain(|(_, sequence)| *sequence > name.sequence);
        self.guarded(|wal| wal.disk.sync_dir(&wal.dir).doing("sync", &wal.dir))?;
        if let Some(dir) = &self.options.side_dir {
            // What stays is removed when the log is opened next.
            let _ = self.disk.remove_file(&side::path(dir, name));
        }
        Ok(Some(name))
    }
}
