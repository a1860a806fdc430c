//! A watch of one range on one stream.

use proto::etcdserverpb::{self as pb, watch_request::RequestUnion};

use crate::{Client, Error, queue::Talk};

pub(crate) const PATH: &str = "/etcdserverpb.Watch/Watch";

/// A stream with one watch on it. Dropping it ends both.
#[derive(Debug)]
pub struct Watch(Talk<pb::WatchRequest, pb::WatchResponse>);

impl Watch {
    pub(crate) async fn open(client: &Client, create: pb::WatchCreateRequest) -> Result<Watch, Error> {
        let first = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        Ok(Watch(Talk::open(client, PATH, &[first], false).await?))
    }

    /// The next reply: that the watch exists, events, or progress; `None` when the server has ended the stream.
    ///
    /// # Errors
    /// `Refused` when the stream broke; `WatchCanceled`.
    pub async fn next(&mut self) -> Result<Option<pb::WatchResponse>, Error> {
        match self.0.next().await? {
            Some(reply) if reply.canceled => Err(Error::WatchCanceled(reply.cancel_reason)),
            reply => Ok(reply),
        }
    }
}
