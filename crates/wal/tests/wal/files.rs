//! What is in the directory: bytes, names, locks, order of steps.

use std::{path::Path, sync::Arc};

use crate::common::*;
use types::raft::HardState;
use vfs::{CrashPlan, Disk, Fault, LockKind, OpenMode, RealDisk, SimDisk};
use wal::{Record, Wal, WalError, WalOptions, scan};

/// All records of a log, in file order.
fn records(disk: &SimDisk) -> Vec<Record> {
    let mut records = Vec::new();
    scan(disk, &wal_dir(), None, |located| records.push(located.record)).unwrap();
    records
}

#[test]
fn a_new_log_is_etcds_byte_by_byte() {
    let disk = disk();
    create(&disk, &options(1 << 20, false));
    assert_eq!(segments(&disk), [wal_dir().join("0000000000000000-0000000000000000.wal")]);
    let bytes = disk.contents(&last_segment(&disk)).unwrap();
    // A crc record of 0; metadata of 14 bytes (two ids); a snapshot record {0, 0}.
    assert_eq!(bytes[..16], [4, 0, 0, 0, 0, 0, 0, 0x84, 0x08, 4, 0x10, 0, 0, 0, 0, 0]);
    let [0x08, 1, 0x10, ..] = bytes[24..] else { panic!("no metadata record: {bytes:x?}") };
    assert_eq!(bytes.len() % 8, 0);
    let kinds: Vec<_> = records(&disk).iter().map(Record::kind).map(|k| k as u8).collect();
    assert_eq!(kinds, [4, 1, 5]);
    let (wal, recovered) = open(&disk, &options(1 << 20, false)).unwrap();
    assert_eq!(recovered.metadata, METADATA);
    assert_eq!((recovered.start.index, wal.last_index(), recovered.entries.len()), (0, 0, 0));
    assert_eq!(recovered.hard_state, HardState::default());
    assert_eq!(wal.size(), bytes.len() as u64);
}

#[test]
fn create_wants_a_vacant_place() {
    let disk = disk();
    let options = options(1 << 20, false);
    create(&disk, &options);
    assert!(matches!(try_create(&disk, &options), Err(WalError::Exists { .. })));
    let disk = crate::common::disk();
    assert!(matches!(open(&disk, &options), Err(WalError::NotFound { .. })));
    assert!(!wal::exists(&disk, &wal_dir()).unwrap());
    // What a crash left is in nobody's way.
    disk.create_dir_all(Path::new("/data/member/wal.tmp")).unwrap();
    disk.open(Path::new("/data/member/wal.tmp/x"), OpenMode::Create).unwrap();
    disk.create_dir_all(&wal_dir()).unwrap();
    disk.open(&wal_dir().join("0.tmp"), OpenMode::Create).unwrap();
    create(&disk, &options);
    assert!(wal::exists(&disk, &wal_dir()).unwrap());
    assert_eq!(disk.files().len(), 1);
}

#[test]
fn every_batch_ends_with_a_hard_state_in_one_write() {
    let disk = disk();
    let mut wal = create(&disk, &options(1 << 20, true));
    let before = disk.io_count();
    wal.append(&entries(1..=100, 1, 300), state(1, 0)).unwrap();
    assert_eq!(disk.io_count() - before, 1, "one write");
    wal.sync().unwrap();
    assert_eq!(disk.io_count() - before, 3, "one sync, one write of the side file");
    wal.sync().unwrap();
    wal.append(&[], state(1, 100)).unwrap();
    wal.append(&entries(101..=101, 1, 9), state(1, 100)).unwrap();
    assert_eq!(disk.io_count() - before, 7, "the batch before is synced first");
    let records = records(&disk);
    let states: Vec<_> = records
        .iter()
        .filter_map(|r| match r {
            Record::HardState(state) => Some(state.commit),
            _ => None,
        })
        .collect();
    assert_eq!(states, [0, 100, 100]);
    assert!(matches!(records.last(), Some(Record::HardState(_))));
}

#[test]
fn segments_are_cut_and_named_and_headed() {
    let disk = disk();
    let mut wal = create(&disk, &options(2000, true));
    for index in 1..=30 {
        wal.append(&[entry(index, 2, 200)], state(2, index - 1)).unwrap();
        wal.sync().unwrap();
    }
    let names: Vec<_> = wal.segments().collect();
    assert!(names.len() > 2, "{names:?}");
    for (i, name) in names.iter().enumerate() {
        assert_eq!(name.sequence, i as u64);
        let path = wal_dir().join(name.file_name());
        let head: Vec<Record> = {
            let mut head = Vec::new();
            scan(&disk, &wal_dir(), None, |l| {
                if l.segment == *name && head.len() < 4 {
                    head.push(l.record);
                }
            })
            .unwrap();
            head
        };
        assert!(matches!(head[0], Record::Crc(_)));
        assert!(matches!(&head[1], Record::Metadata(m, _) if *m == METADATA));
        if i > 0 {
            assert!(matches!(head[2], Record::HardState(s) if s.commit == name.index - 2), "{head:?}");
            assert!(matches!(&head[3], Record::Entry(e) if e.index == name.index), "{head:?}");
        }
        if i + 1 < names.len() {
            assert_eq!(disk.contents(&path).unwrap().len() as u64, used(&disk, &path), "cut to its end");
        }
    }
    assert_eq!(side_files(&disk).len(), names.len());
    drop(wal);
    let (wal, recovered) = open(&disk, &options(2000, true)).unwrap();
    assert_eq!(recovered.entries, entries(1..=30, 2, 200));
    assert_eq!(recovered.report.unprotected, 0, "each record is named in the side file");
    assert_eq!(wal.segments().collect::<Vec<_>>(), names);
}

#[test]
fn prepared_segments_hold_zeros_and_are_taken_into_use() {
    let disk = disk();
    let mut wal = create(&disk, &options(2000, false));
    let preparer = wal.preparer();
    assert!(preparer.needed());
    assert!(preparer.prepare().unwrap());
    assert!(!preparer.prepare().unwrap(), "one at a time");
    assert_eq!(disk.contents(&wal_dir().join("0.tmp")).unwrap(), vec![0; 2000]);
    let other = disk.open(&wal_dir().join("0.tmp"), OpenMode::ReadWrite).unwrap();
    assert!(!other.try_lock(LockKind::OpenFileDescription).unwrap(), "locked as etcd's");
    let fill = |wal: &mut Wal| {
        let segments = wal.segments().len();
        while wal.segments().len() == segments {
            wal.append(&[entry(wal.last_index() + 1, 1, 300)], state(1, 0)).unwrap();
            wal.sync().unwrap();
        }
    };
    fill(&mut wal);
    assert_eq!(disk.contents(&last_segment(&disk)).unwrap().len(), 2000, "room that is already written");
    assert!(!disk.exists(&wal_dir().join("0.tmp")).unwrap());
    assert!(preparer.prepare().unwrap());
    assert!(disk.exists(&wal_dir().join("1.tmp")).unwrap(), "names alternate");
    let last = wal.last_index();
    drop(wal);
    // Of a process that died: removed, and nothing else is.
    let (mut wal, recovered) = open(&disk, &options(2000, false)).unwrap();
    assert_eq!(recovered.entries.len() as u64, last);
    assert!(!disk.exists(&wal_dir().join("1.tmp")).unwrap());
    fill(&mut wal);
    wal.preparer().prepare().unwrap();
    wal.close().unwrap();
    assert!(!disk.exists(&wal_dir().join("0.tmp")).unwrap());
}

#[test]
fn a_failed_preparation_leaves_the_log_alone() {
    let disk = disk();
    let mut wal = create(&disk, &options(2000, false));
    for fault in [Fault::Enospc, Fault::SyncFails] {
        disk.fail_at(disk.io_count() + 1, fault);
        assert!(wal.preparer().prepare().is_err());
        assert!(!wal.is_poisoned());
        assert!(wal.preparer().needed());
    }
    wal.append(&entries(1..=30, 1, 300), state(1, 0)).unwrap();
    wal.append(&entries(31..=31, 1, 300), state(1, 0)).unwrap();
    assert_eq!(wal.segments().len(), 2);
}

#[test]
fn a_disk_short_of_space_gets_no_prepared_segment() {
    let disk = disk();
    let options = WalOptions { room_bytes: 5000, ..options(2000, false) };
    let mut wal = create(&disk, &options);
    disk.set_capacity(Some(disk.used() + 6999));
    assert!(!wal.preparer().prepare().unwrap());
    assert!(wal.preparer().needed() && !disk.exists(&wal_dir().join("0.tmp")).unwrap());
    // The cut makes a segment of its own, no longer than what is in it.
    wal.append(&entries(1..=8, 1, 300), state(1, 0)).unwrap();
    wal.append(&[entry(9, 1, 300)], state(1, 0)).unwrap();
    assert_eq!(wal.segments().len(), 2);
    assert!(disk.contents(&last_segment(&disk)).unwrap().len() < 1000);
    disk.set_capacity(Some(disk.used() + 7000));
    assert!(wal.preparer().prepare().unwrap());
    // And what was made can be given back.
    assert!(wal.preparer().discard() && wal.preparer().needed());
    assert_eq!(disk.free_bytes(&wal_dir()).unwrap(), 7000);
    assert!(!wal.preparer().discard());
}

/// At no moment of a cut may a power loss leave a name that etcd takes into use with anything but zeros in it.
#[test]
fn prepared_names_hold_zeros_whatever_a_crash_keeps() {
    let run = |disk: &SimDisk| {
        let mut wal = try_create(disk, &options(1000, false))?;
        for index in 1..=12 {
            wal.preparer().prepare()?;
            wal.append(&[entry(index, 1, 400)], state(1, 0))?;
            wal.sync()?;
        }
        Ok::<_, WalError>(())
    };
    let calls = {
        let disk = disk();
        run(&disk).unwrap();
        disk.io_count()
    };
    for call in 0..calls {
        let disk = disk();
        disk.fail_at(call, Fault::Crash);
        run(&disk).unwrap_err();
        for seed in 0..12 {
            let image = disk.crash(CrashPlan::Seeded { seed });
            for name in ["0.tmp", "1.tmp"] {
                if let Ok(bytes) = image.contents(&wal_dir().join(name)) {
                    assert!(bytes.iter().all(|b| *b == 0), "call {call}, seed {seed}, {name}");
                }
            }
        }
    }
}

#[test]
fn two_writers_exclude_each_other() {
    let disk = disk();
    let options = options(2000, true);
    let mut wal = create(&disk, &options);
    assert!(matches!(open(&disk, &options), Err(WalError::Locked { .. })));
    wal.append(&entries(1..=30, 1, 300), state(1, 0)).unwrap();
    wal.append(&entries(31..=31, 1, 300), state(1, 0)).unwrap();
    assert!(matches!(open(&disk, &options), Err(WalError::Locked { .. })));
    assert_eq!(wal::read(&disk, &wal_dir(), None).unwrap().entries.len(), 31, "reading needs no lock");
    drop(wal);
    open(&disk, &options).unwrap();
}

#[test]
fn purge_goes_from_the_old_end_and_keeps_a_start() {
    let disk = disk();
    let mut wal = create(&disk, &options(1000, true));
    let mut commit = 0;
    let mut grow = |wal: &mut Wal, count: u64| {
        for _ in 0..count {
            commit += 1;
            wal.append(&[entry(commit, 1, 200)], state(1, commit)).unwrap();
        }
        wal.sync().unwrap();
        commit
    };
    grow(&mut wal, 40);
    let all = wal.segments().len();
    assert!(all > 8);
    assert_eq!(wal.purge(5, u64::MAX).unwrap(), [], "the only snapshot record is in the first segment");
    wal.save_snapshot(snapshot(21, 1)).unwrap();
    assert_eq!(wal.purge(0, u64::MAX).unwrap(), [], "0 keeps all");
    let all = wal.segments().len();
    assert_eq!(wal.purge(all - 1, u64::MAX).unwrap().len(), 1);
    let limit = wal.segments().nth(2).unwrap().index;
    assert_eq!(wal.purge(1, limit - 1).unwrap().len(), 1, "not beyond the given index");
    let third = wal.segments().next().unwrap();
    let reader = disk.open(&wal_dir().join(third.file_name()), OpenMode::ReadWrite).unwrap();
    assert!(reader.try_lock(LockKind::OpenFileDescription).unwrap(), "released");
    assert_eq!(wal.purge(1, u64::MAX).unwrap(), [], "somebody reads it");
    drop(reader);
    wal.purge(1, u64::MAX).unwrap();
    let oldest = wal.segments().next().unwrap();
    assert!(
        oldest.index <= 21 && wal.segments().nth(1).unwrap().index > 21,
        "{:?}",
        wal.segments().collect::<Vec<_>>()
    );
    assert_eq!(side_files(&disk).len(), segments(&disk).len());
    drop(wal);
    let (mut wal, recovered) = open(&disk, &options(1000, true)).unwrap();
    assert_eq!(recovered.start, snapshot(21, 1));
    assert_eq!(recovered.entries, entries(22..=40, 1, 200));
    wal.purge(1, u64::MAX).unwrap();
    assert_eq!(wal.segments().next().unwrap(), oldest, "the start point's segment stays");
    drop(wal);
    // Without that segment nothing can start, and we say so instead of starting from nothing.
    disk.remove_file(&segments(&disk)[0]).unwrap();
    assert!(matches!(open(&disk, &options(1000, false)), Err(WalError::Unusable { .. })));
}

#[test]
fn metadata_bytes_are_repeated_as_they_were() {
    // The ids in another order than we write: the bytes count, not the meaning.
    let disk = disk();
    let options = options(1000, false);
    drop(create(&disk, &options));
    let mut original = Vec::new();
    scan(&disk, &wal_dir(), None, |l| {
        if let Record::Metadata(_, bytes) = l.record {
            original.push(bytes);
        }
    })
    .unwrap();
    let (mut wal, _) = open(&disk, &options).unwrap();
    for index in 1..=9 {
        wal.append(&[entry(index, 1, 400)], state(1, 0)).unwrap();
    }
    let mut seen = Vec::new();
    scan(&disk, &wal_dir(), None, |l| {
        if let Record::Metadata(_, bytes) = l.record {
            seen.push(bytes);
        }
    })
    .unwrap();
    assert!(seen.len() > 2);
    assert!(seen.iter().all(|bytes| *bytes == original[0]));
}

#[test]
fn batches_that_do_not_continue_are_refused_and_nothing_is_written() {
    let disk = disk();
    let mut wal = create(&disk, &options(1 << 20, false));
    wal.append(&entries(1..=3, 1, 10), state(1, 0)).unwrap();
    let before = disk.io_count();
    for bad in [vec![entry(5, 1, 10)], vec![entry(0, 1, 10)], vec![entry(4, 1, 10), entry(6, 1, 10)]] {
        assert!(matches!(wal.append(&bad, state(1, 0)), Err(WalError::OutOfOrder { last: 3 | 4, .. })));
    }
    assert_eq!(disk.io_count(), before);
    wal.append(&entries(2..=4, 2, 10), state(2, 0)).unwrap();
    assert_eq!(wal.last_index(), 4);
}

#[test]
fn a_failed_write_or_sync_poisons_the_log() {
    for fault in [Fault::Eio, Fault::Enospc, Fault::SyncFails] {
        let disk = disk();
        let mut wal = create(&disk, &options(1 << 20, true));
        wal.append(&entries(1..=3, 1, 10), state(1, 0)).unwrap();
        wal.sync().unwrap();
        disk.fail_at(disk.io_count(), fault);
        let result = wal.append(&entries(4..=4, 1, 10), state(1, 0)).and_then(|()| wal.sync());
        assert!(matches!(result, Err(WalError::Io { .. })), "{fault:?}: {result:?}");
        let before = disk.io_count();
        assert!(matches!(wal.append(&[], state(1, 0)), Err(WalError::Poisoned(_))));
        assert!(matches!(wal.sync(), Err(WalError::Poisoned(_))));
        assert!(matches!(wal.save_snapshot(snapshot(1, 1)), Err(WalError::Poisoned(_))));
        assert!(matches!(wal.cut_if_due(), Err(WalError::Poisoned(_))));
        wal.sync_side();
        assert!(disk.io_count() <= before + 1, "only the side file was synced");
        drop(wal);
        let (_, recovered) = open(&disk.crash(CrashPlan::LoseUnsynced), &options(1 << 20, true)).unwrap();
        assert_eq!(recovered.entries, entries(1..=3, 1, 10), "{fault:?}");
    }
}

#[test]
fn a_failing_side_file_costs_protection_and_nothing_else() {
    let disk = disk();
    let mut wal = create(&disk, &options(2000, true));
    wal.append(&entries(1..=1, 1, 100), state(1, 0)).unwrap();
    disk.fail_at(disk.io_count() + 1, Fault::Eio);
    wal.sync().unwrap();
    assert!(wal.side_error().is_some());
    for index in 2..=20 {
        wal.append(&[entry(index, 1, 300)], state(1, 0)).unwrap();
    }
    assert_eq!(wal.side_error(), None, "tried again at a cut");
    wal.close().unwrap();
    let (_, recovered) = open(&disk, &options(2000, true)).unwrap();
    assert_eq!(recovered.entries.len(), 20);
    assert!(recovered.report.unprotected > 0);
    let (_, recovered) = open(&disk, &options(2000, true)).unwrap();
    assert_eq!(recovered.report.unprotected, 0, "the open before named them");
}

#[test]
fn a_side_file_of_another_log_is_not_believed() {
    let disk = disk();
    let options = options(1 << 20, true);
    let mut wal = create(&disk, &options);
    wal.append(&entries(1..=50, 1, 100), state(1, 0)).unwrap();
    wal.close().unwrap();
    // The member was wiped and added anew, by etcd: the side files stayed.
    disk.remove_dir_all(&wal_dir()).unwrap();
    let other = wal::Metadata { node_id: types::MemberId(77), ..METADATA };
    let without = WalOptions { side_dir: None, ..options.clone() };
    let mut wal = Wal::create(Arc::new(disk.clone()), &wal_dir(), other, without).unwrap();
    wal.append(&entries(1..=2, 1, 100), state(1, 0)).unwrap();
    wal.close().unwrap();
    let (_, recovered) = open(&disk, &options).unwrap();
    assert_eq!(recovered.entries, entries(1..=2, 1, 100));
    assert_eq!(recovered.report.side_files_foreign, 1);
}

#[test]
fn the_real_disk_keeps_a_log_too() {
    let dir = tempfile::tempdir().unwrap();
    let wal_dir = dir.path().join("wal");
    let options = WalOptions {
        segment_bytes: 10_000,
        side_dir: Some(dir.path().join("mainstay/wal")),
        prewrite_first: true,
        room_bytes: 0,
    };
    let mut wal = Wal::create(Arc::new(RealDisk), &wal_dir, METADATA, options.clone()).unwrap();
    let preparer = wal.preparer();
    for index in 1..=100 {
        wal.append(&[entry(index, 1, 300)], state(1, index - 1)).unwrap();
        wal.sync().unwrap();
        preparer.prepare().unwrap();
    }
    let opened = Wal::open(Arc::new(RealDisk), &wal_dir, options.clone());
    assert!(matches!(opened, Err(WalError::Locked { .. })));
    wal.close().unwrap();
    let (wal, recovered) = Wal::open(Arc::new(RealDisk), &wal_dir, options).unwrap();
    assert_eq!(recovered.entries, entries(1..=100, 1, 300));
    assert_eq!((recovered.report.unprotected, recovered.report.torn), (0, None));
    assert!(wal.segments().len() > 2);
    assert!(RealDisk.list(&wal_dir).unwrap().iter().all(|e| e.name.ends_with(".wal")));
}

/// A purge that a power loss has half undone: the oldest segment is back, those removed after it are not.
#[test]
fn what_a_purge_left_does_not_count() {
    for side in [false, true] {
        let options = options(2000, side);
        let disk = disk();
        let mut wal = create(&disk, &options);
        for index in 1..=30 {
            wal.append(&[entry(index, 1, 600)], state(1, index)).unwrap();
        }
        wal.save_snapshot(snapshot(24, 1)).unwrap();
        wal.close().unwrap();
        let all = segments(&disk);
        assert!(all.len() > 8, "{all:?}");
        let wanted = open(&disk, &options).unwrap().1;
        // One that no start needs.
        disk.remove_file(&all[2]).unwrap();
        assert_eq!(
            wal::read(&disk, &wal_dir(), options.side_dir.as_deref()).unwrap().entries,
            wanted.entries
        );
        let (mut wal, found) = open(&disk, &options).unwrap();
        assert_eq!((&found.entries, found.start.index), (&wanted.entries, 24));
        wal.append(&entries(31..=33, 1, 600), state(1, 33)).unwrap();
        wal.close().unwrap();
        let (mut wal, found) = open(&disk, &options).unwrap();
        assert_eq!(found.entries.last().map(|entry| entry.index), Some(33));
        wal.purge(1, 24).unwrap();
        let (first, last) = (&segments(&disk)[0], segments(&disk).pop().unwrap());
        assert!(!all[..3].contains(first), "{first:?}");
        drop(wal);
        // One that a start needs.
        disk.remove_file(&last.with_file_name(all[all.len() - 2].file_name().unwrap())).unwrap();
        assert!(matches!(open(&disk, &options), Err(WalError::Damaged { .. })));
    }
}
