//! Multi-version key-value store over the `key` bucket.
//!
//! Every change of a key is a *row*: the encoded `mvccpb.KeyValue` under its revision ([`types::Revision`]), written
//! once and never modified. The backend keeps the rows in revision order; this crate keeps the *key index*, from each
//! key to its revisions, in memory, and decides what is written and what is deleted.
//!
//! It never writes by itself. Changes, and the deletes of compaction, become *ops* ([`Store::take_ops`]) that another
//! thread applies to the backend; until that says which are in a snapshot ([`Store::committed`]), the rows are
//! readable from memory. What is lost in a crash is replayed from the log, so a store is a pure function of the
//! requests applied to it, on every member the same.
//!
//! Since rows do not change, a range at a revision does not either until it is compacted. So reads come in forms
//! that leave the one thread that owns the store: [`Rows`], [`History`] and [`HashJob`] hold a snapshot of the
//! backend and the few rows that it lacks; a [`Walk`] takes a long range in slices under a [`Pin`].
//!
//! The map, from the outside in: [`Store`] (`store`, `restore`), reads (`read`, `rows`, `pins`), writes (`txn`), compaction
//! (`compact`), hashes (`hash`), history (`history`); below them the index (`index`: a counted B+tree of packed
//! leaves, and the older changes beside it), rows (`row`) and the ops not yet written (`outbox`).
//!
//! Not here: requests and their compares and limits (`state`), leases, watches, permissions, the log.

mod compact;
mod error;
mod hash;
mod history;
mod index;
pub mod limits;
mod outbox;
mod pins;
mod read;
mod restore;
mod revision_set;
mod row;
mod rows;
mod store;
mod txn;
mod varint;

#[cfg(test)]
mod tests;

pub use compact::CompactStep;
pub use error::{Corruption, MvccError};
pub use hash::{HashAll, HashJob, HashKv, HashPlan, HashStep, KvHash, hash_all};
pub use history::{History, HistoryRow};
pub use index::Totals;
pub use pins::Pin;
pub use read::{Keys, Listing, RowRef, Walk};
pub use row::{KeyValue, framed_len};
pub use rows::Rows;
pub use store::Store;
pub use txn::{Change, ChangeKind, WriteTxn};
