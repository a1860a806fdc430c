//! What can be checked of a database file without a checksum: its structure, and that its rows are etcd's.

use bolt::{Problem, Snapshot};
use types::{Revision, bucket};

use crate::{dbfile::text_of, failure::Failure};

/// Checks both meta pages and every page in use.
///
/// # Errors
/// Etcdutl's headline, and all that was found.
pub(crate) fn check_pages(snapshot: &Snapshot) -> Result<(), Failure> {
    let mut problems = bolt::check_metas(snapshot);
    problems.extend(bolt::check(snapshot));
    if problems.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = problems.iter().map(line_of).collect();
    Err(Failure::new(format!(
        "snapshot file integrity check failed. {} errors found.\n{}",
        lines.len(),
        lines.join("\n")
    )))
}

/// A problem on a line.
pub(crate) fn line_of(problem: &Problem) -> String {
    let Problem { page, what } = problem;
    let prefix = format!("page {page}: ");
    if what.starts_with(&prefix) || what.starts_with("page ID (") { what.clone() } else { prefix + what }
}

/// Checks that each row can be read: keys and their history in order, members, users, leases.
///
/// # Errors
/// What cannot be read.
pub(crate) fn check_rows(snapshot: &Snapshot) -> Result<(), Failure> {
    let broken = |what: String| Failure::new(format!("snapshot file integrity check failed: {what}"));
    let mut cursor = snapshot.cursor(bucket::KEY).map_err(|e| broken(text_of(&e)))?;
    let mut last = None;
    while let Some((key, row)) = cursor.next_ref().map_err(|e| broken(text_of(&e)))? {
        let Some((revision, _)) = Revision::decode(key) else {
            return Err(broken(format!("bucket key: {} is no revision", crate::golang::hex(key))));
        };
        if last.is_some_and(|last| revision <= last) {
            return Err(broken(format!("bucket key: revision {revision} comes twice or too late")));
        }
        if mvcc::KeyValue::decode(row).is_none() {
            return Err(broken(format!("bucket key: the row of revision {revision} cannot be read")));
        }
        last = Some(revision);
    }
    crate::report::small_state(snapshot).map(drop).map_err(broken)
}
