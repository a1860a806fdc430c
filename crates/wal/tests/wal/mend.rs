//! A damaged log is mended with the same entries from elsewhere, to the byte, or not at all.

use types::raft::Entry;
use vfs::{CrashPlan, SimDisk};
use wal::{Metadata, Record, RecordKind, Spare, WalError, WalOptions, mend, scan};

use crate::common::*;

/// Where a record is: sequence number of the segment, offset, length; and its type.
type Place = (usize, u64, u64, RecordKind);

/// A closed log of three segments with a replaced tail, all its entries, replaced ones too, and its records.
fn log() -> (SimDisk, WalOptions, Vec<Entry>, Vec<Place>) {
    let disk = disk();
    let options = options(2500, true);
    let mut wal = create(&disk, &options);
    let mut all = Vec::new();
    let mut add = |wal: &mut wal::Wal, batch: Vec<Entry>, term| {
        wal.append(&batch, state(term, batch[0].index - 1)).unwrap();
        all.extend(batch);
    };
    add(&mut wal, entries(1..=4, 1, 300), 1);
    add(&mut wal, entries(4..=6, 2, 500), 2);
    wal.append(&[], state(3, 6)).unwrap();
    for index in 7..=16 {
        add(&mut wal, vec![entry(index, 3, index as usize * 20)], 3);
    }
    wal.close().unwrap();
    disk.make_durable();
    let mut places = Vec::new();
    scan(&disk, &wal_dir(), None, |l| {
        places.push((l.segment.sequence as usize, l.offset, l.length, l.record.kind()));
    })
    .unwrap();
    assert_eq!(segments(&disk).len(), 3);
    (disk, options, all, places)
}

fn spare(entries: &[Entry]) -> Spare<'_> {
    Spare { entries, ..Spare::default() }
}

#[test]
fn every_entry_and_hard_state_can_be_put_back() {
    let (disk, options, all, places) = log();
    let files = segments(&disk);
    let wanted = open(&disk, &options).unwrap().1.entries;
    let mut first = vec![0; files.len()];
    for (segment, offset, length, kind) in places {
        first[segment] += 1;
        let image = disk.crash(CrashPlan::KeepUnsynced);
        let before = image.contents(&files[segment]).unwrap();
        image.damage(&files[segment], |b| b[offset as usize..(offset + length) as usize].fill(0)).unwrap();
        let Err(WalError::Damaged { lost, .. }) = open(&image, &options) else { panic!("opened") };
        let result = mend(&image, &wal_dir(), &side_dir(), spare(&all));
        // The first two records of a segment are its head, and written together.
        let records = if first[segment] <= 2 { 2 } else { 1 };
        assert_eq!(result.unwrap(), records, "{kind:?} at {offset} of segment {segment}, {lost:?}");
        assert_eq!(image.contents(&files[segment]).unwrap(), before);
        assert_eq!(open(&image, &options).unwrap().1.entries, wanted);
    }
}

#[test]
fn a_lost_tail_and_scattered_sectors_come_back() {
    let (disk, options, all, _) = log();
    let files = segments(&disk);
    for keep in (600..1800).step_by(100) {
        let image = disk.crash(CrashPlan::KeepUnsynced);
        for file in &files[1..] {
            image.truncate(file, keep).unwrap();
        }
        image.zero_sector(&files[0], 2).unwrap();
        image.zero_sector(&files[0], 4).unwrap();
        assert!(open(&image, &options).is_err());
        mend(&image, &wal_dir(), &side_dir(), spare(&all)).unwrap();
        // What is mended is durable.
        let image = image.crash(CrashPlan::LoseUnsynced);
        for file in &files {
            let (mended, before) = (image.contents(file).unwrap(), disk.contents(file).unwrap());
            assert_eq!(mended[..], before[..mended.len()]);
            assert!(before[mended.len()..].iter().all(|b| *b == 0));
        }
        open(&image, &options).unwrap();
    }
}

#[test]
fn other_entries_or_too_few_are_refused() {
    let (disk, options, all, places) = log();
    let file = &segments(&disk)[0];
    let (_, offset, ..) = *places.iter().find(|(_, _, _, kind)| *kind == RecordKind::Entry).unwrap();
    disk.damage(file, |b| b[offset as usize + 40] ^= 1).unwrap();
    let damaged = disk.contents(file).unwrap();
    let without: Vec<_> = all.iter().filter(|e| e.index != 1).cloned().collect();
    let mut other = all.clone();
    other[0].data = vec![1; 300].into();
    for given in [vec![], without, other] {
        let Err(WalError::Damaged { first_lost_index: 1, lost, .. }) =
            mend(&disk, &wal_dir(), &side_dir(), spare(&given))
        else {
            panic!("mended")
        };
        assert_eq!((lost[0].index, lost[0].term), (1, 1));
        assert_eq!(disk.contents(file).unwrap(), damaged, "nothing was written");
    }
    assert_eq!(mend(&disk, &wal_dir(), &side_dir(), spare(&all[..1])).unwrap(), 1);
    open(&disk, &options).unwrap();
}

#[test]
fn a_sound_log_is_left_alone_and_a_locked_one_too() {
    let (disk, options, all, _) = log();
    let before = disk.io_count();
    assert_eq!(mend(&disk, &wal_dir(), &side_dir(), spare(&all)).unwrap(), 0);
    assert_eq!(disk.io_count(), before);
    let (_wal, _) = open(&disk, &options).unwrap();
    assert!(matches!(mend(&disk, &wal_dir(), &side_dir(), spare(&all)), Err(WalError::Locked { .. })));
    let mut seen = 0;
    scan(&disk, &wal_dir(), Some(&side_dir()), |l| {
        assert!(l.named);
        seen += u64::from(matches!(l.record, Record::Entry(_)));
    })
    .unwrap();
    assert_eq!(seen, all.len() as u64);
}

#[test]
fn the_head_of_a_lone_segment_needs_somebody_who_knows_whose_log_it_is() {
    let disk = disk();
    let options = options(1 << 20, true);
    let mut wal = create(&disk, &options);
    wal.append(&entries(1..=4, 1, 300), state(1, 3)).unwrap();
    let owner = wal.metadata();
    wal.close().unwrap();
    disk.make_durable();
    let file = &segments(&disk)[0];
    let before = disk.contents(file).unwrap();
    disk.damage(file, |bytes| bytes[..40].fill(0)).unwrap();
    let other = Metadata { node_id: types::MemberId(99), ..owner };
    for metadata in [vec![], vec![other]] {
        let spare = Spare { metadata: &metadata, ..Spare::default() };
        assert!(matches!(mend(&disk, &wal_dir(), &side_dir(), spare), Err(WalError::Damaged { .. })));
    }
    let metadata = [other, owner];
    let spare = Spare { metadata: &metadata, ..Spare::default() };
    assert_eq!(mend(&disk, &wal_dir(), &side_dir(), spare).unwrap(), 2);
    assert_eq!(disk.contents(file).unwrap(), before);
}

#[test]
fn snapshot_records_come_from_their_files() {
    let disk = disk();
    let options = options(1 << 20, true);
    let mut wal = create(&disk, &options);
    wal.append(&entries(1..=4, 1, 300), state(1, 4)).unwrap();
    let conf_state = types::raft::ConfState { voters: vec![1, 2, 3], ..Default::default() };
    let record = wal::SnapshotRecord { index: 3, term: 1, conf_state };
    wal.save_snapshot(record.clone()).unwrap();
    wal.append(&entries(5..=6, 1, 300), state(1, 6)).unwrap();
    wal.close().unwrap();
    disk.make_durable();
    let file = &segments(&disk)[0];
    let before = disk.contents(file).unwrap();
    let mut place = None;
    scan(&disk, &wal_dir(), None, |l| {
        if l.record == Record::Snapshot(record.clone()) {
            place = Some((l.offset as usize, l.length as usize));
        }
    })
    .unwrap();
    let (offset, length) = place.unwrap();
    disk.damage(file, |bytes| bytes[offset..offset + length].fill(0)).unwrap();
    assert!(mend(&disk, &wal_dir(), &side_dir(), Spare::default()).is_err());
    let mut other = record.clone();
    other.conf_state.voters.pop();
    let snapshots = [other, record];
    assert_eq!(
        mend(&disk, &wal_dir(), &side_dir(), Spare { snapshots: &snapshots, ..Spare::default() }).unwrap(),
        1
    );
    assert_eq!(disk.contents(file).unwrap(), before);
}
