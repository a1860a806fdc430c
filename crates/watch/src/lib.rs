//! Watchers: synced, catching up, progress. Holds no thread, no clock and no file.
//!
//! The [`Hub`] lives on the core thread, beside apply. Requests, changes, ticks and the results of reads go in;
//! [`Effect`]s come out: replies to send, reads to do elsewhere.
//!
//! A watcher has one number, `next_rev`: everything below it was sent, or never wanted. It only rises, which is
//! asserted at each send. A watcher is in one of two places:
//! - *synced*: it has everything up to the hub's head (the newest revision that apply reported) and is fed by
//!   [`Hub::notify`], one revision per reply. The changes of a revision are encoded once, or twice where previous
//!   pairs are wanted; a reply is a small head of its own and the shared bytes.
//! - *lagging*: it starts in the past, or its stream did not keep up. It holds no events. [`Hub::catch_up`] serves
//!   these from the revisions that are still in memory, or asks for a slice of history; one slice serves all
//!   watchers whose `next_rev` lies in it. Who reaches the head becomes synced in the same call.
//!
//! A stream with too much queued is *parked*: its watchers fall behind at their next event and come back when half
//! of it has left. So a slow client costs its queue, whose bytes are bounded by [`Limits`], and never apply's time.
//! History that is compacted before a lagging watcher got it ends the watcher; nothing is ever skipped.
//!
//! Not here: permissions (the caller passes the verdict in), reading history, gRPC framing.

mod effect;
mod event;
mod frame;
mod hub;
mod index;
mod lagging;
mod limits;
mod registry;
mod request;
mod rows;
mod slab;
mod slice;
mod stream;
mod watcher;

pub use effect::{Effect, HistoryQuery, JobId};
pub use frame::{Frame, HeaderFacts};
pub use hub::{Hub, Stats};
pub use limits::Limits;
pub use request::{Create, Request, StreamId};
pub use rows::PrevRows;
pub use slice::{HistoryChunk, HistoryError};
