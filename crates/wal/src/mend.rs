//! Putting lost records back, to the byte.
//!
//! The side file names each record by index, term and a checksum of its frame. The same entry from another member,
//! encoded again at the same place of the checksum chain, must give that very frame; if it does, the log is what
//! it was. So it is with snapshot records, which `.snap` files repeat, and with heads of segments. Nothing else is written: the log never becomes shorter than what was acknowledged, and nothing is
//! guessed.

use std::{collections::BTreeMap, path::Path};

use bytes::Bytes;
use types::raft::{Entry, HardState};
use vfs::{Disk, OpenMode};

use crate::{
    error::{Context, DamageCause, LostRecord, WalError},
    frame::{Encoder, RecordKind, frame_parts},
    limits::LOST_RECORDS_MAX,
    next::{Frame, Next, next},
    open::open_segments,
    prepare::lock,
    record::{Metadata, Record, SnapshotRecord, encode_hard_state, hard_state_len},
    side::{self, Row},
    walk::Segment,
    window::Window,
};

/// What lost records can be made of again; each is checked against the bytes that were there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spare<'a> {
    /// Those that [`WalError::Damaged`] named, from other members.
    pub entries: &'a [Entry],
    /// Whose log it may be, for heads of segments; sound heads of others count, too.
    pub metadata: &'a [Metadata],
    /// What snapshot records may have said.
    pub snapshots: &'a [SnapshotRecord],
}

/// Rewrites every frame that the side files name and the segments lack, from `spare`, and gives how many it
/// was. To be called before the log is opened again.
///
/// Hard states come back too, if their vote is that of another hard state in the segment, or 0; the checksum
/// tells. The head of the oldest segment that is left does so only when it is that of a new log.
///
/// # Errors
/// `Locked`, `Io`; `Damaged` when something is missing that `spare` does not give. What could be put back
/// before that was.
pub fn mend(disk: &dyn Disk, dir: &Path, side_dir: &Path, spare: Spare<'_>) -> Result<usize, WalError> {
    let segments = open_segments(disk, dir, OpenMode::ReadWrite)?;
    let entries: Entries<'_> = spare.entries.iter().map(|e| ((e.index, e.term), e)).collect();
    let mut owners: Vec<Bytes> = spare.metadata.iter().map(|metadata| metadata.encode()).collect();
    for segment in &segments {
        lock(&*segment.file, &segment.path)?;
        if let Some((_, metadata)) = read_head(segment)? {
            owners.push(metadata);
        }
    }
    let mut mended = 0;
    // A log begins with checksum 0.
    let mut chain = segments.first().filter(|segment| segment.name.sequence == 0).map(|_| 0);
    for segment in &segments {
        let (mending, heads) = Mending::new(disk, side_dir, segment, chain, &owners)?;
        let (records, end) = mending.run(&entries, spare.snapshots)?;
        if heads + records > 0 {
            segment.file.sync_data().doing("sync", &segment.path)?;
        }
        mended += heads + records;
        chain = Some(end);
    }
    Ok(mended)
}

/// By index and term.
type Entries<'a> = BTreeMap<(u64, u64), &'a Entry>;

/// The checksum and the metadata that a segment begins with, if both can be read.
fn read_head(segment: &Segment) -> Result<Option<(Frame, Bytes)>, WalError> {
    let mut window = Window::new(segment.file.clone()).doing("open", &segment.path)?;
    let Next::Frame(head) = next(&mut window, 0, None).doing("read", &segment.path)? else { return Ok(None) };
    if !matches!(head.record, Record::Crc(_)) {
        return Ok(None);
    }
    let second = next(&mut window, head.end, Some(head.crc)).doing("read", &segment.path)?;
    let Next::Frame(second) = second else { return Ok(None) };
    let Record::Metadata(_, metadata) = second.record else { return Ok(None) };
    Ok(Some((head, metadata)))
}

struct Mending<'a> {
    segment: &'a Segment,
    rows: Vec<Row>,
    /// Votes of the hard states that can be read, and 0.
    votes: Vec<u64>,
}

impl<'a> Mending<'a> {
    /// Also puts the head of the segment back, and gives how many records that was. `chain` is the checksum before it,
    /// as far as it is known.
    fn new(
        disk: &dyn Disk,
        side_dir: &Path,
        segment: &'a Segment,
        chain: Option<u32>,
        owners: &[Bytes],
    ) -> Result<(Mending<'a>, usize), WalError> {
        let load = |head_crc, metadata: &[u8]| {
            let binding = side::binding(segment.name, metadata, head_crc);
            side::load(disk, side_dir, segment.name, binding).doing("read the side file in", side_dir)
        };
        if let Some((head, metadata)) = read_head(segment)? {
            let rows = load(head.crc, &metadata)?.rows;
            return Ok((Mending { segment, rows, votes: vec![0] }, 0));
        }
        for metadata in owners {
            let Some(chain) = chain else { break };
            let rows = load(chain, metadata)?.rows;
            let mut encoder = Encoder::new(chain);
            encoder.record(RecordKind::Crc, 0, |_| {});
            encoder.record(RecordKind::Metadata, metadata.len(), |out| out.extend_from_slice(metadata));
            let head = encoder.buffer;
            let named = |row: &Row| {
                let frame = head.get(row.offset as usize..).and_then(|rest| rest.get(..row.length as usize));
                frame.is_some_and(|frame| crc32c::crc32c(frame) == row.crc)
            };
            if rows.len() >= 2 && rows[..2].iter().all(named) {
                segment.file.write_all_at(&head, 0).doing("mend", &segment.path)?;
                return Ok((Mending { segment, rows, votes: vec![0] }, 2));
            }
        }
        let cause = DamageCause::BadFrame("the head of the segment cannot be mended".to_owned());
        Err(damaged(segment, 0, cause, Vec::new()))
    }

    /// Goes along the frames by the rows, and by the frames themselves where there is no row. Gives how many it put
    /// back, and the checksum at the end.
    fn run(mut self, entries: &Entries<'_>, snapshots: &[SnapshotRecord]) -> Result<(usize, u32), WalError> {
        let segment = self.segment;
        let file = segment.file.clone();
        let mut window = Window::new(file.clone()).doing("open", &segment.path)?;
        self.collect_votes(&mut window)?;
        let (mut offset, mut chain, mut mended) = (0, None, 0);
        let rows = std::mem::take(&mut self.rows);
        for row in &rows {
            // Up to this row by the frames themselves.
            while offset < row.offset {
                let Next::Frame(frame) = next(&mut window, offset, chain).doing("read", &segment.path)?
                else {
                    let cause = DamageCause::BadFrame("no row names what was here".to_owned());
                    return Err(damaged(segment, offset, cause, vec![row.lost(segment.name.sequence)]));
                };
                (offset, chain) = (frame.end, Some(frame.crc));
            }
            let end = row.offset + u64::from(row.length);
            let sound =
                crc32c::crc32c(window.bytes(row.offset, u64::from(row.length)).doing("read", &segment.path)?)
                    == row.crc;
            if sound
                && let Next::Frame(frame) =
                    next(&mut window, row.offset, chain).doing("read", &segment.path)?
            {
                (offset, chain) = (frame.end, Some(frame.crc));
                continue;
            }
            let Some((frame, crc)) = chain.and_then(|chain| self.rebuild(row, chain, entries, snapshots))
            else {
                let cause = DamageCause::SideFile("nothing given is the record that was written".to_owned());
                let rest = rows.iter().filter(|other| other.offset >= row.offset);
                let lost = lost(segment, &mut window, rest)?;
                return Err(damaged(segment, row.offset, cause, lost));
            };
            file.write_all_at(&frame, row.offset).doing("mend", &segment.path)?;
            mended += 1;
            (offset, chain) = (end, Some(crc));
            // What was read ahead is no longer what is there.
            window = Window::new(file.clone()).doing("open", &segment.path)?;
        }
        while let Next::Frame(frame) = next(&mut window, offset, chain).doing("read", &segment.path)? {
            (offset, chain) = (frame.end, Some(frame.crc));
        }
        Ok((mended, chain.unwrap_or(0)))
    }

    fn collect_votes(&mut self, window: &mut Window) -> Result<(), WalError> {
        for row in self.rows.iter().filter(|row| row.kind == RecordKind::HardState) {
            let frame = window.bytes(row.offset, u64::from(row.length)).doing("read", &self.segment.path)?;
            if crc32c::crc32c(frame) != row.crc {
                continue;
            }
            // The checksum of the whole frame vouches for it, so its place in the chain does not matter here.
            let Some((head, data)) = frame_parts(frame) else { continue };
            if let Some(Record::HardState(state)) = Record::decode(head.kind, head.crc, data)
                && !self.votes.contains(&state.vote)
            {
                self.votes.push(state.vote);
            }
        }
        Ok(())
    }

    /// The frame that `row` names, and the checksum after it.
    fn rebuild(
        &self,
        row: &Row,
        chain: u32,
        entries: &Entries<'_>,
        snapshots: &[SnapshotRecord],
    ) -> Option<(bytes::BytesMut, u32)> {
        let fits = |encoder: Encoder| {
            let same =
                encoder.buffer.len() == row.length as usize && crc32c::crc32c(&encoder.buffer) == row.crc;
            same.then_some((encoder.buffer, encoder.crc))
        };
        match row.kind {
            RecordKind::Entry => {
                let entry = entries.get(&(row.index, row.term))?;
                let mut encoder = Encoder::new(chain);
                let len = proto::raft::entry_len(entry);
                encoder.record(RecordKind::Entry, len, |out| proto::raft::encode_entry(entry, out));
                fits(encoder)
            }
            RecordKind::HardState => self.votes.iter().find_map(|vote| {
                let state = HardState { term: row.term, vote: *vote, commit: row.index };
                let mut encoder = Encoder::new(chain);
                encoder.record(RecordKind::HardState, hard_state_len(state), |out| {
                    encode_hard_state(state, out);
                });
                fits(encoder)
            }),
            RecordKind::Snapshot => {
                let first = SnapshotRecord::default();
                let known = snapshots.iter().chain([&first]);
                let named = known.filter(|record| (record.index, record.term) == (row.index, row.term));
                named.map(SnapshotRecord::encode).find_map(|data| {
                    let mut encoder = Encoder::new(chain);
                    encoder.record(RecordKind::Snapshot, data.len(), |out| out.extend_from_slice(&data));
                    fits(encoder)
                })
            }
            RecordKind::Metadata | RecordKind::Crc => None,
        }
    }
}

/// Those of `rows` whose frames are not on the disk as they were.
pub(crate) fn lost<'a>(
    segment: &Segment,
    window: &mut Window,
    rows: impl IntoIterator<Item = &'a Row>,
) -> Result<Vec<LostRecord>, WalError> {
    let mut lost = Vec::new();
    for row in rows {
        let length = u64::from(row.length);
        let frame = window.bytes(row.offset, length).doing("read", &segment.path)?;
        if frame.len() as u64 != length || crc32c::crc32c(frame) != row.crc {
            lost.push(row.lost(segment.name.sequence));
        }
    }
    lost.truncate(LOST_RECORDS_MAX);
    Ok(lost)
}

fn damaged(segment: &Segment, offset: u64, cause: DamageCause, lost: Vec<LostRecord>) -> WalError {
    let first_lost_index = lost.iter().map(|r| r.index).min().unwrap_or(segment.name.index);
    WalError::Damaged { segment: segment.path.clone(), offset, cause, first_lost_index, lost }
}
