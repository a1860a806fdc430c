//! What of a damaged data directory is lost (RELIABILITY.md, P8): read-only, for a member that has nobody to get it from.

use std::{collections::BTreeSet, fmt::Write, path::Path};

use bolt::{Db, Gap, Options};
use types::{Revision, bucket};
use wal::{LostRecord, WalError};

use crate::{Failure, dbfile};

/// Kind of an entry's record (contract/semantics.md 14.9).
const ENTRY: u8 = 2;
/// Stretches that are listed one by one.
const LISTED_MAX: usize = 100;

/// What was found, as text, and whether anything is lost.
pub(crate) struct Loss {
    pub(crate) text: String,
    pub(crate) any: bool,
}

/// Reads the log and the database of a member that is stopped.
///
/// # Errors
/// When there is nothing to read, or another process has it open.
pub(crate) fn read(data_dir: &Path, wal_dir: Option<&Path>) -> Result<Loss, Failure> {
    let mut loss = Loss { text: String::new(), any: false };
    let applied = loss.database(data_dir)?;
    let wal_dir = wal_dir.map_or_else(|| data_dir.join("member/wal"), Path::to_path_buf);
    loss.log(data_dir, &wal_dir, applied)?;
    Ok(loss)
}

impl Loss {
    fn line(&mut self, text: &str) {
        // A string takes whatever comes.
        let _ = writeln!(self.text, "{text}");
    }

    fn lost(&mut self, text: &str) {
        self.any = true;
        self.line(text);
    }

    /// Lists what cannot be read; gives up to which log index the database holds everything, if that can be read.
    fn database(&mut self, data_dir: &Path) -> Result<Option<u64>, Failure> {
        let path = data_dir.join("member/snap/db");
        let side = data_dir.join("member/mainstay");
        let side_dir = side.exists().then_some(side);
        let witness = if side_dir.is_some() {
            "each page is compared with its checksum"
        } else {
            "there are no checksums beside it, so that values that changed cannot be told"
        };
        self.line(&format!("database {}: {witness}", path.display()));
        let options = Options { read_only: true, side_dir, ..Options::default() };
        let db = match Db::open(dbfile::disk(), &path, options) {
            Ok(db) => db,
            Err(error @ bolt::BoltError::Locked { .. }) => return Err(Failure::new(error.to_string())),
            Err(error) => {
                self.lost(&format!("  all of it is lost: {error}"));
                return Ok(None);
            }
        };
        let snapshot = db.snapshot();
        let gaps = bolt::gaps(&snapshot);
        for gap in gaps.iter().take(LISTED_MAX) {
            self.lost(&format!("  {} ({})", stretch(gap), gap.what));
        }
        if gaps.len() > LISTED_MAX {
            self.line(&format!("  and {} more stretches", gaps.len() - LISTED_MAX));
        }
        let index = snapshot.get(bucket::META, bucket::meta::CONSISTENT_INDEX).ok().flatten();
        let applied = index.and_then(|bytes| <[u8; 8]>::try_from(&bytes[..]).ok()).map(u64::from_be_bytes);
        match applied {
            Some(applied) if gaps.is_empty() => {
                self.line(&format!("  nothing is lost; it holds the log up to index {applied}"));
            }
            Some(applied) => self.line(&format!("  the rest holds the log up to index {applied}")),
            None => self.lost("  up to which index it holds the log is lost"),
        }
        Ok(applied)
    }

    fn log(&mut self, data_dir: &Path, wal_dir: &Path, applied: Option<u64>) -> Result<(), Failure> {
        let side = data_dir.join("member/mainstay/wal");
        let side_dir = side.exists().then_some(side);
        self.line(&format!("log {}", wal_dir.display()));
        match wal::read(&*dbfile::disk(), wal_dir, side_dir.as_deref()) {
            Ok(recovered) => {
                let (start, entries) = (recovered.start.index, recovered.entries.len());
                let last = recovered.entries.last().map_or(start, |entry| entry.index);
                self.line(&format!("  nothing is lost; {entries} entries from {} to {last}", start + 1));
            }
            Err(error @ WalError::NotFound { .. }) => self.lost(&format!("  all of it is lost: {error}")),
            Err(WalError::Damaged { segment, offset, cause, first_lost_index, lost }) => {
                self.lost(&format!("  {} at byte {offset}: {cause}", segment.display()));
                self.records(&lost, first_lost_index, applied);
            }
            Err(error) => return Err(Failure::new(error.to_string())),
        }
        Ok(())
    }

    fn records(&mut self, lost: &[LostRecord], first_lost: u64, applied: Option<u64>) {
        let entries: BTreeSet<u64> =
            lost.iter().filter(|record| record.kind == ENTRY).map(|record| record.index).collect();
        if entries.is_empty() {
            self.lost(&format!(
                "  nothing names what was there: entries from index {first_lost} on are lost or in doubt"
            ));
            return;
        }
        let applied = applied.unwrap_or(0);
        let (held, gone): (Vec<u64>, Vec<u64>) = entries.iter().partition(|index| **index <= applied);
        if !held.is_empty() {
            self.line(&format!("  lost here, and in the database: entries {}", runs(&held)));
        }
        if !gone.is_empty() {
            self.lost(&format!("  lost, and possibly acknowledged: entries {}", runs(&gone)));
        }
    }
}

/// Which keys of which bucket.
fn stretch(gap: &Gap) -> String {
    let Some(name) = &gap.bucket else { return "any bucket may be lost".to_owned() };
    let shown = |key: &[u8]| match Revision::decode(key) {
        Some((revision, _)) if name == bucket::KEY => format!("revision {}.{}", revision.main, revision.sub),
        _ => format!("key {}", cmdline::golang::quote(&String::from_utf8_lossy(key))),
    };
    match (&gap.from, &gap.to) {
        (None, None) => format!("bucket {name}: everything is lost"),
        (Some(from), None) => format!("bucket {name}: everything from {} on is lost", shown(from)),
        (None, Some(to)) => format!("bucket {name}: everything before {} is lost", shown(to)),
        (Some(from), Some(to)) => {
            format!("bucket {name}: everything from {} up to before {} is lost", shown(from), shown(to))
        }
    }
}

/// Ascending numbers, runs of them as `FIRST-LAST`.
fn runs(numbers: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let shown = |&(first, last): &(u64, u64)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    runs.iter().map(shown).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_runs() {
        assert_eq!(runs(&[]), "");
        assert_eq!(runs(&[3, 4, 5, 9, 11, 12]), "3-5, 9, 11-12");
    }
}
