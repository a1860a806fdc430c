//! The writer: takes changes, commits them, hands out snapshots.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;

use types::Write;

use crate::{
    error::BoltError,
    format::{BUCKET_ELEMENT_FLAG, KEY_LEN_MAX, PageId, Run, Txid, VALUE_LEN_MAX, u64_at},
    node::Item,
    side::SideFile,
    snapshot::{Snapshot, bucket_root},
    space::Space,
    store::Store,
    tree::Tree,
};

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Page size of a new file, in bytes: a power of two from 1 KiB to 64 KiB. An existing file keeps its own.
    pub page_size: usize,
    /// Most bytes of pages that are kept in memory, not counting pages that readers hold.
    pub cache_bytes: usize,
    /// Where the page checksums are kept (etcd's data directory: `member/mainstay`). `None`: pages are not verified.
    pub side_dir: Option<PathBuf>,
    /// Refuse changes, write nothing. The lock is taken all the same.
    pub read_only: bool,
    /// Which lock; ignored for a file that is to be written, which takes [`Lock::Exclusive`].
    pub lock: Lock,
    /// Mixed into the identity of a new side file; any number, better a random one.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            page_size: 4096,
            cache_bytes: 64 << 20,
            side_dir: None,
            read_only: false,
            lock: Lock::Exclusive,
            seed: 0,
        }
    }
}

/// The lock that a file is opened with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lock {
    /// As a writer's, even for a reader: nobody else has the file open.
    #[default]
    Exclusive,
    /// As bbolt takes it for a reader: no writer has the file open.
    Shared,
    /// None, for a file that nobody changes, such as a copy.
    Unlocked,
}

/// What a commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStats {
    /// The state that is now durable.
    pub txid: Txid,
    /// Tree pages written, overflow pages included.
    pub pages_written: u64,
    /// Bytes written to the database, meta page included. Zero: there was nothing to commit.
    pub bytes_written: u64,
    /// Tree pages that this commit made unused.
    pub pages_freed: u64,
    /// Pages by which the file became shorter.
    pub truncated_pages: u64,
}

/// An open database file: the one writer. Dropping it drops what was not committed.
///
/// The file stays locked until the last [`Snapshot`] is gone, too.
pub struct Db {
    pub(crate) store: Arc<Store>,
    /// The newest durable state.
    pub(crate) current: Snapshot,
    /// The meta page, 0 or 1, that `current` was read from or written to.
    pub(crate) current_slot: PageId,
    pub(crate) space: Space,
    pub(crate) side: Option<SideFile>,
    /// The bucket of buckets.
    pub(crate) top: Tree,
    /// Buckets that were changed since the file was opened, in order of their first change.
    pub(crate) buckets: Vec<OpenBucket>,
    /// The freelist that bbolt wrote, freed by our first commit.
    pub(crate) foreign_freelist: Option<Run>,
    /// Length of the file, in bytes.
    pub(crate) file_len: u64,
    /// There is something to commit.
    pub(crate) changed: bool,
    /// The commit is to fill the lowest holes, see [`Db::shrink_step`].
    pub(crate) packing: bool,
    pub(crate) shrink: crate::shrink::Progress,
    pub(crate) poisoned: bool,
    pub(crate) read_only: bool,
}

/// A bucket with a tree that may have changes.
pub(crate) struct OpenBucket {
    pub(crate) name: Bytes,
    pub(crate) tree: Tree,
    /// Changed since the last commit.
    pub(crate) changed: bool,
}

impl Db {
    /// The last committed state. Cheap; changes applied since are not in it.
    pub fn snapshot(&self) -> Snapshot {
        self.current.clone()
    }

    /// The number of the last commit.
    pub fn txid(&self) -> Txid {
        self.current.txid()
    }

    /// Length of the last committed state in bytes, free pages included (bbolt: `Tx.Size`, etcd's db size). The
    /// file itself may be longer until two commits later.
    pub fn size(&self) -> u64 {
        self.current.size()
    }

    /// [`Db::size`] less the pages that are free, or wait for a reader or commit to end.
    pub fn size_in_use(&self) -> u64 {
        let used = self.space.end() - self.space.unused_pages();
        used * self.store.page_size as u64
    }

    /// Whether changes were applied that are not committed.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Applies a change in memory. Deleting what is absent does nothing.
    ///
    /// # Errors
    /// `KeyLength`, `ValueLength`, `Incompatible` for a bad op; `Damaged`, `Corrupt`, `Io` when a page that is needed
    /// cannot be had; `ReadOnly`, `Poisoned`. The tree is then as before.
    pub fn apply(&mut self, op: &Write) -> Result<(), BoltError> {
        self.change(op.bucket.as_bytes(), &op.key, op.value.as_ref())
    }

    /// As [`Db::apply`], for a bucket of any name.
    ///
    /// # Errors
    /// As [`Db::apply`].
    pub fn change(&mut self, bucket: &[u8], key: &Bytes, value: Option<&Bytes>) -> Result<(), BoltError> {
        self.check_writable()?;
        check_key(key)?;
        match value {
            Some(value) => {
                check_value(value)?;
                let at = self.open_or_create(bucket)?;
                let bucket = &mut self.buckets[at];
                let item = Item { key: key.clone(), value: value.clone(), flags: 0 };
                bucket.tree.put(&self.current, item)?;
                bucket.changed = true;
            }
            None => {
                let Some(at) = self.open_bucket(bucket)? else { return Ok(()) };
                let bucket = &mut self.buckets[at];
                if !bucket.tree.delete(&self.current, key)? {
                    return Ok(());
                }
                bucket.changed = true;
            }
        }
        self.changed = true;
        Ok(())
    }

    /// Makes sure that a top-level bucket exists.
    ///
    /// # Errors
    /// As [`Db::apply`].
    pub fn create_bucket(&mut self, name: &str) -> Result<(), BoltError> {
        self.create_bucket_named(name.as_bytes())
    }

    /// As [`Db::create_bucket`], with any name.
    ///
    /// # Errors
    /// As [`Db::apply`].
    pub fn create_bucket_named(&mut self, name: &[u8]) -> Result<(), BoltError> {
        self.check_writable()?;
        check_key(name)?;
        self.open_or_create(name).map(|_| ())
    }

    /// The value of a key with all applied changes, committed or not.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn get_applied(&mut self, bucket: &str, key: &[u8]) -> Result<Option<Bytes>, BoltError> {
        let Some(at) = self.open_bucket(bucket.as_bytes())? else { return Ok(None) };
        let item = self.buckets[at].tree.find(&self.current, key)?;
        Ok(item.filter(|item| !item.is_bucket()).map(|item| item.value))
    }

    pub(crate) fn check_writable(&self) -> Result<(), BoltError> {
        if self.read_only {
            return Err(BoltError::ReadOnly);
        }
        if self.poisoned {
            return Err(BoltError::Poisoned);
        }
        Ok(())
    }

    fn open_or_create(&mut self, name: &[u8]) -> Result<usize, BoltError> {
        if let Some(at) = self.open_bucket(name)? {
            return Ok(at);
        }
        self.buckets.push(OpenBucket {
            name: Bytes::copy_from_slice(name),
            tree: Tree::empty(),
            changed: true,
        });
        self.changed = true;
        Ok(self.buckets.len() - 1)
    }

    /// The place of a bucket in `buckets`, opened when it is not there yet; `None` when there is no such bucket.
    pub(crate) fn open_bucket(&mut self, name: &[u8]) -> Result<Option<usize>, BoltError> {
        if let Some(at) = self.buckets.iter().position(|bucket| bucket.name == name) {
            return Ok(Some(at));
        }
        let Some(item) = self.top.find(&self.current, name)? else { return Ok(None) };
        if item.flags & BUCKET_ELEMENT_FLAG == 0 {
            return Err(BoltError::Incompatible { name: String::from_utf8_lossy(name).into_owned() });
        }
        let root = bucket_root(self.current.meta().root, &item.value)?;
        let tree = Tree::open(&root, u64_at(&item.value, 8));
        self.buckets.push(OpenBucket { name: Bytes::copy_from_slice(name), tree, changed: false });
        Ok(Some(self.buckets.len() - 1))
    }
}

fn check_key(key: &[u8]) -> Result<(), BoltError> {
    if key.is_empty() || key.len() > KEY_LEN_MAX {
        return Err(BoltError::KeyLength { len: key.len() });
    }
    Ok(())
}

fn check_value(value: &[u8]) -> Result<(), BoltError> {
    if value.len() > VALUE_LEN_MAX {
        return Err(BoltError::ValueLength { len: value.len() });
    }
    Ok(())
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db")
            .field("current", &self.current)
            .field("changed", &self.changed)
            .finish_non_exhaustive()
    }
}
