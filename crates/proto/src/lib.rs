//! etcd's protobuf messages, generated at build time from `proto/*.proto`.
//!
//! One module per protobuf package. `bytes` fields are [`bytes::Bytes`]: a decoded message may share the
//! buffer it was decoded from, so whoever keeps one for long must own that buffer or copy.
//! [`decode`] reads what others wrote, as tolerantly as etcd does; [`weight`] says before what that takes. [`json`] is the JSON form of messages, as Go's
//! protobuf library writes and reads it. `raft` converts between the log records of
//! [`types::raft`] and their wire form.
#![allow(missing_docs, reason = "generated code; the fields are described in contract/*.tsv")]

mod decode;
pub mod json;
pub mod outline;
pub mod raft;
mod schema;
mod txn;
mod weight;

pub use decode::{DEPTH_MAX, Malformed, STACK_BYTES, decode};
pub use weight::weight;

macro_rules! package {
    ($name:ident $(, $by_hand:path)?) => {
        pub mod $name {
            #![allow(
                clippy::all,
                clippy::semicolon_if_nothing_returned,
                unreachable_pub,
                reason = "generated code"
            )]
            $(pub use $by_hand;)?
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
        }
    };
}

package!(authpb);
package!(etcdserverpb, crate::txn::TxnRequest);
package!(leasepb);
package!(membershippb);
package!(mvccpb);
package!(raftpb);
package!(snappb);
package!(v3electionpb);
package!(v3lockpb);
package!(walpb);

pub mod health {
    //! grpc.health.v1
    #![allow(clippy::all, unreachable_pub, reason = "generated code")]
    include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
}

/// The serialized `FileDescriptorSet` of all packages.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
