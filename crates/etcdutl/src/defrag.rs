//! `defrag`: a database file without holes.
//!
//! The rows are written to a new file, which then takes the place of the old one: whatever happens in between, one of
//! the two is there whole.

use std::{io, path::Path, sync::Arc, time::Instant};

use bolt::{BoltError, Db, Element, Options};
use vfs::Disk;

use crate::{
    dbfile::{self, For, Patience, text_of},
    failure::Failure,
    golang::path_error,
    logs::Log,
    progress::Progress,
};

/// Servers remove such files when they start.
const BUILDING: &str = "tmp.defrag.db";
/// Bytes of rows that are written with one commit.
const COMMIT_BYTES: u64 = 16 << 20;

/// Defragments the database of a data directory that nobody uses.
///
/// # Errors
/// With etcdutl's headline. The file is then as before.
pub(crate) fn defrag(data_dir: &str, patience: Patience, log: Log) -> Result<(), Failure> {
    let path = dbfile::db_path(data_dir);
    let done = dbfile::check_there(&path).and_then(|()| replace(&path, patience, log));
    done.map_err(|error| Failure::new(format!("Failed to defragment etcd data[{data_dir}] ({error})")))
}

fn replace(path: &Path, patience: Patience, log: Log) -> Result<(), Failure> {
    let disk = dbfile::disk();
    let begun = Instant::now();
    let failed = |e: BoltError| Failure::new(text_of(&e));
    let old = dbfile::open(path, For::Writing, patience)?;
    let (size, in_use) = (old.size(), old.size_in_use());
    tell_begin(path, size, in_use, log);
    let dir = path.parent().unwrap_or(Path::new("."));
    let building = dir.join(BUILDING);
    let gone = |e: io::Error| Failure::new(path_error("remove", &building, &e));
    if disk.exists(&building).map_err(gone)? {
        disk.remove_file(&building).map_err(gone)?;
    }
    let page_size = old.snapshot().page_size() as usize;
    let built = fill(&disk, &old, &building, page_size);
    let (new_size, new_in_use) = match built {
        Ok(sizes) => sizes,
        Err(error) => {
            // It is of no use to anybody, and what went wrong is worth more than a second error.
            let _ = disk.remove_file(&building);
            return Err(failed(error));
        }
    };
    forget_sums(&*disk, path)?;
    let renamed = disk.rename(&building, path).and_then(|()| disk.sync_dir(dir));
    renamed.map_err(|e| Failure::new(path_error("rename", path, &e)))?;
    drop(old);
    let diff = |new: u64, old: u64| i128::from(new) - i128::from(old);
    // Files are shorter than 2^63 bytes.
    let number = |value: i128| serde_json::Value::from(value as i64);
    log.info(
        "finished defragmenting directory",
        &[
            ("path", path.display().to_string().into()),
            ("current-db-size-bytes-diff", number(diff(new_size, size))),
            ("current-db-size-bytes", new_size.into()),
            ("current-db-size", telemetry::log::size(new_size).into()),
            ("current-db-size-in-use-bytes-diff", number(diff(new_in_use, in_use))),
            ("current-db-size-in-use-bytes", new_in_use.into()),
            ("current-db-size-in-use", telemetry::log::size(new_in_use).into()),
            ("took", telemetry::log::duration(begun.elapsed()).into()),
        ],
    );
    Ok(())
}

fn tell_begin(path: &Path, size: u64, in_use: u64, log: Log) {
    log.info(
        "defragmenting",
        &[
            ("path", path.display().to_string().into()),
            ("current-db-size-bytes", size.into()),
            ("current-db-size", telemetry::log::size(size).into()),
            ("current-db-size-in-use-bytes", in_use.into()),
            ("current-db-size-in-use", telemetry::log::size(in_use).into()),
        ],
    );
}

/// Writes all rows of `old` to a new file at `path`; returns its size, and how much of that is in use.
fn fill(disk: &Arc<dyn Disk>, old: &Db, path: &Path, page_size: usize) -> Result<(u64, u64), BoltError> {
    let options = Options { page_size, ..Options::default() };
    let mut new = Db::open(Arc::clone(disk), path, options)?;
    let mut progress = Progress::new("defragmenting", old.size_in_use());
    let (mut waiting, mut copied) = (0, 0);
    let mut buckets = old.snapshot().top().elements();
    while let Some(element) = buckets.next()? {
        let (name, bucket) = match element {
            Element::Bucket(name, bucket) => (name, bucket),
            Element::Key(name, _) => return Err(not_etcds(&name)),
        };
        new.create_bucket_named(&name)?;
        let mut rows = bucket.elements();
        while let Some(row) = rows.next()? {
            let (key, value) = match row {
                Element::Key(key, value) => (key, value),
                Element::Bucket(key, _) => return Err(not_etcds(&key)),
            };
            waiting += (key.len() + value.len()) as u64;
            // Copies: a slice keeps its whole page until the commit.
            let (key, value) = (bytes::Bytes::copy_from_slice(&key), bytes::Bytes::copy_from_slice(&value));
            new.change(&name, &key, Some(&value))?;
            if waiting >= COMMIT_BYTES {
                new.commit()?;
                copied += std::mem::take(&mut waiting);
                progress.moved_to(copied);
            }
        }
    }
    new.commit()?;
    // Commits leave holes of their own; what is left of them goes now.
    loop {
        let step = new.shrink_step(1024)?;
        if step.done {
            break;
        }
        new.commit()?;
    }
    Ok((new.size(), new.size_in_use()))
}

fn not_etcds(name: &[u8]) -> BoltError {
    BoltError::Incompatible { name: String::from_utf8_lossy(name).into_owned() }
}

/// The checksums of the old file would call the new one damaged. A member makes new ones when it starts.
fn forget_sums(disk: &dyn Disk, db: &Path) -> Result<(), Failure> {
    let Some(dir) = dbfile::side_dir(db) else { return Ok(()) };
    let sums = dir.join(bolt::SUMS_FILE_NAME);
    let removed = disk.remove_file(&sums).and_then(|()| disk.sync_dir(&dir));
    removed.map_err(|e| Failure::new(path_error("remove", &sums, &e)))
}
