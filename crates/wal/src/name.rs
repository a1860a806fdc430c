//! Names in the WAL directory.

use std::path::{Path, PathBuf};

use vfs::Disk;

use crate::error::{Context, WalError};

/// Suffix of segments.
const WAL: &str = ".wal";
/// The names under which etcd prepares its next segment, and we ours: they must hold zeros only, as etcd takes a
/// leftover into use without truncation (contract/semantics.md 14.22).
pub(crate) const PREPARED: [&str; 2] = ["0.tmp", "1.tmp"];
/// The name of a segment whose head is being written. etcd passes over `*.tmp` and never opens this one.
pub(crate) const CUT: &str = "cut.tmp";

/// The name of a segment, `SEQUENCE-INDEX.wal`, both as 16 lower-case hex digits. Ordered by sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// Position in the row of segments; the first ever is 0.
    pub sequence: u64,
    /// One above the last index saved before this segment was begun.
    pub index: u64,
}

impl SegmentName {
    /// The file name.
    pub fn file_name(self) -> String {
        format!("{:016x}-{:016x}{WAL}", self.sequence, self.index)
    }

    /// Reads a file name; `None` when it is not of a segment.
    pub fn parse(name: &str) -> Option<SegmentName> {
        let (sequence, index) = name.strip_suffix(WAL)?.split_once('-')?;
        Some(SegmentName { sequence: hex(sequence)?, index: hex(index)? })
    }

    pub(crate) fn path(self, dir: &Path) -> PathBuf {
        dir.join(self.file_name())
    }
}

/// Exactly 16 lower-case hex digits, as Go's `%016x` writes them.
pub(crate) fn hex(digits: &str) -> Option<u64> {
    let wanted = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if wanted { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// The segments of `dir`, oldest first. Other names are passed over, as etcd does.
pub(crate) fn list_segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<SegmentName>, WalError> {
    let entries = match disk.list(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed.doing("list", dir)?,
    };
    let mut names: Vec<_> = entries.iter().filter_map(|e| SegmentName::parse(&e.name)).collect();
    if names.is_empty() {
        return Err(WalError::NotFound { dir: dir.to_owned() });
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        let name = SegmentName { sequence: 0x1f, index: 0xabc };
        assert_eq!(name.file_name(), "000000000000001f-0000000000000abc.wal");
        assert_eq!(SegmentName::parse(&name.file_name()), Some(name));
        for bad in [
            "0.tmp",
            "000000000000001f-0000000000000abc.wal.broken",
            "000000000000001F-0000000000000abc.wal",
            "1f-abc.wal",
            "+00000000000001f-0000000000000abc.wal",
        ] {
            assert_eq!(SegmentName::parse(bad), None, "{bad}");
        }
    }
}
