//! etcd's write-ahead log and `.snap` files.
//!
//! The log is a row of segments in `member/wal`, each a row of frames, each frame a `walpb.Record`: entries, hard
//! states, snapshot records, and at the head of each segment a checksum and the metadata
//! (docs/format/wal.md has every byte). A checksum runs through the data of all records, across segments.
//!
//! Writing ([`Wal::append`]): one batch, one write call; one `fdatasync` ([`Wal::sync`]); every batch ends with a
//! hard state, and none is begun before the one before is durable. That order is what a reader relies on to tell
//! the two ways in which a log can end badly:
//!
//! - **torn**: power went during a write. Nobody was told about that batch; it is cut off, and life goes on.
//! - **damaged**: records that had been synced are unreadable or gone. They may have been acknowledged, so
//!   nothing is ever cut off; opening fails and says what is lost.
//!
//! etcd takes a zero length word for the end and so treats much damage as the first (reliability.md A). Here,
//! what lies beyond the bad spot is searched for later records, the bad spot is checked for looking like a torn
//! write, and a side file names every synced record with a checksum over its whole frame (`tail`, `side`).
//!
//! Reading is one walk over all segments from the oldest (`walk`), which verifies everything and feeds `collect`,
//! which finds what raft starts from. After any failed write or sync the log is poisoned: the process must stop.
//!
//! A damaged log whose lost records the side file still names can be mended ([`mend`]) with the same entries from
//! other members, to the byte.
//!
//! Not here: threads (the [`SegmentPreparer`] is called from one of the caller's), clocks, retries of failed
//! syncs, and fetching lost entries from other members.

mod collect;
mod cut;
mod error;
mod frame;
pub mod limits;
mod mend;
mod name;
mod next;
mod open;
mod options;
mod prepare;
mod purge;
mod record;
mod side;
pub mod snap;
mod tail;
mod wal;
mod walk;
mod window;

pub use collect::{Recovered, Report, TornTail};
pub use cut::exists;
pub use error::{DamageCause, LostRecord, WalError};
pub use frame::RecordKind;
pub use mend::{Spare, mend};
pub use name::SegmentName;
pub use open::{read, scan};
pub use options::WalOptions;
pub use prepare::SegmentPreparer;
pub use record::{Metadata, Record, SnapshotRecord};
pub use wal::Wal;
pub use walk::Located;

/// The log lives on a thread of its own, and its segments are prepared on another.
const _: fn() = || {
    fn can_move<T: Send>() {}
    can_move::<Wal>();
    can_move::<SegmentPreparer>();
};
