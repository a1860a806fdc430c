//! Databases that came from a leader, `snap/<index>.snap.db`: how one takes the place of the database.
//!
//! The order that survives a crash at any point: the received file is whole and durable; then the `.snap` file and the
//! log's snapshot record are; then the file takes the database's name. Whoever starts in between finds a log that begins
//! beyond the database, and the received file for it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bolt::Db;
use state::State;
use telemetry::line;
use vfs::Disk;

use super::{BootError, open_backend, open_state};
use crate::config::Config;

const ENDING: &str = ".snap.db";

/// Where a database stands that was received from a leader, with everything up to `index`.
pub(crate) fn path_of(snap_dir: &Path, index: u64) -> PathBuf {
    snap_dir.join(format!("{index:016x}{ENDING}"))
}

/// Puts the database that was received for `index` in the place of the one there is, and opens it.
///
/// # Errors
/// When the disk fails, or the file is not what the leader said.
pub(crate) fn take(config: &Config, disk: &Arc<dyn Disk>, index: u64) -> Result<(Db, State), BootError> {
    let path = config.db_path();
    let received = path_of(&config.snap_dir(), index);
    let failed = |source| BootError::Directory { path: received.clone(), source };
    // Of the old file: checksums that nobody could tell from those of the new one's damage.
    remove_sums(config, &**disk).map_err(failed)?;
    disk.rename(&received, &path).map_err(failed)?;
    disk.sync_dir(&config.snap_dir()).map_err(failed)?;
    remove_below(config, &**disk, index + 1)?;
    let db = open_backend(config, disk)?;
    let state = open_state(config, &db)?;
    if state.applied() != index {
        return Err(BootError::Mismatch(format!(
            "the database received from the leader ({}) holds the log up to index {}, not {index} as the leader said; a restart goes on if it holds more, otherwise replace the member",
            path.display(),
            state.applied()
        )));
    }
    Ok((db, state))
}

/// Whether a received database for `index` is there that holds what it should; one that does not stays as it is.
pub(crate) fn is_whole(config: &Config, disk: &Arc<dyn Disk>, index: u64) -> Result<bool, BootError> {
    let path = path_of(&config.snap_dir(), index);
    if !disk.exists(&path).map_err(|source| BootError::Directory { path: path.clone(), source })? {
        return Ok(false);
    }
    let checked = check_received(Arc::clone(disk), &path, index);
    if let Err(what) = &checked {
        line!(Warn, "a database received from a leader cannot be taken",
            "path" => path.display().to_string(), "error" => what.clone());
    }
    Ok(checked.is_ok())
}

/// Removes received databases below `index`, which nobody will ask for any more.
pub(crate) fn remove_below(config: &Config, disk: &dyn Disk, index: u64) -> Result<(), BootError> {
    let dir = config.snap_dir();
    let failed = |source| BootError::Directory { path: dir.clone(), source };
    for entry in disk.list(&dir).map_err(failed)? {
        let number = entry.name.strip_suffix(ENDING).and_then(|stem| u64::from_str_radix(stem, 16).ok());
        if number.is_some_and(|number| number < index) {
            disk.remove_file(&dir.join(&entry.name)).map_err(failed)?;
        }
    }
    Ok(())
}

fn remove_sums(config: &Config, disk: &dyn Disk) -> io::Result<()> {
    let sums = config.side_dir().join(bolt::SUMS_FILE_NAME);
    if disk.exists(&sums)? {
        disk.remove_file(&sums)?;
        disk.sync_dir(&config.side_dir())?;
    }
    Ok(())
}

/// Checks a database that was received from a leader, before anything relies on it: every page of it, and that it holds
/// at least the log up to `index`. Reads the whole file.
///
/// # Errors
/// What is wrong with it.
pub fn check_received(disk: Arc<dyn Disk>, path: &Path, index: u64) -> Result<(), String> {
    let options = bolt::Options { read_only: true, ..bolt::Options::default() };
    let db = Db::open(disk, path, options).map_err(|e| e.to_string())?;
    if let Some(problem) = bolt::check(&db.snapshot()).into_iter().next() {
        return Err(format!("page {}: {}", problem.page, problem.what));
    }
    let row = db.snapshot().get(types::bucket::META, types::bucket::meta::CONSISTENT_INDEX);
    let held = row.map_err(|e| e.to_string())?.and_then(|value| <[u8; 8]>::try_from(&value[..]).ok());
    match held.map(u64::from_be_bytes) {
        Some(held) if held >= index => Ok(()),
        Some(held) => Err(format!("it holds the log up to index {held}, not {index}")),
        None => Err("it does not say up to which index it holds the log".into()),
    }
}
