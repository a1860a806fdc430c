//! What a member that lost something asks of the others before it starts, and what it has for them.
//!
//! Nothing here decides anything: entries are those that the log names, byte by byte (`wal::mend`), and a database is
//! one that a leader could have sent (`boot::repair`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

use types::{ClusterId, MemberId, raft::Entry};
use vfs::Disk;
use wal::{Record, WalError};

use crate::config::Config;

/// Names an entry: no two different ones of a cluster have the same name (raft's log matching).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryName {
    /// Its place in the log.
    pub index: u64,
    /// The term it was proposed in.
    pub term: u64,
}

impl EntryName {
    /// The name of an entry.
    pub fn of(entry: &Entry) -> EntryName {
        EntryName { index: entry.index, term: entry.term }
    }
}

/// Who asks, and whom there is to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kin {
    /// The cluster of both.
    pub cluster: ClusterId,
    /// Who asks.
    pub member: MemberId,
    /// Peer URLs of other members, as far as what is left of this one says; some may be out of date.
    pub urls: Vec<String>,
}

/// The way to other members before this one runs.
pub trait Donors: fmt::Debug + Send + Sync {
    /// Those of the named entries that anybody has, in any order.
    ///
    /// # Errors
    /// When nobody could be asked; the text says who was tried, and what came of it.
    fn entries(&self, kin: &Kin, named: &[EntryName]) -> Result<Vec<Entry>, String>;

    /// Writes databases of other members to `to`, one after the other, until `judge` takes one; the file is there
    /// then, and durable. Of one that `judge` refuses nothing is left.
    ///
    /// # Errors
    /// When there was none that it took; the text says who was tried, and what came of it.
    fn database(
        &self,
        kin: &Kin,
        to: &Path,
        judge: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<(), String>;
}

/// Looks for entries in the log of a member that may run meanwhile; at most `bytes_max` bytes of data, and one entry at
/// least. Blocks.
///
/// # Errors
/// When the log cannot be read and nothing was found before.
pub fn find_entries(
    config: &Config,
    disk: &dyn Disk,
    named: &[EntryName],
    bytes_max: usize,
) -> Result<Vec<Entry>, WalError> {
    let wanted: BTreeSet<EntryName> = named.iter().copied().collect();
    let mut found = BTreeMap::new();
    let mut bytes = 0;
    // Without the side files, which are a step ahead or behind: the asker has his own to judge by.
    let read = wal::scan(disk, &config.wal_dir(), None, |located| {
        if let Record::Entry(entry) = located.record {
            let name = EntryName::of(&entry);
            if wanted.contains(&name) && bytes < bytes_max && !found.contains_key(&name) {
                bytes += entry.data.len();
                found.insert(name, entry);
            }
        }
    });
    if found.is_empty() {
        // The end of a log that is being written may look torn: what came before it counts.
        read?;
    }
    Ok(found.into_values().collect())
}
