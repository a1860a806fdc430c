//! What the network threads see of a member: typed calls that resolve when the core has answered.
//!
//! All calls validate nothing about keys and options: `rpc::validate` has refused malformed requests before.

mod error;
mod range_reply;

pub use error::Error;
pub use range_reply::RangeReply;
