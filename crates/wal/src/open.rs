//! Opening a log that is there: read, verify, lock, repair a torn end.

use std::{io, path::Path, sync::Arc};

use vfs::{Disk, File, OpenMode};

use crate::{
    collect::{Collector, Recovered, Report, TornTail},
    cut::make_side_dir,
    error::{Context, WalError},
    frame::Encoder,
    limits::ZERO_WRITE_BYTES,
    name::{CUT, PREPARED, SegmentName, list_segments},
    options::WalOptions,
    prepare::{SegmentPreparer, lock},
    record::Record,
    side::{self, Row, SideWriter},
    wal::{LiveSegment, Side, Wal, parent},
    walk::{Located, Segment, Walked, walk},
};

/// What a copy of a segment with a torn end is called, after the segment's name.
const BROKEN: &str = ".broken";

impl Wal {
    /// Opens the log in `dir` for writing, and reads what raft needs.
    ///
    /// All segments are locked and read. A torn end is copied and cut off; nothing else is ever changed. On
    /// return everything that was read is durable. Damage is an error: see [`WalError::Damaged`].
    ///
    /// # Errors
    /// `NotFound`, `Locked`, `Damaged`, `Unusable`, `Io`.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: WalOptions) -> Result<(Wal, Recovered), WalError> {
        let side_dir = options.side_dir.as_deref();
        let all = open_segments(&*disk, dir, OpenMode::ReadWrite)?;
        let (left, segments) = part_leftovers(&*disk, dir, all, side_dir);
        for segment in &segments {
            lock(&*segment.file, &segment.path)?;
        }
        let mut reading = Reading::new(&segments);
        let walked = walk(&*disk, &segments, side_dir, &mut |located| reading.take(located))?;
        let (mut recovered, snapshots) = reading.finish(dir, &segments, &walked)?;
        let last = segments.last().expect("open_segments gives at least one");
        recovered.report.torn = repair(&*disk, last, &walked)?;
        // A process that was killed, or stopped because a sync failed, leaves records that can be read but are not
        // durable, and raft is about to be told that they are. After a failed sync the system takes them for
        // written, so a sync alone would do nothing: write them once more.
        rewrite(&*last.file, &walked.unproven).doing("write again", &last.path)?;
        last.file.sync_data().doing("sync", &last.path)?;
        disk.sync_dir(dir).doing("sync", dir)?;
        disk.sync_dir(parent(dir)).doing("sync", parent(dir))?;
        remove_leftovers(&*disk, dir)?;

        let live = |(segment, bytes): (&Segment, u64)| LiveSegment {
            name: segment.name,
            file: Some(segment.file.clone()),
            bytes,
        };
        let lengths = segment_lengths(&segments)?;
        let mut wal = Wal {
            preparer: SegmentPreparer::new(disk.clone(), dir, &options),
            disk,
            dir: dir.to_owned(),
            options,
            metadata: recovered.metadata,
            metadata_bytes: walked.metadata.clone(),
            segments: segments.iter().zip(lengths).map(live).collect(),
            left: left.into_iter().map(|segment| segment.path).collect(),
            end: walked.end,
            encoder: Encoder::new(walked.crc),
            hard_state: (recovered.hard_state != Default::default()).then_some(recovered.hard_state),
            last_index: recovered.entries.last().map_or(recovered.start.index, |entry| entry.index),
            snapshots,
            side: Side::Off,
            unsynced: false,
            poisoned: None,
        };
        wal.release_below(recovered.start.index);
        wal.name_unnamed(walked.unnamed);
        Ok((wal, recovered))
    }

    /// Gives rows to the records that have none, and opens the side file of the last segment.
    fn name_unnamed(&mut self, unnamed: Vec<(u32, Vec<Row>)>) {
        let Some(dir) = self.options.side_dir.clone() else { return };
        let named = (|| {
            make_side_dir(&*self.disk, &dir)?;
            self.remove_stale_sides(&dir)?;
            let mut last = None;
            for (segment, (binding, rows)) in self.segments.iter().zip(unnamed) {
                let is_last = segment.name == self.last_segment().name;
                if rows.is_empty() && !is_last {
                    continue;
                }
                let mut side = SideWriter::open(&*self.disk, &dir, segment.name, binding)?;
                rows.iter().for_each(|row| side.push(row));
                side.flush()?;
                side.sync()?;
                last = Some(side);
            }
            self.disk.sync_dir(&dir)?;
            last.ok_or_else(|| io::Error::other("the last segment has no side file"))
        })();
        self.side = match named {
            Ok(side) => Side::On(side),
            Err(error) => Side::Failed(io::Error::to_string(&error)),
        };
    }

    /// Removes side files of segments that are gone. Those after the last segment were written for another log,
    /// or the walk would have called it damage.
    fn remove_stale_sides(&self, dir: &Path) -> io::Result<()> {
        for (name, path) in side::list(&*self.disk, dir)? {
            if !self.segments.iter().any(|segment| segment.name == name) {
                self.disk.remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// Reads a log without locks and without changing anything: for tools, and for looking before opening. Of a log
/// that is being written, the end may look torn.
///
/// # Errors
/// `NotFound`, `Damaged`, `Unusable`, `Io`.
pub fn read(disk: &dyn Disk, dir: &Path, side_dir: Option<&Path>) -> Result<Recovered, WalError> {
    let all = open_segments(disk, dir, OpenMode::Read)?;
    let (_, segments) = part_leftovers(disk, dir, all, side_dir);
    let mut reading = Reading::new(&segments);
    let walked = walk(disk, &segments, side_dir, &mut |located| reading.take(located))?;
    let (mut recovered, _) = reading.finish(dir, &segments, &walked)?;
    recovered.report.torn = torn_tail(&segments, &walked);
    Ok(recovered)
}

/// Reads a log record by record, without locks and without changing anything, and verifies it.
///
/// # Errors
/// `NotFound`, `Damaged`, `Io`; `visit` has then seen the records before.
pub fn scan(
    disk: &dyn Disk,
    dir: &Path,
    side_dir: Option<&Path>,
    mut visit: impl FnMut(Located),
) -> Result<Report, WalError> {
    let all = open_segments(disk, dir, OpenMode::Read)?;
    let (_, segments) = part_leftovers(disk, dir, all, side_dir);
    let walked = walk(disk, &segments, side_dir, &mut visit)?;
    Ok(Report { torn: torn_tail(&segments, &walked), ..report(&walked) })
}

/// Opens all segments, oldest first.
pub(crate) fn open_segments(disk: &dyn Disk, dir: &Path, mode: OpenMode) -> Result<Vec<Segment>, WalError> {
    let open = |name: SegmentName| {
        let path = name.path(dir);
        let file = disk.open(&path, mode).doing("open", &path)?;
        Ok(Segment { name, path, file })
    };
    list_segments(disk, dir)?.into_iter().map(open).collect()
}

/// Parts what is behind the last hole in the row from what is before it, if a member can start from that alone: etcd
/// starts at the segment of its snapshot and does not look at older ones. A segment that was removed may come back when
/// the power is lost, without those that were removed after it.
fn part_leftovers(
    disk: &dyn Disk,
    dir: &Path,
    mut segments: Vec<Segment>,
    side_dir: Option<&Path>,
) -> (Vec<Segment>, Vec<Segment>) {
    let is_hole = |pair: &[Segment]| pair[0].name.sequence + 1 != pair[1].name.sequence;
    let Some(hole) = segments.windows(2).rposition(is_hole) else { return (Vec::new(), segments) };
    let rest = segments.split_off(hole + 1);
    let mut reading = Reading::new(&rest);
    let walked = walk(disk, &rest, side_dir, &mut |located| reading.take(located));
    let usable = walked.and_then(|walked| reading.finish(dir, &rest, &walked));
    if usable.is_ok() {
        return (segments, rest);
    }
    segments.extend(rest);
    (Vec::new(), segments)
}

/// What is kept while reading.
struct Reading {
    collector: Collector,
    /// Index of each snapshot record, and the sequence number of its segment.
    snapshots: Vec<(u64, u64)>,
    first_index: u64,
}

impl Reading {
    fn new(segments: &[Segment]) -> Reading {
        let first_index = segments.first().map_or(0, |segment| segment.name.index);
        Reading { collector: Collector::default(), snapshots: Vec::new(), first_index }
    }

    fn take(&mut self, located: Located) {
        if let Record::Snapshot(snapshot) = &located.record {
            self.snapshots.push((snapshot.index, located.segment.sequence));
        }
        self.collector.take(located.record);
    }

    fn finish(
        self,
        dir: &Path,
        segments: &[Segment],
        walked: &Walked,
    ) -> Result<(Recovered, Vec<(u64, u64)>), WalError> {
        let mut recovered = self.collector.finish(dir, self.first_index)?;
        recovered.report = Report { torn: torn_tail(segments, walked), ..report(walked) };
        let commit = recovered.hard_state.commit;
        let valid = self.snapshots.into_iter().filter(|(index, _)| *index <= commit).collect();
        Ok((recovered, valid))
    }
}

fn report(walked: &Walked) -> Report {
    Report {
        records: walked.records,
        unprotected: walked.unnamed.iter().map(|(_, rows)| rows.len() as u64).sum(),
        side_bytes_unreadable: walked.side_bytes_unreadable,
        side_files_foreign: walked.side_files_foreign,
        torn: None,
    }
}

fn torn_tail(segments: &[Segment], walked: &Walked) -> Option<TornTail> {
    let what = walked.torn.clone()?;
    let segment = segments.last()?.name.file_name();
    Some(TornTail { segment, offset: walked.end, bytes: walked.used - walked.end, what, copied: false })
}

fn segment_lengths(segments: &[Segment]) -> Result<Vec<u64>, WalError> {
    segments.iter().map(|segment| segment.file.len().doing("measure", &segment.path)).collect()
}

/// Cuts off a torn end, after keeping a copy: everything after the last good record becomes zeros. Doing it twice
/// does no harm, so a power loss in between does none.
fn repair(disk: &dyn Disk, last: &Segment, walked: &Walked) -> Result<Option<TornTail>, WalError> {
    let mut torn = torn_tail(std::slice::from_ref(last), walked);
    if let Some(torn) = &mut torn {
        torn.copied = keep_copy(disk, last, walked.used)?;
        zero(&*last.file, walked.end, walked.used).doing("cut", &last.path)?;
    }
    let len = last.file.len().doing("measure", &last.path)?;
    if len % 8 != 0 {
        // etcd takes the remains of a length word for a torn write (upstream: server/storage/wal/decoder.go).
        last.file.set_len(len - len % 8).doing("cut", &last.path)?;
    }
    Ok(torn)
}

/// Writes what is there once more: whatever a power loss keeps of that, it is what was there. A disk that reads wrong
/// only now must not make it worse, so nothing is written that is not as the walk has found it.
fn rewrite(file: &dyn File, records: &[Row]) -> io::Result<()> {
    let (mut piece, mut at) = (Vec::new(), records.first().map_or(0, |row| row.offset));
    for row in records {
        let from = piece.len();
        piece.resize(from + row.length as usize, 0);
        file.read_exact_at(&mut piece[from..], row.offset)?;
        if crc32c::crc32c(&piece[from..]) != row.crc {
            let what = format!("the record at byte {} reads otherwise than a moment ago", row.offset);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        if piece.len() >= ZERO_WRITE_BYTES {
            file.write_all_at(&piece, at)?;
            at += piece.len() as u64;
            piece.clear();
        }
    }
    if piece.is_empty() { Ok(()) } else { file.write_all_at(&piece, at) }
}

/// Zeros, in steps from the end: until the first length word goes, the same records are found to be torn.
fn zero(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; ZERO_WRITE_BYTES.min((to - from) as usize)];
    let mut end = to;
    while end > from {
        let start = end.saturating_sub(zeros.len() as u64).max(from);
        file.write_all_at(&zeros[..(end - start) as usize], start)?;
        end = start;
    }
    Ok(())
}

/// Keeps the first `used` bytes of a segment as `SEGMENT.broken`, once; whether it did. A full disk is no reason
/// not to start: what is cut off was never acknowledged.
fn keep_copy(disk: &dyn Disk, segment: &Segment, used: u64) -> Result<bool, WalError> {
    let mut name = segment.name.file_name() + BROKEN;
    let kept = segment.path.with_file_name(&name);
    if disk.exists(&kept).doing("look for", &kept)? {
        return Ok(false);
    }
    name += ".tmp";
    let building = segment.path.with_file_name(name);
    let copied = copy(disk, &*segment.file, &building, used).and_then(|()| disk.rename(&building, &kept));
    match copied {
        Err(e) if vfs::is_full(&e) => {
            disk.remove_file(&building).doing("remove", &building)?;
            Ok(false)
        }
        copied => copied.doing("copy to", &kept).map(|()| true),
    }
}

fn copy(disk: &dyn Disk, from: &dyn File, to: &Path, bytes: u64) -> io::Result<()> {
    let to = disk.open(to, OpenMode::Create)?;
    to.set_len(0)?;
    each_piece(from, 0, bytes, |piece, at| to.write_if_room_at(piece, at))?;
    to.sync_data()
}

/// Reads `[start, end)` of a file, and hands each piece to `write` with its offset.
fn each_piece(
    from: &dyn File,
    start: u64,
    end: u64,
    mut write: impl FnMut(&[u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; ZERO_WRITE_BYTES.min((end - start) as usize)];
    let mut at = start;
    while at < end {
        let count = (end - at).min(buffer.len() as u64) as usize;
        from.read_exact_at(&mut buffer[..count], at)?;
        write(&buffer[..count], at)?;
        at += count as u64;
    }
    Ok(())
}

/// Removes what a crash in a cut, a repair or the preparing of a segment left: nothing in it counts.
fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> Result<(), WalError> {
    for entry in disk.list(dir).doing("list", dir)? {
        let known = PREPARED.contains(&entry.name.as_str()) || entry.name == CUT;
        if known || entry.name.ends_with(".broken.tmp") {
            let path = dir.join(&entry.name);
            disk.remove_file(&path).doing("remove", &path)?;
        }
    }
    Ok(())
}
