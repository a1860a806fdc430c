//! Damage to synced records is never taken for a torn write, and never gives a wrong answer.
//!
//! `MAINSTAY_EXHAUSTIVE=1` turns the samples into full sweeps.

use std::{fmt, path::Path};

use crate::common::*;
use types::raft::Entry;
use vfs::{CrashPlan, Disk, SimDisk};
use wal::{DamageCause, Wal, WalError, WalOptions, scan};

fn exhaustive() -> bool {
    std::env::var_os("MAINSTAY_EXHAUSTIVE").is_some()
}

fn copy_of(disk: &SimDisk) -> SimDisk {
    disk.crash(CrashPlan::KeepUnsynced)
}

/// Appends and syncs batches of the given sizes.
fn write(wal: &mut Wal, batches: &[(u64, usize)]) -> Vec<Entry> {
    let mut all = Vec::new();
    for (count, len) in batches {
        let last = wal.last_index();
        let batch = entries(last + 1..=last + count, 1, *len);
        wal.append(&batch, state(1, last)).unwrap();
        wal.sync().unwrap();
        all.extend(batch);
    }
    all
}

/// A closed log of synced batches in one segment.
fn log(options: &WalOptions, batches: &[(u64, usize)]) -> (SimDisk, Vec<Entry>) {
    let disk = disk();
    let mut wal = create(&disk, options);
    let all = write(&mut wal, batches);
    wal.close().unwrap();
    disk.make_durable();
    (disk, all)
}

/// How often each kind of outcome came.
#[derive(Default)]
struct Classes {
    detected: u64,
    harmless: u64,
    torn: u64,
    wrong: u64,
}

impl Classes {
    fn count(&mut self, disk: &SimDisk, options: &WalOptions, wanted: &[Entry], context: &dyn fmt::Display) {
        match open(disk, options) {
            Err(WalError::Damaged { .. } | WalError::Unusable { .. }) => self.detected += 1,
            Err(error) => panic!("{context}: {error}"),
            Ok((_, found)) if found.entries == wanted && found.start.index == 0 => self.harmless += 1,
            Ok((_, found)) if found.report.torn.is_some() && wanted.starts_with(&found.entries) => {
                self.torn += 1;
            }
            Ok(_) => self.wrong += 1,
        }
    }
}

impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Classes { detected, harmless, torn, wrong } = self;
        write!(f, "{detected} detected, {harmless} harmless, {torn} cut off as torn, {wrong} wrong")
    }
}

#[test]
fn a_cut_of_synced_data_never_opens_and_names_what_is_lost() {
    let options = options(1 << 30, true);
    // 64 KiB in single entries and batches; the last frames are small.
    let mut batches = vec![(1, 300); 120];
    batches.extend([(20, 700), (30, 400), (1, 5), (1, 0), (3, 40)]);
    let (disk, all) = log(&options, &batches);
    let segment = last_segment(&disk);
    let len = used(&disk, &segment);
    assert!(len > 65_536, "{len}");
    let mut ends = Vec::new();
    scan(&disk, &wal_dir(), None, |l| {
        if let wal::Record::Entry(entry) = l.record {
            ends.push((l.offset + l.length, entry.index));
        }
    })
    .unwrap();
    let step = if exhaustive() { 1 } else { 97 };
    let cuts = (len - 1500..len).chain((len - 65_536..len - 1500).step_by(step));
    for cut in cuts {
        let image = copy_of(&disk);
        image.truncate(&segment, cut).unwrap();
        // The first entry whose frame is not whole; beyond the last one only hard states are lost.
        let wanted =
            ends.iter().find(|(end, _)| *end > cut).map_or(all.len() as u64 + 1, |(_, index)| *index);
        let Err(WalError::Damaged { first_lost_index, lost, segment: named, .. }) = open(&image, &options)
        else {
            panic!("cut at {cut} opened");
        };
        assert_eq!(first_lost_index, wanted, "cut at {cut}");
        assert_eq!(named, segment);
        assert!(!lost.is_empty());
        assert_eq!(image.contents(&segment).unwrap().len() as u64, cut, "nothing was changed");
    }
}

#[test]
fn the_message_says_what_why_and_what_to_do() {
    let options = options(1 << 30, true);
    let (disk, _) = log(&options, &[(3, 100), (3, 100)]);
    let segment = last_segment(&disk);
    disk.truncate(&segment, 700).unwrap();
    let message = open(&disk, &options).unwrap_err().to_string();
    for part in
        ["0000000000000000-0000000000000000.wal at byte", "index 5 on", "remove this member", "acknowledged"]
    {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

/// A small log with every kind of record, in two segments, and its entries.
fn small_log(options: &WalOptions) -> (SimDisk, Vec<Entry>) {
    let disk = disk();
    let mut wal = create(&disk, options);
    let mut all = write(&mut wal, &[(2, 40), (1, 600), (1, 0), (3, 17)]);
    wal.save_snapshot(snapshot(2, 1)).unwrap();
    wal.append(&[], state(1, 4)).unwrap();
    all.extend(write(&mut wal, &[(1, 1200), (2, 30), (1, 0), (2, 9)]));
    wal.close().unwrap();
    disk.make_durable();
    assert_eq!(segments(&disk).len(), 2);
    (disk, all.split_off(2))
}

fn flip_every_byte(side: bool, all_bits: bool) -> Classes {
    let options = options(1500, true);
    let (disk, all) = small_log(&options);
    if !side {
        drop_side(&disk);
    }
    let reading = WalOptions { side_dir: side.then(side_dir), ..options };
    let mut classes = Classes::default();
    for segment in segments(&disk) {
        for byte in 0..disk.contents(&segment).unwrap().len() as u64 {
            for bit in 0..8 {
                if !all_bits && bit != (byte * 5 + byte / 8) % 8 {
                    continue;
                }
                let image = copy_of(&disk);
                image.flip_bit(&segment, byte * 8 + bit).unwrap();
                let context = format!("bit {bit} of byte {byte} of {}", segment.display());
                match open(&image, &reading) {
                    Ok((_, found)) if found.start.index == 2 && found.entries == all => classes.harmless += 1,
                    Ok((_, found)) if found.report.torn.is_some() => classes.torn += 1,
                    Ok((_, found)) => {
                        println!("wrong: {context}: {found:?}");
                        classes.wrong += 1;
                    }
                    Err(WalError::Damaged { .. } | WalError::Unusable { .. }) => classes.detected += 1,
                    Err(error) => panic!("{context}: {error}"),
                }
            }
        }
    }
    classes
}

#[test]
fn a_flipped_bit_with_a_side_file_is_always_detected() {
    let classes = flip_every_byte(true, exhaustive());
    println!("with a side file: {classes}");
    assert_eq!((classes.torn, classes.wrong), (0, 0), "{classes}");
    assert_eq!(classes.harmless, 0, "the side file covers every byte of every frame: {classes}");
}

#[test]
fn a_flipped_bit_without_a_side_file_is_detected_but_for_record_types() {
    let classes = flip_every_byte(false, exhaustive());
    println!("without a side file: {classes}");
    assert_eq!(classes.torn, 0, "one bit never looks like a torn write: {classes}");
    let total = classes.detected + classes.harmless + classes.wrong;
    assert!(classes.wrong * 200 <= total, "{classes}");
}

#[test]
fn a_zeroed_sector_of_synced_data_is_detected() {
    let options = options(1 << 30, true);
    let (disk, all) = log(&options, &[(4, 300), (2, 900), (1, 100), (6, 200), (1, 50), (2, 700), (1, 30)]);
    let segment = last_segment(&disk);
    let sectors = used(&disk, &segment).div_ceil(512);
    let mut without = Classes::default();
    for sector in 0..sectors {
        let image = copy_of(&disk);
        image.zero_sector(&segment, sector).unwrap();
        let opened = open(&copy_of(&image), &options);
        assert!(matches!(opened, Err(WalError::Damaged { .. })), "sector {sector}: {opened:?}");
        drop_side(&image);
        let reading = WalOptions { side_dir: None, ..options.clone() };
        without.count(&image, &reading, &all, &format!("sector {sector}"));
    }
    println!("zeroed sectors without a side file: {without}");
    // Only where no entry, hard state and later record are left behind it can a zeroed sector pass for a torn
    // write; a middle never does.
    assert_eq!((without.wrong, without.harmless), (0, 0), "{without}");
    assert!(without.torn <= 3, "{without}");
    assert!(without.detected >= sectors - 3, "{without}");
}

#[test]
fn swapped_stale_and_misplaced_sectors_are_detected() {
    let options = options(1 << 30, true);
    let (disk, _) = log(&options, &[(4, 300), (2, 900), (1, 100), (6, 200), (1, 50), (2, 700)]);
    let segment = last_segment(&disk);
    let sectors = disk.contents(&segment).unwrap().len() / 512;
    for i in 0..sectors {
        for j in 0..i {
            let image = copy_of(&disk);
            image
                .damage(&segment, |bytes| {
                    let (low, high) = bytes.split_at_mut(i * 512);
                    low[j * 512..(j + 1) * 512].swap_with_slice(&mut high[..512]);
                })
                .unwrap();
            assert!(matches!(open(&image, &options), Err(WalError::Damaged { .. })), "swapped {j} and {i}");
            let image = copy_of(&disk);
            image.damage(&segment, |bytes| bytes.copy_within(j * 512..(j + 1) * 512, i * 512)).unwrap();
            assert!(matches!(open(&image, &options), Err(WalError::Damaged { .. })), "{j} in place of {i}");
        }
    }
}

#[test]
fn a_deleted_segment_is_damage() {
    let options = options(1500, true);
    let (disk, _) = log(&options, &[(1, 700), (1, 700), (1, 700), (1, 700), (1, 700), (1, 700)]);
    let all = segments(&disk);
    assert!(all.len() >= 3);
    for (i, segment) in all.iter().enumerate() {
        let image = copy_of(&disk);
        image.remove_file(segment).unwrap();
        match open(&image, &options) {
            Err(WalError::Unusable { .. }) if i == 0 => {}
            Err(WalError::Damaged { cause: DamageCause::Chain(_), .. }) if i + 1 < all.len() => {}
            Err(WalError::Damaged { cause: DamageCause::SideFile(_), lost, .. }) => assert!(!lost.is_empty()),
            other => panic!("{}: {other:?}", segment.display()),
        }
    }
}

#[test]
fn damage_in_an_older_segment_is_never_torn() {
    let options = options(1500, false);
    let (disk, _) = log(&options, &[(1, 700), (1, 700), (1, 700), (1, 700), (1, 700), (1, 700)]);
    let first = &segments(&disk)[0];
    let len = disk.contents(first).unwrap().len() as u64;
    for sector in 0..len.div_ceil(512) {
        let image = copy_of(&disk);
        image.zero_sector(first, sector).unwrap();
        assert!(matches!(open(&image, &options), Err(WalError::Damaged { .. })), "sector {sector}");
    }
    for cut in (0..len).step_by(8) {
        let image = copy_of(&disk);
        image.truncate(first, cut).unwrap();
        assert!(matches!(open(&image, &options), Err(WalError::Damaged { .. })), "cut at {cut}");
    }
}

/// Zeroes the sectors of the last segment that lie whole within the records at the given positions.
fn zero_records(disk: &SimDisk, from: usize, to: usize) {
    let mut places = Vec::new();
    scan(disk, &wal_dir(), None, |l| places.push((l.offset, l.length))).unwrap();
    let (start, end) = (places[from].0, places[to].0 + places[to].1);
    let segment = last_segment(disk);
    for sector in start.div_ceil(512)..end / 512 {
        disk.zero_sector(&segment, sector).unwrap();
    }
}

/// etcd does not sync a hard state that changes the commit only. So hard states alone prove nothing about what is
/// before them, and an entry followed by a hard state and one more record does.
#[test]
fn without_a_side_file_only_what_etcd_syncs_is_proof() {
    let options = options(1 << 30, false);
    let disk = disk();
    let mut wal = create(&disk, &options);
    write(&mut wal, &[(1, 100)]);
    for _ in 0..60 {
        wal.append(&[], state(1, 1)).unwrap();
    }
    let commits_only = copy_of(&disk);
    write(&mut wal, &[(1, 100)]);
    let one_batch_more = copy_of(&disk);
    wal.append(&[], state(1, 2)).unwrap();
    let proof = copy_of(&disk);
    let mut elected = state(2, 1);
    elected.vote = 9;
    drop(wal);
    let with_vote = copy_of(&commits_only);
    let (mut wal, _) = open(&with_vote, &options).unwrap();
    wal.append(&[], elected).unwrap();
    wal.append(&[], elected).unwrap();
    wal.sync().unwrap();
    drop(wal);
    for (image, torn) in [(commits_only, true), (one_batch_more, true), (proof, false), (with_vote, false)] {
        let image = copy_of(&image);
        zero_records(&image, 10, 40);
        match open(&image, &options) {
            Ok((_, found)) => assert!(torn && found.report.torn.is_some() && found.entries.len() == 1),
            Err(WalError::Damaged { cause: DamageCause::SyncedLater(_), .. }) => assert!(!torn),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_log_of_etcds_without_side_file_is_named_by_opening_it() {
    let without = options(1 << 30, false);
    let with = options(1 << 30, true);
    let (disk, all) = log(&without, &[(3, 300), (3, 300)]);
    let (wal, found) = open(&disk, &with).unwrap();
    assert_eq!((found.report.unprotected, found.report.records), (11, 11));
    drop(wal);
    // etcd goes on writing, without rows; they are added when we come back.
    let (mut wal, _) = open(&disk, &without).unwrap();
    wal.append(&entries(7..=9, 1, 300), state(1, 6)).unwrap();
    wal.close().unwrap();
    let (_, found) = open(&disk, &with).unwrap();
    assert_eq!((found.report.unprotected, found.entries.len()), (4, all.len() + 3));
    disk.make_durable();
    disk.truncate(&last_segment(&disk), 3000).unwrap();
    let Err(WalError::Damaged { first_lost_index, .. }) = open(&disk, &with) else { panic!("opened") };
    assert_eq!(first_lost_index, 9);
}

#[test]
fn every_damage_to_the_side_file_is_unknown_and_never_data_loss() {
    let options = options(1 << 30, true);
    let (disk, all) = log(&options, &[(3, 100), (1, 10), (2, 50)]);
    let side = side_files(&disk).pop().unwrap();
    for bit in (0..disk.contents(&side).unwrap().len() as u64 * 8).step_by(7) {
        let image = copy_of(&disk);
        image.flip_bit(&side, bit).unwrap();
        let (_, found) = open(&image, &options).unwrap();
        assert_eq!(found.entries, all, "bit {bit}");
        assert!(found.report.side_bytes_unreadable > 0);
        let (_, found) = open(&image, &options).unwrap();
        assert_eq!(found.report.unprotected, 0, "named again");
    }
    drop_side(&disk);
    assert_eq!(open(&disk, &options).unwrap().1.entries, all);
}

/// Arbitrary bytes as a segment: an error, not a panic, and no more memory than the file has.
#[test]
fn hostile_segments_are_errors() {
    let options = options(1 << 30, false);
    let (disk, _) = log(&options, &[(3, 100), (1, 10), (2, 50)]);
    let segment = last_segment(&disk);
    let mut random = 12345u64;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    for _ in 0..400 {
        let image = copy_of(&disk);
        image
            .damage(&segment, |bytes| {
                let len = bytes.len() as u64;
                match next() % 4 {
                    0 => bytes.extend((0..next() % 3000).map(|_| (next() % 5) as u8)),
                    1 => {
                        let at = (next() % (len / 8)) as usize * 8;
                        bytes[at..at + 8].copy_from_slice(&(next() << (next() % 33)).to_le_bytes());
                    }
                    2 => {
                        let at = (next() % len) as usize;
                        bytes[at..].iter_mut().for_each(|b| *b = next() as u8);
                    }
                    _ => *bytes = (0..next() % 5000).map(|_| next() as u8).collect(),
                }
            })
            .unwrap();
        let before = image.contents(&segment).unwrap();
        match open(&image, &options) {
            Ok((_, found)) => assert!(found.entries.len() <= 6),
            Err(_) => assert_eq!(image.contents(&segment).unwrap(), before, "nothing was changed"),
        }
    }
    assert!(disk.exists(Path::new("/data/member/wal")).unwrap());
}
