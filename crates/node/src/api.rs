//! What the network threads see of a member: typed calls that resolve when the core has answered.
//!
//! Nothing here looks into keys and options: `rpc::validate` has refused malformed requests before.

pub(crate) mod call;
mod error;
mod handle;
pub(crate) mod holders;
pub(crate) mod mailbox;
pub(crate) mod port;
pub(crate) mod range_reply;
mod range_stream;
mod snapshot_image;
pub(crate) mod watch;

pub use call::{AuthCall, Authenticated, Credentials, Login};
pub use error::Error;
pub use handle::{NodeHandle, Summary};
pub use port::Port;
pub use range_reply::RangeReply;
pub use range_stream::RangeStream;
pub use snapshot_image::SnapshotImage;
pub use state::{AuthReply, Subject};
pub use watch::{WatchFrame, WatchInput, WatchOutput};

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The token from the request's metadata, without `Bearer `.
    pub token: Option<String>,
    /// What a signed token says; `None` when it is not good, or there is none. Verified outside of the core.
    pub claims: Option<Claims>,
    /// Common name of the verified client certificate, when client certificates are demanded.
    pub common_name: Option<String>,
    /// The member itself, as for health checks: passes every permission check.
    pub internal: bool,
}

/// What a signed token says of its bearer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user, and the auth revision at which it logged in.
    pub subject: Subject,
    /// The token counts before this time, in milliseconds since 1970; `None` for ever.
    pub expires_unix_ms: Option<u64>,
}

impl Claims {
    /// Whether they count at that time.
    pub fn are_good_at(&self, unix_ms: u64) -> bool {
        self.expires_unix_ms.is_none_or(|end| unix_ms < end)
    }
}

impl Caller {
    /// The member itself.
    pub fn internal() -> Caller {
        Caller { internal: true, ..Caller::default() }
    }
}
