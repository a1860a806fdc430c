//! Watch.Watch: requests go in as they come, events go out as fast as the client takes them, neither waiting for
//! the other.

use std::pin::pin;

use bytes::{BufMut, Bytes, BytesMut};
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
        let frame = match exchange.wait(pin!(output.next())).await? {
            Some(Ok(frame)) => frame,
            Some(Err(reason)) => return Err(reason.into()),
            None => return Err(Reason::WatchCanceled.into()),
        };
        let (head, body) = (frame.head(), frame.body());
        shard.method(Method::Watch).sent.add(1);
        shard.sent_bytes.add((head.len() + body.len()) as u64);
        let (first, rest) = framed(head, body)?;
        let whole = rest.is_empty();
        exchange.send_part(first, whole).await?;
        if !whole {
            exchange.send_part(rest, true).await?;
        }
    }
}

/// The message in one part, or in two when the body is too long to copy.
fn framed(head: &[u8], body: &Bytes) -> Result<(Bytes, Bytes), End> {
    let copied = if body.len() <= COPIED { body.len() } else { 0 };
    let mut first = BytesMut::with_capacity(PREFIX_LEN + head.len() + copied);
    first.put_slice(&message::prefix(head.len() + body.len())?);
    first.put_slice(head);
    first.put_slice(&body[..copied]);
    Ok((first.freeze(), body.slice(copied..)))
}
