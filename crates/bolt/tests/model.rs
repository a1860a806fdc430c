//! Random work, compared with a plain map after every commit; snapshots are held across commits.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use bolt::{Db, Options, Snapshot};
use common::*;
use proptest::prelude::*;
use vfs::SimDisk;

struct Run {
    disk: SimDisk,
    options: Options,
    db: Option<Db>,
    model: Model,
    committed: Model,
    appended: u64,
    held: Vec<(Snapshot, Model)>,
}

impl Run {
    fn new(options: Options) -> Run {
        let disk = disk();
        let db = Some(open(&disk, &options));
        Run { disk, options, db, model: Model::new(), committed: Model::new(), appended: 0, held: Vec::new() }
    }

    fn db(&mut self) -> &mut Db {
        self.db.as_mut().unwrap()
    }

    fn commit(&mut self) {
        let stats = self.db().commit().unwrap();
        let db = self.db.as_ref().unwrap();
        assert_eq!(stats.txid, db.txid());
        self.committed = self.model.clone();
        let snapshot = db.snapshot();
        assert_clean(&snapshot);
        assert_same(&snapshot, &self.committed);
        assert!(db.size_in_use() <= db.size());
        self.assert_file_is_long_enough();
        for (snapshot, model) in &self.held {
            assert_clean(snapshot);
            assert!(contents(snapshot) == *model, "a held snapshot changed");
        }
    }

    /// bbolt maps the file: each page below either meta's high-water mark must be in it.
    fn assert_file_is_long_enough(&self) {
        let file = self.disk.contents(DB_PATH.as_ref()).unwrap();
        let high_water = |slot: usize| {
            let at = slot * self.options.page_size + 56;
            u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) * self.options.page_size as u64
        };
        let held = self.held.iter().map(|(snapshot, _)| snapshot.size());
        let needed = held.chain([high_water(0), high_water(1)]).max().unwrap();
        assert!(file.len() as u64 >= needed, "{} bytes, {needed} are needed", file.len());
    }

    fn step(&mut self, step: &Step) {
        let db = self.db.as_mut().unwrap();
        if change(db, &mut self.model, &mut self.appended, step) {
            return;
        }
        match *step {
            Step::Commit => self.commit(),
            Step::Reopen => {
                self.held.clear();
                self.db = None;
                self.model = self.committed.clone();
                self.db = Some(open(&self.disk, &self.options));
                let snapshot = self.db().snapshot();
                assert_clean(&snapshot);
                assert_same(&snapshot, &self.committed);
            }
            Step::Hold => self.held.push((db.snapshot(), self.committed.clone())),
            Step::Release { which } if which < self.held.len() => drop(self.held.remove(which)),
            Step::Shrink { pages } => {
                db.shrink_step(pages).unwrap();
                self.commit();
            }
            _ => {}
        }
    }
}

fn run(options: Options, steps: &[Step]) {
    let mut run = Run::new(options);
    steps.iter().for_each(|step| run.step(step));
    run.commit();
    run.step(&Step::Reopen);
    let image = image_bytes(&run.db().snapshot().image().unwrap());
    let copy = disk();
    {
        use vfs::Disk;
        let file = copy.open(DB_PATH.as_ref(), vfs::OpenMode::Create).unwrap();
        file.write_all_at(&image, 0).unwrap();
    }
    let mut copied = open(&copy, &run.options);
    assert_clean(&copied.snapshot());
    assert_same(&copied.snapshot(), &run.committed);
    put(&mut copied, &mut run.committed, "meta", b"copied", b"yes");
    copied.commit().unwrap();
    drop(copied);
    assert_same(&open(&copy, &run.options).snapshot(), &run.committed);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_map(
        page_size in prop_oneof![4 => Just(1024_usize), 2 => Just(4096_usize), 1 => Just(16384_usize)],
        cache in prop_oneof![Just(0_usize), Just(64 << 10), Just(16 << 20)],
        side in any::<bool>(),
        steps in steps(60),
    ) {
        run(options(page_size, cache, side), &steps);
    }
}

#[test]
fn many_rows_come_and_go() {
    let mut run = Run::new(options(1024, 1 << 20, true));
    for round in 0..4_u64 {
        for _ in 0..40 {
            run.step(&Step::Append { count: 50, len: 120 });
        }
        run.commit();
        for stride in [3, 2, 1] {
            run.step(&Step::Thin { bucket: 0, part: 200, stride });
            run.commit();
        }
        run.step(&Step::Thin { bucket: 0, part: if round == 3 { 255 } else { 100 }, stride: 1 });
        run.commit();
    }
    assert!(run.db().snapshot().get("key", b"absent").unwrap().is_none());
}

/// Long keys leave branches with two or three children; every short range of rows is deleted from the same tree, so
/// that branches lose all but one child beside neighbours that are full.
#[test]
fn branches_never_keep_a_single_child() {
    let options = options(1024, 1 << 20, false);
    let base = disk();
    let mut db = open(&base, &options);
    let mut rows = Model::new();
    let key = |n: u16| step_key(n, 400);
    (0..48).for_each(|n| put(&mut db, &mut rows, "key", &key(n), &value(u64::from(n), 500)));
    db.commit().unwrap();
    drop(db);
    base.make_durable();
    let after_deleting = |gone: &dyn Fn(u16) -> bool| {
        let disk = base.crash(vfs::CrashPlan::LoseUnsynced);
        let mut db = open(&disk, &options);
        let mut model = rows.clone();
        (0..48).filter(|n| gone(*n)).for_each(|n| delete(&mut db, &mut model, "key", &key(n)));
        db.commit().unwrap();
        assert_clean(&db.snapshot());
        assert_same(&db.snapshot(), &model);
    };
    for first in 0..48 {
        for count in 1..10 {
            after_deleting(&|n| (first..first + count).contains(&n));
        }
    }
    for seed in 0..400_u64 {
        let mixed = |n: u16| (seed * 64 + u64::from(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        after_deleting(&|n| mixed(n / (1 + seed % 3) as u16) < 40 + seed % 200);
    }
}
