//! At the first bad frame: was a write torn by a power loss, or were synced records damaged?
//!
//! A torn write is the end of a log that loses nothing: it was never acknowledged, and is cut off. Damage is
//! synced records that became unreadable, and nothing may be cut off. Three witnesses decide, in this order:
//!
//! 1. The side file, if it names a record at or beyond the bad spot: damage (in `walk`).
//! 2. Records beyond the bad spot. Frames are found again on 8-byte boundaries, as records whose checksum
//!    continues that of the frame before. An entry, then a hard state, then anything is damage: what follows the
//!    hard state of a batch is written only after the batch was synced. This holds for etcd's logs too, which
//!    sync every save that has entries or changes term or vote, but not one that changes the commit index only.
//! 3. The bad frame itself. A write that was torn left a 512-byte sector that is still zero, or a file that ends
//!    too soon, and whatever else is there of the frame fits together. Otherwise it is damage.
//!
//! What this cannot tell without a side file: a last batch whose sectors were zeroed after its sync looks like
//! one that was never synced.

use std::io;

use types::{
    mutant::{self, Mutant},
    raft::HardState,
};

use crate::{
    error::DamageCause,
    frame::{HEAD_BYTES_MAX, Head, RecordKind, WORD_BYTES, Word},
    limits::{SEARCH_CANDIDATE_BYTES, SEARCH_FACTOR_MAX},
    record::Record,
    window::Window,
};

/// What a disk writes as a whole, in bytes (upstream: server/storage/wal/wal.go, minSectorSize).
const SECTOR_BYTES: u64 = 512;

/// Judges the bad frame at `offset` of the last segment: `None` for torn. `what` says how it is bad, `last` is
/// the hard state before it.
pub(crate) fn judge(
    window: &mut Window,
    offset: u64,
    what: String,
    last: Option<HardState>,
) -> io::Result<Option<DamageCause>> {
    if mutant::is_on(Mutant::TailTruncated) {
        return Ok(None);
    }
    let Some(later) = later_records(window, offset)? else {
        return Ok(Some(DamageCause::BadFrame(format!("{what}, what follows is too costly to search"))));
    };
    if proves_sync(&later, last) {
        return Ok(Some(DamageCause::SyncedLater(what)));
    }
    Ok(if looks_torn(window, offset)? { None } else { Some(DamageCause::BadFrame(what)) })
}

/// A record found beyond the bad spot.
struct Later {
    kind: RecordKind,
    /// The hard state, when it is one and its checksum was verified.
    hard_state: Option<HardState>,
}

fn proves_sync(later: &[Later], last: Option<HardState>) -> bool {
    let last = last.unwrap_or_default();
    let mut entry_before = false;
    for (i, record) in later.iter().enumerate() {
        entry_before |= record.kind == RecordKind::Entry;
        let election = record.hard_state.is_some_and(|s| (s.term, s.vote) != (last.term, last.vote));
        let batch_end = record.kind == RecordKind::HardState && (entry_before || election);
        if batch_end && i + 1 < later.len() {
            return true;
        }
    }
    false
}

/// A frame that could be one, by its length word and head.
struct Candidate {
    word: Word,
    head: Head,
    end: u64,
}

/// All records from `offset` on whose checksum continues that of the frame before them, and that frame; `None`
/// when the bytes are such that the search would take too long.
fn later_records(window: &mut Window, offset: u64) -> io::Result<Option<Vec<Later>>> {
    let mut found = Vec::new();
    let mut budget =
        Budget((window.len() - offset + SEARCH_CANDIDATE_BYTES).saturating_mul(SEARCH_FACTOR_MAX));
    let mut at = offset;
    while let Some(place) = window.first_nonzero(at, window.len())? {
        // Frames start on multiples of 8, and a length word is never zero.
        at = (place & !7).max(at);
        let Some(anchor) = candidate(window, at)? else {
            at += 8;
            continue;
        };
        if !budget.take(SEARCH_CANDIDATE_BYTES) {
            return Ok(None);
        }
        let (mut previous, mut chained) = (anchor, false);
        while let Some(next) = candidate(window, previous.end)? {
            if !budget.take(next.word.frame()) {
                return Ok(None);
            }
            let Some(record) = chained_record(window, &previous, &next)? else { break };
            if !chained {
                found.push(Later { kind: previous.head.kind, hard_state: None });
            }
            chained = true;
            found.push(record);
            previous = next;
        }
        at = if chained { previous.end } else { at + 8 };
    }
    Ok(Some(found))
}

/// Bytes that the search may still read.
struct Budget(u64);

impl Budget {
    fn take(&mut self, bytes: u64) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

fn candidate(window: &mut Window, at: u64) -> io::Result<Option<Candidate>> {
    let Some(word) = window.number(at)?.and_then(Word::parse) else { return Ok(None) };
    let end = at + word.frame();
    if end > window.len() {
        return Ok(None);
    }
    let head = Head::parse(window.bytes(at + WORD_BYTES as u64, word.record.min(HEAD_BYTES_MAX as u64))?);
    let fits = |head: &Head| head.record_len() == word.record && head.kind != RecordKind::Crc;
    Ok(head.filter(fits).map(|head| Candidate { word, head, end }))
}

/// The record of `next`, if its checksum continues that of `previous`.
fn chained_record(window: &mut Window, previous: &Candidate, next: &Candidate) -> io::Result<Option<Later>> {
    let data_at = previous.end + (WORD_BYTES + next.head.data_start) as u64;
    let data = window.bytes(data_at, next.head.data_len)?;
    if crc32c::crc32c_append(previous.head.crc, data) != next.head.crc {
        return Ok(None);
    }
    let hard_state = match Record::decode(next.head.kind, next.head.crc, data) {
        Some(Record::HardState(state)) => Some(state),
        _ => None,
    };
    Ok(Some(Later { kind: next.head.kind, hard_state }))
}

/// Whether the frame at `offset` is what a torn write leaves on a file that was zeros before it.
fn looks_torn(window: &mut Window, offset: u64) -> io::Result<bool> {
    let len = window.len();
    let sector_end = (offset / SECTOR_BYTES + 1) * SECTOR_BYTES;
    let Some(number) = window.number(offset)? else { return Ok(true) };
    if number == 0 {
        // The sector of the length word was lost, with everything of this batch in it.
        return window.is_zero(offset, sector_end);
    }
    let Some(word) = Word::parse(number) else { return Ok(false) };
    let head_at = offset + WORD_BYTES as u64;
    let head_end = offset + HEAD_BYTES_MAX as u64;
    let head_torn =
        head_end > len || (head_end > sector_end && window.is_zero(sector_end, sector_end + SECTOR_BYTES)?);
    let head = Head::parse(window.bytes(head_at, word.record.min(HEAD_BYTES_MAX as u64))?);
    if head.is_none_or(|head| head.record_len() != word.record) && !head_torn {
        return Ok(false);
    }
    let end = offset + word.frame();
    if end > len {
        return Ok(true);
    }
    let mut sector = sector_end;
    while sector < end {
        if window.is_zero(sector, sector + SECTOR_BYTES)? {
            return Ok(true);
        }
        sector += SECTOR_BYTES;
    }
    Ok(false)
}
