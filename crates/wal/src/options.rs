//! How a log is kept.

use std::path::PathBuf;

use crate::limits::SEGMENT_BYTES;

/// How a log is kept. The format on disk does not depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalOptions {
    /// A new segment is begun after the batch that takes the current one to this many bytes.
    pub segment_bytes: u64,
    /// Where the side files are kept (`member/mainstay/wal`), if at all. Without them, some damage cannot be
    /// told from the end of the log.
    pub side_dir: Option<PathBuf>,
    /// Whether `create` fills the first segment with zeros ahead of use, which makes syncs faster and the start
    /// slower. Later segments come from the [`SegmentPreparer`](crate::SegmentPreparer).
    pub prewrite_first: bool,
    /// No segment is written ahead of use unless the disk has this many bytes free besides: a log that is short of
    /// space makes its segments as it needs them.
    pub room_bytes: u64,
}

impl Default for WalOptions {
    fn default() -> Self {
        WalOptions { segment_bytes: SEGMENT_BYTES, side_dir: None, prewrite_first: false, room_bytes: 0 }
    }
}
