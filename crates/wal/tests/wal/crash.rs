//! Power loss at every call to the disk: what was synced is there, and the log always opens.

use crate::common::*;
use types::raft::{Entry, HardState};
use vfs::{CrashPlan, Fault, SimDisk};
use wal::{Recovered, Wal, WalError, WalOptions};

/// What may be found after a crash.
#[derive(Clone, Debug, Default)]
struct Expected {
    created: bool,
    /// The batches that were begun, in order.
    batches: Vec<(Vec<Entry>, HardState)>,
    /// How many of them are acknowledged.
    acknowledged: usize,
    /// Index of the last snapshot record that was saved, and of the one under way.
    snapshots: (u64, u64),
}

impl Expected {
    fn append(&mut self, wal: &mut Wal, batch: &[Entry], commit: u64, term: u64) -> Result<(), WalError> {
        // Appending syncs the batch before.
        let before = self.batches.len();
        self.batches.push((batch.to_vec(), state(term, commit)));
        wal.append(batch, state(term, commit))?;
        self.acknowledged = before;
        Ok(())
    }

    fn sync(&mut self, wal: &mut Wal) -> Result<(), WalError> {
        wal.sync()?;
        self.acknowledged = self.batches.len();
        Ok(())
    }

    fn save(&mut self, wal: &mut Wal, index: u64) -> Result<(), WalError> {
        let term = self.model(self.batches.len()).entries[index as usize - 1].term;
        self.snapshots.1 = index;
        wal.save_snapshot(snapshot(index, term))?;
        self.acknowledged = self.batches.len();
        self.snapshots.0 = index;
        Ok(())
    }

    /// The log after so many batches.
    fn model(&self, count: usize) -> Model {
        let mut model = Model::default();
        self.batches[..count].iter().for_each(|(entries, state)| model.append(entries, *state));
        model
    }

    /// `found` must be the log after the acknowledged batches or some more, and perhaps the first entries of the
    /// one after that.
    fn check(&self, found: &Recovered, context: &str) {
        let start = found.start.index;
        assert!(start == self.snapshots.0 || start == self.snapshots.1, "{context}: start {start}");
        let fits =
            |model: &Model| found.hard_state == model.hard_state && found.entries == model.above(start);
        let possible = (self.acknowledged..=self.batches.len()).any(|count| {
            let model = self.model(count);
            let next = self.batches.get(count).map_or(&[][..], |(entries, _)| entries);
            (0..=next.len()).any(|torn| {
                let mut model = model.clone();
                model.append(&next[..torn], model.hard_state);
                fits(&model)
            })
        });
        assert!(possible, "{context}: {found:?} after {} of {:?}", self.acknowledged, self.batches);
    }
}

/// How long the life is, and how many random images there are of each moment of it.
fn rounds() -> u64 {
    if std::env::var_os("MAINSTAY_EXHAUSTIVE").is_some() { 60 } else { 6 }
}

/// A life of a log: batches small and large, replaced tails, cuts, prepared segments, snapshots, purges.
fn live(disk: &SimDisk, options: &WalOptions, expected: &mut Expected) -> Result<(), WalError> {
    let mut wal = try_create(disk, options)?;
    expected.created = true;
    let preparer = wal.preparer();
    let mut term = 1;
    for round in 0..rounds() {
        let last = wal.last_index();
        expected.append(&mut wal, &entries(last + 1..=last + 3, term, 150), last, term)?;
        expected.sync(&mut wal)?;
        preparer.prepare()?;
        let last = wal.last_index();
        expected.append(&mut wal, &entries(last + 1..=last + 2, term, 900), last - 1, term)?;
        expected.sync(&mut wal)?;
        wal.sync_side();
        // A new leader replaces the uncommitted tail.
        term += 1;
        let last = wal.last_index();
        expected.append(&mut wal, &entries(last..=last + 1, term, 300), last - 1, term)?;
        let last = wal.last_index();
        expected.append(&mut wal, &[], last, term)?;
        expected.sync(&mut wal)?;
        if round % 2 == 1 {
            let index = wal.last_index() - 2;
            expected.save(&mut wal, index)?;
            wal.purge(1, index)?;
        }
    }
    wal.close()
}

/// Runs the life with the power cut at each call; every image must open, twice, and go on working.
fn crash_everywhere(side: bool) {
    let options = options(3000, side);
    let calls = {
        let disk = disk();
        live(&disk, &options, &mut Expected::default()).unwrap();
        disk.io_count()
    };
    assert!(calls > 100, "{calls} calls");
    let mut torn = 0;
    for call in 0..calls {
        let disk = disk();
        disk.fail_at(call, Fault::Crash);
        let mut expected = Expected::default();
        let _ = live(&disk, &options, &mut expected);
        assert!(disk.power_lost(), "call {call}");
        let mut plans = vec![CrashPlan::LoseUnsynced, CrashPlan::KeepUnsynced];
        plans.extend((0..3).map(|seed| CrashPlan::TearLast { seed: seed * 7 + call }));
        plans.extend((0..rounds()).map(|seed| CrashPlan::Seeded { seed: seed * 1000 + call }));
        for plan in plans {
            let context = format!("call {call}, {plan:?}, side {side}");
            torn += u64::from(check_image(disk.crash(plan), &options, &expected, &context));
        }
    }
    assert!(torn > 20, "torn tails must be among the cases: {torn}");
}

/// Whether the image had a torn tail.
fn check_image(image: SimDisk, options: &WalOptions, expected: &Expected, context: &str) -> bool {
    let (mut wal, found) = match open(&image, options) {
        Err(WalError::NotFound { .. }) if !expected.created => return false,
        opened => opened.unwrap_or_else(|e| panic!("{context}: {e}")),
    };
    expected.check(&found, context);
    let torn = found.report.torn.is_some();
    // Opening again, after another power loss that keeps only what is durable, finds the same.
    let (_, again) = open(&image.crash(CrashPlan::LoseUnsynced), options)
        .unwrap_or_else(|e| panic!("{context}, again: {e}"));
    assert_eq!((&again.entries, again.hard_state), (&found.entries, found.hard_state), "{context}");
    assert_eq!(again.report.torn, None, "{context}: cut off once");
    // And the log goes on from there.
    let next = wal.last_index() + 1;
    wal.append(&entries(next..=next + 2, 99, 400), state(99, found.hard_state.commit)).unwrap();
    wal.close().unwrap();
    let (_, after) = open(&image, options).unwrap_or_else(|e| panic!("{context}, after: {e}"));
    assert_eq!(after.entries[..after.entries.len() - 3], found.entries, "{context}");
    assert_eq!(after.entries.last(), Some(&entry(next + 2, 99, 400)), "{context}");
    if torn {
        crash_in_repair(expected, options, context, &image);
    }
    torn
}

/// `image` is not torn any more; this keeps the check of kills, which lose nothing and release all locks.
fn crash_in_repair(expected: &Expected, options: &WalOptions, context: &str, image: &SimDisk) {
    let killed = image.kill();
    let (_, found) = open(&killed, options).unwrap_or_else(|e| panic!("{context}, killed: {e}"));
    assert!(found.start.index >= expected.snapshots.0, "{context}");
}

#[test]
fn at_every_call_with_a_side_file() {
    crash_everywhere(true);
}

#[test]
fn at_every_call_without_a_side_file() {
    crash_everywhere(false);
}

/// Runs the life with each call failing: the member stops there, starts again on what the system still shows it, and
/// goes on. What it acknowledges then must be there after a power loss, whatever was not durable before.
fn fail_everywhere(side: bool) {
    let options = options(3000, side);
    let calls = {
        let disk = disk();
        live(&disk, &options, &mut Expected::default()).unwrap();
        disk.io_count()
    };
    for (call, fault) in (0..calls).flat_map(|call| [(call, Fault::Eio), (call, Fault::SyncFails)]) {
        let disk = disk();
        disk.fail_at(call, fault);
        let mut expected = Expected::default();
        let _ = live(&disk, &options, &mut expected);
        let context = format!("call {call}, {fault:?}, side {side}");
        let disk = disk.kill();
        let (mut wal, found) = match open(&disk, &options) {
            Err(WalError::NotFound { .. }) if !expected.created => continue,
            opened => opened.unwrap_or_else(|e| panic!("{context}: {e}")),
        };
        expected.check(&found, &context);
        let next = wal.last_index() + 1;
        let more = entries(next..=next + 2, 99, 400);
        wal.append(&more, state(99, found.hard_state.commit)).unwrap();
        wal.sync().unwrap();
        let wanted = [found.entries, more].concat();
        let seeded = (0..rounds()).map(|seed| CrashPlan::Seeded { seed: seed * 1000 + call });
        for plan in [CrashPlan::LoseUnsynced, CrashPlan::KeepUnsynced].into_iter().chain(seeded) {
            let (_, after) = open(&disk.crash(plan.clone()), &options)
                .unwrap_or_else(|e| panic!("{context}, {plan:?}: {e}"));
            assert_eq!(after.entries, wanted, "{context}, {plan:?}");
        }
    }
}

#[test]
fn a_call_that_fails_is_not_believed_later() {
    fail_everywhere(true);
}

#[test]
fn a_call_that_fails_is_not_believed_later_without_a_side_file() {
    fail_everywhere(false);
}

/// A log with a torn last batch of several sectors, and what must be found in it.
fn torn_log(options: &WalOptions, seed: u64) -> Option<SimDisk> {
    let disk = disk();
    let mut wal = create(&disk, options);
    wal.append(&entries(1..=20, 1, 200), state(1, 10)).unwrap();
    wal.sync().unwrap();
    wal.append(&entries(21..=40, 1, 200), state(1, 20)).unwrap();
    let image = disk.crash(CrashPlan::TearLast { seed });
    let (_, found) = open(&image.crash(CrashPlan::KeepUnsynced), options).unwrap();
    found.report.torn.is_some().then_some(image)
}

#[test]
fn a_crash_in_the_repair_changes_nothing() {
    for side in [false, true] {
        let options = options(1 << 20, side);
        let images: Vec<_> = (0..20).filter_map(|seed| torn_log(&options, seed)).collect();
        assert!(images.len() > 5);
        for image in images {
            let (calls, wanted) = {
                let image = image.crash(CrashPlan::KeepUnsynced);
                let (_, found) = open(&image, &options).unwrap();
                (image.io_count(), found.entries)
            };
            for call in 0..calls {
                let first = image.crash(CrashPlan::KeepUnsynced);
                first.fail_at(call, Fault::Crash);
                assert!(open(&first, &options).is_err() || side, "call {call}");
                for seed in 0..4 {
                    let second = first.crash(CrashPlan::Seeded { seed });
                    let (_, found) = open(&second, &options).unwrap_or_else(|e| panic!("call {call}: {e}"));
                    assert_eq!(found.entries, wanted, "call {call}");
                }
            }
        }
    }
}

#[test]
fn the_torn_end_is_kept_as_a_copy_once() {
    let options = options(1 << 20, false);
    let image = (0..20).find_map(|seed| torn_log(&options, seed)).unwrap();
    let segment = last_segment(&image);
    let before = image.contents(&segment).unwrap();
    let (_, found) = open(&image, &options).unwrap();
    let torn = found.report.torn.unwrap();
    assert!(torn.copied && torn.bytes > 0);
    let copy = segment.with_extension("wal.broken");
    let kept = image.contents(&copy).unwrap();
    assert_eq!(kept[..], before[..kept.len()]);
    assert!(before[kept.len()..].iter().all(|b| *b == 0));
    let after = image.contents(&segment).unwrap();
    assert_eq!(after[..torn.offset as usize], before[..torn.offset as usize]);
    assert!(after[torn.offset as usize..].iter().all(|b| *b == 0));
    // A second accident in the same segment does not replace the first copy.
    let mut again = image.contents(&segment).unwrap();
    again.truncate(torn.offset as usize);
    image.damage(&segment, |bytes| *bytes = [&again[..], &before[again.len()..]].concat()).unwrap();
    let (_, found) = open(&image.crash(CrashPlan::KeepUnsynced), &options).unwrap();
    assert!(!found.report.torn.unwrap().copied);
}

#[test]
fn a_full_disk_does_not_keep_a_torn_log_from_opening() {
    let options = options(1 << 20, false);
    let image = (0..20).find_map(|seed| torn_log(&options, seed)).unwrap();
    image.set_capacity(Some(image.used()));
    let (_, found) = open(&image, &options).unwrap();
    assert!(!found.report.torn.unwrap().copied);
    assert!(found.entries.len() >= 20);
}

#[test]
fn what_a_killed_process_wrote_is_made_durable_by_opening() {
    let options = options(1 << 20, true);
    let disk = disk();
    let mut wal = create(&disk, &options);
    wal.append(&entries(1..=3, 1, 100), state(1, 0)).unwrap();
    let next = disk.kill();
    drop(wal);
    let (_, found) = open(&next, &options).unwrap();
    assert_eq!(found.entries.len(), 3, "read from the page cache");
    let (_, found) = open(&next.crash(CrashPlan::LoseUnsynced), &options).unwrap();
    assert_eq!(found.entries.len(), 3, "raft was told that they are durable");
}

#[test]
fn what_a_failed_sync_left_visible_is_made_durable_by_opening() {
    for batches in 1..5u64 {
        for side in [false, true] {
            let options = options(1 << 20, side);
            let disk = disk();
            let mut wal = create(&disk, &options);
            for i in 0..batches {
                wal.append(&entries(i * 3 + 1..=i * 3 + 3, 1, 700), state(1, i * 3)).unwrap();
            }
            disk.fail_at(0, Fault::SyncFails);
            assert!(wal.sync().is_err());
            let next = disk.kill();
            drop(wal);
            let (_, found) = open(&next, &options).unwrap();
            let (_, after) = open(&next.crash(CrashPlan::LoseUnsynced), &options).unwrap();
            assert_eq!(after.entries, found.entries);
            assert_eq!(found.entries.len() as u64, batches * 3, "the page cache shows it all");
        }
    }
}

#[test]
fn every_read_fault_while_opening_is_an_error_or_harmless() {
    let options = options(2000, true);
    let disk = disk();
    let mut wal = create(&disk, &options);
    for index in 1..=20 {
        wal.append(&[entry(index, 1, 300)], state(1, index - 1)).unwrap();
    }
    wal.close().unwrap();
    // Reads carry the number of the next mutating call, so all before the first one are hit by repetition.
    let faults = [
        Fault::ReadEio,
        Fault::ShortRead { bytes: 0 },
        Fault::ShortRead { bytes: 7 },
        Fault::ReadBitFlip { bit: 4001 },
    ];
    for fault in faults {
        let image = disk.crash(CrashPlan::KeepUnsynced);
        image.fail_at(0, fault);
        match open(&image, &options) {
            Ok((_, found)) => assert_eq!(found.entries, entries(1..=20, 1, 300), "{fault:?}"),
            Err(WalError::Io { .. } | WalError::Damaged { .. }) => {}
            Err(error) => panic!("{fault:?}: {error}"),
        }
        let (_, found) = open(&image, &options).unwrap();
        assert_eq!(found.entries, entries(1..=20, 1, 300), "nothing was changed");
    }
}
