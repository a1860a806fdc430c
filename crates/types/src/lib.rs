//! The words of the domain, shared by all crates: revisions, ids, ranges, moments, raft records.
//!
//! Nothing here does I/O or knows a wire format; [`Revision`] alone has its storage encoding, because that
//! encoding *is* its order, and [`go_json`] is how both stored and served JSON is spelt.

pub mod bucket;
pub mod go_json;
mod id;
mod moment;
pub mod mutant;
pub mod raft;
mod range;
mod revision;
mod write;

pub use id::{ClusterId, LeaseId, MemberId};
pub use moment::Moment;
pub use range::KeyRange;
pub use revision::{REVISION_KEY_LEN, Revision, TOMBSTONE_KEY_LEN};
pub use write::Write;
