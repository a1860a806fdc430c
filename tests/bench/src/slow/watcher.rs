//! A watcher of everything that is written, which checks that nothing is left out.

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use prost::Message;
use proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion};

use super::Test;
use crate::client::{Body, Client};

/// One stream with one watcher of everything that is written.
pub(super) struct Watcher {
    body: Body,
    buffer: BytesMut,
    /// The revision of its last event.
    seen: i64,
}

impl Watcher {
    pub(super) async fn open(client: &Client, after: i64) -> Result<Watcher> {
        let create = WatchCreateRequest {
            key: "/slow/".into(),
            range_end: "/slow0".into(),
            start_revision: after + 1,
            ..WatchCreateRequest::default()
        };
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        let body = client.begin("/etcdserverpb.Watch/Watch", &request.encode_to_vec(), false).await?;
        let mut watcher = Watcher { body, buffer: BytesMut::new(), seen: after };
        ensure!(watcher.next().await?.created, "no watcher was made");
        Ok(watcher)
    }

    /// The next message, whose events must follow those before.
    pub(super) async fn next(&mut self) -> Result<WatchResponse> {
        let message = self.body.message(&mut self.buffer).await?.context("the stream has ended")?;
        let response = WatchResponse::decode(message.freeze())?;
        ensure!(!response.canceled, "canceled: {}", response.cancel_reason);
        for event in &response.events {
            let revision = event.kv.as_ref().context("an event without a pair")?.mod_revision;
            // Every write is a revision of its own.
            ensure!(revision == self.seen + 1, "revision {revision} after {}", self.seen);
            self.seen = revision;
        }
        Ok(response)
    }

    pub(super) fn is_done(&self, test: &Test) -> bool {
        test.last().is_some_and(|last| self.seen >= last)
    }
}
