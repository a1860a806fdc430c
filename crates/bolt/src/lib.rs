//! bbolt's file format with an engine of our own: etcd can open what this writes, and the other way round.
//!
//! One file holds named buckets of ordered keys, each a B+tree of pages. There is one writer, [`Db`]. It takes
//! changes ([`Db::apply`]) into nodes in memory, and from time to time writes all of them as one new state
//! ([`Db::commit`]): pages are never changed in place, the new ones go to unused places, and at last one of the two
//! meta pages is overwritten to point at the new root. Readers hold a [`Snapshot`] of a committed state; its pages
//! stay as they are until the last clone is dropped, so that readers and the writer never wait for each other. Pages
//! are read with positioned reads through a bounded cache; nothing is mapped into memory.
//!
//! - `format`, `meta`, `page`: the bytes (docs/format/bolt.md).
//! - `store`, `cache`, `snapshot`, `cursor`: reading. Every page is checked once, when it comes from disk.
//! - `node`, `tree`: changing. Ascending keys are appended without a search and fill pages to the brim, which makes
//!   etcd's `key` bucket about as cheap as a log.
//! - `settle`, `spill`, `commit`: writing. `space` knows which pages may be reused, `shrink` gives space back.
//! - `sums`, `side`: a checksum for every page, kept beside the file, because bbolt has none.
//! - `inspect`, `pages`: looking at any bolt file, nested buckets and single pages included, for the tools.
//! - `open`, `walk`: finding the state and the free pages of a file, whoever wrote it. `check` verifies all of it.
//!
//! Missing on purpose: bbolt's freelist page (we find free pages as etcd does, by walking), nested buckets (they are
//! preserved, not offered), and several writers. Nothing here knows what the keys mean.

mod cache;
mod check;
mod commit;
mod cursor;
mod db;
mod error;
mod format;
mod gaps;
mod image;
mod inspect;
mod meta;
mod node;
mod open;
mod page;
mod pages;
mod settle;
mod shrink;
mod side;
mod snapshot;
mod space;
mod spill;
mod store;
mod sums;
mod tree;
mod walk;

pub use check::{Problem, check, check_file, check_from, check_metas};
pub use cursor::{Cursor, EntryRef};
pub use db::{CommitStats, Db, Lock, Options};
pub use error::BoltError;
pub use gaps::{Gap, gaps};
pub use image::Image;
pub use inspect::{Bucket, BucketStats, Element, Elements, UnusedPages};
pub use pages::{BranchItem, LeafItem, MetaFields, PageKind, Pages, RawPage};
pub use shrink::Shrink;
pub use side::FILE_NAME as SUMS_FILE_NAME;
pub use snapshot::Snapshot;
/// A change of one key, as [`Db::apply`] takes it.
pub use types::Write as Op;
