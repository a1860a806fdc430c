//! The SHA-256 at the end of a snapshot file.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use sha2::{Digest, Sha256};

use crate::{
    failure::Failure,
    golang::{byte_list, path_error},
    progress::Progress,
};

/// Bytes of a digest.
pub(crate) const DIGEST_LEN: u64 = 32;
/// A file of whole sectors and a digest is a snapshot that a server sent.
const SECTOR: u64 = 512;
/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// A snapshot file, open.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    file: File,
    /// Bytes of the database in it.
    pub(crate) db_len: u64,
    /// Whether a digest follows them.
    pub(crate) has_digest: bool,
}

impl SnapshotFile {
    /// Opens it.
    ///
    /// # Errors
    /// In Go's words; a file that is shorter than a digest is none.
    pub(crate) fn open(path: &Path) -> Result<SnapshotFile, Failure> {
        let failed = |doing| move |e: io::Error| Failure::new(path_error(doing, path, &e));
        let file = File::open(path).map_err(failed("open"))?;
        let about = file.metadata().map_err(failed("stat"))?;
        if about.is_dir() {
            return Err(Failure::new(format!("read {}: is a directory", path.display())));
        }
        let len = about.len();
        if len < DIGEST_LEN {
            return Err(Failure::new(format!("seek {}: invalid argument", path.display())));
        }
        let has_digest = len % SECTOR == DIGEST_LEN;
        let db_len = if has_digest { len - DIGEST_LEN } else { len };
        Ok(SnapshotFile { file, db_len, has_digest })
    }

    /// Reads the database in it, hands each piece on, and gives its digest.
    ///
    /// # Errors
    /// `read`: the file could not be read; else what `each` said.
    pub(crate) fn read_db(
        &mut self,
        progress: &mut Progress,
        mut each: impl FnMut(&[u8], u64) -> io::Result<()>,
    ) -> io::Result<[u8; 32]> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut hash = Sha256::new();
        let mut piece = vec![0; PIECE];
        let mut at = 0;
        while at < self.db_len {
            let wanted = (self.db_len - at).min(PIECE as u64) as usize;
            self.file.read_exact(&mut piece[..wanted])?;
            hash.update(&piece[..wanted]);
            each(&piece[..wanted], at)?;
            at += wanted as u64;
            progress.moved_to(at);
        }
        Ok(hash.finalize().into())
    }

    /// Compares the digest with the database before it.
    ///
    /// # Errors
    /// Etcdutl's text when they differ; that the file cannot be read.
    pub(crate) fn verify(&mut self, path: &Path, progress: &mut Progress) -> Result<(), Failure> {
        let failed = |e: io::Error| Failure::new(path_error("read", path, &e));
        let found = self.read_db(progress, |_, _| Ok(())).map_err(failed)?;
        let mut expected = [0; 32];
        self.file.read_exact(&mut expected).map_err(failed)?;
        match found == expected {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "expected sha256 {}, got {}",
                byte_list(&expected),
                byte_list(&found)
            ))),
        }
    }
}
