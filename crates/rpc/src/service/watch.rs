//! Watch.Watch: requests go in as they come, events go out as fast as the client takes them, neither waiting for
//! the other.

use std::pin::pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use proto::etcdserverpb::WatchRequest;

use crate::{
    call::{Call, decode_next},
    exchange::{End, Exchange},
    member::{Member, WatchFrame, WatchInput, WatchOutput},
    message::{self, Messages, PREFIX_LEN},
    method::Method,
    metrics::Shard,
    status::Reason,
    thread::Thread,
};

/// Small messages are collected up to this many bytes.
const BATCH: usize = 16 << 10;
/// Shared events up to this many bytes are copied behind their head, to leave as one frame.
const COPIED: usize = 4 << 10;

pub(super) async fn watch<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    call.begin_stream()?;
    let caller = std::mem::take(&mut call.caller);
    let Call { thread, messages, exchange, .. } = call;
    let (input, output) = thread.member.open_watch(caller);
    tokio::select! {
        biased;
        end = take_requests(thread, messages, input) => Err(end),
        end = give_events(&thread.shard, exchange, output) => end,
    }
}

/// Hands requests over; half-closing is not the end, so this returns only when something went wrong.
async fn take_requests<M>(thread: &Thread<M>, messages: &mut Messages, input: impl WatchInput) -> End {
    loop {
        let next = messages.next().await;
        match decode_next::<M, WatchRequest>(thread, Method::Watch, next) {
            Ok(Some(request)) => input.send(request),
            Ok(None) => break,
            Err(end) => return end,
        }
    }
    drop(input);
    std::future::pending().await
}

async fn give_events(
    shard: &Shard,
    exchange: &mut Exchange,
    mut output: impl WatchOutput,
) -> Result<(), End> {
    loop {
        let mut next = exchange.wait(pin!(output.next())).await?;
        // What is there already leaves in one frame: a stream often carries many watchers.
        let mut batch = BytesMut::new();
        loop {
            let frame = match next {
                Some(Ok(frame)) => frame,
                Some(Err(reason)) => return finish(exchange, batch, reason).await,
                None => return finish(exchange, batch, Reason::WatchCanceled).await,
            };
            let rest = append(&mut batch, &frame, shard)?;
            if !rest.is_empty() {
                exchange.send_part(batch.split().freeze(), false).await?;
                exchange.send_part(rest, true).await?;
            }
            if batch.len() >= BATCH {
                break;
            }
            match output.next().now_or_never() {
                Some(ready) => next = ready,
                None => break,
            }
        }
        if !batch.is_empty() {
            exchange.send_part(batch.freeze(), true).await?;
        }
    }
}

/// Sends what was collected before the stream ended.
async fn finish(exchange: &mut Exchange, batch: BytesMut, reason: Reason) -> Result<(), End> {
    if !batch.is_empty() {
        exchange.send_part(batch.freeze(), true).await?;
    }
    Err(reason.into())
}

/// Appends a message; gives back its body when that is too long to copy.
fn append(batch: &mut BytesMut, frame: &impl WatchFrame, shard: &Shard) -> Result<Bytes, End> {
    let (head, body) = (frame.head(), frame.body());
    let len = head.len() + body.len();
    shard.method(Method::Watch).sent.add(1);
    shard.sent_bytes.add(len as u64);
    let copied = if body.len() <= COPIED { body.len() } else { 0 };
    batch.reserve(PREFIX_LEN + head.len() + copied);
    batch.put_slice(&message::prefix(len)?);
    batch.put_slice(head);
    batch.put_slice(&body[..copied]);
    Ok(body.slice(copied..))
}
