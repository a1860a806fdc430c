//! What bbolt's tools show of files that bbolt wrote; the numbers are those of its own `stats`, `pages` and `inspect`.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::{path::Path, sync::Arc};

use bolt::{BucketStats, Db, Element, Lock, Options, PageKind, Pages};
use common::*;
use vfs::{Disk, OpenMode, SimDisk};

fn disk_with(bytes: &[u8]) -> SimDisk {
    let disk = disk();
    disk.open(Path::new(DB_PATH), OpenMode::Create).unwrap().write_all_at(bytes, 0).unwrap();
    disk
}

fn open(disk: &SimDisk) -> Db {
    let options = Options { read_only: true, lock: Lock::Unlocked, ..Options::default() };
    Db::open(Arc::new(disk.clone()), Path::new(DB_PATH), options).unwrap()
}

#[test]
fn stats_are_bbolts() {
    for (file, expected) in [
        (&include_bytes!("bbolt/nested.db")[..], [2, 20, 0, 185, 4, 500, 46192, 5, 3, 129]),
        (&include_bytes!("bbolt/long_values.db")[..], [1, 18, 37, 122, 2, 448, 188_579, 3, 2, 95]),
        (&include_bytes!("bbolt/page_size_1024.db")[..], [3, 51, 5, 122, 3, 1320, 34181, 3, 2, 95]),
    ] {
        let snapshot = open(&disk_with(file)).snapshot();
        let mut sum = BucketStats::default();
        let mut elements = snapshot.top().elements();
        while let Some(element) = elements.next().unwrap() {
            let Element::Bucket(_, bucket) = element else { panic!("a key beside the buckets") };
            sum.add(&bucket.stats().unwrap());
        }
        let found = [
            sum.branch_pages,
            sum.leaf_pages,
            sum.leaf_overflows,
            sum.keys,
            sum.depth,
            sum.branch_bytes_used,
            sum.leaf_bytes_used,
            sum.buckets,
            sum.inline_buckets,
            sum.inline_bytes_used,
        ];
        assert_eq!(found, expected);
    }
}

#[test]
fn buckets_in_buckets_are_found() {
    let snapshot = open(&disk_with(include_bytes!("bbolt/nested.db"))).snapshot();
    let Some(Element::Bucket(_, key)) = snapshot.top().find(b"key").unwrap() else { panic!("no bucket") };
    let Some(Element::Bucket(_, sub)) = key.find(b"sub").unwrap() else { panic!("no bucket in it") };
    let mut elements = sub.elements();
    let mut count = 0;
    while let Some(element) = elements.next().unwrap() {
        assert!(matches!(element, Element::Key(..)));
        count += 1;
    }
    assert_eq!(count, 60);
    let Some(Element::Bucket(_, tiny)) = key.find(b"tiny").unwrap() else { panic!("no inline bucket") };
    assert_eq!(tiny.root_page(), 0);
    assert!(key.find(b"absent").unwrap().is_none());
    let unused = snapshot.unused_pages().unwrap();
    let free: Vec<u64> = (0..24).filter(|page| unused.contains(*page)).collect();
    assert_eq!(free, [11, 12, 13, 14, 16, 17, 23]);
    assert!(!unused.contains(u64::MAX));
}

#[test]
fn single_pages_are_read_without_trust() {
    let bytes = include_bytes!("bbolt/freelist.db");
    let disk = disk_with(bytes);
    let pages = Pages::open(&disk, Path::new(DB_PATH)).unwrap();
    let kinds: Vec<PageKind> = (0..4).map(|id| pages.page(id).unwrap().unwrap().kind()).collect();
    assert_eq!(kinds, [PageKind::Meta, PageKind::Meta, PageKind::Leaf, PageKind::Freelist]);
    assert_eq!(pages.page(3).unwrap().unwrap().free_ids().unwrap().len(), 17);
    let leaf = pages.page(2).unwrap().unwrap();
    let item = leaf.leaf_item(1).unwrap();
    assert!(item.is_bucket && item.key == b"key");
    assert!(leaf.leaf_item(u16::MAX).is_err());
    assert!(pages.page(u64::MAX).unwrap().is_none() && pages.bytes(1 << 40).unwrap().is_none());
    // Whatever bytes a page holds, it is an error or a page, never a panic.
    let file = disk.open(Path::new(DB_PATH), OpenMode::ReadWrite).unwrap();
    for at in 0..64 {
        file.write_all_at(&[0xff], 2 * 4096 + at).unwrap();
        if let Ok(Some(page)) = pages.page(2) {
            for index in [0, 1, 200, u16::MAX] {
                let _ = (page.leaf_item(index), page.branch_item(index), page.free_ids());
            }
        }
    }
}

#[test]
fn locks_of_readers() {
    let disk = disk_with(include_bytes!("bbolt/freelist.db"));
    let options = |lock| Options { read_only: true, lock, ..Options::default() };
    let open = |lock| Db::open(Arc::new(disk.clone()), Path::new(DB_PATH), options(lock));
    let held = open(Lock::Exclusive).unwrap();
    assert!(open(Lock::Shared).is_err());
    open(Lock::Unlocked).unwrap();
    drop(held);
    open(Lock::Shared).unwrap();
}
