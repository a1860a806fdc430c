//! A snapshot that another member posts: the message, and the file behind it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use consensus::MessageKind;
use http::{Method, Response, StatusCode, request::Parts};
use http_body_util::BodyExt;
use telemetry::{line, metrics};
use tokio::time::timeout;
use types::MemberId;

use super::{Posted, Server, allow_only, decoded_from};
use crate::{
    Body, IO_TIMEOUT, incoming,
    refusal::{self, Refusal, refuse},
    wire::{Decoded, ENVELOPE_BYTES_MAX, Framed},
};

/// Whose snapshot it was when that could not be read.
const UNKNOWN_SENDER: &str = "UNKNOWN_SNAPSHOT_SENDER";

impl Server {
    pub(super) async fn snapshot(
        &self,
        remote: &str,
        head: &Parts,
        body: Posted,
    ) -> Result<Response<Body>, Refusal> {
        let mut receipt =
            Receipt { from: UNKNOWN_SENDER.into(), start: Instant::now(), inflight: false, good: false };
        allow_only(head, Method::POST, "POST")?;
        self.check(head)?;
        self.shared.add_sender(&head.headers);
        let result = self.receive(remote, body, &mut receipt).await;
        receipt.good = result.is_ok();
        result
    }

    async fn receive(
        &self,
        remote: &str,
        mut body: Posted,
        receipt: &mut Receipt,
    ) -> Result<Response<Body>, Refusal> {
        let local = || self.shared.config.id.to_string();
        let Ok(_place) = Arc::clone(&self.shared.snapshots).try_acquire_owned() else {
            let text = "too many snapshots are being received already";
            return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, text));
        };
        let (decoded, len, first) = envelope(&mut body).await.map_err(|error| {
            line!(Warn, "failed to decode Raft message", "local-member-id" => local(), "error" => error.clone());
            metrics().network_peer_received_failures_total.with(&[remote]).inc();
            refuse(StatusCode::BAD_REQUEST, format!("failed to decode raft message ({error})"))
        })?;
        let sender = decoded_from(&decoded);
        receipt.from = MemberId(sender).to_string();
        self.count(sender, len as u64);
        let (message, index) = match decoded {
            Decoded::Message(message)
                if message.kind == MessageKind::Snapshot && message.snapshot.is_some() =>
            {
                let index = message.snapshot.as_ref().map_or(0, |snapshot| snapshot.meta.index);
                (message, index)
            }
            other => {
                line!(Warn, "unexpected Raft message type", "local-member-id" => local(),
                    "remote-snapshot-sender-id" => receipt.from.clone(), "message-type" => type_of(&other));
                return Err(refuse(StatusCode::BAD_REQUEST, "wrong raft message type"));
            }
        };
        receipt.begin();
        line!(Info, "receiving database snapshot", "local-member-id" => local(),
            "remote-snapshot-sender-id" => receipt.from.clone(), "incoming-snapshot-index" => index,
            "incoming-snapshot-message-size-bytes" => len,
            "incoming-snapshot-message-size" => telemetry::log::size(len as u64));
        // Before the file, not after it as upstream: what is not wanted should not fill the disk.
        self.shared.screen(message.from, message.to).map_err(Refusal::Unwanted)?;
        let bytes = incoming::save(&self.shared, index, first, body).await.map_err(|error| {
            line!(Warn, "failed to save incoming database snapshot", "local-member-id" => local(),
                "remote-snapshot-sender-id" => receipt.from.clone(), "incoming-snapshot-index" => index,
                "error" => error.to_string());
            let text = format!("failed to save KV snapshot ({error})");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, text)
        })?;
        self.count(sender, bytes);
        line!(Info, "received and saved database snapshot", "local-member-id" => local(),
            "remote-snapshot-sender-id" => receipt.from.clone(), "incoming-snapshot-index" => index,
            "incoming-snapshot-size-bytes" => bytes, "incoming-snapshot-size" => telemetry::log::size(bytes),
            "download-took" => telemetry::log::duration(receipt.start.elapsed()));
        self.hand_over(message).await?;
        Ok(refusal::no_content())
    }
}

/// The message in front of a snapshot file, its length, and what of the file has come with it.
async fn envelope(body: &mut Posted) -> Result<(Decoded, usize, Bytes), String> {
    let mut decoder = Framed::new(ENVELOPE_BYTES_MAX);
    loop {
        let frame = match timeout(IO_TIMEOUT, body.frame()).await {
            Ok(Some(frame)) => frame.map_err(|error| error.to_string())?,
            Ok(None) => return Err("unexpected EOF".into()),
            Err(_) => return Err("i/o timeout".into()),
        };
        if let Some(bytes) = frame.data_ref() {
            decoder.push(bytes);
        }
        if let Some((decoded, len)) = decoder.next().map_err(|error| error.to_string())? {
            return Ok((decoded, len, decoder.into_rest()));
        }
    }
}

fn type_of(decoded: &Decoded) -> String {
    match decoded {
        Decoded::Message(message) => message.kind.to_string(),
        Decoded::Ignored { kind, .. } => kind.to_string(),
        Decoded::LinkHeartbeat => MessageKind::Heartbeat.to_string(),
    }
}

/// Counts how the receiving of a snapshot ends.
struct Receipt {
    from: String,
    start: Instant,
    inflight: bool,
    good: bool,
}

impl Receipt {
    fn begin(&mut self) {
        self.inflight = true;
        metrics().network_snapshot_receive_inflights_total.with(&[&self.from]).add(1);
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let from = &[self.from.as_str()];
        if self.inflight {
            metrics().network_snapshot_receive_inflights_total.with(from).add(-1);
        }
        if self.good {
            let seconds = self.start.elapsed().as_secs_f64();
            metrics().network_snapshot_receive_success.with(from).inc();
            metrics().network_snapshot_receive_total_duration_seconds.with(from).observe(seconds);
        } else {
            metrics().network_snapshot_receive_failures.with(from).inc();
        }
    }
}
