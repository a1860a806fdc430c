//! `migrate`: another storage version for the database of a data directory.

use std::path::{Path, PathBuf};

use bolt::Db;
use bytes::Bytes;
use cluster::{Version, migrate_storage, read_storage_version};
use proto::etcdserverpb::InternalRaftRequest;
use types::{
    Write, bucket,
    bucket::meta,
    raft::{Entry, EntryKind},
};

use crate::{
    dbfile::{self, For, Patience, text_of},
    failure::Failure,
    golang::join,
    logs::Log,
};

/// The first version that is stored in the file.
const STORED_SINCE: Version = Version::new(3, 6, 0);
/// The lowest that can be asked for.
const LOWEST: Version = Version::new(3, 5, 0);

/// What `migrate` is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Migrate {
    pub(crate) data_dir: String,
    pub(crate) target: Version,
    /// Whatever the log says.
    pub(crate) force: bool,
    pub(crate) patience: Patience,
}

/// Reads `--target-version`.
///
/// # Errors
/// In etcdutl's words.
pub(crate) fn parse_target(text: &str) -> Result<Version, Failure> {
    let bad = |what: String| Err(Failure::bad_args(what));
    if text.matches('.').count() != 1 {
        return bad(format!(
            "wrong target version format, expected \"X.Y\", got {}",
            cmdline::golang::quote(text)
        ));
    }
    for part in text.split('.') {
        if let Err(why) = number(part) {
            let part = cmdline::golang::quote(part);
            return bad(format!("failed to parse target version: strconv.ParseInt: parsing {part}: {why}"));
        }
    }
    let target: Version = match format!("{text}.0").parse() {
        Ok(target) => target,
        Err(error) => return bad(format!("failed to parse target version: {error}")),
    };
    if target < LOWEST {
        let target = cmdline::golang::quote(&target.cluster_text());
        return bad(format!("target version {target} not supported. Minimal \"3.5\""));
    }
    Ok(target)
}

fn number(text: &str) -> Result<i64, &'static str> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("invalid syntax");
    }
    text.parse().map_err(|_| "value out of range")
}

impl Migrate {
    /// Migrates.
    ///
    /// # Errors
    /// In etcd's words; nothing was written then.
    pub(crate) fn run(&self, log: Log) -> Result<(), Failure> {
        let path = dbfile::db_path(&self.data_dir);
        dbfile::check_there(&path)?;
        let mut db = dbfile::open(&path, For::Writing, self.patience)?;
        let current = self.current(&db, log)?;
        if current == self.target {
            log.info("storage version up-to-date", &[("storage-version", current.cluster_text().into())]);
            return Ok(());
        }
        let needs = lowest_reader(&self.data_dir).inspect_err(|error| {
            log.error("Failed to finalize config", &[("error", error.text.as_str().into())]);
        })?;
        if current.major != self.target.major {
            log.error(
                "Changing major storage version is not supported",
                &[
                    ("storage-version", current.to_string().into()),
                    ("target-storage-version", self.target.to_string().into()),
                ],
            );
        }
        let writes = match migrate_storage(Some(current), self.target, needs) {
            Ok(writes) => {
                for version in steps(current, self.target) {
                    log.info(
                        "updated storage version",
                        &[("new-storage-version", version.to_string().into())],
                    );
                }
                writes
            }
            Err(error) if self.force => {
                log.info("normal migrate failed, trying with force", &[("error", error.to_string().into())]);
                vec![self.forced(log)]
            }
            Err(error) => return Err(Failure::new(error.to_string())),
        };
        for write in &writes {
            db.apply(write).map_err(|e| Failure::new(text_of(&e)))?;
        }
        db.commit().map_err(|e| Failure::new(text_of(&e)))?;
        Ok(())
    }

    fn current(&self, db: &Db, log: Log) -> Result<Version, Failure> {
        let get = |key| db.snapshot().get(bucket::META, key).map_err(|e| Failure::new(text_of(&e)));
        let has_term = get(meta::TERM)?.is_some_and(|term| term.iter().any(|byte| *byte != 0));
        read_storage_version(get(meta::STORAGE_VERSION)?.as_deref(), has_term).ok_or_else(|| {
            log.error(
                "failed to detect storage version. Please make sure you are using data dir from etcd v3.5 and older",
                &[],
            );
            Failure::new("missing term information")
        })
    }

    fn forced(&self, log: Log) -> Write {
        let key = Bytes::from_static(meta::STORAGE_VERSION);
        if self.target < STORED_SINCE {
            log.warn("forcefully cleared storage version", &[]);
            return Write::delete(bucket::META, key);
        }
        let shown = self.target.cluster_text();
        log.warn("forcefully set storage version", &[("storage-version", shown.into())]);
        Write::put(bucket::META, key, self.target.to_string())
    }
}

/// The versions on the way from one to the other, the last included.
fn steps(from: Version, to: Version) -> Vec<Version> {
    let version = |minor| Version::new(to.major, minor, 0);
    if from < to {
        (from.minor + 1..=to.minor).map(version).collect()
    } else {
        (to.minor..from.minor).rev().map(version).collect()
    }
}

/// The lowest version that can read all entries in the log of a data directory; `None` when any can.
///
/// # Errors
/// When the log cannot be read.
fn lowest_reader(data_dir: &str) -> Result<Option<Version>, Failure> {
    let wal_dir = PathBuf::from(join(data_dir, "member/wal"));
    let side_dir = PathBuf::from(join(data_dir, "member/mainstay/wal"));
    let side_dir = side_dir.exists().then_some(side_dir);
    let recovered = wal::read(&*dbfile::disk(), Path::new(&wal_dir), side_dir.as_deref())
        .map_err(|error| Failure::new(format!("failed to open wal: {error}")))?;
    let mut lowest = None;
    for entry in &recovered.entries {
        lowest = lowest.max(needed_by(entry)?);
    }
    Ok(lowest)
}

/// Of all that an entry can hold only one request is younger than the lowest version that can be asked for: the one by
/// which upstream tests this, and it names a version.
fn needed_by(entry: &Entry) -> Result<Option<Version>, Failure> {
    if entry.kind != EntryKind::Normal {
        return Ok(None);
    }
    let unreadable = |why: String| {
        Failure::new(format!("failed to read wal: the entry at index {} cannot be read: {why}", entry.index))
    };
    let request: InternalRaftRequest =
        proto::decode(entry.data.clone()).map_err(|error| unreadable(error.to_string()))?;
    let Some(test) = request.downgrade_version_test else { return Ok(None) };
    let named = test.ver.parse::<Version>().map_err(|error| unreadable(error.to_string()))?;
    Ok(Some(named.max(STORED_SINCE)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    /// Recorded from etcdutl 3.7.1.
    #[test]
    fn targets() {
        assert_eq!(parse_target("3.6").unwrap(), Version::new(3, 6, 0));
        for (text, error) in [
            ("3", "wrong target version format, expected \"X.Y\", got \"3\""),
            ("3.6.0", "wrong target version format, expected \"X.Y\", got \"3.6.0\""),
            ("3.4", "target version \"3.4\" not supported. Minimal \"3.5\""),
            ("3.x", "failed to parse target version: strconv.ParseInt: parsing \"x\": invalid syntax"),
            (".6", "failed to parse target version: strconv.ParseInt: parsing \"\": invalid syntax"),
        ] {
            let failure = parse_target(text).unwrap_err();
            assert_eq!((failure.text.as_str(), failure.code), (error, Code::BadArgs), "{text}");
        }
    }

    #[test]
    fn the_way() {
        let texts = |from, to| -> Vec<String> {
            steps(Version::new(3, from, 0), Version::new(3, to, 0)).iter().map(Version::to_string).collect()
        };
        assert_eq!(texts(5, 7), ["3.6.0", "3.7.0"]);
        assert_eq!(texts(7, 5), ["3.6.0", "3.5.0"]);
        assert!(texts(6, 6).is_empty());
    }

    #[test]
    fn entries_that_need_a_version() {
        use prost::Message;
        let entry = |request: InternalRaftRequest| Entry {
            index: 7,
            data: request.encode_to_vec().into(),
            ..Entry::default()
        };
        let test = |ver: &str| {
            let test = proto::etcdserverpb::DowngradeVersionTestRequest { ver: ver.to_owned() };
            InternalRaftRequest { downgrade_version_test: Some(test), ..InternalRaftRequest::default() }
        };
        assert_eq!(needed_by(&entry(InternalRaftRequest::default())), Ok(None));
        assert_eq!(needed_by(&entry(test("3.7.0"))), Ok(Some(Version::new(3, 7, 0))));
        assert_eq!(needed_by(&entry(test("3.5.0"))), Ok(Some(STORED_SINCE)));
        assert!(needed_by(&entry(test("x"))).unwrap_err().text.contains("index 7"));
    }
}
