//! Putting lost records back, to the byte.
//!
//! The side file names each record by index, term and a checksum of its frame. The same entry from another member,
//! encoded again at the same place of the checksum chain, must give that very frame; if it does, the log is what
//! it was. Nothing else is written: the log never becomes shorter than what was acknowledged, and nothing is
//! guessed.

use std::{collections::BTreeMap, path::Path};

use types::raft::{Entry, HardState};
use vfs::{Disk, OpenMode};

use crate::{
    error::{Context, DamageCause, LostRecord, WalError},
    frame::{Encoder, RecordKind, frame_parts},
    next::{Next, next},
    open::open_segments,
    prepare::lock,
    record::{Record, SnapshotRecord, encode_hard_state, hard_state_len},
    side::{self, Row},
    walk::Segment,
    window::Window,
};

/// Rewrites every frame that the side files name and the segments lack, from `entries`, and gives how many it
/// was. To be called with the entries that [`WalError::Damaged`] named, before the log is opened again.
///
/// Hard states come back too, if their vote is that of another hard state in the segment, or 0; the checksum
/// tells. Heads of segments and snapshot records, but for that of a new log, do not.
///
/// # Errors
/// `Locked`, `Io`; `Damaged` when something is missing that the entries do not give. What could be put back
/// before that was.
pub fn mend(disk: &dyn Disk, dir: &Path, side_dir: &Path, entries: &[Entry]) -> Result<usize, WalError> {
    let segments = open_segments(disk, dir, OpenMode::ReadWrite)?;
    let entries: BTreeMap<(u64, u64), &Entry> = entries.iter().map(|e| ((e.index, e.term), e)).collect();
    let mut mended = 0;
    for segment in &segments {
        lock(&*segment.file, &segment.path)?;
        mended += Mending::new(disk, side_dir, segment)?.run(&entries)?;
    }
    Ok(mended)
}

struct Mending<'a> {
    segment: &'a Segment,
    rows: Vec<Row>,
    /// Votes of the hard states that can be read, and 0.
    votes: Vec<u64>,
}

impl<'a> Mending<'a> {
    fn new(disk: &dyn Disk, side_dir: &Path, segment: &'a Segment) -> Result<Mending<'a>, WalError> {
        let mut window = Window::new(segment.file.clone()).doing("open", &segment.path)?;
        let bad_head = || {
            let cause = DamageCause::BadFrame("the head of the segment cannot be mended".to_owned());
            damaged(segment, 0, cause, Vec::new())
        };
        let Next::Frame(head) = next(&mut window, 0, None).doing("read", &segment.path)? else {
            return Err(bad_head());
        };
        let second = next(&mut window, head.end, Some(head.crc)).doing("read", &segment.path)?;
        let Next::Frame(second) = second else { return Err(bad_head()) };
        let Record::Metadata(_, metadata) = second.record else { return Err(bad_head()) };
        let binding = side::binding(segment.name, &metadata, head.crc);
        let rows =
            side::load(disk, side_dir, segment.name, binding).doing("read the side file in", side_dir)?;
        Ok(Mending { segment, rows: rows.rows, votes: vec![0] })
    }

    /// Goes along the frames by the rows, and by the frames themselves where there is no row.
    fn run(mut self, entries: &BTreeMap<(u64, u64), &Entry>) -> Result<usize, WalError> {
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
            let Some((frame, crc)) = chain.and_then(|chain| self.rebuild(row, chain, entries)) else {
                let cause = DamageCause::SideFile("nothing given is the record that was written".to_owned());
                return Err(damaged(segment, row.offset, cause, vec![row.lost(segment.name.sequence)]));
            };
            file.write_all_at(&frame, row.offset).doing("mend", &segment.path)?;
            mended += 1;
            (offset, chain) = (end, Some(crc));
            // What was read ahead is no longer what is there.
            window = Window::new(file.clone()).doing("open", &segment.path)?;
        }
        if mended > 0 {
            file.sync_data().doing("sync", &segment.path)?;
        }
        Ok(mended)
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
        entries: &BTreeMap<(u64, u64), &Entry>,
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
            RecordKind::Snapshot if row.index == 0 => {
                let data = SnapshotRecord::default().encode();
                let mut encoder = Encoder::new(chain);
                encoder.record(RecordKind::Snapshot, data.len(), |out| out.extend_from_slice(&data));
                fits(encoder)
            }
            RecordKind::Metadata | RecordKind::Crc | RecordKind::Snapshot => None,
        }
    }
}

fn damaged(segment: &Segment, offset: u64, cause: DamageCause, lost: Vec<LostRecord>) -> WalError {
    let first_lost_index = lost.iter().map(|r| r.index).min().unwrap_or(segment.name.index);
    WalError::Damaged { segment: segment.path.clone(), offset, cause, first_lost_index, lost }
}
