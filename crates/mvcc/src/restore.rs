//! Restore: the index from the rows (contract/semantics.md 14.3), the compaction from two keys of `meta` (14.4).

use std::collections::BTreeMap;

use bolt::Snapshot;
use bytes::Bytes;
use types::{
    LeaseId, Revision,
    bucket::{self, meta},
    mutant::{self, Mutant},
};

use crate::{
    MvccError, Store,
    compact::Compaction,
    error::Corruption,
    hash::CompactionHashes,
    index::{KeyIndex, Record},
    limits::ROW_BYTES_MAX,
    outbox::Outbox,
    pins::Pins,
    row::KeyValue,
};

/// What has been read so far.
#[derive(Default)]
struct Restored {
    index: KeyIndex,
    last: Revision,
    /// Leases of keys whose newest row names one.
    leases: BTreeMap<Vec<u8>, LeaseId>,
}

/// See [`Store::open`].
pub(crate) fn open(snapshot: Snapshot) -> Result<(Store, Vec<(LeaseId, Bytes)>), MvccError> {
    let finished = meta_revision(&snapshot, "finishedCompactRev", meta::FINISHED_COMPACT)?.unwrap_or(-1);
    let scheduled = meta_revision(&snapshot, "scheduledCompactRev", meta::SCHEDULED_COMPACT)?.unwrap_or(-1);
    let restored = read_rows(&snapshot)?;
    let compactions = if mutant::is_on(Mutant::RevisionFromRows) { 1 } else { finished.max(scheduled) };
    let store = Store {
        snapshot,
        index: restored.index,
        // Compaction may have taken the newest rows away.
        revision: restored.last.main.max(compactions).max(1),
        compacted: finished.max(scheduled),
        outbox: Outbox::default(),
        pins: Pins::default(),
        compaction: Compaction::restored(finished, scheduled),
        hashes: CompactionHashes::default(),
    };
    let leases = restored.leases.into_iter().map(|(key, lease)| (lease, Bytes::from(key)));
    Ok((store, leases.collect()))
}

fn meta_revision(snapshot: &Snapshot, name: &'static str, key: &[u8]) -> Result<Option<i64>, MvccError> {
    match snapshot.get(bucket::META, key)? {
        None => Ok(None),
        Some(value) => match Revision::decode(&value) {
            Some((revision, false)) => Ok(Some(revision.main)),
            _ => Err(Corruption::Meta(name).into()),
        },
    }
}

fn read_rows(snapshot: &Snapshot) -> Result<Restored, MvccError> {
    let mut restored = Restored::default();
    let mut cursor = snapshot.cursor(bucket::KEY)?;
    let mut first = true;
    while let Some((key, row)) = cursor.next_ref()? {
        let (revision, tombstone) = Revision::decode(key)
            .filter(|(revision, _)| u32::try_from(revision.sub).is_ok())
            .ok_or(Corruption::RowKey { after: restored.last })?;
        if revision <= restored.last && !first {
            return Err(Corruption::RowOrder(revision).into());
        }
        first = false;
        restored.add(revision, tombstone, row)?;
    }
    Ok(restored)
}

impl Restored {
    fn add(&mut self, rev: Revision, tombstone: bool, row: &[u8]) -> Result<(), Corruption> {
        let fields =
            KeyValue::decode(row).filter(|_| row.len() <= ROW_BYTES_MAX).ok_or(Corruption::Row(rev))?;
        let row_len = row.len() as u32;
        self.index.push(fields.key, |newest| {
            if tombstone {
                return Record { rev, create_revision: 0, version: 0, row_len, tombstone };
            }
            let (create_revision, version) = match newest.filter(|record| !record.tombstone) {
                // The first row that is left of a life tells how the key came to it; later ones count on from there.
                None => (fields.create_revision, fields.version),
                Some(record) => (record.create_revision, record.version.wrapping_add(1)),
            };
            Record { rev, create_revision, version, row_len, tombstone }
        });
        self.note_lease(&fields, tombstone);
        self.last = rev;
        Ok(())
    }

    fn note_lease(&mut self, fields: &KeyValue<'_>, tombstone: bool) {
        if mutant::is_on(Mutant::LeaseKeysForgotten) {
            return;
        }
        if fields.lease != 0 && !tombstone {
            self.leases.insert(fields.key.to_vec(), LeaseId(fields.lease));
        } else if !self.leases.is_empty() {
            self.leases.remove(fields.key);
        }
    }
}
