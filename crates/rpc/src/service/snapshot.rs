//! Maintenance.Snapshot: the backend file in pieces, then its SHA-256 (contract/semantics.md 9.8).

use std::{pin::pin, time::Instant};

use bytes::Bytes;
use proto::etcdserverpb::{SnapshotRequest, SnapshotResponse};
use sha2::{Digest, Sha256};

use crate::{
    call::Call,
    exchange::End,
    member::{Image, Member},
    status::Reason,
};

/// Bytes of the file in one message.
const PIECE: usize = 32 << 10;
/// Bytes read at once; many pieces, because a trip to a blocking thread costs more than a small read.
const BLOCK: usize = 1 << 20;

pub(super) async fn snapshot<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    call.begin_stream()?;
    let request: SnapshotRequest = call.stream_request().await?;
    let caller = std::mem::take(&mut call.caller);
    let image = call.exchange.wait(pin!(call.thread.member.snapshot(caller, request))).await??;
    call.hold_bytes(2 * BLOCK)?;
    let _duration = Duration { began: Instant::now() };
    let version = image.version().to_owned();
    let mut left = image.file_len();
    let mut reader = Reader { image, offset: 0, digest: Sha256::new() };
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        let task = tokio::task::spawn_blocking(move || reader.read(wanted));
        let block;
        (reader, block) = match call.exchange.wait(pin!(task)).await? {
            Ok(read) => read?,
            Err(panicked) => return Err(Reason::Other(panicked.to_string()).into()),
        };
        left -= block.len() as u64;
        let mut after = left + block.len() as u64;
        for start in (0..block.len()).step_by(PIECE) {
            let blob = block.slice(start..block.len().min(start + PIECE));
            after -= blob.len() as u64;
            let piece =
                SnapshotResponse { remaining_bytes: after, blob, version: version.clone(), header: None };
            call.send(&piece).await?;
        }
    }
    let blob = Bytes::copy_from_slice(&reader.digest.finalize());
    call.send(&SnapshotResponse { remaining_bytes: 0, blob, version, header: None }).await
}

/// Observes for how long an image was held, however its transfer ended.
struct Duration {
    began: Instant,
}

impl Drop for Duration {
    fn drop(&mut self) {
        let histogram = &telemetry::metrics().disk_backend_snapshot_duration_seconds;
        histogram.observe(self.began.elapsed().as_secs_f64());
    }
}

struct Reader<I> {
    image: I,
    offset: u64,
    digest: Sha256,
}

impl<I: Image> Reader<I> {
    /// Reads exactly `wanted` bytes, and itself back.
    fn read(mut self, wanted: usize) -> Result<(Self, Bytes), Reason> {
        let mut block = vec![0; wanted];
        let mut have = 0;
        while have < wanted {
            let n = self.image.read_at(self.offset, &mut block[have..])?;
            if n == 0 {
                return Err(Reason::Other("the backend file is shorter than announced".into()));
            }
            have += n;
            self.offset += n as u64;
        }
        self.digest.update(&block);
        Ok((self, block.into()))
    }
}
