//! The log that is open for writing.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use types::raft::{Entry, HardState};
use vfs::{Disk, File};

use types::mutant::{self, Mutant};

use crate::{
    cut,
    error::{Context, WalError},
    frame::{Encoder, RecordKind},
    limits::{BUFFER_KEPT_BYTES, RECORD_BYTES_MAX},
    name::SegmentName,
    options::WalOptions,
    prepare::SegmentPreparer,
    record::{Metadata, Record, SnapshotRecord, encode_hard_state, hard_state_len},
    side::{Row, SideWriter},
};

/// A log that is open for writing. One per directory: the locks see to it.
///
/// A batch is what one [`Wal::append`] writes; it is acknowledged to anybody only after [`Wal::sync`] returned.
/// After any failed write or sync nothing more is written: what is on disk is unknown until the next start.
pub struct Wal {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) options: WalOptions,
    pub(crate) metadata: Metadata,
    /// The metadata record, repeated as it is at the head of each segment.
    pub(crate) metadata_bytes: Bytes,
    /// All that are there, oldest first; never empty. The last one is written to.
    pub(crate) segments: Vec<LiveSegment>,
    /// Segments from before a hole in the row: no part of the log, and removed with the next that go.
    pub(crate) left: Vec<PathBuf>,
    /// End of the last record in the last segment, in bytes.
    pub(crate) end: u64,
    pub(crate) encoder: Encoder,
    /// The last one written; `None` in a new log.
    pub(crate) hard_state: Option<HardState>,
    /// Index of the last entry or snapshot record.
    pub(crate) last_index: u64,
    /// Snapshot records that are still in some segment, with its sequence number; oldest first.
    pub(crate) snapshots: Vec<(u64, u64)>,
    pub(crate) side: Side,
    pub(crate) preparer: SegmentPreparer,
    /// Whether something was written since the last sync.
    pub(crate) unsynced: bool,
    /// Why nothing may be written any more.
    pub(crate) poisoned: Option<String>,
}

/// A segment that is there.
pub(crate) struct LiveSegment {
    pub(crate) name: SegmentName,
    /// Open and locked, unless released.
    pub(crate) file: Option<Arc<dyn File>>,
    /// Bytes of records; of the last segment, see [`Wal::end`].
    pub(crate) bytes: u64,
}

/// The side file of the last segment.
pub(crate) enum Side {
    /// Not wanted.
    Off,
    On(SideWriter),
    /// Given up until the next cut. The log does without: only protection is lost.
    Failed(String),
}

impl Wal {
    /// Writes a batch, in one call: the entries, then the hard state, even if it is the same as before.
    ///
    /// Syncs the batch before first if that was not done: a batch on disk always means that the one before it is
    /// durable, which is how damage is told from a torn write. Begins a new segment first if one is due.
    ///
    /// # Errors
    /// `OutOfOrder` and `TooLong` when the batch is refused, with nothing written. All others poison the log.
    pub fn append(&mut self, entries: &[Entry], hard_state: HardState) -> Result<(), WalError> {
        self.check_order(entries)?;
        self.guarded(|wal| {
            wal.sync_now()?;
            wal.cut_if_due_now()?;
            wal.write_batch(None, entries, hard_state)
        })
    }

    /// Writes a snapshot record and syncs it. A hard state whose commit is at least its index goes with it, as
    /// the record is not valid without one (contract/semantics.md 14.14). Segments below it are unlocked.
    ///
    /// The caller must have synced the db at that index, and then the `.snap` file (contract/semantics.md 14.20).
    ///
    /// # Errors
    /// All poison the log.
    pub fn save_snapshot(&mut self, snapshot: SnapshotRecord) -> Result<(), WalError> {
        self.guarded(|wal| {
            wal.sync_now()?;
            wal.cut_if_due_now()?;
            let mut hard_state = wal.hard_state.unwrap_or_default();
            hard_state.commit = hard_state.commit.max(snapshot.index);
            wal.write_batch(Some(&snapshot), &[], hard_state)?;
            wal.sync_now()
        })?;
        self.release_below(snapshot.index);
        Ok(())
    }

    /// Makes what was appended durable: one `fdatasync`, none if nothing was appended.
    ///
    /// # Errors
    /// All poison the log.
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.guarded(Wal::sync_now)
    }

    /// Begins a new segment if the last one is full, as `append` would: for a caller with time on his hands.
    ///
    /// # Errors
    /// All poison the log.
    pub fn cut_if_due(&mut self) -> Result<(), WalError> {
        self.guarded(Wal::cut_if_due_now)
    }

    /// Makes the side file durable as far as its records are. To be called about each second; rows that were not
    /// synced before a power loss leave their records unprotected. Failures show in [`Wal::side_error`].
    pub fn sync_side(&mut self) {
        let flush = !self.unsynced && self.poisoned.is_none();
        self.with_side(|side| {
            if flush {
                side.flush()?;
            }
            side.sync()
        });
    }

    /// Syncs everything and removes the prepared segment. Dropping a log without this loses nothing.
    ///
    /// # Errors
    /// When the last batch may not be durable.
    pub fn close(mut self) -> Result<(), WalError> {
        self.sync()?;
        self.sync_side();
        match self.preparer.take() {
            Some(prepared) => self.disk.remove_file(&prepared.path).doing("remove", &prepared.path),
            None => Ok(()),
        }
    }

    /// Who the log belongs to.
    pub fn metadata(&self) -> Metadata {
        self.metadata
    }

    /// Index of the last entry, or of a snapshot record beyond it; 0 in a new log.
    pub fn last_index(&self) -> u64 {
        self.last_index
    }

    /// The last hard state written; zeros in a new log.
    pub fn hard_state(&self) -> HardState {
        self.hard_state.unwrap_or_default()
    }

    /// Bytes of records in all segments.
    pub fn size(&self) -> u64 {
        self.segments.iter().rev().skip(1).map(|segment| segment.bytes).sum::<u64>() + self.end
    }

    /// The segments that are there, oldest first.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = SegmentName> + '_ {
        self.segments.iter().map(|segment| segment.name)
    }

    /// The handle that prepares segments ahead of use.
    pub fn preparer(&self) -> SegmentPreparer {
        self.preparer.clone()
    }

    /// Why new records have no rows in the side file, if they should have. Tried again at each cut.
    pub fn side_error(&self) -> Option<&str> {
        match &self.side {
            Side::Failed(why) => Some(why),
            Side::Off | Side::On(_) => None,
        }
    }

    /// Whether an earlier failure forbids writing.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.is_some()
    }

    /// Refuses batches that do not continue the log or replace its tail.
    fn check_order(&self, entries: &[Entry]) -> Result<(), WalError> {
        let mut last = self.last_index;
        for (i, entry) in entries.iter().enumerate() {
            let fits =
                if i == 0 { entry.index <= last + 1 && entry.index > 0 } else { entry.index == last + 1 };
            if !fits {
                return Err(WalError::OutOfOrder { last, got: entry.index });
            }
            last = entry.index;
            let bytes = proto::raft::entry_len(entry) as u64;
            // A little less than what a reader believes, for the head of the record.
            if bytes > RECORD_BYTES_MAX - 64 {
                return Err(WalError::TooLong { bytes });
            }
        }
        Ok(())
    }

    /// Does something to the disk; a failure poisons the log.
    pub(crate) fn guarded<T>(
        &mut self,
        act: impl FnOnce(&mut Wal) -> Result<T, WalError>,
    ) -> Result<T, WalError> {
        if let Some(why) = &self.poisoned {
            return Err(WalError::Poisoned(why.clone()));
        }
        let result = act(self);
        if let Err(error) = &result {
            self.poisoned = Some(error.to_string());
        }
        result
    }

    fn write_batch(
        &mut self,
        snapshot: Option<&SnapshotRecord>,
        entries: &[Entry],
        hard_state: HardState,
    ) -> Result<(), WalError> {
        self.encoder.buffer.clear();
        if let Some(snapshot) = snapshot {
            let data = snapshot.encode();
            let start =
                self.encoder.record(RecordKind::Snapshot, data.len(), |out| out.extend_from_slice(&data));
            self.name_record(start, RecordKind::Snapshot, (snapshot.index, snapshot.term));
        }
        for entry in entries {
            let len = proto::raft::entry_len(entry);
            let start =
                self.encoder.record(RecordKind::Entry, len, |out| proto::raft::encode_entry(entry, out));
            self.name_record(start, RecordKind::Entry, (entry.index, entry.term));
        }
        self.encode_hard_state(hard_state);
        self.write_buffer()?;
        self.hard_state = Some(hard_state);
        if let Some(last) = entries.last() {
            self.last_index = last.index;
        }
        if let Some(snapshot) = snapshot {
            self.last_index = self.last_index.max(snapshot.index);
            self.snapshots.push((snapshot.index, self.last_segment().name.sequence));
        }
        Ok(())
    }

    pub(crate) fn encode_hard_state(&mut self, state: HardState) {
        let start = self.encoder.record(RecordKind::HardState, hard_state_len(state), |out| {
            encode_hard_state(state, out);
        });
        self.name_record(start, RecordKind::HardState, Record::HardState(state).place());
    }

    /// Prepares the side file's row for the record that starts at `start` in the buffer.
    pub(crate) fn name_record(&mut self, start: usize, kind: RecordKind, (index, term): (u64, u64)) {
        if let Side::On(side) = &mut self.side {
            let frame = &self.encoder.buffer[start..];
            let (length, crc) = (frame.len() as u32, crc32c::crc32c(frame));
            side.push(&Row { offset: self.end + start as u64, kind, length, crc, index, term });
        }
    }

    fn write_buffer(&mut self) -> Result<(), WalError> {
        let file = self.tail_file()?;
        // From here on until a sync, what is on disk is anybody's guess.
        self.unsynced = true;
        file.write_all_at(&self.encoder.buffer, self.end).doing("append to", &self.tail_path())?;
        self.end += self.encoder.buffer.len() as u64;
        if self.encoder.buffer.capacity() > BUFFER_KEPT_BYTES {
            self.encoder.buffer = bytes::BytesMut::new();
        }
        Ok(())
    }

    pub(crate) fn sync_now(&mut self) -> Result<(), WalError> {
        if !self.unsynced {
            return Ok(());
        }
        let mut synced = self.tail_file()?.sync_data();
        if mutant::is_on(Mutant::SyncAgain) {
            synced = synced.or_else(|_| self.tail_file().map_or(Ok(()), |file| file.sync_data()));
        }
        synced.doing("sync", &self.tail_path())?;
        self.unsynced = false;
        // Only now: a row that outlives a power loss must name a record that does.
        self.with_side(SideWriter::flush);
        Ok(())
    }

    fn cut_if_due_now(&mut self) -> Result<(), WalError> {
        if self.end >= self.options.segment_bytes { cut::cut(self) } else { Ok(()) }
    }

    /// Does something to the side file, and gives it up if that fails.
    pub(crate) fn with_side(&mut self, act: impl FnOnce(&mut SideWriter) -> std::io::Result<()>) {
        if let Side::On(side) = &mut self.side
            && let Err(error) = act(side)
        {
            self.side = Side::Failed(error.to_string());
        }
    }

    pub(crate) fn last_segment(&self) -> &LiveSegment {
        self.segments.last().expect("a log has at least one segment, and purge keeps one")
    }

    pub(crate) fn tail_file(&self) -> Result<Arc<dyn File>, WalError> {
        let file = self.last_segment().file.clone();
        Ok(file.expect("the last segment is never released"))
    }

    pub(crate) fn tail_path(&self) -> PathBuf {
        self.last_segment().name.path(&self.dir)
    }

    /// Unlocks all segments before the one that holds `index`, so that they can be purged.
    pub(crate) fn release_below(&mut self, index: u64) {
        let needed = segment_of(&self.segments, index);
        for segment in &mut self.segments[..needed] {
            segment.file = None;
        }
    }
}

/// Position of the segment to start from for `index`: the last one whose name is not above it.
pub(crate) fn segment_of(segments: &[LiveSegment], index: u64) -> usize {
    segments.iter().rposition(|segment| segment.name.index <= index).unwrap_or(0)
}

impl std::fmt::Debug for Wal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wal")
            .field("tail", &self.tail_path())
            .field("end", &self.end)
            .field("last_index", &self.last_index)
            .field("hard_state", &self.hard_state)
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

/// The directory that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
