//! Opening a file: lock, newest valid meta page, checksums, free pages.

use std::{path::Path, sync::Arc};

use vfs::{Disk, File, LockKind, OpenMode};

use crate::{
    db::{Db, Lock, Options},
    error::BoltError,
    format::{
        FIRST_DATA_PAGE, FREELIST_FLAG, LEAF_FLAG, PAGE_HEADER_LEN, PAGE_SIZE_MAX, PAGE_SIZE_MIN, PageHeader,
        PageId,
    },
    meta::{META_LEN, Meta, Stamp, stamp_of},
    node::Child,
    shrink::Progress,
    side::{Found, SideFile},
    snapshot::{BucketRoot, Snapshot},
    space::Space,
    store::Store,
    sums::SumTable,
    tree::Tree,
    walk::{Depth, freelist_run, usage},
};

/// Pages of a new file: two metas, an empty freelist, an empty leaf for the buckets.
const INITIAL_PAGES: usize = 4;

impl Db {
    /// Opens or creates the file at `path`, and takes bbolt's lock on it.
    ///
    /// What a crashed process left unsynced is synced first, so that the state found is durable before anything is
    /// built on it. Free pages are found by walking the trees: only branch pages (and leaves beside gaps) when the
    /// side file knows the file, else every page.
    ///
    /// # Errors
    /// `Locked`, `Io`; `Invalid` when it is no bolt file; `Corrupt` or `Damaged` when pages that were read are bad,
    /// when the file is shorter than its meta page says, or older than the side file knows it to have been.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, options: Options) -> Result<Db, BoltError> {
        let file = open_locked(&*disk, path, &options)?;
        if !options.read_only {
            initialize(&*disk, path, &*file, &options)?;
            file.sync_data().map_err(BoltError::io("syncing the database after opening"))?;
        }
        let newest = newest_meta(&*file)?;
        let file_len = file.len().map_err(BoltError::io("looking at the length of the database"))?;
        if file_len < newest.meta.file_len() {
            let page = file_len / u64::from(newest.meta.page_size);
            return Err(BoltError::Damaged { page, what: "the file is shorter than its meta page says" });
        }
        let (side, table, plain) = load_side(&*disk, &newest, &options)?;
        let page_size = newest.meta.page_size as usize;
        let mut store = Store::new(file, page_size, options.cache_bytes, table);
        let depth = if plain { Depth::Branches } else { Depth::All };
        let mut space = Space::default();
        let mut side = side;
        if !options.read_only {
            let usage = usage(&store, &newest.meta, depth)?;
            space = Space::new(usage.free_runs(), newest.meta.high_water);
            store.plain = usage.plain;
            if let Some(side) = &mut side {
                side.set_plain(usage.plain);
            }
        }
        let foreign_freelist = freelist_run(&store, &newest.meta)?;
        let store = Arc::new(store);
        let top = Tree::open(&BucketRoot::Page(newest.meta.root), newest.meta.sequence);
        assert!(matches!(top.root, Child::Clean(_)), "the bucket of buckets has a page of its own");
        Ok(Db {
            current: Snapshot::new(Arc::clone(&store), newest.meta),
            current_slot: newest.slot,
            store,
            space,
            side,
            top,
            buckets: Vec::new(),
            foreign_freelist,
            file_len,
            changed: false,
            packing: false,
            shrink: Progress::default(),
            poisoned: false,
            read_only: options.read_only,
        })
    }
}

fn open_locked(disk: &dyn Disk, path: &Path, options: &Options) -> Result<Arc<dyn File>, BoltError> {
    let mode = if options.read_only { OpenMode::Read } else { OpenMode::Create };
    let file = disk.open(path, mode).map_err(BoltError::io("opening the database"))?;
    let kind = match options.lock {
        _ if !options.read_only => LockKind::Flock,
        Lock::Exclusive => LockKind::Flock,
        Lock::Shared => LockKind::SharedFlock,
        Lock::Unlocked => return Ok(file),
    };
    if !file.try_lock(kind).map_err(BoltError::io("locking the database"))? {
        return Err(BoltError::Locked { path: path.to_owned() });
    }
    Ok(file)
}

/// Gives an empty file bbolt's first pages; also one in which a crash left only parts of them, which can only be
/// where no side file was made yet.
fn initialize(disk: &dyn Disk, path: &Path, file: &dyn File, options: &Options) -> Result<(), BoltError> {
    let page_size = options.page_size;
    let len = file.len().map_err(BoltError::io("looking at the length of the database"))?;
    if !page_size.is_power_of_two() || !(PAGE_SIZE_MIN..=PAGE_SIZE_MAX).contains(&page_size) {
        return Err(BoltError::Invalid { what: "page size is no power of two from 1 KiB to 64 KiB" });
    }
    let image = initial_image(page_size);
    if len > 0 && (SideFile::exists(disk, options.side_dir.as_deref())? || !is_torn_image(file, len, &image)?)
    {
        return Ok(());
    }
    file.write_all_at(&image, 0).map_err(BoltError::io("writing the first pages"))?;
    file.sync_data().map_err(BoltError::io("syncing the first pages"))?;
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        disk.sync_dir(parent).map_err(BoltError::io("syncing the directory of the database"))?;
    }
    Ok(())
}

/// Whether the file holds nothing but bytes of the first pages, not all of them: then it never held data.
fn is_torn_image(file: &dyn File, len: u64, image: &[u8]) -> Result<bool, BoltError> {
    if len > image.len() as u64 {
        return Ok(false);
    }
    let mut found = vec![0; len as usize];
    file.read_exact_at(&mut found, 0).map_err(BoltError::io("reading the first pages"))?;
    Ok(found != image && found.iter().zip(image).all(|(found, wanted)| found == wanted || *found == 0))
}

fn initial_image(page_size: usize) -> Vec<u8> {
    let meta = |txid| Meta {
        // At most 64 KiB.
        page_size: page_size as u32,
        flags: 0,
        root: 3,
        sequence: 0,
        freelist: 2,
        high_water: INITIAL_PAGES as u64,
        txid,
    };
    let mut image = meta(0).encode(0, None);
    image.extend(meta(1).encode(1, None));
    for (id, flags) in [(2, FREELIST_FLAG), (3, LEAF_FLAG)] {
        let mut page = vec![0; page_size];
        PageHeader { id, flags, count: 0, overflow: 0 }.write(&mut page[..PAGE_HEADER_LEN]);
        image.extend(page);
    }
    image
}

struct Newest {
    meta: Meta,
    slot: PageId,
    stamp: Option<Stamp>,
}

/// The valid meta page with the higher txid. The page size is taken from page 0, or, when that one is bad, found by
/// looking for page 1 at every possible place, as bbolt does.
fn newest_meta(file: &dyn File) -> Result<Newest, BoltError> {
    let mut head = vec![0; PAGE_SIZE_MAX + PAGE_SIZE_MIN];
    let filled = read_head(file, &mut head)?;
    head.truncate(filled);
    let at = |offset: usize| {
        let page = head.get(offset..).filter(|page| page.len() >= META_LEN)?;
        Some((Meta::decode(page), stamp_of(page)))
    };
    let Some((first, first_stamp)) = at(0) else {
        return Err(BoltError::Invalid { what: "the file is too short for a meta page" });
    };
    let sizes = (PAGE_SIZE_MIN.ilog2()..=PAGE_SIZE_MAX.ilog2()).map(|bits| 1_usize << bits);
    let second = sizes.filter_map(|size| {
        let (meta, stamp) = at(size)?;
        Some((meta.ok().filter(|meta| meta.page_size as usize == size)?, stamp))
    });
    let why = first.as_ref().err().copied();
    let first = first.ok().map(|meta| Newest { meta, slot: 0, stamp: first_stamp });
    let wanted_size = first.as_ref().map(|newest| newest.meta.page_size);
    let second = second
        .filter(|(meta, _)| wanted_size.is_none_or(|size| size == meta.page_size))
        .map(|(meta, stamp)| Newest { meta, slot: 1, stamp })
        .next();
    let newest = [first, second].into_iter().flatten().max_by_key(|newest| newest.meta.txid);
    newest.ok_or(BoltError::Invalid { what: why.unwrap_or("no valid meta page") })
}

fn read_head(file: &dyn File, head: &mut [u8]) -> Result<usize, BoltError> {
    let mut filled = 0;
    while filled < head.len() {
        match file.read_at(&mut head[filled..], filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) => return Err(BoltError::io("reading the meta pages")(e)),
        }
    }
    Ok(filled)
}

type Side = (Option<SideFile>, Option<SumTable>, bool);

/// The side file, the checksums, and whether the free pages can be found without reading all leaves.
fn load_side(disk: &dyn Disk, newest: &Newest, options: &Options) -> Result<Side, BoltError> {
    let Some(dir) = &options.side_dir else { return Ok((None, None, false)) };
    let table = SumTable::default();
    table.reserve(newest.meta.high_water.max(FIRST_DATA_PAGE));
    let Some(file) = SideFile::open(disk, dir, options.read_only)? else {
        return Ok((None, Some(table), false));
    };
    let (side, found) = SideFile::load(file, &newest.meta, newest.stamp, options.seed, &table)?;
    let plain = matches!(found, Found::Ours { plain: true });
    Ok((Some(side), Some(table), plain))
}
