//! Walks all segments from the oldest, record by record, and verifies what there is to verify.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use types::{
    mutant::{self, Mutant},
    raft::HardState,
};
use vfs::{Disk, File};

use crate::{
    error::{Context, DamageCause, LostRecord, WalError},
    frame::RecordKind,
    limits::LOST_RECORDS_MAX,
    mend::lost,
    name::SegmentName,
    next::{Frame, Next, next, row_of},
    record::Record,
    side::{self, Row, Rows},
    tail,
    window::Window,
};

/// An open segment.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
}

/// A verified record and its place.
#[derive(Clone, Debug)]
pub struct Located {
    /// The segment it is in.
    pub segment: SegmentName,
    /// Where its frame starts, in bytes.
    pub offset: u64,
    /// Length of the frame, in bytes.
    pub length: u64,
    /// The record.
    pub record: Record,
    /// Whether the side file vouches for every byte of the frame.
    pub named: bool,
}

/// Where the walk ended, and what it saw on the way.
#[derive(Default)]
pub(crate) struct Walked {
    /// End of the last good frame of the last segment, in bytes.
    pub(crate) end: u64,
    /// One past the last byte of the last segment that is not zero, or `end`.
    pub(crate) used: u64,
    /// The records of the last segment that may never have been durable, up to `end`: all before were synced, as later
    /// ones prove.
    pub(crate) unproven: Vec<Row>,
    /// How the frame at `end` is bad, if a torn write is there.
    pub(crate) torn: Option<String>,
    /// The checksum so far.
    pub(crate) crc: u32,
    pub(crate) metadata: Bytes,
    pub(crate) records: u64,
    /// Rows for the records that the side file does not name, and what binds the file, by segment.
    pub(crate) unnamed: Vec<(u32, Vec<Row>)>,
    pub(crate) side_bytes_unreadable: u64,
    pub(crate) side_files_foreign: u64,
}

/// Walks `segments`; `side_dir` holds their side files, if there are to be any.
pub(crate) fn walk(
    disk: &dyn Disk,
    segments: &[Segment],
    side_dir: Option<&Path>,
    visit: &mut dyn FnMut(Located),
) -> Result<Walked, WalError> {
    let mut walk = Walk {
        disk,
        side_dir,
        visit,
        done: Walked::default(),
        chain: None,
        last: None,
        last_index: 0,
        batch: Batch::default(),
    };
    let mut previous: Option<(&Segment, u64)> = None;
    for (i, segment) in segments.iter().enumerate() {
        if let Some((before, end)) = previous
            && before.name.sequence + 1 != segment.name.sequence
        {
            let what = format!(
                "walpb: crc mismatch: the next segment is {}, some in between are missing",
                segment.name.file_name()
            );
            return Err(walk.damaged(before, end, DamageCause::Chain(what), Vec::new()));
        }
        let end = walk.segment(segment, previous, i + 1 == segments.len())?;
        previous = Some((segment, end));
    }
    if let Some((last, end)) = previous
        && walk.done.torn.is_none()
    {
        walk.check_deleted(last, end)?;
    }
    Ok(walk.done)
}

struct Walk<'a> {
    disk: &'a dyn Disk,
    side_dir: Option<&'a Path>,
    visit: &'a mut dyn FnMut(Located),
    done: Walked,
    /// Checksum so far; unknown before the first record of the first segment.
    chain: Option<u32>,
    last: Option<HardState>,
    last_index: u64,
    batch: Batch,
}

/// How far the batch is that is being read.
#[derive(Default)]
struct Batch {
    has_entry: bool,
    /// A hard state was read that only a synced save can be followed by anything.
    closed: bool,
}

impl Walk<'_> {
    /// Walks one segment and gives where its records end.
    fn segment(
        &mut self,
        segment: &Segment,
        previous: Option<(&Segment, u64)>,
        is_last: bool,
    ) -> Result<u64, WalError> {
        let mut window = Window::new(segment.file.clone()).doing("open", &segment.path)?;
        let (rows, binding) = self.head(segment, &mut window, previous)?;
        let mut rows = RowCursor { rows, next: 0 };
        let mut unnamed = Vec::new();
        (self.done.unproven, self.batch) = (Vec::new(), Batch::default());
        let mut offset = 0;
        let bad = loop {
            match next(&mut window, offset, self.chain).doing("read", &segment.path)? {
                Next::End => break None,
                Next::Bad(what) => break Some(what),
                Next::Frame(Frame { record: Record::Metadata(_, bytes), .. })
                    if bytes != self.done.metadata =>
                {
                    break Some("wal: conflicting metadata found: not that of the segment's head".to_owned());
                }
                Next::Frame(frame) => {
                    let row = row_of(&frame, offset);
                    let named = match rows.check(&row) {
                        Ok(named) => named,
                        Err(what) => {
                            let lost = lost(segment, &mut window, rows.remaining(offset))?;
                            return Err(self.damaged(segment, offset, DamageCause::SideFile(what), lost));
                        }
                    };
                    if !named {
                        unnamed.push(row);
                    }
                    self.accept(segment, offset, frame.end - offset, frame.record, named);
                    self.done.unproven.push(row);
                    self.chain = Some(frame.crc);
                    self.done.crc = frame.crc;
                    offset = frame.end;
                }
            }
        };
        self.done.unnamed.push((binding, unnamed));
        let missing = rows.remaining(offset);
        if !missing.is_empty() {
            let what = bad.unwrap_or_else(|| "the records end".to_owned());
            let lost = lost(segment, &mut window, missing)?;
            return Err(self.damaged(segment, offset, DamageCause::SideFile(what), lost));
        }
        if is_last {
            self.tail(segment, &mut window, offset, bad)?;
        } else if let Some(what) = bad {
            let cause = DamageCause::SyncedLater(format!("{what} (there is a later segment)"));
            return Err(self.damaged(segment, offset, cause, Vec::new()));
        }
        Ok(offset)
    }

    /// Checks the first two records of a segment, checksum and metadata, and loads its side file.
    fn head(
        &mut self,
        segment: &Segment,
        window: &mut Window,
        previous: Option<(&Segment, u64)>,
    ) -> Result<(Rows, u32), WalError> {
        let bad_head = |walk: &Self, offset, what: &str| {
            Err(walk.damaged(
                segment,
                offset,
                DamageCause::BadFrame(format!("no segment head: {what}")),
                Vec::new(),
            ))
        };
        let (head_crc, second) = match next(window, 0, None).doing("read", &segment.path)? {
            Next::Frame(Frame { record: Record::Crc(crc), end, .. }) => (crc, end),
            Next::Bad(what) => return bad_head(self, 0, &what),
            Next::End | Next::Frame(_) => return bad_head(self, 0, "the first record is not a checksum"),
        };
        if let (Some(chain), Some((before, end))) = (self.chain, previous)
            && chain != head_crc
        {
            let next = segment.name.file_name();
            let what = format!(
                "walpb: crc mismatch: expected: {head_crc:x} computed: {chain:x} at the head of {next}"
            );
            return Err(self.damaged(before, end, DamageCause::Chain(what), Vec::new()));
        }
        let metadata = match next(window, second, Some(head_crc)).doing("read", &segment.path)? {
            Next::Frame(Frame { record: Record::Metadata(_, bytes), .. }) => bytes,
            Next::Bad(what) => return bad_head(self, second, &what),
            Next::End | Next::Frame(_) => return bad_head(self, second, "the second record is not metadata"),
        };
        if previous.is_some() && self.done.metadata != metadata {
            let what = "wal: conflicting metadata found: not that of the segment before";
            return bad_head(self, second, what);
        }
        let binding = side::binding(segment.name, &metadata, head_crc);
        self.done.metadata = metadata;
        let dir = self.side_dir.filter(|_| !mutant::is_on(Mutant::TailTruncated));
        let Some(dir) = dir else { return Ok((Rows::default(), binding)) };
        let rows = side::load(self.disk, dir, segment.name, binding).doing("read the side file in", dir)?;
        self.done.side_bytes_unreadable += rows.unreadable;
        self.done.side_files_foreign += u64::from(rows.foreign);
        Ok((rows, binding))
    }

    fn accept(&mut self, segment: &Segment, offset: u64, length: u64, record: Record, named: bool) {
        self.follow_batch(&record);
        match &record {
            Record::Entry(entry) => self.last_index = entry.index,
            Record::Snapshot(snapshot) => self.last_index = self.last_index.max(snapshot.index),
            Record::HardState(state) => self.last = Some(*state),
            Record::Metadata(..) | Record::Crc(_) => {}
        }
        self.done.records += 1;
        (self.visit)(Located { segment: segment.name, offset, length, record, named });
    }

    /// Keeps `unproven`, by the same reasoning as in `tail`.
    fn follow_batch(&mut self, record: &Record) {
        if std::mem::take(&mut self.batch.closed) {
            self.done.unproven.clear();
            self.batch.has_entry = false;
        }
        match record {
            Record::Entry(_) => self.batch.has_entry = true,
            Record::HardState(state) => {
                let last = self.last.unwrap_or_default();
                self.batch.closed =
                    self.batch.has_entry || (state.term, state.vote) != (last.term, last.vote);
            }
            Record::Metadata(..) | Record::Crc(_) | Record::Snapshot(_) => {}
        }
    }

    /// Judges the end of the last segment.
    fn tail(
        &mut self,
        segment: &Segment,
        window: &mut Window,
        end: u64,
        bad: Option<String>,
    ) -> Result<(), WalError> {
        let used = window.used_end(end).doing("read", &segment.path)?;
        self.done.end = end;
        self.done.used = used;
        let what = match bad {
            None if used == end => return Ok(()),
            None => "a zero length word with data after it".to_owned(),
            Some(what) => what,
        };
        match tail::judge(window, end, what.clone(), self.last).doing("read", &segment.path)? {
            None => self.done.torn = Some(what),
            Some(cause) => return Err(self.damaged(segment, end, cause, Vec::new())),
        }
        Ok(())
    }

    /// Whether a side file vouches for a segment after the last one: then that segment was deleted.
    fn check_deleted(&self, last: &Segment, end: u64) -> Result<(), WalError> {
        let Some(dir) = self.side_dir else { return Ok(()) };
        for (name, path) in side::list(self.disk, dir).doing("list", dir)? {
            if name.sequence != last.name.sequence + 1 {
                continue;
            }
            let binding = side::binding(name, &self.done.metadata, self.done.crc);
            let rows = side::load(self.disk, dir, name, binding).doing("read", &path)?.rows;
            if !rows.is_empty() {
                let what = format!("the segment after this one, {}, is gone", name.file_name());
                let lost = rows.iter().map(|row| row.lost(name.sequence)).collect();
                return Err(self.damaged(last, end, DamageCause::SideFile(what), lost));
            }
        }
        Ok(())
    }

    fn damaged(
        &self,
        segment: &Segment,
        offset: u64,
        cause: DamageCause,
        mut lost: Vec<LostRecord>,
    ) -> WalError {
        let entries = lost.iter().filter(|r| r.kind == RecordKind::Entry as u8);
        let first_lost_index = entries.map(|r| r.index).min().unwrap_or(self.last_index + 1);
        lost.truncate(LOST_RECORDS_MAX);
        WalError::Damaged { segment: segment.path.clone(), offset, cause, first_lost_index, lost }
    }
}

/// Goes through the rows of a segment beside its frames.
struct RowCursor {
    rows: Rows,
    next: usize,
}

impl RowCursor {
    /// Whether there is a row for this frame. An error when one contradicts it.
    fn check(&mut self, found: &Row) -> Result<bool, String> {
        match self.rows.rows.get(self.next) {
            Some(row) if row.offset < found.offset => Err(format!("no record begins at byte {}", row.offset)),
            Some(row) if row.offset == found.offset && row == found => {
                self.next += 1;
                Ok(true)
            }
            Some(row) if row.offset == found.offset => {
                Err("the record is not the one that was written".to_owned())
            }
            _ => Ok(false),
        }
    }

    /// The rows from this place on.
    fn remaining(&self, offset: u64) -> &[Row] {
        let from = self.rows.rows.partition_point(|row| row.offset < offset);
        &self.rows.rows[from.min(self.next)..]
    }
}
