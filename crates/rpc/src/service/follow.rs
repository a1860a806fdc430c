//! A watch of one range from within: what it brings, as typed news.

use bytes::{BufMut, BytesMut};
use proto::etcdserverpb::{self as pb, watch_request::RequestUnion};

use crate::{
    member::{Caller, Member, WatchFrame, WatchInput, WatchOutput},
    status::Reason,
};

/// What comes next on a watch.
pub(super) enum News {
    /// At least one event.
    Events(Box<pb::WatchResponse>),
    /// The revision to watch from is gone; so is the watch.
    Compacted,
}

/// One watcher on a stream of its own. Dropping it ends both.
pub(super) struct Watching<M: Member> {
    /// Kept, because dropping it would say that no more requests come.
    _input: M::WatchInput,
    output: M::WatchOutput,
}

impl<M: Member> Watching<M> {
    pub(super) fn start(member: &M, caller: Caller, request: pb::WatchCreateRequest) -> Watching<M> {
        let (input, output) = member.open_watch(caller);
        input.send(pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(request)) });
        Watching { _input: input, output }
    }

    /// The next events. Takes one frame at a time, so that a slow caller holds no more than one.
    ///
    /// # Errors
    /// Why the watch has ended.
    pub(super) async fn next(&mut self) -> Result<News, Reason> {
        loop {
            let frame = match self.output.next().await {
                Some(frame) => frame?,
                None => return Err(Reason::Other("lost watcher waiting for delete".into())),
            };
            let response = decode(&frame)?;
            if response.compact_revision != 0 {
                return Ok(News::Compacted);
            }
            if response.canceled {
                return Err(Reason::Other(response.cancel_reason));
            }
            if !response.events.is_empty() {
                return Ok(News::Events(Box::new(response)));
            }
        }
    }
}

fn decode(frame: &impl WatchFrame) -> Result<pb::WatchResponse, Reason> {
    let (head, body) = (frame.head(), frame.body());
    let mut bytes = BytesMut::with_capacity(head.len() + body.len());
    bytes.put_slice(head);
    bytes.put_slice(body);
    proto::decode(bytes.freeze()).map_err(|why| Reason::Other(format!("a watch response is none: {why}")))
}
