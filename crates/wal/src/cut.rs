//! Beginning a segment: the first of a new log, and the next of one that goes on.

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;
use types::raft::HardState;
use vfs::{Disk, File};

use crate::{
    error::{Context, WalError},
    frame::{Encoder, RecordKind, WORD_BYTES, Word, frame_parts},
    name::{CUT, SegmentName, list_segments},
    options::WalOptions,
    prepare::{SegmentPreparer, create_locked, write_zeros},
    record::{Metadata, Record, SnapshotRecord, encode_hard_state, hard_state_len},
    side::{self, Row, SideWriter},
    wal::{LiveSegment, Side, Wal, parent},
};

impl Wal {
    /// Creates a log: checksum 0, metadata, snapshot record 0, all durable, in a directory that appears as a
    /// whole (contract/semantics.md 14.20). `dir` may exist if there is nothing but temporary files in it; its
    /// parent directory must exist and be durable.
    ///
    /// # Errors
    /// `Exists` when something is there; `Io`.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        metadata: Metadata,
        options: WalOptions,
    ) -> Result<Wal, WalError> {
        check_vacant(&*disk, dir)?;
        let building = dir.with_file_name(with_suffix(dir, ".tmp"));
        if disk.exists(&building).doing("look for", &building)? {
            disk.remove_dir_all(&building).doing("remove", &building)?;
        }
        disk.create_dir_all(&building).doing("create", &building)?;
        let name = SegmentName { sequence: 0, index: 0 };
        let file = create_locked(&*disk, &name.path(&building))?;
        let mut wal = Wal {
            preparer: SegmentPreparer::new(disk.clone(), dir, &options),
            disk,
            dir: dir.to_owned(),
            options,
            metadata,
            metadata_bytes: metadata.encode(),
            segments: vec![LiveSegment { name, file: Some(file.clone()), bytes: 0 }],
            left: Vec::new(),
            end: 0,
            encoder: Encoder::new(0),
            hard_state: None,
            last_index: 0,
            snapshots: vec![(0, 0)],
            side: Side::Off,
            unsynced: false,
            poisoned: None,
        };
        wal.write_first(&*file, &name.path(&building))?;
        let disk = wal.disk.clone();
        disk.sync_dir(&building).doing("sync", &building)?;
        rename_durably(&*disk, &building, dir)?;
        wal.open_side(0, true);
        wal.name_head();
        Ok(wal)
    }

    fn write_first(&mut self, file: &dyn File, path: &Path) -> Result<(), WalError> {
        if self.options.prewrite_first {
            write_zeros(file, self.options.segment_bytes).doing("prepare", path)?;
        }
        encode_head(&mut self.encoder, &self.metadata_bytes, None);
        let snapshot = SnapshotRecord::default().encode();
        self.encoder.record(RecordKind::Snapshot, snapshot.len(), |out| out.extend_from_slice(&snapshot));
        file.write_all_at(&self.encoder.buffer, 0).doing("write", path)?;
        file.sync_data().doing("sync", path)?;
        self.end = self.encoder.buffer.len() as u64;
        Ok(())
    }

    /// Gives rows to the records that a segment begins with; they are in the buffer, and durable.
    fn name_head(&mut self) {
        let head = std::mem::take(&mut self.encoder.buffer);
        let mut at = 0;
        while let Some((row, end)) = named_frame(&head, at) {
            self.with_side(|side| {
                side.push(&row);
                Ok(())
            });
            at = end;
        }
        self.with_side(SideWriter::flush);
        self.encoder.buffer = head;
    }

    /// Opens the side file of the last segment, whose first record carries `head_crc`. With `afresh`, side files
    /// of any log that was here before go first.
    pub(crate) fn open_side(&mut self, head_crc: u32, afresh: bool) {
        let Some(dir) = self.options.side_dir.clone() else { return };
        let name = self.last_segment().name;
        let binding = side::binding(name, &self.metadata_bytes, head_crc);
        let opened = (|| {
            if afresh {
                make_side_dir(&*self.disk, &dir)?;
                for (_, path) in side::list(&*self.disk, &dir)? {
                    self.disk.remove_file(&path)?;
                }
            }
            let side = SideWriter::open(&*self.disk, &dir, name, binding)?;
            self.disk.sync_dir(&dir)?;
            Ok(side)
        })();
        self.side = match opened {
            Ok(side) => Side::On(side),
            Err(error) => Side::Failed(io::Error::to_string(&error)),
        };
    }
}

/// The row of a frame that we encoded at `at` of a segment's first bytes, and where the next one is.
fn named_frame(bytes: &[u8], at: usize) -> Option<(Row, usize)> {
    let word =
        bytes.get(at..at + WORD_BYTES)?.try_into().ok().map(u64::from_le_bytes).and_then(Word::parse)?;
    let end = at + word.frame() as usize;
    let frame = bytes.get(at..end)?;
    let (head, data) = frame_parts(frame)?;
    let (index, term) = Record::decode(head.kind, head.crc, data)?.place();
    let (length, crc) = (frame.len() as u32, crc32c::crc32c(frame));
    Some((Row { offset: at as u64, kind: head.kind, length, crc, index, term }, end))
}

/// Creates the directory of the side files, durably.
pub(crate) fn make_side_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    disk.create_dir_all(dir)?;
    disk.sync_dir(parent(dir))?;
    disk.sync_dir(parent(parent(dir)))
}

/// Begins the next segment (contract/semantics.md 14.20). At each step, what is on disk is a whole log.
pub(crate) fn cut(wal: &mut Wal) -> Result<(), WalError> {
    let (old, old_path) = (wal.tail_file()?, wal.tail_path());
    if old.len().doing("measure", &old_path)? != wal.end {
        old.set_len(wal.end).doing("cut", &old_path)?;
    }
    old.sync_data().doing("sync", &old_path)?;
    wal.with_side(|side| {
        side.flush()?;
        side.sync()
    });

    let building = wal.dir.join(CUT);
    let file = new_segment_file(wal, &building)?;
    let head_crc = wal.encoder.crc;
    wal.encoder.buffer.clear();
    encode_head(&mut wal.encoder, &wal.metadata_bytes, wal.hard_state);
    let bytes = wal.encoder.buffer.len() as u64;
    file.write_all_at(&wal.encoder.buffer, 0).doing("write", &building)?;
    file.sync_data().doing("sync", &building)?;

    let name = SegmentName { sequence: wal.last_segment().name.sequence + 1, index: wal.last_index + 1 };
    let path = name.path(&wal.dir);
    rename_durably(&*wal.disk, &building, &path)?;
    if let Some(last) = wal.segments.last_mut() {
        last.bytes = wal.end;
    }
    wal.segments.push(LiveSegment { name, file: Some(file), bytes: 0 });
    wal.end = bytes;
    wal.open_side(head_crc, false);
    wal.name_head();
    Ok(())
}

/// Gives what is under a temporary name its own, durably. A sync that fails is not made good by a later one, and who
/// opens the log next would see the name and believe in it: so it is taken back.
fn rename_durably(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), WalError> {
    disk.rename(from, to).doing("rename to", to)?;
    let synced = disk.sync_dir(parent(to)).doing("sync", parent(to));
    if synced.is_err() {
        let _ = disk.rename(to, from);
    }
    synced
}

/// The file of the next segment, under a name that etcd never opens: its head is about to be written, and etcd's
/// own temporary names must hold zeros only.
fn new_segment_file(wal: &Wal, building: &Path) -> Result<Arc<dyn File>, WalError> {
    if let Some(prepared) = wal.preparer.take() {
        wal.disk.rename(&prepared.path, building).doing("rename to", building)?;
        // Else a power loss could leave the head under the old name.
        wal.disk.sync_dir(&wal.dir).doing("sync", &wal.dir)?;
        return Ok(prepared.file);
    }
    if wal.disk.exists(building).doing("look for", building)? {
        wal.disk.remove_file(building).doing("remove", building)?;
    }
    create_locked(&*wal.disk, building)
}

/// The records that each segment begins with (contract/semantics.md 14.9).
fn encode_head(encoder: &mut Encoder, metadata: &Bytes, hard_state: Option<HardState>) {
    encoder.record(RecordKind::Crc, 0, |_| {});
    encoder.record(RecordKind::Metadata, metadata.len(), |out| out.extend_from_slice(metadata));
    if let Some(state) = hard_state {
        encoder.record(RecordKind::HardState, hard_state_len(state), |out| encode_hard_state(state, out));
    }
}

/// Refuses a directory that holds anything but temporary files.
fn check_vacant(disk: &dyn Disk, dir: &Path) -> Result<(), WalError> {
    if !disk.exists(dir).doing("look for", dir)? {
        return Ok(());
    }
    let entries = disk.list(dir).doing("list", dir)?;
    if entries.iter().any(|entry| !entry.name.ends_with(".tmp")) {
        return Err(WalError::Exists { dir: dir.to_owned() });
    }
    disk.remove_dir_all(dir).doing("remove", dir)
}

/// The last element of `dir` with `suffix` behind it.
fn with_suffix(dir: &Path, suffix: &str) -> std::ffi::OsString {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    name
}

/// Whether there is a log in `dir`.
///
/// # Errors
/// When the directory cannot be listed.
pub fn exists(disk: &dyn Disk, dir: &Path) -> Result<bool, WalError> {
    match list_segments(disk, dir) {
        Ok(_) => Ok(true),
        Err(WalError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
