use std::{io::ErrorKind, path::Path, sync::Arc};

use super::*;

const F: &str = "/d/f";

/// A disk with a durable empty file `/d/f`.
fn disk_with_file() -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    let file = disk.open(Path::new(F), OpenMode::CreateNew).unwrap();
    disk.make_durable();
    (disk, file)
}

fn contents(disk: &SimDisk, path: &str) -> Vec<u8> {
    disk.contents(Path::new(path)).unwrap()
}

#[test]
fn unsynced_bytes_are_lost_kept_or_torn() {
    let (disk, file) = disk_with_file();
    file.write_all_at(&[1; 1536], 0).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(&[2; 2048], 512).unwrap();
    assert_eq!(contents(&disk, F).len(), 2560, "visible at once");
    assert_eq!(contents(&disk.crash(CrashPlan::LoseUnsynced), F), [1; 1536]);
    assert_eq!(contents(&disk.crash(CrashPlan::KeepUnsynced), F), contents(&disk, F));

    let mut images = Vec::new();
    for seed in 0..64 {
        let image = contents(&disk.crash(CrashPlan::TearLast { seed }), F);
        assert_eq!(image[..512], [1; 512], "outside of the write");
        for sector in image.chunks(512) {
            assert!(sector.iter().all(|b| *b == sector[0]), "sectors are whole");
        }
        images.push(image);
    }
    images.sort();
    images.dedup();
    assert!(images.len() > 16, "{} different tears", images.len());
    assert!(images.iter().any(|i| i.len() == 2560 && i[2048] == 0), "length without bytes");
    assert!(images.iter().any(|i| i[512] == 1 && i[1024] == 2), "out of order");
}

#[test]
fn any_subset_of_writes_can_survive() {
    let (disk, file) = disk_with_file();
    for i in 0..3 {
        file.write_all_at(&[i + 1; 10], u64::from(i) * 10).unwrap();
    }
    file.set_len(25).unwrap();
    let what = disk.unsynced();
    assert_eq!(what[1], Unsynced::Write { path: Some(F.into()), offset: 10, len: 10 });
    assert_eq!(what[3], Unsynced::SetLen { path: Some(F.into()), len: 25 });
    let image = disk.crash(CrashPlan::Each(vec![Fate::Lost, Fate::Kept, Fate::Lost, Fate::Lost]));
    assert_eq!(contents(&image, F), [&[0; 10][..], &[2; 10]].concat());
    let image = disk.crash(CrashPlan::Each(vec![Fate::Kept, Fate::Lost, Fate::Lost, Fate::Kept]));
    assert_eq!(contents(&image, F), [&[1; 10][..], &[0; 15]].concat());
    let seeded = |seed| contents(&disk.crash(CrashPlan::Seeded { seed }), F);
    assert_eq!(seeded(7), seeded(7));
    assert!((0..20).any(|seed| seeded(seed) != seeded(7)));
}

#[test]
fn names_need_a_directory_sync() {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    disk.make_durable();
    let open = |name: &str| disk.open(&Path::new("/d").join(name), OpenMode::CreateNew).unwrap();
    let file = open("a");
    file.write_all_at(b"x", 0).unwrap();
    file.sync_data().unwrap();
    assert!(disk.crash(CrashPlan::LoseUnsynced).files().is_empty(), "no name, no file");
    disk.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(contents(&disk.crash(CrashPlan::LoseUnsynced), "/d/a"), b"x");

    disk.rename(Path::new("/d/a"), Path::new("/d/b")).unwrap();
    assert_eq!(disk.crash(CrashPlan::LoseUnsynced).files(), [Path::new("/d/a")]);
    assert_eq!(disk.crash(CrashPlan::KeepUnsynced).files(), [Path::new("/d/b")]);
    disk.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(disk.crash(CrashPlan::LoseUnsynced).files(), [Path::new("/d/b")]);

    disk.remove_file(Path::new("/d/b")).unwrap();
    open("c");
    let image = disk.crash(CrashPlan::Each(vec![Fate::Lost, Fate::Kept]));
    assert_eq!(image.files(), [Path::new("/d/b"), Path::new("/d/c")]);
    assert_eq!(contents(&image, "/d/b"), b"x");
    assert_eq!(contents(&image, "/d/c"), b"");
}

#[test]
fn a_durable_name_may_lead_to_lost_bytes() {
    let (disk, _) = disk_with_file();
    let file = disk.open(Path::new("/d/g"), OpenMode::Create).unwrap();
    file.write_all_at(b"unsynced", 0).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(contents(&disk.crash(CrashPlan::LoseUnsynced), "/d/g"), b"");
}

#[test]
fn directories_move_with_what_is_in_them() {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/m/wal.tmp")).unwrap();
    disk.make_durable();
    let file = disk.open(Path::new("/m/wal.tmp/f"), OpenMode::Create).unwrap();
    file.write_all_at(b"1", 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/m/wal.tmp")).unwrap();
    disk.rename(Path::new("/m/wal.tmp"), Path::new("/m/wal")).unwrap();
    assert_eq!(disk.crash(CrashPlan::LoseUnsynced).files(), [Path::new("/m/wal.tmp/f")]);
    disk.sync_dir(Path::new("/m")).unwrap();
    assert_eq!(contents(&disk.crash(CrashPlan::LoseUnsynced), "/m/wal/f"), b"1");

    disk.remove_dir_all(Path::new("/m/wal")).unwrap();
    assert_eq!(disk.crash(CrashPlan::LoseUnsynced).files(), [Path::new("/m/wal/f")]);
    disk.sync_dir(Path::new("/m")).unwrap();
    assert!(disk.crash(CrashPlan::LoseUnsynced).files().is_empty());
}

#[test]
fn errors_of_names() {
    let (disk, _) = disk_with_file();
    let kind = |r: io::Result<()>| r.unwrap_err().kind();
    let open = |path: &str, mode| disk.open(Path::new(path), mode).map(drop);
    assert_eq!(kind(open("/d/g", OpenMode::Read)), ErrorKind::NotFound);
    assert_eq!(kind(open("/x/g", OpenMode::Create)), ErrorKind::NotFound);
    assert_eq!(kind(open(F, OpenMode::CreateNew)), ErrorKind::AlreadyExists);
    assert_eq!(kind(open("/d", OpenMode::Read)), ErrorKind::IsADirectory);
    assert_eq!(kind(open("/d/f/g", OpenMode::Create)), ErrorKind::NotADirectory);
    assert_eq!(kind(disk.rename(Path::new("/d/f"), Path::new("/d"))), ErrorKind::IsADirectory);
    assert_eq!(kind(disk.remove_file(Path::new("/d"))), ErrorKind::IsADirectory);
    assert_eq!(kind(disk.list(Path::new("/x")).map(drop)), ErrorKind::NotFound);
    assert!(!disk.exists(Path::new("/d/f/g")).unwrap());
    assert!(disk.open(Path::new(F), OpenMode::Read).unwrap().write_all_at(b"x", 0).is_err());
    assert_eq!(
        disk.list(Path::new("/")).unwrap(),
        [DirEntry { name: "d".into(), is_dir: true }],
        "and nothing was changed"
    );
}

#[test]
fn a_crash_fails_the_call_and_all_later_ones() {
    let (disk, file) = disk_with_file();
    disk.fail_at(disk.io_count() + 1, Fault::Crash);
    file.write_all_at(b"one", 0).unwrap();
    assert_eq!(file.write_all_at(b"two", 3).unwrap_err().to_string(), "power lost");
    assert!(disk.power_lost());
    assert!(file.read_at(&mut [0; 1], 0).is_err());
    assert!(file.sync_data().is_err());
    assert!(disk.open(Path::new(F), OpenMode::Read).is_err());
    assert!(disk.list(Path::new("/d")).is_err());
    assert_eq!(contents(&disk.crash(CrashPlan::LoseUnsynced), F), b"");
    let image = disk.crash(CrashPlan::KeepUnsynced);
    assert_eq!(contents(&image, F), b"onetwo", "the call itself may have happened");
    assert!(image.open(Path::new(F), OpenMode::Read).is_ok());
}

#[test]
fn a_crash_in_a_sync_leaves_it_undone() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"one", 0).unwrap();
    disk.fail_at(0, Fault::Crash);
    assert!(file.sync_data().is_err());
    assert_eq!(contents(&disk.crash(CrashPlan::LoseUnsynced), F), b"");
}

#[test]
fn a_failed_sync_is_not_made_good_by_the_next() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"one", 0).unwrap();
    disk.fail_at(0, Fault::SyncFails);
    assert!(file.sync_data().is_err());
    file.write_all_at(b"two", 3).unwrap();
    file.sync_data().unwrap();
    assert_eq!(contents(&disk, F), b"onetwo");
    assert_eq!(contents(&disk.crash(CrashPlan::LoseUnsynced), F), b"\0\0\0two");
}

#[test]
fn faults_of_writes() {
    let check = |fault: Fault, stored: &[u8], error: Option<ErrorKind>| {
        let (disk, file) = disk_with_file();
        disk.fail_at(disk.io_count(), fault);
        let result = file.write_all_at(b"abcd", 0);
        assert_eq!(result.as_ref().err().map(io::Error::kind), error, "{fault:?}");
        assert_eq!(contents(&disk, F), stored, "{fault:?}");
        file.write_all_at(b"abcd", 0).unwrap();
        assert_eq!(contents(&disk, F)[..4], *b"abcd", "{fault:?} fires once");
    };
    check(Fault::Enospc, b"ab", Some(ErrorKind::StorageFull));
    check(Fault::Eio, b"", Some(io::Error::from_raw_os_error(5).kind()));
    check(Fault::BitFlip { bit: 8 }, b"accd", None);
    check(Fault::BitFlip { bit: 32 + 1 }, b"cbcd", None);
    check(Fault::LostWrite, b"", None);
    check(Fault::MisdirectedWrite { forward: 2 }, b"\0\0abcd", None);
}

#[test]
fn faults_of_reads() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"abcd", 0).unwrap();
    let mut buf = [0; 4];
    disk.fail_at(disk.io_count(), Fault::ShortRead { bytes: 3 });
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 3);
    disk.fail_at(0, Fault::ShortRead { bytes: 1 });
    file.read_exact_at(&mut buf, 0).unwrap();
    assert_eq!(&buf, b"abcd", "a short read is continued");
    disk.fail_at(0, Fault::ShortRead { bytes: 0 });
    assert_eq!(file.read_exact_at(&mut buf, 0).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    disk.fail_at(0, Fault::ReadEio);
    assert!(file.read_at(&mut buf, 0).is_err());
    disk.fail_at(0, Fault::ReadBitFlip { bit: 9 });
    file.read_exact_at(&mut buf, 0).unwrap();
    assert_eq!(&buf, b"a`cd");
    disk.fail_at(disk.io_count() + 1, Fault::ReadEio);
    disk.fail_at(disk.io_count() + 5, Fault::ReadEio);
    assert!(file.read_at(&mut buf, 0).is_ok(), "not before its number");
    disk.clear_faults();
    file.write_all_at(b"x", 0).unwrap();
    assert!(file.read_at(&mut buf, 0).is_ok());
}

#[test]
fn faults_wait_for_a_call_they_apply_to_and_calls_are_counted() {
    let (disk, file) = disk_with_file();
    let start = disk.io_count();
    disk.fail_at(start, Fault::LostWrite);
    disk.rename(Path::new(F), Path::new("/d/g")).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(b"x", 0).unwrap();
    assert_eq!(contents(&disk, "/d/g"), b"");
    disk.fail_at(0, Fault::Eio);
    assert!(disk.remove_file(Path::new("/d/g")).is_err());
    disk.fail_at(0, Fault::Enospc);
    assert!(disk.create_dir_all(Path::new("/e")).is_err());
    disk.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(disk.io_count() - start, 6);
    assert!(disk.exists(Path::new("/d/g")).unwrap());
    assert!(!disk.exists(Path::new("/e")).unwrap());
}

#[test]
fn a_full_disk_takes_what_fits() {
    let (disk, file) = disk_with_file();
    assert_eq!(disk.free_bytes(Path::new("/")).unwrap(), u64::MAX);
    disk.set_capacity(Some(10));
    file.write_all_at(&[1; 6], 0).unwrap();
    let other = disk.open(Path::new("/d/g"), OpenMode::Create).unwrap();
    assert_eq!(other.write_all_at(&[2; 6], 0).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(contents(&disk, "/d/g"), [2; 4]);
    assert_eq!(disk.used(), 10);
    file.write_all_at(&[3; 6], 0).unwrap();
    assert_eq!(file.set_len(7).unwrap_err().kind(), ErrorKind::StorageFull);
    file.set_len(1).unwrap();
    other.write_all_at(&[2; 2], 4).unwrap();
    disk.set_capacity(None);
    file.set_len(1 << 40).unwrap();
    assert!(file.set_len(u64::MAX).is_err());
    assert!(file.write_all_at(b"x", u64::MAX).is_err());
}

#[test]
fn locks_go_with_the_handle_and_with_the_power() {
    let (disk, one) = disk_with_file();
    let two = disk.open(Path::new(F), OpenMode::ReadWrite).unwrap();
    for kind in [LockKind::Flock, LockKind::OpenFileDescription] {
        assert!(one.try_lock(kind).unwrap());
        assert!(one.try_lock(kind).unwrap());
        assert!(!two.try_lock(kind).unwrap());
    }
    let image = disk.crash(CrashPlan::LoseUnsynced);
    let after = image.open(Path::new(F), OpenMode::ReadWrite).unwrap();
    assert!(after.try_lock(LockKind::Flock).unwrap());
    drop(one);
    assert!(two.try_lock(LockKind::Flock).unwrap());
}

#[test]
fn a_killed_process_leaves_what_it_wrote_and_no_lock() {
    let (disk, file) = disk_with_file();
    assert!(file.try_lock(LockKind::Flock).unwrap());
    file.write_all_at(b"unsynced", 0).unwrap();
    let next = disk.kill();
    assert!(file.write_all_at(b"x", 0).is_err());
    drop(file);
    assert_eq!(contents(&next, F), b"unsynced");
    assert_eq!(contents(&next.crash(CrashPlan::LoseUnsynced), F), b"", "still not durable");
    assert!(next.open(Path::new(F), OpenMode::Read).unwrap().try_lock(LockKind::Flock).unwrap());
}

#[test]
fn damage_is_silent_and_durable() {
    let (disk, file) = disk_with_file();
    file.write_all_at(&[0xff; 1100], 0).unwrap();
    file.sync_data().unwrap();
    let count = disk.io_count();
    disk.flip_bit(Path::new(F), 8 * 600 + 1).unwrap();
    disk.zero_sector(Path::new(F), 2).unwrap();
    disk.truncate(Path::new(F), 1090).unwrap();
    assert_eq!(disk.io_count(), count);
    let image = contents(&disk.crash(CrashPlan::LoseUnsynced), F);
    assert_eq!((image.len(), image[599], image[600], image[1023], image[1024]), (1090, 0xff, 0xfd, 0xff, 0));
    assert!(disk.flip_bit(Path::new(F), 8 * 1090).is_err());
    assert!(disk.zero_sector(Path::new("/d/none"), 0).is_err());
}

#[test]
fn removed_files_live_until_closed_and_are_forgotten_then() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"abc", 0).unwrap();
    disk.remove_file(Path::new(F)).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    let mut buf = [0; 3];
    file.read_exact_at(&mut buf, 0).unwrap();
    assert_eq!(disk.used(), 3);
    drop(file);
    disk.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(disk.used(), 0);
}

/// What a failed sync left may survive a crash or not, but never in the place of something newer.
#[test]
fn what_was_given_up_does_not_come_back_over_what_is_durable() {
    let (disk, file) = disk_with_file();
    file.set_len(6).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(b"oldold", 0).unwrap();
    disk.fail_at(disk.io_count(), Fault::SyncFails);
    file.sync_data().unwrap_err();
    file.write_all_at(b"NE", 2).unwrap();
    file.sync_data().unwrap();
    assert_eq!(contents(&disk, F), b"olNEld");
    assert_eq!(contents(&disk.crash(CrashPlan::LoseUnsynced), F), b"\0\0NE\0\0");
    assert_eq!(contents(&disk.crash(CrashPlan::KeepUnsynced), F), b"olNEld");
    file.set_len(3).unwrap();
    file.sync_data().unwrap();
    assert_eq!(contents(&disk.crash(CrashPlan::KeepUnsynced), F), b"olN");
}

#[test]
fn faults_of_reads_count_reads() {
    let disk = SimDisk::new();
    let file = disk.open(Path::new("/a"), OpenMode::Create).unwrap();
    file.write_all_at(&[1; 8], 0).unwrap();
    disk.fail_read_at(disk.read_count() + 1, Fault::ShortRead { bytes: 3 });
    let mut bytes = [0; 8];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 8);
    assert!(disk.take_fired().is_empty());
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 3);
    assert_eq!(disk.take_fired(), [Fault::ShortRead { bytes: 3 }]);
    disk.fail_read_at(0, Fault::ReadEio);
    disk.clear_faults();
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 8);
}
