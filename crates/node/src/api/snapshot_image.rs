//! A consistent image of the backend file, for client snapshots.

use bolt::Image;

use super::Error;

/// The whole file as of one backend commit, unaffected by later writes. Holding it keeps the pages of that
/// commit from being reused, so the file may grow meanwhile.
pub struct SnapshotImage {
    image: Image,
    version: String,
}

impl std::fmt::Debug for SnapshotImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotImage({} bytes)", self.len())
    }
}

impl SnapshotImage {
    pub(crate) fn new(image: Image, version: String) -> SnapshotImage {
        SnapshotImage { image, version }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.image.len()
    }

    /// Never: a file has at least its meta pages.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Storage version `X.Y.0`; empty below 3.6.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Fills `buf` from `offset`; short only at the end. Reads the disk: call it where blocking is fine.
    ///
    /// # Errors
    /// `Storage` when the file cannot be read or fails its checksum.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        self.image.read_at(offset, buf).map_err(|e| Error::Storage(e.to_string()))
    }
}
